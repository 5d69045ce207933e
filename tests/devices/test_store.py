"""The store by itself: blobs whole or not at all, pages by what is in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.abi.devices import CONSOLE_MAX_BYTES, PROBE, STORE_NAME_WORDS, DeviceStatus, StoreOperation
from fluke_devices.shelf import FolderShelf, MemoryShelf, Shelf
from fluke_devices.store import Store
from fluke_devices.words import bytes_of, words_of
from tests.devices.host import Bench, running

OK, BAD_REQUEST, BAD_OFFSET = DeviceStatus.OK, DeviceStatus.BAD_REQUEST, DeviceStatus.BAD_OFFSET
NOT_FOUND, FAILED, FULL = DeviceStatus.NOT_FOUND, DeviceStatus.FAILED, DeviceStatus.FULL
MakeShelf = Callable[[], Shelf]
NAMES = [b"a", b"image 7", b"../escape", b".", b"x" * 64, bytes(range(1, 65)), "käse".encode()]


@pytest.fixture(params=["memory", "folder"])
def make_shelf(request: pytest.FixtureRequest, tmp_path: Path) -> MakeShelf:
    """Makes shelves with the same content, where that outlives one."""
    memory = MemoryShelf()
    return lambda: memory if request.param == "memory" else FolderShelf(tmp_path)


def name_words(name: bytes) -> tuple[int, ...]:
    return words_of(name.ljust(8 * STORE_NAME_WORDS, b"\0"))


async def write(bench: Bench, transaction: int, offset: int, data: bytes) -> tuple[int, ...] | None:
    return await bench.ask(StoreOperation.WRITE, transaction, offset, len(data), *words_of(data))


async def publish(bench: Bench, transaction: int, size: int, name: bytes) -> tuple[int, ...] | None:
    return await bench.ask(StoreOperation.PUBLISH, transaction, size, *name_words(name))


async def put(bench: Bench, name: bytes, data: bytes, transaction: int = 1) -> None:
    for offset in range(0, len(data), CONSOLE_MAX_BYTES):
        await write(bench, transaction, offset, data[offset : offset + CONSOLE_MAX_BYTES])
    assert await publish(bench, transaction, len(data), name) == (OK,)


async def get(bench: Bench, name: bytes) -> bytes | None:
    reply = await bench.ask(StoreOperation.SIZE, *name_words(name))
    assert reply is not None
    if reply == (NOT_FOUND,):
        return None
    data = b""
    while len(data) < reply[1]:
        piece = await bench.ask(StoreOperation.READ, len(data), 1 << 20, *name_words(name))
        assert piece is not None
        assert piece[0] == OK
        data += bytes_of(piece[2:])[: piece[1]]
    return data


@pytest.mark.parametrize("name", NAMES)
async def test_blob_is_read_as_it_was_written(make_shelf: MakeShelf, name: bytes) -> None:
    data = os.urandom(3 * CONSOLE_MAX_BYTES + 5)
    async with running(Store(make_shelf())) as bench:
        assert await bench.ask(PROBE) == (OK,)
        assert await get(bench, name) is None
        await put(bench, name, data)
    async with running(Store(make_shelf())) as bench:
        assert await get(bench, name) == data
        assert await bench.ask(StoreOperation.REMOVE, *name_words(name)) == (OK,)
        assert await bench.ask(StoreOperation.REMOVE, *name_words(name)) == (OK,)
        assert await get(bench, name) is None


async def test_nothing_is_seen_before_it_is_published(make_shelf: MakeShelf) -> None:
    async with running(Store(make_shelf())) as bench:
        await put(bench, b"name", b"old")
        assert await write(bench, 2, 0, b"new!") == (OK, 4)
        assert await get(bench, b"name") == b"old"
        assert await publish(bench, 2, 5, b"name") == (BAD_OFFSET, 4)  # not all of it is there
        assert await get(bench, b"name") == b"old"
        assert await publish(bench, 2, 4, b"name") == (OK,)
        assert await get(bench, b"name") == b"new!"


async def test_everything_can_be_repeated(make_shelf: MakeShelf) -> None:
    async with running(Store(make_shelf())) as bench:
        for _ in range(2):
            assert await write(bench, 1, 0, b"abc") == (OK, 3)
        for _ in range(2):
            assert await write(bench, 1, 3, b"de") == (OK, 5)
        assert await write(bench, 1, 0, b"abc") == (OK, 5)
        assert await write(bench, 1, 6, b"x") == (BAD_OFFSET, 5)
        for _ in range(2):
            assert await publish(bench, 1, 5, b"name") == (OK,)
        assert await get(bench, b"name") == b"abcde"
        assert await publish(bench, 1, 5, b"other") == (BAD_OFFSET, 0)


async def test_a_number_can_be_begun_anew(make_shelf: MakeShelf) -> None:
    async with running(Store(make_shelf())) as bench:
        await write(bench, 1, 0, b"given up")
        assert await write(bench, 1, 0, b"now") == (OK, 3)
        assert await publish(bench, 1, 3, b"name") == (OK,)
        await put(bench, b"name", b"again", transaction=1)
        assert await get(bench, b"name") == b"again"


async def test_names_are_listed_in_order(make_shelf: MakeShelf) -> None:
    async with running(Store(make_shelf())) as bench:
        for number, name in enumerate(NAMES):
            await put(bench, name, b"", transaction=number)
        found, name = [], b""
        while (reply := await bench.ask(StoreOperation.NEXT, *name_words(name))) != (NOT_FOUND,):
            assert reply is not None
            name = bytes_of(reply[1:]).rstrip(b"\0")
            found.append(name)
    assert found == sorted(NAMES)


async def test_pages_are_named_by_what_is_in_them(make_shelf: MakeShelf) -> None:
    pages = [bytes(PAGE_SIZE), os.urandom(PAGE_SIZE)]
    async with running(Store(make_shelf())) as bench:
        keys = [(await bench.ask(StoreOperation.KEEP, *words_of(page)) or ())[1:] for page in (*pages, *pages)]
        assert keys[0] == keys[2] != keys[1] == keys[3]
    async with running(Store(make_shelf())) as bench:
        for key, page in zip(keys, pages, strict=False):
            assert await bench.ask(StoreOperation.FETCH, *key) == (OK, *words_of(page))
        assert await bench.ask(StoreOperation.FETCH, 1, 2, 3, 4) == (NOT_FOUND,)


async def test_page_whose_file_was_damaged_is_not_there(tmp_path: Path) -> None:
    async with running(Store(FolderShelf(tmp_path))) as bench:
        page = words_of(bytes(PAGE_SIZE))
        key = (await bench.ask(StoreOperation.KEEP, *page) or ())[1:]
        (file,) = (tmp_path / "pages").iterdir()
        file.write_bytes(b"\1" + bytes(PAGE_SIZE - 1))
        assert await bench.ask(StoreOperation.FETCH, *key) == (NOT_FOUND,)
        assert await bench.ask(StoreOperation.KEEP, *page) == (OK, *key)
        assert await bench.ask(StoreOperation.FETCH, *key) == (OK, *page)


async def test_what_the_host_refuses_fails_and_leaves_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError("no space left")

    async with running(Store(FolderShelf(tmp_path))) as bench:
        await put(bench, b"name", b"old")
        monkeypatch.setattr("fluke_devices.shelf.os.fsync", refuse)
        await write(bench, 2, 0, b"new")
        assert await publish(bench, 2, 3, b"name") == (FAILED,)
        assert await get(bench, b"name") == b"old"
        monkeypatch.undo()
        assert await publish(bench, 2, 3, b"name") == (OK,)  # nothing was lost
        assert await get(bench, b"name") == b"new"


async def test_what_is_not_published_is_bounded(make_shelf: MakeShelf) -> None:
    async with running(Store(make_shelf(), capacity_bytes=10)) as bench:
        assert await write(bench, 1, 0, b"12345") == (OK, 5)
        assert await write(bench, 2, 0, b"123456") == (FULL,)
        assert await publish(bench, 1, 5, b"name") == (OK,)
        assert await write(bench, 2, 0, b"123456") == (OK, 6)


@pytest.mark.parametrize(
    "words",
    [
        (),
        (99,),
        (StoreOperation.WRITE, 1, 0, 9, 0),
        (StoreOperation.PUBLISH, 1, 0, *[0] * 8),
        (StoreOperation.PUBLISH, 1, 0, 1),
        (StoreOperation.READ, 0, 0, *name_words(b"a")),
        (StoreOperation.SIZE, 1),
        (StoreOperation.KEEP, 0),
        (StoreOperation.FETCH, 0),
    ],
)
async def test_what_makes_no_sense_is_refused(words: tuple[int, ...]) -> None:
    async with running(Store()) as bench:
        assert await bench.ask(*words) == (BAD_REQUEST,)
