"""The store of a program that needs one, as it was at any moment: that is not in an image of its client."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from fluke_async.abi.devices import StoreOperation
from fluke_async.programs import find_program

PROGRAMS = {"manager": ("bounded_buffer", "hello", "manager")}
"""Programs that use a store, and what is in it."""

CHANGING = (StoreOperation.WRITE, StoreOperation.PUBLISH, StoreOperation.REMOVE, StoreOperation.KEEP)


class NotedStore:
    """A store device that remembers what it had after each change, with the time of its client, if that has one."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._history: list[tuple[int | None, Any]] = [(0, store.copy())]
        self.clock: Callable[[], int | None] = lambda: 0

    async def run(self, port: Any) -> None:
        """Serve a port, as a device."""
        async for request in port:
            self._store.decide(request)
            if request.words and request.words[0] in CHANGING:
                self._history.append((self.clock(), self._store.copy()))

    def at(self, clock_ns: int) -> NotedStore:
        """Another, with what it had when its client's clock stood at an instant, and while it stood there."""
        found = self._history[0][1]
        for time_ns, store in self._history:
            if time_ns is not None and time_ns > clock_ns:
                break
            found = store
        return NotedStore(found.copy())


def store_for(program: str) -> NotedStore | None:
    """The store of a program from the table, if it has one."""
    if program not in PROGRAMS:
        return None
    shelf = import_module("fluke_devices.shelf").MemoryShelf()
    for name in PROGRAMS[program]:
        shelf.put(name.encode(), find_program(name))
    return NotedStore(import_module("fluke_devices.store").Store(shelf))
