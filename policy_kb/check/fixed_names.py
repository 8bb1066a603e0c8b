"""Facts with fixed names: what a policy says about itself, declared as it must be and saying what can be so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policy_kb.check.checked import CheckedProgram, Relation, Rule, in_file_order
from policy_kb.check.constants import Known, check_value, choices
from policy_kb.check.declarations import Report, atoms_in
from policy_kb.check.emptiness import empty_where
from policy_kb.diagnostics import Diagnostic, Kind, did_you_mean, listed, quoted
from policy_kb.numbers import exactly
from policy_kb.parse import tree
from policy_kb.parse.tree import Value
from policy_kb.source import NOWHERE, Span
from policy_kb.text import folded

_FIXED = {
    "covers": "what: symbol",
    "not_applicable": "case: Case, whose: symbol",
    "notice": "case: Case, text: symbol",
    "approval": "phase: symbol, amount: number, unit: symbol",
    "granted": "case: Case, amount: number, unit: symbol",
    "reading": "name: symbol, choice: symbol",
    "alternative": "name: symbol, choice: symbol",
    "section": "order: number, heading: symbol, relation: symbol",
    "request": "case: Case, drug: symbol, phase: symbol, received: Date",
}
"""The relations with a fixed name, as they are declared: types may lie below these, an `amount` may be a `float`, and
attributes may be called otherwise."""

def check_fixed_names(relations: dict[str, Relation], report: Report) -> None:
    """Report relations whose name means something in a policy and that are declared otherwise; a program without cases
    is no policy."""
    if not any(relation.is_case for relation in relations.values()):
        return
    for name, shape in _FIXED.items():
        relation = relations.get(name)
        if relation is not None and not _has_shape(relation, shape):
            hint = f"write `.decl {name}({shape})`, or choose another name"
            if name == "approval" and relation.arity == 4:
                hint = f"{hint}; an approval is one fact for each unit: `approval(\"initiation\", 5, \"doses\")`"
            message = f"`{name}` has a meaning of its own, and is declared otherwise"
            report(Kind.FIXED_NAME, relation.span, message, hint)


def _has_shape(relation: Relation, shape: str) -> bool:
    wanted = [attribute.split(": ") for attribute in shape.split(", ")]
    if relation.arity != len(wanted) or relation.is_case != (wanted[0][1] == "Case"):
        return False
    kinds = {"Case": {"symbol"}, "Date": {"number"}}
    return all(
        attribute.kind in ({"number", "float"} if name == "amount" else kinds.get(type_, {type_}))
        for attribute, (name, type_) in zip(relation.attributes, wanted, strict=True)
    )



def check_fixed_facts(program: CheckedProgram, known: Known) -> list[Diagnostic]:
    """Everything wrong with the rows of relations with a fixed name, at the fact, the row of a table or, of what rules
    derive, the declaration; a program without a phase is no policy."""
    report = Report(program.files)
    if program.phases:
        facts = _Facts(program, known)
        _check_approvals(facts, report)
        _check_covers(facts, report)
        _check_sections(facts, report)
        _check_readings(facts, report)
    return report.problems


class _Facts:
    """The rows of known relations, with their places."""

    def __init__(self, program: CheckedProgram, known: Known):
        self.program, self.known = program, known
        self._places = program.places

    def rows(self, relation: str) -> Iterator[tuple[tuple[Value, ...], Span]]:
        for row in in_file_order(self.program, relation, self.known.get(relation, ())):
            yield row, self._places.get((relation, row), self.program.relations[relation].span)


def _check_approvals(facts: _Facts, report: Report) -> None:
    phases = [phase.name for phase in facts.program.phases]
    seen: dict[tuple[Value, str], tuple[str, Span]] = {}
    for (phase, amount, unit), span in facts.rows("approval"):
        if phase not in phases:
            report(Kind.UNKNOWN_PHASE, span, f"no phase is called {quoted(phase)}",
                   did_you_mean(str(phase), phases) or f"the phases are {listed(phases, 'and')}")
            continue
        approved = f"{amount if isinstance(amount, str) else exactly(amount)} {unit}"
        first, place = seen.setdefault((phase, folded(str(unit))), (approved, span))
        if first != approved:
            report(Kind.APPROVAL_TWICE, span, f"`{phase}` is approved for {quoted(first)} and for {quoted(approved)}",
                   f"leave one out: the other stands at {place}")


def _check_covers(facts: _Facts, report: Report) -> None:
    """The policy covers something, and a case can name it, and each phase."""
    program = facts.program
    request = program.relations.get("request")
    covered = list(facts.rows("covers"))
    if not covered:
        first = program.relations[program.phases[0].root]
        report.warn(Kind.COVERS_NOTHING, first.span, "the policy covers nothing: no request is decided by it unless it "
                    "is named", 'write a fact such as `covers("Lemtrada")`')
    if request is None:
        return
    item, phase_asked = request.attributes[1:3]
    for row, span in covered:
        if item.domain is None or item.domain != program.relations["covers"].attributes[0].domain:
            check_value(row[0], item, span, facts.known, report)
    for phase in program.phases:
        allowed = Report({})
        check_value(phase.name, phase_asked, NOWHERE, facts.known, allowed)
        for problem in allowed.problems:
            report(Kind.UNKNOWN_PHASE, program.relations[phase.root].span, f"no request can name the phase "
                   f"`{phase.name}`: `{phase_asked.name}` of `request` does not allow it", problem.hint)


def _check_sections(facts: _Facts, report: Report) -> None:
    relations = facts.program.relations
    for (_, heading, name), span in facts.rows("section"):
        if str(name) not in relations:
            report(Kind.UNKNOWN_RELATION, span, f"the section {quoted(heading)} lists {quoted(name)}, which is not "
                   "declared", did_you_mean(str(name), relations) or "name a known relation")
        elif relations[str(name)].is_case:
            report(Kind.CASE_DISCIPLINE, span, f"the section {quoted(heading)} lists `{name}`, which speaks of a case",
                   "name a relation whose rows are known for all cases")


def _check_readings(facts: _Facts, report: Report) -> None:
    """Each reading is chosen once, has an alternative and is read; each alternative belongs to a reading and is told
    from the others by some rule."""
    allowed = choices(facts.known)
    chosen: dict[Value, Value] = {}
    for (name, choice), span in facts.rows("reading"):
        if name in chosen:
            both = listed(map(str, (chosen[name], choice)), "and")
            report(Kind.BAD_READING, span, f"the reading `{name}` is chosen twice: {both}",
                   "leave one out, or make it an `alternative`")
        elif len(allowed[str(name)]) == 1:
            report.warn(Kind.BAD_READING, span, f"the reading `{name}` has no alternative",
                        f'write `alternative("{name}", ...)`, or leave the reading out')
        chosen.setdefault(name, choice)
    for (name, _), span in facts.rows("alternative"):
        if name not in chosen:
            report(Kind.BAD_READING, span, f"no reading is called `{name}`",
                   did_you_mean(str(name), map(str, chosen)) or f'write `reading("{name}", ...)` too')
    readers = [
        atom for rule in facts.program.rules for literal in rule.body for atom in atoms_in(literal)
        if atom.relation == "reading"
    ]
    for atom in readers:
        _check_reader(atom, allowed, report)
    _check_choices(facts, readers, chosen, report)


def _check_reader(atom: tree.Atom, allowed: Mapping[str, list[str]], report: Report) -> None:
    name, choice = atom.arguments
    if not isinstance(name, tree.Constant) or not isinstance(choice, tree.Constant):
        return
    if name.value not in allowed:
        report(Kind.BAD_READING, name.span, f"no reading is called {quoted(name.value)}",
               did_you_mean(str(name.value), allowed) or "declare it with a `reading` fact")
    elif choice.value not in allowed[str(name.value)]:
        report(Kind.BAD_READING, choice.span, f"{quoted(choice.value)} is no choice of `{name.value}`",
               f"its choices are {listed(allowed[str(name.value)], 'and')}")


def _check_choices(facts: _Facts, readers: list[tree.Atom], chosen: Mapping[Value, Value], report: Report) -> None:
    """Some rule reads each reading, and tells each alternative from the choice in force and from the others; under each
    some case can be met."""
    if any(isinstance(atom.arguments[0], tree.Variable) for atom in readers):
        return
    for (name, _), span in facts.rows("reading"):
        if not any(_speaks_of(atom, name) for atom in readers):
            report(Kind.BAD_READING, span, f"no rule reads the reading `{name}`",
                   f'write `reading("{name}", ...)` in the rules that rest on it, or leave it out')
    for name in chosen:
        about = [atom for atom in readers if _speaks_of(atom, name)]
        if not about or any(isinstance(atom.arguments[1], tree.Variable) for atom in about):
            continue
        unread = {chosen[name]} - {_choice(atom) for atom in about}
        for (whose, choice), span in facts.rows("alternative"):
            if whose != name or choice == chosen[name] or any(_choice(atom) == choice for atom in about):
                continue
            if unread:
                said = f"no rule tells the alternative {quoted(choice)} of `{name}` from {quoted(next(iter(unread)))}"
            elif (root := _never_met(facts.program, name, choice)) is not None:
                said = f"no rule reads the alternative {quoted(choice)} of `{name}`: under it no case meets `{root}`"
            else:
                said = None
            if said is not None:
                report.warn(Kind.BAD_READING, span, said,
                            f'write a rule that reads `reading("{name}", "{choice}")`, or leave the alternative out')
            unread.add(choice)


def _speaks_of(atom: tree.Atom, name: Value) -> bool:
    first = atom.arguments[0]
    return not isinstance(first, tree.Constant) or first.value == name


def _choice(atom: tree.Atom) -> Value | None:
    choice = atom.arguments[1]
    return choice.value if isinstance(choice, tree.Constant) else None


def _never_met(program: CheckedProgram, name: Value, choice: Value) -> str | None:
    """The root of a phase that no case meets where a reading is chosen so."""
    def fails(literal: tree.Literal) -> bool:
        return (isinstance(literal, tree.Atom) and literal.relation == "reading"
                and isinstance(literal.arguments[0], tree.Constant) and literal.arguments[0].value == name
                and _choice(literal) not in (None, choice))

    rules_of: dict[str, list[Rule]] = {}
    for rule in program.rules:
        rules_of.setdefault(rule.head.relation, []).append(rule)
    for atom, _ in program.facts:  # what has facts has rows
        rules_of.pop(atom.relation, None)
    empty = empty_where(rules_of, program.strata, (), fails)
    return next((phase.root for phase in program.phases if phase.root in empty), None)
