/* Cells. A cell's memory begins with what starts and ends its thread, then comes the caller's part, then the stack. */

#include <cells.h>

enum { STACK_SIZE = 4096, SP = 2, A0 = 10 };
enum { READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE, READ_EXECUTE = FLUKE_PROT_READ | FLUKE_PROT_EXECUTE };

/* From the program's layout: code and constants, then its variables. */
extern const char fluke_code_start[], fluke_data_start[];

/* The thread's object comes first: its address is that of the cell's memory. */
struct fluke_cell_start {
    fluke_thread_t thread;
    fluke_mutex_t mutex; /* guards `is_done` */
    fluke_cond_t done;
    bool is_done;
    uint64_t mistake; /* the exception that has cut the function off */
    void (*function)(void *);
    size_t size; /* of all, on whole pages */
    _Alignas(16) char memory[];
};

static size_t whole_pages(size_t size)
{
    return (size + FLUKE_PAGE_SIZE - 1) / FLUKE_PAGE_SIZE * FLUKE_PAGE_SIZE;
}

/* -- What the cell's thread does ---------------------------------------------------------------------------------- */

/* Signals who waits; nobody ever signals the thread itself, which waits for the same. */
static _Noreturn void end(struct fluke_cell_start *start)
{
    fluke_mutex_lock(&start->mutex);
    start->is_done = true;
    fluke_cond_signal(&start->done);
    for (;;)
        fluke_cond_wait(&start->done, &start->mutex);
}

static void run(struct fluke_cell_start *start)
{
    start->function(start->memory);
    end(start);
}

/* Where the thread takes its mistakes; it does not go back. */
static void on_mistake(fluke_thread_t *thread, uint64_t code)
{
    struct fluke_cell_start *start = (struct fluke_cell_start *)thread;

    start->mistake = code;
    end(start);
}

/* -- What the program does ---------------------------------------------------------------------------------------- */

static bool create_objects(struct fluke_cell *cell)
{
    if (fluke_space_create(&cell->space) != FLUKE_SUCCESS)
        return false;
    if (fluke_region_create(&cell->code_region) != FLUKE_SUCCESS)
        goto no_code_region;
    if (fluke_region_create(&cell->memory_region) != FLUKE_SUCCESS)
        goto no_memory_region;
    if (fluke_mapping_create(&cell->code_mapping) != FLUKE_SUCCESS)
        goto no_code_mapping;
    if (fluke_mapping_create(&cell->memory_mapping) != FLUKE_SUCCESS)
        goto no_memory_mapping;
    if (fluke_ref_create(&cell->space_ref) != FLUKE_SUCCESS)
        goto no_space_ref;
    if (fluke_ref_create(&cell->region_ref) == FLUKE_SUCCESS)
        return true;

    fluke_ref_destroy(&cell->space_ref);
no_space_ref:
    fluke_mapping_destroy(&cell->memory_mapping);
no_memory_mapping:
    fluke_mapping_destroy(&cell->code_mapping);
no_code_mapping:
    fluke_region_destroy(&cell->memory_region);
no_memory_region:
    fluke_region_destroy(&cell->code_region);
no_code_region:
    fluke_space_destroy(&cell->space);
    return false;
}

static void destroy_objects(struct fluke_cell *cell)
{
    fluke_ref_destroy(&cell->region_ref);
    fluke_ref_destroy(&cell->space_ref);
    fluke_mapping_destroy(&cell->memory_mapping);
    fluke_mapping_destroy(&cell->code_mapping);
    fluke_region_destroy(&cell->memory_region);
    fluke_region_destroy(&cell->code_region);
    fluke_space_destroy(&cell->space);
}

/* Shows a part of the program's space in the cell, at the same addresses. */
static void show(struct fluke_cell *cell, fluke_region_t *region, fluke_mapping_t *mapping, const void *begin,
                 size_t size, uint64_t prot)
{
    struct fluke_region_state from = {.start_va = (uintptr_t)begin, .size = size, .prot = prot};
    struct fluke_mapping_state to = {.start_va = (uintptr_t)begin, .size = size, .prot = prot};

    fluke_region_set_state(region, &from, fluke_start_block->space_ref, NULL);
    fluke_region_reference(region, &cell->region_ref);
    fluke_mapping_set_state(mapping, &to, &cell->region_ref, &cell->space_ref);
}

static bool create_start(struct fluke_cell_start *start)
{
    if (fluke_thread_create(&start->thread) != FLUKE_SUCCESS)
        return false;
    if (fluke_mutex_create(&start->mutex) != FLUKE_SUCCESS)
        goto no_mutex;
    if (fluke_cond_create(&start->done) == FLUKE_SUCCESS)
        return true;

    fluke_mutex_destroy(&start->mutex);
no_mutex:
    fluke_thread_destroy(&start->thread);
    return false;
}

void *fluke_cell_open(struct fluke_cell *cell, size_t size)
{
    if (size > FLUKE_USER_END)
        return NULL;
    size_t whole = whole_pages(sizeof *cell->start + size + STACK_SIZE);
    cell->block = malloc(whole + FLUKE_PAGE_SIZE);
    if (cell->block == NULL)
        return NULL;
    cell->start = (struct fluke_cell_start *)whole_pages((uintptr_t)cell->block);
    memset(cell->start, 0, whole);
    cell->start->size = whole;
    cell->is_stopped = false;
    if (!create_start(cell->start))
        goto no_start;
    if (create_objects(cell)) {
        fluke_space_reference(&cell->space, &cell->space_ref);
        show(cell, &cell->code_region, &cell->code_mapping, fluke_code_start,
             (size_t)(fluke_data_start - fluke_code_start), READ_EXECUTE);
        show(cell, &cell->memory_region, &cell->memory_mapping, cell->start, whole, READ_WRITE);
        return cell->start->memory;
    }

    fluke_cond_destroy(&cell->start->done);
    fluke_mutex_destroy(&cell->start->mutex);
    fluke_thread_destroy(&cell->start->thread);
no_start:
    free(cell->block);
    return NULL;
}

void fluke_cell_start(struct fluke_cell *cell, void (*function)(void *memory))
{
    struct fluke_cell_start *start = cell->start;
    struct fluke_thread_state state = {
        .thread_va = (uintptr_t)&start->thread,
        .flags = FLUKE_THREAD_EXCEPTION_ENABLE,
        .priority = FLUKE_PRIORITY_DEFAULT,
        .pc = (uintptr_t)run,
        .x = {[SP] = (uintptr_t)start + start->size, [A0] = (uintptr_t)start},
        .trap_handler = (uintptr_t)on_mistake,
    };

    start->function = function;
    fluke_thread_set_state(&start->thread, &state, &cell->space_ref, NULL, NULL, NULL, NULL);
}

uint64_t fluke_cell_wait(struct fluke_cell *cell)
{
    struct fluke_cell_start *start = cell->start;

    fluke_mutex_lock(&start->mutex);
    while (!start->is_done)
        fluke_cond_wait(&start->done, &start->mutex);
    fluke_mutex_unlock(&start->mutex);
    return start->mistake;
}

void fluke_cell_stop(struct fluke_cell *cell)
{
    cell->is_stopped = true;
    fluke_thread_destroy(&cell->start->thread);
}

void fluke_cell_close(struct fluke_cell *cell)
{
    struct fluke_cell_start *start = cell->start;

    if (!cell->is_stopped)
        fluke_cell_stop(cell);
    fluke_mutex_destroy(&start->mutex);
    fluke_cond_destroy(&start->done);
    destroy_objects(cell);
    free(cell->block);
}
