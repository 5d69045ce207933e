/* Threads: an object in memory, a stack, and a state that says where to begin. */

#include "internal.h"
#include <ulib.h>

/* All that a thread needs, in one block of the heap, its stack above. The object comes first and gives the address. */
struct thread {
    fluke_thread_t object;
    void (*function)(void *);
    void *argument;
    _Alignas(16) char stack[];
};

enum { SP = 2, A0 = 10, SMALLEST_STACK = 1024 };

static fluke_mutex_t grave; /* locked by the first thread for ever: whoever is done waits for it */

void fluke_threads_start(void)
{
    fluke_mutex_create(&grave);
    fluke_mutex_lock(&grave);
}

static void run(struct thread *thread)
{
    thread->function(thread->argument);
    fluke_mutex_lock(&grave); /* a thread cannot destroy itself */
}

fluke_thread_t *fluke_thread_start(void (*function)(void *), void *argument, size_t stack_size)
{
    struct fluke_thread_state state;
    struct thread *thread;

    if (stack_size > FLUKE_USER_END)
        return NULL;
    stack_size = (stack_size < SMALLEST_STACK ? SMALLEST_STACK : stack_size) & ~(size_t)15;
    thread = malloc(sizeof *thread + stack_size);
    if (thread == NULL)
        return NULL;
    thread->function = function;
    thread->argument = argument;
    if (fluke_thread_create(&thread->object) != FLUKE_SUCCESS) {
        free(thread);
        return NULL;
    }

    memset(&state, 0, sizeof state);
    state.thread_va = (uint64_t)&thread->object;
    state.priority = FLUKE_PRIORITY_DEFAULT;
    state.pc = (uint64_t)run;
    state.x[SP] = (uint64_t)(thread->stack + stack_size);
    state.x[A0] = (uint64_t)thread;
    fluke_thread_set_state(&thread->object, &state, fluke_start_block->space_ref, NULL, NULL, NULL, NULL);
    return &thread->object;
}

void fluke_thread_end(fluke_thread_t *thread)
{
    fluke_thread_destroy(thread);
    free(thread); /* the object comes first in the block */
}
