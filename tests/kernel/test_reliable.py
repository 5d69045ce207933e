"""Reliable connections: what is sent arrives, whole and in order, whoever comes first."""

from __future__ import annotations

import pytest

from tests.kernel.conversation_scenarios import CLIENT, SERVER, converse
from tests.kernel.machine import Machine


@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize("pauses", [(1, 1), (20_000, 1), (1, 20_000), (300, 700)], ids=str)
def test_every_call_of_a_conversation_gives_what_was_said(
    machine: Machine, pauses: tuple[int, int], scattered: bool
) -> None:
    client, server = converse(machine, client_pause=pauses[0], server_pause=pauses[1], scattered=scattered)
    machine.run()
    assert machine.done(client.thread)
    assert machine.stage(server.thread) == "ipc_wait_receive"
    for end, turns in ((client, CLIENT), (server, SERVER[:-1])):
        for index, turn in enumerate(turns):
            status, words = end.results(index)
            assert (index, turn.call, status) == (index, turn.call, turn.status)
            if turn.room:
                assert words[: len(turn.received)] == list(turn.received), turn.call
                assert not any(words[len(turn.received) :])
                assert end.words_received(index) == len(turn.received)
    assert client.thread.server is None
    assert server.thread.client is None
