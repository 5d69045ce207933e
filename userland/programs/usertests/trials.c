/* The two ends of a connection on which a call is tried. */

#include "steps.h"

#include "../../tests/entry_points.h"

enum { CALLS = sizeof entry_points / sizeof *entry_points };

struct trial trial;
struct service trial_service;
fluke_mutex_t trial_gate;
fluke_ref_t taken_ref;
static fluke_ref_t end_ref, peer_ref, passed_ref;
static uint64_t word, room;
static uint64_t passed_table, taken_table;

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

    trial.call = call;
    trial.name = call->name;
    trial.count = 0;
    trial.waits = false;
    if (!next_word_is(&name, "ipc"))
        return false;
    trial.is_client = next_word_is(&name, "client");
    if (!trial.is_client && !next_word_is(&name, "server"))
        return false;
    while (*name != '\0' && !trial.waits) {
        char first = *name;

        if (next_word_is(&name, "wait"))
            trial.waits = true;
        else if (next_word_is(&name, "connect") || next_word_is(&name, "send") || next_word_is(&name, "over")
                 || next_word_is(&name, "ack") || next_word_is(&name, "receive"))
            trial.steps[trial.count++] = first;
        else
            return false;
    }
    return true;
}

bool has_step(char step)
{
    for (unsigned i = 0; i < trial.count; i++)
        if (trial.steps[i] == step)
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
    if (trial.waits)
        fluke_ipc_setup_wait_receive(&trial_service.portset, &nothing, NULL);
    lock_and_unlock(&trial_gate);
    if (trial.is_linked && trial.is_client)
        fluke_thread_set_server(self, &peer_ref, trial.is_sender ? FLUKE_THREAD_CLIENT_SENDER : 0);
    else if (trial.is_linked)
        fluke_thread_set_client(self, &peer_ref, trial.is_sender ? FLUKE_THREAD_SERVER_SENDER : 0);
    perform(trial.call->number, &trial.registers);
}

/* The peer's calls; it is the server of a client, and the other way round. */
static void peer_receive(uint64_t words)
{
    struct registers made = {.x = {[RECEIVE_BUFFER] = (uint64_t)&room, [RECEIVE_WORDS] = words,
                                   [RECEIVE_REFS] = (uint64_t)&taken_table, [RECEIVE_REF_COUNT] = 1}};

    perform(trial.is_client ? FLUKE_CALL_IPC_SERVER_RECEIVE : FLUKE_CALL_IPC_CLIENT_RECEIVE, &made);
}

static void peer_accept(uint64_t words)
{
    struct registers made = {.x = {[A0] = (uint64_t)&trial_service.portset, [RECEIVE_BUFFER] = (uint64_t)&room,
                                   [RECEIVE_WORDS] = words, [RECEIVE_REFS] = (uint64_t)&taken_table,
                                   [RECEIVE_REF_COUNT] = 1}};

    perform(FLUKE_CALL_IPC_SETUP_WAIT_RECEIVE, &made);
}

static void peer_over(uint64_t words)
{
    struct registers made = {.x = {[RECEIVE_BUFFER] = (uint64_t)&room, [RECEIVE_WORDS] = words,
                                   [RECEIVE_REFS] = (uint64_t)&taken_table, [RECEIVE_REF_COUNT] = 1}};

    perform(trial.is_client ? FLUKE_CALL_IPC_SERVER_OVER_RECEIVE : FLUKE_CALL_IPC_CLIENT_OVER_RECEIVE, &made);
}

static void peer_ack(void)
{
    struct registers made = {0};

    perform(trial.is_client ? FLUKE_CALL_IPC_SERVER_ACK_SEND : FLUKE_CALL_IPC_CLIENT_ACK_SEND, &made);
}

static void peer_send(void)
{
    struct registers made = {.x = {[SEND_BUFFER] = (uint64_t)&word, [SEND_WORDS] = trial.peer_sends_words,
                                   [SEND_REFS] = (uint64_t)&passed_table,
                                   [SEND_REF_COUNT] = trial.peer_sends_words == 0}};

    perform(trial.is_client ? FLUKE_CALL_IPC_SERVER_SEND_OVER_RECEIVE : FLUKE_CALL_IPC_CLIENT_SEND_OVER_RECEIVE, &made);
}

/* The other end's thread: answers as many steps as it is told to, and disconnects. */
static void answer(void *unused)
{
    fluke_thread_t *self = fluke_thread_self();

    (void)unused;
    lock_and_unlock(&trial_gate);
    if (trial.is_linked && trial.is_client)
        fluke_thread_set_client(self, &end_ref, trial.is_sender ? 0 : FLUKE_THREAD_SERVER_SENDER);
    else if (trial.is_linked)
        fluke_thread_set_server(self, &end_ref, trial.is_sender ? 0 : FLUKE_THREAD_CLIENT_SENDER);
    for (unsigned i = 0; i < trial.served; i++) {
        bool takes_next = i + 1 < trial.served; /* connecting and acknowledging go over into sending */

        switch (trial.steps[i]) {
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
    if (trial.is_client)
        fluke_ipc_server_disconnect();
    else
        fluke_ipc_client_disconnect();
}

/* Good registers: a word to be sent and room for one. */
void set_trial(void)
{
    trial.registers = (struct registers){.x = {[A0] = (uint64_t)&trial_service.ref}};
    passed_table = (uint64_t)&passed_ref;
    taken_table = (uint64_t)&taken_ref;
    if (has_step(SEND)) {
        trial.registers.x[SEND_BUFFER] = (uint64_t)&word;
        trial.registers.x[SEND_WORDS] = 1;
    }
    if (has_step(RECEIVE) || trial.waits) {
        trial.registers.x[RECEIVE_BUFFER] = (uint64_t)&room;
        trial.registers.x[RECEIVE_WORDS] = 1;
    }
    trial.is_linked = trial.steps[0] != CONNECT;
    trial.is_sender = trial.steps[0] == SEND || trial.steps[0] == OVER;
    trial.served = trial.count;
    trial.peer_sends_words = 1;
}

void begin_trial(void)
{
    struct fluke_ipc_params nothing = {0};

    open_service(&trial_service);
    make_locked(&trial_gate);
    fluke_ref_create(&end_ref);
    fluke_ref_create(&peer_ref);
    fluke_ref_create(&passed_ref);
    fluke_ref_create(&taken_ref);
    trial.end = start(make_call, NULL);
    if (trial.waits)
        fluke_ipc_send(&trial_service.ref, &nothing);
    trial.peer = start(answer, NULL);
    fluke_thread_reference(&trial.end->thread, &end_ref);
    fluke_thread_reference(&trial.peer->thread, &peer_ref);
    fluke_mutex_unlock(&trial_gate);
}

void finish_trial(void)
{
    end(trial.peer);
    end(trial.end);
    fluke_ref_destroy(&end_ref);
    fluke_ref_destroy(&peer_ref);
    fluke_ref_destroy(&passed_ref);
    fluke_ref_destroy(&taken_ref);
    fluke_mutex_destroy(&trial_gate);
    close_service(&trial_service);
}

void expect_status(uint64_t status)
{
    if (!trial.end->done || trial.registers.x[A0] != status)
        fail("%s, %s: done %d, status %lu, not %lu", trial.name, trial.how, trial.end->done,
             trial.registers.x[A0], status);
}

void expect_mistake(uint64_t code)
{
    struct mistake mistake = trial.end->mistake;

    if (mistake.count != 1 || mistake.code != code)
        fail("%s, %s: %u mistakes, the last 0x%lx of 0x%lx, not one 0x%lx", trial.name, trial.how, mistake.count,
             mistake.code, mistake.subject, code);
    trial.end->mistake.count = 0;
}

uint64_t status_without_peer(char step)
{
    return step == CONNECT ? FLUKE_IPC_CONNECT_INVALID_DEST
           : step == SEND  ? FLUKE_IPC_SEND_DISCONNECTED
           : step == OVER  ? FLUKE_IPC_OVER_DISCONNECTED
           : step == ACK   ? FLUKE_IPC_ACK_DISCONNECTED
                           : FLUKE_IPC_RECV_DISCONNECTED;
}

void for_each_call(void (*body)(void))
{
    for (const struct entry_point *call = entry_points; call < entry_points + CALLS; call++)
        if (parse(call) && trial.count > 0)
            body();
}
