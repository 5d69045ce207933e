/* The jobs of a child that are about messages. */

#include "work.h"

/* Longer than what is moved in one step. */
enum { WORDS = 1500, CLIENTS = 2, STREAM_WORDS = 2500 };

static bool open_service(fluke_portset_t *portset, fluke_port_t *port, fluke_ref_t *ref)
{
    return fluke_portset_create(portset) == FLUKE_SUCCESS && fluke_open_port(port, portset, 1, ref);
}

static void fill(uint64_t *words, uint64_t count, uint64_t seed)
{
    for (uint64_t i = 0; i < count; i++)
        words[i] = mixed(seed + i);
}

/* Whether words were answered by `change`. */
static bool is_answer(const uint64_t *words, uint64_t count, uint64_t seed)
{
    for (uint64_t i = 0; i < count; i++)
        if (words[i] != ~mixed(seed + i))
            return false;
    return true;
}

static void change(uint64_t *words, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        words[i] = ~words[i];
}

/* -- Calls -------------------------------------------------------------------------------------------------------- */

static struct {
    fluke_portset_t portset;
    fluke_port_t port;
    fluke_ref_t ref;
    uint64_t message[WORDS];
    struct client {
        struct job *job;
        uint64_t message[WORDS], answer[WORDS], right;
    } clients[CLIENTS];
    fluke_mutex_t mutex;
    uint64_t done;
} calls;

static void serve(void *unused)
{
    struct fluke_ipc_params params = {.receive_buffer = calls.message, .receive_words = WORDS};

    (void)unused;
    fluke_ipc_setup_wait_receive(&calls.portset, &params, NULL);
    for (;;) {
        change(calls.message, params.words_received);
        params = (struct fluke_ipc_params){.send_buffer = calls.message,
                                           .send_words = params.words_received,
                                           .receive_buffer = calls.message,
                                           .receive_words = WORDS};
        fluke_ipc_reply_wait_receive(&params, NULL);
    }
}

static void call(void *argument)
{
    struct client *client = argument;

    for (long i = 0; i < client->job->rounds; i++) {
        struct fluke_ipc_params params = {.send_buffer = client->message,
                                          .send_words = WORDS,
                                          .receive_buffer = client->answer,
                                          .receive_words = WORDS};
        fill(client->message, WORDS, (uint64_t)i);
        client->right += fluke_ipc_call(&calls.ref, &params) == FLUKE_SUCCESS && params.words_received == WORDS
                      && is_answer(client->answer, WORDS, (uint64_t)i);
    }
    fluke_mutex_lock(&calls.mutex);
    uint64_t done = ++calls.done;
    fluke_mutex_unlock(&calls.mutex);
    if (done == CLIENTS) {
        uint64_t right = calls.clients[0].right + calls.clients[1].right;
        finish(client->job, right, right == (uint64_t)client->job->rounds * CLIENTS);
    }
}

void call_server(struct job *job)
{
    fluke_mutex_create(&calls.mutex);
    if (!open_service(&calls.portset, &calls.port, &calls.ref)) {
        finish(job, 0, false);
        return;
    }
    start(serve, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        calls.clients[i].job = job;
        start(call, &calls.clients[i]);
    }
}

/* -- A connection ------------------------------------------------------------------------------------------------- */

static struct {
    fluke_portset_t portset;
    fluke_port_t port;
    fluke_ref_t ref;
    uint64_t here[STREAM_WORDS], there[STREAM_WORDS];
} stream;

/* Each message is whole when the client turns the connection round, and so is the answer. */
static void serve_stream(void *unused)
{
    struct fluke_ipc_params params = {.receive_buffer = stream.there, .receive_words = STREAM_WORDS};

    (void)unused;
    fluke_ipc_setup_wait_receive(&stream.portset, &params, NULL);
    for (;;) {
        change(stream.there, STREAM_WORDS);
        params = (struct fluke_ipc_params){.send_buffer = stream.there,
                                           .send_words = STREAM_WORDS,
                                           .receive_buffer = stream.there,
                                           .receive_words = STREAM_WORDS};
        fluke_ipc_server_ack_send_over_receive(&params);
    }
}

void keep_connection(struct job *job)
{
    uint64_t right = 0;

    if (!open_service(&stream.portset, &stream.port, &stream.ref)) {
        finish(job, 0, false);
        return;
    }
    start(serve_stream, NULL);
    for (long i = 0; i < job->rounds; i++) {
        struct fluke_ipc_params params = {.send_buffer = stream.here,
                                          .send_words = STREAM_WORDS,
                                          .receive_buffer = stream.here,
                                          .receive_words = STREAM_WORDS};
        fill(stream.here, STREAM_WORDS, (uint64_t)i);
        if (i == 0)
            fluke_ipc_client_connect_send_over_receive(&stream.ref, &params);
        else
            fluke_ipc_client_ack_send_over_receive(&params);
        right += params.words_received == STREAM_WORDS && is_answer(stream.here, STREAM_WORDS, (uint64_t)i);
    }
    finish(job, right, right == (uint64_t)job->rounds);
}
