"""`policy-kb batch`: many cases at once."""

from __future__ import annotations

from pathlib import Path

import click

from policy_kb.commands._options import as_json, policy, print_json, readings, readings_of, width


@click.command(short_help="Decide many cases at once.")
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, metavar="FILE", type=click.Path(path_type=Path),
              help="Where the decisions go: a .parquet, .csv or .ndjson file.")
@click.option("--rejects", metavar="FILE", type=click.Path(path_type=Path),
              help="Put cases that cannot be read aside, with what is wrong with them, in a .csv or .parquet file.")
@click.option("--record", type=click.Choice(["complete"]),
              help="What the input does not mention does not exist, instead of being unknown.")
@policy
@readings
@as_json
def command(
    source: Path, output: Path, rejects: Path | None, record: str | None, policy: str | None,
    reading: tuple[str, ...], with_json: bool,
) -> None:
    """Decide all cases of INPUT and write one row for each to FILE.

    INPUT is a folder with one table for each relation (RELATION.parquet or RELATION.csv, columns `case` and the
    relation's attributes; `request` is needed), a DuckDB database with such tables, or an NDJSON file of cases. A
    relation whose table is there is stated for every case; a table `_incomplete` (case, relation) lists exceptions, a
    column `uncertain` marks rows that may not hold; a relation without a table is unknown.

    A case that cannot be read refuses the whole batch, unless --rejects says where such cases go.

    \b
    Example:
      policy-kb batch cases/ -o decisions.parquet
    """
    from policy_kb.batch import needs_duckdb

    needs_duckdb()
    from policy_kb.batch.engine import decide_batch, policies_of
    from policy_kb.batch.results import check_output, interruptible
    from policy_kb.batch.summary import summarise, summary_dict, summary_lines
    from policy_kb.commands._progress import bar
    from policy_kb.policies import Policies

    chosen = readings_of(reading)
    check_output(output, [source, *([rejects] if rejects else [])])
    if rejects is not None:
        if rejects.suffix.lower() not in (".csv", ".parquet"):
            raise click.BadParameter("give a .csv or .parquet file", param_hint="--rejects")
        check_output(rejects, [source, output])
    policies = policies_of(Policies(policy))
    with interruptible(), bar() as progress:
        outcome, connection = decide_batch(policies, source, chosen, output, record_complete=record == "complete",
                                           rejects=rejects, progress=progress)
        programs = {one.number: one.program for one in policies}
        summary = summarise(connection, outcome.written, programs, read=outcome.cases,
                            rejected=outcome.rejected if rejects is not None else None)
    if with_json:
        print_json(summary_dict(summary))
        return
    click.echo("\n".join(summary_lines(summary, width())))
    if outcome.unnamed:
        click.echo(f"{outcome.unnamed} rows without the name of a case are in {rejects}")
