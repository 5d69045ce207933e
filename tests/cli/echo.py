"""A program in a process of its own that waits for input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

COMMAND = (sys.executable, "-m", "fluke_async")


@contextmanager
def echo_running(*options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program `echo` on open pipes, after it has returned a first line."""
    command = [*COMMAND, "run", *options, "echo"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(b"first\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"first\n"
            yield process
        finally:
            process.kill()
