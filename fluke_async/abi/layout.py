"""A structure in user memory: its fields in order, every one of them 64-bit words."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Any

from fluke_async.abi.codes import WORD_SIZE

Values = Mapping[str, int | tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `count` words; `pointee` is its C type where it is an address; a line of description."""

    name: str
    description: str
    count: int = 1
    pointee: str = ""


def _several(names: list[str]) -> Callable[[Values], tuple[int, ...]]:
    """What gets the words of several fields, as a tuple even if it is only one."""
    get = itemgetter(*names)
    return get if len(names) > 1 else lambda values: (get(values),)


@dataclass(frozen=True)
class Layout:
    """A structure `struct NAME` in C; `pack` and `unpack` convert between bytes and a dictionary."""

    name: str
    description: str
    fields: tuple[Field, ...]
    _struct: struct.Struct = field(init=False, repr=False, compare=False)
    _names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _split: Callable[[tuple[int, ...]], Any] = field(init=False, repr=False, compare=False)  # words into fields
    _runs: tuple[Callable[[Values], Any], ...] = field(init=False, repr=False, compare=False)  # fields into words
    _arrays: tuple[Field, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ends = [*accumulate(field.count for field in self.fields)]
        places = [
            end - 1 if each.count == 1 else slice(end - each.count, end)
            for each, end in zip(self.fields, ends, strict=True)
        ]
        runs: list[Callable[[Values], Any]] = []
        for is_array, fields in groupby(self.fields, lambda each: each.count > 1):
            names = [each.name for each in fields]
            runs += map(itemgetter, names) if is_array else [_several(names)]
        object.__setattr__(self, "_struct", struct.Struct(f"<{ends[-1]}Q"))
        object.__setattr__(self, "_names", tuple(each.name for each in self.fields))
        object.__setattr__(self, "_split", itemgetter(*places))
        object.__setattr__(self, "_runs", tuple(runs))
        object.__setattr__(self, "_arrays", tuple(each for each in self.fields if each.count > 1))

    @property
    def size(self) -> int:
        """Bytes."""
        return self._struct.size

    def offset_of(self, name: str) -> int:
        """Bytes from the structure's start to the field `name`."""
        offset = 0
        for each in self.fields:
            if each.name == name:
                return offset
            offset += each.count * WORD_SIZE
        raise KeyError(name)

    def pack(self, values: Values) -> bytes:
        """Bytes of `values`; a field that is not named is zero."""
        words: list[int] = []
        try:
            for run in self._runs:
                words += run(values)
        except KeyError:
            return self.pack({**self.unpack(bytes(self.size)), **values})
        return self._struct.pack(*words)

    def unpack(self, data: bytes | memoryview) -> dict[str, int | tuple[int, ...]]:
        """The fields of `data`, whose length must be the structure's size."""
        words = self._struct.unpack(data)
        if len(words) == len(self._names):
            return dict(zip(self._names, words, strict=True))
        return dict(zip(self._names, self._split(words), strict=True))

    def is_complete(self, values: Mapping[str, object]) -> bool:
        """Whether `values` are exactly the fields of this structure, with numbers that are words."""
        found = [values.get(name) for name in self._names]
        if len(values) != len(found):
            return False
        words = [each for each in found if type(each) is int]
        for each in self._arrays:
            array = values.get(each.name)
            if type(array) is not tuple or len(array) != each.count:
                return False
            words.extend(array)
        try:
            self._struct.pack(*words)  # as many as there must be, and each of 64 bits
        except struct.error:
            return False
        return True
