"""
The numbers that cross the border: status codes, exceptions, flags, object types, limits.

Status codes are for conditions that a correct program can meet. An exception is a program's mistake: it goes to the
guilty thread. Hardware exceptions carry the `scause` number of the RISC-V privileged specification; the kernel's own
("insanities", the word of the Fluke manual) start at 0x100. Names are Fluke's; values are this project's.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Status(IntEnum):
    """What a call returns in `a0`."""

    SUCCESS = 0
    NO_MEMORY = 1
    MUTEX_HELD = 2
    INVALID_DEST = 3
    IPC_CONNECT_INVALID_DEST = 4
    IPC_SEND_DISCONNECTED = 5
    IPC_OVER_DISCONNECTED = 6
    IPC_ACK_DISCONNECTED = 7
    IPC_RECV_DISCONNECTED = 8
    IPC_RECV_MORE_DATA = 9
    IPC_RECV_MORE_REFS = 10
    THREAD_BLOCKED = 11
    THREAD_GONE = 12
    THREAD_REQUESTED = 13


class ExceptionCode(IntEnum):
    """Why a thread got an exception; the subcode beside it is the address or number concerned."""

    ILLEGAL_INSTRUCTION = 2
    BREAKPOINT = 3
    MISALIGNED_ADDRESS = 4
    FOREIGN_SYSTEM_CALL = 8
    FETCH_FAULT = 12
    LOAD_FAULT = 13
    STORE_FAULT = 15

    NO_OBJECT = 0x100
    NOT_THREAD = 0x101
    NOT_SPACE = 0x102
    NOT_REGION = 0x103
    NOT_MAPPING = 0x104
    NOT_PORT = 0x105
    NOT_PORTSET = 0x106
    NOT_MUTEX = 0x107
    NOT_COND = 0x108
    NOT_REF = 0x109
    NOT_THREAD_REF = 0x111
    NOT_SPACE_REF = 0x112
    NOT_REGION_REF = 0x113
    NOT_PORT_REF = 0x115
    NOT_PORTSET_REF = 0x116
    INVALID_OBJECT = 0x120
    OBJECT_EXISTS = 0x121
    NOT_ALIGNED = 0x122
    INVALID_ADDRESS = 0x123
    ADDRESS_OVERLAP = 0x124
    INVALID_PROT = 0x125
    MUTEX_LOCKED = 0x126
    MUTEX_NOT_OWNED = 0x127
    CURRENT_THREAD = 0x128
    NOT_CURRENT_THREAD = 0x129
    NOT_SENDER = 0x12A
    NOT_RECEIVER = 0x12B
    BUFFER_UNALIGNED = 0x12C
    RACE_CONDITION = 0x12D
    THREAD_RUNNING = 0x12E
    INVALID_STATE = 0x12F
    NO_PORTSET = 0x130
    INVALID_MESSAGE = 0x131
    OUT_OF_MEMORY = 0x132
    HOST_THREAD = 0x133


STATUS_MEANING = {
    Status.SUCCESS: "done",
    Status.NO_MEMORY: "the quota does not allow another object",
    Status.MUTEX_HELD: "somebody owns the mutex",
    Status.INVALID_DEST: "the destination is no port, or is gone",
    Status.IPC_CONNECT_INVALID_DEST: "the destination is no port, or is gone",
    Status.IPC_SEND_DISCONNECTED: "the receiver has left",
    Status.IPC_OVER_DISCONNECTED: "the peer left while the direction was to be reversed",
    Status.IPC_ACK_DISCONNECTED: "the sender left before it was acknowledged",
    Status.IPC_RECV_DISCONNECTED: "the sender has left; what it sent is there",
    Status.IPC_RECV_MORE_DATA: "the buffer is full and there is more",
    Status.IPC_RECV_MORE_REFS: "there are more references than slots",
    Status.THREAD_BLOCKED: "the thread cannot use time: it waits, or is stopped, or would pass it back",
    Status.THREAD_GONE: "there is no thread there any more",
    Status.THREAD_REQUESTED: "somebody calls at the port set that the caller serves",
}
EXCEPTION_MEANING = {
    ExceptionCode.ILLEGAL_INSTRUCTION: "no instruction of user mode",
    ExceptionCode.BREAKPOINT: "an ebreak",
    ExceptionCode.MISALIGNED_ADDRESS: "an atomic access that is not aligned",
    ExceptionCode.FOREIGN_SYSTEM_CALL: "a number that the table does not have; the subcode is the number",
    ExceptionCode.FETCH_FAULT: "no instruction can be fetched there",
    ExceptionCode.LOAD_FAULT: "nothing can be read there",
    ExceptionCode.STORE_FAULT: "nothing can be written there",
    ExceptionCode.NO_OBJECT: "there is no object at the address",
    ExceptionCode.NOT_THREAD: "the object there is no thread",
    ExceptionCode.NOT_SPACE: "the object there is no space",
    ExceptionCode.NOT_REGION: "the object there is no region",
    ExceptionCode.NOT_MAPPING: "the object there is no mapping",
    ExceptionCode.NOT_PORT: "the object there is no port",
    ExceptionCode.NOT_PORTSET: "the object there is no port set",
    ExceptionCode.NOT_MUTEX: "the object there is no mutex",
    ExceptionCode.NOT_COND: "the object there is no condition",
    ExceptionCode.NOT_REF: "the object there is no reference",
    ExceptionCode.NOT_THREAD_REF: "the reference does not refer to a thread",
    ExceptionCode.NOT_SPACE_REF: "the reference does not refer to a space that can be used so",
    ExceptionCode.NOT_REGION_REF: "the reference does not refer to a region",
    ExceptionCode.NOT_PORT_REF: "the reference does not refer to a port",
    ExceptionCode.NOT_PORTSET_REF: "the reference does not refer to a port set",
    ExceptionCode.INVALID_OBJECT: "the object's state has become invalid (reserved)",
    ExceptionCode.OBJECT_EXISTS: "there is an object at the address already",
    ExceptionCode.NOT_ALIGNED: "an address or size has the wrong alignment",
    ExceptionCode.INVALID_ADDRESS: "a range wraps or leaves what a program can have mapped",
    ExceptionCode.ADDRESS_OVERLAP: "another mapping covers part of the range; the subcode is its start",
    ExceptionCode.INVALID_PROT: "no such access rights; the subcode is the number",
    ExceptionCode.MUTEX_LOCKED: "the caller owns the mutex already",
    ExceptionCode.MUTEX_NOT_OWNED: "the caller does not own the mutex",
    ExceptionCode.CURRENT_THREAD: "a thread cannot do that to itself",
    ExceptionCode.NOT_CURRENT_THREAD: "a thread can do that to itself only",
    ExceptionCode.NOT_SENDER: "the thread is not the sender",
    ExceptionCode.NOT_RECEIVER: "the thread is not the receiver",
    ExceptionCode.BUFFER_UNALIGNED: "a message buffer or table is not aligned to a word",
    ExceptionCode.RACE_CONDITION: "a parameter was changed meanwhile (reserved)",
    ExceptionCode.THREAD_RUNNING: "the thread has to be stopped first",
    ExceptionCode.INVALID_STATE: "a state that no object can have; the subcode is the value",
    ExceptionCode.NO_PORTSET: "the thread has not named a port set to serve",
    ExceptionCode.INVALID_MESSAGE: "a length or count that cannot be",
    ExceptionCode.OUT_OF_MEMORY: "the quota does not allow another page",
    ExceptionCode.HOST_THREAD: "the thread belongs to a task of the host: its state cannot be loaded",
}

HARDWARE_EXCEPTIONS = frozenset(code for code in ExceptionCode if code < ExceptionCode.NO_OBJECT)


class ObjectType(IntEnum):
    """The exported object types; `NULL` is what an empty reference refers to."""

    NULL = 0
    THREAD = 1
    SPACE = 2
    REGION = 3
    MAPPING = 4
    PORT = 5
    PORTSET = 6
    MUTEX = 7
    COND = 8
    REF = 9


class ThreadFlags(IntFlag):
    """Flags in a thread's exported state."""

    STOPPED = 1 << 0
    EXCEPTION_ENABLE = 1 << 1
    CLIENT_SENDER = 1 << 2
    SERVER_SENDER = 1 << 3
    IN_CALL = 1 << 4
    IDEMPOTENT = 1 << 5
    PENDING_INTERRUPT = 1 << 6
    PENDING_CLIENT_ALERT = 1 << 7
    PENDING_SERVER_ALERT = 1 << 8
    ASKED = 1 << 9


class Prot(IntFlag):
    """Access rights of regions and mappings; the same bits as an engine's page permissions."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXECUTE = 4
    ALL = 7


class MessageKind(IntEnum):
    """How a message that was received from a port set is to be treated."""

    ONE_WAY = 0
    IDEMPOTENT = 1
    RELIABLE = 2
    FAULT = 3
    EXCEPTION = 4
    SCHEDULE = 5


class Sensitivity(IntEnum):
    """What ends a donation of time besides: nothing, or a message at the port set that the donor serves."""

    NONE = 0
    ON_REQUEST = 1


FAULT_IN_CALL = 8  # in a thread's state beside the access: it was a system call that wanted it


class FaultReply(IntEnum):
    """Word 0 of a keeper's reply to a fault; without a word it is `RESOLVED`, any other number is `FAILED`."""

    RESOLVED = 0
    FAILED = 1


class ExceptionReply(IntEnum):
    """Word 0 of a keeper's reply to an exception; without a word, and with any other number, it is `STOP`."""

    RESUME = 0
    STOP = 1


class MutexFlags(IntFlag):
    """Flags in a mutex's exported state."""

    INHERIT_PRI = 1 << 0
    PRI_CEILING = 1 << 1
    MULTITASK = 1 << 2
    OWNER_DEAD = 1 << 3


class CondFlags(IntFlag):
    """Flags in a condition's exported state."""

    MULTITASK = 1 << 0


PAGE_SIZE = 4096
SLOT_SIZE = 16  # an object's place in user memory: address and size are multiples of it
WORD_SIZE = 8  # a message's unit; buffers are aligned to it
USER_START, USER_END = 0x1000, 1 << 38  # addresses that a user program can have mapped
PRIORITY_MIN, PRIORITY_DEFAULT, PRIORITY_MAX = 0, 16, 31
MAX_MESSAGE_REFERENCES = 255
MAX_MESSAGE_BUFFERS = 255  # in the table of a side, beside the one in registers
COPY_CHUNK_WORDS = 1024  # 8 KiB: the work between two marked points of a message copy
VISITED_PAGES_MAX = 64  # the work between two marked points of a call that looks through a region

# What an object costs the quota of the space that owns its frame, in bytes of host memory, rounded up.
# Pages cost PAGE_SIZE each. Measured sizes stay below these; see the memory benchmark.
OBJECT_CHARGE_BYTES = {
    ObjectType.THREAD: 2048,
    ObjectType.SPACE: 4096,
    ObjectType.REGION: 512,
    ObjectType.MAPPING: 512,
    ObjectType.PORT: 512,
    ObjectType.PORTSET: 1024,
    ObjectType.MUTEX: 512,
    ObjectType.COND: 512,
    ObjectType.REF: 256,
}
# The tables of translations have room for so many entries for each frame of memory, in all spaces together. They are
# paid for when the kernel is made; when they are full they are emptied, for what is forgotten is found again.
TRANSLATIONS_PER_FRAME = 1
TRANSLATION_CHARGE_BYTES = 160
