/* Every call that ends with a wait for a message: what it comes to, by what arrives and where. */

#include "usertests.h"

enum {
    SEND_REFS = 15, SEND_REF_COUNT = 5, RECEIVE_REFS = 16, RECEIVE_REF_COUNT = 6,
};

static const uint64_t waiting_calls[] = {
    FLUKE_CALL_IPC_SETUP_WAIT_RECEIVE,       FLUKE_CALL_IPC_WAIT_RECEIVE,
    FLUKE_CALL_IPC_REQUEST_RECEIVE,          FLUKE_CALL_IPC_REPLY_WAIT_RECEIVE,
    FLUKE_CALL_IPC_SERVER_SEND_WAIT_RECEIVE, FLUKE_CALL_IPC_SERVER_ACK_SEND_WAIT_RECEIVE,
};
enum { WAITING_CALLS = sizeof waiting_calls / sizeof *waiting_calls };

static struct service service;
static fluke_mutex_t gate;
static fluke_ref_t server_ref, partner_ref, ref;
static fluke_ref_t *good_table;
static uint64_t bad_table, room;
static struct registers registers;
static bool is_registered;
static struct worker *server, *partner;

/* Names the port set, by receiving a message there, and waits at the gate; then takes its place, and makes the call. */
static void make_call(void *unused)
{
    struct fluke_ipc_params nothing = {0};

    (void)unused;
    if (is_registered)
        fluke_ipc_setup_wait_receive(&service.portset, &nothing, NULL);
    lock_and_unlock(&gate);
    if (registers.x[A7] == FLUKE_CALL_IPC_SERVER_SEND_WAIT_RECEIVE)
        fluke_thread_set_client(fluke_thread_self(), &partner_ref, FLUKE_THREAD_SERVER_SENDER);
    else if (registers.x[A7] == FLUKE_CALL_IPC_SERVER_ACK_SEND_WAIT_RECEIVE)
        fluke_thread_set_client(fluke_thread_self(), &partner_ref, 0);
    call_with(&registers);
}

/* The client of the connection that comes first, where there is one: it gives its place as the sender away. */
static void be_partner(void *unused)
{
    struct fluke_ipc_params nothing = {0};

    (void)unused;
    fluke_thread_set_server(fluke_thread_self(), &server_ref, FLUKE_THREAD_CLIENT_SENDER);
    fluke_ipc_client_over_receive(&nothing);
}

static void begin(uint64_t number)
{
    struct fluke_ipc_params nothing = {0};

    registers = (struct registers){.x = {[A0] = (uint64_t)&service.portset, [A7] = number}};
    good_table = &ref;
    open_service(&service);
    make_locked(&gate);
    fluke_ref_create(&server_ref);
    fluke_ref_create(&partner_ref);
    fluke_ref_create(&ref);
    server = start(make_call, NULL);
    if (is_registered)
        fluke_ipc_send(&service.ref, &nothing);
    fluke_thread_reference(&server->thread, &server_ref);
    partner = number == FLUKE_CALL_IPC_SERVER_ACK_SEND_WAIT_RECEIVE ? start(be_partner, NULL)
                                                                    : start(lock_and_unlock, &gate);
    fluke_thread_reference(&partner->thread, &partner_ref);
}

static void finish(void)
{
    end(partner);
    end(server);
    fluke_ref_destroy(&server_ref);
    fluke_ref_destroy(&partner_ref);
    fluke_ref_destroy(&ref);
    fluke_mutex_destroy(&gate);
    close_service(&service);
}

static void expect(uint64_t number, uint64_t status)
{
    if (!server->done || registers.x[A0] != status)
        fail("call 0x%lx: done %d, status %lu, not %lu", number, server->done, registers.x[A0], status);
}

static void expect_mistake(uint64_t number, uint64_t code)
{
    if (server->mistake.count != 1 || server->mistake.code != code)
        fail("call 0x%lx: %u mistakes, the last 0x%lx, not one 0x%lx", number, server->mistake.count,
             server->mistake.code, code);
    server->mistake.count = 0;
}

/* What arrives. */
static void connect_and_leave(void *unused)
{
    struct fluke_ipc_params nothing = {0};

    (void)unused;
    fluke_ipc_client_connect_send(&service.ref, &nothing);
    fluke_ipc_client_disconnect();
}

static void connect_and_send(void *unused)
{
    struct fluke_ipc_params params = {.send_buffer = &room, .send_words = 1};

    (void)unused;
    fluke_ipc_client_connect_send(&service.ref, &params);
}

static void connect_and_pass(void *unused)
{
    struct fluke_ipc_params params = {.send_ref_table = &good_table, .send_ref_count = 1};

    (void)unused;
    fluke_ipc_client_connect_send(&service.ref, &params);
}

static void send_and_pass(void *unused)
{
    struct fluke_ipc_params params = {.send_ref_table = &good_table, .send_ref_count = 1};

    (void)unused;
    fluke_ipc_send(&service.ref, &params);
}

static void receive_from_client(void)
{
    const struct { void (*arrive)(void *); uint64_t status; } arrivals[] = {
        {connect_and_leave, FLUKE_IPC_RECV_DISCONNECTED},
        {connect_and_send, FLUKE_IPC_RECV_MORE_DATA},
        {connect_and_pass, FLUKE_IPC_RECV_MORE_REFS},
    };

    is_registered = true;
    for (unsigned i = 0; i < WAITING_CALLS; i++) {
        for (size_t j = 0; j < sizeof arrivals / sizeof *arrivals; j++) {
            begin(waiting_calls[i]);
            fluke_mutex_unlock(&gate);
            struct worker *client = start(arrivals[j].arrive, NULL);
            expect(waiting_calls[i], arrivals[j].status);
            end(client);
            finish();
        }
    }
}

static const struct bad { void *address; uint64_t code; } bad[] = {
    {ODD(&ref), FLUKE_INSANITY_NOT_ALIGNED},
    {NOWHERE, FLUKE_EXCEPTION_LOAD_FAULT},
    {memory, FLUKE_INSANITY_NO_OBJECT},
    {&gate, FLUKE_INSANITY_NOT_REF},
};
enum { BAD = sizeof bad / sizeof *bad };

static void receive_in_bad_references(void)
{
    is_registered = true;
    for (unsigned i = 0; i < WAITING_CALLS; i++) {
        for (unsigned j = 0; j < BAD; j++) {
            begin(waiting_calls[i]);
            bad_table = (uint64_t)bad[j].address;
            registers.x[RECEIVE_REFS] = (uint64_t)&bad_table;
            registers.x[RECEIVE_REF_COUNT] = 1;
            fluke_mutex_unlock(&gate);
            struct worker *client = start(send_and_pass, NULL);
            expect_mistake(waiting_calls[i], bad[j].code);
            end(client);
            finish();
        }
    }
}

static void wait_without_portset(void)
{
    is_registered = false;
    for (unsigned i = 0; i < WAITING_CALLS; i++) {
        if (waiting_calls[i] != FLUKE_CALL_IPC_SETUP_WAIT_RECEIVE) {
            begin(waiting_calls[i]);
            fluke_mutex_unlock(&gate);
            expect_mistake(waiting_calls[i], FLUKE_INSANITY_NO_PORTSET);
            finish();
        }
    }
}

/* The port set that the thread has named is gone, and there may be something else in its place. */
static void wait_at_other_object(void)
{
    is_registered = true;
    for (unsigned i = 0; i < WAITING_CALLS; i++) {
        for (unsigned is_taken = 0; is_taken < 2; is_taken++) {
            fluke_mutex_t *mutex = (fluke_mutex_t *)&service.portset;

            begin(waiting_calls[i]);
            fluke_portset_destroy(&service.portset);
            if (is_taken)
                fluke_mutex_create(mutex);
            fluke_mutex_unlock(&gate);
            expect_mistake(waiting_calls[i], is_taken ? FLUKE_INSANITY_NOT_PORTSET : FLUKE_INSANITY_NO_OBJECT);
            if (is_taken)
                fluke_mutex_destroy(mutex);
            fluke_portset_create(&service.portset);
            finish();
        }
    }
}

/* A client that has room for a reference in the answer. */
static void call_for_reference(void *unused)
{
    struct fluke_ipc_params params = {.receive_ref_table = &good_table, .receive_ref_count = 1};

    (void)unused;
    fluke_ipc_call(&service.ref, &params);
}

static void reply_bad_references(void)
{
    const uint64_t replies[] = {FLUKE_CALL_IPC_REPLY, FLUKE_CALL_IPC_REPLY_WAIT_RECEIVE};

    is_registered = true;
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned j = 0; j < BAD; j++) {
            open_service(&service);
            struct fluke_ipc_params nothing = {0};
            good_table = &ref;
            fluke_mutex_create(&gate);
            fluke_ref_create(&ref);
            struct worker *client = start(call_for_reference, NULL);
            CHECK(fluke_ipc_setup_wait_receive(&service.portset, &nothing, NULL) == FLUKE_SUCCESS);
            bad_table = (uint64_t)bad[j].address;
            registers = (struct registers){.x = {[SEND_REFS] = (uint64_t)&bad_table, [SEND_REF_COUNT] = 1,
                                                 [A7] = replies[i]}};
            call_with(&registers);
            CHECK(runner.mistake.count == 1 && runner.mistake.code == bad[j].code);
            runner.mistake.count = 0;
            end(client);
            fluke_ref_destroy(&ref);
            fluke_mutex_destroy(&gate);
            close_service(&service);
        }
    }
}

const struct usertest arrival_tests[] = {
    {"arrival_client", "Does every wait for a message tell what the first message of a connection comes to?",
     receive_from_client},
    {"arrival_references", "Is every reference refused in which a wait cannot receive?", receive_in_bad_references},
    {"arrival_unnamed", "Is every wait refused of a thread that has named no port set?", wait_without_portset},
    {"arrival_elsewhere", "Is every wait refused where the port set is no more?", wait_at_other_object},
    {"arrival_answer", "Is every reference refused that an answer cannot pass?", reply_bad_references},
    {0},
};
