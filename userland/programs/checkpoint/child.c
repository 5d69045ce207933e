/* A child that runs this program, so that everything of it but the memory can be made again. */

#include "child.h"

enum { STACK_SIZE = 16 * 1024, HEAP_SIZE = 512 * 1024, OTHER_PARTS = 192 * 1024, SERVER_STACK_SIZE = 8192 };
enum { READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE };

/* Where a child has its parts; there is nothing between them, so what runs over faults. */
enum { STACK_AT = 0x20000000, HEAP_AT = 0x30000000, START_AT = 0x40000000 };

void _start(void);

/* The heap of a child that is a parent holds its own child's memory, and the records of that. */
static size_t heap_size(long depth)
{
    return depth <= 1 ? HEAP_SIZE : HEAP_SIZE + 2 * (heap_size(depth - 1) + OTHER_PARTS);
}

/* Adds the parts, and puts them in the first block. */
static bool take_memory(struct child *child, const struct order *order, long blocks)
{
    struct fluke_child *process = &child->process;
    struct fluke_child_program *program = &child->program;

    program->start = fluke_child_add(process, START_AT, fluke_child_start_size(program), READ_WRITE);
    program->stack = fluke_child_add(process, STACK_AT, STACK_SIZE, READ_WRITE);
    program->heap = fluke_child_add(process, HEAP_AT, heap_size(order->depth), READ_WRITE);
    int data = fluke_child_add_own(process);

    for (long i = 0; i < blocks; i++) {
        child->blocks[i] = malloc(fluke_child_room(process));
        if (child->blocks[i] == NULL)
            return false;
    }
    if (data < 0)
        return false;
    fluke_child_place(process, child->blocks[0]);
    memset(process->parts[data].here, 0, process->parts[data].size); /* programs count on it; not so for the rest */
    return true;
}

void move_memory(struct child *child, long block)
{
    fluke_child_place(&child->process, child->blocks[block]);
    memset(child->process.memory, 0xa5, child->process.size);
}

/* A thread, which stays whatever becomes of the child: takes its requests until it exits, and says so. */
static void serve(void *argument)
{
    struct child *child = argument;

    while (fluke_child_serve(&child->process))
        ;
    fluke_mutex_lock(&child->mutex);
    child->has_exited = true;
    child->status = child->process.status;
    fluke_cond_broadcast(&child->changed);
    fluke_mutex_unlock(&child->mutex);
}

bool make_child(struct child *child, const struct order *order, long blocks)
{
    char *argv[MOST_ARGUMENTS], level[16], *environment[] = {level, NULL};

    for (int i = 0; i < order->argument_count; i++)
        argv[i] = (char *)order->arguments[i];
    snprintf(level, sizeof level, "LEVEL=%ld", order->level);
    child->program = (struct fluke_child_program){
        .entry = (uint64_t)_start, .argc = order->argument_count, .argv = argv, .environment = environment};
    child->process.serves = 1 << FLUKE_CHILD_PARENT | 1 << FLUKE_CHILD_CONSOLE; /* the timer is the parent's own */
    fluke_mutex_create(&child->mutex);
    fluke_cond_create(&child->changed);
    return take_memory(child, order, blocks) && fluke_child_open(&child->process)
        && fluke_child_write_start(&child->process, &child->program) && fluke_thread_start(serve, child, SERVER_STACK_SIZE) != NULL;
}

bool start_child(struct child *child)
{
    return fluke_child_start(&child->process, &child->program);
}
