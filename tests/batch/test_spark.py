"""Spark decides as DuckDB and the one-case engine do: laws 3 and 6, and what is refused."""

from __future__ import annotations

import csv
import json
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pyspark")

import duckdb
from click.testing import CliRunner, Result

from policy_kb.batch.shape import given_column
from policy_kb.commands import program as policy_kb
from policy_kb.diagnostics import CaseRefused, Refused
from policy_kb.evaluate.worlds import spoken_of
from policy_kb.load.facts import Facts
from tests.batch import spark_running
from tests.batch.running import DIALECT, expected, prepare
from tests.batch.test_laws import POLICY, of_phase, said, some_cases, told
from tests.conftest import THOROUGH
from tests.evaluate.running import policy_of
from tests.safety.test_no_code_from_data import PAYLOADS, nothing_was_made, subject
from tests.strategies import programs


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    """Two workers, and several parts."""
    from policy_kb.batch.spark.session import open_session

    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", (
        "--master local[2] --driver-memory 4g --conf spark.sql.shuffle.partitions=3 "
        "--conf spark.sql.codegen.wholeStage=false pyspark-shell"
    ))
    try:
        found = open_session()
    except CaseRefused as refused:
        pytest.skip(f"no session of Spark: {refused}")
    yield found
    found.stop()


def call(*arguments: object) -> Result:
    return CliRunner().invoke(policy_kb, [str(argument) for argument in arguments])


def write_tables(folder: Path, cases: list[Facts]) -> None:
    """The cases as Parquet files, each relation but one stated for the cases with rows in it, and for every second case
    by `_stated`, except for those in `_incomplete`."""
    folder.mkdir(parents=True)
    connection, shape = prepare(POLICY.program, cases)
    q = DIALECT.quoted
    for relation in POLICY.program.inputs():
        if not shape[relation.name].has_rows or relation.name == "intolerance":
            continue
        columns = ", ".join(
            f"CAST({DIALECT.as_date(q(given_column(place)))} AS DATE) AS {q(a.name)}" if a.is_date
            else f"{q(given_column(place))}.n / {q(given_column(place))}.d AS {q(a.name)}" if a.kind == "float"
            else f"{q(given_column(place))} AS {q(a.name)}" for place, a in enumerate(relation.attributes)
        ) + (", uncertain" if shape[relation.name].has_uncertain else "")
        connection.execute(f"COPY (SELECT {columns} FROM {shape[relation.name].table}) "
                           f"TO '{folder / relation.name}.parquet' (FORMAT parquet)")
    listed = {
        "_incomplete": [(facts.case, name) for facts in cases for name in facts.open
                        if POLICY.program.relations[name].can_be_listed_incomplete],
        "_stated": [(facts.case, name) for facts in cases[::2] for name in facts.stated],
    }
    for table, rows in listed.items():
        connection.execute('CREATE OR REPLACE TABLE listed ("case" VARCHAR, relation VARCHAR)')
        connection.executemany("INSERT INTO listed VALUES (?, ?)", rows)
        connection.execute(f"COPY listed TO '{folder}/{table}.parquet' (FORMAT parquet)")


def spoil(folder: Path) -> None:
    """Put cases into the tables that are refused, each for another reason."""
    connection = duckdb.connect()

    def add(table: str, values: str) -> None:
        path = folder / f"{table}.parquet"
        connection.execute(f"CREATE OR REPLACE TABLE rows AS FROM '{path}'")
        connection.execute(f"INSERT INTO rows BY NAME SELECT {values}")
        if "uncertain" in [name for name, *_ in connection.execute("DESCRIBE rows").fetchall()]:
            connection.execute("UPDATE rows SET uncertain = FALSE WHERE uncertain IS NULL")
        connection.execute(f"COPY rows TO '{path}' (FORMAT parquet)")

    request = "'Lemtrada' AS drug, 'continuation' AS phase, DATE '2025-09-02' AS received"
    add("request", f"'B-1' AS \"case\", {request.replace('2025-09-02', '1800-01-01')}")
    add("request", f"'B-2' AS \"case\", {request.replace('Lemtrada', 'Avonex')}")
    add("request", f"'B-3' AS \"case\", {request.replace('Lemtrada', 'Lemtrade')}")
    for _ in range(2):
        add("request", f"'B-4' AS \"case\", {request}")
    add("request", f"'B-5' AS \"case\", {request}")
    add("therapy", "'B-5' AS \"case\", 'Avonex' AS product, DATE '2023-01-02' AS started, DATE '2022-01-02' AS stopped")
    add("therapy", "'B-6' AS \"case\", 'Avonex' AS product, DATE '2023-01-02' AS started, DATE '2024-01-02' AS stopped")
    add("planned_dose", "NULL AS \"case\", 12.0 AS mg_per_day")
    for payload in PAYLOADS:  # a case may have any name
        add("request", f"{DIALECT.text(payload)} AS \"case\", {request}")
        add("prior_approval", f"{DIALECT.text(payload)} AS \"case\", {DIALECT.text(payload + ' (example)')} AS payer")


def rows_of(path: Path) -> dict[str, dict[str, Any]]:
    source = f"{path}/*.parquet" if path.is_dir() else str(path)
    found = duckdb.connect().execute(f"FROM read_parquet('{source}')")
    names = [(column[0], str(column[1])) for column in found.description]
    return {row[0]: dict(zip(names, row, strict=True)) for row in found.fetchall()}


def problems_of(path: Path) -> list[tuple[str, ...]]:
    files = [path] if path.is_file() else sorted(path.glob("part-*.csv"))
    found = []
    for file in files:
        with file.open(newline="") as stream:
            found += [tuple(row[one] for one in ("case", "table", "row", "reason")) for row in csv.DictReader(stream)]
    return sorted(found)


def test_a_batch_on_spark_equals_one_on_duckdb(session: Any, tmp_path: Path) -> None:
    """Every column of every row, what is put aside and why, and the summary; nothing is left beside the output."""
    some = some_cases(random.Random(11), 300 if THOROUGH else 100)
    cases = [facts for phase in POLICY.program.phases for facts in of_phase(some, phase)]
    source = tmp_path / "a* [b] {c,d} %41?" / "cases"  # a path is no pattern
    write_tables(source, cases)
    spoil(source)
    for engine in ("duckdb", "spark"):
        done = call("batch", source, "-o", tmp_path / f"{engine}.parquet", "--engine", engine,
                    "--rejects", tmp_path / f"{engine}.csv", "--json")
        assert done.exit_code == 0, done.output
        (tmp_path / f"{engine}.json").write_text(done.stdout)
    assert rows_of(tmp_path / "spark.parquet") == rows_of(tmp_path / "duckdb.parquet")
    assert problems_of(tmp_path / "spark.csv") == problems_of(tmp_path / "duckdb.csv")
    refused = {case for case, *_ in problems_of(tmp_path / "spark.csv")}
    assert refused == {"", *(f"B-{number}" for number in range(1, 7))}
    summaries = [json.loads((tmp_path / f"{engine}.json").read_text()) for engine in ("duckdb", "spark")]
    assert summaries[0] == summaries[1]
    assert summaries[0]["not_stated"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    compared = call("compare", tmp_path / "duckdb.parquet", tmp_path / "spark.parquet", "--json")
    assert json.loads(compared.output)["changed"] == 0


def test_spark_gives_the_model_of_each_case(session: Any, effort: int) -> None:
    """Law 6, on generated programs; and law 3: however the cases are divided."""
    for seed in range(4 * effort):
        source = random.Random(seed)
        program = programs.random_program(source, exotic=seed % 2 == 1)
        policy = policy_of(program)
        facts, wanted = [], []
        for number in range(4):
            document = programs.random_case(source, program, f"A-{number}", sure=source.random() < 0.2)
            try:
                one, model = policy.facts(document), policy.model(document)
            except Refused:  # a value that does not exist
                continue
            facts.append(one)
            wanted.append(model)
        if not facts:
            continue
        derived = {
            name for name in policy.worlds.program.arities
            if spoken_of(name) in policy.program.relations and not policy.program.relations[spoken_of(name)].is_input
        }
        found = spark_running.models(
            session, policy.program, policy.worlds, policy.known, facts, general=source.random() < 0.5,
            partitions=source.choice((0, 1, 4)),
        )
        for one, model in zip(facts, wanted, strict=True):
            assert found[one.case] == expected(model, derived), (seed, program.text)


@pytest.mark.skipif(not THOROUGH, reason="takes minutes")
@pytest.mark.parametrize("phase", POLICY.program.phases, ids=lambda phase: phase.name)
@pytest.mark.parametrize(("general", "partitions"), [(False, 1), (False, 5), (True, 3)])
def test_a_batch_on_spark_equals_its_cases_one_by_one(
    session: Any, phase: Any, general: bool, partitions: int
) -> None:
    cases = some_cases(random.Random(5), 200)
    facts = of_phase(cases, phase)
    rows = spark_running.decided(session, POLICY.rules, POLICY.rules.known, phase, facts, general=general,
                                 partitions=partitions)
    assert rows.keys() == {one.case for one in facts}
    for name, row in rows.items():
        assert told(row, phase) == said(cases[name][1]), name


def tables(folder: Path, **queries: str) -> Path:
    folder.mkdir()
    for name, query in queries.items():
        duckdb.connect().execute(f"COPY ({query}) TO '{folder}/{name}.parquet' (FORMAT parquet)")
    return folder


REQUEST = "SELECT 'A-1' AS \"case\", 'Lemtrada' AS drug, 'initiation' AS phase, DATE '2025-09-02' AS received"


@pytest.mark.parametrize(("queries", "words"), [
    ({}, "no table is in this folder"),
    ({"relapse": "SELECT 'A-1' AS \"case\", DATE '2025-01-01' AS \"on\""}, "no table `request`"),
    ({"request": REQUEST, "relapses": "SELECT 1 AS one"}, "did you mean `relapse`"),
    ({"request": REQUEST.replace("drug", "drugs")}, "did you mean `drug`"),
    ({"request": REQUEST.replace("DATE '2025-09-02'", "12")}, "`received` is a date; the column has the type INTEGER"),
    ({"request": REQUEST.replace("DATE '2025-09-02'", "TIMESTAMPTZ '2025-09-02'")}, "depends on the time zone"),
])
def test_what_is_wrong_with_a_table_is_said_as_ever(
    session: Any, tmp_path: Path, queries: Mapping[str, str], words: str
) -> None:
    folder = tables(tmp_path / "cases", **queries)
    refused = call("batch", folder, "-o", tmp_path / "out.parquet", "--engine", "spark")
    assert refused.exit_code == 1, refused.output
    assert words in refused.output
    assert [path.name for path in tmp_path.iterdir()] == ["cases"]


def test_what_spark_does_not_do_is_said(session: Any, tmp_path: Path) -> None:
    folder = tables(tmp_path / "cases", request=REQUEST)
    (tmp_path / "cases.ndjson").write_text("{}\n")
    for source, output in ((folder, "out.csv"), (folder, "out.ndjson"), (tmp_path / "cases.ndjson", "out.parquet"),
                           (tmp_path / "none", "out.parquet"), (folder, "none/out.parquet"),
                           (folder, "cases/out.parquet")):
        refused = call("batch", source, "-o", tmp_path / output, "--engine", "spark")
        assert refused.exit_code == 1, (source, output, refused.output)
        assert "= help:" in refused.output
        assert not (tmp_path / output).exists()
    (folder / "relapse.csv").write_text("case,on\n")
    refused = call("batch", folder, "-o", tmp_path / "out.parquet", "--engine", "spark")
    assert "Spark reads no CSV" in refused.output


def test_a_damaged_table_refuses_the_batch(session: Any, tmp_path: Path) -> None:
    folder = tables(tmp_path / "cases", request=REQUEST)
    (folder / "relapse.parquet").write_bytes(b"PAR1" + b"x" * 100 + b"PAR1")
    refused = call("batch", folder, "-o", tmp_path / "out.parquet", "--engine", "spark")
    assert refused.exit_code == 1
    assert "relapse.parquet" in refused.output
    assert "damaged" in refused.output


def test_a_table_that_changes_while_it_is_read_refuses_the_batch(session: Any, tmp_path: Path) -> None:
    from policy_kb.batch.spark.folders import Folder
    from policy_kb.batch.spark.sources import find_tables

    folder = tables(tmp_path / "cases", request=REQUEST)
    found = find_tables(session, Folder(session, str(folder)), lambda name: None, Folder(session, str(tmp_path / "x")))
    found.check()
    (folder / "request.parquet").write_bytes((folder / "request.parquet").read_bytes() + b" ")
    with pytest.raises(CaseRefused, match=r"request\.parquet:1:1: error: has changed while it was read"):
        found.check()
    (folder / "request.parquet").unlink()
    with pytest.raises(CaseRefused, match="has changed"):
        found.check()


def test_a_case_that_gets_lost_refuses_the_batch(
    session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from policy_kb.batch.spark import run

    def with_one_more(*given: Any, **named: Any) -> Any:
        read = read_tables(*given, **named)
        return replace(read, cases=read.cases + 1)

    read_tables = run.read_tables
    monkeypatch.setattr(run, "read_tables", with_one_more)
    folder = tables(tmp_path / "cases", request=REQUEST)
    refused = call("batch", folder, "-o", tmp_path / "out.parquet", "--engine", "spark")
    assert refused.exit_code == 1
    assert "1 of 2 cases were decided: a table does not hold what it says it holds" in refused.output
    assert [path.name for path in tmp_path.iterdir()] == ["cases"]


def test_an_output_appears_whole_or_not_at_all(session: Any, tmp_path: Path) -> None:
    from policy_kb.batch.spark.folders import Folder
    from policy_kb.batch.spark.output import check_output, whole_folder

    target = Folder(session, str(tmp_path / "out.parquet"))
    (tmp_path / "out.parquet").write_text("an earlier result")

    def fails() -> None:
        with whole_folder(target) as unfinished:
            (Path(unfinished.location.removeprefix("file:")) / "x").mkdir(parents=True)
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert (tmp_path / "out.parquet").read_text() == "an earlier result"
    assert len(list(tmp_path.iterdir())) == 1
    with whole_folder(target) as unfinished:
        session.sql("SELECT 1 AS one").write.parquet(unfinished.location)
    assert (tmp_path / "out.parquet" / "_SUCCESS").exists()
    check_output(target, [], (".parquet",))
    (tmp_path / "out.parquet" / "thesis.txt").write_text("not to be removed")
    with pytest.raises(CaseRefused, match="other files"):
        check_output(target, [], (".parquet",))


def test_spark_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    refused = call("batch", tmp_path, "-o", tmp_path / "out.parquet", "--engine", "spark")
    assert refused.exit_code == 1
    assert "install Java 17" in refused.output


SPARK_PAYLOADS = (
    *PAYLOADS[1:6], PAYLOADS[10], "x`; DROP VIEW `given_1`; --",
    "\\' || java_method('java.lang.System', 'exit') || \\'",
    "${spark.app.name} ${env:PATH}", "\\", "\\\\'", "/*+ BROADCAST(x) */",
)


def test_no_text_of_rules_or_cases_is_code(
    session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effort: int
) -> None:
    monkeypatch.chdir(tmp_path)
    for payload in SPARK_PAYLOADS if effort > 1 else SPARK_PAYLOADS[5:8]:
        one = subject(payload)
        derived = {name for name in one.policy.worlds.program.arities
                   if spoken_of(name) in ("joined", "matched", "decided")}
        found = spark_running.models(session, one.policy.program, one.policy.worlds, one.policy.known, one.facts)
        for facts, model in zip(one.facts, one.models, strict=True):
            assert found[facts.case] == expected(model, derived), payload
        assert nothing_was_made(tmp_path)


def test_text_is_never_code() -> None:
    """What could end a text or a name stays inside."""
    from policy_kb.batch.spark.dialect import SPARK

    assert SPARK.text("a\\' OR 1=1 --") == "'a\\\\\\' OR 1=1 --'"
    assert SPARK.quoted("a`b") == "`a``b`"


def test_the_sql_of_spark_is_printed() -> None:
    printed = call("sql", "09-J2000-27", "continuation", "--engine", "spark")
    assert printed.exit_code == 0
    assert "CREATE OR REPLACE TEMPORARY VIEW `answers` AS" in printed.output
    assert "continuation.dl:" in printed.output
