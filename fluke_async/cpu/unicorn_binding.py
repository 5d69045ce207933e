"""Unicorn at the speed of its C interface: raw handles, prepared arguments, measured offsets.

The Python binding costs more than an emulated system call does, so this module calls the library
through `ctypes` with arguments that are built once. What the C interface does not export (the
executed count, the exact fault address) is read from the engine's own structure, at offsets that
are measured once a process, never assumed. So is the layout of a saved context, which serves as
the register file.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import addressof, byref, c_int, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

import unicorn
from unicorn import riscv_const as riscv
from unicorn.unicorn_py3 import unicorn as bundled

from fluke_async.errors import KernelBug

_PATH = bundled.uclib._name  # noqa: SLF001 (the binding has searched for it)
LIBRARY = ctypes.CDLL(_PATH)  # releases the interpreter lock: for running
_BRIEF = ctypes.PyDLL(_PATH)  # keeps it: for calls shorter than giving it up
for _library in (LIBRARY, _BRIEF):  # variadic functions need their fixed arguments declared
    _library.uc_ctl.argtypes = [c_void_p, c_int]
    _library.uc_hook_add.argtypes = [
        c_void_p, c_void_p, c_int, c_void_p, c_void_p, c_uint64, c_uint64,
    ]  # fmt: skip

start = LIBRARY.uc_emu_start
save = _BRIEF.uc_context_save
restore = _BRIEF.uc_context_restore
control = _BRIEF.uc_ctl

OK, BREAKPOINT, EXCEPTION = unicorn.UC_ERR_OK, unicorn.UC_ERR_INSN_INVALID, unicorn.UC_ERR_EXCEPTION
FILL_READ, FILL_WRITE, FILL_FETCH = (
    unicorn.UC_MEM_READ,
    unicorn.UC_MEM_WRITE,
    unicorn.UC_MEM_FETCH,
)
FLOATING_UNUSED, FLOATING_WRITTEN = 0x2000, 0x6000  # mstatus.FS: initial, dirty
NO_RESERVATION = 2**64 - 1
USER, MACHINE = 0, 3

FillCallback = ctypes.CFUNCTYPE(
    ctypes.c_bool, c_void_p, c_uint64, c_int, c_void_p, c_void_p
)  # engine, page's virtual address, kind of access, result, user data

_JIT_BYTES = 16 << 20  # the default of 1 GiB puts code out of reach of short calls: 3 times slower
_PRIVILEGED_VERSION_1_9 = 0x1_0901
_PRIVILEGED_VERSIONS = (_PRIVILEGED_VERSION_1_9, 0x1_1000, 0x1_1100)
_HEADER_BYTES = 40  # of a saved context, before the registers
_PROBED_WORDS = 256  # of the engine's structure


def _control(kind: int, arguments: int) -> c_int:
    return c_int(kind | arguments << 26 | unicorn.UC_CTL_IO_WRITE << 30)


TLB_FLUSH = _control(unicorn.UC_CTL_TLB_FLUSH, 0)
_TLB_TYPE = _control(unicorn.UC_CTL_TLB_TYPE, 1)
_TCG_BUFFER_SIZE = _control(unicorn.UC_CTL_TCG_BUFFER_SIZE, 1)
_USE_EXITS = _control(unicorn.UC_CTL_UC_USE_EXITS, 1)
_EXITS = _control(unicorn.UC_CTL_UC_EXITS, 2)
_REMOVE_CODE = _control(unicorn.UC_CTL_TB_REMOVE_CACHE, 2)


def words_at(address: int, count: int) -> memoryview:
    """A view of 64-bit words of the host's memory; it does not keep that memory alive."""
    return memoryview((c_uint64 * count).from_address(address)).cast("B").cast("Q")


def check(error: int) -> None:
    """Raise KernelBug unless a call that cannot fail has succeeded."""
    if error != OK:
        raise KernelBug(f"Unicorn refused a call: {describe(error)}")


def describe(error: int) -> str:
    """What the library says about one of its error codes."""
    return str(bundled.UcError(error))


@dataclass(frozen=True)
class Layout:
    """Where things are, in 64-bit words: in the engine's structure and in a saved context."""

    executed: int  # instructions begun in this run, as counted by its counting hook
    fault_address: int
    general: int  # x0..x31
    floating: int  # f0..f31
    pc: int
    reservation: int  # address reserved by LR
    mstatus: int
    privilege: int
    privileged_version: int


class Context:
    """A saved context in memory of ours, so that no view of it can outlive it.

    `words` are its 64-bit words from the first register on.
    """

    def __init__(self, handle: c_void_p) -> None:
        size = LIBRARY.uc_context_size(handle)
        prototype = c_void_p()
        check(LIBRARY.uc_context_alloc(handle, byref(prototype)))
        self.memory = (c_uint64 * (size // 8))()
        ctypes.memmove(self.memory, prototype, _HEADER_BYTES)
        check(LIBRARY.uc_context_free(prototype))
        if self.memory[0] != size - _HEADER_BYTES:
            raise KernelBug("a saved context of this build of Unicorn has another header")
        self.argument = c_void_p(addressof(self.memory))
        self.words = memoryview(self.memory).cast("B").cast("Q")[_HEADER_BYTES // 8 :]


def open_engine() -> c_void_p:
    """A hart in machine mode with its code buffer allocated; call before mapping large memory."""
    handle = c_void_p()
    mode = unicorn.UC_MODE_RISCV64
    check(LIBRARY.uc_open(unicorn.UC_ARCH_RISCV, mode, byref(handle)))
    check(control(handle, _TCG_BUFFER_SIZE, c_size_t(_JIT_BYTES)))
    check(control(handle, _USE_EXITS, c_int(1)))  # else address 0 ends a run
    check(control(handle, _EXITS, None, c_size_t(0)))
    check(control(handle, _TLB_TYPE, c_int(unicorn.UC_TLB_VIRTUAL)))
    return handle


def map_memory(handle: c_void_p, address: int, size: int) -> None:
    """Make `size` bytes of the host's memory the hart's physical memory, from 0 on."""
    check(LIBRARY.uc_mem_map_ptr(handle, c_uint64(0), c_uint64(size), unicorn.UC_PROT_ALL, c_void_p(address)))


def add_hook(handle: c_void_p, kind: int, function: Any) -> None:
    """Call `function`, which the caller keeps alive, at every event of this kind."""
    hook = c_size_t()
    pointer = ctypes.cast(function, c_void_p)
    check(LIBRARY.uc_hook_add(handle, byref(hook), kind, pointer, None, 1, 0))


def stop_at_traps(handle: c_void_p) -> None:
    """End a run at every trap, without a callback to Python: the hook is `uc_emu_stop` itself."""
    add_hook(handle, unicorn.UC_HOOK_INTR, LIBRARY.uc_emu_stop)


def write_register(handle: c_void_p, register: int, value: int) -> None:
    """Set one of the engine's registers, by Unicorn's number for it."""
    check(_BRIEF.uc_reg_write(handle, register, byref(c_uint64(value))))


def read_register(handle: c_void_p, register: int) -> int:
    """One of the engine's registers, by Unicorn's number for it."""
    value = c_uint64()
    check(_BRIEF.uc_reg_read(handle, register, byref(value)))
    return value.value


def write_fcsr(handle: c_void_p, value: int) -> None:
    """Set the rounding mode and the exception flags, which a context does not hold."""
    write_register(handle, riscv.UC_RISCV_REG_FCSR, value)


def read_fcsr(handle: c_void_p) -> int:
    """The rounding mode and the exception flags."""
    return read_register(handle, riscv.UC_RISCV_REG_FCSR)


def remove_code(handle: c_void_p, address: int, size: int) -> None:
    """Drop the translations of physical memory.

    Unicorn looks the address up as a virtual one. Machine mode has a TLB index of its own, so the
    caller's fill callback can answer with the identity without a program ever seeing that entry.
    """
    write_register(handle, riscv.UC_RISCV_REG_PRIV, MACHINE)
    check(control(handle, _REMOVE_CODE, c_uint64(address), c_uint64(address + size)))
    write_register(handle, riscv.UC_RISCV_REG_PRIV, USER)


def enter_user_mode(words: memoryview, layout: Layout) -> None:
    """Prepare a context for user code, with all counters forbidden.

    Unicorn's cycle and instret are the host's time stamp counter. Under privileged architecture
    1.9 they obey the counter-enable registers, which are zero at reset: user code then traps on
    them, and nothing else that user code can see changes.
    """
    words[layout.privilege] = USER
    words[layout.mstatus] = FLOATING_UNUSED
    words[layout.reservation] = NO_RESERVATION
    words[layout.privileged_version] = _PRIVILEGED_VERSION_1_9


# --- measuring the layout -------------------------------------------------------------------------

_LOOP, _LOAD_T1_FROM_T0 = 0x0000_006F, 0x0002_B303
_LOAD_RESERVED_T1_FROM_T0, _READ_CYCLE_TO_T1 = 0x1002_B32F, 0xC000_2373


@functools.cache
def layout() -> Layout:
    """Measure the layout of this build of Unicorn: an immutable fact of the process.

    Raises KernelBug if it is not what this module can work with.
    """
    with _scratch_engine() as handle:
        structure = words_at(int(handle.value or 0), _PROBED_WORDS)
        executed = _find_executed(handle, structure)
        fault_address = _find_fault_address(handle, structure)
        context = Context(handle)
        words = context.words
        for number in range(31):
            write_register(handle, riscv.UC_RISCV_REG_X1 + number, 0x1111_0000_0000 + number)
        for number in range(32):
            write_register(handle, riscv.UC_RISCV_REG_F0 + number, 0x2222_0000_0000 + number)
        write_register(handle, riscv.UC_RISCV_REG_PC, 0x3333_0000_0000)
        save(handle, context.argument)
        general = _only(i for i, word in enumerate(words) if word == 0x1111_0000_0000) - 1
        floating = _only(i for i, word in enumerate(words) if word == 0x2222_0000_0000)
        ordered = all(words[general + 1 + n] == 0x1111_0000_0000 + n for n in range(31))
        if not ordered or any(words[floating + n] != 0x2222_0000_0000 + n for n in range(32)):
            raise KernelBug("the registers in a saved context are not in order")
        pc = _only(i for i, word in enumerate(words) if word == 0x3333_0000_0000)
        version = _only(i for i, word in enumerate(words) if word in _PRIVILEGED_VERSIONS)
        found = Layout(
            executed=executed,
            fault_address=fault_address,
            general=general,
            floating=floating,
            pc=pc,
            reservation=_find_reservation(handle, context, general),
            mstatus=_find_register(handle, context, riscv.UC_RISCV_REG_MSTATUS, FLOATING_WRITTEN, 0),
            privilege=_find_register(handle, context, riscv.UC_RISCV_REG_PRIV, USER, MACHINE),
            privileged_version=version,
        )
        _check_counters_trap(handle, context, found)
        return found


@contextmanager
def _scratch_engine() -> Iterator[c_void_p]:
    handle = open_engine()
    try:
        check(LIBRARY.uc_mem_map(handle, c_uint64(0), c_uint64(0x4000), unicorn.UC_PROT_ALL))
        stop_at_traps(handle)
        yield handle
    finally:
        LIBRARY.uc_close(handle)


def _only(indexes: Iterator[int]) -> int:
    found = list(indexes)
    if len(found) != 1:
        raise KernelBug(f"this build of Unicorn has its words elsewhere: {found} instead of one")
    return found[0]


def _run_scratch(handle: c_void_p, instruction: int, count: int) -> int:
    # A page for each instruction, since writing memory does not invalidate translations.
    pages = [_LOOP, _LOAD_T1_FROM_T0, _LOAD_RESERVED_T1_FROM_T0]
    address = pages.index(instruction) * 0x1000 if instruction in pages else 0x3000
    code = c_uint64(instruction)
    check(LIBRARY.uc_mem_write(handle, c_uint64(address), byref(code), c_uint64(4)))
    zero = c_uint64(0)
    return int(start(handle, c_uint64(address), zero, zero, c_size_t(count)))


def _find_executed(handle: c_void_p, structure: memoryview) -> int:
    count = 12_345
    check(_run_scratch(handle, _LOOP, count))
    pairs = itertools.pairwise(structure)
    return _only(i for i, pair in enumerate(pairs) if pair == (count + 1, count))


def _find_fault_address(handle: c_void_p, structure: memoryview) -> int:
    candidates = set(range(_PROBED_WORDS))
    for address in (0x4444_5555_6678, 0x7777_8888_99A8):
        write_register(handle, riscv.UC_RISCV_REG_T0, address)
        if _run_scratch(handle, _LOAD_T1_FROM_T0, 1) == OK:
            raise KernelBug("a load from nowhere did not fault")
        candidates &= {i for i, word in enumerate(structure) if word == address}
    return _only(iter(candidates))


def _find_reservation(handle: c_void_p, context: Context, general: int) -> int:
    write_register(handle, riscv.UC_RISCV_REG_T0, 0x3FF8)
    check(_run_scratch(handle, _LOAD_RESERVED_T1_FROM_T0, 1))
    save(handle, context.argument)
    registers = range(general, general + 32)
    words = enumerate(context.words)
    return _only(i for i, word in words if word == 0x3FF8 and i not in registers)


def _find_register(handle: c_void_p, context: Context, register: int, one: int, other: int) -> int:
    candidates = set(range(len(context.words)))
    for value in (one, other):
        write_register(handle, register, value)
        save(handle, context.argument)
        # mstatus has a summary bit above those written
        candidates &= {i for i, w in enumerate(context.words) if w & 0x7FFF_FFFF == value}
    return _only(iter(candidates))


def _check_counters_trap(handle: c_void_p, context: Context, found: Layout) -> None:
    save(handle, context.argument)
    enter_user_mode(context.words, found)
    destination = found.general + 6
    context.words[destination] = marker = 0x5555_0000_0000
    restore(handle, context.argument)
    _run_scratch(handle, _READ_CYCLE_TO_T1, 1)
    save(handle, context.argument)
    if context.words[destination] != marker:
        raise KernelBug("user code can read the host's time stamp counter")
