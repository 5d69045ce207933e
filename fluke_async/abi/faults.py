"""
What becomes of an access to memory that a space's table does not grant.

The kernel walks from the address up the tree: to the mapping that covers it, the region that this maps, the space which
the region is a part of, the mapping that covers it there, and so on to the root. What all of them grant together is
granted. A walk that ends at the root is a soft fault: the page is entered, zero if it is touched for the first time,
and nobody notices. A walk that does not end there concerns the thread, or a region and its keeper, by the table below.

A thread asks a keeper by an idempotent call of its own: a message of the kind `FLUKE_MESSAGE_FAULT` arrives at the
keeper's port, and is answered with `ipc_reply`. The thread then makes its access again, or its whole system call from
where its registers say it has come to. What is asked is looked up when a server takes the message, so a fault that is
no more is not told. Until then the thread's state has `fault_access` and `fault_address`, and it waits for the port or
the server; loaded with a null `waiting_for`, it makes its access again, and asks again if need be.

In a message from one thread to another, a fault is that of the thread whose memory it is, whoever copies: the
sender's or the receiver's, of a buffer, of a table of buffers or references, or of the slot of a reference. The other
waits for it, and the message goes on from what the second table names. While it does, either thread, both, or the
keeper can be exported, destroyed and created again.
"""

from __future__ import annotations

RULES: tuple[tuple[str, str], ...] = (
    ("nothing is mapped at the address in the thread's own space", "the thread's exception"),
    ("the mapping there forbids the access, or is of no region", "the thread's exception"),
    ("the region forbids it, ends before it, or is of no space", "the keeper of that region is asked"),
    (
        "nothing is mapped in the region's space, or the mapping there forbids the access, or is of no region",
        "the keeper of the region through which the walk has come to that space",
    ),
    ("that region has no keeper, or its port is gone", "the thread's exception, as if a keeper had failed"),
    ("the keeper answers anything but `FLUKE_FAULT_RESOLVED`", "the thread's exception"),
    ("the walk takes more than 32 steps, as in a ring of mappings", "the thread's exception"),
    ("the quota does not allow the page", "the thread's exception, `FLUKE_INSANITY_OUT_OF_MEMORY`"),
)
"""Where a walk ends, and whose affair it is then."""

ACROSS: tuple[tuple[str, str, str], ...] = (
    ("one-way", "client or server, who comes last", "nowhere: it is one chunk, and moves anew"),
    ("request of an idempotent call", "client or server, who comes last", "the server's `t6`: words that have arrived"),
    ("reply to an idempotent call", "server", "the server's `t6`, and its registers of what is to be sent"),
    (
        "on a reliable connection, either way",
        "client or server, who comes last",
        "the registers of both: what is left to be sent, what room is left; the receiver's `t6`",
    ),
)
"""What a message is, who copies it, and what says how far it has come while a page is away."""
