"""Checkpoints of a process in the middle of serving host threads: made or refused by name, and all are answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import pytest

import fluke_async as fluke
from fluke_async.abi.codes import Status
from fluke_async.embedding.host_messages import Requests
from fluke_async.embedding.host_objects import HostReference
from tests.embedding.conftest import MakeKernel
from tests.embedding.host_tasks import thread_of, until

REFUSED = r"the link 'client' of the thread at 0x\w+ leads outside, to what has no name"


@dataclass
class Served:
    """A process that serves a port, and asks a service in the middle of each request."""

    kernel: fluke.Kernel
    process: fluke.Process
    board: fluke.HostPort
    questions: Requests
    port: HostReference

    async def is_refused(self) -> None:
        """Neither an image nor a copy can be made of it now, and nothing is left of the attempts."""
        before = self.kernel.statistics().objects
        for attempt in (self.process.checkpoint(), self.process.checkpoint(), self.process.fork(1)):
            with pytest.raises(fluke.FlukeError, match=REFUSED):
                await attempt
        assert self.kernel.statistics().objects == before


@asynccontextmanager
async def served(kernel: fluke.Kernel) -> AsyncIterator[Served]:
    async with kernel.host_thread() as me:
        board = await me.port()
        process = await kernel.spawn("port_server", services={"board": board})
        await process.checkpoint()  # the manager is there
        questions = me.serve(board)
        first = await anext(questions)
        (port,) = first.references
        await first.reply()
        yield Served(kernel, process, board, questions, port)
        await process.kill()


class ReliableClient:
    """A host thread with a connection to a port."""

    def __init__(self, me: fluke.HostThread) -> None:
        self.me = me

    async def connect(self, port: HostReference, word: int) -> int:
        """Send a word in a new connection; the word that comes back."""
        return await self._turn(
            "ipc_client_connect_send_over_receive", word, destination_ref=await self.me._context.known(port)
        )

    async def go_on(self, word: int) -> int:
        """Send a word in the same one."""
        return await self._turn("ipc_client_ack_send_over_receive", word)

    async def _turn(self, call: str, word: int, **operands: HostReference) -> int:
        words = await self.me.buffer(8)
        words.write(word.to_bytes(8, "little"))
        result = await self.me.system_call(
            call, **operands, send_buffer=words, send_words=1, receive_buffer=words, receive_words=1
        )
        assert result.status == Status.SUCCESS
        return int.from_bytes(words.read(), "little")


async def test_no_image_is_made_of_a_connection_and_it_goes_on(make_kernel: MakeKernel) -> None:
    """In the middle of each of its calls, and between two of them."""
    async with make_kernel() as kernel, served(kernel) as it, kernel.host_thread() as me:
        client, answers = ReliableClient(me), list[int]()

        async def talk() -> None:
            answers.append(await client.connect(it.port, 40))
            await it.is_refused()
            answers.append(await client.go_on(answers[0] + 1))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(talk)
            for word in (40, 42):
                question = await anext(it.questions)
                assert question.words == (word,)
                await it.is_refused()
                await question.reply()
        assert answers == [41, 43]
        await me.system_call("ipc_client_disconnect")
        assert (await it.process.checkpoint()).manifest.running


async def test_who_still_waits_at_the_port_is_answered_later(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, served(kernel) as it, kernel.host_thread() as me, kernel.host_thread() as other:
        answers: dict[str, int] = {}

        async def call() -> None:
            answers["call"] = (await me.exchange(it.port, [1])).words[0]

        async def connect() -> None:
            answers["connection"] = await ReliableClient(other).connect(it.port, 10)
            await other.system_call("ipc_client_disconnect")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            question = await anext(it.questions)
            tasks.start_soon(connect)
            await until(lambda: thread_of(other).waiting_for is not None)
            await it.process.checkpoint()
            assert not answers
            await question.reply()
            question = await anext(it.questions)
            assert question.words == (10,)
            await it.is_refused()
            await question.reply()
        assert answers == {"call": 2, "connection": 11}


async def test_server_that_is_restored_has_no_client_and_asks_again_what_it_had_asked(make_kernel: MakeKernel) -> None:
    """The client of an idempotent call stays with the process that it has called."""
    async with make_kernel() as kernel, served(kernel) as it, kernel.host_thread() as me, kernel.host_thread() as other:
        answers: list[int] = []

        async def call() -> None:
            answers.extend((await me.exchange(it.port, [7])).words)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            question = await anext(it.questions)
            image = await it.process.checkpoint()
            board = await other.port()
            restored = await kernel.restore(image, services={"board": board})
            asked = await anext(other.serve(board))
            assert asked.words == question.words == (7,)
            await asked.reply()
            await restored.checkpoint()
            assert not answers
            await question.reply()
        assert answers == [8]
        assert not restored.has_ended
        await restored.kill()
