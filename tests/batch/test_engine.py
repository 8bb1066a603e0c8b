"""`batch` from its input to its output, `explain --from`, `sql`."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("duckdb")

import duckdb

from policy_kb.commands import program
from policy_kb.diagnostics import CaseRefused
from policy_kb.load.documents import parse_document
from tests.batch.test_laws import POLICY
from tests.strategies.cases import random_case

COLUMNS = {
    "request": ("case", "drug", "phase", "received"),
    "therapy": ("case", "product", "started", "stopped"),
    "planned_dose": ("case", "mg_per_day"),
    "relapse": ("case", "on"),
    "alemtuzumab_course": ("case", "number", "first_dose", "last_dose"),
    "age": ("case", "years"),
    "prior_approval": ("case", "payer"),
    "line_of_business": ("case", "line"),
    "doses_requested": ("case", "doses"),
    "_stated": ("case", "relation"),
    "_incomplete": ("case", "relation"),
}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments])


def folder(path: Path, tables: Mapping[str, list[tuple[object, ...]]]) -> Path:
    path.mkdir()
    for name, rows in tables.items():
        with (path / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(COLUMNS[name])
            writer.writerows(rows)
    return path


def result(path: Path) -> dict[str, dict[str, Any]]:
    relation = duckdb.connect().execute(f"SELECT * FROM '{path}'")
    names = [column[0] for column in relation.description]
    return {row[0]: dict(zip(names, row, strict=True)) for row in relation.fetchall()}


def documents(seed: int, number: int) -> list[dict[str, object]]:
    """Cases that can be read, of both phases."""
    source = random.Random(seed)
    found: list[dict[str, object]] = []
    while len(found) < number:
        document = {**random_case(source), "case": f"A-{len(found)}"}
        try:
            POLICY.determine(parse_document(document), {}, with_explanation=False)
        except CaseRefused:
            continue
        found.append(document)
    return found


def is_initiation(case: Mapping[str, object]) -> bool:
    return "initiation" in json.dumps(case["request"])


def test_a_batch_of_lines_equals_decide(tmp_path: Path) -> None:
    cases = documents(3, 80)
    lines = tmp_path / "cases.ndjson"
    lines.write_text("".join(json.dumps(case) + "\n" for case in cases))
    done = call("batch", lines, "-o", tmp_path / "out.parquet")
    assert done.exit_code == 0, done.output
    rows = result(tmp_path / "out.parquet")
    assert len(rows) == len(cases)
    for case in cases:
        alone = POLICY.determine(parse_document(case), {}, with_explanation=False)
        row = rows[str(case["case"])]
        assert (row["decision"], row["phase"]) == (alone.decision, alone.phase.name)
        for number, answer in alone.criteria.items():
            assert row[f"{alone.phase.name} {number}"] == answer
        assert {(p["relation"], p["why"]) for p in row["missing"]} == {(p.relation, p.why) for p in alone.missing}


def test_readings_are_those_of_decide(tmp_path: Path) -> None:
    cases = documents(4, 60)
    lines = tmp_path / "cases.ndjson"
    lines.write_text("".join(json.dumps(case) + "\n" for case in cases))
    readings = {"previous_year": "calendar_year", "brand_trial": "counts", "support": "provided", "benefit": "any"}
    options = [word for name, choice in readings.items() for word in ("--reading", f"{name}={choice}")]
    assert call("batch", lines, "-o", tmp_path / "out.parquet", *options).exit_code == 0
    rows = result(tmp_path / "out.parquet")
    for case in cases:
        alone = POLICY.determine(parse_document(case), readings, with_explanation=False)
        assert rows[str(case["case"])]["decision"] == alone.decision


TABLES: dict[str, list[tuple[object, ...]]] = {
    "request": [("A-1", "Lemtrada", "initiation", "2025-09-02"), ("A-2", "Lemtrada", "continuation", "2025-09-02"),
                ("A-3", "Avonex", "initiation", "2025-09-02"), ("A-4", "Lemtrada", "initiation", "2025-09-02"),
                ("A-5", "Lemtrada", "initiation", "2025-13-02")],
    "therapy": [("A-1", "Avonex", "2021-01-10", "2023-05-01"), ("A-4", "Avonex", "2023-05-01", "2021-01-10")],
    "planned_dose": [("A-1", 12), ("A-2", 13)],
}
BAD = {"A-3", "A-4", "A-5"}


def test_each_refused_line_is_named_also_where_a_rule_refuses_its_case(tmp_path: Path) -> None:
    request = {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"}
    backwards = {"product": "Avonex", "started": "2025-01-02", "stopped": "2025-01-01"}
    cases: list[dict[str, object]] = [
        {"case": "a", "request": request}, {"case": "\u00e9", "request": request, "therapy": backwards},
        {"case": "b", "request": request, "diagnosis": "b"}, {"case": "c\\", "request": request, "therapy": backwards},
    ]
    path = tmp_path / "cases.ndjson"
    path.write_text("\n".join(["", *map(json.dumps, cases)]))
    refused = call("batch", path, "-o", tmp_path / "out.csv", "--json")
    assert refused.exit_code == 1
    problems = json.loads(refused.stderr)
    assert {one["case"]: one["line"] for one in problems if one["case"]} == {"\u00e9": 3, "b": 4, "c\\": 5}


def test_a_bad_case_refuses_the_batch(tmp_path: Path) -> None:
    cases = folder(tmp_path / "cases", TABLES)
    refused = call("batch", cases, "-o", tmp_path / "out.csv")
    assert refused.exit_code == 1
    for case in BAD:
        assert f"`{case}`" in refused.output
    assert "3 of 5 cases" in refused.output
    assert not (tmp_path / "out.csv").exists()


def test_rejects_add_up(tmp_path: Path) -> None:
    cases = folder(tmp_path / "cases", TABLES)
    done = call("batch", cases, "-o", tmp_path / "out.parquet", "--rejects", tmp_path / "bad.csv", "--json")
    assert done.exit_code == 0, done.output
    assert set(result(tmp_path / "out.parquet")) == {"A-1", "A-2"}
    with (tmp_path / "bad.csv").open() as stream:
        assert {row["case"] for row in csv.DictReader(stream)} == BAD
    summary = json.loads(done.output)
    assert summary["cases"] + summary["rejected"] == 5


ROWS = {"relapse": "2025-01-01", "planned_dose": 12, "age": 40, "prior_approval": "another plan"}


@pytest.mark.parametrize("relation", [*ROWS, "therapy", "alemtuzumab_course"])
@pytest.mark.parametrize(("parts", "slices"), [(1, 1), (3, 1), (1, 3)])
def test_rows_without_a_request_are_found_whatever_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relation: str, parts: int, slices: int
) -> None:
    """Also where the decision does not read the relation, only for some cases, or only a part of its rows."""
    monkeypatch.setattr("policy_kb.batch.engine.PART", 3 // parts)
    monkeypatch.setattr("policy_kb.batch.engine.SLICE", 24 // slices)
    values = {"therapy": ("Avonex", "2021-01-10", "2023-05-01"), "alemtuzumab_course": (1, "2020-01-10", "2020-01-14"),
              **{name: (value,) for name, value in ROWS.items()}}
    requests = [(f"A-{number}", "Lemtrada", "initiation", "2025-09-02") for number in range(3)]
    tables = {"request": requests, relation: [("A-1", *values[relation]), ("A-9", *values[relation])]}
    cases = folder(tmp_path / "cases", tables)
    refused = call("batch", cases, "-o", tmp_path / "out.parquet")
    assert refused.exit_code == 1
    assert "case `A-9`: the case has no `request`" in refused.output
    assert "1 of 4 cases" in refused.output
    assert not (tmp_path / "out.parquet").exists()
    done = call("batch", cases, "-o", tmp_path / "out.parquet", "--rejects", tmp_path / "bad.csv", "--json")
    assert done.exit_code == 0, done.output
    assert set(result(tmp_path / "out.parquet")) == {"A-0", "A-1", "A-2"}
    with (tmp_path / "bad.csv").open() as stream:
        assert [row["case"] for row in csv.DictReader(stream)] == ["A-9"]


@pytest.mark.parametrize("relation", ["request", "age", "line_of_business", "doses_requested"])
@pytest.mark.parametrize(("parts", "slices"), [(1, 1), (3, 1), (1, 3)])
def test_second_rows_are_found_whatever_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relation: str, parts: int, slices: int
) -> None:
    monkeypatch.setattr("policy_kb.batch.engine.PART", 3 // parts)
    monkeypatch.setattr("policy_kb.batch.engine.SLICE", 24 // slices)
    request = ("Lemtrada", "initiation", "2025-09-02")
    values = {"request": request, "age": (40,), "line_of_business": ("commercial",), "doses_requested": (3,)}
    tables = {"request": [(f"A-{number}", *request) for number in range(3)]}
    tables.setdefault(relation, []).append(("A-1", *values[relation]))
    if relation != "request":
        tables[relation].append(("A-1", *values[relation]))
    cases = folder(tmp_path / "cases", tables)
    refused = call("batch", cases, "-o", tmp_path / "out.parquet")
    assert refused.exit_code == 1
    assert f"case `A-1`: a second row of `{relation}`" in refused.output
    assert "1 of 3 cases" in refused.output
    assert not (tmp_path / "out.parquet").exists()
    done = call("batch", cases, "-o", tmp_path / "out.parquet", "--rejects", tmp_path / "bad.csv", "--json")
    assert done.exit_code == 0, done.output
    assert set(result(tmp_path / "out.parquet")) == {"A-0", "A-2"}


@pytest.mark.parametrize("reason", ["uncovered", "by a rule"])
@pytest.mark.parametrize("second", ["request", "age", "prior_approval"])
@pytest.mark.parametrize("parts", [1, 3])
def test_second_rows_and_rows_without_a_request_are_found_of_refused_cases_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str, second: str, parts: int
) -> None:
    """A case that no policy covers, or that a rule refuses, is not among those that are decided."""
    monkeypatch.setattr("policy_kb.batch.engine.PART", 3 // parts)
    request = ("Lemtrada", "initiation", "2025-09-02")
    odd = ("Avonex", "initiation", "2025-09-02") if reason == "uncovered" else request
    tables: dict[str, list[tuple[object, ...]]] = {"request": [("A-0", *request), ("A-1", *odd), ("A-2", *request)]}
    if reason == "by a rule":
        tables["therapy"] = [("A-1", "Avonex", "2021-01-10", "2020-01-01")]
    rows: dict[str, list[tuple[object, ...]]] = {"request": [("A-1", *request)], "age": [("A-1", 40), ("A-1", 41)],
                                                "prior_approval": [("A-9", "another plan")]}
    tables.setdefault(second, []).extend(rows[second])
    cases = folder(tmp_path / "cases", tables)
    refused = call("batch", cases, "-o", tmp_path / "out.parquet")
    assert refused.exit_code == 1
    assert ("case `A-9`: the case has no `request`" if second == "prior_approval" else
            f"case `A-1`: a second row of `{second}`") in refused.output
    done = call("batch", cases, "-o", tmp_path / "out.parquet", "--rejects", tmp_path / "bad.csv", "--json")
    assert done.exit_code == 0, done.output
    assert set(result(tmp_path / "out.parquet")) == {"A-0", "A-2"}
    bad = {"A-1", "A-9"} if second == "prior_approval" else {"A-1"}
    with (tmp_path / "bad.csv").open() as stream:
        assert {row["case"] for row in csv.DictReader(stream)} == bad
    assert json.loads(done.output)["rejected"] == len(bad)


@pytest.mark.parametrize(("part", "slice_"), [(12, 10_000), (1000, 640), (25, 640)])
def test_parts_and_slices_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int, slice_: int
) -> None:
    lines = tmp_path / "cases.ndjson"
    lines.write_text("".join(json.dumps(case) + "\n" for case in documents(5, 50) if is_initiation(case)))
    assert call("batch", lines, "-o", tmp_path / "whole.parquet").exit_code == 0
    monkeypatch.setattr("policy_kb.batch.engine.PART", part)
    monkeypatch.setattr("policy_kb.batch.engine.SLICE", slice_)
    assert call("batch", lines, "-o", tmp_path / "parts.parquet").exit_code == 0
    assert result(tmp_path / "whole.parquet") == result(tmp_path / "parts.parquet")


@pytest.mark.parametrize("form", ["folder", "lines"])
def test_any_case_of_a_batch_is_explained(tmp_path: Path, form: str) -> None:
    tables = {name: [row for row in rows if row[0] not in BAD] for name, rows in TABLES.items()}
    source = folder(tmp_path / "cases", tables)
    if form == "lines":
        source = tmp_path / "cases.ndjson"
        case = {"case": "A-1", "request": {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"},
                "therapy": {"product": "Avonex", "started": "2021-01-10", "stopped": "2023-05-01"}, "planned_dose": 12}
        source.write_text(json.dumps(case) + "\n")
    assert call("batch", source, "-o", tmp_path / "out.parquet").exit_code == 0
    explained = call("explain", "--from", source, "--case", "A-1", "--json")
    determination = json.loads(explained.output)
    row = result(tmp_path / "out.parquet")["A-1"]
    assert determination["decision"] == row["decision"]
    assert determination["criteria"] == {
        name.removeprefix("initiation "): answer for name, answer in row.items()
        if name.startswith("initiation ") and answer is not None
    }
    (tmp_path / "determination.json").write_text(explained.output)
    audited = call("audit", tmp_path / "determination.json")
    assert audited.exit_code == 0, audited.output
    (tmp_path / "determination.json").write_text(explained.output.replace("Avonex", "Rebif"))
    assert call("audit", tmp_path / "determination.json").exit_code == 1
    none = call("explain", "--from", source, "--case", "A-9")
    assert none.exit_code == 1
    assert "there is no case `A-9`" in none.output


def test_a_table_whose_summary_belies_its_rows_refuses_the_batch(tmp_path: Path) -> None:
    """The database leaves out rows that cannot be meant, by what the file says of all of them."""
    rows = [("A-1", "Lemtrada", "initiation", "2025-09-02"), ("A-2", "Lemtrada", "continuation", "2025-09-02")]
    source = tmp_path / "cases"
    source.mkdir()
    connection = duckdb.connect()
    connection.execute('CREATE TABLE request ("case" VARCHAR, drug VARCHAR, phase VARCHAR, received VARCHAR)')
    connection.executemany("INSERT INTO request VALUES (?, ?, ?, ?)", rows)
    file = source / "request.parquet"
    connection.execute(f"COPY request TO '{file}' (COMPRESSION uncompressed)")
    content = file.read_bytes()
    start = content.rindex(b"\x0ainitiation\x18\x0ccontinuation")
    file.write_bytes(content[:start] + content[start:].replace(b"initiation", b"initiat)on"))
    (tmp_path / "out.parquet").write_text("an earlier result")
    refused = call("batch", source, "-o", tmp_path / "out.parquet")
    assert refused.exit_code == 1, refused.exception
    assert "1 of 2 cases were decided" in refused.output
    assert (tmp_path / "out.parquet").read_text() == "an earlier result"


def test_what_was_compiled_is_kept_for_the_same_rules_readings_and_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from policy_kb.batch import plan

    monkeypatch.setenv("POLICY_KB_CACHE", str(tmp_path / "cache"))
    compile_, compiled = plan.decisions, []
    monkeypatch.setattr(plan, "decisions", lambda *how: compiled.append(how) or compile_(*how))
    shutil.copytree(Path(__file__).parents[2] / "kb", tmp_path / "kb")
    entry = tmp_path / "kb" / "alemtuzumab.dl"
    tables = {name: [row for row in rows if row[0] not in BAD] for name, rows in TABLES.items()}
    source = folder(tmp_path / "cases", tables)
    wide = folder(tmp_path / "wide", {**tables, "age": [("A-1", 40)]})
    results = []

    def decide(cases: Path, *more: str) -> int:
        before = len(compiled)
        done = call("batch", cases, "-o", tmp_path / "out.parquet", "--policy", entry, *more)
        assert done.exit_code == 0, done.output
        results.append(result(tmp_path / "out.parquet"))
        return len(compiled) - before

    phases = decide(source)
    assert phases > 0
    assert decide(source) == 0
    assert results[0] == results[1]
    assert decide(wide) == phases
    assert decide(source, "--reading", "previous_year=calendar_year") == phases
    assert decide(source, "--reading", "previous_year=calendar_year") == 0
    assert decide(source) == phases
    assert results[-1] == results[0]
    entry.write_text(entry.read_text() + "\n// another line\n")
    assert decide(source) == phases
    for file in (tmp_path / "cache").iterdir():
        file.write_bytes(b"torn")
    assert decide(source) == phases
    assert results[-1] == results[0]


def test_a_refused_case_is_explained_by_what_is_wrong_with_it(tmp_path: Path) -> None:
    bad = [(f"B-{number}", "Lemtrada", "initiation", "2025-02-30") for number in range(150)]
    source = folder(tmp_path / "cases", {"request": [("A-1", "Lemtrada", "initiation", "2025-09-02"), *bad]})
    for case in ("B-3", "B-149"):  # of the first hundred problems, and behind them
        refused = call("explain", "--from", source, "--case", case)
        assert refused.exit_code == 1
        assert "2025-02-30" in refused.output
    assert call("explain", "--from", source, "--case", "A-1").exit_code != 1


@pytest.mark.parametrize("part", [3, 100])
@pytest.mark.parametrize("relation", ["relapse", "therapy", "concurrent_therapy"])
def test_a_table_that_turns_out_damaged_only_when_it_is_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relation: str, part: int
) -> None:
    """Nothing reads the names of cases before the decisions are made."""
    monkeypatch.setattr("policy_kb.batch.engine.PART", part)
    rows = {"relapse": "DATE '2025-01-02' AS \"on\"", "concurrent_therapy": "'Avonex' AS product",
            "therapy": "'Avonex' AS product, DATE '2021-01-02' AS started, DATE '2022-01-02' AS stopped"}
    request = "'Lemtrada' AS drug, 'initiation' AS phase, DATE '2025-09-02' AS received"
    (tmp_path / "cases").mkdir()
    for name, columns in {"request": request, **rows}.items():
        path = tmp_path / "cases" / f"{name}.parquet"
        duckdb.connect().execute(
            f"COPY (SELECT 'case-' || i AS \"case\", {columns} FROM range(9) AS t(i)) TO '{path}' "
            "(COMPRESSION uncompressed)"
        )
    damaged = tmp_path / "cases" / f"{relation}.parquet"
    damaged.write_bytes(damaged.read_bytes().replace(b"case-7", b"\xffase-7"))
    refused = call("batch", tmp_path / "cases", "-o", tmp_path / "out.parquet")
    assert refused.exit_code == 1, refused.exception
    assert f"{relation}.parquet" in refused.output
    assert "cannot be read" in refused.output
    assert not (tmp_path / "out.parquet").exists()


def test_the_sql_names_its_rules_and_runs_nowhere_else() -> None:
    printed = call("sql", "09-J2000-27", "initiation")
    assert printed.exit_code == 0
    assert "initiation.dl:" in printed.output
    assert call("sql", "09-J2000-27", "initation").exit_code == 2


def test_what_is_wrong_with_the_input_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, words in ((tmp_path / "none", "no such file"), (tmp_path / "empty", "table")):
        refused = call("batch", source, "-o", tmp_path / "out.parquet")
        assert refused.exit_code == 1, refused.output
        assert words in refused.output
    assert call("batch", tmp_path, "-o", tmp_path / "out.xlsx").exit_code == 1


