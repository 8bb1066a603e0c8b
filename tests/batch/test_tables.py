"""A batch in tables says what its cases say one by one, and every way to get a table wrong."""

from __future__ import annotations

import csv
import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_kb import dates
from policy_kb.batch.shape import Complete, Openness
from policy_kb.batch.tables import MOST_PROBLEMS, Batch, connect, read_case, read_tables
from policy_kb.batch.values import TextReader
from policy_kb.check.checked import Attribute, CheckedProgram, Relation
from policy_kb.diagnostics import CaseRefused
from policy_kb.load.cases import CaseReader, is_single
from policy_kb.load.documents import Document
from policy_kb.load.facts import Facts
from policy_kb.load.nodes import Entry, Form, Node, Scalar
from policy_kb.load.nodes import Mapping as MappingNode
from policy_kb.load.nodes import Sequence as SequenceNode
from policy_kb.load.values import Tables
from policy_kb.source import Span
from tests.batch.running import values_of
from tests.conftest import THOROUGH
from tests.load.vocabulary import CASE, KNOWN, PROGRAM, RELATIONS, case_relation, symbol

duckdb = pytest.importorskip("duckdb")

Rows = Sequence[Sequence[Any]]
Given = Mapping[str, tuple[Sequence[str], Rows]]
"""Tables: the columns and the rows of each."""

NAME_OF = TextReader(CASE, Tables({}))
INPUTS = {relation.name: relation for relation in PROGRAM.inputs()}
NOWHERE = Span("", 1)


def write_csv(path: Path, columns: Sequence[str], rows: Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def write_parquet(path: Path, columns: Sequence[str], rows: Rows, types: Sequence[str] = ()) -> None:
    with duckdb.connect() as database:
        create(database, "made", columns, rows, types)
        database.execute(f"COPY made TO '{str(path).replace(chr(39), chr(39) * 2)}' (FORMAT parquet)")


def create(database: Any, table: str, columns: Sequence[str], rows: Rows, types: Sequence[str] = ()) -> None:
    listed = ", ".join(
        f'"{column}" {types[number] if types else "VARCHAR"}' for number, column in enumerate(columns)
    )
    database.execute(f'CREATE TABLE "{table}" ({listed})')
    if rows:
        marks = ", ".join("?" * len(columns))
        database.executemany(f'INSERT INTO "{table}" VALUES ({marks})', [list(row) for row in rows])


def write(place: Path, kind: str, tables: Given) -> Path:
    """Tables in a folder, or in a database; the path to read."""
    if kind == "database":
        with duckdb.connect(str(place / "cases.db")) as database:
            for name, (columns, rows) in tables.items():
                create(database, name, columns, rows)
        return place / "cases.db"
    for name, (columns, rows) in tables.items():
        (write_csv if kind == "csv" else write_parquet)(place / f"{name}.{kind}", columns, rows)
    return place


def read(path: Path, **options: Any) -> Batch:
    return read_tables(PROGRAM, KNOWN, path, **options)


def refusals(path: Path, **options: Any) -> list[tuple[str, str, str | None]]:
    """File, message and hint of each problem of a batch that is refused."""
    with pytest.raises(CaseRefused) as refused:
        read(path, **options)
    return [(Path(one.span.file).name, one.message, one.hint) for one in refused.value.diagnostics]


def rejections(batch: Batch) -> list[tuple[str | None, str, int | None, str]]:
    return list(batch.connection.execute('SELECT "case", "table", "row", "reason" FROM batch_rejected').fetchall())


def rows_of(batch: Batch, relation: str) -> set[tuple[Any, ...]]:
    """The rows of a relation that are handed on, each with whether it is uncertain."""
    if not batch.shape[relation].has_rows:
        return set()
    found = batch.connection.execute(f"FROM {batch.shape[relation].table}").fetchall()
    rows = list(map(values_of, found))
    return set(rows) if batch.shape[relation].has_uncertain else {(*row, False) for row in rows}


REQUEST_COLUMNS = ("case", "drug", "phase", "received")


def request(*names: str) -> tuple[Sequence[str], Rows]:
    return REQUEST_COLUMNS, [(name, "Lemtrada", "initiation", "2025-09-02") for name in names]


# --- a batch equals its cases ---

_GOOD = {"drug": "Lemtrada", "product": "Avonex", "phase": "initiation", "condition": "RRMS", "finding": "no lesion",
         "agent": "ACYCLOVIR", "supports": "prior therapy", "mg_per_day": "12.50", "relation": "therapy"}
_ODD = ["", " ", "other: Baclofen ", "other: avonex", "lemtrada", "-0", "7", "1e5", "2025-02-30", "2025-07-15",
        "ongoing", "9999-12-31", "a\nb", "tab\there", "it's", '"', "STRASSE", "\u00e9\u017f", "nan", "x" * 10_001,
        "true", "x\u200b"]
_LISTED = ["therapy", "mri", "relapse", "billing_code", "diagnosis"]
_NAMES = ["A", "B", "C", "it's", "D ", "a", "e\u0301"]
_SAME_NAMES = [*_NAMES, "D", "\u00e9", "A\u00a0"]


def _good(attribute: Attribute) -> str:
    if attribute.is_date:
        return "2025-07-15"
    return _GOOD.get(attribute.name, "3")


@st.composite
def _tables(draw: st.DrawFn) -> dict[str, tuple[list[str], list[list[str | None]]]]:
    """Tables in which most values are good, so that one in several cases is accepted."""
    is_odd = st.integers(0, draw(st.sampled_from([10, 100, 100_000]))).map(lambda number: number == 1)

    def value(good: st.SearchStrategy[str]) -> str | None:
        return draw(st.none() | st.sampled_from(_ODD)) if draw(is_odd) else draw(good)

    names = st.sampled_from(_SAME_NAMES)
    tables: dict[str, tuple[list[str], list[list[str | None]]]] = {}
    for name, relation in INPUTS.items():
        if name != "request" and draw(st.booleans()):
            continue
        attributes = relation.attributes[1:]
        columns = ["case", *(attribute.name for attribute in attributes)]
        cases = draw(st.lists(names, max_size=5, unique=is_single(relation) and not draw(is_odd)))
        if name == "request" and not draw(is_odd):
            cases = _NAMES
        rows = [[value(st.just(case)), *(value(st.just(_good(one))) for one in attributes)] for case in cases]
        if relation.arity > 1 and not is_single(relation) and draw(st.booleans()):
            columns.append("uncertain")
            rows = [[*row, value(st.sampled_from(["true", "false"]))] for row in rows]
        order = draw(st.permutations(range(len(columns))))
        tables[name] = [columns[at] for at in order], [[row[at] for at in order] for row in rows]
    for table, relations, odd in (
        ("_incomplete", _LISTED, ["age", "met", "product", "attested", "theraphy"]),
        ("_stated", [*_LISTED, "request", "attested", "documentation"], ["met", "product", "theraphy"]),
    ):
        if draw(st.booleans()):
            listed = draw(st.lists(st.tuples(names, st.sampled_from(relations)), max_size=4))
            rows = [[value(st.just(case)), draw(st.sampled_from(odd)) if draw(is_odd) else name]
                    for case, name in listed]
            tables[table] = ["case", "relation"], rows
    return tables


def _scalar(text: str | None) -> Scalar:
    return Scalar(text or "", Form.NOTHING if text is None else Form.PLAIN, NOWHERE)


def _document(case: str, tables: Given, record_complete: bool, all_stated: bool) -> Document:
    """What the tables say of one case, as a case document."""
    entries: dict[str, Node] = {"case": _scalar(case)}
    if record_complete:
        entries["record"] = _scalar("complete")
    own = {name: [one for one in (dict(zip(columns, row, strict=True)) for row in rows) if NAME_OF(one["case"]) == case]
           for name, (columns, rows) in tables.items()}
    stated = {row["relation"] for row in own.get("_stated", ())}
    entries |= {str(name): SequenceNode((), NOWHERE) for name in stated if name not in INPUTS}
    for name, relation in INPUTS.items():
        rows = own.get(name, [])
        if not rows and (is_single(relation) or not (name in stated or (all_stated and name in tables))):
            continue
        if relation.arity == 1:
            entries[name] = _scalar("true" if rows else "false")
        else:
            nodes = [
                MappingNode(tuple(Entry(key, NOWHERE, _scalar(row[key])) for key in row if key != "case"), NOWHERE)
                for row in rows
            ]
            entries[name] = SequenceNode(tuple(nodes), NOWHERE)
    if own.get("_incomplete"):
        nodes = [_scalar(row["relation"]) for row in own["_incomplete"]]
        entries["incomplete"] = SequenceNode(tuple(nodes), NOWHERE)
    return Document(MappingNode(tuple(Entry(key, NOWHERE, node) for key, node in entries.items()), NOWHERE), "")


def _open(batch: Batch, case: str) -> dict[str, str]:
    """What is open for a case, and why; an `@[always_open]` relation left out."""
    opened = {
        name: "not stated" for name, one in batch.shape.items()
        if one.openness is Openness.ALWAYS and INPUTS[name].always_open is None
    }
    some = [name for name, one in batch.shape.items() if one.openness is Openness.SOME]
    if some:
        picked = ", ".join(batch.shape[name].table for name in some)
        rows = batch.connection.execute(f'SELECT {picked} FROM batch_open WHERE "case" = ?', [case]).fetchall()
        assert len(rows) < 2
        opened |= {name: why for row in rows for name, why in zip(some, row, strict=True) if why}
    return opened


@settings(max_examples=1000 if THOROUGH else 20)
@given(_tables(), st.sampled_from(["csv", "parquet", "database"]), st.booleans(), st.booleans())
def test_a_batch_equals_its_cases_one_by_one(
    tables: Given, kind: str, record_complete: bool, all_stated: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), kind, tables)
        batch = read(path, complete=Complete(record_complete, all_stated))
        if kind == "csv":
            tables = {name: (columns, [[text or None for text in row] for row in rows])
                      for name, (columns, rows) in tables.items()}
        accepted = _assert_equal(batch, tables, record_complete, all_stated)
        _assert_explained(path, accepted, rejections(batch), complete=Complete(record_complete, all_stated))


def _assert_explained(
    path: Path, accepted: Sequence[Facts], found: Sequence[tuple[str | None, str, int | None, str]], **options: Any
) -> None:
    """One case that is accepted and one that is not, read by themselves."""
    for facts in accepted[:1]:
        document = read_case(PROGRAM, KNOWN, path, facts.case, **options)
        assert document is not None
        alone = CaseReader(PROGRAM, KNOWN).read(document)
        assert alone.digest == facts.digest
        assert (alone.rows.keys(), alone.open) == (facts.rows.keys(), facts.open)
    for case in [case for case, *_ in found if case is not None][:1]:
        with pytest.raises(CaseRefused) as refused:
            read_case(PROGRAM, KNOWN, path, case, **options)
        assert sorted((one.span.line, one.message) for one in refused.value.diagnostics) == sorted(
            {(row or 1, reason) for name, _, row, reason in found if name == case}
        )


def _assert_equal(batch: Batch, tables: Given, record_complete: bool, all_stated: bool) -> list[Facts]:
    of_rows = [(name, row[columns.index("case")]) for name, (columns, rows) in tables.items() for row in rows]
    names = {NAME_OF(case) for _, case in of_rows} - {None}
    accepted: list[Facts] = []
    refused: dict[str, set[str]] = {}
    reader = CaseReader(PROGRAM, KNOWN)
    for case in names:
        try:
            accepted.append(reader.read(_document(case, tables, record_complete, all_stated)))
        except CaseRefused as problem:
            refused[case] = {one.message for one in problem.diagnostics}
    found = rejections(batch)
    reasons: dict[str, set[str]] = {}
    for one, _, _, reason in found:
        if one is not None:
            reasons.setdefault(one, set()).add(reason)
    assert reasons == refused
    assert (batch.cases, batch.rejected) == (len(names), len(refused))
    assert batch.cases == len(accepted) + batch.rejected
    assert batch.unnamed == sum(NAME_OF(case) is None for _, case in of_rows)
    assert [(one.case, one.table, one.row, one.reason) for one in batch.problems] == found[:MOST_PROBLEMS]
    for name in INPUTS:
        rows = {(*row.values, row.is_uncertain) for facts in accepted for row in facts.rows[name]}
        # A row that is also certain is certain; that is for the reader of the tables to see.
        given_rows = rows_of(batch, name)
        assert {row for row in given_rows if not (row[-1] and (*row[:-1], False) in given_rows)} == rows
    for facts in accepted:
        wanted = {name: why for name, why in facts.open.items() if INPUTS[name].always_open is None}
        assert _open(batch, facts.case) == wanted
    return accepted


def test_the_order_of_columns_and_rows_does_not_matter(tmp_path: Path) -> None:
    for number, backwards in enumerate((False, True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        step = -1 if backwards else 1
        for name, (columns, rows) in {
            "request": request("A", "B"),
            "therapy": (("case", "product", "started", "stopped"), [
                ("A", "Avonex", "2020-01-01", "ongoing"), ("B", "other: Xeomin  ", "2020-01-01", "2021-01-01"),
            ]),
        }.items():
            write_csv(folder / f"{name}.csv", columns[::step], [row[::step] for row in rows[::step]])
        batch = read(folder)
        assert rows_of(batch, "therapy") == {
            ("A", "Avonex", 18262, dates.ONGOING, False), ("B", "other: Xeomin", 18262, 18628, False),
        }


def test_typed_columns_give_what_their_texts_give(tmp_path: Path) -> None:
    write_parquet(tmp_path / "request.parquet", *request("A"), types=["VARCHAR", "VARCHAR", "VARCHAR", "DATE"])
    mri = ("on", "lesions", "case", "finding"), [("2025-01-02", 2, "A", "new lesion")]
    write_parquet(tmp_path / "mri.parquet", *mri,
                  ["TIMESTAMP", "TINYINT", "VARCHAR", "ENUM('new lesion', 'no lesion')"])
    write_parquet(tmp_path / "planned_dose.parquet", ("case", "mg_per_day", "uncertain"), [("A", "12.5", True)],
                  ["VARCHAR", "DECIMAL(9,3)", "BOOLEAN"])
    batch = read(tmp_path)
    assert rows_of(batch, "mri") == {("A", 20090, "new lesion", 2, False)}
    assert rows_of(batch, "planned_dose") == {("A", 12.5, True)}


# --- what is known ---


def test_a_table_states_its_relation_for_the_cases_with_rows_in_it(tmp_path: Path) -> None:
    write_csv(tmp_path / "request.csv", *request("A", "B"))
    write_csv(tmp_path / "relapse.csv", ("case", "on"), [("A", "2025-01-01")])
    write_csv(tmp_path / "attested.csv", ("case",), [("A",)])
    write_csv(tmp_path / "mri.csv", ("case", "on", "finding", "lesions"), [])
    write_csv(tmp_path / "documentation.csv", ("case", "supports"), [("A", "prior therapy")])
    batch = read(tmp_path)
    assert list(batch.shape) == list(INPUTS)
    shape = {name: one.openness for name, one in batch.shape.items()}
    assert shape["relapse"] is Openness.SOME
    assert shape["therapy"] is shape["mri"] is shape["documentation"] is Openness.ALWAYS
    assert shape["attested"] is shape["age"] is shape["billing_code"] is Openness.NEVER
    assert "relapse" not in _open(batch, "A")
    assert _open(batch, "B")["relapse"] == "not stated"
    assert batch.unstated == ("relapse", "mri")

    batch = read(tmp_path, complete=Complete(tables=True))
    assert batch.shape["relapse"].openness is batch.shape["mri"].openness is Openness.NEVER
    assert batch.shape["therapy"].openness is Openness.ALWAYS
    assert batch.unstated == ()

    write_csv(tmp_path / "_stated.csv", ("case", "relation"), [("B", "relapse"), ("B", "therapy"), ("A", "relapse")])
    write_csv(tmp_path / "_incomplete.csv", ("case", "relation"),
              [("A", "billing_code"), ("A", "relapse"), ("B", "mri")])
    batch = read(tmp_path)
    opened = {case: _open(batch, case) for case in "AB"}
    assert (opened["A"]["relapse"], opened["A"]["billing_code"]) == ("incomplete", "incomplete")
    assert opened["B"].keys() == opened["A"].keys() - {"billing_code", "relapse", "therapy"}
    assert (opened["A"]["mri"], opened["B"]["mri"]) == ("not stated", "incomplete")

    batch = read(tmp_path, complete=Complete(record=True))
    assert batch.shape["therapy"].openness is Openness.NEVER
    assert batch.shape["documentation"].openness is Openness.ALWAYS
    assert _open(batch, "A") == {"billing_code": "incomplete", "relapse": "incomplete"}
    assert _open(batch, "B") == {"mri": "incomplete"}


def test_uncertain_rows_are_looked_for(tmp_path: Path) -> None:
    write_csv(tmp_path / "request.csv", *request("A"))
    write_csv(tmp_path / "relapse.csv", ("case", "on", "uncertain"), [("A", "2025-01-01", "false")])
    write_csv(tmp_path / "diagnosis.csv", ("case", "condition", "uncertain"), [("A", "RRMS", "true")])
    shape = read(tmp_path).shape
    assert not shape["relapse"].has_uncertain
    assert shape["diagnosis"].has_uncertain


# --- problems of tables ---


@pytest.mark.parametrize(
    ("file", "columns", "message", "hint"),
    [
        ("relapse.csv", ("case", "onn"), "`onn` is not a column of `relapse`", "did you mean `on`?"),
        ("relapse.csv", ("case", "on", "zzz"), "`zzz` is not a column of `relapse`",
         "the columns are `case`, `on` and `uncertain`"),
        ("relapse.csv", ("Case", "on"), "`Case` is not a column of `relapse`", "did you mean `case`?"),
        ("relapse.csv", ("case",), "`relapse` has no column `on`", "add `on`: a date such as `2025-07-15`"),
        ("relapse.csv", ("on",), "`relapse` has no column `case`", "add `case`: text"),
        ("relapse.csv", ("case", "on", "ON"), "the column `ON` stands twice", "name each column once"),
        ("relapse.csv", ("case;on",), "between the columns stands `;`, not a comma", "write commas"),
        ("relapse.csv", ("",), "the table has no header", "the first line names the columns, such as `case`"),
        ("age.csv", ("case", "years", "uncertain"), "`age` is never uncertain: a case has one row of it",
         "remove the column `uncertain`"),
        ("attested.csv", ("case", "uncertain"), "`attested` is never uncertain: it is true or false",
         "remove the column `uncertain`"),
        ("theraphy.csv", ("case",), "`theraphy` is not a relation of a case", "did you mean `therapy`?"),
        ("Relapse.csv", ("case", "on"), "`Relapse` is not a relation of a case", "did you mean `relapse`?"),
        ("incomplete.csv", ("case", "relation"), "`incomplete` is not a relation of a case",
         "did you mean `_incomplete`?"),
        ("met.csv", ("case",), "`met` is decided by the rules, not stated by a case", "remove it"),
        ("product.csv", ("product",), "`product` belongs to the rules: it is the same for every case", "remove it"),
        ("stated.csv", ("case", "relation"), "`stated` is not a relation of a case", "did you mean `_stated`?"),
        ("_incomplete.csv", ("case", "relations"), "`relations` is not a column of `_incomplete`",
         "did you mean `relation`?"),
    ],
)
def test_a_table_that_is_not_as_declared_is_refused(
    tmp_path: Path, file: str, columns: tuple[str, ...], message: str, hint: str
) -> None:
    write_csv(tmp_path / "request.csv", *request("A"))
    write_csv(tmp_path / file, columns, [])
    assert refusals(tmp_path) == [(file, message, hint)]


def test_all_problems_of_the_tables_are_found_at_once(tmp_path: Path) -> None:
    write_csv(tmp_path / "relapse.csv", ("case", "onn"), [])
    write_csv(tmp_path / "relpse.csv", ("case",), [])
    (tmp_path / "mri.parquet").write_text("no")
    write_parquet(tmp_path / "age.parquet", ("case", "years"), [("A", True)], ["VARCHAR", "BOOLEAN"])
    assert [file for file, _, _ in refusals(tmp_path)] == ["age.parquet", "mri.parquet", "relapse.csv", "relpse.csv"]


def test_a_batch_needs_the_requests(tmp_path: Path) -> None:
    assert refusals(tmp_path) == [(
        tmp_path.name, "no table is in this folder",
        "a folder holds one table for each relation, such as `request.parquet` or `request.csv`",
    )]
    write_csv(tmp_path / "relapse.csv", ("case", "on"), [])
    assert refusals(tmp_path) == [(
        tmp_path.name, "no table `request`",
        "each case states it: add a table with the columns `case`, `drug`, `phase` and `received`",
    )]


def test_files_that_are_no_tables_are_passed_over(tmp_path: Path) -> None:
    write_csv(tmp_path / "request.csv", *request("A"))
    for name in ("README.md", ".hidden.csv", "._SUCCESS.crc", "therapy.txt", "_SUCCESS"):
        (tmp_path / name).write_text("x")
    assert read(tmp_path).cases == 1
    (tmp_path / "therapy.csv.gz").write_text("x")
    assert refusals(tmp_path) == [("therapy.csv.gz", "a packed table is not read", "unpack it")]


def test_a_relation_has_one_table(tmp_path: Path) -> None:
    write_csv(tmp_path / "request.csv", *request("A"))
    write_parquet(tmp_path / "request.parquet", *request("A"))
    assert refusals(tmp_path) == [
        ("request.csv", "`request` has two tables: `request.csv` and `request.parquet`", "remove one of them")
    ]


def test_a_column_of_a_wrong_type_is_one_problem_unless_the_table_is_empty(tmp_path: Path) -> None:
    columns, rows = request("A")
    write_parquet(tmp_path / "request.parquet", columns, rows)
    write_parquet(tmp_path / "relapse.parquet", ("case", "on"), [("A", 1), ("B", 2)], ["VARCHAR", "INTEGER"])
    assert refusals(tmp_path) == [(
        "relapse.parquet", "`on` is a date; the column has the type INTEGER",
        "write the column as DATE, or as text such as `2025-07-15`",
    )]
    write_parquet(tmp_path / "relapse.parquet", ("case", "on", "uncertain"), [("A", "2025-01-01", 1)],
                  ["VARCHAR", "DATE", "INTEGER"])
    assert refusals(tmp_path) == [(
        "relapse.parquet", "`uncertain` is true or false; the column has the type INTEGER",
        "write the column as BOOLEAN, or as the text `true` or `false`",
    )]
    write_parquet(tmp_path / "relapse.parquet", ("case", "on", "uncertain"), [], ["INTEGER", "INTEGER", "INTEGER"])
    assert read(tmp_path).rejected == 0
    write_parquet(tmp_path / "request.parquet", columns, [], ["INTEGER"] * 4)
    assert read(tmp_path).cases == 0


@pytest.mark.parametrize(
    ("name", "content", "message", "hint"),
    [
        ("relapse.parquet", b"PAR1 nothing PAR1", "not a Parquet file, or a damaged one", "write it anew"),
        ("relapse.csv", b"", "the table has no header", "the first line names the columns, such as `case`"),
        ("relapse.csv", "case,on\n".encode("utf-16"), "not UTF-8 text", "save the file as UTF-8"),
        ("relapse.csv", b'case,on\nA,"2025-01-01\nB,2025-01-01\n',
         "a value in quotes does not end, or the line is too long",
         "put text with a comma, a quote or a line break in double quotes, and double each quote inside it"),
        ("relapse.csv", b"case,on\r\nA,2025-01-01\nB,2025-01-01\r\n", "cannot be read as CSV",
         "end all lines alike, and put text with a comma, a quote or a line break in double quotes"),
    ],
)
def test_an_unreadable_table_is_refused(tmp_path: Path, name: str, content: bytes, message: str, hint: str) -> None:
    write_csv(tmp_path / "request.csv", *request("A", "B"))
    (tmp_path / name).write_bytes(content)
    assert refusals(tmp_path) == [(name, message, hint)]


def test_a_table_is_a_regular_file_that_may_be_read(tmp_path: Path) -> None:
    write_csv(tmp_path / "request.csv", *request("A"))
    os.mkfifo(tmp_path / "relapse.csv")
    hint = "give a file, not a folder, a pipe or a device"
    assert refusals(tmp_path) == [("relapse.csv", "not a regular file", hint)]
    (tmp_path / "relapse.csv").unlink()
    (tmp_path / "relapse.csv").symlink_to(tmp_path / "nowhere")
    assert refusals(tmp_path) == [("relapse.csv", "no such file", "check the path")]
    assert refusals(tmp_path / "nothing") == [("nothing", "no such file", "check the path")]


@pytest.mark.parametrize("relation", ["request", "attested"])
def test_parquet_damaged_inside_is_refused_when_it_is_read(tmp_path: Path, relation: str) -> None:
    names = [f"case number {number}" for number in range(1000)]
    write_parquet(tmp_path / "request.parquet", *request(*names))
    write_parquet(tmp_path / "previously_met_criteria.parquet", ("case",), [(name,) for name in names])
    write_parquet(tmp_path / "attested.parquet", ("case",), [(name,) for name in names])
    path = tmp_path / f"{relation}.parquet"
    content = bytearray(path.read_bytes())
    content[10:2000] = b"\xff" * 1990
    path.write_bytes(content)
    [(file, message, hint)] = refusals(tmp_path)
    assert file == path.name
    assert message.startswith("cannot be read: ")
    assert hint == "write it anew"


# --- problems of rows ---


def problems_of(folder: Path, **tables: tuple[Sequence[str], Rows]) -> list[tuple[Any, ...]]:
    """Table, row, case, reason and hint of each problem of these tables."""
    for name, (columns, rows) in tables.items():
        write_csv(folder / f"{name}.csv", columns, rows)
    return [(one.table, one.row, one.case, one.reason, one.hint) for one in read(folder).problems]


def test_a_bad_value_is_listed_with_its_line_and_refuses_its_case_only(tmp_path: Path) -> None:
    columns = ("case", "product", "started", "stopped")
    found = problems_of(
        tmp_path, request=request("A", "B"),
        therapy=(columns, [("A", "Avonexx", "2025-02-30", "ongoing"), ("B", "Avonex", "2025-01-01", "ongoing"),
                           ("A", "Avonex", "", "Ongoing")]),
    )
    assert found == [
        ("therapy", 2, "A", "`Avonexx` is not in the table `product`",
         'did you mean `Avonex`? one outside the table is written `"other: Avonexx"`'),
        ("therapy", 2, "A", "`2025-02-30` does not exist", "the last day of that month is `2025-02-28`"),
        ("therapy", 4, "A", "`started` has no value", "write a date such as `2025-07-15`"),
        ("therapy", 4, "A", "`stopped` is a date; the case says `Ongoing`", "write `ongoing`"),
    ]
    batch = read(tmp_path)
    assert (batch.cases, batch.rejected, batch.unnamed) == (2, 1, 0)
    assert {row[0] for row in rows_of(batch, "therapy") | rows_of(batch, "request")} == {"B"}


def test_a_case_without_a_request_is_listed_once_where_it_first_stands(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path, request=request("A"), relapse=(("case", "on"), [("A", "2025-01-01"), ("Z", "2025-01-01")] * 2),
        attested=(("case",), [("Z",), ("Y",)]), _incomplete=(("case", "relation"), [("X", "relapse")]),
    )
    hint = "add a row to `request`, with `case`, `drug`, `phase` and `received`"
    assert found == [
        ("relapse", 3, "Z", "the case has no `request`", hint),
        ("attested", 3, "Y", "the case has no `request`", hint),
        ("_incomplete", 2, "X", "the case has no `request`", hint),
    ]
    assert (read(tmp_path).cases, read(tmp_path).rejected) == (4, 3)


def test_a_second_row_of_a_single_relation_is_listed_even_if_it_is_the_same(tmp_path: Path) -> None:
    age = ("case", "years"), [("B", "1"), ("B", "1"), ("B", "2")]
    found = problems_of(tmp_path, request=request("A", "B", "A"), age=age)
    second = "a second row of `age`: a case has one"
    assert found == [
        ("request", 4, "A", "a second row of `request`: a case has one",
         "keep the right one, or give each case a name of its own"),
        ("age", 3, "B", second, "keep the right one"),
        ("age", 4, "B", second, "keep the right one"),
    ]


def test_rows_without_a_readable_case_are_counted_apart(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path, request=request("A", "", "bad\u200bname"),
        relapse=(("case", "on"), [("", "2025-01-01"), ("bad\u200bname", "2025-02-30"), ("A", "2025-01-01")]),
    )
    holds = "`case` holds `U+200B` (zero width space), which cannot be seen: `bad\\u200bname`"
    assert [one[:4] for one in found] == [
        ("request", 3, None, "`case` has no value"),
        ("request", 4, None, holds),
        ("relapse", 2, None, "`case` has no value"),
        ("relapse", 3, None, holds),
        ("relapse", 3, None, "`2025-02-30` does not exist"),
    ]
    batch = read(tmp_path)
    assert (batch.cases, batch.rejected, batch.unnamed) == (1, 0, 4)
    assert rows_of(batch, "relapse") == {("A", 20089, False)}
    assert len(rows_of(batch, "request")) == 1


def test_every_required_relation_needs_its_row(tmp_path: Path) -> None:
    weight = case_relation("weight", Attribute("kg", "number", "number"), is_single=True, is_required=True)
    program = _with(weight)
    write_csv(tmp_path / "request.csv", *request("A", "B"))
    with pytest.raises(CaseRefused, match="no table `weight`"):
        read_tables(program, KNOWN, tmp_path)
    write_csv(tmp_path / "weight.csv", ("case", "kg"), [("A", "70")])
    batch = read_tables(program, KNOWN, tmp_path)
    [problem] = batch.problems
    assert (problem.table, problem.row, problem.case) == ("weight", None, "B")
    assert (problem.reason, problem.hint) == ("the case has no `weight`", "add a row to `weight`, with `case` and `kg`")
    assert (batch.cases, batch.rejected) == (2, 1)


def _with(*relations: Relation) -> CheckedProgram:
    return CheckedProgram("", {}, {one.name: one for one in [*RELATIONS, *relations]}, (), (), (), (), (), ())


def test_names_that_differ_in_letter_case_alone_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "request.csv", *request("A"))
    program = _with(case_relation("Relapse", symbol("a"), symbol("A")))
    with pytest.raises(CaseRefused) as refused:
        read_tables(program, KNOWN, tmp_path)
    assert [one.message for one in refused.value.diagnostics] == [
        "`relapse` and `Relapse` differ in letter case alone", "`a` and `A` of `Relapse` differ in letter case alone",
    ]


# --- lines of CSV files ---


def test_a_line_with_other_columns_refuses_the_case_it_seems_to_be_of(tmp_path: Path) -> None:
    write_csv(tmp_path / "request.csv", *request("A", "B", "C"))
    (tmp_path / "relapse.csv").write_bytes(
        b"on,case\n2025-01-01,A,x\n2025-01-01\n\n2025-01-01,nobody,x\n2025-01-01,B\n\xff,C\n"
    )
    batch = read(tmp_path)
    hint = "between the columns stands a comma: `on` and `case`; text with a comma is put in double quotes"
    assert [(one.row, one.case, one.reason, one.hint) for one in batch.problems] == [
        (2, "A", "3 columns where `relapse` has 2", hint),
        (3, None, "1 column where `relapse` has 2", hint),
        (5, None, "3 columns where `relapse` has 2", hint),
        (7, "C", "not UTF-8 text", "save the file as UTF-8"),
    ]
    assert (batch.cases, batch.rejected, batch.unnamed) == (3, 2, 2)
    assert rows_of(batch, "relapse") == {("B", 20089, False)}


def test_a_table_of_bad_lines_alone_is_not_passed_over(tmp_path: Path) -> None:
    write_csv(tmp_path / "request.csv", *request("A"))
    (tmp_path / "relapse.csv").write_text("case,on\nA\n")
    batch = read(tmp_path)
    assert [(one.row, one.case) for one in batch.problems] == [(2, "A")]
    assert (batch.cases, batch.rejected) == (1, 1)


def test_a_bad_line_of_the_requests_is_the_only_problem_of_its_case(tmp_path: Path) -> None:
    (tmp_path / "request.csv").write_text("case,drug,phase,received\nA,Lemtrada,initiation\n")
    write_csv(tmp_path / "relapse.csv", ("case", "on"), [("A", "2025-01-01")])
    batch = read(tmp_path)
    assert [(one.table, one.row, one.case) for one in batch.problems] == [("request", 2, "A")]
    assert (batch.cases, batch.rejected, batch.unnamed) == (1, 1, 0)


def test_lines_are_counted_over_line_breaks_in_values_empty_lines_and_bad_lines(tmp_path: Path) -> None:
    write_csv(tmp_path / "request.csv", *request("A"))
    (tmp_path / "prior_approval.csv").write_text(
        '\ufeffcase,payer\r\nA,"two\r\nlines\u200b"\r\n\r\nA,x,y\r\nA,\r\n"A",fine\r\nA,""\r\n',
        encoding="utf-8", newline=""
    )
    assert [one.row for one in read(tmp_path).problems] == [2, 5, 6, 8]


def test_a_csv_file_may_be_quoted_and_end_its_lines_as_it_likes(tmp_path: Path) -> None:
    write_csv(tmp_path / "request.csv", *request('A, "the first"', "#B", "' OR 1=1 --", "N/A", "NULL"))
    (tmp_path / "relapse.csv").write_bytes(b'"case","on"\r"#B","2025-01-01"\rNULL,2025-01-01')
    batch = read(tmp_path)
    assert batch.problems == ()
    assert {row[0] for row in rows_of(batch, "request")} == {'A, "the first"', "#B", "' OR 1=1 --", "N/A", "NULL"}
    assert len(rows_of(batch, "relapse")) == 2


# --- many ---


def test_the_first_hundred_problems_are_given_with_hints_and_all_are_listed_fast(tmp_path: Path) -> None:
    number = 20_000
    columns, rows = request(*(f"c{at}" for at in range(number)))
    bad = [[name, f"Lemtrda{at}" if at % 2 else drug, "initiaton", received]
           for at, (name, drug, _, received) in enumerate(rows)]
    write_csv(tmp_path / "request.csv", columns, bad)
    batch = read(tmp_path)
    assert (batch.cases, batch.rejected, len(batch.problems)) == (number, number, MOST_PROBLEMS)
    assert batch.problems[1].hint == 'did you mean `Lemtrada`? one outside the table is written `"other: Lemtrda1"`'
    found = rejections(batch)
    assert len(found) == number + number // 2
    assert found[:MOST_PROBLEMS] == [(one.case, one.table, one.row, one.reason) for one in batch.problems]
    assert [row for _, _, row, _ in found] == sorted(row or 0 for _, _, row, _ in found)


def test_rows_are_numbered_in_the_order_of_their_table_whatever_the_database_is_set_to(tmp_path: Path) -> None:
    number = 200_000
    with duckdb.connect() as database:
        database.execute(
            f"COPY (SELECT 'c' || range AS \"case\", 'Lemtrada' AS drug, 'initiation' AS phase, "
            f"CASE WHEN range % 50000 = 49999 THEN 'x' ELSE '2025-01-01' END AS received FROM range({number})) "
            f"TO '{tmp_path / 'request.parquet'}' (ROW_GROUP_SIZE 10000)"
        )
    connection = connect()
    connection.execute("SET preserve_insertion_order = false")
    batch = read(tmp_path, connection=connection)
    bad = range(49_999, number, 50_000)
    assert [(one.case, one.row) for one in batch.problems] == [(f"c{at}", at + 1) for at in bad]
    assert connection.execute("SELECT current_setting('preserve_insertion_order')").fetchone() == (False,)


# --- parts of tables, databases, names ---


def test_a_table_may_be_a_folder_of_parts(tmp_path: Path) -> None:
    folder = tmp_path / "phase=x" / "request.parquet"
    folder.mkdir(parents=True)
    columns, [a, b, c] = request("A", "B", "C")
    write_parquet(folder / "part-0.parquet", columns, [a])
    write_parquet(folder / "part-1.parquet", columns, [b, (c[0], "Lemtrda", *c[2:])])
    for name in ("_SUCCESS", ".part-0.parquet.crc", "_metadata"):
        (folder / name).write_text("x")
    batch = read(folder.parent)
    assert [(one.row, one.case) for one in batch.problems] == [(3, "C")]
    assert {row[0] for row in rows_of(batch, "request")} == {"A", "B"}

    write_parquet(folder / "part-2.parquet", (*columns[:3], "received"), [a], ["VARCHAR"] * 3 + ["DATE"])
    assert refusals(folder.parent) == [(
        "request.parquet", "the part `part-2.parquet` has other columns than the first part",
        "write all parts with the same columns and types",
    )]
    (folder / "part-2.parquet").unlink()
    (folder / "day=1").mkdir()
    assert refusals(folder.parent) == [
        ("request.parquet", "a folder is among the parts", "write the parts without partitions by column")
    ]
    (folder / "_temporary").mkdir()
    assert refusals(folder.parent) == [
        ("request.parquet", "it was not written to its end: `_temporary` is there", "write it anew")
    ]


def test_an_empty_folder_of_parts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "request.parquet").mkdir()
    hint = "parts end in `.parquet`"
    assert refusals(tmp_path) == [("request.parquet", "no part of a table is in this folder", hint)]


def test_a_database_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, "database", {"request": request("A", "B"), "relapse": (("case", "on"), [("A", "x")])})
    before = hashlib.sha256(path.read_bytes()).digest(), os.listdir(tmp_path)
    batch = read(path)
    assert [(one.table, one.row, one.case) for one in batch.problems] == [("relapse", 1, "A")]
    assert {row[0] for row in rows_of(batch, "request")} == {"B"}
    batch.connection.close()
    assert (hashlib.sha256(path.read_bytes()).digest(), os.listdir(tmp_path)) == before


def test_a_column_declared_to_ignore_letter_case_is_compared_as_written(tmp_path: Path) -> None:
    path = write(tmp_path, "database", {"request": request("A", "B")})
    with duckdb.connect(str(path)) as database:
        database.execute("""CREATE TABLE therapy (
            "case" VARCHAR COLLATE NOCASE, product VARCHAR COLLATE NOCASE, started DATE, stopped DATE
        )""")
        database.execute("INSERT INTO therapy VALUES ('A', 'AVONEX', DATE '2020-01-01', DATE '2021-01-01')")
        # As it is declared, this would be a row of `B`.
        database.execute("INSERT INTO therapy VALUES ('b', 'Avonex', DATE '2020-01-01', DATE '2021-01-01')")
    batch = read(path)
    assert [(one.case, one.reason) for one in batch.problems] == [("b", "the case has no `request`")]
    assert rows_of(batch, "therapy") == {("A", "Avonex", 18262, 18628, False)}


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cases.db"
    hint = "give a database file, a folder of tables, or an NDJSON file"
    for content in (b"", b"case: A\n", b"SQLite format 3\0" + b"\0" * 100):
        path.write_bytes(content)
        assert refusals(path) == [("cases.db", "not a DuckDB database", hint)]
    path.write_bytes(b"\0" * 8 + b"DUCK" + b"\xff" * 5000)
    [(_, message, _)] = refusals(path)
    assert message.startswith("the database cannot be opened: ")


def test_tables_of_a_database_are_the_relations_of_cases_and_no_views(tmp_path: Path) -> None:
    path = write(tmp_path, "database", {"request": request("A"), "theraphy": (("case",), [])})
    (tmp_path / "secret.csv").write_text("case,on\nA,2025-01-01\n")
    with duckdb.connect(str(path)) as database:
        database.execute(f"CREATE VIEW relapse AS FROM read_csv('{tmp_path / 'secret.csv'}')")
        database.execute("CREATE SCHEMA mine; CREATE TABLE mine.notes (x INTEGER)")
        database.execute("CREATE MACRO attested() AS TABLE SELECT 'A' AS \"case\"")
        database.execute("""CREATE TABLE mri("case" VARCHAR, "on" DATE, finding VARCHAR,
                            lesions INTEGER GENERATED ALWAYS AS (random()::INTEGER) VIRTUAL)""")
        database.execute("CREATE TABLE age(\"case\" VARCHAR, years INTEGER DEFAULT (random()))")
    computed = "the column `lesions` of `mri` is computed when it is read; only stored rows are"
    assert refusals(path) == [
        ("cases.db", "`theraphy` is not a relation of a case", "did you mean `therapy`?"),
        ("attested", "`attested` is a macro, not a table", "remove it, or keep it in another schema"),
        ("mri", computed, "store its values: `CREATE TABLE ... AS FROM mri`"),
        ("relapse", "`relapse` is a view, not a table", "write it to a table: `CREATE TABLE ... AS FROM relapse`"),
    ]


@pytest.mark.parametrize("kind", ["parquet", "csv", "database"])
def test_the_database_of_a_batch_reaches_its_input_and_the_folders_it_writes_to_alone(
    tmp_path: Path, kind: str
) -> None:
    for name in ("in", "out", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "other/secret.csv").write_text("case\nA\n")
    path = write(tmp_path / "in", kind, {"request": request("A"), "relapse": (("case", "on"), [("A", "2025-01-01")])})
    batch = read(path, writes_to=[tmp_path / "out"])
    assert rows_of(batch, "relapse") == {("A", 20089, False)}
    batch.connection.execute(f"COPY (SELECT 1) TO '{tmp_path / 'out/result.parquet'}'")
    for outside in (f"FROM read_csv('{tmp_path / 'other/secret.csv'}')", f"ATTACH '{tmp_path / 'other/new.db'}'",
                    f"COPY (SELECT 1) TO '{tmp_path / 'other/result.csv'}'", "SET enable_external_access = true"):
        with pytest.raises(duckdb.Error, match=r"disabled|Cannot"):
            batch.connection.execute(outside)


def test_a_database_that_was_not_closed_is_refused(tmp_path: Path) -> None:
    """What its log holds would be done as it is opened."""
    path = write(tmp_path, "database", {"request": request("A")})
    (tmp_path / "cases.db.wal").touch()
    assert refusals(path) == [("cases.db", "the database was not closed: `cases.db.wal` is beside it",
                               "open it with DuckDB and close it, which writes that into it")]


def test_an_empty_database_is_refused(tmp_path: Path) -> None:
    assert refusals(write(tmp_path, "database", {})) == [(
        "cases.db", "no table is in this database",
        "a database holds one table for each relation, such as `request`, in its main schema",
    )]


@pytest.mark.parametrize("name", ["it's", "a[1]*?", "a'); DROP TABLE x; --", 'say "x"', "phase=continuation", "\\ {}",
                                  "{a,a1}", "a\nb %41", "**", b"\xff".decode(errors="surrogateescape")])
def test_the_name_of_a_folder_is_only_a_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    write_parquet(tmp_path / "request.parquet", *request("A"))
    (tmp_path / "request.parquet").rename(folder / "request.parquet")
    write_csv(folder / "relapse.csv", ("case", "on"), [("A", "2025-01-01")])
    # What a pattern would find as well.
    (tmp_path / "a1").mkdir()
    write_parquet(tmp_path / "a1" / "request.parquet", *request("X"))
    batch = read(folder)
    assert batch.problems == ()
    assert rows_of(batch, "request") == {("A", "Lemtrada", "initiation", 20333, False)}
    write_csv(folder / f"{name.replace('/', '')}.csv", ("case",), [])
    assert len(refusals(folder)) == 1


def test_names_of_columns_and_values_are_never_code(tmp_path: Path) -> None:
    write_csv(tmp_path / "request.csv", *request("A"))
    for column in ('on" FROM request; --', "on'", "x, *", "{'a'}"):
        write_csv(tmp_path / "relapse.csv", ("case", "on", column), [("A", "2025-01-01", "x")])
        assert len(refusals(tmp_path)) == 1
    write_csv(tmp_path / "relapse.csv", ("case", "on"), [("A", "'); DROP TABLE batch_rejected; --")])
    assert len(read(tmp_path).problems) == 1


def test_reading_again_on_one_connection_replaces_what_was_read(tmp_path: Path) -> None:
    connection = connect()
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    path = write(first, "database", {"request": request("A", "B"), "relapse": (("case", "on"), [("A", "x")])})
    assert read(path, connection=connection).rejected == 1
    path = write(second, "database", {"request": request("C")})
    batch = read(path, connection=connection)
    assert (batch.cases, batch.rejected, rejections(batch)) == (1, 0, [])
    assert {row[0] for row in rows_of(batch, "request")} == {"C"}


def test_a_file_in_the_working_folder_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database takes a name it does not know for a file, or for a variable of the program."""
    write_csv(tmp_path / "given_5", ("case", "on"), [("A", "2025-01-01")])
    monkeypatch.chdir(tmp_path)
    given_6: Iterable[int] = [1]
    assert given_6
    for name in ("given_5", "given_6"):
        with pytest.raises(duckdb.CatalogException):
            connect().execute(f"FROM {name}")
