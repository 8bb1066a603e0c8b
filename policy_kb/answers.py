"""The three answers, for a criterion and for a decision."""

from __future__ import annotations

MET, NOT_MET, NEEDS_INFORMATION = "met", "not met", "needs information"

REFUSED = "refused"
"""What would become of a case under another reading, where it is no decision."""


def answered(is_certain: bool, is_possible: bool) -> str:
    return MET if is_certain else NEEDS_INFORMATION if is_possible else NOT_MET
