/* Repeats one small operation, for measurements: pingpong_bench OPERATION COUNT [WORDS]; the table is at the end. */

#include <ulib.h>

enum { STACK_SIZE = 4096, WORDS_MAX = 1 << 20 };

static long count;
static uint64_t word_count = 1; /* in a request; a reply has one word */
static uint64_t *request;
static bool is_brief; /* whether the server ends a connection with its first reply */
static fluke_mutex_t mutex;
static fluke_portset_t own_portset;
static fluke_port_t own_port;
static fluke_ref_t own_port_ref;

/* The least system call. */
static void null(void)
{
    for (long i = 0; i < count; i++)
        fluke_thread_self();
}

/* Unlocking gives the mutex to the other thread, locking then waits for it: one switch each time. */
static void hand_over(void *unused)
{
    (void)unused;
    for (long i = 0; i < count; i++) {
        fluke_mutex_lock(&mutex);
        fluke_mutex_unlock(&mutex);
    }
}

static void switch_threads(void)
{
    fluke_mutex_create(&mutex);
    fluke_mutex_lock(&mutex);
    fluke_thread_start(hand_over, NULL, STACK_SIZE);
    fluke_sleep_us(1000); /* the other one waits for the mutex now */
    fluke_mutex_unlock(&mutex);
    hand_over(NULL);
}

/* Serves calls, and connections: one request on each, or until the client ends it. */
static void serve(void *portset)
{
    struct fluke_ipc_params first = {.receive_buffer = request, .receive_words = word_count};
    struct fluke_ipc_params params = first;

    fluke_ipc_setup_wait_receive(portset, &params, NULL);
    for (;;) {
        uint64_t kind = params.message_kind;

        params = first;
        params.send_buffer = request;
        params.send_words = 1;
        if (kind != FLUKE_MESSAGE_RELIABLE) {
            fluke_ipc_reply_wait_receive(&params, NULL);
        } else if (is_brief) {
            fluke_ipc_server_ack_send_wait_receive(&params, NULL);
        } else if (fluke_ipc_server_ack_send_over_receive(&params) == FLUKE_SUCCESS) {
            params.message_kind = kind;
        } else {
            params = first;
            fluke_ipc_wait_receive(&params, NULL);
        }
    }
}

/* Ways to ask a server. */
static fluke_error_t call(fluke_ref_t *destination, struct fluke_ipc_params *params) /* idempotent */
{
    return fluke_ipc_call(destination, params);
}

static fluke_error_t keep(fluke_ref_t *destination, struct fluke_ipc_params *params) /* one connection for all */
{
    static bool is_connected;

    if (is_connected)
        return fluke_ipc_client_ack_send_over_receive(params);
    is_connected = true;
    return fluke_ipc_client_connect_send_over_receive(destination, params);
}

static fluke_error_t connect(fluke_ref_t *destination, struct fluke_ipc_params *params) /* one for each request */
{
    fluke_error_t status = fluke_ipc_client_connect_send_over_receive(destination, params);

    if (status == FLUKE_IPC_RECV_DISCONNECTED) /* the server has ended it, after its reply */
        return FLUKE_SUCCESS;
    fluke_ipc_client_disconnect();
    return status;
}

static void ask(fluke_error_t (*way)(fluke_ref_t *, struct fluke_ipc_params *), fluke_ref_t *destination)
{
    for (long i = 0; i < count; i++) {
        uint64_t reply = ~0ul;
        struct fluke_ipc_params params = {
            .send_buffer = request, .send_words = word_count, .receive_buffer = &reply, .receive_words = 1};

        request[0] = (uint64_t)i;
        if (way(destination, &params) != FLUKE_SUCCESS || reply != (uint64_t)i) {
            puts("wrong reply");
            exit(1);
        }
    }
}

static void ipc(void)
{
    struct fluke_port_state state = {.alias = 1};
    fluke_ref_t portset_ref;

    fluke_portset_create(&own_portset);
    fluke_port_create(&own_port);
    fluke_ref_create(&own_port_ref);
    fluke_ref_create(&portset_ref);
    fluke_portset_reference(&own_portset, &portset_ref);
    fluke_port_set_state(&own_port, &state, &portset_ref);
    fluke_port_reference(&own_port, &own_port_ref);
    fluke_thread_start(serve, &own_portset, STACK_SIZE);
    ask(call, &own_port_ref);
}

/* For two spaces: whoever starts the programs makes the objects and gives their addresses as decimal numbers. */
static void *object_from_environment(const char *name)
{
    char *address = getenv(name);

    if (address == NULL) {
        printf("%s is not set\n", name);
        exit(2);
    }
    return (void *)atol(address);
}

static void call_client(void) { ask(call, object_from_environment("FLUKE_PORT_REF")); }
static void keep_client(void) { ask(keep, object_from_environment("FLUKE_PORT_REF")); }
static void connect_client(void) { ask(connect, object_from_environment("FLUKE_PORT_REF")); }
static void server(void) { serve(object_from_environment("FLUKE_PORTSET")); }
static void brief_server(void)
{
    is_brief = true;
    server();
}

static const struct {
    const char *name;
    void (*run)(void);
} operations[] = {
    {"null", null},
    {"switch", switch_threads},
    {"ipc", ipc},
    {"call-client", call_client},
    {"keep-client", keep_client},
    {"connect-client", connect_client},
    {"server", server},
    {"brief-server", brief_server},
};

int main(int argc, char **argv)
{
    count = argc > 2 ? atoi(argv[2]) : 1000;
    if (argc > 3)
        word_count = (uint64_t)atoi(argv[3]);
    if (word_count < 1 || word_count > WORDS_MAX || (request = malloc(word_count * sizeof *request)) == NULL) {
        printf("WORDS is from 1 to %d, and has to fit into memory\n", WORDS_MAX);
        return 2;
    }
    memset(request, 1, word_count * sizeof *request);
    for (size_t i = 0; argc > 1 && i < sizeof operations / sizeof *operations; i++) {
        if (strcmp(argv[1], operations[i].name) == 0) {
            operations[i].run();
            printf("%s: %ld times\n", argv[1], count);
            return 0;
        }
    }
    puts("usage: pingpong_bench null|switch|ipc|call-client|keep-client|connect-client|server|brief-server [COUNT [WORDS]]");
    return 2;
}
