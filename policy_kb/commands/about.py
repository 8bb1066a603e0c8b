"""`policy-kb about`: a policy, as its rule files state it."""

from __future__ import annotations

import click

from policy_kb.commands._options import as_json, print_json, width


@click.command(short_help="A policy: phases, criteria, approvals, codes, readings, revisions.")
@click.argument("policy", required=False)
@as_json
def command(policy: str | None, with_json: bool) -> None:
    """Print POLICY (a number or a `.dl` file) from its rules and facts; without it, the list of policies.

    Exit code: 0 done, 1 there is no such policy, 2 wrong usage, 3 the rules were refused.

    \b
    Example:
      policy-kb about 09-J2000-27
    """
    from policy_kb.policies import Policies

    if policy is None:
        listed = [
            {"policy": found.number, "title": found.program.phases[0].title, "revised": found.program.phases[0].revised,
             "covers": sorted(found.covers)}
            for found in Policies().all()
            if found.program.phases
        ]
        if with_json:
            print_json(listed)
        for entry in listed if not with_json else ():
            click.echo(f"{entry['policy']}  {entry['title']}, revised {entry['revised']}; "
                       f"covers {', '.join(entry['covers'])}")
        return
    from policy_kb.report.about import about

    sections = about(Policies(policy).all()[0])
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
