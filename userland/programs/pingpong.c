/* A thread in one space asks a server in another, in three ways that it compares: pingpong [ROUNDS] [WORDS]. */

/*
 * In a round the client sends words, and the server sends each of them back, plus one. The ways are a call that may be
 * repeated; a reliable connection that is kept, and turned round by over and ack; and a connection that is made and
 * ended in each round. The server tells them apart by the kind of message: a connection is turned round until it ends.
 */

#include <cells.h>

enum { MOST_ROUNDS = 1000000, MOST_WORDS = 16384 };

/* The server's memory. */
struct server {
    fluke_portset_t portset;
    uint64_t word_count;
    uint64_t words[];
};

static struct fluke_cell cell;
static fluke_port_t port;
static fluke_ref_t port_ref;
static uint64_t word_count, *request, *reply;

/* -- The server, in a space of its own ---------------------------------------------------------------------------- */

static struct fluke_ipc_params answer(struct server *server)
{
    return (struct fluke_ipc_params){.send_buffer = server->words,
                                     .send_words = server->word_count,
                                     .receive_buffer = server->words,
                                     .receive_words = server->word_count};
}

static void serve(void *memory)
{
    struct server *server = memory;
    struct fluke_ipc_params params = answer(server);

    fluke_ipc_setup_wait_receive(&server->portset, &params, NULL);
    for (;;) {
        uint64_t kind = params.message_kind;
        for (uint64_t i = 0; i < server->word_count; i++)
            server->words[i]++;
        params = answer(server);
        if (kind != FLUKE_MESSAGE_RELIABLE) {
            fluke_ipc_reply_wait_receive(&params, NULL);
        } else if (fluke_ipc_server_ack_send_over_receive(&params) == FLUKE_SUCCESS) {
            params.message_kind = kind; /* the same connection goes on */
        } else {
            params = answer(server);
            fluke_ipc_wait_receive(&params, NULL);
        }
    }
}

/* -- The client --------------------------------------------------------------------------------------------------- */

static fluke_error_t call(struct fluke_ipc_params *params, bool is_first)
{
    (void)is_first;
    return fluke_ipc_call(&port_ref, params);
}

static fluke_error_t turn_round(struct fluke_ipc_params *params, bool is_first)
{
    return is_first ? fluke_ipc_client_connect_send_over_receive(&port_ref, params)
                    : fluke_ipc_client_ack_send_over_receive(params);
}

static fluke_error_t connect_and_leave(struct fluke_ipc_params *params, bool is_first)
{
    (void)is_first;
    fluke_error_t status = fluke_ipc_client_connect_send_over_receive(&port_ref, params);
    fluke_ipc_client_disconnect();
    return status;
}

/* Makes one round in some way; true if every byte of the answer is right. */
static bool make_round(fluke_error_t (*way)(struct fluke_ipc_params *, bool), uint64_t round)
{
    struct fluke_ipc_params params = {
        .send_buffer = request, .send_words = word_count, .receive_buffer = reply, .receive_words = word_count};

    for (uint64_t i = 0; i < word_count; i++) {
        request[i] = (round * word_count + i) * 0x9e3779b97f4a7c15;
        reply[i] = 0;
    }
    if (way(&params, round == 0) != FLUKE_SUCCESS || params.words_received != word_count)
        return false;
    for (uint64_t i = 0; i < word_count; i++)
        if (reply[i] != request[i] + 1)
            return false;
    return true;
}

/* Makes all rounds in some way, and says what they took, with what it takes to fill and to check the words. */
static bool compare(const char *name, fluke_error_t (*way)(struct fluke_ipc_params *, bool), uint64_t rounds)
{
    uint64_t begin_ns = fluke_now_ns();

    for (uint64_t round = 0; round < rounds; round++) {
        if (!make_round(way, round)) {
            printf("%s: round %lu went wrong\n", name, round);
            return false;
        }
    }
    uint64_t round_ns = (fluke_now_ns() - begin_ns) / rounds;
    fluke_ipc_client_disconnect(); /* if there is still a connection */
    printf("%-28s %lu round trips, %lu bytes right, %lu ns each\n", name, rounds,
           2 * rounds * word_count * sizeof(uint64_t), round_ns);
    return true;
}

/* Makes the server's space and what it serves; null if there is no memory. */
static struct server *open_server(void)
{
    size_t size = word_count * sizeof(uint64_t);
    struct server *server;

    request = malloc(size);
    reply = malloc(size);
    if (request == NULL || reply == NULL)
        return NULL;
    server = fluke_cell_open(&cell, sizeof *server + size);
    if (server == NULL || fluke_portset_create(&server->portset) != FLUKE_SUCCESS
        || !fluke_open_port(&port, &server->portset, 0, &port_ref))
        return NULL;
    server->word_count = word_count;
    fluke_cell_start(&cell, serve);
    return server;
}

static void close_server(struct server *server)
{
    fluke_ref_destroy(&port_ref);
    fluke_port_destroy(&port);
    fluke_portset_destroy(&server->portset);
    fluke_cell_close(&cell);
    free(request);
    free(reply);
}

int main(int argc, char **argv)
{
    long rounds = 100, words = 8;

    if (argc > 3 || (argc > 1 && !fluke_number(argv[1], 1, MOST_ROUNDS, &rounds))
        || (argc > 2 && !fluke_number(argv[2], 1, MOST_WORDS, &words))) {
        printf("usage: pingpong [ROUNDS] [WORDS], from 1 to %d rounds of 1 to %d words\n", MOST_ROUNDS, MOST_WORDS);
        return 2;
    }
    word_count = (uint64_t)words;
    struct server *server = open_server();
    if (server == NULL) {
        puts("not enough memory for the words and a server");
        return 1;
    }
    bool right = compare("call:", call, (uint64_t)rounds) && compare("kept connection:", turn_round, (uint64_t)rounds)
              && compare("connection for each:", connect_and_leave, (uint64_t)rounds);
    close_server(server);
    if (fluke_heap_in_use() != 0) {
        puts("memory is left");
        return 1;
    }
    return right ? 0 : 1;
}
