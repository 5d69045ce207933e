/* Counts primes with several threads that report to the first one over a port: primes [LIMIT] [THREADS]. */

#include <ulib.h>

enum { MOST_THREADS = 16, STACK_SIZE = 4096 };

struct share {
    uint64_t index, first, end; /* this thread's numbers: first <= n < end */
};

static fluke_portset_t portset;
static fluke_port_t port;
static fluke_ref_t port_ref;

static bool is_prime(uint64_t n)
{
    if (n < 4 || n % 2 == 0)
        return n == 2 || n == 3;
    for (uint64_t divisor = 3; divisor * divisor <= n; divisor += 2)
        if (n % divisor == 0)
            return false;
    return true;
}

/* A thread: counts its share and tells the first thread, which answers with an empty message. */
static void count_share(void *argument)
{
    const struct share *share = argument;
    uint64_t count = 0;

    for (uint64_t n = share->first; n < share->end; n++)
        count += is_prime(n);
    uint64_t report[] = {share->index, count};
    struct fluke_ipc_params params = {.send_buffer = report, .send_words = 2};
    fluke_ipc_call(&port_ref, &params);
}

/* Makes a port in a port set, and a reference that the other threads call. */
static bool open_port(void)
{
    struct fluke_port_state state = {.alias = 1};
    fluke_ref_t portset_ref;

    if (fluke_portset_create(&portset) != FLUKE_SUCCESS || fluke_port_create(&port) != FLUKE_SUCCESS
        || fluke_ref_create(&port_ref) != FLUKE_SUCCESS || fluke_ref_create(&portset_ref) != FLUKE_SUCCESS)
        return false;
    fluke_portset_reference(&portset, &portset_ref);
    fluke_port_set_state(&port, &state, &portset_ref);
    fluke_port_reference(&port, &port_ref);
    return true;
}

/* Receives one report from each thread. A report that arrives twice says the same: its place is its index. */
static void collect(uint64_t *counts, unsigned threads)
{
    bool reported[MOST_THREADS] = {false};
    uint64_t report[2];
    struct fluke_ipc_params params = {.receive_buffer = report, .receive_words = 2};

    fluke_ipc_setup_wait_receive(&portset, &params, NULL);
    for (unsigned missing = threads; missing > 0;) {
        if (params.words_received == 2 && report[0] < threads) {
            counts[report[0]] = report[1];
            missing -= !reported[report[0]];
            reported[report[0]] = true;
        }
        params = (struct fluke_ipc_params){.receive_buffer = report, .receive_words = 2};
        if (missing > 0)
            fluke_ipc_reply_wait_receive(&params, NULL);
    }
    fluke_ipc_reply(&params);
}

int main(int argc, char **argv)
{
    int limit = argc > 1 ? atoi(argv[1]) : 100000, threads = argc > 2 ? atoi(argv[2]) : 2;
    struct share shares[MOST_THREADS];
    uint64_t counts[MOST_THREADS], total = 0;

    if (limit < 0 || threads < 1 || threads > MOST_THREADS) {
        printf("usage: primes [LIMIT] [THREADS], at most %d threads\n", MOST_THREADS);
        return 2;
    }
    if (!open_port())
        return 1;
    for (int i = 0; i < threads; i++) {
        shares[i] = (struct share){(uint64_t)i, (uint64_t)limit * i / threads, (uint64_t)limit * (i + 1) / threads};
        if (fluke_thread_start(count_share, &shares[i], STACK_SIZE) == NULL)
            return 1;
    }
    collect(counts, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        printf("thread %d: %lu primes from %lu to %lu\n", i, counts[i], shares[i].first, shares[i].end);
        total += counts[i];
    }
    printf("%lu primes below %d\n", total, limit);
    return 0;
}
