/* A small C library over the system calls: text, memory, strings, threads, time. */

#ifndef ULIB_H
#define ULIB_H

#include <fluke.h>
#include <stdarg.h>
#include <stdbool.h>

/*
 * Text. Each call is one message to the console, so threads' lines do not mix. Results: -1 if the console refused.
 * Conversions: d i u x X p c s %, with - 0, width, precision of s, and l ll z; no floating point.
 */
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int vprintf(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));
int snprintf(char *buffer, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *buffer, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
int puts(const char *text); /* the text and a newline */
int putchar(int character);

/* The next character of the input; -1 at the end. */
int getchar(void);

/*
 * Reads a line of at most size - 1 bytes without its newline, and ends it with a zero. Returns its length, -1 at the
 * end of the input. The rest of a longer line is left for the next call. `size` is at least 2.
 */
long fluke_gets(char *line, size_t size);

/* Bytes as they are. Both return how many, fewer than asked only at the end of the input or when refused. */
size_t fluke_console_write(const char *bytes, size_t count);
size_t fluke_console_read(char *bytes, size_t count);

/* Memory. Blocks are aligned to 16 bytes, so they can hold objects; a null pointer if there is not enough. */
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
void free(void *block);
size_t fluke_heap_in_use(void); /* bytes of blocks that were not freed, with what the heap adds to each */

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *left, const void *right, size_t size);

/* Strings. */
size_t strlen(const char *text);
int strcmp(const char *left, const char *right);
int strncmp(const char *left, const char *right, size_t size);
char *strcpy(char *restrict to, const char *restrict from);
char *strncpy(char *restrict to, const char *restrict from, size_t size);
char *strchr(const char *text, int character);
int atoi(const char *text);
long atol(const char *text);

/* Reads a whole decimal number; false if the text is anything else, or the number not among those from least to most. */
bool fluke_number(const char *text, long least, long most, long *number);

/* The program. */
_Noreturn void exit(int status);
char *getenv(const char *name);

/* The reference to a service that the program was given by this name; a null pointer if there is none. */
fluke_ref_t *fluke_service(const char *name);

/* The program's start block: arguments, heap, and references to the devices it was given. */
extern const struct fluke_start_block *fluke_start_block;

/*
 * Starts a thread that calls function(argument) on a stack of its own. A null pointer if there is no memory. A stack
 * has no guard below it: one that is too small overwrites what lies there, so be generous. When the function returns,
 * the thread sleeps for ever; the program ends when `main` returns or anybody calls `exit`.
 */
fluke_thread_t *fluke_thread_start(void (*function)(void *), void *argument, size_t stack_size);

/*
 * Destroys a thread that was started so, wherever it is, and frees its stack. Mutexes that it owns stay locked: end a
 * thread that uses none, neither its own nor those of the console and the heap.
 */
void fluke_thread_end(fluke_thread_t *thread);

/*
 * Makes a port in a port set, where a receiver knows it by its alias, and a reference to it; false if there is no
 * memory, and neither is made then.
 */
bool fluke_open_port(fluke_port_t *port, fluke_portset_t *portset, uintptr_t alias, fluke_ref_t *ref);

/* Time, of the kernel's clock, in microseconds and in nanoseconds. */
uint64_t fluke_now_us(void);
uint64_t fluke_now_ns(void);
void fluke_sleep_us(uint64_t duration_us);

#endif
