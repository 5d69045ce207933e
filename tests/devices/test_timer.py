"""The timer by itself."""

from __future__ import annotations

import pytest

from fluke_async.abi.devices import PROBE, DeviceStatus, TimerOperation
from fluke_devices.timer import Timer
from tests.devices.host import running

OK, BAD_REQUEST = DeviceStatus.OK, DeviceStatus.BAD_REQUEST
NOW, WAIT_UNTIL = TimerOperation.NOW, TimerOperation.WAIT_UNTIL


async def test_it_is_there_and_tells_the_time() -> None:
    async with running(Timer()) as bench:
        assert await bench.ask(PROBE) == (OK,)
        assert await bench.ask(NOW) == (OK, 0)
        bench.host.advance(1234)
        assert await bench.ask(NOW) == (OK, 1234)


async def test_a_sleep_ends_at_its_instant_however_often_it_is_asked_for() -> None:
    async with running(Timer()) as bench:
        for time_ns in (0, 10, 99):
            bench.host.advance(time_ns)
            assert await bench.ask(WAIT_UNTIL, 100) is None
        bench.host.advance(100)
        assert [answer[0] for answer in bench.host.answers] == [100] * 3
        assert {answer[2] for answer in bench.host.answers} == {(OK, 100)}


async def test_sleeping_until_the_past_ends_at_once() -> None:
    async with running(Timer()) as bench:
        bench.host.advance(50)
        assert await bench.ask(WAIT_UNTIL, 20) == (OK, 20)
        assert await bench.ask(WAIT_UNTIL, 50) == (OK, 50)


async def test_a_sleep_is_no_open_request_to_the_outside() -> None:
    async with running(Timer()) as bench:
        assert await bench.ask(WAIT_UNTIL, 2**62) is None
        assert not bench.port.has_open_requests


@pytest.mark.parametrize(
    "words", [(), (99,), (WAIT_UNTIL,), (WAIT_UNTIL, 2**62 + 1), (WAIT_UNTIL, 2**64 - 1), (2**64 - 1, 5)]
)
async def test_what_makes_no_sense_is_refused(words: tuple[int, ...]) -> None:
    async with running(Timer()) as bench:
        assert await bench.ask(*words) == (BAD_REQUEST,)
