/* Producers and consumers share a buffer: bounded_buffer [PRODUCERS] [CONSUMERS] [ITEMS] [SLOTS]. */

#include <ulib.h>

enum { MOST_THREADS = 100, STACK_SIZE = 4096 };

struct tally {
    uint64_t count, sum; /* of items */
};

static fluke_mutex_t mutex; /* guards all that follows */
static fluke_cond_t not_full, not_empty, all_done;
static uint64_t *slots; /* a ring of `size`; `used` of them, from `first` on, hold items */
static uint64_t size, first, used;
static uint64_t items;           /* that each producer makes */
static int producing, consuming; /* threads that are not done */
static struct tally produced, consumed;

static void put(uint64_t item)
{
    fluke_mutex_lock(&mutex);
    while (used == size)
        fluke_cond_wait(&not_full, &mutex);
    slots[(first + used++) % size] = item;
    produced.count++;
    produced.sum += item;
    fluke_cond_signal(&not_empty);
    fluke_mutex_unlock(&mutex);
}

/* Takes the oldest item; false if there is none and no more will come. */
static bool take(uint64_t *item)
{
    fluke_mutex_lock(&mutex);
    while (used == 0 && producing > 0)
        fluke_cond_wait(&not_empty, &mutex);
    bool any = used > 0;
    if (any) {
        *item = slots[first];
        first = (first + 1) % size;
        used--;
        fluke_cond_signal(&not_full);
    }
    fluke_mutex_unlock(&mutex);
    return any;
}

/* A thread: puts in numbers that no other producer has. */
static void produce(void *index)
{
    for (uint64_t i = 1; i <= items; i++)
        put((uint64_t)index * items + i);
    fluke_mutex_lock(&mutex);
    if (--producing == 0)
        fluke_cond_broadcast(&not_empty); /* not one, but every consumer that waits has to learn of it */
    fluke_mutex_unlock(&mutex);
}

/* A thread: takes what there is, and adds up on its own what it got. */
static void consume(void *unused)
{
    struct tally own = {0, 0};

    (void)unused;
    for (uint64_t item; take(&item); own.count++)
        own.sum += item;
    fluke_mutex_lock(&mutex);
    consumed.count += own.count;
    consumed.sum += own.sum;
    if (--consuming == 0)
        fluke_cond_signal(&all_done);
    fluke_mutex_unlock(&mutex);
}

static void start(void (*function)(void *), int threads)
{
    for (int i = 0; i < threads; i++)
        if (fluke_thread_start(function, (void *)(uintptr_t)i, STACK_SIZE) == NULL)
            exit(1);
}

int main(int argc, char **argv)
{
    int producers = argc > 1 ? atoi(argv[1]) : 3, consumers = argc > 2 ? atoi(argv[2]) : 3;
    int wanted_items = argc > 3 ? atoi(argv[3]) : 100, wanted_slots = argc > 4 ? atoi(argv[4]) : 8;

    if (producers < 1 || producers > MOST_THREADS || consumers < 1 || consumers > MOST_THREADS || wanted_items < 0
        || wanted_slots < 1) {
        puts("usage: bounded_buffer [PRODUCERS] [CONSUMERS] [ITEMS] [SLOTS], at most 100 producers and consumers each");
        return 2;
    }
    producing = producers;
    consuming = consumers;
    items = (uint64_t)wanted_items;
    size = (uint64_t)wanted_slots;
    slots = calloc(size, sizeof *slots);
    if (slots == NULL) {
        puts("not enough memory for the buffer");
        return 1;
    }
    fluke_mutex_create(&mutex);
    fluke_cond_create(&not_full);
    fluke_cond_create(&not_empty);
    fluke_cond_create(&all_done);
    start(produce, producers);
    start(consume, consumers);
    fluke_mutex_lock(&mutex);
    while (consuming > 0)
        fluke_cond_wait(&all_done, &mutex);
    fluke_mutex_unlock(&mutex);
    printf("produced: %lu items, sum %lu\n", produced.count, produced.sum);
    printf("consumed: %lu items, sum %lu\n", consumed.count, consumed.sum);
    return produced.count == consumed.count && produced.sum == consumed.sum ? 0 : 1;
}
