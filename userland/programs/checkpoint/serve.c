/* Standing in for a child's console and parent. */

/*
 * Requests come again when the child has been created again in the middle of one. They are idempotent by their
 * arguments, and what has been done is written down here, where the child's checkpoints do not reach.
 */

#include "child.h"

/* A request with the most words that there are; `arguments` are an offset and a count, for the console. */
static struct {
    uint64_t operation, arguments[2];
    char bytes[FLUKE_CONSOLE_MAX_BYTES];
} request;
static uint64_t reply[sizeof request / FLUKE_WORD_SIZE];

/* A write at an offset that has been written is a repetition: it is acknowledged, not done again. */
static uint64_t take_output(struct child *child, size_t bytes_received)
{
    uint64_t offset = request.arguments[0], count = request.arguments[1];

    if (count > bytes_received)
        return FLUKE_DEVICE_BAD_REQUEST;
    if (offset > child->written)
        return FLUKE_DEVICE_BAD_OFFSET;
    if (offset == child->written) {
        child->written += count;
        fluke_console_write(request.bytes, count);
    }
    return FLUKE_DEVICE_OK;
}

/* The parent reads nothing itself, so the child's offsets in the input are those of the console. */
static size_t pass_on(size_t words)
{
    struct fluke_ipc_params params = {.send_buffer = &request,
                                      .send_words = words,
                                      .receive_buffer = reply,
                                      .receive_words = sizeof reply / FLUKE_WORD_SIZE};

    if (fluke_ipc_call(fluke_start_block->console_ref, &params) == FLUKE_SUCCESS)
        return params.words_received;
    reply[0] = FLUKE_DEVICE_BAD_REQUEST;
    return 1;
}

/* Puts the answer to a request of so many words in `reply`; returns its length. */
static size_t answer(struct child *child, size_t words)
{
    const size_t header = offsetof(typeof(request), bytes) / FLUKE_WORD_SIZE;

    if (request.operation != FLUKE_CONSOLE_WRITE)
        return pass_on(words);
    reply[0] = take_output(child, words > header ? (words - header) * FLUKE_WORD_SIZE : 0);
    reply[1] = child->written;
    return 2;
}

/* An exit is not answered: the child stays in this call, or is made again in it, until it is destroyed. */
void serve_child(void *argument)
{
    struct child *child = argument;
    struct fluke_ipc_params params = {.receive_buffer = &request, .receive_words = sizeof request / FLUKE_WORD_SIZE};
    uintptr_t port;

    fluke_ipc_setup_wait_receive(&child->portset, &params, &port);
    while (port != PARENT_PORT || request.operation != FLUKE_PARENT_EXIT) {
        size_t words = answer(child, params.words_received);

        request.operation = request.arguments[0] = request.arguments[1] = 0; /* what a short request leaves out is 0 */
        params = (struct fluke_ipc_params){.send_buffer = reply,
                                           .send_words = words,
                                           .receive_buffer = &request,
                                           .receive_words = sizeof request / FLUKE_WORD_SIZE};
        fluke_ipc_reply_wait_receive(&params, &port);
    }
    fluke_mutex_lock(&child->mutex);
    child->has_exited = true;
    child->status = (int)request.arguments[0];
    fluke_cond_broadcast(&child->changed);
    fluke_mutex_unlock(&child->mutex);
}
