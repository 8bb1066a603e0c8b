"""The checks, in order. Only `check_program` makes a CheckedProgram."""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath

from policy_kb.check.annotations import check_criteria, phase_names, read_relations, read_rule_annotations
from policy_kb.check.cases import (
    check_cases,
    check_recursion,
    check_worlds,
    openable,
)
from policy_kb.check.checked import CheckedProgram, Relation, Rule, Table
from policy_kb.check.constants import check_dates
from policy_kb.check.declarations import Declarations, Report, check_references, collect_declarations
from policy_kb.check.fixed_names import check_fixed_names
from policy_kb.check.ongoing import check_ongoing
from policy_kb.check.policy import check_policy
from policy_kb.check.safety import check_safety, check_singletons
from policy_kb.check.scopes import with_own_names
from policy_kb.check.strata import check_stratified, dependencies, reachable, stratify
from policy_kb.check.texts import with_inherited_letter_case
from policy_kb.check.types import check_types
from policy_kb.check.usage import check_usage
from policy_kb.diagnostics import Diagnostic, RulesRefused, in_file_order
from policy_kb.parse import tree
from policy_kb.parse.tree import Atom, Constant, Directive, Program
from policy_kb.source import Span


def check_program(program: Program, found_by_parser: list[Diagnostic]) -> CheckedProgram:
    """The program, checked; its warnings are kept.

    Raises RulesRefused with everything that is wrong, the parser's findings included. Checks that need a sound rule
    see only the rules that earlier checks left.
    """
    report = Report(program.files, found_by_parser)
    found = collect_declarations(program, report)
    relations = read_relations(found, report)
    check_fixed_names(relations, report)
    check_references(found, report)
    found.rules = [with_own_names(rule) for rule in found.rules]
    check_types(found, report)
    check_safety(found, report)
    check_singletons((item for item in program.items if isinstance(item, tree.Rule)), report)
    check_dates(found.rules, report)
    check_ongoing(relations, found.rules, report)
    rules, facts = _rules_and_facts(found, relations, report)
    relations = with_inherited_letter_case(relations, rules, (atom for atom, _ in facts), report)
    edges = list(dependencies((rule.head, rule.body) for rule in rules))
    strata = stratify(relations, edges)
    check_stratified(strata, edges, report)
    check_recursion(strata, edges, relations, report)
    check_cases(relations, rules, report)
    check_worlds(rules, openable(relations, rules, strata), report)
    reaches = partial(reachable, edges=edges)
    phases = check_criteria(relations, rules, reaches, report)
    if not found_by_parser:  # a rule that could not be read may be the one that defines or reads a relation
        check_usage(found, relations, edges, report)
        check_policy(relations, rules, strata, phases, edges, reaches, report)
    problems = [*found_by_parser, *report.problems]
    if any(not problem.is_warning for problem in problems):
        raise RulesRefused(problems)
    return CheckedProgram(
        entry=program.entry,
        files=program.files,
        relations=relations,
        rules=rules,
        facts=facts,
        strata=strata,
        tables=tuple(_table(directive) for directive in found.directives if directive.kind == "input"),
        outputs=tuple(_table(directive) for directive in found.directives if directive.kind == "output"),
        phases=phases,
        warnings=tuple(in_file_order(problems)),
        paths=program.paths,
    )


def _rules_and_facts(
    found: Declarations, relations: dict[str, Relation], report: Report
) -> tuple[tuple[Rule, ...], tuple[tuple[Atom, Span], ...]]:
    phases = phase_names(found)
    rules: list[Rule] = []
    facts: list[tuple[Atom, Span]] = []
    for rule in found.rules:
        head = rule.heads[0]
        is_fact = not rule.body and all(isinstance(argument, Constant) for argument in head.arguments)
        if is_fact and not relations[head.relation].is_case:
            facts.append((head, rule.span))
            if rule.annotations:
                read_rule_annotations(rule, 0, relations, phases, report)
        else:
            rules.append(read_rule_annotations(rule, len(rules), relations, phases, report))
    return tuple(rules), tuple(facts)


def _table(directive: Directive) -> Table:
    settings = dict(directive.parameters)
    suffix = "facts" if directive.kind == "input" else "csv"
    return Table(
        relation=directive.relation,
        filename=settings.get("filename", f"{directive.relation}.{suffix}"),
        delimiter=settings.get("delimiter", "\t"),
        headers=settings.get("headers") == "true",
        folder=str(PurePosixPath(directive.span.file).parent),
        span=directive.span,
        is_csv="delimiter" in settings,
    )
