"""The determination: the decision for one case, with everything a reader may ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from policy_kb.check.checked import CheckedProgram, Phase, in_file_order
from policy_kb.evaluate.plain import Rows
from policy_kb.parse.tree import Value
from policy_kb.record import record

if TYPE_CHECKING:
    from policy_kb.choose.editions import Edition
    from policy_kb.diagnostics import Diagnostic
    from policy_kb.explain.proof import Explanation, OpenPoint
    from policy_kb.explain.written import Sentences
    from policy_kb.load.facts import Row

NOT_APPLICABLE = "not applicable"


@record
class Approval:
    """An amount that is approved where the criteria are met: so many of a unit, `doses` or `units of J0202`."""

    amount: Value
    unit: str

    def __str__(self) -> str:
        from policy_kb.explain.written import shown

        return f"{shown(self.amount)} {self.unit}"


def approvals(program: CheckedProgram, known: Rows, phase: Phase) -> tuple[Approval, ...]:
    """What the policy approves for a phase, in the order of its facts."""
    rows = in_file_order(program, "approval", known.get("approval", ()))
    return tuple(Approval(amount, str(unit)) for name, amount, unit in rows if name == phase.name)


@record
class Determination:
    """One case, decided by one phase of an edition of a policy.

    `decision` is `met`, `not met`, `needs information` or `not applicable`; `reason` is one sentence. `criteria` maps
    every paragraph of the phase to its answer, in the order of the guideline; it is empty when not applicable.
    `approval` is None unless met, one amount a unit: what the policy approves for the phase, then what is granted to
    this case. `missing` names what can still change the decision. `readings` are the readings that the explanation
    relies on. `rules` and `facts` are SHA-256 fingerprints of the rule files and of what the case says.
    """

    case: str
    source: str
    phase: Phase
    edition: Edition
    decision: str
    reason: str
    criteria: Mapping[str, str]
    approval: tuple[Approval, ...] | None
    missing: tuple[OpenPoint, ...]
    notices: tuple[str, ...]
    readings: Mapping[str, str]
    explanation: Explanation | None
    rules: str
    facts: str
    program: CheckedProgram
    record: Mapping[str, tuple[Row, ...]]
    """What the case states: its rows by relation."""
    notes: tuple[Diagnostic, ...] = ()
    """What was given twice in the case, or read in another spelling."""

    @property
    def sentences(self) -> Sentences:
        """The sentences of its relations, their values as the case writes them."""
        from policy_kb.explain.written import Sentences
        from policy_kb.load.facts import Written

        return Sentences(self.program.relations, Written(self.record))

    def to_dict(self, explanation: bool = True) -> dict[str, Any]:
        """The determination as plain data, in the form that `policy-kb schema --determination` describes."""
        from policy_kb.report.as_json import as_dict

        return as_dict(self if explanation else replace(self, explanation=None))

    def to_json(self, explanation: bool = True, indent: int | None = None) -> str:
        """As `to_dict`, written as JSON."""
        from policy_kb.report.as_json import written

        return written(self.to_dict(explanation), indent)

    def to_text(self, criterion: str | None = None, why_not: bool = False, width: int = 80) -> str:
        """The explanation, as `policy-kb explain` prints it: the whole tree, or the part of one criterion; `why_not`:
        without the criteria that are met. Without an explanation what `policy-kb decide` prints."""
        from policy_kb.report.as_text import explained
        from policy_kb.report.summary import in_short

        lines = in_short(self, width) if self.explanation is None else explained(self, width, criterion, why_not)
        return "".join(f"{line}\n" for line in lines)

    def to_html(self, criterion: str | None = None, why_not: bool = False) -> str:
        """The explanation, or a part of it, as one page that needs nothing beside it."""
        from policy_kb.report.as_html import render_page

        return render_page(self, criterion, why_not)
