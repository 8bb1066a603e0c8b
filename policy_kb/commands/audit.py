"""`policy-kb audit`: whether a determination is what the rules give for its case, and a log what was appended to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from policy_kb.commands import INPUT_REFUSED
from policy_kb.commands._options import PATH, all_stated, as_json, complete, form, print_json, readings
from policy_kb.commands._progress import counted

if TYPE_CHECKING:
    from policy_kb.audit.cases import CaseFiles
    from policy_kb.audit.rules import Shelf

Json = dict[str, Any]


@click.command(short_help="Check a determination, or a log of determinations, independently.")
@click.argument("file", type=PATH)
@click.option("--case", "cases", multiple=True, metavar="CASE", type=PATH,
              help="The case file, or `-`; may be repeated. Or the tables of a batch, as for `explain --from`. "
              "Default: what the determination names.")
@form
@click.option("--rules", metavar="PATH", type=PATH,
              help="The policy's rule file, or a folder with policies. Default: the policies there are.")
@complete
@all_stated
@readings
@click.option("--log", "with_log", is_flag=True, help="FILE is a log, however it begins.")
@click.option("--head", metavar="HASH", help="The hash of an entry that the log has to have, from `decide --record`.")
@as_json
@click.pass_context
def command(
    context: click.Context, file: Path, cases: tuple[Path, ...], form: str | None, rules: Path | None,
    record: str | None, stated: str | None, reading: dict[str, str], with_log: bool, head: str | None, with_json: bool,
) -> None:
    """Check the determinations in FILE, as `decide --json` and `explain --json` write them, one or many: replay their
    explanations against the case and the rule files, without the programs that made them. Every field is checked; the
    first wrong step is shown. A determination made with --reading, --record or --stated is audited with the same.

    If FILE is a log (`decide --record`), check that no entry was edited, removed, moved or put in; with --case, its
    determinations too. That its end was cut off shows only with --head.

    Exit code: 0 sound, 1 not sound or not to be read, 2 wrong usage, 3 the rules were refused.

    \b
    Examples:
      policy-kb decide --json case.yaml > determination.json
      policy-kb audit determination.json --case case.yaml
      policy-kb audit decisions.log --head sha256:...
    """
    from policy_kb.audit.cases import CaseFiles
    from policy_kb.audit.log import is_hash, is_log
    from policy_kb.audit.rules import Shelf
    from policy_kb.batch.shape import Complete

    if file == Path("-"):
        raise click.UsageError("determinations are read from a file; a case (--case) may be `-`")
    if head is not None and not is_hash(head):
        raise click.BadParameter("it is `sha256:` and 64 hexadecimal digits", param_hint="--head")
    shelf, files = Shelf(rules), CaseFiles(cases, Complete(record is not None, stated is not None), form)
    if with_log or is_log(file):
        result = _log(file, shelf, files if cases else None, reading, head, with_json)
    elif head is not None:
        raise click.UsageError("--head is for a log; with --log, FILE is one")
    else:
        result = _determinations(file, shelf, files, reading, with_json)
    if with_json:
        print_json(result)
    if not result["sound"]:
        context.exit(INPUT_REFUSED)


def _determinations(file: Path, shelf: Shelf, files: CaseFiles, chosen: Mapping[str, str], with_json: bool) -> Json:
    from policy_kb.audit.document import read_determinations

    found: list[Json] = []
    are_sound = True
    for line, said in counted(read_determinations(file), "audited"):
        result = _audited(file, line, said, shelf, files, chosen)
        are_sound = are_sound and result["sound"]
        if with_json:
            found.append(result)
        else:
            click.echo(_in_words(result))
    return {"sound": are_sound, "determinations": found}


def _audited(
    file: Path, line: int, said: object, shelf: Shelf, files: CaseFiles, chosen: Mapping[str, str]
) -> Json:
    """What the audit says of one determination. Refused: what is none, and a case or rules that cannot be read."""
    from policy_kb.audit.determination import FIELDS, check
    from policy_kb.audit.document import refused
    from policy_kb.audit.walk import ROOT, Unsound, shown

    if not isinstance(said, dict) or not {"case", "policy", "decision"} & said.keys():
        raise refused(str(file), line, "this is no determination", "`policy-kb decide --json` writes them")
    result: Json = {"line": line, "case": said.get("case"), "decision": said.get("decision"), "sound": True}
    try:
        for key in FIELDS[:3]:
            if not isinstance(said.get(key), str):
                what = f"it says {shown(said[key])}" if key in said else "it is not there"
                raise Unsound((ROOT, key), what, "it has to be text")
        book = shelf.book(said["policy"], said.get("rules"))
        document = files.find(said["case"], said["source"], book)
        check(book, document, chosen, said, lambda phase: shelf.ended(book, phase))
    except Unsound as wrong:
        result |= {"sound": False, "where": wrong.where, "says": wrong.said, "expected": wrong.expected,
                   "hint": wrong.hint}
    return result


def _in_words(result: Json) -> str:
    from policy_kb.diagnostics import escaped

    of = "".join(f": {escaped(str(result[key]), 100)}" for key in ("case", "decision") if result[key] is not None)
    if result["sound"]:
        return f"sound{of}"
    hint = f"\n  help: {result['hint']}" if result["hint"] else ""
    return f"not sound{of}\n  {result['where']}: {result['says']}; {result['expected']}{hint}"


def _log(
    file: Path, shelf: Shelf, files: CaseFiles | None, chosen: Mapping[str, str], head: str | None, with_json: bool
) -> Json:
    """What the audit says of a log, line by line unless it is to be JSON; `files`: its determinations are replayed."""
    from policy_kb.audit.log import START, check_log
    from policy_kb.diagnostics import escaped

    def say(text: str) -> None:
        if not with_json:
            click.echo(text)

    last, entries, unbroken = START, 0, 0
    has_head = head in (None, START)
    problems: list[Json] = []
    torn: list[int] = []
    replayed: list[Json] = []
    are_sound = True
    for line in counted(check_log(file), "checked"):
        if line.is_torn:
            torn.append(line.number)
        if line.problem is not None:
            problems.append({"line": line.number, "problem": line.problem})
            say(f"line {line.number}: {line.problem}")
        if line.entry is None:
            continue
        entries, last = entries + 1, line.entry["hash"]
        unbroken = unbroken if problems else entries
        has_head = has_head or last == head
        if files is not None:
            result = _replayed(file, line.number, line.entry, shelf, files, chosen)
            are_sound = are_sound and result["sound"]
            say(f"entry {line.entry['entry']}: {_in_words(result)}")
            replayed += [{"entry": line.entry["entry"], **result}] if with_json else []
    number = "1 entry" if entries == 1 else f"{entries} entries"
    say(f"{number}; unbroken from the start: {unbroken}" if problems else f"{number}, unbroken")
    if torn and not problems:
        say(f"torn lines, vouched for by the entry after them: {', '.join(map(str, torn))}")
    say(f"head: {escaped(str(last), 100)}")
    if not has_head:
        say(f"no entry has the hash {head}: the end of the log was cut off or written anew")
    return {
        "sound": are_sound and has_head and not problems, "entries": entries, "unbroken": unbroken, "head": last,
        "has_head_given": None if head is None else has_head, "problems": problems, "torn": torn,
        "determinations": replayed,
    }


def _replayed(
    file: Path, line: int, entry: Mapping[str, Any], shelf: Shelf, files: CaseFiles, chosen: Mapping[str, str]
) -> Json:
    """As `_audited`, under the readings that the entry was made with."""
    return _audited(file, line, entry["determination"], shelf, files, {**entry["readings"], **chosen})
