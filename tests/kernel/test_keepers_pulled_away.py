"""
A keeper is destroyed, stopped or replaced at every moment of a message whose fault it is to resolve.

At each, for every kind of message, whoever copies and whoever misses the page: where somebody keeps what is kept, the
message arrives whole; else who missed the page has its exception, the other goes on with somebody else or learns that
it is alone, and what has arrived is the message's beginning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import NamedTuple

import pytest

from tests.kernel.invariants import check
from tests.kernel.kept_transfers import KeptTransfer
from tests.kernel.torn import play
from tests.kernel.transfers import KINDS, ROLES, Kind

CONFIGURATIONS = (("interrupt", "partial"), ("process", "full"))  # the two that have the least in common
Deed = Callable[[KeptTransfer], None]


def nothing(kept: KeptTransfer) -> None:
    """Do nothing."""


class Case(NamedTuple):
    """A deed, who helps after it, and whether somebody keeps what is kept then."""

    deed: Deed
    help: Deed = nothing
    is_kept: bool = True


def destroy_server(kept: KeptTransfer) -> None:
    kept.machine.core.destroy(kept.server)


def stop_server(kept: KeptTransfer) -> None:
    if kept.server.exception is None:
        kept.machine.core.stop(kept.server)


def destroy_portset(kept: KeptTransfer) -> None:
    kept.machine.core.destroy(kept.keeper.portset)


def destroy_port(kept: KeptTransfer) -> None:
    kept.machine.core.destroy(kept.keeper.port)


def dismiss(kept: KeptTransfer) -> None:
    kept.machine.load(kept.kept, keeper=None)


def name_another(kept: KeptTransfer) -> None:
    kept.replace_port()
    kept.new_server()


def serve_again(kept: KeptTransfer) -> None:
    kept.new_server()


def serve_elsewhere(kept: KeptTransfer) -> None:
    kept.replace_portset()
    kept.new_server()


CASES: dict[str, Case] = {
    "its server is destroyed, and another comes": Case(destroy_server, serve_again),
    "its server is stopped, and goes on later": Case(stop_server),
    "its port set is destroyed, and another comes": Case(destroy_portset, serve_elsewhere),
    "its port is destroyed": Case(destroy_port, is_kept=False),
    "it is dismissed": Case(dismiss, is_kept=False),
    "another is named": Case(name_another),
}
TRANSFERS = [(kind, copier, away) for kind, copier, away in product(KINDS, ROLES, ROLES) if copier in kind.copiers]

IDS = [",".join(map(str, row)) for row in TRANSFERS]


@cache
def moments(
    model: str, preemption: str, kind: Kind, copier: str, away: str, kept: str, *, is_served: bool = True
) -> tuple[int, ...]:
    """Where the undisturbed transfer can be disturbed; it comes to its end, as soon as somebody serves."""
    transfer = KeptTransfer(model, preemption, kind, copier, away, kept, is_served=is_served)
    found = transfer.moments()
    if not is_served:
        assert transfer.away.waiting_for is transfer.keeper.port
    assert outcome(transfer, nothing if is_served else serve_again)
    return tuple(found)


@pytest.mark.parametrize(("model", "preemption"), CONFIGURATIONS)
@pytest.mark.parametrize(("kind", "copier", "away"), TRANSFERS, ids=IDS)
@pytest.mark.parametrize("what", ["region", "space"])
@pytest.mark.parametrize("name", CASES)
def test_message_arrives_while_somebody_keeps_what_is_kept_and_else_both_ends_know(
    model: str, preemption: str, kind: Kind, copier: str, away: str, what: str, name: str
) -> None:
    case, outcomes = CASES[name], set()
    for moment in moments(model, preemption, kind, copier, away, what):
        kept = KeptTransfer(model, preemption, kind, copier, away, what)
        play(kept.machine, moment)
        outcomes.add(outcome(kept, case.deed, case.help))
    assert outcomes == ({True} if case.is_kept else {True, False})


@pytest.mark.parametrize(("kind", "copier", "away"), TRANSFERS, ids=IDS)
@pytest.mark.parametrize("what", ["region", "space"])
@pytest.mark.parametrize("name", [name for name in CASES if "server" not in name])
def test_same_holds_while_nobody_serves_and_who_asks_stands_in_line(
    kind: Kind, copier: str, away: str, what: str, name: str
) -> None:
    """Up to the moment when there is nothing to do but to wait; the model matters to the other end alone."""
    case, outcomes = CASES[name], []
    for moment in moments("process", "partial", kind, copier, away, what, is_served=False):
        kept = KeptTransfer("process", "partial", kind, copier, away, what, is_served=False)
        play(kept.machine, moment)
        outcomes.append(outcome(kept, case.deed, case.help if case.is_kept else nothing, serve_again))
    assert set(outcomes) == {case.is_kept}
    assert len(outcomes) > 2


def outcome(kept: KeptTransfer, *deeds: Deed) -> bool:
    """Whether the message arrives after some deeds, between which all who can go on."""
    for deed in deeds:
        deed(kept)
        check(kept.machine.core)
        kept.settle()
    return kept.check()
