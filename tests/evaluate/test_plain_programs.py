"""Programs without cases: both engines give the same rows, and so does running them part by part."""

from __future__ import annotations

from hypothesis import assume, given, settings

from policy_kb.check.checked import CheckedProgram, constants
from policy_kb.diagnostics import RulesRefused
from policy_kb.evaluate.bottom_up import BottomUp
from policy_kb.evaluate.plain import PlainProgram, PlainRule, Row, plain_program
from policy_kb.evaluate.program import evaluate_program, parts
from policy_kb.evaluate.with_pydatalog import WithPyDatalog
from tests.evaluate.running import check_text
from tests.strategies.plain_programs import plain_programs

FEWER = settings(max_examples=settings.default.max_examples // 4)


def accepted(text: str) -> CheckedProgram:
    try:
        return check_text(text)
    except RulesRefused:
        assume(False)
        raise


def as_plain(program: CheckedProgram) -> tuple[PlainProgram, dict[str, set[Row]]]:
    facts: dict[str, set[Row]] = {name: set() for name in program.relations}
    for atom, _ in program.facts:
        facts[atom.relation].add(constants(atom))
    arities = {name: relation.arity for name, relation in program.relations.items()}
    return plain_program((PlainRule(rule.head, rule.body) for rule in program.rules), arities), facts


@given(plain_programs())
def test_the_engines_agree(text: str) -> None:
    program = accepted(text)
    plain, facts = as_plain(program)
    rows = BottomUp(plain).evaluate(facts)
    assert evaluate_program(program, {}) == rows
    if not any(is_recursive for _, is_recursive in parts(plain)):
        assert WithPyDatalog(plain).evaluate(facts) == rows


@given(plain_programs())
@FEWER
def test_rows_known_to_all_evaluations_count_as_rows_given_to_one(text: str) -> None:
    plain, facts = as_plain(accepted(text))
    engine = BottomUp(plain, facts)
    assert engine.evaluate({}) == engine.evaluate({}) == BottomUp(plain).evaluate(facts)


@given(plain_programs())
@FEWER
def test_the_order_of_rules_and_rows_does_not_matter(text: str) -> None:
    lines = text.splitlines()
    declarations = [line for line in lines if line.startswith(".decl")]
    rules = [line for line in lines if not line.startswith(".decl")]
    turned = "\n".join([*declarations, *reversed(rules), *rules[:3]])
    assert evaluate_program(accepted(turned), {}) == evaluate_program(accepted(text), {})
