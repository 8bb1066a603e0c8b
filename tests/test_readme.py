"""The README's commands print what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from policy_kb.commands import program

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONSOLE = re.findall(r"```console\n\$ (policy-kb .*)\n((?:.*\n)*?)```", README)


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize(("command", "output"), CONSOLE, ids=[command for command, _ in CONSOLE])
def test_a_command_of_the_readme_prints_what_the_readme_says(command, output):
    result = CliRunner().invoke(program, shlex.split(command)[1:])
    assert result.stdout == output


def test_the_readme_shows_commands():
    assert len(CONSOLE) >= 4


def test_the_python_of_the_readme_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == "met met\n"


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
