"""Random programs about a case, random cases for them, and random worlds that a case stands for.

A program passes the checker by construction: every variable of a rule is bound by a positive atom or an equation, the
derived relations stand in an order, and each reads only earlier ones. It is small, its values are few, and its case
relations are of every sort: open, closed, single, always open, without attributes. There are decimal numbers, texts
whose letter case is ignored and which are written in several ways, and names that an engine might take for its own. One
description serves two sources of randomness, as in `tests.strategies.cases`.

A *world* settles what a case leaves unknown: the rows of every input relation, and for each firing of a `@[possible]`
rule (an instance of its head) whether it counts. Programs are evaluated in a world as they are written.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product
from types import MappingProxyType

from hypothesis import strategies as st

from policy_kb.dates import format_date, parse_date
from policy_kb.evaluate.plain import Row
from policy_kb.parse.tree import Value
from policy_kb.text import folded, normal
from tests.strategies.cases import Document, Draw, HypothesisDraw, RandomDraw
from tests.strategies.texts import cases_of, variants

NUMBER, FLOAT, SYMBOL, DATE = "number", "float", "symbol", "Date"
VALUES: Mapping[str, tuple[Value, ...]] = MappingProxyType({
    NUMBER: (1, 0, 2), FLOAT: tuple(map(Fraction, ("1", "0.1", "0.3", "2.5"))), SYMBOL: ("p", "\u00e9'"),
    DATE: tuple(map(parse_date, ("2025-02-28", "2024-02-29", "2025-03-31"))),
})
"""The values that programs and cases mention. The first date is a month before the last, a year after the second; three
times 0.1 is 0.3, which no binary float is; the second text is written with one letter or with two signs."""

UNSEEN: Mapping[str, tuple[Value, ...]] = MappingProxyType({
    NUMBER: (7, -3), FLOAT: tuple(map(Fraction, ("0.2", "-3.25"))), SYMBOL: ("r", "s"),
    DATE: tuple(map(parse_date, ("2023-12-31", "2025-03-01"))),
})
"""Values that only open relations may have."""

ODD_NAMES = (
    *("select", "Select", "SELECT", "stopped", "answer", "answers", "decision", "open", "certain", "missing"),
    *("notices", "r1", "R1", "t0", "T0", "a", "A", "x?", "x", "X?", "order", "by", "group", "value", "rowid"),
    *("is_open", "_open", "criteria", "main", "null", "has", "fires", "given", "c0", "n"),
)
"""Names that differ in letter case alone, words of SQL, and names that an engine might have given."""

DATES = (
    ".type Date <: number",
    ".functor date(written: symbol): Date",
    ".functor months_before(day: Date, months: number): Date",
    ".functor months_after(day: Date, months: number): Date",
    ".functor year(day: Date): number",
)
"""What `vocabulary/dates.dl` declares: a program here is one text without files."""

ROUNDED = ("@rounded", "@rounded_up", "@rounded_down")
ROUNDING = tuple(f".functor {name[1:]}(value: float, digits: number): float" for name in ROUNDED)
"""What `vocabulary/numbers.dl` declares."""

CASE = "A-1"
REQUEST: Mapping[str, Value] = MappingProxyType({"drug": "p", "phase": "q", "received": 1})
PHASE = "treatment"


@dataclass(frozen=True)
class Input:
    """An input relation of a case; `kinds` are those of its attributes behind the case."""

    name: str
    kinds: tuple[str, ...]
    is_closed: bool = False
    is_single: bool = False
    is_required: bool = False
    is_always_open: bool = False
    named: tuple[str, ...] | None = None
    """The names of these attributes, where they are not those that random programs give them."""
    texts_of_any_case: frozenset[int] = frozenset()
    """The places of those of these attributes whose letter case is ignored."""
    limits: tuple[tuple[int, str, Value], ...] = ()
    """The least (`at_least`) or the greatest value (`at_most`) that some of these attributes allow, by their places."""
    listed: frozenset[int] = frozenset()
    """The places of those of which no text is allowed but those that programs and cases mention."""

    def allowed(self, place: int, values: Mapping[str, Sequence[Value]]) -> list[Value]:
        """Those of some values that an attribute allows."""
        kind = self.kinds[place]
        return [
            value for value in values[kind] if (place not in self.listed or value in VALUES[kind]) and all(
                value >= limit if which == "at_least" else value <= limit  # type: ignore[operator]
                for own, which, limit in self.limits if own == place
            )
        ]

    def annotation(self, place: int) -> str:
        """What stands before an attribute."""
        kind = self.kinds[place]
        said = [f"@[{which}({_constant(limit, kind)})] " for own, which, limit in self.limits if own == place]
        said += ["@[any_case] "] if place in self.texts_of_any_case else []
        listed = ", ".join(_constant(value, kind) for value in VALUES[kind])
        said += [f"@[one_of({listed})] "] if place in self.listed else []
        return "".join(said)

    @property
    def attributes(self) -> tuple[str, ...]:
        return self.named or tuple(f"{self.name}_{place}" for place in range(len(self.kinds)))

    def rows(self, values: Mapping[str, Sequence[Value]]) -> list[Row]:
        """Every row of these values, without the case."""
        return list(product(*(self.allowed(place, values) for place in range(len(self.kinds)))))


@dataclass(frozen=True)
class RandomProgram:
    """`items` are the text's declarations, facts and rules, in an order of which nothing depends."""

    items: tuple[str, ...]
    inputs: tuple[Input, ...]
    root: str

    @property
    def has_dates(self) -> bool:
        return DATES[0] in self.items

    @property
    def has_decimals(self) -> bool:
        return ROUNDING[0] in self.items

    @property
    def text(self) -> str:
        return "\n".join(self.items) + "\n"


# --- programs --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vocabulary:
    """What the rules of a program may use. `exotic`: texts, division and aggregates over known relations as well;
    `is_small`: rules are short, so that it shows what each literal does."""

    known: Mapping[str, tuple[str, ...]]
    about_case: dict[str, tuple[str, ...]]
    exotic: bool
    is_small: bool
    kinds: tuple[str, ...] = (NUMBER, SYMBOL)


@dataclass
class _Body:
    """A rule's body while it is made. `bound` are its variables so far, each with its kind; `reads` are the case
    relations it mentions; `is_grounded`: it has a positive atom about the case."""

    draw: Draw
    vocabulary: Vocabulary
    prefix: str = "x"
    bound: dict[str, str] = field(default_factory=dict)
    literals: list[str] = field(default_factory=list)
    reads: set[str] = field(default_factory=set)
    is_grounded: bool = False
    summed: set[str] = field(default_factory=set)
    """Variables that an aggregate binds: no count may be compared with them."""

    def inner(self, prefix: str) -> _Body:
        """The body of an aggregate."""
        return _Body(self.draw, self.vocabulary, prefix, dict(self.bound), reads=self.reads)

    def constant(self, kind: str) -> str:
        return _constant(self.draw.pick(VALUES[kind]), kind)

    def variables(self, kind: str) -> list[str]:
        return [name for name, own in self.bound.items() if own == kind]

    def expression(self, kind: str) -> str:
        """A value made of bound variables and constants."""
        draw, variables = self.draw, self.variables(kind)
        if self.vocabulary.exotic and kind != DATE and draw.chance(10):
            return self.converted(kind)
        if kind == NUMBER and self.variables(DATE) and draw.chance(15):
            return f"@year({draw.pick(self.variables(DATE))})"
        if kind == FLOAT and variables and draw.chance(40):
            return self.decimal(draw.pick(variables))
        if not variables or draw.chance(15):
            return self.constant(kind)
        variable = draw.pick(variables)
        if kind == NUMBER and draw.chance(20):
            operator = draw.pick(("+", "-", "*", "/", "%") if self.vocabulary.exotic else ("+", "-"))
            other = draw.pick(variables) if draw.chance(40) else draw.pick(("1", "2"))
            return f"{variable} {operator} {other}"
        if kind == DATE and draw.chance(30):
            months = self.expression(NUMBER) if self.vocabulary.exotic else draw.pick(("1", "12", "2"))
            return f"{draw.pick(('@months_before', '@months_after'))}({variable}, {months})"
        if kind == SYMBOL and self.vocabulary.exotic and draw.chance(20):
            return f"cat({variable}, {draw.pick(variables)})"
        return variable

    def decimal(self, variable: str) -> str:
        """A float made of one, of whole numbers and of constants."""
        draw, numbers = self.draw, self.variables(NUMBER)
        exotic = self.vocabulary.exotic
        if exotic and draw.chance(20):
            return f"{draw.pick(ROUNDED)}({variable}, {draw.pick(('0', '1', '2'))})"
        operator = draw.pick(("+", "-", "*", "/") if exotic else ("+", "-", "*"))
        other = draw.pick((self.constant(FLOAT), draw.pick(self.variables(FLOAT)), *numbers[:1],
                           *(f"to_float({one})" for one in numbers[:1])))
        return f"{other} {operator} {variable}" if draw.chance(30) else f"{variable} {operator} {other}"

    def converted(self, kind: str) -> str:
        """A number made of a text, or the other way round."""
        if kind == FLOAT:
            return f"to_float({self.expression(NUMBER)})"
        other = SYMBOL if kind == NUMBER else NUMBER
        variables = self.variables(other)
        value = self.draw.pick(variables) if variables else self.constant(other)
        if kind == SYMBOL:
            return self.draw.pick((f"to_string({value})", f'substr("pq", {value}, 1)'))
        return self.draw.pick((f"strlen({value})", f"to_number(to_string({self.expression(NUMBER)}))"))

    def atom(self, name: str, kinds: tuple[str, ...], is_about_case: bool, wildcards: bool = True) -> str:
        """A positive atom; it binds the variables it names."""
        draw = self.draw
        arguments: list[str] = []
        new: dict[str, str] = {}
        for kind in kinds:
            known = [*self.variables(kind), *(name_ for name_, own in new.items() if own == kind)]
            how = draw.integer(0, 99)
            if how < 35 and known and not (self.vocabulary.is_small and draw.chance(50)):
                arguments.append(draw.pick(known))
            elif how < 55 and wildcards:
                arguments.append("_")
            elif how < 68 and not self.vocabulary.is_small:
                arguments.append(self.constant(kind))
            elif how < 73 and self.variables(kind):
                arguments.append(self.expression(kind))
            else:
                name_ = self.fresh(kind, new)
                new[name_] = kind
                arguments.append(name_)
        self.bound.update(new)
        return _written(name, (["case"] if is_about_case else []) + arguments)

    def fresh(self, kind: str, taken: Mapping[str, str] = MappingProxyType({})) -> str:
        """A new variable; within a rule, a name has one kind."""
        return f"{self.prefix}{len(self.bound) + len(taken)}_{kind[0].lower()}"

    def add_positive(self, share_of_known: int = 25, wildcards: bool = True) -> None:
        draw = self.draw
        if self.vocabulary.known and draw.chance(share_of_known):
            name = draw.pick(tuple(self.vocabulary.known))
            self.literals.append(self.atom(name, self.vocabulary.known[name], False, wildcards))
        else:
            name = draw.pick(tuple(self.vocabulary.about_case))
            self.literals.append(self.atom(name, self.vocabulary.about_case[name], True, wildcards))
            self.reads.add(name)
            self.is_grounded = True

    def add_negation(self) -> None:
        draw = self.draw
        is_known = bool(self.vocabulary.known) and draw.chance(20)
        relations = self.vocabulary.known if is_known else self.vocabulary.about_case
        name = draw.pick(tuple(relations))
        if not is_known:
            self.reads.add(name)
        arguments = [] if is_known else ["case"]
        arguments += ["_" if draw.chance(30) else self.expression(kind) for kind in relations[name]]
        self.literals.append("!" + _written(name, arguments))

    def add_comparison(self) -> None:
        draw = self.draw
        kind = draw.pick(self.vocabulary.kinds)
        variables = self.variables(kind)
        left = draw.pick(variables) if variables else self.expression(kind)
        right = self.constant(kind) if draw.chance(50) else self.expression(kind)
        if kind == FLOAT and draw.chance(20):
            right = self.expression(NUMBER)
        if kind == SYMBOL and self.vocabulary.exotic and draw.chance(40):
            test = draw.pick(("contains", "match", "!contains", "!match"))
            self.literals.append(f"{test}({left}, {right})")
        elif kind == SYMBOL and not self.vocabulary.exotic:
            self.literals.append(f"{left} {draw.pick(('!=', '='))} {right}")
        else:
            self.literals.append(f"{left} {draw.pick(('!=', '=', '<', '<=', '>', '>='))} {right}")

    def add_equation(self) -> None:
        kind = self.draw.pick(self.vocabulary.kinds)
        value = self.expression(kind)
        if self.vocabulary.exotic and kind == NUMBER and self.vocabulary.known and self.draw.chance(30):
            value = self.aggregate()
        name = self.fresh(kind)
        if ":" in value or any(summed in value for summed in self.summed):
            self.summed.add(name)
        self.bound[name] = kind
        self.literals.append(f"{value} = {name}" if self.draw.chance(30) else f"{name} = {value}")

    def aggregate(self) -> str:
        """A sum, a least or greatest value or a number of rows of known relations."""
        inner = self.inner("k")
        inner.add_positive(share_of_known=100)
        if self.draw.chance(30):
            inner.add_comparison()
        if self.draw.chance(20):
            inner.literals.append(f"{inner.aggregate()} >= {self.constant(NUMBER)}")
        numbers = [name for name in inner.variables(NUMBER) if name not in self.bound]
        function = self.draw.pick(("count", "sum", "min", "max")) if numbers else "count"
        target = "" if function == "count" else f" {self.draw.pick(numbers)}"
        return f"{function}{target} : {{ {', '.join(inner.literals)} }}"

    def add_count(self) -> None:
        draw = self.draw
        inner = self.inner("y")
        atoms = draw.pick((1, 1, 1, 2) if self.vocabulary.is_small else (1, 1, 2, 0))
        for _ in range(atoms):
            inner.add_positive(share_of_known=15, wildcards=atoms == 1)
        if atoms == 0 or draw.chance(20):
            inner.add_negation()
        if draw.chance(20):
            inner.add_comparison()
        own = [name for name, kind in inner.bound.items() if kind == NUMBER and name not in self.bound]
        if own and draw.chance(10):
            inner.literals.append(f"y_n = {draw.pick(own)} + 1")
        kind = draw.integer(0, 99)
        numbers = [name for name in self.variables(NUMBER) if name not in self.summed]
        if kind < 65 or not numbers:
            bound = str(draw.pick((1, 2, 1, 0, 2, 3)))
        else:
            bound = draw.pick(numbers) + draw.pick(("", "", " + 1", f" - {draw.pick(numbers)}"))
        operator = draw.pick((">=", "<", "=", "!=", "<=", ">"))
        count = f"count : {{ {', '.join(inner.literals)} }}"
        self.literals.append(f"{bound} {operator} {count}" if draw.chance(35) else f"{count} {operator} {bound}")


def _constant(value: Value, kind: str) -> str:
    if kind == DATE:
        return f'@date("{format_date(int(value))}")'
    if kind == FLOAT:
        return _decimal(value)
    return f'"{value}"' if isinstance(value, str) else str(value)


def _decimal(value: Value) -> str:
    """A decimal as rules and cases write it."""
    return str(float(value))


def _written(name: str, arguments: Sequence[str]) -> str:
    return f"{name}({', '.join(arguments)})"


def _declared(name: str, attributes: Sequence[tuple[str, str]], *annotations: str) -> str:
    places = ", ".join(f"{attribute}: {kind}" for attribute, kind in attributes)
    return "".join(f"@[{annotation}] " for annotation in annotations) + f".decl {name}({places})"


def _known_relations(draw: Draw, items: list[str], used: Sequence[str]) -> dict[str, tuple[str, ...]]:
    known: dict[str, tuple[str, ...]] = {}
    relations: dict[str, tuple[str, ...]] = {
        "limit": (NUMBER,), "listed": (SYMBOL, NUMBER), "step": (NUMBER, NUMBER), "due": (SYMBOL, DATE),
        "dosed": (SYMBOL, FLOAT),
    }
    for name, kinds in relations.items():
        if not set(kinds) <= set(used) or not draw.chance(60):
            continue
        known[name] = kinds
        items.append(_declared(name, [(f"{name}_{place}", kind) for place, kind in enumerate(kinds)]))
        for _ in range(draw.integer(1, 3)):
            items.append(_written(name, [_constant(draw.pick(VALUES[kind]), kind) for kind in kinds]) + ".")
    if "step" in known and draw.chance(50):
        known["reached"] = (NUMBER, NUMBER)
        items += [
            _declared("reached", [("start", NUMBER), ("end", NUMBER)]),
            "reached(start, end) :- step(start, end).",
            "reached(start, end) :- reached(start, middle), step(middle, end).",
        ]
    return known


def _input_relations(
    draw: Draw, items: list[str], most: int, always_open: bool, used: Sequence[str], names: list[str]
) -> list[Input]:
    inputs: list[Input] = []
    for number in range(draw.integer(1, most)):
        kinds = tuple(draw.pick(used) for _ in range(draw.pick((1, 1, 2, 1, 0))))
        sort = draw.integer(0, 99)
        name = _name(draw, names, f"a{number}")
        relation = Input(
            name,
            kinds,
            is_closed=45 <= sort < 65 or 80 <= sort < 92,
            is_single=sort >= 80,
            is_required=40 <= sort < 45 or sort >= 97,
            is_always_open=always_open and 65 <= sort < 80,
            named=tuple(_some_names(draw, len(kinds))) if name in ODD_NAMES else None,
            texts_of_any_case=frozenset(n for n, kind in enumerate(kinds) if kind == SYMBOL and draw.chance(20)),
            limits=tuple(
                (place, which, draw.pick(sorted(VALUES[kind])[1:] if which == "at_most" else sorted(VALUES[kind])[:-1]))
                for place, kind in enumerate(kinds) if kind in (NUMBER, FLOAT)
                for which in draw.pick((("at_least",), ("at_most",), (), ()))
            ),
        )
        relation = replace(relation, listed=frozenset(
            place for place, kind in enumerate(kinds)
            if kind == SYMBOL and place not in relation.texts_of_any_case and draw.chance(25)
        ))
        if not kinds:
            relation = Input(relation.name, kinds, is_closed=relation.is_closed and not relation.is_single)
        inputs.append(relation)
        annotations = [f'ask("Is there {relation.name}?")']
        annotations += ["closed"] if relation.is_closed else []
        annotations += ["single"] if relation.is_single else []
        annotations += ["required"] if relation.is_required else []
        annotations += ['always_open("document")'] if relation.is_always_open else []
        attributes = [("case", "Case"), *(
            (f"{relation.annotation(place)}{name}", kinds[place])
            for place, name in enumerate(relation.attributes)
        )]
        items += [_declared(relation.name, attributes, *annotations), f".input {relation.name}"]
    return inputs


def _name(draw: Draw, names: list[str], plain: str) -> str:
    """One of the odd names that are left, if there are any."""
    return names.pop(draw.integer(0, len(names) - 1)) if names else plain


def _some_names(draw: Draw, number: int) -> list[str]:
    names = list(ODD_NAMES)
    return [_name(draw, names, "") for _ in range(number)]


@dataclass
class _Derived:
    name: str
    kinds: tuple[str, ...]
    rules: list[tuple[str, bool]]
    """The text of each rule, and whether it is `@[possible]`."""
    reads: set[str]


def _derived_relation(draw: Draw, vocabulary: Vocabulary, name: str, kinds: tuple[str, ...]) -> _Derived:
    result = _Derived(name, kinds, [], set())
    is_small = vocabulary.is_small
    for _ in range(draw.pick((1, 1, 2) if is_small else (1, 2, 1, 3))):
        body = _Body(draw, vocabulary)
        for _ in range(draw.pick((1, 0, 1, 2) if is_small else (1, 2, 1, 0, 3))):
            body.add_positive()
        for _ in range(draw.pick((1, 1, 2) if is_small else (1, 0, 2)) if body.literals else 1):
            draw.pick((body.add_negation, body.add_comparison, body.add_count, body.add_count, body.add_equation))()
        if draw.chance(4):
            body.literals.append(draw.pick(("true", "false")))
        heads = [
            _written(name, ["case", *(body.expression(kind) for kind in kinds)])
            for _ in range(2 if kinds and draw.chance(6) else 1)
        ]
        if not body.is_grounded:
            body.literals.insert(0, "request(case, _, _, _)")
        literals = body.literals
        if draw.chance(20):
            literals = [*literals[1:], literals[0]]
        result.reads.update(body.reads)
        result.rules.append((f"{', '.join(heads)} :- {', '.join(literals)}.", draw.chance(12)))
    return result


def build_program(draw: Draw, exotic: bool = False, always_open: bool = True) -> RandomProgram:
    """One program that the checker accepts, of one phase, with criteria on relations and on rules.

    `exotic` and `always_open`: whether it may have texts, division and aggregates over known relations, and relations
    that are `@[always_open]`.
    """
    items = [
        ".type Case <: symbol",
        '@[ask("What is asked for?")] @[single] .decl request(case: Case, drug: symbol, phase: symbol, '
        "received: number)",
        ".input request",
    ]
    is_small = draw.chance(60)
    kinds_used: tuple[str, ...] = (NUMBER, SYMBOL)
    if draw.chance(30):
        kinds_used = (*kinds_used, DATE)
        items += DATES
    if draw.chance(30):
        kinds_used = (*kinds_used, FLOAT)
        items += ROUNDING
    names = list(ODD_NAMES) if draw.chance(25) else []
    known = {} if is_small and draw.chance(60) else _known_relations(draw, items, kinds_used)
    inputs = _input_relations(draw, items, 2 if is_small else 4, always_open, kinds_used, names)
    vocabulary = Vocabulary(known, {one.name: one.kinds for one in inputs}, exotic, is_small, kinds_used)
    derived: list[_Derived] = []
    for number in range(draw.integer(1, 2 if is_small else 4)):
        kinds = tuple(draw.pick(kinds_used) for _ in range(draw.pick((0, 1, 1, 2))))
        derived.append(_derived_relation(draw, vocabulary, _name(draw, names, f"d{number}"), kinds))
        vocabulary.about_case[derived[-1].name] = kinds
    # The root reads what was derived last, so that most of the program matters.
    late = dict(reversed(list(vocabulary.about_case.items())[-3:]))
    root = _derived_relation(draw, Vocabulary(known, late, exotic, is_small, kinds_used), "decided", ())
    reached = _reached(root, derived)
    for place, relation in enumerate((*derived, root)):
        items += _with_annotations(draw, relation, f"d{place}", relation.name in reached, relation is root)
    return RandomProgram(tuple(items), tuple(inputs), root.name)


def _reached(root: _Derived, derived: Sequence[_Derived]) -> set[str]:
    by_name = {relation.name: relation for relation in derived}
    found, waiting = {root.name}, [*root.reads]
    while waiting:
        name = waiting.pop()
        if name not in found and name in by_name:
            waiting += by_name[name].reads
            found.add(name)
    return found


def _with_annotations(
    draw: Draw, relation: _Derived, paragraph: str, is_reached: bool, is_root: bool
) -> Iterator[str]:
    attributes = [("case", "Case"), *((f"{relation.name}_{n}", kind) for n, kind in enumerate(relation.kinds))]
    annotations = []
    if is_root:
        annotations.append(f'policy("T-1", phase = "{PHASE}", title = "A test", revised = "2025-07-15")')
    if is_reached and draw.chance(60):
        annotations.append(f'criterion("{PHASE} {paragraph}")')
    yield _declared(relation.name, attributes, *annotations)
    for number, (rule, is_possible) in enumerate(relation.rules):
        before = ""
        if is_possible:
            before += f'/// Does rule {number} count?\n@[possible("judgement")]\n'
        if is_reached and draw.chance(40):
            before += f'@[criterion("{PHASE} {paragraph}.{number}")]\n'
        yield before + rule


# --- cases -----------------------------------------------------------------------------------------------------------


def _entry(relation: Input, row: Row) -> Document:
    return {
        attribute: format_date(int(value)) if kind == DATE else float(value) if kind == FLOAT else value
        for attribute, kind, value in zip(relation.attributes, relation.kinds, row, strict=True)
    }


def _respelled(draw: Draw, relation: Input, entry: Document) -> None:
    """Write some of the texts of a row in another way that is the same."""
    for place, attribute in enumerate(relation.attributes):
        value = entry[attribute]
        if isinstance(value, str) and draw.chance(30):
            written = draw.pick(variants(value))
            entry[attribute] = draw.pick(cases_of(written)) if place in relation.texts_of_any_case else written


def _rows(draw: Draw, relation: Input, values: Mapping[str, Sequence[Value]], most: int = 3) -> list[Row]:
    number = draw.integer(0 if most == 0 else 1, 1) if relation.is_single else draw.integer(0, most)
    return [tuple(draw.pick(relation.allowed(place, values)) for place in range(len(relation.kinds)))
            for _ in range(number)]


def build_case(draw: Draw, program: RandomProgram, name: str = CASE, sure: bool = False) -> Document:
    """A case of the program. `sure`: nothing is uncertain, incomplete or left out."""
    document: Document = {"case": name, "request": dict(REQUEST)}
    if sure or draw.chance(25):
        document["record"] = "complete"
    incomplete = []
    for relation in program.inputs:
        if not relation.kinds:
            if draw.chance(60):
                document[relation.name] = draw.chance(50)
            continue
        if not relation.is_required and not draw.chance(65):
            if not relation.is_single and not sure and draw.chance(20):
                incomplete.append(relation.name)
            continue
        rows: list[Document] = [_entry(relation, row) for row in _rows(draw, relation, VALUES)]
        for row in rows:
            _respelled(draw, relation, row)
        if not relation.is_single and not sure:
            for row in rows:
                if draw.chance(45):
                    row["uncertain"] = True
            if draw.chance(15):
                incomplete.append(relation.name)
        if relation.is_single:
            document[relation.name] = rows[0] if relation.is_required or draw.chance(80) else []
        else:
            document[relation.name] = rows
    if incomplete:
        document["incomplete"] = incomplete
    return document


def is_open(relation: Input, document: Mapping[str, object]) -> bool:
    """Whether the case leaves room for rows that it does not mention."""
    incomplete = document.get("incomplete", [])
    if relation.is_always_open or (isinstance(incomplete, list) and relation.name in incomplete):
        return True
    is_stated = relation.name in document or document.get("record") == "complete" or relation.is_closed
    return not is_stated


def stated_rows(relation: Input, document: Mapping[str, object]) -> list[tuple[Row, bool]]:
    """The rows that a case gives, without the case, and whether each is certain."""
    value = document.get(relation.name, [])
    if isinstance(value, bool):
        return [((), True)] if value else []
    result: dict[Row, bool] = {}
    for entry in value if isinstance(value, list) else [value]:
        if not isinstance(entry, dict):  # as a case may write a row of one attribute
            entry = dict(zip(relation.attributes, [entry], strict=True))
        row = tuple(
            _value(entry[name], kind, place in relation.texts_of_any_case)
            for place, (name, kind) in enumerate(zip(relation.attributes, relation.kinds, strict=True))
        )
        result[row] = result.get(row, False) or "uncertain" not in entry
    return list(result.items())


def _value(written: object, kind: str, ignores_case: bool) -> Value:
    """A value of a case as rules have it."""
    match kind:
        case "Date":
            return parse_date(normal(str(written)))
        case "float":
            return Fraction(str(written))
        case "symbol":
            return folded(normal(str(written))) if ignores_case else normal(str(written))
    assert isinstance(written, int)
    return written


def build_world(draw: Draw, program: RandomProgram, document: Document) -> dict[str, set[Row]]:
    """The rows, the case first, that the inputs have in a world of the case: one that it does not rule out."""
    name = str(document["case"])
    world: dict[str, set[Row]] = {"request": {(name, *REQUEST.values())}}
    for relation in program.inputs:
        rows = {row for row, is_certain in stated_rows(relation, document) if is_certain or draw.chance(50)}
        if is_open(relation, document):
            values = {kind: (*VALUES[kind], *UNSEEN[kind]) for kind in VALUES}
            rows |= set(_rows(draw, relation, values, draw.pick((3, 0, 1, 8))))
        world[relation.name] = {(name, *row) for row in rows}
    return world


def build_better_case(draw: Draw, program: RandomProgram, document: Document) -> Document:
    """The case with some of what it leaves unknown settled, as a case can say it."""
    better: Document = dict(document)
    world = build_world(draw, program, document)
    incomplete = [str(name) for name in document.get("incomplete", [])]  # type: ignore[attr-defined]
    for relation in program.inputs:
        if not draw.chance(60):
            continue
        rows = sorted({row[1:] for row in world[relation.name]}, key=repr)
        if not relation.kinds:
            if is_open(relation, document):
                better[relation.name] = bool(rows)
        elif is_open(relation, document) or relation.name in document:
            better[relation.name] = [_entry(relation, row) for row in rows]
            incomplete = [name for name in incomplete if name != relation.name]
    better.pop("incomplete", None)
    if incomplete:
        better["incomplete"] = incomplete
    return better


# --- what tests use --------------------------------------------------------------------------------------------------


@st.composite
def programs(draw: st.DrawFn, exotic: bool = False) -> RandomProgram:
    """Programs that the checker accepts."""
    return build_program(HypothesisDraw(draw), exotic)


@st.composite
def cases(draw: st.DrawFn, program: RandomProgram, name: str = CASE, sure: bool = False) -> Document:
    """Cases of a program."""
    return build_case(HypothesisDraw(draw), program, name, sure)


def random_program(source: random.Random, exotic: bool = False) -> RandomProgram:
    """A program like those of `programs`, fast."""
    return build_program(RandomDraw(source), exotic)


def random_case(source: random.Random, program: RandomProgram, name: str = CASE, sure: bool = False) -> Document:
    """A case like those of `cases`, fast."""
    return build_case(RandomDraw(source), program, name, sure)


def random_world(source: random.Random, program: RandomProgram, document: Document) -> dict[str, set[Row]]:
    """A world of a case, fast."""
    return build_world(RandomDraw(source), program, document)


def random_better_case(source: random.Random, program: RandomProgram, document: Document) -> Document:
    """A case that says more, fast."""
    return build_better_case(RandomDraw(source), program, document)
