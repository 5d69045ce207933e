"""
Images made real by the host, in a kernel of their own: whatever `Image.load` takes, the kernel must take as well.

This is no restore: nothing runs, pages are left out, and what lies outside is made as it comes.
"""

from __future__ import annotations

from fluke_async.abi.codes import PAGE_SIZE, USER_END, ObjectType, Prot
from fluke_async.embedding.slab import OutOfMemory, Slab
from fluke_async.image.image import Image
from fluke_async.image.kinds import KINDS as IMAGE_KINDS
from fluke_async.image.manifest import Manifest, ObjectRecord
from fluke_async.image.records import from_records, to_records
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.base import KernelObject, Links
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.recreation import KINDS, RANK
from fluke_async.verify.invariants import check

TYPES = {name: ObjectType[name.upper()] for name in IMAGE_KINDS}


def load_into(core: Core, image: Image) -> Slab:
    """
    Create and load all objects of an image, its threads stopped.

    Raises:
        OutOfMemory: the kernel is too small for it.
        KernelBug: the kernel refuses a state, which the image's checks should have refused.
    """
    manifest = image.manifest
    data, _ = to_records(manifest, core.stamp + 1)
    objects = from_records(data, tuple(manifest.outside)).objects
    slab = Slab(core, USER_END)  # beyond whatever an image may have
    try:
        _load(core, slab, manifest, objects)
        check(core, forged=True)
    except BaseException:
        slab.free()
        raise
    return slab


def _load(core: Core, slab: Slab, manifest: Manifest, objects: tuple[ObjectRecord, ...]) -> None:
    space, region = slab.new_space()
    for mapping in manifest.mappings:
        slab.map(space, region, mapping.start, mapping.end, Prot(mapping.prot))
    found: dict[object, KernelObject] = {
        name: space if name == "space" else slab.parent_object(KINDS[TYPES[each.type]], each.hash)
        for name, each in manifest.outside.items()
    }
    for each in objects:
        page = each.offset // PAGE_SIZE * PAGE_SIZE
        made = core.create(KINDS[TYPES[each.type]], slab.frame(page) + each.offset - page, _hash(each))
        if made is None:
            raise OutOfMemory(core.quota.limit_bytes)
        found[each.offset] = made
    started = [found[offset] for offset in manifest.running]
    assert all(isinstance(each, Thread) for each in started), "what is to be started is no thread"
    assert len(set(started)) == len(started), "a thread is to be started twice"
    for each in sorted(objects, key=lambda each: RANK[TYPES[each.type]]):
        target = found[each.offset]
        links: Links = {name: None if link is None else found[link] for name, link in each.links.items()}
        if isinstance(target, Reference):
            target.target = links["target"]
        else:
            target.import_state(core, None, each.state, links)


def _hash(record: ObjectRecord) -> int:
    return record.word("hash") if "hash" in record.state else 0
