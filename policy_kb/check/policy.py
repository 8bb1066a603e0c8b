"""What a policy leaves unsaid: questions, sentences and paragraphs that a reader would miss."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from policy_kb.check.checked import Criterion, Phase, Relation, Rule, paragraphs
from policy_kb.check.declarations import Report, atoms_in
from policy_kb.check.emptiness import empty_where, failing
from policy_kb.check.strata import Dependency
from policy_kb.diagnostics import Kind
from policy_kb.parse import tree
from policy_kb.source import Span


def check_policy(
    relations: dict[str, Relation],
    rules: tuple[Rule, ...],
    strata: tuple[tuple[str, ...], ...],
    phases: tuple[Phase, ...],
    edges: list[Dependency],
    reaches: Callable[[str], set[str]],
    report: Report,
) -> None:
    """Warn of inputs without question or sentence, paragraphs without the one they belong to, conditions of a decision
    that belong to no paragraph, and closed relations that answer a case which does not mention them.

    `reaches(name)` are the names of the relations a relation depends on, itself included.
    """
    rules_of: dict[str, list[Rule]] = {}
    for rule in rules:
        rules_of.setdefault(rule.head.relation, []).append(rule)
    if phases:
        _check_inputs(relations, {edge.body for edge in edges}, report)
        _check_closed(relations, rules_of, strata, phases, report)
    for phase in phases:
        _check_paragraphs(relations, rules, phase, report)
        _check_root(relations, rules_of, phase, reaches, report)


def _check_inputs(relations: dict[str, Relation], read: set[str], report: Report) -> None:
    for relation in relations.values():
        if not (relation.is_case and relation.is_input and relation.name in read):
            continue
        if not relation.sentence:
            report.warn(Kind.NO_SENTENCE, relation.span, f"no sentence says how a row of `{relation.name}` reads",
                        "write it above as a doc comment: `/// {attribute} ...`")
        is_always_stated = relation.is_single and relation.is_required
        if not (relation.ask or "").strip() and not is_always_stated:
            report.warn(Kind.NO_QUESTION, relation.span, f"no question asks for `{relation.name}` where it is unknown",
                        'write `@[ask("...?")]` above')


def _check_paragraphs(
    relations: dict[str, Relation], rules: tuple[Rule, ...], phase: Phase, report: Report
) -> None:
    """A paragraph such as 3.a belongs to paragraph 3, where there are paragraphs such as 1 and 2."""
    places: dict[str, Span] = {}
    for criteria, span in (
        *((one.criteria, one.span) for one in relations.values()), *((one.criteria, one.span) for one in rules)
    ):
        for number in paragraphs(criteria, phase.name):
            places.setdefault(number, span)
    above = {number: number.rpartition(".")[0] for number in places}
    levels = {parent for number, parent in above.items()}
    reported = set()
    for number, parent in above.items():
        if not parent or parent in places or parent in reported:
            continue
        beside = parent.rpartition(".")[0]
        if any(other != parent and upper == beside for other, upper in above.items()) and beside in levels:
            reported.add(parent)
            report.warn(Kind.NO_PARENT, places[number], f"no criterion is `{phase.name} {parent}`, to which `{number}` "
                        "belongs", f'write `@[criterion("{phase.name} {parent}")]` at what it is a part of')


def _check_root(
    relations: dict[str, Relation], rules_of: dict[str, list[Rule]], phase: Phase,
    reaches: Callable[[str], set[str]], report: Report,
) -> None:
    """Every condition of a decision belongs to a paragraph; a phase without paragraphs has none to belong to."""
    def states(name: str) -> bool:
        criteria: list[Criterion] = [*relations[name].criteria]
        criteria += [one for rule in rules_of.get(name, ()) for one in rule.criteria]
        return bool(paragraphs(criteria, phase.name))

    if relations[phase.root].criteria or not any(states(name) for name in reaches(phase.root)):
        return
    for rule in rules_of.get(phase.root, ()):
        for literal in rule.body if not paragraphs(rule.criteria, phase.name) else ():
            asked = [atom for atom in atoms_in(literal) if relations[atom.relation].is_case and not _only_binds(atom)]
            if asked and not any(states(name) for atom in asked for name in reaches(atom.relation)):
                report.warn(Kind.NO_CRITERION, literal.span, f"no criterion of `{phase.name}` states this condition: "
                            "where it fails, none is named", 'state it in a relation with `@[criterion("...")]`')


def _only_binds(atom: tree.Atom) -> bool:
    """Whether an atom says nothing that a case could fail: the request, with any values."""
    return atom.relation == "request" and not any(isinstance(one, tree.Constant) for one in atom.arguments)


def _check_closed(
    relations: dict[str, Relation], rules_of: dict[str, list[Rule]], strata: tuple[tuple[str, ...], ...],
    phases: tuple[Phase, ...], report: Report,
) -> None:
    """A closed relation is no record where a case does not mention it: no decision should fail by that alone."""
    for relation in relations.values():
        if not relation.is_closed:
            continue
        empty = empty_where(rules_of, strata, [relation.name])
        for phase in phases:
            reading = next(_readers(phase.root, relation.name, rules_of, empty), None) if phase.root in empty else None
            if reading is not None:
                report.warn(Kind.CLOSED, reading.span, f"a case that does not mention `{relation.name}` is quietly not "
                            f"met: the relation is `@[closed]`, and `{phase.root}` needs a row of it",
                            "leave `@[closed]` out, so that it is asked for")
                break


def _readers(
    name: str, closed: str, rules_of: dict[str, list[Rule]], empty: frozenset[str]
) -> Iterator[tree.Atom]:
    """The atoms of a closed relation by the lack of which another has no row."""
    for rule in rules_of.get(name, ()):
        for literal in failing(rule.body, empty):
            for atom in atoms_in(literal):
                if atom.relation == closed:
                    yield atom
                elif atom.relation in empty:
                    yield from _readers(atom.relation, closed, rules_of, empty)
