"""
Requests that the standard ports understand: the first word of a message is the operation, word 0 of a reply a status.

Every request is idempotent by its arguments, because `ipc_call` may deliver it more than once: what has an effect
carries the offset at which it takes place, a sleep names the instant at which it ends. Times are nanoseconds of the
kernel's clock; offsets and counts are bytes. Operation 0 asks whether the device is there, of every device.
"""

from __future__ import annotations

from enum import IntEnum

PROBE = 0


class ConsoleOperation(IntEnum):
    """
    `WRITE offset count bytes...` -> `status end`.

    `READ offset count` -> `status count bytes...`; count 0 is the end.
    """

    WRITE = 1
    READ = 2


class TimerOperation(IntEnum):
    """`NOW` -> `status now`; `WAIT_UNTIL instant` -> `status instant`, when that has come."""

    NOW = 1
    WAIT_UNTIL = 2


class ParentOperation(IntEnum):
    """`EXIT status`: ends the program; the first one counts; never answered."""

    EXIT = 1


class DeviceStatus(IntEnum):
    """Word 0 of a device's reply."""

    OK = 0
    BAD_REQUEST = 1
    BAD_OFFSET = 2


CONSOLE_MAX_BYTES = 8160  # one message carries at most one copy chunk: 3 header words and these bytes
