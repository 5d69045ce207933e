/* Calls of which one side misses a page that its keeper fails to bring: that side's mistake, and the other goes on. */

#include "usertests.h"

enum { REQUEST, ROOM, REPLY, ANSWER }; /* pages, of one word each */

static struct service service;
static fluke_mutex_t gate; /* the server locks and unlocks it before it answers */
static struct worker *client, *server;
static unsigned received, answered;

/* Whoever makes a mistake tries again. */
static void call(void *unused)
{
    struct fluke_ipc_params params;

    (void)unused;
    do
        params = (struct fluke_ipc_params){.send_buffer = PAGE(REQUEST),
                                           .send_words = 1,
                                           .receive_buffer = PAGE(ANSWER),
                                           .receive_words = 1};
    while (fluke_ipc_call(&service.ref, &params) != FLUKE_SUCCESS);
    answered++;
}

static void serve(void *unused)
{
    struct fluke_ipc_params params;

    (void)unused;
    do {
        do
            params = (struct fluke_ipc_params){.receive_buffer = PAGE(ROOM), .receive_words = 1};
        while (fluke_ipc_setup_wait_receive(&service.portset, &params, NULL) != FLUKE_SUCCESS);
        received++;
        lock_and_unlock(&gate);
        params = (struct fluke_ipc_params){.send_buffer = PAGE(REPLY), .send_words = 1};
    } while (fluke_ipc_reply(&params) != FLUKE_SUCCESS);
}

static uint64_t fail_once(struct pager *unused, uint64_t *reply)
{
    return (pager.faults == 1 ? fail_fault : show_page)(unused, reply);
}

/* When the page is taken away: while one side waits for the other, or before the answer. */
enum when { SERVER_WAITS, CLIENT_WAITS, IN_SERVICE };

static void fail_in(enum when when, unsigned page, struct worker **whose, unsigned times_received)
{
    bool is_written = page == ROOM || page == ANSWER;

    open_pager();
    open_service(&service);
    make_locked(&gate);
    pager.answer = fail_once;
    received = answered = 0;
    FRAME(REQUEST)[0] = 5;
    FRAME(REPLY)[0] = 6;
    FRAME(ROOM)[0] = FRAME(ANSWER)[0] = 0;
    if (when == CLIENT_WAITS)
        client = start(call, NULL);
    else
        server = start(serve, NULL);
    if (when != IN_SERVICE)
        take_away(page);
    if (when == CLIENT_WAITS)
        server = start(serve, NULL);
    else
        client = start(call, NULL);
    if (when == IN_SERVICE)
        take_away(page);
    fluke_mutex_unlock(&gate);
    if (server->done && !client->done) { /* the answer was for nobody */
        end(server);
        server = start(serve, NULL);
    }
    CHECK(client->done && server->done);
    CHECK(FRAME(ROOM)[0] == 5 && FRAME(ANSWER)[0] == 6 && answered == 1 && received == times_received);
    CHECK_MISTAKE_OF(*whose, is_written ? FLUKE_EXCEPTION_STORE_FAULT : FLUKE_EXCEPTION_LOAD_FAULT, PAGE(page));
    CHECK(pager.faults == 2);
    end(client);
    end(server);
    fluke_mutex_destroy(&gate);
    close_service(&service);
    close_pager();
}

static void fail_server(void)
{
    fail_in(SERVER_WAITS, ROOM, &server, 1);
    fail_in(CLIENT_WAITS, ROOM, &server, 1);
    fail_in(IN_SERVICE, REPLY, &server, 2);
}

static void fail_client(void)
{
    fail_in(SERVER_WAITS, REQUEST, &client, 1);
    fail_in(CLIENT_WAITS, REQUEST, &client, 1);
    fail_in(IN_SERVICE, ANSWER, &client, 2);
}

const struct usertest paged_failure_tests[] = {
    {"paged_server_fails", "Does a client find its server again that could not be given a page?", fail_server},
    {"paged_client_fails", "Does a server go on whose client could not be given a page?", fail_client},
    {0},
};
