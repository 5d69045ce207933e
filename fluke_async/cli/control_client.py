"""The client's side of a run's control socket: one command, one reply."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from fluke_async.cli.usage import CommandFailed

ANSWER_S = 10.0
IMAGE_S = 120.0  # until an image has been written, after those of others
REPLY_MAX_BYTES = 1 << 30


def ask(path: Path, command: str, /, *, answer_s: float | None = None, **fields: object) -> dict[str, Any]:
    """
    Give a command to the kernel that listens at `path`, and return its reply, which comes within `answer_s`.

    Raises:
        CommandFailed: nobody listens there, no reply comes, or the kernel refuses.
    """
    request = json.dumps({"command": command, **fields}).encode() + b"\n"
    answer_s = answer_s or ANSWER_S
    try:
        line = _exchange(path, request, answer_s)
    except TimeoutError:
        raise CommandFailed(
            f"no answer from {path} within {answer_s:.0f} s; is the output of that run taken by anybody?"
        ) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise CommandFailed(
            f"nobody answers at {path} ({reason}); give the socket of a run, 'fluke run --control SOCKET PROGRAM'"
        ) from None
    try:
        reply = json.loads(line)
    except ValueError:
        reply = None
    if not isinstance(reply, dict) or "ok" not in reply:
        raise CommandFailed(f"no kernel answers at {path}, but {line[:20]!r} came; give the socket of a run")
    if not reply.pop("ok"):
        raise CommandFailed(f"{path} refuses: {reply.get('error')}")
    return reply


def _exchange(path: Path, request: bytes, answer_s: float) -> bytes:
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this platform has no Unix sockets")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(answer_s)
        client.connect(str(path))
        with suppress(BrokenPipeError):  # a kernel that takes no more clients says so and hangs up
            client.sendall(request)
        with client.makefile("rb") as replies:
            line = replies.readline(REPLY_MAX_BYTES)
    if not line:
        raise OSError("it hung up")
    return line
