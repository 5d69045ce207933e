/* One-way messages whose port sets, references and buffers lie in pages that are away as the call begins. */

#include "usertests.h"

/* What the calls are given, each in a page of its own. */
static void *const OBJECT = PAGE(0), *const OTHER = PAGE(1), *const REF = PAGE(2), *const ROOM = PAGE(3);

static uint64_t words_received;

/* Receives one message in a hidden page, by a port set in another one. */
static void receive_in_hidden_pages(void *unused)
{
    struct fluke_ipc_params params = {.receive_buffer = ROOM, .receive_words = 2};

    (void)unused;
    hide_all();
    fluke_ipc_setup_wait_receive(OTHER, &params, NULL);
    words_received += params.words_received;
}

static void send_from_hidden_page(void *unused)
{
    struct fluke_ipc_params params = {.send_buffer = PAGE(4), .send_words = 2};

    (void)unused;
    hide_all();
    CHECK(fluke_ipc_send(REF, &params) == FLUKE_SUCCESS);
}

static void send_in_hidden_pages(void)
{
    fluke_ref_t set_ref;

    words_received = 0;
    fluke_ref_create(&set_ref);
    fluke_portset_create(OTHER);
    fluke_portset_reference(OTHER, &set_ref);
    fluke_port_create(OBJECT);
    fluke_port_set_state(OBJECT, NULL, &set_ref);
    fluke_ref_create(REF);
    fluke_port_reference(OBJECT, REF);
    struct worker *server = start(receive_in_hidden_pages, NULL);
    send_from_hidden_page(NULL);
    CHECK(server->done && words_received == 2);
    end(server);
    struct worker *client = start(send_from_hidden_page, NULL);
    receive_in_hidden_pages(NULL);
    CHECK(client->done && words_received == 4);
    end(client);
    fluke_ref_destroy(REF);
    fluke_port_destroy(OBJECT);
    fluke_portset_destroy(OTHER);
    fluke_ref_destroy(&set_ref);
}

static void sends(void) { in_both_ways(send_in_hidden_pages); }

const struct usertest one_way_tests[] = {
    {"paged_one_way", "Does a one-way message arrive whole where either side misses all its pages?", sends},
    {0},
};
