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
    Aggregated,
    Attempt,
    Bindings,
    Branches,
    Claim,
    Closed,
    Compared,
    Counted,
    CountedRow,
    Derived,
    Doubted,
    Explanation,
    Given,
    Missed,
    Node,
    OpenPoint,
    Refuted,
    Side,
    Step,
    Unstated,
)
from policy_kb.explain.written import Sentences, json_value
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
        proofs = Proofs(determination.program, determination.sentences, phase.name if why_not else None)
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
        "edition": determination.edition.to_dict(),
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

    def __init__(self, program: CheckedProgram, sentences: Sentences, why_not: str | None = None):
        """`why_not`: the phase whose criteria are left out where they are met."""
        self.program, self.sentences, self.why_not = program, sentences, why_not
        self.nodes: list[Json] = []
        self.numbers: dict[int, int] = {}
        self.same: dict[str, int] = {}

    def whole(self, explanation: Explanation) -> Json:
        """The nodes with the number of the root's, and under `parts` every literal of the root's rules, those that hold
        beside those that do not. `one_of`: these rules are alternatives, of which one is enough."""
        root = self.number(explanation.root)
        return {"root": root, **self.alternatives(explanation), "nodes": self.nodes}

    def alternatives(self, explanation: Explanation) -> Json:
        parts = [{**self.rule(part.rule), **self.attempt(part)} for part in explanation.parts]
        return {**_if("one_of", len(parts) > 1), "parts": parts}

    def part(self, explanation: Explanation, criterion: str | None) -> Json:
        """As `whole`, of one criterion or of what is not met: `parts` are the relations and rules that state it."""
        chosen: Json = {} if criterion is None else {"criterion": criterion}
        if self.why_not is not None:
            chosen["why_not"] = True
        if criterion is None:
            return {**chosen, **self.alternatives(explanation), "nodes": self.nodes}
        is_left_out = self.why_not is not None and explanation.criteria[criterion] == MET
        parts = [] if is_left_out else [{"node": self.number(node)} for node in explanation.stating(criterion)]
        return {**chosen, "parts": parts, "nodes": self.nodes}

    def number(self, node: Node | Attempt) -> int:
        """The number of a node, behind those of all that it refers to."""
        number = self.numbers.get(id(node))
        if number is None:
            content = self._node(node)
            number = self.same.setdefault(json.dumps(content), len(self.nodes))
            if number == len(self.nodes):
                self.nodes.append({"id": number, **content})
            self.numbers[id(node)] = number
        return number

    def _node(self, node: Node | Attempt) -> Json:
        match node:
            case Given():
                sort = {**_if("known", node.is_known), **_if("uncertain", not node.is_certain)}
                return {"kind": "given", **self.claim(node.claim), "at": place(node.span), **sort}
            case Absent():
                return {
                    "kind": "absent", **self.claim(node.claim), "at": place(node.span), **_if("known", node.is_known),
                    **_if("instead", [self.number(row) for row in node.instead]), **_if("more", node.more),
                }
            case Closed():
                return {
                    "kind": "closed", **self.claim(node.claim), "at": place(node.span),
                    **_if("besides", [self.number(row) for row in node.besides]), **_if("more", node.more),
                }
            case Aggregated():
                return {
                    "kind": "aggregated", "function": node.function, "value": json_value(node.value),
                    **self.described(node), "rows": [self.row(row) for row in node.rows], **_if("more", node.more),
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
                    "bound": self.side(node.bound), "answer": node.answer, **self.described(node),
                    "rows": [self.row(row) for row in node.rows],
                    **_if("missed", [self.missed(row) for row in node.missed]),
                    **_if("closed", [self.number(part) for part in node.closing]),
                    **_if("open", [self.number(part) for part in node.unstated]),
                    **_if("more", node.more), **_if("more_missed", node.more_missed),
                }
            case Derived():
                return {
                    "kind": "rule", **self.claim(node.claim), **self.rule(node.rule),
                    "bindings": self.bindings(node.bindings), "children": self.steps(node.steps),
                }
            case Refuted() | Doubted():
                return {
                    "kind": "refuted" if isinstance(node, Refuted) else "doubted", **self.claim(node.claim),
                    "attempts": [self.number(attempt) for attempt in node.attempts],
                }
            case Attempt():
                return {"kind": "attempt", **self.rule(node.rule), **self.attempt(node)}
            case Branches():
                found: Json = {
                    "kind": "rows", **self.claim(node.claim),
                    "rows": [{"row": self.number(row), "then": self.attempt(rest)} for row, rest in node.rows],
                    **_if("more", node.more), **_if("more_possible", node.more_possible),
                    **({} if node.closed is None else {"closed": self.number(node.closed)}),
                }
                if node.unstated is not None and node.otherwise is not None:
                    found |= {"open": self.number(node.unstated), "otherwise": self.attempt(node.otherwise)}
                return found

    def claim(self, claim: Claim) -> Json:
        """A relation with values, null standing for any; of one of the case without the case."""
        relation = self.program.relations[claim.relation]
        return {
            "relation": claim.relation,
            "values": [json_value(value) for value in claim.values[relation.is_case :]],
            "says": wording.of(claim, self.sentences),
        }

    def described(self, node: Counted | Aggregated) -> Json:
        """What is counted or put together."""
        where = [
            {"left": condition.left, "operator": condition.operator, "right": json_value(condition.right)}
            for condition in node.conditions
        ]
        return {
            "of": [self.claim(claim) for claim in node.of],
            **_if("without", [self.claim(claim) for claim in node.without]), **_if("where", where),
        }

    def row(self, row: CountedRow) -> Json:
        return {
            "values": self.bindings(row.bindings), **_if("uncertain", not row.is_certain),
            "because": [self.number(part) for part in row.nodes],
        }

    def missed(self, row: Missed) -> Json:
        return {
            "values": self.bindings(row.bindings), "because": [self.number(part) for part in row.nodes],
            "children": self.steps(row.steps),
        }

    def side(self, side: Side) -> Json:
        return {"written": side.written, "value": json_value(side.value)}

    def bindings(self, bindings: Bindings) -> Json:
        return {name: json_value(value) for name, value in bindings if not name.startswith("#")}

    def rule(self, number: int) -> Json:
        rule = self.program.rules[number]
        return {"rule": str(rule.span), **_if("criteria", [str(criterion) for criterion in rule.criteria])}

    def steps(self, steps: Iterable[Step]) -> list[Json]:
        return [self.step(step) for step in steps if not self.is_left_out(step)]

    def is_left_out(self, step: Step) -> bool:
        node = step.node
        if self.why_not is None or step.answer != MET or not isinstance(node, Derived):
            return False
        criteria = (*self.program.relations[node.claim.relation].criteria, *self.program.rules[node.rule].criteria)
        return bool(paragraphs(criteria, self.why_not))

    def step(self, step: Step) -> Json:
        behind = _if("behind", [self.number(node) for node in step.behind])
        return {
            "literal": step.place, "answer": step.answer, **_if("negated", step.is_negated), **behind,
            "node": self.number(step.node), **_if("more_beside", step.more), **_if("would_count", step.would_count),
        }

    def attempt(self, attempt: Attempt) -> Json:
        """What becomes of a body; the values that it gives to variables, where it gives some to any."""
        return {
            "answer": attempt.answer, **_if("bindings", self.bindings(attempt.bindings)),
            "children": self.steps(attempt.steps),
            **({} if attempt.settles is None else {"settles": attempt.settles}),
        }


def _if(name: str, value: object) -> Json:
    """The field, where it says something."""
    return {name: value} if value else {}


def place(span: Span | None) -> str | None:
    """`case.yaml:4`; the file alone where no line is known."""
    return None if span is None else span.file if span.line == 0 else str(span)


def determination_schema() -> Mapping[str, Any]:
    """The JSON Schema of a determination."""
    text = {"type": "string"}
    day = {"type": "string", "format": "date"}
    answer = {"enum": ["met", "not met", "needs information"]}
    fields: dict[str, Any] = {
        "format": {"const": FORMAT},
        "case": text,
        "source": text,
        "policy": text,
        "title": text,
        "revised": day,
        "phase": text,
        "edition": {
            "type": "object",
            "properties": {"effective": day, "until": {**day, "type": ["string", "null"]},
                           "payer": {"type": ["string", "null"]}},
            "required": ["effective", "until", "payer"],
            "additionalProperties": False,
        },
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
            "given", "absent", "closed", "open", "compared", "counted", "aggregated", "rule", "refuted", "doubted",
            "attempt", "rows",
        ]}},
        "required": ["id", "kind"],
    }
    step = {
        "type": "object",
        "properties": {
            "literal": {"type": "integer"}, "answer": {"type": "string"}, "negated": {"const": True}, "node": number,
            "behind": {"type": "array", "items": number}, "more_beside": number, "would_count": {"const": True},
        },
        "required": ["literal", "answer", "node"],
        "additionalProperties": False,
    }
    part = {
        "type": "object",
        "properties": {
            "rule": {"type": "string"}, "criteria": {"type": "array", "items": {"type": "string"}},
            "answer": {"enum": ["met", "not met", "needs information"]}, "bindings": {"type": "object"},
            "children": {"type": "array", "items": step}, "settles": {"type": "string"},
        },
        "required": ["rule", "answer", "children"],
        "additionalProperties": False,
    }
    stating = {
        "type": "object", "properties": {"node": number}, "required": ["node"], "additionalProperties": False,
    }
    nodes = {"type": "array", "items": node}
    whole = {"root": number, "parts": {"type": "array", "items": part}, "nodes": nodes}
    some = {"parts": {"type": "array", "items": {"anyOf": [part, stating]}}, "nodes": nodes}
    one_of = {"one_of": {"const": True}}
    asked = {"criterion": {"type": "string"}, "why_not": {"const": True}, **one_of}
    return {
        "anyOf": [
            {"type": "object", "properties": {**whole, **one_of}, "required": list(whole),
             "additionalProperties": False},
            {"type": "object", "properties": {**asked, **some}, "required": list(some), "additionalProperties": False},
        ]
    }
