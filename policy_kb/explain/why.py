"""Builds explanations from the finished model and the rules as written; engines take no part in it.

A claim that is certain gets a proof, one that is not possible a refutation, any other a doubt. All three are canonical:
rules in file order, literals in the order of the body, rows in the order of their values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.check.checked import Criterion, Rule
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind
from policy_kb.explain.lookup import Environment, Lookup, Match, NoValue, Part, Row, compared_count, merged
from policy_kb.explain.near import Distance, Near, gap
from policy_kb.explain.phrasing import Saying
from policy_kb.explain.proof import (
    MOST_WITHIN,
    Absent,
    Aggregated,
    Attempt,
    Bindings,
    Branches,
    Claim,
    Closed,
    Compared,
    Condition,
    Counted,
    CountedRow,
    Derived,
    Doubted,
    Given,
    Missed,
    Node,
    Refuted,
    Side,
    Step,
    Unstated,
)
from policy_kb.explain.written import NO_VALUE, Sentences, called, is_date, saying, spoken, text_of, unit, written
from policy_kb.parse import tree
from policy_kb.parse.tree import Value
from policy_kb.source import Span

Parts = tuple[Part, ...]

MOST_PARTS = 500_000
"""What is looked at for one explanation: attempts, rows counted, and rows left out. It grows with the case, or, where a
rule compares rows with each other, with their pairs: one that would take too long is refused."""


class ModelContradicted(AssertionError):  # noqa: N818
    """The rules do not give what the model says: the engine that made it is wrong."""


class Explainer:
    """Explains claims about one case. Equal claims are explained by one node. `under` gives what holds where a reading,
    by its name, is another choice; None where there is no such choice, or the case is refused then."""

    def __init__(self, lookup: Lookup, under: Callable[[str, str], Lookup | None] = lambda name, choice: None):
        self.lookup, self.under = lookup, cache(under)
        self.program = lookup.program
        self.sentences = Sentences(self.program.relations, lookup.facts.written)
        self.nodes: dict[Claim, Node] = {}
        self.rows: dict[Claim, Given] = {}
        self.doubts: dict[str, Doubted] = {}
        self.places: dict[tuple[str, Row], Span] = {}
        self.listed: dict[tuple[object, ...], Listed] = {}
        self.branches: dict[tuple[object, ...], Branches] = {}
        self.closings: dict[Claim, Closed] = {}
        self.ways: dict[Claim, list[tuple[Rule, dict[str, Value]] | None]] = {}
        self.proofs: dict[tuple[Claim, int, Bindings], Derived] = {}
        self.rules: dict[str, list[Rule]] = {}
        for rule in self.program.rules:
            self.rules.setdefault(rule.head.relation, []).append(rule)
        self.near = Near(lookup, self.rules)
        self.parts_made = 0
        self.spans = {(row.relation, row.values): row.span for rows in lookup.facts.rows.values() for row in rows}

    def make(self, number: int, span: Span) -> None:
        """Note that so many further parts are looked at for a rule. Raises CaseRefused beyond the most there may be."""
        self.parts_made += number
        if self.parts_made > MOST_PARTS:
            message = f"the explanation looks at more than {MOST_PARTS:,} rows: rows are compared with each other"
            hint = "give fewer rows, or ask for the decision alone"
            raise CaseRefused([Diagnostic(Kind.TOO_MANY_ROWS, span, message, hint)])

    def explain(self, claim: Claim) -> Node:
        """Why the claim is certain, impossible or open; a claim with several rows is explained by the first."""
        node = self.nodes.get(claim)
        if node is None:
            node = self.nodes[claim] = self._explain(claim)
        return node

    def _explain(self, claim: Claim) -> Node:
        answer = self.lookup.answer(claim)
        relation = self.program.relations[claim.relation]
        if answer == MET:
            row = self.lookup.rows(claim, certain=True)[0]
            if row != claim.values:
                return self.explain(Claim(claim.relation, row))
            if not relation.is_case:
                return Given(claim, self._known_span(claim.relation, row), is_known=True)
            return self.given(claim.relation, row) if relation.is_input else self._prove(claim)
        if not relation.is_case:
            return self._absent(claim, None, is_known=True)
        if not relation.is_input:
            return self._refute_or_doubt(claim, answer)
        if answer == NOT_MET:
            return self.absent(claim)
        if self.lookup.is_open(claim.relation):
            return Unstated(claim, self.lookup.facts.open[claim.relation])
        return self.given(claim.relation, self.lookup.rows(claim, certain=False)[0])

    def parts(self, root: Claim) -> tuple[Attempt, ...]:
        """What becomes of each of the root's rules, with every literal: those that hold beside those that do not."""
        begun = ((rule, self.lookup.begin(rule, root)) for rule in self.rules.get(root.relation, ()))
        return tuple(self._attempt(rule, *start, root, is_whole=True) for rule, start in begun if start is not None)

    def stating(self, criterion: Criterion) -> list[Node | Attempt]:
        """The nodes that state a criterion: of the relations it is declared for, and of its rules."""
        case = self.lookup.facts.case
        found: list[Node | Attempt] = []
        for relation in self.program.relations.values():
            if criterion in relation.criteria:
                found.append(self.explain(Claim(relation.name, (case, *[None] * (relation.arity - 1)))))
        for rule in self.program.rules:
            if criterion in rule.criteria:
                any_row = Claim(rule.head.relation, (case, *[None] * (len(rule.head.arguments) - 1)))
                begun = self.lookup.begin(rule, any_row)
                if begun is not None:
                    found.append(self._attempt(rule, *begun, any_row, is_whole=True))
        return found

    # leaves

    def given(self, relation: str, row: Row) -> Given:
        claim = Claim(relation, row)
        node = self.rows.get(claim)
        if node is None:
            is_certain = row in self.lookup.model.certain[relation]
            node = self.rows[claim] = Given(claim, self.spans.get((relation, row)), is_certain=is_certain)
        return node

    def absent(self, claim: Claim) -> Absent:
        return self._absent(claim, self.lookup.facts.stated.get(claim.relation))

    def _absent(self, claim: Claim, span: Span | None, *, is_known: bool = False) -> Absent:
        """There is no such row. Of those on record instead the first ones: as many may be absent as there are."""
        instead, more = self._first_like(claim, self._instead(claim))
        return Absent(claim, span, instead, is_known, more)

    def _first_like(self, claim: Claim, rows: list[Row]) -> tuple[tuple[Given, ...], int]:
        """The rows most like a claim, and how many more there are."""
        first = sorted(rows, key=lambda row: unlike(row, claim))[:MOST_WITHIN]
        nodes = tuple(self._row_node(claim.relation, row) for row in first)
        return nodes, len(rows) - len(nodes)  # type: ignore[return-value]

    def closed(self, claim: Claim) -> Closed | None:
        """That there are no further rows of an input, and the rows that are no match."""
        declared = self.program.relations[claim.relation]
        if not declared.is_case or not declared.is_input or self.lookup.is_open(claim.relation):
            return None
        if claim in self.closings:
            return self.closings[claim]
        matching = set(self.lookup.rows(claim, certain=False))
        others = [row for row in self._instead(claim) if row not in matching]
        found = Closed(claim, self.lookup.facts.stated.get(claim.relation), *self._first_like(claim, others))
        self.closings[claim] = found
        return found

    def _instead(self, claim: Claim) -> list[Row]:
        """The rows on record that do not match: those of the case, or known ones that share a first value."""
        first = claim.values[:1] if self.lookup.is_case(claim.relation) or len(claim.values) > 1 else ()
        wider = Claim(claim.relation, first + (None,) * (len(claim.values) - len(first)))
        if wider == claim or not first or first[0] is None:
            return []
        return self.lookup.rows(wider, certain=False)

    def _known_span(self, relation: str, row: Row) -> Span | None:
        """The place of a fact or of the row of a table, or else of the first rule that gives the row."""
        if not self.places:
            self.places = self.program.places
        if (relation, row) in self.places:
            return self.places[relation, row]
        for rule in self.rules.get(relation, ()):
            begun = self.lookup.begin(rule, Claim(relation, row))
            if begun is not None and next(self.lookup.solutions(begun[1], begun[0], certain=True), None) is not None:
                return rule.span
        return self.places.get(("alternative", row)) if relation == "reading" else None

    # proofs

    def _prove(self, claim: Claim) -> Derived:
        for rule in self.rules.get(claim.relation, ()):
            begun = self.lookup.begin(rule, claim) if rule.possible is None else None
            if begun is None:
                continue
            for environment in self.lookup.solutions(begun[1], begun[0], certain=True):
                steps = self._holding(rule, enumerate(rule.body), environment, is_within=claim.is_of_a_row)
                return Derived(claim, rule.number, bindings(environment), tuple(steps))
        raise ModelContradicted(f"no rule proves {claim}")

    # refutations and doubts

    def _refute_or_doubt(self, claim: Claim, answer: str) -> Refuted | Doubted:
        attempts = self._attempts(claim, fails=True if answer == NOT_MET else None)
        return Refuted(claim, attempts) if answer == NOT_MET else Doubted(claim, attempts)

    def _attempts(self, claim: Claim, *, fails: bool | None = None) -> tuple[Attempt, ...]:
        begun = ((rule, self.lookup.begin(rule, claim)) for rule in self.rules.get(claim.relation, ()))
        return tuple(
            self._attempt(rule, *start, claim, fails=fails) for rule, start in begun if start is not None
        )

    def _attempt(
        self, rule: Rule, start: dict[str, Value], parts: Parts, claim: Claim, *, is_row: bool = False,
        fails: bool | None = None, is_whole: bool = False,
    ) -> Attempt:
        """What becomes of some literals of the body by which a rule may give a claim, under bindings that the others
        have been read with. `is_row`: it is said of one row of several, so that its own lists are shortened, as they
        are where the claim itself is of a row. `fails`: whether they cannot hold together, where that is known.
        `is_whole`: what holds is shown also where they cannot."""
        self.make(1, rule.span)
        if fails is None:
            fails = not self._can_hold(parts, start)
        environment = self.lookup.determined(start, parts, self.near.missed if fails else None)
        ready: list[tuple[Part, str]] = []
        waiting: Parts = ()
        for part in parts:
            if self.lookup.can_answer(part[1], environment):
                ready.append((part, self.lookup.literal_answer(part[1], environment)))
            else:
                waiting = (*waiting, part)
        failing = [part for part, answer in ready if answer == NOT_MET]
        is_within = is_row or claim.is_of_a_row
        if not failing:
            waiting_fails = fails and bool(waiting)
        else:
            waiting_fails = not is_within and not self._can_hold(waiting, environment)
        if fails != (bool(failing) or waiting_fails):
            raise ModelContradicted(f"{rule.span}: not what the model says of {claim}")
        shown = ready
        if fails and not is_whole:
            needing = [*failing, *(waiting if waiting_fails else ())]
            resting = _supports(rule, [part for part, answer in ready if answer == MET], needing)
            shown = [(part, answer) for part, answer in ready if answer == NOT_MET or part in resting]
        steps = [
            step for part, answer in shown
            for step in self._steps(rule, part, answer, environment, claim, is_within=is_within)
        ]
        given = {name: value for name, value in environment.items() if name not in start}
        if waiting and (waiting_fails or not fails or is_whole):
            certain = None
            if is_whole and not waiting_fails and rule.possible is None:
                certain = next(self.lookup.solutions(waiting, environment, certain=True), None)
            if certain is not None:
                given = {name: value for name, value in certain.items() if name not in start}
                # What would need the value of what has none is left.
                answered = [part for part in waiting if self.lookup.can_answer(part[1], certain)]
                steps += self._holding(rule, answered, certain, is_within=is_within)
            else:
                steps += self._waiting(rule, waiting, environment, claim, is_within=is_within, fails=waiting_fails)
        return self._ended(rule, steps, given, fails=fails)

    def _waiting(
        self, rule: Rule, waiting: Parts, environment: dict[str, Value], claim: Claim, *, is_within: bool, fails: bool
    ) -> list[Step]:
        """The steps of literals that wait for values: by the rows of the first atom, or as they may hold where it has
        none."""
        chosen = self.lookup.next_atom(waiting, environment)
        if chosen is None:
            return []  # they need the value of what has none
        if not fails and not self._has_rows(chosen[1], environment):
            return self._in_one_way(rule, environment, waiting, claim, is_within=is_within)
        rest = tuple(part for part in waiting if part is not chosen)
        return [self._branch(rule, chosen, environment, rest, claim, is_within=is_within, fails=fails)]

    def _holding(
        self, rule: Rule, parts: Iterable[Part], environment: dict[str, Value], *, is_within: bool
    ) -> Iterator[Step]:
        """The steps of literals that hold for certain."""
        for place, literal in parts:
            node = self._literal(rule, literal, environment, is_within)
            yield Step(place, MET, node, _negated(literal), behind=self._behind(literal, environment))

    def _ended(
        self, rule: Rule, steps: list[Step], given: Environment, *, fails: bool, is_open: bool = False
    ) -> Attempt:
        """The attempt of these steps. `is_open`: behind an atom that is open, where nothing is certain."""
        is_certain = rule.possible is None and not is_open and all(step.answer == MET for step in steps)
        answer = NOT_MET if fails else MET if is_certain else NEEDS_INFORMATION
        settles = rule.doc if rule.possible is not None and not fails else None
        in_order = sorted(steps, key=lambda step: step.place)
        return Attempt(rule.number, answer, bindings(given), tuple(in_order), settles)

    def _has_rows(self, atom: tree.Atom, environment: Environment) -> bool:
        return bool(self.lookup.rows(self.lookup.claim(atom, environment), certain=False))

    def _is_about_case(self, literal: tree.Literal) -> bool:
        atom = literal.atom if isinstance(literal, tree.Negation) else literal
        return isinstance(atom, tree.Atom) and self.lookup.is_case(atom.relation)

    def _can_hold(self, parts: Parts, environment: Environment) -> bool:
        """Whether literals hold together in some world."""
        return any(True for _ in self.lookup.solutions(parts, dict(environment), certain=False))

    def _branch(
        self, rule: Rule, part: tuple[int, tree.Atom], environment: dict[str, Value], rest: Parts, claim: Claim, *,
        is_within: bool, fails: bool,
    ) -> Step:
        """The rows that an atom can stand for, each with what becomes of the rest of the body. Made once: the rules of
        the root are explained twice."""
        place, atom = part
        answer = NOT_MET if fails else NEEDS_INFORMATION
        key = (rule.number, place, claim, bindings(environment), tuple(place for place, _ in rest))
        node = None if is_within else self.branches.get(key)
        if node is not None:
            return Step(place, answer, node)
        listed = self._listed(rule, part, environment, rest, is_within=is_within, fails=fails)
        among = [row for row, _ in listed.rows]
        found = self.lookup.matching(atom, environment, certain=False, among=among)
        rows = tuple(
            (
                self._row_node(atom.relation, row),
                self._attempt(rule, extended, merged(rest, place, pending), claim, is_row=True, fails=row_fails),
            )
            for (row, extended, pending), (_, row_fails) in zip(found, listed.rows, strict=True)
        )
        wanted = self.lookup.claim(atom, environment)
        unstated: Unstated | Doubted | None = None
        otherwise = None
        if self.lookup.is_open(atom.relation):
            unstated = self._open_node(wanted)
            otherwise = self._otherwise(rule, environment, rest, claim, is_within=is_within)
        closed = self.closed(wanted) if fails else None
        node = Branches(wanted, rows, unstated, otherwise, listed.more, listed.more_possible, closed)
        if not is_within:
            self.branches[key] = node
        return Step(place, answer, node)

    def _listed(
        self, rule: Rule, part: tuple[int, tree.Atom], environment: dict[str, Value], rest: Parts, *,
        is_within: bool, fails: bool,
    ) -> Listed:
        """The rows that are listed for an atom, the nearest first. Found once for all bindings that agree in what the
        atom and the rest need."""
        place, atom = part
        needed = frozenset().union(self.lookup.needed(atom), *(self.lookup.needed(literal) for _, literal in rest))
        shared = tuple(sorted((name, value) for name, value in environment.items() if name in needed))
        is_as_written = all(place >= 0 and rule.body[place] is literal for place, literal in rest)
        key = (rule.number, place, tuple(place for place, _ in rest), shared, is_within, fails)
        found = self.listed.get(key) if is_as_written else None
        if found is None:
            matching = list(self.lookup.matching(atom, environment, certain=False))
            self.make(len(matching) if is_within else 0, rule.span)
            found = self._failing(part, environment, rest, matching) if fails else self._standing(part, rest, matching)
            if is_within:
                kept, rest_of_them = found.rows[:MOST_WITHIN], found.rows[MOST_WITHIN:]
                possible = 0 if fails else sum(not row_fails for _, row_fails in rest_of_them)
                found = Listed(kept, found.more + len(rest_of_them), found.more_possible + possible)
            if is_as_written:
                self.listed[key] = found
        return found

    def _failing(
        self, part: tuple[int, tree.Atom], environment: Environment, rest: Parts, matching: list[Match]
    ) -> Listed:
        """Where the rest fails with every possible row: all of them, and the nearest of those that only come near."""
        place, atom = part

        def by_distance(found: list[Match]) -> list[tuple[Distance, Row, bool]]:
            return sorted(
                (
                    self.near.of_row(atom.relation, row, merged(rest, place, pending), extended),
                    row,
                    not self._can_hold(merged(rest, place, pending), extended),
                )
                for row, extended, pending in found
            )

        missed = self.near.missed(self.lookup.claim(atom, environment))
        near = by_distance(list(self.lookup.matching(atom, environment, certain=False, among=missed)))
        rows = sorted([*by_distance(matching), *near[:MOST_WITHIN]])
        return Listed([(row, fails) for _, row, fails in rows], max(len(near) - MOST_WITHIN, 0), 0)

    def _standing(self, part: tuple[int, tree.Atom], rest: Parts, matching: list[Match]) -> Listed:
        """Where the rest does not fail with every row: those with which it does not, and behind them the certain rows
        of the case with which it does."""
        place, atom = part
        certain = self.lookup.model.certain.get(atom.relation, ())
        standing: list[tuple[Row, bool]] = []
        failing: list[tuple[Distance, Row]] = []
        for row, extended, pending in matching:
            after = merged(rest, place, pending)
            if self._can_hold(after, extended):
                standing.append((row, False))
            elif row in certain:
                failing.append((self.near.of_body(extended, after), row))
        rows = [*standing, *((row, True) for _, row in sorted(failing))]
        return Listed(rows, len(matching) - len(rows), 0)

    def _otherwise(
        self, rule: Rule, environment: dict[str, Value], parts: Parts, claim: Claim, *, is_within: bool
    ) -> Attempt:
        """What becomes of the other literals where an open atom leaves its variables unbound: how they may hold, in
        one way, or that they fail in every way."""
        if not self._can_hold(parts, environment):
            return self._attempt(rule, environment, parts, claim, is_row=is_within, fails=True)
        steps = self._in_one_way(rule, environment, parts, claim, is_within=is_within)
        return self._ended(rule, steps, {}, fails=False, is_open=True)

    def _in_one_way(
        self, rule: Rule, environment: dict[str, Value], parts: Parts, claim: Claim, *, is_within: bool
    ) -> list[Step]:
        """How literals may hold that are open: the first way in which they do. What tables and comparisons say of that
        one way is left out."""
        found = next(self.lookup.solutions(parts, dict(environment), certain=False))
        steps: list[Step] = []
        for place, literal in parts:
            if isinstance(literal, tree.Atom) and not self._has_rows(literal, found):
                wanted = self.lookup.claim(literal, environment)
                steps.append(Step(place, NEEDS_INFORMATION, self._open_node(wanted)))
            elif self.lookup.can_answer(literal, found):
                answer = self.lookup.literal_answer(literal, found)
                if answer == MET and not self._is_about_case(literal):
                    continue
                steps += self._steps(rule, (place, literal), answer, found, claim, is_within=is_within)
        return steps

    def _open_node(self, claim: Claim) -> Unstated | Doubted:
        """Why a relation is open, whatever the values of the claim."""
        wide = Claim(claim.relation, claim.values[:1] + (None,) * (len(claim.values) - 1))
        if self.program.relations[claim.relation].is_input:
            return Unstated(claim, self.lookup.facts.open[claim.relation])
        node = self.explain(wide)
        if isinstance(node, Doubted):
            return node
        # Some row is certain while others are open: the doubt is about those.
        if claim.relation not in self.doubts:
            self.doubts[claim.relation] = Doubted(wide, self._attempts(wide))
        return self.doubts[claim.relation]

    def _row_node(self, relation: str, row: Row) -> Node:
        declared = self.program.relations[relation]
        if declared.is_case and declared.is_input:
            return self.given(relation, row)
        return self.explain(Claim(relation, row))

    # literals

    def _steps(
        self, rule: Rule, part: Part, answer: str, environment: Environment, claim: Claim, *, is_within: bool
    ) -> Iterator[Step]:
        """The steps of a literal: one, or one for each of the rows that decide about it; behind that of an open
        relation, where it is one. A row that stands against it has one for each way in which it holds."""
        place, literal = part
        rows = self._deciding(literal, answer, environment)
        if not rows or (answer == NEEDS_INFORMATION and self.lookup.is_open(rows[0].relation)):
            yield Step(
                place, answer, self._literal(rule, literal, environment, is_within), _negated(literal),
                behind=self._behind(literal, environment),
                would_count=answer == NOT_MET and self._would_count(literal, environment, claim),
            )
        ways = [(row, way) for row in rows for way in (self._ways(row) if answer == NOT_MET else [None])]
        self.make(len(ways) if is_within else 0, rule.span)
        shown = ways[:MOST_WITHIN] if is_within else ways
        for number, (row, way) in enumerate(shown, 1):
            more = len(ways) - number if number == len(shown) else 0
            yield Step(place, answer, self._against(row, way), _negated(literal), more)

    def _against(self, claim: Claim, way: tuple[Rule, dict[str, Value]] | None) -> Node:
        """The node of a row by which a literal is decided: the first, or another proof of it."""
        if way is not None:
            return self._proof(claim, *way)
        return self._row_node(claim.relation, claim.values)  # type: ignore[arg-type]

    def _ways(self, claim: Claim) -> list[tuple[Rule, dict[str, Value]] | None]:
        """The ways in which a certain row holds: each rule that gives it, with each row of the first atom that leaves a
        choice. None stands for the first, by which the claim is proved."""
        found = self.ways.get(claim)
        if found is None:
            declared = self.program.relations[claim.relation]
            every: list[tuple[Rule, dict[str, Value]] | None] = []
            for rule in self.rules.get(claim.relation, ()) if declared.is_case else ():
                begun = self.lookup.begin(rule, claim) if rule.possible is None else None
                every += [(rule, way) for way in self.lookup.ways(begun[1], begun[0])] if begun is not None else []
            found = self.ways[claim] = [None, *every[1:]]
        return found

    def _proof(self, claim: Claim, rule: Rule, environment: dict[str, Value]) -> Derived:
        """A proof of a claim other than its first."""
        key = claim, rule.number, bindings(environment)
        node = self.proofs.get(key)
        if node is None:
            steps = self._holding(rule, enumerate(rule.body), environment, is_within=claim.is_of_a_row)
            node = self.proofs[key] = Derived(claim, rule.number, bindings(environment), tuple(steps))
        return node

    def _would_count(self, literal: tree.Literal, environment: Environment, claim: Claim) -> bool:
        """Whether the claim is met under the reading that a literal asks for, which is not in force."""
        if not isinstance(literal, tree.Atom) or literal.relation != "reading":
            return False
        name, choice = self.lookup.claim(literal, environment).values
        other = self.under(name, choice) if isinstance(name, str) and isinstance(choice, str) else None
        return other is not None and other.answer(claim) == MET

    def _behind(self, literal: tree.Literal, environment: Environment) -> tuple[Aggregated, ...]:
        """What the aggregates over known relations in a literal are made of."""
        count = self.lookup.counted(literal) if isinstance(literal, tree.Comparison) else None
        return tuple(
            self._aggregated(aggregate, environment) for aggregate in tree.aggregates(literal)
            if aggregate is not count and self.lookup.needed(aggregate) <= environment.keys()
        )

    def _aggregated(self, aggregate: tree.Aggregate, environment: Environment) -> Aggregated:
        value, rows = self.lookup.aggregate_rows(aggregate, environment)
        inner = self.lookup.literals_counted(aggregate)
        kept = [CountedRow(row, True, self._row_nodes(inner, {**environment, **dict(row)}))
                for row in rows[:MOST_WITHIN]]
        of, without, conditions = self._described(inner, environment, inner)
        target = aggregate.target
        return Aggregated(
            aggregate.function, value, tuple(kept), of, without, conditions, len(rows) - len(kept),
            written(aggregate, environment, called(inner, self.program.relations)),
            target is not None and self._is_date(target, inner),
        )

    def _deciding(self, literal: tree.Literal, answer: str, environment: Environment) -> list[Claim]:
        """The rows on which a literal depends: the certain ones that stand against a negated literal, or the uncertain
        ones of an input that may be what an atom asks for."""
        atom = literal.atom if isinstance(literal, tree.Negation) else literal
        if not isinstance(atom, tree.Atom) or self.lookup.without_value(literal, environment) is not None:
            return []
        claim, declared = self.lookup.claim(atom, environment), self.program.relations[atom.relation]
        is_against = _negated(literal) and answer == NOT_MET
        is_doubted = answer == NEEDS_INFORMATION and declared.is_input
        if not is_against and not is_doubted:
            return []
        return [Claim(atom.relation, row) for row in self.lookup.rows(claim, certain=is_against)]

    def _literal(self, rule: Rule, literal: tree.Literal, environment: Environment, is_within: bool) -> Node:
        nothing = self.lookup.without_value(literal, environment)
        if nothing is not None and not (isinstance(literal, tree.Atom) and self.lookup.is_open(literal.relation)):
            return Compared("=", Side(written(nothing, environment), NO_VALUE), Side("a value", "a value"), False)
        match literal:
            case tree.Atom():
                return self.explain(self.lookup.claim(literal, environment))
            case tree.Negation(atom=atom):
                return self.explain(self.lookup.claim(atom, environment))
            case tree.Comparison():
                if self.lookup.counted(literal) is not None:
                    return self._counted(rule, literal, environment, is_within)
                left, right = (self._side(rule, side, environment) for side in (literal.left, literal.right))
                holds = self.lookup.literal_answer(literal, environment) == MET
                return Compared(literal.operator, left, right, holds, self._says(rule, literal, environment))
            case tree.Truth(value=value):
                return Compared("=", Side("true", "true"), Side(str(value).lower(), str(value).lower()), value)
        raise AssertionError(literal)

    def _says(self, rule: Rule, literal: tree.Comparison, environment: Environment) -> Saying | None:
        """The sentence of the rule, where it names what the comparison is about."""
        if not rule.says:
            return None
        return saying(rule, literal, environment, self.sentences)

    def _side(self, rule: Rule, expression: tree.Expression, environment: Environment) -> Side:
        value = self.lookup.value(expression, environment)
        relations = self.program.relations
        return Side(
            written(expression, environment), value, self._is_date(expression, rule.body),
            written(expression, environment, called(rule.body, relations)), unit(expression, rule.body, relations),
            text_of(expression, value, rule.body, self.sentences),
        )

    def _is_date(self, expression: tree.Expression, body: tuple[tree.Literal, ...]) -> bool:
        return is_date(expression, body, self.program.relations)

    def _counted(
        self, rule: Rule, comparison: tree.Comparison, environment: Environment, is_within: bool
    ) -> Counted:
        count, operator, bound = tree.count_parts(comparison)
        certain, possible, is_open = self.lookup.count_rows(count, environment)
        self.make(len(possible), rule.span)
        kept = possible
        if is_within and len(possible) > MOST_WITHIN:
            kept = set(sorted(possible, key=lambda row: (row not in certain, row))[:MOST_WITHIN])
        inner = self.lookup.literals_counted(count)
        rows = tuple(
            CountedRow(row, row in certain, self._row_nodes(inner, {**environment, **dict(row)}))
            for row in sorted(kept)
        )
        most = None if is_open else len(possible)
        side = self._side(rule, bound, environment)
        answer = compared_count(operator, len(certain), most, side.value)
        # Whether further rows would leave the answer as it is: then nothing rests on there being none.
        is_enough = answer != NEEDS_INFORMATION and answer == compared_count(operator, len(certain), None, side.value)
        atoms = [literal for literal in inner if isinstance(literal, tree.Atom)]
        closing, unstated = self._closing(atoms, environment)
        missed, more_missed = ((), 0) if is_enough else self._missed(rule, inner, environment, possible)
        of, without, conditions = self._described(inner, environment, (*rule.body, *inner))
        return Counted(
            operator, len(certain), most, side, rows, () if is_enough else closing, unstated, answer, of, without,
            conditions, len(possible) - len(rows), missed, more_missed, self._says(rule, comparison, environment),
        )

    def _row_nodes(self, inner: tuple[tree.Literal, ...], environment: Environment) -> tuple[Node, ...]:
        """What the positive atoms of a body rest on, its variables being bound; nothing for those that only fail."""
        claims = (self.lookup.claim(literal, environment) for literal in inner if isinstance(literal, tree.Atom))
        return tuple(
            self._row_node(claim.relation, claim.values)  # type: ignore[arg-type]
            for claim in claims if self.near.candidates(claim)
        )

    def _described(
        self, inner: tuple[tree.Literal, ...], environment: Environment, body: tuple[tree.Literal, ...]
    ) -> tuple[tuple[Claim, ...], tuple[Claim, ...], tuple[Condition, ...]]:
        """What is counted: rows of these claims, without rows of those, under conditions."""
        of = tuple(self.lookup.claim(literal, environment) for literal in inner if isinstance(literal, tree.Atom))
        without = tuple(
            self.lookup.claim(literal.atom, environment) for literal in inner if isinstance(literal, tree.Negation)
        )
        conditions = tuple(
            self._condition(literal, environment, body) for literal in inner if isinstance(literal, tree.Comparison)
        )
        return of, without, conditions

    def _missed(
        self, rule: Rule, inner: tuple[tree.Literal, ...], environment: Environment, possible: set[Bindings]
    ) -> tuple[tuple[Missed, ...], int]:
        """What comes near to being counted, the nearest first, and how many more there are: rows that some atoms of the
        body have, of which other atoms or literals fail."""
        parts = tuple(enumerate(inner))
        found: dict[Bindings, dict[str, Value]] = {}
        for joined in self.near.joined(parts, environment, with_failing=True):
            row = tuple(sorted((name, value) for name, value in joined.items() if name not in environment))
            if row not in possible:
                found[row] = joined
        nearest = sorted(found, key=lambda row: (self.near.of_body(found[row], parts), row))
        missed = tuple(
            Missed(row, self._row_nodes(inner, found[row]), tuple(
                step for place, literal in parts
                if self._lacks(literal, found[row])
                for step in self._steps(rule, (place, literal), NOT_MET, found[row], NO_CLAIM, is_within=True)
            ))
            for row in nearest[:MOST_WITHIN]
        )
        return missed, len(nearest) - len(missed)

    def _lacks(self, literal: tree.Literal, environment: Environment) -> bool:
        """Whether a literal fails, and no row of it comes near."""
        if not self.lookup.can_answer(literal, environment):
            return False
        is_near = isinstance(literal, tree.Atom) and self.near.candidates(self.lookup.claim(literal, environment))
        return not is_near and self.lookup.literal_answer(literal, environment) == NOT_MET

    def _condition(
        self, comparison: tree.Comparison, environment: Environment, body: tuple[tree.Literal, ...]
    ) -> Condition:
        left, operator, right = comparison.left, comparison.operator, comparison.right
        if tree.names(left) <= environment.keys() and operator in tree.MIRRORED:
            left, operator, right = right, tree.MIRRORED[operator], left
        value: Value = written(right)
        if tree.names(right) <= environment.keys():
            with suppress(NoValue):
                value = self.lookup.value(right, environment)
        is_day = self._is_date(left, body) or self._is_date(right, body)
        return Condition(written(left), operator, value, is_day, spoken(left, body, self.program.relations))

    def _closing(
        self, atoms: list[tree.Atom], environment: Environment
    ) -> tuple[tuple[Closed, ...], tuple[Unstated, ...]]:
        """For each case relation counted: what closes it, or what it is open because of."""
        closing: list[Closed] = []
        unstated: dict[str, Unstated] = {}
        for atom in atoms:
            relation = self.program.relations[atom.relation]
            if relation.is_case and self.lookup.is_open(atom.relation):
                for name in self._open_inputs(atom.relation):
                    claim = Claim(name, (self.lookup.facts.case,) + (None,) * (self.program.relations[name].arity - 1))
                    unstated.setdefault(name, Unstated(claim, self.lookup.facts.open[name]))
            else:
                closed = self.closed(self.lookup.claim(atom, environment))
                closing += [closed] if closed is not None else []
        return tuple(closing), tuple(unstated.values())

    def _open_inputs(self, relation: str) -> list[str]:
        """The open inputs that a relation is open because of."""
        if self.program.relations[relation].is_input:
            return [relation]
        found: dict[str, None] = {}
        for rule in self.rules.get(relation, ()):
            for literal in rule.body:
                if isinstance(literal, tree.Atom) and self.lookup.is_open(literal.relation):
                    found.update(dict.fromkeys(self._open_inputs(literal.relation)))
        return list(found)


class Listed(NamedTuple):
    """The rows that are listed for an atom, each with whether the rest of the body fails with it; how many further ones
    are left out, and with how many of these it does not fail."""

    rows: list[tuple[Row, bool]]
    more: int
    more_possible: int


NO_CLAIM = Claim("", ())


def _supports(rule: Rule, held: list[Part], needing: Iterable[Part]) -> list[Part]:
    """The atoms and equations that hold and give values to variables of others, or of such that do so, in turn."""
    case = rule.head.arguments[0]
    apart = tree.names(case) if isinstance(case, tree.Variable) else frozenset()
    wanted = frozenset().union(*(tree.names(literal) for _, literal in needing)) - apart
    givers = [part for part in held if isinstance(part[1], tree.Atom) or _is_equation(part[1])]
    found: list[Part] = []
    while True:
        more = [part for part in givers if part not in found and (tree.names(part[1]) - apart) & wanted]
        if not more:
            return found
        found += more
        wanted = wanted.union(*(tree.names(literal) for _, literal in more)) - apart


def _is_equation(literal: tree.Literal) -> bool:
    return isinstance(literal, tree.Comparison) and literal.operator == "="


def unlike(row: Row, claim: Claim) -> tuple[int, int | float | Fraction, Row]:
    """Sorts rows by how unlike a claim they are: in how many values, and in numbers by how much."""
    pairs = [(value, wanted) for value, wanted in zip(row, claim.values, strict=True) if wanted not in (None, value)]
    return len(pairs), sum(gap(value, wanted) for value, wanted in pairs), row


def bindings(environment: Environment) -> Bindings:
    return tuple(sorted(environment.items()))


def _negated(literal: tree.Literal) -> bool:
    return isinstance(literal, tree.Negation)
