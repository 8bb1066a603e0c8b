"""A policy described from its own rules and facts: nothing here knows a particular policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy_kb.check.checked import constants
from policy_kb.check.constants import choices
from policy_kb.explain.written import sentence
from policy_kb.parse.tree import Value
from policy_kb.report.summary import criterion_sentences
from policy_kb.report.wording import number_order

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
        for row in sorted(known.get("approval", ())):
            if row[0] == phase.name:
                lines.append(f"where all are met: {row[1]} doses, {row[3]} units of {row[2]}")
        sections.append((f"{phase.name.capitalize()}: all of", lines))
    readings = [
        f"{name}: {allowed[0]}" + (f" (could also be {', '.join(allowed[1:])})" if allowed[1:] else "")
        for name, allowed in choices(known).items()
    ]
    if readings:
        sections.append(("Readings, where the words leave a choice", readings))
    for _, heading, relation in sorted(known.get("section", ())):
        declared = policy.program.relations.get(str(relation))
        if declared is not None:
            rows = _in_file_order(policy, str(relation))
            sections.append((str(heading), [sentence(declared, row) for row in rows]))
    return sections


def _in_file_order(policy: Policy, relation: str) -> list[tuple[Value, ...]]:
    """The rows of a known relation: facts as they stand in the file, then what rules derive."""
    known = policy.rules.known.get(relation, set())
    written = [constants(atom) for atom, _ in policy.program.facts if atom.relation == relation]
    return [*dict.fromkeys(written), *sorted(set(known) - set(written))]
