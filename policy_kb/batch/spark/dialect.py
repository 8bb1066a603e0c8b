"""What Spark's SQL says where it is not what DuckDB's says.

It is meant for a session with the settings of `SETTINGS`: without ANSI mode, a division by zero has no value, and few
words are reserved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from policy_kb.batch import values
from policy_kb.batch.dialect import FLOAT, LIST_OF_FLOATS, NUMBER, SYMBOL, DuckDB, KnownRows, Sql
from policy_kb.batch.functions import functions_in
from policy_kb.expressions import LONGEST_TEXT
from policy_kb.numbers import LEAST_WHOLE
from policy_kb.parse.tree import Value

SETTINGS = {
    "spark.sql.ansi.enabled": "false",
    "spark.sql.caseSensitive": "true",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.variable.substitute": "false",
    # What cannot be read is never passed over.
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    # Functions of this program are called seldom, and Arrow may not be installed.
    "spark.sql.execution.pythonUDF.arrow.enabled": "false",
    # Of hundreds of columns that are computed from each other, this takes minutes and finds nothing.
    "spark.sql.constraintPropagation.enabled": "false",
    # Tables are divided by case once, and stay so, whatever else is joined or grouped by; only the tables of a policy
    # are small enough to be sent to all machines.
    "spark.sql.requireAllClusterKeysForCoPartition": "false",
    "spark.sql.autoBroadcastJoinThreshold": str(64 * 2**10),
    "spark.sql.optimizer.runtime.bloomFilter.enabled": "false",
    "spark.sql.adaptive.enabled": "false",
    # Descriptions of plans, which nobody reads, are megabytes.
    "spark.sql.maxPlanStringLength": "1000",
}
"""Settings of a session that runs this SQL."""

_FRACTION = "STRUCT<n: BIGINT, d: BIGINT>"

_TRIED = {"+": "add", "-": "subtract", "*": "multiply"}


def text(value: str) -> Sql:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def name(value: str) -> Sql:
    return "`" + value.replace("`", "``") + "`"


def _matches_whole(text_: Sql, pattern: str) -> Sql:
    whole = rf"\A(?:{pattern})\z"
    return f"({text_} RLIKE {text(whole)})"


class Spark(DuckDB):
    """The SQL of Spark."""

    text_type = "STRING"
    types: Mapping[str, str] = {
        NUMBER: "BIGINT", FLOAT: _FRACTION, SYMBOL: "STRING", LIST_OF_FLOATS: f"ARRAY<{_FRACTION}>",
    }
    wide_type, one = "DECIMAL(38, 0)", "1L"
    lists_by_number = False
    gathers_from_table = False
    # Spark tells each task of all queries of its union; these are as many tasks as the queries have parts together.
    most_united = 12

    def quoted(self, value: str) -> Sql:
        return name(value)

    def text(self, value: str) -> Sql:
        return text(value)

    def literal(self, value: Value) -> Sql:
        if isinstance(value, str):
            return text(value)
        if isinstance(value, Fraction):
            return self.struct(n=f"{value.numerator}L", d=f"{value.denominator}L")
        return f"{value}L" if value > LEAST_WHOLE else f"CAST('{value}' AS BIGINT)"

    def answer(self, word: str) -> Sql:
        return text(word)

    decision = constant = answer

    def array(self, items: Sequence[Sql]) -> Sql:
        return f"array({', '.join(items)})"

    def list_of(self, items: Sequence[Sql]) -> Sql:
        return f"filter({self.array(items)}, x -> x IS NOT NULL)"

    def distinct_list(self, expression: Sql, condition: Sql) -> Sql:
        return f"collect_set({expression}) FILTER (WHERE {condition})"

    def joined(self, lists: Sequence[Sql]) -> Sql:
        return f"concat({', '.join(lists)})"

    def sorted_union(self, lists: Sequence[Sql]) -> Sql:
        some = [f"coalesce({one}, {self.empty_list(())})" for one in lists]
        return f"sort_array(array_distinct({self.joined(some)}))"

    def empty_list(self, parts: Sequence[str]) -> Sql:
        named = ", ".join(f"{part}: {self.text_type}" for part in parts)
        return f"CAST(array() AS ARRAY<{f'STRUCT<{named}>' if parts else self.text_type}>)"

    def transformed(self, items: Sql, value: Sql) -> Sql:
        return f"transform({items}, x -> {value})"

    def distinct(self, items: Sql) -> Sql:
        return f"array_distinct(filter({items}, y -> y IS NOT NULL))"

    def size(self, items: Sql) -> Sql:
        return f"size({items})"

    def each(self, items: Sql) -> Sql:
        return f"explode({items})"

    def struct(self, **parts: Sql) -> Sql:
        return f"named_struct({', '.join(f'{text(part)}, {value}' for part, value in parts.items())})"

    def of_known_rows(
        self, function: str, tables: Sequence[KnownRows], condition: Sql | None, own: Sequence[Sql], target: Sql,
        is_float: bool,
    ) -> Sql:
        parts = (*tables_text(self, tables), condition or "", *own, target)
        if any(True for part in parts for _ in functions_in(part)):
            # Functions of this program cannot be called for the items of a list.
            return super().of_known_rows(function, tables, condition, own, target, is_float)
        found = self.array([self.struct(**{f"o{i}": one for i, one in enumerate(own)}, target=target)])
        if condition is not None:
            found = f"CASE WHEN {condition} THEN {found} ELSE {self.array([])} END"
        for table, rows in zip(reversed(tables), reversed(tables_text(self, tables)), strict=True):
            found = f"flatten(transform({rows}, {table.alias} -> {found}))"
        found = f"array_distinct({found})"
        if function == "count":
            return f"CAST(size({found}) AS {self.whole_type})"
        targets = f"transform({found}, one -> one.target)"
        if is_float:
            return self.function(function, [targets], [LIST_OF_FLOATS])
        if function == "sum":
            return f"aggregate({targets}, 0L, (whole, one) -> try_add(whole, one))"
        return f"array_{function}({targets})"

    # functions

    def matches(self, pattern: Sql, text_: Sql) -> Sql:
        # Java's regular expressions are others.
        return self.function("match", [pattern, text_], [SYMBOL, SYMBOL])

    def is_written(self, text_: Sql, pattern: str) -> Sql:
        return _matches_whole(text_, pattern)

    def call(self, function: str, arguments: Sequence[Sql], kinds: Sequence[str]) -> Sql:
        if function in ("min", "max") and len(arguments) == 1:
            return arguments[0]
        return super().call(function, arguments, kinds)

    def limited_text(self, text_: Sql) -> Sql:
        return f"transform(array({text_}), x -> CASE WHEN length(x) <= {LONGEST_TEXT} THEN x END)[0]"

    def whole(self, left: Sql, operator: str, right: Sql) -> Sql:
        if operator == "%":
            return f"({left} % {right})"
        if operator == "/":
            return f"CASE WHEN {left} > {self.literal(LEAST_WHOLE)} OR {right} <> -1L THEN {left} div {right} END"
        return f"try_{_TRIED[operator]}({left}, {right})"

    def bytes_of(self, text_: Sql) -> Sql:
        return f"CAST(octet_length({text_}) AS BIGINT)"

    def as_date(self, day: Sql) -> Sql:
        return f"date_from_unix_date(CAST({day} AS INT))"

    def days(self, date: Sql) -> Sql:
        return f"CAST(unix_date({date}) AS BIGINT)"

    def add_months(self, day: Sql, months: Sql) -> Sql:
        return self.days(f"add_months({self.as_date(day)}, CAST({months} AS INT))")

    def creation(self, table: str) -> Sql:
        return f"CREATE OR REPLACE TEMPORARY VIEW {name(table)} AS"

    @property
    def macros(self) -> tuple[Sql, ...]:
        return tuple(f"SET {setting} = {value}" for setting, value in SETTINGS.items())


def tables_text(dialect: DuckDB, tables: Sequence[KnownRows]) -> list[Sql]:
    """Each table as a list of structs."""
    return [
        dialect.array([
            dialect.struct(**dict(zip(table.columns, map(dialect.literal, row), strict=True))) for row in table.rows
        ])
        for table in tables
    ]


class SparkValues(values.Dialect):
    """Reads the values of columns in Spark."""

    text_type, wide_type = "STRING", "DECIMAL(38, 0)"

    def __getstate__(self) -> dict[str, object]:
        """What tells the reasons of a refusal goes to the machines; what makes functions, with its session, stays."""
        return {}

    def name(self, name_: str) -> str:
        return name(name_)

    def text(self, text_: str) -> str:
        return text(text_)

    def matches(self, text_: str, pattern: str) -> str:
        return _matches_whole(text_, pattern)

    def fraction(self, decimal: str) -> str | None:
        return None  # Spark knows no greatest common divisor

    def literal(self, value: Fraction) -> str:
        return SPARK.literal(value)

    def days(self, day: str) -> str:
        return f"CAST(unix_date({day}) AS BIGINT)"


SPARK, SPARK_VALUES = Spark(), SparkValues()
