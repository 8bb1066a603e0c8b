"""The tables of a batch as they are found: in a folder of Parquet and CSV files, or in a DuckDB database file.

Only stored rows are read: what a database would compute as it is read is refused. A name never becomes SQL but in
quotes, and a file is read under another (`policy_kb.batch.files`).
"""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from policy_kb.batch.files import Files, Held
from policy_kb.batch.shape import CASE, is_tables
from policy_kb.batch.values import DUCKDB
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, listed, quoted
from policy_kb.record import record
from policy_kb.source import Span, display_name, real_path

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

INCOMPLETE_TABLE, STATED_TABLE = "_incomplete", "_stated"
LISTINGS = (INCOMPLETE_TABLE, STATED_TABLE)
"""Tables that list relations of cases: those whose rows are not the whole story, and those whose rows are."""

ENDINGS = (".parquet", ".csv")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_LONGEST_HEADER = 1_000_000
_DATABASE = "batch_input"
_ERRORS, _SCANS = "batch_csv_errors", "batch_csv_scans"
_NOT_UTF8 = "INVALID ENCODING"
_FAULTS = ("TOO MANY COLUMNS", "MISSING COLUMNS", _NOT_UTF8)
"""What is wrong with one line of a CSV file; anything else makes it unclear where its lines end."""


@record
class BadLine:
    """A line of a CSV file that is no row. `number` counts from 1 with the header; `case` is what seems to name its
    case."""

    number: int
    case: str | None
    message: str
    hint: str


@record
class Source:
    """A table. `rows` is what stands after FROM; `columns` gives the database's type of each column, by name.

    `place` is how messages name the table. `line` gives, for the number of a row counted from 1, the number to show: in
    a CSV file, of the line.
    """

    name: str
    place: str
    rows: str
    columns: dict[str, str]
    bad_lines: tuple[BadLine, ...] = ()
    line: Callable[[int], int] | None = None


class Finds:
    """Collects sources, and what is wrong with them."""

    def __init__(self, connection: DuckDBPyConnection, files: Files):
        self.connection = connection
        self.files = files
        self.sources: list[Source] = []
        self.problems: list[Diagnostic] = []

    def add(self, kind: Kind, place: str, message: str, hint: str | None = None, line: int = 1) -> None:
        self.problems.append(Diagnostic(kind, Span(place, line), message, hint))

    def held(self, path: Path, place: str) -> Held | None:
        """A file, held open; None, and a problem, where it cannot be."""
        try:
            return self.files.open(path, place)
        except CaseRefused as refused:
            self.problems += refused.diagnostics
            return None


Refusal = Callable[[str], tuple[str, str | None] | None]
"""Why there can be no table of a name, with a hint."""


def find_in_folder(connection: DuckDBPyConnection, files: Files, folder: Path, refusal: Refusal) -> Finds:
    """The tables `NAME.parquet` and `NAME.csv` of a folder; other files are passed over.

    A CSV file is read into a table of the database, all of its columns as text; `NAME.parquet` may be a folder with the
    parts of a table.
    """
    finds = Finds(connection, files)
    place = display_name(folder)
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as problem:
        finds.add(Kind.UNREADABLE, place, f"cannot be read: {problem.strerror}", "give a folder of tables")
        return finds
    tables: dict[str, list[Path]] = {}
    for path in entries:
        packed = path.suffix.casefold() in _PACKED and Path(path.stem).suffix.casefold() in ENDINGS
        if packed:
            finds.add(Kind.BAD_TABLE, _place(path), "a packed table is not read", "unpack it")
        elif path.suffix.casefold() in ENDINGS:
            tables.setdefault(path.stem, []).append(path)
    if not tables and not finds.problems:
        hint = "a folder holds one table for each relation, such as `request.parquet` or `request.csv`"
        finds.add(Kind.BAD_TABLE, place, "no table is in this folder", hint)
    for name, paths in tables.items():
        refused = refusal(name)
        if refused:
            finds.add(Kind.UNKNOWN_RELATION, _place(paths[0]), *refused)
        elif len(paths) > 1:
            names = listed((path.name for path in paths), "and")
            finds.add(Kind.BAD_TABLE, _place(paths[0]), f"`{name}` has two tables: {names}", "remove one of them")
        elif paths[0].suffix.casefold() == ".csv":
            _find_csv(finds, name, paths[0])
        else:
            _find_parquet(finds, name, paths[0])
    return finds


def find_in_database(connection: DuckDBPyConnection, files: Files, path: Path, refusal: Refusal) -> Finds:
    """The tables of the main schema of a DuckDB database file, which is opened for reading alone; see
    `find_in_folder`."""
    finds = Finds(connection, files)
    place = display_name(path)
    held = finds.held(path, place)
    if held is None or not _attach(finds, place, held):
        return finds
    tables = connection.execute(
        "SELECT table_name, sql FROM duckdb_tables() WHERE database_name = $1 AND schema_name = 'main' ORDER BY 1",
        [_DATABASE],
    ).fetchall()
    computed = _computed(connection)
    if not tables and not computed:
        hint = "a database holds one table for each relation, such as `request`, in its main schema"
        finds.add(Kind.BAD_TABLE, place, "no table is in this database", hint)
    for name, message, hint in computed:
        finds.add(Kind.BAD_TABLE, f"{place}/{name}", message, hint)
    for name, declared in tables:
        refused = refusal(name)
        if refused:
            finds.add(Kind.UNKNOWN_RELATION, place, *refused)
        elif all(name != other for other, *_ in computed):
            rows = f"{_DATABASE}.main.{DUCKDB.name(name)}"
            if "COLLATE" in declared.upper():
                rows = _compared_as_written(connection, rows)
            _describe(finds, name, f"{place}/{name}", rows)
    return finds


def _attach(finds: Finds, place: str, held: Held) -> bool:
    """Open a database for reading alone; False, and a problem, where that cannot be."""
    import duckdb

    path = real_path(held.path)
    if not is_tables(path):
        hint = "give a database file, a folder of tables, or an NDJSON file"
        finds.add(Kind.UNREADABLE, place, "not a DuckDB database", hint)
        return False
    # What stands there would be done while the database is opened.
    if any(path.with_name(f"{path.name}{end}").exists() for end in (".wal", ".wal.checkpoint", ".wal.recovery")):
        message = f"the database was not closed: {quoted(f'{path.name}.wal')} is beside it"
        finds.add(Kind.UNREADABLE, place, message, "open it with DuckDB and close it, which writes that into it")
        return False
    try:
        str(path).encode()
    except UnicodeEncodeError:
        message = "the database cannot be opened: its path is not UTF-8"
        finds.add(Kind.UNREADABLE, place, message, "give it, and the folders it is in, other names")
        return False
    finds.connection.execute(f"DETACH DATABASE IF EXISTS {_DATABASE}")
    try:
        finds.connection.execute(f"ATTACH {DUCKDB.text(str(path))} AS {_DATABASE} (TYPE duckdb, READ_ONLY)")
    except duckdb.Error as bad:
        hint = "close it where it is open" if "lock" in str(bad) else "write it anew"
        if "newer" in str(bad):
            hint = "write it with a version of DuckDB that is not newer than this one"
        finds.add(Kind.UNREADABLE, place, f"the database cannot be opened: {first_line(bad)}", hint)
        return False
    return True


def _computed(connection: DuckDBPyConnection) -> list[tuple[str, str, str]]:
    """What is no stored row in the main schema of the database: its name, or that of its table, what it is, and a hint.
    What is computed may read any file there is, or never end."""
    in_main = "database_name = $1 AND schema_name = 'main'"
    found = []
    for name, column in connection.execute(
        f"SELECT table_name, column_name FROM duckdb_columns() WHERE {in_main} AND is_generated ORDER BY ALL",
        [_DATABASE],
    ).fetchall():
        message = f"the column {quoted(column)} of {quoted(name)} is computed when it is read; only stored rows are"
        found.append((name, message, f"store its values: `CREATE TABLE ... AS FROM {quoted(name)[1:-1]}`"))
    for name, in connection.execute(
        f"SELECT view_name FROM duckdb_views() WHERE {in_main} AND NOT internal ORDER BY 1", [_DATABASE]
    ).fetchall():
        hint = f"write it to a table: `CREATE TABLE ... AS FROM {quoted(name)[1:-1]}`"
        found.append((name, f"{quoted(name)} is a view, not a table", hint))
    for name, in connection.execute(
        f"SELECT DISTINCT function_name FROM duckdb_functions() WHERE {in_main} AND NOT internal ORDER BY 1",
        [_DATABASE],
    ).fetchall():
        found.append((name, f"{quoted(name)} is a macro, not a table", "remove it, or keep it in another schema"))
    return found


def _compared_as_written(connection: DuckDBPyConnection, rows: str) -> str:
    """The rows of a table whose columns may be declared to be compared without regard to letter case or accents."""
    columns = connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()
    texts = [DUCKDB.name(column) for column, type_, *_ in columns if type_ == "VARCHAR"]
    binary = ", ".join(f'{text} COLLATE "binary" AS {text}' for text in texts)
    return f"(SELECT * REPLACE ({binary}) FROM {rows})" if texts else rows


@contextmanager
def reading(place: str) -> Iterator[None]:
    """Refuse the batch where a table turns out to be unreadable while it is read."""
    import duckdb

    try:
        yield
    except (duckdb.InterruptException, duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException):
        raise
    except duckdb.Error as problem:
        message, hint = f"cannot be read: {re.sub('/dev/fd/[0-9]+', 'the file', first_line(problem))}", "write it anew"
        if isinstance(problem, duckdb.OutOfMemoryException) or "No space left" in str(problem):
            message, hint = f"{NO_ROOM}: {first_line(problem)}", MAKE_ROOM
        raise CaseRefused([Diagnostic(Kind.UNREADABLE, Span(place, 1), message, hint)]) from None


NO_ROOM = "the memory or the space for temporary files is not enough"
MAKE_ROOM = "free some space, or set TMPDIR to a folder with more of it"


def _place(path: Path) -> str:
    """How messages name an entry of a folder: by its own name, wherever a link leads."""
    return str(Path(display_name(path.parent)) / path.name)


def first_line(problem: Exception) -> str:
    return quoted(str(problem).partition("\n")[0], 200)[1:-1]


def _describe(finds: Finds, name: str, place: str, rows: str) -> None:
    with reading(place):
        found = finds.connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()
        finds.sources.append(Source(name, place, rows, {column: type_ for column, type_, *_ in found}))


# Parquet


def _find_parquet(finds: Finds, name: str, path: Path) -> None:
    import duckdb

    place = _place(path)
    parts = {}
    for part in _parts(finds, path) if path.is_dir() else [path]:
        held = finds.held(part, place if part is path else f"{place}/{part.name}")
        if held is None:
            return
        parts[held.name] = part.name
    if not parts:
        return
    try:
        if len(parts) > 1 and (odd := _odd_part(finds.connection, list(parts))):
            message = f"the part {quoted(parts[odd])} has other columns than the first part"
            finds.add(Kind.BAD_TABLE, place, message, "write all parts with the same columns and types")
            return
        _describe(finds, name, place, f"read_parquet({_listing(parts)}, hive_partitioning=false)")
    except (duckdb.Error, CaseRefused):
        finds.add(Kind.UNREADABLE, place, "not a Parquet file, or a damaged one", "write it anew")


def _parts(finds: Finds, folder: Path) -> list[Path]:
    """The files of a table in parts, by name. A name with a dot or a line before it is of who wrote them."""
    place = _place(folder)
    try:
        entries = sorted(folder.iterdir())
    except OSError as problem:
        finds.add(Kind.UNREADABLE, place, f"cannot be read: {problem.strerror}", "check its permissions")
        return []
    if any(entry.name == "_temporary" for entry in entries):
        finds.add(Kind.UNREADABLE, place, "it was not written to its end: `_temporary` is there", "write it anew")
        return []
    entries = [entry for entry in entries if entry.name[0] not in "._"]
    if any(entry.is_dir() for entry in entries):
        finds.add(Kind.BAD_TABLE, place, "a folder is among the parts", "write the parts without partitions by column")
        return []
    parts = [entry for entry in entries if entry.suffix.casefold() == ".parquet"]
    if not parts:
        finds.add(Kind.BAD_TABLE, place, "no part of a table is in this folder", "parts end in `.parquet`")
    return parts


def _listing(files: Iterable[str]) -> str:
    return f"[{', '.join(map(DUCKDB.text, files))}]"


def _odd_part(connection: DuckDBPyConnection, files: Sequence[str]) -> str | None:
    """The first file whose columns are not those of the first file."""
    found = dict(connection.execute(
        "SELECT file_name, list((name, type, converted_type, CAST(logical_type AS VARCHAR), precision, scale) "
        f"ORDER BY name) FROM parquet_schema({_listing(files)}) WHERE num_children IS NULL OR num_children = 0 "
        "GROUP BY file_name"
    ).fetchall())
    columns = [found.get(file) for file in files]
    return next((file for file, own in zip(files, columns, strict=True) if own != columns[0]), None)


# CSV


def _find_csv(finds: Finds, name: str, path: Path) -> None:
    import duckdb

    place = _place(path)
    held = finds.held(path, place)
    columns = _header(finds, place, held) if held is not None else None
    if held is None or columns is None:
        return
    connection, table = finds.connection, DUCKDB.name(f"batch_csv_{name}")
    types = ", ".join(f"{DUCKDB.text(column)}: 'VARCHAR'" for column in columns)
    connection.execute(f"DROP TABLE IF EXISTS {_ERRORS}; DROP TABLE IF EXISTS {_SCANS}")
    try:
        connection.execute(
            f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM read_csv([{DUCKDB.text(held.name)}], "
            f"auto_detect=false, header=true, columns={{{types}}}, delim=',', quote='\"', escape='\"', nullstr='', "
            f"allow_quoted_nulls=true, hive_partitioning=false, compression='none', store_rejects=true, "
            f"rejects_table='{_ERRORS}', rejects_scan='{_SCANS}', rejects_limit=0)"
        )
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        hint = "end all lines alike, and put text with a comma, a quote or a line break in double quotes"
        finds.add(Kind.UNREADABLE, place, "cannot be read as CSV", hint)
        return
    errors = connection.execute(
        f"SELECT line, min(error_type), min(csv_line) FROM {_ERRORS} GROUP BY line ORDER BY line"
    ).fetchall()
    lines = _Lines(held, [line for line, *_ in errors], len(columns))
    bad_lines = []
    for line, fault, text in errors:
        number = lines.of_record(line)
        if fault not in _FAULTS:
            hint = "put text with a comma, a quote or a line break in double quotes, and double each quote inside it"
            finds.add(Kind.UNREADABLE, place, "a value in quotes does not end, or the line is too long", hint, number)
            return
        bad_lines.append(BadLine(number, _case_of(text, columns), *_said(fault, name, text, columns)))
    connection.execute(f"DROP TABLE IF EXISTS {_ERRORS}; DROP TABLE IF EXISTS {_SCANS}")
    types_by_name = dict.fromkeys(columns, "VARCHAR")
    finds.sources.append(Source(name, place, table, types_by_name, tuple(bad_lines), lines.of_row))


def _header(finds: Finds, place: str, held: Held) -> list[str] | None:
    """The names of the columns, each once; None, and a problem, where there is something wrong with them."""
    try:
        with held.stream() as file:
            first = re.split(rb"[\r\n]", file.readline(_LONGEST_HEADER), maxsplit=1)[0]
        columns = next(csv.reader([first.decode("utf-8-sig")], strict=True), [])
    except UnicodeDecodeError:
        finds.add(Kind.UNREADABLE, place, "not UTF-8 text", "save the file as UTF-8")
        return None
    except csv.Error:
        finds.add(Kind.BAD_TABLE, place, "the first line does not name the columns", "write their names alone")
        return None
    if not any(column.strip() for column in columns):
        hint = f"the first line names the columns, such as `{CASE}`"
        finds.add(Kind.BAD_TABLE, place, "the table has no header", hint)
        return None
    if len(columns) == 1 and (sign := next((sign for sign in ";\t|" if sign in columns[0]), None)):
        shown = "a tab" if sign == "\t" else f"`{sign}`"
        finds.add(Kind.BAD_TABLE, place, f"between the columns stands {shown}, not a comma", "write commas")
        return None
    for number, column in enumerate(columns):
        # A database does not mind letter case.
        if column.casefold() in (earlier.casefold() for earlier in columns[:number]):
            finds.add(Kind.BAD_TABLE, place, f"the column {quoted(column)} stands twice", "name each column once")
            return None
    return columns


def _said(fault: str, name: str, text: str, columns: Sequence[str]) -> tuple[str, str]:
    """What is wrong with a line, with a hint."""
    if fault == _NOT_UTF8:
        return "not UTF-8 text", "save the file as UTF-8"
    number = len(_fields(text))
    message = f"{number} column{'' if number == 1 else 's'} where `{name}` has {len(columns)}"
    hint = f"between the columns stands a comma: {listed(columns, 'and')}; text with a comma is put in double quotes"
    return message, hint


def _case_of(text: str, columns: Sequence[str]) -> str | None:
    fields = _fields(text)
    position = columns.index(CASE) if CASE in columns else len(fields)
    return fields[position] if position < len(fields) else None


def _fields(text: str) -> list[str]:
    try:
        return next(csv.reader([text.strip("\r\n")]), [])
    except csv.Error:
        return []


class _Lines:
    """Which lines of a CSV file its rows stand on: read again, when it is asked for.

    A database counts records (and empty lines), the header first, but a value may go over several lines. `refused` are
    the records that are no rows.
    """

    def __init__(self, held: Held, refused: Sequence[int], columns: int):
        self.held = held
        self.refused = frozenset(refused)
        self.columns = columns
        self._records = array("Q")
        self._rows = array("Q")

    def of_record(self, record: int) -> int:
        self._read()
        return self._records[record - 1] if record <= len(self._records) else record

    def of_row(self, row: int) -> int:
        self._read()
        return self._rows[row - 1] if row <= len(self._rows) else row + 1

    def _read(self) -> None:
        if self._records:
            return
        longest = csv.field_size_limit(2**31 - 1)
        try:
            with TextIOWrapper(self.held.stream(), encoding="utf-8-sig", errors="replace", newline="") as file:
                reader = csv.reader(file)
                line = 1
                for number, fields in enumerate(reader, start=1):
                    self._records.append(line)
                    if number > 1 and number not in self.refused and (fields or self.columns == 1):
                        self._rows.append(line)
                    line = reader.line_num + 1
        except (csv.Error, OSError):
            # What a database reads and this does not: the records are counted as lines.
            pass
        finally:
            csv.field_size_limit(longest)
