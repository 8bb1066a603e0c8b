"""The case format as a JSON Schema says what the loader does."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_kb.diagnostics import CaseRefused
from policy_kb.load.cases import load_case
from policy_kb.load.documents import parse_document
from policy_kb.load.schema import case_schema
from tests.load.vocabulary import KNOWN, PROGRAM, as_json, cases, facts_of

SCHEMA = case_schema(PROGRAM, KNOWN)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
REQUEST: dict[str, object] = {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"}


def is_loaded(case: object) -> bool:
    try:
        load_case(PROGRAM, KNOWN, parse_document(case))
    except CaseRefused:
        return False
    return True


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_says_what_a_reader_needs() -> None:
    relapse = SCHEMA["properties"]["relapse"]
    assert relapse["description"] == "When did relapses begin? (left out means unknown)"
    assert SCHEMA["properties"]["billing_code"]["description"] == "left out means none"
    assert SCHEMA["properties"]["documentation"]["description"] == "what is not given is asked for"
    assert SCHEMA["required"] == ["case", "request"]
    assert list(SCHEMA["properties"]) == ["case", "record", "incomplete", *(one.name for one in PROGRAM.inputs())]


@pytest.mark.parametrize(
    "rest",
    [
        {},
        {"relapse": "2025-03-02"},
        {"relapse": {"on": "2025-03-02", "uncertain": True}},
        {"relapse": ["2025-03-02", {"on": "2025-03-03"}]},
        {"therapy": {"product": "other: x", "started": "2025-03-02", "stopped": "ongoing"}},
        {"therapy": []},
        {"age": 40},
        {"age": []},
        {"age": [{"years": 40}]},
        {"planned_dose": [12, 12.5, 1e-3]},
        {"antiviral_prophylaxis": {"agent": "ACYCLOVIR", "months": 2}},
        {"previously_met_criteria": False},
        {"record": "complete", "incomplete": ["therapy", "billing_code", "documentation"]},
        {"incomplete": "therapy"},
        {"incomplete": []},
        {"prior_approval": ["12", "true", "null"]},
    ],
    ids=str,
)
def test_a_case_that_is_loaded_is_valid(rest: dict[str, object]) -> None:
    case = {"case": "A-1", "request": REQUEST, **rest}
    assert is_loaded(case)
    VALIDATOR.validate(case)


@pytest.mark.parametrize(
    "case",
    [
        {"request": REQUEST},
        {"case": "A-1"},
        {"case": "", "request": REQUEST},
        {"case": 1, "request": REQUEST},
        {"case": "A-1", "request": []},
        {"case": "A-1", "request": [REQUEST, REQUEST]},
        {"case": "A-1", "request": {**REQUEST, "uncertain": False}},
        {"case": "A-1", "request": {**REQUEST, "received": "2025-09-02 10:00"}},
        {"case": "A-1", "request": {**REQUEST, "received": "2200-01-01"}},
        {"case": "A-1", "request": {**REQUEST, "drug": "lemtrade"}},
        {"case": "A-1", "request": {**REQUEST, "drug": "other:"}},
        {"case": "A-1", "request": {**REQUEST, "drug": "other: "}},
    ],
    ids=str,
)
def test_a_case_that_is_refused_is_not_valid(case: dict[str, object]) -> None:
    assert not is_loaded(case)
    assert not VALIDATOR.is_valid(case)


@pytest.mark.parametrize(
    "rest",
    [
        {"weather": []},
        {"met": True},
        {"uncertain": True},
        {"record": "partial"},
        {"incomplete": ["age"]},
        {"incomplete": ["request"]},
        {"incomplete": ["previously_met_criteria"]},
        {"relapse": None},
        {"relapse": ""},
        {"relapse": [[]]},
        {"relapse": "ongoing"},
        {"relapse": {"on": "2025-03-02", "uncertain": "true"}},
        {"relapse": {"on": "2025-03-02", "at": "noon"}},
        {"therapy": "Avonex"},
        {"therapy": {"product": "Avonex", "started": "2025-03-02"}},
        {"age": [40, 41]},
        {"age": -1},
        {"age": "40"},
        {"age": 5.5},
        {"age": 2**63},
        {"planned_dose": "12"},
        {"planned_dose": -0.5},
        {"planned_dose": 10**400},
        {"prior_approval": "Acme\u00adHealth"},
        {"prior_approval": "Acme\u200b"},
        {"prior_approval": " "},
        {"prior_approval": "x" * 10_001},
        {"prior_approval": 12},
        {"previously_met_criteria": []},
        {"previously_met_criteria": "true"},
        {"diagnosis": "RR-MS"},
    ],
    ids=lambda rest: str(rest)[:60],
)
def test_a_case_with_something_wrong_in_it_is_not_valid(rest: dict[str, object]) -> None:
    case = {"case": "A-1", "request": REQUEST, **rest}
    assert not is_loaded(case)
    assert not VALIDATOR.is_valid(case)


@pytest.mark.parametrize(
    "rest", [{"relapse": "2025-02-30"}, {"concurrent_therapy": "other: avonex"}, {"age": 5.0}], ids=str
)
def test_what_a_schema_cannot_say_is_refused_by_the_loader_alone(rest: dict[str, object]) -> None:
    case = {"case": "A-1", "request": REQUEST, **rest}
    VALIDATOR.validate(case)
    assert not is_loaded(case)


@given(cases())
def test_any_valid_case_is_valid(case: dict[str, object]) -> None:
    VALIDATOR.validate(case)
    facts_of(as_json(case), "json")


_STRANGE: st.SearchStrategy[Any] = st.sampled_from(
    [
        "",
        " ",
        "x",
        "other: y",
        "RRMS",
        "2025-03-02",
        "2025-3-2",
        "ongoing",
        "true",
        0,
        -1,
        2**63,
        1.5,
        True,
        None,
        [],
        {},
    ]
) | st.builds(lambda name, value: {name: value}, st.sampled_from(["on", "product", "uncertain"]), st.just("2025-03-02"))


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every mapping and list with every key in it."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


@given(cases(), st.data())
def test_the_schema_and_the_loader_agree_on_a_case_with_one_thing_changed(
    case: dict[str, object], data: st.DataObject
) -> None:
    changed = copy.deepcopy(case)
    holder, key = data.draw(st.sampled_from(_places(changed)))
    if data.draw(st.booleans()):
        holder[key] = data.draw(_STRANGE)
    elif isinstance(holder, dict):
        holder[data.draw(st.sampled_from(["uncertain", "age", "on", "record", "incomplete"]))] = holder.pop(key)
    else:
        holder.append(data.draw(_STRANGE))
    assert VALIDATOR.is_valid(changed) == is_loaded(changed)
