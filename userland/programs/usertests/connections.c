/* Reliable connections: moves that cannot be made, ends that leave, alerts, references, entries, several at once. */

#include "usertests.h"

static struct service service;
enum { ROOM = 4, MUCH = 6 };
static uint64_t sent[MUCH], taken[ROOM], heard; /* what is said, where it is heard, and the first word of that */
static fluke_error_t status;              /* the server's last */
static fluke_mutex_t gate;                /* servers lock and unlock it when they have heard something */

static struct fluke_ipc_params says(unsigned words)
{
    return (struct fluke_ipc_params){
        .send_buffer = sent, .send_words = words, .receive_buffer = taken, .receive_words = ROOM};
}

static void open(void)
{
    open_service(&service);
    make_locked(&gate);
    status = 0xbad;
    heard = 0;
    for (unsigned i = 0; i < MUCH; i++)
        sent[i] = 70 + i;
}

static void close(void)
{
    fluke_mutex_destroy(&gate);
    close_service(&service);
}

/* A server that hears one message, passes the gate, and makes the call that is its argument. */
static void serve(void *next_call)
{
    struct fluke_ipc_params params = says(2);

    status = fluke_ipc_setup_wait_receive(&service.portset, &params, NULL);
    heard = taken[0];
    CHECK(params.message_kind == FLUKE_MESSAGE_RELIABLE);
    lock_and_unlock(&gate);
    params = says(2);
    status = ((fluke_error_t(*)(struct fluke_ipc_params *))next_call)(&params);
}

static void connect_and_send(void *unused)
{
    struct fluke_ipc_params params = says(1);

    (void)unused;
    CHECK(fluke_ipc_client_connect_send(&service.ref, &params) == FLUKE_SUCCESS);
}

/* Mistakes of either end change nothing: the connection goes on. */
static void move_wrongly(void)
{
    struct fluke_ipc_params params = says(1), room = says(0);

    open();
    struct worker *server = start(serve, fluke_ipc_server_send);
    connect_and_send(NULL);
    CHECK_MISTAKE(fluke_ipc_client_receive(&room), FLUKE_INSANITY_NOT_RECEIVER, FLUKE_CALL_IPC_CLIENT_RECEIVE);
    CHECK_MISTAKE(fluke_ipc_client_ack_send(&params), FLUKE_INSANITY_NOT_RECEIVER, FLUKE_CALL_IPC_CLIENT_ACK_SEND);
    CHECK(heard == 0); /* it waits for more, or for the end of the message */
    fluke_mutex_unlock(&gate);
    fluke_ipc_client_disconnect();
    CHECK(heard == 70 && status == FLUKE_IPC_SEND_DISCONNECTED);
    end(server);
    close();
}

/* More than there is room for: it waits for the rest to be taken. */
static void connect_and_send_much(void *unused)
{
    struct fluke_ipc_params params = says(MUCH);

    (void)unused;
    CHECK(fluke_ipc_client_connect_send(&service.ref, &params) == FLUKE_IPC_SEND_DISCONNECTED);
}

static void server_moves_wrongly(void)
{
    open();
    struct worker *server = start(serve, fluke_ipc_server_send), *client = start(connect_and_send_much, NULL);
    CHECK(heard == 70 && status == FLUKE_IPC_RECV_MORE_DATA && taken[ROOM - 1] == 73);
    fluke_mutex_unlock(&gate);
    CHECK_MISTAKE_OF(server, FLUKE_INSANITY_NOT_SENDER, FLUKE_CALL_IPC_SERVER_SEND);
    CHECK(waits_for(client) == FLUKE_THREAD);
    end(server);
    CHECK(client->done);
    end(client);
    close();
}

static void no_connection(void)
{
    struct fluke_ipc_params params = says(1);
    fluke_ref_t null_ref;

    fluke_ref_create(&null_ref);
    fluke_ipc_client_disconnect();
    fluke_ipc_server_disconnect();
    CHECK(fluke_ipc_client_alert() == FLUKE_IPC_SEND_DISCONNECTED);
    CHECK(fluke_ipc_server_alert() == FLUKE_IPC_SEND_DISCONNECTED);
    CHECK(fluke_ipc_server_send(&params) == FLUKE_IPC_SEND_DISCONNECTED);
    CHECK(fluke_ipc_server_over_receive(&params) == FLUKE_IPC_OVER_DISCONNECTED);
    CHECK(fluke_ipc_server_ack_send(&params) == FLUKE_IPC_ACK_DISCONNECTED);
    CHECK(fluke_ipc_server_receive(&params) == FLUKE_IPC_RECV_DISCONNECTED);
    CHECK(fluke_ipc_client_connect_send(&null_ref, &params) == FLUKE_IPC_CONNECT_INVALID_DEST);
    CHECK(fluke_ipc_client_connect_send(fluke_start_block->timer_ref, &params) == FLUKE_IPC_CONNECT_INVALID_DEST);
    fluke_ref_destroy(&null_ref);
}

static fluke_error_t disconnect_server(struct fluke_ipc_params *unused)
{
    (void)unused;
    fluke_ipc_server_disconnect();
    return FLUKE_SUCCESS;
}

static void wait_for_answer(void *client_status)
{
    struct fluke_ipc_params params = says(1);

    *(fluke_error_t *)client_status = fluke_ipc_client_connect_send_over_receive(&service.ref, &params);
}

/* The receiver leaves: who wanted to turn the connection round is told. */
static void leave_as_server(void)
{
    fluke_error_t client_status = 0;

    open();
    struct worker *server = start(serve, disconnect_server), *client = start(wait_for_answer, &client_status);
    CHECK(heard == 70 && waits_for(client) == FLUKE_THREAD);
    fluke_mutex_unlock(&gate);
    CHECK(client->done && client_status == FLUKE_IPC_OVER_DISCONNECTED);
    end(client);
    end(server);
    close();
}

/* Handlers of alerts that do what that of interrupts does: they count. */
static void take_alerts(void)
{
    fluke_thread_t *self = fluke_thread_self();
    uintptr_t trap, interrupt;

    fluke_thread_get_handlers(self, &trap, &interrupt, NULL, NULL);
    fluke_thread_set_handlers(self, (void *)trap, (void *)interrupt, (void *)interrupt, (void *)interrupt);
}

static fluke_error_t alert_and_receive(struct fluke_ipc_params *params)
{
    CHECK(fluke_ipc_server_alert() == FLUKE_SUCCESS);
    return fluke_ipc_server_receive(params);
}

static void serve_alert(void *unused)
{
    (void)unused;
    take_alerts();
    serve(alert_and_receive);
}

static void connect_alert_and_wait(void *unused)
{
    struct fluke_ipc_params params = says(1);

    (void)unused;
    take_alerts();
    params.send_words = ROOM;
    CHECK(fluke_ipc_client_connect_send(&service.ref, &params) == FLUKE_SUCCESS);
    CHECK(fluke_ipc_client_alert() == FLUKE_SUCCESS);
    params = says(1);
    CHECK(fluke_ipc_client_send_over_receive(&params) == FLUKE_IPC_OVER_DISCONNECTED);
}

/* Alerts come in the middle of a wait, which goes on; and from an end that is destroyed. */
static void alert(void)
{
    open();
    struct worker *server = start(serve_alert, NULL), *client = start(connect_alert_and_wait, NULL);
    CHECK(server->interrupts == 1 && client->interrupts == 0);
    fluke_mutex_unlock(&gate);
    CHECK(client->interrupts == 1 && status == FLUKE_SUCCESS);
    CHECK(waits_for(client) == FLUKE_THREAD);
    end(server);
    CHECK(client->interrupts == 2 && client->done);
    end(client);
    close();
}

/* An alert waits while exceptions are disabled. */
static void put_alert_off(void)
{
    struct fluke_ipc_params params = says(1);
    unsigned before = runner.interrupts;

    open();
    fluke_thread_disable_exceptions(fluke_thread_self());
    struct worker *server = start(serve, alert_and_receive);
    params.send_words = ROOM;
    CHECK(fluke_ipc_client_connect_send(&service.ref, &params) == FLUKE_SUCCESS);
    fluke_mutex_unlock(&gate);
    params = says(1);
    CHECK(fluke_ipc_client_send(&params) == FLUKE_SUCCESS);
    CHECK(runner.interrupts == before);
    take_alerts();
    fluke_thread_enable_exceptions(fluke_thread_self());
    CHECK(runner.interrupts == before + 1);
    record_exceptions();
    fluke_ipc_client_disconnect();
    end(server);
    close();
}

/* References follow the words of their send; where there are too few slots, the receiver is told. */
static fluke_ref_t given[3], kept[2];

static void serve_references(void *unused)
{
    fluke_ref_t *slots[] = {&kept[0], &kept[1]};
    struct fluke_ipc_params params = says(0);

    (void)unused;
    params.receive_ref_table = slots;
    params.receive_ref_count = 2;
    CHECK(fluke_ipc_setup_wait_receive(&service.portset, &params, NULL) == FLUKE_IPC_RECV_MORE_REFS);
    CHECK(params.words_received == 1 && params.receive_ref_count == 0);
    CHECK(fluke_ref_compare(&kept[0], &given[0]) && fluke_ref_compare(&kept[1], &given[1]));
    params.receive_ref_table = slots;
    params.receive_ref_count = 1;
    CHECK(fluke_ipc_server_receive(&params) == FLUKE_IPC_RECV_DISCONNECTED);
    CHECK(fluke_ref_compare(&kept[0], &given[2]));
    heard = 1;
}

static void pass_references(void)
{
    fluke_ref_t *table[] = {&given[0], &given[1], &given[2]};
    struct fluke_ipc_params params = says(1);

    open();
    for (unsigned i = 0; i < 3; i++)
        fluke_ref_create(&given[i]);
    for (unsigned i = 0; i < 2; i++)
        fluke_ref_create(&kept[i]);
    fluke_mutex_reference(&gate, &given[0]);
    fluke_portset_reference(&service.portset, &given[1]);
    fluke_port_reference(&service.port, &given[2]);
    params.send_ref_table = table;
    params.send_ref_count = 3;
    struct worker *server = start(serve_references, NULL);
    CHECK(fluke_ipc_client_connect_send(&service.ref, &params) == FLUKE_SUCCESS);
    fluke_ipc_client_disconnect();
    CHECK(heard == 1);
    for (unsigned i = 0; i < 3; i++)
        fluke_ref_destroy(&given[i]);
    for (unsigned i = 0; i < 2; i++)
        fluke_ref_destroy(&kept[i]);
    end(server);
    close();
}

/* One server, two clients in turn: it puts the first one away while it hears the second. */
static void serve_two(void *unused)
{
    fluke_thread_t *self = fluke_thread_self();
    fluke_ref_t first, none;
    uintptr_t flags = 77;
    struct fluke_ipc_params params = says(0);

    (void)unused;
    fluke_ref_create(&first);
    fluke_ref_create(&none);
    CHECK(fluke_ipc_setup_wait_receive(&service.portset, &params, NULL) == FLUKE_SUCCESS);
    fluke_thread_get_client(self, &first, &flags);
    CHECK(flags == 0 && fluke_ref_type(&first) == FLUKE_THREAD);
    fluke_thread_set_client(self, &none, 0);
    params = says(0);
    CHECK(fluke_ipc_wait_receive(&params, NULL) == FLUKE_SUCCESS);
    params = says(1);
    sent[0] = 2;
    CHECK(fluke_ipc_server_ack_send(&params) == FLUKE_SUCCESS);
    fluke_ipc_server_disconnect();
    fluke_thread_set_client(self, &first, flags);
    params = says(1);
    sent[0] = 1;
    CHECK(fluke_ipc_server_ack_send(&params) == FLUKE_SUCCESS);
    fluke_thread_get_client(self, NULL, &flags);
    CHECK(flags == FLUKE_THREAD_SERVER_SENDER);
    fluke_ipc_server_disconnect();
    fluke_ref_destroy(&first);
    fluke_ref_destroy(&none);
}

static void ask_for(void *answer)
{
    uint64_t word;
    struct fluke_ipc_params params = {
        .send_buffer = answer, .send_words = 1, .receive_buffer = &word, .receive_words = 1};

    CHECK(fluke_ipc_client_connect_send_over_receive(&service.ref, &params) == FLUKE_IPC_RECV_DISCONNECTED);
    CHECK(word == *(uint64_t *)answer);
}

static void serve_in_turn(void)
{
    uint64_t one = 1, two = 2;

    open();
    struct worker *first = start(ask_for, &one), *second = start(ask_for, &two), *server = start(serve_two, NULL);
    CHECK(first->done && second->done && server->done);
    end(first);
    end(second);
    end(server);
    close();
}

static void set_links_wrongly(void)
{
    fluke_thread_t *self = fluke_thread_self();
    fluke_ref_t ref;

    fluke_ref_create(&ref);
    fluke_thread_reference(self, &ref);
    CHECK_MISTAKE(fluke_thread_set_client(self, &ref, 0), FLUKE_INSANITY_CURRENT_THREAD, &ref);
    CHECK_MISTAKE(fluke_thread_set_server(self, &ref, 0), FLUKE_INSANITY_CURRENT_THREAD, &ref);
    uintptr_t flags = 77;
    fluke_thread_get_server(self, &ref, &flags); /* there is none */
    CHECK(flags == 0 && fluke_ref_type(&ref) == FLUKE_NULL);
    fluke_mutex_create(&gate);
    fluke_mutex_reference(&gate, &ref);
    CHECK_MISTAKE(fluke_thread_set_client(self, &ref, 0), FLUKE_INSANITY_NOT_THREAD_REF, &ref);
    CHECK_MISTAKE(fluke_thread_set_server(self, &ref, 0), FLUKE_INSANITY_NOT_THREAD_REF, &ref);
    CHECK_MISTAKE(fluke_thread_set_server(self, &ref, 1), FLUKE_INSANITY_INVALID_STATE, 1);
    uint64_t both = FLUKE_THREAD_IDEMPOTENT | FLUKE_THREAD_SERVER_SENDER;
    CHECK_MISTAKE(fluke_thread_set_client(self, NULL, both), FLUKE_INSANITY_INVALID_STATE, both);
    fluke_mutex_destroy(&gate);
    fluke_ref_destroy(&ref);
}

/* A message starts its server at the entry for its kind, on the stack that it has named. */
static _Alignas(16) char entry_stack[STACK_SIZE];
static uint64_t entry_sp;
static char entered;

static void come_in(char kind, uint64_t sp)
{
    struct fluke_ipc_params params = says(0);

    entered = kind;
    entry_sp = sp;
    heard = taken[0];
    fluke_ipc_reply_wait_receive(&params, NULL); /* comes in again, or never returns */
}

#define ENTRY(name, kind) \
    __attribute__((naked)) static void name(void) { __asm__("li a0, %0\n mv a1, sp\n j come_in_at" ::"i"(kind)); }
ENTRY(one_way_entry, '1')
ENTRY(idempotent_entry, 'i')
ENTRY(reliable_entry, 'r')

__attribute__((used)) void come_in_at(uint64_t kind, uint64_t sp)
{
    come_in((char)kind, sp);
}

static void wait_at_entries(void *unused)
{
    struct fluke_ipc_params params = says(0);

    (void)unused;
    fluke_thread_set_server_entries(fluke_thread_self(), entry_stack + STACK_SIZE, one_way_entry, idempotent_entry,
                                    reliable_entry);
    fluke_ipc_setup_wait_receive(&service.portset, &params, NULL);
    fail("the call has returned");
}

static void enter(void)
{
    struct fluke_ipc_params params = says(1);

    open();
    struct worker *server = start(wait_at_entries, NULL), *client = NULL;
    CHECK(fluke_ipc_send(&service.ref, &params) == FLUKE_SUCCESS);
    CHECK(entered == '1' && heard == 70 && entry_sp == (uint64_t)(entry_stack + STACK_SIZE));
    sent[0] = 80;
    client = start(connect_and_send, NULL);
    CHECK(entered == '1'); /* the message may go on */
    end(client);
    CHECK(entered == 'r' && heard == 80);
    sent[0] = 90;
    struct exchange exchange = {.service = &service, .request = 90};
    client = start(call_service, &exchange);
    CHECK(entered == 'i' && heard == 90);
    end(client);
    end(server);
    close();
}

/* The state of an end names the other one, and who sends; loaded into another thread, it is that one's. */
static void read_links(void)
{
    struct fluke_thread_state state;
    fluke_ref_t server_ref, client_ref, ref;

    open();
    fluke_ref_create(&server_ref);
    fluke_ref_create(&client_ref);
    fluke_ref_create(&ref);
    struct worker *server = start(serve, fluke_ipc_server_ack_send), *client = start(wait_for_answer, &status);
    fluke_thread_get_state(&client->thread, &state, NULL, NULL, NULL, NULL, &server_ref);
    fluke_thread_reference(&server->thread, &ref);
    CHECK(fluke_ref_compare(&server_ref, &ref) && (state.flags & FLUKE_THREAD_CLIENT_SENDER));
    CHECK(is_on_call(&state, FLUKE_CALL_IPC_CLIENT_OVER_RECEIVE));
    set_state(client, &state);
    fluke_thread_get_state(&server->thread, &state, NULL, NULL, NULL, &client_ref, NULL);
    fluke_thread_reference(&client->thread, &ref);
    CHECK(fluke_ref_compare(&client_ref, &ref));
    CHECK((state.flags & (FLUKE_THREAD_IDEMPOTENT | FLUKE_THREAD_SERVER_SENDER)) == 0);
    set_state(server, &state);
    fluke_mutex_unlock(&gate);
    fluke_thread_get_state(&server->thread, &state, NULL, NULL, NULL, NULL, NULL);
    CHECK(state.flags & FLUKE_THREAD_SERVER_SENDER);
    set_state(server, &state);
    end(server);
    CHECK(client->done);
    fluke_ref_destroy(&server_ref);
    fluke_ref_destroy(&client_ref);
    fluke_ref_destroy(&ref);
    end(client);
    close();
}

const struct usertest connection_tests[] = {
    {"connection_client_mistakes", "Is a client told that it is not the receiver?", move_wrongly},
    {"connection_server_mistakes", "Is a server told that it is not the sender?", server_moves_wrongly},
    {"connection_none", "What do calls say without a connection, or with no server to connect to?", no_connection},
    {"connection_left", "Is a client told that its server has left?", leave_as_server},
    {"connection_alert", "Do alerts come to the other end, also from one that is destroyed?", alert},
    {"connection_alert_later", "Does an alert wait while exceptions are disabled?", put_alert_off},
    {"connection_references", "Are references passed after the words, as many as there is room for?", pass_references},
    {"connection_in_turn", "Can a server put a connection away, and take it up again?", serve_in_turn},
    {"connection_links_wrong", "Is a thread refused links that cannot be?", set_links_wrongly},
    {"connection_entries", "Does a message start its server at the entry for its kind?", enter},
    {"connection_state", "Do states name the other end, and who sends?", read_links},
    {0},
};
