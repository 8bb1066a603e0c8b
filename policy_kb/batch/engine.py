"""A batch from its input to its output: read, checked, decided in parts, and summed up. DuckDB does the work."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from policy_kb import cache, pipeline
from policy_kb.batch.dialect import DUCKDB, DuckDB
from policy_kb.batch.functions import make, register
from policy_kb.batch.openness import count_not_stated
from policy_kb.batch.script import CASES, GATHERED, UNGATHERED, UNSURE, Query, Script, Step, criterion_column
from policy_kb.batch.shape import (
    AS_STATED,
    CASE,
    ITEM,
    PHASE,
    UNCERTAIN,
    Complete,
    Shape,
    given_column,
    is_lines,
)
from policy_kb.batch.values import DUCKDB as VALUES
from policy_kb.check.checked import Phase, Relation
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, quoted
from policy_kb.load.cases import REQUEST, is_single
from policy_kb.policies import Policies, Policy
from policy_kb.source import NOWHERE, Span

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from policy_kb.batch.results import Criteria
    from policy_kb.batch.summary import Summary
    from policy_kb.batch.tables import Batch, Problem

PART = 10_000_000
"""Cases that are decided at a time, if they have few flags: what is held in memory does not grow with the number of
cases."""

MOST_FLAGS = 2_500_000_000
"""Flags of all cases that are decided at a time."""

SLICE = 250_000_000
"""Numbers of 64 bits that are gathered at a time, a row being two and its bits; of more, a database would write most to
its disk before it has grouped any."""

MEMORY = "6GiB"
"""What the database may hold before it moves tables to its folder of temporary files."""

_T = TypeVar("_T")

Asked = tuple[Policy, Phase, Query]
"""A phase of a policy that cases ask for, and what decides them."""

Chosen = tuple[tuple[str, str], ...]
"""The readings that a policy is decided under, by name."""

_dialect = DUCKDB
_q = _dialect.quoted
_PARTS, _ALONE = "part_of_cases", "batch_alone"
_MOST_TOLD = 1000
_NUMBER = "0"
"""The column with the number of a part, which no attribute has the name of."""


def open_batch(
    policies: Sequence[Policy], path: Path, complete: Complete, progress: Progress | None = None,
    folder: Path | None = None, leave_names: bool = False, outputs: Sequence[Path] | None = None,
) -> Batch:
    """Read and check the input: a folder of tables, a DuckDB database or an NDJSON file. Raises CaseRefused.

    `folder` is for what the database does not hold in memory. `leave_names` as in `read_tables`. `outputs` are the
    files to be written: the database then reaches no other, but the input.
    """
    from policy_kb.batch.tables import connect, read_tables

    first = policies[0]
    for other in policies[1:]:
        same_vocabulary(first, other)
    connection = connect()
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    if folder is not None:
        connection.execute(f"SET temp_directory = {_dialect.text(str(folder))}")
    if is_lines(path):
        from policy_kb.batch.ndjson import read_ndjson

        told = None if progress is None else lambda done, whole: progress("reading", done, whole)
        return read_ndjson(first.program, first.rules.known, path, connection=connection,
                           record_complete=complete.record, progress=told)
    if not path.exists():
        raise CaseRefused([Diagnostic(Kind.UNREADABLE, Span(str(path), 1), "there is no such file or folder",
                                      "a batch is a folder of tables, an NDJSON file or a DuckDB database")])
    writes_to = None if outputs is None else [one for one in (folder, *(file.parent for file in outputs)) if one]
    return read_tables(first.program, first.rules.known, path, connection=connection, complete=complete,
                       leave_names=leave_names, writes_to=writes_to)


def decide_batch(
    policies: Sequence[Policy], path: Path, readings: Mapping[str, str], output: Path, folder: Path, *,
    complete: Complete = AS_STATED, rejects: Path | None = None, progress: Progress | None = None,
) -> tuple[Summary, int]:
    """Read the input, decide all cases and write the result; with `rejects`, put those aside that cannot be decided,
    and write there what is wrong with them. The summary, and of how many rows nobody can say which case they belong to.
    `folder` is empty, and for what the database does not hold in memory.

    Raises CaseRefused; then no file has been written.
    """
    def decided(leave_names: bool) -> tuple[Summary, int]:
        outputs = [output] if rejects is None else [output, rejects]
        batch = open_batch(policies, path, complete, progress, folder, leave_names, outputs)
        with batch.connection, batch.files.unchanged():
            return Run(policies, batch, path, readings, folder).decide(output, rejects, progress)

    try:
        return decided(leave_names=True)
    except _BadNamesError:
        # Rare: all is read again, and it is found out which rows these are.
        return decided(leave_names=False)


class _BadNamesError(Exception):
    """There are rows of a case without a request, or a second row of a relation of which a case has one."""


Progress = Callable[[str, int, int], None]
"""Told what is done now, how much of it is done, and how much there is."""


def same_vocabulary(one: Policy, other: Policy) -> None:
    """A batch is read by one vocabulary. Raises CaseRefused where the policies of a batch have different ones."""
    if list(one.program.inputs()) != list(other.program.inputs()):
        message = f"policies {one.number} and {other.number} read cases by different vocabularies"
        raise CaseRefused([Diagnostic(Kind.NO_POLICY, Span(other.program.entry, 1), message,
                                      "choose the policy of the batch with `--policy`")])


class Run:
    """The decisions of one batch. `folder` is for temporary files."""

    def __init__(
        self, policies: Sequence[Policy], batch: Batch, path: Path, readings: Mapping[str, str], folder: Path
    ):
        self.policies, self.batch, self.path, self.folder = policies, batch, path, folder
        self.connection: DuckDBPyConnection = batch.connection
        self.chosen = {policy.number: chosen_readings(policy, readings) for policy in policies}
        self.queries: dict[tuple[str, str], Query] = {}
        self.connection.execute(
            'CREATE OR REPLACE TABLE batch_refused ("case" VARCHAR, "table" VARCHAR, "row" BIGINT, "reason" VARCHAR)'
        )
        self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_PARTS}")
        self.connection.execute(f"SET search_path = '{_PARTS},main'")
        self.arities = {name: policies[0].program.relations[name].arity for name in batch.shape}
        self.made: list[Step] = []
        self.part, self.parts = 0, 1
        self.diagnostics: dict[tuple[str, str], Diagnostic] = {}
        """What the first cases are told that were refused when they were decided by themselves, by case and reason."""
        self.are_names_checked = False

    def rows(self, query: str) -> list[Any]:
        with self.batch.reading(self.path):
            return self.connection.execute(query).fetchall()

    def one(self, query: str) -> int:
        return int(self.rows(query)[0][0])

    def given(self, relation: str) -> str:
        """The prepared table of a relation with the cases of all parts."""
        return f"main.{self.batch.shape[relation].table}"

    def run(self, script: Script) -> None:
        """Make the tables of a script, but for the first ones that were made for the last script just so."""
        as_before = 0
        for before, step in zip(self.made, script.steps, strict=False):
            if (before.name, before.sql) != (step.name, step.sql):
                break
            as_before += 1
        del self.made[as_before:]
        numbers = self.batch.rows * (2 + script.words)
        slices = max(1, -(-numbers // self.parts // SLICE))
        for step in script.steps[as_before:]:
            with self.batch.reading(self.path):
                if slices == 1 or step.name not in (UNGATHERED, GATHERED):
                    make(self.connection, step)
                elif step.name == GATHERED:
                    self.gather(self.made[-1], step, slices)
            self.made.append(step)

    def gather(self, ungathered: Step, gathered: Step, slices: int) -> None:
        """As `make`, of these two steps: slice by slice of the cases."""
        execute, whole = self.connection.execute, f"all_{CASES}"
        has_cases = any(step.name == CASES for step in self.made)
        if has_cases:
            execute(f"ALTER TABLE {CASES} RENAME TO {whole}")
        for number in range(slices):
            of_slice = f"(hash({_q(CASE)}) >> 32) % {slices} = {number}"  # not what parts are divided by
            if has_cases:
                execute(f"CREATE OR REPLACE TEMP TABLE {CASES} AS FROM {whole} WHERE {of_slice}")
            self.show(of_slice)
            make(self.connection, ungathered)
            into = f"INSERT INTO {GATHERED}" if number else f"CREATE OR REPLACE TEMP TABLE {GATHERED} AS"
            execute(f"{into} FROM ({gathered.sql}) AS gathered WHERE {of_slice}")
            execute(f"DROP TABLE {UNGATHERED}")
        if has_cases:
            execute(f"DROP TABLE {CASES}; ALTER TABLE {whole} RENAME TO {CASES}")
        self.show()

    # the cases of a part

    def divide(self, parts: int, progress: Progress | None) -> None:
        """Write the cases to files, those of each part by themselves: to look for the cases of each part among all
        would take longer the more parts there are."""
        if parts == 1:
            return
        tables = [given.table for given in self.batch.shape.values() if given.has_rows]
        for done, table in enumerate(tables):
            if progress is not None:
                progress("dividing", done, len(tables))
            with self.batch.reading(self.path):
                self.connection.execute(
                    f"COPY (SELECT *, hash({_q(CASE)}) % {parts} AS {_q(_NUMBER)} FROM main.{_q(table)}) "
                    f"TO {_dialect.text(str(self.folder / table))} "
                    f"(FORMAT parquet, COMPRESSION lz4, PARTITION_BY ({_q(_NUMBER)}), OVERWRITE)"
                )

    def rows_of(self, table: str, part: int, parts: int) -> str:
        """What stands after FROM for the rows of a part."""
        if parts == 1:
            return f"main.{_q(table)}"
        files = sorted((self.folder / table / f"{_NUMBER}={part}").glob("*.parquet"))
        if not files:
            return f"main.{_q(table)} LIMIT 0"
        listed = ", ".join(_dialect.text(str(file)) for file in files)
        return f"read_parquet([{listed}], hive_partitioning = false)"

    def choose(self, part: int, parts: int) -> None:
        """Let the prepared tables show the cases of one part only, without those that were refused."""
        self.made.clear()
        self.part, self.parts = part, parts
        self.show()

    def show(self, of_slice: str | None = None) -> None:
        """Let the prepared tables show the cases of the part, or those of one slice of it."""
        tests = [] if of_slice is None else [of_slice]
        if self.refused():
            tests.append(f'{_q(CASE)} NOT IN (SELECT "case" FROM main.batch_refused)')
        where = f" WHERE {' AND '.join(tests)}" if tests else ""
        for name, given in self.batch.shape.items():
            if not given.has_rows:
                continue
            rows = f"(FROM {self.rows_of(given.table, self.part, self.parts)}) AS given"
            select = f"SELECT * FROM {rows}{where}"
            if given.has_uncertain:
                # A row given twice is given once, and certain if it is certain anywhere.
                columns = ", ".join(_q(given_column(place)) for place in range(self.arities[name]))
                select = (f"SELECT {columns}, bool_and({_q(UNCERTAIN)}) AS {_q(UNCERTAIN)} FROM {rows}{where} "
                          f"GROUP BY {columns}")
            self.connection.execute(f"CREATE OR REPLACE VIEW {_PARTS}.{given.table} AS {select}")

    # refusals that need rules

    def refuse_uncovered(self) -> None:
        """Refuse the cases that no policy decides."""
        if all(any(phases_asked_for(self.policies, [one])) for one in self.asked):
            return
        self.connection.execute(
            f"""INSERT INTO main.batch_refused
            SELECT "case", 'request', NULL, 'no policy covers `' || {ITEM} || '` in the phase `' || {PHASE} || '`'
            FROM {self.given(REQUEST)} WHERE NOT ({covered(self.policies, _dialect)})"""
        )

    def check_names(self, script: Script | None) -> None:
        """Find out whether the rows of the part are of cases with a request, and whether a case has one row where it
        can have only one. Of the relations that `script` gathers it is enough to look at the cases once. Without a
        script, it is found out of all rows, of refused cases too. Raises _BadNamesError."""
        if self.are_names_checked:
            return
        left = [name for name in self.batch.unasked if self.batch.shape[name].has_rows]
        gathers = script.gathers if script is not None else frozenset()
        if script is not None and gathers.intersection(left):
            found = {name: condition for name, condition in script.has_row.items() if name in left}
            cases = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in found.values())
            rows = ", ".join(f"(SELECT count(*) FROM {self.batch.shape[name].table})" for name in found)
            with_request = f"count(*) FILTER (WHERE {script.has_row[REQUEST]})"
            [counted] = self.rows(f"SELECT [{with_request}, {cases}] = [count(*), {rows}] FROM {GATHERED} AS b")
            if not counted[0]:
                raise _BadNamesError
        tables = {name: self.given(name) if script is None else one.table for name, one in self.batch.shape.items()}
        others = {name: tables[name] for name in left if name not in gathers}
        queries = [f"SELECT {_q(CASE)} FROM {table} GROUP BY {_q(CASE)} HAVING count(*) > 1"
                   for name, table in others.items() if self.is_single(name)]
        if others:
            rows = " UNION ALL ".join(f"SELECT {_q(CASE)} FROM {table}" for table in others.values())
            requested = f"(SELECT {_q(CASE)} FROM {tables[REQUEST]})"
            queries.append(f"SELECT * FROM ({rows}) AS given ANTI JOIN {requested} AS requested USING ({_q(CASE)})")
        if any(self.one(f"SELECT count(*) FROM ({query})") for query in queries):
            raise _BadNamesError
        self.are_names_checked = script is None

    def is_single(self, relation: str) -> bool:
        return is_single(self.policies[0].program.relations[relation])

    def refuse_by_rules(self) -> None:
        """Refuse the cases of the part that a rule of the vocabulary refuses."""
        from policy_kb.explain.written import sentence

        for relation, script in self.refusals:
            self.run(script)
            self.insert([
                (str(case), relation.name, None, sentence(relation, (case, *values)))
                for case, *values in self.rows(script.last)
            ])

    @cached_property
    def refusals(self) -> list[tuple[Relation, Script]]:
        """The relations that refuse a case, each with the query for its rows; the same for all parts."""
        first = self.policies[0]
        found = refusals(first, self.chosen[first.number], self.batch.shape, _dialect)
        for _, script in found:
            register(self.connection, script.text)
        return [(first.program.relations[name], script) for name, script in found]

    def decide_alone(self, asked: Asked, criteria: Criteria) -> str | None:
        """Decide the cases of the part by themselves for which the query is not sure; the table of those that are not
        refused, in the columns of a result. None where there are no such cases."""
        from policy_kb.batch.alone import Prepared, decided_alone, result_row
        from policy_kb.batch.results import columns_of

        policy, phase, query = asked
        if not (flags := _unsure(query)):
            return None
        cases = [case for case, in self.rows(f"SELECT {_q(CASE)} FROM ({query.script.last}) AS decided WHERE {flags}")]
        if not cases:
            return None
        columns = columns_of(criteria)
        declared = ", ".join(f"{_q(column)} {kind}" for column, kind in columns.items())
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {_ALONE} ({declared})")
        prepared = Prepared(self.rows, _dialect, self.batch.shape, str(self.path), self.batch.places)
        known = policy.known_under(self.chosen[policy.number])
        refused = []
        for case, outcome in decided_alone(policy.rules, known, phase, prepared, cases):
            found = outcome if isinstance(outcome, list) else result_row(outcome, criteria)
            if isinstance(found, list):
                refused += [(case, problem) for problem in found]
            else:
                self.connection.execute(f"INSERT INTO {_ALONE} VALUES ({', '.join('?' * len(columns))})", found)
        self.insert([(case, REQUEST, None, self.told(case, problem, policy)) for case, problem in refused])
        return _ALONE

    def told(self, case: str, problem: Diagnostic, policy: Policy) -> str:
        """The reason for which a case is put aside that was decided by itself."""
        span, reason = problem.span, problem.message
        if span.file in policy.program.files:
            reason = f"{span.file}:{span.line}:{span.column}: {reason}"
        if len(self.diagnostics) < _MOST_TOLD:
            self.diagnostics[case, reason] = problem
        return reason

    def insert(self, found: list[tuple[str, str, None, str]]) -> None:
        for start in range(0, len(found), 1000):
            some = found[start : start + 1000]
            marks = ", ".join(["(?, ?, ?, ?)"] * len(some))
            self.connection.execute(
                f"INSERT INTO main.batch_refused VALUES {marks}", [value for row in some for value in row]
            )

    def is_bad(self) -> bool:
        """Whether anything that was read so far cannot be decided."""
        return bool(self.rejected() or self.batch.unnamed)

    def refused(self) -> int:
        """How many cases are refused by rules, of the parts that were looked at."""
        return self.one('SELECT count(DISTINCT "case") FROM main.batch_refused')

    def rejected(self) -> int:
        """How many cases are put aside, for either reason."""
        return self.batch.rejected + self.refused()

    def problems(self) -> list[Problem]:
        """The first hundred problems."""
        from policy_kb.batch.tables import MOST_PROBLEMS, Problem

        more = self.rows(
            f'SELECT "case", "table", "row", "reason" FROM main.batch_refused ORDER BY ALL LIMIT {MOST_PROBLEMS}'
        )
        places = self.batch.places
        found = (Problem(table, row, case, reason, None, places.get(table), self.diagnostics.get((case, reason)))
                 for case, table, row, reason in more)
        told = [*self.batch.problems, *found][:MOST_PROBLEMS]
        return with_lines(self.path, told) if is_lines(self.path) else told

    @property
    def all_problems(self) -> str:
        """The query for every problem of the cases put aside."""
        tables = ["SELECT * FROM main.batch_refused"]
        if self.batch.rejected or self.batch.unnamed:
            tables.insert(0, 'SELECT "case", "table", "row", "reason" FROM main.batch_rejected')
        return f"SELECT * FROM ({' UNION ALL '.join(tables)}) AS found ORDER BY ALL"

    # decisions

    @cached_property
    def asked(self) -> frozenset[tuple[str, str]]:
        """The drugs and phases that cases ask for."""
        if not self.batch.shape[REQUEST].has_rows:
            return frozenset()
        return frozenset(self.rows(f"SELECT DISTINCT {ITEM}, {PHASE} FROM {self.given(REQUEST)}"))

    def query(self, policy: Policy, phase: Phase) -> Query:
        key = policy.number, phase.name
        if key not in self.queries:
            self.queries[key] = compiled(policy, self.chosen[policy.number], phase, self.batch.shape, _dialect)
            register(self.connection, self.queries[key].script.text)
        return self.queries[key]

    def decide(self, output: Path, rejects: Path | None, progress: Progress | None) -> tuple[Summary, int]:
        """As `decide_batch`."""
        from policy_kb.batch.results import writing_results
        from policy_kb.batch.summary import summarise

        self.refuse_uncovered()
        if self.refused():
            # What is refused is shown no more, and whether its names are right cannot be seen from what is decided.
            self.check_names(None)
        queries = [(policy, phase, self.query(policy, phase))
                   for policy, phase in phases_asked_for(self.policies, self.asked)]
        criteria = list(dict.fromkeys(name for *_, query in queries for name in query.criteria.values()))
        parts = self.parts_of(max((query.script.width for *_, query in queries), default=0))
        selects: Iterable[str] = self.selects(queries, criteria, parts, rejects is None, progress)
        if parts == 1 and len(queries) == 1:
            selects = list(selects)
        aside = None if rejects is None else (rejects, self.all_problems)
        with writing_results(self.connection, selects, output, criteria, aside) as written:
            self.batch.files.check()
            add_up(written.cases, self.batch.cases - self.rejected(), self.path)
            programs = {policy.number: policy.program for policy in self.policies}
            summary = summarise(
                self.connection, written, programs, rejected=None if rejects is None else self.rejected(),
                not_stated=self.not_stated(written.cases),
            )
        return summary, self.batch.unnamed

    def not_stated(self, decided: int) -> Mapping[str, int]:
        """As of a `Summary`."""
        refused = f"SELECT {_q(CASE)} FROM main.batch_refused"
        return count_not_stated(self.rows, self.batch.unstated, self.batch.shape, decided, refused, VALUES)

    def parts_of(self, width: int) -> int:
        """The number of parts in which cases of so many flags are decided."""
        cases = self.batch.cases - self.rejected()
        return max(1, -(-cases // min(PART, max(1, MOST_FLAGS // max(1, width)))))

    def selects(
        self, queries: Sequence[Asked], criteria: Criteria, parts: int, is_strict: bool, progress: Progress | None
    ) -> Iterator[str]:
        """The queries that give the result, part by part; each rests on tables that the next one replaces. `criteria`
        are those of the result.

        Where it `is_strict`, a bad case ends this, but only when all cases have been looked at. Raises CaseRefused.
        """
        steps = parts * len(queries)
        self.divide(parts, progress)
        if not queries:
            self.check_names(None)
        for part in range(parts):
            self.choose(part, parts)
            before = self.refused()
            self.refuse_by_rules()
            if self.refused() > before:
                self.check_names(None)
                self.choose(part, parts)
            if is_strict and self.is_bad():
                self.check_names(None)
            for i, asked in enumerate(queries):
                query = asked[2]
                if progress is not None:
                    progress("deciding", part * len(queries) + i, steps)
                alone = None
                if not (is_strict and self.is_bad()) or _unsure(query):
                    self.run(query.script)
                    if i == 0:
                        self.check_names(query.script)
                    alone = self.decide_alone(asked, criteria)
                if not (is_strict and self.is_bad()):
                    yield _in_columns(query, criteria, alone)
        if is_strict and self.is_bad():
            raise self.refusal()

    def refusal(self) -> CaseRefused:
        """The refusal of a batch with bad cases, the first hundred problems and what to do."""
        return refuse_batch(self.problems(), self.batch.cases, self.rejected(), self.batch.unnamed, self.path)


def _unsure(query: Query) -> str:
    """The condition on an answer of the query that it is not sure; nothing where all are."""
    return " OR ".join(f"coalesce({_q(flag)}, FALSE)" for flag in UNSURE if flag in query.columns)


def _in_columns(query: Query, criteria: Criteria, alone: str | None) -> str:
    """The answers of the query in the columns of a result; `alone` is the table of those that were found otherwise."""
    names = {
        column: criterion_column(criteria.index(query.criteria[column])) if column in query.criteria else _q(column)
        for column in query.columns if column not in UNSURE
    }
    picked = ", ".join(f"{_q(column)} AS {name}" for column, name in names.items())
    select = f"SELECT {picked} FROM (\n{query.script.last}\n) AS decided"
    if alone is None:
        return select
    return f"{select} WHERE NOT ({_unsure(query)}) UNION ALL SELECT {', '.join(names.values())} FROM {alone}"


def chosen_readings(policy: Policy, readings: Mapping[str, str]) -> Chosen:
    """The readings that a policy is decided under. Raises CaseRefused for one that it does not have."""
    return tuple(sorted(pipeline.checked_readings(policy.rules, readings).items()))


def compiled(policy: Policy, chosen: Chosen, phase: Phase, shape: Shape, dialect: DuckDB) -> Query:
    """The decisions of a phase."""
    def query() -> Query:
        from policy_kb.batch.plan import asks_for, decisions

        asked = asks_for(phase, dialect, policy.covers)
        return decisions(policy.rules, policy.known_under(chosen), phase, shape, dialect, asked)

    return _cached(query, policy, chosen, phase.name, shape, dialect)


def refusals(policy: Policy, chosen: Chosen, shape: Shape, dialect: DuckDB) -> list[tuple[str, Script]]:
    """The names of the relations that refuse a case, each with the query for the cases that have rows of it."""
    def queries() -> list[tuple[str, Script]]:
        from policy_kb.batch.plan import refusals

        return refusals(policy.program, policy.known_under(chosen), shape, dialect)

    return _cached(queries, policy, chosen, "refusals", shape, dialect)


def _cached(make: Callable[[], _T], policy: Policy, chosen: Chosen, what: str, shape: Shape, dialect: DuckDB) -> _T:
    """What is compiled, from the cache where it was last compiled for the same rules and the same shape."""
    program = policy.program
    file = cache.place("compiled", program.paths.get(program.entry), what, type(dialect).__name__)
    shapes = [(name, one.has_rows, one.has_uncertain, one.openness.value) for name, one in sorted(shape.items())]
    key = repr((policy.rules.digest, chosen, shapes))
    cached = cache.read(file)
    if next(cached, None) == key:
        for found in cached:
            return cast(_T, found)
    made = make()
    cache.write(file, key, made)
    return made


def add_up(decided: int, cases: int, path: Path) -> None:
    """Refuse a batch in which cases got lost: where what a file says of its rows as a whole is not what they are."""
    if decided != cases:
        message = f"{decided} of {cases} cases were decided: a table does not hold what it says it holds"
        raise CaseRefused([Diagnostic(Kind.UNREADABLE, Span(str(path), 1), message, "write the tables anew")])


def phases_asked_for(
    policies: Sequence[Policy], asked: Collection[tuple[str, str]]
) -> Iterator[tuple[Policy, Phase]]:
    """The phases of the policies for which one of these drugs and phases is asked."""
    for policy in policies:
        for phase in policy.program.phases:
            if any(name == phase.name and (not policy.covers or drug in policy.covers) for drug, name in asked):
                yield policy, phase


def covered(policies: Sequence[Policy], dialect: DuckDB) -> str:
    """The condition on a request that some policy decides it."""
    conditions = []
    for policy in policies:
        items = ", ".join(map(dialect.text, sorted(policy.covers)))
        phases = ", ".join(dialect.text(phase.name) for phase in policy.program.phases)
        among = f"{ITEM} IN ({items}) AND " if items else ""
        conditions.append(f"({among}{PHASE} IN ({phases}))")
    return " OR ".join(conditions)


def with_lines(path: Path, problems: Sequence[Problem]) -> list[Problem]:
    """The problems of an NDJSON file; those of a case as a whole with its line."""
    from policy_kb.batch.one_case import lines_of

    lines = lines_of(path, {one.case for one in problems if one.row is None and one.case is not None})
    return [replace(one, row=lines.get(one.case)) if one.row is None and one.case is not None else one
            for one in problems]


def refuse_batch(problems: Sequence[Problem], cases: int, rejected: int, unnamed: int, path: Path) -> CaseRefused:
    """The refusal of a batch with bad cases, the first hundred problems and what to do."""
    found = []
    for one in problems:
        if one.diagnostic is not None:
            found.append(one.diagnostic)
            continue
        place = Span(one.place or str(path), one.row or 1)
        found.append(Diagnostic(Kind.REFUSED_ROW, place, one.reason, one.hint, case=one.case))
    what = [f"{rejected} of {cases} cases" if rejected else "", f"{unnamed} rows without a case" if unnamed else ""]
    message = f"{' and '.join(one for one in what if one)} cannot be read; nothing was decided"
    hint = "correct them, or give `--rejects FILE` to put them aside and decide the others"
    return CaseRefused([*found, Diagnostic(Kind.REFUSED_ROW, Span(str(path), 1), message, hint)])


def policies_of(chosen: Policies) -> list[Policy]:
    """The policies that the cases of a batch may ask for. Raises CaseRefused where two of them cover the same: a batch
    does not choose among payers and days."""
    policies = [policy for policy in chosen.all() if policy.program.phases]
    by_item: dict[tuple[str, str], Policy] = {}
    for policy in policies:
        for edition in policy.editions.values():
            for item in sorted(edition.covers):
                other = by_item.setdefault((item, edition.phase), policy)
                if other is not policy:
                    files = f"{other.program.entry} and {policy.program.entry}"
                    message = f"{files} both cover {quoted(item)} in the phase {quoted(edition.phase)}"
                    hint = "a batch does not choose among payers and days: name the file with `--policy FILE.dl`"
                    raise CaseRefused([Diagnostic(Kind.NO_POLICY, NOWHERE, message, hint)])
    return policies
