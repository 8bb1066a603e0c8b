"""A plain program: two-valued, stratified Datalog that every engine runs the same way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import count
from typing import Protocol

from policy_kb.check.safety import needs
from policy_kb.check.strata import dependencies, stratify
from policy_kb.diagnostics import Kind
from policy_kb.expressions import EvaluationStopped
from policy_kb.parse import tree
from policy_kb.parse.tree import Atom, Comparison, Literal, Value
from policy_kb.record import record

Row = tuple[Value, ...]
Rows = Mapping[str, AbstractSet[Row]]
"""The rows of relations, by name."""


@record
class PlainRule:
    head: Atom
    body: tuple[Literal, ...]


@record
class PlainProgram:
    """`arities` has every relation that occurs; those without a rule are given. `strata` as in a CheckedProgram. The
    bodies of `rules` stand in an order in which each literal can be evaluated (`in_order`)."""

    arities: dict[str, int]
    rules: tuple[PlainRule, ...]
    strata: tuple[tuple[str, ...], ...]

    def is_recursive(self, stratum: tuple[str, ...]) -> bool:
        return len(stratum) > 1 or any(
            rule.head.relation == stratum[0]
            and any(isinstance(literal, Atom) and literal.relation == stratum[0] for literal in rule.body)
            for rule in self.rules
        )


def plain_program(rules: Iterable[PlainRule], arities: Mapping[str, int] | None = None) -> PlainProgram:
    """A plain program of these rules, with its strata; `arities` adds relations that no rule mentions."""
    ordered = (PlainRule(rule.head, tuple(in_order(rule.body, frozenset(), rule.body))) for rule in rules)
    kept = tuple(dict.fromkeys(ordered))
    known = dict(arities or {})
    for rule in kept:
        known[rule.head.relation] = len(rule.head.arguments)
        for literal in (*rule.body, *rule.head.arguments):
            for atom in _atoms(literal):
                known[atom.relation] = len(atom.arguments)
    edges = dependencies((rule.head, rule.body) for rule in kept)
    return PlainProgram(known, kept, stratify(known, edges))


def _atoms(node: Literal | tree.Expression) -> Iterable[Atom]:
    if isinstance(node, Atom):
        yield node
    elif isinstance(node, tree.Negation):
        yield node.atom
    for aggregate in tree.aggregates(node):
        for literal in aggregate.body:
            yield from _atoms(literal)


class Engine(Protocol):
    """Runs one plain program on the rows given for each case."""

    def evaluate(self, given: Rows) -> dict[str, set[Row]]:
        """All rows of all relations, given ones included."""
        ...


class NoValue(EvaluationStopped):
    """A rule needs a value that does not exist. `bindings` are those of the rule's variables, `rows` what was given and
    derived until then."""

    rule: PlainRule
    bindings: Mapping[str, Value]
    rows: Rows

    @classmethod
    def of(cls, stop: EvaluationStopped, rule: PlainRule, bindings: Mapping[str, Value], rows: Rows) -> NoValue:
        made = cls(stop.span, stop.message)
        made.rule, made.bindings, made.rows = rule, bindings, rows
        return made


class TooManyRows(EvaluationStopped):
    """A relation would get more rows than are kept, or get further ones without end."""

    kind = Kind.TOO_MANY_ROWS
    hint = "let a recursive rule end, join relations by the values they share, or give fewer rows"


_ATOM_NOT_YET, _NOT_YET = 8, 9


def in_order(
    body: Iterable[Literal], bound: frozenset[str], whole: tuple[Literal, ...] | None = None, *,
    unassigned: frozenset[str] = frozenset(),
) -> list[Literal]:
    """The literals in an order in which each can be evaluated: tests as early as their variables are bound, then
    negations, then the atom that shares most with what is bound. `bound` are the variables bound from the start,
    `unassigned` those that atoms have to bind."""
    waiting = list(body)
    everything = tuple(waiting) if whole is None else whole
    known = set(bound)
    result: list[Literal] = []

    def readiness(literal: Literal) -> tuple[int, int]:
        """Lower comes first."""
        match literal:
            case tree.Truth():
                return 0, 0
            case Comparison():
                required = needs(literal, known, everything)
                if required <= known:
                    return (3 if any(True for _ in tree.aggregates(literal)) else 1), 0
                return (_NOT_YET if assigned(literal, known, everything) in {None, *unassigned} else 2), 0
            case tree.Negation():
                return (3, 0) if needs(literal, known, everything) <= known else (_NOT_YET, 0)
            case Atom(arguments=arguments):
                for argument in arguments:
                    if not isinstance(argument, tree.Variable) and not needs(argument, known, everything) <= known:
                        return _ATOM_NOT_YET, 0
                fixed = sum(
                    not isinstance(a, tree.Wildcard) and (not isinstance(a, tree.Variable) or a.name in known)
                    for a in arguments
                )
                return 4, -fixed
        raise AssertionError(literal)

    while waiting:
        best = min(range(len(waiting)), key=lambda i: (*readiness(waiting[i]), i))
        literal = waiting.pop(best)
        if isinstance(literal, Atom) and readiness(literal)[0] == _ATOM_NOT_YET:
            # Atoms whose expressions wait for each other, as in `r(x, y + 1), s(y, x + 1)`: match first, compute later.
            literal, equalities = lifted(literal, everything)
            waiting += equalities
            everything = (*everything, *equalities)
        result.append(literal)
        known |= tree.names(literal) if isinstance(literal, Atom) else set()
        if isinstance(literal, Comparison):
            variable = assigned(literal, known, everything)
            if variable is not None:
                known.add(variable)
    return result


def lifted(atom: Atom, whole: tuple[Literal, ...]) -> tuple[Atom, list[Literal]]:
    """An atom with a variable of its own in the place of each expression, and the equalities that say what they are."""
    arguments: list[tree.Expression] = []
    equalities: list[Literal] = []
    taken = {variable.name for literal in whole for variable in tree.variables(literal)}
    for argument in atom.arguments:
        if isinstance(argument, tree.Call | tree.Aggregate):
            variable = tree.Variable(next(n for i in count(1) if (n := f"={i}") not in taken), argument.span)
            taken.add(variable.name)
            equalities.append(Comparison("=", variable, argument, argument.span))
            argument = variable
        arguments.append(argument)
    return Atom(atom.relation, tuple(arguments), atom.span), equalities


def assignment(
    comparison: Comparison, bound: AbstractSet[str], whole: tuple[Literal, ...]
) -> tuple[str, tree.Expression] | None:
    """The variable that `variable = expression` gives a value to, and the expression, if the comparison does so."""
    if comparison.operator != "=":
        return None
    for one, other in ((comparison.left, comparison.right), (comparison.right, comparison.left)):
        if isinstance(one, tree.Variable) and one.name not in bound and needs(other, bound, whole) <= bound:
            return one.name, other
    return None


def assigned(comparison: Comparison, bound: AbstractSet[str], whole: tuple[Literal, ...]) -> str | None:
    """The variable that `variable = expression` gives a value to, if the comparison does so."""
    found = assignment(comparison, bound, whole)
    return found[0] if found else None


def named_wildcards(body: tuple[Literal, ...]) -> tuple[Literal, ...]:
    """An aggregate's body in which every `_` of a positive atom has a name, since rows that differ there are counted
    apart."""
    number = 0
    result: list[Literal] = []
    for literal in body:
        if isinstance(literal, Atom):
            arguments: list[tree.Expression] = []
            for argument in literal.arguments:
                if isinstance(argument, tree.Wildcard):
                    number += 1
                    argument = tree.Variable(f"#{number}", argument.span)
                arguments.append(argument)
            literal = Atom(literal.relation, tuple(arguments), literal.span)
        result.append(literal)
    return tuple(result)
