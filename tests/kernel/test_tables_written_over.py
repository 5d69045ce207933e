"""A message that is received over the very table that says where it is to be received."""

from __future__ import annotations

from fluke_async.abi.codes import WORD_SIZE, Status
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from tests.kernel.machine import Machine, Value

WORDS = 6  # of the message: the buffer in registers has room for two, which are the table; the table for the rest


def over_table(machine: Machine) -> dict[str, Value]:
    """Operands that receive a message over the one entry of their table."""
    rest = machine.buffer(WORDS)
    table = machine.buffer([WORDS, rest])
    return {
        "receive_buffer": table,
        "receive_words": 2,
        "receive_buffer_table": table,
        "receive_buffer_count": 1,
    }


def message(machine: Machine) -> dict[str, Value]:
    """What is sent: words that are, as an entry of a table, an empty buffer."""
    return {"send_buffer": machine.buffer([0, 8 * WORD_SIZE, 3, 4, 5, 6]), "send_words": WORDS}


def test_request_over_the_server_s_table(machine: Machine) -> None:
    portset, port = machine.new(Portset), machine.new(Port)
    machine.load(port, {"alias": 0}, portset=portset)
    server = machine.spawn(machine.call("ipc_setup_wait_receive", portset=portset, **over_table(machine)))
    destination = machine.reference(port)
    machine.spawn(machine.call("ipc_call", destination_ref=destination, **message(machine)))
    machine.run()
    assert machine.done(server)
    assert (machine.register(server, "a0"), machine.register(server, "t6")) == (Status.SUCCESS, WORDS)


def test_reply_over_the_client_s_table(machine: Machine) -> None:
    portset, port = machine.new(Portset), machine.new(Port)
    machine.load(port, {"alias": 0}, portset=portset)
    take = machine.call("ipc_setup_wait_receive", portset=portset)
    machine.spawn(take, machine.call("ipc_reply", **message(machine)))
    client = machine.spawn(machine.call("ipc_call", destination_ref=machine.reference(port), **over_table(machine)))
    machine.run()
    assert machine.done(client)
    assert (machine.register(client, "a0"), machine.register(client, "t6")) == (Status.SUCCESS, WORDS)
