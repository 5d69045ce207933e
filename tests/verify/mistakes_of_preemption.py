"""
Mistakes that nothing shows unless the kernel is preempted at every marked point; see `mistakes`.

What is done between two points is less then, and somebody else can run at each. Elsewhere these mistakes change
nothing: so they are planted under full preemption alone.
"""

from __future__ import annotations

from collections.abc import Callable

from fluke_async.abi.codes import COPY_CHUNK_WORDS, VISITED_PAGES_MAX
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import PROGRESS_WORDS
from fluke_async.execution import dispatcher
from fluke_async.kernel import ipc
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.thread import Thread
from tests.verify.mistakes import replace_handler


def pages_of_a_chunk_committed_with_its_last() -> None:
    """What has arrived of a request is put into the server's registers every 8 KiB, not after each page."""
    original = ipc.move_request_chunk
    moved: dict[Thread, int] = {}

    def move_request_chunk(core: Core, client: Thread, server: Thread) -> bool:
        committed = server.registers[PROGRESS_WORDS]
        server.registers[PROGRESS_WORDS] = max(committed, moved.pop(server, 0))
        whole = original(core, client, server)
        done = server.registers[PROGRESS_WORDS]
        if not whole and done % COPY_CHUNK_WORDS:
            moved[server] = done
            server.registers[PROGRESS_WORDS] = committed
        return whole

    ipc.move_request_chunk = move_request_chunk


def place_of_a_search_committed_with_its_last_page() -> None:
    """How far a search of a region has come is put into its registers every 64 pages, not after each."""
    original = dispatcher.ROWS[BY_NAME["region_search"].number].handler
    places: dict[Thread, tuple[int, list[int]]] = {}

    def region_search(core: Core, thread: Thread) -> int | None:
        before = list(thread.registers)
        steps, place = places.pop(thread, (0, before))
        for number, word in enumerate(place):
            thread.registers[number] = word
        status: int | None = original(core, thread)
        if status is None and core.visited_pages < VISITED_PAGES_MAX and steps + 1 < VISITED_PAGES_MAX:
            places[thread] = (steps + 1, list(thread.registers))
            for number, word in enumerate(before):
                thread.registers[number] = word
        return status

    replace_handler("region_search", region_search)


MISTAKES: tuple[Callable[[], None], ...] = (
    pages_of_a_chunk_committed_with_its_last,
    place_of_a_search_committed_with_its_last_page,
)
