"""Checks an explanation against the rules as written and the case's facts alone: no model, no engine, no explainer.

What it trusts: the checked rules, the rows of the known relations, the facts of the case; the meaning of expressions
(`evaluate.values`) and what aggregates share with their rule (`check`); and the words for an expression (`written`), on
which nothing depends. All else is worked out here a second time (`statuses`), from the rules as written.

Explanations are canonical: a claim has exactly one. The checker walks an explanation and works out at every node what
has to stand there, so that a missing rule, branch or row is found as surely as a wrong value.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from policy_kb.check.checked import CheckedProgram, Rule, constants
from policy_kb.evaluate.values import COMPARE
from policy_kb.explain.proof import (
    HEAD,
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
from policy_kb.explain.statuses import MET, NEEDS_INFORMATION, NOT_MET, Part, Parts, Row, Statuses, Values, read_count
from policy_kb.explain.written import NO_VALUE, is_date, written
from policy_kb.load.facts import Facts
from policy_kb.parse.tree import (
    MIRRORED,
    Atom,
    Comparison,
    Expression,
    Literal,
    Negation,
    Truth,
    Value,
    names,
)
from policy_kb.source import Span

if TYPE_CHECKING:
    from policy_kb.evaluate.plain import Rows


class ProofRefused(Exception):  # noqa: N818
    """A step of an explanation is wrong. `where` leads to it from the root."""

    def __init__(self, message: str, where: str):
        super().__init__(f"{where}: {message}")
        self.message, self.where = message, where


def check(program: CheckedProgram, known: Rows, facts: Facts, root: Claim, answer: str, node: Node) -> None:
    """Check that `answer` is the answer for `root`, and that `node` explains it. Raises ProofRefused at the first wrong
    step."""
    checker = _Checker(program, known, facts)
    checker.same(answer, checker.statuses.answer_for(root), "the answer")
    checker.claim(root, node)


def _identical(one: Any, other: Any) -> bool:
    """Whether two values are the same throughout, types included: `1` is not `1.0`."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_identical, one, other))
    if is_dataclass(one):
        return all(_identical(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    return bool(one == other)


class _Checker:
    def __init__(self, program: CheckedProgram, known: Rows, facts: Facts):
        self.program, self.facts = program, facts
        self.statuses = Statuses(program, known, facts)
        self.checked: set[tuple[Claim, int]] = set()
        self.path: list[str] = []
        self.read_from = {(row.relation, row.values): row.span for rows in facts.rows.values() for row in rows}
        self.written_at: dict[tuple[str, Row], Span] = {}
        for atom, span in program.facts:
            self.written_at.setdefault((atom.relation, constants(atom)), span)

    # refusing

    def refused(self, message: str) -> ProofRefused:
        return ProofRefused(message, " > ".join(self.path) or "the root")

    def other_kind(self, node: object, kind: type) -> ProofRefused:
        return self.refused(f"`{type(node).__name__}` stands where `{kind.__name__}` has to stand")

    def same(self, actual: object, expected: object, what: str) -> None:
        if not _identical(actual, expected):
            raise self.refused(f"{what} is {actual}; it has to be {expected}")

    def is_a(self, node: object, kind: type) -> None:
        if type(node) is not kind:
            raise self.other_kind(node, kind)

    def as_many(self, actual: tuple[Any, ...], expected: int, what: str) -> None:
        if len(actual) != expected:
            raise self.refused(f"{len(actual)} {what}, not {expected}")

    @contextmanager
    def inside(self, place: str) -> Iterator[None]:
        self.path.append(place)
        yield
        self.path.pop()

    # claims

    def claim(self, claim: Claim, node: Node) -> None:
        """The node explains the claim: by its first certain row; or as open or absent."""
        status, declared = self.statuses.status(claim.relation), self.program.relations[claim.relation]
        certain = status.certain.matching(claim)
        if certain:
            claim = Claim(claim.relation, certain[0])
        if (claim, id(node)) in self.checked:
            return
        with self.inside(f"{claim.relation}({', '.join('_' if v is None else str(v) for v in claim.values)})"):
            possible = status.possible.matching(claim)
            if certain and (declared.is_input or not declared.is_case):
                self.same(node, self.given(claim.relation, certain[0]), "the row")
            elif certain:
                self.proof(claim, node)
            elif not declared.is_case:
                self.same(node, Absent(claim, None, self.instead(claim), True), "the absence")
            elif not declared.is_input:
                self.attempts(claim, node, Doubted if status.is_open or possible else Refuted)
            elif status.is_open:
                self.same(node, Unstated(claim, self.facts.open[claim.relation]), "the open relation")
            elif possible:
                self.same(node, self.given(claim.relation, possible[0]), "the uncertain row")
            else:
                stated = self.facts.stated.get(claim.relation)
                self.same(node, Absent(claim, stated, self.instead(claim)), "the absence")
        self.checked.add((claim, id(node)))

    def row(self, relation: str, row: Row, node: Node) -> None:
        """The node explains a possible row."""
        declared = self.program.relations[relation]
        if declared.is_case and declared.is_input:
            self.same(node, self.given(relation, row), "the row")
        else:
            self.claim(Claim(relation, row), node)

    def given(self, relation: str, row: Row) -> Given:
        if self.program.relations[relation].is_case:
            is_certain = row in self.statuses.status(relation).certain.rows
            return Given(Claim(relation, row), self.read_from.get((relation, row)), is_certain=is_certain)
        span = self.written_at.get((relation, row))
        if span is None:
            tables = (Span(f"{t.folder}/{t.filename}", 0) for t in self.program.tables if t.relation == relation)
            span = next(tables, None) or next((rule.span for rule in self.program.rules_for(relation)), None)
        return Given(Claim(relation, row), span, is_known=True)

    def instead(self, claim: Claim) -> tuple[Given, ...]:
        """The rows that stand where the claim has none: all of the case, or known ones with the same first value."""
        is_case = self.program.relations[claim.relation].is_case
        others = len(claim.values) - 1
        if (not is_case and others < 1) or claim.values[:1] in ((), (None,)) or claim.values[1:] == (None,) * others:
            return ()
        wider = Claim(claim.relation, claim.values[:1] + (None,) * others)
        rows = self.statuses.status(claim.relation).possible.matching(wider)
        return tuple(self.given(claim.relation, row) for row in rows)

    def proof(self, claim: Claim, node: Node) -> None:
        """The first rule that gives the claim for certain, with a step for every literal."""
        if not isinstance(node, Derived):
            raise self.other_kind(node, Derived)
        self.same(node.claim, claim, "the claim")
        for rule in self.statuses.rules[claim.relation]:
            begun = self.statuses.begin(rule, claim) if rule.possible is None else None
            found = next(self.statuses.solve(begun[1], begun[0], True), None) if begun is not None else None
            if found is not None:
                break
        else:
            raise self.refused("no rule gives this for certain")
        self.same(node.rule, rule.number, "the rule")
        with self.inside(str(rule.span)):
            self.same(node.bindings, tuple(sorted(found.items())), "the bindings")
            parts = self.statuses.bodies[rule.number]
            self.as_many(node.steps, len(parts), "steps")
            for part, step in zip(parts, node.steps, strict=True):
                self.step(rule, part, MET, None, found, step)

    def attempts(self, claim: Claim, node: Node, kind: type[Refuted | Doubted]) -> None:
        """An attempt for every rule the head of which fits, none of which gives the claim for certain."""
        if not isinstance(node, Refuted | Doubted) or type(node) is not kind:
            raise self.other_kind(node, kind)
        self.same(node.claim, claim, "the claim")
        begun = [(rule, self.statuses.begin(rule, claim)) for rule in self.statuses.rules.get(claim.relation, ())]
        fitting = [(rule, *start) for rule, start in begun if start is not None]
        self.as_many(node.attempts, len(fitting), "attempts")
        for (rule, values, parts), attempt in zip(fitting, node.attempts, strict=True):
            answer = self.attempt(rule, values, parts, attempt)
            self.same(attempt.answer, answer, "the answer of an attempt")
            if kind is Refuted and answer != NOT_MET:
                raise self.refused("a rule may give what is refuted")

    # attempts

    def attempt(self, rule: Rule, start: Values, parts: Parts, node: Attempt) -> str:
        """The answer of an attempt, whose steps are exactly those that have to stand there."""
        self.is_a(node, Attempt)
        self.same(node.rule, rule.number, "the rule")
        with self.inside(str(rule.span)):
            statuses = self.statuses
            values = statuses.determined(start, parts)
            is_possible = any(True for _ in statuses.solve(parts, values, False))
            self.same(node.bindings, tuple(sorted(values.items())), "the bindings")
            self.same(node.settles, rule.doc if rule.possible and is_possible else None, "what is to be settled")
            ready = [(part, statuses.answer(part, values)) for part in parts if statuses.can_answer(part, values)]
            failing = [part.literal for part, answer in ready if answer == NOT_MET]
            expected: list[tuple[Part, str, Row | None]] = []
            for part, answer in ready:
                if is_possible or answer == NOT_MET or self.gives_what_fails(part.literal, failing):
                    against = self.against(part, values) if answer == NOT_MET else []
                    expected += [(part, answer, row) for row in against] or [(part, answer, None)]
            waiting = tuple(part for part in parts if not statuses.can_answer(part, values))
            branch = None if failing else statuses.next_atom(waiting, values)
            self.as_many(node.steps, len(expected) + (branch is not None), "steps")
            for (part, answer, row), step in zip(expected, node.steps, strict=False):
                self.step(rule, part, answer, row, values, step)
            if branch is not None:
                rest = tuple(part for part in waiting if part is not branch)
                self.branch(rule, branch, values, rest, node.steps[-1], is_possible=is_possible)
            if not is_possible:
                if not failing and branch is None:
                    raise self.refused("nothing in the body fails")
                return NOT_MET
            is_certain = rule.possible is None and branch is None and all(answer == MET for _, answer in ready)
            return MET if is_certain else NEEDS_INFORMATION

    def gives_what_fails(self, literal: Literal, failing: list[Literal]) -> bool:
        """Whether an atom about the case binds a variable of a literal that fails and does not speak of the case."""
        if not isinstance(literal, Atom) or not self.program.relations[literal.relation].is_case:
            return False
        own = names(literal) - names(literal.arguments[0])
        return any(not own.isdisjoint(names(other)) for other in failing if not self.is_about_case(other))

    def is_about_case(self, literal: Literal) -> bool:
        atom = literal.atom if isinstance(literal, Negation) else literal
        return isinstance(atom, Atom) and self.program.relations[atom.relation].is_case

    def against(self, part: Part, values: Values) -> list[Row]:
        """The rows that stand against a negated literal."""
        literal = part.literal
        if not isinstance(literal, Negation) or self.statuses.without_value(literal, values) is not None:
            return []
        claim = self.statuses.claim_of(literal.atom, values)
        return self.statuses.status(claim.relation).certain.matching(claim)

    def branch(
        self, rule: Rule, part: Part, values: Values, rest: Parts, step: Step, *, is_possible: bool
    ) -> None:
        """Every possible row that an atom can stand for and what becomes of the rest; and that where it is open."""
        self.is_a(step, Step)
        answer = NEEDS_INFORMATION if is_possible else NOT_MET
        self.same((step.place, step.answer, step.is_negated), (part.place, answer, False), "the step")
        node = step.node
        if not isinstance(node, Branches):
            raise self.other_kind(node, Branches)
        atom = part.literal
        assert isinstance(atom, Atom)
        claim, status = self.statuses.claim_of(atom, values), self.statuses.status(atom.relation)
        self.same(node.claim, claim, "the claim")
        found = list(self.statuses.rows_for(atom, part.place, values, certain=False))
        self.as_many(node.rows, len(found), "rows")
        for (row, extended, more), (actual, attempt) in zip(found, node.rows, strict=True):
            self.row(atom.relation, row, actual)
            after = tuple(sorted((*rest, *more), key=lambda other: other.place))
            self.same(attempt.answer, self.attempt(rule, extended, after, attempt), "the answer for a row")
        if not status.is_open:
            self.same((node.unstated, node.otherwise), (None, None), "the open branch")
        elif node.unstated is None or node.otherwise is None:
            raise self.refused("the branch of the open relation is missing")
        else:
            if self.program.relations[atom.relation].is_input:
                self.same(node.unstated, Unstated(claim, self.facts.open[atom.relation]), "the open relation")
            else:
                self.open_relation(claim, node.unstated)
            otherwise = self.attempt(rule, values, rest, node.otherwise)
            expected = NEEDS_INFORMATION if otherwise == MET else otherwise
            self.same(node.otherwise.answer, expected, "the answer of the open branch")

    def open_relation(self, claim: Claim, node: Node) -> None:
        """A doubt about every value of a derived relation that is open, whichever rows of it are certain."""
        wide = Claim(claim.relation, claim.values[:1] + (None,) * (len(claim.values) - 1))
        if (wide, id(node)) not in self.checked:
            with self.inside(f"{claim.relation} is open"):
                self.attempts(wide, node, Doubted)
            self.checked.add((wide, id(node)))

    # literals

    def step(self, rule: Rule, part: Part, answer: str, against: Row | None, values: Values, step: Step) -> None:
        self.is_a(step, Step)
        is_negated = isinstance(part.literal, Negation)
        self.same((step.place, step.answer, step.is_negated), (part.place, answer, is_negated), "the step")
        with self.inside("what its head gives" if part.place == HEAD else f"literal {part.place + 1}"):
            if against is not None:
                assert isinstance(part.literal, Negation)
                self.row(part.literal.atom.relation, against, step.node)
            else:
                self.literal(rule, part.literal, answer, values, step.node)

    def literal(self, rule: Rule, literal: Literal, answer: str, values: Values, node: Node) -> None:
        statuses = self.statuses
        nothing = statuses.without_value(literal, values)
        if nothing is not None and not (isinstance(literal, Atom) and answer != NOT_MET):
            sides = Side(written(nothing, values), NO_VALUE), Side("a value", "a value")
            self.same(node, Compared("=", *sides, False), "what has no value")
        elif isinstance(literal, Atom | Negation):
            atom = literal.atom if isinstance(literal, Negation) else literal
            self.claim(statuses.claim_of(atom, values), node)
        elif isinstance(literal, Truth):
            word = str(literal.value).lower()
            self.same(node, Compared("=", Side("true", "true"), Side(word, word), literal.value), "the comparison")
        elif statuses.count_in(literal) is not None:
            self.counted(rule, literal, answer, values, node)
        else:
            left, right = (self.side(rule, side, values) for side in (literal.left, literal.right))
            holds = COMPARE[literal.operator](left.value, right.value)
            self.same(node, Compared(literal.operator, left, right, holds), "the comparison")

    def side(self, rule: Rule, expression: Expression, values: Values) -> Side:
        value = self.statuses.value(expression, values)
        assert value is not None
        return Side(written(expression, values), value, is_date(expression, rule.body, self.program.relations))

    def counted(self, rule: Rule, comparison: Comparison, answer: str, values: Values, node: Node) -> None:
        """The rows counted, all of them, with the proofs of their atoms; what is counted; what closes it."""
        if not isinstance(node, Counted):
            raise self.other_kind(node, Counted)
        count, operator, bound = read_count(comparison)
        inner = [part.literal for part in self.statuses.insides[id(count)].parts]
        atoms = [literal for literal in inner if isinstance(literal, Atom)]
        certain, possible, is_open = self.statuses.count(count, values)
        self.same(
            (node.operator, node.least, node.most, node.bound, node.answer),
            (operator, len(certain), None if is_open else len(possible), self.side(rule, bound, values), answer),
            "the count",
        )
        self.as_many(node.rows, len(possible), "rows counted")
        for row, actual in zip(sorted(possible), node.rows, strict=True):
            self.is_a(actual, CountedRow)
            self.same((actual.bindings, actual.is_certain), (row, row in certain), "a row counted")
            claims = [self.statuses.claim_of(atom, {**values, **dict(row)}) for atom in atoms]
            proved = [c for c in claims if self.statuses.status(c.relation).possible.matching(c)]
            self.as_many(actual.nodes, len(proved), "proofs of a row counted")
            for claim, part in zip(proved, actual.nodes, strict=True):
                self.row(claim.relation, self.statuses.status(claim.relation).possible.matching(claim)[0], part)
        closing: list[Absent] = []
        unstated: dict[str, Unstated] = {}
        for atom in atoms:
            relation = self.program.relations[atom.relation]
            if self.statuses.status(atom.relation).is_open:
                for name in self.open_inputs(atom.relation):
                    any_row = Claim(name, (self.facts.case,) + (None,) * (self.program.relations[name].arity - 1))
                    unstated[name] = Unstated(any_row, self.facts.open[name])
            elif relation.is_case and relation.is_input:
                closing.append(Absent(self.statuses.claim_of(atom, values), self.facts.stated.get(atom.relation)))
        self.same(node.closing, tuple(closing), "what closes the relations counted")
        self.same(node.unstated, tuple(unstated.values()), "what is open of the relations counted")
        of = tuple(self.statuses.claim_of(atom, values) for atom in atoms)
        without = tuple(self.statuses.claim_of(x.atom, values) for x in inner if isinstance(x, Negation))
        whole = (*rule.body, *inner)
        conditions = tuple(self.condition(x, values, whole) for x in inner if isinstance(x, Comparison))
        self.same((node.of, node.without, node.conditions), (of, without, conditions), "what is counted")

    def open_inputs(self, relation: str) -> dict[str, None]:
        """The open inputs because of which a relation is open."""
        if self.program.relations[relation].is_input:
            return {relation: None}
        body = (literal for rule in self.statuses.rules[relation] for literal in rule.body)
        atoms = [literal.relation for literal in body if isinstance(literal, Atom)]
        return {name: None for atom in atoms if self.statuses.status(atom).is_open for name in self.open_inputs(atom)}

    def condition(self, comparison: Comparison, values: Values, body: tuple[Literal, ...]) -> Condition:
        left, operator, right = comparison.left, comparison.operator, comparison.right
        if names(left) <= values.keys() and operator in MIRRORED:
            left, operator, right = right, MIRRORED[operator], left
        value: Value | None = self.statuses.value(right, values)
        is_about_dates = any(is_date(side, body, self.program.relations) for side in (left, right))
        return Condition(written(left), operator, written(right) if value is None else value, is_about_dates)
