"""The finished model of one case: what is certain, what is possible, what is open. It is what evaluation hands on."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from policy_kb.answers import answered
from policy_kb.check.checked import Rule
from policy_kb.evaluate.plain import Row, Rows
from policy_kb.evaluate.worlds import CASE, Worlds, certain, fired, open_, possible
from policy_kb.load.facts import Facts
from policy_kb.record import record


@record
class Model:
    """The three-valued model of one case. Rows begin with the case.

    `certain` and `possible` have every case relation of the part of the policy that was evaluated; `open` names those
    of which anything at all may hold. `holds` gives the answer for the body of each rule that states a criterion, by
    the rule's number.
    """

    case: str
    certain: Mapping[str, AbstractSet[Row]]
    possible: Mapping[str, AbstractSet[Row]]
    open: frozenset[str]
    holds: Mapping[int, str]

    def answer(self, relation: str) -> str:
        """Whether the relation has a row for the case: `met`, `not met` or `needs information`."""
        return answered(bool(self.certain[relation]), bool(self.possible[relation]) or relation in self.open)


def given_rows(worlds: Worlds, facts: Facts) -> dict[str, set[Row]]:
    """What a case gives to the plain program."""
    given: dict[str, set[Row]] = {CASE: {(facts.case,)}}
    for relation, rows in facts.rows.items():
        if relation not in worlds.relations:
            continue
        given[certain(relation)] = {row.values for row in rows if not row.is_uncertain}
        given[possible(relation)] = {row.values for row in rows}
        if relation in worlds.openable:
            given[open_(relation)] = {(facts.case,)} if relation in facts.open else set()
    return given


def model_of(worlds: Worlds, facts: Facts, rows: Rows) -> Model:
    """The model of a case, from the rows an engine found for the plain program."""
    empty: frozenset[Row] = frozenset()
    cases = [name for name in worlds.relations if certain(name) in worlds.program.arities]

    def holds(rule: Rule) -> str:
        return answered(bool(rows.get(certain(fired(rule)))), bool(rows.get(possible(fired(rule)))))

    return Model(
        facts.case,
        {name: rows.get(certain(name), empty) for name in cases},
        {name: rows.get(possible(name), empty) for name in cases},
        frozenset(name for name in cases if rows.get(open_(name))),
        {rule.number: holds(rule) for rule in worlds.stated},
    )
