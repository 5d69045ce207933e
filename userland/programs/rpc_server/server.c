/* The server: a pool of threads on one port set, with a port for the directory and one for each counter. */

#include "rpc_server.h"

enum { SERVERS = 3, STACK_SIZE = 4096, MOST_COUNTERS = MOST_CLIENTS + 1 };
enum { DIRECTORY = 0 }; /* alias of the directory's port; the others are those of counters, from 1 on */

struct counter {
    bool is_open;
    uint64_t client, last, sum; /* the client's number, that of the last addition, and the sum */
    fluke_port_t port;
    fluke_ref_t ref, owner; /* to its port, and to its client's thread */
};

/* What a server thread has in hand. */
struct server {
    uint64_t request[REQUEST_WORDS], reply[REPLY_WORDS];
    fluke_ref_t received, *slot; /* a reference that a client gives */
    fluke_ref_t given, *answer;  /* a reference that it gets */
    bool has_received, has_answer;
};

static fluke_mutex_t mutex; /* guards what follows */
static struct counter counters[MOST_COUNTERS];
static struct tally tally;
static unsigned holding; /* servers in the middle of a call that asks for it: two, where a call has come again */
static bool is_let_go;
static fluke_cond_t hold_changed;

static fluke_portset_t portset;
static fluke_port_t directory;
static struct server servers[SERVERS];
static fluke_thread_t *threads[SERVERS];

static void destroy_counter(struct counter *counter)
{
    fluke_port_destroy(&counter->port);
    fluke_ref_destroy(&counter->ref);
    fluke_ref_destroy(&counter->owner);
    counter->is_open = false;
}

/* Makes a counter's port, and the references that belong to it; false if there is no memory. */
static bool create_counter(struct counter *counter, uintptr_t alias)
{
    if (fluke_ref_create(&counter->owner) != FLUKE_SUCCESS)
        return false;
    if (!fluke_open_port(&counter->port, &portset, alias, &counter->ref)) {
        fluke_ref_destroy(&counter->owner);
        return false;
    }
    counter->is_open = true;
    counter->last = counter->sum = 0;
    return true;
}

/* Takes back the counters of clients that are gone. */
static void take_back(void)
{
    for (struct counter *counter = counters; counter < counters + MOST_COUNTERS; counter++) {
        if (counter->is_open && !fluke_ref_check(&counter->owner)) {
            destroy_counter(counter);
            tally.taken_back++;
        }
    }
}

/* The counter of a client, or one that nobody has; null if there is none. */
static struct counter *find_counter(uint64_t client)
{
    struct counter *unused = NULL;

    for (struct counter *counter = counters; counter < counters + MOST_COUNTERS; counter++) {
        if (counter->is_open && counter->client == client)
            return counter;
        if (!counter->is_open && unused == NULL)
            unused = counter;
    }
    return unused;
}

static uint64_t answer_open(struct server *server)
{
    if (!server->has_received || fluke_ref_type(&server->received) != FLUKE_THREAD)
        return BAD_REFERENCE;
    take_back();
    struct counter *counter = find_counter(server->request[1]);
    if (counter == NULL)
        return TOO_MANY;
    if (!counter->is_open) {
        if (!create_counter(counter, (uintptr_t)(counter - counters) + 1))
            return TOO_MANY;
        counter->client = server->request[1];
        fluke_ref_copy(&server->received, &counter->owner);
        tally.opened++;
    }
    fluke_ref_copy(&counter->ref, &server->given);
    server->has_answer = true;
    return DONE;
}

static uint64_t answer_add(struct server *server, struct counter *counter)
{
    if (server->request[1] == counter->last + 1) {
        counter->last = server->request[1];
        counter->sum += server->request[2];
    }
    server->reply[1] = counter->sum;
    return DONE;
}

/* Holds the client in its call until it is let go. */
static uint64_t answer_hold(void)
{
    holding++;
    fluke_cond_broadcast(&hold_changed);
    while (!is_let_go)
        fluke_cond_wait(&hold_changed, &mutex);
    holding--;
    fluke_cond_broadcast(&hold_changed);
    return DONE;
}

void wait_held(void)
{
    fluke_mutex_lock(&mutex);
    while (holding == 0)
        fluke_cond_wait(&hold_changed, &mutex);
    fluke_mutex_unlock(&mutex);
}

void let_go(void)
{
    fluke_mutex_lock(&mutex);
    is_let_go = true;
    fluke_cond_broadcast(&hold_changed);
    while (holding > 0)
        fluke_cond_wait(&hold_changed, &mutex);
    fluke_mutex_unlock(&mutex);
}

static uint64_t answer_close(struct counter *counter)
{
    destroy_counter(counter);
    tally.closed++;
    return DONE;
}

/* Does what is asked of the object that an alias names. A port may be gone when its message is looked at. */
static uint64_t answer(struct server *server, uintptr_t alias)
{
    struct counter *counter = &counters[alias - 1];

    if (alias == DIRECTORY)
        return server->request[0] == OPEN ? answer_open(server) : BAD_REQUEST;
    if (!counter->is_open)
        return BAD_REQUEST;
    switch (server->request[0]) {
    case ADD: return answer_add(server, counter);
    case HOLD: return answer_hold();
    case CLOSE: return answer_close(counter);
    default: return BAD_REQUEST;
    }
}

/* What a server calls with: its answer, which it makes only once, and its room. */
static struct fluke_ipc_params reply_and_room(struct server *server)
{
    return (struct fluke_ipc_params){.send_buffer = server->reply,
                                     .send_words = REPLY_WORDS,
                                     .send_ref_table = &server->answer,
                                     .send_ref_count = server->has_answer,
                                     .receive_buffer = server->request,
                                     .receive_words = REQUEST_WORDS,
                                     .receive_ref_table = &server->slot,
                                     .receive_ref_count = 1};
}

/* A thread of the pool. */
static void serve(void *argument)
{
    struct server *server = argument;
    struct fluke_ipc_params params = reply_and_room(server);
    uintptr_t alias;

    fluke_ipc_setup_wait_receive(&portset, &params, &alias);
    for (;;) {
        server->has_received = params.receive_ref_count == 0;
        server->has_answer = false;
        server->reply[1] = 0;
        fluke_mutex_lock(&mutex);
        server->reply[0] = params.words_received == REQUEST_WORDS ? answer(server, alias) : BAD_REQUEST;
        fluke_mutex_unlock(&mutex);
        params = reply_and_room(server);
        fluke_ipc_reply_wait_receive(&params, &alias);
    }
}

static bool start_server(unsigned i)
{
    struct server *server = &servers[i];

    server->slot = &server->received;
    server->answer = &server->given;
    if (fluke_ref_create(&server->received) != FLUKE_SUCCESS || fluke_ref_create(&server->given) != FLUKE_SUCCESS)
        return false;
    threads[i] = fluke_thread_start(serve, server, STACK_SIZE);
    return threads[i] != NULL;
}

bool open_server(fluke_ref_t *directory_ref)
{
    if (fluke_mutex_create(&mutex) != FLUKE_SUCCESS || fluke_cond_create(&hold_changed) != FLUKE_SUCCESS
        || fluke_portset_create(&portset) != FLUKE_SUCCESS
        || !fluke_open_port(&directory, &portset, DIRECTORY, directory_ref))
        return false;
    for (unsigned i = 0; i < SERVERS; i++)
        if (!start_server(i))
            return false;
    return true;
}

struct tally close_server(fluke_ref_t *directory_ref)
{
    take_back();
    for (unsigned i = 0; i < SERVERS; i++) {
        fluke_thread_end(threads[i]);
        fluke_ref_destroy(&servers[i].received);
        fluke_ref_destroy(&servers[i].given);
    }
    fluke_ref_destroy(directory_ref);
    fluke_port_destroy(&directory);
    fluke_portset_destroy(&portset);
    fluke_cond_destroy(&hold_changed);
    fluke_mutex_destroy(&mutex);
    return tally;
}
