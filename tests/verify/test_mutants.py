"""Mutants: each is one small change, always the same by its number, and some that matter are killed."""

from __future__ import annotations

import ast
from datetime import date
from pathlib import Path

import pytest

from tests.tidy import ROOT
from tests.verify.mutant_tables import HARMLESS, SURVIVORS, TESTS, file_of
from tests.verify.mutants import Tally, all_mutants, noticed_by, reason_of, sample
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
        assert len(set(names)) == len(names), module
        assert all(Path(ROOT, file_of(name)).exists() for name in names), module
    changes = {each.key for each in all_mutants(list(TESTS))}
    assert changes >= HARMLESS.keys() | SURVIVORS.keys()
    assert not HARMLESS.keys() & SURVIVORS.keys()
    assert all([*HARMLESS.values(), *SURVIVORS.values()])


def test_the_order_of_arguments_that_means_nothing_is_not_changed() -> None:
    assert [each.what for each in mutations(ast.parse("x = min(done, words)"))] == []
    assert len(mutations(ast.parse("x = copy(done, words)"))) == 1


def test_a_tally_says_what_lived_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever changes nothing does not count."""
    mutants = all_mutants(["ipc", "revocation"])
    harmless = next(each for each in mutants if each.key in HARMLESS)
    survivor, *others = [each for each in mutants if each.key not in HARMLESS.keys() | SURVIVORS.keys()][:4]
    tally = Tally(seed=7)
    tally.add(harmless, "")
    tally.add(survivor, "")
    for each in others:
        tally.add(each, "tests")
    assert tally.summary == "3 of 4 killed (75 %); 1 others change nothing"
    said = capsys.readouterr().out
    assert f"{survivor}: survived: not understood yet\n" in said
    report = tally.report(date(2026, 11, 29))
    assert "| 5 | 1 | 3 | 1 | 75.0 % |" in report
    assert "--seed 7 --count 5" in report
    for lived in (harmless, survivor):
        assert f"| `{lived.place}` | `{lived.mutation.what}` | {reason_of(lived)} |" in report


def test_the_bars_of_a_change_are_no_bars_of_the_table() -> None:
    mutant = next(each for each in all_mutants(["recreation"]) if "|" in each.mutation.what)
    tally = Tally(seed=7)
    tally.add(mutant, "")
    row = tally.report(date(2026, 11, 29)).splitlines()[-1]
    assert row.replace("\\|", "").count("|") == 4


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
