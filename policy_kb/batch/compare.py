"""What changed between two results of a batch: decisions, criteria, cases that only one of them has.

The two files are joined by case in a database, which moves to its disk what is more than the memory it may use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policy_kb.batch.dialect import DECISIONS
from policy_kb.batch.results import (
    ENDINGS,
    check_output,
    copy,
    interruptible,
    literal,
    read_results,
    readable,
    whole_files,
)
from policy_kb.batch.script import criterion_column
from policy_kb.batch.summary import counted
from policy_kb.diagnostics import escaped
from policy_kb.outputs import temporary_folder
from policy_kb.record import record
from policy_kb.report.summary import wrapped
from policy_kb.source import display_name

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_MEMORY = 6 * 2**30
"""Bytes the database may use; never more than 60 % of the machine's."""


@record
class Change:
    """How a value changed, and in how many cases. `what` is a criterion (`initiation 2.a.i`), or empty for the
    decision."""

    what: str
    old: str
    new: str
    cases: int


@record
class ChangedCase:
    """One case that both results have. `criteria` are those whose answer changed: each with the old and the new one."""

    case: str
    policies: tuple[str | None, str | None]
    phases: tuple[str, str]
    decisions: tuple[str, str]
    approvals: tuple[str | None, str | None]
    criteria: tuple[tuple[str, str, str], ...]


@record
class Side:
    """One of the two results. `alone` is the number of cases that the other one lacks, `first` the first of them;
    `criteria` are those that the other one lacks."""

    path: Path
    cases: int
    alone: int
    first: tuple[str, ...]
    criteria: tuple[str, ...]


@record
class Comparison:
    """What changed from `old` to `new`.

    `decisions` has every pair of decisions that occurs, unchanged ones too. `criteria` has the criteria that both
    results know and how they changed, in their order, counted where the case has an answer in both. A case is `changed`
    if its policy, phase, decision, approval or such a criterion is another; `first` are the first of them, those with
    another decision before the others, each group by the name of the case.
    """

    old: Side
    new: Side
    both: int
    changed: int
    approvals: int
    decisions: tuple[Change, ...]
    criteria: tuple[Change, ...]
    first: tuple[ChangedCase, ...]

    @property
    def decisions_changed(self) -> int:
        return sum(change.cases for change in self.decisions if change.old != change.new)


@contextmanager
def database() -> Iterator[DuckDBPyConnection]:
    """A database of its own, in memory, with a folder for what does not fit; both are gone at the end."""
    import duckdb

    memory = MOST_MEMORY
    if hasattr(os, "sysconf"):
        memory = min(memory, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 6 // 10)
    with temporary_folder() as folder, duckdb.connect() as connection:
        connection.execute(f"SET temp_directory = {literal(str(folder))}")
        connection.execute(f"SET memory_limit = '{memory // 2**20}MiB'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET enable_progress_bar = false")
        yield connection


def compare_results(
    old: Path, new: Path, *, most: int = 20, output: Path | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Comparison:
    """Compare two results of a batch, each of any format, and write the changed cases to `output` if it is given.

    `most` is how many cases are named of those changed, and of those that one result lacks. `output` has one row for
    each changed case and for each case that one result lacks: `case`, `change` (`decision`, `other`, `only old` or
    `only new`), policy, phase, decision and approval, `old_` and `new_`, and the list of the criteria that changed.
    `progress` is told each step before it begins.

    Raises CaseRefused for a file that is no result of a batch, a case with two rows, and an output that cannot be
    written.
    """
    if output is not None:
        check_output(output, (old, new))
    with database() as connection:
        criteria = {}
        for path, table in ((old, "old"), (new, "new")):
            progress(f"reading {display_name(path.name)}")
            criteria[table] = read_results(connection, path, f"{table}_results")
        progress("comparing")
        common = [criterion for criterion in criteria["new"] if criterion in set(criteria["old"])]
        places = {side: [criterion_column(criteria[side].index(one)) for one in common] for side in ("old", "new")}
        with _refusing(connection, {old: "old", new: "new"}, places), interruptible():
            _join(connection, places)
            comparison = _comparison(connection, (old, new), criteria, common, most)
        if output is not None:
            progress(f"writing {display_name(output.name)}")
            _write(connection, common, output)
        return comparison


@contextmanager
def _refusing(
    connection: DuckDBPyConnection, sides: Mapping[Path, str], places: Mapping[str, Sequence[str]]
) -> Iterator[None]:
    """Parquet is read as it is compared, so that only then a broken file or an answer that is none shows: the file is
    found in which it stands."""
    import duckdb

    try:
        yield
    except duckdb.Error:
        for path, side in sides.items():
            answers = ", ".join(["count(*)", "count(approval)", *(f"count({column})" for column in places[side])])
            with readable(path):
                connection.execute(f"SELECT {answers} FROM {side}_results")
        with readable(next(iter(sides))):  # both can be read: the space was not enough
            raise


_COMPARED = ("policy", "phase", "decision", "approval")


def _join(connection: DuckDBPyConnection, places: Mapping[str, Sequence[str]]) -> None:
    """The table `differences`: the cases that changed, and those that one result lacks. Columns are `old_` and `new_`;
    criterion number n is `old_n` and `new_n`. `places` are the columns of the common criteria in each result."""
    values = [(f"{side}_{column}", f"{side}.{column}") for column in _COMPARED for side in ("old", "new")]
    values += [(f"{side}_{number}", f"{side}.{column}")
               for side, columns in places.items() for number, column in enumerate(columns)]
    differs = [f"old.{column} IS DISTINCT FROM new.{column}" for column in _COMPARED]
    differs += [f"old.{old} <> new.{new}" for old, new in zip(places["old"], places["new"], strict=True)]
    connection.execute(f"""CREATE OR REPLACE TEMP TABLE differences AS
SELECT coalesce(old."case", new."case") AS "case",
    CASE WHEN new."case" IS NULL THEN 'only old' WHEN old."case" IS NULL THEN 'only new'
         WHEN old.decision <> new.decision THEN 'decision' ELSE 'other' END AS change,
    {", ".join(f"{value} AS {column}" for column, value in values)}
FROM old_results AS old FULL JOIN new_results AS new ON old."case" = new."case"
WHERE old."case" IS NULL OR new."case" IS NULL OR {" OR ".join(differs)}""")


def _comparison(
    connection: DuckDBPyConnection, paths: tuple[Path, Path], criteria: Mapping[str, Sequence[str]],
    common: Sequence[str], most: int,
) -> Comparison:
    def rows(query: str, *values: object) -> list[Any]:
        return connection.execute(query, list(values)).fetchall()

    sides = {}
    for path, side, other in ((paths[0], "old", "new"), (paths[1], "new", "old")):
        [(cases,)] = rows(f"SELECT count(*) FROM {side}_results")
        [(alone,)] = rows("SELECT count(*) FROM differences WHERE change = ?", f"only {side}")
        first = rows('SELECT "case" FROM differences WHERE change = ? ORDER BY "case" LIMIT ?', f"only {side}", most)
        unknown = tuple(criterion for criterion in criteria[side] if criterion not in set(criteria[other]))
        sides[side] = Side(path, cases, alone, tuple(case for case, in first), unknown)

    # What did not change is not in the table: of each old decision, all cases but those that are gone or changed.
    pairs = {(old, new): cases for old, new, cases in rows(
        "SELECT old_decision::VARCHAR, new_decision::VARCHAR, count(*) FROM differences WHERE change = 'decision' "
        "GROUP BY ALL")}
    before = dict(rows("SELECT decision::VARCHAR, count(*) FROM old_results GROUP BY ALL"))
    gone = dict(rows("SELECT old_decision::VARCHAR, count(*) FROM differences WHERE change = 'only old' GROUP BY ALL"))
    for decision in DECISIONS:
        left = before.get(decision, 0) - gone.get(decision, 0)
        pairs[decision, decision] = left - sum(pairs.get((decision, other), 0) for other in DECISIONS)
    decisions = [
        Change("", old, new, pairs[old, new]) for old in DECISIONS for new in DECISIONS if pairs.get((old, new))
    ]
    changes = [
        Change(criterion, old, new, cases)
        for number, criterion in enumerate(common)
        for old, new, cases in rows(
            f"SELECT old_{number}::VARCHAR, new_{number}::VARCHAR, count(*) AS cases FROM differences "
            f"WHERE old_{number} <> new_{number} GROUP BY ALL ORDER BY cases DESC, 1, 2")
    ]
    [(changed, approvals)] = rows(
        "SELECT count(*), count(*) FILTER (old_approval IS DISTINCT FROM new_approval) FROM differences "
        "WHERE change IN ('decision', 'other')")
    first_changed = rows(
        f"""SELECT "case", {", ".join(f"old_{column}, new_{column}" for column in _COMPARED)},
{_changed_criteria(common)} FROM differences WHERE change IN ('decision', 'other') ORDER BY change, "case" LIMIT ?""",
        most)
    return Comparison(
        sides["old"], sides["new"], sides["old"].cases - sides["old"].alone, changed, approvals, tuple(decisions),
        tuple(changes),
        tuple(
            ChangedCase(
                case, (old_policy, new_policy), (old_phase, new_phase), (old, new), (old_approval, new_approval),
                tuple((one["criterion"], one["old"], one["new"]) for one in answers))
            for case, old_policy, new_policy, old_phase, new_phase, old, new, old_approval, new_approval, answers
            in first_changed
        ),
    )


def _changed_criteria(common: Sequence[str]) -> str:
    """The list of the criteria whose answer changed, as SQL."""
    each = ", ".join(
        f"CASE WHEN old_{number} <> new_{number} THEN {{'criterion': {literal(criterion)}, "
        f"'old': old_{number}::VARCHAR, 'new': new_{number}::VARCHAR}} END"
        for number, criterion in enumerate(common)
    )
    kind = "STRUCT(criterion VARCHAR, old VARCHAR, new VARCHAR)[]"
    return f"list_filter([{each}]::{kind}, lambda one: one IS NOT NULL)"


def _write(connection: DuckDBPyConnection, common: Sequence[str], output: Path) -> None:
    form = ENDINGS[output.suffix.lower()]
    columns = ", ".join(f"old_{column}, new_{column}" for column in _COMPARED)
    select = f'SELECT "case", change, {columns}, {_changed_criteria(common)} AS criteria FROM differences'
    if form == "csv":
        text = "list_transform(criteria, lambda one: one.criterion || ': ' || one.old || ' -> ' || one.new)"
        select = f"SELECT * REPLACE (nullif(array_to_string({text}, '; '), '') AS criteria) FROM ({select})"
    elif form == "ndjson":
        select = f"SELECT to_json(one) FROM ({select}) AS one"
    with whole_files([output]) as [unfinished]:
        copy(connection, select, unfinished, form)


# --- as text and as plain data ---


def comparison_lines(comparison: Comparison, width: int = 80) -> Iterator[str]:
    """The comparison for a terminal of so many columns."""
    old, new = comparison.old, comparison.new
    for side, called in ((old, "old"), (new, "new")):
        yield f"{called}: {counted(side.cases, 'case')} in {escaped(str(side.path), 200)}"
    yield ""
    yield from wrapped([f"Decisions that changed: {comparison.decisions_changed:,} of "
                        f"{counted(comparison.both, 'case')} in both"], width)
    yield from _table([(f"{change.old} -> {change.new}", change.cases) for change in comparison.decisions
                       if change.old != change.new])
    others = comparison.changed - comparison.decisions_changed
    if others:
        yield from wrapped([f"With the same decision, something else changed: {counted(others, 'case')}"], width)
    if comparison.approvals:
        yield f"Approvals that changed: {counted(comparison.approvals, 'case')}"
    if comparison.criteria:
        yield ""
        yield "Criteria that changed, where the case has an answer in both:"
        yield from _table([(f"{_shown(change.what)}  {change.old} -> {change.new}", change.cases)
                           for change in comparison.criteria])
    for side, called in ((old, "old"), (new, "new")):
        if side.alone:
            yield ""
            more = f" and {side.alone - len(side.first):,} more" if side.alone > len(side.first) else ""
            names = ", ".join(map(_shown, side.first))
            yield from wrapped([f"Only in the {called} result: {counted(side.alone, 'case')}"
                                f"{': ' if names else ''}{names}{more if names else ''}"], width)
        if side.criteria:
            yield ""
            yield from wrapped([f"Criteria only in the {called} result, not compared: "
                                f"{', '.join(map(_shown, side.criteria))}"], width)
    if comparison.first:
        yield ""
        shown = len(comparison.first)
        yield f"Changed cases{'' if shown == comparison.changed else f', {shown:,} of {comparison.changed:,}'}:"
        for case in comparison.first:
            yield from wrapped(_case_lines(case), width)


def _table(rows: Sequence[tuple[str, int]]) -> Iterator[str]:
    wide = max((len(f"{cases:,}") for _, cases in rows), default=0)
    for text, cases in rows:
        yield f"  {cases:>{wide},}  {text}"


def _case_lines(case: ChangedCase) -> Iterator[str]:
    old, new = case.decisions
    yield f"  {_shown(case.case)}: " + (f"{old} -> {new}" if old != new else f"{old}, as before")
    for what, (before, after) in (("policy", case.policies), ("phase", case.phases), ("approval", case.approvals)):
        if before != after and (what != "approval" or old == new):
            yield f"    {what}: {_shown(before or 'none')} -> {_shown(after or 'none')}"
    for criterion, before, after in case.criteria:
        yield f"    {_shown(criterion)}: {before} -> {after}"


def _shown(text: str) -> str:
    """A text of a file on a terminal, which must not obey it."""
    return escaped(text, 60)


def comparison_dict(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain data."""

    def side(one: Side) -> dict[str, Any]:
        return {"file": str(one.path), "cases": one.cases, "only_here": one.alone, "first_only_here": list(one.first),
                "criteria_only_here": list(one.criteria)}

    return {
        "old": side(comparison.old),
        "new": side(comparison.new),
        "in_both": comparison.both,
        "changed": comparison.changed,
        "decisions_changed": comparison.decisions_changed,
        "approvals_changed": comparison.approvals,
        "decisions": [{"old": one.old, "new": one.new, "cases": one.cases} for one in comparison.decisions],
        "criteria": [{"criterion": one.what, "old": one.old, "new": one.new, "cases": one.cases}
                     for one in comparison.criteria],
        "first": [
            {"case": case.case} | {
                key: {"old": values[0], "new": values[1]}
                for key, values in (("policy", case.policies), ("phase", case.phases), ("decision", case.decisions),
                                    ("approval", case.approvals))
            } | {
                "criteria": [{"criterion": what, "old": was, "new": now} for what, was, now in case.criteria],
            }
            for case in comparison.first
        ],
    }
