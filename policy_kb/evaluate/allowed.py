"""What an open relation may hold: values that its attributes allow. Of the comparisons of a rule on one of its values,
some such value has to fulfil all together."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction

from policy_kb import dates
from policy_kb.check.checked import Attribute, Relation
from policy_kb.expressions import COMPARE
from policy_kb.parse.tree import MIRRORED, Atom, Call, Comparison, Constant, Expression, Literal, Value, Variable
from policy_kb.source import NOWHERE

Number = int | Fraction
Side = tuple[Expression, bool]
"""An end of what a value may be, and whether the value may not be the end itself."""


def conditions(
    body: tuple[Literal, ...], opened: Collection[int], bound: frozenset[str], relations: Mapping[str, Relation]
) -> tuple[Comparison, ...] | None:
    """What has to hold of a body's bound values so that open relations may hold what the body asks of them, in the
    atoms at the places `opened`; None where they never may."""
    found: dict[Comparison, None] = {}
    attributes: dict[str, list[Attribute]] = {}
    for place in opened:
        atom = body[place]
        assert isinstance(atom, Atom)
        relation = relations[atom.relation]
        for argument, attribute in zip(atom.arguments, relation.attributes, strict=True) if relation.is_input else ():
            if isinstance(argument, Variable) and argument.name not in bound:
                attributes.setdefault(argument.name, []).append(attribute)
    for name, those in attributes.items():
        needed = _of_one(name, those, body, bound)
        if needed is None:
            return None
        found.update(dict.fromkeys(needed))
    return tuple(found)


def _allows(attribute: Attribute, value: Value) -> bool:
    if attribute.one_of is not None and value not in attribute.one_of:
        return False
    low, high = _range(attribute)
    return isinstance(value, str) or ((low is None or low <= value) and (high is None or value <= high))


def _range(attribute: Attribute) -> tuple[Number | None, Number | None]:
    if attribute.is_date:
        return dates.EARLIEST, dates.ONGOING if attribute.may_be_ongoing else dates.LATEST
    return attribute.at_least, attribute.at_most


def _of_one(
    name: str, attributes: list[Attribute], body: tuple[Literal, ...], bound: frozenset[str]
) -> list[Comparison] | None:
    """As `conditions`, for one value, which is of these attributes."""
    compared = list(_compared(name, body, bound))
    fixed = [(operator, other.value) for operator, other in compared if isinstance(other, Constant)]
    listed = [set(one.one_of) for one in attributes if one.one_of is not None]
    if listed:
        values = [value for value in set.intersection(*listed) if all(_allows(one, value) for one in attributes)
                  and all(_fits(operator, value, other) for operator, other in fixed)]
        if not values:
            return None
        numbers = [value for value in values if not isinstance(value, str)]
        ends: tuple[Number | None, Number | None] = (min(numbers), max(numbers)) if numbers else (None, None)
    elif attributes[0].kind == "symbol":
        return []
    else:
        ends = _ends(attributes, fixed)
        if None not in ends and ends[0] > ends[1]:  # type: ignore[operator]
            return None
        if any(operator == "!=" and ends == (other, other) for operator, other in fixed):
            return None
    if attributes[0].kind == "symbol":
        return []
    return _between(compared, ends, is_date=attributes[0].is_date, is_whole=attributes[0].kind == "number")


def _fits(operator: str, value: Value, other: Value) -> bool:
    return operator not in MIRRORED or isinstance(value, str) != isinstance(other, str) or (
        COMPARE[operator](value, other))


def _ends(attributes: list[Attribute], fixed: list[tuple[str, Value]]) -> tuple[Number | None, Number | None]:
    """The least and the greatest value; of a decimal number none that itself is excluded is told from the next one,
    but where both ends are one."""
    is_whole = attributes[0].kind == "number"
    lows: list[tuple[Number, bool]] = []
    highs: list[tuple[Number, bool]] = []
    for attribute in attributes:
        low, high = _range(attribute)
        lows += [] if low is None else [(low, False)]
        highs += [] if high is None else [(high, False)]
    for operator, other in fixed:
        if isinstance(other, str):
            continue
        if operator in (">", ">=", "="):
            lows.append((other, operator == ">"))
        if operator in ("<", "<=", "="):
            highs.append((other, operator == "<"))
    if is_whole:
        lows = [(math.floor(end) + 1 if is_open else math.ceil(end), False) for end, is_open in lows]
        highs = [(math.ceil(end) - 1 if is_open else math.floor(end), False) for end, is_open in highs]
    if not lows or not highs:
        return (max(lows)[0] if lows else None, min(end for end, _ in highs) if highs else None)
    (least, no_least), (most, no_most) = max(lows), min(highs, key=lambda one: (one[0], not one[1]))
    if least == most and (no_least or no_most):
        return 1, 0  # nothing lies between
    return least, most


def _between(
    compared: list[tuple[str, Expression]], ends: tuple[Number | None, Number | None], *, is_date: bool, is_whole: bool
) -> list[Comparison]:
    """That each lower end, of what is compared and of what is allowed, does not lie above each upper one."""
    lows: list[Side] = [(one, operator == ">") for operator, one in compared if operator in (">", ">=")]
    highs: list[Side] = [(one, operator == "<") for operator, one in compared if operator in ("<", "<=")]
    variables = [[side for side in sides if isinstance(side[0], Variable)] for sides in (lows, highs)]
    fixed: list[list[Side]] = [[], []]
    if not is_date:  # other dates lie within the same years
        for place, end in enumerate(ends):
            if end is not None:
                span = compared[0][1].span if compared else NOWHERE
                fixed[place] = [(Constant(end if is_whole else Fraction(end), span), False)]
    pairs = [*((low, high) for low in variables[0] for high in [*variables[1], *fixed[1]]),
             *((low, high) for low in fixed[0] for high in variables[1])]
    return [Comparison("<" if low[1] or high[1] else "<=", low[0], high[0], low[0].span) for low, high in pairs]


def _compared(name: str, body: tuple[Literal, ...], bound: frozenset[str]) -> Iterator[tuple[str, Expression]]:
    """How a variable is compared, read as the left side, with constants and with variables that are bound."""
    for literal in body:
        if isinstance(literal, Comparison) and literal.operator in MIRRORED:
            for operator, one, other in ((literal.operator, literal.left, literal.right),
                                         (MIRRORED[literal.operator], literal.right, literal.left)):
                is_cast = isinstance(one, Call) and one.function == "to_float"
                inner = one.arguments[0] if is_cast else one  # type: ignore[union-attr]
                if not isinstance(inner, Variable) or inner.name != name:
                    continue
                if isinstance(other, Constant) or (
                    isinstance(other, Variable) and other.name in bound and not is_cast
                ):
                    yield operator, other
