/*
 * The heap: a list of free blocks in the order of their addresses. `malloc` takes the first that is large enough,
 * `free` joins a block with free neighbours. Sizes are multiples of 16 bytes, the header included.
 */

#include "internal.h"
#include <ulib.h>

struct block {
    size_t size;        /* bytes, with this header */
    struct block *next; /* the next free block; unused while the block is taken */
};

#define UNIT sizeof(struct block)
_Static_assert(UNIT == FLUKE_SLOT_SIZE, "a block can hold objects");

static fluke_mutex_t heap_mutex; /* guards what follows */
static struct block *first_free;
static size_t in_use; /* bytes of taken blocks, with their headers */
static bool prepared;

void fluke_heap_start(void)
{
    fluke_mutex_create(&heap_mutex);
}

/* The whole heap as one free block. Done at the first use, so that programs without a heap touch none of it. */
static void prepare(void)
{
    uintptr_t start = (fluke_start_block->heap_start + UNIT - 1) / UNIT * UNIT;
    uintptr_t end = fluke_start_block->heap_end / UNIT * UNIT;

    prepared = true;
    if (end <= start)
        return;
    first_free = (struct block *)start;
    first_free->size = end - start;
    first_free->next = NULL;
}

static struct block *take(size_t size)
{
    for (struct block **link = &first_free; *link != NULL; link = &(*link)->next) {
        struct block *block = *link;

        if (block->size < size)
            continue;
        if (block->size == size) {
            *link = block->next;
        } else {
            struct block *rest = (struct block *)((char *)block + size);
            rest->size = block->size - size;
            rest->next = block->next;
            *link = rest;
            block->size = size;
        }
        return block;
    }
    return NULL;
}

/* Whether `right` begins where `left` ends. */
static bool touch(const struct block *left, const struct block *right)
{
    return (const char *)left + left->size == (const char *)right;
}

static void give_back(struct block *block)
{
    struct block *before = NULL, *after = first_free;

    while (after != NULL && after < block) {
        before = after;
        after = after->next;
    }
    block->next = after;
    if (before == NULL)
        first_free = block;
    else
        before->next = block;
    if (after != NULL && touch(block, after)) {
        block->size += after->size;
        block->next = after->next;
    }
    if (before != NULL && touch(before, block)) {
        before->size += block->size;
        before->next = block->next;
    }
}

void *malloc(size_t size)
{
    if (size > FLUKE_USER_END)
        return NULL;
    size = (size + 2 * UNIT - 1) / UNIT * UNIT;
    fluke_mutex_lock(&heap_mutex);
    if (!prepared)
        prepare();
    struct block *block = take(size);
    if (block != NULL)
        in_use += block->size;
    fluke_mutex_unlock(&heap_mutex);
    return block == NULL ? NULL : block + 1;
}

void free(void *memory)
{
    if (memory == NULL)
        return;
    struct block *block = (struct block *)memory - 1;
    fluke_mutex_lock(&heap_mutex);
    in_use -= block->size;
    give_back(block);
    fluke_mutex_unlock(&heap_mutex);
}

void *calloc(size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *memory = malloc(total);
    return memory == NULL ? NULL : memset(memory, 0, total);
}

void *realloc(void *memory, size_t size)
{
    if (memory == NULL)
        return malloc(size);
    size_t held = ((struct block *)memory - 1)->size - UNIT;
    if (size <= held)
        return memory;
    void *larger = malloc(size);
    if (larger != NULL) {
        memcpy(larger, memory, held);
        free(memory);
    }
    return larger;
}

size_t fluke_heap_in_use(void)
{
    return in_use;
}
