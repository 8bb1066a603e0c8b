"""The result of a batch as a file: what is written reads back, in all three formats, whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

duckdb = pytest.importorskip("duckdb")

import policy_kb  # noqa: E402
from policy_kb.batch.results import (  # noqa: E402
    ANSWERS,
    DECISIONS,
    Written,
    _reason,
    check_output,
    column_names,
    columns_of,
    literal,
    name,
    read_results,
    writing_results,
)
from policy_kb.batch.summary import MOST, summarise, summary_dict, summary_lines  # noqa: E402
from policy_kb.diagnostics import CaseRefused  # noqa: E402

APPROVAL = ((Decimal(5), "doses"), (Decimal(60), "units of J0202"))
PAIRS = [
    ("initiation", "1"), ("initiation", "1.a"), ("initiation", "2"), ("continuation", "0"), ("continuation", "6.a"),
]
CRITERIA = tuple(" ".join(one) for one in PAIRS)
NAMES = ("a.parquet", "a.csv", "a.ndjson")
HOSTILE = (
    "=1+1", '=HYPERLINK("http://x")', "+1", "-1", "@a", "a,b", 'say "yes"', '"', "'", "''; DROP TABLE x", "two\nlines",
    "two\r\nlines", "\r", "\t", " a ", "NULL", "null", "é", "患者", "🙂", "\u202e", "\x01", "{}", "[]", "\\", "\\n",
    "a;b", "nan", "1e5", "007", "2025-07-15",
)


@dataclass(frozen=True)
class Row:
    """One case of a result. `criteria` has those of its phase."""

    case: str
    policy: str
    phase: str
    decision: str
    approval: tuple[tuple[Decimal, str], ...] | None
    criteria: tuple[tuple[str, str], ...]
    missing: tuple[tuple[str, str], ...] = ()
    notices: tuple[str, ...] = ()

    def values(self) -> list[object]:
        """As the columns of a result, lists and structs as the database gives them."""
        approval = [{"amount": amount, "unit": unit} for amount, unit in self.approval] if self.approval else None
        missing = [{"relation": relation, "why": why} for relation, why in self.missing]
        answers = dict(self.criteria)
        return [self.case, self.policy, self.phase, self.decision, approval, *map(answers.get, CRITERIA), missing,
                list(self.notices)]

    def approval_text(self) -> str | None:
        return ", ".join(f"{amount:f} {unit}" for amount, unit in self.approval) if self.approval else None


def row(case: str, decision: str = "met", phase: str = "initiation", **answers: str) -> Row:
    """A case all of whose criteria are met but those given, as `_1_a="not met"`."""
    given = {key.strip("_").replace("_", "."): answer for key, answer in answers.items()}
    criteria = tuple((one, given.get(one.split()[1], "met")) for one in CRITERIA if one.startswith(phase))
    return Row(case, "09-J2000-27", phase, decision, APPROVAL if decision == "met" else None,
               () if decision == "not applicable" else criteria)


def select_of(rows: list[Row]) -> str:
    """The rows as one SELECT."""

    def sql(value: object) -> str:
        match value:
            case None:
                return "NULL"
            case str():
                return literal(value)
            case dict():
                return "{" + ", ".join(f"{literal(key)}: {sql(one)}" for key, one in value.items()) + "}"
            case list():
                return "[" + ", ".join(map(sql, value)) + "]"
            case Decimal():
                return f"'{value:f}'::DECIMAL(38, 18)"
            case _:
                return str(value)

    columns = columns_of(PAIRS)
    values = ", ".join("(" + ", ".join(map(sql, one.values())) + ")" for one in rows)
    names = ", ".join(map(name, columns))
    typed = ", ".join(f"{name(column)}::{kind} AS {name(column)}" for column, kind in columns.items())
    if not rows:
        return f"SELECT {', '.join(f'NULL::{kind} AS {name(column)}' for column, kind in columns.items())} WHERE false"
    return f"SELECT {typed} FROM (VALUES {values}) AS result({names})"


def write_results(connection, selects, path: Path, criteria) -> Written:
    with writing_results(connection, selects, path, criteria) as written:
        return written


def write(path: Path, *parts: list[Row]) -> Path:
    with duckdb.connect() as connection:
        write_results(connection, [select_of(rows) for rows in parts], path, PAIRS)
    return path


def read_back(path: Path) -> list[dict[str, object]]:
    """What `read_results` makes of a file, sorted by case."""
    with duckdb.connect() as connection:
        names = ["case", "policy", "phase", "decision", "approval", *read_results(connection, path, "result")]
        found = connection.execute("FROM result")
        return sorted((dict(zip(names, values, strict=True)) for values in found.fetchall()),
                      key=lambda one: str(one["case"]))


def problem(call, *arguments) -> str:
    """Message and hint of the one problem for which something is refused."""
    with pytest.raises(CaseRefused) as refused:
        call(*arguments)
    [found] = refused.value.diagnostics
    assert found.hint
    return f"{found.message} ({found.hint})"


TEXT = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
AMOUNTS = st.builds(
    lambda digits, places: Decimal(f"{Decimal(digits).scaleb(-places).normalize():f}"),
    st.integers(0, 10**18), st.integers(0, 18),
)


@st.composite
def rows_of_results(draw: st.DrawFn, most: int = 8) -> list[Row]:
    rows = []
    for case in draw(st.lists(TEXT, max_size=most, unique=True)):
        phase, decision = draw(st.sampled_from(["initiation", "continuation"])), draw(st.sampled_from(DECISIONS))
        answers = [(one, draw(st.sampled_from(ANSWERS))) for one in CRITERIA if one.startswith(phase)]
        rows.append(Row(
            case, draw(TEXT), phase, decision,
            draw(st.lists(st.tuples(AMOUNTS, TEXT), min_size=1, max_size=2).map(tuple)) if decision == "met" else None,
            () if decision == "not applicable" else tuple(answers),
            tuple(draw(st.lists(st.tuples(TEXT, TEXT), max_size=2))), tuple(draw(st.lists(TEXT, max_size=2))),
        ))
    return rows


def by_case(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda one: one.case)


# --- what is written reads back ---


@settings(max_examples=20)
@given(rows_of_results())
def test_parquet_reads_back_equal(tmp_path_factory, rows):
    path = write(tmp_path_factory.mktemp("out") / "a.parquet", rows)
    with duckdb.connect() as connection:
        found = connection.execute(f"FROM read_parquet({literal(str(path))})")
        assert [column[0] for column in found.description] == column_names(PAIRS)
        assert sorted(map(list, found.fetchall()), key=lambda one: one[0]) == [one.values() for one in by_case(rows)]


@settings(max_examples=20)
@given(rows_of_results())
def test_every_line_of_ndjson_is_a_determination_of_one_case(tmp_path_factory, rows):
    path = write(tmp_path_factory.mktemp("out") / "a.ndjson", rows)
    found = [json.loads(line, parse_float=Decimal) for line in path.read_bytes().splitlines()]
    keys = ["case", "policy", "phase", "decision", "approval", "missing", "notices"]
    expected = [dict(zip([*keys[:5], *CRITERIA, *keys[5:]], one.values(), strict=True)) for one in by_case(rows)]
    assert sorted(({key: one[key] for key in keys} for one in found), key=lambda one: one["case"]) == [
        {key: one[key] for key in keys} for one in expected]
    assert {one["case"]: list(one["criteria"].items()) for one in found} == {
        one.case: [(criterion.split()[1], answer) for criterion, answer in one.criteria] for one in rows}


@settings(max_examples=20)
@given(rows_of_results())
def test_csv_reads_back_equal_with_lists_as_text(tmp_path_factory, rows):
    path = write(tmp_path_factory.mktemp("out") / "a.csv", rows)
    with path.open(encoding="utf-8", newline="") as stream:
        header, *found = csv.reader(stream)
    assert header == column_names(PAIRS)
    assert sorted(found) == sorted(
        [one.case, one.policy, one.phase, one.decision, one.approval_text() or "",
         *(dict(one.criteria).get(criterion, "") for criterion in CRITERIA),
         "; ".join(f"{relation}: {why}" for relation, why in one.missing), "; ".join(one.notices)]
        for one in rows)


@settings(max_examples=20)
@given(rows_of_results())
def test_all_formats_are_read_back_alike(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("out")
    expected = [
        {"case": one.case, "policy": one.policy, "phase": one.phase, "decision": one.decision,
         "approval": one.approval_text(), **dict(one.criteria)}
        for one in by_case(rows)
    ]
    for file in NAMES:
        found = read_back(write(folder / file, rows))
        # A line of JSON has only the criteria of its case.
        assert [{key: value for key, value in one.items() if " " not in key or value is not None} for one in found] == [
            {key: value for key, value in one.items() if " " not in key or value is not None} for one in expected]


def test_many_cases_with_line_breaks_in_their_names_survive_a_parallel_reader(tmp_path):
    number = 200_000
    base = select_of([row("a", "not met", _1="not met")])
    select = f"""SELECT * EXCLUDE (i) REPLACE ('"a,' || chr(13) || chr(10) || i || chr(10) || '"' AS "case")
        FROM ({base}), range({number}) AS numbers(i)"""
    for file in NAMES:
        with duckdb.connect() as connection:
            assert write_results(connection, [select], tmp_path / file, PAIRS).cases == number
            read_results(connection, tmp_path / file, "result")
            [found] = connection.execute("""SELECT count(DISTINCT "case"), count(DISTINCT split("case", chr(10))[2]),
                count(*) FILTER (criterion_1 = 'not met') FROM result""").fetchall()
            assert found == (number, number, number)


def test_parquet_holds_plain_text_for_other_programs(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write(tmp_path / "a.parquet", [row("a")]))
    assert {str(table.schema.field(column).type) for column in ("case", "decision", "initiation 1.a")} == {"string"}
    assert table.to_pylist()[0]["missing"] == []
    assert table.to_pylist()[0]["approval"] == [
        {"amount": 5, "unit": "doses"}, {"amount": 60, "unit": "units of J0202"}
    ]


@pytest.mark.parametrize("file", NAMES)
@settings(max_examples=15)
@given(rows=rows_of_results(), cut=st.integers(0, 8))
def test_several_parts_give_the_file_of_one(tmp_path_factory, file, rows, cut):
    folder = tmp_path_factory.mktemp("out")
    whole, parts = write(folder / file, rows), write(folder / f"parts-{file}", rows[:cut], rows[cut:], [])
    assert read_back(whole) == read_back(parts)


def test_a_second_file_appears_with_the_first_or_neither(tmp_path):
    """Also where the second turns out not to fit, or what follows fails."""
    for file in NAMES:
        write(tmp_path / file, [row("old")])
        (tmp_path / "aside.csv").write_text("old")
        with duckdb.connect() as connection:
            for select, failure in (("SELECT error('no room')", duckdb.InvalidInputException), ("SELECT 1", KeyError)):
                with pytest.raises(failure), writing_results(
                    connection, [select_of([row("new")])], tmp_path / file, PAIRS, (tmp_path / "aside.csv", select)
                ):
                    raise KeyError
        assert [one["case"] for one in read_back(tmp_path / file)] == ["old"]
        assert (tmp_path / "aside.csv").read_text() == "old"
        aside = tmp_path / "aside.csv", "SELECT 1 AS one"
        with duckdb.connect() as connection, writing_results(
            connection, [select_of([row("new")])], tmp_path / file, PAIRS, aside
        ) as written:
            assert connection.execute(f"SELECT \"case\" FROM {written.table}").fetchall() == [("new",)]
        assert [one["case"] for one in read_back(tmp_path / file)] == ["new"]
        assert (tmp_path / "aside.csv").read_text() == "one\n1\n"


def test_each_part_is_run_before_the_next_is_asked_for(tmp_path):
    with duckdb.connect() as connection:

        def parts():
            for number in range(3):
                connection.execute(f"CREATE OR REPLACE TEMP TABLE chunk AS {select_of([row(f'case {number}')])}")
                yield "FROM chunk"

        written = write_results(connection, parts(), tmp_path / "a.parquet", PAIRS)
    assert written.cases == 3
    assert [one["case"] for one in read_back(tmp_path / "a.parquet")] == ["case 0", "case 1", "case 2"]


@pytest.mark.parametrize("file", NAMES)
def test_a_part_may_lack_criteria_that_its_cases_do_not_have(tmp_path, file):
    select = f"SELECT * EXCLUDE (criterion_4, criterion_5) FROM ({select_of([row('a')])})"
    with duckdb.connect() as connection:
        write_results(connection, [select], tmp_path / file, PAIRS)
        with pytest.raises(ValueError, match="criterion_2"):
            write_results(connection, [select], tmp_path / file, PAIRS[:1])
    assert read_back(tmp_path / file)[0]["initiation 1.a"] == "met"


@pytest.mark.parametrize("file", ["it's.parquet", 'say "a".csv', "a[1].ndjson", "a*.parquet", "a?.csv", "{x}.parquet",
                                  "-o.csv", "ü患.ndjson", "A.PARQUET", "a.jsonl", "a b\n.parquet"])
def test_a_file_may_have_any_name(tmp_path, file):
    folder = tmp_path / "phase=continuation"  # not a column, whatever other programs make of such a folder
    folder.mkdir()
    write(folder / file.translate({42: "1", 63: "2"}), [row("other")])
    assert [(one["case"], one["phase"]) for one in read_back(write(folder / file, [row("a")]))] == [("a", "initiation")]


# --- whole or not at all ---


@pytest.mark.parametrize("file", NAMES)
@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError, OSError(28, "No space left on device")])
def test_a_failure_between_parts_leaves_what_stood_there_before(tmp_path, file, failure):
    write(tmp_path / file, [row("old")])

    def parts():
        yield select_of([row("a")])
        raise failure

    with duckdb.connect() as connection:
        with pytest.raises((CaseRefused, KeyboardInterrupt, ValueError)):
            write_results(connection, parts(), tmp_path / file, PAIRS)
        assert not connection.execute("SHOW TABLES").fetchall()
    assert [one["case"] for one in read_back(tmp_path / file)] == ["old"]
    assert os.listdir(tmp_path) == [file]


_RUN = """
import sys, threading, os, signal, resource
from pathlib import Path
import duckdb
from policy_kb.batch.results import writing_results
from policy_kb.diagnostics import CaseRefused
# Who is started in the background inherits that an interrupt is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
how, path, select = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
criteria = [tuple(one.split()) for one in sys.argv[4].split("|")]
numbers = "range(3000000)" if how == "full" else "range(100000) a(j), range(1000000)"
numbers = f"(SELECT i FROM {numbers} AS numbers(i))"
select = f'SELECT * EXCLUDE (i) REPLACE (sha256(i::VARCHAR) AS "case") FROM ({select}), {numbers}'
if how == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, 1000000))
else:
    def when_begun():
        while not any(one.stat().st_size for one in path.parent.glob(".policy-kb-*/*")):
            pass
        print("begun", flush=True)
        if how == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=when_begun, daemon=True).start()
try:
    connection = duckdb.connect(config={"threads": 1, "preserve_insertion_order": False})
    with writing_results(connection, [select], path, criteria):
        pass
except CaseRefused as refused:
    print(refused)
except KeyboardInterrupt:
    print("interrupted")
"""


def _run(how: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, how, str(path), select_of([row("a")]), "|".join(CRITERIA)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent.parent,
    )


@pytest.mark.skipif(os.name != "posix", reason="limits and signals of POSIX")
@pytest.mark.parametrize(("how", "says"), [("interrupt", "interrupted"), ("full", "cannot be written: ")])
def test_an_interrupt_and_a_full_disk_leave_nothing(tmp_path, how, says):
    process = _run(how, tmp_path / "a.parquet")
    output, _ = process.communicate(timeout=100)
    assert says in output
    assert ".policy-kb-" not in output
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_killed_run_leaves_nothing_that_looks_whole(tmp_path):
    process = _run("kill", tmp_path / "a.parquet")
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.kill()
    process.communicate(timeout=100)
    [left] = os.listdir(tmp_path)
    assert left.startswith(".policy-kb-")


# --- what is refused before anything is computed ---


def test_an_output_that_cannot_be_written_is_refused_early(tmp_path):
    given_file, given_folder, folder = tmp_path / "cases.csv", tmp_path / "cases", tmp_path / "folder.csv"
    given_file.touch()
    given_folder.mkdir()
    folder.mkdir()

    def refused(path: Path) -> str:
        return problem(check_output, path, (given_file, given_folder))

    assert "the ending `.xlsx` says no format" in refused(tmp_path / "a.xlsx")
    assert "did you mean `.parquet`?" in refused(tmp_path / "a.parqet")
    assert "the name has no ending" in refused(tmp_path / "parquet")
    assert "this is a folder" in refused(folder)
    assert "there is no folder" in refused(tmp_path / "nowhere" / "a.csv")
    assert "this is the input" in refused(given_file)
    assert "this is the input" in refused(tmp_path / "cases" / ".." / "cases.csv")
    assert "the folder is the input" in refused(given_folder / "a.csv")
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe.csv")
        assert "not a regular file" in refused(tmp_path / "pipe.csv")
        if os.geteuid() != 0:
            given_folder.chmod(0o500)
            assert "closed to writing" in problem(check_output, given_folder / "a.csv")
    parts = given_folder / "relapse.parquet"
    parts.mkdir()
    assert "the folder is the input" in refused(parts / "part-9.parquet")
    check_output(tmp_path / "a.csv", (given_file, given_folder))
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize("file", NAMES)
def test_a_file_that_is_no_result_is_refused_on_reading(tmp_path, file):
    def refused() -> str:
        with duckdb.connect() as connection:
            return problem(read_results, connection, tmp_path / file, "result")

    assert "no such file" in refused()
    (tmp_path / file).mkdir()
    what = "no part of a result" if file.endswith(".parquet") else "not a regular file"
    assert what in refused()
    (tmp_path / file).rmdir()
    for content in (b"\xff\xfe\x00", b"case\na\n", b'{"case": "a"}\n', b"PAR1", b'{"case": '):
        (tmp_path / file).write_bytes(content)
        assert "cannot be read" in refused() or "no result of a batch" in refused()
    write(tmp_path / file, [row("a"), row("a", "not met"), row("b")])
    assert "the case `a` has 2 rows" in refused()


@pytest.mark.parametrize("file", ["a.csv", "a.ndjson"])
def test_an_answer_that_is_none_is_refused_on_reading(tmp_path, file):
    path = write(tmp_path / file, [row("a", "not met", _1="not met")])
    path.write_text(path.read_text().replace("not met", "nearly met"))
    with duckdb.connect() as connection:
        found = problem(read_results, connection, path, "result")
    assert "no result of a batch" in found
    assert "nearly met" in found


@pytest.mark.parametrize("file", NAMES)
@pytest.mark.parametrize("numbers", [("1.b", "1.B", "1.B_1"), ('"; DROP TABLE x; --', "case", "1.b\'")])
def test_criteria_may_be_called_anything(tmp_path, file, numbers):
    """Names that differ in letter case alone, that a database would give to another column, or that are SQL."""
    pairs = [("first order", number) for number in numbers]
    fixed = "'a' AS \"case\", 'P' AS policy, 'first order' AS phase, 'met' AS decision, NULL AS approval"
    answers = ", ".join(f"'{answer}' AS criterion_{place + 1}" for place, answer in enumerate(ANSWERS))
    with duckdb.connect() as connection:
        select = f"SELECT {fixed}, {answers}, [] AS missing, [] AS notices"
        columns = "criterion_1, criterion_2, criterion_3"
        with writing_results(connection, [select], tmp_path / file, pairs) as written:
            assert connection.execute(f"SELECT {columns} FROM {written.table}").fetchall() == [ANSWERS]
    (found,) = read_back(tmp_path / file)
    assert [(key, value) for key, value in found.items() if " " in key] == [
        (" ".join(pair), answer) for pair, answer in zip(pairs, ANSWERS, strict=True)]


# --- the summary ---


PROGRAMS = {"09-J2000-27": policy_kb.load_policy("09-J2000-27").program}


def summary_of(path: Path, rows: list[Row], **given: int):
    with duckdb.connect() as connection, writing_results(connection, [select_of(rows)], path, PAIRS) as written:
        return summarise(connection, written, PROGRAMS, **given)


@pytest.mark.parametrize("file", NAMES)
@settings(max_examples=15)
@given(rows=rows_of_results(), rejected=st.integers(0, 3))
def test_the_numbers_of_a_summary_add_up(tmp_path_factory, file, rows, rejected):
    path = tmp_path_factory.mktemp("out") / file
    summary = summary_of(path, rows, rejected=rejected)
    assert sum(summary.decisions.values()) == summary.cases == len(rows)
    assert summary.read == summary.cases + rejected
    assert {one: number for one, number in summary.decisions.items() if number} == {
        one: sum(row.decision == one for row in rows) for one in {row.decision for row in rows}}
    assert sum(one.cases for one in summary.fails_alone) == summary.not_met_alone <= summary.decisions["not met"]
    pairs = [pair for row in rows for pair in row.missing]
    assert all(pairs.count((one.relation, one.why)) == one.cases for one in summary.missing)
    assert len(summary.missing) == min(MOST, len(set(pairs)))
    as_json = json.loads(json.dumps(summary_dict(summary)))
    assert sum(one["cases"] for one in as_json["decisions"].values()) == as_json["read"] - as_json["rejected"]
    assert next(summary_lines(summary)) == f"{len(rows)} case{'' if len(rows) == 1 else 's'} decided"


def test_a_summary_counts_a_criterion_that_fails_alone_among_those_without_a_dot(tmp_path):
    rows = [
        row("alone", "not met", _1="not met", _1_a="not met"),
        row("alone as well", "not met", _1="not met", _2="needs information"),
        row("two", "not met", _1="not met", _2="not met"),
        row("asked", "needs information", _2="needs information"),
        row("later", "not met", "continuation", _0="not met"),
        row("elsewhere", "not applicable"),
    ]
    rows[3] = replace(rows[3], missing=(("hiv_test", "not stated"), ("documentation", "document")))
    summary = summary_of(tmp_path / "a.parquet", rows)
    assert [(one.phase, one.number, one.cases) for one in summary.fails_alone] == [
        ("initiation", "1", 2), ("continuation", "0", 1)]
    assert "\n".join(summary_lines(summary)) == """\
6 cases decided
  0    0.0 %  criteria met
  4   66.7 %  criteria of the guideline not met
  1   16.7 %  needs information
  1   16.7 %  guideline not applicable

The only criterion of the guideline not met, in 3 of the 4 cases not met:
  2  initiation 1    the member has relapsing-remitting or active secondary
                     progressive MS
  1  continuation 0  the member has relapsing-remitting or active secondary
                     progressive MS

Most often to be asked for:
  1  documentation: document  Can documents be sent for this?
  1  hiv_test: not stated     Has an HIV test been done, when, and with which
                              result?"""


def test_a_summary_says_how_many_cases_were_put_aside(tmp_path):
    lines = list(summary_lines(summary_of(tmp_path / "a.csv", [row("a")], rejected=2)))
    assert "read 3 = decided 1 + rejected 2" in lines


def test_an_error_of_a_write_in_the_background_is_said_in_its_own_words():
    within = 'Could not write file "a.csv": No space left on device'
    problem = json.dumps({"exception_type": "IO", "exception_message": within, "errno": "28"}, separators=(",", ":"))
    for text in (f"IO Error: Async write failed for range [offset=0, size=21]: {problem}", f"IO Error: {within}"):
        assert _reason(RuntimeError(text)) == within
