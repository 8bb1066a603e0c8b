"""An engine that works from the facts upwards, stratum by stratum, each to its least fixpoint (semi-naive).

It evaluates the recursion among known relations, where a top-down engine would be slow, and is the second opinion that
the pyDatalog engine is tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from policy_kb.check.safety import outer_variables
from policy_kb.evaluate.plain import PlainProgram, PlainRule, Rows, assigned, in_order, named_wildcards
from policy_kb.evaluate.values import COMPARE, aggregated, call, value_of
from policy_kb.parse import tree
from policy_kb.parse.tree import Value

Row = tuple[Value, ...]
Environment = dict[str, Value]
Solve = Callable[[Environment], Iterator[Environment]]


class _Relation:
    """The rows of a relation, with an index for every set of positions it is asked by."""

    def __init__(self, rows: Iterable[Row] = ()):
        self.rows: set[Row] = set(rows)
        self.indexes: dict[tuple[int, ...], dict[Row, list[Row]]] = {}

    def add(self, rows: Iterable[Row]) -> None:
        self.rows.update(rows)
        for positions, index in self.indexes.items():
            for row in rows:
                index.setdefault(tuple(row[p] for p in positions), []).append(row)

    def matching(self, positions: tuple[int, ...], values: Row) -> Iterable[Row]:
        if not positions:
            return tuple(self.rows)
        index = self.indexes.get(positions)
        if index is None:
            index = self.indexes[positions] = {}
            for row in self.rows:
                index.setdefault(tuple(row[p] for p in positions), []).append(row)
        return index.get(values, ())


class BottomUp:
    """Runs a plain program. `known` are rows that every evaluation shares."""

    def __init__(self, program: PlainProgram, known: Rows | None = None):
        self.program = program
        self.known = {name: _Relation(rows) for name, rows in (known or {}).items() if name in program.arities}
        self.strata = [
            [rule for rule in program.rules if rule.head.relation in stratum] for stratum in program.strata
        ]
        self.ordered: dict[tuple[int, int | None], list[tree.Literal]] = {}

    def evaluate(self, given: Rows) -> dict[str, set[Row]]:
        """All rows of all relations. The rows of `known` are not repeated unless rules or `given` add to them."""
        state = {name: self.known.get(name) or _Relation() for name in self.program.arities}
        derived = {rule.head.relation for rule in self.program.rules}
        for name in self.program.arities:
            if name in given or (name in derived and name in self.known):
                state[name] = _Relation({*state[name].rows, *given.get(name, ())})
        for stratum, rules in zip(self.program.strata, self.strata, strict=True):
            if rules:
                self._fixpoint(set(stratum), rules, state)
        return {name: relation.rows for name, relation in state.items()}

    def _fixpoint(self, stratum: set[str], rules: list[PlainRule], state: dict[str, _Relation]) -> None:
        delta: dict[str, _Relation] = {}
        for rule in rules:
            new = self._derive(rule, None, state, {}) - state[rule.head.relation].rows
            if new:
                state[rule.head.relation].add(new)
                delta.setdefault(rule.head.relation, _Relation()).add(new)
        recursive = [
            (rule, place)
            for rule in rules
            for place, literal in enumerate(rule.body)
            if isinstance(literal, tree.Atom) and literal.relation in stratum
        ]
        while delta and recursive:
            found: dict[str, set[Row]] = {}
            for rule, place in recursive:
                source = rule.body[place]
                assert isinstance(source, tree.Atom)
                if source.relation in delta:
                    rows = self._derive(rule, place, state, delta) - state[rule.head.relation].rows
                    if rows:
                        found.setdefault(rule.head.relation, set()).update(rows)
            delta = {}
            for name, rows in found.items():
                state[name].add(rows)
                delta[name] = _Relation(rows)

    def _derive(
        self, rule: PlainRule, place: int | None, state: dict[str, _Relation], delta: dict[str, _Relation]
    ) -> set[Row]:
        """The head's rows; the atom at `place` is read from `delta`."""
        key = (id(rule), place)
        if key not in self.ordered:
            first = [rule.body[place]] if place is not None else []
            rest = [literal for index, literal in enumerate(rule.body) if index != place]
            bound = frozenset(tree.names(first[0])) if first else frozenset()
            self.ordered[key] = [*first, *in_order(rest, bound, rule.body)]
        ordered = self.ordered[key]
        result: set[Row] = set()
        arguments = rule.head.arguments
        plain = [argument.name for argument in arguments if isinstance(argument, tree.Variable)]
        changed = delta[ordered[0].relation] if place is not None else None  # type: ignore[union-attr]
        for environment in solve(ordered, {}, state, (*rule.body, rule.head), changed):
            if len(plain) == len(arguments):
                result.add(tuple([environment[name] for name in plain]))
            else:
                result.add(tuple(_value(argument, environment, state, (*rule.body, rule.head))
                                 for argument in arguments))
        return result


def solve(
    ordered: list[tree.Literal],
    environment: Environment,
    state: dict[str, _Relation],
    whole: tuple[tree.Literal, ...],
    delta: _Relation | None = None,
) -> Iterator[Environment]:
    """The bindings under which all literals hold; the first is read from `delta` where that is given."""
    if not ordered:
        yield environment
        return
    literal, rest = ordered[0], ordered[1:]
    match literal:
        case tree.Atom():
            for extended in _matches(literal, environment, delta or state[literal.relation], state, whole):
                yield from solve(rest, extended, state, whole)
        case tree.Negation(atom=atom):
            if next(_matches(atom, environment, state[atom.relation], state, whole), None) is None:
                yield from solve(rest, environment, state, whole)
        case tree.Truth(value=value):
            if value:
                yield from solve(rest, environment, state, whole)
        case tree.Comparison():
            name = assigned(literal, environment.keys(), whole)  # type: ignore[arg-type]
            if name is not None:
                is_left = isinstance(literal.left, tree.Variable) and literal.left.name == name
                value = _value(literal.right if is_left else literal.left, environment, state, whole)
                if value is not None:
                    yield from solve(rest, {**environment, name: value}, state, whole)
                return
            left = _value(literal.left, environment, state, whole)
            right = _value(literal.right, environment, state, whole)
            if left is not None and right is not None and COMPARE[literal.operator](left, right):
                yield from solve(rest, environment, state, whole)


def _matches(
    atom: tree.Atom,
    environment: Environment,
    relation: _Relation,
    state: dict[str, _Relation],
    whole: tuple[tree.Literal, ...],
) -> Iterator[Environment]:
    positions: list[int] = []
    values: list[Any] = []
    free: list[tuple[int, str]] = []
    for position, argument in enumerate(atom.arguments):
        if isinstance(argument, tree.Wildcard):
            continue
        if isinstance(argument, tree.Variable) and argument.name not in environment:
            free.append((position, argument.name))
        else:
            positions.append(position)
            values.append(_value(argument, environment, state, whole))
    for row in relation.matching(tuple(positions), tuple(values)):
        extended = dict(environment)
        for position, name in free:
            if extended.setdefault(name, row[position]) != row[position]:
                break
        else:
            yield extended


def _value(
    expression: tree.Expression,
    environment: Environment,
    state: dict[str, _Relation],
    whole: tuple[tree.Literal, ...],
) -> Value | None:
    """The value of an expression; None for the least or greatest of nothing."""
    match expression:
        case tree.Aggregate():
            return _aggregate(expression, environment, state, whole)
        case tree.Call(function=function, arguments=arguments, span=span):
            values = [_value(argument, environment, state, whole) for argument in arguments]
            if any(value is None for value in values):
                return None
            return call(function, values, span)  # type: ignore[arg-type]
    return value_of(expression, environment)


def _aggregate(
    aggregate: tree.Aggregate,
    environment: Environment,
    state: dict[str, _Relation],
    whole: tuple[tree.Literal, ...],
) -> Value | None:
    shared = outer_variables(aggregate, whole)
    start = {name: value for name, value in environment.items() if name in shared}
    body = named_wildcards(aggregate.body)
    ordered = in_order(body, frozenset(start), body)
    found = {tuple(sorted(inner.items())): inner for inner in solve(ordered, start, state, body)}
    target = aggregate.target
    if target is None:
        return len(found)
    values = [_value(target, inner, state, body) for inner in found.values()]
    return aggregated(aggregate.function, [value for value in values if value is not None])
