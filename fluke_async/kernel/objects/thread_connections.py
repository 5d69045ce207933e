"""A thread's client and server in its state: who they are, and what the thread is to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import ThreadFlags
from fluke_async.kernel.checks import number

if TYPE_CHECKING:
    from fluke_async.kernel.objects.base import Links, StateBits
    from fluke_async.kernel.objects.thread import Thread


# Plain numbers, for reading a state out is what checkpoints consist of, and an enumeration's arithmetic is slow.
IDEMPOTENT, CLIENT_SENDER = int(ThreadFlags.IDEMPOTENT), int(ThreadFlags.CLIENT_SENDER)
SERVER_SENDER = int(ThreadFlags.SERVER_SENDER)


def connection_flags(thread: Thread) -> int:
    """What the thread is to its client and its server."""
    flags = 0
    client, server = thread.export_link("client"), thread.export_link("server")
    if client is not None and not thread.reliable:
        flags |= IDEMPOTENT
    if client is not None and thread.server_sender:
        flags |= SERVER_SENDER
    if server is not None and thread.client_sender:
        flags |= CLIENT_SENDER
    return flags


def is_both(flags: int) -> bool:
    """Whether flags say of a client that it waits for an answer, and that a stream goes to it."""
    return bool(flags & IDEMPOTENT and flags & SERVER_SENDER)


def load_connections(thread: Thread, bits: StateBits | None, links: Links) -> None:
    """Name client and server; without bits, a client is whatever the one before was."""
    client, server = links.get("client", thread.client), links.get("server", thread.server)
    flags = connection_flags(thread) if bits is None else number(bits, "flags")
    reliable = client is not None and not flags & IDEMPOTENT
    if client is not thread.client or reliable != thread.reliable:
        thread.link_client(client, reliable=reliable)  # type: ignore[arg-type]  # the links' types say so
    thread.server = server  # type: ignore[assignment]
    thread.server_sender = reliable and bool(flags & SERVER_SENDER)
    thread.client_sender = server is not None and bool(flags & CLIENT_SENDER)


def tie_call(client: Thread | None, server: Thread) -> None:
    """An idempotent call is tied to its server when both ends agree: the client waits, the server serves it."""
    if client is not None and client.waiting_for is server and server.served is client:
        client.callee = server


def servers_of(thread: Thread) -> list[Thread]:
    """
    Who has taken a thread's call, and who was loaded as one that has, before the call goes on.

    In an order that does not depend on how they came: the first, then those that wait for the thread, then the others,
    who have faults of their own to be resolved.
    """
    if thread.takers is None:
        return []
    takers = [each for each in thread.takers if not each.reliable]
    waiting = () if thread.waiters is None else thread.waiters.in_order()
    order = dict.fromkeys(() if thread.callee is None else (thread.callee,))
    order |= dict.fromkeys(each for each in waiting if each in takers)
    order |= dict.fromkeys(sorted(takers, key=lambda each: each.hash))
    return list(order)
