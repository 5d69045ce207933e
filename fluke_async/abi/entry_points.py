"""
The table of system calls: what the dispatcher, the tracer, the C stubs and the reference pages all read.

A call's class says how it can block: *trivial* and *short* calls never sleep (a short one may fault, and is then done
again whole), *long* calls may sleep and are restarted as themselves, *multi-stage* calls pass through states that are
valid calls of their own, named in `restarts_as`. `waits_on` says what a thread whose registers name the call may be
parked on, `has_points` whether it passes marked points, where it can be cut off between two steps of its work.

`cost` is the virtual cost in instructions, charged when the call completes; a multi-stage call pays `STAGE_COST` for
each stage besides, and everybody `CHUNK_COST` for each 8 KiB moved and `VISIT_COST` for each page looked at.
Classes are those of the OSDI '99 paper; numbers lie above Linux's range, so that foreign programs can be recognised.
"""

from __future__ import annotations

from fluke_async.abi import registers
from fluke_async.abi.codes import ObjectType
from fluke_async.abi.entry_point import Class, EntryPoint, Kind, Operand, Table
from fluke_async.abi.layout import Layout
from fluke_async.abi.layouts import (
    COND_STATE,
    MAPPING_STATE,
    MUTEX_STATE,
    OBSPEC,
    PORT_STATE,
    PORTSET_STATE,
    REGION_STATE,
    SPACE_STATE,
    THREAD_SAVED_STATE,
    THREAD_STATE,
)
from fluke_async.abi.message_calls import STATUS_RESULT, add_message_calls

STAGE_COST = 60
CHUNK_COST = 1024  # an instruction a word
VISIT_COST = 8  # a page looked at, which is one with objects if these are looked for, or a thing found
COMPLETION_COST = 40  # finishing another thread's call


def _in_order(*operands: tuple[str, Kind] | tuple[str, Kind, ObjectType]) -> tuple[Operand, ...]:
    """Arguments in a0, a1, ... in the order given."""
    return tuple(Operand(name, kind, registers.A0 + index, *rest) for index, (name, kind, *rest) in enumerate(operands))


_table = Table()


NOUNS = {"portset": "port set", "ref": "reference"}


def _common(
    prefix: str,
    object_type: ObjectType,
    state: Layout | None,
    links: tuple[str, ...],
    cost: int,
    *,
    referenced: bool = True,
) -> None:
    """The calls that every object has: create, create_hash, destroy, move, reference, get_state, set_state."""
    one, noun = (prefix, Kind.OBJECT, object_type), NOUNS.get(prefix, prefix)
    new = (prefix, Kind.NEW_OBJECT, object_type)
    references = tuple((f"{link}_ref", Kind.REFERENCE) for link in links)
    hash_result = Operand("hash", Kind.VALUE, registers.A1)
    add = _table.add
    add(f"{prefix}_create", Class.SHORT, object_type, _in_order(new), cost,
        f"Make a {noun} at an address of the caller's memory.", number=0, results=(STATUS_RESULT,))  # fmt: skip
    if state is not None:
        add(f"{prefix}_create_hash", Class.SHORT, object_type, _in_order(new, ("hash", Kind.VALUE)), cost,
            f"Make a {noun} with a chosen hash; 0 asks the kernel to choose.", number=1,
            results=(STATUS_RESULT, hash_result))  # fmt: skip
    add(f"{prefix}_destroy", Class.SHORT, object_type, _in_order(one), cost,
        f"End a {noun}" + "; references to it become invalid, who waits for it looks again" * referenced + ".",
        number=2)  # fmt: skip
    add(f"{prefix}_move", Class.SHORT, object_type,
        _in_order(one, ("new_address", Kind.NEW_OBJECT)), cost,
        f"Give a {noun} another address of the caller's memory.", number=3)  # fmt: skip
    if referenced:
        reference = ("ref", Kind.OBJECT, ObjectType.REF)
        add(f"{prefix}_reference", Class.SHORT, object_type, _in_order(one, reference), cost // 2,
            f"Make a reference refer to a {noun}.", number=4)  # fmt: skip
    if state is not None:
        add(f"{prefix}_get_state", Class.SHORT, object_type,
            _in_order(one, ("state", Kind.STATE_OUT), *references), cost,
            f"Read out a {noun}: bits into a structure, links into references.", number=5, state=state)  # fmt: skip
        add(f"{prefix}_set_state", Class.SHORT, object_type,
            _in_order(one, ("state", Kind.STATE_IN), *references), cost,
            f"Load a {noun}; a null pointer leaves that part as it is, a null reference clears the link.",
            number=6, state=state)  # fmt: skip


_common("thread", ObjectType.THREAD, THREAD_STATE,
        ("space", "scheduler", "waiting_for", "client", "server"), 300)  # fmt: skip
_table.add(
    "thread_interrupt", Class.SHORT, ObjectType.THREAD,
    _in_order(("thread", Kind.OBJECT, ObjectType.THREAD)), 100,
    "Post a software interrupt; it waits while the target's exceptions are disabled.", number=7,
)  # fmt: skip
_table.add(
    "thread_self", Class.TRIVIAL, ObjectType.THREAD, (), 20,
    "The address of the calling thread's object.", number=8,
    results=(Operand("thread", Kind.ADDRESS, registers.A0),),
)  # fmt: skip
_table.add(
    "thread_return_from_exception", Class.SHORT, ObjectType.THREAD, (), 60,
    "Reload the registers that were saved when a handler was entered, and enable exceptions.", number=9,
)  # fmt: skip
_SELF = ("thread", Kind.SELF, ObjectType.THREAD)
_HANDLERS = ("trap", "interrupt", "client_alert", "server_alert")
_table.add(
    "thread_get_handlers", Class.SHORT, ObjectType.THREAD, _in_order(_SELF), 40,
    "The calling thread's handlers; a null pointer leaves one out.", number=10,
    results=tuple(Operand(name, Kind.ADDRESS, registers.A1 + index) for index, name in enumerate(_HANDLERS)),
)  # fmt: skip
_table.add(
    "thread_set_handlers", Class.SHORT, ObjectType.THREAD,
    _in_order(_SELF, *((name, Kind.ADDRESS) for name in _HANDLERS)), 40,
    "Set the addresses where the calling thread takes its exceptions; 0: none.", number=11,
)  # fmt: skip
_table.add(
    "thread_enable_exceptions", Class.TRIVIAL, ObjectType.THREAD, _in_order(_SELF), 20,
    "Let the calling thread's exceptions come; an interrupt that has been put off is taken at once.", number=12,
)  # fmt: skip
_table.add(
    "thread_disable_exceptions", Class.TRIVIAL, ObjectType.THREAD, _in_order(_SELF), 20,
    "Put the calling thread's interrupts off; a mistake meanwhile stops the thread.", number=13,
)  # fmt: skip
_table.add(
    "thread_get_saved_state", Class.SHORT, ObjectType.THREAD, _in_order(_SELF, ("state", Kind.STATE_OUT)), 60,
    "The registers that were saved when the calling thread's handler was entered.", number=14,
    state=THREAD_SAVED_STATE,
)  # fmt: skip
_table.add(
    "thread_set_saved_state", Class.SHORT, ObjectType.THREAD, _in_order(_SELF, ("state", Kind.STATE_IN)), 60,
    "Change what the return from the handler will reload.", number=15, state=THREAD_SAVED_STATE,
)  # fmt: skip
_FLAGS = Operand("flags", Kind.VALUE, registers.A2)
for _number, _link, _peer in ((16, "client", "server"), (18, "server", "client")):
    _table.add(
        f"thread_get_{_link}", Class.SHORT, ObjectType.THREAD,
        _in_order(_SELF, (f"{_link}_ref", Kind.REFERENCE)), 60,
        f"The {_link} that the calling thread is connected to as a {_peer}, and which of the FLUKE_THREAD_* flags "
        f"of that connection are set.", number=_number, results=(_FLAGS,),
    )  # fmt: skip
    _table.add(
        f"thread_set_{_link}", Class.SHORT, ObjectType.THREAD,
        _in_order(_SELF, (f"{_link}_ref", Kind.REFERENCE), ("flags", Kind.VALUE)), 60,
        f"Make a thread the {_link} of the calling thread, or none. It counts where the {_link} says the same of the "
        f"{_peer}; so a thread can turn from one connection to another.", number=_number + 1,
    )  # fmt: skip
_table.add(
    "thread_set_server_entries", Class.SHORT, ObjectType.THREAD,
    _in_order(_SELF, *((name, Kind.ADDRESS) for name in ("sp", "oneway_pc", "idempotent_pc", "reliable_pc"))), 40,
    "Set where the calling thread goes on, and on which stack, when a message of a kind comes for which it waits; 0: "
    "the waiting call returns.", number=20,
)  # fmt: skip
_QUANTUM = Operand("quantum", Kind.VALUE, registers.A1)
_table.add(
    "thread_schedule", Class.LONG, ObjectType.THREAD,
    (*_in_order(("thread", Kind.OBJECT, ObjectType.THREAD)), _QUANTUM,
     Operand("sensitivity", Kind.VALUE, registers.A2)), 60,
    "Give a thread the caller's processor until it has used a quantum (FLUKE_SUCCESS), waits or stops, or is gone; or "
    "until somebody calls at the port set that the caller serves, with FLUKE_SCHEDULE_ON_REQUEST. What is left of the "
    "quantum is returned: it is signed, in instructions, and may be overdrawn by a system call.", number=21,
    results=(STATUS_RESULT, _QUANTUM), waits_on=(ObjectType.THREAD,),
)  # fmt: skip
_common("space", ObjectType.SPACE, SPACE_STATE, ("keeper",), 300)
_common("region", ObjectType.REGION, REGION_STATE, ("space", "keeper"), 200)
_REGION = ("region", Kind.OBJECT, ObjectType.REGION)
_table.add("region_protect", Class.SHORT, ObjectType.REGION, _in_order(_REGION, ("prot", Kind.VALUE)), 200,
           "Set the greatest access that the region gives, to all that was derived from it.", number=7)  # fmt: skip
_table.add("region_search", Class.MULTI_STAGE, ObjectType.REGION,
           _in_order(_REGION, ("offset", Kind.VALUE), ("size", Kind.VALUE), ("objects", Kind.STATE_OUT),
                     ("capacity", Kind.COUNT)), 100,
           "List the objects whose memory lies in a part of a region. If all fit, the offset has moved on by the size; "
           "else it is that of the first that does not, where to call again. What is left of the capacity is returned.",
           number=8, state=OBSPEC,
           results=(Operand("offset", Kind.VALUE, registers.A1), Operand("size_left", Kind.PROGRESS, registers.A2),
                    Operand("next", Kind.PROGRESS, registers.A3), Operand("capacity", Kind.COUNT, registers.A4)),
           )  # fmt: skip
_table.add("region_changed", Class.MULTI_STAGE, ObjectType.REGION,
           _in_order(_REGION, ("offset", Kind.VALUE), ("size", Kind.VALUE), ("offsets", Kind.WORDS_OUT),
                     ("capacity", Kind.COUNT), ("since", Kind.VALUE), ("generation", Kind.VALUE)), 100,
           "List the pages of a part of a region that were written since a generation, by their offsets; 0: all that "
           "there are. Begin with the generation 0: what is returned is given again when the call goes on after its "
           "list was full, and is the one since which the next round counts. A page may be listed that was not "
           "written.",
           number=9,
           results=(Operand("offset", Kind.VALUE, registers.A1), Operand("size_left", Kind.PROGRESS, registers.A2),
                    Operand("next", Kind.PROGRESS, registers.A3), Operand("capacity", Kind.COUNT, registers.A4),
                    Operand("generation", Kind.VALUE, registers.A6)),
           )  # fmt: skip
_common("mapping", ObjectType.MAPPING, MAPPING_STATE, ("region", "space"), 200, referenced=False)
_table.add("mapping_protect", Class.SHORT, ObjectType.MAPPING,
           _in_order(("mapping", Kind.OBJECT, ObjectType.MAPPING), ("prot", Kind.VALUE)), 200,
           "Set the access that the mapping asks for; the region's bounds it.", number=7)  # fmt: skip
_common("port", ObjectType.PORT, PORT_STATE, ("portset",), 150)
_common("portset", ObjectType.PORTSET, PORTSET_STATE, (), 150)
_common("mutex", ObjectType.MUTEX, MUTEX_STATE, ("owner",), 150)
_MUTEX = _in_order(("mutex", Kind.OBJECT, ObjectType.MUTEX))
_table.add("mutex_lock", Class.LONG, ObjectType.MUTEX, _MUTEX, 60,
           "Own a mutex; sleep until it is free.", number=7,
           waits_on=(ObjectType.MUTEX, ObjectType.COND))  # fmt: skip
_table.add("mutex_trylock", Class.SHORT, ObjectType.MUTEX, _MUTEX, 60,
           "Own a mutex if it is free.", number=8, results=(STATUS_RESULT,))  # fmt: skip
_table.add("mutex_unlock", Class.SHORT, ObjectType.MUTEX, _MUTEX, 60,
           "Give a mutex to the first who waits for it, or free it.", number=9)  # fmt: skip

_common("cond", ObjectType.COND, COND_STATE, ("inheritor",), 150)
_COND = ("cond", Kind.OBJECT, ObjectType.COND)
_table.add("cond_wait", Class.MULTI_STAGE, ObjectType.COND,
           _in_order(_COND, ("mutex", Kind.OBJECT, ObjectType.MUTEX)), 60,
           "Unlock a mutex, sleep until the condition is signalled, and lock the mutex again. It may return without a "
           "signal: wait in a loop.", number=7, restarts_as=("cond_wait", "mutex_lock"))  # fmt: skip
_table.add("cond_signal", Class.SHORT, ObjectType.COND, _in_order(_COND), 60,
           "Let the first who waits for the condition go on.", number=8)  # fmt: skip
_table.add("cond_broadcast", Class.SHORT, ObjectType.COND, _in_order(_COND), 60,
           "Let all go on that wait for the condition by now.", number=9, has_points=True)  # fmt: skip

_common("ref", ObjectType.REF, None, (), 100, referenced=False)
_table.add("ref_copy", Class.SHORT, ObjectType.REF,
           _in_order(("source", Kind.OBJECT, ObjectType.REF), ("destination", Kind.OBJECT, ObjectType.REF)), 60,
           "Make one reference refer to what another does.", number=7)  # fmt: skip
_table.add("ref_type", Class.SHORT, ObjectType.REF, _in_order(("ref", Kind.OBJECT, ObjectType.REF)), 40,
           "The type of what a reference refers to; FLUKE_NULL if nothing.", number=8,
           results=(Operand("type", Kind.VALUE, registers.A0),))  # fmt: skip
_table.add("ref_hash", Class.SHORT, ObjectType.REF, _in_order(("ref", Kind.OBJECT, ObjectType.REF)), 40,
           "The hash of what a reference refers to; 0 if nothing.", number=9,
           results=(Operand("hash", Kind.VALUE, registers.A0),))  # fmt: skip

_table.add("ref_check", Class.SHORT, ObjectType.REF, _in_order(("ref", Kind.OBJECT, ObjectType.REF)), 40,
           "1 if what a reference refers to is there; 0 if it is gone, or the reference null.", number=10,
           results=(Operand("valid", Kind.VALUE, registers.A0),))  # fmt: skip
_table.add("ref_compare", Class.SHORT, ObjectType.REF,
           _in_order(("ref", Kind.OBJECT, ObjectType.REF), ("other", Kind.OBJECT, ObjectType.REF)), 40,
           "1 if two references refer to the same object, or both to nothing that is there; else 0.", number=11,
           results=(Operand("same", Kind.VALUE, registers.A0),))  # fmt: skip

add_message_calls(_table)

ENTRY_POINTS: tuple[EntryPoint, ...] = tuple(_table.rows)
BY_NAME = {entry.name: entry for entry in ENTRY_POINTS}
BY_NUMBER = {entry.number: entry for entry in ENTRY_POINTS}
assert len(BY_NAME) == len(BY_NUMBER) == len(ENTRY_POINTS)
