"""
Programs behind a web service: each request runs one, under a budget, and none is lost.

    pip install '.[examples]'
    python examples/web_service.py

    POST /programs/primes?args=20000+2      starts a program; the answer is its output, as it comes
    POST /frozen/TOKEN                      goes on with one that was frozen

The header `token` of each answer names the program. When its budget is spent, or the client leaves in the middle, it is
frozen: all that is kept of it is an image. Who comes back with the token gets the rest of the output, on a new budget.
Run so, the file shows that with a client of its own, without a port; `uvicorn examples.web_service:service` serves it.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

import fluke_async as fluke

BUDGET = 3_000_000  # instructions for one request


async def start(request: Request) -> StreamingResponse:
    """Run a program from its beginning."""
    args = request.query_params.get("args", "").split()
    try:
        process = await request.app.state.kernel.spawn(request.path_params["name"], args, budget=BUDGET)
    except fluke.ProgramError as error:
        raise HTTPException(404, str(error)) from error
    return answer(request, secrets.token_urlsafe(), process)


async def thaw(request: Request) -> StreamingResponse:
    """Go on with one that was frozen."""
    token = request.path_params["token"]
    image = request.app.state.frozen.pop(token, None)
    if image is None:
        raise HTTPException(404, "nothing is frozen under this token")
    return answer(request, token, await request.app.state.kernel.restore(image, budget=BUDGET))


def answer(request: Request, token: str, process: fluke.Process) -> StreamingResponse:
    """The output of a program as it comes; what has not ended when the client has what it wants is frozen."""

    async def output() -> AsyncIterator[bytes]:
        try:
            async for chunk in process.stdout:
                yield chunk
            if (await process.wait()).reason == "budget":
                yield b"(frozen)\n"
        finally:
            with anyio.CancelScope(shield=True):  # the client has left: there is time for this all the same
                if process.state in ("running", "budget"):
                    request.app.state.frozen[token] = await process.checkpoint()
                await process.kill()

    return StreamingResponse(output(), media_type="text/plain", headers={"token": token})


@asynccontextmanager
async def kernel_of(application: Starlette) -> AsyncIterator[None]:
    async with fluke.Kernel() as kernel:
        application.state.kernel, application.state.frozen = kernel, {}
        yield


ROUTES = [
    Route("/programs/{name}", start, methods=["POST"]),
    Route("/frozen/{token}", thaw, methods=["POST"]),
]
service = Starlette(routes=ROUTES, lifespan=kernel_of)


async def main() -> None:
    transport = httpx.ASGITransport(service)
    async with kernel_of(service), httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        reply = await client.post("/programs/primes", params={"args": "20000 2"})
        print(f"a budget of {BUDGET:,} instructions: {reply.text}", end="")
        rounds = 0
        while reply.text.endswith("(frozen)\n"):
            reply = await client.post(f"/frozen/{reply.headers['token']}")
            rounds += 1
        print(f"thawed {rounds} times, then:\n{reply.text}", end="")
        print(f"once more: {(await client.post('/frozen/' + reply.headers['token'])).text}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
