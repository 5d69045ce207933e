"""The image of a process: a manifest, pages, and the image that it builds on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from hashlib import blake2b
from operator import itemgetter
from os import PathLike
from pathlib import Path

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.errors import ImageError
from fluke_async.image.checks import check
from fluke_async.image.container import Stored, file_size_max, pack, unpack
from fluke_async.image.file import read_whole, write_whole
from fluke_async.image.manifest import Manifest, decode_manifest
from fluke_async.image.pages import DIGEST_SIZE, ZERO_DIGEST, ZERO_PAGE, pack_table
from fluke_async.image.refusal import refusal

CHAIN_MAX = 1024  # images that build on each other
PAGES_MAX_BYTES = 128 << 20  # of one file: it is read and checked in less than a second
CHAIN_FACTOR = 8  # how many times as many bytes a chain of files may have


def identity_of(encoded: bytes, table: Mapping[int, bytes]) -> str:
    """The identity of an image with this manifest and these pages of its own."""
    state = blake2b(len(encoded).to_bytes(8, "little"), digest_size=DIGEST_SIZE)
    state.update(encoded)
    state.update(pack_table(table))
    return state.hexdigest()


class Image:
    """
    All of a process at one moment; it never changes, and may be used in any thread.

    An *incremental* image has a `parent`, and only the pages that were written since that one was made. `page`,
    `offsets` and `pages` are those of the whole process. Images are equal if their `identity` is.
    """

    def __init__(
        self,
        manifest: Manifest,
        encoded: bytes,
        table: Mapping[int, bytes],
        contents: Mapping[bytes, bytes],
        parent: Image | None,
    ) -> None:
        self.manifest: Manifest = manifest
        check(manifest, table)
        if manifest.parent != (None if parent is None else parent.identity):
            raise refusal(f"the image builds on {manifest.parent}, and that is not the one that it was given")
        if parent is not None and parent.manifest.memory_size != manifest.memory_size:
            raise refusal(
                f"the image has a memory_size of {manifest.memory_size}: the one that it builds on has another"
            )
        if parent is not None and parent.depth == CHAIN_MAX:
            raise refusal(f"more than {CHAIN_MAX} images would build on each other: make a full one")
        self.encoded = encoded  # the manifest as it is stored
        self.table = table  # digests of its own pages by offset, in order
        self.contents = contents  # by digest
        self.parent = parent
        self.depth: int = 1 if parent is None else parent.depth + 1
        self.path: Path | None = None  # of the file that it was saved to last, or loaded from

    @cached_property
    def identity(self) -> str:
        """32 hexadecimal digits: the hash of the manifest, in which the parent's identity is, and of all own pages."""
        return identity_of(self.encoded, self.table)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __repr__(self) -> str:
        return f"<Image {self.identity} of {self.manifest.program!r}>"

    # -- Pages ---------------------------------------------------------------------------------------------------------

    def chain(self) -> Iterator[Image]:
        """This image, the one that it builds on, and so on to the full one."""
        image: Image | None = self
        while image is not None:
            yield image
            image = image.parent

    def digest_at(self, offset: int) -> bytes:
        """The digest of the page at an offset; that of a zero page is all zero."""
        return self.known_digest(offset) or ZERO_DIGEST

    def known_digest(self, offset: int) -> bytes | None:
        """The same; None for a page that was never touched."""
        for image in self.chain():
            found = image.table.get(offset)
            if found is not None:
                return found
        return None

    def page(self, offset: int) -> bytes:
        """The page at an offset, which is zero where no image says anything of it."""
        for image in self.chain():
            found = image.table.get(offset)
            if found is not None:
                return image.contents.get(found, ZERO_PAGE)
        return ZERO_PAGE

    @cached_property
    def _holders(self) -> dict[int, Image]:
        """For each page that was touched, in order of offset, the image of the chain that has it."""
        holders: dict[int, Image] = {}
        for image in reversed(tuple(self.chain())):
            holders |= dict.fromkeys(image.table, image)
        return dict(sorted(holders.items(), key=itemgetter(0)))

    def offsets(self) -> list[int]:
        """The offsets of all pages that are not zero, in order."""
        return list(self.digests())

    def zeros(self) -> list[int]:
        """The offsets of all pages that were touched and are zero, in order: a program can tell which these are."""
        return [offset for offset, image in self._holders.items() if image.table[offset] == ZERO_DIGEST]

    def digests(self) -> dict[int, bytes]:
        """The digests of all pages that are not zero, by their offsets in order."""
        digests = ((offset, image.table[offset]) for offset, image in self._holders.items())
        return {offset: found for offset, found in digests if found != ZERO_DIGEST}

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """All pages that are not zero, with their offsets, in order."""
        for offset, image in self._holders.items():
            if image.table[offset] != ZERO_DIGEST:
                yield offset, image.contents[image.table[offset]]

    # -- Files ---------------------------------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """
        Write the image to a file, whole or not at all; may run in a worker thread.

        An incremental image needs the one that it builds on to be loaded: it notes the name of that one's file, if it
        was saved before or was loaded.

        Raises:
            ImageError: the file cannot be written, or has an image that this one builds on; nothing has changed.
        """
        target = Path(path).absolute()
        for image in self.chain():
            if image is not self and image.path is not None and image.path == target:
                raise refusal(f"cannot write {target}: the image there is one that this one builds on")
        parent_name = None if self.parent is None or self.parent.path is None else self.parent.path.name
        write_whole(target, pack(Stored(self.encoded, self.table, self.contents, parent_name)))
        self.path = target

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        parents: Sequence[Image] = (),
        *,
        pages_max_bytes: int = PAGES_MAX_BYTES,
    ) -> Image:
        """
        Read an image from a file, and those that it builds on; everything is checked.

        Args:
            path: The file.
            parents: Images that it may build on, directly or not; others are looked for beside it, under the names that
                they had.
            pages_max_bytes: How many bytes of pages each file may have; all together eight times as many.

        Raises:
            ImageError: a file is no image, damaged, not one that can be used, or a parent is not there.
        """
        known = {image.identity: image for given in parents for image in given.chain()}
        links = _Links(pages_max_bytes)
        wanted = links.read(Path(path).absolute(), None)
        while wanted is not None and wanted not in known:
            wanted = links.read(links.beside(wanted), wanted)
        image = None if wanted is None else known[wanted]
        for place, stored, manifest in reversed(links.files):
            with _at(place):
                image = cls(manifest, stored.manifest, stored.table, stored.contents, image)
            image.path = place
        assert image is not None, "at least one file was read"
        return image


class _Links:
    """Files that build on each other, the newest first, as far as they were read."""

    def __init__(self, pages_max_bytes: int) -> None:
        self.files: list[tuple[Path, Stored, Manifest]] = []
        self._pages_max_bytes = pages_max_bytes
        self._left_bytes = CHAIN_FACTOR * pages_max_bytes

    def read(self, path: Path, wanted: str | None) -> str | None:
        """Read the image `wanted`, or any if that is None; returns the identity of the one that it builds on."""
        with _at(path):
            if len(self.files) == CHAIN_MAX:
                raise refusal(f"more than {CHAIN_MAX} images build on each other")
            most_bytes = min(self._pages_max_bytes, self._left_bytes)
            stored = unpack(read_whole(path, file_size_max(most_bytes)), most_bytes)
            if wanted is not None and identity_of(stored.manifest, stored.table) != wanted:
                raise refusal(f"the image is not {wanted}, on which {self.files[-1][0].name} builds")
            manifest = decode_manifest(stored.manifest)
            self._left_bytes -= len(stored.table) * PAGE_SIZE
        self.files.append((path, stored, manifest))
        return manifest.parent

    def beside(self, wanted: str) -> Path:
        """Where the image should be that the last one builds on."""
        path, stored, _ = self.files[-1]
        if stored.parent_name is None:
            raise refusal(f"{path}: the image builds on {wanted}, whose file it does not name: give that image too")
        place = path.with_name(stored.parent_name)
        if not place.exists():
            raise refusal(f"{path}: the image builds on {wanted}, and there is no {place.name} beside it: give it too")
        return place


@contextmanager
def _at(path: Path) -> Iterator[None]:
    """Refusals say in which file."""
    try:
        yield
    except ImageError as error:
        raise refusal(f"{path}: {error}") from None
