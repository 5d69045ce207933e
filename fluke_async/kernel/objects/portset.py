"""Port sets: where server threads wait for whoever calls one of the set's ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import ExceptionCode, ObjectType
from fluke_async.abi.layouts import PORTSET_STATE
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.ordered_queue import OrderedQueue

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.port import Port
    from fluke_async.kernel.objects.thread import Thread


class Portset(KernelObject):
    """Servers wait in `waiters`; clients of all its ports stand in one queue, `callers`."""

    __slots__ = ("callers", "ports")

    type = ObjectType.PORTSET
    wrong_type = ExceptionCode.NOT_PORTSET
    layout = PORTSET_STATE
    named_by_waiters = True

    def __init__(self, address: int, hash_: int) -> None:
        super().__init__(address, hash_)
        self.ports: set[Port] = set()
        self.callers = OrderedQueue()

    def first_caller(self) -> Thread | None:
        """The client that is to be served next."""
        return self.callers.head()

    def on_destroy(self, core: Core) -> None:
        for port in sorted(self.ports, key=lambda port: port.hash):
            port.enter(None)
