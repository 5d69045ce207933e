"""
What a hostile thread puts into its registers: calls that are nearly right, in every way in which they can be wrong.

A value is drawn by what the table of system calls says of its operand: mostly what would do, sometimes something of
the wrong kind, now and then anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from random import Random

from fluke_async.abi.codes import PAGE_SIZE, ObjectType
from fluke_async.abi.conversation import CONVERSATIONS, Role, Step
from fluke_async.abi.entry_point import EntryPoint, Kind, Operand
from fluke_async.abi.entry_points import BY_NAME, ENTRY_POINTS
from fluke_async.kernel.objects.thread import Thread
from fluke_async.verify.grinding.places import (
    ALL_REFERENCES,
    ALL_SLOTS,
    BUFFER_TABLES,
    CODE,
    COMMON_MEMORY,
    COMMON_PAGES,
    FREE,
    FREE_PAGES,
    HANDLER,
    OWN_MEMORY,
    OWN_PAGES,
    PAGED_MEMORY,
    PAGED_PAGES,
    REFERENCES,
    SLOTS,
    SPARE,
    TABLES,
    WILD,
    state_at,
)

TYPE_OF_LINK = {
    "space": ObjectType.SPACE,
    "scheduler": ObjectType.PORT,
    "waiting_for": ObjectType.MUTEX,
    "client": ObjectType.THREAD,
    "server": ObjectType.THREAD,
    "keeper": ObjectType.PORT,
    "region": ObjectType.REGION,
    "portset": ObjectType.PORTSET,
    "owner": ObjectType.THREAD,
    "inheritor": ObjectType.THREAD,
    "destination": ObjectType.PORT,
}
OFTEN = {  # weights of calls by how their names end; all others have 10
    "_move": 6,
    "_set_state": 16,
    "thread_get_state": 20,
    "thread_set_state": 20,
    "mapping_set_state": 25,
    "_protect": 20,
    "mutex_unlock": 20,
    "cond_signal": 15,
    "ipc_call": 50,
    "ipc_send": 20,
    "ipc_setup_wait_receive": 100,
    "ipc_client_connect_send": 30,
    "ipc_client_connect_send_over_receive": 40,
    "thread_schedule": 15,
    "_disconnect": 3,
    "thread_disable_exceptions": 2,
    "thread_enable_exceptions": 12,
}
BUFFERS = (
    *[(OWN_MEMORY, OWN_PAGES - 1)] * 3,
    *[(COMMON_MEMORY, COMMON_PAGES)] * 3,
    (PAGED_MEMORY, PAGED_PAGES),
    (FREE, FREE_PAGES),
)
WORDS = (0, 1, 2, 3, 8, 30, 36, 100, 511, 512, 513, 600, 1024, 1025, 2000, 3000)
ROOMY = (
    *(OWN_MEMORY + page * PAGE_SIZE for page in (1, 2, 0)),
    *(COMMON_MEMORY + page * PAGE_SIZE for page in (0, 2)),
    BUFFER_TABLES,
)
"""Where buffers find room; the last is that of their own tables."""
COUNTS = (0, 0, 0, 0, 1, 1, 2, 3)
FOLLOW = {
    "mutex_lock": ("mutex_unlock", "cond_wait", "cond_wait"),
    "mutex_trylock": ("mutex_unlock", "cond_wait"),
    "thread_get_state": ("thread_set_state",),
    "thread_get_saved_state": ("thread_set_saved_state",),
    "thread_disable_exceptions": ("thread_enable_exceptions",),
}
FOLLOW_ANY = {
    "create": ("set_state", "reference", "move", "destroy"),
    "create_hash": ("set_state", "reference", "get_state"),
    "get_state": ("set_state",),
    "set_state": ("get_state", "protect"),
}
"""What is done next with the same object: by the call, or by what the call does."""
_AFTER = {
    entry.number: [
        BY_NAME[name]
        for name in (*FOLLOW.get(entry.name, ()), *(f"{kind}_{each}" for each in FOLLOW_ANY.get(operation, ())))
        if name in BY_NAME
    ]
    for entry in ENTRY_POINTS
    for kind, _, operation in [entry.name.partition("_")]
}
_END = {role: [BY_NAME[f"ipc_{role.value}_{name}"] for name in ("disconnect", "alert")] for role in Role}
_FOLLOWING = {
    (role, sends): [
        BY_NAME[call.name]
        for call in CONVERSATIONS
        if call.role is role and call.steps[0] in ((Step.SEND, Step.OVER) if sends else (Step.ACK, Step.RECEIVE))
    ]
    for role in Role
    for sends in (True, False)
}
_SERVING = [BY_NAME[name] for name in ("ipc_reply", "ipc_reply_wait_receive", "ipc_reply_wait_receive")]


def _weight(name: str) -> int:
    return OFTEN.get(name) or next((weight for end, weight in OFTEN.items() if name.endswith(end)), 10)


class Values:
    """Draws calls, but those in `never`, and their operands; everything comes from `random`."""

    def __init__(self, random: Random, never: Collection[str] = ()) -> None:
        self.random = random
        self._weights = list(accumulate(0 if entry.name in never else _weight(entry.name) for entry in ENTRY_POINTS))
        self._careful = False  # whether the message that is drawn is to be one that can be sent
        self._drawn_by: dict[Kind, Callable[[Operand, Thread], int]] = {
            Kind.OBJECT: self._object,
            Kind.NEW_OBJECT: self._object,
            Kind.REFERENCE: self._reference,
            Kind.STATE_IN: self._state,
            Kind.STATE_OUT: self._state,
            Kind.SELF: self._self,
            Kind.VALUE: self._value,
            Kind.ADDRESS: self._address,
            Kind.WORDS_OUT: self._address,
            Kind.PROGRESS: self._words,
            Kind.WORDS: self._words,
            Kind.COUNT: self._count,
            Kind.STATUS: self._value,
        }

    def after(self, number: int) -> EntryPoint | None:
        """A call that makes sense after another, on the same object."""
        calls = _AFTER.get(number)
        return self.random.choice(calls) if calls else None

    def entry(self, thread: Thread) -> EntryPoint:
        """A call; who is tied to another thread likes to go on with that."""
        random = self.random
        if random.random() < 0.8:
            if thread.export_link("server") is not None:
                return self._following(Role.CLIENT, sends=thread.client_sender)
            if thread.export_link("client") is not None:
                if thread.reliable:
                    return self._following(Role.SERVER, sends=thread.server_sender)
                return random.choice(_SERVING)
        return random.choices(ENTRY_POINTS, cum_weights=self._weights)[0]

    def _following(self, role: Role, *, sends: bool) -> EntryPoint:
        calls = _END[role] if self.random.random() < 0.1 else _FOLLOWING[role, sends]
        return self.random.choice(calls)

    def operands(self, entry: EntryPoint, thread: Thread) -> list[tuple[int, int]]:
        """Registers with values for them."""
        self._careful = self.random.random() < 0.75
        drawn = [
            (operand.register, self._drawn_by[operand.kind](operand, thread))
            for operand in entry.arguments
            if operand.name != "progress_words"
        ]
        if self.random.random() < 0.85:
            if entry.name.endswith("_reference"):
                drawn[1] = (drawn[1][0], self.random.choice(REFERENCES[entry.object_type]))
            elif entry.name.endswith("_move"):
                drawn[1] = (drawn[1][0], self.random.choice(SPARE[entry.object_type]))
            elif entry.name.endswith(("_create", "_create_hash", "_destroy")):
                drawn[0] = (drawn[0][0], self.random.choice(SPARE[entry.object_type]))
            elif entry.name.endswith(("get_state", "set_state")):
                drawn[1] = (drawn[1][0], state_at(entry.object_type))
        if self.random.random() < 0.02:  # a register more, whether it means something or not
            drawn.append((self.random.randrange(1, 32), self.anything()))
        return drawn

    def of(self, addresses: Sequence[int]) -> int:
        """One of some addresses, the first more often than the last: so that threads meet."""
        return addresses[int(self.random.random() ** 2 * len(addresses))]

    def anything(self) -> int:
        """Any word, preferably one that hurts."""
        draw = self.random.random()
        if draw < 0.5:
            return self.random.choice(WILD)
        if draw < 0.7:
            return self.random.choice(ALL_SLOTS)
        if draw < 0.85:
            return self.random.randrange(64)
        return self.random.getrandbits(64)

    def buffer(self) -> int:
        """An address of memory, often near the end of a page."""
        random = self.random
        start, pages = random.choice(BUFFERS)
        page = start + random.randrange(pages) * PAGE_SIZE
        draw = random.random()
        if draw < 0.5:
            return page
        if draw < 0.98:
            return page + random.randrange(0, PAGE_SIZE, 8)
        return page + PAGE_SIZE - random.randrange(1, 24)

    def _object(self, operand: Operand, thread: Thread) -> int:
        draw = self.random.random()
        if operand.name == "destination_ref" and draw < 0.9:
            return self.of(REFERENCES[ObjectType.PORT])
        if draw < 0.9:
            return self.of(SLOTS[operand.type] or ALL_SLOTS)
        if draw < 0.96:
            return self.random.choice(ALL_SLOTS)
        return self.anything()

    def _reference(self, operand: Operand, thread: Thread) -> int:
        draw = self.random.random()
        if draw < 0.25:
            return 0
        type_ = TYPE_OF_LINK[operand.name.removesuffix("_ref")]
        if operand.name == "waiting_for_ref":
            type_ = self.random.choice((ObjectType.THREAD, ObjectType.MUTEX, ObjectType.COND, ObjectType.PORT))
        if draw < 0.9:
            return self.random.choice(REFERENCES[type_])
        return self.random.choice(ALL_REFERENCES) if draw < 0.96 else self.anything()

    def _state(self, operand: Operand, thread: Thread) -> int:
        draw = self.random.random()
        if draw < 0.1:
            return 0
        return self.buffer() if draw < 0.95 else self.anything()

    def _self(self, operand: Operand, thread: Thread) -> int:
        return thread.thread_va if self.random.random() < 0.9 else self._object(operand, thread)

    def _address(self, operand: Operand, thread: Thread) -> int:
        name = operand.name
        if self._careful and name.endswith("_buffer"):
            return self.of(ROOMY)
        if self.random.random() > 0.97:
            return self.anything()
        if name.endswith("buffer_table"):
            return BUFFER_TABLES + self.random.randrange(0, 0x200, 16)
        if name.endswith("ref_table"):
            return TABLES + self.random.randrange(0, 0x200, 8)
        if name.endswith(("buffer", "offsets", "sp")):
            return self.buffer()
        return self.random.choice((0, 0, CODE, HANDLER, HANDLER))  # an entry of the thread's code

    def _words(self, operand: Operand, thread: Thread) -> int:
        if self._careful and self.random.random() < 0.8:
            return self.of(WORDS)
        return self.random.choice(WORDS) if self.random.random() < 0.97 else self.anything()

    def _count(self, operand: Operand, thread: Thread) -> int:
        draw = self.random.random()
        if self._careful or draw < 0.95:
            return self.of(COUNTS)
        return self.random.choice((4, 16, 255, 256)) if draw < 0.98 else self.anything()

    def _value(self, operand: Operand, thread: Thread) -> int:
        random = self.random
        if random.random() < 0.04:
            return self.anything()
        match operand.name:
            case "prot":
                return random.choice((7, 7, 3, 1, 0, 5, 8))
            case "offset":
                return PAGE_SIZE * random.randrange(8)
            case "size":
                return PAGE_SIZE * random.randrange(12)
            case "hash":
                return random.choice((0, random.randrange(1000), random.getrandbits(64)))
            case "quantum":
                return random.choice((0, 1, 300, 5000, 2**64 - 1))
            case "sensitivity":
                return random.randrange(3)
        return random.randrange(16)
