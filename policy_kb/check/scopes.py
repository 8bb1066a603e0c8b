"""Scopes: which variables an aggregate shares with the rule around it, and which are its own.

A variable of an aggregate is shared if it also stands outside of it; otherwise, and always where the target names a
variable that the body binds, it is the aggregate's own, as in Soufflé. Here the latter get names that no other
part of the rule uses, so that later stages need not know of scopes.
"""

from __future__ import annotations

from dataclasses import replace

from policy_kb.check.safety import bound_variables
from policy_kb.parse import tree

Names = dict[str, str]
"""The name of each variable that is seen from some place, by the name it is written with."""


def with_own_names(rule: tree.Rule) -> tree.Rule:
    """The rule, in which every variable has one meaning; one that already is so comes back as it is."""
    nodes = (*rule.heads, *rule.body)
    if not any(True for node in nodes for _ in tree.aggregates(node)):
        return rule
    outside = {name for node in nodes for name in tree.names_outside_aggregates(node)}
    renaming = _Renaming(outside)
    names = {name: name for name in outside}
    heads = tuple(renaming.atom(head, names) for head in rule.heads)
    body = tuple(renaming.literal(literal, names) for literal in rule.body)
    return replace(rule, heads=heads, body=body)


class _Renaming:
    def __init__(self, taken: set[str]):
        self.taken = taken

    def literal(self, literal: tree.Literal, names: Names) -> tree.Literal:
        match literal:
            case tree.Atom():
                return self.atom(literal, names)
            case tree.Negation(atom=atom, span=span):
                return tree.Negation(self.atom(atom, names), span)
            case tree.Comparison(operator=operator, left=left, right=right, span=span):
                return tree.Comparison(operator, self.expression(left, names), self.expression(right, names), span)
        return literal

    def atom(self, atom: tree.Atom, names: Names) -> tree.Atom:
        return tree.Atom(atom.relation, tuple(self.expression(a, names) for a in atom.arguments), atom.span)

    def expression(self, node: tree.Expression, names: Names) -> tree.Expression:
        match node:
            case tree.Variable(name=name, span=span):
                return tree.Variable(names[name], span)
            case tree.Call(function=function, arguments=arguments, span=span):
                return tree.Call(function, tuple(self.expression(a, names) for a in arguments), span)
            case tree.Aggregate(function=function, target=target, body=body, span=span):
                names = self.inside(node, names)
                target = self.expression(target, names) if target is not None else None
                return tree.Aggregate(function, target, tuple(self.literal(part, names) for part in body), span)
        return node

    def inside(self, aggregate: tree.Aggregate, names: Names) -> Names:
        """The names that are seen in an aggregate, which itself stands where `names` are seen."""
        in_body = {name for literal in aggregate.body for name in tree.names_outside_aggregates(literal)}
        in_target = tree.names_outside_aggregates(aggregate.target) if aggregate.target is not None else frozenset()
        own = (in_target & bound_variables(aggregate.body)) | ((in_target | in_body) - names.keys())
        return {**names, **{name: self.fresh(name) for name in sorted(own)}}

    def fresh(self, name: str) -> str:
        number, candidate = 1, name
        while candidate in self.taken:
            number += 1
            candidate = f"{name}#{number}"
        self.taken.add(candidate)
        return candidate
