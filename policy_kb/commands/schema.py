"""`policy-kb schema`: the JSON Schema of the case format, or of a determination."""

from __future__ import annotations

import click

from policy_kb.commands._options import as_json, print_json


@click.command(short_help="The JSON Schema of cases, or of determinations.")
@click.argument("policy", required=False)
@click.option("--determination", is_flag=True, help="The schema of a determination instead of a case.")
@as_json
def command(policy: str | None, determination: bool, with_json: bool) -> None:
    """Print the JSON Schema of the cases that POLICY reads (a number or a `.dl` file; default: the first policy).

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

    found = Policies(policy).all()[0]
    print_json(case_schema(found.program, found.rules.known))
