"""What a finished model says of a literal, under bindings of its variables. Nothing is derived here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from policy_kb.check.checked import CheckedProgram, Rule
from policy_kb.check.declarations import atoms_in
from policy_kb.check.safety import needs, outer_variables
from policy_kb.evaluate.model import MET, NEEDS_INFORMATION, NOT_MET, Model, answered
from policy_kb.evaluate.plain import Rows, assigned, in_order, named_wildcards
from policy_kb.evaluate.values import COMPARE, aggregated, value_of
from policy_kb.explain.proof import Claim
from policy_kb.load.facts import Facts
from policy_kb.parse import tree
from policy_kb.parse.tree import Value

MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
"""The operator that says the same with its sides exchanged."""

Row = tuple[Value, ...]
Environment = Mapping[str, Value]


@dataclass(frozen=True)
class Lookup:
    """The model of a case, with the rules, the known rows and the case it comes from."""

    program: CheckedProgram
    known: Rows
    facts: Facts
    model: Model
    _indexes: dict[tuple[str, bool, tuple[int, ...]], dict[Row, list[Row]]] = field(default_factory=dict)

    def is_case(self, relation: str) -> bool:
        return self.program.relations[relation].is_case

    def is_open(self, relation: str) -> bool:
        return relation in self.model.open

    def claim(self, atom: tree.Atom, environment: Environment) -> Claim:
        """The atom with the values its arguments have; None where they have none yet."""
        bound = environment.keys()
        return Claim(
            atom.relation,
            tuple(
                None if isinstance(argument, tree.Wildcard) or not needs(argument, ()) <= bound
                else self.value(argument, environment)
                for argument in atom.arguments
            ),
        )

    def rows(self, claim: Claim, *, certain: bool) -> list[Row]:
        """The rows that match a claim, in the order of their values."""
        positions = tuple(place for place, value in enumerate(claim.values) if value is not None)
        key = (claim.relation, certain, positions)
        index = self._indexes.get(key)
        if index is None:
            if not self.is_case(claim.relation):
                rows = self.known.get(claim.relation, ())
            else:
                rows = (self.model.certain if certain else self.model.possible)[claim.relation]
            index = self._indexes[key] = {}
            for row in sorted(rows):
                index.setdefault(tuple([row[place] for place in positions]), []).append(row)
        return index.get(tuple([claim.values[place] for place in positions]), [])  # type: ignore[misc]

    def answer(self, claim: Claim) -> str:
        """Whether some row matches the claim."""
        if self.rows(claim, certain=True):
            return MET
        if self.is_case(claim.relation) and (self.is_open(claim.relation) or self.rows(claim, certain=False)):
            return NEEDS_INFORMATION
        return NOT_MET

    def extended(self, atom: tree.Atom, row: Row, environment: Environment) -> dict[str, Value] | None:
        """The bindings with those a matching row adds; None where the row does not fit after all."""
        result = dict(environment)
        for argument, value in zip(atom.arguments, row, strict=True):
            if isinstance(argument, tree.Variable) and result.setdefault(argument.name, value) != value:
                return None
        return result

    def matching(
        self, atom: tree.Atom, environment: Environment, *, certain: bool
    ) -> Iterator[tuple[Row, dict[str, Value]]]:
        for row in self.rows(self.claim(atom, environment), certain=certain):
            extended = self.extended(atom, row, environment)
            if extended is not None:
                yield row, extended

    # values

    def value(self, expression: tree.Expression, environment: Environment) -> Value:
        match expression:
            case tree.Aggregate():
                return self._known_aggregate(expression, environment)
            case tree.Call(function=function, arguments=arguments, span=span):
                inner = tuple(
                    tree.Constant(self.value(argument, environment), argument.span) for argument in arguments
                )
                return value_of(tree.Call(function, inner, span), environment)
        return value_of(expression, environment)

    def _known_aggregate(self, aggregate: tree.Aggregate, environment: Environment) -> Value:
        body = named_wildcards(aggregate.body)
        found = {tuple(sorted(inner.items())): inner for inner in self.solutions(body, environment)}
        if aggregate.target is None:
            return len(found)
        value = aggregated(aggregate.function, [self.value(aggregate.target, inner) for inner in found.values()])
        return value if value is not None else float("nan")

    # bodies

    def solutions(self, body: tuple[tree.Literal, ...], environment: Environment) -> Iterator[dict[str, Value]]:
        """The bindings under which all literals of a body are certain."""
        yield from self._solve(in_order(body, frozenset(environment), body), body, dict(environment))

    def _solve(
        self, ordered: list[tree.Literal], body: tuple[tree.Literal, ...], environment: dict[str, Value]
    ) -> Iterator[dict[str, Value]]:
        if not ordered:
            yield environment
            return
        literal, rest = ordered[0], ordered[1:]
        if isinstance(literal, tree.Atom):
            for _, extended in self.matching(literal, environment, certain=True):
                yield from self._solve(rest, body, extended)
            return
        if isinstance(literal, tree.Comparison):
            name = assigned(literal, frozenset(environment), body)
            if name is not None:
                yield from self._solve(rest, body, {**environment, name: self.assigned_value(literal, name, environment)})
                return
        if self.literal_answer(literal, environment, body) == MET:
            yield from self._solve(rest, body, environment)

    def assigned_value(self, comparison: tree.Comparison, name: str, environment: Environment) -> Value:
        is_left = isinstance(comparison.left, tree.Variable) and comparison.left.name == name
        return self.value(comparison.right if is_left else comparison.left, environment)

    def literal_answer(
        self, literal: tree.Literal, environment: Environment, body: tuple[tree.Literal, ...]
    ) -> str:
        """The answer for a literal whose variables are bound; an atom's unbound ones stand for any value."""
        match literal:
            case tree.Atom():
                return self.answer(self.claim(literal, environment))
            case tree.Negation(atom=atom):
                positive = self.answer(self.claim(atom, environment))
                return {MET: NOT_MET, NOT_MET: MET}.get(positive, positive)
            case tree.Truth(value=value):
                return MET if value else NOT_MET
            case tree.Comparison():
                if self.counted(literal):
                    return self.count_answer(literal, environment, body)
                left, right = self.value(literal.left, environment), self.value(literal.right, environment)
                return MET if COMPARE[literal.operator](left, right) else NOT_MET
        raise AssertionError(literal)

    # counts over what a case says

    def counted(self, comparison: tree.Comparison) -> tree.Aggregate | None:
        """The count over what a case says that a comparison contains, if any."""
        for aggregate in tree.aggregates(comparison):
            if any(self.is_case(atom.relation) for literal in aggregate.body for atom in atoms_in(literal)):
                return aggregate
        return None

    def count_answer(
        self, comparison: tree.Comparison, environment: Environment, body: tuple[tree.Literal, ...]
    ) -> str:
        count, operator, bound_side = count_parts(comparison)
        certain, possible, is_open = self.count_rows(count, environment, body)
        return compared_count(
            operator, len(certain), None if is_open else len(possible), self.value(bound_side, environment)
        )

    def count_rows(
        self, count: tree.Aggregate, environment: Environment, body: tuple[tree.Literal, ...]
    ) -> tuple[dict[tuple[tuple[str, Value], ...], None], dict[tuple[tuple[str, Value], ...], None], bool]:
        """The rows counted that are certain, those that are possible, and whether there may be further ones."""
        shared = outer_variables(count, body)
        outer = {name: value for name, value in environment.items() if name in shared}
        inner = named_wildcards(count.body)
        certain = {self._row(found, outer): None for found in self.solutions(inner, outer)}
        possible: dict[tuple[tuple[str, Value], ...], None] = {}
        is_open = False
        everything = frozenset().union(*(tree.names(literal) for literal in inner if isinstance(literal, tree.Atom)))
        for found in self.possible_solutions(inner, outer):
            if everything <= found.keys():
                possible[self._row(found, outer)] = None
            else:
                is_open = True
        return certain, possible, is_open

    @staticmethod
    def _row(found: Environment, outer: Environment) -> tuple[tuple[str, Value], ...]:
        return tuple(sorted((name, value) for name, value in found.items() if name not in outer))

    def possible_solutions(
        self, body: tuple[tree.Literal, ...], environment: Environment
    ) -> Iterator[dict[str, Value]]:
        """The bindings under which a body is possible; where an atom is open its variables may stay unbound."""
        positive = [literal for literal in body if isinstance(literal, tree.Atom)]
        tests = [literal for literal in body if not isinstance(literal, tree.Atom)]
        for found in self._possible(positive, dict(environment)):
            bound = self.with_assignments(body, found)
            if all(
                self.literal_answer(test, bound, body) != NOT_MET
                for test in tests
                if needs(test, bound, body) <= bound.keys()
            ):
                yield bound

    def with_assignments(self, body: tuple[tree.Literal, ...], environment: dict[str, Value]) -> dict[str, Value]:
        """The bindings with those that `x = expression` of bound values adds."""
        changed = True
        while changed:
            changed = False
            for literal in body:
                if isinstance(literal, tree.Comparison) and not self.counted(literal):
                    name = assigned(literal, frozenset(environment), body)
                    if name is not None:
                        environment = {**environment, name: self.assigned_value(literal, name, environment)}
                        changed = True
        return environment

    def _possible(self, atoms: list[tree.Atom], environment: dict[str, Value]) -> Iterator[dict[str, Value]]:
        if not atoms:
            yield environment
            return
        for _, extended in self.matching(atoms[0], environment, certain=False):
            yield from self._possible(atoms[1:], extended)
        if self.is_open(atoms[0].relation):
            yield from self._possible(atoms[1:], environment)

    def head_bindings(self, rule: Rule, claim: Claim) -> dict[str, Value] | None:
        """The bindings under which a rule's head matches a claim; None where it cannot."""
        result: dict[str, Value] = {}
        for argument, value in zip(rule.head.arguments, claim.values, strict=True):
            if value is None:
                continue
            if isinstance(argument, tree.Variable):
                if result.setdefault(argument.name, value) != value:
                    return None
            elif isinstance(argument, tree.Constant) and argument.value != value:
                return None
        return result


def count_parts(comparison: tree.Comparison) -> tuple[tree.Aggregate, str, tree.Expression]:
    """The count, how it is compared and with what, the count read as the left side."""
    if isinstance(comparison.left, tree.Aggregate):
        return comparison.left, comparison.operator, comparison.right
    assert isinstance(comparison.right, tree.Aggregate)
    return comparison.right, MIRRORED[comparison.operator], comparison.left


def compared_count(operator: str, least: int, most: int | None, bound: Value) -> str:
    """The answer for a number of rows between `least` and `most` (None: no bound), as DESIGN, section 5, has it."""
    number = bound
    assert isinstance(number, int | float)
    match operator:
        case ">=" | ">":
            return answered(COMPARE[operator](least, number), most is None or COMPARE[operator](most, number))
        case "<=" | "<":
            return answered(most is not None and COMPARE[operator](most, number), COMPARE[operator](least, number))
        case "=":
            return answered(least == most == number, least <= number and (most is None or most >= number))
    return answered(
        least > number or (most is not None and most < number), not (least == most == number)
    )
