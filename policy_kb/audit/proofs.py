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
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.audit.near import Distance, Nearness, behind, unlike
from policy_kb.audit.places import Places
from policy_kb.audit.statuses import Match, Part, Parts, Row, Statuses, Values, compared, read_count
from policy_kb.audit.walk import Unsound, Where, compare, entries, fields, shown
from policy_kb.check.checked import Rule
from policy_kb.explain.proof import MOST_WITHIN, Claim
from policy_kb.explain.written import NO_VALUE, json_value, sentence, written
from policy_kb.expressions import COMPARE
from policy_kb.load.facts import Facts
from policy_kb.parse.tree import (
    MIRRORED,
    Aggregate,
    Atom,
    Comparison,
    Expression,
    Literal,
    Negation,
    Truth,
    Value,
    aggregates,
    names,
)
from policy_kb.source import Span

Json = dict[str, Any]


class About(NamedTuple):
    """What a body is said of: the rule, the claim that it may give, and whether that is one row of several."""

    rule: Rule
    claim: Claim
    is_within: bool


NO_CLAIM = Claim("", ())


class Branch(NamedTuple):
    """The rest of a body behind an atom with several rows, and whether it fails with all of them."""

    rest: Parts
    fails: bool


class Due(NamedTuple):
    """A step that has to stand in a list: a literal with its answer. `row` is the one of several that it is explained
    by, `way` another proof of it than the first, `more` how many further ones have no step; `is_open`: it is explained
    by its relation being open."""

    part: Part
    answer: str
    values: Values
    row: Row | None = None
    more: int = 0
    is_open: bool = False
    branch: Branch | None = None
    way: tuple[Rule, Values] | None = None


class Listed(NamedTuple):
    """The rows listed for an atom, each with whether the rest of the body fails with it; how many are left out, and of
    these with how many it does not."""

    matches: list[tuple[Match, bool]]
    more: int
    more_possible: int


class Explanations:
    """The explanation of one case. `shown` are the numbers of the rules that what was walked so far rests on; `under`
    gives what holds where a reading, by its name, is another choice."""

    def __init__(
        self, statuses: Statuses, facts: Facts, places: Places, nodes: object, where: Where,
        under: Callable[[str, str], Statuses | None] = lambda name, choice: None,
    ):
        self.under = under
        self.statuses, self.facts, self.places, self.program = statuses, facts, places, statuses.program
        if not isinstance(nodes, list):
            raise Unsound(where, f"it says {shown(nodes)}", "it has to be a list")
        self.nodes, self.where = nodes, where
        self.shown: set[int] = set()
        self.numbers: dict[tuple[str, Claim], int] = {}
        self.contents: set[str] = set()
        self.near = Nearness(statuses)
        self.listed: dict[tuple[object, ...], Listed] = {}
        self.branches: dict[tuple[object, ...], object] = {}
        self.read_from = {(row.relation, row.values): row.span for rows in facts.rows.values() for row in rows}
        self.written_at = self.program.places

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
        relation = self.program.relations[claim.relation]
        return {
            "relation": claim.relation,
            "values": [json_value(value) for value in claim.values[1 if relation.is_case else 0 :]],
            "says": sentence(relation, claim.values, self.facts.written),
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
        span = self.known_place(relation, row) if is_known else self.read_from.get((relation, row))
        is_certain = is_known or row in self.statuses.status(relation).certain.rows
        sort = {**_where("known", is_known), **_where("uncertain", not is_certain)}
        expected = {"kind": "given", **self.stating(claim), **sort}
        with self.node(said, key, expected, where, ("at",)) as (node, there):
            self.places.check(node["at"], span, (there, "at"))

    def known_place(self, relation: str, row: Row) -> Span | None:
        """Where a known row is written, or the first rule that gives it; of a reading that was chosen, its
        alternative."""
        if (relation, row) in self.written_at:
            return self.written_at[relation, row]
        for rule in self.program.rules_for(relation):
            begun = self.statuses.begin(rule, Claim(relation, row))
            if begun is not None and any(True for _ in self.statuses.solve(begun[1], begun[0], True)):
                return rule.span
        return self.written_at.get(("alternative", row)) if relation == "reading" else None

    def absent(
        self, claim: Claim, span: Span | None, said: object, where: Where, *, is_known: bool = False
    ) -> None:
        key = ("absent", claim)
        if self.is_known(said, key, where):
            return
        expected = {"kind": "absent", **self.stating(claim), **_where("known", is_known)}
        self.with_rows("instead", self.instead(claim), claim, span, key, expected, said, where)

    def with_rows(
        self, name: str, rows: list[Row], claim: Claim, span: Span | None, key: tuple[str, Claim] | None,
        expected: Json, said: object, where: Where,
    ) -> None:
        """The node of this place, with rows of the relation under a name, those most like the claim first."""
        listed = sorted(rows, key=lambda row: unlike(row, claim))[:MOST_WITHIN]
        expected |= _where("more", len(rows) - len(listed))
        with self.node(said, key, expected, where, ("at", *([name] if listed else []))) as (node, there):
            self.places.check(node["at"], span, (there, "at"))
            inner = (there, name)
            for number, part in enumerate(entries(node.get(name, []), len(listed), inner)):
                self.given(claim.relation, listed[number], part, (inner, number))

    def closed(self, claim: Claim, said: object, where: Where) -> None:
        """That the case has no more rows that match the claim; with those that do not."""
        key = ("closed", claim)
        if self.is_known(said, key, where):
            return
        rows = [row for row in self.instead(claim) if unlike(row, claim)[0]]
        expected = {"kind": "closed", **self.stating(claim)}
        span = self.facts.stated.get(claim.relation)
        self.with_rows("besides", rows, claim, span, key, expected, said, where)

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
        self.proved(claim, rule, found, key, said, where)

    def proved(
        self, claim: Claim, rule: Rule, found: Values, key: tuple[str, Claim], said: object, where: Where
    ) -> None:
        """The node proves a claim by a rule, with a step for every literal."""
        expected = {"kind": "rule", **self.stating(claim), **self.criteria(rule), "bindings": _bindings(found.items())}
        with self.node(said, key, expected, where, ("rule", "children")) as (node, there):
            self.rule(rule, node["rule"], (there, "rule"))
            due = [Due(part, MET, found) for part in self.statuses.bodies[rule.number]]
            self.steps(due, node["children"], (there, "children"), About(rule, claim, claim.is_of_a_row))

    def attempts(self, claim: Claim, kind: str, said: object, where: Where) -> None:
        """An attempt for every rule the head of which fits, none of which gives the claim for certain."""
        key = (kind, claim)
        if self.is_known(said, key, where):
            return
        begun = [(rule, self.statuses.begin(rule, claim)) for rule in self.statuses.rules.get(claim.relation, ())]
        fitting = [(rule, *start) for rule, start in begun if start is not None]
        fails = True if kind == "refuted" else None
        with self.node(said, key, {"kind": kind, **self.stating(claim)}, where, ("attempts",)) as (node, there):
            inner = (there, "attempts")
            for number, attempt in enumerate(entries(node["attempts"], len(fitting), inner)):
                rule, values, parts = fitting[number]
                about = About(rule, claim, claim.is_of_a_row)
                answer, expected, due = self.due_of(values, parts, about, fails)
                said_of_rule = {"kind": "attempt", **self.criteria(rule), **answer, **expected}
                with self.node(attempt, None, said_of_rule, (inner, number), ("rule", "children")) as (body, here):
                    self.rule(rule, body["rule"], (here, "rule"))
                    self.steps(due, body["children"], (here, "children"), about)

    # attempts

    def criteria(self, rule: Rule) -> Json:
        return _where("criteria", [str(criterion) for criterion in rule.criteria])

    def rule(self, rule: Rule, said: object, where: Where) -> None:
        self.shown.add(rule.number)
        self.places.check(said, rule.span, where)

    def body(
        self, values: Values, parts: Parts, said: object, where: Where, about: About, fails: bool | None
    ) -> None:
        """What becomes of the rest of a body: exactly the steps that have to stand there."""
        answer, expected, due = self.due_of(values, parts, about, fails)
        node = fields(said, {**answer, **expected}, where, ("children",))
        self.steps(due, node["children"], (where, "children"), about)

    def due_of(
        self, start: Values, parts: Parts, about: About, fails: bool | None, is_whole: bool = False
    ) -> tuple[Json, Json, list[Due]]:
        """The answer for a body, what else is said of it, and the steps that have to stand there; `is_whole`: also of
        what holds where it fails."""
        statuses = self.statuses
        if fails is None:
            fails = not self.can_hold(parts, start)
        values = statuses.determined(start, parts, self.near.nearly if fails else None)
        ready = [(part, statuses.answer(part, values)) for part in parts if statuses.can_answer(part, values)]
        failing = [part for part, answer in ready if answer == NOT_MET]
        waiting = tuple(part for part in parts if not statuses.can_answer(part, values))
        more_fails = bool(waiting) and fails
        if failing and more_fails:
            more_fails = not about.is_within and not self.can_hold(waiting, values)
        assert fails == bool(failing) or (fails and more_fails)
        if fails and not is_whole:
            held = [part for part, answer in ready if answer == MET]
            givers = self.givers(held, [*failing, *(waiting if more_fails else ())], about.rule)
            ready = [(part, answer) for part, answer in ready if answer == NOT_MET or part in givers]
        due = [one for part, answer in ready for one in self.due(part, answer, values, about)]
        found = dict(values)
        if waiting and (more_fails or is_whole or not fails):
            surely = None
            if is_whole and not more_fails and not about.rule.possible:
                surely = next(statuses.solve(waiting, values, True), None)
            found = surely or found
            due += self.due_behind(waiting, values, about, more_fails) if surely is None else (
                Due(part, MET, surely) for part in waiting if statuses.can_answer(part, surely)
            )
        due.sort(key=lambda one: one.part.place)
        is_certain = not about.rule.possible and all(one.answer == MET for one in due)
        given = _bindings((name, value) for name, value in found.items() if name not in start)
        return self.ended(due, about, fails, is_certain), _where("bindings", given), due

    def due_behind(self, waiting: Parts, values: Values, about: About, fails: bool) -> list[Due]:
        """The steps of literals that have no values yet: that of the first atom, by its rows, if it has any."""
        chosen = self.statuses.next_atom(waiting, values)
        if chosen is None:
            return []
        if not fails and not self.has_rows(chosen, values):
            return self.in_one_way(waiting, values, about)
        rest = tuple(part for part in waiting if part is not chosen)
        return [Due(chosen, NOT_MET if fails else NEEDS_INFORMATION, values, branch=Branch(rest, fails))]

    def ended(self, due: list[Due], about: About, fails: bool, is_certain: bool) -> Json:
        answer = NOT_MET if fails else MET if is_certain else NEEDS_INFORMATION
        return {"answer": answer, **({"settles": about.rule.doc} if about.rule.possible and not fails else {})}

    def can_hold(self, parts: Parts, values: Values) -> bool:
        return next(self.statuses.solve(parts, values, False), None) is not None

    def has_rows(self, part: Part, values: Values) -> bool:
        assert isinstance(part.literal, Atom)
        claim = self.statuses.claim_of(part.literal, values)
        return bool(self.statuses.status(claim.relation).possible.matching(claim))

    def givers(self, held: list[Part], needing: Iterable[Part], rule: Rule) -> list[Part]:
        """Of literals that hold those that give values to others: atoms and equations that share a variable with one
        that needs it, or with another giver; the case is no such variable."""
        case = names(rule.head.arguments[0])
        linked = frozenset().union(*(names(part.literal) for part in needing)) - case
        able = [
            part for part in held
            if isinstance(part.literal, Atom)
            or (isinstance(part.literal, Comparison) and part.literal.operator == "=")
        ]
        while True:
            found = [part for part in able if (names(part.literal) - case) & linked]
            wider = linked.union(*(names(part.literal) - case for part in found))
            if wider == linked:
                return found
            linked = wider

    def in_one_way(self, parts: Parts, values: Values, about: About) -> list[Due]:
        """The steps of literals that are open: by the first way in which they may hold. What is known or compared there
        has none."""
        found = next(self.statuses.solve(parts, values, False))
        due: list[Due] = []
        for part in parts:
            literal = part.literal
            atom = literal.atom if isinstance(literal, Negation) else literal
            is_about_case = isinstance(atom, Atom) and self.program.relations[atom.relation].is_case
            if isinstance(literal, Atom) and not self.has_rows(part, found):
                due.append(Due(part, NEEDS_INFORMATION, values, is_open=True))
            elif self.statuses.can_answer(part, found):
                answer = self.statuses.answer(part, found)
                if answer != MET or is_about_case:
                    due += self.due(part, answer, found, about)
        return due

    def due(self, part: Part, answer: str, values: Values, about: About) -> list[Due]:
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
                first = [Due(part, answer, values)] if rows and status.is_open else []
        due = [Due(part, answer, values, row) for row in rows] or [Due(part, answer, values)]
        if rows and answer == NOT_MET and self.program.relations[atom.relation].is_case:  # type: ignore[union-attr]
            due = [one._replace(way=way) for one in due for way in self.ways(Claim(atom.relation, one.row))]  # type: ignore
        most = MOST_WITHIN if about.is_within else len(due)
        left_out = len(due[most:])
        due = due[:most]
        due[-1] = due[-1]._replace(more=left_out)
        return first + due

    def ways(self, claim: Claim) -> list[tuple[Rule, Values] | None]:
        """The proofs of a row that stands against a literal: of each rule that gives it one for each row of the first
        atom that leaves a choice; None is the first of them."""
        found: list[tuple[Rule, Values] | None] = []
        for rule in self.statuses.rules.get(claim.relation, ()):
            begun = self.statuses.begin(rule, claim) if rule.possible is None else None
            if begun is not None:
                found += [(rule, values) for values in self.statuses.each_way(begun[1], begun[0])]
        return [None, *found[1:]]

    def branch(self, one: Due, said: object, where: Where, about: About) -> None:
        """The rows that an atom can stand for and what becomes of the rest with each; and that where it is open."""
        part, values = one.part, one.values
        assert one.branch is not None
        rest, fails = one.branch
        key = (about.rule.number, about.claim, part, rest, tuple(sorted(values.items())))
        if key in self.branches:
            compare(said, self.branches[key], where)
            return
        atom = part.literal
        assert isinstance(atom, Atom)
        claim, status = self.statuses.claim_of(atom, values), self.statuses.status(atom.relation)
        listed = self.listed_for(part, values, rest, about, fails)
        expected: Json = {
            "kind": "rows", **self.stating(claim), **_where("more", listed.more),
            **_where("more_possible", listed.more_possible),
        }
        declared = self.program.relations[atom.relation]
        is_closed = fails and declared.is_case and declared.is_input and not status.is_open
        parts = (*(["closed"] if is_closed else []), *(["open", "otherwise"] if status.is_open else []))
        with self.node(said, None, expected, where, ("rows", *parts)) as (node, there):
            inner = (there, "rows")
            rows = entries(node["rows"], len(listed.matches), inner)
            for place, ((row, extended, more), row_fails) in enumerate(listed.matches):
                here = (inner, place)
                pair = fields(rows[place], {}, here, ("row", "then"))
                self.row(atom.relation, row, pair["row"], (here, "row"))
                then = About(about.rule, about.claim, True)
                self.body(extended, behind(rest, more), pair["then"], (here, "then"), then, row_fails)
            if is_closed:
                self.closed(claim, node["closed"], (there, "closed"))
            if status.is_open:
                self.open_relation(claim, node["open"], (there, "open"))
                self.otherwise(values, rest, node["otherwise"], (there, "otherwise"), about)
        if not about.is_within:
            self.branches[key] = said

    def otherwise(self, values: Values, rest: Parts, said: object, where: Where, about: About) -> None:
        """What becomes of the rest of a body where an atom before it is open."""
        if not self.can_hold(rest, values):
            self.body(values, rest, said, where, about, True)
            return
        due = self.in_one_way(rest, values, about)
        due.sort(key=lambda one: one.part.place)
        node = fields(said, self.ended(due, about, False, False), where, ("children",))
        self.steps(due, node["children"], (where, "children"), about)

    def listed_for(self, part: Part, values: Values, rest: Parts, about: About, fails: bool) -> Listed:
        """The rows that are listed for an atom, in their order. Where rows give no more than values, the same for all
        bindings that agree in what is needed."""
        needed = part.needs.union(*(other.needs for other in rest))
        given = tuple(sorted((name, value) for name, value in values.items() if name in needed))
        key = (part, rest, given, about.is_within, fails)
        atom = part.literal
        assert isinstance(atom, Atom)
        if key in self.listed and not any(more for (_, _, more), _ in self.listed[key].matches):
            chosen = self.listed[key]
            rows = [row for (row, _, _), _ in chosen.matches]
            matches = list(self.statuses.rows_for(atom, part.place, values, certain=False, among=rows))
            with_answers = [(match, known) for match, (_, known) in zip(matches, chosen.matches, strict=True)]
            return chosen._replace(matches=with_answers)
        found = list(self.statuses.rows_for(atom, part.place, values, certain=False))
        listed = self.all_failing(part, values, rest, found) if fails else self.that_may_hold(part, rest, found)
        if about.is_within:
            kept, left = listed.matches[:MOST_WITHIN], listed.matches[MOST_WITHIN:]
            more_possible = 0 if fails else sum(1 for _, one_fails in left if not one_fails)
            listed = Listed(kept, listed.more + len(left), more_possible)
        self.listed[key] = listed
        return listed

    def all_failing(self, part: Part, values: Values, rest: Parts, found: list[Match]) -> Listed:
        """Every possible row, and the nearest of those that nearly hold; the nearest first."""
        atom = part.literal
        assert isinstance(atom, Atom)
        nearly = self.near.nearly(self.statuses.claim_of(atom, values))
        missed = list(self.statuses.rows_for(atom, part.place, values, certain=False, among=nearly))

        def order(match: Match) -> tuple[Distance, Row]:
            return self.near.of_match(part, match, rest), match[0]

        kept = sorted(missed, key=order)[:MOST_WITHIN]
        in_order = sorted(found + kept, key=order)
        with_answers = [(match, not self.can_hold(behind(rest, match[2]), match[1])) for match in in_order]
        return Listed(with_answers, len(missed) - len(kept), 0)

    def that_may_hold(self, part: Part, rest: Parts, found: list[Match]) -> Listed:
        """The rows with which the rest may hold, and behind them the certain rows of the case with which it fails, the
        nearest first."""
        relation = part.literal.relation  # type: ignore[union-attr]
        certain = self.statuses.status(relation).certain.rows if self.program.relations[relation].is_case else set()
        holding, failing = [], []
        for match in found:
            row, extended, more = match
            if self.can_hold(behind(rest, more), extended):
                holding.append((match, False))
            elif row in certain:
                failing.append(match)
        failing.sort(key=lambda match: (self.near.of_parts(behind(rest, match[2]), match[1]), match[0]))
        kept = holding + [(match, True) for match in failing]
        return Listed(kept, len(found) - len(kept), 0)

    def open_relation(self, claim: Claim, said: object, where: Where) -> None:
        """Why a relation is open: the case says so, or every value of a derived one is doubted, whichever rows of it
        are certain."""
        if self.program.relations[claim.relation].is_input:
            self.open(claim, said, where)
        else:
            wide = Claim(claim.relation, claim.values[:1] + (None,) * (len(claim.values) - 1))
            self.attempts(wide, "doubted", said, where)

    # literals

    def steps(self, due: list[Due], said: object, where: Where, about: About) -> None:
        """A step for each literal with its answer, explained by the row that is given for it, if one is."""
        for number, step in enumerate(entries(said, len(due), where)):
            self.step(due[number], step, (where, number), about)

    def step(self, one: Due, said: object, where: Where, about: About) -> None:
        literal = one.part.literal
        behind_it = self.behind(literal, one.values) if one.row is None and not one.is_open and not one.branch else []
        would_count = one.answer == NOT_MET and self.would_count(literal, one.values, about.claim)
        expected = {
            "literal": one.part.place, "answer": one.answer, **_where("negated", isinstance(literal, Negation)),
            **_where("more_beside", one.more), **_where("would_count", would_count),
        }
        step = fields(said, expected, where, ("node", *(["behind"] if behind_it else [])))
        for number, aggregate in enumerate(entries(step.get("behind", []), len(behind_it), (where, "behind"))):
            self.aggregated(behind_it[number], one.values, aggregate, ((where, "behind"), number))
        at_node = (where, "node")
        if one.branch is not None:
            self.branch(one, step["node"], at_node, about)
        elif one.is_open or one.row is not None:
            atom = literal.atom if isinstance(literal, Negation) else literal
            assert isinstance(atom, Atom)
            if one.row is not None and one.way is not None:
                claim, (rule, found) = Claim(atom.relation, one.row), one.way
                key = (f"by {rule.number} {sorted(found.items())}", claim)
                if not self.is_known(step["node"], key, at_node):
                    self.proved(claim, rule, found, key, step["node"], at_node)
            elif one.row is not None:
                self.row(atom.relation, one.row, step["node"], at_node)
            else:
                self.open_relation(self.statuses.claim_of(atom, one.values), step["node"], at_node)
        else:
            self.literal(about.rule, literal, one.answer, one.values, step["node"], at_node, about.is_within)

    def would_count(self, literal: Literal, values: Values, claim: Claim) -> bool:
        """Whether a literal asks for a reading under which the claim is met."""
        if not isinstance(literal, Atom) or literal.relation != "reading":
            return False
        name, choice = self.statuses.claim_of(literal, values).values
        other = self.under(name, choice) if isinstance(name, str) and isinstance(choice, str) else None
        return other is not None and other.answer_for(claim) == MET

    def behind(self, literal: Literal, values: Values) -> list[Aggregate]:
        """The aggregates over known relations that a literal compares or looks up."""
        count = self.statuses.count_in(literal)
        return [
            one for one in aggregates(literal)
            if one is not count and self.statuses.insides[id(one)].shared <= values.keys()
        ]

    def aggregated(self, aggregate: Aggregate, values: Values, said: object, where: Where) -> None:
        """The rows that an aggregate is made of; of `min` and `max` those that have the value."""
        inside = self.statuses.insides[id(aggregate)]
        value = self.statuses.value(aggregate, values)
        rows = []
        for found in self.statuses.solve(inside.parts, values, True):
            own = 0 if aggregate.target is None else self.statuses.value(aggregate.target, found)
            if aggregate.function not in ("min", "max") or own == value:
                rows.append(_row_of(found, values))
        if value is None:
            rows = []
        rows = sorted(set(rows))
        inner = [part.literal for part in inside.parts]
        expected = {
            "kind": "aggregated", "function": aggregate.function, "value": json_value(value),
            **self.described(inner, values), **_where("more", len(rows) - MOST_WITHIN),
        }
        with self.node(said, None, expected, where, ("rows",)) as (node, there):
            listed = [(row, True) for row in rows[:MOST_WITHIN]]
            self.counted_rows(listed, inner, values, node["rows"], (there, "rows"))

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
            self.counted(literal, answer, values, said, where, About(rule, NO_CLAIM, is_within))
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
        self, comparison: Comparison, answer: str, values: Values, said: object, where: Where, about: About
    ) -> None:
        """The rows counted, all of them, with the proofs of their atoms; what is counted; and where the answer rests on
        there being no more, what closes it, and what is nearly counted."""
        count, operator, bound = read_count(comparison)
        parts = self.statuses.insides[id(count)].parts
        inner = [part.literal for part in parts]
        certain, possible, is_open = self.statuses.count(count, values)
        limit = self.statuses.value(bound, values)
        is_enough = answer != NEEDS_INFORMATION and answer == compared(operator, len(certain), math.inf, limit)
        missed = [] if is_enough else self.nearly_counted(parts, values, possible)
        closed = [] if is_enough else self.closed_by(inner, values)
        open_inputs: dict[str, None] = {}
        for literal in inner:
            if isinstance(literal, Atom) and self.statuses.status(literal.relation).is_open:
                open_inputs |= self.open_inputs(literal.relation)
        listed = sorted(possible)
        if about.is_within:
            listed = sorted((sorted(certain) + sorted(possible - certain))[:MOST_WITHIN])
        expected = {
            "kind": "counted", "operator": operator, "least": len(certain), "most": None if is_open else len(possible),
            "bound": self.side(bound, values), "answer": answer, **self.described(inner, values),
            **_where("more", len(possible) - len(listed)), **_where("more_missed", len(missed) - MOST_WITHIN),
        }
        number_missed = min(len(missed), MOST_WITHIN)
        numbers = {"missed": number_missed, "closed": len(closed), "open": len(open_inputs)}
        due = [name for name, number in numbers.items() if number]
        with self.node(said, None, expected, where, ("rows", *due)) as (node, there):
            rows = [(row, row in certain) for row in listed]
            self.counted_rows(rows, inner, values, node["rows"], (there, "rows"))
            for place, one in enumerate(entries(node.get("missed", []), number_missed, (there, "missed"))):
                self.missed(*missed[place], parts, values, one, ((there, "missed"), place), about)
            for place, one in enumerate(entries(node.get("closed", []), len(closed), (there, "closed"))):
                self.closed(closed[place], one, ((there, "closed"), place))
            for place, one in enumerate(entries(node.get("open", []), len(open_inputs), (there, "open"))):
                name = list(open_inputs)[place]
                any_row = Claim(name, (self.facts.case,) + (None,) * (self.program.relations[name].arity - 1))
                self.open(any_row, one, ((there, "open"), place))

    def described(self, inner: list[Literal], values: Values) -> Json:
        """What is counted or put together: rows of some claims, without rows of others, under conditions."""
        of = [self.stating(self.statuses.claim_of(one, values)) for one in inner if isinstance(one, Atom)]
        without = [self.stating(self.statuses.claim_of(one.atom, values)) for one in inner if isinstance(one, Negation)]
        conditions = [self.condition(one, values) for one in inner if isinstance(one, Comparison)]
        return {"of": of, **_where("without", without), **_where("where", conditions)}

    def counted_rows(
        self, rows: list[tuple[Any, bool]], inner: list[Literal], values: Values, said: object, where: Where
    ) -> None:
        for number, part in enumerate(entries(said, len(rows), where)):
            row, is_certain = rows[number]
            here = (where, number)
            expected = {"values": _bindings(row), **_where("uncertain", not is_certain)}
            pair = fields(part, expected, here, ("because",))
            self.because(inner, {**values, **dict(row)}, pair["because"], (here, "because"))

    def because(self, inner: list[Literal], values: Values, said: object, where: Where) -> None:
        """What the atoms of a body rest on that hold, or nearly do."""
        claims = [self.statuses.claim_of(one, values) for one in inner if isinstance(one, Atom)]
        found = [(claim.relation, rows[0]) for claim in claims if (rows := self.near.some(claim))]
        for place, proof in enumerate(entries(said, len(found), where)):
            self.row(*found[place], proof, (where, place))

    def nearly_counted(self, parts: Parts, values: Values, possible: set[Any]) -> list[tuple[Any, Values]]:
        """What comes near to being counted, the nearest first."""
        found = {_row_of(extended, values): extended for extended in self.near.combinations(parts, values, True)}
        missed = [(row, extended) for row, extended in found.items() if row not in possible]
        return sorted(missed, key=lambda one: (self.near.of_parts(parts, one[1]), one[0]))

    def missed(
        self, row: Any, extended: Values, parts: Parts, values: Values, said: object, where: Where, about: About
    ) -> None:
        """One of those: its values, what its atoms rest on, and the other literals that fail."""
        pair = fields(said, {"values": _bindings(row)}, where, ("because", "children"))
        self.because([part.literal for part in parts], extended, pair["because"], (where, "because"))
        within = About(about.rule, NO_CLAIM, True)
        due = [
            one for part in parts
            if self.statuses.can_answer(part, extended) and self.statuses.answer(part, extended) == NOT_MET
            and not (isinstance(part.literal, Atom) and self.near.some(self.statuses.claim_of(part.literal, extended)))
            for one in self.due(part, NOT_MET, extended, within)
        ]
        self.steps(due, pair["children"], (where, "children"), within)

    def closed_by(self, inner: list[Literal], values: Values) -> list[Claim]:
        """The claims about inputs of the case that are counted, where the case says all there is."""
        atoms = [one for one in inner if isinstance(one, Atom)]
        sorts = [(one, self.program.relations[one.relation]) for one in atoms]
        return [
            self.statuses.claim_of(one, values) for one, sort in sorts
            if sort.is_case and sort.is_input and not self.statuses.status(one.relation).is_open
        ]

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
        """What becomes of each of the root's rules, with every literal."""
        begun = [(rule, self.statuses.begin(rule, root)) for rule in self.statuses.rules.get(root.relation, ())]
        fitting = [(rule, *start) for rule, start in begun if start is not None]
        for number, part in enumerate(entries(said, len(fitting), where)):
            rule, start, body = fitting[number]
            here = (where, number)
            about = About(rule, root, False)
            answer, expected, due = self.due_of(start, body, about, None, is_whole=True)
            node = fields(part, {**self.criteria(rule), **answer, **expected}, here, ("rule", "children"))
            self.rule(rule, node["rule"], (here, "rule"))
            self.steps(due, node["children"], (here, "children"), about)


def _where(name: str, value: object) -> Json:
    """A field that stands where it says something."""
    return {name: value} if value and not (isinstance(value, int) and value < 0) else {}


def _row_of(found: Values, outer: Values) -> tuple[tuple[str, Value], ...]:
    return tuple(sorted((name, value) for name, value in found.items() if name not in outer))


def _side(as_written: str, value: object) -> Json:
    return {"written": as_written, "value": value}


def _bindings(bindings: Iterable[tuple[str, Any]]) -> Json:
    """The values of variables by name, without those that the rule writes as `_`."""
    return {name: json_value(value) for name, value in sorted(bindings) if not name.startswith("#")}

