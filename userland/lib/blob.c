/* Blobs of a store. Each request says where in the blob it is, so it can be repeated. */

#include "internal.h"
#include <blob.h>

enum { NAME_BYTES = FLUKE_BLOB_NAME_WORDS * FLUKE_WORD_SIZE, WRITE_HEADER_WORDS = 4 };
enum { MOST_WRITTEN = FLUKE_CONSOLE_MAX_BYTES + (3 - WRITE_HEADER_WORDS) * FLUKE_WORD_SIZE }; /* in one message */

/* Puts a name in the words of a request; false if there is no such name. */
static bool put_name(uint64_t words[FLUKE_BLOB_NAME_WORDS], const char *name)
{
    size_t length = strlen(name);

    memset(words, 0, NAME_BYTES);
    memcpy(words, name, length < NAME_BYTES ? length : NAME_BYTES);
    return length > 0 && length <= NAME_BYTES;
}

bool fluke_blob_open(struct fluke_blob *blob, fluke_ref_t *store, const char *name)
{
    uint64_t request[1 + FLUKE_BLOB_NAME_WORDS] = {FLUKE_BLOB_SIZE}, reply[2];

    blob->store = store;
    if (!put_name(blob->request.name, name))
        return false;
    memcpy(request + 1, blob->request.name, NAME_BYTES);
    if (!fluke_device_call(store, request, sizeof request / FLUKE_WORD_SIZE, reply, 2))
        return false;
    blob->size = reply[1];
    return true;
}

bool fluke_blob_read(struct fluke_blob *blob, uint64_t offset, void *to, size_t count)
{
    char *place = to;

    while (count > 0) {
        size_t part = count < sizeof blob->reply.bytes ? count : sizeof blob->reply.bytes;

        blob->request.operation = FLUKE_BLOB_READ;
        blob->request.offset = offset;
        blob->request.count = part;
        if (!fluke_device_call(blob->store, &blob->request, sizeof blob->request / FLUKE_WORD_SIZE, &blob->reply,
                               sizeof blob->reply / FLUKE_WORD_SIZE)
            || blob->reply.count != part)
            return false;
        memcpy(place, blob->reply.bytes, part);
        place += part;
        offset += part;
        count -= part;
    }
    return true;
}

bool fluke_blob_write(struct fluke_blob_writer *writer, const void *words, size_t size)
{
    const char *place = words;

    while (size > 0) {
        size_t part = size < MOST_WRITTEN ? size : MOST_WRITTEN;
        uint64_t header[WRITE_HEADER_WORDS] = {FLUKE_BLOB_WRITE, writer->transaction, writer->written, part};
        uint64_t reply[2];
        struct fluke_ipc_buffer rest = {.words = part / FLUKE_WORD_SIZE, .buffer = (void *)place};
        struct fluke_ipc_params params = {.send_words = WRITE_HEADER_WORDS,
                                          .send_buffer = header,
                                          .send_buffer_table = &rest,
                                          .send_buffer_count = 1,
                                          .receive_words = 2,
                                          .receive_buffer = reply};

        if (fluke_ipc_call(writer->store, &params) != FLUKE_SUCCESS || params.words_received < 2
            || reply[0] != FLUKE_DEVICE_OK)
            return false;
        place += part;
        writer->written += part;
        size -= part;
    }
    return true;
}

bool fluke_blob_publish(struct fluke_blob_writer *writer, const char *name)
{
    uint64_t request[3 + FLUKE_BLOB_NAME_WORDS] = {FLUKE_BLOB_PUBLISH, writer->transaction, writer->written}, reply[2];

    return put_name(request + 3, name)
        && fluke_device_call(writer->store, request, sizeof request / FLUKE_WORD_SIZE, reply, 2);
}
