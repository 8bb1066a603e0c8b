"""What expressions and comparisons mean: Soufflé's values, with whole numbers of 64 bits and exact floats."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from fractions import Fraction
from typing import Any

from policy_kb import dates, numbers
from policy_kb.diagnostics import Diagnostic, Kind, Refused, quoted
from policy_kb.parse.tree import Aggregate, Call, Constant, Expression, Value, Variable
from policy_kb.source import Span
from policy_kb.text import NoPatternError, matches

Bindings = Mapping[str, Value]

NO_FILES: Mapping[str, str] = {}


class EvaluationStopped(Refused):
    """A value that does not exist, or is beyond the limits: a division by zero, a text that is no number, a date beyond
    the calendar, a text that is too long."""

    kind = Kind.ARITHMETIC
    hint = "correct the record, or let another literal of the rule ask first, such as `days > 0`"

    def __init__(self, span: Span, message: str, excerpt: str | None = None):
        super().__init__([Diagnostic(self.kind, span, message, self.hint, excerpt=excerpt)])
        self.span, self.message = span, message
        self.bindings: Bindings = {}
        """The variables of an aggregate, where it is there that the value is missing."""

    def in_files(self, files: Mapping[str, str], more: str = "") -> EvaluationStopped:
        """The same with the source line, and `more` behind the message; `files` are the program's texts."""
        lines = files.get(self.span.file, "").split("\n")
        excerpt = lines[self.span.line - 1] if self.span.line <= len(lines) else None
        return type(self)(self.span, self.message + more, excerpt or None)


class NoPattern(EvaluationStopped):
    """A text that rules compute is used as a pattern, and is none."""

    kind = Kind.BAD_PATTERN
    hint = NoPatternError.hint


WholeNumber = Callable[[int], int]
"""What becomes of a whole number that may have more than 64 bits: it is refused (`numbers.whole`), or begins again at
the other end as in Soufflé (`numbers.wrapped`)."""


def _to_string(value: Value) -> str:
    """A value as `to_string` gives it: a float with six digits behind the point, as in Soufflé."""
    return numbers.as_souffle(value) if isinstance(value, Fraction) else str(value)


def _to_number(value: Value) -> int:
    """The number that a text says (in digits, or behind `0x` or `0b`), or a float without what is behind its point."""
    if not isinstance(value, str):
        return int(value)
    written = re.fullmatch(r"\s*([-+]?)(?:0x([0-9a-fA-F]+)|0b([01]+)|(\d+))", value[:100], re.ASCII)
    if not written or len(value) > 100:
        raise ValueError(f"`{value[:60]}` is not a number")
    sign, hexadecimal, binary, digits = written.groups()
    number = int(hexadecimal or binary or digits, 16 if hexadecimal else 2 if binary else 10)
    return -number if sign == "-" else number


def _cat(*texts: str) -> str:
    _limit_text(sum(map(len, texts)))
    return "".join(texts)


def _substr(text: str, start: int, length: int) -> str:
    """The `length` bytes from `start` on; nothing where there are none."""
    if start < 0 or length < 0:
        return ""
    part = text.encode()[start : start + length].decode(errors="replace")
    _limit_text(len(part))
    return part


LONGEST_TEXT = 10_000
"""Characters of a text that rules make."""

MOST_CHARACTERS = 50_000_000
"""Characters of all the texts that rules make in one evaluation, each as often as it is made."""

_made: ContextVar[list[int] | None] = ContextVar("_made", default=None)
"""How many characters the evaluation at hand has made."""


@contextmanager
def limited_texts() -> Iterator[None]:
    """One evaluation, which stops where it makes more than `MOST_CHARACTERS`."""
    token = _made.set([0])
    try:
        yield
    finally:
        _made.reset(token)


def _limit_text(length: int) -> None:
    if length > LONGEST_TEXT:
        raise ValueError(f"the text has more than {LONGEST_TEXT:,} characters")
    made = _made.get()
    if made is not None:
        made[0] += length
        if made[0] > MOST_CHARACTERS:
            raise ValueError(f"rules make texts of more than {MOST_CHARACTERS:,} characters together")


_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "+": lambda left, right: _cat(left, right) if isinstance(left, str) else left + right,
    "-": lambda left, right=None: -left if right is None else left - right,
    "*": operator.mul,
    "/": numbers.divided,
    "%": numbers.remainder,
    "min": min,
    "max": max,
    "cat": _cat,
    "strlen": lambda text: len(text.encode()),
    "substr": _substr,
    "to_string": _to_string,
    "to_number": _to_number,
    "to_float": Fraction,
    "@date": dates.parse_date,
    "@months_before": dates.months_before,
    "@months_after": dates.months_after,
    "@year": dates.year_of,
    "@written": dates.format_date,
    "@years_between": dates.years_between,
    "@months_between": dates.months_between,
    "@rounded": numbers.rounded,
    "@rounded_up": numbers.rounded_up,
    "@rounded_down": numbers.rounded_down,
    "exactly": numbers.exactly,  # of no rule file: what a batch writes an amount with
}


def call(function: str, arguments: Iterable[Value], span: Span, whole_number: WholeNumber = numbers.whole) -> Value:
    """The value of an operator, a built-in or a functor. Stops the evaluation where there is none, or one beyond the
    limits; for an argument may stand why it has no value."""
    values = list(arguments)
    for value in values:
        if isinstance(value, EvaluationStopped):
            raise value
    try:
        return _limited(_FUNCTIONS[function](*values), whole_number)
    except ZeroDivisionError:
        raise EvaluationStopped(span, f"division by zero: {_computed(function, values)}") from None
    except numbers.BeyondLimits as problem:
        raise EvaluationStopped(span, f"{problem}: {_computed(function, values)}") from None
    except ValueError as problem:
        raise EvaluationStopped(span, str(problem)) from None


def _computed(function: str, values: list[Value]) -> str:
    """What is computed, for a message."""
    texts = [quoted(value)[1:-1] if isinstance(value, str) else numbers.exactly(value) for value in values]
    if function in "+-*/%" and len(texts) == 2:
        return f"`{texts[0]} {function} {texts[1]}`"
    return f"`{function}({', '.join(texts)})`"


def _limited(value: Value, whole_number: WholeNumber) -> Value:
    if isinstance(value, int):
        return whole_number(value)
    return numbers.within_limits(value) if isinstance(value, Fraction) else value


def value_of(expression: Expression, bindings: Bindings, whole_number: WholeNumber = numbers.whole) -> Value:
    """The value of an expression without aggregates, its variables being bound."""
    match expression:
        case Constant(value=value):
            return value
        case Variable(name=name):
            return bindings[name]
        case Call(function=function, arguments=arguments, span=span):
            values = [value_of(argument, bindings, whole_number) for argument in arguments]
            return call(function, values, span, whole_number)
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


def aggregated(aggregate: Aggregate, values: list[Any], whole_number: WholeNumber = numbers.whole) -> Value | None:
    """`count`, `sum`, `min` or `max` of the values of the target, one for each tuple of the body; None where there is
    no least or greatest one. Stops the evaluation where a sum is beyond the limits."""
    match aggregate.function:
        case "count":
            return len(values)
        case "sum":
            try:
                return _limited(numbers.total(values), whole_number)
            except ValueError as problem:
                raise EvaluationStopped(aggregate.span, str(problem)) from None
        case "min":
            return min(values, default=None)
        case "max":
            return max(values, default=None)
    raise AssertionError(aggregate.function)
