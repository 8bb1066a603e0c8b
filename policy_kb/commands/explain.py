"""`policy-kb explain`: why, why not, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from policy_kb.commands import EXIT_CODES
from policy_kb.commands._options import (
    all_stated,
    as_json,
    complete,
    complete_of,
    policy,
    print_json,
    readings,
    readings_of,
    sensitivity,
    styled,
    width,
)

if TYPE_CHECKING:
    from policy_kb.batch.shape import Complete
    from policy_kb.load.documents import Document
    from policy_kb.policies import Policies


@click.command(short_help="Why, why not, and what is missing.")
@click.argument("case", metavar="CASE", required=False)
@click.argument("criterion", required=False)
@click.option("--from", "source", metavar="INPUT", type=click.Path(path_type=Path),
              help="Explain one case of a batch's input: a folder of tables, a database or an NDJSON file.")
@click.option("--case", "name", metavar="ID", help="The name of the case, with --from.")
@complete
@all_stated
@policy
@readings
@sensitivity
@click.option("--why-not", is_flag=True, help="Show only what is not met or open.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the explanation as a page of its own, instead of printing it.")
@as_json
@click.pass_context
def command(
    context: click.Context, case: str | None, criterion: str | None, source: Path | None, name: str | None,
    record: str | None, stated: str | None, policy: str | None, reading: tuple[str, ...],
    with_sensitivity: bool, why_not: bool, html: Path | None, with_json: bool,
) -> None:
    """Explain the decision for CASE: the tree of its criteria down to the rows and numbers they rest on.

    With a CRITERION, such as 2.a.i, only that part of the tree. `+` is met, `-` not met, `?` needs information.
    The exit code is that of `decide`.

    \b
    Examples:
      policy-kb explain kb/alemtuzumab/scenarios/two-relapses-and-an-enhancing-lesion.yaml
      policy-kb explain kb/alemtuzumab/scenarios/two-relapses-and-an-enhancing-lesion.yaml 2.a
      policy-kb explain --from cases/ --case A-1001
    """
    from policy_kb.policies import Policies, the_document
    from policy_kb.report.as_text import Tree, closing, render
    from policy_kb.report.summary import header, sensitivity_lines, wrapped

    chosen = readings_of(reading)
    policies = Policies(policy)
    if source is not None:
        # There is no file of the case: what is named is the criterion.
        if name is None or criterion is not None:
            raise click.UsageError("with --from, give --case ID and at most a CRITERION")
        criterion = case
        document = _from_batch(policies, source, name, complete_of(record, stated, source))
    elif case is None or name is not None or record is not None or stated is not None:
        raise click.UsageError("give the file of a CASE, or --from INPUT --case ID")
    else:
        document = the_document(Path(case))
    found = policies.for_document(document)
    determination = found.determine(document, chosen)
    if criterion is not None and determination.criteria and criterion not in determination.criteria:
        from policy_kb.diagnostics import did_you_mean

        hint = did_you_mean(criterion, determination.criteria) or f"they are {', '.join(determination.criteria)}"
        raise click.BadParameter(f"{determination.phase.name} has no criterion `{criterion}`; {hint}",
                                 param_hint="CRITERION")
    if with_json:
        from policy_kb.report.as_json import as_dict

        whole = as_dict(determination)
        print_json(whole)
        context.exit(EXIT_CODES[determination.decision])
    if html is not None:
        from policy_kb.outputs import write_text
        from policy_kb.report.as_html import render_page

        write_text(html, render_page(determination))
        click.echo(f"{determination.case}: {determination.decision}: {html}")
        context.exit(EXIT_CODES[determination.decision])
    style = styled()
    items = Tree(determination).items(criterion)
    if why_not:
        from policy_kb.report.as_text import without_met

        items = without_met(items)
    first, *top = wrapped(header(determination), width())
    tree = list(render(items, width(), style))
    end = list(closing(determination)) if criterion is None else []
    if with_sensitivity:
        end += sensitivity_lines(found.sensitivity(document, chosen, determination.decision))
    output = [style(first, determination.decision), *top, *(["", *tree] if tree else []), *wrapped(end, width())]
    click.echo("\n".join(output))
    context.exit(EXIT_CODES[determination.decision])


def _from_batch(policies: Policies, source: Path, name: str, complete: Complete) -> Document:
    from policy_kb.batch.engine import policies_of
    from policy_kb.batch.one_case import document_from

    policy = policies_of(policies)[0]
    return document_from(policy.program, policy.rules.known, source, name, complete)
