"""The SQL written by hand that the batch is measured against decides as the rules do, two-valued."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

duckdb = pytest.importorskip("duckdb")

from bench.batch_by_hand import FORMS, decide  # noqa: E402
from bench.batch_data import write_cases, write_ndjson  # noqa: E402
from bench.batch_others import clingo  # noqa: E402
from policy_kb import load_policy, pipeline  # noqa: E402
from policy_kb.evaluate.bottom_up import BottomUp  # noqa: E402
from policy_kb.load.documents import parse_document  # noqa: E402

NUMBER = 300


def by_the_rules(path: Path) -> dict[str, bool]:
    """Of each document of a file, its record being complete: whether the root of initiation is certain."""
    policy = load_policy("09-J2000-27")
    phase = next(phase for phase in policy.program.phases if phase.name == "initiation")
    worlds = pipeline.worlds_of(policy.rules, phase)
    engine = BottomUp(worlds.program, policy.rules.known)
    met = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        facts = policy.load(parse_document({**json.loads(line), "record": "complete"}))
        model = pipeline.evaluate(worlds, engine, facts)
        pipeline.check_refusals(policy.rules, policy.rules.known, worlds, engine, facts, model)
        met[facts.case] = bool(model.certain[phase.root])
    return met


def by_hand(folder: Path, output: Path, form: str) -> dict[str, bool]:
    decide(folder, output, form)
    rows: list[tuple[str, bool]] = duckdb.sql(f"""SELECT "case", met FROM '{output}'""").fetchall()
    assert len(rows) == len(dict(rows))
    return dict(rows)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    write_cases(folder, NUMBER, seed=3)
    return folder


@pytest.fixture(scope="module")
def expected(cases: Path) -> dict[str, bool]:
    write_ndjson(cases, cases / "cases.ndjson")
    return by_the_rules(cases / "cases.ndjson")


@pytest.mark.parametrize("form", FORMS)
def test_the_query_agrees_with_the_rules(form: str, cases: Path, expected: dict[str, bool]) -> None:
    assert NUMBER / 10 < sum(expected.values()) < NUMBER / 2
    assert by_hand(cases, cases / "met.parquet", form) == expected


def test_clingo_agrees_with_the_rules(cases: Path, expected: dict[str, bool]) -> None:
    pytest.importorskip("clingo")
    assert clingo(cases, NUMBER, runs=1).met == sum(expected.values())


def test_the_cases_of_a_seed_are_the_same_again(cases: Path, tmp_path: Path) -> None:
    write_cases(tmp_path, NUMBER, seed=3)
    files = sorted(file.name for file in cases.glob("*.parquet") if file.stem != "met")
    assert files == sorted(file.name for file in tmp_path.glob("*.parquet"))
    for file in files:
        assert duckdb.sql(f"FROM '{cases / file}'").fetchall() == duckdb.sql(f"FROM '{tmp_path / file}'").fetchall()


@pytest.mark.parametrize("phase", ["initiation", "continuation", "both"])
def test_uncertain_and_incomplete_cases_are_accepted(phase: str, tmp_path: Path) -> None:
    write_cases(tmp_path, 50, phase=phase, uncertain=0.1, incomplete=0.05)
    write_ndjson(tmp_path, tmp_path / "cases.ndjson")
    policy = load_policy("09-J2000-27")
    documents = [json.loads(line) for line in (tmp_path / "cases.ndjson").read_text(encoding="utf-8").splitlines()]
    read = [policy.load(parse_document(document)) for document in documents]
    assert len(read) == 50
    assert any(row.is_uncertain for facts in read for rows in facts.rows.values() for row in rows)
    assert any("incomplete" in facts.open.values() for facts in read)
