"""
Pages that come and go at random under threads that use them, and stops, interrupts and deaths of all who take part.

Two things are asked. When everything is let go, everybody who is honest gets to its end. And if all is created again
after some of the deeds, the same calls end at the same times as if nothing had happened.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluke_async.abi.codes import PAGE_SIZE, PRIORITY_MAX, WORD_SIZE
from fluke_async.execution.configuration import CONFIGURATIONS
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event
from tests.kernel.machine import Machine, Part
from tests.kernel.messages import Service
from tests.kernel.paging import PAGE_WORDS, Paging
from tests.kernel.recreation import recreate

PAGES = 3
WORDS = 2 * PAGE_WORDS + 100  # of a message: two chunks, three pages
RESULTS, LOCK = 3 * PAGE_WORDS - 32, 2 * PAGE_SIZE + 64  # in the last page: words that are written, and a mutex


class Deed(NamedTuple):
    """What is done, to whom, and how long all run before it."""

    name: str
    which: int
    after: int


class World:
    """A region over a region, the keepers of both, a server, and threads that use the memory and each other."""

    def __init__(self, model: str, preemption: str) -> None:
        self.machine = Machine(model, preemption)
        self.outer = Paging(self.machine, PAGES)
        self.inner = Paging(self.machine, PAGES, over=self.outer)
        self.service = Service(self.machine)
        self.mutex = self.outer.new(Mutex, 2, LOCK % PAGE_SIZE // 16)
        self.reference = self.service.reference
        self.keepers = [self.keep(0), self.keep(1)]
        self.servers = [self.serve(12), self.serve(10)]
        self.honest = [self.client(n) for n in range(2)] + [self.adder(n) for n in range(2)]
        self.addresses = [thread.address for thread in self.honest]

    # -- who takes part ---------------------------------------------------------------------------------------------

    def keep(self, level: int) -> int:
        paging = (self.outer, self.inner)[level]
        bring = [self.call("mapping_protect", mapping=self.at(mapping), prot=7) for mapping in paging.mappings]
        receive = {"receive_buffer": self.machine.buffer(8), "receive_words": 8}
        setup = self.call("ipc_setup_wait_receive", portset=self.at(paging.portset), **receive)
        answer = self.call("ipc_reply_wait_receive", **receive)
        keeper = self.machine.spawn(setup, "serve", *bring, answer, ("jump", "serve"), priority=11 + 3 * level)
        return keeper.address

    def serve(self, priority: int) -> int:
        """It receives, and answers, in the memory that comes and goes."""
        receive = {"receive_buffer": self.inner.view, "receive_words": WORDS}
        setup = self.call("ipc_setup_wait_receive", portset=self.at(self.service.portset), **receive)
        answer = self.call("ipc_reply_wait_receive", send_buffer=self.inner.view, send_words=WORDS, **receive)
        return self.inside(setup, "serve", ("burn", 50), answer, ("jump", "serve"), priority=priority).address

    def client(self, number: int) -> Thread:
        """Its reply ends before the words that the others write."""
        buffers = {"send_buffer": self.inner.view, "send_words": WORDS, "receive_buffer": self.inner.view}
        call = self.call("ipc_call", destination_ref=self.at(self.reference), receive_words=WORDS, **buffers)
        return self.inside(
            ("burn", 20 + number),
            call,
            ("burn", 100),
            call,
            self.handler(),
            interrupt_handler="handler",
            priority=11 + number,
        )

    def adder(self, number: int) -> Thread:
        """Under the mutex, it adds to a word that both share, three times."""
        at = self.inner.view + RESULTS * WORD_SIZE
        lock, unlock = (self.call(f"mutex_{what}", mutex=self.inner.view + LOCK) for what in ("lock", "unlock"))
        add = [("load", "s2", "zero", at), ("add", "s2", "s2", 1), ("burn", 60), ("store", "s2", "zero", at)]
        work = [part for _ in range(3) for part in (lock, *add, unlock)]
        return self.inside(*work, self.handler(), interrupt_handler="handler", priority=13)

    def inside(self, *parts: Part, **options: Any) -> Thread:
        """A thread in the memory that comes and goes."""
        space: Any = self.machine.core.objects[self.inner.space.address]
        return self.machine.spawn(*parts, space=space, **options)

    def handler(self) -> list[Part]:
        return [("jump", "end"), "handler", self.machine.bare_call("thread_return_from_exception"), "end"]

    # -- names that outlive the objects -----------------------------------------------------------------------------

    def at(self, target: Any) -> int:
        """Where programs name an object that may have been created again since."""
        return next(
            address
            for each, address in self.machine.addresses.items()
            if each.address == target.address and each.active
        )

    def call(self, name: str, **operands: Any) -> list[Any]:
        return self.machine.call(name, **operands)

    def thread(self, address: int) -> Thread | None:
        found = self.machine.core.objects.get(address)
        return found if isinstance(found, Thread) else None

    # -- deeds ------------------------------------------------------------------------------------------------------

    def do(self, deed: Deed) -> None:
        self.machine.run_for(deed.after)
        everybody = [*self.addresses, *self.keepers, *self.servers]
        thread = self.thread(everybody[deed.which % len(everybody)])
        if deed.name in ("take", "bring"):
            paging = (self.outer, self.inner)[deed.which // PAGES % 2]
            mapping = paging.mappings[deed.which % PAGES]
            self.act("mapping_protect", mapping=self.at(mapping), prot=0 if deed.name == "take" else 7)
        elif deed.name == "forget":
            self.machine.core.tables.empty()
        elif deed.name == "kill":
            self.kill(deed.which)
        elif thread is None:
            return
        elif deed.name == "stop" and not thread.stopped:
            self.machine.core.stop(thread)
        elif deed.name == "start" and thread.stopped:
            self.machine.core.start(thread)
        elif deed.name == "interrupt":
            self.act("thread_interrupt", thread=self.at(thread))
        elif deed.name == "reissue":
            if not thread.stopped:
                self.machine.core.stop(thread)
            thread.import_state(self.machine.core, None, None, {"waiting_for": None})

    def act(self, name: str, **operands: Any) -> None:
        """Have a thread that comes before all others make a call."""
        actor = self.machine.spawn(self.call(name, **operands), priority=PRIORITY_MAX)
        while not self.machine.done(actor):
            self.machine.step()
        self.machine.core.destroy(actor)

    def kill(self, which: int) -> None:
        """A keeper or a server dies, and another takes its place."""
        group, index = (self.keepers, self.servers)[which % 2], which // 2 % 2
        thread = self.thread(group[index])
        assert thread is not None
        self.act("thread_destroy", thread=self.at(thread))
        group[index] = self.keep(index) if group is self.keepers else self.serve((12, 10)[index])

    def let_go(self) -> None:
        for address in [*self.addresses, *self.keepers, *self.servers]:
            thread = self.thread(address)
            if thread is not None and thread.stopped:
                self.machine.core.start(thread)
        self.machine.run()

    def check_end(self) -> None:
        """All honest threads are done; keepers and servers wait for messages, and serve nobody."""
        machine = self.machine
        for address in self.addresses:
            thread = self.thread(address)
            assert thread is not None
            assert machine.done(thread), f"{thread} {thread.condition} waits for {thread.waiting_for}"
        for address in [*self.keepers, *self.servers]:
            server = self.thread(address)
            assert server is not None
            assert server.client is None, f"{server} serves {server.client}"
            assert machine.stage(server) == "ipc_wait_receive"
            assert server.waiting_for is not None
        assert machine.word(self.outer.memory + RESULTS * WORD_SIZE) >= 6


DEEDS = ("take", "take", "take", "bring", "forget", "stop", "start", "interrupt", "kill", "reissue")
SCRIPTS = st.lists(
    st.builds(Deed, st.sampled_from(DEEDS), st.integers(0, 23), st.sampled_from((1, 20, 150, 700, 2500))), max_size=16
)
MODELS = st.sampled_from(CONFIGURATIONS)
FIXED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FIXED
@given(MODELS, SCRIPTS)
def test_everybody_gets_to_its_end_when_all_is_let_go(models: tuple[str, str], script: list[Deed]) -> None:
    world = World(*models)
    for deed in script:
        world.do(deed)
    world.let_go()
    world.check_end()


@FIXED
@given(MODELS, SCRIPTS, st.integers(0, 2**16 - 1))
def test_nobody_can_tell_that_all_was_created_again(models: tuple[str, str], script: list[Deed], where: int) -> None:
    """After the deeds whose bits are set."""
    endings = []
    for again in (0, where):
        world = World(*models)
        for number, deed in enumerate(script):
            world.do(deed)
            if again >> number & 1:
                recreate(world.machine)
        world.let_go()
        world.check_end()
        kinds = (Event.FINISH, Event.COMPLETE, Event.EXCEPTION)
        endings.append([event for event in world.machine.events if event[1] in kinds])
    assert endings[0] == endings[1]
