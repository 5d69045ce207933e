"""
Forged states are taken or refused, and the kernel goes on: `python -m fluke_async.verify.hostile_states`.

A case is a world: a program, stopped at some moment of its run, and its parent, who hands forged states to the objects
that are there, `STATES` of them, and lets the threads run a little between. Each is refused with an exception of the
parent's that the table of outcomes has, and nothing has changed; or it is taken, and the object says of itself what was
handed in. The invariants hold after every step. What was taken is read out and loaded again, and that changes nothing,
but that who waits for a port looks again. In the end all is destroyed, and nothing is left.
"""

from __future__ import annotations

import faulthandler
import sys
from collections import Counter
from functools import cache
from random import Random

from fluke_async.abi.codes import ObjectType
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.outcomes import mistakes
from fluke_async.execution.configuration import CONFIGURATIONS
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from fluke_async.programs import find_program
from fluke_async.verify import hostile
from fluke_async.verify.closed_run import ClosedRun, Program
from fluke_async.verify.forged_states import Forger, State
from fluke_async.verify.invariants import check
from fluke_async.verify.parent import FREE_SLOT, Parent
from fluke_async.verify.programs import ARGUMENTS, STDIN, program

STATES = 25  # of each world
TESTS_SHARE = 0.5  # of the worlds, in which one case of `usertests` runs
CALLS_BEFORE_MAX = (20, 100, 600)  # system calls of the program before the first state, at most
QUOTAS_BYTES = (16 << 20, 1 << 20)  # the smaller one is used up now and then
SETTLE_MAX = 10_000
EFFORTS = (1, 1, 1, 1_000, 20_000)
WEIGHTS = {ObjectType.THREAD: 12, ObjectType.REF: 1}  # how often a type of object is chosen; all others: 2
KERNEL_DECIDES = {  # fields that follow from the links, or from others, or from what is there already
    ObjectType.THREAD: (
        *("hash", "flags", "wait_order", "run_order"),
        *("exception", "exception_subcode", "fault_access", "fault_address"),
    ),
    ObjectType.MUTEX: ("hash", "flags", "locked"),
}


@cache
def _test_names() -> tuple[str, ...]:
    run = ClosedRun(Program("usertests", find_program("usertests"), ("-l",)), "interrupt", "none")
    run.run()
    run.close()
    return tuple(line.split()[0] for line in run.output.data.decode().splitlines() if line.split())


def _program(random: Random) -> Program:
    if random.random() < TESTS_SHARE:
        return Program("usertests", find_program("usertests"), (random.choice(_test_names()),), STDIN)
    return program(random.choice([name for name in ARGUMENTS if name not in ("usertests", "wild", "hello")]))


def everything(core: Core, but: set[KernelObject]) -> dict[object, object]:
    """All that the kernel's objects say of themselves, and all queues."""
    found: dict[object, object] = {"ready": [thread.hash for thread in core.ready.in_order()]}
    for each in core.objects.values():
        if each not in but:
            bits = each.hash if each.layout is None else each.layout.pack(each.export_bits())
            links = (
                [each.target] if isinstance(each, Reference) else [each.export_link(link.name) for link in each.links]
            )
            waiters = () if each.waiters is None else tuple(thread.hash for thread in each.waiters.in_order())
            callers = tuple(thread.hash for thread in each.callers.in_order()) if isinstance(each, Portset) else ()
            found[each] = (bits, links, waiters, callers)
    return found


def _difference(before: dict[object, object], after: dict[object, object]) -> str:
    return ", ".join(str(each) for each in before.keys() | after.keys() if before.get(each) != after.get(each))


class World:
    """A program in the middle of its run, and its parent."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.program = _program(random)
        self.run = ClosedRun(self.program, *random.choice(CONFIGURATIONS), random.choice(QUOTAS_BYTES))
        self.core = self.run.core
        self.parent = Parent(self.run)
        calls = random.randrange(random.choice(CALLS_BEFORE_MAX))
        while self.core.statistics.system_calls < calls and self.run.step(1):
            pass
        self.forger = Forger(random, self.core)
        self.outcomes: Counter[str] = Counter()

    def step(self, effort: int) -> None:
        """Let the threads run a little; the program's exit ends nothing here."""
        self.run.exit = None
        self.run.step(effort)
        self.core.current = None
        check(self.core, forged=True)

    def settle(self) -> None:
        """A call that was cut off goes on before anything else."""
        for _ in range(SETTLE_MAX):
            if self.core.unfinished is None:
                return
            self.run.exit = None
            self.run.step(1)
        raise AssertionError("a call goes on and on")

    def attack(self) -> None:
        """Hand in one forged state, having changed what is there now and then."""
        self.settle()
        children = self.forger.addresses = self.parent.children()
        if not children:
            self.outcomes["nothing is left to be loaded"] += 1
            return
        types = sorted({each.type for each in children})
        type_ = self.random.choices(types, [WEIGHTS.get(each, 2) for each in types])[0]
        target = self.random.choice([each for each in children if each.type is type_])
        draw = self.random.random()
        prefix, address = target.type.name.lower(), children[target]
        if draw < 0.03:
            self.call(f"{prefix}_destroy", address)
            self.forger.gone.append(target)
        elif draw < 0.05:
            self.call(f"{prefix}_move", address, FREE_SLOT + 16 * self.random.randrange(64))
        elif isinstance(target, Reference):
            target.target = self.random.choice([*self.core.objects.values(), *self.forger.gone])
        else:
            self.load(target, address)

    def call(self, name: str, *arguments: int) -> None:
        """A call of the parent's that need not succeed."""
        failure = self.parent.call(name, *arguments)
        assert failure is None or failure in mistakes(BY_NAME[name]), f"{name} has come to {failure!r}"
        check(self.core, forged=True)

    def load(self, target: KernelObject, address: int) -> None:
        """Read an object's state out, hand in a forged one."""
        own: State = self.parent.get_state(target, address)
        self.forger.remember(target, own)
        if isinstance(target, Thread):
            waits_for = "" if target.waiting_for is None else f", waiting for a {target.waiting_for.type.name.lower()}"
            self.outcomes[f"a thread in {self.core.entry_name(target)}{waits_for}"] += 1
            if self.random.random() < 0.1:
                self.parent.set_state(target, address, *own)  # it runs again, if it did
                self.settle()
                if not target.active:
                    return
        data, links = self.forger.state(target, own)
        own_things = self.parent.own
        before = everything(self.core, own_things)
        name = f"{target.type.name.lower()}_set_state"
        refusal = self.parent.set_state(target, address, data, links)
        check(self.core, forged=True)
        self.outcomes[f"{name}: {'taken' if refusal is None else refusal.name}"] += 1
        if refusal is not None:
            assert refusal in mistakes(BY_NAME[name]), f"{name} was refused with {refusal!r}"
            after = everything(self.core, own_things)
            assert after == before, f"{name} was refused, and yet changed {_difference(before, after)}"
            return
        if data is not None:
            self.check_taken(target, data)
        costs_nobody = self.parent.thread.donors is None  # else who gives the parent time pays for its calls
        if self.core.unfinished is None and costs_nobody and self.random.random() < 0.5:
            self.load_again(target, address)

    def check_taken(self, target: KernelObject, data: bytes) -> None:
        """What was handed in is what the object says of itself, but for what the kernel decides."""
        assert target.layout is not None
        given, found = target.layout.unpack(data), target.export_bits()
        decided = KERNEL_DECIDES.get(target.type, ("hash",))
        if isinstance(target, Thread):
            if not target.stopped:
                return  # it has started, and may have found that it has to look again
            x = given["x"]
            assert isinstance(x, tuple)
            given["x"] = (0, *x[1:])
        wrong = [name for name in given if name not in decided and given[name] != found[name]]
        assert not wrong, f"{target} has taken a state, and forgotten {', '.join(wrong)}"

    def load_again(self, target: KernelObject, address: int) -> None:
        """What was taken is read out, and loading that changes nothing."""
        state = self.parent.get_state(target, address)
        before = everything(self.core, self.parent.own)
        refusal = self.parent.set_state(target, address, *state)
        assert refusal is None, f"{target} does not take its own state: {refusal!r}"
        check(self.core, forged=True)
        if self.core.unfinished is not None or self.parent.thread.donors is not None:
            return
        again = self.parent.get_state(target, address)
        assert again == state, (
            f"{target} is another when its state is loaded again: {self._fields(target, state, again)}"
        )
        after = everything(self.core, self.parent.own)
        if not isinstance(target, Port):  # those who wait for that look again
            assert after == before, f"{target} was loaded again, and that changed {_difference(before, after)}"
        self.parent.set_state(target, address, *state)  # and goes on, if it did

    def _fields(self, target: KernelObject, one: State, other: State) -> str:
        assert target.layout is not None
        mine, theirs = target.layout.unpack(one[0]), target.layout.unpack(other[0])
        fields = [f"{name} {mine[name]} {theirs[name]}" for name in mine if mine[name] != theirs[name]]
        return ", ".join(
            fields
            + [f"{name} {one[1][name]} {other[1][name]}" for name in one[1] if one[1][name] is not other[1][name]]
        )

    def end(self) -> None:
        """Destroy all; nothing is left."""
        core = self.core
        for thread in tuple(self.run.loaded.account.threads):
            core.destroy(thread)
        self.run.loaded.slab.free()
        assert not core.objects, f"{len(core.objects)} objects are left"
        assert (len(core.ready), core.unfinished, core.frames.in_use, core.quota.used_bytes) == (0, None, 0, 0)


def state_case(seed: int, number: int) -> Counter[str]:
    """One world."""
    random = Random(f"{seed}:{number}")
    world = World(random)
    try:
        check(world.core)
        for _ in range(STATES):
            world.attack()
            for _ in range(random.randrange(5)):
                world.step(random.choice(EFFORTS))
            if not world.parent.thread.active:
                world.outcomes["the parent was destroyed"] += 1
                break
        world.end()
    finally:
        world.run.close()
    return world.outcomes


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(hostile.main("fluke_async.verify.hostile_states", state_case, "worlds", sys.argv[1:]))
