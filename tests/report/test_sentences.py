"""The sentences of explanations, on small policies: true, and as a pharmacist would say them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_kb.explain.written import written
from policy_kb.expressions import EvaluationStopped, value_of
from policy_kb.parse.grammar import parse_items
from policy_kb.parse.tree import Call, Comparison, Constant, Expression, Rule
from policy_kb.source import Span
from tests.report.small_policies import decide, lines

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
