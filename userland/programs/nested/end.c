/* What a child leaves when it has exited, and its end. */

#include "nested.h"

enum { MOST_FOUND = 4 }; /* so few that there is a rest to ask for */

/* Lists objects in the child's memory from `offset` on, which is moved on; returns how many were found. */
static uint64_t find_objects(struct child *child, uint64_t *offset, struct fluke_obspec found[MOST_FOUND])
{
    uint64_t room = MOST_FOUND;

    fluke_region_search(&child->memory_region, offset, child->size - *offset, found, &room);
    return MOST_FOUND - room;
}

void count_objects(struct child *child, unsigned counts[FLUKE_REF + 1])
{
    struct fluke_obspec found[MOST_FOUND];

    for (uint64_t offset = 0; offset < child->size;)
        for (uint64_t i = find_objects(child, &offset, found); i > 0; i--)
            counts[found[i - 1].type]++;
}

static void destroy_object(const struct fluke_obspec *found)
{
    switch (found->type) {
    case FLUKE_THREAD: fluke_thread_destroy(found->ob); break;
    case FLUKE_SPACE: fluke_space_destroy(found->ob); break;
    case FLUKE_REGION: fluke_region_destroy(found->ob); break;
    case FLUKE_MAPPING: fluke_mapping_destroy(found->ob); break;
    case FLUKE_PORT: fluke_port_destroy(found->ob); break;
    case FLUKE_PORTSET: fluke_portset_destroy(found->ob); break;
    case FLUKE_MUTEX: fluke_mutex_destroy(found->ob); break;
    case FLUKE_COND: fluke_cond_destroy(found->ob); break;
    case FLUKE_REF: fluke_ref_destroy(found->ob); break;
    }
}

/*
 * The space goes first: whatever threads the child has stand still then. Its objects, wherever it made them in its
 * memory, are found from here, and named by the addresses at which they are seen here.
 */
void destroy_child(struct child *child)
{
    struct fluke_obspec found[MOST_FOUND];

    fluke_space_destroy(&child->space);
    for (uint64_t offset = 0; offset < child->size;)
        for (uint64_t i = find_objects(child, &offset, found); i > 0; i--)
            destroy_object(&found[i - 1]);
    fluke_mapping_destroy(&child->code_mapping);
    for (int i = 0; i < PARTS; i++)
        fluke_mapping_destroy(&child->parts[i].mapping);
    fluke_region_destroy(&child->code_region);
    fluke_region_destroy(&child->memory_region);
    for (int i = 0; i < PORTS; i++)
        fluke_port_destroy(&child->ports[i]);
    fluke_portset_destroy(&child->portset);
    free(child->block);
}
