"""How a question comes to a server: it is a message that the kernel writes where the server receives."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from fluke_async.abi.codes import COPY_CHUNK_WORDS
from fluke_async.abi.entry_points import CHUNK_COST
from fluke_async.abi.registers import MESSAGE_KIND
from fluke_async.kernel.buffers import RECEIVING, Position, position, scatter
from fluke_async.kernel.connection import REQUEST_RECEIVE, capture, enter_server, note_received, served_portset
from fluke_async.kernel.questions import pending_question

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.exceptions import PageFault
    from fluke_async.kernel.objects.port import Port
    from fluke_async.kernel.objects.thread import Thread
    from fluke_async.kernel.questions import ExceptionQuestion


def let_receive(core: Core, server: Thread, client: Thread, port: Port) -> None:
    """Tie a server that waits to a client that asks; it will receive the question itself."""
    capture(core, server, client, port)
    core.advance(server, REQUEST_RECEIVE, client)
    core.park(client, server)
    core.wake(server)


def take_question(core: Core, client: Thread, server: Thread) -> bool:
    """Receive the question of a client that asks a keeper whom the server serves; False if there is nothing to ask."""
    question = pending_question(client)
    if question is None or question.keeper.portset is None:
        return False
    if served_portset(core, server) is not question.keeper.portset:
        return False
    accept_question(core, server, question, *write_question(core, question, server))
    return True


def write_question(core: Core, question: PageFault | ExceptionQuestion, server: Thread) -> tuple[Position, int]:
    """Write a question where the server receives; where receiving goes on, and how many words went in."""
    words = scatter(core, server, Struct(f"<{len(question.words)}Q").pack(*question.words))
    return position(core, server, RECEIVING, words), words


def accept_question(
    core: Core, server: Thread, question: PageFault | ExceptionQuestion, after: Position, words: int
) -> None:
    """Set the results of the receive that a question completes."""
    note_received(server, after, words)
    server.registers[MESSAGE_KIND] = question.kind
    enter_server(server)
    core.charge(CHUNK_COST * words // COPY_CHUNK_WORDS)
