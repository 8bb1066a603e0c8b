"""The laws of three-valued answers, on random programs, random cases and random worlds.

Each law is written once, over the draws of one example. It is tried with hypothesis, which finds a small example where
it fails, and then on many more examples with plain random numbers.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.check.program import check_program
from policy_kb.evaluate.model import Model, given_rows, model_of
from policy_kb.expressions import EvaluationStopped
from policy_kb.parse.grammar import parse_items
from policy_kb.parse.includes import parse_program
from policy_kb.parse.tree import Program, Rule
from tests.evaluate.exactness import is_promised, occurs_in_one_polarity
from tests.evaluate.running import Policy, check_text, contradictions, policy_of, some_world
from tests.strategies.cases import Document, Draw, HypothesisDraw, RandomDraw
from tests.strategies.programs import (
    CASE,
    DATE,
    NUMBER,
    ODD_NAMES,
    SYMBOL,
    UNSEEN,
    VALUES,
    RandomProgram,
    build_better_case,
    build_case,
    build_program,
    build_world,
)

Item = TypeVar("Item")
Law = Callable[[Draw], None]

FEW_VALUES = {
    NUMBER: tuple(range(-6, 10)), SYMBOL: (*VALUES[SYMBOL], *UNSEEN[SYMBOL], "t"), DATE: (*VALUES[DATE], *UNSEEN[DATE]),
}
"""Enough for every world that matters: the values mentioned, and on both sides of them as many as are ever counted. Of
dates there are too many that matter: what is open is not tried for being exact where a program has them."""

MOST_INSTANCES = 100_000
"""Of a rule, so that clingo answers at once."""


@pytest.fixture
def try_out(request: pytest.FixtureRequest, effort: int) -> Callable[[Law, int], None]:
    """Tries a law on `examples` random examples, times the effort, and on a third as many that hypothesis chooses."""

    def run(law: Law, examples: int) -> None:
        @settings(max_examples=max(10, examples * effort // 3))
        @given(st.data())
        def on_examples_that_shrink(data: st.DataObject) -> None:
            law(HypothesisDraw(data.draw))  # type: ignore[arg-type]

        on_examples_that_shrink()
        for seed in range(examples * effort):
            law(RandomDraw(random.Random(f"{request.node.name} {seed}")))

    return run


def shown(program: RandomProgram, *others: object) -> str:
    return "\n".join([program.text, *map(str, others)])


def shuffled(draw: Draw, items: Sequence[Item]) -> list[Item]:
    waiting, result = list(items), []
    while waiting:
        result.append(waiting.pop(draw.integer(0, len(waiting) - 1)))
    return result


# --- 1. soundness ----------------------------------------------------------------------------------------------------


def test_what_is_definite_holds_in_every_world(try_out: Callable[[Law, int], None]) -> None:
    def law(draw: Draw) -> None:
        program = build_program(draw, exotic=draw.chance(25))
        policy = policy_of(program)
        for _ in range(2):
            document = build_case(draw, program)
            try:
                model = policy.model(document)
                for _ in range(3):
                    rows = some_world(draw, program, policy, document)
                    found = contradictions(policy, model, rows)
                    assert not found, shown(program, document, rows, found)
            except EvaluationStopped:
                return

    try_out(law, 300)


def test_what_is_definite_stays_so_as_more_becomes_known(try_out: Callable[[Law, int], None]) -> None:
    def law(draw: Draw) -> None:
        program = build_program(draw)
        policy = policy_of(program)
        document = build_case(draw, program)
        answers = policy.answers(policy.model(document))
        for _ in range(3):
            document = build_better_case(draw, program, document)
            better = policy.answers(policy.model(document))
            for question, answer in answers.items():
                assert answer in (better[question], NEEDS_INFORMATION), shown(program, document, question)
            answers = better

    try_out(law, 60)


# --- 1 and 2, in all worlds at once ----------------------------------------------------------------------------------


def test_every_answer_is_sound_and_an_open_one_exact_where_that_is_promised(
    try_out: Callable[[Law, int], None], rate: Callable[[str, int, int], None]
) -> None:
    pytest.importorskip("clingo")
    from tests.evaluate.with_clingo import answer, consequences, instances

    counts = {"all": [0, 0], "one polarity": [0, 0], "promised": [0, 0]}

    def law(draw: Draw) -> None:
        program = build_program(draw)
        policy = policy_of(program)
        if program.has_decimals or instances(policy, FEW_VALUES) > MOST_INSTANCES:
            return
        document = build_case(draw, program)
        model = policy.model(document)
        always, sometimes = consequences(program, policy, document, FEW_VALUES)
        for name, rows in model.certain.items():
            assert rows <= always[name], shown(program, document, name)
            assert name in model.open or sometimes[name] <= model.possible[name], shown(program, document, name)
        inputs = {relation.name for relation in program.inputs}
        for question, given_answer in policy.answers(model).items():
            exact = answer(question, always, sometimes)
            if given_answer != NEEDS_INFORMATION:
                assert given_answer == exact, shown(program, document, question)
            elif question not in inputs:
                kinds = ["all"]
                if occurs_in_one_polarity(policy, question):
                    kinds.append("one polarity")
                if is_promised(policy, question) and not program.has_dates:
                    kinds.append("promised")
                    assert exact == NEEDS_INFORMATION, shown(program, document, question)
                for kind in kinds if isinstance(draw, RandomDraw) else ():
                    counts[kind][0] += exact == NEEDS_INFORMATION
                    counts[kind][1] += 1

    try_out(law, 250)
    for kind, (exact, number) in counts.items():
        rate(f"law 2, exactness, {kind}", exact, number)


# --- 3. no leak ------------------------------------------------------------------------------------------------------


def said_by(policy: Policy, model: Model) -> tuple[object, ...]:
    """What a model says, whatever the numbers of the rules."""
    return policy.answers(model), model.certain, model.possible, model.open


def test_the_order_of_rules_never_matters(try_out: Callable[[Law, int], None]) -> None:
    def law(draw: Draw) -> None:
        program = build_program(draw)
        policy = policy_of(program)
        other = Policy(check_text("\n".join(shuffled(draw, program.items))), policy.roots)
        document = build_case(draw, program)
        one, two = policy.model(document), other.model(document)
        assert said_by(policy, one) == said_by(other, two), shown(program, document)

    try_out(law, 60)


def test_the_order_of_literals_never_matters(try_out: Callable[[Law, int], None]) -> None:
    def law(draw: Draw) -> None:
        program = build_program(draw)
        policy = policy_of(program)
        items, problems = parse_items(program.text, "random.dl")
        turned = tuple(
            replace(item, body=tuple(shuffled(draw, item.body))) if isinstance(item, Rule) else item for item in items
        )
        other = Policy(check_program(Program("random.dl", turned, {"random.dl": program.text}), problems), policy.roots)
        document = build_case(draw, program)
        one, two = policy.model(document), other.model(document)
        assert said_by(policy, one) == said_by(other, two), shown(program, document, turned)

    try_out(law, 40)


def test_the_files_that_rules_stand_in_never_matter(try_out: Callable[[Law, int], None]) -> None:
    def law(draw: Draw) -> None:
        program = build_program(draw)
        policy = policy_of(program)
        parts: dict[str, list[str]] = {"one.dl": [], "two.dl": [], "three.dl": []}
        for item in shuffled(draw, program.items):
            parts[draw.pick(tuple(parts))].append(item)
        with TemporaryDirectory() as folder:
            for name, items in parts.items():
                Path(folder, name).write_text("\n".join(items) + "\n")
            includes = [f'.include "{name}"' for name in shuffled(draw, [*parts, "one.dl"])]
            Path(folder, "entry.dl").write_text("\n".join(includes) + "\n")
            other = Policy(check_program(*parse_program(Path(folder, "entry.dl"))), policy.roots)
        document = build_case(draw, program)
        assert said_by(policy, policy.model(document)) == said_by(other, other.model(document)), shown(program)

    try_out(law, 30)


def test_what_relations_and_attributes_are_called_never_matters(try_out: Callable[[Law, int], None]) -> None:
    def law(draw: Draw) -> None:
        program = build_program(draw)
        own = sorted({name for name in re.findall(r"[ad][0-9](?:_[0-9])?\b", program.text) if name not in ODD_NAMES})
        names = dict(zip(own, shuffled(draw, ODD_NAMES), strict=False))

        def renamed(text: str) -> str:
            return re.sub(r"\b[ad][0-9](?:_[0-9])?\b(?![.\"])", lambda found: names.get(found[0], found[0]), text)

        policy = policy_of(program)
        other = Policy(check_text(renamed(program.text)), policy.roots)
        document = build_case(draw, program)
        written = renamed_document(document, names)
        model, again = policy.model(document), other.model(written)
        for ours, theirs in ((model.certain, again.certain), (model.possible, again.possible)):
            assert {names.get(name, name): rows for name, rows in ours.items()} == theirs, shown(program, names)
        assert {names.get(name, name) for name in model.open} == again.open, shown(program, names)
        assert again == other.model(written, other.with_pydatalog), shown(program, names)

    try_out(law, 40)


def renamed_document(document: Document, names: Mapping[str, str]) -> Document:
    def row(value: object) -> object:
        return {names.get(name, name): one for name, one in value.items()} if isinstance(value, dict) else value

    renamed = {
        names.get(key, key): list(map(row, value)) if isinstance(value, list) and key != "incomplete" else row(value)
        for key, value in document.items()
    }
    if "incomplete" in document:
        renamed["incomplete"] = [names.get(str(name), name) for name in document["incomplete"]]  # type: ignore[attr-defined]
    return renamed


def test_the_order_of_keys_rows_and_attributes_and_repeated_rows_never_matter(
    try_out: Callable[[Law, int], None]
) -> None:
    def law(draw: Draw) -> None:
        program = build_program(draw)
        policy = policy_of(program)
        document = build_case(draw, program)
        other = rewritten(draw, document)
        assert policy.model(document) == policy.model(other), shown(program, document, other)
        assert policy.facts(document).digest == policy.facts(other).digest, shown(program, document, other)

    try_out(law, 60)


def rewritten(draw: Draw, document: Document) -> Document:
    """The same case, written in another order, some rows twice."""
    other: Document = {}
    for key in shuffled(draw, list(document)):
        value = document[key]
        if isinstance(value, list):
            rows = shuffled(draw, value)
            if rows and draw.chance(60):
                again = draw.pick(rows)
                rows.append({**again, "uncertain": True} if isinstance(again, dict) and draw.chance(50) else again)
            value = [dict(shuffled(draw, list(row.items()))) if isinstance(row, dict) else row for row in rows]
            value = shuffled(draw, value)
        elif isinstance(value, dict):
            value = dict(shuffled(draw, list(value.items())))
        other[key] = value
    return other


def test_cases_one_after_the_other_are_decided_as_each_alone(try_out: Callable[[Law, int], None]) -> None:
    def law(draw: Draw) -> None:
        program = build_program(draw)
        policy = policy_of(program)
        documents = [build_case(draw, program, f"A-{number}") for number in range(4)]
        alone = {str(document["case"]): policy_of(program).model(document) for document in documents}
        for document in shuffled(draw, [*documents, *documents]):
            expected = alone[str(document["case"])]
            assert policy.model(document) == expected, shown(program, document)
            assert policy.model(document, policy.with_pydatalog) == expected, shown(program, document)

    try_out(law, 15)


def test_cases_evaluated_together_are_decided_as_one_by_one(try_out: Callable[[Law, int], None]) -> None:
    def law(draw: Draw) -> None:
        program = build_program(draw)
        policy = policy_of(program)
        facts = [policy.facts(build_case(draw, program, f"A-{number}")) for number in range(3)]
        together: dict[str, set[tuple[object, ...]]] = {}
        for one in facts:
            for name, rows in given_rows(policy.worlds, one).items():
                together.setdefault(name, set()).update(rows)
        found = policy.bottom_up.evaluate(together)  # type: ignore[arg-type]
        for one in facts:
            rows_of_one = {
                name: {row for row in rows if row[:1] == (one.case,)} for name, rows in found.items()
            }
            alone = policy.bottom_up.evaluate(given_rows(policy.worlds, one))
            expected = model_of(policy.worlds, one, alone)
            assert model_of(policy.worlds, one, rows_of_one) == expected, shown(program, one)

    try_out(law, 60)


# --- 4. two-valued ---------------------------------------------------------------------------------------------------


def test_where_everything_is_known_the_rules_mean_what_they_say(try_out: Callable[[Law, int], None]) -> None:
    def law(draw: Draw) -> None:
        program = build_program(draw, exotic=draw.chance(25), always_open=False)
        policy = policy_of(program)
        for _ in range(3):
            document = build_case(draw, program, sure=True)
            world = build_world(draw, program, document)
            try:
                if policy.as_written.heads_that_fire(world):
                    return
                model, rows = policy.model(document), policy.as_written.rows(world, draw)
            except EvaluationStopped:
                return
            assert not model.open, shown(program, document)
            truths = policy.as_written.truths(rows)
            assert policy.answers(model) == {
                question: MET if truth else NOT_MET for question, truth in truths.items()
            }, shown(program, document)
            for name in model.certain:
                assert model.certain[name] == model.possible[name] == rows[name], shown(program, document, name)

    try_out(law, 60)


# --- 6. engines agree ------------------------------------------------------------------------------------------------


def test_both_engines_give_the_same_model(try_out: Callable[[Law, int], None]) -> None:
    def law(draw: Draw) -> None:
        program = build_program(draw, exotic=draw.chance(50))
        policy = policy_of(program)
        for _ in range(2):
            document = build_case(draw, program)
            models = []
            for engine in (policy.bottom_up, policy.with_pydatalog):
                try:
                    models.append(policy.model(document, engine))
                except EvaluationStopped:
                    models.append(None)  # type: ignore[arg-type]
            assert models[0] == models[1], shown(program, document)

    try_out(law, 60)


# --- programs that once went wrong -----------------------------------------------------------------------------------

DECLARATIONS = """
.type Case <: symbol
.decl request(case: Case, drug: symbol, phase: symbol, received: number)
.input request
.decl a(case: Case, a_0: number)
.input a
.decl b(case: Case, b_0: number)
.input b
"""


def decided(rules: str, **said: object) -> dict[str, str]:
    request = {"drug": "p", "phase": "q", "received": 1}
    policy = Policy(check_text(DECLARATIONS + rules), ["decided"])
    document = {"case": CASE, "request": request, **said}
    models = [policy.model(document, engine) for engine in (policy.bottom_up, policy.with_pydatalog)]
    assert models[0] == models[1]
    return policy.answers(models[0])


A_COUNT = """
.decl d(case: Case, d_0: number)
d(case, n) :- a(case, n), n = count : { b(case, _) }.
.decl decided(case: Case)
decided(case) :- request(case, _, _, _), !d(case, _).
"""


def test_a_count_does_not_bind_the_value_that_an_open_atom_leaves_unknown() -> None:
    assert decided(A_COUNT, b=[4])["decided"] == NEEDS_INFORMATION
    assert decided(A_COUNT, a=[4], b=[4])["decided"] == MET
    assert decided(A_COUNT, a=[1], b=[4])["decided"] == NOT_MET


AN_EXPRESSION = """
.decl decided(case: Case)
decided(case) :- a(case, n), b(case, n + 1).
"""


def test_an_expression_of_an_unknown_value_says_nothing_of_the_row() -> None:
    assert decided(AN_EXPRESSION, b=[4])["decided"] == NEEDS_INFORMATION
    assert decided(AN_EXPRESSION, b=[])["decided"] == NOT_MET
    assert decided(AN_EXPRESSION, a=[3], b=[4])["decided"] == MET
