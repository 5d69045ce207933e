"""
Compiles C programs for the kernel, and rebuilds the programs that come with it.

The compiler is the clang of the `ziglang` package (the extra `sdk`). It compiles the program together with the small
library of `userland/lib` in one step; flags and layout are such that the same sources give the same bytes anywhere.

`python -m fluke_async.toolchain --rebuild` builds all programs into `userland/bin`; `--check` builds them elsewhere
and compares; `--check-hashes` needs no compiler and says whether a source was changed since the last build.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fluke_async.errors import FlukeError
from fluke_async.programs import RECORD, build_record, userland_directory

FLAGS = (
    "-target", "riscv64-freestanding-none", "-mcpu=generic_rv64+m+a+f+d+c", "-mcmodel=medany",
    "-std=gnu17", "-O2", "-g0", "-Wall", "-Wextra",
    "-ffreestanding", "-fno-builtin", "-fno-pic", "-fno-stack-protector", "-fno-strict-aliasing",
    "-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-ffunction-sections", "-fdata-sections",
    "-static", "-s", "-Wl,--gc-sections", "-Wl,--build-id=none",
)  # fmt: skip

SCRIPT = "program.ld"


def compile_program(sources: Sequence[Path], output: Path, *, warnings_are_errors: bool = False) -> str:
    """
    Compile C files to one program at `output`; returns the compiler's warnings, an empty string if there are none.

    Raises FlukeError if the compiler is not installed, or with the compiler's own messages if it refuses the program.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise FlukeError("compiling needs the package ziglang, which is not installed: pip install ziglang")
    userland = userland_directory()
    library = sorted(path for path in (userland / "lib").iterdir() if path.suffix in (".c", ".S"))
    scripts = (*(source.parent / SCRIPT for source in sources), userland / "lib" / SCRIPT)
    script = next(path for path in scripts if path.is_file())  # a folder may have its own
    # The program comes from its own directory and the library from `userland`, wherever these are on this machine.
    command = [
        sys.executable, "-m", "ziglang", "cc", *FLAGS, *(["-Werror"] if warnings_are_errors else []),
        f"-ffile-prefix-map={userland}=.", f"-ffile-prefix-map={Path.cwd()}=.",
        f"-I{userland / 'include'}", f"-Wl,-T,{script}",
        *map(str, sources), *map(str, library), "-o", str(output),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        names = ", ".join(map(str, sources))
        raise FlukeError(f"the compiler refused {names}:\n{done.stderr.strip()}")
    return done.stderr.strip()


# The built-in programs and the record of their build


def _digest(*paths: Path) -> str:
    content = hashlib.blake2b(digest_size=32)
    for path in paths:
        content.update(path.read_bytes())
    return content.hexdigest()


def _program_sources(userland: Path) -> dict[str, Path]:
    """The C file of each program, or the folder that holds its files; test programs included, by name."""
    found = [path for folder in ("programs", "tests") for path in (userland / folder).iterdir()]
    found = [path for path in found if path.is_dir() or path.suffix == ".c"]
    sources = {path.stem: path for path in sorted(found, key=lambda path: path.stem)}
    if len(sources) != len(found):
        raise FlukeError("two programs of 'userland' have the same name; rename one")
    return sources


def _files_of(source: Path) -> list[Path]:
    """The files of one program, headers of its folder included."""
    return sorted(source.iterdir()) if source.is_dir() else [source]


def _library_files(userland: Path) -> list[Path]:
    """All that goes into every program, and the headers of the tests."""
    return sorted([*(userland / "include").iterdir(), *(userland / "lib").iterdir(), *(userland / "tests").glob("*.h")])


def _description(source: Path) -> str:
    """The first comment's first line, in a folder that of main.c."""
    first_file = source / "main.c" if source.is_dir() else source
    found = re.match(r"/\*\s*(.*?)\s*(\*/)?$", first_file.read_text("utf-8").partition("\n")[0])
    if found is None or not found[1]:
        raise FlukeError(f"{first_file} does not begin with a comment that says in one line what it shows; add it")
    return found[1].removesuffix(".")


def _sources_record(userland: Path) -> dict[str, Any]:
    """What the build of all programs depends on, except the compiler."""
    return {
        "flags": list(FLAGS),
        "library": {str(path.relative_to(userland)): _digest(path) for path in _library_files(userland)},
        "programs": {
            name: {
                "description": _description(source),
                "source": str(source.relative_to(userland)),
                "source_hash": _digest(*_files_of(source)),
            }
            for name, source in _program_sources(userland).items()
        },
    }


def _compiler() -> str:
    return f"ziglang {importlib.metadata.version('ziglang')}"


def rebuild(target: Path) -> None:
    """Compile every program of `userland` to `target`/NAME.elf."""
    for name, source in _program_sources(userland_directory()).items():
        files = [path for path in _files_of(source) if path.suffix == ".c"]
        compile_program(files, target / f"{name}.elf", warnings_are_errors=True)


def rebuild_all() -> None:
    """Compile every program, then replace what is in `userland/bin` and write the record."""
    userland = userland_directory()
    binaries = userland / "bin"
    record = {"compiler": _compiler(), **_sources_record(userland)}
    with tempfile.TemporaryDirectory() as directory:
        rebuild(Path(directory))
        binaries.mkdir(exist_ok=True)
        for name, entry in record["programs"].items():
            fresh = Path(directory) / f"{name}.elf"
            entry["elf_hash"] = _digest(fresh)
            (binaries / fresh.name).write_bytes(fresh.read_bytes())
    for elf in binaries.glob("*.elf"):
        if elf.stem not in record["programs"]:
            elf.unlink()
    (userland / RECORD).write_text(json.dumps(record, indent=2) + "\n", "utf-8")


def stale_hashes() -> list[str]:
    """What was changed since the programs were built, one sentence each; needs no compiler."""
    userland = userland_directory()
    built, present = build_record(), _sources_record(userland)
    complaints = []
    if built["flags"] != present["flags"]:
        complaints.append("the flags of the compiler have changed")
    complaints += [
        f"{path} has changed"
        for path in sorted(built["library"].keys() | present["library"].keys())
        if built["library"].get(path) != present["library"].get(path)
    ]
    for name in sorted(built["programs"].keys() | present["programs"].keys()):
        noted = dict(built["programs"].get(name, {}))
        elf_hash = noted.pop("elf_hash", "")
        if noted != present["programs"].get(name, {}):
            complaints.append(f"the source of {name} has changed")
        elf = userland / f"bin/{name}.elf"
        if not elf.is_file() or _digest(elf) != elf_hash:
            complaints.append(f"bin/{name}.elf is not the file that was built")
    return complaints


def stale_binaries() -> list[str]:
    """What differs when every program is built again, one sentence each."""
    userland = userland_directory()
    complaints = stale_hashes()
    if build_record()["compiler"] != _compiler():
        return [*complaints, f"built with {build_record()['compiler']}, but {_compiler()} is installed"]
    with tempfile.TemporaryDirectory() as directory:
        rebuild(Path(directory))
        for name in _program_sources(userland):
            committed, fresh = userland / f"bin/{name}.elf", Path(directory) / f"{name}.elf"
            if not committed.is_file() or committed.read_bytes() != fresh.read_bytes():
                complaints.append(f"bin/{name}.elf is not what its sources give")
    return complaints


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fluke_async.toolchain", description="Builds the user programs.")
    parser.add_argument("--rebuild", action="store_true", help="build all programs into userland/bin")
    parser.add_argument("--check", action="store_true", help="build all programs and compare them with userland/bin")
    parser.add_argument("--check-hashes", action="store_true", help="compare hashes only; needs no compiler")
    options = parser.parse_args(arguments)
    if not (options.rebuild or options.check or options.check_hashes):
        parser.error("say --rebuild, --check or --check-hashes")
    try:
        if options.check or options.check_hashes:
            complaints = stale_binaries() if options.check else stale_hashes()
        else:
            rebuild_all()
            complaints = []
    except FlukeError as error:
        complaints = [str(error)]
    if complaints and not options.rebuild:
        complaints.append("rebuild with: python -m fluke_async.toolchain --rebuild")
    sys.stderr.writelines(f"{complaint}\n" for complaint in complaints)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
