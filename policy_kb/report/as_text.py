"""An explanation as text: a tree a reviewer can read beside the guideline.

`+` is met, `-` not met, `?` needs information. Criteria stand with their paragraph; what they rest on stands below them,
with the place in the case it was read from.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from policy_kb.check.checked import Rule
from policy_kb.evaluate.model import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.explain.proof import (
    Absent,
    Attempt,
    Branches,
    Compared,
    Counted,
    CountedRow,
    Derived,
    Doubted,
    Given,
    Node,
    Refuted,
    Step,
    Unstated,
)
from policy_kb.parse import tree
from policy_kb.report import wording
from policy_kb.report.as_json import place
from policy_kb.report.determination import Determination

SIGNS = {MET: "+", NOT_MET: "-", NEEDS_INFORMATION: "?"}
MOST_ROWS = 6
"""Rows of one list before it is folded; the number left out is said."""

Style = Callable[[str, str], str]
"""How a line is coloured: its text, and the answer it gives (empty for what is neither)."""


@dataclass(frozen=True)
class Line:
    """`answer` chooses the sign; `number` is the criterion's paragraph; `at` the place in the case."""

    depth: int
    answer: str
    number: str
    text: str
    at: str = ""


def plain(text: str, answer: str) -> str:
    return text


def header(determination: Determination, style: Style = plain) -> Iterator[str]:
    """The decision, the policy, and what follows from them."""
    phase = determination.phase
    yield style(wording.DECISIONS[determination.decision], determination.decision) + (
        f"  {phase.name}: {phase.title}"
    )
    yield f"case {determination.case}, guideline {phase.policy}, revised {phase.revised}"
    yield determination.reason
    if determination.approval is not None:
        approval = determination.approval
        yield f"approval: {approval.doses} doses ({approval.units} units of {approval.code})"
    for notice in determination.notices:
        yield f"note: {notice}"


def closing(determination: Determination) -> Iterator[str]:
    """What would have to be different, or what is to be asked, and the readings relied on."""
    if determination.missing:
        yield ""
        yield "To be settled, what most criteria wait for first:"
        for number, point in enumerate(determination.missing, 1):
            criteria = f" (criterion {', '.join(point.criteria)})" if point.criteria else ""
            yield f"  {number}. {point.ask}{criteria} [{point.relation}: {point.why}]"
    if determination.readings:
        yield ""
        readings = ", ".join(f"{name} = {choice}" for name, choice in determination.readings.items())
        yield f"Readings relied on: {readings}"


class TreeLines:
    """The lines of an explanation's tree. What was shown once is referred to after that."""

    def __init__(self, determination: Determination):
        self.determination = determination
        self.program = determination.program
        self.phase = determination.phase.name
        self.shown: set[int] = set()

    def lines(self, criterion: str | None = None) -> Iterator[Line]:
        """The whole tree, or that of one criterion."""
        explanation = self.determination.explanation
        if explanation is None:
            return
        if criterion is None:
            for step, attempt in self._steps_of(explanation.root):
                yield from self.step(step, attempt, 0)
        else:
            yield from self._find(explanation.root, criterion)

    def _steps_of(self, root: Node) -> Iterator[tuple[Step, Derived | Attempt]]:
        match root:
            case Derived(steps=steps):
                yield from ((step, root) for step in steps)
            case Refuted(attempts=attempts) | Doubted(attempts=attempts):
                yield from ((step, attempt) for attempt in attempts for step in attempt.steps)

    def _find(self, node: Node, criterion: str) -> Iterator[Line]:
        """The part of the tree that states a criterion."""
        seen: set[int] = set()
        waiting: list[tuple[Node, str]] = [(node, "")]
        while waiting:
            current, answer = waiting.pop(0)
            if id(current) in seen:
                continue
            seen.add(id(current))
            if criterion in self._numbers(current):
                yield from self.node(current, answer, 0)
                return
            match current:
                case Derived(rule=rule, steps=steps):
                    if criterion in self._rule_numbers(self.program.rules[rule]):
                        yield from self.node(current, answer, 0)
                        return
                    waiting += [(step.node, step.answer) for step in steps]
                case Refuted(attempts=attempts) | Doubted(attempts=attempts):
                    for attempt in attempts:
                        if criterion in self._rule_numbers(self.program.rules[attempt.rule]):
                            yield from self.attempt(attempt, 0)
                            return
                        waiting += [(step.node, step.answer) for step in attempt.steps]

    # nodes

    def _numbers(self, node: Node) -> list[str]:
        if isinstance(node, Derived | Refuted | Doubted):
            criteria = self.program.relations[node.claim.relation].criteria
            return [criterion.number for criterion in criteria if criterion.phase == self.phase]
        return []

    def _rule_numbers(self, rule: Rule) -> list[str]:
        return [criterion.number for criterion in rule.criteria if criterion.phase == self.phase]

    def step(self, step: Step, within: Derived | Attempt, depth: int) -> Iterator[Line]:
        literal = self.program.rules[within.rule].body[step.place]
        if step.answer == MET and self._goes_without_saying(literal, step.node):
            return
        yield from self.node(step.node, step.answer, depth, is_negated=step.is_negated)

    def _goes_without_saying(self, literal: tree.Literal, node: Node) -> bool:
        """The request that only names the case; numbers and tables of the policy, which the other lines show; and
        `x = ...`, which only names a value."""
        if isinstance(literal, tree.Atom) and literal.relation == "request":
            return True
        if isinstance(node, Given) and node.is_known:
            return node.claim.relation != "reading"
        return isinstance(literal, tree.Comparison) and literal.operator == "=" and isinstance(node, Compared)

    def node(self, node: Node, answer: str, depth: int, *, is_negated: bool = False) -> Iterator[Line]:
        relations = self.program.relations
        match node:
            case Given(claim=claim, span=span, is_certain=is_certain, is_known=is_known):
                text = wording.of(claim, relations)
                text = text if is_certain or is_known else f"uncertain: {text}"
                yield Line(depth, answer, "", text, place(span) or "" if not is_known else "")
            case Absent(claim=claim, span=span, instead=instead, is_known=is_known):
                yield Line(depth, answer, "", wording.no_record(claim, relations), place(span) or "")
                if not is_negated and instead:
                    listed = [wording.of(row.claim, relations) for row in instead[:MOST_ROWS]]
                    more = f"; {len(instead) - MOST_ROWS} more" if len(instead) > MOST_ROWS else ""
                    yield Line(depth + 1, "", "", f"{'known' if is_known else 'on record'}: {'; '.join(listed)}{more}")
            case Unstated(claim=claim, why=why):
                relation = relations[claim.relation]
                yield Line(depth, answer, "", f"{why}: {relation.ask or wording.of(claim, relations)}")
            case Compared(operator=operator, left=left, right=right, holds=holds):
                yield Line(depth, answer, "", wording.compared(operator, left, right, holds))
            case Counted():
                yield from self.counted(node, answer, depth)
            case Derived():
                yield from self.derived(node, answer, depth)
            case Refuted() | Doubted():
                yield from self.not_derived(node, answer, depth, is_negated=is_negated)
            case Branches():
                yield from self.branches(node, answer, depth)

    def derived(self, node: Derived, answer: str, depth: int) -> Iterator[Line]:
        numbers = self._numbers(node)
        rule = self.program.rules[node.rule]
        text = wording.of(node.claim, self.program.relations)
        if id(node) in self.shown and node.steps:
            yield Line(depth, answer, ", ".join(numbers), f"{text} (shown above)")
            return
        self.shown.add(id(node))
        within = self._rule_numbers(rule)
        inside = [line for step in node.steps for line in self.step(step, node, depth + 1)]
        if not numbers and not within and len([line for line in inside if line.depth == depth + 1]) == 1:
            # A helper that rests on one thing says no more than that thing does.
            yield from (Line(line.depth - 1, line.answer or answer, line.number, line.text, line.at) for line in inside)
            return
        yield Line(depth, answer, ", ".join(numbers), text)
        if within:
            yield Line(depth + 1, answer, ", ".join(within), rule.doc or text)
            inside = [Line(line.depth + 1, line.answer, line.number, line.text, line.at) for line in inside]
        yield from inside
        others = self._other_ways(node)
        if others:
            yield Line(depth + 1, "", "", f"not needed: {'; '.join(others)}")

    def _other_ways(self, node: Derived) -> list[str]:
        """The other alternatives of a ONE OF, with their answers."""
        found: dict[str, None] = {}
        criteria = self.determination.criteria
        for rule in self.program.rules:
            if rule.head.relation != node.claim.relation or rule.number == node.rule:
                continue
            numbers = self._rule_numbers(rule) or [
                criterion.number
                for literal in rule.body
                if isinstance(literal, tree.Atom)
                for criterion in self.program.relations[literal.relation].criteria
                if criterion.phase == self.phase
            ]
            found.update(dict.fromkeys(f"{number} ({criteria[number]})" for number in numbers if number in criteria))
        return list(found)

    def not_derived(
        self, node: Refuted | Doubted, answer: str, depth: int, *, is_negated: bool
    ) -> Iterator[Line]:
        numbers = self._numbers(node)
        claim = wording.of(node.claim, self.program.relations)
        if numbers:
            text = claim if isinstance(node, Doubted) else f"not met: {claim}"
        elif isinstance(node, Doubted):
            text = f"open whether {claim}"
        else:
            text = wording.no_record(node.claim, self.program.relations)
        if id(node) in self.shown and node.attempts:
            yield Line(depth, answer, ", ".join(numbers), f"{text} (shown above)")
            return
        self.shown.add(id(node))
        yield Line(depth, answer, ", ".join(numbers), text)
        inner = MET if is_negated and answer == MET else ""
        for attempt in sorted(node.attempts, key=lambda attempt: attempt.answer == NOT_MET):
            yield from self.attempt(attempt, depth + 1, inner)

    def attempt(self, attempt: Attempt, depth: int, sign: str = "") -> Iterator[Line]:
        rule = self.program.rules[attempt.rule]
        numbers = self._rule_numbers(rule)
        if numbers:
            text = f"not met: {rule.doc}" if attempt.answer == NOT_MET else rule.doc
            yield Line(depth, attempt.answer, ", ".join(numbers), text)
            depth += 1
        for step in attempt.steps:
            for line in self.step(step, attempt, depth):
                yield Line(line.depth, sign or line.answer, line.number, line.text, line.at) if sign else line
        if attempt.settles is not None:
            yield Line(depth, NEEDS_INFORMATION, "", f"to be judged: {attempt.settles}")

    def branches(self, node: Branches, answer: str, depth: int) -> Iterator[Line]:
        for row, rest in node.rows[:MOST_ROWS]:
            inside = [line for step in rest.steps for line in self.step(step, rest, depth + 1)]
            yield from self.node(row, rest.answer, depth)
            yield from inside
            if rest.settles is not None:
                yield Line(depth + 1, NEEDS_INFORMATION, "", f"to be judged: {rest.settles}")
        if len(node.rows) > MOST_ROWS:
            yield Line(depth, answer, "", f"{len(node.rows) - MOST_ROWS} more rows, of the same kind")
        if node.unstated is not None and node.otherwise is not None:
            yield from self.node(node.unstated, node.otherwise.answer, depth)
            for step in node.otherwise.steps:
                if step.answer != MET:
                    yield from self.step(step, node.otherwise, depth + 1)

    def counted(self, node: Counted, answer: str, depth: int) -> Iterator[Line]:
        yield Line(depth, answer, "", wording.counted(node))
        for row in node.rows[:MOST_ROWS]:
            yield from self.counted_row(row, depth + 1)
        if len(node.rows) > MOST_ROWS:
            yield Line(depth + 1, "", "", f"{len(node.rows) - MOST_ROWS} more")
        if answer != MET or not node.rows:
            for unstated in node.unstated:
                yield from self.node(unstated, NEEDS_INFORMATION, depth + 1)

    def counted_row(self, row: CountedRow, depth: int) -> Iterator[Line]:
        for node in row.nodes[:1]:
            for line in self.node(node, "", depth):
                if line.depth == depth:
                    text = line.text if row.is_certain or line.text.startswith("uncertain") else f"open: {line.text}"
                    yield Line(depth, "", "", text.removesuffix(" (shown above)"), line.at)


def render(lines: Iterator[Line], width: int = 80, style: Style = plain) -> Iterator[str]:
    """The lines as text of at most `width` columns, long ones wrapped under their beginning."""
    for line in lines:
        indent = "| " * line.depth
        sign = SIGNS.get(line.answer, " ")
        number = f"{line.number}  " if line.number else ""
        lead = f"{indent}{sign} {number}"
        at = f"  [{line.at}]" if line.at else ""
        hang = f"{indent}  "
        wrapped = textwrap.wrap(
            line.text + at, max(30, width), initial_indent=lead, subsequent_indent=hang + " " * len(number),
            break_long_words=False, break_on_hyphens=False,
        )
        for text in wrapped or [lead.rstrip()]:
            yield style(text, line.answer if line.number else "")


def without_met(lines: Iterator[Line]) -> Iterator[Line]:
    """The lines without those that are met and what stands below them."""
    hidden: int | None = None
    for line in lines:
        if hidden is not None and line.depth > hidden:
            continue
        hidden = line.depth if line.answer == MET else None
        if hidden is None:
            yield line
