/* A pager in user mode: a region, its keeper, and the frames that it shows there or takes away. */

#include "usertests.h"

uint64_t frames[PAGES * PAGE_WORDS] __attribute__((aligned(FLUKE_PAGE_SIZE)));
struct pager pager;
bool is_hard;

static unsigned faults_before; /* the last `hide`, or the last check */

enum { READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE, PAGED_SIZE = PAGES * FLUKE_PAGE_SIZE };

void show(unsigned page)
{
    fluke_mapping_protect(&pager.pages[page], READ_WRITE);
}

void take_away(unsigned page)
{
    fluke_mapping_protect(&pager.pages[page], FLUKE_PROT_NONE);
}

void take_all_away(void)
{
    for (unsigned page = 0; page < PAGES; page++)
        take_away(page);
}

void forget_all(void)
{
    fluke_region_protect(&pager.region, FLUKE_PROT_ALL);
}

uint64_t show_page(struct pager *unused, uint64_t *reply)
{
    (void)unused;
    show(pager.fault.offset / FLUKE_PAGE_SIZE);
    *reply = FLUKE_FAULT_RESOLVED;
    return 1;
}

uint64_t fail_fault(struct pager *unused, uint64_t *reply)
{
    (void)unused;
    *reply = FLUKE_FAULT_FAILED;
    return 1;
}

static void keep(void *unused)
{
    uint64_t reply;
    struct fluke_ipc_params params = {.receive_buffer = &pager.fault, .receive_words = sizeof pager.fault / 8};

    (void)unused;
    fluke_ipc_setup_wait_receive(&pager.service.portset, &params, &pager.alias);
    for (;;) {
        pager.faults++;
        pager.kind = params.message_kind;
        pager.words = params.words_received;
        if (pager.gate != NULL)
            lock_and_unlock(pager.gate);
        params.send_buffer = &reply;
        params.send_words = pager.answer(&pager, &reply);
        params.receive_buffer = &pager.fault;
        params.receive_words = sizeof pager.fault / 8;
        fluke_ipc_reply_wait_receive(&params, &pager.alias);
    }
}

void start_keeper(void)
{
    pager.thread = start_at(PAGER_PRIORITY, keep, NULL);
}

/* All pages are there, and nobody has looked at them yet. */
void open_pager(void)
{
    struct fluke_region_state range = {.start_va = (uint64_t)frames, .size = PAGED_SIZE, .prot = FLUKE_PROT_ALL};
    struct fluke_mapping_state view = {
        .start_va = (uint64_t)PAGED, .size = PAGED_SIZE, .prot = FLUKE_PROT_ALL};

    fluke_ref_create(&pager.region_ref);
    fluke_region_create(&pager.frames_region);
    fluke_region_set_state(&pager.frames_region, &range, fluke_start_block->space_ref, NULL);
    fluke_region_reference(&pager.frames_region, &pager.region_ref);
    for (unsigned page = 0; page < PAGES; page++) {
        struct fluke_mapping_state shown = {.region_off = page * FLUKE_PAGE_SIZE,
                                            .start_va = (uint64_t)BACKING + page * FLUKE_PAGE_SIZE,
                                            .size = FLUKE_PAGE_SIZE,
                                            .prot = READ_WRITE};
        fluke_mapping_create(&pager.pages[page]);
        fluke_mapping_set_state(&pager.pages[page], &shown, &pager.region_ref, fluke_start_block->space_ref);
    }
    open_service(&pager.service);
    range.start_va = (uint64_t)BACKING;
    fluke_region_create(&pager.region);
    fluke_region_set_state(&pager.region, &range, fluke_start_block->space_ref, &pager.service.ref);
    fluke_region_reference(&pager.region, &pager.region_ref);
    fluke_mapping_create(&pager.view);
    fluke_mapping_set_state(&pager.view, &view, &pager.region_ref, fluke_start_block->space_ref);
    pager.answer = show_page;
    pager.gate = NULL;
    pager.faults = faults_before = 0;
    start_keeper();
}

void close_pager(void)
{
    end(pager.thread);
    fluke_mapping_destroy(&pager.view);
    fluke_region_destroy(&pager.region);
    for (unsigned page = 0; page < PAGES; page++)
        fluke_mapping_destroy(&pager.pages[page]);
    fluke_region_destroy(&pager.frames_region);
    close_service(&pager.service);
    fluke_ref_destroy(&pager.region_ref);
}

void in_both_ways(void (*body)(void))
{
    for (unsigned ways = 0; ways < 2; ways++) {
        is_hard = ways == 0;
        open_pager();
        body();
        close_pager();
    }
}

void hide(unsigned page)
{
    faults_before = pager.faults;
    if (is_hard)
        take_away(page);
    else
        forget_all();
}

void hide_all(void)
{
    faults_before = pager.faults;
    if (is_hard)
        take_all_away();
    else
        forget_all();
}

void check_asked(unsigned pages, const char *what)
{
    unsigned asked = pager.faults - faults_before, expected = is_hard ? pages : 0;

    faults_before = pager.faults;
    if (asked != expected)
        fail("%s: %u pages were asked for, not %u", what, asked, expected);
}
