"""
Making a process: a space with its memory, its first thread, and the ports that it starts with.

The program lies in a slab of the root's memory:

    0x1000 ...            the program's segments, then the heap
    STACK_END - 1 MiB     the first thread's stack, nothing mapped below it
    START_BLOCK           start block, arguments, first thread and references

A program that says in its file that it makes code can execute what is in its heap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE, USER_START, WORD_SIZE, Prot
from fluke_async.abi.layouts import SERVICE, START_BLOCK
from fluke_async.abi.registers import A0, SP
from fluke_async.cpu.elf import ElfImage, load_elf
from fluke_async.embedding.outside import Outside, Service
from fluke_async.embedding.slab import PROGRAM_END, OutOfMemory, Slab
from fluke_async.errors import FlukeError, ProgramError
from fluke_async.kernel.account import Account
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread

STACK_BYTES = 1 << 20
START_BLOCK_BYTES = 256 << 10  # room for arguments and environment
START_BLOCK_VA = PROGRAM_END - START_BLOCK_BYTES
STACK_END = START_BLOCK_VA - PAGE_SIZE
STACK_START = STACK_END - STACK_BYTES
ARGUMENTS_MAX_BYTES = START_BLOCK_BYTES // 2
BLOCK_OFFSET = PAGE_SIZE  # the first page of the start block's range holds the objects
SERVICES_MAX = 250  # references that fit there


@dataclass(slots=True)
class Loaded:
    """A program in memory. Its first thread was not started yet."""

    outside: Outside
    thread: Thread

    @property
    def slab(self) -> Slab:
        """Its memory."""
        return self.outside.slab

    @property
    def space(self) -> Space:
        """Its space."""
        return self.outside.space

    @property
    def account(self) -> Account:
        """What the program may still execute, and all of its threads."""
        return self.outside.space.account

    @property
    def console(self) -> Port:
        """The port to which it writes."""
        return self.outside.console

    @property
    def timer(self) -> Port:
        """The port that knows the time."""
        return self.outside.timer

    @property
    def parent(self) -> Port:
        """The port that takes its exit."""
        return self.outside.parent


def load_program(
    core: Core,
    program: bytes,
    arguments: list[str],
    environment: dict[str, str],
    services: Mapping[str, Service] | None = None,
) -> Loaded:
    """
    Make a process of an ELF file.

    Raises:
        ProgramError: the file is not one that can be run, or needs more memory than there is.
        FlukeError: the arguments do not fit, or cannot be passed.
    """
    services = services or {}
    strings = _strings(arguments, environment, services)
    left_bytes = core.quota.limit_bytes - core.quota.used_bytes
    image = load_elf(program, memory_limit=left_bytes)
    outside = Outside(core)
    try:
        return _Builder(core, outside, left_bytes).build(image, len(arguments), strings, services)
    except BaseException as error:
        outside.slab.free()
        if isinstance(error, OutOfMemory):
            raise ProgramError(str(error)) from None
        raise


def _strings(arguments: list[str], environment: dict[str, str], services: Mapping[str, Service]) -> list[bytes]:
    for text in (*arguments, *environment, *environment.values(), *services):
        if not isinstance(text, str):
            raise FlukeError(f"argument {text!r} cannot be passed: give a str")
    for name in environment:
        if not name or "=" in name:
            raise FlukeError(f"environment name {name!r} cannot be passed: use one without '='")
    if len(services) > SERVICES_MAX:
        raise FlukeError(f"{len(services)} services are too many: pass at most {SERVICES_MAX}")
    texts = [*arguments, *(f"{name}={value}" for name, value in environment.items()), *services]
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

    def __init__(self, core: Core, outside: Outside, left_bytes: int) -> None:
        self.core = core
        self.outside = outside
        self.slab = outside.slab
        self.left_bytes = left_bytes

    def build(self, image: ElfImage, argc: int, strings: list[bytes], services: Mapping[str, Service]) -> Loaded:
        outside = self.outside
        outside.make()
        heap_start = self.map_segments(image)
        heap_end = max(heap_start, min(heap_start + self.left_bytes // PAGE_SIZE * PAGE_SIZE, STACK_START - PAGE_SIZE))
        data = Prot.READ | Prot.WRITE
        outside.map(heap_start, heap_end, data | Prot.EXECUTE if image.makes_code else data)
        for start, end in ((STACK_START, STACK_END), (START_BLOCK_VA, PROGRAM_END)):
            outside.map(start, end, data)

        thread = self.slab.object_at(START_BLOCK_VA, Thread)
        outside.open(services)
        references = {}
        for index, (name, target) in enumerate(outside.named.items(), start=1):
            references[name] = START_BLOCK_VA + index * SLOT_SIZE
            self.slab.object_at(references[name], Reference).target = target
        self.write_start_block(
            argc,
            strings,
            list(references.values())[-len(services) or len(references) :],
            {
                **{f"{name}_ref": references[name] for name in ("space", "parent", "console", "timer")},
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
        self.core.enter_space(thread, outside.space)
        return Loaded(outside, thread)

    def map_segments(self, image: ElfImage) -> int:
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
            self.outside.map(start, end, prot)
        for segment in image.segments:
            self.slab.store(segment.address, segment.data)
        return max(pages, default=USER_START) + 2 * PAGE_SIZE

    def write_start_block(
        self, argc: int, strings: list[bytes], service_references: list[int], values: dict[str, int]
    ) -> None:
        """Lay out the structure, the arrays of addresses and of services, and the strings."""
        services_from = len(strings) - len(service_references)
        arrays = START_BLOCK_VA + BLOCK_OFFSET + START_BLOCK.size
        services = arrays + (services_from + 2) * WORD_SIZE
        address = services + len(service_references) * SERVICE.size
        addresses = []
        for string in strings:
            addresses.append(address)
            address += len(string)
        block = START_BLOCK.pack(
            {
                "size": START_BLOCK.size,
                "argc": argc,
                "argv": arrays,
                "environment": arrays + (argc + 1) * WORD_SIZE,
                "services": services,
                "service_count": len(service_references),
                **values,
            }
        )
        words = [*addresses[:argc], 0, *addresses[argc:services_from], 0]
        table = b"".join(word.to_bytes(WORD_SIZE, "little") for word in words)
        for name, reference in zip(addresses[services_from:], service_references, strict=True):
            table += SERVICE.pack({"name": name, "ref": reference})
        self.slab.store(START_BLOCK_VA + BLOCK_OFFSET, block + table + b"".join(strings))


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
