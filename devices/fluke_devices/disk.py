"""
The disk: sectors, with a queue, a latency and a bandwidth in virtual time, and faults where they are asked for.

Requests, in 64-bit words; see `DiskOperation`. A request takes effect when its turn comes and is answered when it is
done: what comes again meanwhile gets the same answer at the same instant. An answer says how many sectors were read or
written, which may be fewer than asked for. Data that is given back is what was written last; what cannot be given back
is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from fluke_async.abi.codes import WORD_SIZE
from fluke_async.abi.devices import CONSOLE_MAX_BYTES, DISK_SECTOR_BYTES, PROBE, DeviceStatus, DiskOperation
from fluke_async.device import DevicePort, Request
from fluke_devices.medium import Medium
from fluke_devices.words import bytes_of, words_of

OK, BAD_REQUEST, FAILED = DeviceStatus.OK, DeviceStatus.BAD_REQUEST, DeviceStatus.FAILED
BATCH = CONSOLE_MAX_BYTES // DISK_SECTOR_BYTES  # sectors of one message
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Faults:
    """
    How often a request meets what, as a share of 1, drawn by `seed` from the request and the instant.

    `error`: nothing is done. `short`: fewer sectors than asked for. `rot`: a bit of a sector that is read has changed.
    `delay`: it takes `delay_ns` longer.
    """

    seed: int = 0
    error: float = 0.0
    short: float = 0.0
    rot: float = 0.0
    delay: float = 0.0
    delay_ns: int = 10_000_000


class _Writing(NamedTuple):
    """A sector whose writing has not been acknowledged, and what it held before."""

    done_ns: int
    sector: int
    data: bytes
    before: bytes | None


class _Fault(NamedTuple):
    is_error: bool = False
    is_short: bool = False
    rotten_bit: int | None = None
    delay_ns: int = 0


NO_FAULT = _Fault()


class Disk:
    """One disk on a medium."""

    def __init__(
        self,
        medium: Medium,
        latency_ns: int = 100_000,
        bytes_per_second: int = 500_000_000,
        faults: Faults | None = None,
    ) -> None:
        self.medium = medium
        self.latency_ns = latency_ns
        self.bytes_per_second = bytes_per_second
        self.faults = faults
        self._free_ns = 0  # when all that was asked for so far is done
        self._answers: dict[tuple[int, ...], tuple[int, tuple[int, ...]]] = {}  # instant and reply, until then
        self._writings: list[_Writing] = []

    async def run(self, port: DevicePort) -> None:
        async for request in port:
            self.decide(port, request)

    def decide(self, port: DevicePort, request: Request) -> None:
        """Answer a request at the instant when it is done."""
        now_ns = port.now_ns()
        self._answers = {words: answer for words, answer in self._answers.items() if answer[0] > now_ns}
        self._writings = [each for each in self._writings if each.done_ns > now_ns]
        answer = self._answers.get(request.words)
        if answer is None:
            reply = self._perform(request.words, now_ns)
            answer = max(now_ns, self._free_ns if reply[0] != BAD_REQUEST else 0), reply
            self._answers[request.words] = answer
        request.reply_at(answer[0], *answer[1])

    def _perform(self, words: tuple[int, ...], now_ns: int) -> tuple[int, ...]:
        """Do what a request asks for; moves `_free_ns` to when it is done."""
        match words:
            case [operation, *_] if operation == PROBE:
                return (OK,)
            case [DiskOperation.INFO, *_]:
                return OK, DISK_SECTOR_BYTES, self.medium.sectors
            case [DiskOperation.READ, sector, count, *_] if self._is_there(sector, count):
                return self._transfer(words, now_ns, sector, min(count, BATCH), None)
            case [DiskOperation.WRITE, sector, count, *data] if self._is_there(sector, count):
                if count <= min(BATCH, len(data) * WORD_SIZE // DISK_SECTOR_BYTES):
                    return self._transfer(words, now_ns, sector, count, bytes_of(data))
            case [DiskOperation.FLUSH, *_]:
                self.medium.content.sync()
                return (OK,)
        return (BAD_REQUEST,)

    def _is_there(self, sector: int, count: int) -> bool:
        return count > 0 and sector + count <= self.medium.sectors

    def _transfer(
        self, words: tuple[int, ...], now_ns: int, sector: int, count: int, data: bytes | None
    ) -> tuple[int, ...]:
        """Read sectors, or write `data` to them."""
        fault = self._draw(words, now_ns)
        count = max(1, count // 2) if fault.is_short else count
        duration_ns = self.latency_ns + count * DISK_SECTOR_BYTES * NS_PER_S // self.bytes_per_second + fault.delay_ns
        self._free_ns = max(now_ns, self._free_ns) + duration_ns
        if fault.is_error:
            return (FAILED,)
        if data is None:
            if fault.rotten_bit is not None:
                self.medium.rot(sector, fault.rotten_bit)
            return self._read(sector, count)
        for number in range(count):
            piece = data[number * DISK_SECTOR_BYTES : (number + 1) * DISK_SECTOR_BYTES]
            before = self.medium.read(sector + number)
            self._writings.append(_Writing(self._free_ns, sector + number, piece, before))
            self.medium.write(sector + number, piece)
        return OK, count

    def _read(self, sector: int, count: int) -> tuple[int, ...]:
        """The sectors up to the first that cannot be given back."""
        found = []
        for number in range(sector, sector + count):
            data = self.medium.read(number)
            if data is None:
                break
            found.append(data)
        return (OK, len(found), *words_of(b"".join(found))) if found else (FAILED,)

    def cut_power(self, now_ns: int, seed: int = 0) -> None:
        """
        What a power cut at an instant leaves: of what has not been acknowledged, some is written, some is not.

        One sector may be half written; it cannot be read until it is written again.
        """
        pending = [each for each in self._writings if each.done_ns > now_ns]
        written = int(_shares("cut", seed, now_ns)[0] * (2 * len(pending) + 1))  # in halves of sectors
        for number in reversed(range(len(pending))):
            each = pending[number]
            if 2 * number >= written:
                self._undo(each)
            elif 2 * number + 1 == written:
                self._undo(each)
                self.medium.tear(each.sector, each.data, DISK_SECTOR_BYTES // 2)
        self._writings.clear()
        self._answers.clear()
        self._free_ns = now_ns

    def _undo(self, writing: _Writing) -> None:
        if writing.before is None:
            self.medium.tear(writing.sector, writing.data, 0)
        else:
            self.medium.write(writing.sector, writing.before)

    def _draw(self, words: tuple[int, ...], now_ns: int) -> _Fault:
        """What a request meets: the same whenever it is asked for at the same instant."""
        faults = self.faults
        if faults is None:
            return NO_FAULT
        error, short, rot, delay, bit = _shares(faults.seed, now_ns, words)
        return _Fault(
            is_error=error < faults.error,
            is_short=short < faults.short,
            rotten_bit=int(bit * 8 * DISK_SECTOR_BYTES) if rot < faults.rot else None,
            delay_ns=faults.delay_ns if delay < faults.delay else 0,
        )


def _shares(*of: object) -> tuple[float, ...]:
    """Five numbers from 0 up to 1, which follow from what they are of."""
    digest = blake2b(repr(of).encode(), digest_size=40).digest()
    return tuple(int.from_bytes(digest[at : at + 8], "little") / (1 << 64) for at in range(0, 40, 8))
