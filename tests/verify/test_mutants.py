"""Mutants: each is one small change, always the same by its number, and some that matter are killed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.tidy import ROOT
from tests.verify.mutants import HARMLESS, TESTS, all_mutants, noticed_by, sample
from tests.verify.mutation import mutant, mutations

SOURCE = """
def f(core, thread, client, server, count):
    if core.trace is not None:
        core.trace(count + 1)
    assert count >= 0
    core.statistics.calls += 1
    if not thread.stopped and count < 4:
        core.advance(server, client)
        thread.order = 0
    return True
"""


def test_the_changes_of_a_source_are_those_that_matter() -> None:
    found = {each.what for each in mutations(ast.parse(SOURCE))}
    assert found == {
        "negated: not thread.stopped and count < 4",
        "other operator: not thread.stopped and count < 4",
        "negation removed: not thread.stopped",
        "other comparison: count < 4",
        "other constant: 4 in not thread.stopped and count < 4",
        "removed: core.advance(server, client)",
        "arguments 0 and 1 swapped: core.advance(server, client)",
        "removed: thread.order = 0",
        "other constant: 0 in thread.order = 0",
        "other constant: True",
    }


def test_each_number_makes_one_change() -> None:
    count = len(mutations(ast.parse(SOURCE)))
    texts = {ast.unparse(mutant(SOURCE, number)) for number in range(count)}
    assert len(texts) == count
    assert ast.unparse(ast.parse(SOURCE)) not in texts
    for text in texts:
        before, after = ast.unparse(ast.parse(SOURCE)).splitlines(), text.splitlines()
        assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


def test_a_sample_is_the_same_by_its_seed() -> None:
    mutants = all_mutants(["ipc", "donation"])
    assert [str(each) for each in sample(mutants, 3, 20)] == [str(each) for each in sample(mutants, 3, 20)]
    assert sample(mutants, 3, 20) != sample(mutants, 4, 20)
    assert len(set(map(str, sample(mutants, 3, 20)))) > 15


def test_what_is_named_is_there() -> None:
    for module, names in TESTS.items():
        assert all(Path(ROOT, f"tests/kernel/test_{name}.py").exists() for name in names), module
    changes = {(each.module, each.mutation.what) for each in all_mutants(list(TESTS))}
    assert changes >= HARMLESS.keys()


@pytest.mark.parametrize(
    ("module", "what", "trial"),
    [
        ("objects.mutex", "removed: core.complete(waiter, Status.SUCCESS)", "programs"),
        ("donation", "removed: note_donors(core, thread)", "tests"),
    ],
)
def test_a_change_that_matters_is_noticed(module: str, what: str, trial: str) -> None:
    changed = next(each for each in all_mutants([module]) if each.mutation.what == what)
    assert noticed_by(module, changed.number) == trial
