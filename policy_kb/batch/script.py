"""What is run for a batch: tables, made one after the other, and a last query. What writes them is not needed to run
them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field

from policy_kb.batch.dialect import Sql
from policy_kb.record import record

CASES = "cases"
"""The table of the requests that are decided, with the values of the case that rows are compared with."""

GATHERED, UNGATHERED = "rows_of_cases", "bits_of_rows"
"""The table with the bits of each case, and the one with those of each row, which it is made of and nothing else."""

ANSWERS_TABLE = "answers"

STOPPED = "stopped"
"""The column of the answers that says for which cases a rule needs a value that does not exist."""


TWICE = "approved_twice"
"""The flag of the cases for which two amounts of one unit are approved, or one that a table has no place for."""

UNSURE = {
    STOPPED: "a value that the rules need does not exist for this case, or is beyond what a database computes",
    TWICE: "what the rules approve for this case is no list of amounts, one of each unit",
}
"""The flags, which a query may have as columns, of cases that are decided by themselves; and why such a case is refused
where that is not done."""


def criterion_column(place: int) -> str:
    """The column of the answers for a criterion, by its place among those of the table, from 0."""
    return f"criterion_{place + 1}"


@record
class Step:
    """A table that a script makes: its query, and the rules it comes from."""

    name: str
    sql: Sql
    notes: tuple[str, ...]


@record
class Script:
    """Tables, made one after the other, and the query over them that gives the answers. The table `GATHERED` has a row
    for every case that has a row of one of the relations `gathers`. `has_row` are the conditions on its rows that the
    case has a row of a relation, for those of which it has one at most. `width` is how many flags a case has in all, in
    `words` numbers of 64 bits those that are gathered. `legend` says what the columns and tables of rules stand for."""

    steps: tuple[Step, ...]
    last: Sql
    gathers: frozenset[str] = frozenset()
    has_row: Mapping[str, Sql] = field(default_factory=dict)
    width: int = 0
    words: int = 0
    legend: Mapping[str, str] = field(default_factory=dict)

    def defined_by(self, step: Step) -> Iterator[str]:
        """The names in the legend of the table that a step makes, and of the columns that it adds."""
        for name in self.legend:
            if name == step.name or re.search(rf"\bAS [\"`]?{name}\b", step.sql):
                yield name

    @property
    def text(self) -> Sql:
        return "\n".join([*(step.sql for step in self.steps), self.last])


@record
class Query:
    """The SQL of a phase's decisions: one row a case, the columns in order. `criteria` says which of these answer a
    criterion, and which: its phase and its number."""

    script: Script
    columns: tuple[str, ...]
    criteria: Mapping[str, tuple[str, str]]
