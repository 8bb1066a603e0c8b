"""How an explanation names rows and expressions: words for a reader, on which nothing else depends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from policy_kb import numbers
from policy_kb.check.checked import Attribute, Relation
from policy_kb.dates import format_date
from policy_kb.parse import tree
from policy_kb.parse.tree import Value

_PLACE = re.compile(r"\{([^{}]*)\}")

_MOST_ROWS = 5
"""Rows that a question names; of others it says how many there are."""

NO_VALUE = "no value"
"""What stands for the value of an expression that has none: the least of no rows, a division by zero."""


def shown(value: Value | None, attribute: Attribute | None = None) -> str:
    """A value as a reader writes it: a date as year-month-day, a float with as many digits as needed."""
    if attribute is not None and attribute.is_date and isinstance(value, int):
        return format_date(value)
    if isinstance(value, Fraction):
        return numbers.shown(value)
    if value is None:
        if attribute is None or attribute.kind != "symbol":
            return "any date" if attribute is not None and attribute.is_date else "any"
        return f"any {attribute.name.replace('_', ' ')}"
    return str(value) if value != "" else "(none)"


def sentence(relation: Relation, values: Sequence[Value | None]) -> str:
    """A row of a relation in the words of its declaration; `any ...` where the value does not matter."""
    by_name = {attribute.name: shown(value, attribute)
               for attribute, value in zip(relation.attributes, values, strict=True)}
    if relation.sentence:
        return _PLACE.sub(lambda match: by_name[match.group(1)], relation.sentence)
    others = [by_name[attribute.name] for attribute in relation.attributes[relation.is_case :]]
    return f"{relation.name.replace('_', ' ')}{': ' if others else ''}{', '.join(others)}"


def doubt_question(relation: Relation, rows: Iterable[tuple[Value, ...]]) -> str:
    """The question that uncertain rows put."""
    all_rows = sorted(rows)
    says = "; that ".join(sentence(relation, row) for row in all_rows[:_MOST_ROWS])
    more = f"; and {len(all_rows) - _MOST_ROWS} more of the kind" if len(all_rows) > _MOST_ROWS else ""
    return f"Is it certain that {says}{more}?"


def waiting_question(relation: Relation, ask: str, wanted: Iterable[Sequence[Value | None]]) -> str:
    """The question that a relation puts of which more can always come, with the values that are waited for."""
    values = ", ".join(
        "/".join(
            format_date(value) if attribute.is_date and isinstance(value, int) else str(value)
            for value, attribute in zip(one[1:], relation.attributes[1:], strict=True)
        )
        for one in wanted
        if None not in one
    )
    return f"{ask} ({values})" if values else ask


def json_value(value: Value | None) -> int | float | str | None:
    """A value as JSON holds it: a float that is no decimal number, or one of very many digits, is text (`1/3`)."""
    return numbers.in_json(value) if isinstance(value, Fraction) else value


_STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2}
_REGROUPED = {("+", "+"), ("+", "-")}
"""Operators with the operator of a right operand that may do without brackets."""


def written(expression: tree.Expression, environment: Mapping[str, Value] = {}) -> str:
    """An expression as an explanation names it: a variable by its words, a constant by its value, a number of months by
    the number in `environment`; with brackets where it would be another expression without them."""
    match expression:
        case tree.Variable(name=name):
            return name.replace("_", " ")
        case tree.Constant(value=value):
            return shown(value)
        case tree.Call(function="to_float", arguments=(whole,)):
            return written(whole)
        case tree.Call(function="@months_before" | "@months_after" as function, arguments=(day, months)):
            number = environment.get(months.name, "so many") if isinstance(months, tree.Variable) else (
                _operand(months, environment)
            )
            word = "before" if function == "@months_before" else "after"
            return f"{number} months {word} {_operand(day, environment)}"
        case tree.Call(function="@year", arguments=(day,)):
            return f"year of {_operand(day, environment)}"
        case tree.Call(function="@date", arguments=(tree.Constant(value=value),)):
            return str(value)
        case tree.Call(function=function, arguments=(left, right)) if function in _STRENGTH:
            one = _operand(left, environment, _STRENGTH[function])
            is_regrouped = isinstance(right, tree.Call) and (function, right.function) in _REGROUPED
            other = _operand(right, environment, _STRENGTH[function] + (not is_regrouped))
            return f"{one} {function} {other}"
        case tree.Call(function="-", arguments=(only,)):
            return f"-{_operand(only, environment)}"
        case tree.Call(function=function, arguments=arguments):
            return f"{function}({', '.join(written(argument, environment) for argument in arguments)})"
        case tree.Aggregate(function=function):
            return f"the {function}"
    return "any"


def _operand(expression: tree.Expression, environment: Mapping[str, Value], strength: int = 3) -> str:
    """An expression within another one that binds its operands so strongly."""
    text = written(expression, environment)
    is_sum = isinstance(expression, tree.Call) and len(expression.arguments) == 2 and expression.function in _STRENGTH
    own = _STRENGTH[expression.function] if is_sum else 3  # type: ignore[union-attr]
    return f"({text})" if own < strength else text


def is_date(
    expression: tree.Expression, body: Iterable[tree.Literal], relations: Mapping[str, Relation]
) -> bool:
    """Whether the value of an expression of a rule is a date."""
    literals = tuple(body)
    match expression:
        case tree.Call(function="+" | "-", arguments=(left, right)):
            return is_date(left, literals, relations) != is_date(right, literals, relations)
        case tree.Call(function=function):
            return function in ("@date", "@months_before", "@months_after")
        case tree.Variable():
            for literal in literals:
                if isinstance(literal, tree.Atom):
                    attributes = relations[literal.relation].attributes
                    if any(
                        argument == expression and attribute.is_date
                        for argument, attribute in zip(literal.arguments, attributes, strict=True)
                    ):
                        return True
                if isinstance(literal, tree.Comparison) and literal.operator == "=":
                    others = tuple(one for one in literals if one is not literal)
                    for one, other in ((literal.left, literal.right), (literal.right, literal.left)):
                        if one == expression and is_date(other, others, relations):
                            return True
    return False
