"""All wording of explanations, in English. Sentences come from the doc comments of the policy's declarations.

"No record that" is what an absence says; it never says "is not".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.dates import format_date
from policy_kb.explain.phrasing import Place, plural, singular, with_unit
from policy_kb.explain.proof import Doubted, Side
from policy_kb.explain.written import AGGREGATES, Sentences, in_words, is_noun, name_of, shown
from policy_kb.numbers import shown_apart

if TYPE_CHECKING:
    from policy_kb.explain.proof import Aggregated, Claim, Condition, Counted
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
    "=": "exactly {} needed",
    "!=": "any number but {} needed",
    "<": "fewer than {} allowed",
    "<=": "at most {} allowed",
    ">": "more than {} needed",
    ">=": "{} needed",
}


def of(claim: Claim, sentences: Sentences) -> str:
    return sentences.of(claim.relation, claim.values)


def no_record(claim: Claim, sentences: Sentences) -> str:
    """What an absence says."""
    relation = sentences.relations[claim.relation]
    said = sentences.said(claim.relation, claim.values)
    if relation.is_case:
        return f"no record {'that' if said.is_sentence else 'of'} {said.text}"
    if said.is_sentence:
        return f"the policy does not say that {said.text}"
    return f"the policy has no {_WITH_ARTICLE.sub('', said.text)}"


_WITH_ARTICLE = re.compile(r"^(?:the|an?) ")


def is_open(claim: Claim, sentences: Sentences) -> str:
    """What a doubt about a claim says."""
    said = sentences.said(claim.relation, claim.values)
    return f"open whether {said.text if said.is_sentence else f'there is a record of {said.text}'}"


def compared(operator: str, left: Side, right: Side, holds: bool, *, is_needed: bool = False) -> str:
    """Both sides with their values, and how they lie; `is_needed`: what the rule asks for is what has to hold."""
    truth = operator if holds else _OPPOSITE[operator]
    if truth.lstrip("!") in ("contains", "match"):
        return _compared_texts(truth, left, right)
    is_date = left.is_date or right.is_date
    unit = left.unit or right.unit
    one, other = _values(left, right, is_date, unit)
    if "" in (left.value, right.value) and truth in ("=", "!="):
        side = left if right.value == "" else right
        return f"there is no {_name(side)}" if truth == "=" else f"{_side(side, shown(side.value), is_date)} is stated"
    if truth == "=" and right.written == shown(right.value):
        return f"{_called(left, is_date)} is {other}"
    words = _COMPARED_DATES if is_date and truth in _COMPARED_DATES else _COMPARED
    wanted = _side(right, other, is_date)
    if is_needed and not holds and not is_date:
        wanted = _wanted(operator, right, other, wanted)
    return f"{_side(left, one, is_date)} {words[truth]} {wanted}"


def _wanted(operator: str, right: Side, value: str, otherwise: str) -> str:
    """The value that a comparison which fails asks for: `the 2 needed`, `the 12 allowed`."""
    names = re.fullmatch(r"(.+) (needed|required|allowed)", _name(right))
    if names:
        return f"the {value} {names[1]} {names[2]}"
    if right.written == shown(right.value) and operator in (">=", "<="):
        return f"the {value} {'needed' if operator == '>=' else 'allowed'}"
    return otherwise


def equation(left: Side, right: Side) -> str:
    """A value and how it is computed: `due is 2026-03-01: 12 months after the last dose`."""
    is_date = left.is_date or right.is_date
    one, _ = _values(left, right, is_date, left.unit or right.unit)
    return f"{_called(left, is_date)} is {one}: {_called(right, is_date)}"


def _compared_texts(truth: str, left: Side, right: Side) -> str:
    """`the code (H46) does not begin with G35`. The left side is what is looked for."""
    is_denied = truth.startswith("!")
    what = _side(right, shown(right.value, text=right.text), False)
    if truth.endswith("contains"):
        wanted = _side(left, shown(left.value, text=left.text), False)
        return f"{what} {'does not contain' if is_denied else 'contains'} {wanted}"
    return f"{what} {form(str(left.value), is_denied=is_denied)}"


_LETTERS = r"[\w \-/]+"


def form(pattern: str, *, is_denied: bool) -> str:
    """What a pattern asks of a text, in words where it is a simple one."""
    verb = {True: "does not {} ", False: "{}s "}[is_denied]
    within = re.fullmatch(rf"\.\*({_LETTERS})\.\*", pattern)
    first = re.fullmatch(rf"({_LETTERS})\.\*", pattern)
    last = re.fullmatch(rf"\.\*({_LETTERS})", pattern)
    either = re.fullmatch(rf"\(?({_LETTERS}(?:\|{_LETTERS})*)\)?", pattern)
    if within:
        return f"{verb.format('contain')}{within[1]}"
    if first:
        return f"{verb.format('begin')}with {first[1]}"
    if last:
        return f"{verb.format('end')}with {last[1]}"
    if either:
        texts = either[1].split("|")
        return f"differs from {joined(texts)}" if is_denied else f"is {' or '.join(texts)}"
    parts = pattern.split("|")
    if len(parts) > 1 and all(re.fullmatch(rf"(?:\.\*)?{_LETTERS}(?:\.\*)?", part) for part in parts):
        return (" and " if is_denied else " or ").join(form(part, is_denied=is_denied) for part in parts)
    return f"{'does not have' if is_denied else 'has'} the form `{pattern}`"


def _values(left_side: Side, right_side: Side, is_date: bool, unit: str) -> tuple[str, str]:
    """Two values that are compared, as they are written; numbers with as many digits as tell them apart."""
    left, right = left_side.value, right_side.value
    if isinstance(left, str) or isinstance(right, str):
        return shown(left, text=left_side.text), shown(right, text=right_side.text)
    if is_date and isinstance(left, int) and isinstance(right, int):
        return _day(left), _day(right)
    one, other = shown_apart(left, right)
    one, other = left_side.text or one, right_side.text or other
    return (with_unit(one, unit), with_unit(other, unit)) if unit else (one, other)


def _name(side: Side) -> str:
    return side.spoken or side.written


def _side(side: Side, value: str, is_date: bool) -> str:
    """A side as a reader is told of it: `12`, `the limit (12 mg)`, `2025-10-04`."""
    if side.written == shown(side.value) or (is_date and side.written == value):
        return value
    name = _called(side, is_date)
    return value if name == "it" else f"{name} ({value})"


_NAME = re.compile(r"[^\W\d]+(?: [^\W\d]+)*")
_ADJECTIVES = frozenset({"first", "last", "next", "earliest", "latest", "due"})


def _called(side: Side, is_date: bool) -> str:
    """A name with what it needs to be read: `the last dose`, `the day received`, `lesions`; `it` for one that says
    nothing."""
    name = _name(side)
    months = re.fullmatch(r"(\d+ months? (?:before|after)) (.+)", name)
    if months:
        return f"{months[1]} {_day_called(months[2])}"
    days = re.fullmatch(r"(.+) ([-+]) (\d+)", name) if is_date else None
    if days:
        number = f"{days[3]} {'day' if days[3] == '1' else 'days'}"
        return f"{number} {'before' if days[2] == '-' else 'after'} {_day_called(days[1])}"
    between = re.fullmatch(r"(the full (?:months|years) from) (.+) to (.+)", name)
    if between:
        return f"{between[1]} {_day_called(between[2])} to {_day_called(between[3])}"
    if not _NAME.fullmatch(name) or _WITH_ARTICLE.match(name):
        return name
    if len(name) == 1 or name in ("on", "at", "any"):
        return "it"
    if is_date:
        if name in _ADJECTIVES:
            return f"the {name} day"
        return f"the day {name}" if name.endswith("ed") and " " not in name else f"the {name}"
    is_plain = len(name) <= 3 or name.split()[0].endswith("s")
    return name if is_plain and not name.endswith((" needed", " allowed", " required")) else f"the {name}"


def _day_called(name: str) -> str:
    return _called(Side(name, name), is_date=True)


def counted(node: Counted, sentences: Sentences) -> str:
    """The number with its bound, and what is counted: `1 relapse from 2024-09-02 to 2025-09-02, 2 needed`."""
    if node.says is not None:
        return node.says.text(count=Place(_how_many(node), "count", is_number=True))
    bound = shown(node.bound.value)
    none_allowed = (node.operator, bound) in (("=", "0"), ("<=", "0"), ("<", "1"))
    is_none = node.least == node.most == 0
    if none_allowed and is_none:
        return _with_conditions(f"no record that {_clauses(node, sentences)}", node, sentences)
    needed = "none allowed" if none_allowed else _NEEDED[node.operator].format(bound)
    noun = _noun(node, sentences)
    if noun is None:
        number = "none" if is_none else _number(node, "")
        return _with_conditions(f"{number} on record, {needed}: {_clauses(node, sentences)}", node, sentences)
    return f"{_with_conditions(_number(node, noun), node, sentences)}, {needed}"


def aggregated(node: Aggregated, sentences: Sentences) -> str:
    """`the greatest day on or before 2025-07-14 is 2025-01-01`."""
    value = node.value
    text = _day(value) if node.is_date and value is not None else shown(value)
    return f"{_put_together(node)}{_among(node)}: {text}"


def nothing_of(node: Aggregated, sentences: Sentences) -> str:
    """That there are no rows to take the least or the greatest of."""
    names = joined([f"no {name_of(sentences.relations[claim.relation])}" for claim in node.of])
    return f"there is no value for {_put_together(node)}: the policy has {names}{_among(node)}"


def _put_together(node: Aggregated) -> str:
    """`the sum of lesions`, `the latest day`."""
    word = {"max": "the latest", "min": "the earliest"}.get(node.function) if node.is_date else None
    return node.written if word is None else f"{word} {node.written.removeprefix(AGGREGATES[node.function]).strip()}"


def _among(node: Aggregated) -> str:
    said = " ".join(_conditions(node.conditions, False))
    return f" {said}" if said else ""


def _how_many(node: Counted) -> str:
    """The number alone, before what is counted: `2`, `at least 1`, `an unknown number of`."""
    number = _number(node, "")
    return {"an unknown number": "an unknown number of"}.get(number, number)


def _number(node: Counted, noun: str) -> str:
    """How many there are: `2 relapses`, `1 certain and 2 uncertain relapses`, `at least 1 relapse`."""
    # Of what is derived from what is not stated, it is not known how many there may be.
    is_unknown = node.unstated or any(isinstance(part, Doubted) for row in node.rows for part in row.nodes)
    least, most = node.least, None if is_unknown else node.most
    several = plural(noun) if noun else ""
    if most is None:
        many = f"at least {least} {noun if least == 1 else several}" if least else f"an unknown number of {several}"
        return many.strip() if noun or least else "an unknown number"
    if least == most:
        return f"no {noun}".strip() if not least else f"{least} {noun if least == 1 else several}".strip()
    uncertain = f"{most - least} uncertain {noun if most - least == 1 else several}"
    return (f"{least} certain and {uncertain}" if least else uncertain).strip()


def _noun(node: Counted, sentences: Sentences) -> str | None:
    """What is counted, by a name: rows of one input, where its name is a noun."""
    if len(node.of) != 1 or node.without:
        return None
    claim = node.of[0]
    relation = sentences.relations[claim.relation]
    noun = name_of(relation)
    return noun if relation.is_input and is_noun(noun) else None


def _clauses(node: Counted, sentences: Sentences) -> str:
    what = [of(claim, sentences) for claim in node.of]
    what = [" and ".join(what)] if what else []
    what += [f"with {no_record(claim, sentences)}" for claim in node.without]
    return ", ".join(what)


def _with_conditions(text: str, node: Counted, sentences: Sentences) -> str:
    """The text with what is asked of the rows counted: values in brackets, numbers with `with`, days last."""
    by_noun = not text.startswith("no record that") and ":" not in text
    values = []
    if by_noun:
        claim = node.of[0]
        for attribute, value in zip(sentences.relations[claim.relation].attributes[1:], claim.values[1:], strict=True):
            if value is not None:
                text = shown(value, attribute, sentences.written.value(value, attribute))
                values.append(text if attribute.kind == "symbol" else f"{in_words(attribute.name)} {text}")
    dates = [one for claim in node.of for one in sentences.relations[claim.relation].attributes if one.is_date]
    said = [*([f"({', '.join(values)})"] if values else []), *_conditions(node.conditions, len(dates) > 1)]
    return " ".join([text, *said])


def _conditions(conditions: Sequence[Condition], is_named: bool) -> Iterator[str]:
    """`with at least 1 lesion`, `from 2024-09-02 to 2025-09-02`; days are named where there are several."""
    plain = [one for one in conditions if not one.is_date or one.operator not in _COMPARED_DATES]
    if plain:
        yield f"with {joined([_condition(one) for one in plain])}"
    days: dict[str, list[Condition]] = {}
    for one in conditions:
        if one not in plain:
            days.setdefault(one.left, []).append(one)
    said = []
    for left, group in days.items():
        name = f"{left} " if is_named else ""
        bounds = {one.operator: _day(one.right) for one in group}
        if set(bounds) == {">=", "<="}:
            said.append(f"{name}from {bounds['>=']} to {bounds['<=']}")
        else:
            said.append(name + joined([f"{_COMPARED_DATES[one.operator].removeprefix('is ')} {_day(one.right)}"
                                       for one in group]))
    if said:
        yield f"({', '.join(said)})" if is_named else joined(said)


def _day(value: Value) -> str:
    """A day; of what is computed from days, and is none, that it is none."""
    if not isinstance(value, int):
        return str(value)
    day = format_date(value)
    return "no day" if day == str(value) else day


def _condition(condition: Condition) -> str:
    left, operator, right = condition.spoken or condition.left, condition.operator, shown(condition.right)
    if operator.lstrip("!") in ("contains", "match"):
        side = Side(right, right), Side(left, left)
        return f"{left} that {form(left, is_denied=operator.startswith('!'))}" if operator.endswith("match") else (
            _compared_texts(operator, *side)
        )
    words = _COMPARED[operator].removeprefix("is ")
    if operator == "=" or operator == "is":
        return f"{left} {right}"
    if operator in ("<", "<=", ">", ">=") and _NAME.fullmatch(left) and left.endswith("s"):
        return f"{words} {right} {singular(left) if right == '1' else left}".replace("less than", "fewer than")
    return f"{left} {words} {right}"


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
