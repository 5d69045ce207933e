/* Which pages of a region have been written, and since when. */

#include "usertests.h"

static struct window window;
static uint64_t offsets[8];

static void begin(void)
{
    open_window(&window, fluke_start_block->space_ref);
    memory[0] = memory[PAGE_WORDS] = 1; /* both pages are there */
}

static void finish(void)
{
    close_window(&window);
}

/* Asks for the pages written since a generation; returns how many, and the generation of the next question. */
static uint64_t changed(uint64_t since, uint64_t *generation)
{
    uint64_t offset = 0, capacity = 8;

    *generation = 0;
    fluke_region_changed(&window.region, &offset, MEMORY_SIZE, offsets, &capacity, since, generation);
    CHECK(offset == MEMORY_SIZE);
    return 8 - capacity;
}

static void follow_changes(void)
{
    uint64_t first, second, third;

    begin();
    CHECK(changed(0, &first) == 2 && offsets[0] == 0 && offsets[1] == FLUKE_PAGE_SIZE);
    CHECK(changed(first, &second) == 0 && second > first);
    poke(WINDOW + PAGE_WORDS, 2);
    (void)peek(WINDOW);
    CHECK(changed(second, &third) == 1 && offsets[0] == FLUKE_PAGE_SIZE);
    CHECK(changed(third, &third) == 0);
    CHECK(changed(first, &third) == 1 && offsets[0] == FLUKE_PAGE_SIZE); /* somebody else's question */
    CHECK(changed(1ul << 60, &third) == 2);                              /* no generation that was ever given */
    finish();
}

/* What the kernel writes for a program counts too. */
static void follow_kernel(void)
{
    uint64_t generation, next;

    begin();
    changed(0, &generation);
    fluke_region_get_state(&window.region, (struct fluke_region_state *)(WINDOW + PAGE_WORDS), NULL, NULL);
    CHECK(changed(generation, &next) == 1 && offsets[0] == FLUKE_PAGE_SIZE);
    finish();
}

static void follow_device(void)
{
    uint64_t generation, next, request[] = {FLUKE_TIMER_NOW, 0};
    struct fluke_ipc_params params = {
        .send_buffer = request, .send_words = 2, .receive_buffer = WINDOW + 4, .receive_words = 2};

    begin();
    changed(0, &generation);
    fluke_ipc_call(fluke_start_block->timer_ref, &params);
    CHECK(changed(generation, &next) == 1 && offsets[0] == 0);
    finish();
}

/* A page that is written through each of many views, between two rounds. */
static void follow_many_views(void)
{
    enum { VIEWS = 12 };
    static fluke_mapping_t views[VIEWS];
    uint64_t *const first = (uint64_t *)0x2100000000, generation, next;
    struct fluke_mapping_state state = {.size = FLUKE_PAGE_SIZE, .prot = FLUKE_PROT_READ | FLUKE_PROT_WRITE};

    begin();
    for (unsigned i = 0; i < VIEWS; i++) {
        state.start_va = (uint64_t)(first + i * PAGE_WORDS);
        fluke_mapping_create(&views[i]);
        fluke_mapping_set_state(&views[i], &state, &window.region_ref, fluke_start_block->space_ref);
        poke(first + i * PAGE_WORDS, i);
    }
    changed(0, &generation);
    for (unsigned i = 0; i < VIEWS; i++)
        poke(first + i * PAGE_WORDS, i);
    CHECK(changed(generation, &next) == 1 && offsets[0] == 0);
    for (unsigned i = 0; i < VIEWS; i++) {
        generation = next;
        poke(first + i * PAGE_WORDS, i);
        CHECK(changed(generation, &next) == 1 && offsets[0] == 0);
    }
    for (unsigned i = 0; i < VIEWS; i++)
        fluke_mapping_destroy(&views[i]);
    finish();
}

static void follow_in_parts(void)
{
    uint64_t offset = 0, capacity = 1, generation = 0, next;

    begin();
    fluke_region_changed(&window.region, &offset, MEMORY_SIZE, offsets, &capacity, 0, &generation);
    CHECK(capacity == 0 && offset == FLUKE_PAGE_SIZE && offsets[0] == 0);
    poke(WINDOW, 3); /* between two parts of a round: for the next one */
    next = generation;
    capacity = 8;
    fluke_region_changed(&window.region, &offset, FLUKE_PAGE_SIZE, offsets, &capacity, 0, &next);
    CHECK(capacity == 7 && offset == MEMORY_SIZE && offsets[0] == FLUKE_PAGE_SIZE && next == generation);
    CHECK(changed(generation, &next) == 1 && offsets[0] == 0);
    finish();
}

static void follow_impossibly(void)
{
    uint64_t offset = 64, capacity = 8, generation = 0;

    begin();
    CHECK_MISTAKE(fluke_region_changed(&window.region, &offset, -32ul, offsets, &capacity, 0, &generation),
                  FLUKE_INSANITY_INVALID_ADDRESS, 64);
    offset = 0;
    CHECK_MISTAKE(fluke_region_changed(&window.region, &offset, MEMORY_SIZE, READ_ONLY, &capacity, 0, &generation),
                  FLUKE_EXCEPTION_STORE_FAULT, READ_ONLY);
    CHECK(generation == 0 && capacity == 8);
    finish();
}

const struct usertest change_tests[] = {
    {"changed", "Is every page told of that was written since a generation, and no other?", follow_changes},
    {"changed_by_kernel", "Does a page count that a system call has written?", follow_kernel},
    {"changed_by_device", "Does a page count that a device's answer has written?", follow_device},
    {"changed_in_many_views", "Does a page count through whichever of many views it was written?", follow_many_views},
    {"changed_in_parts", "Does a round go on where its list was full, and miss nothing?", follow_in_parts},
    {"changed_impossible", "Are impossible questions refused?", follow_impossibly},
    {0},
};
