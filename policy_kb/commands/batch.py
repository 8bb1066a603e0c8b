"""`policy-kb batch`: many cases at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from policy_kb.commands._options import (
    NAMED,
    all_stated,
    as_json,
    bases,
    complete,
    complete_of,
    policy,
    print_json,
    readings,
    width,
)

if TYPE_CHECKING:
    from policy_kb.batch.engine import Progress
    from policy_kb.batch.shape import Complete
    from policy_kb.batch.summary import Summary
    from policy_kb.policies import Policies


@click.command(short_help="Decide many cases at once.")
@click.argument("source", metavar="INPUT", type=NAMED)
@click.option("-o", "--output", required=True, metavar="FILE", type=NAMED,
              help="Where the decisions go: a .parquet, .csv or .ndjson file; with Spark a .parquet folder.")
@click.option("--engine", type=click.Choice(["duckdb", "spark"]), default="duckdb", show_default=True,
              help="What decides: DuckDB, on this machine, or Spark, for more cases than one machine can take.")
@click.option("--rejects", metavar="FILE", type=NAMED,
              help="Put cases that cannot be read aside, with what is wrong with them, in a .csv or .parquet file.")
@complete
@all_stated
@policy
@bases
@readings
@as_json
def command(
    source: str, output: str, engine: str, rejects: str | None, record: str | None, stated: str | None,
    policy: str | None, bases: tuple[Path, ...], reading: dict[str, str], with_json: bool,
) -> None:
    """Decide all cases of INPUT and write one row for each to FILE.

    INPUT is a folder with one table for each relation (RELATION.parquet or RELATION.csv, columns `case` and the
    relation's attributes; `request` is needed), a DuckDB database with such tables, or an NDJSON file of cases.

    A table states its relation for the cases that have rows in it; for the others it is unknown, unless --stated all
    says that every table is complete, or a table `_stated` (case, relation) says so for some. A table `_incomplete`
    (case, relation) lists rows that are not the whole story, a column `uncertain` marks rows that may not hold.

    A case that cannot be read refuses the whole batch, unless --rejects says where such cases go.

    Exit code: 0 done, 1 the input was refused, 2 wrong usage, 3 the rules were refused.

    \b
    Example:
      policy-kb batch cases/ -o decisions.parquet
    """
    from policy_kb.batch.results import interruptible
    from policy_kb.batch.summary import summary_dict, summary_lines
    from policy_kb.commands._progress import bar, read_rules
    from policy_kb.policies import Policies
    from policy_kb.report.summary import wrapped
    from policy_kb.report.wording import DISCLAIMER

    if rejects is not None and not rejects.lower().endswith((".csv", ".parquet")):
        raise click.BadParameter("give a .csv or .parquet file", param_hint="--rejects")
    if source == "-":
        raise click.UsageError("a batch is read from files; `decide - --format ndjson` takes the standard input")
    whole = complete_of(record, stated, source)
    with interruptible(), bar() as progress:
        decide = _with_spark if engine == "spark" else _with_duckdb
        policies = Policies(policy, None, bases, read_rules)
        summary, unnamed = decide(policies, source, output, rejects, whole, reading, progress)
    if with_json:
        print_json(summary_dict(summary))
        return
    click.echo("\n".join(summary_lines(summary, width())))
    if unnamed and rejects is not None:
        from policy_kb.source import display_name

        click.echo(f"{unnamed} rows without the name of a case are in {display_name(rejects)}")
    click.echo("\n".join(["", *wrapped([DISCLAIMER], width())]))


def _with_duckdb(
    policies: Policies, source: str, output: str, rejects: str | None, complete: Complete,
    readings: Mapping[str, str], progress: Progress | None,
) -> tuple[Summary, int]:
    from policy_kb.batch import needs_duckdb

    needs_duckdb()
    from policy_kb.batch.engine import decide_batch, policies_of
    from policy_kb.batch.results import check_output
    from policy_kb.outputs import refused, temporary_folder
    from policy_kb.source import real_path

    path, target, aside = Path(source), Path(output), None if rejects is None else Path(rejects)
    check_output(target, [path])
    if aside is not None:
        check_output(aside, [path])
        if real_path(aside) == real_path(target):
            raise refused(aside, "the decisions are written to the same file", "give a file of its own")
    with temporary_folder() as folder:
        return decide_batch(policies_of(policies), path, readings, target, folder, complete=complete, rejects=aside,
                            progress=progress)


def _with_spark(
    policies: Policies, source: str, output: str, rejects: str | None, complete: Complete,
    readings: Mapping[str, str], progress: Progress | None,
) -> tuple[Summary, int]:
    from policy_kb.batch.spark.session import needs_spark

    needs_spark()
    from policy_kb.batch.spark.run import batch

    return batch(policies, source, output, rejects, complete, readings, progress)
