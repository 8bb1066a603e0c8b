"""Law 5: the audit accepts every explanation that is made, and no other."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given, settings

from policy_kb.audit.proofs import Json
from policy_kb.audit.walk import Unsound
from policy_kb.diagnostics import Refused
from policy_kb.explain.proof import MOST_WITHIN, Claim
from tests.audit.mutations import changes, parts, with_change
from tests.evaluate.running import check_text
from tests.explain.running import (
    COMPARED,
    COMPARED_DAYS,
    Explained,
    explain_alemtuzumab,
    explain_text,
    explained,
    shorten_lists,
)
from tests.strategies.cases import alemtuzumab_cases
from tests.strategies.programs import random_case, random_program


def claims(one: Explained) -> Iterator[Claim]:
    """Every relation that was evaluated, and every possible row of it."""
    for relation, rows in one.model.possible.items():
        yield one.claim(relation)
        for row in rows:
            yield Claim(relation, row)


def random_explained(seed: int) -> Explained | None:
    """A case of a random program; None where a value does not exist (a division by zero)."""
    source = random.Random(f"explanations {seed}")
    program = random_program(source, exotic=seed % 3 == 0)
    try:
        return explained(check_text(program.text), random_case(source, program), program.root)
    except Refused:
        return None


def refuses(one: Explained, said: Json) -> bool:
    try:
        one.check(said)
    except Unsound:
        return True
    return False


@settings(max_examples=40)
@given(alemtuzumab_cases())
def test_the_explanation_of_every_relation_of_an_alemtuzumab_case_is_accepted(document: dict[str, object]) -> None:
    one = explain_alemtuzumab(document)
    for relation in one.model.possible:
        one.check(claim=one.claim(relation))


@pytest.mark.parametrize("most", [MOST_WITHIN, 2, 1])
def test_the_explanation_of_every_row_of_a_random_program_is_accepted(
    most: int, monkeypatch: pytest.MonkeyPatch, effort: int
) -> None:
    shorten_lists(monkeypatch, most)
    for seed in range(100 * effort):
        one = random_explained(seed)
        if one is not None:
            for claim in claims(one):
                one.check(claim=claim)


def test_the_audit_finds_the_statuses_that_engines_find(effort: int) -> None:
    for seed in range(100 * effort):
        one = random_explained(seed)
        if one is None:
            continue
        for relation in one.model.possible:
            status = one.statuses.status(relation)
            assert status.certain.rows == one.model.certain[relation]
            assert status.possible.rows == one.model.possible[relation]
            assert status.is_open == (relation in one.model.open)


def test_an_explanation_of_another_case_is_refused() -> None:
    rules = "@[single] .decl dose(case: Case, mg: number) .input dose\n" \
            ".decl decided(case: Case) decided(case) :- dose(case, mg), mg <= 12."
    low, lower = explain_text(rules, dose=[10]), explain_text(rules, dose=[9])
    low.check()
    assert refuses(lower, low.said())


def test_a_row_of_the_case_that_is_not_on_record_is_refused_with_its_place() -> None:
    one = explain_text(
        ".decl visit(case: Case, day: number) .input visit\n.decl decided(case: Case)\n"
        "decided(case) :- visit(case, day), day > 3.",
        visit=[5],
    )
    said = one.said()
    said["nodes"][0]["values"][0] = 6
    with pytest.raises(Unsound) as caught:
        one.check(said)
    assert str(caught.value) == "nodes[0].values[0]: it says `6`; it has to be `5`"


def test_a_proof_that_stands_somewhere_else_is_refused_with_what_has_to_stand_there() -> None:
    one = explain_text(
        ".decl visit(case: Case, day: number) .input visit\n.decl decided(case: Case)\n"
        "decided(case) :- visit(case, 1), visit(case, 2).",
        visit=[1, 2],
    )
    said = one.said()
    root = said["nodes"][said["root"]]
    root["children"] = [root["children"][0]]
    with pytest.raises(Unsound) as caught:
        one.check(said)
    assert str(caught.value) == "nodes[2].children: it has 1 entry; it has to have 2"


def test_what_is_open_is_never_taken_for_absent() -> None:
    rules = ".decl visit(case: Case, day: number) .input visit\n.decl decided(case: Case)\n" \
            "decided(case) :- request(case, _, _, _), !visit(case, _)."
    absent, unknown = explain_text(rules, visit=[]), explain_text(rules)
    assert (absent.answer, unknown.answer) == ("met", "needs information")
    assert refuses(unknown, absent.said())
    said = unknown.said()
    said["nodes"][said["root"]]["kind"] = "refuted"
    assert refuses(unknown, said)


def test_a_rule_that_makes_its_head_possible_proves_nothing() -> None:
    rules = ".decl visit(case: Case) .input visit\n.decl decided(case: Case)\n"
    rule = "decided(case) :- visit(case)."
    sure = explain_text(rules + rule, visit=True)
    unsure = explain_text(rules + '/// Does it count?\n@[possible("judgement")]\n' + rule, visit=True)
    assert unsure.said()["nodes"][-1]["kind"] == "doubted"
    unsure.check()
    assert refuses(unsure, sure.said())


def test_a_known_fact_is_checked_against_the_rule_files() -> None:
    one = explain_text(
        ".decl visit(case: Case, day: number) .input visit\n.decl least(day: number) least(3).\n"
        ".decl decided(case: Case)\ndecided(case) :- visit(case, day), least(number), day >= number.",
        visit=[5],
    )
    assert [node.get("known") for node in one.said()["nodes"]][:2] == [None, True]
    one.check()
    other = Explained(one.program, {"least": {(4,)}}, one.facts, one.model, one.root)
    assert refuses(other, one.said())


def test_a_reference_leads_to_a_proof_of_the_same_claim_that_stands_before_it() -> None:
    one = explain_text(
        ".decl visit(case: Case, day: number) .input visit\n.decl early(case: Case)\n"
        "early(case) :- visit(case, 1).\n.decl first(case: Case)\nfirst(case) :- early(case), visit(case, 2).\n"
        ".decl decided(case: Case)\ndecided(case) :- early(case), first(case).",
        visit=[1, 2],
    )
    said = one.said()
    *_, first, root = said["nodes"]
    early = root["children"][0]["node"]
    assert first["children"][0]["node"] == early
    one.check(said)
    for other in (root["id"], first["id"], early - 1, early + 1, 99, None, True, -1, str(early)):
        first["children"][0]["node"] = other
        assert refuses(one, said)


def test_what_lists_leave_out_is_audited() -> None:
    one = explain_text(COMPARED_DAYS, **COMPARED)
    said, source = one.said(), random.Random(1)
    one.check(said)
    shortened: Counter[str] = Counter()
    left_out = [(path, part) for path, part in parts(said) if path and path[-1] in ("more", "more_beside")]
    for number, (path, part) in enumerate(left_out[::3]):
        # A third of the places, each changed in one of the ways there are, and each way tried at many places.
        kinds = list(changes(path, part))
        kind, change = kinds[number % len(kinds)]
        assert refuses(one, with_change(said, path, partial(change, source=source))), kind

        def exchanged(node: Json) -> Json:
            """The node says that one row less is left out, and lists one more."""
            (name,) = {"rows", "instead", "besides"} & node.keys()
            shortened[f"{node['kind']}.{name}"] += 1
            return {**node, "more": node["more"] - 1, name: [*node[name], *node[name][-1:]]}

        if path[-1] == "more":
            assert refuses(one, with_change(said, path[:-1], exchanged))
        else:
            shortened["against"] += 1
    assert shortened.keys() >= {"rows.rows", "counted.rows", "absent.instead", "against"}


def test_a_list_that_is_whole_does_not_say_that_it_is_shortened() -> None:
    one = explain_text(COMPARED_DAYS, visit=[1, 2], barred=[])
    said = one.said()
    for path, part in parts(said):
        if isinstance(part, dict) and "kind" in part:
            for field in ("more", "more_beside"):
                for number in (0, 1, None):
                    changed = {**part, field: number}
                    assert refuses(one, with_change(said, path, partial(lambda changed, node: changed, changed)))


def test_a_value_that_json_does_not_have_is_text() -> None:
    one = explain_text(
        ".decl dose(case: Case, mg: float) .input dose\n.decl decided(case: Case)\n"
        "decided(case) :- dose(case, mg), mg / 7.0 > 5.0.",
        dose=[1.5],
    )
    said = one.said()
    assert [node["left"]["value"] for node in said["nodes"] if node["kind"] == "compared"] == ["3/14"]
    json.dumps(said, allow_nan=False)
    one.check(said)


def test_the_audit_uses_no_engine_and_no_explainer() -> None:
    script = (
        "import sys, policy_kb.audit.determination, policy_kb.audit.rules, policy_kb.audit.log, policy_kb.audit.cases\n"
        "allowed = {'policy_kb.explain', 'policy_kb.explain.proof', 'policy_kb.explain.phrasing',"
        " 'policy_kb.explain.written', 'policy_kb.report',"
        " 'policy_kb.report.wording', 'policy_kb.batch', 'policy_kb.batch.shape'}\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'pyDatalog' or name.startswith("
        "('policy_kb.evaluate', 'policy_kb.pipeline', 'policy_kb.policies', 'policy_kb.batch', 'policy_kb.explain',"
        " 'policy_kb.report')) and name not in allowed])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
