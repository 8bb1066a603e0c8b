"""Options: each is honoured by every form of output, alone and together, and none refuses what would be answered."""

from __future__ import annotations

import json
import os
import pickle
import pty
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import policy_kb
from policy_kb.commands import _progress, program
from policy_kb.report.as_json import determination_schema
from policy_kb.report.wording import DISCLAIMER
from tests.strategies.cases import alemtuzumab_cases

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "kb/alemtuzumab/scenarios"
YES = SCENARIOS / "two-relapses-and-an-enhancing-lesion.yaml"
NO = SCENARIOS / "several-criteria-unmet-at-once.yaml"
ASKS = SCENARIOS / "mostly-needs-information.yaml"
ELSEWHERE = SCENARIOS / "federal-employee-program.yaml"
BRAND = SCENARIOS / "initiation-brand-copaxone-trial-is-asked-about.yaml"
REQUEST = "request: {drug: Lemtrada, phase: initiation, received: 2025-09-02}\n"


def call(*arguments: object, text: str | bytes | None = None):
    result = CliRunner().invoke(program, [str(argument) for argument in arguments], input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


@pytest.fixture
def page(tmp_path):
    def render(*arguments: object) -> str:
        result = call("explain", *arguments, "--html", tmp_path / "page.html")
        assert result.exit_code in (0, 4, 5, 6), result.stderr
        return (tmp_path / "page.html").read_text()

    return render


# every form of output


def test_a_page_honours_criterion_why_not_and_sensitivity(page):
    whole, part = page(NO), page(NO, "2.a")
    assert "2.b" in whole
    assert "2.b" not in part
    assert "2.a.i" in part
    assert '<span class="number">3</span>' in whole
    assert '<span class="number">3</span>' not in page(NO, "--why-not")
    assert "Sensitivity" not in whole
    assert "with brand_trial = counts the decision would be: met" in page(BRAND, "--sensitivity")
    assert "CRITERIA MET" in page(BRAND, "--reading", "brand_trial=counts")


CRITERIA = {
    relation.name for relation in policy_kb.load_policy("09-J2000-27").program.relations.values() if relation.criteria
}


@pytest.mark.parametrize("case", [YES, NO, ASKS, ELSEWHERE, BRAND], ids=lambda path: path.stem)
def test_json_explains_what_is_asked_for_and_says_all_else_as_ever(case):
    whole = json.loads(call("explain", case, "--json").stdout)
    about = {node.get("relation") for node in whole.pop("explanation")["nodes"]}
    if whole["decision"] == "not met":
        part = json.loads(call("explain", case, "3", "--json").stdout)["explanation"]
        assert "alemtuzumab_course" in {node.get("relation") for node in part["nodes"]}
        assert "relapse" in about - {node.get("relation") for node in part["nodes"]}
    for criterion in [None, *whole["criteria"]][::4]:
        for why_not in ([], ["--why-not"]):
            asked = [*([criterion] if criterion else []), *why_not]
            some = json.loads(call("explain", case, *asked, "--json").stdout)
            jsonschema.validate(some, determination_schema())
            explanation = some.pop("explanation")
            assert some == whole
            assert explanation.get("criterion") == criterion
            if why_not and whole["criteria"]:
                # what is met and is a criterion is left out
                assert not {n["relation"] for n in explanation["nodes"] if n["kind"] == "rule"} & CRITERIA
            elif criterion:
                assert explanation["parts"]


def test_a_part_of_an_explanation_is_told_to_be_one_by_the_audit(tmp_path):
    (tmp_path / "d.json").write_text(call("explain", NO, "2.a", "--json").stdout)
    result = call("audit", tmp_path / "d.json")
    assert result.exit_code == 1
    assert "it is a part of an explanation" in result.stdout


def test_a_page_and_json_may_be_asked_for_at_once(page, tmp_path):
    result = call("explain", NO, "--html", tmp_path / "a.html", "--json", "--sensitivity")
    assert json.loads(result.stdout)["decision"] == "not met"
    assert "Sensitivity" in (tmp_path / "a.html").read_text()


def test_a_page_may_be_printed_but_not_with_json(page):
    assert call("explain", NO, "2.a", "--html", "-").stdout == page(NO, "2.a")
    result = call("explain", NO, "--html", "-", "--json")
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_page_never_takes_the_place_of_its_case(tmp_path):
    case, other = tmp_path / "case.yaml", tmp_path / "other.html"
    case.write_bytes(NO.read_bytes())
    os.link(case, other)
    for html in (case, tmp_path / "nothing/../case.yaml", other):
        (tmp_path / "nothing").mkdir(exist_ok=True)
        result = call("explain", case, "--html", html)
        assert result.exit_code == 1
        assert "this is the input" in result.stderr
    assert case.read_bytes() == NO.read_bytes()


@pytest.mark.parametrize("case", [YES, NO, ASKS, ELSEWHERE], ids=lambda path: path.stem)
def test_text_and_pages_carry_the_disclaimer_once_at_their_end_and_json_does_not(case, page):
    for command in ("decide", "explain"):
        words = " ".join(call(command, case).stdout.split())
        assert words.endswith(DISCLAIMER)
        assert words.count(DISCLAIMER) == 1
        assert DISCLAIMER not in call(command, case, "--json").stdout
    assert page(case).count(DISCLAIMER) == 1


def test_the_explanation_can_be_left_out_of_json_and_nothing_else_changes():
    whole = json.loads(call("decide", NO, "--json").stdout)
    short = json.loads(call("decide", NO, "--json", "--no-explanation").stdout)
    assert not short.pop("explanation", None)
    jsonschema.validate(json.loads(call("decide", NO, "--json", "--no-explanation").stdout), determination_schema())
    assert whole.pop("explanation")
    assert whole.pop("readings").items() <= short.pop("readings").items()
    assert short == whole


def test_a_log_keeps_the_explanation(tmp_path):
    result = call("decide", NO, "--record", tmp_path / "log", "--no-explanation")
    assert result.exit_code == 2
    assert "--no-explanation" in result.stderr
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("engine", ["compiled", "pydatalog"])
@pytest.mark.parametrize("command", ["decide", "explain"])
def test_engines_give_the_same_answer(command, engine):
    assert call(command, BRAND, "--json", "--engine", engine).stdout == call(command, BRAND, "--json").stdout


@settings(max_examples=10)
@given(alemtuzumab_cases(), st.sampled_from([[], ["--sensitivity"], ["--json"], ["--json", "--sensitivity"],
                                             ["--engine", "compiled"], ["--json", "--no-explanation"]]))
def test_options_refuse_no_more_than_the_command_without_them(tmp_path_factory, document, options):
    case = tmp_path_factory.mktemp("case") / "case.json"
    case.write_text(json.dumps(document))
    assert call("decide", case, *options).exit_code == call("decide", case).exit_code


def test_an_explanation_that_is_too_large_does_not_keep_from_the_decision(monkeypatch, tmp_path):
    monkeypatch.setattr("policy_kb.explain.why.MOST_PARTS", 3)
    assert call("explain", NO).exit_code == 1
    result = call("decide", NO, "--json", "--record", tmp_path / "log")
    assert result.exit_code == 4
    assert "explanation" not in json.loads(result.stdout)
    warning, said = result.stderr.splitlines()
    assert [problem["severity"] for problem in json.loads(warning)] == ["warning"]
    assert json.loads(said)["recorded"]["entries"] == 1


def test_a_reading_under_which_the_case_would_be_refused_is_told(tmp_path):
    """The calendar year before 1900 has no first day."""
    case = tmp_path / "case.yaml"
    case.write_text(f"case: early\n{REQUEST.replace('2025-09-02', '1900-01-01')}")
    assert call("decide", case, "--reading", "previous_year=calendar_year").exit_code == 1
    told = call("decide", case, "--sensitivity")
    assert told.exit_code == call("decide", case).exit_code != 1
    assert "with previous_year = calendar_year the case would be refused" in told.stdout
    determination = call("decide", case, "--sensitivity", "--json").stdout
    jsonschema.validate(json.loads(determination), determination_schema())
    (tmp_path / "d.json").write_text(determination)
    assert call("audit", tmp_path / "d.json").stdout.startswith("sound")


# a criterion as it is named


@pytest.mark.parametrize("typed", ["2.a", "initiation 2.a", "Initiation 2.A", "criterion 2.a", " 2.a "])
def test_a_criterion_is_found_as_pages_and_rules_name_it(typed):
    assert call("explain", NO, typed).stdout == call("explain", NO, "2.a").stdout
    assert call("explain", NO, "2.a").stdout != call("explain", NO).stdout


@pytest.mark.parametrize(("typed", "says"), [
    ("continuation 1", "`continuation 1` is of continuation"), ("2.a.iii", "did you mean"), ("", "they are 1, "),
])
@pytest.mark.parametrize("case", [NO, ELSEWHERE], ids=["not met", "not applicable"])
def test_a_criterion_that_there_is_not_is_wrong_usage(case, typed, says):
    result = call("explain", case, typed)
    assert result.exit_code == 2
    assert says in result.stderr


# the standard input


@pytest.mark.parametrize("arguments", [["decide", "-"], ["explain", "-"], ["query", "-", "therapy(a, _, _)"]])
def test_a_case_may_be_the_standard_input(arguments):
    given_path = [YES if word == "-" else word for word in arguments]
    assert call(*arguments, text=YES.read_text()).stdout == call(*given_path).stdout


def test_the_standard_input_may_be_json_or_lines_of_it(tmp_path):
    case = yaml.load(YES.read_text(), Loader=yaml.BaseLoader)["case"]
    case = json.dumps({"case": "a", "request": case["request"]})
    assert call("decide", "-", "--format", "json", text=case).exit_code == 5
    other = case.replace('"a"', '"b"')
    lines = call("decide", "-", "--format", "ndjson", text=f"{case}\n\n{other}\n")
    assert (lines.exit_code, len(lines.stdout.splitlines())) == (0, 2)
    refused = call("decide", "-", "--format", "ndjson", text=f"{case}\n{{\n")
    assert refused.exit_code == 1
    assert "-:2:" in refused.stderr
    (tmp_path / "case").write_text(case)
    assert call("decide", tmp_path / "case", "--format", "json").exit_code == 5


def test_the_standard_input_is_read_once():
    result = call("decide", "-", "-", text="case: a\n")
    assert result.exit_code == 2
    assert "can be read once" in result.stderr


@pytest.mark.parametrize("text", ["", b"\xff", b"case: a\0", "- a\n", "{", "case: a\n"])
def test_a_bad_standard_input_is_refused_in_its_name(text):
    for command in (["decide", "-"], ["explain", "-"], ["query", "-", "age(_)"]):
        result = call(*command, text=text)
        assert result.exit_code == 1
        assert result.stderr.startswith("-:1:")
        assert result.stdout == ""


def test_a_determination_of_the_standard_input_is_audited_with_its_case(tmp_path):
    (tmp_path / "d.json").write_text(call("decide", "-", "--json", text=NO.read_text()).stdout)
    assert call("audit", tmp_path / "d.json", "--case", "-", text=NO.read_text()).exit_code == 0
    alone = call("audit", tmp_path / "d.json")
    assert alone.exit_code == 1
    assert "--case" in alone.stderr


# refusals as JSON

BAD = f"case: bad\n{REQUEST}age: twelve\nrelaps: []\n"


def refusals(result) -> list[dict[str, object]]:
    return [problem for line in result.stderr.splitlines() for problem in json.loads(line)]


KEYS = {"kind", "severity", "file", "line", "column", "message", "hint", "case", "path"}


@pytest.mark.parametrize("command", [["decide"], ["explain"], ["query", "age(_)"]], ids=lambda words: words[0])
def test_a_refused_case_is_a_list_of_diagnostics(tmp_path, command):
    case = tmp_path / "case.yaml"
    case.write_text(BAD)
    result = call(command[0], case, *command[1:], "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    problems = refusals(result)
    assert all(problem.keys() == KEYS for problem in problems)
    assert {problem["path"] for problem in problems} == {"age", "relaps"}
    assert {problem["case"] for problem in problems} == {"bad"}
    assert {(problem["file"], problem["line"]) for problem in problems} == {(str(case), 3), (str(case), 4)}


@pytest.mark.parametrize(("arguments", "code", "kind"), [
    (["decide", "nowhere.yaml"], 1, "unreadable"),
    (["explain", "nowhere.yaml"], 1, "unreadable"),
    (["query", "nowhere.yaml", "a(_)"], 1, "unreadable"),
    (["query", YES, "therapy"], 1, "bad-query"),
    (["decide", YES, "--reading", "brand_trail=ask"], 1, "bad-reading"),
    (["decide", YES, "--policy", "nowhere.dl"], 3, "unreadable"),
    (["decide", YES, "--policy", "x"], 1, "no-policy"),
    (["decide", YES, "--reading", "brand_trial"], 2, "usage"),
    (["decide"], 2, "usage"),
    (["decidd"], 2, "usage"),
    (["decide", "--nothing"], 2, "usage"),
    (["explain", YES, "9.z"], 2, "usage"),
    (["about", "x"], 1, "no-policy"),
    (["schema", "x"], 1, "no-policy"),
    (["sql", "x", "initiation"], 1, "no-policy"),
    (["sql", "09-J2000-27", "x"], 2, "usage"),
    (["audit", "nowhere.json"], 1, "unreadable"),
    (["compare", "a.csv", "b.csv"], 1, "unreadable"),
    (["batch", "nowhere", "-o", "a.csv"], 1, "unreadable"),
    (["run", "nowhere.dl"], 3, "unreadable"),
], ids=lambda value: " ".join(map(str, value)).replace(str(ROOT), "") if isinstance(value, list) else "")
def test_every_refusal_and_all_wrong_usage_is_json_where_asked_for(arguments, code, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call(*arguments, "--json")
    assert (result.exit_code, result.stdout) == (code, "")
    assert [problem["kind"] for problem in refusals(result)] == [kind]


def test_names_that_are_not_text_are_json_too(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yaml")
    (problem,) = refusals(call("decide", name, "--json"))
    assert problem["file"] == name
    Path(name).write_bytes(NO.read_bytes())
    assert json.loads(call("decide", name, "--json").stdout)["source"] == name
    assert r"\udcff" in call("explain", name, "9.z", "--json").stderr or call("explain", name).exit_code == 4


def test_of_several_cases_each_that_is_refused_has_its_own_line(tmp_path):
    cases = tmp_path / "cases.ndjson"
    good = json.dumps({"case": "a", "request": {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"}})
    bad = [good.replace('"a"', f'"b{number}"').replace("09-02", "02-30") for number in range(3)]
    cases.write_text("\n".join([bad[0], good, "{", *bad[1:]]))
    result = call("decide", cases, "--json")
    assert result.exit_code == 1
    assert [json.loads(line)["case"] for line in result.stdout.splitlines()] == ["a"]
    assert [problem["case"] for problem in refusals(result)] == ["b0", None, "b1", "b2"]


def test_what_stands_in_no_file_has_no_place():
    result = call("decide", YES, "--policy", "x")
    assert result.stderr.startswith("error: there is no policy")
    (problem,) = refusals(call("decide", YES, "--policy", "x", "--json"))
    assert (problem["file"], problem["line"], problem["column"]) == (None, None, None)


# odd names


@pytest.mark.parametrize("arguments", [
    ["decide", ""], ["query", "", "age(_)"], ["check", ""], ["run", ""], ["audit", ""], ["batch", "", "-o", "a.csv"],
    ["batch", "cases", "-o", ""], ["compare", "", "a.csv"], ["explain", YES, "--html", ""],
    ["decide", YES, "--record", ""],
], ids=lambda words: words[0])
def test_an_empty_name_is_not_the_working_folder(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert result.exit_code == 2
    assert "the name is empty" in result.stderr


@pytest.mark.parametrize(("name", "says"), [
    ("folder", "a folder where a case file is expected"), ("nowhere", "no such file"), ("case", "has no ending"),
    ("case.txt", "`.txt` is not the ending"), ("two.ndjson", "several cases"), ("none.ndjson", "no case"),
])
def test_what_is_no_case_file_is_told_apart(name, says, tmp_path):
    (tmp_path / "folder").mkdir()
    for file in ("case", "case.txt", "none.ndjson"):
        (tmp_path / file).write_text("")
    (tmp_path / "two.ndjson").write_text('{"case": "a"}\n{"case": "b"}\n')
    result = call("explain", tmp_path / name)
    assert result.exit_code == 1
    assert says in result.stderr


def test_decisions_and_rejects_have_files_of_their_own(tmp_path):
    (tmp_path / "cases.ndjson").write_text('{"case": "a"}\n')
    both = tmp_path / "both.csv"
    result = call("batch", tmp_path / "cases.ndjson", "-o", both, "--rejects", both)
    assert result.exit_code == 1
    assert "written to the same file" in result.stderr
    assert not both.exists()


# the terminal


@pytest.mark.parametrize(("no_color", "is_coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals_without_no_color(no_color, is_coloured):
    ours, theirs = pty.openpty()
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
    command = [sys.executable, "-m", "policy_kb", "decide", str(YES)]
    done = subprocess.run(command, stdout=theirs, cwd=ROOT, env=environment, check=False)
    os.close(theirs)
    assert done.returncode == 0
    assert (b"\x1b[" in os.read(ours, 10_000)) is is_coloured
    os.close(ours)


def test_the_version_is_said():
    assert call("--version").stdout == f"policy-kb {policy_kb.__version__}\n"


# from Python


@pytest.fixture(scope="module")
def policy():
    return policy_kb.load_policy("09-J2000-27")


def test_a_determination_gives_itself_in_every_form(policy):
    determination = policy.decide(NO)
    assert determination.to_dict() == json.loads(determination.to_json())
    assert determination.to_dict(explanation=False) == json.loads(determination.to_json(explanation=False))
    assert not json.loads(determination.to_json(explanation=False)).get("explanation")
    assert determination.to_text() == CliRunner(env={"COLUMNS": "80"}).invoke(program, ["explain", str(NO)]).output
    assert determination.to_html().startswith("<!DOCTYPE html>")
    with pytest.raises(ValueError, match=r"no criterion `9\.z`"):
        determination.to_text("9.z")


@pytest.mark.parametrize("case", [YES, NO, ASKS, ELSEWHERE], ids=lambda path: path.stem)
def test_a_determination_pickles(case, policy):
    before = policy.decide(case)
    after = pickle.loads(pickle.dumps(before))
    assert after.to_json() == before.to_json()
    assert after.to_html() == before.to_html()
    for criterion in before.criteria:
        assert after.to_text(criterion) == before.to_text(criterion)


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml"))[::20], ids=lambda path: path.stem)
def test_what_pyyaml_makes_of_a_case_is_decided_like_the_file(path, policy):
    case = yaml.safe_load(path.read_text())["case"]
    ours, theirs = policy.decide(path), policy.decide(case)
    assert (theirs.decision, theirs.criteria, theirs.facts) == (ours.decision, ours.criteria, ours.facts)


def test_a_case_of_python_values_is_read_by_its_types(policy):
    case = {
        "case": "A", "request": {"drug": "Lemtrada", "phase": "initiation", "received": date(2025, 9, 2)},
        "age": 34, "planned_dose": Decimal("12.0"), "relapse": (date(2025, 3, 2),),
    }
    assert policy.decide(case).case == "A"
    with pytest.raises(policy_kb.CaseRefused) as refused:
        policy.decide({**case, "age": 1.5})
    (problem,) = refused.value.diagnostics
    assert (problem.case, problem.path) == ("A", "age")


def test_the_front_door_has_what_it_names():
    assert all(getattr(policy_kb, name) is not None for name in policy_kb.__all__)
    assert isinstance(policy_kb.Document, type)


@pytest.mark.parametrize("on_terminal", [True, False])
def test_progress_is_told_on_a_terminal_and_nowhere_else(on_terminal, monkeypatch, capsys):
    monkeypatch.setattr(_progress, "_QUIET", 0.0)
    monkeypatch.setattr(_progress, "_BETWEEN", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: on_terminal)
    assert list(_progress.counted(range(2000), "decided")) == list(range(2000))
    said = capsys.readouterr().err
    assert ("decided 1,999" in said) is on_terminal
    assert on_terminal or not said
