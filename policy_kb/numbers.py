"""Numbers as they are written: exact ones, their limits, and how they are shown.

A `float` of the rules is a `Fraction`, a `number` an `int`. What is written with a point or an exponent is that decimal
number; nothing is ever rounded but by `@rounded` and its like, and where a number is shown.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import ceil, floor, lcm

LEAST_WHOLE, GREATEST_WHOLE = -(2**63), 2**63 - 1
"""A whole number has 64 bits."""

BEYOND = 10**18
"""A float in lowest terms has a numerator and a denominator below this."""

LONGEST_NUMBER = 10_000
"""Characters of a number as it is written."""

_LARGEST_COMMON_DENOMINATOR = BEYOND**20
"""Of what is added up: the sum of many unlike fractions would else take for ever before it is found beyond the
limits."""

_DIGITS, _MOST_DIGITS_WRITTEN = 6, 15
"""Significant digits of a computed number that is shown; and those of a decimal number that is shown as it is."""

_LIMITS = "numerator and denominator of a float, in lowest terms, lie below 10^18"


class BeyondLimits(ValueError):  # noqa: N818
    """A number that is not kept: a whole one of more than 64 bits, a float with a part of 10^18 or more."""


def wrapped(number: int) -> int:
    """A number of 64 bits: what lies beyond begins again at the other end, as in Soufflé."""
    return number if LEAST_WHOLE <= number <= GREATEST_WHOLE else (number + 2**63) % 2**64 - 2**63


def whole(number: int) -> int:
    """The number, if it has 64 bits."""
    if LEAST_WHOLE <= number <= GREATEST_WHOLE:
        return number
    raise BeyondLimits("the result is beyond the limits: a whole number has 64 bits")


def within_limits(value: Fraction) -> Fraction:
    """The value, if both its parts are kept."""
    if value.denominator < BEYOND and -BEYOND < value.numerator < BEYOND:
        return value
    raise BeyondLimits(f"the result is beyond the limits: {_LIMITS}")


def decimal(text: str) -> Fraction:
    """The number that a text such as `12.5` or `1e-3` says. The text is known to be one."""
    try:
        number = Decimal(text) if len(text) <= LONGEST_NUMBER else None
    except InvalidOperation:  # an exponent of very many digits
        number = None
    # A number beyond these has a part beyond the limits, and is never written out.
    if number is None or (number and not -18 <= number.adjusted() < 18):
        raise BeyondLimits(_LIMITS)
    value = Fraction(number)
    if value.denominator < BEYOND and abs(value.numerator) < BEYOND:
        return value
    raise BeyondLimits(_LIMITS)


def written_as(value: float, *, is_single: bool = False) -> str:
    """The shortest decimal that reads back as this binary float, at the width of 64 bits or of 32."""
    if not is_single:
        return repr(float(value))
    short = (f"{value:.{digits}g}" for digits in range(1, 10))
    return next((text for text in short if _single(float(text)) == _single(value)), repr(float(value)))


def _single(value: float) -> bytes:
    try:
        return struct.pack("f", value)
    except OverflowError:
        return struct.pack("f", float("inf"))


def divided(left: int | Fraction, right: int | Fraction) -> int | Fraction:
    """Division; of whole numbers towards zero."""
    if isinstance(left, int) and isinstance(right, int):
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return Fraction(left) / right


def remainder(left: int, right: int) -> int:
    """What division towards zero leaves: it has the sign of `left`."""
    return left - right * int(divided(left, right))


def total(values: Iterable[int | Fraction]) -> int | Fraction:
    """The sum, the same in every order."""
    all_values = list(values)
    if all(isinstance(value, int) for value in all_values):
        return sum(all_values)
    denominators = {value.denominator for value in all_values}
    common = 1
    for denominator in denominators:
        common = lcm(common, denominator)
        if common > _LARGEST_COMMON_DENOMINATOR:
            raise BeyondLimits("the sum is beyond the limits: its parts have too large a common denominator")
    return Fraction(sum(value.numerator * (common // value.denominator) for value in all_values), common)


def rounded(value: Fraction, digits: int) -> Fraction:
    """The nearest number with so many digits behind the point; of two equally near ones the greater."""
    return Fraction(floor(value * _power(digits) + Fraction(1, 2))) / _power(digits)


def rounded_up(value: Fraction, digits: int) -> Fraction:
    """The least number with so many digits behind the point that is not less."""
    return Fraction(ceil(value * _power(digits))) / _power(digits)


def rounded_down(value: Fraction, digits: int) -> Fraction:
    """The greatest number with so many digits behind the point that is not greater."""
    return Fraction(floor(value * _power(digits))) / _power(digits)


def _power(digits: int) -> Fraction:
    if not -18 <= digits <= 18:
        raise ValueError(f"a number is rounded to between -18 and 18 digits, not to {digits}")
    return Fraction(10) ** digits


def as_souffle(value: Fraction) -> str:
    """A float as `to_string` writes it: six digits behind the point."""
    return f"{_at(value, 6):f}"


def exactly(value: int | Fraction) -> str:
    """All of a number: a decimal where it is one (`12.5`), else a fraction (`1/3`)."""
    places = _places(value)
    return str(value) if places is None else f"{_at(value, places):f}"


def in_json(value: int | Fraction) -> int | float | str:
    """A number as JSON holds it without loss: a float is a JSON number where the shortest decimal of the nearest binary
    float is that number; any other is a text, `1/3`, or `0.12345678901234567891`."""
    if isinstance(value, int):
        return value
    nearest = float(value)
    return nearest if Fraction(repr(nearest)) == value else exactly(value)


def shown(value: int | Fraction, digits: int = _DIGITS) -> str:
    """A number for a reader: all of a decimal number of few digits, of others six digits or, if asked for, more."""
    if isinstance(value, int):
        return str(value)
    places = _places(value)
    size = _size(value)
    if places is not None and (places + size <= max(digits, _MOST_DIGITS_WRITTEN) or places == 0):
        return f"{_at(value, places):f}"
    text = f"{_at(value, max(digits - size, 0)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown_apart(left: int | Fraction, right: int | Fraction) -> tuple[str, str]:
    """Two numbers that are compared: with as many digits as show which of them is the greater."""
    digits = _DIGITS
    while True:
        texts = shown(left, digits), shown(right, digits)
        one, other = Fraction(texts[0]), Fraction(texts[1])
        if (one < other) == (left < right) and (one > other) == (left > right):
            return texts
        digits += 1


def _at(value: int | Fraction, places: int) -> Decimal:
    """The value with so many places behind the point, the last one rounded."""
    digits = round(value * 10**places)
    return Decimal((digits < 0, tuple(map(int, str(abs(digits)))), -places))


def _size(value: Fraction) -> int:
    """How many digits stand before the point, or (negative) how many zeros behind it come before the first digit."""
    value, size = abs(value), 0
    if value == 0:
        return 0
    whole_part = int(value)
    if whole_part:
        return len(str(whole_part))
    while value * 10 < 1:
        value, size = value * 10, size - 1
    return size


def _places(value: int | Fraction) -> int | None:
    """How many digits behind the point write the number out; None where none do."""
    rest, places = value.denominator, [0, 0]
    for number, prime in enumerate((2, 5)):
        while rest % prime == 0:
            rest, places[number] = rest // prime, places[number] + 1
    return max(places) if rest == 1 else None
