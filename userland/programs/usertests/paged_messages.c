/* Calls of which one side misses a page of its buffers while the message is copied. */

#include "usertests.h"

/*
 * Buffers of more than two pages, so that the last lies in another chunk than those that a call looks at when it
 * begins. The words that are looked at are the ends of chunks and pages.
 */
enum { CHUNK = 1024, LONG = CHUNK + 8, CLEAR = 0x5555 };
enum { REQUEST = 0, ROOM = 3, REPLY = 6, ANSWER = 9, LAST = 2 }; /* their first pages, and which is the last of each */
static const unsigned places[] = {0, PAGE_WORDS - 1, PAGE_WORDS, CHUNK - 1, CHUNK, LONG - 1};
enum { PLACES = sizeof places / sizeof *places, REQUEST_SEED = 1000000, REPLY_SEED = 2000000 };

static struct service service;
static fluke_mutex_t gate; /* the server locks and unlocks it before it answers */
static struct worker *client, *server;
static unsigned received, answered;

static void fill(unsigned first_page, uint64_t seed)
{
    for (unsigned i = 0; i < PLACES; i++)
        FRAME(first_page)[places[i]] = seed == CLEAR ? CLEAR : seed + places[i];
}

static bool arrived(unsigned first_page, uint64_t seed)
{
    for (unsigned i = 0; i < PLACES; i++)
        if (FRAME(first_page)[places[i]] != seed + places[i])
            return false;
    return true;
}

static void call(void *unused)
{
    struct fluke_ipc_params params = {.send_buffer = PAGE(REQUEST),
                                      .send_words = LONG,
                                      .receive_buffer = PAGE(ANSWER),
                                      .receive_words = LONG};

    (void)unused;
    CHECK(fluke_ipc_call(&service.ref, &params) == FLUKE_SUCCESS);
    CHECK(params.words_received == LONG && params.receive_words == 0);
    CHECK(params.receive_buffer == PAGE(ANSWER) + LONG && arrived(ANSWER, REPLY_SEED));
    answered++;
}

/* Serves one call, or all that come: then it answers and receives in one. */
static void serve(void *for_ever)
{
    struct fluke_ipc_params params = {.receive_buffer = PAGE(ROOM), .receive_words = LONG};
    uintptr_t alias = 0;

    CHECK(fluke_ipc_setup_wait_receive(&service.portset, &params, &alias) == FLUKE_SUCCESS);
    for (;;) {
        CHECK(params.words_received == LONG && params.message_kind == FLUKE_MESSAGE_IDEMPOTENT);
        CHECK(alias == SERVICE_ALIAS && arrived(ROOM, REQUEST_SEED));
        received++;
        fill(ROOM, CLEAR);
        lock_and_unlock(&gate);
        params = (struct fluke_ipc_params){.send_buffer = PAGE(REPLY),
                                           .send_words = LONG,
                                           .receive_buffer = PAGE(ROOM),
                                           .receive_words = LONG};
        if (for_ever == NULL) {
            CHECK(fluke_ipc_reply(&params) == FLUKE_SUCCESS);
            return;
        }
        CHECK(fluke_ipc_reply_wait_receive(&params, &alias) == FLUKE_SUCCESS);
    }
}

/* When a page is hidden: while one side waits for the other, which then copies; or before the answer is copied. */
enum when { SERVER_WAITS, CLIENT_WAITS, IN_SERVICE };

static void meet(enum when when, unsigned page, void *for_ever)
{
    received = answered = 0;
    fill(REQUEST, REQUEST_SEED);
    fill(REPLY, REPLY_SEED);
    fill(ROOM, CLEAR);
    fill(ANSWER, CLEAR);
    open_service(&service);
    make_locked(&gate);
    if (when == CLIENT_WAITS)
        client = start(call, NULL);
    else
        server = start(serve, for_ever);
    if (when != IN_SERVICE)
        hide(page);
    if (when == CLIENT_WAITS)
        server = start(serve, for_ever);
    else
        client = start(call, NULL);
    if (when == IN_SERVICE)
        hide(page);
    fluke_mutex_unlock(&gate);
}

static void part(void)
{
    end(client);
    end(server);
    fluke_mutex_destroy(&gate);
    close_service(&service);
}

/* The first page of a buffer, and the last, are each missing once; the message arrives as if they had been there. */
static void miss(enum when when, unsigned buffer)
{
    for (unsigned page = buffer; page <= buffer + LAST; page += LAST) {
        for (unsigned rounds = 0; rounds < 2; rounds++) {
            meet(when, page, rounds == 0 ? NULL : &gate);
            CHECK(client->done && server->done == (rounds == 0));
            CHECK(received == 1 && answered == 1);
            CHECK_ASKED(1);
            part();
            show(page);
        }
    }
}

static void miss_room_of_waiting_server(void)
{
    miss(SERVER_WAITS, ROOM);
}

static void miss_own_request(void)
{
    miss(SERVER_WAITS, REQUEST);
}

static void miss_request_of_waiting_client(void)
{
    miss(CLIENT_WAITS, REQUEST);
}

static void miss_own_room(void)
{
    miss(CLIENT_WAITS, ROOM);
}

static void miss_clients_room(void)
{
    miss(IN_SERVICE, ANSWER);
}

static void miss_own_reply(void)
{
    miss(IN_SERVICE, REPLY);
}

static void call_with_room_in_waiting_server(void) { in_both_ways(miss_room_of_waiting_server); }
static void call_with_own_request(void) { in_both_ways(miss_own_request); }
static void receive_from_waiting_client(void) { in_both_ways(miss_request_of_waiting_client); }
static void receive_into_own_room(void) { in_both_ways(miss_own_room); }
static void reply_into_clients_room(void) { in_both_ways(miss_clients_room); }
static void reply_from_own(void) { in_both_ways(miss_own_reply); }

/*
 * While one of them waits for its page, it or the other is destroyed or interrupted. A new client or server comes where
 * one is needed; in the end there is one answer, and the request was received so many times.
 */
static void disturb(enum when when, unsigned page, struct worker **whom, bool is_destroyed, unsigned times_received)
{
    static fluke_mutex_t pager_gate;
    struct worker *first_server, *another = NULL;

    is_hard = true;
    open_pager();
    make_locked(&pager_gate);
    pager.gate = &pager_gate;
    meet(when, page, NULL);
    CHECK_ASKED(1);
    CHECK(answered == 0);
    first_server = server;
    if (is_destroyed) {
        end(*whom);
        if (whom == &client)
            client = start(call, NULL);
    } else {
        fluke_thread_interrupt(&(*whom)->thread);
        CHECK((*whom)->interrupts == 1);
    }
    fluke_mutex_unlock(&pager_gate);
    if (is_destroyed && whom == &server)
        server = start(serve, NULL);
    else if (first_server->done && answered == 0)
        another = start(serve, NULL);
    CHECK(client->done && server->done && answered == 1);
    CHECK(received == times_received);
    if (another != NULL)
        end(another);
    part();
    fluke_mutex_destroy(&pager_gate);
    close_pager();
}

/* Each of the two, destroyed and interrupted: how often the request is received then. */
static void disturb_both(enum when when, unsigned page, const unsigned times_received[4])
{
    disturb(when, page, &client, true, times_received[0]);
    disturb(when, page, &client, false, times_received[1]);
    disturb(when, page, &server, true, times_received[2]);
    disturb(when, page, &server, false, times_received[3]);
}

static void disturb_waiting_server(void)
{
    disturb_both(SERVER_WAITS, ROOM + LAST, (const unsigned[]){1, 1, 1, 1});
}

static void disturb_calling_client(void)
{
    disturb_both(SERVER_WAITS, REQUEST + LAST, (const unsigned[]){1, 1, 1, 1});
}

static void disturb_waiting_client(void)
{
    disturb_both(CLIENT_WAITS, REQUEST + LAST, (const unsigned[]){1, 1, 1, 1});
}

/* Whether the client has its answer only its own call can tell: who lost it calls again, and is served again. */
static void disturb_answered_client(void)
{
    disturb_both(IN_SERVICE, ANSWER + LAST, (const unsigned[]){2, 2, 2, 1});
}

static void disturb_answering_server(void)
{
    disturb_both(IN_SERVICE, REPLY + LAST, (const unsigned[]){2, 2, 2, 1});
}

const struct usertest paged_message_tests[] = {
    {"paged_call_into_server", "Does a request arrive whole where the waiting server misses a page of its room?",
     call_with_room_in_waiting_server},
    {"paged_call", "Does a request arrive whole of which the client misses a page while it copies?",
     call_with_own_request},
    {"paged_receive_from_client", "Does a request arrive whole of which the waiting client misses a page?",
     receive_from_waiting_client},
    {"paged_receive", "Does a request arrive whole where the server misses a page of its room as it receives?",
     receive_into_own_room},
    {"paged_reply_into_client", "Does an answer arrive whole where the client misses a page of its room?",
     reply_into_clients_room},
    {"paged_reply", "Does an answer arrive whole of which the server misses a page?", reply_from_own},
    {"paged_call_into_server_cut", "What if either is cut off while a waiting server misses its page?",
     disturb_waiting_server},
    {"paged_call_cut", "What if either is cut off while a client that copies misses its page?",
     disturb_calling_client},
    {"paged_receive_cut", "What if either is cut off while a waiting client misses its page?",
     disturb_waiting_client},
    {"paged_reply_into_client_cut", "What if either is cut off while a client misses the page for its answer?",
     disturb_answered_client},
    {"paged_reply_cut", "What if either is cut off while a server misses a page of its answer?",
     disturb_answering_server},
    {0},
};
