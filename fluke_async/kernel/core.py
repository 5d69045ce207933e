"""The state of one kernel: its threads in order, its objects, its memory, what is due, and what goes to the outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from fluke_async.abi.codes import (
    COPY_CHUNK_WORDS,
    OBJECT_CHARGE_BYTES,
    TRANSLATION_CHARGE_BYTES,
    VISITED_PAGES_MAX,
)
from fluke_async.abi.entry_points import BY_NUMBER
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel.account import Account
from fluke_async.kernel.changes import Changes
from fluke_async.kernel.donation import is_donor, note
from fluke_async.kernel.memory import Frames, Hardware, Quota
from fluke_async.kernel.object_table import ObjectTable
from fluke_async.kernel.objects.root import RootSpace
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point, Probe
from fluke_async.kernel.scheduler import Scheduler
from fluke_async.kernel.tables import Tables
from fluke_async.kernel.timeline import Timeline, Wanted
from fluke_async.kernel.trace import Event, Trace
from fluke_async.kernel.translation import FRAME_MASK
from fluke_async.kernel.turns import Turns

if TYPE_CHECKING:
    from fluke_async.kernel.device_request import DeviceRequest
    from fluke_async.kernel.objects.base import KernelObject

CHOSEN_HASHES_START = 1 << 62


class Core(Scheduler):
    """One kernel."""

    def __init__(
        self, hardware: Hardware, memory_bytes: int, trace: Trace | None = None, turns: Turns | None = None
    ) -> None:
        super().__init__(trace, turns)
        self.hardware = hardware
        self.tables = Tables(memory_bytes)
        self.quota = Quota(max(0, memory_bytes - self.tables.capacity * TRANSLATION_CHARGE_BYTES))
        self.frames = Frames(hardware, self.quota)
        self.changes = Changes(self.tables)
        self.objects = ObjectTable()
        self.timeline = Timeline()
        self.probe: Probe | None = None
        self.chunk_words = COPY_CHUNK_WORDS  # of a message, between two marked points
        self.visited_pages = VISITED_PAGES_MAX  # in one step of a call that looks through a region
        self.requests: list[DeviceRequest] = []
        self.exceptions: list[Thread] = []
        self._last_hash = 0
        self.root = RootSpace(self.new_hash())

    # -- objects ------------------------------------------------------------------------------------------------

    def new_hash(self) -> int:
        """A hash that the kernel has not chosen before."""
        self._last_hash += 1
        return self._last_hash

    def leave_out_hashes(self, hashes: Iterable[int]) -> None:
        """
        Choose none of these, which another kernel has chosen: programs know objects by them.

        Programs choose any numbers too; those from CHOSEN_HASHES_START on are never the kernel's.
        """
        self._last_hash = max((self._last_hash, *(each for each in hashes if each < CHOSEN_HASHES_START)))

    def create(self, kind: type[KernelObject], address: int, hash_: int = 0) -> KernelObject | None:
        """Make an object at a free physical slot; None if the quota is used up."""
        if not self.quota.charge(OBJECT_CHARGE_BYTES[kind.type]):
            return None
        created = kind(address, hash_ or self.new_hash())
        if isinstance(created, Space) and self.current is not None and self.current.space is not None:
            created.account = self.current.space.account
        self._enter(created)
        if self.trace is not None:
            by = 0 if self.current is None else self.current.hash
            self.trace((self.time, Event.CREATE, by, kind.type.name, created.hash, address))
        return created

    def destroy(self, target: KernelObject) -> None:
        """End an object: whoever waits for it looks again."""
        assert target.active
        target.active = False
        self._leave(target)
        target.on_destroy(self)
        self._wake_waiters(target, stopped=False)
        self._let_donors_look()
        self.quota.release(OBJECT_CHARGE_BYTES[target.type])
        if self.trace is not None:
            by = 0 if self.current is None else self.current.hash
            self.trace((self.time, Event.DESTROY, by, target.type.name, target.hash))

    def _wake_waiters(self, target: KernelObject, *, stopped: bool) -> None:
        """Let all look again; who is stopped stays parked unless it is asked for, and looks when it starts."""
        if target.waiters is not None:
            for thread in tuple(target.waiters.in_order()):
                if stopped or not thread.stopped:
                    self.wake(thread)

    def move(self, target: KernelObject, address: int) -> None:
        """Give an object another free physical slot."""
        self._leave(target)
        target.address = address
        self._enter(target)
        if target.named_by_waiters:
            self._wake_waiters(target, stopped=True)  # a wait that starts again finds it active, and would go on
        elif isinstance(target, Thread):
            for donor in tuple(target.queue().in_order()):
                if is_donor(donor):
                    self.wake(donor)
        self._let_donors_look()

    def _enter(self, target: KernelObject) -> None:
        if self.objects.enter(target):
            self.root.note_objects(target.address & FRAME_MASK)

    def _leave(self, target: KernelObject) -> None:
        if self.objects.leave(target):
            self.root.forget_objects(target.address & FRAME_MASK)

    def _let_donors_look(self) -> None:
        """The port set that one of them serves may have gone."""
        for donor in self.sensitive:
            note(self, donor)

    def destroy_objects_in(self, frame: int) -> None:
        """Destroy what lives in a frame that is about to be freed."""
        for target in self.objects.in_frame(frame):
            self.destroy(target)

    # -- points -------------------------------------------------------------------------------------------------

    def show_inside(self, point: Point, thread: Thread) -> bool:
        """Show the probe a point of `thread` inside the running thread's call; whether all has been created again."""
        assert self.probe is not None
        assert self.current is not None
        question, entry = self.current.question, BY_NUMBER.get(self.current.registers[ENTRY_POINT])
        if entry is not None and entry.can_be_cut and (question is None or question.in_call):
            self.unfinished = self.current  # it is in the middle of its call, and goes on first
        if self.probe(point, thread):
            return True
        self.unfinished = None
        return False

    # -- time ---------------------------------------------------------------------------------------------------

    def at(self, time: int, action: Callable[[], None], request: Wanted | None = None) -> None:
        """Do `action` when the clock has reached `time`; not if it was for `request` and that is closed by then."""
        self.timeline.add(time, action, request)

    def act(self) -> None:
        """Do all that is due."""
        self.timeline.act(self.time)

    # -- to the outside -----------------------------------------------------------------------------------------

    def on_exception(self, thread: Thread) -> None:
        """`thread` was stopped by an exception that nobody handles."""
        self.statistics.exceptions += 1
        self.exceptions.append(thread)
        self.attention = True

    def hold(self, account: Account, held: bool) -> None:
        """Halt a program while it is read out, or made; or let it go on, and devices hear what it asks for."""
        account.is_held = held
        if not held:
            self.requests += [request for request in account.requests if request.is_open]
            account.requests.clear()
        self.settle(account)

    def request(self, request: DeviceRequest) -> None:
        """A thread asks a device, which hears of it when the thread's program is not held."""
        self.statistics.device_requests += 1
        space = request.thread.space
        if space is not None and space.account.is_held:
            space.account.requests.append(request)
        else:
            self.requests.append(request)
            self.attention = True
        if self.trace is not None:
            port = request.port.hash
            self.trace((self.time, Event.REQUEST, request.thread.hash, port, request.words))
