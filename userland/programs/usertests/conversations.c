/* Reliable connections: a conversation that makes every call, with either end first, its pages hidden or not. */

#include "usertests.h"

enum call {
    CONNECT_SEND, CONNECT_SEND_OVER_RECEIVE, SEND, RECEIVE, OVER_RECEIVE, ACK_SEND, SEND_OVER_RECEIVE,
    ACK_SEND_OVER_RECEIVE, DISCONNECT, SETUP_WAIT_RECEIVE, WAIT_RECEIVE, SEND_WAIT_RECEIVE, ACK_SEND_WAIT_RECEIVE
};

/* A call of an end: words sent, counting from the first; the room it has; and what must come of it. */
struct turn {
    enum call call;
    unsigned first_sent, sent, room;
    fluke_error_t status;
    unsigned first_received, received;
};

enum { OK = FLUKE_SUCCESS, MORE = FLUKE_IPC_RECV_MORE_DATA, GONE = FLUKE_IPC_RECV_DISCONNECTED };
enum { LONG = 1300, ROOM = 1400 }; /* words: more than a chunk, in three pages */

static const struct turn client_turns[] = {
    {CONNECT_SEND, 10000, LONG, 0, OK, 0, 0},
    {SEND, 20000, LONG, 0, OK, 0, 0},
    {OVER_RECEIVE, 0, 0, ROOM, OK, 30000, LONG},
    {ACK_SEND, 40000, 3, 0, OK, 0, 0},
    {SEND_OVER_RECEIVE, 40003, LONG, 9, OK, 50000, 3},
    {ACK_SEND_OVER_RECEIVE, 60000, LONG, 4, MORE, 70000, 4},
    {RECEIVE, 0, 0, ROOM, OK, 70004, LONG - 4},
    {ACK_SEND, 80000, 2, 0, OK, 0, 0},
    {DISCONNECT, 0, 0, 0, OK, 0, 0},
    {SEND, 0, 1, 0, FLUKE_IPC_SEND_DISCONNECTED, 0, 0},
    {OVER_RECEIVE, 0, 0, 1, FLUKE_IPC_OVER_DISCONNECTED, 0, 0},
    {ACK_SEND, 0, 1, 0, FLUKE_IPC_ACK_DISCONNECTED, 0, 0},
    {RECEIVE, 0, 0, 1, FLUKE_IPC_RECV_DISCONNECTED, 0, 0},
    {CONNECT_SEND_OVER_RECEIVE, 90000, LONG, 8, GONE, 91000, 6},
    {CONNECT_SEND_OVER_RECEIVE, 92000, 5, ROOM, GONE, 93000, 6 + LONG},
};
static const struct turn server_turns[] = {
    {SETUP_WAIT_RECEIVE, 0, 0, LONG, MORE, 10000, LONG},
    {RECEIVE, 0, 0, ROOM, OK, 20000, LONG},
    {ACK_SEND, 30000, 5, 0, OK, 0, 0},
    {SEND_OVER_RECEIVE, 30005, LONG - 5, ROOM, OK, 40000, 3 + LONG},
    {ACK_SEND_OVER_RECEIVE, 50000, 3, ROOM, OK, 60000, LONG},
    {ACK_SEND, 70000, 5, 0, OK, 0, 0},
    {SEND, 70005, LONG - 5, 0, OK, 0, 0},
    {OVER_RECEIVE, 0, 0, 6, GONE, 80000, 2},
    {WAIT_RECEIVE, 0, 0, ROOM, OK, 90000, LONG},
    {ACK_SEND_WAIT_RECEIVE, 91000, 6, 9, OK, 92000, 5},
    {ACK_SEND, 93000, 6, 0, OK, 0, 0},
    {SEND_WAIT_RECEIVE, 93006, LONG, 2, OK, 0, 0}, /* and is ended while it waits */
};

/* The same calls where each finds the other end elsewhere: rooms that are full, words that nobody takes any more. */
static const struct turn crossing_client[] = {
    {CONNECT_SEND, 1, 3, 0, OK, 0, 0},
    {OVER_RECEIVE, 0, 0, 1, MORE, 10, 1},
    {RECEIVE, 0, 0, 1, MORE, 11, 1},
    {ACK_SEND, 4, 2, 0, OK, 0, 0},
    {SEND_OVER_RECEIVE, 6, 1, 1, MORE, 13, 1},
    {ACK_SEND_OVER_RECEIVE, 7, 1, 1, MORE, 15, 1},
    {RECEIVE, 0, 0, 1, OK, 16, 1},
    {ACK_SEND, 8, 2, 0, OK, 0, 0},
    {OVER_RECEIVE, 0, 0, 1, OK, 17, 1},
    {ACK_SEND, 30, 1, 0, OK, 0, 0},
    {SEND, 31, 1, 0, OK, 0, 0},
    {OVER_RECEIVE, 0, 0, 2, GONE, 18, 1},
    {CONNECT_SEND_OVER_RECEIVE, 32, 1, 1, MORE, 19, 1},
    {DISCONNECT, 0, 0, 0, OK, 0, 0},
};
static const struct turn crossing_server[] = {
    {SETUP_WAIT_RECEIVE, 0, 0, 2, MORE, 1, 2},
    {ACK_SEND, 10, 1, 0, OK, 0, 0},
    {SEND, 11, 2, 0, OK, 0, 0},
    {OVER_RECEIVE, 0, 0, 2, MORE, 4, 2},
    {RECEIVE, 0, 0, 1, OK, 6, 1},
    {ACK_SEND, 13, 1, 0, OK, 0, 0},
    {SEND, 14, 1, 0, OK, 0, 0},
    {OVER_RECEIVE, 0, 0, 1, OK, 7, 1},
    {ACK_SEND, 15, 1, 0, OK, 0, 0},
    {SEND_OVER_RECEIVE, 16, 1, 1, MORE, 8, 1},
    {ACK_SEND_OVER_RECEIVE, 17, 1, 1, MORE, 30, 1},
    {ACK_SEND_WAIT_RECEIVE, 18, 1, 1, OK, 32, 1},
    {ACK_SEND, 19, 1, 0, OK, 0, 0},
    {SEND_WAIT_RECEIVE, 20, 1, 1, FLUKE_IPC_SEND_DISCONNECTED, 0, 0},
};

/* An end: its calls, and its pages, of which the first three hold what it sends and the others what it receives. */
struct end {
    bool is_client;
    const struct turn *turns;
    unsigned count, done, first_page;
};

static struct service service;
static bool is_paged, is_scattered;

#define EITHER(name) (is_client ? fluke_ipc_client_##name(params) : fluke_ipc_server_##name(params))

static fluke_error_t make(enum call call, bool is_client, struct fluke_ipc_params *params)
{
    switch (call) {
    case CONNECT_SEND:
        return fluke_ipc_client_connect_send(&service.ref, params);
    case CONNECT_SEND_OVER_RECEIVE:
        return fluke_ipc_client_connect_send_over_receive(&service.ref, params);
    case SEND:
        return EITHER(send);
    case RECEIVE:
        return EITHER(receive);
    case OVER_RECEIVE:
        return EITHER(over_receive);
    case ACK_SEND:
        return EITHER(ack_send);
    case SEND_OVER_RECEIVE:
        return EITHER(send_over_receive);
    case ACK_SEND_OVER_RECEIVE:
        return EITHER(ack_send_over_receive);
    case SETUP_WAIT_RECEIVE:
        return fluke_ipc_setup_wait_receive(&service.portset, params, NULL);
    case WAIT_RECEIVE:
        return fluke_ipc_wait_receive(params, NULL);
    case SEND_WAIT_RECEIVE:
        return fluke_ipc_server_send_wait_receive(params, NULL);
    case ACK_SEND_WAIT_RECEIVE:
        return fluke_ipc_server_ack_send_wait_receive(params, NULL);
    case DISCONNECT:
        fluke_ipc_client_disconnect();
    }
    return FLUKE_SUCCESS;
}

static void talk(void *argument)
{
    struct end *end = argument;
    uint64_t *out = PAGE(end->first_page), *in = PAGE(end->first_page + 3) + 7;
    uint64_t *sent = FRAME(end->first_page), *received = FRAME(end->first_page + 3) + 7;

    for (; end->done < end->count; end->done++) {
        const struct turn *turn = &end->turns[end->done];
        for (unsigned i = 0; i < turn->sent; i++)
            sent[i] = turn->first_sent + i;
        struct fluke_ipc_buffer out_rest[] = {{turn->sent - 1, out + 1}}, in_rest[] = {{0, in}, {turn->room, in}};
        struct fluke_ipc_params params = {
            .send_buffer = out, .send_words = turn->sent, .receive_buffer = in, .receive_words = turn->room};
        if (is_scattered && turn->sent > 1) {
            params.send_words = 1;
            params.send_buffer_table = out_rest;
            params.send_buffer_count = 1;
        }
        if (is_scattered && turn->room > 1) {
            params.receive_words = 0;
            params.receive_buffer_table = in_rest;
            params.receive_buffer_count = 2;
        }
        if (is_paged)
            hide_all();
        fluke_error_t status = make(turn->call, end->is_client, &params);
        CHECK(status == turn->status);
        if (turn->room != 0)
            CHECK(params.words_received == turn->received);
        for (unsigned i = 0; i < turn->received; i++)
            CHECK(received[i] == turn->first_received + i);
    }
}

#define COUNT(turns) (sizeof turns / sizeof *turns)

/* Both ends talk; the one of the higher priority is always there first. */
static void converse(bool crossing, bool is_client_first)
{
    struct end client = {true, client_turns, COUNT(client_turns), 0, 0};
    struct end server = {false, server_turns, COUNT(server_turns), 0, 6};

    if (crossing) {
        client = (struct end){true, crossing_client, COUNT(crossing_client), 0, 0};
        server = (struct end){false, crossing_server, COUNT(crossing_server), 0, 6};
    }
    open_service(&service);
    struct worker *first = start_at(WORKER_PRIORITY + is_client_first, talk, &client);
    struct worker *second = start_at(WORKER_PRIORITY + !is_client_first, talk, &server);
    CHECK(client.done == client.count);
    CHECK(server.done == server.count - !crossing);
    end(first);
    end(second);
    close_service(&service);
}

static void in_all_orders(void)
{
    for (unsigned crossing = 0; crossing < 2; crossing++)
        for (unsigned is_client_first = 0; is_client_first < 2; is_client_first++)
            converse(crossing, is_client_first);
}

static void present(void)
{
    is_paged = is_scattered = false;
    open_pager();
    in_all_orders();
    close_pager();
}

static void scattered(void)
{
    is_scattered = true;
    open_pager();
    in_all_orders();
    close_pager();
    is_scattered = false;
}

static void paged(void)
{
    is_paged = true;
    in_both_ways(in_all_orders);
    is_paged = false;
}

const struct usertest conversation_tests[] = {
    {"converse", "Does every call on a reliable connection do what it says, whoever comes first?", present},
    {"converse_scattered", "Is what is sent gathered from buffers, and scattered into others?", scattered},
    {"converse_paged", "Does every call on a reliable connection find its pages, and its peer's?", paged},
    {0},
};
