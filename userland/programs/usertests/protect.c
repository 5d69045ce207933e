/* What regions and mappings grant: lowered, raised, along a chain, and where there is nothing to be granted. */

#include "usertests.h"

static struct window window;
static fluke_region_t above;
static fluke_mapping_t higher;
static fluke_ref_t above_ref;
static uint64_t *const HIGHER = (uint64_t *)0x2100000000;

enum { READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE };

/* A view of the window at another address, by a region over the window itself. */
static void begin_chain(void)
{
    struct fluke_region_state region = {.start_va = (uint64_t)WINDOW, .size = MEMORY_SIZE, .prot = FLUKE_PROT_ALL};
    struct fluke_mapping_state mapping = {.start_va = (uint64_t)HIGHER, .size = MEMORY_SIZE, .prot = FLUKE_PROT_ALL};

    open_window(&window, fluke_start_block->space_ref);
    fluke_region_create(&above);
    fluke_region_set_state(&above, &region, fluke_start_block->space_ref, NULL);
    fluke_ref_create(&above_ref);
    fluke_region_reference(&above, &above_ref);
    fluke_mapping_create(&higher);
    fluke_mapping_set_state(&higher, &mapping, &above_ref, fluke_start_block->space_ref);
    poke(HIGHER, 1);
}

static void finish_chain(void)
{
    fluke_mapping_destroy(&higher);
    fluke_ref_destroy(&above_ref);
    fluke_region_destroy(&above);
    close_window(&window);
}

static void lower_and_raise_region(void)
{
    begin_chain();
    fluke_region_protect(&window.region, FLUKE_PROT_READ);
    CHECK(peek(WINDOW) == 1 && peek(HIGHER) == 1);
    CHECK_MISTAKE(poke(WINDOW, 2), FLUKE_EXCEPTION_STORE_FAULT, WINDOW);
    CHECK_MISTAKE(poke(HIGHER, 2), FLUKE_EXCEPTION_STORE_FAULT, HIGHER);
    fluke_region_protect(&window.region, FLUKE_PROT_NONE);
    CHECK_MISTAKE(peek(HIGHER), FLUKE_EXCEPTION_LOAD_FAULT, HIGHER);
    fluke_region_protect(&window.region, FLUKE_PROT_ALL);
    poke(HIGHER, 3);
    CHECK(memory[0] == 3);
    finish_chain();
}

static void lower_and_raise_mapping(void)
{
    begin_chain();
    fluke_mapping_protect(&window.mapping, FLUKE_PROT_READ);
    CHECK_MISTAKE(poke(WINDOW, 2), FLUKE_EXCEPTION_STORE_FAULT, WINDOW);
    CHECK_MISTAKE(poke(HIGHER, 2), FLUKE_EXCEPTION_STORE_FAULT, HIGHER);
    fluke_mapping_protect(&window.mapping, FLUKE_PROT_NONE);
    CHECK_MISTAKE(peek(WINDOW), FLUKE_EXCEPTION_LOAD_FAULT, WINDOW);
    CHECK_MISTAKE(peek(HIGHER), FLUKE_EXCEPTION_LOAD_FAULT, HIGHER);
    fluke_mapping_protect(&window.mapping, READ_WRITE);
    poke(HIGHER, 4);
    CHECK(memory[0] == 4);
    finish_chain();
}

/* What is lowered far up does not touch who is not below. */
static void lower_one_of_two(void)
{
    begin_chain();
    fluke_mapping_protect(&higher, FLUKE_PROT_READ);
    CHECK_MISTAKE(poke(HIGHER, 2), FLUKE_EXCEPTION_STORE_FAULT, HIGHER);
    poke(WINDOW, 5);
    CHECK(peek(HIGHER) == 5);
    finish_chain();
}

static void ask_for_more_than_the_region_gives(void)
{
    struct fluke_mapping_state state;

    begin_chain();
    fluke_region_protect(&window.region, FLUKE_PROT_READ);
    fluke_mapping_protect(&window.mapping, FLUKE_PROT_ALL);
    CHECK_MISTAKE(poke(WINDOW, 2), FLUKE_EXCEPTION_STORE_FAULT, WINDOW);
    fluke_mapping_get_state(&window.mapping, &state, NULL, NULL);
    CHECK(state.prot == FLUKE_PROT_ALL); /* and gets it when the region gives it */
    fluke_region_protect(&window.region, FLUKE_PROT_ALL);
    poke(WINDOW, 6);
    CHECK(memory[0] == 6);
    finish_chain();
}

static void protect_impossibly(void)
{
    begin_chain();
    CHECK_MISTAKE(fluke_region_protect(&window.region, 8), FLUKE_INSANITY_INVALID_PROT, 8);
    CHECK_MISTAKE(fluke_mapping_protect(&window.mapping, 1ul << 63), FLUKE_INSANITY_INVALID_PROT, 1ul << 63);
    CHECK_MISTAKE(fluke_region_protect((fluke_region_t *)&window.mapping, 1), FLUKE_INSANITY_NOT_REGION,
                  &window.mapping);
    CHECK_MISTAKE(fluke_mapping_protect((fluke_mapping_t *)&window.region, 1), FLUKE_INSANITY_NOT_MAPPING,
                  &window.region);
    CHECK_MISTAKE(fluke_region_protect(READ_ONLY, 1), FLUKE_EXCEPTION_STORE_FAULT, READ_ONLY);
    CHECK_MISTAKE(fluke_mapping_protect(NOWHERE, 1), FLUKE_EXCEPTION_STORE_FAULT, NOWHERE);
    poke(HIGHER, 7); /* all is as it was */
    finish_chain();
}

/* A region that shrinks takes the end of what shows it along; it may grow again. */
static void shrink(void)
{
    begin_chain();
    poke(HIGHER + PAGE_WORDS, 8);
    set_region(&window.region, memory, FLUKE_PAGE_SIZE, FLUKE_PROT_ALL);
    CHECK(peek(HIGHER) == 1);
    CHECK_MISTAKE(peek(HIGHER + PAGE_WORDS), FLUKE_EXCEPTION_LOAD_FAULT, HIGHER + PAGE_WORDS);
    CHECK_MISTAKE(peek(WINDOW + PAGE_WORDS), FLUKE_EXCEPTION_LOAD_FAULT, WINDOW + PAGE_WORDS);
    set_region(&window.region, memory, MEMORY_SIZE, FLUKE_PROT_ALL);
    CHECK(peek(HIGHER + PAGE_WORDS) == 8);
    finish_chain();
}

static void cut_the_chain(void)
{
    fluke_ref_t null;

    begin_chain();
    fluke_ref_create(&null);
    fluke_region_set_state(&above, NULL, &null, NULL);
    CHECK_MISTAKE(peek(HIGHER), FLUKE_EXCEPTION_LOAD_FAULT, HIGHER);
    fluke_region_set_state(&above, NULL, fluke_start_block->space_ref, NULL);
    CHECK(peek(HIGHER) == 1);
    fluke_mapping_set_state(&window.mapping, NULL, &null, NULL);
    CHECK_MISTAKE(peek(HIGHER), FLUKE_EXCEPTION_LOAD_FAULT, HIGHER);
    fluke_mapping_set_state(&window.mapping, NULL, &window.region_ref, &null);
    CHECK_MISTAKE(peek(HIGHER), FLUKE_EXCEPTION_LOAD_FAULT, HIGHER);
    fluke_mapping_set_state(&window.mapping, NULL, NULL, fluke_start_block->space_ref);
    CHECK(peek(HIGHER) == 1);
    fluke_ref_destroy(&null);
    finish_chain();
}

/* The window shows the higher view, which shows the window. */
static void go_round(void)
{
    begin_chain();
    set_region(&window.region, HIGHER, MEMORY_SIZE, FLUKE_PROT_ALL);
    CHECK_MISTAKE(peek(WINDOW), FLUKE_EXCEPTION_LOAD_FAULT, WINDOW);
    CHECK_MISTAKE(poke(HIGHER, 1), FLUKE_EXCEPTION_STORE_FAULT, HIGHER);
    fluke_region_protect(&window.region, FLUKE_PROT_READ);
    set_region(&window.region, memory, MEMORY_SIZE, FLUKE_PROT_ALL);
    CHECK(peek(HIGHER) == 1);
    finish_chain();
}

static void wrap_in_the_region(void)
{
    uint64_t last = -(uint64_t)FLUKE_PAGE_SIZE;

    begin_chain();
    CHECK_MISTAKE(set_mapping(&higher, last, HIGHER, MEMORY_SIZE, READ_WRITE), FLUKE_INSANITY_INVALID_ADDRESS, last);
    set_mapping(&higher, last, HIGHER, FLUKE_PAGE_SIZE, READ_WRITE);
    CHECK_MISTAKE(peek(HIGHER), FLUKE_EXCEPTION_LOAD_FAULT, HIGHER);
    finish_chain();
}

/* An object stays where its page is, and is found again when that can be seen again. */
static void hide_object(void)
{
    fluke_mutex_t *mutex = (fluke_mutex_t *)HIGHER + 8;

    begin_chain();
    fluke_mutex_create(mutex);
    fluke_mutex_lock(mutex);
    fluke_region_protect(&above, FLUKE_PROT_NONE);
    CHECK_MISTAKE(fluke_mutex_unlock(mutex), FLUKE_EXCEPTION_LOAD_FAULT, mutex);
    fluke_region_protect(&above, FLUKE_PROT_READ);
    fluke_mutex_unlock(mutex);
    CHECK_MISTAKE(fluke_mutex_destroy(mutex), FLUKE_EXCEPTION_STORE_FAULT, mutex);
    fluke_region_protect(&above, FLUKE_PROT_ALL);
    fluke_mutex_destroy(mutex);
    finish_chain();
}

const struct usertest protect_tests[] = {
    {"region_protect", "Does a region give what it is told to, however deep?", lower_and_raise_region},
    {"mapping_protect", "Does a mapping grant what it is told to, to all below?", lower_and_raise_mapping},
    {"protect_one_of_two", "Do those beside keep their access?", lower_one_of_two},
    {"protect_too_much", "Is a mapping bounded by its region, for as long as that is so?",
     ask_for_more_than_the_region_gives},
    {"protect_impossible", "Are wrong rights and wrong objects refused?", protect_impossibly},
    {"region_shrinks", "Does a region take away what it has lost, and give it back?", shrink},
    {"chain_cut", "Is memory gone where any link of the chain is null, and back with it?", cut_the_chain},
    {"mapping_ring", "Does a ring of mappings show nothing?", go_round},
    {"mapping_wraps", "Is a mapping beyond the end of all offsets refused?", wrap_in_the_region},
    {"object_hidden", "Does an object live on in a page that cannot be seen?", hide_object},
    {0},
};
