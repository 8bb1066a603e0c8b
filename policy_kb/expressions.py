"""What expressions and comparisons mean: Soufflé's values, with numbers of 64 bits."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from policy_kb import dates
from policy_kb.diagnostics import Diagnostic, Kind, Refused, quoted
from policy_kb.parse.tree import Call, Constant, Expression, Value, Variable
from policy_kb.source import Span
from policy_kb.text import NoPatternError, matches

Bindings = Mapping[str, Value]


class EvaluationStopped(Refused):
    """A value that does not exist: a division by zero, a text that is no number, a date beyond the calendar."""

    kind = Kind.ARITHMETIC
    hint = "derive the rows for which there is a value first, in a relation of their own"

    def __init__(self, span: Span, message: str, excerpt: str | None = None):
        super().__init__([Diagnostic(self.kind, span, message, self.hint, excerpt=excerpt)])
        self.span, self.message = span, message

    def in_files(self, files: Mapping[str, str]) -> EvaluationStopped:
        """The same with the source line; `files` are the program's texts."""
        return type(self)(self.span, self.message, files[self.span.file].split("\n")[self.span.line - 1])


class NoPattern(EvaluationStopped):
    """A text that rules compute is used as a pattern, and is none."""

    kind = Kind.BAD_PATTERN
    hint = NoPatternError.hint


def wrapped(number: int) -> int:
    """A number of 64 bits: what lies beyond begins again at the other end, as in Soufflé."""
    return (number + 2**63) % 2**64 - 2**63 if not -(2**63) <= number < 2**63 else number


def divided(left: int | float, right: int | float) -> int | float:
    """Division; of whole numbers towards zero."""
    if isinstance(left, float) or isinstance(right, float):
        if right == 0:
            if left == 0 or math.isnan(left):
                return math.nan
            return math.copysign(math.inf, left) * math.copysign(1, right)
        return left / right
    if right == 0:
        raise ZeroDivisionError
    quotient = abs(left) // abs(right)
    return wrapped(quotient if (left < 0) == (right < 0) else -quotient)


def remainder(left: int, right: int) -> int:
    """What division towards zero leaves: it has the sign of `left`."""
    if right == 0:
        raise ZeroDivisionError
    return wrapped(left - right * int(divided(left, right)))


def _plus(left: Value, right: Value) -> Value:
    """The sum of two numbers, or two texts joined."""
    result = left + right  # type: ignore[operator]
    return wrapped(result) if isinstance(result, int) else result


def _minus(*values: Value) -> Value:
    result = -values[0] if len(values) == 1 else values[0] - values[1]  # type: ignore[operator]
    return wrapped(result) if isinstance(result, int) else result


def _times(left: Value, right: Value) -> Value:
    result = left * right  # type: ignore[operator]
    return wrapped(result) if isinstance(result, int) else result


def _to_string(value: Value) -> str:
    """A value as `to_string` gives it: a float with six digits behind the point, as in Soufflé."""
    return f"{value:f}" if isinstance(value, float) else str(value)


def _to_number(value: Value) -> int:
    """The number that a text says (in digits, or behind `0x` or `0b`), or a float without what is behind its point."""
    if isinstance(value, str):
        written = re.fullmatch(r"\s*([-+]?)(?:0x([0-9a-fA-F]+)|0b([01]+)|(\d+))", value[:100], re.ASCII)
        if not written or len(value) > 100:
            raise ValueError(f"`{value[:60]}` is not a number")
        sign, hexadecimal, binary, decimal = written.groups()
        value = int(hexadecimal or binary or decimal, 16 if hexadecimal else 2 if binary else 10)
        value = -value if sign == "-" else value
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"`{value}` is not a whole number")
    return wrapped(int(value))


def _substr(text: str, start: int, length: int) -> str:
    """The `length` bytes from `start` on; nothing where there are none."""
    if start < 0 or length < 0:
        return ""
    return text.encode()[start : start + length].decode(errors="replace")


_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "+": _plus,
    "-": _minus,
    "*": _times,
    "/": divided,
    "%": remainder,
    "min": min,
    "max": max,
    "cat": lambda *texts: "".join(texts),
    "strlen": lambda text: len(text.encode()),
    "substr": _substr,
    "to_string": _to_string,
    "to_number": _to_number,
    "@date": dates.parse_date,
    "@months_before": dates.months_before,
    "@months_after": dates.months_after,
    "@year": dates.year_of,
}


def call(function: str, arguments: Iterable[Value], span: Span) -> Value:
    """The value of an operator, a built-in or a functor. Stops the evaluation where there is none."""
    try:
        return _FUNCTIONS[function](*arguments)
    except ZeroDivisionError:
        raise EvaluationStopped(span, "division by zero") from None
    except ValueError as problem:
        raise EvaluationStopped(span, str(problem)) from None


def value_of(expression: Expression, bindings: Bindings) -> Value:
    """The value of an expression without aggregates, its variables being bound."""
    match expression:
        case Constant(value=value):
            return value
        case Variable(name=name):
            return bindings[name]
        case Call(function=function, arguments=arguments, span=span):
            return call(function, [value_of(argument, bindings) for argument in arguments], span)
    raise AssertionError(f"no value: {expression}")


def _symbol_order(compare: Callable[[Any, Any], bool]) -> Callable[[Value, Value], bool]:
    """Symbols compare by their UTF-8 bytes, as in Soufflé."""

    def compared(left: Value, right: Value) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return compare(left.encode(), right.encode())
        return compare(left, right)

    return compared


COMPARE: dict[str, Callable[[Value, Value], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": _symbol_order(operator.lt),
    "<=": _symbol_order(operator.le),
    ">": _symbol_order(operator.gt),
    ">=": _symbol_order(operator.ge),
    "contains": lambda needle, text: str(needle) in str(text),
    "match": lambda pattern, text: matches(str(pattern), str(text)),
    "!contains": lambda needle, text: str(needle) not in str(text),
    "!match": lambda pattern, text: not matches(str(pattern), str(text)),
}


def compared(operator: str, left: Value, right: Value, span: Span) -> bool:
    """Whether a comparison holds. Stops the evaluation where a pattern is none."""
    try:
        return COMPARE[operator](left, right)
    except NoPatternError as problem:
        raise NoPattern(span, f"{quoted(left)} is no pattern: {problem}") from None


def aggregated(function: str, values: list[Value]) -> Value | None:
    """`count`, `sum`, `min` or `max` of the values of the target, one for each tuple of the body; None where there is
    no least or greatest one."""
    match function:
        case "count":
            return len(values)
        case "sum":
            if any(isinstance(value, float) for value in values):
                return math.fsum(values)  # type: ignore[arg-type]
            return wrapped(sum(values))  # type: ignore[arg-type]
        case "min":
            return min(values, default=None)
        case "max":
            return max(values, default=None)
    raise AssertionError(function)
