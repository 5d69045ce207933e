"""How much of the host's memory this process has, where that can be measured."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

STATM = Path("/proc/self/statm")
measures_memory = pytest.mark.skipif(not STATM.exists(), reason="measures memory through /proc")


def resident_bytes() -> int:
    pages = STATM.read_text(encoding="ascii").split()[1]
    return int(pages) * mmap.PAGESIZE
