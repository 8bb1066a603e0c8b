"""What changed between two results: counted by an independent reading, whatever the format, and mirrored."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

duckdb = pytest.importorskip("duckdb")

from policy_kb.batch.compare import Comparison, compare_results, comparison_dict, comparison_lines  # noqa: E402
from policy_kb.batch.results import DECISIONS  # noqa: E402
from policy_kb.commands import program  # noqa: E402
from policy_kb.diagnostics import CaseRefused  # noqa: E402
from tests.batch.test_results import CRITERIA, NAMES, Row, row, rows_of_results, write  # noqa: E402

ALL = 1_000_000


@st.composite
def two_results(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    """Two results that share most cases; some of these are decided otherwise."""
    old = draw(rows_of_results(10))
    new = []
    for one in old:
        what = draw(st.sampled_from(["same", "same", "other", "gone"]))
        if what == "same":
            new.append(one)
        elif what == "other":
            other = draw(rows_of_results(1))
            new += [replace(another, case=one.case) for another in other] or [one]
    names = {one.case for one in old}
    return old, new + [one for one in draw(rows_of_results(3)) if one.case not in names]


def compare(folder: Path, old: list[Row], new: list[Row], file: str = "a.parquet", **given) -> Comparison:
    for side, rows in (("old", old), ("new", new)):
        (folder / side).mkdir(exist_ok=True)
        write(folder / side / file, rows)
    return compare_results(folder / "old" / file, folder / "new" / file, **{"most": ALL, **given})


def call(*arguments: object):
    result = CliRunner().invoke(program, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


# --- laws ---


@settings(max_examples=20)
@given(rows_of_results(), st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_a_result_compared_with_itself_in_any_format_has_no_change(tmp_path_factory, rows, one, other):
    folder = tmp_path_factory.mktemp("results")
    # Criteria that no line of JSON has are not known to it.
    found = compare_results(write(folder / f"1-{one}", rows), write(folder / f"2-{other}", rows))
    assert (found.changed, found.decisions_changed, found.approvals, found.criteria, found.first) == (0, 0, 0, (), ())
    assert found.old.alone == found.new.alone == 0
    assert found.both == found.old.cases == found.new.cases == len(rows)
    assert sum(change.cases for change in found.decisions) == len(rows)


@settings(max_examples=20)
@given(two_results(), st.sampled_from(NAMES))
def test_comparing_the_other_way_round_is_the_mirror_image(tmp_path_factory, results, file):
    folder = tmp_path_factory.mktemp("results")
    there, back = compare(folder, *results, file), compare(folder, *reversed(results), file)
    assert (there.both, there.changed, there.approvals) == (back.both, back.changed, back.approvals)
    for one, other in ((there.old, back.new), (there.new, back.old)):
        assert (one.cases, one.alone, one.first, set(one.criteria)) == (
            other.cases, other.alone, other.first, set(other.criteria))
    for one, other in ((there.decisions, back.decisions), (there.criteria, back.criteria)):
        assert {(change.what, change.old, change.new, change.cases) for change in one} == {
            (change.what, change.new, change.old, change.cases) for change in other}
    assert [(case.case, case.decisions, case.phases) for case in there.first] == [
        (case.case, case.decisions[::-1], case.phases[::-1]) for case in back.first]


@settings(max_examples=30)
@given(two_results())
def test_changes_are_those_that_a_plain_reading_of_the_rows_finds(tmp_path_factory, results):
    found = compare(tmp_path_factory.mktemp("results"), *results)
    old, new = ({one.case: one for one in rows} for rows in results)
    both = sorted(old.keys() & new.keys())
    decisions = Counter((old[case].decision, new[case].decision) for case in both)
    criteria: Counter[tuple[str, str, str]] = Counter()
    changed = set()
    for case in both:
        answers = dict(new[case].criteria)
        flips = [(one, answer, answers[one]) for one, answer in old[case].criteria
                 if answers.get(one, answer) != answer]
        criteria.update(flips)
        same = ("policy", "phase", "decision", "approval")
        if flips or any(getattr(old[case], key) != getattr(new[case], key) for key in same):
            changed.add(case)
    assert {(one.old, one.new): one.cases for one in found.decisions} == decisions
    assert {(one.what, one.old, one.new): one.cases for one in found.criteria} == criteria
    assert {case.case for case in found.first} == changed
    assert found.changed == len(changed)
    assert found.both == len(both)
    assert list(found.old.first) == sorted(old.keys() - new.keys())
    assert list(found.new.first) == sorted(new.keys() - old.keys())
    assert found.approvals == sum(old[case].approval != new[case].approval for case in both)
    is_first = [case.decisions[0] != case.decisions[1] for case in found.first]
    assert is_first == sorted(is_first, reverse=True)


@settings(max_examples=20)
@given(two_results())
def test_all_changed_cases_are_written_in_each_format(tmp_path_factory, results):
    folder = tmp_path_factory.mktemp("results")
    for file in NAMES:
        found = compare(folder, *results, output=folder / file)
    changed = {case.case: case for case in found.first}
    alone = dict.fromkeys(found.old.first, "only old") | dict.fromkeys(found.new.first, "only new")
    with (folder / "a.csv").open(encoding="utf-8", newline="") as stream:
        as_csv = {one["case"]: one for one in csv.DictReader(stream)}
    as_json = {one["case"]: one for one in map(json.loads, (folder / "a.ndjson").read_bytes().splitlines())}
    with duckdb.connect() as connection:
        rows = connection.execute("FROM read_parquet(?)", [str(folder / "a.parquet")])
        names = [column[0] for column in rows.description]
        as_parquet = {values[0]: dict(zip(names, values, strict=True)) for values in rows.fetchall()}
    assert as_parquet == as_json
    assert set(as_csv) == set(as_json) == changed.keys() | alone.keys()
    for case, one in as_json.items():
        if case in alone:
            assert one["change"] == as_csv[case]["change"] == alone[case]
            continue
        expected = changed[case]
        assert (one["old_decision"], one["new_decision"]) == expected.decisions
        assert [tuple(answer.values()) for answer in one["criteria"]] == list(expected.criteria)
        assert as_csv[case]["criteria"] == "; ".join(f"{what}: {was} -> {now}" for what, was, now in expected.criteria)


@settings(max_examples=15)
@given(two_results(), st.integers(0, 3))
def test_the_text_and_the_plain_data_say_the_same_numbers(tmp_path_factory, results, most):
    folder = tmp_path_factory.mktemp("results")
    found = compare(folder, *results, most=most)
    as_json = json.loads(json.dumps(comparison_dict(found)))
    assert as_json["changed"] == found.changed
    assert len(as_json["first"]) == min(most, found.changed)
    assert {one["old"] for one in as_json["decisions"]} <= set(DECISIONS)
    text = "\n".join(comparison_lines(found))
    assert f"Decisions that changed: {found.decisions_changed} of {found.both} case" in text
    assert "denied" not in text
    assert all(sign.isprintable() for line in text.splitlines() for sign in line)


# --- what a reader sees ---


def test_the_command_shows_decisions_criteria_and_the_first_cases(tmp_path):
    old = [row("A-1", "not met", _1="not met", _1_a="not met"), row("A-2"), row("A-3"), row("A-4"), row("gone")]
    new = [row("A-1"), row("A-2"), row("A-3", "needs information", _2="needs information"),
           row("A-4", phase="continuation"), row("come")]
    compare(tmp_path, old, new)
    paths = tmp_path / "old/a.parquet", tmp_path / "new/a.parquet"
    result = call("compare", *paths, "--most", "2", "-o", tmp_path / "changed.csv")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.split("\n", 3)[3] == """\
Decisions that changed: 2 of 4 cases in both
  1  met -> needs information
  1  not met -> met
With the same decision, something else changed: 1 case
Approvals that changed: 2 cases

Criteria that changed, where the case has an answer in both:
  1  initiation 1  not met -> met
  1  initiation 1.a  not met -> met
  1  initiation 2  met -> needs information

Only in the old result: 1 case: gone

Only in the new result: 1 case: come

Changed cases, 2 of 3:
  A-1: not met -> met
    initiation 1: not met -> met
    initiation 1.a: not met -> met
  A-3: met -> needs information
    initiation 2: met -> needs information
"""
    assert len((tmp_path / "changed.csv").read_text().splitlines()) == 6
    found = json.loads(call("compare", *paths, "--json").stdout)
    assert found["decisions_changed"] == 2
    assert found["first"][2]["phase"] == {"old": "initiation", "new": "continuation"}


def test_criteria_that_only_one_result_knows_are_named(tmp_path):
    select = tmp_path / "new.csv"
    old = write(tmp_path / "old.csv", [row("a")])
    select.write_text(old.read_text().replace("initiation 1.a", "initiation 1.b"))
    found = compare_results(old, select)
    assert (found.old.criteria, found.new.criteria) == (("initiation 1.a",), ("initiation 1.b",))
    assert "Criteria only in the new result, not compared: initiation 1.b" in list(comparison_lines(found))
    assert found.changed == 0


def test_an_approval_that_changed_alone_is_a_change(tmp_path):
    found = compare(tmp_path, [row("a"), row("b")], [row("a"), replace(row("b"), approval=((Decimal(3), "doses"),))])
    assert (found.changed, found.approvals, found.decisions_changed) == (1, 1, 0)
    assert "    approval: 5 doses, 60 units of J0202 -> 3 doses" in list(comparison_lines(found))


@pytest.mark.parametrize("file", NAMES)
def test_a_file_that_is_no_result_is_refused_with_its_name(tmp_path, file):
    good, bad = write(tmp_path / f"good-{file}", [row("a")]), tmp_path / f"bad-{file}"
    bad.write_text('{"case": "a", "request": {}}\n')
    for arguments, says in (
        ((good, bad), f"bad-{file}:1"), ((bad, good), f"bad-{file}:1"),
        ((good, tmp_path / "nowhere.csv"), "nowhere.csv:1:1: error: no such file"),
        ((good, tmp_path / "a.xlsx"), "the ending `.xlsx` says no format"),
        ((good, good, "-o", good), "this is the input"),
        ((good, good, "-o", tmp_path / "changed.txt"), "the ending `.txt` says no format"),
        ((good, write(tmp_path / f"twice-{file}", [row("a"), row("a")])), "the case `a` has 2 rows"),
    ):
        result = call("compare", *arguments)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert says in result.stderr
        assert "help: " in result.stderr


def test_an_answer_of_a_parquet_file_that_is_none_is_refused_with_its_name(tmp_path):
    good, bad = write(tmp_path / "good.parquet", [row("a")]), tmp_path / "bad.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"""COPY (SELECT * REPLACE ('perhaps' AS "initiation 2") FROM read_parquet('{good}'))
            TO '{bad}' (FORMAT parquet)""")
    for paths in ((good, bad), (bad, good)):
        result = call("compare", *paths)
        assert result.exit_code == 1
        assert "bad.parquet:1" in result.stderr
        assert "perhaps" in result.stderr


def test_nothing_is_left_of_an_output_when_a_file_is_refused(tmp_path):
    good = write(tmp_path / "good.parquet", [row("a")])
    with pytest.raises(CaseRefused):
        compare_results(good, tmp_path / "nowhere.csv", output=tmp_path / "changed.csv")
    assert os.listdir(tmp_path) == ["good.parquet"]


def test_the_criteria_of_the_rows_used_here_are_those_of_two_phases():
    assert {one.split()[0] for one in CRITERIA} == {"initiation", "continuation"}
