"""How an explanation names rows and expressions: words for a reader, on which nothing else depends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from policy_kb import numbers
from policy_kb.check.checked import Attribute, Relation, Rule
from policy_kb.dates import format_date
from policy_kb.explain.phrasing import EMPTY, Phrase, Place, Saying, phrase, places_of, with_unit
from policy_kb.parse import tree
from policy_kb.parse.tree import Value

if TYPE_CHECKING:
    from policy_kb.load.facts import Written

_MOST_ROWS = 5
"""Rows that a question names; of others it says how many there are."""

NO_VALUE = "no value"
"""What stands for the value of an expression that has none: the least of no rows, a division by zero."""


def shown(value: Value | None, attribute: Attribute | None = None, text: str | None = None) -> str:
    """A value as a reader writes it: a date as year-month-day, a float with as many digits as needed; or the `text`
    that the case writes for it (see `Written`)."""
    if text is not None:
        return text
    if attribute is not None and attribute.is_date and isinstance(value, int):
        return format_date(value)
    if isinstance(value, Fraction):
        return numbers.shown(value)
    if value is None:
        if attribute is None or attribute.kind != "symbol":
            return "any date" if attribute is not None and attribute.is_date else "any"
        return f"any {attribute.name.replace('_', ' ')}"
    return str(value) if value != "" else EMPTY


def sentence(relation: Relation, values: Sequence[Value | None], written: Written | None = None) -> str:
    """A row of a relation in the words of its declaration; what does not matter (None) is left out, or `any ...`.
    `written`: how the case writes its values."""
    said = said_of(relation, values, written)
    return said.text if said.is_sentence else f"{said.text} is on record"


def said_of(relation: Relation, values: Sequence[Value | None], written: Written | None = None) -> Phrase:
    """A row of a relation in the words of its declaration, or, where too few of its values are known for a sentence, a
    noun; one made of the names where there is no doc comment, or it gives none."""
    texts = written.row(relation, values) if written is not None else (None,) * len(values)
    places = {attribute.name: place_of(attribute, value, text)
              for attribute, value, text in zip(relation.attributes, values, texts, strict=True)}
    said = phrase(relation.sentence, places) if relation.sentence else None
    if said is not None:
        return said
    others = [(places[attribute.name], attribute) for attribute in relation.attributes[relation.is_case :]]
    name = name_of(relation)
    if None not in [place.text for place, _ in others]:
        return Phrase(f"{name}{': ' if others else ''}{', '.join(_with_unit(place) for place, _ in others)}")
    known = [f"{place.words} {_with_unit(place)}" for place, _ in others if place.text is not None]
    return Phrase(f"{name} ({', '.join(known)})" if known else name, is_sentence=False)


def name_of(relation: Relation) -> str:
    """The name of a relation in words, capitals as its sentence or its question has them: `HIV test`."""
    spelled = {word.lower(): word for word in re.findall(r"\w+", f"{relation.sentence} {relation.ask or ''}")
               if sum(map(str.isupper, word)) > 1}
    return " ".join(spelled.get(word, word) for word in in_words(relation.name).split())


def place_of(attribute: Attribute, value: Value | None, text: str | None = None) -> Place:
    """What a sentence says in the place of an attribute."""
    return Place(
        None if value is None else shown(value, attribute, text), in_words(attribute.name),
        attribute.kind != "symbol" and not attribute.is_date, attribute.is_date, attribute.unit or "",
    )


def _with_unit(place: Place) -> str:
    return with_unit(place.text or "", place.unit) if place.unit else place.text or ""


def in_words(name: str) -> str:
    """A name of a rule file as a reader reads it; of a variable that the checker told apart from another, without the
    mark."""
    return name.partition("#")[0].replace("_", " ")


def so_asked(relation: Relation) -> str:
    """The question of a relation that has none of its own."""
    return f"Is it so that {sentence(relation, (None,) * relation.arity)}?"


class Sentences:
    """The sentences of all relations, in the words of their declarations, their values as one case has written them."""

    def __init__(self, relations: Mapping[str, Relation], written: Written):
        self.relations, self.written = relations, written

    def of(self, relation: str, values: Sequence[Value | None]) -> str:
        return sentence(self.relations[relation], values, self.written)

    def said(self, relation: str, values: Sequence[Value | None]) -> Phrase:
        """As `said_of`."""
        return said_of(self.relations[relation], values, self.written)


def doubt_question(relation: Relation, rows: Iterable[tuple[Value, ...]], written: Written) -> str:
    """The question that uncertain rows put."""
    all_rows = sorted(rows)
    says = "; that ".join(sentence(relation, row, written) for row in all_rows[:_MOST_ROWS])
    more = f"; and {len(all_rows) - _MOST_ROWS} more of the kind" if len(all_rows) > _MOST_ROWS else ""
    return f"Is it certain that {says}{more}?"


def waiting_question(
    relation: Relation, ask: str, wanted: Iterable[Sequence[Value | None]], written: Written
) -> str:
    """The question that a relation puts of which more can always come, with the values that are waited for."""
    values = ", ".join(
        "/".join(list(map(shown, one, relation.attributes, written.row(relation, one)))[1:])
        for one in wanted
        if None not in one
    )
    return f"{ask} ({values})" if values else ask


def json_value(value: Value | None) -> int | float | str | None:
    """A value as JSON holds it: a float that is no decimal number, or one of very many digits, is text (`1/3`)."""
    return numbers.in_json(value) if isinstance(value, Fraction) else value


_STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2}
_REGROUPED = {("+", "+"), ("+", "-")}
"""Operators with the operator of a right operand that may do without brackets."""


def written(
    expression: tree.Expression, environment: Mapping[str, Value] = {}, called: Mapping[str, str] = {}
) -> str:
    """An expression as an explanation names it: a variable by its words, or as it is `called`, a constant by its value,
    a number of months by the number in `environment`; with brackets where it would be another expression without
    them."""
    def operand(inner: tree.Expression, strength: int = 3) -> str:
        """An expression within another one that binds its operands so strongly."""
        text = written(inner, environment, called)
        is_sum = isinstance(inner, tree.Call) and len(inner.arguments) == 2 and inner.function in _STRENGTH
        own = _STRENGTH[inner.function] if is_sum else 3  # type: ignore[union-attr]
        return f"({text})" if own < strength else text

    match expression:
        case tree.Variable(name=name):
            return called.get(name) or in_words(name)
        case tree.Constant(value=value):
            return shown(value)
        case tree.Call(function="to_float" | "to_string" | "to_number" | "@written", arguments=(same,)):
            return operand(same)
        case tree.Call(function="@months_before" | "@months_after" as function, arguments=(day, months)):
            number = environment.get(months.name, "so many") if isinstance(months, tree.Variable) else operand(months)
            word = "before" if function == "@months_before" else "after"
            return f"{number} {'month' if str(number) == '1' else 'months'} {word} {operand(day)}"
        case tree.Call(function="@date", arguments=(tree.Constant(value=value),)):
            return str(value)
        case tree.Call(function=function, arguments=(left, right)) if function in _STRENGTH:
            is_regrouped = isinstance(right, tree.Call) and (function, right.function) in _REGROUPED
            called = {}
            one, other = operand(left, _STRENGTH[function]), operand(right, _STRENGTH[function] + (not is_regrouped))
            return f"{one} {function} {other}"
        case tree.Call(function="-", arguments=(only,)):
            return f"-{operand(only)}"
        case tree.Call(function="substr", arguments=(text, tree.Constant(value=0), tree.Constant(value=number))):
            return f"the first {number} characters of {operand(text)}"
        case tree.Call(function=function, arguments=arguments) if (function, len(arguments)) in _FUNCTIONS:
            return _FUNCTIONS[function, len(arguments)].format(*map(operand, arguments))
        case tree.Call(function=function, arguments=arguments):
            return f"{function}({', '.join(written(argument, environment, called) for argument in arguments)})"
        case tree.Aggregate(function=function, target=target):
            least = AGGREGATES.get(function, f"the {function} of")
            return least if target is None else f"{least} {written(target, environment, called)}"
    return "any"


_FUNCTIONS = {
    ("@year", 1): "the year of {}",
    ("@date", 1): "the date {}",
    ("@months_between", 2): "the full months from {} to {}",
    ("@years_between", 2): "the full years from {} to {}",
    ("@rounded", 2): "{} rounded to {} places",
    ("@rounded_up", 2): "{} rounded up to {} places",
    ("@rounded_down", 2): "{} rounded down to {} places",
    ("strlen", 1): "the length of {}",
    ("substr", 3): "the part of {} behind its first {} characters, of length {}",
    ("cat", 2): "{} with {}",
    ("min", 2): "the lesser of {} and {}",
    ("max", 2): "the greater of {} and {}",
}
AGGREGATES = {"min": "the least", "max": "the greatest", "sum": "the sum of", "count": "the number"}


_SAYS_NOTHING = frozenset({"since", "until", "most", "least", "value", "amount"})
_NO_DAY = frozenset({"day", "date", "when"})
_MEASURES = frozenset({"mg", "mcg", "kg", "g", "ml", "cm", "mm", "m", "percent"})
_NO_NOUN = re.compile(r"\b(?:\w+(?:ed|en|ing)|known|done|of|with|by|for|to|in|on|from|is|has|was|are|not)$|\d")


def is_noun(name: str) -> bool:
    """Whether the name of a relation, in words, may be one of what it has rows of: not `still used`."""
    return not _NO_NOUN.search(name)


def called(body: Iterable[tree.Literal], relations: Mapping[str, Relation]) -> dict[str, str]:
    """What a reader is told in the place of variables whose names say nothing: the name of the attribute that they
    stand for or, where that says nothing either, that of the relation."""
    found: dict[str, str] = {}
    for literal in body:
        atoms = [literal] if isinstance(literal, tree.Atom) else []
        for argument, attribute in _arguments(atoms, relations):
            if isinstance(argument, tree.Variable) and _says_nothing(argument.name, attribute):
                name = name_of(relations[atoms[0].relation])
                is_named = _says_nothing(attribute.name, attribute) and is_noun(name)
                found.setdefault(argument.name, name if is_named else in_words(attribute.name))
    return found


def _says_nothing(name: str, attribute: Attribute) -> bool:
    words = in_words(name)
    is_adjective = not attribute.is_date and " " not in words and words.endswith(("ed", "ful"))
    is_some_day = attribute.is_date and words in _NO_DAY
    return is_some_day or words in _SAYS_NOTHING or len(words) <= 2 or words.split()[0] in _MEASURES or is_adjective


def _unit(attribute: Attribute) -> str:
    """The unit of an attribute: as declared, or as its name says."""
    words = in_words(attribute.name)
    named = words.replace("percent", "%") if words.split()[0] in _MEASURES and attribute.kind != "symbol" else ""
    return attribute.unit or named


def unit(expression: tree.Expression, body: Iterable[tree.Literal], relations: Mapping[str, Relation]) -> str:
    """The unit of an expression of a rule: of a variable that of its attribute."""
    units = (_unit(attribute) for argument, attribute in _arguments(body, relations)
             if argument == expression and isinstance(argument, tree.Variable))
    return next(filter(None, units), "")


def spoken(expression: tree.Expression, body: Iterable[tree.Literal], relations: Mapping[str, Relation]) -> str:
    """An expression of what is counted, a variable by the name of its attribute."""
    names = (in_words(attribute.name) for argument, attribute in _arguments(body, relations)
             if isinstance(argument, tree.Variable) and argument == expression)
    return next(names, written(expression))


def text_of(
    expression: tree.Expression, value: Value, body: Iterable[tree.Literal], sentences: Sentences
) -> str | None:
    """The text that the case writes for the value of a variable of a rule."""
    if not isinstance(expression, tree.Variable):
        return None
    texts = (sentences.written.value(value, attribute)
             for argument, attribute in _arguments(body, sentences.relations) if argument == expression)
    return next((text for text in texts if text is not None), None)


def saying(
    rule: Rule, literal: tree.Comparison, environment: Mapping[str, Value], sentences: Sentences
) -> Saying | None:
    """The sentence of a rule with the values of its variables, for a comparison of which it names everything (of a
    pattern, the text; of a count, what it is compared with); None for others, and where a value is not known."""
    counts = [one for one in (literal.left, literal.right) if isinstance(one, tree.Aggregate)]
    sides = [literal.left] if literal.operator.endswith("contains") else []
    sides += [literal.right] if literal.operator.lstrip("!") in ("contains", "match") else []
    sides = sides or [literal.left, literal.right]
    about = {name for side in sides if side not in counts for name in tree.names(side)}
    about |= {"count"} if counts else set()
    named = set(places_of(rule.says))
    if not about or not about <= named or not named - {"count"} <= environment.keys():
        return None
    values, relations = {}, sentences.relations
    for name in named - {"count"}:
        variable = next(one for part in rule.body for one in tree.variables(part) if one.name == name)
        value = environment[name]
        is_day = is_date(variable, rule.body, relations)
        text = format_date(value) if is_day and isinstance(value, int) else shown(
            value, text=text_of(variable, value, rule.body, sentences)
        )
        values[name] = Place(text, in_words(name), not is_day and not isinstance(value, str), is_day,
                             _declared_unit(variable, rule.body, relations))
    return Saying(rule.says, values)


def _declared_unit(
    variable: tree.Variable, body: Iterable[tree.Literal], relations: Mapping[str, Relation]
) -> str:
    units = (one.unit for argument, one in _arguments(body, relations) if argument == variable and one.unit)
    return next(units, "")


def _arguments(
    body: Iterable[tree.Literal], relations: Mapping[str, Relation]
) -> Iterator[tuple[tree.Expression, Attribute]]:
    for literal in body:
        if isinstance(literal, tree.Atom):
            yield from zip(literal.arguments, relations[literal.relation].attributes, strict=True)


def is_date(
    expression: tree.Expression, body: Iterable[tree.Literal], relations: Mapping[str, Relation]
) -> bool:
    """Whether the value of an expression of a rule is a date."""
    literals = tuple(body)
    match expression:
        case tree.Call(function="+" | "-", arguments=(left, right)):
            return is_date(left, literals, relations) != is_date(right, literals, relations)
        case tree.Call(function=function):
            return function in ("@date", "@months_before", "@months_after")
        case tree.Variable():
            for literal in literals:
                if isinstance(literal, tree.Atom):
                    attributes = relations[literal.relation].attributes
                    if any(
                        argument == expression and attribute.is_date
                        for argument, attribute in zip(literal.arguments, attributes, strict=True)
                    ):
                        return True
                if isinstance(literal, tree.Comparison) and literal.operator == "=":
                    others = tuple(one for one in literals if one is not literal)
                    for one, other in ((literal.left, literal.right), (literal.right, literal.left)):
                        if one == expression and is_date(other, others, relations):
                            return True
    return False
