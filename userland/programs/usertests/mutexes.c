/* Mutexes: one owner at a time, handed over in order, and what becomes of them when threads do not play along. */

#include "usertests.h"

static fluke_mutex_t mutex, place;
static fluke_cond_t cond;
static fluke_ref_t ref, own_ref;

static bool is_locked(void)
{
    struct fluke_mutex_state state;

    fluke_mutex_get_state(&mutex, &state, NULL);
    return state.locked != 0;
}

/* Whether the owner is this thread; null: none that is known. */
static bool is_owned_by(fluke_thread_t *thread)
{
    fluke_mutex_get_state(&mutex, NULL, &ref);
    if (thread == NULL)
        return fluke_ref_type(&ref) == FLUKE_NULL;
    fluke_thread_reference(thread, &own_ref);
    return fluke_ref_compare(&ref, &own_ref) == 1;
}

static void begin(void)
{
    fluke_mutex_create(&mutex);
    fluke_ref_create(&ref);
    fluke_ref_create(&own_ref);
}

static void finish(void)
{
    fluke_ref_destroy(&own_ref);
    fluke_ref_destroy(&ref);
    fluke_mutex_destroy(&mutex);
}

static void make_new(void)
{
    struct fluke_mutex_state state;
    uint64_t hash = 0x3007e8;

    begin();
    fluke_mutex_get_state(&mutex, &state, NULL);
    CHECK(state.hash != 0 && state.flags == 0 && state.locked == 0 && state.ceiling == 0);
    CHECK(is_owned_by(NULL));
    fluke_mutex_reference(&mutex, &ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_MUTEX && fluke_ref_hash(&ref) == state.hash);
    CHECK(fluke_mutex_create_hash(&place, &hash) == FLUKE_SUCCESS);
    fluke_mutex_get_state(&place, &state, NULL);
    CHECK(state.hash == 0x3007e8);
    fluke_mutex_destroy(&place);
    finish();
}

static void lock_and_unlock_it(void)
{
    begin();
    fluke_mutex_lock(&mutex);
    CHECK(is_locked() && is_owned_by(fluke_thread_self()));
    fluke_mutex_unlock(&mutex);
    CHECK(!is_locked() && is_owned_by(NULL));
    finish();
}

static void try_lock(void *status)
{
    *(fluke_error_t *)status = fluke_mutex_trylock(&mutex);
}

static void trylock(void)
{
    fluke_error_t status = -1;

    fluke_mutex_create(&mutex);
    CHECK(fluke_mutex_trylock(&mutex) == FLUKE_SUCCESS);
    struct worker *worker = start(try_lock, &status);
    CHECK(worker->done && status == FLUKE_MUTEX_HELD);
    end(worker);
    fluke_mutex_unlock(&mutex);
    fluke_mutex_destroy(&mutex);
}

static void relock(void)
{
    fluke_mutex_create(&mutex);
    fluke_mutex_lock(&mutex);
    CHECK_MISTAKE(fluke_mutex_lock(&mutex), FLUKE_INSANITY_MUTEX_LOCKED, &mutex);
    CHECK_MISTAKE(fluke_mutex_trylock(&mutex), FLUKE_INSANITY_MUTEX_LOCKED, &mutex);
    fluke_mutex_unlock(&mutex);
    fluke_mutex_destroy(&mutex);
}

static void unlock(void *unused)
{
    (void)unused;
    fluke_mutex_unlock(&mutex);
}

static void unlock_anothers(void)
{
    begin();
    CHECK_MISTAKE(fluke_mutex_unlock(&mutex), FLUKE_INSANITY_MUTEX_NOT_OWNED, &mutex);
    fluke_mutex_lock(&mutex);
    struct worker *worker = start(unlock, NULL);
    CHECK_MISTAKE_OF(worker, FLUKE_INSANITY_MUTEX_NOT_OWNED, &mutex);
    CHECK(is_owned_by(fluke_thread_self()));
    end(worker);
    finish();
}

static void find_no_mutex(void)
{
    fluke_mutex_t *wrong = (fluke_mutex_t *)&cond;

    fluke_cond_create(&cond);
    CHECK_MISTAKE(fluke_mutex_lock(wrong), FLUKE_INSANITY_NOT_MUTEX, wrong);
    CHECK_MISTAKE(fluke_mutex_trylock(wrong), FLUKE_INSANITY_NOT_MUTEX, wrong);
    CHECK_MISTAKE(fluke_mutex_unlock(wrong), FLUKE_INSANITY_NOT_MUTEX, wrong);
    CHECK_MISTAKE(fluke_mutex_lock(&mutex), FLUKE_INSANITY_NO_OBJECT, &mutex);
    CHECK_MISTAKE(fluke_mutex_lock(ODD(&cond)), FLUKE_INSANITY_NOT_ALIGNED, ODD(&cond));
    CHECK_MISTAKE(fluke_mutex_lock(NOWHERE), FLUKE_EXCEPTION_LOAD_FAULT, NOWHERE);
    fluke_cond_destroy(&cond);
}

static void hand_over_in_order(void)
{
    static struct two_mutexes parts[] = {{&mutex, NULL, 'a'}, {&mutex, NULL, 'b'}, {&mutex, NULL, 'c'}};
    struct worker *workers[3];

    fluke_mutex_create(&mutex);
    fluke_mutex_lock(&mutex);
    for (unsigned i = 0; i < 3; i++)
        workers[i] = start_at(i == 1 ? WORKER_PRIORITY + 1 : WORKER_PRIORITY, lock_and_note, &parts[i]);
    fluke_mutex_unlock(&mutex);
    CHECK(noted("bac"));
    for (unsigned i = 0; i < 3; i++)
        end(workers[i]);
    fluke_mutex_destroy(&mutex);
}


/* The new owner has not run yet, and owns the mutex all the same. */
static void hand_over_at_once(void)
{
    begin();
    fluke_mutex_lock(&mutex);
    struct worker *worker = start_at(10, lock_and_unlock, &mutex);
    let_others_run();
    fluke_mutex_unlock(&mutex);
    CHECK(!worker->done && is_owned_by(&worker->thread));
    CHECK(fluke_mutex_trylock(&mutex) == FLUKE_MUTEX_HELD);
    fluke_mutex_lock(&mutex); /* behind the worker */
    CHECK(is_owned_by(fluke_thread_self()));
    end(worker);
    finish();
}

static void lock_only(void *unused)
{
    (void)unused;
    fluke_mutex_lock(&mutex);
}

static void destroy_waited_for(void)
{
    begin();
    fluke_mutex_lock(&mutex);
    struct worker *worker = start(lock_only, NULL);
    fluke_mutex_destroy(&mutex);
    CHECK(worker->done);
    CHECK_MISTAKE_OF(worker, FLUKE_INSANITY_NO_OBJECT, &mutex);
    end(worker);
    fluke_mutex_create(&mutex);
    finish();
}

static void lose_owner(void)
{
    struct fluke_mutex_state state;

    begin();
    struct worker *owner = start(lock_only, NULL), *waiter = start(lock_and_unlock, &mutex);
    end(owner);
    CHECK(waits_for(waiter) == FLUKE_MUTEX);
    fluke_mutex_get_state(&mutex, &state, NULL);
    CHECK(state.locked == 1 && state.flags == FLUKE_MUTEX_OWNER_DEAD);
    CHECK(is_owned_by(NULL));
    CHECK(fluke_mutex_trylock(&mutex) == FLUKE_MUTEX_HELD);
    CHECK_MISTAKE(fluke_mutex_unlock(&mutex), FLUKE_INSANITY_MUTEX_NOT_OWNED, &mutex);
    /* Whoever may load its state can mend that. */
    fluke_thread_reference(fluke_thread_self(), &ref);
    fluke_mutex_set_state(&mutex, NULL, &ref);
    fluke_mutex_get_state(&mutex, &state, NULL);
    CHECK(state.locked == 1 && state.flags == 0);
    fluke_mutex_unlock(&mutex);
    CHECK(waiter->done);
    end(waiter);
    finish();
}

static void move_waited_for(void)
{
    fluke_mutex_create(&mutex);
    fluke_mutex_lock(&mutex);
    struct worker *worker = start(lock_only, NULL);
    fluke_mutex_move(&mutex, &place);
    CHECK_MISTAKE_OF(worker, FLUKE_INSANITY_NO_OBJECT, &mutex);
    CHECK_MISTAKE(fluke_mutex_unlock(&mutex), FLUKE_INSANITY_NO_OBJECT, &mutex);
    fluke_mutex_unlock(&place);
    end(worker);
    fluke_mutex_destroy(&place);
}

static void load_owner(void)
{
    struct fluke_mutex_state state = {.locked = 1};

    begin();
    struct worker *owner = start(lock_and_unlock, &mutex);
    fluke_thread_reference(&owner->thread, &ref);
    fluke_mutex_set_state(&mutex, &state, &ref);
    CHECK(is_locked() && is_owned_by(&owner->thread));
    struct worker *waiter = start(lock_and_unlock, &mutex);
    CHECK(waits_for(waiter) == FLUKE_MUTEX);
    fluke_ref_destroy(&ref);
    fluke_ref_create(&ref);
    fluke_mutex_set_state(&mutex, NULL, &ref); /* a null reference: nobody owns it, so it is the waiter's turn */
    CHECK(waiter->done && !is_locked());
    end(owner);
    end(waiter);
    finish();
}

static void load_flags(void)
{
    struct fluke_mutex_state state = {.flags = FLUKE_MUTEX_MULTITASK | FLUKE_MUTEX_PRI_CEILING, .ceiling = 9}, after;

    fluke_mutex_create(&mutex);
    fluke_mutex_set_state(&mutex, &state, NULL);
    fluke_mutex_set_state(&mutex, NULL, NULL);
    fluke_mutex_get_state(&mutex, &after, NULL);
    CHECK(after.flags == state.flags && after.ceiling == 9 && after.locked == 0);
    CHECK(after.hash != 0); /* it cannot be loaded */
    fluke_mutex_destroy(&mutex);
}

static void load_impossible(void)
{
    struct fluke_mutex_state flags = {.flags = 0x40}, ceiling = {.ceiling = FLUKE_PRIORITY_MAX + 1}, unlocked = {0};

    begin();
    fluke_thread_reference(fluke_thread_self(), &ref);
    CHECK_MISTAKE(fluke_mutex_set_state(&mutex, &flags, NULL), FLUKE_INSANITY_INVALID_STATE, 0x40);
    CHECK_MISTAKE(fluke_mutex_set_state(&mutex, &ceiling, NULL), FLUKE_INSANITY_INVALID_STATE, FLUKE_PRIORITY_MAX + 1);
    CHECK_MISTAKE(fluke_mutex_set_state(&mutex, &unlocked, &ref), FLUKE_INSANITY_INVALID_STATE, 0);
    CHECK_MISTAKE(fluke_mutex_set_state(&mutex, NULL, fluke_start_block->timer_ref), FLUKE_INSANITY_NOT_THREAD_REF,
                  fluke_start_block->timer_ref);
    CHECK(!is_locked());
    finish();
}

const struct usertest mutex_tests[] = {
    {"mutex_new", "What is a mutex that was only created?", make_new},
    {"mutex_lock", "Is a mutex owned from lock to unlock?", lock_and_unlock_it},
    {"mutex_trylock", "Does trylock take a free mutex, and never wait for one that is held?", trylock},
    {"mutex_relock", "What if the owner locks a mutex again?", relock},
    {"mutex_not_owned", "What if somebody unlocks a mutex that is not theirs?", unlock_anothers},
    {"mutex_none", "What if there is no mutex at the address?", find_no_mutex},
    {"mutex_order", "Is a mutex handed over by priority, then in the order of waiting?", hand_over_in_order},
    {"mutex_hand_over", "Does the next owner own a mutex before it runs?", hand_over_at_once},
    {"mutex_destroy_waited_for", "What do waiters of a mutex get that is destroyed?", destroy_waited_for},
    {"mutex_owner_dead", "Does a mutex stay locked when its owner is destroyed?", lose_owner},
    {"mutex_move_waited_for", "What do waiters of a mutex get that is moved?", move_waited_for},
    {"mutex_load_owner", "Can a mutex be given an owner, and freed, by loading its state?", load_owner},
    {"mutex_load_flags", "Are the flags and the ceiling of a mutex kept?", load_flags},
    {"mutex_impossible", "Are impossible states of a mutex refused?", load_impossible},
    {0},
};
