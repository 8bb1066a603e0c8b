"""What SQL says for the values and functions of rules. Identifiers and texts are always quoted: none is ever code."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from urllib.parse import quote

from policy_kb import dates
from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.expressions import LONGEST_TEXT
from policy_kb.parse.tree import Value
from policy_kb.record import record
from policy_kb.report.determination import NOT_APPLICABLE

Sql = str

ANSWERS = (MET, NOT_MET, NEEDS_INFORMATION)
DECISIONS = (*ANSWERS, NOT_APPLICABLE)
"""In the order in which results have them."""

NUMBER, FLOAT, SYMBOL = "number", "float", "symbol"


def remark(text: str) -> Sql:
    """A text as it may stand in a comment of SQL: one line, of letters and plain signs."""
    return quote(text, safe="/:,()=+?# ", errors="surrogatepass")


_FIRST_DAY, _LAST_DAY = -719_162, dates.ONGOING
"""The days of the calendar: 0001-01-01 and 9999-12-31."""

_MOST_MONTHS = 150_000

WRITTEN_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"


@record
class KnownRows:
    """Rows that a query brings with it, the names of their columns, and the name of the whole."""

    alias: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Value]]


class DuckDB:
    """The SQL of DuckDB."""

    text_type, whole_type, float_type = "VARCHAR", "BIGINT", "DOUBLE"
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
            written = repr(float(value))
            return written if "e" in written else f"{written}e0"
        if abs(value) >= 2**31:
            return f"CAST('{value}' AS BIGINT)"
        return str(value)

    def amount(self, text: Sql) -> Sql:
        """What is approved of a unit, of one type for numbers of both kinds, from a text."""
        return f"CAST({text} AS DECIMAL(38, 18))"

    def granted(self, texts: Sql) -> Sql:
        """Amounts with their units, from a list of texts: each a unit, a tab and an amount."""
        parts = [f"split_part(x, chr(9), {place})" for place in (1, 2)]
        return self.transformed(texts, self.struct(amount=self.amount(parts[1]), unit=parts[0]))

    def some_of_lists(self, lists: Sequence[Sql]) -> Sql:
        """All that stands in the lists, one after the other; NULL where that is nothing."""
        whole = self.joined(lists) if len(lists) > 1 else lists[0]
        return f"CASE WHEN {self.size(whole)} > 0 THEN {whole} END"

    def has_unit_twice(self, approved: Sql) -> Sql:
        units = self.transformed(approved, "x.unit")
        return f"{self.size(self.distinct(units))} < {self.size(units)}"

    def transformed(self, items: Sql, value: Sql) -> Sql:
        """The list of the values of `x`, which is each item of a list in turn."""
        return f"list_transform({items}, lambda x: {value})"

    def distinct(self, items: Sql) -> Sql:
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
        value = {"count": "count(*)", "sum": "coalesce(sum(target), 0)"}.get(function, f"{function}(target)")
        value = f"(SELECT {value} FROM ({rows}) AS counted)"
        if function in ("sum", "count") and not is_float:
            return f"CAST({value} AS {self.whole_type})"
        return value

    # comparisons and functions; what has no value is NULL

    def compared(self, operator: str, left: Sql, right: Sql) -> Sql:
        return f"{left} {'<>' if operator == '!=' else operator} {right}"

    def contains(self, needle: Sql, text: Sql) -> Sql:
        return f"contains({text}, {needle})"

    def matches(self, pattern: Sql, text: Sql) -> Sql:
        """Whether a whole text matches a regular expression of RE2, which DuckDB's are as well."""
        return f"regexp_full_match({text}, {pattern}, 's')"

    def is_written_as_date(self, text: Sql) -> Sql:
        return self.matches(self.text(WRITTEN_DATE), text)

    def call(self, function: str, arguments: Sequence[Sql], kinds: Sequence[str]) -> Sql:
        """The value of a function; `kinds` are those of its arguments."""
        is_float = FLOAT in kinds
        if is_float:
            arguments = [f"CAST({a} AS {self.float_type})" for a in arguments]
        match function, list(arguments):
            case "+", [left, right] if SYMBOL in kinds:
                return f"({left} || {right})"
            case "-", [value]:
                return f"(- {value})" if is_float else self.whole("0", "-", value)
            case ("+" | "-" | "*"), [left, right]:
                return f"({left} {function} {right})" if is_float else self.whole(left, function, right)
            case "/", [left, right]:
                return self.float_division(left, right) if is_float else self.whole(left, "/", right)
            case "to_float", [value]:
                return f"CAST({value} AS {self.float_type})"
            case "%", [left, right]:
                return self.whole(left, "%", right)
            case "min", parts:
                return f"least({', '.join(parts)})"
            case "max", parts:
                return f"greatest({', '.join(parts)})"
            case "cat", parts:
                return self.limited_text(" || ".join(parts))
            case "strlen", [text]:
                return self.bytes_of(text)
            case "to_string", [value]:
                if is_float:
                    return f"datalog_to_string({value})"
                return value if SYMBOL in kinds else f"CAST({value} AS {self.text_type})"
            case "to_number", [value]:
                if kinds[0] == NUMBER:
                    return value
                return f"datalog_to_number({value if SYMBOL in kinds else f'CAST({value} AS {self.text_type})'})"
            case "substr", [text, start, length]:
                return f"datalog_substr({text}, {start}, {length})"
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
                return self.months(day, f"(- {months})")
        raise AssertionError(f"no SQL for {function}")

    def limited_text(self, text: Sql) -> Sql:
        """The text, or NULL where it is too long. It is written once: what it is made of may be so too."""
        return f"list_transform([{text}], lambda x: CASE WHEN length(x) <= {LONGEST_TEXT} THEN x END)[1]"

    def whole(self, left: Sql, operator: str, right: Sql) -> Sql:
        """Arithmetic on numbers of 64 bits, which begin again at the other end."""
        if operator in ("/", "%"):
            sign, right = "//" if operator == "/" else operator, f"nullif({right}, 0)"
            return f"datalog_wrapped(CAST({left} AS HUGEINT) {sign} {right})"
        return f"datalog_wrapped(CAST({left} AS HUGEINT) {operator} {right})"

    def float_division(self, left: Sql, right: Sql) -> Sql:
        return (
            f"CASE WHEN {right} <> 0 THEN {left} / {right} WHEN {left} = 0 OR isnan({left}) THEN CAST('nan' AS DOUBLE) "
            f"WHEN {left} > 0 THEN CAST('inf' AS DOUBLE) ELSE CAST('-inf' AS DOUBLE) END"
        )

    def bytes_of(self, text: Sql) -> Sql:
        return f"strlen({text})"

    def in_calendar(self, day: Sql) -> Sql:
        return f"{day} BETWEEN {_FIRST_DAY} AND {_LAST_DAY}"

    def as_date(self, day: Sql) -> Sql:
        return f"(DATE '1970-01-01' + CAST({day} AS INTEGER))"

    def days(self, date: Sql) -> Sql:
        return f"({date} - DATE '1970-01-01')"

    def add_months(self, day: Sql, months: Sql) -> Sql:
        return self.days(f"CAST({self.as_date(day)} + to_months(CAST({months} AS INTEGER)) AS DATE)")

    def parsed_date(self, text: Sql) -> Sql:
        return self.days(f"TRY_CAST({text} AS DATE)")

    def date(self, text: Sql) -> Sql:
        written = self.is_written_as_date(text)
        days = self.parsed_date(text)
        return (
            f"CASE WHEN {written} AND ({days} BETWEEN {dates.EARLIEST} AND {dates.LATEST} OR {days} = {dates.ONGOING}) "
            f"THEN {days} END"
        )

    def months(self, day: Sql, months: Sql) -> Sql:
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
        low, size = -(2**63), 2**64
        answers, decisions = (", ".join(map(self.text, words)) for words in (ANSWERS, DECISIONS))
        return (
            f"CREATE TYPE IF NOT EXISTS criterion_answer AS ENUM ({answers})",
            f"CREATE TYPE IF NOT EXISTS case_decision AS ENUM ({decisions})",
            f"CREATE OR REPLACE TEMP MACRO datalog_wrapped(x) AS CAST(CASE WHEN x BETWEEN {low} AND {-low - 1} THEN x "
            f"ELSE ((x - ({low})) % {size} + {size}) % {size} + ({low}) END AS BIGINT)",
        )


DUCKDB = DuckDB()
