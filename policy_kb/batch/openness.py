"""Which relations are open for which cases of a batch: bits of whole numbers, one for each input relation.

A table of states has a row for each case: in `open0`, `open1`, ... the bits of the relations that are open in it, in
`incomplete0`, ... those among them that are listed as incomplete; the others are not stated.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from policy_kb.batch.columns import Column
from policy_kb.batch.shape import CASE, OPEN_TABLE, Complete, Given, Openness, Shape, given_table
from policy_kb.batch.sources import INCOMPLETE_TABLE, STATED_TABLE
from policy_kb.batch.values import Dialect
from policy_kb.check.checked import Relation
from policy_kb.load.cases import INCOMPLETE, NOT_STATED, REQUEST
from policy_kb.record import record

WORD_BITS = 62
"""Relations whose openness stands in one whole number."""


Rows = Callable[[str], Sequence[Sequence[Any]]]
"""Gives the rows of a query."""


class States:
    """How the states of cases are written, for the input relations of a program in the order of their declaration."""

    def __init__(self, inputs: Iterable[Relation]):
        self.inputs = list(inputs)
        self.numbers = {relation.name: number for number, relation in enumerate(self.inputs)}
        self.words = range(-(-len(self.inputs) // WORD_BITS))
        self.columns = tuple(f"{state}{word}" for word in self.words for state in ("open", "incomplete"))

    def masks(self, names: Iterable[str]) -> list[int]:
        """The bits of these relations, word by word."""
        found = [0 for _ in self.words]
        for name in names:
            word, bit = divmod(self.numbers[name], WORD_BITS)
            found[word] |= 1 << bit
        return found

    def openness(self, rows: Rows, table: str) -> dict[str, Openness]:
        """For which cases each relation is open; `table` is what stands after FROM for the states of all cases."""
        picked = [f"coalesce(bit_or({column}), 0)" for column in self.columns]
        picked += [f"coalesce(bit_and(open{word}), 0)" for word in self.words]
        [found] = rows(f"SELECT {', '.join(picked)} FROM {table}")
        some, every = found[: len(self.columns)], found[len(self.columns) :]
        openness = {}
        for relation in self.inputs:
            word, bit = divmod(self.numbers[relation.name], WORD_BITS)
            is_open, is_incomplete, is_open_always = (
                bool(int(one) >> bit & 1) for one in (some[2 * word], some[2 * word + 1], every[word])
            )
            # Why it is open is not the same for all cases where some list it, even where it is open for all.
            openness[relation.name] = openness_of(relation, is_open, is_open_always and not is_incomplete)
        return openness

    def reasons(self, names: Sequence[str], table: str, dialect: Dialect) -> str:
        """The query for the cases in which any of these relations is open, with the reasons of each."""
        columns = dialect.name(CASE)
        for number in (self.numbers[name] for name in names):
            word, bit = divmod(number, WORD_BITS)
            columns += f", CASE WHEN incomplete{word} & {1 << bit} <> 0 THEN {dialect.text(INCOMPLETE)} " \
                       f"WHEN open{word} & {1 << bit} <> 0 THEN {dialect.text(NOT_STATED)} END AS {given_table(number)}"
        is_open = " OR ".join(f"open{word} & {mask} <> 0" for word, mask in enumerate(self.masks(names)) if mask)
        return f"SELECT {columns} FROM {table} WHERE {is_open}"


def openness_of(relation: Relation, is_open: bool, is_open_always: bool) -> Openness:
    if relation.always_open is not None:
        return Openness.ALWAYS
    if not relation.may_be_open or not is_open:
        return Openness.NEVER
    return Openness.ALWAYS if is_open_always else Openness.SOME


@record
class Listing:
    """A table that lists relations of cases: what stands after FROM, and the SQL of the relation's name."""

    rows: str
    relation: str


@record
class Stating:
    """What the tables of a batch state. `names` are the relations with a table; `requests`, and `given` by relation,
    are what stands after FROM for the rows of tables that have any.

    A table states its relation for the cases that have rows in it, unless it is said to be complete. `stated` lists
    more, and `incomplete` what is not stated whatever else is said.
    """

    states: States
    names: Container[str]
    requests: str
    given: Mapping[str, str]
    stated: Listing | None
    incomplete: Listing | None
    complete: Complete

    def may_be_open(self, relation: Relation) -> bool:
        """Whether a relation is open for a case of which nothing else is said."""
        if relation.is_closed or relation.is_required or relation.always_open is not None or self.complete.record:
            return False
        return not (self.complete.tables and relation.name in self.names)

    def constant(self) -> dict[str, Openness]:
        """For which cases each relation is open, where there is no `query`."""
        return {one.name: openness_of(one, self.may_be_open(one), True) for one in self.states.inputs}

    def unstated(self, openness: Mapping[str, Openness]) -> tuple[str, ...]:
        """The relations that have a table, and are open for some case because it has no row there."""
        return tuple(one.name for one in self.states.inputs if one.name in self.names and self.may_be_open(one)
                     and openness[one.name] is not Openness.NEVER)

    def query(self, dialect: Dialect) -> str | None:
        """The states of the cases; None where they are the same for all."""
        may_be_open = [relation.name for relation in self.states.inputs if self.may_be_open(relation)]
        said = [(rows, "stated", [str(mask) for mask in self.states.masks([name])])
                for name, rows in self.given.items() if name in may_be_open]
        if self.stated is not None and may_be_open:
            said.append((self.stated.rows, "stated", self._bits(self.stated, may_be_open, dialect)))
        if self.incomplete is not None:
            said.append((self.incomplete.rows, "incomplete", self._bits(self.incomplete, self.states.numbers, dialect)))
        if not said:
            return None
        said.append((self.requests, "stated", ["0" for _ in self.states.words]))
        case = dialect.name(CASE)
        rows = "\nUNION ALL\n".join(
            f"SELECT {case}, " + ", ".join(
                f"CAST({bits if state == what else 0} AS BIGINT) AS {state}{word}"
                for word, bits in enumerate(words) for state in ("stated", "incomplete")
            ) + f" FROM {source}" for source, what, words in said
        )
        columns = ", ".join(
            f"({mask} & ~bit_or(stated{word})) | bit_or(incomplete{word}) AS open{word}, "
            f"bit_or(incomplete{word}) AS incomplete{word}"
            for word, mask in enumerate(self.states.masks(may_be_open))
        )
        return f"SELECT {case}, {columns} FROM (\n{rows}\n) AS said GROUP BY {case}"

    def _bits(self, listing: Listing, names: Iterable[str], dialect: Dialect) -> list[str]:
        """The bit that a row of a listing says, word by word."""
        found = []
        by_name = {name: self.states.masks([name]) for name in names}
        for word in self.states.words:
            cases = " ".join(f"WHEN {dialect.text(name)} THEN {masks[word]}" for name, masks in by_name.items()
                             if masks[word])
            found.append(f"CASE {listing.relation} {cases} ELSE 0 END" if cases else "0")
        return found


def count_not_stated(
    rows: Rows, names: Iterable[str], shape: Shape, decided: int, refused: str, dialect: Dialect
) -> dict[str, int]:
    """In how many of the `decided` cases each of these relations is not stated. `refused` is the query for the cases
    that are among the prepared ones, and were not decided."""
    found = dict.fromkeys(names, decided)
    some = [name for name in found if shape[name].openness is Openness.SOME]
    if some:
        is_not_stated = (f"{shape[name].table} = {dialect.text(NOT_STATED)}" for name in some)
        counts = ", ".join(f"count(CASE WHEN {one} THEN 1 END)" for one in is_not_stated)
        [counted] = rows(f"SELECT {counts} FROM {OPEN_TABLE} WHERE {dialect.name(CASE)} NOT IN ({refused})")
        found |= zip(some, map(int, counted), strict=True)
    return {name: cases for name, cases in found.items() if cases}


class Counted(Protocol):
    """A table of a batch: its columns, how many rows it has, and how many of them are not certain."""

    rows: int
    uncertain: int

    @property
    def columns(self) -> Sequence[Column]: ...


Table = TypeVar("Table", bound=Counted)


def given_as(name: str, number: int, table: Counted | None, openness: Openness) -> Given:
    """How a batch gives the input relation of this name and number, by its table, if it has one."""
    # Without a case there is a table of requests yet.
    has_rows = table is not None and (table.rows > 0 or name == REQUEST)
    return Given(given_table(number), has_rows, table is not None and table.uncertain > 0, openness)


def stating_of(
    inputs: Iterable[Relation], tables: Mapping[str, Table], accepted: Callable[[Table], str], complete: Complete
) -> Stating:
    """What tables state; `accepted` gives what stands after FROM for the rows of a table that are not rejected."""

    def listing(name: str) -> Listing | None:
        table = tables.get(name)
        return Listing(accepted(table), table.columns[1].sql.value) if table is not None and table.rows else None

    given = {name: accepted(table) for name, table in tables.items() if table.rows}
    return Stating(
        States(inputs), tables, accepted(tables[REQUEST]), given, listing(STATED_TABLE), listing(INCOMPLETE_TABLE),
        complete,
    )
