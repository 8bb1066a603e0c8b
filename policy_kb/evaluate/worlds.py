"""From a policy to a plain program that says what is certain and what is possible.

Every case relation `a` becomes three plain relations: `a+` the rows that hold in every world, `a~` those that hold in
some, and `a*`, which has the case as its only row where anything at all may hold. Every rule becomes one *certain*
rule and one *possible* rule for every set of its atoms that may be open. No engine knows of worlds: this program is
plain stratified Datalog.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, combinations, product

from policy_kb.check.cases import bound_without_counts, counts_case_rows, openable
from policy_kb.check.checked import CheckedProgram, Rule
from policy_kb.check.safety import bound_variables, needs, outer_variables
from policy_kb.check.strata import dependencies, reachable
from policy_kb.evaluate.allowed import conditions
from policy_kb.evaluate.plain import PlainProgram, PlainRule, named_wildcards, plain_program
from policy_kb.parse.tree import (
    Aggregate,
    Atom,
    Comparison,
    Expression,
    Literal,
    Negation,
    Variable,
    Wildcard,
    count_parts,
)
from policy_kb.record import record
from policy_kb.source import Span

CASE = "*"
"""The plain relation with the case as its only row."""

CERTAIN, POSSIBLE, OPEN = "+", "~", "*"
"""The sign that a plain relation's name has behind that of the relation it says something of. No name of a rule file
has such a sign, so that a plain relation is never taken for a known one."""


def certain(relation: str) -> str:
    return relation + CERTAIN


def possible(relation: str) -> str:
    return relation + POSSIBLE


def open_(relation: str) -> str:
    return relation + OPEN


def spoken_of(plain: str) -> str:
    """The relation that a plain relation says something of; a known one is itself."""
    return plain[:-1] if plain.endswith((CERTAIN, POSSIBLE, OPEN)) else plain


def fired(rule: Rule) -> str:
    """The relation that has the case where the rule's body holds; it is certain and possible like any other."""
    return f"{rule.head.relation}/{rule.number}"


@record
class Worlds:
    """The plain program of a part of a policy, and what of the policy it covers.

    `rules` are the rules doubled; `stated` those of them that state a criterion, whose truth is a relation of its own.
    """

    program: PlainProgram
    relations: frozenset[str]
    rules: tuple[Rule, ...]
    stated: tuple[Rule, ...]
    openable: frozenset[str]


def relevant_relations(program: CheckedProgram, roots: Iterable[str]) -> frozenset[str]:
    """The relations that the roots depend on, themselves included."""
    edges = list(dependencies((rule.head, rule.body) for rule in program.rules))
    return frozenset(chain.from_iterable(reachable(root, edges) for root in roots if root in program.relations))


def double(program: CheckedProgram, roots: Iterable[str]) -> Worlds:
    """The certain and the possible version of every rule about a case that the roots depend on."""
    relations = relevant_relations(program, roots)
    rules = tuple(
        rule for rule in program.rules
        if rule.head.relation in relations and program.relations[rule.head.relation].is_case
    )
    can_open = openable(program.relations, program.rules, program.strata)
    plain: list[PlainRule] = []
    for rule in rules:
        plain += Doubling(program, rule, can_open).rules()
    arities: dict[str, int] = {}
    for name in relations:
        relation = program.relations[name]
        if relation.is_case:
            arities |= {certain(name): relation.arity, possible(name): relation.arity}
            if name in can_open:
                arities[open_(name)] = 1
        else:
            arities[name] = relation.arity
    return Worlds(
        plain_program(plain, {CASE: 1, **arities}),
        relations,
        rules,
        tuple(rule for rule in rules if rule.criteria),
        can_open,
    )


@record
class _Version:
    """One reading of a body: its literals, and the variables they bind."""

    literals: tuple[Literal, ...]
    bound: frozenset[str]
    is_open: bool
    """Whether some atom stands for an open relation."""


class Doubling:
    """The plain rules of one rule."""

    def __init__(self, program: CheckedProgram, rule: Rule, can_open: frozenset[str]):
        self.relations = program.relations
        self.can_open = can_open
        self.rule = rule
        subject = rule.head.arguments[0]
        assert isinstance(subject, Variable)
        self.subject = subject
        self.counts: dict[int, str] = {}
        self.added: list[PlainRule] = []

    def rules(self) -> list[PlainRule]:
        rule, head = self.rule, self.rule.head
        bodies: list[tuple[str, tuple[Literal, ...]]] = []
        if rule.possible is None:
            bodies += [(CERTAIN, body) for body in self.certain_bodies(rule.body)]
        for version in self.versions(rule.body):
            is_bound = needs(head, ()) <= version.bound
            bodies += [
                (POSSIBLE if is_bound else OPEN, self.grounded(body)) for body in self.with_counts(version, rule.body)
            ]
        result = []
        holds = Atom(fired(rule), (self.subject,), head.span)
        for suffix, body in bodies:
            arguments = head.arguments if suffix != OPEN else (self.subject,)
            target = Atom(head.relation + suffix, arguments, head.span)
            if rule.criteria:
                # Whether the rule's body holds is asked for by itself; a head that only names the case follows.
                state = Atom(holds.relation + (CERTAIN if suffix == CERTAIN else POSSIBLE), holds.arguments, head.span)
                result.append(PlainRule(state, body))
                body = (state,) if arguments == (self.subject,) and suffix != OPEN else body
            result.append(PlainRule(target, body))
        return result + self.added

    def is_case(self, atom: Atom) -> bool:
        return self.relations[atom.relation].is_case

    def may_be_open(self, literal: Literal) -> bool:
        return isinstance(literal, Atom) and literal.relation in self.can_open

    def grounded(self, literals: tuple[Literal, ...]) -> tuple[Literal, ...]:
        """The literals, with one that binds the case where none does."""
        if any(isinstance(literal, Atom) and self.subject in literal.arguments for literal in literals):
            return literals
        return (Atom(CASE, (self.subject,), self.rule.span), *literals)

    # the certain version

    def certain_bodies(self, body: tuple[Literal, ...]) -> Iterator[tuple[Literal, ...]]:
        """The ways in which a body is certain; there are several where a count differs from a number."""
        parts = [self.certain_literal(literal, body) for literal in body]
        for choice in product(*parts):
            yield tuple(chain.from_iterable(choice))

    def certain_literal(self, literal: Literal, body: tuple[Literal, ...]) -> list[tuple[Literal, ...]]:
        match literal:
            case Atom() if self.is_case(literal):
                return [(_named(literal, certain(literal.relation)),)]
            case Negation(atom=atom, span=span) if self.is_case(atom):
                absent: tuple[Literal, ...] = (Negation(_named(atom, possible(atom.relation)), span),)
                if atom.relation in self.can_open:
                    absent += (Negation(Atom(open_(atom.relation), (self.subject,), span), span),)
                return [absent]
            case Comparison() if self.counted(literal):
                bounds, operator = self.bounds(literal, body)
                return bounds.certain_ways(operator)
        return [(literal,)]

    # the possible versions

    def versions(
        self, body: tuple[Literal, ...], outside: frozenset[str] = frozenset(), claimed: frozenset[str] = frozenset()
    ) -> Iterator[_Version]:
        """One version for every set of the positive atoms that may be open: those become "the relation is open", and
        every other literal with an unbound value is dropped; but where no value that the relation allows fulfils those
        of them that compare it, there is no such version. The variables `outside` are bound from the start, as the case
        is; those of them that a claim gives (`claimed`) are asked for nothing. Counts are left as they are, to be read
        afterwards."""
        candidates = [index for index, literal in enumerate(body) if self.may_be_open(literal)]
        for size in range(len(candidates) + 1):
            for taken in combinations(candidates, size):
                kept = [literal for index, literal in enumerate(body) if index not in taken]
                bound = bound_without_counts(kept, outside | {self.subject.name}, body, self.relations)
                firm = bound_without_counts(kept, (outside - claimed) | {self.subject.name}, body, self.relations)
                allowed = conditions(body, taken, firm, self.relations)
                if allowed is None:
                    continue
                openness = (
                    Atom(open_(body[index].relation), (self.subject,), body[index].span)  # type: ignore[union-attr]
                    for index in taken
                )
                read = (
                    self.possible_literal(literal, bound, body)
                    for literal in kept
                    if isinstance(literal, Atom) or needs(literal, bound, body) <= bound
                )
                yield _Version((*dict.fromkeys(openness), *read, *allowed), bound, bool(taken))

    def possible_literal(self, literal: Literal, bound: frozenset[str], body: tuple[Literal, ...]) -> Literal:
        match literal:
            case Atom(arguments=arguments):
                name = possible(literal.relation) if self.is_case(literal) else literal.relation
                # An expression with an unbound value says nothing of the row.
                read = tuple(
                    argument if needs(argument, bound, body) <= bound else Wildcard(literal.span)
                    for argument in arguments
                )
                return Atom(name, read, literal.span)
            case Negation(atom=atom, span=span) if self.is_case(atom):
                return Negation(_named(atom, certain(atom.relation)), span)
        return literal

    def with_counts(self, version: _Version, body: tuple[Literal, ...]) -> Iterator[tuple[Literal, ...]]:
        """The ways in which the counts of a version are possible."""
        parts: list[list[tuple[Literal, ...]]] = []
        for literal in version.literals:
            if self.counted(literal):
                assert isinstance(literal, Comparison)
                bounds, operator = self.bounds(literal, body)
                parts.append(bounds.possible_ways(operator))
            else:
                parts.append([(literal,)])
        for choice in product(*parts):
            yield tuple(chain.from_iterable(choice))

    # counts

    def counted(self, literal: Literal) -> bool:
        """Whether a literal compares a count of what a case says."""
        return counts_case_rows(literal, self.relations)

    def outer(self, count: Aggregate, body: tuple[Literal, ...]) -> tuple[Variable, ...]:
        """The variables, besides the case, that say where to count."""
        shared = outer_variables(count, (*body, self.rule.head)) - {self.subject.name}
        return tuple(Variable(name, count.span) for name in sorted(shared))

    def inner(self, count: Aggregate, body: tuple[Literal, ...]) -> list[str]:
        """The count's own variables, by which its rows differ."""
        outside = {variable.name for variable in self.outer(count, body)}
        return sorted(bound_variables(named_wildcards(count.body)) - outside - {self.subject.name})

    def count_relation(self, count: Aggregate, body: tuple[Literal, ...]) -> str:
        """The name of the relation of the rows counted; its rules are added the first time it is asked for."""
        name = self.counts.get(id(count))
        if name is None:
            name = self.counts[id(count)] = f"{fired(self.rule)}#{len(self.counts) + 1}"
            self.added += self.count_rules(name, count, body)
        return name

    def count_rules(self, name: str, count: Aggregate, body: tuple[Literal, ...]) -> Iterator[PlainRule]:
        """`name+` and `name~` have a row for every row counted, `name*` says where there may be further ones."""
        counted_body = named_wildcards(count.body)
        outer = self.outer(count, body)
        head = (self.subject, *outer, *(Variable(variable, count.span) for variable in self.inner(count, body)))
        # Where to count: the rule's other atoms, read as possible. They do not say whether anything is counted.
        where: tuple[Literal, ...] = (Atom(CASE, (self.subject,), count.span),)
        if outer:
            place = Atom(f"{name}@", (self.subject, *outer), count.span)
            binders = tuple(
                literal for literal in body
                if isinstance(literal, Atom)
                or (isinstance(literal, Comparison) and literal.operator == "=" and not self.counted(literal))
            )
            for version in self.versions(binders):
                if needs(place, ()) <= version.bound:
                    yield PlainRule(place, self.grounded(version.literals))
            where = (place,)
        for certain_body in self.certain_bodies(counted_body):
            yield PlainRule(Atom(certain(name), head, count.span), where + certain_body)
        outside = frozenset(variable.name for variable in outer)
        for version in self.versions(counted_body, outside):
            if not version.is_open or needs(Atom(name, head, count.span), ()) <= version.bound | outside:
                yield PlainRule(Atom(possible(name), head, count.span), where + version.literals)
            else:
                yield PlainRule(Atom(open_(name), (self.subject, *outer), count.span), where + version.literals)

    def can_be_unbounded(self, count: Aggregate, body: tuple[Literal, ...]) -> bool:
        outside = frozenset(variable.name for variable in self.outer(count, body))
        return any(
            version.is_open and not version.bound.issuperset(self.inner(count, body))
            for version in self.versions(named_wildcards(count.body), outside)
        )

    def bounds(self, comparison: Comparison, body: tuple[Literal, ...]) -> tuple[_Bounds, str]:
        """What is known of a count that a comparison contains, and how it is compared, the count read as the left
        side."""
        count, operator, number = count_parts(comparison)
        name = self.count_relation(count, body)
        outer = self.outer(count, body)
        own = (Variable(f"{variable}#", count.span) for variable in self.inner(count, body))
        arguments = (self.subject, *outer, *own)
        low, high = (
            Aggregate("count", None, (Atom(relation, arguments, count.span),), count.span)
            for relation in (certain(name), possible(name))
        )
        further = Atom(open_(name), (self.subject, *outer), count.span) if self.can_be_unbounded(count, body) else None
        return _Bounds(low, high, further, number, count.span), operator


@record
class _Bounds:
    """A count lies between `low` and `high`, if there are no `further` rows; it is compared with `number`."""

    low: Aggregate
    high: Aggregate
    further: Atom | None
    number: Expression
    span: Span

    def low_is(self, operator: str) -> Literal:
        return Comparison(operator, self.low, self.number, self.span)

    def high_is(self, operator: str) -> Literal:
        return Comparison(operator, self.high, self.number, self.span)

    def certain_ways(self, operator: str) -> list[tuple[Literal, ...]]:
        """The ways in which the comparison holds in every world."""
        no_further = () if self.further is None else (Negation(self.further, self.span),)
        match operator:
            case ">=" | ">":
                return [(self.low_is(operator),)]
            case "<=" | "<":
                return [(self.high_is(operator), *no_further)]
            case "=":
                return [(self.low_is("="), self.high_is("="), *no_further)]
        return [(self.low_is(">"),), (self.high_is("<"), *no_further)]

    def possible_ways(self, operator: str) -> list[tuple[Literal, ...]]:
        """The ways in which the comparison holds in some world."""
        further: list[tuple[Literal, ...]] = [] if self.further is None else [(self.further,)]
        match operator:
            case ">=" | ">":
                return [(self.high_is(operator),), *further]
            case "<=" | "<":
                return [(self.low_is(operator),)]
            case "=":
                return [(self.low_is("<="), *way) for way in [(self.high_is(">="),), *further]]
        return [(self.low_is("!="),), (self.high_is("!="),), *further]


def _named(atom: Atom, relation: str) -> Atom:
    return Atom(relation, atom.arguments, atom.span)
