/* Message calls whose own buffers and references are in hidden pages, and waits that end while a page is hidden. */

#include "usertests.h"

static struct service service;
static fluke_ref_t *const ref = (void *)PAGE(0);
static fluke_portset_t *const portset = (void *)PAGE(0);
static fluke_mutex_t *const mutex = (void *)PAGE(0);
static uint64_t *const two_words = PAGE(2) - 1; /* in two pages */
static uint64_t *const room = PAGE(3);

/* A reference to the service lies in a page. */
static void begin(void)
{
    open_service(&service);
    fluke_ref_create(ref);
    fluke_ref_copy(&service.ref, ref);
}

static void finish(void)
{
    fluke_ref_destroy(ref);
    close_service(&service);
}

static void call_and_send(void)
{
    struct exchange exchange = {.service = &service}, one_way = exchange;
    struct fluke_ipc_params params = {
        .send_buffer = two_words, .send_words = 2, .receive_buffer = room, .receive_words = 1};
    fluke_error_t status = -1;

    begin();
    two_words[0] = 41;
    struct worker *server = start(serve_once, &exchange);
    PAGED_CALL(4, status = fluke_ipc_call(ref, &params));
    CHECK(status == FLUKE_SUCCESS && exchange.received == 41 && *room == 42);
    end(server);
    server = start(serve_once, &one_way);
    PAGED_CALL(3, status = fluke_ipc_send(ref, &params));
    CHECK(status == FLUKE_SUCCESS && one_way.received == 41 && one_way.kind == FLUKE_MESSAGE_ONE_WAY);
    end(server);
    finish();
}

/* Each receives one message from a client that waits, into `room`, and there is one more page for the port set. */
static void receive_in_each_way(void)
{
    struct exchange exchanges[4];
    struct worker *clients[4];
    uintptr_t alias = 0;
    struct fluke_ipc_params params = {.receive_buffer = room, .receive_words = 1}, reply = {0}, both;

    open_service(&service);
    fluke_portset_move(&service.portset, portset);
    for (unsigned i = 0; i < 4; i++) {
        exchanges[i] = (struct exchange){.service = &service, .request = i + 1};
        clients[i] = start(i == 2 ? send_to_service : call_service, &exchanges[i]);
    }
    PAGED_CALL(2, fluke_ipc_setup_wait_receive(portset, &params, &alias));
    CHECK(*room == 1 && alias == SERVICE_ALIAS);
    *two_words = 51;
    reply = (struct fluke_ipc_params){.send_buffer = two_words, .send_words = 2};
    PAGED_CALL(2, fluke_ipc_reply(&reply));
    CHECK(clients[0]->done && exchanges[0].reply == 51);
    params = (struct fluke_ipc_params){.receive_buffer = room, .receive_words = 1};
    PAGED_CALL(2, fluke_ipc_wait_receive(&params, &alias));
    CHECK(*room == 2);
    *two_words = 52;
    both = (struct fluke_ipc_params){
        .send_buffer = two_words, .send_words = 2, .receive_buffer = room, .receive_words = 1};
    PAGED_CALL(4, fluke_ipc_reply_wait_receive(&both, &alias));
    CHECK(clients[1]->done && exchanges[1].reply == 52 && *room == 3 && clients[2]->done);
    params = (struct fluke_ipc_params){.receive_buffer = room, .receive_words = 1};
    PAGED_CALL(2, fluke_ipc_request_receive(&params, &alias)); /* from nobody: from the next, then */
    CHECK(*room == 4 && params.message_kind == FLUKE_MESSAGE_IDEMPOTENT);
    fluke_ipc_reply(&(struct fluke_ipc_params){0});
    for (unsigned i = 0; i < 4; i++)
        end(clients[i]);
    fluke_portset_move(portset, &service.portset);
    close_service(&service);
}

/* A mutex is given, under another address, to a thread that cannot see it for the moment. */
static void hand_over(void)
{
    fluke_mutex_t *same = (fluke_mutex_t *)FRAME(0);

    make_locked(same);
    struct worker *worker = start(lock_and_unlock, mutex);
    CHECK(waits_for(worker) == FLUKE_MUTEX);
    hide_all();
    fluke_mutex_unlock(same);
    CHECK_ASKED(1);
    CHECK(worker->done);
    end(worker);
    fluke_mutex_destroy(same);
}

static void serve_at_page(void *received)
{
    struct fluke_ipc_params params = {.receive_buffer = received, .receive_words = 1};

    fluke_ipc_setup_wait_receive(portset, &params, NULL);
    params.send_buffer = received;
    params.send_words = 1;
    fluke_ipc_reply(&params);
}

static void find_server(void)
{
    struct exchange exchange = {.service = &service, .request = 7};
    uint64_t received = 0;

    open_service(&service);
    fluke_portset_move(&service.portset, portset);
    struct worker *server = start(serve_at_page, &received);
    hide_all();
    call_service(&exchange);
    CHECK_ASKED(1);
    CHECK(server->done && exchange.status == FLUKE_SUCCESS && exchange.reply == 7);
    end(server);
    fluke_portset_move(portset, &service.portset);
    close_service(&service);
}

static void call_from_page(void *reply)
{
    struct fluke_ipc_params params = {
        .send_buffer = reply, .send_words = 1, .receive_buffer = reply, .receive_words = 1};

    CHECK(fluke_ipc_call(ref, &params) == FLUKE_SUCCESS);
}

static void find_client(void)
{
    struct exchange exchange = {.service = &service};
    uint64_t word = 8;

    begin();
    struct worker *client = start(call_from_page, &word);
    CHECK(waits_for(client) == FLUKE_PORT);
    hide_all();
    serve_once(&exchange);
    CHECK_ASKED(1);
    CHECK(exchange.received == 8 && client->done && word == 9);
    end(client);
    finish();
}

/* What is written for a device, and what it writes. */
static void ask_device(void)
{
    struct fluke_ipc_params params = {
        .send_buffer = two_words, .send_words = 2, .receive_buffer = room, .receive_words = 2};

    fluke_ref_create(ref);
    fluke_ref_copy(fluke_start_block->timer_ref, ref);
    two_words[0] = FLUKE_TIMER_NOW;
    PAGED_CALL(4, fluke_ipc_call(ref, &params));
    CHECK(room[0] == FLUKE_DEVICE_OK && room[1] > 0 && params.words_received == 2);
    fluke_ref_destroy(ref);
}

enum { MOMENT_NS = 20000 };

/* Sleeps; the instant is given in the page, and comes back in `room`. */
static void sleep_by_page(void *unused)
{
    struct fluke_ipc_params params = {
        .send_buffer = two_words, .send_words = 2, .receive_buffer = room, .receive_words = 2};

    (void)unused;
    CHECK(fluke_ipc_call(ref, &params) == FLUKE_SUCCESS);
    CHECK(FRAME(3)[0] == FLUKE_DEVICE_OK);
}

static struct worker *start_sleeper(uint64_t *end_ns)
{
    uint64_t *request = FRAME(2) - 1;

    fluke_ref_create(ref);
    fluke_ref_copy(fluke_start_block->timer_ref, ref);
    ask_timer(FLUKE_TIMER_NOW, 0, end_ns);
    *end_ns += time_for(MOMENT_NS);
    request[0] = FLUKE_TIMER_WAIT_UNTIL;
    request[1] = *end_ns;
    return start(sleep_by_page, NULL);
}

static void finish_sleep(struct worker *sleeper, uint64_t end_ns)
{
    uint64_t now_ns;

    sleep_ns(2 * time_for(MOMENT_NS));
    ask_timer(FLUKE_TIMER_NOW, 0, &now_ns);
    CHECK(sleeper->done && now_ns > end_ns && FRAME(3)[1] == end_ns);
    end(sleeper);
    fluke_ref_destroy(ref);
}

/* The page for the answer is away when it comes: the device is asked again, and says the same. */
static void be_answered_by_device(void)
{
    uint64_t end_ns;
    struct worker *sleeper = start_sleeper(&end_ns);

    CHECK(waits_for(sleeper) == FLUKE_PORT);
    hide(3);
    finish_sleep(sleeper, end_ns);
    CHECK_ASKED(1);
}

static void start_again(void)
{
    struct fluke_thread_state state;
    uint64_t end_ns;
    struct worker *sleeper = start_sleeper(&end_ns);

    get_state(sleeper, &state);
    hide_all();
    set_state(sleeper, &state);
    CHECK_ASKED(4);
    CHECK(waits_for(sleeper) == FLUKE_PORT);
    finish_sleep(sleeper, end_ns);
}

static void call_and_send_paged(void) { in_both_ways(call_and_send); }
static void receive_paged(void) { in_both_ways(receive_in_each_way); }
static void hand_over_paged(void) { in_both_ways(hand_over); }
static void find_server_paged(void) { in_both_ways(find_server); }
static void find_client_paged(void) { in_both_ways(find_client); }
static void ask_device_paged(void) { in_both_ways(ask_device); }
static void be_answered_paged(void) { in_both_ways(be_answered_by_device); }
static void start_again_paged(void) { in_both_ways(start_again); }

const struct usertest paged_wait_tests[] = {
    {"paged_client", "Can a client call and send with all its memory away?", call_and_send_paged},
    {"paged_server", "Can a server receive and answer with all its memory away, by every call?", receive_paged},
    {"paged_hand_over", "Is a mutex given to a waiter whose page is away?", hand_over_paged},
    {"paged_find_server", "Is a server found whose port set is in a page that is away?", find_server_paged},
    {"paged_find_client", "Is a waiting client found whose reference is in a page that is away?", find_client_paged},
    {"paged_device", "Can a device be asked with all memory away?", ask_device_paged},
    {"paged_device_answer", "Does a device's answer arrive where the page is away by then?", be_answered_paged},
    {"paged_start", "Does a stopped waiter start whose pages are away?", start_again_paged},
    {0},
};
