"""
The rules of style that a machine can check: each takes text and returns what is wrong with it.

A rule gets a module's dotted name and its syntax tree, or a file's name and its text, and yields
one line for each offence. `test_tidy` applies them to the project, and to samples that break them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON_FOLDERS = ("fluke_async", "devices", "tests", "examples")
TEXT_FOLDERS = (*PYTHON_FOLDERS, "userland", ".ci")
RULES = {"tests/tidy.py", "tests/test_tidy.py"}  # they name what they forbid
TEXT_SUFFIXES = {".py", ".c", ".h", ".S", ".ld", ".md", ".toml", ".txt"}

LAYERS = {
    "fluke_async.errors": (),
    "fluke_async.abi": ("fluke_async.errors",),
    "fluke_async.image": ("fluke_async.abi", "fluke_async.errors"),
    "fluke_async.cpu": ("fluke_async.abi", "fluke_async.errors"),
    "fluke_async.kernel": ("fluke_async.abi", "fluke_async.errors"),
    "fluke_async.execution": (
        "fluke_async.kernel",
        "fluke_async.abi",
        "fluke_async.errors",
        "fluke_async.cpu.protocol",
    ),
    "fluke_async.toolchain": ("fluke_async.abi", "fluke_async.errors", "fluke_async.programs"),
    "fluke_async.programs": ("fluke_async.abi", "fluke_async.errors", "fluke_async.cpu.elf"),
    "fluke_async.device": ("fluke_async.kernel", "fluke_async.abi", "fluke_async.errors"),
    "fluke_async.embedding": (
        "fluke_async.device",
        "fluke_async.image",
        "fluke_async.execution",
        "fluke_async.kernel",
        "fluke_async.abi",
        "fluke_async.errors",
        "fluke_async.cpu",
        "fluke_async.programs",
    ),
    "fluke_async.verify": (
        "fluke_async.embedding.loader",
        "fluke_async.embedding.slab",
        "fluke_async.device",
        "fluke_async.image",
        "fluke_async.execution",
        "fluke_async.kernel",
        "fluke_async.abi",
        "fluke_async.errors",
        "fluke_async.cpu",
        "fluke_async.programs",
    ),
    "fluke_devices": ("fluke_async.device", "fluke_async.abi", "fluke_async.errors"),
}
"""Who may import whom inside the project; a layer may always import itself."""

OUTSIDE = {
    "unicorn": ("fluke_async.cpu.unicorn",),
    "uvloop": ("fluke_async.bench", "fluke_async.cli"),
    "anyio": (
        *("fluke_async.bench", "fluke_async.embedding", "fluke_async.device", "fluke_devices", "fluke_async.cli"),
        "fluke_async.verify_images",
    ),
    "cyclopts": ("fluke_async.cli",),
    "rich": ("fluke_async.cli",),
    "msgspec": ("fluke_async.image",),
    "zstandard": ("fluke_async.image", "fluke_async.verify"),
}
"""Libraries with the only modules, by the beginning of their names, that may import them."""

SANS_IO = ("fluke_async.abi", "fluke_async.kernel", "fluke_async.image")
WORLDLY = {"anyio", "asyncio", "random", "socket", "structlog", "threading", "time", "unicorn"}
"""What the kernel proper may not import: there is no world in it but its own."""

PRINTS = (
    "fluke_async.abi.generated",
    "fluke_async.bench",
    "fluke_async.cli",
    "fluke_async.toolchain",
)
"""What is run as a command, and so may print."""

LINES_MAX = 320
LINES_SLACK = 20
LONG_FILES = {
    "fluke_async/cpu/unicorn_cpu.py": 336,
    "tests/kernel/machine.py": 347,
    "tests/kernel/test_memory_model.py": 325,
}
"""Files that are longer, with the length that they may not exceed; it only ever shrinks."""

UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
LINK = re.compile(r"\]\(([^()\s:#]+)(?:#[^()\s]*)?\)")
HOST_PATH = re.compile(r"(?<![\w.~$)}\"'/*-])/(?:home|root|work|opt|mnt|Users|private)/\w|\b[A-Z]:\\")


@dataclass(frozen=True)
class Module:
    """A Python file: its dotted name, its path from the root, its syntax tree and its lines."""

    name: str
    path: str
    tree: ast.Module
    line_count: int


def module_name(path: str) -> str:
    """The dotted name of a file, whose path is given from the root."""
    parts = list(Path(path).with_suffix("").parts)
    if parts[0] == "devices":
        del parts[0]
    if parts[-1] == "__init__":
        del parts[-1]
    return ".".join(parts)


def parse(path: str, text: str) -> Module:
    return Module(module_name(path), path, ast.parse(text), len(text.splitlines()))


def python_files() -> list[str]:
    """Every Python file of the project, as its path from the root."""
    files = [file for folder in PYTHON_FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    return [file.relative_to(ROOT).as_posix() for file in files]


def python_modules() -> list[Module]:
    """Every module of the project."""
    return [parse(path, (ROOT / path).read_text("utf-8")) for path in python_files()]


def text_files() -> Iterator[tuple[str, str]]:
    """Every file written by people, as its path from the root and its text."""
    files = [file for file in ROOT.iterdir() if file.suffix in TEXT_SUFFIXES]
    files += [ROOT / "Makefile", ROOT / ".ci" / "run"]
    for folder in TEXT_FOLDERS:
        files += [file for file in (ROOT / folder).rglob("*") if file.suffix in TEXT_SUFFIXES]
    for file in sorted(files):
        path = file.relative_to(ROOT).as_posix()
        if path not in RULES:
            yield path, file.read_text("utf-8")


def below(name: str, prefixes: Iterable[str]) -> bool:
    """Whether the module `name` is one of `prefixes` or inside one."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def imports(module: Module, known: AbstractSet[str]) -> Iterator[tuple[int, str]]:
    """Line and name of everything imported; `from package import module` names the module."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.path}:{node.lineno}: imports are absolute"
            source = node.module or ""
            for alias in node.names:
                full = f"{source}.{alias.name}"
                yield node.lineno, full if full in known else source


def layers(module: Module, known: AbstractSet[str]) -> Iterator[str]:
    """Dependence goes one way: abi, kernel, execution, embedding, devices."""
    layer = next((layer for layer in LAYERS if below(module.name, [layer])), None)
    if layer is None:  # the facade, the command line, tests and examples may use everything
        return
    for line, target in imports(module, known):
        ours = below(target, ["fluke_async", "fluke_devices"])
        if ours and not below(target, (layer, *LAYERS[layer])):
            yield f"{module.path}:{line}: {layer} may not import {target}"


def outside(module: Module, known: AbstractSet[str]) -> Iterator[str]:
    """Each outside library has its place, and the kernel proper has none of them."""
    if not below(module.name, ["fluke_async", "fluke_devices"]):
        return
    for line, target in imports(module, known):
        library = target.partition(".")[0]
        homes = OUTSIDE.get(library)
        if homes is not None and not module.name.startswith(homes):
            yield f"{module.path}:{line}: {library} is imported in {', '.join(homes)} only"
        elif library in WORLDLY and below(module.name, SANS_IO):
            yield f"{module.path}:{line}: {library} has no place in {module.name}"


def model_tests(module: Module) -> Iterator[str]:
    """Only execution knows which execution model runs."""
    library = below(module.name, ["fluke_async", "fluke_devices"])
    if not library or below(module.name, ["fluke_async.execution"]):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            asked = [node.subject]
        elif isinstance(node, ast.Call) and _last_name(node.func) == "isinstance":
            asked = node.args
        else:
            continue
        if any(re.fullmatch(r"(\w+_)?model|\w+Model", _last_name(part)) for part in asked):
            yield f"{module.path}:{node.lineno}: asks for the execution model"


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def held_across_awaits(module: Module) -> Iterator[str]:
    """In the kernel nothing is held across a wait: the coroutine may be dropped there."""
    if not below(module.name, ["fluke_async.kernel"]):
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.With | ast.AsyncWith | ast.Try):
            continue
        if isinstance(node, ast.Try) and not node.finalbody:
            continue
        if isinstance(node, ast.AsyncWith) or any(map(_waits, ast.iter_child_nodes(node))):
            yield f"{module.path}:{node.lineno}: holds something across a wait"


def _waits(node: ast.AST) -> bool:
    """Whether a wait may happen in `node` itself, functions defined in it apart."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return False
    waits = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom)
    return isinstance(node, waits) or any(map(_waits, ast.iter_child_nodes(node)))


def undocumented(module: Module) -> Iterator[str]:
    """Every module says what it is for."""
    if not ast.get_docstring(module.tree):
        yield f"{module.path}: has no docstring"


def prints(module: Module) -> Iterator[str]:
    """A library is silent; what speaks is the command line."""
    library = below(module.name, ["fluke_async", "fluke_devices"])
    if not library or below(module.name, PRINTS):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and _last_name(node.func) == "print":
            yield f"{module.path}:{node.lineno}: prints"


def too_long(module: Module, limits: dict[str, int]) -> Iterator[str]:
    """One concept, one file; the exceptions may shrink but not grow."""
    limit = limits.get(module.path, LINES_MAX)
    if module.line_count > limit:
        yield f"{module.path}: {module.line_count} lines, more than {limit}"
    elif module.path in limits and module.line_count <= max(LINES_MAX, limit - LINES_SLACK):
        yield f"{module.path}: {module.line_count} lines now: lower its limit of {limit}"


def unfinished(path: str, text: str) -> Iterator[str]:
    """What is left to do is said to people, not to the source."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := UNFINISHED.search(line):
            yield f"{path}:{number}: {found.group()}"


def host_paths(path: str, text: str) -> Iterator[str]:
    """No file knows on which machine it was written."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := HOST_PATH.search(line):
            yield f"{path}:{number}: path of one machine: {line[found.start() :].split()[0]}"


def broken_links(path: str, text: str) -> Iterator[str]:
    """A page links to files that there are."""
    if path.endswith(".md"):
        for link in LINK.findall(text):
            if not (ROOT / path).parent.joinpath(link).exists():
                yield f"{path}: links to {link}, which is not there"
