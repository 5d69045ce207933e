/* Regions: what of a space's memory others can map, and with which access. */

#include "usertests.h"

static struct window window;
static fluke_region_t region, place;
static fluke_port_t port;
static fluke_ref_t ref, other_ref;

static void make_new(void)
{
    struct fluke_region_state state;
    uint64_t hash = 0x4e9;

    fluke_ref_create(&ref);
    CHECK(fluke_region_create(&region) == FLUKE_SUCCESS);
    fluke_region_get_state(&region, &state, &ref, NULL);
    CHECK(state.hash != 0 && state.size == 0 && state.prot == FLUKE_PROT_NONE);
    CHECK(fluke_ref_type(&ref) == FLUKE_NULL);
    fluke_region_reference(&region, &ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_REGION && fluke_ref_hash(&ref) == state.hash);
    fluke_region_destroy(&region);
    CHECK(fluke_region_create_hash(&region, &hash) == FLUKE_SUCCESS);
    fluke_region_get_state(&region, &state, NULL, NULL);
    CHECK(state.hash == 0x4e9);
    fluke_region_destroy(&region);
    fluke_ref_destroy(&ref);
}

static void load(void)
{
    struct fluke_region_state state;

    fluke_region_create(&region);
    fluke_port_create(&port);
    fluke_ref_create(&ref);
    fluke_ref_create(&other_ref);
    fluke_port_reference(&port, &ref);
    set_region(&region, WINDOW, MEMORY_SIZE, FLUKE_PROT_READ);
    fluke_region_set_state(&region, NULL, fluke_start_block->space_ref, &ref);
    fluke_region_get_state(&region, &state, NULL, &other_ref);
    CHECK(state.start_va == (uint64_t)WINDOW && state.size == MEMORY_SIZE && state.prot == FLUKE_PROT_READ);
    CHECK(fluke_ref_compare(&ref, &other_ref));
    fluke_region_get_state(&region, NULL, &other_ref, NULL);
    CHECK(fluke_ref_compare(fluke_start_block->space_ref, &other_ref));
    fluke_ref_destroy(&other_ref);
    fluke_ref_destroy(&ref);
    fluke_port_destroy(&port);
    fluke_region_destroy(&region);
}

static void load_impossible(void)
{
    const char *end = (const char *)-FLUKE_PAGE_SIZE;
    fluke_ref_t *space_ref = fluke_start_block->space_ref, *port_ref = fluke_start_block->timer_ref;

    fluke_region_create(&region);
    CHECK_MISTAKE(set_region(&region, (char *)WINDOW + 1, 0, 0), FLUKE_INSANITY_NOT_ALIGNED, (char *)WINDOW + 1);
    CHECK_MISTAKE(set_region(&region, WINDOW, 8, 0), FLUKE_INSANITY_NOT_ALIGNED, 8);
    CHECK_MISTAKE(set_region(&region, end, MEMORY_SIZE, 0), FLUKE_INSANITY_INVALID_ADDRESS, end);
    CHECK_MISTAKE(set_region(&region, WINDOW, MEMORY_SIZE, 8), FLUKE_INSANITY_INVALID_PROT, 8);
    CHECK_MISTAKE(fluke_region_set_state(&region, NULL, port_ref, NULL), FLUKE_INSANITY_NOT_SPACE_REF, port_ref);
    CHECK_MISTAKE(fluke_region_set_state(&region, NULL, NULL, space_ref), FLUKE_INSANITY_NOT_PORT_REF, space_ref);
    fluke_region_destroy(&region);
    CHECK_MISTAKE(fluke_region_destroy(&region), FLUKE_INSANITY_NO_OBJECT, &region);
}

static void find_another_type(void)
{
    fluke_region_t *wrong = (fluke_region_t *)&port;

    fluke_port_create(&port);
    CHECK_MISTAKE(fluke_region_reference(wrong, &ref), FLUKE_INSANITY_NOT_REGION, wrong);
    CHECK_MISTAKE(fluke_region_set_state(wrong, NULL, NULL, NULL), FLUKE_INSANITY_NOT_REGION, wrong);
    fluke_port_destroy(&port);
}

/* Taking access away reaches pages that are in use, and giving it back lets them be used again. */
static void change_access(void)
{
    open_window(&window, fluke_start_block->space_ref);
    poke(WINDOW, 1);
    set_region(&window.region, memory, MEMORY_SIZE, FLUKE_PROT_READ);
    CHECK(peek(WINDOW) == 1);
    CHECK_MISTAKE(poke(WINDOW, 2), FLUKE_EXCEPTION_STORE_FAULT, WINDOW);
    set_region(&window.region, memory, MEMORY_SIZE, FLUKE_PROT_NONE);
    CHECK_MISTAKE(peek(WINDOW), FLUKE_EXCEPTION_LOAD_FAULT, WINDOW);
    set_region(&window.region, memory, MEMORY_SIZE, FLUKE_PROT_ALL);
    poke(WINDOW, 3);
    CHECK(memory[0] == 3);
    close_window(&window);
}

static void shrink(void)
{
    open_window(&window, fluke_start_block->space_ref);
    poke(WINDOW + PAGE_WORDS, 1);
    set_region(&window.region, memory, FLUKE_PAGE_SIZE, FLUKE_PROT_ALL);
    CHECK_MISTAKE(peek(WINDOW + PAGE_WORDS), FLUKE_EXCEPTION_LOAD_FAULT, WINDOW + PAGE_WORDS);
    poke(WINDOW, 2);
    CHECK(memory[0] == 2);
    close_window(&window);
}

static void shift(void)
{
    memory[0] = 10;
    memory[PAGE_WORDS] = 11;
    open_window(&window, fluke_start_block->space_ref);
    CHECK(peek(WINDOW) == 10);
    set_region(&window.region, memory + PAGE_WORDS, FLUKE_PAGE_SIZE, FLUKE_PROT_ALL);
    CHECK(peek(WINDOW) == 11);
    close_window(&window);
}

static void destroy(void)
{
    open_window(&window, fluke_start_block->space_ref);
    poke(WINDOW, 1);
    fluke_region_destroy(&window.region);
    CHECK_MISTAKE(peek(WINDOW), FLUKE_EXCEPTION_LOAD_FAULT, WINDOW);
    fluke_region_create(&window.region);
    close_window(&window);
}

static void lose_space(void)
{
    fluke_ref_create(&ref);
    open_window(&window, fluke_start_block->space_ref);
    poke(WINDOW, 1);
    fluke_region_set_state(&window.region, NULL, &ref, NULL);
    CHECK_MISTAKE(peek(WINDOW), FLUKE_EXCEPTION_LOAD_FAULT, WINDOW);
    fluke_region_set_state(&window.region, NULL, fluke_start_block->space_ref, NULL);
    CHECK(peek(WINDOW) == 1);
    close_window(&window);
    fluke_ref_destroy(&ref);
}

static void move(void)
{
    open_window(&window, fluke_start_block->space_ref);
    poke(WINDOW, 4);
    fluke_region_move(&window.region, &place);
    CHECK(peek(WINDOW) == 4);
    CHECK_MISTAKE(set_region(&window.region, memory, 0, 0), FLUKE_INSANITY_NO_OBJECT, &window.region);
    set_region(&place, memory, MEMORY_SIZE, FLUKE_PROT_NONE);
    CHECK_MISTAKE(peek(WINDOW), FLUKE_EXCEPTION_LOAD_FAULT, WINDOW);
    fluke_region_move(&place, &window.region);
    close_window(&window);
}

const struct usertest region_tests[] = {
    {"region_new", "What is a region that was only created?", make_new},
    {"region_load", "Are a region's range, access, space and keeper kept?", load},
    {"region_impossible", "Are impossible states of a region refused?", load_impossible},
    {"region_other_type", "What if the object there is no region?", find_another_type},
    {"region_access", "Can a region's access be taken away and given back?", change_access},
    {"region_shrink", "What of a mapping lies beyond the end of its region?", shrink},
    {"region_shift", "Do mappings follow a region that begins elsewhere?", shift},
    {"region_destroy", "What do mappings show when their region is destroyed?", destroy},
    {"region_without_space", "What do mappings show when their region has no space?", lose_space},
    {"region_move", "Do mappings stay when a region object is moved?", move},
    {0},
};
