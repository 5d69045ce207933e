"""
The errors of the Python interface.

A guest program's mistakes never raise these: they become status codes or exceptions of the guilty thread.
"""

from __future__ import annotations


class FlukeError(Exception):
    """The embedder's mistake or wish that cannot be met; the message says what was wrong and what to do."""


class ProgramError(FlukeError):
    """A program file was refused: it is not what the kernel runs, is damaged, or needs more than there is."""


class ImageError(FlukeError):
    """An image was refused, or cannot be made: the message says what is wrong with what."""


class KernelBug(Exception):
    """A mistake of this library's: the kernel stops; please report it with the message, which holds its state."""
