"""The SQL of one value: what `policy_kb.load.values.read_value` does with a value of a case, for a column of a table.

A column is of a database's type (a date may be a DATE) or text throughout, as in a CSV file. What one case by itself
would be refused for is refused here, and what it would be given as is given here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import cache

from policy_kb import dates
from policy_kb.check.checked import Attribute, Domain
from policy_kb.load.nodes import Form, Scalar
from policy_kb.load.values import (
    CONTROL_CHARACTERS,
    GREATEST_NUMBER,
    LEAST_NUMBER,
    LONGEST_VALUE,
    ONGOING,
    OTHER,
    BadValueError,
    Tables,
    read_value,
)
from policy_kb.parse.tree import Value
from policy_kb.record import record
from policy_kb.source import Span

_SPACES = "".join(
    sign for sign in map(chr, range(0x3100)) if sign.isspace() and not re.match(f"[{CONTROL_CHARACTERS}]", sign)
)
"""What `str.strip` removes, without what is refused in text anyway."""

_SMALL_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_LARGE_WHOLE = ("UBIGINT", "HUGEINT", "UHUGEINT")
_BINARY = ("FLOAT", "DOUBLE")
_MOMENTS = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")

MOST_USUAL = 200
"""A text is looked for among no more declared ones than these, one after the other."""

_EXACT_DIGITS = 15
"""A decimal number of so many digits is a whole number and a power of ten that a double holds both exactly, so that
their quotient is the nearest double; one of more digits is read from its text."""

_GREATEST_DOUBLE = 1.7976931348623157e308


@record
class ValueSql:
    """SQL expressions over one column.

    `accepts` is true where `read_value` would take the value and false elsewhere, never NULL. `value` is what it would
    give there (VARCHAR; BIGINT, of a date the days since 1970-01-01; DOUBLE, never -0.0); elsewhere it is anything, but
    never an error. `text` is what a case would say, as `read_value` is to be given it; NULL for no value. `changes` is
    false where the value is the column itself. `is_unusual`, if there is one, is quick, and false of nothing but texts
    that are accepted and do not change.
    """

    value: str
    accepts: str
    text: str
    changes: str = "TRUE"
    is_unusual: str | None = None


class BadColumnError(Exception):
    """A column whose type cannot hold the values of its attribute; with a hint."""

    def __init__(self, message: str, hint: str):
        super().__init__(message)
        self.message = message
        self.hint = hint


class Dialect:
    """What is not the same in all databases, as DuckDB writes it."""

    text_type = "VARCHAR"

    def as_text(self, value: str) -> str:
        return f"CAST({value} AS {self.text_type})"

    def name(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def text(self, text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    def matches(self, text: str, pattern: str) -> str:
        """The whole text matches; `\\x{200b}` in the pattern is a character."""
        return f"regexp_full_match({text}, {self.text(pattern)})"

    def is_ascii(self, text: str) -> str:
        return f"strlen({text}) = length({text})"

    def is_lowered_alike(self, text: str, pattern: str) -> str:
        """The database's lower case of this text is its folded form; for `pattern` Unicode says so."""
        return f"{self.is_ascii(text)} OR {self.matches(text, pattern)}"

    def starts_with(self, text: str, start: str) -> str:
        return f"starts_with({text}, {self.text(start)})"

    def trimmed(self, text: str, signs: str) -> str:
        return f"trim({text}, {self.text(signs)})"

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
        read_value(Scalar(text or "", Form.NOTHING if text is None else Form.PLAIN, Span("", 1)), attribute, tables)
    except BadValueError as bad:
        return bad
    return None


def folded(text: str, dialect: Dialect = DUCKDB) -> str:
    """`str.casefold` in SQL. Databases have a lower case alone, which is the same for most of Europe's letters."""
    single, several, usual = _foldings()
    other = f"translate({text}, {dialect.text(''.join(single))}, {dialect.text(''.join(single.values()))})"
    for sign, fold in several.items():
        other = f"replace({other}, {dialect.text(sign)}, {dialect.text(fold)})"
    return f"CASE WHEN {dialect.is_lowered_alike(text, usual)} THEN lower({text}) ELSE {other} END"


@cache
def _foldings() -> tuple[dict[str, str], dict[str, str], str]:
    """The characters that `str.casefold` changes, into one other and into several; a pattern of text in Latin, Greek
    and Cyrillic letters whose lower case it gives."""
    # Beyond these no script has letter case.
    changed = {sign: sign.casefold() for sign in map(chr, range(0x20000)) if sign != sign.casefold()}
    single = {sign: fold for sign, fold in changed.items() if len(fold) == 1}
    several = {sign: fold for sign, fold in changed.items() if len(fold) > 1}
    unusual = [*several, *(sign for sign in single if sign.lower() != sign.casefold())]
    listed = "".join(rf"\x{{{ord(sign):x}}}" for sign in unusual if sign < "\u0500")
    return single, several, rf"[^{listed}\x{{500}}-\x{{10ffff}}]*"


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
            text = column
            if self.attribute.may_be_ongoing:
                value = f"CASE WHEN {is_ongoing} THEN {dates.ONGOING} ELSE {value} END"
                accepts = f"({is_ongoing} OR ({accepts}))"
            return ValueSql(value, accepts, text)
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
            written = f"{self.sql.matches(column, '-?[0-9]+')} AND length({column}) <= {LONGEST_VALUE}"
            return ValueSql(value, f"CASE WHEN {self.sql.as_text(value)} = {column} THEN TRUE "
                                   f"ELSE {value} IS NOT NULL AND {written} END", column)
        if not self.is_whole:
            numeric = self.is_decimal or self.type in _BINARY
            hint = "write the column as whole numbers (BIGINT)" if numeric else "write the column as BIGINT, or as text"
            raise self.bad("a whole number", hint)
        accepts = f"{value} IS NOT NULL" if self.is_large_whole else f"{column} IS NOT NULL"
        return ValueSql(value, accepts, self.sql.as_text(column))

    def decimal(self) -> ValueSql:
        column = self.column
        text = self.sql.as_text(column)
        if self.is_text:
            value = f"(TRY_CAST({column} AS DOUBLE) + 0e0)"
            written = self.sql.matches(column, r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
            return ValueSql(value, f"{_is_finite(value)} AND {written} AND length({column}) <= {LONGEST_VALUE}", column)
        if self.type in _BINARY:
            # Adding zero makes -0.0 the same value as 0.0.
            value = f"(CAST({column} AS DOUBLE) + 0e0)"
            return ValueSql(value, _is_finite(value), self.sql.as_text(f"CAST({column} AS DOUBLE)"))
        if self.digits and self.digits == self.scale:
            # `.5`, of a type that has no place for the 0.
            text = f"replace({text}, '.', '0.')"
        if self.type in ("HUGEINT", "UHUGEINT") or self.digits > _EXACT_DIGITS:
            return ValueSql(f"CAST({text} AS DOUBLE)", f"{column} IS NOT NULL", text)
        if self.is_whole or self.is_decimal:
            return ValueSql(f"CAST({column} AS DOUBLE)", f"{column} IS NOT NULL", text)
        raise self.bad("a number", "write the column as DOUBLE or DECIMAL, or as text")

    def limits(self, value: str) -> list[str]:
        """What the attribute asks of a number or a date beyond its type; `value` is its SQL."""
        attribute, limits = self.attribute, []
        if attribute.domain is not None:
            limits.append(self.among(value, self.tables.first_column(attribute.domain.relation)))
        if attribute.one_of is not None:
            limits.append(self.among(value, attribute.one_of))
        if attribute.at_least is not None:
            limits.append(self.at_least(value, attribute.at_least))
        return limits

    def at_least(self, value: str, least: int | float) -> str:
        if self.attribute.kind == "number":
            whole = math.ceil(least)
            return "FALSE" if whole > GREATEST_NUMBER else f"{value} >= {max(whole, LEAST_NUMBER)}"
        if abs(least) > _GREATEST_DOUBLE:
            return "FALSE" if least > 0 else "TRUE"
        nearest = float(least)
        return f"{value} >= {_double(math.nextafter(nearest, math.inf) if nearest < least else nearest)}"

    def among(self, value: str, values: Iterable[Value]) -> str:
        if self.attribute.kind == "float":
            wanted = {_double(float(one)) for one in values if not isinstance(one, str)}
        elif self.attribute.kind == "number":
            wanted = {str(int(one)) for one in values if not isinstance(one, str) and one == int(one)}
        else:
            wanted = {self.sql.text(one) for one in values if isinstance(one, str) and _is_plain(one)}
        return f"{value} IN ({', '.join(sorted(wanted))})" if wanted else "FALSE"

    # text

    def symbol(self) -> ValueSql:
        if not self.is_text:
            raise self.bad("text", "write the column as text (VARCHAR)")
        attribute, column = self.attribute, self.column
        value = folded(column, self.sql) if attribute.any_case else column
        if attribute.domain is not None:
            value, accepts = self.in_domain(value, attribute.domain)
            if attribute.one_of is not None:
                accepts = f"{accepts} AND {self.among(value, attribute.one_of)}"
        elif attribute.one_of is not None:
            accepts = self.among(value, attribute.one_of)
        else:
            accepts = self.is_plain()
        changes = "FALSE" if value == column else f"{value} IS DISTINCT FROM {column}"
        return ValueSql(value, f"coalesce({accepts}, FALSE)", column, changes, self.is_unusual())

    def is_unusual(self) -> str | None:
        """The text is not one of the few that are declared, as it is written there."""
        attribute, values = self.attribute, self.attribute.one_of or ()
        if attribute.domain is not None:
            values = tuple(self.tables.first_column(attribute.domain.relation))
        kept = sorted(str(value) for value in values if len(values) <= MOST_USUAL and self.stays(value))
        listed = ", ".join(map(self.sql.text, kept))
        return f"({self.column} NOT IN ({listed}) OR {self.column} IS NULL)" if kept else None

    def stays(self, value: Value) -> bool:
        """A text is accepted and stays as it is."""
        try:
            return read_value(Scalar(str(value), Form.PLAIN, Span("", 1)), self.attribute, self.tables) == value
        except BadValueError:
            return False

    def is_plain(self) -> str:
        """The text holds something, is not too long, and is without control characters."""
        control = "".join(sign if sign == "-" else rf"\x{{{ord(sign):x}}}" for sign in CONTROL_CHARACTERS)
        spaces = "".join(rf"\x{{{ord(sign):x}}}" for sign in _SPACES)
        pattern = f"[^{control}]*[^{control}{spaces}][^{control}]*"
        return f"length({self.column}) <= {LONGEST_VALUE} AND {self.sql.matches(self.column, pattern)}"

    def in_domain(self, value: str, domain: Domain) -> tuple[str, str]:
        """The value, with the NAME of `other: NAME` trimmed, and whether it may be said."""
        members = self.tables.first_column(domain.relation)
        name = self.sql.trimmed(f"substr({value}, {len(OTHER) + 1})", _SPACES)
        is_other = self.sql.starts_with(value, OTHER)
        rows = self.tables.rows(domain.relation)
        reserved = sorted({str(row[column]).casefold() for row in rows for column in domain.reserved})
        listed = ", ".join(map(self.sql.text, reserved))
        is_free = f"{folded(name, self.sql)} NOT IN ({listed})" if reserved else "TRUE"
        is_member = self.among(value, members)
        accepts = f"CASE WHEN {is_member} THEN TRUE WHEN {is_other} THEN {name} <> '' AND {self.is_plain()} " \
                  f"AND {is_free} ELSE FALSE END"
        kept = [one for one in members if str(one).startswith(OTHER)]
        is_trimmed = f"{is_other} AND NOT {self.among(value, kept)}" if kept else is_other
        return f"CASE WHEN {is_trimmed} THEN {self.sql.text(OTHER)} || {name} ELSE {value} END", accepts


def _is_plain(text: str) -> bool:
    return 0 < len(text) <= LONGEST_VALUE and bool(text.strip()) and not re.search(f"[{CONTROL_CHARACTERS}]", text)


def _is_finite(value: str) -> str:
    # Of two numbers the one that is none is the greater.
    return f"{value} BETWEEN {_double(-_GREATEST_DOUBLE)} AND {_double(_GREATEST_DOUBLE)}"


def _double(value: float) -> str:
    """A literal of the type DOUBLE, which one without an exponent is not."""
    text = repr(value)
    return text if "e" in text else f"{text}e0"


def _day(days: int) -> str:
    return "9999-12-31" if days == dates.ONGOING else dates.format_date(days)
