"""A machine with a memory tree of spaces, regions and mappings that have numbers, and the model that goes with it."""

from __future__ import annotations

from typing import Any, TypeVar

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode
from fluke_async.kernel.exceptions import PageFault, ProgramException
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.params import SLAB_SIZE
from tests.kernel.machine import Machine, Result, Value
from tests.kernel.memory_model import EXECUTE, READ, ROOT, WRITE, Model, Refused
from tests.kernel.memory_tree import HERE
from tests.kernel.recreation import recreate

CODES = {READ: ExceptionCode.LOAD_FAULT, WRITE: ExceptionCode.STORE_FAULT, EXECUTE: ExceptionCode.FETCH_FAULT}
PAGES_OF_SLAB = SLAB_SIZE // PAGE_SIZE
SPACES, REGIONS, MAPPINGS = 4, 5, 7
PAGES = 5  # from HERE on, or from the start of a slab on, lie the beginnings of everything

T = TypeVar("T", bound=KernelObject)


class World:
    """Both; objects are known by where they live, for they may be created again."""

    def __init__(self, model: str, preemption: str) -> None:
        self.machine = Machine(model, preemption)
        self.core = self.machine.core
        self.model = Model(SPACES, REGIONS, MAPPINGS)
        self.slabs = [self.core.root.new_slab() for _ in range(2)]
        self.state = self.machine.buffer(16)
        self.places: dict[tuple[str, int], int] = {}
        for kind, number_of in (("space", SPACES), ("region", REGIONS), ("mapping", MAPPINGS)):
            for number in range(number_of):
                self.make(kind, number)
        self._keep("keeper", 0, self.machine.new(Port))
        for number in range(2):
            self._keep("reference", number, self.machine.reference())
        for number in range(SPACES):
            self._keep("thread", number, self.machine.spawn(space=self.space(number), start=False))
        self.build()

    def build(self) -> None:
        """
        Two spaces over the slabs, a third that sees parts of both of them, a fourth that sees the third.

        What lies around the parts is not to be seen there.
        """
        for number, (page, size, space) in enumerate(
            ((0, 2 * PAGES, ROOT), (0, 2 * PAGES, ROOT), (1, PAGES, 0), (2, PAGES, 1), (0, 2 * PAGES, 2))
        ):
            keeper = number in (2, 3)
            self.load_region(number, page, size, 7, space, number % 2, keeper=keeper, by_program=False)
        for number in range(MAPPINGS):
            self.load_mapping(number, 0, 0, 0, 7, None, None, by_program=False)
        for number, (page, size, offset, region, space) in enumerate(
            ((0, 2 * PAGES, 0, 0, 0), (0, 2 * PAGES, 0, 1, 1), (1, PAGES + 1, 0, 2, 2), (PAGES + 2, PAGES, 1, 3, 2),
             (0, 2 * PAGES, 0, 4, 3), (2 * PAGES, PAGES, 1, 2, 1))
        ):  # fmt: skip
            self.load_mapping(number, page, size, offset, 7, region, space, by_program=False)

    # -- what there is -----------------------------------------------------------------------------

    def make(self, kind: str, number: int) -> None:
        """A new object for a number."""
        kinds: dict[str, type[KernelObject]] = {"space": Space, "region": Region, "mapping": Mapping}
        self._keep(kind, number, self.machine.new(kinds[kind]))

    def _keep(self, kind: str, number: int, target: KernelObject) -> None:
        self.places[kind, number] = target.address

    def _at(self, kind: str, number: int, wanted: type[T]) -> T:
        found = self.core.objects[self.places[kind, number]]
        assert isinstance(found, wanted)
        return found

    def space(self, number: int) -> Space:
        return self._at("space", number, Space)

    def region(self, number: int) -> Region:
        return self._at("region", number, Region)

    def mapping(self, number: int) -> Mapping:
        return self._at("mapping", number, Mapping)

    def thread(self, number: int) -> Thread:
        """A thread of a space, for whom the kernel can read and write."""
        return self._at("thread", number, Thread)

    @property
    def keeper(self) -> Port:
        """A port that nobody serves."""
        return self._at("keeper", 0, Port)

    def first_page(self, slab: int) -> int:
        return self.slabs[slab] // PAGE_SIZE

    def pages_of(self, slab: int) -> list[int]:
        """The pages of a slab that have frames, by the model."""
        return [page for page in self.model.pages if page // PAGES_OF_SLAB == self.first_page(slab) // PAGES_OF_SLAB]

    # -- what is done ------------------------------------------------------------------------------

    def call(self, name: str, **operands: Value) -> Result:
        """A system call that succeeds."""
        result = self.machine.invoke(name, **operands)
        assert result.exception is None
        return result

    def load_region(
        self, number: int, page: int, size: int, prot: int, space: int | None, slab: int, *, keeper: bool,
        by_program: bool,
    ) -> None:  # fmt: skip
        """Set a region's state; over the root it lies in one of the slabs."""
        model = self.model.regions[number]
        model.start = (self.slabs[slab] if space == ROOT else HERE) + page * PAGE_SIZE
        model.size, model.prot, model.space, model.has_keeper = size * PAGE_SIZE, prot, space, keeper
        bits = {"start_va": model.start, "size": model.size, "prot": prot}
        into = self.core.root if space == ROOT else None if space is None else self.space(space)
        links: dict[str, KernelObject | None] = {"space": into, "keeper": self.keeper if keeper else None}
        assert self._load("region", self.region(number), bits, links, by_program=by_program) is None

    def load_mapping(
        self, number: int, page: int, size: int, offset: int, prot: int, region: int | None, space: int | None, *,
        by_program: bool,
    ) -> None:  # fmt: skip
        """Set a mapping's state, unless another one is in the way."""
        start, size, offset = HERE + page * PAGE_SIZE, size * PAGE_SIZE, offset * PAGE_SIZE
        refused = space is not None and any(
            each.space == space and each.is_in_the_way(start, size)
            for other, each in enumerate(self.model.mappings)
            if other != number
        )
        bits = {"start_va": start, "size": size, "region_off": offset, "prot": prot}
        links: dict[str, KernelObject | None] = {
            "region": None if region is None else self.region(region),
            "space": None if space is None else self.space(space),
        }
        if refused and not by_program:
            return
        exception = self._load("mapping", self.mapping(number), bits, links, by_program=by_program)
        assert exception is (ExceptionCode.ADDRESS_OVERLAP if refused else None)
        if not refused:
            model = self.model.mappings[number]
            model.start, model.size, model.offset, model.prot = start, size, offset, prot
            model.region, model.space = region, space

    def _load(
        self, kind: str, target: Region | Mapping, bits: dict[str, Any], links: dict[str, KernelObject | None], *,
        by_program: bool,
    ) -> ExceptionCode | None:  # fmt: skip
        if not by_program:
            self.machine.load(target, bits, **links)
            return None
        self.machine.write(self.state, memoryview(target.layout.pack(bits)).cast("Q").tolist())
        operands: dict[str, Value] = {kind: target, "state": self.state}
        for number, (name, linked) in enumerate(links.items()):
            reference = self._at("reference", number, Reference)
            reference.target = linked
            operands[f"{name}_ref"] = reference
        return self.machine.invoke(f"{kind}_set_state", **operands).exception

    def destroy(self, kind: str, number: int) -> None:
        """End an object, by a program, and make another one in its place."""
        number %= {"space": SPACES, "region": REGIONS, "mapping": MAPPINGS}[kind]
        target: dict[str, Any] = {"space": self.space, "region": self.region, "mapping": self.mapping}
        self.call(f"{kind}_destroy", **{kind: target[kind](number)})
        self.make(kind, number)
        model = self.model
        if kind == "mapping":
            model.mappings[number] = type(model.mappings[number])()
            return
        for mapping in model.mappings:
            if getattr(mapping, kind) == number:
                setattr(mapping, kind, None)
        if kind == "region":
            model.regions[number] = type(model.regions[number])()
            return
        for region in model.regions:
            if region.space == number:
                region.space = None
        self.core.enter_space(self.thread(number), self.space(number))

    def recreate(self) -> None:
        """Destroy everything, and create it again as it was."""
        recreate(self.machine)

    # -- what is compared --------------------------------------------------------------------------

    def refusal(self, found: Refused, address: int, access: int) -> tuple[Any, ...]:
        """What a thread gets for an access that is denied, or what a keeper is asked."""
        own = (CODES[access], address)
        if found.region is None or not self.model.regions[found.region].has_keeper:
            return own
        region = self.region(found.region)
        return (*own, access, region.hash, found.offset | address % PAGE_SIZE, self.keeper)

    def check_frames(self) -> None:
        """The frames of both slabs are those of the model, shared alike, with the same contents and objects."""
        frames = {
            address // PAGE_SIZE: frame
            for address, frame in self.core.root.frames()
            if address // SLAB_SIZE * SLAB_SIZE in self.slabs
        }
        assert frames.keys() == self.model.pages.keys()
        pairs = {(frame, self.model.pages[page]) for page, frame in frames.items()}
        assert len(pairs) == len({frame for frame, _ in pairs}) == len({token for _, token in pairs})
        for frame, token in pairs:
            model = self.model.frames[token]
            assert bytes(self.machine.cpu.ram[frame : frame + PAGE_SIZE]) == model.bytes()
            assert {each.address - frame for each in self.core.objects.in_frame(frame)} == model.objects
            sharers = self.model.sharers(token)
            assert self.core.frames.sharers[frame] + 1 == sharers


def described(exception: ProgramException) -> tuple[Any, ...]:
    """What an exception says."""
    if isinstance(exception, PageFault):
        access = (exception.access, exception.region_hash, exception.offset, exception.keeper)
        return exception.code, exception.subcode, *access
    return exception.code, exception.subcode
