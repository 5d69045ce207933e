"""What the calls of a program have come to in a run: pairs of a call's name and a status, or an exception."""

from __future__ import annotations

from typing import Any, NamedTuple

from fluke_async.abi.codes import HARDWARE_EXCEPTIONS, PAGE_SIZE, ExceptionCode, Status
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import STATUS
from fluke_async.kernel.core import Core
from fluke_async.kernel.trace import Event
from fluke_async.programs import find_program
from fluke_async.verify.closed_run import MEMORY_BYTES, ClosedRun, Program

Pair = tuple[str, Status | ExceptionCode]
ECALL = b"\x73\0\0\0"


class Recorder:
    """Listens to a kernel's trace; a call is what the thread has trapped with, whatever stage it has come to."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.met: set[Pair] = set()
        self._called: dict[int, str] = {}

    def __call__(self, event: tuple[Any, ...]) -> None:
        _, kind, thread, *fields = event
        if kind is Event.TRAP:
            self._called[thread] = fields[0]
        elif kind in (Event.FINISH, Event.COMPLETE):
            name = self._called.pop(thread, fields[0])  # a thread can be loaded in the middle of its first call
            has_status = any(result.register == STATUS and result.name == "status" for result in BY_NAME[name].results)
            self.met.add((name, Status(fields[1]) if has_status else Status.SUCCESS))
        elif kind is Event.EXCEPTION and fields[0] != ExceptionCode.FOREIGN_SYSTEM_CALL:
            code = ExceptionCode(fields[0])
            if thread in self._called and (code not in HARDWARE_EXCEPTIONS or self._is_on_call(thread)):
                self.met.add((self._called[thread], code))

    def _is_on_call(self, hash_: int) -> bool:
        """Whether a thread stands on its `ecall`: else the access was an instruction's own."""
        core = self.core
        thread = next(each for each in core.objects.values() if each.hash == hash_)
        pc, pages = thread.pc, thread.space.pages  # type: ignore[attr-defined]  # hashes of threads are their own
        if pc // PAGE_SIZE not in pages:
            return False
        at = pages[pc // PAGE_SIZE] & -PAGE_SIZE | pc % PAGE_SIZE
        return bytes(core.hardware.ram[at : at + len(ECALL)]) == ECALL


class Met(NamedTuple):
    """What a run has met, and how it ended."""

    met: set[Pair]
    exit: tuple[str, int] | None


def met_by(name: str, arguments: tuple[str, ...], model: str, preemption: str, memory_bytes: int = MEMORY_BYTES) -> Met:
    """Run a program, and listen."""
    run = ClosedRun(Program(name, find_program(name), arguments), model, preemption, memory_bytes)
    recorder = Recorder(run.core)
    run.core.trace = recorder
    try:
        run.run()
    finally:
        run.close()
    return Met(recorder.met, run.exit)
