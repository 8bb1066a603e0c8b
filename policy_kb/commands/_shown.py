"""Parts of what commands print for one determination."""

from __future__ import annotations

from collections.abc import Iterator

from policy_kb.report.as_text import SIGNS, Style
from policy_kb.report.determination import Determination


def criteria_lines(determination: Determination, style: Style) -> Iterator[str]:
    """One line per criterion: sign, paragraph, what it says."""
    if not determination.criteria:
        return
    says = criterion_sentences(determination)
    wide = max(len(number) for number in determination.criteria)
    yield ""
    for number, answer in determination.criteria.items():
        depth = number.count(".")
        yield style(f"{SIGNS[answer]} {number:<{wide}}  {'  ' * depth}{says.get(number, '')}", answer)


def criterion_sentences(determination: Determination) -> dict[str, str]:
    """What each criterion of the phase says: its relation's sentence, or its rule's."""
    says: dict[str, str] = {}
    for relation in determination.program.relations.values():
        for criterion in relation.criteria:
            if criterion.phase == determination.phase.name:
                says[criterion.number] = relation.sentence
    for rule in determination.program.rules:
        for criterion in rule.criteria:
            if criterion.phase == determination.phase.name:
                says.setdefault(criterion.number, rule.doc)
    return says


def sensitivity_lines(changes: list[tuple[str, str, str]]) -> Iterator[str]:
    yield ""
    if not changes:
        yield "Sensitivity: no other reading would change the decision"
    for name, choice, other in changes:
        yield f"Sensitivity: with {name} = {choice} the decision would be: {other}"
