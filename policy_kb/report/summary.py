"""The decision in short: what every command prints of a determination, without its explanation."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET, REFUSED
from policy_kb.check.checked import CheckedProgram, Phase, Relation, paragraphs
from policy_kb.diagnostics import did_you_mean
from policy_kb.explain.written import sentence
from policy_kb.report import wording
from policy_kb.report.determination import Determination
from policy_kb.report.wording import number_order
from policy_kb.text import folded

SIGNS = {MET: "+", NOT_MET: "-", NEEDS_INFORMATION: "?"}

MOST_ROWS = 10
"""Rows of one list before it is folded; the number left out is said."""

Style = Callable[[str, str], str]
"""How a line is coloured: its text, and the answer it gives (empty for what is neither)."""


def plain(text: str, answer: str) -> str:
    return text


def more(number: int, *, in_json: bool = True) -> str:
    """The line for what is folded: nothing is left out without saying how much, or that JSON has what it has not."""
    like = f" like {'this' if number == 1 else 'these'} (--json lists all)"
    return f"and {number:,} more{like if in_json else ''}"


def wrapped(lines: Iterable[str], width: int) -> Iterator[str]:
    """The lines with long ones broken, each continued under its text: behind signs, numbers and blanks."""
    for line in lines:
        hang = re.match(r"\s*(?:[-+?] )?\s*(?:[0-9][\w.]* +|[0-9]+\. |\w+: )?", line)
        indent = min(len(hang.group()) if hang else 0, width // 2)
        yield from textwrap.wrap(line, width, subsequent_indent=" " * indent, break_long_words=False,
                                 break_on_hyphens=False) or [""]


def header(determination: Determination) -> Iterator[str]:
    """The decision, the policy, and what follows from them."""
    phase = determination.phase
    yield f"{wording.DECISIONS[determination.decision]}  {phase.name}: {phase.title}"
    yield f"case {determination.case}, guideline {phase.policy}, revised {phase.revised}"
    asked = determination.record.get("request", ())
    declared = determination.program.relations.get("request")
    if asked and declared is not None and declared.sentence:
        yield f"request: {sentence(declared, asked[0].values)}"
    yield determination.reason
    if determination.approval is not None:
        yield f"approval: {', '.join(map(str, determination.approval))}"
    for notice in determination.notices[:MOST_ROWS]:
        yield f"note: {notice}"
    if len(determination.notices) > MOST_ROWS:
        yield f"note: {more(len(determination.notices) - MOST_ROWS)}"


def in_short(
    determination: Determination, width: int, changes: Iterable[tuple[str, str, str]] | None = None,
    style: Style = plain,
) -> Iterator[str]:
    """The decision, one line per criterion, what is to be asked and, if it was asked for, what other readings would
    change."""
    lines = [*header(determination), *criteria_lines(determination), *questions(determination)]
    lines += sensitivity_lines(changes) if changes is not None else []
    first, *rest = wrapped([*lines, "", wording.DISCLAIMER], width)
    yield style(first, determination.decision)
    yield from rest


def criterion_named(determination: Determination, typed: str) -> str:
    """The number of the criterion that a reader names, with or without its phase, letter case ignored. Raises
    ValueError with what is wrong."""
    phase, program = determination.phase.name, determination.program
    numbers = determination.criteria or sorted(criterion_sentences(program, determination.phase), key=number_order)
    word = typed.removeprefix("criterion ").strip()
    by_name = {folded(name): number for number in numbers for name in (number, f"{phase} {number}")}
    found = by_name.get(folded(word))
    if found is not None:
        return found
    others = (one.name for one in program.phases if folded(word).startswith(folded(f"{one.name} ")))
    other = max(others, key=len, default=phase)
    if other != phase:
        raise ValueError(f"the case asks for {phase}, `{typed}` is of {other}")
    hint = did_you_mean(word, numbers) or f"they are {', '.join(numbers)}"
    raise ValueError(f"{phase} has no criterion `{typed}`; {hint}")


def questions(determination: Determination) -> Iterator[str]:
    """What is to be asked."""
    if determination.missing:
        yield ""
        yield "To be settled, most decisive first:"
        for number, point in enumerate(determination.missing, 1):
            which = "criteria" if len(point.criteria) > 1 else "criterion"
            criteria = f" ({which} {wording.joined(point.criteria)})" if point.criteria else ""
            yield f"  {number}. {point.ask}{criteria} [{point.relation}: {point.why}]"


def criteria_lines(determination: Determination) -> Iterator[str]:
    """One line per criterion: sign, paragraph, what it says; a part that the decision can do without says so."""
    if not determination.criteria:
        return
    says = criterion_sentences(determination.program, determination.phase)
    wide = max(len(number) for number in determination.criteria)
    yield ""
    for number, answer in determination.criteria.items():
        above = [number.rsplit(".", depth)[0] for depth in range(1, number.count(".") + 1)]
        is_without = determination.decision == MET or any(determination.criteria.get(part) == MET for part in above)
        is_needed = answer == MET or not is_without
        text = f"{'  ' * number.count('.')}{says.get(number, '')}{'' if is_needed else ' (not needed)'}"
        yield f"{SIGNS[answer]} {number:<{wide}}  {text}"


def criterion_sentences(program: CheckedProgram, phase: Phase) -> dict[str, str]:
    """What each criterion of a phase says: its relation's sentence, or its rule's."""
    def stated(relation: Relation) -> str:
        return sentence(relation, (None,) * relation.arity) if relation.sentence else ""

    says: dict[str, str] = {}
    for relation in program.relations.values():
        says.update(dict.fromkeys(paragraphs(relation.criteria, phase.name), stated(relation)))
    for rule in program.rules:
        for number in paragraphs(rule.criteria, phase.name):
            says.setdefault(number, rule.doc or stated(program.relations[rule.head.relation]))
    return says


def sensitivity_lines(changes: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    yield ""
    if not changes:
        yield "Sensitivity: no other reading would change the decision"
    for name, choice, other in changes:
        would = "the case would be refused" if other == REFUSED else f"the decision would be: {other}"
        yield f"Sensitivity: with {name} = {choice} {would}"
