/* What the parts of the library know of each other. */

#ifndef INTERNAL_H
#define INTERNAL_H

#include <fluke.h>
#include <stdbool.h>

/* The program's start block; see fluke.h. */
extern const struct fluke_start_block *fluke_start_block;

void fluke_heap_start(void);
void fluke_threads_start(void);
void fluke_console_start(void);

/*
 * Sends a request to a device and waits for its reply. True if the device answered, with a reply that holds at least
 * one word, and word 0 says that all is well. The request must not lie in the reply: the kernel may send it again.
 */
bool fluke_device_call(fluke_ref_t *device, const void *request, size_t request_words,
                       void *reply, size_t reply_words);

/* The console, for a caller who writes a text piece by piece and nobody else between the pieces. */
void fluke_console_lock(void);
void fluke_console_unlock(void);
bool fluke_console_append(const char *bytes, size_t count);
bool fluke_console_flush(void);

#endif
