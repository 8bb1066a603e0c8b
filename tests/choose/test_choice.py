"""Which policy decides: item, phase, payer and day; and what is said where none does, or several may."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from policy_kb.choose.editions import Asked, Edition, NoChoice, choose, overlaps, with_ends
from policy_kb.commands import program
from policy_kb.dates import parse_date
from policy_kb.diagnostics import CaseRefused, RulesRefused
from policy_kb.load.documents import parse_document
from policy_kb.policies import Policies, load_policy
from policy_kb.report.determination import Determination
from tests.choose.bases import base, case, policy


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_KB_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("POLICY_KB_PATH", raising=False)


def decide(folder: Path, said: Mapping[str, object], named: str | None = None) -> Determination:
    document = parse_document(said)
    return Policies(named, bases=[folder]).for_document(document).determine(document, {})


def refused(folder: Path, said: Mapping[str, object], named: str | None = None) -> str:
    with pytest.raises(CaseRefused) as caught:
        decide(folder, said, named)
    return str(caught.value)


def test_a_request_is_decided_by_the_text_of_its_day(tmp_path: Path) -> None:
    folder = base(tmp_path, old=policy(effective="2020-01-01", least=5), new=policy(effective="2023-04-16", least=10))
    for day, decision, effective, until in (
        ("2023-04-15", "met", "2020-01-01", "2023-04-15"), ("2023-04-16", "not met", "2023-04-16", None),
    ):
        found = decide(folder, case(day, value=7))
        assert (found.decision, found.edition.to_dict()) == (
            decision, {"effective": effective, "until": until, "payer": None})


def test_the_text_of_a_day_that_is_not_held_decides_nothing(tmp_path: Path) -> None:
    folder = base(tmp_path, one=policy(effective="2021-01-01", until="2021-12-31"), two=policy(effective="2023-01-01"))
    for day, nearest in (("2020-06-01", "2021-01-01"), ("2022-01-01", "2021-01-01"), ("2022-12-31", "2023-01-01")):
        found = decide(folder, case(day))
        assert found.decision == "not applicable"
        assert day in found.reason
        assert nearest in found.reason
        assert (found.criteria, found.explanation) == ({}, None)
    assert decide(folder, case("2020-06-01"), str(folder / "one.dl")).decision == "met"


def test_payers_and_numbers_tell_policies_apart(tmp_path: Path) -> None:
    folder = base(tmp_path, one=policy("P-1", payer="Example One"), two=policy("P-2", payer="Example Two", least=11))
    said = refused(folder, case())
    assert "2 policies cover `Sensor`" in said
    assert "`payer: Example One` or `payer: Example Two`" in said
    assert decide(folder, case(payer="example one")).phase.policy == "P-1"
    assert decide(folder, case(payer="Example Two")).decision == "not met"
    assert decide(folder, case(policy="p-2")).phase.policy == "P-2"
    assert decide(folder, case(), "P-1").phase.policy == "P-1"
    assert "did you mean `Example Two`?" in refused(folder, case(payer="Example Too"))
    assert "did you mean `P-2`?" in refused(folder, case(policy="P-22"))


def test_a_policy_without_a_payer_agrees_with_any(tmp_path: Path) -> None:
    folder = base(tmp_path, one=policy("P-1"), two=policy("P-2", payer="Example Two", covers=["Pump"]))
    assert decide(folder, case(payer="Example Two")).phase.policy == "P-1"
    assert "it covers `Pump`" in refused(folder, case(item="pump"))


def test_what_no_policy_covers_is_said_with_where_it_was_looked_for(tmp_path: Path) -> None:
    folder = base(tmp_path, one=policy("P-1", covers=["Sensor", "Pump"]))
    said = refused(folder, case(item="Censor"))
    assert "no policy covers `Censor`" in said
    assert "did you mean `Sensor`?" in said
    assert str(folder) in said
    said = refused(folder, case() | {"request": {"device": "Sensor", "phase": "renewal", "ordered": "2025-01-01"}})
    assert "has the phase `renewal`" in said


def test_policies_of_other_vocabularies_stand_side_by_side(tmp_path: Path) -> None:
    other = policy("D-1", item="drug", day="received", question="weight", covers=["Sensorin"])
    folder = base(tmp_path, one=policy("P-1"), deep__er__two=other)
    request = {"drug": "Sensorin", "phase": "initial", "received": "2025-01-01"}
    assert decide(folder, {"case": "A-1", "request": request, "weight": [12]}).decision == "met"
    assert decide(folder, case()).decision == "met"
    assert "`weight` is not a relation of a case" in refused(folder, case(weight=[12]))


def test_a_policy_that_does_not_check_stops_only_what_it_may_claim(tmp_path: Path) -> None:
    folder = base(tmp_path, one=policy("P-1"), two=policy("P-2", covers=["Pump"]) + "broken(case) :- nothing(case).\n")
    assert decide(folder, case()).decision == "met"
    with pytest.raises(RulesRefused, match="nothing"):
        decide(folder, case(item="Pump"))
    (folder / "two.dl").write_text(policy("P-2", covers=["Pump"]), encoding="utf-8")
    assert decide(folder, case(item="Pump")).phase.policy == "P-2"


def test_parts_are_no_policies_and_an_edit_is_seen(tmp_path: Path) -> None:
    text = policy("P-1", least=5)
    entry = '.include "parts/rules.dl"\n'
    folder = base(tmp_path, entry=entry, parts__rules=text, vocabulary__alone=".type T <: symbol")
    assert decide(folder, case(value=7)).decision == "met"
    (folder / "parts/rules.dl").write_text(policy("P-1", least=9, covers=["Other"]), encoding="utf-8")
    assert decide(folder, case(item="Other", value=7)).decision == "not met"
    assert "no policy covers `Sensor`" in refused(folder, case())


def test_the_last_edition_is_the_one_that_a_number_names(tmp_path: Path) -> None:
    folder = base(tmp_path, a=policy("P-1", effective="2024-01-01", least=7), b=policy("P-1", effective="2021-01-01"))
    assert load_policy("P-1", bases=[folder]).editions["initial"].effective == parse_date("2024-01-01")


def test_check_names_editions_that_can_claim_one_request(tmp_path: Path) -> None:
    other = policy("P-3", until="2020-12-31", covers=["X"])
    folder = base(tmp_path, a=policy("P-1", payer="One"), b=policy("P-2"), c=other)
    ran = CliRunner().invoke(program, ["check", str(folder)])
    assert ran.exit_code == 3
    assert "both cover `Sensor` in the phase `initial` on the same days" in ran.output
    assert "claimed-twice" in ran.output
    assert ran.output.count("error:") == 1
    assert CliRunner().invoke(program, ["check", str(folder / "a.dl")]).exit_code == 0


def test_commands_look_in_the_knowledge_bases_they_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = base(tmp_path / "kb", one=policy("P-1", payer="Example One"))
    file = tmp_path / "case.json"
    file.write_text(json.dumps(case()), encoding="utf-8")
    assert CliRunner().invoke(program, ["decide", str(file)]).exit_code == 1
    assert CliRunner().invoke(program, ["decide", str(file), "--kb", str(folder)]).exit_code == 0
    monkeypatch.setenv("POLICY_KB_PATH", os.pathsep.join([str(folder)]))
    assert CliRunner().invoke(program, ["explain", str(file), "--json"]).exit_code == 0
    listed = json.loads(CliRunner().invoke(program, ["policies", "--json"]).output)
    assert [one["policy"] for one in listed] == ["P-1", "09-J2000-27"]
    assert listed[0]["payer"] == "Example One"
    monkeypatch.setenv("POLICY_KB_PATH", str(tmp_path / "none"))
    ran = CliRunner().invoke(program, ["decide", str(file)])
    assert ran.exit_code == 1
    assert "`POLICY_KB_PATH` names" in ran.output


def test_a_batch_that_would_have_to_choose_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    folder = base(tmp_path / "kb", old=policy(effective="2020-01-01"), new=policy(effective="2023-04-16"))
    lines, output = tmp_path / "cases.ndjson", str(tmp_path / "out.ndjson")
    lines.write_text(json.dumps(case()) + "\n", encoding="utf-8")
    command = ["batch", str(lines), "-o", output, "--kb", str(folder), "--policy"]
    ran = CliRunner().invoke(program, [*command, "T-1"])
    assert ran.exit_code == 1
    assert "--policy FILE.dl" in ran.output
    assert CliRunner().invoke(program, [*command, str(folder / "new.dl")]).exit_code == 0
    assert json.loads(Path(output).read_text(encoding="utf-8"))["decision"] == "met"


def test_the_audit_accepts_an_edition_and_nothing_else(tmp_path: Path) -> None:
    folder = base(tmp_path / "kb", old=policy(effective="2020-01-01", least=5), new=policy(effective="2023-04-16"))
    for number, day in enumerate(("2022-01-01", "2024-01-01", "2019-12-31")):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(case(day)), encoding="utf-8")
        said = json.loads(CliRunner().invoke(program, ["decide", str(file), "--kb", str(folder), "--json"]).output)
        for change in ({}, {"until": "2024-12-31"}, {"effective": "2021-01-01"}, {"payer": "Example"}):
            written = tmp_path / "determination.json"
            written.write_text(json.dumps({**said, "edition": {**said["edition"], **change}}), encoding="utf-8")
            ran = CliRunner().invoke(program, ["audit", str(written), "--case", str(file), "--rules", str(folder)])
            assert ran.exit_code == (1 if change else 0), ran.output
        written.write_text(json.dumps({**said, "decision": "not met"}), encoding="utf-8")
        assert CliRunner().invoke(
            program, ["audit", str(written), "--case", str(file), "--rules", str(folder)]).exit_code == 1


# --- laws of the choice ---

DAYS = st.integers(0, 40).map(lambda days: parse_date((date(2024, 1, 1) + timedelta(days)).isoformat()))


@st.composite
def editions(draw: st.DrawFn) -> list[Edition]:
    found = []
    for number in range(draw(st.integers(1, 6))):
        effective = draw(DAYS)
        until = draw(st.none() | st.integers(0, 20).map(lambda days, first=effective: first + days))
        found.append(Edition(
            draw(st.sampled_from(["P-1", "P-2", "P-3"])), draw(st.sampled_from(["first", "next"])), "title",
            "2024-01-01", draw(st.sampled_from([None, "One", "Two"])), draw(st.sampled_from(["drug", "device"])),
            "received", effective, until, frozenset(draw(st.sets(st.sampled_from("abc"), min_size=1))), f"{number}.dl",
            f"{number}.dl", (f"{number}.dl", 1),
        ))
    return with_ends(found)


def requests() -> Iterator[Asked]:
    for item in "abcd":
        for phase in ("first", "next", "last"):
            for payer in (None, "one", "Two", "Three"):
                for day in ("2023-12-31", "2024-01-10", "2024-02-01", "2024-03-20"):
                    request = {"drug": item, "phase": phase, "received": day}
                    yield Asked(request, payer)
                    yield Asked({**request, "device": item}, payer, "p-1")


def chosen(found: list[Edition], asked: Asked) -> tuple[str, bool] | None:
    try:
        choice = choose(found, asked)
    except NoChoice:
        return None
    return choice.file, choice.holds_on(parse_date(asked.request["received"]))


@given(editions())
def test_a_choice_fits_the_request_and_is_the_only_one(found: list[Edition]) -> None:
    for asked in requests():
        day = parse_date(asked.request["received"])
        fitting = {
            one.file for one in found
            if asked.request.get(one.item) in one.covers and one.phase == asked.request["phase"] and one.holds_on(day)
            and (asked.payer is None or one.payer is None or one.payer.lower() == asked.payer.lower())
            and (asked.policy is None or one.policy == "P-1")
        }
        choice = chosen(found, asked)
        assert (choice is not None and choice[1]) == (len(fitting) == 1)
        if choice is not None and choice[1]:
            assert choice[0] in fitting
        if choice is not None and not choice[1]:
            assert not fitting


@given(editions(), editions())
def test_another_policy_never_turns_one_decision_into_another(found: list[Edition], more: list[Edition]) -> None:
    others = [one for one in more if one.policy not in {first.policy for first in found}]
    together = with_ends([*found, *others])
    for asked in requests():
        before, after = chosen(found, asked), chosen(together, asked)
        if before is not None and before[1]:
            assert after in (before, None)


@given(editions())
def test_only_editions_that_overlap_can_both_claim_a_request(found: list[Edition]) -> None:
    pairs = {frozenset((one.file, other.file)) for one, other, _ in overlaps(found)}
    for asked in requests():
        try:
            choose(found, asked)
        except NoChoice as none:
            if "policies cover" in none.message and asked.payer is None and asked.policy is None:
                payers = {one.payer for one in none.editions}
                files = {one.file for one in none.editions}
                assert len(payers - {None}) > 1 or any(pair <= files for pair in pairs)
