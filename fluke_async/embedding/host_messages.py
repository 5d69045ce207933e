"""
Messages of a host thread: calls of ports, and requests that come to its own.

A message is bytes in whole words, the last one filled up with zeros, and references. What is longer than the room that
its receiver has is cut off.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from fluke_async.abi.codes import MAX_MESSAGE_REFERENCES, WORD_SIZE, MessageKind
from fluke_async.embedding.host_memory import Room
from fluke_async.embedding.host_objects import HostPort, HostReference, Named
from fluke_async.errors import FlukeError

if TYPE_CHECKING:
    from fluke_async.embedding.host_context import HostContext, Operand
    from fluke_async.embedding.system_call import SystemCallResult

Data = bytes | Sequence[int]
"""What is sent: bytes, or 64-bit words."""


@dataclass(frozen=True, slots=True)
class Message:
    """What has been received; the references belong to the receiver, which may `release` them."""

    data: bytes
    references: tuple[HostReference, ...]

    @property
    def words(self) -> tuple[int, ...]:
        """The data as 64-bit words."""
        return tuple(memoryview(self.data).cast("Q"))


class Request:
    """A message that came to a port, to be answered before the next one is taken."""

    def __init__(self, messenger: Messenger, message: Message, kind: int) -> None:
        self._messenger = messenger
        self._message = message
        self.is_one_way = kind == MessageKind.ONE_WAY

    @property
    def data(self) -> bytes:
        """What it says."""
        return self._message.data

    @property
    def words(self) -> tuple[int, ...]:
        """The same as 64-bit words."""
        return self._message.words

    @property
    def references(self) -> tuple[HostReference, ...]:
        """The references that came with it; they belong to the host thread, which may `release` them."""
        return self._message.references

    async def reply(self, data: Data = b"", references: Sequence[Named] = ()) -> None:
        """
        Answer. The client may have gone; then, and for a one-way message, nothing happens.

        If this is cancelled, the request can be answered again.

        Raises:
            FlukeError: it has been answered, or the next request was taken.
        """
        await self._messenger.reply(self, data, references)


class Requests:
    """
    The requests that come to a port, one after the other; made by `HostThread.serve`.

    A request that has not been answered when the next one is taken is not lost: its client calls again.
    """

    def __init__(self, messenger: Messenger, port: HostPort, bytes_max: int, references_max: int) -> None:
        self._messenger = messenger
        self._port = port
        self._bytes_max = bytes_max
        self._references_max = references_max

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Request:
        return await self._messenger.receive(self._port, self._bytes_max, self._references_max)


class Messenger:
    """Sends and receives for one host thread: its message buffers, and the references that wait to be filled."""

    def __init__(self, owner: HostContext) -> None:
        self._owner = owner
        self._spare: list[HostReference] = []
        self._serving: Request | None = None
        self._sent = Room(owner.memory)
        self._received = Room(owner.memory)
        self._sent_references = Room(owner.memory)
        self._received_references = Room(owner.memory)

    async def send(self, port: Named, data: Data, references: Sequence[Named]) -> None:
        """See `HostThread.send`."""
        destination, *own = [await self._owner.known(named) for named in (port, *references)]
        await self._owner.perform("ipc_send", destination_ref=destination, **self._outgoing(data, own))

    async def exchange(
        self,
        port: Named,
        data: Data,
        references: Sequence[Named],
        bytes_max: int,
        references_max: int,
    ) -> Message:
        """See `HostThread.exchange`."""
        destination, *own = [await self._owner.known(named) for named in (port, *references)]
        await self._provide(references_max)
        operands = self._outgoing(data, own) | self._incoming(bytes_max, references_max)
        result = await self._owner.perform("ipc_call", destination_ref=destination, **operands)
        return self._take(result, references_max)

    async def receive(self, port: HostPort, bytes_max: int, references_max: int) -> Request:
        """See `HostThread.serve`."""
        await self._provide(references_max)
        kind = int(MessageKind.RELIABLE)
        while kind == MessageKind.RELIABLE:  # no whole message, but a connection, which the next wait ends
            operands: dict[str, Operand] = {"portset": port.portset, **self._incoming(bytes_max, references_max)}
            result = await self._owner.make("ipc_setup_wait_receive", operands)
            kind = result.results["message_kind"]
        self._serving = Request(self, self._take(result, references_max), kind)
        return self._serving

    async def reply(self, request: Request, data: Data, references: Sequence[Named]) -> None:
        """See `Request.reply`."""
        if request is not self._serving:
            raise FlukeError("this request is not being served any more: answer each once, before the next is taken")
        own = [await self._owner.known(named) for named in references]
        await self._owner.perform("ipc_reply", **self._outgoing(data, own))
        self._serving = None

    async def _provide(self, references_max: int) -> None:
        """Make as many references as there may come; refuse before that what the caller may not do now."""
        self._owner.caller.check_free()
        if not 0 <= references_max <= MAX_MESSAGE_REFERENCES:
            raise FlukeError(f"{references_max} references cannot come at once: at most {MAX_MESSAGE_REFERENCES} can")
        while len(self._spare) < references_max:
            self._spare.append(await self._owner.new_reference())

    def _outgoing(self, data: Data, references: Sequence[HostReference]) -> dict[str, int]:
        self._owner.caller.check_free()  # before the buffers of a call under way are touched
        content = _whole_words(data)
        if len(references) > MAX_MESSAGE_REFERENCES:
            raise FlukeError(f"{len(references)} references are too many: pass at most {MAX_MESSAGE_REFERENCES}")
        table = _packed([reference.address for reference in references])
        return {
            "send_buffer": self._sent.hold(content),
            "send_words": len(content) // WORD_SIZE,
            "send_ref_table": self._sent_references.hold(table),
            "send_ref_count": len(references),
        }

    def _incoming(self, bytes_max: int, references_max: int) -> dict[str, int]:
        if bytes_max < 0:
            raise FlukeError(f"a message of at most {bytes_max} bytes cannot be: give a number from 0 up")
        table = _packed([reference.address for reference in self._spare[:references_max]])
        return {
            "receive_buffer": self._received.of(bytes_max),
            "receive_words": bytes_max // WORD_SIZE,
            "receive_ref_table": self._received_references.hold(table),
            "receive_ref_count": references_max,
        }

    def _take(self, result: SystemCallResult, references_max: int) -> Message:
        """What a completed call has received; the references leave the spare ones."""
        data = self._received.content(result.results["words_received"] * WORD_SIZE)
        count = references_max - result.results["receive_ref_count"]
        references, self._spare[:count] = tuple(self._spare[:count]), []
        return Message(data, references)


def _whole_words(data: Data) -> bytes:
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data) + bytes(-len(data) % WORD_SIZE)
    if isinstance(data, str):
        raise FlukeError(f"a message of str {data!r} cannot be sent: encode it to bytes")
    try:
        return _packed(data)
    except (struct.error, TypeError):
        raise FlukeError(f"a message of {data!r} cannot be sent: give bytes, or numbers from 0 to 2**64 - 1") from None


def _packed(words: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(words)}Q", *words)
