/* Shares the processor among threads as they were promised: fairshare [-q QUANTA] [SHARE...]. */

/*
 * The first thread is the scheduler of the others, which compute for ever and have no time but what it gives them. Each
 * tells it once, by a message of the kernel's, that it is ready. The scheduler then gives a quantum at a time to the one
 * that has had least for its share (stride scheduling); the call that gives it says how much was used.
 */

#include <ulib.h>

enum { MOST_THREADS = 8, DEFAULT_THREADS = 3, MOST_SHARES = 1000, MOST_QUANTA = 1000000, STACK_SIZE = 4096 };
enum { QUANTUM = 20000, QUANTA = 1000, PASS_SCALE = 1000 }; /* instructions; how many quanta by default */

static struct client {
    fluke_thread_t *thread;
    long share;
    uint64_t used;            /* instructions, as the scheduler measures them */
    volatile uint64_t rounds; /* as the thread itself does */
    uint64_t pass;            /* what it has used, divided by its share */
    bool ready;
} clients[MOST_THREADS];

static unsigned count;
static fluke_portset_t portset;
static fluke_port_t port;
static fluke_ref_t port_ref;

static void compute(void *client)
{
    for (;;)
        ((struct client *)client)->rounds++;
}

/* Starts a client's thread and puts it under the scheduler, by its state; its number is its place in the table. */
static void start(struct client *client)
{
    struct fluke_thread_state state;

    client->thread = fluke_thread_start(compute, client, STACK_SIZE);
    if (client->thread == NULL)
        exit(1);
    fluke_thread_get_state(client->thread, &state, NULL, NULL, NULL, NULL, NULL);
    state.sched_val = (uint64_t)(client - clients);
    fluke_thread_set_state(client->thread, &state, NULL, &port_ref, NULL, NULL, NULL);
}

/* Waits for a thread that has become ready. */
static void receive(void)
{
    struct fluke_schedule_message message;
    struct fluke_ipc_params params = {.receive_buffer = &message, .receive_words = sizeof message / FLUKE_WORD_SIZE};
    uintptr_t alias;

    fluke_ipc_setup_wait_receive(&portset, &params, &alias);
    if (params.message_kind == FLUKE_MESSAGE_SCHEDULE && message.sched_val < count)
        clients[message.sched_val].ready = true;
}

/* The ready client that has had least for its share; a null pointer if none is ready. */
static struct client *choose(void)
{
    struct client *chosen = NULL;

    for (struct client *client = clients; client < clients + count; client++)
        if (client->ready && (chosen == NULL || client->pass < chosen->pass))
            chosen = client;
    return chosen;
}

/* Gives a client a quantum; false if the call ended before that was used. */
static bool give(struct client *client)
{
    uint64_t left = QUANTUM;
    fluke_error_t error = fluke_thread_schedule(client->thread, &left, FLUKE_SCHEDULE_ON_REQUEST);
    uint64_t used = QUANTUM - left; /* a system call may overdraw a quantum: then this is more than it */

    client->used += used;
    client->pass += used * PASS_SCALE / (uint64_t)client->share;
    if (error == FLUKE_THREAD_REQUESTED)
        receive();
    else if (error != FLUKE_SUCCESS)
        client->ready = false;
    return error == FLUKE_SUCCESS;
}

static void schedule(long quanta)
{
    while (quanta > 0) {
        struct client *client = choose();

        if (client == NULL)
            receive();
        else if (give(client))
            quanta--;
    }
}

static void tell(void)
{
    uint64_t shares = 0, used = 0, rounds = 0;

    for (unsigned i = 0; i < count; i++) {
        shares += (uint64_t)clients[i].share;
        used += clients[i].used;
        rounds += clients[i].rounds;
    }
    for (unsigned i = 0; i < count; i++) {
        uint64_t of_time = clients[i].used * 1000 / used, of_rounds = clients[i].rounds * 1000 / rounds;

        printf("thread %u: %ld of %lu shares, %lu.%lu %% of the time, %lu.%lu %% of the rounds\n", i + 1,
               clients[i].share, shares, of_time / 10, of_time % 10, of_rounds / 10, of_rounds % 10);
    }
}

static bool read_arguments(int argc, char **argv, long *quanta)
{
    int next = 1;

    if (argc > 1 && strcmp(argv[1], "-q") == 0) {
        if (argc < 3 || !fluke_number(argv[2], 1, MOST_QUANTA, quanta))
            return false;
        next = 3;
    }
    if (argc - next > MOST_THREADS)
        return false;
    for (; next < argc; next++)
        if (!fluke_number(argv[next], 1, MOST_SHARES, &clients[count++].share))
            return false;
    if (count == 0)
        for (; count < DEFAULT_THREADS; count++)
            clients[count].share = count + 1;
    return true;
}

int main(int argc, char **argv)
{
    long quanta = QUANTA;

    if (!read_arguments(argc, argv, &quanta)) {
        printf("usage: fairshare [-q QUANTA] [SHARE...], of at most %d threads\n", MOST_THREADS);
        return 2;
    }
    fluke_portset_create(&portset);
    if (!fluke_open_port(&port, &portset, 0, &port_ref))
        return 1;
    for (unsigned i = 0; i < count; i++)
        start(&clients[i]);
    schedule(quanta);
    tell();
    return 0;
}
