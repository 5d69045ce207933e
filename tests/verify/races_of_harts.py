"""
Races between threads on several harts; see `races`.

What one thread does to another takes effect for all harts when the call returns, and who is not on its turn stands
between two instructions with all its registers. Each of these mistakes breaks one of the two. Most are nothing while a
thread loses its processor only at a trap.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

from fluke_async.cpu.protocol import Cause
from fluke_async.cpu.scripted_cpu import ScriptedCpu
from fluke_async.cpu.unicorn_cpu import UnicornCpu
from fluke_async.cpu.unicorn_engines import Engines
from fluke_async.execution.dispatcher import Dispatcher
from fluke_async.execution.hart import Hart
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects import thread_state
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.scheduler import Scheduler
from fluke_async.kernel.tables import Tables

ENGINES: tuple[Any, ...] = (UnicornCpu, ScriptedCpu)


# -- what is done to who runs elsewhere -------------------------------------------------------------------------------


def stop_waits_for_the_next_trap() -> None:
    """A thread that was cut off between two traps, and is stopped, runs on to the next one."""
    cut, doomed = note_who_is_cut_off(), set[Thread]()
    stop, dispatch = Scheduler.stop, Dispatcher.dispatch

    def stop_later(self: Scheduler, thread: Thread) -> None:
        if thread in cut and thread.runnable and thread is not self.current:
            doomed.add(thread)
        else:
            stop(self, thread)

    def dispatch_or_stop(self: Dispatcher, thread: Thread) -> None:
        if thread in doomed:
            doomed.discard(thread)
            stop(self.core, thread)
        else:
            dispatch(self, thread)

    Scheduler.stop = stop_later  # type: ignore[method-assign]
    Dispatcher.dispatch = dispatch_or_stop  # type: ignore[method-assign]


def end_waits_for_the_next_trap() -> None:
    """A thread that was cut off between two traps, and is destroyed, runs on to the next one."""
    cut, doomed = note_who_is_cut_off(), set[Thread]()
    destroy, dispatch = Core.destroy, Dispatcher.dispatch

    def destroy_later(self: Core, target: KernelObject) -> None:
        if isinstance(target, Thread) and target in cut and target.runnable and target is not self.current:
            doomed.add(target)
        else:
            destroy(self, target)

    def dispatch_or_destroy(self: Dispatcher, thread: Thread) -> None:
        if thread in doomed:
            doomed.discard(thread)
            destroy(self.core, thread)
        else:
            dispatch(self, thread)

    Core.destroy = destroy_later  # type: ignore[method-assign]
    Dispatcher.dispatch = dispatch_or_destroy  # type: ignore[method-assign]


def state_read_as_of_the_last_turn() -> None:
    """Of a thread that was cut off between two traps, the registers are read out that it began its turn with."""
    begun: dict[Thread, tuple[int, array[int]]] = {}
    export_bits = thread_state.export_bits

    def before(thread: Thread, pc: int) -> None:
        begun[thread] = pc, array("Q", thread.registers)

    def after(thread: Thread, is_cut: bool) -> None:
        if not is_cut:
            begun.pop(thread, None)

    def export_old_bits(thread: Thread) -> Any:
        bits = dict(export_bits(thread))
        if thread in begun and thread.runnable:
            pc, registers = begun[thread]
            bits |= {"pc": pc, "x": tuple(registers)}
        return bits

    watch_runs(before, after)
    thread_state.export_bits = export_old_bits


# -- what a processor keeps -------------------------------------------------------------------------------------------


def reservation_kept_over_the_end_of_a_turn() -> None:
    """What LR has reserved is still reserved when another thread's turn begins."""
    load, set_pages = UnicornCpu.load, UnicornCpu.set_pages
    scripted_load, scripted_set_pages = ScriptedCpu.load, ScriptedCpu.set_pages

    def kept(original: Callable[..., None]) -> Callable[..., None]:
        def function(self: Any, *arguments: Any) -> None:
            if isinstance(self, ScriptedCpu):
                reservation = self._reservation
                original(self, *arguments)
                self._reservation = reservation
                return
            engine = self._engine
            word = engine.words[self._reservation]
            original(self, *arguments)
            if self._engine is engine:
                engine.words[self._reservation] = word

        return function

    UnicornCpu.load, UnicornCpu.set_pages = kept(load), kept(set_pages)  # type: ignore[method-assign]
    ScriptedCpu.load, ScriptedCpu.set_pages = kept(scripted_load), kept(scripted_set_pages)  # type: ignore[method-assign]


def floating_registers_left_at_the_end_of_a_turn() -> None:
    """Floating-point registers are brought home at a trap alone, and not where a turn has ended."""
    cut, load = note_who_is_cut_off(), Hart._load

    def load_without_saving(self: Hart, thread: Thread) -> None:
        before, cpu = self.resident, self.cpu
        if before is not None and before is not thread and before in cut:
            self.resident = None
            if before.registers is cpu.registers:
                self._park(before, before.registers)
        load(self, thread)

    Hart._load = load_without_saving  # type: ignore[method-assign]


def entries_taken_back_on_one_engine_alone() -> None:
    """Of the engines of a processor, the one that runs is flushed; the others keep what they have looked up."""
    forget = Engines.forget_entries_of

    def forget_of_the_current_one(self: Engines, pages: dict[int, int]) -> None:
        if self.current.pages is pages:
            forget(self, pages)

    def flush(self: ScriptedCpu, pages: dict[int, int]) -> None:
        if self._file.pages is pages:
            self._file.entries.clear()

    Engines.forget_entries_of = forget_of_the_current_one  # type: ignore[method-assign]
    ScriptedCpu.flush = flush  # type: ignore[method-assign]


def entries_taken_back_for_who_asked_alone() -> None:
    """The engine is flushed when the thread that took translations back runs on; not when another comes first."""
    for engine in ENGINES:

        def flush(self: Any, pages: Any, original: Callable[[Any, Any], None] = engine.flush) -> None:
            hart = hart_of(self)
            if hart is None or hart.core.current is hart.resident:
                original(self, pages)

        engine.flush = flush


def entries_taken_back_in_the_running_space_alone() -> None:
    """The engine is told of translations that are taken back in the address space that runs, and of no others."""
    forget, running = Tables.forget, Hart.run
    current: list[Core] = []

    def run(self: Hart, effort: int) -> Any:
        current[:] = [self.core]
        return running(self, effort)

    def forget_here(self: Tables, space: Any, first_page: int, end_page: int) -> None:
        changed = dict(self.changed)
        forget(self, space, first_page, end_page)
        thread = current[0].current if current else None
        if thread is not None and thread.space is not space:
            self.changed = changed

    Hart.run = run  # type: ignore[method-assign]
    Tables.forget = forget_here  # type: ignore[method-assign]


# -- how they are planted ---------------------------------------------------------------------------------------------


def hart_of(cpu: Any) -> Hart | None:
    """Whose processor it is."""
    hart = getattr(cpu.find_page, "__self__", None)
    return hart if isinstance(hart, Hart) else None


def watch_runs(before: Callable[[Thread, int], None], after: Callable[[Thread, bool], None]) -> None:
    """Tell of the running thread that the engine begins at an address, and whether it has ended between two traps."""
    for engine in ENGINES:

        def run(self: Any, pc: int, limit: int, original: Any = engine.run) -> Any:
            hart = hart_of(self)
            thread = None if hart is None else hart.core.current
            if thread is None:
                return original(self, pc, limit)
            before(thread, pc)
            ended = original(self, pc, limit)
            after(thread, ended[0] == Cause.LIMIT)
            return ended

        engine.run = run


def note_who_is_cut_off() -> set[Thread]:
    """The threads that stand between two instructions, not at a trap; kept up to date."""
    cut: set[Thread] = set()
    watch_runs(lambda _thread, _pc: None, lambda thread, is_cut: (cut.add if is_cut else cut.discard)(thread))
    return cut


MISTAKES: tuple[Callable[[], None], ...] = (
    stop_waits_for_the_next_trap,
    end_waits_for_the_next_trap,
    state_read_as_of_the_last_turn,
    reservation_kept_over_the_end_of_a_turn,
    floating_registers_left_at_the_end_of_a_turn,
    entries_taken_back_on_one_engine_alone,
    entries_taken_back_for_who_asked_alone,
    entries_taken_back_in_the_running_space_alone,
)
