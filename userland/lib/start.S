# The first instructions of a program: a0 is the address of the start block, sp the top of the stack.
# Global data is addressed relative to pc, so gp stays unused and threads need no set-up of their own.

        .section .text.start, "ax", @progbits
        .globl  _start
_start:
        tail    fluke_start_program
