"""How an explanation names the expressions of a rule: words for a reader, of which nothing else depends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policy_kb.check.checked import Relation
from policy_kb.parse import tree
from policy_kb.parse.tree import Value

MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
"""The operator that says the same with its sides exchanged."""

NO_VALUE = "no value"
"""What stands for the value of an expression that has none: the least of no rows, a division by zero."""


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
