"""
What becomes of an exception: a thread's own mistake, or an access that a region's keeper has refused.

By the table below the thread goes on in its trap handler, asks the keeper of its space, or stops. To ask is an
idempotent call of its own: a message of the kind `FLUKE_MESSAGE_EXCEPTION` arrives at the port that is the space's
`keeper`, and is answered with `ipc_reply`. The message has the thread's code, its program counter, which is on the
instruction that failed, and its integer registers. A reply that says RESUME lets the thread go on: with the program
counter and the registers of the reply, if it has them all; else with its own, so that it executes the instruction, or
the call, again.

While it asks, the thread's state has `exception` and `exception_subcode`, and the thread waits for the port or the
server; loaded with a null `waiting_for`, it is stopped by its exception. Whatever else ends the wait makes the thread
execute the instruction again, and ask again if that is a mistake still: the port or the server is gone, the space has
another keeper, an interrupt was taken.

A device can be a keeper. A host thread never asks: its task gets the exception.
"""

from __future__ import annotations

RULES: tuple[tuple[str, str], ...] = (
    ("the thread has its exceptions enabled, and a trap handler", "it enters the handler"),
    ("else its space has a keeper, whose port is there", "it asks the keeper"),
    ("else", "it stops with the exception in its state, until a state without one is loaded"),
    ("the keeper answers `FLUKE_EXCEPTION_RESUME`", "it goes on"),
    ("the keeper answers anything else, or without a word", "it stops with the exception in its state"),
)
"""Whose affair an exception is: the first rule that holds."""

EXAMPLE = """\
/* Serves a space whose threads make the calls of another system: does the call, and lets the thread go on behind it. */
static void keep(void *unused)
{
    struct fluke_exception_message question;
    struct fluke_exception_reply reply;
    struct fluke_ipc_params params = {.receive_buffer = &question, .receive_words = sizeof question / FLUKE_WORD_SIZE};

    fluke_ipc_setup_wait_receive(&portset, &params, NULL);
    for (;;) {
        reply.verdict = FLUKE_EXCEPTION_STOP;
        if (question.code == FLUKE_EXCEPTION_FOREIGN_SYSTEM_CALL) {
            reply.verdict = FLUKE_EXCEPTION_RESUME;
            reply.pc = question.pc + 4;
            memcpy(reply.x, question.x, sizeof reply.x);
            reply.x[A0] = do_call(question.subcode, &question.x[A0]);
        }
        params.send_buffer = &reply;
        params.send_words = sizeof reply / FLUKE_WORD_SIZE;
        params.receive_buffer = &question;
        params.receive_words = sizeof question / FLUKE_WORD_SIZE;
        fluke_ipc_reply_wait_receive(&params, NULL);
    }
}
"""
