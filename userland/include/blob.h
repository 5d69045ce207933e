/* Blobs of a store: bytes with a name, there whole or not at all. The port is a service that the program was given. */

#ifndef BLOB_H
#define BLOB_H

#include <ulib.h>

/* Reading. What is in these structures is the library's own; they are too large for a small stack. */
struct fluke_blob {
    fluke_ref_t *store;
    uint64_t size; /* bytes; for the caller to read */
    struct {
        uint64_t operation, offset, count, name[FLUKE_BLOB_NAME_WORDS];
    } request;
    struct {
        uint64_t status, count;
        char bytes[FLUKE_CONSOLE_MAX_BYTES];
    } reply;
};

/* Finds a blob, and its size. False if the store has none of that name, or does not answer. */
bool fluke_blob_open(struct fluke_blob *blob, fluke_ref_t *store, const char *name);

/* Reads bytes to anywhere. False if the blob does not have them all, or no more. */
bool fluke_blob_read(struct fluke_blob *blob, uint64_t offset, void *to, size_t count);

/* Writing, under the number of a transaction that nobody else uses at the time. */
struct fluke_blob_writer {
    fluke_ref_t *store;
    uint64_t transaction, written; /* bytes */
};

/* Adds whole words, from where they lie. False if the store does not take them: it is full, or has failed. */
bool fluke_blob_write(struct fluke_blob_writer *writer, const void *words, size_t size);

/* Lets all that was written be a blob with that name, in the place of one that there was. */
bool fluke_blob_publish(struct fluke_blob_writer *writer, const char *name);

#endif
