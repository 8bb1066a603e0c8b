"""Text to tree, for one rule file.

The grammar is the subset of Soufflé 2.5 that this project runs. What lies outside is refused by name, with what to
write instead. A mistake does not hide the next one: reading goes on behind the next `.` or at the next directive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from lark import Lark, Token, Transformer, UnexpectedToken, v_args
from lark.exceptions import VisitError

from policy_kb import numbers
from policy_kb.diagnostics import MOST_MISTAKES, Diagnostic, Kind, quoted
from policy_kb.parse import tree
from policy_kb.parse.foreign import FUNCTIONS, instead_of, instead_of_sign
from policy_kb.source import Span
from policy_kb.text import UnseenCharacterError, is_seen, with_plain_blanks

if TYPE_CHECKING:
    from lark.tree import Meta

GRAMMAR = r"""
    item: preamble ( type | relation | functor | input_output | include | rule | outside )
    preamble: ( DOC | annotation )*
    annotation: "@[" IDENT [ "=" _value | "(" [ _entry ("," _entry)* ] ")" ] "]"
    _entry: named | _value
    named: IDENT "=" _value
    _value: STRING | NUMBER | FLOAT | IDENT | negative
    negative: "-" ( NUMBER | FLOAT )

    type: ".type" IDENT "<:" IDENT
    relation: ".decl" names "(" [ attribute ("," attribute)* ] ")"
    names: IDENT ("," IDENT)*
    attribute: preamble IDENT ":" IDENT
    functor: ".functor" IDENT "(" [ parameter ("," parameter)* ] ")" ":" IDENT
    parameter: [ IDENT ":" ] IDENT
    input_output: ( INPUT | OUTPUT ) directed ("," directed)*
    directed: IDENT [ "(" [ setting ("," setting)* ] ")" ]
    setting: IDENT "=" ( STRING | IDENT | NUMBER | TRUE | FALSE )
    include: ".include" STRING

    rule: atom ("," atom)* [ ":-" says body ] "."
    says: SAYS*
    body: _literal ("," _literal)*
    _literal: atom | negation | comparison | test | truth
    atom: IDENT "(" [ _expression ("," _expression)* ] ")"
    negation: "!" atom
    comparison: _expression ( COMPARED | EQUAL ) _expression
    test: [ NOT ] ( CONTAINS | MATCH ) "(" _expression "," _expression ")"
    truth: TRUE | FALSE

    _expression: sum
    ?sum: product | sum ( PLUS | MINUS ) product -> operation
    ?product: unary | product ( TIMES | DIVIDED | MODULO ) unary -> operation
    ?unary: _primary | MINUS unary -> negated
    _primary: variable | wildcard | constant | call | aggregate | "(" sum ")"
    variable: IDENT
    wildcard: "_"
    constant: STRING | NUMBER | FLOAT
    call: ( FUNCTOR | CAT | STRLEN | SUBSTR | TO_STRING | TO_NUMBER | TO_FLOAT | MIN | MAX ) \
          "(" [ _expression ("," _expression)* ] ")"
    aggregate: COUNT ":" _counted
             | ( SUM | MIN | MAX ) _expression ":" _counted
    _counted: "{" says body "}" | atom

    // These tokens are refused before they reach the parser; standing in a rule keeps them in the lexer.
    outside: DATE | DIRECTIVE | UNSIGNED | QUALIFIER | PREPROCESSOR | UNCLOSED_COMMENT | UNCLOSED_STRING | OUTSIDE

    TYPE: ".type"
    DECLARE: ".decl"
    DECLARE_FUNCTOR: ".functor"
    INCLUDE: ".include"
    BELOW: "<:"
    IF: ":-"
    ANNOTATE: "@["
    EQUAL: "="
    INPUT: ".input"
    OUTPUT: ".output"
    COUNT: "count"
    SUM: "sum"
    MIN: "min"
    MAX: "max"
    CAT: "cat"
    STRLEN: "strlen"
    SUBSTR: "substr"
    TO_STRING: "to_string"
    TO_NUMBER: "to_number"
    TO_FLOAT: "to_float"
    CONTAINS: "contains"
    MATCH: "match"
    TRUE: "true"
    FALSE: "false"
    NOT: "!"
    PLUS: "+"
    MINUS: "-"
    TIMES: "*"
    DIVIDED: "/"
    MODULO: "%"
    COMPARED: /!=|<=|>=|<(?!:)|>/
    FUNCTOR: /@[A-Za-z_][A-Za-z_0-9]*/
    STRING: /"(\\.|[^"\\\n])*"/
    DATE.5: /[0-9]{4}-[0-9]{2}-[0-9]{2}\b/
    FLOAT.3: /[0-9]+\.[0-9]+([eE][+-]?[0-9]+)?/
    NUMBER.2: /0x[0-9a-fA-F]+|0b[01]+|[0-9]+/
    IDENT: /[A-Za-z?][A-Za-z_0-9?]*|_[A-Za-z_0-9?]+/
    DOC.4: /\/\/\/(?!\/)[^\n]*/
    SAYS.4: /\/\/![^\n]*/
    COMMENT.3: /\/\/[^\n]*/
    LONG_COMMENT.3: /\/\*(.|\n)*?\*\//

    DIRECTIVE.2: /\.(comp|init|override|pragma|plan|limitsize|printsize|number_type|symbol_type|lattice|once)\b/
    UNSIGNED.4: /[0-9]+u\b/
    QUALIFIER.4: /choice-domain\b/
    PREPROCESSOR: /#[^\n]*/
    UNCLOSED_COMMENT.2: /\/\*/
    UNCLOSED_STRING: /"(\\.|[^"\\\n])*/
    OUTSIDE.-1: /::|\|\||&&|->|@!|[^ \t\r\n\f\v]/

    %ignore /[ \t\r\n\f\v]+/
    %ignore COMMENT
    %ignore LONG_COMMENT
"""

_ONE_RULE_EACH = "write one rule for each alternative, with the same head"
_PLAIN_DECLARATION = "declare the relation with `.decl` alone"
_BITS = "bit operations are left out: keep one attribute for each flag"

OUTSIDE_SUBSET = {
    ";": ("`;` in a body (disjunction)", _ONE_RULE_EACH),
    "[": ("a record", "give the relation one attribute for each field"),
    "$": ("a branch of an algebraic data type, or a counter", "give the relation one attribute for each field"),
    "|": ("a union type or an operation on bits", "declare one type below `number` or `symbol`"),
    "^": ("a power", "multiply"),
    "::": ("a qualified name", "give the relation a plain name"),
    "@!": ("an annotation inside a body", "write it before the rule"),
    "->": ("an arrow", "write the body behind `:-`"),
    ".comp": ("a component", "write the relations and rules out"),
    ".init": ("an instance of a component", "write the relations and rules out"),
    ".override": ("an override", "write the relations and rules out"),
    ".pragma": ("`.pragma`", "leave it out"),
    ".plan": ("a query plan", "leave it out: the order of literals never matters"),
    ".limitsize": ("`.limitsize`", "leave it out"),
    ".printsize": ("`.printsize`", "write `.output` and count its lines"),
    ".number_type": ("`.number_type`", "write `.type T <: number`"),
    ".symbol_type": ("`.symbol_type`", "write `.type T <: symbol`"),
    ".lattice": ("a lattice", "derive the rows, and pick with `min` or `max`"),
    ".once": ("`.once`", "leave it out: every file is read once"),
    "choice-domain": ("`choice-domain`", "pick one row with `min` or `max`"),
    "eqrel": ("`eqrel`", "write the rules of an equivalence out"),
    "range": ("`range`", "derive the numbers with a recursive rule"),
    "mean": ("`mean`", FUNCTIONS["mean"]),
    "autoinc": ("`autoinc`", "give the rows their numbers as facts"),
    "nil": ("a record", "give the relation one attribute for each field"),
    "as": ("a type cast", "declare the attribute with the type it has"),
    "ord": ("`ord`", "compare the symbols themselves"),
    "to_unsigned": ("`to_unsigned`", "use `number`"),
    "printsize": ("`printsize`", "write `.output` and count its lines"),
    "input": ("`input` behind a declaration", "write `.input` with the relation's name below it"),
    "output": ("`output` behind a declaration", "write `.output` with the relation's name below it"),
    "recursive_iteration_cnt": ("`recursive_iteration_cnt`", "count with an attribute"),
    "stateful": ("a stateful functor", "use the functors of `vocabulary/dates.dl` and `numbers.dl`"),
    **{
        word: (f"`{word}` behind a declaration", _PLAIN_DECLARATION)
        for word in ("brie", "btree", "btree_delete", "inline", "no_inline", "magic", "no_magic", "overridable")
    },
    **{
        word: (f"`{word}`", _BITS)
        for word in ("band", "bor", "bxor", "bnot", "bshl", "bshr", "bshru", "land", "lor", "lxor", "lnot")
    },
    **{word: (f"`{word}`", "leave it out") for word in ("debug_delta", "__FILE__", "__LINE__", "__INCL__")},
}
"""What Soufflé has and this language has not: the text of the token, what it is called, what to write instead."""

_EXPECTED = {
    "IDENT": "a name",
    "STRING": "a string",
    "NUMBER": "a number",
    "DOT": "`.`",
    "IF": "`:-`",
    "RPAR": "`)`",
    "LPAR": "`(`",
    "COMMA": "`,`",
    "COLON": "`:`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "COMPARED": "a comparison such as `=` or `<=`",
    "BELOW": "`<:`",
}

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", '"': '"', "'": "'", "\\": "\\"}
LEAST, GREATEST = -(2**63), 2**63 - 1
_LAYOUT = {"\t", "\n", "\r"}
_CONTROL = re.compile("[^\t\n\r -~]")
_NESTING = 200
_DEEPEST = 60
_MOST_LITERALS = 200
_EXPLAINED = 100
"""Problems for which it is worked out which tokens were possible."""
_LONGEST_NAME = 200


class _Mistake(Exception):  # noqa: N818
    """A piece of text that reads as a token but has no meaning, such as a number beyond 64 bits."""

    def __init__(self, kind: Kind, token: Token, message: str, hint: str | None):
        super().__init__(message)
        self.kind, self.token, self.message, self.hint = kind, token, message, hint
        self.resumes = False
        """Whether reading goes on with the token itself, which begins another item."""


def _text(token: Token) -> str:
    """The text a string literal stands for."""
    result: list[str] = []
    characters = iter(token[1:-1])
    for character in characters:
        if character != "\\":
            result.append(character)
            continue
        escaped = next(characters)
        if escaped not in _ESCAPES:
            raise _Mistake(Kind.BAD_LITERAL, token, f"{quoted(character + escaped)} is not an escape of a string",
                           "write `\\\\` for a backslash")
        result.append(_ESCAPES[escaped])
    return "".join(result)


def _plain(text: str, token: Token) -> str:
    """A text of a rule file in its normal form, but with the blanks at its ends: it may be a part of another one."""
    try:
        return with_plain_blanks(text)
    except UnseenCharacterError as unseen:
        raise _Mistake(Kind.UNSEEN_CHARACTER, token, f"the text {unseen}", unseen.hint) from None


def _trimmed(node: tree.Expression) -> tree.Expression:
    """What stands for a whole value has no blanks at its ends."""
    if isinstance(node, tree.Constant) and isinstance(node.value, str):
        return tree.Constant(node.value.strip(" "), node.span)
    return node


def _integer(token: Token, sign: int = 1) -> int:
    text = str(token)
    if len(text) > 80:
        raise _Mistake(Kind.BAD_LITERAL, token, "the number is beyond 64 bits", "numbers have 64 bits, sign included")
    value = sign * int(text, {"0x": 16, "0b": 2}.get(text[:2], 10))
    if not LEAST <= value <= GREATEST:
        raise _Mistake(Kind.BAD_LITERAL, token, f"{quoted(text)} is beyond 64 bits",
                       f"a number lies between {LEAST} and {GREATEST}")
    return value


def _real(token: Token, sign: int = 1) -> Fraction:
    try:
        return sign * numbers.decimal(token)
    except numbers.BeyondLimits as problem:
        raise _Mistake(Kind.BAD_LITERAL, token, f"{quoted(token)} is beyond the limits", str(problem)) from None


_STARTS = {"TYPE", "DECLARE", "DECLARE_FUNCTOR", "INCLUDE", "INPUT", "OUTPUT", "DIRECTIVE", "PREPROCESSOR"}
"""The tokens that begin an item and nothing else."""
_BEGINNINGS = {"IDENT", "DOC", "ANNOTATE"}
"""Those that begin an item where they stand at the beginning of a line."""


@v_args(meta=True)
class _Builder(Transformer):  # type: ignore[type-arg]
    """Each reduction of the grammar, as a node of the tree. `dangling` collects the places of items that a doc comment
    or an annotation stands before without a meaning."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file
        self.dangling: list[Span] = []
        self.begin()

    def begin(self) -> None:
        """Forget what the last item left."""
        self.depths: dict[int, int] = {}
        self.without_sign: Token | None = None
        """2^63, which is a number only behind a minus sign."""

    def span(self, meta: Meta | Token) -> Span:
        line, column, end = meta.line or 1, meta.column or 1, meta.end_column or 1
        return Span(self.file, line, column, end if meta.end_line == line else column + 1)

    # what stands before an item

    def preamble(self, meta: Meta, children: list[Any]) -> tuple[str, tuple[tree.Annotation, ...]]:
        doc = " ".join(_plain(child[3:], child).strip() for child in children if isinstance(child, Token))
        return doc.strip(), tuple(child for child in children if isinstance(child, tree.Annotation))

    def annotation(self, meta: Meta, children: list[Any]) -> tree.Annotation:
        key, *entries = [child for child in children if child is not None]
        named = tuple(entry for entry in entries if isinstance(entry, tuple))
        positional = tuple(self._whole(entry) for entry in entries if not isinstance(entry, tuple))
        return tree.Annotation(str(key), positional, named, self.span(meta))

    def named(self, meta: Meta, children: list[Any]) -> tuple[str, tree.Value]:
        return str(children[0]), self._whole(children[1])

    def nested(self, node: tree.Call | tree.Aggregate, meta: Meta) -> tree.Expression:
        """The node, unless it has too many levels: what reads a tree later goes down level by level."""
        parts = node.arguments if isinstance(node, tree.Call) else (node.target, *node.body)
        self.depths[id(node)] = depth = 1 + max((self.depth(part) for part in parts), default=0)
        if depth > _DEEPEST:
            raise _Mistake(Kind.SYNTAX, _place(meta), f"the expression has more than {_DEEPEST} levels",
                           "compute it in steps, each with a variable")
        return node

    def depth(self, node: object) -> int:
        match node:
            case tree.Negation(atom=atom):
                return self.depth(atom)
            case tree.Atom(arguments=arguments):
                return max(map(self.depth, arguments), default=0)
            case tree.Comparison(left=left, right=right):
                return max(self.depth(left), self.depth(right))
        return self.depths.get(id(node), 0)

    def negative(self, meta: Meta, children: list[Token]) -> tree.Value:
        return _integer(children[0], -1) if children[0].type == "NUMBER" else _real(children[0], -1)

    def _value(self, token: Token | tree.Value) -> tree.Value:
        if not isinstance(token, Token):
            return token
        match token.type:
            case "STRING":
                return _plain(_text(token), token)
            case "NUMBER":
                return _integer(token)
            case "FLOAT":
                return _real(token)
        return str(token)

    def _whole(self, token: Token | tree.Value) -> tree.Value:
        value = self._value(token)
        return value.strip(" ") if isinstance(value, str) else value

    # items

    def item(self, meta: Meta, children: list[Any]) -> list[tree.Item]:
        if self.without_sign is not None:
            _integer(self.without_sign)
        (doc, annotations), finish = children
        return list(finish(doc, annotations))

    def _without_preamble(self, item: tree.Item) -> Any:
        def finish(doc: str, annotations: tuple[tree.Annotation, ...]) -> Iterator[tree.Item]:
            if doc or annotations:
                self.dangling.append(item.span)
            yield item

        return finish

    def type(self, meta: Meta, children: list[Token]) -> Any:
        return self._without_preamble(
            tree.TypeDeclaration(str(children[0]), str(children[1]), self.span(children[0]))
        )

    def names(self, meta: Meta, children: list[Token]) -> list[Token]:
        return children

    def relation(self, meta: Meta, children: list[Any]) -> Any:
        names, *rest = children
        attributes = tuple(child for child in rest if child is not None)

        def finish(doc: str, annotations: tuple[tree.Annotation, ...]) -> Iterator[tree.Item]:
            for name in names:
                yield tree.RelationDeclaration(str(name), attributes, doc, annotations, self.span(name))

        return finish

    def attribute(self, meta: Meta, children: list[Any]) -> tree.AttributeDeclaration:
        (_, annotations), name, type_ = children
        return tree.AttributeDeclaration(str(name), str(type_), annotations, self.span(name))

    def functor(self, meta: Meta, children: list[Any]) -> Any:
        name, *parameters, result = children
        kept = tuple(parameter for parameter in parameters if parameter is not None)
        return self._without_preamble(tree.FunctorDeclaration(str(name), kept, str(result), self.span(name)))

    def parameter(self, meta: Meta, children: list[Any]) -> str:
        return str(children[-1])

    def input_output(self, meta: Meta, children: list[Any]) -> Any:
        kind, *directed = children

        def finish(doc: str, annotations: tuple[tree.Annotation, ...]) -> Iterator[tree.Item]:
            for name, settings in directed:
                directive = tree.Directive(str(kind)[1:], str(name), settings, self.span(name))
                yield from self._without_preamble(directive)(doc, annotations)

        return finish

    def directed(self, meta: Meta, children: list[Any]) -> tuple[Token, tuple[tuple[str, str], ...]]:
        return children[0], tuple(child for child in children[1:] if child is not None)

    def setting(self, meta: Meta, children: list[Token]) -> tuple[str, str]:
        return str(children[0]), _text(children[1]) if children[1].type == "STRING" else str(children[1])

    def include(self, meta: Meta, children: list[Token]) -> Any:
        return self._without_preamble(tree.Include(_text(children[0]), self.span(children[0])))

    def rule(self, meta: Meta, children: list[Any]) -> Any:
        heads = tuple(child for child in children if isinstance(child, tree.Atom))
        body = next((child for child in children if isinstance(child, list)), [])
        says = next((child for child in children if isinstance(child, tree.Says)), None)

        def finish(doc: str, annotations: tuple[tree.Annotation, ...]) -> Iterator[tree.Item]:
            yield tree.Rule(heads, tuple(body), doc, annotations, heads[0].span, says)

        return finish

    def says(self, meta: Meta, children: list[Token]) -> tree.Says | None:
        """The sentence of a body, as it is written directly behind `:-`."""
        if not children:
            return None
        return tree.Says(" ".join(_plain(child[3:], child).strip() for child in children).strip(),
                         self.span(children[0]))

    # literals

    def body(self, meta: Meta, children: list[tree.Literal]) -> list[tree.Literal]:
        if len(children) > _MOST_LITERALS:
            raise _Mistake(Kind.SYNTAX, _place(meta), f"the body has more than {_MOST_LITERALS} literals",
                           "derive a relation from some of them first")
        return children

    def atom(self, meta: Meta, children: list[Any]) -> tree.Atom:
        arguments = tuple(_trimmed(child) for child in children[1:] if child is not None)
        return tree.Atom(str(children[0]), arguments, self.span(meta))

    def negation(self, meta: Meta, children: list[Any]) -> tree.Negation:
        return tree.Negation(children[-1], self.span(meta))

    def comparison(self, meta: Meta, children: list[Any]) -> tree.Comparison:
        return tree.Comparison(str(children[1]), _trimmed(children[0]), _trimmed(children[2]), self.span(meta))

    def test(self, meta: Meta, children: list[Any]) -> tree.Comparison:
        negated, function, left, right = children
        return tree.Comparison(("!" if negated else "") + str(function), left, right, self.span(meta))

    def truth(self, meta: Meta, children: list[Token]) -> tree.Truth:
        return tree.Truth(str(children[0]) == "true", self.span(meta))

    # expressions

    def operation(self, meta: Meta, children: list[Any]) -> tree.Expression:
        return self.nested(tree.Call(str(children[1]), (children[0], children[2]), self.span(meta)), meta)

    def negated(self, meta: Meta, children: list[Any]) -> tree.Expression:
        operand = children[1]
        if isinstance(operand, tree.Constant) and isinstance(operand.value, int | Fraction):
            if operand.value == -LEAST:
                self.without_sign = None
            return tree.Constant(-operand.value, self.span(meta))
        return self.nested(tree.Call("-", (operand,), self.span(meta)), meta)

    def variable(self, meta: Meta, children: list[Token]) -> tree.Variable:
        return tree.Variable(str(children[0]), self.span(meta))

    def wildcard(self, meta: Meta, children: list[Token]) -> tree.Wildcard:
        return tree.Wildcard(self.span(meta))

    def constant(self, meta: Meta, children: list[Token]) -> tree.Constant:
        if children[0].type == "NUMBER" and children[0].lstrip("0") == str(-LEAST):
            self.without_sign = children[0]
            return tree.Constant(-LEAST, self.span(meta))
        return tree.Constant(self._value(children[0]), self.span(meta))

    def call(self, meta: Meta, children: list[Any]) -> tree.Expression:
        arguments = tuple(child for child in children[1:] if child is not None)
        return self.nested(tree.Call(str(children[0]), arguments, self.span(meta)), meta)

    def aggregate(self, meta: Meta, children: list[Any]) -> tree.Expression:
        # A sentence behind `{` has no meaning here.
        said = [child for child in children if child is not None and not isinstance(child, tree.Says)]
        function, *target, body = said
        literals = (body,) if isinstance(body, tree.Atom) else tuple(body)
        aggregate = tree.Aggregate(str(function), target[0] if target else None, literals, self.span(meta))
        return self.nested(aggregate, meta)


def _place(meta: Meta) -> Token:
    """The beginning of a piece of text, for a message."""
    return Token("IDENT", "", line=meta.line, column=meta.column)


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, start="item", parser="lalr", lexer="basic", propagate_positions=True, maybe_placeholders=True)


def parse_items(text: str, file: str) -> tuple[list[tree.Item], list[Diagnostic]]:
    """The items of one rule file, and everything that is wrong with its text; `file` names it in messages.

    Includes are left as they stand.
    """
    reader = _Reader(text, file)
    reader.read()
    return reader.items, reader.problems


class _Reader:
    """Reads item after item: each has a parser of its own, so that a mistake spoils one item only."""

    def __init__(self, text: str, file: str):
        self.text, self.file, self.lines = text, file, text.split("\n")
        self.items: list[tree.Item] = []
        self.problems: list[Diagnostic] = []
        self.builder = _Builder(file)
        self.begin()

    def begin(self) -> None:
        self.parser = _parser().parse_interactive("")
        self.tokens: list[Token] = []  # of the item being read
        self.in_annotation = False
        self.nesting = 0

    def read(self) -> None:
        if not self.text.isascii() or _CONTROL.search(self.text):
            self.refuse_unseen()
        tokens = _parser().lex(self.text)
        for token in tokens:
            resumed: Token | None = token
            while resumed is not None:
                try:
                    self.feed(resumed)
                    break
                except _Mistake as mistake:
                    self.report(mistake)
                    if len(self.problems) >= MOST_MISTAKES:
                        self.report(_Mistake(Kind.SYNTAX, resumed, "there are very many mistakes: the rest of the file "
                                             "is not read", "mend these first"))
                        return
                    self.finish_item()
                    self.begin()
                    mistaken = mistake.token if mistake.token.type == "DIRECTIVE" else resumed
                    resumed = resumed if mistake.resumes else _skip(mistaken, tokens)
        if self.tokens:
            self.end_of_file()
        for span in self.builder.dangling:
            place = Token("IDENT", "", line=span.line, column=span.column)
            self.report(
                _Mistake(Kind.DANGLING, place, "a doc comment or an annotation has no meaning before this item",
                         "write `//` for a comment"), is_warning=True)

    def refuse_unseen(self) -> None:
        """Report each character that cannot be seen, comments included, and put one in its place that can."""
        unseen = [sign for sign in set(self.text) - _LAYOUT if not is_seen(sign)]
        for sign in re.finditer(f"[{re.escape(''.join(unseen))}]", self.text) if unseen else ():
            line, start = self.text.count("\n", 0, sign.start()) + 1, self.text.rfind("\n", 0, sign.start())
            if len(self.problems) < MOST_MISTAKES:
                place, why = Token("IDENT", "", line=line, column=sign.start() - start), UnseenCharacterError(sign[0])
                self.report(_Mistake(Kind.UNSEEN_CHARACTER, place, f"the file {why}", why.hint))
        self.text = self.text.translate(dict.fromkeys(map(ord, unseen), "\N{REPLACEMENT CHARACTER}"))

    def feed(self, token: Token) -> None:
        if token == "@[":
            self.in_annotation = True
        elif token == "]":
            self.in_annotation = False
        elif not self.in_annotation:
            _refuse_outside(token)
        self.nesting += (token in ("(", "{")) - (token in (")", "}"))
        if self.nesting > _NESTING:
            raise _Mistake(Kind.SYNTAX, token, f"brackets are nested more than {_NESTING} deep", "write it flatter")
        try:
            self.parser.feed_token(token)
        except UnexpectedToken as problem:
            # An item without a closing `.`, such as a declaration, ends where the next one begins.
            if not self.finish_item():
                expected = problem.expected
                if len(self.problems) < _EXPLAINED:
                    expected = self.parser.accepts()  # type: ignore[no-untyped-call]
                mistake = _unexpected(token, self.tokens, expected, self.text[token.start_pos or 0 :][:80])
                mistake.resumes = bool(self.tokens) and _begins_item(token)
                raise mistake from None
            self.begin()
            return self.feed(token)
        self.tokens.append(token)
        if token.type == "DOT":
            self.finish_item()
            self.begin()
        return None

    def finish_item(self) -> bool:
        """Whether the tokens read are a whole item; if so it is kept."""
        if not self.tokens:
            return False
        try:
            read = self.parser.feed_eof(self.tokens[-1])  # type: ignore[no-untyped-call]
        except UnexpectedToken:
            return False
        self.builder.begin()
        try:
            self.items += self.builder.transform(read)
        except VisitError as problem:
            if not isinstance(problem.orig_exc, _Mistake):
                raise
            self.report(problem.orig_exc)
        except RecursionError:
            self.report(_Mistake(Kind.SYNTAX, self.tokens[0], "an expression has very many levels",
                                 "compute it in steps, each with a variable"))
        return True

    def end_of_file(self) -> None:
        if self.finish_item():
            return
        if _is_only_preamble(self.tokens):
            self.report(
                _Mistake(Kind.DANGLING, self.tokens[0], "nothing follows this comment or annotation",
                         "put it before a declaration or a rule"), is_warning=True)
        else:
            self.report(_Mistake(Kind.SYNTAX, self.tokens[-1], "the file ends inside a rule or a declaration",
                                 "end a rule with `.`"))

    def report(self, mistake: _Mistake, *, is_warning: bool = False) -> None:
        token = mistake.token
        line, column = token.line or 1, token.column or 1
        if token == "\N{REPLACEMENT CHARACTER}" and any(
            (one.span.line, one.span.column) == (line, column) for one in self.problems
        ):
            return  # it stands for a character that is refused already
        span = Span(self.file, line, column, column + (len(token.partition("\n")[0]) or 1))
        self.problems.append(
            Diagnostic(mistake.kind, span, mistake.message, mistake.hint,
                       excerpt=self.lines[line - 1], is_warning=is_warning))


def _skip(mistaken: Token, tokens: Iterator[Token]) -> Token | None:
    """The token with which reading goes on after a mistake: the first behind the next `.`, a directive, or what stands
    at the beginning of a later line; behind the closing brace of a component."""
    if mistaken.type == "UNCLOSED_COMMENT":
        for _ in tokens:
            pass
        return None
    depth = 0
    while mistaken == ".comp" and (token := next(tokens, None)) is not None:
        depth += (token == "{") - (token == "}")
        if token == "}" and depth <= 0:
            return next(tokens, None)
    if mistaken.type == "DOT":
        return next(tokens, None)
    for token in tokens:
        if token.type == "DOT":
            return next(tokens, None)
        if _begins_item(token):
            return token
    return None


def _begins_item(token: Token) -> bool:
    return token.type in _STARTS or (token.column == 1 and token.type in _BEGINNINGS)


def _is_only_preamble(tokens: list[Token]) -> bool:
    depth = 0
    for token in tokens:
        if token == "@[":
            depth += 1
        elif token == "]":
            depth -= 1
        elif not depth and token.type != "DOC":
            return False
    return depth == 0


def _refuse_outside(token: Token) -> None:
    """Refuse by name what Soufflé has and this language has not."""
    match token.type:
        case "UNCLOSED_STRING":
            raise _Mistake(Kind.SYNTAX, token, "the string has no end on this line", 'end it with `"`')
        case "UNCLOSED_COMMENT":
            raise _Mistake(Kind.SYNTAX, token, "the comment has no end", "end it with `*/`")
        case "PREPROCESSOR":
            raise _Mistake(Kind.NOT_IN_SUBSET, token, "preprocessor lines are outside this language",
                           "write `//` for a comment, `.include` for a file, a fact for a constant")
        case "DATE":
            raise _Mistake(Kind.BAD_LITERAL, token, f"`{token}` without quotes is a difference of numbers",
                           f'write `@date("{token}")`')
        case "UNSIGNED":
            raise _Mistake(Kind.NOT_IN_SUBSET, token, "unsigned numbers are outside this language",
                           f"write `{token[:-1]}`, a `number` of 64 bits")
        case "IDENT" if len(token) > _LONGEST_NAME:
            raise _Mistake(Kind.SYNTAX, token, f"the name has more than {_LONGEST_NAME} characters", "shorten it")
    if token in OUTSIDE_SUBSET and token.type in ("IDENT", "OUTSIDE", "DIRECTIVE", "QUALIFIER", "LSQB"):
        name, instead = OUTSIDE_SUBSET[token]
        raise _Mistake(Kind.NOT_IN_SUBSET, token, f"{name} is outside this language", instead)
    if token.type == "OUTSIDE":
        instead_ = instead_of_sign(token)
        if instead_ is not None:
            raise _Mistake(Kind.NOT_IN_SUBSET, token, f"{quoted(token)} is outside this language", instead_)
        hint = "leave it out" if token.isascii() else "outside of strings, write plain letters, digits and blanks"
        raise _Mistake(Kind.SYNTAX, token, f"{quoted(token)} has no meaning here", hint)


def _opened_by(before: list[Token]) -> str | None:
    """What stands before the last bracket that is open."""
    depth = 0
    for place in range(len(before) - 1, 0, -1):
        depth += (before[place] == ")") - (before[place] == "(")
        if depth < 0:
            return before[place - 1]
    return None


def _covering(token: Token, written: str) -> Token:
    """The token, as long as what is written there."""
    return Token(token.type, written, line=token.line, column=token.column)


def _unexpected(token: Token, before: list[Token], expected: set[str], rest: str) -> _Mistake:
    """What to say of a token the grammar has no place for; `before` are the tokens of the item so far, `rest` is the
    text from the token on."""
    last = before[-1] if before else None
    opening = next((earlier for earlier in before if earlier.type != "DOC"), None)

    def outside(message: str, instead: str) -> _Mistake:
        return _Mistake(Kind.NOT_IN_SUBSET, token, f"{message} is outside this language", instead)

    if token == "<=" and last == ")" and ":-" not in before:
        return outside("subsumption (`<=` between heads)", "pick rows with `min` or `max`")
    if token.type == "DATE":
        return _Mistake(Kind.BAD_LITERAL, token, f"`{token}` stands without quotes", f'write `"{token}"`')
    foreign = instead_of(token, before, rest)
    if foreign is not None:
        blamed, written, instead = foreign
        return _Mistake(Kind.NOT_IN_SUBSET, _covering(blamed, written), f"{quoted(written)} is outside this language",
                        instead)
    if opening == ".type" and token == "=":
        return outside("a union, record or alias type", "write `.type T <: number`, `symbol` or `float`")
    if last == "!":
        return outside("negation of anything but an atom, `contains` or `match`", "write the opposite comparison")
    # `(r(x), ...)`: the name of an atom is read as a variable, until its bracket opens.
    if token == "(" and len(before) > 2 and before[-2] == "(" and before[-3] in (",", ":-", "{"):
        return outside("a group of literals", "leave the brackets out")
    if token.type in ("COMPARED", "EQUAL") and ":-" not in before and "IF" in expected:
        return _Mistake(Kind.SYNTAX, token, f"{quoted(token)} stands behind a head", "write `:-`")
    if token.type in ("COMPARED", "EQUAL") and "RPAR" in expected and _opened_by(before) in (",", ":-", "{"):
        return outside("a group of literals", "leave the brackets out")
    if "DOT" in expected and last is not None and _begins_item(token):
        return _Mistake(Kind.SYNTAX, token, f"the rule before {quoted(token)} has no end", "end it with `.`")
    if token.type == "SAYS":
        return _Mistake(Kind.SYNTAX, token, "`//!` stands only directly after `:-` or `{`", "write `//` for a comment")
    if token.type == "DOC":
        return _Mistake(Kind.SYNTAX, token, "a doc comment stands inside an item", "write `//` for a comment")
    if "IDENT" in expected and token.isidentifier():
        return _Mistake(Kind.RESERVED_NAME, token, f"`{token}` is a word of the language", "choose another name")
    wanted = sorted({_EXPECTED[name] for name in expected if name in _EXPECTED})
    hint = f"expected {' or '.join(wanted)}" if wanted else None
    return _Mistake(Kind.SYNTAX, token, f"{quoted(token)} is not expected here", hint)
