"""The functions of rules that a database has not: each is the one that single cases are decided with."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from policy_kb.batch.dialect import DUCKDB
from policy_kb.batch.script import GATHERED, UNGATHERED, Script, Step
from policy_kb.expressions import COMPARE, EvaluationStopped, call
from policy_kb.source import Span

_NOWHERE = Span("", 1)


def datalog_match(pattern: str, text: str) -> bool:
    return COMPARE["match"](pattern, text)


def datalog_to_string(value: float) -> str:
    return str(call("to_string", [Fraction(repr(value))], _NOWHERE))


def datalog_substr(text: str, start: int, length: int) -> str:
    return str(call("substr", [text, start, length], _NOWHERE))


def datalog_to_number(text: str | None) -> int | None:
    if text is None:  # made of what has no value itself
        return None
    try:
        return int(call("to_number", [text], _NOWHERE))
    except EvaluationStopped:
        return None


FUNCTIONS = {
    "datalog_match": (datalog_match, ("VARCHAR", "VARCHAR"), "BOOLEAN"),
    "datalog_to_string": (datalog_to_string, ("DOUBLE",), "VARCHAR"),
    "datalog_substr": (datalog_substr, ("VARCHAR", "BIGINT", "BIGINT"), "VARCHAR"),
    "datalog_to_number": (datalog_to_number, ("VARCHAR",), "BIGINT"),
}
"""By name: the function, the types of its arguments and of its value."""


def register(connection: Any, sql: str) -> None:
    """Give a DuckDB connection what a query uses beside DuckDB's own functions."""
    for macro in DUCKDB.macros:
        connection.execute(macro)
    for name, (function, arguments, result) in FUNCTIONS.items():
        if f"{name}(" in sql:
            connection.create_function(name, function, list(arguments), result, null_handling="special"
                                       if name == "datalog_to_number" else "default")


def make(connection: Any, step: Step) -> None:
    """Make the table of a step."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {DUCKDB.quoted(step.name)} AS {step.sql}")
    if step.name == GATHERED:
        connection.execute(f"DROP TABLE IF EXISTS {UNGATHERED}")


def run(connection: Any, script: Script) -> None:
    """Make the tables of a script, in the order in which they read each other."""
    for step in script.steps:
        make(connection, step)
