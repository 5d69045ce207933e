"""A chain of spaces, each over the memory of the one before: what the tests of memory have in common."""

from __future__ import annotations

from typing import Any

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode, Prot
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.translation import FRAME_MASK, find
from tests.kernel.machine import Machine

READ, WRITE, ALL = int(Prot.READ), int(Prot.WRITE), int(Prot.ALL)
HERE = 0x2000_0000  # where the tests map things


class Tree:
    """A space of its own, over memory of the machine's space, by objects that programs can name."""

    def __init__(self, machine: Machine, pages: int = 4, depth: int = 1, prot: int = ALL) -> None:
        self.machine = machine
        self.memory = machine.buffer(pages * PAGE_SIZE // 8)
        space, start = machine.space, self.memory
        self.regions: list[Region] = []
        self.mappings: list[Mapping] = []
        self.spaces: list[Space] = []
        for _ in range(depth):
            region, mapping, inner = machine.new(Region), machine.new(Mapping), machine.new(Space)
            size = pages * PAGE_SIZE
            machine.load(region, {"start_va": start, "size": size, "prot": prot}, space=space)
            bits = {"start_va": HERE, "size": size, "prot": prot}
            machine.load(mapping, bits, region=region, space=inner)
            self.regions.append(region)
            self.mappings.append(mapping)
            self.spaces.append(inner)
            space, start = inner, HERE

    @property
    def space(self) -> Space:
        return self.spaces[-1]

    def access(self, address: int = HERE) -> int:
        """What the innermost space may do at an address."""
        return sum(
            bit
            for bit in (READ, WRITE, int(Prot.EXECUTE))
            if entry_of(self.machine, self.space, address, bit) is not None
        )

    def touch(self, offset: int = 0, *, write: bool = False) -> ExceptionCode | None:
        """What a program in the innermost space gets for an access."""
        step = ("store" if write else "load", "s2", "zero", HERE + offset)
        thread = self.machine.spawn(step, space=self.space)
        self.machine.run()
        return self.machine.failure(thread)


def entry_of(machine: Machine, space: Space, address: int, access: int) -> int | None:
    """What a table would say of an address that is wanted with an access; None if that is denied."""
    found = find(space, address & FRAME_MASK, access)
    if found is None or len(found) == 2:
        return None
    return machine.core.root.entry_of(machine.core, found[0], found[1], access)


def bits(**fields: int) -> dict[str, Any]:
    return {"start_va": HERE, "size": PAGE_SIZE, "prot": ALL, "region_off": 0, **fields}


def set_state(machine: Machine, kind: str, target: Any, state: dict[str, Any], **links: Any) -> Any:
    layout = target.layout
    words = memoryview(layout.pack(state)).cast("Q").tolist()
    return machine.invoke(f"{kind}_set_state", **{kind: target, "state": machine.buffer(words), **links})
