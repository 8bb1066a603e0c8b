"""A batch in tables, one for each case relation: read, checked, and prepared as `policy_kb.batch.shape` says.

What a case by itself would be refused for refuses it here, and no other case; what is wrong with a table as such
refuses the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policy_kb.batch.columns import (
    NAME,
    Column,
    Columns,
    Counted,
    Reasons,
    Why,
    has_a_row,
    no_row,
    second_row,
    shape_of,
)
from policy_kb.batch.shape import CASE, OPEN_TABLE, UNCERTAIN, Shape, given_table
from policy_kb.batch.sources import INCOMPLETE_TABLE, Finds, Source, find_in_database, find_in_folder, reading
from policy_kb.batch.values import DUCKDB, BadColumnError, Dialect, TextReader, ValueSql, reads
from policy_kb.check.checked import CheckedProgram
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind
from policy_kb.load.cases import INCOMPLETE, REQUEST, is_single
from policy_kb.load.values import Known
from policy_kb.record import record
from policy_kb.source import Span, display_name

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_PROBLEMS = 100
"""Problems of rows that are given with their hints; all of them stand in the table `batch_rejected`."""

REJECTED_TABLE = "batch_rejected"
_REJECTED_CASES, _FOUND, _REASONS = "batch_rejected_cases", "batch_found", "batch_reasons"
_CHUNK = 20_000

# What is wrong with a row as a whole stands in the place of a column's number.
_NO_REQUEST, _SECOND, _MISSING, _BAD_LINE = -1, -2, -3, -4

_name = DUCKDB.name
_ROW = _name("#row")


@record
class Problem:
    """What is wrong with one row. `row` counts the rows of the table from 1 (in a CSV file: its line), and is None
    where a row is missing; `case` is None where the row has no readable name of a case."""

    table: str
    row: int | None
    case: str | None
    reason: str
    hint: str | None = None


@record
class Batch:
    """The cases of a batch, in the prepared tables of `connection`, without the rejected ones.

    `cases` is the number of names of cases in all tables, `rejected` of those among them with a problem, `rows` the
    number of rows that were read. Of `unnamed` rows nobody can say which case they belong to. `problems` are the first
    hundred, by table in the order of the declarations, row and column; all stand in the table `batch_rejected` (`case`,
    `table`, `row`, `reason`). That the rows of the relations `unasked` are of cases with a request, and that a case has
    no second row of those of which it can have one, is still to be found out. `places` are those of the tables that are
    read anew when cases are decided, by relation.
    """

    connection: DuckDBPyConnection
    shape: Shape
    cases: int
    rows: int
    rejected: int
    unnamed: int
    problems: tuple[Problem, ...]
    unasked: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def reading(self, path: Path) -> Iterator[None]:
        """Refuse the batch at `path` where a table turns out to be unreadable only as its cases are decided. Raises
        CaseRefused that names the table."""
        import duckdb

        try:
            yield
        except duckdb.Error as problem:
            for name, place in self.places.items():
                with reading(place):
                    self.connection.execute(f"SELECT max(hash(given)) FROM main.{_name(given_table(name))} AS given")
            with reading(str(path)):
                raise problem


def read_tables(
    program: CheckedProgram,
    known: Known,
    path: Path,
    *,
    connection: DuckDBPyConnection | None = None,
    record_complete: bool = False,
    leave_names: bool = False,
) -> Batch:
    """The batch in a folder of tables `RELATION.parquet` or `RELATION.csv`, or in a DuckDB database file.

    `known` holds the rows of the known relations. `record_complete`: a relation without a table has no rows, where
    otherwise nothing is known of it. The prepared tables are made in `connection`, which is opened in memory if it is
    not given; they read the files anew, so that these must stay. `leave_names`: where nothing else is wrong, it is left
    to who decides the cases to find rows of a case without a request and second rows of a case, which takes half of the
    reading.

    Raises CaseRefused with all problems of the tables: one that is missing, unreadable or of no case relation, a
    column that is missing, unknown or of a type that cannot hold its values. Rows are not refused but rejected with
    their cases, and listed.
    """
    if connection is None:
        connection = connect()
    find = find_in_folder if path.is_dir() else find_in_database
    with _in_order(connection):
        columns = Columns(program, known, Dialect(partial(register, connection)))
        finds = find(connection, path, columns.refusal)
        return _Reader(columns, connection, finds, display_name(path), record_complete).batch(leave_names)


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


@contextmanager
def _in_order(connection: DuckDBPyConnection) -> Iterator[None]:
    """Rows are numbered in the order of their table."""
    found = connection.execute("SELECT current_setting('preserve_insertion_order')").fetchone()
    connection.execute("SET preserve_insertion_order = true")
    try:
        yield
    finally:
        connection.execute(f"SET preserve_insertion_order = {'true' if found and found[0] else 'false'}")


def register(connection: Any, name: str, reader: TextReader) -> None:
    """Make a function of the connection that reads the texts of a column."""
    connection.create_function(name, reader, ["VARCHAR"], "VARCHAR", null_handling="special")


class _Table:
    """A table with its columns, in the order of the declaration: `case` first, `uncertain` last."""

    def __init__(self, number: int, source: Source, columns: Sequence[Column]):
        self.number = number
        self.source = source
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
        return f"(SELECT row_number() OVER () AS {_ROW}, * FROM {self.source.rows})"


class _Reader:
    def __init__(
        self, columns: Columns, connection: DuckDBPyConnection, finds: Finds, place: str, record_complete: bool
    ):
        self.columns = columns
        self.inputs = columns.inputs
        self.connection = connection
        self.place = place
        self.record_complete = record_complete
        self.finds = finds
        self.tables: dict[str, _Table] = {}

    def batch(self, leave_names: bool) -> Batch:
        order = [*self.inputs, INCOMPLETE_TABLE]
        sources = {source.name: source for source in self.finds.sources}
        for number, name in enumerate(order):
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
            unasked = [table for name, table in self.tables.items() if table.rows and name != INCOMPLETE_TABLE]
        self.find_second_rows(unasked)
        self.find_without_request(unasked)
        self.find_missing_rows()
        problems, unnamed = self.reject()
        cases, rejected = self.count_cases()
        shape = self.prepare(rejected)
        names = tuple(table.name for table in unasked)
        places = {name: table.source.place for name, table in self.tables.items() if name in shape
                  and shape[name].has_rows}
        rows = sum(table.rows for table in self.tables.values())
        return Batch(self.connection, shape, cases, rows, rejected, unnamed, problems, names, places)

    # the tables as such

    def problem(self, kind: Kind, message: str, hint: str | None, place: str | None = None) -> None:
        self.finds.problems.append(Diagnostic(kind, Span(place or self.place, 1), message, hint))

    def add_table(self, number: int, source: Source) -> None:
        """Check the columns of a table, and take it up."""
        names, problems = self.columns.names(source)
        if problems:
            self.finds.problems += problems
            return
        found = self.connection.execute(f"SELECT count(*) FROM {source.rows}").fetchone()
        rows = found[0] if found else 0
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
        if len(columns) == len(names):
            table = self.tables[source.name] = _Table(number, source, columns)
            table.rows = rows

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
            row = self.connection.execute(query).fetchone()
        return row or (0,)

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
                f"CREATE TABLE batch_bad AS SELECT * FROM (SELECT {_ROW} AS batch_row{picked} FROM {table.numbered}) "
                f"WHERE NOT ({' AND '.join(f'accepts_{number}' for number in range(len(columns)))})"
            )
        for number in range(len(columns)):
            self.find(
                f"SELECT {table.number}, batch_row, CASE WHEN accepts_0 THEN said_0 END, {number}, said_{number} "
                f"FROM batch_bad WHERE NOT accepts_{number}", table
            )
        self.connection.execute("DROP TABLE batch_bad")

    def find_second_rows(self, unasked: Sequence[_Table]) -> None:
        """List the rows but the first of a case where it can have only one; but of the tables `unasked`."""
        for name, table in self.tables.items():
            if name == INCOMPLETE_TABLE or not is_single(self.inputs[name]) or table in unasked:
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
            names = [line.case if reads(line.case, NAME, self.columns.values) is None else None for line in chunk]
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
                    [chunk, [table.source.line(row) for row in chunk]],
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
            Problem(by_number[number].name, row, case, *self.why(by_number[number], place, said))
            for number, row, case, place, said in first
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
            reasons = [self.why(by_number[number], place, said, True)[0] for _, number, place, said in chunk]
            execute("INSERT INTO batch_why SELECT unnest($1), unnest($2)", [[row[0] for row in chunk], reasons])
            start += _CHUNK
        execute(f"CREATE OR REPLACE TABLE {_REASONS} AS SELECT * FROM {_REASONS} JOIN batch_why USING (id)")
        execute("DROP TABLE batch_why")

    def why(self, table: _Table, place: int, said: str | None, is_quick: bool = False) -> Why:
        """The reason of one that was found, and its hint unless it is to be quick."""
        name = table.name
        if place >= 0:
            column = table.columns[place]
            return column.why_quick(said) if is_quick else column.why(said)
        if place == _BAD_LINE:
            return str(said), None if is_quick else next(
                line.hint for line in table.source.bad_lines if line.message == said
            )
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

    def prepare(self, rejected: int) -> Shape:
        """Make the prepared tables."""
        counted = {name: Counted(table.rows, table.uncertain) for name, table in self.tables.items()}
        shape, reasons = shape_of(self.inputs, counted, self.exceptions(rejected), self.record_complete)
        for name, given in shape.items():
            if given.has_rows:
                table = self.tables[name]
                keeps_all = given.has_uncertain or table.columns[-1].name != UNCERTAIN
                columns = table.columns if keeps_all else table.columns[:-1]
                picked = ", ".join(f"{column.sql.value} AS {_name(column.name)}" for column in columns)
                self.connection.execute(
                    f"CREATE OR REPLACE VIEW {_name(given_table(name))} AS SELECT {picked} FROM "
                    f"{self.accepted(table, rejected)}"
                )
        if reasons:
            self.prepare_open(reasons, rejected)
        return shape

    def exceptions(self, rejected: int) -> set[str]:
        """The relations that are listed as incomplete, for any case."""
        table = self.tables.get(INCOMPLETE_TABLE)
        if table is None or not table.rows:
            return set()
        found = self.connection.execute(
            f"SELECT DISTINCT {table.columns[1].sql.value} FROM {self.accepted(table, rejected)}"
        ).fetchall()
        return {name for name, in found}

    def prepare_open(self, reasons: Reasons, rejected: int) -> None:
        """Make the table of what is open for some cases; `reasons` are why each is open for the others, if it is."""
        table, case = self.tables[INCOMPLETE_TABLE], _name(CASE)
        relation, listed_as = table.columns[1].sql.value, DUCKDB.text(INCOMPLETE)
        picked = "".join(
            f", max(CASE WHEN {relation} = {DUCKDB.text(name)} THEN {listed_as} END) AS {_name(name)}"
            for name in reasons
        )
        query = f"SELECT {case}{picked} FROM {self.accepted(table, rejected)} GROUP BY {case}"
        if any(reasons.values()):
            others = "".join(
                f", coalesce({_name(name)}, {DUCKDB.text(reason)}) AS {_name(name)}" if reason else f", {_name(name)}"
                for name, reason in reasons.items()
            )
            requested = f"(SELECT {case} FROM {self.accepted(self.tables[REQUEST], rejected)})"
            query = f"SELECT {case}{others} FROM {requested} LEFT JOIN ({query}) USING ({case})"
        self.connection.execute(f"CREATE OR REPLACE TABLE {OPEN_TABLE} AS {query}")

    def accepted(self, table: _Table, rejected: int) -> str:
        """What stands after FROM for the rows of the cases that are not rejected."""
        rows = table.source.rows
        if rejected:
            rows += f" AS given ANTI JOIN {_REJECTED_CASES} AS rejected USING ({_name(CASE)})"
        return f"{rows} WHERE {table.case.accepts}" if table.has_unnamed else rows
