"""The project keeps its own rules of style, and each rule can be broken."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

import pytest

from tests import tidy

KNOWN = {tidy.module_name(path) for path in tidy.python_files()}

ModuleRule = Callable[[tidy.Module], Iterator[str]]
TextRule = Callable[[str, str], Iterator[str]]


def layers(module: tidy.Module) -> Iterator[str]:
    return tidy.layers(module, KNOWN)


def outside(module: tidy.Module) -> Iterator[str]:
    return tidy.outside(module, KNOWN)


def too_long(module: tidy.Module) -> Iterator[str]:
    return tidy.too_long(module, tidy.LONG_FILES)


MODULE_RULES: list[ModuleRule] = [
    layers,
    outside,
    tidy.model_tests,
    tidy.held_across_awaits,
    tidy.undocumented,
    tidy.prints,
    too_long,
]
TEXT_RULES: list[TextRule] = [tidy.unfinished, tidy.host_paths, tidy.broken_links]


@pytest.fixture(scope="module")
def modules() -> list[tidy.Module]:
    """Every module of the project: only while they are looked at, for their trees are large and slow to make."""
    return tidy.python_modules()


@pytest.mark.parametrize("rule", MODULE_RULES, ids=lambda rule: rule.__name__)
def test_modules_keep(rule: ModuleRule, modules: list[tidy.Module]) -> None:
    offences = [offence for module in modules for offence in rule(module)]
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize("rule", TEXT_RULES, ids=lambda rule: rule.__name__)
def test_files_keep(rule: TextRule) -> None:
    offences = [offence for path, text in tidy.text_files() for offence in rule(path, text)]
    assert not offences, "\n".join(offences)


def test_the_project_was_found() -> None:
    assert {"fluke_async.errors", "fluke_async.kernel.trace", "tests.test_tidy"} <= KNOWN
    assert {"pyproject.toml", "Makefile", ".ci/run", "README.md"} <= {path for path, _ in tidy.text_files()}


def test_exceptions_to_the_length_exist() -> None:
    assert set(tidy.LONG_FILES) <= set(tidy.python_files())


KERNEL = "fluke_async/kernel/sample.py"

BROKEN = [
    (layers, KERNEL, "from fluke_async.execution import interrupt"),
    (layers, KERNEL, "from fluke_async.cpu.protocol import Cpu"),
    (layers, KERNEL, "import fluke_async"),
    (layers, "fluke_async/abi/sample.py", "from fluke_async.kernel import trace"),
    (layers, "fluke_async/execution/sample.py", "from fluke_async.cpu import unicorn_cpu"),
    (layers, "fluke_async/embedding/sample.py", "import fluke_devices"),
    (layers, "fluke_async/embedding/sample.py", "def late(): import fluke_async.cli"),
    (layers, "devices/fluke_devices/sample.py", "import fluke_async.kernel.trace"),
    (outside, KERNEL, "import asyncio"),
    (outside, KERNEL, "from time import monotonic"),
    (outside, KERNEL, "import structlog.stdlib"),
    (outside, "fluke_async/cpu/sample.py", "import unicorn"),
    (outside, "fluke_async/execution/sample.py", "from anyio import sleep"),
    (outside, "fluke_async/embedding/sample.py", "import uvloop"),
    (tidy.model_tests, KERNEL, "if core.model == 'process': pass"),
    (tidy.model_tests, KERNEL, "x = 1 if 'process' == execution_model else 2"),
    (tidy.model_tests, KERNEL, "match model:\n    case 'process': pass"),
    (tidy.model_tests, "fluke_async/embedding/sample.py", "isinstance(driver, ProcessModel)"),
    (tidy.held_across_awaits, KERNEL, "async def f():\n    with lock:\n        await WAIT"),
    (tidy.held_across_awaits, KERNEL, "async def f():\n    async with lock:\n        pass"),
    (
        tidy.held_across_awaits,
        KERNEL,
        """
        async def f():
            try:
                if x:
                    y = await WAIT
            finally:
                unlock()
        """,
    ),
    (tidy.undocumented, KERNEL, "x = 1"),
    (tidy.prints, KERNEL, "print('here')"),
    (too_long, KERNEL, "\n" * (tidy.LINES_MAX + 1)),
]

SOUND = [
    (layers, KERNEL, "from fluke_async.abi import codes"),
    (layers, "fluke_async/execution/sample.py", "from fluke_async.cpu import protocol"),
    (layers, "fluke_async/cli/sample.py", "import fluke_async, fluke_devices"),
    (outside, "fluke_async/cpu/unicorn_cpu.py", "import unicorn"),
    (outside, "fluke_async/embedding/sample.py", "import anyio, time"),
    (tidy.model_tests, "fluke_async/execution/sample.py", "if model == 'process': pass"),
    (tidy.model_tests, KERNEL, "shown = [event for event in trace if not event.model]"),
    (
        tidy.held_across_awaits,
        KERNEL,
        """
        async def f():
            with lock:
                x = 1
            try:
                await WAIT
            except ProgramException:
                pass
            with lock:
                async def later():
                    await WAIT
        """,
    ),
    (tidy.undocumented, KERNEL, '"""Something."""'),
    (tidy.prints, "fluke_async/cli/sample.py", "print('here')"),
    (too_long, KERNEL, "\n" * tidy.LINES_MAX),
]


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_broken_rules_are_found(rule: ModuleRule, path: str, text: str) -> None:
    assert len(list(rule(tidy.parse(path, textwrap.dedent(text))))) == 1


@pytest.mark.parametrize(("rule", "path", "text"), SOUND)
def test_sound_code_passes(rule: ModuleRule, path: str, text: str) -> None:
    assert list(rule(tidy.parse(path, textwrap.dedent(text)))) == []


def test_a_long_file_may_only_shrink() -> None:
    module = tidy.parse(KERNEL, "\n" * 500)
    assert list(tidy.too_long(module, {KERNEL: 500})) == []
    assert list(tidy.too_long(module, {KERNEL: 500 + tidy.LINES_SLACK - 1})) == []
    assert len(list(tidy.too_long(module, {KERNEL: 499}))) == 1
    assert len(list(tidy.too_long(module, {KERNEL: 500 + tidy.LINES_SLACK}))) == 1
    short = tidy.parse(KERNEL, "\n" * tidy.LINES_MAX)
    assert len(list(tidy.too_long(short, {KERNEL: tidy.LINES_MAX + 1}))) == 1


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (tidy.unfinished, "x = 1  # FIXME: later", "the fixmes of others"),
        (tidy.unfinished, "/* TODO */", "todos"),
        (tidy.host_paths, "see /home/me/notes", "the folder home/me or a ratio a/home/b"),
        (tidy.host_paths, "C:\\Users", "a:b"),
        (tidy.broken_links, "[here](nosuch.md#part)", "[here](README.md#part) [web](https://a.b/c)"),
    ],
)
def test_texts(rule: TextRule, bad: str, good: str) -> None:
    assert len(list(rule("sample.md", bad))) == 1
    assert list(rule("sample.md", good)) == []
