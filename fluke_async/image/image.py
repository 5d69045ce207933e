"""The image of a process: a manifest, and pages by their contents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import blake2b
from operator import itemgetter

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.image.manifest import Manifest

DIGEST_SIZE = 16
ZERO_PAGE = bytes(PAGE_SIZE)
ZERO_DIGEST = bytes(DIGEST_SIZE)
"""Stands in the table of an incremental image for a page that has become zero."""


def digest(data: bytes | memoryview) -> bytes:
    """The hash by which pages, sections, files and images are known; large buffers let other threads run."""
    return blake2b(data, digest_size=DIGEST_SIZE).digest()


def pack_table(table: Mapping[int, bytes]) -> bytes:
    """The table of pages as it is stored: offsets in eight bytes each with digests."""
    return b"".join([offset.to_bytes(8, "little") + page_digest for offset, page_digest in table.items()])


class Image:
    """
    All of a process at one moment; it never changes, and any thread may use it.

    An *incremental* image has a `parent`, and only the pages that were written since that one was made. `page`,
    `offsets` and `pages` are those of the whole process.
    """

    def __init__(
        self,
        manifest: Manifest,
        encoded: bytes,
        table: Mapping[int, bytes],
        contents: Mapping[bytes, bytes],
        parent: Image | None,
    ) -> None:
        self.manifest = manifest
        self.encoded = encoded
        self.table = table
        self.contents = contents
        self.parent = parent

    @cached_property
    def identity(self) -> str:
        """32 hexadecimal digits: the hash of the manifest, with the parent's identity, and of all own pages."""
        state = blake2b(len(self.encoded).to_bytes(8, "little"), digest_size=DIGEST_SIZE)
        state.update(self.encoded)
        state.update(pack_table(self.table))
        return state.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __repr__(self) -> str:
        return f"<Image {self.identity} of {self.manifest.program}>"

    def chain(self) -> Iterator[Image]:
        """This image, the one that it builds on, and so on to the full one."""
        image: Image | None = self
        while image is not None:
            yield image
            image = image.parent

    def digest_at(self, offset: int) -> bytes:
        """The digest of the page at an offset; that of a zero page is all zero."""
        for image in self.chain():
            found = image.table.get(offset)
            if found is not None:
                return found
        return ZERO_DIGEST

    def page(self, offset: int) -> bytes:
        """The page at an offset, which is zero where the image says nothing of it."""
        for image in self.chain():
            found = image.table.get(offset)
            if found is not None:
                return image.contents.get(found, ZERO_PAGE)
        return ZERO_PAGE

    @cached_property
    def _holders(self) -> dict[int, Image]:
        """For each page that is not zero, in order of offset, the image of the chain that has it."""
        holders: dict[int, Image] = {}
        for image in reversed(tuple(self.chain())):
            holders |= dict.fromkeys(image.table, image)
        return {
            offset: image
            for offset, image in sorted(holders.items(), key=itemgetter(0))
            if image.table[offset] != ZERO_DIGEST
        }

    def offsets(self) -> list[int]:
        """The offsets of all pages that are not zero, in order."""
        return list(self._holders)

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """All pages that are not zero, in order of offset."""
        for offset, image in self._holders.items():
            yield offset, image.contents[image.table[offset]]
