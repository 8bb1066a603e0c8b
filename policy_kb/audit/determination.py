"""Checks every field of a determination: see `check`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET, REFUSED
from policy_kb.audit.places import Places
from policy_kb.audit.proofs import Explanations
from policy_kb.audit.questions import questions
from policy_kb.audit.rules import RuleBook
from policy_kb.audit.statuses import Statuses, Table
from policy_kb.audit.walk import ROOT, Unsound, compare, entries, fields, mapping, shown
from policy_kb.check.alternatives import alternatives
from policy_kb.check.checked import CheckedProgram, Phase, Relation, Rule, constants, paragraphs
from policy_kb.check.constants import choices
from policy_kb.check.declarations import atoms_in
from policy_kb.check.strata import dependencies, reachable
from policy_kb.choose.editions import Edition
from policy_kb.diagnostics import Diagnostic, Kind, Refused, RulesRefused
from policy_kb.explain.proof import Claim
from policy_kb.explain.written import json_value, sentence
from policy_kb.expressions import EvaluationStopped
from policy_kb.load.documents import Document
from policy_kb.load.facts import Facts
from policy_kb.parse.tree import Constant
from policy_kb.report.wording import number_order, reason
from policy_kb.source import Span

FIELDS = ("case", "source", "policy", "title", "revised", "phase", "edition", "decision", "reason", "criteria",
          "approval", "missing", "notices", "readings", "rules", "facts", "format")
FORMAT = 2
EXPLANATION = "explanation"
"""Is left out by `--no-explanation`; then no more is known of the readings relied on than that they are in force."""
SENSITIVITY = "sensitivity"
"""Stands in a determination made with `--sensitivity`."""

NOT_APPLICABLE = "not applicable"


def check(
    book: RuleBook, document: Document, readings: Mapping[str, str], said: object,
    ended: Callable[[Phase], Edition] | None = None,
) -> None:
    """Refuse a determination of a case that is not exactly what the rules give for it, under the readings of the rule
    files but for those given here. `ended` gives the edition of a phase as later editions end it; without it, it ends
    where its own rules say. Raises Unsound at the first wrong step, CaseRefused for a case that cannot be read.
    """
    try:
        _check(book, document, readings, said, ended)
    except RecursionError:
        message = "the rules depend on each other too deeply to be audited"
        raise RulesRefused([Diagnostic(Kind.UNREADABLE, Span(book.program.entry, 1), message)]) from None


def _check(
    book: RuleBook, document: Document, readings: Mapping[str, str], said: object,
    ended: Callable[[Phase], Edition] | None,
) -> None:
    found = mapping(said, ROOT)
    if "format" not in found:
        raise Unsound((ROOT, "format"), "it has none, as what version 0.1 made", f"it has to be {shown(FORMAT)}",
                      "audit it with the version that made it, or decide the case again")
    fields(found, {"format": FORMAT}, ROOT, (*FIELDS, *({EXPLANATION, SENSITIVITY} & found.keys())))
    compare(found["policy"], book.policy, (ROOT, "policy"))
    compare(found["rules"], book.digest, (ROOT, "rules"), "it was decided by other rule files")
    facts = book.reader.read(document)
    compare(found["case"], facts.case, (ROOT, "case"))
    compare(found["facts"], facts.digest, (ROOT, "facts"), "the case says something else")
    known = book.known(readings)
    _readings_in_force(found["readings"], known)
    places = Places(facts.source, found["source"], (ROOT, "source"))
    statuses = Statuses(book.bodies, known, facts)
    try:
        phase = _phase(book, statuses, facts)
        _work_out(statuses, phase)
    except EvaluationStopped as stop:
        raise Unsound(ROOT, "it decides a case", f"the case has to be refused: {stop.message} ({stop.span})") from None
    decision = _decision(statuses, phase, facts)
    compare(found["title"], phase.title, (ROOT, "title"))
    compare(found["revised"], phase.revised, (ROOT, "revised"))
    compare(found["phase"], phase.name, (ROOT, "phase"))
    edition = _edition(book, phase, found["edition"], ended)
    day = edition.day_asked(book.program.relations["request"].attributes, facts.rows["request"][0].values)
    if EXPLANATION not in found and found["decision"] == NOT_APPLICABLE and not edition.holds_on(day):
        _check_not_held(found, edition.not_held(day))
        return
    compare(found["decision"], decision, (ROOT, "decision"))
    is_applicable = decision != NOT_APPLICABLE
    criteria = _criteria(statuses, phase, facts) if is_applicable else {}
    missing = questions(statuses, facts, phase.root, phase.name) if is_applicable else []
    compare(found["criteria"], criteria, (ROOT, "criteria"))
    compare(found["missing"], missing, (ROOT, "missing"))
    if is_applicable:
        why = reason(decision, phase.name, criteria, len(missing), alternatives(book.program, phase))
    else:
        relation = book.program.relations[_ELSEWHERE]
        rows = [(facts.case, whose) for whose in _texts(statuses, _ELSEWHERE)]
        why = "; ".join(sentence(relation, row, facts.written) for row in rows)
    compare(found["reason"], why, (ROOT, "reason"))
    approval = _approval(book.program, statuses, phase) if decision == MET else None
    compare(found["approval"], approval, (ROOT, "approval"))
    compare(found["notices"], _texts(statuses, "notice"), (ROOT, "notices"))
    if EXPLANATION in found:
        under = cache(partial(_under, book, facts, readings))
        used = _explanation(found[EXPLANATION], statuses, facts, phase, places, under, is_applicable=is_applicable)
        compare(found["readings"], used, (ROOT, "readings"))
    if SENSITIVITY in found:
        compare(found[SENSITIVITY], _sensitivity(book, facts, phase, readings, decision), (ROOT, SENSITIVITY))


def _edition(book: RuleBook, phase: Phase, said: object, ended: Callable[[Phase], Edition] | None) -> Edition:
    """The edition that a determination names: as its rules say when it ends, or as later editions do."""
    edition = book.editions[phase.name]
    if said != edition.to_dict() and ended is not None:
        edition = ended(phase)
    compare(said, edition.to_dict(), (ROOT, "edition"))
    return edition


def _check_not_held(found: Mapping[str, Any], reason: str) -> None:
    """Refuse anything but that the text of the day asked for is not held."""
    wanted: dict[str, object] = {"decision": NOT_APPLICABLE, "reason": reason, "criteria": {}, "missing": [],
                                 "approval": None, "notices": [], SENSITIVITY: []}
    for name, value in wanted.items():
        if name in found:
            compare(found[name], value, (ROOT, name))


def _explanation(
    said: object, statuses: Statuses, facts: Facts, phase: Phase, places: Places,
    under: Callable[[str, str], Statuses | None], *, is_applicable: bool,
) -> dict[str, str]:
    """Refuse an explanation of anything but the decision; gives the readings it relies on."""
    where = (ROOT, "explanation")
    if {"criterion", "why_not"} & mapping(said, where).keys():
        raise Unsound(where, "it is a part of an explanation", "it has to be the whole",
                      "explain the case again without a criterion and without --why-not")
    is_one_of = is_applicable and len(list(statuses.program.rules_for(phase.root))) > 1
    found = fields(said, {"one_of": True} if is_one_of else {}, where, ("root", "parts", "nodes"))
    explanations = Explanations(statuses, facts, places, found["nodes"], (where, "nodes"), under)
    used: dict[str, str] = {}
    if is_applicable:
        root = Claim(phase.root, (facts.case,))
        explanations.claim(root, found["root"], (where, "root"))
        used = _readings(statuses.program, statuses.known, explanations.shown)
        explanations.parts(root, found["parts"], (where, "parts"))
    else:
        explanations.claim(Claim(_ELSEWHERE, (facts.case, None)), found["root"], (where, "root"))
        entries(found["parts"], 0, (where, "parts"))
    explanations.end()
    return used


_ELSEWHERE = "not_applicable"


def _texts(statuses: Statuses, relation: str) -> list[str]:
    """What the certain rows of a relation say, in order; a policy may do without the relation."""
    if relation not in statuses.program.relations:
        return []
    return sorted(str(row[1]) for row in statuses.status(relation).certain.rows)


def _phase(book: RuleBook, statuses: Statuses, facts: Facts) -> Phase:
    """The phase that the case asks for. A case that would have been refused has no determination."""
    program = statuses.program
    (request,) = facts.rows["request"]
    drug, name = str(request.values[1]), str(request.values[2])
    covered = {str(row[0]) for row in statuses.known["covers"].rows} if "covers" in statuses.known else set()
    phase = next((one for one in program.phases if one.name == name), None)
    if phase is None or (covered and drug not in covered):
        what = f"the drug {shown(drug)}" if phase is not None else f"the phase {shown(name)}"
        raise Unsound(ROOT, "it decides a case", f"the policy does not know {what}: the case has to be refused")
    held = Statuses(book.bodies, statuses.known, facts.with_uncertain_rows())
    for relation in program.relations.values():
        if relation.is_refusal and held.status(relation.name).certain.rows:
            row = min(held.status(relation.name).certain.rows)
            says = sentence(relation, row, facts.written)
            raise Unsound(ROOT, "it decides a case", f"the case has to be refused: {says}")
    return phase


def _work_out(statuses: Statuses, phase: Phase) -> None:
    """All that is asked of the case. Raises EvaluationStopped where a value that is needed does not exist."""
    program = statuses.program
    edges = list(dependencies((rule.head, rule.body) for rule in program.rules))
    for root in (phase.root, _ELSEWHERE, "notice", "granted"):
        for name in reachable(root, edges) if root in program.relations else ():
            if program.relations[name].is_case:
                statuses.status(name)


def _decision(statuses: Statuses, phase: Phase, facts: Facts) -> str:
    if _texts(statuses, _ELSEWHERE):
        return NOT_APPLICABLE
    return statuses.answer_for(Claim(phase.root, (facts.case,)))


def _criteria(statuses: Statuses, phase: Phase, facts: Facts) -> dict[str, str]:
    """The best answer that a relation or a rule gives for each paragraph of the phase, in the guideline's order."""
    answers: dict[str, set[str]] = {}
    for relation in statuses.program.relations.values():
        for number in paragraphs(relation.criteria, phase.name):
            answers.setdefault(number, set()).add(_any_row(statuses, relation, facts))
    for rule in statuses.program.rules:
        for number in paragraphs(rule.criteria, phase.name):
            answers.setdefault(number, set()).add(_body(statuses, rule, facts))
    in_order = sorted(answers, key=number_order)
    return {n: next(a for a in (MET, NEEDS_INFORMATION, NOT_MET) if a in answers[n]) for n in in_order}


def _any_row(statuses: Statuses, relation: Relation, facts: Facts) -> str:
    return statuses.answer_for(Claim(relation.name, (facts.case,) + (None,) * (relation.arity - 1)))


def _body(statuses: Statuses, rule: Rule, facts: Facts) -> str:
    """The answer for the body of a rule, whatever its head."""
    begun = statuses.begin(rule, Claim(rule.head.relation, (facts.case,) + (None,) * (len(rule.head.arguments) - 1)))
    assert begun is not None
    if rule.possible is None and any(True for _ in statuses.solve(begun[1], begun[0], True)):
        return MET
    return NEEDS_INFORMATION if any(True for _ in statuses.solve(begun[1], begun[0], False)) else NOT_MET


def _approval(program: CheckedProgram, statuses: Statuses, phase: Phase) -> list[dict[str, Any]] | None:
    """What the policy approves for a phase, then what is certainly granted, by unit."""
    in_files = [constants(atom) for atom, _ in program.facts if atom.relation == "approval"]
    approved = statuses.known["approval"].rows if "approval" in statuses.known else set()
    in_order = sorted(approved, key=lambda row: (in_files.index(row) if row in in_files else len(in_files), row))
    rows = [row[1:] for row in in_order if row[0] == phase.name]
    if "granted" in program.relations:
        certain = statuses.status("granted").certain.rows
        rows += sorted((row[1:] for row in certain), key=lambda row: (str(row[1]), row[0]))
    units = [str(unit) for _, unit in rows]
    twice = [unit for unit in units if units.count(unit) > 1]
    if twice:
        raise Unsound(ROOT, "it decides a case", f"the case has to be refused: {shown(twice[0])} is approved twice")
    return [{"amount": json_value(amount), "unit": unit} for amount, unit in rows] or None


def _in_force(known: Mapping[str, Table]) -> dict[str, str]:
    rows = known["reading"].rows if "reading" in known else set()
    return {str(name): str(choice) for name, choice in rows}


def _readings_in_force(said: object, known: Mapping[str, Table]) -> None:
    """Refuse a reading other than that of this audit before anything that rests on it."""
    where = (ROOT, "readings")
    in_force = _in_force(known)
    for name, choice in mapping(said, where).items():
        if name not in in_force:
            raise Unsound((where, name), f"it says {shown(choice)}", "there is no reading of this name")
        if choice != in_force[name]:
            hint = f"audit with `--reading {name}={choice}` what was decided with it"
            compare(choice, in_force[name], (where, name), hint if isinstance(choice, str) else None)


def _readings(program: CheckedProgram, known: Mapping[str, Table], shown_rules: Iterable[int]) -> dict[str, str]:
    """The readings that rules ask for, themselves or through known relations, each with the choice in force."""
    in_force = _in_force(known)
    used: set[str] = set()
    seen: set[str] = set()
    waiting = [program.rules[number] for number in shown_rules]
    while waiting:
        for atom in (atom for literal in waiting.pop().body for atom in atoms_in(literal)):
            if atom.relation == "reading" and isinstance(atom.arguments[0], Constant):
                used.add(str(atom.arguments[0].value))
            elif not program.relations[atom.relation].is_case and atom.relation not in seen:
                seen.add(atom.relation)
                waiting += program.rules_for(atom.relation)
    return {name: in_force[name] for name in sorted(used & in_force.keys())}


def _sensitivity(
    book: RuleBook, facts: Facts, phase: Phase, readings: Mapping[str, str], decision: str
) -> list[dict[str, str]]:
    """The readings with an alternative that would change the decision."""
    changes = []
    for name, allowed in choices({name: table.rows for name, table in book.known(readings).items()}).items():
        for choice in allowed[1:]:
            statuses = _under(book, facts, readings, name, choice)
            other = REFUSED if statuses is None else _decision(statuses, phase, facts)
            if other != decision:
                changes.append({"reading": name, "choice": choice, "decision": other})
    return changes


def _under(book: RuleBook, facts: Facts, readings: Mapping[str, str], name: str, choice: str) -> Statuses | None:
    """What holds with another choice for a reading; None where there is none, or the case has to be refused then."""
    try:
        statuses = Statuses(book.bodies, book.known({**readings, name: choice}), facts)
        _work_out(statuses, _phase(book, statuses, facts))
    except (Refused, Unsound):
        return None
    return statuses
