/* Standing in for a child's console, timer and parent. */

/*
 * To the child these are ports like those that the host gives; it cannot tell. Most requests go on as they are to the
 * parent's own ports: they are idempotent by their arguments, which stay the same, and so does the answer. Output is
 * changed on the way, and then the offsets are no longer those of the parent's own output: they are counted here.
 */

#include "nested.h"

/* A request with the most words that there are; `arguments` are an offset and a count, for the console. */
static struct {
    uint64_t operation, arguments[2];
    char bytes[FLUKE_CONSOLE_MAX_BYTES];
} request;
static uint64_t reply[sizeof request / FLUKE_WORD_SIZE];

/* Writes on what the child writes, each line with its writer's level in front. */
static void write_on(struct child *child, const char *bytes, size_t count)
{
    char prefix[16];
    size_t prefix_size = (size_t)snprintf(prefix, sizeof prefix, "%d| ", child->level);

    while (count > 0) {
        size_t length = 0;
        while (length < count && bytes[length++] != '\n')
            ;
        if (!child->in_line)
            fluke_console_write(prefix, prefix_size);
        fluke_console_write(bytes, length);
        child->in_line = bytes[length - 1] != '\n';
        bytes += length;
        count -= length;
    }
}

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
        write_on(child, request.bytes, count);
    }
    return FLUKE_DEVICE_OK;
}

/* Asks one of the parent's own ports; returns how many words it answered. */
static size_t pass_on(fluke_ref_t *port_ref, size_t words)
{
    struct fluke_ipc_params params = {.send_buffer = &request,
                                      .send_words = words,
                                      .receive_buffer = reply,
                                      .receive_words = sizeof reply / FLUKE_WORD_SIZE};

    if (fluke_ipc_call(port_ref, &params) == FLUKE_SUCCESS)
        return params.words_received;
    reply[0] = FLUKE_DEVICE_BAD_REQUEST;
    return 1;
}

/* Puts the answer to a request of so many words in `reply`; returns its length. */
static size_t answer(struct child *child, uintptr_t port, size_t words)
{
    fluke_ref_t *const own[PORTS] = {[PARENT_PORT] = fluke_start_block->parent_ref,
                                     [CONSOLE_PORT] = fluke_start_block->console_ref,
                                     [TIMER_PORT] = fluke_start_block->timer_ref};
    const size_t header = offsetof(typeof(request), bytes) / FLUKE_WORD_SIZE;

    if (port != CONSOLE_PORT || request.operation != FLUKE_CONSOLE_WRITE)
        return pass_on(own[port], words);
    reply[0] = take_output(child, words > header ? (words - header) * FLUKE_WORD_SIZE : 0);
    reply[1] = child->written;
    return 2;
}

/* The child's exit goes no further, and is not answered: the child stays in this call until it is destroyed. */
int serve_child(struct child *child)
{
    struct fluke_ipc_params params = {.receive_buffer = &request, .receive_words = sizeof request / FLUKE_WORD_SIZE};
    uintptr_t port;

    fluke_ipc_setup_wait_receive(&child->portset, &params, &port);
    while (port != PARENT_PORT || request.operation != FLUKE_PARENT_EXIT) {
        size_t words = answer(child, port, params.words_received);

        request.operation = request.arguments[0] = request.arguments[1] = 0; /* what a short request leaves out is 0 */
        params = (struct fluke_ipc_params){.send_buffer = reply,
                                           .send_words = words,
                                           .receive_buffer = &request,
                                           .receive_words = sizeof request / FLUKE_WORD_SIZE};
        fluke_ipc_reply_wait_receive(&params, &port);
    }
    return (int)request.arguments[0];
}
