"""One value of a case, read by its attribute: its type, its set of values, its least value.

What the case says is never corrected; a value outside what its attribute allows is refused with what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from datetime import date
from fractions import Fraction

from policy_kb import dates, nothing, numbers
from policy_kb.check.checked import Attribute, Domain
from policy_kb.diagnostics import Hint, Kind, did_you_mean, listed, quoted
from policy_kb.load.nodes import Form, Scalar
from policy_kb.nothing import says_nothing
from policy_kb.parse.tree import Value
from policy_kb.text import UnseenCharacterError, folded, normal

LONGEST_VALUE = 10_000
"""Characters of one value."""

ONGOING = "ongoing"
OTHER = "other: "
"""How a value outside a table begins: `other: NAME`."""

LEAST_NUMBER, GREATEST_NUMBER = numbers.LEAST_WHOLE, numbers.GREATEST_WHOLE

_WHOLE = re.compile(r"-?[0-9]+")
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_LOOSE_DATE = re.compile(r"([0-9]{1,4})[-/. ]([0-9]{1,2})[-/. ]([0-9]{1,4})")

Known = Mapping[str, Set[tuple[Value, ...]]]
"""The rows of the known relations, by name."""


class Tables:
    """The known relations that attributes take their values from."""

    def __init__(self, known: Known):
        self._known = known
        self._first_columns: dict[str, frozenset[Value]] = {}
        self._alike: dict[str, dict[str, list[str]]] = {}
        self._named: dict[Domain, dict[str, list[str]]] = {}

    def rows(self, relation: str) -> Set[tuple[Value, ...]]:
        return self._known.get(relation, frozenset())

    def first_column(self, relation: str) -> frozenset[Value]:
        """The values that `@[in(relation)]` allows."""
        if relation not in self._first_columns:
            self._first_columns[relation] = frozenset(row[0] for row in self.rows(relation))
        return self._first_columns[relation]

    def alike(self, relation: str, text: str) -> list[str]:
        """Those of them that are this text but for letter case, sorted."""
        if relation not in self._alike:
            found = self._alike[relation] = {}
            for value in sorted(map(str, self.first_column(relation))):
                found.setdefault(folded(value), []).append(value)
        return self._alike[relation].get(folded(text), [])

    def named(self, domain: Domain, name: str) -> list[str]:
        """The values whose rows have a name, letter case ignored, in the columns that `domain` reserves."""
        if domain not in self._named:
            found = self._named[domain] = {}
            for row in sorted(self.rows(domain.relation)):
                for column in domain.reserved:
                    found.setdefault(folded(str(row[column])), []).append(str(row[0]))
        return self._named[domain].get(folded(name), [])


class BadValueError(Exception):
    """A value is refused: the kind, the message and the hint of its diagnostic."""

    def __init__(self, kind: Kind, message: str, hint: Hint = None):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint


def read_value(scalar: Scalar, attribute: Attribute, tables: Tables) -> Value:
    """The value of `attribute` that a case writes as `scalar`. Raises BadValueError.

    A date is given as days since 1970-01-01, a `float` as the very number that is written.
    """
    text = scalar.text
    if not text.strip():
        state = "has no value" if scalar.form is Form.NOTHING else "is empty"
        raise BadValueError(Kind.NO_VALUE, f"`{attribute.name}` {state}", f"write {expected(attribute)}")
    if len(text) > LONGEST_VALUE:
        message = f"`{attribute.name}` has {len(text):,} characters"
        raise BadValueError(Kind.BAD_DOCUMENT, message, f"a value has at most {LONGEST_VALUE:,} characters")
    scalar = _in_normal_form(scalar, attribute)
    try:
        return _read(scalar, attribute, tables)
    except BadValueError as bad:
        if not attribute.may_be_none or not says_nothing(scalar.text.removeprefix(OTHER)):
            raise
        raise BadValueError(bad.kind, bad.message, nothing.HINT) from None


def _read(scalar: Scalar, attribute: Attribute, tables: Tables) -> Value:
    """The value of a text in its normal form."""
    value: Value
    if attribute.is_date:
        value = _read_date(scalar, attribute)
    elif attribute.kind == "number":
        value = _read_whole(scalar, attribute)
    elif attribute.kind == "float":
        value = _read_decimal(scalar, attribute)
    else:
        value = _read_text(scalar, attribute)
    if attribute.domain is not None:
        value = _in_domain(value, attribute, attribute.domain, tables)
    elif attribute.one_of is not None and isinstance(value, str) and value not in attribute.one_of:
        value = _spelled(value, [one for one in attribute.one_of if folded(str(one)) == folded(value)])
    _check_limits(value, attribute, scalar)
    return value


def written_text(scalar: Scalar, value: Value, attribute: Attribute) -> str | None:
    """The text that a case writes for a value, where it says more than the value: a number, or a text in other letters;
    None elsewhere."""
    if attribute.kind == "float":
        return scalar.text
    if not isinstance(value, str):
        return None
    text = normal(scalar.text)
    return text if text != value and folded(text) == folded(value) else None


def expected(attribute: Attribute) -> str:
    """What a case writes for `attribute`, for a hint."""
    if attribute.one_of is not None:
        return listed(map(_written, attribute.one_of))
    if attribute.is_date:
        return f"a date such as `2025-07-15`{', or `ongoing`' if attribute.may_be_ongoing else ''}"
    if attribute.domain is not None:
        return f"a value of the table `{attribute.domain.relation}`"
    sorts = {"number": "a whole number", "float": "a number such as `12.5`", "symbol": "text"}
    return sorts[attribute.kind] if attribute.type != "relation" else "the name of a relation"


def _written(value: Value) -> str:
    return numbers.exactly(value) if isinstance(value, Fraction) else str(value)


def said(scalar: Scalar) -> str:
    """What the case says, for a message, with its type where that was written: `twelve`, the number `12`."""
    sort = {Form.NUMBER: "the number ", Form.TEXT: "the text "}.get(scalar.form, "")
    return sort + quoted(scalar.text)


def _wrong_type(attribute: Attribute, scalar: Scalar, sort: str, hint: str) -> BadValueError:
    return BadValueError(Kind.WRONG_TYPE, f"`{attribute.name}` is {sort}; the case says {said(scalar)}", hint)


def _in_normal_form(scalar: Scalar, attribute: Attribute) -> Scalar:
    try:
        text = normal(scalar.text)
    except UnseenCharacterError as unseen:
        message = f"`{attribute.name}` {unseen}: {quoted(scalar.text)}"
        raise BadValueError(Kind.UNSEEN_CHARACTER, message, unseen.hint) from None
    return scalar if text == scalar.text else replace(scalar, text=text)


def _read_whole(scalar: Scalar, attribute: Attribute) -> int:
    sort = "a whole number"
    if scalar.form in (Form.TEXT, Form.TRUTH):
        is_number = _WHOLE.fullmatch(scalar.text) and scalar.form is Form.TEXT
        raise _wrong_type(attribute, scalar, sort, "write it without quotes" if is_number else f"write {sort}")
    if not _WHOLE.fullmatch(scalar.text):
        whole = scalar.text.partition(".")[0].removeprefix("+")
        hint = f"write `{whole}`" if _WHOLE.fullmatch(whole) and len(whole) < 20 else f"write {sort} in digits"
        raise _wrong_type(attribute, scalar, sort, hint)
    # More digits than these are out of range, and slow to read.
    value = int(scalar.text) if len(scalar.text.lstrip("-0")) < 40 else GREATEST_NUMBER + 1
    if not LEAST_NUMBER <= value <= GREATEST_NUMBER:
        message = f"`{attribute.name}` is out of range; the case says {quoted(scalar.text)}"
        raise BadValueError(Kind.WRONG_TYPE, message, f"a number lies between {LEAST_NUMBER} and {GREATEST_NUMBER}")
    return value


def _read_decimal(scalar: Scalar, attribute: Attribute) -> Fraction:
    sort = "a number"
    if scalar.form in (Form.TEXT, Form.TRUTH):
        is_number = _DECIMAL.fullmatch(scalar.text) and scalar.form is Form.TEXT
        raise _wrong_type(attribute, scalar, sort, "write it without quotes" if is_number else f"write {sort}")
    if not _DECIMAL.fullmatch(scalar.text):
        with_point = scalar.text.replace(",", ".", 1)
        hint = f"write `{with_point}`" if _DECIMAL.fullmatch(with_point) and len(with_point) < 40 else None
        raise _wrong_type(attribute, scalar, sort, hint or "write a finite decimal number, such as `12.5`")
    try:
        return numbers.decimal(scalar.text)
    except numbers.BeyondLimits as problem:
        message = f"`{attribute.name}` is beyond the limits; the case says {quoted(scalar.text)}"
        raise BadValueError(Kind.WRONG_TYPE, message, str(problem)) from None


def _read_text(scalar: Scalar, attribute: Attribute) -> str:
    if scalar.form in (Form.NUMBER, Form.TRUTH):
        raise _wrong_type(attribute, scalar, "text", f'write it in quotes: `"{scalar.text[:40]}"`')
    text = folded(scalar.text)
    if attribute.refuses and (text in attribute.refuses or text.removesuffix(".") in attribute.refuses):
        message = f"{quoted(scalar.text)} is no value of `{attribute.name}`"
        raise BadValueError(Kind.VALUE_OUTSIDE_SET, message, nothing.HINT)
    return folded(scalar.text) if attribute.any_case else scalar.text


def _read_date(scalar: Scalar, attribute: Attribute) -> int:
    if scalar.form in (Form.NUMBER, Form.TRUTH):
        raise _wrong_type(attribute, scalar, "a date", f"write {expected(attribute)}, in quotes")
    return read_days(scalar.text, attribute)


def read_days(text: str, attribute: Attribute, speaker: str = "case") -> int:
    """The days since 1970-01-01 of a date written `2025-07-15`, or `ongoing` where allowed. Raises BadValueError.

    `speaker` is who says so, in a message: a case or a table.
    """
    if text == ONGOING and attribute.may_be_ongoing:
        return dates.ONGOING
    try:
        days = dates.parse_date(text)
    except dates.BadDate:
        days = None
    if days is not None and days != dates.ONGOING:
        return days
    match = _DATE.fullmatch(text)
    if not match:
        message = f"`{attribute.name}` is a date; the {speaker} says {quoted(text)}"
        raise BadValueError(Kind.BAD_DATE, message, _date_hint(text, attribute.may_be_ongoing))
    year, month, day = (int(part) for part in match.groups())
    if not _exists(year, month, day):
        raise BadValueError(Kind.BAD_DATE, f"`{text}` does not exist", _month_hint(year, month))
    message = f"`{text}` is not between {dates.format_date(dates.EARLIEST)} and {dates.format_date(dates.LATEST)}"
    hint = "write `ongoing`" if days == dates.ONGOING and attribute.may_be_ongoing else "check the year"
    raise BadValueError(Kind.BAD_DATE, message, hint)


def _date_hint(text: str, may_be_ongoing: bool) -> str:
    if text.casefold() == ONGOING:
        return "write `ongoing`" if may_be_ongoing else f"`{ONGOING}` is not allowed here: write year-month-day"
    if _DATE.match(text):
        return f"write the date alone: `{text[:10]}`"
    hint = "write year-month-day"
    loose = _LOOSE_DATE.fullmatch(text)
    candidates = []
    if loose:
        first, second, third = loose.groups()
        for year, month, day in ((first, second, third), (third, first, second), (third, second, first)):
            if len(year) == 4 and _exists(int(year), int(month), int(day)):
                candidates.append(f"{year}-{int(month):02}-{int(day):02}")
    if candidates:
        return f"{hint}: {listed(dict.fromkeys(candidates))}"
    return f"{hint}, such as `2025-07-15`{' or `ongoing`' if may_be_ongoing else ''}"


def _month_hint(year: int, month: int) -> str:
    if not 1 <= month <= 12:
        return "write year-month-day: the month lies between 01 and 12"
    if year < 1:
        return "check the year"
    last = next(day for day in (31, 30, 29, 28) if _exists(year, month, day))
    return f"the last day of that month is `{year:04}-{month:02}-{last}`"


def _exists(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _spelled(value: str, alike: Sequence[Value]) -> Value:
    """A text as the declared value is spelled that differs from it in letter case alone, if there is one such."""
    return alike[0] if len(alike) == 1 else value


def _check_limits(value: Value, attribute: Attribute, scalar: Scalar) -> None:
    if attribute.one_of is not None and value not in attribute.one_of:
        message = f"{quoted(scalar.text)} is not a value of `{attribute.name}`"
        values = list(map(_written, attribute.one_of))
        raise BadValueError(
            Kind.VALUE_OUTSIDE_SET, message, lambda: did_you_mean(scalar.text, values) or f"write {expected(attribute)}"
        )
    if isinstance(value, str):
        return
    if attribute.at_least is not None and value < attribute.at_least:
        least = numbers.exactly(attribute.at_least)
        message = f"`{attribute.name}` is at least {least}; the case says `{scalar.text[:40]}`"
        raise BadValueError(Kind.BELOW_LEAST, message, f"write {least} or more")
    if attribute.at_most is not None and value > attribute.at_most:
        most = numbers.exactly(attribute.at_most)
        message = f"`{attribute.name}` is at most {most}; the case says `{scalar.text[:40]}`"
        raise BadValueError(Kind.ABOVE_MOST, message, f"write {most} or less")


def _in_domain(value: Value, attribute: Attribute, domain: Domain, tables: Tables) -> Value:
    """The value in the spelling of the table, where the table has it; `other: NAME` with NAME trimmed where the table
    has no such name."""
    if value in tables.first_column(domain.relation):
        return value
    if not isinstance(value, str):
        message = f"`{value}` is not a value of the table `{domain.relation}`"
        raise BadValueError(Kind.VALUE_OUTSIDE_SET, message, f"write {expected(attribute)}")
    alike = tables.alike(domain.relation, value)
    if len(alike) == 1:
        return alike[0]
    if alike:
        message = f"{quoted(value)} is spelled otherwise in the table `{domain.relation}`"
        raise BadValueError(Kind.VALUE_OUTSIDE_SET, message, f"write {listed(alike)}")
    if value == OTHER.strip():
        raise BadValueError(Kind.NO_VALUE, f"{quoted(value)} names nothing", f'write `"{OTHER}NAME"`')
    if not value.startswith(OTHER):
        raise _outside_domain(value, domain, tables)
    name = value.removeprefix(OTHER).strip()
    if attribute.may_be_none and says_nothing(name):
        raise BadValueError(Kind.VALUE_OUTSIDE_SET, f"{quoted(value)} names nothing", nothing.HINT)
    if taken := tables.named(domain, name):
        same = [one for one in taken if folded(one) == folded(name)]
        message = f"{quoted(name)} is in the table `{domain.relation}`"
        raise BadValueError(Kind.VALUE_OUTSIDE_SET, message, f"write {listed(dict.fromkeys(same or taken))}")
    return OTHER + name


def _outside_domain(value: str, domain: Domain, tables: Tables) -> BadValueError:
    message = f"{quoted(value)} is not in the table `{domain.relation}`"
    if value.casefold().startswith(OTHER.strip()):
        name = value[len(OTHER.strip()) :].strip()
        return BadValueError(Kind.VALUE_OUTSIDE_SET, message, f'write `"{OTHER}{quoted(name or "NAME")[1:-1]}"`')

    def hint() -> str:
        near = did_you_mean(value, sorted(map(str, tables.first_column(domain.relation))))
        outside = f'one outside the table is written `"{OTHER}{quoted(value)[1:-1]}"`'
        return f"{near} {outside}" if near else outside

    return BadValueError(Kind.VALUE_OUTSIDE_SET, message, hint)
