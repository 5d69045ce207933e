/* Makes every system call with bad addresses, each in a thread of its own; only that thread may be lost. */

#include <ulib.h>

#include "entry_points.h"

enum { STACK_SIZE = 2048, BUFFER_WORDS = 128, MESSAGE_WORDS = 2, A0 = 10, PROGRESS = 31 };

/* Performs the call `number` with all argument registers as given: x5-x7, x10-x16 and x28-x31 of `registers`. */
void call_raw(uint64_t number, const uint64_t *registers);
__asm__(".text\n"
        "call_raw:\n"
        "  mv a7, a0\n  mv t6, a1\n"
        "  ld t0, 40(t6)\n  ld t1, 48(t6)\n  ld t2, 56(t6)\n"
        "  ld a0, 80(t6)\n  ld a1, 88(t6)\n  ld a2, 96(t6)\n  ld a3, 104(t6)\n"
        "  ld a4, 112(t6)\n  ld a5, 120(t6)\n  ld a6, 128(t6)\n"
        "  ld t3, 224(t6)\n  ld t4, 232(t6)\n  ld t5, 240(t6)\n  ld t6, 248(t6)\n"
        "  ecall\n  ret\n");

/* One of each, for the arguments that are not under test. */
static fluke_thread_t thread;
static fluke_space_t space;
static fluke_region_t region;
static fluke_mapping_t mapping;
static fluke_port_t port;
static fluke_portset_t portset;
static fluke_mutex_t mutex;
static fluke_ref_t null_ref, port_ref, portset_ref, unused_place;
static void *const objects[] = {
    [FLUKE_THREAD] = &thread, [FLUKE_SPACE] = &space,     [FLUKE_REGION] = &region, [FLUKE_MAPPING] = &mapping,
    [FLUKE_PORT] = &port,     [FLUKE_PORTSET] = &portset, [FLUKE_MUTEX] = &mutex,   [FLUKE_REF] = &null_ref,
};
static uint64_t buffer[BUFFER_WORDS];
static struct { fluke_mutex_t mutex; uint64_t room[BUFFER_WORDS]; } occupied;
static const uint64_t constants[BUFFER_WORDS] __attribute__((aligned(16))) = {1};

static struct attempt {
    const struct entry_point *call;
    uint64_t registers[32];
    volatile bool returned;
} attempt;

static unsigned made, returned;

static void make_objects(void)
{
    struct fluke_port_state state = {.alias = 1};

    fluke_thread_create(&thread);
    fluke_space_create(&space);
    fluke_region_create(&region);
    fluke_mapping_create(&mapping);
    fluke_port_create(&port);
    fluke_portset_create(&portset);
    fluke_mutex_create(&mutex);
    fluke_ref_create(&null_ref);
    fluke_ref_create(&port_ref);
    fluke_ref_create(&portset_ref);
    fluke_mutex_create(&occupied.mutex);
    fluke_portset_reference(&portset, &portset_ref);
    fluke_port_set_state(&port, &state, &portset_ref);
    fluke_port_reference(&port, &port_ref);
}

static uint64_t good_value(const struct entry_point *call, unsigned index)
{
    switch (call->arguments[index].kind) {
    case OBJECT:
    case SELF:
        return (uint64_t)objects[call->arguments[index].type];
    case PLACE:
        return (uint64_t)&unused_place;
    case REFERENCE: /* in a0 a message's destination: a device that answers, as operation 0 asks if it is there */
        return (uint64_t)(call->arguments[index].number == A0 ? fluke_start_block->timer_ref : &null_ref);
    case READ:
    case WRITTEN:
    case ADDRESS:
        return (uint64_t)buffer;
    case WORDS:
        return call->arguments[index].number == PROGRESS ? 0 : MESSAGE_WORDS;
    default:
        return 0;
    }
}

static void commit(void *unused)
{
    (void)unused;
    call_raw(attempt.call->number, attempt.registers);
    attempt.returned = true;
}

/* Sends to a thread that waits for a message at the port set, so that it uses its receive buffer and table. */
static void send_to_waiting(void *unused)
{
    uint64_t words[MESSAGE_WORDS] = {0};
    fluke_ref_t *references[] = {&null_ref};
    struct fluke_ipc_params params = {
        .send_buffer = words,
        .send_words = MESSAGE_WORDS,
        .send_ref_table = references,
        .send_ref_count = 1,
    };

    (void)unused;
    fluke_ipc_call(&port_ref, &params);
}

/* Starts a thread that receives from the port set without having asked. */
static fluke_thread_t *start(void (*function)(void *))
{
    struct fluke_thread_state state;
    fluke_thread_t *started = fluke_thread_start(function, NULL, STACK_SIZE);

    if (started == NULL) {
        puts("no memory for a thread");
        exit(1);
    }
    fluke_thread_get_state(started, &state, NULL, NULL, NULL, NULL, NULL);
    state.flags &= ~(uint64_t)FLUKE_THREAD_STOPPED;
    state.server_portset = (uint64_t)&portset;
    fluke_thread_set_state(started, &state, NULL, NULL, NULL, NULL, NULL);
    return started;
}

/* Stops a thread, whatever it does, and frees all it had. */
static void end(fluke_thread_t *ended)
{
    fluke_thread_get_state(ended, NULL, NULL, NULL, NULL, NULL, NULL);
    fluke_thread_destroy(ended);
    free(ended);
}

static void try(const struct entry_point *call, unsigned index, uint64_t address)
{
    if (call->arguments[index].kind == OBJECT && call->arguments[index].type == FLUKE_MUTEX
        && address == (uint64_t)&occupied)
        return; /* nothing bad about it */
    if (call->number == FLUKE_CALL_THREAD_SET_STATE) /* zeros will do for the other types */
        fluke_thread_get_state(&thread, (struct fluke_thread_state *)buffer, NULL, NULL, NULL, NULL, NULL);
    else
        memset(buffer, 0, sizeof buffer);
    attempt = (struct attempt){.call = call};
    for (unsigned i = 0; i < call->argument_count; i++)
        attempt.registers[call->arguments[i].number] = good_value(call, i);
    attempt.registers[call->arguments[index].number] = address;
    /* A table of references or buffers is read only if it has entries. */
    if (call->arguments[index].length_register != 0)
        attempt.registers[call->arguments[index].length_register] = 1;

    fluke_thread_t *guilty = start(commit), *client = start(send_to_waiting);
    fluke_sleep_us(100);
    made++;
    returned += attempt.returned;
    end(client);
    end(guilty);
}

int main(int argc, char **argv)
{
    const uint64_t bad[] = {
        0,
        0x3000000000,            /* unmapped */
        (uint64_t)&buffer + 1,   /* not aligned */
        0xffffffff80000000,      /* the kernel's in many a system */
        (uint64_t)constants,     /* read-only */
        (uint64_t)&occupied,     /* an object of another type, or no buffer */
    };

    make_objects();
    for (size_t i = 0; i < sizeof entry_points / sizeof *entry_points; i++) {
        const struct entry_point *call = &entry_points[i];
        unsigned made_before = made, returned_before = returned;

        if (argc > 1 && strcmp(argv[1], call->name) != 0)
            continue;
        for (unsigned j = 0; j < call->argument_count; j++)
            if (call->arguments[j].kind <= ADDRESS)
                for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
                    try(call, j, bad[k]);
        printf("%-*s %3u attempts, %3u returned\n", LONGEST_NAME, call->name, made - made_before,
               returned - returned_before);
    }
    printf("alive after %u attempts, %u returned\n", made, returned);
    return 0;
}
