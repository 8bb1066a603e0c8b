"""What runs the steps of a script in Spark."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from policy_kb.batch.functions import functions_in
from policy_kb.batch.script import Script
from policy_kb.batch.spark.dialect import SPARK, name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def register(session: SparkSession, sql: str) -> None:
    """Give a session the functions of rules that a query uses beside Spark's own."""
    for one in functions_in(sql):
        session.udf.register(one.name, one.implementation(), "BOOLEAN" if one.is_test else SPARK.types[one.result])


def run(session: SparkSession, script: Script) -> None:
    """Make a view of each step of a script. What is read more than once is kept, and what is grouped by case: a few
    numbers a case, which Spark would else plan anew with each query that rests on them."""
    texts = [*(step.sql for step in script.steps), script.last]
    register(session, script.text)
    for number, step in enumerate(script.steps, start=1):
        rows = session.sql(step.sql)
        read = re.compile(rf"\b(?:FROM|JOIN) (?:{re.escape(name(step.name))}|{re.escape(step.name)})(?![\w`])")
        if sum(len(read.findall(text)) for text in texts[number:]) > 1 or "\nGROUP BY" in step.sql:
            rows = keep(rows)
        rows.createOrReplaceTempView(name(step.name))


def keep(rows: DataFrame) -> DataFrame:
    """Make rows and keep them, in memory and on the disks of the machines where that is short; or where Spark's
    configuration (`spark.checkpoint.dir`) says, so that they survive the loss of a machine.

    What reads them knows nothing of how they were made: Spark plans a query, and tells each task, with all that it
    rests on, which for steps that rest on steps would be more each time.
    """
    from pyspark import StorageLevel

    context = rows.sparkSession.sparkContext
    if context.getCheckpointDir() is not None:
        return rows.checkpoint()
    return rows.localCheckpoint(storageLevel=StorageLevel.MEMORY_AND_DISK)
