"""The result of a batch as a file: one row a case, as Parquet, CSV or NDJSON; written as a whole or not at all, and
read back.

A result has the columns `case`, `policy`, `phase`, `decision`, `approval`, one for each criterion as rules name it
(`initiation 2.a.i`), `missing` and `notices`. A criterion has no answer where the case is of another phase, or where
the policy does not apply to it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from policy_kb import outputs
from policy_kb.batch.dialect import ANSWERS, DECISIONS, DUCKDB
from policy_kb.batch.script import criterion_column
from policy_kb.batch.sources import MAKE_ROOM, NO_ROOM
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, did_you_mean, listed, quoted
from policy_kb.record import record
from policy_kb.source import Span, real_path

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ENDINGS = {".parquet": "parquet", ".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
"""How a result is written, by the ending of its file."""

_STAGED = "batch_results"
_AT_ONCE = 100_000
_NEITHER = "\x01"
"""A sign that JSON escapes: as delimiter it never stands in a line."""


literal, name = DUCKDB.text, DUCKDB.quoted
"""A text, and the name of a column or table, as SQL."""


def _enum(values: Iterable[str]) -> str:
    return f"ENUM({', '.join(map(literal, values))})"


ANSWER_TYPE, DECISION_TYPE = _enum(ANSWERS), _enum(DECISIONS)
"""The SQL types of a criterion's answer and of a decision. A SELECT whose columns have these already is written in half
the time; the file has text."""

_BEFORE = {
    "case": "VARCHAR", "policy": "VARCHAR", "phase": "VARCHAR", "decision": DECISION_TYPE,
    "approval": "STRUCT(amount DECIMAL(38, 18), unit VARCHAR)[]",
}
_BEHIND = {"missing": "STRUCT(relation VARCHAR, why VARCHAR)[]", "notices": "VARCHAR[]"}


Criteria = Sequence[tuple[str, str]]
"""The criteria of a result: the phase and the number of each (`initiation`, `2.a.i`)."""


def columns_of(criteria: Collection[object]) -> dict[str, str]:
    """The columns of a result with these criteria, in order, with their SQL types. In a query those of criteria are
    numbered: a database takes names that differ in letter case for the same one."""
    of_criteria = (criterion_column(place) for place in range(len(criteria)))
    return {**_BEFORE, **dict.fromkeys(of_criteria, ANSWER_TYPE), **_BEHIND}


def column_names(criteria: Criteria) -> list[str]:
    """What the columns of a result are called in its file: a criterion as rules name it (`initiation 2.a.i`)."""
    return [*_BEFORE, *(f"{phase} {number}" for phase, number in criteria), *_BEHIND]


# --- where it goes ---


def check_output(path: Path, inputs: Collection[Path] = ()) -> None:
    """Refuse, before anything is computed, an output that could not be written.

    That is: another ending than Parquet, CSV and NDJSON have; a folder that is missing or closed to writing; a folder,
    a pipe or a device; one of the `inputs`, or a file in a folder of tables that is one.
    """
    _ending(path)
    outputs.check_place(path)
    check_folder(path)
    outputs.refuse_input(path, inputs)
    folder = real_path(path.parent)
    for given in inputs:
        whole = real_path(given)
        if whole.is_dir() and (folder == whole or (folder.parent == whole and _ending_of(folder) is not None)):
            message = "the folder is the input; the result would be read as one of its tables"
            raise outputs.refused(path, message, "write the result to another folder")


def check_folder(path: Path) -> None:
    """Refuse an output in a folder whose name a database cannot be told."""
    if not _is_utf8(real_path(path.parent)):
        raise outputs.refused(path, "the name of its folder is not UTF-8 text", "give a folder with another name")


def _is_utf8(path: Path) -> bool:
    try:
        return bool(str(path).encode())
    except UnicodeEncodeError:
        return False


def _ending(path: Path) -> str:
    """`parquet`, `csv` or `ndjson`; refused where the ending is none of theirs."""
    form = _ending_of(path)
    if form is None:
        message = f"the ending {quoted(path.suffix)} says no format" if path.suffix else "the name has no ending"
        hint = did_you_mean(path.suffix, ENDINGS) if path.suffix else None
        hint = hint or f"the ending says the format: {listed(ENDINGS)}"
        raise CaseRefused([Diagnostic(Kind.UNREADABLE, Span(str(path), 1), message, hint)])
    return form


def _ending_of(path: Path) -> str | None:
    return ENDINGS.get(path.suffix.lower())


@contextmanager
def interruptible() -> Iterator[None]:
    """A query that the reader at the keyboard ends is an interrupt like any other."""
    try:
        yield
    except RuntimeError as problem:  # the database says so in words only
        if type(problem) is RuntimeError and "interrupted" in str(problem).lower():
            raise KeyboardInterrupt from None
        raise


@contextmanager
def whole_files(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """As `outputs.whole_files`, for files that the database writes: what it does not have the room for, or cannot
    write, is a refusal too."""
    import duckdb

    for path in paths:
        check_folder(path)
    unfinished: list[Path] = []
    try:
        with outputs.whole_files(paths) as unfinished, interruptible():
            yield unfinished
        return
    except duckdb.OutOfMemoryException as problem:
        message, hint, names = f"{NO_ROOM}: {_reason(problem)}", MAKE_ROOM, str(problem)
    except duckdb.IOException as problem:
        message, hint, names = _reason(problem), "check the folder, its permissions and the space left", str(problem)
    path = next((path for path, one in zip(paths, unfinished, strict=False) if str(one) in names), paths[0])
    for named, one in zip(paths, unfinished, strict=False):
        message = message.replace(str(one), str(named))
    raise outputs.refused(path, message, hint)


def _reason(problem: Exception) -> str:
    """What the database says, without the kind of error before it and its advice after it; of CSV, line and error."""
    text = str(problem).strip() or type(problem).__name__
    if within := re.search(r'"exception_message":("(?:[^"\\]|\\.)*")', text):
        text = json.loads(within[1])  # of a write in the background: the error within the error
    in_csv = re.search(r"CSV Error on Line: (\d+)\n(?:.*\n)*?((?:Error|Expected|Value|Could|Invalid|Maximum).*)", text)
    if in_csv:
        return f"line {in_csv[1]}: {in_csv[2]}"
    return re.sub(r"^[\w ]*(?:Error|Exception): ", "", text.splitlines()[0])


# --- writing ---


@record
class Written:
    """An output. `table` is SQL that reads it, with the columns of `columns_of`; `cases` is the number of its rows."""

    table: str
    cases: int
    criteria: Criteria


@contextmanager
def writing_results(
    connection: DuckDBPyConnection, selects: Iterable[str], path: Path, criteria: Criteria,
    aside: tuple[Path, str] | None = None,
) -> Iterator[Written]:
    """Write the rows of all SELECTs, with the columns of `columns_of`, to one file: Parquet, CSV or NDJSON by its
    ending. The file appears at the end of the `with`, or not at all; until then it can be read as `Written` says.

    Each SELECT is run to its end before the next one is asked for, so that it may rest on tables that go away then; it
    may leave criteria out that its cases do not have. A list or tuple of one SELECT is written to Parquet without being
    held. Everything else stands in a temporary table first, which the database moves to its disk where memory is short.
    `aside` is a second file and its SELECT, which is run when all others are done; both files appear, or none.

    Raises CaseRefused where a file cannot be written; then nothing is left of it, and what stood there before stands.
    """
    form, columns = _ending(path), columns_of(criteria)
    connection.execute(f"DROP TABLE IF EXISTS {_STAGED}")
    try:
        with whole_files([path, *([aside[0]] if aside else [])]) as [unfinished, *second]:
            if form == "parquet" and isinstance(selects, (list, tuple)) and len(selects) == 1:
                table = f"{parquet(unfinished)} AS written({', '.join(map(name, columns))})"
                query = _typed(connection, selects[0], criteria)
            else:
                table, query = _STAGED, _FORMS[form](_STAGED, criteria)
                _stage(connection, selects, criteria)
            cases = copy(connection, query, unfinished, form, [] if form == "ndjson" else column_names(criteria))
            if aside:
                copy(connection, aside[1], second[0], _ending(aside[0]))
            yield Written(table, cases, criteria)
    finally:
        connection.execute(f"DROP TABLE IF EXISTS {_STAGED}")


def _stage(connection: DuckDBPyConnection, selects: Iterable[str], criteria: Criteria) -> None:
    """Hold the rows of all SELECTs."""
    declared = ", ".join(f"{name(column)} {kind}" for column, kind in columns_of(criteria).items())
    connection.execute(f"CREATE TEMP TABLE {_STAGED} ({declared})")
    for select in selects:
        connection.execute(f"INSERT INTO {_STAGED} {_typed(connection, select, criteria)}")


_OPTIONS = {
    "parquet": "FORMAT parquet, COMPRESSION zstd",
    "csv": "FORMAT csv, HEADER true",
    "ndjson": f"FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER {literal(_NEITHER)}",
}


def copy(
    connection: DuckDBPyConnection, select: str, unfinished: Path, form: str, names: Sequence[str] = (),
) -> int:
    """Write the rows of a SELECT as `form`, its columns called by `names` if there are any; the number of rows. For
    NDJSON it has one column: the line."""
    if are_alike(names):
        return _copied_by_arrow(connection, select, unfinished, form, names)
    if names:
        columns = [f"c{place}" for place in range(len(names))]
        listed = ", ".join(f"{column} AS {name(one)}" for column, one in zip(columns, names, strict=True))
        select = f"SELECT {listed} FROM (\n{select}\n) AS found({', '.join(columns)})"
    into = f"COPY ({select}\n) TO {literal(str(unfinished))} ({_OPTIONS[form]}, USE_TMP_FILE false)"
    counted = connection.execute(into).fetchone()
    assert counted is not None
    return int(counted[0])


def are_alike(names: Collection[str]) -> bool:
    """Whether some of these names differ in letter case alone: a database takes them for the same one."""
    return len({one.casefold() for one in names}) < len(names)


def _copied_by_arrow(
    connection: DuckDBPyConnection, select: str, unfinished: Path, form: str, names: Sequence[str]
) -> int:
    """As `copy`, of columns that a database would give other names; it takes twice as long."""
    import pyarrow
    from pyarrow import csv, parquet

    batches = connection.sql(select).to_arrow_reader(_AT_ONCE)
    kinds = [pyarrow.string() if pyarrow.types.is_dictionary(one.type) else one.type for one in batches.schema]
    schema, cases = pyarrow.schema(list(zip(names, kinds, strict=True))), 0
    with (csv.CSVWriter(unfinished, schema) if form == "csv"
          else parquet.ParquetWriter(unfinished, schema, compression="zstd")) as writer:
        for batch in batches:
            writer.write_table(pyarrow.Table.from_batches([batch]).rename_columns(names).cast(schema))
            cases += batch.num_rows
    return cases


def _typed(connection: DuckDBPyConnection, select: str, criteria: Criteria) -> str:
    """The SELECT with the columns of a result in their order and with their types."""
    select = select.strip().rstrip(";")
    columns = columns_of(criteria)
    found = {column: kind for column, kind, *_ in connection.execute(f"DESCRIBE {select}").fetchall()}
    unknown = found.keys() - columns.keys()
    lacking = {*_BEFORE, *_BEHIND} - found.keys()
    if unknown or lacking:
        raise ValueError(f"not the columns of a result: {sorted(unknown)} are unknown, {sorted(lacking)} are lacking")
    # A text of few values is written in half the time where it has a type of its own.
    columns |= {column: found[column] for column in ("policy", "phase") if found[column].startswith("ENUM")}
    values = ", ".join(
        f"{name(column) if column in found else 'NULL'}::{kind} AS {name(column)}" for column, kind in columns.items()
    )
    return f"SELECT {values} FROM (\n{select}\n)"


_AMOUNT_TEXT = r"regexp_replace(one.amount::VARCHAR, '\.?0+$', '')"
"""A decimal has a point and all its places: without needless zeros it is as it was written."""

_APPROVAL_TEXT = f"array_to_string(list_transform(approval, lambda one: {_AMOUNT_TEXT} || ' ' || one.unit), ', ')"
_APPROVAL_JSON = f"""'[' || array_to_string(list_transform(approval, lambda one:
    '{{"amount": ' || {_AMOUNT_TEXT} || ', "unit": ' || to_json(one.unit) || '}}'), ', ') || ']'"""


def _as_text(table: str, criteria: Criteria) -> str:
    """The rows with approval, missing and notices as text a person reads."""
    return f"""SELECT * REPLACE (
    {_APPROVAL_TEXT} AS approval,
    nullif(array_to_string(list_transform(missing, lambda one: one.relation || ': ' || one.why), '; '), '') AS missing,
    nullif(array_to_string(notices, '; '), '') AS notices
) FROM {table}"""


def _as_lines(table: str, criteria: Criteria) -> str:
    """The rows as lines of JSON in the determination's form. Text put together is written in half the time that the
    database's own JSON takes, and an object leaves out criteria without an answer."""
    answers = []
    for place, (_, number) in enumerate(criteria):
        cases = " ".join(f"WHEN {literal(answer)} THEN {literal(f'{_json_text(number)}: {_json_text(answer)}')}"
                         for answer in ANSWERS)
        answers.append(f"CASE {criterion_column(place)} {cases} END")
    inside = f"concat_ws(', ', {', '.join(answers)})" if answers else "''"
    return f"""SELECT concat(
    '{{"case": ', to_json("case"), ', "policy": ', to_json(policy), ', "phase": ', to_json(phase),
    ', "decision": "', decision, '", "criteria": {{', {inside}, '}}, "approval": ', coalesce({_APPROVAL_JSON}, 'null'),
    ', "missing": ', to_json(missing), ', "notices": ', to_json(notices), '}}'
) FROM {table}"""


def _json_text(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)


_FORMS = {"parquet": lambda table, criteria: f"FROM {table}", "csv": _as_text, "ndjson": _as_lines}


# --- reading ---


def parquet(path: Path) -> str:
    """SQL that reads this Parquet file, or the parts in this folder, and no other: signs of a name that stand for
    several files are escaped."""
    return f"read_parquet([{', '.join(map(_place, parts_of(path)))}], hive_partitioning = false)"


def parts_of(path: Path) -> list[Path]:
    """The files of a result, which may be a folder of them."""
    return [part for part in sorted(path.iterdir()) if _is_part(part)] if path.is_dir() else [path]


def _is_part(path: Path) -> bool:
    """A name with a dot or a line before it is of who wrote the parts."""
    return path.name[0] not in "._" and path.suffix.lower() == ".parquet"


def _place(path: Path) -> str:
    return literal(re.sub(r"([*?\[])", r"[\1]", str(path.absolute())))


def read_results(connection: DuckDBPyConnection, path: Path, table: str) -> tuple[str, ...]:
    """Make `table` (temporary) of a result's file, and give its criteria in order (`initiation 2.a.i`).

    Its columns are `case`, `policy`, `phase`, `decision`, `approval` (as text) and one for each criterion, by its place
    (`criterion_column`). What is missing and the notices are left out: of CSV they cannot be told apart again.

    Raises CaseRefused for a file that is missing or unreadable or no result of a batch, a row without a case, an answer
    that is none, and a case that has two rows.
    """
    form = _ending(path)
    if not _is_utf8(path.absolute()):
        raise _refused(path, "the name is not UTF-8 text", "give the file, and its folder, another name",
                       Kind.UNREADABLE)
    if not path.exists():
        raise _refused(path, "no such file", "check the path", Kind.UNREADABLE)
    if path.is_dir() and form == "parquet":
        names = [part.name for part in path.iterdir()]
        if "_temporary" in names:
            raise _refused(path, "it was not written to its end: `_temporary` is there", _HINT, Kind.UNREADABLE)
        if not any(map(_is_part, path.iterdir())):
            raise _refused(path, "no part of a result is in this folder", _HINT)
    elif not path.is_file():
        raise _refused(path, "not a regular file", "give a file, not a folder, a pipe or a device", Kind.UNREADABLE)
    with readable(path):
        criteria = _READERS[form](connection, path, table)
        _check_rows(connection, path, table)
    return criteria


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What the database finds wrong with a result that it reads is a refusal of the file."""
    import duckdb

    try:
        with interruptible():
            yield
    except duckdb.ConversionException as problem:
        hint = f"a decision is {listed(DECISIONS)}; a criterion's answer {listed(ANSWERS)}"
        raise _refused(path, f"the file is no result of a batch: {_reason(problem)}", hint) from None
    except duckdb.OutOfMemoryException as problem:
        raise _refused(path, f"{NO_ROOM}: {_reason(problem)}", MAKE_ROOM, Kind.UNREADABLE) from None
    except (duckdb.Error, OSError, UnicodeDecodeError, csv.Error) as problem:
        raise _refused(path, f"cannot be read: {_reason(problem)}", _HINT, Kind.UNREADABLE) from None


_HINT = "give a file that `policy-kb batch` wrote"


def _refused(path: Path, message: str, hint: str | None, kind: Kind = Kind.BAD_TABLE) -> CaseRefused:
    return CaseRefused([Diagnostic(kind, Span(str(path), 1), message, hint)])


def _criteria_in(path: Path, columns: Iterable[str]) -> tuple[str, ...]:
    """The criteria among the columns of a result: `initiation 2.a.i`, a phase and a paragraph."""
    columns = list(columns)
    lacking = [column for column in ("case", "policy", "phase", "decision") if column not in columns]
    if lacking:
        raise _refused(path, f"the file is no result of a batch: it has no {listed(lacking)}", _HINT)
    return tuple(column for column in columns if column not in columns_of(()) and " " in column)


def _answers(values: Iterable[str]) -> str:
    return "".join(f", {value}::{ANSWER_TYPE} AS {criterion_column(place)}" for place, value in enumerate(values))


def _read_by_place(columns: Sequence[str], criteria: Iterable[str]) -> tuple[str, str]:
    """The names of a file's columns in a query, whatever they are called there, and the answers for the criteria."""
    names = [column if column in columns_of(()) else f"c{place}" for place, column in enumerate(columns)]
    return ", ".join(map(name, names)), _answers(names[columns.index(criterion)] for criterion in criteria)


def _read_parquet(connection: DuckDBPyConnection, path: Path, table: str) -> tuple[str, ...]:
    from pyarrow import ArrowException
    from pyarrow import parquet as files

    try:
        columns = files.read_schema(parts_of(path)[0]).names
    except ArrowException as problem:
        raise _refused(path, f"cannot be read: {_reason(problem)}", _HINT, Kind.UNREADABLE) from None
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise _refused(path, f"the file has two columns {quoted(twice)}", _HINT)
    criteria = _criteria_in(path, columns)
    names, answers = _read_by_place(columns, criteria)
    rows = f"{parquet(path)} AS found({names})"
    kinds = {row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()}
    is_list = str(kinds.get("approval", "")).endswith("[]")
    approval = _APPROVAL_TEXT if is_list else "approval::VARCHAR" if "approval" in kinds else "NULL::VARCHAR"
    connection.execute(f"""CREATE OR REPLACE TEMP VIEW {table} AS SELECT "case"::VARCHAR AS "case",
policy::VARCHAR AS policy, phase::VARCHAR AS phase, decision::{DECISION_TYPE} AS decision, {approval} AS approval
{answers} FROM {rows}""")
    return criteria


def _read_csv(connection: DuckDBPyConnection, path: Path, table: str) -> tuple[str, ...]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header = next(csv.reader(stream), [])
    criteria = _criteria_in(path, header)
    twice = next((column for column in header if header.count(column) > 1), None)
    if twice is not None:
        raise _refused(path, f"the file has two columns {quoted(twice)}", _HINT)
    columns = ", ".join(f"c{place}: 'VARCHAR'" for place in range(len(header)))
    names, answers = _read_by_place(header, criteria)
    approval = "approval" if "approval" in header else "NULL::VARCHAR"
    connection.execute(f"""CREATE OR REPLACE TEMP TABLE {table} AS SELECT "case", policy, phase,
decision::{DECISION_TYPE} AS decision, {approval} AS approval{answers}
FROM read_csv({_place(path)}, auto_detect = false, header = true, columns = {{{columns}}}, delim = ',', quote = '"',
    escape = '"', nullstr = '', allow_quoted_nulls = false, strict_mode = true, hive_partitioning = false)
AS found({names})""")
    return criteria


def _read_ndjson(connection: DuckDBPyConnection, path: Path, table: str) -> tuple[str, ...]:
    def lines(criteria: str) -> str:
        return f"""read_json({_place(path)}, format = 'newline_delimited', hive_partitioning = false, columns = {{
    'case': 'VARCHAR', 'policy': 'VARCHAR', 'phase': 'VARCHAR', 'decision': 'VARCHAR', 'criteria': {literal(criteria)},
    'approval': {literal(_BEFORE['approval'])}}})"""

    found = connection.execute(
        f"SELECT DISTINCT phase, json_keys(criteria) FROM {lines('JSON')} WHERE criteria IS NOT NULL"
    ).fetchall()
    of_phases: dict[str, dict[str, None]] = {}
    for phase, numbers in found:
        of_phases.setdefault(str(phase), {}).update(dict.fromkeys(numbers))
    criteria = tuple(f"{phase} {number}" for phase, numbers in sorted(of_phases.items()) for number in numbers)
    every = dict.fromkeys(number for numbers in of_phases.values() for number in numbers)
    kind = f"STRUCT({', '.join(f'{name(number)} VARCHAR' for number in every)})" if every else "JSON"
    if are_alike(every):
        kind = "MAP(VARCHAR, VARCHAR)"  # takes longer
    answers = _answers(
        f"(CASE WHEN phase = {literal(phase)} THEN criteria[{literal(number)}] END)"
        for phase, numbers in sorted(of_phases.items()) for number in numbers
    )
    connection.execute(f"""CREATE OR REPLACE TEMP TABLE {table} AS SELECT "case", policy, phase,
decision::{DECISION_TYPE} AS decision, {_APPROVAL_TEXT} AS approval{answers} FROM {lines(kind)}""")
    return criteria


_READERS = {"parquet": _read_parquet, "csv": _read_csv, "ndjson": _read_ndjson}


def _check_rows(connection: DuckDBPyConnection, path: Path, table: str, most: int = 5) -> None:
    lacking = connection.execute(
        f"""SELECT count(*) FILTER ("case" IS NULL OR decision IS NULL OR phase IS NULL) FROM {table}"""
    ).fetchone()
    if lacking is not None and lacking[0]:
        message = f"the file is no result of a batch: rows without a case, phase or decision: {lacking[0]}"
        raise _refused(path, message, _HINT)
    twice = connection.execute(
        f'SELECT "case", count(*) FROM {table} GROUP BY "case" HAVING count(*) > 1 ORDER BY "case" LIMIT {most}'
    ).fetchall()
    if twice:
        hint = "a result has one row a case: remove the others, or run the batch again"
        raise CaseRefused([
            Diagnostic(Kind.DUPLICATE_CASE, Span(str(path), 1), f"the case {quoted(case)} has {rows} rows", hint)
            for case, rows in twice
        ])
