/* Repeats one small operation, for measurements: pingpong_bench null|switch|ipc|ipc-client|ipc-server COUNT. */

#include <ulib.h>

enum { STACK_SIZE = 4096 };

static long count;
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

static void serve(void *portset)
{
    uint64_t word;
    struct fluke_ipc_params params = {.receive_buffer = &word, .receive_words = 1};

    fluke_ipc_setup_wait_receive(portset, &params, NULL);
    for (;;) {
        params = (struct fluke_ipc_params){
            .send_buffer = &word, .send_words = 1, .receive_buffer = &word, .receive_words = 1};
        fluke_ipc_reply_wait_receive(&params, NULL);
    }
}

static void call(fluke_ref_t *destination)
{
    for (long i = 0; i < count; i++) {
        uint64_t request = (uint64_t)i, reply = 0;
        struct fluke_ipc_params params = {
            .send_buffer = &request, .send_words = 1, .receive_buffer = &reply, .receive_words = 1};

        if (fluke_ipc_call(destination, &params) != FLUKE_SUCCESS || reply != request) {
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
    call(&own_port_ref);
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

static void ipc_client(void) { call(object_from_environment("FLUKE_PORT_REF")); }
static void ipc_server(void) { serve(object_from_environment("FLUKE_PORTSET")); }

static const struct {
    const char *name;
    void (*run)(void);
} operations[] = {
    {"null", null},
    {"switch", switch_threads},
    {"ipc", ipc},
    {"ipc-client", ipc_client},
    {"ipc-server", ipc_server},
};

int main(int argc, char **argv)
{
    count = argc > 2 ? atoi(argv[2]) : 1000;
    for (size_t i = 0; argc > 1 && i < sizeof operations / sizeof *operations; i++) {
        if (strcmp(argv[1], operations[i].name) == 0) {
            operations[i].run();
            printf("%s: %ld times\n", argv[1], count);
            return 0;
        }
    }
    puts("usage: pingpong_bench null|switch|ipc|ipc-client|ipc-server [COUNT]");
    return 2;
}
