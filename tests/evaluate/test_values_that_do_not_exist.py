"""A value that does not exist refuses its case exactly where it is needed, whatever the order of literals, in every
engine and in the audit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_kb.audit.statuses import Bodies, Statuses, Table
from policy_kb.commands import program as command
from policy_kb.evaluate.bottom_up import BottomUp
from policy_kb.evaluate.model import given_rows
from policy_kb.evaluate.plain import Engine
from policy_kb.evaluate.with_pydatalog import WithPyDatalog
from policy_kb.evaluate.worlds import certain, double
from policy_kb.expressions import EvaluationStopped
from policy_kb.load.cases import load_case
from policy_kb.load.documents import parse_document
from tests.evaluate.running import check_text

Test = Callable[[Fraction, int, str], bool]
LIMITS = Fraction(2), Fraction(1, 2)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError
    return int(text)


TESTS: dict[str, Test] = {
    "x / y > 2": lambda x, y, t: x / y > 2,
    "y != 0": lambda x, y, t: y != 0,
    "x > 1": lambda x, y, t: x > 1,
    "z = x / y; z > 1": lambda x, y, t: x / y > 1,
    "z = 7 % y; w = z + 1; w < 4": lambda x, y, t: 7 % y + 1 < 4,
    "to_number(t) = y": lambda x, y, t: _number(t) == y,
    "limit(x / y)": lambda x, y, t: x / y in LIMITS,
    "limit(x / y); limit(v); v > 1": lambda x, y, t: x / y in LIMITS,
    "!limit(x / y)": lambda x, y, t: x / y not in LIMITS,
    "limit(v); v = x / y": lambda x, y, t: x / y in LIMITS,
    "count : { limit(l), l * y >= x } >= 1": lambda x, y, t: any(limit * y >= x for limit in LIMITS),
    "sum l / y : { limit(l) } > 1": lambda x, y, t: Fraction(5, 2) / y > 1,
    "x * 1.0e17 < 1.0e17": lambda x, y, t: _within(x * 10**17) < 10**17,
    "@written(y * 10000000) != t": lambda x, y, t: _day(y * 10**7) != t,
}


def _within(value: Fraction) -> Fraction:
    if abs(value.numerator) >= 10**18:
        raise ValueError
    return value


def _day(days: int) -> str:
    return "1970-01-01" if days == 0 else str(days)


ROOT = "decided"
HEAD = """
.type Case <: symbol
.type Date <: number
.functor written(day: Date): symbol
.decl request(case: Case, drug: symbol, phase: symbol, received: number)
.input request
.decl a(case: Case, x: float) .input a
.decl b(case: Case, y: number) .input b
.decl c(case: Case, t: symbol) .input c
.decl limit(l: float)
limit(2). limit(1 / 2.0).
.decl decided(case: Case)
.decl found(case: Case, x: float, y: number, t: symbol)
decided(case) :- found(case, _, _, _).
"""


def expected(tests: list[str], case: dict[str, Any]) -> set[tuple[Fraction, int, str]] | None:
    """The rows for which every literal holds; None where a value is needed that does not exist."""
    rows = set()
    for x, y, t in product(case["a"], case["b"], case["c"]):
        answers: list[bool | None] = []
        for test in tests:
            try:
                answers.append(TESTS[test](Fraction(str(x)), y, t))
            except (ZeroDivisionError, ValueError):
                answers.append(None)
        if False in answers:
            continue
        if None in answers:
            return None
        rows.add((Fraction(str(x)), y, t))
    return rows


@st.composite
def bodies(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Tests, and the literals of a body with them, in any order. Variables of one test are its own."""
    tests = draw(st.lists(st.sampled_from(sorted(TESTS)), min_size=1, max_size=4, unique=True))
    literals = ["a(case, x)", "b(case, y)", "c(case, t)"]
    for number, test in enumerate(tests):
        literals += re.sub(r"\b[zwv]\b", rf"\g<0>{number}", test).split("; ")
    return tests, draw(st.permutations(literals))


def cases() -> st.SearchStrategy[dict[str, Any]]:
    def some(values: list[Any]) -> st.SearchStrategy[list[Any]]:
        return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)

    return st.fixed_dictionaries({
        "a": some([0, 1.5, 4, 7, 12.5]), "b": some([0, 1, 2, 7]), "c": some(["1", "2", "7", "a"]),
    })


@settings(max_examples=150)
@given(bodies(), cases())
def test_a_value_is_needed_where_all_other_literals_hold(
    body: tuple[list[str], list[str]], case: dict[str, Any]
) -> None:
    tests, literals = body
    checked = check_text(HEAD + f"found(case, x, y, t) :- {', '.join(literals)}.")
    known = {"limit": {(limit,) for limit in LIMITS}}
    request = {"drug": "d", "phase": "treatment", "received": 1}
    facts = load_case(checked, known, parse_document({"case": "A-1", "request": request, "record": "complete", **case}))
    worlds = double(checked, [ROOT])
    wanted = expected(tests, case)
    engines: list[Engine] = [BottomUp(worlds.program, known), WithPyDatalog(worlds.program, known)]
    for engine in engines:
        try:
            rows: object = {row[1:] for row in engine.evaluate(given_rows(worlds, facts))[certain("found")]}
        except EvaluationStopped:
            rows = None
        assert rows == wanted, (type(engine), literals)
    try:
        statuses = Statuses(Bodies(checked), {"limit": Table(known["limit"])}, facts)  # type: ignore[arg-type]
        audited: object = {row[1:] for row in statuses.status("found").certain.rows}
    except EvaluationStopped:
        audited = None
    assert audited == wanted, literals


POLICY = """
.include "vocabulary/policies.dl"
covers("Lemtrada").
/// all criteria are met
@[policy("X-1", phase = "initiation", title = "Arithmetic", revised = "2025-01-01")]
.decl met(case: Case)
/// the member weighs {kg} kg
@[ask("Which weight?")]
.decl weight(case: Case, kg: float)
.input weight
/// the member is {m} m tall
@[ask("Which height?")]
.decl height(case: Case, m: float)
.input height
met(case) :- obese(case).
/// the BMI is at least 30
@[criterion("initiation 1")]
.decl obese(case: Case)
"""
WAYS = {
    "in the body": "obese(case) :- weight(case, kg), height(case, m), kg / (m * m) >= 30.\n",
    "with a name": "obese(case) :- weight(case, kg), height(case, m), bmi = kg / (m * m), bmi >= 30.\n",
    "in a head": "/// {b}\n.decl bmi(case: Case, b: float)\n"
    "bmi(case, kg / (m * m)) :- weight(case, kg), height(case, m).\nobese(case) :- bmi(case, b), b >= 30.\n",
    "through another relation": "/// {s}\n.decl square(case: Case, s: float)\nsquare(case, m * m) :- height(case, m).\n"
    "obese(case) :- weight(case, kg), square(case, s), kg / s >= 30.\n",
    "denied": "/// thin\n.decl thin(case: Case)\nthin(case) :- weight(case, kg), height(case, m), kg / (m * m) < 30.\n"
    "obese(case) :- request(case, _, _, _), !thin(case).\n",
    "counted": "obese(case) :- request(case, _, _, _), "
    "count : { weight(case, kg), height(case, m), kg / (m * m) >= 30 } >= 1.\n",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("arguments", [["decide"], ["decide", "--json"], ["explain"], ["query"]], ids=" ".join)
def test_every_command_refuses_the_case_with_the_expression_and_its_rows(
    way: str, arguments: list[str], tmp_path: Path
) -> None:
    (tmp_path / "p.dl").write_text(POLICY + WAYS[way])
    request = {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"}
    lines = [
        {"case": name, "request": request, "weight": [kg], "height": [m]}
        for name, kg, m in (("fine", 95, 1.7), ("zero", 95, 0), ("both", 0, 0), ("thin", 50, 1.7))
    ]
    one = tmp_path / "cases.ndjson"
    one.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if arguments[0] != "decide":
        one.write_text("\n" + json.dumps(lines[1]) + "\n")
    more = ["obese(_)"] if arguments == ["query"] else []
    result = CliRunner().invoke(command, [*arguments, str(one), *more, "--policy", str(tmp_path / "p.dl")])
    assert result.exit_code == 1
    said = json.loads(result.stderr.splitlines()[0])[0] if "--json" in arguments else {"message": result.stderr}
    assert "--json" in arguments or "case `zero`: " in result.stderr
    assert said.get("case", "zero") == "zero"
    assert "division by zero: `95 / " in said["message"]
    assert "`height[0]`" in said["message"]
    assert "cases.ndjson:2" in said["message"]
    if arguments == ["decide"]:
        assert [line.split(": ")[:2] for line in result.stdout.splitlines()] == [["fine", "met"], ["thin", "not met"]]
