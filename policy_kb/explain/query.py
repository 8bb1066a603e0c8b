"""Queries: the rows of a relation that match an atom, for one case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from policy_kb.check.checked import CheckedProgram, Relation
from policy_kb.check.constants import check_value
from policy_kb.check.declarations import Report
from policy_kb.dates import BadDate, parse_date
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, did_you_mean
from policy_kb.parse import tree
from policy_kb.parse.tree import Value
from policy_kb.source import Span

if TYPE_CHECKING:
    from policy_kb.evaluate.model import Model
    from policy_kb.evaluate.plain import Rows

_SOURCE = "query"


@dataclass(frozen=True)
class Answers:
    """The rows that match, certain ones first; `bindings` gives for each row the values of the query's variables.

    `is_open`: the relation is open for the case, so that further rows may hold.
    """

    relation: Relation
    rows: tuple[tuple[tuple[Value, ...], bool], ...]
    bindings: tuple[Mapping[str, Value], ...]
    is_open: bool


def parse_query(text: str, program: CheckedProgram, known: Rows) -> tree.Atom:
    """The atom of a query such as `therapy(_, "Avonex", started, _)`.

    The case may be written as any variable, as `_`, or left out. A date may be written as text. Refused, each with its
    place: what is no single atom, an unknown relation, a wrong number of attributes, a value its attribute cannot have.
    """
    from policy_kb.parse.grammar import parse_items

    written = text.strip().removesuffix(".")
    if "'" in written:
        place = written.index("'") + 1
        raise _refused(Span(_SOURCE, 1, place, place + 1), "a value stands in double quotes", written,
                       'write it as in `relation("value", _)`')
    if written.isidentifier():
        span = Span(_SOURCE, 1, 1, len(written) + 1)
        named = _relation(written, program, span, written)
        hint = f"write `{_atom_of(named)}`, with `_` for any value"
        raise _refused(span, f"`{written}` is a relation; a query is one with its attributes", written, hint)
    items, problems = parse_items(f"{written}.", _SOURCE)
    errors = [_as_typed(problem, written) for problem in problems if not problem.is_warning]
    if errors:
        raise CaseRefused(errors)
    item = items[0] if len(items) == 1 else None
    if not isinstance(item, tree.Rule) or item.body or len(item.heads) != 1:
        raise _refused(Span(_SOURCE, 1, 1, len(written) + 1), "a query is one atom", written,
                       "write one relation with its attributes, such as "
                       f"`{_atom_of(next(iter(program.relations.values())))}`")
    atom = item.heads[0]
    relation = _relation(atom.relation, program, atom.span, written)
    arguments = list(atom.arguments)
    if relation.is_case and len(arguments) == relation.arity - 1:
        arguments.insert(0, tree.Wildcard(atom.span))
    if len(arguments) != relation.arity:
        number = relation.arity - relation.is_case
        beside = " beside the case" if relation.is_case else ""
        raise _refused(atom.span, f"`{relation.name}` has {number} attribute{'s' * (number != 1)}{beside}, the query "
                       f"{len(atom.arguments)}", written, f"write `{_atom_of(relation)}`")
    checked = [_argument(argument, relation, place, written) for place, argument in enumerate(arguments)]
    report = Report({_SOURCE: written})
    for argument, attribute in zip(checked, relation.attributes, strict=True):
        if isinstance(argument, tree.Constant):
            check_value(argument.value, attribute, argument.span, known, report)
    if report.problems:
        raise CaseRefused(report.problems)
    return tree.Atom(atom.relation, tuple(checked), atom.span)


def _argument(argument: tree.Expression, relation: Relation, place: int, written: str) -> tree.Expression:
    attribute = relation.attributes[place]
    if isinstance(argument, tree.Variable) and argument.name in (attribute.one_of or ()):
        raise _refused(argument.span, f"`{argument.name}` without quotes is a variable, and matches every value",
                       written, f'write `"{argument.name}"` for the value, or choose another name')
    if isinstance(argument, tree.Wildcard | tree.Variable):
        return argument
    if isinstance(argument, tree.Constant):
        value = argument.value
        if attribute.is_date and isinstance(value, str):
            from policy_kb.dates import ONGOING

            try:
                return tree.Constant(ONGOING if value == "ongoing" else parse_date(value), argument.span)
            except BadDate as problem:
                raise _refused(argument.span, str(problem), written, 'write a date as `"2025-07-15"`') from None
        if attribute.kind == "float" and isinstance(value, int):
            return tree.Constant(Fraction(value), argument.span)
        if attribute.any_case and isinstance(value, str):
            return tree.Constant(value.casefold(), argument.span)
        if {"number": int, "float": Fraction, "symbol": str}[attribute.kind] is type(value):
            return argument
        raise _refused(argument.span, f"`{attribute.name}` of `{relation.name}` is a {attribute.kind}; the query says "
                       f"`{value}`", written, 'write a symbol in quotes, a number without')
    hint = 'write a date as `"2025-07-15"`' if attribute.is_date else "write the value itself"
    raise _refused(argument.span, "a query has values, variables and `_` only", written, hint)


def _relation(name: str, program: CheckedProgram, span: Span, written: str) -> Relation:
    relation = program.relations.get(name)
    if relation is None:
        raise _refused(span, f"the policy has no relation `{name}`", written, did_you_mean(name, program.relations))
    return relation


def _atom_of(relation: Relation) -> str:
    """The relation with its attributes, but for the case."""
    return f"{relation.name}({', '.join(attribute.name for attribute in relation.attributes[relation.is_case :])})"


def _as_typed(problem: Diagnostic, written: str) -> Diagnostic:
    """A problem of a query, in the text that was typed: the stop behind it is the program's own."""
    if problem.span.column <= len(written):
        return replace(problem, kind=Kind.BAD_QUERY, excerpt=written)
    span = Span(_SOURCE, 1, max(1, len(written)), len(written) + 1)
    return replace(problem, kind=Kind.BAD_QUERY, span=span, message="the query ends too early", excerpt=written)


def _refused(span: Span, message: str, written: str, hint: str | None) -> CaseRefused:
    return CaseRefused([Diagnostic(Kind.BAD_QUERY, span, message, hint, excerpt=written)])


def answer(atom: tree.Atom, program: CheckedProgram, known: Rows, model: Model) -> Answers:
    """The rows of a case's model that match the atom; known relations have certain rows only."""
    relation = program.relations[atom.relation]
    if relation.is_case:
        certain = model.certain.get(relation.name, frozenset())
        possible = model.possible.get(relation.name, frozenset())
    else:
        certain = possible = known.get(relation.name, frozenset())
    rows: list[tuple[tuple[Value, ...], bool]] = []
    bindings: list[Mapping[str, Value]] = []
    for row in sorted(possible, key=lambda row: (row not in certain, row)):
        found: dict[str, Value] = {}
        for place, (argument, value) in enumerate(zip(atom.arguments, row, strict=True)):
            if isinstance(argument, tree.Variable) and not (relation.is_case and place == 0):
                if found.setdefault(argument.name, value) != value:
                    break
            elif isinstance(argument, tree.Constant) and argument.value != value:
                break
        else:
            rows.append((row, row in certain))
            bindings.append(found)
    return Answers(relation, tuple(rows), tuple(bindings), relation.name in model.open)
