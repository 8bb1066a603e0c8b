"""Texts as people write and copy them: letters in two codings, letters without one other case, blanks of all sorts."""

from __future__ import annotations

import unicodedata

from hypothesis import strategies as st

from policy_kb.text import UnseenCharacterError, normal

WORDS = (
    "G35", "g35.a", "Sjögren", "Ménière", "Maße", "MASSE", "masse", "\u1e9e", "ß", "ss", "\u0130", "\u0131", "I",
    "i\u0307", "\u0391\u03a3", "\u03b1\u03c2", "\u03b1\u03c3", "\u00c5", "\u212b", "\u01f0", "\u0390", "\u0149",
    "\ufb01", "K", "\u212a", "\u017f", "Avonex", "\u0410vonex", "o\u0308", "q\u0301", "\u13a0\uab70", "50 %", "a  b",
    "x' OR '1'='1", "other: x", "\U0001d49c",
)  # fmt: skip
"""Sharp s, I with and without a dot, sigma at the end of a word, ligatures, Cherokee; among them look-alikes: a
Cyrillic letter, an Angstrom and a Kelvin sign."""
BLANKS = (" ", "\u00a0", "\u2003", "\u202f", "\u3000", "\u2028", "\t", "\n", "\r\n")
UNSEEN = (
    "\u00ad", "\u034f", "\u061c", "\u115f", "\u180e", "\u200b", "\u200d", "\u202e", "\u206a", "\u2800", "\u3164",
    "\ufe0f", "\ufeff", "\ufff9", "\U000e0041", "\U000e0101", "\x00", "\x07", "\x7f", "\x85", "\ue000", "\u0378",
)  # fmt: skip


def _is_read(text: str) -> bool:
    try:
        return normal(text) != ""
    except UnseenCharacterError:
        return False


def variants(text: str) -> list[str]:
    """Other ways to write a text that are the same text: letters decomposed, blanks of other sorts, at the ends too."""
    decomposed = unicodedata.normalize("NFD", text)
    return [text, decomposed, f"\u00a0{text} ", text.replace(" ", "\u2003"), f"{decomposed}\n"]


def cases_of(text: str) -> list[str]:
    """A text in other letters: what differs in letter case alone, or nearly so."""
    return [text, text.upper(), text.lower(), text.title(), text.swapcase(), text.casefold()]


odd_texts = (
    st.sampled_from(WORDS)
    | st.lists(st.sampled_from((*WORDS, *BLANKS)), min_size=1, max_size=3).map("".join)
    | st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
).flatmap(lambda text: st.sampled_from([*variants(text), *cases_of(text)])).filter(_is_read)
"""Any text that is read, in the ways in which people write it."""
