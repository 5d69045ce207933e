"""The host's input: bytes if it is there, a stream if it is still coming."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from fluke_async.cli.host_input import HostInput, host_input


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe; the test may close the writing end."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def test_a_file_is_bytes_from_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo\n")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.lseek(descriptor, 4, os.SEEK_SET)
        assert host_input(descriptor) == b"two\n"
    finally:
        os.close(descriptor)


def test_the_null_device_is_no_input() -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        assert host_input(descriptor) == b""
    finally:
        os.close(descriptor)


def test_a_closed_descriptor_is_no_input(pipe: tuple[int, int]) -> None:
    _, writing = pipe
    os.close(writing)
    assert host_input(writing) == b""


def test_a_pipe_that_has_ended_is_bytes(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, b"all of it")
    os.close(writing)
    assert host_input(reading) == b"all of it"


async def test_an_open_pipe_is_a_stream(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, b"before")
    stream = host_input(reading)
    assert isinstance(stream, HostInput)
    assert await stream.receive(3) == b"bef"
    assert await stream.receive() == b"ore"
    os.write(writing, b"after")
    assert await stream.receive() == b"after"
    os.close(writing)
    with pytest.raises(anyio.EndOfStream):
        await stream.receive()


async def test_waiting_for_input_can_be_cancelled(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    stream = host_input(reading)
    assert isinstance(stream, HostInput)
    with anyio.move_on_after(0) as scope:
        await stream.receive()
    os.close(writing)
    assert scope.cancelled_caught
