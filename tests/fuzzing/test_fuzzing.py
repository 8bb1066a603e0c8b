"""Whatever a stranger supplies is answered or refused: a few inputs of every kind. `bench.fuzz` tries more."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("duckdb")

from policy_kb.source import LONGEST_CASE, LONGEST_RULES
from tests.fuzzing.behaving import complaint, limits_reached_soon, misbehaviour, policies_loaded_once, run_in
from tests.fuzzing.inputs import KINDS, SCENARIOS
from tests.strategies.cases import HypothesisDraw, RandomDraw

SLOW = 10
"""Kinds that are tried less often than so many times in a thousand are slow."""


@pytest.fixture(autouse=True, scope="module")
def _many_commands() -> Iterator[None]:
    with policies_loaded_once(), limits_reached_soon():
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_no_input_does_what_none_may_do(kind: str, effort: int) -> None:
    make, weight = KINDS[kind]
    for seed in range((60 if weight >= SLOW else 3) * effort):
        attempt = make(RandomDraw(random.Random(f"quick {kind} {seed}")))
        assert attempt.complaint() is None, (seed, attempt)


@pytest.mark.parametrize("kind", [kind for kind, (_, weight) in KINDS.items() if weight >= SLOW])
def test_no_input_that_hypothesis_finds_does_either(kind: str) -> None:
    make, _ = KINDS[kind]

    @settings(max_examples=25)
    @given(st.data())
    def on_examples_that_shrink(data: st.DataObject) -> None:
        attempt = make(HypothesisDraw(data.draw))  # type: ignore[arg-type]
        assert attempt.complaint() is None, attempt

    on_examples_that_shrink()


@pytest.mark.parametrize("query", ["///", "/// x", "@[key]", "//", "", "."])
def test_a_query_without_an_atom_is_refused_as_such(query: str, tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_bytes(SCENARIOS[0])
    done = run_in(tmp_path, ["query", "case.yaml", query])
    assert done.code == 1
    assert "error:" in done.errors


def test_what_a_terminal_obeys_is_escaped_in_names_of_files_and_in_logs(tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_bytes(SCENARIOS[0])
    assert run_in(tmp_path, ["decide", "case.yaml", "--record", "x.log"]).code in (0, 4, 5)
    entry = (tmp_path / "x.log").read_bytes()
    (tmp_path / "x.log").write_bytes(entry.replace(b'"hash":"sha256:', b'"hash":"sha256:\\u0085\\u202e\\b', 1))
    determination = run_in(tmp_path, ["decide", "case.yaml", "--json"]).output
    name = json.loads(determination)["case"]
    (tmp_path / "x.json").write_text(determination.replace(f'"case": "{name}"', '"case": "\\u202e"', 1))
    for arguments in (("check", "--json", "\u202e"), ("check", "\u202e.dl"), ("audit", "x.log"),
                      ("audit", "--log", "--json", "x.log"), ("audit", "x.json", "--case", "case.yaml"),
                      ("audit", "x.json", "--case", "case.yaml", "--json")):
        assert complaint(arguments, run_in(tmp_path, arguments)) is None, arguments


# --- what is no plain file ---


COMMANDS = (
    ("decide", "x{}"), ("decide", "x{}", "--json"), ("explain", "x{}"), ("query", "x{}", "therapy(_, _, _)"),
    ("check", "x{}"), ("run", "x{}"), ("about", "x{}"), ("batch", "x{}", "-o", "out.csv"),
    ("compare", "x{}", "x{}"), ("explain", "--from", "x{}", "--case", "A"), ("audit", "x{}"), ("audit", "--log", "x{}"),
    ("decide", "case.yaml", "--policy", "x{}"),
)
ENDINGS = ("", ".yaml", ".json", ".ndjson", ".dl", ".csv", ".parquet", ".duckdb")


@pytest.mark.parametrize("sort", ["pipe", "device", "endless device", "folder", "loop of links", "link to nothing",
                                  "unreadable", "nothing"])
def test_what_is_no_readable_file_is_refused_and_never_waited_for(sort: str, tmp_path: Path) -> None:
    if sort == "unreadable" and os.geteuid() == 0:
        pytest.skip("nothing is unreadable for this user")
    (tmp_path / "case.yaml").write_bytes(SCENARIOS[0])
    for ending in ENDINGS:
        path = tmp_path / f"x{ending}"
        match sort:
            case "pipe":
                os.mkfifo(path)
            case "device":
                path.symlink_to("/dev/tty")
            case "endless device":
                path.symlink_to("/dev/zero")
            case "folder":
                path.mkdir()
            case "loop of links":
                path.symlink_to(path)
            case "link to nothing":
                path.symlink_to("nowhere")
            case "unreadable":
                path.write_text("case: a\n")
                path.chmod(0)
    for command in COMMANDS:
        for ending in ENDINGS:
            arguments = [word.replace("{}", ending) for word in command]
            done = run_in(tmp_path, arguments, seconds=30)
            assert complaint(arguments, done) is None, arguments
            assert done.code in (1, 2, 3), arguments


ODD_NAMES = (
    "a" * 5000, "a/" * 3000, "\x1b[2J.yaml", "\n.yaml", "-", ".", "..", "", " ", "\udcff.yaml", "case\u202ey.yaml"
)


def test_names_that_are_no_names_are_refused() -> None:
    for name in ODD_NAMES:
        for command in COMMANDS:
            arguments = [word.replace("x{}", name) for word in command]
            assert misbehaviour(arguments, {"case.yaml": SCENARIOS[0]}) is None, arguments


# --- sizes ---

CASE = b"case: a\nrequest: {drug: Lemtrada, phase: initiation, received: 2025-09-02}\n"
JSON = b'{"case": "a", "request": {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"}, '

LARGE = {
    "bomb.yaml": b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (sign, sign, b", ".join([b"*%c" % (sign - 1)] * 9)) for sign in b"bcdefghi"
    ),
    "deep.json": b"[" * 100_000,
    "deep.ndjson": b'{"a":' * 100_000,
    "deep.yaml": b"- " * 100_000,
    "deep-flow.yaml": b"{a: " * 100_000,
    "digits.json": JSON + b'"age": ' + b"9" * 1_000_000 + b"}",
    "digits.yaml": CASE + b"age: " + b"9" * 1_000_000 + b"\n",
    "exponent.json": JSON + b'"planned_dose": 1e' + b"9" * 100_000 + b"}",
    "value.yaml": CASE + b"prior_approval: " + b"x" * 1_000_000 + b"\n",
    "key.yaml": CASE + b"x" * 100_000 + b": 1\n",
    "keys.json": JSON + b", ".join(b'"k%d": 1' % number for number in range(20_000)) + b"}",
    "twice.json": JSON + b", ".join([b'"age": 1'] * 20_000) + b"}",
    "rows.yaml": CASE + b"relapse: [" + b"2025-13-01, " * 20_000 + b"]\n",
    "nan.json": JSON + b'"planned_dose": [NaN, Infinity, -Infinity]}',
    "nul.yaml": CASE + b"\0", "nul.json": JSON + b'"a": "\0"}', "nul.ndjson": b"\0\n" * 1000,
    "utf16.yaml": CASE.decode().encode("utf-16"), "utf16.json": JSON.decode().encode("utf-16"),
    "bom.yaml": b"\xef\xbb\xbf" + CASE, "latin.yaml": CASE + b"prior_approval: caf\xe9\n",
    "mixed.ndjson": b'{"case": "\xe9"}\n' + JSON + b'"relapse": []}\n' + '{"case": "é"}'.encode("utf-16") + b"\n",
    "line.ndjson": b'{"case": "' + b"x" * (17 * 2**20) + b'"}\n',
    "lines.ndjson": b"{}\n" * 5_000,
}


@pytest.mark.parametrize("name", LARGE)
def test_what_is_too_much_is_refused_in_bounded_time_and_memory(name: str) -> None:
    for command in ("decide", "explain"):
        assert misbehaviour([command, name], {name: LARGE[name]}) is None


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path: Path) -> None:
    for name, longest in (("x.yaml", LONGEST_CASE), ("x.json", LONGEST_CASE), ("x.dl", LONGEST_RULES)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(longest + 1)
        done = run_in(tmp_path, ["check" if name.endswith("dl") else "decide", name])
        assert done.code in (1, 3)
        assert f"more than {longest // 2**20} MiB" in done.errors
        assert done.memory < 32


def test_included_files_are_limited_together(tmp_path: Path) -> None:
    part = b"// " + b"x" * (LONGEST_RULES // 4) + b"\n"
    for number in range(5):
        (tmp_path / f"part{number}.dl").write_bytes(part)
    (tmp_path / "entry.dl").write_text("".join(f'.include "part{number}.dl"\n' for number in range(5)))
    done = run_in(tmp_path, ["check", "entry.dl"])
    assert done.code == 3
    assert "the rule files have more than 2 MiB together" in done.errors


RULES = {
    "nested.dl": b"r(" + b"(" * 100_000 + b"1",
    "sum.dl": b".decl r(x: number)\nr(1" + b" + 1" * 20_000 + b").\n.output r\n",
    "literals.dl": b".decl r(x: number)\nr(1).\n.decl s(x: number)\ns(x) :- " + b"r(x), " * 5_000 + b"r(x).\n",
    "facts.dl": b".decl r(x: number)\n" + b"".join(b"r(%d).\n" % number for number in range(5_000)) + b".output r\n",
    "mistakes.dl": b"r(.\n" * 50_000,
    "endless.dl": b".decl p(n: number)\np(0).\np(n + 1) :- p(n).\n.output p\n",
    "product.dl": b".decl d(n: number)\nd(0). d(1). d(2). d(3). d(4). d(5). d(6). d(7). d(8). d(9).\n"
                  b".decl p(a: number, b: number, c: number, d: number, e: number, f: number, g: number)\n"
                  b"p(a, b, c, d, e, f, g) :- d(a), d(b), d(c), d(d), d(e), d(f), d(g).\n.output p\n",
    "pattern.dl": b'.decl s(x: symbol)\ns("' + b"a" * 5_000 + b'").\n.decl t(x: symbol)\n'
                  b't(x) :- s(x), match("(a+)+b", x).\n.output t\n',
    "pattern-known-late.dl": b'.decl s(x: symbol, y: symbol)\ns("' + b"a" * 5_000 + b'", "(a|aa)+b").\n'
                             b".decl t(x: symbol)\nt(x) :- s(x, y), match(y, x).\n.output t\n",
    "name.dl": b".decl " + b"r" * 100_000 + b"(x: number)\n",
    "number.dl": b".decl r(x: number)\nr(" + b"9" * 1_000_000 + b").\n",
}


@pytest.mark.parametrize("name", RULES)
def test_rules_that_are_too_much_are_refused_or_end(name: str) -> None:
    for command in ("check", "run"):
        assert misbehaviour([command, name], {name: RULES[name]}) is None


@pytest.mark.parametrize(("name", "reason"), [("endless.dl", "does not end within"), ("product.dl", "`p` gets more")])
def test_rows_without_end_are_stopped_with_the_rule_that_gives_them(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(RULES[name])
    for command, code in (("check", 3), ("run", 1)):
        done = run_in(tmp_path, [command, name])
        assert done.code == code
        assert reason in done.errors
        assert "[too-many-rows]" in done.errors


@pytest.mark.parametrize("name", ["../secret.dl", "link.dl", "links/secret.dl", "/etc/passwd"])
def test_no_rule_file_reads_what_stands_outside_of_its_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.dl").write_text("a secret\n")
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "link.dl").symlink_to(tmp_path / "secret.dl")
    (folder / "links").symlink_to(tmp_path)
    (folder / "entry.dl").write_text(f'.include "{name}"\n')
    done = run_in(folder, ["check", "entry.dl"])
    assert done.code == 3
    assert "secret\n" not in done.errors
    table = name.replace(".dl", ".csv")
    (tmp_path / "secret.csv").write_text("a secret\n")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "entry.dl").write_text(f'.decl r(x: number)\n.input r(filename="{table}")\n.output r\n')
    done = run_in(folder, ["run", "entry.dl"])
    assert done.code in (1, 3)
    assert "a secret" not in done.errors


def test_a_link_that_leads_out_of_a_folder_of_policies_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.dl").write_text("a secret\n")
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "entry.dl").symlink_to(tmp_path / "secret.dl")
    (tmp_path / "made.json").write_text("{}\n")
    for arguments in (["check", "rules"], ["audit", "made.json", "--rules", "rules"]):
        done = run_in(tmp_path, arguments)
        assert done.code in (1, 3)
        assert "secret\n" not in done.errors
    assert "this link leads out of its folder" in run_in(tmp_path, ["check", "rules"]).errors


def test_no_rule_file_writes_outside_of_the_folder_for_its_tables(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    for name in ("../made.csv", f"{tmp_path}/made.csv"):
        (folder / "entry.dl").write_text(f'.decl r(x: number)\nr(1).\n.output r(filename="{name}")\n')
        assert run_in(folder, ["run", "entry.dl"]).code == 3
    assert not (tmp_path / "made.csv").exists()
