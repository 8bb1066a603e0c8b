"""Strata: an order in which relations can be evaluated, every negated or counted one before the relation that asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policy_kb.check.declarations import Report, atoms_in
from policy_kb.diagnostics import Kind, walk
from policy_kb.parse import tree
from policy_kb.source import Span


@dataclass(frozen=True)
class Dependency:
    """A rule for `head` reads `body`; `is_strict`: negated or inside an aggregate, so `body` must be complete."""

    head: str
    body: str
    is_strict: bool
    span: Span
    how: str


def dependencies(rules: Iterable[tuple[tree.Atom, tuple[tree.Literal, ...]]]) -> Iterator[Dependency]:
    """What the rules' heads depend on."""
    for head, body in rules:
        for literal in (*body, *head.arguments):
            match literal:
                case tree.Atom(relation=relation, span=span):
                    yield Dependency(head.relation, relation, False, span, relation)
                case tree.Negation(atom=atom, span=span):
                    yield Dependency(head.relation, atom.relation, True, span, f"!{atom.relation}")
            for aggregate in tree.aggregates(literal):
                inner = (atom for part in aggregate.body for atom in atoms_in(part))
                for atom in inner:
                    how = f"{aggregate.function} of {atom.relation}"
                    yield Dependency(head.relation, atom.relation, True, atom.span, how)


def stratify(relations: Iterable[str], edges: Iterable[Dependency]) -> tuple[tuple[str, ...], ...]:
    """The strongly connected components of the dependencies, each behind those it depends on (Tarjan's algorithm)."""
    graph: dict[str, list[str]] = {relation: [] for relation in relations}
    for edge in edges:
        graph[edge.head].append(edge.body)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    components: list[tuple[str, ...]] = []
    for start in graph:
        if start in index:
            continue
        work = [(start, iter(graph[start]))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while work:
            node, successors = work[-1]
            for successor in successors:
                if successor not in index:
                    index[successor] = low[successor] = len(index)
                    stack.append(successor)
                    on_stack.add(successor)
                    work.append((successor, iter(graph[successor])))
                    break
                if successor in on_stack:
                    low[node] = min(low[node], index[successor])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.append(member)
                        if member == node:
                            break
                    components.append(tuple(reversed(component)))
    return tuple(components)


def check_stratified(strata: tuple[tuple[str, ...], ...], edges: list[Dependency], report: Report) -> None:
    """Report every cycle through a negation or an aggregate, as the walk it is; each component once."""
    component = {relation: number for number, stratum in enumerate(strata) for relation in stratum}
    reported: set[int] = set()
    for edge in edges:
        number = component[edge.head]
        if edge.is_strict and component[edge.body] == number and number not in reported:
            reported.add(number)
            cycle = cycle_through(edge, edges, set(strata[number]))
            steps = walk([f"`{step.head}` needs `{step.how}` ({step.span})" for step in cycle], "; ")
            report(Kind.NOT_STRATIFIED, edge.span, f"`{edge.head}` depends on its own absence: {steps}",
                   "break the cycle: a relation cannot be derived from what it lacks itself")


def cycle_through(first: Dependency, edges: list[Dependency], component: set[str]) -> list[Dependency]:
    """A shortest cycle that begins with a dependency, inside the component of relations it lies in."""
    came_from: dict[str, Dependency] = {}
    waiting = deque([first.body])
    while waiting and first.head not in {first.body, *came_from}:
        node = waiting.popleft()
        for edge in edges:
            if edge.head == node and edge.body in component and edge.body not in came_from:
                came_from[edge.body] = edge
                waiting.append(edge.body)
    steps: list[Dependency] = []
    goal = first.head
    while goal != first.body:
        steps.append(came_from[goal])
        goal = came_from[goal].head
    return [first, *reversed(steps)]


def reachable(start: str, edges: Iterable[Dependency]) -> set[str]:
    """The relations a relation depends on, itself included."""
    graph: dict[str, set[str]] = {}
    for edge in edges:
        graph.setdefault(edge.head, set()).add(edge.body)
    found = {start}
    waiting = [start]
    while waiting:
        for successor in graph.get(waiting.pop(), ()):
            if successor not in found:
                found.add(successor)
                waiting.append(successor)
    return found
