"""An engine that works from the facts upwards, stratum by stratum, each to its least fixpoint (semi-naive).

It evaluates the recursion among known relations, where a top-down engine would be slow, and is the second opinion that
the pyDatalog engine is tested against.

Every rule is compiled once. It works on a *frame*, a list with a slot for each value of the rule: a *check* asks
something of the values there, or computes a further one; a *search* goes on for every row that it finds, its values
written into their slots. The last step takes the head's row down in slot 0. Slot 1 counts the rows looked at.

In the slot of a value that does not exist stands why (`EvaluationStopped`). It denies no literal: only where all else
that a body says holds is the value needed, and then the evaluation stops. So the order of literals never counts. Slot 2
has the first reason to stop. Where a value by which rows are looked up does not exist, slot 3 says so, and the rule is
run again, slowly: with the rows found first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from operator import itemgetter
from typing import Any

from policy_kb import numbers
from policy_kb.check.safety import bound_variables, outer_variables
from policy_kb.evaluate.plain import (
    NoValue,
    PlainProgram,
    PlainRule,
    Row,
    Rows,
    TooManyRows,
    assignment,
    in_order,
    lifted,
    named_wildcards,
)
from policy_kb.expressions import COMPARE, EvaluationStopped, WholeNumber, aggregated, call, compared, limited_texts
from policy_kb.parse import tree
from policy_kb.parse.tree import Value
from policy_kb.source import Span

MOST_ROWS = 5_000_000
"""Rows of one relation; a program that derives more is stopped before it takes all memory."""

MOST_LOOKED_AT = 50_000_000
"""Rows that one rule looks at, each as often as it does: many rows of a case that a rule compares with each other would
else take hours."""

MOST_ROUNDS = 1_000_000
"""Steps of a recursion, each from the rows of the one before: where there is no end, one row may follow the other."""

Frame = list[Any]
Positions = tuple[int, ...]
_Index = dict[Any, dict[Any, None]]


class _Table:
    """The rows of a relation, with an index for every set of positions it is asked by, and of those that are read."""

    def __init__(self, rows: Iterable[Row] = ()):
        self.rows: set[Row] = set(rows)
        self._indexes: dict[tuple[Positions, Positions], _Index] = {}

    def add(self, rows: set[Row]) -> None:
        """Add rows that are new to the table."""
        self.rows |= rows
        for (positions, read), index in self._indexes.items():
            _enter(index, positions, read, rows)

    def index(self, positions: Positions, read: Positions) -> _Index:
        """What the rows have at the positions to `read`, each once, by their values at some positions: a single value,
        or a tuple where there are several positions."""
        index = self._indexes.get((positions, read))
        if index is None:
            index = self._indexes[positions, read] = {}
            _enter(index, positions, read, self.rows)
        return index


def _enter(index: _Index, positions: Positions, read: Positions, rows: Iterable[Row]) -> None:
    key, value = itemgetter(*positions) if positions else lambda row: None, itemgetter(*read)
    for row in rows:
        index.setdefault(key(row), {})[value(row)] = None


Tables = dict[str, _Table]
Step = Callable[[Frame, Tables], None]
Check = Callable[[Frame, Tables], bool]

_CHANGED = "changed rows"
"""The table of the rows that the last round found; no relation has a blank in its name."""


class BottomUp:
    """Runs a plain program. `known` are rows that every evaluation shares, `whole_number` says what becomes
    of whole numbers beyond 64 bits."""

    def __init__(self, program: PlainProgram, known: Rows | None = None, whole_number: WholeNumber = numbers.whole):
        self._program, self._whole_number = program, whole_number
        self._known = {name: _Table(rows) for name, rows in (known or {}).items() if name in program.arities}
        self._strata = [
            [rule for rule in program.rules if rule.head.relation in stratum] for stratum in program.strata
        ]
        self._compiled: dict[tuple[int, int | None, bool], _Compiled] = {}

    @limited_texts()
    def evaluate(self, given: Rows) -> dict[str, set[Row]]:
        """All rows of all relations. Raises NoValue for the first place, in the order of files, where one of the first
        relations to be derived needs a value that does not exist."""
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
        stops: list[tuple[PlainRule, _Stop]] = []
        for rule in rules:
            new = self._derive(rule, None, tables, stops)
            if new:
                tables[rule.head.relation].add(new)
                changed.setdefault(rule.head.relation, set()).update(new)
        recursive = [
            (rule, place, literal.relation)
            for rule in rules
            for place, literal in enumerate(rule.body)
            if isinstance(literal, tree.Atom) and literal.relation in stratum
        ]
        rounds = 0
        while changed and recursive:
            rounds += 1
            if rounds > MOST_ROUNDS:
                raise TooManyRows(recursive[0][0].head.span, f"the recursion does not end within {MOST_ROUNDS:,} steps")
            found: dict[str, set[Row]] = {}
            for relation, rows in changed.items():
                tables[_CHANGED] = _Table(rows)
                for rule, place, source in recursive:
                    if source == relation:
                        found.setdefault(rule.head.relation, set()).update(self._derive(rule, place, tables, stops))
            changed = {name: rows for name, rows in found.items() if rows}
            for name, rows in changed.items():
                tables[name].add(rows)
                if len(tables[name].rows) > MOST_ROWS:
                    rule = next(rule for rule in rules if rule.head.relation == name)
                    raise _too_many(rule.head)
        if stops:
            rule, (stop, bindings) = min(stops, key=lambda one: _in_file_order(one[1]))
            raise NoValue.of(stop, rule, bindings, {name: table.rows for name, table in tables.items()})

    def _derive(
        self, rule: PlainRule, place: int | None, tables: Tables, stops: list[tuple[PlainRule, _Stop]]
    ) -> set[Row]:
        """The new rows of the head; the atom at `place` reads the rows that changed. Adds why a value is lacking."""
        for is_careful in (False, True):
            key = (id(rule), place, is_careful)
            if key not in self._compiled:
                self._compiled[key] = _Compiled(rule, place, self._whole_number, is_careful=is_careful)
            found, stop, is_whole = self._compiled[key].run(tables)
            if is_whole:
                break
        if stop is not None:
            stops.append((rule, stop))
        return found


_Stop = tuple[EvaluationStopped, dict[str, Value]]
"""Why a value does not exist, and the variables around it."""


def _in_file_order(one: _Stop) -> tuple[object, ...]:
    stop, bindings = one
    return stop.span.file, stop.span.line, stop.span.column, stop.message, repr(sorted(bindings.items()))


def _first(frame: Frame, place: int, stop: EvaluationStopped, slots: Mapping[str, int]) -> None:
    """Take down why a value is lacking, if it is the first such place of all."""
    found = ((name, frame[slot]) for name, slot in slots.items() if not isinstance(frame[slot], EvaluationStopped))
    one: _Stop = stop, {**dict(found), **stop.bindings}
    frame[place] = one if frame[place] is None else min(frame[place], one, key=_in_file_order)


def _too_many(head: tree.Atom) -> TooManyRows:
    return TooManyRows(head.span, f"`{head.relation}` gets more than {MOST_ROWS:,} rows")


class _Compiled:
    """One rule as a chain of steps; the atom at `place`, if one is named, reads the changed rows and comes first. One
    that `is_careful` computes no variable that an atom can bind."""

    def __init__(self, rule: PlainRule, place: int | None, whole_number: WholeNumber, *, is_careful: bool):
        self._whole_number, self._is_careful = whole_number, is_careful
        self._template: Frame = [None, 0, None, True]
        self._memories: list[int] = []
        self._computed: list[int] = []
        """The slots of values that may not exist."""
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
        parts = self._parts([*first, *self._in_order(body, bound, whole)], slots, whole)
        head = rule.head.relation
        row = _row([self._slot(argument, slots, whole, parts) for argument in rule.head.arguments])
        lacking = _lacking(self._computed)

        def take_down(frame: Frame, tables: Tables) -> None:
            stop = lacking(frame)
            if stop is not None:
                _first(frame, 2, stop, slots)
                return
            found = row(frame)
            if found not in tables[head].rows:
                frame[0].add(found)
                if len(frame[0]) > MOST_ROWS:
                    raise _too_many(rule.head)

        self._first = _chain(parts, take_down)

    def run(self, tables: Tables) -> tuple[set[Row], _Stop | None, bool]:
        """The rows of the head that its table has not yet; the first reason why a row lacks a value; and whether that
        is all."""
        frame = list(self._template)
        frame[0] = set()
        for memory in self._memories:
            frame[memory] = {}
        self._first(frame, tables)
        return frame[0], frame[2], frame[3]

    def _in_order(
        self, body: Iterable[tree.Literal], bound: frozenset[str], whole: tuple[tree.Literal, ...]
    ) -> list[tree.Literal]:
        literals = tuple(body)
        unassigned = _bound_by_atoms(literals) if self._is_careful else frozenset[str]()
        return in_order(literals, bound, whole, unassigned=unassigned)

    def _new(self, value: Any = None) -> int:
        self._template.append(value)
        return len(self._template) - 1

    def _parts(
        self, ordered: list[tree.Literal], slots: dict[str, int], whole: tuple[tree.Literal, ...]
    ) -> list[Check | _Search]:
        """What has to be done for the literals, in order. `slots` says where the variables bound so far have their
        values."""
        parts: list[Check | _Search] = []
        looked_up = _bound_by_atoms(ordered)
        for literal in ordered:
            match literal:
                case tree.Truth(value=value):
                    if not value:
                        parts.append(lambda frame, tables: False)
                case tree.Atom():
                    self._atom(literal, slots, whole, parts)
                case tree.Negation(atom=atom):
                    positions, values = self._bound(atom, slots, whole, parts)
                    parts.append(self._exists(atom, positions, values, wanted=False))
                case tree.Comparison(operator=operator, left=left, right=right):
                    given = assignment(literal, slots.keys(), whole)
                    if given is not None:
                        name, other = given
                        slots[name] = self._slot(other, slots, whole, parts)
                        if name in looked_up and not self._exist([slots[name]]):
                            parts.append(_given_up(slots[name]))
                    else:
                        one, two = (self._slot(side, slots, whole, parts) for side in (left, right))
                        parts.append(self._known(_compared(operator, one, two, literal.span), [one, two]))
        return parts

    def _atom(
        self, atom: tree.Atom, slots: dict[str, int], whole: tuple[tree.Literal, ...],
        parts: list[Check | _Search],
    ) -> None:
        positions, values = self._bound(atom, slots, whole, parts)
        free: dict[str, int] = {}
        twice: list[tuple[int, str]] = []
        for position, argument in enumerate(atom.arguments):
            if isinstance(argument, tree.Variable) and position not in positions:
                if argument.name in free:
                    twice.append((position, argument.name))
                free.setdefault(argument.name, position)
        if not free:
            parts.append(self._exists(atom, positions, values, wanted=True))
            return
        start = len(self._template)
        slots.update((name, self._new()) for name in free)
        read = [*free.values()]
        again = []
        for position, name in twice:
            read.append(position)
            again.append((self._new(), slots[name]))
        parts.append(_Search(atom, positions, values, read, start, not self._exist(values)))
        parts += (_compared("=", one, two, atom.span) for one, two in again)

    def _exists(self, atom: tree.Atom, positions: Positions, values: list[int], *, wanted: bool) -> Check:
        check = _exists(atom.relation, positions, values, len(atom.arguments), wanted=wanted)
        return self._known(check, values)

    def _exist(self, slots: list[int]) -> bool:
        """Whether all these values are sure to exist."""
        return not set(slots) & set(self._computed)

    def _known(self, check: Check, slots: list[int]) -> Check:
        """The check; it holds where one of these values does not exist."""
        if self._exist(slots):
            return check
        lacking = _lacking(slots)
        return lambda frame, tables: lacking(frame) is not None or check(frame, tables)

    def _bound(
        self, atom: tree.Atom, slots: dict[str, int], whole: tuple[tree.Literal, ...],
        parts: list[Check | _Search],
    ) -> tuple[Positions, list[int]]:
        """The positions of an atom whose values are known before its rows are looked up, and the slots of these."""
        positions: list[int] = []
        values: list[int] = []
        for position, argument in enumerate(atom.arguments):
            is_free = isinstance(argument, tree.Variable) and argument.name not in slots
            if not is_free and not isinstance(argument, tree.Wildcard):
                positions.append(position)
                values.append(self._slot(argument, slots, whole, parts))
        return tuple(positions), values

    def _slot(
        self, expression: tree.Expression, slots: dict[str, int], whole: tuple[tree.Literal, ...],
        parts: list[Check | _Search],
    ) -> int:
        """The slot with the expression's value; what computes it is added to `parts`."""
        match expression:
            case tree.Constant(value=value):
                return self._new(value)
            case tree.Variable(name=name):
                return slots[name]
            case tree.Call(function=function, arguments=arguments, span=span):
                values = [self._slot(argument, slots, whole, parts) for argument in arguments]
                result, whole_number = self._new(), self._whole_number

                def compute(frame: Frame, tables: Tables) -> bool:
                    try:
                        frame[result] = call(function, [frame[value] for value in values], span, whole_number)
                    except EvaluationStopped as stop:
                        frame[result] = stop
                    return True

                parts.append(compute)
                self._computed.append(result)
                return result
            case tree.Aggregate():
                return self._aggregate(expression, slots, whole, parts)
        raise AssertionError(f"no value: {expression}")

    def _aggregate(
        self, aggregate: tree.Aggregate, slots: dict[str, int], whole: tuple[tree.Literal, ...],
        parts: list[Check | _Search],
    ) -> int:
        """The slot with an aggregate's value. It is computed once for all values of the variables it shares."""
        shared = outer_variables(aggregate, whole)
        outer = [slots[name] for name in sorted(shared)]
        body = named_wildcards(aggregate.body)
        inside = {name: slots[name] for name in shared}
        inner_whole = (*body, *whole)
        around, self._computed = self._computed, []
        inner = self._parts(self._in_order(body, shared, inner_whole), inside, inner_whole)
        found, memory, result = self._new(), self._new(), self._new()
        self._memories.append(memory)
        target = None
        if aggregate.target is not None:
            target = self._slot(aggregate.target, inside, inner_whole, inner)
        row = _row([inside[name] for name in sorted(bound_variables(body, shared) - shared)])

        lacking, reason = _lacking(self._computed), self._new()
        self._computed = [*around, result]

        def collect(frame: Frame, tables: Tables) -> None:
            stop = lacking(frame)
            if stop is not None:
                _first(frame, reason, stop, inside)
                return
            frame[found][row(frame)] = None if target is None else frame[target]

        first = _chain(inner, collect)
        place, whole_number = _row(outer), self._whole_number

        def total(frame: Frame) -> Value | EvaluationStopped | None:
            if frame[reason] is not None:
                stop, bindings = frame[reason]
                stop.bindings = bindings
                return stop  # type: ignore[no-any-return]
            try:
                return aggregated(aggregate, list(frame[found].values()), whole_number)
            except EvaluationStopped as stop:
                return stop

        def compute(frame: Frame, tables: Tables) -> bool:
            known: dict[Row, Value | EvaluationStopped | None] = frame[memory]
            where = place(frame)
            if where not in known:
                frame[found], frame[reason] = {}, None
                first(frame, tables)
                known[where] = total(frame)
            frame[result] = known[where]
            return frame[result] is not None  # nothing has no least or greatest value

        parts.append(compute)
        return result


class _Search:
    """Goes on for each row with the values at the positions; what `read` names goes into the slots from `start` on.
    Rows that differ only in what is not read are gone on with once. Of the values some `may_lack`: any fits then."""

    def __init__(
        self, atom: tree.Atom, positions: Positions, values: list[int], read: list[int], start: int, may_lack: bool
    ):
        self.atom, self.positions, self.values, self.read = atom, positions, values, tuple(read)
        self.start, self.end, self.may_lack = start, start + len(read), may_lack
        self.key = itemgetter(*values) if values else lambda frame: None

    def look_up(self, frame: Frame, table: _Table) -> Collection[Any]:
        """What is read of the rows that fit."""
        positions, key = self.positions, self.key
        if self.may_lack:
            pairs = zip(self.positions, self.values, strict=True)
            there = [pair for pair in pairs if not isinstance(frame[pair[1]], EvaluationStopped)]
            if len(there) < len(positions):
                positions = tuple(position for position, _ in there)
                key = itemgetter(*(slot for _, slot in there)) if there else lambda frame: None
        return table.index(positions, self.read).get(key(frame), ())

    def then(self, following: Step) -> Step:
        relation, span, positions, read, key = self.atom.relation, self.atom.span, self.positions, self.read, self.key
        start, end, may_lack, look_up = self.start, self.end, self.may_lack, self.look_up

        def found(frame: Frame, tables: Tables) -> Collection[Any]:
            table = tables[relation]
            values = look_up(frame, table) if may_lack else table.index(positions, read).get(key(frame), ())
            frame[1] += len(values)
            if frame[1] > MOST_LOOKED_AT:
                raise TooManyRows(span, f"rows are compared with each other more than {MOST_LOOKED_AT:,} times")
            return values

        def one_value(frame: Frame, tables: Tables) -> None:
            for value in found(frame, tables):
                frame[start] = value
                following(frame, tables)

        def several_values(frame: Frame, tables: Tables) -> None:
            for values in found(frame, tables):
                frame[start:end] = values
                following(frame, tables)

        return one_value if end - start == 1 else several_values


def _chain(parts: list[Check | _Search], last: Step) -> Step:
    """The parts as one step. Only searches call each other; checks that follow each other are one after the other."""
    step, checks = last, list[Check]()
    for part in reversed(parts):
        if isinstance(part, _Search):
            step = part.then(_checked(checks, step))
            checks = []
        else:
            checks.insert(0, part)
    return _checked(checks, step)


def _checked(checks: list[Check], following: Step) -> Step:
    if not checks:
        return following

    def step(frame: Frame, tables: Tables) -> None:
        for check in checks:
            if not check(frame, tables):
                return
        following(frame, tables)

    return step


def _bound_by_atoms(body: Iterable[tree.Literal]) -> frozenset[str]:
    """The variables that stand in atoms."""
    atoms = (literal for literal in body if isinstance(literal, tree.Atom))
    return frozenset(one.name for atom in atoms for one in atom.arguments if isinstance(one, tree.Variable))


def _given_up(slot: int) -> Check:
    """Goes on with a value that exists; without it the rows that it is to be equal to have to be found first."""

    def check(frame: Frame, tables: Tables) -> bool:
        if isinstance(frame[slot], EvaluationStopped):
            frame[3] = False
            return False
        return True

    return check


def _lacking(slots: Iterable[int]) -> Callable[[Frame], EvaluationStopped | None]:
    """What says why one of the values in these slots does not exist; None where all of them do."""
    those = tuple(slots)

    def lacking(frame: Frame) -> EvaluationStopped | None:
        for slot in those:
            if isinstance(frame[slot], EvaluationStopped):
                return frame[slot]  # type: ignore[no-any-return]
        return None

    return lacking if those else lambda frame: None


def _row(slots: list[int]) -> Callable[[Frame], Row]:
    """What reads a row from the slots."""
    match slots:
        case []:
            return lambda frame: ()
        case [slot]:
            return lambda frame: (frame[slot],)
    return itemgetter(*slots)


def _exists(relation: str, positions: Positions, values: list[int], arity: int, *, wanted: bool) -> Check:
    """Whether a row has the values at the positions (or, if not `wanted`, whether none has)."""
    if len(positions) == arity:
        row = _row(values)
        return lambda frame, tables: (row(frame) in tables[relation].rows) is wanted
    if not positions:
        return lambda frame, tables: bool(tables[relation].rows) is wanted
    key = itemgetter(*values)
    return lambda frame, tables: (key(frame) in tables[relation].index(positions, positions)) is wanted


def _compared(operator: str, left: int, right: int, span: Span) -> Check:
    if operator in ("match", "!match"):
        return lambda frame, tables: compared(operator, frame[left], frame[right], span)
    test = COMPARE[operator]
    return lambda frame, tables: test(frame[left], frame[right])
