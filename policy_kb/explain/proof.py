"""Proofs: what an explanation is made of.

A claim is a relation with values, `None` standing for any. A proof says why a claim holds, a refutation why it does not
in any world, and a doubt what could still make it hold. Nodes are shared, never cyclic: the same claim is explained by
the same node wherever it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from policy_kb.explain.phrasing import Saying
from policy_kb.parse.tree import Value
from policy_kb.record import entity, field, record
from policy_kb.source import Span

Bindings = tuple[tuple[str, Value], ...]
"""The values of a rule's variables, by name."""


MOST_WITHIN = 20
"""Rows of a list within what is said of one row of another; how many more there are is said. Rows that a rule compares
with each other would be listed once for each other row, and a case of twice the size explained with four times as much.
"""


class Claim(NamedTuple):
    """A relation with values, None standing for any."""

    relation: str
    values: tuple[Value | None, ...]

    @property
    def is_of_a_row(self) -> bool:
        """Whether it has values beside the case: a case may have as many such claims as rows."""
        return any(value is not None for value in self.values[1:])


@entity
class Given:
    """A row of the case, or a known fact. `is_certain` is False for a row that may or may not hold."""

    claim: Claim
    span: Span | None
    is_known: bool = False
    is_certain: bool = True


@entity
class Absent:
    """There is no such record, and why that is known: the relation is stated at `span`, whatever its rows.

    `instead` are the rows that are on record, those most like it first, and `more` how many are left out; `is_known`:
    the rule files say so for every case.
    """

    claim: Claim
    span: Span | None
    instead: tuple[Given, ...] = ()
    is_known: bool = False
    more: int = 0


@entity
class Closed:
    """An input has no further rows that match, and why that is known: it is stated at `span`. `besides` are the rows
    that do not match, those most like it first, and `more` how many are left out."""

    claim: Claim
    span: Span | None
    besides: tuple[Given, ...] = ()
    more: int = 0


@entity
class Unstated:
    """The relation is open: anything may hold. `why` is the reason, as in `Facts.open`."""

    claim: Claim
    why: str


@record
class Side:
    """One side of a comparison: how it is written, how a reader is told of it, its value, its unit, and the text
    that the case writes for it."""

    written: str
    value: Value
    is_date: bool = False
    spoken: str = ""
    unit: str = ""
    text: str | None = None


@entity
class Compared:
    operator: str
    left: Side
    right: Side
    holds: bool
    says: Saying | None = None
    """The sentence that the rule has for it."""


@record
class Condition:
    """A comparison inside a count: `left` as it is written, `right` its value, or how it is written where it has none
    outside the count."""

    left: str
    operator: str
    right: Value
    is_date: bool = False
    spoken: str = ""
    """How a reader is told of the left side."""


@entity
class CountedRow:
    """One row counted: the values of the body's variables, and the proofs of its atoms."""

    bindings: Bindings
    is_certain: bool
    nodes: tuple[Node, ...]


@entity
class Missed:
    """A row that comes near to being counted: the values of the body's variables, what its atoms rest on, and the
    literals that fail."""

    bindings: Bindings
    nodes: tuple[Node, ...]
    steps: tuple[Step, ...]


@entity
class Counted:
    """A count compared with a bound: at least `least` rows, at most `most` (None: no bound, because of `unstated`).

    `rows` are in the order of their values; within a row of another list the first `MOST_WITHIN`, certain ones before
    others, and `more` is how many are left out. Where the answer rests on there being no further row, `closing` says
    what closes the relations counted, and `missed` are the nearest of what is not counted (`more_missed`: how many
    further ones come near).
    """

    operator: str
    least: int
    most: int | None
    bound: Side
    rows: tuple[CountedRow, ...]
    closing: tuple[Closed, ...]
    unstated: tuple[Unstated, ...]
    answer: str
    of: tuple[Claim, ...]
    without: tuple[Claim, ...]
    conditions: tuple[Condition, ...]
    """What is counted: rows of these claims, without rows of those, under conditions."""
    more: int = 0
    missed: tuple[Missed, ...] = ()
    more_missed: int = 0
    says: Saying | None = None


@entity
class Aggregated:
    """What an aggregate over known relations is made of: all its rows, or of `min` and `max` those that have the
    value, which is None where there are no rows. What it reads is said as for `Counted`."""

    function: str
    value: Value | None
    rows: tuple[CountedRow, ...]
    of: tuple[Claim, ...]
    without: tuple[Claim, ...]
    conditions: tuple[Condition, ...]
    more: int = 0
    written: str = ""
    is_date: bool = False
    """How a reader is told of it, `the greatest day`, and whether the value is one."""


@entity
class Derived:
    """The claim follows from a rule whose literals all hold; `steps` are in the order of the body."""

    claim: Claim
    rule: int
    bindings: Bindings
    steps: tuple[Step, ...]


@entity
class Refuted:
    """No rule gives the claim in any world: an attempt for every rule whose head fits."""

    claim: Claim
    attempts: tuple[Attempt, ...]


@entity
class Doubted:
    """Some rule may give the claim and none surely does: an attempt for every rule whose head fits."""

    claim: Claim
    attempts: tuple[Attempt, ...]


@entity
class Branches:
    """A positive literal with variables that are not bound yet: the rows that match, each with what becomes of the rest
    of the body, and what becomes of it where the relation is open.

    Where the literal fails, `rows` are all possible rows, and of those that come near (their node is a refutation) the
    nearest; `closed` says why there are no further ones. Where it may hold, they are those with which the rest does not
    fail, and behind them the certain ones with which it does. The nearest stand first. Within a row of another list
    there are `MOST_WITHIN`. `more` is how many are left out, `more_possible` how many of these do not fail.
    """

    claim: Claim
    rows: tuple[tuple[Node, Attempt], ...]
    unstated: Unstated | Doubted | None = None
    otherwise: Attempt | None = None
    more: int = 0
    more_possible: int = 0
    closed: Closed | None = None


HEAD = -1

Node = Given | Absent | Closed | Unstated | Aggregated | Compared | Counted | Derived | Refuted | Doubted | Branches


@entity
class Step:
    """A literal of a body, by its place there from 0, with the answer for it and the reason.

    `place` is `HEAD` for what the head computes: it must equal the value of the claim. It is the place of an atom for
    what the atom computes, where that is known only after its row. A literal that rows decide about has a step
    for each: a negated one that fails, or one that uncertain rows of an input may decide. `more` are further such rows
    that are left out. `behind` is what the aggregates over known relations in it are made of. `would_count`: it asks
    for a reading that is not in force, and under that reading the claim is met.
    """

    place: int
    answer: str
    node: Node
    is_negated: bool = False
    more: int = 0
    behind: tuple[Aggregated, ...] = ()
    would_count: bool = False


@entity
class Attempt:
    """What becomes of a rule's body, in the order in which it is written: in a refutation the literals that fail, and
    those that give them their values; in a doubt all of them. `bindings` are the values that the literals give to
    variables that have none from the claim, or from a row above.

    `settles` is what a `@[possible]` rule leaves to be settled, where nothing else stands in its way.
    """

    rule: int
    answer: str
    bindings: Bindings
    steps: tuple[Step, ...]
    settles: str | None = None


@record
class OpenPoint:
    """Something that can still change the decision.

    `why`: `not stated`, `incomplete`, `uncertain`, or the word of an `@[always_open]` or `@[possible]` annotation.
    `criteria` are the paragraphs that wait for it; `ask` the question that would settle it.
    """

    relation: str
    why: str
    criteria: tuple[str, ...]
    ask: str


def _none(number: str) -> list[Node | Attempt]:
    return []


@record
class Explanation:
    """Why the root of a phase is met, not met or open.

    `root` is the proof, refutation or doubt. `parts` is what becomes of each of the root's rules, with every literal:
    also those that a refutation leaves out because they hold. Several rules are alternatives, of which one is enough.
    `criteria` are the answers, `readings` the readings relied on.
    """

    root: Node
    parts: tuple[Attempt, ...]
    answer: str
    criteria: Mapping[str, str]
    missing: tuple[OpenPoint, ...] = ()
    readings: Mapping[str, str] = field(default_factory=dict)
    stating: Callable[[str], list[Node | Attempt]] = field(default=_none, compare=False)
    """The nodes that state a criterion of the phase, by its number: also one that the root does not rest on. They are
    made when they are asked for, and all of them where the explanation is pickled."""

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "stating": {number: self.stating(number) for number in self.criteria}.__getitem__}
