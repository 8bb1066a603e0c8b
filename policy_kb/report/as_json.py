"""A determination as JSON, and the JSON Schema of that document.

The explanation is a list of nodes, in which each stands once, behind all those that it refers to by their numbers
(`id`). Of a part of it that was asked for (`criterion`, `why_not`) there are only the nodes that this part rests on. A
list within what is said of one row of another list has at most `MOST_WITHIN` rows, and
`more` says how many are left out (`more_possible`: how many of these do not fail); so it is for `instead`, and
`more_beside` for rows that a literal is explained by beside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from policy_kb.answers import MET, REFUSED
from policy_kb.check.checked import CheckedProgram, paragraphs
from policy_kb.explain.proof import (
    Absent,
    Attempt,
    Bindings,
    Branches,
    Claim,
    Compared,
    Counted,
    Derived,
    Doubted,
    Explanation,
    Given,
    Node,
    OpenPoint,
    Refuted,
    Side,
    Step,
    Unstated,
)
from policy_kb.explain.written import json_value
from policy_kb.report import wording
from policy_kb.report.determination import Determination
from policy_kb.source import Span

Json = dict[str, Any]

_TO_BE_ESCAPED = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def written(value: object, indent: int | None = None) -> str:
    """The text of a JSON value. What a terminal would obey is escaped, and what a file's name has that is not UTF-8."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _TO_BE_ESCAPED.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)


def changes_as_list(changes: Iterable[tuple[str, str, str]]) -> list[Json]:
    """What `--sensitivity` adds to a determination: readings, each with a choice and the decision it would give."""
    return [{"reading": name, "choice": choice, "decision": other} for name, choice, other in changes]


FORMAT = 2
"""The version of the document; 1 had no mark, and explanations in which nodes stood inside each other."""


def as_dict(determination: Determination, criterion: str | None = None, why_not: bool = False) -> Json:
    """The determination as plain data; an explanation that was not made is left out. Of the explanation all, or the
    part that states one criterion; `why_not`: without the criteria that are met."""
    phase, approval, explanation = determination.phase, determination.approval, determination.explanation
    told: Json = {}
    if explanation is not None:
        proofs = Proofs(determination.program, phase.name if why_not else None)
        is_whole = not determination.criteria or not (criterion or why_not)
        told["explanation"] = proofs.whole(explanation) if is_whole else proofs.part(explanation, criterion)
    return {
        "format": FORMAT,
        "case": determination.case,
        "source": determination.source,
        "policy": phase.policy,
        "title": phase.title,
        "revised": phase.revised,
        "phase": phase.name,
        "decision": determination.decision,
        "reason": determination.reason,
        "criteria": dict(determination.criteria),
        "approval": None if approval is None else [
            {"amount": json_value(one.amount), "unit": one.unit} for one in approval
        ],
        "missing": [open_point(point) for point in determination.missing],
        "notices": list(determination.notices),
        "readings": dict(determination.readings),
        **told,
        "rules": determination.rules,
        "facts": determination.facts,
    }


def open_point(point: OpenPoint) -> Json:
    return {"relation": point.relation, "why": point.why, "criteria": list(point.criteria), "ask": point.ask}


class Proofs:
    """The nodes of one explanation as plain data: `nodes` in the order of their numbers, no two of them the same."""

    def __init__(self, program: CheckedProgram, why_not: str | None = None):
        """`why_not`: the phase whose criteria are left out where they are met."""
        self.program, self.why_not = program, why_not
        self.nodes: list[Json] = []
        self.numbers: dict[int, int] = {}
        self.same: dict[str, int] = {}

    def whole(self, explanation: Explanation) -> Json:
        """The nodes with the number of the root's, and under `parts` every literal of the root's rules, those that hold
        beside those that do not."""
        root = self.number(explanation.root)
        parts = [{**self.rule(rule), "children": self.steps(steps)} for rule, steps in explanation.parts]
        return {"root": root, "parts": parts, "nodes": self.nodes}

    def part(self, explanation: Explanation, criterion: str | None) -> Json:
        """As `whole`, of one criterion or of what is not met: `parts` are the relations and rules that state it."""
        chosen: Json = {} if criterion is None else {"criterion": criterion}
        parts: list[Json] = []
        if self.why_not is not None:
            chosen["why_not"] = True
        if criterion is None:
            parts = [{**self.rule(rule), "children": self.steps(steps)} for rule, steps in explanation.parts]
        elif self.why_not is None or explanation.criteria[criterion] != MET:
            for node in explanation.stating(criterion):
                parts.append({**self.rule(node.rule), **self.attempt(node)} if isinstance(node, Attempt) else
                             {"node": self.number(node)})
        return {**chosen, "parts": parts, "nodes": self.nodes}

    def number(self, node: Node) -> int:
        """The number of a node, behind those of all that it refers to."""
        number = self.numbers.get(id(node))
        if number is None:
            content = self._node(node)
            number = self.same.setdefault(json.dumps(content), len(self.nodes))
            if number == len(self.nodes):
                self.nodes.append({"id": number, **content})
            self.numbers[id(node)] = number
        return number

    def _node(self, node: Node) -> Json:
        match node:
            case Given():
                return {
                    "kind": "given", **self.claim(node.claim), "at": place(node.span), "known": node.is_known,
                    "certain": node.is_certain,
                }
            case Absent():
                return {
                    "kind": "absent", **self.claim(node.claim), "at": place(node.span), "known": node.is_known,
                    "instead": [self.number(row) for row in node.instead], **_more(node.more),
                }
            case Unstated():
                return {"kind": "open", **self.claim(node.claim), "why": node.why}
            case Compared():
                return {
                    "kind": "compared", "operator": node.operator, "left": self.side(node.left),
                    "right": self.side(node.right), "holds": node.holds,
                }
            case Counted():
                return {
                    "kind": "counted", "operator": node.operator, "least": node.least, "most": node.most,
                    "bound": self.side(node.bound), "answer": node.answer,
                    "of": [self.claim(claim) for claim in node.of],
                    "without": [self.claim(claim) for claim in node.without],
                    "where": [
                        {"left": condition.left, "operator": condition.operator, "right": json_value(condition.right)}
                        for condition in node.conditions
                    ],
                    "rows": [
                        {
                            "values": self.bindings(row.bindings), "certain": row.is_certain,
                            "because": [self.number(part) for part in row.nodes],
                        }
                        for row in node.rows
                    ],
                    "closed": [self.number(part) for part in node.closing],
                    "open": [self.number(part) for part in node.unstated], **_more(node.more),
                }
            case Derived():
                return {
                    "kind": "rule", **self.claim(node.claim), **self.rule(node.rule),
                    "bindings": self.bindings(node.bindings), "children": self.steps(node.steps),
                }
            case Refuted() | Doubted():
                return {
                    "kind": "refuted" if isinstance(node, Refuted) else "doubted", **self.claim(node.claim),
                    "attempts": [{**self.rule(attempt.rule), **self.attempt(attempt)} for attempt in node.attempts],
                }
            case Branches():
                found: Json = {
                    "kind": "rows", **self.claim(node.claim),
                    "rows": [{"row": self.number(row), "then": self.attempt(rest)} for row, rest in node.rows],
                    **_more(node.more), **({"more_possible": node.more_possible} if node.more else {}),
                }
                if node.unstated is not None and node.otherwise is not None:
                    found |= {"open": self.number(node.unstated), "otherwise": self.attempt(node.otherwise)}
                return found

    def claim(self, claim: Claim) -> Json:
        return {
            "relation": claim.relation,
            "values": [json_value(value) for value in claim.values],
            "says": wording.of(claim, self.program.relations),
        }

    def side(self, side: Side) -> Json:
        return {"written": side.written, "value": json_value(side.value)}

    def bindings(self, bindings: Bindings) -> Json:
        return {name: json_value(value) for name, value in bindings if not name.startswith("#")}

    def rule(self, number: int) -> Json:
        rule = self.program.rules[number]
        return {"rule": str(rule.span), "criteria": [str(criterion) for criterion in rule.criteria]}

    def steps(self, steps: Iterable[Step]) -> list[Json]:
        return [self.step(step) for step in steps if not self.is_left_out(step)]

    def is_left_out(self, step: Step) -> bool:
        node = step.node
        if self.why_not is None or step.answer != MET or not isinstance(node, Derived):
            return False
        criteria = (*self.program.relations[node.claim.relation].criteria, *self.program.rules[node.rule].criteria)
        return bool(paragraphs(criteria, self.why_not))

    def step(self, step: Step) -> Json:
        said: Json = {"literal": step.place, "answer": step.answer}
        if step.is_negated:
            said["negated"] = True
        return {**said, "node": self.number(step.node), **({"more_beside": step.more} if step.more else {})}

    def attempt(self, attempt: Attempt) -> Json:
        """What becomes of a body; the values that it gives to variables, where it gives some to any."""
        bindings = self.bindings(attempt.bindings)
        result: Json = {
            "answer": attempt.answer, **({"bindings": bindings} if bindings else {}),
            "children": self.steps(attempt.steps),
        }
        return result if attempt.settles is None else {**result, "settles": attempt.settles}


def _more(number: int) -> Json:
    """The field that says how many rows are left out, where some are."""
    return {"more": number} if number else {}


def place(span: Span | None) -> str | None:
    """`case.yaml:4`; the file alone where no line is known."""
    return None if span is None else span.file if span.line == 0 else str(span)


def determination_schema() -> Mapping[str, Any]:
    """The JSON Schema of a determination."""
    text = {"type": "string"}
    answer = {"enum": ["met", "not met", "needs information"]}
    fields: dict[str, Any] = {
        "format": {"const": FORMAT},
        "case": text,
        "source": text,
        "policy": text,
        "title": text,
        "revised": {"type": "string", "format": "date"},
        "phase": text,
        "decision": {"enum": [*answer["enum"], "not applicable"]},
        "reason": text,
        "criteria": {"type": "object", "additionalProperties": answer},
        "approval": {
            "type": ["array", "null"],
            "items": {
                "type": "object",
                "properties": {"amount": {"type": "number"}, "unit": text},
                "required": ["amount", "unit"],
                "additionalProperties": False,
            },
        },
        "missing": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "relation": text, "why": text, "criteria": {"type": "array", "items": text}, "ask": text
                },
                "required": ["relation", "why", "criteria", "ask"],
                "additionalProperties": False,
            },
        },
        "notices": {"type": "array", "items": text},
        "readings": {"type": "object", "additionalProperties": text},
        "explanation": _explanation_schema(),
        "rules": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
        "facts": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
    }
    change = {"reading": text, "choice": text, "decision": {"enum": [*fields["decision"]["enum"], REFUSED]}}
    sensitivity = {
        "type": "array",
        "items": {"type": "object", "properties": change, "required": list(change), "additionalProperties": False},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Determination",
        "type": "object",
        "properties": {**fields, "sensitivity": sensitivity},
        "required": [name for name in fields if name != "explanation"],
        "additionalProperties": False,
    }


def _explanation_schema() -> Json:
    """An explanation: a node refers to others by their numbers, which are less than its own."""
    number = {"type": "integer", "minimum": 0}
    node = {
        "type": "object",
        "properties": {"id": number, "kind": {"enum": [
            "given", "absent", "open", "compared", "counted", "rule", "refuted", "doubted", "rows"
        ]}},
        "required": ["id", "kind"],
    }
    step = {
        "type": "object",
        "properties": {
            "literal": {"type": "integer"}, "answer": {"type": "string"}, "negated": {"const": True}, "node": number,
            "more_beside": number,
        },
        "required": ["literal", "answer", "node"],
        "additionalProperties": False,
    }
    part: Json = {
        "type": "object",
        "properties": {
            "rule": {"type": "string"}, "criteria": {"type": "array", "items": {"type": "string"}},
            "children": {"type": "array", "items": step},
        },
        "required": ["rule", "criteria", "children"],
        "additionalProperties": False,
    }
    of_criterion = {**part, "properties": {**part["properties"], "answer": {"type": "string"},
                                           "bindings": {"type": "object"}, "settles": {"type": "string"}}}
    of_relation = {
        "type": "object", "properties": {"node": number}, "required": ["node"], "additionalProperties": False,
    }
    nodes = {"type": "array", "items": node}
    whole = {"root": number, "parts": {"type": "array", "items": part}, "nodes": nodes}
    some = {"parts": {"type": "array", "items": {"anyOf": [of_criterion, of_relation]}}, "nodes": nodes}
    asked = {"criterion": {"type": "string"}, "why_not": {"const": True}}
    return {
        "anyOf": [
            {"type": "object", "properties": whole, "required": list(whole), "additionalProperties": False},
            {"type": "object", "properties": {**asked, **some}, "required": list(some), "additionalProperties": False},
        ]
    }
