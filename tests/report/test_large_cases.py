"""Explanations of cases with very many rows: what is complete grows with the case, what a person reads does not."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from policy_kb import CaseRefused, Determination, load_policy
from policy_kb.check.checked import Attribute, Relation
from policy_kb.explain.proof import MOST_WITHIN
from policy_kb.load.cases import is_single
from policy_kb.report.as_html import render_page
from policy_kb.report.as_json import as_dict
from policy_kb.report.as_text import Tree, closing, render
from policy_kb.report.summary import header
from tests.fuzzing.behaving import complaint, run_in

POLICY = load_policy("09-J2000-27")
RELATIONS = [relation for relation in POLICY.program.inputs() if relation.arity > 1 and not is_single(relation)]
FEW, MANY = 60, 240


def value(attribute: Attribute, number: int) -> object:
    """A value the attribute allows, another one for each number as far as there are so many."""
    if attribute.is_date:
        return (date(2025, 8, 1) - timedelta(days=number % 40_000)).isoformat()
    if attribute.one_of is not None:
        return attribute.one_of[number % len(attribute.one_of)]
    if attribute.domain is not None:
        names = sorted(str(row[0]) for row in POLICY.rules.known[attribute.domain.relation])
        return names[number] if number < len(names) else f"other: number {number}"
    if attribute.kind == "symbol":
        return f"text {number}"
    return number + 13


def rows(relation: Relation, number: int) -> list[dict[str, object]]:
    """Distinct rows as far as there are so many; of the first half every date of a row is the same day."""
    found = []
    for one in range(number):
        row = {attribute.name: value(attribute, one) for attribute in relation.attributes[1:]}
        days = sorted(str(row[a.name]) for a in relation.attributes[1:] if a.is_date)
        for attribute in relation.attributes[1:]:
            if attribute.is_date:
                row[attribute.name] = "ongoing" if attribute.may_be_ongoing and one % 3 == 0 else days.pop(0)
        found.append(row)
    return found


def large(relation: Relation, number: int, phase: str, uncertain: bool) -> Determination:
    """A case that says much of one relation and nothing else."""
    given = rows(relation, number)
    if uncertain:
        given = [{**row, "uncertain": True} for row in given]
    return POLICY.decide({
        "case": "large", "request": {"drug": "Lemtrada", "phase": phase, "received": "2025-09-02"},
        "record": "complete", relation.name: given,
    })


def text_of(determination: Determination) -> str:
    return "\n".join([*header(determination), *render(Tree(determination).items()), *closing(determination)])


@pytest.mark.parametrize("phase", ["initiation", "continuation"])
@pytest.mark.parametrize("uncertain", [False, True], ids=["certain", "uncertain"])
@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_what_is_read_stays_short_and_what_is_checked_grows_with_the_case(
    relation: Relation, uncertain: bool, phase: str
) -> None:
    few, many = (large(relation, number, phase, uncertain) for number in (FEW, MANY))
    for shown in (text_of, render_page):
        # A little more: numbers have more digits, and of some values there are more than were there before.
        assert len(shown(many)) <= 1.2 * len(shown(few)) + 2_000, shown(many)[:5_000]
    complete = [len(json.dumps(as_dict(determination))) for determination in (few, many)]
    assert complete[1] <= 1.5 * MANY / FEW * complete[0]


def test_what_is_folded_says_how_much_and_stands_complete_in_json() -> None:
    relation = next(relation for relation in RELATIONS if relation.name == "planned_dose")
    many = large(relation, MANY, "initiation", False)
    assert f"and {MANY - 10} more like these (--json lists all)" in text_of(many)
    assert f"and {MANY - 10} more like these (--json lists all)" in render_page(many)
    written = json.dumps(as_dict(many))
    assert all(f"{number + 13}.0" in written for number in range(MANY))


def test_what_json_leaves_out_is_not_said_to_stand_there() -> None:
    relation = next(relation for relation in RELATIONS if relation.name == "hiv_test")
    many = large(relation, MANY, "initiation", True)
    lines = [line.strip("| ") for line in text_of(many).splitlines()]
    # All tests that were positive, and of those that were not clear the ones after one that was negative.
    assert f"and {MANY // 3 - 10} more like these (--json lists all)" in lines
    assert f"and {MANY // 3 - 11} more" in lines
    assert f'"more": {MANY // 3 - 1 - MOST_WITHIN}' in json.dumps(as_dict(many))


def test_an_explanation_that_would_take_all_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policy_kb.explain.why.MOST_PARTS", 1_000)
    relation = next(relation for relation in RELATIONS if relation.name == "hiv_test")
    with pytest.raises(CaseRefused, match="the explanation looks at more than 1,000 rows"):
        large(relation, 100, "initiation", True)


def test_a_case_with_a_hundred_thousand_rows_is_decided_and_explained(tmp_path: Path) -> None:
    last = date(2190, 1, 1)
    days = [(last - timedelta(days=number)).isoformat() for number in range(100_000)]
    scan = {"on": "2025-08-01", "finding": "gadolinium-enhancing lesion", "lesions": 1}
    case = {"case": "large", "request": {"drug": "Lemtrada", "phase": "initiation", "received": "2190-01-01"},
            "record": "complete", "relapse": days, "mri": scan}
    (tmp_path / "case.json").write_text(json.dumps(case))
    done = run_in(tmp_path, ["explain", "case.json", "2.a"], seconds=300)
    assert complaint(["explain", "case.json", "2.a"], done) is None
    assert done.code == 4
    assert done.memory < 512
    assert "366 relapses from " in done.output
    assert "and 356 more like these (--json lists all)" in done.output
    assert len(done.output.splitlines()) < 40


def test_rows_that_are_compared_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    relation = next(relation for relation in RELATIONS if relation.name == "hiv_test")
    large(relation, 100, "initiation", True)
    monkeypatch.setattr("policy_kb.evaluate.bottom_up.MOST_LOOKED_AT", 1_000)
    with pytest.raises(CaseRefused, match="rows are compared with each other more than 1,000 times"):
        large(relation, 100, "initiation", True)


def test_rows_that_say_the_same_of_what_is_asked_are_looked_at_once() -> None:
    first = date(1920, 1, 1)
    days = [(first + timedelta(days=number)).isoformat() for number in range(20_000)]
    determination = POLICY.decide({
        "case": "large", "request": {"drug": "Lemtrada", "phase": "initiation", "received": "2190-01-01"},
        "record": "complete", "hiv_test": [{"result": "negative", "on": day} for day in days],
    })
    assert determination.criteria["4"] == "met"
