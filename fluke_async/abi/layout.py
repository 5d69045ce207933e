"""A structure in user memory: its fields in order, every one of them 64-bit words."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from operator import itemgetter

from fluke_async.abi.codes import WORD_SIZE

Words = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `count` words; `pointee` is its C type where it is an address; a line of description."""

    name: str
    description: str
    count: int = 1
    pointee: str = ""


@dataclass(frozen=True)
class Layout:
    """A structure `struct NAME` in C; `pack` and `unpack` convert between bytes and a dictionary."""

    name: str
    description: str
    fields: tuple[Field, ...]
    _struct: struct.Struct = field(init=False, repr=False, compare=False)
    _names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _places: tuple[tuple[str, int, int], ...] = field(init=False, repr=False, compare=False)  # words, begin to end
    _take: Callable[[Words], Iterable[int | Words]] = field(init=False, repr=False, compare=False)
    _arrays: tuple[Field, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ends = [*accumulate(field.count for field in self.fields)]
        places = tuple((each.name, end - each.count, end) for each, end in zip(self.fields, ends, strict=True))
        object.__setattr__(self, "_struct", struct.Struct(f"<{ends[-1]}Q"))
        object.__setattr__(self, "_names", tuple(each.name for each in self.fields))
        object.__setattr__(self, "_places", places)
        slices = [begin if end == begin + 1 else slice(begin, end) for _, begin, end in places]
        object.__setattr__(self, "_take", itemgetter(*slices) if len(slices) > 1 else tuple)
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

    def pack(self, values: Mapping[str, int | Words]) -> bytes:
        """Bytes of `values`; a field that is not named is zero."""
        words: list[int] = []
        for name, begin, end in self._places:
            value = values.get(name)
            if value is None:
                words.extend((0,) * (end - begin))
            elif isinstance(value, tuple):
                words.extend(value)
            else:
                words.append(value)
        return self._struct.pack(*words)

    def unpack(self, data: bytes | memoryview) -> dict[str, int | Words]:
        """The fields of `data`, whose length must be the structure's size."""
        return dict(zip(self._names, self._take(self._struct.unpack(data)), strict=True))

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
