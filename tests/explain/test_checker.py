"""Law 5: the checker accepts every explanation that is made, and refuses every change of one."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_kb.explain.checker import ProofRefused, check
from policy_kb.explain.statuses import Statuses

from policy_kb.diagnostics import Refused
from policy_kb.explain.proof import Claim, Doubted, Given, Refuted
from tests.evaluate.running import check_text
from tests.explain.mutations import ANSWERS, KINDS, mutants
from tests.explain.running import Explained, explain_alemtuzumab, explain_text, explained
from tests.strategies.cases import alemtuzumab_cases
from tests.strategies.cases import random_case as random_alemtuzumab_case
from tests.strategies.programs import random_case, random_program

NEVER_OF_ALEMTUZUMAB = {"a negation in a count is left out"}
"""Changes for which a policy has no place: no count of the alemtuzumab policy contains a negation."""


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


def refuses(one: Explained, node: object, answer: str | None = None) -> bool:
    try:
        one.check(node, answer)  # type: ignore[arg-type]
    except ProofRefused:
        return True
    return False


@settings(max_examples=40)
@given(alemtuzumab_cases())
def test_every_explanation_of_an_alemtuzumab_case_is_accepted(document: dict[str, object]) -> None:
    explain_alemtuzumab(document).check()


@settings(max_examples=12)
@given(alemtuzumab_cases(), st.randoms(use_true_random=False))
def test_every_change_of_an_explanation_of_an_alemtuzumab_case_is_refused(
    document: dict[str, object], source: random.Random
) -> None:
    one = explain_alemtuzumab(document)
    for kind, mutant in mutants(one.node, source, kinds=source.sample(list(KINDS), 15)):
        assert refuses(one, mutant), kind


def test_changes_of_every_kind_are_refused(effort: int, rate: Callable[[str, int, int], None]) -> None:
    tried: Counter[str] = Counter()
    for seed in range(14 * effort):
        source = random.Random(f"changes {seed}")
        one = explain_alemtuzumab(random_alemtuzumab_case(source))
        for kind, mutant in mutants(one.node, source):
            tried[kind] += 1
            assert refuses(one, mutant), f"{kind}, case {seed}"
    assert set(tried) == set(KINDS) - NEVER_OF_ALEMTUZUMAB
    rate(f"changes refused, of {len(tried)} kinds", tried.total(), tried.total())


def test_every_explanation_of_a_random_program_is_accepted(effort: int) -> None:
    for seed in range(100 * effort):
        one = random_explained(seed)
        if one is not None:
            for claim in claims(one):
                one.check(claim=claim)


def test_every_change_of_an_explanation_of_a_random_program_is_refused(
    effort: int, rate: Callable[[str, int, int], None]
) -> None:
    tried: Counter[str] = Counter()
    for seed in range(120 * effort):
        one = random_explained(seed)
        if one is None:
            continue
        for kind, mutant in mutants(one.node, random.Random(seed)):
            tried[kind] += 1
            assert refuses(one, mutant), f"{kind}, program {seed}"
    assert set(tried) == set(KINDS)
    rate(f"changes refused, of {len(tried)} kinds, on random programs", tried.total(), tried.total())


def test_any_other_answer_is_refused(effort: int) -> None:
    for seed in range(30 * effort):
        one = random_explained(seed)
        if one is not None:
            for answer in ANSWERS:
                assert refuses(one, one.node, answer) == (answer != one.answer)


def test_the_checker_finds_the_statuses_that_engines_find(effort: int) -> None:
    for seed in range(100 * effort):
        one = random_explained(seed)
        if one is None:
            continue
        statuses = Statuses(one.program, one.known, one.facts)
        for relation in one.model.possible:
            status = statuses.status(relation)
            assert status.certain.rows == one.model.certain[relation]
            assert status.possible.rows == one.model.possible[relation]
            assert status.is_open == (relation in one.model.open)


def test_an_explanation_of_another_case_is_refused() -> None:
    rules = "@[single] .decl dose(case: Case, mg: number) .input dose\n" \
            ".decl decided(case: Case) decided(case) :- dose(case, mg), mg <= 12."
    low, lower = explain_text(rules, dose=[10]), explain_text(rules, dose=[9])
    low.check()
    assert refuses(lower, low.node)


def test_a_row_of_the_case_that_is_not_on_record_is_refused_with_its_place() -> None:
    one = explain_text(
        ".decl visit(case: Case, day: number) .input visit\n.decl decided(case: Case)\n"
        "decided(case) :- visit(case, day), day > 3.",
        visit=[5],
    )
    ((kind, mutant),) = mutants(one.node, random.Random(1), kinds=["a row's value"])
    with pytest.raises(ProofRefused) as caught:
        one.check(mutant)
    assert kind == "a row's value"
    assert caught.value.where == "decided(A-1) > rules.dl:8 > literal 1 > visit(A-1, 5)"
    assert "visit" in caught.value.message


def test_what_is_open_is_never_taken_for_absent() -> None:
    rules = ".decl visit(case: Case, day: number) .input visit\n.decl decided(case: Case)\n" \
            "decided(case) :- request(case, _, _, _), !visit(case, _)."
    absent, unknown = explain_text(rules, visit=[]), explain_text(rules)
    assert (absent.answer, unknown.answer) == ("met", "needs information")
    assert refuses(unknown, absent.node, "met")
    assert refuses(unknown, Refuted(unknown.claim("decided"), unknown.node.attempts), "not met")  # type: ignore[union-attr]


def test_a_rule_that_makes_its_head_possible_proves_nothing() -> None:
    rules = ".decl visit(case: Case) .input visit\n.decl decided(case: Case)\n"
    rule = "decided(case) :- visit(case)."
    sure = explain_text(rules + rule, visit=True)
    unsure = explain_text(rules + '/// Does it count?\n@[possible("judgement")]\n' + rule, visit=True)
    assert isinstance(unsure.node, Doubted)
    unsure.check()
    assert refuses(unsure, sure.node, "met")


def test_a_known_fact_is_checked_against_the_rule_files() -> None:
    one = explain_text(
        ".decl visit(case: Case, day: number) .input visit\n.decl least(day: number) least(3).\n"
        ".decl decided(case: Case)\ndecided(case) :- visit(case, day), least(number), day >= number.",
        visit=[5],
    )
    known = one.node.steps[1].node  # type: ignore[union-attr]
    assert isinstance(known, Given)
    assert known.is_known
    one.check()
    with pytest.raises(ProofRefused):
        check(one.program, {**one.known, "least": {(4,)}}, one.facts, one.claim("decided"), "met", one.node)


def test_the_checker_uses_no_engine_and_no_explainer() -> None:
    script = (
        "import sys, policy_kb.explain.checker\n"
        "banned = ('pyDatalog', 'policy_kb.evaluate.worlds', 'policy_kb.evaluate.model', 'policy_kb.explain.why',"
        " 'policy_kb.explain.lookup', 'policy_kb.evaluate.bottom_up', 'policy_kb.evaluate.with_pydatalog')\n"
        "print([name for name in banned if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
