/* Every call on a reliable connection: what it comes to at each of its steps, as its name tells them. */

#include "usertests.h"

#include "../../tests/entry_points.h"

enum { CALLS = sizeof entry_points / sizeof *entry_points, MOST_STEPS = 5 };

/* The roles of registers in a message. */
enum {
    SEND_BUFFER = 11, SEND_WORDS = 12, RECEIVE_BUFFER = 13, RECEIVE_WORDS = 14, SEND_REFS = 15, RECEIVE_REFS = 16,
    SEND_REF_COUNT = 5, RECEIVE_REF_COUNT = 6,
};
enum { SEND = 's', OVER = 'o', ACK = 'a', RECEIVE = 'r', CONNECT = 'c' };

/* What is tried: the call and its steps, made by a client or a server; it may wait for the next message then. */
static const struct entry_point *tried;
static char steps[MOST_STEPS];
static unsigned count;
static bool is_client, waits;
static const char *how;

static struct service service;
static fluke_mutex_t gate; /* both ends lock it before they begin */
static fluke_ref_t end_ref, peer_ref, passed_ref, taken_ref;
static uint64_t word, room;
static uint64_t passed_table, taken_table;
static struct registers registers;
static bool is_linked, is_sender;
static unsigned served;           /* so many steps are answered by the peer, which then leaves */
static uint64_t peer_sends_words; /* where it sends */
static struct worker *one_end, *other_end;

static bool next_word_is(const char **name, const char *expected)
{
    size_t length = strlen(expected);

    if (memcmp(*name, expected, length) != 0 || ((*name)[length] != '_' && (*name)[length] != '\0'))
        return false;
    *name += length + ((*name)[length] == '_');
    return true;
}

/* Takes a call's name apart; whether it is one of a connection, with steps. */
static bool parse(const struct entry_point *call)
{
    const char *name = call->name;

    tried = call;
    count = 0;
    waits = false;
    if (!next_word_is(&name, "ipc"))
        return false;
    is_client = next_word_is(&name, "client");
    if (!is_client && !next_word_is(&name, "server"))
        return false;
    while (*name != '\0' && !waits) {
        char first = *name;

        if (next_word_is(&name, "wait"))
            waits = true;
        else if (next_word_is(&name, "connect") || next_word_is(&name, "send") || next_word_is(&name, "over")
                 || next_word_is(&name, "ack") || next_word_is(&name, "receive"))
            steps[count++] = first;
        else
            return false;
    }
    return true;
}

static bool has_step(char step)
{
    for (unsigned i = 0; i < count; i++)
        if (steps[i] == step)
            return true;
    return false;
}

static uint64_t perform(uint64_t number, struct registers *made)
{
    made->x[A7] = number;
    call_with(made);
    return made->x[A0];
}

/* One end's thread: takes its place in the connection, then makes the call that is tried. */
static void make_call(void *unused)
{
    fluke_thread_t *self = fluke_thread_self();
    struct fluke_ipc_params nothing = {0};

    (void)unused;
    if (waits)
        fluke_ipc_setup_wait_receive(&service.portset, &nothing, NULL);
    lock_and_unlock(&gate);
    if (is_linked && is_client)
        fluke_thread_set_server(self, &peer_ref, is_sender ? FLUKE_THREAD_CLIENT_SENDER : 0);
    else if (is_linked)
        fluke_thread_set_client(self, &peer_ref, is_sender ? FLUKE_THREAD_SERVER_SENDER : 0);
    perform(tried->number, &registers);
}

/* The peer's calls; it is the server of a client, and the other way round. */
static void peer_receive(uint64_t words)
{
    struct registers made = {.x = {[RECEIVE_BUFFER] = (uint64_t)&room, [RECEIVE_WORDS] = words,
                                   [RECEIVE_REFS] = (uint64_t)&taken_table, [RECEIVE_REF_COUNT] = 1}};

    perform(is_client ? FLUKE_CALL_IPC_SERVER_RECEIVE : FLUKE_CALL_IPC_CLIENT_RECEIVE, &made);
}

static void peer_accept(uint64_t words)
{
    struct registers made = {.x = {[A0] = (uint64_t)&service.portset, [RECEIVE_BUFFER] = (uint64_t)&room,
                                   [RECEIVE_WORDS] = words, [RECEIVE_REFS] = (uint64_t)&taken_table,
                                   [RECEIVE_REF_COUNT] = 1}};

    perform(FLUKE_CALL_IPC_SETUP_WAIT_RECEIVE, &made);
}

static void peer_over(uint64_t words)
{
    struct registers made = {.x = {[RECEIVE_BUFFER] = (uint64_t)&room, [RECEIVE_WORDS] = words,
                                   [RECEIVE_REFS] = (uint64_t)&taken_table, [RECEIVE_REF_COUNT] = 1}};

    perform(is_client ? FLUKE_CALL_IPC_SERVER_OVER_RECEIVE : FLUKE_CALL_IPC_CLIENT_OVER_RECEIVE, &made);
}

static void peer_ack(void)
{
    struct registers made = {0};

    perform(is_client ? FLUKE_CALL_IPC_SERVER_ACK_SEND : FLUKE_CALL_IPC_CLIENT_ACK_SEND, &made);
}

static void peer_send(void)
{
    struct registers made = {.x = {[SEND_BUFFER] = (uint64_t)&word, [SEND_WORDS] = peer_sends_words,
                                   [SEND_REFS] = (uint64_t)&passed_table, [SEND_REF_COUNT] = peer_sends_words == 0}};

    perform(is_client ? FLUKE_CALL_IPC_SERVER_SEND_OVER_RECEIVE : FLUKE_CALL_IPC_CLIENT_SEND_OVER_RECEIVE, &made);
}

/* The other end's thread: answers as many steps as it is told to, and disconnects. */
static void answer(void *unused)
{
    fluke_thread_t *self = fluke_thread_self();

    (void)unused;
    lock_and_unlock(&gate);
    if (is_linked && is_client)
        fluke_thread_set_client(self, &end_ref, is_sender ? 0 : FLUKE_THREAD_SERVER_SENDER);
    else if (is_linked)
        fluke_thread_set_server(self, &end_ref, is_sender ? 0 : FLUKE_THREAD_CLIENT_SENDER);
    for (unsigned i = 0; i < served; i++) {
        bool takes_next = i + 1 < served; /* connecting and acknowledging go over into sending */

        switch (steps[i]) {
        case CONNECT:
            peer_accept(takes_next);
            i += takes_next;
            break;
        case SEND:
            peer_receive(1);
            break;
        case OVER:
            peer_ack();
            break;
        case ACK:
            peer_over(takes_next);
            i += takes_next;
            break;
        case RECEIVE:
            peer_send();
            break;
        }
    }
    if (is_client)
        fluke_ipc_server_disconnect();
    else
        fluke_ipc_client_disconnect();
}

/* Good registers: a word to be sent and room for one. */
static void set_registers(void)
{
    registers = (struct registers){.x = {[A0] = (uint64_t)&service.ref}};
    passed_table = (uint64_t)&passed_ref;
    taken_table = (uint64_t)&taken_ref;
    if (has_step(SEND)) {
        registers.x[SEND_BUFFER] = (uint64_t)&word;
        registers.x[SEND_WORDS] = 1;
    }
    if (has_step(RECEIVE) || waits) {
        registers.x[RECEIVE_BUFFER] = (uint64_t)&room;
        registers.x[RECEIVE_WORDS] = 1;
    }
    is_linked = steps[0] != CONNECT;
    is_sender = steps[0] == SEND || steps[0] == OVER;
    served = count;
    peer_sends_words = 1;
}

static void begin(void)
{
    struct fluke_ipc_params nothing = {0};

    open_service(&service);
    make_locked(&gate);
    fluke_ref_create(&end_ref);
    fluke_ref_create(&peer_ref);
    fluke_ref_create(&passed_ref);
    fluke_ref_create(&taken_ref);
    one_end = start(make_call, NULL);
    if (waits)
        fluke_ipc_send(&service.ref, &nothing);
    other_end = start(answer, NULL);
    fluke_thread_reference(&one_end->thread, &end_ref);
    fluke_thread_reference(&other_end->thread, &peer_ref);
    fluke_mutex_unlock(&gate);
}

static void finish(void)
{
    end(other_end);
    end(one_end);
    fluke_ref_destroy(&end_ref);
    fluke_ref_destroy(&peer_ref);
    fluke_ref_destroy(&passed_ref);
    fluke_ref_destroy(&taken_ref);
    fluke_mutex_destroy(&gate);
    close_service(&service);
}

static void expect(uint64_t status)
{
    if (!one_end->done || registers.x[A0] != status)
        fail("%s, %s: done %d, status %lu, not %lu", tried->name, how, one_end->done, registers.x[A0], status);
}

static void expect_mistake(uint64_t code)
{
    struct mistake mistake = one_end->mistake;

    if (mistake.count != 1 || mistake.code != code)
        fail("%s, %s: %u mistakes, the last 0x%lx of 0x%lx, not one 0x%lx", tried->name, how, mistake.count,
             mistake.code, mistake.subject, code);
    one_end->mistake.count = 0;
}

static uint64_t status_without_peer(char step)
{
    return step == CONNECT ? FLUKE_IPC_CONNECT_INVALID_DEST
           : step == SEND  ? FLUKE_IPC_SEND_DISCONNECTED
           : step == OVER  ? FLUKE_IPC_OVER_DISCONNECTED
           : step == ACK   ? FLUKE_IPC_ACK_DISCONNECTED
                           : FLUKE_IPC_RECV_DISCONNECTED;
}

static void for_each_call(void (*body)(void))
{
    for (const struct entry_point *call = entry_points; call < entry_points + CALLS; call++)
        if (parse(call) && count > 0)
            body();
}

static void try_all_steps(void)
{
    struct fluke_ipc_params nothing = {0};

    how = "to the end";
    set_registers();
    begin();
    if (waits)
        fluke_ipc_send(&service.ref, &nothing);
    expect(FLUKE_SUCCESS);
    finish();
}

static void take_all_steps(void)
{
    for_each_call(try_all_steps);
}

static void try_broken(void)
{
    how = "broken off";
    for (unsigned i = 0; i < count; i++) {
        set_registers();
        served = i;
        if (i == 0) { /* there is none from the start */
            is_linked = false;
            registers.x[A0] = (uint64_t)&taken_ref;
        }
        begin();
        expect(status_without_peer(steps[i]));
        finish();
    }
}

static void break_at_each_step(void)
{
    for_each_call(try_broken);
}

static void try_wrong_turn(void)
{
    if (steps[0] == CONNECT)
        return;
    how = "not its turn";
    set_registers();
    is_sender = !is_sender;
    served = 0;
    begin();
    expect_mistake(is_sender ? FLUKE_INSANITY_NOT_RECEIVER : FLUKE_INSANITY_NOT_SENDER);
    finish();
}

static void refuse_wrong_turn(void)
{
    for_each_call(try_wrong_turn);
}

static void try_small_room(void)
{
    if (!has_step(RECEIVE))
        return;
    how = "no room";
    set_registers();
    registers.x[RECEIVE_WORDS] = 0;
    begin();
    expect(FLUKE_IPC_RECV_MORE_DATA);
    finish();
    set_registers();
    peer_sends_words = 0; /* but a reference */
    begin();
    expect(FLUKE_IPC_RECV_MORE_REFS);
    finish();
}

static void receive_too_much(void)
{
    for_each_call(try_small_room);
}

/* A reference that cannot be passed on, or that nothing can be received in. */
static void try_bad_reference(void)
{
    static uint64_t bad_table;
    const struct { void *address; uint64_t code; } bad[] = {
        {ODD(&taken_ref), FLUKE_INSANITY_NOT_ALIGNED},
        {NOWHERE, FLUKE_EXCEPTION_LOAD_FAULT},
        {memory, FLUKE_INSANITY_NO_OBJECT},
        {&gate, FLUKE_INSANITY_NOT_REF},
    };

    how = "a bad reference";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        set_registers();
        bad_table = (uint64_t)bad[i].address;
        if (has_step(SEND)) {
            registers.x[SEND_REFS] = (uint64_t)&bad_table;
            registers.x[SEND_REF_COUNT] = 1;
        } else if (has_step(RECEIVE)) {
            peer_sends_words = 0;
            registers.x[RECEIVE_REFS] = (uint64_t)&bad_table;
            registers.x[RECEIVE_REF_COUNT] = 1;
        } else {
            continue;
        }
        begin();
        expect_mistake(bad[i].code);
        finish();
    }
}

static void refuse_bad_references(void)
{
    for_each_call(try_bad_reference);
}

const struct usertest step_tests[] = {
    {"steps_all", "Does every call on a connection take all its steps?", take_all_steps},
    {"steps_broken", "Does every call tell at which of its steps the peer has left?", break_at_each_step},
    {"steps_turn", "Is every call refused that is the other end's to make?", refuse_wrong_turn},
    {"steps_room", "Does every receive tell that there is more?", receive_too_much},
    {"steps_references", "Is every reference refused that cannot be passed?", refuse_bad_references},
    {0},
};
