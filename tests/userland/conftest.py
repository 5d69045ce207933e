"""What tests of the programs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluke_async import programs, toolchain


@pytest.fixture
def userland_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `userland` that may be spoiled."""
    original, copy = programs.userland_directory(), tmp_path / "userland"
    for source in original.rglob("*"):
        if source.is_file():
            target = copy / source.relative_to(original)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    monkeypatch.setattr(programs, "userland_directory", lambda: copy)
    monkeypatch.setattr(toolchain, "userland_directory", lambda: copy)
    return copy
