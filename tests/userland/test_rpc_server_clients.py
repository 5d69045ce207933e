"""
A client of `rpc_server` is destroyed at moments of each of its calls, also while its request is being moved.

The program does not know of it, and waits for that client in the end; by then the others have come to their results,
and every thread of the pool waits for the next request. A request is short, so nothing shows the middle of its move
but a page that has to be looked up there: before the call, all page tables are emptied.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.execution.configuration import CONFIGURATIONS
from fluke_async.kernel.connection import REQUEST_RECEIVE
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.kernel.trace import Event
from fluke_async.verify.closed_run import ClosedRun
from fluke_async.verify.programs import program
from tests.kernel.invariants import check

CLIENTS, REQUESTS, SERVERS = 3, 2, 3
CALLS = REQUESTS + 2  # one opens its counter, one closes it
INSTANTS = 8  # of a call
RPC_SERVER = program("rpc_server", (str(CLIENTS), str(REQUESTS)))


class Loss(ClosedRun):
    """A run in which the last of the clients that count, each of which is in a space of its own, is destroyed."""

    @property
    def victim(self) -> Thread | None:
        threads = self.threads
        clients = [each for each in threads if each.space is not threads[0].space]
        return clients[CLIENTS - 1] if len(clients) == CLIENTS else None

    def destroy_victim(self) -> None:
        victim = self.victim
        assert victim is not None
        self.hart.park_resident()
        self.core.current = None
        if self.core.unfinished is victim:
            self.core.unfinished = None
        self.core.destroy(victim)

    def is_moving(self) -> bool:
        """Whether a server is receiving the victim's request."""
        victim = self.victim
        servers = [] if victim is None else victim.servers()
        return any(server.registers[ENTRY_POINT] == REQUEST_RECEIVE for server in servers)

    def play(self, lookups: int | None, instant: int) -> bool:
        """
        Have it destroyed at an instant, or at a page that is looked up in a move after it; whether that has come.

        `lookups` is how many come before.
        """
        left, is_lost = lookups, False

        def pause() -> None:
            nonlocal is_lost
            if left is None:
                is_lost = True
                self.destroy_victim()
            else:
                self.core.tables.empty()

        def look(point: Point, _: Thread) -> bool:
            nonlocal left, is_lost
            if left is None or is_lost or self.core.time < instant or point is not Point.SOFT_FAULT:
                return False
            if not self.is_moving():
                return False
            left, is_lost = left - 1, not left
            if is_lost:
                self.destroy_victim()
            return is_lost

        self.pause_at(instant)
        self.on_pause = pause
        self.run(look)
        return is_lost


@cache
def calls(model: str, preemption: str) -> list[tuple[int, int]]:
    """From when to when each call of the victim goes on, if nobody destroys it."""
    run = Loss(RPC_SERVER, model, preemption)
    begins: list[int] = []
    ends: list[int] = []

    def note(event: tuple[Any, ...]) -> None:
        victim = run.victim
        if victim is not None and event[2:4] == (victim.hash, "ipc_call"):
            if event[1] is Event.TRAP:
                begins.append(event[0])
            elif event[1] is Event.COMPLETE:
                ends.append(event[0])

    run.core.trace = note
    run.run()
    assert run.exit == ("exited", 0)
    run.close()
    return list(zip(begins, ends, strict=True))[:CALLS]


def check_others(run: Loss) -> None:
    """All others have what they wanted, and the program waits for the one."""
    counted = f"the sum of 1 to {REQUESTS} is {REQUESTS * (REQUESTS + 1) // 2}, its counter is closed"
    assert run.output.data.decode().splitlines() == [f"client {number}: {counted}" for number in range(1, CLIENTS)]
    assert run.exit == ("deadlock", 1)
    servers = [each for each in run.threads if each.server_portset]
    assert len(servers) == SERVERS
    for server in servers:
        assert isinstance(server.waiting_for, Portset)
        assert server.client is None
    check(run.core)
    run.close()


@pytest.mark.parametrize(("model", "preemption"), CONFIGURATIONS)
@pytest.mark.parametrize("call", range(CALLS))
def test_server_goes_on_when_a_client_is_destroyed_in_its_call(model: str, preemption: str, call: int) -> None:
    begin, end = calls(model, preemption)[call]
    for number in range(INSTANTS):
        run = Loss(RPC_SERVER, model, preemption)
        assert run.play(None, begin + number * (end - begin) // INSTANTS)
        check_others(run)


@pytest.mark.parametrize(("model", "preemption"), CONFIGURATIONS)
@pytest.mark.parametrize("call", range(CALLS))
def test_server_goes_on_when_a_client_is_destroyed_while_its_request_is_moved(
    model: str, preemption: str, call: int
) -> None:
    begin, _ = calls(model, preemption)[call]
    lookups = 0
    while (run := Loss(RPC_SERVER, model, preemption)).play(lookups, begin):
        check_others(run)
        lookups += 1
    assert lookups > 1
    assert run.exit == ("exited", 0)
    run.close()
