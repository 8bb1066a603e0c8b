"""Dates as the rules count them: days since 1970-01-01, and calendar months whose missing days become the last one."""

from __future__ import annotations

import calendar
import re
from datetime import date

_EPOCH = date(1970, 1, 1).toordinal()
EARLIEST = date(1900, 1, 1).toordinal() - _EPOCH
LATEST = date(2199, 12, 31).toordinal() - _EPOCH
ONGOING = date(9999, 12, 31).toordinal() - _EPOCH
"""What `ongoing` in a case stands for: no end yet. Moving it by months leaves it as it is."""

_WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class BadDate(ValueError):  # noqa: N818
    """What is given is no date: a text no day between 1900-01-01 and 2199-12-31 (nor 9999-12-31), a number no day."""


def parse_date(text: str) -> int:
    """`2025-07-15` as days since 1970-01-01; anything else, 2025-02-30 included, is a `BadDate`."""
    if not _WRITTEN.fullmatch(text):
        raise BadDate(f"`{text}` is not a date written as year-month-day")
    try:
        days = date.fromisoformat(text).toordinal() - _EPOCH
    except ValueError:
        raise BadDate(f"`{text}` is not a day of the calendar") from None
    return _within(days, text)


def format_date(days: int) -> str:
    """Days since 1970-01-01 as `2025-07-15`; `ongoing` for 9999-12-31, the number itself where it is no date."""
    if days == ONGOING:
        return "ongoing"
    try:
        return date.fromordinal(days + _EPOCH).isoformat()
    except (ValueError, OverflowError):
        return str(days)


def months_after(days: int, months: int) -> int:
    """The same day of the month, `months` calendar months later, or that month's last day where it has no such day."""
    if days == ONGOING:
        return ONGOING
    start = _calendar_day(days)
    month = start.year * 12 + start.month - 1 + months
    year, month = month // 12, month % 12 + 1
    if not 1 <= year <= 9998:
        raise BadDate(f"{months} months from {start} is beyond the calendar")
    return date(year, month, min(start.day, calendar.monthrange(year, month)[1])).toordinal() - _EPOCH


def months_before(days: int, months: int) -> int:
    """The same day of the month, `months` calendar months earlier; see `months_after`."""
    return months_after(days, -months)


def months_between(first: int, last: int) -> int:
    """The largest number of months by which `first` may be moved without coming to lie after `last`."""
    if ONGOING in (first, last):
        raise BadDate("`ongoing` is no day from which or to which time is counted")
    start, end = _calendar_day(first), _calendar_day(last)
    months = (end.year - start.year) * 12 + end.month - start.month
    return months if months_after(first, months) <= last else months - 1


def years_between(first: int, last: int) -> int:
    """The largest number of years by which `first` may be moved without coming to lie after `last`."""
    return months_between(first, last) // 12


def year_of(days: int) -> int:
    return _calendar_day(days).year


def _calendar_day(days: int) -> date:
    """What a rule computes may lie outside the years a case may name, but not outside the calendar."""
    try:
        return date.fromordinal(days + _EPOCH)
    except (ValueError, OverflowError):
        raise BadDate(f"`{days}` is not a day of the calendar") from None


def _within(days: int, written: str) -> int:
    if not (EARLIEST <= days <= LATEST or days == ONGOING):
        raise BadDate(f"`{written}` does not lie between 1900-01-01 and 2199-12-31")
    return days
