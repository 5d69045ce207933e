"""The service of the example loses nothing of a program, whenever its client leaves."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from starlette.requests import ClientDisconnect

import fluke_async as fluke
from examples.web_service import FROZEN, kernel_of, service

ARGUMENTS = ["300", "1"]


class Client:
    """Takes so many pieces of an answer, then it is gone."""

    def __init__(self, pieces: int) -> None:
        self.left = pieces
        self.status = 0
        self.token = ""
        self.body = b""

    async def post(self, path: str, query: str = "") -> None:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "query_string": query.encode(),
            "headers": [],
            "app": service,
        }
        await service(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.token = dict(message["headers"]).get(b"token", b"").decode()
        elif message.get("body"):
            self.left -= 1
            if self.left < 0:
                raise OSError
            self.body += message["body"]


async def undisturbed() -> bytes:
    async with fluke.Kernel() as kernel:
        return await (await kernel.spawn("clock", ARGUMENTS)).stdout.read_all()


async def frozen(token: str) -> bool:
    """Whether the program is, as soon as that is known of a client that has left."""
    for _ in range(100):
        if token in service.state.frozen:
            return True
        await anyio.sleep(0.01)
    return False


@pytest.mark.parametrize("pieces", [0, 1, 3])
async def test_who_comes_back_gets_the_rest(monkeypatch: pytest.MonkeyPatch, pieces: int) -> None:
    monkeypatch.setattr("examples.web_service.BUDGET", 300_000)
    async with kernel_of(service):
        client = Client(pieces)
        with pytest.raises(ClientDisconnect):
            await client.post("/programs/clock", "args=" + "+".join(ARGUMENTS))
        assert client.status == 200
        assert await frozen(client.token)
        body, token, rounds = client.body, client.token, 0
        while token in service.state.frozen:
            client = Client(1_000_000)
            await client.post(f"/frozen/{token}")
            assert (client.status, client.token) == (200, token)
            body += client.body.removesuffix(FROZEN.encode())
            rounds += 1
        assert not service.state.kernel.processes()
    assert body == await undisturbed()
    assert rounds > 1


@pytest.mark.parametrize("path", ["/frozen/nothing", "/programs/nothing"])
async def test_what_is_not_there_is_not_found(path: str) -> None:
    async with kernel_of(service):
        client = Client(1)
        await client.post(path)
    assert client.status == 404
