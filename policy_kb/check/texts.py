"""What the texts of rules meet: `match`, which needs a pattern, and columns in which letter case does not count.

Where a text comes from a fact or a table, what is wrong with it is reported there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from policy_kb.check.checked import Attribute, CheckedProgram, Relation, Rule, constants
from policy_kb.check.declarations import Report
from policy_kb.diagnostics import Diagnostic, Kind, quoted
from policy_kb.parse import tree
from policy_kb.parse.tree import Value
from policy_kb.record import record
from policy_kb.source import Span
from policy_kb.text import NoPatternError, compiled, folded

if TYPE_CHECKING:
    from policy_kb.load.table_rows import TableRows

Scope = tuple[tree.Literal, ...]
"""The literals of a body and of those around it: what may bind a variable there."""

_COMPARED = ("=", "!=", "<", "<=", ">", ">=")
_MATCHED = ("match", "!match")


def literals_of(rule: Rule) -> Iterator[tuple[tree.Literal, Scope]]:
    """Every literal of a rule, those inside aggregates too, with its scope."""
    yield from _scoped(rule.body, ())
    for aggregate in tree.aggregates(rule.head):
        yield from _scoped(aggregate.body, rule.body)


def _scoped(body: tuple[tree.Literal, ...], around: Scope) -> Iterator[tuple[tree.Literal, Scope]]:
    scope = (*around, *body)
    for literal in body:
        yield literal, scope
        for aggregate in tree.aggregates(literal):
            yield from _scoped(aggregate.body, scope)


# where texts come from


@record
class Text:
    """A text of the rules or of their tables, and its place."""

    value: str
    span: Span


@record
class Texts:
    """The texts that an expression may have. `computed` are the places of expressions that make others, which then
    stand in `column`; `is_known`: rules and tables, and no case, say which they are."""

    given: tuple[Text, ...] = ()
    computed: tuple[Span, ...] = ()
    column: tuple[tree.Atom, int] | None = None
    is_known: bool = True


class Origins:
    """Where the texts of known relations come from: facts, the rows of tables, the heads of rules."""

    def __init__(self, program: CheckedProgram, tables: Mapping[str, TableRows]):
        self.relations, self.tables = program.relations, tables
        self.facts: dict[str, list[tree.Atom]] = {}
        for atom, _ in program.facts:
            self.facts.setdefault(atom.relation, []).append(atom)
        self.rules: dict[str, list[Rule]] = {}
        for rule in program.rules:
            self.rules.setdefault(rule.head.relation, []).append(rule)

    def of(self, node: tree.Expression, scope: Scope, seen: frozenset[object] = frozenset()) -> Texts:
        match node:
            case tree.Constant(value=value):
                return Texts((Text(str(value), node.span),))
            case tree.Variable(name=name):
                return self.of_variable(name, scope, seen)
        return Texts(computed=(node.span,), is_known=False)

    def of_variable(self, name: str, scope: Scope, seen: frozenset[object]) -> Texts:
        """The texts that all known atoms and equalities leave a variable."""
        if name in seen:
            return Texts(is_known=False)
        seen |= {name}
        found = [self.of_column(atom, place, seen) for atom, place in self.binding(name, scope)]
        for literal in scope:
            if isinstance(literal, tree.Comparison) and literal.operator == "=":
                for one, other in ((literal.left, literal.right), (literal.right, literal.left)):
                    if isinstance(one, tree.Variable) and one.name == name:
                        found.append(self.of(other, scope, seen))
        known = [texts for texts in found if texts.is_known]
        whole = [{text.value for text in texts.given} for texts in known if not texts.computed]
        given = tuple(
            text for texts in known[:1] for text in texts.given if all(text.value in values for values in whole)
        )
        if whole or not known:
            return Texts(given, is_known=bool(known))
        return Texts(given, known[0].computed, known[0].column)

    def binding(self, name: str, scope: Scope) -> Iterator[tuple[tree.Atom, int]]:
        """The known atoms that bind a variable, each with its place there."""
        for literal in scope:
            if isinstance(literal, tree.Atom) and not self.relations[literal.relation].is_case:
                for place, argument in enumerate(literal.arguments):
                    if isinstance(argument, tree.Variable) and argument.name == name:
                        yield literal, place

    def of_column(self, atom: tree.Atom, place: int, seen: frozenset[object]) -> Texts:
        """The texts at a place of the rows of a known relation that an atom may stand for."""
        key = atom.relation, place
        if key in seen:
            return Texts()
        seen = frozenset({key, *(one for one in seen if not isinstance(one, str))})  # other rules, other variables
        given: list[Text] = []
        computed: list[Span] = []
        for fact in self.facts.get(atom.relation, ()):
            argument = fact.arguments[place]
            if isinstance(argument, tree.Constant) and may_be(atom, constants(fact)):
                given.append(Text(str(argument.value), argument.span))
        table = self.tables.get(atom.relation)
        if table is not None:
            given += [Text(str(row[place]), table.span(row)) for row in table if may_be(atom, row)]
        for rule in self.rules.get(atom.relation, ()):
            head = [argument.value if isinstance(argument, tree.Constant) else None for argument in rule.head.arguments]
            if may_be(atom, head):
                texts = self.of(rule.head.arguments[place], rule.body, seen)
                given += texts.given
                computed += texts.computed if texts.is_known else (rule.head.arguments[place].span,)
        return Texts(tuple(given), tuple(computed), (atom, place))


def may_be(atom: tree.Atom, row: Iterable[Value | None]) -> bool:
    """Whether an atom can stand for a row, of which None is any value."""
    return all(
        value is None or not isinstance(argument, tree.Constant) or argument.value == value
        for argument, value in zip(atom.arguments, row, strict=True)
    )


# patterns


def check_patterns(
    program: CheckedProgram, tables: Mapping[str, TableRows], known: Mapping[str, Iterable[tuple[Value, ...]]]
) -> list[Diagnostic]:
    """Every text used as a pattern that is none, at its own place, and every pattern of a rule about cases that is not
    known before a case is. `known` are the rows of the known relations, or nothing before they are worked out."""
    report = Report(program.files)
    origins = Origins(program, tables)
    for rule in program.rules:
        is_case = program.relations[rule.head.relation].is_case
        for literal, scope in literals_of(rule):
            if not isinstance(literal, tree.Comparison) or literal.operator not in _MATCHED:
                continue
            pattern = literal.left
            texts = origins.of(pattern, scope)
            if is_case and not texts.is_known:
                report(Kind.BAD_PATTERN, pattern.span, "the pattern is not known when the rules are checked",
                       "write it as text, or take it from a column of a known relation")
            for text in texts.given:
                _check_pattern(text, literal, report)
            if texts.computed and texts.column is not None:
                atom, place = texts.column
                span = texts.computed[0] if len(texts.computed) == 1 else pattern.span
                found = {row[place] for row in known.get(atom.relation, ()) if may_be(atom, row)}
                for value in sorted(found - {text.value for text in texts.given}):
                    _check_pattern(Text(str(value), span), literal, report)
    return list(dict.fromkeys(report.problems))


def _check_pattern(text: Text, used: tree.Comparison, report: Report) -> None:
    try:
        compiled(text.value)
    except NoPatternError as problem:
        where = "" if text.span == used.left.span else f"`match` at {used.span} takes it for one: "
        report(Kind.BAD_PATTERN, text.span, f"{quoted(text.value)} is no pattern: {problem}", where + problem.hint)


# letter case


_EXEMPT = re.compile(
    r"\\[pP]\{[^}]*\}|\\[pP][A-Za-z]|\\x\{[^}]*\}|\\.|\[:\^?[a-z]+:\]|\(\?(?:P?<[^>]*>|[a-zA-Z-]*[:)])", re.DOTALL
)
"""What letters of a pattern stand for something else than themselves."""


def folded_pattern(pattern: str) -> str:
    """A pattern as it has to be written where the text it meets is folded."""
    kept = [*_EXEMPT.finditer(pattern)]
    ends = [0, *(one.end() for one in kept)]
    starts = [*(one.start() for one in kept), len(pattern)]
    parts = [folded(pattern[start:end]) for start, end in zip(ends, starts, strict=True)]
    return "".join(part + (kept[place][0] if place < len(kept) else "") for place, part in enumerate(parts))


def check_letter_case(program: CheckedProgram, tables: Mapping[str, TableRows]) -> list[Diagnostic]:
    """Every text that meets a column `@[any_case]`, where text is folded, and is not its own folding: in comparisons,
    `contains` and `match`, and by a variable that both share. A warning: such a column meets one of cases whose letter
    case counts. Constants in the places of columns are checked elsewhere."""
    report = Report(program.files)
    origins = Origins(program, tables)
    for rule in program.rules:
        _LetterCase(program.relations, origins, rule, report).check()
    return list(dict.fromkeys(report.problems))


class _LetterCase:
    """The check of one rule. `columns` are the variables whose text is folded, each with its column."""

    def __init__(self, relations: Mapping[str, Relation], origins: Origins | None, rule: Rule, report: Report):
        self.relations, self.origins, self.rule, self.report = relations, origins, rule, report
        self.literals = tuple(literals_of(rule))
        self.columns: dict[str, Attribute] = {}
        atoms = [atom for literal, _ in self.literals for atom in _atoms(literal)]
        for argument, attribute in self.arguments([*atoms, rule.head] if origins else atoms):
            if attribute.any_case and isinstance(argument, tree.Variable):
                self.columns.setdefault(argument.name, attribute)
        while self.columns and self.spread():
            pass

    def arguments(self, atoms: Iterable[tree.Atom]) -> Iterator[tuple[tree.Expression, Attribute]]:
        for atom in atoms:
            yield from zip(atom.arguments, self.relations[atom.relation].attributes, strict=True)

    def spread(self) -> bool:
        """Whether an equality gives a further variable folded text."""
        before = len(self.columns)
        for literal, _ in self.literals:
            if isinstance(literal, tree.Comparison) and literal.operator == "=":
                for one, other in ((literal.left, literal.right), (literal.right, literal.left)):
                    column = self.column(other)
                    if column is not None and isinstance(one, tree.Variable):
                        self.columns.setdefault(one.name, column)
        return len(self.columns) > before

    def column(self, node: tree.Expression) -> Attribute | None:
        """The column that folded text comes from; None where an expression is none such."""
        match node:
            case tree.Variable(name=name):
                return self.columns.get(name)
            case tree.Call(function="cat" | "+" | "min" | "max", arguments=arguments):
                found = [self.column(argument) for argument in arguments]
                is_folded = all(
                    column is not None or (isinstance(one, tree.Constant) and one.value == folded(str(one.value)))
                    for one, column in zip(arguments, found, strict=True)
                )
                return next((one for one in found if one is not None), None) if is_folded else None
            case tree.Call(function="substr", arguments=(text, *_)):
                return self.column(text)
        return None

    def check(self) -> None:
        if not self.columns:
            return
        for literal, scope in self.literals:
            if isinstance(literal, tree.Atom):
                self.check_joined(literal, scope)
            elif isinstance(literal, tree.Comparison):
                self.check_compared(literal, scope)
        for argument, attribute in self.arguments([self.rule.head]):
            if attribute.any_case and not isinstance(argument, tree.Constant):
                self.check_text(argument, attribute, self.rule.body)

    def check_joined(self, atom: tree.Atom, scope: Scope) -> None:
        """A variable that also stands in another column."""
        is_case = self.relations[atom.relation].is_case
        for place, (argument, attribute) in enumerate(self.arguments([atom])):
            column = self.columns.get(argument.name) if isinstance(argument, tree.Variable) else None
            if column is None or attribute.any_case or attribute.kind != "symbol":
                continue
            if is_case:
                self.warn(argument.span, attribute, column)
            elif self.origins is not None:
                for text in self.origins.of_column(atom, place, frozenset()).given:
                    self.check_folded(text, column)

    def check_compared(self, literal: tree.Comparison, scope: Scope) -> None:
        for one, other in ((literal.left, literal.right), (literal.right, literal.left)):
            column = self.column(one)
            if column is not None and self.column(other) is None:
                is_pattern = literal.operator in _MATCHED and other is literal.left
                self.check_text(other, column, scope, is_pattern=is_pattern)

    def check_text(self, node: tree.Expression, column: Attribute, scope: Scope, *, is_pattern: bool = False) -> None:
        """The texts that an expression is made of."""
        match node:
            case tree.Constant(value=str(value)):
                self.check_folded(Text(value, node.span), column, is_pattern=is_pattern)
            case tree.Variable(name=name) if name not in self.columns:
                if self.origins is not None:
                    for text in self.origins.of(node, scope).given:
                        self.check_folded(text, column, is_pattern=is_pattern)
            case tree.Call(function="cat" | "+" | "min" | "max", arguments=arguments):
                for argument in arguments:
                    self.check_text(argument, column, scope, is_pattern=is_pattern)
            case tree.Call(function="substr", arguments=(text, *_)):
                self.check_text(text, column, scope, is_pattern=is_pattern)

    def check_folded(self, text: Text, column: Attribute, *, is_pattern: bool = False) -> None:
        wanted = folded_pattern(text.value) if is_pattern else folded(text.value)
        if text.value != wanted:
            self.report(Kind.VALUE_OUTSIDE_SET, text.span, f"`{column.name}` is compared without letter case, and "
                        f"{quoted(text.value)} with it", f"write {quoted(wanted)}")

    def warn(self, span: Span, attribute: Attribute, column: Attribute) -> None:
        self.report.warn(Kind.VALUE_OUTSIDE_SET, span, f"letter case counts in `{attribute.name}`, and not in "
                         f"`{column.name}`", "declare both `@[any_case]`, or none")


def _atoms(literal: tree.Literal) -> Iterator[tree.Atom]:
    """The atoms of a literal, without those in aggregates, which are literals themselves."""
    if isinstance(literal, tree.Atom):
        yield literal
    elif isinstance(literal, tree.Negation):
        yield literal.atom


def with_inherited_letter_case(
    relations: dict[str, Relation], rules: tuple[Rule, ...], facts: Iterable[tree.Atom], report: Report
) -> dict[str, Relation]:
    """The relations, in which also those columns ignore letter case that rules fill from such columns alone."""
    given = {atom.relation for atom in facts} | {name for name, relation in relations.items() if relation.is_input}
    by_head: dict[str, list[Rule]] = {}
    for rule in rules:
        by_head.setdefault(rule.head.relation, []).append(rule)
    if not any(attribute.any_case for relation in relations.values() for attribute in relation.attributes):
        return relations
    changed = True
    while changed:
        changed = False
        for name, own in by_head.items():
            relation = relations[name]
            if name in given:
                continue
            cases = [_LetterCase(relations, None, rule, report) for rule in own]
            attributes = tuple(
                replace(attribute, any_case=True) if _is_filled_so(attribute, place, cases) else attribute
                for place, attribute in enumerate(relation.attributes)
            )
            if attributes != relation.attributes:
                relations = {**relations, name: replace(relation, attributes=attributes)}
                changed = True
    return relations


def _is_filled_so(attribute: Attribute, place: int, cases: Iterable[_LetterCase]) -> bool:
    is_free = attribute.kind == "symbol" and attribute.domain is None and attribute.one_of is None
    return is_free and not attribute.any_case and all(
        one.column(one.rule.head.arguments[place]) is not None for one in cases
    )
