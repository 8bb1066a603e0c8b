"""Which readings an explanation relies on: those that a rule it shows asks for, itself or through known relations."""

from __future__ import annotations

from collections.abc import Iterable

from policy_kb.check.checked import CheckedProgram, Rule
from policy_kb.check.declarations import atoms_in
from policy_kb.evaluate.plain import Rows
from policy_kb.explain.proof import Attempt, Branches, Counted, Derived, Doubted, Node, Refuted
from policy_kb.parse import tree


def readings_used(program: CheckedProgram, known: Rows, root: Node) -> dict[str, str]:
    """The readings relied on, by name, each with the choice in force."""
    of_cases = {relation.name for relation in program.relations.values() if relation.is_case}
    return _asked_by(program, known, (program.rules[number] for number in _rules_shown(root)), of_cases)


def readings_asked(program: CheckedProgram, known: Rows, root: str) -> dict[str, str]:
    """The readings that any explanation of this relation may rely on."""
    return _asked_by(program, known, program.rules_for(root), {root})


def _asked_by(program: CheckedProgram, known: Rows, rules: Iterable[Rule], seen: set[str]) -> dict[str, str]:
    """The readings that these rules ask for, themselves or through further relations, but for those in `seen`."""
    in_force = {str(name): str(choice) for name, choice in known.get("reading", ())}
    used: set[str] = set()
    waiting = list(rules)
    while waiting:
        for literal in waiting.pop().body:
            for atom in atoms_in(literal):
                if atom.relation == "reading" and isinstance(atom.arguments[0], tree.Constant):
                    used.add(str(atom.arguments[0].value))
                elif atom.relation not in seen:
                    seen.add(atom.relation)
                    waiting += program.rules_for(atom.relation)
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
            case Counted(rows=rows, missed=missed):
                waiting += [node for row in rows for node in row.nodes]
                waiting += [node for one in missed for node in one.nodes]
    return rules
