/* A region's keeper: what it is asked, when, and what its answer does. */

#include "usertests.h"

enum { READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE };

static fluke_mutex_t gate;
static fluke_region_t region;
static fluke_mapping_t mapping;
static fluke_ref_t ref;
static uint64_t *const ELSEWHERE = (uint64_t *)0x2100000000;

static void begin(void)
{
    open_pager();
    take_all_away();
}

/* The last question, and that there have been so many. */
static bool asked(unsigned count, uint64_t access, const void *address)
{
    return pager.faults == count && pager.fault.access == access
        && pager.fault.offset == (uint64_t)address - (uint64_t)PAGED;
}

static void load_and_store(void)
{
    begin();
    FRAME(0)[1] = 5;
    CHECK(peek(PAGED + 1) == 5 && asked(1, FLUKE_PROT_READ, PAGED + 1));
    poke(PAGED + 1, 6);
    CHECK(FRAME(0)[1] == 6 && pager.faults == 1);
    poke(PAGE(2) + 3, 7);
    CHECK(FRAME(2)[3] == 7 && asked(2, FLUKE_PROT_WRITE, PAGE(2) + 3));
    take_away(2);
    CHECK(peek(PAGE(2) + 3) == 7 && pager.faults == 3); /* it was only out of sight */
    close_pager();
}

/* One access, two pages. */
static void straddle(void)
{
    void *across = (char *)PAGE(1) - 4;

    begin();
    FRAME(1)[-1] = 8ul << 32;
    FRAME(1)[0] = 9;
    CHECK(peek(across) == (9ul << 32 | 8) && pager.faults == 2);
    close_pager();
}

static uint64_t show_code(struct pager *unused, uint64_t *reply)
{
    (void)unused;
    fluke_mapping_protect(&pager.pages[0], FLUKE_PROT_ALL);
    *reply = FLUKE_FAULT_RESOLVED;
    return 1;
}

/* The page of the program's code is the frame. */
static void fetch(void)
{
    const char *page = (const char *)((uintptr_t)peek & ~(uintptr_t)(FLUKE_PAGE_SIZE - 1));
    void *copy = (char *)PAGED + ((const char *)peek - page);
    uint64_t word = 6;

    begin();
    set_region(&pager.frames_region, page, FLUKE_PAGE_SIZE, FLUKE_PROT_ALL);
    pager.answer = show_code;
    CHECK(((uint64_t (*)(const void *))copy)(&word) == 6);
    CHECK(asked(1, FLUKE_PROT_EXECUTE, copy) && pager.fault.code == FLUKE_EXCEPTION_FETCH_FAULT);
    close_pager();
}

static void tell_everything(void)
{
    begin();
    fluke_ref_create(&ref);
    fluke_thread_reference(fluke_thread_self(), &ref);
    poke(PAGE(1) + 2, 1);
    CHECK(pager.kind == FLUKE_MESSAGE_FAULT && pager.alias == SERVICE_ALIAS && pager.words == 5);
    CHECK(pager.fault.code == FLUKE_EXCEPTION_STORE_FAULT && pager.fault.access == FLUKE_PROT_WRITE);
    CHECK(pager.fault.offset == FLUKE_PAGE_SIZE + 16);
    CHECK(pager.fault.region_hash == fluke_ref_hash(&pager.region_ref));
    CHECK(pager.fault.thread_hash == fluke_ref_hash(&ref));
    fluke_ref_destroy(&ref);
    close_pager();
}

static void show_read_only(void)
{
    begin();
    fluke_mapping_protect(&pager.pages[0], FLUKE_PROT_READ);
    CHECK(peek(PAGED) == FRAME(0)[0] && pager.faults == 0);
    poke(PAGED, 4);
    CHECK(asked(1, FLUKE_PROT_WRITE, PAGED) && FRAME(0)[0] == 4);
    close_pager();
}

static void fail_all(void)
{
    begin();
    pager.answer = fail_fault;
    CHECK_MISTAKE(peek(PAGED + 1), FLUKE_EXCEPTION_LOAD_FAULT, PAGED + 1);
    CHECK_MISTAKE(poke(PAGED + 2, 1), FLUKE_EXCEPTION_STORE_FAULT, PAGED + 2);
    CHECK_MISTAKE(jump(PAGED), FLUKE_EXCEPTION_FETCH_FAULT, PAGED);
    CHECK_MISTAKE(fluke_mutex_lock((fluke_mutex_t *)PAGE(1)), FLUKE_EXCEPTION_LOAD_FAULT, PAGE(1));
    CHECK_MISTAKE(fluke_mutex_create((fluke_mutex_t *)PAGE(1)), FLUKE_EXCEPTION_STORE_FAULT, PAGE(1));
    CHECK(pager.faults == 5);
    close_pager();
}

static uint64_t babble(struct pager *unused, uint64_t *reply)
{
    (void)unused;
    *reply = 77;
    return 1;
}

static uint64_t show_silently(struct pager *unused, uint64_t *reply)
{
    show_page(unused, reply);
    return 0;
}

static void answer_strangely(void)
{
    begin();
    pager.answer = babble;
    CHECK_MISTAKE(peek(PAGED), FLUKE_EXCEPTION_LOAD_FAULT, PAGED);
    pager.answer = show_silently;
    poke(PAGED, 3);
    CHECK(FRAME(0)[0] == 3 && pager.faults == 2);
    close_pager();
}

static uint64_t promise(struct pager *unused, uint64_t *reply)
{
    (void)unused;
    *reply = pager.faults < 3 ? FLUKE_FAULT_RESOLVED : FLUKE_FAULT_FAILED;
    return 1;
}

static void ask_again(void)
{
    begin();
    pager.answer = promise; /* and does nothing */
    CHECK_MISTAKE(peek(PAGED), FLUKE_EXCEPTION_LOAD_FAULT, PAGED);
    CHECK(pager.faults == 3);
    close_pager();
}

static void ask_nobody(void)
{
    begin();
    fluke_ref_create(&ref);
    fluke_region_set_state(&pager.region, NULL, NULL, &ref);
    CHECK_MISTAKE(peek(PAGED), FLUKE_EXCEPTION_LOAD_FAULT, PAGED);
    CHECK_MISTAKE(fluke_mutex_unlock((fluke_mutex_t *)PAGED), FLUKE_EXCEPTION_LOAD_FAULT, PAGED);
    fluke_region_set_state(&pager.region, NULL, NULL, &pager.service.ref);
    CHECK(peek(PAGED) == FRAME(0)[0] && pager.faults == 1);
    fluke_ref_destroy(&ref);
    close_pager();
}

/* A device understands no faults. */
static void ask_a_device(void)
{
    begin();
    fluke_region_set_state(&pager.region, NULL, NULL, fluke_start_block->timer_ref);
    CHECK_MISTAKE(peek(PAGED), FLUKE_EXCEPTION_LOAD_FAULT, PAGED);
    CHECK_MISTAKE(fluke_mutex_unlock((fluke_mutex_t *)PAGED), FLUKE_EXCEPTION_LOAD_FAULT, PAGED);
    CHECK(pager.faults == 0);
    close_pager();
}

/* What the thread's own mapping does not give is its own affair; what the region does not give is the keeper's. */
static void tell_whose(void)
{
    begin();
    fluke_mapping_protect(&pager.view, FLUKE_PROT_READ);
    CHECK_MISTAKE(poke(PAGED, 1), FLUKE_EXCEPTION_STORE_FAULT, PAGED);
    CHECK(pager.faults == 0);
    CHECK(peek(PAGED) == FRAME(0)[0] && pager.faults == 1);
    fluke_mapping_protect(&pager.view, READ_WRITE);
    pager.answer = fail_fault;
    fluke_region_protect(&pager.region, FLUKE_PROT_READ);
    CHECK_MISTAKE(poke(PAGED, 1), FLUKE_EXCEPTION_STORE_FAULT, PAGED);
    CHECK(pager.faults == 2);
    close_pager();
}

/* The region grows when its end is passed. */
static uint64_t grow(struct pager *unused, uint64_t *reply)
{
    set_region(&pager.region, BACKING, pager.fault.offset / FLUKE_PAGE_SIZE * FLUKE_PAGE_SIZE + FLUKE_PAGE_SIZE,
               FLUKE_PROT_ALL);
    return show_page(unused, reply);
}

static void pass_the_end(void)
{
    begin();
    set_region(&pager.region, BACKING, FLUKE_PAGE_SIZE, FLUKE_PROT_ALL);
    pager.answer = grow;
    poke(PAGE(3), 11);
    CHECK(FRAME(3)[0] == 11 && asked(1, FLUKE_PROT_WRITE, PAGE(3)));
    close_pager();
}

/* A view of the view, by a region that has no keeper: who is asked depends on who withholds. */
static void ask_through_chain(void)
{
    struct fluke_mapping_state view = {
        .start_va = (uint64_t)ELSEWHERE, .size = FLUKE_PAGE_SIZE, .prot = READ_WRITE};

    begin();
    fluke_region_create(&region);
    fluke_mapping_create(&mapping);
    fluke_ref_create(&ref);
    fluke_region_reference(&region, &ref);
    set_region(&region, PAGE(2), FLUKE_PAGE_SIZE, READ_WRITE);
    fluke_region_set_state(&region, NULL, fluke_start_block->space_ref, NULL);
    fluke_mapping_set_state(&mapping, &view, &ref, fluke_start_block->space_ref);
    poke(ELSEWHERE + 1, 12);
    CHECK(FRAME(2)[1] == 12 && asked(1, FLUKE_PROT_WRITE, PAGE(2) + 1));
    fluke_region_protect(&region, FLUKE_PROT_READ);
    CHECK_MISTAKE(poke(ELSEWHERE, 1), FLUKE_EXCEPTION_STORE_FAULT, ELSEWHERE);
    CHECK(pager.faults == 1);
    fluke_mapping_destroy(&mapping);
    fluke_region_destroy(&region);
    fluke_ref_destroy(&ref);
    close_pager();
}

static void peek_page(void *word)
{
    *(uint64_t *)word = peek(PAGED);
}

static void crowd(void)
{
    struct worker *workers[4];
    uint64_t words[4] = {0};

    begin();
    make_locked(&gate);
    pager.gate = &gate;
    FRAME(0)[0] = 13;
    for (unsigned i = 0; i < 4; i++)
        workers[i] = start(peek_page, &words[i]);
    CHECK(waits_for(workers[0]) == FLUKE_THREAD && waits_for(workers[3]) == FLUKE_PORT);
    fluke_mutex_unlock(&gate);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(workers[i]->done && words[i] == 13);
        end(workers[i]);
    }
    CHECK(pager.faults == 1);
    close_pager();
    fluke_mutex_destroy(&gate);
}

/* Somebody else has brought the page before the keeper comes to it. */
static void bring_meanwhile(void)
{
    uint64_t word = 0;

    begin();
    FRAME(0)[0] = 14;
    end(pager.thread);
    struct worker *worker = start(peek_page, &word);
    CHECK(waits_for(worker) == FLUKE_PORT);
    show(0);
    start_keeper();
    CHECK(worker->done && word == 14 && pager.faults == 0);
    end(worker);
    close_pager();
}

const struct usertest paging_tests[] = {
    {"paging", "Can a keeper bring pages as they are loaded and stored to?", load_and_store},
    {"paging_straddle", "Does an access that needs two pages ask for both?", straddle},
    {"paging_fetch", "Can a keeper bring a page that is executed?", fetch},
    {"paging_message", "Is a keeper told who wants what, and where?", tell_everything},
    {"paging_read_only", "Is a keeper asked again for more access?", show_read_only},
    {"paging_failed", "Does a thread get its exception when the keeper fails?", fail_all},
    {"paging_strange_answers", "What if a keeper says something else, or nothing?", answer_strangely},
    {"paging_promise", "Is a keeper asked again that has done nothing?", ask_again},
    {"paging_no_keeper", "What if a region has no keeper?", ask_nobody},
    {"paging_device", "What if a region's keeper is a device?", ask_a_device},
    {"paging_whose", "Is a keeper asked for what its region withholds, and nothing else?", tell_whose},
    {"paging_beyond_end", "Is a keeper asked for what lies beyond the region's end?", pass_the_end},
    {"paging_chain", "Is the keeper asked whose region withholds the page, however deep?", ask_through_chain},
    {"paging_crowd", "Is a page asked for once that many threads want?", crowd},
    {"paging_meanwhile", "Is a keeper left alone when the page is there by then?", bring_meanwhile},
    {0},
};
