"""Safety: every variable of a rule is bound by its body, so that every rule has finitely many answers.

A variable is bound by a positive atom, or by `=` with an expression whose variables are bound. Variables that occur
only inside an aggregate are its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from policy_kb.check.declarations import Declarations, Report
from policy_kb.diagnostics import Kind
from policy_kb.parse import tree


def bound_variables(
    body: Iterable[tree.Literal], already: frozenset[str] = frozenset(), whole: tuple[tree.Literal, ...] | None = None
) -> frozenset[str]:
    """The names of the variables a body binds, together with those bound `already`.

    Where the body is a part of a rule, `whole` is all of it: it says which variables an aggregate shares with it.
    """
    body = tuple(body)
    whole = body if whole is None else whole
    bound = set(already)
    for literal in body:
        if isinstance(literal, tree.Atom):
            bound.update(argument.name for argument in literal.arguments if isinstance(argument, tree.Variable))
    equalities = [literal for literal in body if isinstance(literal, tree.Comparison) and literal.operator == "="]
    changed = True
    while changed:
        changed = False
        for equality in equalities:
            for one, other in ((equality.left, equality.right), (equality.right, equality.left)):
                if isinstance(one, tree.Variable) and one.name not in bound and needs(other, bound, whole) <= bound:
                    bound.add(one.name)
                    changed = True
    return frozenset(bound)


def needs(
    node: tree.Expression | tree.Literal, bound: Iterable[str], body: tuple[tree.Literal, ...] = ()
) -> frozenset[str]:
    """The variables that must be bound before a literal or an expression can be evaluated.

    An aggregate needs those of its variables that its own body does not bind, and those the rest of the rule (`body`)
    uses as well.
    """
    match node:
        case tree.Variable(name=name):
            return frozenset((name,))
        case tree.Call(arguments=arguments) | tree.Atom(arguments=arguments):
            return frozenset().union(*(needs(argument, bound, body) for argument in arguments))
        case tree.Negation(atom=atom):
            return needs(atom, bound, body)
        case tree.Comparison(left=left, right=right):
            return needs(left, bound, body) | needs(right, bound, body)
        case tree.Aggregate():
            return outer_variables(node, body)
    return frozenset()


def outer_variables(aggregate: tree.Aggregate, body: Iterable[tree.Literal]) -> frozenset[str]:
    """The variables an aggregate shares with the rest of the rule, and those its own body leaves unbound."""
    elsewhere = frozenset(name for literal in body for name in tree.names_outside_aggregates(literal))
    parts = (*aggregate.body, *((aggregate.target,) if aggregate.target is not None else ()))
    own = {name for part in parts for name in tree.names_outside_aggregates(part)}
    for part in parts:
        for nested in tree.aggregates(part):
            own |= outer_variables(nested, aggregate.body)
    return (tree.names(aggregate) & elsewhere) | (own - bound_variables(aggregate.body, elsewhere))


def check_safety(found: Declarations, report: Report) -> None:
    """Report unbound variables, `_` where it has no meaning, and a variable called `ongoing`."""
    for rule in found.rules:
        _check_wildcards(rule, report)
        _check_bound(rule, report)
        for variable in (v for node in (*rule.heads, *rule.body) for v in tree.variables(node)):
            if variable.name == "ongoing":
                report(Kind.RESERVED_NAME, variable.span, "`ongoing` is a word of the case format",
                       'write `@date("9999-12-31")` for it, or choose another name')
                break


def _check_bound(rule: tree.Rule, report: Report) -> None:
    bound = bound_variables(rule.body)
    reported: set[str] = set()

    def unbound(variable: tree.Variable) -> None:
        if variable.name in reported:
            return
        reported.add(variable.name)
        if not rule.body:
            report(Kind.UNBOUND_VARIABLE, variable.span, f"`{variable}` is a variable in a fact",
                   f'write a constant, such as `"{variable}"`')
        else:
            report(Kind.UNBOUND_VARIABLE, variable.span, f"`{variable}` is not bound by the body",
                   f"name `{variable}` in a positive atom{_suggestion(rule)}")

    _check_nodes((*rule.heads, *rule.body), bound, unbound)


def _check_nodes(
    nodes: Iterable[tree.Literal | tree.Expression], bound: frozenset[str], unbound: Callable[[tree.Variable], None]
) -> None:
    for node in nodes:
        for variable in tree.variables(node, in_aggregates=False):
            if variable.name not in bound:
                unbound(variable)
        for aggregate in tree.aggregates(node):
            target = (aggregate.target,) if aggregate.target is not None else ()
            _check_nodes((*target, *aggregate.body), bound_variables(aggregate.body, bound), unbound)


def _suggestion(rule: tree.Rule) -> str:
    atom = next((literal for literal in rule.body if isinstance(literal, tree.Atom) and literal.arguments), None)
    return f", such as `{atom.relation}(...)`" if atom else ""


def _check_wildcards(rule: tree.Rule, report: Report) -> None:
    for head in rule.heads:
        _refuse_wildcards(head.arguments, "in a head" if rule.body else "in a fact", report)
        for aggregate in tree.aggregates(head):
            _check_wildcards_in_aggregate(aggregate, report)
    for literal in rule.body:
        _check_wildcards_in_literal(literal, report)


def _check_wildcards_in_literal(literal: tree.Literal, report: Report) -> None:
    match literal:
        case tree.Comparison(left=left, right=right):
            _refuse_wildcards((left, right), "in a comparison", report)
        case tree.Atom(arguments=arguments) | tree.Negation(atom=tree.Atom(arguments=arguments)):
            expressions = [argument for argument in arguments if not isinstance(argument, tree.Wildcard)]
            _refuse_wildcards(expressions, "in an expression", report)
    for aggregate in tree.aggregates(literal):
        _check_wildcards_in_aggregate(aggregate, report)


def _check_wildcards_in_aggregate(aggregate: tree.Aggregate, report: Report) -> None:
    if aggregate.target is not None:
        _refuse_wildcards((aggregate.target,), "in an expression", report)
    atoms = [literal for literal in aggregate.body if isinstance(literal, tree.Atom)]
    for literal in aggregate.body:
        _check_wildcards_in_literal(literal, report)
    if len(atoms) > 1:
        for argument in (argument for atom in atoms for argument in atom.arguments):
            if isinstance(argument, tree.Wildcard):
                report(Kind.WILDCARD, argument.span, "`_` stands in an aggregate with several atoms",
                       "name it: such an aggregate would count without it")


def _refuse_wildcards(expressions: Iterable[tree.Expression], where: str, report: Report) -> None:
    for expression in expressions:
        for wildcard in _outside_aggregates(expression):
            report(Kind.WILDCARD, wildcard.span, f"`_` stands {where}",
                   "write a value, or a variable that the body binds")


def _outside_aggregates(node: tree.Expression) -> list[tree.Wildcard]:
    match node:
        case tree.Wildcard():
            return [node]
        case tree.Call(arguments=arguments):
            return [wildcard for argument in arguments for wildcard in _outside_aggregates(argument)]
    return []


def check_singletons(rules: Iterable[tree.Rule], report: Report) -> None:
    """Warn of variables that stand in a positive atom and nowhere else in their rule, its other heads included."""
    for rule in rules:
        nodes = (*rule.heads, *rule.body)
        occurrences = Counter(variable.name for node in nodes for variable in tree.variables(node))
        for atom in rule.body:
            for variable in atom.arguments if isinstance(atom, tree.Atom) else ():
                if isinstance(variable, tree.Variable) and occurrences[variable.name] == 1 and variable.name[0] != "_":
                    report.warn(Kind.SINGLETON_VARIABLE, variable.span,
                                f"`{variable}` occurs only once in this rule",
                                "write `_` if its value does not matter")
