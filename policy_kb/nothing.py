"""Words by which a chart says that there is nothing, or that nothing is known.

A case says so without them: `[]` is none, a key that is left out is not known. As a value such a word would be one more
allergy, called none.
"""

from __future__ import annotations

from policy_kb.text import folded

_NONE = (
    "none", "no", "nil", "nothing", "false", "not any", "nka", "nkda", "nkfa", "none known", "none reported",
    "none recorded", "none documented", "none noted", "none stated", "none on record", "none on file", "no history",
    "no known history", "negative history", "history negative", "no known allergies", "no known allergy",
    "no known drug allergies", "no known food allergies", "no allergies", "no medications", "-", "--", "\N{EN DASH}",
    "\N{EM DASH}", "\N{EMPTY SET}",
)  # fmt: skip
_UNKNOWN = (
    "unknown", "unk", "n/a", "na", "n.a.", "n. a.", "not applicable", "not available", "not known", "not stated",
    "not recorded", "not documented", "not reported", "not provided", "not specified", "tbd", "null", "?", "??", "???",
)  # fmt: skip
NOTHING = frozenset((*_NONE, *_UNKNOWN))

HINT = ("write `[]` for none, and leave the key out where it is not known; in a table, a row of `_stated` says that "
        "there is none")


def says_nothing(text: str) -> bool:
    """Whether a text is such a word, letter case and a full stop behind it ignored."""
    word = folded(text.strip())
    return word in NOTHING or word.removesuffix(".") in NOTHING
