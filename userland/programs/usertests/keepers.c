/* A thread that waits for a keeper: its state, what cuts its wait off, and what becomes of it when the keeper goes. */

#include "usertests.h"

static fluke_mutex_t gate; /* the keeper locks and unlocks it before it answers */
static fluke_ref_t ref, other_ref;
static struct fluke_thread_state state;

/* A page is away; who asks for it waits for the keeper, which waits at the gate. */
static void begin(void)
{
    open_pager();
    take_all_away();
    make_locked(&gate);
    pager.gate = &gate;
    FRAME(0)[0] = 5;
    fluke_ref_create(&ref);
    fluke_ref_create(&other_ref);
}

static void finish(void)
{
    fluke_ref_destroy(&ref);
    fluke_ref_destroy(&other_ref);
    close_pager();
    fluke_mutex_destroy(&gate);
}

static void peek_page(void *word)
{
    *(uint64_t *)word = peek(PAGED);
}

static void try_page(void *status)
{
    *(fluke_error_t *)status = fluke_mutex_trylock((fluke_mutex_t *)PAGED);
}

static void get_state_and_wait(struct worker *worker)
{
    fluke_thread_get_state(&worker->thread, &state, NULL, NULL, &ref, NULL, NULL);
}

static void read_state(void)
{
    uint64_t word = 0;

    begin();
    struct worker *worker = start(peek_page, &word), *next = start(peek_page, &word);
    get_state_and_wait(worker);
    CHECK(state.fault_access == FLUKE_PROT_READ && state.fault_address == (uint64_t)PAGED);
    CHECK(state.pc == (uint64_t)peek && state.wait_order != 0 && state.exception == 0);
    fluke_thread_reference(&pager.thread->thread, &other_ref);
    CHECK(fluke_ref_compare(&ref, &other_ref)); /* it waits for the thread that keeps */
    get_state_and_wait(next);
    CHECK(state.fault_access == FLUKE_PROT_READ && state.fault_address == (uint64_t)PAGED);
    CHECK(fluke_ref_compare(&ref, &pager.service.ref)); /* for the keeper's port: it has not been asked */
    fluke_mutex_unlock(&gate);
    end(worker);
    end(next);
    finish();
}

static void read_state_in_call(void)
{
    fluke_error_t status = -1;
    fluke_mutex_t *mutex = (fluke_mutex_t *)FRAME(0);

    begin();
    fluke_mutex_create(mutex);
    struct worker *worker = start(try_page, &status);
    get_state_and_wait(worker);
    CHECK(is_on_call(&state, FLUKE_CALL_MUTEX_TRYLOCK) && state.fault_address == (uint64_t)PAGED);
    CHECK(state.fault_access == (FLUKE_PROT_READ | FLUKE_FAULT_IN_CALL));
    set_state(worker, &state);
    CHECK(waits_for(worker) == FLUKE_THREAD);
    fluke_mutex_unlock(&gate);
    CHECK(worker->done && status == FLUKE_SUCCESS && pager.faults == 1);
    end(worker);
    fluke_mutex_destroy(mutex);
    finish();
}

static void stop_and_start(void)
{
    uint64_t word = 0;

    begin();
    struct worker *worker = start(peek_page, &word);
    get_state(worker, &state);
    fluke_mutex_unlock(&gate); /* it is answered while it stands still */
    CHECK(!worker->done);
    get_state_and_wait(worker);
    CHECK(state.fault_access == 0 && fluke_ref_type(&ref) == FLUKE_NULL && state.pc == (uint64_t)peek);
    state.flags &= ~(uint64_t)FLUKE_THREAD_STOPPED;
    set_state(worker, &state);
    CHECK(worker->done && word == 5 && pager.faults == 1);
    end(worker);
    finish();
}

/* Without anything to wait for, it executes its instruction again. */
static void ask_again(void)
{
    uint64_t word = 0;

    begin();
    struct worker *worker = start(peek_page, &word);
    get_state(worker, &state);
    CHECK(waits_for(pager.thread) == FLUKE_MUTEX);
    fluke_thread_set_state(&worker->thread, &state, NULL, NULL, &other_ref, NULL, NULL);
    CHECK(waits_for(worker) == FLUKE_PORT); /* as if it had never asked */
    pager.answer = fail_fault;              /* for nobody: the first question has been given up */
    fluke_mutex_unlock(&gate);
    CHECK_MISTAKE_OF(worker, FLUKE_EXCEPTION_LOAD_FAULT, PAGED);
    CHECK(pager.faults == 2 && worker->done);
    end(worker);
    finish();
}

/* A thread that is made from nothing but such a state asks, and gets its page. */
static void park_new(void)
{
    uint64_t word = 0;

    begin();
    struct worker *first = start(peek_page, &word), *worker = start(peek_page, &word);
    get_state_and_wait(worker);
    CHECK(fluke_ref_type(&ref) == FLUKE_PORT);
    fluke_thread_destroy(&worker->thread);
    fluke_thread_create(&worker->thread);
    fluke_thread_set_state(&worker->thread, &state, fluke_start_block->space_ref, NULL, &ref, NULL, NULL);
    CHECK(waits_for(worker) == FLUKE_PORT);
    fluke_mutex_unlock(&gate);
    CHECK(worker->done && first->done && word == 5 && pager.faults == 1);
    end(first);
    end(worker);
    finish();
}

/* Where no fault is, or none of that keeper's region, there is nothing that a keeper could be asked. */
static void park_wrongly(void)
{
    uint64_t word = 0;

    begin();
    make_locked((fluke_mutex_t *)FRAME(1));
    struct worker *worker = start(peek_page, &word);
    get_state(worker, &state);
    fluke_mutex_reference((fluke_mutex_t *)FRAME(1), &ref);
    CHECK_MISTAKE(fluke_thread_set_state(&worker->thread, &state, NULL, NULL, &ref, NULL, NULL),
                  FLUKE_INSANITY_INVALID_STATE, state.x[A7]);
    state.fault_address = (uint64_t)&word;
    fluke_thread_set_state(&worker->thread, &state, NULL, NULL, &pager.service.ref, NULL, NULL);
    fluke_mutex_unlock(&gate);
    CHECK(worker->done && word == 5); /* it executes its instruction again in any case */
    end(worker);
    fluke_mutex_destroy((fluke_mutex_t *)FRAME(1));
    finish();
}

static void interrupt(void)
{
    uint64_t word = 0;

    begin();
    struct worker *worker = start(peek_page, &word);
    for (unsigned times = 1; times <= 2; times++) {
        fluke_thread_interrupt(&worker->thread);
        CHECK(worker->interrupts == times);
        CHECK(waits_for(worker) == FLUKE_PORT); /* it asks again, when its handler has returned */
    }
    fluke_mutex_unlock(&gate);
    CHECK(worker->done && word == 5);
    CHECK(pager.faults == 1); /* by its turn the page was there */
    end(worker);
    finish();
}

/* A keeper whose client has gone answers nobody, and is asked by the next. */
static void destroy_client(void)
{
    uint64_t word = 0;

    begin();
    struct worker *worker = start(peek_page, &word);
    end(worker);
    fluke_mutex_unlock(&gate);
    take_away(0);
    CHECK(peek(PAGED) == 5 && pager.faults == 2);
    finish();
}

static void lose_server(void)
{
    uint64_t word = 0;

    begin();
    struct worker *worker = start(peek_page, &word);
    CHECK(waits_for(worker) == FLUKE_THREAD);
    end(pager.thread);
    CHECK(waits_for(worker) == FLUKE_PORT);
    pager.gate = NULL;
    start_keeper();
    CHECK(worker->done && word == 5 && pager.faults == 2);
    end(worker);
    finish();
}

/* Nobody can bring the page any more: that is the exception of the thread. */
static void lose_port(void)
{
    uint64_t words[2];

    begin();
    struct worker *asking = start(peek_page, &words[0]), *waiting = start(peek_page, &words[1]);
    CHECK(waits_for(asking) == FLUKE_THREAD && waits_for(waiting) == FLUKE_PORT);
    fluke_port_destroy(&pager.service.port);
    CHECK(waiting->done);
    CHECK_MISTAKE_OF(waiting, FLUKE_EXCEPTION_LOAD_FAULT, PAGED);
    fluke_mutex_unlock(&gate); /* who has been asked can answer still */
    CHECK(asking->done && words[0] == 5 && pager.faults == 1);
    CHECK_MISTAKE(peek(PAGE(1)), FLUKE_EXCEPTION_LOAD_FAULT, PAGE(1));
    fluke_port_create(&pager.service.port);
    end(asking);
    end(waiting);
    finish();
}

static void dismiss(void)
{
    uint64_t word = 0;

    begin();
    end(pager.thread);
    struct worker *worker = start(peek_page, &word);
    CHECK(waits_for(worker) == FLUKE_PORT);
    fluke_region_set_state(&pager.region, NULL, NULL, &other_ref);
    CHECK(worker->done && pager.faults == 0);
    CHECK_MISTAKE_OF(worker, FLUKE_EXCEPTION_LOAD_FAULT, PAGED);
    end(worker);
    start_keeper();
    finish();
}

/* Whom it serves is part of a keeper's state. */
static void stop_keeper(void)
{
    uint64_t word = 0;

    begin();
    struct worker *worker = start(peek_page, &word);
    fluke_thread_get_state(&pager.thread->thread, &state, NULL, NULL, NULL, &ref, NULL);
    CHECK(state.flags & FLUKE_THREAD_IDEMPOTENT);
    fluke_thread_reference(&worker->thread, &other_ref);
    CHECK(fluke_ref_compare(&ref, &other_ref) && waits_for(worker) == FLUKE_THREAD);
    set_state(pager.thread, &state);
    fluke_mutex_unlock(&gate);
    CHECK(worker->done && word == 5 && pager.faults == 1);
    end(worker);
    finish();
}

/* Takes two words of the question, and answers by a call of its own. */
static void keep_once(void *words)
{
    struct fluke_ipc_params params = {.receive_buffer = words, .receive_words = 2};

    fluke_ipc_setup_wait_receive(&pager.service.portset, &params, NULL);
    CHECK(params.message_kind == FLUKE_MESSAGE_FAULT && params.words_received == 2 && params.receive_words == 0);
    show(0);
    CHECK(fluke_ipc_reply(&params) == FLUKE_SUCCESS);
}

static void keep_shortly(void)
{
    uint64_t words[3] = {0, 0, 99}, word = 0;

    begin();
    end(pager.thread);
    struct worker *worker = start(peek_page, &word), *keeper = start(keep_once, words);
    CHECK(worker->done && keeper->done && word == 5);
    CHECK(words[0] == FLUKE_EXCEPTION_LOAD_FAULT && words[1] == FLUKE_PROT_READ && words[2] == 99);
    end(worker);
    end(keeper);
    start_keeper();
    finish();
}

static void peek_disabled(void *word)
{
    fluke_thread_disable_exceptions(fluke_thread_self());
    peek_page(word);
}

/* A fault that the keeper resolves is none of the handlers' business; one that it does not stops the thread. */
static void fault_disabled(void)
{
    uint64_t word = 0;

    begin();
    struct worker *worker = start(peek_disabled, &word);
    fluke_mutex_unlock(&gate);
    CHECK(worker->done && word == 5);
    end(worker);
    take_away(0);
    pager.answer = fail_fault;
    worker = start(peek_disabled, &word);
    get_state(worker, &state);
    CHECK(!worker->done && state.exception == FLUKE_EXCEPTION_LOAD_FAULT && state.fault_access == 0);
    CHECK(state.exception_subcode == (uint64_t)PAGED && state.pc == (uint64_t)peek);
    end(worker);
    finish();
}

const struct usertest keeper_tests[] = {
    {"fault_state", "Does a state tell what a thread has asked a keeper for?", read_state},
    {"fault_state_in_call", "Does a thread that asks in a call stand on that call?", read_state_in_call},
    {"fault_stopped", "Is a thread answered that is stopped while it waits for a keeper?", stop_and_start},
    {"fault_ask_again", "Does a thread ask again whose state says that it waits for nothing?", ask_again},
    {"fault_park_new", "Can a thread that waits for a keeper be made again from its state?", park_new},
    {"fault_park_wrongly", "Is a keeper asked nothing by a state that is not so?", park_wrongly},
    {"fault_interrupt", "Is an interrupt taken while a thread waits for a keeper?", interrupt},
    {"fault_disabled", "Is a keeper asked for a thread with exceptions disabled?", fault_disabled},
    {"keeper_lose_client", "Does a keeper go on whose client has been destroyed?", destroy_client},
    {"keeper_lost", "Is another keeper asked when the one that was asked is destroyed?", lose_server},
    {"keeper_port_lost", "Does a thread get its exception when the keeper's port is destroyed?", lose_port},
    {"keeper_dismissed", "Does a thread get its exception when its region loses the keeper?", dismiss},
    {"keeper_stopped", "Can a keeper be stopped and started while it serves?", stop_keeper},
    {"keeper_short", "Is a question cut off where the keeper's room ends?", keep_shortly},
    {0},
};
