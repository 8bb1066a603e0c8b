"""Whole programs: each folder of `tests/programs` has the rules, the tables they read and the tables they write."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from policy_kb.check.checked import CheckedProgram, constants
from policy_kb.check.program import check_program
from policy_kb.commands.run import command
from policy_kb.diagnostics import Refused, RulesRefused
from policy_kb.evaluate.bottom_up import BottomUp
from policy_kb.evaluate.plain import PlainRule, Row, plain_program
from policy_kb.evaluate.program import evaluate_program, parts
from policy_kb.evaluate.with_pydatalog import WithPyDatalog
from policy_kb.load.tables import read_table
from policy_kb.numbers import wrapped
from policy_kb.parse.includes import parse_program

PROGRAMS = sorted(path for path in (Path(__file__).parents[1] / "programs").iterdir() if path.is_dir())


def read_program(folder: Path) -> tuple[CheckedProgram, dict[str, set[Row]]]:
    program = check_program(*parse_program(folder / f"{folder.name}.dl"))
    tables = {
        table.relation: read_table(program.relations[table.relation], table, folder / "facts")
        for table in program.tables
    }
    return program, tables


def run(program: Path, facts: Path, output: Path) -> Result:
    return CliRunner().invoke(command, [str(program), "--facts", str(facts), "--output", str(output)])


@pytest.mark.parametrize("folder", PROGRAMS, ids=lambda folder: folder.name)
def test_a_program_writes_what_is_expected(folder: Path, tmp_path: Path) -> None:
    facts = folder / "facts"
    result = run(folder / f"{folder.name}.dl", facts if facts.exists() else tmp_path, tmp_path)
    assert result.exit_code == 0, result.output
    written = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert written == {file.name: file.read_text(encoding="utf-8") for file in (folder / "expected").iterdir()}


@pytest.mark.parametrize("folder", PROGRAMS, ids=lambda folder: folder.name)
def test_every_engine_finds_the_same_rows(folder: Path) -> None:
    program, tables = read_program(folder)
    given = {name: set(tables.get(name, ())) for name in program.relations}
    for atom, _ in program.facts:
        given[atom.relation].add(constants(atom))
    whole = plain_program(
        (PlainRule(rule.head, rule.body) for rule in program.rules),
        {name: relation.arity for name, relation in program.relations.items()},
    )
    expected = evaluate_program(program, tables)
    assert BottomUp(whole, whole_number=wrapped).evaluate(given) == expected
    if not any(is_recursive for _, is_recursive in parts(whole)):
        assert WithPyDatalog(whole, whole_number=wrapped).evaluate(given) == expected


CHAIN = 10_000


@pytest.mark.parametrize(
    "rules",
    [
        "r(0). r(y) :- r(x), edge(x, y).",
        f"r({CHAIN}). r(x) :- edge(x, y), r(y).",
        "r(0). s(y) :- r(x), edge(x, y). r(y) :- s(x), edge(x, y).",
        ".decl t(x: number, y: number)\nt(0, 0). t(x, z) :- t(x, y), edge(y, z). r(y) :- t(0, y).",
    ],
    ids=["left", "right", "mutual", "from one node"],
)
def test_a_long_chain_is_followed_to_its_end(rules: str, tmp_path: Path) -> None:
    (tmp_path / "edge.facts").write_text("".join(f"{n}\t{n + 1}\n" for n in range(CHAIN)))
    program = tmp_path / "chain.dl"
    program.write_text(f".decl edge(x: number, y: number)\n.input edge\n.decl r, s(x: number)\n.output r, s\n{rules}\n")
    result = run(program, tmp_path, tmp_path)
    assert result.exit_code == 0, result.output
    found = sum(len((tmp_path / f"{name}.csv").read_text().splitlines()) for name in "rs")
    assert found == CHAIN + 1


def test_annotations_have_no_meaning_in_a_run(tmp_path: Path) -> None:
    program = tmp_path / "p.dl"
    program.write_text('@[unheard_of("x")]\n.decl r(@[one_of("b")] x: symbol)\n.output r\n@[closed]\nr("a").\n')
    assert run(program, tmp_path, tmp_path).exit_code == 0
    assert (tmp_path / "r.csv").read_text() == "a\n"


HEAD = ".decl r(x: number)\n.decl s(x: number)\n.input r\n.output s\n.output t\n.decl t(x: number)\nt(1).\n"


@pytest.mark.parametrize(
    ("rule", "facts", "problem"),
    [
        ("s(1 / x) :- r(x).", "1\n0\n", "p.dl:8:3: error: division by zero: `1 / 0`, from `r(0)` [arithmetic]"),
        ("s(1 % x) :- r(x).", "0\n", "p.dl:8:3: error: division by zero: `1 % 0`, from `r(0)` [arithmetic]"),
        ("s(to_number(cat(\"a\", to_string(x)))) :- r(x).", "1\n", "`a1` is not a number, from `r(1)` [arithmetic]"),
        ("s(x) :- r(x).", None, "r.facts:1:1: error: no such file [unreadable]"),
        ("s(x) :- r(x).", "one\n", "error: `x` is a whole number; the table says `one` [bad-table]"),
        ("s(x) :- r(x).", "1\t2\n", "error: 2 columns where `r` has 1 [bad-table]"),
    ],
)
def test_a_refused_input_ends_with_1_and_writes_nothing(
    rule: str, facts: str | None, problem: str, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    output.mkdir()
    (tmp_path / "p.dl").write_text(HEAD + rule)
    if facts is not None:
        (tmp_path / "r.facts").write_text(facts)
    result = run(tmp_path / "p.dl", tmp_path, output)
    assert isinstance(result.exception, Refused)
    assert not isinstance(result.exception, RulesRefused)
    assert problem in str(result.exception)
    assert list(output.iterdir()) == []


def test_an_output_that_cannot_be_written_leaves_the_others_unwritten(tmp_path: Path) -> None:
    (tmp_path / "p.dl").write_text(HEAD + "s(x) :- r(x).")
    (tmp_path / "r.facts").write_text("1\n")
    (tmp_path / "s.csv").mkdir()
    result = run(tmp_path / "p.dl", tmp_path, tmp_path)
    assert "s.csv:1:1: error: cannot be written" in str(result.exception)
    assert {path.name for path in tmp_path.iterdir()} == {"p.dl", "r.facts", "s.csv"}


@pytest.mark.parametrize("text", [None, b"\xff\xfe", b"r(1", b".decl r(x: number)\n.output q\n"])
def test_rules_that_cannot_be_read_are_refused(text: bytes | None, tmp_path: Path) -> None:
    program = tmp_path / "p.dl"
    if text is not None:
        program.write_bytes(text)
    assert isinstance(run(program, tmp_path, tmp_path).exception, RulesRefused)


def test_folders_that_do_not_exist_are_wrong_usage(tmp_path: Path) -> None:
    program = tmp_path / "p.dl"
    program.write_text(".decl r(x: number)\n.output r\nr(1).\n")
    assert run(program, tmp_path / "absent", tmp_path).exit_code == 2
    assert run(program, tmp_path, tmp_path / "absent").exit_code == 2
    assert run(program, tmp_path, program).exit_code == 2
