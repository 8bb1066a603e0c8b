"""The audit's own reading: which rows of each relation of a case are certain, which possible, and what is open.

Worked out rule by rule, as written, from the facts of the case. Recursion ends, because no relation of a
case depends on itself. It is slow and plain where an engine is fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.audit.allowed import can_be, tests_of
from policy_kb.check.cases import bound_without_counts, counts_case_rows
from policy_kb.check.checked import Attribute, CheckedProgram, Rule
from policy_kb.check.safety import bound_variables, outer_variables
from policy_kb.explain.proof import HEAD, Claim
from policy_kb.expressions import COMPARE, EvaluationStopped, aggregated, call
from policy_kb.load.facts import Facts
from policy_kb.parse.tree import (
    Aggregate,
    Atom,
    Call,
    Comparison,
    Constant,
    Expression,
    Literal,
    Negation,
    Truth,
    Value,
    Variable,
    Wildcard,
    aggregates,
    names,
)

Row = tuple[Value, ...]
Values = Mapping[str, Value]


@dataclass(frozen=True, eq=False)
class Part:
    """A literal at its place in a body, with the variables it needs."""

    place: int
    literal: Literal
    needs: frozenset[str]


Parts = tuple[Part, ...]
Match = tuple[Row, dict[str, Value], Parts]
"""A row an atom can stand for, the bindings it gives, and what must equal a value of it but waits for others."""


@dataclass(frozen=True, eq=False)
class Inside:
    """What an aggregate reads, the variables it shares with its rule, and those it binds."""

    parts: Parts
    shared: frozenset[str]
    bound: frozenset[str]


class Table:
    """Rows, and the same in the order of their values, found by the values they have at some positions."""

    def __init__(self, rows: set[Row]):
        self.rows = rows
        self.indexes: dict[tuple[bool, ...], dict[Row, list[Row]]] = {}

    def matching(self, claim: Claim) -> list[Row]:
        given = tuple([value is not None for value in claim.values])
        index = self.indexes.get(given)
        if index is None:
            index = self.indexes[given] = {}
            for row in sorted(self.rows):
                index.setdefault(tuple(v for v, is_given in zip(row, given, strict=True) if is_given), []).append(row)
        return index.get(tuple([value for value in claim.values if value is not None]), [])


@dataclass(frozen=True, eq=False)
class Status:
    """What is certain, what is possible, and whether anything at all may hold."""

    certain: Table
    possible: Table
    is_open: bool


class Bodies:
    """The rules of a program as the audit reads them; the same for every case."""

    def __init__(self, program: CheckedProgram):
        self.program = program
        self.insides: dict[int, Inside] = {}
        self.parts: dict[int, Parts] = {}
        self.rules: dict[str, list[Rule]] = {}
        self.around: dict[int, tuple[tuple[Literal, ...], frozenset[str]]] = {}
        """For each atom the body it stands in, and the variables bound outside of that."""
        for rule in program.rules:
            self.rules.setdefault(rule.head.relation, []).append(rule)
            subject = frozenset(name for a in rule.head.arguments[:1] for name in names(a))
            self.parts[rule.number] = self._parts(rule.body, subject)

    def _parts(self, body: tuple[Literal, ...], outside: frozenset[str]) -> Parts:
        self.around |= {id(literal): (body, outside) for literal in body if isinstance(literal, Atom)}
        for aggregate in (aggregate for literal in body for aggregate in aggregates(literal)):
            inner = with_all_named(aggregate.body)
            shared = outer_variables(aggregate, body)
            self.insides[id(aggregate)] = Inside(self._parts(inner, shared), shared, bound_variables(inner))
        return tuple(Part(place, literal, self.needs(literal)) for place, literal in enumerate(body))

    def needs(self, node: Expression | Literal) -> frozenset[str]:
        """The variables that must be bound before a part of a rule can be read."""
        match node:
            case Variable(name=name):
                return frozenset((name,))
            case Aggregate():
                return self.insides[id(node)].shared
            case Negation(atom=atom):
                return self.needs(atom)
            case Call() | Atom() | Comparison():
                return frozenset().union(*map(self.needs, sides(node)))
        return frozenset()

    def count_in(self, literal: Literal) -> Aggregate | None:
        """The count over what the case says that a literal compares."""
        if isinstance(literal, Comparison):
            for side in (literal.left, literal.right):
                if isinstance(side, Aggregate) and counts_case_rows(literal, self.program.relations):
                    return side
        return None


class Statuses:
    """The relations of one case: `known` are the rows of those that speak of no case."""

    def __init__(self, bodies: Bodies, known: Mapping[str, Table], facts: Facts | None):
        self.program, self.known, self.facts = bodies.program, known, facts
        self.rules, self.bodies, self.insides = bodies.rules, bodies.parts, bodies.insides
        self.needs, self.count_in, self.around = bodies.needs, bodies.count_in, bodies.around
        self.found: dict[str, Status] = {}
        self.counts: dict[tuple[int, tuple[Any, ...]], tuple[set[Any], set[Any], bool]] = {}

    # statuses

    def status(self, relation: str) -> Status:
        status = self.found.get(relation)
        if status is None:
            status = self.found[relation] = self._status(relation)
        return status

    def _status(self, relation: str) -> Status:
        declared = self.program.relations[relation]
        if not declared.is_case:
            table = self.known.get(relation) or Table(set())
            return Status(table, table, False)
        assert self.facts is not None
        if declared.is_input:
            given = self.facts.rows[relation]
            certain = {row.values for row in given if not row.is_uncertain}
            return Status(Table(certain), Table({row.values for row in given}), relation in self.facts.open)
        certain, possible, is_open = set(), set(), False
        for rule in self.rules.get(relation, ()):
            head, body = rule.head.arguments, self.bodies[rule.number]
            assert isinstance(head[0], Variable)
            case = {head[0].name: self.facts.case}
            if rule.possible is None:
                certain |= {self.row(head, found) for found in self.solve(body, case, True, is_needed=True)}
            for found in self.solve(body, case, False, is_needed=True):
                if self.needs(rule.head) <= found.keys():
                    possible.add(self.row(head, found))
                else:
                    is_open = True
        return Status(Table(certain), Table(possible), is_open)

    def row(self, head: tuple[Expression, ...], found: Values) -> Row:
        return tuple(value for argument in head if (value := self.computed(argument, found)) is not None)

    def answer_for(self, claim: Claim) -> str:
        status = self.status(claim.relation)
        if status.certain.matching(claim):
            return MET
        return NEEDS_INFORMATION if status.is_open or status.possible.matching(claim) else NOT_MET

    # expressions

    def value(self, expression: Expression, values: Values) -> Value | None:
        """The value of an expression; None where it has none, or waits for a variable."""
        try:
            return self.computed(expression, values)
        except EvaluationStopped:
            return None

    def computed(self, expression: Expression, values: Values) -> Value | None:
        """As `value`. Raises EvaluationStopped where the value does not exist, or is beyond the limits."""
        match expression:
            case Variable(name=name):
                return values.get(name)
            case Constant(value=value):
                return value
            case Call(function=function, arguments=arguments, span=span):
                known = [found for a in arguments if (found := self.computed(a, values)) is not None]
                return call(function, known, span) if len(known) == len(arguments) else None
            case Aggregate(target=target):
                inside = self.insides[id(expression)]
                if not inside.shared <= values.keys():
                    return None
                solved = self.solve(inside.parts, values, True, is_needed=True)
                rows = {tuple(sorted(found.items())): found for found in solved}
                targets = [0 if target is None else self.computed(target, found) for found in rows.values()]
                return aggregated(expression, [given for given in targets if given is not None])
        return None

    def without_value(self, literal: Literal, values: Values) -> Expression | None:
        """The first expression of a literal that has no value although it waits for none."""
        count = self.count_in(literal)
        for side in sides(literal):
            is_computed = isinstance(side, Call | Aggregate) and side is not count
            if is_computed and self.value(side, values) is None and self.needs(side) <= values.keys():
                return side
        return None

    def why_without(self, literal: Literal, values: Values) -> EvaluationStopped | None:
        """Why an expression of a literal, which waits for no variable, has no value; None where all have one, or where
        it is the least or greatest of nothing."""
        side = self.without_value(literal, values)
        try:
            if side is not None:
                self.computed(side, values)
        except EvaluationStopped as stop:
            return stop
        return None

    def claim_of(self, atom: Atom, values: Values) -> Claim:
        return Claim(atom.relation, tuple([self.value(argument, values) for argument in atom.arguments]))

    # literals

    def answer(self, part: Part, values: Values) -> str:
        """The answer for a literal; an atom's unbound variables stand for any value."""
        literal = part.literal
        lacks = self.without_value(literal, values) is not None
        match literal:
            case Atom() if lacks:
                return NEEDS_INFORMATION if self.status(literal.relation).is_open else NOT_MET
            case Atom():
                claim = self.claim_of(literal, values)
                answer = self.answer_for(claim)
                if answer == NEEDS_INFORMATION and not self.status(claim.relation).possible.matching(claim):
                    return answer if self.may_hold((literal,), values) else NOT_MET
                return answer
            case Truth(value=value):
                return MET if value else NOT_MET
            case Negation(atom=atom) if not lacks:
                answer = self.answer_for(self.claim_of(atom, values))
                return {MET: NOT_MET, NOT_MET: MET}.get(answer, answer)
            case Comparison() if not lacks and self.count_in(literal) is not None:
                count, operator, bound = read_count(literal)
                certain, possible, is_open = self.count(count, values)
                limit = self.value(bound, values)
                return compared(operator, len(certain), math.inf if is_open else len(possible), limit)
            case Comparison(operator=operator, left=left, right=right) if not lacks:
                one, other = self.value(left, values), self.value(right, values)
                return MET if one is not None and other is not None and COMPARE[operator](one, other) else NOT_MET
        return NOT_MET

    def can_answer(self, part: Part, values: Values) -> bool:
        """Whether a literal waits for no variable, or for one that it will never have: no row matches it, or what would
        give it the value has none."""
        if part.needs <= values.keys():
            return True
        if isinstance(part.literal, Atom):
            return self.answer_for(self.claim_of(part.literal, values)) == NOT_MET
        return self.gives(part.literal, values) is not None

    def gives(self, literal: Literal, values: Values) -> tuple[str, Expression] | None:
        """The variable to which `variable = expression` gives a value."""
        if isinstance(literal, Comparison) and literal.operator == "=" and self.count_in(literal) is None:
            for one, other in ((literal.left, literal.right), (literal.right, literal.left)):
                if isinstance(one, Variable) and one.name not in values and self.needs(other) <= values.keys():
                    return one.name, other
        return None

    def count(self, count: Aggregate, values: Values) -> tuple[set[Any], set[Any], bool]:
        """The rows counted that are certain, those that are possible, and whether there may be more."""
        inside = self.insides[id(count)]
        outer = {name: value for name, value in values.items() if name in inside.shared}
        key = (id(count), tuple(sorted(outer.items())))
        if key not in self.counts:
            def row(found: Values) -> tuple[Any, ...]:
                return tuple(sorted((name, value) for name, value in found.items() if name not in outer))

            certain = {row(found) for found in self.solve(inside.parts, outer, True, is_needed=True)}
            possible = list(self.solve(inside.parts, outer, False, is_needed=True))
            whole = {row(found) for found in possible if inside.bound <= found.keys()}
            self.counts[key] = certain, whole, any(not inside.bound <= found.keys() for found in possible)
        return self.counts[key]

    # bodies

    def begin(self, rule: Rule, claim: Claim) -> tuple[Values, Parts] | None:
        """The bindings that a claim gives to a rule's head, and what has to hold: that what the head computes is the
        claim's value, and the body. None where the head cannot give the claim."""
        values: dict[str, Value] = {}
        parts: list[Part] = []
        for argument, value in zip(rule.head.arguments, claim.values, strict=True):
            if value is None:
                continue
            if isinstance(argument, Variable):
                if values.setdefault(argument.name, value) != value:
                    return None
            elif isinstance(argument, Constant):
                if argument.value != value:
                    return None
            else:
                parts.append(self._equals(HEAD, argument, value))
        return values, (*parts, *self.bodies[rule.number])

    def _equals(self, place: int, expression: Expression, value: Value) -> Part:
        equal = Comparison("=", expression, Constant(value, expression.span), expression.span)
        return Part(place, equal, self.needs(expression))

    def rows_for(
        self, atom: Atom, place: int, values: Values, *, certain: bool, among: list[Row] | None = None
    ) -> Iterator[Match]:
        """The rows an atom can stand for, in the order of their values; or those `among` some."""
        status = self.status(atom.relation)
        if among is None:
            among = (status.certain if certain else status.possible).matching(self.claim_of(atom, values))
        for row in among:
            extended, later = dict(values), []
            for argument, value in zip(atom.arguments, row, strict=True):
                if isinstance(argument, Variable) and extended.setdefault(argument.name, value) != value:
                    break
                if isinstance(argument, Call | Aggregate) and not self.needs(argument) <= values.keys():
                    later.append(self._equals(place, argument, value))
            else:
                yield row, extended, tuple(later)

    def next_atom(self, parts: Parts, values: Values) -> Part | None:
        """The first atom whose expressions wait for nothing, or else the first."""
        atoms = [part for part in parts if isinstance(part.literal, Atom)]
        computed = (
            part for part in atoms
            if all(self.needs(a) <= values.keys() for a in sides(part.literal) if isinstance(a, Call | Aggregate))
        )
        return next(computed, atoms[0] if atoms else None)

    def solve(
        self, parts: Parts, start: Values, certain: bool, *, is_needed: bool = False,
        stop: EvaluationStopped | None = None, opened: tuple[Atom, ...] = (),
    ) -> Iterator[dict[str, Value]]:
        """The bindings under which literals hold: for certain, or in some world. In some world an open atom may leave
        its variables unbound (as those in `opened` do), and what needs them says nothing, but that some value has to be
        allowed that fulfils it.

        A literal does not hold where a value of it does not exist. Of a whole body (`is_needed`) that value refuses the
        case where all other literals hold: EvaluationStopped, which is also `stop`, found on the way."""
        values = dict(start)
        while True:
            before, waiting = len(values), []
            for part in parts:
                given = self.gives(part.literal, values)
                if given is not None and (value := self.value(given[1], values)) is not None:
                    values[given[0]] = value
                elif given is None and not part.needs <= values.keys():
                    waiting.append(part)
                elif given is not None or (answer := self.answer(part, values)) == NOT_MET or (
                    certain and answer != MET
                ):
                    why = self.why_without(part.literal, values) if is_needed else None
                    if why is None:
                        return
                    if isinstance(part.literal, Atom):
                        claim = self.claim_of(part.literal, values)
                        if not self.status(claim.relation).possible.matching(claim):
                            return
                    stop = stop or why
            parts = tuple(waiting)
            if len(values) == before:
                break
        chosen = self.next_atom(parts, values)
        if chosen is None:
            if opened and not self.may_hold(opened, values):
                return
            if stop is not None:
                raise stop
            yield values
            return
        atom = chosen.literal
        assert isinstance(atom, Atom)
        rest = tuple(part for part in parts if part is not chosen)
        why = self.why_without(atom, values)
        rows = self.rows_for(atom, chosen.place, values, certain=certain) if why is None or is_needed else ()
        tried = set()
        for row, extended, later in rows:
            key = tuple(v for a, v in zip(atom.arguments, row, strict=True) if not isinstance(a, Wildcard))
            if key not in tried:  # rows that differ in what `_` stands for alone say the same
                tried.add(key)
                yield from self.solve((*rest, *later), extended, certain, is_needed=is_needed, stop=stop or why,
                                      opened=opened)
        if not certain and self.status(atom.relation).is_open:
            yield from self.solve(rest, values, False, is_needed=is_needed, stop=stop, opened=(*opened, atom))

    def may_hold(self, opened: tuple[Atom, ...], values: Values) -> bool:
        """Whether open relations can have rows for these atoms of one body, by what their attributes allow."""
        body, outside = self.around.get(id(opened[0]), ((), frozenset()))
        rest = [literal for literal in body if not any(literal is one for one in opened)]
        firm = bound_without_counts(rest, outside, body, self.program.relations)
        asked: dict[str, list[Attribute]] = {}
        for atom in opened if body else ():
            declared = self.program.relations[atom.relation]
            for argument, attribute in zip(atom.arguments, declared.attributes, strict=True):
                if declared.is_input and isinstance(argument, Variable) and argument.name not in firm:
                    asked.setdefault(argument.name, []).append(attribute)
        known = {name: value for name, value in values.items() if name in firm}
        return all(can_be(attributes, tests_of(name, body), known) for name, attributes in asked.items())

    def each_way(self, parts: Parts, start: Values) -> Iterator[Values]:
        """The first bindings under which literals surely hold; of the first atom that still leaves a choice, for each
        row of it."""
        if next(self.solve(parts, start, True), None) is None:
            return
        values = dict(start)
        while given := next((found for part in parts if (found := self.gives(part.literal, values))), None):
            values[given[0]] = self.value(given[1], values)  # type: ignore[assignment]
        waiting = tuple(part for part in parts if not part.needs <= values.keys())
        chosen = self.next_atom(waiting, values)
        if chosen is None:
            yield values
            return
        atom, others = chosen.literal, tuple(part for part in waiting if part is not chosen)
        assert isinstance(atom, Atom)
        tried = set()
        for row, extended, later in self.rows_for(atom, chosen.place, values, certain=True):
            key = tuple(v for a, v in zip(atom.arguments, row, strict=True) if not isinstance(a, Wildcard))
            way = None if key in tried else next(self.solve((*others, *later), extended, True), None)
            tried.add(key)
            if way is not None:
                yield way

    def determined(
        self, start: Values, parts: Parts, nearly: Callable[[Claim], list[Row]] | None = None
    ) -> dict[str, Value]:
        """The bindings that are the same in every world: `variable = expression`, and atoms that are not open and that
        one row alone can match, which is certain; if `nearly` is given, only where no other row nearly does."""
        values = dict(start)
        while True:
            before = len(values)
            waiting = [part for part in parts if not part.needs <= values.keys()]
            for part in waiting:
                given = self.gives(part.literal, values)
                value = self.value(given[1], values) if given is not None else None
                if given is not None and value is not None:
                    values[given[0]] = value
            for part in waiting:
                atom = part.literal
                if isinstance(atom, Atom) and not self.status(atom.relation).is_open:
                    rows = list(self.rows_for(atom, part.place, values, certain=False))
                    is_only = len(rows) == 1 and rows[0][0] in self.status(atom.relation).certain.rows
                    if is_only and not (nearly and nearly(self.claim_of(atom, values))):
                        values = rows[0][1]
            if len(values) == before:
                return values


def with_all_named(body: tuple[Literal, ...]) -> tuple[Literal, ...]:
    """An aggregate's body in which every `_` of a positive atom is a variable: rows that differ there count apart."""
    numbers = iter(range(1, 10**9))
    return tuple(
        Atom(literal.relation, tuple(
            Variable(f"#{next(numbers)}", a.span) if isinstance(a, Wildcard) else a for a in literal.arguments
        ), literal.span) if isinstance(literal, Atom) else literal
        for literal in body
    )


def read_count(comparison: Comparison) -> tuple[Aggregate, str, Expression]:
    """A comparison with a count, the count read first."""
    left, operator, right = comparison.left, comparison.operator, comparison.right
    if isinstance(left, Aggregate):
        return left, operator, right
    assert isinstance(right, Aggregate)
    return right, {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(operator, operator), left


def compared(operator: str, least: int, most: float, bound: Value | None) -> str:
    """The answer for a number that lies between `least` and `most`."""
    assert isinstance(bound, int | Fraction)
    within, exactly = least <= bound <= most, least == bound == most
    is_certain, is_possible = {
        "=": (exactly, within),
        "!=": (not within, not exactly),
        "<": (most < bound, least < bound),
        "<=": (most <= bound, least <= bound),
        ">": (least > bound, most > bound),
        ">=": (least >= bound, most >= bound),
    }[operator]
    return MET if is_certain else NEEDS_INFORMATION if is_possible else NOT_MET


def sides(node: Expression | Literal) -> tuple[Expression, ...]:
    """The expressions that a part of a rule is made of."""
    match node:
        case Comparison(left=left, right=right):
            return left, right
        case Call(arguments=arguments) | Atom(arguments=arguments) | Negation(atom=Atom(arguments=arguments)):
            return arguments
    return ()
