"""For which cases a query does not say what a case by itself is told: a value that the rules need does not exist or is
beyond the limits, or a database may not compute it. These are decided by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import add, mul, sub

from policy_kb import dates, numbers
from policy_kb.batch.specialise import HAS_NO_VALUE, folded
from policy_kb.check.checked import CheckedProgram
from policy_kb.evaluate.plain import PlainRule
from policy_kb.evaluate.worlds import Worlds, spoken_of
from policy_kb.parse.tree import Aggregate, Atom, Call, Comparison, Constant, Expression, Literal, Negation, Variable

NO_VALUE = "a value does not exist"
"""The flag of these cases; no relation has such a name."""

Range = tuple[int, int]
"""The least and the greatest value that a whole number may have."""

_ANY: Range = (numbers.LEAST_WHOLE, numbers.GREATEST_WHOLE)
_STATED_DATE: Range = (dates.EARLIEST, dates.ONGOING)
_CALENDAR: Range = (-719_162, dates.ONGOING)
_RESULTS: Mapping[str, Range] = {
    "strlen": (0, 2**40), "@date": _STATED_DATE, "@year": (1, 9999), "@months_after": _CALENDAR,
    "@months_before": _CALENDAR, "@months_between": (-120_000, 120_000), "@years_between": (-10_000, 10_000),
}
_COUNT: Range = (0, 2**40)
_FEW_MONTHS = 12 * 1000
"""A date that a case states is never moved beyond the calendar by so many."""


def stopping_rules(program: CheckedProgram, worlds: Worlds) -> Iterator[PlainRule]:
    """One rule for every expression that may have no value: it holds for the cases where it is needed and has none."""
    for rule in worlds.program.rules:
        ranges = _ranges(program, rule)
        nodes: list[Literal | Expression] = [*rule.body, *rule.head.arguments]
        for place, node in enumerate(nodes):
            for found in _fallible(node, ranges):
                body = rule.body[:place]
                if not (isinstance(found, Aggregate) and any(True for one in found.body if _is_fallible(one, ranges))):
                    test = Comparison(HAS_NO_VALUE, found, Constant(0, found.span), found.span)
                    body = (*body, test)
                yield PlainRule(Atom(NO_VALUE, rule.head.arguments[:1], rule.head.span), body)


def _ranges(program: CheckedProgram, rule: PlainRule) -> dict[str, Range]:
    """The variables that stand for a date a case states: one between 1900 and 2199, or `ongoing`."""
    found: dict[str, Range] = {}
    for literal in rule.body:
        if isinstance(literal, Atom):
            relation = program.relations.get(spoken_of(literal.relation))
            if relation is not None and relation.is_case and relation.is_input and len(literal.arguments) > 1:
                found |= {
                    argument.name: _STATED_DATE
                    for argument, attribute in zip(literal.arguments, relation.attributes, strict=True)
                    if isinstance(argument, Variable) and attribute.is_date
                }
    return found


def _is_fallible(node: Literal | Expression, ranges: Mapping[str, Range]) -> bool:
    return any(True for _ in _fallible(node, ranges))


def _fallible(node: Literal | Expression, ranges: Mapping[str, Range]) -> Iterator[Call | Aggregate]:
    """The calls and aggregates in a literal or an expression that may have no value."""
    match node:
        case Call(arguments=arguments) if not isinstance(folded(node), Constant):
            for argument in arguments:
                yield from _fallible(argument, ranges)
            if _may_stop(node, ranges):
                yield node
        case Aggregate(function=function, target=target, body=body):
            inside: list[Literal | Expression] = [*body, *([] if target is None else [target])]
            if function == "sum" or any(_is_fallible(one, ranges) for one in inside):
                yield node
        case Atom(arguments=arguments):
            for argument in arguments:
                yield from _fallible(argument, ranges)
        case Negation(atom=atom):
            yield from _fallible(atom, ranges)
        case Comparison(left=left, right=right):
            yield from _fallible(left, ranges)
            yield from _fallible(right, ranges)


def _may_stop(node: Call, ranges: Mapping[str, Range]) -> bool:
    """Whether a call may have no value, if its arguments have one."""
    first = node.arguments[0]
    (least, greatest), *others = (_range(argument, ranges) for argument in node.arguments)
    match node.function:
        case "+" | "-" | "*":
            return not _is_within(_arithmetic(node, ranges), _ANY)
        case "/" | "%":
            low, high = others[0]
            return low <= 0 <= high or (low <= -1 <= high and least == numbers.LEAST_WHOLE)
        case "to_float":
            return not _is_within((least, greatest), (1 - numbers.BEYOND, numbers.BEYOND - 1))
        case "@year":
            return not _is_within((least, greatest), _CALENDAR)
        case "@months_after" | "@months_before":
            is_stated = isinstance(first, Variable) and first.name in ranges
            return not (is_stated and _is_within(others[0], (-_FEW_MONTHS, _FEW_MONTHS)))
        case "min" | "max" | "strlen" | "to_string" | "exactly" | "@written":
            return False
    return True


def _range(expression: Expression, ranges: Mapping[str, Range]) -> Range:
    """Between which whole numbers a value lies; that of a float, or of a text, is any."""
    match expression:
        case Constant(value=int(value)):
            return value, value
        case Variable(name=name):
            return ranges.get(name, _ANY)
        case Aggregate(function="count"):
            return _COUNT
        case Call(function="+" | "-" | "*"):
            found = _arithmetic(expression, ranges)
            return found if _is_within(found, _ANY) else _ANY
        case Call(function=function):
            return _RESULTS.get(function, _ANY)
    return _ANY


def _arithmetic(node: Call, ranges: Mapping[str, Range]) -> Range:
    sides = [_range(argument, ranges) for argument in node.arguments]
    if len(sides) == 1:
        sides.insert(0, (0, 0))
    combine = {"+": add, "-": sub, "*": mul}[node.function]
    ends = [combine(left, right) for left in sides[0] for right in sides[1]]
    return min(ends), max(ends)


def _is_within(inner: Range, outer: Range) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]
