"""Memory of the host's for a processor to work on."""

from __future__ import annotations

import ctypes
import mmap

from fluke_async.errors import FlukeError


def reserve(size: int) -> tuple[mmap.mmap, int]:
    """Zeroed memory of the host's, given when touched, and its address."""
    try:
        if hasattr(mmap, "MAP_PRIVATE"):
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        else:
            memory = mmap.mmap(-1, size)
    except (OSError, OverflowError, ValueError) as error:
        raise FlukeError(f"the host does not give {size} bytes of memory ({error}): use less memory") from error
    return memory, ctypes.addressof(ctypes.c_char.from_buffer(memory))
