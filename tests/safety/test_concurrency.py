"""The Python front door from many threads and processes at once: the same answers as alone."""

from __future__ import annotations

import json
import multiprocessing
import random
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import pytest

import policy_kb
from policy_kb.policies import Policy
from policy_kb.report.as_json import as_dict
from tests.strategies.cases import random_case

READINGS = ({}, {"support": "provided"}, {"previous_year": "calendar_year"})


def cases(number: int) -> list[dict[str, object]]:
    source = random.Random(5)
    return [{**random_case(source), "case": f"A-{one}"} for one in range(number)]


def said(policy: Policy, case: dict[str, object], readings: dict[str, str]) -> str:
    """The whole determination, its explanation included, or why the case is refused."""
    try:
        return json.dumps(as_dict(policy.decide(case, readings)), sort_keys=True)
    except policy_kb.CaseRefused as refused:
        return str(refused)


@cache
def shared() -> Policy:
    return policy_kb.load_policy("09-J2000-27")


def by_a_shared_policy(case: dict[str, object], readings: dict[str, str]) -> str:
    return said(shared(), case, readings)


def by_a_policy_of_its_own(case: dict[str, object], readings: dict[str, str]) -> str:
    return said(policy_kb.load_policy("09-J2000-27"), case, readings)


def asked(number: int) -> list[tuple[dict[str, object], dict[str, str]]]:
    return [(case, READINGS[place % len(READINGS)]) for place, case in enumerate(cases(number))]


def executor(kind: str) -> Executor:
    if kind == "threads":
        return ThreadPoolExecutor(8)
    return ProcessPoolExecutor(3, multiprocessing.get_context(kind))


@pytest.mark.parametrize("kind", ["threads", "spawn", "fork"])
def test_many_at_once_are_answered_as_each_alone(kind: str) -> None:
    questions = asked(24)
    alone = [by_a_shared_policy(*question) for question in questions]
    again = questions * 3
    random.Random(1).shuffle(again)
    with executor(kind) as pool:
        found = list(pool.map(partial(_called, by_a_shared_policy), again))
    expected = dict(zip(map(str, questions), alone, strict=True))
    assert found == [expected[str(question)] for question in again]


def test_threads_that_load_the_policy_each_for_itself_do_not_disturb_each_other() -> None:
    questions = asked(8)
    alone = [by_a_shared_policy(*question) for question in questions]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(partial(_called, by_a_policy_of_its_own), questions)) == alone


def test_a_caller_s_own_datalog_program_is_left_alone() -> None:
    """pyDatalog keeps one program a thread: a caller's is there again after a decision."""
    from pyDatalog import pyDatalog

    pyDatalog.assert_fact("mine", 1)
    before = pyDatalog.ask("mine(X)").answers
    by_a_shared_policy(*asked(1)[0])
    assert pyDatalog.ask("mine(X)").answers == before
    pyDatalog.retract_fact("mine", 1)


def _called(ask: Any, question: tuple[dict[str, object], dict[str, str]]) -> str:
    answer: str = ask(*question)
    return answer
