"""A thread that waits for a keeper, in line or with its question taken, from user mode or from a call."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine
from tests.kernel.paging import Keeper, Paging

taken_or_not = pytest.mark.parametrize("taken", [False, True], ids=["in line", "taken"])
in_call_or_not = pytest.mark.parametrize("in_call", [False, True], ids=["user mode", "call"])


def client_of(paging: Paging, *, in_call: bool, **options: Any) -> Thread:
    """A thread that wants to write byte 16 of page 1."""
    machine = paging.machine
    if in_call:
        return paging.spawn(machine.call("mutex_create", mutex=paging.address(1, 2)), **options)
    return paging.writer(1, 7, 2, **options)


def asking(machine: Machine, *, taken: bool, in_call: bool = False, **options: Any) -> tuple[Paging, Thread, Keeper]:
    """A thread that waits for the page's keeper; which has its question already, or only begins to serve then."""
    paging = Paging(machine)
    keeper = paging.keeper(start=taken)
    client = client_of(paging, in_call=in_call, **options)
    machine.run()
    assert client.waiting_for is (keeper.thread if taken else paging.port)
    return paging, client, keeper


def resolve(paging: Paging, keeper: Keeper) -> None:
    """Let the keeper begin, if it has not, and answer its one question when the page is there."""
    if keeper.thread.stopped:
        paging.machine.core.start(keeper.thread)
    paging.machine.run()
    assert keeper.is_asked
    paging.bring(1)
    keeper.answer()
