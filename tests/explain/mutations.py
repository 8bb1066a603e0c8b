"""Every kind of change that can be made to an explanation: what the checker must refuse.

A mutant differs from the explanation at one place. Places are found by walking over all records an explanation is made
of: nodes, steps, attempts, counted rows, sides, conditions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from policy_kb.explain.proof import (
    Absent,
    Attempt,
    Branches,
    Claim,
    Compared,
    Condition,
    Counted,
    CountedRow,
    Derived,
    Doubted,
    Given,
    Node,
    Refuted,
    Side,
    Step,
    Unstated,
)
from policy_kb.source import Span

Path = tuple[str | int, ...]
Change = Callable[[Any, random.Random, list[Any]], Any]
"""What a record becomes, given all nodes of the explanation; None where the change cannot be made there."""

ANSWERS = ("met", "not met", "needs information")
NODES = (Given, Absent, Unstated, Compared, Counted, Derived, Refuted, Doubted, Branches)


def records(root: Node) -> Iterator[tuple[Path, Any]]:
    """Every record below a node, a shared one once, with the way to it."""
    seen: set[int] = set()
    waiting: list[tuple[Path, Any]] = [((), root)]
    while waiting:
        path, found = waiting.pop()
        if type(found) is tuple:
            waiting += [((*path, place), part) for place, part in enumerate(found)]
        elif is_dataclass(found) and not isinstance(found, Span) and id(found) not in seen:
            seen.add(id(found))
            yield path, found
            waiting += [((*path, part.name), getattr(found, part.name)) for part in fields(found)]


def with_change(record: Any, path: Path, changed: Any) -> Any:
    """The explanation in which `changed` stands at the end of the way."""
    if not path:
        return changed
    first, rest = path[0], path[1:]
    if isinstance(first, int):
        return (*record[:first], with_change(record[first], rest, changed), *record[first + 1 :])
    return replace(record, **{first: with_change(getattr(record, first), rest, changed)})


def mutants(root: Node, source: random.Random, kinds: list[str] | None = None) -> Iterator[tuple[str, Node]]:
    """For every kind of change one mutant, changed at a random place; none where there is no such place."""
    places = list(records(root))
    nodes = [record for _, record in places if isinstance(record, NODES)]
    for kind, (types, change) in KINDS.items():
        if kinds is not None and kind not in kinds:
            continue
        fitting = [(path, record) for path, record in places if isinstance(record, types)]
        source.shuffle(fitting)
        for path, record in fitting:
            changed = change(record, source, nodes)
            if changed is not None:
                yield kind, with_change(root, path, changed)
                break


# --- changes ---------------------------------------------------------------------------------------------------------


def other(value: Any) -> Any:
    """Another value of the same sort."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}x"
        case Span():
            return replace(value, line=value.line + 1)
        case Claim(relation=relation, values=values):
            return Claim(relation, (*values[:-1], "x" if values[-1] is None else other(values[-1])))
        case None:
            return 3
    raise AssertionError(value)


def changed(name: str) -> Change:
    return lambda record, source, nodes: replace(record, **{name: other(getattr(record, name))})


def other_answer(name: str) -> Change:
    def change(record: Any, source: random.Random, nodes: list[Any]) -> Any:
        return replace(record, **{name: source.choice([one for one in ANSWERS if one != getattr(record, name)])})

    return change


def without_one(name: str) -> Change:
    def change(record: Any, source: random.Random, nodes: list[Any]) -> Any:
        parts = getattr(record, name)
        if not parts:
            return None
        place = source.randrange(len(parts))
        return replace(record, **{name: parts[:place] + parts[place + 1 :]})

    return change


def with_one_twice(name: str) -> Change:
    def change(record: Any, source: random.Random, nodes: list[Any]) -> Any:
        parts = getattr(record, name)
        return replace(record, **{name: (*parts, source.choice(parts))}) if parts else None

    return change


def exchanged(name: str) -> Change:
    def change(record: Any, source: random.Random, nodes: list[Any]) -> Any:
        parts = list(getattr(record, name))
        if len(parts) < 2:
            return None
        place = source.randrange(len(parts) - 1)
        parts[place], parts[place + 1] = parts[place + 1], parts[place]
        return replace(record, **{name: tuple(parts)})

    return change


def other_binding(record: Any, source: random.Random, nodes: list[Any]) -> Any:
    bindings = list(record.bindings)
    if not bindings:
        return None
    place = source.randrange(len(bindings))
    bindings[place] = (bindings[place][0], other(bindings[place][1]))
    return replace(record, bindings=tuple(bindings))


def other_relation(record: Any, source: random.Random, nodes: list[Any]) -> Any:
    return replace(record, claim=record.claim._replace(relation=f"{record.claim.relation}_else"))


def other_operator(record: Any, source: random.Random, nodes: list[Any]) -> Any:
    return replace(record, operator=source.choice([one for one in ("<", ">=", "=", "!=") if one != record.operator]))


def same_node(one: Any, another: Any) -> bool:
    """Whether two nodes may say the same."""
    return type(one) is type(another) and getattr(one, "claim", None) == getattr(another, "claim", None)


def node_from_elsewhere(record: Any, source: random.Random, nodes: list[Any]) -> Any:
    if isinstance(record, Branches):
        return None
    others = [node for node in nodes if not same_node(record, node)]
    return source.choice(others) if others else None


def without_the_open_branch(record: Any, source: random.Random, nodes: list[Any]) -> Any:
    return None if record.otherwise is None else replace(record, otherwise=None, unstated=None)


def with_an_open_branch(record: Any, source: random.Random, nodes: list[Any]) -> Any:
    if record.otherwise is not None or not record.rows:
        return None
    return replace(record, otherwise=record.rows[0][1], unstated=Unstated(record.claim, "not stated"))


def another_row_below_a_branch(record: Any, source: random.Random, nodes: list[Any]) -> Any:
    """Two rows exchange what becomes of them."""
    if len(record.rows) < 2:
        return None
    (one, then), (another, after), *rest = record.rows
    return replace(record, rows=((one, after), (another, then), *rest)) if then.bindings != after.bindings else None


def open_treated_as_absent(record: Any, source: random.Random, nodes: list[Any]) -> Any:
    return Absent(record.claim, None)


def doubt_as_refutation(record: Any, source: random.Random, nodes: list[Any]) -> Any:
    return Refuted(record.claim, tuple(attempt for attempt in record.attempts if attempt.answer == "not met"))


def refutation_as_doubt(record: Any, source: random.Random, nodes: list[Any]) -> Any:
    return Doubted(record.claim, record.attempts)


def proof_as_doubt(record: Any, source: random.Random, nodes: list[Any]) -> Any:
    return Doubted(record.claim, (Attempt(record.rule, "met", record.bindings, record.steps),))


def another_settles(record: Any, source: random.Random, nodes: list[Any]) -> Any:
    return replace(record, settles=f"{record.settles or 'Is it so'}?")


def another_bound(record: Any, source: random.Random, nodes: list[Any]) -> Any:
    return replace(record, bound=replace(record.bound, value=other(record.bound.value)))


KINDS: dict[str, tuple[tuple[type, ...], Change]] = {
    "a row's value": ((Given,), changed("claim")),
    "a row's relation": ((Given,), other_relation),
    "a row's place": ((Given,), changed("span")),
    "a row's certainty": ((Given,), changed("is_certain")),
    "whether a row is known": ((Given,), changed("is_known")),
    "an absent value": ((Absent,), changed("claim")),
    "where an absence is stated": ((Absent,), changed("span")),
    "whether an absence is known": ((Absent,), changed("is_known")),
    "a row on record is left out": ((Absent,), without_one("instead")),
    "a row on record stands twice": ((Absent,), with_one_twice("instead")),
    "an open value": ((Unstated,), changed("claim")),
    "why a relation is open": ((Unstated,), changed("why")),
    "what is open is absent": ((Unstated,), open_treated_as_absent),
    "how values are compared": ((Compared,), other_operator),
    "whether a comparison holds": ((Compared,), changed("holds")),
    "a value compared": ((Side,), changed("value")),
    "how a side is written": ((Side,), changed("written")),
    "whether a side is a date": ((Side,), changed("is_date")),
    "how a number is compared": ((Counted,), other_operator),
    "the least number": ((Counted,), changed("least")),
    "the greatest number": ((Counted,), changed("most")),
    "the bound of a number": ((Counted,), another_bound),
    "the answer of a count": ((Counted,), other_answer("answer")),
    "a row counted is left out": ((Counted,), without_one("rows")),
    "a row is counted twice": ((Counted,), with_one_twice("rows")),
    "the order of rows counted": ((Counted,), exchanged("rows")),
    "what closes a count is left out": ((Counted,), without_one("closing")),
    "what is open of a count is left out": ((Counted,), without_one("unstated")),
    "an atom counted is left out": ((Counted,), without_one("of")),
    "a negation in a count is left out": ((Counted,), without_one("without")),
    "a condition of a count is left out": ((Counted,), without_one("conditions")),
    "a condition's value": ((Condition,), changed("right")),
    "the value of a row counted": ((CountedRow,), other_binding),
    "the certainty of a row counted": ((CountedRow,), changed("is_certain")),
    "the proof of a row counted is left out": ((CountedRow,), without_one("nodes")),
    "the rule of a proof": ((Derived,), changed("rule")),
    "what a proof proves": ((Derived,), changed("claim")),
    "a binding of a proof": ((Derived,), other_binding),
    "a step of a proof is left out": ((Derived,), without_one("steps")),
    "a step of a proof stands twice": ((Derived,), with_one_twice("steps")),
    "the order of the steps of a proof": ((Derived,), exchanged("steps")),
    "a proof is a doubt": ((Derived,), proof_as_doubt),
    "what is refuted or doubted": ((Refuted, Doubted), changed("claim")),
    "an attempt is left out": ((Refuted, Doubted), without_one("attempts")),
    "an attempt stands twice": ((Refuted, Doubted), with_one_twice("attempts")),
    "the order of attempts": ((Refuted, Doubted), exchanged("attempts")),
    "a refutation is a doubt": ((Refuted,), refutation_as_doubt),
    "a doubt is a refutation": ((Doubted,), doubt_as_refutation),
    "the rule of an attempt": ((Attempt,), changed("rule")),
    "the answer of an attempt": ((Attempt,), other_answer("answer")),
    "a binding of an attempt": ((Attempt,), other_binding),
    "a step of an attempt is left out": ((Attempt,), without_one("steps")),
    "a step of an attempt stands twice": ((Attempt,), with_one_twice("steps")),
    "the order of the steps of an attempt": ((Attempt,), exchanged("steps")),
    "what an attempt leaves to be settled": ((Attempt,), another_settles),
    "the place of a step": ((Step,), changed("place")),
    "the answer of a step": ((Step,), other_answer("answer")),
    "whether a step is negated": ((Step,), changed("is_negated")),
    "what branches": ((Branches,), changed("claim")),
    "a branch is left out": ((Branches,), without_one("rows")),
    "a branch stands twice": ((Branches,), with_one_twice("rows")),
    "the order of branches": ((Branches,), exchanged("rows")),
    "what becomes of two branches": ((Branches,), another_row_below_a_branch),
    "the open branch is left out": ((Branches,), without_the_open_branch),
    "an open branch is added": ((Branches,), with_an_open_branch),
    "a node from elsewhere": (NODES, node_from_elsewhere),
}
