"""`run`: any program of the language, as Soufflé would run it."""

from __future__ import annotations

from pathlib import Path

import click

from policy_kb.commands import show_diagnostics
from policy_kb.commands._options import FOLDER, PATH, as_json


@click.command()
@click.argument("program", metavar="FILE.dl", type=PATH)
@click.option("--facts", "-F", type=FOLDER, default=".", help="The folder of the input tables (default: this one).")
@click.option("--output", "-D", type=FOLDER, default=".", help="The folder for the output tables (default: this one).")
@as_json
def command(program: Path, facts: Path, output: Path, with_json: bool) -> None:
    """Evaluate FILE.dl as Soufflé would: tables in, tables out.

    `.input r` reads the rows of `r` from r.facts, `.output r` writes them to r.csv: one row a line, a tab between the
    columns; `filename`, `delimiter` and `headers` are followed. Annotations have no meaning here. Outputs are written
    when all of them are known, and not at all if anything is refused. With --json what is said of the rules and tables
    is JSON.

    Exit code: 0 done, 1 a table was refused, 2 wrong usage, 3 the rules were refused.

    \b
    Example:
      policy-kb run reachable.dl --facts tables --output .
    """
    from policy_kb.check.program import check_program
    from policy_kb.check.texts import check_patterns
    from policy_kb.diagnostics import CaseRefused, RulesRefused
    from policy_kb.evaluate.program import evaluate_program
    from policy_kb.load.tables import Output, read_table, write_tables
    from policy_kb.parse.includes import parse_program
    from policy_kb.parse.tree import without_annotations

    parsed, found = parse_program(program)
    checked = check_program(without_annotations(parsed), found)
    if checked.warnings:
        show_diagnostics(checked.warnings, with_json)
    if bad_patterns := check_patterns(checked, {}, {}):
        raise RulesRefused(bad_patterns)
    tables, problems = {}, []
    for table in checked.tables:
        try:
            rows = tables[table.relation] = read_table(checked.relations[table.relation], table, facts)
            if rows.notes:
                show_diagnostics(rows.notes, with_json)
        except CaseRefused as refused:
            problems += refused.diagnostics
    problems += check_patterns(checked, tables, {})
    if problems:
        raise CaseRefused(problems)
    found_rows = evaluate_program(checked, tables)
    outputs = [
        Output(output / table.filename, checked.relations[table.relation], found_rows[table.relation], table.delimiter,
               table.headers, table.is_csv)
        for table in checked.outputs
    ]
    write_tables(outputs, output)
