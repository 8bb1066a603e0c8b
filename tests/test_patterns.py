"""Regular expressions: what they match is what Python's own matcher finds, and it never takes for ever."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_kb.patterns import MOST_STATES, NotRegular, Pattern, pattern_of

SIGNS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", r"\S", "1", r"\.", "[a-c1]", "^", "$", "\n", "é"])
REPEATED = ("*", "+", "?", "{0,2}", "{2}", "*?", "{1,}")
PATTERNS = st.recursive(
    SIGNS,
    lambda inside: st.one_of(
        st.tuples(inside, inside).map("".join),
        st.tuples(inside, inside).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inside, st.sampled_from(REPEATED)).map(lambda two: f"(?:{two[0]}){two[1]}"),
    ),
    max_leaves=8,
)


@given(PATTERNS, st.lists(st.text("ab1. \nçé", max_size=7), min_size=1, max_size=5))
def test_it_matches_what_trying_one_way_after_the_other_finds(text: str, examples: list[str]) -> None:
    pattern, expected = Pattern(text), re.compile(text, re.ASCII)
    for example in examples:
        found = expected.fullmatch(example) is not None
        assert pattern.matches(example) == pattern._automaton.matches(example) == found


@pytest.mark.parametrize("text", ["(a+)+b", "(a|aa)+b", "a*a*a*a*a*a*b", "(a?){30}a{30}b", "(.*)(.*)(.*)(.*)(.*)b"])
def test_the_number_of_steps_grows_with_the_text_alone(text: str) -> None:
    """A matcher that tries one way after the other would need more steps than there are atoms."""
    pattern = pattern_of(text)
    assert pattern is not None
    assert not pattern.matches("a" * 10_000)
    assert pattern.matches("a" * 1_000 + "b") == text.endswith(("+b", "*b", ")b"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [("(?=a)b", "looks back or ahead"), (r"(a)\1", "looks back or ahead"), (r"\bx", "looks back or ahead"),
     ("(?i)a", "sets flags"), ("(?i:a)", "sets flags"), ("(a{99}){99}", f"more than {MOST_STATES} states"),
     ("a{4000000000}", f"more than {MOST_STATES} states")],
)
def test_what_cannot_be_bounded_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NotRegular, match=reason):
        pattern_of(text)
