/* The jobs of a child that need no messages. */

#include "work.h"
#include <cells.h>
#include <pager.h>

/* -- Items through a ring ----------------------------------------------------------------------------------------- */

enum { RING = 4, ITEMS = 16 };

static struct {
    fluke_mutex_t mutex;
    fluke_cond_t fuller, emptier;
    uint64_t items[RING], put, taken;
} ring;

static void put_items(void *argument)
{
    struct job *job = argument;

    for (uint64_t i = 0; i < (uint64_t)job->rounds * ITEMS; i++) {
        fluke_mutex_lock(&ring.mutex);
        while (ring.put == ring.taken + RING)
            fluke_cond_wait(&ring.emptier, &ring.mutex);
        ring.items[ring.put++ % RING] = mixed(i);
        fluke_cond_signal(&ring.fuller);
        fluke_mutex_unlock(&ring.mutex);
    }
}

void pass_items(struct job *job)
{
    uint64_t sum = 0;
    bool right = true;

    fluke_mutex_create(&ring.mutex);
    fluke_cond_create(&ring.fuller);
    fluke_cond_create(&ring.emptier);
    start(put_items, job);
    for (uint64_t i = 0; i < (uint64_t)job->rounds * ITEMS; i++) {
        fluke_mutex_lock(&ring.mutex);
        while (ring.put == ring.taken)
            fluke_cond_wait(&ring.fuller, &ring.mutex);
        uint64_t item = ring.items[ring.taken++ % RING];
        fluke_cond_signal(&ring.emptier);
        fluke_mutex_unlock(&ring.mutex);
        sum += item;
        right &= item == mixed(i);
    }
    finish(job, sum, right);
}

/* -- Time, and numbers -------------------------------------------------------------------------------------------- */

enum { NAP_US = 100, FRACTIONS = 5000 };

void take_naps(struct job *job)
{
    bool right = true;

    for (long i = 0; i < job->rounds; i++) {
        uint64_t before_us = fluke_now_us();
        fluke_sleep_us(NAP_US);
        right &= fluke_now_us() - before_us >= NAP_US;
    }
    finish(job, (uint64_t)job->rounds, right);
}

/* The sum of 1 / (n (n + 1)) is 1 - 1 / (n + 1). */
void add_fractions(struct job *job)
{
    long count = job->rounds * FRACTIONS;
    double sum = 0;

    for (long n = 1; n <= count; n++)
        sum += 1.0 / ((double)n * (double)(n + 1));
    double exact = 1 - 1.0 / (double)(count + 1);
    finish(job, (uint64_t)(sum * 1e9), sum - exact < 1e-9 && exact - sum < 1e-9);
}

/* -- Memory ------------------------------------------------------------------------------------------------------- */

enum { STEPS = 2000 };

static void step(void *memory)
{
    uint64_t *words = memory; /* how many steps, and where they have led */

    for (uint64_t i = 0; i < words[0]; i++)
        words[1] = words[1] * 0x5851f42d4c957f2d + i;
}

void use_cell(struct job *job)
{
    static struct fluke_cell cell;
    uint64_t here[2] = {(uint64_t)job->rounds * STEPS, 1};
    uint64_t *there = fluke_cell_open(&cell, sizeof here);

    if (there == NULL) {
        finish(job, 0, false);
        return;
    }
    memcpy(there, here, sizeof here);
    fluke_cell_start(&cell, step);
    step(here);
    bool right = fluke_cell_wait(&cell) == 0 && there[1] == here[1];
    fluke_cell_close(&cell);
    finish(job, here[1], right);
}

enum { PAGES = 6, FRAMES = 3, SCATTERED = 37 };

#define WINDOW ((uint64_t(*)[FLUKE_PAGE_WORDS])0x1000000000)

/* With fewer frames than pages, so that most go to the store and come back. */
void touch_pages(struct job *job)
{
    static struct fluke_store store;
    static struct fluke_pager pager;
    static fluke_mapping_t mapping;
    uint64_t sum = 0;
    bool right = true;

    if (!fluke_store_open(&store, PAGES) || !fluke_pager_open(&pager, PAGES, FRAMES, (void *)0x1800000000,
                                                              fluke_store_ref(&store))
        || !fluke_pager_map(&pager, &mapping, WINDOW)) {
        finish(job, 0, false);
        return;
    }
    for (long i = 0; i < job->rounds; i++)
        for (uint64_t page = 0; page < PAGES; page++) {
            uint64_t *word = &WINDOW[page][i * SCATTERED % FLUKE_PAGE_WORDS];
            *word += mixed(page);
            sum += *word;
        }
    for (uint64_t page = 0; page < PAGES; page++) {
        uint64_t total = 0;
        for (uint64_t i = 0; i < FLUKE_PAGE_WORDS; i++)
            total += WINDOW[page][i];
        right &= total == (uint64_t)job->rounds * mixed(page);
    }
    finish(job, sum, right);
}
