"""The engines of one processor on Unicorn: alike, on the same memory, each with one address space in its TLB.

A flush costs what has to be looked up again after it, so an address space keeps its engine while it can, and the thread
that ran there last finds its registers where they were. Spaces share one engine until they have come often: another is
opened when the flushes that it would have saved have cost about what it costs; so a processor with one space has one.
What holds for all of them, which frames are code and where the last answers went, is the one `UnicornTlb`'s.
"""

from __future__ import annotations

import weakref
from array import array
from typing import Any, Final

import unicorn

from fluke_async.cpu import unicorn_binding as binding
from fluke_async.cpu.unicorn_tlb import UnicornTlb
from fluke_async.errors import KernelBug

ENGINES_MAX: Final = 8  # each takes about 3 MiB
FLUSHES_PER_ENGINE: Final = 200  # an engine takes about 2 ms, and what is looked up after a flush 10 us
SPACES_COUNTED: Final = 64  # more than that taking turns: none of them comes often
_NO_REGISTERS: Final = memoryview(array("Q", bytes(8 * 32)))


class Engine:
    """One engine, with a saved context as its register file, and the page dictionary that its entries are from."""

    __slots__ = (
        "context",
        "executed",
        "fault_address",
        "fills",
        "floating_registers",
        "handle",
        "pages",
        "registers",
        "stale",
        "words",
    )

    def __init__(self, handle: Any) -> None:
        layout = binding.layout()
        structure = int(handle.value or 0)
        self.handle = handle
        self.executed = binding.words_at(structure + 8 * layout.executed, 1)
        self.fault_address = binding.words_at(structure + 8 * layout.fault_address, 1)
        self.pages: dict[int, int] = {}
        self.stale = False  # its entries count no more
        self.fills = 0  # since its last flush, while it is not the current one

        saved = binding.Context(handle)
        self.context = saved.argument
        self.words = words = saved.words
        self.registers = words[layout.general : layout.general + 32]
        self.floating_registers = words[layout.floating : layout.floating + 32]
        binding.save(handle, self.context)
        binding.enter_user_mode(words, layout)
        self.registers[:] = self.floating_registers[:] = _NO_REGISTERS
        binding.restore(handle, self.context)


class Engines:
    """Opens engines and says which of them is whose; `current` is the one that runs next."""

    def __init__(self, tlb: UnicornTlb, memory_address: int, memory_size: int) -> None:
        self._tlb = tlb
        self._memory = memory_address, memory_size
        self._callback = binding.FillCallback(tlb.answer)
        self._finalizers: list[weakref.finalize[Any, Any]] = []
        self._visits: dict[int, int] = {}  # of spaces without engines of their own, since all were last forgotten
        self.current = self._shared = self._open()
        self._by_pages = {id(tlb.pages): self.current}  # the one that was used last comes last
        self.current.pages = tlb.pages

    def __len__(self) -> int:
        return len(self._by_pages)

    def enter(self, pages: dict[int, int]) -> Engine:
        """Make the engine of an address space the current one; it may be stale."""
        engine = self._by_pages.pop(id(pages), None)
        if engine is None:
            engine = self._find_for(pages)
        self._by_pages[id(pages)] = engine
        tlb = self._tlb
        self.current.fills, tlb.fills = tlb.fills, engine.fills
        tlb.pages = pages
        self.current = engine
        return engine

    def forget_entries_of(self, pages: dict[int, int]) -> None:
        """Make the engine stale that an address space has, if it has one."""
        engine = self._by_pages.get(id(pages))
        if engine is not None:
            engine.stale = True

    def forget_entries(self) -> None:
        """Make all engines stale."""
        for engine in self._by_pages.values():
            engine.stale = True

    def remove_code(self, address: int, size: int) -> None:
        """Drop the translations of physical memory, in all engines."""
        self._tlb.identity = True
        try:
            for engine in self._by_pages.values():
                binding.remove_code(engine.handle, address, size)
        finally:
            self._tlb.identity = False

    def close(self) -> None:
        """Close all engines."""
        for finalizer in self._finalizers:
            finalizer()
        for engine in self._by_pages.values():
            engine.executed = engine.fault_address = memoryview(b"")
            engine.registers.release()

    def _find_for(self, pages: dict[int, int]) -> Engine:
        """The shared engine for a space that comes now and then; one of its own, for who has come often."""
        visits = self._visits.get(id(pages), 0)
        if visits >= FLUSHES_PER_ENGINE and ENGINES_MAX > 1:
            self._visits.pop(id(pages), None)
            engine = self._open() if len(self._by_pages) < ENGINES_MAX else self._take_away()
        else:
            if len(self._visits) >= SPACES_COUNTED:
                self._visits.clear()
            self._visits[id(pages)] = visits + 1
            engine = self._shared
            del self._by_pages[id(engine.pages)]
        engine.pages = pages  # and keeps it, so that no other has its identity
        engine.stale = True
        return engine

    def _take_away(self) -> Engine:
        """The engine of the space that has not been entered for longest; not the shared one."""
        key = next(key for key, engine in self._by_pages.items() if engine is not self._shared)
        return self._by_pages.pop(key)

    def _open(self) -> Engine:
        handle = binding.open_engine()
        self._finalizers.append(weakref.finalize(self, binding.LIBRARY.uc_close, handle))
        binding.map_memory(handle, *self._memory)
        binding.stop_at_traps(handle)
        binding.add_hook(handle, unicorn.UC_HOOK_TLB_FILL, self._callback)
        return Engine(handle)


def raise_unexplained(error: int) -> None:
    """Raise what it means that an engine has stopped, and the fill callback has no reason on record."""
    if error == binding.EXCEPTION:
        # A signal handler raised on the callback's first instruction, before it could be caught
        # there; Python has printed it.
        raise KeyboardInterrupt
    raise KernelBug(f"Unicorn stopped with an error that has no place here: {binding.describe(error)}")
