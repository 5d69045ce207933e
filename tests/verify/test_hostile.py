"""Hostile files and states in short: nothing escapes, what escapes is told, and planted mistakes are found."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from fluke_async.verify import hostile, hostile_files, hostile_images, hostile_states
from fluke_async.verify.hostile import main, run
from fluke_async.verify.hostile_files import file_case
from fluke_async.verify.hostile_images import image_case
from fluke_async.verify.hostile_states import state_case
from tests.tidy import ROOT
from tests.verify.mistakes_of_images import OF_IMAGES
from tests.verify.mistakes_of_input import OF_FILES, OF_STATES

FILES, IMAGES, WORLDS = 1000, 1000, 40


def test_damaged_files_are_loaded_or_refused_and_leave_nothing() -> None:
    tally = run(file_case, 11, range(FILES))
    assert tally.escapes == []
    assert tally.outcomes.total() == FILES
    assert tally.outcomes["loaded"] > FILES / 10
    assert tally.outcomes["refused: no program"] > FILES / 3
    assert tally.outcomes["refused: no room for it"] > 5
    assert sum(times for outcome, times in tally.outcomes.items() if outcome.startswith("run")) > 20


def test_damaged_images_are_loaded_or_refused_and_can_be_made_real() -> None:
    tally = run(image_case, 11, range(IMAGES))
    assert tally.escapes == []
    assert tally.outcomes.total() == IMAGES
    assert tally.outcomes["another, made real"] > IMAGES / 30
    assert tally.outcomes["the same"] > IMAGES / 50
    reasons = {outcome for outcome in tally.outcomes if outcome.startswith("refused: ")}
    for noun in ("thread", "mutex", "mapping", "image", "section", "page", "table", "manifest", "file"):
        assert any(noun in reason for reason in reasons), noun


def test_forged_states_are_taken_or_refused_and_the_kernel_goes_on() -> None:
    tally = run(state_case, 11, range(WORLDS))
    assert tally.escapes == []
    met = tally.outcomes
    for noun in ("thread", "mutex", "cond", "port", "portset", "region", "mapping", "space"):
        assert met[f"{noun}_set_state: taken"], noun
    assert met["thread_set_state: INVALID_STATE"] > met["thread_set_state: taken"] / 10
    waits = {outcome for outcome in met if "waiting for a" in outcome}
    assert {"a thread in fault, waiting for a port", "a thread in mutex_lock, waiting for a cond"} <= waits
    assert len(waits) > 15


def test_the_same_case_comes_to_the_same() -> None:
    assert state_case(5, 2) == state_case(5, 2)
    assert file_case(5, 2) == file_case(5, 2)
    assert image_case(5, 2) == image_case(5, 2)


def a_case(seed: int, number: int) -> Counter[str]:
    if number == 3:
        raise KeyError(seed)
    return Counter({"well": 1})


def test_a_case_that_escapes_is_told_with_the_command_that_shows_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("some.module", a_case, "cases", ["--seed", "7", "--count", "5"]) == 1
    output = capsys.readouterr().out
    assert "KeyError: 7" in output
    assert "python -m some.module --seed 7 --first 3 --count 1\n" in output
    assert "4 well" in output
    assert "5 cases of seed 7" in output
    assert main("some.module", a_case, "cases", ["--seed", "7", "--first", "3", "--count", "1"]) == 1
    assert main("some.module", a_case, "cases", ["--seed", "7", "--count", "3"]) == 0


def test_a_case_without_an_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "SECONDS_MAX", 0.02)

    def endless(seed: int, number: int) -> Counter[str]:
        while True:
            try:
                number += 1
            except Exception:  # noqa: BLE001  # what is cut off may catch whatever it likes
                number = 0

    tally = run(endless, 1, [0])
    assert [number for number, _ in tally.escapes] == [0]
    assert "TookTooLong" in tally.escapes[0][1]


@pytest.mark.parametrize("module", [hostile_files, hostile_images, hostile_states], ids=lambda module: module.__name__)
def test_the_command_carries_out_what_it_is_told(module: object) -> None:
    name = getattr(module, "__name__")  # noqa: B009
    command = [sys.executable, "-m", name, "--seed", "2", "--first", "5", "--count", "2"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout
    assert "\n2 " in result.stdout
    assert result.stdout.endswith(": 0 escapes\n")


def test_planted_mistakes_are_found() -> None:
    names = [each.__name__ for each in (*OF_FILES, *OF_IMAGES, *OF_STATES)]
    command = [sys.executable, "-m", "tests.verify.planted_input"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [line.partition(": case ")[0] for line in result.stdout.splitlines()] == names
