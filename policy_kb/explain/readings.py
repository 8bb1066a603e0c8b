"""Which readings an explanation relies on: those that a rule it shows asks for, itself or through known relations."""

from __future__ import annotations

from policy_kb.check.checked import CheckedProgram, Rule
from policy_kb.check.declarations import atoms_in
from policy_kb.evaluate.plain import Rows
from policy_kb.explain.proof import Attempt, Branches, Counted, Derived, Doubted, Node, Refuted
from policy_kb.parse import tree


def readings_used(program: CheckedProgram, known: Rows, root: Node) -> dict[str, str]:
    """The readings relied on, by name, each with the choice in force."""
    in_force = {str(name): str(choice) for name, choice in known.get("reading", ())}
    rules: dict[str, list[Rule]] = {}
    for rule in program.rules:
        if not program.relations[rule.head.relation].is_case:
            rules.setdefault(rule.head.relation, []).append(rule)
    used: set[str] = set()
    seen: set[str] = set()
    waiting = [program.rules[number] for number in _rules_shown(root)]
    while waiting:
        for literal in waiting.pop().body:
            for atom in atoms_in(literal):
                if atom.relation == "reading" and isinstance(atom.arguments[0], tree.Constant):
                    used.add(str(atom.arguments[0].value))
                elif atom.relation in rules and atom.relation not in seen:
                    seen.add(atom.relation)
                    waiting += rules[atom.relation]
    return {name: in_force[name] for name in sorted(used & in_force.keys())}


def _rules_shown(root: Node) -> set[int]:
    """The numbers of the rules of every node below `root`."""
    rules: set[int] = set()
    seen: set[int] = set()
    waiting: list[Node | Attempt] = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        match node:
            case Derived(rule=rule, steps=steps) | Attempt(rule=rule, steps=steps):
                rules.add(rule)
                waiting += [step.node for step in steps]
            case Refuted(attempts=attempts) | Doubted(attempts=attempts):
                waiting += attempts
            case Branches(rows=rows, unstated=unstated, otherwise=otherwise):
                for row, attempt in rows:
                    waiting += [row, attempt]
                waiting += [part for part in (unstated, otherwise) if part is not None]
            case Counted(rows=rows):
                waiting += [node for row in rows for node in row.nodes]
    return rules
