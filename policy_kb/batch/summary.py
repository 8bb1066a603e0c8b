"""What a batch came to: how many cases got which decision, the criteria that fail alone, and what is missing most."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from policy_kb.answers import NOT_MET
from policy_kb.batch.dialect import DECISIONS, DUCKDB, DuckDB
from policy_kb.batch.results import Written
from policy_kb.batch.script import criterion_column
from policy_kb.check.checked import CheckedProgram
from policy_kb.explain.written import so_asked
from policy_kb.record import field, record
from policy_kb.report.summary import criterion_sentences, wrapped

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST = 10
"""How many criteria and missing records a summary names."""

NOT_STATED_IN_TABLES = ("Unknown for cases without a row in the table (version 0.1 took that for none: to say so, "
                        "give `--stated all`, or a table `_stated` of such cases and relations):")

_WORDS = {
    "met": "criteria met", "not met": "criteria of the guideline not met", "needs information": "needs information",
    "not applicable": "guideline not applicable",
}


@record
class FailsAlone:
    """A criterion, and the number of cases that are not met by it alone: of the criteria of the phase that are no part
    of another (those with a number without a dot), it is the only one that is not met."""

    policy: str
    phase: str
    number: str
    sentence: str
    cases: int


@record
class OftenMissing:
    """A record that is missing in so many cases that need information, with the question that would settle it."""

    relation: str
    why: str
    cases: int
    ask: str


@record
class Summary:
    """`decisions` has every decision. `fails_alone` and `missing` name the most frequent first. `not_met_alone` is the
    number of all cases that some criterion fails alone. `rejected` is None where nothing is known of it. `not_stated`
    are the relations that have a table, with the number of cases in which they are unknown for having no row there."""

    cases: int
    decisions: Mapping[str, int]
    not_met_alone: int
    fails_alone: Sequence[FailsAlone]
    missing: Sequence[OftenMissing]
    rejected: int | None = None
    not_stated: Mapping[str, int] = field(default_factory=dict)

    @property
    def read(self) -> int:
        return self.cases + (self.rejected or 0)


Rows = Callable[[str], list[Any]]
"""Gives the rows of a query."""


def summarise(
    connection: DuckDBPyConnection,
    written: Written,
    programs: Mapping[str, CheckedProgram],
    *,
    rejected: int | None = None,
    not_stated: Mapping[str, int] | None = None,
) -> Summary:
    """The summary of a finished output; see `summarise_rows`."""

    def rows(query: str) -> list[Any]:
        return connection.execute(query).fetchall()

    return summarise_rows(rows, DUCKDB, written, programs, rejected=rejected, not_stated=not_stated)


def summarise_rows(
    rows: Rows,
    dialect: DuckDB,
    written: Written,
    programs: Mapping[str, CheckedProgram],
    *,
    rejected: int | None = None,
    not_stated: Mapping[str, int] | None = None,
) -> Summary:
    """The summary of a finished output, by queries in a database's dialect. `programs` are the policies by their
    number; `rejected` is how many cases were put aside, `not_stated` as in `Summary`.
    """
    table = written.table
    decided = dict(rows(f"SELECT CAST(decision AS {dialect.text_type}), count(*) FROM {table} GROUP BY 1"))
    decisions = {decision: decided.get(decision, 0) for decision in DECISIONS}
    cases = sum(decisions.values())
    assert cases == written.cases, f"{written.cases} cases were written, {cases} have a decision"
    alone = _fails_alone(rows, dialect, written, programs)
    missing = _missing(rows, dialect, table, programs)
    return Summary(cases, decisions, sum(one.cases for one in alone), alone[:MOST], missing, rejected,
                   dict(sorted((not_stated or {}).items(), key=lambda one: -one[1])))


def _fails_alone(
    rows: Rows, dialect: DuckDB, written: Written, programs: Mapping[str, CheckedProgram]
) -> list[FailsAlone]:
    found = []
    not_met = dialect.text(NOT_MET)
    for phase in dict.fromkeys(phase for phase, _ in written.criteria):
        columns = {number: criterion_column(place) for place, (one, number) in enumerate(written.criteria)
                   if one == phase and "." not in number}
        if not columns:
            continue
        fails = [f"{column} IS NOT DISTINCT FROM {not_met}" for column in columns.values()]
        counts = ", ".join(f"count(*) FILTER (WHERE unmet = 1 AND {one})" for one in fails)
        unmet = " + ".join(f"CAST(({one}) AS INTEGER)" for one in fails)
        for policy, *cases in rows(
            f"SELECT policy, {counts} FROM (SELECT *, {unmet} AS unmet FROM {written.table} "
            f"WHERE phase = {dialect.text(phase)} AND decision = {not_met}) AS decided GROUP BY policy ORDER BY policy"
        ):
            says = _sentences(programs.get(policy), phase)
            found += [
                FailsAlone(policy, phase, number, says.get(number, ""), count)
                for number, count in zip(columns, cases, strict=True)
                if count
            ]
    return sorted(found, key=lambda one: -one.cases)


def _sentences(program: CheckedProgram | None, phase: str) -> Mapping[str, str]:
    found = next((one for one in program.phases if one.name == phase), None) if program is not None else None
    return criterion_sentences(program, found) if program is not None and found is not None else {}


def _missing(
    rows: Rows, dialect: DuckDB, table: str, programs: Mapping[str, CheckedProgram]
) -> list[OftenMissing]:
    each = f"SELECT {dialect.each('missing')} AS one FROM {table}"
    found = rows(
        f"SELECT one.relation, one.why, count(*) AS cases FROM ({each}) AS points "
        f"GROUP BY 1, 2 ORDER BY cases DESC, 1, 2 LIMIT {MOST}"
    )
    asks: dict[str, str] = {}
    for program in programs.values():
        for relation in program.inputs():
            asks.setdefault(relation.name, relation.ask or so_asked(relation))
    return [OftenMissing(relation, why, cases, asks.get(relation, "")) for relation, why, cases in found]


# --- as text and as plain data ---


def summary_lines(summary: Summary, width: int = 80) -> Iterator[str]:
    """The summary for a terminal of so many columns."""
    yield f"{counted(summary.cases, 'case')} decided"
    wide = len(f"{summary.cases:,}")
    for decision, cases in summary.decisions.items():
        yield f"  {cases:>{wide},}  {_share(cases, summary.cases):>7}  {_WORDS[decision]}"
    if summary.rejected is not None:
        yield f"read {summary.read:,} = decided {summary.cases:,} + rejected {summary.rejected:,}"
    if summary.fails_alone:
        yield ""
        not_met = summary.decisions[NOT_MET]
        heading = (f"The only criterion of the guideline not met, in {summary.not_met_alone:,} of the "
                   f"{counted(not_met, 'case')} not met:")
        yield from wrapped([heading], width)
        several = len({one.policy for one in summary.fails_alone}) > 1
        yield from _table(
            [(one.cases, " ".join([*[one.policy] * several, one.phase, one.number]), one.sentence)
             for one in summary.fails_alone], width)
    if summary.missing:
        yield ""
        yield "Most often to be asked for:"
        yield from _table([(one.cases, f"{one.relation}: {one.why}", one.ask) for one in summary.missing], width)
    if summary.not_stated:
        yield ""
        yield from wrapped([NOT_STATED_IN_TABLES], width)
        yield from _table([(cases, relation, "") for relation, cases in summary.not_stated.items()], width)


def _table(rows: Sequence[tuple[int, str, str]], width: int) -> Iterator[str]:
    """A number, a name and a sentence a row; the sentence on the lines below where the name leaves it little room."""
    import textwrap

    wide = max(len(f"{cases:,}") for cases, _, _ in rows)
    names = max(len(words) for _, words, _ in rows)
    for cases, words, sentence in rows:
        start = f"  {cases:>{wide},}  {words:<{names}}"
        if len(start) > width // 2:
            yield start.rstrip()
            start = " " * (wide + 6)
        else:
            start += "  "
        lines = textwrap.wrap(sentence, max(20, width - len(start)), break_long_words=False, break_on_hyphens=False)
        for number, line in enumerate(lines):
            yield (start if number == 0 else " " * len(start)) + line
        if not lines and start.strip():
            yield start.rstrip()


def counted(number: int, what: str) -> str:
    """`1 case`, `1,000 cases`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0.0 %"


def summary_dict(summary: Summary) -> dict[str, Any]:
    """The summary as plain data; shares are parts of 1."""
    return {
        "cases": summary.cases,
        **({} if summary.rejected is None else {"read": summary.read, "rejected": summary.rejected}),
        **({"not_stated": dict(summary.not_stated)} if summary.not_stated else {}),
        "decisions": {
            decision: {"cases": cases, "share": cases / summary.cases if summary.cases else 0.0}
            for decision, cases in summary.decisions.items()
        },
        "not_met_by_one_criterion": summary.not_met_alone,
        "only_criterion_not_met": [
            {"policy": one.policy, "phase": one.phase, "criterion": one.number, "says": one.sentence,
             "cases": one.cases}
            for one in summary.fails_alone
        ],
        "missing": [
            {"relation": one.relation, "why": one.why, "cases": one.cases, "ask": one.ask} for one in summary.missing
        ],
    }
