"""What a program declares: types, relations, functors; and whether rules name them as declared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from policy_kb.diagnostics import MOST_MISTAKES, Diagnostic, Kind, RulesRefused, did_you_mean, listed, quoted, walk
from policy_kb.parse import tree
from policy_kb.parse.foreign import FUNCTIONS, instead_of_atom
from policy_kb.source import Span

PRIMITIVES = ("number", "float", "symbol")
FUNCTORS = {
    "date": (("symbol",), "Date"),
    "months_before": (("Date", "number"), "Date"),
    "months_after": (("Date", "number"), "Date"),
    "year": (("Date",), "number"),
    "written": (("Date",), "symbol"),
    "years_between": (("Date", "Date"), "number"),
    "months_between": (("Date", "Date"), "number"),
    "rounded": (("float", "number"), "float"),
    "rounded_up": (("float", "number"), "float"),
    "rounded_down": (("float", "number"), "float"),
}
"""The functors there are, as `kb/vocabulary/dates.dl` and `numbers.dl` declare them: parameters and result."""
_FUNCTOR_NAMES = [f"@{name}" for name in FUNCTORS]

BUILT_IN = {
    "cat": (2, None),
    "strlen": (1, 1),
    "substr": (3, 3),
    "to_string": (1, 1),
    "to_number": (1, 1),
    "to_float": (1, 1),
    "min": (2, None),
    "max": (2, None),
}
"""The built-in functions, with the least and the greatest number of arguments."""

NEVER_NAMES = ("record", "incomplete", "uncertain", "case")
"""Words of the case format: never names of case relations or of what they say."""


class Report:
    """Collects diagnostics; `files` are the program's texts, for the source line in each, `before` is what was found
    wrong before. Raises RulesRefused when there are `MOST_MISTAKES`: the rest is left unread."""

    def __init__(self, files: dict[str, str], before: Iterable[Diagnostic] = ()):
        self._lines = {name: text.split("\n") for name, text in files.items()}
        self._before = tuple(before)
        self._mistakes = 0
        self.problems: list[Diagnostic] = []

    def __call__(self, kind: Kind, span: Span, message: str, hint: str | None = None) -> None:
        self.problems.append(Diagnostic(kind, span, message, hint, excerpt=self._excerpt(span)))
        self._mistakes += 1
        if self._mistakes >= MOST_MISTAKES:
            raise RulesRefused([*self._before, *self.problems])

    def warn(self, kind: Kind, span: Span, message: str, hint: str | None = None) -> None:
        self.problems.append(Diagnostic(kind, span, message, hint, excerpt=self._excerpt(span), is_warning=True))

    def _excerpt(self, span: Span) -> str | None:
        lines = self._lines.get(span.file, [])
        return lines[span.line - 1] if span.line <= len(lines) else None


@dataclass
class Declarations:
    """`types` maps each type to the type it is declared below; primitives map to themselves. `rules` have one head
    each, and name only declared relations with the right number of attributes."""

    types: dict[str, str] = field(default_factory=lambda: {name: name for name in PRIMITIVES})
    relations: dict[str, tree.RelationDeclaration] = field(default_factory=dict)
    functors: dict[str, tree.FunctorDeclaration] = field(default_factory=dict)
    directives: list[tree.Directive] = field(default_factory=list)
    rules: list[tree.Rule] = field(default_factory=list)

    def chain(self, name: str) -> list[str]:
        """A type and the types it lies below, the primitive last."""
        result = [name]
        while self.types[name] != name:
            name = self.types[name]
            result.append(name)
        return result

    def kind(self, type_name: str) -> str:
        return self.chain(type_name)[-1]

    def is_below(self, lower: str, upper: str) -> bool:
        return upper in self.chain(lower)

    def is_case_relation(self, relation: str) -> bool:
        declaration = self.relations.get(relation)
        return bool(
            declaration
            and declaration.attributes
            and "Case" in self.types
            and self.is_below(declaration.attributes[0].type, "Case")
        )


def collect_declarations(program: tree.Program, report: Report) -> Declarations:
    """All declarations and directives of a program, with rules still unread.

    Reported: names declared twice or with an unknown type, attributes named twice, functors that do not exist,
    directives for relations that are not declared.
    """
    found = Declarations()
    _collect_types(program, found, report)
    places: dict[str, Span] = {}
    for item in program.items:
        match item:
            case tree.RelationDeclaration():
                if item.name in found.relations:
                    report(Kind.DECLARED_TWICE, item.span, f"`{item.name}` is declared twice",
                           f"the first declaration is {places[item.name]}")
                    continue
                if item.name in found.types and item.name not in PRIMITIVES:
                    report(Kind.DECLARED_TWICE, item.span, f"`{item.name}` is the name of a type", "rename one of them")
                places[item.name] = item.span
                found.relations[item.name] = _with_known_types(item, found, report)
            case tree.FunctorDeclaration():
                _collect_functor(item, found, report)
            case tree.Directive():
                found.directives.append(item)
            case tree.Rule():
                found.rules += [replace(item, heads=(head,), span=head.span) for head in item.heads]
    _check_names(found, report)
    _check_directives(found, report)
    return found


def _collect_types(program: tree.Program, found: Declarations, report: Report) -> None:
    declared = [item for item in program.items if isinstance(item, tree.TypeDeclaration)]
    bases: dict[str, tree.TypeDeclaration] = {}
    for item in declared:
        if item.name in bases or item.name in PRIMITIVES:
            report(Kind.DECLARED_TWICE, item.span, f"the type `{item.name}` is declared twice", "leave one out")
        elif item.name == "Case" and item.base != "symbol":
            report(Kind.FIXED_NAME, item.span, "a case is a symbol", "write `.type Case <: symbol`")
        elif item.name == "Date" and item.base != "number":
            report(Kind.FIXED_NAME, item.span, "a date is a number", "include `vocabulary/dates.dl`")
        else:
            bases[item.name] = item
    for name, item in bases.items():
        seen = {name: None}
        base = item.base
        while base in bases and base not in seen:
            seen[base] = None
            base = bases[base].base
        if base in PRIMITIVES:
            found.types[name] = item.base
        elif base in seen:
            report(Kind.UNKNOWN_TYPE, item.span, f"the type `{name}` lies below itself: {walk([*seen, base], ' <: ')}",
                   "declare it below `number`, `float` or `symbol`")
        elif base == item.base:
            report(Kind.UNKNOWN_TYPE, item.span, f"no type is called `{base}`",
                   did_you_mean(base, [*PRIMITIVES, *bases]) or "declare it below `number`, `float` or `symbol`")
    for name, item in bases.items():  # a type whose own base is wrong is reported once, and read as a symbol
        found.types.setdefault(name, "symbol")
        del item


def _with_known_types(
    declaration: tree.RelationDeclaration, found: Declarations, report: Report
) -> tree.RelationDeclaration:
    """The declaration, with every unknown type reported and read as `symbol`."""
    attributes = []
    names: set[str] = set()
    for attribute in declaration.attributes:
        if attribute.name in names:
            report(Kind.DECLARED_TWICE, attribute.span,
                   f"`{declaration.name}` has two attributes called `{attribute.name}`", "rename one")
        names.add(attribute.name)
        if attribute.type not in found.types:
            hint = did_you_mean(attribute.type, found.types)
            if attribute.type == "unsigned":
                hint = "use `number`, which has 64 bits"
            report(Kind.UNKNOWN_TYPE, attribute.span, f"no type is called `{attribute.type}`",
                   hint or "declare it with `.type`, or use `number`, `float` or `symbol`")
            attribute = tree.AttributeDeclaration(attribute.name, "symbol", attribute.annotations, attribute.span)
        attributes.append(attribute)
    return tree.RelationDeclaration(
        declaration.name, tuple(attributes), declaration.doc, declaration.annotations, declaration.span
    )


def declared_in(functor: str) -> str:
    """The file of the vocabulary that declares a functor."""
    return f"vocabulary/{'numbers' if 'float' in FUNCTORS[functor][0] else 'dates'}.dl"


def _collect_functor(item: tree.FunctorDeclaration, found: Declarations, report: Report) -> None:
    if item.name not in FUNCTORS:
        report(Kind.UNKNOWN_FUNCTOR, item.span, f"there is no functor `@{item.name}`",
               did_you_mean(f"@{item.name}", _FUNCTOR_NAMES)
               or "the functors are those of `vocabulary/dates.dl` and `vocabulary/numbers.dl`")
    elif item.name in found.functors:
        report(Kind.DECLARED_TWICE, item.span, f"the functor `@{item.name}` is declared twice", "leave one out")
    elif (item.parameters, item.result) != FUNCTORS[item.name]:
        parameters, result = FUNCTORS[item.name]
        report(Kind.FIXED_NAME, item.span, f"`@{item.name}` takes ({', '.join(parameters)}) and gives a {result}",
               f"include `{declared_in(item.name)}` instead of declaring it")
    else:
        for type_ in (*item.parameters, item.result):
            if type_ not in found.types:
                report(Kind.UNKNOWN_TYPE, item.span, f"no type is called `{type_}`",
                       f"include `{declared_in(item.name)}`")
                found.types[type_] = "number"  # reported once
        found.functors[item.name] = item


def _check_names(found: Declarations, report: Report) -> None:
    for declaration in found.relations.values():
        if not found.is_case_relation(declaration.name):
            continue
        if declaration.name in NEVER_NAMES:
            report(Kind.RESERVED_NAME, declaration.span, f"`{declaration.name}` is a word of the case format",
                   "choose another name for the relation")
        for attribute in declaration.attributes[1:]:
            if attribute.name in NEVER_NAMES:
                report(Kind.RESERVED_NAME, attribute.span, f"`{attribute.name}` is a word of the case format",
                       "choose another name for the attribute")


_PARAMETERS = {"filename", "delimiter", "headers"}


def _check_directives(found: Declarations, report: Report) -> None:
    for directive in found.directives:
        if directive.relation not in found.relations:
            report(Kind.UNKNOWN_RELATION, directive.span, f"`{directive.relation}` is not declared",
                   did_you_mean(directive.relation, found.relations) or "declare it with `.decl`")
        for name, value in directive.parameters:
            if name not in _PARAMETERS:
                report(Kind.UNKNOWN_PARAMETER, directive.span, f"`{name}` is outside this language",
                       did_you_mean(name, _PARAMETERS) or "the parameters are `filename`, `delimiter` and `headers`")
            elif name == "headers" and value not in ("true", "false"):
                report(Kind.UNKNOWN_PARAMETER, directive.span, f"`headers` is `true` or `false`, not {quoted(value)}",
                       "write `headers = true`")
            elif name == "filename" and _leads_out(value):
                report(Kind.UNKNOWN_PARAMETER, directive.span, f"{quoted(value)} leads out of the folder of the tables",
                       "give the name of a file below it, and the folder with `--facts` or `--output`")
            elif name == "delimiter" and len(value) == 0:
                report(Kind.UNKNOWN_PARAMETER, directive.span, "the delimiter is empty", 'write `","` for a comma')
    for kind in ("input", "output"):
        seen: set[str] = set()
        for directive in found.directives:
            if directive.kind == kind and directive.relation in seen:
                report(Kind.DECLARED_TWICE, directive.span, f"`.{kind} {directive.relation}` is given twice",
                       "leave one out")
            seen.update([directive.relation] if directive.kind == kind else [])
    written: set[str] = set()
    for directive in found.directives:
        filename = dict(directive.parameters).get("filename")
        if directive.kind == "output" and filename is not None:
            if filename in written:
                report(Kind.DECLARED_TWICE, directive.span, f"two relations are written to {quoted(filename)}",
                       "give each a file of its own")
            written.add(filename)


def _leads_out(name: str) -> bool:
    """Whether a table's file would stand outside of the folder it is looked for in."""
    path = PurePath(name)
    return path.is_absolute() or ".." in path.parts or "\0" in name


def check_references(found: Declarations, report: Report) -> None:
    """Every rule names declared relations, functors and built-ins, each with the right number of arguments.

    Rules that do not are reported and left out of what later checks see.
    """
    def is_sound(rule: tree.Rule) -> bool:
        before = len(report.problems)
        for atom in atoms_of(rule):
            declaration = found.relations.get(atom.relation)
            if declaration is None:
                report(Kind.UNKNOWN_RELATION, atom.span, f"`{atom.relation}` is not declared",
                       did_you_mean(atom.relation, found.relations) or instead_of_atom(atom.relation)
                       or "declare it with `.decl`")
            elif len(atom.arguments) != len(declaration.attributes):
                names = ", ".join(attribute.name for attribute in declaration.attributes)
                report(Kind.WRONG_ARITY, atom.span,
                       f"`{atom.relation}` has {_number(len(declaration.attributes), 'attribute')}, not "
                       f"{len(atom.arguments)}", _of_one_unit(atom) or f"it is declared as `{atom.relation}({names})`")
        for call in calls_of(rule):
            _check_call(call, found, report)
        return len(report.problems) == before

    found.rules = [rule for rule in found.rules if is_sound(rule)]


def _of_one_unit(atom: tree.Atom) -> str | None:
    """What to write instead of an approval with four values, as they were before approvals had units."""
    if atom.relation != "approval" or len(atom.arguments) != 4:
        return None
    values = [argument.value for argument in atom.arguments if isinstance(argument, tree.Constant)]
    if len(values) != 4:
        return "an approval has one unit: `approval(phase, amount, unit)`"
    phase, doses, code, units = values
    return (f'an approval has one unit: write `approval("{phase}", {doses}, "doses")` and '
            f'`approval("{phase}", {units}, "units of {code}")`')


def _check_call(call: tree.Call, found: Declarations, report: Report) -> None:
    number = len(call.arguments)
    if call.function.startswith("@"):
        name = call.function[1:]
        if name not in found.functors:
            hint = f"include `{declared_in(name)}`" if name in FUNCTORS else (
                FUNCTIONS.get(name.casefold()) or did_you_mean(f"@{name}", _FUNCTOR_NAMES))
            report(Kind.UNKNOWN_FUNCTOR, call.span, f"the functor `@{name}` is not declared",
                   hint or f"the functors are {listed(_FUNCTOR_NAMES, 'and')}")
        elif number != len(FUNCTORS[name][0]):
            report(Kind.WRONG_ARITY, call.span,
                   f"`@{name}` takes {_number(len(FUNCTORS[name][0]), 'argument')}, not {number}",
                   f"write `@{name}({', '.join(FUNCTORS[name][0])})`")
    elif call.function in BUILT_IN:
        least, most = BUILT_IN[call.function]
        if number < least or (most is not None and number > most):
            count = f"at least {_number(least, 'argument')}" if most is None else _number(least, "argument")
            report(Kind.WRONG_ARITY, call.span, f"`{call.function}` takes {count}, not {number}",
                   "leave some out" if number > least else "write the others too")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def atoms_of(rule: tree.Rule) -> Iterator[tree.Atom]:
    """All atoms of a rule as written: heads, body, aggregate bodies."""
    yield from rule.heads
    for literal in rule.body:
        yield from atoms_in(literal)
    for head in rule.heads:
        for argument in head.arguments:
            yield from atoms_in(argument)


def atoms_in(node: tree.Literal | tree.Expression) -> Iterator[tree.Atom]:
    """The atoms of a literal or an expression, negated ones and those in aggregate bodies included."""
    match node:
        case tree.Atom():
            yield node
        case tree.Negation(atom=atom):
            yield atom
    for aggregate in tree.aggregates(node):
        for literal in aggregate.body:
            yield from atoms_in(literal)
        if aggregate.target is not None:
            yield from atoms_in(aggregate.target)


def calls_of(rule: tree.Rule) -> Iterator[tree.Call]:
    yield from expressions_of(rule, lambda node: isinstance(node, tree.Call))  # type: ignore[misc]


def expressions_of(rule: tree.Rule, wanted: Callable[[tree.Expression], bool]) -> Iterator[tree.Expression]:
    """The expressions of a rule for which `wanted` holds, each before its parts."""
    for literal in (*rule.heads, *rule.body):
        yield from expressions_in(literal, wanted)


def expressions_in(
    node: tree.Literal | tree.Expression, wanted: Callable[[tree.Expression], bool]
) -> Iterator[tree.Expression]:
    """The expressions inside a literal or an expression for which `wanted` holds, each before its parts."""
    match node:
        case tree.Variable() | tree.Wildcard() | tree.Constant():
            if wanted(node):
                yield node
        case tree.Call():
            if wanted(node):
                yield node
            for argument in node.arguments:
                yield from expressions_in(argument, wanted)
        case tree.Aggregate():
            if wanted(node):
                yield node
            if node.target is not None:
                yield from expressions_in(node.target, wanted)
            for literal in node.body:
                yield from expressions_in(literal, wanted)
        case tree.Atom():
            for argument in node.arguments:
                yield from expressions_in(argument, wanted)
        case tree.Negation():
            yield from expressions_in(node.atom, wanted)
        case tree.Comparison():
            yield from expressions_in(node.left, wanted)
            yield from expressions_in(node.right, wanted)
