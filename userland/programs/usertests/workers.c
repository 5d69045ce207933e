/* The threads of the cases, and the handlers that record their exceptions and interrupts. */

#include "usertests.h"

struct worker runner;

static struct worker workers[MOST_WORKERS];
static fluke_mutex_t rest;      /* locked by the runner for ever: whoever is done waits for it */
static struct worker *last;     /* has the least priority: when it runs, the others have had their turn */
static fluke_mutex_t turn;      /* guards `turn_is_over` */
static fluke_cond_t turn_begin, turn_end;
static bool turn_is_over;
static fluke_ref_t waited_for;  /* for `waits_for` */
static fluke_thread_t *first_thread;

/*
 * Where threads take exceptions and interrupts: with (thread, code, subcode) in a0 to a2, all other registers as they
 * were. Keeps what C code may use, and hands the return address on, for a jump to where nothing can be fetched.
 */
__attribute__((naked)) static void handler_entry(void)
{
    __asm__("addi sp, sp, -96\n"
            "sd ra, 0(sp)\n sd t0, 8(sp)\n sd t1, 16(sp)\n sd t2, 24(sp)\n sd t3, 32(sp)\n sd t4, 40(sp)\n"
            "sd t5, 48(sp)\n sd t6, 56(sp)\n sd a3, 64(sp)\n sd a4, 72(sp)\n sd a5, 80(sp)\n sd a6, 88(sp)\n"
            "mv a3, ra\n"
            "call on_exception\n"
            "ld ra, 0(sp)\n ld t0, 8(sp)\n ld t1, 16(sp)\n ld t2, 24(sp)\n ld t3, 32(sp)\n ld t4, 40(sp)\n"
            "ld t5, 48(sp)\n ld t6, 56(sp)\n ld a3, 64(sp)\n ld a4, 72(sp)\n ld a5, 80(sp)\n ld a6, 88(sp)\n"
            "addi sp, sp, 96\n"
            "li a7, %0\n ecall\n"
            : : "i"(FLUKE_CALL_THREAD_RETURN_FROM_EXCEPTION));
}

/* Whose thread it is; workers by where their thread lies, for it may have been moved. */
static struct worker *record_of(fluke_thread_t *thread)
{
    return thread == first_thread ? &runner : &workers[((char *)thread - (char *)workers) / sizeof *workers];
}

/* Where the instruction after the one at `pc` begins: compressed ones have two bytes. */
static uint64_t next(uint64_t pc)
{
    return pc + ((*(const uint16_t *)pc & 3) == 3 ? 4 : 2);
}

/* Records a mistake and skips the instruction that was one, or counts an interrupt. */
void on_exception(fluke_thread_t *thread, uint64_t code, uint64_t subject, uint64_t return_address)
{
    struct worker *record = record_of(thread);
    struct fluke_thread_saved_state saved;

    fluke_thread_get_saved_state(thread, &saved);
    if (code == 0) {
        record->interrupts++;
    } else {
        record->mistake = (struct mistake){record->mistake.count + 1, code, subject};
        saved.pc = code == FLUKE_EXCEPTION_FETCH_FAULT ? return_address : next(saved.pc);
    }
    if (record->hook != NULL)
        record->hook(code, &saved);
    fluke_thread_set_saved_state(thread, &saved);
}

bool has_made_a_mistake(void)
{
    return record_of(fluke_thread_self())->mistake.count > 0;
}

void record_exceptions(void)
{
    fluke_thread_t *self = fluke_thread_self();

    fluke_thread_set_handlers(self, handler_entry, handler_entry, NULL, NULL);
    fluke_thread_enable_exceptions(self);
}

static void end_turns(void *unused)
{
    (void)unused;
    fluke_mutex_lock(&turn);
    for (;;) {
        turn_is_over = true;
        fluke_cond_signal(&turn_end);
        while (turn_is_over)
            fluke_cond_wait(&turn_begin, &turn);
    }
}

void let_others_run(void)
{
    fluke_mutex_lock(&turn);
    turn_is_over = false;
    fluke_cond_signal(&turn_begin);
    while (!turn_is_over)
        fluke_cond_wait(&turn_end, &turn);
    fluke_mutex_unlock(&turn);
}

void prepare_cases(void)
{
    first_thread = fluke_thread_self();
    fluke_mutex_create(&rest);
    fluke_mutex_lock(&rest);
    fluke_mutex_create(&turn);
    fluke_cond_create(&turn_begin);
    fluke_cond_create(&turn_end);
    fluke_ref_create(&waited_for);
    record_exceptions();
    last = start_at(FLUKE_PRIORITY_MIN, end_turns, NULL);
    let_others_run();
}

void rest_for_ever(void)
{
    fluke_mutex_lock(&rest);
}

static void run(struct worker *worker)
{
    worker->function(worker->argument);
    worker->done = true;
    rest_for_ever();
}

static struct worker *start_worker(fluke_ref_t *space_ref, unsigned priority, hook_t *hook, void (*function)(void *),
                                   void *argument)
{
    struct worker *worker = workers;

    while (worker->started)
        worker++;
    worker->function = function;
    worker->argument = argument;
    worker->hook = hook;
    worker->mistake = (struct mistake){0};
    worker->interrupts = 0;
    worker->started = true;
    worker->done = false;
    struct fluke_thread_state state = {
        .thread_va = (uint64_t)&worker->thread,
        .flags = FLUKE_THREAD_EXCEPTION_ENABLE,
        .priority = priority,
        .pc = (uint64_t)run,
        .x = {[SP] = (uint64_t)(worker->stack + STACK_SIZE), [A0] = (uint64_t)worker},
        .trap_handler = (uint64_t)handler_entry,
        .interrupt_handler = (uint64_t)handler_entry,
    };
    CHECK(fluke_thread_create(&worker->thread) == FLUKE_SUCCESS);
    fluke_thread_set_state(&worker->thread, &state, space_ref, NULL, NULL, NULL, NULL);
    return worker;
}

struct worker *start(void (*function)(void *), void *argument)
{
    return start_worker(fluke_start_block->space_ref, WORKER_PRIORITY, NULL, function, argument);
}

struct worker *start_at(unsigned priority, void (*function)(void *), void *argument)
{
    return start_worker(fluke_start_block->space_ref, priority, NULL, function, argument);
}

struct worker *start_with(hook_t *hook, void (*function)(void *), void *argument)
{
    return start_worker(fluke_start_block->space_ref, WORKER_PRIORITY, hook, function, argument);
}

struct worker *start_in(fluke_ref_t *space_ref, void (*function)(void *), void *argument)
{
    return start_worker(space_ref, WORKER_PRIORITY, NULL, function, argument);
}

struct worker *start_in_at(fluke_ref_t *space_ref, unsigned priority, void (*function)(void *), void *argument)
{
    return start_worker(space_ref, priority, NULL, function, argument);
}

void end(struct worker *worker)
{
    check_no_mistake(worker);
    fluke_thread_destroy(&worker->thread);
    worker->started = false;
}

unsigned end_forgotten(void)
{
    unsigned forgotten = 0;

    for (struct worker *worker = workers; worker < workers + MOST_WORKERS; worker++) {
        if (worker->started && worker != last) {
            forgotten++;
            end(worker);
        }
    }
    return forgotten;
}

void get_state(struct worker *worker, struct fluke_thread_state *state)
{
    fluke_thread_get_state(&worker->thread, state, NULL, NULL, NULL, NULL, NULL);
}

void set_state(struct worker *worker, const struct fluke_thread_state *state)
{
    fluke_thread_set_state(&worker->thread, state, NULL, NULL, NULL, NULL, NULL);
}

bool is_on_call(const struct fluke_thread_state *state, uint64_t number)
{
    static const uint16_t ecall[] = {0x0073, 0};

    return state->x[A7] == number && memcmp((const void *)state->pc, ecall, sizeof ecall) == 0;
}

fluke_type_t waits_for(struct worker *worker)
{
    struct fluke_thread_state state;

    fluke_thread_get_state(&worker->thread, &state, NULL, NULL, &waited_for, NULL, NULL);
    set_state(worker, &state);
    return fluke_ref_type(&waited_for);
}

void lock_and_unlock(void *mutex)
{
    fluke_mutex_lock(mutex);
    fluke_mutex_unlock(mutex);
}

void make_locked(fluke_mutex_t *mutex)
{
    fluke_mutex_create(mutex);
    fluke_mutex_lock(mutex);
}

void lock_and_note(void *argument)
{
    const struct two_mutexes *mutexes = argument;

    if (mutexes->first != NULL)
        fluke_mutex_lock(mutexes->first);
    if (mutexes->second != NULL)
        fluke_mutex_lock(mutexes->second);
    if (mutexes->event != 0)
        note(mutexes->event);
    if (mutexes->first != NULL)
        fluke_mutex_unlock(mutexes->first);
    if (mutexes->second != NULL)
        fluke_mutex_unlock(mutexes->second);
}
