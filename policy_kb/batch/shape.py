"""What is known of a batch before any of its cases is read: which relations have tables, and which may be open.

The cases of a batch stand in tables of a database, prepared so by whatever reads the input:

* one for each input relation that has rows, with the columns `case` and, for each further attribute, `v1`, `v2` ... by
  its place (`given_column`), each with the value a case loaded by itself would have (text as VARCHAR, whole numbers and
  dates as BIGINT, dates being days since 1970-01-01, floats as DOUBLE), none NULL, and `uncertain` (BOOLEAN, never
  NULL) if the shape says so;
* `batch_open` if a relation is open for some cases and not for others: `case`, and a VARCHAR column for each such
  relation, called as its table, that says why it is open, `not stated` or `incomplete`, NULL where it is not. A case
  that is not in it has none of them open.

Tables and columns have numbers for names: a database takes names that differ in letter case for the same one, and what
a relation or an attribute is called must not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from policy_kb.record import record


class Openness(Enum):
    """For which cases of a batch a relation is open."""

    NEVER = "never"
    SOME = "some"
    ALWAYS = "always"


@record
class Given:
    """How a batch gives an input relation. `has_rows`: there is the `table`; otherwise no case has a row."""

    table: str
    has_rows: bool
    has_uncertain: bool
    openness: Openness


Shape = Mapping[str, Given]
"""By the name of the input relation; every input relation of the program has an entry. A `@[single]` relation and
`request` are never open and never uncertain, an `@[always_open]` one is open for all."""

@record
class Complete:
    """What an input is said to hold the whole truth of: with `record`, what it does not mention does not exist; with
    `tables`, each of its tables holds all rows there are, of cases without a row in it too."""

    record: bool = False
    tables: bool = False


AS_STATED = Complete()
"""The whole truth of what the input states, and of nothing else."""


CASE, UNCERTAIN, OPEN_TABLE = "case", "uncertain", "batch_open"

ITEM, PHASE = "v1", "v2"
"""The columns of the prepared table of requests that say what is asked for, and in which phase."""


def is_lines(path: Path) -> bool:
    """Whether a batch is a file with a case a line."""
    return path.suffix.lower() in (".ndjson", ".jsonl")


def is_tables(path: Path) -> bool:
    """Whether a batch is a folder of tables, or a DuckDB database file by its first bytes."""
    if path.is_dir():
        return True
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(12)[8:] == b"DUCK"
    except OSError:
        return False


def given_table(number: int) -> str:
    """The prepared table of an input relation, by its number among them in the order of the declarations, from 0."""
    return f"given_{number}"


def given_column(place: int) -> str:
    """The column of an attribute in the prepared table, by its place; the first is the case."""
    return f"v{place}" if place else CASE
