/* Child processes: standing in for a child's parent, console, timer and keeper. */

/*
 * To the child these are ports like those that the host gives; it cannot tell. Requests may come again, even after the
 * child was created again in the middle of one: they are idempotent by their arguments, and what has been done of them is
 * noted here, where the child's checkpoints do not reach. Output is changed on the way, or comes from a child that was
 * elsewhere before, and then the offsets are no longer those of the program's own output: they are counted here.
 */

#include <child.h>

/* A write at an offset that has been written is a repetition: it is acknowledged, not done again. */
static uint64_t take_output(struct fluke_child *child, size_t bytes_received)
{
    uint64_t offset = child->request.arguments[0], count = child->request.arguments[1];

    if (count > bytes_received)
        return FLUKE_DEVICE_BAD_REQUEST;
    if (offset > child->written)
        return FLUKE_DEVICE_BAD_OFFSET;
    if (offset == child->written) {
        child->written += count;
        if (child->write != NULL)
            child->write(child, child->request.bytes, count);
        else
            fluke_console_write(child->request.bytes, count);
    }
    return FLUKE_DEVICE_OK;
}

/* Asks one of the program's own ports; returns how many words it answered. */
static size_t pass_on(struct fluke_child *child, fluke_ref_t *port_ref, size_t words)
{
    struct fluke_ipc_params params = {.send_buffer = &child->request,
                                      .send_words = words,
                                      .receive_buffer = child->reply,
                                      .receive_words = sizeof child->reply / FLUKE_WORD_SIZE};

    if (fluke_ipc_call(port_ref, &params) == FLUKE_SUCCESS)
        return params.words_received;
    child->reply[0] = FLUKE_DEVICE_BAD_REQUEST;
    return 1;
}

/* Notes that a thread of the child's cannot go on. */
static size_t stop_thread(struct fluke_child *child)
{
    memcpy(&child->failure, &child->request, sizeof child->failure);
    child->failures++;
    child->reply[0] = FLUKE_EXCEPTION_STOP;
    return 1;
}

/* Puts the answer to a request of so many words in `reply`; returns its length. */
static size_t answer(struct fluke_child *child, uintptr_t port, size_t words)
{
    fluke_ref_t *const own[] = {NULL, fluke_start_block->parent_ref, fluke_start_block->console_ref,
                                fluke_start_block->timer_ref};
    const size_t header = offsetof(typeof(child->request), bytes) / FLUKE_WORD_SIZE;

    if (port == FLUKE_CHILD_SPACE)
        return stop_thread(child);
    if (port != FLUKE_CHILD_CONSOLE || child->request.operation != FLUKE_CONSOLE_WRITE)
        return pass_on(child, own[port], words);
    child->reply[0] = take_output(child, words > header ? (words - header) * FLUKE_WORD_SIZE : 0);
    child->reply[1] = child->written;
    return 2;
}

bool fluke_child_serve(struct fluke_child *child)
{
    struct fluke_ipc_params params = {.receive_buffer = &child->request,
                                      .receive_words = sizeof child->request / FLUKE_WORD_SIZE};
    uintptr_t port;

    /* What a short request leaves out is 0. */
    child->request.operation = child->request.arguments[0] = child->request.arguments[1] = 0;
    fluke_ipc_setup_wait_receive(&child->portset, &params, &port);
    if (port == FLUKE_CHILD_PARENT && child->request.operation == FLUKE_PARENT_EXIT) {
        child->status = (int)child->request.arguments[0];
        return false;
    }
    size_t words = answer(child, port, params.words_received);

    params = (struct fluke_ipc_params){.send_buffer = child->reply, .send_words = words};
    fluke_ipc_reply(&params);
    fluke_ipc_server_disconnect(); /* a message may be of another kind */
    child->requests++;
    return true;
}
