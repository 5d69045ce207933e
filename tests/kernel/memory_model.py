"""
The memory tree in a few dictionaries, as the manual tells it: what the kernel is held against at random.

Pages of the root are numbered; the pages of a slab that have frames are those in `pages`. What is in a frame is named
by a token; pages that share one have the same token until one of them is written. Spaces, regions and mappings have
numbers, which stay when what has a number is made anew. Time is counted in operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from fluke_async.abi.codes import PAGE_SIZE, WORD_SIZE, Prot
from fluke_async.kernel.params import MAPPING_DEPTH_MAX

READ, WRITE, EXECUTE, ALL = int(Prot.READ), int(Prot.WRITE), int(Prot.EXECUTE), int(Prot.ALL)
ROOT = -1  # in the place of a space's number


@dataclass
class ModelRegion:
    """A region; `space` may be ROOT, or None. Addresses and sizes are in bytes."""

    start: int = 0
    size: int = 0
    prot: int = 0
    space: int | None = None
    has_keeper: bool = False


@dataclass
class ModelMapping:
    """A mapping; `region` and `space` are numbers."""

    start: int = 0
    size: int = 0
    offset: int = 0
    prot: int = 0
    region: int | None = None
    space: int | None = None

    def covers(self, address: int) -> bool:
        return self.start <= address < self.start + self.size

    def is_in_the_way(self, start: int, size: int) -> bool:
        """Whether another mapping cannot be there; an empty one is in the way of what would lie on both its sides."""
        return self.start < start + size and start < self.start + self.size


@dataclass(frozen=True)
class Reached:
    """An access ends at a page of the root."""

    page: int
    granted: int


@dataclass(frozen=True)
class Refused:
    """An access is denied; by a region, at an offset in it, or else by the thread's own space."""

    region: int | None = None
    offset: int = 0


@dataclass
class Frame:
    """What is in a frame, when it was written last, and how it is watched."""

    words: dict[int, int] = field(default_factory=dict)
    objects: set[int] = field(default_factory=set)
    written_at: int = 0
    told_since: int = -1  # whoever has begun a round after this generation is not told; -1: nobody has asked yet
    is_open: bool = False  # written since somebody asked about it, and so perhaps until now

    def bytes(self) -> bytes:
        """The contents of the page."""
        content = bytearray(PAGE_SIZE)
        for word, value in self.words.items():
            content[word * WORD_SIZE : (word + 1) * WORD_SIZE] = value.to_bytes(WORD_SIZE, "little")
        return bytes(content)


class Model:
    """Everything that there is."""

    def __init__(self, spaces: int, regions: int, mappings: int) -> None:
        self.spaces = range(spaces)
        self.regions = [ModelRegion() for _ in range(regions)]
        self.mappings = [ModelMapping() for _ in range(mappings)]
        self.pages: dict[int, int] = {}  # pages of the root that have a frame: its token
        self.frames: dict[int, Frame] = {}
        self.changes: list[int] = []  # pages that were written or added, each time
        self.time = 0
        self.generation = 0
        self._tokens = count()

    # -- the walk ----------------------------------------------------------------------------------

    def walk(
        self, space: int, address: int, access: int, granted: int = ALL, by: Refused | None = None, depth: int = 0
    ) -> Reached | Refused:
        """Where an access to an address of a space ends."""
        if depth == MAPPING_DEPTH_MAX:
            return Refused()
        if space == ROOT:
            return Reached(address // PAGE_SIZE, granted)
        by = by or Refused()
        mapping = next((each for each in self.mappings if each.space == space and each.covers(address)), None)
        if mapping is None or mapping.region is None:
            return by
        granted = usable(granted & mapping.prot)
        if not granted & access:
            return by
        region = self.regions[mapping.region]
        offset = address - mapping.start + mapping.offset
        by = Refused(mapping.region, offset)
        granted = usable(granted & region.prot)
        if region.space is None or offset >= region.size or not granted & access:
            return by
        return self.walk(region.space, region.start + offset, access, granted, by, depth + 1)

    def page_behind(self, number: int, offset: int) -> int | None:
        """The page of the root that an offset of a region leads to, whatever the access."""
        region = self.regions[number]
        for _ in range(MAPPING_DEPTH_MAX):
            if region.space is None or offset >= region.size:
                return None
            address = region.start + offset
            if region.space == ROOT:
                return address // PAGE_SIZE
            found = [each for each in self.mappings if each.space == region.space and each.covers(address)]
            if not found or found[0].region is None:
                return None
            offset = address - found[0].start + found[0].offset
            region = self.regions[found[0].region]
        return None

    def frames_of(self, number: int, offset: int, end: int) -> Iterator[tuple[int, int]]:
        """The pages of a part of a region that have frames: the offset of each, and the token."""
        for place in range(offset, min(end, self.regions[number].size), PAGE_SIZE):
            page = self.page_behind(number, place)
            if page in self.pages:
                yield place, self.pages[page]

    # -- accesses ----------------------------------------------------------------------------------

    def needs_memory(self, page: int, access: int) -> bool:
        """Whether an access takes a frame."""
        return page not in self.pages or (access == WRITE and self.sharers(self.pages[page]) > 1)

    def sharers(self, token: int) -> int:
        """How many pages have a frame."""
        return list(self.pages.values()).count(token)

    def enter(self, page: int, access: int) -> Frame:
        """The frame of a page for an access, which is the page's own if it is to be written."""
        if page not in self.pages or access == WRITE:
            self.changes.append(page)
        if page not in self.pages:
            self.pages[page] = self._new_frame(Frame())
        elif self.needs_memory(page, access):
            self.pages[page] = self._new_frame(Frame(dict(self.frames[self.pages[page]].words)))
        frame = self.frames[self.pages[page]]
        if access == WRITE:
            frame.written_at = self.time
            if frame.told_since >= 0:
                frame.told_since, frame.is_open = self.generation, True
        return frame

    def share(self, source: int, target: int, pages: int) -> None:
        """Pages from `source` on are shared with those from `target` on; objects stay where they are."""
        for page, token in tuple(self.pages.items()):
            if source <= page < source + pages:
                frame = self.frames[token]
                shared = self._new_frame(Frame(dict(frame.words))) if frame.objects else token
                self.pages[page - source + target] = shared
                self.changes.append(page - source + target)

    def free(self, first: int, pages: int) -> None:
        """Pages lose their frames, and the frames that nobody has are gone."""
        self.pages = {page: token for page, token in self.pages.items() if not first <= page < first + pages}
        self.frames = {token: frame for token, frame in self.frames.items() if token in self.pages.values()}

    def _new_frame(self, frame: Frame) -> int:
        token = next(self._tokens)
        frame.written_at = self.time
        self.frames[token] = frame
        return token


def usable(prot: int) -> int:
    """What rights come to: there are no pages that can be written and not read."""
    return prot if prot & READ else prot & ~WRITE


@dataclass
class Consumer:
    """Somebody who asks what was written, in rounds; what it is to be told is what was written since it asked last."""

    region: int
    since: int = 0
    generation: int = 0
    offset: int = 0
    begun_at: int = 0
    asked_at: dict[int, int] = field(default_factory=dict)
    last_begun_at: int = -1
    last_asked_at: dict[int, int] = field(default_factory=dict)

    def begin(self, model: Model) -> None:
        """A new round."""
        model.generation += 1
        self.generation = model.generation
        self.begun_at = model.time
        self.asked_at = {}

    def end(self) -> None:
        """The round is over: the next one counts from there."""
        self.since, self.last_begun_at, self.last_asked_at = self.generation, self.begun_at, self.asked_at
        self.generation = self.offset = 0

    def must_be_told(self, model: Model, token: int) -> bool:
        """Whether a frame was written since it asked about it, or since its last round began if it did not."""
        return self.since == 0 or model.frames[token].written_at > self.last_asked_at.get(token, self.last_begun_at)

    def may_be_told(self, model: Model, token: int) -> bool:
        """Whether it was written since the last round began, or nobody knows."""
        frame = model.frames[token]
        return frame.is_open or frame.told_since < 0 or frame.told_since >= self.since

    def asks(self, model: Model, token: int, *, heard: bool) -> None:
        """
        A frame is watched from now on; `heard`: its page was not just the one at which the list was full.

        What is not known counts as now, or as just before the round if that is the newest: that is all for a frame that
        was not watched, and when it was written last for one that was written.
        """
        frame = model.frames[token]
        if frame.told_since < 0 or frame.is_open:
            newest = self.generation == model.generation
            unknown = self.generation - 1 if newest else model.generation
            frame.told_since, frame.is_open = max(frame.told_since, unknown), False
        if heard:
            self.asked_at[token] = model.time
