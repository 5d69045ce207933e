"""
A host thread's memory: a space of its own, seen by Python as buffers, and the places of its objects.

    0x1000 ...            pages of the thread's own: objects and buffers; a page costs memory from its first touch
    WINDOWS ...           what is mapped of others' memory
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE, USER_END, USER_START, WORD_SIZE, Prot
from fluke_async.device import DevicePort
from fluke_async.embedding.slab import OutOfMemory, Slab
from fluke_async.embedding.system_call import SystemCallError
from fluke_async.errors import FlukeError
from fluke_async.kernel import user_memory
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.translation import WRITE

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core

WINDOWS = USER_END // 2


class HostMemory:
    """
    Made at the fixed point, with the thread in it; `own_space` is the address of a reference to the space.

    Raises:
        OutOfMemory: the kernel's memory does not suffice; nothing is left.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self._next_page = USER_START
        self._next_window = WINDOWS
        self._slots: list[int] = []
        self.imported: dict[KernelObject | DevicePort, int] = {}
        self._slab = Slab(core, USER_END)
        try:
            space, region = self._slab.new_space()
            self._slab.map(space, region, USER_START, WINDOWS, Prot.READ | Prot.WRITE)
            address = self.take_slot()
            self.thread = self._slab.object_at(address, Thread)
            self.thread.thread_va = address
            core.enter_space(self.thread, space)
            self.own_space = self.reference_to(space)
        except BaseException:
            self._slab.free()
            raise

    def free(self) -> None:
        """Give all of it back."""
        self._slab.free()

    # -- places ---------------------------------------------------------------------------------------------------

    def take_slot(self) -> int:
        """A place for an object."""
        if not self._slots:
            page = self.take_pages(PAGE_SIZE)
            self._slots = list(range(page + PAGE_SIZE - SLOT_SIZE, page - 1, -SLOT_SIZE))
        return self._slots.pop()

    def clear_slot(self, address: int) -> None:
        """Give a place back, and destroy what is there."""
        if self.thread.space is None:
            return
        found = self.core.objects.get(self._slab.frame(address // PAGE_SIZE * PAGE_SIZE) + address % PAGE_SIZE)
        if found is not None:
            self.core.destroy(found)
        self._slots.append(address)

    def take_pages(self, size: int) -> int:
        """The address of unused pages, at least `size` bytes."""
        start, end = self._next_page, self._next_page + whole_pages(size)
        if end > WINDOWS:
            raise FlukeError(f"{size} bytes are more than a host thread has addresses for: ask for less")
        self._next_page = end
        return start

    def take_window(self, size: int) -> int:
        """The address of a range into which `size` bytes of somebody else's memory can be mapped."""
        start, end = self._next_window, self._next_window + whole_pages(size)
        if end > USER_END:
            raise FlukeError(f"{size} bytes are more than a host thread can map: map less, or use another host thread")
        self._next_window = end
        return start

    def buffer(self, size: int) -> Buffer:
        """
        Pages of memory, all there from now on.

        Raises:
            OutOfMemory: there is less left.
        """
        quota = self.core.quota
        if whole_pages(size) > quota.limit_bytes - quota.used_bytes:
            raise OutOfMemory(quota.limit_bytes)
        address = self.take_pages(size)
        for page in range(address, address + size, PAGE_SIZE):
            self._slab.frame(page)
        return Buffer(self, address, size)

    # -- contents -------------------------------------------------------------------------------------------------

    def read(self, address: int, size: int) -> bytes:
        """Bytes of the space."""
        self.check()
        try:
            return user_memory.read(self.core, self.thread, address, size)
        except ProgramException as exception:
            raise SystemCallError.of_exception(f"reading {size} bytes at {address:#x}", exception) from None

    def write(self, address: int, data: bytes) -> None:
        """Put bytes into the space."""
        self.check()
        try:
            user_memory.write(self.core, self.thread, address, data)
        except ProgramException as exception:
            raise SystemCallError.of_exception(f"writing {len(data)} bytes at {address:#x}", exception) from None

    def object(self, address: int, kind: type[KernelObject]) -> KernelObject | None:
        """The object at an address, if it is there and of that type."""
        try:
            return object_at(self.core, self.thread, address, kind, WRITE)
        except ProgramException:
            return None

    def reference_to(self, target: KernelObject | DevicePort) -> int:
        """The address of a reference to something that is no object of this space; at the fixed point only."""
        address = self.imported.get(target)
        if address is None:
            address = self.take_slot()
            reference = self._slab.object_at(address, Reference)
            if isinstance(target, DevicePort):
                port = self._slab.parent_object(Port)
                port.receiver = target.hand_in
                reference.target = port
            else:
                reference.target = target
            self.imported[target] = address
        return address

    def check(self) -> None:
        """
        See that the memory is there.

        Raises:
            FlukeError: the host thread has ended.
        """
        if self.thread.space is None:
            raise FlukeError("this host thread has ended: use its memory inside its `async with` block")


class Buffer:
    """
    Memory of a host thread that Python reads and writes directly.

    It begins at a page, so that it can be shared. Made by `HostThread.buffer` and `HostThread.map`.
    """

    def __init__(self, memory: HostMemory, address: int, size: int) -> None:
        self.memory = memory
        self.address = address
        self.size = size

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """
        `size` bytes from `offset`, by default all that follow.

        Raises:
            SystemCallError: the memory is not there any more, which happens to what was mapped.
            FlukeError: the range leaves the buffer, or the host thread has ended.
        """
        return self.memory.read(*self._range(offset, self.size - offset if size is None else size))

    def write(self, data: bytes, offset: int = 0) -> None:
        """
        Put bytes at `offset`.

        Raises:
            SystemCallError: the memory is not there any more, or can only be read.
            FlukeError: the range leaves the buffer, or the host thread has ended.
        """
        address, _ = self._range(offset, len(data))
        self.memory.write(address, bytes(data))

    def _range(self, offset: int, size: int) -> tuple[int, int]:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FlukeError(f"{size} bytes from {offset} leave a buffer of {self.size} bytes: stay inside")
        return self.address + offset, size

    def __repr__(self) -> str:
        return f"<Buffer {self.size} bytes at {self.address:#x}>"


class Room:
    """A buffer that grows with what it has to hold; what it costs grows with what has been in it."""

    def __init__(self, memory: HostMemory) -> None:
        self._memory = memory
        self._address = 0
        self._size = 0

    def of(self, size: int) -> int:
        """Its address, with room for `size` bytes."""
        if size > self._size or not self._address:
            self._size = max(2 * self._size, size, WORD_SIZE)
            self._address = self._memory.take_pages(self._size)
        return self._address

    def hold(self, content: bytes) -> int:
        """Its address, with `content` in it."""
        address = self.of(len(content))
        self._memory.write(address, content)
        return address

    def content(self, size: int) -> bytes:
        """The first `size` bytes in it."""
        return self._memory.read(self._address, size)


def whole_pages(size: int) -> int:
    """`size`, rounded up."""
    return -(-size // PAGE_SIZE) * PAGE_SIZE
