"""How tests audit determinations: of the alemtuzumab policy, and of random programs."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from policy_kb import Determination, Policy, load_policy, pipeline
from policy_kb.audit.determination import check
from policy_kb.audit.document import parse_json
from policy_kb.audit.rules import RuleBook, read_rules
from policy_kb.audit.walk import Unsound
from policy_kb.diagnostics import Refused
from policy_kb.evaluate.known import evaluate_known
from policy_kb.load.digest import digest_of_files
from policy_kb.load.documents import Document, parse_document
from policy_kb.report.as_json import as_dict
from tests.evaluate.running import check_text
from tests.strategies.programs import random_case, random_program

KB = Path(__file__).resolve().parents[2] / "kb"
Json = dict[str, Any]


@dataclass(frozen=True)
class Audited:
    """A case with its determination as JSON, and the rules by which it is audited."""

    book: RuleBook
    document: Document
    said: Json
    readings: Mapping[str, str] = field(default_factory=dict)

    def check(self, said: Any = None) -> None:
        """Audit the determination, or what stands in its place."""
        check(self.book, self.document, self.readings, self.said if said is None else said)

    def refuses(self, said: Any) -> bool:
        try:
            self.check(said)
        except Unsound:
            return True
        return False


@cache
def policy_of(entry: Path) -> Policy:
    return load_policy(entry)


@cache
def book_of(entry: Path) -> RuleBook:
    return read_rules(entry)


ALEMTUZUMAB = KB / "alemtuzumab.dl"


def decided(
    case: Mapping[str, object] | Document, readings: Mapping[str, str] | None = None, entry: Path = ALEMTUZUMAB
) -> Audited:
    """The determination of a case, written and read as JSON. Raises Refused for a case that is refused."""
    document = case if isinstance(case, Document) else parse_document(case)
    determination = policy_of(entry).decide(document, readings or {})
    return Audited(book_of(entry), document, as_json(as_dict(determination)), readings or {})


def as_json(value: Json) -> Json:
    read: Json = parse_json(json.dumps(value, allow_nan=False))
    return read


def random_decided(seed: int) -> Audited | None:
    """A case of a random program; None where a value does not exist (a division by zero)."""
    found = _random_decided(seed)
    if found is None:
        return None
    policy, document, determination = found
    said = as_json(as_dict(determination))
    return Audited(RuleBook(policy.program, {}, policy.rules.digest), document, said)


def random_determination(seed: int) -> Determination | None:
    """As `random_decided`, the determination itself."""
    found = _random_decided(seed)
    return None if found is None else found[2]


def _random_decided(seed: int) -> tuple[Policy, Document, Determination] | None:
    source = random.Random(f"audits {seed}")
    program = random_program(source, exotic=seed % 3 == 0)
    case: dict[str, Any] = random_case(source, program)
    case["request"] = {**case["request"], "phase": "treatment"}
    try:
        checked = check_text(program.text)
        policy = Policy(pipeline.Rules(checked, {}, evaluate_known(checked, {}), digest_of_files(checked)))
        document = parse_document(case)
        return policy, document, policy.decide(document)
    except Refused:
        return None
