"""What rules make of texts has a limit, in every engine and command."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from click.testing import CliRunner

from policy_kb import expressions
from policy_kb.commands import program
from policy_kb.expressions import LONGEST_TEXT, MOST_CHARACTERS

TOO_LONG = f"the text has more than {LONGEST_TEXT:,} characters"
DOUBLED = '.decl r(x: symbol)\nr("ab").\nr(cat(x, x)) :- r(x).\n.output r\n'
CUT = """.decl long(x: symbol)
.input long
.decl r(x: symbol)
r(substr(x, 0, 20000)) :- long(x).
.output r
"""
ALL_TEXTS = '.decl r(x: symbol)\nr("").\nr(cat(x, "a")) :- r(x).\nr(cat(x, "b")) :- r(x).\n.output r\n'
"""All texts of two letters: ever more of them, none of them long."""

DOUBLINGS = 12


def policy(unit: str = "ab") -> str:
    """A policy whose rules double a text of the case again and again."""
    links = "".join(
        f"/// text {i} is {{text}}\n.decl text{i}(case: Case, text: symbol)\n"
        f"text{i}(case, cat(text, text)) :- text{i - 1}(case, text).\n" for i in range(1, DOUBLINGS + 1)
    )
    return f"""
.type Case <: symbol
.type Date <: number
/// {{drug}} is asked for
@[single] .decl request(case: Case, drug: symbol, phase: symbol, received: Date)
.input request
/// the note is {{text}}
@[ask("What does the note say?")]
.decl text0(case: Case, text: symbol)
.input text0
{links}
/// the notes are long
@[policy("T-1", phase = "first", title = "A test", revised = "2025-07-15")]
@[criterion("first 1")]
.decl decided(case: Case)
decided(case) :- text{DOUBLINGS}(case, text), strlen(text) > 5000.
"""


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(program, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.output


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize("rules", [DOUBLED, CUT.replace(".input long", 'long("LONG").')])
def test_a_text_that_rules_make_too_long_stops_them_at_its_place(tmp_path: Path, command: str, rules: str) -> None:
    file = tmp_path / "p.dl"
    file.write_text(rules.replace("LONG", "x" * (LONGEST_TEXT + 1)))
    options = ["-D", tmp_path] if command == "run" else []
    code, output = run(command, file, *options)
    line = next(number for number, text in enumerate(rules.split("\n"), 1) if "cat(" in text or "substr(" in text)
    assert code == 3 or (command, code) == ("run", 1)
    assert TOO_LONG in output
    assert f"p.dl:{line}:" in output
    assert list(tmp_path.iterdir()) == [file]


def test_texts_of_a_table_are_cut_within_the_limit(tmp_path: Path) -> None:
    (tmp_path / "p.dl").write_text(CUT)
    (tmp_path / "long.facts").write_text("x" * (LONGEST_TEXT + 1) + "\n")
    code, output = run("run", tmp_path / "p.dl", "-F", tmp_path, "-D", tmp_path)
    assert code != 0
    assert TOO_LONG in output


def test_the_texts_that_rules_make_have_a_limit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "MOST_CHARACTERS", 300_000)
    file = tmp_path / "p.dl"
    file.write_text(ALL_TEXTS)
    tracemalloc.start()
    code, output = run("check", file)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert code == 3
    assert "rules make texts of more than 300,000 characters together" in output
    assert most < 60_000_000
    assert MOST_CHARACTERS <= 50_000_000


def test_a_case_whose_texts_grow_too_long_is_refused_alone_and_alike_by_every_command(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    rules, cases = tmp_path / "p.dl", tmp_path / "cases.ndjson"
    rules.write_text(policy())
    texts = {"short": "a", "fits": "ab", "long": "abc"}
    cases.write_text("".join(
        json.dumps({"case": name, "request": {"drug": "d", "phase": "first", "received": "2025-01-01"},
                    "text0": [text], "record": "complete"}) + "\n" for name, text in texts.items()
    ))
    assert 2**DOUBLINGS * 2 <= LONGEST_TEXT < 2**DOUBLINGS * 3
    code, output = run("decide", cases, "--policy", rules)
    assert code == 1
    assert TOO_LONG in output
    assert ": met" not in output.partition("short:")[0]
    assert [line.split(": ")[:2] for line in output.splitlines() if line.startswith(("short:", "fits:"))] == [
        ["short", "not met"], ["fits", "met"]]
    out = tmp_path / "out.ndjson"
    code, output = run("batch", cases, "-o", out, "--rejects", tmp_path / "rejects.csv", "--policy", rules)
    assert code == 0, output
    assert {(one["case"], one["decision"]) for one in map(json.loads, out.read_text().splitlines())} == {
        ("short", "not met"), ("fits", "met")}
    assert "long" in (tmp_path / "rejects.csv").read_text()
