"""The disk by itself: the right data or an error, in its time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluke_async.abi.devices import DISK_SECTOR_BYTES, PROBE, DeviceStatus, DiskOperation
from fluke_devices.disk import BATCH, Disk, Faults
from fluke_devices.medium import FileBytes, Medium, MemoryBytes
from fluke_devices.words import bytes_of, words_of
from tests.devices.host import Bench, running

OK, BAD_REQUEST, FAILED = DeviceStatus.OK, DeviceStatus.BAD_REQUEST, DeviceStatus.FAILED
INFO, READ, WRITE, FLUSH = DiskOperation.INFO, DiskOperation.READ, DiskOperation.WRITE, DiskOperation.FLUSH
SECTORS = 64
FOREVER_NS = 10**15
MS = 1_000_000


@pytest.fixture(params=["memory", "file"])
def medium(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Medium]:
    """One in memory, or in a file."""
    size = Medium.size_of(SECTORS)
    if request.param == "memory":
        yield Medium(SECTORS, MemoryBytes(size))
    else:
        with FileBytes(tmp_path / "disk", size) as content:
            yield Medium(SECTORS, content)


def sector(number: int) -> bytes:
    """What a sector holds; no two are alike."""
    return random.Random(number).randbytes(DISK_SECTOR_BYTES)


def sectors(first: int, count: int, version: int = 0) -> bytes:
    return b"".join(sector(1000 * version + number) for number in range(first, first + count))


async def ask(bench: Bench, *words: int) -> tuple[int, ...]:
    """The answer, whenever it comes."""
    if (reply := await bench.ask(*words)) is None:
        before = len(bench.host.answers)
        instant = min(entry[0] for entry in bench.host.timeline)
        bench.host.advance(instant)
        assert len(bench.host.answers) > before
        reply = bench.host.answers[-1][2]
    return reply


async def write(bench: Bench, first: int, data: bytes) -> tuple[int, ...]:
    return await ask(bench, WRITE, first, len(data) // DISK_SECTOR_BYTES, *words_of(data))


async def read(bench: Bench, first: int, count: int) -> bytes | None:
    status, *rest = await ask(bench, READ, first, count)
    if status != OK:
        return None
    assert len(rest) - 1 == rest[0] * DISK_SECTOR_BYTES // 8
    return bytes_of(rest[1:])


async def test_what_is_written_is_read(medium: Medium) -> None:
    async with running(Disk(medium)) as bench:
        assert await bench.ask(PROBE) == (OK,)
        assert await bench.ask(INFO) == (OK, DISK_SECTOR_BYTES, SECTORS)
        assert await read(bench, 5, 3) == bytes(3 * DISK_SECTOR_BYTES)
        assert await write(bench, 5, sectors(5, 3)) == (OK, 3)
        assert await write(bench, 6, sectors(6, 1, version=1)) == (OK, 1)
        assert await read(bench, 4, 5) == b"".join(
            [bytes(DISK_SECTOR_BYTES), sector(5), sector(1006), sector(7), bytes(DISK_SECTOR_BYTES)]
        )
        assert await ask(bench, FLUSH) == (OK,)
    async with running(Disk(medium)) as bench:
        assert await read(bench, 5, 1) == sector(5)


async def test_a_file_begins_with_the_sectors(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with FileBytes(path, Medium.size_of(SECTORS)) as content:
        async with running(Disk(Medium(SECTORS, content))) as bench:
            await write(bench, 0, sectors(0, 2))
    assert path.read_bytes()[: 2 * DISK_SECTOR_BYTES] == sectors(0, 2)


async def test_requests_take_their_time_one_after_the_other(medium: Medium) -> None:
    """A latency each, and as long as their bytes need."""
    disk = Disk(medium, latency_ns=1000, bytes_per_second=DISK_SECTOR_BYTES * 1_000_000)
    async with running(disk) as bench:
        await bench.ask_together((READ, 0, 1), (READ, 1, 3), (FLUSH,))
        bench.host.advance(50_000)
        assert await bench.ask(READ, 2, 1) is None
        for instant in (51_999, 52_000):
            bench.host.advance(instant)
    assert [(time, words[:2]) for time, words, _ in bench.host.answers] == [
        (50_000, (READ, 0)),
        (50_000, (READ, 1)),
        (50_000, (FLUSH,)),
        (52_000, (READ, 2)),
    ]


async def test_a_repetition_is_answered_like_the_first_and_at_the_same_instant(medium: Medium) -> None:
    """Though the sector has been written meanwhile, and though a fault would be drawn anew."""
    disk = Disk(medium, faults=Faults(error=0.5))
    async with running(disk) as bench:
        for number in range(20):
            bench.host.advance(bench.host.time_ns + MS)
            await bench.ask_without_answer(READ, 3, 1)
            bench.host.advance(bench.host.time_ns + 10)
            await bench.ask_together((WRITE, 3, 1, *words_of(sector(number))), (READ, 3, 1))
            bench.host.advance(bench.host.time_ns + 10 * MS)
            replies = [(reply, time) for time, words, reply in bench.host.answers if words[0] == READ]
            assert len(set(replies)) == 1
            bench.host.answers.clear()


async def test_faults_are_errors_or_fewer_sectors_and_never_wrong_data() -> None:
    """A thousand random requests on a disk on which much goes wrong, against a list of what was written."""
    disk = Disk(Medium(SECTORS), faults=Faults(seed=4, error=0.1, short=0.2, rot=0.1, delay=0.1))
    chance, held = random.Random(1), [bytes(DISK_SECTOR_BYTES)] * SECTORS
    met = {"error": 0, "short": 0, "right": 0}
    async with running(disk) as bench:
        for version in range(1000):
            count = chance.randrange(1, BATCH + 1)
            first = chance.randrange(SECTORS - count)
            if chance.random() < 0.4:
                data = sectors(first, count, version)
                status, *done = await write(bench, first, data)
                written = done[0] if status == OK else 0
                for number in range(written):
                    held[first + number] = data[number * DISK_SECTOR_BYTES : (number + 1) * DISK_SECTOR_BYTES]
            else:
                found = await read(bench, first, count)
                if found is not None:
                    written = len(found) // DISK_SECTOR_BYTES
                    assert found == b"".join(held[first : first + written])
                else:
                    written = 0
            met["right" if written == count else "short" if written else "error"] += 1
            bench.host.advance(bench.host.time_ns + 100 * MS)
    assert all(times > 50 for times in met.values()), met


async def test_a_delay_keeps_everybody_behind_it_waiting() -> None:
    disk = Disk(Medium(SECTORS), latency_ns=10, faults=Faults(delay=1.0, delay_ns=MS))
    async with running(disk) as bench:
        await bench.ask_together((READ, 0, 1), (READ, 1, 1))
        bench.host.advance(MS - 1)
        assert bench.host.answers == []
        bench.host.advance(2 * MS - 1)
        assert len(bench.host.answers) == 1
        bench.host.advance(3 * MS)
        assert len(bench.host.answers) == 2


@pytest.mark.parametrize("seed", range(40))
async def test_a_power_cut_leaves_what_was_acknowledged_and_some_of_the_rest(medium: Medium, seed: int) -> None:
    """In order: sectors that are written, at most one that cannot be read, sectors that are as they were."""
    disk = Disk(medium)
    async with running(disk) as bench:
        assert await write(bench, 0, sectors(0, 8)) == (OK, 8)
        bench.host.advance(bench.host.time_ns + MS)
        data = sectors(0, 8, version=1)
        await bench.ask_without_answer(WRITE, 0, 8, *words_of(data))
        disk.cut_power(bench.host.time_ns, seed)
    async with running(Disk(medium)) as bench:
        found = [await read(bench, number, 1) for number in range(8)]
    kinds = ["torn" if each is None else "new" if each == sector(1000 + i) else "old" for i, each in enumerate(found)]
    assert kinds == sorted(kinds, key=["new", "torn", "old"].index)
    assert kinds.count("torn") <= 1
    assert all(each in (None, sector(i), sector(1000 + i)) for i, each in enumerate(found))


async def test_power_cuts_come_to_different_ends() -> None:
    ends = set()
    for seed in range(60):
        disk = Disk(Medium(SECTORS))
        async with running(disk) as bench:
            await bench.ask_without_answer(WRITE, 0, 4, *words_of(sectors(0, 4)))
            disk.cut_power(0, seed)
        ends.add(tuple(disk.medium.read(number) for number in range(4)))
    assert len(ends) == 9  # none to all, and one torn in between


async def test_a_torn_sector_can_be_written_again() -> None:
    medium = Medium(SECTORS)
    medium.write(3, sector(3))
    medium.tear(3, sector(4), 100)
    async with running(Disk(medium)) as bench:
        assert await read(bench, 3, 1) is None
        assert await read(bench, 2, 2) == bytes(DISK_SECTOR_BYTES)  # up to there
        assert await write(bench, 3, sector(5)) == (OK, 1)
        assert await read(bench, 3, 1) == sector(5)


@pytest.mark.parametrize(
    "words",
    [
        (),
        (99,),
        (READ,),
        (READ, 0),
        (READ, 0, 0),
        (READ, SECTORS, 1),
        (READ, SECTORS - 1, 2),
        (READ, 2**64 - 1, 1),
        (WRITE, 0, 1),
        (WRITE, 0, 2, *[0] * 64),
        (WRITE, 0, BATCH + 1, *[0] * 64 * (BATCH + 1)),
    ],
)
async def test_what_makes_no_sense_is_refused_at_once(words: tuple[int, ...]) -> None:
    async with running(Disk(Medium(SECTORS))) as bench:
        assert await bench.ask(*words) == (BAD_REQUEST,)
