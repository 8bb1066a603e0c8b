"""Hints take time in proportion to what is shown, however many names there are and however much is wrong."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_kb.diagnostics import MOST_MISTAKES, RulesRefused, did_you_mean
from policy_kb.pipeline import parse_and_check

NAMES = st.lists(st.text("abc", min_size=1, max_size=8), unique=True, max_size=30)


@given(st.text("abc", max_size=8), NAMES)
def test_of_few_names_the_nearest_of_all_is_meant(word: str, known: list[str]) -> None:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    assert did_you_mean(word, known) == (f"did you mean `{near[0]}`?" if near else None)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """With how many words each one was compared."""
    found: list[int] = []
    match = difflib.get_close_matches

    def counted(word: str, possibilities: list[str], n: int, cutoff: float) -> list[str]:
        found.append(len(possibilities))
        return match(word, possibilities, n, cutoff)

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    return found


@pytest.mark.parametrize("word", ["relation_nmber_123", "relation_number_12x", "rlation_number_7", "RELATION_number_9"])
def test_of_very_many_names_one_that_begins_or_ends_alike_is_meant(compared: list[int], word: str) -> None:
    hint = did_you_mean(word, [f"relation_number_{i}" for i in range(20_000)])
    assert hint is not None
    assert "relation_number_" in hint
    assert max(compared) <= 200


def test_of_very_many_mistakes_the_rest_is_left_unread(tmp_path: Path, compared: list[int]) -> None:
    rules = tmp_path / "r.dl"
    rules.write_text("".join(f".decl relation_number_{i}(x: number)\n" for i in range(1500))
                     + "".join(f"relation_nmber_{i}(1).\n" for i in range(1500)))
    with pytest.raises(RulesRefused) as refused:
        parse_and_check(rules)
    assert len(refused.value.diagnostics) == MOST_MISTAKES
    assert len(compared) <= MOST_MISTAKES
    assert max(compared) <= 200
