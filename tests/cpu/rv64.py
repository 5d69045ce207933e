"""A tiny encoder: just the RV64 instructions that the tests of the engine need.

Each function returns one instruction; `code` lays instructions out as bytes, 16-bit ones (integers
tagged by `short`) among them. Registers are ABI names.
"""

from __future__ import annotations

from fluke_async.cpu.scripted_cpu import REGISTER_NAMES

_NUMBERS = {name: number for number, name in enumerate(REGISTER_NAMES)}


class Short(int):
    """A 16-bit instruction."""


def code(*instructions: int) -> bytes:
    return b"".join(i.to_bytes(2 if isinstance(i, Short) else 4, "little") for i in instructions)


def addi(rd: str, rs1: str, immediate: int) -> int:
    return _i_type(0x13, 0, rd, rs1, immediate)


def li(rd: str, value: int) -> int:
    """Load -2048..2047."""
    return addi(rd, "zero", value)


def lui(rd: str, page: int) -> int:
    """Load page * 4096."""
    return (page & 0xFFFFF) << 12 | _NUMBERS[rd] << 7 | 0x37


def add(rd: str, rs1: str, rs2: str) -> int:
    return _r_type(0x33, 0, 0, rd, rs1, rs2)


def load(rd: str, rs1: str, offset: int = 0, size: int = 8) -> int:
    return _i_type(0x03, {1: 0, 2: 1, 4: 2, 8: 3}[size], rd, rs1, offset)


def store(rs2: str, rs1: str, offset: int = 0, size: int = 8) -> int:
    function = {1: 0, 2: 1, 4: 2, 8: 3}[size]
    high, low = offset >> 5 & 0x7F, offset & 31
    registers = _NUMBERS[rs2] << 20 | _NUMBERS[rs1] << 15
    return high << 25 | registers | function << 12 | low << 7 | 0x23


def jal(offset: int, rd: str = "zero") -> int:
    bits = (offset >> 20 & 1) << 19 | (offset >> 1 & 0x3FF) << 9 | (offset >> 11 & 1) << 8
    return (bits | offset >> 12 & 0xFF) << 12 | _NUMBERS[rd] << 7 | 0x6F


def jalr(rs1: str, offset: int = 0, rd: str = "zero") -> int:
    return _i_type(0x67, 0, rd, rs1, offset)


def bne(rs1: str, rs2: str, offset: int) -> int:
    high = (offset >> 12 & 1) << 6 | offset >> 5 & 0x3F
    low = (offset >> 1 & 0xF) << 1 | offset >> 11 & 1
    return high << 25 | _NUMBERS[rs2] << 20 | _NUMBERS[rs1] << 15 | 1 << 12 | low << 7 | 0x63


def csrrw(rd: str, csr: int, rs1: str) -> int:
    return csr << 20 | _NUMBERS[rs1] << 15 | 1 << 12 | _NUMBERS[rd] << 7 | 0x73


def csrrs(rd: str, csr: int, rs1: str = "zero") -> int:
    return csr << 20 | _NUMBERS[rs1] << 15 | 2 << 12 | _NUMBERS[rd] << 7 | 0x73


def csrrci(rd: str, csr: int, immediate: int = 0) -> int:
    return csr << 20 | immediate << 15 | 7 << 12 | _NUMBERS[rd] << 7 | 0x73


def load_reserved(rd: str, rs1: str) -> int:
    return _r_type(0x2F, 3, 0b00010 << 2, rd, rs1, "zero")


def store_conditional(rd: str, rs2: str, rs1: str) -> int:
    return _r_type(0x2F, 3, 0b00011 << 2, rd, rs1, rs2)


def amoadd(rd: str, rs2: str, rs1: str) -> int:
    return _r_type(0x2F, 3, 0, rd, rs1, rs2)


def fld(fd: int, rs1: str, offset: int = 0) -> int:
    return (offset & 0xFFF) << 20 | _NUMBERS[rs1] << 15 | 3 << 12 | fd << 7 | 0x07


def fdiv(fd: int, fs1: int, fs2: int) -> int:
    return 0b0001101 << 25 | fs2 << 20 | fs1 << 15 | 7 << 12 | fd << 7 | 0x53


def fmv_from_x(fd: int, rs1: str) -> int:
    return 0b1111001 << 25 | _NUMBERS[rs1] << 15 | fd << 7 | 0x53


def fmv_to_x(rd: str, fs1: int) -> int:
    return 0b1110001 << 25 | fs1 << 15 | _NUMBERS[rd] << 7 | 0x53


ECALL, EBREAK = 0x0000_0073, 0x0010_0073
URET, SRET, MRET, WFI, SFENCE_VMA = 0x0020_0073, 0x1020_0073, 0x3020_0073, 0x1050_0073, 0x1200_0073
FENCE, FENCE_I = 0x0FF0_000F, 0x0000_100F
NOP = 0x0000_0013
C_NOP, C_EBREAK, C_ILLEGAL = Short(0x0001), Short(0x9002), Short(0x0000)
C_FLD, C_FSDSP = Short(0x2008), Short(0xA002)  # c.fld fa0, 0(s0); c.fsdsp ft0, 0(sp)

FFLAGS, FRM, FCSR, CYCLE, TIME, INSTRET = 0x001, 0x002, 0x003, 0xC00, 0xC01, 0xC02


def _i_type(opcode: int, function: int, rd: str, rs1: str, immediate: int) -> int:
    assert -2048 <= immediate < 2048
    registers = _NUMBERS[rs1] << 15 | _NUMBERS[rd] << 7
    return (immediate & 0xFFF) << 20 | registers | function << 12 | opcode


def _r_type(opcode: int, function: int, high: int, rd: str, rs1: str, rs2: str) -> int:
    registers = _NUMBERS[rs2] << 20 | _NUMBERS[rs1] << 15 | _NUMBERS[rd] << 7
    return high << 25 | registers | function << 12 | opcode
