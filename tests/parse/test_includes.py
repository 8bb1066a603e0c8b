"""A rule file with all it includes."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_kb.diagnostics import RulesRefused
from policy_kb.parse.includes import parse_program
from policy_kb.parse.tree import Rule


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name}.dl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "entry.dl"


def relations(entry: Path) -> list[str]:
    program, problems = parse_program(entry)
    assert not problems
    return [item.heads[0].relation for item in program.items if isinstance(item, Rule)]


def messages(entry: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(entry.parent)
    return [f"{problem.span}: {problem.message}" for problem in parse_program(entry)[1]]


def test_a_file_stands_where_it_is_first_included(tmp_path: Path) -> None:
    entry = write(tmp_path, entry='a(1).\n.include "b.dl"\nc(1).\n.include "d.dl"\n', b='b(1).\n.include "d.dl"\n',
                  d="d(1).\n")
    assert relations(entry) == ["a", "b", "d", "c"]


def test_a_path_begins_at_the_including_file(tmp_path: Path) -> None:
    entry = write(tmp_path, entry='.include "sub/b.dl"\n', **{"sub/b": '.include "../c.dl"\nb(1).\n'}, c="c(1).\n")
    assert relations(entry) == ["c", "b"]


def test_one_file_under_two_names_is_read_once(tmp_path: Path) -> None:
    entry = write(tmp_path, entry='.include "b.dl"\n.include "./sub/../b.dl"\n.include "link.dl"\n', b="b(1).\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.dl").symlink_to(tmp_path / "b.dl")
    assert relations(entry) == ["b"]


def test_files_that_include_each_other_are_shown_as_the_cycle_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = write(tmp_path, entry='.include "b.dl"\n', b='\n.include "c.dl"\n', c='.include "b.dl"\n')
    assert messages(entry, monkeypatch) == ["c.dl:1: files include each other: b.dl -> c.dl -> b.dl"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.dl", "`absent.dl` cannot be included: no such file"),
        (".", "`.` cannot be included: not a regular file"),
        ("", "`` cannot be included: not a regular file"),
        ("binary.dl", "`binary.dl` cannot be included: not UTF-8 text"),
        ("a" * 300 + ".dl", f"`{'a' * 60}...` cannot be included: cannot be read: File name too long"),
        ("/etc/passwd", "an included file is named from the folder of the file that includes it"),
    ],
)
def test_a_file_that_cannot_be_included_is_named(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "binary.dl").write_bytes(b"\xff\xfe\x00")
    assert messages(write(tmp_path, entry=f'.include "{name}"\n'), monkeypatch) == [f"entry.dl:1: {message}"]


def test_files_are_not_included_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"f{number}": f'.include "f{number + 1}.dl"\n' for number in range(60)}
    (said,) = messages(write(tmp_path, entry='.include "f0.dl"\n', **files), monkeypatch)
    assert said.endswith("files are included more than 50 deep")


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"r(1).\0"])
def test_an_entry_that_cannot_be_read_is_refused(content: bytes | None, tmp_path: Path) -> None:
    entry = tmp_path / "entry.dl"
    if content is not None:
        entry.write_bytes(content)
    with pytest.raises(RulesRefused):
        parse_program(entry)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    entry = tmp_path / "entry.dl"
    entry.write_bytes(b"\xef\xbb\xbfr(1).")
    assert relations(entry) == ["r"]
