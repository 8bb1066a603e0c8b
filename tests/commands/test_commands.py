"""The commands as a reader meets them: what they print, where, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings

from policy_kb.commands import EXIT_CODES, program
from policy_kb.report.as_json import determination_schema
from tests.strategies.cases import alemtuzumab_cases

ROOT = Path(__file__).parent.parent.parent
SCENARIOS = ROOT / "kb/alemtuzumab/scenarios"
YES = SCENARIOS / "two-relapses-and-an-enhancing-lesion.yaml"
NO = SCENARIOS / "several-criteria-unmet-at-once.yaml"
ASKS = SCENARIOS / "mostly-needs-information.yaml"
ELSEWHERE = SCENARIOS / "federal-employee-program.yaml"


def call(*arguments: object):
    result = CliRunner().invoke(program, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


@pytest.mark.parametrize("command", ["decide", "explain"])
@pytest.mark.parametrize(("case", "code"), [(YES, 0), (NO, 4), (ASKS, 5), (ELSEWHERE, 6)])
def test_the_exit_code_of_one_case_is_its_decision(command, case, code):
    assert call(command, case).exit_code == code


WRITTEN = """\
case: A-1
request: {drug: lemtrada, phase: initiation, received: 2025-09-02}
diagnosis: rrms
relapse: [2025-03-02, 2025-03-02]
planned_dose: 12.50
icd10: {code: G35.a, recorded: 2025-08-01}
"""


@pytest.mark.parametrize("engine", ["pydatalog", "compiled"])
@pytest.mark.parametrize("command", [("decide",), ("explain",), ("query", "relapse(on)")])
def test_what_is_read_in_another_spelling_or_given_twice_is_a_note(tmp_path, command, engine):
    case = tmp_path / "case.yaml"
    case.write_text(WRITTEN)
    name, *query = command
    result = call(name, case, *query, "--engine", engine)
    for note in ("`lemtrada` is read as `Lemtrada`", "`rrms` is read as `RRMS`", "the same row as `relapse[0]`"):
        assert note in result.stderr
    assert "error" not in result.stderr
    notes = json.loads(call(name, case, *query, "--engine", engine, "--json").stderr)
    assert [(one["severity"], one["line"]) for one in notes] == [("note", 2), ("note", 3), ("note", 4)]


def test_values_are_shown_as_the_case_writes_them(tmp_path):
    case = tmp_path / "case.yaml"
    case.write_text(WRITTEN)
    assert "a dose of 12.50 mg a day is planned" in call("explain", case).stdout
    assert call("query", case, "icd10(code, recorded)").stdout == "+ icd10(G35.a, 2025-08-01)\n"
    assert call("query", case, "planned_dose(dose)").stdout == "+ planned_dose(12.50)\n"
    said = json.loads(call("query", case, "icd10(code, recorded)", "--json").stdout)
    assert said["rows"][0]["values"]["code"] == "G35.a"


def test_several_cases_give_one_line_each_and_exit_with_0():
    result = call("decide", YES, NO, ASKS)
    assert result.exit_code == 0
    assert [line.split(": ")[1] for line in result.stdout.splitlines()] == ["met", "not met", "needs information"]


def test_a_refused_case_among_several_is_named_and_the_others_are_decided(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("case: bad\nrequest: {drug: Lemtrada, phase: initiation, received: 2025-02-30}\n")
    result = call("decide", YES, bad, NO)
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    assert "2025-02-30" in result.stderr
    assert "bad.yaml:2:" in result.stderr


def test_two_files_with_one_case_name_are_refused():
    result = call("decide", YES, YES)
    assert result.exit_code == 1
    assert "two cases are named `two-relapses-and-an-enhancing-lesion`" in result.stderr


def test_a_drug_that_no_policy_covers_is_refused_with_the_drugs_there_are(tmp_path):
    case = tmp_path / "case.yaml"
    case.write_text("case: a\nrequest: {drug: Lemtrata, phase: initiation, received: 2025-09-02}\n")
    result = call("decide", case)
    assert result.exit_code == 1
    assert "no policy covers `Lemtrata`" in result.stderr
    assert "did you mean `Lemtrada`?" in result.stderr


def test_a_row_that_the_vocabulary_refuses_refuses_the_case_at_its_line(tmp_path):
    case = tmp_path / "case.yaml"
    case.write_text(
        "case: a\nrequest: {drug: Lemtrada, phase: initiation, received: 2025-09-02}\n"
        "therapy:\n  - {product: Avonex, started: 2025-01-02, stopped: 2025-01-01}\n"
    )
    result = call("decide", case)
    assert result.exit_code == 1
    assert "case.yaml:4:" in result.stderr
    assert "Avonex is started on 2025-01-02, after it is stopped on 2025-01-01" in result.stderr


def test_every_determination_fits_the_schema_that_is_printed():
    schema = json.loads(call("schema", "--determination").stdout)
    for path in sorted(SCENARIOS.glob("*.yaml"))[::12]:
        for line in call("decide", "--json", "--sensitivity", path).stdout.splitlines():
            jsonschema.validate(json.loads(line), schema)


@settings(max_examples=15)
@given(alemtuzumab_cases())
def test_generated_cases_are_decided_alike_by_decide_explain_and_json(tmp_path_factory, document):
    case = tmp_path_factory.mktemp("case") / "case.json"
    case.write_text(json.dumps(document))
    decided, explained = call("decide", "--json", case), call("explain", "--json", case)
    determination = json.loads(decided.stdout)
    jsonschema.validate(determination, determination_schema())
    assert determination == json.loads(explained.stdout)
    assert decided.exit_code == explained.exit_code == EXIT_CODES[determination["decision"]]
    assert call("explain", case).exit_code == decided.exit_code
    assert ("denied" in call("explain", case).stdout) is False


def test_the_same_case_as_yaml_json_and_ndjson_is_decided_alike(tmp_path):
    document = yaml.load(YES.read_text(), Loader=yaml.BaseLoader)["case"]
    numbers = {"age": 34, "planned_dose": 12, "doses_requested": 5}
    document |= numbers
    document["mri"]["lesions"] = 2
    document["antiviral_prophylaxis"]["months"] = 2
    as_json, as_ndjson = tmp_path / "a.json", tmp_path / "a.ndjson"
    as_json.write_text(json.dumps(document, indent=1))
    as_ndjson.write_text(json.dumps(document) + "\n\n")
    keys = ("decision", "criteria", "facts", "rules", "missing", "notices")
    one, two, three = (json.loads(call("decide", "--json", path).stdout) for path in (YES, as_json, as_ndjson))
    assert [one[key] for key in keys] == [two[key] for key in keys] == [three[key] for key in keys]


def test_a_reading_can_be_overridden_and_is_named():
    case = SCENARIOS / "initiation-brand-copaxone-trial-is-asked-about.yaml"
    assert call("decide", case).exit_code == 5
    counted = call("explain", case, "--reading", "brand_trial=counts")
    assert counted.exit_code == 0
    assert "brand_trial = counts" in counted.stdout


def test_sensitivity_names_each_reading_that_would_change_the_decision():
    case = SCENARIOS / "initiation-brand-copaxone-trial-is-asked-about.yaml"
    output = call("decide", "--sensitivity", case).stdout
    assert "with brand_trial = counts the decision would be: met" in output
    assert "previous_year" not in output.partition("Sensitivity")[2]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["decide"], 2, "Missing argument"),
        (["decide", "nowhere.yaml"], 1, "no such file"),
        (["decide", str(YES), "--reading", "brand_trial"], 2, "is not NAME=CHOICE"),
        (["decide", str(YES), "--reading", "brand_trail=ask"], 1, "did you mean `brand_trial`?"),
        (["decide", str(YES), "--reading", "brand_trial=perhaps"], 1, "is no choice of `brand_trial`"),
        (["explain", str(YES), "2.d"], 2, "has no criterion `2.d`"),
        (["query", str(YES), "therap(x)"], 1, "did you mean `therapy`?"),
        (["query", str(YES), "__import__('os').system('true')"], 1, "error"),
        (["query", str(YES), 'therapy("Avonx", _, _)'], 1, "did you mean `Avonex`?"),
        (["about", "09-J2000-99"], 1, "there is no policy of this number: `09-J2000-99`"),
        (["decide", str(YES), "--policy", "nowhere.dl"], 3, "no such file"),
        (["decidd"], 2, "did you mean `decide`?"),
    ],
)
def test_what_is_wrong_is_said_on_standard_error(arguments, code, says):
    result = call(*arguments)
    assert result.exit_code == code
    assert says in result.stderr
    assert result.stdout == ""


def test_the_rules_that_ship_have_neither_errors_nor_warnings():
    result = call("check")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "0 errors, 0 warnings"


def test_check_prints_all_problems_of_a_file_and_exits_with_3(tmp_path):
    rules = tmp_path / "bad.dl"
    rules.write_text(".decl a(x: number)\na(x) :- b(x).\na(y) :- a(x), x = 1.\n")
    result = call("check", rules)
    assert result.exit_code == 3
    assert "unknown-relation" in result.stderr
    assert "unbound-variable" in result.stderr


def test_query_marks_certain_and_possible_rows(tmp_path):
    case = tmp_path / "case.yaml"
    case.write_text(
        "case: a\nrequest: {drug: Lemtrada, phase: initiation, received: 2025-09-02}\n"
        "relapse: [2025-03-02, {on: 2025-04-02, uncertain: true}]\n"
    )
    assert call("query", case, "relapse(on)").stdout == "+ relapse(2025-03-02)\n? relapse(2025-04-02)\n"
    assert call("query", case, "mri(_, _, _)").stdout == "? mri is open for this case: further rows may hold\n"


def test_about_prints_every_criterion_and_the_rest_of_the_guideline():
    output = call("about", "09-J2000-27").stdout
    for words in ("2.c.ii.4", "60 units of J0202", "36 units of J0202", "previous_year", "J9010", "627.42393",
                  "leukoencephalopathy", "2025-07-15", "09-J1000-39"):
        assert words in output, words


def test_the_json_schema_of_cases_accepts_a_scenario():
    schema = json.loads(call("schema", "09-J2000-27").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    case = {"case": "a", "request": {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"}}
    jsonschema.validate(case, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**case, "relaps": []}, schema)


def test_an_explanation_can_be_written_as_a_page_of_its_own(tmp_path):
    page = tmp_path / "a.html"
    result = call("explain", NO, "--html", page)
    assert result.exit_code == 4
    text = page.read_text()
    assert "CRITERIA NOT MET" in text
    assert "3 needed" in text or "3 are needed" in text
    assert "<script" not in text
    assert "http" not in text


def test_a_page_escapes_what_a_case_says(tmp_path):
    case = tmp_path / "case.yaml"
    case.write_text(
        'case: "<script>alert(1)</script>"\nrequest: {drug: Lemtrada, phase: continuation, received: 2025-09-02}\n'
        'prior_approval: "<b>payer"\n'
    )
    call("explain", case, "--html", tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert "<script" not in text
    assert "<b>" not in text
    assert "&lt;b&gt;payer" in text


def test_a_page_that_cannot_be_written_is_refused_and_leaves_nothing(tmp_path):
    result = call("explain", NO, "--html", tmp_path / "nowhere" / "a.html")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
    assert not list(tmp_path.iterdir())


def test_why_a_policy_does_not_apply_is_explained_by_the_record():
    output = call("explain", ELSEWHERE).stdout
    assert "the FEP guidelines apply" in output
    assert "+ the line of business is FEP  [line" in output


@pytest.mark.parametrize(("relations", "code", "words"), [
    (400, 0, "criteria for first are met"), (2500, 3, "rest on each other"),
])
def test_relations_may_rest_on_each_other_in_a_long_chain(
    tmp_path: Path, relations: int, code: int, words: str
) -> None:
    """As deep as anyone writes rules, and beyond that without a traceback."""
    links = "".join(
        f"/// link {i} holds\n.decl r{i}(case: Case)\nr{i}(case) :- r{i - 1}(case).\n" for i in range(1, relations)
    )
    rules = tmp_path / "chain.dl"
    rules.write_text(
        ".type Case <: symbol\n@[single] .decl request(case: Case, drug: symbol, phase: symbol, received: number)\n"
        ".input request\n/// it is so\n.decl given(case: Case)\n.input given\n"
        f"/// link 0 holds\n.decl r0(case: Case)\nr0(case) :- given(case).\n{links}"
        '/// decided\n@[policy("T-1", phase = "first", title = "A test", revised = "2025-07-15")]\n'
        f'@[criterion("first 1")] .decl decided(case: Case)\ndecided(case) :- r{relations - 1}(case).\n'
    )
    case = tmp_path / "case.json"
    case.write_text('{"case": "A", "request": {"drug": "d", "phase": "first", "received": 1}, "given": true}')
    command = [sys.executable, "cli.py", "explain", str(case), "--policy", str(rules)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
