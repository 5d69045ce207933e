"""Making an image, a few pages at a time, while the process goes on."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.image.container import MANIFEST_MAX
from fluke_async.image.image import Image
from fluke_async.image.manifest import Manifest, encode_manifest
from fluke_async.image.pages import ENTRY_SIZE, ZERO_DIGEST, ZERO_PAGE, digest
from fluke_async.image.refusal import refusal


class ImageBuilder:
    """
    Takes the pages of a process: all of them, or those that were written since `parent` was made.

    A page costs its hash, some 5 us. Only `add` and `finish` touch the builder: they may run in any thread, one at a
    time.
    """

    def __init__(self, manifest: Manifest, parent: Image | None = None) -> None:
        self._manifest = msgspec.structs.replace(manifest, parent=None if parent is None else parent.identity)
        self._parent = parent
        self._table: dict[int, bytes] = {}
        self._contents: dict[bytes, bytes] = {}

    def add(self, pages: Iterable[tuple[int, bytes | memoryview]]) -> None:
        """
        Take pages with their offsets, in any order. Pages that are zero, or as in the parent, have no contents.

        Raises:
            ImageError: what is given is no page, or a page is given twice.
        """
        for offset, data in pages:
            if offset in self._table or len(data) != PAGE_SIZE:
                raise refusal(f"the page at {offset:#x} is given twice or with {len(data)} bytes")
            page = bytes(data)
            found = ZERO_DIGEST if page == ZERO_PAGE else digest(page)
            if self._parent is not None and found == self._parent.known_digest(offset):
                continue
            self._table[offset] = found
            if found != ZERO_DIGEST:
                self._contents.setdefault(found, page)

    @property
    def table_bytes(self) -> int:
        """Bytes of the table of pages so far: `finish` goes through them, and through the manifest."""
        return len(self._table) * ENTRY_SIZE

    def finish(self) -> Image:
        """
        The image, checked as one that is loaded is: it can be read again.

        Raises:
            ImageError: the manifest or the pages are not those of a process, or more than an image can have.
        """
        manifest = self._manifest
        encoded = encode_manifest(manifest)
        if len(encoded) > MANIFEST_MAX:
            raise refusal(f"the image's manifest would have {len(encoded)} bytes: it can have {MANIFEST_MAX}")
        table, contents = dict(sorted(self._table.items())), self._contents
        self._table, self._contents = {}, {}  # an image never changes
        image = Image(manifest, encoded, table, contents, self._parent)
        _ = image.identity  # who builds on it needs that while a process stands still
        return image
