"""What is approved, the facts of a phase and what is granted to a case beside them: every command says the same."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("duckdb")

from policy_kb import CaseRefused, load_policy
from policy_kb.report.as_json import as_dict
from policy_kb.report.summary import header
from tests.batch.test_engine import call, result

RULES = """
.include "dates.dl"
.type Case <: symbol
/// {drug} is asked for, {phase}, received on {received}
@[ask("What is asked for?")]
.decl request(case: Case, @[one_of("infuser")] drug: symbol, phase: symbol, received: Date)
.input request
/// the member weighs {kg} kg
@[ask("How much does the member weigh?")]
.decl weight(case: Case, kg: number)
.input weight
/// {kind} is asked for beside it ({how_many})
@[ask("What else is asked for?")]
.decl extra(case: Case, kind: symbol, how_many: number)
.input extra
.decl covers(what: symbol)
covers("infuser").
.decl approval(phase: symbol, amount: number, unit: symbol)
approval("first order", 12, "months").
approval("first order", 1, "infuser").
.decl granted(case: Case, amount: number, unit: symbol)
granted(case, 2 * kg, "units of J0000") :- weight(case, kg).
granted(case, 1, "visit") :- weight(case, kg), kg < 30.
granted(case, how_many, unit) :- extra(case, kind, how_many), counted_in(kind, unit).
/// {kind} is counted in {unit}
.decl counted_in(kind: symbol, unit: symbol)
counted_in("needles", "boxes of needles").
counted_in("tubes", "tubes").
counted_in("hoses", "tubes").

/// all is well
@[policy("P-1", phase = "first order", title = "An infuser", revised = "2025-01-01")]
.decl first(case: Case)
first(case) :- heavy_enough(case).
/// all is well again
@[policy("P-1", phase = "first order again", title = "An infuser", revised = "2025-01-01")]
.decl again(case: Case)
again(case) :- heavy_enough(case).
/// the member weighs enough
@[criterion("first order 1")] @[criterion("first order again 1.a")]
.decl heavy_enough(case: Case)
heavy_enough(case) :- weight(case, kg), kg >= 20.
/// enough for an order again
@[criterion("first order again 1")]
.decl enough(case: Case)
enough(case) :- heavy_enough(case).
"""


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kb")
    shutil.copy(Path(__file__).parents[2] / "kb" / "vocabulary" / "dates.dl", folder)
    (folder / "infuser.dl").write_text(RULES.replace("again(case) :- heavy_enough", "again(case) :- enough"))
    return folder / "infuser.dl"


def request(phase: str) -> dict[str, str]:
    return {"drug": "infuser", "phase": phase, "received": "2025-09-02"}


CASES = st.fixed_dictionaries({
    "request": st.sampled_from(["first order", "first order again"]).map(request),
    "weight": st.integers(18, 34).map(lambda kg: {"kg": kg}),
}, optional={
    "extra": st.lists(st.fixed_dictionaries(
        {"kind": st.sampled_from(["needles", "tubes", "hoses", "visit"]), "how_many": st.integers(1, 3)},
        optional={"uncertain": st.just(True)},
    ), max_size=3),
})


@settings(max_examples=5)
@given(cases=st.lists(CASES, min_size=20, max_size=30))
def test_a_batch_approves_what_decide_approves(
    entry: Path, tmp_path_factory: pytest.TempPathFactory, cases: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("batch")
    named = [{"case": f"A-{number}", **case} for number, case in enumerate(cases)]
    (folder / "cases.ndjson").write_text("".join(json.dumps(case) + "\n" for case in named))
    policy = load_policy(entry)
    expected: dict[str, Any] = {}
    refused = {}
    for case in named:
        try:
            expected[case["case"]] = as_dict(policy.decide(case))["approval"]
        except CaseRefused as problem:
            [refused[case["case"]]] = [one.message for one in problem.diagnostics]
    assert all("`tubes` is approved twice" in one or "boxes of needles" in one for one in refused.values())
    for ending in ("parquet", "ndjson"):
        done = call("batch", folder / "cases.ndjson", "--policy", entry, "-o", folder / f"out.{ending}",
                    "--rejects", folder / "rejects.csv")
        assert done.exit_code in (0, 1), done.output
        assert {case: row["approval"] for case, row in result(folder / f"out.{ending}").items()} == expected
    with (folder / "rejects.csv").open(encoding="utf-8", newline="") as rejects:
        assert {row["case"]: row["reason"] for row in csv.DictReader(rejects)} == refused


def test_facts_come_first_then_what_is_granted(entry: Path) -> None:
    case = {"case": "A-1", "request": request("first order"), "weight": 25, "extra": {"kind": "needles", "how_many": 3}}
    said = next(line for line in header(load_policy(entry).decide(case)) if line.startswith("approval"))
    assert said == "approval: 12 months, 1 infuser, 3 boxes of needles, 50 units of J0000, 1 visit"


def test_a_phase_may_have_several_words(entry: Path) -> None:
    weight = {"weight": 25}
    first, again = (
        load_policy(entry).decide({"case": "A", "request": request(phase), **weight, "extra": []})
        for phase in ("first order", "first order again")
    )
    assert (dict(first.criteria), dict(again.criteria)) == ({"1": "met"}, {"1": "met", "1.a": "met"})
    assert as_dict(again)["approval"] == [{"amount": 50, "unit": "units of J0000"}, {"amount": 1, "unit": "visit"}]
