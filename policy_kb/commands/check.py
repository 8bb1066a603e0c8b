"""`policy-kb check`: every diagnostic of the rules at once."""

from __future__ import annotations

from pathlib import Path

import click

from policy_kb.commands import RULES_REFUSED
from policy_kb.commands._options import PATH, as_json, print_json
from policy_kb.commands._progress import counted


@click.command(short_help="Every diagnostic of the rules at once.")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=PATH)
@as_json
@click.pass_context
def command(context: click.Context, paths: tuple[Path, ...], with_json: bool) -> None:
    """Check rule files: a PATH is a rule file, or a folder whose rule files are the entries of policies.

    Without a PATH, the policies that come with this program. Prints every error and warning, with place and hint, in
    file order; with --json a list of them.

    Exit code: 0 no error (there may be warnings), 2 wrong usage, 3 an error.

    \b
    Example:
      policy-kb check kb/alemtuzumab.dl
    """
    from policy_kb.diagnostics import Diagnostic, Refused
    from policy_kb.installed import policy_files, rules_folder
    from policy_kb.pipeline import parse_and_check
    from policy_kb.source import display_name

    found: list[Diagnostic] = []
    entries: list[Path] = []
    for path in paths or (rules_folder(),):
        try:
            inside = policy_files(path) if path.is_dir() else [path]
        except Refused as refused:
            found += refused.diagnostics
            continue
        if not inside:
            raise click.UsageError(f"no rule file (`.dl`) stands in {path}")
        entries += inside
    summaries = []
    for entry in counted(entries, "checked", is_silent=True):
        try:
            rules = parse_and_check(entry)
        except Refused as refused:
            found += refused.diagnostics
        else:
            found += rules.program.warnings
            program = rules.program
            name = display_name(entry if paths else entry.name)
            summaries.append(f"{name}: {len(program.relations)} relations, {len(program.rules)} rules, "
                             f"{len(program.facts)} facts")
    problems = list(dict.fromkeys(found))
    errors = sum(not problem.is_warning for problem in problems)
    if with_json:
        print_json([problem.to_dict() for problem in problems])
    else:
        for problem in problems:
            click.echo(str(problem), err=True)
        for summary in summaries:
            click.echo(summary)
        warnings = len(problems) - errors
        click.echo(f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}")
    if errors:
        context.exit(RULES_REFUSED)
