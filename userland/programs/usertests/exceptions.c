/* Exceptions: which there are, how a handler takes them, and what becomes of a thread that has none. */

#include "usertests.h"

static fluke_mutex_t mutex;
static uint64_t data[2] = {0x00008067, 0}; /* the machine code of `ret`, where nothing can be executed */

static void fault(void)
{
    CHECK_MISTAKE(peek(NULL), FLUKE_EXCEPTION_LOAD_FAULT, 0);
    CHECK_MISTAKE(peek((void *)0xffffffff80000000), FLUKE_EXCEPTION_LOAD_FAULT, 0xffffffff80000000);
    CHECK_MISTAKE(poke(NOWHERE, 1), FLUKE_EXCEPTION_STORE_FAULT, NOWHERE);
    CHECK_MISTAKE(poke(READ_ONLY, 1), FLUKE_EXCEPTION_STORE_FAULT, READ_ONLY);
    CHECK_MISTAKE(jump(NULL), FLUKE_EXCEPTION_FETCH_FAULT, 0);
    CHECK_MISTAKE(jump(data), FLUKE_EXCEPTION_FETCH_FAULT, data);
}

static void execute_illegal(void)
{
    uintptr_t pc;

    __asm__ volatile("la %0, 1f\n1: .word 0xffffffff" : "=r"(pc));
    CHECK_MISTAKE(0, FLUKE_EXCEPTION_ILLEGAL_INSTRUCTION, pc);
    __asm__ volatile("la %0, 1f\n1: csrw sstatus, zero" : "=r"(pc));
    CHECK_MISTAKE(0, FLUKE_EXCEPTION_ILLEGAL_INSTRUCTION, pc);
}

static void execute_breakpoint(void)
{
    uintptr_t pc;

    __asm__ volatile("la %0, 1f\n1: ebreak" : "=r"(pc));
    CHECK_MISTAKE(0, FLUKE_EXCEPTION_BREAKPOINT, pc);
}

static void misalign_atomic(void)
{
    uintptr_t address = (uintptr_t)data + 1;

    __asm__ volatile("amoadd.d zero, zero, (%0)" : : "r"(address) : "memory");
    CHECK_MISTAKE(0, FLUKE_EXCEPTION_MISALIGNED_ADDRESS, address);
}

static void call_foreign(void)
{
    register uint64_t number __asm__("a7") = 64; /* Linux's write */

    __asm__ volatile("ecall" : : "r"(number) : "a0", "memory");
    CHECK_MISTAKE(0, FLUKE_EXCEPTION_FOREIGN_SYSTEM_CALL, 64);
}

static void keep_handlers(void)
{
    fluke_thread_t *self = fluke_thread_self();
    uintptr_t trap, interrupt, client = 1, server = 2;

    fluke_thread_get_handlers(self, &trap, &interrupt, &client, NULL);
    CHECK(trap != 0 && trap == interrupt && client == 0);
    fluke_thread_set_handlers(self, (void *)trap, (void *)interrupt, (void *)0x1000, (void *)0x2000);
    fluke_thread_get_handlers(self, NULL, NULL, &client, &server);
    CHECK(client == 0x1000 && server == 0x2000);
    fluke_thread_set_handlers(self, (void *)trap, (void *)interrupt, NULL, NULL);
}

static void touch_another(void)
{
    struct fluke_thread_saved_state saved;
    fluke_thread_t *another = fluke_thread_self() + 1;

    CHECK_MISTAKE(fluke_thread_get_handlers(another, NULL, NULL, NULL, NULL), FLUKE_INSANITY_NOT_CURRENT_THREAD,
                  another);
    CHECK_MISTAKE(fluke_thread_set_handlers(another, NULL, NULL, NULL, NULL), FLUKE_INSANITY_NOT_CURRENT_THREAD,
                  another);
    CHECK_MISTAKE(fluke_thread_enable_exceptions(another), FLUKE_INSANITY_NOT_CURRENT_THREAD, another);
    CHECK_MISTAKE(fluke_thread_disable_exceptions(another), FLUKE_INSANITY_NOT_CURRENT_THREAD, another);
    CHECK_MISTAKE(fluke_thread_get_saved_state(another, &saved), FLUKE_INSANITY_NOT_CURRENT_THREAD, another);
    CHECK_MISTAKE(fluke_thread_set_saved_state(another, &saved), FLUKE_INSANITY_NOT_CURRENT_THREAD, another);
}

static struct fluke_thread_saved_state seen;

static void answer_77(uint64_t code, struct fluke_thread_saved_state *saved)
{
    (void)code;
    seen = *saved;
    saved->a0 = 77;
}

static void trylock(void *status)
{
    *(fluke_error_t *)status = fluke_mutex_trylock(&mutex);
}

/* What the handler saves and reloads decides how the call seems to end. */
static void change_result(void)
{
    fluke_error_t status = 0;
    struct worker *worker = start_with(answer_77, trylock, &status);

    CHECK(worker->done && status == 77);
    CHECK(seen.a0 == (uint64_t)&mutex && seen.a7 == FLUKE_CALL_MUTEX_TRYLOCK);
    CHECK_MISTAKE_OF(worker, FLUKE_INSANITY_NO_OBJECT, &mutex);
    end(worker);
}

static void mend(uint64_t code, struct fluke_thread_saved_state *saved)
{
    (void)code;
    fluke_mutex_create(&mutex);
    saved->pc -= 4; /* not skipped: done again */
}

static void retry_call(void)
{
    fluke_error_t status = -1;
    struct worker *worker = start_with(mend, trylock, &status);

    CHECK(worker->done && status == FLUKE_SUCCESS);
    CHECK_MISTAKE_OF(worker, FLUKE_INSANITY_NO_OBJECT, &mutex);
    end(worker);
    fluke_mutex_destroy(&mutex);
}

static void save_nothing(uint64_t code, struct fluke_thread_saved_state *saved)
{
    (void)code;
    (void)saved;
    fluke_thread_get_saved_state(fluke_thread_self(), NULL);
    fluke_thread_set_saved_state(fluke_thread_self(), NULL);
}

static void leave_saved_alone(void)
{
    fluke_error_t status;
    struct worker *worker = start_with(save_nothing, trylock, &status);

    CHECK(worker->done);
    CHECK_MISTAKE_OF(worker, FLUKE_INSANITY_NO_OBJECT, &mutex);
    end(worker);
}

/* Stops where it made its mistake; whoever may load its state can let it go on. */
static void check_stopped_at(struct worker *worker, uint64_t number)
{
    struct fluke_thread_state state;

    CHECK(!worker->done && worker->mistake.count == 0);
    get_state(worker, &state);
    CHECK(is_on_call(&state, number));
    CHECK(state.exception != 0);
    state.pc += 4;
    state.exception = state.exception_subcode = 0;
    set_state(worker, &state);
    CHECK(worker->done);
    end(worker);
}

static void unlock_without_handlers(void *unused)
{
    (void)unused;
    fluke_thread_set_handlers(fluke_thread_self(), NULL, NULL, NULL, NULL);
    fluke_mutex_unlock(&mutex);
}

static void stop_without_handler(void)
{
    fluke_mutex_create(&mutex);
    check_stopped_at(start(unlock_without_handlers, NULL), FLUKE_CALL_MUTEX_UNLOCK);
    fluke_mutex_destroy(&mutex);
}

static void unlock_disabled(void *unused)
{
    (void)unused;
    fluke_thread_disable_exceptions(fluke_thread_self());
    fluke_mutex_unlock(&mutex);
}

static void stop_while_disabled(void)
{
    fluke_mutex_create(&mutex);
    check_stopped_at(start(unlock_disabled, NULL), FLUKE_CALL_MUTEX_UNLOCK);
    fluke_mutex_destroy(&mutex);
}

static void unlock_in_handler(uint64_t code, struct fluke_thread_saved_state *saved)
{
    (void)code;
    (void)saved;
    fluke_mutex_unlock(&mutex);
}

static void stop_in_handler(void)
{
    struct fluke_thread_state state;
    fluke_error_t status;

    fluke_mutex_create(&mutex);
    fluke_mutex_lock(&mutex);
    struct worker *worker = start_with(unlock_in_handler, trylock, &status);
    CHECK(status == FLUKE_MUTEX_HELD && worker->done);
    fluke_thread_interrupt(&worker->thread);
    CHECK(worker->interrupts == 1);
    get_state(worker, &state);
    CHECK(is_on_call(&state, FLUKE_CALL_MUTEX_UNLOCK));
    CHECK((state.flags & FLUKE_THREAD_EXCEPTION_ENABLE) == 0);
    CHECK(state.saved_a7 == FLUKE_CALL_MUTEX_LOCK); /* what the interrupt cut off */
    end(worker);
    fluke_mutex_destroy(&mutex);
}

const struct usertest exception_tests[] = {
    {"exception_fault", "Which address is blamed for an access that is not allowed?", fault},
    {"exception_illegal", "What if there is no such instruction in user mode?", execute_illegal},
    {"exception_breakpoint", "Is a breakpoint an exception?", execute_breakpoint},
    {"exception_misaligned", "What if an atomic access is not aligned?", misalign_atomic},
    {"exception_foreign", "What if a system call has a number that there is not?", call_foreign},
    {"exception_handlers", "Are handlers kept as they were set?", keep_handlers},
    {"exception_of_another", "Are a thread's handlers and saved registers its own?", touch_another},
    {"exception_result", "Can a handler decide how the call that failed ends?", change_result},
    {"exception_retry", "Can a handler mend what was wrong and do the call again?", retry_call},
    {"exception_saved_null", "Do null pointers leave the saved registers alone?", leave_saved_alone},
    {"exception_no_handler", "Does a thread without a handler stop at its mistake, until its state is loaded?",
     stop_without_handler},
    {"exception_disabled", "Does a thread with exceptions disabled stop at its mistake?", stop_while_disabled},
    {"exception_in_handler", "Does a mistake in a handler stop the thread there?", stop_in_handler},
    {0},
};
