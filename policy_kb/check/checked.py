"""A program that has passed every check: what the checker hands on, and only the checker makes.

It says in the policy's terms what later stages need: relations with what a case may say of them, rules with the
criteria they state, the policy's phases. Nothing later reads an annotation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from policy_kb.diagnostics import Diagnostic
from policy_kb.parse.tree import Atom, Constant, Literal, Value
from policy_kb.record import field, record
from policy_kb.source import Span, display_name

if TYPE_CHECKING:
    from policy_kb.load.table_rows import TableRows


@record
class Domain:
    """`@[in(product, ingredient)]`: the values are those of `relation`'s first attribute, or `other: NAME` where NAME,
    letter case ignored, is in none of the columns `reserved` (the first attribute is always among them)."""

    relation: str
    reserved: tuple[int, ...]


@record
class Attribute:
    """`kind` is the primitive type below `type`: `number`, `float` or `symbol`. `unit` is printed behind its values;
    `is_exact`: a case never gives bounds in its place."""

    name: str
    type: str
    kind: str
    is_date: bool = False
    one_of: tuple[Value, ...] | None = None
    domain: Domain | None = None
    at_least: int | Fraction | None = None
    at_most: int | Fraction | None = None
    unit: str | None = None
    is_exact: bool = False
    may_be_ongoing: bool = False
    any_case: bool = False
    may_be_none: bool = False
    """A case may give no row of the relation."""
    refuses: tuple[str, ...] = ()
    """Texts, in folded letter case, that are no value of free text, because they would say that there is no row."""


@record
class Phase:
    """One phase of a policy, as the root relation's `@[policy(...)]` declares it.

    `effective` and `until` are the first and the last day on which this edition holds; without `until` it holds on.
    `day` is the attribute of `request` that this is asked of.
    """

    policy: str
    name: str
    title: str
    revised: str
    root: str
    payer: str | None = None
    effective: str = ""
    until: str | None = None
    day: str = "received"


@record
class Criterion:
    """A paragraph of the guideline, within a phase: `initiation`, `2.a.i`."""

    phase: str
    number: str

    def __str__(self) -> str:
        return f"{self.phase} {self.number}"


def paragraphs(criteria: Iterable[Criterion], phase: str) -> list[str]:
    """The paragraphs of those criteria that belong to a phase."""
    return [criterion.number for criterion in criteria if criterion.phase == phase]


@record
class Relation:
    """A declared relation.

    `sentence` is the `.decl`'s doc comment with `{attribute}` places. A case relation's first attribute is the case.
    `is_input`: rows come from a case or a table, not from rules.
    """

    name: str
    attributes: tuple[Attribute, ...]
    sentence: str
    span: Span
    is_case: bool = False
    is_input: bool = False
    is_closed: bool = False
    is_single: bool = False
    """A case has at most one row of it, never uncertain and never incomplete."""
    is_required: bool = False
    """A case without it is refused."""
    ask: str | None = None
    always_open: str | None = None
    """Why what is not there is asked for (`document`), whatever the case says; None for other relations."""
    is_refusal: bool = False
    criteria: tuple[Criterion, ...] = ()
    phase: Phase | None = None

    @property
    def arity(self) -> int:
        return len(self.attributes)

    @property
    def can_be_listed_incomplete(self) -> bool:
        return self.is_case and self.is_input and not self.is_single and self.arity > 1

    @property
    def may_be_open(self) -> bool:
        """Whether some case leaves this input open."""
        return self.always_open is not None or not (self.is_single and (self.is_closed or self.is_required))


@record
class Possible:
    """`@[possible("document", relation, "question")]`: the rule makes its head possible, never certain. `question` is
    the name of the judgement that would settle it."""

    why: str
    relation: str | None
    question: str | None = None


@record
class Rule:
    """One rule with one head, as written. `number` counts the program's rules from 0, in file order."""

    number: int
    head: Atom
    body: tuple[Literal, ...]
    span: Span
    doc: str = ""
    possible: Possible | None = None
    criteria: tuple[Criterion, ...] = ()
    says: str = ""
    """How its comparisons read: `{variable}` is replaced, `{count}` by what a count of the body gives."""


@record
class Table:
    """Where the rows of an input relation stand: `.input r(filename=..., delimiter=..., headers=...)`.

    `folder` is the folder of the rule file that says so, named as that file is; `is_csv`: it declares a delimiter."""

    relation: str
    filename: str
    delimiter: str
    headers: bool
    folder: str
    span: Span
    is_csv: bool = False

    @property
    def name(self) -> str:
        """How the file is named beside rule files: relative to its knowledge base."""
        return display_name(PurePosixPath(self.folder) / self.filename)


@record
class CheckedProgram:
    """`strata` lists the names of the relations, those a relation depends on before it; relations that depend on each
    other stand in one stratum. `facts` are the ground facts of known relations, in file order."""

    entry: str
    files: dict[str, str]
    relations: dict[str, Relation]
    rules: tuple[Rule, ...]
    facts: tuple[tuple[Atom, Span], ...]
    strata: tuple[tuple[str, ...], ...]
    tables: tuple[Table, ...]
    outputs: tuple[Table, ...]
    phases: tuple[Phase, ...]
    warnings: tuple[Diagnostic, ...] = field(default=(), compare=False)
    paths: dict[str, str] = field(default_factory=dict, compare=False)
    """Where each of `files` lies."""
    read: dict[str, TableRows] = field(default_factory=dict, compare=False)
    """The rows of its tables, once they are read."""

    @cached_property
    def places(self) -> dict[tuple[str, tuple[Value, ...]], Span]:
        """Where the known rows stand that are written: facts, and the rows of tables."""
        found = {(name, row): rows.span(row) for name, rows in self.read.items() for row in rows}
        return {**found, **{(atom.relation, constants(atom)): span for atom, span in reversed(self.facts)}}

    def folder_of(self, table: Table) -> Path:
        """Where the folder of a known table is."""
        return Path(self.paths[table.span.file]).parent

    def rules_for(self, relation: str) -> Iterator[Rule]:
        return (rule for rule in self.rules if rule.head.relation == relation)

    def inputs(self) -> Iterator[Relation]:
        """The case relations whose rows a case gives, in the order of declaration."""
        return (relation for relation in self.relations.values() if relation.is_case and relation.is_input)


def constants(atom: Atom) -> tuple[Value, ...]:
    """The values of a ground atom."""
    return tuple(argument.value for argument in atom.arguments if isinstance(argument, Constant))


def in_file_order(program: CheckedProgram, relation: str, rows: Iterable[tuple[Value, ...]]) -> list[tuple[Value, ...]]:
    """The rows of a known relation: facts as they stand in the files, then what tables and rules add."""
    facts = (constants(atom) for atom, _ in program.facts if atom.relation == relation)
    places = {row: place for place, row in enumerate(dict.fromkeys(facts))}
    return sorted(rows, key=lambda row: (places.get(row, len(places)), row))
