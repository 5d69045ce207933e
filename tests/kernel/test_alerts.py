"""
Interrupts and alerts in every call on a reliable connection: each is taken once, or waits, and the call loses nothing.

The calls are those of the table of conversations; what remains of one after a step is another of its rows.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import pytest

from fluke_async.abi.codes import Status, ThreadFlags
from fluke_async.abi.conversation import CONVERSATIONS, Conversation, Role, Step
from fluke_async.kernel.objects.thread_state import Handlers
from tests.kernel.ends import Ends
from tests.kernel.machine import Machine
from tests.kernel.recreation import recreate

INTERRUPT, ALERT = "interrupt", "alert"
ROWS = [
    (call, posted)
    for call, posted in product(CONVERSATIONS, (INTERRUPT, ALERT))
    if posted is INTERRUPT or call.steps[0] is not Step.CONNECT  # who has no peer yet gets no alert
]
each_row = pytest.mark.parametrize(("call", "posted"), ROWS, ids=[f"{call.name}, {posted}" for call, posted in ROWS])
PENDING = {
    INTERRUPT: ThreadFlags.PENDING_INTERRUPT,
    Role.CLIENT: ThreadFlags.PENDING_CLIENT_ALERT,
    Role.SERVER: ThreadFlags.PENDING_SERVER_ALERT,
}


@cache
def undisturbed(model: str, call: Conversation) -> list[int]:
    """What the call comes to if nothing is posted."""
    ends = Ends(Machine(model, "partial"), call)
    ends.begin()
    ends.end()
    return ends.outcome


def disturbed(model: str, call: Conversation, posted: str, *, enabled: bool, handler: bool) -> Ends:
    """The call waits, and an interrupt or an alert has been posted to its thread."""
    machine = Machine(model, "partial")
    alert = machine.bare_call(f"ipc_{call.role.peer.value}_alert")
    ends = Ends(machine, call, before=(alert, ("burn", 500)) if posted is ALERT else ())
    thread = ends.thread
    place = thread.handlers.interrupt if handler else 0
    thread.handlers, thread.exceptions_enabled = Handlers(0, place, place, place), enabled
    ends.begin()
    before = thread.registers.tolist(), thread.pc, thread.waiting_for, thread.wait_order
    if posted is INTERRUPT:
        machine.invoke("thread_interrupt", thread=thread)
    else:
        machine.core.start(ends.peer)
        machine.run_for(300)
    was_taken = machine.register(thread, "s5")
    assert was_taken == (enabled and handler)
    after = thread.registers.tolist(), thread.pc, thread.waiting_for, thread.wait_order
    if not was_taken:
        assert after == before
        assert thread.pending == PENDING[INTERRUPT if posted is INTERRUPT else call.role]
    else:
        assert after[1:3] == before[1:3]  # the call is made anew, with its registers, and comes last in its line
        assert not thread.pending
    return ends


@pytest.mark.parametrize("handler", [True, False], ids=["handler", "no handler"])
@pytest.mark.parametrize("enabled", [True, False], ids=["enabled", "disabled"])
@each_row
def test_what_is_posted_to_a_call_is_taken_once_or_waits_and_the_call_comes_to_the_same(
    model: str, call: Conversation, posted: str, enabled: bool, handler: bool
) -> None:
    ends = disturbed(model, call, posted, enabled=enabled, handler=handler)
    ends.end()
    assert ends.outcome == undisturbed(model, call)
    assert ends.machine.register(ends.thread, "s5") == handler
    assert bool(ends.thread.pending) != handler


@each_row
def test_what_waits_to_be_taken_is_part_of_the_state(model: str, call: Conversation, posted: str) -> None:
    ends = disturbed(model, call, posted, enabled=False, handler=True)
    machine = ends.machine
    places = [each.address for each in (ends.thread, ends.peer, ends.service.portset, ends.service.reference)]
    recreate(machine)
    found = [machine.core.objects[place] for place in places]
    ends.thread, ends.peer, ends.service.portset, ends.service.reference = found  # type: ignore[assignment]
    ends.end()
    assert machine.register(ends.thread, "s5") == 1
    assert ends.outcome == undisturbed(model, call)


@pytest.mark.parametrize("role", list(Role))
def test_two_alerts_that_were_not_taken_are_one(model: str, role: Role) -> None:
    (call,) = [each for each in CONVERSATIONS if each.role is role and each.steps == (Step.SEND,) and not each.waits]
    machine = Machine(model, "partial")
    ends = Ends(machine, call, before=(machine.bare_call(f"ipc_{role.peer.value}_alert"),) * 2)
    place = ends.thread.handlers.interrupt
    ends.thread.handlers, ends.thread.exceptions_enabled = Handlers(0, 0, place, place), False
    ends.begin()
    ends.end()
    assert machine.register(ends.thread, "s5") == 1
    assert ends.outcome == undisturbed(model, call)


@pytest.mark.parametrize("role", list(Role))
def test_alert_to_nobody_is_told(machine: Machine, role: Role) -> None:
    assert machine.invoke(f"ipc_{role.value}_alert").status == Status.IPC_SEND_DISCONNECTED
