"""Chains: what they take, what breaks them, and that they go on behind it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.verify import chain
from fluke_async.verify.chain import Chain, Links
from fluke_async.verify.check import Check
from fluke_async.verify.closed_run import ClosedRun
from fluke_async.verify.programs import program
from fluke_async.verify.record import UndisturbedRun, add_states, record
from fluke_async.verify.recreate import recreate

NAME, MODEL, PREEMPTION = "primes", "interrupt", "partial"


@pytest.fixture(scope="module")
def undisturbed() -> UndisturbedRun:
    run = record(program(NAME), MODEL, PREEMPTION)
    add_states(run, program(NAME), MODEL, PREEMPTION, run.returns.keys())
    return run


def run_chain(undisturbed: UndisturbedRun, numbers: range, instants: range = range(0)) -> Links:
    return Chain(program(NAME), MODEL, PREEMPTION, undisturbed, numbers, instants).run()


def spoil(monkeypatch: pytest.MonkeyPatch, when: int, mistake: Callable[[ClosedRun], None]) -> None:
    """Make the re-creation with this number, of all, a wrong one."""
    count = 0

    def recreate_wrongly(run: ClosedRun, *, parked: bool) -> str:
        nonlocal count
        stall = recreate(run, parked=parked)
        count += 1
        if count == when:
            mistake(run)
        return stall

    monkeypatch.setattr(chain, "recreate", recreate_wrongly)


@pytest.mark.parametrize("stride", [1, 2, 7])
def test_a_chain_takes_each_of_its_points_and_nothing_differs(undisturbed: UndisturbedRun, stride: int) -> None:
    numbers = range(0, len(undisturbed.points), stride)
    links = run_chain(undisturbed, numbers)
    assert (links.broken, links.stalls) == ("", {})
    assert links.taken == set(numbers)


def test_a_chain_of_instants_takes_them_between_instructions(undisturbed: UndisturbedRun) -> None:
    instants = range(100, undisturbed.end.time, 371)
    links = run_chain(undisturbed, range(0), instants)
    assert (links.broken, links.stalls) == ("", {})
    assert links.instants > 0.9 * len(instants)


def test_instants_that_one_call_runs_over_are_taken_as_one() -> None:
    """The first of them is due at the marked point in the middle of the call, the second at its end."""
    of = program("pipeline"), MODEL, PREEMPTION
    undisturbed = record(*of)
    times = [(name[2], name[0]) for name in undisturbed.points]
    marked = next(number for number, (kind, _) in enumerate(times) if kind == Point.MARKED.value)
    begun, middle = times[marked - 1][1], times[marked][1]
    end, another = [time for time in undisturbed.returns.values() if time > middle][:2]
    instants = [(begun + middle) // 2, (middle + end) // 2, another + 1]
    add_states(undisturbed, *of, undisturbed.returns.keys())
    links = Chain(*of, undisturbed, (), instants).run()
    assert (links.broken, links.stalls) == ("", {})
    assert links.instants == 2


def test_nobody_is_created_again_between_lr_and_sc() -> None:
    """For the reservation is no part of a state: SC would fail, and the loop around it go round once more."""
    run = ClosedRun(program("usertests", ("harts_add",)), MODEL, PREEMPTION)
    late: list[int] = []
    due = 0

    def pause() -> None:
        assert not run.cpu.is_reserved
        late.append(run.core.time - due)
        pause_in_a_while()

    def pause_in_a_while() -> None:
        nonlocal due
        due = run.core.time + 101
        run.pause_at(due)

    run.on_pause = pause
    pause_in_a_while()
    run.run()
    assert run.exit == ("exited", 0)
    run.close()
    assert late.count(1) > 50


def add_to_a_register(run: ClosedRun) -> None:
    run.threads[0].registers[9] += 1


def lose_a_byte(run: ClosedRun) -> None:
    _, frame = max(run.core.root.frames())
    run.cpu.ram[frame + 99] ^= 1


def forget_an_order(run: ClosedRun) -> None:
    for thread in run.threads:
        run.core.reorder(thread, thread.priority + 1, thread.wait_order)


def stop_all(run: ClosedRun) -> None:
    for thread in run.threads:
        run.core.stop(thread)


@pytest.mark.parametrize("mistake", [add_to_a_register, lose_a_byte, forget_an_order, stop_all])
def test_what_is_created_wrongly_breaks_the_chain_there(
    monkeypatch: pytest.MonkeyPatch, undisturbed: UndisturbedRun, mistake: Callable[[ClosedRun], None]
) -> None:
    numbers = range(3, len(undisturbed.points), 7)
    spoil(monkeypatch, 5, mistake)
    links = run_chain(undisturbed, numbers)
    assert links.broken
    assert links.broken_at == numbers[4]
    assert max(links.taken) == numbers[4]


def test_an_error_of_the_kernel_breaks_the_chain(monkeypatch: pytest.MonkeyPatch, undisturbed: UndisturbedRun) -> None:
    def lose_the_space(run: ClosedRun) -> None:
        run.threads[0].space = None

    spoil(monkeypatch, 2, lose_the_space)
    links = run_chain(undisturbed, range(0, len(undisturbed.points), 7))
    assert links.broken
    assert links.broken_at == 7


def test_an_export_that_runs_the_kernel_is_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    export = Thread.export_bits

    def export_in_time(thread: Thread) -> object:
        run.core.statistics.switches += 1
        return export(thread)

    run = ClosedRun(program(NAME), MODEL, PREEMPTION)
    assert recreate(run, parked=True) == ""
    monkeypatch.setattr(Thread, "export_bits", export_in_time)
    assert "ran the kernel" in recreate(run, parked=True)
    run.close()


def test_another_chain_goes_on_behind_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    check = Check(program(NAME), MODEL, PREEMPTION, at_once=True)
    spoil(monkeypatch, 20, add_to_a_register)
    result = check.run()
    (failure,) = result.divergences
    assert (failure.number, failure.form) == (19, "all at once")
    assert result.kernel_points == len(result.points) > 50
