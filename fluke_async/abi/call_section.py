"""What the reference says of one call: its operands, what it comes to, and what is left of it in its middle."""

from __future__ import annotations

from collections.abc import Sequence

from fluke_async.abi import outcomes, registers
from fluke_async.abi.c_names import exception_name, prototype
from fluke_async.abi.entry_point import Class, EntryPoint, Kind, Operand
from fluke_async.abi.markdown import table
from fluke_async.abi.restarts import restart_lines

CLASS_MEANING = {
    Class.TRIVIAL: "never sleeps and never faults",
    Class.SHORT: "never sleeps; after a fault it is done again whole",
    Class.LONG: "may sleep; interrupted, it is the same call",
    Class.MULTI_STAGE: "passes through several stages, each a call of its own, and may sleep in them",
}


def family(entry: EntryPoint) -> str:
    """The first word of a call's name, which names its page."""
    return entry.name.partition("_")[0]


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _meaning(entry: EntryPoint, operand: Operand) -> str:
    noun = (operand.type or entry.object_type).name.lower()
    match operand.kind:
        case Kind.OBJECT:
            return f"address of {_article(noun)}"
        case Kind.NEW_OBJECT:
            return f"address where {_article(noun)} is to be"
        case Kind.STATE_IN | Kind.STATE_OUT:
            assert entry.state is not None
            access = "read" if operand.kind is Kind.STATE_IN else "write"
            return f"address of a [`struct {entry.state.name}`](structures.md#{entry.state.name}) to {access}, or null"
        case Kind.STATUS:
            return "[status code](codes.md#status-codes)"
        case kind:
            return str(kind.value)


def _operands(title: str, entry: EntryPoint, operands: Sequence[Operand]) -> list[str]:
    if not operands:
        return []
    rows = [
        (f"`{registers.ABI_NAMES[operand.register]}`", f"`{operand.name}`", _meaning(entry, operand))
        for operand in operands
    ]
    return table(("register", title, "what it is"), rows)


def section(entry: EntryPoint) -> list[str]:
    """The lines about one call."""
    restarts = ", ".join(f"`{name}`" if name != entry.name else "itself" for name in entry.restarts_as)
    return [
        f"## {entry.name}",
        "",
        entry.summary,
        "",
        "```c",
        prototype(entry),
        "```",
        "",
        (
            f"Number `{entry.number:#x}`. Class *{entry.call_class.value}*: {CLASS_MEANING[entry.call_class]}. "
            f"Restarts as {restarts}. Costs {entry.cost} instructions."
        ),
        "",
        *_operands("argument", entry, entry.arguments),
        *_operands("result", entry, entry.results),
        *_outcomes(entry),
        *restart_lines(entry),
    ]


def _outcomes(entry: EntryPoint) -> list[str]:
    returned = [f"`FLUKE_{status.name}`" for status in outcomes.statuses(entry)]
    raised = [f"`{exception_name(code)}`" for code in outcomes.mistakes(entry)]
    has_status = any(result.kind is Kind.STATUS for result in entry.results)
    return [
        *([f"Returns {', '.join(returned)}.", ""] if has_status else []),
        *([f"Exceptions: {', '.join(raised)}.", ""] if raised else []),
    ]
