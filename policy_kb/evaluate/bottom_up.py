"""An engine that works from the facts upwards, stratum by stratum, each to its least fixpoint (semi-naive).

It evaluates the recursion among known relations, where a top-down engine would be slow, and is the second opinion that
the pyDatalog engine is tested against.

Every rule is compiled once into a chain of steps, one for each thing its body asks. A step works on a *frame*, a list
with a slot for each value of the rule: it looks up rows or computes a value, writes what it found into the slots, and
calls the next step for each. The last step takes the head's row down in slot 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

from policy_kb.check.safety import bound_variables, outer_variables
from policy_kb.evaluate.plain import PlainProgram, PlainRule, Row, Rows, assigned, in_order, lifted, named_wildcards
from policy_kb.evaluate.values import COMPARE, aggregated, call
from policy_kb.parse import tree
from policy_kb.parse.tree import Value

Frame = list[Any]
Positions = tuple[int, ...]


class _Table:
    """The rows of a relation, with an index for every set of positions it is asked by."""

    def __init__(self, rows: Iterable[Row] = ()):
        self.rows: set[Row] = set(rows)
        self._indexes: dict[Positions, dict[Any, list[Row]]] = {}

    def add(self, rows: set[Row]) -> None:
        """Add rows that are new to the table."""
        self.rows |= rows
        for positions, index in self._indexes.items():
            _enter(index, positions, rows)

    def index(self, positions: Positions) -> dict[Any, list[Row]]:
        """The rows by their values at some positions: a single value, or a tuple where there are several positions."""
        index = self._indexes.get(positions)
        if index is None:
            index = self._indexes[positions] = {}
            _enter(index, positions, self.rows)
        return index


def _enter(index: dict[Any, list[Row]], positions: Positions, rows: Iterable[Row]) -> None:
    key = itemgetter(*positions)
    for row in rows:
        index.setdefault(key(row), []).append(row)


Tables = dict[str, _Table]
Step = Callable[[Frame, Tables], None]

_CHANGED = "changed rows"
"""The table of the rows that the last round found; no relation has a blank in its name."""


class BottomUp:
    """Runs a plain program. `known` are rows that every evaluation shares."""

    def __init__(self, program: PlainProgram, known: Rows | None = None):
        self._program = program
        self._known = {name: _Table(rows) for name, rows in (known or {}).items() if name in program.arities}
        self._strata = [
            [rule for rule in program.rules if rule.head.relation in stratum] for stratum in program.strata
        ]
        self._compiled: dict[tuple[int, int | None], _Compiled] = {}

    def evaluate(self, given: Rows) -> dict[str, set[Row]]:
        """All rows of all relations."""
        derived = {rule.head.relation for rule in self._program.rules}
        tables: Tables = {}
        for name in self._program.arities:
            known = self._known.get(name)
            if known is not None and name not in derived and not given.get(name):
                tables[name] = known
            else:
                tables[name] = _Table({*(known.rows if known else ()), *given.get(name, ())})
        for stratum, rules in zip(self._program.strata, self._strata, strict=True):
            if rules:
                self._fixpoint(frozenset(stratum), rules, tables)
        return {name: tables[name].rows for name in self._program.arities}

    def _fixpoint(self, stratum: frozenset[str], rules: list[PlainRule], tables: Tables) -> None:
        changed: dict[str, set[Row]] = {}
        for rule in rules:
            new = self._derive(rule, None, tables)
            if new:
                tables[rule.head.relation].add(new)
                changed.setdefault(rule.head.relation, set()).update(new)
        recursive = [
            (rule, place, literal.relation)
            for rule in rules
            for place, literal in enumerate(rule.body)
            if isinstance(literal, tree.Atom) and literal.relation in stratum
        ]
        while changed and recursive:
            found: dict[str, set[Row]] = {}
            for relation, rows in changed.items():
                tables[_CHANGED] = _Table(rows)
                for rule, place, source in recursive:
                    if source == relation:
                        found.setdefault(rule.head.relation, set()).update(self._derive(rule, place, tables))
            changed = {name: rows for name, rows in found.items() if rows}
            for name, rows in changed.items():
                tables[name].add(rows)

    def _derive(self, rule: PlainRule, place: int | None, tables: Tables) -> set[Row]:
        """The new rows of the head; the atom at `place` reads the rows that changed."""
        key = (id(rule), place)
        if key not in self._compiled:
            self._compiled[key] = _Compiled(rule, place)
        return self._compiled[key].run(tables)


class _Compiled:
    """One rule as a chain of steps; the atom at `place`, if one is named, reads the changed rows and comes first."""

    def __init__(self, rule: PlainRule, place: int | None):
        self._template: Frame = [None]
        self._memories: list[int] = []
        whole = (*rule.body, rule.head)
        slots: dict[str, int] = {}
        if place is None:
            first, body = [], list(rule.body)
        else:
            source = rule.body[place]
            assert isinstance(source, tree.Atom)
            atom, equalities = lifted(source, whole)
            first = [tree.Atom(_CHANGED, atom.arguments, atom.span)]
            body = [*equalities, *rule.body[:place], *rule.body[place + 1 :]]
        bound = frozenset(name for literal in first for name in tree.names(literal))
        steps = self._steps([*first, *in_order(body, bound, whole)], slots, whole)
        head = rule.head.relation
        row = _row([self._slot(argument, slots, whole, steps) for argument in rule.head.arguments])

        def take_down(frame: Frame, tables: Tables) -> None:
            found = row(frame)
            if found not in tables[head].rows:
                frame[0].add(found)

        self._first = _chain(steps, take_down)

    def run(self, tables: Tables) -> set[Row]:
        """The rows of the head that its table has not yet."""
        frame = list(self._template)
        frame[0] = set()
        for memory in self._memories:
            frame[memory] = {}
        self._first(frame, tables)
        found: set[Row] = frame[0]
        return found

    def _new(self, value: Any = None) -> int:
        self._template.append(value)
        return len(self._template) - 1

    def _steps(
        self, ordered: Iterable[tree.Literal], slots: dict[str, int], whole: tuple[tree.Literal, ...]
    ) -> list[Callable[[Step], Step]]:
        """What has to be done for the literals, each given what comes next. `slots` says where the variables bound so
        far have their values."""
        steps: list[Callable[[Step], Step]] = []
        for literal in ordered:
            match literal:
                case tree.Truth(value=value):
                    if not value:
                        steps.append(lambda then: lambda frame, tables: None)
                case tree.Atom():
                    self._atom(literal, slots, whole, steps)
                case tree.Negation(atom=atom):
                    positions, values = self._bound(atom, slots, whole, steps)
                    steps.append(_exists(atom.relation, positions, values, len(atom.arguments), wanted=False))
                case tree.Comparison(operator=operator, left=left, right=right):
                    name = assigned(literal, slots.keys(), whole)
                    if name is not None:
                        other = right if isinstance(left, tree.Variable) and left.name == name else left
                        slots[name] = self._slot(other, slots, whole, steps)
                    else:
                        one, two = (self._slot(side, slots, whole, steps) for side in (left, right))
                        steps.append(_compared(operator, one, two))
        return steps

    def _atom(
        self, atom: tree.Atom, slots: dict[str, int], whole: tuple[tree.Literal, ...],
        steps: list[Callable[[Step], Step]],
    ) -> None:
        positions, values = self._bound(atom, slots, whole, steps)
        free: dict[str, int] = {}
        twice: list[tuple[int, str]] = []
        for position, argument in enumerate(atom.arguments):
            if isinstance(argument, tree.Variable) and position not in positions:
                if argument.name in free:
                    twice.append((position, argument.name))
                free.setdefault(argument.name, position)
        if not free:
            steps.append(_exists(atom.relation, positions, values, len(atom.arguments), wanted=True))
            return
        start = len(self._template)
        slots.update((name, self._new()) for name in free)
        read = [*free.values()]
        again = []
        for position, name in twice:
            read.append(position)
            again.append((self._new(), slots[name]))
        steps.append(_each(atom.relation, positions, values, read, start))
        for one, two in again:
            steps.append(_compared("=", one, two))

    def _bound(
        self, atom: tree.Atom, slots: dict[str, int], whole: tuple[tree.Literal, ...],
        steps: list[Callable[[Step], Step]],
    ) -> tuple[Positions, list[int]]:
        """The positions of an atom whose values are known before its rows are looked up, and the slots of these."""
        positions: list[int] = []
        values: list[int] = []
        for position, argument in enumerate(atom.arguments):
            is_free = isinstance(argument, tree.Variable) and argument.name not in slots
            if not is_free and not isinstance(argument, tree.Wildcard):
                positions.append(position)
                values.append(self._slot(argument, slots, whole, steps))
        return tuple(positions), values

    def _slot(
        self, expression: tree.Expression, slots: dict[str, int], whole: tuple[tree.Literal, ...],
        steps: list[Callable[[Step], Step]],
    ) -> int:
        """The slot with the expression's value; steps that compute it are added where it has to be computed."""
        match expression:
            case tree.Constant(value=value):
                return self._new(value)
            case tree.Variable(name=name):
                return slots[name]
            case tree.Call(function=function, arguments=arguments, span=span):
                parts = [self._slot(argument, slots, whole, steps) for argument in arguments]
                result = self._new()

                def compute(frame: Frame, tables: Tables) -> Value:
                    return call(function, [frame[part] for part in parts], span)

                steps.append(_computed(result, compute))
                return result
            case tree.Aggregate():
                return self._aggregate(expression, slots, whole, steps)
        raise AssertionError(f"no value: {expression}")

    def _aggregate(
        self, aggregate: tree.Aggregate, slots: dict[str, int], whole: tuple[tree.Literal, ...],
        steps: list[Callable[[Step], Step]],
    ) -> int:
        """The slot with an aggregate's value. It is computed once for all values of the variables it shares."""
        shared = outer_variables(aggregate, whole)
        outer = [slots[name] for name in sorted(shared)]
        body = named_wildcards(aggregate.body)
        inside = {name: slots[name] for name in shared}
        inner_whole = (*body, *whole)
        inner = self._steps(in_order(body, shared, inner_whole), inside, inner_whole)
        found, memory, result = self._new(), self._new(), self._new()
        self._memories.append(memory)
        target = None
        if aggregate.target is not None:
            target = self._slot(aggregate.target, inside, inner_whole, inner)
        row = _row([inside[name] for name in sorted(bound_variables(body, shared) - shared)])

        def collect(frame: Frame, tables: Tables) -> None:
            frame[found][row(frame)] = None if target is None else frame[target]

        first = _chain(inner, collect)
        place, function = _row(outer), aggregate.function

        def compute(frame: Frame, tables: Tables) -> Value | None:
            known: dict[Row, Value | None] = frame[memory]
            where = place(frame)
            if where not in known:
                frame[found] = {}
                first(frame, tables)
                known[where] = aggregated(function, list(frame[found].values()))
            return known[where]

        steps.append(_computed(result, compute))
        return result


def _chain(steps: list[Callable[[Step], Step]], last: Step) -> Step:
    for step in reversed(steps):
        last = step(last)
    return last


def _row(slots: list[int]) -> Callable[[Frame], Row]:
    """What reads a row from the slots."""
    match slots:
        case []:
            return lambda frame: ()
        case [slot]:
            return lambda frame: (frame[slot],)
    return itemgetter(*slots)


def _exists(
    relation: str, positions: Positions, values: list[int], arity: int, *, wanted: bool
) -> Callable[[Step], Step]:
    """Go on if a row has the values at the positions (or, if not `wanted`, if none has)."""
    row = _row(values)
    key = itemgetter(*values) if values else None

    def step(then: Step) -> Step:
        def whole_row(frame: Frame, tables: Tables) -> None:
            if (row(frame) in tables[relation].rows) is wanted:
                then(frame, tables)

        def any_row(frame: Frame, tables: Tables) -> None:
            if bool(tables[relation].rows) is wanted:
                then(frame, tables)

        def part_of_row(frame: Frame, tables: Tables) -> None:
            if (key(frame) in tables[relation].index(positions)) is wanted:  # type: ignore[misc]
                then(frame, tables)

        return whole_row if len(positions) == arity else part_of_row if positions else any_row

    return step


def _each(
    relation: str, positions: Positions, values: list[int], read: list[int], start: int
) -> Callable[[Step], Step]:
    """Go on for each row with the values at the positions; what `read` names goes into the slots from `start` on."""
    key = itemgetter(*values) if values else None
    end = start + len(read)
    pick = itemgetter(*read)

    def rows(frame: Frame, tables: Tables) -> Iterable[Row]:
        table = tables[relation]
        return table.index(positions).get(key(frame), ()) if key else table.rows

    def step(then: Step) -> Step:
        def one_value(frame: Frame, tables: Tables) -> None:
            for row in rows(frame, tables):
                frame[start] = pick(row)
                then(frame, tables)

        def several_values(frame: Frame, tables: Tables) -> None:
            for row in rows(frame, tables):
                frame[start:end] = pick(row)
                then(frame, tables)

        return one_value if len(read) == 1 else several_values

    return step


def _compared(operator: str, left: int, right: int) -> Callable[[Step], Step]:
    test = COMPARE[operator]

    def step(then: Step) -> Step:
        def compare(frame: Frame, tables: Tables) -> None:
            if test(frame[left], frame[right]):
                then(frame, tables)

        return compare

    return step


def _computed(result: int, compute: Callable[[Frame, Tables], Value | None]) -> Callable[[Step], Step]:
    """Go on with the value, if there is one: nothing has no least or greatest value."""

    def step(then: Step) -> Step:
        def computed(frame: Frame, tables: Tables) -> None:
            value = compute(frame, tables)
            if value is not None:
                frame[result] = value
                then(frame, tables)

        return computed

    return step
