/* Three spaces pass numbers through memory that they share, each at its own address: shared_memory [ROUNDS]. */

/*
 * The program's own space sends numbers. Two more spaces, which it makes, square them and add the squares up. Between
 * two spaces there is a ring; the mutex and the conditions that guard it lie in it, in the shared pages. An object is
 * known by the memory in which it lies, so each space names it by the address at which it sees that memory.
 *
 * A worker in another space starts with the program's code, at the same addresses, and with memory of its own; of the
 * program's variables it sees none. So what it calls must not use any, and it cannot print. It gets the shared pages by
 * asking for them: the answer carries a reference to the region, and the worker maps that where it likes.
 */

#include <ulib.h>

enum { READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE, READ_EXECUTE = FLUKE_PROT_READ | FLUKE_PROT_EXECUTE };
enum { SLOTS = 4, STACK_SIZE = 2048, SP = 2, A0 = 10 };

/* From the program's layout: code and constants, then its variables. */
extern const char fluke_code_start[], fluke_data_start[];

struct ring {
    fluke_mutex_t mutex; /* guards what follows */
    fluke_cond_t not_full, not_empty;
    uint64_t first, used; /* `used` of the slots, from `first` on, hold numbers */
    uint64_t slots[SLOTS];
};

/* What the spaces share: a page for each ring, and one for the end. 0 is not a number, but says that none follows. */
struct shared {
    _Alignas(FLUKE_PAGE_SIZE) struct ring numbers; /* from the program to the squarer */
    _Alignas(FLUKE_PAGE_SIZE) struct ring squares; /* from the squarer to the adder */
    _Alignas(FLUKE_PAGE_SIZE) struct ring results; /* from the adder to the program */
    _Alignas(FLUKE_PAGE_SIZE) fluke_mutex_t rest;  /* locked by the program for ever: whoever is done waits for it */
};

/* A worker's own memory, which it sees at OWN. The program sees it too, and fills it before the worker starts. */
struct own {
    _Alignas(FLUKE_PAGE_SIZE) fluke_thread_t thread;
    fluke_ref_t space_ref, port_ref; /* to its space, and to the port where it asks */
    fluke_ref_t shared_ref;          /* to what it has asked for, the region of the shared pages */
    fluke_mapping_t view, second_view;
    _Alignas(16) char stack[STACK_SIZE];
};

#define OWN ((struct own *)0x1000000000)
#define SQUARERS_VIEW ((struct shared *)0x2000000000)
#define ADDERS_VIEW ((struct shared *)0x3000000000)
#define READ_ONLY_VIEW ((struct shared *)0x3100000000)

static void create_ring(struct ring *ring)
{
    fluke_mutex_create(&ring->mutex);
    fluke_cond_create(&ring->not_full);
    fluke_cond_create(&ring->not_empty);
}

static void put(struct ring *ring, uint64_t number)
{
    fluke_mutex_lock(&ring->mutex);
    while (ring->used == SLOTS)
        fluke_cond_wait(&ring->not_full, &ring->mutex);
    ring->slots[(ring->first + ring->used++) % SLOTS] = number;
    fluke_cond_signal(&ring->not_empty);
    fluke_mutex_unlock(&ring->mutex);
}

static uint64_t take(struct ring *ring)
{
    fluke_mutex_lock(&ring->mutex);
    while (ring->used == 0)
        fluke_cond_wait(&ring->not_empty, &ring->mutex);
    uint64_t number = ring->slots[ring->first];
    ring->first = (ring->first + 1) % SLOTS;
    ring->used--;
    fluke_cond_signal(&ring->not_full);
    fluke_mutex_unlock(&ring->mutex);
    return number;
}

static void map(fluke_mapping_t *mapping, fluke_ref_t *region_ref, uint64_t offset, size_t size, uint64_t prot,
                fluke_ref_t *space_ref, const void *address)
{
    struct fluke_mapping_state state = {
        .region_off = offset, .start_va = (uint64_t)address, .size = size, .prot = prot};

    fluke_mapping_create(mapping);
    fluke_mapping_set_state(mapping, &state, region_ref, space_ref);
}

/*
 * Stores a word: {0, 0}, or the exception that this was. The handler is entered with (thread, code, address). It does
 * not go back to the instruction, which would fail again, but returns from this function in its place.
 */
struct fault {
    uint64_t code, address;
};
struct fault try_store(uint64_t *address, uint64_t word);
void on_fault(void);

__asm__(".section .text.try_store, \"ax\", @progbits\n"
        "try_store: sd a1, 0(a0)\n  li a0, 0\n  li a1, 0\n  ret\n"
        "on_fault: mv a0, a1\n  mv a1, a2\n  ret\n"
        ".text\n");

/* From here on, what the workers do. Asks for the shared pages, and says where they will be seen. */
static struct shared *join(struct own *own, struct shared *view)
{
    uint64_t request = (uint64_t)view;
    fluke_ref_t *wanted = &own->shared_ref;
    struct fluke_ipc_params params = {
        .send_buffer = &request, .send_words = 1, .receive_ref_table = &wanted, .receive_ref_count = 1};

    fluke_ref_create(&own->shared_ref);
    fluke_ipc_call(&own->port_ref, &params);
    map(&own->view, &own->shared_ref, 0, sizeof *view, READ_WRITE, &own->space_ref, view);
    return view;
}

/* A thread in a space of its own: squares what comes. */
static void square(struct own *own)
{
    struct shared *shared = join(own, SQUARERS_VIEW);
    uint64_t number;

    do {
        number = take(&shared->numbers);
        put(&shared->squares, number * number);
    } while (number != 0);
    fluke_mutex_lock(&shared->rest);
}

/*
 * Looks at the pages through a second mapping, which asks for less than the region gives: what is written at one
 * address is read at the other, where nothing can be written. No other space has forbidden it, so none is asked: the
 * thread's own handler is told.
 */
static void look(struct own *own, struct shared *shared)
{
    fluke_thread_t *self = fluke_thread_self();
    struct shared *second = READ_ONLY_VIEW;

    map(&own->second_view, &own->shared_ref, 0, sizeof *second, FLUKE_PROT_READ, &own->space_ref, second);
    put(&shared->results, memcmp(&second->squares, &shared->squares, sizeof shared->squares) == 0);

    fluke_thread_set_handlers(self, on_fault, NULL, NULL, NULL);
    fluke_thread_enable_exceptions(self);
    struct fault fault = try_store(&second->squares.used, SLOTS);
    put(&shared->results, fault.code);
    put(&shared->results, fault.address);
}

/* A thread in a space of its own: counts the squares that come in their places, and adds up what comes. */
static void add(struct own *own)
{
    struct shared *shared = join(own, ADDERS_VIEW);
    uint64_t count = 0, sum = 0;

    for (uint64_t place = 1, number; (number = take(&shared->squares)) != 0; place++) {
        count += number == place * place;
        sum += number;
    }
    put(&shared->results, count);
    put(&shared->results, sum);
    look(own, shared);
    fluke_mutex_lock(&shared->rest);
}

/* From here on, what the program's own space does and has. */
struct export { /* a part of this space that others can map */
    fluke_region_t region;
    fluke_ref_t ref;
};

enum { WORKERS = 2 };

static struct worker {
    fluke_space_t space;
    fluke_mapping_t code_mapping, own_mapping;
} workers[WORKERS];

static struct shared shared;
static struct own owns[WORKERS];
static struct export code_export, owns_export, shared_export;
static fluke_portset_t portset;
static fluke_port_t port; /* where the workers ask */

static void export(struct export *export, const void *start, size_t size, uint64_t prot)
{
    struct fluke_region_state state = {.start_va = (uint64_t)start, .size = size, .prot = prot};

    fluke_region_create(&export->region);
    fluke_region_set_state(&export->region, &state, fluke_start_block->space_ref, NULL);
    fluke_ref_create(&export->ref);
    fluke_region_reference(&export->region, &export->ref);
}

static void open_port(void)
{
    struct fluke_port_state state = {.alias = 1};
    fluke_ref_t portset_ref;

    fluke_portset_create(&portset);
    fluke_port_create(&port);
    fluke_ref_create(&portset_ref);
    fluke_portset_reference(&portset, &portset_ref);
    fluke_port_set_state(&port, &state, &portset_ref);
    fluke_ref_destroy(&portset_ref);
}

static void prepare(void)
{
    create_ring(&shared.numbers);
    create_ring(&shared.squares);
    create_ring(&shared.results);
    fluke_mutex_create(&shared.rest);
    fluke_mutex_lock(&shared.rest);
    export(&code_export, fluke_code_start, (size_t)(fluke_data_start - fluke_code_start), READ_EXECUTE);
    export(&owns_export, owns, sizeof owns, READ_WRITE);
    export(&shared_export, &shared, sizeof shared, READ_WRITE);
    open_port();
}

/* Makes a space, what a worker needs in it, and the worker's thread; what that one is to name lies where it sees it. */
static void start(size_t index, void (*function)(struct own *))
{
    struct worker *worker = &workers[index];
    struct own *own = &owns[index];
    struct fluke_thread_state state = {
        .thread_va = (uint64_t)&OWN->thread,
        .priority = FLUKE_PRIORITY_DEFAULT,
        .pc = (uint64_t)function,
        .x = {[SP] = (uint64_t)(OWN->stack + STACK_SIZE), [A0] = (uint64_t)OWN},
    };

    fluke_space_create(&worker->space);
    fluke_ref_create(&own->space_ref);
    fluke_space_reference(&worker->space, &own->space_ref);
    map(&worker->code_mapping, &code_export.ref, 0, (size_t)(fluke_data_start - fluke_code_start), READ_EXECUTE,
        &own->space_ref, fluke_code_start);
    map(&worker->own_mapping, &owns_export.ref, index * sizeof *own, sizeof *own, READ_WRITE, &own->space_ref, OWN);

    fluke_ref_create(&own->port_ref);
    fluke_port_reference(&port, &own->port_ref);
    fluke_thread_create(&own->thread);
    fluke_thread_set_state(&own->thread, &state, &own->space_ref, NULL, NULL, NULL, NULL);
}

/* Answers every worker once, with the reference to the shared pages. */
static void hand_out(void)
{
    fluke_ref_t *given = &shared_export.ref;
    uint64_t view;

    for (int i = 0; i < WORKERS; i++) {
        struct fluke_ipc_params request = {.receive_buffer = &view, .receive_words = 1};
        struct fluke_ipc_params reply = {.send_ref_table = &given, .send_ref_count = 1};

        fluke_ipc_setup_wait_receive(&portset, &request, NULL);
        printf("a space asks for the shared pages, to see them at 0x%lx\n", view);
        fluke_ipc_reply(&reply);
    }
}

/* Sends the numbers from 1 to `rounds`; true if what comes back is right. */
static bool pass(uint64_t rounds)
{
    uint64_t expected = 0;

    for (uint64_t number = 1; number <= rounds; number++) {
        put(&shared.numbers, number);
        expected += number * number;
    }
    put(&shared.numbers, 0);
    uint64_t count = take(&shared.results), sum = take(&shared.results);
    printf("%lu numbers went through three spaces, the sum of their squares is %lu\n", count, sum);

    bool same = take(&shared.results);
    uint64_t code = take(&shared.results), address = take(&shared.results);
    bool refused = code == FLUKE_EXCEPTION_STORE_FAULT && address == (uint64_t)&READ_ONLY_VIEW->squares.used;
    printf("a read-only view at 0x%lx shows %s, and a store to it was %s\n", (uint64_t)READ_ONLY_VIEW,
           same ? "the same" : "something else", refused ? "refused" : "not refused");
    return count == rounds && sum == expected && same && refused;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 1000;

    if (rounds < 0) {
        puts("usage: shared_memory [ROUNDS]");
        return 2;
    }
    prepare();
    start(0, square);
    start(1, add);
    hand_out();
    return pass((uint64_t)rounds) ? 0 : 1;
}
