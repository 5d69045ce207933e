"""States to be loaded: made up, field by field, of what could be; now and then with a word that could not."""

from __future__ import annotations

from array import array
from typing import Any

from fluke_async.abi.codes import PAGE_SIZE, PRIORITY_MAX, WORD_SIZE, ExceptionCode, ObjectType, Prot, ThreadFlags
from fluke_async.abi.entry_points import BY_NUMBER
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS
from fluke_async.kernel.recreation import KINDS
from fluke_async.verify.grinding.places import (
    ALL_SLOTS,
    CODE,
    COMMON_MEMORY,
    FREE,
    FREE_PAGES,
    HANDLER,
    OWN_MEMORY,
    SLOTS,
)
from fluke_async.verify.grinding.values import Values

ECALL = CODE + 4
ENTRIES = (0, 0, CODE, HANDLER)
FLAGS = (ThreadFlags.EXCEPTION_ENABLE, ThreadFlags.PENDING_INTERRUPT, ThreadFlags.PENDING_CLIENT_ALERT)
RARE_FLAGS = (*ThreadFlags,)


class States:
    """Draws states."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.random = values.random

    def draw(self, type_: ObjectType, thread: Thread) -> bytes:
        """The bytes of a state, drawn by a thread."""
        layout = KINDS[type_].layout
        assert layout is not None
        data = layout.pack(self.thread(thread) if type_ is ObjectType.THREAD else self.of_others(type_))
        return self.spoilt(data) if self.random.random() < 0.1 else data

    def spoilt(self, data: bytes) -> bytes:
        """A state with another word somewhere."""
        words = array("Q", data)
        words[self.word_of(len(words))] = self.values.anything()
        return words.tobytes()

    def word_of(self, count: int) -> int:
        """The number of a word of a state of so many words, which may be changed."""
        return self.random.randrange(count)

    def thread(self, thread: Thread, *, va: int = 0) -> dict[str, Any]:
        """The state of a thread that begins a call, or is in the middle of one."""
        random, choose = self.random, self.random.choice
        entry = self.values.entry(thread)
        x = [0] * 32
        for register, value in self.values.operands(entry, thread):
            x[register] = value
        x[ENTRY_POINT] = entry.number
        flags = sum(int(flag) for flag in FLAGS if random.random() < 0.4)
        if random.random() < 0.1:
            flags |= int(choose(RARE_FLAGS))
        if random.random() < 0.15 and BY_NUMBER[entry.number].can_be_cut:
            flags |= int(ThreadFlags.IN_CALL)
        exception = choose(tuple(ExceptionCode)) if random.random() < 0.03 else 0
        fault = choose((1, 2, 9, 10)) if random.random() < 0.03 else 0
        return {
            "thread_va": va or choose(SLOTS[ObjectType.THREAD]),
            "flags": flags,
            "priority": choose((16, 16, 16, 8, random.randrange(PRIORITY_MAX + 1))),
            "sched_val": random.randrange(100),
            "wait_order": choose((0, 0, random.randrange(1000))),
            "run_order": choose((0, 0, random.randrange(1000))),
            "quantum_left": choose((QUANTUM_INSTRUCTIONS, 3000, 1000, 1, 0, 2**64 - 1)),
            "pc": choose((CODE, ECALL, ECALL)),
            "x": tuple(x),
            "trap_handler": choose((0, HANDLER, HANDLER)),
            "interrupt_handler": choose(ENTRIES),
            "client_alert_handler": choose(ENTRIES),
            "server_alert_handler": choose(ENTRIES),
            "saved_a7": choose((0, x[ENTRY_POINT])),
            "saved_pc": choose((CODE, ECALL)),
            "server_portset": choose((0, *SLOTS[ObjectType.PORTSET])),
            "server_sp": choose((0, COMMON_MEMORY)),
            "server_idempotent_pc": choose(ENTRIES),
            "server_reliable_pc": choose(ENTRIES),
            "exception": exception,
            "exception_subcode": choose(ALL_SLOTS) if exception else 0,
            "fault_access": fault,
            "fault_address": self.values.buffer() if fault else 0,
        }

    def of_others(self, type_: ObjectType) -> dict[str, Any]:
        """The state of an object of another type."""
        random, choose = self.random, self.random.choice
        match type_:
            case ObjectType.REGION:
                return {
                    "start_va": choose((OWN_MEMORY, COMMON_MEMORY, FREE, 0x10_0000)),
                    "size": PAGE_SIZE * choose((0, 1, 2, 8, 16, 48)),
                    "prot": choose((int(Prot.ALL), int(Prot.ALL), *range(8))),
                }
            case ObjectType.MAPPING:
                return {
                    "region_off": PAGE_SIZE * random.randrange(6),
                    "start_va": FREE + PAGE_SIZE * random.randrange(FREE_PAGES),
                    "size": PAGE_SIZE * choose((0, 1, 1, 2, 4)),
                    "prot": choose((int(Prot.ALL), int(Prot.ALL), *range(8))),
                }
            case ObjectType.MUTEX:
                return {"flags": random.randrange(16), "locked": random.randrange(2), "ceiling": random.randrange(32)}
            case ObjectType.COND:
                return {"flags": random.randrange(2)}
            case ObjectType.PORT:
                return {"alias": random.getrandbits(WORD_SIZE)}
        return {}
