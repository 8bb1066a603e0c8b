"""All engines and laws together: on what once went wrong, and on random programs. `bench.differential` runs longer."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("duckdb")
pytest.importorskip("clingo")

from bench.differential import run_trial, shown
from policy_kb.answers import NEEDS_INFORMATION
from tests.differential.comparing import ASKED, Subject
from tests.differential.minimise import Example, minimised
from tests.strategies.expressions import DECIMALS, WHOLE, expressions
from tests.strategies.programs import ROUNDING

REGRESSIONS = sorted(path.parent for path in Path(__file__).parents[1].glob("regressions/*/program.dl"))


@pytest.mark.parametrize("folder", REGRESSIONS, ids=lambda folder: folder.name)
def test_what_once_went_wrong_goes_right(folder: Path) -> None:
    """A folder is named after what went wrong, and holds `program.dl` and `cases.ndjson`, as `bench.differential`
    prints them."""
    documents = [json.loads(line) for line in (folder / "cases.ndjson").read_text().splitlines()]
    subject = Subject((folder / "program.dl").read_text(), documents, is_exotic=False)
    for seed in range(4):
        assert not subject.disagreements(seed)


@pytest.mark.parametrize("block", range(4))
def test_all_agree_on_random_programs(block: int, effort: int) -> None:
    for number in range(12 * effort * block, 12 * effort * (block + 1)):
        outcome = run_trial(2025, number)
        assert not outcome.disagreements, "\n".join(line for found in outcome.found for line in shown(found))


@settings(max_examples=12)
@given(st.data())
def test_all_agree_on_comparisons_of_decimals(data: st.DataObject) -> None:
    """What expressions are, `tests.test_numbers` says; here a batch, whose numbers are of another sort, decides by
    them too, and by itself those cases whose numbers leave its range."""
    rules = []
    for number in range(3):
        one, other = data.draw(expressions()), data.draw(expressions())
        sign = data.draw(st.sampled_from(["<", "<=", "=", "!=", ">", ">="]))
        rules += [f'@[criterion("treatment {number}")] .decl r{number}(case: Case)',
                  f"r{number}(case) :- a(case, x, y, k), x = x, y = y, k = k, {one[0]} {sign} {other[0]}."]
    body = ", ".join(data.draw(st.sampled_from((f"r{number}(case)", f"!r{number}(case)"))) for number in range(3))
    text = "\n".join((
        ".type Case <: symbol", ".decl request(case: Case, drug: symbol, phase: symbol, received: number)",
        ".input request", ".decl a(case: Case, x: float, y: float, k: number)", ".input a", *ROUNDING, *rules,
        '@[policy("T-1", phase = "treatment", title = "A test", revised = "2025-07-15")] .decl decided(case: Case)',
        f"decided(case) :- request(case, _, _, _), {body}.",
    ))
    row = st.fixed_dictionaries({
        "x": st.sampled_from(DECIMALS).map(Decimal), "y": st.sampled_from(DECIMALS).map(Decimal),
        "k": st.sampled_from(WHOLE).map(int), "uncertain": st.just(True),
    })
    request = {"drug": "p", "phase": "q", "received": 1}
    cases = data.draw(st.lists(st.lists(row, max_size=2), min_size=5, max_size=5))
    documents = [{"case": f"A-{number}", "request": request, "a": rows} for number, rows in enumerate(cases)]
    assert not Subject(text, documents).disagreements(), text


PROGRAM = (
    ".type Case <: symbol", ".decl request(case: Case, drug: symbol, phase: symbol, received: number)",
    ".input request", '@[ask("Is there a?")] .decl a(case: Case, n: number)', ".input a",
    ".decl b(case: Case, n: number)", ".input b", ".decl d(case: Case)", "d(case) :- a(case, n), n > 1, b(case, _).",
    '@[policy("T-1", phase = "treatment", title = "A test", revised = "2025-07-15")] .decl decided(case: Case)',
    "decided(case) :- d(case), count : { a(case, n), n < 5 } >= 1.", "decided(case) :- !b(case, _), a(case, 7).",
)


def test_an_example_is_made_small_and_stays_what_it_is() -> None:
    request = {"drug": "p", "phase": "q", "received": 1}
    example = Example(PROGRAM, (
        {"case": "A-1", "request": request, "a": [{"n": 3}, {"n": 9, "uncertain": True}], "b": [1, 2]},
        {"case": "A-2", "request": request, "a": [3], "b": [1]},
    ))

    def is_open(smaller: Example) -> bool:
        try:
            subject = Subject(smaller.text, smaller.documents)
        except Exception:
            return False
        return any(model is not None and model.answer("decided") == NEEDS_INFORMATION for model in subject.models)

    assert not is_open(example)
    opened = Example(example.items, (*example.documents, {"case": "A-3", "request": request, "b": [1]}))
    assert is_open(opened)
    small = minimised(opened, is_open)
    assert is_open(small)
    (document,) = small.documents
    assert set(document) == {"case", "request"}
    assert sum(":-" in item for item in small.items) <= 2  # what is left needs all of the rest
    assert "ask" not in small.text


def test_whoever_fails_is_named_and_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> object:
        raise RuntimeError("no engine")

    asked = {**ASKED, "an engine": fail}
    monkeypatch.setattr("tests.differential.comparing.ASKED", asked)
    request = {"drug": "p", "phase": "q", "received": 1}
    found = Subject("\n".join(PROGRAM), [{"case": "A-1", "request": request}]).disagreements()
    assert [str(one) for one in found] == ["an engine: RuntimeError: no engine"]
