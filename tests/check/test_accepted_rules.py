"""What is right is accepted without a word: a false alarm is worse than a miss."""

from __future__ import annotations

import pytest

from policy_kb.check.fixed_names import check_fixed_facts
from policy_kb.check.program import check_program
from policy_kb.evaluate.known import evaluate_known
from policy_kb.parse import tree
from policy_kb.parse.grammar import parse_items
from policy_kb.parse.tree import Program
from tests.evaluate.running import check_text

BEFORE = """.type Name <: symbol
.type Nick <: Name
.decl p(x: number, name: Name)
.input p
.decl q(nick: Nick, real: float)
.input q
.decl out(x: number)
.output out
.decl text(x: symbol)
.output text, p, q
"""

CASES = """.type Case <: symbol
.decl request(case: Case, drug: symbol, phase: symbol, received: number)
.input request
.decl relapse(case: Case, on: number)
.input relapse
.decl limit(n: number)
limit(2).
.output limit
.decl met(case: Case)
.output met
"""


@pytest.mark.parametrize(
    "rule",
    [
        # types
        "text(name) :- p(_, name).",
        "text(nick) :- q(nick, _), p(_, nick).",
        "text(nick) :- q(nick, _), p(_, name), nick = name.",
        "q(\"Al\", 1).",
        "q(\"Al\", 1 / 2.0).",
        "p(1, cat(\"a\", \"b\")).",
        "p(1, \"a\" + \"b\").",
        "q(nick, real * 2) :- q(nick, real), real > 1.",
        "out(to_number(real)) :- q(_, real).",
        "out(n) :- n = to_number(\"1\").",
        "text(to_string(x)) :- p(x, _).",
        # binding
        "out(x) :- x = y + 1, y = 2 * z, p(z, _).",
        "out(x) :- x = 1.",
        "out(1) :- 1 < 2.",
        "out(x) :- p(x, _), !q(_, _).",
        "out(x) :- p(x, name), p(x + 1, name).",
        "out(x) :- p(x, _why).",
        # aggregates have their own variables
        "out(n) :- n = sum x : { p(x, _) }, 1 < count : { q(x, _) }.",
        "out(x) :- x = min x : { p(x, _) }.",
        "out(n) :- p(x, _), n = sum y - x : { p(y, _), y > x }.",
        "out(n) :- p(x, name), n = max m : { p(m, name), count : { p(x, other), p(m, other) } > x }.",
        "out(count : { p(_, _) }).",
        "out(n) :- n = count : p(_, \"a\").",
        # several at once
        "out(x), text(name) :- p(x, name).",
        "out(x) :- out(y), x = y - 1, x > 0.",
        ".decl a(x: number) .decl b(x: number) a(1). b(x) :- a(x). a(x) :- b(x). out(x) :- b(x).",
    ],
)
def test_a_rule_is_accepted(rule: str) -> None:
    assert check_text(BEFORE + rule).warnings == ()


@pytest.mark.parametrize(
    "rule",
    [
        "met(case) :- relapse(case, _).",
        "met(case) :- request(case, _, _, _), !relapse(case, _).",
        "met(case) :- request(case, _, _, on), count : { relapse(case, when), when < on } >= 2.",
        "met(case) :- request(case, _, _, _), limit(n), n <= count : { relapse(case, _) }.",
        "met(case) :- request(case, drug, _, _), drug != \"other\", sum n : { limit(n) } > 1.",
        "met(whose) :- relapse(whose, on), on > 3.",
        ".decl before(on: number) before(on) :- limit(on). before(on - 1) :- before(on), on > 0.\n"
        "met(case) :- relapse(case, on), before(on).",
        "/// in doubt: {case}\n.decl doubt(case: Case)\n/// a second look\n@[possible]\n"
        "doubt(case) :- relapse(case, 1).\n"
        "met(case) :- doubt(case).",
    ],
)
def test_a_rule_about_a_case_is_accepted(rule: str) -> None:
    assert check_text(CASES + rule).warnings == ()


def test_a_program_without_cases_may_use_the_fixed_names() -> None:
    assert check_text(".decl reading(x: number)\n.output reading\nreading(1).\n").warnings == ()


def test_rules_of_one_program_may_stand_in_any_order() -> None:
    lines = (BEFORE + "out(x) :- p(x, _).").splitlines()
    text = "\n".join(reversed(lines))
    items, problems = parse_items(text, "x.dl")
    assert check_program(Program("x.dl", tuple(items), {"x.dl": text}), problems).warnings == ()


def test_the_names_of_aggregates_own_variables_are_shown_as_they_are_written() -> None:
    rule = check_text(BEFORE + "out(n) :- n = sum x : { p(x, _) }, 1 < count : { q(x, _) }.").rules[0]
    assert [str(variable) for literal in rule.body for variable in tree.variables(literal)] == ["n", "x", "x", "x"]


POLICY = """
.type Case <: symbol
.decl item(name: symbol)
item("X").
/// {item} is asked for, {phase}, received on day {received}
@[ask("What is asked for?")]
.decl request(case: Case, @[in(item)] item: symbol, @[one_of("first", "again")] phase: symbol, received: number)
.input request
/// {what} was found
@[ask("What was found?")]
.decl finding(case: Case, what: symbol)
.input finding
/// an exemption is {status}
@[ask("Is there an exemption?")] @[closed]
.decl exemption(case: Case, status: symbol)
.input exemption
.decl covers(item: symbol)
covers("X").
.decl approval(phase: symbol, amount: number, unit: symbol)
.decl reading(name: symbol, choice: symbol)
.decl alternative(name: symbol, choice: symbol)
/// all is met
@[policy("P-1", phase = "first", title = "A policy", revised = "2025-01-01")]
.decl met(case: Case)
/// the first is met
@[criterion("first 1")]
.decl one(case: Case)
/// the second is met
@[criterion("first 2")]
.decl two(case: Case)
met(case) :- request(case, _, _, _), one(case), two(case).
one(case) :- finding(case, "a").
"""


@pytest.mark.parametrize(
    "rules",
    [
        'two(case) :- finding(case, "b"). two(case) :- exemption(case, "approved").',
        'two(case) :- request(case, _, _, _), !exemption(case, "refused").',
        "two(case) :- request(case, _, _, _), count : { exemption(case, _) } < 2.",
        'approval("first", 1, "doses"). approval("first", 1, "months"). two(case) :- finding(case, "b").',
        'reading("strict", "yes"). alternative("strict", "no").\n'
        'two(case) :- finding(case, "b"). two(case) :- finding(case, "c"), reading("strict", "no").',
        'reading("strict", "yes"). alternative("strict", "no").\n'
        'two(case) :- finding(case, "b"), reading("strict", "yes"). two(case) :- finding(case, "c").',
        'reading("strict", "yes"). alternative("strict", "no"). alternative("strict", "other").\n'
        'two(case) :- finding(case, what), reading("strict", what).',
        '/// a part\n@[criterion("first 2.a.i")]\ntwo(case) :- finding(case, "b").',
        '/// a part of a section that has a heading only\n@[criterion("first 2.a")]\n'
        'two(case) :- finding(case, "b").\n@[criterion("first 2.b")]\ntwo(case) :- finding(case, "c").',
    ],
)
def test_what_a_policy_says_about_itself_is_accepted(rules: str) -> None:
    text = POLICY + rules
    program = check_text(text)
    found = check_fixed_facts(program, evaluate_known(program, {}))
    assert [*program.warnings, *found] == []

