"""Mistakes to be planted in how images are read: checks left out, numbers believed, errors passed on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.errors import ImageError
from fluke_async.image import checks, container, image, manifest, object_checks
from fluke_async.image.container import _Section
from fluke_async.image.manifest import ObjectRecord


def mappings_in_one_place() -> None:
    """Mappings of an image may lie on top of each other."""
    checks._check_apart = lambda *_: None


def links_to_anything() -> None:
    """Where a link leads is not looked at."""
    object_checks._check_links = lambda *_: None


def pages_not_compared() -> None:
    """A page may be another one than the table says."""

    def read(frames: Sequence[_Section], order: Sequence[bytes]) -> dict[bytes, bytes]:
        data = b"".join(bytes(container._decompressed(frame)) for frame in frames)
        return {name: data[PAGE_SIZE * index :][:PAGE_SIZE] for index, name in enumerate(order)}

    container._read_contents = read


def errors_of_the_decoder_passed_on() -> None:
    """What the decoder raises reaches the embedder."""
    image.decode_manifest = manifest._DECODER.decode  # type: ignore[assignment, attr-defined]


def threads_started_twice() -> None:
    """Which threads are to be started is not looked at."""
    checks._check_running = lambda *_: None


def words_of_any_size() -> None:
    """A word may be any number."""

    def words(record: ObjectRecord) -> Mapping[str, int]:
        return {name: value for name, value in record.state.items() if isinstance(value, int)}

    object_checks._check_words = words


def waits_in_calls_that_do_not() -> None:
    """A thread may wait in any call."""
    object_checks._check_thread = lambda *_: None


def names_of_files_not_looked_at() -> None:
    """The parent's file name may be any text."""
    container._read_name = lambda section: bytes(section.data).decode("utf-8", "replace")


def refusals_as_they_come() -> None:
    """A refusal shows what a stranger has put in."""
    for module in (manifest, image):
        module.refusal = ImageError  # type: ignore[attr-defined]


OF_IMAGES: tuple[Callable[[], None], ...] = (
    mappings_in_one_place,
    links_to_anything,
    pages_not_compared,
    errors_of_the_decoder_passed_on,
    threads_started_twice,
    words_of_any_size,
    waits_in_calls_that_do_not,
    names_of_files_not_looked_at,
    refusals_as_they_come,
)
