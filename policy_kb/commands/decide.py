"""`policy-kb decide`: the decision and one line per criterion."""

from __future__ import annotations

from pathlib import Path

import click

from policy_kb.commands import INPUT_REFUSED, show_refusal
from policy_kb.commands._options import as_json, cases, policy, readings, readings_of, sensitivity, styled, width


@click.command(short_help="The decision, and one line per criterion.")
@cases
@policy
@readings
@sensitivity
@as_json
@click.pass_context
def command(
    context: click.Context, cases: tuple[Path, ...], policy: str | None, reading: tuple[str, ...],
    with_sensitivity: bool, with_json: bool,
) -> None:
    """Decide each CASE: whether the criteria of its guideline are met, not met, or need information.

    One case prints the decision and one line per criterion; several files, or an NDJSON file, print one line each.
    With --json every determination is one line of JSON, its explanation included.

    Exit code for one case: 0 met, 4 not met, 5 needs information, 6 not applicable, 1 refused; for several cases 0, or
    1 if one was refused.

    \b
    Example:
      policy-kb decide kb/alemtuzumab/scenarios/two-relapses-and-an-enhancing-lesion.yaml
    """
    from policy_kb.commands import EXIT_CODES
    from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind
    from policy_kb.load.cases import check_distinct, named
    from policy_kb.load.documents import read_documents
    from policy_kb.policies import Policies
    from policy_kb.source import Span

    chosen = readings_of(reading)
    policies = Policies(policy)
    seen: dict[str, Span] = {}
    decisions: list[str] = []
    was_refused = False
    is_single = len(cases) == 1 and cases[0].suffix.lower() not in (".ndjson", ".jsonl")
    style = styled()
    for path in cases:
        is_empty = True
        try:
            for document in read_documents(path):
                is_empty = False
                try:
                    name, span = named(document)
                    check_distinct([(name, span)] if name is not None else [], seen)
                    found = policies.for_document(document)
                    determination = found.determine(document, chosen, with_explanation=with_json)
                    changes = found.sensitivity(document, chosen, determination.decision) if with_sensitivity else []
                except CaseRefused as refused:
                    was_refused = True
                    show_refusal(refused)
                    continue
                decisions.append(determination.decision)
                if with_json:
                    import json

                    from policy_kb.report.as_json import as_dict

                    whole = as_dict(determination)
                    if with_sensitivity:
                        whole["sensitivity"] = [
                            {"reading": name, "choice": choice, "decision": other} for name, choice, other in changes
                        ]
                    click.echo(json.dumps(whole, ensure_ascii=False))
                elif is_single:
                    from policy_kb.report.summary import (
                        criteria_lines,
                        header,
                        questions,
                        sensitivity_lines,
                        wrapped,
                    )

                    lines = [*header(determination), *criteria_lines(determination), *questions(determination)]
                    lines += sensitivity_lines(changes) if with_sensitivity else []
                    first, *rest = wrapped(lines, width())
                    click.echo("\n".join([style(first, determination.decision), *rest]))
                else:
                    changed = "; ".join(f"{name}={choice}: {other}" for name, choice, other in changes)
                    text = f"{determination.case}: {determination.decision}: {determination.reason}"
                    click.echo(style(text, determination.decision) + (f" (would change: {changed})" if changed else ""))
            if is_empty:
                raise CaseRefused([Diagnostic(Kind.BAD_DOCUMENT, Span(str(path), 1), "the file holds no case")])
        except CaseRefused as refused:
            was_refused = True
            show_refusal(refused)
    if was_refused:
        context.exit(INPUT_REFUSED)
    if is_single and decisions:
        context.exit(EXIT_CODES[decisions[0]])
