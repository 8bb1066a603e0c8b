"""Random expressions of whole and decimal numbers, each with what it means in Python's fractions.

The variables are `x` and `y`, which are floats, and `k`, which is a whole number.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor

from hypothesis import strategies as st

Number = int | Fraction
DECIMALS = ["0", "0.1", "0.2", "0.3", "1.6", "2.55", "12.5", "76.8", "100", "1000000.001", "-1.5", "999999999999999999"]
WHOLE = ["0", "1", "2", "3", "7", "-2", "100", "1000000000000"]


class Nothing(Exception):  # noqa: N818
    """No value, or one beyond the limits."""


def kept(value: Number) -> Number:
    if isinstance(value, int):
        is_kept = -(2**63) <= value < 2**63
    else:
        is_kept = max(abs(value.numerator), value.denominator) < 10**18
    if not is_kept:
        raise Nothing
    return value


def quotient(one: Number, other: Number) -> Number:
    if other == 0:
        raise Nothing
    exact = Fraction(one) / Fraction(other)
    return int(exact) if isinstance(one, int) and isinstance(other, int) else exact


def rest(one: Number, other: Number) -> Number:
    return one - other * quotient(one, other)


Meant = tuple[str, Callable[[dict[str, Number]], Number], bool]
"""An expression as it is written, what it means, and whether it is a float."""


def joined(symbol: str, meaning: Callable[[Number, Number], Number], one: Meant, other: Meant) -> Meant:
    return (f"({one[0]} {symbol} {other[0]})", lambda values: kept(meaning(one[1](values), other[1](values))),
            one[2] or other[2])


ROUNDINGS: dict[str, Callable[[Fraction], int]] = {
    "rounded": lambda value: floor(value + Fraction(1, 2)), "rounded_up": ceil, "rounded_down": floor,
}


def rounded(name: str, digits: int, one: Meant) -> Meant:
    text = one[0] if one[2] else f"to_float({one[0]})"

    def meaning(values: dict[str, Number]) -> Number:
        return kept(Fraction(ROUNDINGS[name](kept(Fraction(one[1](values))) * Fraction(10) ** digits), 1)
                    / Fraction(10) ** digits)

    return f"@{name}({text}, {digits})", meaning, True


def chosen(name: str, one: Meant, other: Meant) -> Meant:
    pick = {"min": min, "max": max}[name]
    is_float = one[2] or other[2]

    def meaning(values: dict[str, Number]) -> Number:
        both = [one[1](values), other[1](values)]
        return kept(pick([kept(Fraction(value)) for value in both] if is_float else both))

    return f"{name}({one[0]}, {other[0]})", meaning, is_float


def leaves() -> st.SearchStrategy[Meant]:
    def constant(text: str) -> Meant:
        value: Number = Fraction(text) if "." in text else int(text)
        return text, lambda values: value, isinstance(value, Fraction)

    def variable(name: str) -> Meant:
        return name, lambda values: values[name], name != "k"

    written = st.sampled_from([*(text if "." in text else f"{text}.0" for text in DECIMALS), *WHOLE])
    return written.map(constant) | st.sampled_from(["x", "y", "k"]).map(variable)


def wider(inner: st.SearchStrategy[Meant]) -> st.SearchStrategy[Meant]:
    symbols: dict[str, Callable[[Number, Number], Number]] = {
        "+": operator.add, "-": operator.sub, "*": operator.mul, "/": quotient,
    }
    return (
        st.builds(lambda symbol, one, other: joined(symbol, symbols[symbol], one, other),
                  st.sampled_from(sorted(symbols)), inner, inner)
        | st.builds(lambda one, other: one if one[2] or other[2] else joined("%", rest, one, other), inner, inner)
        | st.builds(rounded, st.sampled_from(sorted(ROUNDINGS)), st.integers(-2, 4), inner)
        | st.builds(chosen, st.sampled_from(["min", "max"]), inner, inner)
        | inner.map(lambda one: (f"to_float({one[0]})", lambda values: kept(Fraction(one[1](values))), True))
        | inner.map(lambda one: (f"to_number({one[0]})", lambda values: kept(int(one[1](values))), False))
    )


def expressions() -> st.SearchStrategy[Meant]:
    """Expressions of at most six variables and constants."""
    return st.recursive(leaves(), wider, max_leaves=6)
