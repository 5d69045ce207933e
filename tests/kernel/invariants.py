"""The invariants, as the tests of the kernel name them: those that hostile calls are held against too."""

from fluke_async.verify.invariants import check, effective_priorities

__all__ = ["check", "effective_priorities"]
