"""The decision in short: what every command prints of a determination, without its explanation."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET, REFUSED
from policy_kb.check.checked import CheckedProgram, Phase, paragraphs
from policy_kb.report import wording
from policy_kb.report.determination import Determination

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
    yield determination.reason
    if determination.approval is not None:
        yield f"approval: {', '.join(map(str, determination.approval))}"
    for notice in determination.notices[:MOST_ROWS]:
        yield f"note: {notice}"
    if len(determination.notices) > MOST_ROWS:
        yield f"note: {more(len(determination.notices) - MOST_ROWS)}"


def questions(determination: Determination) -> Iterator[str]:
    """What is to be asked."""
    if determination.missing:
        yield ""
        yield "To be settled, most decisive first:"
        for number, point in enumerate(determination.missing, 1):
            criteria = f" (criterion {', '.join(point.criteria)})" if point.criteria else ""
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
        is_needed = answer == MET or all(determination.criteria.get(part) != MET for part in above)
        text = f"{'  ' * number.count('.')}{says.get(number, '')}{'' if is_needed else ' (not needed)'}"
        yield f"{SIGNS[answer]} {number:<{wide}}  {text}"


def criterion_sentences(program: CheckedProgram, phase: Phase) -> dict[str, str]:
    """What each criterion of a phase says: its relation's sentence, or its rule's."""
    says: dict[str, str] = {}
    for relation in program.relations.values():
        says.update(dict.fromkeys(paragraphs(relation.criteria, phase.name), relation.sentence))
    for rule in program.rules:
        for number in paragraphs(rule.criteria, phase.name):
            says.setdefault(number, rule.doc)
    return says


def sensitivity_lines(changes: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    yield ""
    if not changes:
        yield "Sensitivity: no other reading would change the decision"
    for name, choice, other in changes:
        would = "the case would be refused" if other == REFUSED else f"the decision would be: {other}"
        yield f"Sensitivity: with {name} = {choice} {would}"
