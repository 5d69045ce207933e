"""`fluke checkpoint`: an image of a process of a run, made from outside."""

from __future__ import annotations

from pathlib import Path

from fluke_async.cli.control_client import IMAGE_S, ask


def checkpoint(socket: Path, image: Path, /, *, process: int | None = None) -> None:
    """
    Make an image of a process of a run, which goes on; the program cannot tell.

    The run itself writes the file, whole or not at all; an image that is there is replaced.

    Args:
        socket: What was given to `fluke run --control SOCKET`.
        image: The file to be written.
        process: The number that `fluke ps` shows; not needed where there is only one.
    """
    reply = ask(socket, "checkpoint", answer_s=IMAGE_S, process=process, path=str(image.absolute()))
    made = reply["image"]
    print(f"process {reply['process']['number']}, {reply['process']['name']}: image {made['identity']}, ", end="")
    print(f"output up to byte {made['written']:,}")
