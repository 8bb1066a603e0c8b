"""Checks an explanation, as the JSON of a determination has it, against the rules as written and the facts of the case.

Explanations are canonical: a claim has exactly one. The audit walks an explanation and works out at every part what
has to stand there (`statuses`), so that a missing rule, branch or row is found as surely as a wrong value. It goes only
where the rules lead: however a document is nested, the walk is no deeper than the rules are.

Within what is said of one row of several (`is_within`) a list has no more than `MOST_WITHIN` rows, those that weigh
most, and says how many more there are. The audit has looked at all of them.

Nodes refer to each other by number. A node gets its number behind all those that it refers to, so that no explanation
can rest on itself; none stands twice, and none is left over. A claim has one node: it is checked once, and every other
part that has to explain it has to refer to that node.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.audit.places import Places
from policy_kb.audit.statuses import Match, Part, Parts, Row, Statuses, Values, read_count
from policy_kb.audit.walk import Unsound, Where, compare, entries, fields, mapping, shown
from policy_kb.check.checked import Rule, constants
from policy_kb.explain.proof import HEAD, MOST_WITHIN, Claim
from policy_kb.explain.written import NO_VALUE, json_value, sentence, written
from policy_kb.expressions import COMPARE
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

Json = dict[str, Any]


class Due(NamedTuple):
    """A step that has to stand in a list: a literal with its answer. `row` is the one of several that it is explained
    by, `more` how many further ones have no step."""

    part: Part
    answer: str
    row: Row | None = None
    more: int = 0


class Explanations:
    """The explanation of one case. `shown` are the numbers of the rules that what was walked so far rests on."""

    def __init__(self, statuses: Statuses, facts: Facts, places: Places, nodes: object, where: Where):
        self.statuses, self.facts, self.places, self.program = statuses, facts, places, statuses.program
        if not isinstance(nodes, list):
            raise Unsound(where, f"it says {shown(nodes)}", "it has to be a list")
        self.nodes, self.where = nodes, where
        self.shown: set[int] = set()
        self.numbers: dict[tuple[str, Claim], int] = {}
        self.contents: set[str] = set()
        self.failing: dict[tuple[Part, Parts, tuple[tuple[str, Value], ...]], list[bool]] = {}
        self.read_from = {(row.relation, row.values): row.span for rows in facts.rows.values() for row in rows}
        self.written_at: dict[tuple[str, Row], Span] = {}
        for atom, span in self.program.facts:
            self.written_at.setdefault((atom.relation, constants(atom)), span)

    # nodes

    @contextmanager
    def node(
        self, said: object, key: tuple[str, Claim] | None, expected: Json, where: Where, parts: Collection[str] = ()
    ) -> Iterator[tuple[Json, Where]]:
        """The node of this number, with the fields expected, and the way to it. Without a `key`, that nodes are shared
        by, it may stand anywhere before; it is looked at anew wherever it is referred to."""
        there: Where = (self.where, said if isinstance(said, int) else None)
        if type(said) is not int or not 0 <= said < len(self.nodes):
            raise Unsound(where, f"it says {shown(said)}", "it has to be the number of a node")
        yield fields(self.nodes[said], {"id": said, "kind": expected["kind"], **expected}, there, parts), there
        if said >= len(self.contents):
            if said > len(self.contents):
                raise Unsound(where, f"it says {shown(said)}", f"it has to be {shown(len(self.contents))}")
            content = json.dumps({**self.nodes[said], "id": None}, sort_keys=True)
            if content in self.contents:
                raise Unsound(there, "it says what another node says", "a node stands once")
            self.contents.add(content)
        if key is not None:
            self.numbers[key] = said

    def is_known(self, said: object, key: tuple[str, Claim], where: Where) -> bool:
        """Whether the node of this key has been looked at; refuse a reference to any other."""
        if key not in self.numbers:
            return False
        compare(said, self.numbers[key], where)
        return True

    def end(self) -> None:
        """Refuse nodes that nothing refers to."""
        entries(self.nodes, len(self.contents), self.where)

    def stating(self, claim: Claim) -> Json:
        """The fields that state a claim."""
        return {
            "relation": claim.relation,
            "values": [json_value(value) for value in claim.values],
            "says": sentence(self.program.relations[claim.relation], claim.values),
        }

    def claim(self, claim: Claim, said: object, where: Where) -> None:
        """The node explains the claim: by its first certain row; or as open or absent."""
        status, declared = self.statuses.status(claim.relation), self.program.relations[claim.relation]
        certain = status.certain.matching(claim)
        if certain and (declared.is_input or not declared.is_case):
            self.given(claim.relation, certain[0], said, where)
        elif certain:
            self.proof(Claim(claim.relation, certain[0]), said, where)
        elif not declared.is_case:
            self.absent(claim, None, said, where, is_known=True)
        elif not declared.is_input:
            is_doubted = status.is_open or bool(status.possible.matching(claim))
            self.attempts(claim, "doubted" if is_doubted else "refuted", said, where)
        elif status.is_open:
            self.open(claim, said, where)
        elif possible := status.possible.matching(claim):
            self.given(claim.relation, possible[0], said, where)
        else:
            self.absent(claim, self.facts.stated.get(claim.relation), said, where)

    def row(self, relation: str, row: Row, said: object, where: Where) -> None:
        """The node explains a possible row."""
        declared = self.program.relations[relation]
        if declared.is_case and declared.is_input:
            self.given(relation, row, said, where)
        else:
            self.claim(Claim(relation, row), said, where)

    def given(self, relation: str, row: Row, said: object, where: Where) -> None:
        """A row of the case or a known fact, with its place: of what table files and rules give, theirs."""
        claim, is_known = Claim(relation, row), not self.program.relations[relation].is_case
        key = ("given", claim)
        if self.is_known(said, key, where):
            return
        span = self.written_at.get((relation, row)) if is_known else self.read_from.get((relation, row))
        if span is None and is_known:
            tables = (Span(t.name, 0) for t in self.program.tables if t.relation == relation)
            span = next(tables, None) or next((rule.span for rule in self.program.rules_for(relation)), None)
        is_certain = is_known or row in self.statuses.status(relation).certain.rows
        expected = {"kind": "given", **self.stating(claim), "known": is_known, "certain": is_certain}
        with self.node(said, key, expected, where, ("at",)) as (node, there):
            self.places.check(node["at"], span, (there, "at"))

    def absent(
        self, claim: Claim, span: Span | None, said: object, where: Where, *, is_known: bool = False
    ) -> None:
        key = ("absent", claim)
        if self.is_known(said, key, where):
            return
        rows = self.instead(claim)
        expected = {"kind": "absent", **self.stating(claim), "known": is_known, **_more(len(rows) - MOST_WITHIN)}
        with self.node(said, key, expected, where, ("at", "instead")) as (node, there):
            self.places.check(node["at"], span, (there, "at"))
            inner = (there, "instead")
            for number, part in enumerate(entries(node["instead"], min(len(rows), MOST_WITHIN), inner)):
                self.given(claim.relation, rows[number], part, (inner, number))

    def instead(self, claim: Claim) -> list[Row]:
        """The rows that stand where the claim has none: all of the case, or known ones with the same first value."""
        is_case = self.program.relations[claim.relation].is_case
        others = len(claim.values) - 1
        if (not is_case and others < 1) or claim.values[:1] in ((), (None,)) or claim.values[1:] == (None,) * others:
            return []
        wider = Claim(claim.relation, claim.values[:1] + (None,) * others)
        return self.statuses.status(claim.relation).possible.matching(wider)

    def open(self, claim: Claim, said: object, where: Where) -> None:
        expected = {"kind": "open", **self.stating(claim), "why": self.facts.open[claim.relation]}
        with self.node(said, None, expected, where):
            pass

    def proof(self, claim: Claim, said: object, where: Where) -> None:
        """The first rule that gives the claim for certain, with a step for every literal."""
        key = ("claim", claim)
        if self.is_known(said, key, where):
            return
        for rule in self.statuses.rules[claim.relation]:
            begun = self.statuses.begin(rule, claim) if rule.possible is None else None
            found = next(self.statuses.solve(begun[1], begun[0], True), None) if begun is not None else None
            if found is not None:
                break
        else:
            raise AssertionError(f"no rule gives {claim} for certain")
        expected = {"kind": "rule", **self.stating(claim), **self.criteria(rule), "bindings": _bindings(found.items())}
        with self.node(said, key, expected, where, ("rule", "children")) as (node, there):
            self.rule(rule, node["rule"], (there, "rule"))
            due = [Due(part, MET) for part in self.statuses.bodies[rule.number]]
            self.steps(rule, due, found, node["children"], (there, "children"), claim.is_of_a_row)

    def attempts(self, claim: Claim, kind: str, said: object, where: Where) -> None:
        """An attempt for every rule the head of which fits, none of which gives the claim for certain."""
        key = (kind, claim)
        if self.is_known(said, key, where):
            return
        begun = [(rule, self.statuses.begin(rule, claim)) for rule in self.statuses.rules.get(claim.relation, ())]
        fitting = [(rule, *start) for rule, start in begun if start is not None]
        with self.node(said, key, {"kind": kind, **self.stating(claim)}, where, ("attempts",)) as (node, there):
            inner = (there, "attempts")
            for number, attempt in enumerate(entries(node["attempts"], len(fitting), inner)):
                rule, values, parts = fitting[number]
                here = (inner, number)
                found = fields(mapping(attempt, here), {**self.criteria(rule)}, here, tuple(attempt))
                if "rule" not in found:
                    fields(found, {}, here, (*found, "rule"))
                self.rule(rule, found["rule"], (here, "rule"))
                rest = {key: part for key, part in found.items() if key not in ("rule", "criteria")}
                self.attempt(rule, values, parts, rest, here, claim.is_of_a_row)

    # attempts

    def criteria(self, rule: Rule) -> Json:
        return {"criteria": [str(criterion) for criterion in rule.criteria]}

    def rule(self, rule: Rule, said: object, where: Where) -> None:
        self.shown.add(rule.number)
        self.places.check(said, rule.span, where)

    def attempt(
        self, rule: Rule, start: Values, parts: Parts, said: object, where: Where, is_within: bool, *,
        is_open: bool = False,
    ) -> None:
        """What becomes of a body: exactly the steps that have to stand there. `is_open`: behind an atom that is open,
        where nothing is certain."""
        statuses = self.statuses
        values = statuses.determined(start, parts)
        is_possible = any(True for _ in statuses.solve(parts, values, False))
        ready = [(part, statuses.answer(part, values)) for part in parts if statuses.can_answer(part, values)]
        failing = [part.literal for part, answer in ready if answer == NOT_MET]
        waiting = tuple(part for part in parts if not statuses.can_answer(part, values))
        branch = None if failing else statuses.next_atom(waiting, values)
        is_certain = rule.possible is None and branch is None and all(answer == MET for _, answer in ready)
        answer = NOT_MET if not is_possible else MET if is_certain and not is_open else NEEDS_INFORMATION
        given = _bindings((name, value) for name, value in values.items() if name not in start)
        expected: Json = {"answer": answer, **({"bindings": given} if given else {})}
        if rule.possible and is_possible:
            expected["settles"] = rule.doc
        node = fields(said, expected, where, ("children",))
        due: list[Due] = []
        for part, answer in ready:
            if is_possible or answer == NOT_MET or self.gives_what_fails(part.literal, failing):
                due += self.due(part, answer, values, is_within)
        there = (where, "children")
        steps = entries(node["children"], len(due) + (branch is not None), there)
        self.steps(rule, due, values, steps[: len(due)], there, is_within)
        if branch is not None:
            rest = tuple(part for part in waiting if part is not branch)
            here = (there, len(due))
            self.branch(rule, branch, values, rest, steps[-1], here, is_within, is_possible=is_possible)

    def gives_what_fails(self, literal: Literal, failing: list[Literal]) -> bool:
        """Whether an atom about the case binds a variable of a literal that fails and does not speak of the case."""
        if not isinstance(literal, Atom) or not self.program.relations[literal.relation].is_case:
            return False
        own = names(literal) - names(literal.arguments[0])
        return any(not own.isdisjoint(names(other)) for other in failing if not self.is_about_case(other))

    def is_about_case(self, literal: Literal) -> bool:
        atom = literal.atom if isinstance(literal, Negation) else literal
        return isinstance(atom, Atom) and self.program.relations[atom.relation].is_case

    def due(self, part: Part, answer: str, values: Values, is_within: bool) -> list[Due]:
        """The steps of a literal: one; or one for every row that stands against a negated literal, or for every
        uncertain row of an input by which it may hold or not, behind that of the input where it is open."""
        literal = part.literal
        atom = literal.atom if isinstance(literal, Negation) else literal
        rows: list[Row] = []
        first: list[Due] = []
        if isinstance(atom, Atom) and self.statuses.without_value(literal, values) is None:
            claim, status = self.statuses.claim_of(atom, values), self.statuses.status(atom.relation)
            if answer == NOT_MET and isinstance(literal, Negation):
                rows = status.certain.matching(claim)
            elif answer == NEEDS_INFORMATION and self.program.relations[atom.relation].is_input:
                rows = status.possible.matching(claim)
                first = [Due(part, answer)] if rows and status.is_open else []
        most = MOST_WITHIN if is_within else len(rows)
        due = [Due(part, answer, row) for row in rows[:most]] or [Due(part, answer)]
        due[-1] = due[-1]._replace(more=max(len(rows) - most, 0))
        return first + due

    def branch(
        self, rule: Rule, part: Part, values: Values, rest: Parts, said: object, where: Where, is_within: bool, *,
        is_possible: bool,
    ) -> None:
        """Every possible row that an atom can stand for and what becomes of the rest; and that where it is open."""
        answer = NEEDS_INFORMATION if is_possible else NOT_MET
        number = _step(said, part.place, answer, False, 0, where)
        atom = part.literal
        assert isinstance(atom, Atom)
        claim, status = self.statuses.claim_of(atom, values), self.statuses.status(atom.relation)
        parts_due = ("rows", "open", "otherwise") if status.is_open else ("rows",)
        found = list(self.statuses.rows_for(atom, part.place, values, certain=False))
        expected: Json = {"kind": "rows", **self.stating(claim)}
        if is_within and len(found) > MOST_WITHIN:
            left_out, fails = len(found) - MOST_WITHIN, self.fails(part, values, rest, found)
            chosen = [n for n, one in enumerate(fails) if not one] + [n for n, one in enumerate(fails) if one]
            found = [found[n] for n in sorted(chosen[:MOST_WITHIN])]
            more_possible = sum(not fails[n] for n in chosen[MOST_WITHIN:])
            expected |= {**_more(left_out), "more_possible": more_possible}
        with self.node(number, None, expected, (where, "node"), parts_due) as (node, there):
            inner = (there, "rows")
            rows = entries(node["rows"], len(found), inner)
            for place, (row, extended, more) in enumerate(found):
                here = (inner, place)
                pair = fields(rows[place], {}, here, ("row", "then"))
                self.row(atom.relation, row, pair["row"], (here, "row"))
                after = tuple(sorted((*rest, *more), key=lambda other: other.place))
                self.attempt(rule, extended, after, pair["then"], (here, "then"), True)
            if status.is_open:
                self.open_relation(claim, node["open"], (there, "open"))
                self.attempt(rule, values, rest, node["otherwise"], (there, "otherwise"), is_within, is_open=True)

    def fails(self, part: Part, values: Values, rest: Parts, found: list[Match]) -> list[bool]:
        """Of each row that an atom can stand for, whether the rest fails with it. Where rows give no more than values,
        the same for all bindings that agree in what is needed."""
        needed = part.needs.union(*(other.needs for other in rest))
        given = tuple(sorted((name, value) for name, value in values.items() if name in needed))
        key = (part, rest, given)
        result = self.failing.get(key)
        if result is None:
            result = [
                not any(True for _ in self.statuses.solve((*rest, *more), extended, False))
                for _, extended, more in found
            ]
            if not any(more for _, _, more in found):
                self.failing[key] = result
        return result

    def open_relation(self, claim: Claim, said: object, where: Where) -> None:
        """Why a relation is open: the case says so, or every value of a derived one is doubted, whichever rows of it
        are certain."""
        if self.program.relations[claim.relation].is_input:
            self.open(claim, said, where)
        else:
            wide = Claim(claim.relation, claim.values[:1] + (None,) * (len(claim.values) - 1))
            self.attempts(wide, "doubted", said, where)

    # literals

    def steps(
        self, rule: Rule, due: list[Due], values: Values, said: object, where: Where, is_within: bool
    ) -> None:
        """A step for each literal with its answer, explained by the row that is given for it, if one is."""
        for number, step in enumerate(entries(said, len(due), where)):
            part, answer, row, more = due[number]
            here = (where, number)
            node = _step(step, part.place, answer, isinstance(part.literal, Negation), more, here)
            at_node = (here, "node")
            if row is not None:
                atom = part.literal.atom if isinstance(part.literal, Negation) else part.literal
                assert isinstance(atom, Atom)
                self.row(atom.relation, row, node, at_node)
            else:
                self.literal(rule, part.literal, answer, values, node, at_node, is_within)

    def literal(
        self, rule: Rule, literal: Literal, answer: str, values: Values, said: object, where: Where, is_within: bool
    ) -> None:
        statuses = self.statuses
        nothing = statuses.without_value(literal, values)
        if nothing is not None and not (isinstance(literal, Atom) and answer != NOT_MET):
            sides = _side(written(nothing, values), NO_VALUE), _side("a value", "a value")
            self.compared("=", *sides, False, said, where)
        elif isinstance(literal, Atom | Negation):
            atom = literal.atom if isinstance(literal, Negation) else literal
            self.claim(statuses.claim_of(atom, values), said, where)
        elif isinstance(literal, Truth):
            word = str(literal.value).lower()
            self.compared("=", _side("true", "true"), _side(word, word), literal.value, said, where)
        elif statuses.count_in(literal) is not None:
            self.counted(literal, answer, values, said, where, is_within)
        else:
            one, other = statuses.value(literal.left, values), statuses.value(literal.right, values)
            assert one is not None
            assert other is not None
            left, right = self.side(literal.left, values), self.side(literal.right, values)
            self.compared(literal.operator, left, right, COMPARE[literal.operator](one, other), said, where)

    def compared(self, operator: str, left: Json, right: Json, holds: bool, said: object, where: Where) -> None:
        expected = {"kind": "compared", "operator": operator, "left": left, "right": right, "holds": holds}
        with self.node(said, None, expected, where):
            pass

    def side(self, expression: Expression, values: Values) -> Json:
        return _side(written(expression, values), json_value(self.statuses.value(expression, values)))

    def counted(
        self, comparison: Comparison, answer: str, values: Values, said: object, where: Where, is_within: bool
    ) -> None:
        """The rows counted, all of them, with the proofs of their atoms; what is counted; what closes it."""
        count, operator, bound = read_count(comparison)
        inner = [part.literal for part in self.statuses.insides[id(count)].parts]
        atoms = [literal for literal in inner if isinstance(literal, Atom)]
        certain, possible, is_open = self.statuses.count(count, values)
        without = (self.statuses.claim_of(one.atom, values) for one in inner if isinstance(one, Negation))
        expected = {
            "kind": "counted",
            "operator": operator,
            "least": len(certain),
            "most": None if is_open else len(possible),
            "bound": self.side(bound, values),
            "answer": answer,
            "of": [self.stating(self.statuses.claim_of(atom, values)) for atom in atoms],
            "without": [self.stating(claim) for claim in without],
            "where": [self.condition(one, values) for one in inner if isinstance(one, Comparison)],
            **_more(len(possible) - MOST_WITHIN if is_within else 0),
        }
        listed = sorted(possible)
        if is_within:
            listed = sorted((sorted(certain) + sorted(possible - certain))[:MOST_WITHIN])
        with self.node(said, None, expected, where, ("rows", "closed", "open")) as (node, there):
            inside = (there, "rows")
            for number, (row, part) in enumerate(zip(listed, entries(node["rows"], len(listed), inside), strict=True)):
                here = (inside, number)
                pair = fields(part, {"values": _bindings(row), "certain": row in certain}, here, ("because",))
                claims = [self.statuses.claim_of(atom, {**values, **dict(row)}) for atom in atoms]
                rows = [(one.relation, self.statuses.status(one.relation).possible.matching(one)) for one in claims]
                proved = [(relation, found[0]) for relation, found in rows if found]
                because = (here, "because")
                for place, proof in enumerate(entries(pair["because"], len(proved), because)):
                    self.row(*proved[place], proof, (because, place))
            self.closing(atoms, values, node, there)

    def closing(self, atoms: list[Atom], values: Values, node: Json, where: Where) -> None:
        """What closes the relations counted, or what they are open because of."""
        closed: list[Claim] = []
        open_inputs: dict[str, None] = {}
        for atom in atoms:
            relation = self.program.relations[atom.relation]
            if self.statuses.status(atom.relation).is_open:
                open_inputs |= self.open_inputs(atom.relation)
            elif relation.is_case and relation.is_input:
                closed.append(self.statuses.claim_of(atom, values))
        inner = (where, "closed")
        for number, part in enumerate(entries(node["closed"], len(closed), inner)):
            claim = closed[number]
            expected = {"kind": "absent", **self.stating(claim), "known": False, "instead": []}
            with self.node(part, None, expected, (inner, number), ("at",)) as (absent, there):
                self.places.check(absent["at"], self.facts.stated.get(claim.relation), (there, "at"))
        inner = (where, "open")
        names_of_open = list(open_inputs)
        for number, part in enumerate(entries(node["open"], len(names_of_open), inner)):
            name = names_of_open[number]
            any_row = Claim(name, (self.facts.case,) + (None,) * (self.program.relations[name].arity - 1))
            self.open(any_row, part, (inner, number))

    def open_inputs(self, relation: str) -> dict[str, None]:
        """The open inputs because of which a relation is open."""
        if self.program.relations[relation].is_input:
            return {relation: None}
        body = (literal for rule in self.statuses.rules[relation] for literal in rule.body)
        atoms = [literal.relation for literal in body if isinstance(literal, Atom)]
        return {name: None for atom in atoms if self.statuses.status(atom).is_open for name in self.open_inputs(atom)}

    def condition(self, comparison: Comparison, values: Values) -> Json:
        left, operator, right = comparison.left, comparison.operator, comparison.right
        if names(left) <= values.keys() and operator in MIRRORED:
            left, operator, right = right, MIRRORED[operator], left
        value = self.statuses.value(right, values)
        return {
            "left": written(left), "operator": operator, "right": written(right) if value is None else json_value(value)
        }

    # the rules of the root

    def parts(self, root: Claim, said: object, where: Where) -> None:
        """Every literal of the root's rules that can be answered by itself, whether it holds or not."""
        begun = [(rule, self.statuses.begin(rule, root)) for rule in self.statuses.rules.get(root.relation, ())]
        fitting = [(rule, *start) for rule, start in begun if start is not None]
        for number, part in enumerate(entries(said, len(fitting), where)):
            rule, start, body = fitting[number]
            here = (where, number)
            node = fields(part, self.criteria(rule), here, ("rule", "children"))
            self.rule(rule, node["rule"], (here, "rule"))
            values = self.statuses.determined(start, body)
            due: list[Due] = []
            for one in body:
                if self.statuses.can_answer(one, values):
                    due += self.due(one, self.statuses.answer(one, values), values, False)
            self.steps(rule, due, values, node["children"], (here, "children"), False)


def _step(said: object, place: int, answer: str, is_negated: bool, more: int, where: Where) -> object:
    """The number of the node of a step, whose own fields are right. `place` is `HEAD` for what the head computes."""
    assert place >= HEAD
    expected = {
        "literal": place, "answer": answer, **({"negated": True} if is_negated else {}),
        **({"more_beside": more} if more else {}),
    }
    return fields(said, expected, where, ("node",))["node"]


def _more(number: int) -> Json:
    """The field that says how many rows are left out, where some are."""
    return {"more": number} if number > 0 else {}


def _side(as_written: str, value: object) -> Json:
    return {"written": as_written, "value": value}


def _bindings(bindings: Iterable[tuple[str, Any]]) -> Json:
    """The values of variables by name, without those that the rule writes as `_`."""
    return {name: json_value(value) for name, value in sorted(bindings) if not name.startswith("#")}

