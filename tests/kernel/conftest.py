"""What the kernel's tests have in common: machines, and waiting rooms on them."""

from tests.kernel.conditions import room
from tests.kernel.machine import machine

__all__ = ["machine", "room"]
