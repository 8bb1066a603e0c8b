"""The six stages, top to bottom: parse, check, load, evaluate, explain, report.

Each takes one value and gives one. What rule files cost is paid once: a policy is parsed, checked and doubled when it
is first used, and kept in a cache by the content of its files (see `policies`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.check.checked import CheckedProgram, Criterion, Phase, Relation, Rule, paragraphs
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, RulesRefused, in_file_order
from policy_kb.evaluate.model import Model, given_rows, model_of
from policy_kb.evaluate.plain import Engine, NoValue, Rows
from policy_kb.evaluate.worlds import Worlds, certain, possible
from policy_kb.expressions import NO_FILES, EvaluationStopped
from policy_kb.load.facts import Facts
from policy_kb.load.table_rows import TableRows
from policy_kb.parse.tree import Value
from policy_kb.record import field, record
from policy_kb.source import Files, Span

if TYPE_CHECKING:
    from policy_kb.choose.editions import Edition
    from policy_kb.explain.proof import Attempt, Explanation, Node, OpenPoint
    from policy_kb.explain.why import Explainer
    from policy_kb.load.documents import Document
    from policy_kb.policies import Decided
    from policy_kb.report.determination import Approval, Determination

_BESIDE_THE_ROOT = ("not_applicable", "notice", "granted")


@record
class Rules:
    """Checked rule files with what is known for every case. `tables` are the rows read from table files, `digest` the
    SHA-256 of all files."""

    program: CheckedProgram
    tables: Mapping[str, TableRows]
    known: Rows
    digest: str
    worlds: dict[str, Worlds] = field(default_factory=dict)


def parse_and_check(entry: Path, files: Files | None = None, base: Path | None = None) -> Rules:
    """Rule files, read and checked, with their tables and known relations. Raises RulesRefused with every problem.
    `files` reads them; `base` is their knowledge base, as of `parse_program`."""
    from policy_kb.check.constants import check_constants
    from policy_kb.check.fixed_names import check_fixed_facts
    from policy_kb.check.program import check_program
    from policy_kb.check.texts import check_letter_case, check_patterns
    from policy_kb.evaluate.known import evaluate_known
    from policy_kb.load.digest import digest_of_files
    from policy_kb.load.tables import read_known_tables
    from policy_kb.parse.includes import parse_program

    files = files or Files()
    program = check_program(*parse_program(entry, files, base))
    tables, contents = read_known_tables(program, files)
    program = replace(program, read=tables)
    try:
        known = evaluate_known(program, tables)
    except EvaluationStopped as stopped:
        # A pattern that is none is at fault where it stands, not where it is used.
        raise RulesRefused(check_patterns(program, tables, {}) or stopped.diagnostics) from None
    problems = [*check_patterns(program, tables, known), *check_letter_case(program, tables)]
    problems += [*check_constants(program, known), *check_fixed_facts(program, known)]
    problems += [note for rows in tables.values() for note in rows.notes]
    if any(not problem.is_warning for problem in problems):
        raise RulesRefused([*program.warnings, *problems])
    if problems:
        program = replace(program, warnings=tuple(in_file_order([*program.warnings, *problems])))
    return Rules(program, tables, known, digest_of_files(program, contents))


def worlds_of(rules: Rules, phase: Phase) -> Worlds:
    """The plain program of a phase: its root with all it depends on, whether it applies, what is granted, and its
    notices."""
    worlds = rules.worlds.get(phase.name)
    if worlds is None:
        worlds = rules.worlds[phase.name] = doubled(rules, phase)
    return worlds


def doubled(rules: Rules, phase: Phase, also: Iterable[str] = ()) -> Worlds:
    """As `worlds_of`, made anew, `also` with these relations."""
    from policy_kb.evaluate.worlds import double

    refusals = [relation.name for relation in rules.program.relations.values() if relation.is_refusal]
    return double(rules.program, [phase.root, *_BESIDE_THE_ROOT, *refusals, *also])


def evaluate(worlds: Worlds, engine: Engine, facts: Facts, files: Mapping[str, str] = NO_FILES) -> Model:
    """The model of a case. A value that does not exist (a division by zero) refuses the case, with the place of the
    expression and of the records that it was to come from; `files` are the texts of the rules."""
    try:
        return model_of(worlds, facts, engine.evaluate(given_rows(worlds, facts)))
    except EvaluationStopped as stopped:
        raise CaseRefused(stopped.in_files(files, _origin(worlds, facts, stopped)).diagnostics) from None


def _origin(worlds: Worlds, facts: Facts, stopped: EvaluationStopped) -> str:
    """The records that a value which does not exist was to come from, for the end of a message."""
    if not isinstance(stopped, NoValue):
        return ""
    from policy_kb.evaluate.origins import origins

    found = origins(worlds.program, stopped)
    rows = [
        row for relation, rows in facts.rows.items() for row in rows
        if (certain(relation), row.values) in found or (possible(relation), row.values) in found
    ]
    named = [f"`{row.path or row.relation}` ({row.span})" for row in rows]
    return f", from {' and '.join(named)}" if named else ""


def check_refusals(
    rules: Rules,
    known: Rows,
    worlds: Worlds,
    engine: Engine,
    facts: Facts,
    model: Model,
    document: Document | None = None,
) -> None:
    """Refuse a case with a row of a relation that the vocabulary declares `@[refused]`: one that is certain when every
    uncertain row holds. The place is that of the record it rests on."""
    refusals = [relation for relation in rules.program.relations.values() if relation.is_refusal]
    if facts.is_uncertain and any(model.possible.get(relation.name) for relation in refusals):
        facts = facts.with_uncertain_rows()
        model = evaluate(worlds, engine, facts, rules.program.files)
    if not any(model.certain.get(relation.name) for relation in refusals):
        return
    from policy_kb.explain.lookup import Lookup
    from policy_kb.explain.proof import Claim
    from policy_kb.explain.why import Explainer
    from policy_kb.explain.written import sentence

    explainer = Explainer(Lookup(rules.program, known, facts, model))
    problems = []
    for relation in refusals:
        for row in sorted(model.certain.get(relation.name, ())):
            span, path = _cause(facts, explainer.explain(Claim(relation.name, row)))
            excerpt = document.line_text(span.line) if document is not None else None
            message = sentence(relation, row, facts.written)
            problems.append(Diagnostic(Kind.REFUSED_ROW, span, message, "correct the record", path, excerpt))
    raise CaseRefused(problems)


def _cause(facts: Facts, proof: Node) -> tuple[Span, str]:
    """The place of the first record that a proof rests on; that of the request if there is no other."""
    from policy_kb.explain.proof import Derived, Given

    found: dict[tuple[str, tuple[Value | None, ...]], None] = {}
    waiting = [proof]
    while waiting:
        match waiting.pop(0):
            case Given(claim=claim, is_known=False):
                found[claim.relation, claim.values] = None
            case Derived(steps=steps):
                waiting[:0] = [step.node for step in steps]
    for relation, values in sorted(found, key=lambda record: record[0] == "request"):
        for row in facts.rows[relation]:
            if row.values == values:
                return row.span, row.path
    return Span(facts.source, 1), ""


def decision_of(phase: Phase, model: Model) -> str:
    """The answer for the root of a phase, or `not applicable`, which goes before it."""
    from policy_kb.report.determination import NOT_APPLICABLE

    return NOT_APPLICABLE if model.certain.get("not_applicable") else model.answer(phase.root)


def criteria_of(rules: Rules, worlds: Worlds, phase: Phase, model: Model) -> dict[str, str]:
    """The answer for every paragraph of a phase, in the order of the guideline."""
    return {
        number: _best(model.answer(one.name) if isinstance(one, Relation) else model.holds[one.number] for one in said)
        for number, said in stating(rules.program, worlds, phase).items()
    }


def stating(program: CheckedProgram, worlds: Worlds, phase: Phase) -> dict[str, list[Relation | Rule]]:
    """The relations and the rules that state each paragraph of a phase, in the order of the guideline."""
    from policy_kb.report.wording import number_order

    found: dict[str, list[Relation | Rule]] = {}
    those: list[Relation | Rule] = [*program.relations.values(), *worlds.stated]
    for one in those:
        for number in paragraphs(one.criteria, phase.name):
            found.setdefault(number, []).append(one)
    return {number: found[number] for number in sorted(found, key=number_order)}


def _best(answers: Iterable[str]) -> str:
    given = set(answers)
    return next(answer for answer in (MET, NEEDS_INFORMATION, NOT_MET) if answer in given)


def explain(
    rules: Rules, known: Rows, worlds: Worlds, phase: Phase, facts: Facts, model: Model,
    under: Callable[[str, str], Decided | None],
) -> Explanation:
    """Why the root of a phase is met, not met or open, or why the policy does not apply: a proof from the model and the
    rules as written. `under` decides the case with another choice for a reading, where there is one."""
    from policy_kb.explain.lookup import Lookup
    from policy_kb.explain.missing import open_points
    from policy_kb.explain.proof import Claim, Explanation
    from policy_kb.explain.readings import readings_used
    from policy_kb.explain.why import Explainer

    lookup = Lookup(rules.program, known, facts, model)
    claim = Claim(phase.root, (facts.case,))

    def lookup_under(name: str, choice: str) -> Lookup | None:
        decided = under(name, choice)
        return None if decided is None else Lookup(rules.program, decided.known, decided.facts, decided.model)

    explainer = Explainer(lookup, lookup_under)
    if model.certain.get("not_applicable"):
        root = explainer.explain(Claim("not_applicable", (facts.case, None)))
        return Explanation(root, (), MET, {})
    root = explainer.explain(claim)
    criteria = criteria_of(rules, worlds, phase, model)
    return Explanation(
        root,
        explainer.parts(claim),
        model.answer(phase.root),
        criteria,
        open_points(lookup, phase.root, phase.name),
        readings_used(rules.program, known, root),
        partial(_stating, explainer, phase),
    )


def _stating(explainer: Explainer, phase: Phase, number: str) -> list[Node | Attempt]:
    return explainer.stating(Criterion(phase.name, number))


def report(
    rules: Rules, known: Rows, worlds: Worlds, phase: Phase, facts: Facts, model: Model,
    explanation: Explanation | None, edition: Edition, not_held_on: int | None = None,
) -> Determination:
    """The determination of a case by an edition; `not_held_on`: the day of the request, where the edition does not hold
    then."""
    from policy_kb.check.alternatives import alternatives
    from policy_kb.explain.readings import readings_asked
    from policy_kb.explain.written import sentence
    from policy_kb.report.determination import NOT_APPLICABLE, Determination
    from policy_kb.report.wording import reason

    def determination(
        decision: str, why: str, criteria: Mapping[str, str], approval: tuple[Approval, ...] | None,
        missing: tuple[OpenPoint, ...],
    ) -> Determination:
        used = explanation.readings if explanation else readings_asked(rules.program, known, phase.root)
        return Determination(
            facts.case, facts.source, phase, edition, decision, why, criteria, approval, missing, notices, used,
            explanation, rules.digest, facts.digest, rules.program, facts.rows, facts.notes,
        )

    notices: tuple[str, ...] = ()
    if not_held_on is not None:
        return determination(NOT_APPLICABLE, edition.not_held(not_held_on), {}, None, ())
    notices = tuple(sorted(str(row[1]) for row in model.certain.get("notice", ())))
    elsewhere = sorted(str(row[1]) for row in model.certain.get("not_applicable", ()))
    if elsewhere:
        relation = rules.program.relations["not_applicable"]
        why = "; ".join(sentence(relation, (facts.case, whose), facts.written) for whose in elsewhere)
        return determination(NOT_APPLICABLE, why, {}, None, ())
    decision = decision_of(phase, model)
    criteria = explanation.criteria if explanation else criteria_of(rules, worlds, phase, model)
    missing = explanation.missing if explanation else _questions(rules, known, phase, facts, model)
    approval = _approved(rules, known, phase, facts, model) if decision == MET else None
    why = reason(decision, phase.name, criteria, len(missing), alternatives(rules.program, phase))
    return determination(decision, why, criteria, approval, missing)


def _approved(
    rules: Rules, known: Rows, phase: Phase, facts: Facts, model: Model
) -> tuple[Approval, ...] | None:
    """What the policy approves for a phase, then what is certainly granted to a case, by unit. Refused: two amounts of
    one unit."""
    from policy_kb.explain.written import shown
    from policy_kb.report.determination import Approval, approvals

    granted = sorted((str(unit), amount) for _, amount, unit in model.certain.get("granted", ()))
    found = (*approvals(rules.program, known, phase), *(Approval(amount, unit) for unit, amount in granted))
    amounts: dict[str, list[str]] = {}
    for one in found:
        amounts.setdefault(one.unit, []).append(shown(one.amount))
    problems = [
        Diagnostic(Kind.REFUSED_ROW, Span(facts.source, 1), f"`{unit}` is approved twice: {' and '.join(several)}",
                   "correct the rules of `granted`: one amount of a unit for a case")
        for unit, several in amounts.items() if len(several) > 1
    ]
    if problems:
        raise CaseRefused(problems)
    return found or None


def _questions(rules: Rules, known: Rows, phase: Phase, facts: Facts, model: Model) -> tuple[OpenPoint, ...]:
    """What can still change the decision, where no explanation is asked for."""
    if model.answer(phase.root) != NEEDS_INFORMATION:
        return ()
    from policy_kb.explain.lookup import Lookup
    from policy_kb.explain.missing import open_points

    return open_points(Lookup(rules.program, known, facts, model), phase.root, phase.name)


def checked_readings(rules: Rules, readings: Mapping[str, str]) -> dict[str, str]:
    """Readings a reader asks for. Refused: a name the policy does not have, a choice it does not allow."""
    from policy_kb.check import constants

    return constants.checked_readings(rules.known, readings)
