"""The SQL of one value: what `policy_kb.load.values.read_value` does with a value of a case, for a column of a table.

A column is of a database's type (a date may be a DATE) or text throughout, as in a CSV file. What one case by itself
would be refused for is refused here, and what it would be given as is given here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import count
from typing import Any

from policy_kb import dates
from policy_kb.check.checked import Attribute
from policy_kb.load.nodes import Form, Scalar
from policy_kb.load.values import (
    GREATEST_NUMBER,
    LEAST_NUMBER,
    LONGEST_VALUE,
    ONGOING,
    BadValueError,
    Tables,
    read_value,
)
from policy_kb.numbers import written_as
from policy_kb.parse.tree import Value
from policy_kb.record import record
from policy_kb.source import Span

_SMALL_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_LARGE_WHOLE = ("UBIGINT", "HUGEINT", "UHUGEINT")
_BINARY = ("FLOAT", "DOUBLE")
_MOMENTS = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")

MOST_USUAL = 200
"""A text is looked for among no more declared ones than these, one after the other."""

_PLAIN = "[!-~](?:[ -~]*[!-~])?"
"""Text whose normal form it is, without a look at what its characters are."""

_NOWHERE = Span("", 1)
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 50_000, 100
_NUMBERS = count()

_SINGLE = r"-?[0-9]{1,3}(\.[0-9]{1,3})?"
_USUAL, _USUAL_SCALE = "DECIMAL(12, 6)", 6
"""The type of decimal numbers that a database turns into fractions; the others are read from their text."""


@record
class ValueSql:
    """SQL expressions over one column.

    `accepts` is true where `read_value` would take the value and false elsewhere, never NULL. `value` is what it would
    give there (VARCHAR; BIGINT, of a date the days since 1970-01-01; a fraction, see `DuckDB.types`); elsewhere it is
    anything, but never an error. `text` is what a case would say, as `read_value` is to be given it; NULL for no value.
    `changes` is false where the value is the column itself. `is_unusual`, if there is one, is quick, and false of
    nothing but texts that are accepted and do not change.
    """

    value: str
    accepts: str
    text: str
    changes: str = "TRUE"
    is_unusual: str | None = None


class TextReader:
    """What a text of a column becomes as a database holds it: `read_value`, or None where that refuses it. Short texts
    are read once."""

    def __init__(self, attribute: Attribute, tables: Tables):
        self.attribute = attribute
        self.tables = tables
        self.known: dict[str, Any] = {}

    @property
    def kind(self) -> str:
        return self.attribute.kind

    def __call__(self, text: str | None) -> Any:
        if text is None:
            return None
        if text in self.known:
            return self.known[text]
        try:
            value: Any = stored(read_value(Scalar(text, Form.PLAIN, _NOWHERE), self.attribute, self.tables))
        except BadValueError:
            value = None
        if len(text) <= _LONGEST_REMEMBERED:
            if len(self.known) >= _MOST_REMEMBERED:
                self.known.clear()
            self.known[text] = value
        return value


class ShortestDecimal:
    """The shortest decimal of a binary number of 32 bits, from the text of the same number of 64."""

    kind = "symbol"

    def __call__(self, text: str | None) -> str | None:
        return None if text is None else written_as(float(text), is_single=True)


def stored(value: Value | None) -> Any:
    """A value as a table of a database holds it."""
    return {"n": value.numerator, "d": value.denominator} if isinstance(value, Fraction) else value


class BadColumnError(Exception):
    """A column whose type cannot hold the values of its attribute; with a hint."""

    def __init__(self, message: str, hint: str):
        super().__init__(message)
        self.message = message
        self.hint = hint


class Dialect:
    """What is not the same in all databases, as DuckDB writes it. `register` makes a function for the SQL."""

    text_type, wide_type = "VARCHAR", "HUGEINT"

    def __init__(self, register: Callable[[str, TextReader | ShortestDecimal], None] = lambda name, function: None):
        self.register = register

    def as_text(self, value: str) -> str:
        return f"CAST({value} AS {self.text_type})"

    def name(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def text(self, text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    def matches(self, text: str, pattern: str) -> str:
        """The whole text matches; `\\x{200b}` in the pattern is a character."""
        return f"regexp_full_match({text}, {self.text(pattern)})"

    def fraction(self, decimal: str) -> str | None:
        """A decimal number of the type `_USUAL`, in lowest terms; None where a database cannot do that."""
        whole, one = f"CAST({decimal} * {10**_USUAL_SCALE} AS BIGINT)", f"CAST({10**_USUAL_SCALE} AS BIGINT)"
        common = f"gcd({whole}, {one})"
        return f"{{'n': {whole} // {common}, 'd': {one} // {common}}}"

    def literal(self, value: Fraction) -> str:
        return f"{{'n': CAST({value.numerator} AS BIGINT), 'd': CAST({value.denominator} AS BIGINT)}}"

    def days(self, day: str) -> str:
        """The days from 1970-01-01 to a DATE."""
        return f"CAST({day} - DATE '1970-01-01' AS BIGINT)"


DUCKDB = Dialect()


def value_sql(
    attribute: Attribute, column: str, column_type: str, tables: Tables, dialect: Dialect = DUCKDB
) -> ValueSql:
    """The SQL of `attribute` in `column` (quoted, an expression), which is of DuckDB's type `column_type`.

    Raises BadColumnError where a column of that type cannot hold such a value.
    """
    if column_type.startswith("ENUM"):
        column, column_type = dialect.as_text(column), "VARCHAR"
    maker = _ValueSql(attribute, column, column_type, tables, dialect)
    if attribute.is_date:
        found = maker.date()
    elif attribute.kind == "number":
        found = maker.whole()
    elif attribute.kind == "float":
        found = maker.decimal()
    else:
        return maker.symbol()
    value, accepts, text = found.value, found.accepts, found.text
    return ValueSql(value, f"coalesce({' AND '.join([accepts, *maker.limits(value)])}, FALSE)", text)


def reads(text: str | None, attribute: Attribute, tables: Tables) -> BadValueError | None:
    """Why a value is refused whose `ValueSql.text` this is; None where it is not."""
    try:
        read_value(Scalar(text or "", Form.NOTHING if text is None else Form.PLAIN, _NOWHERE), attribute, tables)
    except BadValueError as bad:
        return bad
    return None


class _ValueSql:
    """The SQL of one attribute; `value` of what a method gives is bound to the type, not yet to its set of values."""

    def __init__(self, attribute: Attribute, column: str, column_type: str, tables: Tables, dialect: Dialect):
        self.attribute = attribute
        self.column = column
        self.type = column_type
        self.tables = tables
        self.sql = dialect
        self.is_text = column_type == "VARCHAR"
        decimal = _DECIMAL.fullmatch(column_type)
        self.digits, self.scale = (int(decimal[1]), int(decimal[2])) if decimal else (0, 0)
        self.is_large_whole = column_type in _LARGE_WHOLE or (decimal is not None and self.scale == 0)
        self.is_whole = column_type in _SMALL_WHOLE or self.is_large_whole
        self.is_decimal = decimal is not None

    def bad(self, sort: str, hint: str) -> BadColumnError:
        shown = self.type if len(self.type) <= 60 else self.type[:60] + "..."
        return BadColumnError(f"`{self.attribute.name}` is {sort}; the column has the type {shown}", hint)

    # dates

    def date(self) -> ValueSql:
        column, is_ongoing = self.column, f"{self.column} = {self.sql.text(ONGOING)}"
        day = column
        is_day = ""
        if self.is_text:
            day = f"TRY_CAST({column} AS DATE)"
            # Other ways to write a date are no date; a day that the database writes as it is written here is one.
            is_day = f"{self.sql.as_text(day)} = {column} AND "
        elif self.type in _MOMENTS:
            day = f"TRY_CAST({column} AS DATE)"
            is_day = f"TRY_CAST({day} AS {self.type}) = {column} AND "
        elif self.type == "TIMESTAMP WITH TIME ZONE":
            raise self.bad("a date", "the day depends on the time zone: write the column as DATE")
        elif self.type != "DATE":
            raise self.bad("a date", "write the column as DATE, or as text such as `2025-07-15`")
        first, last, never = (f"DATE '{_day(days)}'" for days in (dates.EARLIEST, dates.LATEST, dates.ONGOING))
        value, accepts = self.sql.days(day), f"{is_day}{day} BETWEEN {first} AND {last}"
        text = self.sql.as_text(column)
        if self.is_text:
            value, accepts = self.read_or(column, accepts, value)
            if self.attribute.may_be_ongoing:
                value = f"CASE WHEN {is_ongoing} THEN {dates.ONGOING} ELSE {value} END"
                accepts = f"({is_ongoing} OR ({accepts}))"
            return ValueSql(value, accepts, column)
        if is_day:
            text = f"CASE WHEN {is_day}TRUE THEN {self.sql.as_text(day)} ELSE {text} END"
        if self.attribute.may_be_ongoing:
            accepts = f"{is_day}({day} BETWEEN {first} AND {last} OR {day} = {never})"
            text = f"CASE WHEN {is_day}{day} = {never} THEN {self.sql.text(ONGOING)} ELSE {text} END"
        return ValueSql(value, f"({accepts})", text)

    # numbers

    def whole(self) -> ValueSql:
        column = self.column
        value = f"TRY_CAST({column} AS BIGINT)"
        if self.is_text:
            # A database reads `1e5`, `1_000` and `0x1f` as numbers too.
            return ValueSql(*self.read_or(column, f"{self.sql.as_text(value)} = {column}", value), column)
        if not self.is_whole:
            numeric = self.is_decimal or self.type in _BINARY
            hint = "write the column as whole numbers (BIGINT)" if numeric else "write the column as BIGINT, or as text"
            raise self.bad("a whole number", hint)
        accepts = f"{value} IS NOT NULL" if self.is_large_whole else f"{column} IS NOT NULL"
        return ValueSql(value, accepts, self.sql.as_text(column))

    def decimal(self) -> ValueSql:
        """A decimal number as a fraction. A binary one stands for the shortest decimal that reads back at its own
        width."""
        column = self.column
        text = self.sql.as_text(column)
        if self.type == "FLOAT":
            # Of few digits there is no other one. Of many, a database does not always write the shortest.
            shortest = self.registered(ShortestDecimal())
            double = self.sql.as_text(f"CAST({column} AS DOUBLE)")
            text = f"CASE WHEN {self.sql.matches(text, _SINGLE)} THEN {text} ELSE {shortest}({double}) END"
        if self.digits and self.digits == self.scale:
            # `.5`, of a type that has no place for the 0.
            text = f"replace({text}, '.', '0.')"
        if self.type == "DOUBLE":
            decimal = f"TRY_CAST({column} AS {_USUAL})"
            # Of so few digits, there is no other one that reads back.
            usual = f"CAST({decimal} AS DOUBLE) = {column} AND {column} BETWEEN -1e6 AND 1e6"
        elif self.is_whole or self.is_decimal:
            decimal = f"TRY_CAST({column} AS {_USUAL})"
            usual = f"{decimal} IS NOT NULL AND {self.scale} <= {_USUAL_SCALE}"
        elif self.is_text or self.type == "FLOAT":
            decimal = f"TRY_CAST({text} AS {_USUAL})"
            usual = self.sql.matches(text, rf"-?[0-9]{{1,6}}(\.[0-9]{{1,{_USUAL_SCALE}}})?")
        else:
            raise self.bad("a number", "write the column as DOUBLE or DECIMAL, or as text")
        fraction = self.sql.fraction(decimal)
        value, accepts = self.read_or(text, usual, fraction) if fraction else self.read_or(text, "FALSE", "NULL")
        return ValueSql(value, f"{column} IS NOT NULL AND {accepts}", text)

    def registered(self, function: TextReader | ShortestDecimal) -> str:
        """The name of a function."""
        name = f"batch_read_{next(_NUMBERS)}"
        self.sql.register(name, function)
        return name

    def read_or(self, text: str, usual: str, value: str) -> tuple[str, str]:
        """The value of what is usual, and of other texts what the reader of single cases makes of them; and whether
        that accepts them."""
        read = f"{self.registered(TextReader(self.attribute, self.tables))}({text})"
        return (f"CASE WHEN {usual} THEN {value} ELSE {read} END",
                f"CASE WHEN {usual} THEN TRUE ELSE {read} IS NOT NULL END")

    def limits(self, value: str) -> list[str]:
        """What the attribute asks of a number or a date beyond its type; `value` is its SQL."""
        attribute, limits = self.attribute, []
        if attribute.domain is not None:
            limits.append(self.among(value, self.tables.first_column(attribute.domain.relation)))
        if attribute.one_of is not None:
            limits.append(self.among(value, attribute.one_of))
        if attribute.at_least is not None:
            limits.append(self.compared(value, ">=", attribute.at_least))
        if attribute.at_most is not None:
            limits.append(self.compared(value, "<=", attribute.at_most))
        return limits

    def compared(self, value: str, operator: str, limit: int | Fraction) -> str:
        """A number is at least (`>=`) or at most (`<=`) this."""
        if self.attribute.kind == "number":
            # What no number of 64 bits is, is compared with the last of these that there are.
            if operator == ">=":
                whole = math.ceil(limit)
                return "FALSE" if whole > GREATEST_NUMBER else f"{value} >= {max(whole, LEAST_NUMBER)}"
            whole = math.floor(limit)
            return "FALSE" if whole < LEAST_NUMBER else f"{value} <= {min(whole, GREATEST_NUMBER)}"
        limit = Fraction(limit)
        return f"CAST(({value}).n AS {self.sql.wide_type}) * {limit.denominator} {operator} " \
            f"CAST(({value}).d AS {self.sql.wide_type}) * {limit.numerator}"

    def among(self, value: str, values: Iterable[Value]) -> str:
        if self.attribute.kind == "float":
            wanted = {self.sql.literal(Fraction(one)) for one in values if not isinstance(one, str)}
        elif self.attribute.kind == "number":
            wanted = {str(int(one)) for one in values if not isinstance(one, str) and one == int(one)}
        else:
            wanted = set()
        return f"{value} IN ({', '.join(sorted(wanted))})" if wanted else "FALSE"

    # text

    def symbol(self) -> ValueSql:
        if not self.is_text:
            raise self.bad("text", "write the column as text (VARCHAR)")
        column, values = self.column, self.declared()
        if values is not None:
            kept = sorted({str(value) for value in values if self.stays(value)})
            usual = f"{column} IN ({', '.join(map(self.sql.text, kept))})" if kept else "FALSE"
            value = column
        else:
            # Of such a text nothing changes but letter case.
            usual = f"length({column}) <= {LONGEST_VALUE} AND {self.sql.matches(column, _PLAIN)}"
            value = f"lower({column})" if self.attribute.any_case else column
            if self.attribute.refuses:
                refused = sorted({one for word in self.attribute.refuses for one in (word, f"{word}.")})
                usual += f" AND lower({column}) NOT IN ({', '.join(map(self.sql.text, refused))})"
        value, accepts = self.read_or(column, usual, value)
        changes = f"{value} IS DISTINCT FROM {column}"
        return ValueSql(value, accepts, column, changes, self.is_unusual())

    def declared(self) -> Iterable[Value] | None:
        """The values that the attribute is declared to have, if it is."""
        if self.attribute.domain is not None:
            return self.tables.first_column(self.attribute.domain.relation)
        return self.attribute.one_of

    def is_unusual(self) -> str | None:
        """The text is not one of the few that are declared, as it is written there."""
        values = tuple(self.declared() or ())
        kept = sorted(str(value) for value in values if len(values) <= MOST_USUAL and self.stays(value))
        listed = ", ".join(map(self.sql.text, kept))
        return f"({self.column} NOT IN ({listed}) OR {self.column} IS NULL)" if kept else None

    def stays(self, value: Value) -> bool:
        """A text is accepted and stays as it is."""
        try:
            return read_value(Scalar(str(value), Form.PLAIN, _NOWHERE), self.attribute, self.tables) == value
        except BadValueError:
            return False


def _day(days: int) -> str:
    return "9999-12-31" if days == dates.ONGOING else dates.format_date(days)
