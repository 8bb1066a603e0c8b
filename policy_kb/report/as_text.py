"""An explanation as text: a tree a reviewer can read beside the guideline.

`+` is met, `-` not met, `?` needs information. Criteria stand with their paragraph; what they rest on stands below
them, with the place in the case it was read from.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import PurePath

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.check.alternatives import stated_by
from policy_kb.check.checked import CheckedProgram, Criterion, Rule, constants, paragraphs
from policy_kb.explain.phrasing import places_of
from policy_kb.explain.proof import (
    Absent,
    Aggregated,
    Attempt,
    Branches,
    Claim,
    Closed,
    Compared,
    Counted,
    Derived,
    Doubted,
    Given,
    Missed,
    Node,
    Refuted,
    Step,
    Unstated,
)
from policy_kb.explain.written import NO_VALUE, in_words, is_noun, name_of, sentence, shown, so_asked
from policy_kb.parse import tree
from policy_kb.parse.tree import Value
from policy_kb.record import record
from policy_kb.report import wording
from policy_kb.report.determination import Determination
from policy_kb.report.summary import (
    MOST_ROWS,
    SIGNS,
    Style,
    criterion_named,
    header,
    more,
    plain,
    questions,
    sensitivity_lines,
    wrapped,
)
from policy_kb.source import Span

_BESIDES, _NOT_COUNTED = "on record besides", "not counted"
_SHOWN = " (shown above)"
_JUDGED = "to be judged: "

@record
class Item:
    """A line of the tree with what stands below it. `answer` chooses the sign; `number` is the criterion's paragraph;
    `at` the place it was read from. `folds`: it stands for so many lines that are not shown."""

    answer: str
    text: str
    number: str = ""
    at: str = ""
    below: tuple[Item, ...] = ()
    folds: int = 0
    node: int = 0
    """Which claim it is of, where the same one may stand in several places."""
    is_again: bool = False
    """Whether what is below it stands above."""


def closing(determination: Determination) -> Iterator[str]:
    """What would have to be different, what is to be asked, and the readings relied on."""
    different = what_would_differ(determination)
    if different:
        yield ""
        yield "To meet the criteria, this would have to be different:"
        yield from (f"  {line}" for line in different)
    yield from questions(determination)
    if determination.readings:
        yield ""
        yield "Readings relied on:"
        means = meanings(determination.program)
        for name, choice in determination.readings.items():
            says = means.get((name, choice))
            yield f"  {name} = {choice}{f': {says}' if says else ''}"


def meanings(program: CheckedProgram) -> dict[tuple[Value | None, Value | None], Value]:
    """What each choice of a reading means, where the policy says it."""
    rows = (constants(atom) for atom, _ in program.facts if atom.relation == "choice_means")
    return {(name, choice): meaning for name, choice, meaning in rows}


def explained(
    determination: Determination, width: int, criterion: str | None = None, why_not: bool = False,
    changes: Iterable[tuple[str, str, str]] | None = None, style: Style = plain,
) -> Iterator[str]:
    """The whole explanation, or the part that states one criterion; `why_not`: without the criteria that are met."""
    first, *top = wrapped(header(determination), width)
    yield style(first, determination.decision)
    yield from top
    tree = list(render(chosen(determination, criterion, why_not), width, style))
    yield from ["", *tree] if tree else []
    end = [*closing(determination)] if criterion is None else []
    end += sensitivity_lines(changes) if changes is not None else []
    yield from wrapped([*end, "", wording.DISCLAIMER], width)


def chosen(determination: Determination, criterion: str | None, why_not: bool) -> list[Item]:
    """The items of the whole explanation or of one criterion. Raises ValueError for a criterion that there is not."""
    number = None if criterion is None else criterion_named(determination, criterion)
    return Tree(determination).items(number, why_not)


def what_would_differ(determination: Determination) -> list[str]:
    """For a "no": each unmet criterion, with its unmet parts; several ways to meet it stand with "or"."""
    explanation = determination.explanation
    if explanation is None or determination.decision != NOT_MET:
        return []
    program, phase = determination.program, determination.phase.name

    def parts(node: Refuted) -> str:
        """The unmet criteria a refuted claim waits for, one level deep."""
        ways: dict[str, None] = {}
        for attempt in node.attempts:
            rule = program.rules[attempt.rule]
            inside = paragraphs(rule.criteria, phase) or [name for step in attempt.steps for name in named(step.node)]
            if rule.possible is None and inside:
                ways[" and ".join(inside)] = None
        return " or ".join(ways)

    def named(node: Node) -> list[str]:
        if not isinstance(node, Refuted):
            return []
        return paragraphs(program.relations[node.claim.relation].criteria, phase)[:1]

    ways = []
    for part in explanation.parts:
        lines = []
        for step in part.steps:
            if step.answer == NOT_MET and isinstance(step.node, Refuted):
                relation = program.relations[step.node.claim.relation]
                own, inside = paragraphs(relation.criteria, phase), parts(step.node)
                if own:
                    says = wording.of(step.node.claim, determination.sentences)
                    lines.append(f"{own[0]}: {says}" + (f", by {inside}" if inside else ""))
        ways += [lines] if lines else []
    return [f"or {line}" if way and not place else line
            for way, lines in enumerate(ways) for place, line in enumerate(lines)]


class Tree:
    """The items of an explanation. What was shown once is referred to after that.

    Left out, because other lines say it: the request; numbers, tables and readings of the policy that agree; `x = ...`.
    And questions of `@[possible]` rules that do not arise.
    """

    def __init__(self, determination: Determination):
        self.determination = determination
        self.program = determination.program
        self.relations = determination.program.relations
        self.sentences = determination.sentences
        self.phase = determination.phase.name
        self.shown: set[int] = set()
        self.in_full: dict[int, Item] = {}
        """The items that others refer to, by what they are of."""
        self.is_denied = False
        """Whether what is said stands below a negation: what a rule asks for is then not needed."""

    def items(self, criterion: str | None = None, why_not: bool = False) -> list[Item]:
        """The whole tree, or the part that states one criterion; `why_not`: without the criteria that are met."""
        items = self.every(criterion)
        items = without_met(items) if why_not else items
        return _said_once(_with_what_is_above(items, self.in_full, set()), frozenset())

    def every(self, criterion: str | None) -> list[Item]:
        explanation = self.determination.explanation
        if explanation is None:
            return []
        if not explanation.parts:  # the policy does not apply
            return self.node(explanation.root, explanation.answer)
        whole = self.alternatives(explanation.parts)
        if criterion is None:
            return whole
        answer = self.determination.criteria.get(criterion, "")
        found = [item for item in _find(whole, criterion) if item.answer == answer and (item.below or item.is_again)]
        if not found:  # the decision does not rest on it, or only in passing
            self.shown.clear()
            for node in explanation.stating(criterion):
                if answer_of(node, answer) != answer:
                    continue
                found += self.attempt(node) if isinstance(node, Attempt) else self.node(node, answer)
        return found

    def alternatives(self, parts: tuple[Attempt, ...]) -> list[Item]:
        """The items of the root's rules; several are a ONE OF, and those that do not decide stand behind."""
        if len(parts) == 1:
            return self.attempt(parts[0])
        answer = next(answer for answer in (MET, NEEDS_INFORMATION, NOT_MET) if answer in {p.answer for p in parts})
        items = []
        for place, part in enumerate(parts, 1):
            inside = self.attempt(part)
            if len(inside) > 1:
                text = f"alternative {place}:"
                inside = [Item(part.answer, text, below=tuple(inside))]
            items += inside or [Item(part.answer, f"alternative {place}:")]
        return [Item(answer, f"one of {len(parts)} alternatives:", below=tuple(items))]

    # steps and nodes

    def step(self, step: Step, rule: Rule) -> list[Item]:
        if not step.is_negated:
            return self.positive(step, rule)
        before, self.is_denied = self.is_denied, True
        try:
            return self.negated(step)
        finally:
            self.is_denied = before

    def negated(self, step: Step) -> list[Item]:
        node = step.node
        if step.answer == NOT_MET:
            items = self.derived(node, MET, in_full=True) if isinstance(node, Derived) else self.node(node, MET)
            return [_against(item) for item in items]
        return self.node(node, step.answer, is_negated=True)

    def positive(self, step: Step, rule: Rule) -> list[Item]:
        behind = [self.aggregated(node, step.answer) for node in step.behind]
        if isinstance(step.node, Compared):
            items = self.comparison(step.node, step.answer, rule.body[step.place] if step.place >= 0 else None, behind)
        else:
            items = self.node(step.node, step.answer)
            literal = rule.body[step.place]
            if isinstance(step.node, Given) and isinstance(literal, tree.Atom):
                asked = tuple(one.value if isinstance(one, tree.Constant) else None for one in literal.arguments)
                items = self.with_what_is_asked(step.node, asked, items)
        if step.would_count and isinstance(step.node, Absent):
            items = [replace(item, text=f"{item.text}; under `{step.node.claim.values[1]}` this would count")
                     for item in items]
        return [*behind, *items]

    def with_what_is_asked(self, node: Given, asked: tuple[Value | None, ...], items: list[Item]) -> list[Item]:
        """A known row with the values that a rule asks of it, where its sentence does not name them."""
        relation = self.relations[node.claim.relation]
        if not node.is_known or not relation.sentence:
            return items
        named = places_of(relation.sentence)
        further = [f"{in_words(attribute.name)}: {shown(value, attribute)}"
                   for attribute, value in zip(relation.attributes, asked, strict=True)
                   if value is not None and attribute.name not in named]
        return [replace(item, text=f"{item.text} ({', '.join(further)})") for item in items] if further else items

    def comparison(
        self, node: Compared, answer: str, literal: tree.Literal | None, behind: list[Item]
    ) -> list[Item]:
        """Both sides of a comparison; of an equation that holds, how its value comes about; nothing of a value that
        there is not, where it stands above."""
        if NO_VALUE in (node.left.value, node.right.value) and any(item.answer == NOT_MET for item in behind):
            return []
        if node.operator == "=" and node.holds and node.says is None and isinstance(literal, tree.Comparison):
            left, right = node.left, node.right
            if isinstance(literal.right, tree.Variable) and not isinstance(literal.left, tree.Variable):
                left, right = right, left
            if isinstance(literal.right, tree.Aggregate) or isinstance(literal.left, tree.Aggregate):
                return []  # it stands above
            return [Item(answer, wording.equation(left, right))]
        return self.node(node, answer)

    def aggregated(self, node: Aggregated, answer: str) -> Item:
        """What a sum, a least or a greatest value is made of."""
        if node.value is None:
            return Item(NOT_MET, wording.nothing_of(node, self.sentences))
        rows = [item for row in node.rows for part in row.nodes for item in self.node(part, MET)]
        below = _first([replace(item, answer="", below=()) for item in rows], MOST_ROWS, node.more)
        return Item(MET, wording.aggregated(node, self.sentences), below=tuple(below))

    def steps(self, steps: Iterable[Step], rule: Rule, *, is_criterion: bool = False) -> list[Item]:
        """The items of several steps, none twice; of several rows by which a negation is decided, the first in full.
        What goes without saying stands where a criterion rests on nothing else."""
        every = tuple(steps)
        said = [step for step in every if not _goes_without_saying(rule.body[step.place], step)]
        found: dict[Item, None] = {}
        needed = said or (every if is_criterion else ())
        for _, group in groupby(needed, key=lambda step: (step.place, step.is_negated)):
            together = list(group)
            first, *further = together
            found.update(dict.fromkeys(self.step(first, rule)))
            shown = further[: MOST_ROWS - 1]
            before: Step = first
            for step in shown:
                for item in self.step(step, rule):
                    last = next(reversed(found), None)
                    if last is not None and is_another_way(before, step) and last.text == item.text:
                        del found[last]  # one row in several ways
                        found.setdefault(replace(last, below=tuple(dict.fromkeys((*last.below, *item.below)))))
                    else:
                        is_like = first.is_negated and not is_another_way(before, step)
                        found.setdefault(Item(item.answer, item.text, item.number, item.at) if is_like else item)
                before = step
            left_out = sum(step.more for step in together)
            if len(shown) < len(further) or left_out:
                found.setdefault(_fold(len(further) - len(shown) + left_out, in_json=not left_out))
        failing = {item.text for item in found if item.answer == NOT_MET}
        return [item for item in found if item.answer != MET or item.below or item.text not in failing]

    def node(self, node: Node, answer: str, *, is_negated: bool = False) -> list[Item]:
        match node:
            case Given(claim=claim):
                text = wording.of(claim, self.sentences)
                is_doubtful = not node.is_certain and not node.is_known
                return [Item(answer, f"uncertain: {text}" if is_doubtful else text, at=self.at(node.span))]
            case Absent():
                return [self.absent(node, answer, is_negated=is_negated)]
            case Unstated(claim=claim, why=why):
                relation = self.relations[claim.relation]
                if relation.always_open is not None:
                    return [Item(NEEDS_INFORMATION, f"{why} needed: {wording.no_record(claim, self.sentences)}")]
                return [Item(NEEDS_INFORMATION, f"{why}: {relation.ask or so_asked(relation)}")]
            case Compared(says=says, operator=operator, left=left, right=right, holds=holds):
                plain = wording.compared(operator, left, right, holds, is_needed=not self.is_denied)
                return [Item(answer, plain if says is None else says.text())]
            case Counted():
                return self.counted(node, answer)
            case Derived():
                return self.derived(node, answer)
            case Refuted() | Doubted():
                return self.not_derived(node, answer, is_negated=is_negated)
            case Branches():
                return self.branches(node)
            case Closed() | Aggregated():
                return []

    def at(self, span: Span | None) -> str:
        """`line 12` of the case's own file, `cases.dl:12` of another."""
        if span is None or (span.line == 0 and span.file == self.determination.source):
            return ""
        if span.file == self.determination.source:
            return f"line {span.line}"
        if span.line == 0:
            return PurePath(span.file).name
        return f"{PurePath(span.file).name}:{span.line}"

    def absent(self, node: Absent, answer: str, *, is_negated: bool) -> Item:
        instead = [wording.of(row.claim, self.sentences) for row in node.instead]
        if node.is_known and node.instead:
            texts = [self.listed_otherwise(node.claim, row) for row in node.instead]
            return Item(answer, _folded(texts, node.more), at=self.at(node.instead[0].span))
        below = [Item("", f"on record: {_folded(instead, node.more)}")] if instead and not is_negated else []
        at = self.stated_at(node)
        return Item(answer, wording.no_record(node.claim, self.sentences), at=at, below=tuple(below))

    def stated_at(self, node: Absent | Closed) -> str:
        """The place at which a relation is closed."""
        is_closed = node.span is not None and node.span == self.relations[node.claim.relation].span
        return "not mentioned, so there is none" if is_closed else self.at(node.span)

    def no_further(self, node: Closed) -> Item:
        name = name_of(self.relations[node.claim.relation])
        of_what = name if is_noun(name) else "row of this kind"
        return Item("", f"no further {of_what} on record", at=self.stated_at(node))

    def listed_otherwise(self, claim: Claim, row: Given) -> str:
        """A known row in the place of the one that is needed: what it has, and what would be needed."""
        if claim.relation == "reading":
            name, choice = row.claim.values
            means = meanings(self.program).get((name, choice))
            return f"reading in force, `{name} = {choice}`{f': {means}' if means else ''}"
        attributes = self.relations[claim.relation].attributes
        differences = [
            f"{in_words(attribute.name)} {shown(actual, attribute)} "
            f"(only {shown(wanted, attribute, self.sentences.written.value(wanted, attribute))} counts here)"
            for attribute, wanted, actual in zip(attributes, claim.values, row.claim.values, strict=True)
            if wanted is not None and wanted != actual
        ]
        return f"{shown(row.claim.values[0], attributes[0])}: {', '.join(differences)}"

    def numbers(self, criteria: tuple[Criterion, ...], answer: str) -> str:
        """The criteria that have this answer: one row may fail of a criterion that is met by another."""
        answers = self.determination.criteria
        return ", ".join(number for number in paragraphs(criteria, self.phase) if answers.get(number, answer) == answer)

    # what holds

    def derived(self, node: Derived, answer: str, *, in_full: bool = False) -> list[Item]:
        relation, rule = self.relations[node.claim.relation], self.program.rules[node.rule]
        number, within = self.numbers(relation.criteria, MET), self.numbers(rule.criteria, MET)
        text = wording.of(node.claim, self.sentences)
        if id(node) in self.shown:
            return [Item(answer, f"{text}{_SHOWN}", number, node=id(node), is_again=True)]
        below = self.steps(node.steps, rule, is_criterion=bool(number or within))
        if not number and not within and len(below) == 1 and len(rule.body) == 1 and not in_full:
            return below  # a helper that rests on one record says no more than the record does
        self.shown.add(id(node))
        if within:
            below = [Item(answer, rule.doc or text, within, below=tuple(below))]
        others = self.other_ways(node)
        if others:
            below.append(Item("", f"not needed: {'; '.join(others)}"))
        return self.said_of(node, Item(answer, text, number, below=tuple(below), node=id(node)))

    def said_of(self, node: Node, item: Item) -> list[Item]:
        self.in_full[id(node)] = item
        return [item]

    def other_ways(self, node: Derived) -> list[str]:
        """The other alternatives of a ONE OF, with their answers."""
        criteria = self.determination.criteria
        found: dict[str, None] = {}
        for rule in self.program.rules:
            if rule.head.relation == node.claim.relation and rule.number != node.rule:
                numbers = stated_by(self.program, self.phase, rule)
                found.update(dict.fromkeys(f"{number} ({criteria[number]})" for number in numbers))
        return list(found)

    # what does not hold, or is open

    def not_derived(self, node: Refuted | Doubted, answer: str, *, is_negated: bool) -> list[Item]:
        own_answer = NEEDS_INFORMATION if isinstance(node, Doubted) else NOT_MET
        number = self.numbers(self.relations[node.claim.relation].criteria, own_answer)
        claim = wording.of(node.claim, self.sentences)
        if isinstance(node, Doubted):
            text = claim if number else wording.is_open(node.claim, self.sentences)
        else:
            text = f"not met: {claim}" if number else wording.no_record(node.claim, self.sentences)
        if id(node) in self.shown:
            return [Item(answer, f"{text}{_SHOWN}", number, node=id(node), is_again=True)]
        below: dict[Item, None] = {}
        in_order = sorted(node.attempts, key=lambda attempt: attempt.answer == NOT_MET)
        told = [one for one in in_order if not self.is_aside(one, node)] or in_order
        ways = [self.attempt(attempt, is_criterion=bool(number)) for attempt in told]
        kept = _not_beside_themselves([item for way in ways for item in way])
        for place, (attempt, way) in enumerate(zip(told, ways, strict=True), 1):
            inside = [item for item in way if item in kept]
            if len(told) > 1 and len(inside) > 1 and not is_negated:
                # Lines of several alternatives that have no number are told apart.
                inside = [Item(attempt.answer, f"way {place} of {len(told)}:", below=tuple(inside))]
            below.update(dict.fromkeys(inside))
        items = list(below) if node.attempts else [Item(NOT_MET, "no rule of the policy says so")]
        if is_negated and answer == MET:
            items = [_signed(item, MET) for item in items]
        if not number and len(items) == 1:
            return items  # as above: a helper that fails for one reason
        self.shown.add(id(node))
        return self.said_of(node, Item(answer, text, number, below=tuple(items), node=id(node)))

    def is_aside(self, attempt: Attempt, node: Refuted | Doubted) -> bool:
        """Whether a rule that does not give a claim may go unsaid beside others: a question that does not arise, or an
        alternative without a number of what may hold by another."""
        rule = self.program.rules[attempt.rule]
        states = stated_by(self.program, self.phase, rule)
        return attempt.answer == NOT_MET and (
            rule.possible is not None or (isinstance(node, Doubted) and not states)
        )

    def rest(self, attempt: Attempt, *, is_criterion: bool = False) -> list[Item]:
        """What becomes of a body, without the line of its rule."""
        items = self.steps(attempt.steps, self.program.rules[attempt.rule], is_criterion=is_criterion)
        # While a record is open the question it would raise is not asked yet.
        if attempt.settles is not None and all(step.answer == MET for step in attempt.steps):
            items.append(Item(NEEDS_INFORMATION, f"{_JUDGED}{attempt.settles}"))
        return items

    def attempt(self, attempt: Attempt, *, is_criterion: bool = False) -> list[Item]:
        rule = self.program.rules[attempt.rule]
        number = self.numbers(rule.criteria, attempt.answer)
        items = self.rest(attempt, is_criterion=is_criterion or bool(number))
        if not number:
            return items
        says = rule.doc or sentence(self.relations[rule.head.relation], (None,) * len(rule.head.arguments))
        text = f"not met: {says}" if attempt.answer == NOT_MET else says
        return [Item(attempt.answer, text, number, below=tuple(items))]

    def branches(self, node: Branches) -> list[Item]:
        is_table = not self.relations[node.claim.relation].is_case
        answers = [rest.answer for _, rest in node.rows] + [node.otherwise.answer if node.otherwise else NOT_MET]
        is_refuted = all(answer == NOT_MET for answer in answers)
        items: dict[Item, None] = {}
        doubts: list[Item] = []
        settled: dict[Item, None] = {}
        for row, rest in node.rows:
            if is_refuted or (not is_table and rest.answer != NOT_MET and not isinstance(row, Doubted)):
                is_doubtful = isinstance(row, Given) and not row.is_known and not row.is_certain
                answer = NEEDS_INFORMATION if is_doubtful and rest.answer == MET else rest.answer
                told = self.node(row, answer)
                if isinstance(row, Given):
                    told = self.with_what_is_asked(row, node.claim.values, told)
                for item in told:
                    items.setdefault(replace(item, answer=answer, below=(*item.below, *self.rest(rest))))
            elif rest.answer != NOT_MET:
                # Rows that may be derived, or stand in a table: what is open about them is said once for all.
                doubts += self.open_parts(row)
                steps = self.steps(rest.steps, self.program.rules[rest.rule])
                doubts += _open(steps)
                settled.update(dict.fromkeys(item for item in self.rest(rest) if item not in steps))
        left_out = node.more if is_refuted else node.more_possible
        listed = _first(list(items), MOST_ROWS, left_out if items else 0)
        if is_refuted and not is_table and not node.more:
            listed += self.beside(node.claim.relation, [row for row, _ in node.rows], _BESIDES)
            listed += [self.no_further(node.closed)] if node.closed is not None and listed else []
        if node.unstated is not None and node.otherwise is not None and node.otherwise.answer != NOT_MET:
            doubts += self.node(node.unstated, NEEDS_INFORMATION)
            open_steps = [step for step in node.otherwise.steps if step.answer == NEEDS_INFORMATION]
            doubts += self.steps(open_steps, self.program.rules[node.otherwise.rule])
        elif node.unstated is not None and node.otherwise is not None:
            for item in self.node(node.unstated, NOT_MET):
                listed.append(replace(item, below=(*item.below, *self.rest(node.otherwise))))
        leaves = [leaf for item in _distinct(doubts) for leaf in _leaves(item)]
        # While a record is open the question it would raise is not asked yet.
        leaves = [leaf for leaf in leaves if not leaf.text.startswith(_JUDGED)] or leaves
        told = [*listed, *_first(leaves or list(settled), MOST_ROWS, 0 if items else left_out)]
        if told or not is_refuted:
            return told
        return [Item(NOT_MET, f"no row fits: {wording.of(node.claim, self.sentences)}")]

    def beside(self, relation: str, used: list[Node], says: str) -> list[Item]:
        """The rows on record of a relation, or of those it is derived from, that the claims `used` do not rest on."""
        declared = self.relations[relation]
        inputs = {relation} if declared.is_input else {
            literal.relation
            for rule in self.program.rules
            if rule.head.relation == relation
            for literal in rule.body
            if isinstance(literal, tree.Atom) and self.relations[literal.relation].is_input
        }
        resting = {row for node in used for row in _rows_below(node)}
        if _LEFT_OUT in resting:
            return []
        return _first([
            Item("", f"{says}: {self.sentences.of(name, row.values)}", at=self.at(row.span))
            for name in sorted(inputs - {"request"})
            for row in self.determination.record.get(name, ())
            if (name, row.values) not in resting
        ], MOST_ROWS)

    def open_parts(self, node: Node) -> list[Item]:
        """What is open about a claim, without the claim itself; nothing where it is certain."""
        if not isinstance(node, Doubted):
            return []
        return _distinct(
            item for attempt in node.attempts if attempt.answer != NOT_MET for item in _open(self.rest(attempt))
        )

    def counted(self, node: Counted, answer: str) -> list[Item]:
        doubts = [item for open_ in node.unstated for item in self.node(open_, NEEDS_INFORMATION)]
        rows: list[Item] = []
        for row in node.rows:
            numbered = [item for part in row.nodes for item in self.parts_with_numbers(part)]
            rows += numbered
            parts = [] if numbered else [self.counted_part(part) for part in row.nodes]
            if not numbered and any(isinstance(part, Doubted) for part in row.nodes[:1]):
                doubts += self.open_parts(row.nodes[0])
            elif parts and parts[0]:
                first, *others = parts[0]
                beside = [item for part in parts[1:] for item in part]
                rows += [replace(first, below=(*first.below, *beside)), *others]
        # Certain rows are listed before others: what is left out is like the last that are listed.
        is_doubted = answer != MET and bool(doubts)
        if not rows and is_doubted and answer == NEEDS_INFORMATION:
            return _first(doubts, MOST_ROWS)
        below = _first(rows, MOST_ROWS, 0 if is_doubted else node.more)
        if answer != MET and not node.more:
            below += _first([item for one in node.missed for item in self.missed(one)], MOST_ROWS, node.more_missed)
            used = [part for row in node.rows for part in row.nodes]
            used += [part for one in node.missed for part in one.nodes]
            for claim in node.of:
                if not node.missed or self.relations[claim.relation].is_input:
                    below += self.beside(claim.relation, used, _NOT_COUNTED)
        if is_doubted:
            below += _first(doubts, MOST_ROWS, node.more)
        at = ", ".join(dict.fromkeys(filter(None, map(self.stated_at, node.closing))))
        return [Item(answer, wording.counted(node, self.sentences), at=at, below=tuple(below))]

    def counted_part(self, part: Node) -> list[Item]:
        """What a row counted rests on."""
        if isinstance(part, Doubted):
            return []
        at = self.at(_first_place(part))
        return [replace(item, answer="", text=item.text.removesuffix(_SHOWN), at=item.at or ("" if item.below else at),
                        node=0, is_again=False)
                for item in self.node(part, MET)]

    def parts_with_numbers(self, node: Node) -> list[Item]:
        """The criteria that a row counted states: of N of M, one of the M. Nothing where it states none."""
        match node:
            case Derived(rule=number, steps=steps):
                rule = self.program.rules[number]
                own = self.numbers(rule.criteria, MET)
                text = rule.doc or wording.of(node.claim, self.sentences)
                if own:
                    return [Item(MET, text, own, below=tuple(self.steps(steps, rule, is_criterion=True)))]
                return self.node(node, MET) if self.states_criteria(steps) else []
            case Refuted(attempts=attempts) | Doubted(attempts=attempts):
                return [item for attempt in attempts if self.is_numbered(attempt) for item in self.attempt(attempt)]
        return []

    def is_numbered(self, attempt: Attempt) -> bool:
        own = self.numbers(self.program.rules[attempt.rule].criteria, attempt.answer)
        return bool(own) or self.states_criteria(attempt.steps)

    def states_criteria(self, steps: Iterable[Step]) -> bool:
        """Whether a literal of these is a criterion."""
        claims = (step.node.claim for step in steps if isinstance(step.node, Derived | Refuted | Doubted))
        return any(paragraphs(self.relations[claim.relation].criteria, self.phase) for claim in claims)

    def missed(self, one: Missed) -> list[Item]:
        """What comes near to being counted, with what it lacks."""
        parts = [item for node in one.nodes for item in self.parts_with_numbers(node)]
        lacking = [item for step in one.steps for item in (
            [_against(item) for item in self.node(step.node, MET)] if step.is_negated
            else self.node(step.node, NOT_MET)
        )]
        if parts and not lacking:
            return parts
        items: list[Item] = []
        for node in one.nodes:
            if isinstance(node, Refuted):
                lacking += self.node(node, NOT_MET)
            elif not isinstance(node, Given) or not node.is_known:
                items += self.node(node, answer_of(node, MET))
        if not items:
            return lacking
        first, *others = items
        below = (*(replace(item, below=()) for item in others), *lacking)
        return [Item("", f"not counted: {first.text.removesuffix(_SHOWN)}", at=first.at, below=below)]


_LEFT_OUT: tuple[str, tuple[Value | None, ...]] = "", ()
"""Stands for rows that a claim rests on and that are not listed."""


def _rows_below(node: Node) -> Iterator[tuple[str, tuple[Value | None, ...]]]:
    """The rows of the case that a claim rests on, and `_LEFT_OUT` where some are not listed."""
    match node:
        case Given(claim=claim):
            yield claim.relation, claim.values
        case Derived(steps=steps):
            yield from _rows_of(steps)
        case Doubted(attempts=attempts):
            for attempt in attempts:
                yield from _rows_of(attempt.steps)
        case Branches(rows=rows):
            if node.more_possible:
                yield _LEFT_OUT
            for row, rest in rows:
                if rest.answer != NOT_MET:
                    yield from _rows_below(row)
                    yield from _rows_of(rest.steps)


def _rows_of(steps: Iterable[Step]) -> Iterator[tuple[str, tuple[Value | None, ...]]]:
    for step in steps:
        yield from _rows_below(step.node)


def _not_beside_themselves(items: list[Item]) -> list[Item]:
    """The items of several rules, without those by which a row is on record besides, where another one tells of it."""
    def told(item: Item) -> Iterator[str]:
        yield item.text.removeprefix("uncertain: ")
        for part in item.below:
            yield from told(part)

    texts = {text for item in items for text in told(item)}
    marks = (f"{_BESIDES}: ", f"{_NOT_COUNTED}: ")
    return [item for item in items
            if not (item.text.startswith(marks) and item.text.partition(": ")[2] in texts)]


def _leaves(item: Item) -> Iterator[Item]:
    """The questions below an open item, or the item itself."""
    inside = _open(item.below)
    if all(below.folds for below in inside):
        yield item
        return
    for below in inside:
        yield from _leaves(below)


def _first_place(node: Node) -> Span | None:
    """The place of the first row of the case that a claim rests on."""
    if isinstance(node, Given):
        return None if node.is_known else node.span
    steps = node.steps if isinstance(node, Derived) else ()
    places = (_first_place(step.node) for step in steps if not step.is_negated)
    return next((place for place in places if place is not None), None)


def _open(items: Iterable[Item]) -> list[Item]:
    """The items that are open, and what stands for some that are not shown."""
    return [item for item in items if item.answer == NEEDS_INFORMATION or item.folds]


def _distinct(items: Iterable[Item]) -> list[Item]:
    """The items, none twice but what stands for some that are not shown."""
    found: dict[object, Item] = {}
    for number, item in enumerate(items):
        found.setdefault(number if item.folds else item, item)
    return list(found.values())


def _fold(number: int, *, in_json: bool) -> Item:
    return Item("", more(number, in_json=in_json), folds=number)


def _first(items: list[Item], most: int, left_out: int = 0) -> list[Item]:
    """The first items, none twice, and how many there are beyond them; `left_out` are not among the items."""
    shown = [item for item in _distinct(items) if not item.folds]
    folded = [item for item in items if item.folds]
    number = max(len(shown) - most, 0) + sum(item.folds for item in folded) + left_out
    in_json = not left_out and all(item == _fold(item.folds, in_json=True) for item in folded)
    return [*shown[:most], _fold(number, in_json=in_json)] if number else shown


def _goes_without_saying(literal: tree.Literal, step: Step) -> bool:
    """The request, which stands above the tree, a reading, which stands below it, an equation of names, and that a text
    is not empty."""
    if step.answer != MET:
        return False
    if isinstance(literal, tree.Atom) and literal.relation == "request":
        return not any(isinstance(argument, tree.Constant) for argument in literal.arguments)
    if isinstance(literal, tree.Atom) and literal.relation == "reading":
        return True
    if isinstance(literal, tree.Comparison) and literal.operator == "!=":
        return any(isinstance(side, tree.Constant) and side.value == "" for side in (literal.left, literal.right))
    if isinstance(literal, tree.Comparison) and literal.operator == "=":
        sides = literal.left, literal.right
        return any(isinstance(side, tree.Variable) for side in sides) and not any(
            isinstance(side, tree.Call | tree.Aggregate) for side in sides
        )
    return False


def answer_of(node: Node | Attempt, otherwise: str) -> str:
    """The answer that a node gives for what states a criterion."""
    match node:
        case Attempt(answer=answer):
            return answer
        case Derived():
            return MET
        case Refuted():
            return NOT_MET
        case Doubted():
            return NEEDS_INFORMATION
    return otherwise


def is_another_way(before: Step, step: Step) -> bool:
    """Whether a step explains the row of the one before by another proof."""
    nodes = before.node, step.node
    return all(isinstance(node, Derived) for node in nodes) and nodes[0].claim == nodes[1].claim  # type: ignore[union-attr]


_AGAINST = "against: "


def _against(item: Item) -> Item:
    """A row that holds, and that the criterion does not allow."""
    return replace(item, answer=NOT_MET, text=f"{_AGAINST}{item.text}")


def _signed(item: Item, answer: str) -> Item:
    text = item.text.removeprefix(_AGAINST)
    below = tuple(_signed(one, answer) for one in item.below)
    return replace(item, answer=answer if item.answer else "", text=text, below=below)


def _folded(texts: list[str], left_out: int) -> str:
    """The first texts, and how many there are beyond them; `left_out` are not among the texts."""
    number = max(len(texts) - MOST_ROWS, 0) + left_out
    rest = [more(number, in_json=not left_out)] if number else []
    return "; ".join([*texts[:MOST_ROWS], *rest])


def _with_what_is_above(items: Iterable[Item], in_full: Mapping[int, Item], above: set[int]) -> list[Item]:
    """The items, those that refer to what does not stand above in full."""
    found = []
    for item in items:
        if item.is_again and item.node not in above:
            whole = in_full[item.node]
            text = item.text.removesuffix(_SHOWN)
            item = replace(item, text=text, below=whole.below, is_again=False)
        above.add(item.node)
        found.append(replace(item, below=tuple(_with_what_is_above(item.below, in_full, above))))
    return found


def _said_once(items: Iterable[Item], above: frozenset[tuple[str, str]]) -> list[Item]:
    """The items without rows, facts and numbers that agree and stand already beside what they are below."""
    found = []
    for item in items:
        line = item.text, item.at
        is_leaf = not item.below and not item.number
        if is_leaf and item.answer == MET and line in above:
            continue
        found.append(replace(item, below=tuple(_said_once(item.below, above))))
        above |= {line} if is_leaf else set()
    return found


def _find(items: Iterable[Item], criterion: str) -> list[Item]:
    """The first item that states a criterion."""
    for item in items:
        if criterion in item.number.split(", "):
            return [item]
        found = _find(item.below, criterion)
        if found:
            return found
    return []


def without_met(items: Iterable[Item]) -> list[Item]:
    """The items without the criteria that are met; what an unmet one rests on stays."""
    return [
        replace(item, below=tuple(without_met(item.below)))
        for item in items
        if item.answer != MET or not item.number
    ]


def render(items: Iterable[Item], width: int = 80, style: Style = plain, depth: int = 0) -> Iterator[str]:
    """The items as lines of at most `width` columns, long ones wrapped under their beginning."""
    for item in items:
        indent = "| " * depth
        number = f"{item.number}  " if item.number else ""
        lead = f"{indent}{SIGNS.get(item.answer, ' ')} {number}"
        text = f"{item.text}  [{item.at}]" if item.at else item.text
        for line in textwrap.wrap(
            text, max(30, width), initial_indent=lead, subsequent_indent=f"{indent}  {' ' * len(number)}",
            break_long_words=False, break_on_hyphens=False,
        ) or [lead.rstrip()]:
            yield style(line, item.answer if item.number else "")
        yield from render(item.below, width, style, depth + 1)
