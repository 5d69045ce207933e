/* Threads write to views of one original, and keepers copy the pages that are written: cow. */

/*
 * A view is a region over a window of this space, where every page of the original is mapped read-only. A write to it
 * is a fault that concerns the region, so the view's keeper is asked: it copies the page to a frame of the view's own
 * and maps that in its place. The thread that wrote sees nothing of this; nobody else sees what it has written.
 */

#include <pager.h>

enum { VIEWS = 3, PAGES = 8, STACK_SIZE = 4096, READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE };

typedef uint64_t page_t[FLUKE_PAGE_WORDS];

#define WINDOWS ((page_t *)0x1000000000)
#define VIEWED ((page_t *)0x2000000000)

/* The frames, in one region: page i of a view is page i of the original, or of its own copies. */
static struct {
    page_t original[PAGES], copies[VIEWS][PAGES];
} memory __attribute__((aligned(FLUKE_PAGE_SIZE)));

static fluke_region_t memory_region;
static fluke_ref_t memory_ref;

static struct view {
    uint64_t number;
    page_t *window, *pages, *copies; /* `pages` is where its users see it */
    struct fluke_keeper keeper;
    fluke_region_t region;
    fluke_ref_t ref;
    fluke_mapping_t in_window[PAGES], mapping;
    bool copied[PAGES];
} views[VIEWS];

static fluke_mutex_t mutex; /* guards what follows */
static fluke_cond_t all_done;
static int writing = VIEWS;

static void map(fluke_mapping_t *mapping, fluke_ref_t *ref, uint64_t offset, const page_t *start, uint64_t pages,
                uint64_t prot)
{
    struct fluke_mapping_state state = {
        .region_off = offset, .start_va = (uint64_t)start, .size = pages * FLUKE_PAGE_SIZE, .prot = prot};

    fluke_mapping_set_state(mapping, &state, ref, fluke_start_block->space_ref);
}

/* Shows a frame as a page of a view; what was shown there before is replaced in the same step. */
static void show(struct view *view, uint64_t page, const page_t *frame, uint64_t prot)
{
    map(&view->in_window[page], &memory_ref, (uint64_t)frame - (uint64_t)&memory, &view->window[page], 1, prot);
}

/* What a view's keeper does. Reading is always possible, and a fault may come twice. */
static bool copy_page(void *argument, const struct fluke_fault_message *fault)
{
    struct view *view = argument;
    uint64_t page = fault->offset / FLUKE_PAGE_SIZE;

    if (page >= PAGES || fault->access != FLUKE_PROT_WRITE)
        return false;
    if (!view->copied[page]) {
        memcpy(view->copies[page], memory.original[page], sizeof(page_t));
        show(view, page, &view->copies[page], READ_WRITE);
        view->copied[page] = true;
    }
    return true;
}

static bool open_view(struct view *view, uint64_t number)
{
    view->number = number;
    view->window = WINDOWS + number * PAGES;
    view->pages = VIEWED + number * PAGES;
    view->copies = memory.copies[number];
    if (!fluke_keeper_open(&view->keeper, copy_page, view)
        || !fluke_keeper_region(&view->keeper, &view->region, &view->ref, view->window, sizeof memory.original))
        return false;
    for (uint64_t page = 0; page < PAGES; page++) {
        fluke_mapping_create(&view->in_window[page]);
        show(view, page, &memory.original[page], FLUKE_PROT_READ);
    }
    fluke_mapping_create(&view->mapping);
    map(&view->mapping, &view->ref, 0, view->pages, PAGES, READ_WRITE);
    return true;
}

static void close_view(struct view *view)
{
    fluke_mapping_destroy(&view->mapping);
    for (uint64_t page = 0; page < PAGES; page++)
        fluke_mapping_destroy(&view->in_window[page]);
    fluke_ref_destroy(&view->ref);
    fluke_region_destroy(&view->region);
    fluke_keeper_close(&view->keeper);
}

/* Written is every other word: in the first view of every second page, in the next one of every third, and so on. */
static bool is_written(const struct view *view, uint64_t page) { return page % (view->number + 2) == 0; }
static uint64_t old_word(uint64_t page, uint64_t i) { return page * FLUKE_PAGE_WORDS + i; }
static uint64_t new_word(const struct view *view, uint64_t page, uint64_t i)
{
    return is_written(view, page) && i % 2 == 1 ? ~(old_word(page, i) * VIEWS + view->number) : old_word(page, i);
}

/* A thread. */
static void write_to_view(void *argument)
{
    struct view *view = argument;

    for (uint64_t page = 0; page < PAGES; page++)
        for (uint64_t i = 1; is_written(view, page) && i < FLUKE_PAGE_WORDS; i += 2)
            view->pages[page][i] = new_word(view, page, i);
    fluke_mutex_lock(&mutex);
    if (--writing == 0)
        fluke_cond_signal(&all_done);
    fluke_mutex_unlock(&mutex);
}

/* Whether each page of a view holds what it should, is copied if it was written, and the original is as it was. */
static bool check(const struct view *view)
{
    uint64_t copies = 0;
    bool right = true;

    for (uint64_t page = 0; page < PAGES; page++) {
        copies += view->copied[page];
        right &= view->copied[page] == is_written(view, page);
        for (uint64_t i = 0; i < FLUKE_PAGE_WORDS; i++)
            right &= view->pages[page][i] == new_word(view, page, i) && memory.original[page][i] == old_word(page, i);
    }
    printf("view %lu: %lu of %u pages copied, the others shared: %s\n", view->number, copies, PAGES,
           right ? "every word is right" : "something is wrong");
    return right;
}

int main(void)
{
    bool right = true;

    for (uint64_t page = 0; page < PAGES; page++)
        for (uint64_t i = 0; i < FLUKE_PAGE_WORDS; i++)
            memory.original[page][i] = old_word(page, i);
    fluke_mutex_create(&mutex);
    fluke_cond_create(&all_done);
    fluke_keeper_region(NULL, &memory_region, &memory_ref, &memory, sizeof memory);
    for (uint64_t number = 0; number < VIEWS; number++)
        if (!open_view(&views[number], number)
            || fluke_thread_start(write_to_view, &views[number], STACK_SIZE) == NULL)
            return 1;
    fluke_mutex_lock(&mutex);
    while (writing > 0)
        fluke_cond_wait(&all_done, &mutex);
    fluke_mutex_unlock(&mutex);
    for (uint64_t number = 0; number < VIEWS; number++) {
        right &= check(&views[number]);
        close_view(&views[number]);
    }
    return right ? 0 : 1;
}
