"""The determination: the decision for one case, with everything a reader may ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from policy_kb.check.checked import CheckedProgram, Phase
from policy_kb.record import record

if TYPE_CHECKING:
    from policy_kb.explain.proof import Explanation, OpenPoint
    from policy_kb.load.facts import Row

NOT_APPLICABLE = "not applicable"


@record
class Approval:
    """What is approved where the criteria are met: so many doses, billed as so many units of a code."""

    doses: int
    code: str
    units: int


@record
class Determination:
    """One case, decided by one phase of a policy.

    `decision` is `met`, `not met`, `needs information` or `not applicable`; `reason` is one sentence. `criteria` maps
    every paragraph of the phase to its answer, in the order of the guideline; it is empty when not applicable.
    `approval` is None unless met. `missing` names what can still change the decision. `readings` are the readings that
    the explanation relies on. `rules` and `facts` are SHA-256 fingerprints of the rule files and of what the case says.
    """

    case: str
    source: str
    phase: Phase
    decision: str
    reason: str
    criteria: Mapping[str, str]
    approval: Approval | None
    missing: tuple[OpenPoint, ...]
    notices: tuple[str, ...]
    readings: Mapping[str, str]
    explanation: Explanation | None
    rules: str
    facts: str
    program: CheckedProgram
    record: Mapping[str, tuple[Row, ...]]
    """What the case states: its rows by relation."""
