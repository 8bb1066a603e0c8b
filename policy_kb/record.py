"""`record`: a frozen dataclass that is cheap to declare.

`dataclass(frozen=True)` writes and compiles six methods for every class: half a millisecond each, and a command imports
some sixty such classes before it reads its first case. A record gets the same constructor from `dataclass`, and shares
equality, hash and text with all others. That its attributes are never assigned is checked by the type checker.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")

RECORDS: dict[str, type] = {}
"""Every class that is a record or an entity, by its name."""


def name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Equal when of one class and equal in all fields but those with `field(compare=False)`."""
    made = dataclass(eq=False, repr=False)(cls)
    names = [one.name for one in made.__dataclass_fields__.values() if one.compare]  # type: ignore[attr-defined]
    get = attrgetter(*names) if names else lambda value: ()

    def equal(self: Any, other: Any) -> Any:
        if self is other:
            return True
        return get(self) == get(other) if other.__class__ is self.__class__ else NotImplemented

    def hashed(self: Any) -> int:
        return hash((made, get(self)))

    made.__eq__, made.__hash__, made.__repr__ = equal, hashed, _text  # type: ignore[method-assign]
    RECORDS[name_of(made)] = made
    return made


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
def entity(cls: type[T]) -> type[T]:
    """As `record`, but equal to itself only: what is shared is told from what merely looks the same."""
    made = dataclass(eq=False, repr=False)(cls)
    made.__repr__ = _text  # type: ignore[method-assign]
    RECORDS[name_of(made)] = made
    return made


def _text(self: Any) -> str:
    values = (f"{name}={getattr(self, name)!r}" for name, one in self.__dataclass_fields__.items() if one.compare)
    return f"{type(self).__name__}({', '.join(values)})"


__all__ = ["RECORDS", "entity", "field", "name_of", "record"]
