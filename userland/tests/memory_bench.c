/* Faults, mappings and spaces, for measurements: memory_bench OPERATION COUNT [SPACES]. */

#include <pager.h>

/* Operations come in pairs: what is measured, and the same without it, so that a difference is the thing itself. */

#define VIEW ((volatile uint64_t *)0x2000000000)
#define SPAN (16ul << 20)

enum { AROUND = 16, PAGE_WORDS = FLUKE_PAGE_SIZE / FLUKE_WORD_SIZE, SPACE_SIZE = 1 << 20 };
enum { S0 = 8, S1 = 9, S2 = 18 }; /* numbers of registers */
enum { READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE, READ_EXECUTE = FLUKE_PROT_READ | FLUKE_PROT_EXECUTE };

extern const char fluke_code_start[], fluke_data_start[];

static long count, space_count;
static char *memory; /* of the heap, on whole pages; the view shows it */
static fluke_region_t region;
static fluke_mapping_t view;
static fluke_ref_t region_ref;
static struct fluke_keeper keeper;

static char *pages_of_heap(size_t size)
{
    char *block = malloc(size + FLUKE_PAGE_SIZE);

    if (block == NULL) {
        puts("not enough memory");
        exit(1);
    }
    return (char *)(((uintptr_t)block + FLUKE_PAGE_SIZE - 1) & ~(uintptr_t)(FLUKE_PAGE_SIZE - 1));
}

static void map(size_t size)
{
    struct fluke_mapping_state state = {.start_va = (uint64_t)VIEW, .size = size, .prot = READ_WRITE};

    fluke_mapping_set_state(&view, &state, &region_ref, fluke_start_block->space_ref);
}

/* A region over memory of the heap, and a view of it. */
static void open_view(size_t size, fluke_ref_t *keeper_ref)
{
    struct fluke_region_state state = {.size = size, .prot = READ_WRITE};

    memory = pages_of_heap(size);
    state.start_va = (uint64_t)memory;
    fluke_region_create(&region);
    fluke_region_set_state(&region, &state, fluke_start_block->space_ref, keeper_ref);
    fluke_ref_create(&region_ref);
    fluke_region_reference(&region, &region_ref);
    fluke_mapping_create(&view);
    map(size);
}

static bool give_back(void *unused, const struct fluke_fault_message *fault)
{
    (void)unused;
    (void)fault;
    fluke_region_protect(&region, READ_WRITE);
    return true;
}

/* The page is taken away, each time; then it is touched, and the keeper gives it back. */
static void take_away(void)
{
    open_view(FLUKE_PAGE_SIZE, NULL);
    for (long i = 0; i < count; i++)
        fluke_region_protect(&region, FLUKE_PROT_NONE);
}

static void hard(void)
{
    if (!fluke_keeper_open(&keeper, give_back, NULL))
        exit(1);
    open_view(FLUKE_PAGE_SIZE, &keeper.server.ref);
    for (long i = 0; i < count; i++) {
        fluke_region_protect(&region, FLUKE_PROT_NONE);
        (void)VIEW[0];
    }
}

/* 16 MiB at once. Of every AROUND pages one, or all, or none are there; then one of every AROUND is touched. */
static void map_and_unmap(size_t present_pages)
{
    open_view(SPAN, NULL);
    for (size_t page = 0; page < SPAN / FLUKE_PAGE_SIZE; page++)
        if (page % AROUND < present_pages)
            memory[page * FLUKE_PAGE_SIZE] = 1;
    for (long i = 0; i < count; i++) {
        map(SPAN);
        for (size_t page = 0; present_pages > 0 && page < SPAN / FLUKE_PAGE_SIZE; page += AROUND)
            (void)VIEW[page * PAGE_WORDS];
        map(0);
    }
}

static void map_only(void)
{
    map_and_unmap(0);
}

static void map_some(void)
{
    map_and_unmap(1);
}

static void map_all(void)
{
    map_and_unmap(AROUND);
}

/* Many spaces, each with 1 MiB of its own and a thread in it. */

struct place {
    char *memory; /* 1 MiB; its first page holds the mutexes, one for every other turn */
    fluke_space_t space;
    fluke_thread_t thread;
    fluke_region_t region;
    fluke_mapping_t code, mapping;
    bool turn;
};

/*
 * Locks one mutex after the other, which it is given in turn, and touches a page while it has one. It needs no stack.
 * The mutexes are in s0 and s1, the address to be touched in s2.
 */
__attribute__((naked)) static void touch_in_turn(void)
{
    __asm__ volatile("1:  mv   a0, s0\n"
                     "    li   a7, %0\n"
                     "    ecall\n"
                     "    ld   t0, 0(s2)\n"
                     "    mv   a0, s0\n"
                     "    li   a7, %1\n"
                     "    ecall\n"
                     "    mv   t1, s0\n"
                     "    mv   s0, s1\n"
                     "    mv   s1, t1\n"
                     "    j    1b\n"
                     :
                     : "i"(FLUKE_CALL_MUTEX_LOCK), "i"(FLUKE_CALL_MUTEX_UNLOCK));
}

static fluke_mutex_t *mutex_of(struct place *place, bool turn)
{
    return (fluke_mutex_t *)place->memory + turn;
}

static void show(fluke_region_t *shown, const char *start, size_t size, uint64_t prot, fluke_mapping_t *mapping,
                 const volatile void *at, fluke_ref_t *space_ref)
{
    struct fluke_region_state range = {.start_va = (uint64_t)start, .size = size, .prot = prot};
    struct fluke_mapping_state state = {.start_va = (uint64_t)at, .size = size, .prot = prot};
    fluke_ref_t ref;

    fluke_ref_create(&ref);
    fluke_region_create(shown);
    fluke_region_set_state(shown, &range, fluke_start_block->space_ref, NULL);
    fluke_region_reference(shown, &ref);
    fluke_mapping_create(mapping);
    fluke_mapping_set_state(mapping, &state, &ref, space_ref);
    fluke_ref_destroy(&ref);
}

/* Every page of the place is there; its thread has the greater priority, and waits when this returns. */
static void make_place(struct place *place, fluke_region_t *code)
{
    struct fluke_thread_state state = {.priority = FLUKE_PRIORITY_DEFAULT + 1, .pc = (uint64_t)touch_in_turn};
    fluke_ref_t space_ref;

    for (size_t offset = 0; offset < SPACE_SIZE; offset += FLUKE_PAGE_SIZE)
        place->memory[offset] = 1;
    fluke_ref_create(&space_ref);
    fluke_space_create(&place->space);
    fluke_space_reference(&place->space, &space_ref);
    show(code, fluke_code_start, (size_t)(fluke_data_start - fluke_code_start), READ_EXECUTE, &place->code,
         fluke_code_start, &space_ref);
    show(&place->region, place->memory, SPACE_SIZE, READ_WRITE, &place->mapping, VIEW, &space_ref);
    for (int turn = 0; turn < 2; turn++) {
        fluke_mutex_create(mutex_of(place, turn));
        fluke_mutex_lock(mutex_of(place, turn));
    }
    fluke_thread_create(&place->thread);
    state.x[S0] = (uint64_t)VIEW;
    state.x[S1] = (uint64_t)VIEW + FLUKE_SLOT_SIZE;
    state.x[S2] = (uint64_t)VIEW + FLUKE_PAGE_SIZE;
    fluke_thread_set_state(&place->thread, &state, &space_ref, NULL, NULL, NULL, NULL);
    fluke_ref_destroy(&space_ref);
}

/* In each round one space loses what was looked up for it, and its thread runs, and touches a page. */
static void spaces(void)
{
    struct place *places = calloc((size_t)space_count, sizeof *places);
    fluke_region_t *code = calloc((size_t)space_count, sizeof *code);

    for (long i = 0; i < space_count; i++) {
        places[i].memory = pages_of_heap(SPACE_SIZE);
        make_place(&places[i], &code[i]);
    }
    puts("ready");
    getchar(); /* who measures may look, and go on with a line of input */
    for (long i = 0; i < count; i++) {
        struct place *place = &places[i % space_count];

        fluke_mapping_protect(&place->mapping, READ_WRITE);
        fluke_mutex_unlock(mutex_of(place, place->turn));
        fluke_mutex_lock(mutex_of(place, place->turn));
        place->turn = !place->turn;
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} operations[] = {
    {"take_away", take_away}, {"hard", hard},       {"map", map_only},
    {"map_some", map_some},   {"map_all", map_all}, {"spaces", spaces},
};

int main(int argc, char **argv)
{
    count = argc > 2 ? atol(argv[2]) : 1000;
    space_count = argc > 3 ? atol(argv[3]) : 1;
    for (size_t i = 0; argc > 1 && i < sizeof operations / sizeof *operations; i++) {
        if (strcmp(argv[1], operations[i].name) == 0) {
            operations[i].run();
            printf("%s: %ld times\n", argv[1], count);
            return 0;
        }
    }
    puts("usage: memory_bench take_away|hard|map|map_some|map_all|spaces [COUNT [SPACES]]");
    return 2;
}
