/* Formatted text: %d %i %u %x %X %p %c %s %%, with l, ll, z, a width, a precision, and the flags - 0 +. */

#include "internal.h"
#include <ulib.h>

/* Where text goes: into a buffer, or to the console when there is none. */
struct sink {
    char *buffer;
    size_t size;
    size_t length; /* of the whole text, also where it did not fit */
    bool failed;
};

/* One directive of a format. */
struct directive {
    bool left, zero, plus;
    size_t width;
    long precision; /* -1: none given */
};

static void emit(struct sink *sink, const char *bytes, size_t count)
{
    if (sink->buffer == NULL) {
        if (!sink->failed)
            sink->failed = !fluke_console_append(bytes, count);
    } else {
        for (size_t i = 0; i < count && sink->length + i + 1 < sink->size; i++)
            sink->buffer[sink->length + i] = bytes[i];
    }
    sink->length += count;
}

static void pad(struct sink *sink, char with, size_t count)
{
    while (count-- > 0)
        emit(sink, &with, 1);
}

/* A sign or base before digits or text, made as wide as the directive says. */
static void emit_field(struct sink *sink, const struct directive *how, const char *prefix,
                       const char *text, size_t length)
{
    size_t used = strlen(prefix) + length;
    size_t missing = used < how->width ? how->width - used : 0;

    if (!how->left && !how->zero)
        pad(sink, ' ', missing);
    emit(sink, prefix, strlen(prefix));
    if (!how->left && how->zero)
        pad(sink, '0', missing);
    emit(sink, text, length);
    if (how->left)
        pad(sink, ' ', missing);
}

static void emit_number(struct sink *sink, struct directive how, const char *prefix, uint64_t value,
                        unsigned base, const char *digits)
{
    char text[64];
    size_t first = sizeof text;

    if (how.precision >= 0)
        how.zero = false; /* as C has it: a precision wins over zero padding */
    while (value != 0 || (first == sizeof text && how.precision != 0)
           || (long)(sizeof text - first) < how.precision) {
        if (first == 0)
            break;
        text[--first] = digits[value % base];
        value /= base;
    }
    emit_field(sink, &how, prefix, text + first, sizeof text - first);
}

static void emit_string(struct sink *sink, struct directive how, const char *text)
{
    size_t length = 0;

    if (text == NULL)
        text = "(null)";
    while ((how.precision < 0 || length < (size_t)how.precision) && text[length] != '\0')
        length++;
    how.zero = false;
    emit_field(sink, &how, "", text, length);
}

/* A run of digits, or an argument for `*`. */
static const char *read_number(const char *at, long *number, va_list *arguments)
{
    *number = 0;
    if (*at == '*') {
        *number = va_arg(*arguments, int);
        return at + 1;
    }
    for (; *at >= '0' && *at <= '9'; at++)
        *number = *number * 10 + (*at - '0');
    return at;
}

/* Flags, width and precision; returns the address of what follows them. */
static const char *read_directive(const char *at, struct directive *how, va_list *arguments)
{
    long width;

    *how = (struct directive){.precision = -1};
    for (;; at++) {
        if (*at == '-')
            how->left = true;
        else if (*at == '0')
            how->zero = true;
        else if (*at == '+')
            how->plus = true;
        else
            break;
    }
    at = read_number(at, &width, arguments);
    if (width < 0) {
        how->left = true;
        width = -width;
    }
    how->width = (size_t)width;
    if (*at == '.')
        at = read_number(at + 1, &how->precision, arguments);
    return at;
}

static void format(struct sink *sink, const char *at, va_list *arguments)
{
    static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";

    for (;;) {
        const char *text = at;
        while (*at != '\0' && *at != '%')
            at++;
        emit(sink, text, (size_t)(at - text));
        if (*at == '\0')
            return;

        struct directive how;
        const char *start = at;
        bool wide = false; /* the argument has 64 bits */
        at = read_directive(at + 1, &how, arguments);
        for (; *at == 'l' || *at == 'z'; at++)
            wide = true;

        switch (*at) {
        case 'd':
        case 'i': {
            int64_t value = wide ? va_arg(*arguments, int64_t) : va_arg(*arguments, int);
            uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
            emit_number(sink, how, value < 0 ? "-" : how.plus ? "+" : "", size, 10, lower);
            break;
        }
        case 'u':
        case 'x':
        case 'X': {
            uint64_t value = wide ? va_arg(*arguments, uint64_t) : va_arg(*arguments, unsigned);
            emit_number(sink, how, "", value, *at == 'u' ? 10 : 16, *at == 'X' ? upper : lower);
            break;
        }
        case 'p':
            emit_number(sink, how, "0x", va_arg(*arguments, uintptr_t), 16, lower);
            break;
        case 'c': {
            char character = (char)va_arg(*arguments, int);
            how.zero = false;
            emit_field(sink, &how, "", &character, 1);
            break;
        }
        case 's':
            emit_string(sink, how, va_arg(*arguments, const char *));
            break;
        case '%':
            emit(sink, "%", 1);
            break;
        default: /* unknown: shown as it stands */
            emit(sink, start, (size_t)(at - start));
            continue;
        }
        at++;
    }
}

int vprintf(const char *text, va_list arguments)
{
    struct sink sink = {.buffer = NULL};
    va_list copy;

    va_copy(copy, arguments);
    fluke_console_lock();
    format(&sink, text, &copy);
    bool done = fluke_console_flush() && !sink.failed;
    fluke_console_unlock();
    va_end(copy);
    return done ? (int)sink.length : -1;
}

int printf(const char *text, ...)
{
    va_list arguments;

    va_start(arguments, text);
    int length = vprintf(text, arguments);
    va_end(arguments);
    return length;
}

int vsnprintf(char *buffer, size_t size, const char *text, va_list arguments)
{
    char nowhere;
    struct sink sink = {.buffer = size > 0 ? buffer : &nowhere, .size = size};
    va_list copy;

    va_copy(copy, arguments);
    format(&sink, text, &copy);
    va_end(copy);
    if (size > 0)
        buffer[sink.length < size ? sink.length : size - 1] = '\0';
    return (int)sink.length;
}

int snprintf(char *buffer, size_t size, const char *text, ...)
{
    va_list arguments;

    va_start(arguments, text);
    int length = vsnprintf(buffer, size, text, arguments);
    va_end(arguments);
    return length;
}
