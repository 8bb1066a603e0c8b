"""Policies of a few rules written in a test, and what is said of cases of theirs."""

from __future__ import annotations

from policy_kb import Determination, Policy, pipeline
from policy_kb.check.program import check_program
from policy_kb.evaluate.known import evaluate_known
from policy_kb.load.digest import digest_of_files
from policy_kb.load.documents import parse_document
from policy_kb.parse.grammar import parse_items
from policy_kb.parse.tree import Program
from policy_kb.report.as_text import Tree, render

PREAMBLE = """
.type Date <: number
.functor date(written: symbol): Date
.functor months_before(day: Date, months: number): Date
.functor months_after(day: Date, months: number): Date
.functor year(day: Date): number
.type Case <: symbol
.decl item(name: symbol)
item("X"). item("Y").
.decl covers(@[in(item)] name: symbol)
covers("X"). covers("Y").
/// {drug} is asked for, {phase}, received on {received}
@[ask("What is asked for?")] @[single]
.decl request(case: Case, @[in(item)] drug: symbol, @[one_of("first")] phase: symbol, received: Date)
.input request
/// the criteria are met
@[policy("P-1", phase = "first", title = "A test", revised = "2020-01-01")]
.decl decided(case: Case)
"""
REQUEST = {"drug": "X", "phase": "first", "received": "2025-09-02"}


def policy_of(rules: str) -> Policy:
    """A policy of one phase, `first`, with the root `decided`."""
    text = PREAMBLE + rules
    items, problems = parse_items(text, "rules.dl")
    program = check_program(Program("rules.dl", tuple(items), {"rules.dl": text}), problems)
    return Policy(pipeline.Rules(program, {}, evaluate_known(program, {}), digest_of_files(program)))


def decide(rules: str, **case: object) -> Determination:
    return policy_of(rules).decide(parse_document({"case": "A-1", "request": REQUEST, **case}))


def lines(determination: Determination, criterion: str | None = None) -> list[str]:
    """The lines of the tree, unwrapped, without the places they were read from."""
    return [line.partition("  [")[0] for line in render(Tree(determination).items(criterion), 10_000)]
