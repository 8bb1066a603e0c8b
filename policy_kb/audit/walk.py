"""Comparing a document, part by part, with what has to stand there."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any

from policy_kb.diagnostics import quoted

Where = tuple[Any, str | int | None]
"""The way to a part of the document: the way to the part around it, and the key or the number of the part in it."""

ROOT: Where = (None, None)
_LONGEST = 300
"""Characters of a value that a message shows."""


class Unsound(Exception):  # noqa: N818
    """The first wrong step: where it stands in the document, what is said there, and what has to stand there."""

    def __init__(self, where: Where, said: str, expected: str, hint: str | None = None):
        self.where, self.said, self.expected, self.hint = path(where), said, expected, hint
        super().__init__(f"{self.where}: {said}; {expected}{f' ({hint})' if hint else ''}")


def path(where: Where) -> str:
    """`explanation.children[2].says`."""
    steps: list[str] = []
    while where[0] is not None:
        step = where[1]
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
        where = where[0]
    return "".join(reversed(steps)).lstrip(".") or "the determination"


def shown(value: object) -> str:
    """A value of the document as a message shows it."""
    return quoted(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _LONGEST)


def same(said: object, expected: object) -> bool:
    """Whether two JSON values are the same throughout: `1` is neither `1.0` nor `true`."""
    if type(said) is not type(expected):
        return False
    if isinstance(said, dict) and isinstance(expected, dict):
        return said.keys() == expected.keys() and all(same(said[key], value) for key, value in expected.items())
    if isinstance(said, list) and isinstance(expected, list):
        return len(said) == len(expected) and all(map(same, said, expected))
    if isinstance(said, float) and isinstance(expected, float):
        return said == expected and math.copysign(1, said) == math.copysign(1, expected)
    return said == expected


def compare(said: object, expected: object, where: Where, hint: str | None = None) -> None:
    """Refuse what is not the same as expected, at the first part that differs."""
    if isinstance(expected, dict):
        fields(said, expected, where)
    elif isinstance(expected, list):
        for number, (part, wanted) in enumerate(zip(entries(said, len(expected), where), expected, strict=True)):
            compare(part, wanted, (where, number))
    elif not same(said, expected):
        raise Unsound(where, f"it says {shown(said)}", f"it has to be {shown(expected)}", hint)


def fields(said: object, expected: Mapping[str, object], where: Where, parts: Collection[str] = ()) -> dict[str, Any]:
    """The mapping that stands here: it has the fields expected, with their values, the `parts`, and nothing else."""
    found = mapping(said, where)
    for key in (*expected, *parts):
        if key not in found:
            raise Unsound(where, f"it has no {quoted(key)}", _has_to_be(expected.get(key)) if key in expected else
                          "it has to have one")
        if key in expected:
            compare(found[key], expected[key], (where, key))
    for key in found:
        if key not in expected and key not in parts:
            raise Unsound((where, quoted(key).strip("`")), f"it says {shown(found[key])}",
                          "nothing may stand there under this name")
    return found


def _has_to_be(expected: object) -> str:
    return f"it has to be {shown(expected)}"


def mapping(said: object, where: Where) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise Unsound(where, f"it says {shown(said)}", "it has to be a mapping")
    return said


def entries(said: object, number: int, where: Where) -> list[Any]:
    """The list that stands here, of so many entries."""
    if not isinstance(said, list):
        raise Unsound(where, f"it says {shown(said)}", f"it has to be a list of {number}")
    if len(said) != number:
        raise Unsound(where, f"it has {len(said)} {'entry' if len(said) == 1 else 'entries'}",
                      f"it has to have {number}")
    return said
