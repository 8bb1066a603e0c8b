"""How tests put cases into the tables of a batch, and what a batch says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb

from policy_kb import pipeline
from policy_kb.batch.dialect import DuckDB
from policy_kb.batch.functions import fraction, register, run
from policy_kb.batch.plan import decisions, model_query
from policy_kb.batch.shape import CASE, OPEN_TABLE, UNCERTAIN, Given, Openness, Shape, given_column, given_table
from policy_kb.batch.values import stored
from policy_kb.check.checked import CheckedProgram, Phase, Relation
from policy_kb.evaluate.model import Model
from policy_kb.evaluate.plain import Rows
from policy_kb.evaluate.worlds import Worlds, certain, open_, possible
from policy_kb.load.cases import INCOMPLETE
from policy_kb.load.facts import Facts

DIALECT = DuckDB()
TYPES = DIALECT.types


def values_of(row: Iterable[Any]) -> tuple[Any, ...]:
    """A row of a table of a batch as it is in a case: exact numbers as fractions."""
    return tuple(fraction(value) if isinstance(value, dict) else value for value in row)


def openness(relation: Relation, cases: Sequence[Facts]) -> Openness:
    are_open = [relation.name in facts.open for facts in cases]
    if relation.always_open is None and any(facts.open.get(relation.name) == INCOMPLETE for facts in cases):
        return Openness.SOME
    return Openness.ALWAYS if all(are_open) and are_open else Openness.SOME if any(are_open) else Openness.NEVER


def prepare(program: CheckedProgram, cases: Sequence[Facts], *, general: bool = False) -> tuple[Any, Shape]:
    """A connection with the tables of the cases, and their shape; `general` leaves everything open to the data."""
    connection = duckdb.connect(config={"threads": 1})  # a few rows: more threads only wait for each other
    connection.execute("SET enable_progress_bar = false")
    q = DIALECT.quoted
    shape: dict[str, Given] = {}
    for number, relation in enumerate(program.inputs()):
        rows = [(*row.values, row.is_uncertain) for facts in cases for row in facts.rows[relation.name]]
        is_single = relation.is_single
        state = openness(relation, cases)
        if general and state is Openness.NEVER and relation.may_be_open:
            state = Openness.SOME
        uncertain = any(row[-1] for row in rows) or (general and not is_single)
        has_rows = bool(rows) or general or is_single
        table = given_table(number)
        shape[relation.name] = Given(table, has_rows, uncertain, state)
        columns = [f"{q(given_column(place))} {TYPES[one.kind]}" for place, one in enumerate(relation.attributes)]
        columns += [f"{q(UNCERTAIN)} BOOLEAN"] if uncertain else []
        connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
        given = [row if uncertain else row[:-1] for row in rows]
        if given:
            marks = ", ".join([f"({', '.join('?' * len(given[0]))})"] * len(given))
            values = [stored(value) for row in given for value in row]
            connection.execute(f"INSERT INTO {table} VALUES {marks}", values)
    some = [name for name, given in shape.items() if given.openness is Openness.SOME]
    if some:
        columns = [f"{q(CASE)} VARCHAR", *(f"{shape[name].table} VARCHAR" for name in some)]
        connection.execute(f"CREATE TABLE {OPEN_TABLE} ({', '.join(columns)})")
        for facts in cases:
            words = [facts.case, *(facts.open.get(name) for name in some)]
            connection.execute(f"INSERT INTO {OPEN_TABLE} VALUES ({', '.join('?' * len(words))})", words)
    return connection, shape


def decided(
    rules: pipeline.Rules, known: Rows, phase: Phase, cases: Sequence[Facts], *, general: bool = False
) -> dict[str, dict[str, Any]]:
    """What a batch of the cases says of each, by the case's name."""
    connection, shape = prepare(rules.program, cases, general=general)
    query = decisions(rules, known, phase, shape, DIALECT)
    register(connection, query.script.text)
    run(connection, query.script)
    found = connection.execute(query.script.last).fetchall()
    names = [" ".join(query.criteria.get(column, (column,))) for column in query.columns]
    return {row[0]: dict(zip(names, row, strict=True)) for row in found}


def models(
    program: CheckedProgram, worlds: Worlds, known: Rows, cases: Sequence[Facts], *, general: bool = False
) -> dict[str, dict[str, set[tuple[Any, ...]]]]:
    """All rows of all plain relations about each case, the case left out, as DuckDB derives them."""
    connection, shape = prepare(program, cases, general=general)
    result: dict[str, dict[str, set[tuple[Any, ...]]]] = {facts.case: {} for facts in cases}
    queries = model_query(program, worlds, known, shape, DIALECT)
    register(connection, "".join(script.text for _, script in queries))
    for name, script in queries:
        run(connection, script)
        for case, *values in connection.execute(script.last).fetchall():
            result[case].setdefault(name, set()).add(tuple(map(said, values)))
    return result


def said(value: Any) -> Any:
    """A value as rules have it."""
    return fraction(value) if isinstance(value, Mapping) else value


def expected(model: Model, names: Iterable[str]) -> dict[str, set[tuple[Any, ...]]]:
    """The same, from a model of one case."""
    found: dict[str, set[tuple[Any, ...]]] = {}
    for name in model.certain:
        found[certain(name)] = {row[1:] for row in model.certain[name]}
        found[possible(name)] = {row[1:] for row in model.possible[name]}
        found[open_(name)] = {()} if name in model.open else set()
    return {name: rows for name, rows in found.items() if rows and name in names}
