"""The alemtuzumab rules against the independent reading of the guideline; the laws of three-valued answers on them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from itertools import product
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from policy_kb.answers import NEEDS_INFORMATION
from policy_kb.evaluate.bottom_up import BottomUp
from policy_kb.evaluate.known import evaluate_known
from policy_kb.evaluate.model import Model, given_rows, model_of
from policy_kb.evaluate.plain import Row, Rows
from policy_kb.pipeline import Rules, parse_and_check
from tests.evaluate.exactness import occurrences
from tests.evaluate.running import Policy, contradictions
from tests.kb.independent_reading import DEFAULT_READINGS, read
from tests.strategies.cases import (
    Document,
    Draw,
    HypothesisDraw,
    RandomDraw,
    alemtuzumab_cases,
    completions,
    random_case,
    random_completion,
)

KB = Path(__file__).resolve().parents[2] / "kb"
READINGS: Mapping[str, tuple[str, ...]] = {
    "previous_year": ("rolling", "calendar_year"),
    "brand_trial": ("ask", "counts", "does_not_count"),
    "support": ("reviewer", "provided"),
    "benefit": ("relapse_reduction", "any"),
}
Answers = tuple[str, dict[str, str]]


@cache
def rules() -> Rules:
    return parse_and_check(KB / "alemtuzumab.dl")


@cache
def known_with(readings: tuple[tuple[str, str], ...]) -> Rows:
    return evaluate_known(rules().program, rules().tables, dict(readings))


@cache
def phase_policy(phase: str, readings: tuple[tuple[str, str], ...] = ()) -> Policy:
    (root,) = (found.root for found in rules().program.phases if found.name == phase)
    return Policy(rules().program, [root, "not_applicable", "notice"], known_with(readings))


def policy_for(document: Document, readings: Mapping[str, str] | None = None) -> Policy:
    request = document["request"]
    row = request[0] if isinstance(request, list) else request
    return phase_policy(row["phase"], tuple(sorted((readings or {}).items())))  # type: ignore[index]


def decision_and_criteria(policy: Policy, model: Model) -> Answers:
    """What the independent reading says, as the rules say it."""
    if model.certain["not_applicable"]:
        return "not applicable", {}
    phase = next(phase for phase in rules().program.phases if phase.root in policy.roots)
    answers = policy.answers(model)
    criteria = {
        criterion.number: answers[relation]
        for relation in model.certain
        for criterion in rules().program.relations[relation].criteria
        if criterion.phase == phase.name
    }
    stated = {criterion: answers[criterion] for criterion in policy.stated if criterion.startswith(f"{phase.name} ")}
    criteria |= {criterion.removeprefix(f"{phase.name} "): answer for criterion, answer in stated.items()}
    return answers[phase.root], criteria


def check_reading(document: Document, readings: Mapping[str, str] | None = None) -> None:
    policy = policy_for(document, readings)
    expected = read(document, readings or {})
    found = decision_and_criteria(policy, policy.model(document))
    assert found == (expected.decision, dict(expected.criteria)), (document, readings)


@given(alemtuzumab_cases())
def test_the_rules_decide_as_the_independent_reading(document: Document) -> None:
    check_reading(document)


@given(alemtuzumab_cases(), st.fixed_dictionaries({name: st.sampled_from(c) for name, c in READINGS.items()}))
@example({"case": "A-1", "request": {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"}}, {})
def test_so_they_do_under_every_reading(document: Document, readings: dict[str, str]) -> None:
    check_reading(document, readings)


def test_they_decide_many_cases_as_the_independent_reading(effort: int) -> None:
    source = random.Random("many cases")
    for _ in range(1000 * effort):
        check_reading(random_case(source))


def test_each_reading_changes_what_the_independent_reading_says_it_changes(effort: int) -> None:
    source = random.Random("readings")
    choices = [dict(zip(READINGS, choice, strict=True)) for choice in product(*READINGS.values())]
    for readings in choices:
        for _ in range(10 * effort):
            check_reading(random_case(source), readings)


def test_the_default_readings_are_those_the_rules_choose() -> None:
    assert known_with(())["reading"] == set(DEFAULT_READINGS.items())


# --- the laws --------------------------------------------------------------------------------------------------------


def check_completion(draw: Draw, document: Document, completion: Document) -> None:
    """What is definite for a case stays so for a completion, and holds in one of its worlds."""
    policy = policy_for(document)
    model = policy.model(document)
    before, after = (policy.answers(one) for one in (model, policy.model(completion)))
    for question, answer in before.items():
        assert answer in (NEEDS_INFORMATION, after[question]), (document, completion, question)
    rows = policy.as_written.rows(given_world(policy, completion), draw)
    assert not contradictions(policy, model, rows), (document, completion)


@given(st.data())
def test_what_is_definite_stays_so_when_the_case_is_completed(data: st.DataObject) -> None:
    document = data.draw(alemtuzumab_cases())
    check_completion(HypothesisDraw(data.draw), document, data.draw(completions(document)))  # type: ignore[arg-type]


def test_so_it_does_for_many_cases(effort: int) -> None:
    source = random.Random("completions")
    for _ in range(60 * effort):
        document = random_case(source)
        for _ in range(2):
            check_completion(RandomDraw(source), document, random_completion(source, document))


def test_any_order_of_cases_gives_what_each_case_alone_gives(effort: int) -> None:
    source = random.Random("orders")
    for phase in ("initiation", "continuation"):
        used, fresh = phase_policy(phase), Policy(rules().program, phase_policy(phase).roots, known_with(()))
        documents = [random_case(source, phase) for _ in range(10 * effort)]
        alone = [fresh.model(one, BottomUp(fresh.worlds.program, fresh.known)) for one in documents]
        for number in source.sample(range(len(documents)), len(documents)):
            assert used.model(documents[number]) == alone[number], documents[number]


def test_cases_evaluated_together_are_decided_as_one_by_one(effort: int) -> None:
    source = random.Random("together")
    for phase in ("initiation", "continuation"):
        policy = phase_policy(phase)
        for _ in range(3 * effort):
            facts = {one.case: one for one in (policy.facts(random_case(source, phase)) for _ in range(5))}
            together: dict[str, set[tuple[object, ...]]] = {}
            for one in facts.values():
                for name, rows in given_rows(policy.worlds, one).items():
                    together.setdefault(name, set()).update(rows)
            found = policy.bottom_up.evaluate(together)  # type: ignore[arg-type]
            for one in facts.values():
                mine = {name: {row for row in rows if row[:1] == (one.case,)} for name, rows in found.items()}
                alone = policy.bottom_up.evaluate(given_rows(policy.worlds, one))
                assert model_of(policy.worlds, one, mine) == model_of(policy.worlds, one, alone), one


def test_a_case_without_anything_unknown_is_decided_by_the_rules_as_written(effort: int) -> None:
    source = random.Random("two-valued")
    for _ in range(150 * effort):
        document = random_completion(source, random_case(source))
        policy = policy_for(document)
        model, world = policy.model(document), given_world(policy, document)
        rows = policy.as_written.rows(world, RandomDraw(source))
        open_always = {name for name, relation in policy.program.relations.items() if relation.always_open is not None}
        doubtful = above(policy, frozenset(policy.as_written.heads_that_fire(world)))
        for name in model.certain.keys() - doubtful:
            assert model.certain[name] == rows[name], (document, name)
            if name not in above(policy, frozenset(open_always)):
                assert name not in model.open, (document, name)
                assert model.certain[name] == model.possible[name], (document, name)


def given_world(policy: Policy, document: Document) -> dict[str, set[Row]]:
    """The rows that a case states."""
    rows = policy.facts(document).rows
    return {name: {row.values for row in rows[name]} for name in rows if name in policy.worlds.relations}


@cache
def above(policy: Policy, names: frozenset[str]) -> frozenset[str]:
    """The relations that depend on these, themselves included."""
    more = {
        rule.head.relation
        for rule in policy.program.rules
        if any(name in names for name, _ in occurrences(rule.body))
    }
    return names if more <= names else above(policy, names | more)


@given(alemtuzumab_cases())
@settings(max_examples=20)
def test_both_engines_give_the_same_model(document: Document) -> None:
    policy = policy_for(document)
    assert policy.model(document) == policy.model(document, policy.with_pydatalog), document


def test_both_engines_give_the_same_model_for_many_cases(effort: int) -> None:
    source = random.Random("engines")
    for _ in range(100 * effort):
        document = random_case(source)
        policy = policy_for(document)
        assert policy.model(document) == policy.model(document, policy.with_pydatalog), document
