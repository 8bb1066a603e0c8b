"""What can still change a decision: the open points, each with the question that would settle it."""

from __future__ import annotations

from policy_kb.answers import MET, NEEDS_INFORMATION
from policy_kb.check.checked import Criterion, Rule, paragraphs
from policy_kb.explain.lookup import Lookup, Row
from policy_kb.explain.proof import Claim, OpenPoint
from policy_kb.explain.written import doubt_question, so_asked, waiting_question
from policy_kb.parse import tree
from policy_kb.parse.tree import Value

Numbers = tuple[str, ...]


class _Search:
    """Walks from an open claim along every firing of its possible rules to whatever is not certain."""

    def __init__(self, lookup: Lookup, phase: str):
        self.lookup, self.program, self.phase = lookup, lookup.program, phase
        self.found: dict[tuple[str, str], tuple[dict[str, None], str]] = {}
        self.seen: set[tuple[Claim, Numbers]] = set()
        self.noted: set[tuple[str, Numbers]] = set()
        self.depends_on_values = {
            relation.name for relation in lookup.program.inputs()
            if relation.always_open is not None or any(row.is_uncertain for row in lookup.facts.rows[relation.name])
        }
        """The inputs of which it matters what values are asked for."""
        self.wanted: dict[str, dict[Claim, None]] = {}
        self.doubtful: dict[str, dict[Row, None]] = {}
        self.rules: dict[str, list[Rule]] = {}
        for rule in self.program.rules:
            self.rules.setdefault(rule.head.relation, []).append(rule)

    def point(self, relation: str, why: str, numbers: Numbers, ask: str | None = None) -> None:
        declared = self.program.relations[relation]
        question = ask or declared.ask or so_asked(declared)
        criteria, _ = self.found.setdefault((relation, why), ({}, question))
        criteria.update(dict.fromkeys(numbers))

    def question(self, relation: str, why: str, ask: str) -> str:
        """The question: for uncertain rows which they are, for a relation that is always open what is waited for."""
        declared = self.program.relations[relation]
        if why == "uncertain":
            return doubt_question(declared, self.doubtful[relation], self.lookup.facts.written)
        if why != declared.always_open:
            return ask
        wanted = (claim.values for claim in self.wanted.get(relation, ()))
        return waiting_question(declared, ask, wanted, self.lookup.facts.written)

    def visit(self, claim: Claim, numbers: Numbers) -> None:
        """`claim` is possible and not certain."""
        relation = self.program.relations[claim.relation]
        if relation.is_input:
            if self.lookup.is_open(claim.relation):
                self.point(claim.relation, self.lookup.facts.open[claim.relation], numbers)
                if relation.always_open is not None:
                    self.wanted.setdefault(claim.relation, {})[claim] = None
            if self._has_uncertain(claim):
                self.point(claim.relation, "uncertain", numbers)
                certain = self.lookup.model.certain[claim.relation]
                rows = self.doubtful.setdefault(claim.relation, {})
                rows.update((row, None) for row in self.lookup.rows(claim, certain=False) if row not in certain)
            self.noted.add((claim.relation, numbers))
            return
        numbers = self._numbers(relation.criteria) or numbers
        if (claim, numbers) in self.seen:
            return
        self.seen.add((claim, numbers))
        for rule in self.rules.get(claim.relation, ()):
            begun = self.lookup.begin(rule, claim)
            if begun is None:
                continue
            within = self._numbers(rule.criteria) or numbers
            fires = False
            asking = rule.body
            for environment in self.lookup.solutions(begun[1], begun[0], certain=False):
                fires = True
                for literal in asking:
                    self.literal(literal, environment, within)
                asking = tuple(literal for literal in asking if not self._is_settled(literal, within))
                if not asking:
                    break  # no further firing can name anything new
            if fires and rule.possible is not None:
                self.point(rule.possible.relation or claim.relation, rule.possible.why, within, rule.doc)

    def _is_settled(self, literal: tree.Literal, numbers: Numbers) -> bool:
        """Whether a literal names nothing that is not named yet, whatever its values."""
        atom = literal.atom if isinstance(literal, tree.Negation) else literal
        if not isinstance(atom, tree.Atom):
            return not isinstance(atom, tree.Comparison) or self.lookup.counted(atom) is None
        relation = self.program.relations[atom.relation]
        if not relation.is_case:
            return True
        return relation.is_input and atom.relation not in self.depends_on_values and (
            not self.lookup.is_open(atom.relation) or (atom.relation, numbers) in self.noted
        )

    def _numbers(self, criteria: tuple[Criterion, ...]) -> Numbers:
        return tuple(paragraphs(criteria, self.phase))

    def _has_uncertain(self, claim: Claim) -> bool:
        return len(self.lookup.rows(claim, certain=False)) > len(self.lookup.rows(claim, certain=True))

    def literal(self, literal: tree.Literal, environment: dict[str, Value], numbers: Numbers) -> None:
        is_ready = self.lookup.is_ready(literal, environment)
        match literal:
            case tree.Atom() if self.lookup.is_case(literal.relation):
                if self._is_settled(literal, numbers):
                    return
                claim = self.lookup.claim(literal, environment)
                # An atom that leaves a variable unbound stands for what its relation, being open, may hold beside.
                if not is_ready or self.lookup.answer(claim) != MET:
                    self.visit(claim, numbers)
            case tree.Negation(atom=atom) if self.lookup.is_case(atom.relation):
                self.against(self.lookup.claim(atom, environment), numbers)
            case tree.Comparison():
                count = self.lookup.counted(literal)
                if count is None:
                    return
                if not is_ready or self.lookup.literal_answer(literal, environment) == NEEDS_INFORMATION:
                    for inner in count.body:
                        if isinstance(inner, tree.Atom) and self.lookup.is_case(inner.relation):
                            self.against(self.lookup.claim(inner, environment), numbers)
                        elif isinstance(inner, tree.Negation) and self.lookup.is_case(inner.atom.relation):
                            self.against(self.lookup.claim(inner.atom, environment), numbers)

    def against(self, claim: Claim, numbers: Numbers) -> None:
        """The rows of a negated or counted relation that are possible and not certain, and its openness."""
        if self.program.relations[claim.relation].is_input:
            self.visit(claim, numbers)
            return
        certain = self.lookup.model.certain[claim.relation]
        for row in self.lookup.rows(claim, certain=False):
            if row not in certain:
                self.visit(Claim(claim.relation, row), numbers)
        if self.lookup.is_open(claim.relation):
            self.visit(claim, numbers)


def open_points(lookup: Lookup, root: str, phase: str) -> tuple[OpenPoint, ...]:
    """What can still change the answer for the root of a phase, the points that most criteria wait for first; nothing
    where the root is met or not met."""
    claim = Claim(root, (lookup.facts.case,))
    if lookup.answer(claim) != NEEDS_INFORMATION:
        return ()
    search = _Search(lookup, phase)
    search.visit(claim, ())
    unstated = {relation for relation, why in search.found if why == lookup.facts.open.get(relation)}
    points = [
        OpenPoint(relation, why, tuple(criteria), search.question(relation, why, ask))
        for (relation, why), (criteria, ask) in search.found.items()
        # What a possible rule asks about is asked for already where its relation is open.
        if relation not in unstated or why == lookup.facts.open.get(relation) or why == "uncertain"
    ]
    return tuple(sorted(points, key=_decisiveness))


def _decisiveness(point: OpenPoint) -> tuple[int, int]:
    """Lower for points that more criteria of the phase wait for, then for those that more parts of them wait for."""
    return -len({number.split(".")[0] for number in point.criteria}), -len(point.criteria)
