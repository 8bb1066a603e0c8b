"""Explanations leave nothing out and never say what is not so: every one is walked (`tests.explain.walk`)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import pytest
from hypothesis import given, settings

from policy_kb import Determination, Policy
from policy_kb.audit.rules import RuleBook
from policy_kb.audit.statuses import Statuses, Table
from policy_kb.diagnostics import Refused
from policy_kb.explain.lookup import Lookup
from policy_kb.explain.proof import Claim
from policy_kb.explain.written import Sentences
from policy_kb.load.documents import Document, parse_document
from policy_kb.report.as_json import Proofs, as_dict
from policy_kb.report.as_text import Tree
from tests.audit.mutations import Path, parts, with_change
from tests.audit.running import book_of, policy_of, random_determination
from tests.audit.test_proofs import claims, random_explained
from tests.explain.running import COMPARED, COMPARED_DAYS, Explained, explain_text, shorten_lists
from tests.explain.walk import Json, Walk
from tests.kb.test_scenarios import KB, SCENARIOS, read_scenario
from tests.report.small_policies import policy_of as small_policy
from tests.strategies.cases import alemtuzumab_cases

LISTS = ("children", "attempts", "rows", "because", "missed", "closed", "open", "instead", "besides", "behind", "parts",
         "of", "without", "where")
"""Fields of an explanation that list something."""


def whole(one: Explained) -> Json:
    """The explanation of the root, with its rules."""
    proofs = Proofs(one.program, Sentences(one.program.relations, one.facts.written))
    root = proofs.number(one.node)
    said = [{**proofs.rule(part.rule), **proofs.attempt(part)} for part in one.explainer.parts(one.claim(one.root))]
    return {"root": root, **({"one_of": True} if len(said) > 1 else {}), "parts": said, "nodes": proofs.nodes}


def walk(one: Explained, said: Json, claim: Claim) -> Walk:
    found = Walk(one.statuses, said)
    found.whole(claim)
    return found


def fails(one: Explained, said: Json, claim: Claim) -> bool:
    try:
        walk(one, said, claim)
    except (AssertionError, LookupError, ValueError):
        return True
    return False


def shortened(said: Json) -> Iterator[tuple[str, Path, Json]]:
    """The explanation without one entry of one of its lists, for each."""
    for path, part in parts(said):
        if path and path[-1] in LISTS and isinstance(part, list):
            for place in range(len(part)):
                less = with_change(said, path, partial(_without, place))
                yield str(path[-1]), (*path, place), less


def _without(place: int, part: list[Any]) -> list[Any]:
    return [*part[:place], *part[place + 1 :]]


@pytest.mark.parametrize("most", [20, 1])
def test_every_explanation_of_a_random_program_keeps_the_laws(
    most: int, monkeypatch: pytest.MonkeyPatch, effort: int
) -> None:
    shorten_lists(monkeypatch, most)
    seen = 0
    for seed in range(60 * effort):
        one = random_explained(seed)
        if one is not None:
            for claim in claims(one):
                seen += walk(one, one.said(claim), claim).steps_seen
            walk(one, whole(one), one.claim(one.root))
    assert seen > 500


def test_nothing_can_be_left_out(effort: int) -> None:
    tried: Counter[str] = Counter()
    for seed in range(100, 100 + 30 * effort):
        one = random_explained(seed)
        if one is None:
            continue
        said = whole(one)
        for name, path, less in shortened(said):
            tried[name] += 1
            assert fails(one, less, one.claim(one.root)), f"{path}, program {seed}"
    assert tried.keys() >= set(LISTS) - {"besides", "instead", "behind"}
    assert sum(tried.values()) > 300


@settings(max_examples=10)
@given(alemtuzumab_cases())
def test_every_explanation_of_an_alemtuzumab_case_keeps_the_laws(document: dict[str, object]) -> None:
    walk_policy(policy_of(KB / "alemtuzumab.dl"), book_of(KB / "alemtuzumab.dl"), parse_document(document), {})


@pytest.mark.parametrize("start", range(4))
def test_every_explanation_of_a_scenario_keeps_the_laws(start: int, effort: int) -> None:
    assert SCENARIOS
    for path in SCENARIOS[start :: 4 if effort > 1 else 12]:
        entry = KB / f"{path.parents[1].name}.dl"
        _, document, readings = read_scenario(path)
        walk_policy(policy_of(entry), book_of(entry), document, readings)


def walk_policy(policy: Policy, book: RuleBook, document: Document, readings: dict[str, str]) -> Walk:
    """Walk the explanation of a case by a policy; each criterion has a reason, in JSON as in text."""
    determination = policy.decide(document, readings)
    facts = policy.load(document)
    known = policy.known_under(tuple(sorted(readings.items())))
    statuses = Statuses(book.bodies, {name: Table(set(rows)) for name, rows in known.items()}, facts)

    @cache
    def under(name: str, choice: str) -> Lookup | None:
        try:
            decided = policy.evaluate(document, {**readings, name: choice})
        except Refused:
            return None
        return Lookup(policy.program, decided.known, decided.facts, decided.model)

    found = Walk(statuses, as_dict(determination)["explanation"], under)
    if determination.decision == "not applicable":
        found.whole(Claim("not_applicable", (facts.case, None)), has_parts=False)
        return found
    found.whole(Claim(determination.phase.root, (facts.case,)))
    assert determination.explanation is not None
    for number in determination.criteria:
        assert_reason(determination, number)
        part = Proofs(policy.program, determination.sentences).part(determination.explanation, number)
        stating = [part["nodes"][one["node"]] for one in part["parts"]]
        assert any(node.get("children") or node.get("attempts") for node in stating), number
    return found


def assert_reason(determination: Determination, number: str) -> None:
    """The text of a criterion has its answer, and something below it that says why."""
    items = Tree(determination).items(number)
    own = [item for item in items if number in item.number.split(", ")]
    assert any(item.below for item in items), f"criterion {number} has no reason"
    assert all(item.answer == determination.criteria[number] for item in own), number


def test_every_criterion_of_a_random_program_has_a_reason_in_text(effort: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(150 * effort):
        determination = random_determination(seed)
        if determination is not None:
            for number, answer in determination.criteria.items():
                seen[answer] += 1
                assert_reason(determination, number)
            assert determination.to_text()
    assert len(seen) == 3


def test_rows_that_are_compared_with_each_other_are_left_out_by_number_alone() -> None:
    one = explain_text(COMPARED_DAYS, **COMPARED)
    said = whole(one)
    walk(one, said, one.claim(one.root))
    source = random.Random(1)
    changed = list(shortened(said))
    for _, path, less in source.sample(changed, 10):
        assert fails(one, less, one.claim(one.root)), path
    for path, part in parts(said):
        if path and path[-1] in ("more", "more_beside", "more_missed") and source.random() < 0.005:
            assert fails(one, with_change(said, path, lambda part: part + 1), one.claim(one.root)), (path, part)


READINGS = """
.decl reading(name: symbol, choice: symbol) reading("baseline", "latest").
.decl alternative(name: symbol, choice: symbol) alternative("baseline", "any").
/// the level was {level}
@[ask("Which levels?")] .decl level(case: Case, level: float) .input level
/// the level is enough
@[criterion("first 1")] .decl enough(case: Case)
enough(case) :- counted(case, level), level >= 30.
/// the level of {level} counts
.decl counted(case: Case, level: float)
counted(case, level) :- reading("baseline", "any"), level(case, level), level > 5.
counted(case, level) :- reading("baseline", "latest"), level(case, level), level > 10.
/// the level is told
@[criterion("first 2")] .decl told(case: Case)
told(case) :- reading("baseline", "any"), level(case, _).
decided(case) :- enough(case), told(case).
"""


@pytest.mark.parametrize(("levels", "number"), [([], 0), ([7], 1), ([31], 1), ([7, 40], 2)])
def test_what_would_count_under_another_reading_is_tried(levels: list[int], number: int) -> None:
    policy = small_policy(READINGS)
    book = RuleBook(policy.program, {}, policy.rules.digest)
    request = {"drug": "X", "phase": "first", "received": "2025-09-02"}
    document = parse_document({"case": "A-1", "request": request, "level": levels})
    found = walk_policy(policy, book, document, {})
    says = [part for path, part in parts(found.explanation) if path and path[-1] == "would_count"]
    assert len(says) >= min(number, 1)
    assert policy.decide(document).to_text().count("would count") <= len(says)
