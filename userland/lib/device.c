/* A request to a device and its reply: one idempotent call. */

#include "internal.h"

bool fluke_device_call(fluke_ref_t *device, const void *request, size_t request_words,
                       void *reply, size_t reply_words)
{
    struct fluke_ipc_params params = {
        .send_buffer = (void *)request,
        .send_words = request_words,
        .receive_buffer = reply,
        .receive_words = reply_words,
    };

    return fluke_ipc_call(device, &params) == FLUKE_SUCCESS
        && params.words_received > 0
        && *(uint64_t *)reply == FLUKE_DEVICE_OK;
}
