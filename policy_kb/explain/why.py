"""Builds explanations from the finished model and the rules as written; engines take no part in it.

A claim that is certain gets a proof, one that is not possible a refutation, any other a doubt. All three are canonical:
rules in file order, literals in the order of the body, rows in the order of their values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from policy_kb.check.checked import Rule
from policy_kb.check.safety import needs
from policy_kb.evaluate.model import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.evaluate.plain import named_wildcards
from policy_kb.explain.lookup import MIRRORED, Lookup, Row, compared_count, count_parts
from policy_kb.explain.proof import (
    Absent,
    Attempt,
    Bindings,
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
from policy_kb.parse import tree
from policy_kb.parse.tree import Value
from policy_kb.source import Span

Places = tuple[int, ...]


class ModelContradicted(AssertionError):  # noqa: N818
    """The rules do not give what the model says: the engine that made it is wrong."""


class Explainer:
    """Explains claims about one case. Equal claims are explained by one node."""

    def __init__(self, lookup: Lookup):
        self.lookup = lookup
        self.program = lookup.program
        self.nodes: dict[Claim, Node] = {}
        self.rules: dict[str, list[Rule]] = {}
        for rule in self.program.rules:
            self.rules.setdefault(rule.head.relation, []).append(rule)
        self.spans = {(row.relation, row.values): row.span for rows in lookup.facts.rows.values() for row in rows}

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
            return Absent(claim, None, self._instead(claim), is_known=True)
        if not relation.is_input:
            return self._refute_or_doubt(claim, answer)
        if answer == NOT_MET:
            return self.absent(claim)
        if self.lookup.is_open(claim.relation):
            return Unstated(claim, self.lookup.facts.open[claim.relation])
        return self.given(claim.relation, self.lookup.rows(claim, certain=False)[0])

    def parts(self, root: Claim) -> tuple[tuple[int, tuple[Step, ...]], ...]:
        """Every literal of the root's rules that speaks of the case alone, whatever its answer, by the rule's number."""
        result = []
        for rule in self.rules.get(root.relation, ()):
            start = self.lookup.head_bindings(rule, root)
            if start is not None:
                environment = self._determined(rule.body, start)
                steps = [
                    step
                    for place, literal in enumerate(rule.body)
                    if self._is_ready(literal, environment, rule.body)
                    for step in self._steps(
                        place, self.lookup.literal_answer(literal, environment, rule.body), environment, rule.body
                    )
                ]
                result.append((rule.number, tuple(steps)))
        return tuple(result)

    # leaves

    def given(self, relation: str, row: Row) -> Given:
        is_certain = row in self.lookup.model.certain[relation]
        return Given(Claim(relation, row), self.spans.get((relation, row)), is_certain=is_certain)

    def absent(self, claim: Claim) -> Absent:
        return Absent(claim, self.lookup.facts.stated.get(claim.relation), self._instead(claim))

    def _instead(self, claim: Claim) -> tuple[Given, ...]:
        """The rows on record that do not match: those of the case, or known ones that share a first value."""
        first = claim.values[:1] if self.lookup.is_case(claim.relation) or len(claim.values) > 1 else ()
        wider = Claim(claim.relation, first + (None,) * (len(claim.values) - len(first)))
        if wider == claim or not first or first[0] is None:
            return ()
        rows = self.lookup.rows(wider, certain=False)
        if not self.lookup.is_case(claim.relation):
            return tuple(
                Given(Claim(claim.relation, row), self._known_span(claim.relation, row), is_known=True) for row in rows
            )
        return tuple(self.given(claim.relation, row) for row in rows)

    def _known_span(self, relation: str, row: Row) -> Span | None:
        for atom, span in self.program.facts:
            if atom.relation == relation and tuple(
                argument.value for argument in atom.arguments if isinstance(argument, tree.Constant)
            ) == row:
                return span
        table = next((table for table in self.program.tables if table.relation == relation), None)
        if table is not None:
            return Span(f"{table.folder}/{table.filename}", 0)
        return next((rule.span for rule in self.rules.get(relation, ())), None)

    # proofs

    def _prove(self, claim: Claim) -> Derived:
        for rule in self.rules.get(claim.relation, ()):
            if rule.possible is not None:
                continue
            start = self.lookup.head_bindings(rule, claim)
            if start is None:
                continue
            for environment in self.lookup.solutions(rule.body, start):
                if self.lookup.claim(rule.head, environment) == claim:
                    steps = (
                        Step(place, MET, self._literal(literal, environment, rule.body), _negated(literal))
                        for place, literal in enumerate(rule.body)
                    )
                    return Derived(claim, rule.number, bindings(environment), tuple(steps))
        raise ModelContradicted(f"no rule proves {claim}")

    # refutations and doubts

    def _refute_or_doubt(self, claim: Claim, answer: str) -> Refuted | Doubted:
        attempts = []
        for rule in self.rules.get(claim.relation, ()):
            start = self.lookup.head_bindings(rule, claim)
            if start is not None:
                attempts.append(self._attempt(rule, start, tuple(range(len(rule.body)))))
        if answer == NOT_MET:
            if any(attempt.answer != NOT_MET for attempt in attempts):
                raise ModelContradicted(f"a rule may give {claim}")
            return Refuted(claim, tuple(attempts))
        return Doubted(claim, tuple(attempts))

    def _attempt(self, rule: Rule, start: dict[str, Value], places: Places) -> Attempt:
        """What becomes of the literals at `places`, under bindings that the other literals have been read with."""
        body = rule.body
        environment = self._determined(body, start)
        rest = tuple(body[place] for place in places)
        is_possible = next(self.lookup.possible_solutions(rest, environment), None) is not None
        steps: list[Step] = []
        waiting: list[int] = []
        for place in places:
            literal = body[place]
            if not self._is_ready(literal, environment, body):
                waiting.append(place)
                continue
            answer = self.lookup.literal_answer(literal, environment, body)
            if is_possible or answer == NOT_MET or self._binds_what_fails(place, places, environment, body):
                steps += self._steps(place, answer, environment, body)
        failed = any(step.answer == NOT_MET for step in steps)
        branch = next((place for place in waiting if isinstance(body[place], tree.Atom)), None)
        if branch is not None and (is_possible or not failed):
            steps.append(self._branch(rule, branch, environment, tuple(waiting)))
        settles = rule.doc if rule.possible is not None and is_possible else None
        certain = rule.possible is None and all(step.answer == MET for step in steps)
        answer = NOT_MET if not is_possible else MET if certain else NEEDS_INFORMATION
        return Attempt(rule.number, answer, bindings(environment), tuple(steps), settles)

    def _binds_what_fails(
        self, place: int, places: Places, environment: dict[str, Value], body: tuple[tree.Literal, ...]
    ) -> bool:
        """Whether an atom about the case, the one row of which is certain, gives a value to a comparison that fails."""
        literal = body[place]
        if not isinstance(literal, tree.Atom) or not self.lookup.is_case(literal.relation):
            return False
        own = tree.names(literal) - tree.names(literal.arguments[0])
        return any(
            isinstance(body[other], tree.Comparison)
            and own & tree.names(body[other])
            and self._is_ready(body[other], environment, body)
            and self.lookup.literal_answer(body[other], environment, body) == NOT_MET
            for other in places
        )

    def _is_ready(self, literal: tree.Literal, environment: dict[str, Value], body: tuple[tree.Literal, ...]) -> bool:
        """Whether a literal can be answered by itself: its variables are bound, or it is an atom no row of which may
        match, so that its variables do not matter."""
        if needs(literal, environment, body) <= environment.keys():
            return True
        return (
            isinstance(literal, tree.Atom)
            and self.lookup.answer(self.lookup.claim(literal, environment)) == NOT_MET
        )

    def _determined(self, body: tuple[tree.Literal, ...], start: dict[str, Value]) -> dict[str, Value]:
        """The bindings that leave no choice: `x = expression`, and atoms that one certain row alone can match."""
        environment = dict(start)
        while True:
            before = len(environment)
            environment = self.lookup.with_assignments(body, environment)
            for literal in body:
                if isinstance(literal, tree.Atom) and not self.lookup.is_open(literal.relation):
                    found = list(self.lookup.matching(literal, environment, certain=False))
                    if len(found) == 1 and self.lookup.answer(Claim(literal.relation, found[0][0])) == MET:
                        environment = found[0][1]
            if len(environment) == before:
                return environment

    def _branch(self, rule: Rule, place: int, environment: dict[str, Value], places: Places) -> Step:
        atom = rule.body[place]
        assert isinstance(atom, tree.Atom)
        rest = tuple(other for other in places if other != place)
        rows = tuple(
            (self._row_node(atom.relation, row), self._attempt(rule, extended, rest))
            for row, extended in self.lookup.matching(atom, environment, certain=False)
        )
        claim = self.lookup.claim(atom, environment)
        unstated: Unstated | Doubted | None = None
        otherwise = None
        if self.lookup.is_open(atom.relation):
            unstated = self._open_node(claim)
            otherwise = self._open_attempt(rule, environment, rest)
        answers = [attempt.answer for _, attempt in rows] + ([otherwise.answer] if otherwise else [])
        answer = NOT_MET if all(one == NOT_MET for one in answers) else NEEDS_INFORMATION
        return Step(place, answer, Branches(claim, rows, unstated, otherwise))

    def _open_attempt(self, rule: Rule, environment: dict[str, Value], places: Places) -> Attempt:
        """What becomes of the other literals where an open atom leaves its variables unbound."""
        attempt = self._attempt(rule, environment, places)
        answer = NEEDS_INFORMATION if attempt.answer == MET else attempt.answer
        return Attempt(attempt.rule, answer, attempt.bindings, attempt.steps, attempt.settles)

    def _open_node(self, claim: Claim) -> Unstated | Doubted:
        if self.program.relations[claim.relation].is_input:
            return Unstated(claim, self.lookup.facts.open[claim.relation])
        node = self.explain(Claim(claim.relation, claim.values[:1] + (None,) * (len(claim.values) - 1)))
        if isinstance(node, Doubted):
            return node
        # Some row is certain while others are open: the doubt is about those.
        return self._doubt_further(claim)

    def _doubt_further(self, claim: Claim) -> Doubted:
        attempts = []
        for rule in self.rules.get(claim.relation, ()):
            start = self.lookup.head_bindings(rule, claim)
            if start is not None:
                attempts.append(self._attempt(rule, start, tuple(range(len(rule.body)))))
        return Doubted(claim, tuple(attempts))

    def _row_node(self, relation: str, row: Row) -> Node:
        declared = self.program.relations[relation]
        if declared.is_case and declared.is_input:
            return self.given(relation, row)
        return self.explain(Claim(relation, row))

    # literals

    def _steps(
        self, place: int, answer: str, environment: dict[str, Value], body: tuple[tree.Literal, ...]
    ) -> Iterator[Step]:
        """The step of a literal; a negated one that fails has a step for every row that stands against it."""
        literal = body[place]
        if isinstance(literal, tree.Negation) and answer == NOT_MET:
            claim = self.lookup.claim(literal.atom, environment)
            for row in self.lookup.rows(claim, certain=True):
                yield Step(place, answer, self._row_node(claim.relation, row), is_negated=True)
        else:
            yield Step(place, answer, self._literal(literal, environment, body), _negated(literal))

    def _literal(
        self, literal: tree.Literal, environment: dict[str, Value], body: tuple[tree.Literal, ...]
    ) -> Node:
        match literal:
            case tree.Atom():
                return self.explain(self.lookup.claim(literal, environment))
            case tree.Negation(atom=atom):
                return self.explain(self.lookup.claim(atom, environment))
            case tree.Comparison():
                if self.lookup.counted(literal):
                    return self._counted(literal, environment, body)
                left, right = (self._side(side, environment, body) for side in (literal.left, literal.right))
                holds = self.lookup.literal_answer(literal, environment, body) == MET
                return Compared(literal.operator, left, right, holds)
            case tree.Truth(value=value):
                return Compared("=", Side("true", "true"), Side(str(value).lower(), str(value).lower()), value)
        raise AssertionError(literal)

    def _side(
        self, expression: tree.Expression, environment: dict[str, Value], body: tuple[tree.Literal, ...]
    ) -> Side:
        value = self.lookup.value(expression, environment)
        return Side(written(expression, environment), value, self._is_date(expression, body))

    def _is_date(self, expression: tree.Expression, body: Iterable[tree.Literal]) -> bool:
        match expression:
            case tree.Call(function=function):
                return function in ("@date", "@months_before", "@months_after")
            case tree.Variable(name=name):
                for literal in body:
                    if isinstance(literal, tree.Atom):
                        attributes = self.program.relations[literal.relation].attributes
                        for argument, attribute in zip(literal.arguments, attributes, strict=True):
                            if isinstance(argument, tree.Variable) and argument.name == name:
                                return attribute.is_date
                    if isinstance(literal, tree.Comparison) and literal.operator == "=":
                        for one, other in ((literal.left, literal.right), (literal.right, literal.left)):
                            if isinstance(one, tree.Variable) and one.name == name and isinstance(other, tree.Call):
                                return self._is_date(other, ())
        return False

    def _counted(
        self, comparison: tree.Comparison, environment: dict[str, Value], body: tuple[tree.Literal, ...]
    ) -> Counted:
        count, operator, bound = count_parts(comparison)
        certain, possible, is_open = self.lookup.count_rows(count, environment, body)
        inner = named_wildcards(count.body)
        rows = []
        for row in sorted(possible, key=lambda found: [str(value) for _, value in found]):
            extended = {**environment, **dict(row)}
            nodes = tuple(
                self._row_node(claim.relation, claim.values)  # type: ignore[arg-type]
                for claim in (
                    self.lookup.claim(literal, extended) for literal in inner if isinstance(literal, tree.Atom)
                )
                if None not in claim.values and self.lookup.rows(claim, certain=False)
            )
            rows.append(CountedRow(row, row in certain, nodes))
        most = None if is_open else len(possible)
        side = self._side(bound, environment, body)
        answer = compared_count(operator, len(certain), most, side.value)
        closing, unstated = self._closing(inner, environment)
        of = tuple(self.lookup.claim(literal, environment) for literal in inner if isinstance(literal, tree.Atom))
        without = tuple(
            self.lookup.claim(literal.atom, environment) for literal in inner if isinstance(literal, tree.Negation)
        )
        conditions = tuple(
            self._condition(literal, environment, (*body, *inner))
            for literal in inner
            if isinstance(literal, tree.Comparison)
        )
        return Counted(
            operator, len(certain), most, side, tuple(rows), closing, unstated, answer, of, without, conditions
        )

    def _condition(
        self, comparison: tree.Comparison, environment: dict[str, Value], body: tuple[tree.Literal, ...]
    ) -> Condition:
        left, operator, right = comparison.left, comparison.operator, comparison.right
        if needs(left, ()) <= environment.keys() and operator in MIRRORED:
            left, operator, right = right, MIRRORED[operator], left
        is_date = self._is_date(left, body) or self._is_date(right, body)
        is_bound = needs(right, ()) <= environment.keys()
        value = self.lookup.value(right, environment) if is_bound else written(right)
        return Condition(written(left), operator, value, is_date)

    def _closing(
        self, body: tuple[tree.Literal, ...], environment: dict[str, Value]
    ) -> tuple[tuple[Absent, ...], tuple[Unstated, ...]]:
        """For each case relation counted: what closes it, or that it is open."""
        closing: list[Absent] = []
        unstated: list[Unstated] = []
        for literal in body:
            if isinstance(literal, tree.Atom) and self.lookup.is_case(literal.relation):
                claim = self.lookup.claim(literal, environment)
                relation = self.program.relations[literal.relation]
                if self.lookup.is_open(literal.relation):
                    for name in self._open_inputs(literal.relation):
                        unstated.append(Unstated(Claim(name, claim.values[:1]), self.lookup.facts.open[name]))
                elif relation.is_input:
                    closing.append(Absent(claim, self.lookup.facts.stated.get(literal.relation)))
        return tuple(closing), tuple(unstated)

    def _open_inputs(self, relation: str) -> list[str]:
        """The open inputs that a relation is open because of."""
        if self.program.relations[relation].is_input:
            return [relation]
        found: dict[str, None] = {}
        for rule in self.rules.get(relation, ()):
            for literal in rule.body:
                if isinstance(literal, tree.Atom) and self.lookup.is_case(literal.relation):
                    if self.lookup.is_open(literal.relation):
                        found.update(dict.fromkeys(self._open_inputs(literal.relation)))
        return list(found)


def bindings(environment: dict[str, Value]) -> Bindings:
    return tuple(sorted(environment.items()))


def _negated(literal: tree.Literal) -> bool:
    return isinstance(literal, tree.Negation)


def written(expression: tree.Expression, environment: Mapping[str, Value] = {}) -> str:
    """An expression as an explanation names it: a variable by its words, a constant by its value, a number of months by
    the number in `environment`."""
    match expression:
        case tree.Variable(name=name):
            return name.replace("_", " ")
        case tree.Constant(value=value):
            return str(value)
        case tree.Call(function="@months_before" | "@months_after" as function, arguments=(day, months)):
            number = environment.get(months.name, "so many") if isinstance(months, tree.Variable) else written(months)
            return f"{number} months {'before' if function == '@months_before' else 'after'} {written(day)}"
        case tree.Call(function="@year", arguments=(day,)):
            return f"year of {written(day)}"
        case tree.Call(function="@date", arguments=(tree.Constant(value=value),)):
            return str(value)
        case tree.Call(function=function, arguments=(left, right)) if function in "+-*/%":
            return f"{written(left)} {function} {written(right)}"
        case tree.Call(function=function, arguments=arguments):
            return f"{function}({', '.join(map(written, arguments))})"
        case tree.Aggregate(function=function):
            return f"the {function}"
    return "any"
