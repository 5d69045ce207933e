/* Interrupts: taken in every wait, put off while they cannot be taken; the call goes on afterwards as it was. */

#include "usertests.h"

static fluke_mutex_t mutex;
static fluke_cond_t cond;
static struct service service;

static void lock_first(void)
{
    fluke_mutex_create(&mutex);
    fluke_mutex_lock(&mutex);
}

/* Interrupts a worker twice in its wait; each time it takes the interrupt and waits on. */
static void interrupt_twice(struct worker *worker, fluke_type_t waited_for)
{
    for (unsigned times = 1; times <= 2; times++) {
        fluke_thread_interrupt(&worker->thread);
        CHECK(worker->interrupts == times);
        CHECK(waits_for(worker) == waited_for);
    }
}

static void interrupt_lock(void)
{
    lock_first();
    struct worker *worker = start(lock_and_unlock, &mutex);
    interrupt_twice(worker, FLUKE_MUTEX);
    fluke_mutex_unlock(&mutex);
    CHECK(worker->done);
    end(worker);
    fluke_mutex_destroy(&mutex);
}

static void wait_once(void *unused)
{
    (void)unused;
    fluke_mutex_lock(&mutex);
    fluke_cond_wait(&cond, &mutex);
    note('w');
    fluke_mutex_unlock(&mutex);
}

/* Without a signal: whoever waits for a condition expects that. */
static void interrupt_condition(void)
{
    fluke_cond_create(&cond);
    fluke_mutex_create(&mutex);
    struct worker *worker = start(wait_once, NULL);
    CHECK(waits_for(worker) == FLUKE_COND);
    fluke_mutex_lock(&mutex);
    interrupt_twice(worker, FLUKE_MUTEX); /* by now what remains is to lock the mutex */
    CHECK(noted(""));
    fluke_mutex_unlock(&mutex);
    CHECK(noted("w") && worker->done);
    end(worker);
    fluke_cond_destroy(&cond);
    fluke_mutex_destroy(&mutex);
}

static void interrupt_send(void)
{
    struct exchange exchange = {.service = &service, .request = 5, .status = -1};

    open_service(&service);
    struct worker *worker = start(send_to_service, &exchange);
    interrupt_twice(worker, FLUKE_PORT);
    serve_once(&exchange);
    CHECK(worker->done && exchange.status == FLUKE_SUCCESS && exchange.received == 5);
    end(worker);
    close_service(&service);
}

static void interrupt_call(void)
{
    struct exchange exchange = {.service = &service, .gate = &mutex, .request = 5, .status = -1};

    lock_first();
    open_service(&service);
    struct worker *client = start(call_service, &exchange);
    interrupt_twice(client, FLUKE_PORT);
    struct worker *server = start(serve_once, &exchange);
    CHECK(waits_for(client) == FLUKE_THREAD && waits_for(server) == FLUKE_MUTEX);
    fluke_mutex_unlock(&mutex);
    CHECK(server->done && client->done && exchange.status == FLUKE_SUCCESS && exchange.reply == 6);
    end(client);
    end(server);
    close_service(&service);
    fluke_mutex_destroy(&mutex);
}

/* The call is given up and made again: the server has no client any more, and the next one gets the request. */
static void interrupt_served_call(void)
{
    struct exchange exchange = {.service = &service, .gate = &mutex, .request = 5, .status = -1}, again = exchange;

    lock_first();
    open_service(&service);
    struct worker *client = start(call_service, &exchange), *server = start(serve_once, &exchange);
    CHECK(waits_for(client) == FLUKE_THREAD);
    interrupt_twice(client, FLUKE_PORT);
    fluke_mutex_unlock(&mutex);
    CHECK(server->done && !client->done);
    struct worker *next = start(serve_once, &again);
    CHECK(next->done && client->done && exchange.status == FLUKE_SUCCESS && exchange.reply == 6);
    end(client);
    end(server);
    end(next);
    close_service(&service);
    fluke_mutex_destroy(&mutex);
}

static void interrupt_receive(void)
{
    struct exchange exchange = {.service = &service, .request = 5, .status = -1};

    open_service(&service);
    struct worker *server = start(serve_once, &exchange);
    interrupt_twice(server, FLUKE_PORTSET);
    call_service(&exchange);
    CHECK(server->done && exchange.status == FLUKE_SUCCESS && exchange.reply == 6);
    end(server);
    close_service(&service);
}

static void sleep_us(void *duration_us)
{
    fluke_sleep_us(*(uint64_t *)duration_us);
}

/* A sleep names its end, so that asking again does not make it longer. */
static void interrupt_sleep(void)
{
    uint64_t short_us = 500, before_us = fluke_now_us();
    struct worker *worker = start(sleep_us, &short_us);

    interrupt_twice(worker, FLUKE_PORT);
    fluke_sleep_us(1000);
    CHECK(worker->done);
    CHECK(fluke_now_us() - before_us >= 1000);
    end(worker);
}

static void note_letter(void *letter)
{
    note(*(const char *)letter);
}

static void note_interrupt(uint64_t code, struct fluke_thread_saved_state *saved)
{
    (void)saved;
    if (code == 0)
        note('i');
}

static void interrupt_ready(void)
{
    struct worker *worker = start_at(10, note_letter, "a");

    worker->hook = note_interrupt;
    fluke_thread_interrupt(&worker->thread);
    CHECK(noted(""));
    let_others_run();
    CHECK(noted("ia"));
    end(worker);
}

static void lock_disabled(void *unused)
{
    fluke_thread_t *self = fluke_thread_self();

    (void)unused;
    fluke_thread_disable_exceptions(self);
    lock_and_unlock(&mutex);
    note('a');
    fluke_thread_enable_exceptions(self);
    note('b');
}

static void put_off_while_disabled(void)
{
    struct fluke_thread_state state;

    lock_first();
    struct worker *worker = start_with(note_interrupt, lock_disabled, NULL);
    fluke_thread_interrupt(&worker->thread);
    CHECK(waits_for(worker) == FLUKE_MUTEX);
    get_state(worker, &state);
    CHECK(state.flags == FLUKE_THREAD_PENDING_INTERRUPT);
    set_state(worker, &state);
    fluke_mutex_unlock(&mutex);
    CHECK(noted("aib"));
    end(worker);
    fluke_mutex_destroy(&mutex);
}

static void lock_without_handlers(void *unused)
{
    (void)unused;
    fluke_thread_set_handlers(fluke_thread_self(), NULL, NULL, NULL, NULL);
    lock_and_unlock(&mutex);
    note('a');
    record_exceptions();
    note('b');
}

static void put_off_without_handler(void)
{
    lock_first();
    struct worker *worker = start_with(note_interrupt, lock_without_handlers, NULL);
    fluke_thread_interrupt(&worker->thread);
    CHECK(waits_for(worker) == FLUKE_MUTEX);
    fluke_mutex_unlock(&mutex);
    CHECK(noted("aib"));
    end(worker);
    fluke_mutex_destroy(&mutex);
}

static void put_off_while_stopped(void)
{
    struct fluke_thread_state state;

    lock_first();
    struct worker *worker = start(lock_and_unlock, &mutex);
    get_state(worker, &state);
    fluke_thread_interrupt(&worker->thread);
    CHECK(worker->interrupts == 0);
    get_state(worker, &state);
    CHECK(state.flags & FLUKE_THREAD_PENDING_INTERRUPT);
    state.flags &= ~(uint64_t)FLUKE_THREAD_STOPPED;
    set_state(worker, &state);
    CHECK(worker->interrupts == 1);
    CHECK(waits_for(worker) == FLUKE_MUTEX);
    end(worker);
    fluke_mutex_destroy(&mutex);
}

static void lock_in_handler(uint64_t code, struct fluke_thread_saved_state *saved)
{
    (void)code;
    (void)saved;
    lock_and_unlock(&mutex);
}

static void nothing(void *unused)
{
    (void)unused;
}

/* One more interrupt comes while the handler waits: it is taken when the handler has returned. */
static void put_off_in_handler(void)
{
    lock_first();
    struct worker *worker = start_with(lock_in_handler, nothing, NULL);
    fluke_thread_interrupt(&worker->thread);
    fluke_thread_interrupt(&worker->thread);
    CHECK(worker->interrupts == 1);
    CHECK(waits_for(worker) == FLUKE_MUTEX);
    fluke_mutex_unlock(&mutex);
    CHECK(worker->interrupts == 2);
    end(worker);
    fluke_mutex_destroy(&mutex);
}

const struct usertest interrupt_tests[] = {
    {"interrupt_lock", "Is an interrupt taken in the wait for a mutex, and the wait goes on?", interrupt_lock},
    {"interrupt_condition", "Does an interrupt end the wait for a condition?", interrupt_condition},
    {"interrupt_send", "Is an interrupt taken while a message waits for a server?", interrupt_send},
    {"interrupt_call", "Is an interrupt taken while a call waits for a server?", interrupt_call},
    {"interrupt_served_call", "Is a call made again that was interrupted while it was served?", interrupt_served_call},
    {"interrupt_receive", "Is an interrupt taken while a server waits for a message?", interrupt_receive},
    {"interrupt_sleep", "Does a sleep end in time although it was interrupted?", interrupt_sleep},
    {"interrupt_ready", "Does a ready thread take an interrupt before its next step?", interrupt_ready},
    {"interrupt_disabled", "Does an interrupt wait until exceptions are enabled?", put_off_while_disabled},
    {"interrupt_no_handler", "Does an interrupt wait until there is a handler?", put_off_without_handler},
    {"interrupt_stopped", "Does an interrupt wait until a stopped thread starts?", put_off_while_stopped},
    {"interrupt_in_handler", "Does an interrupt wait until the handler of the last has returned?", put_off_in_handler},
    {0},
};
