"""What is known for every case: drug tables, limits, readings, and what rules derive from them."""

from __future__ import annotations

from collections.abc import Mapping

from policy_kb.check.checked import CheckedProgram, constants
from policy_kb.evaluate.bottom_up import BottomUp
from policy_kb.evaluate.plain import PlainRule, Row, Rows, plain_program
from policy_kb.expressions import EvaluationStopped


def evaluate_known(
    program: CheckedProgram, tables: Rows, readings: Mapping[str, str] | None = None
) -> dict[str, set[Row]]:
    """The rows of every known relation; `tables` has those of its input relations.

    `readings` replaces the choice of the readings it names; they are not checked here.
    """
    given: dict[str, set[Row]] = {name: set(rows) for name, rows in tables.items()}
    for atom, _ in program.facts:
        given.setdefault(atom.relation, set()).add(constants(atom))
    if readings:
        kept = {row for row in given.get("reading", set()) if row[0] not in readings}
        given["reading"] = kept | set(readings.items())
    known = {name: relation.arity for name, relation in program.relations.items() if not relation.is_case}
    rules = (PlainRule(rule.head, rule.body) for rule in program.rules if rule.head.relation in known)
    plain = plain_program(rules, known)
    try:
        found = BottomUp(plain).evaluate(given)
    except EvaluationStopped as stopped:
        from policy_kb.evaluate.origins import facts_behind

        raise stopped.in_files(program.files, facts_behind(plain, stopped)) from None
    return {name: found[name] for name in known}
