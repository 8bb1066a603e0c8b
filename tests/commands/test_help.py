"""What `--help` says is so: its examples work, and it names the exit codes."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from policy_kb.commands import program

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "kb/alemtuzumab/scenarios"


def text_of(*command: str) -> str:
    return CliRunner(env={"COLUMNS": "80"}).invoke(program, [*command, "--help"]).stdout


def examples(text: str) -> list[str]:
    return re.findall(r"^ +policy-kb (.*)$", text.partition("Example")[2], re.MULTILINE)


COMMANDS = program.commands_there_are()
EXAMPLES = [(name, example) for name in COMMANDS for example in examples(text_of(name))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the files that examples name."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "kb").symlink_to(ROOT / "kb")
    shutil.copy(SCENARIOS / "several-criteria-unmet-at-once.yaml", folder / "case.yaml")
    (folder / "cases").mkdir()
    (folder / "cases/request.csv").write_text("case,drug,phase,received\nA-1001,Lemtrada,initiation,2025-09-02\n")
    (folder / "tables").mkdir()
    (folder / "tables/edge.facts").write_text("a\tb\n")
    (folder / "reachable.dl").write_text(
        ".decl edge(x: symbol, y: symbol)\n.input edge\n.decl reachable(x: symbol, y: symbol)\n.output reachable\n"
        "reachable(x, y) :- edge(x, y).\nreachable(x, z) :- reachable(x, y), edge(y, z).\n"
    )
    run = CliRunner().invoke(program, ["batch", str(folder / "cases"), "-o", str(folder / "old.parquet")])
    assert run.exit_code == 0, run.output
    for name in ("new", "last-year", "after-the-edit"):
        shutil.copy(folder / "old.parquet", folder / f"{name}.parquet")
    log = ["decide", str(folder / "case.yaml"), "--record", str(folder / "decisions.log")]
    assert CliRunner().invoke(program, log).exit_code == 4
    return folder


@pytest.mark.parametrize(("command", "example"), EXAMPLES, ids=[example for _, example in EXAMPLES])
def test_the_examples_of_the_help_work(command, example, folder, monkeypatch):
    monkeypatch.chdir(folder)
    written, _, file = example.partition(" > ")
    if "sha256:..." in written:
        head = re.search(r'"hash":"(sha256:\w+)"', Path("decisions.log").read_text())[1]
        written = written.replace("sha256:...", head)
    result = CliRunner().invoke(program, shlex.split(written))
    assert result.exit_code in (0, 4, 5, 6), result.output
    if file:
        Path(file).write_text(result.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_of_its_command_and_names_the_exit_codes(command):
    text = text_of(command)
    assert any(example.startswith(command) for example in examples(text))
    codes = text.partition("Exit code")[2].partition("Example")[0]
    for code in ("0", "2"):
        assert re.search(rf"\b{code} \w", codes), codes


def test_the_help_of_the_program_has_an_example_and_all_exit_codes():
    text = text_of()
    assert examples(text)
    assert set(re.findall(r"\b([0-9]) \w", text.partition("Exit codes")[2].partition("Example")[0])) == set("0123456")
