"""Every race that is planted in the kernel is found; and none of them by a plain run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.tidy import ROOT
from tests.verify.explored_worlds import PARTIAL, WORLDS
from tests.verify.planted_races import NOTHING, RACES, SHOWN_BY, SOURCES


@pytest.mark.parametrize("name", RACES)
def test_the_race_is_found_and_not_by_a_plain_run(name: str) -> None:
    command = [sys.executable, "-m", "tests.verify.planted_races", name]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.endswith(f"\nplainly: {NOTHING}\n")


def test_there_are_enough_of_many_kinds() -> None:
    assert SHOWN_BY.keys() == RACES.keys()
    assert len(RACES) == sum(len(source.MISTAKES) for source in SOURCES) >= 20, "or two have the same name"
    scenes = SHOWN_BY.values()
    assert {scene.harts for scene in scenes} == {1, 2, 4}
    assert any(scene.name not in WORLDS for scene in scenes), "programs show some"
    assert sum(scene.configuration == PARTIAL for scene in scenes) >= 8, "some concern the interrupt model too"
