"""The programs in `userland/bin` are what their sources give, and can be found."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluke_async import programs, toolchain
from fluke_async.cpu.elf import load_elf
from fluke_async.cpu.protocol import EXECUTE, READ, WRITE
from fluke_async.errors import FlukeError, ProgramError

MAX_BYTES = {
    "usertests": 340_000,
    "checkpoint": 45_000,
    "manager": 60_000,
}  # the one asks a great deal, the other is for all that there is
MAX_BYTES_OF_OTHERS = 30_000
NAMES = sorted(programs.build_record()["programs"])


def test_no_source_was_changed_since_the_build() -> None:
    assert toolchain.stale_hashes() == []


@pytest.mark.parametrize("name", NAMES)
def test_code_constants_and_data_are_apart(name: str) -> None:
    image = load_elf(programs.find_program(name))
    permissions = [segment.permissions for segment in image.segments]
    assert permissions in ([READ | EXECUTE, READ, READ | WRITE], [READ | EXECUTE, READ | WRITE])
    assert image.segments[0].address <= image.entry < image.segments[0].end


@pytest.mark.parametrize("name", NAMES)
def test_programs_are_small_and_stripped(name: str) -> None:
    elf = programs.find_program(name)
    assert len(elf) < MAX_BYTES.get(name, MAX_BYTES_OF_OTHERS)
    assert load_elf(elf).symbols() == {}


def test_the_list_describes_programs_and_leaves_out_tests() -> None:
    listed = dict(programs.list_programs())
    assert {"hello", "echo", "primes", "clock"} <= listed.keys()
    assert "wild" not in listed
    assert all(description and "\n" not in description for description in listed.values())


def test_a_path_is_found_and_a_name_goes_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hello").write_bytes(b"other")
    monkeypatch.chdir(tmp_path)
    assert programs.find_program("./hello") == b"other"
    assert programs.find_program("hello") != b"other"


def test_an_unknown_program_is_refused_with_what_there_is() -> None:
    with pytest.raises(ProgramError, match=r"'nothing' is no built-in program .* one of: .*hello"):
        programs.find_program("nothing")


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("lib/heap.c", "lib/heap.c has changed"),
        ("include/fluke.h", "include/fluke.h has changed"),
        ("programs/hello.c", "the source of hello has changed"),
        ("programs/usertests/mutexes.c", "the source of usertests has changed"),
        ("programs/usertests/usertests.h", "the source of usertests has changed"),
        ("bin/hello.elf", "bin/hello.elf is not the file that was built"),
    ],
)
def test_a_change_is_noticed(userland_copy: Path, path: str, complaint: str) -> None:
    with (userland_copy / path).open("ab") as file:
        file.write(b"\n")
    assert toolchain.stale_hashes() == [complaint]


def test_missing_files_are_noticed(userland_copy: Path) -> None:
    (userland_copy / "bin/hello.elf").unlink()
    (userland_copy / "programs/clock.c").unlink()
    assert toolchain.stale_hashes() == [
        "the source of clock has changed",
        "bin/hello.elf is not the file that was built",
    ]


def test_without_the_compiler_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(FlukeError, match="pip install ziglang"):
        toolchain.compile_program([tmp_path / "a.c"], tmp_path / "a.elf")


@pytest.mark.sdk
class TestCompiler:
    """What needs the compiler itself."""

    @pytest.fixture(autouse=True)
    def _compiler(self) -> None:
        pytest.importorskip("ziglang")

    def test_every_program_is_built_to_the_same_bytes_again(self) -> None:
        assert toolchain.stale_binaries() == []

    def test_the_compilers_own_words_are_shown(self, tmp_path: Path) -> None:
        source = tmp_path / "wrong.c"
        source.write_text("int main(void) { return missing; }\n")
        with pytest.raises(FlukeError, match=r"(?s)the compiler refused .*wrong\.c:.*undeclared identifier 'missing'"):
            toolchain.compile_program([source], tmp_path / "wrong.elf")

    def test_warnings_are_handed_back_and_stop_nothing(self, tmp_path: Path) -> None:
        source = tmp_path / "unused.c"
        source.write_text("int main(void) { int unused; return 0; }\n")
        assert "unused variable" in toolchain.compile_program([source], tmp_path / "unused.elf")
        assert load_elf((tmp_path / "unused.elf").read_bytes()).segments

    def test_a_program_may_have_several_files_and_use_wide_numbers(self, tmp_path: Path) -> None:
        """128-bit division comes from the compiler's own library."""
        (tmp_path / "main.c").write_text(
            "#include <ulib.h>\nlong part(long);\nint main(int argc, char **argv)\n"
            '{ (void)argv; printf("%ld\\n", part(argc)); return 0; }\n'
        )
        (tmp_path / "part.c").write_text(
            "long part(long n) { return (long)(((unsigned __int128)n << 100) / (unsigned __int128)(n + 2)); }\n"
        )
        sources = [tmp_path / "main.c", tmp_path / "part.c"]
        assert toolchain.compile_program(sources, tmp_path / "main.elf") == ""
        assert load_elf((tmp_path / "main.elf").read_bytes()).segments
