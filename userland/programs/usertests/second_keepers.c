/* A second keeper, whose region lies over memory of the pager's, or which keeps its own buffers there. */

#include "usertests.h"

enum { READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE, SHOWN = 3 }; /* which page of the pager the second one shows */

static uint64_t *const HIGHER = (uint64_t *)0x2100000000, *const HIGHER_BACKING = (uint64_t *)0x2600000000;

/* What the second keeper has: its region's only page, which it shows or takes away, and a view of it. */
static struct {
    fluke_region_t region;
    fluke_mapping_t page, view;
    struct service service;
    fluke_ref_t ref;
    struct fluke_fault_message fault;
    unsigned faults;
} second;

static void begin(void)
{
    struct fluke_mapping_state page = {.region_off = SHOWN * FLUKE_PAGE_SIZE,
                                       .start_va = (uint64_t)HIGHER_BACKING,
                                       .size = FLUKE_PAGE_SIZE,
                                       .prot = FLUKE_PROT_NONE};
    struct fluke_mapping_state view = {
        .start_va = (uint64_t)HIGHER, .size = FLUKE_PAGE_SIZE, .prot = READ_WRITE};

    open_service(&second.service);
    fluke_ref_create(&second.ref);
    fluke_region_create(&second.region);
    fluke_mapping_create(&second.page);
    fluke_mapping_create(&second.view);
    fluke_mapping_set_state(&second.page, &page, &pager.region_ref, fluke_start_block->space_ref);
    set_region(&second.region, HIGHER_BACKING, FLUKE_PAGE_SIZE, FLUKE_PROT_ALL);
    fluke_region_set_state(&second.region, NULL, fluke_start_block->space_ref, &second.service.ref);
    fluke_region_reference(&second.region, &second.ref);
    fluke_mapping_set_state(&second.view, &view, &second.ref, fluke_start_block->space_ref);
    second.faults = 0;
    FRAME(SHOWN)[1] = 5;
}

static void finish(void)
{
    fluke_mapping_destroy(&second.view);
    fluke_mapping_destroy(&second.page);
    fluke_region_destroy(&second.region);
    fluke_ref_destroy(&second.ref);
    close_service(&second.service);
}

/* Answers one fault, with buffers where it is told. */
struct buffers {
    uint64_t *question, *answer;
};

static void keep_once(void *argument)
{
    const struct buffers *buffers = argument;
    struct fluke_ipc_params params = {.receive_buffer = buffers->question, .receive_words = 5};

    fluke_ipc_setup_wait_receive(&second.service.portset, &params, NULL);
    if (params.words_received != 5) /* it has made a mistake */
        return;
    CHECK(params.message_kind == FLUKE_MESSAGE_FAULT);
    second.faults++;
    fluke_mapping_protect(&second.page, READ_WRITE);
    params = (struct fluke_ipc_params){.send_buffer = buffers->answer, .send_words = 1};
    CHECK(fluke_ipc_reply(&params) == FLUKE_SUCCESS);
}

static uint64_t resolved = FLUKE_FAULT_RESOLVED;
static struct buffers ordinary = {(uint64_t *)&second.fault, &resolved};

/* The page is withheld twice: each keeper gives what is its own. */
static void ask_in_turn(void)
{
    begin();
    struct worker *keeper = start(keep_once, &ordinary);
    hide(SHOWN);
    CHECK(peek(HIGHER + 1) == 5);
    CHECK_ASKED(1);
    CHECK(second.faults == 1 && second.fault.offset == 8 && second.fault.region_hash == fluke_ref_hash(&second.ref));
    CHECK(!is_hard || pager.fault.offset == SHOWN * FLUKE_PAGE_SIZE + 8);
    end(keeper);
    finish();
}

/* The second keeper waits with room in a page that is away when its question comes; and so is its answer's. */
static void keep_from_pages(void)
{
    struct buffers paged = {PAGE(1), PAGE(2)};

    begin();
    FRAME(2)[0] = FLUKE_FAULT_RESOLVED;
    struct worker *keeper = start(keep_once, &paged);
    hide_all();
    CHECK(peek(HIGHER + 1) == 5);
    CHECK_ASKED(3);
    CHECK(keeper->done && second.faults == 1 && FRAME(1)[3] == 8);
    end(keeper);
    finish();
}

static void peek_higher(void *word)
{
    *(uint64_t *)word = peek(HIGHER + 1);
}

/* Its room is gone for good, by the pager's word or by its own mapping: its mistake, and the next one is asked. */
static void lose_room(void)
{
    struct buffers lost = {PAGE(1), PAGE(2)};
    uint64_t word = 0;

    begin();
    struct worker *keeper = start(keep_once, &lost);
    hide(1);
    pager.answer = is_hard ? fail_fault : show_page;
    if (!is_hard)
        fluke_mapping_protect(&pager.view, FLUKE_PROT_NONE);
    struct worker *worker = start(peek_higher, &word);
    CHECK_MISTAKE_OF(keeper, FLUKE_EXCEPTION_STORE_FAULT, PAGE(1));
    CHECK(keeper->done && waits_for(worker) == FLUKE_PORT);
    pager.answer = show_page;
    struct worker *next = start(keep_once, &ordinary);
    CHECK(worker->done && next->done && word == 5 && second.faults == 1);
    end(worker);
    end(keeper);
    end(next);
    finish();
}

/* While the question is being brought to a keeper that misses its room, one of the two is destroyed. */
static void cut(bool client_goes)
{
    static fluke_mutex_t gate;
    struct buffers paged = {PAGE(1), PAGE(2)};
    uint64_t word = 0;

    begin();
    FRAME(2)[0] = FLUKE_FAULT_RESOLVED;
    make_locked(&gate);
    pager.gate = &gate;
    struct worker *keeper = start(keep_once, &paged);
    take_away(1);
    struct worker *worker = start(peek_higher, &word);
    CHECK(pager.faults == 1 && waits_for(keeper) == FLUKE_THREAD);
    end(client_goes ? worker : keeper);
    fluke_mutex_unlock(&gate);
    if (client_goes) {
        CHECK(waits_for(keeper) == FLUKE_PORTSET);
        worker = start(peek_higher, &word);
    } else {
        CHECK(waits_for(worker) == FLUKE_PORT);
        keeper = start(keep_once, &paged);
    }
    CHECK(worker->done && keeper->done && word == 5 && second.faults == 1);
    end(worker);
    end(keeper);
    fluke_mutex_destroy(&gate);
    finish();
}

static void ask_both(void) { in_both_ways(ask_in_turn); }
static void keep_paged(void) { in_both_ways(keep_from_pages); }
static void lose_rooms(void) { in_both_ways(lose_room); }

static void cut_either(void)
{
    for (unsigned client_goes = 0; client_goes < 2; client_goes++) {
        open_pager();
        cut(client_goes);
        close_pager();
    }
}

const struct usertest second_keeper_tests[] = {
    {"keepers_in_turn", "Are both keepers asked for a page that each withholds?", ask_both},
    {"keeper_paged", "Can a keeper's own buffers be in pages that are away?", keep_paged},
    {"keeper_without_room", "Is another keeper asked when one has no room for the question?", lose_rooms},
    {"keeper_paged_cut", "What if keeper or client is destroyed while the keeper misses its own page?", cut_either},
    {0},
};
