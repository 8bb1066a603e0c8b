"""`policy-kb about`: a policy, as its rule files state it."""

from __future__ import annotations

from pathlib import Path

import click

from policy_kb.commands._options import as_json, bases, print_json, width
from policy_kb.commands._progress import read_rules


@click.command(short_help="A policy: phases, criteria, approvals, codes, readings, revisions.")
@click.argument("policy", required=False)
@bases
@as_json
def command(policy: str | None, bases: tuple[Path, ...], with_json: bool) -> None:
    """Print POLICY from its rules and facts: a `.dl` file, or a number, which stands for its last edition. Without it,
    the list of policies; `policy-kb policies` says more of each.

    Exit code: 0 done, 1 there is no such policy, 2 wrong usage, 3 the rules were refused.

    \b
    Example:
      policy-kb about 09-J2000-27
    """
    from policy_kb.policies import Policies

    policies = Policies(policy, bases=bases, progress=read_rules)
    if policy is None:
        shown = ("policy", "title", "revised", "covers")
        listed = [{key: entry[key] for key in shown} for entry in policies.listed() if entry["policy"] is not None]
        if with_json:
            print_json(listed)
        for entry in listed if not with_json else ():
            click.echo(f"{entry['policy']}  {entry['title']}, revised {entry['revised']}; "
                       f"covers {', '.join(entry['covers'])}")
        return
    from policy_kb.report.about import about

    sections = about(policies.last())
    if with_json:
        print_json([{"heading": heading, "lines": [line.strip() for line in lines]} for heading, lines in sections])
        return
    import textwrap

    for heading, lines in sections:
        click.echo(heading)
        for line in lines:
            indent = len(line) - len(line.lstrip()) + 2
            click.echo("\n".join(textwrap.wrap(
                line.strip(), width(), initial_indent=" " * indent, subsequent_indent=" " * (indent + 2))))
        click.echo()
