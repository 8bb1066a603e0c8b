"""No text is ever code: a payload that would do something if it were evaluated does nothing, on every engine and in
every place for text, and the answer is that of a harmless text of the same length."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("duckdb")

import duckdb

from policy_kb import pipeline
from policy_kb.evaluate.bottom_up import BottomUp
from policy_kb.evaluate.with_pydatalog import WithPyDatalog
from tests.differential.comparing import ASKED, Subject
from tests.fuzzing.behaving import Run, complaint, run_in

ROOT = Path(__file__).parents[2]
MARKER = "made"

PAYLOADS = (
    f"__import__('pathlib').Path('{MARKER}').touch()",
    f"x'); CREATE TABLE {MARKER} (a INT); --",
    f"x'; COPY (SELECT 1) TO '{MARKER}'; --",
    f'x"; COPY (SELECT 1) TO \'{MARKER}\'; --',
    f"$$ || (SELECT writefile('{MARKER}')) || $$",
    f"{{{{ open('{MARKER}', 'w') }}}} ${{touch {MARKER}}} $(touch {MARKER}) `touch {MARKER}`",
    f"!!python/object/apply:os.system ['touch {MARKER}']",
    f"<script>{MARKER}</script>",
    "X) & (print(X) == X",
    "' OR '1'='1",
    "%(case)s {case} \\1 \\g<0> %s",
    "NULL", "None", "_", "X", "case", "read_csv('/etc/passwd')",
)


def harmless(payload: str) -> str:
    """A text of the same length that nobody could take for code."""
    return "a" * (len(payload) - 1) + "b"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def nothing_was_made(folder: Path) -> bool:
    return not any(MARKER in names for _, _, names in os.walk(folder))


RULES = """
.type Case <: symbol
@[ask("What is asked for? %s")] @[single]
.decl request(case: Case, drug: symbol, phase: symbol, received: number)
.input request
.decl listed(text: symbol, number: number)
listed("%s", 1).
/// it is said that {text}, %doc
@[ask("Is it? %s")] .decl said(case: Case, text: symbol)
.input said
.decl joined(case: Case, text: symbol)
joined(case, cat(text, "%s")) :- said(case, text), listed(text, _).
.decl matched(case: Case, text: symbol)
matched(case, text) :- said(case, text), contains(text, "%s").
/// %doc
@[policy("%s", phase = "treatment", title = "%s", revised = "2025-07-15")]
@[criterion("treatment 1")]
.decl decided(case: Case)
decided(case) :- joined(case, _), matched(case, _), count : { said(case, text), text != "%s" } < 1.
"""


def quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def subject(payload: str) -> Subject:
    # In a sentence braces name an attribute: anything else between them is refused.
    text = RULES.replace("%doc", payload.translate({ord("{"): "(", ord("}"): ")"})).replace("%s", quoted(payload))
    request = {"drug": payload, "phase": payload, "received": 1}
    cases = [
        {"case": payload, "request": request, "said": [payload]},
        {"case": payload + "1", "request": request, "said": [payload, payload + "."]},
        {"case": payload + "2", "request": request, "said": [{"text": payload, "uncertain": True}]},
        {"case": payload + "3", "request": request},
        {"case": payload + "4", "request": request, "said": [harmless(payload)[:-1] + "c"]},
    ]
    return Subject(text, cases)


ENGINES: dict[str, Callable[..., BottomUp | WithPyDatalog]] = {"bottom-up": BottomUp, "pyDatalog": WithPyDatalog}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_of_rules_or_cases_is_code_for_any_engine(payload: str, folder: Path) -> None:
    """DuckDB, as rows and as decisions, and the other judges are asked by `disagreements`."""
    one, other = subject(payload), subject(harmless(payload))
    assert "pyDatalog" in ASKED
    assert "DuckDB" in ASKED
    assert not one.disagreements()
    for engine in ENGINES.values():
        made = engine(one.policy.worlds.program, one.policy.known)
        models = [pipeline.evaluate(one.policy.worlds, made, facts) for facts in one.facts]
        answers = [one.policy.answers(model) for model in models]
        assert answers == [other.policy.answers(model) for model in other.models if model is not None]
    assert nothing_was_made(folder)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_name_of_a_relation_is_code(payload: str, folder: Path) -> None:
    """What is no name is refused before any engine sees it; what is one is quoted."""
    for place in (f".decl {payload}(x: symbol)\n", f".decl r({payload}: symbol)\n", f'r("x") :- {payload}.\n',
                  f'.decl r(x: symbol)\n.input r(filename="{quoted(payload)}")\nr("x").\n.output r\n'):
        (folder / "rules.dl").write_text(place)
        for arguments in (("check", "rules.dl"), ("run", "rules.dl")):
            assert complaint(arguments, run_in(folder, arguments)) is None
    assert nothing_was_made(folder)


SQL_WORDS = ("select", "table", "order", "group", "user", "on", "all", "null_", "case_", "drop", "Case1")


def test_words_of_sql_are_names_like_others() -> None:
    declared = "".join(
        f'@[ask("Is there?")] .decl {word}_r(case: Case, {word}: symbol)\n.input {word}_r\n' for word in SQL_WORDS
    )
    body = ", ".join(f"{word}_r(case, v{place})" for place, word in enumerate(SQL_WORDS[:6]))
    text = f"""
.type Case <: symbol
.decl request(case: Case, drug: symbol, phase: symbol, received: number)
.input request
{declared}
@[policy("T-1", phase = "treatment", title = "A test", revised = "2025-07-15")] .decl decided(case: Case)
decided(case) :- {body.replace('_r(case, v0)', '_r(case, _)')}, !drop_r(case, _).
""".replace("v1", "_").replace("v2", "_").replace("v3", "_").replace("v4", "_").replace("v5", "_")
    request = {"drug": "p", "phase": "q", "received": 1}
    case = {"case": "A-1", "request": request, **{f"{word}_r": [{word: word}] for word in SQL_WORDS if word != "drop"}}
    assert not Subject(text, [case, {**case, "case": "A-2", "drop_r": []}]).disagreements()


def result(folder: Path, *arguments: str) -> Run:
    done = run_in(folder, arguments)
    assert complaint(arguments, done) is None
    return done


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_word_of_a_command_line_and_no_query_is_code(payload: str, folder: Path) -> None:
    case = ROOT / "kb/alemtuzumab/scenarios/two-relapses-and-an-enhancing-lesion.yaml"
    (folder / "case.yaml").write_bytes(case.read_bytes())
    for arguments in (
        ("query", "case.yaml", payload), ("query", "case.yaml", f'therapy("{quoted(payload)}", _, _)'),
        ("query", "case.yaml", f"therapy({payload}, _, _)"), ("decide", "case.yaml", "--reading", payload),
        ("decide", "case.yaml", "--reading", f"support={payload}"), ("explain", "case.yaml", payload),
        ("decide", payload), ("decide", payload + ".yaml"), ("check", payload), ("about", payload),
        ("sql", payload, payload), ("batch", payload, "-o", "out.csv"), ("compare", payload, payload + ".csv"),
        ("explain", "--from", payload, "--case", payload),
    ):
        assert complaint(arguments, run_in(folder, arguments)) is None, arguments
        assert nothing_was_made(folder), arguments


FREE_TEXT = "prior_approval"
"""A relation of the policy whose attribute takes any text."""


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_of_a_table_a_column_or_a_file_name_is_code(payload: str, folder: Path) -> None:
    def batch(text: str, name: str) -> list[dict[str, str]]:
        source = folder / name
        source.mkdir()
        tables = {
            "request": (["case", "drug", "phase", "received"], [text, "Lemtrada", "continuation", "2025-09-02"]),
            FREE_TEXT: (["case", "payer"], [text, f"{text} (example)"]),  # `None` alone would be no payer
        }
        for table, lines in tables.items():
            with (source / f"{table}.csv").open("w", newline="") as stream:
                csv.writer(stream).writerows(lines)
        result(folder, "batch", name, "-o", "out.csv")
        with (folder / "out.csv").open(newline="") as stream:
            return [{key: value for key, value in row.items() if key != "case"} for row in csv.DictReader(stream)]

    name = payload.replace("/", "_")[:80]
    assert batch(payload, f"{name} in") == batch(harmless(payload), "harmless in")
    lines = folder / f"{name}.ndjson"
    request = {"drug": "Lemtrada", "phase": "continuation", "received": "2025-09-02"}
    lines.write_text(json.dumps({"case": payload, "request": request, FREE_TEXT: [f"{payload} (example)"]}) + "\n")
    result(folder, "batch", lines.name, "-o", f"{name}.parquet")
    result(folder, "compare", f"{name}.parquet", f"{name}.parquet")
    explained = result(folder, "explain", "--from", lines.name, "--case", payload, "--html", "page.html")
    assert explained.code in (0, 4, 5)
    assert f"<script>{MARKER}" not in (folder / "page.html").read_text()
    # A column or a table of such a name is refused by name, whatever it says.
    with (folder / "harmless in" / f"{FREE_TEXT}.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["case", payload], ["A-1", "x"]])
    assert result(folder, "batch", "harmless in", "-o", "other.csv").code == 1
    (folder / "harmless in" / f"{name}.csv").write_text("case,x\nA-1,1\n")
    assert result(folder, "batch", "harmless in", "-o", "other.csv").code == 1
    database = folder / "cases.duckdb"
    with duckdb.connect(str(database)) as connection:
        table = payload.replace('"', '""')
        connection.execute(f'CREATE TABLE "{table}" ("{table}" VARCHAR)')
        connection.execute('CREATE TABLE request ("case" VARCHAR, drug VARCHAR, phase VARCHAR, received VARCHAR)')
        connection.execute("INSERT INTO request VALUES ($1, 'Lemtrada', 'continuation', '2025-09-02')", [payload])
    assert result(folder, "batch", "cases.duckdb", "-o", "other.csv").code == 1
    assert nothing_was_made(folder)
