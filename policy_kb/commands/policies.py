"""`policy-kb policies`: what the knowledge bases hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from policy_kb.commands import RULES_REFUSED
from policy_kb.commands._options import as_json, bases, print_json
from policy_kb.commands._progress import read_rules


@click.command(short_help="The policies there are: number, payer, editions, items, phases, file.")
@bases
@as_json
@click.pass_context
def command(context: click.Context, bases: tuple[Path, ...], with_json: bool) -> None:
    """List the policies of all knowledge bases: those given with --kb, those of the variable POLICY_KB_PATH, and the
    one that comes with this program.

    An edition decides requests of the days on which it holds. A policy that does not check is listed with its file
    alone; `policy-kb check FILE` says what is wrong with it.

    Exit code: 0 done, 1 a knowledge base cannot be read, 2 wrong usage, 3 some policy does not check.

    \b
    Example:
      policy-kb policies
    """
    from policy_kb.policies import Policies

    policies = Policies(bases=bases, progress=read_rules)
    listed = policies.listed()
    if with_json:
        print_json(listed)
    else:
        folder = None
        for entry in listed:
            if entry["knowledge_base"] != folder:
                folder = entry["knowledge_base"]
                click.echo(f"{folder}:")
            click.echo("\n".join(f"  {line}" for line in _lines(entry)))
    if any(entry["policy"] is None for entry in listed):
        context.exit(RULES_REFUSED)


def _lines(entry: dict[str, Any]) -> Iterator[str]:
    from policy_kb.choose.editions import days_held

    if entry["policy"] is None:
        yield f"{entry['file']}: does not check"
        return
    payer = f", {entry['payer']}" if entry["payer"] else ""
    yield f"{entry['policy']}{payer}, {days_held(entry)}: {entry['title']} ({entry['file']})"
    yield f"  {', '.join(entry['phases'])}; covers {', '.join(entry['covers'])}"
