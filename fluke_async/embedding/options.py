"""What a kernel is made with, checked."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.errors import FlukeError
from fluke_async.execution.configuration import CONFIGURATIONS, MODELS, Configuration, Preemption
from fluke_async.kernel.params import HARTS_MAX

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
MEMORY_MIN, MEMORY_MAX = 1 << 20, 64 << 30

Model = Literal["interrupt", "process"]
ClockName = Literal["virtual", "real"]


@dataclass(frozen=True, slots=True)
class Options:
    """A kernel's configuration; `memory_bytes` is its RAM and the quota of everything in it."""

    model: str
    preemption: Preemption
    memory_bytes: int
    clock: str
    cpus: int
    seed: int


def check(*, model: str, preemption: str, cpus: object, memory: str | int, clock: str, seed: object) -> Options:
    """
    Options from what the embedder wrote.

    Raises:
        FlukeError: a value is not one of those that exist.
    """
    _one_of("model", model, tuple(MODELS))
    _one_of("preemption", preemption, tuple(each.value for each in Preemption))
    if Configuration(model, preemption) not in CONFIGURATIONS:
        raise FlukeError(
            f'preemption "{preemption}" needs model "process", for it keeps stacks: '
            f'give model="process", or preemption="partial"'
        )
    _one_of("clock", clock, ("virtual", "real"))
    if not isinstance(cpus, int) or isinstance(cpus, bool) or not 1 <= cpus <= HARTS_MAX:
        raise FlukeError(f"cpus={cpus!r} is no number of harts from 1 to {HARTS_MAX}: give one, such as cpus=1")
    if not isinstance(seed, int) or seed < 0:
        raise FlukeError(f"seed={seed!r} is not a number from 0 up: give one, such as seed=0")
    return Options(model, Preemption(preemption), memory_size(memory), clock, cpus, seed)


def check_spawn(
    program: object, args: object, env: object, stdin: object, stdout: object, budget: object, services: object
) -> None:
    """
    See that what `Kernel.spawn` was given is of the right kind.

    Raises:
        FlukeError: something is not.
    """
    if not isinstance(program, str | bytes | Path):
        raise FlukeError(f"program {program!r} is none: give a name, a path, or the bytes of an ELF file")
    if isinstance(args, str | bytes):
        raise FlukeError(f"args {args!r} is a text: give a list, such as args=[{args!r}]")
    if not isinstance(args, Sequence):
        raise FlukeError(f"args {args!r} is no list: give one, such as args=[]")
    if not isinstance(env, Mapping | None):
        raise FlukeError(f"env {env!r} is no mapping: give one, such as env={{'NAME': 'VALUE'}}, or None")
    _check_input(stdin)
    if stdout is not None and not hasattr(stdout, "send"):
        raise FlukeError(
            f"stdout, a {type(stdout).__name__}, cannot be written: give an async stream with `send`, or None"
        )
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < 1):
        raise FlukeError(f"budget {budget!r} is no positive number of instructions: give one, or None")
    if not isinstance(services, Mapping | None):
        raise FlukeError(f"services {services!r} is no mapping: give one, such as services={{'name': port}}, or None")


def check_inputs(inputs: object, count: int) -> Sequence[Any]:
    """
    One input for each of the copies that `Process.fork` makes; None stands for none.

    Raises:
        FlukeError: they are not as many, or one is none.
    """
    if inputs is None:
        return [None] * count
    if isinstance(inputs, str | bytes) or not isinstance(inputs, Sequence) or len(inputs) != count:
        raise FlukeError(f"stdin of {count} copies is a list of {count} inputs: give one for each, or None")
    for each in inputs:
        _check_input(each)
    return inputs


def check_substitutes(substitutes: object) -> Collection[str]:
    """
    Names of services.

    Raises:
        FlukeError: they are none.
    """
    if isinstance(substitutes, str) or not isinstance(substitutes, Collection):
        raise FlukeError(f"substitutes {substitutes!r} is no list of services' names: give one, such as ['name']")
    return substitutes


def _check_input(stdin: object) -> None:
    if not isinstance(stdin, bytes | None) and not hasattr(stdin, "receive"):
        kind = type(stdin).__name__
        raise FlukeError(f"stdin, a {kind}, cannot be read: give bytes, an async stream with `receive`, or None")


def memory_size(memory: str | int) -> int:
    """Bytes, from a number or a text such as "64M"; whole pages."""
    text = str(memory).strip()
    match = re.fullmatch(r"(\d{1,15})([KMG]?)(?:i?B)?", text, re.IGNORECASE)
    if match is None:
        raise FlukeError(f'memory {text!r} is not a size: write a number of bytes, or one such as "64M"')
    size = int(match[1]) * UNITS[match[2].upper()]
    if not MEMORY_MIN <= size <= MEMORY_MAX:
        raise FlukeError(f"memory {text!r} is out of range: choose between 1M and 64G")
    return size // PAGE_SIZE * PAGE_SIZE


def _one_of(name: str, value: str, values: tuple[str, ...]) -> None:
    if value not in values:
        *first, last = (f'"{each}"' for each in values)
        choices = f"{', '.join(first)} or {last}"
        raise FlukeError(f"{name} {value!r} does not exist: choose {choices}")
