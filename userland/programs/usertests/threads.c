/* Threads as objects: made, named, moved, destroyed, and the mistakes that can be made with any object. */

#include "usertests.h"

const uint64_t constants[2] __attribute__((aligned(FLUKE_SLOT_SIZE))) = {1};

static fluke_thread_t thread, other;
static fluke_mutex_t mutex;
static fluke_ref_t ref;

static void make_new(void)
{
    struct fluke_thread_state state;

    fluke_ref_create(&ref);
    fluke_mutex_create(&mutex);
    fluke_mutex_reference(&mutex, &ref);
    CHECK(fluke_thread_create(&thread) == FLUKE_SUCCESS);
    fluke_thread_get_state(&thread, &state, &ref, NULL, NULL, NULL, NULL);
    CHECK(state.flags == FLUKE_THREAD_STOPPED);
    CHECK(state.priority == FLUKE_PRIORITY_DEFAULT);
    CHECK(state.thread_va == (uint64_t)&thread);
    CHECK(state.hash != 0);
    CHECK(fluke_ref_type(&ref) == FLUKE_NULL);
    fluke_thread_destroy(&thread);
    fluke_mutex_destroy(&mutex);
    fluke_ref_destroy(&ref);
}

static void choose_hash(void)
{
    uint64_t hash = 0x7001;
    struct fluke_thread_state state;

    CHECK(fluke_thread_create_hash(&thread, &hash) == FLUKE_SUCCESS);
    fluke_thread_get_state(&thread, &state, NULL, NULL, NULL, NULL, NULL);
    CHECK(hash == 0x7001 && state.hash == hash);
    fluke_thread_destroy(&thread);
    hash = 0;
    CHECK(fluke_thread_create_hash(&thread, &hash) == FLUKE_SUCCESS);
    CHECK(hash != 0);
    fluke_thread_destroy(&thread);
    CHECK(fluke_thread_create_hash(&thread, NULL) == FLUKE_SUCCESS);
    fluke_thread_destroy(&thread);
}

static void make_twice(void)
{
    fluke_thread_create(&thread);
    CHECK_MISTAKE(fluke_thread_create(&thread), FLUKE_INSANITY_OBJECT_EXISTS, &thread);
    CHECK_MISTAKE(fluke_mutex_create((fluke_mutex_t *)&thread), FLUKE_INSANITY_OBJECT_EXISTS, &thread);
    fluke_mutex_create(&mutex);
    CHECK_MISTAKE(fluke_thread_move(&thread, (fluke_thread_t *)&mutex), FLUKE_INSANITY_OBJECT_EXISTS, &mutex);
    fluke_mutex_destroy(&mutex);
    fluke_thread_destroy(&thread);
}

static void misalign(void)
{
    fluke_thread_create(&thread);
    CHECK_MISTAKE(fluke_thread_create(ODD(&other)), FLUKE_INSANITY_NOT_ALIGNED, ODD(&other));
    CHECK_MISTAKE(fluke_thread_destroy(ODD(&thread)), FLUKE_INSANITY_NOT_ALIGNED, ODD(&thread));
    CHECK_MISTAKE(fluke_thread_move(&thread, ODD(&other)), FLUKE_INSANITY_NOT_ALIGNED, ODD(&other));
    fluke_thread_destroy(&thread);
}

/* Objects are created, destroyed and moved where one can write, and named where one can read. */
static void have_no_memory(void)
{
    fluke_thread_create(&thread);
    CHECK_MISTAKE(fluke_thread_create(NOWHERE), FLUKE_EXCEPTION_STORE_FAULT, NOWHERE);
    CHECK_MISTAKE(fluke_thread_create(NULL), FLUKE_EXCEPTION_STORE_FAULT, NULL);
    CHECK_MISTAKE(fluke_thread_create(READ_ONLY), FLUKE_EXCEPTION_STORE_FAULT, READ_ONLY);
    CHECK_MISTAKE(fluke_thread_destroy(READ_ONLY), FLUKE_EXCEPTION_STORE_FAULT, READ_ONLY);
    CHECK_MISTAKE(fluke_thread_move(&thread, READ_ONLY), FLUKE_EXCEPTION_STORE_FAULT, READ_ONLY);
    CHECK_MISTAKE(fluke_thread_interrupt(NOWHERE), FLUKE_EXCEPTION_LOAD_FAULT, NOWHERE);
    CHECK_MISTAKE(fluke_thread_interrupt(READ_ONLY), FLUKE_INSANITY_NO_OBJECT, READ_ONLY);
    fluke_thread_destroy(&thread);
}

static void find_none(void)
{
    CHECK_MISTAKE(fluke_thread_destroy(&thread), FLUKE_INSANITY_NO_OBJECT, &thread);
    CHECK_MISTAKE(fluke_thread_move(&thread, &other), FLUKE_INSANITY_NO_OBJECT, &thread);
    CHECK_MISTAKE(fluke_thread_reference(&thread, &ref), FLUKE_INSANITY_NO_OBJECT, &thread);
    CHECK_MISTAKE(fluke_thread_get_state(&thread, NULL, NULL, NULL, NULL, NULL, NULL), FLUKE_INSANITY_NO_OBJECT,
                  &thread);
    CHECK_MISTAKE(fluke_thread_set_state(&thread, NULL, NULL, NULL, NULL, NULL, NULL), FLUKE_INSANITY_NO_OBJECT,
                  &thread);
    CHECK_MISTAKE(fluke_thread_interrupt(&thread), FLUKE_INSANITY_NO_OBJECT, &thread);
}

static void find_another_type(void)
{
    fluke_thread_t *wrong = (fluke_thread_t *)&mutex;

    fluke_mutex_create(&mutex);
    CHECK_MISTAKE(fluke_thread_destroy(wrong), FLUKE_INSANITY_NOT_THREAD, wrong);
    CHECK_MISTAKE(fluke_thread_move(wrong, &other), FLUKE_INSANITY_NOT_THREAD, wrong);
    CHECK_MISTAKE(fluke_thread_reference(wrong, &ref), FLUKE_INSANITY_NOT_THREAD, wrong);
    CHECK_MISTAKE(fluke_thread_get_state(wrong, NULL, NULL, NULL, NULL, NULL, NULL), FLUKE_INSANITY_NOT_THREAD, wrong);
    CHECK_MISTAKE(fluke_thread_set_state(wrong, NULL, NULL, NULL, NULL, NULL, NULL), FLUKE_INSANITY_NOT_THREAD, wrong);
    CHECK_MISTAKE(fluke_thread_interrupt(wrong), FLUKE_INSANITY_NOT_THREAD, wrong);
    fluke_mutex_destroy(&mutex);
}

static void refer(void)
{
    struct fluke_thread_state state;

    fluke_thread_create(&thread);
    fluke_ref_create(&ref);
    fluke_thread_reference(&thread, &ref);
    fluke_thread_get_state(&thread, &state, NULL, NULL, NULL, NULL, NULL);
    CHECK(fluke_ref_type(&ref) == FLUKE_THREAD);
    CHECK(fluke_ref_hash(&ref) == state.hash);
    fluke_ref_destroy(&ref);
    fluke_thread_destroy(&thread);
}

static void say_who(void *self)
{
    *(fluke_thread_t **)self = fluke_thread_self();
}

static void know_oneself(void)
{
    fluke_thread_t *self = NULL;
    struct worker *worker = start(say_who, &self);

    CHECK(self == &worker->thread);
    CHECK(fluke_thread_self() != self);
    end(worker);
}

static void act_on_oneself(void)
{
    fluke_thread_t *self = fluke_thread_self();

    CHECK_MISTAKE(fluke_thread_destroy(self), FLUKE_INSANITY_CURRENT_THREAD, self);
    CHECK_MISTAKE(fluke_thread_move(self, &other), FLUKE_INSANITY_CURRENT_THREAD, self);
    CHECK_MISTAKE(fluke_thread_get_state(self, NULL, NULL, NULL, NULL, NULL, NULL), FLUKE_INSANITY_CURRENT_THREAD,
                  self);
    CHECK_MISTAKE(fluke_thread_set_state(self, NULL, NULL, NULL, NULL, NULL, NULL), FLUKE_INSANITY_CURRENT_THREAD,
                  self);
    CHECK_MISTAKE(fluke_thread_interrupt(self), FLUKE_INSANITY_CURRENT_THREAD, self);
}

static void destroy_waiting(void)
{
    struct fluke_mutex_state state;

    fluke_mutex_create(&mutex);
    fluke_mutex_lock(&mutex);
    struct worker *worker = start(lock_and_unlock, &mutex);
    CHECK(waits_for(worker) == FLUKE_MUTEX);
    end(worker);
    fluke_mutex_unlock(&mutex);
    fluke_mutex_get_state(&mutex, &state, NULL);
    CHECK(state.locked == 0);
    fluke_mutex_destroy(&mutex);
}

static void note_letter(void *letter)
{
    note(*(const char *)letter);
}

static void destroy_ready(void)
{
    struct worker *doomed = start_at(10, note_letter, "a"), *spared = start_at(10, note_letter, "b");

    end(doomed);
    let_others_run();
    CHECK(noted("b"));
    end(spared);
}

static void lock_and_say_who(void *self)
{
    fluke_mutex_lock(&mutex);
    say_who(self);
    fluke_mutex_unlock(&mutex);
}

static void move_waiting(void)
{
    fluke_thread_t *self = NULL;

    fluke_mutex_create(&mutex);
    fluke_mutex_lock(&mutex);
    struct worker *worker = start(lock_and_say_who, &self);
    fluke_thread_move(&worker->thread, &worker->place);
    CHECK_MISTAKE(fluke_thread_interrupt(&worker->thread), FLUKE_INSANITY_NO_OBJECT, &worker->thread);
    fluke_mutex_unlock(&mutex);
    CHECK(worker->done && self == &worker->place);
    fluke_thread_move(&worker->place, &worker->thread);
    end(worker);
    fluke_mutex_destroy(&mutex);
}

const struct usertest thread_tests[] = {
    {"thread_new", "What is a thread that was only created?", make_new},
    {"thread_hash", "Can a thread's hash be chosen, or left to the kernel?", choose_hash},
    {"thread_exists", "What if there is an object already where one is to be?", make_twice},
    {"thread_misaligned", "What if an object's address is not aligned?", misalign},
    {"thread_no_memory", "What if nothing is mapped where an object is to be, or it cannot be written?",
     have_no_memory},
    {"thread_none", "What if there is no object at an address?", find_none},
    {"thread_other_type", "What if the object there is no thread?", find_another_type},
    {"thread_reference", "What does a reference say of a thread?", refer},
    {"thread_self", "Does each thread know its own address?", know_oneself},
    {"thread_on_itself", "What may a thread not do to itself?", act_on_oneself},
    {"thread_destroy_waiting", "Does a destroyed thread leave the queue that it stands in?", destroy_waiting},
    {"thread_destroy_ready", "Does a thread that is destroyed before its first step never run?", destroy_ready},
    {"thread_move_waiting", "Does a thread that is moved while it waits go on, under its new address?", move_waiting},
    {0},
};
