"""What other languages write is refused by its name, with what to write instead; what the hint says is accepted."""

from __future__ import annotations

import pytest

from policy_kb.check.program import check_program
from policy_kb.diagnostics import RulesRefused
from policy_kb.parse.grammar import parse_items
from policy_kb.parse.tree import Program

BEFORE = """.type Date <: number
.functor date(written: symbol): Date
.functor rounded(value: float, digits: number): float
.functor rounded_up(value: float, digits: number): float
.decl r(x: number)
.decl s(x: number, text: symbol)
.decl on(day: Date)
.input r, s, on
.decl out(x: number)
.output out, r, s, on
"""

SPELLINGS = [
    ("out(x) :- r(x), round(x) > 3.", "round", "`@rounded(x, 0)`", "out(x) :- r(x), @rounded(x, 0) > 3."),
    ("out(x) :- r(x), y = ceil(x / 2), y > 1.", "ceil", "@rounded_up(x, 0)",
     "out(x) :- r(x), y = @rounded_up(x / 2, 0), y > 1."),
    ("out(x) :- r(x), x == 3.", "==", "`=`", "out(x) :- r(x), x = 3."),
    ("out(x) :- r(x), x <> 3.", "<>", "`!=`", "out(x) :- r(x), x != 3."),
    ("out(x) :- r(x), x =< 3.", "=<", "`<=`", "out(x) :- r(x), x <= 3."),
    ("out(x) :- r(x), x => 3.", "=>", "`>=`", "out(x) :- r(x), x >= 3."),
    ("out(x) :- r(x), x \u2265 3.", "\u2265", "`>=`", "out(x) :- r(x), x >= 3."),
    *(
        (f"out(x) :- r(x), y = {word}, x > y.", word.partition("(")[0].partition(" ")[0],
         "`to_float(sum x : { r(x) }) / count : { r(_) }`",
         "out(x) :- r(x), y = to_float(sum z : { r(z) }) / count : { r(_) }, x > y.")
        for word in ("mean(x)", "avg(x)", "average(x)", "AVG(x)", "avg z : { r(z) }")
    ),
    ("out(x) :- r(x) && s(x, _).", "&&", "`,`", "out(x) :- r(x), s(x, _)."),
    ("out(x) :- r(x) and s(x, _).", "and", "`,`", "out(x) :- r(x), s(x, _)."),
    ("out(x) :- r(x), x > 1 AND x < 3.", "AND", "`,`", "out(x) :- r(x), x > 1, x < 3."),
    ("out(x) :- r(x) or s(x, _).", "or", "one rule for each", "out(x) :- r(x).\nout(x) :- s(x, _)."),
    ("out(x) :- r(x) || s(x, _).", "||", "one rule for each", "out(x) :- r(x).\nout(x) :- s(x, _)."),
    ("out(x) :- r(x) ; s(x, _).", ";", "one rule for each", "out(x) :- r(x).\nout(x) :- s(x, _)."),
    ("out(x) :- r(x), not s(x, _).", "not", "`!`", "out(x) :- r(x), !s(x, _)."),
    ("out(x) :- r(x), NOT s(x, _).", "NOT", "`!`", "out(x) :- r(x), !s(x, _)."),
    ("out(x) :- r(x), not(s(x, _)).", "not", "`!`", "out(x) :- r(x), !s(x, _)."),
    ("out(x) if r(x).", "if", "`:-`", "out(x) :- r(x)."),
    ("out(x) <- r(x).", "<-", "`:-`", "out(x) :- r(x)."),
    ("if r(x) then out(x).", "if", "`:-`", "out(x) :- r(x)."),
    ("out(x) :- s(x, 'a').", "'", '`"..."`', 'out(x) :- s(x, "a").'),
    ("out(x) :- s(x, \u201ca\u201d).", "\u201c", '`"..."`', 'out(x) :- s(x, "a").'),
    ("out(x) :- r(x), 2 <= COUNT : { r(_) }.", "COUNT", "`count`", "out(x) :- r(x), 2 <= count : { r(_) }."),
    ("out(x) :- r(x), 2 <= SUM y : { r(y) }.", "SUM", "`sum`", "out(x) :- r(x), 2 <= sum y : { r(y) }."),
    ("out(x) :- r(x), count(r(_)) >= 2.", "count", "`count : { r(x) }`", "out(x) :- r(x), count : { r(_) } >= 2."),
    ("out(x) :- r(x), TRUE.", "TRUE", "`true`", "out(x) :- r(x), true."),
    (".DECL q(x: number)", ".DECL", "`.decl`", "\n.decl q(x: number)\n.output q\nq(1)."),
    ("out(1) :- on(day), day > 2025-07-15.", "2025-07-15", '`@date("2025-07-15")`',
     'out(1) :- on(day), day > @date("2025-07-15").'),
    ('out(1) :- on(day), day > "2025-07-15".', "2025-07-15", '`@date("2025-07-15")`',
     'out(1) :- on(day), day > @date("2025-07-15").'),
    ('out(1) :- on(day), day > date("2025-07-15").', "date", "`@`", 'out(1) :- on(day), day > @date("2025-07-15").'),
    ('out(x) :- s(x, text), text contains "a".', "contains", '`contains("part", text)`',
     'out(x) :- s(x, text), contains("a", text).'),
    ('out(x) :- s(x, text), text like "a%".', "like", '`match("pattern", text)`',
     'out(x) :- s(x, text), match("a.*", text).'),
    ("out(x) :- r(x), x between 1 and 3.", "between", "`x >= 1, x <= 5`", "out(x) :- r(x), x >= 1, x <= 3."),
    ("out(x) :- s(x, text), length(text) > 3.", "length", "`strlen(...)`", "out(x) :- s(x, text), strlen(text) > 3."),
    ("out(x) :- r(x), x > 3,.", ",.", "comma", "out(x) :- r(x), x > 3."),
    ("-- a comment", "-", "`//`", "// a comment"),
]


def said(rules: str) -> list[tuple[str, str]]:
    """What is said of rules: each message with its hint."""
    text = BEFORE + rules
    items, problems = parse_items(text, "x.dl")
    try:
        found = check_program(Program("x.dl", tuple(items), {"x.dl": text}), problems).warnings
    except RulesRefused as refused:
        found = tuple(refused.diagnostics)
    return [(one.message, one.hint or "") for one in found]


@pytest.mark.parametrize(("written", "named", "hint", "instead"), SPELLINGS, ids=[one[0] for one in SPELLINGS])
def test_a_foreign_spelling_is_named_with_what_to_write_instead(
    written: str, named: str, hint: str, instead: str
) -> None:
    (problem,) = said(written)
    assert f"`{named}" in problem[0]
    assert hint in problem[1]
    assert said(instead) == []


@pytest.mark.parametrize("name", ["round", "average", "today", "exists", "length"])
def test_a_relation_may_be_called_as_a_function_elsewhere(name: str) -> None:
    assert said(f".decl {name}(x: number)\n{name}(1).\nout(x) :- {name}(x).") == []
