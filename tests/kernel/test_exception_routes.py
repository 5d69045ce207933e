"""Whose affair an exception is, for every kind of it and every kind of keeper; what is posted is no keeper's affair."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import ExceptionCode
from fluke_async.abi.conversation import CONVERSATIONS, Conversation, Step
from fluke_async.kernel.objects.thread_condition import Condition
from tests.kernel.ends import Ends
from tests.kernel.keeping import RESUME, SKIP, Keeper, Keeping
from tests.kernel.machine import UNMAPPED, Machine, Part

CAUSES = {
    "a trap": (ExceptionCode.ILLEGAL_INSTRUCTION, 0),
    "an access": (ExceptionCode.LOAD_FAULT, UNMAPPED),
    "a foreign call": (ExceptionCode.FOREIGN_SYSTEM_CALL, 2000),
    "an insanity in a call": (ExceptionCode.LOAD_FAULT, UNMAPPED + 16),
    "an insanity in a message": (ExceptionCode.BUFFER_UNALIGNED, 3),
}
KEEPERS = ("none", "thread", "device", "destroyed", "without a set")


def steps(machine: Machine, cause: str) -> list[Part]:
    """The instructions that make a mistake; the last is the one that fails."""
    programs: dict[str, list[Part]] = {
        "a trap": [("illegal",)],
        "an access": [("load", "s1", "zero", UNMAPPED)],
        "a foreign call": [("li", "a7", 2000), ("ecall",)],
        "an insanity in a call": [machine.call("mutex_lock", mutex=UNMAPPED + 16)],
        "an insanity in a message": [
            machine.call("ipc_send", destination_ref=machine.reference(), send_buffer=3, send_words=1)
        ],
    }
    return programs[cause]


def kept_by(machine: Machine, keeper: str) -> tuple[Keeping, Keeper | None]:
    """A space with a keeper of a kind, and the thread that serves as one, if it does."""
    keeping = Keeping(machine, device=keeper == "device")
    server = None
    if keeper == "none":
        machine.load(keeping.space, keeper=None)
    elif keeper == "thread":
        server = keeping.keeper()
    elif keeper == "destroyed":
        machine.core.destroy(keeping.port)
    elif keeper == "without a set":
        machine.load(keeping.port, {"alias": 1}, portset=None)
    return keeping, server


@pytest.mark.parametrize("keeper", KEEPERS)
@pytest.mark.parametrize("handler", [True, False], ids=["handler", "no handler"])
@pytest.mark.parametrize("enabled", [True, False], ids=["enabled", "disabled"])
@pytest.mark.parametrize("cause", CAUSES)
def test_exception_goes_where_the_rules_say(model: str, cause: str, enabled: bool, handler: bool, keeper: str) -> None:
    machine = Machine(model)
    keeping, server = kept_by(machine, keeper)
    handling: list[Part] = [("jump", "rest"), "handler", ("add", "s3", "a1", 0), ("add", "s4", "a2", 0)]
    thread = keeping.spawn(*steps(machine, cause), *handling, handler="handler", start=False)
    thread.exceptions_enabled = enabled
    if not handler:
        thread.handlers = thread.handlers._replace(trap=0)
    machine.core.start(thread)
    machine.run()
    code, subcode = CAUSES[cause]
    handled = enabled and handler
    noted = [machine.register(thread, name) for name in ("s3", "s4")]
    assert noted[0] == (code if handled else 0)
    if handled:
        assert keeping.done(thread)
        assert subcode in (0, noted[1])
    elif keeper in ("none", "destroyed"):
        assert thread.condition is Condition.EXCEPTION
        assert thread.exception is not None
        assert thread.exception.code is code
        assert subcode in (0, thread.exception.subcode)
    else:
        assert thread.condition is Condition.WAITING
        if keeper == "without a set":
            assert thread.waiting_for is keeping.port
            machine.load(keeping.port, {"alias": 1}, portset=keeping.portset)
            server = keeping.keeper()
            machine.run()
        if server is not None:
            assert server.question.code == code
            assert subcode in (0, server.question.subcode)
            server.resume(pc=server.question.pc + SKIP)
        else:
            (request,) = keeping.requests
            assert request.words[0] == code
            pc, registers = request.words[3], request.words[4:]
            keeping.reply(RESUME, pc + SKIP, *registers)
        assert keeping.done(thread)
        assert thread.exception is None


def waiting_calls() -> list[Conversation]:
    """Calls that wait for their peer first, one for each step and role."""
    return [call for call in CONVERSATIONS if len(call.steps) == 1 or call.steps[0] in (Step.ACK, Step.OVER)]


@pytest.mark.parametrize("enabled", [True, False], ids=["enabled", "disabled"])
@pytest.mark.parametrize("call", waiting_calls(), ids=lambda call: call.name)
def test_alert_without_a_handler_is_asked_of_no_keeper(model: str, call: Conversation, enabled: bool) -> None:
    machine = Machine(model)
    keeping = Keeping(machine)
    keeper = keeping.keeper()
    machine.run()
    ends = Ends(machine, call, before=(machine.bare_call(f"ipc_{call.role.peer.value}_alert"), ("burn", 500)))
    thread = ends.thread
    machine.core.leave_space(thread)
    machine.core.enter_space(thread, keeping.space)
    thread.handlers, thread.exceptions_enabled = thread.handlers._replace(interrupt=0), enabled
    ends.begin()
    machine.core.start(ends.peer)
    machine.run_for(300)
    assert thread.waiting_for is ends.peer
    assert thread.pending
    assert keeper.asked == 0
