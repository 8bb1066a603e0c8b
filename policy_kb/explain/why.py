"""Builds explanations from the finished model and the rules as written; engines take no part in it.

A claim that is certain gets a proof, one that is not possible a refutation, any other a doubt. All three are canonical:
rules in file order, literals in the order of the body, rows in the order of their values.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.check.checked import Criterion, Rule, constants
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind
from policy_kb.explain.lookup import Environment, Lookup, NoValue, Part, Row, compared_count
from policy_kb.explain.proof import (
    MOST_WITHIN,
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
from policy_kb.explain.written import NO_VALUE, is_date, written
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
    """Explains claims about one case. Equal claims are explained by one node."""

    def __init__(self, lookup: Lookup):
        self.lookup = lookup
        self.program = lookup.program
        self.nodes: dict[Claim, Node] = {}
        self.rows: dict[Claim, Given] = {}
        self.doubts: dict[str, Doubted] = {}
        self.places: dict[tuple[str, Row], Span] = {}
        self.listed: dict[tuple[object, ...], tuple[list[Row] | None, int, int]] = {}
        self.rules: dict[str, list[Rule]] = {}
        for rule in self.program.rules:
            self.rules.setdefault(rule.head.relation, []).append(rule)
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

    def parts(self, root: Claim) -> tuple[tuple[int, tuple[Step, ...]], ...]:
        """Every literal of the root's rules that speaks of the case alone, whatever its answer, by rule number."""
        result = []
        for rule in self.rules.get(root.relation, ()):
            begun = self.lookup.begin(rule, root)
            if begun is not None:
                environment = self._determined(*begun)
                steps = [
                    step
                    for place, literal in begun[1]
                    if self._is_ready(literal, environment)
                    for step in self._steps(
                        rule, place, literal, self.lookup.literal_answer(literal, environment), environment, False
                    )
                ]
                result.append((rule.number, tuple(steps)))
        return tuple(result)

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
                    found.append(self._attempt(rule, *begun, is_within=False))
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
        rows = self._instead(claim)
        instead = tuple(self._row_node(claim.relation, row) for row in rows[:MOST_WITHIN])
        return Absent(claim, span, instead, is_known, len(rows) - len(instead))  # type: ignore[arg-type]

    def _instead(self, claim: Claim) -> list[Row]:
        """The rows on record that do not match: those of the case, or known ones that share a first value."""
        first = claim.values[:1] if self.lookup.is_case(claim.relation) or len(claim.values) > 1 else ()
        wider = Claim(claim.relation, first + (None,) * (len(claim.values) - len(first)))
        if wider == claim or not first or first[0] is None:
            return []
        return self.lookup.rows(wider, certain=False)

    def _known_span(self, relation: str, row: Row) -> Span | None:
        """The place of a fact, or else of the table or the first rule of its relation."""
        if not self.places:
            for atom, place in self.program.facts:
                self.places.setdefault((atom.relation, constants(atom)), place)
        span = self.places.get((relation, row))
        if span is not None:
            return span
        table = next((table for table in self.program.tables if table.relation == relation), None)
        if table is not None:
            return Span(table.name, 0)
        return next((rule.span for rule in self.rules.get(relation, ())), None)

    # proofs

    def _prove(self, claim: Claim) -> Derived:
        for rule in self.rules.get(claim.relation, ()):
            begun = self.lookup.begin(rule, claim) if rule.possible is None else None
            if begun is None:
                continue
            for environment in self.lookup.solutions(begun[1], begun[0], certain=True):
                steps = (
                    Step(
                        place, MET, self._literal(rule, literal, environment, claim.is_of_a_row), _negated(literal)
                    )
                    for place, literal in enumerate(rule.body)
                )
                return Derived(claim, rule.number, bindings(environment), tuple(steps))
        raise ModelContradicted(f"no rule proves {claim}")

    # refutations and doubts

    def _refute_or_doubt(self, claim: Claim, answer: str) -> Refuted | Doubted:
        attempts = self._attempts(claim)
        if answer == NOT_MET:
            if any(attempt.answer != NOT_MET for attempt in attempts):
                raise ModelContradicted(f"a rule may give {claim}")
            return Refuted(claim, attempts)
        return Doubted(claim, attempts)

    def _attempts(self, claim: Claim) -> tuple[Attempt, ...]:
        rules = self.rules.get(claim.relation, ())
        begun = ((rule, self.lookup.begin(rule, claim)) for rule in rules)
        return tuple(
            self._attempt(rule, *start, is_within=claim.is_of_a_row) for rule, start in begun if start is not None
        )

    def _attempt(self, rule: Rule, start: dict[str, Value], parts: Parts, *, is_within: bool) -> Attempt:
        """What becomes of some literals of a body, under bindings that the others have been read with. `is_within`: it
        is said of one row of several, so that its own lists are shortened."""
        self.make(1, rule.span)
        if not parts:
            holds = MET if rule.possible is None else NEEDS_INFORMATION
            return Attempt(rule.number, holds, (), (), rule.doc if rule.possible is not None else None)
        environment = self._determined(start, parts)
        ready: list[tuple[Part, str]] = []
        waiting: list[Part] = []
        for part in parts:
            if self._is_ready(part[1], environment):
                ready.append((part, self.lookup.literal_answer(part[1], environment)))
            else:
                waiting.append(part)
        failing = [part for part, answer in ready if answer == NOT_MET]
        branch = None
        atom = None if failing else self.lookup.next_atom(tuple(waiting), environment)
        if atom is not None:
            rest = tuple(part for part in waiting if part is not atom)
            branch = self._branch(rule, atom, environment, rest, is_within)
        is_possible = not failing and (branch is None or branch.answer != NOT_MET)
        steps: list[Step] = []
        for part, answer in ready:
            if is_possible or answer == NOT_MET or self._binds_what_fails(part[1], failing):
                steps += self._steps(rule, *part, answer, environment, is_within)
        steps += [branch] if branch is not None else []
        settles = rule.doc if rule.possible is not None and is_possible else None
        certain = rule.possible is None and all(step.answer == MET for step in steps)
        answer = NOT_MET if not is_possible else MET if certain else NEEDS_INFORMATION
        given = {name: value for name, value in environment.items() if name not in start}
        return Attempt(rule.number, answer, bindings(given), tuple(steps), settles)

    def _binds_what_fails(self, literal: tree.Literal, failing: list[Part]) -> bool:
        """Whether an atom about the case, the one row of which is certain, gives a value to a literal that fails by
        it: a comparison, or what a table says."""
        if not isinstance(literal, tree.Atom) or not self.lookup.is_case(literal.relation):
            return False
        own = tree.names(literal) - tree.names(literal.arguments[0])
        return any(own & tree.names(other) for _, other in failing if not self._is_about_case(other))

    def _is_about_case(self, literal: tree.Literal) -> bool:
        atom = literal.atom if isinstance(literal, tree.Negation) else literal
        return isinstance(atom, tree.Atom) and self.lookup.is_case(atom.relation)

    def _is_ready(self, literal: tree.Literal, environment: Environment) -> bool:
        """Whether a literal can be answered by itself: its variables are bound, or will never be: it is an atom that no
        row matches, or gives a variable the value of what has none."""
        if self.lookup.is_ready(literal, environment):
            return True
        if isinstance(literal, tree.Atom):
            return self.lookup.answer(self.lookup.claim(literal, environment)) == NOT_MET
        return self.lookup.assignment(literal, environment) is not None

    def _determined(self, start: dict[str, Value], parts: Parts) -> dict[str, Value]:
        """The bindings that leave no choice: `x = expression`, and atoms that one certain row alone can match."""
        environment = dict(start)
        unbound = [literal for _, literal in parts]
        while True:
            before = len(environment)
            unbound = [literal for literal in unbound if not self.lookup.is_ready(literal, environment)]
            for literal in unbound:
                given = self.lookup.assignment(literal, environment)
                if given is not None:
                    with suppress(NoValue):
                        environment[given[0]] = self.lookup.value(given[1], environment)
            for literal in unbound:
                only = self._only_row(literal, environment) if isinstance(literal, tree.Atom) else None
                environment = environment if only is None else only
            if len(environment) == before:
                return environment

    def _only_row(self, atom: tree.Atom, environment: dict[str, Value]) -> dict[str, Value] | None:
        """The bindings that an atom adds which one certain row alone can match."""
        if self.lookup.is_open(atom.relation):
            return None
        found = list(islice(self.lookup.matching(atom, environment, certain=False), 2))
        if len(found) != 1:
            return None
        row, extended, _ = found[0]
        return extended if self.lookup.answer(Claim(atom.relation, row)) == MET else None

    def _branch(
        self, rule: Rule, part: tuple[int, tree.Atom], environment: dict[str, Value], rest: Parts, is_within: bool
    ) -> Step:
        place, atom = part
        listed, more, more_possible = self._listed(rule, part, environment, rest) if is_within else (None, 0, 0)
        rows = tuple(
            (
                self._row_node(atom.relation, row),
                self._attempt(rule, extended, merged(rest, place, pending), is_within=True),
            )
            for row, extended, pending in self.lookup.matching(atom, environment, certain=False, among=listed)
        )
        claim = self.lookup.claim(atom, environment)
        unstated: Unstated | Doubted | None = None
        otherwise = None
        if self.lookup.is_open(atom.relation):
            unstated = self._open_node(claim)
            otherwise = self._open_attempt(rule, environment, rest, is_within)
        answers = [attempt.answer for _, attempt in rows] + ([otherwise.answer] if otherwise else [])
        answer = NOT_MET if all(one == NOT_MET for one in answers) else NEEDS_INFORMATION
        return Step(place, answer, Branches(claim, rows, unstated, otherwise, more, more_possible))

    def _listed(
        self, rule: Rule, part: tuple[int, tree.Atom], environment: dict[str, Value], rest: Parts
    ) -> tuple[list[Row] | None, int, int]:
        """The rows that an atom can stand for and that are listed, how many are not, and with how many of these the
        rest of the body does not fail; no list where all are. Found once for all bindings that agree in what the atom
        and the rest need."""
        place, atom = part
        needed = frozenset().union(self.lookup.needed(atom), *(self.lookup.needed(literal) for _, literal in rest))
        shared = tuple(sorted((name, value) for name, value in environment.items() if name in needed))
        is_as_written = all(place >= 0 and rule.body[place] is literal for place, literal in rest)
        key = (rule.number, place, tuple(place for place, _ in rest), shared) if is_as_written else None
        if key is not None and key in self.listed:
            return self.listed[key]
        matching = list(self.lookup.matching(atom, environment, certain=False))
        self.make(len(matching), rule.span)
        found: tuple[list[Row] | None, int, int] = None, 0, 0
        if len(matching) > MOST_WITHIN:
            possible = [
                any(True for _ in self.lookup.solutions(merged(rest, place, pending), extended, certain=False))
                for _, extended, pending in matching
            ]
            numbers = sorted(range(len(matching)), key=lambda number: not possible[number])
            more = numbers[MOST_WITHIN:]
            rows = [matching[number][0] for number in sorted(numbers[:MOST_WITHIN])]
            found = rows, len(more), sum(possible[number] for number in more)
        if key is not None:
            self.listed[key] = found
        return found

    def _open_attempt(self, rule: Rule, environment: dict[str, Value], parts: Parts, is_within: bool) -> Attempt:
        """What becomes of the other literals where an open atom leaves its variables unbound."""
        attempt = self._attempt(rule, environment, parts, is_within=is_within)
        return replace(attempt, answer=NEEDS_INFORMATION) if attempt.answer == MET else attempt

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
        self, rule: Rule, place: int, literal: tree.Literal, answer: str, environment: Environment, is_within: bool
    ) -> Iterator[Step]:
        """The steps of a literal: one, or one for each of the rows that decide about it; behind that of an open
        relation, where it is one."""
        rows = self._deciding(literal, answer, environment)
        if not rows or (answer == NEEDS_INFORMATION and self.lookup.is_open(rows[0].relation)):
            yield Step(place, answer, self._literal(rule, literal, environment, is_within), _negated(literal))
        shown = rows[:MOST_WITHIN] if is_within else rows
        for number, row in enumerate(shown, 1):
            more = len(rows) - number if number == len(shown) else 0
            node = self._row_node(row.relation, row.values)  # type: ignore[arg-type]
            yield Step(place, answer, node, _negated(literal), more)

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
                return Compared(literal.operator, left, right, holds)
            case tree.Truth(value=value):
                return Compared("=", Side("true", "true"), Side(str(value).lower(), str(value).lower()), value)
        raise AssertionError(literal)

    def _side(self, rule: Rule, expression: tree.Expression, environment: Environment) -> Side:
        value = self.lookup.value(expression, environment)
        return Side(written(expression, environment), value, self._is_date(expression, rule.body))

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
        atoms = [literal for literal in inner if isinstance(literal, tree.Atom)]
        rows = []
        for row in sorted(kept):
            extended = {**environment, **dict(row)}
            nodes = tuple(
                self._row_node(claim.relation, claim.values)  # type: ignore[arg-type]
                for claim in (self.lookup.claim(atom, extended) for atom in atoms)
                if self.lookup.rows(claim, certain=False)
            )
            rows.append(CountedRow(row, row in certain, nodes))
        most = None if is_open else len(possible)
        side = self._side(rule, bound, environment)
        answer = compared_count(operator, len(certain), most, side.value)
        closing, unstated = self._closing(atoms, environment)
        of = tuple(self.lookup.claim(atom, environment) for atom in atoms)
        without = tuple(
            self.lookup.claim(literal.atom, environment) for literal in inner if isinstance(literal, tree.Negation)
        )
        conditions = tuple(
            self._condition(literal, environment, (*rule.body, *inner))
            for literal in inner
            if isinstance(literal, tree.Comparison)
        )
        return Counted(
            operator, len(certain), most, side, tuple(rows), closing, unstated, answer, of, without, conditions,
            len(possible) - len(rows),
        )

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
        return Condition(written(left), operator, value, self._is_date(left, body) or self._is_date(right, body))

    def _closing(
        self, atoms: list[tree.Atom], environment: Environment
    ) -> tuple[tuple[Absent, ...], tuple[Unstated, ...]]:
        """For each case relation counted: what closes it, or what it is open because of."""
        closing: list[Absent] = []
        unstated: dict[str, Unstated] = {}
        for atom in atoms:
            relation = self.program.relations[atom.relation]
            if relation.is_case and self.lookup.is_open(atom.relation):
                for name in self._open_inputs(atom.relation):
                    claim = Claim(name, (self.lookup.facts.case,) + (None,) * (self.program.relations[name].arity - 1))
                    unstated.setdefault(name, Unstated(claim, self.lookup.facts.open[name]))
            elif relation.is_case and relation.is_input:
                stated = self.lookup.facts.stated.get(atom.relation)
                closing.append(Absent(self.lookup.claim(atom, environment), stated))
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


def merged(parts: Parts, place: int, pending: tuple[tree.Literal, ...]) -> Parts:
    """The literals that remain after an atom, and what it left to be computed, at its place."""
    if not pending:
        return parts
    return tuple(sorted((*parts, *((place, literal) for literal in pending)), key=lambda part: part[0]))


def bindings(environment: Environment) -> Bindings:
    return tuple(sorted(environment.items()))


def _negated(literal: tree.Literal) -> bool:
    return isinstance(literal, tree.Negation)
