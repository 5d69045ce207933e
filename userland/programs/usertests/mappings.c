/* Mappings: parts of regions, visible in a space. */

#include "usertests.h"

static struct window window;
static fluke_mapping_t mapping, place;
static fluke_region_t region;
static fluke_ref_t ref, other_ref;
static uint64_t *const ELSEWHERE = (uint64_t *)0x2100000000;

enum { READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE };

static void begin(void)
{
    open_window(&window, fluke_start_block->space_ref);
}

static void finish(void)
{
    close_window(&window);
}

static void make_new(void)
{
    struct fluke_mapping_state state;
    uint64_t hash = 0x3a9;

    fluke_ref_create(&ref);
    fluke_ref_create(&other_ref);
    CHECK(fluke_mapping_create(&mapping) == FLUKE_SUCCESS);
    fluke_mapping_get_state(&mapping, &state, &ref, &other_ref);
    CHECK(state.hash != 0 && state.size == 0 && state.prot == FLUKE_PROT_NONE);
    CHECK(fluke_ref_type(&ref) == FLUKE_NULL && fluke_ref_type(&other_ref) == FLUKE_NULL);
    fluke_mapping_destroy(&mapping);
    CHECK(fluke_mapping_create_hash(&mapping, &hash) == FLUKE_SUCCESS);
    fluke_mapping_get_state(&mapping, &state, NULL, NULL);
    CHECK(state.hash == 0x3a9);
    fluke_mapping_destroy(&mapping);
    fluke_ref_destroy(&other_ref);
    fluke_ref_destroy(&ref);
}

static void load(void)
{
    struct fluke_mapping_state state;

    begin();
    fluke_ref_create(&ref);
    fluke_ref_create(&other_ref);
    set_mapping(&window.mapping, FLUKE_PAGE_SIZE, ELSEWHERE, FLUKE_PAGE_SIZE, FLUKE_PROT_READ);
    fluke_mapping_get_state(&window.mapping, &state, &ref, &other_ref);
    CHECK(state.region_off == FLUKE_PAGE_SIZE && state.start_va == (uint64_t)ELSEWHERE);
    CHECK(state.size == FLUKE_PAGE_SIZE && state.prot == FLUKE_PROT_READ);
    CHECK(fluke_ref_compare(&ref, &window.region_ref));
    CHECK(fluke_ref_compare(&other_ref, fluke_start_block->space_ref));
    fluke_ref_destroy(&other_ref);
    fluke_ref_destroy(&ref);
    finish();
}

static void load_impossible(void)
{
    const char *end = (const char *)FLUKE_USER_END - FLUKE_PAGE_SIZE;
    fluke_ref_t *port_ref = fluke_start_block->timer_ref;

    begin();
    CHECK_MISTAKE(set_mapping(&window.mapping, 0, ODD(WINDOW), 0, 0), FLUKE_INSANITY_NOT_ALIGNED, ODD(WINDOW));
    CHECK_MISTAKE(set_mapping(&window.mapping, 0, WINDOW, 16, 0), FLUKE_INSANITY_NOT_ALIGNED, 16);
    CHECK_MISTAKE(set_mapping(&window.mapping, 32, WINDOW, 0, 0), FLUKE_INSANITY_NOT_ALIGNED, 32);
    CHECK_MISTAKE(set_mapping(&window.mapping, 0, NULL, FLUKE_PAGE_SIZE, 0), FLUKE_INSANITY_INVALID_ADDRESS, NULL);
    CHECK_MISTAKE(set_mapping(&window.mapping, 0, end, MEMORY_SIZE, 0), FLUKE_INSANITY_INVALID_ADDRESS, end);
    CHECK_MISTAKE(set_mapping(&window.mapping, 0, WINDOW, 0, 8), FLUKE_INSANITY_INVALID_PROT, 8);
    CHECK_MISTAKE(fluke_mapping_set_state(&window.mapping, NULL, port_ref, NULL), FLUKE_INSANITY_NOT_REGION_REF,
                  port_ref);
    CHECK_MISTAKE(fluke_mapping_set_state(&window.mapping, NULL, NULL, port_ref), FLUKE_INSANITY_NOT_SPACE_REF,
                  port_ref);
    poke(WINDOW, 1); /* it is as it was */
    CHECK(memory[0] == 1);
    finish();
}

static void find_no_mapping(void)
{
    fluke_mapping_t *wrong = (fluke_mapping_t *)&region;

    fluke_region_create(&region);
    CHECK_MISTAKE(fluke_mapping_get_state(wrong, NULL, NULL, NULL), FLUKE_INSANITY_NOT_MAPPING, wrong);
    CHECK_MISTAKE(fluke_mapping_destroy(wrong), FLUKE_INSANITY_NOT_MAPPING, wrong);
    CHECK_MISTAKE(fluke_mapping_destroy(&mapping), FLUKE_INSANITY_NO_OBJECT, &mapping);
    fluke_region_destroy(&region);
}

static void look_through(void)
{
    begin();
    memory[1] = 5;
    CHECK(peek(WINDOW + 1) == 5);
    poke(WINDOW + PAGE_WORDS, 6);
    CHECK(memory[PAGE_WORDS] == 6);
    finish();
}

static void look_only(void)
{
    begin();
    set_mapping(&window.mapping, 0, WINDOW, MEMORY_SIZE, FLUKE_PROT_READ);
    memory[0] = 7;
    CHECK(peek(WINDOW) == 7);
    CHECK_MISTAKE(poke(WINDOW, 8), FLUKE_EXCEPTION_STORE_FAULT, WINDOW);
    CHECK(memory[0] == 7);
    finish();
}

/* Access can be asked for that the region gives, and no more. */
static void ask_for_more(void)
{
    begin();
    set_region(&window.region, memory, MEMORY_SIZE, FLUKE_PROT_READ);
    set_mapping(&window.mapping, 0, WINDOW, MEMORY_SIZE, FLUKE_PROT_ALL);
    CHECK_MISTAKE(poke(WINDOW, 8), FLUKE_EXCEPTION_STORE_FAULT, WINDOW);
    finish();
}

/* A page of the program's code in the window; what the program has as data cannot be executed there either. */
static void execute(void)
{
    const char *page = (const char *)((uintptr_t)peek & ~(uintptr_t)(FLUKE_PAGE_SIZE - 1));
    void *copy = (char *)WINDOW + ((const char *)peek - page);
    uint64_t word = 6;

    begin();
    set_mapping(&window.mapping, 0, WINDOW, FLUKE_PAGE_SIZE, FLUKE_PROT_ALL);
    CHECK_MISTAKE(jump(WINDOW), FLUKE_EXCEPTION_FETCH_FAULT, WINDOW);
    set_region(&window.region, page, FLUKE_PAGE_SIZE, FLUKE_PROT_ALL);
    CHECK(((uint64_t (*)(const void *))copy)(&word) == 6);
    CHECK_MISTAKE(poke(copy, 0), FLUKE_EXCEPTION_STORE_FAULT, copy);
    set_mapping(&window.mapping, 0, WINDOW, FLUKE_PAGE_SIZE, FLUKE_PROT_READ);
    CHECK_MISTAKE(jump(copy), FLUKE_EXCEPTION_FETCH_FAULT, copy);
    finish();
}

static void show_part(void)
{
    begin();
    memory[0] = 20;
    memory[PAGE_WORDS] = 21;
    set_mapping(&window.mapping, FLUKE_PAGE_SIZE, WINDOW, FLUKE_PAGE_SIZE, READ_WRITE);
    CHECK(peek(WINDOW) == 21);
    CHECK_MISTAKE(peek(WINDOW + PAGE_WORDS), FLUKE_EXCEPTION_LOAD_FAULT, WINDOW + PAGE_WORDS);
    finish();
}

static void show_elsewhere(void)
{
    begin();
    poke(WINDOW, 1);
    set_mapping(&window.mapping, 0, ELSEWHERE, MEMORY_SIZE, READ_WRITE);
    CHECK_MISTAKE(peek(WINDOW), FLUKE_EXCEPTION_LOAD_FAULT, WINDOW);
    CHECK(peek(ELSEWHERE) == 1);
    finish();
}

static void destroy(void)
{
    begin();
    poke(WINDOW, 1);
    fluke_mapping_destroy(&window.mapping);
    CHECK_MISTAKE(peek(WINDOW), FLUKE_EXCEPTION_LOAD_FAULT, WINDOW);
    fluke_mapping_create(&window.mapping);
    finish();
}

static void lose_region(void)
{
    fluke_ref_create(&ref);
    begin();
    poke(WINDOW, 1);
    fluke_mapping_set_state(&window.mapping, NULL, &ref, NULL);
    CHECK_MISTAKE(peek(WINDOW), FLUKE_EXCEPTION_LOAD_FAULT, WINDOW);
    fluke_mapping_set_state(&window.mapping, NULL, &window.region_ref, &ref); /* and now it has no space */
    CHECK_MISTAKE(peek(WINDOW), FLUKE_EXCEPTION_LOAD_FAULT, WINDOW);
    finish();
    fluke_ref_destroy(&ref);
}

static void overlap(void)
{
    const char *second_page = (const char *)WINDOW + FLUKE_PAGE_SIZE;
    struct fluke_mapping_state state = {.start_va = (uint64_t)second_page, .size = FLUKE_PAGE_SIZE};

    begin();
    fluke_mapping_create(&mapping);
    CHECK_MISTAKE(fluke_mapping_set_state(&mapping, &state, &window.region_ref, fluke_start_block->space_ref),
                  FLUKE_INSANITY_ADDRESS_OVERLAP, WINDOW);
    set_mapping(&window.mapping, 0, WINDOW, FLUKE_PAGE_SIZE, READ_WRITE);
    state.prot = FLUKE_PROT_READ;
    fluke_mapping_set_state(&mapping, &state, &window.region_ref, fluke_start_block->space_ref);
    memory[0] = 31;
    CHECK(peek(second_page) == 31 && peek(WINDOW) == 31);
    fluke_mapping_destroy(&mapping);
    finish();
}

static void move(void)
{
    begin();
    poke(WINDOW, 1);
    fluke_mapping_move(&window.mapping, &place);
    CHECK(peek(WINDOW) == 1);
    CHECK_MISTAKE(fluke_mapping_destroy(&window.mapping), FLUKE_INSANITY_NO_OBJECT, &window.mapping);
    fluke_mapping_move(&place, &window.mapping);
    finish();
}

/* A region of the window, and a window on that: access is what all of them grant. */
static void look_through_two(void)
{
    struct fluke_mapping_state state = {
        .start_va = (uint64_t)ELSEWHERE, .size = FLUKE_PAGE_SIZE, .prot = READ_WRITE};

    begin();
    fluke_region_create(&region);
    fluke_mapping_create(&mapping);
    fluke_ref_create(&ref);
    fluke_region_reference(&region, &ref);
    set_region(&region, WINDOW + PAGE_WORDS, FLUKE_PAGE_SIZE, FLUKE_PROT_ALL);
    fluke_region_set_state(&region, NULL, fluke_start_block->space_ref, NULL);
    fluke_mapping_set_state(&mapping, &state, &ref, fluke_start_block->space_ref);
    poke(ELSEWHERE, 9);
    CHECK(memory[PAGE_WORDS] == 9);
    set_mapping(&window.mapping, 0, WINDOW, MEMORY_SIZE, FLUKE_PROT_READ);
    CHECK(peek(ELSEWHERE) == 9);
    CHECK_MISTAKE(poke(ELSEWHERE, 10), FLUKE_EXCEPTION_STORE_FAULT, ELSEWHERE);
    fluke_ref_destroy(&ref);
    fluke_mapping_destroy(&mapping);
    fluke_region_destroy(&region);
    finish();
}

/* An object is where its memory is, under every address of it. */
static void share_object(void)
{
    fluke_mutex_t *here = (fluke_mutex_t *)memory, *there = (fluke_mutex_t *)WINDOW;

    begin();
    fluke_mutex_create(here);
    CHECK_MISTAKE(fluke_mutex_create(there), FLUKE_INSANITY_OBJECT_EXISTS, there);
    fluke_mutex_lock(there);
    CHECK_MISTAKE(fluke_mutex_lock(here), FLUKE_INSANITY_MUTEX_LOCKED, here);
    set_mapping(&window.mapping, 0, WINDOW, MEMORY_SIZE, FLUKE_PROT_READ);
    fluke_mutex_unlock(there); /* to name an object, one need only read */
    CHECK_MISTAKE(fluke_mutex_destroy(there), FLUKE_EXCEPTION_STORE_FAULT, there);
    fluke_mutex_destroy(here);
    CHECK_MISTAKE(fluke_mutex_lock(there), FLUKE_INSANITY_NO_OBJECT, there);
    finish();
}

const struct usertest mapping_tests[] = {
    {"mapping_new", "What is a mapping that was only created?", make_new},
    {"mapping_load", "Are a mapping's range, access, region and space kept?", load},
    {"mapping_impossible", "Are impossible states of a mapping refused?", load_impossible},
    {"mapping_none", "What if there is no mapping at the address?", find_no_mapping},
    {"mapping_window", "Is memory the same under two addresses?", look_through},
    {"mapping_read_only", "Can memory be shown to be read only?", look_only},
    {"mapping_bounded", "Does a mapping give no more access than its region?", ask_for_more},
    {"mapping_execute", "Can mapped memory be executed, if that is allowed?", execute},
    {"mapping_part", "Can a part of a region be mapped?", show_part},
    {"mapping_elsewhere", "Is a mapping that gets another address gone from the old one?", show_elsewhere},
    {"mapping_destroy", "Is what a mapping showed gone when it is destroyed?", destroy},
    {"mapping_no_region", "What if a mapping has no region, or no space?", lose_region},
    {"mapping_overlap", "Can two mappings overlap?", overlap},
    {"mapping_move", "Does a mapping stay when its object is moved?", move},
    {"mapping_of_mapping", "Can mapped memory be mapped again?", look_through_two},
    {"mapping_object", "Is an object found under every address of its memory?", share_object},
    {0},
};
