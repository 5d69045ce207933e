"""The public names: exactly those listed, each documented."""

from __future__ import annotations

import inspect
from importlib.resources import files
from types import ModuleType

import pytest

import fluke_async

PUBLIC = sorted(fluke_async.__all__)


def public_names(module: ModuleType) -> list[str]:
    """What a user finds in a module, its submodules apart."""
    return sorted(
        name for name, value in vars(module).items() if not name.startswith("_") and not inspect.ismodule(value)
    )


def members(kind: type) -> dict[str, object]:
    """The public methods and properties that a class defines itself."""
    return {
        name: value
        for name, value in vars(kind).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    }


def test_all_names_are_listed_in_order() -> None:
    assert list(fluke_async.__all__) == public_names(fluke_async)


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_is_documented(name: str) -> None:
    public = getattr(fluke_async, name)
    documentation = public.__dict__.get("__doc__") or ""
    assert documentation.strip()
    assert not documentation.startswith(f"{name}("), "a dataclass without words of its own"
    silent = [member for member, value in members(public).items() if not inspect.getdoc(value)]
    assert silent == []


def test_the_package_is_typed() -> None:
    assert files("fluke_async").joinpath("py.typed").is_file()
