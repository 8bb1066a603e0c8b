"""Where a value that does not exist would have come from: the rows given to an evaluation that stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policy_kb.check.declarations import expressions_in
from policy_kb.diagnostics import quoted
from policy_kb.evaluate.bottom_up import BottomUp
from policy_kb.evaluate.plain import NoValue, PlainProgram, PlainRule, Row, plain_program
from policy_kb.expressions import EvaluationStopped
from policy_kb.numbers import exactly
from policy_kb.parse import tree
from policy_kb.parse.tree import Value
from policy_kb.source import Span

_FIRING = "firing of a rule"
"""A relation of the bindings of a rule; no relation has a blank in its name."""


def origins(program: PlainProgram, stop: NoValue) -> list[tuple[str, Row]]:
    """The rows that no rule derives and the missing value rests on, each with its relation, in the order of the rules
    that lead to them."""
    found: dict[tuple[str, Row], None] = {}
    waiting = list(_rows_of(stop.rule, stop.bindings, stop, _names_in(stop.rule, stop.span)))
    seen = set(waiting)
    while waiting:
        relation, row = waiting.pop(0)
        fired = _firing(program, relation, row, stop)
        if fired is None:
            found[relation, row] = None
            continue
        rule, bindings = fired
        new = [one for one in _rows_of(rule, bindings, stop, _names_in(rule)) if one not in seen]
        seen.update(new)
        waiting[:0] = new
    return list(found)


def facts_behind(program: PlainProgram, stop: EvaluationStopped) -> str:
    """What a program was given that a missing value rests on, for the end of a message."""
    if not isinstance(stop, NoValue):
        return ""
    found = [f"`{relation}({', '.join(map(_written, row))})`" for relation, row in origins(program, stop)]
    return f", from {' and '.join(found)}" if found else ""


def _written(value: Value) -> str:
    return quoted(value)[1:-1] if isinstance(value, str) else exactly(value)


def _names_in(rule: PlainRule, span: Span | None = None) -> frozenset[str]:
    """The variables of the expression at a place, or of the head, and those that give them a value."""
    if span is None:
        wanted = set(tree.names(rule.head))
    else:
        nodes = (*rule.body, *rule.head.arguments)
        wanted = {
            name for node in nodes for one in expressions_in(node, lambda part: part.span == span)
            for name in tree.names(one)
        }
    equalities = [one for one in _literals(rule.body) if isinstance(one, tree.Comparison) and one.operator == "="]
    size = -1
    while len(wanted) > size:
        size = len(wanted)
        for equality in equalities:
            for one, other in ((equality.left, equality.right), (equality.right, equality.left)):
                if isinstance(one, tree.Variable) and one.name in wanted:
                    wanted |= tree.names(other)
    return frozenset(wanted)


def _literals(body: tuple[tree.Literal, ...]) -> Iterator[tree.Literal]:
    """The literals of a body, those inside aggregates included."""
    for literal in body:
        yield literal
        for aggregate in tree.aggregates(literal):
            yield from _literals(aggregate.body)


def _rows_of(
    rule: PlainRule, bindings: Mapping[str, Value], stop: NoValue, names: frozenset[str]
) -> Iterator[tuple[str, Row]]:
    """The rows that the atoms with some of these variables stand for. The case itself is no value."""
    for atom in _literals(rule.body):
        if not isinstance(atom, tree.Atom):
            continue
        own = atom.arguments[_is_case(rule, atom) :]
        if not any(isinstance(one, tree.Variable) and one.name in names for one in own):
            continue
        wanted = [
            one.value if isinstance(one, tree.Constant) else bindings.get(one.name) if isinstance(one, tree.Variable)
            else None
            for one in atom.arguments
        ]
        rows = (
            row for row in stop.rows.get(atom.relation, ())
            if all(one is None or one == value for one, value in zip(wanted, row, strict=True))
        )
        first = min(rows, key=repr, default=None)
        if first is not None:
            yield atom.relation, first


def _is_case(rule: PlainRule, atom: tree.Atom) -> bool:
    """Whether an atom begins as the head does: with the case, where the rule is about one."""
    return rule.head.arguments[:1] == atom.arguments[:1]


def _firing(
    program: PlainProgram, relation: str, row: Row, stop: NoValue
) -> tuple[PlainRule, Mapping[str, Value]] | None:
    """A rule that derives a row, with the values of its variables."""
    for rule in program.rules:
        if rule.head.relation == relation:
            names = sorted({name for literal in rule.body for name in tree.names_outside_aggregates(literal)})
            head = tree.Atom(_FIRING, tuple(tree.Variable(name, rule.head.span) for name in names), rule.head.span)
            equal = (
                tree.Comparison("=", one, tree.Constant(value, one.span), one.span)
                for one, value in zip(rule.head.arguments, row, strict=True)
            )
            try:
                rows = BottomUp(plain_program([PlainRule(head, (*rule.body, *equal))])).evaluate(
                    {name: set(those) for name, those in stop.rows.items()})
            except EvaluationStopped:
                continue
            if rows[_FIRING]:
                return rule, dict(zip(names, min(rows[_FIRING], key=repr), strict=True))
    return None
