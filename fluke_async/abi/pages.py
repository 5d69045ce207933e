"""
The reference pages of the interface, generated from the tables.

`python -m fluke_async.abi.pages` writes `userland/api`; `--check` says which pages are stale.
"""

from __future__ import annotations

import inspect
import sys
from enum import IntEnum, IntFlag
from itertools import groupby
from pathlib import Path

from fluke_async.abi import codes, devices, exceptions, faults, layouts, orders, registers
from fluke_async.abi.c_names import exception_name
from fluke_async.abi.call_section import CLASS_MEANING, family, section
from fluke_async.abi.connections_page import connections
from fluke_async.abi.entry_points import CHUNK_COST, COMPLETION_COST, ENTRY_POINTS, STAGE_COST
from fluke_async.abi.generated import REPOSITORY, run_generator
from fluke_async.abi.layout import Layout
from fluke_async.abi.layouts import LAYOUTS
from fluke_async.abi.markdown import page, table

DIRECTORY = REPOSITORY / "userland/api"

# One page for each object


def _object_pages() -> dict[str, str]:
    return {
        name: page(f"System calls: {name}", (line for entry in entries for line in section(entry)))
        for name, entries in groupby(ENTRY_POINTS, family)
    }


def _index() -> str:
    lines = [
        "From C, calls are functions of `<fluke.h>`; `struct fluke_ipc_params` describes a message.",
        "The programs in [userland/programs](../programs/primes.c) show how.",
        "",
        "A system call is the instruction `ecall` with the call's number in `a7`. Numbers lie above Linux's range.",
        "",
        "- [Registers and their roles](registers.md)",
        "- [Codes, flags and limits](codes.md)",
        "- [Structures in memory](structures.md)",
        "- [Requests to devices](devices.md)",
        "- [Reliable connections](connections.md)",
        "- [Faults and keepers](faults.md)",
        "- [Exceptions and keepers of spaces](exceptions.md)",
        "- [Two calls, stage by stage](stages.md)",
        "",
        "How a call can block, as its class says:",
        "",
        *table(("class", "meaning", "calls"), (
            (each.value, meaning, sum(entry.call_class is each for entry in ENTRY_POINTS))
            for each, meaning in CLASS_MEANING.items()
        )),
        ("Costs are virtual, in instructions, and paid when the call is done; besides, each stage of a multi-stage "
        f"call costs {STAGE_COST}, each 8 KiB moved {CHUNK_COST}, finishing another thread's call {COMPLETION_COST}."),
        "",
    ]  # fmt: skip
    for name, entries in groupby(ENTRY_POINTS, family):
        rows = [
            (f"`{entry.number:#x}`", f"[{entry.name}]({name}.md#{entry.name})", entry.call_class.value, entry.summary)
            for entry in entries
        ]
        lines += [f"## {name}", "", *table(("number", "call", "class", "what it does"), rows)]
    return page("System calls", lines)


# Pages of things that several calls share


def _numbers(title: str, prefix: str, enumeration: type[IntEnum | IntFlag]) -> list[str]:
    form = "{:#x}" if issubclass(enumeration, IntFlag) else "{}"
    rows = [(f"`{prefix}{member.name}`", form.format(int(member))) for member in enumeration]
    return [f"## {title}", "", inspect.getdoc(enumeration) or "", "", *table(("name", "value"), rows)]


def _codes() -> str:
    statuses = [(f"`FLUKE_{code.name}`", code.value, codes.STATUS_MEANING[code]) for code in codes.Status]
    exceptions = [
        (f"`{exception_name(code)}`", f"{code:#x}", codes.EXCEPTION_MEANING[code]) for code in codes.ExceptionCode
    ]
    charges = (
        *((each.name.lower(), size) for each, size in codes.OBJECT_CHARGE_BYTES.items()),
        ("a page, from its first touch; a copy of a shared page, from its first write", codes.PAGE_SIZE),
        ("room for a translation in the tables, for each page of memory, from the start",
         codes.TRANSLATION_CHARGE_BYTES * codes.TRANSLATIONS_PER_FRAME),
    )  # fmt: skip
    limits = (
        ("page", f"{codes.PAGE_SIZE} bytes"),
        ("place of an object", f"{codes.SLOT_SIZE} bytes, at a multiple of that"),
        ("word of a message", f"{codes.WORD_SIZE} bytes; buffers are aligned to it"),
        ("addresses of a program", f"from `{codes.USER_START:#x}` up to, without, `{codes.USER_END:#x}`"),
        ("priorities", f"{codes.PRIORITY_MIN} to {codes.PRIORITY_MAX}, usually {codes.PRIORITY_DEFAULT}"),
        ("references in a message", codes.MAX_MESSAGE_REFERENCES),
        ("buffers in a table of a message", codes.MAX_MESSAGE_BUFFERS),
        ("copied between two points of a call", f"{codes.COPY_CHUNK_WORDS} words, under full preemption a page"),
        (
            "looked at in one step of a scan of a region",
            f"{codes.VISITED_PAGES_MAX} pages with objects, or with memory; under full preemption one",
        ),
    )
    return page("Codes, flags and limits", [
        "## Status codes",
        "",
        inspect.getdoc(codes.Status) or "",
        "",
        *table(("name", "value", "meaning"), statuses),
        "## Exceptions",
        "",
        inspect.getdoc(codes.ExceptionCode) or "",
        "",
        *table(("name", "value", "meaning"), exceptions),
        *_numbers("Types", "FLUKE_", codes.ObjectType),
        *_numbers("Flags of a thread", "FLUKE_THREAD_", codes.ThreadFlags),
        *_numbers("Flags of a mutex", "FLUKE_MUTEX_", codes.MutexFlags),
        *_numbers("Access rights", "FLUKE_PROT_", codes.Prot),
        *_numbers("Kinds of message", "FLUKE_MESSAGE_", codes.MessageKind),
        "## Charges",
        "",
        "What a program has is charged to the kernel's memory, in bytes of the host's.",
        "",
        *table(("what", "bytes"), charges),
        "## Limits",
        "",
        *table(("what", "how much"), limits),
    ])  # fmt: skip


def _structure(layout: Layout) -> list[str]:
    rows = [
        (
            layout.offset_of(field.name),
            f"`{field.name}[{field.count}]`" if field.count > 1 else f"`{field.name}`",
            f"`{field.pointee} *`" if field.pointee else "",
            field.description,
        )
        for field in layout.fields
    ]
    return [
        f"## {layout.name}",
        "",
        f"{layout.description} {layout.size} bytes.",
        "",
        *table(("offset", "field", "address of", "what it is"), rows),
    ]


def _structures() -> str:
    return page("Structures in memory", [
        "Every field is made of 64-bit words, so there is no padding.",
        "",
        *(line for layout in LAYOUTS for line in _structure(layout)),
    ])  # fmt: skip


def _devices() -> str:
    return page("Requests to devices", [
        inspect.getdoc(devices) or "",
        "",
        f"A message to the console carries at most {devices.CONSOLE_MAX_BYTES} bytes.",
        "",
        *_numbers("Console", "FLUKE_CONSOLE_", devices.ConsoleOperation),
        *_numbers("Timer", "FLUKE_TIMER_", devices.TimerOperation),
        *_numbers("Parent", "FLUKE_PARENT_", devices.ParentOperation),
        *_numbers("Entropy", "FLUKE_ENTROPY_", devices.EntropyOperation),
        *_numbers("Store", "FLUKE_BLOB_", devices.StoreOperation),
        *_numbers("Disk", "FLUKE_DISK_", devices.DiskOperation),
        *_numbers("Orders to a manager", "FLUKE_ORDER_", orders.OrderOperation),
        *_structure(orders.ORDER),
        *_numbers("Kinds of orders", "FLUKE_ORDER_KIND_", orders.OrderKind),
        *_numbers("Status", "FLUKE_DEVICE_", devices.DeviceStatus),
    ])  # fmt: skip


def _faults() -> str:
    return page("Faults and keepers", [
        inspect.getdoc(faults) or "",
        "",
        *table(("where the walk ends", "what comes of it"), faults.RULES),
        *table(("message", "who copies", "where it stands while a page is away"), faults.ACROSS),
        *_structure(layouts.FAULT_MESSAGE),
        *_numbers("Answers", "FLUKE_FAULT_", codes.FaultReply),
    ])  # fmt: skip


def _exceptions() -> str:
    return page("Exceptions and keepers of spaces", [
        inspect.getdoc(exceptions) or "",
        "",
        *table(("when", "what the thread does"), exceptions.RULES),
        *_structure(layouts.EXCEPTION_MESSAGE),
        *_structure(layouts.EXCEPTION_REPLY),
        *_numbers("Answers", "FLUKE_EXCEPTION_", codes.ExceptionReply),
        "## An example",
        "",
        "The program [foreign](../programs/foreign.c) does it in full.",
        "",
        "```c",
        *exceptions.EXAMPLE.splitlines(),
        "```",
    ])  # fmt: skip


def _registers() -> str:
    roles: dict[tuple[str, int], set[str]] = {}
    for entry in ENTRY_POINTS:
        if entry.is_message:
            for direction, operands in (("in", entry.arguments), ("out", entry.results)):
                for operand in operands:
                    roles.setdefault((operand.name, operand.register), set()).add(direction)
    rows = [
        (f"`{registers.ABI_NAMES[register]}`", f"`{name}`", "yes" * ("in" in ways), "yes" * ("out" in ways))
        for (name, register), ways in sorted(
            roles.items(), key=lambda item: (registers.ABI_NAMES[item[0][1]], item[0][0])
        )
    ]
    return page("Registers and their roles", [
        ("`a7` holds the number of the call, `a0` to `a6` its arguments; `a0` returns the status, or 0 where there is "
        "none. Every register that is no result of the call keeps its value; but a call of several stages leaves `a7` "
        "at its last one, and one that sends on a reliable connection leaves the registers of what it sends at what "
        "it has not sent."),
        "",
        ("While a call is in progress, its registers say what is left to do: interrupted, it can be started again from "
        "them, in this kernel or another."),
        "",
        "Calls that transfer messages use more registers:",
        "",
        *table(("register", "role", "argument", "result"), rows),
    ])  # fmt: skip


def files() -> dict[Path, str]:
    """Every page and its text."""
    pages = {
        **_object_pages(),
        "README": _index(),
        "codes": _codes(),
        "structures": _structures(),
        "devices": _devices(),
        "connections": connections(page, table),
        "faults": _faults(),
        "exceptions": _exceptions(),
        "registers": _registers(),
    }
    return {DIRECTORY / f"{name}.md": text for name, text in pages.items()}


if __name__ == "__main__":
    sys.exit(run_generator(files(), sys.argv[1:]))
