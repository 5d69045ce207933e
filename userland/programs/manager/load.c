/* The child: made of a program's file, in a block of the heap. */

#include "manager.h"

/* Where a child has what is not in its file: as under the host, below the end of the addresses of programs. */
enum { START_BYTES = 256 * 1024, MOST_STACK = 1 << 20, STACK_SHARE = 8 };
#define START_AT (FLUKE_USER_END - START_BYTES)
#define STACK_END (START_AT - FLUKE_PAGE_SIZE)
#define HEAP_LIMIT (STACK_END - MOST_STACK - FLUKE_PAGE_SIZE)
enum { READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE };

struct fluke_child child;

static struct fluke_blob file;
static struct elf elf;

static uint64_t first_page(uint64_t address)
{
    return address / FLUKE_PAGE_SIZE * FLUKE_PAGE_SIZE;
}

static bool refuse(const struct task *task, const char *wrong)
{
    printf("manager: %s cannot be run: %s\n", task->program, wrong);
    return false;
}

/* Adds the parts: segments, heap, stack and start block, in all as large as the task says. */
static const char *lay_out(const struct task *task, struct fluke_child_program *program)
{
    const uint64_t size = first_page(task->memory_size), start_size = fluke_child_start_size(program);
    uint64_t stack_size = first_page(size / STACK_SHARE);

    if (stack_size > MOST_STACK)
        stack_size = MOST_STACK;
    if (start_size > START_BYTES)
        return "its arguments are too long";
    for (int i = 0; i < elf.segment_count; i++) {
        const struct segment *segment = &elf.segments[i];
        uint64_t at = first_page(segment->at);
        if (segment->at + segment->size > HEAP_LIMIT)
            return "a segment reaches into the stack";
        if (segment->size > size)
            return "there is not enough memory for it";
        if (fluke_child_add(&child, at, segment->at + segment->size - at, segment->prot) != i)
            return "two segments share a page: link it with -z separate-code";
    }
    program->start = fluke_child_add(&child, START_AT, start_size, READ_WRITE);
    program->stack = fluke_child_add(&child, STACK_END - stack_size, stack_size, READ_WRITE);
    uint64_t heap_at = first_page(elf.end - 1) + 2 * FLUKE_PAGE_SIZE;
    if (child.size >= size || program->stack < 0)
        return "there is not enough memory for it";
    if (heap_at > HEAP_LIMIT || size - child.size > HEAP_LIMIT - heap_at)
        return "it leaves no room for a heap";
    program->heap = fluke_child_add(&child, heap_at, size - child.size,
                                    elf.makes_code ? FLUKE_PROT_ALL : READ_WRITE);
    return NULL;
}

bool take_memory(void)
{
    void *block = malloc(fluke_child_room(&child));

    child.serves = 1 << FLUKE_CHILD_SPACE | 1 << FLUKE_CHILD_PARENT | 1 << FLUKE_CHILD_CONSOLE;
    if (block == NULL)
        return false;
    fluke_child_place(&child, block);
    return fluke_child_open(&child);
}

/* Fills the segments: what the file has, then zeros. */
static const char *fill(void)
{
    for (int i = 0; i < elf.segment_count; i++) {
        const struct segment *segment = &elf.segments[i];
        struct fluke_child_part *part = &child.parts[i];

        memset(part->here, 0, part->size);
        if (!fluke_blob_read(&file, segment->offset, part->here + (segment->at - part->at), segment->file_size))
            return "it cannot be read";
    }
    return NULL;
}

bool load_child(const struct task *task)
{
    struct fluke_child_program program = {
        .argc = task->argc, .argv = task->argv, .environment = task->environment};

    if (!fluke_blob_open(&file, task->store, task->program))
        return refuse(task, "the store has no such file");
    const char *wrong = read_elf(&elf, &file);
    if (wrong == NULL)
        wrong = lay_out(task, &program);
    if (wrong == NULL && !take_memory())
        wrong = "there is not enough memory for it";
    if (wrong == NULL)
        wrong = fill();
    program.entry = elf.entry;
    if (wrong == NULL && !(fluke_child_write_start(&child, &program) && fluke_child_start(&child, &program)))
        wrong = "there is not enough memory for it";
    return wrong == NULL ? true : refuse(task, wrong);
}
