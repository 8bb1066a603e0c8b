"""A specialised program -> SQL: one pass over the rows of all input relations, then one expression for each flag.

What a rule asks of a single row is one bit: every row sets its bits in a number, and one grouping by case gathers them.
Flags are columns of one wide row a case, computed in layers. Only what joins several rows of a case becomes a table of
its own, and its cases one more bit.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import count

from policy_kb.batch.dialect import FLOAT, NUMBER, SYMBOL, DuckDB, KnownRows, Sql, kind_of_result, remark
from policy_kb.batch.script import CASES, GATHERED, UNGATHERED, Script, Step
from policy_kb.batch.shape import CASE, OPEN_TABLE, UNCERTAIN, Openness, Shape, given_column
from policy_kb.batch.specialise import (
    HAS_NO_VALUE,
    NUMBER_OF,
    Specialised,
    by_head,
    counted_atom,
    flags_counted,
    folded,
    is_implied,
    is_none_or_some,
    rule_names,
    substituted_rule,
    unified_with,
    used_once,
)
from policy_kb.check.checked import CheckedProgram
from policy_kb.diagnostics import Diagnostic, Kind, RulesRefused
from policy_kb.evaluate.plain import PlainRule, assignment, in_order, named_wildcards
from policy_kb.evaluate.worlds import CERTAIN, OPEN, certain, open_, possible, spoken_of
from policy_kb.load.cases import INCOMPLETE, NOT_STATED, REQUEST, is_single
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

UNSURE = "%"
"""Behind the name of an input relation: its uncertain rows."""

LEAST_LOOKED_UP = 3
"""A column's values are looked up once in a table where so many conditions ask for some of them."""

MOST_LISTED = 64
"""A table with more rows than these is joined, not written out for each of its rows."""

LONGEST_EXPRESSION = 1_000_000
"""Characters of SQL for one expression of the rules: what a rule computes is written wherever another one uses it."""

_NOT_A_COLUMN = re.compile(r"\(NOT ([\"`]\w+[\"`])\)", re.ASCII)

Truths = bool | Sql
"""A condition on a case: known now, or SQL over the columns of its wide row."""


def all_of(parts: Iterable[Truths]) -> Truths:
    return _combined(parts, "AND", settles=False)


def some_of(parts: Iterable[Truths]) -> Truths:
    return _combined(parts, "OR", settles=True)


def _combined(parts: Iterable[Truths], word: str, *, settles: bool) -> Truths:
    """The parts joined by a word; one part that is known to be `settles` settles the whole."""
    kept: list[Sql] = []
    for part in parts:
        if part is settles:
            return settles
        if not isinstance(part, bool) and part not in kept:
            kept.append(part)
    if not kept:
        return not settles
    return kept[0] if len(kept) == 1 else f"({f' {word} '.join(kept)})"


def negated(part: Truths) -> Truths:
    if isinstance(part, bool):
        return not part
    of_column = _NOT_A_COLUMN.fullmatch(part)
    return of_column[1] if of_column else f"(NOT {part})"


@record
class Term:
    """The SQL of a value, its kind, and whether only the case decides it."""

    sql: Sql
    kind: str
    of_case: bool


@dataclass
class _Pass:
    """The grouped pass over one input relation: the names of its columns, by what they compute, with the condition that
    a row fulfils on which a column depends, and the rules it comes from.

    `truths` are true or false: whether some row fulfils the condition, or whether an aggregate is true of all rows.
    `values` are other aggregates, NULL where there is no row.
    """

    relation: str
    truths: dict[tuple[Sql | None, Truths], str] = field(default_factory=dict)
    values: dict[Sql, str] = field(default_factory=dict)
    conditions: dict[str, tuple[Truths, ...]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)


class _Among(str):
    """The condition that a column has one of some values."""

    column: Sql
    values: tuple[Value, ...]

    @classmethod
    def of(cls, condition: Sql, column: Sql, values: Iterable[Value]) -> _Among:
        made = cls(condition)
        made.column, made.values = column, tuple(values)
        return made


@record
class _Bit:
    """A bit that a row sets where it fulfils all of some conditions, and the rules it comes from. Where `among` is one
    of the conditions, it is not asked: the bit stands beside its values in a table that the rows are joined with."""

    name: str
    conditions: tuple[Truths, ...]
    notes: list[str]
    among: _Among | None = None


class _ValueTables:
    """Tables that rows are joined with: beside each value of a column, the bits that a row with it sets, in a number
    for each word and further condition."""

    def __init__(self) -> None:
        self.numbers: dict[Sql, dict[tuple[int, Truths], dict[Value, int]]] = {}

    def column(self, among: _Among, bit: int, word: int, condition: Truths) -> Sql:
        """The column of a table for a word and a condition, to which a bit is added beside its values."""
        columns = self.numbers.setdefault(among.column, {})
        numbers = columns.setdefault((word, condition), {})
        for value in among.values:
            numbers[value] = numbers.get(value, 0) | bit
        return f"m{list(self.numbers).index(among.column)}.set_{list(columns).index((word, condition))}"

    def joins(self, dialect: DuckDB) -> Iterator[Sql]:
        for i, (column, sets) in enumerate(self.numbers.items()):
            rows = [(value, *(numbers.get(value, 0) for numbers in sets.values()))
                    for value in sorted(frozenset().union(*sets.values()), key=repr)]
            names = ["value", *(f"set_{n}" for n in range(len(sets)))]
            yield f"LEFT JOIN {dialect.values_table(rows, names, f'm{i}')} ON m{i}.value = {column}"


@record
class _Branch:
    """Rows that set bits of a case. `source` is what stands behind SELECT and the columns."""

    key: Sql
    bits: list[_Bit]
    source: Sql


_WIDE, _KEY = "\0wide\0", "\0case\0"
"""Stand in the SQL of a subquery for the table of the wide rows, and for the case that its rows are of. No text of a
rule holds such signs."""


@dataclass
class _Part:
    """A subquery of its own: the cases for which rows together fulfil a condition, or the rows of a relation."""

    name: str
    sql: Sql
    notes: list[str]
    level: int
    columns: tuple[str, ...] = ()

    def step(self, wide: str) -> Step:
        return Step(self.name, self.sql.replace(_WIDE, wide), tuple(self.notes))


@record
class _Source:
    """A table in a join, with what its rows have to fulfil. `of_case`: its rows are of a case, that of the others."""

    table: Sql
    alias: str
    on: list[Sql]
    of_case: bool = True
    is_optional: bool = False


@dataclass
class _Wide:
    """The SELECT that the wide rows of a level begin with: the case's name, the columns, what stands behind them, and
    the condition on a row."""

    key: Sql
    columns: list[Sql]
    sources: list[Sql]
    where: Truths = True

    @property
    def select(self) -> Sql:
        listed = ",\n       ".join(self.columns)
        return "\n".join([f"SELECT {listed}", *self.sources, *_where(self.where)])


BITS = 62
"""Conditions that one number of 64 bits holds."""


class Compiler:
    """Writes one SQL query for a specialised program.

    `texts` names relations with one attribute, a text, whose rows are asked for as a list (`Compiler.texts`).
    """

    def __init__(
        self, program: CheckedProgram, specialised: Specialised, shape: Shape, dialect: DuckDB,
        texts: Container[str] = (),
    ):
        self.program, self.given, self.shape, self.dialect = program, specialised, shape, dialect
        self.q = dialect.quoted
        self.key = dialect.quoted(CASE)
        self.rules = by_head(specialised.rules)
        self.singles: dict[str, dict[int, str]] = {}
        """The columns of the cases with values of a relation of one row a case, by the place of its attribute."""
        self.computed: dict[Sql, str] = {}
        self.passes: dict[str, _Pass] = {}
        self.parts: dict[Sql, _Part] = {}
        self.flags: dict[str, tuple[Truths, int]] = {}
        self.layers: list[tuple[str, Sql, int, list[str]]] = []
        self.columns: set[Sql] = set()
        self.depth: dict[str, tuple[int, int]] = {}
        self.relations: dict[str, _Part] = {}
        self.kinds: dict[str, list[str]] = {}
        self.is_open_read = False
        self.legend: dict[str, str] = {}
        self.called: dict[str, Sql] = {}
        self.numbers = count(1)
        self.uses_level = 0
        """The level of the wide row that what is being written needs."""
        self.reads_level = 0
        """The level from which a subquery can read the flags it mentions."""
        for name, rules in self.rules.items():
            if name in texts:
                continue
            if rules[0].head.arguments:
                self.relation(name, rules)
            else:
                self.flag(name, rules)

    # names and places

    def new(self, sort: str, says: str = "") -> str:
        """A name of a column or table that nothing else has, made of a number; `says` is what the legend says of it."""
        name = f"{sort}_{len(self.legend) + 1}"
        self.legend[name] = says
        return name

    def identifier(self, plain: str) -> str:
        """The name of the column that is a flag, or of the table of a plain relation's rows."""
        if plain not in self.called:
            self.called[plain] = self.new("said", plain)
        return self.called[plain]

    def table(self, relation: str) -> Sql:
        """The prepared table of an input relation."""
        return self.q(self.shape[relation].table)

    def note(self, rule: PlainRule) -> str:
        """Where a rule stands, as a comment names it."""
        return remark(f"{rule.head.span.file}:{rule.head.span.line}")

    def base(self, name: str) -> tuple[str, bool | None] | None:
        """The input relation a plain relation is the rows of, and whether only its certain ones; None there: only the
        uncertain ones."""
        if name.endswith(UNSURE) and possible(name.removesuffix(UNSURE)) in self.given.base:
            return name.removesuffix(UNSURE), None
        if name in self.given.base and name not in self.rules:
            return spoken_of(name), name.endswith(CERTAIN) and self.shape[spoken_of(name)].has_uncertain
        return None

    def among(self, which: bool | None, alias: str) -> list[Sql]:
        """The condition on rows of which only the certain ones are meant, or only the uncertain ones."""
        column = f"{alias}.{self.q(UNCERTAIN)}"
        return [column] if which is None else [f"NOT {column}"] if which else []

    def is_single(self, relation: str) -> bool:
        return is_single(self.program.relations[relation])

    def single(self, relation: str, place: int) -> Sql:
        """The column of the cases with an attribute of a relation with at most one row a case."""
        columns = self.singles.setdefault(relation, {})
        if place not in columns:
            attribute = self.program.relations[relation].attributes[place]
            columns[place] = self.new("of_case", f"{relation}.{attribute.name}")
        return self.q(columns[place])

    def case_value(self, sql: Sql) -> Sql:
        """The column of the cases with a value that is computed from theirs: once for a case, not for each of its
        rows."""
        if sql not in self.computed:
            if not self.reads_case(sql):
                return sql
            self.computed[sql] = self.new("of_case", "computed")
        return self.q(self.computed[sql])

    def worked_out(self, sql: Sql) -> Sql:
        """What a column that is computed stands for, and anything else itself."""
        return next((value for value, name in self.computed.items() if self.q(name) == sql), sql)

    # flags

    def truth(self, name: str) -> Truths:
        """A flag as a condition on the wide row."""
        value, level = self.flags.get(name, (False, 0))
        relation = self.program.relations.get(spoken_of(name))
        base = self.base(name)
        if name.endswith(OPEN) and relation is not None and relation.is_input:
            openness = self.shape[relation.name].openness
            self.is_open_read = self.is_open_read or openness is Openness.SOME
            value = self.q(self.identifier(name)) if openness is Openness.SOME else openness is Openness.ALWAYS
        elif name not in self.flags and base is not None:
            value = self.exists(base, (), {}, [])
        self.uses_level = max(self.uses_level, level)
        if not isinstance(value, bool):
            self.reads_level = max(self.reads_level, level + 1)
        return value

    def flag(self, name: str, rules: list[PlainRule]) -> None:
        self.uses_level = 0
        notes = list(dict.fromkeys(self.note(rule) for rule in rules))
        value = some_of(self.body(copy) for rule in rules for copy in self.written_out(rule))
        level = self.uses_level
        if isinstance(value, bool) or value in self.columns:
            self.flags[name] = value, level
            return
        depth = 1 + max(
            (depth for flag, (other, depth) in self.depth.items() if other == level and self.q(flag) in value),
            default=0,
        )
        flag = self.identifier(name)
        self.depth[flag] = level, depth
        self.layers.append((flag, value, level, notes))
        self.columns.add(self.q(flag))
        self.flags[name] = self.q(flag), level

    def written_out(self, rule: PlainRule) -> list[PlainRule]:
        """The rule for every row of the tables that bind values no row of a case binds."""
        bound = set()
        for literal in rule.body:
            if isinstance(literal, Atom) and literal.relation not in self.given.tables:
                bound |= {a.name for a in literal.arguments if isinstance(a, Variable)}
        for literal in rule.body:
            if isinstance(literal, Atom) and literal.relation in self.given.tables:
                rows = self.given.tables[literal.relation]
                if tree.names(literal) <= bound or len(rows) > MOST_LISTED:
                    continue
                rest = tuple(part for part in rule.body if part is not literal)
                copies = []
                for row in sorted(rows, key=repr):
                    unified = unified_with(literal, row)
                    if unified is not None:
                        values, equal = unified
                        copy = substituted_rule(PlainRule(rule.head, (*rest, *equal)), values)
                        copies += self.written_out(copy)
                return copies
        return [rule]

    def body(self, rule: PlainRule) -> Truths:
        """The body of a rule for a flag, as a condition on the wide row."""
        notes = [self.note(rule)]
        found, rest = self.of_one_row(rule, notes)
        terms, conditions, others = self.of_case(PlainRule(rule.head, tuple(rest)))
        for group in self.groups(others, terms):
            conditions.append(self.some_rows(group, terms, notes))
        return all_of([*found, *conditions])

    def of_one_row(self, rule: PlainRule, notes: list[str]) -> tuple[list[Truths], list[Literal]]:
        """What is asked of nothing but the one row of a relation, as for rows of other relations, and all the other
        literals: so its values are needed only where they are compared with those of other rows."""
        conditions: list[Truths] = []
        others: list[Literal] = []
        asked = [literal for literal in rule.body if tree.names(literal) or isinstance(literal, Atom)]
        alone = [literal for literal in rule.body if literal not in asked]
        named = tree.names(rule.head)
        for group in self.groups(asked, {}):
            rows = [one for one in group if isinstance(one, Atom) and one.relation not in self.given.tables]
            tests = [one for one in group if one not in rows]
            base = self.base(rows[0].relation) if len(rows) == 1 and rows[0].arguments else None
            if (
                base is not None and self.is_single(base[0])
                and not any(isinstance(argument, Call) for argument in rows[0].arguments)
                and self.are_tests_of(rows[0], tests, {})
                and not any(named & tree.names(one) for one in group)
            ):
                conditions.append(self.exists(base, rows[0].arguments, {}, tests, notes))
            else:
                others += group
        return conditions, [*alone, *sorted(others, key=rule.body.index)]

    def of_case(self, rule: PlainRule) -> tuple[dict[str, Term], list[Truths], list[Literal]]:
        """The values that the case alone decides, the conditions on these, and the literals about its rows."""
        terms: dict[str, Term] = {}
        conditions: list[Truths] = []
        rest: list[Literal] = []
        body = _in_order(rule.body, (), (*rule.body, rule.head))
        for literal in body:
            if isinstance(literal, Atom) and not literal.arguments:
                conditions.append(self.truth(literal.relation))
            elif isinstance(literal, Negation) and not literal.atom.arguments:
                conditions.append(negated(self.truth(literal.atom.relation)))
            elif isinstance(literal, Truth):
                conditions.append(literal.value)
            elif isinstance(literal, Atom) and self.single_of(literal) is not None:
                conditions += self.single_row(literal, terms, rest)
            else:
                rest.append(literal)
        waiting = rest
        rest = []
        for literal in _in_order(waiting, terms, (*rule.body, rule.head)):
            if isinstance(literal, Comparison) and flags_counted(literal):
                pass  # it reads the wide row, which the passes over the rows do not
            elif isinstance(literal, Comparison) and counted_atom(literal) is None:
                given = assignment(literal, terms.keys(), (*rule.body, rule.head))
                if given is not None:
                    name, other = given
                    if self.is_of_case(other, terms):
                        terms[name] = self.term(other, terms)
                        continue
                elif self.is_of_case(literal.left, terms) and self.is_of_case(literal.right, terms):
                    conditions.append(self.comparison(literal, terms))
                    continue
            elif isinstance(literal, Atom) and literal.relation in self.given.tables:
                if tree.names(literal) <= terms.keys():
                    conditions.append(self.in_table(literal, terms))
                    continue
            elif (
                isinstance(literal, Negation) and literal.atom.relation in self.given.tables
                and tree.names(literal) <= terms.keys()
            ):
                conditions.append(negated(self.in_table(literal.atom, terms)))
                continue
            rest.append(literal)
        return terms, conditions, rest

    def is_of_case(self, expression: Expression, terms: Mapping[str, Term]) -> bool:
        return not any(True for _ in tree.aggregates(expression)) and all(
            name in terms and terms[name].of_case for name in tree.names(expression)
        )

    def single_of(self, atom: Atom) -> str | None:
        base = self.base(atom.relation)
        return base[0] if base is not None and self.is_single(base[0]) else None

    def single_row(self, atom: Atom, terms: dict[str, Term], later: list[Literal]) -> list[Truths]:
        """The conditions on the one row of a relation; its values are bound in `terms`. What needs values of other rows
        is put off until `later`."""
        relation = self.program.relations[spoken_of(atom.relation)]
        conditions: list[Truths] = []
        if relation.name != REQUEST:
            if not self.shape[relation.name].has_rows:
                return [False]
            conditions.append(f"({self.single(relation.name, 0)} IS NOT NULL)")
        for place, (argument, attribute) in enumerate(zip(atom.arguments, relation.attributes[1:], strict=True), 1):
            if isinstance(argument, Wildcard):
                continue
            column = Term(self.single(relation.name, place), attribute.kind, True)
            if isinstance(argument, Variable) and argument.name not in terms:
                terms[argument.name] = column
            elif tree.names(argument) <= terms.keys():
                conditions.append(self.coalesced(f"({column.sql} = {self.term(argument, terms).sql})"))
            else:
                value = Variable(f"{relation.name}.{attribute.name}.{next(self.numbers)}", atom.span)
                terms[value.name] = column
                later.append(Comparison("=", value, argument, atom.span))
        return conditions

    def coalesced(self, condition: Sql) -> Sql:
        return self.dialect.or_false(condition)

    # groups of literals that share rows

    def groups(self, literals: list[Literal], terms: Mapping[str, Term]) -> list[list[Literal]]:
        """The literals in groups that share no value of a row."""
        whole = tuple(literals)
        groups: list[tuple[set[str], list[Literal]]] = []
        for literal in literals:
            names = set(tree.names(literal)) - terms.keys()
            counted = counted_atom(literal)
            if counted is not None:
                names = {name for name in names if not name.endswith("#")}
            joined = [group for group in groups if group[0] & names]
            merged = (names.union(*(g[0] for g in joined)), [x for g in joined for x in g[1]] + [literal])
            groups = [group for group in groups if group not in joined] + [merged]
        return [sorted(group[1], key=whole.index) for group in groups]

    def some_rows(self, group: list[Literal], terms: Mapping[str, Term], notes: list[str]) -> Truths:
        """Whether rows of the case fulfil all literals of a group, as a condition on the wide row."""
        first = group[0]
        if len(group) == 1 and isinstance(first, Negation):
            return negated(self.some_rows([first.atom], terms, notes))
        counted = counted_atom(first)
        if len(group) == 1 and counted is not None:
            simple = self.simple_count(first, terms, notes)
            if simple is not None:
                return simple
        elif len(group) == 1 and isinstance(first, Comparison) and flags_counted(first):
            return self.comparison(first, terms)
        group = self.doubtful(group)
        rows = [literal for literal in group if isinstance(literal, Atom) and literal.relation not in self.given.tables]
        others = [literal for literal in group if literal not in rows]
        if len(rows) == 1 and self.base(rows[0].relation) is not None and self.are_tests_of(rows[0], others, terms):
            base = self.base(rows[0].relation)
            assert base is not None
            return self.exists(base, rows[0].arguments, terms, others, notes)
        return self.joined_rows(group, terms, notes)

    def doubtful(self, group: list[Literal]) -> list[Literal]:
        """The group with `R~(x), !R+(x)` read as one atom: no row is given both as uncertain and as certain. `_` stands
        for other rows in the negation than in the atom."""
        result: list[Literal] = []
        removed = set()
        for literal in group:
            if (
                isinstance(literal, Atom) and self.base(literal.relation) == (spoken_of(literal.relation), False)
                and not any(isinstance(argument, Wildcard) for argument in literal.arguments)
            ):
                twin = Atom(certain(spoken_of(literal.relation)), literal.arguments, literal.span)
                if any(isinstance(other, Negation) and other.atom == twin for other in group):
                    removed.add(twin)
                    literal = Atom(spoken_of(literal.relation) + UNSURE, literal.arguments, literal.span)
            result.append(literal)
        return [one for one in result if not (isinstance(one, Negation) and one.atom in removed)]

    def are_tests_of(self, atom: Atom, literals: list[Literal], terms: Iterable[str]) -> bool:
        """Whether literals only test the row of an atom. A table that gives a variable its values does more."""
        bound = {one.name for one in atom.arguments if isinstance(one, Variable)}.union(terms)
        return all(self.is_test(one) and (isinstance(one, Comparison) or tree.names(one) <= bound) for one in literals)

    def is_test(self, literal: Literal) -> bool:
        """Whether a literal compares values, or looks them up in a table, or asks whether there are other rows."""
        counted = counted_atom(literal)
        if counted is not None:
            part = self.relations.get(counted[2].relation)
            return is_none_or_some(literal) and (part is None or part.level == 0)
        if isinstance(literal, Comparison):
            return not flags_counted(literal) and not any(True for _ in tree.aggregates(literal))
        atom = literal.atom if isinstance(literal, Negation) else literal
        return isinstance(atom, Atom) and atom.relation in self.given.tables

    def row_conditions(
        self, relation: str, arguments: tuple[Expression, ...], terms: dict[str, Term], alias: str
    ) -> list[Sql]:
        """Binds the variables of an atom to the columns of a row; the conditions on the others."""
        attributes = self.program.relations[relation].attributes[1:]
        columns = [(given_column(place), attribute.kind) for place, attribute in enumerate(attributes, start=1)]
        return self.bound_columns(columns, arguments, terms, alias)

    def bound_columns(
        self, columns: list[tuple[str, str]], arguments: tuple[Expression, ...], terms: dict[str, Term], alias: str
    ) -> list[Sql]:
        conditions = []
        late = []
        for argument, (name, kind) in zip(arguments, columns, strict=True):
            if isinstance(argument, Wildcard):
                continue
            column = f"{alias}.{self.q(name)}"
            if isinstance(argument, Variable) and argument.name not in terms:
                terms[argument.name] = Term(column, kind, False)
            else:
                late.append((column, argument))
        for column, argument in late:
            test = f"{column} = {self.term(argument, terms).sql}"
            if isinstance(argument, Constant):
                test = _Among.of(test, column, [argument.value])
            conditions.append(self.coalesced(test) if self.can_fail(argument) else test)
        return conditions

    def tests(self, literals: list[Literal], terms: dict[str, Term]) -> list[Truths]:
        conditions: list[Truths] = []
        for literal in _in_order(literals, terms):
            match literal:
                case Comparison() if counted_atom(literal) is not None:
                    _, test = self.count_join(literal, terms, "x")
                    conditions.append(f"({test})".replace(_KEY, f"r.{self.key}"))
                case Comparison():
                    given = assignment(literal, terms.keys(), tuple(literals))
                    if given is not None:
                        name, value = given
                        terms[name] = self.term(value, terms)
                        if self.can_fail(value):
                            conditions.append(f"({terms[name].sql} IS NOT NULL)")
                    else:
                        conditions.append(self.comparison(literal, terms))
                case Negation(atom=atom):
                    conditions.append(negated(self.in_table(atom, terms)))
                case Atom():
                    conditions.append(self.in_table(literal, terms))
                case Truth(value=value):
                    conditions.append(value)
        return conditions

    def exists(
        self, base: tuple[str, bool | None], arguments: tuple[Expression, ...], terms: Mapping[str, Term],
        tests: list[Literal], notes: list[str] | None = None,
    ) -> Truths:
        """Whether some row of an input relation fulfils the tests: a column of its grouped pass."""
        relation, only_certain = base
        if not self.shape[relation].has_rows:
            return False
        beyond = self.beyond_all(base, arguments, terms, tests)
        if beyond is not None:
            return self.bit(relation, [], notes or [], beyond)
        inside = dict(terms)
        conditions = [*self.row_conditions(relation, arguments, inside, "r")]
        conditions += self.among(only_certain, "r")
        parts = [*conditions, *self.tests(tests, inside)]
        return False if all_of(parts) is False else self.bit(relation, parts, notes or [])

    def beyond_all(
        self, base: tuple[str, bool | None], arguments: tuple[Expression, ...], terms: Mapping[str, Term],
        tests: list[Literal],
    ) -> Sql | None:
        """That some row which fulfils the tests comes after all rows of a sort (or before all), of the same relation: a
        comparison of the last with the last. None where the tests ask for anything else.

        So `test(case, "negative", on), count : { test(case, "positive", later), later >= on } = 0` does not join tests
        with tests.
        """
        counts = [literal for literal in tests if counted_atom(literal) is not None]
        counted = counted_atom(counts[0]) if len(counts) == 1 else None
        rules = self.rules.get(counted[2].relation, []) if counted is not None else []
        if counted is None or len(rules) != 1 or not is_none_or_some(counts[0]):
            return None
        comparison, _, inner = counted
        body = self.counted_body(rules[0], inner)
        if body is None or tree.count_parts(comparison)[1] != "=":
            return None
        outer = Atom(base[0], arguments, inner.span)
        own = {name for name in tree.names(inner) if name.endswith("#")}
        of_others = [one for one in body if isinstance(one, Atom) and own & tree.names(one)]
        if len(of_others) != 1 or (other := self.base(of_others[0].relation)) is None or other[0] != base[0]:
            return None
        theirs, ours = tree.names(of_others[0]), tree.names(outer)
        if theirs & ours - terms.keys():
            return None
        free = used_once(PlainRule(inner, tuple(body)))
        own_tests: list[Literal] = []
        orders: list[tuple[str, str, str]] = []
        for literal in body:
            if literal is of_others[0] or literal in tests:
                continue
            if isinstance(literal, Atom):
                # It says that the row itself is there.
                said = Atom(base[0], literal.arguments, literal.span)
                if self.base(literal.relation) != base or not is_implied(said, outer, free):
                    return None
            elif not isinstance(literal, Comparison) or not self.is_test(literal):
                return None
            elif tree.names(literal) <= theirs:
                own_tests.append(literal)
            elif (order := _order(literal, theirs - terms.keys())) is not None:
                orders.append(order)
            else:
                return None
        if len(orders) != 1:
            return None
        (theirs_is, operator, ours_is), = orders
        extreme = "max" if operator.startswith(">") else "min"
        values = []
        for atom, which, name, others in (
            (outer, base[1], ours_is, [one for one in tests if one is not counts[0]]),
            (of_others[0], other[1], theirs_is, own_tests),
        ):
            scope = dict(terms)
            found = [*self.row_conditions(base[0], atom.arguments, scope, "r"), *self.among(which, "r")]
            condition = all_of([*found, *self.tests(others, scope)])
            value = scope.get(name) if name in tree.names(atom) else None
            if value is None or value.of_case or value.kind != NUMBER or condition is False:
                return None
            of_rows = value.sql if condition is True else f"CASE WHEN {condition} THEN {value.sql} END"
            values.append(f"{extreme}({of_rows})")
        compared = operator[0] if operator.endswith("=") else f"{operator}="
        return f"coalesce({values[0]} {compared} {values[1]}, {values[0]} IS NOT NULL)"

    def counted_body(self, rule: PlainRule, counted: Atom) -> list[Literal] | None:
        """The body of the rule for what is counted, with the variables of the literal that counts it."""
        values: dict[str, Expression] = {}
        for argument, head in zip(counted.arguments, rule.head.arguments, strict=True):
            if not isinstance(head, Variable) or head.name in values:
                return None
            values[head.name] = argument
        for name in rule_names(rule) - values.keys():
            values[name] = Variable(f"{name}.{next(self.numbers)}", counted.span)
        return list(substituted_rule(rule, values).body)

    def bit(self, relation: str, conditions: Iterable[Truths], notes: list[str], all_hold: Sql | None = None) -> Sql:
        """Whether some row of a relation fulfils all conditions, as a column of the wide row; or whether `all_hold`, an
        aggregate, is true of all its rows."""
        found = self.passes.setdefault(relation, _Pass(relation))
        parts = tuple(conditions)
        key = all_hold, all_of(parts)
        if key not in found.truths:
            found.truths[key] = self.new("row", f"of {relation}")
        return self.named(found, found.truths[key], parts, notes)

    def column(self, relation: str, aggregate: Sql, condition: Truths, notes: list[str]) -> Sql:
        """An aggregate of the rows that fulfil a condition, as a column of the wide row."""
        found = self.passes.setdefault(relation, _Pass(relation))
        if aggregate not in found.values:
            found.values[aggregate] = self.new("rows", f"of {relation}")
        return self.named(found, found.values[aggregate], (condition,), notes)

    def named(self, grouped: _Pass, name: str, conditions: tuple[Truths, ...], notes: list[str]) -> Sql:
        grouped.conditions[name] = conditions
        own = grouped.notes.setdefault(name, [])
        own += [note for note in notes if note not in own]
        self.columns.add(self.q(name))
        return self.q(name)

    # counts

    def number_of(self, flags: tuple[Expression, ...]) -> Sql:
        """How many of the flags named are true."""
        values = [self.truth(str(flag.value)) for flag in flags if isinstance(flag, Constant)]
        sure = sum(value is True for value in values)
        numbers = [f"CAST({value} AS INTEGER)" for value in values if not isinstance(value, bool)]
        return "(" + " + ".join([*numbers, *([str(sure)] if sure or not numbers else [])]) + ")"

    def simple_count(self, literal: Literal, terms: Mapping[str, Term], notes: list[str]) -> Truths | None:
        """A count of the rows of one input relation that does not depend on other rows; None for other counts."""
        counted = counted_atom(literal)
        assert counted is not None
        comparison, _, inner = counted
        _, operator, number = tree.count_parts(comparison)
        rules = [copy for rule in self.rules.get(inner.relation, []) for copy in self.written_out(rule)]
        if len(rules) != 1 or not self.is_of_case(number, terms):
            return None
        rule = rules[0]
        inside, conditions, rest = self.of_case(rule)
        rows = [one for one in rest if isinstance(one, Atom) and one.relation not in self.given.tables]
        if len(rows) != 1 or not self.are_tests_of(rows[0], [one for one in rest if one is not rows[0]], inside):
            return None
        base = self.base(rows[0].relation)
        if base is None or self.is_single(base[0]):
            return None
        own: list[str] = []
        same: list[Truths] = []
        scope: dict[str, Term] = dict(inside)
        relation, only_certain = base
        tests: list[Truths] = [*self.row_conditions(relation, rows[0].arguments, scope, "r")]
        tests += self.tests([one for one in rest if one is not rows[0]], scope)
        for given, head in zip(inner.arguments, rule.head.arguments, strict=True):
            if isinstance(given, Variable) and given.name.endswith("#"):
                term = self.term(head, scope)
                own += [] if term.of_case else [term.sql]
            else:
                if not self.is_of_case(given, terms):
                    return None
                left, right = self.term(head, scope), self.term(given, terms)
                if left.sql != right.sql:
                    (same if left.of_case else tests).append(f"({left.sql} = {right.sql})")
        tests += self.among(only_certain, "r")
        condition = all_of(tests)
        where = all_of([*conditions, *same])
        if condition is False or where is False:
            return f"({self.dialect.compared(operator, '0', self.term(number, terms).sql)})"
        value = "TRUE" if condition is True else str(condition)
        plain = number.value if isinstance(number, Constant) and isinstance(number.value, int) else None
        least = {">=": plain, ">": None if plain is None else plain + 1}.get(operator)
        most = {"<=": plain, "<": None if plain is None else plain - 1, "=": 0 if plain == 0 else None}.get(operator)
        wanted = least if least is not None else None if most is None else most + 1
        if wanted is not None and wanted <= 0:
            return least is not None
        if wanted == 1:
            found: Truths = all_of([where, self.bit(relation, tests, notes)])
            return found if least is not None else negated(found)
        if wanted == 2 and len(own) == 1:
            # Two different values: the least is not the greatest.
            of_rows = own[0] if condition is True else f"CASE WHEN {condition} THEN {own[0]} END"
            found = all_of([where, self.bit(relation, [], notes, f"min({of_rows}) < max({of_rows})")])
            return found if least is not None else negated(found)
        values = own[0] if len(own) == 1 else self.dialect.struct(**{f"v{i}": one for i, one in enumerate(own)})
        if not own:
            values = "1"
        name = self.column(relation, f"count(DISTINCT CASE WHEN {value} THEN {values} END)", condition, notes)
        compared = self.dialect.compared(
            operator, f"CASE WHEN {where if where is not True else 'TRUE'} THEN coalesce({name}, 0) ELSE 0 END",
            self.term(number, terms).sql,
        )
        return f"({compared})"

    # rows joined with rows

    def joined_rows(self, group: list[Literal], terms: Mapping[str, Term], notes: list[str]) -> Truths:
        """Whether rows that are joined with each other fulfil a group: a subquery of its own."""
        before, self.uses_level, self.reads_level = self.uses_level, 0, 0
        sql = self.select([], group, terms)
        level = max(self.uses_level, self.reads_level)
        self.uses_level = max(before, level)
        if sql is None:
            return False
        part = self.parts.get(sql)
        if part is None:
            part = self.parts[sql] = _Part(self.new("joined", "rows with rows"), sql, [], level)
        part.notes += [note for note in notes if note not in part.notes]
        return self.q(part.name)

    def select(
        self, head: list[tuple[str, Expression]], group: list[Literal], terms: Mapping[str, Term],
        conditions: Iterable[Truths] = (),
    ) -> Sql | None:
        """The rows of `head` for which all literals and `conditions` hold, as `SELECT DISTINCT case, ...`."""
        inside = dict(terms)
        sources: list[_Source] = []
        tests: list[Truths] = list(conditions)
        for literal in _in_order(group, terms):
            alias = f"r{len(sources) + 1}"
            match literal:
                case Atom(relation=name) if name in self.given.tables:
                    if tree.names(literal) <= inside.keys():
                        tests.append(self.in_table(literal, inside))
                        continue
                    rows = sorted(self.given.tables[name], key=repr)
                    columns = [f"v{place}" for place in range(len(literal.arguments))]
                    kinds = [_kind_of(value) for value in rows[0]] if rows else []
                    if not rows:
                        return None
                    table = self.dialect.values_table(rows, columns, alias)
                    on = self.bound_columns(list(zip(columns, kinds, strict=True)), literal.arguments, inside, alias)
                    sources.append(_Source(table, alias, on, of_case=False))
                case Atom(relation=name, arguments=arguments):
                    if not arguments:
                        tests.append(self.truth(name))
                        continue
                    found = self.source(name, arguments, inside, alias)
                    if found is None:
                        return None
                    table, on = found
                    sources.append(_Source(f"{table} AS {alias}", alias, on))
                case Negation(atom=atom) if atom.relation in self.given.tables:
                    tests.append(negated(self.in_table(atom, inside)))
                case Negation(atom=atom) if not atom.arguments:
                    tests.append(negated(self.truth(atom.relation)))
                case Negation(atom=atom):
                    scope = dict(inside)
                    found = self.source(atom.relation, atom.arguments, scope, "x")
                    if found is not None:
                        table, on = found
                        tests += [
                            f"({self.term(a, inside).sql} IS NOT NULL)" for a in atom.arguments if self.can_fail(a)
                        ]
                        matching = " AND ".join([f"x.{self.key} = {_KEY}", *on])
                        tests.append(f"NOT EXISTS (SELECT 1 FROM {table} AS x WHERE {matching})")
                case Comparison() if counted_atom(literal) is not None:
                    counted, test = self.count_join(literal, inside, alias)
                    sources += counted
                    tests.append(test)
                case Comparison():
                    given = assignment(literal, inside.keys(), tuple(group))
                    if given is not None:
                        name_, other = given
                        inside[name_] = self.term(other, inside)
                        if self.can_fail(other):
                            tests.append(f"({inside[name_].sql} IS NOT NULL)")
                    else:
                        tests.append(self.comparison(literal, inside))
                case Truth(value=value):
                    tests.append(value)
        columns_ = [_KEY]
        for name, argument in head:
            term = self.term(argument, inside)
            columns_.append(f"{term.sql} AS {self.q(name)}")
            if self.can_fail(argument):
                tests.append(f"({term.sql} IS NOT NULL)")
        condition = all_of(tests)
        return None if condition is False else self.written(columns_, sources, condition)

    def written(self, columns: list[Sql], sources: list[_Source], condition: Truths) -> Sql:
        """The SELECT over these sources. The wide rows are among them where something of them is read."""
        whole = "\n".join([*columns, *(test for one in sources for test in one.on), str(condition)])
        is_alone = (
            bool(sources) and sources[0].of_case and not sources[0].is_optional
            and self.reads_level == 0 and not self.reads_case(whole)
        )
        key = f"{sources[0].alias if is_alone else 'c'}.{self.key}"
        # Who asks for cases alone gathers them, each once.
        lines = [f"SELECT {'DISTINCT ' if len(columns) > 1 else ''}{', '.join(columns)}"]
        joined = sources
        if is_alone:
            lines.append(f"FROM {sources[0].table}")
            condition = all_of([*sources[0].on, condition])
            joined = sources[1:]
        else:
            lines.append(f"FROM {_WIDE} AS c")
        for source in joined:
            on = [*([f"{source.alias}.{self.key} = {_KEY}"] if source.of_case else []), *source.on]
            lines.append(f"{'LEFT ' if source.is_optional else ''}JOIN {source.table} ON {' AND '.join(on) or 'TRUE'}")
        if condition is not True:
            lines.append(f"WHERE {condition}")
        return "\n".join(lines).replace(_KEY, key)

    def source(
        self, name: str, arguments: tuple[Expression, ...], terms: dict[str, Term], alias: str
    ) -> tuple[Sql, list[Sql]] | None:
        """The table with the rows of a relation, and the conditions that join it to other rows of the case."""
        base = self.base(name)
        if base is not None:
            relation, only_certain = base
            if not self.shape[relation].has_rows:
                return None
            tests = [*self.row_conditions(relation, arguments, terms, alias), *self.among(only_certain, alias)]
            return self.table(relation), tests
        part = self.relations.get(name)
        if part is None:
            return None
        self.uses_level = max(self.uses_level, part.level)
        columns = list(zip(part.columns, self.kinds[name], strict=True))
        return self.q(part.name), self.bound_columns(columns, arguments, terms, alias)

    def count_join(self, literal: Literal, terms: dict[str, Term], alias: str) -> tuple[list[_Source], Truths]:
        """A count of rows for the values of other rows: a grouped subquery, joined."""
        counted = counted_atom(literal)
        assert counted is not None
        comparison, _, inner = counted
        _, operator, number = tree.count_parts(comparison)
        right = self.term(number, terms).sql
        part = self.relations.get(inner.relation)
        if part is None:
            return [], f"({self.dialect.compared(operator, '0', right)})"
        self.uses_level = max(self.uses_level, part.level)
        own = [c for c, a in zip(part.columns, inner.arguments, strict=True)
               if isinstance(a, Variable) and a.name.endswith("#")]
        outer = [(c, a) for c, a in zip(part.columns, inner.arguments, strict=True) if c not in own]
        if is_none_or_some(literal):
            matching = [f"{alias}.{self.key} = {_KEY}"]
            matching += [f"{alias}.{self.q(c)} = {self.term(a, terms).sql}" for c, a in outer]
            found = f"EXISTS (SELECT 1 FROM {self.q(part.name)} AS {alias} WHERE {' AND '.join(matching)})"
            return [], f"NOT {found}" if operator == "=" else found
        grouped = ", ".join([self.key, *(self.q(c) for c, _ in outer)])
        # The rows of a part differ from each other, and all their values but the outer ones are counted.
        source = _Source(
            f"(SELECT {grouped}, count(*) AS rows_counted FROM {self.q(part.name)} GROUP BY {grouped}) AS {alias}",
            alias, [f"{alias}.{self.q(c)} = {self.term(a, terms).sql}" for c, a in outer], is_optional=True,
        )
        compared = self.dialect.compared(operator, f"coalesce({alias}.rows_counted, 0)", right)
        return [source], self.coalesced(f"({compared})")

    def relation(self, name: str, rules: list[PlainRule]) -> None:
        """The rows of a derived relation, as a subquery of its own."""
        columns = tuple(f"v{place}" for place in range(len(rules[0].head.arguments)))
        self.uses_level = self.reads_level = 0
        selects: list[Sql] = []
        kinds: list[str] | None = None
        for rule in rules:
            terms, conditions, rest = self.of_case(rule)
            sql = self.select(list(zip(columns, rule.head.arguments, strict=True)), rest, terms, conditions)
            if sql is None:
                continue
            kinds = self.head_kinds(rule, rest, terms)
            if sql not in selects:
                selects.append(sql)
        level = max(self.uses_level, self.reads_level)
        if not selects or kinds is None:
            return
        self.kinds[name] = kinds
        notes = list(dict.fromkeys(self.note(rule) for rule in rules))
        self.relations[name] = _Part(self.identifier(name), "\nUNION\n".join(selects), notes, level, columns)

    def head_kinds(self, rule: PlainRule, rest: list[Literal], terms: Mapping[str, Term]) -> list[str]:
        scope = dict(terms)
        for literal in _in_order(rest, scope):
            if isinstance(literal, Atom):
                base = self.base(literal.relation)
                if literal.relation in self.given.tables:
                    rows = self.given.tables[literal.relation]
                    kinds = [_kind_of(value) for value in next(iter(rows))]
                elif base is not None:
                    kinds = [a.kind for a in self.program.relations[base[0]].attributes[1:]]
                else:
                    kinds = self.kinds.get(literal.relation, [])
                for argument, kind in zip(literal.arguments, kinds, strict=False):
                    if isinstance(argument, Variable):
                        scope.setdefault(argument.name, Term("", kind, False))
            elif isinstance(literal, Comparison) and counted_atom(literal) is None:
                given = assignment(literal, scope.keys(), tuple(rest))
                if given is not None:
                    name, value = given
                    scope[name] = Term("", self.kind(value, scope), False)
        return [self.kind(argument, scope) for argument in rule.head.arguments]

    # values

    def kind(self, expression: Expression, terms: Mapping[str, Term]) -> str:
        match expression:
            case Constant(value=value):
                return _kind_of(value)
            case Variable(name=name):
                return terms[name].kind
            case Call(function=function) if function == NUMBER_OF:
                return NUMBER
            case Call(function=function, arguments=arguments):
                return kind_of_result(function, [self.kind(argument, terms) for argument in arguments])
            case Aggregate(function="count"):
                return NUMBER
            case Aggregate(target=target, body=body):
                inside = dict(terms)
                for literal in named_wildcards(body):
                    if isinstance(literal, Atom):
                        rows = self.given.tables.get(literal.relation, frozenset())
                        if not rows:
                            return NUMBER  # the value is 0, or there is none
                        for argument, value in zip(literal.arguments, next(iter(rows)), strict=True):
                            if isinstance(argument, Variable):
                                inside.setdefault(argument.name, Term("", _kind_of(value), False))
                return self.kind(target, inside) if target is not None else NUMBER
        raise AssertionError(expression)

    def term(self, expression: Expression, terms: Mapping[str, Term]) -> Term:
        match expression:
            case Constant(value=value):
                return Term(self.dialect.literal(value), _kind_of(value), True)
            case Variable(name=name):
                return terms[name]
            case Call(function=function, arguments=arguments) if function == NUMBER_OF:
                return Term(self.number_of(arguments), NUMBER, False)
            case Call(function=function, arguments=arguments):
                parts = [self.term(argument, terms) for argument in arguments]
                is_of_case = all(part.of_case for part in parts)
                texts = [self.worked_out(part.sql) if is_of_case else part.sql for part in parts]
                sql = self.dialect.call(function, texts, [part.kind for part in parts])
                if len(sql) > LONGEST_EXPRESSION:
                    message = "a batch would compute parts of this again and again: the expression is too large for it"
                    raise RulesRefused([Diagnostic(Kind.ARITHMETIC, expression.span, message, "use a value once")])
                return Term(self.case_value(sql) if is_of_case else sql, self.kind(expression, terms), is_of_case)
            case Aggregate():
                return Term(self.known_aggregate(expression, terms), self.kind(expression, terms), False)
        raise AssertionError(expression)

    def known_aggregate(self, aggregate: Aggregate, terms: Mapping[str, Term]) -> Sql:
        """A value over rows of known relations for the values of a case's row: a scalar subquery."""
        body = named_wildcards(aggregate.body)
        inside = dict(terms)
        tables: list[KnownRows] = []
        conditions: list[Truths] = []
        own: list[Sql] = []
        for literal in _in_order(body, terms):
            match literal:
                case Atom(relation=name, arguments=arguments):
                    alias = f"k{next(self.numbers)}"
                    rows = sorted(self.given.tables.get(name, ()), key=repr)
                    columns = [f"v{place}" for place in range(len(arguments))]
                    if not rows:
                        return "0" if aggregate.function in ("count", "sum") else "NULL"
                    kinds = [_kind_of(value) for value in rows[0]]
                    tables.append(KnownRows(alias, tuple(columns), rows))
                    before = set(inside)
                    conditions += self.bound_columns(list(zip(columns, kinds, strict=True)), arguments, inside, alias)
                    own += [inside[name_].sql for name_ in sorted(inside.keys() - before)]
                case Negation(atom=atom):
                    conditions.append(negated(self.in_table(atom, inside)))
                case Comparison():
                    given = assignment(literal, inside.keys(), body)
                    if given is not None:
                        name_, expression = given
                        inside[name_] = self.term(expression, inside)
                        own.append(inside[name_].sql)
                    else:
                        conditions.append(self.comparison(literal, inside))
                case Truth(value=value):
                    conditions.append(value)
        condition = all_of(conditions)
        where = None if condition is True else "FALSE" if condition is False else condition
        target = "1" if aggregate.target is None else self.term(aggregate.target, inside).sql
        is_float = self.kind(aggregate, terms) == FLOAT
        return self.dialect.of_known_rows(aggregate.function, tables, where, own, target, is_float)

    def can_fail(self, node: Expression | Literal) -> bool:
        """Whether a value may not exist."""
        match node:
            case Call(function=function, arguments=arguments):
                if any(self.can_fail(argument) for argument in arguments):
                    return True
                if function in ("/", "%"):
                    return not (isinstance(arguments[-1], Constant) and arguments[-1].value != 0)
                return function in ("@date", "@year", "@months_after", "@months_before", "to_number")
            case Aggregate(function=function):
                return function in ("min", "max")
            case Atom(arguments=arguments):
                return any(self.can_fail(argument) for argument in arguments)
            case Comparison(left=left, right=right):
                return self.can_fail(left) or self.can_fail(right)
            case Negation(atom=atom):
                return self.can_fail(atom)
        return False

    def comparison(self, literal: Comparison, terms: Mapping[str, Term]) -> Truths:
        if literal.operator == HAS_NO_VALUE:
            return f"({self.term(literal.left, terms).sql} IS NULL)"
        left, right = self.term(literal.left, terms), self.term(literal.right, terms)
        match literal.operator:
            case "match" | "!match":
                condition = self.dialect.matches(left.sql, right.sql)
            case "contains" | "!contains":
                condition = self.dialect.contains(left.sql, right.sql)
            case operator:
                condition = self.dialect.compared(operator, left.sql, right.sql, left.kind)
        if literal.operator.startswith("!") and literal.operator != "!=":
            condition = f"NOT {condition}"
        return self.coalesced(f"({condition})") if self.can_fail(literal) else f"({condition})"

    def in_table(self, atom: Atom, terms: Mapping[str, Term]) -> Truths:
        """Whether a known relation has a row with the values of an atom; `_` stands for any."""
        rows = self.given.tables.get(atom.relation, frozenset())
        places = [place for place, argument in enumerate(atom.arguments) if not isinstance(argument, Wildcard)]
        wanted = sorted({tuple(row[place] for place in places) for row in rows}, key=repr)
        fixed = [(i, atom.arguments[place]) for i, place in enumerate(places)]
        constants = {i: argument.value for i, argument in fixed if isinstance(argument, Constant)}
        wanted = [row for row in wanted if all(row[i] == value for i, value in constants.items())]
        free = [(i, argument) for i, argument in fixed if i not in constants]
        if not wanted:
            return False
        if not free:
            return True
        keys = sorted({tuple(row[i] for i, _ in free) for row in wanted}, key=repr)
        values = [self.term(argument, terms).sql for _, argument in free]
        if len(values) == 1:
            listed = ", ".join(self.dialect.literal(key[0]) for key in keys)
            condition = f"{values[0]} = {listed}" if len(keys) == 1 else f"{values[0]} IN ({listed})"
            if not self.can_fail(atom):
                return _Among.of(f"({condition})", values[0], [key[0] for key in keys])
        else:
            condition = " OR ".join(
                "(" + " AND ".join(
                    f"{value} = {self.dialect.literal(part)}" for value, part in zip(values, key, strict=True)
                ) + ")"
                for key in keys
            )
        return self.coalesced(f"({condition})") if self.can_fail(atom) else f"({condition})"

    # lists of texts

    def texts(self, relation: str) -> tuple[dict[str, Truths], list[Sql]]:
        """The values of a relation with one attribute, a text: when each fixed text is one of them, and lists of those
        that depend on the case, NULL where there are none."""
        single: dict[str, Truths] = {}
        lists: list[Sql] = []
        for rule in (copy for one in self.rules.get(relation, []) for copy in self.written_out(one)):
            found, others = self.of_one_row(rule, [self.note(rule)])
            terms, conditions, rest = self.of_case(PlainRule(rule.head, tuple(others)))
            conditions = [*found, *conditions]
            head = folded(rule.head.arguments[0])
            rows = [one for one in rest if isinstance(one, Atom) and one.relation not in self.given.tables]
            base = self.base(rows[0].relation) if len(rows) == 1 else None
            is_of_rows = not self.is_of_case(head, terms)
            others = [one for one in rest if not rows or one is not rows[0]]
            if is_of_rows and base is not None and self.are_tests_of(rows[0], others, terms):
                scope = dict(terms)
                tests: list[Truths] = [*self.row_conditions(base[0], rows[0].arguments, scope, "r")]
                tests += self.among(base[1], "r")
                tests += self.tests([one for one in rest if one is not rows[0]], scope)
                condition = all_of([*tests, *([f"({self.term(head, scope).sql} IS NOT NULL)"] if self.can_fail(head)
                                              else [])])
                if condition is False or all_of(conditions) is False:
                    continue
                aggregate = self.dialect.distinct_list(
                    self.term(head, scope).sql, "TRUE" if condition is True else str(condition)
                )
                column = self.column(base[0], aggregate, condition, [self.note(rule)])
                where = all_of(conditions)
                lists.append(column if where is True else f"CASE WHEN {where} THEN {column} END")
                continue
            if is_of_rows:
                part = self.list_part(rule, terms, rest)
                if part is not None:
                    where = all_of(conditions)
                    lists.append(part if where is True else f"CASE WHEN {where} THEN {part} END")
                continue
            for group in self.groups(rest, terms):
                conditions.append(self.some_rows(group, terms, [self.note(rule)]))
            condition = all_of(conditions)
            if isinstance(head, Constant):
                single[str(head.value)] = some_of([single.get(str(head.value), False), condition])
            elif condition is not False:
                value = self.dialect.array([self.term(head, terms).sql])
                lists.append(value if condition is True else f"CASE WHEN {condition} THEN {value} END")
        return single, lists

    def list_part(self, rule: PlainRule, terms: Mapping[str, Term], rest: list[Literal]) -> Sql | None:
        """The values of a rule's head that rows joined with each other give, as a list."""
        self.uses_level = self.reads_level = 0
        sql = self.select([("v0", rule.head.arguments[0])], rest, terms)
        if sql is None:
            return None
        listed = self.dialect.distinct_list("v0", "TRUE")
        sql = f"SELECT {self.key}, {listed} AS found\nFROM (\n{_indented(sql)}\n) AS rows\nGROUP BY {self.key}"
        level = max(self.uses_level, self.reads_level)
        part = _Part(self.new("listed", rule.head.relation), sql, [self.note(rule)], level, ("found",))
        self.parts[sql] = part
        return self.q(part.name)

    # the text

    def why(self, relation: str) -> str:
        return self.identifier(f"why {open_(relation)}")

    def why_open(self, relation: str) -> list[tuple[str, Truths]]:
        """Why an input relation may be open, and for which cases of those for which it is."""
        if self.shape[relation].openness is not Openness.SOME:
            return [(NOT_STATED, True)]
        self.is_open_read = True
        column = self.q(self.why(relation))
        return [(why, f"({column} = {self.dialect.text(why)})") for why in (NOT_STATED, INCOMPLETE)]

    def script(
        self, asked: Truths, outputs: list[tuple[str, Sql]], where: Truths = True, rows_of: str | None = None,
    ) -> Script:
        """The whole script: `asked` is the condition on a request `r` whose case is decided, `outputs` are the columns
        of the last query, over the wide rows, with the rows of one relation if asked."""
        steps = [part.step(CASES) for part in self.relations.values() if part.level == 0]
        # What is true or false of rows, or of rows joined with each other, is found in one pass.
        tested = [part for part in self.parts.values() if part.level == 0 and not part.columns]
        is_asked: Sql | None = None
        has_row: dict[str, Sql] = {}
        if tested or any(grouped.truths for grouped in self.passes.values()):
            is_asked = self.bit(REQUEST, [asked], [])
            for relation in [name for name, grouped in self.passes.items() if self.is_single(name) and grouped.truths]:
                has_row[relation] = self.bit(relation, [], [])
        branches = [branch for grouped in self.passes.values() for branch in self.branches(grouped)]
        branches += [self.branch(part, CASES) for part in tested]
        if branches:
            steps += self.gathered(GATHERED, branches)
        self.bits = [bit.name for branch in branches for bit in branch.bits]
        places = {self.q(name): self.of_word(number) for number, name in enumerate(self.bits)}
        steps += [self.pass_step(grouped) for grouped in self.passes.values() if grouped.values]
        most = max([0, *(level for _, level in self.flags.values()), *(p.level for p in self.parts.values()),
                    *(p.level for p in self.relations.values())])
        read = [str(where), *(sql for _, sql in outputs), *(value for _, value, _, _ in self.layers)]
        read += [part.sql for part in (*self.parts.values(), *self.relations.values()) if part.level > 0]
        previous = CASES
        layers: list[Sql] = []
        for level in range(most + 1):
            joined = [part for part in self.parts.values() if part.level == level and part.columns]
            if level > 0:
                steps += [part.step(previous) for part in self.relations.values() if part.level == level]
                tested = [part for part in self.parts.values() if part.level == level and not part.columns]
                if tested:
                    steps += self.gathered(f"joined_rows_{level}", [self.branch(p, previous) for p in tested])
            steps += [part.step(previous) for part in joined]
            wide = _Wide(f"w.{self.key}", ["w.*"], [f"FROM {previous} AS w"])
            if level == 0:
                wide = self.wide_base(asked, places.get(is_asked or ""), any(map(self.reads_case, read)))
            elif tested:
                wide.columns += [f"{self.coalesced(self.of_word(i))} AS {self.q(part.name)}"
                                 for i, part in enumerate(tested)]
                wide.sources.append(f"LEFT JOIN joined_rows_{level} AS b ON b.{self.key} = {wide.key}")
            wide.columns += [f"p{i}.{part.columns[0]} AS {self.q(part.name)}" for i, part in enumerate(joined)]
            wide.sources += [f"LEFT JOIN {self.q(part.name)} AS p{i} ON p{i}.{self.key} = {wide.key}"
                             for i, part in enumerate(joined)]
            body = wide.select
            layers = []
            flags = [flag for flag in self.layers if flag[2] == level]
            for depth in sorted({self.depth[flag[0]][1] for flag in flags}):
                layers.append(f"layer_{len(layers) + 1} AS (\n{_indented(body)}\n)")
                body = self.layer([flag for flag in flags if self.depth[flag[0]][1] == depth], f"layer_{len(layers)}")
            if level < most:
                previous = f"level_{level}"
                steps.append(Step(previous, _with(layers, body), ()))
        layers.append(f"layer_{len(layers) + 1} AS (\n{_indented(body)}\n)")
        listed = ",\n       ".join(f"{sql} AS {self.q(name)}" for name, sql in outputs)
        ending = f"FROM layer_{len(layers)} AS w"
        if rows_of is not None:
            ending += f"\nJOIN {self.q(self.relations[rows_of].name)} AS r ON r.{self.key} = w.{self.key}"
        if where is not True:
            ending += f"\nWHERE {'FALSE' if where is False else where}"
        last = _with(layers, f"SELECT {listed}\n{ending}")
        return Script(
            tuple(self.read_by([Step(CASES, self.cases(asked), ()), *steps], last)), last,
            gathers=frozenset(name for name, grouped in self.passes.items() if grouped.truths),
            has_row={relation: places[name] for relation, name in has_row.items()}, legend=self.legend,
            width=len(self.bits) + len(self.layers), words=-(-len(self.bits) // BITS),
        )

    def of_word(self, number: int) -> Sql:
        """Whether a gathered case has the bit of this number."""
        word, bit = divmod(number, BITS)
        return f"(b.word_{word} & CAST({1 << bit} AS BIGINT) <> 0)"

    def layer(self, flags: list[tuple[str, Sql, int, list[str]]], previous: str) -> Sql:
        """One more layer of flags on the wide row."""
        lines = ["SELECT *,"]
        for i, (flag, value, _, notes) in enumerate(flags):
            lines.append(f"       -- {'; '.join(notes)}")
            lines.append(f"       {value} AS {self.q(flag)}{',' if i < len(flags) - 1 else ''}")
        return "\n".join([*lines, f"FROM {previous}"])

    def read_by(self, steps: list[Step], last: Sql) -> list[Step]:
        """Without the relations that nothing reads, and without the cases where nothing reads these."""
        kept: list[Step] = []
        droppable = {CASES: CASES, **{part.name: self.q(part.name) for part in self.relations.values()}}
        for step in reversed(steps):
            name = droppable.get(step.name)
            texts = [last, *(other.sql for other in kept)]
            if name is None or any(f"{word} {name} " in text for text in texts for word in ("JOIN", "FROM")):
                kept.append(step)
        return kept[::-1]

    def branches(self, grouped: _Pass) -> list[_Branch]:
        """The rows of a relation, and the bits they set: a branch for what each row says by itself, and one for what
        all rows of a case say together."""
        key = f"r.{self.key}"
        alone = _looked_up([_Bit(name, grouped.conditions[name], grouped.notes[name])
                            for (all_hold, _), name in grouped.truths.items() if all_hold is None])
        together = [_Bit(name, (all_hold,), grouped.notes[name])
                    for (all_hold, _), name in grouped.truths.items() if all_hold is not None]
        if together and all(bit.among is None for bit in alone):
            # All in one: fewer rows are left to gather.
            some = [(bit, all_of(bit.conditions)) for bit in alone]
            together += [replace(bit, conditions=() if test is True else (f"bool_or({test})",)) for bit, test in some]
            alone = []
        found = []
        for bits, ending in ((alone, ""), (together, f"\nGROUP BY {key}")):
            source = self.rows_from(grouped.relation, [str(all_of(bit.conditions)) for bit in bits])
            found += [_Branch(key, bits, source + ending)] if bits else []
        return found

    def branch(self, part: _Part, wide: str) -> _Branch:
        rows = _indented(part.step(wide).sql)
        return _Branch(self.key, [_Bit(part.name, (), part.notes)], f"FROM (\n{rows}\n) AS found")

    def rows_from(self, relation: str, read: list[Sql]) -> Sql:
        """The rows `r` of a relation, with the cases where one of `read` reads them."""
        source = f"FROM {self.table(relation)} AS r"
        if any(map(self.reads_case, read)):
            source += f"\nLEFT JOIN {CASES} AS c ON c.{self.key} = r.{self.key}"
        return source

    def gathered(self, name: str, branches: list[_Branch]) -> list[Step]:
        """One pass over all branches: each row sets bits of numbers, and one grouping by case gathers them. Where a
        database unites few queries at a time, each such part is gathered first."""
        size = self.dialect.most_united or len(branches)
        steps: list[Step] = []
        parts: list[tuple[str, range]] = []
        number = 0
        for start in range(0, len(branches), size):
            some = branches[start : start + size]
            end = number + sum(len(branch.bits) for branch in some)
            words = range(number // BITS, -(-end // BITS))
            selects = []
            for branch in some:
                selects.append(self.bits_of(branch, number, words))
                number += len(branch.bits)
            part = name if len(branches) <= size else f"{name}_part_{len(parts) + 1}"
            steps += self.grouped(part, selects, words)
            parts.append((part, words))
        if len(parts) > 1:
            whole = range(-(-number // BITS))
            steps += self.grouped(name, [
                f"SELECT {', '.join([self.key, *(_word(word, word in words) for word in whole)])} FROM {part}"
                for part, words in parts
            ], whole)
        return steps

    def bits_of(self, branch: _Branch, number: int, words: range) -> Sql:
        """The bits that the rows of a branch set, the first of which has this number."""
        lines = [f"SELECT {branch.key}"]
        tables = _ValueTables()
        for word in words:
            lines[-1] += ","
            # Each value that is combined, the condition under which it is, and the rules it comes from.
            chosen: dict[tuple[Sql, Truths], list[str]] = {}
            for place, bit in enumerate(branch.bits, number):
                if place // BITS != word:
                    continue
                own, said = 1 << place % BITS, "; ".join(bit.notes)
                rest = all_of(part for part in bit.conditions if part is not bit.among)
                if bit.among is None:
                    chosen[f"CAST({own} AS BIGINT)", rest] = [said]
                else:
                    column = tables.column(bit.among, own, word, rest)
                    chosen.setdefault((f"coalesce({column}, CAST(0 AS BIGINT))", rest), []).append(f"{own}: {said}")
            if not chosen:
                lines.append(f"       {_word(word, False)}")
            for i, ((value, rest), notes) in enumerate(chosen.items()):
                lines += [f"       -- {note}" for note in notes if note]
                value = value if rest is True else f"CASE WHEN {rest} THEN {value} ELSE CAST(0 AS BIGINT) END"
                lines.append(f"       {value}{' |' if i < len(chosen) - 1 else f' AS word_{word}'}")
        return "\n".join([*lines, branch.source, *tables.joins(self.dialect)])

    def grouped(self, name: str, selects: list[Sql], words: range) -> list[Step]:
        gathered = ", ".join(f"bit_or(word_{word}) AS word_{word}" for word in words)
        body = "\nUNION ALL\n".join(selects)
        made: list[Step] = []
        source = f"(\n{_indented(body)}\n) AS bits"
        if name == GATHERED and self.dialect.gathers_from_table:
            made, source = [Step(UNGATHERED, body, ())], UNGATHERED
        return [*made, Step(name, f"SELECT {self.key}, {gathered}\nFROM {source}\nGROUP BY {self.key}", ())]

    def reads_case(self, condition: Sql) -> bool:
        """Whether a condition on a row reads values of the case's single relations."""
        names = (*(name for columns in self.singles.values() for name in columns.values()), *self.computed.values())
        return any(self.q(name) in condition for name in names)

    def cases(self, asked: Truths) -> Sql:
        """The cases with the values of the relations that have one row a case, as far as they are read."""
        columns = [f"r.{self.key}"]
        sources = [f"FROM {self.table(REQUEST)} AS r"]
        for i, (relation, read) in enumerate(self.singles.items()):
            alias = "r" if relation == REQUEST else f"s{i + 1}"
            columns += [f"{alias}.{self.q(given_column(place))} AS {self.q(name)}" for place, name in read.items()]
            if relation != REQUEST:
                sources.append(f"LEFT JOIN {self.table(relation)} AS {alias} ON {alias}.{self.key} = r.{self.key}")
        select = "\n".join([f"SELECT {', '.join(columns)}", *sources, *_where(asked)])
        if not self.computed:
            return select
        values = "".join(f",\n       {sql} AS {self.q(name)}" for sql, name in self.computed.items())
        return f"SELECT *{values}\nFROM (\n{_indented(select)}\n) AS c"

    def by_case(self, grouped: _Pass) -> str:
        return f"{self.shape[grouped.relation].table}_by_case"

    def pass_step(self, grouped: _Pass) -> Step:
        """The grouped pass over the rows of a relation for what is not true or false."""
        lines = [f"SELECT r.{self.key}"]
        for aggregate, name in grouped.values.items():
            lines[-1] += ","
            lines.append(f"       -- {'; '.join(grouped.notes[name])}")
            lines.append(f"       {aggregate} AS {self.q(name)}")
        condition = some_of(all_of(grouped.conditions[name]) for name in grouped.values.values())
        where = f"\nWHERE {condition}" if condition is not True else ""
        source = self.rows_from(grouped.relation, [*grouped.values, where])
        sql = "\n".join([*lines, f"{source}{where}", f"GROUP BY r.{self.key}"])
        return Step(self.by_case(grouped), sql, ())

    def wide_base(self, asked: Truths, is_asked: Sql | None, reads_case: bool) -> _Wide:
        """The wide rows of the first level: the cases that were gathered and are asked about, or all that are asked
        about where nothing is gathered, and the values of the case if these are read."""
        wide = _Wide(f"r.{self.key}", [f"r.{self.key}"], [f"FROM {self.table(REQUEST)} AS r"], asked)
        if is_asked is not None:
            wide = _Wide(f"b.{self.key}", [f"b.{self.key}"], [f"FROM {GATHERED} AS b"], is_asked)
            wide.columns += [f"{self.of_word(number)} AS {self.q(name)}" for number, name in enumerate(self.bits)]
        if reads_case:
            wide.columns += [f"c.{self.q(name)}" for columns in self.singles.values() for name in columns.values()]
            wide.columns += [f"c.{self.q(name)}" for name in self.computed.values()]
            wide.sources.append(f"JOIN {CASES} AS c ON c.{self.key} = {wide.key}")
        for i, grouped in enumerate(one for one in self.passes.values() if one.values):
            wide.columns += [f"f{i}.{self.q(name)}" for name in grouped.values.values()]
            table = self.q(self.by_case(grouped))
            wide.sources.append(f"LEFT JOIN {table} AS f{i} ON f{i}.{self.key} = {wide.key}")
        if self.is_open_read:
            for name, given in self.shape.items():
                if given.openness is Openness.SOME:
                    column = f"o.{self.q(given.table)}"
                    wide.columns.append(f"({column} IS NOT NULL) AS {self.q(self.identifier(open_(name)))}")
                    wide.columns.append(f"{column} AS {self.q(self.why(name))}")
            wide.sources.append(f"LEFT JOIN {self.q(OPEN_TABLE)} AS o ON o.{self.key} = {wide.key}")
        return wide


_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def _order(literal: Comparison, names: Container[str]) -> tuple[str, str, str] | None:
    """The variables that a literal orders, one of `names` first, and how."""
    sides = (literal.left, literal.operator, literal.right)
    if literal.operator in _MIRRORED and isinstance(literal.right, Variable) and literal.right.name in names:
        sides = (literal.right, _MIRRORED[literal.operator], literal.left)
    left, operator, right = sides
    if operator in _MIRRORED and isinstance(left, Variable) and left.name in names and isinstance(right, Variable):
        return left.name, operator, right.name
    return None


def _looked_up(bits: list[_Bit]) -> list[_Bit]:
    """The bits, those with their condition `among` that ask for values of a column that several ask for."""
    asked: dict[Sql, list[tuple[_Bit, _Among]]] = {}
    for bit in bits:
        for part in bit.conditions:
            if isinstance(part, _Among) and part.column.startswith("r.") and not any(
                isinstance(value, Fraction) for value in part.values
            ):
                asked.setdefault(part.column, []).append((bit, part))
    chosen: dict[str, _Among] = {}
    for found in sorted(asked.values(), key=len):
        if len(found) >= LEAST_LOOKED_UP:
            chosen |= {bit.name: part for bit, part in found}
    return [replace(bit, among=chosen.get(bit.name)) for bit in bits]


def _in_order(
    body: Iterable[Literal], bound: Iterable[str], whole: tuple[Literal, ...] | None = None
) -> list[Literal]:
    """The literals in an order in which each can be evaluated. A count of what a case says gives no variable a value:
    it comes when all else is bound."""
    literals = tuple(body)
    counts = [literal for literal in literals if counted_atom(literal) is not None]
    others = [literal for literal in literals if counted_atom(literal) is None]
    return [*in_order(others, frozenset(bound), literals if whole is None else whole), *counts]


def _word(word: int, is_given: bool) -> Sql:
    """A word of bits, all of them 0 where it is not given."""
    return f"word_{word}" if is_given else f"CAST(0 AS BIGINT) AS word_{word}"


def _where(condition: Truths) -> list[Sql]:
    return [] if condition is True else [f"WHERE {'FALSE' if condition is False else condition}"]


def _with(layers: list[Sql], body: Sql) -> Sql:
    return f"WITH {(',' + chr(10)).join(layers)}\n{body}" if layers else body


def _kind_of(value: object) -> str:
    return SYMBOL if isinstance(value, str) else FLOAT if isinstance(value, Fraction) else NUMBER


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))
