"""Determinations of random programs, as they are printed."""

from __future__ import annotations

import random

from policy_kb import Determination, Policy, pipeline
from policy_kb.diagnostics import Refused
from policy_kb.evaluate.known import evaluate_known
from policy_kb.load.digest import digest_of_files
from policy_kb.load.documents import parse_document
from tests.evaluate.running import check_text
from tests.strategies.programs import random_case, random_program


def random_determination(seed: int) -> Determination | None:
    """A case of a random program; None where it is refused (a division by zero)."""
    source = random.Random(f"sentences {seed}")
    program = random_program(source, exotic=seed % 3 == 0)
    case = random_case(source, program)
    try:
        checked = check_text(program.text)
        rules = pipeline.Rules(checked, {}, evaluate_known(checked, {}), digest_of_files(checked))
        document = parse_document({**case, "request": {**case["request"], "phase": "treatment"}})
        return Policy(rules).decide(document)
    except Refused:
        return None
