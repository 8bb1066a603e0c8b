"""A batch in Parquet tables, read and checked by Spark, and prepared as `policy_kb.batch.shape` says.

What is refused, and why, is as in `policy_kb.batch.tables`. Nothing but counts and the first problems comes to the
driver: the rows stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from policy_kb.batch.columns import (
    Column,
    Columns,
    Reason,
    has_a_row,
    no_row,
    second_row,
    shown,
)
from policy_kb.batch.openness import Stating, given_as, stating_of
from policy_kb.batch.shape import AS_STATED, CASE, OPEN_TABLE, UNCERTAIN, Complete, Given, Openness, Shape
from policy_kb.batch.sources import LISTINGS, Source
from policy_kb.batch.spark.dialect import SPARK, SPARK_VALUES, SparkValues
from policy_kb.batch.spark.folders import Folder
from policy_kb.batch.spark.functions import keep
from policy_kb.batch.spark.session import divide
from policy_kb.batch.spark.sources import PART, ROW, Found, find_tables, reading, view_of
from policy_kb.batch.tables import MOST_PROBLEMS, Problem
from policy_kb.batch.values import BadColumnError, ShortestDecimal, TextReader, ValueSql
from policy_kb.check.checked import CheckedProgram
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind
from policy_kb.load.cases import REQUEST, is_single
from policy_kb.load.values import Known
from policy_kb.record import record
from policy_kb.source import Span

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

REJECT_COLUMNS = (CASE, "table", "part", "row", "reason")
"""The columns of what is put aside: `part` is the file, of a table in several, and `row` its row there."""

# What is wrong with a row as a whole stands in the place of a column's number.
_NO_REQUEST, _SECOND, _MISSING = -1, -2, -3

_STATES = "batch_states"

_name = SPARK_VALUES.name
_CASE = _name(CASE)


@record
class SparkBatch:
    """The cases of a batch, in the prepared tables of `session`, without the rejected ones.

    `rejects` has all problems, if there are any (the columns of `REJECT_COLUMNS`); `found` are the tables as they were
    found. The rest is as in `Batch`.
    """

    session: SparkSession
    place: str
    shape: Shape
    cases: int
    rejected: int
    unnamed: int
    problems: tuple[Problem, ...]
    rejects: DataFrame | None
    unstated: tuple[str, ...]
    found: Found


@dataclass
class _Table:
    """A table with its columns, in the order of the declaration: `case` first, `uncertain` last."""

    number: int
    source: Source
    columns: Sequence[Column]
    rows: int = 0
    uncertain: int = 0
    bad: int = 0

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def case(self) -> ValueSql:
        return self.columns[0].sql

    @property
    def view(self) -> str:
        return _name(self.source.rows)

    @property
    def has_uncertain(self) -> bool:
        return self.columns[-1].name == UNCERTAIN


def read_tables(
    session: SparkSession, program: CheckedProgram, known: Known, folder: Folder, copies: Folder, *,
    complete: Complete = AS_STATED,
) -> SparkBatch:
    """The batch in a folder of Parquet tables. `copies`: see `find_tables`. Raises CaseRefused with all problems of the
    tables; rows are not refused but rejected with their cases."""
    def register(name: str, function: TextReader | ShortestDecimal) -> None:
        session.udf.register(name, function, SPARK.types[function.kind])

    columns = Columns(program, known, SparkValues(register))
    found = find_tables(session, folder, columns.refusal, copies)
    divide(session, found.size)
    return _Reader(columns, session, found, folder.path, complete).batch()


class _Reader:
    def __init__(
        self, columns: Columns, session: SparkSession, found: Found, place: str, complete: Complete
    ):
        self.columns, self.inputs = columns, columns.inputs
        self.session, self.found, self.place = session, found, place
        self.complete = complete
        self.tables: dict[str, _Table] = {}

    def batch(self) -> SparkBatch:
        for number, name in enumerate([*self.inputs, *LISTINGS]):
            if name in self.found.sources:
                self.add_table(number, *self.found.sources[name])
        for message, hint in self.columns.alike():
            self.problem(Kind.BAD_TABLE, message, hint)
        if not self.found.problems:
            for message, hint in self.columns.lacking(self.tables):
                self.problem(Kind.MISSING_RELATION, message, hint)
        if self.found.problems:
            raise CaseRefused(self.found.problems)
        self.count()
        cases, is_bad = self.count_cases()
        rejected, unnamed = 0, 0
        problems: tuple[Problem, ...] = ()
        rejects: DataFrame | None = None
        if is_bad:
            rejected, unnamed, problems, rejects = self.reject()
            request = self.tables[REQUEST]
            cases = rejected + self.one(
                f"SELECT count(DISTINCT {_CASE}) FROM {request.view} WHERE {request.case.accepts} AND {_CASE} NOT IN "
                f"(SELECT batch_case FROM batch_rejected_cases)"
            )[0]
        shape, unstated = self.prepare(is_bad)
        return SparkBatch(self.session, self.place, shape, cases, rejected, unnamed, problems, rejects, unstated,
                          self.found)

    # the tables as such

    def problem(self, kind: Kind, message: str, hint: str | None, place: str | None = None) -> None:
        self.found.problems.append(Diagnostic(kind, Span(place or self.place, 1), message, hint))

    def add_table(self, number: int, source: Source, rows: DataFrame, is_in_parts: bool) -> None:
        """Check the columns of a table, and take it up."""
        names, problems = self.columns.names(source)
        if problems:
            self.found.problems.extend(problems)
            return
        columns, bad_columns = [], []
        for name in names:
            try:
                columns.append(self.columns.column(source, name))
            except BadColumnError as bad:
                bad_columns.append(bad)
        view = view_of(source, rows, names, is_in_parts)
        if bad_columns:
            with reading(source.place):
                is_empty = view.isEmpty()
            if not is_empty:
                for one in bad_columns:
                    self.problem(Kind.WRONG_TYPE, one.message, one.hint, source.place)
                return
            # Who writes a table of no rows often has no types for its columns.
            source = replace(source, columns=dict.fromkeys(names, "VARCHAR"))
            columns = [self.columns.column(source, name) for name in names]
            view = view.select(*(view[_name(name)].cast("string").alias(name) for name in names), PART, ROW)
        view.createOrReplaceTempView(_name(source.rows))
        self.tables[source.name] = _Table(number, source, columns)

    # the rows

    def one(self, query: str) -> tuple[int, ...]:
        """The one row of a query."""
        with reading(self.place):
            return tuple(self.session.sql(query).collect()[0])

    def count(self) -> None:
        """Count the rows, those that are not certain, and those with a value that is refused, in one go."""
        by_number = {table.number: table for table in self.tables.values()}
        queries = []
        for table in by_number.values():
            accepts = " AND ".join(column.sql.accepts for column in table.columns)
            uncertain = table.columns[-1].sql.value if table.has_uncertain else "FALSE"
            queries.append(f"SELECT {table.number} AS number, count(*) AS rows, count_if({uncertain}) AS uncertain, "
                           f"count_if(NOT ({accepts})) AS bad FROM {table.view}")
        with reading(self.place):
            found = self.session.sql("\nUNION ALL\n".join(queries)).collect()
        for number, rows, uncertain, bad in found:
            table = by_number[number]
            table.rows, table.uncertain, table.bad = rows, uncertain, bad

    def of_cases(self) -> str:
        """A row for each name of a case in any table: how many rows it has of each relation that may have one only."""
        singles = [table for table in self.tables.values() if table.name in self.inputs
                   and is_single(self.inputs[table.name])]
        rows = "\nUNION ALL\n".join(
            f"SELECT {table.number} AS number, {_CASE} AS batch_case FROM {table.view}"
            for table in self.tables.values()
        )
        counts = ", ".join(f"count_if(number = {table.number}) AS rows_{table.number}" for table in singles)
        return f"(SELECT batch_case, {counts} FROM (\n{rows}\n) AS all_rows GROUP BY batch_case)"

    def required(self) -> list[_Table]:
        return [self.tables[name] for name, relation in self.inputs.items()
                if name != REQUEST and has_a_row(relation)]

    def count_cases(self) -> tuple[int, bool]:
        """The number of cases, and whether anything is wrong with any of them."""
        singles = [table for table in self.tables.values() if table.name in self.inputs
                   and is_single(self.inputs[table.name])]
        bad = [f"rows_{table.number} > 1" for table in singles]
        bad += [f"rows_{table.number} = 0" for table in (self.tables[REQUEST], *self.required())]
        cases, wrong = self.one(f"SELECT count(batch_case), count_if({' OR '.join(bad)}) FROM {self.of_cases()}")
        return cases, bool(wrong) or any(table.bad for table in self.tables.values())

    # what is wrong

    def reject(self) -> tuple[int, int, tuple[Problem, ...], DataFrame]:
        """All that is wrong: how many cases are rejected, how many rows have no case, the first problems, and all."""
        queries = [*self.bad_values(), *self.second_rows(), *self.without_request(), *self.missing_rows()]
        columns = "number, part, row, batch_case, place, said"
        found = keep(self.session.sql(
            f"SELECT {columns} FROM (\n" + "\nUNION ALL\n".join(queries) + "\n) AS found"
        ))
        found.createOrReplaceTempView("batch_found")
        cases = keep(self.session.sql("SELECT DISTINCT batch_case FROM batch_found WHERE batch_case IS NOT NULL"))
        cases.createOrReplaceTempView("batch_rejected_cases")
        rejected, unnamed = self.one(
            "SELECT count(DISTINCT batch_case), count(DISTINCT CASE WHEN batch_case IS NULL THEN "
            "named_struct('n', number, 'p', part, 'r', row) END) FROM batch_found"
        )
        by_number = {table.number: table for table in self.tables.values()}
        first = self.session.sql(
            f"SELECT {columns} FROM batch_found ORDER BY number, part, row NULLS LAST, place, batch_case "
            f"LIMIT {MOST_PROBLEMS}"
        ).collect()
        problems = tuple(
            Problem(table.name, row, case, *shown(self.why(table, place, said)), place_of(table.source.place, part))
            for table, part, row, case, place, said in ((by_number[number], *one) for number, *one in first)
        )
        return rejected, unnamed, problems, self.with_reasons(found)

    def why(self, table: _Table, place: int, said: str | None) -> Reason:
        """The reason of one that was found, and its hint."""
        if place >= 0:
            return table.columns[place].why(said)
        if place == _SECOND:
            return second_row(table.name)
        missing = self.tables[REQUEST] if place == _NO_REQUEST else table
        return no_row(missing.name, missing.columns)

    def with_reasons(self, found: DataFrame) -> DataFrame:
        """What was found as it is put aside: each with its reason, which is put together where the row is."""
        from pyspark.sql import functions as f

        fixed: dict[tuple[int, int], str] = {}
        whys: dict[tuple[int, int], Callable[[str | None], Reason]] = {}
        names = {}
        for table in self.tables.values():
            names[table.number] = table.name
            for place, column in enumerate(table.columns):
                whys[table.number, place] = column.why
            for place in (_NO_REQUEST, _SECOND, _MISSING):
                fixed[table.number, place] = self.why(table, place, None)[0]
        known: dict[tuple[int, int, str | None], str] = {}

        def reason(number: int, place: int, said: str | None) -> str:
            if place < 0:
                return fixed[number, place]
            key = number, place, said
            if key not in known:
                known[key] = whys[number, place](said)[0]
            return known[key]

        name_of = f.udf(lambda number: names[number], "string")
        return found.select(
            f.col("batch_case").alias(CASE), name_of("number").alias("table"), "part", "row",
            f.udf(reason, "string")("number", "place", "said").alias("reason"),
        )

    def rows_of(self, table: _Table) -> str:
        """The columns that say which row of a table it is."""
        return f"{table.number} AS number, {_name(PART)} AS part, {_name(ROW)} AS row"

    def bad_values(self) -> Iterator[str]:
        """Every value that is refused."""
        for table in self.tables.values():
            if not table.bad:
                continue
            found = ", ".join(
                f"CASE WHEN NOT {column.sql.accepts} THEN named_struct('place', {place}, 'said', {column.sql.text}) END"
                for place, column in enumerate(table.columns)
            )
            yield (
                f"SELECT number, part, row, batch_case, one.place AS place, one.said AS said FROM (SELECT "
                f"{self.rows_of(table)}, CASE WHEN {table.case.accepts} THEN {table.case.value} END AS batch_case, "
                f"explode(filter(array({found}), x -> x IS NOT NULL)) AS one FROM {table.view})"
            )

    def second_rows(self) -> Iterator[str]:
        for name, table in self.tables.items():
            if name in LISTINGS or not is_single(self.inputs[name]):
                continue
            order = f"{_name(PART)}, {_name(ROW)}"
            yield (
                f"SELECT number, part, row, batch_case, {_SECOND} AS place, CAST(NULL AS STRING) AS said FROM (SELECT "
                f"{self.rows_of(table)}, {_CASE} AS batch_case, row_number() OVER (PARTITION BY {_CASE} "
                f"ORDER BY {order}) AS nth FROM {table.view} WHERE {table.case.accepts}) WHERE nth > 1"
            )

    def without_request(self) -> Iterator[str]:
        """The cases that have rows but no request, each at its first row."""
        request = self.tables[REQUEST]
        others = [table for table in self.tables.values() if table is not request]
        if not others:
            return
        rows = "\nUNION ALL\n".join(
            f"SELECT {self.rows_of(table)}, {_CASE} AS batch_case FROM {table.view} WHERE {table.case.accepts}"
            for table in others
        )
        yield (
            f"SELECT number, part, row, batch_case, {_NO_REQUEST} AS place, CAST(NULL AS STRING) AS said FROM (SELECT "
            f"*, row_number() OVER (PARTITION BY batch_case ORDER BY number, part, row) AS nth FROM (\n{rows}\n) "
            f"AS given LEFT ANTI JOIN (SELECT {_CASE} AS asking FROM {request.view} WHERE {request.case.accepts}) "
            f"AS requested ON asking = batch_case) WHERE nth = 1"
        )

    def missing_rows(self) -> Iterator[str]:
        """The cases without a row of a relation that every case has one row of."""
        request = self.tables[REQUEST]
        for table in self.required():
            yield (
                f"SELECT {table.number} AS number, CAST(NULL AS STRING) AS part, CAST(NULL AS BIGINT) AS row, "
                f"batch_case, {_MISSING} AS place, CAST(NULL AS STRING) AS said FROM (SELECT DISTINCT {_CASE} AS "
                f"batch_case FROM {request.view} WHERE {request.case.accepts}) AS requested "
                f"LEFT ANTI JOIN (SELECT {_CASE} AS having FROM {table.view}) AS given ON having = batch_case"
            )

    # what is handed on

    def prepare(self, is_bad: bool) -> tuple[Shape, tuple[str, ...]]:
        """Make the prepared tables: divided by case, so that what joins them stays where it is. The shape, and the
        relations that have a table and are open for a case that has no row in it."""
        stating = stating_of(
            self.inputs.values(), self.tables, lambda table: self.accepted(table, is_bad), self.complete
        )
        openness = self.prepare_open(stating)
        shape: dict[str, Given] = {}
        for number, name in enumerate(self.inputs):
            table = self.tables.get(name)
            given = shape[name] = given_as(name, number, table, openness[name])
            if table is None or not given.has_rows:
                continue
            columns = table.columns[:-1] if table.has_uncertain else table.columns
            picked = ", ".join(f"{column.sql.value} AS {column.prepared(at)}" for at, column in enumerate(columns))
            if not given.has_uncertain:
                self.hand_on(given.table, f"SELECT {picked} FROM {self.accepted(table, is_bad)}")
                continue
            # A row given twice is given once, and certain if it is certain anywhere.
            names = ", ".join(column.prepared(place) for place, column in enumerate(columns))
            last = table.columns[-1].sql.value
            self.hand_on(
                given.table,
                f"SELECT {names}, bool_and(batch_uncertain) AS {_name(UNCERTAIN)} FROM (SELECT {picked}, {last} AS "
                f"batch_uncertain FROM {self.accepted(table, is_bad)}) AS given GROUP BY {names}"
            )
        return shape, stating.unstated(openness)

    def prepare_open(self, stating: Stating) -> Mapping[str, Openness]:
        """Make the table of what is open for some cases; for which each relation is."""
        query, states = stating.query(SPARK_VALUES), stating.states
        if query is None:
            return stating.constant()
        self.hand_on(_STATES, query)
        openness = states.openness(lambda query: self.session.sql(query).collect(), _STATES)
        some = [name for name, one in openness.items() if one is Openness.SOME]
        if some:
            self.session.sql(states.reasons(some, _STATES, SPARK_VALUES)).createOrReplaceTempView(_name(OPEN_TABLE))
        return openness

    def hand_on(self, table: str, query: str) -> None:
        rows = keep(self.session.sql(query).repartition(_CASE).sortWithinPartitions(_CASE))
        rows.createOrReplaceTempView(_name(table))

    def accepted(self, table: _Table, is_bad: bool) -> str:
        """What stands after FROM for the rows of the cases that are not rejected."""
        if not is_bad:
            return table.view
        return (f"{table.view} AS given LEFT ANTI JOIN batch_rejected_cases AS rejected "
                f"ON rejected.batch_case = given.{_CASE} WHERE {table.case.accepts}")


def place_of(table: str, part: str | None) -> str:
    """How messages name the table of a row, and the file in it."""
    return f"{table}/{part}" if part else table

