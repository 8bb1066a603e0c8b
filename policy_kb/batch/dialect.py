"""What SQL says for the values and functions of rules. Identifiers and texts are always quoted: none is ever code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from urllib.parse import quote

from policy_kb import dates
from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.expressions import LONGEST_TEXT
from policy_kb.numbers import BEYOND
from policy_kb.parse.tree import Value
from policy_kb.record import record
from policy_kb.report.determination import NOT_APPLICABLE

Sql = str

ANSWERS = (MET, NOT_MET, NEEDS_INFORMATION)
DECISIONS = (*ANSWERS, NOT_APPLICABLE)
"""In the order in which results have them."""

NUMBER, FLOAT, SYMBOL, LIST_OF_FLOATS = "number", "float", "symbol", "list of floats"

WORDS = {
    "+": "plus", "-": "minus", "*": "times", "/": "divided", "min": "least", "max": "greatest", "sum": "sum",
    "to_string": "to_string", "to_number": "to_number", "to_float": "to_float", "substr": "substr", "cat": "cat",
    "%": "remainder", "@date": "date", "@written": "written", "@year": "year", "@months_after": "months_after",
    "@months_before": "months_before", "@months_between": "months_between", "@years_between": "years_between",
    "@rounded": "rounded", "@rounded_up": "rounded_up", "@rounded_down": "rounded_down", "strlen": "strlen",
    "match": "match", "exactly": "exactly",
}
"""What functions of rules are called in SQL where the database has them not (`functions.Function`)."""

_RESULTS = {
    "cat": SYMBOL, "substr": SYMBOL, "to_string": SYMBOL, "exactly": SYMBOL, "@written": SYMBOL,
    "strlen": NUMBER, "to_number": NUMBER, "@date": NUMBER, "@year": NUMBER, "@months_after": NUMBER,
    "@months_before": NUMBER, "@months_between": NUMBER, "@years_between": NUMBER, "%": NUMBER, "to_float": FLOAT,
}


def kind_of_result(function: str, kinds: Sequence[str]) -> str:
    """The kind of a function's value, for arguments of these kinds."""
    return _RESULTS.get(function) or (FLOAT if {FLOAT, LIST_OF_FLOATS} & set(kinds) else kinds[0])


def remark(text: str) -> Sql:
    """A text as it may stand in a comment of SQL: one line, of letters and plain signs."""
    return quote(text, safe="/:,()=+?# ", errors="surrogatepass")


_FIRST_DAY, _LAST_DAY = -719_162, dates.ONGOING
"""The days of the calendar: 0001-01-01 and 9999-12-31."""

_MOST_MONTHS = 150_000

_MOST_REPEATED = 2_000
"""Characters of arguments that may be written several times for one value."""

_AMOUNT = r"-?\d{1,18}(\.\d{1,18})?"

_WRITTEN_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"


FRACTION = "STRUCT(n BIGINT, d BIGINT)"


@record
class KnownRows:
    """Rows that a query brings with it, the names of their columns, and the name of the whole."""

    alias: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Value]]


class DuckDB:
    """The SQL of DuckDB."""

    text_type, whole_type = "VARCHAR", "BIGINT"
    types: Mapping[str, str] = {
        NUMBER: "BIGINT", FLOAT: FRACTION, SYMBOL: "VARCHAR", LIST_OF_FLOATS: f"{FRACTION}[]",
    }
    """The type of each kind of value. A float is a fraction in lowest terms, its parts below 10^18: so that two of them
    are the same where they are equal, and are compared crosswise in a whole number of 128 bits."""
    wide_type, one = "HUGEINT", "CAST(1 AS BIGINT)"
    lists_by_number = True
    """Whether a list of few items is made once for each combination of them that occurs, not for each row."""
    gathers_from_table = True
    """Whether rows are grouped faster from a table than from the many queries that it is made of."""
    most_united: int | None = None
    """Of how many queries a union is at most; None: of any number."""

    def quoted(self, name: str) -> Sql:
        return '"' + name.replace('"', '""') + '"'

    def text(self, value: str) -> Sql:
        return "'" + value.replace("'", "''") + "'"

    def literal(self, value: Value) -> Sql:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Fraction):
            parts = (value.numerator, value.denominator)
            return self.struct(**{name: f"CAST({part} AS BIGINT)" for name, part in zip("nd", parts, strict=True)})
        if abs(value) >= 2**31:
            return f"CAST('{value}' AS BIGINT)"
        return str(value)

    def amount(self, text: Sql) -> Sql:
        """What is approved of a unit, from a text, whatever number it is; NULL where the type has no place for it."""
        return f"CASE WHEN {self.is_written(text, _AMOUNT)} THEN CAST({text} AS DECIMAL(38, 18)) END"

    def granted(self, texts: Sql) -> Sql:
        """Amounts with their units, from a list of texts: each a unit, a tab and an amount."""
        parts = [f"split_part(x, chr(9), {place})" for place in (1, 2)]
        return self.transformed(texts, self.struct(amount=self.amount(parts[1]), unit=parts[0]))

    def some_of_lists(self, lists: Sequence[Sql]) -> Sql:
        """All that stands in the lists, one after the other; NULL where that is nothing."""
        whole = self.joined(lists) if len(lists) > 1 else lists[0]
        return f"CASE WHEN {self.size(whole)} > 0 THEN {whole} END"

    def is_odd_approval(self, approved: Sql) -> Sql:
        """Whether a unit is approved twice, or an amount is NULL."""
        units = self.transformed(approved, "CASE WHEN x.amount IS NOT NULL THEN x.unit END")
        return f"coalesce({self.size(self.distinct(units))}, 0) < {self.size(units)}"

    def transformed(self, items: Sql, value: Sql) -> Sql:
        """The list of the values of `x`, which is each item of a list in turn."""
        return f"list_transform({items}, lambda x: {value})"

    def distinct(self, items: Sql) -> Sql:
        """Without repetitions and NULL."""
        return f"list_distinct({items})"

    def size(self, items: Sql) -> Sql:
        return f"len({items})"

    def answer(self, word: str) -> Sql:
        """The answer for a criterion; of a type with few values, which is stored and written fast."""
        return f"CAST({self.text(word)} AS criterion_answer)"

    def decision(self, word: str) -> Sql:
        return f"CAST({self.text(word)} AS case_decision)"

    def constant(self, word: str) -> Sql:
        """A text that is the same for all rows; as `answer`."""
        return f"CAST({self.text(word)} AS ENUM({self.text(word)}))"

    def or_false(self, condition: Sql) -> Sql:
        return f"coalesce({condition}, FALSE)"

    def values_table(self, rows: Sequence[Sequence[Value]], columns: Sequence[str], alias: str) -> Sql:
        listed = ", ".join("(" + ", ".join(self.literal(value) for value in row) + ")" for row in rows)
        return f"(VALUES {listed}) AS {alias}({', '.join(map(self.quoted, columns))})"

    def array(self, items: Sequence[Sql]) -> Sql:
        return f"[{', '.join(items)}]"

    def list_of(self, items: Sequence[Sql]) -> Sql:
        """The items that are not NULL, as a list."""
        return f"list_filter({self.array(items)}, lambda x: x IS NOT NULL)"

    def distinct_list(self, expression: Sql, condition: Sql) -> Sql:
        return f"list(DISTINCT {expression}) FILTER (WHERE {condition})"

    def joined(self, lists: Sequence[Sql]) -> Sql:
        """Lists, none of them NULL, one after the other."""
        return f"list_concat({', '.join(lists)})"

    def sorted_union(self, lists: Sequence[Sql]) -> Sql:
        """All that stands in some list; NULL counts as an empty one."""
        return f"list_sort(list_distinct(list_concat({', '.join(lists)})))"

    def empty_list(self, parts: Sequence[str]) -> Sql:
        """A list of no structs with these parts, which are text; of no texts, if there are no parts."""
        named = ", ".join(f"{part} {self.text_type}" for part in parts)
        return f"CAST([] AS {f'STRUCT({named})' if parts else self.text_type}[])"

    def each(self, items: Sql) -> Sql:
        """A row for each item of a list."""
        return f"unnest({items})"

    def struct(self, **parts: Sql) -> Sql:
        return "{" + ", ".join(f"'{name}': {value}" for name, value in parts.items()) + "}"

    def of_known_rows(
        self, function: str, tables: Sequence[KnownRows], condition: Sql | None, own: Sequence[Sql], target: Sql,
        is_float: bool,
    ) -> Sql:
        """`count`, `sum`, `min` or `max` of a target for all combinations of rows that fulfil a condition, those with
        the same `own` values counted once."""
        sources = [self.values_table(one.rows, one.columns, one.alias) for one in tables]
        columns = ", ".join([*(f"{one} AS o{i}" for i, one in enumerate(own)), f"{target} AS target"])
        where = "" if condition is None else f" WHERE {condition}"
        rows = f"SELECT DISTINCT {columns} FROM {', '.join(sources) or '(SELECT 1 AS one) AS nothing'}{where}"
        if is_float and function != "count":
            found = f"coalesce((SELECT list(target) FROM ({rows}) AS counted), [])"
            return self.function(function, [found], [LIST_OF_FLOATS])
        value = {"count": "count(*)", "sum": "coalesce(sum(target), 0)"}.get(function, f"{function}(target)")
        value = f"(SELECT {value} FROM ({rows}) AS counted)"
        return f"TRY_CAST({value} AS {self.whole_type})" if function in ("sum", "count") else value

    # comparisons and functions; what has no value is NULL

    def compared(self, operator: str, left: Sql, right: Sql, kind: str = NUMBER) -> Sql:
        if kind == FLOAT and operator not in ("=", "!="):
            left, right = (f"CAST(({one}).n AS {self.wide_type}) * ({other}).d"
                           for one, other in ((left, right), (right, left)))
        return f"{left} {'<>' if operator == '!=' else operator} {right}"

    def function(self, function: str, arguments: Sequence[Sql], kinds: Sequence[str]) -> Sql:
        """The value of a function that single cases are decided with (`functions.Function`)."""
        return f"datalog_{WORDS[function]}_{''.join(kind[0] for kind in kinds)}({', '.join(arguments)})"

    def contains(self, needle: Sql, text: Sql) -> Sql:
        return f"contains({text}, {needle})"

    def matches(self, pattern: Sql, text: Sql) -> Sql:
        """Whether a whole text matches a regular expression of RE2, which DuckDB's are as well."""
        return f"regexp_full_match({text}, {pattern}, 's')"

    def is_written(self, text: Sql, pattern: str) -> Sql:
        """As `matches`, of a plain pattern that all databases read alike."""
        return self.matches(self.text(pattern), text)

    def call(self, function: str, arguments: Sequence[Sql], kinds: Sequence[str]) -> Sql:
        """The value of a function; `kinds` are those of its arguments."""
        if sum(map(len, arguments)) > _MOST_REPEATED and len(arguments) == len(kinds):
            return self.function(function, arguments, kinds)
        match function, list(arguments):
            case "+", [left, right] if SYMBOL in kinds:
                return f"({left} || {right})"
            case "to_float", [value]:
                return value if FLOAT in kinds else (
                    f"CASE WHEN {value} BETWEEN {1 - BEYOND} AND {BEYOND - 1} "
                    f"THEN {self.struct(n=value, d=self.one)} END"
                )
            case ("min" | "max"), [first, *others]:
                if FLOAT not in kinds:
                    return f"{'least' if function == 'min' else 'greatest'}({', '.join(arguments)})"
                for other in others:
                    first = self.function(function, [first, other], [FLOAT, FLOAT])
                return first
            case "cat", parts:
                return self.limited_text(" || ".join(parts))
            case "strlen", [text]:
                return self.bytes_of(text)
            case ("to_string" | "exactly"), [value] if FLOAT not in kinds:
                return value if SYMBOL in kinds else f"CAST({value} AS {self.text_type})"
            case "to_number", [value] if kinds[0] == NUMBER:
                return value
            case "@date", [text]:
                return self.date(text)
            case "@year", [day]:
                year = f"CAST(year({self.as_date(day)}) AS {self.whole_type})"
                return f"CASE WHEN {self.in_calendar(day)} THEN {year} END"
            case "@written", [day]:
                return (f"CASE WHEN {day} = {dates.ONGOING} THEN {self.text(dates.format_date(dates.ONGOING))} "
                        f"WHEN {self.in_calendar(day)} THEN CAST({self.as_date(day)} AS {self.text_type}) "
                        f"ELSE CAST({day} AS {self.text_type}) END")
            case "@months_after", [day, months]:
                return self.months(day, months)
            case "@months_before", [day, months]:
                return self.months(day, f"(- {self.few(months)})")
            case "-", [value] if FLOAT not in kinds:
                return self.whole("0", "-", value)
            case ("+" | "-" | "*" | "/" | "%"), [left, right] if FLOAT not in kinds:
                return self.whole(left, function, right)
        return self.function(function, arguments, kinds)

    def limited_text(self, text: Sql) -> Sql:
        """The text, or NULL where it is too long. It is written once: what it is made of may be so too."""
        return f"list_transform([{text}], lambda x: CASE WHEN length(x) <= {LONGEST_TEXT} THEN x END)[1]"

    def whole(self, left: Sql, operator: str, right: Sql) -> Sql:
        """Arithmetic on numbers of 64 bits; NULL beyond these."""
        if operator in ("/", "%"):
            operator, right = "//" if operator == "/" else operator, f"nullif({right}, 0)"
        return f"TRY_CAST(CAST({left} AS HUGEINT) {operator} {right} AS BIGINT)"

    def bytes_of(self, text: Sql) -> Sql:
        return f"strlen({text})"

    def in_calendar(self, day: Sql) -> Sql:
        return f"{day} BETWEEN {_FIRST_DAY} AND {_LAST_DAY}"

    def within(self, value: Sql, least: int, greatest: int) -> Sql:
        """The value, or the nearest of these: what has no value for others may be worked out for all of them."""
        return f"greatest({least}, least({greatest}, {value}))"

    def few(self, months: Sql) -> Sql:
        """Months, or some other number of them that no date can be moved by."""
        is_few = re.fullmatch(r"-?\d{1,5}L?", months)
        return months if is_few else self.within(months, -_MOST_MONTHS - 1, _MOST_MONTHS + 1)

    def as_date(self, day: Sql) -> Sql:
        return f"(DATE '1970-01-01' + CAST({self.within(day, _FIRST_DAY, _LAST_DAY)} AS INTEGER))"

    def days(self, date: Sql) -> Sql:
        return f"({date} - DATE '1970-01-01')"

    def add_months(self, day: Sql, months: Sql) -> Sql:
        return self.days(f"CAST({self.as_date(day)} + to_months(CAST({months} AS INTEGER)) AS DATE)")

    def parsed_date(self, text: Sql) -> Sql:
        return self.days(f"TRY_CAST({text} AS DATE)")

    def date(self, text: Sql) -> Sql:
        written = self.is_written(text, _WRITTEN_DATE)
        days = self.parsed_date(text)
        return (
            f"CASE WHEN {written} AND ({days} BETWEEN {dates.EARLIEST} AND {dates.LATEST} OR {days} = {dates.ONGOING}) "
            f"THEN {days} END"
        )

    def months(self, day: Sql, months: Sql) -> Sql:
        months = self.few(months)
        moved = self.add_months(day, months)
        year = f"year({self.as_date(day)}) * 12 + month({self.as_date(day)}) - 1 + {months}"
        return (
            f"CASE WHEN {day} = {dates.ONGOING} THEN {day} WHEN {self.in_calendar(day)} "
            f"AND {months} BETWEEN {-_MOST_MONTHS} AND {_MOST_MONTHS} AND {year} BETWEEN 12 AND {9998 * 12 + 11} "
            f"THEN {moved} END"
        )

    def creation(self, table: str) -> Sql:
        """How the statement begins that makes a table of a query's rows."""
        return f"CREATE TEMP TABLE {self.quoted(table)} AS"

    @property
    def macros(self) -> tuple[Sql, ...]:
        """What the generated SQL uses beside DuckDB's own functions."""
        answers, decisions = (", ".join(map(self.text, words)) for words in (ANSWERS, DECISIONS))
        return (
            f"CREATE TYPE IF NOT EXISTS criterion_answer AS ENUM ({answers})",
            f"CREATE TYPE IF NOT EXISTS case_decision AS ENUM ({decisions})",
        )


DUCKDB = DuckDB()
