"""Which texts of the rules may meet the values of an attribute: through shared variables and comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policy_kb.check.declarations import atoms_of, expressions_in
from policy_kb.parse import tree

_Place = tuple[object, object]
"""An attribute (relation and number), or a variable of a rule (number of the rule and name)."""


class Meetings:
    """The texts that rules compare with the values of each attribute, be it by way of other relations."""

    def __init__(self, rules: Iterable[tree.Rule]):
        self._above: dict[_Place, _Place] = {}
        said: list[tuple[_Place, str]] = []
        for number, rule in enumerate(rules):
            for group in _compared(rule):
                places = [_place(number, part) for part in group if not isinstance(part, tree.Constant)]
                for place in places[1:]:
                    self._join(places[0], place)
                said += [(places[0], part.value) for part in group if places and isinstance(part, tree.Constant)
                         and isinstance(part.value, str)]
        self._texts: dict[_Place, set[str]] = {}
        for place, text in said:
            self._texts.setdefault(self._find(place), set()).add(text)

    def texts(self, relation: str, place: int) -> set[str]:
        return self._texts.get(self._find((relation, place)), set())

    def _find(self, place: _Place) -> _Place:
        while place in self._above:
            place = self._above[place]
        return place

    def _join(self, one: _Place, other: _Place) -> None:
        one, other = self._find(one), self._find(other)
        if one != other:
            self._above[one] = other


def _place(number: int, part: object) -> _Place:
    return (number, part.name) if isinstance(part, tree.Variable) else part  # type: ignore[return-value]


def _compared(rule: tree.Rule) -> Iterator[list[object]]:
    """What stands for one value: an attribute with what is written there, the parts of a comparison."""
    for atom in atoms_of(rule):
        for place, argument in enumerate(atom.arguments):
            yield [(atom.relation, place), *_values(argument)]
    for literal in rule.body:
        for inner in (literal, *(part for aggregate in tree.aggregates(literal) for part in aggregate.body)):
            if isinstance(inner, tree.Comparison):
                yield [*_values(inner.left), *_values(inner.right)]


def _values(node: tree.Expression) -> Iterator[object]:
    return expressions_in(node, lambda part: isinstance(part, tree.Variable | tree.Constant))
