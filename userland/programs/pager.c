/* Pages memory: demand zero, then half the working set paged to a store port, every page checked: pager [PAGES]. */

/*
 * The program looks at its own memory through a pager. The first time there is a frame for each page, and all that the
 * pager does is to give out pages of zeros. The second time there are half as many frames as pages, and the others are
 * in a store, which another thread serves. Going through the pages back and forth finds half of them where they are.
 */

#include <pager.h>

#define WINDOW ((void *)0x1000000000) /* where the pager keeps what its region shows */
#define VIEW ((page_t *)0x2000000000) /* where the program looks at that */

enum { ROUNDS = 4 };

typedef uint64_t page_t[FLUKE_PAGE_WORDS];

static struct fluke_pager pager;
static struct fluke_store store;
static fluke_mapping_t mapping;
static uint64_t pages;
static uint64_t *versions; /* of what was written to each page; 0: nothing yet */
static struct fluke_pager_counts reported;

/* What a page is to hold: no two words of all pages and versions are the same. */
static uint64_t expected(uint64_t page, uint64_t index)
{
    if (versions[page] == 0)
        return 0;
    return (versions[page] * pages + page) * FLUKE_PAGE_WORDS + index;
}

static void write_page(uint64_t page, uint64_t version)
{
    versions[page] = version;
    for (uint64_t index = 0; index < FLUKE_PAGE_WORDS; index++)
        VIEW[page][index] = expected(page, index);
}

/* Ends the program at a wrong word. */
static void check_page(uint64_t page)
{
    for (uint64_t index = 0; index < FLUKE_PAGE_WORDS; index++) {
        uint64_t word = VIEW[page][index];
        if (word != expected(page, index)) {
            printf("page %lu, word %lu: 0x%lx instead of 0x%lx\n", page, index, word, expected(page, index));
            exit(1);
        }
    }
}

/* Says what the pager has done since the last time. */
static void report(const char *what)
{
    struct fluke_pager_counts now = fluke_pager_counts(&pager);

    printf("%-14s %4lu faults %4lu zeroed %4lu out %4lu in\n", what, now.faults - reported.faults,
           now.zeroed - reported.zeroed, now.out - reported.out, now.in - reported.in);
    reported = now;
}

static void begin(uint64_t frames, fluke_ref_t *store_ref)
{
    memset(versions, 0, pages * sizeof *versions);
    reported = (struct fluke_pager_counts){0};
    if (!fluke_pager_open(&pager, pages, frames, WINDOW, store_ref) || !fluke_pager_map(&pager, &mapping, VIEW)) {
        puts("not enough memory for the pages");
        exit(1);
    }
    printf("%lu pages in %lu frames\n", pages, frames);
}

static void finish(void)
{
    fluke_mapping_destroy(&mapping);
    fluke_pager_close(&pager);
}

static void fill_from_zero(void)
{
    begin(pages, NULL);
    for (uint64_t page = 0; page < pages; page++)
        check_page(page);
    report("touched");
    for (uint64_t page = 0; page < pages; page++)
        write_page(page, 1);
    for (uint64_t page = 0; page < pages; page++)
        check_page(page);
    report("written, read");
    finish();
}

/* Checks all pages, and writes a part of them anew, a different one in each round. */
static void go_through(uint64_t round)
{
    bool backwards = round % 2 == 0;

    for (uint64_t i = 0; i < pages; i++) {
        uint64_t page = backwards ? pages - 1 - i : i;
        check_page(page);
        if (page % ROUNDS == round)
            write_page(page, round + 2);
    }
    report(backwards ? "backwards" : "forwards");
}

static void page_to_a_store(void)
{
    if (!fluke_store_open(&store, pages)) {
        puts("not enough memory for the store");
        exit(1);
    }
    begin((pages + 1) / 2, fluke_store_ref(&store));
    for (uint64_t page = 0; page < pages; page++)
        write_page(page, 1);
    report("written");
    for (uint64_t round = 0; round < ROUNDS; round++)
        go_through(round);
    for (uint64_t page = 0; page < pages; page++)
        check_page(page);
    report("checked");
    finish();
    fluke_store_close(&store);
}

int main(int argc, char **argv)
{
    long wanted = argc > 1 ? atol(argv[1]) : 64;

    if (wanted < 2) {
        puts("usage: pager [PAGES], at least 2");
        return 2;
    }
    pages = (uint64_t)wanted;
    versions = calloc(pages, sizeof *versions);
    if (versions == NULL) {
        puts("not enough memory");
        return 1;
    }
    fill_from_zero();
    page_to_a_store();
    puts("every word was right");
    return 0;
}
