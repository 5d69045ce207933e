/* Bytes and strings. */

#include <ulib.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    char *destination = to;
    const char *source = from;

    if (((uintptr_t)to | (uintptr_t)from) % sizeof(uint64_t) == 0) {
        for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t)) {
            *(uint64_t *)destination = *(const uint64_t *)source;
            destination += sizeof(uint64_t);
            source += sizeof(uint64_t);
        }
    }
    while (size-- > 0)
        *destination++ = *source++;
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    char *destination = to;
    const char *source = from;

    if ((uintptr_t)to - (uintptr_t)from >= size)
        return memcpy(to, from, size);
    if (((uintptr_t)to | (uintptr_t)from | size) % sizeof(uint64_t) == 0)
        for (; size > 0; size -= sizeof(uint64_t))
            *(uint64_t *)(destination + size - sizeof(uint64_t)) = *(const uint64_t *)(source + size - sizeof(uint64_t));
    while (size-- > 0)
        destination[size] = source[size];
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    unsigned char *destination = to;

    if ((uintptr_t)to % sizeof(uint64_t) == 0) {
        uint64_t word = (unsigned char)byte * 0x0101010101010101u;
        for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t)) {
            *(uint64_t *)destination = word;
            destination += sizeof(uint64_t);
        }
    }
    while (size-- > 0)
        *destination++ = (unsigned char)byte;
    return to;
}

int memcmp(const void *left, const void *right, size_t size)
{
    const unsigned char *a = left, *b = right;

    for (; size > 0; size--, a++, b++)
        if (*a != *b)
            return *a - *b;
    return 0;
}

size_t strlen(const char *text)
{
    const char *end = text;

    while (*end != '\0')
        end++;
    return (size_t)(end - text);
}

int strcmp(const char *left, const char *right)
{
    return strncmp(left, right, SIZE_MAX);
}

int strncmp(const char *left, const char *right, size_t size)
{
    for (; size > 0; size--, left++, right++)
        if (*left != *right || *left == '\0')
            return (unsigned char)*left - (unsigned char)*right;
    return 0;
}

char *strcpy(char *restrict to, const char *restrict from)
{
    return memcpy(to, from, strlen(from) + 1);
}

char *strncpy(char *restrict to, const char *restrict from, size_t size)
{
    size_t i = 0;

    for (; i < size && from[i] != '\0'; i++)
        to[i] = from[i];
    memset(to + i, 0, size - i);
    return to;
}

char *strchr(const char *text, int character)
{
    for (; *text != (char)character; text++)
        if (*text == '\0')
            return NULL;
    return (char *)text;
}

long atol(const char *text)
{
    unsigned long value = 0;

    while (*text == ' ' || *text == '\t' || *text == '\n')
        text++;
    char sign = *text;
    if (sign == '-' || sign == '+')
        text++;
    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (unsigned)(*text - '0');
    return (long)(sign == '-' ? -value : value);
}

int atoi(const char *text)
{
    return (int)atol(text);
}

bool fluke_number(const char *text, long least, long most, long *number)
{
    const char *digits = *text == '-' ? text + 1 : text;
    size_t count = strlen(digits);

    if (count == 0 || count > 18) /* so many always fit into a long */
        return false;
    for (size_t i = 0; i < count; i++)
        if (digits[i] < '0' || digits[i] > '9')
            return false;
    long value = atol(text);
    if (value < least || value > most)
        return false;
    *number = value;
    return true;
}
