"""`ongoing` stands for no end yet, 9999-12-31: a date to compare with, not one to compute with.

Which attributes may hold it is worked out through the rules, from those declared `@[ongoing]` and from the date as it
is written. A variable may stand for it where all that it is bound by may be it, and no comparison of the rule shuts it
out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from policy_kb.check.checked import Relation
from policy_kb.check.declarations import Report
from policy_kb.diagnostics import Kind
from policy_kb.parse import tree

_WRITTEN = "9999-12-31"
_KEEPS = ("@months_after",)
"""Functors that give `ongoing` for `ongoing`."""

Place = tuple[str, int]
"""A relation and the position of an attribute."""

Names = Mapping[str, bool]
"""Variables, and whether each may stand for `ongoing`."""

NOTHING: Names = {}


def check_ongoing(relations: Mapping[str, Relation], rules: Iterable[tree.Rule], report: Report) -> None:
    """Report every date that may be `ongoing` and that is computed with."""
    places = {
        (relation.name, position) for relation in relations.values()
        for position, attribute in enumerate(relation.attributes) if attribute.may_be_ongoing
    }
    all_rules, size = list(rules), -1
    while len(places) > size:
        size = len(places)
        for rule in all_rules:
            names = _names(rule.body, places)
            places |= {
                (head.relation, position) for head in rule.heads for position, argument in enumerate(head.arguments)
                if _may_be(argument, names, places)
            }
    for rule in all_rules:
        names = _names(rule.body, places)
        for node in (*rule.heads, *rule.body):
            for found in _computed(node, names, places):
                what = f"`{found}`" if isinstance(found, tree.Variable) else "a date"
                instead = found if isinstance(found, tree.Variable) else "day"
                report(Kind.ONGOING, found.span, f"{what} may be `ongoing` here, with which nothing can be computed",
                       f'compare it first, as in `{instead} < received` or `{instead} != @date("{_WRITTEN}")`; or take '
                       f"the earlier date, as in `min({instead}, received)`")


def _names(body: tuple[tree.Literal, ...], places: set[Place], around: Names = NOTHING) -> Names:
    """The variables of a body, and whether each may stand for `ongoing`; `around` are those of the rule around it."""
    comparisons = [one for one in body if isinstance(one, tree.Comparison)]
    ways = {name: [may_be] for name, may_be in around.items()}
    for atom in (literal for literal in body if isinstance(literal, tree.Atom)):
        for position, argument in enumerate(atom.arguments):
            if isinstance(argument, tree.Variable):
                ways.setdefault(argument.name, []).append((atom.relation, position) in places)
    for left, operator, _ in _sides(comparisons):
        if operator == "=":
            ways.setdefault(left.name, [])
    found = {name: all(those) for name, those in ways.items()}
    while True:
        shut_out = {
            left.name for left, operator, right in _sides(comparisons)
            if found.get(left.name) and _shuts_out(operator, right, found, places)
        }
        if not shut_out:
            return found
        found |= dict.fromkeys(shut_out, False)


def _sides(comparisons: Iterable[tree.Comparison]) -> Iterator[tuple[tree.Variable, str, tree.Expression]]:
    """Each variable that is compared, how, and with what."""
    for one in comparisons:
        if one.operator in tree.MIRRORED:
            for left, operator, right in (
                (one.left, one.operator, one.right), (one.right, tree.MIRRORED[one.operator], one.left)
            ):
                if isinstance(left, tree.Variable):
                    yield left, operator, right


def _shuts_out(operator: str, right: tree.Expression, names: Names, places: set[Place]) -> bool:
    """Whether what compares so with `right` is not `ongoing`, the last of all dates."""
    match operator:
        case "<":
            return True
        case "<=" | "=":
            return not _may_be(right, names, places)
        case "!=":
            return _is_written(right)
    return False


def _is_written(node: tree.Expression) -> bool:
    match node:
        case tree.Call(function="@date", arguments=(tree.Constant(value=value),)):
            return value == _WRITTEN
    return False


def _may_be(node: tree.Expression, names: Names, places: set[Place]) -> bool:
    """Whether an expression may be `ongoing`."""
    match node:
        case tree.Variable(name=name):
            return names.get(name, False)
        case tree.Call(function=function, arguments=arguments):
            may_be = [_may_be(argument, names, places) for argument in arguments]
            if function in (*_KEEPS, "max"):
                return any(may_be)
            return all(may_be) if function == "min" else _is_written(node)
        case tree.Aggregate(function="min" | "max", target=target) if target is not None:
            return _may_be(target, _names(node.body, places, names), places)
    return False


def _computed(
    node: tree.Literal | tree.Expression, names: Names, places: set[Place]
) -> Iterator[tree.Expression]:
    """The expressions inside a node that may be `ongoing` and that something is computed of."""
    match node:
        case tree.Call(function=function, arguments=arguments):
            if function not in (*_KEEPS, "min", "max"):
                yield from (argument for argument in arguments if _may_be(argument, names, places))
            for argument in arguments:
                yield from _computed(argument, names, places)
        case tree.Aggregate(function=function, target=target, body=body):
            inside = _names(body, places, names)
            if target is not None:
                if function == "sum" and _may_be(target, inside, places):
                    yield target
                yield from _computed(target, inside, places)
            for literal in body:
                yield from _computed(literal, inside, places)
        case tree.Atom(arguments=arguments):
            for argument in arguments:
                yield from _computed(argument, names, places)
        case tree.Negation(atom=atom):
            yield from _computed(atom, names, places)
        case tree.Comparison(left=left, right=right):
            yield from _computed(left, names, places)
            yield from _computed(right, names, places)
