"""A whole program, two-valued, as Soufflé would run it: every relation, whatever its annotations say."""

from __future__ import annotations

from itertools import groupby
from math import prod

from policy_kb.check.checked import CheckedProgram, constants
from policy_kb.evaluate.bottom_up import BottomUp
from policy_kb.evaluate.plain import Engine, PlainProgram, PlainRule, Row, Rows, plain_program
from policy_kb.evaluate.with_pydatalog import WithPyDatalog
from policy_kb.expressions import EvaluationStopped
from policy_kb.numbers import wrapped
from policy_kb.parse.tree import Atom

MOST_ROWS_FOR_PYDATALOG = 10_000
"""pyDatalog takes about a quarter of a millisecond for every row that a literal matches."""


def evaluate_program(program: CheckedProgram, tables: Rows) -> dict[str, set[Row]]:
    """The rows of every relation; `tables` has those of the input relations.

    Strata without recursion run on pyDatalog, as many together as follow each other; recursive ones, and those that
    read very many rows, run bottom-up. Raises EvaluationStopped where a value does not exist, such as a
    division by zero.
    """
    rows: dict[str, set[Row]] = {name: set(tables.get(name, ())) for name in program.relations}
    for atom, _ in program.facts:
        rows[atom.relation].add(constants(atom))
    for part, is_recursive in parts(plain_program(PlainRule(rule.head, rule.body) for rule in program.rules)):
        given = {name: rows[name] for name in part.arities}
        is_large = may_match(part, given) > MOST_ROWS_FOR_PYDATALOG
        make = BottomUp if is_recursive or is_large else WithPyDatalog
        engine: Engine = make(part, whole_number=wrapped)
        try:
            rows.update(engine.evaluate(given))
        except EvaluationStopped as stopped:
            from policy_kb.evaluate.origins import facts_behind

            raise stopped.in_files(program.files, facts_behind(part, stopped)) from None
    return rows


def may_match(program: PlainProgram, given: Rows) -> int:
    """How many rows the bodies of a program without recursion may match: each atom with each row of the others."""
    most: dict[str, int] = {name: len(rows) for name, rows in given.items()}
    whole = sum(most.values())
    for stratum in program.strata:
        for rule in program.rules:
            if rule.head.relation in stratum:
                atoms = [literal.relation for literal in rule.body if isinstance(literal, Atom)]
                number = min(prod(max(1, most.get(name, 0)) for name in atoms), 2**63)
                most[rule.head.relation] = most.get(rule.head.relation, 0) + number
                whole += number
    return whole


def parts(program: PlainProgram) -> list[tuple[PlainProgram, bool]]:
    """The program cut into programs to be evaluated one after the other, and whether each is recursive."""
    cut = []
    for is_recursive, strata in groupby(program.strata, program.is_recursive):
        relations = {relation for stratum in strata for relation in stratum}
        rules = [rule for rule in program.rules if rule.head.relation in relations]
        if rules:
            cut.append((plain_program(rules), is_recursive))
    return cut
