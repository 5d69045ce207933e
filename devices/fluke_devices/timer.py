"""
The timer: what time it is, and sleeping until an instant.

Requests, in 64-bit words; times are nanoseconds of the program's clock:

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
    """
    The timer of one program, or of all of a kernel that need none of their own.

    Its time is the kernel's and `offset_ns`. While it is stopped, requests wait: what the time is for them is known
    only when it goes on.
    """

    def __init__(self, offset_ns: int = 0) -> None:
        self.offset_ns = offset_ns
        self._stopped: list[Request] | None = None

    async def run(self, port: DevicePort) -> None:
        async for request in port:
            self.decide(port, request)

    def decide(self, port: DevicePort, request: Request) -> None:
        """Answer a request, at once or at its instant."""
        if self._stopped is not None:
            request.defer()
            self._stopped.append(request)
            return
        now_ns = port.now_ns() + self.offset_ns
        match request.words:
            case [operation, *_] if operation == PROBE:
                request.reply(OK)
            case [TimerOperation.NOW, *_]:
                request.reply(OK, now_ns)
            case [TimerOperation.WAIT_UNTIL, instant_ns, *_] if instant_ns <= TIME_MAX_NS:
                request.reply_at(max(now_ns, instant_ns) - self.offset_ns, OK, instant_ns)
            case _:
                request.reply(BAD_REQUEST)

    def stop(self) -> None:
        """Let time stand still."""
        self._stopped = []

    def go_on(self, port: DevicePort, offset_ns: int) -> None:
        """Let it go on, so many nanoseconds after the kernel's."""
        self.offset_ns = offset_ns
        stopped, self._stopped = self._stopped or [], None
        for request in stopped:
            if request.is_open:
                self.decide(port, request)
