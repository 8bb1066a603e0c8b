"""Determinations of unknown origin: what cannot be read is refused, with the reason."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_kb.audit.document import DEEPEST, NotJson, parse_json, read_determinations
from policy_kb.diagnostics import Refused

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@given(VALUES, st.booleans())
def test_every_json_value_is_read_as_it_stands(value: object, is_ascii: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=is_ascii)) == value


@given(st.text() | st.text('[]{}",:\\ud8truefalsnN0123456789.eE+-x'))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_json(text)
    except NotJson:
        return


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("{'a': 1}", "not JSON"),
        ('{"a": 1, "a": 2}', "`a` is given twice"),
        ('[{"b": {"a": 1, "a": 1}}]', "`a` is given twice"),
        ('{"a": NaN}', "`NaN` is not a number"),
        ("[-Infinity]", "`-Infinity` is not a number"),
        ("[1e999]", "beyond what a number may be"),
        (f"[{'9' * 5000}]", "too many digits"),
        ("[" * 100_000, f"nested more than {DEEPEST} deep"),
        ('{"a":' * 100_000, f"nested more than {DEEPEST} deep"),
        (f"{'[' * (DEEPEST + 1)}{']' * (DEEPEST + 1)}", f"nested more than {DEEPEST} deep"),
        ('["\\ud83d"]', "half a character"),
        ('"' + '\\"' * 100_000, "not JSON"),
        ("[1] 2", "not JSON"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(NotJson, match=says.replace("[", r"\[")):
        parse_json(text)


def test_nesting_up_to_the_limit_is_read_and_brackets_in_text_do_not_count() -> None:
    assert parse_json("[" * DEEPEST + "]" * DEEPEST)
    assert parse_json(json.dumps("[" * 1000 + '"{')) == "[" * 1000 + '"{'


def test_a_file_holds_one_determination_or_one_a_line(tmp_path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{\n "case": "a"\n}\n')
    assert list(read_determinations(file)) == [(1, {"case": "a"})]
    file.write_text('{"case": "a"}\n\n{"case": "b"}')
    assert list(read_determinations(file)) == [(1, {"case": "a"}), (3, {"case": "b"})]
    file.write_bytes(b'\xef\xbb\xbf{"case": "a"}\r\n')
    assert list(read_determinations(file)) == [(1, {"case": "a"})]


@pytest.mark.parametrize(
    ("raw", "line", "says"),
    [
        (b"", 1, "the file holds no determination"),
        (b"\n \n", 1, "the file holds no determination"),
        (b'{\n "a": \n', 3, "not JSON"),
        (b'{"a": 1}\n{"a": 1\n', 2, "not JSON"),
        (b'{"a": 1}\n{"a": 1, "a": 2}\n', 2, "given twice"),
        (b'{"a": 1}\n\xff\n', 2, "not UTF-8"),
        (b"\xff\n", 1, "not UTF-8"),
        (b'{"a":\0}', 1, "NUL"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_line(tmp_path, raw: bytes, line: int, says: str) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(raw)
    with pytest.raises(Refused) as caught:
        list(read_determinations(file))
    (problem,) = caught.value.diagnostics
    assert says in problem.message
    assert problem.span.line == line


def test_what_is_no_file_is_refused(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "nowhere.json", tmp_path / "pipe", tmp_path / "x\0y"):
        with pytest.raises(Refused):
            list(read_determinations(path))
