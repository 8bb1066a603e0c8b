"""Every kind of mistake in rule files: `tests/bad/KIND.dl`, and beside it what is said about it, word for word."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from policy_kb.diagnostics import Kind, RulesRefused
from policy_kb.pipeline import parse_and_check

BAD = Path(__file__).parents[1] / "bad"

NOT_OF_RULES = {
    # of a file that cannot be read at all
    Kind.UNREADABLE,
    # of an evaluation
    Kind.TOO_MANY_ROWS,
    # of cases, tables and queries
    Kind.BAD_DOCUMENT, Kind.DUPLICATE_KEY, Kind.MISSING_ATTRIBUTE, Kind.MISSING_RELATION, Kind.NO_VALUE,
    Kind.WRONG_TYPE, Kind.BELOW_LEAST, Kind.ABOVE_MOST, Kind.SECOND_ROW, Kind.NOT_UNCERTAIN, Kind.REFUSED_ROW,
    Kind.DUPLICATE_CASE,
    Kind.NO_POLICY, Kind.BAD_TABLE, Kind.BAD_QUERY, Kind.ROW_TWICE, Kind.READ_AS,
    # of a knowledge base: see `tests/choose`
    Kind.CLAIMED_TWICE,
    # of command lines
    Kind.USAGE, Kind.NOT_INSTALLED, Kind.ENDED,
}  # fmt: skip


def said_about(entry: Path) -> str:
    try:
        diagnostics = parse_and_check(entry).program.warnings
    except RulesRefused as refused:
        diagnostics = tuple(refused.diagnostics)
    return "\n".join(f"{diagnostic}\n" for diagnostic in diagnostics)


@pytest.mark.parametrize("entry", sorted(BAD.glob("*.dl")), ids=lambda path: path.stem)
def test_what_is_said_about_a_bad_rule_file(
    entry: Path, golden: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(BAD.parents[1])
    said = said_about(entry.relative_to(BAD.parents[1]))
    assert f"[{entry.stem}]" in said
    golden(entry.with_suffix(".txt"), said)


@pytest.mark.parametrize("kind", sorted(set(Kind) - NOT_OF_RULES))
def test_every_kind_of_mistake_in_rules_has_an_example(kind: Kind) -> None:
    assert (BAD / f"{kind}.dl").exists()


@pytest.mark.parametrize("expected", sorted(BAD.glob("*.txt")), ids=lambda path: path.stem)
def test_messages_are_of_one_style(expected: Path) -> None:
    text = expected.read_text(encoding="utf-8")
    heads = re.findall(r"^\S+:\d+:\d+: (?:error|warning): (.*) \[[a-z-]+\]$", text, re.MULTILINE)
    hints = re.findall(r"^ *= help: (.*)$", text, re.MULTILINE)
    assert heads
    for line in (*heads, *hints):
        outside = re.sub(r"`[^`]*`", "", line)
        assert not line.endswith(".")
        assert not re.search(r"\b[A-Z][a-z]", outside.replace("Date", "")), line
