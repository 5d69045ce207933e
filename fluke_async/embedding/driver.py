"""
The driver: the loop between the event loop and the hart.

Each turn: at the *fixed point* it carries out what the host and the devices have asked for, in the order of asking;
then the hart runs for about a millisecond; then the event loop gets its turn. What has to wait for the outside waits
here, never in the kernel. The end of a slice is invisible to programs; only the fixed point takes anything in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from anyio.lowlevel import checkpoint

from fluke_async.abi.devices import ParentOperation
from fluke_async.device import DevicePort
from fluke_async.embedding.clock import Clock
from fluke_async.embedding.exit import Exit, stuck_exit
from fluke_async.embedding.host_context import HostContext
from fluke_async.embedding.host_queue import HostQueue
from fluke_async.embedding.manager import Manager
from fluke_async.embedding.outside import Outside
from fluke_async.embedding.process import Process
from fluke_async.embedding.snapshot import describe_exception, describe_thread
from fluke_async.errors import FlukeError, KernelBug
from fluke_async.execution.hart import Hart, Outcome
from fluke_async.kernel import message
from fluke_async.kernel.core import Core
from fluke_async.kernel.device_request import DeviceRequest
from fluke_async.kernel.objects.thread_condition import Condition
from fluke_async.kernel.trace import Event

SLICE_NS = 1_000_000  # host time between two turns of the event loop
EFFORT_START, EFFORT_MIN, EFFORT_MAX = 100_000, 10_000, 20_000_000


class Driver(HostQueue):
    """Drives one kernel. What it offers to devices is `fluke_async.device.Host`."""

    def __init__(self, core: Core, hart: Hart, clock: Clock) -> None:
        super().__init__()
        self.core = core
        self.hart = hart
        self.clock = clock
        self.ports: list[DevicePort] = []
        self.processes: list[Process] = []  # those that run
        self.present: dict[int, Process] = {}  # and those that their budgets have stopped, by number
        self.host_threads: list[HostContext] = []
        self.manager: Manager | None = None
        self.on_breath: Callable[[], None] | None = None
        self._effort = EFFORT_START

    # -- what devices may do at any time ----------------------------------------------------------------------------

    def now_ns(self) -> int:
        """The kernel's clock."""
        return self.clock.now_ns()

    def answer_at(self, instant_ns: int, request: DeviceRequest, words: tuple[int, ...]) -> None:
        """Complete a device's client when the kernel's clock has reached the instant."""

        def answer() -> None:
            account = None if request.thread.space is None else request.thread.space.account
            if account is not None and account.is_held:  # for it, the instant has not come
                for process in self.present.values():
                    if process.loaded is not None and process.loaded.account is account:
                        process.stillness.put_off(lambda away_ns: self.answer_at(instant_ns + away_ns, request, words))
                        return
            self.core.current = None
            message.answer(self.core, request, words)

        self.clock.call_at(instant_ns, answer, request)

    def record_input(self, source: str, data: bytes) -> None:
        """Note in the trace that something came from outside."""
        if self.core.trace is not None:
            self.core.trace((self.core.time, Event.INPUT, 0, source, data.hex()))

    # -- the loop -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Drive the kernel until `close`; an exception that is neither a program's nor the host's doing is our bug."""
        breath_ns = time.perf_counter_ns()
        try:
            while True:
                if self.core.unfinished is None or self.has_actions():  # the state is whole at a marked point too
                    await self._fixed_point()
                elif self.core.requests:
                    await self._hand_out()
                if self.closing:
                    break
                if self.turn_owed:
                    self.turn_owed = False
                    await checkpoint()
                    continue
                begun = time.perf_counter_ns()
                outcome = self.hart.run(self._effort)
                self._adapt(outcome, time.perf_counter_ns() - begun)
                if self.on_breath is not None:
                    self.on_breath()
                if outcome is Outcome.IDLE:
                    await self._idle()
                elif outcome is Outcome.SLICE or time.perf_counter_ns() - breath_ns > SLICE_NS:
                    await checkpoint()
                    breath_ns = time.perf_counter_ns()
        except (FlukeError, KernelBug):
            raise
        except Exception as error:
            raise KernelBug(f"{error!r}\n{self.report()}") from error
        finally:
            self.loop_ended()

    async def close(self) -> None:
        """End all processes and host threads, then the loop."""

        def stop() -> None:
            self.end_all(tuple(self.processes), Exit("killed", 1, "the kernel was closed"))
            for process in self.present.values():
                process.leaving()
            for host_thread in tuple(self.host_threads):
                self.end_host_thread(host_thread)
            if self.manager is not None and self.manager.is_alive:
                self.manager.end("the kernel was closed")
            self.closing = True

        if not self.closing:
            self.post(stop)
        await self.closed()

    def abandon(self) -> None:
        """The loop has ended, if only by an error: tell everybody who still waits for something."""
        self.hart.park_resident()
        for process in tuple(self.processes):
            process.ended(Exit("killed", 1, "the kernel has stopped"), gone=True)
        for process in self.present.values():
            process.stillness.end(is_gone=True)
        self.processes.clear()
        self.present.clear()
        for host_thread in self.host_threads:
            host_thread.caller.abandon()
        self.abandon_callers()

    async def _fixed_point(self) -> None:
        """Take in what came from the host, hand out what goes to devices, and settle who has ended."""
        core = self.core
        core.current = None
        while True:
            self.do_all()
            core.attention = False
            await self._hand_out()
            if self.has_actions():
                continue  # an exit that has been asked for comes before the end of a budget
            self.clock.collect()
            self._end_who_cannot_go_on()
            if not self.has_actions() and not core.requests:
                return

    async def _hand_out(self) -> None:
        """Hand requests to their devices, and wait until those have decided about them."""
        requests, self.core.requests = self.core.requests, []
        for request in requests:
            if request.port.receiver is not None:
                request.port.receiver(request)
        for port in tuple(self.ports):
            if port.is_unsettled:
                await port.settled()

    async def _idle(self) -> None:
        """No thread is ready: go to the next thing that happens, or find that nothing can."""
        if self.has_actions() or self.core.requests:
            return
        wait_s: float | None = None
        callers = [host_thread.caller for host_thread in self.host_threads]
        outside_may_speak = any(port.has_open_requests for port in self.ports) or any(
            caller.holds_time for caller in callers
        )
        if not outside_may_speak or self.clock.is_real:
            wait_s = self._idle_for()
            if wait_s == 0:
                return
        nobody_may_act = wait_s is None and not outside_may_speak and not any(caller.may_act for caller in callers)
        if nobody_may_act and self._end_deadlocked():
            return
        await self.news(wait_s)

    def _idle_for(self) -> float | None:
        """How long to wait for what comes next; a virtual clock jumps there."""
        before = self.core.time
        for process in self.processes:
            process.stillness.disarm()
        wait_s = self.clock.idle_for()
        for process in self.processes:
            process.stillness.jumped(self.core.time - before)
        return wait_s

    def _adapt(self, outcome: Outcome, spent_ns: int) -> None:
        """Aim the next slice at SLICE_NS of host time."""
        if outcome is Outcome.SLICE or spent_ns > SLICE_NS:
            factor = min(2.0, max(0.5, SLICE_NS / max(spent_ns, 1)))
            self._effort = int(min(EFFORT_MAX, max(EFFORT_MIN, self._effort * factor)))

    # -- processes ------------------------------------------------------------------------------------------------

    def outsides(self) -> list[Outside]:
        """What the processes have outside that are there."""
        return [process.loaded for process in self.present.values() if process.loaded is not None]

    def adopt(self, process: Process) -> None:
        """Take a new process into the kernel."""
        assert process.loaded is not None
        process.loaded.parent.receiver = lambda request: self._on_parent_request(process, request)
        self.processes.append(process)
        self.present[process.number] = process

    def add_budget(self, process: Process, instructions: int) -> None:
        """Extend a budget; see `Process.add_budget`."""
        if process.loaded is None:
            return
        if process not in self.processes:
            self.processes.append(process)
        account = process.loaded.account
        assert account.instructions_left is not None
        account.instructions_left += instructions
        self.core.settle(account)

    def set_held(self, process: Process, held: bool) -> None:
        """Halt a process while it is read out, or made; nobody is told."""
        if process.loaded is not None:
            self.core.hold(process.loaded.account, held)

    def set_suspended(self, process: Process, suspended: bool) -> None:
        """Halt a process until it is told to go on; see `Process.suspend`."""
        loaded, core = process.loaded, self.core
        if loaded is None or loaded.account.is_suspended == suspended:
            return
        loaded.account.is_suspended = suspended
        core.settle(loaded.account)
        if core.trace is not None:
            core.trace((core.time, Event.SUSPEND if suspended else Event.RESUME, 0, process.number))

    def end(self, process: Process, exit_: Exit) -> None:
        """End a process and free all that it had; a budget's end leaves it whole, but its threads are not ready."""
        loaded = process.loaded
        if loaded is None or (process.has_ended and exit_.reason != "killed"):
            return
        if process in self.processes:
            self.processes.remove(process)
        core = self.core
        if core.trace is not None:
            core.trace((core.time, Event.EXIT, 0, process.number, exit_.reason, exit_.status))
        if exit_.reason == "budget":
            process.ended(exit_, gone=False)
            return
        process.leaving()
        for thread in tuple(loaded.account.threads):
            core.destroy(thread)
        loaded.slab.free()
        del self.present[process.number]
        process.ended(exit_, gone=True)

    def end_all(self, processes: Iterable[Process], exit_: Exit) -> None:
        """End several processes."""
        for process in processes:
            self.end(process, exit_)

    def end_host_thread(self, host_thread: HostContext) -> None:
        """Destroy a host thread and free all that it had."""
        if host_thread in self.host_threads:
            self.host_threads.remove(host_thread)
            host_thread.end()

    def _on_parent_request(self, process: Process, request: DeviceRequest) -> None:
        words = request.words
        if len(words) >= 2 and words[0] == ParentOperation.EXIT:
            self.post(lambda: self.end(process, Exit("exited", words[1] & 0xFF)))

    def _end_who_cannot_go_on(self) -> None:
        """End processes whose budget is spent, and those of which every thread was stopped by an exception."""
        stopped, self.core.exceptions = self.core.exceptions, []
        if stopped and self.manager is not None and self.manager.is_alive:
            self.manager.look()
        for process in tuple(self.processes):
            assert process.loaded is not None
            account = process.loaded.account
            if account.is_spent:
                self.end(process, Exit("budget", 1, "the budget of instructions is used up"))
            elif all(thread.condition is Condition.EXCEPTION for thread in account.threads):
                self.end(process, stuck_exit(account.threads))
            elif process.on_thread_exception is not None:
                for thread in stopped:
                    if thread in account.threads:
                        process.on_thread_exception(describe_exception(thread))

    def _end_deadlocked(self) -> bool:
        """
        Nothing can happen any more by itself: end every process, and say what each thread waits for.

        Not while one is suspended or held: what happens when it goes on is not known.
        """
        if any(process.is_suspended or process.is_held for process in self.processes):
            return False
        stuck = tuple(self.processes)
        exits = [stuck_exit(process.loaded.account.threads) for process in stuck if process.loaded is not None]
        for process, exit_ in zip(stuck, exits, strict=True):
            self.end(process, exit_)
        return bool(stuck)

    def report(self) -> str:
        """The kernel's state in words, for a bug report."""
        lines = [f"at time {self.core.time}, {len(self.core.objects)} objects"]
        for process in self.processes:
            lines += [f"{process!r}", *(f"  {thread}" for thread in process.threads())]
        lines += [f"host thread: {describe_thread(each.caller.thread)}" for each in self.host_threads]
        return "\n".join(lines)
