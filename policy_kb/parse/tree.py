"""The tree of a rule file, as written: what the parser hands on.

Two trees are equal when they say the same; where they stand (`span`) does not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from policy_kb.record import field, record
from policy_kb.source import Span

Value = int | Fraction | str
"""A constant: a 64-bit `number`, a `float`, which is exact, or a `symbol`."""


@record
class Variable:
    """As text it is what the author wrote; the name of an aggregate's own variable may have got a number behind `#`."""

    name: str
    span: Span = field(compare=False)

    def __str__(self) -> str:
        return self.name.partition("#")[0]


@record
class Wildcard:
    """`_`: some value that does not matter."""

    span: Span = field(compare=False)


@record
class Constant:
    value: Value
    span: Span = field(compare=False)


@record
class Call:
    """An operator (`+`), a built-in (`cat`) or a declared functor (`@date`) applied to its arguments."""

    function: str
    arguments: tuple[Expression, ...]
    span: Span = field(compare=False)


@record
class Aggregate:
    """`count : { body }` or `sum target : { body }`, `min`, `max`."""

    function: str
    target: Expression | None
    body: tuple[Literal, ...]
    span: Span = field(compare=False)


Expression = Variable | Wildcard | Constant | Call | Aggregate


@record
class Atom:
    relation: str
    arguments: tuple[Expression, ...]
    span: Span = field(compare=False)


@record
class Negation:
    atom: Atom
    span: Span = field(compare=False)


@record
class Comparison:
    """`left operator right`; the operator is one of `= != < <= > >=`, `contains` or `match`, or these two negated
    (`!contains`, `!match`), where left is the needle or the pattern and right the text."""

    operator: str
    left: Expression
    right: Expression
    span: Span = field(compare=False)


@record
class Truth:
    """`true` or `false` as a literal."""

    value: bool
    span: Span = field(compare=False)


Literal = Atom | Negation | Comparison | Truth


@record
class Annotation:
    """`@[key]`, `@[key = value]` or `@[key(word, "text", name = "text")]`; words are given as text."""

    key: str
    positional: tuple[Value, ...]
    named: tuple[tuple[str, Value], ...]
    span: Span = field(compare=False)


@record
class TypeDeclaration:
    name: str
    base: str
    span: Span = field(compare=False)


@record
class AttributeDeclaration:
    name: str
    type: str
    annotations: tuple[Annotation, ...]
    span: Span = field(compare=False)


@record
class RelationDeclaration:
    name: str
    attributes: tuple[AttributeDeclaration, ...]
    doc: str
    annotations: tuple[Annotation, ...]
    span: Span = field(compare=False)


@record
class FunctorDeclaration:
    name: str
    parameters: tuple[str, ...]
    result: str
    span: Span = field(compare=False)


@record
class Directive:
    """`.input` or `.output` of one relation, with its parameters."""

    kind: str
    relation: str
    parameters: tuple[tuple[str, str], ...]
    span: Span = field(compare=False)


@record
class Include:
    file: str
    span: Span = field(compare=False)


@record
class Says:
    """`//! a sentence` directly behind `:-`: how the comparisons of a body read."""

    text: str
    span: Span = field(compare=False)


@record
class Rule:
    """`heads :- body.`; a fact has no body. `span` is the first head's place."""

    heads: tuple[Atom, ...]
    body: tuple[Literal, ...]
    doc: str
    annotations: tuple[Annotation, ...]
    span: Span = field(compare=False)
    says: Says | None = None


Item = TypeDeclaration | RelationDeclaration | FunctorDeclaration | Directive | Include | Rule


@record
class Program:
    """All items of a rule file and of the files it includes, each file once, where its first `.include` stands.

    `files` maps each file's name, which is relative to its knowledge base, to its text; `paths` to where it lies.
    """

    entry: str
    items: tuple[Item, ...]
    files: dict[str, str] = field(compare=False)
    paths: dict[str, str] = field(compare=False, default_factory=dict)


def variables(node: Expression | Literal, *, in_aggregates: bool = True) -> Iterator[Variable]:
    """Every occurrence of a variable in a literal or an expression, as written; those inside aggregates can be left
    out."""
    match node:
        case Variable():
            yield node
        case Call(arguments=arguments) | Atom(arguments=arguments):
            for argument in arguments:
                yield from variables(argument, in_aggregates=in_aggregates)
        case Aggregate(target=target, body=body) if in_aggregates:
            if target is not None:
                yield from variables(target)
            for literal in body:
                yield from variables(literal)
        case Negation(atom=atom):
            yield from variables(atom, in_aggregates=in_aggregates)
        case Comparison(left=left, right=right):
            yield from variables(left, in_aggregates=in_aggregates)
            yield from variables(right, in_aggregates=in_aggregates)


def names(node: Expression | Literal) -> frozenset[str]:
    """The names of the variables in a literal or an expression."""
    return frozenset(variable.name for variable in variables(node))


def names_outside_aggregates(node: Expression | Literal) -> frozenset[str]:
    """The names of the variables that do not only stand inside aggregates."""
    return frozenset(variable.name for variable in variables(node, in_aggregates=False))


def aggregates(node: Expression | Literal) -> Iterator[Aggregate]:
    """The aggregates of a literal or an expression, outermost first; those inside an aggregate's body are left out."""
    match node:
        case Aggregate():
            yield node
        case Call(arguments=arguments) | Atom(arguments=arguments):
            for argument in arguments:
                yield from aggregates(argument)
        case Negation(atom=atom):
            yield from aggregates(atom)
        case Comparison(left=left, right=right):
            yield from aggregates(left)
            yield from aggregates(right)


def without_annotations(program: Program) -> Program:
    """The program as Soufflé reads it, which knows no meaning of annotations."""
    items: list[Item] = []
    for item in program.items:
        match item:
            case RelationDeclaration(name=name, attributes=attributes, doc=doc, span=span):
                plain = tuple(AttributeDeclaration(one.name, one.type, (), one.span) for one in attributes)
                items.append(RelationDeclaration(name, plain, doc, (), span))
            case Rule():
                items.append(replace(item, annotations=()))
            case _:
                items.append(item)
    return Program(program.entry, tuple(items), program.files, program.paths)


MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
"""The operator that says the same with its sides exchanged."""


def count_parts(comparison: Comparison) -> tuple[Aggregate, str, Expression]:
    """The count that is one side of a comparison, how it is compared and with what, the count read as the left side."""
    if isinstance(comparison.left, Aggregate):
        return comparison.left, comparison.operator, comparison.right
    assert isinstance(comparison.right, Aggregate)
    return comparison.right, MIRRORED[comparison.operator], comparison.left
