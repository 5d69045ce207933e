/* Making a process out of one's own memory, so that everything of it but the memory can be made again. */

#include "child.h"

enum { STACK_SIZE = 16 * 1024, HEAP_SIZE = 512 * 1024, OTHER_PARTS = 192 * 1024, SERVER_STACK_SIZE = 8192, SP = 2, A0 = 10 };
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

/* Where the memory lies: in a block, on whole pages. */
static void lay_out(struct child *child, long block)
{
    char *here = child->memory = (char *)whole_pages((size_t)child->blocks[block]);

    for (int i = 0; i < PARTS; i++) {
        child->parts[i].here = here;
        here += child->parts[i].size;
    }
}

/* The heap of a child that is a parent holds its own child's memory, and the records of that. */
static size_t heap_size(long depth)
{
    return depth <= 1 ? HEAP_SIZE : HEAP_SIZE + 2 * (heap_size(depth - 1) + OTHER_PARTS);
}

static bool take_memory(struct child *child, long depth, long blocks)
{
    const struct {
        uint64_t at;
        size_t size;
    } layout[PARTS] = {
        [START] = {(uint64_t)CHILDS_START, sizeof(struct start_page)},
        [STACK] = {STACK_AT, STACK_SIZE},
        [DATA] = {(uint64_t)fluke_data_start, (size_t)(fluke_data_end - fluke_data_start)},
        [HEAP] = {HEAP_AT, heap_size(depth)},
    };

    for (int i = 0; i < PARTS; i++) {
        child->parts[i].at = layout[i].at;
        child->parts[i].size = whole_pages(layout[i].size);
        child->size += child->parts[i].size;
    }
    for (long i = 0; i < blocks; i++) {
        child->blocks[i] = malloc(child->size + FLUKE_PAGE_SIZE);
        if (child->blocks[i] == NULL)
            return false;
    }
    lay_out(child, 0);
    return true;
}

void move_memory(struct child *child, long block)
{
    struct fluke_region_state state;

    lay_out(child, block);
    memset(child->memory, 0xa5, child->size);
    fluke_region_get_state(&child->memory_region, &state, NULL, NULL);
    state.start_va = (uint64_t)child->memory;
    fluke_region_set_state(&child->memory_region, &state, NULL, NULL);
}

static void set_region(fluke_region_t *region, const void *start, size_t size, uint64_t prot)
{
    struct fluke_region_state state = {.start_va = (uint64_t)start, .size = size, .prot = prot};

    fluke_region_create(region);
    fluke_region_set_state(region, &state, fluke_start_block->space_ref, NULL);
}

static void map(fluke_mapping_t *mapping, fluke_region_t *region, uint64_t offset, uint64_t at, size_t size,
                uint64_t prot, fluke_ref_t *space_ref)
{
    struct fluke_mapping_state state = {.region_off = offset, .start_va = at, .size = size, .prot = prot};
    fluke_ref_t region_ref;

    fluke_ref_create(&region_ref);
    fluke_region_reference(region, &region_ref);
    fluke_mapping_create(mapping);
    fluke_mapping_set_state(mapping, &state, &region_ref, space_ref);
    fluke_ref_destroy(&region_ref);
}

/* The constants are among the code: nobody can execute them here, so neither there. */
static void make_space(struct child *child)
{
    size_t code_size = (size_t)(fluke_data_start - fluke_code_start);
    fluke_ref_t *space_ref = &child->refs[SPACE_NAME];

    fluke_space_create_hash(&child->space, &child->space_hash);
    fluke_space_reference(&child->space, space_ref);
    set_region(&child->code_region, fluke_code_start, code_size, READ_EXECUTE);
    map(&child->code_mapping, &child->code_region, 0, (uint64_t)fluke_code_start, code_size, READ_EXECUTE, space_ref);
    for (int i = 0; i < PARTS; i++)
        map(&child->parts[i].mapping, &child->memory_region, (uint64_t)(child->parts[i].here - child->memory),
            child->parts[i].at, child->parts[i].size, READ_WRITE, space_ref);
}

static void make_ports(struct child *child)
{
    fluke_ref_t *const refs[PORTS] = {
        [PARENT_PORT] = &child->refs[PARENT_NAME], [CONSOLE_PORT] = &child->refs[CONSOLE_NAME]};
    fluke_ref_t portset_ref;

    fluke_ref_create(&portset_ref);
    fluke_portset_reference(&child->portset, &portset_ref);
    for (unsigned i = 0; i < PORTS; i++) {
        struct fluke_port_state state = {.alias = i};

        fluke_port_create_hash(&child->ports[i], &child->port_hashes[i]);
        fluke_port_set_state(&child->ports[i], &state, &portset_ref);
        fluke_port_reference(&child->ports[i], refs[i]);
    }
    fluke_ref_destroy(&portset_ref);
}

void make_outside(struct child *child)
{
    make_space(child);
    make_ports(child);
}

void unmake_outside(struct child *child)
{
    for (int i = 0; i < PORTS; i++)
        fluke_port_destroy(&child->ports[i]);
    for (int i = 0; i < PARTS; i++)
        fluke_mapping_destroy(&child->parts[i].mapping);
    fluke_mapping_destroy(&child->code_mapping);
    fluke_region_destroy(&child->code_region);
    fluke_space_destroy(&child->space);
}

static void name_all(struct child *child)
{
    static const char *const texts[NAMES] = {
        [SPACE_NAME] = "space", [PARENT_NAME] = "parent", [CONSOLE_NAME] = "console",
        [TIMER_NAME] = "timer", [SERVER_NAME] = "server"};

    for (int i = 0; i < NAMES; i++) {
        fluke_ref_create(&child->refs[i]);
        child->names[i] = (struct fluke_service){.name = (char *)texts[i], .ref = &child->refs[i]};
    }
    fluke_ref_copy(fluke_start_block->timer_ref, &child->refs[TIMER_NAME]);
}

/* Writes the start page, all addresses in it being the child's. */
static void write_start(struct child *child, const struct order *order)
{
    struct start_page *start = (struct start_page *)child->parts[START].here;
    fluke_ref_t *const given[] = {&start->space_ref, &start->parent_ref, &start->console_ref, &start->timer_ref};

    for (int i = SPACE_NAME; i <= TIMER_NAME; i++) {
        fluke_ref_create(given[i]);
        fluke_ref_copy(&child->refs[i], given[i]);
    }
    memcpy(start->arguments, order->arguments, sizeof start->arguments);
    for (int i = 0; i < order->argument_count; i++)
        start->argv[i] = CHILDS_START->arguments[i];
    snprintf(start->level, sizeof start->level, "LEVEL=%ld", order->level);
    start->environment[0] = CHILDS_START->level;
    start->block = (struct fluke_start_block){
        .size = sizeof start->block,
        .argc = (uint64_t)order->argument_count,
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

bool make_child(struct child *child, const struct order *order, long blocks)
{
    /* Variables that are not zero at the start would have to be copied from before anybody changed them. */
    if (fluke_bss_start - fluke_data_start != 0 || !take_memory(child, order->depth, blocks))
        return false;
    set_region(&child->memory_region, child->memory, child->size, READ_WRITE);
    fluke_portset_create(&child->portset);
    fluke_mutex_create(&child->mutex);
    fluke_cond_create(&child->changed);
    name_all(child);
    make_outside(child);
    write_start(child, order);
    child->server = fluke_thread_start(serve_child, child, SERVER_STACK_SIZE);
    if (child->server == NULL)
        return false;
    fluke_thread_reference(child->server, &child->refs[SERVER_NAME]);
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
    fluke_thread_set_state(&start->thread, &state, &child->refs[SPACE_NAME], NULL, NULL, NULL, NULL);
}
