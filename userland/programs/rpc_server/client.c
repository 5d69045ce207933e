/* Clients. Each is the thread of a space of its own, and has nothing but its memory and what it is given there. */

#include "rpc_server.h"

struct call {
    uint64_t request[REQUEST_WORDS], reply[REPLY_WORDS];
};

/* Calls a port, with or without a reference to give and one to get; returns the verdict. */
static uint64_t call(struct call *call, fluke_ref_t *port, fluke_ref_t *given, fluke_ref_t *wanted)
{
    struct fluke_ipc_params params = {.send_buffer = call->request,
                                      .send_words = REQUEST_WORDS,
                                      .send_ref_table = &given,
                                      .send_ref_count = given != NULL,
                                      .receive_buffer = call->reply,
                                      .receive_words = REPLY_WORDS,
                                      .receive_ref_table = &wanted,
                                      .receive_ref_count = wanted != NULL};

    return fluke_ipc_call(port, &params) == FLUKE_SUCCESS ? call->reply[0] : BAD_REQUEST;
}

static uint64_t open_counter(struct client *client, fluke_ref_t *owner)
{
    struct call open = {.request = {OPEN, client->id}};

    return call(&open, &client->directory, owner, &client->counter);
}

static void open_own(struct client *client)
{
    fluke_thread_reference(fluke_thread_self(), &client->owner);
    client->is_opened = open_counter(client, &client->owner) == DONE;
}

/* Adds 1, 2, and so on, each of which must give the right sum; then closes, after which the port must be gone. */
void count_up(void *memory)
{
    struct client *client = memory;
    struct call close = {.request = {CLOSE}};

    open_own(client);
    for (uint64_t i = 1; i <= client->requests; i++) {
        struct call add = {.request = {ADD, i, i}};
        if (call(&add, &client->counter, NULL, NULL) != DONE || add.reply[1] != client->sum + i)
            return;
        client->sum = add.reply[1];
    }
    call(&close, &client->counter, NULL, NULL);
    client->is_closed = !fluke_ref_check(&client->counter);
}

/* Makes a call in which it is destroyed, and which counts as refused if it ever ends. */
void vanish(void *memory)
{
    struct client *client = memory;
    struct call hold = {.request = {HOLD}};

    open_own(client);
    call(&hold, &client->counter, NULL, NULL);
    client->refused++;
}

/* Shows nothing, then something else than its thread, then what is no reference: the last is a mistake of its own. */
void cheat(void *memory)
{
    struct client *client = memory;

    client->refused += open_counter(client, NULL) == BAD_REFERENCE;
    client->refused += open_counter(client, &client->counter) == BAD_REFERENCE;
    client->refused += open_counter(client, &client->directory) == BAD_REFERENCE;
    open_counter(client, (fluke_ref_t *)client);
}
