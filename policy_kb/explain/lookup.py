"""What a finished model says of a literal, under bindings of its variables. Nothing is derived here."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET, answered
from policy_kb.check.cases import bound_without_counts, counts_case_rows
from policy_kb.check.checked import CheckedProgram, Rule
from policy_kb.check.safety import bound_variables, outer_variables
from policy_kb.evaluate.allowed import conditions
from policy_kb.evaluate.model import Model
from policy_kb.evaluate.plain import Rows, named_wildcards
from policy_kb.explain.proof import HEAD, Bindings, Claim
from policy_kb.expressions import COMPARE, EvaluationStopped, aggregated, call
from policy_kb.load.facts import Facts
from policy_kb.parse import tree
from policy_kb.parse.tree import Value

Row = tuple[Value, ...]
Environment = Mapping[str, Value]
Body = tuple[tree.Literal, ...]
Part = tuple[int, tree.Literal]
"""A literal with its place in the body of its rule."""
Match = tuple[Row, dict[str, Value], Body]
"""A row an atom can stand for, the bindings with those it adds, and what must equal a value of it but waits for others.
"""


class _Notes:
    """What the rules of a program need, the same for every case. Notes of a part of a rule go by its identity, so that
    there are none of what is made for the occasion.

    `needs`: the variables that must be bound before it can be evaluated; `forms`: for each argument of an atom the
    variable it is, or else the constant; `computing`: the atoms with other arguments; `aggregates`: the literals one
    reads, the variables it shares with its body, and those it binds; `entered`: the rules that notes were taken of;
    `bodies`: for an atom the body it stands in, with the variables bound outside; `allowed`: for atoms that are
    taken to be open, see `conditions`.
    """

    def __init__(self) -> None:
        self.needs: dict[int, frozenset[str]] = {}
        self.forms: dict[int, list[tuple[str | None, Value | None]]] = {}
        self.computing: set[int] = set()
        self.aggregates: dict[int, tuple[Body, frozenset[str], frozenset[str]]] = {}
        self.entered: set[int] = set()
        self.bodies: dict[int, tuple[Body, frozenset[str]]] = {}
        self.allowed: dict[tuple[int, ...], tuple[tree.Comparison, ...] | None] = {}


_ALL_NOTES: dict[int, _Notes] = {}


def _notes_of(program: CheckedProgram) -> _Notes:
    notes = _ALL_NOTES.get(id(program))
    if notes is None:
        notes = _ALL_NOTES.setdefault(id(program), _Notes())
        weakref.finalize(program, _ALL_NOTES.pop, id(program), None)
    return notes


class NoValue(Exception):  # noqa: N818
    """An expression has no value: the least of no rows, a division by zero. What compares it does not hold."""


@dataclass(frozen=True)
class Lookup:
    """The model of a case, with the rules, the known rows and the case it comes from."""

    program: CheckedProgram
    known: Rows
    facts: Facts
    model: Model
    _indexes: dict[tuple[str, bool, tuple[int, ...]], dict[Row, list[Row]]] = field(default_factory=dict)
    _notes: _Notes = field(init=False)
    _counts: dict[tuple[int, Bindings], tuple[set[Bindings], set[Bindings], bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_notes", _notes_of(self.program))

    def is_case(self, relation: str) -> bool:
        return self.program.relations[relation].is_case

    def is_open(self, relation: str) -> bool:
        return relation in self.model.open

    def claim(self, atom: tree.Atom, environment: Environment) -> Claim:
        """The atom with the values its arguments have; None where they have none yet, or none at all."""
        form = self._notes.forms.get(id(atom)) or self._form(atom)
        find = environment.get
        values = [find(name) if name is not None else value for name, value in form]
        if self._computes(atom):
            for place, argument in enumerate(atom.arguments):
                if isinstance(argument, tree.Call | tree.Aggregate) and self.needed(argument) <= environment.keys():
                    with suppress(NoValue):
                        values[place] = self.value(argument, environment)
        return Claim(atom.relation, tuple(values))

    def _form(self, atom: tree.Atom) -> list[tuple[str | None, Value | None]]:
        """Take notes of an atom."""
        form: list[tuple[str | None, Value | None]] = [
            (argument.name, None) if isinstance(argument, tree.Variable)
            else (None, argument.value if isinstance(argument, tree.Constant) else None)
            for argument in atom.arguments
        ]
        self._notes.forms[id(atom)] = form
        if any(isinstance(argument, tree.Call | tree.Aggregate) for argument in atom.arguments):
            self._notes.computing.add(id(atom))
        return form

    def _computes(self, atom: tree.Atom) -> bool:
        """Whether an argument of an atom whose form is known is an expression."""
        return id(atom) in self._notes.computing

    def rows(self, claim: Claim, *, certain: bool) -> list[Row]:
        """The rows that match a claim, in the order of their values."""
        positions = tuple([place for place, value in enumerate(claim.values) if value is not None])
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

    def matching(
        self, atom: tree.Atom, environment: Environment, *, certain: bool, among: list[Row] | None = None
    ) -> Iterator[Match]:
        """The rows an atom can stand for, in the order of their values; only those `among` some, if they are given."""
        claim = self.claim(atom, environment)
        rows = self.rows(claim, certain=certain) if among is None else among
        if rows and not self._computes(atom):
            new = [
                (place, name) for place, (name, _) in enumerate(self._notes.forms[id(atom)])
                if name is not None and name not in environment
            ]
            if len({name for _, name in new}) == len(new):
                for row in rows:
                    yield row, {**environment, **{name: row[place] for place, name in new}}, ()
                return
        for row in rows:
            extended = dict(environment)
            pending: list[tree.Literal] = []
            for argument, value in zip(atom.arguments, row, strict=True):
                if isinstance(argument, tree.Variable):
                    if extended.setdefault(argument.name, value) != value:
                        break
                elif (
                    isinstance(argument, tree.Call | tree.Aggregate)
                    and not self.needed(argument) <= environment.keys()
                ):
                    constant = tree.Constant(value, argument.span)
                    pending.append(tree.Comparison("=", argument, constant, argument.span))
            else:
                yield row, extended, tuple(pending)

    # values

    def value(self, expression: tree.Expression, environment: Environment) -> Value:
        """The value of an expression, its variables being bound. Raises NoValue where there is none."""
        match expression:
            case tree.Variable(name=name):
                return environment[name]
            case tree.Constant(value=value):
                return value
            case tree.Call(function=function, arguments=arguments, span=span):
                values = [self.value(argument, environment) for argument in arguments]
                try:
                    return call(function, values, span)
                except EvaluationStopped:
                    raise NoValue from None
            case tree.Aggregate():
                return self._known_aggregate(expression, environment)
        raise AssertionError(expression)

    def _known_aggregate(self, aggregate: tree.Aggregate, environment: Environment) -> Value:
        value, _ = self.aggregate_rows(aggregate, environment)
        if value is None:
            raise NoValue
        return value

    def aggregate_rows(
        self, aggregate: tree.Aggregate, environment: Environment
    ) -> tuple[Value | None, list[Bindings]]:
        """The value of an aggregate over known relations, and the rows it is made of: all of them, or of `min` and
        `max` those that have the value, which is None where there is none."""
        body, _, _ = self._notes.aggregates[id(aggregate)]
        found = {
            _row(inner, environment): inner
            for inner in self.solutions(tuple(enumerate(body)), dict(environment), certain=True)
        }
        target = aggregate.target
        values = {row: 0 if target is None else self.value(target, inner) for row, inner in found.items()}
        try:
            value = aggregated(aggregate, list(values.values()))
        except EvaluationStopped:
            return None, []
        is_one_of_them = aggregate.function in ("min", "max")
        return value, sorted(row for row, own in values.items() if own == value or not is_one_of_them)

    def without_value(self, literal: tree.Literal, environment: Environment) -> tree.Expression | None:
        """The first expression of a literal that has no value, its variables being bound."""
        for side in _sides(literal):
            is_count = isinstance(side, tree.Aggregate) and counts_case_rows(literal, self.program.relations)
            is_computed = isinstance(side, tree.Call | tree.Aggregate) and not is_count
            if is_computed and self.needed(side) <= environment.keys():
                try:
                    self.value(side, environment)
                except NoValue:
                    return side
        return None

    # literals

    def is_ready(self, literal: tree.Literal, environment: Environment) -> bool:
        """Whether all variables of a literal are bound."""
        return self.needed(literal) <= environment.keys()

    def needed(self, node: tree.Literal | tree.Expression) -> frozenset[str]:
        """What must be bound before a part of a rule can be evaluated."""
        found = self._notes.needs.get(id(node))
        if found is not None:
            return found
        match node:
            case tree.Variable(name=name):
                return frozenset((name,))
            case tree.Constant() | tree.Wildcard() | tree.Truth():
                return _NOTHING
            case tree.Comparison(left=left, right=right):
                return self.needed(left) | self.needed(right)
            case tree.Negation(atom=atom):
                return self.needed(atom)
            case tree.Aggregate():
                return self._notes.aggregates[id(node)][1]
        return _NOTHING.union(*map(self.needed, node.arguments))

    def _enter(self, body: Body, outside: frozenset[str]) -> None:
        """Take notes of a body, variables `outside` being bound from the start."""
        for literal in body:
            if isinstance(literal, tree.Atom):
                self._notes.bodies[id(literal)] = body, outside
            for aggregate in tree.aggregates(literal):
                inner = named_wildcards(aggregate.body)
                self._notes.aggregates[id(aggregate)] = inner, outer_variables(aggregate, body), bound_variables(inner)
                self._enter(inner, self._notes.aggregates[id(aggregate)][1])
        for literal in body:
            self._notes.needs[id(literal)] = self.needed(literal)
            for side in _sides(literal):
                self._notes.needs[id(side)] = self.needed(side)

    def can_answer(self, literal: tree.Literal, environment: Environment) -> bool:
        """Whether a literal can be answered by itself: its variables are bound, or will never be: it is an atom that no
        row matches, or gives a variable the value of what has none."""
        if self.is_ready(literal, environment):
            return True
        if isinstance(literal, tree.Atom):
            return self.answer(self.claim(literal, environment)) == NOT_MET
        return self.assignment(literal, environment) is not None

    def determined(
        self, start: Environment, parts: tuple[Part, ...], missed: Callable[[Claim], list[Row]] | None = None
    ) -> dict[str, Value]:
        """The bindings that leave no choice: `x = expression`, and atoms that one certain row alone can match; not
        where another row comes near it (`missed`), if those are asked for."""
        environment = dict(start)
        unbound = [literal for _, literal in parts]
        while True:
            before = len(environment)
            unbound = [literal for literal in unbound if not self.is_ready(literal, environment)]
            for literal in unbound:
                given = self.assignment(literal, environment)
                if given is not None:
                    with suppress(NoValue):
                        environment[given[0]] = self.value(given[1], environment)
            for literal in unbound:
                only = self._only_row(literal, environment, missed) if isinstance(literal, tree.Atom) else None
                environment = environment if only is None else only
            if len(environment) == before:
                return environment

    def _only_row(
        self, atom: tree.Atom, environment: dict[str, Value], missed: Callable[[Claim], list[Row]] | None
    ) -> dict[str, Value] | None:
        """The bindings that an atom adds which one certain row alone can match."""
        if self.is_open(atom.relation):
            return None
        found = list(islice(self.matching(atom, environment, certain=False), 2))
        if len(found) != 1 or (missed is not None and missed(self.claim(atom, environment))):
            return None
        row, extended, _ = found[0]
        return extended if self.answer(Claim(atom.relation, row)) == MET else None

    def equated(self, parts: tuple[Part, ...], environment: dict[str, Value]) -> bool:
        """Add to the bindings what `variable = expression` gives; False where that has no value."""
        while True:
            before = len(environment)
            for _, literal in parts:
                given = self.assignment(literal, environment)
                if given is not None:
                    try:
                        environment[given[0]] = self.value(given[1], environment)
                    except NoValue:
                        return False
            if len(environment) == before:
                return True

    def assignment(self, literal: tree.Literal, environment: Environment) -> tuple[str, tree.Expression] | None:
        """The variable that `variable = expression` gives a value to, if the literal does so."""
        if not isinstance(literal, tree.Comparison) or literal.operator != "=":
            return None
        for one, other in ((literal.left, literal.right), (literal.right, literal.left)):
            is_new = isinstance(one, tree.Variable) and one.name not in environment
            if is_new and self.needed(other) <= environment.keys() and self.counted(literal) is None:
                return one.name, other  # type: ignore[union-attr]
        return None

    def literal_answer(self, literal: tree.Literal, environment: Environment) -> str:
        """The answer for a literal whose variables are bound; an atom's unbound ones stand for any value."""
        try:
            match literal:
                case tree.Atom():
                    claim = self.claim(literal, environment)
                    if self._computes(literal) and self.without_value(literal, environment) is not None:
                        return NEEDS_INFORMATION if self.is_open(literal.relation) else NOT_MET
                    answer = self.answer(claim)
                    if answer == NEEDS_INFORMATION and not self.rows(claim, certain=False):
                        return answer if self._may_hold((literal,), environment) else NOT_MET
                    return answer
                case tree.Negation(atom=atom):
                    claim = self.claim(atom, environment)
                    if self._computes(atom) and self.without_value(literal, environment) is not None:
                        return NOT_MET
                    positive = self.answer(claim)
                    return {MET: NOT_MET, NOT_MET: MET}.get(positive, positive)
                case tree.Truth(value=value):
                    return MET if value else NOT_MET
                case tree.Comparison():
                    if self.counted(literal) is not None:
                        return self._count_answer(literal, environment)
                    if not self.is_ready(literal, environment):
                        return NOT_MET  # gives a variable the value of what has none
                    left, right = self.value(literal.left, environment), self.value(literal.right, environment)
                    return MET if COMPARE[literal.operator](left, right) else NOT_MET
        except NoValue:
            return NOT_MET
        raise AssertionError(literal)

    # bodies

    def solutions(
        self, parts: tuple[Part, ...], environment: Environment, *, certain: bool, opened: tuple[tree.Atom, ...] = ()
    ) -> Iterator[dict[str, Value]]:
        """The bindings under which all literals hold, atoms being taken in the order in which they are written.

        Unless they are to be `certain`, an open atom may also leave its variables unbound (`opened` are those that do),
        and then of what depends on them it is only asked that some allowed value fulfils it.
        """
        bound = dict(environment)
        waiting = self.tested(parts, bound, certain=certain)
        if waiting is None:
            return
        chosen = self.next_atom(waiting, bound)
        if chosen is None:
            if not opened or self._may_hold(opened, bound):
                yield bound
            return
        for later, extended in self._branches(waiting, chosen, bound, certain=certain):
            yield from self.solutions(later, extended, certain=certain, opened=opened)
        atom = chosen[1]
        if not certain and self.is_open(atom.relation):
            rest = tuple(part for part in waiting if part is not chosen)
            yield from self.solutions(rest, bound, certain=False, opened=(*opened, atom))

    def _may_hold(self, opened: tuple[tree.Atom, ...], environment: Environment) -> bool:
        """Whether open relations may hold what a body asks of them in these atoms."""
        key = tuple(map(id, opened))
        if key[0] not in self._notes.bodies:
            return True
        if key not in self._notes.allowed:
            body, outside = self._notes.bodies[id(opened[0])]
            places = [place for place, literal in enumerate(body) if id(literal) in key]
            kept = [literal for place, literal in enumerate(body) if place not in places]
            bound = bound_without_counts(kept, outside, body, self.program.relations)
            self._notes.allowed[key] = conditions(body, places, bound, self.program.relations)
        found = self._notes.allowed[key]
        return found is not None and all(
            COMPARE[one.operator](self.value(one.left, environment), self.value(one.right, environment))
            for one in found if self.needed(one) <= environment.keys()
        )

    def ways(self, parts: tuple[Part, ...], environment: Environment) -> Iterator[dict[str, Value]]:
        """Of the bindings under which all literals certainly hold the first for each row of the atom that comes first
        of those that leave a choice."""
        bound = dict(environment)
        waiting = self.tested(parts, bound, certain=True)
        chosen = None if waiting is None else self.next_atom(waiting, bound)
        if waiting is None or chosen is None:
            yield from [] if waiting is None else [bound]
            return
        for later, extended in self._branches(waiting, chosen, bound, certain=True):
            yield from islice(self.solutions(later, extended, certain=True), 1)

    def _branches(
        self, waiting: tuple[Part, ...], chosen: tuple[int, tree.Atom], bound: Environment, *, certain: bool
    ) -> Iterator[tuple[tuple[Part, ...], dict[str, Value]]]:
        """For each row of an atom that differs in what the atom asks for: the literals that then wait, and the
        bindings."""
        place, atom = chosen
        rest = tuple(part for part in waiting if part is not chosen)
        named = [number for number, argument in enumerate(atom.arguments) if not isinstance(argument, tree.Wildcard)]
        seen = set()
        for row, extended, pending in self.matching(atom, bound, certain=certain):
            key = tuple([row[number] for number in named])
            if key not in seen:
                seen.add(key)
                yield (*rest, *((place, p) for p in pending)), extended

    def tested(
        self, parts: tuple[Part, ...], environment: dict[str, Value], *, certain: bool
    ) -> tuple[Part, ...] | None:
        """The literals that wait for values, once all others hold; None where one does not. Adds to the bindings what
        `variable = expression` gives."""
        while True:
            before = len(environment)
            waiting = []
            for part in parts:
                literal = part[1]
                given = self.assignment(literal, environment)
                if given is not None:
                    try:
                        environment[given[0]] = self.value(given[1], environment)
                    except NoValue:
                        return None
                elif not self.is_ready(literal, environment):
                    waiting.append(part)
                else:
                    answer = self.literal_answer(literal, environment)
                    if answer == NOT_MET or (certain and answer != MET):
                        return None
            parts = tuple(waiting)
            if len(environment) == before:
                return parts

    def next_atom(self, parts: tuple[Part, ...], environment: Environment) -> tuple[int, tree.Atom] | None:
        """The atom whose rows come next: the first the expressions of which have values, or else the first."""
        first = None
        for part in parts:
            literal = part[1]
            if isinstance(literal, tree.Atom):
                if all(
                    self.needed(argument) <= environment.keys()
                    for argument in literal.arguments
                    if isinstance(argument, tree.Call | tree.Aggregate)
                ):
                    return part  # type: ignore[return-value]
                first = first or part
        return first  # type: ignore[return-value]

    # counts over what a case says

    def counted(self, comparison: tree.Comparison) -> tree.Aggregate | None:
        """The count over what a case says that a comparison contains, if any."""
        for side in (comparison.left, comparison.right):
            if isinstance(side, tree.Aggregate) and counts_case_rows(comparison, self.program.relations):
                return side
        return None

    def _count_answer(self, comparison: tree.Comparison, environment: Environment) -> str:
        count, operator, bound_side = tree.count_parts(comparison)
        certain, possible, is_open = self.count_rows(count, environment)
        return compared_count(
            operator, len(certain), None if is_open else len(possible), self.value(bound_side, environment)
        )

    def count_rows(
        self, count: tree.Aggregate, environment: Environment
    ) -> tuple[set[Bindings], set[Bindings], bool]:
        """The rows counted that are certain, those that are possible, and whether there may be further ones."""
        inner, shared, bound = self._notes.aggregates[id(count)]
        outer = {name: value for name, value in environment.items() if name in shared}
        key = (id(count), tuple(sorted(outer.items())))
        if key not in self._counts:
            parts = tuple(enumerate(inner))
            certain = {_row(found, outer) for found in self.solutions(parts, outer, certain=True)}
            possible = set()
            is_open = False
            for found in self.solutions(parts, outer, certain=False):
                if bound <= found.keys():
                    possible.add(_row(found, outer))
                else:
                    is_open = True
            self._counts[key] = certain, possible, is_open
        return self._counts[key]

    def literals_counted(self, count: tree.Aggregate) -> Body:
        """The literals counted, every `_` with a name."""
        return self._notes.aggregates[id(count)][0]

    def begin(self, rule: Rule, claim: Claim) -> tuple[dict[str, Value], tuple[Part, ...]] | None:
        """The bindings under which a rule's head matches a claim, and what must hold for it: what the head computes
        equals the claim's value, and the body. None where the head cannot match."""
        if rule.number not in self._notes.entered:
            self._notes.entered.add(rule.number)
            self._enter(rule.body, tree.names(rule.head.arguments[0]) if rule.head.arguments else _NOTHING)
        result: dict[str, Value] = {}
        computed: list[Part] = []
        for argument, value in zip(rule.head.arguments, claim.values, strict=True):
            if value is None:
                continue
            if isinstance(argument, tree.Variable):
                if result.setdefault(argument.name, value) != value:
                    return None
            elif isinstance(argument, tree.Constant):
                if argument.value != value:
                    return None
            else:
                constant = tree.Constant(value, argument.span)
                computed.append((HEAD, tree.Comparison("=", argument, constant, argument.span)))
        return result, (*computed, *enumerate(rule.body))


_NOTHING: frozenset[str] = frozenset()


def _sides(literal: tree.Literal) -> tuple[tree.Expression, ...]:
    """The expressions that a literal is made of."""
    match literal:
        case tree.Comparison(left=left, right=right):
            return left, right
        case tree.Atom(arguments=arguments) | tree.Negation(atom=tree.Atom(arguments=arguments)):
            return arguments
    return ()


def merged(parts: tuple[Part, ...], place: int, pending: Body) -> tuple[Part, ...]:
    """The literals that remain after an atom, and what it left to be computed, at its place."""
    if not pending:
        return parts
    return tuple(sorted((*parts, *((place, literal) for literal in pending)), key=lambda part: part[0]))


def _row(found: Environment, outer: Environment) -> Bindings:
    return tuple(sorted((name, value) for name, value in found.items() if name not in outer))


def compared_count(operator: str, least: int, most: int | None, bound: Value) -> str:
    """The answer for a number of rows between `least` and `most` (None: no bound)."""
    number = bound
    assert isinstance(number, int | Fraction)
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
