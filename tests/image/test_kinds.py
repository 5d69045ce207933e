"""What images know of objects is what the kernel knows."""

from __future__ import annotations

from hashlib import blake2b

from fluke_async.abi.entry_points import ENTRY_POINTS
from fluke_async.abi.layouts import START_BLOCK
from fluke_async.embedding.loader import SERVICES_MAX
from fluke_async.image import checks, object_checks, records
from fluke_async.image.kinds import KINDS, REFERABLE
from fluke_async.image.manifest import ABI_VERSION, OUTSIDE_TYPES
from fluke_async.kernel import params
from fluke_async.kernel.objects import cond, mutex, thread_state
from fluke_async.kernel.recreation import KINDS as KERNEL_KINDS
from tests.tidy import ROOT

STATES_OF_VERSION = {1: "23f89f4eef928eb7"}
"""What states are made of, as a hash, by the version of the ABI in images."""


def test_types_have_the_kernels_states_and_links() -> None:
    assert {kind.number for kind in KINDS.values()} == set(KERNEL_KINDS)
    for kind in KINDS.values():
        theirs = KERNEL_KINDS[kind.number]
        assert kind.layout is theirs.layout
        if kind.name != "ref":  # its one link is what it refers to
            assert list(kind.links) == [link.name for link in theirs.links]
            for link in theirs.links:
                assert kind.links[link.name] == {each.name.lower() for each in link.types}, link


def test_what_can_be_referred_to_has_a_call_for_that() -> None:
    calls = {entry.name for entry in ENTRY_POINTS}
    assert {name for name in KINDS if f"{name}_reference" in calls} == REFERABLE


def test_bounds_are_the_kernels() -> None:
    assert int(thread_state.SETTABLE) == object_checks.THREAD_FLAGS
    assert mutex.SETTABLE_FLAGS == object_checks.MUTEX_FLAGS
    assert cond.SETTABLE_FLAGS == object_checks.COND_FLAGS
    assert thread_state.EXCEPTIONS == object_checks.EXCEPTIONS
    assert thread_state.FAULT_ACCESSES == object_checks.FAULT_ACCESSES
    assert params.STAMP_MAX == object_checks.STAMP_MAX
    assert params.QUANTUM_INSTRUCTIONS == object_checks.QUANTUM_MAX
    assert len(OUTSIDE_TYPES) + SERVICES_MAX <= checks.NAMES_MAX


def test_names_outside_are_those_of_the_start_block() -> None:
    references = [each.name for each in START_BLOCK.fields if each.name.endswith("_ref")]
    assert references == [f"{name}_ref" for name in OUTSIDE_TYPES]


def test_records_are_those_of_the_header() -> None:
    header = (ROOT / "userland/include/checkpoint.h").read_text("utf-8")
    assert f"FLUKE_IMAGE_NAME_BYTES = {records.NAME_BYTES}, FLUKE_IMAGE_LINKS = {records.LINKS} " in header
    assert f"#define FLUKE_IMAGE_MAGIC {records.MAGIC:#x}ul" in header
    for name in ("NONE", "INSIDE", "OUTSIDE"):
        assert f"FLUKE_LINK_{name.ljust(7)} = {getattr(records, f'LINK_{name}')}," in header
    assert "uint64_t name_count, running_count, object_count, page_count;" in header


def test_other_states_have_another_version() -> None:
    fields = {kind.name: () if kind.layout is None else kind.layout.fields for kind in KINDS.values()}
    words = [(name, [(each.name, each.count) for each in found]) for name, found in fields.items()]
    found = blake2b(repr(words).encode(), digest_size=8).hexdigest()
    assert STATES_OF_VERSION[ABI_VERSION] == found, "old images do not have these words: raise ABI_VERSION"
