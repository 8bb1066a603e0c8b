"""One normal form: what looks the same is the same, and what cannot be seen is refused."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_kb.text import NoPatternError, UnseenCharacterError, folded, is_seen, matches, normal, with_plain_blanks
from tests.strategies.texts import BLANKS, UNSEEN, WORDS, cases_of, odd_texts, variants

OLDEST = "14.0.0"


@given(odd_texts)
def test_a_normal_form_is_its_own_normal_form(text: str) -> None:
    found = normal(text)
    assert normal(found) == found == unicodedata.normalize("NFC", found)
    assert not any(sign != " " and unicodedata.category(sign)[0] in "ZC" for sign in found)


@given(odd_texts)
def test_the_ways_to_write_a_text_are_one_text(text: str) -> None:
    assert {normal(one) for one in variants(text)} == {normal(text)}
    assert {folded(normal(one)) for one in variants(text)} == {folded(normal(text))}


@given(st.sampled_from([word for word in WORDS if word not in ("\u0130", "\u0131", "i\u0307")]))
def test_letter_case_does_not_count(word: str) -> None:
    assert {folded(normal(one)) for one in cases_of(word)} == {folded(normal(word))}


@given(odd_texts)
def test_a_folded_text_is_its_own_folding(text: str) -> None:
    found = folded(normal(text))
    assert folded(found) == found == normal(found)


@pytest.mark.parametrize("blank", BLANKS)
def test_every_blank_is_a_plain_one(blank: str) -> None:
    assert normal(f"{blank}a{blank}b{blank}") == "a b"
    assert with_plain_blanks(f"{blank}a") == " a"


@pytest.mark.parametrize("sign", [*UNSEEN, "\ud800"])
def test_what_cannot_be_seen_is_refused_with_its_number(sign: str) -> None:
    for text in (sign, f"Avo{sign}nex", f"Avonex{sign}"):
        with pytest.raises(UnseenCharacterError, match=re.escape(f"`U+{ord(sign):04X}`")):
            normal(text)


@pytest.mark.parametrize("text", ["\u0301", "\u0308o", "o \u0308", "a\u00a0\u0323", "\t\u20dd"])
def test_a_mark_that_stands_alone_is_refused(text: str) -> None:
    with pytest.raises(UnseenCharacterError, match="without a letter before it"):
        normal(text)
    assert normal("x" + "".join(text.split()))


@pytest.mark.skipif(unicodedata.unidata_version != OLDEST, reason="another version of Unicode")
def test_the_characters_are_those_of_the_version_that_is_named() -> None:
    for sign in map(chr, range(0x110000)):
        category = unicodedata.category(sign)[0]
        assert not (is_seen(sign) and category == "C")
        # Beside the control characters, what is without a shape has no category of its own.
        assert is_seen(sign) or category in "CM" or "FILLER" in unicodedata.name(sign) or sign == "\u2800"


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [("G35.*", "G35.A", True), ("G35", "G35.A", False), (".", "\n", True), (".", "ß", True), ("..", "ß", False),
     ("[[:alpha:]]+", "aé", False), (r"\pL+", "aé", True), ("a{1000}", "a" * 1000, True), ("a|ab", "ab", True),
     (r"\d+", "\u0663", False), ("", "", True), ("(?i)g35", "G35", True)],
)
def test_a_pattern_matches_the_whole_text(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) is expected


@pytest.mark.parametrize(
    "pattern", ["(?=a)b", "(?<!a)b", r"(a)\1", "a{1001}", "(a{40}){40}", "a{123456789}", r"a{1,999999999}", "*a", "[a",
                "(", r"\p{Cn}", r"\p{L}{1000}", "\\", r"\u0041"],
)  # fmt: skip
def test_what_re2_lacks_is_no_pattern(pattern: str) -> None:
    with pytest.raises(NoPatternError):
        matches(pattern, "a")


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|aa)+b", "a*a*a*a*a*a*b", "(a?){30}a{30}b", "(.*)(.*)(.*)(.*)(.*)b"])
def test_a_pattern_takes_time_in_proportion_to_the_text(pattern: str) -> None:
    """A matcher that tries one way after the other would need more steps than there are atoms."""
    assert not matches(pattern, "a" * 10_000)


def test_a_pattern_means_in_a_database_what_it_means_here() -> None:
    duckdb = pytest.importorskip("duckdb")
    signs = [sign for sign in map(chr, range(0x30000)) if is_seen(sign)]
    patterns = [r"\pL", r"\pN", r"\p{Lu}", r"\w", r"\d", r"\s", ".", "[[:alpha:]]", "(?i)k", "(?i)ß", r"[^\pL]", r"\b."]
    for pattern in patterns:
        rows = duckdb.execute(
            "SELECT x FROM (SELECT unnest($1) AS x) WHERE regexp_full_match(x, $2, 's')", [signs, pattern]
        ).fetchall()
        assert {sign for sign, in rows} == {sign for sign in signs if matches(pattern, sign)}
