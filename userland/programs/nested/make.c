/* Making a process out of one's own memory. */

/*
 * This is what the host does for the first program, by the means of a program: the kernel knows of no processes. The
 * child gets the parent's code, seen at the same addresses. Everything else lies in one block of the parent's heap, and
 * a region lets the child map it: all that the child has, the parent can read and change.
 */

#include "nested.h"

enum { STACK_SIZE = 16 * 1024, HEAP_SIZE = 128 * 1024, SP = 2, A0 = 10 };
enum { READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE, READ_EXECUTE = FLUKE_PROT_READ | FLUKE_PROT_EXECUTE };

/* Where the stack and the heap of a child begin; there is nothing between the parts, so what runs over faults. */
enum { STACK_AT = 0x20000000, HEAP_AT = 0x30000000 };

/* From the program's layout: code and constants, then variables, at first those that are not zero at the start. */
extern const char fluke_code_start[];
extern char fluke_data_start[], fluke_bss_start[], fluke_data_end[];
void _start(void);

static size_t whole_pages(size_t size)
{
    return (size + FLUKE_PAGE_SIZE - 1) / FLUKE_PAGE_SIZE * FLUKE_PAGE_SIZE;
}

/* A child's heap holds its own child's memory and more: a level's other parts are smaller than HEAP_SIZE. */
static bool take_memory(struct child *child, int depth)
{
    const struct {
        uint64_t at;
        size_t size;
    } layout[PARTS] = {
        [START] = {(uint64_t)CHILDS_START, sizeof(struct start_page)},
        [LETTER] = {(uint64_t)CHILDS_LETTER, FLUKE_PAGE_SIZE},
        [STACK] = {STACK_AT, STACK_SIZE},
        [DATA] = {(uint64_t)fluke_data_start, (size_t)(fluke_data_end - fluke_data_start)},
        [HEAP] = {HEAP_AT, (size_t)depth * HEAP_SIZE},
    };

    child->size = 0;
    for (int i = 0; i < PARTS; i++)
        child->size += whole_pages(layout[i].size);
    child->block = malloc(child->size + FLUKE_PAGE_SIZE);
    if (child->block == NULL)
        return false;
    char *here = (char *)whole_pages((size_t)child->block);
    for (int i = 0; i < PARTS; i++) {
        child->parts[i].at = layout[i].at;
        child->parts[i].size = whole_pages(layout[i].size);
        child->parts[i].here = here;
        here += child->parts[i].size;
    }
    /* Programs count on it that their variables are zero; a heap and a stack may hold anything. */
    memset(child->parts[START].here, 0, child->parts[START].size);
    memset(child->parts[DATA].here, 0, child->parts[DATA].size);
    return true;
}

static void set_region(fluke_region_t *region, const void *start, size_t size, uint64_t prot, fluke_ref_t *region_ref)
{
    struct fluke_region_state state = {.start_va = (uint64_t)start, .size = size, .prot = prot};

    fluke_region_create(region);
    fluke_region_set_state(region, &state, fluke_start_block->space_ref, NULL);
    fluke_region_reference(region, region_ref);
}

static void map(fluke_mapping_t *mapping, fluke_ref_t *region_ref, uint64_t offset, uint64_t at, size_t size,
                uint64_t prot, fluke_ref_t *space_ref)
{
    struct fluke_mapping_state state = {.region_off = offset, .start_va = at, .size = size, .prot = prot};

    fluke_mapping_create(mapping);
    fluke_mapping_set_state(mapping, &state, region_ref, space_ref);
}

/* Makes the child's space. The constants are among the code: nobody can execute them here, so neither there. */
static void make_space(struct child *child, fluke_ref_t *space_ref)
{
    size_t code_size = (size_t)(fluke_data_start - fluke_code_start);
    fluke_ref_t region_ref;

    fluke_space_create(&child->space);
    fluke_space_reference(&child->space, space_ref);
    fluke_ref_create(&region_ref);
    set_region(&child->code_region, fluke_code_start, code_size, READ_EXECUTE, &region_ref);
    map(&child->code_mapping, &region_ref, 0, (uint64_t)fluke_code_start, code_size, READ_EXECUTE, space_ref);

    char *memory = child->parts[0].here;
    set_region(&child->memory_region, memory, child->size, READ_WRITE, &region_ref);
    for (int i = 0; i < PARTS; i++)
        map(&child->parts[i].mapping, &region_ref, (uint64_t)(child->parts[i].here - memory), child->parts[i].at,
            child->parts[i].size, READ_WRITE, space_ref);
    fluke_ref_destroy(&region_ref);
}

/* Makes the ports that the child takes for its console, timer and parent, and makes its references refer to them. */
static void make_ports(struct child *child, struct start_page *start)
{
    fluke_ref_t *const refs[PORTS] = {
        [PARENT_PORT] = &start->parent_ref, [CONSOLE_PORT] = &start->console_ref, [TIMER_PORT] = &start->timer_ref};
    fluke_ref_t portset_ref;

    fluke_portset_create(&child->portset);
    fluke_ref_create(&portset_ref);
    fluke_portset_reference(&child->portset, &portset_ref);
    for (unsigned i = 0; i < PORTS; i++) {
        struct fluke_port_state state = {.alias = i};

        fluke_port_create(&child->ports[i]);
        fluke_port_set_state(&child->ports[i], &state, &portset_ref);
        fluke_ref_create(refs[i]);
        fluke_port_reference(&child->ports[i], refs[i]);
    }
    fluke_ref_destroy(&portset_ref);
}

/* Writes the start block, all addresses in it being the child's. */
static void write_start_block(struct child *child, struct start_page *start, int depth)
{
    snprintf(start->name, sizeof start->name, "nested");
    snprintf(start->depth, sizeof start->depth, "%d", depth);
    snprintf(start->level, sizeof start->level, "LEVEL=%d", child->level);
    start->argv[0] = CHILDS_START->name;
    start->argv[1] = CHILDS_START->depth;
    start->environment[0] = CHILDS_START->level;
    start->block = (struct fluke_start_block){
        .size = sizeof start->block,
        .argc = 2,
        .argv = CHILDS_START->argv,
        .environment = CHILDS_START->environment,
        .heap_start = HEAP_AT,
        .heap_end = HEAP_AT + child->parts[HEAP].size,
        .stack_start = STACK_AT,
        .stack_end = STACK_AT + STACK_SIZE,
        .space_ref = &CHILDS_START->space_ref,
        .parent_ref = &CHILDS_START->parent_ref,
        .console_ref = &CHILDS_START->console_ref,
        .timer_ref = &CHILDS_START->timer_ref,
    };
}

bool make_child(struct child *child, int level, int depth)
{
    child->level = level;
    child->written = 0;
    child->in_line = false;
    /* Variables that are not zero at the start would have to be copied from before anybody changed them. */
    if (fluke_bss_start - fluke_data_start != 0 || !take_memory(child, depth))
        return false;
    struct start_page *start = (struct start_page *)child->parts[START].here;
    fluke_ref_create(&start->space_ref);
    make_space(child, &start->space_ref);
    make_ports(child, start);
    write_start_block(child, start, depth);
    return true;
}

/* The thread is made at the parent's address of the memory where the child, which has another for it, will find it. */
void start_child(struct child *child)
{
    struct start_page *start = (struct start_page *)child->parts[START].here;
    struct fluke_thread_state state = {
        .thread_va = (uint64_t)&CHILDS_START->thread,
        .priority = FLUKE_PRIORITY_DEFAULT,
        .pc = (uint64_t)_start,
        .x = {[SP] = STACK_AT + STACK_SIZE, [A0] = (uint64_t)&CHILDS_START->block},
    };

    fluke_thread_create(&start->thread);
    fluke_thread_set_state(&start->thread, &state, &start->space_ref, NULL, NULL, NULL, NULL);
}
