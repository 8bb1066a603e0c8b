"""The pyDatalog engine: a plain program as pyDatalog clauses, asked for the rows of every relation at once.

This is the only place that knows pyDatalog. Clauses are built as objects of its engine: no text is ever loaded, so
nothing from a rule file or a case can be evaluated as Python. Predicates have generated names. Arithmetic and
comparisons are primitives of ours, because pyDatalog's round towards minus infinity; floats are fractions.

pyDatalog keeps one logic a thread; every engine here owns one, puts it in place while it evaluates, and puts the former
one back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pyDatalog
from pyDatalog import pyEngine

from policy_kb import numbers
from policy_kb.check.safety import bound_variables, needs, outer_variables
from policy_kb.evaluate.bottom_up import BottomUp
from policy_kb.evaluate.plain import PlainProgram, PlainRule, Row, Rows, assigned, in_order, named_wildcards
from policy_kb.expressions import EvaluationStopped, WholeNumber, aggregated, compared, limited_texts, value_of
from policy_kb.parse import tree
from policy_kb.parse.tree import Value

_add = pyEngine.assert_
_NOTHING = pyEngine.Const(None)
"""Fills the places of a relation without attributes, and of shorter rows in the answer."""


class WithPyDatalog:
    """Runs a plain program. `known` are rows that every evaluation shares, `whole_number` says what becomes
    of whole numbers beyond 64 bits."""

    def __init__(self, program: PlainProgram, known: Rows | None = None, whole_number: WholeNumber = numbers.whole):
        self._program, self.whole_number = program, whole_number
        self._lock = threading.Lock()
        self._keep: list[Any] = []  # pyDatalog holds predicates weakly
        self._numbers: dict[str, int] = {}
        with _former_logic():
            self._logic = pyDatalog.Logic()
            derived = {rule.head.relation for rule in program.rules}
            self._derived = [name for name in program.arities if name in derived]
            self._predicates = {name: self._predicate("r", max(1, arity)) for name, arity in program.arities.items()}
            self._projections: dict[tuple[str, tuple[int, ...]], Any] = {}
            self._known = {name: set(rows) for name, rows in (known or {}).items() if name in self._predicates}
            for name, rows in self._known.items():
                for row in rows:
                    _add(self._fact(name, row))
            for rule in program.rules:
                self._add_rule(rule)
            self._answer = self._add_answer()

    @limited_texts()
    def evaluate(self, given: Rows) -> dict[str, set[Row]]:
        """All rows of all relations."""
        with self._lock, _former_logic():
            pyDatalog.Logic.tl.logic = self._logic
            pyEngine.Fresh_var.tl.counter = 0
            asserted = [
                self._fact(name, row)
                for name, rows in given.items()
                if name in self._predicates
                for row in rows
                if row not in self._known.get(name, ())
            ]
            try:
                for fact in asserted:
                    _add(fact)
                variables = [pyEngine.Fresh_var() for _ in range(self._answer.arity)]
                answers = pyEngine.Literal(self._answer, variables).ask()
            except EvaluationStopped:
                # A value does not exist. Whether it is needed is not known here, where a literal is evaluated as soon
                # as it can be.
                return BottomUp(self._program, self._known, self.whole_number).evaluate(given)
            finally:
                for fact in asserted:
                    pyEngine.retract(fact)
        arities = self._program.arities
        result = {name: self._known.get(name, set()) | given.get(name, set()) for name in arities}
        result.update((name, set()) for name in self._derived)
        for number, *values in answers:
            name = self._derived[number]
            result[name].add(tuple(values[: arities[name]]))
        return result

    # building

    def _predicate(self, prefix: str, arity: int) -> Any:
        number = self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
        predicate = pyEngine.Pred(f"{prefix}{number}", arity)
        predicate.prearity = arity
        self._keep.append(pyEngine.insert(predicate))
        return predicate

    def _fact(self, name: str, row: Row) -> Any:
        terms = [pyEngine.Const(value) for value in row] or [_NOTHING]
        return pyEngine.Clause(pyEngine.Literal(self._predicates[name], terms), [])

    def _add_answer(self) -> Any:
        """One predicate that has every row of every derived relation: its first term says which relation."""
        width = max((self._predicates[name].arity for name in self._derived), default=0)
        answer = self._predicate("answer", width + 1)
        for number, name in enumerate(self._derived):
            predicate = self._predicates[name]
            terms = [pyEngine.Var(f"X{place}") for place in range(predicate.arity)]
            padding = [_NOTHING] * (width - predicate.arity)
            head = pyEngine.Literal(answer, [pyEngine.Const(number), *terms, *padding])
            _add(pyEngine.Clause(head, [pyEngine.Literal(predicate, terms)]))
        return answer

    def _add_rule(self, rule: PlainRule) -> None:
        translation = _Body(self, (*rule.body, rule.head))
        literals = translation.literals(rule.body)
        if literals is None:
            return
        head = [translation.term(argument, literals) for argument in rule.head.arguments] or [_NOTHING]
        _add(pyEngine.Clause(pyEngine.Literal(self._predicates[rule.head.relation], head), literals))

    def projection(self, relation: str, positions: tuple[int, ...]) -> Any:
        """The predicate of a relation without the attributes a negated atom leaves open with `_`."""
        key = (relation, positions)
        if key not in self._projections:
            base = self._predicates[relation]
            predicate = self._predicate("p", max(1, len(positions)))
            terms = [pyEngine.Var(f"X{place}") for place in range(base.arity)]
            head = [terms[position] for position in positions] or [_NOTHING]
            _add(pyEngine.Clause(pyEngine.Literal(predicate, head), [pyEngine.Literal(base, terms)]))
            self._projections[key] = predicate
        return self._projections[key]

    def predicate(self, relation: str) -> Any:
        return self._predicates[relation]

    def primitive(self, arity: int, solve: Callable[[Any, Any], None]) -> Any:
        predicate = self._predicate("f", max(1, arity))
        predicate.prim = solve
        return predicate

    def aggregate(
        self, aggregate: tree.Aggregate, outer: tuple[str, ...], whole: tuple[tree.Literal, ...]
    ) -> tuple[Any, _Counting]:
        """The predicate of an aggregate: the outer variables, the rows' own variables, and the value. `whole` are the
        literals around it.

        The rows are those of a predicate of the same name without the value; pyDatalog completes it first."""
        body = named_wildcards(aggregate.body)
        inner = tuple(sorted(bound_variables(body, frozenset(outer)) - set(outer)))
        rows = self._predicate("g", max(1, len(outer) + len(inner)))
        translation = _Body(self, (*body, *whole), outer)
        literals = translation.literals(in_order(body, frozenset(outer), (*body, *whole)))
        if literals is not None:
            head = [pyEngine.Var(f"V{name}") for name in (*outer, *inner)] or [_NOTHING]
            _add(pyEngine.Clause(pyEngine.Literal(rows, head), literals))
        value = pyEngine.Pred(rows.name, rows.arity + 1)
        value.prearity = rows.arity + 1
        self._keep.append(pyEngine.insert(value))
        return value, _Counting(aggregate, (*outer, *inner), len(outer), rows.arity, self.whole_number)


@contextmanager
def _former_logic() -> Iterator[None]:
    """Puts back the logic that the thread had before."""
    former = getattr(pyDatalog.Logic.tl, "logic", None)
    try:
        yield
    finally:
        if former is None:
            del pyDatalog.Logic.tl.logic
        else:
            pyDatalog.Logic.tl.logic = former


class _Counting:
    """What pyDatalog calls when the rows of an aggregate are complete."""

    def __init__(self, aggregate: tree.Aggregate, names: tuple[str, ...], outer: int, arity: int,
                 whole_number: WholeNumber):
        self.aggregate, self.names, self.whole_number = aggregate, names, whole_number
        self.slice_to_variabilize = range(outer, arity) if len(names) else range(0)

    def complete(self, rows: Any, waiting: Any) -> None:
        if rows.facts is True:
            found: list[list[Value]] = [[]]
        else:
            found = [[term.id for term in literal.terms] for literal in rows.facts.values()]
        target = self.aggregate.target
        if target is None:
            value: Value | None = len(found)
        else:
            values = [value_of(target, dict(zip(self.names, row, strict=False)), self.whole_number) for row in found]
            value = aggregated(self.aggregate, values, self.whole_number)
        if value is not None:
            terms = [*waiting.literal.terms[:-1], pyEngine.Const(value)]
            waiting.fact(pyEngine.Literal(waiting.literal.pred, terms))


class _Body:
    """Literals of a body as literals of pyDatalog."""

    def __init__(self, engine: WithPyDatalog, whole: tuple[tree.Literal, ...], bound: Iterable[str] = ()):
        self.engine, self.whole = engine, whole
        self.bound = set(bound)
        self.fresh = 0

    def variable(self) -> Any:
        self.fresh += 1
        return pyEngine.Var(f"_{self.fresh}")

    def literals(self, ordered: Iterable[tree.Literal]) -> list[Any] | None:
        """The translated literals; None where the body is never true."""
        result: list[Any] = []
        for literal in ordered:
            match literal:
                case tree.Truth(value=value):
                    if not value:
                        return None
                case tree.Atom():
                    terms = [self.term(argument, result) for argument in literal.arguments] or [_NOTHING]
                    result.append(pyEngine.Literal(self.engine.predicate(literal.relation), terms))
                    self.bound |= tree.names(literal)
                case tree.Negation(atom=atom):
                    positions = tuple(
                        place for place, argument in enumerate(atom.arguments)
                        if not isinstance(argument, tree.Wildcard)
                    )
                    terms = [self.term(atom.arguments[place], result) for place in positions] or [_NOTHING]
                    complete = len(positions) == len(atom.arguments)
                    base = self.engine.predicate(atom.relation) if complete else (
                        self.engine.projection(atom.relation, positions))
                    result.append(pyEngine.Literal(f"~{base.name}", terms))
                case tree.Comparison():
                    self.comparison(literal, result)
        return result

    def comparison(self, comparison: tree.Comparison, result: list[Any]) -> None:
        name = assigned(comparison, self.bound, self.whole)
        left, right = comparison.left, comparison.right
        if name is not None:
            is_left = isinstance(left, tree.Variable) and left.name == name
            term = self.term(right if is_left else left, result)
            self.bound.add(name)
            result.append(pyEngine.Literal(self.engine.primitive(2, _equals), [pyEngine.Var(f"V{name}"), term]))
            return
        simple = tuple(self.without_aggregates(side, result) for side in (left, right))
        names = sorted(needs(simple[0], ()) | needs(simple[1], ()))
        whole_number = self.engine.whole_number

        def solve(literal: Any, subgoal: Any) -> None:
            bindings = dict(zip(names, (term.id for term in literal.terms), strict=False))
            one, other = (value_of(side, bindings, whole_number) for side in simple)
            if compared(comparison.operator, one, other, comparison.span):
                subgoal.fact(literal)

        terms = [pyEngine.Var(f"V{name}") for name in names] or [_NOTHING]
        result.append(pyEngine.Literal(self.engine.primitive(len(names), solve), terms))

    def term(self, expression: tree.Expression, result: list[Any]) -> Any:
        """The expression as one term; what has to be computed is computed by literals added to `result`."""
        match expression:
            case tree.Constant(value=value):
                return pyEngine.Const(value)
            case tree.Wildcard():
                return self.variable()
            case tree.Variable(name=name):
                return pyEngine.Var(f"V{name}")
            case tree.Aggregate():
                return self.aggregate(expression, result)
        simple, whole_number = self.without_aggregates(expression, result), self.engine.whole_number
        names = sorted(needs(simple, ()))

        def solve(literal: Any, subgoal: Any) -> None:
            *given, wanted = literal.terms
            value = value_of(simple, dict(zip(names, (term.id for term in given), strict=True)), whole_number)
            if not wanted.is_const() or wanted.id == value:
                subgoal.fact(pyEngine.Literal(literal.pred, [*given, pyEngine.Const(value)]))

        computed = self.variable()
        terms = [*(pyEngine.Var(f"V{name}") for name in names), computed]
        result.append(pyEngine.Literal(self.engine.primitive(len(terms), solve), terms))
        return computed

    def without_aggregates(self, expression: tree.Expression, result: list[Any]) -> tree.Expression:
        """The expression with a variable in the place of each aggregate."""
        match expression:
            case tree.Aggregate(span=span):
                name = self.aggregate(expression, result).id[1][1:]
                return tree.Variable(name, span)
            case tree.Call(function=function, arguments=arguments, span=span):
                return tree.Call(function, tuple(self.without_aggregates(a, result) for a in arguments), span)
        return expression

    def aggregate(self, aggregate: tree.Aggregate, result: list[Any]) -> Any:
        outer = tuple(sorted(outer_variables(aggregate, self.whole)))
        predicate, counting = self.engine.aggregate(aggregate, outer, self.whole)
        self.fresh += 1
        computed = pyEngine.Var(f"V computed {self.fresh}")
        given = [pyEngine.Var(f"V{name}") for name in outer]
        terms = [*given, *[_NOTHING] * (predicate.arity - 1 - len(given)), computed]
        result.append(pyEngine.Literal(predicate, terms, aggregate=counting))
        return computed


def _equals(literal: Any, subgoal: Any) -> None:
    """`variable = value`, the value being bound."""
    variable, value = literal.terms
    if not variable.is_const() or variable.id == value.id:
        subgoal.fact(pyEngine.Literal(literal.pred, [value, value]))
