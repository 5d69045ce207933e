/* The library that programs are linked with: what of it the other cases do not use. */

#include "usertests.h"

static void use_heap(void)
{
    size_t before = fluke_heap_in_use();
    char *one = malloc(100), *two = calloc(10, 10), *three = malloc(1);

    CHECK(one != NULL && two != NULL && three != NULL);
    CHECK((uintptr_t)one % FLUKE_SLOT_SIZE == 0 && (uintptr_t)three % FLUKE_SLOT_SIZE == 0);
    CHECK(two[0] == 0 && two[99] == 0);
    memset(one, 7, 100);
    one = realloc(one, 1000);
    CHECK(one != NULL && one[0] == 7 && one[99] == 7);
    CHECK(fluke_heap_in_use() >= before + 1101);
    free(two);
    free(one);
    free(three);
    free(NULL);
    CHECK(fluke_heap_in_use() == before);
    CHECK(malloc(SIZE_MAX) == NULL && malloc(FLUKE_USER_END) == NULL && calloc(SIZE_MAX, 2) == NULL);
    char *again = malloc(100); /* what was freed is used again */
    CHECK(again != NULL && again <= three);
    free(again);
}

static void count(void *number)
{
    *(volatile unsigned *)number += 1;
}

static void start_threads(void)
{
    unsigned number = 0;
    fluke_thread_t *one = fluke_thread_start(count, &number, STACK_SIZE);
    fluke_thread_t *two = fluke_thread_start(count, &number, STACK_SIZE);

    CHECK(one != NULL && two != NULL && one != two);
    CHECK(fluke_thread_start(count, NULL, SIZE_MAX) == NULL);
    fluke_sleep_us(100);
    CHECK(number == 2);
    fluke_thread_end(one);
    fluke_thread_end(two);
}

const struct usertest library_tests[] = {
    {"library_heap", "Does the heap give out memory, and take it back?", use_heap},
    {"library_threads", "Can threads of the library be started and ended?", start_threads},
    {0},
};
