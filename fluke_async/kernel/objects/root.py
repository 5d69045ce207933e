"""
The root of the memory tree: owns the RAM, zero-filled on first touch.

Its addresses fall into slabs, one for each program, so that a program's frames are found without a search. Pages may
share a frame until one of them is written; a frame that holds objects is never shared, since to have the frame is to
have the objects.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator
from itertools import repeat
from typing import TYPE_CHECKING

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.kernel.hold import Hold
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.params import SLAB_SIZE
from fluke_async.kernel.revocation import revoke_range
from fluke_async.kernel.slab import EMPTY_ROW, NO_FRAME, ROW_PAGES, Slab
from fluke_async.kernel.translation import WRITE

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core

SLAB_PAGES = SLAB_SIZE // PAGE_SIZE


class RootSpace(Space):
    """The space that owns the frames."""

    __slots__ = ("_owners", "_slabs")

    is_root = True

    def __init__(self, hash_: int) -> None:
        super().__init__(-1, hash_)
        self._slabs: dict[int, Slab] = {}
        self._owners = array("q")  # the page of each frame that is not shared

    def new_slab(self) -> int:
        """The first address of an unused slab."""
        number = 0
        while number in self._slabs:
            number += 1
        self._slabs[number] = Slab()
        return number * SLAB_SIZE

    def frame_at(self, core: Core, address: int, *, write: bool = False) -> int | None:
        """
        The frame behind a page's address, allocated at the first touch; None if the quota is used up.

        Who is going to write gets a frame that no other page shares.
        """
        slab = self._slabs.get(address // SLAB_SIZE)
        if slab is None:
            return None
        page = address // PAGE_SIZE
        frame = slab.get(page)
        if frame is None:
            frame = core.frames.allocate()
            if frame is not None:
                self._give(slab, page, frame)
        elif write:
            if frame in core.frames.sharers:
                shared, frame = frame, core.frames.unshare(frame)
                if frame is None:
                    return None
                if frame != shared:
                    revoke_range(core, self, address, PAGE_SIZE)
                self._give(slab, page, frame)
            if slab.is_held(page):
                slab.note_write(page, core.hardware.ram[frame : frame + PAGE_SIZE])
        return frame

    def _give(self, slab: Slab, page: int, frame: int) -> None:
        """Let a page have a frame for itself."""
        slab[page] = frame
        number, owners = frame // PAGE_SIZE, self._owners
        if number >= len(owners):
            owners.extend(repeat(0, number + 1 - len(owners)))
        owners[number] = page

    def entry_of(self, core: Core, address: int, granted: int, access: int) -> int | None:
        """What a table can say of a page that is wanted with `access`; None if there is no memory for it."""
        frame = self.frame_at(core, address, write=access == WRITE)
        if frame is None:
            return None
        if access != WRITE and self.is_watched(core, address):
            granted &= ~WRITE
        return frame | granted

    def is_watched(self, core: Core, address: int) -> bool:
        """Whether the first write to a page is to be noticed."""
        slab = self._slabs.get(address // SLAB_SIZE)
        if slab is None:
            return False
        page = address // PAGE_SIZE
        frame = slab.get(page)
        return frame in core.frames.sharers or frame in core.changes.written or slab.is_held(page)

    def is_work_to_write(self, core: Core, address: int) -> bool:
        """Whether the first write to a page takes more than to enter it, and to keep what was in it."""
        slab = self._slabs.get(address // SLAB_SIZE)
        frame = None if slab is None else slab.get(address // PAGE_SIZE)
        return frame is not None and (core.frames.sharers[frame] > 0 or frame in core.changes.written)

    def is_held(self, address: int) -> bool:
        """Whether the first write to a page is to be noticed by who holds its slab."""
        slab = self._slabs.get(address // SLAB_SIZE)
        return slab is not None and slab.is_held(address // PAGE_SIZE)

    def add_neighbours(
        self, core: Core, address: int, granted: int, pages: range, page: int, space: Space, entries: dict[int, int]
    ) -> None:
        """Add entries for those pages of a space around `page`, at `address`, that have frames and no entry yet."""
        slab, shift, known = self._slabs[address // SLAB_SIZE], address // PAGE_SIZE - page, space.pages
        rows, unwatched = slab.rows, slab.written
        sharers, asked_about = core.frames.sharers, core.changes.written
        row_number, row = -1, EMPTY_ROW
        for each in pages:
            number = each + shift
            if number // ROW_PAGES != row_number:
                row_number = number // ROW_PAGES
                row = rows.get(row_number, EMPTY_ROW)
            frame = row[number % ROW_PAGES]
            if frame != NO_FRAME and each not in known and each not in entries:
                watched = frame in sharers or frame in asked_about
                if unwatched is not None and number not in unwatched:
                    watched = True
                entries[each] = frame | (granted & ~WRITE if watched else granted)

    def slabs(self) -> Collection[Slab]:
        """All that are in use."""
        return self._slabs.values()

    def frames(self) -> Iterator[tuple[int, int]]:
        """Every address that has a frame, with it."""
        for slab in self._slabs.values():
            for page, frame in slab.items():
                yield page * PAGE_SIZE, frame

    def note_objects(self, frame: int) -> None:
        """A frame, which is not shared, had no objects and has some."""
        page = self._owners[frame // PAGE_SIZE]
        self._slabs[page // SLAB_PAGES].add_objects(page)

    def forget_objects(self, frame: int) -> None:
        """A frame has no objects any more."""
        page = self._owners[frame // PAGE_SIZE]
        self._slabs[page // SLAB_PAGES].remove_objects(page)

    def next_frame(self, address: int, end: int) -> tuple[int, int] | None:
        """The first page in [address, end) that has a frame, and the frame."""
        return self._next(address, end, Slab.next_page)

    def next_objects(self, address: int, end: int) -> tuple[int, int] | None:
        """The first page in [address, end) that has objects, and its frame."""
        return self._next(address, end, Slab.next_objects)

    def _next(self, address: int, end: int, next_in: Callable[[Slab, int], int | None]) -> tuple[int, int] | None:
        number = address // SLAB_SIZE
        while number * SLAB_SIZE < end:
            slab = self._slabs.get(number)
            page = None if slab is None else next_in(slab, address // PAGE_SIZE)
            if slab is not None and page is not None:
                return (page * PAGE_SIZE, slab[page]) if page * PAGE_SIZE < end else None
            number = min((each for each in self._slabs if each > number), default=end)
            address = number * SLAB_SIZE
        return None

    def share(self, core: Core, start: int, size: int, target: int) -> bool:
        """
        Let the pages from `target` on, which have no frames yet, have the contents of `size` bytes from `start`.

        Frames are shared until they are written; those that hold objects are copied at once, without the objects.
        False, and nothing has happened, if there is no memory for that.
        """
        slab, into = self._slabs[start // SLAB_SIZE], self._slabs[target // SLAB_SIZE]
        first, end, shift = start // PAGE_SIZE, (start + size) // PAGE_SIZE, (target - start) // PAGE_SIZE
        copies: dict[int, int] = {}
        for page in slab.objects_between(first, end):
            copied = core.frames.copy(slab[page])
            if copied is None:
                for each in copies.values():
                    core.frames.release(each)
                return False
            copies[page] = copied
        core.frames.share(into.share(slab, first, end, shift, copies))
        for page, frame in copies.items():
            self._give(into, page + shift, frame)
        revoke_range(core, self, start, size)  # what could be written cannot be any more
        return True

    def hold(self, core: Core, start: int, size: int) -> Hold:
        """Hold the contents of `size` bytes of a slab, from one of its pages on, as they are now."""
        hold = self._slabs[start // SLAB_SIZE].hold(start // PAGE_SIZE, (start + size) // PAGE_SIZE)
        revoke_range(core, self, start // SLAB_SIZE * SLAB_SIZE, SLAB_SIZE)  # what could be written is watched now
        return hold

    def free_slab(self, core: Core, start: int) -> None:
        """Free all frames of a slab, with the objects that live in them."""
        revoke_range(core, self, start, SLAB_SIZE)
        slab = self._slabs[start // SLAB_SIZE]
        for page in tuple(slab.objects):
            core.destroy_objects_in(slab[page])
        for hold in slab.holds:
            hold.lose()
        del self._slabs[start // SLAB_SIZE]
        for frame in sorted(slab.values(), reverse=True):  # so that the next owner gets them in order, side by side
            if core.frames.release(frame):
                core.changes.forget(frame)
