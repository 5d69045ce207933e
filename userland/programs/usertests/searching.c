/* Looking through regions: which objects are there, which pages have been written. */

#include "usertests.h"

static struct window window;
static fluke_mutex_t *const mutexes = (fluke_mutex_t *)WINDOW; /* objects in the window lie in `memory` too */
static struct fluke_obspec found[8];
static uint64_t offsets[8];

enum { SLOTS_OF_PAGE = FLUKE_PAGE_SIZE / FLUKE_SLOT_SIZE, SECOND = SLOTS_OF_PAGE + 1 };

static void begin(void)
{
    open_window(&window, fluke_start_block->space_ref);
    memory[0] = memory[PAGE_WORDS] = 1; /* both pages are there */
}

static void finish(void)
{
    close_window(&window);
}

static void begin_with_objects(void)
{
    begin();
    fluke_mutex_create(&mutexes[3]);
    fluke_cond_create((fluke_cond_t *)&mutexes[4]);
    fluke_ref_create((fluke_ref_t *)&mutexes[SECOND]);
}

static void finish_with_objects(void)
{
    fluke_ref_destroy((fluke_ref_t *)&mutexes[SECOND]);
    fluke_cond_destroy((fluke_cond_t *)&mutexes[4]);
    fluke_mutex_destroy(&mutexes[3]);
    finish();
}

/* Searches a part of the region; returns how many objects were found, and moves the offset on. */
static uint64_t search(uint64_t *offset, uint64_t size, uint64_t room)
{
    uint64_t capacity = room;

    fluke_region_search(&window.region, offset, size, found, &capacity);
    return room - capacity;
}

static bool is_found(unsigned index, unsigned slot, fluke_type_t type)
{
    return found[index].ob == (char *)memory + slot * FLUKE_SLOT_SIZE && found[index].type == type;
}

static void find_all(void)
{
    uint64_t offset = 0;

    begin_with_objects();
    CHECK(search(&offset, MEMORY_SIZE, 8) == 3 && offset == MEMORY_SIZE);
    CHECK(is_found(0, 3, FLUKE_MUTEX) && is_found(1, 4, FLUKE_COND) && is_found(2, SECOND, FLUKE_REF));
    finish_with_objects();
}

static void find_in_parts(void)
{
    uint64_t offset = 0;

    begin_with_objects();
    CHECK(search(&offset, MEMORY_SIZE, 1) == 1 && is_found(0, 3, FLUKE_MUTEX));
    CHECK(offset == 4 * FLUKE_SLOT_SIZE); /* the next object is there */
    CHECK(search(&offset, MEMORY_SIZE - offset, 0) == 0 && offset == 4 * FLUKE_SLOT_SIZE);
    CHECK(search(&offset, MEMORY_SIZE - offset, 2) == 2 && is_found(1, SECOND, FLUKE_REF));
    CHECK(offset == MEMORY_SIZE);
    offset = 4 * FLUKE_SLOT_SIZE;
    CHECK(search(&offset, FLUKE_SLOT_SIZE, 8) == 1 && is_found(0, 4, FLUKE_COND));
    CHECK(offset == 5 * FLUKE_SLOT_SIZE);
    CHECK(search(&offset, 0, 8) == 0 && offset == 5 * FLUKE_SLOT_SIZE);
    finish_with_objects();
}

/* A page that is no longer in the region's space has no objects there, but keeps them. */
static void find_none_where_nothing_is(void)
{
    fluke_region_t over;
    struct fluke_region_state state = {.start_va = (uint64_t)WINDOW, .size = MEMORY_SIZE, .prot = FLUKE_PROT_ALL};
    uint64_t offset = 0, capacity = 8;

    begin_with_objects();
    fluke_region_create(&over);
    fluke_region_set_state(&over, &state, fluke_start_block->space_ref, NULL);
    fluke_region_search(&over, &offset, MEMORY_SIZE, found, &capacity);
    CHECK(capacity == 5 && found[0].ob == &mutexes[3]); /* at its address in that region's space */
    set_mapping(&window.mapping, 0, WINDOW, FLUKE_PAGE_SIZE, FLUKE_PROT_ALL);
    offset = 0;
    capacity = 8;
    fluke_region_search(&over, &offset, MEMORY_SIZE, found, &capacity);
    CHECK(capacity == 6 && offset == MEMORY_SIZE);
    set_mapping(&window.mapping, 0, WINDOW, MEMORY_SIZE, FLUKE_PROT_ALL);
    fluke_region_destroy(&over);
    finish_with_objects();
}

static void search_impossibly(void)
{
    uint64_t offset = 64, capacity = 8;

    begin_with_objects();
    CHECK_MISTAKE(fluke_region_search(&window.region, &offset, -32ul, found, &capacity),
                  FLUKE_INSANITY_INVALID_ADDRESS, 64);
    offset = 0;
    CHECK_MISTAKE(fluke_region_search(&window.region, &offset, MEMORY_SIZE, (void *)((char *)found + 4), &capacity),
                  FLUKE_INSANITY_NOT_ALIGNED, (char *)found + 4);
    CHECK_MISTAKE(fluke_region_search(&window.region, &offset, MEMORY_SIZE, READ_ONLY, &capacity),
                  FLUKE_EXCEPTION_STORE_FAULT, READ_ONLY);
    CHECK(offset == 0 && capacity == 8);
    CHECK_MISTAKE(fluke_region_search((fluke_region_t *)&window.mapping, &offset, 0, found, &capacity),
                  FLUKE_INSANITY_NOT_REGION, &window.mapping);
    finish_with_objects();
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

const struct usertest search_tests[] = {
    {"search_all", "Are all objects of a region found, in order, with their types?", find_all},
    {"search_in_parts", "Does a search go on where its list was full?", find_in_parts},
    {"search_unmapped", "Does a region over nothing have no objects?", find_none_where_nothing_is},
    {"search_impossible", "Are ranges and lists refused that cannot be, with nothing found?", search_impossibly},
    {0},
};

const struct usertest change_tests[] = {
    {"changed", "Is every page told of that was written since a generation, and no other?", follow_changes},
    {"changed_by_kernel", "Does a page count that a system call has written?", follow_kernel},
    {"changed_in_parts", "Does a round go on where its list was full, and miss nothing?", follow_in_parts},
    {"changed_impossible", "Are impossible questions refused?", follow_impossibly},
    {0},
};
