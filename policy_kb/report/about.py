"""A policy described from its own rules and facts: nothing here knows a particular policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy_kb.check.alternatives import alternatives
from policy_kb.check.checked import in_file_order
from policy_kb.check.constants import choices
from policy_kb.explain.written import sentence
from policy_kb.report.determination import approvals
from policy_kb.report.summary import criterion_sentences
from policy_kb.report.wording import joined, number_order

if TYPE_CHECKING:
    from policy_kb.policies import Policy

Section = tuple[str, list[str]]


def about(policy: Policy) -> list[Section]:
    """Headings with their lines: phases with criteria and approvals, readings, and the sections of the policy."""
    phases = policy.program.phases
    first = phases[0]
    known = policy.rules.known
    sections: list[Section] = [
        (f"{first.policy}: {first.title}", [f"revised {first.revised}", f"covers {', '.join(sorted(policy.covers))}"])
    ]
    for phase in phases:
        says = criterion_sentences(policy.program, phase)
        lines = [f"{'  ' * number.count('.')}{number}  {says[number]}" for number in sorted(says, key=number_order)]
        approved = approvals(policy.program, known, phase)
        ways = alternatives(policy.program, phase)
        is_one_of = len(ways) > 1
        if approved:
            lines.append(f"where {'one is' if is_one_of else 'all are'} met: {', '.join(map(str, approved))}")
        which = f"one of {len(ways)} alternatives: {', or '.join(map(joined, ways))}" if is_one_of else "all of"
        sections.append((f"{phase.name.capitalize()}: {which}", lines))
    readings = [
        f"{name}: {allowed[0]}" + (f" (could also be {', '.join(allowed[1:])})" if allowed[1:] else "")
        for name, allowed in choices(known).items()
    ]
    if readings:
        sections.append(("Readings, where the words leave a choice", readings))
    for _, heading, relation in sorted(known.get("section", ())):
        declared = policy.program.relations.get(str(relation))
        if declared is not None:
            rows = in_file_order(policy.program, str(relation), known.get(str(relation), ()))
            sections.append((str(heading), [sentence(declared, row) for row in rows]))
    return sections
