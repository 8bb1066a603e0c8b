"""Which answers are promised to be exact: those in which no relation occurs in both polarities.

Three things besides make an open point of what is settled. That an open relation has one row at most is not used:
two literals that read it, or a count, may want two. The others are where the value of an open relation is not known. A
comparison with such a value is dropped, although none may satisfy it (`x != x`, or `x < 1` beside `x > 2`), or a count.
And a derived relation with such a value is open as a whole, although some of its attributes are known. Where neither
occurs, exactness is a law; elsewhere it is a rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from policy_kb.check.cases import bound_without_counts, counts_case_rows
from policy_kb.check.checked import CheckedProgram, Rule
from policy_kb.check.declarations import atoms_in
from policy_kb.check.safety import needs, outer_variables
from policy_kb.evaluate.plain import named_wildcards
from policy_kb.parse import tree
from tests.evaluate.running import Policy

MORE, LESS = 1, -1
Occurrence = tuple[str, int]


def asked_rules(policy: Policy, question: str) -> list[Rule]:
    """The rules that a question is about: those of a relation, or those that state a criterion."""
    return policy.stated.get(question) or list(policy.program.rules_for(question))


def occurs_in_one_polarity(policy: Policy, question: str) -> bool:
    """Whether no relation that can be unknown occurs in both polarities below a question."""
    found = polarities(policy.program, asked_rules(policy, question))
    relations = policy.program.relations
    return not any((name, -sign) in found for name, sign in found
                   if not relations[name].is_input or relations[name].may_be_open)


def is_promised(policy: Policy, question: str) -> bool:
    """Whether `needs information` must mean that two worlds differ."""
    rules = [*asked_rules(policy, question)]
    below = {name for name, _ in polarities(policy.program, rules)}
    rules += [rule for rule in policy.worlds.rules if rule.head.relation in below]
    return (occurs_in_one_polarity(policy, question) and reads_a_single_row_once(policy, rules)
            and all(keeps_what_matters(policy, rule) for rule in rules))


def reads_a_single_row_once(policy: Policy, rules: Iterable[Rule]) -> bool:
    """Whether no two literals speak of the one row that a relation has at most, nor any count: an open relation of this
    sort is read as any other."""
    read: Counter[str] = Counter()
    relations = policy.program.relations
    for rule in rules:
        whole = [name for literal in rule.body for name, _ in occurrences([literal])]
        counted = [atom.relation for literal in rule.body for count in tree.aggregates(literal)
                   for part in count.body for atom in atoms_in(part)]
        read.update(whole)
        read.update(counted)  # twice, that is: what is counted is among the whole
    below = {name for name in read if relations[name].is_single and relations[name].may_be_open}
    derived = [name for name in read if relations[name].is_case and not relations[name].is_input
               and below & {found for found, _ in polarities(policy.program, policy.program.rules_for(name))}]
    return all(read[name] == 1 for name in (*below, *derived))


def polarities(program: CheckedProgram, rules: Iterable[Rule]) -> set[Occurrence]:
    """Every case relation that the bodies depend on: more rows of it make one true (MORE), or false (LESS)."""
    found: set[Occurrence] = set()
    waiting = [occurrence for rule in rules for occurrence in occurrences(rule.body)]
    while waiting:
        name, sign = waiting.pop()
        if (name, sign) not in found and program.relations[name].is_case:
            found.add((name, sign))
            waiting += [(n, sign * s) for rule in program.rules_for(name) for n, s in occurrences(rule.body)]
    return found


def occurrences(body: Iterable[tree.Literal]) -> Iterator[Occurrence]:
    for literal in body:
        match literal:
            case tree.Atom(relation=relation):
                yield relation, MORE
            case tree.Negation(atom=atom):
                yield atom.relation, LESS
            case tree.Comparison(operator=operator, left=left, right=right):
                for side, signs in ((left, _OF_LEFT), (right, _OF_RIGHT)):
                    for aggregate in tree.aggregates(side):
                        for relation, inner in occurrences(aggregate.body):
                            for sign in signs.get(operator, (MORE, LESS)):
                                yield relation, sign * inner


_OF_LEFT = {">=": (MORE,), ">": (MORE,), "<=": (LESS,), "<": (LESS,)}
_OF_RIGHT = {"<=": (MORE,), "<": (MORE,), ">=": (LESS,), ">": (LESS,)}


def keeps_what_matters(policy: Policy, rule: Rule) -> bool:
    """Whether nothing of the rule is lost where its atoms are open."""
    whole = (*rule.body, rule.head)
    subject = frozenset(tree.names(rule.head.arguments[0]))
    if not _keeps(policy, rule.body, subject, whole):
        return False
    counts = (count for literal in rule.body for count in tree.aggregates(literal))
    return all(
        _keeps(policy, named_wildcards(count.body), subject | outer_variables(count, whole), whole) for count in counts
    )


def _keeps(
    policy: Policy, body: tuple[tree.Literal, ...], already: frozenset[str], whole: tuple[tree.Literal, ...]
) -> bool:
    can_open, relations = policy.worlds.openable, policy.program.relations
    stays = [part for part in body if not (isinstance(part, tree.Atom) and part.relation in can_open)]
    bound = bound_without_counts(stays, already, (*body, *whole), relations)
    uses = Counter(variable.name for literal in whole for variable in tree.variables(literal))
    compared = 0

    def is_derived(relation: str) -> bool:
        return relation in can_open and not relations[relation].is_input

    for literal in body:
        match literal:
            case tree.Atom(relation=relation, arguments=arguments):
                if _has_unbound_expression(arguments, bound):
                    return False
                if is_derived(relation) and any(
                    not isinstance(argument, tree.Wildcard)
                    and not (isinstance(argument, tree.Variable) and uses[argument.name] <= 1)
                    for argument in arguments[1:]
                ):
                    return False
            case tree.Negation(atom=atom):
                if _has_unbound_expression(atom.arguments, bound):
                    return False
                if is_derived(atom.relation) and any(not isinstance(a, tree.Wildcard) for a in atom.arguments[1:]):
                    return False
            case tree.Comparison() if not needs(literal, bound, (*body, *whole)) <= bound:
                once = Counter(variable.name for variable in tree.variables(literal))
                compared += 1
                if compared > 1 or counts_case_rows(literal, relations) or any(True for _ in tree.aggregates(literal)):
                    return False
                if any(number > 1 for name, number in once.items() if name not in bound):
                    return False
    return True


def _has_unbound_expression(arguments: Iterable[tree.Expression], bound: frozenset[str]) -> bool:
    return any(isinstance(argument, tree.Call) and not needs(argument, ()) <= bound for argument in arguments)
