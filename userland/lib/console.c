/*
 * The console. Every request names the offset it is about, and the offsets are kept here, in memory: a request that
 * the kernel delivers twice has one effect, and a program continued elsewhere goes on where it stood.
 */

#include "internal.h"
#include <ulib.h>

static fluke_mutex_t console_mutex; /* guards all that follows */
static uint64_t written;            /* offset in the output */
static uint64_t consumed;           /* offset in the input */
static size_t pending;              /* bytes collected in `output` and not yet sent */
static struct {
    uint64_t operation, offset, count;
    char bytes[FLUKE_CONSOLE_MAX_BYTES];
} output;
static struct {
    uint64_t status, count;
    char bytes[FLUKE_CONSOLE_MAX_BYTES];
} input;

static size_t words_of(size_t bytes)
{
    return (bytes + FLUKE_WORD_SIZE - 1) / FLUKE_WORD_SIZE;
}

void fluke_console_start(void)
{
    fluke_mutex_create(&console_mutex);
}

void fluke_console_lock(void)
{
    fluke_mutex_lock(&console_mutex);
}

void fluke_console_unlock(void)
{
    fluke_mutex_unlock(&console_mutex);
}

/* Sends what is pending; what the console refuses is dropped. */
bool fluke_console_flush(void)
{
    uint64_t reply[2];
    size_t count = pending;

    if (count == 0)
        return true;
    pending = 0;
    output.operation = FLUKE_CONSOLE_WRITE;
    output.offset = written;
    output.count = count;
    if (!fluke_device_call(fluke_start_block->console_ref, &output, 3 + words_of(count), reply, 2))
        return false;
    written = reply[1];
    return true;
}

bool fluke_console_append(const char *bytes, size_t count)
{
    while (count > 0) {
        size_t room = sizeof output.bytes - pending;
        size_t part = count < room ? count : room;

        memcpy(output.bytes + pending, bytes, part);
        pending += part;
        bytes += part;
        count -= part;
        if (pending == sizeof output.bytes && !fluke_console_flush())
            return false;
    }
    return true;
}

size_t fluke_console_write(const char *bytes, size_t count)
{
    fluke_console_lock();
    uint64_t before = written;
    if (fluke_console_append(bytes, count))
        fluke_console_flush();
    size_t done = written - before;
    fluke_console_unlock();
    return done;
}

/* Reads what comes next, without consuming it, into `input`; returns how many bytes, 0 at the end of the input. */
static size_t peek(uint64_t offset, size_t count)
{
    uint64_t request[] = {FLUKE_CONSOLE_READ, offset, count};

    if (count > sizeof input.bytes)
        request[2] = sizeof input.bytes;
    if (!fluke_device_call(fluke_start_block->console_ref, request, 3, &input, 2 + words_of(request[2])))
        return 0;
    return input.count;
}

size_t fluke_console_read(char *bytes, size_t count)
{
    size_t done = 0;

    fluke_console_lock();
    while (done < count) {
        size_t part = peek(consumed, count - done);
        if (part == 0)
            break;
        memcpy(bytes + done, input.bytes, part);
        consumed += part;
        done += part;
    }
    fluke_console_unlock();
    return done;
}

long fluke_gets(char *line, size_t size)
{
    size_t length = 0;
    bool ended = false;

    if (size < 2)
        return -1;
    fluke_console_lock();
    uint64_t before = consumed;
    while (!ended && length < size - 1) {
        size_t part = peek(consumed, size - 1 - length);
        if (part == 0)
            break;
        for (size_t i = 0; i < part && !ended; i++) {
            consumed++;
            if (input.bytes[i] == '\n')
                ended = true;
            else
                line[length++] = input.bytes[i];
        }
    }
    line[length] = '\0';
    bool any = consumed != before;
    fluke_console_unlock();
    return any ? (long)length : -1;
}

int getchar(void)
{
    unsigned char character;

    return fluke_console_read((char *)&character, 1) == 1 ? character : -1;
}

int putchar(int character)
{
    char byte = (char)character;

    return fluke_console_write(&byte, 1) == 1 ? (unsigned char)byte : -1;
}

int puts(const char *text)
{
    fluke_console_lock();
    bool done = fluke_console_append(text, strlen(text)) && fluke_console_append("\n", 1) && fluke_console_flush();
    fluke_console_unlock();
    return done ? 0 : -1;
}
