"""How images are refused: in one line, whatever a stranger has put in."""

from __future__ import annotations

from fluke_async.errors import ImageError

LINE_MAX = 300  # characters
VALUE_MAX = 60


def refusal(text: str) -> ImageError:
    """The error with this text, as one printable line that is not too long."""
    line = text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text[: LINE_MAX + 1])
    return ImageError(line if len(line) <= LINE_MAX else f"{line[: LINE_MAX - 3]}...")


def brief(value: object) -> str:
    """A value of a stranger's in a few characters: texts in quotes, what holds others by its type only."""
    if isinstance(value, str):
        text = repr(value[:VALUE_MAX])
    elif isinstance(value, int | float):
        text = str(value) if isinstance(value, float) or abs(value) < 1 << 64 else f"{value:#x}"
    else:
        text = f"a {type(value).__name__}"
    return text if len(text) <= VALUE_MAX else f"{text[: VALUE_MAX - 3]}..."
