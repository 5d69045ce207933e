"""
The calls that transfer messages: their rows of the table of system calls.

Those of reliable connections are made from the steps of `conversation`; the others are named one by one.
"""

from __future__ import annotations

from fluke_async.abi import registers
from fluke_async.abi.codes import ObjectType
from fluke_async.abi.conversation import CONVERSATIONS, Conversation, Role, Step
from fluke_async.abi.entry_point import Class, Kind, Operand, Table
from fluke_async.abi.layouts import IPC_PARAMS

STATUS_RESULT = Operand("status", Kind.STATUS, registers.STATUS)
_DESTINATION = Operand("destination_ref", Kind.OBJECT, registers.DESTINATION, ObjectType.REF)
_SEND = (
    Operand("send_buffer", Kind.ADDRESS, registers.SEND_BUFFER),
    Operand("send_words", Kind.WORDS, registers.SEND_WORDS),
    Operand("send_ref_table", Kind.ADDRESS, registers.SEND_REFERENCES),
    Operand("send_ref_count", Kind.COUNT, registers.SEND_REFERENCE_COUNT),
    Operand("send_buffer_table", Kind.ADDRESS, registers.SEND_BUFFER_TABLE),
    Operand("send_buffer_count", Kind.COUNT, registers.SEND_BUFFER_COUNT),
)
_RECEIVE = (
    Operand("receive_buffer", Kind.ADDRESS, registers.RECEIVE_BUFFER),
    Operand("receive_words", Kind.WORDS, registers.RECEIVE_WORDS),
    Operand("receive_ref_table", Kind.ADDRESS, registers.RECEIVE_REFERENCES),
    Operand("receive_ref_count", Kind.COUNT, registers.RECEIVE_REFERENCE_COUNT),
    Operand("receive_buffer_table", Kind.ADDRESS, registers.RECEIVE_BUFFER_TABLE),
    Operand("receive_buffer_count", Kind.COUNT, registers.RECEIVE_BUFFER_COUNT),
)
_PROGRESS = (Operand("progress_words", Kind.WORDS, registers.PROGRESS_WORDS),)
_RECEIVED = (
    Operand("receive_buffer", Kind.ADDRESS, registers.RECEIVE_BUFFER),
    Operand("receive_words", Kind.WORDS, registers.RECEIVE_WORDS),
    Operand("receive_ref_table", Kind.ADDRESS, registers.RECEIVE_REFERENCES),
    Operand("receive_ref_count", Kind.COUNT, registers.RECEIVE_REFERENCE_COUNT),
    Operand("words_received", Kind.WORDS, registers.PROGRESS_WORDS),
)
_FROM_PORTSET = (
    Operand("port_alias", Kind.VALUE, registers.PORT_ALIAS),
    Operand("message_kind", Kind.VALUE, registers.MESSAGE_KIND),
)
_STEP_ARGUMENTS = {
    Step.CONNECT: (_DESTINATION,),
    Step.SEND: _SEND,
    Step.RECEIVE: (*_RECEIVE, *_PROGRESS),
}
_STEP_WAITS = {Step.CONNECT: ObjectType.PORT}
_STEP_SUMMARY = {
    Step.CONNECT: "find a server and become the sender of a new connection (one that there was is ended)",
    Step.SEND: "send",
    Step.OVER: "offer the other end the sender's place, and wait until it takes it",
    Step.ACK: "take the sender's place as soon as it is offered (what is still sent is thrown away)",
    Step.RECEIVE: "receive until the message is whole or the room is full",
}
_CONVERSATION_BY_NAME = {call.name: call for call in CONVERSATIONS}
IPC_BLOCK = 10  # the calls of chapter "IPC" act on threads, but are numbered apart


def _message(
    table: Table,
    name: str,
    call_class: Class,
    arguments: tuple[Operand, ...],
    results: tuple[Operand, ...],
    number: int,
    summary: str,
    restarts_as: tuple[str, ...] = (),
    waits_on: tuple[ObjectType, ...] = (),
    has_points: bool = False,
) -> None:
    table.add(name, call_class, ObjectType.THREAD, arguments, 120, summary, number=number, block=IPC_BLOCK,
               results=(STATUS_RESULT, *results), restarts_as=restarts_as,
               state=IPC_PARAMS, is_message=True, waits_on=waits_on, has_points=has_points)  # fmt: skip


def _conversation(table: Table, call: Conversation, number: int) -> None:
    """A call on a reliable connection, from its steps."""
    arguments = [operand for step in call.steps for operand in _STEP_ARGUMENTS.get(step, ())]
    results: tuple[Operand, ...] = _RECEIVED if Step.RECEIVE in call.steps else ()
    stages = [call.name]
    rest = call
    while rest.rest in _CONVERSATION_BY_NAME:
        rest = _CONVERSATION_BY_NAME[rest.rest]
        stages.append(rest.name)
    text = ", then ".join(_STEP_SUMMARY[step] for step in call.steps)
    if call.waits:
        arguments += [*_RECEIVE, *_PROGRESS]
        results = (*_RECEIVED, *_FROM_PORTSET)
        stages += ["ipc_wait_receive", "ipc_request_receive"]
        text += ", then end the connection and wait for the next message"
    first = call.steps[0]
    _message(
        table,
        call.name,
        Class.LONG if len(stages) == 1 else Class.MULTI_STAGE,
        tuple(arguments),
        results,
        number,
        f"On a reliable connection, as its {call.role.value}: {text}.",
        tuple(stages),
        waits_on=(_STEP_WAITS.get(first, ObjectType.THREAD),),
        has_points=first in (Step.SEND, Step.RECEIVE),
    )


def add_message_calls(table: Table) -> None:
    """Add the rows of all calls that transfer messages, and of those that end or disturb a connection."""
    _message(table, "ipc_send", Class.LONG, (_DESTINATION, *_SEND), (), 0,
             "Send a one-way message: at most once, unordered.", waits_on=(ObjectType.PORT,))  # fmt: skip
    _message(table, "ipc_call", Class.LONG, (_DESTINATION, *_SEND, *_RECEIVE, *_PROGRESS), _RECEIVED, 1,
             "Send an idempotent request and wait for its reply: at least once; what does not fit is cut off.",
             waits_on=(ObjectType.PORT, ObjectType.THREAD), has_points=True)  # fmt: skip
    _message(table, "ipc_reply", Class.LONG, (*_SEND, *_PROGRESS), (), 2,
             "Answer the idempotent request being served; nothing happens if there is none.",
             waits_on=(ObjectType.THREAD,), has_points=True)  # fmt: skip
    _message(table, "ipc_reply_wait_receive", Class.MULTI_STAGE, (*_SEND, *_RECEIVE, *_PROGRESS),
             (*_RECEIVED, *_FROM_PORTSET), 3,
             "Answer the idempotent request being served, then wait for the next message.",
             ("ipc_reply_wait_receive", "ipc_wait_receive", "ipc_request_receive"), waits_on=(ObjectType.THREAD,),
             has_points=True)  # fmt: skip
    _message(table, "ipc_setup_wait_receive", Class.MULTI_STAGE,
             (Operand("portset", Kind.OBJECT, registers.DESTINATION, ObjectType.PORTSET), *_RECEIVE, *_PROGRESS),
             (*_RECEIVED, *_FROM_PORTSET), 4,
             "Name the port set that the calling thread serves, then wait for a message.",
             ("ipc_setup_wait_receive", "ipc_wait_receive", "ipc_request_receive"))  # fmt: skip
    _message(table, "ipc_wait_receive", Class.MULTI_STAGE, (*_RECEIVE, *_PROGRESS), (*_RECEIVED, *_FROM_PORTSET), 5,
             "Wait for a message of any kind on the port set that the calling thread serves.",
             ("ipc_wait_receive", "ipc_request_receive"), waits_on=(ObjectType.PORTSET,))  # fmt: skip
    _message(table, "ipc_request_receive", Class.MULTI_STAGE, (*_RECEIVE, *_PROGRESS), (*_RECEIVED, *_FROM_PORTSET), 6,
             "Receive what remains of the message of the connected client.",
             ("ipc_request_receive", "ipc_wait_receive"), waits_on=(ObjectType.THREAD,), has_points=True)  # fmt: skip
    for number, call in enumerate(CONVERSATIONS, 16):
        _conversation(table, call, number)
    for number, role in enumerate(Role, 8):
        table.add(f"ipc_{role.value}_disconnect", Class.SHORT, ObjectType.THREAD, (), 100,
                   f"End the reliable connection of which the calling thread is the {role.value}, if there is one.",
                   number=number, block=IPC_BLOCK)  # fmt: skip
    for number, role in enumerate(Role, 10):
        table.add(f"ipc_{role.value}_alert", Class.SHORT, ObjectType.THREAD, (), 100,
                   f"Post an alert to the other end of the reliable connection of which the calling thread is the "
                   f"{role.value}; it waits while the target's exceptions are disabled.",
                   number=number, block=IPC_BLOCK, results=(STATUS_RESULT,))  # fmt: skip
