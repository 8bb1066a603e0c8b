"""A plain program about one case -> a smaller one for a batch, by general transformations.

A rule never joins two cases, so the case is left out of every atom: a relation without further attributes becomes a
*flag*, one truth value a case. What is known before any case is read is worked out now: the shape of the batch (which
relations have rows, uncertain ones among them, or may be open), the known relations, the readings. Then

* relations with few rules are unfolded where they are used;
* each relation is derived only for the values asked for, and without the values nobody reads (`combined_with(_)`);
* relations whose values are few become one flag for each row (`contraindicated_ingredient("teriflunomide")`).

The result says the same of every wanted relation as the program did.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import count, product

from policy_kb.batch.shape import Openness, Shape
from policy_kb.check.checked import CheckedProgram
from policy_kb.check.safety import needs
from policy_kb.check.strata import dependencies, stratify
from policy_kb.diagnostics import Refused
from policy_kb.evaluate.bottom_up import BottomUp
from policy_kb.evaluate.plain import PlainRule, Row, Rows, plain_program
from policy_kb.evaluate.worlds import CASE, CERTAIN, OPEN, POSSIBLE, certain, open_, possible, spoken_of
from policy_kb.expressions import COMPARE, EvaluationStopped, call
from policy_kb.load.cases import is_single
from policy_kb.parse import tree
from policy_kb.parse.tree import (
    Aggregate,
    Atom,
    Call,
    Comparison,
    Constant,
    Expression,
    Literal,
    Negation,
    Truth,
    Value,
    Variable,
    Wildcard,
)
from policy_kb.record import record

MOST_UNFOLDED = 4
"""A relation with more rules than these is not unfolded where it is used."""

MOST_COPIES = 64
"""A rule is not written out for more values than these."""

MOST_JOINED_COPIES = 8
"""The same of a rule that joins rows of a case: each copy is a join of its own, where one row by itself is one bit."""

_ANSWER = "what holds"
"""The relation of the rows that known literals have. Like all names that are made here, it has a sign that no name of a
rule file has."""

NUMBER_OF = "number of"
"""A call of this function counts how many of the flags that its arguments name are true."""

HAS_NO_VALUE = "has no value"
"""A comparison by this operator holds where its left side cannot be computed: a division by zero."""

@record
class Specialised:
    """`rules` without their cases, strata first. `tables` are the rows of the known relations that the rules still
    read. `renamed` maps each wanted relation to the flag or relation that says it; None: it has no rows in any case.
    """

    rules: tuple[PlainRule, ...]
    tables: dict[str, frozenset[Row]]
    renamed: dict[str, str | None]
    base: dict[str, int]


def specialise(
    program: CheckedProgram, rules: Iterable[PlainRule], known: Rows, shape: Shape, wanted: Iterable[str],
    pinned: Iterable[str] = (),
) -> Specialised:
    """The rules for a batch. `wanted` are plain relations of which only matters whether they have a row, `pinned` those
    whose rows are asked for."""
    return _Specialiser(program, known, shape).run(list(rules), list(wanted), list(pinned))


# --- trees -----------------------------------------------------------------------------------------------------------


def substituted(node: Expression, values: Mapping[str, Expression]) -> Expression:
    match node:
        case Variable(name=name):
            return values.get(name, node)
        case Call(function=function, arguments=arguments, span=span):
            return Call(function, tuple(substituted(argument, values) for argument in arguments), span)
        case Aggregate(function=function, target=target, body=body, span=span):
            new = None if target is None else substituted(target, values)
            return Aggregate(function, new, tuple(substituted_in(literal, values) for literal in body), span)
    return node


def substituted_in(literal: Literal, values: Mapping[str, Expression]) -> Literal:
    match literal:
        case Atom(relation=relation, arguments=arguments, span=span):
            return Atom(relation, tuple(substituted(argument, values) for argument in arguments), span)
        case Negation(atom=atom, span=span):
            inner = substituted_in(atom, values)
            assert isinstance(inner, Atom)
            return Negation(inner, span)
        case Comparison(operator=operator, left=left, right=right, span=span):
            return Comparison(operator, substituted(left, values), substituted(right, values), span)
    return literal


def substituted_rule(rule: PlainRule, values: Mapping[str, Expression]) -> PlainRule:
    if not values:
        return rule
    head = substituted_in(rule.head, values)
    assert isinstance(head, Atom)
    return PlainRule(head, tuple(substituted_in(literal, values) for literal in rule.body))


def by_head(rules: Iterable[PlainRule]) -> dict[str, list[PlainRule]]:
    """The rules of each relation, in the order in which relations first have one."""
    found: dict[str, list[PlainRule]] = {}
    for rule in rules:
        found.setdefault(rule.head.relation, []).append(rule)
    return found


def rule_names(rule: PlainRule) -> frozenset[str]:
    return frozenset().union(tree.names(rule.head), *(tree.names(literal) for literal in rule.body))


def counted_atom(literal: Literal) -> tuple[Comparison, Aggregate, Atom] | None:
    """The comparison, the count and the relation counted, where a literal compares a count of what a case says."""
    if isinstance(literal, Comparison):
        for side in (literal.left, literal.right):
            if isinstance(side, Aggregate) and side.function == "count" and len(side.body) == 1:
                (inner,) = side.body
                if isinstance(inner, Atom) and "#" in inner.relation:
                    return literal, side, inner
    return None


def literal_atoms(literal: Literal) -> Iterator[Atom]:
    """The atoms of a literal, those inside aggregates included."""
    if isinstance(literal, Atom):
        yield literal
    elif isinstance(literal, Negation):
        yield literal.atom
    for aggregate in tree.aggregates(literal):
        for inner in aggregate.body:
            yield from literal_atoms(inner)


def folded(expression: Expression) -> Expression:
    """An expression of constants as its value, where it has one."""
    if isinstance(expression, Call) and expression.function != NUMBER_OF:
        arguments = tuple(folded(argument) for argument in expression.arguments)
        if all(isinstance(argument, Constant) for argument in arguments):
            try:
                values = [argument.value for argument in arguments if isinstance(argument, Constant)]
                return Constant(call(expression.function, values, expression.span), expression.span)
            except EvaluationStopped:
                pass
        return Call(expression.function, arguments, expression.span)
    return expression


def _folded_in(literal: Literal) -> Literal:
    match literal:
        case Atom(relation=relation, arguments=arguments, span=span):
            return Atom(relation, tuple(folded(argument) for argument in arguments), span)
        case Negation(atom=atom, span=span):
            inner = _folded_in(atom)
            assert isinstance(inner, Atom)
            return Negation(inner, span)
        case Comparison(operator=operator, left=left, right=right, span=span) if operator != HAS_NO_VALUE:
            left, right = folded(left), folded(right)
            if isinstance(left, Constant) and isinstance(right, Constant):
                return Truth(COMPARE[operator](left.value, right.value), span)
            return Comparison(operator, left, right, span)
    return literal


# --- the transformations ---------------------------------------------------------------------------------------------

_KEEP, _IGNORE = True, None
"""A position of a pattern that is kept, or that nobody reads; a constant stands in `_Fixed`."""


@record
class _Fixed:
    value: Value


class _Specialiser:
    def __init__(self, program: CheckedProgram, known: Rows, shape: Shape):
        self.program, self.known, self.shape = program, known, shape
        self.tables: dict[str, frozenset[Row]] = {}
        self.named: dict[frozenset[Row], str] = {}
        self.fresh = count(1)
        self.base: dict[str, int] = {}
        self.domains: dict[tuple[str, int], frozenset[Value]] = {}
        for relation in program.inputs():
            for name in (certain(relation.name), possible(relation.name)):
                self.base[name] = relation.arity - 1
                for place, attribute in enumerate(relation.attributes[1:]):
                    if attribute.one_of is not None:
                        self.domains[name, place] = frozenset(attribute.one_of)

    def run(self, rules: list[PlainRule], wanted: list[str], pinned: list[str]) -> Specialised:
        rules = [self.without_case(rule) for rule in rules]
        names: dict[str, str | None] = {name: name for name in (*wanted, *pinned)}
        everything = set(wanted) | set(pinned)
        for _ in range(3):
            before = len(rules), sum(len(rule.body) for rule in rules)
            rules = self.simplified(rules, everything, frozenset(pinned))
            rules, renamed = self.asked_for(rules, {name for name in names.values() if name}, frozenset(pinned))
            names = {name: renamed.get(now, now) if now else None for name, now in names.items()}
            everything = {name for name in names.values() if name}
            rules = self.simplified(rules, everything, frozenset(pinned))
            rules = self.unrolled(rules, everything)
            rules = self.simplified(rules, everything, frozenset(pinned))
            if (len(rules), sum(len(rule.body) for rule in rules)) == before:
                break
        rules = self.simplified(self.computed(rules, pinned), everything, frozenset(pinned))
        heads = {rule.head.relation for rule in rules}
        for name, now in names.items():
            if now is not None and now not in heads and not self.is_given(now):
                names[name] = None
        read = {atom.relation for rule in rules for literal in rule.body for atom in literal_atoms(literal)}
        tables = {name: rows for name, rows in self.tables.items() if name in read}
        for name in read - heads - self.base.keys() - tables.keys():
            if not name.endswith(OPEN):
                tables[name] = frozenset(self.known.get(name, ()))
        return Specialised(tuple(self.in_strata(rules)), tables, names, self.base)

    def is_given(self, name: str) -> bool:
        """Whether the input may say something of a plain relation."""
        relation = self.program.relations.get(spoken_of(name))
        if relation is None or not relation.is_input or not relation.is_case:
            return False
        given = self.shape[relation.name]
        return given.openness is not Openness.NEVER if name.endswith(OPEN) else given.has_rows

    def in_strata(self, rules: list[PlainRule]) -> Iterator[PlainRule]:
        names = dict.fromkeys(rule.head.relation for rule in rules)
        names |= dict.fromkeys(a.relation for rule in rules for literal in rule.body for a in literal_atoms(literal))
        own = by_head(rules)
        bodies = []
        for rule in rules:
            counted = [Atom(f, (), rule.head.span) for literal in rule.body for f in flags_counted(literal)]
            names |= dict.fromkeys(atom.relation for atom in counted)
            bodies.append((rule.head, (*rule.body, *counted)))
        for stratum in stratify(names, dependencies(bodies)):
            for name in stratum:
                yield from own.get(name, ())

    # the case

    def without_case(self, rule: PlainRule) -> PlainRule:
        """The rule without the argument that is the case in every atom about it."""
        return PlainRule(self._atom(rule.head), tuple(self._literal(literal) for literal in rule.body))

    def _is_case(self, name: str) -> bool:
        relation = self.program.relations.get(name)
        return relation is None or relation.is_case

    def _atom(self, atom: Atom) -> Atom:
        return Atom(atom.relation, atom.arguments[1:], atom.span) if self._is_case(atom.relation) else atom

    def _literal(self, literal: Literal) -> Literal:
        match literal:
            case Atom(relation=name, span=span) if name == CASE:
                return Truth(True, span)
            case Atom():
                return self._atom(literal)
            case Negation(atom=atom, span=span):
                return Negation(self._atom(atom), span)
            case Comparison(operator=operator, left=left, right=right, span=span):
                return Comparison(operator, self._expression(left), self._expression(right), span)
        return literal

    def _expression(self, expression: Expression) -> Expression:
        if isinstance(expression, Aggregate):
            body = tuple(self._literal(literal) for literal in expression.body)
            if len(body) == 1 and isinstance(body[0], Atom) and "#" in body[0].relation and not body[0].arguments:
                return Call(NUMBER_OF, (Constant(body[0].relation, expression.span),), expression.span)
            return Aggregate(expression.function, expression.target, body, expression.span)
        return expression

    # one rule

    def simplified(self, rules: list[PlainRule], wanted: set[str], pinned: frozenset[str]) -> list[PlainRule]:
        """Bottom-up: what is known is worked out, relations with few rules are unfolded, rules that cannot hold and
        relations that nobody needs are left out."""
        result: dict[str, list[PlainRule]] = {}
        alias: dict[str, str] = {}
        derived = {rule.head.relation for rule in rules}
        self.true: set[str] = set()
        for name, own in by_head(self.in_strata(rules)).items():
            found: dict[object, PlainRule] = {}
            for rule in own:
                for variant in self._unfolded(rule, result, derived, alias, pinned):
                    simple = self._simple(variant, result, derived, alias)
                    if simple is not None:
                        same = _canonical(simple)
                        found.setdefault((same.head, frozenset(same.body)), simple)
            kept = self._not_implied(list(found.values()))
            if not kept:
                continue
            if not kept[0].head.arguments and any(not rule.body for rule in kept):
                self.true.add(name)
                kept = [PlainRule(kept[0].head, ())]
            result[name] = kept
            if name.endswith(POSSIBLE) and name not in pinned:
                twin = certain(spoken_of(name))
                is_free = twin in result and twin not in pinned and twin not in self.true
                if is_free and _same(result[twin], kept):
                    alias[twin] = name
            elif name.endswith(CERTAIN) and name not in pinned:
                twin = possible(spoken_of(name))
                if twin in result and twin not in pinned and _same(result[twin], kept):
                    alias[name] = twin
        # What was found to be the same late is renamed everywhere.
        final = [
            self._renamed(rule, alias) for name, own in result.items() if name not in alias or name in wanted
            for rule in own
        ]
        for name in [name for name in alias if name in wanted]:
            target = alias[name]
            final = [rule for rule in final if rule.head.relation != name]
            head = result[name][0].head
            names = tuple(Variable(f"v{place}", head.span) for place in range(len(head.arguments)))
            final.append(PlainRule(Atom(name, names, head.span), (Atom(target, names, head.span),)))
        return self._reachable(final, wanted)

    def _renamed(self, rule: PlainRule, alias: Mapping[str, str]) -> PlainRule:
        def atom(one: Atom) -> Atom:
            return Atom(alias.get(one.relation, one.relation), one.arguments, one.span)

        def literal(one: Literal) -> Literal:
            if isinstance(one, Atom):
                return atom(one)
            if isinstance(one, Negation):
                return Negation(atom(one.atom), one.span)
            counted = counted_atom(one)
            if counted is not None:
                comparison, aggregate, inner = counted
                new = Aggregate("count", None, (atom(inner),), aggregate.span)
                is_left = comparison.left is aggregate
                return Comparison(comparison.operator, new if is_left else comparison.left,
                                  comparison.right if is_left else new, comparison.span)
            if flags_counted(one) and isinstance(one, Comparison):
                return Comparison(one.operator, flags(one.left), flags(one.right), one.span)
            return one

        def flags(one: Expression) -> Expression:
            if not (isinstance(one, Call) and one.function == NUMBER_OF):
                return one
            names = [str(argument.value) for argument in one.arguments if isinstance(argument, Constant)]
            return Call(NUMBER_OF, tuple(Constant(alias.get(name, name), one.span) for name in names), one.span)

        return PlainRule(rule.head, tuple(dict.fromkeys(literal(one) for one in rule.body)))

    def _reachable(self, rules: list[PlainRule], wanted: set[str]) -> list[PlainRule]:
        own = by_head(rules)
        waiting, seen = list(wanted), set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for rule in own.get(name, ()):
                for literal in rule.body:
                    waiting += [atom.relation for atom in literal_atoms(literal)]
                    waiting += flags_counted(literal)
        return [rule for rule in rules if rule.head.relation in seen]

    def _not_implied(self, rules: list[PlainRule]) -> list[PlainRule]:
        """Without the rules whose body another rule for the same head contains in part."""
        if len(rules) > 200:
            return rules
        bodies = [(frozenset(rule.body), rule.head.arguments) for rule in rules]
        return [
            rule for number, rule in enumerate(rules)
            if not any(
                other != number and arguments == bodies[number][1]
                and (body < bodies[number][0] or (body == bodies[number][0] and other < number))
                for other, (body, arguments) in enumerate(bodies)
            )
        ]

    def _unfolded(
        self, rule: PlainRule, done: Mapping[str, list[PlainRule]], derived: set[str], alias: Mapping[str, str],
        pinned: frozenset[str],
    ) -> list[PlainRule]:
        """The rule with the bodies of small relations in the place of its atoms of them."""
        variants = [PlainRule(rule.head, ())]
        for literal in rule.body:
            if isinstance(literal, Atom) and literal.relation in derived and literal.arguments:
                name = alias.get(literal.relation, literal.relation)
                own = done.get(name, [])
                if name not in pinned and len(own) <= MOST_UNFOLDED and len(own) * len(variants) <= MOST_UNFOLDED ** 2:
                    pieces = [self._body_for(one, literal) for one in own]
                    variants = [PlainRule(v.head, v.body + piece) for v in variants for piece in pieces]
                    continue
            variants = [PlainRule(v.head, (*v.body, literal)) for v in variants]
        return variants

    def _body_for(self, rule: PlainRule, atom: Atom) -> tuple[Literal, ...]:
        """The rule's body where its head is the atom."""
        number = next(self.fresh)
        # The name of a count's own variable ends with `#`.
        own = {
            name: Variable(f"{name.removesuffix('#')}~{number}{'#' if name.endswith('#') else ''}", atom.span)
            for name in rule_names(rule)
        }
        renamed = substituted_rule(rule, own)
        values: dict[str, Expression] = {}
        added: list[Literal] = []
        for given, head in zip(atom.arguments, renamed.head.arguments, strict=True):
            if isinstance(given, Wildcard):
                continue
            if isinstance(head, Variable) and head.name not in values and isinstance(given, Variable | Constant):
                values[head.name] = given
            else:
                added.append(Comparison("=", given, substituted(head, values), atom.span))
        body = tuple(substituted_in(literal, values) for literal in renamed.body)
        return (*body, *(substituted_in(literal, values) for literal in added))

    def _simple(
        self, rule: PlainRule, done: Mapping[str, list[PlainRule]], derived: set[str], alias: Mapping[str, str]
    ) -> PlainRule | None:
        """The rule with all that is known worked out; None where it can never hold."""
        while True:
            before = rule
            rule = self._renamed(rule, alias)
            read = self._literals(rule, done, derived)
            if read is None:
                return None
            rule = self._known_joined(PlainRule(rule.head, read))  # type: ignore[assignment]
            if rule is None:
                return None
            rule = without_implied(self._equalities(rule))
            if rule == before:
                head = _folded_in(rule.head)
                assert isinstance(head, Atom)
                return PlainRule(head, rule.body)

    def _literals(
        self, rule: PlainRule, done: Mapping[str, list[PlainRule]], derived: set[str]
    ) -> tuple[Literal, ...] | None:
        """The literals that are not settled; None where one cannot hold."""
        kept: dict[Literal, None] = {}
        for literal in rule.body:
            literal = _folded_in(literal)
            truth = self._truth(literal, done, derived)
            if truth is None:
                kept[_none_or_some(self._as_given(literal))] = None
            elif not truth:
                return None
        for literal in kept:
            if isinstance(literal, Negation) and literal.atom in kept:
                return None
        return tuple(kept)

    def _as_given(self, literal: Literal) -> Literal:
        """Certain rows are the possible ones where a table has no uncertain rows."""
        match literal:
            case Atom(relation=name, arguments=arguments, span=span) if name in self.base and name.endswith(CERTAIN):
                if not self.shape[spoken_of(name)].has_uncertain:
                    return Atom(possible(spoken_of(name)), arguments, span)
            case Negation(atom=atom, span=span):
                inner = self._as_given(atom)
                assert isinstance(inner, Atom)
                return Negation(inner, span)
        return literal

    def _truth(self, literal: Literal, done: Mapping[str, list[PlainRule]], derived: set[str]) -> bool | None:
        """What is known of a literal for every case of the batch."""
        match literal:
            case Truth(value=value):
                return value
            case Negation(atom=atom):
                truth = self._truth(atom, done, derived)
                if truth is not None:
                    return not truth
                if atom.relation in self.known and all(isinstance(a, Constant | Wildcard) for a in atom.arguments):
                    return not any(_matches(atom, row) for row in self.known[atom.relation])
                return None
            case Atom(relation=name):
                relation = self.program.relations.get(spoken_of(name))
                if name in self.tables or self._is_known(name):
                    return None
                if relation is not None and relation.is_case and relation.is_input:
                    given = self.shape[relation.name]
                    if name == open_(relation.name):
                        return {Openness.NEVER: False, Openness.ALWAYS: True}.get(given.openness)
                    if not given.has_rows:
                        return False
                    return True if relation.name == "request" and _is_anything(literal) else None
                if name in self.true:
                    return True
                return None if name in done else False
        counted = counted_atom(literal)
        if counted is not None:
            _, operator, number = tree.count_parts(counted[0])
            if isinstance(number, Constant):
                if counted[2].relation not in done:
                    return COMPARE[operator](0, number.value)
                if COMPARE["<="](number.value, 0) and operator == ">=":
                    return True
                if COMPARE["<"](number.value, 0):
                    return operator in (">", "!=")
        return None

    def _is_known(self, name: str) -> bool:
        relation = self.program.relations.get(name)
        return relation is not None and not relation.is_case

    def _equalities(self, rule: PlainRule) -> PlainRule:
        """Variables that equal a constant or another variable are replaced by it."""
        for literal in rule.body:
            if isinstance(literal, Comparison) and literal.operator == "=":
                for one, other in ((literal.left, literal.right), (literal.right, literal.left)):
                    if isinstance(one, Variable) and isinstance(other, Constant | Variable) and one != other:
                        rest = PlainRule(rule.head, tuple(part for part in rule.body if part is not literal))
                        return substituted_rule(rest, {one.name: other})
                if isinstance(literal.left, Variable) and literal.left == literal.right:
                    return PlainRule(rule.head, tuple(part for part in rule.body if part is not literal))
        return rule

    def _known_joined(self, rule: PlainRule) -> PlainRule | None:
        """The rule with its known atoms joined: one table for the values that the rest of the rule shares."""
        body = [self._aggregates_worked_out(literal, rule) for literal in rule.body]
        if any(literal is None for literal in body):
            return None
        literals = [literal for literal in body if literal is not None]
        rule = PlainRule(rule.head, tuple(literals))
        atoms = [one for one in literals if isinstance(one, Atom) and self._is_table(one.relation)]
        for group in _connected(_self_contained(atoms)):
            bound = frozenset(name for atom in group for name in tree.names(atom))
            members: list[Literal] = [*group]
            for literal in rule.body:
                inside = tree.names(literal)
                is_test = isinstance(literal, Comparison) and counted_atom(literal) is None
                is_negation = isinstance(literal, Negation) and self._is_table(literal.atom.relation)
                fits = (is_test or is_negation) and inside <= bound and bool(inside)
                if fits and not _calls(literal, HAS_NO_VALUE, NUMBER_OF):
                    members.append(literal)
            rest = [literal for literal in rule.body if literal not in members]
            used = frozenset().union(tree.names(rule.head), *(tree.names(literal) for literal in rest))
            variables = sorted(bound & used)
            if len(members) == 1 and members[0] in rule.body and isinstance(members[0], Atom):
                only = members[0]
                if only.relation in self.tables and [getattr(a, "name", None) for a in only.arguments] == variables:
                    continue
            rows = self._answers(members, variables, group[0])
            if rows is None:
                continue
            if not rows:
                return None
            fixed: dict[str, Expression] = {}
            tables: list[Literal] = []
            for names, part in _factors(variables, rows):
                if len(part) == 1:
                    (row,) = part
                    fixed |= {name: Constant(value, group[0].span) for name, value in zip(names, row, strict=True)}
                else:
                    shared = tuple(Variable(name, group[0].span) for name in names)
                    tables.append(Atom(self._table(part, group), shared, group[0].span))
            first = next(literal for literal in rule.body if literal in members)
            new: list[Literal] = []
            for literal in rule.body:
                if literal is first:
                    new += tables
                if literal not in members:
                    new.append(literal)
            return substituted_rule(PlainRule(rule.head, tuple(new)), fixed)
        return rule

    def _is_table(self, name: str) -> bool:
        return name in self.tables or self._is_known(name)

    def _table(self, rows: frozenset[Row], group: list[Atom]) -> str:
        """The name of a table with these rows."""
        if rows not in self.named:
            source = " and ".join(dict.fromkeys(atom.relation.partition(" #")[0] for atom in group))
            self.named[rows] = f"{source} #{len(self.named) + 1}"
            self.tables[self.named[rows]] = rows
        return self.named[rows]

    def _answers(self, literals: list[Literal], variables: list[str], place: Atom) -> frozenset[Row] | None:
        """The values of the variables for which known literals hold; None where that cannot be said."""
        head = Atom(_ANSWER, tuple(Variable(name, place.span) for name in variables), place.span)
        try:
            plain = plain_program([PlainRule(head, tuple(literals))])
            return frozenset(BottomUp(plain, {**self.known, **self.tables}).evaluate({})[_ANSWER])
        except Refused:
            return None

    def _aggregates_worked_out(self, literal: Literal, rule: PlainRule) -> Literal | None:
        """The literal with the values of its aggregates over known relations, where these share no variable with the
        rest of its rule; None where one has no value."""
        if not isinstance(literal, Comparison) or counted_atom(literal) is not None:
            return literal
        for aggregate in tree.aggregates(literal):
            if needs(aggregate, (), (*rule.body, rule.head)) or any(
                not self._is_table(atom.relation) for part in aggregate.body for atom in literal_atoms(part)
            ):
                continue
            variable = Variable("value of the aggregate", aggregate.span)
            head = Atom(_ANSWER, (variable,), aggregate.span)
            rows = self._answers([Comparison("=", variable, aggregate, aggregate.span)], [variable.name], head)
            if rows is None:
                continue
            if not rows:
                return None
            ((value,),) = rows
            literal = _replaced(literal, aggregate, Constant(value, aggregate.span))
        return literal

    # what is asked for

    def asked_for(
        self, rules: list[PlainRule], wanted: set[str], pinned: frozenset[str]
    ) -> tuple[list[PlainRule], dict[str, str]]:
        """The rules for the values that are asked for, and without those that nobody reads. The second value says what
        the wanted relations are called now."""
        own = by_head(rules)
        result: list[PlainRule] = []
        waiting: list[tuple[str, tuple[object, ...]]] = []
        seen: dict[tuple[str, tuple[object, ...]], str] = {}

        def called(name: str, pattern: tuple[object, ...]) -> str:
            key = name, pattern
            if key not in seen:
                plain = all(part is _KEEP for part in pattern)
                seen[key] = name if plain else f"{name}({', '.join(_shown(part) for part in pattern)})"
                waiting.append(key)
            return seen[key]

        def narrowed(atom: Atom, single: frozenset[str], is_negated: bool) -> Atom:
            if atom.relation not in own or not atom.arguments:
                if atom.relation in own:
                    called(atom.relation, ())
                return atom
            if atom.relation in pinned:
                called(atom.relation, (_KEEP,) * len(atom.arguments))
                return atom
            pattern: list[object] = []
            kept: list[Expression] = []
            for argument in atom.arguments:
                if isinstance(argument, Constant):
                    pattern.append(_Fixed(argument.value))
                elif isinstance(argument, Wildcard) or (
                    isinstance(argument, Variable) and argument.name in single and not is_negated
                ):
                    pattern.append(_IGNORE)
                else:
                    pattern.append(_KEEP)
                    kept.append(argument)
            return Atom(called(atom.relation, tuple(pattern)), tuple(kept), atom.span)

        def narrowed_literal(literal: Literal, single: frozenset[str]) -> Literal:
            if isinstance(literal, Atom):
                return narrowed(literal, single, False)
            if isinstance(literal, Negation):
                return Negation(narrowed(literal.atom, single, True), literal.span)
            counted = counted_atom(literal)
            if counted is not None:
                inner = counted[2]
                if inner.relation in own:
                    called(inner.relation, (_KEEP,) * len(inner.arguments))
                return literal
            for name in flags_counted(literal):
                if name in own:
                    called(name, ())
            return literal

        renamed = {}
        for name in sorted(wanted):
            if name in own:
                arity = len(own[name][0].head.arguments)
                renamed[name] = called(name, (_KEEP if name in pinned else _IGNORE,) * arity)
        while waiting:
            name, pattern = key = waiting.pop()
            for rule in own[name]:
                variant = _for_pattern(rule, pattern, seen[key])
                if variant is None:
                    continue
                single = used_once(variant)
                result.append(
                    PlainRule(variant.head, tuple(narrowed_literal(literal, single) for literal in variant.body))
                )
        return result, renamed

    # few values

    def unrolled(self, rules: list[PlainRule], wanted: set[str]) -> list[PlainRule]:
        """Relations whose values are few become flags, one for each row."""
        while True:
            domains = self._domains(rules)
            arities = {rule.head.relation: len(rule.head.arguments) for rule in rules}
            candidates = [
                name for name in dict.fromkeys(rule.head.relation for rule in rules)
                if arities[name] and name not in wanted
            ]
            for name in candidates:
                new = self._unroll(name, rules, domains)
                if new is not None:
                    rules = new
                    break
            else:
                return rules

    def computed(self, rules: list[PlainRule], pinned: Iterable[str]) -> list[PlainRule]:
        """Values that rules for `pinned` relations compute are worked out now, where they are few: a text that names
        one of three findings is one of three texts."""
        domains = self._domains(rules)
        result = []
        for rule in rules:
            names = frozenset().union(*(tree.names(one) for one in rule.head.arguments if isinstance(one, Call)))
            copies = None
            if rule.head.relation in pinned and names and not self._joins_rows(rule):
                copies = self._instances(rule, names, domains)
            result += [rule] if copies is None else copies
        return result

    def _domains(self, rules: list[PlainRule]) -> dict[tuple[str, int], frozenset[Value]]:
        """The values that a position of a relation can have, where they are few."""
        domains = dict(self.domains)
        for name, own in by_head(self.in_strata(rules)).items():
            for place in range(len(own[0].head.arguments)):
                values: set[Value] | None = set()
                for rule in own:
                    found = self._values(rule.head.arguments[place], self._variable_domains(rule, domains))
                    if found is None or values is None or len(values | found) > MOST_COPIES:
                        values = None
                        break
                    values |= found
                if values is not None:
                    domains[name, place] = frozenset(values)
        return domains

    def _values(self, term: Expression, domains: Mapping[str, frozenset[Value]]) -> frozenset[Value] | None:
        if isinstance(term, Constant):
            return frozenset((term.value,))
        if isinstance(term, Variable):
            return domains.get(term.name)
        names = sorted(tree.names(term))
        if not all(name in domains for name in names) or any(True for _ in tree.aggregates(term)):
            return None
        size = 1
        for name in names:
            size *= len(domains[name])
        if size > MOST_COPIES:
            return None
        found: set[Value] = set()
        for values in product(*(sorted(domains[name], key=repr) for name in names)):
            constants = {n: Constant(v, term.span) for n, v in zip(names, values, strict=True)}
            value = folded(substituted(term, constants))
            if not isinstance(value, Constant):
                return None
            found.add(value.value)
        return frozenset(found)

    def _variable_domains(
        self, rule: PlainRule, domains: Mapping[tuple[str, int], frozenset[Value]]
    ) -> dict[str, frozenset[Value]]:
        found: dict[str, frozenset[Value]] = {}
        for literal in rule.body:
            if not isinstance(literal, Atom):
                continue
            for place, argument in enumerate(literal.arguments):
                if not isinstance(argument, Variable):
                    continue
                if self._is_table(literal.relation):
                    rows = self.tables.get(literal.relation) or frozenset(self.known.get(literal.relation, ()))
                    values: frozenset[Value] | None = frozenset(row[place] for row in rows)
                else:
                    values = domains.get((literal.relation, place))
                if values is not None and len(values) <= MOST_COPIES:
                    found[argument.name] = found.get(argument.name, values) & values
        return found

    def _unroll(
        self, name: str, rules: list[PlainRule], domains: Mapping[tuple[str, int], frozenset[Value]]
    ) -> list[PlainRule] | None:
        """The rules with a flag for each row of a relation; None where that is not possible, or too much."""
        own = [rule for rule in rules if rule.head.relation == name]
        size = 1
        for place in range(len(own[0].head.arguments)):
            if (name, place) not in domains:
                return None
            size *= len(domains[name, place])
        if size > (MOST_JOINED_COPIES if any(map(self._joins_rows, own)) else MOST_COPIES):
            return None
        result: list[PlainRule] = []
        rows: dict[Row, str] = {}
        for rule in own:
            for copy in self._instances(rule, tree.names(rule.head), domains) or ():
                head = _folded_in(copy.head)
                assert isinstance(head, Atom)
                if not all(isinstance(argument, Constant) for argument in head.arguments):
                    return None
                row = tuple(argument.value for argument in head.arguments if isinstance(argument, Constant))
                flag = rows.setdefault(row, f"{name}({', '.join(_shown(_Fixed(value)) for value in row)})")
                result.append(PlainRule(Atom(flag, (), head.span), copy.body))
        for rule in rules:
            if rule.head.relation == name:
                continue
            if not any(atom.relation == name for literal in rule.body for atom in literal_atoms(literal)):
                result.append(rule)
                continue
            copies = self._with_flags(rule, name, rows, domains)
            if copies is None:
                return None
            result += copies
        return result

    def _joins_rows(self, rule: PlainRule) -> bool:
        """Whether a rule joins several rows of a case, once the values of its head are known."""
        known = set(tree.names(rule.head))
        groups: list[tuple[set[str], int]] = []
        for literal in rule.body:
            names = set(tree.names(literal)) - known
            rows = sum(bool(atom.arguments) and not self._is_table(atom.relation)
                       and not self._is_single(atom.relation) for atom in literal_atoms(literal))
            joined = [group for group in groups if group[0] & names]
            groups = [group for group in groups if not group[0] & names]
            groups.append((names.union(*(group[0] for group in joined)), rows + sum(group[1] for group in joined)))
        return any(rows > 1 for _, rows in groups)

    def _is_single(self, name: str) -> bool:
        relation = self.program.relations.get(spoken_of(name))
        return relation is not None and relation.is_input and is_single(relation)

    def _instances(
        self, rule: PlainRule, names: Iterable[str], domains: Mapping[tuple[str, int], frozenset[Value]]
    ) -> list[PlainRule] | None:
        """The rule for every value of some of its variables; None where these are not few."""
        values = self._variable_domains(rule, domains)
        names = sorted(names)
        size = 1
        for name in names:
            if name not in values:
                return None
            size *= len(values[name])
        if size > MOST_COPIES:
            return None
        return [
            substituted_rule(rule, {n: Constant(v, rule.head.span) for n, v in zip(names, chosen, strict=True)})
            for chosen in product(*(sorted(values[name], key=repr) for name in names))
        ]

    def _with_flags(
        self, rule: PlainRule, name: str, rows: Mapping[Row, str],
        domains: Mapping[tuple[str, int], frozenset[Value]],
    ) -> list[PlainRule] | None:
        fixed: set[str] = set()
        for literal in rule.body:
            if isinstance(literal, Negation) and literal.atom.relation == name:
                fixed |= tree.names(literal.atom)
            counted = counted_atom(literal)
            if counted is not None and counted[2].relation == name:
                fixed |= {n for n in tree.names(counted[2]) if not n.endswith("#")}
        copies = self._instances(rule, fixed, domains)
        if copies is None:
            return None
        result: list[PlainRule] = []
        for copy in copies:
            variants = [PlainRule(copy.head, ())]
            bindings: list[dict[str, Expression]] = [{}]
            for literal in copy.body:
                counted = counted_atom(literal)
                if isinstance(literal, Atom) and literal.relation == name:
                    new, bound = [], []
                    for variant, values in zip(variants, bindings, strict=True):
                        for row, flag in rows.items():
                            unified = unified_with(substituted_in(literal, values), row)
                            if unified is not None:
                                added, equal = unified
                                body = (*variant.body, Atom(flag, (), literal.span), *equal)
                                new.append(PlainRule(copy.head, body))
                                bound.append({**values, **added})
                    variants, bindings = new, bound
                    if len(variants) > MOST_COPIES:
                        return None
                    continue
                if isinstance(literal, Negation) and literal.atom.relation == name:
                    atom = _folded_in(literal.atom)
                    assert isinstance(atom, Atom)
                    if not all(isinstance(a, Constant | Wildcard) for a in atom.arguments):
                        return None
                    added_literals: tuple[Literal, ...] = tuple(
                        Negation(Atom(flag, (), literal.span), literal.span)
                        for row, flag in rows.items() if _matches(atom, row)
                    )
                elif counted is not None and counted[2].relation == name:
                    comparison, aggregate, inner = counted
                    own = [isinstance(a, Variable) and a.name.endswith("#") for a in inner.arguments]
                    pairs = zip(own, inner.arguments, strict=True)
                    if not all(is_own or isinstance(argument, Constant) for is_own, argument in pairs):
                        return None
                    flags = [
                        Constant(flag, aggregate.span) for row, flag in rows.items()
                        if all(
                            is_own or (isinstance(a, Constant) and a.value == value)
                            for is_own, a, value in zip(own, inner.arguments, row, strict=True)
                        )
                    ]
                    number: Expression = Call(NUMBER_OF, tuple(flags), aggregate.span)
                    if not flags:
                        number = Constant(0, aggregate.span)
                    added_literals = (_replaced(comparison, aggregate, number),)
                else:
                    added_literals = (literal,)
                variants = [PlainRule(v.head, (*v.body, *added_literals)) for v in variants]
            result += [substituted_rule(v, values) for v, values in zip(variants, bindings, strict=True)]
        return result


# --- pieces ----------------------------------------------------------------------------------------------------------


def flags_counted(literal: Literal) -> list[str]:
    """The flags of which a literal counts how many are true."""
    if not isinstance(literal, Comparison):
        return []
    return [
        str(argument.value)
        for side in (literal.left, literal.right) if isinstance(side, Call) and side.function == NUMBER_OF
        for argument in side.arguments if isinstance(argument, Constant)
    ]


def _none_or_some(literal: Literal) -> Literal:
    """The literal with `= 0` for all ways to ask whether a count is none, and `>= 1` for all ways to ask for some."""
    counted = counted_atom(literal)
    if counted is None:
        return literal
    aggregate, operator, number = tree.count_parts(counted[0])
    if not (isinstance(number, Constant) and isinstance(number.value, int)):
        return literal
    asked = {("<=", 0): ("=", 0), ("<", 1): ("=", 0), ("!=", 0): (">=", 1), (">", 0): (">=", 1)}
    operator, value = asked.get((operator, number.value), (operator, number.value))
    return Comparison(operator, aggregate, Constant(value, number.span), literal.span)


def is_none_or_some(literal: Literal) -> bool:
    """Whether a literal asks for no row, or for any, in the form that `_none_or_some` gives it."""
    counted = counted_atom(literal)
    if counted is None:
        return False
    _, operator, number = tree.count_parts(counted[0])
    return isinstance(number, Constant) and (operator, number.value) in (("=", 0), (">=", 1))


def _calls(literal: Literal, operator: str, function: str) -> bool:
    return isinstance(literal, Comparison) and (
        literal.operator == operator
        or any(isinstance(side, Call) and side.function == function for side in (literal.left, literal.right))
    )


def _replaced(comparison: Comparison, aggregate: Aggregate, value: Expression) -> Comparison:
    """The comparison with a value in the place of one of its aggregates."""

    def within(expression: Expression) -> Expression:
        if expression is aggregate:
            return value
        if isinstance(expression, Call):
            return Call(expression.function, tuple(within(a) for a in expression.arguments), expression.span)
        return expression

    return Comparison(comparison.operator, within(comparison.left), within(comparison.right), comparison.span)


def _shown(part: object) -> str:
    if isinstance(part, _Fixed):
        return json.dumps(part.value) if isinstance(part.value, str) else str(part.value)
    return "_" if part is _IGNORE else "."


def is_implied(atom: Atom, other: Atom, free: Container[str]) -> bool:
    """Whether an atom holds wherever another does, if the variables `free` stand in nothing else."""
    return atom.relation == other.relation and all(
        argument == given or isinstance(argument, Wildcard)
        or (isinstance(argument, Variable) and argument.name in free)
        for argument, given in zip(atom.arguments, other.arguments, strict=True)
    )


def used_once(rule: PlainRule) -> frozenset[str]:
    """The variables that stand in one place of a rule."""
    uses = Counter(one.name for node in (rule.head, *rule.body) for one in tree.variables(node))
    return frozenset(name for name, times in uses.items() if times == 1)


def without_implied(rule: PlainRule) -> PlainRule:
    """The rule without the atoms that another one of its atoms implies."""
    free = used_once(rule)
    kept = list(rule.body)
    for atom in reversed(rule.body):
        if isinstance(atom, Atom) and atom.arguments and any(
            isinstance(other, Atom) and other is not atom and is_implied(atom, other, free) for other in kept
        ):
            kept = [other for other in kept if other is not atom]
    return rule if len(kept) == len(rule.body) else PlainRule(rule.head, tuple(kept))


def _is_anything(atom: Atom) -> bool:
    return all(isinstance(argument, Wildcard) for argument in atom.arguments)


def _matches(atom: Atom, row: Row) -> bool:
    return all(
        not isinstance(argument, Constant) or argument.value == value
        for argument, value in zip(atom.arguments, row, strict=True)
    )


def unified_with(
    atom: Literal, row: Row
) -> tuple[dict[str, Expression], tuple[Literal, ...]] | None:
    """What makes an atom a row: values of variables, and equalities of what is computed; None where nothing does."""
    assert isinstance(atom, Atom)
    values: dict[str, Expression] = {}
    equal: list[Literal] = []
    for argument, value in zip(atom.arguments, row, strict=True):
        constant = Constant(value, atom.span)
        if isinstance(argument, Constant):
            if argument.value != value:
                return None
        elif isinstance(argument, Variable):
            if values.setdefault(argument.name, constant) != constant:
                return None
        elif not isinstance(argument, Wildcard):
            equal.append(Comparison("=", argument, constant, atom.span))
    return values, tuple(equal)


def _for_pattern(rule: PlainRule, pattern: tuple[object, ...], name: str) -> PlainRule | None:
    """The rule for the values of a pattern, its head called `name`."""
    values: dict[str, Expression] = {}
    added: list[Literal] = []
    kept: list[Expression] = []
    for part, argument in zip(pattern, rule.head.arguments, strict=True):
        if part is _KEEP:
            kept.append(argument)
        elif isinstance(part, _Fixed):
            constant = Constant(part.value, rule.head.span)
            if isinstance(argument, Constant):
                if argument.value != part.value:
                    return None
            elif isinstance(argument, Variable) and argument.name not in values:
                values[argument.name] = constant
            else:
                added.append(Comparison("=", argument, constant, rule.head.span))
    variant = PlainRule(Atom(name, tuple(kept), rule.head.span), (*rule.body, *added))
    return substituted_rule(variant, values)


def _factors(names: list[str], rows: frozenset[Row]) -> list[tuple[list[str], frozenset[Row]]]:
    """The tables whose every combination of rows is a row, for a table that is such a product: its columns say nothing
    of each other. Otherwise the table itself."""
    found: list[tuple[list[str], frozenset[Row]]] = []
    names = list(names)
    place = 0
    while place < len(names) and len(names) > 1:
        values = frozenset((row[place],) for row in rows)
        others = frozenset(row[:place] + row[place + 1 :] for row in rows)
        if len(values) * len(others) == len(rows):
            found.append(([names.pop(place)], values))
            rows = others
        else:
            place += 1
    return [*found, (names, rows)]


def _self_contained(atoms: list[Atom]) -> list[Atom]:
    """The atoms without those in which a value is computed from variables that none of the atoms binds."""
    while True:
        bound = {argument.name for atom in atoms for argument in atom.arguments if isinstance(argument, Variable)}
        kept = [atom for atom in atoms if tree.names(atom) <= bound]
        if len(kept) == len(atoms):
            return kept
        atoms = kept


def _connected(atoms: list[Atom]) -> list[list[Atom]]:
    """The atoms in groups that share no variable."""
    groups: list[tuple[set[str], list[Atom]]] = []
    for atom in atoms:
        names = set(tree.names(atom))
        joined = [group for group in groups if group[0] & names]
        merged = (names.union(*(group[0] for group in joined)), [a for group in joined for a in group[1]] + [atom])
        groups = [group for group in groups if group not in joined] + [merged]
    return [group[1] for group in groups]


def _canonical(rule: PlainRule) -> PlainRule:
    """The same for two rules that differ in the names of their variables only."""
    names: dict[str, str] = {}
    for node in (rule.head, *rule.body):
        for variable in tree.variables(node):
            suffix = "#" if variable.name.endswith("#") else ""
            names.setdefault(variable.name, f"{len(names)}{suffix}")
    values: dict[str, Expression] = {old: Variable(new, rule.head.span) for old, new in names.items()}
    return substituted_rule(rule, values)


def _same(one: list[PlainRule], other: list[PlainRule]) -> bool:
    """Whether two relations have the same rules."""

    def bodies(rules: list[PlainRule]) -> set[object]:
        found: set[object] = set()
        for rule in rules:
            canonical = _canonical(rule)
            found.add((canonical.head.arguments, frozenset(canonical.body)))
        return found

    return bodies(one) == bodies(other)
