"""`policy-kb explain`: why, why not, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from policy_kb.commands import EXIT_CODES, show_diagnostics
from policy_kb.commands._options import (
    PATH,
    all_stated,
    as_json,
    bases,
    complete,
    complete_of,
    engine,
    form,
    policy,
    print_json,
    readings,
    sensitivity,
    styled,
    width,
    words,
)
from policy_kb.commands._progress import read_rules

if TYPE_CHECKING:
    from policy_kb.batch.shape import Complete
    from policy_kb.load.documents import Document
    from policy_kb.policies import Policies
    from policy_kb.report.determination import Determination

STANDARD_OUTPUT = Path("-")


@click.command(short_help="Why, why not, and what is missing.")
@click.argument("case", metavar="CASE", required=False)
@click.argument("criterion", required=False, callback=words)
@click.option("--from", "source", metavar="INPUT", type=PATH,
              help="Explain one case of a batch's input: a folder of tables, a database or an NDJSON file.")
@click.option("--case", "name", metavar="ID", callback=words, help="The name of the case, with --from.")
@complete
@all_stated
@form
@policy
@bases
@readings
@sensitivity
@click.option("--why-not", is_flag=True, help="Show only what is not met or open.")
@click.option("--html", type=PATH, metavar="FILE",
              help="Write the explanation as a page of its own, instead of printing it; `-` prints the page.")
@engine
@as_json
@click.pass_context
def command(
    context: click.Context, case: str | None, criterion: str | None, source: Path | None, name: str | None,
    record: str | None, stated: str | None, form: str | None, policy: str | None, bases: tuple[Path, ...],
    reading: dict[str, str], with_sensitivity: bool, why_not: bool, html: Path | None, engine: str | None,
    with_json: bool,
) -> None:
    """Explain the decision for CASE, a file or `-` for the standard input: the tree of its criteria down to the rows
    and numbers they rest on. `+` is met, `-` not met, `?` needs information.

    With a CRITERION, such as 2.a.i, only that part of the tree. What CRITERION and --why-not leave out is left out of
    the page of --html and of the explanation of --json too.

    \b
    Exit code: 0 met, 4 not met, 5 needs information, 6 not applicable,
    1 the case was refused, 2 wrong usage, 3 the rules were refused.

    \b
    Examples:
      policy-kb explain kb/alemtuzumab/scenarios/two-relapses-and-an-enhancing-lesion.yaml
      policy-kb explain kb/alemtuzumab/scenarios/two-relapses-and-an-enhancing-lesion.yaml 2.a
      policy-kb explain --from cases/ --case A-1001
    """
    from policy_kb.diagnostics import LONGEST_NAME, escaped
    from policy_kb.policies import Policies, the_document
    from policy_kb.report.as_html import render_page
    from policy_kb.report.as_json import as_dict, changes_as_list
    from policy_kb.report.as_text import explained
    from policy_kb.report.summary import criterion_named

    if html is not None:
        _check_page(html, source if source is not None else Path(case or "-"), with_json)
    policies = Policies(policy, engine, bases, read_rules)
    if source is not None:
        # There is no file of the case: what is named is the criterion.
        if name is None or criterion is not None or form is not None:
            raise click.UsageError("with --from, give --case ID and at most a CRITERION")
        criterion = case
        document = _from_batch(policies, source, name, complete_of(record, stated, source))
    elif case is None or name is not None or record is not None or stated is not None:
        raise click.UsageError("give the file of a CASE, or --from INPUT --case ID")
    else:
        document = the_document(Path(case), form)
    found = policies.for_document(document)
    determination = found.determine(document, reading)
    if determination.notes:
        show_diagnostics(determination.notes, with_json)
    try:
        criterion = None if criterion is None else criterion_named(determination, criterion)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="CRITERION") from None
    changes = found.sensitivity(document, reading, determination.decision) if with_sensitivity else None
    if html is not None:
        _write_page(html, render_page(determination, criterion, why_not, changes))
    if with_json:
        whole = as_dict(determination, criterion, why_not)
        print_json(whole if changes is None else {**whole, "sensitivity": changes_as_list(changes)})
    elif html is None:
        click.echo("\n".join(explained(determination, width(), criterion, why_not, changes, styled())))
    elif html != STANDARD_OUTPUT:
        click.echo(f"{determination.case}: {determination.decision}: {escaped(str(html), LONGEST_NAME)}")
    if not with_json:
        _tell_unstated(document, determination)
    context.exit(EXIT_CODES[determination.decision])


def _check_page(html: Path, given: Path, with_json: bool) -> None:
    """Refuse a page that could not be written, before the case is looked at."""
    from policy_kb.outputs import check_place, refuse_input

    if html != STANDARD_OUTPUT:
        check_place(html)
        refuse_input(html, [given])
    elif with_json:
        raise click.UsageError("a page and JSON cannot both be the standard output: give --html a file")


def _write_page(html: Path, page: str) -> None:
    from policy_kb.outputs import write_text

    if html == STANDARD_OUTPUT:
        click.echo(page, nl=False)
    else:
        write_text(html, page)


def _tell_unstated(document: Document, determination: Determination) -> None:
    """Say on standard error which relations are open only because the case has no row in their tables."""
    from policy_kb.diagnostics import Diagnostic, Kind, listed
    from policy_kb.load.cases import NOT_STATED
    from policy_kb.source import Span

    open_ones = {one.relation for one in determination.missing if one.why == NOT_STATED}
    if unstated := [name for name in document.unstated if name in open_ones]:
        message = f"the case has no row in {listed(unstated, 'and')}: that is unknown, not none"
        hint = "if these tables are complete, give `--stated all` (version 0.1 took them so)"
        note = Diagnostic(Kind.MISSING_RELATION, Span(document.source, 1), message, hint, is_warning=True)
        click.echo(str(note), err=True)


def _from_batch(policies: Policies, source: Path, name: str, complete: Complete) -> Document:
    from policy_kb.batch.engine import policies_of
    from policy_kb.batch.one_case import document_from

    policy = policies_of(policies)[0]
    return document_from(policy.program, policy.rules.known, source, name, complete)
