"""
The C header, and the other files that C programs need, generated from the tables.

`python -m fluke_async.abi.c_header` writes the files; `--check` says which are stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from enum import IntEnum, IntFlag
from pathlib import Path

from fluke_async.abi import codes, devices, orders
from fluke_async.abi.c_names import NOTICE, exception_name, number_name, object_type_name, prototype
from fluke_async.abi.c_stubs import call_table, stubs
from fluke_async.abi.entry_points import ENTRY_POINTS
from fluke_async.abi.generated import REPOSITORY, run_generator
from fluke_async.abi.layout import Layout
from fluke_async.abi.layouts import LAYOUTS

HEADER = REPOSITORY / "userland/include/fluke.h"
STUBS = REPOSITORY / "userland/lib/stubs.S"
CALL_TABLE = REPOSITORY / "userland/tests/entry_points.h"


def _comment(enumeration: type) -> str:
    """Its docstring on one line."""
    return " ".join((enumeration.__doc__ or "").replace("`", "").split())


def _constants(numbers: Mapping[str, int], *, hexadecimal: bool = False) -> Iterator[str]:
    width = max(map(len, numbers))
    for name, value in numbers.items():
        yield f"    {name:<{width}} = {f'{value:#x}' if hexadecimal else value},"


def _enumeration(comment: str, numbers: Mapping[str, int], *, tag: str = "", hexadecimal: bool = False) -> list[str]:
    opening = f"enum {tag} {{" if tag else "enum {"
    return [f"/* {comment} */", opening, *_constants(numbers, hexadecimal=hexadecimal), "};", ""]


def _members(prefix: str, enumeration: type[IntEnum | IntFlag]) -> dict[str, int]:
    return {f"{prefix}{member.name}": int(member) for member in enumeration}


def _limits() -> list[str]:
    limits = {
        "PAGE_SIZE": codes.PAGE_SIZE,
        "SLOT_SIZE": codes.SLOT_SIZE,
        "WORD_SIZE": codes.WORD_SIZE,
        "PRIORITY_MIN": codes.PRIORITY_MIN,
        "PRIORITY_DEFAULT": codes.PRIORITY_DEFAULT,
        "PRIORITY_MAX": codes.PRIORITY_MAX,
        "MAX_MESSAGE_REFERENCES": codes.MAX_MESSAGE_REFERENCES,
        "MAX_MESSAGE_BUFFERS": codes.MAX_MESSAGE_BUFFERS,
        "CONSOLE_MAX_BYTES": devices.CONSOLE_MAX_BYTES,
        "ORDER_PUT_MAX_BYTES": orders.ORDER_PUT_MAX_BYTES,
        "BLOB_NAME_WORDS": devices.STORE_NAME_WORDS,
        "BLOB_KEY_WORDS": devices.STORE_KEY_WORDS,
        "DISK_SECTOR_BYTES": devices.DISK_SECTOR_BYTES,
        "FAULT_IN_CALL": codes.FAULT_IN_CALL,
    }
    return [
        "/* Sizes in bytes and limits; user addresses lie in [FLUKE_USER_START, FLUKE_USER_END). */",
        *(f"#define FLUKE_{name} {value}" for name, value in limits.items()),
        f"#define FLUKE_USER_START {codes.USER_START:#x}ul",
        f"#define FLUKE_USER_END {codes.USER_END:#x}ul",
        "",
    ]


def _object_types() -> list[str]:
    exported = [kind for kind in codes.ObjectType if kind is not codes.ObjectType.NULL]
    return [
        *_enumeration(_comment(codes.ObjectType), _members("FLUKE_", codes.ObjectType), tag="fluke_type"),
        "typedef enum fluke_type fluke_type_t;",
        "",
        "/* An object's place in memory: only the kernel looks inside. */",
        *(
            f"typedef struct {{ uint64_t opaque[{codes.SLOT_SIZE // codes.WORD_SIZE}]; }} "
            f"__attribute__((aligned(FLUKE_SLOT_SIZE))) {object_type_name(kind)};"
            for kind in exported
        ),
        "",
    ]  # fmt: skip


def _codes() -> list[str]:
    exceptions = {exception_name(code): int(code) for code in codes.ExceptionCode}
    return [
        "typedef int fluke_error_t;",
        "",
        *_enumeration(_comment(codes.Status), _members("FLUKE_", codes.Status)),
        *_enumeration(_comment(codes.ExceptionCode), exceptions, hexadecimal=True),
        *_enumeration(_comment(codes.ThreadFlags), _members("FLUKE_THREAD_", codes.ThreadFlags),
                      hexadecimal=True),
        *_enumeration(_comment(codes.MutexFlags), _members("FLUKE_MUTEX_", codes.MutexFlags),
                      hexadecimal=True),
        *_enumeration(_comment(codes.CondFlags), _members("FLUKE_COND_", codes.CondFlags),
                      hexadecimal=True),
        *_enumeration(_comment(codes.Prot),
                      {"FLUKE_PROT_NONE": 0, **_members("FLUKE_PROT_", codes.Prot), "FLUKE_PROT_ALL": 7}),
        *_enumeration(_comment(codes.MessageKind), _members("FLUKE_MESSAGE_", codes.MessageKind)),
        *_enumeration(_comment(codes.Sensitivity), _members("FLUKE_SCHEDULE_", codes.Sensitivity)),
        *_enumeration(_comment(codes.FaultReply), _members("FLUKE_FAULT_", codes.FaultReply)),
        *_enumeration(_comment(codes.ExceptionReply), _members("FLUKE_EXCEPTION_", codes.ExceptionReply)),
    ]  # fmt: skip


def _devices() -> list[str]:
    operations = {
        "CONSOLE": devices.ConsoleOperation,
        "TIMER": devices.TimerOperation,
        "PARENT": devices.ParentOperation,
        "ENTROPY": devices.EntropyOperation,
        "BLOB": devices.StoreOperation,
        "DISK": devices.DiskOperation,
        "ORDER": orders.OrderOperation,
        "ORDER_KIND": orders.OrderKind,
    }
    lines = _enumeration(
        "Word 0 of every request is the operation; this one, of every device, asks whether it is there.",
        {"FLUKE_DEVICE_PROBE": devices.PROBE},
    )
    for name, enumeration in operations.items():
        lines += _enumeration(_comment(enumeration), _members(f"FLUKE_{name}_", enumeration))
    return lines + _enumeration(_comment(devices.DeviceStatus), _members("FLUKE_DEVICE_", devices.DeviceStatus))


def _structure(layout: Layout) -> list[str]:
    lines = [f"/* {layout.description} */", f"struct {layout.name} {{"]
    for field in layout.fields:
        base = f"{field.pointee} *".replace("* *", "**") if field.pointee else "uint64_t "
        array = f"[{field.count}]" if field.count > 1 else ""
        declaration = f"{base}{field.name}{array};"
        lines.append(f"    {declaration:<44} /* {field.description} */")
    return [
        *lines,
        "};",
        f'_Static_assert(sizeof(struct {layout.name}) == {layout.size}, "{layout.name}");',
        "",
    ]


def _prototypes() -> list[str]:
    lines = ["/* System calls. A null pointer is allowed where the reference pages say so. */", ""]
    family = ""
    for entry in ENTRY_POINTS:
        if (of := entry.name.partition("_")[0]) != family:
            lines += [""] * bool(family)
            family = of
        lines += [f"/* {entry.summary} */", prototype(entry)]
    return lines


def header() -> str:
    """The text of `fluke.h`."""
    lines = [
        f"/* The system calls of the Fluke kernel. {NOTICE} */",
        "",
        "#ifndef FLUKE_H",
        "#define FLUKE_H",
        "",
        "#include <stddef.h>",
        "#include <stdint.h>",
        "",
        *_limits(),
        *_object_types(),
        *_codes(),
        *(line for layout in (*LAYOUTS, orders.ORDER) for line in _structure(layout)),
        *_devices(),
        *_enumeration(
            "The number of each entry point, in a7.",
            {number_name(entry): entry.number for entry in ENTRY_POINTS},
            hexadecimal=True,
        ),
        *_prototypes(),
        "",
        "/* Ends the program with all its threads: a call of the parent that is never answered. */",
        "_Noreturn void fluke_exit(int status);",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def files() -> dict[Path, str]:
    """Every generated file and its text."""
    return {HEADER: header(), STUBS: stubs(), CALL_TABLE: call_table()}


if __name__ == "__main__":
    sys.exit(run_generator(files(), sys.argv[1:]))
