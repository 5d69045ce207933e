"""Work on data that nobody else has: in a worker thread if it is much, so that the event loop goes on meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread

MUCH_BYTES = 128 << 10  # of records, or of a table of pages: some 3 ms; less is done before a thread has begun

T = TypeVar("T")


async def apart(size_bytes: int, work: Callable[[], T]) -> T:
    """What comes of `work`, which is done to so much data, touches nothing of a kernel, and is not cut off."""
    if size_bytes < MUCH_BYTES:
        return work()
    return await anyio.to_thread.run_sync(work)
