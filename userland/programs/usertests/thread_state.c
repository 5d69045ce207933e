/* A thread's state: what is read out of a thread, and what loading it does. */

#include "usertests.h"

static fluke_thread_t thread;
static fluke_mutex_t mutex;

static void read_waiter(void)
{
    struct fluke_thread_state state;

    make_locked(&mutex);
    struct worker *worker = start(lock_and_unlock, &mutex);
    get_state(worker, &state);
    CHECK(is_on_call(&state, FLUKE_CALL_MUTEX_LOCK));
    CHECK(state.x[A0] == (uint64_t)&mutex);
    CHECK(state.flags == FLUKE_THREAD_EXCEPTION_ENABLE);
    CHECK(state.priority == WORKER_PRIORITY);
    CHECK(state.wait_order != 0);
    get_state(worker, &state);
    CHECK(state.flags == (FLUKE_THREAD_EXCEPTION_ENABLE | FLUKE_THREAD_STOPPED));
    end(worker);
    fluke_mutex_destroy(&mutex);
}

static void note_letter(void *letter)
{
    note(*(const char *)letter);
}

static void stop_and_start(void)
{
    struct fluke_thread_state state;
    struct worker *worker = start_at(10, note_letter, "a");

    get_state(worker, &state);
    let_others_run();
    CHECK(noted(""));
    set_state(worker, &state);
    let_others_run();
    CHECK(noted("a") && worker->done);
    end(worker);
}

/* Mutexes are handed over, also to those who are stopped. */
static void give_to_stopped(void)
{
    struct fluke_thread_state waiting, owning;

    make_locked(&mutex);
    struct worker *worker = start(lock_and_unlock, &mutex);
    get_state(worker, &waiting);
    fluke_mutex_unlock(&mutex);
    CHECK(fluke_mutex_trylock(&mutex) == FLUKE_MUTEX_HELD);
    get_state(worker, &owning);
    CHECK(owning.pc == waiting.pc + 4 && owning.x[A0] == FLUKE_SUCCESS && owning.wait_order == 0);
    CHECK(!worker->done);
    owning.flags &= ~(uint64_t)FLUKE_THREAD_STOPPED;
    set_state(worker, &owning);
    CHECK(worker->done);
    CHECK(fluke_mutex_trylock(&mutex) == FLUKE_SUCCESS);
    end(worker);
    fluke_mutex_destroy(&mutex);
}

static void load_running(void)
{
    struct fluke_thread_state state;

    make_locked(&mutex);
    struct worker *worker = start(lock_and_unlock, &mutex);
    get_state(worker, &state);
    set_state(worker, &state);
    CHECK_MISTAKE(set_state(worker, &state), FLUKE_INSANITY_THREAD_RUNNING, &worker->thread);
    CHECK(waits_for(worker) == FLUKE_MUTEX);
    end(worker);
    fluke_mutex_destroy(&mutex);
}

static void load_impossible(void)
{
    struct fluke_thread_state good, bad, after;
    struct { uint64_t *field, value; } mistakes[] = {
        {&bad.flags, 1ul << 40},          {&bad.flags, FLUKE_THREAD_IDEMPOTENT | FLUKE_THREAD_SERVER_SENDER},
        {&bad.priority, FLUKE_PRIORITY_MAX + 1}, {&bad.wait_order, UINT64_MAX},
        {&bad.run_order, UINT64_MAX},     {&bad.quantum_left, 1ul << 40},
        {&bad.fcsr, 0x100},               {&bad.exception, 1},
                  {&bad.exception_subcode, 5},
        {&bad.fault_access, 3},           {&bad.fault_address, 5},
    };

    fluke_thread_create(&thread);
    fluke_thread_get_state(&thread, &good, NULL, NULL, NULL, NULL, NULL);
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        bad = good;
        *mistakes[i].field = mistakes[i].value;
        bad.sched_val = 1;
        CHECK_MISTAKE(fluke_thread_set_state(&thread, &bad, NULL, NULL, NULL, NULL, NULL),
                      FLUKE_INSANITY_INVALID_STATE, mistakes[i].value);
    }
    fluke_thread_get_state(&thread, &after, NULL, NULL, NULL, NULL, NULL);
    CHECK(memcmp(&after, &good, sizeof good) == 0);
    fluke_thread_destroy(&thread);
}

/* Every field has a value of its own. */
static void load_everything(void)
{
    struct fluke_thread_state state, after;
    uint64_t *words = (uint64_t *)&state;

    fluke_thread_create(&thread);
    fluke_thread_get_state(&thread, &after, NULL, NULL, NULL, NULL, NULL);
    for (size_t i = 0; i < sizeof state / sizeof *words; i++)
        words[i] = 0x0123456789000000 + i;
    state.hash = after.hash;
    state.flags = FLUKE_THREAD_STOPPED | FLUKE_THREAD_EXCEPTION_ENABLE | FLUKE_THREAD_IN_CALL
        | FLUKE_THREAD_PENDING_INTERRUPT | FLUKE_THREAD_PENDING_CLIENT_ALERT | FLUKE_THREAD_PENDING_SERVER_ALERT;
    state.priority = 5;
    state.wait_order = state.run_order = 1;
    state.quantum_left = 4321;
    state.x[0] = 0;
    state.x[A7] = FLUKE_CALL_IPC_CALL; /* a call that can be cut off, as IN_CALL says */
    state.fcsr = 0xe1;
    state.exception = FLUKE_INSANITY_NO_OBJECT;
    state.server_oneway_pc = state.server_idempotent_pc = state.server_reliable_pc = 0;
    state.fault_access = state.fault_address = 0; /* it waits for no keeper */
    fluke_thread_set_state(&thread, &state, NULL, NULL, NULL, NULL, NULL);
    fluke_thread_set_state(&thread, NULL, NULL, NULL, NULL, NULL, NULL);
    fluke_thread_get_state(&thread, &after, NULL, NULL, NULL, NULL, NULL);
    CHECK(memcmp(&after, &state, sizeof state) == 0);
    fluke_thread_destroy(&thread);
}

/* Stores all registers in the structure at a0, then waits for the mutex that it names. */
static struct {
    uint64_t x[32], f[32], fcsr;
    fluke_mutex_t *mutex;
} dump;
void dump_registers(void);
__asm__(".section .text.dump_registers, \"ax\", @progbits\n"
        ".globl dump_registers\n"
        "dump_registers:\n"
        "  .irp n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "  sd x\\n, 8*\\n(a0)\n"
        "  .endr\n"
        "  .irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "  fsd f\\n, 256+8*\\n(a0)\n"
        "  .endr\n"
        "  frcsr t0\n"
        "  sd t0, 512(a0)\n"
        "  ld a0, 520(a0)\n"
        "  tail fluke_mutex_lock\n"
        ".text\n");

static void use_loaded_registers(void)
{
    struct fluke_thread_state state;

    make_locked(&mutex);
    dump.mutex = &mutex;
    fluke_thread_create(&thread);
    fluke_thread_get_state(&thread, &state, NULL, NULL, NULL, NULL, NULL);
    state.flags = 0;
    state.priority = WORKER_PRIORITY;
    state.pc = (uint64_t)dump_registers;
    for (uint64_t n = 1; n < 32; n++)
        state.x[n] = 0xabc000000000 + n;
    for (uint64_t n = 0; n < 32; n++)
        state.f[n] = 0x4009000000000000 + n;
    state.x[A0] = (uint64_t)&dump;
    state.fcsr = 0x61;
    fluke_thread_set_state(&thread, &state, fluke_start_block->space_ref, NULL, NULL, NULL, NULL);
    CHECK(memcmp(&dump.x[1], &state.x[1], sizeof dump.x - sizeof *dump.x) == 0);
    CHECK(memcmp(dump.f, state.f, sizeof dump.f) == 0);
    CHECK(dump.fcsr == 0x61);
    fluke_thread_destroy(&thread);
    fluke_mutex_destroy(&mutex);
}

/* Who is loaded with another's place in the order takes that place. */
static void exchange_places(void)
{
    static struct two_mutexes first = {&mutex, NULL, 'a'}, second = {&mutex, NULL, 'b'};
    struct fluke_thread_state one, two;

    make_locked(&mutex);
    struct worker *a = start(lock_and_note, &first), *b = start(lock_and_note, &second);
    get_state(a, &one);
    get_state(b, &two);
    uint64_t order = one.wait_order;
    CHECK(order < two.wait_order);
    one.wait_order = two.wait_order;
    two.wait_order = order;
    set_state(a, &one);
    set_state(b, &two);
    fluke_mutex_unlock(&mutex);
    CHECK(noted("ba"));
    end(a);
    end(b);
    fluke_mutex_destroy(&mutex);
}

static void lock_only(void *unused)
{
    (void)unused;
    fluke_mutex_lock(&mutex);
}

/* A waiter that waits for nothing any more goes on where its registers say, and they may say anything. */
static void leave_call(void)
{
    struct fluke_thread_state state;
    fluke_ref_t null_ref;

    fluke_ref_create(&null_ref);
    make_locked(&mutex);
    struct worker *worker = start(lock_only, NULL);
    get_state(worker, &state);
    state.pc = (uint64_t)note_letter; /* and from there back to the caller of mutex_lock */
    state.x[A0] = (uint64_t)"x";
    fluke_thread_set_state(&worker->thread, &state, NULL, NULL, &null_ref, NULL, NULL);
    CHECK(noted("x") && worker->done);
    fluke_mutex_unlock(&mutex);
    CHECK(fluke_mutex_trylock(&mutex) == FLUKE_SUCCESS);
    end(worker);
    fluke_mutex_destroy(&mutex);
    fluke_ref_destroy(&null_ref);
}

const struct usertest thread_state_tests[] = {
    {"state_of_waiter", "Do a waiter's registers name the call that remains?", read_waiter},
    {"state_stop_start", "Does a thread stand still from get_state to set_state?", stop_and_start},
    {"state_stopped_owner", "Can a stopped thread be given a mutex?", give_to_stopped},
    {"state_running", "Is a state loaded into stopped threads only?", load_running},
    {"state_impossible", "Are impossible states refused as a whole?", load_impossible},
    {"state_everything", "Is every field read out as it was loaded, and left alone by a null pointer?",
     load_everything},
    {"state_registers", "Does a thread begin with all the registers that it was given?", use_loaded_registers},
    {"state_wait_order", "Does the order of waits follow from the states of the waiters?", exchange_places},
    {"state_leave_call", "Can a waiter be sent somewhere else?", leave_call},
    {0},
};
