"""Figures: a median with its spread, and how it is taken."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """Median, least and greatest of several runs; `bound` is what was asked for, in the same unit."""

    name: str
    unit: str
    median: float
    least: float
    greatest: float
    bound: float

    @property
    def is_met(self) -> bool:
        """Whether the median keeps to the bound."""
        return self.median <= self.bound

    def __str__(self) -> str:
        verdict = "" if self.is_met else "   above the bound"
        spread = f"({self.least:.2f} to {self.greatest:.2f})"
        return f"{self.name:44} {self.median:9.2f} {self.unit:3} {spread:22} bound {self.bound:g}{verdict}"


def figure(name: str, unit: str, samples: Sequence[float], bound: float) -> Figure:
    """The figure of some samples."""
    return Figure(name, unit, statistics.median(samples), min(samples), max(samples), bound)
