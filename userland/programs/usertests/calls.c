/* Calls and one-way messages, as clients see them. */

#include "usertests.h"

static struct service service;
static fluke_mutex_t gate;

static void call_waiting_server(void)
{
    struct exchange exchange = {.service = &service, .request = 41, .status = -1};

    open_service(&service);
    struct worker *server = start(serve_once, &exchange);
    call_service(&exchange);
    CHECK(exchange.status == FLUKE_SUCCESS && exchange.reply == 42 && exchange.words_replied == 1);
    CHECK(server->done);
    end(server);
    close_service(&service);
}

static void call_before_server(void)
{
    struct exchange exchange = {.service = &service, .request = 41, .status = -1};

    open_service(&service);
    struct worker *client = start(call_service, &exchange);
    CHECK(waits_for(client) == FLUKE_PORT);
    serve_once(&exchange);
    CHECK(client->done && exchange.status == FLUKE_SUCCESS && exchange.reply == 42);
    end(client);
    close_service(&service);
}

static void read_caller(void)
{
    struct exchange exchange = {.service = &service};
    struct fluke_thread_state state;

    open_service(&service);
    struct worker *client = start(call_service, &exchange);
    get_state(client, &state);
    CHECK(is_on_call(&state, FLUKE_CALL_IPC_CALL));
    CHECK(state.x[A0] == (uint64_t)&service.ref && state.x[A1] == (uint64_t)&exchange.request);
    end(client);
    close_service(&service);
}

static void tell_what_came(void)
{
    struct exchange exchange = {.service = &service, .request = 7};

    open_service(&service);
    struct worker *client = start(call_service, &exchange);
    serve_once(&exchange);
    CHECK(exchange.receive_status == FLUKE_SUCCESS && exchange.received == 7 && exchange.words_received == 1);
    CHECK(exchange.alias == SERVICE_ALIAS && exchange.kind == FLUKE_MESSAGE_IDEMPOTENT);
    CHECK(exchange.reply_status == FLUKE_SUCCESS);
    end(client);
    close_service(&service);
}

/* What is left of the room is told in the parameters; nothing is written beyond what came. */
static void leave_room(void)
{
    struct exchange exchange = {.service = &service, .request = 1};
    uint64_t room[3] = {0, 90, 91};
    struct fluke_ipc_params params = {
        .send_buffer = &exchange.request, .send_words = 1, .receive_buffer = room, .receive_words = 3};

    open_service(&service);
    struct worker *server = start(serve_once, &exchange);
    CHECK(fluke_ipc_call(&service.ref, &params) == FLUKE_SUCCESS);
    CHECK(room[0] == 2 && room[1] == 90 && room[2] == 91);
    CHECK(params.words_received == 1 && params.receive_words == 2 && params.receive_buffer == &room[1]);
    CHECK(params.send_words == 1 && params.send_buffer == &exchange.request);
    end(server);
    close_service(&service);
}

static void call_with_nothing(void)
{
    struct exchange exchange = {.service = &service};
    struct fluke_ipc_params params = {0};

    open_service(&service);
    struct worker *server = start(serve_once, &exchange);
    CHECK(fluke_ipc_call(&service.ref, &params) == FLUKE_SUCCESS);
    CHECK(exchange.words_received == 0 && params.words_received == 0);
    end(server);
    close_service(&service);
}

/* The server has room for one word, and so has the client. */
static void call_with_too_much(void)
{
    struct exchange exchange = {.service = &service};
    uint64_t request[] = {5, 6}, room[] = {0, 90};
    struct fluke_ipc_params params = {
        .send_buffer = request, .send_words = 2, .receive_buffer = room, .receive_words = 1};

    open_service(&service);
    struct worker *server = start(serve_once, &exchange);
    CHECK(fluke_ipc_call(&service.ref, &params) == FLUKE_SUCCESS);
    CHECK(exchange.received == 5 && exchange.words_received == 1);
    CHECK(room[0] == 6 && room[1] == 90 && params.words_received == 1);
    end(server);
    close_service(&service);
}

static void send_to_waiting_server(void)
{
    struct exchange exchange = {.service = &service, .request = 3, .status = -1};

    open_service(&service);
    struct worker *server = start(serve_once, &exchange);
    send_to_service(&exchange);
    CHECK(exchange.status == FLUKE_SUCCESS && server->done);
    CHECK(exchange.received == 3 && exchange.kind == FLUKE_MESSAGE_ONE_WAY && exchange.alias == SERVICE_ALIAS);
    CHECK(exchange.reply_status == FLUKE_SUCCESS); /* nobody is answered, and that is all */
    end(server);
    close_service(&service);
}

static void send_before_server(void)
{
    struct exchange exchange = {.service = &service, .request = 3, .status = -1};

    open_service(&service);
    struct worker *sender = start(send_to_service, &exchange);
    CHECK(waits_for(sender) == FLUKE_PORT);
    serve_once(&exchange);
    CHECK(sender->done && exchange.status == FLUKE_SUCCESS);
    CHECK(exchange.received == 3 && exchange.kind == FLUKE_MESSAGE_ONE_WAY && exchange.words_received == 1);
    end(sender);
    close_service(&service);
}

static void serve_in_order(void)
{
    struct exchange exchanges[3];
    struct worker *clients[3];
    uint64_t expected[] = {1, 0, 2};

    open_service(&service);
    for (unsigned i = 0; i < 3; i++) {
        exchanges[i] = (struct exchange){.service = &service, .request = i};
        clients[i] = start_at(i == 1 ? WORKER_PRIORITY + 1 : WORKER_PRIORITY, call_service, &exchanges[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        serve_once(&exchanges[i]);
        CHECK(exchanges[i].received == expected[i]);
    }
    for (unsigned i = 0; i < 3; i++)
        end(clients[i]);
    close_service(&service);
}

/* At least once: the call is made again, and the next server answers. */
static void lose_server(void)
{
    struct exchange exchange = {.service = &service, .gate = &gate, .request = 41}, again = exchange;

    fluke_mutex_create(&gate);
    fluke_mutex_lock(&gate);
    open_service(&service);
    struct worker *client = start(call_service, &exchange), *server = start(serve_once, &exchange);
    CHECK(waits_for(client) == FLUKE_THREAD && exchange.received == 41);
    end(server);
    CHECK(waits_for(client) == FLUKE_PORT);
    again.gate = NULL;
    serve_once(&again);
    CHECK(again.received == 41 && client->done && exchange.reply == 42);
    end(client);
    close_service(&service);
    fluke_mutex_destroy(&gate);
}

static void lose_client(void)
{
    struct exchange exchange = {.service = &service, .gate = &gate, .reply_status = -1};

    fluke_mutex_create(&gate);
    fluke_mutex_lock(&gate);
    open_service(&service);
    struct worker *client = start(call_service, &exchange), *server = start(serve_once, &exchange);
    end(client);
    CHECK(waits_for(server) == FLUKE_MUTEX);
    fluke_mutex_unlock(&gate);
    CHECK(server->done && exchange.reply_status == FLUKE_SUCCESS);
    end(server);
    close_service(&service);
    fluke_mutex_destroy(&gate);
}

/* The caller is stopped while it is served; its answer reaches it, and it goes on when it is started. */
static void answer_stopped_client(void)
{
    struct exchange exchange = {.service = &service, .gate = &gate, .request = 41};
    struct fluke_thread_state state;

    fluke_mutex_create(&gate);
    fluke_mutex_lock(&gate);
    open_service(&service);
    struct worker *client = start(call_service, &exchange), *server = start(serve_once, &exchange);
    get_state(client, &state);
    CHECK(is_on_call(&state, FLUKE_CALL_IPC_CALL));
    fluke_mutex_unlock(&gate);
    CHECK(server->done && !client->done && exchange.reply == 42);
    get_state(client, &state);
    state.flags &= ~(uint64_t)FLUKE_THREAD_STOPPED;
    set_state(client, &state);
    CHECK(client->done && exchange.status == FLUKE_SUCCESS);
    end(client);
    end(server);
    close_service(&service);
    fluke_mutex_destroy(&gate);
}

const struct usertest call_tests[] = {
    {"call_waiting_server", "Does a call reach a server that waits for it?", call_waiting_server},
    {"call_before_server", "Does a call wait for a server?", call_before_server},
    {"call_state", "Do a caller's registers name the call that it can make again?", read_caller},
    {"call_received", "Is a server told from where a message came, and what it is?", tell_what_came},
    {"call_room", "Is a client told how much of its room is left?", leave_room},
    {"call_empty", "Can messages be empty?", call_with_nothing},
    {"call_cut_off", "Is what does not fit cut off, in both directions?", call_with_too_much},
    {"send_waiting_server", "Does a one-way message reach a server that waits for it?", send_to_waiting_server},
    {"send_before_server", "Does a one-way message wait for a server?", send_before_server},
    {"call_order", "Are clients served by priority, then in the order of their calls?", serve_in_order},
    {"call_lose_server", "Does a call find another server when its own is destroyed?", lose_server},
    {"call_lose_client", "Can a server answer a client that is gone?", lose_client},
    {"call_stopped", "Is a client answered that is stopped?", answer_stopped_client},
    {0},
};
