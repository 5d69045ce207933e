/* Ports and port sets: destinations that are not there, move, or go away. */

#include "usertests.h"

static struct service service;
static fluke_port_t port;
static fluke_portset_t portset;
static fluke_ref_t ref, null_ref;

static void make_new_port(void)
{
    struct fluke_port_state state;
    uint64_t hash = 0x9047;

    fluke_ref_create(&ref);
    CHECK(fluke_port_create(&port) == FLUKE_SUCCESS);
    fluke_port_get_state(&port, &state, &ref);
    CHECK(state.hash != 0 && state.alias == 0 && fluke_ref_type(&ref) == FLUKE_NULL);
    fluke_port_reference(&port, &ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_PORT && fluke_ref_hash(&ref) == state.hash);
    fluke_port_destroy(&port);
    CHECK(fluke_port_create_hash(&port, &hash) == FLUKE_SUCCESS);
    fluke_port_get_state(&port, &state, NULL);
    CHECK(state.hash == 0x9047);
    fluke_port_destroy(&port);
    fluke_ref_destroy(&ref);
}

static void make_new_portset(void)
{
    struct fluke_portset_state state;
    uint64_t hash = 0x9047537;

    fluke_ref_create(&ref);
    CHECK(fluke_portset_create(&portset) == FLUKE_SUCCESS);
    fluke_portset_get_state(&portset, &state);
    CHECK(state.hash != 0);
    fluke_portset_reference(&portset, &ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_PORTSET && fluke_ref_hash(&ref) == state.hash);
    state.hash = 1;
    fluke_portset_set_state(&portset, &state);
    CHECK(fluke_ref_hash(&ref) != 1); /* a hash is for ever */
    fluke_portset_destroy(&portset);
    CHECK(fluke_portset_create_hash(&portset, &hash) == FLUKE_SUCCESS);
    fluke_portset_get_state(&portset, &state);
    CHECK(state.hash == 0x9047537);
    fluke_portset_destroy(&portset);
    fluke_ref_destroy(&ref);
}

static void load_port(void)
{
    struct fluke_port_state state = {.alias = 0x1234567890}, after;

    fluke_ref_create(&ref);
    fluke_ref_create(&null_ref);
    fluke_port_create(&port);
    fluke_portset_create(&portset);
    fluke_portset_reference(&portset, &ref);
    fluke_port_set_state(&port, &state, &ref);
    fluke_port_set_state(&port, NULL, NULL);
    fluke_port_get_state(&port, &after, &null_ref);
    CHECK(after.alias == state.alias && fluke_ref_compare(&ref, &null_ref));
    fluke_portset_destroy(&portset);
    fluke_port_get_state(&port, NULL, &null_ref);
    CHECK(fluke_ref_type(&null_ref) == FLUKE_NULL);
    fluke_port_destroy(&port);
    fluke_ref_destroy(&null_ref);
    fluke_ref_destroy(&ref);
}

static void find_no_port(void)
{
    fluke_port_t *wrong_port = (fluke_port_t *)&portset;
    fluke_portset_t *wrong_portset = (fluke_portset_t *)&port;

    fluke_port_create(&port);
    fluke_portset_create(&portset);
    CHECK_MISTAKE(fluke_port_get_state(wrong_port, NULL, NULL), FLUKE_INSANITY_NOT_PORT, wrong_port);
    CHECK_MISTAKE(fluke_port_destroy(wrong_port), FLUKE_INSANITY_NOT_PORT, wrong_port);
    CHECK_MISTAKE(fluke_portset_get_state(wrong_portset, NULL), FLUKE_INSANITY_NOT_PORTSET, wrong_portset);
    CHECK_MISTAKE(fluke_portset_destroy(wrong_portset), FLUKE_INSANITY_NOT_PORTSET, wrong_portset);
    CHECK_MISTAKE(fluke_port_set_state(&port, NULL, fluke_start_block->timer_ref), FLUKE_INSANITY_NOT_PORTSET_REF,
                  fluke_start_block->timer_ref);
    fluke_portset_destroy(&portset);
    fluke_port_destroy(&port);
}

static void call_nowhere(void)
{
    struct fluke_ipc_params params = {0};

    open_service(&service);
    fluke_ref_create(&null_ref);
    CHECK(fluke_ipc_call(&null_ref, &params) == FLUKE_IPC_CONNECT_INVALID_DEST);
    CHECK(fluke_ipc_send(&null_ref, &params) == FLUKE_INVALID_DEST);
    CHECK(fluke_ipc_call(fluke_start_block->space_ref, &params) == FLUKE_IPC_CONNECT_INVALID_DEST);
    CHECK(fluke_ipc_send(fluke_start_block->space_ref, &params) == FLUKE_INVALID_DEST);
    fluke_port_destroy(&service.port);
    CHECK(fluke_ipc_call(&service.ref, &params) == FLUKE_IPC_CONNECT_INVALID_DEST);
    CHECK(fluke_ipc_send(&service.ref, &params) == FLUKE_INVALID_DEST);
    fluke_port_create(&service.port);
    fluke_ref_destroy(&null_ref);
    close_service(&service);
}

static void destroy_called_port(void)
{
    struct exchange call = {.service = &service, .status = -1}, send = call;

    open_service(&service);
    struct worker *caller = start(call_service, &call), *sender = start(send_to_service, &send);
    CHECK(waits_for(caller) == FLUKE_PORT && waits_for(sender) == FLUKE_PORT);
    fluke_port_destroy(&service.port);
    CHECK(caller->done && call.status == FLUKE_IPC_CONNECT_INVALID_DEST);
    CHECK(sender->done && send.status == FLUKE_INVALID_DEST);
    end(caller);
    end(sender);
    fluke_port_create(&service.port);
    close_service(&service);
}

static void move_called_port(void)
{
    struct exchange exchange = {.service = &service, .request = 1};

    open_service(&service);
    struct worker *client = start(call_service, &exchange);
    fluke_port_move(&service.port, &port);
    CHECK(waits_for(client) == FLUKE_PORT);
    serve_once(&exchange);
    CHECK(client->done && exchange.status == FLUKE_SUCCESS);
    end(client);
    fluke_port_move(&port, &service.port);
    close_service(&service);
}

/* A port without a set keeps its callers waiting; they are served where it goes. */
static void change_portset(void)
{
    struct exchange exchange = {.service = &service, .request = 1, .status = -1};

    open_service(&service);
    fluke_ref_create(&null_ref);
    fluke_ref_create(&ref);
    fluke_port_set_state(&service.port, NULL, &null_ref);
    struct worker *server = start(serve_once, &exchange), *client = start(call_service, &exchange);
    CHECK(waits_for(server) == FLUKE_PORTSET && waits_for(client) == FLUKE_PORT);
    fluke_portset_reference(&service.portset, &ref);
    fluke_port_set_state(&service.port, NULL, &ref);
    CHECK(client->done && server->done && exchange.reply == 2);
    end(client);
    end(server);
    fluke_ref_destroy(&ref);
    fluke_ref_destroy(&null_ref);
    close_service(&service);
}

/* The clients of a port set wait on; its servers have none to serve any more. */
static void destroy_served_portset(void)
{
    struct exchange exchange = {.service = &service, .request = 1, .status = -1};

    open_service(&service);
    fluke_ref_create(&ref);
    struct worker *server = start(serve_once, &exchange);
    fluke_portset_destroy(&service.portset);
    CHECK(server->done);
    CHECK_MISTAKE_OF(server, FLUKE_INSANITY_NO_OBJECT, &service.portset);
    struct worker *client = start(call_service, &exchange);
    CHECK(waits_for(client) == FLUKE_PORT);
    fluke_portset_create(&service.portset);
    fluke_portset_reference(&service.portset, &ref);
    fluke_port_set_state(&service.port, NULL, &ref);
    CHECK(waits_for(client) == FLUKE_PORT);
    serve_once(&exchange);
    CHECK(client->done && exchange.status == FLUKE_SUCCESS);
    end(client);
    end(server);
    fluke_ref_destroy(&ref);
    close_service(&service);
}

static void move_served_portset(void)
{
    struct exchange exchange = {.service = &service, .request = 1};

    open_service(&service);
    struct worker *server = start(serve_once, &exchange);
    fluke_portset_move(&service.portset, &portset);
    CHECK_MISTAKE_OF(server, FLUKE_INSANITY_NO_OBJECT, &service.portset);
    end(server);
    struct worker *client = start(call_service, &exchange);
    fluke_portset_move(&portset, &service.portset);
    serve_once(&exchange);
    CHECK(client->done && exchange.status == FLUKE_SUCCESS); /* the client did not notice */
    end(client);
    close_service(&service);
}

static void tell_ports_apart(void)
{
    struct service second = {0};
    struct exchange one = {.service = &service}, two = {.service = &second};
    struct fluke_port_state state = {.alias = 2};

    open_service(&service);
    fluke_ref_create(&second.ref);
    fluke_port_create(&second.port);
    fluke_portset_reference(&service.portset, &second.ref);
    fluke_port_set_state(&second.port, &state, &second.ref);
    fluke_port_reference(&second.port, &second.ref);
    struct worker *first_client = start(call_service, &one), *second_client = start(send_to_service, &two);
    serve_once(&one);
    two.service = &service;
    serve_once(&two);
    CHECK(one.alias == SERVICE_ALIAS && one.kind == FLUKE_MESSAGE_IDEMPOTENT);
    CHECK(two.alias == 2 && two.kind == FLUKE_MESSAGE_ONE_WAY);
    end(first_client);
    end(second_client);
    fluke_port_destroy(&second.port);
    fluke_ref_destroy(&second.ref);
    close_service(&service);
}

static void receive_without_portset(void *unused)
{
    struct fluke_ipc_params params = {0};

    (void)unused;
    fluke_ipc_wait_receive(&params, NULL);
}

static void serve_nothing(void)
{
    struct fluke_ipc_params params = {0};
    struct worker *worker = start(receive_without_portset, NULL);

    CHECK_MISTAKE_OF(worker, FLUKE_INSANITY_NO_PORTSET, 0);
    end(worker);
    fluke_port_create(&port);
    CHECK_MISTAKE(fluke_ipc_setup_wait_receive((fluke_portset_t *)&port, &params, NULL), FLUKE_INSANITY_NOT_PORTSET,
                  &port);
    CHECK_MISTAKE(fluke_ipc_setup_wait_receive(&portset, &params, NULL), FLUKE_INSANITY_NO_OBJECT, &portset);
    fluke_port_destroy(&port);
}

const struct usertest port_tests[] = {
    {"port_new", "What is a port that was only created?", make_new_port},
    {"portset_new", "What is a port set that was only created?", make_new_portset},
    {"port_load", "Are a port's alias and port set kept?", load_port},
    {"port_none", "What if there is no port, or no port set, at the address?", find_no_port},
    {"port_invalid", "What if the destination of a message is no port, or is gone?", call_nowhere},
    {"port_destroy_called", "What do the callers of a port get that is destroyed?", destroy_called_port},
    {"port_move_called", "Are the callers of a port served although it is moved?", move_called_port},
    {"port_change_set", "Are the callers of a port served where it goes?", change_portset},
    {"port_alias", "Can a server tell the ports of its set apart?", tell_ports_apart},
    {"portset_destroy_served", "What becomes of servers and clients of a port set that is destroyed?",
     destroy_served_portset},
    {"portset_move_served", "What becomes of servers and clients of a port set that is moved?", move_served_portset},
    {"portset_not_named", "What if a thread receives that has named no port set?", serve_nothing},
    {0},
};
