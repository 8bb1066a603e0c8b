"""Any text at all is a program or is refused, and nothing else happens."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from policy_kb.diagnostics import RulesRefused
from policy_kb.evaluate.program import evaluate_program
from policy_kb.expressions import EvaluationStopped
from tests.evaluate.running import check_text
from tests.strategies.plain_programs import plain_programs

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "kb").rglob("*.dl"), *(ROOT / "tests" / "bad").rglob("*.dl")])
TEXTS = [path.read_text(encoding="utf-8") for path in SOURCES]
PIECES = sorted({piece for text in TEXTS for piece in re.findall(r"\w+|\s|[^\w\s]{1,2}", text)})


def read(text: str) -> None:
    """Check the text and, if it is accepted, evaluate it; that it ends otherwise than by a refusal is a defect."""
    refusal = None
    try:
        evaluate_program(check_text(text), {})
    except (RulesRefused, EvaluationStopped) as refused:
        refusal = refused
    if refusal is not None:
        assert str(refusal)
        assert any(not problem.is_warning for problem in refusal.diagnostics)


@given(st.text())
def test_any_text(text: str) -> None:
    read(text)


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_sequence_of_pieces_of_rules(text: str) -> None:
    read(text)


@given(st.sampled_from([text for text in TEXTS if len(text) < 3_000]), st.data())
def test_rule_files_with_a_part_cut_out_or_put_in(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    put_in = data.draw(st.lists(st.sampled_from(PIECES), max_size=3).map("".join))
    read(text[:start] + put_in + text[end:])


@given(plain_programs(), st.data())
def test_random_programs_with_a_word_changed(text: str, data: st.DataObject) -> None:
    words = list(re.finditer(r"\w+|[^\w\s]", text))
    word = data.draw(st.sampled_from(words))
    other = data.draw(st.sampled_from(words))
    read(text[: word.start()] + other[0] + text[word.end() :])
