/* The states of servers: whom they serve or wait for, taken out and put back, and put there by hand. */

#include "usertests.h"

static struct service service;
static fluke_mutex_t gate;
static fluke_ref_t client_ref, null_ref;

static void begin_gate(void)
{
    fluke_mutex_create(&gate);
    fluke_mutex_lock(&gate);
    open_service(&service);
}

static void finish_gate(void)
{
    close_service(&service);
    fluke_mutex_destroy(&gate);
}

static void read_server(void)
{
    struct exchange exchange = {.service = &service};
    struct fluke_thread_state state;

    begin_gate();
    struct worker *server = start(serve_once, &exchange);
    get_state(server, &state);
    CHECK(is_on_call(&state, FLUKE_CALL_IPC_WAIT_RECEIVE)); /* the port set has been named by then */
    CHECK(state.server_portset == (uint64_t)&service.portset);
    CHECK((state.flags & FLUKE_THREAD_IDEMPOTENT) == 0);
    end(server);
    finish_gate();
}

/* Whom a server serves is part of its state: it can be taken out and put back. */
static void link_client(void)
{
    struct exchange exchange = {.service = &service, .gate = &gate, .request = 1};
    struct fluke_thread_state serving, state;

    begin_gate();
    fluke_ref_create(&client_ref);
    fluke_ref_create(&null_ref);
    struct worker *client = start(call_service, &exchange), *server = start(serve_once, &exchange);
    fluke_thread_get_state(&server->thread, &serving, NULL, NULL, NULL, &client_ref, NULL);
    CHECK(serving.flags & FLUKE_THREAD_IDEMPOTENT);
    fluke_thread_set_state(&server->thread, NULL, NULL, NULL, NULL, &null_ref, NULL);
    fluke_thread_reference(&client->thread, &null_ref);
    CHECK(fluke_ref_compare(&client_ref, &null_ref));
    fluke_thread_get_state(&server->thread, &state, NULL, NULL, NULL, &null_ref, NULL);
    CHECK((state.flags & FLUKE_THREAD_IDEMPOTENT) == 0 && fluke_ref_type(&null_ref) == FLUKE_NULL);
    fluke_thread_set_state(&server->thread, &serving, NULL, NULL, NULL, &client_ref, NULL);
    fluke_mutex_unlock(&gate);
    CHECK(server->done && client->done && exchange.reply == 2);
    end(client);
    end(server);
    fluke_ref_destroy(&null_ref);
    fluke_ref_destroy(&client_ref);
    finish_gate();
}

static void pass_gate_and_call(void *exchange)
{
    lock_and_unlock(&gate);
    call_service(exchange);
}

/*
 * A server that its state makes receive from a client that does not call yet: it gets the call if that is for a port
 * of its set, and else waits for another.
 */
static void park_server(struct exchange *exchange, bool is_served)
{
    struct exchange unused = {.service = &service};
    struct fluke_thread_state state;

    fluke_ref_create(&client_ref);
    struct worker *server = start(serve_once, is_served ? exchange : &unused);
    struct worker *client = start(pass_gate_and_call, exchange);
    fluke_thread_reference(&client->thread, &client_ref);
    get_state(server, &state);
    state.x[A7] = FLUKE_CALL_IPC_REQUEST_RECEIVE;
    state.flags |= FLUKE_THREAD_IDEMPOTENT;
    fluke_thread_set_state(&server->thread, &state, NULL, NULL, &client_ref, &client_ref, NULL);
    CHECK(waits_for(server) == FLUKE_THREAD);
    fluke_mutex_unlock(&gate);
    CHECK(client->done == is_served && server->done == is_served);
    CHECK(waits_for(server) == (is_served ? FLUKE_MUTEX : FLUKE_PORTSET)); /* who is done waits for a mutex */
    end(client);
    end(server);
    fluke_ref_destroy(&client_ref);
}

static void park_receiving(void)
{
    struct exchange exchange = {.service = &service, .request = 1};

    begin_gate();
    park_server(&exchange, true);
    CHECK(exchange.reply == 2);
    finish_gate();
}

static void park_receiving_wrongly(void)
{
    struct service other;
    struct exchange exchange = {.service = &other};

    begin_gate();
    open_service(&other);
    park_server(&exchange, false);
    close_service(&other);
    finish_gate();
}

/* A thread that its state makes wait for a port that it does not call: nobody receives anything from it. */
static void park_stranger(void)
{
    struct exchange exchange = {.service = &service, .request = 1};
    struct fluke_thread_state state;

    begin_gate();
    struct worker *stranger = start(lock_and_unlock, &gate);
    get_state(stranger, &state);
    fluke_thread_set_state(&stranger->thread, &state, NULL, NULL, &service.ref, NULL, NULL);
    CHECK(waits_for(stranger) == FLUKE_PORT);
    struct worker *client = start(call_service, &exchange);
    serve_once(&exchange);
    CHECK(client->done && exchange.received == 1);
    CHECK(waits_for(stranger) == FLUKE_MUTEX);
    end(client);
    end(stranger);
    finish_gate();
}

static void stop_server(void)
{
    struct exchange exchange = {.service = &service, .gate = &gate, .request = 1};
    struct fluke_thread_state state;

    begin_gate();
    struct worker *client = start(call_service, &exchange), *server = start(serve_once, &exchange);
    get_state(server, &state);
    CHECK(waits_for(client) == FLUKE_THREAD); /* it does not notice */
    set_state(server, &state);
    fluke_mutex_unlock(&gate);
    CHECK(client->done && exchange.reply == 2);
    end(client);
    end(server);
    finish_gate();
}

const struct usertest server_state_tests[] = {
    {"server_state", "Do a waiting server's registers name the stage that it is in?", read_server},
    {"server_client", "Is the client of a server part of the server's state?", link_client},
    {"server_parked", "Does a server get the call that its state makes it wait for?", park_receiving},
    {"server_parked_wrongly", "Does a server get no call that is not for it, whatever its state?",
     park_receiving_wrongly},
    {"server_stranger", "Is nothing received from a thread that waits for a port and calls nobody?", park_stranger},
    {"server_stopped", "Does a client wait for a server that is stopped and started?", stop_server},
    {0},
};
