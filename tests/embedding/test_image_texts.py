"""An image shows what a process was started with, whatever characters that has."""

from __future__ import annotations

from fluke_async import Image, Kernel


async def test_arguments_of_any_bytes_are_in_images(tmp_path: object) -> None:
    async with Kernel() as kernel:
        process = await kernel.spawn("bounded_buffer", ["3", "2", "20000", "3", "caf\udce9"])
        image = await process.checkpoint()
    assert image.manifest.program == "bounded_buffer"
    assert image.manifest.arguments == ("3", "2", "20000", "3", "caf\\udce9")
    image.save(f"{tmp_path}/image")
    assert Image.load(f"{tmp_path}/image").manifest == image.manifest
