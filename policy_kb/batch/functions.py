"""The functions of rules that a database has not: each is the one that single cases are decided with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from inspect import Parameter, Signature
from typing import Any

from policy_kb.batch.dialect import DUCKDB, FLOAT, LIST_OF_FLOATS, NUMBER, SYMBOL, WORDS, kind_of_result
from policy_kb.batch.script import GATHERED, UNGATHERED, Script, Step
from policy_kb.expressions import COMPARE, EvaluationStopped, aggregated, call
from policy_kb.parse.tree import Aggregate, Value
from policy_kb.record import record
from policy_kb.source import Span

_NOWHERE = Span("", 1)
_NAME = re.compile(r"\bdatalog_(\w+)_([nfsl]+)(?=\()")
_FUNCTIONS = {word: function for function, word in WORDS.items()}
_KINDS = {"n": NUMBER, "f": FLOAT, "s": SYMBOL, "l": LIST_OF_FLOATS}


def fraction(struct: Any) -> Fraction:
    """A float as a database gives it."""
    return Fraction(struct["n"], struct["d"])


def struct(value: Value) -> dict[str, int]:
    """A float as a database is given it."""
    assert not isinstance(value, str)
    return {"n": value.numerator, "d": value.denominator}


@record
class Function:
    """A function as a database calls it, for arguments of these kinds. What has no value is None."""

    name: str
    function: str
    kinds: tuple[str, ...]

    @property
    def is_test(self) -> bool:
        return self.function in COMPARE

    @property
    def result(self) -> str:
        return kind_of_result(self.function, self.kinds)

    def implementation(self) -> Callable[..., Any]:
        """The function, whose signature says how many arguments it has."""
        def called(*arguments: Any) -> Any:
            return self(*arguments)

        places = [Parameter(f"a{place}", Parameter.POSITIONAL_ONLY) for place in range(len(self.kinds))]
        vars(called)["__signature__"] = Signature(places)
        return called

    def __call__(self, *arguments: Any) -> Any:
        if None in arguments:
            return None
        if self.is_test:
            return COMPARE[self.function](*arguments)
        try:
            value = self.value(arguments)
        except EvaluationStopped:
            return None
        return struct(value) if value is not None and self.result == FLOAT else value

    def value(self, arguments: tuple[Any, ...]) -> Value | None:
        if self.kinds == (LIST_OF_FLOATS,):
            [values] = arguments
            aggregate = Aggregate(self.function, None, (), _NOWHERE)
            return None if None in values else aggregated(aggregate, [fraction(one) for one in values])
        pairs = zip(arguments, self.kinds, strict=True)
        return call(self.function, [fraction(one) if kind == FLOAT else one for one, kind in pairs], _NOWHERE)


def functions_in(sql: str) -> Iterator[Function]:
    """The functions that a query uses beside the database's own."""
    for name in dict.fromkeys(match[0] for match in _NAME.finditer(sql)):
        word, kinds = name.removeprefix("datalog_").rsplit("_", 1)
        if word in _FUNCTIONS:  # a text may hold such signs as well
            yield Function(name, _FUNCTIONS[word], tuple(map(_KINDS.__getitem__, kinds)))


def register(connection: Any, sql: str) -> None:
    """Give a DuckDB connection what a query uses beside DuckDB's own functions."""
    for macro in DUCKDB.macros:
        connection.execute(macro)
    types = DUCKDB.types
    for one in functions_in(sql):
        result = "BOOLEAN" if one.is_test else types[one.result]
        with suppress(Exception):  # it is of an earlier query
            connection.remove_function(one.name)
        arguments = [types[kind] for kind in one.kinds]
        connection.create_function(one.name, one.implementation(), arguments, result, null_handling="special")


def make(connection: Any, step: Step) -> None:
    """Make the table of a step."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {DUCKDB.quoted(step.name)} AS {step.sql}")
    if step.name == GATHERED:
        connection.execute(f"DROP TABLE IF EXISTS {UNGATHERED}")


def run(connection: Any, script: Script) -> None:
    """Make the tables of a script, in the order in which they read each other."""
    for step in script.steps:
        make(connection, step)
