"""
What each call can come to: the status codes that it returns, and the exceptions of the thread that makes it.

Both follow from what the call's operands are, from the steps of a conversation, and from two short tables of what is
special to a call. A status or an exception is counted for the call that the program made, whichever stage it had come
to by then.
"""

from __future__ import annotations

from fluke_async.abi.codes import ExceptionCode, ObjectType, Status
from fluke_async.abi.conversation import CONVERSATIONS, MOVES, State, Step
from fluke_async.abi.entry_point import EntryPoint, Kind
from fluke_async.abi.entry_points import ENTRY_POINTS

E = ExceptionCode
WRONG_TYPE: dict[ObjectType, ExceptionCode] = {
    type_: ExceptionCode(E.NO_OBJECT + type_) for type_ in ObjectType if type_ is not ObjectType.NULL
}
WRITTEN = ("destroy", "move", "set_state", "protect")
"""The last words of the calls that want to write their object's slot; all others want to read it."""

_OF_SLOT = (E.NOT_ALIGNED, E.OUT_OF_MEMORY)
_OF_REFERENCE = (*_OF_SLOT, E.LOAD_FAULT, E.NO_OBJECT, E.NOT_REF)
_OF_OPERAND: dict[Kind, tuple[ExceptionCode, ...]] = {
    Kind.OBJECT: (*_OF_SLOT, E.NO_OBJECT),
    Kind.NEW_OBJECT: (*_OF_SLOT, E.STORE_FAULT, E.OBJECT_EXISTS),
    Kind.REFERENCE: _OF_REFERENCE,
    Kind.STATE_IN: (E.LOAD_FAULT, E.OUT_OF_MEMORY),
    Kind.STATE_OUT: (E.STORE_FAULT, E.OUT_OF_MEMORY),
    Kind.WORDS_OUT: (E.NOT_ALIGNED, E.STORE_FAULT, E.OUT_OF_MEMORY),
    Kind.SELF: (E.NOT_CURRENT_THREAD,),
}
_OF_SIDE = (*_OF_REFERENCE, E.BUFFER_UNALIGNED, E.INVALID_MESSAGE)

SPECIAL: dict[str, tuple[ExceptionCode, ...]] = {
    "thread_destroy": (E.CURRENT_THREAD,),
    "thread_move": (E.CURRENT_THREAD,),
    "thread_get_state": (E.CURRENT_THREAD,),
    "thread_set_state": (
        *(E.CURRENT_THREAD, E.THREAD_RUNNING, E.HOST_THREAD, E.INVALID_STATE),
        *(E.NOT_SPACE_REF, E.NOT_PORT_REF, E.NOT_THREAD_REF),
    ),
    "thread_interrupt": (E.CURRENT_THREAD,),
    "thread_schedule": (E.CURRENT_THREAD, E.INVALID_STATE, E.NO_PORTSET, E.NOT_PORTSET),
    "thread_set_client": (E.NOT_THREAD_REF, E.CURRENT_THREAD, E.INVALID_STATE),
    "thread_set_server": (E.NOT_THREAD_REF, E.CURRENT_THREAD, E.INVALID_STATE),
    "space_set_state": (E.NOT_PORT_REF,),
    "region_set_state": (E.NOT_SPACE_REF, E.NOT_PORT_REF, E.NOT_ALIGNED, E.INVALID_ADDRESS, E.INVALID_PROT),
    "region_protect": (E.INVALID_PROT,),
    "region_search": (E.NOT_ALIGNED, E.INVALID_ADDRESS),
    "region_changed": (E.NOT_ALIGNED, E.INVALID_ADDRESS),
    "mapping_set_state": (
        *(E.NOT_REGION_REF, E.NOT_SPACE_REF, E.NOT_ALIGNED, E.INVALID_ADDRESS),
        *(E.INVALID_PROT, E.ADDRESS_OVERLAP),
    ),
    "mapping_protect": (E.INVALID_PROT,),
    "port_set_state": (E.NOT_PORTSET_REF,),
    "mutex_set_state": (E.NOT_THREAD_REF, E.INVALID_STATE),
    "mutex_lock": (E.MUTEX_LOCKED,),
    "mutex_trylock": (E.MUTEX_LOCKED,),
    "mutex_unlock": (E.MUTEX_NOT_OWNED,),
    "cond_set_state": (E.NOT_THREAD_REF, E.INVALID_STATE),
    "cond_wait": (E.MUTEX_NOT_OWNED,),
}
"""Exceptions beside those of the operands."""

STATUSES: dict[str, tuple[Status, ...]] = {
    "thread_schedule": (Status.THREAD_BLOCKED, Status.THREAD_GONE, Status.THREAD_REQUESTED),
    "mutex_trylock": (Status.MUTEX_HELD,),
    "ipc_send": (Status.INVALID_DEST,),
    "ipc_call": (Status.IPC_CONNECT_INVALID_DEST,),
    "ipc_client_alert": (Status.IPC_SEND_DISCONNECTED,),
    "ipc_server_alert": (Status.IPC_SEND_DISCONNECTED,),
}
"""Status codes beside SUCCESS of the calls that do not follow a rule."""

OF_FIRST_MESSAGE = (Status.IPC_RECV_DISCONNECTED, Status.IPC_RECV_MORE_DATA, Status.IPC_RECV_MORE_REFS)
"""What a receive on a connection can return; a wait for a message that accepts one ends with such a receive."""

_BY_NAME = {call.name: call for call in CONVERSATIONS}


def statuses(entry: EntryPoint) -> tuple[Status, ...]:
    """What a call returns; SUCCESS alone where it has no status for a result."""
    found = {Status.SUCCESS, *STATUSES.get(entry.name, ())}
    if entry.name.endswith("_create") or entry.name.endswith("_create_hash"):
        found.add(Status.NO_MEMORY)
    if waits_for_message(entry):
        found.update(OF_FIRST_MESSAGE)
    call = _BY_NAME.get(entry.name)
    if call is not None:
        for step in call.steps:
            if step is Step.CONNECT:
                found.add(Status.IPC_CONNECT_INVALID_DEST)
                continue
            outcome = MOVES[State.NONE, step]
            assert isinstance(outcome, Status)
            found.add(outcome)
            if step is Step.RECEIVE:
                found.update(OF_FIRST_MESSAGE)
    return tuple(sorted(found))


def mistakes(entry: EntryPoint) -> tuple[ExceptionCode, ...]:
    """The exceptions that a call of a program can bring upon its thread."""
    found = set(SPECIAL.get(entry.name, ()))
    written = entry.name.endswith(WRITTEN)
    for index, operand in enumerate(entry.arguments):
        found.update(_OF_OPERAND.get(operand.kind, ()))
        if operand.kind is Kind.OBJECT:
            found.add(WRONG_TYPE[operand.type])
            found.add(E.STORE_FAULT if written and not index else E.LOAD_FAULT)
    if entry.is_message:
        found.update(_OF_SIDE)
        if any(argument.name == "receive_buffer" for argument in entry.arguments):
            found.add(E.STORE_FAULT)
    if waits_for_message(entry) and entry.name != "ipc_setup_wait_receive":
        found.add(E.NO_PORTSET)
    if waits_for_message(entry):
        found.add(E.NOT_PORTSET)
    call = _BY_NAME.get(entry.name)
    if call is not None:
        found.update(move for state in State if isinstance(move := MOVES[state, call.steps[0]], ExceptionCode))
    return tuple(sorted(found))


def waits_for_message(entry: EntryPoint) -> bool:
    """Whether the call ends with a wait for a message of any kind."""
    return "ipc_wait_receive" in entry.restarts_as


assert {entry.name for entry in ENTRY_POINTS} >= {*SPECIAL, *STATUSES}
