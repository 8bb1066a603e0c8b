"""What runs the steps of a script in Spark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from policy_kb.batch.functions import FUNCTIONS
from policy_kb.batch.spark.dialect import TYPES, name
from policy_kb.batch.sql import Script

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def register(session: SparkSession, sql: str) -> None:
    """Give a session the functions of rules that a query uses beside Spark's own."""
    for function, (implementation, _, result) in FUNCTIONS.items():
        if f"{function}(" in sql:
            session.udf.register(function, implementation, TYPES.get(result, result))


def run(session: SparkSession, script: Script) -> list[DataFrame]:
    """Make a view of each step of a script; what is read more than once is kept. What is kept is given back."""
    kept = []
    texts = [*(step.sql for step in script.steps), script.last]
    register(session, script.text)
    for number, step in enumerate(script.steps, start=1):
        rows = session.sql(step.sql)
        read = re.compile(rf"\b(?:FROM|JOIN) (?:{re.escape(name(step.name))}|{re.escape(step.name)})(?![\w`])")
        if sum(len(read.findall(text)) for text in texts[number:]) > 1:
            keep(rows)
            kept.append(rows)
        rows.createOrReplaceTempView(name(step.name))
    return kept


def keep(rows: DataFrame) -> DataFrame:
    """Keep rows in memory, and on the disks of the machines where that is short, once they are made."""
    from pyspark import StorageLevel

    return rows.persist(StorageLevel.MEMORY_AND_DISK)


@contextmanager
def letting_go(kept: list[DataFrame]) -> Iterator[list[DataFrame]]:
    """What is added to the list is not kept beyond the block."""
    try:
        yield kept
    finally:
        for rows in kept:
            rows.unpersist()
