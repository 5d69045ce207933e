"""The invariants, under the name by which the tests of the kernel know them."""

from fluke_async.verify.invariants import check, effective_priorities

__all__ = ["check", "effective_priorities"]
