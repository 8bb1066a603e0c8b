"""A walk over an explanation, as JSON has it, that asserts the laws every explanation keeps.

(a) Each literal of each rule shown is there: of a proof all of them, in written order; of a body that fails those that
fail and those that give them their values; of one that may hold all that is not settled by a table or a comparison.
(b) Each value shown is one of the case, of the rules, or computed from values shown: the variables of a rule are
found from what is shown of it alone. (c) What is said to come near comes near, and what would count does. (d) Each
node is referred to. Every list that decides is complete; one that does not says how many it leaves out.

What holds is asked of `Statuses`, which is tested against engines; what stands there is not worked out as the audit
does, but looked at part by part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.audit.near import Nearness
from policy_kb.audit.statuses import Part, Parts, Row, Statuses, Values, compared, read_count
from policy_kb.check.checked import Rule
from policy_kb.explain.lookup import Lookup
from policy_kb.explain.proof import MOST_WITHIN, Claim
from policy_kb.explain.written import NO_VALUE, json_value
from policy_kb.expressions import COMPARE
from policy_kb.parse.tree import (
    Aggregate,
    Atom,
    Comparison,
    Literal,
    Negation,
    Truth,
    Value,
    Variable,
    aggregates,
    names,
)

Json = dict[str, Any]
Under = Callable[[str, str], "Lookup | None"]


def as_value(said: Any, kind: str) -> Value | None:
    """A value as JSON writes it."""
    if said is None or kind == "symbol":
        return said  # type: ignore[no-any-return]
    return int(said) if kind == "number" else Fraction(str(said))


def shown_bindings(values: Mapping[str, Value]) -> Json:
    return {name: json_value(value) for name, value in values.items() if not name.startswith("#")}


class Walk:
    """A walk over the nodes of one explanation. `under` is what an engine finds under another reading."""

    def __init__(self, statuses: Statuses, explanation: Json, under: Under = lambda name, choice: None):
        self.statuses, self.explanation, self.under = statuses, explanation, under
        self.program, self.facts, self.nodes = statuses.program, statuses.facts, explanation["nodes"]
        self.near = Nearness(statuses)
        self.done: set[int] = set()
        self.steps_seen = 0

    def whole(self, root: Claim, has_parts: bool = True) -> None:
        """The explanation is one of this claim, with what becomes of each of its rules where it is that of a phase."""
        self.explains(self.explanation["root"], root)
        parts = self.explanation.get("parts")
        if parts is not None:
            rules = self.fitting(root) if has_parts else []
            assert len(parts) == len(rules)
            assert self.explanation.get("one_of", False) == (len(rules) > 1)
            for part, (rule, start, body) in zip(parts, rules, strict=True):
                self.attempt(part, rule, start, body, root, is_whole=True)
        self.end()

    def end(self) -> None:
        assert self.done == set(range(len(self.nodes))), "a node is left over"

    # claims

    def fitting(self, claim: Claim) -> list[tuple[Rule, Values, Parts]]:
        begun = ((rule, self.statuses.begin(rule, claim)) for rule in self.statuses.rules.get(claim.relation, ()))
        return [(rule, *start) for rule, start in begun if start is not None]

    def stated(self, node: Json) -> Claim:
        """The claim that a node states."""
        relation = self.program.relations[node["relation"]]
        case = [self.facts.case] if relation.is_case else []
        values = [as_value(said, attribute.kind) for said, attribute in
                  zip(node["values"], relation.attributes[relation.is_case :], strict=True)]
        return Claim(relation.name, (*case, *values))

    def node(self, number: int, below: int | None = None) -> Json:
        assert 0 <= number < len(self.nodes)
        assert below is None or number < below, "a node rests on itself"
        found: Json = self.nodes[number]
        assert found["id"] == number
        return found

    def row(self, number: int, relation: str) -> Row:
        """The node explains a row: one on record, or of a derived relation that it is one, or nearly."""
        row: Row = self.stated(self.node(number)).values  # type: ignore[assignment]
        assert None not in row
        self.explains(number, Claim(relation, row), is_row=True)
        return row

    def explains(self, number: int, wanted: Claim, *, is_row: bool = False) -> Claim:
        """The node gives the answer for a claim: where it is certain by a row of it."""
        node = self.node(number)
        claim = self.stated(node)
        declared, status = self.program.relations[claim.relation], self.statuses.status(claim.relation)
        answer, kind = self.statuses.answer_for(wanted), node["kind"]
        assert claim.relation == wanted.relation
        if kind in ("given", "rule"):
            assert all(value in (None, own) for value, own in zip(wanted.values, claim.values, strict=True))
            assert claim.values in (status.certain if answer == MET else status.possible).rows
        else:
            assert claim == wanted
        kinds = {
            MET: "rule" if declared.is_case and not declared.is_input else "given",
            NOT_MET: "absent" if declared.is_input or not declared.is_case else "refuted",
            NEEDS_INFORMATION: "doubted" if not declared.is_input else "open" if status.is_open else "given",
        }
        is_on_record = is_row and declared.is_input and wanted.values in status.possible.rows
        assert kind == ("given" if is_on_record else kinds[answer])
        assert node.get("uncertain", False) == (kind == "given" and claim.values not in status.certain.rows)
        if number not in self.done:
            self.done.add(number)
            self.claim_below(node, claim)
        return claim

    def claim_below(self, node: Json, claim: Claim) -> None:
        match node["kind"]:
            case "rule":
                rules = [one for one in self.fitting(claim) if str(one[0].span) == node["rule"] and not one[0].possible]
                rules = [one for one in rules if next(self.statuses.solve(one[2], one[1], True), None) is not None]
                assert rules
                self.proof(node, *rules[0])
            case "absent":
                self.others(node, "instead", claim)
            case "refuted" | "doubted":
                rules = self.fitting(claim)
                assert len(node["attempts"]) == len(rules)
                for number, (rule, start, body) in zip(node["attempts"], rules, strict=True):
                    attempt = self.node(number, node["id"])
                    assert attempt["kind"] == "attempt"
                    self.done.add(number)
                    self.attempt(attempt, rule, start, body, claim)

    def others(self, node: Json, name: str, claim: Claim) -> None:
        """The rows that stand in the place of one that is absent, or do not match: all, or the most that are listed."""
        is_case = self.program.relations[claim.relation].is_case
        first = claim.values[:1] if is_case or len(claim.values) > 1 else ()
        is_any = not first or first[0] is None or not any(value is not None for value in claim.values[1:])
        wide = Claim(claim.relation, first + (None,) * (len(claim.values) - len(first)))
        table = self.statuses.status(claim.relation).possible
        rows = [] if is_any else [row for row in table.matching(wide) if row not in table.matching(claim)]
        shown = [self.row(number, claim.relation) for number in node.get(name, [])]
        self.is_list_of(shown, rows, node.get("more", 0))

    def is_list_of(self, shown: list[Any], rows: Iterable[Any], more: int, *, is_short: bool = True) -> None:
        """These are the rows, or so many of them; `is_short`: the list may leave some out."""
        every = set(rows)
        assert len(set(shown)) == len(shown)
        assert set(shown) <= every
        assert len(shown) + more == len(every)
        assert more == 0 or (is_short and len(shown) == MOST_WITHIN)

    # rules

    def values_of(self, start: Values, parts: Parts, children: list[Json]) -> dict[str, Value]:
        """The values of variables, found from what is shown alone."""
        values = dict(start)
        by_place: dict[int, list[Literal]] = {}
        for part in parts:
            by_place.setdefault(part.place, []).append(part.literal)
        while True:
            before = len(values)
            for child in children:
                for literal in by_place.get(child["literal"], ()):
                    given = self.statuses.gives(literal, values)
                    value = self.statuses.value(given[1], values) if given is not None else None
                    if given is not None and value is not None:
                        values[given[0]] = value
                    node = self.nodes[child["node"]]
                    if isinstance(literal, Atom) and node["kind"] in ("given", "rule"):
                        for argument, own in zip(literal.arguments, self.stated(node).values, strict=True):
                            if isinstance(argument, Variable) and own is not None:
                                assert values.setdefault(argument.name, own) == own
            if len(values) == before:
                return values

    def proof(self, node: Json, rule: Rule, start: Values, body: Parts) -> None:
        children = node["children"]
        parts = self.statuses.bodies[rule.number]
        assert [child["literal"] for child in children] == list(range(len(parts)))
        values = self.values_of(start, body, children)
        assert node["bindings"] == shown_bindings(values)
        for part, child in zip(parts, children, strict=True):
            self.step(part, [child], MET, values, rule, None, node["id"])

    def attempt(
        self, said: Json, rule: Rule, start: Values, parts: Parts, claim: Claim, *, is_row: bool = False,
        is_whole: bool = False,
    ) -> None:
        """What becomes of a body, or of the rest of one."""
        statuses, children = self.statuses, said["children"]
        is_within = is_row or claim.is_of_a_row
        fails = next(statuses.solve(parts, start, False), None) is None
        surely = None if rule.possible or fails else next(statuses.solve(parts, start, True), None)
        assert (said["answer"] == NOT_MET) == fails
        assert said["answer"] != MET or surely is not None
        assert said.get("settles") == (rule.doc if rule.possible and not fails else None)
        places = [child["literal"] for child in children]
        assert places == sorted(places)
        rows = [child for child in children if self.nodes[child["node"]]["kind"] == "rows"]
        assert len(rows) <= 1
        known = statuses.determined(start, parts, self.near.nearly if fails else None)
        ready = [part for part in parts if statuses.can_answer(part, known)]
        waiting = tuple(part for part in parts if part not in ready)
        chosen = statuses.next_atom(waiting, known) if rows else None
        values = self.values_of(start, tuple(ready), children)
        self.every_literal(children, ready, waiting, known, fails, is_whole, is_within, rule)
        for place in sorted({part.place for part in ready} & set(places)):
            own = [child for child in children if child["literal"] == place and child not in rows]
            same = [part for part in ready if part.place == place]
            if fails:  # the values of what fails come from what is shown
                assert all(
                    part.needs & known.keys() <= values.keys() for part in same
                    if statuses.answer(part, known) == NOT_MET
                )
            if len(same) == 1:
                self.step(same[0], own, statuses.answer(same[0], known), known, rule, claim, is_within=is_within)
            else:  # an atom, and what of it is computed: the answers are told one by one
                self.one_by_one(same, own, known, rule, claim)
        way = next(statuses.solve(waiting, known, True), None) if is_whole and not rule.possible else None
        if way is not None and not rows:
            for part in waiting:
                if statuses.can_answer(part, way):
                    own = [child for child in children if child["literal"] == part.place]
                    self.step(part, own, MET, way, rule, claim)
            known = way
        elif (not fails or is_whole) and not rows and (first := statuses.next_atom(waiting, known)) is not None:
            assert isinstance(first.literal, Atom)
            claim_of_first = statuses.claim_of(first.literal, known)
            assert not statuses.status(claim_of_first.relation).possible.matching(claim_of_first)
            self.one_way(children, waiting, known, rule, claim, is_within)
        if rows:
            assert chosen is not None
            assert chosen.place == rows[0]["literal"]
            rest = tuple(part for part in waiting if part is not chosen)
            rest_fails = next(statuses.solve(waiting, known, False), None) is None
            self.rows(rows[0], chosen, known, rest, rule, claim, rest_fails, is_within)
        given = {name: value for name, value in known.items() if name not in start}
        assert said.get("bindings", {}) == shown_bindings(given)

    def one_by_one(self, parts: list[Part], children: list[Json], values: Values, rule: Rule, claim: Claim) -> None:
        left = list(parts)
        for child in children:
            for part in left:
                try:
                    self.step(part, [child], self.statuses.answer(part, values), values, rule, claim)
                except AssertionError:
                    continue
                left.remove(part)
                break
            else:
                raise AssertionError("a step of no literal")
        assert all(self.statuses.answer(part, values) == MET for part in left)

    def every_literal(
        self, children: list[Json], ready: list[Part], waiting: Parts, known: Values, fails: bool, is_whole: bool,
        is_within: bool, rule: Rule,
    ) -> None:
        """No literal is left out but those that hold, and give no values to what fails."""
        statuses = self.statuses
        shown = {child["literal"] for child in children}
        failing = [part for part in ready if statuses.answer(part, known) == NOT_MET]
        assert {part.place for part in failing} <= shown
        if not fails or is_whole:
            assert {part.place for part in ready} <= shown
            return
        waiting_fails = bool(waiting) and next(statuses.solve(waiting, known, False), None) is None
        if waiting_fails and (not failing or not is_within):
            failing += waiting
            assert any(self.nodes[child["node"]]["kind"] == "rows" for child in children)
        assert failing
        assert any(child["answer"] == NOT_MET for child in children)
        case = names(rule.head.arguments[0])
        linked = frozenset().union(*(names(part.literal) for part in failing)) - case
        giving = [part for part in ready if statuses.answer(part, known) == MET and (
            isinstance(part.literal, Atom)
            or (isinstance(part.literal, Comparison) and part.literal.operator == "=")
        )]
        while True:
            found = [part for part in giving if names(part.literal) & linked]
            wider = linked.union(*(names(part.literal) - case for part in found))
            if wider == linked:
                break
            linked = wider
        assert {part.place for part in found} <= shown
        assert shown <= {part.place for part in (*found, *failing)}

    def one_way(
        self, children: list[Json], waiting: Parts, known: Values, rule: Rule, claim: Claim, is_within: bool
    ) -> None:
        """Of literals that wait for what is open each that speaks of the case and can be answered is there."""
        way = next(self.statuses.solve(waiting, known, False), None)
        assert way is not None
        due = []
        for part in waiting:
            literal = part.literal
            atom = literal.atom if isinstance(literal, Negation) else literal
            is_about_case = isinstance(atom, Atom) and self.program.relations[atom.relation].is_case
            own = [child for child in children if child["literal"] == part.place]
            is_empty = isinstance(literal, Atom) and not self.statuses.status(literal.relation).possible.matching(
                self.statuses.claim_of(literal, way))
            if is_empty:
                due.append(part.place)
                (child,) = own
                assert child["answer"] == NEEDS_INFORMATION
                self.openness(child["node"], self.statuses.claim_of(literal, known))  # type: ignore[arg-type]
            elif self.statuses.can_answer(part, way):
                answer = self.statuses.answer(part, way)
                if answer != MET or is_about_case:
                    due.append(part.place)
                    self.step(part, own, answer, way, rule, claim, is_within=is_within)
        places = {child["literal"] for child in children}
        assert set(due) == places & {part.place for part in waiting}

    # literals

    def step(
        self, part: Part, children: list[Json], answer: str, values: Values, rule: Rule, claim: Claim | None,
        below: int | None = None, *, is_within: bool = False,
    ) -> None:
        """The steps of one literal that can be answered, under these values."""
        self.steps_seen += len(children)
        literal, statuses = part.literal, self.statuses
        assert children
        assert answer == statuses.answer(part, values)
        for child in children:
            assert child["answer"] == answer
            assert child.get("negated", False) == isinstance(literal, Negation)
            self.node(child["node"], below)
        atom = literal.atom if isinstance(literal, Negation) else literal
        lacks = statuses.without_value(literal, values) is not None
        if isinstance(atom, Atom) and not lacks:
            wanted, status = statuses.claim_of(atom, values), statuses.status(atom.relation)
            rows: list[Row] = []
            first = children
            if isinstance(literal, Negation) and answer == NOT_MET:
                rows = status.certain.matching(wanted)
            elif answer == NEEDS_INFORMATION and self.program.relations[atom.relation].is_input:
                rows = status.possible.matching(wanted)
            if rows:
                is_first_open = status.is_open and answer == NEEDS_INFORMATION
                first, against = children[: int(is_first_open)], children[int(is_first_open) :]
                shown = [self.row(child["node"], atom.relation) for child in against]
                more = sum(child.get("more_beside", 0) for child in against)
                if answer == NOT_MET and self.program.relations[atom.relation].is_case and not self.program.relations[
                    atom.relation].is_input:
                    ways = sum(map(self.ways, (Claim(atom.relation, row) for row in rows)))
                    # Of one row each way in which it holds; two heads of a rule may say the same.
                    assert len(against) + more == ways
                    assert more == 0 or (is_within and len(against) == MOST_WITHIN)
                    assert set(shown) <= set(rows)
                    assert more or set(shown) == set(rows)
                else:
                    self.is_list_of(shown, rows, more, is_short=is_within)
                assert len(first) == int(is_first_open)
            else:
                assert len(children) == 1
            for child in first:
                self.explains(child["node"], wanted)
        else:
            (only,) = children
            self.stands(literal, answer, only["node"], values, rule, is_within, lacks)
        if not any(child.get("more_beside") for child in children) and len(children) == 1:
            self.behind(literal, children[0], values)
        self.would_count(literal, children, answer, values, claim)

    def ways(self, claim: Claim) -> int:
        """In how many ways a row holds: by each rule, with each row of the first atom that leaves a choice."""
        number = 0
        for rule, start, body in self.fitting(claim):
            if rule.possible is None:
                values = self.values_of(start, body, [])
                while given := next((one for part in body if (one := self.statuses.gives(part.literal, values))), None):
                    value = self.statuses.value(given[1], values)
                    if value is None:
                        break
                    values[given[0]] = value
                chosen = self.statuses.next_atom(
                    tuple(part for part in body if not part.needs <= values.keys()), values)
                whole = self.statuses.solve(body, start, True)
                if chosen is None:
                    number += next(whole, None) is not None
                else:
                    own = sorted(names(chosen.literal))
                    number += len({tuple(found[name] for name in own) for found in whole})
        return number

    def would_count(
        self, literal: Literal, children: list[Json], answer: str, values: Values, claim: Claim | None
    ) -> None:
        """What is said to count under another reading does, tried with an engine; and all that does is said to."""
        says = any(child.get("would_count") for child in children)
        if not isinstance(literal, Atom) or literal.relation != "reading" or answer != NOT_MET or claim is None:
            assert not says
            return
        name, choice = self.statuses.claim_of(literal, values).values
        other = self.under(str(name), str(choice)) if name is not None and choice is not None else None
        assert says == (other is not None and other.answer(claim) == MET)

    def stands(
        self, literal: Literal, answer: str, number: int, values: Values, rule: Rule, is_within: bool, lacks: bool
    ) -> None:
        node = self.node(number)
        self.done.add(number)
        if lacks and not (isinstance(literal, Atom) and answer != NOT_MET):
            assert (node["kind"], node["left"]["value"], node["holds"]) == ("compared", NO_VALUE, False)
        elif isinstance(literal, Truth):
            assert (node["kind"], node["holds"]) == ("compared", literal.value)
        elif isinstance(literal, Comparison) and self.statuses.count_in(literal) is not None:
            self.counted(node, literal, answer, values, rule, is_within)
        elif isinstance(literal, Comparison):
            left, right = self.statuses.value(literal.left, values), self.statuses.value(literal.right, values)
            assert left is not None
            assert right is not None
            assert (node["kind"], node["operator"]) == ("compared", literal.operator)
            assert (node["left"]["value"], node["right"]["value"]) == (json_value(left), json_value(right))
            assert node["holds"] == COMPARE[literal.operator](left, right) == (answer == MET)

    def behind(self, literal: Literal, child: Json, values: Values) -> None:
        """What aggregates over known relations are made of."""
        count = self.statuses.count_in(literal)
        made = [
            one for one in aggregates(literal)
            if one is not count and self.statuses.insides[id(one)].shared <= values.keys()
        ]
        assert len(child.get("behind", [])) == len(made)
        for number, aggregate in zip(child.get("behind", []), made, strict=True):
            self.done.add(number)
            self.aggregated(self.node(number), aggregate, values)

    def aggregated(self, node: Json, aggregate: Aggregate, values: Values) -> None:
        inside = self.statuses.insides[id(aggregate)]
        value = self.statuses.value(aggregate, values)
        assert (node["kind"], node["function"], node["value"]) == ("aggregated", aggregate.function, json_value(value))
        rows = {}
        for found in self.statuses.solve(inside.parts, values, True):
            own = self.statuses.value(aggregate.target, found) if aggregate.target is not None else None
            if value is not None and (aggregate.function not in ("min", "max") or own == value):
                rows[self.own(found, values)] = found
        self.described(node, inside.parts, values)
        self.list_of_bindings(node["rows"], rows, node.get("more", 0), inside.parts, is_short=True)

    def own(self, found: Values, outer: Values) -> Row:
        return tuple(sorted((name, value) for name, value in found.items() if name not in outer))  # type: ignore[misc]

    def list_of_bindings(
        self, said: list[Json], rows: Mapping[Row, Values], more: int, parts: Parts, *, is_short: bool
    ) -> list[Row]:
        """Rows of an aggregate, each with the rows that it is made of."""
        left = dict(rows)
        listed = []
        for one in said:
            fitting = [row for row in left if shown_bindings(dict(row)) == one["values"]]  # type: ignore[arg-type]
            assert fitting
            row = next((row for row in fitting if self.is_because(one["because"], parts, rows[row])), None)
            assert row is not None
            listed.append(row)
            del left[row]
        assert len(left) == more
        assert more == 0 or (is_short and len(said) == MOST_WITHIN)
        return listed

    def is_because(self, numbers: list[int], parts: Parts, values: Values) -> bool:
        """Whether these nodes explain the atoms, as far as rows of them hold or nearly do."""
        atoms = [part.literal for part in parts if isinstance(part.literal, Atom)]
        claims = [self.statuses.claim_of(atom, values) for atom in atoms]
        due = [claim for claim in claims if self.near.some(claim)]
        if len(due) != len(numbers) or any(
            self.stated(self.node(number)).relation != claim.relation
            or any(w not in (None, v) for v, w in zip(self.stated(self.node(number)).values, claim.values, strict=True))
            for number, claim in zip(numbers, due, strict=True)
        ):
            return False
        for number, claim in zip(numbers, due, strict=True):
            self.row(number, claim.relation)
        return True

    def described(self, node: Json, parts: Parts, values: Values) -> None:
        """What is counted: one entry for each literal."""
        of = [part.literal for part in parts if isinstance(part.literal, Atom)]
        without = [part.literal.atom for part in parts if isinstance(part.literal, Negation)]
        for name, atoms in (("of", of), ("without", without)):
            assert [self.stated(one) for one in node.get(name, [])] == [
                self.statuses.claim_of(atom, values) for atom in atoms
            ]
        assert len(node.get("where", [])) == sum(isinstance(part.literal, Comparison) for part in parts)

    def counted(
        self, node: Json, comparison: Comparison, answer: str, values: Values, rule: Rule, is_within: bool
    ) -> None:
        """The rows counted, all that may be; and where the answer rests on there being no more, why there are none."""
        count, operator, bound = read_count(comparison)
        parts = self.statuses.insides[id(count)].parts
        certain, possible, is_open = self.statuses.count(count, values)
        limit = self.statuses.value(bound, values)
        assert (node["kind"], node["operator"], node["answer"]) == ("counted", operator, answer)
        assert (node["least"], node["most"]) == (len(certain), None if is_open else len(possible))
        assert node["bound"]["value"] == json_value(limit)
        self.described(node, parts, values)
        rows = {row: {**values, **dict(row)} for row in possible}
        for row, one in zip(self.list_of_bindings(node["rows"], rows, node.get("more", 0), parts, is_short=is_within),
                            node["rows"], strict=True):
            assert one.get("uncertain", False) == (row not in certain)
        is_enough = answer != NEEDS_INFORMATION and answer == compared(operator, len(certain), float("inf"), limit)
        near = {} if is_enough else {
            self.own(found, values): found for found in self.near.combinations(parts, values, may_fail=True)
        }
        missed = {row: found for row, found in near.items() if row not in possible}
        listed = self.list_of_bindings(node.get("missed", []), missed, node.get("more_missed", 0), parts, is_short=True)
        for row, one in zip(listed, node.get("missed", []), strict=True):
            self.missed(one, parts, missed[row], rule)
        atoms = [part.literal for part in parts if isinstance(part.literal, Atom)]
        inputs = [atom for atom in atoms if self.program.relations[atom.relation].is_case
                  and self.program.relations[atom.relation].is_input and not is_enough
                  and not self.statuses.status(atom.relation).is_open]
        assert [self.stated(self.node(number)) for number in node.get("closed", [])] == [
            self.statuses.claim_of(atom, values) for atom in inputs
        ]
        for number in node.get("closed", []):
            self.closed(number)
        open_ones = [self.stated(self.node(number)).relation for number in node.get("open", [])]
        due = {name for atom in atoms for name in self.open_inputs(atom.relation)}
        assert sorted(open_ones) == sorted(due)
        for number in node.get("open", []):
            relation = self.program.relations[self.stated(self.node(number)).relation]
            self.openness(number, Claim(relation.name, (self.facts.case, *[None] * (relation.arity - 1))))

    def missed(self, one: Json, parts: Parts, found: Values, rule: Rule) -> None:
        """A row that nearly counts: with all that fails in it left out it would be counted."""
        others = []
        for part in parts:
            fails = self.statuses.can_answer(part, found) and self.statuses.answer(part, found) == NOT_MET
            own = [child for child in one["children"] if child["literal"] == part.place]
            is_near = isinstance(part.literal, Atom) and self.near.some(self.statuses.claim_of(part.literal, found))
            if is_near:  # it stands among the reasons, as one that holds or is refuted
                assert not own
                others += [] if fails else [part]
            elif fails:
                self.step(part, own, NOT_MET, found, rule, Claim("", ()), is_within=True)
            else:
                assert not own
                others.append(part)
        assert next(self.statuses.solve(tuple(others), found, False), None) is not None

    def open_inputs(self, relation: str) -> Iterator[str]:
        if not self.program.relations[relation].is_case or not self.statuses.status(relation).is_open:
            return
        if self.program.relations[relation].is_input:
            yield relation
        for rule in self.statuses.rules.get(relation, ()):
            for literal in rule.body:
                if isinstance(literal, Atom):
                    yield from self.open_inputs(literal.relation)

    def closed(self, number: int) -> None:
        node = self.node(number)
        claim = self.stated(node)
        assert node["kind"] == "closed"
        assert not self.statuses.status(claim.relation).is_open
        if number not in self.done:
            self.done.add(number)
            self.others(node, "besides", claim)

    def openness(self, number: int, claim: Claim) -> None:
        """The node says why a relation is open."""
        node = self.node(number)
        assert self.statuses.status(claim.relation).is_open
        if self.program.relations[claim.relation].is_input:
            assert (node["kind"], self.stated(node)) == ("open", claim)
            self.done.add(number)
            return
        wide = Claim(claim.relation, claim.values[:1] + (None,) * (len(claim.values) - 1))
        assert (node["kind"], self.stated(node)) == ("doubted", wide)
        if number not in self.done:
            self.done.add(number)
            self.claim_below(node, wide)

    def rows(
        self, child: Json, part: Part, values: Values, rest: Parts, rule: Rule, claim: Claim, fails: bool,
        is_within: bool,
    ) -> None:
        """The rows an atom can stand for, each with the rest of the body: of a body that fails all, and those that
        nearly hold; of another those with which it may hold, and the certain ones with which it does not."""
        node = self.node(child["node"])
        self.done.add(child["node"])
        atom = part.literal
        assert isinstance(atom, Atom)
        wanted, status = self.statuses.claim_of(atom, values), self.statuses.status(atom.relation)
        assert self.stated(node) == wanted
        assert child["answer"] == (NOT_MET if fails else NEEDS_INFORMATION)
        candidates = status.possible.matching(wanted) + (self.near.nearly(wanted) if fails else [])
        matches = {row: (found, later) for row, found, later in
                   self.statuses.rows_for(atom, part.place, values, certain=False, among=candidates)}
        can_hold = {row: next(self.statuses.solve((*rest, *later), found, False), None) is not None
                    for row, (found, later) in matches.items()}
        is_case = self.program.relations[atom.relation].is_case
        due = [row for row in matches if fails or can_hold[row] or (is_case and row in status.certain.rows)]
        shown = []
        for one in node["rows"]:
            row = self.row(one["row"], atom.relation)
            shown.append(row)
            assert row in matches
            found, later = matches[row]
            in_order = tuple(sorted((*rest, *later), key=lambda part: part.place))
            self.attempt(one["then"], rule, found, in_order, claim, is_row=True)
        assert len(set(shown)) == len(shown)
        assert set(shown) <= set(due)
        left = set(due) - set(shown)
        others = 0 if fails else len(matches) - len(due)
        assert node.get("more", 0) == len(left) + others
        assert node.get("more_possible", 0) == (0 if fails else sum(can_hold[row] for row in left))  # type: ignore[index]
        if not is_within:  # it decides: only what nearly holds may be left out
            assert left <= (set(self.near.nearly(wanted)) if fails else set())
        assert not left or len(shown) >= MOST_WITHIN
        declared = self.program.relations[atom.relation]
        is_closed = fails and declared.is_case and declared.is_input and not status.is_open
        assert ("closed" in node) == is_closed
        if is_closed:
            self.closed(node["closed"])
        assert ("open" in node) == ("otherwise" in node) == status.is_open
        if status.is_open:
            self.openness(node["open"], wanted)
            self.otherwise(node["otherwise"], rule, values, rest, claim, is_within)

    def otherwise(
        self, said: Json, rule: Rule, values: Values, rest: Parts, claim: Claim, is_within: bool
    ) -> None:
        """What becomes of the rest of a body where an atom before it is open."""
        if next(self.statuses.solve(rest, values, False), None) is None:
            # Nothing of it is said of a row, but for the claim.
            self.attempt(said, rule, values, rest, claim, is_row=is_within)
            return
        assert said["answer"] == NEEDS_INFORMATION
        assert said.get("settles") == (rule.doc if rule.possible else None)
        self.one_way(said["children"], rest, values, rule, claim, is_within)
