/* Priorities: who runs first, and what is lent through mutexes and conditions. */

#include "usertests.h"

enum { LOW = 8, MIDDLE = 10, HIGH = 12 }; /* all of them below that of the case */

static fluke_mutex_t mutex, other_mutex, gate;
static fluke_cond_t cond;
static fluke_ref_t ref;

static void note_letter(void *letter)
{
    note(*(const char *)letter);
}

static void run_in_order(void)
{
    struct worker *workers[] = {start_at(LOW, note_letter, "a"), start_at(HIGH, note_letter, "b"),
                                start_at(LOW, note_letter, "c")};

    CHECK(noted(""));
    let_others_run();
    CHECK(noted("bac"));
    for (unsigned i = 0; i < 3; i++)
        end(workers[i]);
}

static void preempt_at_once(void)
{
    static struct two_mutexes one = {&gate, NULL, 'w'};

    fluke_mutex_create(&gate);
    fluke_mutex_lock(&gate);
    struct worker *worker = start(lock_and_note, &one);
    note('a');
    fluke_mutex_unlock(&gate);
    note('b');
    CHECK(noted("awb"));
    end(worker);
    fluke_mutex_destroy(&gate);
}

static void change_priority(void)
{
    struct fluke_thread_state state;
    struct worker *a = start_at(MIDDLE, note_letter, "a"), *b = start_at(LOW, note_letter, "b");

    get_state(b, &state);
    CHECK(state.priority == LOW);
    state.priority = HIGH;
    set_state(b, &state);
    let_others_run();
    CHECK(noted("ba"));
    end(a);
    end(b);
}

static void change_waiters_priority(void)
{
    static struct two_mutexes one = {&gate, NULL, 'a'}, two = {&gate, NULL, 'b'};
    struct fluke_thread_state state;

    fluke_mutex_create(&gate);
    fluke_mutex_lock(&gate);
    struct worker *a = start(lock_and_note, &one), *b = start(lock_and_note, &two);
    get_state(b, &state);
    state.priority = WORKER_PRIORITY + 1;
    set_state(b, &state);
    fluke_mutex_unlock(&gate);
    CHECK(noted("ba"));
    end(a);
    end(b);
    fluke_mutex_destroy(&gate);
}

static void keep_turn(void)
{
    struct fluke_thread_state state;
    struct worker *a = start_at(LOW, note_letter, "a"), *b = start_at(LOW, note_letter, "b");

    get_state(a, &state);
    set_state(a, &state);
    let_others_run();
    CHECK(noted("ab"));
    end(a);
    end(b);
}

/* A mutex with these flags, and the gate, which the caller owns. */
static void make_mutexes(uint64_t flags)
{
    struct fluke_mutex_state state = {.flags = flags, .ceiling = flags & FLUKE_MUTEX_PRI_CEILING ? HIGH : 0};

    fluke_mutex_create(&mutex);
    fluke_mutex_set_state(&mutex, &state, NULL);
    fluke_mutex_create(&other_mutex);
    fluke_mutex_set_state(&other_mutex, &state, NULL);
    fluke_mutex_create(&gate);
    fluke_mutex_lock(&gate);
}

static void destroy_mutexes(void)
{
    fluke_mutex_destroy(&mutex);
    fluke_mutex_destroy(&other_mutex);
    fluke_mutex_destroy(&gate);
}

static struct two_mutexes low_part = {&mutex, &gate, 'l'}, high_part = {&mutex, NULL, 'h'},
                          chain_part = {&other_mutex, &mutex, 'c'}, end_of_chain = {&other_mutex, NULL, 'h'};

/*
 * A thread of low priority owns the mutex and waits for the gate. Then one of high priority wants the mutex, and one
 * between the two has work to do: it comes before the low one, unless that one is lent a priority.
 */
static void contend(const char *expected)
{
    struct worker *low = start_at(LOW, lock_and_note, &low_part);
    let_others_run();
    struct worker *high = start_at(HIGH, lock_and_note, &high_part);
    let_others_run();
    struct worker *middle = start_at(MIDDLE, note_letter, "m");
    fluke_mutex_unlock(&gate);
    let_others_run();
    CHECK(noted(expected));
    end(low);
    end(middle);
    end(high);
}

static void inherit_nothing(void)
{
    make_mutexes(0);
    contend("mlh");
    destroy_mutexes();
}

static void inherit(void)
{
    make_mutexes(FLUKE_MUTEX_INHERIT_PRI);
    contend("lhm");
    destroy_mutexes();
}

static void inherit_along_chain(void)
{
    make_mutexes(FLUKE_MUTEX_INHERIT_PRI);
    struct worker *low = start_at(LOW, lock_and_note, &low_part);
    let_others_run();
    struct worker *between = start_at(LOW, lock_and_note, &chain_part);
    let_others_run();
    struct worker *high = start_at(HIGH, lock_and_note, &end_of_chain);
    let_others_run();
    struct worker *middle = start_at(MIDDLE, note_letter, "m");
    fluke_mutex_unlock(&gate);
    let_others_run();
    CHECK(noted("lchm"));
    end(low);
    end(between);
    end(middle);
    end(high);
    destroy_mutexes();
}

/* The waiter goes away, and what it lent with it. */
static void inherit_until_destroyed(void)
{
    make_mutexes(FLUKE_MUTEX_INHERIT_PRI);
    struct worker *low = start_at(LOW, lock_and_note, &low_part);
    let_others_run();
    struct worker *high = start_at(HIGH, lock_and_note, &high_part);
    let_others_run();
    end(high);
    struct worker *middle = start_at(MIDDLE, note_letter, "m");
    fluke_mutex_unlock(&gate);
    let_others_run();
    CHECK(noted("ml"));
    end(low);
    end(middle);
    destroy_mutexes();
}

static void have_ceiling(void)
{
    make_mutexes(FLUKE_MUTEX_PRI_CEILING);
    struct worker *low = start_at(LOW, lock_and_note, &low_part);
    let_others_run();
    struct worker *middle = start_at(MIDDLE, note_letter, "m");
    fluke_mutex_unlock(&gate);
    let_others_run();
    CHECK(noted("lm"));
    end(low);
    end(middle);
    destroy_mutexes();
}

static void wait_and_note(void *unused)
{
    (void)unused;
    fluke_mutex_lock(&mutex);
    fluke_cond_wait(&cond, &mutex);
    note('h');
    fluke_mutex_unlock(&mutex);
}

static void pass_gate_and_signal(void *unused)
{
    (void)unused;
    lock_and_unlock(&gate);
    note('l');
    fluke_cond_signal(&cond);
}

/* The thread that is to signal a condition inherits from those who wait for it. */
static void inherit_through_condition(void)
{
    make_mutexes(0);
    fluke_ref_create(&ref);
    fluke_cond_create(&cond);
    struct worker *low = start_at(LOW, pass_gate_and_signal, NULL), *high = start_at(HIGH, wait_and_note, NULL);
    fluke_thread_reference(&low->thread, &ref);
    fluke_cond_set_state(&cond, NULL, &ref);
    let_others_run();
    struct worker *middle = start_at(MIDDLE, note_letter, "m");
    fluke_mutex_unlock(&gate);
    let_others_run();
    CHECK(noted("lhm"));
    end(low);
    end(middle);
    end(high);
    fluke_cond_destroy(&cond);
    fluke_ref_destroy(&ref);
    destroy_mutexes();
}

const struct usertest priority_tests[] = {
    {"priority_order", "Do ready threads run by priority, and equal ones in turn?", run_in_order},
    {"priority_preempts", "Does a more urgent thread run as soon as it is woken?", preempt_at_once},
    {"priority_of_ready", "Does a ready thread's new priority change its turn?", change_priority},
    {"priority_of_waiter", "Does a waiter's new priority change its place?", change_waiters_priority},
    {"priority_kept_turn", "Does a thread keep its turn when it is stopped and started?", keep_turn},
    {"priority_inversion", "Does a plain mutex let a thread between come before its owner?", inherit_nothing},
    {"priority_inherited", "Does the owner of a mutex inherit from those who wait for it?", inherit},
    {"priority_chain", "Does what is inherited go on along a chain of owners?", inherit_along_chain},
    {"priority_given_back", "Does inheritance end when the waiter is destroyed?", inherit_until_destroyed},
    {"priority_ceiling", "Does the owner of a mutex have at least its ceiling?", have_ceiling},
    {"priority_inheritor", "Does the inheritor of a condition inherit from those who wait for it?",
     inherit_through_condition},
    {0},
};
