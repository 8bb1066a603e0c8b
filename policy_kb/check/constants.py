"""Values written in rules: a drug that the table does not list, a choice no reading has, a date that does not exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from policy_kb.check.checked import Attribute, CheckedProgram, Domain
from policy_kb.check.declarations import Report, atoms_in, calls_of
from policy_kb.dates import BadDate, parse_date
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, did_you_mean, listed, quoted
from policy_kb.parse import tree
from policy_kb.parse.tree import Value
from policy_kb.source import NOWHERE, Span
from policy_kb.text import folded

Known = Mapping[str, AbstractSet[tuple[Value, ...]]]
"""The rows of every known relation."""

OTHER = "other: "
"""How a case names what a table does not list: `other: NAME`."""


def check_constants(program: CheckedProgram, known: Known) -> list[Diagnostic]:
    """Everything wrong with the values in a program's rules, facts and tables, `known` being the rows of its known
    relations."""
    report = Report(program.files)
    for rule in program.rules:
        domains: dict[str, Attribute] = {}
        for atom in (rule.head, *(a for literal in rule.body for a in atoms_in(literal))):
            for argument, attribute in zip(atom.arguments, program.relations[atom.relation].attributes, strict=True):
                if isinstance(argument, tree.Constant):
                    check_value(argument.value, attribute, argument.span, known, report)
                elif isinstance(argument, tree.Variable) and (attribute.one_of or attribute.domain):
                    domains[argument.name] = attribute
        for constant, attribute in _compared(rule.body, domains):
            check_value(constant.value, attribute, constant.span, known, report)
    for atom, _ in program.facts:
        for argument, attribute in zip(atom.arguments, program.relations[atom.relation].attributes, strict=True):
            if isinstance(argument, tree.Constant) and _is_foreign(attribute, atom.relation):
                check_value(argument.value, attribute, argument.span, known, report)
    return report.problems


def _is_foreign(attribute: Attribute, relation: str) -> bool:
    """Whether the attribute's values are listed elsewhere than in the relation itself."""
    return attribute.domain is None or attribute.domain.relation != relation


def _compared(
    body: tuple[tree.Literal, ...], domains: dict[str, Attribute]
) -> Iterator[tuple[tree.Constant, Attribute]]:
    for literal in body:
        for inner in (literal, *(part for aggregate in tree.aggregates(literal) for part in aggregate.body)):
            if isinstance(inner, tree.Comparison) and inner.operator in ("=", "!="):
                for one, other in ((inner.left, inner.right), (inner.right, inner.left)):
                    if isinstance(one, tree.Variable) and isinstance(other, tree.Constant) and one.name in domains:
                        yield other, domains[one.name]


def check_value(value: Value, attribute: Attribute, span: Span, known: Known, report: Report) -> None:
    """Report a value that its attribute does not allow."""
    if attribute.one_of is not None and value not in attribute.one_of:
        report(Kind.VALUE_OUTSIDE_SET, span, f"{quoted(value)} is no value of `{attribute.name}`",
               did_you_mean(str(value), map(str, attribute.one_of)) or f"it is {listed(map(str, attribute.one_of))}")
    elif attribute.any_case and isinstance(value, str) and value != folded(value):
        report(Kind.VALUE_OUTSIDE_SET, span, f"`{attribute.name}` is compared without letter case, and read as lower "
               "case", f"write `{folded(value)}`")
    elif attribute.domain is not None and isinstance(value, str) and not is_in_domain(value, attribute.domain, known):
        names = {str(row[0]) for row in known.get(attribute.domain.relation, ())}
        report(Kind.VALUE_OUTSIDE_SET, span, f"{quoted(value)} is not listed in `{attribute.domain.relation}`",
               did_you_mean(value, names) or f"the values are those of `{attribute.domain.relation}`")


def is_in_domain(value: str, domain: Domain, known: Known) -> bool:
    """Whether a value is listed, or names something else as `other: NAME`."""
    if value.startswith(OTHER) and value[len(OTHER) :].strip():
        return not any(
            folded(str(row[column])) == folded(value[len(OTHER) :].strip())
            for row in known.get(domain.relation, ())
            for column in domain.reserved
        )
    return any(row[0] == value for row in known.get(domain.relation, ()))


def check_dates(rules: Iterable[tree.Rule], report: Report) -> None:
    """Report every date in the rules that is none."""
    for rule in rules:
        for call in calls_of(rule):
            if call.function == "@date" and isinstance(call.arguments[0], tree.Constant):
                try:
                    parse_date(str(call.arguments[0].value))
                except BadDate as problem:
                    report(Kind.BAD_DATE, call.arguments[0].span, str(problem), 'write `@date("2025-07-15")`')


def choices(known: Known) -> dict[str, list[str]]:
    """Every reading with the choices it allows, the one in force first."""
    result: dict[str, list[str]] = {}
    for relation in ("reading", "alternative"):
        for name, choice in sorted(known.get(relation, ())):
            allowed = result.setdefault(str(name), [])
            if choice not in allowed:
                allowed.append(str(choice))
    return result


def checked_readings(known: Known, readings: Mapping[str, str]) -> dict[str, str]:
    """Readings a reader asks for. Refused: a name the policy does not have, a choice it does not allow."""
    allowed = choices(known)
    problems = []
    for name, choice in readings.items():
        if name not in allowed:
            hint = did_you_mean(name, allowed) or (f"the readings are {listed(allowed, 'and')}" if allowed else None)
            problems.append(Diagnostic(Kind.BAD_READING, NOWHERE, f"the policy has no reading `{name}`", hint))
        elif choice not in allowed[name]:
            hint = did_you_mean(choice, allowed[name]) or f"its choices are {listed(allowed[name], 'and')}"
            problems.append(Diagnostic(Kind.BAD_READING, NOWHERE, f"`{choice}` is no choice of `{name}`", hint))
    if problems:
        raise CaseRefused(problems)
    return dict(readings)
