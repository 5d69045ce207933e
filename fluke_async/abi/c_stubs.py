"""
The stubs: one C function per system call, in assembly; and what a hostile test program needs to know of each call.

A stub moves C arguments into the registers of the call's roles, and results back. All are restartable: what a stub
needs after the `ecall` it keeps in registers that are no results of the call, so a thread that is stopped, copied
elsewhere and continued at the `ecall` ends as if nothing had happened.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from itertools import count

from fluke_async.abi import registers
from fluke_async.abi.c_names import LINE_LENGTH, NOTICE, exchanged, number_name, parameters, stored_results
from fluke_async.abi.entry_point import EntryPoint, Kind, Operand
from fluke_async.abi.entry_points import ENTRY_POINTS
from fluke_async.abi.layouts import IPC_PARAMS
from fluke_async.abi.outcomes import WRITTEN

_PARAMS_FIELDS = frozenset(field.name for field in IPC_PARAMS.fields)


def _register(number: int) -> str:
    return registers.ABI_NAMES[number]


def _direct_stub(entry: EntryPoint) -> list[str]:
    return [f"li      a7, {entry.number:#x}", "ecall", "ret"]


def _storing_stub(entry: EntryPoint) -> list[str]:
    """The pointers wait in t0, t1, ... while the call's arguments and results take their registers."""
    labels = count(1)
    kept = [each.register for each in (*exchanged(entry), *stored_results(entry))]
    lines = [f"mv      t{index}, {_register(number)}" for index, number in enumerate(kept)]
    for index, each in enumerate(exchanged(entry)):
        name, label = _register(each.register), next(labels)
        lines += [f"li      {name}, 0", f"beqz    t{index}, {label}f", f"ld      {name}, 0(t{index})", f"{label}:"]
    lines += [f"li      a7, {entry.number:#x}", "ecall"]
    for index, number in enumerate(kept):
        label = next(labels)
        lines += [f"beqz    t{index}, {label}f", f"sd      {_register(number)}, 0(t{index})", f"{label}:"]
    return [*lines, "ret"]


def _message_stub(entry: EntryPoint) -> list[str]:
    """The block's address stays in s0 during the call, the address of the alias in s1."""
    pointers = [parameter.rpartition("*")[2] for parameter in parameters(entry)]
    first = pointers.index("params")
    lines = ["addi    sp, sp, -16", "sd      s0, 0(sp)", "sd      s1, 8(sp)"]
    lines += [f"mv      {kept}, a{first + index}" for index, kept in enumerate(("s0", "s1")[: len(pointers) - first])]
    for argument in entry.arguments:
        name = _register(argument.register)
        if argument.name in _PARAMS_FIELDS:
            lines.append(f"ld      {name}, {IPC_PARAMS.offset_of(argument.name)}(s0)")
        elif argument.register == registers.PROGRESS_WORDS:
            lines.append(f"li      {name}, 0")
    lines += [f"li      a7, {entry.number:#x}", "ecall"]
    for result in entry.results:
        name = _register(result.register)
        if result.name in _PARAMS_FIELDS:
            lines.append(f"sd      {name}, {IPC_PARAMS.offset_of(result.name)}(s0)")
        elif result.name == "port_alias":
            lines += ["beqz    s1, 1f", f"sd      {name}, 0(s1)", "1:"]
    return [*lines, "ld      s0, 0(sp)", "ld      s1, 8(sp)", "addi    sp, sp, 16", "ret"]


def _stub(entry: EntryPoint) -> Iterator[str]:
    if entry.is_message:
        body = _message_stub(entry)
    elif exchanged(entry) or stored_results(entry):
        body = _storing_stub(entry)
    else:
        body = _direct_stub(entry)
    name = f"fluke_{entry.name}"
    yield f'        .section .text.{name}, "ax", @progbits'
    yield f"        .globl  {name}"
    yield f"{name}:"
    for line in body:
        yield line if line[0].isdigit() else f"        {line}"
    yield ""


def stubs() -> str:
    """The text of `stubs.S`: one function per entry point."""
    lines = [f"# One function per system call. {NOTICE}", ""]
    for entry in ENTRY_POINTS:
        lines += _stub(entry)
    return "\n".join(lines)


_PLACEHOLDERS = {
    Kind.OBJECT: "OBJECT",
    Kind.NEW_OBJECT: "PLACE",
    Kind.REFERENCE: "REFERENCE",
    Kind.STATE_IN: "READ",
    Kind.STATE_OUT: "WRITTEN",
    Kind.ADDRESS: "ADDRESS",
    Kind.WORDS_OUT: "WRITTEN",
    Kind.SELF: "SELF",
    Kind.WORDS: "WORDS",
}


def _placeholder(entry: EntryPoint, operand: Operand) -> str:
    """What an argument register holds; of a message's memory, what the kernel does with it."""
    if entry.is_message and operand.kind is Kind.ADDRESS:
        return "WRITTEN" if operand.name == "receive_buffer" else "READ"
    return _PLACEHOLDERS.get(operand.kind, "NUMBER")


def _table_argument(entry: EntryPoint, operand: Operand) -> str:
    """Register, kind, object type, and the register that holds the length if this is a table."""
    length_name = re.sub("_table$", "_count", operand.name)
    length = next((other.register for other in entry.arguments if other.name == length_name != operand.name), 0)
    return f"{{{operand.register}, {_placeholder(entry, operand)}, FLUKE_{operand.type.name}, {length}}}"


def call_table() -> str:
    """The text of `entry_points.h`: what each call's argument registers hold."""
    lines = [
        f"/* Every system call and what its argument registers hold. {NOTICE} */",
        "",
        f"#define LONGEST_NAME {max(len(entry.name) for entry in ENTRY_POINTS)}",
        f"#define MOST_ARGUMENTS {max(len(entry.arguments) for entry in ENTRY_POINTS)}",
        "",
        "/*",
        " * An object, the calling thread's, a free place for one, a reference, memory that is read or written, some",
        " * other address; the last two are no addresses.",
        " */",
        "enum kind { OBJECT, SELF, PLACE, REFERENCE, READ, WRITTEN, ADDRESS, WORDS, NUMBER };",
        "",
        "static const struct entry_point {",
        "    uint64_t number;",
        "    const char *name;",
        "    uint32_t results; /* a bit for each register that holds one */",
        "    bool is_written;  /* the slot of the first object has to be one that can be written */",
        "    unsigned argument_count;",
        "    struct { uint8_t number, kind, type, length_register; } arguments[MOST_ARGUMENTS];",
        "} entry_points[] = {",
    ]
    for entry in ENTRY_POINTS:
        arguments = ", ".join(_table_argument(entry, operand) for operand in entry.arguments)
        results = sum(1 << result.register for result in entry.results) | 1 << registers.STATUS
        written = str(entry.name.endswith(WRITTEN)).lower()
        head = f'{number_name(entry)}, "{entry.name}", {results:#x}, {written}, {len(entry.arguments)}, {{'
        text = textwrap.fill(f"{{{head}{arguments}}}}},", LINE_LENGTH, subsequent_indent=" ")
        lines += [f"    {line}" for line in text.splitlines()]
    return "\n".join([*lines, "};"]) + "\n"
