"""`audit` and `decide --record` as a reader meets them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from policy_kb.commands import program

ROOT = Path(__file__).parent.parent.parent
SCENARIOS = ROOT / "kb/alemtuzumab/scenarios"
YES = SCENARIOS / "two-relapses-and-an-enhancing-lesion.yaml"
ASKS = SCENARIOS / "mostly-needs-information.yaml"
BRAND = SCENARIOS / "initiation-brand-copaxone-trial-is-asked-about.yaml"
ELSEWHERE = SCENARIOS / "federal-employee-program.yaml"


def call(*arguments: object):
    result = CliRunner().invoke(program, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


@pytest.fixture
def determination(tmp_path) -> Path:
    path = tmp_path / "determination.json"
    path.write_text(call("decide", "--json", YES).stdout)
    return path


def changed(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("case", [YES, ASKS, BRAND, ELSEWHERE], ids=lambda case: case.stem)
@pytest.mark.parametrize("command", ["decide", "explain"])
def test_what_decide_and_explain_write_is_sound(tmp_path, command, case) -> None:
    path = tmp_path / "a.json"
    path.write_text(call(command, "--json", case).stdout)
    for options in ([], ["--case", case], ["--rules", ROOT / "kb/alemtuzumab.dl"], ["--rules", ROOT / "kb"]):
        result = call("audit", path, *options)
        assert result.exit_code == 0
        assert result.stdout.startswith(f"sound: {case.stem}: ")


def test_a_case_file_may_have_moved(tmp_path, determination) -> None:
    (tmp_path / "elsewhere").mkdir()
    copy = shutil.copy(YES, tmp_path / "elsewhere")
    assert call("audit", determination, "--case", copy).exit_code == 0


def test_rules_that_have_moved_are_the_same_rules(tmp_path, determination) -> None:
    shutil.copytree(ROOT / "kb", tmp_path / "policies")
    assert call("audit", determination, "--rules", tmp_path / "policies").exit_code == 0
    limits = tmp_path / "policies/alemtuzumab/limits.dl"
    limits.write_text(limits.read_text() + "\n// a remark\n")
    result = call("audit", determination, "--rules", tmp_path / "policies/alemtuzumab.dl")
    assert result.exit_code == 1
    assert "it was decided by other rule files" in result.stdout


def test_what_is_not_sound_is_shown_at_its_first_wrong_step(determination) -> None:
    changed(determination, decision="not met")
    result = call("audit", determination)
    assert result.exit_code == 1
    assert result.stdout == (
        "not sound: two-relapses-and-an-enhancing-lesion: not met\n"
        "  decision: it says `not met`; it has to be `met`\n"
    )
    said = json.loads(call("audit", "--json", determination).stdout)
    assert not said["sound"]
    assert said["determinations"][0]["where"] == "decision"


def test_a_case_that_says_something_else_is_found_by_its_hash(tmp_path, determination) -> None:
    case = tmp_path / YES.name
    case.write_text(YES.read_text().replace("2025-06-11", "2025-06-12"))
    result = call("audit", determination, "--case", case)
    assert result.exit_code == 1
    assert "facts: it says" in result.stdout
    assert "the case says something else" in result.stdout


def test_many_determinations_are_audited_one_by_one(tmp_path) -> None:
    path = tmp_path / "many.ndjson"
    path.write_text(call("decide", "--json", YES, ASKS, ELSEWHERE).stdout)
    assert call("audit", path).stdout.count("sound: ") == 3
    assert call("audit", path, "--case", YES, "--case", ASKS, "--case", ELSEWHERE).exit_code == 0
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1].replace("mostly", "partly"), lines[2]]))
    result = call("audit", path, "--case", YES, "--case", ASKS, "--case", ELSEWHERE)
    assert result.exit_code == 1


def test_cases_of_one_file_are_told_apart_by_their_names(tmp_path) -> None:
    request = {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"}
    cases = tmp_path / "cases.ndjson"
    cases.write_text("".join(json.dumps({"case": name, "request": request, "age": age}) + "\n"
                             for name, age in (("A", 30), ("B", 17))))
    path = tmp_path / "many.ndjson"
    path.write_text(call("decide", "--json", cases).stdout)
    assert call("audit", path).exit_code == 0
    path.write_text(path.read_text().replace('"case": "B"', '"case": "C"'))
    result = call("audit", path)
    assert result.exit_code == 1
    assert "the case file has no case `C`" in result.stderr


def test_a_reading_is_named_again(tmp_path) -> None:
    path = tmp_path / "a.json"
    path.write_text(call("decide", "--json", "--sensitivity", BRAND, "--reading", "brand_trial=counts").stdout)
    assert call("audit", path, "--reading", "brand_trial=counts").exit_code == 0
    result = call("audit", path)
    assert result.exit_code == 1
    assert "audit with `--reading brand_trial=counts`" in result.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file holds no determination"),
        ("[]", "this is no determination"),
        ('{"a": 1}', "this is no determination"),
        ('{"case": 1, "case": 2}', "given twice"),
        ('{"case": NaN}', "`NaN` is not a number"),
        ("[" * 10**5, "nested more than"),
        ('{"case": "a", "source": "no.yaml", "policy": "09-J2000-27", "explanation": null}', "name it with --case"),
        ('{"case": "a", "source": "no.yaml", "policy": "09-J2000-26", "explanation": null}', "there is no policy"),
    ],
)
def test_what_cannot_be_read_is_refused_and_never_a_traceback(tmp_path, text, says) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    result = call("audit", path)
    assert result.exit_code == 1
    assert says in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["audit"], 2, "Missing argument"),
        (["audit", "nowhere.json"], 1, "no such file"),
        (["audit", str(YES), "--head", "abc"], 2, "64 hexadecimal digits"),
        (["audit", str(YES), "--head", "sha256:" + 64 * "a"], 2, "--head is for a log"),
        (["audit", str(YES), "--rules", "nowhere.dl"], 1, "not JSON"),
        (["decide", str(YES), "--record", "/dev/full"], 1, "not recorded"),
        (["decide", str(YES), "--record", "nowhere/log"], 1, "not recorded"),
    ],
)
def test_what_is_wrong_is_said_on_standard_error(arguments, code, says) -> None:
    result = call(*arguments)
    assert result.exit_code == code
    assert says in result.stderr
    assert result.stdout == ""


def test_rules_that_are_refused_are_refused_as_everywhere(tmp_path, determination) -> None:
    rules = tmp_path / "bad.dl"
    rules.write_text(".decl a(x: number)\na(x) :- b(x).\n")
    result = call("audit", determination, "--rules", rules)
    assert result.exit_code == 3
    assert "unknown-relation" in result.stderr


# logs


def test_a_decision_is_recorded_with_its_explanation_however_it_is_printed(tmp_path) -> None:
    log = tmp_path / "decisions.log"
    for options in ([], ["--json"], ["--reading", "brand_trial=counts"], ["--sensitivity"]):
        assert call("decide", BRAND, "--record", log, *options).exit_code in (0, 5)
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["readings"] for entry in entries] == [{}, {}, {"brand_trial": "counts"}, {}]
    explanations = [entry["determination"]["explanation"] for entry in entries]
    assert all(one["nodes"][one["root"]]["kind"] in ("rule", "doubted") for one in explanations)
    assert entries[0]["determination"] == json.loads(call("decide", "--json", BRAND).stdout)
    result = call("audit", log, "--case", BRAND)
    assert result.exit_code == 0
    assert result.stdout.count(": sound: ") == 4
    assert result.stdout.endswith(f"4 entries, unbroken\nhead: {entries[-1]['hash']}\n")


def test_what_was_recorded_is_said_with_the_head(tmp_path) -> None:
    log = tmp_path / "decisions.log"
    said = call("decide", YES, ASKS, "--record", log).stderr
    head = json.loads(log.read_text().splitlines()[-1])["hash"]
    assert said == f"recorded: 2 entries, the last is entry 2 of {log}, head {head}\n"
    assert call("audit", log, "--head", head).exit_code == 0
    call("decide", YES, "--record", log)
    assert call("audit", log, "--head", head).exit_code == 0
    lines = log.read_text().splitlines(keepends=True)
    log.write_text(lines[0])
    assert call("audit", log).exit_code == 0
    result = call("audit", log, "--head", head)
    assert result.exit_code == 1
    assert "the end of the log was cut off or written anew" in result.stdout
    assert json.loads(call("audit", log, "--head", head, "--json").stdout)["has_head_given"] is False


def test_an_edited_log_is_found_and_the_entries_before_are_valid(tmp_path) -> None:
    log = tmp_path / "decisions.log"
    call("decide", YES, ASKS, ELSEWHERE, "--record", log)
    lines = log.read_text().splitlines(keepends=True)
    log.write_text(lines[0] + lines[2])
    result = call("audit", log)
    assert result.exit_code == 1
    assert result.stdout.startswith("line 2: entry 3 stands where entry 2 has to stand")
    assert "2 entries; unbroken from the start: 1" in result.stdout
    said = json.loads(call("audit", log, "--json").stdout)
    assert (said["sound"], said["unbroken"], said["problems"][0]["line"]) == (False, 1, 2)


def test_a_torn_last_line_is_reported_and_the_next_entry_goes_on(tmp_path) -> None:
    log = tmp_path / "decisions.log"
    call("decide", YES, ASKS, "--record", log)
    log.write_bytes(log.read_bytes()[:-100])
    result = call("audit", log)
    assert result.exit_code == 1
    assert "line 2: this line is torn: its write was cut off, it was never recorded" in result.stdout
    assert "1 entry; unbroken from the start: 1" in result.stdout
    call("decide", ASKS, "--record", log)
    result = call("audit", log)
    assert result.exit_code == 0
    assert "torn lines, vouched for by the entry after them: 2" in result.stdout


def test_an_empty_log_is_a_log_if_it_is_called_one(tmp_path) -> None:
    log = tmp_path / "decisions.log"
    log.write_text("")
    assert call("audit", log).exit_code == 1
    assert call("audit", "--log", log).exit_code == 0


def test_a_decision_that_cannot_be_recorded_is_not_printed_and_those_before_are(tmp_path) -> None:
    log = tmp_path / "decisions.log"
    call("decide", YES, "--record", log)
    script = (
        "import resource, signal, sys; from policy_kb.commands import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "limit = int(sys.argv.pop(1)); resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)); main()"
    )
    before = log.read_bytes()
    limit = str(2 * len(before) + 1000)  # room for one more entry
    done = subprocess.run(
        [sys.executable, "-c", script, limit, "decide", str(YES), str(ASKS), "--record", str(log)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )
    assert done.returncode == 1
    assert done.stdout.startswith("two-relapses-and-an-enhancing-lesion: met")
    assert "mostly-needs-information" not in done.stdout
    assert "not recorded: File too large" in done.stderr
    assert "recorded: entry 2 of" in done.stderr
    assert call("audit", log).exit_code == 0
    assert log.read_bytes().startswith(before)
