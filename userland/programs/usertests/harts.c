/*
 * Threads that run at the same time. Where there is one hart, all of it must hold too: so the workers have a lower
 * priority than the case, which sleeps when they have to get on, and spins when they may.
 */

#include "usertests.h"

enum { LOW = 8, T0 = 5, READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE };
enum { MOMENT_NS = 20000, PATIENCE = 200 /* moments, in which every worker comes to its end that can */ };
enum { SPINS = 12000 /* in the time that they take, each of the other harts has had turns */ };
enum { CROWD = 3, ADDITIONS = 2000, LOCKED_ADDITIONS = 100, EXCHANGES = 30 };

static struct mirror mirror;
static struct window window;
static struct service service;
static fluke_mutex_t mutex;
static fluke_cond_t cond;
static volatile uint64_t words[2], counter;

static void spin(unsigned spins)
{
    for (volatile unsigned i = 0; i < spins; i++)
        continue;
}

static bool comes_to_its_end(struct worker *worker)
{
    for (unsigned i = 0; i < PATIENCE && !worker->done; i++)
        sleep_ns(MOMENT_NS);
    return worker->done;
}

static void count(void *number)
{
    for (;;)
        ++*(volatile uint64_t *)number;
}

/* The first of them run, as many as there are harts beside the runner's. */
static void run_beside(void)
{
    static uint64_t numbers[MOST_WORKERS - 1];
    struct worker *workers[MOST_WORKERS - 1];
    unsigned worker_count = hart_count() < MOST_WORKERS ? hart_count() : MOST_WORKERS - 1;

    free_harts();
    for (unsigned i = 0; i < worker_count; i++) {
        numbers[i] = 0;
        workers[i] = start_at(LOW - i, count, &numbers[i]);
    }
    spin(SPINS);
    for (unsigned i = 0; i < worker_count; i++)
        CHECK((numbers[i] > 0) == (i + 1 < hart_count()));
    for (unsigned i = 0; i < worker_count; i++)
        end(workers[i]);
    occupy_harts();
}

/* Counts for ever: in a register, then in each of two words. */
void count_twice(void *words);
extern const char count_twice_begin[];
__asm__(".text\n"
        ".option push\n .option norvc\n"
        "count_twice: li t0, 0\n"
        "count_twice_begin: addi t0, t0, 1\n"
        "sd t0, 0(a0)\n"
        "sd t0, 8(a0)\n"
        "j count_twice_begin\n"
        ".option pop\n");

/* How far the words are behind the register, where the thread stands on each of the instructions. */
static const struct { uint64_t first, second; } behind[] = {{0, 0}, {1, 1}, {0, 1}, {0, 0}};

static void check_nothing_is_written(void)
{
    uint64_t first = words[0], second = words[1];

    spin(SPINS);
    CHECK(words[0] == first && words[1] == second);
}

static void stop_in(fluke_ref_t *space_ref)
{
    struct fluke_thread_state state;

    words[0] = words[1] = 0;
    struct worker *worker = start_in_at(space_ref, LOW, count_twice, (void *)words);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t before = words[0];

        sleep_ns(MOMENT_NS);
        spin(i * SPINS / 60);
        get_state(worker, &state);
        uint64_t step = (state.pc - (uint64_t)count_twice_begin) / 4;
        CHECK(step < sizeof behind / sizeof *behind && words[0] > before);
        CHECK(words[0] == state.x[T0] - behind[step].first && words[1] == state.x[T0] - behind[step].second);
        check_nothing_is_written();
        set_state(worker, &state);
    }
    end(worker);
    check_nothing_is_written();
}

static void stop(void)
{
    free_harts();
    stop_in(fluke_start_block->space_ref);
    open_mirror(&mirror);
    stop_in(&mirror.space_ref);
    close_mirror(&mirror);
    occupy_harts();
}

static void destroy_space(void)
{
    free_harts();
    open_mirror(&mirror);
    words[0] = words[1] = 0;
    struct worker *worker = start_in_at(&mirror.space_ref, LOW, count_twice, (void *)words);
    sleep_ns(MOMENT_NS);
    spin(SPINS / 10);
    fluke_space_destroy(&mirror.space);
    CHECK(words[0] > 0);
    check_nothing_is_written();
    end(worker);
    fluke_space_create(&mirror.space);
    close_mirror(&mirror);
    occupy_harts();
}

static void destroy_mapping(void) { fluke_mapping_destroy(&window.mapping); }
static void create_mapping(void) { fluke_mapping_create(&window.mapping); }
static void destroy_region(void) { fluke_region_destroy(&window.region); }
static void create_region(void) { fluke_region_create(&window.region); }
static void load_mapping(void) { set_mapping(&window.mapping, 0, WINDOW, MEMORY_SIZE, FLUKE_PROT_READ); }
static void load_region(void) { set_region(&window.region, memory, MEMORY_SIZE, FLUKE_PROT_READ); }
static void protect_mapping(void) { fluke_mapping_protect(&window.mapping, FLUKE_PROT_READ); }
static void protect_region(void) { fluke_region_protect(&window.region, FLUKE_PROT_READ); }
static void move_mapping(void) { set_mapping(&window.mapping, FLUKE_PAGE_SIZE, WINDOW, FLUKE_PAGE_SIZE, READ_WRITE); }
static void nothing(void) { }

/* How a page is taken away from who writes to it; what then has to be there again. */
static const struct { void (*take)(void), (*mend)(void); bool is_shown_another; } ways[] = {
    {destroy_mapping, create_mapping, false}, {destroy_region, create_region, false}, {load_mapping, nothing, false},
    {load_region, nothing, false}, {protect_mapping, nothing, false}, {protect_region, nothing, false},
    {move_mapping, nothing, true},
};

static void store_until_it_is_lost(void *unused)
{
    uint64_t number = 0;

    (void)unused;
    do
        poke(WINDOW, ++number);
    while (peek(memory) == number);
}

static void take_pages_away_in(fluke_ref_t *space_ref)
{
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        memory[0] = 0;
        open_window(&window, space_ref);
        struct worker *worker = start_in_at(space_ref, LOW, store_until_it_is_lost, NULL);
        sleep_ns(MOMENT_NS);
        spin(SPINS / 10 + i * SPINS / 100);
        ways[i].take();
        uint64_t last = peek(memory);
        CHECK(last > 0);
        spin(SPINS);
        CHECK(comes_to_its_end(worker) && peek(memory) == last);
        if (!ways[i].is_shown_another)
            CHECK_MISTAKE_OF(worker, FLUKE_EXCEPTION_STORE_FAULT, WINDOW);
        end(worker);
        ways[i].mend();
        close_window(&window);
    }
}

static void take_pages_away(void)
{
    free_harts();
    take_pages_away_in(fluke_start_block->space_ref);
    open_mirror(&mirror);
    take_pages_away_in(&mirror.space_ref);
    close_mirror(&mirror);
    occupy_harts();
}

/* Starts a crowd, all of whom come to their ends. */
static void run_crowd(void (*function)(void *))
{
    struct worker *workers[CROWD];

    for (unsigned i = 0; i < CROWD; i++)
        workers[i] = start_at(LOW, function, NULL);
    for (unsigned i = 0; i < CROWD; i++)
        CHECK(comes_to_its_end(workers[i]));
    for (unsigned i = 0; i < CROWD; i++)
        end(workers[i]);
}

static void add_at_once(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ADDITIONS; i++)
        __asm__ volatile("amoadd.d zero, %1, %0" : "+A"(counter) : "r"(1) : "memory");
}

static void add_if_reserved(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ADDITIONS; i++)
        __asm__ volatile("1: lr.d t0, %0\n addi t0, t0, 1\n sc.d t1, t0, %0\n bnez t1, 1b"
                         : "+A"(counter) : : "t0", "t1", "memory");
}

static void add_locked(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < LOCKED_ADDITIONS; i++) {
        fluke_mutex_lock(&mutex);
        counter++;
        fluke_mutex_unlock(&mutex);
    }
}

static void add(void)
{
    free_harts();
    fluke_mutex_create(&mutex);
    counter = 0;
    run_crowd(add_at_once);
    CHECK(counter == CROWD * ADDITIONS);
    run_crowd(add_if_reserved);
    CHECK(counter == 2 * CROWD * ADDITIONS);
    run_crowd(add_locked);
    CHECK(counter == 2 * CROWD * ADDITIONS + CROWD * LOCKED_ADDITIONS);
    fluke_mutex_destroy(&mutex);
    occupy_harts();
}

/* Adds whenever it is its turn; the argument is whether that is at odd numbers. */
static void add_in_turn(void *is_odd)
{
    for (unsigned i = 0; i < EXCHANGES; i++) {
        fluke_mutex_lock(&mutex);
        while (counter % 2 != (uint64_t)is_odd)
            fluke_cond_wait(&cond, &mutex);
        counter++;
        fluke_cond_signal(&cond);
        fluke_mutex_unlock(&mutex);
    }
}

static void take_turns(void)
{
    free_harts();
    fluke_mutex_create(&mutex);
    fluke_cond_create(&cond);
    counter = 0;
    struct worker *even = start_at(LOW, add_in_turn, (void *)0), *odd = start_at(LOW, add_in_turn, (void *)1);
    CHECK(comes_to_its_end(even) && comes_to_its_end(odd) && counter == 2 * EXCHANGES);
    end(even);
    end(odd);
    fluke_cond_destroy(&cond);
    fluke_mutex_destroy(&mutex);
    occupy_harts();
}

static void call_often(void *failures)
{
    struct exchange exchange = {.service = &service};

    for (exchange.request = 1; exchange.request <= EXCHANGES; exchange.request++) {
        call_service(&exchange);
        *(unsigned *)failures += exchange.status != FLUKE_SUCCESS || exchange.reply != exchange.request + 1;
    }
}

static void serve_often(void *failures)
{
    struct exchange exchange = {.service = &service};

    for (unsigned i = 1; i <= EXCHANGES; i++) {
        serve_once(&exchange);
        *(unsigned *)failures += exchange.receive_status != FLUKE_SUCCESS || exchange.reply_status != FLUKE_SUCCESS
            || exchange.received != i;
    }
}

static void call_and_serve(void)
{
    unsigned failures[2] = {0, 0};

    free_harts();
    open_service(&service);
    struct worker *client = start_at(LOW, call_often, &failures[0]), *server = start_at(LOW, serve_often, &failures[1]);
    CHECK(comes_to_its_end(client) && comes_to_its_end(server));
    CHECK(failures[0] == 0 && failures[1] == 0);
    end(client);
    end(server);
    close_service(&service);
    occupy_harts();
}

static void lock_while_it_is_there(void *unused)
{
    (void)unused;
    while (!has_made_a_mistake()) {
        fluke_mutex_lock(&mutex);
        if (!has_made_a_mistake())
            fluke_mutex_unlock(&mutex);
    }
}

static void call_while_it_is_there(void *exchange)
{
    do
        call_service(exchange);
    while (((struct exchange *)exchange)->status == FLUKE_SUCCESS);
}

static void serve_while_it_is_there(void *exchange)
{
    do
        serve_once(exchange);
    while (((struct exchange *)exchange)->receive_status == FLUKE_SUCCESS);
}

static void destroy_mutex_in_use(void)
{
    struct worker *workers[CROWD];

    free_harts();
    fluke_mutex_create(&mutex);
    for (unsigned i = 0; i < CROWD; i++)
        workers[i] = start_at(LOW, lock_while_it_is_there, NULL);
    sleep_ns(MOMENT_NS);
    spin(SPINS / 10);
    fluke_mutex_destroy(&mutex);
    for (unsigned i = 0; i < CROWD; i++) {
        CHECK(comes_to_its_end(workers[i]));
        CHECK_MISTAKE_OF(workers[i], FLUKE_INSANITY_NO_OBJECT, &mutex);
        end(workers[i]);
    }
    occupy_harts();
}

static void destroy_port_in_use(void)
{
    struct exchange calls = {.service = &service}, serves = calls;

    free_harts();
    open_service(&service);
    struct worker *client = start_at(LOW, call_while_it_is_there, &calls);
    struct worker *server = start_at(LOW, serve_while_it_is_there, &serves);
    sleep_ns(MOMENT_NS);
    spin(SPINS / 10);
    fluke_port_destroy(&service.port);
    CHECK(comes_to_its_end(client) && calls.status == FLUKE_IPC_CONNECT_INVALID_DEST && !server->done);
    fluke_portset_destroy(&service.portset);
    CHECK(comes_to_its_end(server));
    CHECK_MISTAKE_OF(server, FLUKE_INSANITY_NO_OBJECT, &service.portset);
    end(client);
    end(server);
    fluke_ref_destroy(&service.ref);
    occupy_harts();
}

const struct usertest hart_tests[] = {
    {"harts_beside", "Do as many threads run at a time as there are harts?", run_beside},
    {"harts_stop", "Has a running thread that is stopped or destroyed stopped when the call returns?", stop},
    {"harts_space_gone", "Has a running thread stopped when its space is destroyed?", destroy_space},
    {"harts_take_away", "Does no store get through to memory that a running thread has been deprived of?",
     take_pages_away},
    {"harts_add", "Are counters exact that several threads add to at the same time?", add},
    {"harts_take_turns", "Do threads come to their ends that run at the same time and wait for each other?", take_turns},
    {"harts_call", "Do a client and a server that run at the same time understand each other?", call_and_serve},
    {"harts_mutex_gone", "Does each thread notice that the mutex is destroyed that all of them lock?",
     destroy_mutex_in_use},
    {"harts_port_gone", "Do client and server notice that a port and a port set are destroyed that they use?",
     destroy_port_in_use},
    {0},
};
