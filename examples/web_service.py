"""
Programs behind a web service: each request runs one, under a budget, and none is lost.

    pip install '.[examples]'
    python examples/web_service.py

    POST /programs/primes?args=20000+2      starts a program; the answer is its output, as it comes
    POST /frozen/TOKEN                      goes on with one that was frozen

The header `token` of each answer names the program. When its budget is spent, or the client leaves in the middle, it is
frozen: an image is all that is kept of it. Who comes back with the token gets the rest of the output, on a new budget.
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

BUDGET = 5_000_000  # instructions for one request
FROZEN = "(frozen)\n"


async def start(request: Request) -> StreamingResponse:
    args = request.query_params.get("args", "").split()
    try:
        process = await request.app.state.kernel.spawn(request.path_params["name"], args, budget=BUDGET)
    except fluke.ProgramError as error:
        raise HTTPException(404, str(error)) from error
    return answer(request, secrets.token_urlsafe(), process, b"")


async def thaw(request: Request) -> StreamingResponse:
    token = request.path_params["token"]
    if token not in request.app.state.frozen:
        raise HTTPException(404, "nothing is frozen under this token")
    image, unread = request.app.state.frozen.pop(token)
    return answer(request, token, await request.app.state.kernel.restore(image, budget=BUDGET), unread)


def answer(request: Request, token: str, process: fluke.Process, unread: bytes) -> StreamingResponse:
    """What was not read before, and a program's output as it comes. If it has not ended by then, it is frozen."""

    async def output() -> AsyncIterator[bytes]:
        undelivered = unread
        try:
            yield unread
            undelivered = b""
            async for chunk in process.stdout:
                undelivered = chunk
                yield chunk
                undelivered = b""
            if (await process.wait()).reason == "budget":
                yield FROZEN.encode()
        finally:
            with anyio.CancelScope(shield=True):  # the client may have left: there is time for this all the same
                await process.suspend()
                if process.state in {"suspended", "budget"}:
                    image = await process.checkpoint()
                    await process.kill()
                    request.app.state.frozen[token] = image, undelivered + await process.stdout.read_all()

    return StreamingResponse(output(), media_type="text/plain", headers={"token": token})


@asynccontextmanager
async def kernel_of(application: Starlette) -> AsyncIterator[None]:
    async with fluke.Kernel() as kernel:
        application.state.kernel, application.state.frozen = kernel, {}
        yield


ROUTES = {"/programs/{name}": start, "/frozen/{token}": thaw}
service = Starlette(
    routes=[Route(path, endpoint, methods=["POST"]) for path, endpoint in ROUTES.items()], lifespan=kernel_of
)


async def main() -> None:
    transport = httpx.ASGITransport(service)
    async with kernel_of(service), httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        state = service.state
        leaving = asyncio.create_task(client.post("/programs/primes", params={"args": "100000 2"}))
        while not state.kernel.processes():  # noqa: ASYNC110  # until the program runs
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)  # and the answer has begun
        leaving.cancel()
        await asyncio.wait([leaving])
        ((token, (image, _)),) = state.frozen.items()
        print(f"the client has left; frozen: {image.manifest.program} {' '.join(image.manifest.arguments)}")

        reply = await client.post(f"/frozen/{token}")
        rounds = 1
        while reply.text.endswith(FROZEN):
            reply = await client.post(f"/frozen/{token}")
            rounds += 1
        print(f"thawed {rounds} times, {BUDGET:,} instructions each; the last answer:\n{reply.text}", end="")
        print(f"once more: {(await client.post(f'/frozen/{token}')).text}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
