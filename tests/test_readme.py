"""The README's commands print what it says."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from policy_kb.commands import program

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONSOLE = re.findall(r"```console\n(\$ (?:.*\n)*?)```", README)
"""Blocks of commands, each behind `$` and before what it prints; `...` in it stands for anything."""


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("block", CONSOLE, ids=[block.partition("\n")[0] for block in CONSOLE])
def test_the_commands_of_the_readme_print_what_the_readme_says(block, tmp_path, monkeypatch):
    (tmp_path / "kb").symlink_to(ROOT / "kb")
    monkeypatch.chdir(tmp_path)
    for command, expected in re.findall(r"\$ (.*)\n((?:(?!\$ ).*\n)*)", block):
        command, _, file = command.partition(" > ")
        name, *arguments = shlex.split(command)
        if name == "policy-kb":
            output = CliRunner().invoke(program, arguments).output
        else:
            output = subprocess.run([name, *arguments], capture_output=True, text=True, check=True).stdout
        if file:
            Path(file).write_text(output)
            output = ""
        assert re.fullmatch(re.escape(expected).replace(r"\.\.\.", ".*"), output), output


def test_the_readme_shows_commands():
    assert len(CONSOLE) >= 4


def test_the_python_of_the_readme_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    first, second, *_ = capsys.readouterr().out.split("\n")
    assert first == "met met"
    assert json.loads(second)["decision"] == "met"


def test_the_rule_and_the_case_of_the_readme_stand_in_the_files_it_names():
    (rule,) = re.findall(r"```prolog\n(.*?)```", README, re.DOTALL)
    assert rule in (ROOT / "kb/alemtuzumab/initiation.dl").read_text()
    (case,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    scenario = (ROOT / "kb/alemtuzumab/scenarios/two-relapses-and-an-enhancing-lesion.yaml").read_text()
    assert all(line in scenario for line in case.splitlines())


def test_every_command_has_help_with_an_example_and_stands_in_the_readme():
    runner = CliRunner()
    for name in program.commands_there_are():
        text = runner.invoke(program, [name, "--help"]).stdout
        assert "Example" in text, name
        assert f"| `{name}" in README, name
