"""Small syntax: what a piece of text means, and where it stands."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest

from policy_kb.diagnostics import Kind
from policy_kb.parse import tree
from policy_kb.parse.grammar import parse_items
from policy_kb.parse.tree import Aggregate, Atom, Call, Comparison, Constant, Directive, Negation, Rule, Truth, Variable
from policy_kb.source import Span

NOWHERE = Span("x.dl", 1)


def items(text: str) -> list[tree.Item]:
    found, problems = parse_items(text, "x.dl")
    assert not problems, problems
    return found


def problems(text: str) -> list[tuple[Kind, int, int, str]]:
    return [(one.kind, one.span.line, one.span.column, one.message) for one in parse_items(text, "x.dl")[1]]


def rule(text: str) -> Rule:
    (item,) = items(text)
    assert isinstance(item, Rule)
    return item


def shown(node: tree.Expression | tree.Literal) -> str:
    """The node with all brackets."""
    match node:
        case Variable(name=name):
            return name
        case tree.Wildcard():
            return "_"
        case Constant(value=value):
            return f"{value.numerator}/{value.denominator}" if isinstance(value, Fraction) else repr(value)
        case Call(function=function, arguments=(one, other)) if not function[0].isalpha() and function[0] != "@":
            return f"({shown(one)} {function} {shown(other)})"
        case Call(function=function, arguments=arguments):
            return f"{function}({', '.join(map(shown, arguments))})"
        case Aggregate(function=function, target=target, body=body):
            return f"{function} {shown(target) + ' ' if target else ''}: {{{', '.join(map(shown, body))}}}"
        case Atom(relation=relation, arguments=arguments):
            return f"{relation}({', '.join(map(shown, arguments))})"
        case Negation(atom=atom):
            return f"!{shown(atom)}"
        case Comparison(operator=operator, left=left, right=right):
            return f"{shown(left)} {operator} {shown(right)}"
        case Truth(value=value):
            return str(value).lower()
    raise AssertionError(node)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1 + 2 * 3", "(1 + (2 * 3))"),
        ("1 * 2 + 3", "((1 * 2) + 3)"),
        ("1 - 2 - 3", "((1 - 2) - 3)"),
        ("8 / 4 / 2", "((8 / 4) / 2)"),
        ("8 % 3 * 2", "((8 % 3) * 2)"),
        ("(1 + 2) * 3", "((1 + 2) * 3)"),
        ("-1", "-1"),
        ("- 1", "-1"),
        ("--1", "1"),
        ("-x", "-(x)"),
        ("-x * 2", "(-(x) * 2)"),
        ("-(1 + 2)", "-((1 + 2))"),
        ("2 - -1", "(2 - -1)"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775807", "9223372036854775807"),
        ("0x10", "16"),
        ("0b101", "5"),
        ("007", "7"),
        ("1.5", "3/2"),
        ("-0.5", "-1/2"),
        ("1.5e3", "1500/1"),
        ("1.0e-2", "1/100"),
        ("76.8", "384/5"),
        (r'"a\"b\\c\td\n"', repr('a"b\\c d')),
        ('"// no comment /* here */"', "'// no comment /* here */'"),
        ('"été"', "'été'"),
        ("_", "_"),
        ("_x", "_x"),
        ("?x", "?x"),
        ("symbol", "symbol"),
        ("min(1, x)", "min(1, x)"),
        ("max(1, 2, 3)", "max(1, 2, 3)"),
        ("min x : { r(x) }", "min x : {r(x)}"),
        ("min (x) : { r(x) }", "min x : {r(x)}"),
        ("max x * 2 : r(x)", "max (x * 2) : {r(x)}"),
        ("count : { r(_), x > 1 } + 1", "(count : {r(_), x > 1} + 1)"),
        ("sum n : { r(m), n = count : { s(m, _) } }", "sum n : {r(m), n = count : {s(m, _)}}"),
        ('cat("a", x, "b")', "cat('a', x, 'b')"),
        ("@months_before(x, 12)", "@months_before(x, 12)"),
        ("to_number(to_string(1))", "to_number(to_string(1))"),
    ],
)
def test_an_expression_means(written: str, meant: str) -> None:
    (head,) = rule(f"r({written}).").heads
    assert shown(head.arguments[0]) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("r(x, _)", "r(x, _)"),
        ("r()", "r()"),
        ("!r(x)", "!r(x)"),
        ("x = 1", "x = 1"),
        ("x<=1", "x <= 1"),
        ("1+x<y", "(1 + x) < y"),
        ("(x) > (1)", "x > 1"),
        ('contains("a", x)', "'a' contains x"),
        ('!contains("a", x)', "'a' !contains x"),
        ('!match("a.*", x)', "'a.*' !match x"),
        ("true", "true"),
        ("false", "false"),
        ("count : { r(x) } >= 2", "count : {r(x)} >= 2"),
    ],
)
def test_a_literal_means(written: str, meant: str) -> None:
    assert [shown(literal) for literal in rule(f"h() :- {written}.").body] == [meant]


def test_a_rule_may_have_several_heads() -> None:
    assert [shown(head) for head in rule("a(x), b(x, 1) :- c(x).").heads] == ["a(x)", "b(x, 1)"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (".input r", [("input", "r", ())]),
        (".output r()", [("output", "r", ())]),
        (".output a, b ()", [("output", "a", ()), ("output", "b", ())]),
        ('.input r(filename = "r.csv", headers = true)',
         [("input", "r", (("filename", "r.csv"), ("headers", "true")))]),
        (r'.input r(delimiter = "\t", headers="false")',
         [("input", "r", (("delimiter", "\t"), ("headers", "false")))]),
    ],
)
def test_a_directive_means(written: str, meant: list[tuple[str, str, tuple[tuple[str, str], ...]]]) -> None:
    assert items(written) == [Directive(*parts, NOWHERE) for parts in meant]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("@[closed]", ("closed", (), ())),
        ("@[closed()]", ("closed", (), ())),
        ('@[ask("Which?")]', ("ask", ("Which?",), ())),
        ("@[key = word]", ("key", ("word",), ())),
        ("@[at_least(-1)]", ("at_least", (-1,), ())),
        ("@[at_least(0.5)]", ("at_least", (0.5,), ())),
        ('@[one_of("a", b, 3)]', ("one_of", ("a", "b", 3), ())),
        ('@[policy("09", phase = "x", n = -2)]', ("policy", ("09",), (("phase", "x"), ("n", -2)))),
        ("@[in(product, ingredient)]", ("in", ("product", "ingredient"), ())),
    ],
)
def test_an_annotation_means(written: str, meant: tuple[str, tuple[object, ...], tuple[object, ...]]) -> None:
    (item,) = items(f"{written}\n.decl r(x: number)")
    assert isinstance(item, tree.RelationDeclaration)
    (annotation,) = item.annotations
    assert (annotation.key, annotation.positional, annotation.named) == meant


def test_a_declaration_may_have_several_names_and_no_attributes() -> None:
    assert [(item.name, len(item.attributes)) for item in items(".decl a, b()")] == [("a", 0), ("b", 0)]  # type: ignore[union-attr]


def test_the_lines_of_a_doc_comment_are_one_sentence() -> None:
    (item,) = items("/// {x} is\n/// here\n@[closed]\n.decl r(/// not of r\n x: number)\n")
    assert isinstance(item, tree.RelationDeclaration)
    assert item.doc == "{x} is here"


def test_comments_and_layout_do_not_matter() -> None:
    assert items("r(x):-s(x),x>1.") == items("/* a\n b */ r ( x ) // c\n :-\r\n\ts(x) /**/ , x > 1 //// d\n .")


def test_every_node_knows_its_place() -> None:
    found = items(".decl r(x: number)\n\n  r(1),\n r(y + 1) :-\n    s(y),\n    !t(y), y != 3.")
    assert isinstance(found[1], Rule)
    places = [(head.span.line, head.span.column, head.span.end) for head in found[1].heads]
    places += [(literal.span.line, literal.span.column, literal.span.end) for literal in found[1].body]
    assert places == [(3, 3, 7), (4, 2, 10), (5, 5, 9), (6, 5, 10), (6, 12, 18)]


def test_every_mistake_of_a_file_is_reported_and_the_rest_is_read() -> None:
    text = '''.decl a(x: number)
a(1) a(2).
a("x).
a(3).
a(x) :- b(x); c(x).
a(4
a(5).
.pragma "x"
.decl b(x number)
.decl c(x: number) eqrel
a(99999999999999999999).
a(6).
'''
    found, _ = parse_items(text, "x.dl")
    assert [(kind, line, column) for kind, line, column, _ in problems(text)] == [
        (Kind.SYNTAX, 2, 6),
        (Kind.SYNTAX, 3, 3),
        (Kind.NOT_IN_SUBSET, 5, 13),
        (Kind.SYNTAX, 7, 1),
        (Kind.NOT_IN_SUBSET, 8, 1),
        (Kind.SYNTAX, 9, 11),
        (Kind.NOT_IN_SUBSET, 10, 20),
        (Kind.BAD_LITERAL, 11, 3),
    ]
    rules = [shown(item.heads[0]) for item in found if isinstance(item, Rule)]
    assert rules == ["a(3)", "a(5)", "a(6)"]
    assert [item.name for item in found if isinstance(item, tree.RelationDeclaration)] == ["a", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a(1)\nb(2).", "the rule before `b` has no end"),
        ("a(1)\n.decl b()", "the rule before `.decl` has no end"),
        ("a(1", "the file ends inside a rule or a declaration"),
        ("a(1) :- /// doc\n b(1).", "a doc comment stands inside an item"),
        ("a(\x1b[31m).", "the file holds `U+001B`, which cannot be seen"),
        ("a(\N{NO-BREAK SPACE}1).", r"`\xa0` has no meaning here"),
        ("café(1).", "`é` has no meaning here"),
        (f".decl {'a' * 10_000}(x: number)", "the name has more than 200 characters"),
        (f"a({'9' * 10_000}).", "the number is beyond 64 bits"),
        (f"a({'(' * 5_000}1{')' * 5_000}).", "brackets are nested more than 200 deep"),
        (f"a({'-' * 5_000}x).", "an expression has very many levels"),
        (f"a({'-' * 61}x).", "the expression has more than 60 levels"),
        (f"a({' + '.join('1' * 5_000)}).", "an expression has very many levels"),
        (f"a() :- {', '.join(['b()'] * 201)}.", "the body has more than 200 literals"),
        (f"a() :- x = {'count : { r(), x = ' * 70}1{' }' * 70}.", "the expression has more than 60 levels"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, message: str) -> None:
    assert [said for _, _, _, said in problems(text)] == [message]


def test_an_unclosed_comment_is_the_last_thing_reported() -> None:
    assert problems("a(1).\n/* b c .\nd e .") == [(Kind.SYNTAX, 2, 1, "the comment has no end")]


@pytest.mark.parametrize("text", ["", "\n \t\n", "// only a comment", "/* only\n a comment */", "\r\n"])
def test_a_file_may_say_nothing(text: str) -> None:
    assert items(text) == []


def test_many_facts_are_read_in_reasonable_time() -> None:
    text = "".join(f'edge({number}, "n{number}").\n' for number in range(5_000))
    start = time.process_time()
    assert len(items(text)) == 5_000
    assert time.process_time() - start < 10
