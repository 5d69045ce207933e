"""
Taking translations back: what was looked up through a range of a space is forgotten, by all who derived it from there.

It is one step in every configuration, however large the tree of mappings is. Tables are no part of any exported state:
were a revocation cut off in the middle, a thread that runs then could still use what is not taken back yet, and could
not if everything had been created again at that point. So the step is bounded instead: where there is more to be
visited than so many ranges, all tables are emptied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.kernel.params import REVOKED_LOOKS_MAX, REVOKED_RANGES_MAX

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.region import Region
    from fluke_async.kernel.objects.space import Space


def revoke_range(core: Core, space: Space, start: int, size: int) -> None:
    """Forget the translations of a range, and those of all ranges that were derived from it."""
    _revoke(core, [(space, start, start + size)])


def revoke_region(core: Core, region: Region) -> None:
    """Forget all translations that were derived from a region."""
    if len(region.mappings) > REVOKED_RANGES_MAX:
        core.tables.empty()
        return
    _revoke(core, [(each.space, each.start, each.start + each.size) for each in region.mappings if each.space])


def _revoke(core: Core, pending: list[tuple[Space, int, int]]) -> None:
    """Follow ranges down the tree, and forget what is in them; everything, where these are too many."""
    ranges_left, looks_left = REVOKED_RANGES_MAX, REVOKED_LOOKS_MAX
    while pending:
        space, start, end = pending.pop()
        ranges_left -= 1
        if ranges_left < 0:
            core.tables.empty()
            return
        if not space.is_root:
            core.tables.forget(space, start // PAGE_SIZE, end // PAGE_SIZE)
        for region in space.regions.meeting(start, end):
            looks_left -= 1 + len(region.mappings)
            if looks_left < 0:
                core.tables.empty()
                return
            first, last = max(start - region.start, 0), min(end - region.start, region.size)
            for mapping in region.mappings:
                low, high = max(first, mapping.offset), min(last, mapping.offset + mapping.size)
                if low < high and mapping.space is not None:
                    moved_by = mapping.start - mapping.offset
                    pending.append((mapping.space, low + moved_by, high + moved_by))
