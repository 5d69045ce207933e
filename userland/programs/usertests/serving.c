/* Receiving and answering, as servers see them. */

#include "usertests.h"

static struct service service;
static fluke_mutex_t gate;

static void answer_nobody(void)
{
    uint64_t word = 1;
    struct fluke_ipc_params params = {.send_buffer = &word, .send_words = 1};

    CHECK(fluke_ipc_reply(&params) == FLUKE_SUCCESS);
}

enum { ROUNDS = 3 };

/* Answers and receives in one call, until a request says 0. */
static void serve_until_zero(void *aliases)
{
    uint64_t word, reply;
    uintptr_t alias = 0;
    struct fluke_ipc_params params = {.receive_buffer = &word, .receive_words = 1};

    fluke_ipc_setup_wait_receive(&service.portset, &params, &alias);
    while (word != 0) {
        reply = 2 * word;
        *(uintptr_t *)aliases += alias;
        params = (struct fluke_ipc_params){
            .receive_buffer = &word, .receive_words = 1, .send_buffer = &reply, .send_words = 1};
        CHECK(fluke_ipc_reply_wait_receive(&params, &alias) == FLUKE_SUCCESS);
    }
    params.send_words = 0;
    fluke_ipc_reply(&params);
}

static void answer_and_receive(void)
{
    struct exchange exchange = {.service = &service};
    uintptr_t aliases = 0;

    open_service(&service);
    struct worker *server = start(serve_until_zero, &aliases);
    for (unsigned i = ROUNDS; i > 0; i--) {
        exchange.request = i;
        call_service(&exchange);
        CHECK(exchange.reply == 2 * i);
    }
    exchange.request = 0;
    call_service(&exchange);
    CHECK(exchange.words_replied == 0 && server->done);
    CHECK(aliases == (uintptr_t)ROUNDS * SERVICE_ALIAS);
    end(server);
    close_service(&service);
}

static void answer_and_receive_waiting(void)
{
    struct exchange one = {.service = &service, .request = 4}, two = {.service = &service, .request = 0};
    uintptr_t aliases = 0;

    open_service(&service);
    struct worker *first = start(call_service, &one), *second = start(call_service, &two);
    serve_until_zero(&aliases);
    CHECK(first->done && one.reply == 8);
    CHECK(second->done && two.words_replied == 0);
    end(first);
    end(second);
    close_service(&service);
}

/* After the first time the port set need not be named. */
static void receive_again(void)
{
    struct exchange one = {.service = &service, .request = 1}, two = {.service = &service, .request = 2};
    uint64_t word = 0;
    uintptr_t alias = 0;
    struct fluke_ipc_params params = {.receive_buffer = &word, .receive_words = 1};

    open_service(&service);
    struct worker *first = start(send_to_service, &one), *second = start(send_to_service, &two);
    serve_once(&one);
    CHECK(fluke_ipc_wait_receive(&params, &alias) == FLUKE_SUCCESS);
    CHECK(word == 2 && alias == SERVICE_ALIAS && params.words_received == 1 && params.receive_words == 0);
    end(first);
    end(second);
    close_service(&service);
}

/* Receives a request, then calls `receive` to receive again before it answers. */
static void receive_twice(fluke_error_t receive(struct fluke_ipc_params *, uintptr_t *))
{
    struct exchange exchange = {.service = &service, .request = 8};
    uint64_t word = 0, reply = 9;
    struct fluke_ipc_params params = {
        .receive_buffer = &word, .receive_words = 1, .send_buffer = &reply, .send_words = 1};

    open_service(&service);
    struct worker *client = start(call_service, &exchange);
    fluke_ipc_setup_wait_receive(&service.portset, &params, NULL);
    CHECK(word == 8);
    word = 0;
    params.receive_buffer = &word;
    params.receive_words = 1;
    CHECK(receive(&params, NULL) == FLUKE_SUCCESS);
    CHECK(word == 8 && params.words_received == 1 && params.message_kind == FLUKE_MESSAGE_IDEMPOTENT);
    CHECK(!client->done);
    fluke_ipc_reply(&params);
    CHECK(client->done && exchange.reply == 9);
    end(client);
    close_service(&service);
}

static void abandon_client(void)
{
    receive_twice(fluke_ipc_wait_receive);
}

static void receive_from_client(void)
{
    receive_twice(fluke_ipc_request_receive);
}

/* Without a client, what remains is to wait for one. */
static void receive_from_nobody(void)
{
    struct exchange one = {.service = &service, .request = 1}, two = {.service = &service, .request = 2};
    uint64_t word = 0;
    uintptr_t alias = 0;
    struct fluke_ipc_params params = {.receive_buffer = &word, .receive_words = 1};

    open_service(&service);
    struct worker *first = start(call_service, &one), *second = start(send_to_service, &two);
    serve_once(&one);
    CHECK(fluke_ipc_request_receive(&params, &alias) == FLUKE_SUCCESS);
    CHECK(word == 2 && alias == SERVICE_ALIAS && params.message_kind == FLUKE_MESSAGE_ONE_WAY);
    end(first);
    end(second);
    close_service(&service);
}

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

static void serve_at_once(void)
{
    struct exchange one = {.service = &service, .gate = &gate, .request = 1}, two = one;
    two.request = 2;

    begin_gate();
    struct worker *servers[] = {start(serve_once, &one), start(serve_once, &two)};
    struct worker *clients[] = {start(call_service, &one), start(call_service, &two)};
    CHECK(one.received == 1 && two.received == 2);
    CHECK(waits_for(servers[0]) == FLUKE_MUTEX && waits_for(servers[1]) == FLUKE_MUTEX);
    fluke_mutex_unlock(&gate);
    CHECK(one.reply == 2 && two.reply == 3);
    for (unsigned i = 0; i < 2; i++) {
        end(clients[i]);
        end(servers[i]);
    }
    finish_gate();
}

const struct usertest serving_tests[] = {
    {"reply_to_nobody", "Does nothing happen to an answer that nobody waits for?", answer_nobody},
    {"reply_and_receive", "Can a server answer and wait for the next in one call?", answer_and_receive},
    {"reply_and_receive_next", "Does a server that answers get the next who waits at once?",
     answer_and_receive_waiting},
    {"receive_again", "Does a server remember the port set that it serves?", receive_again},
    {"receive_without_reply", "Is a client served again that was not answered?", abandon_client},
    {"receive_from_client", "Can a server receive its client's message once more?", receive_from_client},
    {"receive_from_nobody", "Does a server without a client receive from the next?", receive_from_nobody},
    {"serve_two", "Can two servers of a port set serve at once?", serve_at_once},
    {0},
};
