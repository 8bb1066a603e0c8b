"""A case is refused where a row of an `@[refused]` relation is certain, every uncertain row being taken to hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from policy_kb.commands import program

POLICY = """
.type Case <: symbol
.type Date <: number
/// {drug}, {phase}, {received}
@[ask("What is asked for?")]
.decl request(case: Case, drug: symbol, phase: symbol, received: Date)
.input request
/// the dose is {mg} mg
@[ask("Which dose?")]
.decl dose(case: Case, mg: number)
.input dose
/// the limit is {mg} mg
@[ask("Which limit?")]
.decl limit(case: Case, mg: number)
.input limit

/// a dose of {mg} mg is above the limit
@[refused]
.decl above(case: Case, mg: number)
above(case, mg) :- dose(case, mg), limit(case, most), mg > most.

.decl covers(what: symbol)
covers("Examplumab").
/// the policy is met
@[policy("X-1", phase = "initiation", title = "An example", revised = "2025-01-01")]
.decl root(case: Case)
/// a dose is planned
@[criterion("initiation 1")]
.decl planned(case: Case)
planned(case) :- dose(case, _).
root(case) :- planned(case).
"""
REQUEST = {"drug": "Examplumab", "phase": "initiation", "received": "2025-02-01"}


def run(folder: Path, command: str, *words: str, **stated: object) -> Result:
    (folder / "policy.dl").write_text(POLICY, encoding="utf-8")
    case = folder / "case.ndjson"
    case.write_text(json.dumps({"case": "A-1", "request": REQUEST, **stated}) + "\n", encoding="utf-8")
    words = tuple(str(folder / word) if word.startswith("out.") else word for word in words)
    return CliRunner().invoke(program, [command, str(case), "--policy", str(folder / "policy.dl"), *words])


COMMANDS = [("decide",), ("batch", "-o", "out.csv")]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_a_row_that_an_uncertain_record_gives_refuses_the_case(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = run(tmp_path, *command, dose=[{"mg": 7, "uncertain": True}, 3], limit=5)
    assert result.exit_code == 1
    assert "a dose of 7 mg is above the limit" in result.stderr
    assert "dose of 3" not in result.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_what_is_not_known_refuses_nothing(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert run(tmp_path, *command, dose=7).exit_code == 0
    assert run(tmp_path, *command, dose=7, limit=[{"mg": 9, "uncertain": True}]).exit_code == 0


def test_the_place_is_that_of_the_record_it_rests_on(tmp_path: Path) -> None:
    result = run(tmp_path, "decide", dose=[3, 7], limit=5)
    assert "`dose[1]`: a dose of 7 mg is above the limit" in result.stderr
