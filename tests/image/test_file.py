"""A file is written whole or not at all, and loads as what was saved, with what it builds on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.errors import ImageError
from fluke_async.image.builder import ImageBuilder
from fluke_async.image.file import write_whole
from fluke_async.image.image import Image
from fluke_async.image.manifest import Manifest
from tests.image.samples import manifests, sample_manifest, sample_pages


def built(number: int, parent: Image | None = None) -> Image:
    """An image of its own for each number."""
    builder = ImageBuilder(sample_manifest(), parent)
    pages = sample_pages() if parent is None else {}
    builder.add((pages | {(number % 64) * PAGE_SIZE: number.to_bytes(4, "little") * 1024}).items())
    return builder.finish()


def chain(folder: Path, length: int) -> list[Image]:
    """Images that build on each other, saved under their numbers."""
    images: list[Image] = []
    for number in range(length):
        images.append(built(number + 1, images[-1] if images else None))
        images[-1].save(folder / str(number))
    return images


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(manifests())
def test_what_is_saved_is_loaded(tmp_path: Path, manifest: Manifest) -> None:
    builder = ImageBuilder(manifest)
    builder.add(sample_pages().items())
    image = builder.finish()
    image.save(tmp_path / "image")
    loaded = Image.load(tmp_path / "image")
    assert loaded == image
    assert loaded.manifest == image.manifest
    assert dict(loaded.pages()) == dict(image.pages())


def test_many_pages_take_several_sections(tmp_path: Path) -> None:
    builder = ImageBuilder(sample_manifest(memory_size=1 << 30))
    builder.add((number * PAGE_SIZE, (number + 1).to_bytes(8, "little") * 512) for number in range(600))
    image = builder.finish()
    image.save(tmp_path / "image")
    assert dict(Image.load(tmp_path / "image").pages()) == dict(image.pages())


def test_only_the_file_is_left(tmp_path: Path) -> None:
    image = built(1)
    image.save(tmp_path / "image")
    image.save(str(tmp_path / "image"))
    assert [each.name for each in tmp_path.iterdir()] == ["image"]
    assert image.path == tmp_path / "image"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_file_that_cannot_be_written_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    built(1).save(tmp_path / "image")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, fail)
    with pytest.raises(ImageError, match="No space left"):
        built(2).save(tmp_path / "image")
    monkeypatch.undo()
    assert [each.name for each in tmp_path.iterdir()] == ["image"]
    assert Image.load(tmp_path / "image") == built(1)


def test_it_can_be_saved_by_several_threads_at_once(tmp_path: Path) -> None:
    image = built(1)
    threads = [threading.Thread(target=image.save, args=(tmp_path / str(number % 2),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["0", "1"]
    assert Image.load(tmp_path / "0") == Image.load(tmp_path / "1") == image


def test_what_a_killed_writer_has_left_is_removed_by_the_next(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from fluke_async.image.file import write_whole\n"
        "def pieces():\n"
        "    yield b'half'\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_whole(Path(sys.argv[1]), pieces())\n"
    )
    for name in ("image", "image", "other"):
        died = subprocess.run([sys.executable, "-c", script, tmp_path / name], check=False)
        assert died.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2  # one of each
    built(1).save(tmp_path / "image")
    left, image = sorted(each.name for each in tmp_path.iterdir())
    assert (left.startswith(".fluke-"), image) == (True, "image")
    built(1).save(tmp_path / "other")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["image", "other"]


def test_what_somebody_else_is_writing_is_left_alone(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        built(1).save(tmp_path / "image")
        yield b"whole"

    write_whole(tmp_path / "image", pieces())
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"halfwhole"]


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ImageError, match="what is there is no file"):
            built(1).save(place)
    assert (tmp_path / "pipe").is_fifo()


def test_chains_are_loaded_from_the_folder(tmp_path: Path) -> None:
    images = chain(tmp_path, 100)
    loaded = Image.load(tmp_path / "99")
    assert list(loaded.chain()) == images[::-1]
    assert dict(loaded.pages()) == dict(images[-1].pages())
    loaded.save(tmp_path / "100")
    assert Image.load(tmp_path / "100") == loaded


def test_a_parent_that_is_given_needs_no_file(tmp_path: Path) -> None:
    first, second, third = chain(tmp_path, 3)
    (tmp_path / "1").unlink()
    (tmp_path / "0").unlink()
    assert Image.load(tmp_path / "2", [second]) == third
    with pytest.raises(ImageError, match=f"builds on {second.identity}, and there is no 1 beside it"):
        Image.load(tmp_path / "2", [first])


def test_a_parent_that_was_never_saved_has_to_be_given(tmp_path: Path) -> None:
    first = built(1)
    second = built(2, first)
    second.save(tmp_path / "image")
    with pytest.raises(ImageError, match=f"builds on {first.identity}, whose file it does not name"):
        Image.load(tmp_path / "image")
    assert Image.load(tmp_path / "image", [first]) == second


def test_a_file_of_the_parents_name_that_is_another_image_is_refused(tmp_path: Path) -> None:
    first, _ = chain(tmp_path, 2)
    built(7).save(tmp_path / "0")
    with pytest.raises(ImageError, match=f"the image is not {first.identity}, on which 1 builds"):
        Image.load(tmp_path / "1")
    (tmp_path / "0").write_bytes((tmp_path / "1").read_bytes())  # which builds on itself, as it says
    with pytest.raises(ImageError, match="the image is not"):
        Image.load(tmp_path / "1")


def test_an_image_is_not_written_over_what_it_builds_on(tmp_path: Path) -> None:
    _, second, third = chain(tmp_path, 3)
    for name in ("0", "1"):
        with pytest.raises(ImageError, match="builds on"):
            third.save(tmp_path / name)
    second.save(tmp_path / "1")
    assert Image.load(tmp_path / "2") == third


def test_more_pages_than_allowed_are_refused(tmp_path: Path) -> None:
    chain(tmp_path, 31)  # of 3 pages, and one more each
    assert Image.load(tmp_path / "30", pages_max_bytes=5 * PAGE_SIZE).depth == 31
    for name, most_pages in (("0", 2), ("30", 4)):
        with pytest.raises(ImageError, match="may have"):
            Image.load(tmp_path / name, pages_max_bytes=most_pages * PAGE_SIZE)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ImageError, match="may have"):
        Image.load(tmp_path / "large")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place, reason in (
        ("nosuch", "cannot be read"),
        ("pipe", "no file"),
        (".", "no file"),
        ("a\0b", "cannot be read"),
    ):
        with pytest.raises(ImageError, match=reason):
            Image.load(tmp_path / place)
