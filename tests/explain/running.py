"""How tests explain cases: of random programs, of programs written in a test, and of the alemtuzumab policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest

from policy_kb.audit.places import Places
from policy_kb.audit.proofs import Explanations, Json
from policy_kb.audit.statuses import Bodies, Statuses, Table
from policy_kb.audit.walk import ROOT
from policy_kb.check.checked import CheckedProgram
from policy_kb.check.program import check_program
from policy_kb.evaluate.bottom_up import BottomUp
from policy_kb.evaluate.known import evaluate_known
from policy_kb.evaluate.model import Model, given_rows, model_of
from policy_kb.evaluate.plain import Rows
from policy_kb.evaluate.worlds import double
from policy_kb.explain.lookup import Lookup
from policy_kb.explain.missing import open_points
from policy_kb.explain.proof import Claim, Node, OpenPoint
from policy_kb.explain.why import Explainer
from policy_kb.explain.written import Sentences
from policy_kb.load.cases import load_case
from policy_kb.load.documents import parse_document
from policy_kb.load.facts import Facts
from policy_kb.parse.grammar import parse_items
from policy_kb.parse.tree import Program, Value
from policy_kb.policies import load_policy
from policy_kb.report.as_json import Proofs
from policy_kb.source import Span

PREAMBLE = """
.type Case <: symbol
@[ask("What is asked for?")] @[single]
.decl request(case: Case, drug: symbol, phase: symbol, received: number)
.input request
"""
COMPARED_DAYS = """
.decl visit(case: Case, day: number) .input visit
.decl barred(case: Case, day: number, by: number) .input barred
.decl apart(case: Case, day: number)
apart(case, day) :- visit(case, day), visit(case, other), other - day > 1000.
.decl alone(case: Case, day: number)
alone(case, day) :- visit(case, day), count : { visit(case, other), other != day } = 0.
.decl free(case: Case, day: number)
free(case, day) :- visit(case, day), !barred(case, day, _).
.decl other(case: Case, day: number)
other(case, day) :- visit(case, day), barred(case, day, day).
.decl decided(case: Case)
decided(case) :- apart(case, _), alone(case, _), free(case, 1), other(case, _).
decided(case) :- visit(case, day), apart(case, day).
decided(case) :- visit(case, day), alone(case, day).
decided(case) :- visit(case, day), !barred(case, day, _), day >= 0.
decided(case) :- visit(case, day), free(case, day).
decided(case) :- visit(case, day), other(case, day).
"""
"""Rules that compare rows with each other, in each way."""
DAYS = range(1, 31)
COMPARED = {"visit": [*DAYS], "barred": [{"day": day, "by": 100 + by} for day in DAYS for by in DAYS]}
REQUEST: Mapping[str, Value] = {"drug": "d", "phase": "treatment", "received": 1}
CASE = "A-1"


@dataclass(frozen=True)
class Explained:
    """One case of a program, with what explains it. The root is the relation the case is asked about."""

    program: CheckedProgram
    known: Rows
    facts: Facts
    model: Model
    root: str
    phase: str = "treatment"

    @cached_property
    def lookup(self) -> Lookup:
        return Lookup(self.program, self.known, self.facts, self.model)

    @cached_property
    def explainer(self) -> Explainer:
        return Explainer(self.lookup)

    def claim(self, relation: str, *values: Value | None) -> Claim:
        """A claim about the case, with any value where none is given."""
        others = self.program.relations[relation].arity - 1 - len(values)
        return Claim(relation, (self.facts.case, *values, *(None,) * others))

    @property
    def node(self) -> Node:
        return self.explainer.explain(self.claim(self.root))

    @property
    def answer(self) -> str:
        return self.lookup.answer(self.claim(self.root))

    @property
    def missing(self) -> tuple[OpenPoint, ...]:
        return open_points(self.lookup, self.root, self.phase)

    @cached_property
    def statuses(self) -> Statuses:
        """What the audit finds of the case."""
        tables = {name: Table(set(rows)) for name, rows in self.known.items()}
        return Statuses(_bodies(self.program), tables, self.facts)

    def said(self, claim: Claim | None = None) -> Json:
        """The explanation of the root, or of another claim, as JSON."""
        proofs = Proofs(self.program, Sentences(self.program.relations, self.facts.written))
        return {"root": proofs.number(self.explainer.explain(claim or self.claim(self.root))), "nodes": proofs.nodes}

    def check(self, said: Json | None = None, claim: Claim | None = None) -> None:
        """Audit the explanation of the root, or of another claim, or what stands in its place."""
        claim = claim or self.claim(self.root)
        assert self.statuses.answer_for(claim) == self.lookup.answer(claim)
        places = Places(self.facts.source, self.facts.source, ROOT)
        said = self.said(claim) if said is None else said
        explanations = Explanations(self.statuses, self.facts, places, said["nodes"], (ROOT, "nodes"))
        explanations.claim(claim, said["root"], (ROOT, "root"))
        explanations.end()


def shorten_lists(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Explanations, and audits of them, have lists of so many rows within what is said of one row of another."""
    for module in ("policy_kb.explain.why", "policy_kb.audit.proofs", "tests.explain.walk"):
        monkeypatch.setattr(f"{module}.MOST_WITHIN", most)


_prepared: dict[int, tuple[CheckedProgram, Bodies]] = {}


def _bodies(program: CheckedProgram) -> Bodies:
    """A program as the audit reads it; kept, since tests explain many cases of one program."""
    if id(program) not in _prepared:
        _prepared[id(program)] = program, Bodies(program)
    return _prepared[id(program)][1]


def records(root: Node) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every record below a node, a shared one once, with the way to it."""
    seen: set[int] = set()
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), root)]
    while waiting:
        path, found = waiting.pop()
        if type(found) is tuple:
            waiting += [((*path, place), part) for place, part in enumerate(found)]
        elif is_dataclass(found) and not isinstance(found, Span) and id(found) not in seen:
            seen.add(id(found))
            yield path, found
            waiting += [((*path, part.name), getattr(found, part.name)) for part in fields(found)]


def explained(program: CheckedProgram, document: Mapping[str, object], root: str) -> Explained:
    known = evaluate_known(program, {})
    facts = load_case(program, known, parse_document(document))
    worlds = double(program, [root])
    engine = BottomUp(worlds.program, known)
    return Explained(program, known, facts, model_of(worlds, facts, engine.evaluate(given_rows(worlds, facts))), root)


def explain_text(text: str, root: str = "decided", **case: object) -> Explained:
    """A program behind declarations of the case and the request, and a case that says what is given."""
    items, problems = parse_items(PREAMBLE + text, "rules.dl")
    program = check_program(Program("rules.dl", tuple(items), {"rules.dl": PREAMBLE + text}), problems)
    return explained(program, {"case": CASE, "request": dict(REQUEST), **case}, root)


@cache
def _alemtuzumab() -> tuple[CheckedProgram, Rows, dict[str, tuple[object, BottomUp, str]]]:
    rules = load_policy(str(Path(__file__).parents[2] / "kb" / "alemtuzumab.dl")).rules
    by_phase: dict[str, tuple[object, BottomUp, str]] = {}
    for phase in rules.program.phases:
        worlds = double(rules.program, [phase.root])
        by_phase[phase.name] = worlds, BottomUp(worlds.program, rules.known), phase.root
    return rules.program, rules.known, by_phase


def explain_alemtuzumab(document: Mapping[str, object]) -> Explained:
    """A case of the alemtuzumab policy, of the phase it asks for."""
    program, known, by_phase = _alemtuzumab()
    facts = load_case(program, known, parse_document(document))
    phase = str(facts.rows["request"][0].values[2])
    worlds, engine, root = by_phase[phase]
    rows = engine.evaluate(given_rows(worlds, facts))  # type: ignore[arg-type]
    return Explained(program, known, facts, model_of(worlds, facts, rows), root, phase)  # type: ignore[arg-type]
