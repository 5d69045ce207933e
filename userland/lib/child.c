/* Child processes: their memory, and what they have outside of it. */

#include "checkpoint.h"
#include <child.h>

enum { READ_EXECUTE = FLUKE_PROT_READ | FLUKE_PROT_EXECUTE, READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE };
enum { MOST_FOUND = 16 };

/* From the program's layout: code and constants, then variables, at first those that are not zero at the start. */
extern const char fluke_code_start[];
extern char fluke_data_start[], fluke_bss_start[], fluke_data_end[];

static size_t whole_pages(size_t size)
{
    return (size + FLUKE_PAGE_SIZE - 1) / FLUKE_PAGE_SIZE * FLUKE_PAGE_SIZE;
}

/* -- The memory --------------------------------------------------------------------------------------------------- */

int fluke_child_add(struct fluke_child *child, uint64_t at, uint64_t size, uint64_t prot)
{
    if (child->part_count == FLUKE_CHILD_PARTS || at % FLUKE_PAGE_SIZE != 0 || at < FLUKE_USER_START
        || at >= FLUKE_USER_END || size == 0 || size > FLUKE_USER_END - at)
        return -1;
    size = whole_pages(size);
    for (int i = 0; i < child->part_count; i++)
        if (at < child->parts[i].at + child->parts[i].size && child->parts[i].at < at + size)
            return -1;
    child->parts[child->part_count] = (struct fluke_child_part){.at = at, .size = size, .prot = prot};
    child->size += size;
    return child->part_count++;
}

int fluke_child_add_own(struct fluke_child *child)
{
    if (fluke_bss_start - fluke_data_start != 0)
        return -1;
    child->shares_code = true;
    return fluke_child_add(child, (uint64_t)fluke_data_start, (uint64_t)(fluke_data_end - fluke_data_start),
                           READ_WRITE);
}

size_t fluke_child_room(const struct fluke_child *child)
{
    return child->size + FLUKE_PAGE_SIZE;
}

void fluke_child_place(struct fluke_child *child, void *block)
{
    char *here = child->memory = (char *)whole_pages((size_t)block);

    for (int i = 0; i < child->part_count; i++) {
        child->parts[i].here = here;
        here += child->parts[i].size;
    }
    if (child->is_open) {
        struct fluke_region_state state;
        fluke_region_get_state(&child->region, &state, NULL, NULL);
        state.start_va = (uint64_t)child->memory;
        fluke_region_set_state(&child->region, &state, NULL, NULL);
    }
}

uint64_t fluke_child_objects(struct fluke_child *child, uint64_t *offset, struct fluke_obspec *list, uint64_t room)
{
    uint64_t left = room;

    fluke_region_search(&child->region, offset, child->size - *offset, list, &left);
    return room - left;
}

/* -- Objects of the program's own, of which it is noted which are there ------------------------------------------- */

static bool make(struct fluke_child *child, uint64_t type, void *object, uint64_t hash)
{
    if (fluke_kinds[type].create(object, hash) != FLUKE_SUCCESS)
        return false;
    child->made[child->made_count++] = (struct fluke_obspec){.ob = object, .type = type};
    return true;
}

/* Destroys what was made last, until so much is left. */
static void unmake(struct fluke_child *child, uint64_t left)
{
    while (child->made_count > left) {
        const struct fluke_obspec *last = &child->made[--child->made_count];
        fluke_kinds[last->type].destroy(last->ob);
    }
}

/* -- Outside the memory ------------------------------------------------------------------------------------------- */

static bool make_region(struct fluke_child *child, fluke_region_t *region, const void *start, size_t size,
                        uint64_t prot)
{
    struct fluke_region_state state = {.start_va = (uint64_t)start, .size = size, .prot = prot};

    if (!make(child, FLUKE_REGION, region, 0))
        return false;
    fluke_region_set_state(region, &state, fluke_start_block->space_ref, NULL);
    return true;
}

static bool map(struct fluke_child *child, fluke_mapping_t *mapping, fluke_region_t *region,
                struct fluke_mapping_state state)
{
    if (!make(child, FLUKE_MAPPING, mapping, 0))
        return false;
    fluke_region_reference(region, &child->link);
    fluke_mapping_set_state(mapping, &state, &child->link, &child->refs[FLUKE_CHILD_SPACE]);
    return true;
}

/* Shows the child its parts. The constants are among the code: nobody can execute them here, so neither there. */
static bool map_all(struct fluke_child *child)
{
    const uint64_t code_at = (uint64_t)fluke_code_start, code_size = (uint64_t)(fluke_data_start - fluke_code_start);

    if (child->shares_code
        && (!make_region(child, &child->code_region, fluke_code_start, code_size, READ_EXECUTE)
            || !map(child, &child->code_mapping, &child->code_region,
                    (struct fluke_mapping_state){.start_va = code_at, .size = code_size, .prot = READ_EXECUTE})))
        return false;
    for (struct fluke_child_part *part = child->parts; part < child->parts + child->part_count; part++)
        if (!map(child, &part->mapping, &child->region,
                 (struct fluke_mapping_state){.region_off = (uint64_t)(part->here - child->memory),
                                              .start_va = part->at,
                                              .size = part->size,
                                              .prot = part->prot}))
            return false;
    return true;
}

/* Makes a port of the program's own, to which the child's reference refers; for the space, that of its keeper. */
static bool make_port(struct fluke_child *child, unsigned number)
{
    const struct fluke_port_state state = {.alias = number};
    fluke_ref_t *ref = number == FLUKE_CHILD_SPACE ? &child->link : &child->refs[number];

    if (!make(child, FLUKE_PORT, &child->ports[number], child->port_hashes[number]))
        return false;
    fluke_port_set_state(&child->ports[number], &state, &child->portset_ref);
    fluke_port_reference(&child->ports[number], ref);
    child->port_hashes[number] = fluke_ref_hash(ref);
    if (number == FLUKE_CHILD_SPACE)
        fluke_space_set_state(&child->space, NULL, ref);
    return true;
}

bool fluke_child_enter(struct fluke_child *child)
{
    if (!make(child, FLUKE_SPACE, &child->space, child->space_hash))
        return false;
    fluke_space_reference(&child->space, &child->refs[FLUKE_CHILD_SPACE]);
    child->space_hash = fluke_ref_hash(&child->refs[FLUKE_CHILD_SPACE]);
    bool made = map_all(child);
    for (unsigned i = 0; made && i < FLUKE_CHILD_SERVICES; i++)
        if (child->serves & 1u << i)
            made = make_port(child, i);
    if (!made)
        fluke_child_leave(child);
    return made;
}

void fluke_child_leave(struct fluke_child *child)
{
    unmake(child, child->outside);
}

/* -- The whole ---------------------------------------------------------------------------------------------------- */

/* Gives all that is outside its name, and makes the references; those to what is not served refer to the program's. */
static bool make_names(struct fluke_child *child)
{
    static const char *const names[] = {"space", "parent", "console", "timer"};
    fluke_ref_t *const own[] = {NULL, fluke_start_block->parent_ref, fluke_start_block->console_ref,
                                fluke_start_block->timer_ref};
    const struct fluke_service *services = fluke_start_block->services - FLUKE_CHILD_SERVICES;

    child->name_count = FLUKE_CHILD_SERVICES + fluke_start_block->service_count;
    if (child->name_count > FLUKE_CHILD_NAMES)
        child->name_count = FLUKE_CHILD_NAMES;
    for (uint64_t i = 0; i < child->name_count; i++) {
        bool is_service = i >= FLUKE_CHILD_SERVICES;
        fluke_ref_t *given = is_service ? services[i].ref : own[i];

        if (!make(child, FLUKE_REF, &child->refs[i], 0))
            return false;
        if (given != NULL)
            fluke_ref_copy(given, &child->refs[i]);
        child->names[i] = (struct fluke_service){.name = is_service ? services[i].name : (char *)names[i],
                                                 .ref = &child->refs[i]};
    }
    return true;
}

static bool open(struct fluke_child *child)
{
    if (!make_region(child, &child->region, child->memory, child->size, FLUKE_PROT_ALL)
        || !make(child, FLUKE_PORTSET, &child->portset, 0) || !make(child, FLUKE_REF, &child->portset_ref, 0)
        || !make(child, FLUKE_REF, &child->link, 0) || !make_names(child))
        return false;
    fluke_portset_reference(&child->portset, &child->portset_ref);
    child->outside = child->made_count;
    return fluke_child_enter(child);
}

bool fluke_child_open(struct fluke_child *child)
{
    child->is_open = open(child);
    if (!child->is_open)
        unmake(child, 0);
    return child->is_open;
}

/* The memory is taken away first: then nobody makes objects while those that are there are looked for. */
void fluke_child_close(struct fluke_child *child)
{
    struct fluke_obspec found[MOST_FOUND];

    fluke_region_protect(&child->region, FLUKE_PROT_NONE);
    for (uint64_t offset = 0; offset < child->size;)
        for (uint64_t i = fluke_child_objects(child, &offset, found, MOST_FOUND); i > 0; i--)
            fluke_kinds[found[i - 1].type].destroy(found[i - 1].ob);
    unmake(child, 0);
    child->is_open = false;
}
