"""The order in which an explanation lists what fails, worked out a second time: what comes nearest stands first.

A relation of the case nearly has a row where the positive atoms of one of its rules give it. Of two ways to fail the
nearer has fewer literals that fail; of as many, the one in which the sides of comparisons lie less far apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from policy_kb.answers import NOT_MET
from policy_kb.audit.statuses import Match, Part, Parts, Row, Statuses, Values, read_count
from policy_kb.check.checked import Rule
from policy_kb.explain.proof import Claim
from policy_kb.parse.tree import Atom, Comparison, Constant, Value

MOST = 1_000
"""Combinations of rows that a rule may have for its rows to be near."""

Gap = int | float | Fraction
Distance = tuple[int, Gap]
FAR: Distance = (1, math.inf)


class Nearness:
    """What nearly holds of one case."""

    def __init__(self, statuses: Statuses):
        self.statuses = statuses
        self.found: dict[Claim, list[Row]] = {}
        self.distances: dict[Claim, Distance] = {}

    def is_derived(self, relation: str) -> bool:
        declared = self.statuses.program.relations[relation]
        return declared.is_case and not declared.is_input

    # rows

    def nearly(self, claim: Claim) -> list[Row]:
        """The rows that match the claim, nearly hold and are not possible, in the order of their values."""
        if claim not in self.found:
            rows: set[Row] = set()
            if self.is_derived(claim.relation):
                for rule in self.statuses.rules.get(claim.relation, ()):
                    if not rule.possible:
                        rows.update(self.heads(rule, claim))
            possible = self.statuses.status(claim.relation).possible.rows
            self.found[claim] = sorted(rows - possible)
        return self.found[claim]

    def some(self, claim: Claim) -> list[Row]:
        """The rows that match the claim and are possible or nearly hold, in the order of their values."""
        return sorted(self.statuses.status(claim.relation).possible.matching(claim) + self.nearly(claim))

    def heads(self, rule: Rule, claim: Claim) -> Iterator[Row]:
        begun = self.statuses.begin(rule, claim)
        if begun is None:
            return
        start, parts = begun
        parts = tuple(part for part in parts if part.place >= 0)
        behind_the_case = rule.head.arguments[1:]
        # A rule for one value is an alternative: it counts as near, whatever its body.
        if behind_the_case and all(isinstance(one, Constant) for one in behind_the_case):
            parts = ()
        for values in self.combinations(parts, start):
            # What has no value comes near nothing: the case is not refused for it.
            found = (self.statuses.value(argument, values) for argument in rule.head.arguments)
            row = tuple(value for value in found if value is not None)
            if len(row) == len(claim.values) and unlike(row, claim)[0] == 0:
                yield row

    def combinations(self, parts: Parts, start: Values, may_fail: bool = False) -> Iterator[dict[str, Value]]:
        """The bindings that rows give to atoms, each possible or nearly so, and equations to variables. `may_fail`:
        also without a row of an atom that waits for no value."""
        atoms = [part for part in parts if isinstance(part.literal, Atom)]
        numbers = [len(self.some(self.statuses.claim_of(part.literal, start))) for part in atoms]  # type: ignore[arg-type]
        if math.prod(numbers) <= MOST:
            equations = [part for part in parts if isinstance(part.literal, Comparison)]
            yield from self.combined(tuple(atoms), equations, dict(start), may_fail)

    def combined(
        self, atoms: Parts, equations: list[Part], values: dict[str, Value], may_fail: bool
    ) -> Iterator[dict[str, Value]]:
        is_new = True
        while is_new:
            is_new = False
            for part in equations:
                given = self.statuses.gives(part.literal, values)
                if given is not None:
                    value = self.statuses.value(given[1], values)
                    if value is None:
                        return
                    values[given[0]], is_new = value, True
        chosen = self.statuses.next_atom(atoms, values)
        if chosen is None:
            yield values
            return
        others = tuple(part for part in atoms if part is not chosen)
        claim = self.statuses.claim_of(chosen.literal, values)  # type: ignore[arg-type]
        if may_fail and None not in claim.values and not self.some(claim):
            yield from self.combined(others, equations, values, may_fail)
        for _, extended, _ in self.matches(chosen, values):
            yield from self.combined(others, equations, extended, may_fail)

    def matches(self, part: Part, values: Values) -> Iterator[Match]:
        """The rows that an atom can stand for, possible or nearly so."""
        atom = part.literal
        assert isinstance(atom, Atom)
        rows = self.some(self.statuses.claim_of(atom, values))
        return self.statuses.rows_for(atom, part.place, values, certain=False, among=rows)

    # distances

    def distance(self, claim: Claim) -> Distance:
        """That of the rule that comes nearest to giving a claim."""
        if claim not in self.distances:
            rules = [rule for rule in self.statuses.rules.get(claim.relation, ()) if not rule.possible]
            begun = [start for rule in rules if (start := self.statuses.begin(rule, claim)) is not None]
            self.distances[claim] = min((self.of_parts(parts, values) for values, parts in begun), default=FAR)
        return self.distances[claim]

    def of_match(self, part: Part, match: Match, rest: Parts) -> Distance:
        """That of the rest of a body with a row of an atom, and of the row where it only nearly holds."""
        row, values, more = match
        number, gap = self.of_parts(behind(rest, more), values)
        relation = part.literal.relation  # type: ignore[union-attr]
        if row in self.statuses.status(relation).possible.rows:
            return number, gap
        missing, by = self.distance(Claim(relation, row))
        return number + missing, gap + by

    def of_parts(self, parts: Parts, start: Values) -> Distance:
        """That of literals: of all that fail by themselves; where none does, with the row that is nearest."""
        values = self.statuses.determined(start, parts, self.nearly)
        ready = [part for part in parts if self.statuses.can_answer(part, values)]
        failing = [self.of_literal(part, values) for part in ready if self.statuses.answer(part, values) == NOT_MET]
        if failing:
            return sum(number for number, _ in failing), sum(gap for _, gap in failing)
        waiting = tuple(part for part in parts if part not in ready)
        chosen = self.statuses.next_atom(waiting, values)
        if chosen is None:
            return 0, 0
        rest = tuple(part for part in waiting if part is not chosen)
        return min((self.of_match(chosen, match, rest) for match in self.matches(chosen, values)), default=FAR)

    def of_literal(self, part: Part, values: Values) -> Distance:
        """That of a literal that fails by itself."""
        literal, statuses = part.literal, self.statuses
        if statuses.without_value(literal, values) is not None:
            return FAR
        if isinstance(literal, Atom) and self.is_derived(literal.relation):
            return self.distance(statuses.claim_of(literal, values))
        if not isinstance(literal, Comparison):
            return FAR
        if statuses.count_in(literal) is None:
            return 1, apart(statuses.value(literal.left, values), statuses.value(literal.right, values))
        count, _, bound = read_count(literal)
        certain, possible, _ = statuses.count(count, values)
        limit = statuses.value(bound, values)
        return 1, min(apart(len(certain), limit), apart(len(possible), limit))


def apart(one: Value | None, other: Value | None) -> Gap:
    """How far two numbers lie apart; all else lies infinitely far."""
    are_numbers = isinstance(one, int | Fraction) and isinstance(other, int | Fraction)
    return abs(one - other) if are_numbers else math.inf  # type: ignore[operator]


def behind(rest: Parts, more: Parts) -> Parts:
    """The rest of a body with what an atom leaves to be computed, in order."""
    return tuple(sorted((*rest, *more), key=lambda part: part.place))


def unlike(row: Row, claim: Claim) -> tuple[int, Gap, Row]:
    """Sorts rows by how unlike a claim they are."""
    differing = [(v, w) for v, w in zip(row, claim.values, strict=True) if w is not None and v != w]
    return len(differing), sum(apart(v, w) for v, w in differing), row
