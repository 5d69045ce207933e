"""The page's section on planted mistakes leaves none out that was not found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.verify import planted_page
from tests.verify.planted import MISTAKES
from tests.verify.planted_page import Planted, section, section_of_races
from tests.verify.planted_races import RACES

POINT = "point 3 (wait of thread 1 in ipc_call at 7, pc 0x1)"
FOUND = Planted("one", "It is wrong.", f"bulk, process-full: {POINT}, parked: x")
MISSED = Planted("other", "It is wrong | too.", "")


def test_each_mistake_has_a_row() -> None:
    text = "\n".join(section([FOUND, MISSED]))
    assert f"| `one` | It is wrong. | bulk, process-full | {POINT} |" in text
    assert "| `other` | It is wrong \\| too. | NOT FOUND |  |" in text
    assert "2 mistakes" in text
    assert "1 were found" in text


def test_a_mistake_is_planted_in_a_kernel_of_its_own() -> None:
    name = "write_done_again_by_the_console"
    planted = planted_page.plant(name)
    assert planted.name == name in MISTAKES
    assert planted.found.startswith("hello, ")


def test_a_race_is_planted_where_it_shows_itself() -> None:
    name = "mutex_found_free_before_a_point"
    planted = planted_page.plant_race(name)
    assert planted.name == name in RACES
    assert planted.found.startswith("two_count_under_a_mutex, process-full, 2 harts: schedule number ")
    assert "1 were found" in "\n".join(section_of_races([planted, MISSED]))


def test_one_that_is_not_found_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(planted_page, "plant_all", lambda: ([FOUND, MISSED], [FOUND]))
    page = tmp_path / "page.md"
    page.write_text("# Verification\n")
    assert planted_page.main(page) == 1
    assert page.read_text().startswith("# Verification\n\n## Planted mistakes\n")
    monkeypatch.setattr(planted_page, "plant_all", lambda: ([FOUND], [FOUND]))
    assert planted_page.main(page) == 0
