/* One-way messages, and references that are passed, of which one side misses a page. */

#include "usertests.h"

static struct service service;
static fluke_mutex_t mutex, other_mutex, gate; /* the server locks and unlocks `gate` before it answers */
static struct worker *client, *server;
static unsigned received, answered;

static void begin(void)
{
    received = answered = 0;
    open_service(&service);
    make_locked(&gate);
}

static void finish(void)
{
    end(client);
    end(server);
    fluke_mutex_destroy(&gate);
    close_service(&service);
}

/* When a page is hidden: while one side waits for the other, which then copies; or before the answer is copied. */
enum when { SERVER_WAITS, CLIENT_WAITS, IN_SERVICE };

static void meet(enum when when, void (*clients)(void *), void (*servers)(void *), unsigned page)
{
    if (when == CLIENT_WAITS)
        client = start(clients, NULL);
    else
        server = start(servers, NULL);
    if (when != IN_SERVICE)
        hide(page);
    if (when == CLIENT_WAITS)
        server = start(servers, NULL);
    else
        client = start(clients, NULL);
    if (when == IN_SERVICE)
        hide(page);
    fluke_mutex_unlock(&gate);
    CHECK(client->done && server->done && received == 1 && answered == 1);
    CHECK_ASKED(1);
}

/* A one-way message of a whole chunk that lies in three pages. */
enum { WORDS = 2 * PAGE_WORDS, OUT = 0, IN = 3, EACH = 3 };
static uint64_t *const out = PAGE(OUT) + 9, *const in = PAGE(IN) + 17;

static void send(void *unused)
{
    struct fluke_ipc_params params = {.send_buffer = out, .send_words = WORDS};

    (void)unused;
    CHECK(fluke_ipc_send(&service.ref, &params) == FLUKE_SUCCESS);
    answered++;
}

static void receive(void *unused)
{
    struct fluke_ipc_params params = {.receive_buffer = in, .receive_words = WORDS};
    uintptr_t alias = 0;

    (void)unused;
    CHECK(fluke_ipc_setup_wait_receive(&service.portset, &params, &alias) == FLUKE_SUCCESS);
    CHECK(params.message_kind == FLUKE_MESSAGE_ONE_WAY && alias == SERVICE_ALIAS);
    CHECK(params.words_received == WORDS && params.receive_words == 0);
    received++;
}

static void send_with_page_hidden(enum when when, unsigned page)
{
    const uint64_t *source = FRAME(OUT) + 9, *target = FRAME(IN) + 17;

    begin();
    for (unsigned i = 0; i < WORDS; i += WORDS / 8)
        FRAME(OUT)[9 + i] = ++FRAME(OUT)[0];
    FRAME(OUT)[9 + WORDS - 1] = ++FRAME(OUT)[0];
    meet(when, send, receive, page);
    for (unsigned i = 0; i < WORDS; i += WORDS / 8)
        CHECK(target[i] == source[i]);
    CHECK(target[WORDS - 1] == source[WORDS - 1]);
    finish();
}

static void send_to_waiting_server(void)
{
    for (unsigned page = OUT; page < IN + EACH; page++)
        send_with_page_hidden(SERVER_WAITS, page);
}

static void receive_from_waiting_sender(void)
{
    for (unsigned page = OUT; page < IN + EACH; page++)
        send_with_page_hidden(CLIENT_WAITS, page);
}

/* Tables of references, and these, each in a page of its own: two for the request, one for the answer. */
enum { GIVEN = 0, TAKEN = 2, RETURNED = 4, KEPT = 6, AFTER_REQUEST = RETURNED, ALL = 8 };

static fluke_ref_t **table(unsigned page)
{
    return (fluke_ref_t **)PAGE(page);
}

/* The reference by its place in the table; the frame is there, even where the page is not. */
static fluke_ref_t *ref_of(unsigned page, unsigned index)
{
    return (fluke_ref_t *)FRAME(page + 1) + index;
}

static void create_references(void)
{
    for (unsigned page = GIVEN; page < ALL; page += 2) {
        for (unsigned i = 0; i < 2; i++) {
            ((fluke_ref_t **)FRAME(page))[i] = (fluke_ref_t *)PAGE(page + 1) + i;
            fluke_ref_create(ref_of(page, i));
        }
    }
    fluke_mutex_create(&mutex);
    fluke_mutex_create(&other_mutex);
    fluke_mutex_reference(&mutex, ref_of(GIVEN, 0));
    fluke_mutex_reference(&other_mutex, ref_of(GIVEN, 1));
    fluke_mutex_reference(&other_mutex, ref_of(RETURNED, 0));
}

static void destroy_references(void)
{
    for (unsigned page = GIVEN; page < ALL; page += 2)
        for (unsigned i = 0; i < 2; i++)
            fluke_ref_destroy(ref_of(page, i));
    fluke_mutex_destroy(&mutex);
    fluke_mutex_destroy(&other_mutex);
}

/* A word goes before the references, and must not arrive twice. */
static uint64_t word, arrived[3];

static void call_with_references(void *unused)
{
    struct fluke_ipc_params params = {.send_buffer = &word,
                                      .send_words = 1,
                                      .send_ref_table = table(GIVEN),
                                      .send_ref_count = 2,
                                      .receive_ref_table = table(KEPT),
                                      .receive_ref_count = 2};

    (void)unused;
    CHECK(fluke_ipc_call(&service.ref, &params) == FLUKE_SUCCESS);
    CHECK(params.receive_ref_count == 1 && params.receive_ref_table == table(KEPT) + 1);
    answered++;
}

static void send_references(void *unused)
{
    struct fluke_ipc_params params = {
        .send_buffer = &word, .send_words = 1, .send_ref_table = table(GIVEN), .send_ref_count = 2};

    (void)unused;
    CHECK(fluke_ipc_send(&service.ref, &params) == FLUKE_SUCCESS);
    answered++;
}

static void serve_references(void *unused)
{
    struct fluke_ipc_params params = {
        .receive_buffer = arrived, .receive_words = 3, .receive_ref_table = table(TAKEN), .receive_ref_count = 2};

    (void)unused;
    CHECK(fluke_ipc_setup_wait_receive(&service.portset, &params, NULL) == FLUKE_SUCCESS);
    CHECK(params.words_received == 1 && params.receive_words == 2 && params.receive_buffer == arrived + 1);
    CHECK(arrived[0] == word && arrived[1] == 0);
    CHECK(params.receive_ref_count == 0 && params.receive_ref_table == table(TAKEN) + 2);
    CHECK(fluke_ref_compare(ref_of(TAKEN, 0), ref_of(GIVEN, 0)));
    CHECK(fluke_ref_compare(ref_of(TAKEN, 1), ref_of(GIVEN, 1)));
    received++;
    lock_and_unlock(&gate);
    params = (struct fluke_ipc_params){.send_ref_table = table(RETURNED), .send_ref_count = 1};
    CHECK(fluke_ipc_reply(&params) == FLUKE_SUCCESS);
}

static void pass_references(enum when when, void (*clients)(void *), unsigned first_page, unsigned end_page)
{
    for (unsigned page = first_page; page < end_page; page++) {
        begin();
        create_references();
        word++;
        meet(when, clients, serve_references, page);
        CHECK(clients == send_references || fluke_ref_compare(ref_of(KEPT, 0), ref_of(RETURNED, 0)));
        CHECK(fluke_ref_type(ref_of(KEPT, 1)) == FLUKE_NULL);
        destroy_references();
        finish();
    }
}

static void give_to_waiting_server(void)
{
    pass_references(SERVER_WAITS, call_with_references, GIVEN, AFTER_REQUEST);
    pass_references(SERVER_WAITS, send_references, GIVEN, AFTER_REQUEST);
}

static void take_from_waiting_client(void)
{
    pass_references(CLIENT_WAITS, call_with_references, GIVEN, AFTER_REQUEST);
    pass_references(CLIENT_WAITS, send_references, GIVEN, AFTER_REQUEST);
}

static void return_to_client(void)
{
    pass_references(IN_SERVICE, call_with_references, AFTER_REQUEST, ALL);
}

static void send_paged(void) { in_both_ways(send_to_waiting_server); }
static void receive_paged(void) { in_both_ways(receive_from_waiting_sender); }
static void give_paged(void) { in_both_ways(give_to_waiting_server); }
static void take_paged(void) { in_both_ways(take_from_waiting_client); }
static void return_paged(void) { in_both_ways(return_to_client); }

const struct usertest paged_reference_tests[] = {
    {"paged_send", "Does a one-way message arrive whole at a waiting server, whichever page is missing?", send_paged},
    {"paged_send_received", "Does a one-way message arrive whole from a waiting sender, whichever page is missing?",
     receive_paged},
    {"paged_give", "Are references given to a waiting server, whichever page is missing?", give_paged},
    {"paged_take", "Are references taken from a waiting client, whichever page is missing?", take_paged},
    {"paged_return", "Are references returned, whichever page is missing?", return_paged},
    {0},
};
