/* A child that runs this program, in a block of its parent's heap: making, serving and ending it. */

#include "nested.h"

enum { STACK_SIZE = 16 * 1024, HEAP_SIZE = 128 * 1024, MOST_FOUND = 4 };
enum { READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE };

/* Where a child has its parts; there is nothing between them, so what runs over faults. */
enum { STACK_AT = 0x20000000, HEAP_AT = 0x30000000, START_AT = 0x40000000 };

void _start(void);

/* Writes on what the child writes, each line with its writer's level in front. */
static void write_on(struct fluke_child *process, const char *bytes, size_t count)
{
    struct child *child = (struct child *)process; /* it comes first there */
    char prefix[16];
    size_t prefix_size = (size_t)snprintf(prefix, sizeof prefix, "%d| ", child->level);

    while (count > 0) {
        size_t length = 0;
        while (length < count && bytes[length++] != '\n')
            ;
        if (!child->in_line)
            fluke_console_write(prefix, prefix_size);
        fluke_console_write(bytes, length);
        child->in_line = bytes[length - 1] != '\n';
        bytes += length;
        count -= length;
    }
}

bool make_child(struct child *child, int level, int depth)
{
    struct fluke_child *process = &child->process;
    char given_depth[16], given_level[16];
    char *argv[] = {"nested", given_depth}, *environment[] = {given_level, NULL};
    struct fluke_child_program *program = &child->program;

    snprintf(given_depth, sizeof given_depth, "%d", depth);
    snprintf(given_level, sizeof given_level, "LEVEL=%d", level);
    /* A child's heap holds its own child's memory and more: a level's other parts are smaller than HEAP_SIZE. */
    memset(child, 0, sizeof *child);
    child->level = level;
    child->heap_size = (size_t)depth * HEAP_SIZE;
    process->serves = 1 << FLUKE_CHILD_PARENT | 1 << FLUKE_CHILD_CONSOLE | 1 << FLUKE_CHILD_TIMER;
    process->write = write_on;
    *program = (struct fluke_child_program){
        .entry = (uint64_t)_start, .argc = 2, .argv = argv, .environment = environment};
    program->start = fluke_child_add(process, START_AT, fluke_child_start_size(program), READ_WRITE);
    program->stack = fluke_child_add(process, STACK_AT, STACK_SIZE, READ_WRITE);
    program->heap = fluke_child_add(process, HEAP_AT, child->heap_size, READ_WRITE);
    int letter = fluke_child_add(process, (uint64_t)CHILDS_LETTER, FLUKE_PAGE_SIZE, READ_WRITE);
    int data = fluke_child_add_own(process);

    child->block = malloc(fluke_child_room(process));
    if (data < 0 || child->block == NULL)
        return false;
    fluke_child_place(process, child->block);
    /* Programs count on it that their variables are zero; a heap and a stack may hold anything. */
    memset(process->parts[data].here, 0, process->parts[data].size);
    child->letter = (uint64_t *)process->parts[letter].here;
    return fluke_child_open(process) && fluke_child_write_start(process, program);
}

bool start_child(struct child *child)
{
    return fluke_child_start(&child->process, &child->program);
}

int serve_child(struct child *child)
{
    while (fluke_child_serve(&child->process))
        ;
    return child->process.status;
}

/* A few at a time: so few that there is a rest to ask for. */
void count_objects(struct child *child, unsigned counts[FLUKE_REF + 1])
{
    struct fluke_obspec found[MOST_FOUND];

    for (uint64_t offset = 0; offset < child->process.size;)
        for (uint64_t i = fluke_child_objects(&child->process, &offset, found, MOST_FOUND); i > 0; i--)
            counts[found[i - 1].type]++;
}

void destroy_child(struct child *child)
{
    fluke_child_close(&child->process);
    free(child->block);
}
