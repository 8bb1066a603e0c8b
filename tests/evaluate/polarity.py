"""In which polarities the answer of a relation depends on others: more rows of them can make it true, or false."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policy_kb.check.checked import CheckedProgram
from policy_kb.parse import tree

MORE, LESS = 1, -1
Occurrence = tuple[str, int]


def polarities(program: CheckedProgram, root: str) -> set[Occurrence]:
    """Every case relation that `root` depends on, with each polarity it occurs in."""
    found: set[Occurrence] = {(root, MORE)}
    waiting = [(root, MORE)]
    while waiting:
        name, sign = waiting.pop()
        for rule in program.rules_for(name):
            for relation, inner in occurrences(rule.body):
                occurrence = (relation, sign * inner)
                if program.relations[relation].is_case and occurrence not in found:
                    found.add(occurrence)
                    waiting.append(occurrence)
    return found


def has_both_polarities(program: CheckedProgram, root: str) -> bool:
    """Whether some relation of which anything can be unknown occurs in both."""
    found = polarities(program, root)
    return any((name, -sign) in found for name, sign in found if not program.relations[name].is_single)


def occurrences(body: Iterable[tree.Literal]) -> Iterator[Occurrence]:
    for literal in body:
        match literal:
            case tree.Atom(relation=relation):
                yield relation, MORE
            case tree.Negation(atom=atom):
                yield atom.relation, LESS
            case tree.Comparison(operator=operator, left=left, right=right):
                for side, signs in ((left, _OF_LEFT), (right, _OF_RIGHT)):
                    for aggregate in tree.aggregates(side):
                        for relation, inner in occurrences(aggregate.body):
                            for sign in signs.get(operator, (MORE, LESS)):
                                yield relation, sign * inner


_OF_LEFT = {">=": (MORE,), ">": (MORE,), "<=": (LESS,), "<": (LESS,)}
_OF_RIGHT = {"<=": (MORE,), "<": (MORE,), ">=": (LESS,), ">": (LESS,)}
