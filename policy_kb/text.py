"""One normal form of text, for all that is read: rules, cases, tables and command lines.

Texts that look the same are the same. They are in Unicode's composed form (NFC), every blank is a plain one, and none
stands at the ends; what cannot be seen is refused. Which characters there are is that of one version of Unicode (14.0,
of the oldest Python that runs this program), so that an answer does not depend on who reads a case.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from re2 import _Regexp

MOST_MEMORY = 4 * 2**20
"""Bytes of the program that a regular expression becomes, half of what DuckDB allows: what is taken here is there."""

_BLANK = re.compile("\r\n|[\t\n\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
"""Unicode's category Z, and what is layout in files: in a value both are blanks."""


class UnseenCharacterError(ValueError):
    """A text holds what cannot be seen. The message, `holds ...`, says which is the first of it."""

    def __init__(self, sign: str):
        name = unicodedata.name(sign, "").lower()
        which = f"`U+{ord(sign):04X}`{f' ({name})' if name else ''}"
        if is_seen(sign):
            super().__init__(f"holds {which} without a letter before it")
            self.hint = "write the letter that it belongs to, or leave it out"
        else:
            super().__init__(f"holds {which}, which cannot be seen")
            self.hint = "write it anew, without what cannot be seen"


def normal(text: str) -> str:
    """The text in its normal form. Raises UnseenCharacterError."""
    return with_plain_blanks(text).strip(" ")


def with_plain_blanks(text: str) -> str:
    """The text in its normal form, but with the blanks at its ends: a part of a text. Raises UnseenCharacterError."""
    if text.isascii() and text.isprintable():
        return text
    composed = unicodedata.normalize("NFC", _BLANK.sub(" ", text))
    refuse_unseen(composed)
    alone = next((word[0] for word in composed.split(" ") if word and unicodedata.category(word[0])[0] == "M"), None)
    if alone is not None:
        raise UnseenCharacterError(alone)
    return composed


def refuse_unseen(text: str) -> None:
    """Raise UnseenCharacterError where there is a character that cannot be seen."""
    unseen = {sign for sign in set(text) if not is_seen(sign)}
    if unseen:
        raise UnseenCharacterError(next(sign for sign in text if sign in unseen))


def folded(text: str) -> str:
    """A text as it is compared where letter case is ignored: by Unicode's full case folding, composed again."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text.casefold())


def is_seen(sign: str) -> bool:
    """Whether a character is a blank or can be seen."""
    if sign.isascii():
        return sign.isprintable()
    starts, ends = _ranges()
    place = bisect_right(starts, sign) - 1
    return place >= 0 and sign <= ends[place]


@cache
def _ranges() -> tuple[list[str], list[str]]:
    """The first and the last character of each range of those that can be seen."""
    lines = Path(__file__).with_name("characters.txt").read_text(encoding="ascii").splitlines()
    ranges = [one.split("-") for line in lines if not line.startswith("#") for one in line.split()]
    return tuple([chr(int(one[place], 16)) for one in ranges] for place in (0, -1))  # type: ignore[return-value]


# regular expressions


class NoPatternError(ValueError):
    """A text is no regular expression of RE2; the message says why."""

    hint = "write what RE2 knows: characters, sets, groups, `|`, `*`, `+`, `?` and `{n,m}` up to 1000"


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches a regular expression of RE2, in which `.` is any character. Raises
    NoPatternError."""
    return compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> _Regexp:
    """A regular expression of RE2. Raises NoPatternError."""
    import re2

    options = re2.Options()
    options.dot_nl, options.log_errors, options.max_mem = True, False, MOST_MEMORY
    try:
        # RE2 takes a number of so many digits, in braces, for these characters themselves.
        if endless := _ENDLESS.search(pattern):
            raise NoPatternError(f"invalid repetition size: {endless[1]}")
        return re2.compile(pattern, options)
    except re2.error as problem:
        reason = problem.args[0]
        raise NoPatternError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from None


_ENDLESS = re.compile(r"(?<!\\)((?:\\\\)*\{(?:[0-9]+,)?[0-9]{9,}(?:,[0-9]*)?\})")
