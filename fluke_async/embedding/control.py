"""
Control from outside: a kernel answers commands on a Unix socket, as `fluke ps` and its like send them.

A client sends one JSON object a line and gets one back for each, in order:

    {"command": "ps"}                      -> {"ok": true, "processes": [...], "statistics": {...}}
    {"command": "suspend", "process": 1}   -> {"ok": true, "process": {...}}
    {"command": "resume"}                  -> the same; without a number it is the only process
    {"command": "checkpoint", "path": "/somewhere/image", "process": 1}
                                           -> {"ok": true, "process": {...}, "image": {"identity": "...", "written": 0}}
    anything else                          -> {"ok": false, "error": "..."}, and the connection stays usable

A line that is too long ends its connection, for nobody knows where the next command begins. No client can hold up the
kernel: each has a task of its own, there is a bound on their number, and what they ask for is done between slices.

An image is written by the kernel's own process, at an absolute path. Whoever can use the socket can do that: it is the
owner, with the same rights.
"""

from __future__ import annotations

import dataclasses
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import anyio.to_thread

from fluke_async.embedding.line_socket import HungUpError, LineStream, LineTooLongError, accept, listen, remove
from fluke_async.embedding.process import Process
from fluke_async.errors import FlukeError

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from fluke_async.embedding.kernel import Kernel

LINE_MAX_BYTES = 64 << 10
CONNECTIONS_MAX = 16
SHOWN_MAX = 40  # characters of a wrong value that a message repeats

Fields = dict[str, Any]


class Command(NamedTuple):
    """The fields that a command may have, and what it does: it returns its reply, or raises FlukeError."""

    fields: frozenset[str]
    carry_out: Callable[[Kernel, Fields], Awaitable[Fields]]


async def ps(kernel: Kernel, _: Fields) -> Fields:
    """Every process and thread, and what has been counted; stops nothing. One that is read out is shown after that."""
    while held := [process for process in kernel.processes() if process.is_held]:
        await held[0].stillness.over()
    processes = [describe_process(process) | {"threads": describe_threads(process)} for process in kernel.processes()]
    return {"processes": processes, "statistics": dataclasses.asdict(kernel.statistics())}


async def suspend(kernel: Kernel, given: Fields) -> Fields:
    """Suspend a process; see `Process.suspend`."""
    process = chosen_process(kernel, given.get("process"))
    await process.suspend()
    return {"process": describe_process(process)}


async def resume(kernel: Kernel, given: Fields) -> Fields:
    """Let a suspended process go on."""
    process = chosen_process(kernel, given.get("process"))
    await process.resume()
    return {"process": describe_process(process)}


async def checkpoint(kernel: Kernel, given: Fields) -> Fields:
    """Write an image of a process to a file, after those that are under way; see `Process.checkpoint`."""
    path = given.get("path")
    if not isinstance(path, str) or "\0" in path or not Path(path).is_absolute():
        raise FlukeError(f"an image needs an absolute path, not {_shown(path)}")
    process = chosen_process(kernel, given.get("process"))
    image = await process.checkpoint()
    with anyio.CancelScope(shield=True):  # the program may end meanwhile: what has been begun is answered
        await anyio.to_thread.run_sync(image.save, path)
    written = image.manifest.devices["console"].state["written"]
    return {"process": describe_process(process), "image": {"identity": image.identity, "written": written}}


COMMANDS = {
    "ps": Command(frozenset(), ps),
    "suspend": Command(frozenset({"process"}), suspend),
    "resume": Command(frozenset({"process"}), resume),
    "checkpoint": Command(frozenset({"path", "process"}), checkpoint),
}


def chosen_process(kernel: Kernel, number: object) -> Process:
    """The process of that number; without one, the only process that there is."""
    processes = {process.number: process for process in kernel.processes()}
    known = f"give one of {', '.join(map(str, processes))}" if processes else "there is none at all"
    if number is None:
        if len(processes) == 1:
            return next(iter(processes.values()))
        raise FlukeError(f"no number of a process was given: {known}")
    if type(number) is not int or number not in processes:
        raise FlukeError(f"there is no process {_shown(number)}: {known}")
    return processes[number]


def describe_process(process: Process) -> Fields:
    """A process in a reply."""
    return {"number": process.number, "name": process.name, "state": process.state}


def describe_threads(process: Process) -> list[Fields]:
    """The threads of a process in a reply; ports that the program was started with say what is behind them."""
    loaded = process.loaded
    names = {} if loaded is None else {repr(getattr(loaded, name)): name for name in ("console", "timer", "parent")}

    def target(waiting_for: str | None) -> str | None:
        return f"{waiting_for} ({names[waiting_for]})" if waiting_for in names else waiting_for

    return [
        {
            "hash": thread.hash,
            "condition": thread.condition,
            "priority": thread.priority,
            "effective_priority": thread.effective_priority,
            "call": thread.entry_point,
            "waiting_for": target(thread.waiting_for),
            "restarts": thread.restarts,
            "pc": thread.pc,
            "exception": thread.exception,
        }
        for thread in process.threads()
    ]


class ControlServer:
    """Answers the clients of one socket; cancel its `scope` to end it."""

    def __init__(self, kernel: Kernel, listener: socket.socket) -> None:
        self.scope = anyio.CancelScope()
        self._kernel = kernel
        self._listener = listener
        self._connections = 0

    async def run(self) -> None:
        """Serve until `scope` is cancelled."""
        with self.scope, self._listener:
            async with anyio.create_task_group() as tasks:
                while True:
                    tasks.start_soon(self._serve, await accept(self._listener))

    async def _serve(self, client: LineStream) -> None:
        """Serve one client until it hangs up."""
        self._connections += 1
        try:
            with client:
                await self._answer(client)
        except HungUpError:
            pass
        finally:
            self._connections -= 1

    async def _answer(self, client: LineStream) -> None:
        if self._connections > CONNECTIONS_MAX:
            await _send(client, _refusal(f"{CONNECTIONS_MAX} clients are connected already: try again later"))
            return
        while True:
            try:
                line = await client.receive(LINE_MAX_BYTES)
            except LineTooLongError:
                await _send(client, _refusal(f"a line has more than {LINE_MAX_BYTES} bytes: the connection ends"))
                return
            await _send(client, await self._reply(line))

    async def _reply(self, line: bytes) -> Fields:
        """Do what a line says."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return _refusal('the line is no JSON object: send one such as {"command": "ps"}')
        name = request.pop("command", None)
        command = COMMANDS.get(name) if isinstance(name, str) else None
        if command is None:
            return _refusal(f"there is no command {_shown(name)}: use one of {', '.join(COMMANDS)}")
        for field in request:
            if field not in command.fields:
                known = ", ".join(sorted(command.fields)) or "nothing"
                return _refusal(f"{name} has no use for {_shown(field)}: it takes {known}")
        try:
            return {"ok": True} | await command.carry_out(self._kernel, request)
        except FlukeError as error:
            return _refusal(str(error))


@asynccontextmanager
async def serve_control(kernel: Kernel, path: Path, tasks: TaskGroup) -> AsyncIterator[None]:
    """Answer the clients of a Unix socket at `path` while the block lasts; see `Kernel.control`."""
    listener, ours = listen(path)
    server = ControlServer(kernel, listener)
    tasks.start_soon(server.run)
    try:
        yield
    finally:
        server.scope.cancel()
        remove(path, ours)


async def _send(client: LineStream, reply: Fields) -> None:
    await client.send(json.dumps(reply).encode())


def _refusal(error: str) -> Fields:
    return {"ok": False, "error": error}


def _shown(value: object) -> str:
    if not isinstance(value, str | int | float | None):
        return f"a {type(value).__name__}"  # it may be nested too deeply to be shown
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."
