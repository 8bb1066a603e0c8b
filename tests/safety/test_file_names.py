"""Names of files: shown in signs that no terminal obeys, and found again where they are not UTF-8."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from policy_kb.commands import program

KB = Path(__file__).parents[2] / "kb"
CASE = KB / "alemtuzumab/scenarios/younger-than-eighteen.yaml"
ODD = [os.fsdecode(b"\xff"), "\x1b[31mred", "two\nlines", "\u202eleft"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a name is any bytes")


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(program, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    for text in (result.stdout, result.stderr):
        assert all(sign.isprintable() or sign == "\n" for sign in text), arguments
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("odd", ODD)
def test_a_case_of_any_name_is_decided_recorded_and_audited(folder: Path, odd: str) -> None:
    case = f"{odd}.yaml"
    shutil.copy(CASE, case)
    code, said, _ = run("decide", "--json", case)
    assert code == 0
    assert json.loads(said)["source"] == case
    Path("determination.json").write_text(said, encoding="utf-8")
    assert run("audit", "determination.json")[1].startswith("sound: ")
    for log in ("plain.log", f"{odd}.log"):
        assert run("decide", case, "--record", log)[0] == 0
        assert run("audit", log)[0] == 0
    assert run("explain", case, "--html", f"{odd}.html")[0] == 0
    assert Path(f"{odd}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("odd", ODD)
def test_a_knowledge_base_of_any_name_answers_the_same(folder: Path, odd: str) -> None:
    shutil.copytree(KB, odd, ignore=shutil.ignore_patterns("scenarios"))
    expected = json.loads(run("decide", "--json", CASE)[1])
    code, said, _ = run("decide", "--json", CASE, "--policy", f"{odd}/alemtuzumab.dl")
    assert json.loads(said) == expected
    shutil.move(f"{odd}/alemtuzumab.dl", f"{odd}/{odd}.dl")
    for command in (("check", odd), ("sql", f"{odd}/{odd}.dl", "initiation"),
                    ("explain", CASE, "--policy", f"{odd}/{odd}.dl")):
        assert run(*command)[0] == code == 0


@pytest.mark.parametrize("odd", ODD)
def test_results_of_any_name_are_written_and_compared_or_refused_in_words(folder: Path, odd: str) -> None:
    pytest.importorskip("duckdb")
    Path("in").mkdir()
    Path("in/request.csv").write_text("case,drug,phase,received\na,Lemtrada,initiation,2025-09-02\n")
    Path(odd).mkdir()
    assert run("batch", "in", "-o", f"{odd}.csv", "--rejects", f"{odd}.rejects.csv")[0] == 0
    for code, _, refusal in (run("batch", "in", "-o", f"{odd}/out.csv"), run("compare", f"{odd}.csv", f"{odd}.csv")):
        assert code == 0 or (code == 1 and "not UTF-8" in refusal)
    assert sorted(os.listdir()) == sorted([odd, "in", f"{odd}.csv", f"{odd}.rejects.csv"])


def test_no_path_of_an_installation_is_shown(folder: Path) -> None:
    for command in (("explain", CASE, "--json"), ("explain", CASE), ("sql", "09-J2000-27", "initiation"),
                    ("about", "09-J2000-27", "--json"), ("check",)):
        output = run(*command)[1].replace(str(CASE), "CASE")
        assert str(KB.parent) not in output, command
