"""Entropy, store and disk, plugged into a kernel and asked by a task of the application."""

from __future__ import annotations

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.abi.devices import DISK_SECTOR_BYTES, DeviceStatus, DiskOperation, EntropyOperation, StoreOperation
from fluke_devices.disk import Disk
from fluke_devices.entropy import Entropy
from fluke_devices.medium import Medium
from fluke_devices.store import Store
from fluke_devices.words import bytes_of, words_of
from tests.embedding.conftest import MakeKernel

OK = DeviceStatus.OK
LATENCY_NS = 5_000_000


async def test_entropy_is_the_same_for_the_same_seed(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, kernel.host_thread() as me:
        ports = [kernel.plug_in(Entropy(seed)) for seed in (b"one", b"one", b"two")]
        found = [(await me.exchange(port, [EntropyOperation.READ, 1000, 100])).words for port in ports]
    assert found[0] == found[1] != found[2]
    assert found[0][:2] == (OK, 100)


async def test_store_keeps_pages(make_kernel: MakeKernel) -> None:
    page = words_of(bytes(range(256)) * (PAGE_SIZE // 256))
    async with make_kernel() as kernel, kernel.host_thread() as me:
        store = kernel.plug_in(Store())
        status, *key = (await me.exchange(store, [StoreOperation.KEEP, *page])).words
        assert status == OK
        assert (await me.exchange(store, [StoreOperation.FETCH, *key])).words == (OK, *page)


async def test_disk_takes_virtual_time(make_kernel: MakeKernel) -> None:
    data = bytes(range(256)) * (DISK_SECTOR_BYTES // 256)
    async with make_kernel(clock="virtual") as kernel, kernel.host_thread() as me:
        disk = kernel.plug_in(Disk(Medium(8), latency_ns=LATENCY_NS))
        before = kernel.statistics().time_ns
        assert (await me.exchange(disk, [DiskOperation.WRITE, 3, 1, *words_of(data)])).words == (OK, 1)
        status, count, *words = (await me.exchange(disk, [DiskOperation.READ, 3, 1])).words
        assert (status, count, bytes_of(words)) == (OK, 1, data)
        assert 2 * LATENCY_NS <= kernel.statistics().time_ns - before < 3 * LATENCY_NS
