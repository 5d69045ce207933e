/* Checkpoints: lists of words in order, so that what is looked for among many is found in few steps. */

#include "checkpoint.h"

/* Lets the word at `place` sink to where none below it, in a heap with the greatest on top, is greater. */
static void sink(uint64_t *words, uint64_t place, uint64_t count, fluke_before_t *before, const void *base)
{
    for (uint64_t child; (child = 2 * place + 1) < count; place = child) {
        if (child + 1 < count && before(base, words[child], words[child + 1]))
            child++;
        if (!before(base, words[place], words[child]))
            return;
        uint64_t word = words[place];
        words[place] = words[child];
        words[child] = word;
    }
}

void fluke_sort(uint64_t *words, uint64_t count, fluke_before_t *before, const void *base)
{
    for (uint64_t place = count / 2; place > 0; place--)
        sink(words, place - 1, count, before, base);
    for (uint64_t left = count; left > 1; left--) {
        uint64_t greatest = words[0];
        words[0] = words[left - 1];
        words[left - 1] = greatest;
        sink(words, 0, left - 1, before, base);
    }
}

uint64_t fluke_find_place(const uint64_t *words, uint64_t count, fluke_below_t *is_below, const void *key)
{
    uint64_t low = 0, high = count;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (is_below(key, words[middle]))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
