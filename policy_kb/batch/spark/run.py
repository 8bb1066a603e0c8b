"""A batch in Spark from its input to its output: read, checked, decided phase by phase, and summed up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policy_kb.batch.engine import (
    Chosen,
    Progress,
    add_up,
    chosen_readings,
    compiled,
    covered,
    phases_asked_for,
    policies_of,
    refusals,
    refuse_batch,
    same_vocabulary,
)
from policy_kb.batch.openness import count_not_stated
from policy_kb.batch.results import Written, columns_of
from policy_kb.batch.script import UNSURE, Query
from policy_kb.batch.shape import CASE, ITEM, PHASE, Complete
from policy_kb.batch.spark.dialect import SPARK, SPARK_VALUES
from policy_kb.batch.spark.folders import Folder
from policy_kb.batch.spark.functions import keep, run
from policy_kb.batch.spark.output import beside, check_output, remove, whole_folder
from policy_kb.batch.spark.session import open_session
from policy_kb.batch.spark.sources import reading
from policy_kb.batch.spark.tables import REJECT_COLUMNS, SparkBatch, read_tables
from policy_kb.batch.summary import Summary, summarise_rows
from policy_kb.batch.tables import MOST_PROBLEMS, Problem
from policy_kb.check.checked import Phase
from policy_kb.load.cases import REQUEST
from policy_kb.policies import Policies, Policy

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_q = SPARK.quoted
_CASE = _q(CASE)
_REFUSED = "refused_cases"

_COLUMNS = {
    CASE: "STRING", "policy": "STRING", "phase": "STRING", "decision": "STRING",
    "approval": "ARRAY<STRUCT<amount: DECIMAL(38, 18), unit: STRING>>",
}
_LAST_COLUMNS = {"missing": "ARRAY<STRUCT<relation: STRING, why: STRING>>", "notices": "ARRAY<STRING>"}


def batch(
    asked: Policies, source: str, output: str, rejects: str | None, complete: Complete,
    readings: Mapping[str, str], progress: Progress | None = None,
) -> tuple[Summary, int]:
    """Decide all cases of a folder of Parquet tables and write one row for each to the folder `output`; the paths are
    any that Spark reads. Gives the summary, and the number of rows without the name of a case.

    Raises CaseRefused for an input or an output that is refused, and for cases that are if there is no `rejects`.
    """
    policies = policies_of(asked)
    for other in policies[1:]:
        same_vocabulary(policies[0], other)
    chosen = {one.number: chosen_readings(one, readings) for one in policies}
    session = open_session()
    folder, target = Folder(session, source), Folder(session, output)
    aside = Folder(session, rejects) if rejects is not None else None
    check_output(target, [folder, *([aside] if aside else [])], (".parquet",))
    if aside is not None:
        check_output(aside, [folder, target], (".parquet", ".csv"))
    tell = progress or (lambda what, done, whole: None)
    tell("reading", 0, 1)
    first = policies[0]
    copies = beside(target, "copies")
    try:
        cases = read_tables(session, first.program, first.rules.known, folder, copies, complete=complete)
        return _decided(policies, chosen, cases, target, aside, tell), cases.unnamed
    finally:
        remove(copies)


def _decided(
    policies: Sequence[Policy], chosen: Mapping[str, Chosen], cases: SparkBatch, target: Folder, aside: Folder | None,
    tell: Progress,
) -> Summary:
    with reading(cases.place):
        work = _Work(policies, chosen, cases)
        tell("checking", 0, 1)
        work.refuse()
        rejected = cases.rejected + work.refused
        if (rejected or cases.unnamed) and aside is None:
            raise refuse_batch(work.problems(), cases.cases, rejected, cases.unnamed, Path(cases.place))
        with _both(target, aside) as (unfinished, unfinished_aside):
            written = work.write(unfinished, tell)
            if unfinished_aside is not None and aside is not None:
                work.write_rejects(unfinished_aside, aside.path)
            cases.found.check()
            add_up(written[1].cases, cases.cases - rejected, Path(cases.place))
            summary = summarise_rows(
                written[0], SPARK, written[1], {policy.number: policy.program for policy in policies},
                rejected=rejected if aside is not None else None,
                not_stated=work.not_stated(written[1].cases),
            )
    return summary


@contextmanager
def _both(target: Folder, aside: Folder | None) -> Iterator[tuple[Folder, Folder | None]]:
    """The output and, if there is one, the place of what is put aside: both appear when both are complete."""
    if aside is None:
        with whole_folder(target) as unfinished:
            yield unfinished, None
    else:
        with whole_folder(target) as unfinished, whole_folder(aside) as unfinished_aside:
            yield unfinished, unfinished_aside


class _Work:
    """The decisions of one batch. `refused` is the number of cases that were read and are refused by what they say."""

    def __init__(self, policies: Sequence[Policy], chosen: Mapping[str, Chosen], cases: SparkBatch):
        self.policies, self.chosen, self.cases = policies, chosen, cases
        self.session = cases.session
        self.refused = 0
        self.refusals: DataFrame | None = None
        self.asked = self.asked_for()
        self.decisions: list[tuple[Query, DataFrame]] = []

    # refusals that need rules

    def asked_for(self) -> set[tuple[str, str]]:
        """The drugs and phases that are asked for."""
        found = self.session.sql(f"SELECT DISTINCT {ITEM}, {PHASE} FROM {self.cases.shape[REQUEST].table}")
        return {(item, phase) for item, phase in found.collect()}

    def refuse(self) -> None:
        """Find the cases that no policy decides, those that a policy's vocabulary refuses by a rule, and those for
        which a value does not exist that the rules need."""
        from pyspark.sql import functions as f

        found = [self.uncovered()]
        first = self.policies[0]
        for name, script in refusals(first, self.chosen[first.number], self.cases.shape, SPARK):
            relation = first.program.relations[name]
            run(self.session, script)
            rows = self.session.sql(script.last)
            says = f.udf(_sentences(relation), "string", useArrow=False)
            found.append(rows.select(
                f.col(_CASE).alias(CASE), f.lit(relation.name).alias("table"),
                says(*(rows[_q(column)] for column in rows.columns)).alias("reason"),
            ))
        for policy, phase in phases_asked_for(self.policies, self.asked):
            found += self.prepare(policy, phase)
        whole = found[0]
        for rows in found[1:]:
            whole = whole.unionAll(rows)
        none = f.lit(None)
        self.refusals = keep(whole.select(
            CASE, "table", none.cast("string").alias("part"), none.cast("bigint").alias("row"), "reason"
        ))
        self.refused = self.refusals.select(CASE).distinct().count()

    def uncovered(self) -> DataFrame:
        reason = f"concat('no policy covers `', {ITEM}, '` in the phase `', {PHASE}, '`')"
        return self.session.sql(
            f"SELECT {_CASE}, 'request' AS {_q('table')}, {reason} AS reason "
            f"FROM {self.cases.shape[REQUEST].table} WHERE NOT ({covered(self.policies, SPARK)})"
        )

    def prepare(self, policy: Policy, phase: Phase) -> list[DataFrame]:
        """Plan the decisions of a phase; the cases for which a value does not exist."""
        from pyspark.sql import functions as f

        query = compiled(policy, self.chosen[policy.number], phase, self.cases.shape, SPARK)
        run(self.session, query.script)
        rows = self.session.sql(query.script.last)
        self.decisions.append((query, rows))
        return [
            rows.where(_q(flag)).select(CASE, f.lit("request").alias("table"), f.lit(UNSURE[flag]).alias("reason"))
            for flag in UNSURE.keys() & set(query.columns)
        ]

    def problems(self) -> list[Problem]:
        """The first hundred problems."""
        assert self.refusals is not None
        more = self.refusals.orderBy("case", "table", "reason").limit(MOST_PROBLEMS).collect()
        return [*self.cases.problems, *(Problem(row["table"], None, row[CASE], row["reason"]) for row in more)][
            :MOST_PROBLEMS]

    # decisions

    def write(self, unfinished: Folder, tell: Progress) -> tuple[Callable[[str], list[Any]], Written]:
        """Write the decisions of all cases that are not put aside, one phase after the other. Gives what reads them
        again."""
        criteria = tuple(dict.fromkeys(name for query, _ in self.decisions for name in query.criteria.values()))
        columns = {**_COLUMNS, **{" ".join(one): "STRING" for one in criteria}, **_LAST_COLUMNS}
        location = unfinished.location
        session = self.session
        nothing = ", ".join(f"CAST(NULL AS {kind}) AS {_q(column)}" for column, kind in columns.items())
        if not self.decisions:
            _write(session.sql(f"SELECT {nothing} WHERE FALSE"), location)
        for done, (query, decided) in enumerate(self.decisions):
            tell("deciding", done, len(self.decisions))
            has = {" ".join(query.criteria.get(column, (column,))): column for column in query.columns}
            rows = decided.selectExpr(*(
                f"CAST({has.get(column, 'NULL')} AS {kind}) AS {_q(column)}" for column, kind in columns.items()
            ))
            if self.refused:
                assert self.refusals is not None
                rows = rows.join(self.refusals.select(CASE).distinct(), CASE, "left_anti").select(*map(_q, columns))
            _write(rows, location)
        tell("summing up", 0, 1)
        table = "written"
        rows = session.read.option("__globPaths__", "false").parquet(location)
        rows.toDF(*columns_of(criteria)).createOrReplaceTempView(table)
        [(cases,)] = session.sql(f"SELECT count(*) FROM {table}").collect()
        written = Written(table, cases, criteria)
        return (lambda query: [tuple(row) for row in session.sql(query).collect()]), written

    def not_stated(self, decided: int) -> Mapping[str, int]:
        """As of `Outcome`."""
        assert self.refusals is not None
        self.refusals.createOrReplaceTempView(_REFUSED)
        return count_not_stated(
            lambda query: self.session.sql(query).collect(), self.cases.unstated, self.cases.shape, decided,
            f"SELECT {_CASE} FROM {_REFUSED}", SPARK_VALUES,
        )

    def write_rejects(self, unfinished: Folder, path: str) -> None:
        """Write every problem of the cases put aside, as CSV or Parquet."""
        assert self.refusals is not None
        rows = self.refusals
        if self.cases.rejects is not None:
            rows = self.cases.rejects.unionAll(rows)
        rows = rows.select(*REJECT_COLUMNS)
        if path.lower().endswith(".parquet"):
            _write(rows, unfinished.location)
        else:
            # Quotes are doubled, as everyone else reads them.
            rows.write.csv(unfinished.location, header=True, escape='"', quoteAll=True)


def _write(rows: DataFrame, location: str) -> None:
    rows.write.mode("append").parquet(location, compression="zstd")


def _sentences(relation: Any) -> Callable[..., str]:
    def says(*values: Any) -> str:
        from policy_kb.explain.written import sentence

        return sentence(relation, values)

    return says

