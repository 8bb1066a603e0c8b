"""Types: every variable has one, every value fits the attribute it stands in.

A variable's type is the lowest of the types of the attributes it stands in; these must lie on one chain, so that a
`Date` is never a product. Numbers written as such, and results of arithmetic, fit every type of their kind. Where whole
numbers and floats meet in arithmetic or in a comparison, and where a whole number is written for a float, rules come
out with the whole number turned into a float: what is behind this check has floats on both sides or on none.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from policy_kb import numbers
from policy_kb.check.declarations import BUILT_IN, FUNCTORS, PRIMITIVES, Declarations, Report, expressions_in
from policy_kb.diagnostics import Kind, quoted
from policy_kb.parse import tree

_PARAMETERS: dict[str, tuple[str | None, ...]] = {
    "strlen": ("symbol",),
    "substr": ("symbol", "number", "number"),
    "to_number": (None,),
    "to_string": (None,),
    "to_float": (None,),
}
_RESULTS = {"strlen": "number", "substr": "symbol", "to_number": "number", "to_string": "symbol", "to_float": "float"}
_KINDS: dict[type, str] = {int: "number", Fraction: "float", str: "symbol"}
_TEXT = ("contains", "match", "!contains", "!match")


def check_types(found: Declarations, report: Report) -> None:
    """Report every value that does not fit; rules with none come out with integers turned into floats where a float
    is meant."""
    found.rules = [_RuleTypes(rule, found, report).check() for rule in found.rules]


def _a(type_: str) -> str:
    """A type in a message; those that authors declare stand in backticks."""
    return f"a {type_}" if type_ in PRIMITIVES else f"a `{type_}`"


def _instead(node: tree.Expression, actual: str, kind: str) -> str:
    """What to write where a value of one kind stands and one of another is meant."""
    if isinstance(node, tree.Constant):
        if kind == "number" and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", str(node.value)):
            return f'write `@date("{node.value}")`'
        if kind == "symbol":
            return 'write text in quotes: `"..."`'
        return f"write a {'whole ' if kind == 'number' else ''}number, without quotes"
    what = str(node) if isinstance(node, tree.Variable) else "..."
    if (actual, kind) == ("float", "number"):
        return f"write `to_number({what})`, which cuts what is behind the point, or declare the attribute as `float`"
    if (actual, kind) == ("symbol", "float"):
        return f"write `to_float(to_number({what}))`, or declare the attribute as `float`"
    return f"write `to_{'string' if kind == 'symbol' else kind}({what})`"


def _as_float(node: tree.Expression) -> tree.Expression:
    """A whole number as a float."""
    if isinstance(node, tree.Constant):
        assert isinstance(node.value, int)
        return tree.Constant(Fraction(node.value), node.span)
    return tree.Call("to_float", (node,), node.span)


class _RuleTypes:
    def __init__(self, rule: tree.Rule, found: Declarations, report: Report):
        self.rule, self.found, self.report = rule, found, report
        self.types: dict[str, str] = {}

    def check(self) -> tree.Rule:
        before = len(self.report.problems)
        # First the atoms, which say what a variable is; then equalities, which may say it of further ones.
        self.collect(self.rule.body)
        for head in self.rule.heads:
            for aggregate in tree.aggregates(head):
                self.collect(aggregate.body)
        for _ in range(len(self.rule.body) + 1):
            if not self.spread(self.rule.body):
                break
        body = tuple(self.literal(literal) for literal in self.rule.body)
        heads = tuple(self.atom(head, is_head=True) for head in self.rule.heads)
        if len(self.report.problems) > before:
            return self.rule
        return replace(self.rule, heads=heads, body=body)

    # what the variables are

    def collect(self, body: tuple[tree.Literal, ...]) -> None:
        for literal in body:
            if isinstance(literal, tree.Atom):
                self.collect_atom(literal)
            for aggregate in tree.aggregates(literal):
                self.collect(aggregate.body)

    def collect_atom(self, atom: tree.Atom) -> None:
        for argument, attribute in zip(atom.arguments, self.found.relations[atom.relation].attributes, strict=True):
            if isinstance(argument, tree.Variable):
                known = self.types.get(argument.name)
                if known is None or self.found.is_below(attribute.type, known):
                    self.types[argument.name] = attribute.type
                elif not self.found.is_below(known, attribute.type):
                    self.report(Kind.TYPE_MISMATCH, argument.span,
                                f"`{argument}` is {_a(known)}; `{attribute.name}` of `{atom.relation}` is "
                                f"{_a(attribute.type)}", self.other_type(argument, known, attribute.type, False))

    def spread(self, body: tuple[tree.Literal, ...]) -> bool:
        changed = False
        for literal in body:
            for aggregate in tree.aggregates(literal):
                changed |= self.spread(aggregate.body)
            if isinstance(literal, tree.Comparison) and literal.operator == "=":
                for one, other in ((literal.left, literal.right), (literal.right, literal.left)):
                    if isinstance(one, tree.Variable) and one.name not in self.types:
                        type_ = self.guess(other)
                        if type_ is not None:
                            self.types[one.name] = type_
                            changed = True
        return changed

    def guess(self, node: tree.Expression) -> str | None:
        """The type of an expression as far as it is known."""
        match node:
            case tree.Variable(name=name):
                return self.types.get(name)
            case tree.Constant(value=value):
                return _KINDS[type(value)]
            case tree.Call(function=function, arguments=arguments):
                if function.startswith("@"):
                    return FUNCTORS[function[1:]][1]
                if function == "cat" or function in _RESULTS:
                    return _RESULTS.get(function, "symbol")
                kinds = [self.found.kind(type_) for type_ in map(self.guess, arguments) if type_]
                return "float" if "float" in kinds else kinds[0] if kinds else None
            case tree.Aggregate(function=function, target=target):
                kind = self.common_kind(target) if target is not None else "number"
                return "number" if kind == "symbol" else kind
        return None

    # whether everything fits

    def literal(self, literal: tree.Literal) -> tree.Literal:
        match literal:
            case tree.Atom():
                return self.atom(literal)
            case tree.Negation(atom=atom, span=span):
                return tree.Negation(self.atom(atom, is_negated=True), span)
            case tree.Comparison(operator=operator, left=left, right=right, span=span):
                if operator in _TEXT:
                    return tree.Comparison(operator, self.expression(left, "symbol"), self.expression(right, "symbol"),
                                           span)
                kind = self.common_kind(left, right)
                self.check_comparable(literal)
                return tree.Comparison(operator, self.expression(left, kind), self.expression(right, kind), span)
        return literal

    def check_comparable(self, comparison: tree.Comparison) -> None:
        """Two variables that are compared lie on one chain: a product is not a payer."""
        left, right = comparison.left, comparison.right
        if isinstance(left, tree.Variable) and isinstance(right, tree.Variable):
            one, other = self.types.get(left.name), self.types.get(right.name)
            if one and other and self.found.kind(one) == self.found.kind(other) and not (
                self.found.is_below(one, other) or self.found.is_below(other, one)
            ):
                self.report(Kind.TYPE_MISMATCH, comparison.span,
                            f"`{left}` is {_a(one)}, `{right}` is {_a(other)}", "compare values of one type")

    def common_kind(self, *nodes: tree.Expression) -> str | None:
        kinds = [self.found.kind(type_) for type_ in map(self.guess, nodes) if type_]
        return "float" if "float" in kinds else kinds[0] if kinds else None

    def atom(self, atom: tree.Atom, *, is_head: bool = False, is_negated: bool = False) -> tree.Atom:
        arguments: list[tree.Expression] = []
        for argument, attribute in zip(atom.arguments, self.found.relations[atom.relation].attributes, strict=True):
            place = f"`{attribute.name}` of `{atom.relation}`"
            if isinstance(argument, tree.Variable):
                self.check_variable(argument, attribute.type, place, is_head, is_negated)
                arguments.append(argument)
                continue
            type_ = self.guess(argument)
            declared = isinstance(argument, tree.Call) and argument.function.startswith("@")
            if declared and type_ == "Date" and not self.found.is_below(attribute.type, "Date") and (
                attribute.type != "number"
            ):
                self.report(Kind.TYPE_MISMATCH, argument.span, f"{place} is {_a(attribute.type)}, not a `Date`",
                            "declare it as `Date`")
            arguments.append(self.expression(argument, self.found.kind(attribute.type), place, attribute.type))
        return tree.Atom(atom.relation, tuple(arguments), atom.span)

    def check_variable(
        self, variable: tree.Variable, wanted: str, place: str, is_head: bool, is_negated: bool
    ) -> None:
        known = self.types.get(variable.name)
        if known is None:
            return  # unbound, which the safety check reports
        fits = self.found.is_below(known, wanted)
        # What arithmetic gives may stand for any type of its kind; what an attribute gives may not.
        primitive = known == self.found.kind(known) == self.found.kind(wanted)
        if not fits and not (not is_head and self.found.is_below(wanted, known)) and not (
            primitive and variable.name not in self.from_attributes()
        ):
            # Soufflé lets types differ in a negated atom, where they are hardly ever meant to.
            same_kind = self.found.kind(known) == self.found.kind(wanted)
            report = self.report.warn if is_negated and same_kind else self.report
            report(Kind.TYPE_MISMATCH, variable.span, f"`{variable}` is {_a(known)}; {place} is {_a(wanted)}",
                   self.other_type(variable, known, wanted, is_head))

    def other_type(self, variable: tree.Variable, known: str, wanted: str, is_head: bool) -> str:
        """What to write for a variable that is of another type than the attribute it stands in."""
        actual, kind = self.found.kind(known), self.found.kind(wanted)
        if actual == kind or (not is_head and "symbol" in (actual, kind)):
            return "use a variable of that type"
        if is_head:
            return _instead(variable, actual, kind)
        return f"write another variable here, and compare it: `{variable} = other`"

    def from_attributes(self) -> set[str]:
        """The variables whose type an attribute says."""
        return {
            argument.name
            for literal in self.rule.body
            if isinstance(literal, tree.Atom)
            for argument in literal.arguments
            if isinstance(argument, tree.Variable)
        }

    def expression(
        self, node: tree.Expression, kind: str | None, place: str | None = None, wanted: str | None = None
    ) -> tree.Expression:
        """The expression, of this kind; what is not is reported. Without a `place` a whole number may stand for a
        float; at a place only one that is written."""
        checked = self.parts(node)
        actual = self.actual(checked)
        if kind is None or actual is None or actual == kind:
            return checked
        if (actual, kind) == ("number", "float") and (place is None or not tree.names(node)):
            self.warn_of_cut(checked)
            return _as_float(checked)
        sort = self.types.get(node.name, actual) if isinstance(node, tree.Variable) else actual
        target = f"{place} is {_a(wanted or kind)}" if place else f"a {kind} is needed here"
        hint = _instead(node, actual, kind)
        self.report(Kind.TYPE_MISMATCH, node.span, f"{_called(node)} is {_a(sort)}; {target}", hint)
        return checked

    def actual(self, node: tree.Expression) -> str | None:
        type_ = self.guess(node)
        return self.found.kind(type_) if type_ else None

    def parts(self, node: tree.Expression) -> tree.Expression:
        """The expression with its parts checked."""
        match node:
            case tree.Call(function=function):
                is_declared = function in BUILT_IN or function[0] == "@"
                return self.call(node) if is_declared else self.arithmetic(node)
            case tree.Aggregate(function=function, target=target, span=span):
                body = tuple(self.literal(literal) for literal in node.body)
                if target is None:
                    return tree.Aggregate(function, None, body, span)
                own = self.common_kind(target)
                if own == "symbol":
                    self.report(Kind.TYPE_MISMATCH, target.span, f"only numbers have a `{function}`",
                                "aggregate an attribute that is a number")
                aggregate = tree.Aggregate(function, self.expression(target, own), body, span)
                # The sum of no floats is a float as well.
                return tree.Call("to_float", (aggregate,), span) if (function, own) == ("sum", "float") else aggregate
        return node

    def warn_of_cut(self, node: tree.Expression) -> None:
        """Warn of a division of whole numbers that are written, the result of which is used as a float."""
        for call in expressions_in(node, lambda part: isinstance(part, tree.Call) and part.function == "/"):
            assert isinstance(call, tree.Call)
            match call.arguments:
                case (tree.Constant(value=int(left)), tree.Constant(value=int(right))) if right and left % right:
                    cut = numbers.divided(left, right)
                    self.report.warn(Kind.ARITHMETIC, call.span, f"`{left} / {right}` of whole numbers is {cut}",
                                     f"write `{left}.0 / {right}` for the exact number")

    def arithmetic(self, node: tree.Call) -> tree.Expression:
        inner = self.common_kind(*node.arguments)
        if inner == "symbol" and node.function != "+":
            self.report(Kind.TYPE_MISMATCH, node.span, f"`{node.function}` works on numbers, not on symbols",
                        "join texts with `cat`")
            return node
        if node.function == "%" and inner == "float":
            self.report(Kind.TYPE_MISMATCH, node.span, "`%` works on whole numbers, not on floats",
                        "write `to_number` around it to cut what is behind the point")
            return node
        return tree.Call(node.function, tuple(self.expression(a, inner) for a in node.arguments), node.span)

    def call(self, node: tree.Call) -> tree.Expression:
        function, arguments = node.function, node.arguments
        parameters: tuple[str | None, ...]
        if function.startswith("@"):
            types = FUNCTORS[function[1:]][0]
            parameters = tuple(self.found.kind(type_) for type_ in types)
            for argument, type_ in zip(arguments, types, strict=True):
                if type_ == "Date" and isinstance(argument, tree.Variable):
                    known = self.types.get(argument.name)
                    if known and not self.found.is_below(known, "Date") and argument.name in self.from_attributes():
                        self.report(Kind.TYPE_MISMATCH, argument.span, f"`{argument}` is {_a(known)}, not a `Date`",
                                    "declare the attribute it comes from as `Date`")
        elif function in ("min", "max"):
            kind = self.common_kind(*arguments)
            return tree.Call(function, tuple(self.expression(argument, kind) for argument in arguments), node.span)
        elif function == "to_float" and self.common_kind(*arguments) == "symbol":
            self.report(Kind.TYPE_MISMATCH, node.span, "`to_float` takes a number, not a symbol",
                        "declare the attribute as `float`")
            return node
        else:
            parameters = ("symbol",) * len(arguments) if function == "cat" else _PARAMETERS[function]
        place = f"an argument of `{function}`"
        checked = (
            _as_float(self.expression(a, "number", place))
            if kind == "float" and not isinstance(a, tree.Constant) and self.common_kind(a) == "number"
            else self.expression(a, kind, place) for a, kind in zip(arguments, parameters, strict=True)
        )
        return tree.Call(function, tuple(checked), node.span)


def _called(node: tree.Expression) -> str:
    """An expression in a message."""
    match node:
        case tree.Constant(value=value):
            return quoted(numbers.exactly(value) if isinstance(value, Fraction) else value)
        case tree.Variable():
            return f"`{node}`"
        case tree.Aggregate(function=function):
            return f"a {function}"
        case tree.Call(function=function) if function in BUILT_IN or function[0] == "@":
            return f"the result of `{function}`"
    return "the result"
