"""The sentences of explanations, on small policies: true, and as a pharmacist would say them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_kb.diagnostics import RulesRefused
from policy_kb.explain.phrasing import Phrase, Place, phrase, plural, singular
from policy_kb.explain.written import written
from policy_kb.expressions import EvaluationStopped, value_of
from policy_kb.parse.grammar import parse_items
from policy_kb.parse.tree import Call, Comparison, Constant, Expression, Rule
from policy_kb.report.as_text import Tree, render
from policy_kb.source import Span
from tests.report.random_determinations import random_determination
from tests.report.small_policies import decide, lines, policy_of
from tests.report.test_as_text import POLICY
from tests.strategies.cases import alemtuzumab_cases

SPAN = Span("rules.dl", 1)
EXPRESSIONS = st.recursive(
    st.integers(1, 9).map(lambda number: Constant(number, SPAN)),
    lambda inner: st.builds(
        lambda function, left, right: Call(function, (left, right), SPAN), st.sampled_from("+-*/%"), inner, inner
    ),
    max_leaves=8,
)


def read_back(text: str) -> Expression:
    (rule,), problems = parse_items(f"r(x) :- x = {text}.", "rules.dl")
    assert not problems
    assert isinstance(rule, Rule)
    (equation,) = rule.body
    assert isinstance(equation, Comparison)
    return equation.right


@given(EXPRESSIONS)
def test_an_expression_as_it_is_printed_has_the_value_of_the_expression(expression: Expression) -> None:
    try:
        value = value_of(expression, {})
    except EvaluationStopped:
        return
    assert value_of(read_back(written(expression)), {}) == value


@pytest.mark.parametrize("text", ["(a - b) * c", "a - (b - c)", "a / (b * c)", "a + b - c", "a - b - c", "-(a + b)"])
def test_brackets_stand_where_they_are_needed_and_nowhere_else(text: str) -> None:
    assert written(read_back(text)) == text


@pytest.mark.parametrize("sentence", ["no allergy to {drug} is known", "no fewer than 3 {drug}", "{drug} is allowed"])
def test_an_absence_begins_with_no_record_that(sentence: str) -> None:
    rules = f"/// {sentence}\n.decl known(case: Case, drug: symbol) .input known\n" \
            '/// enough is known\n@[criterion("first 1")] .decl one(case: Case) one(case) :- known(case, "p").\n' \
            "decided(case) :- one(case)."
    assert f"| - no record that {sentence.format(drug='p')}" in lines(decide(rules, known=[]))


def test_a_criterion_that_the_request_meets_shows_the_request() -> None:
    rules = '.decl known(case: Case, drug: symbol) .input known\n@[criterion("first 1")] .decl one(case: Case)\n' \
            'one(case) :- request(case, "X", _, _).\none(case) :- known(case, "p").\ndecided(case) :- one(case).'
    met = decide(rules, known=[])
    assert met.decision == "met"
    assert lines(met)[1] == "| + X is asked for, first, received on 2025-09-02"


def test_an_open_criterion_shows_the_question_that_is_left() -> None:
    rules = """
        .decl stated(case: Case, form: symbol) .input stated
        .decl has(case: Case, form: symbol)
        has(case, form) :- stated(case, form).
        /// Is it A?
        @[possible("judgement", stated)] has(case, "A") :- stated(case, "C").
        .decl counts(form: symbol) counts("A"). counts("B").
        @[criterion("first 1")] .decl one(case: Case) one(case) :- has(case, form), counts(form).
        decided(case) :- one(case).
    """
    assert lines(decide(rules, stated=["C"]))[1:] == ["| ? to be judged: Is it A?"]


DAY, NUMBER = {"is_date": True}, {"is_number": True}
SENTENCES = [
    # what has no value goes with what speaks only of it
    ("a relapse began on {on}", {"on": (None, DAY)}, "a relapse began"),
    ("{product} was used from {first} to {last}", {"product": None, "first": (None, DAY), "last": (None, DAY)},
     "any product was used"),
    ("{drug} was used from {first} to {last}", {"drug": "p", "first": (None, DAY), "last": ("2025-01-02", DAY)},
     "p was used until 2025-01-02"),
    ("{drug} was given (course {number})", {"drug": "p", "number": (None, NUMBER)}, "p was given"),
    ("{drug} is asked for, {phase}", {"drug": None, "phase": None}, "any drug is asked for"),
    ("{drug} is planned for {months} months", {"drug": "p", "months": (None, NUMBER)}, "p is planned"),
    ("{doses} doses are asked for", {"doses": (None, NUMBER)}, "doses are asked for"),
    ("the code {code} was recorded", {"code": None}, "any code was recorded"),
    ("a {kind} infection was found", {"kind": None}, "an infection was found"),
    ("{what} failed", {"what": None}, "anything failed"),
    ("{drug} is used[ after {day}, the first one]", {"drug": "p", "day": (None, DAY)}, "p is used"),
    ("{drug} contains {part}[, class {class}]", {"drug": "p", "part": "q", "class": "(none)"}, "p contains q"),
    # what has
    ("{doses} doses are asked for", {"doses": ("1", NUMBER)}, "1 dose is asked for"),
    ("{doses} new doses were given", {"doses": ("2", NUMBER)}, "2 new doses were given"),
    ("course {number} begins on {on}", {"number": ("1", NUMBER), "on": ("2025-01-02", DAY)},
     "course 1 begins on 2025-01-02"),
    ("the patient is {years} years old", {"years": ("1", NUMBER)}, "the patient is 1 year old"),
    ("{mg} is planned", {"mg": ("12", {**NUMBER, "unit": "mg"})}, "12 mg is planned"),
    ("{mg} mg is planned", {"mg": ("12", {**NUMBER, "unit": "mg"})}, "12 mg is planned"),
    ("{drug} was used from {first} to {last}", {"drug": "p", "first": ("2025-01-02", DAY), "last": ("ongoing", DAY)},
     "p has been used since 2025-01-02"),
    ("a {kind} was used", {"kind": "interferon"}, "an interferon was used"),
]
NOUNS = [
    ("an HIV test of {on} was {result}", {"on": (None, DAY), "result": None}, "an HIV test"),
    ("an HIV test of {on} was {result}", {"on": ("2025-01-02", DAY), "result": None}, "an HIV test of 2025-01-02"),
    ("the serum creatinine is {value} mg/dL", {"value": (None, NUMBER)}, "the serum creatinine"),
]


def places(values: dict[str, object]) -> dict[str, Place]:
    return {name: Place(value[0], name, **value[1]) if isinstance(value, tuple) else Place(value, name)
            for name, value in values.items()}


@pytest.mark.parametrize(("template", "values", "said"), SENTENCES)
def test_what_has_no_value_disappears_and_what_has_agrees(template: str, values: dict[str, object], said: str) -> None:
    assert phrase(template, places(values)) == Phrase(said)


@pytest.mark.parametrize(("template", "values", "said"), NOUNS)
def test_a_sentence_that_says_nothing_of_its_subject_is_a_noun(
    template: str, values: dict[str, object], said: str
) -> None:
    assert phrase(template, places(values)) == Phrase(said, is_sentence=False)


@pytest.mark.parametrize(
    "template", ["the member weighs {x} kg", "no fewer than {x} doses", "the member is {x} years old"]
)
def test_of_a_number_that_is_not_known_no_half_sentence_is_left(template: str) -> None:
    assert phrase(template, places({"x": (None, NUMBER)})) is None


PIECES = st.sampled_from([
    "{a}", "{b}", "{c}", "was given", "is", "was", "on {d}", "from {d} to {e}", "(course {c})",
    ", received on {d}", "[, class {b}]", "for {c} months", "{c} doses", "a {b} test", "the drug", "at least",
    "between {d} and {e}", "to", ":",
])
VALUES = st.fixed_dictionaries({
    "a": st.sampled_from([None, "p", "", "q {a} q", "[r]"]), "b": st.sampled_from([None, "interferon", "(none)"]),
    "c": st.sampled_from([None, "0", "1", "12", "1.5"]), "d": st.sampled_from([None, "2025-01-02", "ongoing"]),
    "e": st.sampled_from([None, "2025-01-03", "ongoing"]),
})
KINDS = {"a": {}, "b": {}, "c": NUMBER, "d": DAY, "e": DAY}


@settings(max_examples=300)
@given(st.lists(PIECES, min_size=1, max_size=6).map(" ".join), VALUES)
def test_a_sentence_has_no_places_and_all_values_that_there_are(template: str, values: dict[str, str | None]) -> None:
    said = phrase(template, {name: Place(values[name], name, **KINDS[name]) for name in KINDS})
    if said is None:
        return
    text = said.text
    for place in "bcde":
        assert f"{{{place}}}" not in text
    assert "  " not in text
    assert "any any" not in text
    outside = template.replace("[, class {b}]", "")
    for name in "bcd":
        value = values[name]
        if f"{{{name}}}" in outside and value not in (None, "ongoing"):
            assert value in text, text


NAMES = st.from_regex(r"[a-z]{3,9}", fullmatch=True)


@given(NAMES)
def test_the_singular_of_a_plural_is_the_noun(noun: str) -> None:
    if not noun.endswith(("s", "x", "ch", "sh", "ie", "e")):
        assert singular(plural(noun)) == noun


@settings(max_examples=40)
@given(alemtuzumab_cases())
def test_no_line_of_an_explanation_has_what_a_pharmacist_would_not_say(document: dict[str, object]) -> None:
    determination = POLICY.decide(document)
    names = {name for name in determination.program.relations if "_" in name}
    for line in render(Tree(determination).items(), 10_000):
        text = re.sub(r"^[| ]*[-+?]? ?|  \[[^\]]*\]$", "", line)
        plain = re.sub(r"`[^`]*`", "", text)
        assert not re.search(r"[{}]|\bany any\b|\bNone\b|0 to \d+ on record|\bto ongoing", plain), line
        assert not re.search(r"(?<![\d.,-])1 (?:relapses|doses|months|classes|MRIs|courses|HIV tests)\b", plain), line
        assert not re.search(r"\bis at (?:least|most) (?:least|most)\b", plain), line
        assert not names & set(re.findall(r"\w+", plain)), line
        assert "  " not in re.sub(r"^[\d.a-z]+  ", "", plain), line


RULES = """
    .functor months_between(first: Date, last: Date): number
    /// a visit took place on {on}
    .decl visit(case: Case, on: Date) .input visit
    /// the score was {points} on {on}
    .decl score(case: Case, @[unit("points")] points: number, on: Date) .input score
    /// {drug} was given from {first} to {last}
    .decl given(case: Case, drug: symbol, first: Date, @[ongoing] last: Date) .input given
    /// {code} was recorded
    .decl code(case: Case, code: symbol) .input code
    .decl needed(visits: number) needed(2).
"""


@pytest.mark.parametrize(
    ("body", "case", "said"),
    [
        ("request(case, _, _, day), first = @months_before(day, 12), needed(least), "
         "count : { visit(case, on), on >= first, on <= day } >= least", {"visit": ["2025-01-01"]},
         ["- 1 visit from 2024-09-02 to 2025-09-02, 2 needed"]),
        ("request(case, _, _, _), count : { visit(case, _) } >= 2", {"visit": []}, ["- no visit, 2 needed"]),
        ("request(case, _, _, _), count : { visit(case, _) } >= 2", {},
         ["? not stated: Is it so that a visit took place?"]),
        ("request(case, _, _, _), count : { visit(case, _) } = 0", {"visit": ["2025-01-01"]},
         ["- 1 visit, none allowed"]),
        ("score(case, x, _), x >= 3", {"score": {"points": 1, "on": "2025-01-01"}},
         ["- points (1 point) is less than the 3 points needed"]),
        ("score(case, x, on), x < 3, on >= @date(\"2025-02-01\")", {"score": {"points": 1, "on": "2025-01-01"}},
         ["- the score (2025-01-01) is before 2025-02-01"]),
        ("given(case, \"p\", _, _)", {"given": {"drug": "q", "first": "2025-01-01", "last": "ongoing"}},
         ["- no record that p was given", "  on record: q has been given since 2025-01-01"]),
        ("request(case, _, _, _), count : { given(case, _, first, last), first <= @date(\"2025-02-01\"), "
         "last > @date(\"2025-03-01\") } >= 1", {"given": []},
         ["- none on record, 1 needed: any drug was given (first on or before 2025-02-01, last after 2025-03-01)"]),
        ("code(case, x), match(\"G35.*\", x)", {"code": ["H46"]}, ["- the code (H46) does not begin with G35"]),
        ("code(case, x), !contains(\"4\", x)", {"code": ["H46"]}, ["- the code (H46) contains 4"]),
    ],
)
def test_comparisons_and_counts_read_as_they_are_said(body: str, case: dict[str, object], said: list[str]) -> None:
    rules = RULES + '/// it is so\n@[criterion("first 1")] .decl one(case: Case)\n' \
            f"one(case) :- {body}.\ndecided(case) :- one(case)."
    told = [line.replace("| ", "") for line in lines(decide(rules, **case))]
    assert [line for line in said if line not in told] == [], told


def test_a_rule_says_how_its_comparisons_read() -> None:
    rules = RULES + """
        /// it is so
        @[criterion("first 1")] .decl one(case: Case)
        one(case) :- //! {count} visits since {first},
            //! {least} are needed
            request(case, _, _, day), first = @months_before(day, 12), needed(least),
            count : { visit(case, on), on >= first } >= least.
        @[criterion("first 2")] .decl two(case: Case)
        two(case) :- //! the score of {on} was {x}
            score(case, x, on), x > 2, x < 9, on >= @date("2020-01-01").
        decided(case) :- one(case), two(case).
    """
    met = decide(rules, visit=["2025-01-01", "2025-02-01"], score={"points": 3, "on": "2025-01-01"})
    unmet = decide(rules, visit=["2025-01-01"], score={"points": 1, "on": "2025-01-01"})
    assert "| + 2 visits since 2024-09-02, 2 are needed" in lines(met)
    assert lines(met).count("| + the score of 2025-01-01 was 3 points") == 1
    assert "| - 1 visit since 2024-09-02, 2 are needed" in lines(unmet)
    assert [line for line in lines(unmet) if "score of" in line] == ["| - the score of 2025-01-01 was 1 point"]


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        ("{other} is said", "the sentence names `{other}`, no variable of the body"),
        ("{count} visits", "the sentence names `{count}`, and the body has no count"),
    ],
)
def test_a_sentence_of_a_rule_names_what_the_body_has(says: str, problem: str) -> None:
    rules = RULES + f"one(case) :- //! {says}\n visit(case, on).\n.decl one(case: Case)\ndecided(case) :- one(case)."
    with pytest.raises(RulesRefused) as refused:
        policy_of(rules)
    (found,) = [one for one in refused.value.diagnostics if one.message == problem]
    assert found.span.column == len("one(case) :- ") + 1


def test_a_sentence_of_a_rule_stands_nowhere_else() -> None:
    _, problems = parse_items("r(1). //! a sentence\nr(x) :- r(x), //! another\n x = 1.", "rules.dl")
    assert [one.message for one in problems] == ["`//!` stands only directly after `:-` or `{`"] * len(problems)
    assert problems


@settings(max_examples=20)
@given(alemtuzumab_cases(), st.booleans(), st.integers(0, 40))
def test_what_is_said_to_stand_above_stands_above(document: dict[str, object], why_not: bool, number: int) -> None:
    determination = POLICY.decide(document)
    numbers = [None, *determination.criteria]
    items = Tree(determination).items(numbers[number % len(numbers)], why_not)
    above: set[str] = set()
    for line in render(items, 10_000):
        text = re.sub(r"^[| ]*[-+?]? ?|  \[[^\]]*\]$", "", line)
        if text.endswith(" (shown above)"):
            assert text.removesuffix(" (shown above)") in above, line
        above.add(text)


def test_lines_of_random_programs_have_a_text_and_no_places(effort: int) -> None:
    for seed in range(60 * effort):
        determination = random_determination(seed)
        if determination is None:
            continue
        for line in render(Tree(determination).items(), 10_000):
            text = re.sub(r"^[| ]*[-+?]? ?|  \[[^\]]*\]$", "", line)
            assert text.strip(), line
            assert not text.endswith(("not met:", "open whether", "no record that", "no record of")), line
            assert not re.search(r"[{}]|\bany any\b|\bNone\b|#\d", text), line
