"""Case discipline: a rule about a case speaks of that case alone, so that no decision depends on another case."""

from __future__ import annotations

from collections.abc import Iterable

from policy_kb.check.checked import Relation, Rule
from policy_kb.check.declarations import Report, atoms_in
from policy_kb.check.safety import bound_variables, needs
from policy_kb.check.strata import Dependency, cycle_through
from policy_kb.diagnostics import Kind, walk
from policy_kb.parse import tree

MOST_OPEN_ATOMS = 10
"""A rule is read once for every set of its atoms that may be open; more atoms than this would be too many sets."""


def check_cases(relations: dict[str, Relation], rules: tuple[Rule, ...], report: Report) -> None:
    """Report rules that mix cases, known relations that depend on a case, aggregates over cases other than a count
    that is compared, and facts about a case."""
    for rule in rules:
        head = relations[rule.head.relation]
        atoms = [atom for literal in rule.body for atom in atoms_in(literal)]
        atoms += [atom for argument in rule.head.arguments for atom in atoms_in(argument)]
        about_case = [atom for atom in atoms if relations[atom.relation].is_case]
        if not head.is_case:
            if about_case:
                report(Kind.CASE_DISCIPLINE, about_case[0].span,
                       f"`{head.name}` is known for all cases; `{about_case[0].relation}` speaks of one case",
                       f"give `{head.name}` a first attribute of type `Case`")
            continue
        if head.is_input:
            report(Kind.CASE_DISCIPLINE, rule.span, f"`{head.name}` is an `.input`: its rows come from the case",
                   "derive another relation")
        subject = rule.head.arguments[0]
        if not rule.body:
            report(Kind.CASE_DISCIPLINE, rule.span, f"`{head.name}` speaks of a case: its rows come from cases",
                   "facts of rule files are known for all cases")
        elif not isinstance(subject, tree.Variable):
            report(Kind.CASE_DISCIPLINE, rule.head.span, f"`{head.name}` speaks of every case, not of a named one",
                   "write a variable such as `case`")
        else:
            for atom in about_case:
                argument = atom.arguments[0]
                if not isinstance(argument, tree.Variable) or argument.name != subject.name:
                    report(Kind.CASE_DISCIPLINE, atom.span,
                           f"`{atom.relation}` speaks of another case than `{head.name}`",
                           f"write `{subject.name}` as its first argument")
            _check_subject(rule, subject.name, relations, report)
        _check_aggregates(rule, relations, report)


def _check_subject(rule: Rule, subject: str, relations: dict[str, Relation], report: Report) -> None:
    """The case is bound by an atom about it, and is not compared with anything."""
    positive = [a for a in rule.body if isinstance(a, tree.Atom) and relations[a.relation].is_case]
    if not positive:
        report(Kind.CASE_DISCIPLINE, rule.span, f"the body of `{rule.head.relation}` has no positive atom about the "
               "case", f"begin it with `request({subject}, _, _, _)`")
    for literal in rule.body:
        atom = literal.atom if isinstance(literal, tree.Negation) else literal
        known = isinstance(atom, tree.Atom) and not relations[atom.relation].is_case
        if (known or isinstance(literal, tree.Comparison)) and subject in tree.names_outside_aggregates(literal):
            report(Kind.CASE_DISCIPLINE, literal.span, f"`{subject}` is a case, and has no value to compare",
                   "name an attribute of the case instead")
        for argument in atom.arguments[1:] if isinstance(atom, tree.Atom) else ():
            if isinstance(argument, tree.Variable) and argument.name == subject and not known:
                report(Kind.CASE_DISCIPLINE, argument.span, f"`{subject}` is the case, not a value of it",
                       "use another variable")


def _check_aggregates(rule: Rule, relations: dict[str, Relation], report: Report) -> None:
    def reads_case(aggregate: tree.Aggregate) -> bool:
        return any(relations[a.relation].is_case for literal in aggregate.body for a in atoms_in(literal))

    def refuse(aggregate: tree.Aggregate, message: str) -> None:
        report(Kind.AGGREGATE, aggregate.span, message,
               "write a count beside a comparison, such as `count : { relapse(case, on) } >= 2`")

    bound = bound_variables(literal for literal in rule.body if not any(True for _ in tree.aggregates(literal)))
    for argument in rule.head.arguments:
        for aggregate in tree.aggregates(argument):
            refuse(aggregate, "an aggregate stands in the head of a rule about a case")
    for literal in rule.body:
        for aggregate in tree.aggregates(literal):
            if not reads_case(aggregate):
                continue
            if aggregate.function != "count":
                refuse(aggregate, f"`{aggregate.function}` over what a case says: where records are missing it has no "
                       "bounds")
            elif not isinstance(literal, tree.Comparison) or aggregate not in (literal.left, literal.right):
                refuse(aggregate, "a count over what a case says is one side of a comparison, by itself")
            else:
                other = literal.right if literal.left is aggregate else literal.left
                if not needs(other, bound) <= bound or any(True for _ in tree.aggregates(other)):
                    refuse(aggregate, "the other side of a comparison with a count is bound without it")
            if any(True for inner in aggregate.body for _ in tree.aggregates(inner)):
                refuse(aggregate, "an aggregate stands inside a count over what a case says")


def check_recursion(
    strata: tuple[tuple[str, ...], ...], edges: list[Dependency], relations: dict[str, Relation], report: Report
) -> None:
    """Recursion is free among known relations; a case relation is never derived from itself."""
    for stratum in strata:
        members = set(stratum)
        inside = [edge for edge in edges if edge.head in members and edge.body in members]
        first = next((edge for edge in inside if relations[edge.head].is_case), None)
        if first is not None and not any(edge.is_strict for edge in inside):
            names = [edge.head for edge in cycle_through(first, inside, members)]
            report(Kind.RECURSIVE_CASE_RELATION, first.span, f"`{first.head}` speaks of a case and depends on itself: "
                   f"{walk([*names, first.head])}", "recursion is for known relations")


def openable(
    relations: dict[str, Relation], rules: tuple[Rule, ...], strata: tuple[tuple[str, ...], ...]
) -> frozenset[str]:
    """The case relations that can be open for some case: inputs a case may leave open, and relations some rule of
    which leaves a value of the head unbound when its open atoms are taken away."""
    can_open: set[str] = set()
    for stratum in strata:
        for name in stratum:
            relation = relations[name]
            if not relation.is_case:
                continue
            if relation.is_input:
                if relation.may_be_open:
                    can_open.add(name)
            elif any(rule.head.relation == name and opens(rule.head, rule.body, can_open, relations) for rule in rules):
                can_open.add(name)
    return frozenset(can_open)


def opens(
    head: tree.Atom,
    body: tuple[tree.Literal, ...],
    can_open: set[str] | frozenset[str],
    relations: dict[str, Relation],
) -> bool:
    """Whether a head value is unbound once every atom that can be open is taken away from the body."""
    remaining = [
        literal for literal in body if not (isinstance(literal, tree.Atom) and literal.relation in can_open)
    ]
    subject = frozenset(tree.names(head.arguments[0]))
    return not needs(head, ()) <= bound_without_counts(remaining, subject, body, relations)


def counts_case_rows(literal: tree.Literal, relations: dict[str, Relation]) -> bool:
    """Whether a literal compares a count of what a case says."""
    return isinstance(literal, tree.Comparison) and any(
        relations[atom.relation].is_case
        for aggregate in tree.aggregates(literal)
        for part in aggregate.body
        for atom in atoms_in(part)
    )


def bound_without_counts(
    body: Iterable[tree.Literal],
    already: frozenset[str],
    whole: tuple[tree.Literal, ...],
    relations: dict[str, Relation],
) -> frozenset[str]:
    """The variables that a part of a rule binds. A count of what a case says binds none: it has bounds, no value."""
    return bound_variables(
        (literal for literal in body if not counts_case_rows(literal, relations)), already, whole
    )


def check_worlds(rules: tuple[Rule, ...], can_open: frozenset[str], report: Report) -> None:
    """No body has so many atoms that can be open that reading it for each set of them would be too much."""
    for rule in rules:
        bodies = [rule.body]
        bodies += [aggregate.body for literal in rule.body for aggregate in tree.aggregates(literal)]
        for body in bodies:
            number = sum(isinstance(literal, tree.Atom) and literal.relation in can_open for literal in body)
            if number > MOST_OPEN_ATOMS:
                report(Kind.TOO_MANY_WORLDS, rule.span, f"the body has {number} atoms that may be open (at most "
                       f"{MOST_OPEN_ATOMS})", "derive a relation from some of them first")
