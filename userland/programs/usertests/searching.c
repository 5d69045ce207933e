/* Looking through regions: which objects are there. */

#include "usertests.h"

static struct window window;
static fluke_mutex_t *const mutexes = (fluke_mutex_t *)WINDOW; /* objects in the window lie in `memory` too */
static struct fluke_obspec found[8];

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

/* An object of each type, in the second page. */
static void find_each_type(void)
{
    fluke_mutex_t *slots = &mutexes[SLOTS_OF_PAGE];
    uint64_t offset = FLUKE_PAGE_SIZE, generous = 16;
    struct fluke_obspec all[16];

    begin();
    fluke_thread_create((fluke_thread_t *)&slots[FLUKE_THREAD]);
    fluke_space_create((fluke_space_t *)&slots[FLUKE_SPACE]);
    fluke_region_create((fluke_region_t *)&slots[FLUKE_REGION]);
    fluke_mapping_create((fluke_mapping_t *)&slots[FLUKE_MAPPING]);
    fluke_port_create((fluke_port_t *)&slots[FLUKE_PORT]);
    fluke_portset_create((fluke_portset_t *)&slots[FLUKE_PORTSET]);
    fluke_mutex_create(&slots[FLUKE_MUTEX]);
    fluke_cond_create((fluke_cond_t *)&slots[FLUKE_COND]);
    fluke_ref_create((fluke_ref_t *)&slots[FLUKE_REF]);
    fluke_region_search(&window.region, &offset, FLUKE_PAGE_SIZE, all, &generous);
    CHECK(generous == 16 - FLUKE_REF);
    for (uint64_t type = FLUKE_THREAD; type <= FLUKE_REF; type++)
        CHECK(all[type - 1].type == type && all[type - 1].ob == (char *)(memory + PAGE_WORDS) + type * FLUKE_SLOT_SIZE);
    fluke_ref_destroy((fluke_ref_t *)&slots[FLUKE_REF]);
    fluke_cond_destroy((fluke_cond_t *)&slots[FLUKE_COND]);
    fluke_mutex_destroy(&slots[FLUKE_MUTEX]);
    fluke_portset_destroy((fluke_portset_t *)&slots[FLUKE_PORTSET]);
    fluke_port_destroy((fluke_port_t *)&slots[FLUKE_PORT]);
    fluke_mapping_destroy((fluke_mapping_t *)&slots[FLUKE_MAPPING]);
    fluke_region_destroy((fluke_region_t *)&slots[FLUKE_REGION]);
    fluke_space_destroy((fluke_space_t *)&slots[FLUKE_SPACE]);
    fluke_thread_destroy((fluke_thread_t *)&slots[FLUKE_THREAD]);
    finish();
}

/* A region of half of all addresses, of which the window is a small part; and a region that shows itself. */
static void search_far(void)
{
    enum { RING_SIZE = 200 * FLUKE_PAGE_SIZE };
    static fluke_region_t over;
    const uint64_t far = 64ul << 30;
    uint64_t offset = 0, capacity = 8;

    begin_with_objects();
    fluke_region_create(&over);
    set_region(&over, (char *)WINDOW - far, 2 * far, FLUKE_PROT_ALL);
    fluke_region_set_state(&over, NULL, fluke_start_block->space_ref, NULL);
    fluke_region_search(&over, &offset, 2 * far, found, &capacity);
    CHECK(capacity == 5 && offset == 2 * far && found[2].ob == &mutexes[SECOND]);
    fluke_region_destroy(&over);
    set_mapping(&window.mapping, 0, WINDOW, RING_SIZE, FLUKE_PROT_ALL);
    set_region(&window.region, WINDOW, RING_SIZE, FLUKE_PROT_ALL);
    offset = 0;
    CHECK(search(&offset, RING_SIZE, 8) == 0 && offset == RING_SIZE);
    set_region(&window.region, memory, MEMORY_SIZE, FLUKE_PROT_ALL);
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

const struct usertest search_tests[] = {
    {"search_all", "Are all objects of a region found, in order, with their types?", find_all},
    {"search_in_parts", "Does a search go on where its list was full?", find_in_parts},
    {"search_each_type", "Are objects of every type found?", find_each_type},
    {"search_far", "Does a search of very much, or of a ring, come to its end?", search_far},
    {"search_unmapped", "Does a region over nothing have no objects?", find_none_where_nothing_is},
    {"search_impossible", "Are ranges and lists refused that cannot be, with nothing found?", search_impossibly},
    {0},
};
