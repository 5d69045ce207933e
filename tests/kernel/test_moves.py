"""The table of moves, row by row, for both ends: what a step comes to in each state; a refusal changes nothing."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import ExceptionCode, Status
from fluke_async.abi.conversation import MOVES, Role, State, Step
from fluke_async.kernel.links import counts, peer_of, state_of
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.ends import link
from tests.kernel.machine import Machine
from tests.kernel.messages import Service

CALLS = {
    Step.SEND: "send",
    Step.RECEIVE: "receive",
    Step.OVER: "over_receive",
    Step.ACK: "ack_send",
    Step.DISCONNECT: "disconnect",
    Step.CONNECT: "connect_send",
}
ROWS = [(role, *row) for role in Role for row in MOVES if role is Role.CLIENT or row[1] is not Step.CONNECT]


def in_state(machine: Machine, role: Role, state: State, step: Step) -> tuple[Thread, Thread, Service]:
    """A thread in a state, which makes a call that begins with a step; its peer is stopped and does nothing."""
    service = Service(machine)
    word = {"send_buffer": machine.buffer([1]), "send_words": 1} if step in (Step.SEND, Step.ACK, Step.CONNECT) else {}
    to = {"destination_ref": service.reference} if step is Step.CONNECT else {}
    thread = machine.spawn(machine.call(f"ipc_{role.value}_{CALLS[step]}", **word, **to), start=False)
    peer = machine.spawn(start=False)
    if state is not State.NONE:
        link(thread, role, peer, is_sender=state is State.SENDER)
    return thread, peer, service


@pytest.mark.parametrize(("role", "state", "step"), ROWS, ids=lambda each: each.name.lower())
def test_each_step_does_in_each_state_what_the_table_says(
    machine: Machine, role: Role, state: State, step: Step
) -> None:
    thread, peer, service = in_state(machine, role, state, step)
    machine.core.start(thread)
    machine.run()
    move = MOVES[state, step]
    connected = state is not State.NONE
    if isinstance(move, ExceptionCode):
        assert machine.failure(thread) is move
    elif isinstance(move, Status):
        assert machine.done(thread)
        assert machine.register(thread, "a0") == move
    elif step is Step.DISCONNECT:
        assert machine.done(thread)
        connected = False
    elif step is Step.CONNECT:
        connected = False
        assert thread.waiting_for is service.port
        server = machine.spawn(machine.call("ipc_setup_wait_receive", portset=service.portset))
        machine.run()
        assert state_of(thread, role, peer_of(thread, role)) is move
        assert counts(thread, role, server)
    else:
        assert thread.waiting_for is peer  # the step is done when the other end does its half
    assert counts(thread, role, peer) is connected
    assert state_of(peer, role.peer, peer_of(peer, role.peer)) is (State.NONE if not connected else other(state))


def other(state: State) -> State:
    return State.RECEIVER if state is State.SENDER else State.SENDER


@pytest.mark.parametrize("step", [Step.SEND, Step.RECEIVE, Step.OVER, Step.ACK])
@pytest.mark.parametrize("state", [State.SENDER, State.RECEIVER])
@pytest.mark.parametrize("role", list(Role))
def test_step_of_who_is_left_alone_has_the_status_of_the_first_column(
    machine: Machine, role: Role, state: State, step: Step
) -> None:
    """The peer is destroyed before the call, or while the call waits for it."""
    for waits in (False, True):
        thread, peer, _ = in_state(machine, role, state, step)
        if waits and isinstance(MOVES[state, step], ExceptionCode):
            continue
        if waits:
            machine.core.start(thread)
            machine.run()
        machine.core.destroy(peer)
        if not waits:
            machine.core.start(thread)
        machine.run()
        assert machine.done(thread)
        assert machine.register(thread, "a0") == MOVES[State.NONE, step]
        assert state_of(thread, role, peer_of(thread, role)) is State.NONE
