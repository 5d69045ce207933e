/* Every register that a call's table does not name as a result keeps its value, however the call comes about. */

#include "usertests.h"

#include "../../tests/entry_points.h"

enum { CALLS = sizeof entry_points / sizeof *entry_points };

#define MAGIC(number) (0x5a5a000000000000 + (uint64_t)(number) * 0x100000001)
#define FLOATING_MAGIC(number) (0x3ff0000000000000 + (uint64_t)(number) * 0x10001)

/*
 * Loads all registers, makes the call, and stores all. On the stack are the callee's registers, then the address of
 * `registers` and a place for the first register that is stored; an exception's handler uses what is below.
 */
__attribute__((naked)) void call_with(struct registers *registers)
{
    __asm__ volatile(
        "addi sp, sp, -240\n"
        "sd ra, 0(sp)\n sd gp, 8(sp)\n sd tp, 16(sp)\n sd s0, 24(sp)\n sd s1, 32(sp)\n"
        ".irp n, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n sd s\\n, 24 + 8 * \\n(sp)\n .endr\n"
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n fsd fs\\n, 120 + 8 * \\n(sp)\n .endr\n"
        "sd a0, 216(sp)\n"
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "fld f\\n, 256 + 8 * \\n(a0)\n .endr\n"
        ".irp n, 1,3,4,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "ld x\\n, 8 * \\n(a0)\n .endr\n"
        "ld a0, 80(a0)\n"
        ".option push\n.option norvc\n ecall\n .option pop\n"
        "sd ra, 224(sp)\n ld ra, 216(sp)\n"
        ".irp n, 3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "sd x\\n, 8 * \\n(ra)\n .endr\n"
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "fsd f\\n, 256 + 8 * \\n(ra)\n .endr\n"
        "ld a0, 224(sp)\n sd a0, 8(ra)\n"
        "ld ra, 0(sp)\n ld gp, 8(sp)\n ld tp, 16(sp)\n ld s0, 24(sp)\n ld s1, 32(sp)\n"
        ".irp n, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n ld s\\n, 24 + 8 * \\n(sp)\n .endr\n"
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n fld fs\\n, 120 + 8 * \\n(sp)\n .endr\n"
        "addi sp, sp, 240\n"
        "ret\n");
}

/* One call in all registers: the operands as given, a number of its own in every other one. */
struct attempt {
    const struct entry_point *call;
    struct registers before, after;
};
static struct attempt attempt;

static const struct entry_point *find_call(uint64_t number)
{
    const struct entry_point *call = entry_points;

    while (call->number != number)
        call++;
    return call;
}

static void prepare(struct attempt *one, const struct entry_point *call)
{
    one->call = call;
    for (unsigned i = 1; i < 32; i++) {
        one->before.x[i] = MAGIC(i);
        one->before.f[i] = FLOATING_MAGIC(i);
    }
    one->before.f[0] = FLOATING_MAGIC(32);
    one->before.x[A7] = call->number;
    for (unsigned i = 0; i < call->argument_count; i++) /* a message has nothing to send and no room */
        one->before.x[call->arguments[i].number] = 0;
}

static void perform(void *argument)
{
    struct attempt *one = argument;

    one->after = one->before;
    call_with(&one->after);
}

static void check_kept(const struct attempt *one, uint32_t results)
{
    for (unsigned i = 1; i < 32; i++)
        if (i != SP && !(results & 1u << i) && one->after.x[i] != one->before.x[i])
            fail("%s: x%u is 0x%lx, was 0x%lx", one->call->name, i, one->after.x[i], one->before.x[i]);
    for (unsigned i = 0; i < 32; i++)
        if (one->after.f[i] != one->before.f[i])
            fail("%s: f%u is 0x%lx, was 0x%lx", one->call->name, i, one->after.f[i], one->before.f[i]);
}

/* The magic numbers are no addresses of anything, and no flags: every call with operands is a mistake. */
static void keep_after_mistakes(void)
{
    for (unsigned i = 0; i < CALLS; i++) {
        const struct entry_point *call = &entry_points[i];

        if (call->argument_count == 0 || call->number >= FLUKE_CALL_IPC_SEND)
            continue;
        prepare(&attempt, call);
        for (unsigned j = 0; j < call->argument_count; j++)
            attempt.before.x[call->arguments[j].number] = MAGIC(call->arguments[j].number);
        runner.mistake.count = 0;
        perform(&attempt);
        if (runner.mistake.count != 1)
            fail("%s: %u mistakes", call->name, runner.mistake.count);
        runner.mistake.count = 0;
        check_kept(&attempt, 0);
    }
}

/* What a call with good operands has made, and what it has changed of the thread itself. */
static void undo(const struct entry_point *call)
{
    struct registers destroy = {0};

    if (call->arguments[0].kind == PLACE || call->arguments[1].kind == PLACE) {
        destroy.x[A0] = attempt.before.x[call->arguments[0].kind == PLACE ? A0 : A1];
        destroy.x[A7] = (call->number & ~(uint64_t)63) + (FLUKE_CALL_REF_DESTROY - FLUKE_CALL_REF_CREATE);
        call_with(&destroy);
    }
    fluke_thread_set_server_entries(fluke_thread_self(), 0, 0, 0, 0);
    record_exceptions();
}

/* Every call that does not wait, with good operands; some are mistakes all the same, as to unlock what is not owned. */
static void keep_at_once(void)
{
    for (unsigned i = 0; i < CALLS; i++) {
        const struct entry_point *call = &entry_points[i];

        if (call->number == FLUKE_CALL_THREAD_RETURN_FROM_EXCEPTION
            || (call->number >= FLUKE_CALL_IPC_SEND && call->argument_count > 0))
            continue;
        make_operands();
        prepare(&attempt, call);
        good_operands(call, attempt.before.x);
        perform(&attempt);
        bool is_mistake = runner.mistake.count > 0;
        undo(call);
        end_operands(); /* of which one may be gone */
        runner.mistake.count = 0;
        check_kept(&attempt, is_mistake ? 0 : call->results);
    }
}

/* Calls that wait until `release` lets them go on. */
static struct service service;
static fluke_mutex_t gate;
static fluke_cond_t signalled;
static struct worker *waiter, *server;

static void release_mutex(void)
{
    fluke_mutex_unlock(&gate);
}

static void signal(void)
{
    fluke_mutex_unlock(&gate);
    fluke_cond_signal(&signalled);
}

static void receive(void *unused)
{
    struct fluke_ipc_params params = {0};

    (void)unused;
    fluke_ipc_setup_wait_receive(&service.portset, &params, NULL);
    fluke_ipc_reply(&params);
    fluke_ipc_server_ack_send(&params);
    fluke_ipc_server_disconnect();
}

static void serve(void)
{
    server = start(receive, NULL);
}

static void send(void)
{
    struct fluke_ipc_params params = {0};

    CHECK(fluke_ipc_send(&service.ref, &params) == FLUKE_SUCCESS);
}

static void lock_and_perform(void *argument)
{
    fluke_mutex_lock(&gate);
    perform(argument);
    fluke_mutex_unlock(&gate);
}

static const struct waiting {
    uint64_t number, remaining; /* the call, and the one that it ends as */
    void *operands[2];
    void (*perform)(void *), (*release)(void);
} waitings[] = {
    {FLUKE_CALL_MUTEX_LOCK, FLUKE_CALL_MUTEX_LOCK, {&gate}, perform, release_mutex},
    {FLUKE_CALL_COND_WAIT, FLUKE_CALL_MUTEX_LOCK, {&signalled, &gate}, lock_and_perform, signal},
    {FLUKE_CALL_IPC_SEND, FLUKE_CALL_IPC_SEND, {&service.ref}, perform, serve},
    {FLUKE_CALL_IPC_CALL, FLUKE_CALL_IPC_CALL, {&service.ref}, perform, serve},
    {FLUKE_CALL_IPC_SETUP_WAIT_RECEIVE, FLUKE_CALL_IPC_WAIT_RECEIVE, {&service.portset}, perform, send},
    {FLUKE_CALL_IPC_CLIENT_CONNECT_SEND, FLUKE_CALL_IPC_CLIENT_SEND, {&service.ref}, perform, serve},
    {FLUKE_CALL_IPC_CLIENT_CONNECT_SEND_OVER_RECEIVE, FLUKE_CALL_IPC_CLIENT_RECEIVE, {&service.ref}, perform, serve},
};

/* Reads a waiting thread out, destroys it, and makes it again where it was, waiting. */
static void make_again(struct worker *worker)
{
    struct fluke_thread_state state;
    fluke_ref_t space_ref, waiting_for_ref, client_ref, server_ref;

    fluke_ref_create(&space_ref);
    fluke_ref_create(&waiting_for_ref);
    fluke_ref_create(&client_ref);
    fluke_ref_create(&server_ref);
    fluke_thread_get_state(&worker->thread, &state, &space_ref, NULL, &waiting_for_ref, &client_ref, &server_ref);
    fluke_thread_destroy(&worker->thread);
    fluke_thread_create(&worker->thread);
    fluke_thread_set_state(&worker->thread, &state, &space_ref, NULL, &waiting_for_ref, &client_ref, &server_ref);
    fluke_ref_destroy(&space_ref);
    fluke_ref_destroy(&waiting_for_ref);
    fluke_ref_destroy(&client_ref);
    fluke_ref_destroy(&server_ref);
}

/* `disturb` does something with the thread while it waits. */
static void keep_in(const struct waiting *waiting, void (*disturb)(struct worker *))
{
    open_service(&service);
    fluke_mutex_create(&gate);
    if (waiting->release == release_mutex)
        fluke_mutex_lock(&gate);
    fluke_cond_create(&signalled);
    server = NULL;
    prepare(&attempt, find_call(waiting->number));
    for (unsigned i = 0; i < 2 && waiting->operands[i] != NULL; i++)
        attempt.before.x[A0 + i] = (uint64_t)waiting->operands[i];
    waiter = start(waiting->perform, &attempt);
    if (waiting->release == signal)
        fluke_mutex_lock(&gate);
    CHECK(!waiter->done);
    disturb(waiter);
    CHECK(!waiter->done);
    waiting->release();
    CHECK(waiter->done);
    check_kept(&attempt, attempt.call->results | find_call(waiting->remaining)->results
                             | (waiting->remaining != waiting->number ? 1u << A7 : 0));
    end(waiter);
    if (server != NULL)
        end(server);
    fluke_cond_destroy(&signalled);
    fluke_mutex_destroy(&gate);
    close_service(&service);
}

static void keep_in_each(void (*disturb)(struct worker *))
{
    for (size_t i = 0; i < sizeof waitings / sizeof *waitings; i++)
        keep_in(&waitings[i], disturb);
}

static void leave_alone(struct worker *worker)
{
    (void)worker;
}

static void keep_while_waiting(void)
{
    keep_in_each(leave_alone);
}

static void stop_for_a_moment(struct worker *worker)
{
    CHECK(waits_for(worker) != FLUKE_NULL);
}

static void keep_while_stopped(void)
{
    keep_in_each(stop_for_a_moment);
}

static void interrupt(struct worker *worker)
{
    fluke_thread_interrupt(&worker->thread);
    CHECK(worker->interrupts == 1);
}

static void keep_while_interrupted(void)
{
    keep_in_each(interrupt);
}

static void keep_when_made_again(void)
{
    keep_in_each(make_again);
}

const struct usertest register_tests[] = {
    {"registers_mistake", "Do all registers keep their values in every call that is a mistake?", keep_after_mistakes},
    {"registers_at_once", "Do all registers but results keep their values in every call that does not wait?",
     keep_at_once},
    {"registers_waiting", "Do all registers but results keep their values in calls that wait?", keep_while_waiting},
    {"registers_stopped", "Do they in calls of a thread that is stopped as it waits?", keep_while_stopped},
    {"registers_interrupted", "Do they in calls that are interrupted as they wait?", keep_while_interrupted},
    {"registers_made_again", "Do they in calls of a thread that is made again as it waits?", keep_when_made_again},
    {0},
};
