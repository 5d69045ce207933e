"""Tables of buffers and references that lie, lengths that no memory has, and buffers that lie in each other."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PAGE_SIZE, USER_END, WORD_SIZE, ExceptionCode, Status
from fluke_async.abi.registers import PROGRESS_WORDS, SEND_BUFFER_COUNT
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import UNMAPPED, Machine, Part
from tests.kernel.messages import Service

END = 1 << 64
LOAD, STORE = ExceptionCode.LOAD_FAULT, ExceptionCode.STORE_FAULT
UNALIGNED, INVALID = ExceptionCode.BUFFER_UNALIGNED, ExceptionCode.INVALID_MESSAGE
NO_OBJECT = ExceptionCode.NO_OBJECT
CALLS = {  # what sends, and what receives it
    "one-way": ("ipc_send", "ipc_setup_wait_receive"),
    "idempotent": ("ipc_call", "ipc_setup_wait_receive"),
    "reliable": ("ipc_client_connect_send", "ipc_setup_wait_receive"),
}
each_kind = pytest.mark.parametrize("kind", CALLS)
each_order = pytest.mark.parametrize("sender_first", [True, False], ids=["sender first", "receiver first"])


def exchange(
    machine: Machine, kind: str, sends: dict[str, int], receives: dict[str, int], *, sender_first: bool = False
) -> tuple[Thread, Thread, Service]:
    """A sender and a receiver, of which the second finds the first waiting."""
    service = Service(machine)
    send, receive = CALLS[kind]
    parts: list[list[Part]] = [
        [machine.call(send, destination_ref=service.reference, **sends), machine.call("ipc_client_disconnect")],
        [machine.call(receive, portset=service.portset, **receives), machine.call("ipc_reply")],
    ]
    threads: list[Thread | None] = [None, None]
    for number in (0, 1) if sender_first else (1, 0):
        threads[number] = machine.spawn(*parts[number])
        machine.run()
    sender, receiver = threads
    assert sender is not None
    assert receiver is not None
    return sender, receiver, service


def table(machine: Machine, words: Iterable[int]) -> int:
    return machine.buffer(list(words))


# -- what is said of one side ------------------------------------------------------------------------------------------

LIES: dict[str, tuple[dict[str, int], ExceptionCode | None]] = {
    "one word at the end of the address space": ({"buffer": END - 8, "words": 1}, LOAD),
    "a buffer over the end of the address space": ({"buffer": END - 8, "words": 2}, LOAD),
    "a buffer over the end of what is the user's": ({"buffer": USER_END - 8, "words": 2}, LOAD),
    "a length of 2^63": ({"buffer": 0, "words": 1 << 63}, INVALID),
    "a length of 2^64 - 1": ({"buffer": 0, "words": END - 1}, INVALID),
    "a length whose bytes wrap": ({"buffer": 0, "words": (1 << 61) + 1}, INVALID),
    "an odd buffer of no words": ({"buffer": 3, "words": 0}, UNALIGNED),
    "no words nowhere": ({"buffer": UNMAPPED, "words": 0}, None),
    "no words at the end": ({"buffer": END - 8, "words": 0}, None),
    "no buffers in a table nowhere": ({"buffer_table": UNMAPPED + 4, "buffer_count": 0}, None),
    "a table nowhere": ({"buffer_table": UNMAPPED, "buffer_count": 1}, LOAD),
    "an odd table": ({"buffer_table": UNMAPPED + 1, "buffer_count": 1}, UNALIGNED),
    "a table over the end of the address space": ({"buffer_table": END - 8, "buffer_count": 1}, LOAD),
    "a table that ends with the address space": ({"buffer_table": END - 16, "buffer_count": 1}, LOAD),
    "too many buffers": ({"buffer_table": UNMAPPED, "buffer_count": 256}, INVALID),
    "2^64 - 1 buffers": ({"buffer_table": UNMAPPED, "buffer_count": END - 1}, INVALID),
    "an odd table of references": ({"ref_table": UNMAPPED + 2, "ref_count": 1}, UNALIGNED),
    "too many references": ({"ref_table": UNMAPPED, "ref_count": 256}, INVALID),
    "2^64 - 1 references": ({"ref_table": UNMAPPED, "ref_count": END - 1}, INVALID),
    "no references in an odd table": ({"ref_table": UNMAPPED + 1, "ref_count": 0}, None),
}


@pytest.mark.parametrize("verb", ["send", "receive"])
@pytest.mark.parametrize("lie", LIES)
def test_lie_in_a_register_is_ones_own_mistake_before_anything_happens(machine: Machine, verb: str, lie: str) -> None:
    operands, code = LIES[lie]
    operands = {f"{verb}_{name}": word for name, word in operands.items()}
    service = Service(machine)
    server = service.server()
    machine.run()
    result = machine.invoke("ipc_call", destination_ref=service.reference, **operands)
    faults_at_words = verb == "receive" and code is LOAD and "table" not in lie
    assert result.exception is (STORE if faults_at_words else code)
    if code is not None:
        assert machine.stage(server) == "ipc_wait_receive"
    assert server.waiting_for is service.portset


@pytest.mark.parametrize("verb", ["send", "receive"])
@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ((1, UNMAPPED), LOAD),
        ((1, END - 8), LOAD),
        ((2, END - 8), LOAD),
        ((1, 4), UNALIGNED),
        ((0, 4), UNALIGNED),
        ((1 << 63, 8), INVALID),
        ((END - 1, 0), INVALID),
        ((0, UNMAPPED), None),
    ],
)
def test_lie_in_a_table_is_ones_own_mistake(
    machine: Machine, entry: tuple[int, int], code: ExceptionCode | None, verb: str
) -> None:
    service = Service(machine)
    server = service.server()
    machine.run()
    operands = {f"{verb}_buffer_table": table(machine, (*entry, *entry)), f"{verb}_buffer_count": 2}
    result = machine.invoke("ipc_call", destination_ref=service.reference, **operands)
    assert result.exception is (STORE if verb == "receive" and code is LOAD else code)
    assert server.waiting_for is service.portset


@each_kind
@each_order
@pytest.mark.parametrize("verb", ["send", "receive"])
@pytest.mark.parametrize(
    ("place", "code"),
    [("nowhere", LOAD), ("over the end", LOAD), ("no object", NO_OBJECT), ("mutex", ExceptionCode.NOT_REF)],
)
def test_table_of_references_that_lies_is_its_owners_mistake(
    machine: Machine, kind: str, verb: str, place: str, code: ExceptionCode, sender_first: bool
) -> None:
    """It is read when references pass, so the other end goes on to somebody else, or is disconnected."""
    good = table(machine, [machine.addresses[machine.reference()]])
    bad = {
        "nowhere": UNMAPPED,
        "over the end": END - 8,
        "no object": table(machine, [machine.slot()]),
        "mutex": table(machine, [machine.addresses[machine.new(Mutex)]]),
    }[place]
    tables = {"send": bad if verb == "send" else good, "receive": bad if verb == "receive" else good}
    sends, receives = ({f"{each}_ref_table": tables[each], f"{each}_ref_count": 1} for each in ("send", "receive"))
    sender, receiver, service = exchange(machine, kind, sends, receives, sender_first=sender_first)
    guilty, other = (sender, receiver) if verb == "send" else (receiver, sender)
    assert machine.failure(guilty) is code
    assert machine.failure(other) is None
    machine.invoke("thread_destroy", thread=guilty)
    if other is sender:
        service.server(parts=())
    elif kind != "reliable":
        service.client([1])
    machine.run()
    assert machine.done(other) or (kind == "reliable" and other is receiver)
    assert other.waiting_for is None


# -- a table that changes, or is written over --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["idempotent", "reliable"])
def test_table_that_changes_between_chunks_counts_as_it_is_then(machine: Machine, kind: str) -> None:
    """A sender shares its table with somebody who makes it lie when the first chunk has moved."""
    words = 3 * COPY_CHUNK_WORDS
    entry = table(machine, [words, machine.buffer(words)])
    sends = {"send_buffer_table": entry, "send_buffer_count": 1}
    receives = {"receive_buffer": machine.buffer(words), "receive_words": words}
    service = Service(machine)
    server = machine.spawn(machine.call("ipc_setup_wait_receive", portset=service.portset, **receives))
    machine.run()
    client = machine.spawn(machine.call(CALLS[kind][0], destination_ref=service.reference, **sends))
    while not server.registers[PROGRESS_WORDS]:
        machine.step()
    if kind == "reliable":  # the registers have moved on to what is left of that buffer, and need the table no more
        assert client.registers[SEND_BUFFER_COUNT] == 0
    machine.write(entry, [words, UNMAPPED])
    machine.run()
    assert machine.failure(client) is (LOAD if kind == "idempotent" else None)
    assert (server.waiting_for is service.portset) == (kind == "idempotent")


@pytest.mark.parametrize(("kind", "shrunk"), [("idempotent", 0), ("idempotent", 5), ("idempotent", COPY_CHUNK_WORDS)])
def test_table_that_shrinks_below_what_has_moved_ends_the_message(machine: Machine, kind: str, shrunk: int) -> None:
    words = 3 * COPY_CHUNK_WORDS
    entry = table(machine, [words, machine.buffer(words)])
    service = Service(machine)
    room = machine.buffer(words)
    server = machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=service.portset, receive_buffer=room, receive_words=words),
        ("add", "s3", "t6", 0),
        machine.call("ipc_reply"),
    )
    machine.run()
    client = machine.spawn(
        machine.call("ipc_call", destination_ref=service.reference, send_buffer_table=entry, send_buffer_count=1)
    )
    while not server.registers[PROGRESS_WORDS]:
        machine.step()
    machine.write(entry, [shrunk])
    machine.run()
    assert machine.done(client, server)
    assert machine.register(server, "s3") == shrunk


@each_kind
@each_order
def test_receiver_that_receives_over_its_own_table(machine: Machine, kind: str, sender_first: bool) -> None:
    """The buffer that the table names is the table: it is what it was while the first chunk moves."""
    words = 2 * COPY_CHUNK_WORDS if kind != "one-way" else 8
    entry = machine.buffer(words + 2)
    machine.write(entry, [words, entry])
    sent = machine.buffer([*range(500, 500 + 8), *[0] * (words - 8)])
    receives = {"receive_buffer_table": entry, "receive_buffer_count": 1}
    sends = {"send_buffer": sent, "send_words": words}
    sender, receiver, service = exchange(machine, kind, sends, receives, sender_first=sender_first)
    assert machine.read(entry, 8) == list(range(500, 508))
    if kind == "idempotent":  # the table was read again for the second chunk, and says what the client wrote there
        assert machine.failure(receiver) is UNALIGNED
        assert sender.waiting_for is service.port
    else:
        assert machine.done(sender)


@each_order
def test_references_received_over_the_table_that_names_them(machine: Machine, sender_first: bool) -> None:
    """The words of a message are the receiver's table of references by then: they are addresses, and are followed."""
    mark, slot = machine.new(Mutex), machine.reference()
    given = table(machine, [machine.addresses[machine.reference(mark)]])
    place = machine.buffer([UNMAPPED])
    sends = {"send_buffer": table(machine, [machine.addresses[slot]]), "send_words": 1}
    sends |= {"send_ref_table": given, "send_ref_count": 1}
    receives = {"receive_buffer": place, "receive_words": 1, "receive_ref_table": place, "receive_ref_count": 1}
    sender, receiver, _ = exchange(machine, "idempotent", sends, receives, sender_first=sender_first)
    assert machine.done(sender, receiver)
    assert slot.target is mark


# -- memory that two buffers share -------------------------------------------------------------------------------------


def moved_by_chunks(words: list[int], source: int, target: int, count: int) -> list[int]:
    """What is in memory when chunks move one by one, each read whole before it is written, page by page."""
    words, page = words[:], PAGE_SIZE // WORD_SIZE
    for first in range(0, count, page):
        some = min(page, count - first)
        words[target + first : target + first + some] = words[source + first : source + first + some]
    return words


@pytest.mark.parametrize("kind", ["idempotent", "reliable"])
@each_order
@pytest.mark.parametrize("distance", [0, 512, -512, 1024, -1024, 4096])
def test_buffers_of_both_ends_in_the_same_memory_move_chunk_by_chunk(
    machine: Machine, kind: str, distance: int, sender_first: bool
) -> None:
    count, whole = 3 * COPY_CHUNK_WORDS, 3 * COPY_CHUNK_WORDS + 4096
    before = list(range(1000, 1000 + whole))
    memory = machine.buffer(whole)
    machine.write(memory, before)
    source, target = max(0, -distance), max(0, distance)
    sends = {"send_buffer": memory + 8 * source, "send_words": count}
    receives = {"receive_buffer": memory + 8 * target, "receive_words": count}
    sender, receiver, _ = exchange(machine, kind, sends, receives, sender_first=sender_first)
    assert machine.done(sender, receiver)
    assert machine.read(memory, whole) == moved_by_chunks(before, source, target, count)


@pytest.mark.parametrize("distance", [1, -1, 7])
def test_chunk_that_overlaps_itself_within_a_page_moves_as_it_was(machine: Machine, distance: int) -> None:
    memory = machine.buffer(range(1000, 1100))
    source, target = max(0, -distance), max(0, distance)
    sends = {"send_buffer": memory + 8 * source, "send_words": 50}
    receives = {"receive_buffer": memory + 8 * target, "receive_words": 50}
    sender, _, _ = exchange(machine, "one-way", sends, receives)
    assert machine.register(sender, "a0") == Status.SUCCESS
    assert machine.read(memory + 8 * target, 50) == list(range(1000 + source, 1050 + source))


@each_kind
@each_order
def test_buffers_in_the_slots_of_objects_hurt_no_object(machine: Machine, kind: str, sender_first: bool) -> None:
    """The bytes of a slot are not the object: they can be sent and received over while it is used."""
    service = Service(machine)
    mutex, slot = machine.new(Mutex), machine.reference()
    begin = machine.addresses[service.portset]
    target = machine.addresses[service.reference]
    receives = {"receive_buffer": begin, "receive_words": 40}
    receives |= {"receive_ref_table": table(machine, [machine.addresses[slot]]), "receive_ref_count": 1}
    assert begin + 40 * WORD_SIZE > machine.addresses[slot]
    given = table(machine, [machine.addresses[machine.reference(mutex)]])
    sends = {"send_buffer": target, "send_words": 40, "send_ref_table": given, "send_ref_count": 1}
    calls = [
        [machine.call(CALLS[kind][0], destination_ref=service.reference, **sends)],
        [machine.call("ipc_setup_wait_receive", portset=service.portset, **receives), machine.call("ipc_reply")],
    ]
    threads = []
    for parts in calls if sender_first else calls[::-1]:
        threads.append(machine.spawn(*parts))
        machine.run()
    sender = threads[0 if sender_first else 1]
    assert machine.done(sender)
    assert slot.target is mutex
    assert machine.invoke("mutex_trylock", mutex=mutex).status == Status.SUCCESS


@each_order
def test_two_buffers_of_a_receiver_that_are_one(machine: Machine, sender_first: bool) -> None:
    """The second part is written over the first."""
    place = machine.buffer(4)
    sends = {"send_buffer": table(machine, [1, 2, 3, 4]), "send_words": 4}
    receives = {"receive_buffer": place, "receive_words": 2}
    receives |= {"receive_buffer_table": table(machine, [2, place]), "receive_buffer_count": 1}
    sender, receiver, _ = exchange(machine, "idempotent", sends, receives, sender_first=sender_first)
    assert machine.done(sender, receiver)
    assert machine.read(place, 4) == [3, 4, 0, 0]
