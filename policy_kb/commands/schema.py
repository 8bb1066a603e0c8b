"""`policy-kb schema`: the JSON Schema of the case format, or of a determination."""

from __future__ import annotations

from pathlib import Path

import click

from policy_kb.commands._options import as_json, bases, print_json
from policy_kb.commands._progress import read_rules


@click.command(short_help="The JSON Schema of cases, or of determinations.")
@click.argument("policy", required=False)
@bases
@click.option("--determination", is_flag=True, help="The schema of a determination instead of a case.")
@as_json
def command(policy: str | None, bases: tuple[Path, ...], determination: bool, with_json: bool) -> None:
    """Print the JSON Schema of the cases that POLICY reads (a number, which stands for its last edition,
    or a `.dl` file; it may be left out where there is one policy).

    The schema comes from the policy's declarations. What it cannot say is checked when a case is loaded: days of the
    calendar, dates out of order, names that the drug table has.

    Exit code: 0 done, 1 there is no such policy, 2 wrong usage, 3 the rules were refused.

    \b
    Examples:
      policy-kb schema 09-J2000-27
      policy-kb schema --determination
    """
    if determination:
        from policy_kb.report.as_json import determination_schema

        print_json(determination_schema())
        return
    from policy_kb.load.schema import case_schema
    from policy_kb.policies import Policies

    policies = Policies(policy, bases=bases, progress=read_rules)
    if policy is None and len({edition.policy for edition in policies.editions}) != 1:
        raise click.UsageError("name a policy: `policy-kb policies` lists them")
    found = policies.last()
    print_json(case_schema(found.program, found.rules.known))
