"""How the text of a case file is taken apart: nothing guessed, everything with its place, nothing that can hurt."""

from __future__ import annotations

import json
import os
import sys
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_kb.diagnostics import CaseRefused, Kind
from policy_kb.load import documents
from policy_kb.load.cases import asked, load_case
from policy_kb.load.documents import (
    DEEPEST_NESTING,
    Document,
    Form,
    Mapping,
    Node,
    Scalar,
    Sequence,
    parse_document,
    read_documents,
)
from policy_kb.source import Span
from policy_kb.text import normal
from tests.load.vocabulary import BASE, KNOWN, PROGRAM, documents_of, facts_of, pinned


def shape(node: Node) -> object:
    """A node without its places."""
    if isinstance(node, Mapping):
        return {entry.key: shape(entry.node) for entry in node.entries}
    if isinstance(node, Sequence):
        return [shape(item) for item in node.items]
    return node.text, node.form


def places(node: Node) -> list[str]:
    """`line:column-end` of every part, in the order of the text."""
    found = [f"{node.span.line}:{node.span.column}-{node.span.end}"]
    if isinstance(node, Mapping):
        for _, key_span, child in node.entries:
            found += [f"{key_span.line}:{key_span.column}-{key_span.end}", *places(child)]
    elif isinstance(node, Sequence):
        for child in node.items:
            found += places(child)
    return found


def only(text: str | bytes, ending: str = "yaml") -> Document:
    [document] = documents_of(text, ending)
    return document


def refused(text: str | bytes, ending: str = "yaml") -> list[tuple[str, str, str, str | None, str | None]]:
    return [pinned(problem) for problem in only(text, ending).problems]


# --- the parts and their places ---


def test_yaml_scalars_are_text_and_keep_whether_they_were_quoted() -> None:
    text = "a: on\nb: 'on'\nc: 2025-07-15\nd: 012\ne: ~\nf:\ng: ''\nh: [null, \"null\", true]\ni: {1: no}\n"
    assert shape(only(text).case) == {
        "a": ("on", Form.PLAIN),
        "b": ("on", Form.QUOTED),
        "c": ("2025-07-15", Form.PLAIN),
        "d": ("012", Form.PLAIN),
        "e": ("", Form.NOTHING),
        "f": ("", Form.NOTHING),
        "g": ("", Form.QUOTED),
        "h": [("", Form.NOTHING), ("null", Form.QUOTED), ("true", Form.PLAIN)],
        "i": {"1": ("no", Form.PLAIN)},
    }


def test_json_scalars_keep_their_type_and_the_text_of_numbers() -> None:
    text = r'{"a": "x\nü\u00e9", "b": 12.50, "c": -1E+3, "d": true, "e": false, "f": null, "g": [], "h": {}'
    assert shape(only(text + r', "i": "\ud83d\ude00"}', "json").case) == {
        "a": ("x\nüé", Form.TEXT),
        "b": ("12.50", Form.NUMBER),
        "c": ("-1E+3", Form.NUMBER),
        "d": ("true", Form.TRUTH),
        "e": ("false", Form.TRUTH),
        "f": ("", Form.NOTHING),
        "g": [],
        "h": {},
        "i": ("😀", Form.TEXT),
    }


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_part_of_yaml_knows_its_place(line_break: str, mark: str) -> None:
    text = "é: '😀'\ntherapy:\n  - product: Avonex\n    started: 2021\n  - {product: Rebif}\n"
    assert places(only((mark + text).replace("\n", line_break)).case) == [
        *("1:1-7", "1:1-2", "1:4-7"),
        *("2:1-8", "3:3-20"),
        *("3:5-20", "3:5-12", "3:14-20", "4:5-12", "4:14-18"),
        *("5:5-21", "5:6-13", "5:15-20"),
    ]


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_part_of_json_knows_its_place(line_break: str, mark: str) -> None:
    text = '{"é": "😀",\n "therapy": [\n  {"product": "Avonex",\n   "n": 12}, true]}\n'
    assert places(only((mark + text).replace("\n", line_break), "json").case) == [
        *("1:1-11", "1:2-5", "1:7-10"),
        *("2:2-11", "2:13-14"),
        *("3:3-24", "3:4-13", "3:15-23", "4:4-7", "4:9-11", "4:14-18"),
    ]


def test_ndjson_documents_know_their_line_and_blank_lines_are_skipped() -> None:
    found = documents_of('\ufeff{"case": "A"}\r\n\n  \n{"case": "B"}', "ndjson")
    assert [(one.case.span, one.line_text(one.case.span.line)) for one in found] == [
        (Span("case.ndjson", 1, 1, 14), '{"case": "A"}'),
        (Span("case.ndjson", 4, 1, 14), '{"case": "B"}'),
    ]
    assert documents_of("", "jsonl") == []


def test_a_bad_line_of_ndjson_does_not_hide_the_others() -> None:
    lines = [b'{"case": "A"}', b'{"case": ', b'{"case": "\xff"}', b"[1]", b'{"case": "B"}']
    found = documents_of(b"\n".join(lines), "ndjson")
    assert [[f"{problem.span.line}: {problem.message}" for problem in one.problems] for one in found] == [
        [],
        ["2: not JSON: the end of the text where a value is expected"],
        ["3: not UTF-8 text"],
        ["4: a list where a case is expected"],
        [],
    ]
    assert [one.is_readable for one in found] == [True, False, False, False, True]


def test_ndjson_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "many.ndjson"
    path.write_text('{"case": "A"}\n' * 3)
    found = read_documents(path)
    next(found)
    path.write_text("")
    assert len(list(found)) <= 2


def test_a_line_of_ndjson_beyond_the_longest_is_refused_and_the_next_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LONGEST_LINE", 2**20)
    long = json.dumps({"case": "x" * 2**20})
    fitting = json.dumps({"case": "x" * (2**20 - 12)})
    found = documents_of(f"{long}\n{fitting}\n{long}", "ndjson")
    assert [[problem.message for problem in one.problems] for one in found] == [
        ["the line has more than 1 MiB"],
        [],
        ["the line has more than 1 MiB"],
    ]


def test_the_parser_written_in_python_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = BASE + "therapy:\n  - {product: 'é', started: ~}\n  - &x []\nrelapse: *x\nmri: !!str a\n"
    by_c = only(text)
    monkeypatch.setitem(sys.modules, "yaml._yaml", None)
    by_python = only(text)
    assert by_python.case == by_c.case
    assert by_python.problems == by_c.problems
    assert refused('a: "\\UFFFFFFFF"')[0][2].startswith("not YAML: ")
    assert refused("a: \x07")[0][:2] == ("1:4", "\x07")


# --- refusals ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("1:1", "", "the document is empty", "write `case: NAME`, then one key per relation")),
        ("# nothing\n", ("1:1", "", "the document is empty", "write `case: NAME`, then one key per relation")),
        ("~", ("1:1", "~", "the document is empty", "write `case: NAME`, then one key per relation")),
        ("A-1", ("1:1", "A-1", "text where a case is expected", "write `case: NAME`, then one key per relation")),
        (
            "- case: A",
            ("1:1", "- case: A", "a list where a case is expected", "one case a file, or NDJSON with one case a line"),
        ),
        (
            "case: A\n---\ncase: B",
            ("2:1", "-", "a second document begins", "one case a file, or NDJSON with one case a line"),
        ),
        (
            "case: A\nproduct: other: x",
            (
                "2:15",
                ":",
                "not YAML: mapping values are not allowed in this context",
                'put text that holds `: ` in quotes, such as `"other: NAME"`',
            ),
        ),
        (
            "a:\n\t- b",
            (
                "2:1",
                "\t",
                "not YAML: found character that cannot start any token",
                "indent with spaces, and put text that begins with a special sign in quotes",
            ),
        ),
        ("a: 'b", ("1:6", "", "not YAML: found unexpected end of stream", "a quote is not closed")),
        (
            "a: \x07",
            ("1:4", "\x07", r"not YAML: the text holds the control character `\x07`", None),
        ),
        (
            "? {a: b}\n: c",
            ("1:3", "{a: b}", "a key must be plain text", "write `relation: rows`"),
        ),
        ('"": c', ("1:1", '""', "a key is empty", "name a relation")),
        (
            "a: 1\nb: 2\na: 3",
            (
                "3:1",
                "a",
                "`a` is given twice",
                "it stands in line 1 already: write one of them, or join their rows in one list",
            ),
        ),
        ("a: &x 1", ("1:4", "&x 1", "`&x` names this part", "remove it, and write repeated parts out")),
        ("a: *x", ("1:4", "*x", "`*x` stands for another part", "write that part out")),
        ("a: ! b", ("1:4", "! b", "`!` is a tag", "remove it: values are read by the type of their attribute")),
        (
            "a: !!python/object/apply:os.system [x]",
            (
                "1:4",
                "!!python/object/apply:os.system [",
                "`!!python/object/apply:os.system` is a tag",
                "remove it: values are read by the type of their attribute",
            ),
        ),
        ("<<: {a: 1}", ("1:1", "<<", "`<<` merges another mapping into this one", "write its keys out")),
    ],
    ids=lambda value: repr(value) if isinstance(value, str) else "",
)
def test_yaml_that_is_no_case_is_refused(text: str, expected: tuple[str, str, str, str | None]) -> None:
    [(place, underlined, message, _, hint)] = refused(text)
    assert (place, underlined, message.rpartition(" [")[0], hint) == expected


HALF = r"`\ud83d` needs its second half"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("1:1", "", "not JSON: the end of the text where a value is expected", None)),
        ("[1]", ("1:1", "[1]", "a list where a case is expected", "one case a file, or NDJSON with one case a line")),
        ("null", ("1:1", "null", "the document is empty", "write `case: NAME`, then one key per relation")),
        ("12", ("1:1", "12", "text where a case is expected", "write `case: NAME`, then one key per relation")),
        ('{"a": 1} {', ("1:10", "{", "not JSON: `{` after the end of the document", "one document a file")),
        ('{"a": 1,}', ("1:8", ",", "not JSON: a `,` before `}`", "remove the comma")),
        ('{"a": [1,\n]}', ("1:9", ",", "not JSON: a `,` before `]`", "remove the comma")),
        ('{"a": 1 "b": 2}', ("1:9", '"', 'not JSON: `"` where `,` or `}` is expected', None)),
        ('{"a" 1}', ("1:6", "1", "not JSON: `1` where `:` and a value is expected", None)),
        ("{a: 1}", ("1:2", "a", "not JSON: `a` where a key in double quotes is expected", None)),
        (
            "{'a': 1}",
            ("1:2", "'", "not JSON: `'` where a key in double quotes is expected", "JSON puts text in double quotes"),
        ),
        ('{"a": // no\n1}', ("1:7", "/", "not JSON: `/` where a value is expected", "JSON has no comments")),
        ('{"a": True}', ("1:7", "T", "not JSON: `True` where a value is expected", None)),
        ('{"a": 01}', ("1:7", "0", "not JSON: `01` where a value is expected", None)),
        ('{"a": 1.}', ("1:7", "1", "not JSON: `1.` where a value is expected", None)),
        ('{"a": "b', ("1:7", '"', "not JSON: the text has no closing quote", None)),
        ('{"a": "b\nc"}', ("1:9", "", "not JSON: invalid control character", None)),
        (r'{"a": "\x"}', ("1:8", "\\", r"not JSON: invalid \escape", None)),
        (
            r'{"a": "\ud83d"}',
            ("1:7", r'"\ud83d"', "the text holds half a character", HALF),
        ),
        (r'{"\ud83d": 1}', ("1:2", r'"\ud83d"', "the text holds half a character", HALF)),
        ('{"": 1}', ("1:2", '""', "a key is empty", "name a relation")),
        ('{"a": NaN}', ("1:7", "NaN", "`NaN` is not a number", "write a finite number")),
        ('{"a": [-Infinity]}', ("1:8", "-Infinity", "`-Infinity` is not a number", "write a finite number")),
        (
            '{"a": 1, "a": 2}',
            (
                "1:10",
                '"a"',
                "`a` is given twice",
                "it stands in column 2 already: write one of them, or join their rows in one list",
            ),
        ),
    ],
    ids=lambda value: repr(value) if isinstance(value, str) else "",
)
def test_json_that_is_no_case_is_refused(text: str, expected: tuple[str, str, str, str | None]) -> None:
    [(place, underlined, message, _, hint)] = refused(text, "json")
    assert (place, underlined, message.rpartition(" [")[0], hint) == expected


def test_what_is_refused_in_a_document_is_found_all_at_once_with_its_path() -> None:
    text = '{"therapy": [{"product": NaN, "product": 1}, {"on": Infinity}], "": 2}'
    assert [(place, path) for place, _, _, path, _ in refused(text, "json")] == [
        ("1:26", "therapy[0].product"),
        ("1:31", "therapy[0].product"),
        ("1:53", "therapy[1].on"),
        ("1:65", None),
    ]
    text = "therapy:\n  - {product: *x, product: 1}\n  - {on: !a b}\n? [a]\n: &y c\n"
    assert [(place, path) for place, _, _, path, _ in refused(text)] == [
        ("2:15", "therapy[0].product"),
        ("2:19", "therapy[0].product"),
        ("3:10", "therapy[1].on"),
        ("4:3", None),
        ("5:3", "?"),
    ]


@pytest.mark.parametrize("ending", ["json", "yaml", "ndjson"])
@pytest.mark.parametrize("depth", [DEEPEST_NESTING, 100_000])
def test_nesting_beyond_the_deepest_is_refused_before_it_is_followed(ending: str, depth: int) -> None:
    text = '{"a": ' + "[" * depth + "]" * depth + "}"
    [(place, _, message, _, hint)] = refused(text, ending)
    assert message == "nested more than 20 deep [bad-document]"
    # A parser of YAML that looks ahead and has a limit of its own sees it there.
    assert place == "1:26" or (ending == "yaml" and depth > 1000)
    assert hint == "a case is a mapping of lists of rows"
    fitting = '{"a": ' + "[" * (DEEPEST_NESTING - 1) + "]" * (DEEPEST_NESTING - 1) + "}"
    assert refused(fitting, ending) == []


def test_a_yaml_bomb_is_refused_at_its_first_alias() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    problems = refused("\n".join(lines))
    assert problems[0][:3] == ("1:5", "&a0 [", "`&a0` names this part [bad-document]")
    assert problems[2][:3] == ("2:10", "*a0", "`*a0` stands for another part [bad-document]")


# --- scenarios ---

SCENARIO = """description: what is tested
case:
  case: A-1
  request: {drug: Lemtrada, phase: initiation, received: 2025-09-02}
  relapse: [2025-03-02]
readings: {benefit: any}
expect: {decision: met}
"""


def test_a_scenario_holds_a_case_with_its_places() -> None:
    document = only(SCENARIO)
    assert document.scenario is not None
    assert [entry.key for entry in document.scenario.entries] == ["description", "case", "readings", "expect"]
    facts = load_case(PROGRAM, KNOWN, document)
    assert facts.rows["relapse"][0].span == Span("case.yaml", 5, 13, 23)
    assert facts.rows["relapse"][0].path == "relapse[0]"
    assert asked(document).request["drug"] == "Lemtrada"
    assert only(BASE).scenario is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            SCENARIO + "expects: 1\n",
            (
                "8:1",
                "expects",
                "`expects` is not a key of a scenario [bad-document]",
                "expects",
                "did you mean `expect`?",
            ),
        ),
        (
            SCENARIO + "age: 40\n",
            (
                *("8:1", "age", "`age` is not a key of a scenario [bad-document]", "age"),
                "a scenario has the keys `description`, `case`, `readings` and `expect`",
            ),
        ),
        (
            SCENARIO.replace("expect:", "# "),
            (
                *("2:1", "case", "the scenario has no `expect` [bad-document]", None),
                "a scenario says what is expected; in a case, `case` is its name",
            ),
        ),
        (
            SCENARIO.replace("description:", "# "),
            (
                *("2:1", "case", "the scenario has no `description` [bad-document]", None),
                "a scenario says what is expected; in a case, `case` is its name",
            ),
        ),
    ],
)
def test_a_scenario_with_other_keys_is_refused(text: str, expected: tuple[str, ...]) -> None:
    assert refused(text) == [expected]


# --- files ---


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("case.txt", "`.txt` is not the ending of a case file"),
        ("case", "the file's name has no ending"),
        ("absent.yaml", "no such file"),
        ("absent.ndjson", "no such file"),
        ("folder.json", "not a regular file"),
        ("folder.ndjson", "not a regular file"),
        ("pipe.ndjson", "not a regular file"),
        ("latin.yaml", "not UTF-8 text"),
        ("nul.json", "the text holds a NUL character"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "case.txt").write_text(BASE)
    (tmp_path / "case").write_text(BASE)
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "folder.ndjson").mkdir()
    os.mkfifo(tmp_path / "pipe.ndjson")
    (tmp_path / "latin.yaml").write_bytes(b"case: \xe9")
    (tmp_path / "nul.json").write_bytes(b'{"case": "\0"}')
    with pytest.raises(CaseRefused) as caught:
        list(read_documents(tmp_path / name, "the case"))
    [problem] = caught.value.diagnostics
    assert (problem.message, problem.kind.value, str(problem.span)) == (message, "unreadable", "the case:1")
    assert problem.hint


def test_a_file_beyond_the_longest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LONGEST_CASE", 2**20)
    path = tmp_path / "case.yaml"
    path.write_text("#" * 2**20 + "\n")
    with pytest.raises(CaseRefused, match="the file has more than 1 MiB"):
        list(read_documents(path))


@pytest.mark.parametrize("ending", ["YAML", "yml", "Json"])
def test_letter_case_of_the_ending_does_not_matter(ending: str) -> None:
    assert only('{"case": "A"}', ending).case.find("case")


# --- Python data ---


def test_python_data_gives_the_same_parts() -> None:
    value = {"a": "x", "b": 12, "c": 12.5, "d": True, "e": None, "f": (date(2025, 7, 15),), "g": {"h": []}, "i": 10**30}
    document = parse_document(value, "from the program")
    assert shape(document.case) == {
        "a": ("x", Form.TEXT),
        "b": ("12", Form.NUMBER),
        "c": ("12.5", Form.NUMBER),
        "d": ("true", Form.TRUTH),
        "e": ("", Form.NOTHING),
        "f": [("2025-07-15", Form.TEXT)],
        "g": {"h": []},
        "i": (str(10**30), Form.NUMBER),
    }
    assert document.case.span == Span("from the program", 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [float("nan")]}, ("a[0]", "`nan` is not a number")),
        ({"a": -float("inf")}, ("a", "`-inf` is not a number")),
        ({"a": datetime(2025, 7, 15)}, ("a", "a time where a date is expected")),
        ({"a": {"b": object()}}, ("a.b", "a value of an unknown sort")),
        ({"a": b"x"}, ("a", "a value of an unknown sort")),
        ({1: "x"}, (None, "a key must be text")),
        ({"a": {"": "x"}}, ("a", "a key must be text")),
        ({"a": "\ud83d"}, ("a", "the text holds half a character")),
        ([], (None, "a list where a case is expected")),
        (None, (None, "the document is empty")),
        ("x", (None, "text where a case is expected")),
        (object(), (None, "a value of an unknown sort")),
    ],
)
def test_python_data_that_no_case_can_hold_is_refused(value: object, expected: tuple[str | None, str]) -> None:
    [problem] = parse_document(value).problems
    assert (problem.path, problem.message) == expected
    assert problem.hint


def test_python_data_that_holds_itself_is_refused() -> None:
    value: dict[str, object] = {}
    value["a"] = value
    [problem] = parse_document(value).problems
    assert problem.message == "nested more than 20 deep"


def test_a_very_long_whole_number_is_out_of_range() -> None:
    document = parse_document({"case": "A", "request": [], "age": 10**10_000})
    with pytest.raises(CaseRefused, match="`years` is out of range"):
        load_case(PROGRAM, KNOWN, document)


# --- anything at all ---

_SIGNS = st.text("{}[]:,-\"'&*!|>#?~ \n\t\\abc018.e+%@`")
_ANY_TEXT = st.text() | _SIGNS | st.builds(lambda rest: BASE + rest, _SIGNS)
_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["case", "relapse", "request"]), inner),
).map(json.dumps)


@given(
    st.one_of(st.binary(), st.builds(str.encode, st.one_of(_ANY_TEXT, _ANY_JSON))).filter(lambda raw: len(raw) < 5000),
    st.sampled_from(["yaml", "json", "ndjson"]),
)
def test_anything_at_all_is_a_document_or_refused(raw: bytes, ending: str) -> None:
    try:
        found = documents_of(raw, ending)
    except CaseRefused as caught:
        str(caught).encode()
        return
    for document in found:
        try:
            asked(document)
            load_case(PROGRAM, KNOWN, document)
        except CaseRefused as caught:
            str(caught).encode()


@given(_ANY_JSON)
def test_json_is_read_as_the_standard_library_reads_it_but_for_keys_in_their_normal_form(text: str) -> None:
    def expected(value: object) -> object:
        if isinstance(value, dict):
            return {normal(key): expected(item) for key, item in value.items()}
        if isinstance(value, list):
            return [expected(item) for item in value]
        if value is None:
            return "", Form.NOTHING
        if isinstance(value, bool):
            return str(value).lower(), Form.TRUTH
        return (value, Form.TEXT) if isinstance(value, str) else (repr(value), Form.NUMBER)

    document = only(f'{{"value": {text}}}', "json")
    if not document.problems:
        assert shape(document.case) == {"value": expected(json.loads(text))}


@pytest.mark.parametrize("form", ["json", "yaml", "python"])
def test_keys_are_read_in_their_normal_form_and_two_that_are_then_equal_are_one_given_twice(form: str) -> None:
    def document_of(*keys: str) -> Document:
        if form == "python":
            return parse_document(dict.fromkeys(keys, "x"))
        if form == "json":
            return only("{" + ", ".join(f'"{key}": "x"' for key in keys) + "}", "json")
        return only("".join(f'"{key}": x\n' for key in keys))

    for key in ("caf\u00e9", "cafe\u0301", " caf\u00e9", "caf\u00e9\u00a0"):
        document = document_of(key)
        assert not document.problems
        assert [entry.key for entry in document.case.entries] == ["caf\u00e9"]
        [problem] = document_of("caf\u00e9 ", key).problems
        assert (problem.kind, problem.message) == (Kind.DUPLICATE_KEY, "`caf\u00e9` is given twice")
    [problem] = document_of("a\u200bb").problems
    assert "U+200B" in problem.message


def test_scalars_are_only_read_by_their_attribute() -> None:
    facts = facts_of(BASE + "prior_approval: no\nage: '40'\nrelapse: '2025-07-15'\n")
    assert [facts.rows[name][0].values[1] for name in ("prior_approval", "age", "relapse")] == ["no", 40, 20284]
    assert isinstance(only("case: no").case.entries[0].node, Scalar)
