"""
Orders to a manager, which reads processes out and makes them again for whoever owns their memory.

A manager asks for them, as it would ask a device. It sees each process through a window: a region over the process's
memory and, after that, over what is its parent's, where references are to what the process may refer to outside. In
records, the name of each is its number there, in decimal digits.
"""

from __future__ import annotations

from enum import IntEnum

from fluke_async.abi.layout import Field, Layout

ORDER_PUT_MAX_BYTES = 8152  # of records in one message, beside 4 words


class OrderOperation(IntEnum):
    """
    What a manager asks of whoever made its processes, of which it is told by number.

    `NEXT done error offset type link`, a name of 32 bytes -> `status`, the words of `struct fluke_order`, and a
    reference to the region over a process's memory: what is to be done when `done` is.

    `HOLD number` -> `status`: the process stands still, and what is in its memory now is to be kept.

    `PUT number offset count bytes...` -> `status end`: part of the records.

    `GET number offset` -> `status count bytes...`: likewise.

    `MADE number` -> `status`: the objects are made, with spaces among them, and nothing runs yet.
    """

    NEXT = 1
    HOLD = 2
    PUT = 3
    GET = 4
    MADE = 5


class OrderKind(IntEnum):
    """
    What is to be done.

    `CAPTURE`: a process is to be read out, and its records are to be put.

    `CREATE`: one is to be made of records that are to be got.

    `FORK`: as `CAPTURE`, but the records stay where they are.

    `BRANCH`: as `CREATE`, of the records that are there.
    """

    CAPTURE = 1
    CREATE = 2
    FORK = 3
    BRANCH = 4


ORDER = Layout(
    "fluke_order",
    "What a manager is to do, as the answer to FLUKE_ORDER_NEXT; offsets are those in the window.",
    (
        Field("status", "FLUKE_DEVICE_OK"),
        Field("number", "which order this is"),
        Field("kind", "FLUKE_ORDER_KIND_*"),
        Field("window_size", "bytes that are to be mapped: the process's memory, then its parent's part"),
        Field("region", "offset of the region over the process's memory"),
        Field("refs", "offset of references to what the process may refer to outside, one in each slot"),
        Field("ref_count", "how many of these there are"),
        Field("record_bytes", "size of the records of which the process is to be made"),
    ),
)
