/* Calls whose objects, references and structures lie in pages that are away, or only forgotten, as the call begins. */

#include "usertests.h"

/*
 * What is common to all types of objects: the first of their calls, the size of their state, whether they have links,
 * and whether they can be referred to. The other calls are numbered from the first one.
 */
enum { CREATE, CREATE_HASH, DESTROY, MOVE, REFERENCE, GET_STATE, SET_STATE };
static const struct {
    uint64_t first_call;
    size_t state_size;
    bool has_links, is_referenced;
} kinds[] = {
    {FLUKE_CALL_THREAD_CREATE, sizeof(struct fluke_thread_state), true, true},
    {FLUKE_CALL_SPACE_CREATE, sizeof(struct fluke_space_state), true, true},
    {FLUKE_CALL_REGION_CREATE, sizeof(struct fluke_region_state), true, true},
    {FLUKE_CALL_MAPPING_CREATE, sizeof(struct fluke_mapping_state), true, false},
    {FLUKE_CALL_PORT_CREATE, sizeof(struct fluke_port_state), true, true},
    {FLUKE_CALL_PORTSET_CREATE, sizeof(struct fluke_portset_state), false, true},
    {FLUKE_CALL_MUTEX_CREATE, sizeof(struct fluke_mutex_state), true, true},
    {FLUKE_CALL_COND_CREATE, sizeof(struct fluke_cond_state), true, true},
    {FLUKE_CALL_REF_CREATE, 0, false, false},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Two objects, a reference, and a structure that begins with the last word of a page, each in pages of its own. */
static fluke_mutex_t *const object = (void *)PAGE(0), *const other = (void *)PAGE(1);
static fluke_ref_t *const ref = (void *)PAGE(2);
static uint64_t *const structure = PAGE(4) - 1;

static fluke_mutex_t mutex;

/* One of the common calls; all links by the same reference. */
static uint64_t call(unsigned kind, unsigned which, const void *first, const void *second, const void *link)
{
    register uint64_t a0 __asm__("a0") = (uint64_t)first, a1 __asm__("a1") = (uint64_t)second;
    register uint64_t a2 __asm__("a2") = (uint64_t)link, a3 __asm__("a3") = a2, a4 __asm__("a4") = a2;
    register uint64_t a5 __asm__("a5") = a2, a6 __asm__("a6") = a2, a7 __asm__("a7") = kinds[kind].first_call + which;

    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a6), "r"(a7) : "memory");
    return a0;
}

static void create(void)
{
    uint64_t status = 1, with_hash = 1, hash = 0x4e9;

    for (unsigned kind = 0; kind < KINDS; kind++) {
        PAGED_CALL(1, status = call(kind, CREATE, object, NULL, NULL));
        PAGED_CALL(1, call(kind, DESTROY, object, NULL, NULL));
        CHECK(status == FLUKE_SUCCESS);
        if (kinds[kind].state_size > 0) {
            PAGED_CALL(1, with_hash = call(kind, CREATE_HASH, object, (void *)hash, NULL));
            CHECK(with_hash == FLUKE_SUCCESS);
            call(kind, DESTROY, object, NULL, NULL);
        }
    }
}

static void move(void)
{
    for (unsigned kind = 0; kind < KINDS; kind++) {
        call(kind, CREATE, object, NULL, NULL);
        PAGED_CALL(2, call(kind, MOVE, object, other, NULL));
        CHECK_MISTAKE(call(kind, DESTROY, object, NULL, NULL), FLUKE_INSANITY_NO_OBJECT, object);
        call(kind, DESTROY, other, NULL, NULL);
    }
}

static void reference(void)
{
    uint64_t hash = 0x4e9;

    fluke_ref_create(ref);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        if (kinds[kind].is_referenced) {
            call(kind, CREATE_HASH, object, (void *)hash, NULL);
            PAGED_CALL(2, call(kind, REFERENCE, object, ref, NULL));
            CHECK(fluke_ref_hash(ref) == hash);
            call(kind, DESTROY, object, NULL, NULL);
        }
    }
    fluke_ref_destroy(ref);
}

/* The state lies in two pages if it is more than a word, and comes back as it was. */
static void read_and_load(void)
{
    uint64_t hash = 0x4e9;

    fluke_ref_create(ref);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        unsigned pages = 1 + kinds[kind].has_links + (kinds[kind].state_size > sizeof(uint64_t) ? 2 : 1);
        if (kinds[kind].state_size > 0) {
            call(kind, CREATE_HASH, object, (void *)hash, NULL);
            PAGED_CALL(pages, call(kind, GET_STATE, object, structure, ref));
            CHECK(*structure == hash);
            PAGED_CALL(pages, call(kind, SET_STATE, object, structure, ref));
            call(kind, DESTROY, object, NULL, NULL);
        }
    }
    fluke_ref_destroy(ref);
}

/* A thread is stopped when there is room for its state, and not before: else the state would say so. */
static void read_running(void)
{
    struct fluke_thread_state *state = (struct fluke_thread_state *)structure;

    make_locked(&mutex);
    struct worker *worker = start(lock_and_unlock, &mutex);
    PAGED_CALL(2, fluke_thread_get_state(&worker->thread, state, NULL, NULL, NULL, NULL, NULL));
    CHECK(!(state->flags & FLUKE_THREAD_STOPPED));
    set_state(worker, state);
    fluke_mutex_unlock(&mutex);
    CHECK(worker->done);
    end(worker);
    fluke_mutex_destroy(&mutex);
}

static void interrupt_thread(void)
{
    struct fluke_thread_state state;
    fluke_thread_t *thread = (fluke_thread_t *)object;

    fluke_thread_create(thread);
    PAGED_CALL(1, fluke_thread_interrupt(thread));
    fluke_thread_get_state(thread, &state, NULL, NULL, NULL, NULL, NULL);
    CHECK(state.flags & FLUKE_THREAD_PENDING_INTERRUPT);
    fluke_thread_destroy(thread);
}

/* In a handler, where exceptions are disabled. */
static void change_saved(uint64_t code, struct fluke_thread_saved_state *saved)
{
    struct fluke_thread_saved_state *in_pages = (void *)structure;
    fluke_thread_t *self = fluke_thread_self();

    PAGED_CALL(2, fluke_thread_get_saved_state(self, in_pages));
    CHECK(code == FLUKE_EXCEPTION_LOAD_FAULT && in_pages->a0 == (uint64_t)NOWHERE);
    saved->a0 = 77;
    *in_pages = *saved;
    PAGED_CALL(2, fluke_thread_set_saved_state(self, in_pages));
    *saved = (struct fluke_thread_saved_state){0};
    fluke_thread_get_saved_state(self, saved);
}

static void peek_nowhere(void *word)
{
    *(uint64_t *)word = peek(NOWHERE);
}

static void save_and_reload(void)
{
    uint64_t word = 0;
    struct worker *worker = start_with(change_saved, peek_nowhere, &word);

    CHECK(worker->done && word == 77);
    CHECK_MISTAKE_OF(worker, FLUKE_EXCEPTION_LOAD_FAULT, NOWHERE);
    end(worker);
}

static void handle_thread(void)
{
    interrupt_thread();
    save_and_reload();
}

static void lock(void)
{
    fluke_error_t status = -1;

    fluke_mutex_create(object);
    PAGED_CALL(1, fluke_mutex_lock(object));
    PAGED_CALL(1, fluke_mutex_unlock(object));
    PAGED_CALL(1, status = fluke_mutex_trylock(object));
    CHECK(status == FLUKE_SUCCESS);
    fluke_mutex_unlock(object);
    fluke_mutex_destroy(object);
}

static fluke_cond_t *const cond = (void *)PAGE(1);

static void wait_once(void *unused)
{
    (void)unused;
    fluke_mutex_lock(object);
    hide_all();
    fluke_cond_wait(cond, object);
    fluke_mutex_unlock(object);
}

static struct worker *start_waiter(void)
{
    struct worker *waiter = start(wait_once, NULL);

    CHECK_ASKED(2);
    CHECK(waits_for(waiter) == FLUKE_COND);
    return waiter;
}

/* Who wakes others asks for the condition, and the first of them for the mutex. */
static void wait_for_condition(void)
{
    fluke_mutex_create(object);
    fluke_cond_create(cond);
    struct worker *first = start_waiter();
    PAGED_CALL(2, fluke_cond_signal(cond));
    CHECK(first->done);
    struct worker *second = start_waiter(), *third = start_waiter();
    PAGED_CALL(2, fluke_cond_broadcast(cond));
    CHECK(second->done && third->done);
    end(first);
    end(second);
    end(third);
    fluke_cond_destroy(cond);
    fluke_mutex_destroy(object);
}

static void use_references(void)
{
    fluke_ref_t *copy = (fluke_ref_t *)PAGE(3);
    uint64_t answer = 0;

    fluke_ref_create(ref);
    fluke_ref_create(copy);
    fluke_mutex_create(&mutex);
    fluke_mutex_reference(&mutex, ref);
    PAGED_CALL(2, fluke_ref_copy(ref, copy));
    PAGED_CALL(2, answer = fluke_ref_compare(ref, copy));
    CHECK(answer == 1);
    PAGED_CALL(1, answer = fluke_ref_check(copy));
    CHECK(answer == 1);
    PAGED_CALL(1, answer = fluke_ref_type(copy));
    CHECK(answer == FLUKE_MUTEX);
    PAGED_CALL(1, answer = fluke_ref_hash(copy));
    CHECK(answer == fluke_ref_hash(ref) && answer != 0);
    fluke_mutex_destroy(&mutex);
    fluke_ref_destroy(copy);
    fluke_ref_destroy(ref);
}

static void protect(void)
{
    fluke_region_t *paged_region = (fluke_region_t *)object;
    fluke_mapping_t *mapping = (fluke_mapping_t *)other;
    struct fluke_region_state state;
    struct fluke_mapping_state mapping_state;

    fluke_region_create(paged_region);
    fluke_mapping_create(mapping);
    PAGED_CALL(1, fluke_region_protect(paged_region, FLUKE_PROT_READ));
    PAGED_CALL(1, fluke_mapping_protect(mapping, FLUKE_PROT_WRITE));
    fluke_region_get_state(paged_region, &state, NULL, NULL);
    fluke_mapping_get_state(mapping, &mapping_state, NULL, NULL);
    CHECK(state.prot == FLUKE_PROT_READ && mapping_state.prot == FLUKE_PROT_WRITE);
    fluke_mapping_destroy(mapping);
    fluke_region_destroy(paged_region);
}

/* A region over all frames, itself in one of them, and lists that lie in two pages. */
static void look_through(void)
{
    fluke_region_t *paged_region = (fluke_region_t *)object;
    struct fluke_obspec *objects = (struct fluke_obspec *)structure;
    uint64_t offset = 0, capacity = 4, generation = 0;

    fluke_region_create(paged_region);
    set_region(paged_region, frames, sizeof frames, FLUKE_PROT_ALL);
    fluke_region_set_state(paged_region, NULL, fluke_start_block->space_ref, NULL);
    fluke_mutex_create(other);
    PAGED_CALL(3, fluke_region_search(paged_region, &offset, sizeof frames, objects, &capacity));
    CHECK(capacity == 2 && offset == sizeof frames);
    CHECK(objects[0].ob == frames && objects[0].type == FLUKE_REGION);
    CHECK(objects[1].ob == FRAME(1) && objects[1].type == FLUKE_MUTEX);
    offset = 0;
    capacity = 2;
    PAGED_CALL(3, fluke_region_changed(paged_region, &offset, sizeof frames, structure, &capacity, 0, &generation));
    CHECK(capacity == 0 && generation != 0 && structure[0] == 0 && structure[1] == FLUKE_PAGE_SIZE);
    fluke_mutex_destroy(other);
    fluke_region_destroy(paged_region);
}

static void create_paged(void) { in_both_ways(create); }
static void move_paged(void) { in_both_ways(move); }
static void reference_paged(void) { in_both_ways(reference); }
static void read_and_load_paged(void) { in_both_ways(read_and_load); }
static void read_running_paged(void) { in_both_ways(read_running); }
static void handle_thread_paged(void) { in_both_ways(handle_thread); }
static void lock_paged(void) { in_both_ways(lock); }
static void wait_for_condition_paged(void) { in_both_ways(wait_for_condition); }
static void use_references_paged(void) { in_both_ways(use_references); }
static void protect_paged(void) { in_both_ways(protect); }
static void look_through_paged(void) { in_both_ways(look_through); }

const struct usertest paged_call_tests[] = {
    {"paged_create", "Can objects be created and destroyed in a page that is away?", create_paged},
    {"paged_move", "Can objects be moved between pages that are away?", move_paged},
    {"paged_reference", "Can a reference in a page that is away be set to an object in another?", reference_paged},
    {"paged_state", "Can states be read out and loaded through pages that are away?", read_and_load_paged},
    {"paged_running", "Is a thread read out as one that runs, where the page for its state is away?", read_running_paged},
    {"paged_thread", "Can a thread be interrupted, and saved registers be changed, in pages that are away?",
     handle_thread_paged},
    {"paged_mutex", "Can a mutex be locked and unlocked whose page is away?", lock_paged},
    {"paged_condition", "Can a condition be waited for and signalled whose page is away?", wait_for_condition_paged},
    {"paged_refs", "Can references be copied and compared whose pages are away?", use_references_paged},
    {"paged_protect", "Can a region and a mapping be protected whose pages are away?", protect_paged},
    {"paged_search", "Can a region be looked through into pages that are away?", look_through_paged},
    {0},
};
