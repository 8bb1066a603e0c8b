"""A batch in tables, one for each case relation: read, checked, and prepared as `policy_kb.batch.shape` says.

What a case by itself would be refused for refuses it here, and no other case; what is wrong with a table as such
refuses the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policy_kb.batch.columns import (
    NAME,
    Column,
    Columns,
    Reason,
    has_a_row,
    no_row,
    second_row,
    shown,
)
from policy_kb.batch.dialect import DUCKDB as SQL
from policy_kb.batch.files import Files
from policy_kb.batch.openness import Stating, given_as, stating_of
from policy_kb.batch.shape import AS_STATED, CASE, OPEN_TABLE, UNCERTAIN, Complete, Openness, Shape
from policy_kb.batch.sources import (
    INCOMPLETE_TABLE,
    LISTINGS,
    STATED_TABLE,
    Source,
    find_in_database,
    find_in_folder,
    reading,
)
from policy_kb.batch.values import DUCKDB, BadColumnError, Dialect, ShortestDecimal, TextReader, ValueSql
from policy_kb.check.checked import CheckedProgram, Relation
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind
from policy_kb.load.cases import INCOMPLETE, REQUEST, is_single
from policy_kb.load.documents import Document
from policy_kb.load.nodes import Entry, Form, Node, Scalar
from policy_kb.load.nodes import Mapping as MappingNode
from policy_kb.load.nodes import Sequence as SequenceNode
from policy_kb.load.values import Known
from policy_kb.record import record
from policy_kb.source import Span, display_name, real_path

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_PROBLEMS = 100
"""Problems of rows that are given with their hints; all of them stand in the table `batch_rejected`."""

REJECTED_TABLE = "batch_rejected"
_REJECTED_CASES, _FOUND, _REASONS = "batch_rejected_cases", "batch_found", "batch_reasons"
_STATES = "batch_states"
_CHUNK = 20_000

# What is wrong with a row as a whole stands in the place of a column's number.
_NO_REQUEST, _SECOND, _MISSING, _BAD_LINE = -1, -2, -3, -4

_Said = tuple[Span, tuple[str | None, ...]]
"""A row of a table: its place, and its values by column as a case would say them."""

_name = DUCKDB.name
_ROW = _name("#row")


@record
class Problem:
    """What is wrong with one row. `row` counts the rows of the table from 1 (in a CSV file: its line), and is None
    where a row is missing; `case` is None where the row has no readable name of a case. `place` is how messages name
    the file of the table. `diagnostic` is what a case that was decided by itself is told."""

    table: str
    row: int | None
    case: str | None
    reason: str
    hint: str | None = None
    place: str | None = None
    diagnostic: Diagnostic | None = None


@record
class Batch:
    """The cases of a batch, in the prepared tables of `connection`, without the rejected ones.

    `cases` is the number of names of cases in all tables, `rejected` of those among them with a problem, `rows` the
    number of rows that were read. Of `unnamed` rows nobody can say which case they belong to. `problems` are the first
    hundred, by table in the order of the declarations, row and column; all stand in the table `batch_rejected` (`case`,
    `table`, `row`, `reason`). That the rows of the relations `unasked` are of cases with a request, and that a case has
    no second row of those of which it can have one, is still to be found out. `files` are those that are read anew when
    cases are decided, and `places` how messages name the tables in them, by relation. `unstated` are the relations with
    a table that are open for a case without a row in it.
    """

    connection: DuckDBPyConnection
    shape: Shape
    cases: int
    rows: int
    rejected: int
    unnamed: int
    problems: tuple[Problem, ...]
    files: Files = field(default_factory=Files)
    unasked: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    unstated: tuple[str, ...] = ()

    @contextmanager
    def reading(self, path: Path) -> Iterator[None]:
        """Refuse the batch at `path` where a table turns out to be unreadable only as its cases are decided. Raises
        CaseRefused that names the table."""
        import duckdb

        try:
            yield
        except duckdb.Error as problem:
            for name, place in self.places.items():
                if not (name in self.shape and self.shape[name].has_rows):
                    continue
                with reading(place):
                    self.connection.execute(f"SELECT max(hash(given)) FROM main.{self.shape[name].table} AS given")
            with reading(str(path)):
                raise problem


def read_tables(
    program: CheckedProgram,
    known: Known,
    path: Path,
    *,
    connection: DuckDBPyConnection | None = None,
    files: Files | None = None,
    complete: Complete = AS_STATED,
    leave_names: bool = False,
    writes_to: Iterable[Path] | None = None,
) -> Batch:
    """The batch in a folder of tables `RELATION.parquet` or `RELATION.csv`, or in a DuckDB database file.

    `known` holds the rows of the known relations. What is known of a case without a row of a relation, is said by
    `policy_kb.batch.openness.Stating`. The prepared tables are made in `connection`, which is opened in memory if it is
    not given; they read the `files` anew. `leave_names`: where nothing else is wrong, it is left to who decides the
    cases to find rows of a case without a request and second rows of a case, which takes half of the reading.
    `writes_to`: folders in which the connection may still write; it then reaches no other file, but those of the
    tables.

    Raises CaseRefused with all problems of the tables: one that is missing, unreadable or of no case relation, a
    column that is missing, unknown or of a type that cannot hold its values. Rows are not refused but rejected with
    their cases, and listed.
    """
    connection = connection if connection is not None else connect()
    with _in_order(connection):
        files = files or Files()
        reader = _Reader(program, known, connection, files, path, complete)
        if writes_to is not None:
            enclose(connection, files, writes_to)
        return reader.batch(leave_names)


def read_case(
    program: CheckedProgram, known: Known, path: Path, case: str, complete: Complete = AS_STATED
) -> Document | None:
    """What tables say of one case, as a document whose rows have the places of their tables; None where there is no
    such case. Raises CaseRefused as `read_tables`, and where the case would be rejected."""
    connection, files = connect(), Files()
    with files.unchanged(), _in_order(connection):
        reader = _Reader(program, known, connection, files, path, complete, case)
        enclose(connection, files, ())
        batch = reader.batch()
        if batch.problems:
            raise CaseRefused([
                Diagnostic(Kind.REFUSED_ROW, Span(one.place or str(path), one.row or 1), one.reason, one.hint)
                for one in batch.problems
            ])
        return reader.document(case)


def connect(database: str = ":memory:") -> DuckDBPyConnection:
    """A database that loads nothing and takes no name for a variable or a file."""
    import duckdb

    settings: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    connection = duckdb.connect(database, config=settings)
    connection.execute("SET enable_progress_bar = false")
    return connection


def enclose(connection: DuckDBPyConnection, files: Files, writes_to: Iterable[Path]) -> None:
    """From now on the database reaches no file but those held open, and what is in the folders `writes_to`."""
    for setting, names in (("paths", files.names), ("directories", [str(real_path(one)) for one in writes_to])):
        listed = ", ".join(map(DUCKDB.text, sorted(set(names))))
        connection.execute(f"SET allowed_{setting} = [{listed}]")
    connection.execute("SET enable_external_access = false")


@contextmanager
def _in_order(connection: DuckDBPyConnection) -> Iterator[None]:
    """Rows are numbered in the order of their table."""
    [(before,)] = connection.execute("SELECT current_setting('preserve_insertion_order')").fetchall()
    connection.execute("SET preserve_insertion_order = true")
    try:
        yield
    finally:
        connection.execute(f"SET preserve_insertion_order = {'true' if before else 'false'}")


def register(connection: Any, name: str, function: TextReader | ShortestDecimal) -> None:
    """Make a function of the connection that reads the texts of a column."""
    connection.execute("SELECT 1").fetchall()  # what was asked last may not be read to its end
    connection.create_function(name, function, ["VARCHAR"], SQL.types[function.kind], null_handling="special")


class _Table:
    """A table with its columns, in the order of the declaration: `case` first, `uncertain` last."""

    def __init__(self, number: int, source: Source, columns: Sequence[Column], is_numbered: bool):
        self.number = number
        self.source = source
        self.is_numbered = is_numbered
        self.columns = list(columns)
        self.rows = 0
        self.uncertain = 0
        self.is_bad = False
        self.has_unnamed = False

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def case(self) -> ValueSql:
        return self.columns[0].sql

    def keep_as_it_is(self, column: Column) -> None:
        """All values of a column are what they become."""
        place = self.columns.index(column)
        self.columns[place] = replace(column, sql=replace(column.sql, value=_name(column.name)))

    @property
    def numbered(self) -> str:
        """The rows with their numbers, in a column that no attribute has the name of."""
        return self.source.rows if self.is_numbered else _numbered(self.source.rows)

    def line(self, row: int) -> int:
        """The number to show of a row."""
        return self.source.line(row) if self.source.line is not None else row


def _numbered(rows: str) -> str:
    return f"(SELECT row_number() OVER () AS {_ROW}, * FROM {rows})"


class _Reader:
    """Reads tables: those of all cases, or what they say of the one named `case`."""

    def __init__(
        self, program: CheckedProgram, known: Known, connection: DuckDBPyConnection, files: Files, path: Path,
        complete: Complete, case: str | None = None,
    ):
        self.columns = Columns(program, known, Dialect(partial(register, connection)))
        self.inputs = self.columns.inputs
        self.connection, self.files = connection, files
        self.path, self.place = path, display_name(path)
        self.complete = complete
        self.case_name, self.name_of = case, TextReader(NAME, self.columns.values)
        find = find_in_folder if path.is_dir() else find_in_database
        self.finds = find(connection, files, path, self.columns.refusal)
        self.tables: dict[str, _Table] = {}

    def batch(self, leave_names: bool = False) -> Batch:
        sources = {source.name: source for source in self.finds.sources}
        for number, name in enumerate([*self.inputs, *LISTINGS]):
            if name in sources:
                self.add_table(number, sources[name])
        for message, hint in self.columns.alike():
            self.problem(Kind.BAD_TABLE, message, hint)
        if not self.finds.problems:
            for message, hint in self.columns.lacking(self.tables):
                self.problem(Kind.MISSING_RELATION, message, hint)
        if self.finds.problems:
            raise CaseRefused(self.finds.problems)
        for table in self.tables.values():
            self.count(table)
        self.connection.execute(
            f"CREATE OR REPLACE TABLE {_FOUND} (number INTEGER, batch_row BIGINT, batch_case VARCHAR, "
            "place INTEGER, said VARCHAR)"
        )
        for table in self.tables.values():
            if table.is_bad:
                self.find_bad_values(table)
        unasked: list[_Table] = []
        if leave_names and not any(table.is_bad or table.source.bad_lines for table in self.tables.values()):
            unasked = [table for name, table in self.tables.items() if table.rows and name not in LISTINGS]
        is_changed = self.normalise_names(self.tables[REQUEST])
        for table in self.tables.values():
            # Names of a case that are not written alike are names without a request, and found out as such.
            if is_changed or table not in unasked:
                self.normalise_names(table)
        self.find_second_rows(unasked)
        self.find_without_request(unasked)
        self.find_missing_rows()
        problems, unnamed = self.reject()
        cases, rejected = self.count_cases()
        shape, unstated = self.prepare(rejected)
        rows = sum(table.rows for table in self.tables.values())
        return Batch(
            self.connection, shape, cases, rows, rejected, unnamed, problems, self.files,
            tuple(table.name for table in unasked), self.places, unstated,
        )

    @property
    def places(self) -> Mapping[str, str]:
        return {name: table.source.place for name, table in self.tables.items()}

    # the tables as such

    def problem(self, kind: Kind, message: str, hint: str | None, place: str | None = None) -> None:
        self.finds.problems.append(Diagnostic(kind, Span(place or self.place, 1), message, hint))

    def add_table(self, number: int, source: Source) -> None:
        """Check the columns of a table, and take it up."""
        names, problems = self.columns.names(source)
        if problems:
            self.finds.problems += problems
            return
        rows = self.number_of_rows(source)
        if not rows:
            # Who writes a table of no rows often has no types for its columns.
            nothing = ", ".join(f"CAST(NULL AS VARCHAR) AS {_name(name)}" for name in names)
            types = dict.fromkeys(names, "VARCHAR")
            source = replace(source, rows=f"(SELECT {nothing} WHERE FALSE)", columns=types)
        columns = []
        for name in names:
            try:
                columns.append(self.columns.column(source, name))
            except BadColumnError as bad:
                self.problem(Kind.WRONG_TYPE, bad.message, bad.hint, source.place)
        if len(columns) < len(names):
            return
        if self.case_name is not None:
            source = self.of_case(source, columns[0])
            rows = self.number_of_rows(source)
        table = self.tables[source.name] = _Table(number, source, columns, self.case_name is not None)
        table.rows = rows

    def number_of_rows(self, source: Source) -> int:
        with reading(source.place):
            [(number,)] = self.connection.execute(f"SELECT count(*) FROM {source.rows}").fetchall()
        return int(number)

    def of_case(self, source: Source, case: Column) -> Source:
        """The rows of the case alone, with their numbers in the table."""
        bad_lines = tuple(line for line in source.bad_lines if self.name_of(line.case) == self.case_name)
        rows = f"batch_rows_{len(self.tables)}"
        with reading(source.place):
            self.connection.execute(
                f"CREATE OR REPLACE TABLE {rows} AS SELECT * FROM {_numbered(source.rows)} WHERE {case.sql.accepts} "
                f"AND {case.sql.value} = {DUCKDB.text(str(self.case_name))}"
            )
        return replace(source, rows=rows, bad_lines=bad_lines)

    # the rows

    def count(self, table: _Table) -> None:
        """Count the rows that are not certain, and find out whether there is anything wrong with the values."""
        # Where a case is known from its request, its name is readable.
        columns = table.columns if table.name == REQUEST else table.columns[1:]
        often = [column for column in columns if column.is_text and column.name not in (CASE, UNCERTAIN)]
        accepts = " AND ".join(column.sql.accepts for column in columns if column not in often) or "TRUE"
        last = table.columns[-1]
        uncertain = f"count(*) FILTER (WHERE {last.sql.value})" if last.name == UNCERTAIN else "0"
        rows = table.source.rows
        bad = f"count(*) FILTER (WHERE NOT ({accepts}))"
        refused, table.uncertain = self.one(f"SELECT {bad}, {uncertain} FROM {rows}", table)
        for column in often:
            name, other = _name(column.name), column.sql.is_unusual
            bad_texts = changed = 0
            # Of a Parquet file, this reads little more than which texts there are.
            if other is None or self.one(f"SELECT count(*) FROM {rows} WHERE {other}", table)[0]:
                # A text is dear to check and often said: each is checked once.
                bad_texts, changed = self.one(
                    f"SELECT count(*) FILTER (WHERE NOT {column.sql.accepts}), "
                    f"count(*) FILTER (WHERE {column.sql.changes}) "
                    f"FROM (SELECT DISTINCT {name} FROM {rows})", table
                )
            refused += bad_texts
            if not bad_texts and not changed:
                table.keep_as_it_is(column)
        table.is_bad = refused > 0

    def normalise_names(self, table: _Table) -> bool:
        """Let the names of cases be read in their normal form; whether any is not written so."""
        case, name, rows = table.case, _name(CASE), table.source.rows
        is_changed = f"{case.accepts} AND {case.changes}"
        if not self.one(f"SELECT count(*) FROM {rows} WHERE {is_changed}", table)[0]:
            return False
        normal = f"CASE WHEN {is_changed} THEN {case.value} ELSE {name} END AS {name}"
        table.source = replace(table.source, rows=f"(SELECT * REPLACE ({normal}) FROM {rows})")
        return True

    @contextmanager
    def reading(self, tables: Sequence[_Table]) -> Iterator[None]:
        """As `reading`, of several tables: the unreadable one is looked for."""
        try:
            with reading(tables[0].source.place if len(tables) == 1 else self.place):
                yield
        except CaseRefused:
            for table in tables if len(tables) > 1 else ():
                self.one(f"SELECT count(DISTINCT {_name(CASE)}) FROM {table.source.rows}", table)
            raise

    def one(self, query: str, *tables: _Table) -> tuple[int, ...]:
        """The one row of a query over these tables."""
        with self.reading(tables):
            [row] = self.connection.execute(query).fetchall()
        return tuple(row)

    def find(self, query: str, *tables: _Table) -> None:
        """Add what a query gives to what was found."""
        with self.reading(tables):
            self.connection.execute(f"INSERT INTO {_FOUND} {query}")

    def find_bad_values(self, table: _Table) -> None:
        """List every value of a table that is refused."""
        columns = table.columns
        picked = "".join(
            f", {column.sql.accepts} AS accepts_{number}, {column.sql.text} AS said_{number}"
            for number, column in enumerate(columns)
        )
        self.connection.execute("DROP TABLE IF EXISTS batch_bad")
        with reading(table.source.place):
            self.connection.execute(
                f"CREATE TABLE batch_bad AS SELECT * FROM (SELECT {_ROW} AS batch_row, {table.case.value} AS "
                f"batch_case{picked} FROM {table.numbered}) "
                f"WHERE NOT ({' AND '.join(f'accepts_{number}' for number in range(len(columns)))})"
            )
        for number in range(len(columns)):
            self.find(
                f"SELECT {table.number}, batch_row, CASE WHEN accepts_0 THEN batch_case END, {number}, said_{number} "
                f"FROM batch_bad WHERE NOT accepts_{number}", table
            )
        self.connection.execute("DROP TABLE batch_bad")

    def find_second_rows(self, unasked: Sequence[_Table]) -> None:
        """List the rows but the first of a case where it can have only one; but of the tables `unasked`."""
        for name, table in self.tables.items():
            if name in LISTINGS or not is_single(self.inputs[name]) or table in unasked:
                continue
            case, rows = _name(CASE), table.source.rows
            twice = f"SELECT {case} FROM {rows} WHERE {case} IS NOT NULL GROUP BY {case} HAVING count(*) > 1"
            if not self.one(f"SELECT count(*) FROM ({twice})", table)[0]:
                continue
            self.find(
                f"SELECT {table.number}, {_ROW}, {case}, {_SECOND}, NULL FROM {table.numbered} "
                f"WHERE {table.case.accepts} AND {case} IN ({twice}) "
                f"QUALIFY row_number() OVER (PARTITION BY {case} ORDER BY {_ROW}) > 1", table
            )

    def find_without_request(self, unasked: Sequence[_Table]) -> None:
        """List the cases that have rows but no request, each at its first row, and the rows without a case; but of the
        tables `unasked`."""
        case, request = _name(CASE), self.tables[REQUEST]
        all_others = [table for table in self.tables.values() if table is not request]
        others = [table for table in all_others if table.rows and table not in unasked]
        self.find_bad_lines(request)
        lines = f"SELECT batch_case FROM {_FOUND} WHERE number = {request.number} AND place = {_BAD_LINE}"
        requested = f"(SELECT {case} AS batch_case FROM {request.source.rows} WHERE {request.case.accepts} " \
                    f"UNION ALL {lines} AND batch_case IS NOT NULL)"
        if not request.is_bad and not request.source.bad_lines:
            requested = f"(SELECT {case} AS batch_case FROM {request.source.rows})"
        if others:
            rows = " UNION ALL ".join(
                f"SELECT {table.number} AS number, {case} AS batch_case FROM {table.source.rows}" for table in others
            )
            with self.reading(others):
                found = self.connection.execute(
                    f"SELECT number FROM ({rows}) AS given ANTI JOIN {requested} AS requested USING (batch_case) "
                    "GROUP BY number"
                ).fetchall()
            numbers = {number for number, in found}
            lonely = [table for table in others if table.number in numbers]
            for table in lonely:
                self.find_unnamed(table)
            if lonely:
                rows = " UNION ALL ".join(
                    f"SELECT {table.number} AS number, {_ROW} AS batch_row, {case} AS batch_case FROM {table.numbered} "
                    f"WHERE {table.case.accepts}" for table in lonely
                )
                self.find(
                    f"SELECT number, batch_row, batch_case, {_NO_REQUEST}, NULL FROM ({rows}) AS given "
                    f"ANTI JOIN {requested} AS requested USING (batch_case) "
                    "QUALIFY row_number() OVER (PARTITION BY batch_case ORDER BY number, batch_row) = 1", *lonely
                )
        for table in all_others:
            self.find_bad_lines(table, requested)
        if request.is_bad:
            request.has_unnamed = True

    def find_unnamed(self, table: _Table) -> None:
        """List the rows without a readable name of a case, unless they have been found for another value."""
        table.has_unnamed = True
        self.find(
            f"SELECT {table.number}, {_ROW}, NULL, 0, {table.case.text} FROM {table.numbered} "
            f"WHERE NOT {table.case.accepts} AND {_ROW} NOT IN "
            f"(SELECT batch_row FROM {_FOUND} WHERE number = {table.number} AND place = 0)", table
        )

    def find_bad_lines(self, table: _Table, requested: str | None = None) -> None:
        """List the lines of a CSV file that are no rows, with the case they seem to be of if there is such a case."""
        lines = table.source.bad_lines
        case = "batch_case"
        if requested is not None:
            case = f"CASE WHEN batch_case IN (SELECT batch_case FROM {requested}) THEN batch_case END"
        for start in range(0, len(lines), _CHUNK):
            chunk = lines[start : start + _CHUNK]
            names = [self.name_of(line.case) for line in chunk]
            self.connection.execute(
                f"INSERT INTO {_FOUND} SELECT {table.number}, batch_row, {case}, {_BAD_LINE}, said "
                "FROM (SELECT unnest($1) AS batch_row, unnest($2::VARCHAR[]) AS batch_case, unnest($3) AS said)",
                [[line.number for line in chunk], names, [line.message for line in chunk]],
            )

    def find_missing_rows(self) -> None:
        """List the cases without a row of a relation that every case has one row of."""
        request = self.tables[REQUEST]
        case = _name(CASE)
        for name, relation in self.inputs.items():
            if name == REQUEST or not has_a_row(relation):
                continue
            table = self.tables[name]
            self.find(
                f"SELECT {table.number}, NULL, {case}, {_MISSING}, NULL FROM {request.source.rows} AS requested "
                f"ANTI JOIN {table.source.rows} AS given USING ({case}) WHERE {request.case.accepts}", request, table
            )

    # what was found

    def show_lines(self) -> None:
        """Put the line of a CSV file in the place of the row's number."""
        for table in self.tables.values():
            if table.source.line is None:
                continue
            chosen = f"number = {table.number} AND place <> {_BAD_LINE}"
            rows = [row for row, in self.connection.execute(
                f"SELECT DISTINCT batch_row FROM {_FOUND} WHERE {chosen} AND batch_row IS NOT NULL"
            ).fetchall()]
            for start in range(0, len(rows), _CHUNK):
                chunk = rows[start : start + _CHUNK]
                # All at once would take a line for the row of that number; negative ones are of neither sort.
                self.connection.execute(
                    f"UPDATE {_FOUND} SET batch_row = -shown.line FROM (SELECT unnest($1) AS batch_row, "
                    f"unnest($2) AS line) AS shown WHERE {chosen} AND {_FOUND}.batch_row = shown.batch_row",
                    [chunk, [table.line(row) for row in chunk]],
                )
        self.connection.execute(f"UPDATE {_FOUND} SET batch_row = -batch_row WHERE batch_row < 0")

    def reject(self) -> tuple[tuple[Problem, ...], int]:
        """Make the tables of problems and of rejected cases; the first problems, and the number of unnamed rows."""
        execute = self.connection.execute
        self.show_lines()
        self.reason()
        tables = list(self.tables.values())
        execute(
            f"CREATE OR REPLACE TABLE {REJECTED_TABLE} AS "
            f"SELECT batch_case AS {_name(CASE)}, names.name AS {_name('table')}, batch_row AS {_name('row')}, "
            f"reason AS {_name('reason')} FROM {_FOUND} AS found JOIN {_REASONS} AS reasons "
            "ON found.number = reasons.number AND found.place = reasons.place "
            "AND found.said IS NOT DISTINCT FROM reasons.said "
            "JOIN (SELECT unnest($1) AS number, unnest($2) AS name) AS names ON found.number = names.number "
            "ORDER BY found.number, batch_row, found.place, batch_case",
            [[table.number for table in tables], [table.name for table in tables]],
        )
        execute(
            f"CREATE OR REPLACE TABLE {_REJECTED_CASES} AS SELECT DISTINCT batch_case AS {_name(CASE)} FROM {_FOUND} "
            "WHERE batch_case IS NOT NULL"
        )
        by_number = {table.number: table for table in tables}
        first = execute(
            f"SELECT number, batch_row, batch_case, place, said FROM {_FOUND} "
            f"ORDER BY number, batch_row, place, batch_case LIMIT {MOST_PROBLEMS}"
        ).fetchall()
        problems = [
            Problem(table.name, row, case, *shown(self.why(table, place, said)), table.source.place)
            for table, row, case, place, said in ((by_number[number], *one) for number, *one in first)
        ]
        unnamed = self.one(
            f"SELECT count(*) FROM (SELECT DISTINCT number, batch_row FROM {_FOUND} WHERE batch_case IS NULL)"
        )[0]
        execute(f"DROP TABLE {_FOUND}; DROP TABLE {_REASONS}")
        return tuple(problems), unnamed

    def reason(self) -> None:
        """Make the table of reasons: one for each value that is refused, however often it is said."""
        execute = self.connection.execute
        execute(
            f"CREATE OR REPLACE TABLE {_REASONS} AS SELECT *, row_number() OVER () AS id FROM "
            f"(SELECT DISTINCT number, place, said FROM {_FOUND})"
        )
        execute("CREATE OR REPLACE TABLE batch_why (id BIGINT, reason VARCHAR)")
        by_number = {table.number: table for table in self.tables.values()}
        start = 0
        while chunk := execute(
            f"SELECT id, number, place, said FROM {_REASONS} WHERE id > {start} AND id <= {start + _CHUNK}"
        ).fetchall():
            reasons = [self.why(by_number[number], place, said)[0] for _, number, place, said in chunk]
            execute("INSERT INTO batch_why SELECT unnest($1), unnest($2)", [[row[0] for row in chunk], reasons])
            start += _CHUNK
        execute(f"CREATE OR REPLACE TABLE {_REASONS} AS SELECT * FROM {_REASONS} JOIN batch_why USING (id)")
        execute("DROP TABLE batch_why")

    def why(self, table: _Table, place: int, said: str | None) -> Reason:
        """The reason of one that was found, and its hint."""
        name = table.name
        if place >= 0:
            return table.columns[place].why(said)
        if place == _BAD_LINE:
            return str(said), lambda: next(line.hint for line in table.source.bad_lines if line.message == said)
        if place == _SECOND:
            return second_row(name)
        missing = REQUEST if place == _NO_REQUEST else name
        return no_row(missing, self.tables[missing].columns)

    def count_cases(self) -> tuple[int, int]:
        """The number of cases, and of rejected ones among them."""
        request, case = self.tables[REQUEST], _name(CASE)
        rejected, = self.one(f"SELECT count(*) FROM {_REJECTED_CASES}")
        if not rejected and not request.is_bad:
            return request.rows, 0
        accepted, = self.one(
            f"SELECT count(DISTINCT {case}) FROM {request.source.rows} AS given ANTI JOIN {_REJECTED_CASES} "
            f"USING ({case}) WHERE {request.case.accepts}", request
        )
        return accepted + rejected, rejected

    # what is handed on

    def prepare(self, rejected: int) -> tuple[Shape, tuple[str, ...]]:
        """Make the prepared tables. The shape, and the relations that have a table, and may be open for a case that has
        no row in it."""
        stating = stating_of(
            self.inputs.values(), self.tables, lambda table: self.accepted(table, rejected), self.complete
        )
        openness = self.prepare_open(stating)
        shape = {}
        for number, name in enumerate(self.inputs):
            table = self.tables.get(name)
            given = shape[name] = given_as(name, number, table, openness[name])
            if table is None or not given.has_rows:
                continue
            keeps_all = given.has_uncertain or table.columns[-1].name != UNCERTAIN
            columns = table.columns if keeps_all else table.columns[:-1]
            picked = ", ".join(f"{column.sql.value} AS {column.prepared(at)}" for at, column in enumerate(columns))
            self.connection.execute(
                f"CREATE OR REPLACE VIEW {given.table} AS SELECT {picked} FROM "
                f"{self.accepted(table, rejected)}"
            )
        return shape, stating.unstated(openness)

    def document(self, case: str) -> Document | None:
        """What the tables say of the case, whose rows alone they hold; None where there are none."""
        request = self.tables[REQUEST]
        if not request.rows:
            return None
        rows = {name: self.rows_of_case(table) for name, table in self.tables.items()}
        listed: dict[str, dict[str, Span]] = {name: {} for name in LISTINGS}
        for name in LISTINGS:
            for span, values in rows.get(name, ()):
                listed[name].setdefault(str(values[1]), span)
        whole = Span(self.place, 1)
        entries = [Entry(CASE, rows[REQUEST][0][0], Scalar(case, Form.PLAIN, rows[REQUEST][0][0]))]
        if self.complete.record:
            entries.append(Entry("record", whole, Scalar("complete", Form.PLAIN, whole)))
        if names := listed[INCOMPLETE_TABLE]:
            nodes = tuple(Scalar(name, Form.PLAIN, span) for name, span in names.items())
            entries.append(Entry(INCOMPLETE, nodes[0].span, SequenceNode(nodes, nodes[0].span)))
        for name, relation in self.inputs.items():
            found = rows.get(name, [])
            stated = found[0][0] if found else listed[STATED_TABLE].get(name)
            if stated is None and self.complete.tables and name in self.tables:
                stated = Span(self.tables[name].source.place, 1)
            if stated is not None:
                entries.append(Entry(name, stated, self.node(relation, found, stated)))
        said = {entry.key for entry in entries}
        unstated = tuple(name for name in self.inputs if name in self.tables and name not in said)
        return Document(MappingNode(tuple(entries), whole), str(self.path), unstated=unstated)

    def node(self, relation: Relation, found: Sequence[_Said], stated: Span) -> Node:
        """The rows of a relation, which it is stated at a place that there are no others of."""
        if relation.arity == 1:
            return Scalar("true" if found else "false", Form.PLAIN, stated)
        rows = []
        for span, values in found:
            names = [column.name for column in self.tables[relation.name].columns]
            said = dict(zip(names, values, strict=True))
            rows.append(MappingNode(tuple(
                Entry(name, span, Scalar(text or "", Form.PLAIN, span)) for name, text in said.items() if name != CASE
            ), span))
        return SequenceNode(tuple(rows), stated)

    def rows_of_case(self, table: _Table) -> list[_Said]:
        """The rows of a table with their places, each value as a case would say it."""
        texts = ", ".join(column.sql.text for column in table.columns)
        with reading(table.source.place):
            found = self.connection.execute(
                f"SELECT {_ROW}, {texts} FROM {table.source.rows} ORDER BY {_ROW}"
            ).fetchall() if table.rows else []
        return [(Span(table.source.place, table.line(row)), tuple(values)) for row, *values in found]

    def prepare_open(self, stating: Stating) -> Mapping[str, Openness]:
        """Make the table of what is open for some cases; for which each relation is."""
        query, states = stating.query(DUCKDB), stating.states
        if query is None:
            return stating.constant()
        with self.reading(list(self.tables.values())):
            self.connection.execute(f"CREATE OR REPLACE TABLE {_STATES} AS {query}")
        openness = states.openness(lambda query: self.connection.execute(query).fetchall(), _STATES)
        some = [name for name, one in openness.items() if one is Openness.SOME]
        if some:
            self.connection.execute(
                f"CREATE OR REPLACE VIEW {OPEN_TABLE} AS {states.reasons(some, _STATES, DUCKDB)}"
            )
        return openness

    def accepted(self, table: _Table, rejected: int) -> str:
        """What stands after FROM for the rows of the cases that are not rejected."""
        rows = table.source.rows
        if rejected:
            rows += f" AS given ANTI JOIN {_REJECTED_CASES} AS rejected USING ({_name(CASE)})"
        return f"{rows} WHERE {table.case.accepts}" if table.has_unnamed else rows
