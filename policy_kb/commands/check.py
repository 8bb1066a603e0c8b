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
    """Check rule files: a PATH is a rule file, or a knowledge base, of which every policy is checked, and whether two
    of them can claim one request. Without a PATH, all knowledge bases there are.

    Prints every error and warning, with place and hint, in file order; with --json a list of them.

    Exit code: 0 no error (there may be warnings), 2 wrong usage, 3 an error.

    \b
    Example:
      policy-kb check kb/alemtuzumab.dl
    """
    from policy_kb.choose.editions import Edition, editions_of
    from policy_kb.choose.knowledge_base import claimed_twice, entry_files
    from policy_kb.diagnostics import Diagnostic, Refused
    from policy_kb.installed import knowledge_bases
    from policy_kb.policies import checked_rules
    from policy_kb.source import display_name, real_path

    found: list[Diagnostic] = []
    entries: list[tuple[Path, Path | None]] = []
    for path in paths or knowledge_bases():
        try:
            inside = entry_files(path) if path.is_dir() else [path]
        except Refused as refused:
            found += refused.diagnostics
            continue
        if not inside:
            raise click.UsageError(f"no rule file (`.dl`) stands in {path}")
        entries += [(entry, real_path(path) if path.is_dir() else None) for entry in inside]
    summaries = []
    editions: list[Edition] = []
    for entry, base in counted(entries, "checked", is_silent=True):
        try:
            rules = checked_rules(entry, base=base)
        except Refused as refused:
            found += refused.diagnostics
        else:
            program = rules.program
            found += program.warnings
            if base is not None:
                editions += editions_of(program, rules.known.get("covers", ())).values()
            name = display_name(entry if base is None else entry.relative_to(base))
            if base is not None and not program.phases:
                continue  # a part that no policy needs
            summaries.append(f"{name}: {len(program.relations)} relations, {len(program.rules)} rules, "
                             f"{len(program.facts)} facts")
    found += claimed_twice(editions)
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
