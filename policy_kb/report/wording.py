"""All wording of explanations, in English. Sentences come from the doc comments of the policy's declarations.

"No record that" is what an absence says; it never says "is not".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.check.checked import Relation
from policy_kb.dates import format_date
from policy_kb.explain.written import sentence, shown
from policy_kb.numbers import shown_apart

if TYPE_CHECKING:
    from policy_kb.explain.proof import Claim, Condition, Counted, Side
    from policy_kb.parse.tree import Value

DISCLAIMER = ("Whether the criteria of a guideline are met by what the case states: no medical advice, no coverage "
              "decision and no promise of payment.")

DECISIONS = {
    MET: "CRITERIA MET",
    NOT_MET: "CRITERIA NOT MET",
    NEEDS_INFORMATION: "NEEDS INFORMATION",
    "not applicable": "NOT APPLICABLE",
}

_COMPARED = {
    "=": "is",
    "!=": "differs from",
    "<": "is less than",
    "<=": "is at most",
    ">": "is more than",
    ">=": "is at least",
    "contains": "stands in",
    "!contains": "does not stand in",
    "match": "is the form of",
    "!match": "is not the form of",
}
_COMPARED_DATES = {
    "=": "is",
    "!=": "differs from",
    "<": "is before",
    "<=": "is on or before",
    ">": "is after",
    ">=": "is on or after",
}
_OPPOSITE = {"=": "!=", "!=": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<", "contains": "!contains",
             "!contains": "contains", "match": "!match", "!match": "match"}
_NEEDED = {
    "=": "{} needed",
    "!=": "any number but {} needed",
    "<": "fewer than {} needed",
    "<=": "at most {} needed",
    ">": "more than {} needed",
    ">=": "at least {} needed",
}


def of(claim: Claim, relations: Mapping[str, Relation]) -> str:
    return sentence(relations[claim.relation], claim.values)


def no_record(claim: Claim, relations: Mapping[str, Relation]) -> str:
    """What an absence says."""
    relation = relations[claim.relation]
    if not relation.is_case:
        return f"the policy does not say that {sentence(relation, claim.values)}"
    return f"no record that {sentence(relation, claim.values)}"


def compared(operator: str, left: Side, right: Side, holds: bool) -> str:
    """Both sides with their values, and how they lie."""
    truth = operator if holds else _OPPOSITE[operator]
    is_date = left.is_date or right.is_date
    one, other = _values(left.value, right.value, is_date)
    if truth == "=" and right.written == shown(right.value):
        return f"{left.written} is {_side(right, other)}"
    words = _COMPARED_DATES if is_date and truth in _COMPARED_DATES else _COMPARED
    return f"{_side(left, one)} {words[truth]} {_side(right, other)}"


def _values(left: Value, right: Value, is_date: bool) -> tuple[str, str]:
    """Two values that are compared, numbers with as many digits as tell them apart."""
    if isinstance(left, str) or isinstance(right, str):
        return shown(left), shown(right)
    if is_date and isinstance(left, int) and isinstance(right, int):
        return format_date(left), format_date(right)
    return shown_apart(left, right)


def _side(side: Side, value: str) -> str:
    return value if side.written in (shown(side.value), value) else f"{side.written} ({value})"


def counted(node: Counted, relations: Mapping[str, Relation]) -> str:
    """The number with its bound, and what is counted: `2 on record, at least 3 needed: a relapse began on any date`."""
    if node.least == node.most:
        number = str(node.least)
    elif node.most is None:
        number = f"{node.least} or more"
    else:
        number = f"{node.least} to {node.most}"
    bound = shown(node.bound.value)
    none_allowed = (node.operator, bound) in (("=", "0"), ("<=", "0"), ("<", "1"))
    needed = "none allowed" if none_allowed else _NEEDED[node.operator].format(bound)
    what = [of(claim, relations) for claim in node.of]
    what += [f"with {no_record(claim, relations)}" for claim in node.without]
    what += [_condition(condition) for condition in node.conditions]
    return f"{number} on record, {needed}: {', '.join(what)}"


def _condition(condition: Condition) -> str:
    """`on or after 2024-09-02`, `lesions at least 1`."""
    if condition.is_date and condition.operator in _COMPARED_DATES:
        right = format_date(condition.right) if isinstance(condition.right, int) else condition.right
        return f"{_COMPARED_DATES[condition.operator].removeprefix('is ')} {right}"
    return f"{condition.left} {_COMPARED[condition.operator].removeprefix('is ')} {shown(condition.right)}"


def reason(
    decision: str, phase: str, criteria: Mapping[str, str], questions: int, alternatives: Sequence[Sequence[str]]
) -> str:
    """The decision in one sentence. `alternatives`: the criteria that each of the root's rules rests on."""
    is_one_of = len(alternatives) > 1
    if decision == MET:
        by = [numbers for numbers in alternatives if all(criteria[number] == MET for number in numbers)]
        which = f": {joined(by[0])}" if is_one_of and by and by[0] else ""
        return f"all criteria of one alternative for {phase} are met{which}" if is_one_of else (
            f"all criteria for {phase} are met"
        )
    if is_one_of:
        # An alternative that fails waits for nothing.
        ways = [
            joined([number for number in numbers if criteria[number] == decision]) for numbers in alternatives
            if decision == NOT_MET or all(criteria[number] != NOT_MET for number in numbers)
        ]
        numbers = ", or ".join(dict.fromkeys(way for way in ways if way))
    else:
        numbers = joined(_top(criteria, decision))
    which = f": {numbers}" if numbers else ""
    if decision == NOT_MET:
        one_of = f"no alternative for {phase} is met; " if is_one_of else ""
        return f"{one_of}criteria of this guideline not met{which}"
    one_of = f"one alternative for {phase} is enough; " if is_one_of else ""
    points = f"{questions} open {'point' if questions == 1 else 'points'}"
    return f"{one_of}criteria that need information{which} ({points})"


def _top(criteria: Mapping[str, str], answer: str) -> list[str]:
    """The criteria with this answer that are no part of another one listed."""
    return [
        number for number, given in criteria.items()
        if given == answer and "." not in number
    ] or [number for number, given in criteria.items() if given == answer]


def joined(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def number_order(number: str) -> list[tuple[int, int, str]]:
    """Sorts paragraphs as a guideline numbers them: 2 before 10, 2.a before 2.b, 2.a.ii before 2.a.iv; letters stand
    behind a number, Roman numerals behind a letter."""
    return [_part(part, is_letter=depth == 1) for depth, part in enumerate(number.split("."))]


def _part(part: str, *, is_letter: bool) -> tuple[int, int, str]:
    if part.isdigit():
        return (0, int(part), "")
    roman = {"i": 1, "v": 5, "x": 10}
    if part and set(part) <= set(roman) and not is_letter:
        values = [roman[letter] for letter in part]
        following = [*values[1:], 0]
        return (0, sum(-value if value < after else value for value, after in zip(values, following, strict=True)), "")
    return (1, 0, part)
