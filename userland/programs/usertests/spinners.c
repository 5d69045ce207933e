/*
 * What makes several harts behave as one: all but one are taken by threads that spin, above all others.
 *
 * How many there are is found out so: a spinner spins until the runner, whose priority is lower, has been seen to run
 * beside it. If nobody comes while several rounds of turns pass, it has taken the last hart, and goes.
 */

#include "usertests.h"

enum { MOST_SPINNERS = 15, SPINNER_STACK_SIZE = 256 };
enum { TURN = 10000 /* instructions, at most */, SPINS = TURN /* of some instructions each */ };

enum answer { OPEN, BESIDE, ALONE };

static struct spinner {
    fluke_thread_t thread;
    volatile enum answer answer; /* whether the runner has run beside it */
    _Alignas(16) char stack[SPINNER_STACK_SIZE];
} spinners[MOST_SPINNERS];

static unsigned spinning;             /* how many there are */
static unsigned most = MOST_SPINNERS; /* how many there can be */

/* The answer, which the first gives. */
static enum answer say(struct spinner *spinner, enum answer mine)
{
    enum answer before = OPEN;

    __atomic_compare_exchange_n(&spinner->answer, &before, mine, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return before == OPEN ? mine : before;
}

static void spin(struct spinner *spinner)
{
    for (unsigned i = 0; i < SPINS && spinner->answer == OPEN; i++)
        continue;
    if (say(spinner, ALONE) == ALONE)
        rest_for_ever();
    for (;;)
        continue;
}

/* Starts one more spinner; whether there was a hart to spare. */
static bool add_spinner(void)
{
    struct spinner *spinner = &spinners[spinning];
    struct fluke_thread_state state = {
        .thread_va = (uint64_t)&spinner->thread,
        .priority = FLUKE_PRIORITY_MAX,
        .pc = (uint64_t)spin,
        .x = {[SP] = (uint64_t)(spinner->stack + SPINNER_STACK_SIZE), [A0] = (uint64_t)spinner},
    };

    spinner->answer = OPEN;
    fluke_thread_create(&spinner->thread);
    fluke_thread_set_state(&spinner->thread, &state, fluke_start_block->space_ref, NULL, NULL, NULL, NULL);
    if (say(spinner, BESIDE) == ALONE) {
        fluke_thread_destroy(&spinner->thread);
        return false;
    }
    spinning++;
    return true;
}

void occupy_harts(void)
{
    while (spinning < most && add_spinner())
        continue;
    most = spinning;
}

void free_harts(void)
{
    while (spinning > 0)
        fluke_thread_destroy(&spinners[--spinning].thread);
}

unsigned hart_count(void)
{
    return most + 1;
}

uint64_t time_for(uint64_t instructions)
{
    return spinning == 0 ? instructions : (instructions + 2 * TURN) * hart_count();
}
