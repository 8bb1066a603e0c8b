"""`policy-kb decide`: the decision and one line per criterion."""

from __future__ import annotations

from pathlib import Path

import click

from policy_kb.commands import INPUT_REFUSED, show_refusal
from policy_kb.commands._options import (
    as_json,
    cases,
    policy,
    print_json,
    readings,
    readings_of,
    sensitivity,
    styled,
    width,
)


@click.command(short_help="The decision, and one line per criterion.")
@cases
@policy
@readings
@sensitivity
@click.option("--record", "log", metavar="LOG", type=click.Path(path_type=Path),
              help="Append each determination, explanation included, to a log that `audit` can check.")
@as_json
@click.pass_context
def command(
    context: click.Context, cases: tuple[Path, ...], policy: str | None, reading: tuple[str, ...],
    with_sensitivity: bool, log: Path | None, with_json: bool,
) -> None:
    """Decide each CASE: whether the criteria of its guideline are met, not met, or need information.

    One case prints the decision and one line per criterion; several files, or an NDJSON file, print one line each.
    With --json every determination is one line of JSON, its explanation included.

    Exit code for one case: 0 met, 4 not met, 5 needs information, 6 not applicable, 1 refused; for several cases 0, or
    1 if one was refused.

    With --record a decision is printed once it is on the disk; where it cannot be recorded the command stops. What was
    recorded, and the hash of the last entry, is said on standard error: `audit LOG --head HASH` looks for it.

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
    recorded: list[tuple[int, str]] = []
    if log is not None:
        context.call_on_close(lambda: _say_recorded(log, recorded))
    for path in cases:
        is_empty = True
        try:
            for document in read_documents(path):
                is_empty = False
                try:
                    name, span = named(document)
                    check_distinct([(name, span)] if name is not None else [], seen)
                    found = policies.for_document(document)
                    determination = found.determine(document, chosen, with_explanation=with_json or log is not None)
                    changes = found.sensitivity(document, chosen, determination.decision) if with_sensitivity else []
                except CaseRefused as refused:
                    was_refused = True
                    show_refusal(refused, with_json)
                    continue
                if with_json or log is not None:
                    from policy_kb.report.as_json import as_dict

                    whole = as_dict(determination)
                    if with_sensitivity:
                        whole["sensitivity"] = [
                            {"reading": name, "choice": choice, "decision": other} for name, choice, other in changes
                        ]
                if log is not None:
                    from policy_kb.audit.log import append

                    entry = append(log, whole, chosen)
                    recorded.append((entry["entry"], entry["hash"]))
                decisions.append(determination.decision)
                if with_json:
                    print_json(whole, indent=None)
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
            show_refusal(refused, with_json)
    if was_refused:
        context.exit(INPUT_REFUSED)
    if is_single and decisions:
        context.exit(EXIT_CODES[decisions[0]])


def _say_recorded(log: Path, recorded: list[tuple[int, str]]) -> None:
    """What was recorded, on standard error: also where a later case could not be."""
    if recorded:
        last, head = recorded[-1]
        which = f"entry {last}" if len(recorded) == 1 else f"{len(recorded)} entries, the last is entry {last}"
        click.echo(f"recorded: {which} of {log}, head {head}", err=True)
