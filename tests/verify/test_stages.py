"""The two calls that the reference follows stage by stage: the same in every configuration, and each stage as told."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fluke_async.abi.entry_points import BY_NAME, BY_NUMBER
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.abi.restarts import moved_in
from fluke_async.execution.configuration import CONFIGURATIONS
from fluke_async.verify.stages import CALLS, Stage, stages_of


def passed_by(stages: list[Stage]) -> list[str]:
    """The calls that the registers have named, in order."""
    return list(dict.fromkeys(BY_NUMBER[stage.registers[ENTRY_POINT]].name for stage in stages))


@pytest.mark.parametrize(("model", "preemption"), CONFIGURATIONS)
def test_the_stages_are_the_same_in_every_configuration(model: str, preemption: str) -> None:
    found, usual = stages_of(model, preemption), stages_of()
    if preemption == "full":  # words move in smaller pieces
        assert {name: passed_by(stages) for name, stages in found.items()} == {
            name: passed_by(stages) for name, stages in usual.items()
        }
    else:
        assert found == usual


@pytest.mark.parametrize("name", CALLS)
def test_every_stage_is_one_that_the_table_names(name: str) -> None:
    assert tuple(passed_by(stages_of()[name])) == BY_NAME[name].restarts_as


@pytest.mark.parametrize("name", CALLS)
def test_what_a_thread_waits_for_is_what_the_table_says(name: str) -> None:
    for stage in stages_of()[name]:
        if stage.waits_for:
            entry = BY_NUMBER[stage.registers[ENTRY_POINT]]
            assert stage.waits_for in {type_.name.lower() for type_ in entry.waits_on}


def test_within_a_stage_of_a_message_only_the_registers_move_that_are_said_to() -> None:
    stages = stages_of()["ipc_client_connect_send_over_receive"]
    moved = 0
    for before, after in pairwise(stages):
        entry = BY_NUMBER[before.registers[ENTRY_POINT]]
        if entry.number == after.registers[ENTRY_POINT] and not after.is_over:
            differing = {index for index in range(32) if before.registers[index] != after.registers[index]}
            assert differing <= set(moved_in(entry))
            moved += len(differing)
    assert moved > 0
