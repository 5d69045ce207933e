/* A space with a keeper: what it is asked about its threads' mistakes, how they go on, and what cuts a question off. */

#include "usertests.h"

enum { NUMBER = 64, ARGUMENT = 5, QUESTION_WORDS = sizeof(struct fluke_exception_message) / FLUKE_WORD_SIZE };

/* Answers a question: how many words the reply has. */
typedef uint64_t verdict_t(struct fluke_exception_reply *reply);

static struct {
    struct mirror mirror; /* the space that is kept */
    struct service service;
    struct worker *thread;
    verdict_t *answer;
    fluke_mutex_t gate; /* locked and unlocked before each answer */
    unsigned asked;
    uint64_t room, words, kind;
    uintptr_t alias;
    struct fluke_exception_message question;
} kept;

static struct fluke_thread_state state;
static fluke_ref_t ref, other_ref;
static fluke_mutex_t mutex;
static uint64_t result;

static uint64_t stop(struct fluke_exception_reply *reply)
{
    reply->verdict = FLUKE_EXCEPTION_STOP;
    return 1;
}

static uint64_t say_nothing(struct fluke_exception_reply *reply)
{
    reply->verdict = FLUKE_EXCEPTION_RESUME;
    return 0;
}

static uint64_t try_again(struct fluke_exception_reply *reply)
{
    reply->verdict = FLUKE_EXCEPTION_RESUME;
    return 1;
}

/* The result of a foreign call is the sum of its number and its argument. */
static uint64_t emulate(struct fluke_exception_reply *reply)
{
    reply->verdict = FLUKE_EXCEPTION_RESUME;
    reply->pc = kept.question.pc + 4;
    memcpy(reply->x, kept.question.x, sizeof reply->x);
    reply->x[A0] += kept.question.subcode;
    return sizeof *reply / FLUKE_WORD_SIZE;
}

static void keep(void *unused)
{
    struct fluke_exception_reply reply;
    struct fluke_ipc_params params = {.receive_buffer = &kept.question, .receive_words = kept.room};

    (void)unused;
    fluke_ipc_setup_wait_receive(&kept.service.portset, &params, &kept.alias);
    for (;;) {
        kept.asked++;
        kept.kind = params.message_kind;
        kept.words = params.words_received;
        lock_and_unlock(&kept.gate);
        params.send_buffer = &reply;
        params.send_words = kept.answer(&reply);
        params.receive_buffer = &kept.question;
        params.receive_words = kept.room;
        fluke_ipc_reply_wait_receive(&params, &kept.alias);
    }
}

static void start_server(void)
{
    kept.thread = start_at(PAGER_PRIORITY, keep, NULL);
}

static void begin(verdict_t *answer)
{
    open_mirror(&kept.mirror);
    open_service(&kept.service);
    fluke_space_set_state(&kept.mirror.space, NULL, &kept.service.ref);
    fluke_mutex_create(&kept.gate);
    fluke_ref_create(&ref);
    fluke_ref_create(&other_ref);
    kept.answer = answer;
    kept.asked = 0;
    kept.room = QUESTION_WORDS;
    result = 0;
    start_server();
}

static void finish(void)
{
    end(kept.thread);
    fluke_ref_destroy(&other_ref);
    fluke_ref_destroy(&ref);
    fluke_mutex_destroy(&kept.gate);
    close_service(&kept.service);
    close_mirror(&kept.mirror);
}

/* One foreign call. */
static uint64_t call_foreign(void)
{
    register uint64_t number __asm__("a7") = NUMBER;
    register uint64_t argument __asm__("a0") = ARGUMENT;

    __asm__ volatile("ecall" : "+r"(argument) : "r"(number) : "memory");
    return argument;
}

static void make_foreign_call(void *unused)
{
    (void)unused;
    fluke_thread_disable_exceptions(fluke_thread_self());
    result = call_foreign();
}

static void make_foreign_call_enabled(void *unused)
{
    (void)unused;
    result = call_foreign();
}

static void try_mutex(void *unused)
{
    (void)unused;
    fluke_thread_disable_exceptions(fluke_thread_self());
    result = 1 + fluke_mutex_trylock(&mutex);
}

static struct worker *start_kept(void (*function)(void *))
{
    return start_in(&kept.mirror.space_ref, function, NULL);
}

/* As long as the gate is locked, a question that has been taken is not answered. */
static void close_gate(void)
{
    fluke_mutex_lock(&kept.gate);
}

static void open_gate(void)
{
    fluke_mutex_unlock(&kept.gate);
}

static void get_state_and_wait(struct worker *worker)
{
    fluke_thread_get_state(&worker->thread, &state, NULL, NULL, &ref, NULL, NULL);
}

/* Has the worker been stopped by its foreign call? */
static bool is_stopped(struct worker *worker)
{
    get_state_and_wait(worker);
    return !worker->done && fluke_ref_type(&ref) == FLUKE_NULL && is_on_call(&state, NUMBER)
        && state.exception == FLUKE_EXCEPTION_FOREIGN_SYSTEM_CALL && state.exception_subcode == NUMBER;
}

static void ask(void)
{
    begin(emulate);
    struct worker *worker = start_kept(make_foreign_call);
    CHECK(worker->done && result == NUMBER + ARGUMENT && kept.asked == 1);
    CHECK(kept.kind == FLUKE_MESSAGE_EXCEPTION && kept.words == QUESTION_WORDS && kept.alias == SERVICE_ALIAS);
    CHECK(kept.question.code == FLUKE_EXCEPTION_FOREIGN_SYSTEM_CALL && kept.question.subcode == NUMBER);
    CHECK(kept.question.x[0] == 0 && kept.question.x[A0] == ARGUMENT && kept.question.x[A7] == NUMBER);
    fluke_thread_reference(&worker->thread, &ref);
    CHECK(kept.question.thread_hash == fluke_ref_hash(&ref));
    end(worker);
    finish();
}

static uint64_t change_all(struct fluke_exception_reply *reply)
{
    emulate(reply);
    for (unsigned number = 5; number <= 7; number++) /* t0 to t2 */
        reply->x[number] = 100 + number;
    return sizeof *reply / FLUKE_WORD_SIZE;
}

static void sum_up(void *unused)
{
    uint64_t sum;

    (void)unused;
    fluke_thread_disable_exceptions(fluke_thread_self());
    __asm__ volatile("li a7, 64\n ecall\n"
                     "add %0, t0, t1\n add %0, %0, t2" : "=r"(sum) : : "a0", "a7", "t0", "t1", "t2");
    result = sum;
}

static void change_registers(void)
{
    begin(change_all);
    struct worker *worker = start_kept(sum_up);
    CHECK(worker->done && result == 105 + 106 + 107);
    end(worker);
    finish();
}

static uint64_t mend(struct fluke_exception_reply *reply)
{
    fluke_mutex_create(&mutex);
    return try_again(reply);
}

static void retry_call(void)
{
    begin(mend);
    struct worker *worker = start_kept(try_mutex);
    CHECK(worker->done && result == 1 + FLUKE_SUCCESS && kept.asked == 1);
    CHECK(kept.question.code == FLUKE_INSANITY_NO_OBJECT && kept.question.subcode == (uint64_t)&mutex);
    end(worker);
    fluke_mutex_destroy(&mutex);
    finish();
}

static void refuse(void)
{
    static verdict_t *const answers[] = {stop, say_nothing};

    for (unsigned i = 0; i < sizeof answers / sizeof *answers; i++) {
        begin(answers[i]);
        struct worker *worker = start_kept(make_foreign_call);
        CHECK(is_stopped(worker) && kept.asked == 1);
        state.pc += 4;
        state.exception = state.exception_subcode = 0;
        set_state(worker, &state);
        CHECK(worker->done && result == ARGUMENT);
        end(worker);
        finish();
    }
}

static void ask_nobody(void)
{
    begin(emulate);
    fluke_space_set_state(&kept.mirror.space, NULL, &other_ref);
    struct worker *worker = start_kept(make_foreign_call);
    CHECK(is_stopped(worker) && kept.asked == 0);
    end(worker);
    finish();
}

static void handle(void)
{
    begin(emulate);
    struct worker *worker = start_kept(make_foreign_call_enabled);
    CHECK(worker->done && kept.asked == 0);
    CHECK_MISTAKE_OF(worker, FLUKE_EXCEPTION_FOREIGN_SYSTEM_CALL, NUMBER);
    end(worker);
    finish();
}

static void take_part(void)
{
    begin(stop);
    end(kept.thread);
    memset(&kept.question, 0, sizeof kept.question);
    kept.room = 2;
    start_server();
    struct worker *worker = start_kept(make_foreign_call);
    CHECK(is_stopped(worker) && kept.words == 2 && kept.question.subcode == NUMBER && kept.question.thread_hash == 0);
    end(worker);
    finish();
}

/* What a thread asks, and whom, is in its state; stopped and started, it is answered all the same. */
static void read_state(void)
{
    begin(emulate);
    close_gate();
    struct worker *worker = start_kept(make_foreign_call), *next = start_kept(make_foreign_call);
    get_state_and_wait(worker);
    CHECK(state.exception == FLUKE_EXCEPTION_FOREIGN_SYSTEM_CALL && state.exception_subcode == NUMBER);
    CHECK(is_on_call(&state, NUMBER) && state.fault_access == 0 && state.wait_order != 0);
    fluke_thread_reference(&kept.thread->thread, &other_ref);
    CHECK(fluke_ref_compare(&ref, &other_ref)); /* it waits for the thread that keeps */
    get_state_and_wait(next);
    CHECK(fluke_ref_compare(&ref, &kept.service.ref)); /* it waits for the port: it has not been asked about */
    open_gate();
    CHECK(!worker->done && !next->done && kept.asked == 2);
    for (unsigned i = 0; i < 2; i++) {
        get_state_and_wait(i == 0 ? worker : next);
        CHECK(state.exception == 0 && state.x[A0] == NUMBER + ARGUMENT);
        state.flags &= ~(uint64_t)FLUKE_THREAD_STOPPED;
        set_state(i == 0 ? worker : next, &state);
    }
    CHECK(worker->done && next->done && kept.asked == 2);
    end(worker);
    end(next);
    finish();
}

/* A thread that is made from nothing but such a state asks, and is answered. */
static void park_new(void)
{
    begin(emulate);
    close_gate();
    struct worker *first = start_kept(make_foreign_call), *worker = start_kept(make_foreign_call);
    get_state_and_wait(worker);
    CHECK(fluke_ref_type(&ref) == FLUKE_PORT);
    state.flags &= ~(uint64_t)FLUKE_THREAD_STOPPED;
    fluke_thread_destroy(&worker->thread);
    fluke_thread_create(&worker->thread);
    fluke_thread_set_state(&worker->thread, &state, &kept.mirror.space_ref, NULL, &ref, NULL, NULL);
    CHECK(waits_for(worker) == FLUKE_PORT);
    open_gate();
    CHECK(worker->done && first->done && result == NUMBER + ARGUMENT && kept.asked == 2);
    end(first);
    end(worker);
    finish();
}

/* Without a keeper to wait for, such a state is that of a thread that its mistake has stopped; it can ask later. */
static void park_nowhere(void)
{
    begin(emulate);
    close_gate();
    struct worker *worker = start_kept(make_foreign_call);
    get_state(worker, &state);
    state.flags &= ~(uint64_t)FLUKE_THREAD_STOPPED;
    fluke_thread_set_state(&worker->thread, &state, NULL, NULL, &other_ref, NULL, NULL);
    CHECK(is_stopped(worker));
    fluke_mutex_create(&mutex);
    fluke_mutex_reference(&mutex, &other_ref);
    CHECK_MISTAKE(fluke_thread_set_state(&worker->thread, &state, NULL, NULL, &other_ref, NULL, NULL),
                  FLUKE_INSANITY_INVALID_STATE, NUMBER);
    fluke_mutex_destroy(&mutex);
    open_gate();
    CHECK(!worker->done); /* its question was given up */
    state.flags &= ~(uint64_t)FLUKE_THREAD_STOPPED;
    fluke_thread_set_state(&worker->thread, &state, NULL, NULL, &kept.service.ref, NULL, NULL);
    CHECK(worker->done && result == NUMBER + ARGUMENT && kept.asked == 2);
    end(worker);
    finish();
}

/* A thread that asks may be given its exceptions and its handler back: it takes the mistake itself then. */
static void enable_later(void)
{
    begin(emulate);
    close_gate();
    struct worker *worker = start_kept(make_foreign_call);
    get_state(worker, &state);
    state.flags = (state.flags & ~(uint64_t)FLUKE_THREAD_STOPPED) | FLUKE_THREAD_EXCEPTION_ENABLE;
    state.exception = state.exception_subcode = 0;
    fluke_thread_set_state(&worker->thread, &state, NULL, NULL, &other_ref, NULL, NULL);
    CHECK_MISTAKE_OF(worker, FLUKE_EXCEPTION_FOREIGN_SYSTEM_CALL, NUMBER);
    CHECK(worker->done && result == ARGUMENT && kept.asked == 1);
    open_gate();
    end(worker);
    finish();
}

static void call_without_trap_handler(void *unused)
{
    uintptr_t interrupt;

    (void)unused;
    fluke_thread_get_handlers(fluke_thread_self(), NULL, &interrupt, NULL, NULL);
    fluke_thread_set_handlers(fluke_thread_self(), NULL, (void *)interrupt, NULL, NULL);
    result = call_foreign();
}

static void interrupt(void)
{
    begin(emulate);
    close_gate();
    struct worker *worker = start_kept(call_without_trap_handler);
    for (unsigned times = 1; times <= 2; times++) {
        fluke_thread_interrupt(&worker->thread);
        CHECK(worker->interrupts == times);
    }
    CHECK(waits_for(worker) == FLUKE_PORT);
    open_gate();
    CHECK(worker->done && result == NUMBER + ARGUMENT && kept.asked == 2);
    end(worker);
    finish();
}

static void lose_server(void)
{
    begin(emulate);
    close_gate();
    struct worker *worker = start_kept(make_foreign_call);
    CHECK(waits_for(worker) == FLUKE_THREAD);
    end(kept.thread);
    CHECK(waits_for(worker) == FLUKE_PORT);
    open_gate();
    start_server();
    CHECK(worker->done && result == NUMBER + ARGUMENT && kept.asked == 2);
    end(worker);
    finish();
}

static void lose_port(void)
{
    begin(emulate);
    close_gate();
    struct worker *taken = start_kept(make_foreign_call), *waiting = start_kept(make_foreign_call);
    CHECK(waits_for(taken) == FLUKE_THREAD && waits_for(waiting) == FLUKE_PORT);
    fluke_port_destroy(&kept.service.port);
    CHECK(is_stopped(waiting));
    open_gate(); /* who has been asked can answer still */
    CHECK(taken->done && result == NUMBER + ARGUMENT && kept.asked == 1);
    fluke_port_create(&kept.service.port);
    end(taken);
    end(waiting);
    finish();
}

/* Who stands in line at a keeper that is dismissed asks the next. */
static void change_keeper(void)
{
    struct service other;

    begin(emulate);
    open_service(&other);
    end(kept.thread);
    struct worker *worker = start_kept(make_foreign_call);
    CHECK(waits_for(worker) == FLUKE_PORT);
    fluke_space_set_state(&kept.mirror.space, NULL, &other.ref);
    get_state_and_wait(worker);
    CHECK(fluke_ref_compare(&ref, &other.ref));
    fluke_space_set_state(&kept.mirror.space, NULL, &other_ref);
    state.flags &= ~(uint64_t)FLUKE_THREAD_STOPPED;
    set_state(worker, &state);
    CHECK(is_stopped(worker) && kept.asked == 0);
    end(worker);
    close_service(&other);
    start_server();
    finish();
}

static void lose_client(void)
{
    begin(emulate);
    close_gate();
    struct worker *worker = start_kept(make_foreign_call);
    end(worker);
    open_gate();
    worker = start_kept(make_foreign_call);
    CHECK(worker->done && result == NUMBER + ARGUMENT && kept.asked == 2);
    end(worker);
    finish();
}

const struct usertest space_keeper_tests[] = {
    {"space_keeper_asked", "What does a space's keeper learn of a foreign call, and can it do it?", ask},
    {"space_keeper_registers", "Can a space's keeper change all registers of a thread?", change_registers},
    {"space_keeper_retry", "Can a space's keeper mend what was wrong and have the call done again?", retry_call},
    {"space_keeper_refuses", "Does a thread stop at its mistake if the keeper says so, or nothing?", refuse},
    {"space_keeper_null", "Does a thread stop at its mistake if there is no keeper?", ask_nobody},
    {"space_keeper_handler", "Does a thread's own handler come before the space's keeper?", handle},
    {"space_keeper_short", "Is a question about a mistake cut off where the keeper's room ends?", take_part},
    {"space_keeper_state", "Does a state tell that a thread asks, and is it answered when it is stopped?", read_state},
    {"space_keeper_park_new", "Can a thread that asks its space's keeper be made again from its state?", park_new},
    {"space_keeper_park_nowhere", "Is a thread that asks nobody one that its mistake has stopped?", park_nowhere},
    {"space_keeper_enabled", "Does a thread that asks take its mistake if it is given a handler?", enable_later},
    {"space_keeper_interrupt", "Is an interrupt taken while a thread asks its space's keeper?", interrupt},
    {"space_keeper_lost", "Is another keeper asked about a mistake when the first is destroyed?", lose_server},
    {"space_keeper_port_lost", "Does a thread stop at its mistake when the keeper's port is destroyed?", lose_port},
    {"space_keeper_changed", "Who is asked when a space gets another keeper, or none?", change_keeper},
    {"space_keeper_lose_client", "Does a space's keeper go on whose client has been destroyed?", lose_client},
    {0},
};
