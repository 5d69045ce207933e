/* Spaces: threads that see other memory, or the same at other addresses. */

#include "usertests.h"

static fluke_space_t space, place;
static fluke_ref_t space_ref, ref;
static fluke_port_t port;

static void make_new(void)
{
    struct fluke_space_state state;
    uint64_t hash = 0x59ace;

    fluke_ref_create(&ref);
    CHECK(fluke_space_create(&space) == FLUKE_SUCCESS);
    fluke_space_get_state(&space, &state, &ref);
    CHECK(state.hash != 0 && fluke_ref_type(&ref) == FLUKE_NULL);
    fluke_space_reference(&space, &ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_SPACE && fluke_ref_hash(&ref) == state.hash);
    fluke_space_destroy(&space);
    CHECK(fluke_space_create_hash(&space, &hash) == FLUKE_SUCCESS);
    fluke_space_get_state(&space, &state, NULL);
    CHECK(state.hash == 0x59ace);
    fluke_space_destroy(&space);
    fluke_ref_destroy(&ref);
}

static void link_keeper(void)
{
    struct fluke_space_state state = {0};

    fluke_space_create(&space);
    fluke_port_create(&port);
    fluke_ref_create(&ref);
    fluke_ref_create(&space_ref);
    fluke_port_reference(&port, &ref);
    fluke_space_set_state(&space, &state, &ref);
    fluke_space_get_state(&space, NULL, &space_ref);
    CHECK(fluke_ref_compare(&ref, &space_ref));
    fluke_space_reference(&space, &space_ref);
    CHECK_MISTAKE(fluke_space_set_state(&space, NULL, &space_ref), FLUKE_INSANITY_NOT_PORT_REF, &space_ref);
    fluke_ref_destroy(&space_ref);
    fluke_ref_destroy(&ref);
    fluke_port_destroy(&port);
    fluke_space_destroy(&space);
}

static void find_no_space(void)
{
    fluke_space_t *wrong = (fluke_space_t *)&port;

    fluke_port_create(&port);
    CHECK_MISTAKE(fluke_space_destroy(wrong), FLUKE_INSANITY_NOT_SPACE, wrong);
    CHECK_MISTAKE(fluke_space_get_state(wrong, NULL, NULL), FLUKE_INSANITY_NOT_SPACE, wrong);
    CHECK_MISTAKE(fluke_space_move(&space, &place), FLUKE_INSANITY_NO_OBJECT, &space);
    fluke_port_destroy(&port);
}

static struct mirror mirror;

static void add_one(void *number)
{
    *(unsigned *)number += 1;
}

static void run_in_space(void)
{
    static unsigned number; /* the stack of the case is not seen from there */

    number = 1;
    open_mirror(&mirror);
    struct worker *worker = start_in(&mirror.space_ref, add_one, &number);
    CHECK(worker->done && number == 2);
    end(worker);
    close_mirror(&mirror);
}

static void run_in_nothing(void)
{
    struct fluke_thread_state state;

    fluke_space_create(&space);
    fluke_ref_create(&space_ref);
    fluke_space_reference(&space, &space_ref);
    struct worker *worker = start_in(&space_ref, add_one, NULL);
    get_state(worker, &state); /* it could fetch neither its first instruction nor that of its handler */
    CHECK(state.pc == state.trap_handler && state.saved_a0 == (uint64_t)worker);
    CHECK(state.x[A1] == FLUKE_EXCEPTION_FETCH_FAULT && state.x[A1 + 1] == state.saved_pc);
    end(worker);
    fluke_ref_destroy(&space_ref);
    fluke_space_destroy(&space);
}

/* Through the window, which this space does not have. */
static void lock_through_window(void *unused)
{
    (void)unused;
    lock_and_unlock(WINDOW);
}

static void share_mutex(void)
{
    struct window window;
    fluke_mutex_t *shared = (fluke_mutex_t *)memory;

    open_mirror(&mirror);
    open_window(&window, &mirror.space_ref);
    fluke_mutex_create(shared);
    fluke_mutex_lock(shared);
    struct worker *worker = start_in(&mirror.space_ref, lock_through_window, NULL);
    CHECK(waits_for(worker) == FLUKE_MUTEX);
    fluke_mutex_unlock(shared);
    CHECK(worker->done);
    CHECK(fluke_mutex_trylock(shared) == FLUKE_SUCCESS);
    end(worker);
    fluke_mutex_destroy(shared);
    close_window(&window);
    close_mirror(&mirror);
}

static struct service service;

/* Calls with its words beyond the window. */
static void call_from_window(void *unused)
{
    struct fluke_ipc_params params = {
        .send_buffer = WINDOW, .send_words = 1, .receive_buffer = WINDOW + 1, .receive_words = 1};

    (void)unused;
    CHECK(fluke_ipc_call(&service.ref, &params) == FLUKE_SUCCESS);
}

static void call_across(void)
{
    struct window window;
    struct exchange exchange = {.service = &service};

    open_mirror(&mirror);
    open_window(&window, &mirror.space_ref);
    open_service(&service);
    memory[0] = 123;
    struct worker *client = start_in(&mirror.space_ref, call_from_window, NULL);
    serve_once(&exchange);
    CHECK(client->done && exchange.received == 123 && memory[1] == 124);
    end(client);
    close_service(&service);
    close_window(&window);
    close_mirror(&mirror);
}

static void move(void)
{
    struct fluke_space_state before, after;

    fluke_space_create(&space);
    fluke_space_get_state(&space, &before, NULL);
    fluke_space_move(&space, &place);
    CHECK_MISTAKE(fluke_space_get_state(&space, NULL, NULL), FLUKE_INSANITY_NO_OBJECT, &space);
    fluke_space_get_state(&place, &after, NULL);
    CHECK(before.hash == after.hash);
    fluke_space_destroy(&place);
}

static fluke_mutex_t gate;

/* The thread stands still; its space may be another one then. */
static void destroy_around_thread(void)
{
    struct fluke_thread_state state;

    fluke_mutex_create(&gate);
    fluke_mutex_lock(&gate);
    open_mirror(&mirror);
    struct worker *worker = start_in(&mirror.space_ref, lock_and_unlock, &gate);
    fluke_space_destroy(&mirror.space);
    CHECK(fluke_ref_check(&mirror.space_ref) == 0);
    fluke_mutex_unlock(&gate);
    CHECK(!worker->done);
    get_state(worker, &state);
    fluke_thread_set_state(&worker->thread, &state, fluke_start_block->space_ref, NULL, NULL, NULL, NULL);
    CHECK(worker->done || waits_for(worker) == FLUKE_MUTEX);
    end(worker);
    fluke_space_create(&mirror.space);
    close_mirror(&mirror);
    fluke_mutex_destroy(&gate);
}

const struct usertest space_tests[] = {
    {"space_new", "What is a space that was only created?", make_new},
    {"space_keeper", "Is a space's keeper kept, and must be a port?", link_keeper},
    {"space_none", "What if there is no space at the address?", find_no_space},
    {"space_move", "Is a space the same at its new address?", move},
    {"space_thread", "Can a thread run in another space?", run_in_space},
    {"space_empty", "What if a thread's space has nothing in it?", run_in_nothing},
    {"space_mutex", "Can threads of two spaces share a mutex, each at its own address?", share_mutex},
    {"space_call", "Does a message go from one space to another?", call_across},
    {"space_destroyed", "What becomes of a thread whose space is destroyed?", destroy_around_thread},
    {0},
};
