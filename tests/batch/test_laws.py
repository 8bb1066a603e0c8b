"""Laws 3 and 6: a batch gives each case what it gets by itself, whatever database decides it, in any order."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("duckdb")

from policy_kb import load_policy
from policy_kb.check.checked import Phase
from policy_kb.diagnostics import CaseRefused, Refused
from policy_kb.evaluate.worlds import certain, open_, possible, spoken_of
from policy_kb.load.facts import Facts
from policy_kb.report.determination import Determination
from tests.batch.running import decided, expected, models
from tests.evaluate.running import Policy, check_text, policy_of
from tests.strategies import cases as alemtuzumab
from tests.strategies import programs

POLICY = load_policy("09-J2000-27")


@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_duckdb_gives_the_model_of_each_case(seed: int, exotic: bool, general: bool) -> None:
    source = random.Random(seed)
    program = programs.random_program(source, exotic)
    policy = policy_of(program)
    facts, wanted = [], []
    for number in range(4):
        document = programs.random_case(source, program, f"A-{number}", sure=source.random() < 0.2)
        try:
            one = policy.facts(document)
            model = policy.model(document)
        except Refused:  # a value that does not exist: see `test_engine`
            continue
        facts.append(one)
        wanted.append(model)
    if not facts:
        return
    found = models(policy.program, policy.worlds, policy.known, facts, general=general)
    derived = {
        name for name in policy.worlds.program.arities
        if spoken_of(name) in policy.program.relations and not policy.program.relations[spoken_of(name)].is_input
    }
    for one, model in zip(facts, wanted, strict=True):
        assert found[one.case] == expected(model, derived), program.text


def some_cases(source: random.Random, number: int) -> dict[str, tuple[Facts, Determination]]:
    """Cases of the policy that can be read, each with its determination by itself."""
    found: dict[str, tuple[Facts, Determination]] = {}
    while len(found) < number:
        document = {**alemtuzumab.random_case(source), "case": f"A-{len(found)}"}
        parsed = alemtuzumab_document(document)
        try:
            found[str(document["case"])] = (
                POLICY.load(parsed), POLICY.determine(parsed, {}, with_explanation=False)
            )
        except CaseRefused:
            continue
    return found


def alemtuzumab_document(document: Mapping[str, object]) -> Any:
    from policy_kb.load.documents import parse_document

    return parse_document(document)


def of_phase(cases: Mapping[str, tuple[Facts, Determination]], phase: Phase) -> list[Facts]:
    return [facts for facts, determination in cases.values() if determination.phase == phase]


def told(row: Mapping[str, Any], phase: Phase) -> dict[str, Any]:
    """What a row of a batch says, as `said` puts it."""
    return {
        "decision": row["decision"],
        "approval": row["approval"] is not None,
        "criteria": {
            name.removeprefix(f"{phase.name} "): value for name, value in row.items()
            if name.startswith(f"{phase.name} ") and value is not None
        },
        "missing": {(point["relation"], point["why"]) for point in row["missing"]},
        "notices": list(row["notices"]),
    }


def said(determination: Determination) -> dict[str, Any]:
    return {
        "decision": determination.decision,
        "approval": determination.approval is not None,
        "criteria": dict(determination.criteria),
        "missing": {(point.relation, point.why) for point in determination.missing},
        "notices": list(determination.notices),
    }


@pytest.mark.parametrize("phase", POLICY.program.phases, ids=lambda phase: phase.name)
@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_batch_equals_its_cases_one_by_one(phase: Phase, general: bool, seed: int) -> None:
    """Decision, approval, every criterion, all that is missing and the notices."""
    cases = some_cases(random.Random(seed), 60)
    rows = decided(POLICY.rules, POLICY.rules.known, phase, of_phase(cases, phase), general=general)
    for name, row in rows.items():
        assert told(row, phase) == said(cases[name][1]), name
    assert rows.keys() == {facts.case for facts in of_phase(cases, phase)}


def test_neither_order_nor_company_matters() -> None:
    phase = POLICY.program.phases[0]
    source = random.Random(7)
    facts = of_phase(some_cases(source, 60), phase)
    whole = decided(POLICY.rules, POLICY.rules.known, phase, facts)
    shuffled = source.sample(facts, len(facts))
    half = len(facts) // 2
    apart: dict[str, dict[str, Any]] = {}
    for part in (shuffled[:half], shuffled[half:]):
        apart |= decided(POLICY.rules, POLICY.rules.known, phase, part)
    assert {name: told(row, phase) for name, row in whole.items()} == {
        name: told(row, phase) for name, row in apart.items()
    }


def some_comparisons(source: random.Random) -> str:
    """A program that compares rows of one relation by their order, and asks about a relation with one row."""
    def kind(name: str) -> tuple[str, str]:
        """What stands for the kind of a row, and a literal about it."""
        return source.choice([('"a"', ""), ('"b"', ""), ("_", ""), (name, f'{name} != "c"'), (name, f'{name} = "b"')])

    def rule() -> str:
        first, about_first = kind("first")
        second, about_second = kind("second")
        order = source.choice(["later {} on", "on {} later"]).format(source.choice([">=", ">", "<", "<=", "=", "!="]))
        other = source.choice(["", "", "later > 2", "later != on"])
        inner = [f"row(case, {second}, later)", order, about_second, other]
        count = f"count : {{ {', '.join(filter(None, inner))} }} {source.choice(['= 0', '= 0', '< 1', '>= 1', '<= 1'])}"
        others = [
            about_first, count, source.choice(["", "", "on > 1", "count : { row(case, \"c\", any) } = 0"]),
            source.choice(["", "", "row(case, other, _), other != \"a\"", "row(case, _, on)"]),
            source.choice(["", "stage(case, level), level > 1", "stage(case, level), on > level", "!stage(case, 2)",
                           "stage(case, level), level != 1, level < 4"]),
        ]
        return f"decided(case) :- row(case, {first}, on), {', '.join(filter(None, others))}."

    return "\n".join([
        ".type Case <: symbol",
        '@[ask("What is asked for?")] @[single]',
        ".decl request(case: Case, drug: symbol, phase: symbol, received: number)",
        ".input request",
        '@[ask("Which rows are there?")]',
        '.decl row(case: Case, @[one_of("a", "b", "c")] kind: symbol, on: number)',
        ".input row",
        '@[ask("Which stage is it?")] @[single] @[closed]',
        ".decl stage(case: Case, level: number)",
        ".input stage",
        '@[policy("T-1", phase = "treatment", title = "A test", revised = "2025-07-15")]',
        '@[criterion("treatment decided")]',
        ".decl decided(case: Case)",
        *(rule() for _ in range(source.randint(1, 5))),
    ])


def test_a_large_table_gives_a_variable_its_values() -> None:
    """More rows than a rule is written out for, joined with a row by one column, compared with the case by another."""
    rules = some_comparisons(random.Random(1)).partition("decided(case) :-")[0]
    rows = " ".join(f"step({number}, {number % 7})." for number in range(100))
    text = f"{rules}.decl step(level: number, on: number)\n{rows}\n" \
        "decided(case) :- step(n, on), row(case, _, on), stage(case, level), n > level + 94."
    policy = Policy(check_text(text), ["decided"])
    source, name = random.Random(2), possible("decided")
    documents = [a_case_to_compare(source, f"A-{number}") for number in range(30)]
    facts = [policy.facts(document) for document in documents]
    found = models(policy.program, policy.worlds, policy.known, facts)
    wanted = [expected(policy.model(document), {name}) for document in documents]
    assert [{name: found[one.case][name]} if name in found[one.case] else {} for one in facts] == wanted
    assert 0 < sum(map(bool, wanted)) < len(wanted)


def a_case_to_compare(source: random.Random, name: str) -> dict[str, Any]:
    rows = [{"kind": source.choice("abc"), "on": source.randint(0, 5), "uncertain": source.random() < 0.25}
            for _ in range(source.randint(0, 4))]
    request = {"drug": "p", "phase": "treatment", "received": 1}
    found: dict[str, Any] = {"case": name, "request": request, "row": rows}
    if source.random() < 0.6:
        found["stage"] = {"level": source.randint(0, 4)}
    if source.random() < 0.3:
        found["incomplete"] = ["row"]
    return found


@given(st.integers(0, 2**32), st.booleans())
def test_rows_compared_by_their_order(seed: int, general: bool) -> None:
    source = random.Random(seed)
    text = some_comparisons(source)
    policy = Policy(check_text(text), ["decided"])
    documents = [a_case_to_compare(source, f"A-{number}") for number in range(8)]
    facts = [policy.facts(document) for document in documents]
    found = models(policy.program, policy.worlds, policy.known, facts, general=general)
    names = {sign("decided") for sign in (certain, possible, open_)} & policy.worlds.program.arities.keys()
    for one, document in zip(facts, documents, strict=True):
        wanted = expected(policy.model(document), names)
        assert {name: rows for name, rows in found[one.case].items() if name in names} == wanted, text
