"""`policy-kb decide`: the decision and one line per criterion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from policy_kb.commands import EXIT_CODES, INPUT_REFUSED, TOO_DEEP, show_diagnostics
from policy_kb.commands._options import (
    PATH,
    as_json,
    bases,
    cases,
    engine,
    form,
    policy,
    print_json,
    readings,
    sensitivity,
    styled,
    width,
)
from policy_kb.commands._progress import counted, read_rules

if TYPE_CHECKING:
    from policy_kb.diagnostics import CaseRefused, Diagnostic
    from policy_kb.load.documents import Document
    from policy_kb.policies import Policy
    from policy_kb.report.determination import Determination

Changes = list[tuple[str, str, str]]


@click.command(short_help="The decision, and one line per criterion.")
@cases
@form
@policy
@bases
@readings
@sensitivity
@click.option("--record", "log", metavar="LOG", type=PATH,
              help="Append each determination, explanation included, to a log that `audit` can check.")
@click.option("--no-explanation", is_flag=True,
              help="With --json: leave out the explanation, which is most of the work.")
@engine
@as_json
@click.pass_context
def command(
    context: click.Context, cases: tuple[Path, ...], form: str | None, policy: str | None, bases: tuple[Path, ...],
    reading: dict[str, str],
    with_sensitivity: bool, log: Path | None, no_explanation: bool, engine: str | None, with_json: bool,
) -> None:
    """Decide each CASE: whether the criteria of its guideline are met, not met, or need information.

    A CASE is a file, or `-` for the standard input. One case prints the decision and one line per criterion; several
    files, or NDJSON, print one line each. With --json every determination is one line of JSON, and so is what is wrong
    with each case that is refused, on standard error.

    With --record a decision is printed once it is on the disk; where it cannot be recorded the command stops. What was
    recorded, and the hash of the last entry, is said on standard error: `audit LOG --head HASH` looks for it.

    \b
    Exit code for one case: 0 met, 4 not met, 5 needs information,
    6 not applicable, 1 refused; for several cases 0, or 1 if one was refused;
    2 wrong usage, 3 the rules were refused.

    \b
    Example:
      policy-kb decide kb/alemtuzumab/scenarios/two-relapses-and-an-enhancing-lesion.yaml
    """
    from policy_kb.diagnostics import CaseRefused
    from policy_kb.load.documents import STANDARD_INPUT, format_of
    from policy_kb.policies import COMPILED, Policies, of_case
    from policy_kb.report.as_json import changes_as_list

    if log is not None and no_explanation:
        raise click.UsageError("a log keeps the explanation: leave out --no-explanation, or --record")
    if cases.count(STANDARD_INPUT) > 1:
        raise click.UsageError("the standard input (`-`) can be read once")
    is_single = len(cases) == 1 and format_of(cases[0], form) != "ndjson"
    policies = Policies(policy, engine or (None if is_single else COMPILED), bases, read_rules)
    is_explained = log is not None or (with_json and not no_explanation)
    recorded = _Recorded()
    if log is not None:
        context.call_on_close(lambda: _say_recorded(log, recorded, with_json))
    codes: set[int] = set()
    for document in counted(_documents(cases, form), "decided"):
        try:
            if isinstance(document, CaseRefused):
                raise document
            with of_case(document):
                found = policies.for_document(document)
                determination, whole = _decided(found, document, reading, is_explained, with_json)
                changes = found.sensitivity(document, reading, determination.decision) if with_sensitivity else None
        except CaseRefused as refused:
            codes.add(INPUT_REFUSED)
            show_diagnostics(refused.diagnostics, with_json)
            continue
        codes.add(EXIT_CODES[determination.decision])
        if determination.notes:
            show_diagnostics(determination.notes, with_json)
        if changes is not None:
            whole["sensitivity"] = changes_as_list(changes)
        if log is not None:
            from policy_kb.audit.log import append

            entry = append(log, whole, reading)
            recorded.add(entry)
        if with_json:
            print_json(whole, indent=None)
        elif is_single:
            from policy_kb.report.summary import in_short

            click.echo("\n".join(in_short(determination, width(), changes, styled())))
        else:
            click.echo(_line(determination, changes))
    context.exit(INPUT_REFUSED if INPUT_REFUSED in codes else codes.pop() if is_single else 0)


def _documents(cases: Iterable[Path], form: str | None) -> Iterator[Document | CaseRefused]:
    """The cases of all files, in their order, and what is refused of a file or because of two cases of one name."""
    from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind
    from policy_kb.load.cases import check_distinct, named
    from policy_kb.load.documents import read_documents
    from policy_kb.source import Span

    seen: dict[str, Span] = {}
    for path in cases:
        is_empty = True
        try:
            for document in read_documents(path, form=form):
                is_empty = False
                name, span = named(document)
                try:
                    check_distinct([(name, span)] if name is not None else [], seen)
                except CaseRefused as refused:
                    yield refused
                else:
                    yield document
            if is_empty:
                yield CaseRefused([Diagnostic(Kind.BAD_DOCUMENT, Span(str(path), 1), "the file holds no case")])
        except CaseRefused as refused:
            yield refused


def _decided(
    policy: Policy, document: Document, readings: Mapping[str, str], is_explained: bool, with_json: bool
) -> tuple[Determination, dict[str, object]]:
    """The determination of a case, and the same as JSON. An explanation that is too large to be made is left out, with
    a warning: it does not keep from the decision."""
    from policy_kb.diagnostics import Refused

    left_out: list[Diagnostic] = []
    if is_explained:
        try:
            determination = policy.determine(document, readings)
            return determination, determination.to_dict()
        except Refused as refused:
            left_out = refused.diagnostics
        except RecursionError:
            left_out = [TOO_DEEP]
    determination = policy.determine(document, readings, with_explanation=False)
    if left_out:
        why = "the explanation is left out: "
        show_diagnostics([replace(one, is_warning=True, message=why + one.message) for one in left_out], with_json)
    return determination, determination.to_dict()


def _line(determination: Determination, changes: Changes | None) -> str:
    text = styled()(f"{determination.case}: {determination.decision}: {determination.reason}", determination.decision)
    changed = "; ".join(f"{name}={choice}: {other}" for name, choice, other in changes or ())
    return f"{text} (would change: {changed})" if changed else text


class _Recorded:
    """How many entries were recorded, and the last of them."""

    number, last, head = 0, 0, ""

    def add(self, entry: Mapping[str, Any]) -> None:
        self.number, self.last, self.head = self.number + 1, entry["entry"], entry["hash"]


def _say_recorded(log: Path, recorded: _Recorded, with_json: bool) -> None:
    """What was recorded, on standard error: also where a later case could not be."""
    from policy_kb.source import display_name

    if not recorded.number:
        return
    last, head = recorded.last, recorded.head
    if with_json:
        said = {"log": str(log), "entries": recorded.number, "last": last, "head": head}
        print_json({"recorded": said}, indent=None, err=True)
    else:
        which = f"entry {last}" if recorded.number == 1 else f"{recorded.number} entries, the last is entry {last}"
        click.echo(f"recorded: {which} of {display_name(log)}, head {head}", err=True)
