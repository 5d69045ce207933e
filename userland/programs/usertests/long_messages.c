/* Messages of several chunks: between two of them the thread that copies can be cut off. */

#include "usertests.h"

/* The words that are looked at: both ends of every chunk, and one in the midst of each. */
enum { CHUNK = 1024, LONG = 3 * CHUNK + 5, SHORTER = CHUNK + 500 };
static const unsigned places[] = {0, 500, CHUNK - 1, CHUNK, SHORTER - 1, SHORTER, 2 * CHUNK, 3 * CHUNK, LONG - 1};
enum { PLACES = sizeof places / sizeof *places, CLEAR = 0x5555 };

static uint64_t request[LONG], request_room[LONG], reply[LONG], reply_room[LONG];
static struct service service;
static fluke_thread_t *runner_thread;

static void fill(uint64_t *words, uint64_t seed)
{
    for (unsigned i = 0; i < PLACES; i++)
        words[places[i]] = seed + places[i];
}

/* Whether the first `count` words have arrived, and no other. */
static bool arrived(const uint64_t *words, uint64_t seed, uint64_t count)
{
    for (unsigned i = 0; i < PLACES; i++)
        if (words[places[i]] != (places[i] < count ? seed + places[i] : CLEAR))
            return false;
    return true;
}

enum { REQUEST = 1000000, REPLY = 2000000 };

static void begin(void)
{
    open_service(&service);
    fill(request, REQUEST);
    fill(reply, REPLY);
    for (unsigned i = 0; i < PLACES; i++)
        request_room[places[i]] = reply_room[places[i]] = CLEAR;
}

static void call(void *reply_words)
{
    struct fluke_ipc_params params = {.send_buffer = request,
                                      .send_words = LONG,
                                      .receive_buffer = reply_room,
                                      .receive_words = *(uint64_t *)reply_words};

    CHECK(fluke_ipc_call(&service.ref, &params) == FLUKE_SUCCESS);
    *(uint64_t *)reply_words = params.words_received;
}

static void serve(void *request_words)
{
    struct fluke_ipc_params params = {.receive_buffer = request_room,
                                      .receive_words = *(uint64_t *)request_words,
                                      .send_buffer = reply,
                                      .send_words = LONG};

    CHECK(fluke_ipc_setup_wait_receive(&service.portset, &params, NULL) == FLUKE_SUCCESS);
    *(uint64_t *)request_words = params.words_received;
    CHECK(fluke_ipc_reply(&params) == FLUKE_SUCCESS);
}

/* The client copies the request. */
static void call_waiting_server(void)
{
    uint64_t request_words = LONG, reply_words = LONG;

    begin();
    struct worker *server = start(serve, &request_words);
    call(&reply_words);
    CHECK(request_words == LONG && arrived(request_room, REQUEST, LONG));
    CHECK(reply_words == LONG && arrived(reply_room, REPLY, LONG));
    end(server);
    close_service(&service);
}

/* The server copies the request. */
static void call_before_server(void)
{
    uint64_t request_words = LONG, reply_words = LONG;

    begin();
    struct worker *client = start(call, &reply_words);
    serve(&request_words);
    CHECK(request_words == LONG && arrived(request_room, REQUEST, LONG));
    CHECK(client->done && reply_words == LONG && arrived(reply_room, REPLY, LONG));
    end(client);
    close_service(&service);
}

static void cut_off(void)
{
    uint64_t request_words = SHORTER, reply_words = SHORTER;

    begin();
    struct worker *client = start(call, &reply_words);
    serve(&request_words);
    CHECK(request_words == SHORTER && arrived(request_room, REQUEST, SHORTER));
    CHECK(reply_words == SHORTER && arrived(reply_room, REPLY, SHORTER));
    end(client);
    close_service(&service);
}

static void send_empty(void *unused)
{
    struct fluke_ipc_params params = {0};

    (void)unused;
    fluke_ipc_send(&service.ref, &params);
}

static void answer_and_receive(void)
{
    uint64_t reply_words = LONG;
    struct fluke_ipc_params params = {.receive_buffer = request_room, .receive_words = LONG};

    begin();
    struct worker *client = start(call, &reply_words), *next = start(send_empty, NULL);
    fluke_ipc_setup_wait_receive(&service.portset, &params, NULL);
    params = (struct fluke_ipc_params){.send_buffer = reply, .send_words = LONG};
    CHECK(fluke_ipc_reply_wait_receive(&params, NULL) == FLUKE_SUCCESS);
    CHECK(client->done && reply_words == LONG && arrived(reply_room, REPLY, LONG));
    CHECK(params.message_kind == FLUKE_MESSAGE_ONE_WAY && params.words_received == 0);
    end(client);
    end(next);
    close_service(&service);
}

static void send_long(void *unused)
{
    struct fluke_ipc_params params = {.send_buffer = request, .send_words = LONG};

    (void)unused;
    CHECK(fluke_ipc_send(&service.ref, &params) == FLUKE_SUCCESS);
}

static void send_one_chunk(void)
{
    uint64_t request_words = LONG;

    begin();
    struct worker *server = start(serve, &request_words);
    send_long(NULL);
    CHECK(server->done && request_words == CHUNK && arrived(request_room, REQUEST, CHUNK));
    end(server);
    close_service(&service);
}

/*
 * Something happens at an instant when the message is likely to be half copied; where threads are not preempted in
 * system calls it happens afterwards. Either way the message arrives whole.
 */
enum { HALF_WAY_NS = 2500 };

static void serve_for_ever(void *request_words)
{
    for (;;)
        serve(request_words);
}

static void disturb(void (*disturbance)(void *))
{
    uint64_t request_words = LONG, reply_words = LONG;

    runner_thread = fluke_thread_self();
    for (unsigned serving = 0; serving < 2; serving++) {
        begin();
        struct worker *peer = start(serving ? call : serve_for_ever, serving ? &reply_words : &request_words);
        struct worker *other = start_at(WORKER_PRIORITY + 1, disturbance, NULL);
        (serving ? serve : call)(serving ? &request_words : &reply_words);
        sleep_ns(2 * HALF_WAY_NS);
        CHECK(other->done && peer->done == serving);
        CHECK(request_words == LONG && arrived(request_room, REQUEST, LONG));
        CHECK(reply_words == LONG && arrived(reply_room, REPLY, LONG));
        end(peer);
        end(other);
        close_service(&service);
    }
}

static void only_run(void *unused)
{
    (void)unused;
    sleep_ns(HALF_WAY_NS);
    note('d');
}

static void preempt(void)
{
    disturb(only_run);
    CHECK(noted("dd"));
}

static void stop_and_start(void *unused)
{
    struct fluke_thread_state state;

    (void)unused;
    sleep_ns(HALF_WAY_NS);
    fluke_thread_get_state(runner_thread, &state, NULL, NULL, NULL, NULL, NULL);
    fluke_thread_set_state(runner_thread, &state, NULL, NULL, NULL, NULL, NULL);
}

static void stop(void)
{
    disturb(stop_and_start);
}

static void interrupt_runner(void *unused)
{
    (void)unused;
    sleep_ns(HALF_WAY_NS);
    fluke_thread_interrupt(runner_thread);
}

static void interrupt(void)
{
    runner.interrupts = 0;
    disturb(interrupt_runner);
    CHECK(runner.interrupts == 2);
}

const struct usertest long_message_tests[] = {
    {"long_call_waiting_server", "Does a long request arrive whole at a server that waits, and its answer?",
     call_waiting_server},
    {"long_call_before_server", "Does a long request arrive whole that waits for a server, and its answer?",
     call_before_server},
    {"long_cut_off", "Is a long message cut off where the room ends?", cut_off},
    {"long_reply_and_receive", "Does a long answer arrive whole before the next message is received?",
     answer_and_receive},
    {"long_send", "Is a one-way message one chunk at most?", send_one_chunk},
    {"long_preempted", "Does a long message arrive whole while a more urgent thread runs?", preempt},
    {"long_stopped", "Does a long message arrive whole although who copies it is stopped and started?", stop},
    {"long_interrupted", "Does a long message arrive whole although who copies it is interrupted?", interrupt},
    {0},
};
