/* Every call on a reliable connection: what it comes to at each of its steps, as its name tells them. */

#include "steps.h"

static void try_all_steps(void)
{
    struct fluke_ipc_params nothing = {0};

    trial.how = "to the end";
    set_trial();
    begin_trial();
    if (trial.waits)
        fluke_ipc_send(&trial_service.ref, &nothing);
    expect_status(FLUKE_SUCCESS);
    finish_trial();
}

static void take_all_steps(void)
{
    for_each_call(try_all_steps);
}

static void try_broken(void)
{
    trial.how = "broken off";
    for (unsigned i = 0; i < trial.count; i++) {
        set_trial();
        trial.served = i;
        if (i == 0) { /* there is none from the start */
            trial.is_linked = false;
            trial.registers.x[A0] = (uint64_t)&taken_ref;
        }
        begin_trial();
        expect_status(status_without_peer(trial.steps[i]));
        finish_trial();
    }
}

static void break_at_each_step(void)
{
    for_each_call(try_broken);
}

static void try_wrong_turn(void)
{
    if (trial.steps[0] == CONNECT)
        return;
    trial.how = "not its turn";
    set_trial();
    trial.is_sender = !trial.is_sender;
    trial.served = 0;
    begin_trial();
    expect_mistake(trial.is_sender ? FLUKE_INSANITY_NOT_RECEIVER : FLUKE_INSANITY_NOT_SENDER);
    finish_trial();
}

static void refuse_wrong_turn(void)
{
    for_each_call(try_wrong_turn);
}

static void try_small_room(void)
{
    if (!has_step(RECEIVE))
        return;
    trial.how = "no room";
    set_trial();
    trial.registers.x[RECEIVE_WORDS] = 0;
    begin_trial();
    expect_status(FLUKE_IPC_RECV_MORE_DATA);
    finish_trial();
    set_trial();
    trial.peer_sends_words = 0; /* but a reference */
    begin_trial();
    expect_status(FLUKE_IPC_RECV_MORE_REFS);
    finish_trial();
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
        {&trial_gate, FLUKE_INSANITY_NOT_REF},
    };

    trial.how = "a bad reference";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        set_trial();
        bad_table = (uint64_t)bad[i].address;
        if (has_step(SEND)) {
            trial.registers.x[SEND_REFS] = (uint64_t)&bad_table;
            trial.registers.x[SEND_REF_COUNT] = 1;
        } else if (has_step(RECEIVE)) {
            trial.peer_sends_words = 0;
            trial.registers.x[RECEIVE_REFS] = (uint64_t)&bad_table;
            trial.registers.x[RECEIVE_REF_COUNT] = 1;
        } else {
            continue;
        }
        begin_trial();
        expect_mistake(bad[i].code);
        finish_trial();
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
