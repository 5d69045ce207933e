"""
The timer: what time it is, and sleeping until an instant.

Requests, in 64-bit words; times are nanoseconds of the kernel's clock:

    PROBE               -> OK
    NOW                 -> OK now
    WAIT_UNTIL instant  -> OK instant, when that has come; at most 2**62

A sleep names the instant at which it ends, so asking again does not sleep longer, nor get another answer.
"""

from __future__ import annotations

from fluke_async.abi.devices import PROBE, DeviceStatus, TimerOperation
from fluke_async.device import DevicePort, Request

TIME_MAX_NS = 1 << 62  # 146 years: the clock must not be made to reach the end of its word
OK, BAD_REQUEST = DeviceStatus.OK, DeviceStatus.BAD_REQUEST


class Timer:
    """One timer serves all programs of a kernel."""

    async def run(self, port: DevicePort) -> None:
        async for request in port:
            self.decide(port, request)

    def decide(self, port: DevicePort, request: Request) -> None:
        """Answer a request, at once or at its instant."""
        now_ns = port.now_ns()
        match request.words:
            case [operation, *_] if operation == PROBE:
                request.reply(OK)
            case [TimerOperation.NOW, *_]:
                request.reply(OK, now_ns)
            case [TimerOperation.WAIT_UNTIL, instant_ns, *_] if instant_ns <= TIME_MAX_NS:
                request.reply_at(max(now_ns, instant_ns), OK, instant_ns)
            case _:
                request.reply(BAD_REQUEST)
