"""The SQL of one value gives and refuses what the reader of one case gives and refuses."""

from __future__ import annotations

import datetime
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from policy_kb import dates
from policy_kb.batch.functions import fraction
from policy_kb.batch.tables import register
from policy_kb.batch.values import BadColumnError, Dialect, reads, value_sql
from policy_kb.check.checked import Attribute, Domain
from policy_kb.load.nodes import Form, Scalar
from policy_kb.load.values import LONGEST_VALUE, BadValueError, Tables, read_value
from policy_kb.numbers import BEYOND, written_as
from policy_kb.parse.tree import Value
from policy_kb.source import Span
from tests.strategies.texts import UNSEEN, odd_texts
from tests.strategies.texts import WORDS as ODD_WORDS

duckdb = pytest.importorskip("duckdb")
numpy = pytest.importorskip("numpy")

DATABASE = duckdb.connect()
DIALECT = Dialect(partial(register, DATABASE))

TABLES = Tables({
    "product": {
        ("Lemtrada", "alemtuzumab"),
        ("Avonex", "interferon BETA-1a"),
        ("it's", 'a "quoted" one'),
        ("Maße", "STRASSE"),
        ("other: kept", " spaced "),
        ("bad\u200bname", "x"),
    },
    "folded": {("avonex", "b"), ("strasse", "B")},
    "dose": {(Fraction(3, 2),), (Fraction(0),), (Fraction(1, 3),)},
    "code": {(7,), (-(2**63),), (20000,)},
    "empty": set(),
})

Outcome = Value | None
"""What is read, None where it is refused."""


def in_sql(attribute: Attribute, column_type: str, texts: Sequence[str | None]) -> list[tuple[str | None, Outcome]]:
    """For each text, cast to the type: what a case would say, and what the SQL makes of it."""
    sql = value_sql(attribute, '"a ""column"""', column_type, TABLES, DIALECT)
    rows = DATABASE.execute(
        f"SELECT {sql.text}, {sql.accepts}, {sql.value} FROM (SELECT CAST(unnest($1::VARCHAR[]) AS {column_type}) "
        'AS "a ""column""")', [list(texts)]
    ).fetchall()
    assert all(type(accepts) is bool for _, accepts, _ in rows)
    given = ((text, fraction(value) if isinstance(value, dict) else value, accepts) for text, accepts, value in rows)
    return [(text, value if accepts else None) for text, value, accepts in given]


def by_itself(attribute: Attribute, text: str | None) -> Outcome:
    form = Form.NOTHING if text is None else Form.PLAIN
    try:
        return read_value(Scalar(text or "", form, Span("", 1)), attribute, TABLES)
    except BadValueError:
        return None


def one(attribute: Attribute, column_type: str, text: str | None) -> Outcome:
    [(_, outcome)] = in_sql(attribute, column_type, [text])
    return outcome


def day(text: str) -> int:
    return dates.parse_date(text)


SYMBOL = Attribute("a", "symbol", "symbol")
NUMBER = Attribute("a", "number", "number")
FLOAT = Attribute("a", "float", "float")
DATE = Attribute("a", "Date", "number", is_date=True)
END = Attribute("a", "Date", "number", is_date=True, may_be_ongoing=True)
PRODUCT = Attribute("a", "Product", "symbol", domain=Domain("product", (0, 1)))

WORDS = [*ODD_WORDS, "Lemtrada", "lemtrada", "AVONEX", "it's", "Maße", "MASSE", "strasse", "STRAẞE", "other: kept",
         "bad\u200bname", "positive", "ǰ", "İ", "ongoing", "Ongoing", "none", "None.", "NKDA", "none..",
         "x' OR '1'='1", "\u017f"]
SPACES = ["", " ", "\t", "\n", "\x1f", "\x85", "\xa0", "\u1680", "\u2000", "\u200b", "\u2028", "\u202f", "\u205f",
          "\u3000", "\ufeff", "\x00"]

_decimals = st.decimals(-2000, 2000, places=2)
_anything = st.integers() | st.floats() | _decimals | st.decimals(allow_nan=False)
_numbers = _anything.map(str) | st.sampled_from([
    "-0", "-0.0", "007", "+1", "1e5", "1E5", "1_000", "0x1f", "1.", ".5", "1e400", "-1e400", "1e-400", "nan", "inf",
    "\u0663", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "0" * 50 + "1", "9" * 400, "1,5",
    " 1", "1 ", "1.50", "1e300", "7", "20000", "0" * LONGEST_VALUE + "1", "0.1" + "0" * LONGEST_VALUE, "1\n",
])
_dates = st.dates().map(str) | st.datetimes().map(str) | st.sampled_from([
    "1900-01-01", "1899-12-31", "2199-12-31", "2200-01-01", "9999-12-31", "2025-02-30", "2024-02-29", "2025-7-5",
    "2025/07/05", " 2025-07-05", "2025-07-05 ", "infinity", "-infinity", "epoch", "today", "12025-01-01", "-2025-01-01",
    "0044-03-15 (BC)", "2025-07-05T00:00", "20250705", "\u0662\u0660\u0662\u0665-01-01", "2025-07-05\n",
    "ongoing ", "0000-01-01",
])
_words = st.sampled_from(WORDS) | odd_texts | st.text(max_size=12) | st.sampled_from(
    ["x" * LONGEST_VALUE, "é" * LONGEST_VALUE, "é" * (LONGEST_VALUE + 1)]
)
_padded = st.tuples(st.sampled_from(SPACES), _words, st.sampled_from(SPACES)).map("".join)
_others = st.tuples(st.sampled_from(["other: ", "other:", "Other: ", "OTHER: "]), _padded).map("".join)
_texts = (st.none() | _numbers | _dates | _padded | _others).filter(
    lambda text: text is None or not any("\ud800" <= sign <= "\udfff" for sign in text)
)

_parts = st.integers(1, BEYOND - 1)
_fractions = st.builds(lambda sign, one, two: sign * Fraction(one, two), st.sampled_from([-1, 0, 1]), _parts, _parts)
_least = st.none() | st.integers(-(2**63), 2**63 - 1) | _fractions


@st.composite
def attributes(draw: st.DrawFn) -> Attribute:
    """Any attribute, with sets of values that are out of the ordinary too."""
    kind = draw(st.sampled_from(["symbol", "number", "float", "date"]))
    options: dict[str, Any] = {}
    domains = {"symbol": ["product", "folded", "empty"], "float": ["dose", "empty"]}.get(kind, ["code", "empty"])
    if draw(st.booleans()):
        options["domain"] = Domain(draw(st.sampled_from(domains)), draw(st.sampled_from([(0,), (0, -1)])))
    if draw(st.booleans()):
        values: dict[str, st.SearchStrategy[Any]] = {
            "symbol": _padded, "float": _fractions | st.just(Fraction(3, 2)),
        }
        values_of_kind = values.get(kind, st.integers(-(2**63), 2**63 - 1) | st.sampled_from([7, 20000]))
        options["one_of"] = tuple(draw(st.lists(values_of_kind, max_size=10)))
    options["may_be_none"] = draw(st.booleans())
    if kind == "symbol":
        if draw(st.booleans()):
            options["refuses"] = ("nkda", "none", "x' or '1'='1")
        return Attribute("a", "symbol", "symbol", any_case=draw(st.booleans()), **options)
    options |= {"at_least": draw(_least), "at_most": draw(_least)}
    if kind == "date":
        return Attribute("a", "Date", "number", is_date=True, may_be_ongoing=draw(st.booleans()), **options)
    return Attribute("a", kind, kind, **options)


def assert_same(attribute: Attribute, column_type: str, texts: Sequence[str | None]) -> None:
    for text, outcome in in_sql(attribute, column_type, texts):
        wanted = by_itself(attribute, text)
        # -0.0 == 0.0 and 1 == 1.0: their texts differ.
        assert repr(outcome) == repr(wanted), (text, column_type)
        assert (reads(text, attribute, TABLES) is None) == (wanted is not None)


@given(attributes(), st.lists(_texts, min_size=1, max_size=40))
@example(PRODUCT, ["other: \u2000Lem\u00adtrada\u3000", "other: ALEMTUZUMAB", "other: Strasse", "other: straße"])
def test_a_text_is_read_as_in_a_case(attribute: Attribute, texts: list[str | None]) -> None:
    assert_same(attribute, "VARCHAR", texts)


_WHOLE = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 127}


@given(attributes(), st.sampled_from(sorted(_WHOLE)), st.lists(st.none() | st.integers(), max_size=30))
def test_a_whole_number_is_read_as_its_digits(attribute: Attribute, column_type: str, values: list[int | None]) -> None:
    limit = 2 ** (_WHOLE[column_type] - 1) - 1
    texts = [None if value is None else str(max(-limit, min(limit, value))) for value in [*values, -limit, limit, 7]]
    if attribute.is_date or attribute.kind == "symbol":
        with pytest.raises(BadColumnError):
            in_sql(attribute, column_type, texts)
        return
    assert [text for text, _ in in_sql(attribute, column_type, texts)] == texts
    assert_same(attribute, column_type, texts)


@given(
    attributes().filter(lambda attribute: attribute.kind == "float"),
    st.sampled_from([(4, 2), (9, 0), (15, 15), (18, 3), (18, 18), (38, 0), (38, 37), (38, 10)]),
    st.lists(st.none() | st.integers(-(10**38) + 1, 10**38 - 1), max_size=30),
)
def test_a_decimal_number_is_read_as_its_text(
    attribute: Attribute, size: tuple[int, int], values: list[int | None]
) -> None:
    digits, scale = size
    texts = []
    for value in values:
        unscaled = str(abs(value or 0) % 10**digits).rjust(scale + 1, "0")
        point = f"{unscaled[: len(unscaled) - scale]}.{unscaled[len(unscaled) - scale :]}" if scale else unscaled
        texts.append(None if value is None else f"{'-' if value < 0 and int(unscaled) else ''}{point}")
    assert [text for text, _ in in_sql(attribute, f"DECIMAL({digits},{scale})", texts)] == texts
    assert_same(attribute, f"DECIMAL({digits},{scale})", texts)


@given(
    attributes().filter(lambda attribute: attribute.kind == "float"),
    st.sampled_from(["DOUBLE", "FLOAT"]),
    st.lists(st.none() | st.floats() | st.floats(width=32) | _decimals.map(float), max_size=30),
)
def test_a_binary_number_is_read_as_the_shortest_decimal_of_its_width(
    attribute: Attribute, column_type: str, values: list[float | None]
) -> None:
    edges = (-0.0, math.inf, math.nan, sys.float_info.max)
    is_single = column_type == "FLOAT"
    numbers = [None if one is None else float(numpy.float32(one)) if is_single else one for one in (*values, *edges)]
    texts = [None if one is None else written_as(one, is_single=is_single) for one in numbers]
    for text, (said, outcome) in zip(texts, in_sql(attribute, column_type, texts), strict=True):
        assert repr(outcome) == repr(by_itself(attribute, text)) == repr(by_itself(attribute, said))


@given(
    attributes().filter(lambda attribute: attribute.is_date),
    st.sampled_from(["DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS"]),
    st.lists(st.none() | st.dates() | st.datetimes(), max_size=30),
)
def test_a_date_is_read_as_its_text(
    attribute: Attribute, column_type: str, values: list[datetime.date | None]
) -> None:
    edges = ["infinity", "-infinity", "9999-12-31", "1900-01-01", "1899-12-31", "2199-12-31", "2200-01-01"]
    texts = [None if value is None else str(value) for value in values] + edges
    for text, outcome in in_sql(attribute, column_type, texts):
        assert outcome == by_itself(attribute, text), (text, column_type)


def test_the_last_day_of_all_is_ongoing_where_that_is_allowed() -> None:
    for column_type in ("DATE", "TIMESTAMP", "TIMESTAMP_MS"):
        assert one(END, column_type, "9999-12-31") == dates.ONGOING
        assert one(DATE, column_type, "9999-12-31") is None
        assert one(END, column_type, "infinity") is None
    assert one(END, "VARCHAR", "ongoing") == dates.ONGOING
    assert one(END, "VARCHAR", "9999-12-31") is None


def test_a_moment_is_a_date_at_midnight_only() -> None:
    assert one(DATE, "TIMESTAMP", "2025-07-15 00:00:00") == day("2025-07-15")
    assert one(DATE, "TIMESTAMP_NS", "2025-07-15 00:00:00") == day("2025-07-15")
    assert one(DATE, "TIMESTAMP", "2025-07-15 00:00:00.000001") is None
    assert one(DATE, "TIMESTAMP_NS", "2025-07-15 00:00:00.000000001") is None
    [(said, _)] = in_sql(DATE, "TIMESTAMP", ["2025-07-15 13:30:00"])
    bad = reads(said, DATE, TABLES)
    assert bad is not None
    assert bad.message == "`a` is a date; the case says `2025-07-15 13:30:00`"
    assert bad.hint == "write the date alone: `2025-07-15`"


def test_a_text_that_a_database_would_read_as_a_number_is_none() -> None:
    for text in ("1e5", "1.5", "1_000", "0x1f", "1 0", "+1", "1.0"):
        assert one(NUMBER, "VARCHAR", text) is None
    for text in ("1_000.5", "1 .5", "+1.5", ".5", "1.", "nan", "inf", "1e999"):
        assert one(FLOAT, "VARCHAR", text) is None
    assert one(NUMBER, "VARCHAR", "-007") == -7
    assert one(FLOAT, "VARCHAR", "-0") == 0


def test_blanks_at_the_ends_of_a_value_are_nothing() -> None:
    for attribute, text in ((NUMBER, "12"), (FLOAT, "12.5"), (DATE, "2025-07-15"), (END, "ongoing"), (SYMBOL, "a b")):
        for around in (f" {text}", f"{text}\u00a0", f"\t{text}\u3000", f"{text}\r\n"):
            assert one(attribute, "VARCHAR", around) == one(attribute, "VARCHAR", text) is not None


def test_a_value_of_an_enumeration_is_its_text() -> None:
    DATABASE.execute("CREATE OR REPLACE TABLE kinds AS SELECT unnest(['Lemtrada', 'x'])::ENUM('Lemtrada', 'x') AS k")
    sql = value_sql(PRODUCT, '"k"', "ENUM('Lemtrada', 'x')", TABLES, DIALECT)
    rows = DATABASE.execute(f"SELECT {sql.value}, {sql.accepts}, {sql.text} FROM kinds").fetchall()
    assert rows == [("Lemtrada", True, "Lemtrada"), (None, False, "x")]


@pytest.mark.parametrize(
    ("attribute", "column_type", "message", "hint"),
    [
        (SYMBOL, "BIGINT", "`a` is text; the column has the type BIGINT", "write the column as text (VARCHAR)"),
        (SYMBOL, "BLOB", "`a` is text; the column has the type BLOB", "write the column as text (VARCHAR)"),
        (NUMBER, "BOOLEAN", "`a` is a whole number; the column has the type BOOLEAN",
         "write the column as BIGINT, or as text"),
        (NUMBER, "DOUBLE", "`a` is a whole number; the column has the type DOUBLE",
         "write the column as whole numbers (BIGINT)"),
        (NUMBER, "DECIMAL(9,2)", "`a` is a whole number; the column has the type DECIMAL(9,2)",
         "write the column as whole numbers (BIGINT)"),
        (FLOAT, "STRUCT(a INTEGER)", "`a` is a number; the column has the type STRUCT(a INTEGER)",
         "write the column as DOUBLE or DECIMAL, or as text"),
        (DATE, "INTEGER", "`a` is a date; the column has the type INTEGER",
         "write the column as DATE, or as text such as `2025-07-15`"),
        (DATE, "TIMESTAMP WITH TIME ZONE", "`a` is a date; the column has the type TIMESTAMP WITH TIME ZONE",
         "the day depends on the time zone: write the column as DATE"),
    ],
)
def test_a_column_that_cannot_hold_such_values_is_refused(
    attribute: Attribute, column_type: str, message: str, hint: str
) -> None:
    with pytest.raises(BadColumnError) as bad:
        value_sql(attribute, '"x"', column_type, TABLES)
    assert (bad.value.message, bad.value.hint) == (message, hint)


def test_every_character_is_read_as_in_a_case() -> None:
    signs = [
        sign for sign in map(chr, range(0x20000))
        if sign < "\u0500" or sign not in (sign.casefold(), sign.lower(), sign.upper()) or sign != sign.casefold()
    ]
    signs = [sign for sign in signs if not "\ud800" <= sign <= "\udfff" and sign != "\0"]
    for attribute in (SYMBOL, replace(SYMBOL, any_case=True)):
        assert_same(attribute, "VARCHAR", [*signs, *(f"a{sign}a" for sign in signs), *WORDS, *UNSEEN])


@settings(max_examples=20)
@given(st.lists(_texts, min_size=1, max_size=20))
def test_what_is_refused_never_fails(texts: list[str | None]) -> None:
    """A view may reckon with a value before the row is left out."""
    for attribute in (SYMBOL, NUMBER, FLOAT, DATE, END, PRODUCT):
        sql = value_sql(attribute, "x", "VARCHAR", TABLES, DIALECT)
        rows = DATABASE.execute(f"SELECT {sql.value} FROM (SELECT unnest($1::VARCHAR[]) AS x)", [texts]).fetchall()
        assert len(rows) == len(texts)
