"""Tables and lines as they are found: what states what, where a row stands, files that change, results that appear
whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")

import duckdb
from click.testing import Result

from policy_kb.batch import engine, lines, tables
from tests.batch.test_engine import call, folder, result

REQUEST = [(case, "Lemtrada", "initiation", "2025-09-02") for case in ("A-1", "A-2")]
TABLES: Mapping[str, list[tuple[object, ...]]] = {
    "request": REQUEST,
    "therapy": [("A-1", "Avonex", "2021-01-10", "2023-05-01"), ("A-1", "Rebif", "2020-01-10", "2021-01-01")],
    "relapse": [("A-1", "2025-06-11")],
}
FORMS = ("csv", "parquet", "database")


def write(path: Path, form: str, given: Mapping[str, Sequence[tuple[object, ...]]] = TABLES) -> Path:
    """Tables in a folder or a database; the input to name."""
    source = folder(path, {name: list(rows) for name, rows in given.items()})
    if form == "csv":
        return source
    with duckdb.connect() as connection:
        for file in sorted(source.glob("*.csv")):
            rows = f"read_csv('{file}', all_varchar = true, header = true)"
            if form == "parquet":
                connection.execute(f"COPY (FROM {rows}) TO '{file.with_suffix('.parquet')}'")
            else:
                connection.execute(f"ATTACH IF NOT EXISTS '{path}.duckdb' AS made")
                connection.execute(f"CREATE TABLE made.{file.stem} AS FROM {rows}")
            file.unlink()
    return source if form == "parquet" else Path(f"{path}.duckdb")


def places_of(explained: Result) -> set[str]:
    """The file and line of every row that an explanation shows."""
    found: set[str] = set()

    def look(node: Any) -> None:
        for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            look(value)
        if isinstance(node, dict) and "at" in node and isinstance(node["at"], str):
            found.add(node["at"])

    look(json.loads(explained.output))
    return {place.rpartition("/")[2] for place in found}


# --- what tables state ---


@pytest.mark.parametrize("form", FORMS)
def test_what_tables_state_is_the_same_in_a_batch_an_explanation_and_an_audit(tmp_path: Path, form: str) -> None:
    given = {**TABLES, "_stated": [("A-2", "relapse")], "_incomplete": [("A-1", "relapse")]}
    source = write(tmp_path / "cases", form, given)
    answers = []
    for options in ((), ("--stated", "all"), *([("--record", "complete")] if form == "csv" else ())):
        done = call("batch", source, "-o", tmp_path / "out.parquet", *options, "--json")
        assert done.exit_code == 0, done.output
        rows = result(tmp_path / "out.parquet")
        explained = call("explain", "--from", source, "--case", "A-2", *options, "--json")
        determination = json.loads(explained.output)
        assert determination["decision"] == rows["A-2"]["decision"]
        assert determination["criteria"] == {
            name.removeprefix("initiation "): answer for name, answer in rows["A-2"].items()
            if name.startswith("initiation ")
        }
        assert {(one["relation"], one["why"]) for one in determination["missing"]} == {
            (one["relation"], one["why"]) for one in rows["A-2"]["missing"]
        }
        (tmp_path / "determination.json").write_text(explained.output)
        audited = call("audit", tmp_path / "determination.json", *options)
        assert audited.exit_code == 0, audited.output
        answers.append({
            case: {(one["relation"], one["why"]) for one in row["missing"] if one["relation"] in given}
            for case, row in rows.items()
        })
        assert json.loads(done.output).get("not_stated", {}) == ({"therapy": 1} if not options else {})
    incomplete = ("relapse", "incomplete")
    assert incomplete in answers[0]["A-1"]
    assert ("therapy", "not stated") in answers[0]["A-2"]
    assert not {relation for relation, _ in answers[0]["A-2"]} & {"relapse"}
    assert answers[1] == {"A-1": answers[0]["A-1"], "A-2": set()}
    assert form != "csv" or answers[2] == {"A-1": set(), "A-2": set()}


def test_who_took_a_table_for_complete_is_told_what_to_write(tmp_path: Path) -> None:
    source = write(tmp_path / "cases", "csv")
    done = call("batch", source, "-o", tmp_path / "out.parquet")
    assert "Unknown for cases without a row in the table" in done.output
    assert "--stated all" in done.output
    assert "--stated all" not in call("batch", source, "-o", tmp_path / "out.parquet", "--stated", "all").output
    assert "--stated all" in call("explain", "--from", source, "--case", "A-2").output
    assert "--stated all" not in call("explain", "--from", source, "--case", "A-2", "--stated", "all").output


def test_lines_state_what_they_mention(tmp_path: Path) -> None:
    (tmp_path / "cases.ndjson").write_text('{"case": "A-1", "request": {}}\n')
    refused = call("batch", tmp_path / "cases.ndjson", "-o", tmp_path / "out.csv", "--stated", "all")
    assert refused.exit_code == 2
    assert "this is for tables" in refused.output


# --- where a row stands ---


@pytest.mark.parametrize(("form", "place"), [("csv", "relapse.csv:"), ("parquet", "relapse.parquet:"),
                                             ("database", "relapse:")])
def test_a_row_has_the_place_of_its_table(tmp_path: Path, form: str, place: str) -> None:
    """In a CSV file its line, also behind values that go over several lines; elsewhere its number."""
    relapses = [("A\n2", "2025-01-01"), ("A-1", "2025-06-11"), ("A-2", "2025-02-03"), ("A-1", "2025-07-11")]
    source = write(tmp_path / "cases", form, {
        "request": [*REQUEST, ("A\n2", *REQUEST[0][1:])], "relapse": relapses, "therapy": [("A-1", "Avonex", "x", "y")],
    })
    first, last = (4, 6) if form == "csv" else (2, 4)
    therapy = place.replace("relapse", "therapy")
    refused = call("explain", "--from", source, "--case", "A-1")
    assert f"{therapy}{2 if form == 'csv' else 1}:1: error: `started` is a date" in refused.output
    refused = call("batch", source, "-o", tmp_path / "out.csv")
    assert f"{therapy}{2 if form == 'csv' else 1}:1: error: case `A-1`: `started` is a date" in refused.output

    source = write(tmp_path / "good", form, {"request": [*REQUEST, ("A\n2", *REQUEST[0][1:])], "relapse": relapses})
    found = places_of(call("explain", "--from", source, "--case", "A-1", "--json"))
    assert {f"{place}{first}", f"{place}{last}"} <= found
    assert f"[{place}{first}]" in call("explain", "--from", source, "--case", "A-1", "2.a").output


# --- files that change ---


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", ["replaced", "written"])
def test_a_table_that_changes_while_it_is_read_refuses_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, how: str
) -> None:
    """It has been checked, and would be decided by what was not."""
    source = write(tmp_path / "cases", form)
    file = source if form == "database" else source / f"therapy.{form}"
    read, document = engine.open_batch, tables._Reader.document

    def change() -> None:
        new = file.read_bytes()
        if how == "written":
            os.utime(file, ns=(1, 1))
            return
        file.with_suffix(".new").write_bytes(new)
        file.with_suffix(".new").replace(file)

    def then_change(*given: Any, **named: Any) -> Any:
        found = read(*given, **named)
        change()
        return found

    def changed_before(*given: Any) -> Any:
        change()
        return document(*given)

    monkeypatch.setattr(engine, "open_batch", then_change)
    monkeypatch.setattr(tables._Reader, "document", changed_before)
    (tmp_path / "out.parquet").write_text("an earlier result")
    for command in (("batch", source, "-o", tmp_path / "out.parquet"), ("explain", "--from", source, "--case", "A-1")):
        refused = call(*command)
        assert refused.exit_code == 1, refused.output
        assert f"{file.name}:1:1: error: has changed while it was read; nothing was decided" in refused.output
    assert (tmp_path / "out.parquet").read_text() == "an earlier result"


def test_lines_that_change_while_they_are_read_refuse_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = {"case": "A-1", "request": {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"}}
    source = tmp_path / "cases.ndjson"
    source.write_text(json.dumps(case) + "\n")
    read = lines.LineReader.read

    def change(*given: Any) -> Any:
        source.write_text(json.dumps({**case, "case": "A-22"}) + "\n")
        return read(*given)

    monkeypatch.setattr(lines.LineReader, "read", change)
    refused = call("batch", source, "-o", tmp_path / "out.parquet")
    assert refused.exit_code == 1, refused.output
    assert "has changed while it was read" in refused.output
    assert not (tmp_path / "out.parquet").exists()


# --- results that appear whole ---


@pytest.mark.parametrize("ending", ["csv", "parquet", "ndjson"])
def test_what_is_put_aside_appears_with_the_result_or_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    source = write(tmp_path / "cases", "csv", {"request": [*REQUEST, ("B-1", "Lemtrada", "initiation", "2025-13-02")]})
    out, aside = tmp_path / f"out.{ending}", tmp_path / "bad.csv"
    out.write_text("the result of yesterday")

    def fails(*given: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("policy_kb.batch.summary.summarise", fails)
        refused = call("batch", source, "-o", out, "--rejects", aside)
    assert refused.exit_code == 1
    assert "No space left on device" in refused.output
    assert (out.read_text(), aside.exists()) == ("the result of yesterday", False)
    assert call("batch", source, "-o", out, "--rejects", aside).exit_code == 0
    assert "B-1" in aside.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "cases", out.name]


@pytest.mark.skipif(os.name != "posix", reason="names of POSIX are bytes")
def test_names_that_are_no_text_are_read_and_written(tmp_path: Path) -> None:
    odd = b"\xff*".decode(errors="surrogateescape")
    source = write(tmp_path / "cases", "parquet").rename(tmp_path / odd)
    for ending in ("csv", "parquet", "ndjson"):
        done = call("batch", source, "-o", tmp_path / f"{odd}.{ending}", "--rejects", tmp_path / f"{odd}-bad.csv")
        assert done.exit_code == 0, done.output
        assert (tmp_path / f"{odd}.{ending}").stat().st_size
    assert call("explain", "--from", source, "--case", "A-1").exit_code == 5
    database = write(tmp_path / "other", "database").rename(tmp_path / f"{odd}.duckdb")
    refused = call("batch", database, "-o", tmp_path / "out.csv")
    assert refused.exit_code == 1
    assert "its path is not UTF-8" in refused.output
