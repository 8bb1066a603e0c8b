"""What is kept in the cache can run no code, and never gives another answer than the files that there are."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_kb import cache, kept, pipeline, policies
from policy_kb.evaluate import known
from policy_kb.parse.tree import Atom, Constant
from policy_kb.source import Span

ROOT = Path(__file__).parents[2]
PLAIN = st.none() | st.booleans() | st.integers() | st.text() | st.fractions()
CONSTANTS = st.builds(Constant, PLAIN, st.builds(Span, st.text(), st.integers()))
VALUES = st.recursive(
    PLAIN | CONSTANTS,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(PLAIN, inner)
    | st.sets(PLAIN) | st.frozensets(PLAIN | CONSTANTS)
    | st.builds(Atom, st.text(), st.lists(inner).map(tuple), st.builds(Span, st.text(), st.integers())),
    max_leaves=20,
)
RULES = """.include "inner/limits.dl"
.decl least(x: number)
least(x) :- limit(x), !table(x).
.decl table(x: number)
.input table(filename = "t.csv")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the rules of a small program; the cache is another one."""
    monkeypatch.setenv("POLICY_KB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "kb/inner").mkdir(parents=True)
    (tmp_path / "kb/p.dl").write_text(RULES)
    (tmp_path / "kb/t.csv").write_text("1\n")
    (tmp_path / "kb/inner/limits.dl").write_text(".decl limit(x: number)\nlimit(1). limit(12).\n")
    return tmp_path / "kb"


def least(folder: Path) -> set[Any]:
    return set(policies.checked_rules(folder / "p.dl").known["least"])


def entry(folder: Path) -> Path:
    [file] = (folder.parent / "cache").iterdir()
    return file


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The entries that were read and checked, instead of being taken from the cache."""
    found: list[Path] = []
    read = pipeline.parse_and_check
    monkeypatch.setattr(pipeline, "parse_and_check", lambda path, *rest: found.append(path) or read(path, *rest))
    return found


def typed(value: Any) -> Any:
    """A value with the types of all its parts: `1`, `True` and `Fraction(1)` are equal."""
    if isinstance(value, dict):
        return dict, sorted(((typed(key), typed(part)) for key, part in value.items()), key=repr)
    if isinstance(value, set | frozenset):
        return type(value), sorted(map(typed, value), key=repr)
    if isinstance(value, list | tuple):
        return type(value), list(map(typed, value))
    return (type(value), list(map(typed, vars(value).values()))) if hasattr(value, "span") else (type(value), value)


@given(VALUES)
def test_what_is_kept_reads_back_equal(value: object) -> None:
    assert typed(kept.decoded(kept.encoded(value))) == typed(value)


def test_what_may_be_changed_is_not_shared() -> None:
    one, other = kept.decoded(kept.encoded([{"a": set()}, {"a": set()}]))
    one["a"].add(1)
    assert other == {"a": set()}


@pytest.mark.parametrize("value", [object(), 1.5, b"x", print, int, Path("x"), {1: {2: lambda: 0}}])
def test_nothing_else_is_kept(value: object) -> None:
    with pytest.raises(TypeError, match="not kept"):
        kept.encoded(value)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "policy_kb.cache.write", "policy_kb.policies.Policy"])
def test_a_text_makes_nothing_but_plain_values_and_records(name: str) -> None:
    with pytest.raises(KeyError):
        kept.decoded(json.dumps([["touch x"], [[name, 1, [0]]], 1]))


def test_the_rules_that_ship_are_kept_whole() -> None:
    rules = pipeline.parse_and_check(ROOT / "kb/alemtuzumab.dl")
    for phase in rules.program.phases:
        pipeline.worlds_of(rules, phase)
    found = kept.decoded(kept.encoded(rules))
    assert found == rules
    assert found.program.warnings == rules.program.warnings
    assert [rule.head.span for rule in found.program.rules] == [rule.head.span for rule in rules.program.rules]


# never stale


def test_what_is_kept_is_taken_while_no_file_changes(folder: Path, parsed: list[Path]) -> None:
    assert least(folder) == least(folder) == {(12,)}
    assert len(parsed) == 1


EDITS: dict[str, Callable[[Path], object]] = {
    "included": lambda folder: (folder / "inner/limits.dl").write_text(".decl limit(x: number)\nlimit(50). limit(1)."),
    "table": lambda folder: (folder / "t.csv").write_text("12\n"),
    "linked": lambda folder: _exchange(folder / "inner/limits.dl", folder / "other.dl"),
    "looked for": lambda folder: shutil.copy(folder / "later.dl", folder / "nearer/limits.dl"),
}
AFTERWARDS = {"included": {(50,)}, "table": {(1,)}, "linked": {(13,)}, "looked for": {(14,)}}


def _exchange(place: Path, target: Path) -> None:
    place.unlink()
    place.symlink_to(target)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("is_while_read", [False, True])
def test_an_edit_is_seen_whenever_it_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch, edit: str, is_while_read: bool
) -> None:
    """While the rules are read it comes too late for them, but not for what is read next."""
    for name, limit in (("other", 13), ("later", 14)):
        (folder / f"{name}.dl").write_text(f".decl limit(x: number)\nlimit(1). limit({limit}).\n")
    if edit == "looked for":
        # Found in the knowledge base, until there is a file of this name beside the one that includes it.
        (folder / "nearer").mkdir()
        shutil.move(folder / "inner/limits.dl", folder / "limits.dl")
        (folder / "nearer/p.dl").write_text('.include "limits.dl"\n')
        (folder / "p.dl").write_text(RULES.replace("inner/limits.dl", "nearer/p.dl"))
    make = EDITS[edit]
    if is_while_read:
        evaluate = known.evaluate_known

        def evaluate_and_edit(*arguments: Any) -> Any:
            make(folder)
            return evaluate(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(known, "evaluate_known", evaluate_and_edit)
            assert least(folder) == {(12,)}
    else:
        assert least(folder) == {(12,)}
        make(folder)
    assert least(folder) == AFTERWARDS[edit]


# torn, damaged and foreign entries


@settings(max_examples=60)
@given(st.data())
def test_a_torn_or_damaged_entry_is_none(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLICY_KB_CACHE", str(folder))
        file = cache.place("x")
        assert file is not None
        value = data.draw(VALUES)
        cache.write(file, "key", value)
        assert typed(list(cache.read(file))) == typed(["key", value])
        whole = file.read_bytes()
        place = data.draw(st.integers(0, len(whole) - 1))
        sign = data.draw(st.integers(0, 255).filter(lambda sign: sign != whole[place]))
        for damaged in (whole[:place], whole[:place] + bytes([sign]) + whole[place + 1 :], whole + b"x"):
            file.write_bytes(damaged)
            assert list(cache.read(file)) == []


def test_the_entry_of_something_else_is_none(folder: Path) -> None:
    least(folder)
    mine = entry(folder)
    (folder / "q.dl").write_text(".decl least(x: number)\nleast(7).\n")
    assert set(policies.checked_rules(folder / "q.dl").known["least"]) == {(7,)}
    [other] = {*(folder.parent / "cache").iterdir()} - {mine}
    shutil.copy(other, mine)
    assert least(folder) == {(12,)}


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("how", ["file", "folder", "link"])
def test_an_entry_that_others_may_have_written_is_none(folder: Path, parsed: list[Path], how: str) -> None:
    least(folder)
    file = entry(folder)
    if how == "link":
        file.rename(folder / "elsewhere.json")
        file.symlink_to(folder / "elsewhere.json")
    else:
        (file if how == "file" else file.parent).chmod(0o777)
    assert least(folder) == {(12,)}
    assert len(parsed) == 2


# where it is


def test_the_cache_is_never_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "work/inner"
    inner.mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    for name in ("POLICY_KB_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "expanduser", lambda path: path)  # no entry among the users
        assert cache.place("x") is None
    for name, values in {
        "POLICY_KB_CACHE": ["c", ".", "../c", str(inner), str(tmp_path / "work"), str(tmp_path / "link/c"),
                            str(tmp_path / "other/../work/c")],
        "XDG_CACHE_HOME": ["c", ".", str(inner), str(tmp_path / "link")],
        "HOME": ["", ".", "c", str(inner), str(tmp_path / "work")],
    }.items():
        for value in values:
            with monkeypatch.context() as patch:
                patch.setenv(name, value)
                assert cache.place("x") is None, (name, value)
    for name, folder in {"POLICY_KB_CACHE": "", "XDG_CACHE_HOME": "policy-kb", "HOME": ".cache/policy-kb"}.items():
        with monkeypatch.context() as patch:
            patch.setenv(name, str(tmp_path / "mine"))
            file = cache.place("x")
            assert file is not None
            assert file.parent == tmp_path / "mine" / folder
    cache.write(None, "x")
    assert list(cache.read(None)) == []
    assert list((tmp_path / "work").rglob("*")) == [inner]


class Stop(BaseException):
    """An interrupt."""


@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space left on device"), Stop()])
@pytest.mark.parametrize("step", ["fdopen", "replace"])
def test_a_write_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: BaseException, step: str
) -> None:
    monkeypatch.setenv("POLICY_KB_CACHE", str(tmp_path / "cache"))
    file = cache.place("x")
    cache.write(file, "old")

    def failing(*arguments: object, **options: object) -> Any:
        raise problem

    with monkeypatch.context() as patch:
        patch.setattr(cache.os, step, failing)
        try:
            cache.write(file, "new")
        except Stop:
            assert isinstance(problem, Stop)
    assert list(cache.read(file)) == ["old"]
    assert [one.name for one in (tmp_path / "cache").iterdir()] == [file.name if file else ""]
