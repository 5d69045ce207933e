"""
Locks, waits, signals, interrupts, stops, deaths and new priorities at random: the kernel stands after each.

Effective priorities are compared with those computed from nothing but base priorities, links and waits, and with those
of the same state after everything was created again.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluke_async.abi.codes import MutexFlags, ThreadFlags
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.abi.registers import A0, ENTRY_POINT
from fluke_async.cpu.scripted_cpu import assemble
from fluke_async.execution.configuration import CONFIGURATIONS, Configuration
from fluke_async.kernel.names import physical
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_condition import Condition
from fluke_async.kernel.translation import WRITE
from tests.kernel.invariants import check, effective_priorities
from tests.kernel.machine import CODE, Machine
from tests.kernel.recreation import recreate
from tests.kernel.states import NO_MISTAKE

THREADS, MUTEXES, CONDS = 6, 4, 2
SLICE = 10_000
NOBODY = -1


class Puppets:
    """
    Threads that make one call each time they are told to; an interrupt or a mistake ends the call.

    Each call ends at a breakpoint, where the thread stops. What cannot be is left out.
    """

    def __init__(self, model: str, preemption: str) -> None:
        self.machine = Machine(model, preemption, effort=SLICE)
        self.machine.forged = True
        self.machine.programs[CODE] = assemble([("ecall",), ("ebreak",)])
        self.threads = [self.new_thread() for _ in range(THREADS)]
        self.mutexes = [self.machine.new(Mutex) for _ in range(MUTEXES)]
        self.conds = [self.machine.new(Cond) for _ in range(CONDS)]
        for mutex in self.mutexes:
            self.machine.load(mutex, {"flags": int(MutexFlags.INHERIT_PRI)})

    def new_thread(self) -> Thread:
        thread = self.machine.new(Thread)
        bits = {
            "flags": int(ThreadFlags.STOPPED | ThreadFlags.EXCEPTION_ENABLE),
            "thread_va": self.machine.addresses[thread],
            "pc": CODE + 4,
            "trap_handler": CODE + 4,
            "interrupt_handler": CODE + 4,
            "quantum_left": 100,
            "priority": 1 + len(self.machine.addresses) % 20,
        }
        self.machine.load(thread, bits, space=self.machine.space)
        return thread

    def call(self, who: int, name: str, *operands: KernelObject) -> None:
        """Have a thread make a call, unless it is in one."""
        thread = self.threads[who]
        if thread.condition in (Condition.EXCEPTION, Condition.STOPPED) and thread.export_link("waiting_for") is None:
            x = list(thread.registers)
            x[ENTRY_POINT] = BY_NAME[name].number
            x[A0 : A0 + len(operands)] = [self.machine.addresses[each] for each in operands]
            flags = int(ThreadFlags.EXCEPTION_ENABLE)
            self.load(thread, {"x": tuple(x), "pc": CODE, "flags": flags, "wait_order": 0, **NO_MISTAKE})

    def load(self, thread: Thread, changes: dict[str, Any], **links: Any) -> None:
        """Stop a thread and change a part of its state."""
        if not thread.stopped:
            self.machine.core.stop(thread)
        bits = THREAD_STATE.unpack(THREAD_STATE.pack(thread.export_bits()))
        thread.import_state(self.machine.core, None, {**bits, **changes}, links)

    def recreate(self) -> None:
        """Create everything again, from what is exported."""
        core = self.machine.core
        recreate(self.machine)

        def new(each: KernelObject) -> Any:
            return core.objects[each.address]

        self.threads, self.mutexes, self.conds = (
            [new(each) for each in many] for many in (self.threads, self.mutexes, self.conds)
        )

    def visible(self) -> dict[int, Any]:
        """What a program could read out."""
        seen = {}
        for each in (*self.threads, *self.mutexes, *self.conds):
            targets = [each.export_link(link.name) for link in each.links]
            seen[each.address] = (each.export_bits(), [target and target.address for target in targets])
        return seen

    def lock(self, who: int, which: int) -> None:
        self.call(who, "mutex_lock", self.mutexes[which])

    def trylock(self, who: int, which: int) -> None:
        self.call(who, "mutex_trylock", self.mutexes[which])

    def unlock(self, who: int, which: int) -> None:
        self.call(who, "mutex_unlock", self.mutexes[which])

    def wait(self, who: int, cond: int, mutex: int) -> None:
        self.call(who, "cond_wait", self.conds[cond], self.mutexes[mutex])

    def signal(self, who: int, which: int) -> None:
        self.call(who, "cond_signal", self.conds[which])

    def broadcast(self, who: int, which: int) -> None:
        self.call(who, "cond_broadcast", self.conds[which])

    def interrupt(self, who: int, whom: int) -> None:
        self.call(who, "thread_interrupt", self.threads[whom])

    def set_priority(self, who: int, priority: int) -> None:
        self.load(self.threads[who], {"priority": priority})

    def set_order(self, who: int, order: int) -> None:
        self.load(self.threads[who], {"wait_order": order})

    def stop(self, who: int) -> None:
        self.machine.core.stop(self.threads[who])

    def start(self, who: int) -> None:
        if self.threads[who].stopped:
            self.machine.core.start(self.threads[who])

    def die(self, who: int) -> None:
        self.machine.core.destroy(self.threads[who])
        self.threads[who] = self.new_thread()

    def park(self, who: int, which: int) -> None:
        """Have a thread wait for something by a state, or for nothing any more."""
        if self.threads[who].registers[ENTRY_POINT] == BY_NAME["mutex_lock"].number:
            target = (*self.mutexes, *self.conds, None)[which]
            self.load(self.threads[who], {"pc": CODE, **NO_MISTAKE}, waiting_for=target)

    def end_mutex(self, which: int) -> None:
        self.machine.core.destroy(self.mutexes[which])
        self.mutexes[which] = self.machine.new(Mutex)

    def end_cond(self, which: int) -> None:
        self.machine.core.destroy(self.conds[which])
        self.conds[which] = self.machine.new(Cond)

    def move(self, which: int) -> None:
        target, slot = (*self.mutexes, *self.conds)[which], self.machine.slot()
        self.machine.core.move(target, physical(self.machine.core, self.threads[0], slot, WRITE))
        self.machine.addresses[target] = slot

    def set_mutex(self, which: int, flags: int, ceiling: int, who: int) -> None:
        links: dict[str, Any] = {} if who == THREADS else {"owner": None if who == NOBODY else self.threads[who]}
        mutex = self.mutexes[which]
        locked = links.get("owner", mutex.owner) is not None
        self.machine.load(mutex, {"flags": flags, "ceiling": ceiling, "locked": locked}, **links)

    def set_inheritor(self, which: int, who: int) -> None:
        self.machine.load(self.conds[which], None, inheritor=None if who == NOBODY else self.threads[who])


WHO, MUTEX, COND = st.integers(0, THREADS - 1), st.integers(0, MUTEXES - 1), st.integers(0, CONDS - 1)
PRIORITY = st.integers(0, 31)
LENDING = st.sampled_from([0, 1, 1, 1, 2, 3])  # mostly INHERIT_PRI
STEP = st.one_of(
    *[st.tuples(st.just(Puppets.lock), WHO, MUTEX)] * 10,
    st.tuples(st.sampled_from([Puppets.trylock, Puppets.unlock]), WHO, MUTEX),
    st.tuples(st.just(Puppets.wait), WHO, COND, MUTEX),
    st.tuples(st.sampled_from([Puppets.signal, Puppets.broadcast]), WHO, COND),
    st.tuples(st.just(Puppets.interrupt), WHO, WHO),
    st.tuples(st.just(Puppets.set_priority), WHO, PRIORITY),
    st.tuples(st.just(Puppets.set_order), WHO, st.integers(1, 1000)),
    st.tuples(st.sampled_from([Puppets.stop, Puppets.start, Puppets.die]), WHO),
    st.tuples(st.just(Puppets.park), WHO, st.integers(0, MUTEXES + CONDS)),
    st.tuples(st.just(Puppets.end_mutex), MUTEX),
    st.tuples(st.just(Puppets.end_cond), COND),
    st.tuples(st.just(Puppets.move), st.integers(0, MUTEXES + CONDS - 1)),
    st.tuples(st.just(Puppets.set_mutex), MUTEX, LENDING, PRIORITY, st.integers(NOBODY, THREADS)),
    st.tuples(st.just(Puppets.set_inheritor), COND, st.integers(NOBODY, THREADS - 1)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    configuration=st.sampled_from(CONFIGURATIONS),
    steps=st.lists(STEP, min_size=30, max_size=60),
)
def test_priorities_are_the_least_that_follow_from_the_state(
    configuration: Configuration, steps: list[tuple[Any, ...]]
) -> None:
    puppets = Puppets(*configuration)
    core = puppets.machine.core
    for step, *numbers in steps:
        step(puppets, *numbers)
        puppets.machine.run()
        check(core, forged=True)
        expected = effective_priorities(list(core.objects.values()))
        assert [thread.effective_priority for thread in puppets.threads] == [
            expected[thread] for thread in puppets.threads
        ]
        assert Condition.READY not in {thread.condition for thread in puppets.threads}, "all have had their turn"
    before = [(thread.address, thread.effective_priority) for thread in puppets.threads]
    recreate(puppets.machine)
    check(core, forged=True)
    for address, priority in before:
        thread = core.objects[address]
        assert isinstance(thread, Thread)
        assert thread.effective_priority == priority


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    model=st.sampled_from(["interrupt", "process"]),
    steps=st.lists(STEP, min_size=20, max_size=50),
    point=st.integers(0, 49),
)
def test_history_goes_on_the_same_when_everything_was_created_again(
    model: str, steps: list[tuple[Any, ...]], point: int
) -> None:
    undisturbed, recreated = Puppets(model, "none"), Puppets(model, "none")
    for number, (step, *numbers) in enumerate(steps):
        for puppets in (undisturbed, recreated):
            step(puppets, *numbers)
            puppets.machine.run()
        if number == min(point, len(steps) - 1):
            recreated.recreate()
            recreated.machine.run()
        assert recreated.visible() == undisturbed.visible(), f"after step {number}"


def test_the_steps_do_what_they_say() -> None:
    """A ring with a donor: some of the steps that random histories are made of."""
    puppets = Puppets("interrupt", "none")
    for who, which in ((0, 0), (1, 1), (0, 1), (1, 0), (2, 0)):
        puppets.lock(who, which)
        puppets.machine.run()
    first, second, third = puppets.threads[:3]
    assert [first.waiting_for, second.waiting_for] == [puppets.mutexes[1], puppets.mutexes[0]]
    puppets.set_priority(2, 30)
    puppets.start(2)
    assert third.waiting_for is puppets.mutexes[0]
    assert (first.effective_priority, second.effective_priority) == (30, 30)
    puppets.die(2)
    assert max(first.effective_priority, second.effective_priority) < 30
