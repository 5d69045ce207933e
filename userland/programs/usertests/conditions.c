/* Conditions: waiting gives the mutex back, and whoever returns has it again. */

#include "usertests.h"

static fluke_mutex_t mutex;
static fluke_cond_t cond, place;
static fluke_ref_t ref;

static void begin(void)
{
    fluke_mutex_create(&mutex);
    fluke_cond_create(&cond);
}

static void finish(void)
{
    fluke_cond_destroy(&cond);
    fluke_mutex_destroy(&mutex);
}

/* Waits once, and notes its letter with the mutex held. */
static void wait_once(void *letter)
{
    fluke_mutex_lock(&mutex);
    fluke_cond_wait(&cond, &mutex);
    note(*(const char *)letter);
    fluke_mutex_unlock(&mutex);
}

static void make_new(void)
{
    struct fluke_cond_state state;
    uint64_t hash = 0xc07d;

    fluke_ref_create(&ref);
    CHECK(fluke_cond_create(&cond) == FLUKE_SUCCESS);
    fluke_cond_get_state(&cond, &state, &ref);
    CHECK(state.hash != 0 && state.flags == 0 && fluke_ref_type(&ref) == FLUKE_NULL);
    fluke_cond_reference(&cond, &ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_COND && fluke_ref_hash(&ref) == state.hash);
    CHECK(fluke_cond_create_hash(&place, &hash) == FLUKE_SUCCESS);
    fluke_cond_get_state(&place, &state, NULL);
    CHECK(state.hash == 0xc07d);
    fluke_cond_destroy(&place);
    fluke_cond_destroy(&cond);
    fluke_ref_destroy(&ref);
}

/* Nothing is remembered of a signal that nobody waited for. */
static void signal_nobody(void)
{
    begin();
    fluke_cond_signal(&cond);
    fluke_cond_broadcast(&cond);
    struct worker *worker = start(wait_once, "a");
    CHECK(waits_for(worker) == FLUKE_COND);
    end(worker);
    finish();
}

static void give_mutex_back(void)
{
    begin();
    struct worker *worker = start(wait_once, "a");
    CHECK(fluke_mutex_trylock(&mutex) == FLUKE_SUCCESS);
    fluke_cond_signal(&cond);
    CHECK(noted("")); /* it has to lock the mutex first */
    CHECK(waits_for(worker) == FLUKE_MUTEX);
    fluke_mutex_unlock(&mutex);
    CHECK(noted("a") && worker->done);
    end(worker);
    finish();
}

static void read_waiter(void)
{
    struct fluke_thread_state state;

    begin();
    struct worker *worker = start(wait_once, "a");
    get_state(worker, &state);
    CHECK(is_on_call(&state, FLUKE_CALL_MUTEX_LOCK));
    CHECK(state.x[A0] == (uint64_t)&mutex);
    set_state(worker, &state);
    fluke_cond_signal(&cond);
    CHECK(noted("a"));
    end(worker);
    finish();
}

static struct worker *workers[3];

static void start_three(void)
{
    workers[0] = start(wait_once, "a");
    workers[1] = start_at(WORKER_PRIORITY + 1, wait_once, "b");
    workers[2] = start(wait_once, "c");
}

static void end_three(void)
{
    for (unsigned i = 0; i < 3; i++)
        end(workers[i]);
}

static void signal_in_order(void)
{
    begin();
    start_three();
    fluke_cond_signal(&cond);
    CHECK(noted("b"));
    fluke_cond_signal(&cond);
    CHECK(noted("ba"));
    fluke_cond_signal(&cond);
    CHECK(noted("bac"));
    end_three();
    finish();
}

static void broadcast_in_order(void)
{
    begin();
    start_three();
    fluke_cond_broadcast(&cond);
    CHECK(noted("bac"));
    end_three();
    finish();
}

static void wait_twice(void *letter)
{
    wait_once(letter);
    wait_once(letter);
}

/* Whoever waits again is left alone by the broadcast that woke it. */
static void broadcast_once(void)
{
    begin();
    struct worker *one = start(wait_twice, "a"), *two = start(wait_twice, "b");
    fluke_cond_broadcast(&cond);
    CHECK(noted("ab"));
    CHECK(waits_for(one) == FLUKE_COND && waits_for(two) == FLUKE_COND);
    fluke_cond_broadcast(&cond);
    CHECK(noted("abab"));
    end(one);
    end(two);
    finish();
}

static void wait_mistaken(void)
{
    fluke_cond_t *wrong_cond = (fluke_cond_t *)&mutex;
    fluke_mutex_t *wrong_mutex = (fluke_mutex_t *)&cond;

    begin();
    CHECK_MISTAKE(fluke_cond_wait(&cond, &mutex), FLUKE_INSANITY_MUTEX_NOT_OWNED, &mutex);
    CHECK_MISTAKE(fluke_cond_wait(wrong_cond, &mutex), FLUKE_INSANITY_NOT_COND, wrong_cond);
    CHECK_MISTAKE(fluke_cond_wait(&cond, wrong_mutex), FLUKE_INSANITY_NOT_MUTEX, wrong_mutex);
    CHECK_MISTAKE(fluke_cond_signal(wrong_cond), FLUKE_INSANITY_NOT_COND, wrong_cond);
    CHECK_MISTAKE(fluke_cond_broadcast(wrong_cond), FLUKE_INSANITY_NOT_COND, wrong_cond);
    CHECK_MISTAKE(fluke_cond_signal(&place), FLUKE_INSANITY_NO_OBJECT, &place);
    finish();
}

/* A waiter that waits for nothing any more locks its mutex and returns. */
static void return_spuriously(void)
{
    struct fluke_thread_state state;

    begin();
    fluke_ref_create(&ref);
    struct worker *worker = start(wait_once, "a");
    get_state(worker, &state);
    fluke_thread_set_state(&worker->thread, &state, NULL, NULL, &ref, NULL, NULL);
    CHECK(noted("a") && worker->done);
    end(worker);
    fluke_ref_destroy(&ref);
    finish();
}

static void signal_stopped(void)
{
    struct fluke_thread_state state;

    begin();
    struct worker *worker = start(wait_once, "a");
    get_state(worker, &state);
    fluke_cond_signal(&cond);
    CHECK(noted(""));
    get_state(worker, &state);
    state.flags &= ~(uint64_t)FLUKE_THREAD_STOPPED;
    set_state(worker, &state);
    CHECK(noted("a"));
    end(worker);
    finish();
}

static void destroy_waited_for(void)
{
    begin();
    struct worker *worker = start(wait_once, "a");
    fluke_cond_destroy(&cond);
    CHECK(noted("a") && worker->done);
    end(worker);
    fluke_cond_create(&cond);
    finish();
}

/* The waiters' registers name the mutex alone, so they do not mind. */
static void move_waited_for(void)
{
    begin();
    struct worker *worker = start(wait_once, "a");
    fluke_cond_move(&cond, &place);
    CHECK(waits_for(worker) == FLUKE_COND);
    CHECK_MISTAKE(fluke_cond_signal(&cond), FLUKE_INSANITY_NO_OBJECT, &cond);
    fluke_cond_signal(&place);
    CHECK(noted("a"));
    end(worker);
    fluke_cond_move(&place, &cond);
    finish();
}

static void wait_only(void *unused)
{
    (void)unused;
    fluke_mutex_lock(&mutex);
    fluke_cond_wait(&cond, &mutex);
}

static void destroy_mutex(void)
{
    begin();
    struct worker *worker = start(wait_only, NULL);
    fluke_mutex_destroy(&mutex);
    CHECK(waits_for(worker) == FLUKE_COND);
    fluke_cond_signal(&cond);
    CHECK_MISTAKE_OF(worker, FLUKE_INSANITY_NO_OBJECT, &mutex);
    end(worker);
    fluke_mutex_create(&mutex);
    finish();
}

static void load(void)
{
    struct fluke_cond_state flags = {.flags = FLUKE_COND_MULTITASK}, impossible = {.flags = 0x40}, after;
    fluke_ref_t thread_ref;

    begin();
    fluke_ref_create(&ref);
    fluke_ref_create(&thread_ref);
    struct worker *worker = start(wait_once, "a");
    fluke_thread_reference(&worker->thread, &thread_ref);
    fluke_cond_set_state(&cond, &flags, &thread_ref);
    fluke_cond_get_state(&cond, &after, &ref);
    CHECK(after.flags == FLUKE_COND_MULTITASK && fluke_ref_compare(&ref, &thread_ref));
    CHECK_MISTAKE(fluke_cond_set_state(&cond, &impossible, NULL), FLUKE_INSANITY_INVALID_STATE, 0x40);
    CHECK_MISTAKE(fluke_cond_set_state(&cond, NULL, fluke_start_block->timer_ref), FLUKE_INSANITY_NOT_THREAD_REF,
                  fluke_start_block->timer_ref);
    end(worker);
    fluke_cond_get_state(&cond, NULL, &ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_NULL);
    fluke_ref_destroy(&thread_ref);
    fluke_ref_destroy(&ref);
    finish();
}

const struct usertest condition_tests[] = {
    {"cond_new", "What is a condition that was only created?", make_new},
    {"cond_signal_nobody", "Is a signal forgotten that nobody waits for?", signal_nobody},
    {"cond_mutex", "Is the mutex free during the wait, and locked after it?", give_mutex_back},
    {"cond_state_of_waiter", "Do a waiter's registers say that it locks its mutex?", read_waiter},
    {"cond_signal", "Does a signal let one go on, the most urgent, then the longest waiting?", signal_in_order},
    {"cond_broadcast", "Does a broadcast let all go on, in order?", broadcast_in_order},
    {"cond_broadcast_once", "Does a broadcast leave those alone who wait again?", broadcast_once},
    {"cond_mistakes", "What if there is no condition, or the mutex is not the caller's?", wait_mistaken},
    {"cond_spurious", "Does a waiter return when it is made to wait for nothing?", return_spuriously},
    {"cond_signal_stopped", "Does a signal reach a waiter that is stopped?", signal_stopped},
    {"cond_destroy_waited_for", "Do the waiters of a condition return that is destroyed?", destroy_waited_for},
    {"cond_move_waited_for", "Does a signal reach the waiters of a condition that was moved?", move_waited_for},
    {"cond_mutex_gone", "What if a waiter's mutex is gone when it is signalled?", destroy_mutex},
    {"cond_load", "Are a condition's flags and inheritor kept, and impossible ones refused?", load},
    {0},
};
