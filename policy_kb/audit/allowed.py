"""Whether an open relation may hold a value: one that is allowed there and fulfils the comparisons of a rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction

from policy_kb.check.checked import Attribute
from policy_kb.dates import EARLIEST, LATEST, ONGOING
from policy_kb.expressions import COMPARE
from policy_kb.parse.tree import MIRRORED, Call, Comparison, Constant, Expression, Literal, Value, Variable

Test = tuple[str, Expression, bool]
"""How a value is compared with another side, and whether it is turned into a float for that."""

Number = int | Fraction


def tests_of(name: str, body: tuple[Literal, ...]) -> Iterator[Test]:
    """The comparisons of a variable in a body."""
    for literal in body:
        if not isinstance(literal, Comparison) or literal.operator not in MIRRORED:
            continue
        turned = literal.right, MIRRORED[literal.operator], literal.left
        for own, operator, other in ((literal.left, literal.operator, literal.right), turned):
            is_cast = isinstance(own, Call) and own.function == "to_float"
            inner = own.arguments[0] if isinstance(own, Call) and is_cast else own
            if isinstance(inner, Variable) and inner.name == name:
                yield operator, other, is_cast


def can_be(attributes: list[Attribute], tests: Iterator[Test], known: Mapping[str, Value]) -> bool:
    """Whether some value of all the attributes fulfils the tests with constants, and leaves those with `known` values
    room: none of these lies on the wrong side of what the value can be, or of another."""
    fixed: list[tuple[str, Value]] = []
    moving: list[tuple[str, Number]] = []
    for operator, side, is_cast in tests:
        if isinstance(side, Constant):
            fixed.append((operator, side.value))
        elif isinstance(side, Variable) and not is_cast and side.name in known:
            value = known[side.name]
            if not isinstance(value, str):
                moving.append((operator, value))
    least, most = _limits(attributes, fixed)
    listed = [one.one_of for one in attributes if one.one_of is not None]
    if listed:
        left = [value for value in listed[0] if all(value in others for others in listed)
                and all(_is_so(operator, value, other) for operator, other in fixed) and _within(attributes, value)]
        if not left:
            return False
        numbers = [value for value in left if not isinstance(value, str)]
        least, most = (min(numbers), max(numbers)) if numbers else (None, None)
    elif attributes[0].kind == "symbol":
        return True
    elif least is not None and most is not None and (
        least > most or any(operator == "!=" and least == most == other for operator, other in fixed)
    ):
        return False
    if attributes[0].is_date:
        least = most = None
    above = [(operator, value) for operator, value in moving if operator in (">", ">=")]
    below = [(operator, value) for operator, value in moving if operator in ("<", "<=")]
    return all(
        COMPARE["<" if one == ">" or other == "<" else "<="](low, high)
        for one, low in above for other, high in below
    ) and all(
        most is None or COMPARE[MIRRORED[one]](low, most) for one, low in above
    ) and all(least is None or COMPARE[other](least, high) for other, high in below)


def _within(attributes: list[Attribute], value: Value) -> bool:
    least, most = _limits(attributes, [])
    return isinstance(value, str) or ((least is None or value >= least) and (most is None or value <= most))


def _is_so(operator: str, value: Value, other: Value) -> bool:
    return isinstance(value, str) is not isinstance(other, str) or COMPARE[operator](value, other)


def _limits(attributes: list[Attribute], fixed: list[tuple[str, Value]]) -> tuple[Number | None, Number | None]:
    """The ends of what a number can be; (1, 0) where it can be none."""
    ends: list[tuple[str, Number]] = []
    for one in attributes:
        if one.is_date:
            ends += [(">=", EARLIEST), ("<=", ONGOING if one.may_be_ongoing else LATEST)]
        ends += [(">=", one.at_least)] if one.at_least is not None and not one.is_date else []
        ends += [("<=", one.at_most)] if one.at_most is not None and not one.is_date else []
    ends += [(operator, value) for operator, value in fixed if not isinstance(value, str) and operator != "!="]
    ends = [(sign, value) for operator, value in ends
            for sign in ((">=", "<=") if operator == "=" else (operator,))]
    if attributes[0].kind == "number":
        whole = {">": lambda end: math.floor(end) + 1, ">=": math.ceil, "<": lambda end: math.ceil(end) - 1,
                 "<=": math.floor}
        ends = [(f"{operator[0]}=", whole[operator](value)) for operator, value in ends]
    least = max((value for operator, value in ends if operator[0] == ">"), default=None)
    most = min((value for operator, value in ends if operator[0] == "<"), default=None)
    is_empty = least is not None and least == most and any(
        operator in ("<", ">") and value == least for operator, value in ends
    )
    return (1, 0) if is_empty else (least, most)
