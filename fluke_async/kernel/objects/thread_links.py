"""What threads do to their own connections and entries: putting one away, and taking up another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import ExceptionCode, ThreadFlags
from fluke_async.abi.conversation import Role
from fluke_async.abi.registers import A1, A2, A3, A4
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.links import name_peer
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_calls import check_self
from fluke_async.kernel.objects.thread_connections import connection_flags, is_both, tie_call

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core

CLIENT_FLAGS = int(ThreadFlags.SERVER_SENDER | ThreadFlags.IDEMPOTENT)
SERVER_FLAGS = int(ThreadFlags.CLIENT_SENDER)


def thread_get_client(core: Core, thread: Thread) -> int:
    """The client, through a reference, and what the calling thread is to it."""
    return _get(core, thread, "client", CLIENT_FLAGS)


def thread_get_server(core: Core, thread: Thread) -> int:
    """The server, through a reference, and what the calling thread is to it."""
    return _get(core, thread, "server", SERVER_FLAGS)


def _get(core: Core, thread: Thread, link: str, flags: int) -> int:
    check_self(thread)
    address = thread.registers[A1]
    if address:
        object_at(core, thread, address, Reference).target = thread.export_link(link)
    thread.registers[A2] = connection_flags(thread) & flags
    return 0


def thread_set_client(core: Core, thread: Thread) -> int:
    """Serve another client; without a reference, or with a null one, none."""
    client, flags = _named(core, thread, CLIENT_FLAGS)
    if is_both(flags):
        raise ProgramException(thread, ExceptionCode.INVALID_STATE, flags)
    if flags & ThreadFlags.IDEMPOTENT:
        thread.link_client(client)
        tie_call(client, thread)
    else:
        name_peer(thread, Role.SERVER, client, sender=bool(flags & ThreadFlags.SERVER_SENDER))
    return 0


def thread_set_server(core: Core, thread: Thread) -> int:
    """Be the client of another server; without a reference, or with a null one, of none."""
    server, flags = _named(core, thread, SERVER_FLAGS)
    name_peer(thread, Role.CLIENT, server, sender=bool(flags & ThreadFlags.CLIENT_SENDER))
    return 0


def _named(core: Core, thread: Thread, allowed: int) -> tuple[Thread | None, int]:
    """The thread that the call names, and the flags."""
    check_self(thread)
    address, flags = thread.registers[A1], thread.registers[A2]
    if flags & ~allowed:
        raise ProgramException(thread, ExceptionCode.INVALID_STATE, flags)
    named = object_at(core, thread, address, Reference).target if address else None
    if named is None or not named.active:
        return None, flags
    if not isinstance(named, Thread):
        raise ProgramException(thread, ExceptionCode.NOT_THREAD_REF, address)
    if named is thread:
        raise ProgramException(thread, ExceptionCode.CURRENT_THREAD, address)
    return named, flags


def thread_set_server_entries(core: Core, thread: Thread) -> int:
    """Set the stack and the entries of the calling thread's server side."""
    check_self(thread)
    registers = thread.registers
    entries = (registers[A1], registers[A2], registers[A3], registers[A4])
    thread.server_registration = (thread.server_registration[0], *entries)
    return 0
