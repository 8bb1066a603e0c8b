"""How an explanation names rows and expressions: words for a reader, on which nothing else depends."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

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
    """A value as a reader writes it: a date as year-month-day, a float without needless zeros."""
    if attribute is not None and attribute.is_date and isinstance(value, int):
        return format_date(value)
    if isinstance(value, float):
        return f"{value:.15g}"
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


def json_value(value: Value | None) -> Value | None:
    """A value as JSON holds it, which has no infinity and no NaN: they are text, `inf`, `-inf` and `nan`."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def written(expression: tree.Expression, environment: Mapping[str, Value] = {}) -> str:
    """An expression as an explanation names it: a variable by its words, a constant by its value, a number of months by
    the number in `environment`."""
    match expression:
        case tree.Variable(name=name):
            return name.replace("_", " ")
        case tree.Constant(value=value):
            return str(value)
        case tree.Call(function="@months_before" | "@months_after" as function, arguments=(day, months)):
            number = environment.get(months.name, "so many") if isinstance(months, tree.Variable) else written(months)
            return f"{number} months {'before' if function == '@months_before' else 'after'} {written(day)}"
        case tree.Call(function="@year", arguments=(day,)):
            return f"year of {written(day)}"
        case tree.Call(function="@date", arguments=(tree.Constant(value=value),)):
            return str(value)
        case tree.Call(function=function, arguments=(left, right)) if function in "+-*/%":
            return f"{written(left)} {function} {written(right)}"
        case tree.Call(function=function, arguments=arguments):
            return f"{function}({', '.join(map(written, arguments))})"
        case tree.Aggregate(function=function):
            return f"the {function}"
    return "any"


def is_date(
    expression: tree.Expression, body: Iterable[tree.Literal], relations: Mapping[str, Relation]
) -> bool:
    """Whether the value of an expression of a rule is a date."""
    match expression:
        case tree.Call(function=function):
            return function in ("@date", "@months_before", "@months_after")
        case tree.Variable(name=name):
            for literal in body:
                if isinstance(literal, tree.Atom):
                    attributes = relations[literal.relation].attributes
                    for argument, attribute in zip(literal.arguments, attributes, strict=True):
                        if isinstance(argument, tree.Variable) and argument.name == name:
                            return attribute.is_date
                if isinstance(literal, tree.Comparison) and literal.operator == "=":
                    for one, other in ((literal.left, literal.right), (literal.right, literal.left)):
                        if isinstance(one, tree.Variable) and one.name == name and isinstance(other, tree.Call):
                            return is_date(other, (), relations)
    return False
