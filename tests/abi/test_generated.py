"""The files that are generated from the tables are those that the tables give."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluke_async.abi import c_header, generated, pages
from fluke_async.verify import stages


@pytest.mark.parametrize("generator", [c_header, pages, stages], ids=["c_header", "pages", "stages"])
def test_generated_files_are_fresh(generator: object) -> None:
    assert generated.stale(generator.files()) == []  # type: ignore[attr-defined]


def test_no_page_is_left_over() -> None:
    assert {path.name for path in pages.DIRECTORY.iterdir()} == {
        path.name for path in (*pages.files(), *stages.files())
    }


def test_check_names_a_stale_file_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generated, "REPOSITORY", tmp_path)
    stale, fresh = tmp_path / "stale", tmp_path / "fresh"
    stale.write_text("old")
    fresh.write_text("new")
    assert generated.run_generator({stale: "new", fresh: "new"}, ["--check"]) == 1
    assert capsys.readouterr().err == "stale: stale\n"
    assert stale.read_text() == "old"


def test_writing_makes_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "REPOSITORY", tmp_path)
    texts = {tmp_path / "folder" / "file": "text"}
    assert generated.run_generator(texts, []) == 0
    assert generated.run_generator(texts, ["--check"]) == 0
