"""A third opinion: what clingo says of all worlds of a case, the values of open relations being few.

The rules as written, unknown rows as choices. The cautious consequences hold in every world, the brave ones in some.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

from policy_kb import dates
from policy_kb.evaluate.plain import Row, named_wildcards
from policy_kb.parse import tree
from policy_kb.parse.tree import Value
from tests.evaluate.running import Policy
from tests.strategies.cases import Document
from tests.strategies.programs import DATE, REQUEST, Input, RandomProgram, is_open, stated_rows

HAS = "has a row"
"""Under this, the questions that have a row, or hold: no relation is called so."""


def consequences(
    program: RandomProgram, policy: Policy, document: Document, values: Mapping[str, Sequence[Value]]
) -> tuple[dict[str, set[Row]], dict[str, set[Row]]]:
    """The rows of each relation, and of each criterion that rules state, in every world and in some world."""
    text = "\n".join((*_rules(policy), *_unknown(program, document, values)))
    return _solved(text, "cautious", policy), _solved(text, "brave", policy)


def instances(policy: Policy, values: Mapping[str, Sequence[Value]]) -> int:
    """How many instances the largest rule may have: clingo writes them all down."""
    return max((_instances(policy, rule.body, values) for rule in policy.worlds.rules), default=0)


def _instances(policy: Policy, body: Sequence[tree.Literal], values: Mapping[str, Sequence[Value]]) -> int:
    counted = [named_wildcards(count.body) for literal in body for count in tree.aggregates(literal)]
    number = 1
    for part in counted or [()]:
        kinds: dict[str, str] = {}
        for literal in (*body, *part):
            if isinstance(literal, tree.Atom):
                attributes = policy.program.relations[literal.relation].attributes
                for argument, attribute in zip(literal.arguments, attributes, strict=True):
                    if isinstance(argument, tree.Variable) and attribute.type != "Case":
                        kinds[argument.name] = DATE if attribute.is_date else attribute.kind
        number = max(number, prod(len(values[kind]) for kind in kinds.values()))
    return number


def answer(question: str, always: Mapping[str, set[Row]], sometimes: Mapping[str, set[Row]]) -> str:
    """The exact answer to a question: a relation may have a row in every world without one row that is in all."""
    if (question,) in always[HAS]:
        return "met"
    return "needs information" if (question,) in sometimes[HAS] else "not met"


def _solved(text: str, mode: str, policy: Policy) -> dict[str, set[Row]]:
    import clingo

    control = clingo.Control([f"--enum-mode={mode}", "0", "-Wnone"])
    control.add("base", [], text)
    control.ground([("base", [])], context=_Dates())
    result: dict[str, set[Row]] = {HAS: set(), **{name: set() for name in policy.worlds.relations}}
    with control.solve(yield_=True) as handle:
        last: list[Any] = []
        for model in handle:
            last = model.symbols(atoms=True)
    for symbol in last:
        name = HAS if symbol.name == "has" else symbol.name.removeprefix("r_").replace("'", "?")
        if name in result:
            result[name].add(tuple(_value(argument) for argument in symbol.arguments))
    return result


class _Dates:
    """The functors of dates, as clingo calls them while it grounds."""

    def months_before(self, day: Any, months: Any) -> Any:
        return self.number(dates.months_before(day.number, months.number))

    def months_after(self, day: Any, months: Any) -> Any:
        return self.number(dates.months_after(day.number, months.number))

    def year(self, day: Any) -> Any:
        return self.number(dates.year_of(day.number))

    def date(self, written: Any) -> Any:
        return self.number(dates.parse_date(written.string))

    @staticmethod
    def number(value: int) -> Any:
        import clingo

        return clingo.Number(value)


def _value(symbol: Any) -> Value:
    import clingo

    value: Value = symbol.number if symbol.type == clingo.SymbolType.Number else symbol.string
    return value


def _rules(policy: Policy) -> Iterator[str]:
    for name, rows in policy.known.items():
        for row in rows:
            yield f"{_call(f'r_{name}', [_constant(value) for value in row])}."
    for rule in policy.worlds.rules:
        head = _atom(rule.head)
        body = ", ".join(_literal(literal) for literal in rule.body)
        if rule.possible is not None:
            fires, counts = f"fires_{rule.number}", f"counts_{rule.number}"
            yield f"{_call(fires, [_term(argument) for argument in rule.head.arguments])} :- {body}."
            values = [f"Value{place}" for place in range(len(rule.head.arguments))]
            yield f"{{ {_call(counts, values)} }} :- {_call(fires, values)}."
            head, body = _call(f"r_{rule.head.relation}", values), _call(counts, values)
        yield f"{head} :- {body}."
        for criterion in rule.criteria:
            yield f'has("{criterion}") :- {body}.'
    for name in policy.worlds.relations:
        relation = policy.program.relations[name]
        if relation.is_case:
            yield f'has("{name}") :- {_call(f"r_{name}", ["_"] * relation.arity)}.'


def _unknown(program: RandomProgram, document: Document, values: Mapping[str, Sequence[Value]]) -> Iterator[str]:
    case = str(document["case"])
    yield _call("r_request", [_constant(value) for value in (case, *REQUEST.values())]) + "."
    for relation in program.inputs:
        yield from _input(relation, case, document, values)


def _input(
    relation: Input, case: str, document: Document, values: Mapping[str, Sequence[Value]]
) -> Iterator[str]:
    def fact(row: Sequence[Value]) -> str:
        return _call(f"r_{relation.name}", [_constant(value) for value in (case, *row)])

    for row, is_certain in stated_rows(relation, document):
        yield f"{fact(row)}." if is_certain else f"{{ {fact(row)} }}."
    if is_open(relation, document):
        for row in relation.rows(values):
            yield f"{{ {fact(row)} }}."


def _literal(literal: tree.Literal) -> str:
    match literal:
        case tree.Atom():
            return _atom(literal)
        case tree.Negation(atom=atom):
            return f"not {_atom(atom)}"
        case tree.Truth(value=value):
            return "#true" if value else "#false"
        case tree.Comparison(operator=operator, left=left, right=right):
            return f"{_term(left)} {operator} {_term(right)}"
    raise AssertionError(literal)


def _atom(atom: tree.Atom) -> str:
    return _call(f"r_{atom.relation}", [_term(argument) for argument in atom.arguments])


def _term(expression: tree.Expression) -> str:
    match expression:
        case tree.Constant(value=value):
            return _constant(value)
        case tree.Wildcard():
            return "_"
        case tree.Variable(name=name):
            return "V" + name.replace("#", "W")
        case tree.Call(function=function, arguments=arguments) if function.startswith("@"):
            return _call(function, [_term(argument) for argument in arguments])
        case tree.Call(function=function, arguments=arguments):
            return "(" + f" {function} ".join(_term(argument) for argument in arguments) + ")"
        case tree.Aggregate(function="count", body=body):
            body = named_wildcards(body)
            positive = [literal for literal in body if isinstance(literal, tree.Atom)]
            names = dict.fromkeys(v.name for literal in positive for v in tree.variables(literal))
            terms = ", ".join(_term(tree.Variable(name, expression.span)) for name in names) or "0"
            return f"#count {{ {terms} : {', '.join(map(_literal, body))} }}"
    raise AssertionError(expression)


def _constant(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _call(name: str, arguments: Sequence[str]) -> str:
    name = name.replace("?", "'")
    return f"{name}({', '.join(arguments)})" if arguments else name
