"""The alternatives of a phase: its root's rules. Where there are several the root is a ONE OF."""

from __future__ import annotations

from policy_kb.check.checked import CheckedProgram, Phase, Rule, paragraphs
from policy_kb.check.declarations import atoms_in


def alternatives(program: CheckedProgram, phase: Phase) -> list[list[str]]:
    """The criteria that each of the root's rules rests on, in the order of the rules."""
    return [stated_by(program, phase.name, rule) for rule in program.rules_for(phase.root)]


def stated_by(program: CheckedProgram, phase: str, rule: Rule) -> list[str]:
    """The criteria of a phase that a rule states itself; or else those that the relations of its body state, or of one
    that states none its rules."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = [rule]
    while waiting:
        one = waiting.pop(0)
        own = paragraphs(one.criteria, phase)
        found.update(dict.fromkeys(own))
        for atom in [] if own else [atom for literal in one.body for atom in atoms_in(literal)]:
            inside = paragraphs(program.relations[atom.relation].criteria, phase)
            found.update(dict.fromkeys(inside))
            if not inside and atom.relation not in seen:
                seen.add(atom.relation)
                waiting += program.rules_for(atom.relation)
    return list(found)
