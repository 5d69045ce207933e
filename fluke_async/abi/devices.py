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


class EntropyOperation(IntEnum):
    """`READ offset count` -> `status count bytes...`: bytes of an endless sequence."""

    READ = 1


class StoreOperation(IntEnum):
    """
    Blobs by name, eight words padded with zeros, and pages by what is in them.

    `WRITE transaction offset count bytes...` -> `status end`: adds to what is not to be seen before it is published.

    `PUBLISH transaction size name` -> `status`: whole or not at all; takes the place of what had the name.

    `READ offset count name` -> `status count bytes...`; `SIZE name` -> `status size`; `REMOVE name` -> `status`.

    `NEXT name` -> `status name`: the first name behind one, in order.

    `KEEP bytes...`, a page -> `status key`, four words; `FETCH key` -> `status bytes...`.
    """

    WRITE = 1
    PUBLISH = 2
    READ = 3
    SIZE = 4
    REMOVE = 5
    NEXT = 6
    KEEP = 7
    FETCH = 8


class DiskOperation(IntEnum):
    """
    `INFO` -> `status sector_bytes sectors`.

    `READ sector count` -> `status count bytes...`; `WRITE sector count bytes...` -> `status count`: so many of them.

    `FLUSH` -> `status`, when all that was asked before has been done.
    """

    INFO = 1
    READ = 2
    WRITE = 3
    FLUSH = 4


class DeviceStatus(IntEnum):
    """Word 0 of a device's reply."""

    OK = 0
    BAD_REQUEST = 1
    BAD_OFFSET = 2
    NOT_FOUND = 3
    FAILED = 4
    FULL = 5


CONSOLE_MAX_BYTES = 8160  # one message carries at most one copy chunk: 3 header words and these bytes

STORE_NAME_WORDS = 8
STORE_KEY_WORDS = 4
DISK_SECTOR_BYTES = 512
