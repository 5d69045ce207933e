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


class Case(NamedTuple):
    """A deed, who helps after it, and whether somebody keeps what is kept then."""

    deed: Deed
    help: Deed = lambda _: None
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


@cache
def moments(model: str, preemption: str, kind: Kind, copier: str, away: str, kept: str) -> tuple[int, ...]:
    """Where the undisturbed transfer can be disturbed; it comes to its end."""
    transfer = KeptTransfer(model, preemption, kind, copier, away, kept)
    found = transfer.moments()
    assert transfer.check()
    return tuple(found)


@pytest.mark.parametrize(("model", "preemption"), CONFIGURATIONS)
@pytest.mark.parametrize(("kind", "copier", "away"), TRANSFERS, ids=[",".join(map(str, row)) for row in TRANSFERS])
@pytest.mark.parametrize("what", ["region", "space"])
@pytest.mark.parametrize("name", CASES)
def test_message_arrives_while_somebody_keeps_what_is_kept_and_else_both_ends_know(
    model: str, preemption: str, kind: Kind, copier: str, away: str, what: str, name: str
) -> None:
    case, outcomes = CASES[name], set()
    for moment in moments(model, preemption, kind, copier, away, what):
        kept = KeptTransfer(model, preemption, kind, copier, away, what)
        play(kept.machine, moment)
        case.deed(kept)
        check(kept.machine.core)
        kept.settle()
        case.help(kept)
        kept.settle()
        outcomes.add(kept.check())
    assert outcomes == ({True} if case.is_kept else {True, False})
