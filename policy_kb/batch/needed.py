"""Rules that find what is missing: what can still change the decision, for every case of a batch.

They follow the search that a single case's questions come from: from the root, which is possible and not certain, along
every firing of its possible rules, to each literal that is not certain, down to the inputs that are open or uncertain.
What is reached is a relation of its own: `needed r(bound values)` has a row for each claim the search visits.
"""

from __future__ import annotations

from collections.abc import Iterator

from policy_kb.check.cases import counts_case_rows
from policy_kb.check.checked import CheckedProgram, Phase, Rule
from policy_kb.check.safety import needs
from policy_kb.evaluate.plain import PlainRule
from policy_kb.evaluate.worlds import CASE, Doubling, Worlds, certain, open_, possible
from policy_kb.load.cases import INCOMPLETE, NOT_STATED, is_single
from policy_kb.parse import tree
from policy_kb.parse.tree import Atom, Comparison, Expression, Literal, Negation, Variable, Wildcard
from policy_kb.record import record

UNCERTAIN = "uncertain"
NOT_STATED_OR_INCOMPLETE = f"{NOT_STATED} or {INCOMPLETE}"


@record
class Point:
    """What is missing: of which relation, why, and the flag of the cases for which it is; `unless` one of these."""

    relation: str
    why: str
    flag: str
    unless: tuple[str, ...] = ()


Mask = tuple[bool, ...]
"""Which attributes of a claim, behind the case, have a value."""


def needed_rules(program: CheckedProgram, worlds: Worlds, phase: Phase) -> tuple[list[Point], list[PlainRule]]:
    """The points that can be missing, and the plain rules that find them."""
    search = _Search(program, worlds)
    search.begin(phase.root)
    points = []
    order = {name: place for place, name in enumerate(program.relations)}
    for relation, why in sorted(search.points, key=lambda point: (order[point[0]], point[1])):
        own = search.points[relation, why]
        open_reason = search.open_why(relation)
        unless: tuple[str, ...] = ()
        if why not in (UNCERTAIN, open_reason) and (relation, open_reason) in search.points:
            unless = (search.points[relation, open_reason],)
        points.append(Point(relation, why, own, unless))
    return points, search.rules


class _Search:
    def __init__(self, program: CheckedProgram, worlds: Worlds):
        self.program, self.worlds = program, worlds
        self.points: dict[tuple[str, str], str] = {}
        self.rules: list[PlainRule] = []
        self.waiting: list[tuple[str, Mask]] = []
        self.seen: set[tuple[str, Mask]] = set()
        self.own: dict[str, list[Rule]] = {}
        for rule in worlds.rules:
            self.own.setdefault(rule.head.relation, []).append(rule)
        self.helpers = 0

    def open_why(self, relation: str) -> str:
        return self.program.relations[relation].always_open or NOT_STATED_OR_INCOMPLETE

    def begin(self, root: str) -> None:
        subject = Variable("case", self.program.relations[root].span)
        span = subject.span
        atom = Atom(CASE, (subject,), span)
        unsure = Negation(Atom(certain(root), (subject,), span), span)
        for sign in (possible(root), open_(root)):
            if sign == possible(root) or root in self.worlds.openable:
                self.rules.append(PlainRule(self.claim(root, (subject,), ()),
                                            (atom, Atom(sign, (subject,), span), unsure)))
        while self.waiting:
            relation, mask = self.waiting.pop()
            for rule in self.own.get(relation, ()):
                self.visit(rule, mask)

    def claim(self, relation: str, arguments: tuple[Expression, ...], mask: Mask) -> Atom:
        """The atom that says a claim is visited; its relation is searched, once."""
        key = relation, mask
        if key not in self.seen:
            self.seen.add(key)
            self.waiting.append(key)
        shown = "".join("b" if bound else "f" for bound in mask)
        kept = (arguments[0], *(a for a, bound in zip(arguments[1:], mask, strict=True) if bound))
        return Atom(f"needed {relation} {shown}".rstrip(), kept, self.program.relations[relation].span)

    def point(self, relation: str, why: str, subject: Variable, body: tuple[Literal, ...]) -> None:
        flag = self.points.setdefault((relation, why), f"missing {relation}: {why}")
        self.rules.append(PlainRule(Atom(flag, (subject,), subject.span), body))

    def visit(self, rule: Rule, mask: Mask) -> None:
        """What the firings of a rule's possible versions need, for a claim with values at the mask."""
        doubling = Doubling(self.program, rule, self.worlds.openable)
        subject = doubling.subject
        bound_terms = [a for a, bound in zip(rule.head.arguments[1:], mask, strict=True) if bound]
        outside = frozenset(a.name for a in bound_terms if isinstance(a, Variable))
        demanded = self.claim(rule.head.relation, rule.head.arguments, mask)
        for version in doubling.versions(rule.body, outside, outside):
            fits = all(needs(term, ()) <= version.bound for term in bound_terms)
            start: tuple[Literal, ...] = (demanded,) if fits else (
                Atom(demanded.relation, (subject, *(
                    term if needs(term, ()) <= version.bound else Wildcard(term.span) for term in bound_terms
                )), demanded.span),
            )
            for body in doubling.with_counts(version, rule.body):
                firing = (*start, *body)
                if rule.possible is not None:
                    self.point(rule.possible.relation or rule.head.relation, rule.possible.why, subject, firing)
                for literal in rule.body:
                    self.literal(doubling, rule, literal, version.bound, subject, firing)
        self.rules += doubling.added

    def literal(
        self, doubling: Doubling, rule: Rule, literal: Literal, bound: frozenset[str], subject: Variable,
        firing: tuple[Literal, ...],
    ) -> None:
        is_ready = needs(literal, bound, rule.body) <= bound
        match literal:
            case Atom() if doubling.is_case(literal):
                if is_ready:
                    firing = (*firing, Negation(_renamed(literal, certain(literal.relation)), literal.span))
                self.ask(literal, bound, subject, firing)
            case Negation(atom=atom) if doubling.is_case(atom):
                self.against(atom, bound, subject, firing)
            case Comparison() if counts_case_rows(literal, self.program.relations):
                count, _, _ = tree.count_parts(literal)
                if is_ready:
                    firing = (*firing, *self.not_certain(doubling, rule, literal, subject, bound, firing))
                for inner in count.body:
                    counted = inner.atom if isinstance(inner, Negation) else inner
                    if isinstance(counted, Atom) and doubling.is_case(counted):
                        self.against(_apart(counted, bound), bound, subject, firing)

    def not_certain(
        self, doubling: Doubling, rule: Rule, literal: Comparison, subject: Variable, bound: frozenset[str],
        firing: tuple[Literal, ...],
    ) -> Iterator[Literal]:
        """That a count's comparison is not certain, as a literal over a relation of its own."""
        self.helpers += 1
        names = sorted(needs(literal, bound, rule.body) & bound - {subject.name})
        terms = (subject, *(Variable(name, literal.span) for name in names))
        sure = Atom(f"certain count {self.helpers}", terms, literal.span)
        for way in doubling.certain_literal(literal, rule.body):
            self.rules.append(PlainRule(sure, (*firing, *way)))
        yield Negation(sure, literal.span)

    def ask(self, atom: Atom, bound: frozenset[str], subject: Variable, firing: tuple[Literal, ...]) -> None:
        """Visit the claim of an atom: an input is missing where it is open or uncertain."""
        relation = self.program.relations[atom.relation]
        mask = tuple(
            not isinstance(a, Wildcard) and needs(a, bound) <= bound for a in atom.arguments[1:]
        )
        if not relation.is_input:
            self.rules.append(PlainRule(self.claim(atom.relation, atom.arguments, mask), firing))
            return
        if atom.relation in self.worlds.openable:
            is_open = Atom(open_(atom.relation), (subject,), atom.span)
            self.point(atom.relation, self.open_why(atom.relation), subject, (*firing, is_open))
        if is_single(relation):
            return
        row = tuple(
            argument if is_bound else Variable(f"{atom.relation}.{place}", atom.span)
            for place, (argument, is_bound) in enumerate(zip(atom.arguments[1:], mask, strict=True))
        )
        doubtful = Atom(possible(atom.relation), (subject, *row), atom.span)
        sure = Atom(certain(atom.relation), (subject, *row), atom.span)
        self.point(atom.relation, UNCERTAIN, subject, (*firing, doubtful, Negation(sure, atom.span)))

    def against(self, atom: Atom, bound: frozenset[str], subject: Variable, firing: tuple[Literal, ...]) -> None:
        """The rows of a negated or counted relation that are possible and not certain, and its openness."""
        relation = self.program.relations[atom.relation]
        if relation.is_input:
            self.ask(atom, bound, subject, firing)
            return
        row = tuple(
            argument if not isinstance(argument, Wildcard) and needs(argument, bound) <= bound
            else Variable(f"{atom.relation}.{place}", atom.span)
            for place, argument in enumerate(atom.arguments[1:])
        )
        doubtful = Atom(possible(atom.relation), (subject, *row), atom.span)
        sure = Negation(Atom(certain(atom.relation), (subject, *row), atom.span), atom.span)
        everything = (True,) * len(row)
        self.rules.append(
            PlainRule(self.claim(atom.relation, (subject, *row), everything), (*firing, doubtful, sure))
        )
        if atom.relation in self.worlds.openable:
            mask = tuple(not isinstance(a, Wildcard) and needs(a, bound) <= bound for a in atom.arguments[1:])
            is_open = Atom(open_(atom.relation), (subject,), atom.span)
            self.rules.append(PlainRule(self.claim(atom.relation, atom.arguments, mask), (*firing, is_open)))


def _renamed(atom: Atom, relation: str) -> Atom:
    return Atom(relation, atom.arguments, atom.span)


def _apart(atom: Atom, bound: frozenset[str]) -> Atom:
    """An atom of a count in which the count's own variables stand for any value."""
    return Atom(atom.relation, tuple(
        a if isinstance(a, Wildcard) or needs(a, bound) <= bound else Wildcard(a.span) for a in atom.arguments
    ), atom.span)
