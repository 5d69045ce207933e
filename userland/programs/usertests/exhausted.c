/* A kernel whose memory is used up: cases that run only when they are named, for others would notice. */

#include "usertests.h"

#include "../../tests/entry_points.h"

enum { CALLS = sizeof entry_points / sizeof *entry_points, MOST_SPACES = 1024, MOST_REFS = 64 };

static fluke_space_t spaces[MOST_SPACES];
static fluke_ref_t refs[MOST_REFS];
static fluke_thread_t place;
static uint64_t untouched[2 * PAGE_WORDS] __attribute__((aligned(FLUKE_PAGE_SIZE)));
static unsigned space_count, ref_count;

/* Takes all memory that objects can have: first in large pieces, then in small ones. */
static void use_up(void)
{
    memset(spaces, 0, sizeof spaces);
    memset(refs, 0, sizeof refs);
    for (space_count = 0; space_count < MOST_SPACES; space_count++)
        if (fluke_space_create(&spaces[space_count]) != FLUKE_SUCCESS)
            break;
    for (ref_count = 0; ref_count < MOST_REFS; ref_count++)
        if (fluke_ref_create(&refs[ref_count]) != FLUKE_SUCCESS)
            break;
    CHECK(space_count < MOST_SPACES && ref_count < MOST_REFS);
}

static void give_back(void)
{
    while (space_count > 0)
        fluke_space_destroy(&spaces[--space_count]);
    while (ref_count > 0)
        fluke_ref_destroy(&refs[--ref_count]);
}

/* A call that makes something: its first operand is where. */
static void make_nothing(const struct entry_point *call)
{
    struct registers registers = {0};

    good_operands(call, registers.x);
    registers.x[A0] = (uint64_t)&place;
    call_with(&registers);
    if (registers.x[A0] != FLUKE_NO_MEMORY || runner.mistake.count > 0)
        fail("%s: status %lu", call->name, registers.x[A0]);
}

static void no_memory(void)
{
    place = (fluke_thread_t){0};
    make_operands();
    use_up();
    for (const struct entry_point *call = entry_points; call < entry_points + CALLS; call++)
        if (call->arguments[0].kind == PLACE)
            make_nothing(call);
    give_back();
    end_operands();
}

/* A call with one operand in a page that nobody has touched yet. */
static void touch(const struct entry_point *call, unsigned argument)
{
    unsigned kind = call->arguments[argument].kind, length_register = call->arguments[argument].length_register;
    bool is_message = call->number >= FLUKE_CALL_IPC_SEND;
    struct registers registers = {0};

    good_operands(call, registers.x);
    registers.x[call->arguments[argument].number] = (uint64_t)untouched;
    if (is_message && kind != OBJECT) {
        if (length_register != 0) /* a table is not read before it is needed; its buffer will do */
            return;
        registers.x[call->arguments[argument + 1].number] = 1;
    }
    call_with(&registers);
    if (runner.mistake.count != 1 || runner.mistake.code != FLUKE_INSANITY_OUT_OF_MEMORY)
        fail("%s, operand %u: %u mistakes, 0x%lx", call->name, argument, runner.mistake.count, runner.mistake.code);
    runner.mistake.count = 0;
}

static void out_of_memory(void)
{
    static struct service service;
    struct exchange exchange = {.service = &service};
    struct fluke_ipc_params params = {0};

    make_operands();
    open_service(&service);
    struct worker *client = start(call_service, &exchange);
    CHECK(fluke_ipc_setup_wait_receive(&service.portset, &params, NULL) == FLUKE_SUCCESS); /* for the replies */
    use_up();
    for (const struct entry_point *call = entry_points; call < entry_points + CALLS; call++) {
        bool answers = call->number == FLUKE_CALL_IPC_REPLY || call->number == FLUKE_CALL_IPC_REPLY_WAIT_RECEIVE;

        for (unsigned i = 0; i < (answers ? 1 : call->argument_count); i++)
            if (call->arguments[i].kind == OBJECT || call->arguments[i].kind == PLACE
                || call->arguments[i].kind == REFERENCE || call->arguments[i].kind == READ
                || call->arguments[i].kind == WRITTEN)
                touch(call, i);
    }
    give_back();
    fluke_ipc_reply(&params);
    end(client);
    close_service(&service);
    end_operands();
}

const struct usertest exhausting_tests[] = {
    {"no_memory", "Is every new object refused when memory is used up?", no_memory},
    {"out_of_memory", "Is it every call's exception that touches a new page when memory is used up?", out_of_memory},
    {0},
};
