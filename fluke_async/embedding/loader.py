"""
Making a process: a space with its memory, its first thread, and the ports that it starts with.

The loader works for the root of the memory tree. It lays the program out in a slab of the root space, makes a region
over the slab, and maps the region's parts into the new space, each with the access that it needs. The objects that a
parent would keep (space, region, mappings, ports) live in the slab too, beyond what the program can see.

    0x1000 ...            the program's segments, then the heap
    STACK_END - 1 MiB     the first thread's stack, nothing mapped below it
    START_BLOCK           start block, arguments, first thread and references
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE, USER_END, USER_START, WORD_SIZE, Prot
from fluke_async.abi.layouts import START_BLOCK
from fluke_async.abi.registers import A0, SP
from fluke_async.cpu.elf import ElfImage, load_elf
from fluke_async.errors import FlukeError, ProgramError
from fluke_async.kernel.account import Account
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread

T = TypeVar("T", bound=KernelObject)

STACK_BYTES = 1 << 20
START_BLOCK_BYTES = 256 << 10  # room for arguments and environment
START_BLOCK_VA = USER_END - START_BLOCK_BYTES
STACK_END = START_BLOCK_VA - PAGE_SIZE
STACK_START = STACK_END - STACK_BYTES
PARENT_VA = USER_END  # the offset in the slab where the parent's objects begin
ARGUMENTS_MAX_BYTES = START_BLOCK_BYTES // 2
BLOCK_OFFSET = PAGE_SIZE  # the first page of the start block's range holds the objects


@dataclass(slots=True)
class Loaded:
    """A program in memory, its first thread not yet started."""

    slab: int
    space: Space
    thread: Thread
    console: Port
    timer: Port
    parent: Port

    @property
    def account(self) -> Account:
        """What the program may still execute, and all of its threads."""
        return self.space.account


def load_program(core: Core, program: bytes, arguments: list[str], environment: dict[str, str]) -> Loaded:
    """
    Make a process of an ELF file.

    Raises:
        ProgramError: the file is not one that can be run, or needs more memory than there is.
        FlukeError: the arguments do not fit, or cannot be passed.
    """
    strings = _strings(arguments, environment)
    left_bytes = core.quota.limit_bytes - core.quota.used_bytes
    image = load_elf(program, memory_limit=left_bytes)
    slab = core.root.new_slab()
    try:
        return _Builder(core, slab, left_bytes).build(image, arguments, environment, strings)
    except BaseException:
        core.root.free_slab(core, slab)
        raise


def _strings(arguments: list[str], environment: dict[str, str]) -> list[bytes]:
    for text in (*arguments, *environment, *environment.values()):
        if not isinstance(text, str):
            raise FlukeError(f"argument {text!r} cannot be passed: give a str")
    for name in environment:
        if not name or "=" in name:
            raise FlukeError(f"environment name {name!r} cannot be passed: use one without '='")
    texts = [*arguments, *(f"{name}={value}" for name, value in environment.items())]
    for text in texts:
        if "\0" in text:
            raise FlukeError(f"argument {text!r} cannot be passed: remove the null character")
    try:
        strings = [text.encode("utf-8", "surrogateescape") + b"\0" for text in texts]
    except UnicodeEncodeError as error:
        raise FlukeError(f"argument {error.object!r} cannot be passed: remove what is no character") from None
    total = sum(len(string) + WORD_SIZE for string in strings)
    if total > ARGUMENTS_MAX_BYTES:
        raise FlukeError(
            f"arguments and environment take {total} bytes: pass at most {ARGUMENTS_MAX_BYTES}, "
            "the rest through standard input"
        )
    return strings


class _Builder:
    """Builds one process; on an exception the caller frees the slab, and nothing is left."""

    def __init__(self, core: Core, slab: int, left_bytes: int) -> None:
        self.core = core
        self.slab = slab
        self.left_bytes = left_bytes
        self.next_parent_slot = slab + PARENT_VA

    def build(
        self,
        image: ElfImage,
        arguments: list[str],
        environment: dict[str, str],
        strings: list[bytes],
    ) -> Loaded:
        space = self.parent_object(Space)
        region = self.parent_object(Region)
        bits = {"hash": 0, "start_va": self.slab, "size": USER_END, "prot": int(Prot.ALL)}
        region.import_state(self.core, None, bits, {"space": self.core.root})
        heap_start = self.map_segments(space, region, image)
        heap_end = max(heap_start, min(heap_start + self.left_bytes // PAGE_SIZE * PAGE_SIZE, STACK_START - PAGE_SIZE))
        read_write = Prot.READ | Prot.WRITE
        self.map(space, region, heap_start, heap_end, read_write)
        self.map(space, region, STACK_START, STACK_END, read_write)
        self.map(space, region, START_BLOCK_VA, USER_END, read_write)

        thread = self.child_object(0, Thread)
        console, timer, parent = (self.parent_object(Port) for _ in range(3))
        references = {}
        for index, (name, target) in enumerate(
            (("space", space), ("parent", parent), ("console", console), ("timer", timer)), start=1
        ):
            self.child_object(index, Reference).target = target
            references[f"{name}_ref"] = START_BLOCK_VA + index * SLOT_SIZE
        self.write_start_block(
            len(arguments),
            strings,
            {
                **references,
                "heap_start": heap_start,
                "heap_end": heap_end,
                "stack_start": STACK_START,
                "stack_end": STACK_END,
            },
        )
        thread.thread_va = START_BLOCK_VA
        thread.pc = image.entry
        thread.registers[SP] = STACK_END
        thread.registers[A0] = START_BLOCK_VA + BLOCK_OFFSET
        self.core.enter_space(thread, space)
        return Loaded(self.slab, space, thread, console, timer, parent)

    def map_segments(self, space: Space, region: Region, image: ElfImage) -> int:
        """Map the segments page by page, copy what the file has of them; returns the first address after all."""
        pages: dict[int, int] = {}
        for segment in image.segments:
            if segment.end > STACK_START - PAGE_SIZE:
                limit = STACK_START - PAGE_SIZE
                raise ProgramError(
                    f"its segment at {segment.address:#x} reaches into the stack: link it below {limit:#x}"
                )
            for page in _pages(segment.address, segment.address + segment.memory_size):
                readable = Prot.READ if segment.permissions & Prot.WRITE else 0
                pages[page] = pages.get(page, 0) | segment.permissions | int(readable)
        for start, end, prot in _runs(pages):
            self.map(space, region, start, end, prot)
        for segment in image.segments:
            self.store(segment.address, segment.data)
        return max(pages, default=USER_START) + 2 * PAGE_SIZE

    def map(self, space: Space, region: Region, start: int, end: int, prot: int) -> None:
        if start >= end:
            return
        bits = {"hash": 0, "region_off": start, "start_va": start, "size": end - start, "prot": int(prot)}
        mapping = self.parent_object(Mapping)
        mapping.import_state(self.core, None, bits, {"region": region, "space": space})

    def write_start_block(self, argc: int, strings: list[bytes], values: dict[str, int]) -> None:
        """Lay out the structure, the two arrays of addresses, and the strings."""
        arrays = START_BLOCK_VA + BLOCK_OFFSET + START_BLOCK.size
        address = arrays + (len(strings) + 2) * WORD_SIZE
        addresses = []
        for string in strings:
            addresses.append(address)
            address += len(string)
        words = [*addresses[:argc], 0, *addresses[argc:], 0]
        block = START_BLOCK.pack(
            {
                "size": START_BLOCK.size,
                "argc": argc,
                "argv": arrays,
                "environment": arrays + (argc + 1) * WORD_SIZE,
                **values,
            }
        )
        table = b"".join(word.to_bytes(WORD_SIZE, "little") for word in words)
        self.store(START_BLOCK_VA + BLOCK_OFFSET, block + table + b"".join(strings))

    def store(self, address: int, data: bytes | memoryview) -> None:
        """Put bytes at an address of the program."""
        done = 0
        while done < len(data):
            offset = (address + done) % PAGE_SIZE
            length = min(len(data) - done, PAGE_SIZE - offset)
            start = self.frame(address + done - offset) + offset
            self.core.hardware.ram[start : start + length] = data[done : done + length]
            done += length

    def frame(self, page_address: int) -> int:
        frame = self.core.root.frame_at(self.core, self.slab + page_address)
        if frame is None:
            raise self.out_of_memory()
        return frame

    def parent_object(self, kind: type[T]) -> T:
        """Make one of the objects that the program cannot see."""
        address = self.next_parent_slot
        self.next_parent_slot += SLOT_SIZE
        return self.object_at(address - self.slab, kind)

    def child_object(self, index: int, kind: type[T]) -> T:
        """Make one of the objects that the program starts with."""
        return self.object_at(START_BLOCK_VA + index * SLOT_SIZE, kind)

    def object_at(self, address: int, kind: type[T]) -> T:
        page = address // PAGE_SIZE * PAGE_SIZE
        created = self.core.create(kind, self.frame(page) + address - page)
        if created is None:
            raise self.out_of_memory()
        assert isinstance(created, kind)
        return created

    def out_of_memory(self) -> ProgramError:
        limit = self.core.quota.limit_bytes
        return ProgramError(f'the kernel\'s memory of {limit} bytes is used up: give it more, such as memory="128M"')


def _pages(start: int, end: int) -> range:
    return range(start // PAGE_SIZE * PAGE_SIZE, end, PAGE_SIZE)


def _runs(pages: dict[int, int]) -> Iterable[tuple[int, int, int]]:
    """Neighbouring pages of the same access, as (start, end, access)."""
    start = end = prot = -1
    for page in sorted(pages):
        if page != end or pages[page] != prot:
            if end > start:
                yield start, end, prot
            start, prot = page, pages[page]
        end = page + PAGE_SIZE
    if end > start:
        yield start, end, prot
