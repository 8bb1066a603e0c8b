"""What comes near: rows that a relation has not for want of one literal, and how far a body that fails is from holding.

A row is near where the positive atoms of a rule would give it. A body is as far as the literals that fail in it are
many, and as the sides of its comparisons lie apart. Nothing is concluded from either: they say what to show first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction

from policy_kb.answers import NOT_MET
from policy_kb.check.checked import Rule
from policy_kb.explain.lookup import Environment, Lookup, NoValue, Part, Row, merged
from policy_kb.explain.proof import Claim
from policy_kb.parse import tree
from policy_kb.parse.tree import Value

Distance = tuple[int, int | float | Fraction]
"""The literals that fail, and how far the comparisons among them are off, in all."""

HERE: Distance = 0, 0
FAR: Distance = 1, math.inf

MOST_NEAR = 1_000
"""Combinations of rows that are tried for one rule; none of its rows is near where there would be more."""


class Near:
    """What comes near in one case. `rules` are those of each relation."""

    def __init__(self, lookup: Lookup, rules: Mapping[str, Sequence[Rule]]):
        self.lookup, self.rules, self.relations = lookup, rules, lookup.program.relations
        self._missed: dict[Claim, list[Row]] = {}
        self._claims: dict[Claim, Distance] = {}

    # rows

    def missed(self, claim: Claim) -> list[Row]:
        """The rows of a derived relation of the case that come near, match the claim and are not possible."""
        found = self._missed.get(claim)
        if found is None:
            rows: set[Row] = set()
            if self._is_derived(claim.relation):
                for rule in self.rules.get(claim.relation, ()):
                    rows.update(self._heads(rule, claim) if rule.possible is None else ())
                rows.difference_update(self.lookup.rows(claim, certain=False))
            found = self._missed[claim] = sorted(rows)
        return found

    def candidates(self, claim: Claim) -> list[Row]:
        """The possible rows that match a claim, and those that come near."""
        missed = self.missed(claim)
        possible = self.lookup.rows(claim, certain=False)
        return sorted([*possible, *missed]) if missed else possible

    def _heads(self, rule: Rule, claim: Claim) -> Iterator[Row]:
        """The rows that the positive atoms of a rule would give, and that match the claim."""
        begun = self.lookup.begin(rule, claim)
        if begun is None:
            return
        body = tuple(part for part in begun[1] if part[0] >= 0)
        _, *others = rule.head.arguments
        if others and all(isinstance(argument, tree.Constant) for argument in others):
            body = ()  # an alternative of its own: it comes near whatever becomes of its body
        for environment in self.joined(body, begun[0]):
            with suppress(NoValue):
                row = tuple([self.lookup.value(argument, environment) for argument in rule.head.arguments])
                if all(wanted in (None, value) for wanted, value in zip(claim.values, row, strict=True)):
                    yield row

    def joined(
        self, body: Iterable[Part], start: Environment, *, with_failing: bool = False
    ) -> Iterator[dict[str, Value]]:
        """The bindings that the positive atoms of a body give with rows that are possible or come near; none where
        there would be more than `MOST_NEAR`. `with_failing`: an atom that has no such row may fail once all its values
        are known."""
        parts = tuple(
            (place, literal) for place, literal in body
            if isinstance(literal, tree.Atom) or (isinstance(literal, tree.Comparison) and literal.operator == "=")
        )
        number = 1
        for _, literal in parts:
            if isinstance(literal, tree.Atom):
                number *= len(self.candidates(self.lookup.claim(literal, start)))
        if number <= MOST_NEAR:
            yield from self._joined(parts, dict(start), with_failing)

    def _joined(
        self, parts: tuple[Part, ...], environment: dict[str, Value], with_failing: bool
    ) -> Iterator[dict[str, Value]]:
        if not self.lookup.equated(parts, environment):
            return
        chosen = self.lookup.next_atom(parts, environment)
        if chosen is None:
            yield environment
            return
        rest = tuple(part for part in parts if part is not chosen)
        claim = self.lookup.claim(chosen[1], environment)
        among = self.candidates(claim)
        if with_failing and not among and None not in claim.values:
            yield from self._joined(rest, environment, with_failing)
        for _, extended, _ in self.lookup.matching(chosen[1], environment, certain=False, among=among):
            yield from self._joined(rest, extended, with_failing)

    # distances

    def of_claim(self, claim: Claim) -> Distance:
        """How far a claim that fails is from holding: as far as the nearest of its rules."""
        found = self._claims.get(claim)
        if found is None:
            begun = (self.lookup.begin(rule, claim) for rule in self.rules.get(claim.relation, ()) if not rule.possible)
            found = self._claims[claim] = min((self.of_body(*start) for start in begun if start is not None),
                                              default=FAR)
        return found

    def of_row(self, relation: str, row: Row, rest: tuple[Part, ...], environment: Environment) -> Distance:
        """How far the rest of a body is from holding with a row; further where the row itself only comes near."""
        distance = self.of_body(environment, rest)
        is_possible = not self.lookup.is_case(relation) or row in self.lookup.model.possible[relation]
        return distance if is_possible else _sum((distance, self.of_claim(Claim(relation, row))))

    def of_body(self, start: Environment, parts: tuple[Part, ...]) -> Distance:
        """How far literals are from holding; `HERE` where none fails."""
        environment = self.lookup.determined(start, parts, self.missed)
        failing = [
            self._of_literal(literal, environment) for _, literal in parts
            if self.lookup.can_answer(literal, environment)
            and self.lookup.literal_answer(literal, environment) == NOT_MET
        ]
        if failing:
            return _sum(failing)
        waiting = tuple(part for part in parts if not self.lookup.can_answer(part[1], environment))
        chosen = self.lookup.next_atom(waiting, environment)
        if chosen is None:
            return HERE
        place, atom = chosen
        rest = tuple(part for part in waiting if part is not chosen)
        among = self.candidates(self.lookup.claim(atom, environment))
        return min(
            (
                self.of_row(atom.relation, row, merged(rest, place, pending), extended)
                for row, extended, pending in self.lookup.matching(atom, environment, certain=False, among=among)
            ),
            default=FAR,
        )

    def _of_literal(self, literal: tree.Literal, environment: Environment) -> Distance:
        """How far a literal that fails is from holding."""
        if self.lookup.without_value(literal, environment) is not None:
            return FAR
        if isinstance(literal, tree.Atom) and self._is_derived(literal.relation):
            return self.of_claim(self.lookup.claim(literal, environment))
        if not isinstance(literal, tree.Comparison):
            return FAR
        if self.lookup.counted(literal) is None:
            left, right = (self.lookup.value(side, environment) for side in (literal.left, literal.right))
            return 1, gap(left, right)
        count, _, bound = tree.count_parts(literal)
        certain, possible, _ = self.lookup.count_rows(count, environment)
        needed = self.lookup.value(bound, environment)
        return 1, min(gap(len(certain), needed), gap(len(possible), needed))

    def _is_derived(self, relation: str) -> bool:
        declared = self.relations[relation]
        return declared.is_case and not declared.is_input


def gap(left: Value, right: Value) -> int | float | Fraction:
    """How far two values lie apart; texts lie infinitely far."""
    if isinstance(left, int | Fraction) and isinstance(right, int | Fraction):
        return left - right if left > right else right - left
    return math.inf


def _sum(distances: Iterable[Distance]) -> Distance:
    number = 0
    total: int | float | Fraction = 0
    for failing, by in distances:
        number, total = number + failing, total + by
    return number, total
