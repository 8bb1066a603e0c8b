"""Of many cases one is in memory at a time, without help of the garbage collector."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from policy_kb.audit import cases as audit_cases
from policy_kb.commands import program
from policy_kb.load import documents

NUMBER = 8


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many texts of earlier documents there are whenever a document is read."""
    texts: list[weakref.ref[Any]] = []
    found: list[int] = []
    make = documents.DocumentText

    def counted(*arguments: Any) -> Any:
        found.append(sum(text() is not None for text in texts))
        made = make(*arguments)
        texts.append(weakref.ref(made))
        return made

    monkeypatch.setattr(documents, "DocumentText", counted)
    gc.collect()
    gc.disable()
    yield found
    gc.enable()


def lines(folder: Path, number: int = NUMBER, payer: str = "x", *, are_good: bool = False) -> Path:
    """Cases, some of which are refused unless they are to be good, in a file."""
    request = {"drug": "Lemtrada", "phase": "continuation", "received": "2025-09-02"}
    path = folder / "cases.ndjson"
    path.write_text("".join(
        json.dumps({"case": f"c{i}", "request": request, "prior_approval": [payer], **bad}) + "\n"
        for i in range(number) for bad in ({"bad": 1} if i % 4 == 3 and not are_good else {},)
    ))
    return path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(program, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.stdout


@pytest.mark.parametrize("options", [[], ["--json"], ["--sensitivity"]])
def test_a_case_is_gone_when_the_next_but_one_is_read(tmp_path: Path, alive: list[int], options: list[str]) -> None:
    run("decide", lines(tmp_path), *options)
    assert len(alive) == NUMBER
    assert max(alive) <= 2
    singles = []
    for number, line in enumerate(lines(tmp_path).read_text().splitlines()):
        singles.append(tmp_path / f"{number}.json")
        singles[-1].write_text(line)
    alive.clear()
    run("decide", *singles, *options)
    assert len(alive) == NUMBER
    assert max(alive) <= 2


def test_an_audit_keeps_no_case(tmp_path: Path, alive: list[int]) -> None:
    (tmp_path / "all.json").write_text(run("decide", "--json", lines(tmp_path, are_good=True)))
    alive.clear()
    said = run("audit", tmp_path / "all.json")
    assert said.count("sound: ") == NUMBER
    assert "not sound" not in said
    assert max(alive) <= 2


def test_a_case_that_changes_during_an_audit_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = lines(tmp_path, 2)
    (tmp_path / "all.json").write_text(run("decide", "--json", cases))
    find = audit_cases._cases

    def changed(*arguments: Any) -> Any:
        found = find(*arguments)
        lines(tmp_path, 2, "y")
        return found

    monkeypatch.setattr(audit_cases, "_cases", changed)
    result = CliRunner().invoke(program, ["audit", str(tmp_path / "all.json")])
    assert result.exit_code == 1
    assert "the file was changed while it was read" in result.output


def test_a_line_is_found_again_behind_blank_and_too_long_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LONGEST_LINE", 50)
    path = tmp_path / "x.ndjson"
    path.write_text('{"case": "a"}\n\n' + "x" * 51 + "\n" + "x" * 137 + '\n\n{"case": "é"}\r\n{"case": "c"}')
    found = [one for one in documents.read_documents(path) if one.text is not None]
    assert [one.text.text for one in found if one.text] == ['{"case": "a"}', '{"case": "é"}', '{"case": "c"}']
    for one in found:
        assert one.text is not None
        again = documents.document_at(path, str(path), one.text.offset, one.text.first_line)
        assert again == one
