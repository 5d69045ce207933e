/* Cases that fail on purpose, to show that the others would be noticed; they run only when they are named. */

#include "usertests.h"

/* Leaves an object behind at each run; nothing that the program itself could notice. */
static void leak(void)
{
    static fluke_ref_t refs[8];
    static unsigned count;

    if (count < sizeof refs / sizeof *refs)
        fluke_ref_create(&refs[count++]);
}

static void leak_memory(void)
{
    malloc(1);
}

static void make_a_mistake(void)
{
    fluke_mutex_t mutex;

    fluke_mutex_lock(&mutex);
}

static void expect_another_mistake(void)
{
    fluke_mutex_t mutex;

    CHECK_MISTAKE(fluke_mutex_lock(&mutex), FLUKE_INSANITY_MUTEX_LOCKED, &mutex);
}

static void make_no_mistake(void)
{
    fluke_mutex_t mutex;

    fluke_mutex_create(&mutex);
    fluke_mutex_lock(&mutex);
    CHECK_MISTAKE(fluke_mutex_unlock(&mutex), FLUKE_INSANITY_MUTEX_NOT_OWNED, &mutex);
    fluke_mutex_destroy(&mutex);
}

static void nothing(void *unused)
{
    (void)unused;
}

static void leave_a_thread(void)
{
    start(nothing, NULL);
}

static void hold_not(void)
{
    CHECK(1 + 1 == 3);
}

const struct usertest hidden_tests[] = {
    {"leak", "Is an object that is left behind noticed from outside?", leak},
    {"leak_memory", "Is memory that is not freed noticed?", leak_memory},
    {"make_a_mistake", "Is an unexpected mistake noticed?", make_a_mistake},
    {"expect_another_mistake", "Is another mistake than the one expected noticed?", expect_another_mistake},
    {"make_no_mistake", "Is a mistake that was expected missed?", make_no_mistake},
    {"leave_a_thread", "Is a thread that is left running noticed?", leave_a_thread},
    {"fail", "Is a check that does not hold noticed?", hold_not},
    {0},
};
