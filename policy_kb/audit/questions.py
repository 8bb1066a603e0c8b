"""What can still change a decision, worked out a second time: nothing may be missing from `missing`, and nothing extra.

From the root along every firing of the possible rules of whatever is possible and not certain: of an atom what may hold
beside what is certain, of a negation and of a count the rows that may or may not be there.
"""

from __future__ import annotations

from typing import Any

from policy_kb.answers import MET, NEEDS_INFORMATION
from policy_kb.audit.statuses import Part, Row, Statuses, Values
from policy_kb.check.checked import Criterion, paragraphs
from policy_kb.explain.proof import Claim
from policy_kb.explain.written import doubt_question, so_asked, waiting_question
from policy_kb.load.facts import Facts
from policy_kb.parse.tree import Atom, Literal, Negation

UNCERTAIN = "uncertain"
Numbers = tuple[str, ...]


def questions(statuses: Statuses, facts: Facts, root: str, phase: str) -> list[dict[str, Any]]:
    """The entries of `missing`, those first that most criteria wait for."""
    claim = Claim(root, (facts.case,))
    if statuses.answer_for(claim) != NEEDS_INFORMATION:
        return []
    search = _Search(statuses, facts, phase)
    search.visit(claim, ())
    # What a possible rule asks about is asked for already where its relation is open.
    asked = {relation for relation, why in search.found if why == facts.open.get(relation)}
    points = [
        {"relation": relation, "why": why, "criteria": list(numbers), "ask": search.question(relation, why)}
        for (relation, why), numbers in search.found.items()
        if relation not in asked or why in (facts.open.get(relation), UNCERTAIN)
    ]
    return sorted(points, key=_decisiveness)


def _decisiveness(point: dict[str, Any]) -> tuple[int, int]:
    numbers = point["criteria"]
    return -len({number.split(".")[0] for number in numbers}), -len(numbers)


class _Search:
    def __init__(self, statuses: Statuses, facts: Facts, phase: str):
        self.statuses, self.facts, self.program, self.phase = statuses, facts, statuses.program, phase
        self.found: dict[tuple[str, str], dict[str, None]] = {}
        self.asks: dict[tuple[str, str], str] = {}
        self.wanted: dict[str, dict[Row, None]] = {}
        self.doubtful: dict[str, set[Row]] = {}
        self.visited: set[tuple[Claim, Numbers]] = set()

    def point(self, relation: str, why: str, numbers: Numbers, ask: str = "") -> None:
        self.found.setdefault((relation, why), {}).update(dict.fromkeys(numbers))
        self.asks.setdefault((relation, why), ask)

    def question(self, relation: str, why: str) -> str:
        declared = self.program.relations[relation]
        if why == UNCERTAIN:
            return doubt_question(declared, self.doubtful[relation], self.facts.written)
        ask = self.asks[relation, why] or declared.ask or so_asked(declared)
        if why != declared.always_open:
            return ask
        return waiting_question(declared, ask, self.wanted.get(relation, ()), self.facts.written)

    def numbers_of(self, criteria: tuple[Criterion, ...], otherwise: Numbers) -> Numbers:
        return tuple(paragraphs(criteria, self.phase)) or otherwise

    def visit(self, claim: Claim, numbers: Numbers) -> None:
        """What the claim, which is possible and not certain, waits for."""
        relation = self.program.relations[claim.relation]
        if not relation.is_input:
            numbers = self.numbers_of(relation.criteria, numbers)
        if (claim, numbers) in self.visited:
            return
        self.visited.add((claim, numbers))
        if relation.is_input:
            self.input(claim, numbers)
            return
        for rule in self.statuses.rules.get(claim.relation, ()):
            begun = self.statuses.begin(rule, claim)
            if begun is None:
                continue
            within = self.numbers_of(rule.criteria, numbers)
            fires = False
            for values in self.statuses.solve(begun[1], begun[0], False):
                fires = True
                for part in self.statuses.bodies[rule.number]:
                    self.literal(part, values, within)
            if fires and rule.possible is not None:
                self.point(rule.possible.relation or claim.relation, rule.possible.why, within, rule.doc)

    def input(self, claim: Claim, numbers: Numbers) -> None:
        status, declared = self.statuses.status(claim.relation), self.program.relations[claim.relation]
        if status.is_open:
            self.point(claim.relation, self.facts.open[claim.relation], numbers)
            if declared.always_open is not None:
                self.wanted.setdefault(claim.relation, {})[claim.values] = None  # type: ignore[index]
        doubtful = [row for row in status.possible.matching(claim) if row not in status.certain.rows]
        if doubtful:
            self.point(claim.relation, UNCERTAIN, numbers)
            self.doubtful.setdefault(claim.relation, set()).update(doubtful)

    def literal(self, part: Part, values: Values, numbers: Numbers) -> None:
        literal, is_ready = part.literal, part.needs <= values.keys()
        count = self.statuses.count_in(literal)
        if isinstance(literal, Atom) and self.program.relations[literal.relation].is_case:
            claim = self.statuses.claim_of(literal, values)
            # An atom that leaves a variable unbound stands for what its relation, being open, may hold beside.
            if not is_ready or self.statuses.answer_for(claim) != MET:
                self.visit(claim, numbers)
        elif isinstance(literal, Negation):
            self.against(literal, values, numbers)
        elif count is not None and (not is_ready or self.statuses.answer(part, values) == NEEDS_INFORMATION):
            for inner in self.statuses.insides[id(count)].parts:
                self.against(inner.literal, values, numbers)

    def against(self, literal: Literal, values: Values, numbers: Numbers) -> None:
        """The rows of what is negated or counted that are possible and not certain, and its openness."""
        atom = literal.atom if isinstance(literal, Negation) else literal
        if not isinstance(atom, Atom) or not self.program.relations[atom.relation].is_case:
            return
        claim, status = self.statuses.claim_of(atom, values), self.statuses.status(atom.relation)
        if self.program.relations[atom.relation].is_input:
            self.visit(claim, numbers)
            return
        for row in status.possible.matching(claim):
            if row not in status.certain.rows:
                self.visit(Claim(claim.relation, row), numbers)
        if status.is_open:
            self.visit(claim, numbers)
