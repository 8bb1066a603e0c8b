"""`policy-kb compare`: what changed between two results of a batch."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from policy_kb.commands._options import PATH, as_json, print_json, width


@click.command(short_help="What changed between two results of a batch.")
@click.argument("old", metavar="OLD", type=PATH)
@click.argument("new", metavar="NEW", type=PATH)
@click.option("--most", type=click.IntRange(min=0), default=20, show_default=True, metavar="N",
              help="How many changed cases are named.")
@click.option("--output", "-o", metavar="FILE", type=PATH,
              help="Write all changed cases here; the ending says how: .parquet, .csv, .ndjson.")
@as_json
def command(old: Path, new: Path, most: int, output: Path | None, with_json: bool) -> None:
    """Compare two results of `policy-kb batch`, OLD and NEW, case by case: Parquet, CSV or NDJSON, also of two kinds.

    Prints the decisions that changed, how often each criterion changed and in which direction, the cases that only one
    of them has, and the first changed cases with the criteria that changed.

    Exit code: 0 done, 1 a file was refused, 2 wrong usage.

    \b
    Examples:
      policy-kb compare last-year.parquet after-the-edit.parquet
      policy-kb compare old.parquet new.parquet --most 5 -o changed.csv
    """
    from policy_kb.batch import needs_duckdb

    def progress(step: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"{step} ...", err=True)

    needs_duckdb()
    from policy_kb.batch.compare import compare_results, comparison_dict, comparison_lines

    comparison = compare_results(old, new, most=most, output=output, progress=progress)
    if with_json:
        print_json(comparison_dict(comparison))
        return
    for line in comparison_lines(comparison, width()):
        click.echo(line)
