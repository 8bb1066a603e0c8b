"""Every scenario of every policy: a case, and what the policy must say of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

import policy_kb
from policy_kb import Policy
from policy_kb.load.cases import asked
from policy_kb.load.documents import Document, read_documents

KB = Path(__file__).resolve().parents[2] / "kb"
SCENARIOS = sorted(KB.glob("*/scenarios/*.yaml"))
EXPECTED = {"decision", "criteria", "approval", "missing", "notices", "not_applicable"}


class _AllText(yaml.SafeLoader):
    """Reads every plain value as text, as the case format does."""


_AllText.yaml_implicit_resolvers = {}


@cache
def load_policy(entry: Path) -> Policy:
    return policy_kb.load_policy(entry)


def policy_of(scenario: Path) -> Policy:
    """The policy whose folder the scenario stands in."""
    return load_policy(KB / f"{scenario.parents[1].name}.dl")


def read_scenario(path: Path) -> tuple[Mapping[str, Any], Document, Mapping[str, str]]:
    """What a scenario expects, its case, read from the text as a case file is, and its readings."""
    text = path.read_text(encoding="utf-8")
    written = yaml.load(text, _AllText)
    with TemporaryDirectory() as folder:
        file = Path(folder, "case.yaml")
        case = text.partition("\ncase:\n")[2]
        file.write_text("".join(line.removeprefix("  ") for line in case.splitlines(keepends=True)), encoding="utf-8")
        (document,) = read_documents(file)
    return written["expect"], document, written.get("readings", {})


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) > 200


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_is_decided_as_it_says(path: Path) -> None:
    expected, document, readings = read_scenario(path)
    found = policy_of(path).decide(document, readings=readings)
    assert not expected.keys() - EXPECTED
    assert found.decision == expected["decision"]
    for number, answer in expected.get("criteria", {}).items():
        assert found.criteria[number] == answer, number
    approval = expected.get("approval")
    if approval is not None:
        amounts = found.approval or ()
        assert [{"amount": str(one.amount), "unit": one.unit} for one in amounts] == approval
    if found.decision != "met":
        assert found.approval is None
    if "missing" in expected:
        assert {point.relation for point in found.missing} == set(expected["missing"])
    for phrase in expected.get("notices", ()):
        assert any(phrase in notice for notice in found.notices), found.notices
    if found.decision == "not applicable":
        assert expected["not_applicable"] in found.reason
        assert not found.criteria


def test_every_criterion_has_each_of_its_answers_in_some_scenario() -> None:
    wanted = {"met", "not met", "needs information"}
    seen: dict[tuple[Policy, str, str], set[str]] = {}
    for policy in map(policy_of, SCENARIOS):
        criteria = [relation.criteria for relation in policy.program.relations.values()]
        criteria += [rule.criteria for rule in policy.program.rules]
        for criterion in chain.from_iterable(criteria):
            seen[policy, criterion.phase, criterion.number] = set()
    for path in SCENARIOS:
        expected, document, _ = read_scenario(path)
        phase = asked(document).request["phase"]
        for number, answer in expected.get("criteria", {}).items():
            seen[policy_of(path), str(phase), number].add(answer)
    assert {key[1:]: wanted - answers for key, answers in seen.items() if wanted - answers} == {}
