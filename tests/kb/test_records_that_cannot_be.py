"""Records that the vocabulary refuses: dates that cannot be right, courses that are plans."""

from __future__ import annotations

import pytest

import policy_kb
from policy_kb.diagnostics import CaseRefused

CASE = {"case": "A-1", "request": {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"}}

EVENTS = {
    "relapse": ("a relapse", lambda on: on),
    "mri": ("an MRI", lambda on: {"on": on, "finding": "new or enlarging T2 lesion", "lesions": 1}),
    "hiv_test": ("an HIV test", lambda on: {"result": "negative", "on": on}),
    "icd10": ("the recording of the code", lambda on: {"code": "G35.A", "recorded": on}),
    "alemtuzumab_course": (
        "the last dose of a course of alemtuzumab",
        lambda on: {"number": 1, "first_dose": "2025-09-01", "last_dose": on},
    ),
}


@pytest.mark.parametrize("relation", EVENTS)
def test_a_date_after_receipt_is_named_and_one_a_year_after_it_is_refused(relation: str) -> None:
    what, written = EVENTS[relation]
    policy = policy_kb.load_policy("09-J2000-27")
    determination = policy.decide({**CASE, relation: [written("2026-09-02")]})
    assert any(notice.startswith(what) and "2026-09-02" in notice for notice in determination.notices)
    assert not any(what in one for one in policy.decide({**CASE, relation: [written("2025-09-02")]}).notices)
    with pytest.raises(CaseRefused, match="2026-09-03, more than 12 months after the request was received") as refused:
        policy.decide({**CASE, relation: [written("2026-09-03")]})
    (problem,) = refused.value.diagnostics
    assert problem.path == f"{relation}[0]"


def test_a_course_that_begins_after_receipt_is_a_plan() -> None:
    course = {"number": 1, "first_dose": "2025-09-03", "last_dose": "2025-09-07"}
    with pytest.raises(CaseRefused, match="planned_first_dose"):
        policy_kb.load_policy("09-J2000-27").decide({**CASE, "alemtuzumab_course": [course]})
