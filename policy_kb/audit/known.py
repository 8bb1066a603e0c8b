"""What is known for every case, worked out a second time: rule after rule, again and again, until nothing is new."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from policy_kb.audit.statuses import Bodies, Row, Statuses, Table
from policy_kb.check.checked import constants


def known_tables(
    bodies: Bodies, tables: Mapping[str, AbstractSet[Row]], readings: Mapping[str, str]
) -> dict[str, Table]:
    """The rows of every known relation. `tables` has those read from table files; `readings` replaces the choice of the
    readings it names, which are not checked here."""
    program = bodies.program
    rows: dict[str, set[Row]] = {name: set() for name, one in program.relations.items() if not one.is_case}
    for name, given in tables.items():
        rows[name].update(given)
    for atom, _ in program.facts:
        rows[atom.relation].add(constants(atom))
    if readings:
        rows["reading"] = {row for row in rows["reading"] if row[0] not in readings} | set(readings.items())
    found = {name: Table(those) for name, those in rows.items()}
    for stratum in program.strata:
        rules = [rule for name in stratum if name in rows for rule in bodies.rules.get(name, ())]
        is_new = bool(rules)
        while is_new:
            statuses = Statuses(bodies, found, None)
            is_new = False
            for rule in rules:
                solutions = statuses.solve(bodies.parts[rule.number], {}, True)
                heads = {statuses.row(rule.head.arguments, solution) for solution in solutions}
                derived = {row for row in heads if len(row) == len(rule.head.arguments)}
                name = rule.head.relation
                if not derived <= found[name].rows:
                    found[name], is_new = Table(found[name].rows | derived), True
    return found
