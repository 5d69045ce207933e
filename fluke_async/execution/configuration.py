"""
The five configurations: an execution model, and where a thread in the kernel can lose the processor.

These tables are all that tells them apart, beside the two drivers; every option, command and test reads them. The
names are those of the OSDI '99 paper: Interrupt NP and PP, Process NP, PP and FP.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PAGE_SIZE, VISITED_PAGES_MAX, WORD_SIZE
from fluke_async.execution.interrupt import InterruptModel
from fluke_async.execution.model import ExecutionModel
from fluke_async.execution.process import ProcessModel
from fluke_async.kernel.suspension import COPY, VISIT, Suspension


class Preemption(Enum):
    """Where a thread in the kernel can lose the processor."""

    NONE = "none"  # nowhere: at the return to user mode only
    PARTIAL = "partial"  # also on the copy path of messages, every 8 KiB
    FULL = "full"  # at every marked point; there is one after each page copied and each object visited


class Grain(NamedTuple):
    """At which marked points a thread is preempted, and how much is done between two of them."""

    points: tuple[Suspension, ...]
    chunk_words: int = COPY_CHUNK_WORDS
    visited_pages: int = VISITED_PAGES_MAX


class Configuration(NamedTuple):
    """What a kernel is made of; the values of the options `model` and `preemption`."""

    model: str
    preemption: str


MODELS: dict[str, type[ExecutionModel]] = {"interrupt": InterruptModel, "process": ProcessModel}
GRAINS = {
    Preemption.NONE: Grain(()),
    Preemption.PARTIAL: Grain((COPY,)),
    Preemption.FULL: Grain((COPY, VISIT), PAGE_SIZE // WORD_SIZE, 1),
}
CONFIGURATIONS = (
    Configuration("interrupt", "none"),
    Configuration("interrupt", "partial"),
    Configuration("process", "none"),
    Configuration("process", "partial"),
    Configuration("process", "full"),
)


def configurations(model: str | None, preemption: str | None) -> list[Configuration]:
    """Those that there are with a model and a kind of preemption; None: any."""
    return [each for each in CONFIGURATIONS if model in (None, each.model) and preemption in (None, each.preemption)]
