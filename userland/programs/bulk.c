/* Calls a server with long messages while another thread computes: bulk [CALLS] [KIB]. */

#include <ulib.h>

enum { STACK_SIZE = 4096 };

static fluke_portset_t portset;
static fluke_port_t port;
static fluke_ref_t port_ref;
static uint64_t words; /* in a message */

static uint64_t *new_message(void)
{
    uint64_t *message = calloc(words, sizeof *message);

    if (message == NULL) {
        puts("not enough memory for the messages");
        exit(1);
    }
    return message;
}

/* A thread: receives requests, and sends each back with its first word counted up. */
static void serve(void *unused)
{
    uint64_t *message = new_message();
    struct fluke_ipc_params params = {.receive_buffer = message, .receive_words = words};

    (void)unused;
    fluke_ipc_setup_wait_receive(&portset, &params, NULL);
    for (;;) {
        message[0]++;
        params = (struct fluke_ipc_params){.send_buffer = message,
                                           .send_words = params.words_received,
                                           .receive_buffer = message,
                                           .receive_words = words};
        fluke_ipc_reply_wait_receive(&params, NULL);
    }
}

/* A thread of the same priority: time slices end in the middle of messages because of it. */
static void compute(void *unused)
{
    (void)unused;
    for (volatile uint64_t count = 0;; count++)
        ;
}

static void open_port(void)
{
    struct fluke_port_state state = {.alias = 1};
    fluke_ref_t portset_ref;

    fluke_portset_create(&portset);
    fluke_port_create(&port);
    fluke_ref_create(&port_ref);
    fluke_ref_create(&portset_ref);
    fluke_portset_reference(&portset, &portset_ref);
    fluke_port_set_state(&port, &state, &portset_ref);
    fluke_port_reference(&port, &port_ref);
}

int main(int argc, char **argv)
{
    int calls = argc > 1 ? atoi(argv[1]) : 64;

    words = (argc > 2 ? (uint64_t)atoi(argv[2]) : 1024) * 1024 / sizeof(uint64_t);
    open_port();
    if (fluke_thread_start(serve, NULL, STACK_SIZE) == NULL || fluke_thread_start(compute, NULL, STACK_SIZE) == NULL)
        return 1;
    uint64_t *message = new_message();
    for (uint64_t i = 1; i < words; i++)
        message[i] = i;
    for (int call = 0; call < calls; call++) {
        struct fluke_ipc_params params = {
            .send_buffer = message, .send_words = words, .receive_buffer = message, .receive_words = words};
        if (fluke_ipc_call(&port_ref, &params) != FLUKE_SUCCESS || params.words_received != words)
            return 1;
    }
    for (uint64_t i = 1; i < words; i++)
        if (message[i] != i)
            return 1;
    printf("%lu messages of %lu words went there and back, every word whole\n", message[0], words);
    return 0;
}
