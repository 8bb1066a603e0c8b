"""What can never hold: relations that have no row where some literals fail, whatever else a case says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from policy_kb.check.checked import Rule
from policy_kb.expressions import COMPARE
from policy_kb.parse import tree

Fails = Callable[[tree.Literal], bool]


def empty_where(
    rules_of: Mapping[str, list[Rule]], strata: Iterable[Iterable[str]], empty: Iterable[str],
    fails: Fails | None = None,
) -> frozenset[str]:
    """The relations with rules that have no row where those in `empty` have none and the literals of which `fails` is
    true never hold, with `empty` itself. Not claimed of what lacks for another reason."""
    found = set(empty)
    for stratum in strata:
        for name in stratum:
            rules = rules_of.get(name)
            if rules and all(next(failing(rule.body, found, fails), None) is not None for rule in rules):
                found.add(name)
    return frozenset(found)


def failing(
    body: Iterable[tree.Literal], empty: AbstractSet[str], fails: Fails | None = None
) -> Iterator[tree.Literal]:
    """The literals of a body that never hold."""
    return (literal for literal in body if (fails is not None and fails(literal)) or _lacks(literal, empty))


def _lacks(literal: tree.Literal, empty: AbstractSet[str]) -> bool:
    """Whether a literal asks for a row of a relation that has none."""
    match literal:
        case tree.Atom(relation=relation):
            return relation in empty
        case tree.Comparison(left=left, right=right, operator=sign) if sign in COMPARE:
            one, other = _number_where(left, empty), _number_where(right, empty)
            counts = isinstance(left, tree.Aggregate) or isinstance(right, tree.Aggregate)
            return counts and one is not None and other is not None and not COMPARE[sign](one, other)
    return False


def _number_where(side: tree.Expression, empty: AbstractSet[str]) -> tree.Value | None:
    """A number that is written, or that of a count of what never is."""
    match side:
        case tree.Constant(value=value):
            return value
        case tree.Aggregate(function="count", body=body) if next(failing(body, empty), None) is not None:
            return 0
    return None
