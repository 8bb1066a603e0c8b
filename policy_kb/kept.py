"""Values as JSON that reads back equal: how checked rules and compiled queries are kept in files.

A value is built of texts, whole numbers, truth values and None, of tuples, lists, sets and mappings, of fractions, and
of records of this program. JSON holds no code, and what is read makes nothing but these: a record is made by its own
constructor, found by its name among the records that are declared.

The values without parts stand first. All others follow level by level, those of one level and shape together, as
columns of the numbers of their parts: so they are made in a few calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import chain
from typing import Any

from policy_kb.record import RECORDS, name_of

_Shape = tuple[int, str, int]
"""The level of a value (one more than that of its parts), the name of its shape, and the number of its parts."""

_Place = tuple[_Shape, int]
"""The shape of a value, and its number among those of this shape."""

_SHAPES: dict[str, Callable[..., Any]] = {
    "tuple": lambda *parts: parts,
    "list": lambda *parts: list(parts),
    "set": lambda *parts: set(parts),
    "frozenset": lambda *parts: frozenset(parts),
    "dict": lambda *parts: dict(zip(parts[::2], parts[1::2], strict=True)),
    "Fraction": Fraction,
}
_PLAIN: _Shape = (0, "", 0)
_CHANGING = {"list", "set", "dict"}
"""Shapes of what may be changed, so that two that are equal now stay two."""


def encoded(value: object) -> str:
    """The text of a value. Raises TypeError for one that is not built as said above."""
    places = _Places()
    root = places.of(value)
    start, first = {}, 0
    for shape in sorted(places.shaped):
        start[shape] = first
        first += len(places.shaped[shape])
    shaped = [
        [name, len(rows), *([start[shape] + row for shape, row in column] for column in zip(*rows, strict=True))]
        for (_, name, _), rows in sorted(places.shaped.items(), key=lambda item: item[0]) if name
    ]
    return json.dumps([places.shaped.get(_PLAIN, []), shaped, start[root[0]] + root[1]], separators=(",", ":"))


def decoded(text: str) -> Any:
    """The value of such a text. Of any other text it raises some exception, or gives some value."""
    made, shaped, root = json.loads(text)
    for name, number, *columns in shaped:
        make = _SHAPES.get(name) or RECORDS[name]
        parts = [map(made.__getitem__, column) for column in columns]
        made += list(map(make, *parts)) if parts else [make() for _ in range(number)]
    return made[root]


class _Places:
    """Finds a place for each part of a value, among those of its shape: `shaped` has the plain values, and the places
    of the parts of the others."""

    def __init__(self) -> None:
        self.shaped: dict[_Shape, list[Any]] = {}
        self._known: dict[object, _Place] = {}
        self._by_identity: dict[int, _Place] = {}

    def of(self, value: object) -> _Place:
        if value is None or isinstance(value, str | int):
            plain = str(value) if isinstance(value, str) else value
            return self._entered((type(plain), plain), _PLAIN, plain)
        if id(value) not in self._by_identity:
            name, parts = _taken_apart(value)
            places = tuple(map(self.of, parts))
            level = 1 + max((shape[0] for shape, _ in places), default=0)
            key = name, id(value) if name in _CHANGING else places
            self._by_identity[id(value)] = self._entered(key, (level, name, len(places)), places)
        return self._by_identity[id(value)]

    def _entered(self, key: object, shape: _Shape, row: object) -> _Place:
        if key not in self._known:
            rows = self.shaped.setdefault(shape, [])
            rows.append(row)
            self._known[key] = shape, len(rows) - 1
        return self._known[key]


def _taken_apart(value: Any) -> tuple[str, Iterable[object]]:
    """The name of a value's shape, and its parts."""
    kind = type(value)
    if kind in (tuple, list, set, frozenset):
        return kind.__name__, value
    if kind is dict:
        return "dict", chain.from_iterable(value.items())
    if kind is Fraction:
        return "Fraction", value.as_integer_ratio()
    name = name_of(kind)
    if RECORDS.get(name) is not kind:
        raise TypeError(f"not kept: a value of {name}")
    return name, (getattr(value, part) for part in kind.__dataclass_fields__)
