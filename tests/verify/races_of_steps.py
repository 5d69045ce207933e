"""
Races in which what was to be one step has become two, with a point in between; see `races`.

The two halves are right one after the other; whoever looks in between, or takes the processor for longer, finds what is
neither the state before nor the state after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluke_async.abi.codes import Status
from fluke_async.abi.registers import A0, A1, PROGRESS_WORDS, RECEIVE_BUFFER, RECEIVE_WORDS
from fluke_async.execution import dispatcher
from fluke_async.kernel import exceptions, ipc, reliable
from fluke_async.kernel.core import Core
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.revocation import revoke_region
from fluke_async.kernel.scheduler import Scheduler
from fluke_async.kernel.suspension import COPY
from fluke_async.kernel.translation import WRITE
from tests.verify.races import replace, replace_everywhere


def receiver_moved_on_after_the_point() -> None:
    """A chunk of a reliable message is taken off what is to be sent; that it has arrived is noted after the point."""
    move_chunk, converse = reliable.move_chunk, ipc.converse
    arrived: dict[Thread, tuple[Thread, tuple[int, ...]]] = {}
    roles = (RECEIVE_BUFFER, RECEIVE_WORDS, PROGRESS_WORDS)

    def move_chunk_half(core: Core, sender: Thread, receiver: Thread) -> Any:
        before = [receiver.registers[role] for role in roles]
        outcome = move_chunk(core, sender, receiver)
        if outcome is COPY and core.current is not None:
            arrived[core.current] = receiver, tuple(receiver.registers[role] for role in roles)
            for role, value in zip(roles, before, strict=True):
                receiver.registers[role] = value
        return outcome

    async def converse_in_halves(core: Core, thread: Thread) -> int:
        inner = converse(core, thread)
        while True:
            try:
                suspension = inner.send(None)
            except StopIteration as end:
                return int(end.value)
            await suspension
            if thread in arrived:
                receiver, values = arrived.pop(thread)
                for role, value in zip(roles, values, strict=True):
                    receiver.registers[role] = value

    reliable.move_chunk = move_chunk_half
    for number, row in dispatcher.ROWS.items():
        if row.handler is converse:
            dispatcher.ROWS[number] = row._replace(handler=converse_in_halves)


def entries_taken_back_before_the_right() -> None:
    """`region_protect` takes back what was looked up, can lose the processor, and only then sets the protection."""

    async def region_protect(core: Core, thread: Thread) -> int:
        region = object_at(core, thread, thread.registers[A0], Region, WRITE)
        revoke_region(core, region)
        await COPY
        region.prot = thread.registers[A1]
        return Status.SUCCESS

    replace("region_protect", region_protect)


def place_in_line_lost_with_the_processor() -> None:
    """A thread that is preempted in the kernel comes to its object as if it were new: `wait_order` is gone."""
    original = dispatcher.Dispatcher._preempted

    def _preempted(self: dispatcher.Dispatcher, thread: Thread) -> bool:
        preempted = original(self, thread)
        if preempted:
            thread.wait_order = 0
        return preempted

    dispatcher.Dispatcher._preempted = _preempted  # type: ignore[method-assign]


def interrupt_of_a_preempted_call_forgotten() -> None:
    """An interrupt of who has lost the processor in a call, and does not wait, is left for the end of the call."""
    post, finish = exceptions.post, Scheduler.finish
    late: dict[Thread, int] = {}

    def post_later(core: Core, target: Thread, pending: int) -> None:
        if target.in_kernel and target.waiting_for is None:
            late[target] = late.get(target, 0) | pending
        else:
            post(core, target, pending)

    def finish_and_post(self: Scheduler, thread: Thread, entry: Any, status: int) -> None:
        finish(self, thread, entry, status)
        thread.pending |= late.pop(thread, 0)

    replace_everywhere("post", post, post_later)
    Scheduler.finish = finish_and_post  # type: ignore[method-assign]


MISTAKES: tuple[Callable[[], None], ...] = (
    receiver_moved_on_after_the_point,
    entries_taken_back_before_the_right,
    place_in_line_lost_with_the_processor,
    interrupt_of_a_preempted_call_forgotten,
)
