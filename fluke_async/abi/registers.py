"""
RV64 integer registers by their ABI names, and the roles they play in a system call.

A register file is 32 words of 64 bits; the index is the register's number. `x0` is never written. The program counter
is kept beside the file: an engine takes it when it starts and returns it when it stops.

Roles. `a7` holds the entry point's number, `a0`-`a6` the arguments, `a0` returns the status. A call that transfers
messages also uses `t0`-`t6`, by the roles below; every register that is not a result of the call keeps its value.
Source: RISC-V ELF psABI (names); the roles are this project's.
"""

from __future__ import annotations

ABI_NAMES = (
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
    "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
)  # fmt: skip
NUMBER_OF = {name: number for number, name in enumerate(ABI_NAMES)}

SP = 2
A0, A1, A2, A3, A4, A5, A6, A7 = range(10, 18)

STATUS = A0
ENTRY_POINT = A7

# A message's roles: what is still to be sent, what room is left to receive, how far the message in flight has come.
DESTINATION = A0
SEND_BUFFER = A1
SEND_WORDS = A2
RECEIVE_BUFFER = A3
RECEIVE_WORDS = A4
SEND_REFERENCES = A5
RECEIVE_REFERENCES = A6
SEND_REFERENCE_COUNT = 5  # t0
RECEIVE_REFERENCE_COUNT = 6  # t1
SEND_BUFFER_TABLE = 7  # t2
SEND_BUFFER_COUNT = 28  # t3
RECEIVE_BUFFER_TABLE = 29  # t4
RECEIVE_BUFFER_COUNT = 30  # t5
PROGRESS_WORDS = 31  # t6: words of the message in flight that have moved; after a receive, words received

# What a receive from a port set returns beside the status; the sending roles are free by then.
PORT_ALIAS = A1
MESSAGE_KIND = A2
