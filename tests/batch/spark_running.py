"""How tests put cases into the tables of a batch in Spark, and what a batch there says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from policy_kb import pipeline
from policy_kb.batch.functions import fraction
from policy_kb.batch.plan import decisions, model_query
from policy_kb.batch.shape import CASE, OPEN_TABLE, UNCERTAIN, Openness, Shape, given_column
from policy_kb.batch.spark.dialect import SPARK
from policy_kb.batch.spark.functions import keep, run
from policy_kb.batch.spark.session import fresh
from policy_kb.check.checked import CheckedProgram, Phase
from policy_kb.evaluate.plain import Rows
from policy_kb.evaluate.worlds import Worlds
from policy_kb.load.facts import Facts
from tests.batch.running import DIALECT, prepare, said

SORTS = SPARK.types


def prepare_spark(
    session: Any, program: CheckedProgram, cases: Sequence[Facts], *, general: bool, partitions: int
) -> tuple[Any, Shape]:
    """A session with the tables of the cases, as DuckDB has them for other tests."""
    connection, shape = prepare(program, cases, general=general)
    new = fresh(session)

    def copied(table: str, kinds: dict[str, str]) -> None:
        found = connection.execute(f"SELECT * FROM {DIALECT.quoted(table)}").fetchall()
        values = ", ".join(
            "(" + ", ".join("NULL" if value is None else str(value).upper() if isinstance(value, bool)
                            else SPARK.literal(said(value)) for value in row) + ")" for row in found
        ) or f"({', '.join(['NULL'] * len(kinds))})"
        columns = ", ".join(f"CAST({SPARK.quoted(one)} AS {kind}) AS {SPARK.quoted(one)}"
                            for one, kind in kinds.items())
        named = ", ".join(map(SPARK.quoted, kinds))
        where = "" if found else " WHERE FALSE"
        rows = new.sql(f"SELECT {columns} FROM (VALUES {values}) AS given({named}){where}")
        if partitions:
            rows = rows.repartition(partitions, CASE)
        keep(rows).createOrReplaceTempView(SPARK.quoted(table))

    for relation in program.inputs():
        kinds = {given_column(place): SORTS[one.kind] for place, one in enumerate(relation.attributes)}
        kinds |= {UNCERTAIN: "BOOLEAN"} if shape[relation.name].has_uncertain else {}
        copied(shape[relation.name].table, kinds)
    some = [given.table for given in shape.values() if given.openness is Openness.SOME]
    if some:
        copied(OPEN_TABLE, dict.fromkeys((CASE, *some), "STRING"))
    return new, shape


def decided(
    session: Any, rules: pipeline.Rules, known: Rows, phase: Phase, cases: Sequence[Facts], *, general: bool = False,
    partitions: int = 3,
) -> dict[str, dict[str, Any]]:
    """What a batch of the cases says of each, by the case's name."""
    new, shape = prepare_spark(session, rules.program, cases, general=general, partitions=partitions)
    query = decisions(rules, known, phase, shape, SPARK)
    run(new, query.script)
    found = new.sql(query.script.last).collect()
    names = [" ".join(query.criteria.get(column, (column,))) for column in query.columns]
    return {row[CASE]: dict(zip(names, row, strict=True)) for row in found}


def models(
    session: Any, program: CheckedProgram, worlds: Worlds, known: Rows, cases: Sequence[Facts], *,
    general: bool = False, partitions: int = 3,
) -> dict[str, dict[str, set[tuple[Any, ...]]]]:
    """All rows of all plain relations about each case, the case left out, as Spark derives them."""
    new, shape = prepare_spark(session, program, cases, general=general, partitions=partitions)
    result: dict[str, dict[str, set[tuple[Any, ...]]]] = {facts.case: {} for facts in cases}
    for name, script in model_query(program, worlds, known, shape, SPARK):
        run(new, script)
        for case, *values in new.sql(script.last).collect():
            result[case].setdefault(name, set()).add(tuple(
                fraction(one.asDict()) if hasattr(one, "asDict") else one for one in values))
    return result

