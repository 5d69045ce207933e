"""The machine of the kernel's tests."""

from tests.kernel.machine import machine

__all__ = ["machine"]
