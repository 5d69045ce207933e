"""Small worlds of messages. See `small_worlds`."""

from __future__ import annotations

from fluke_async.abi.codes import Status
from tests.kernel.messages import Service
from tests.verify.small_worlds import HANDLER, LONG, Judge, Stage, World, breath, wrong


def two_clients_come_to_a_server(machine: Stage) -> Judge:
    """None of the three is there before."""
    service = Service(machine)
    service.server()
    clients = [service.client([number]) for number in (10, 20)]

    def judge() -> str:
        answered = [machine.word(received) for _, received in clients] == [11, 21]
        return wrong(done=machine.done(*(client for client, _ in clients)), answered=answered)

    return judge


def interrupted(machine: Stage, words: int, reply_words: int) -> Judge:
    """A call under way is interrupted by another thread, and made again."""
    service, hits = Service(machine), machine.buffer(1)
    service.server(room=words, reply_words=reply_words)
    machine.run()
    client, received = service.client(
        list(range(5, 5 + words)),
        room=reply_words,
        parts=[
            ("jump", "end"),
            HANDLER,
            ("load", "s6", "zero", hits),
            ("add", "s6", "s6", 1),
            machine.keep("s6", hits),
            machine.bare_call("thread_return_from_exception"),
            "end",
        ],
        interrupt_handler=HANDLER,
    )
    other = machine.spawn(machine.call("thread_interrupt", thread=client))

    def judge() -> str:
        taken = machine.word(hits) == (0 if machine.now(client).pending else 1)  # it may have come when all was over
        rest = list(range(6, 5 + min(words, reply_words)))
        arrived = machine.read(received, 1 + len(rest)) == [6, *rest]
        whole = machine.register(client, "t6") == reply_words
        return wrong(done=machine.done(client, other), taken=taken, arrived=arrived, whole=whole)

    return judge


def a_long_request_is_interrupted(machine: Stage) -> Judge:
    return interrupted(machine, LONG, 1)


def a_long_reply_is_interrupted(machine: Stage) -> Judge:
    return interrupted(machine, 1, LONG)


def a_connection_beside_a_bystander(machine: Stage) -> Judge:
    """A long message and a short answer on a reliable connection."""
    service = Service(machine)
    sent, arrived, answer, answered = machine.buffer(range(LONG)), machine.buffer(LONG), machine.buffer([9]), 0
    answered = machine.buffer(1)
    server = machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=service.portset, receive_buffer=arrived, receive_words=LONG),
        machine.call("ipc_server_ack_send", send_buffer=answer, send_words=1),
        machine.call("ipc_server_disconnect"),
    )
    machine.run()
    client = machine.spawn(
        machine.call(
            "ipc_client_connect_send_over_receive",
            destination_ref=service.reference,
            send_buffer=sent,
            send_words=LONG,
            receive_buffer=answered,
            receive_words=2,
        ),
    )
    bystander = machine.spawn(breath(machine))

    def judge() -> str:
        return wrong(
            done=machine.done(client, server, bystander),
            arrived=machine.read(arrived, LONG) == list(range(LONG)),
            answered=machine.read(answered) == [9] and machine.register(client, "t6") == 1,
            status=machine.register(client, "a0") == Status.IPC_RECV_DISCONNECTED,
        )

    return judge


WORLDS = tuple(
    World(make)
    for make in (
        two_clients_come_to_a_server,
        a_long_request_is_interrupted,
        a_long_reply_is_interrupted,
        a_connection_beside_a_bystander,
    )
)
