/* The links of a thread's state: space, scheduler, what it waits for, client and server. */

#include "usertests.h"

static fluke_thread_t thread;
static fluke_mutex_t mutex;
static fluke_port_t port;
static fluke_ref_t ref, null_ref;

static void link_space(void)
{
    struct fluke_thread_state state;

    fluke_ref_create(&null_ref);
    fluke_mutex_create(&mutex);
    fluke_mutex_lock(&mutex);
    struct worker *worker = start(lock_and_unlock, &mutex);
    get_state(worker, &state);
    fluke_thread_set_state(&worker->thread, &state, &null_ref, NULL, NULL, NULL, NULL);
    fluke_mutex_unlock(&mutex);
    CHECK(!worker->done);
    CHECK(fluke_mutex_trylock(&mutex) == FLUKE_SUCCESS); /* what the waiter calls means nothing without memory */
    fluke_mutex_unlock(&mutex);
    fluke_thread_get_state(&worker->thread, &state, &null_ref, NULL, NULL, NULL, NULL);
    CHECK(fluke_ref_type(&null_ref) == FLUKE_NULL);
    fluke_thread_set_state(&worker->thread, &state, fluke_start_block->space_ref, NULL, NULL, NULL, NULL);
    CHECK(worker->done);
    end(worker);
    fluke_mutex_destroy(&mutex);
    fluke_ref_destroy(&null_ref);
}

static void link_scheduler(void)
{
    fluke_port_create(&port);
    fluke_thread_create(&thread);
    fluke_ref_create(&ref);
    fluke_ref_create(&null_ref);
    fluke_port_reference(&port, &ref);
    fluke_thread_set_state(&thread, NULL, NULL, &ref, NULL, NULL, NULL);
    fluke_thread_get_state(&thread, NULL, NULL, &null_ref, NULL, NULL, NULL);
    CHECK(fluke_ref_compare(&ref, &null_ref));
    fluke_port_destroy(&port);
    fluke_thread_get_state(&thread, NULL, NULL, &null_ref, NULL, NULL, NULL);
    CHECK(fluke_ref_type(&null_ref) == FLUKE_NULL);
    fluke_ref_destroy(&ref);
    fluke_ref_destroy(&null_ref);
    fluke_thread_destroy(&thread);
}

static void link_wrong_types(void)
{
    struct fluke_thread_state state;

    fluke_thread_create(&thread);
    fluke_ref_create(&ref);
    fluke_ref_copy(fluke_start_block->space_ref, &ref);
    fluke_thread_get_state(&thread, &state, NULL, NULL, NULL, NULL, NULL);
    CHECK_MISTAKE(fluke_thread_set_state(&thread, NULL, fluke_start_block->timer_ref, NULL, NULL, NULL, NULL),
                  FLUKE_INSANITY_NOT_SPACE_REF, fluke_start_block->timer_ref);
    CHECK_MISTAKE(fluke_thread_set_state(&thread, NULL, NULL, &ref, NULL, NULL, NULL), FLUKE_INSANITY_NOT_PORT_REF,
                  &ref);
    CHECK_MISTAKE(fluke_thread_set_state(&thread, NULL, NULL, NULL, &ref, NULL, NULL), FLUKE_INSANITY_INVALID_STATE,
                  &ref);
    CHECK_MISTAKE(fluke_thread_set_state(&thread, NULL, NULL, NULL, NULL, &ref, NULL), FLUKE_INSANITY_NOT_THREAD_REF,
                  &ref);
    CHECK_MISTAKE(fluke_thread_set_state(&thread, NULL, NULL, NULL, NULL, NULL, &ref), FLUKE_INSANITY_NOT_THREAD_REF,
                  &ref);
    CHECK_MISTAKE(fluke_thread_set_state(&thread, NULL, (fluke_ref_t *)&thread, NULL, NULL, NULL, NULL),
                  FLUKE_INSANITY_NOT_REF, &thread);
    fluke_ref_destroy(&ref);
    fluke_thread_destroy(&thread);
}

static void link_impossibly(void)
{
    struct fluke_thread_state state;

    fluke_mutex_create(&mutex);
    fluke_thread_create(&thread);
    fluke_ref_create(&ref);
    fluke_thread_get_state(&thread, &state, NULL, NULL, NULL, NULL, NULL);
    fluke_thread_reference(&thread, &ref);
    state.flags |= FLUKE_THREAD_IDEMPOTENT;
    CHECK_MISTAKE(fluke_thread_set_state(&thread, &state, NULL, NULL, NULL, &ref, NULL), FLUKE_INSANITY_INVALID_STATE,
                  &thread);
    /* Registers that name no call that waits. */
    fluke_mutex_reference(&mutex, &ref);
    CHECK_MISTAKE(fluke_thread_set_state(&thread, NULL, NULL, NULL, &ref, NULL, NULL), FLUKE_INSANITY_INVALID_STATE, 0);
    state.x[A7] = FLUKE_CALL_MUTEX_TRYLOCK;
    CHECK_MISTAKE(fluke_thread_set_state(&thread, &state, NULL, NULL, &ref, NULL, NULL), FLUKE_INSANITY_INVALID_STATE,
                  FLUKE_CALL_MUTEX_TRYLOCK);
    fluke_ref_destroy(&ref);
    fluke_thread_destroy(&thread);
    fluke_mutex_destroy(&mutex);
}

/* Of two waiters the first is parked again, then made to ask again; it stays the first. */
static void park_again(void)
{
    static struct two_mutexes first = {&mutex, NULL, 'a'}, second = {&mutex, NULL, 'b'};
    struct fluke_thread_state state;

    fluke_ref_create(&ref);
    fluke_ref_create(&null_ref);
    fluke_mutex_create(&mutex);
    fluke_mutex_lock(&mutex);
    struct worker *a = start(lock_and_note, &first), *b = start(lock_and_note, &second);
    fluke_thread_get_state(&a->thread, &state, NULL, NULL, &ref, NULL, NULL);
    CHECK(fluke_ref_type(&ref) == FLUKE_MUTEX);
    fluke_thread_set_state(&a->thread, &state, NULL, NULL, &ref, NULL, NULL);
    CHECK(waits_for(a) == FLUKE_MUTEX);
    get_state(a, &state);
    fluke_thread_set_state(&a->thread, &state, NULL, NULL, &null_ref, NULL, NULL);
    CHECK(waits_for(a) == FLUKE_MUTEX);
    fluke_mutex_unlock(&mutex);
    CHECK(noted("ab"));
    end(a);
    end(b);
    fluke_mutex_destroy(&mutex);
    fluke_ref_destroy(&null_ref);
    fluke_ref_destroy(&ref);
}

/* A thread that is made from nothing but a state waits as if it had called, and gets what it waits for. */
static void park_new(void)
{
    struct fluke_thread_state waiting, made;

    fluke_ref_create(&ref);
    fluke_mutex_create(&mutex);
    fluke_mutex_lock(&mutex);
    struct worker *worker = start(lock_and_unlock, &mutex);
    fluke_thread_get_state(&worker->thread, &waiting, NULL, NULL, &ref, NULL, NULL);
    fluke_thread_destroy(&worker->thread);
    fluke_thread_create(&worker->thread);
    get_state(worker, &made);
    CHECK(made.hash != waiting.hash);
    fluke_thread_set_state(&worker->thread, &waiting, fluke_start_block->space_ref, NULL, &ref, NULL, NULL);
    CHECK(!worker->done);
    fluke_mutex_unlock(&mutex);
    CHECK(worker->done);
    end(worker);
    fluke_mutex_destroy(&mutex);
    fluke_ref_destroy(&ref);
}

const struct usertest link_tests[] = {
    {"link_space", "Does a thread without a space stand still until it gets one?", link_space},
    {"link_scheduler", "Is a thread's scheduler kept, and null when it is gone?", link_scheduler},
    {"link_wrong_types", "Does each link take objects of its own types only?", link_wrong_types},
    {"link_impossible", "Are links refused that a thread cannot have?", link_impossibly},
    {"link_park_again", "Does a waiter keep its place when it is parked again, or asks again?", park_again},
    {"link_park_new", "Can a waiting thread be destroyed and made again from its state?", park_new},
    {0},
};
