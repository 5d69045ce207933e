"""
Structures in user memory, as data: fields in order, every one of them 64-bit words.

Keeping every field a word makes the layout plain: no padding, one format for packing, the same text in C. A structure
is read and written as a dictionary of field names; arrays are tuples.
"""

from __future__ import annotations

from fluke_async.abi.layout import Field, Layout

THREAD_STATE = Layout(
    "fluke_thread_state",
    "All of a thread that is bits; its links are delivered through references.",
    (
        Field("hash", "number chosen at creation; not changed by set_state"),
        Field("thread_va", "address of the thread object in its own space"),
        Field("flags", "FLUKE_THREAD_* flags"),
        Field("priority", "base priority, FLUKE_PRIORITY_MIN to FLUKE_PRIORITY_MAX"),
        Field("sched_val", "number given by the scheduler to tell its clients apart"),
        Field("wait_order", "place among the waiters of one priority; 0: none given yet"),
        Field("run_order", "place among the ready threads of one priority; 0: none given yet"),
        Field("quantum_left", "instructions left of the time slice (signed)"),
        Field("pc", "program counter; on the ecall while the thread is inside a system call"),
        Field("x", "integer registers x0 to x31; x0 is ignored", 32),
        Field("f", "floating-point registers f0 to f31", 32),
        Field("fcsr", "floating-point control and status"),
        Field("trap_handler", "entry for synchronous exceptions; 0: none"),
        Field("interrupt_handler", "entry for thread_interrupt; 0: none"),
        Field("client_alert_handler", "entry for alerts from the server; 0: none"),
        Field("server_alert_handler", "entry for alerts from the client; 0: none"),
        Field("saved_a0", "a0 before the kernel entered a handler"),
        Field("saved_a1", "a1 before the kernel entered a handler"),
        Field("saved_a2", "a2 before the kernel entered a handler"),
        Field("saved_a7", "a7 before the kernel entered a handler"),
        Field("saved_pc", "pc before the kernel entered a handler"),
        Field("server_portset", "address of the port set that the thread receives from; 0: none"),
        Field("server_sp", "stack pointer for server entries"),
        Field("server_oneway_pc", "entry for one-way messages; 0: the waiting call returns"),
        Field("server_idempotent_pc", "entry for idempotent requests; 0: the waiting call returns"),
        Field("server_reliable_pc", "entry for reliable connections; 0: the waiting call returns"),
        Field(
            "exception", "code of its mistake: the thread is stopped by it, or waits for its space's keeper; 0: none"
        ),
        Field("exception_subcode", "the address or number concerned"),
        Field("fault_access", "FLUKE_PROT_* that it has asked a keeper for, with FLUKE_FAULT_IN_CALL; 0: none"),
        Field("fault_address", "where it wanted that access"),
    ),
)
THREAD_SAVED_STATE = Layout(
    "fluke_thread_saved_state",
    "The registers that change when a handler is entered, as they were before; returning reloads them.",
    (
        Field("a0", "a0"),
        Field("a1", "a1"),
        Field("a2", "a2"),
        Field("a7", "a7"),
        Field("pc", "program counter; on the ecall of a call that was cut off"),
    ),
)
SPACE_STATE = Layout("fluke_space_state", "A space.", (Field("hash", "number chosen at creation"),))
REGION_STATE = Layout(
    "fluke_region_state",
    "A range of a space's addresses that can be mapped elsewhere.",
    (
        Field("hash", "number chosen at creation"),
        Field("start_va", "first address, a multiple of the page size"),
        Field("size", "bytes, a multiple of the page size"),
        Field("prot", "greatest access that mappings of the region give"),
    ),
)
MAPPING_STATE = Layout(
    "fluke_mapping_state",
    "A part of a region, made visible in a space.",
    (
        Field("hash", "number chosen at creation"),
        Field("region_off", "offset into the region, a multiple of the page size"),
        Field("start_va", "first address, a multiple of the page size"),
        Field("size", "bytes, a multiple of the page size"),
        Field("prot", "access asked for; the region's bounds it"),
    ),
)
OBSPEC = Layout(
    "fluke_obspec",
    "An object that a search of a region has found.",
    (
        Field("ob", "its address in the region's space", pointee="void"),
        Field("type", "its fluke_type_t"),
    ),
)
FAULT_MESSAGE = Layout(
    "fluke_fault_message",
    "What a region's keeper receives, as a message of the kind FLUKE_MESSAGE_FAULT, when an access needs it.",
    (
        Field("code", "FLUKE_EXCEPTION_*_FAULT: what the thread will get if the keeper fails"),
        Field("access", "FLUKE_PROT_READ, _WRITE or _EXECUTE"),
        Field("region_hash", "hash of the region that is concerned"),
        Field("offset", "offset into the region of the byte that was wanted"),
        Field("thread_hash", "hash of the thread that wants it"),
    ),
)
EXCEPTION_MESSAGE = Layout(
    "fluke_exception_message",
    "What a space's keeper receives, as a message of the kind FLUKE_MESSAGE_EXCEPTION, when a thread cannot go on.",
    (
        Field(
            "code", "FLUKE_EXCEPTION_* or FLUKE_INSANITY_*: what the thread will be stopped by if the keeper says so"
        ),
        Field("subcode", "the address or number concerned"),
        Field("thread_hash", "hash of the thread"),
        Field("pc", "its program counter, on the instruction that failed"),
        Field("x", "its integer registers x0 to x31", 32),
    ),
)
EXCEPTION_REPLY = Layout(
    "fluke_exception_reply",
    "How a thread goes on, as its space's keeper answers; without pc and x it goes on with what it has.",
    (
        Field("verdict", "FLUKE_EXCEPTION_RESUME or FLUKE_EXCEPTION_STOP"),
        Field("pc", "program counter"),
        Field("x", "integer registers x0 to x31; x0 is ignored", 32),
    ),
)
SCHEDULE_MESSAGE = Layout(
    "fluke_schedule_message",
    "What a scheduler receives, as a message of the kind FLUKE_MESSAGE_SCHEDULE, when a thread of its is ready to run.",
    (
        Field("sched_val", "the number that the scheduler has given the thread"),
        Field("thread_hash", "hash of the thread"),
    ),
)
PORT_STATE = Layout(
    "fluke_port_state",
    "A port: what clients name.",
    (
        Field("hash", "number chosen at creation"),
        Field("alias", "number that a receiver gets to tell the ports of its set apart"),
    ),
)
PORTSET_STATE = Layout(
    "fluke_portset_state",
    "A port set: where servers wait.",
    (Field("hash", "number chosen at creation"),),
)
MUTEX_STATE = Layout(
    "fluke_mutex_state",
    "A mutex; its owner is delivered through a reference.",
    (
        Field("hash", "number chosen at creation"),
        Field("flags", "FLUKE_MUTEX_* flags"),
        Field("locked", "1 while somebody owns it"),
        Field("ceiling", "least priority of the owner, with FLUKE_MUTEX_PRI_CEILING"),
    ),
)
COND_STATE = Layout(
    "fluke_cond_state",
    "A condition; the thread that inherits its waiters' priority is delivered through a reference.",
    (
        Field("hash", "number chosen at creation"),
        Field("flags", "FLUKE_COND_* flags"),
    ),
)
IPC_PARAMS = Layout(
    "fluke_ipc_params",
    "What a message call sends and where it receives; receive_* fields are updated to what is left.",
    (
        Field("send_words", "words in the send buffer"),
        Field("send_buffer", "address of the words to send", pointee="void"),
        Field("send_buffer_table", "further send buffers", pointee="struct fluke_ipc_buffer"),
        Field("send_buffer_count", "how many further send buffers"),
        Field("send_ref_table", "references to pass", pointee="fluke_ref_t *"),
        Field("send_ref_count", "how many references to pass"),
        Field("receive_words", "room in the receive buffer, in words"),
        Field("receive_buffer", "address to receive at", pointee="void"),
        Field("receive_buffer_table", "further room", pointee="struct fluke_ipc_buffer"),
        Field("receive_buffer_count", "how many further receive buffers"),
        Field("receive_ref_table", "references to fill", pointee="fluke_ref_t *"),
        Field("receive_ref_count", "how many references can be filled"),
        Field("words_received", "words received by the last call"),
        Field("message_kind", "FLUKE_MESSAGE_* of the last message from a port set"),
    ),
)
IPC_BUFFER = Layout(
    "fluke_ipc_buffer",
    "One buffer of a table.",
    (Field("words", "length in words"), Field("buffer", "its address", pointee="void")),
)
SERVICE = Layout(
    "fluke_service",
    "Something that a program was given by name.",
    (Field("name", "its name", pointee="char"), Field("ref", "reference to it", pointee="fluke_ref_t")),
)
START_BLOCK = Layout(
    "fluke_start_block",
    "What a program finds at the address in a0 when it starts.",
    (
        Field("size", "bytes of this structure"),
        Field("argc", "number of arguments, the program's name included"),
        Field("argv", "their addresses, ended by a null pointer", pointee="char *"),
        Field("environment", "NAME=VALUE strings, ended by a null pointer", pointee="char *"),
        Field("heap_start", "first address of the heap"),
        Field("heap_end", "first address after the heap"),
        Field("stack_start", "lowest address of the first thread's stack"),
        Field("stack_end", "first address after it"),
        Field("space_ref", "reference to the program's own space", pointee="fluke_ref_t"),
        Field("parent_ref", "reference to the port that takes exit", pointee="fluke_ref_t"),
        Field("console_ref", "reference to the console port", pointee="fluke_ref_t"),
        Field("timer_ref", "reference to the timer port", pointee="fluke_ref_t"),
        Field("services", "what else the program was given, by name", pointee="struct fluke_service"),
        Field("service_count", "how many of these"),
    ),
)

LAYOUTS = (
    THREAD_STATE,
    THREAD_SAVED_STATE,
    SPACE_STATE,
    REGION_STATE,
    MAPPING_STATE,
    OBSPEC,
    FAULT_MESSAGE,
    EXCEPTION_MESSAGE,
    EXCEPTION_REPLY,
    SCHEDULE_MESSAGE,
    PORT_STATE,
    PORTSET_STATE,
    MUTEX_STATE,
    COND_STATE,
    IPC_BUFFER,
    IPC_PARAMS,
    SERVICE,
    START_BLOCK,
)
