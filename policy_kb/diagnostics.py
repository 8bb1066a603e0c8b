"""What is wrong with an input, where, and what to write instead.

Messages are one line, lower case, without a final stop; the reader's own text stands in backticks. Every kind has a
file under `tests/bad/` that pins its message and its place.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from policy_kb.record import record
from policy_kb.text import is_seen

if TYPE_CHECKING:
    from policy_kb.source import Span


class Kind(StrEnum):
    """The slug at the end of a message: one a reader can look up, and a test can pin."""

    # text
    UNREADABLE = "unreadable"
    SYNTAX = "syntax"
    NOT_IN_SUBSET = "not-in-subset"
    RESERVED_NAME = "reserved-name"
    BAD_INCLUDE = "bad-include"
    BAD_LITERAL = "bad-literal"
    BAD_PATTERN = "bad-pattern"
    UNSEEN_CHARACTER = "unseen-character"
    DANGLING = "dangling"
    # rules
    DECLARED_TWICE = "declared-twice"
    UNKNOWN_RELATION = "unknown-relation"
    UNKNOWN_TYPE = "unknown-type"
    UNKNOWN_FUNCTOR = "unknown-functor"
    UNKNOWN_PARAMETER = "unknown-parameter"
    WRONG_ARITY = "wrong-arity"
    TYPE_MISMATCH = "type-mismatch"
    UNBOUND_VARIABLE = "unbound-variable"
    WILDCARD = "wildcard"
    SINGLETON_VARIABLE = "singleton-variable"
    NOT_STRATIFIED = "not-stratified"
    CASE_DISCIPLINE = "case-discipline"
    RECURSIVE_CASE_RELATION = "recursive-case-relation"
    AGGREGATE = "aggregate"
    UNKNOWN_ANNOTATION = "unknown-annotation"
    BAD_ANNOTATION = "bad-annotation"
    UNKNOWN_ATTRIBUTE = "unknown-attribute"
    CRITERION_TWICE = "criterion-twice"
    CRITERION_OUTSIDE = "criterion-outside"
    VALUE_OUTSIDE_SET = "value-outside-set"
    FIXED_NAME = "fixed-name"
    UNKNOWN_PHASE = "unknown-phase"
    APPROVAL_TWICE = "approval-twice"
    COVERS_NOTHING = "covers-nothing"
    CLAIMED_TWICE = "claimed-twice"
    NO_QUESTION = "no-question"
    NO_SENTENCE = "no-sentence"
    NO_PARENT = "no-parent"
    NO_CRITERION = "no-criterion"
    CLOSED = "closed"
    NEVER_DEFINED = "never-defined"
    NEVER_USED = "never-used"
    TOO_MANY_WORLDS = "too-many-worlds"
    ARITHMETIC = "arithmetic"
    ONGOING = "ongoing"
    TOO_MANY_ROWS = "too-many-rows"
    # cases and tables
    BAD_DOCUMENT = "bad-document"
    DUPLICATE_KEY = "duplicate-key"
    MISSING_ATTRIBUTE = "missing-attribute"
    MISSING_RELATION = "missing-relation"
    NO_VALUE = "no-value"
    WRONG_TYPE = "wrong-type"
    BAD_DATE = "bad-date"
    BELOW_LEAST = "below-least"
    ABOVE_MOST = "above-most"
    SECOND_ROW = "second-row"
    ROW_TWICE = "row-twice"
    READ_AS = "read-as"
    NOT_UNCERTAIN = "not-uncertain"
    REFUSED_ROW = "refused-row"
    DUPLICATE_CASE = "duplicate-case"
    NO_POLICY = "no-policy"
    BAD_TABLE = "bad-table"
    BAD_READING = "bad-reading"
    BAD_QUERY = "bad-query"
    # command lines
    USAGE = "usage"
    NOT_INSTALLED = "not-installed"
    ENDED = "ended"


LONGEST_NAME, LONGEST_MESSAGE = 500, 5_000
"""Characters of a file's name in a message, and of what is said about it."""


@record
class Diagnostic:
    """One problem. `path` names the place inside a case (`therapy[0].stopped`), `case` the case; `excerpt` is the line
    of the source. The `span` of what stands in no file is `NOWHERE`."""

    kind: Kind
    span: Span
    message: str
    hint: str | None = None
    path: str | None = None
    excerpt: str | None = None
    is_warning: bool = False
    case: str | None = None

    @property
    def severity(self) -> str:
        if self.kind in (Kind.ROW_TWICE, Kind.READ_AS):
            return "note"
        return "warning" if self.is_warning else "error"

    def to_dict(self) -> dict[str, Any]:
        """The problem as JSON says it."""
        has_place = bool(self.span.file)
        return {
            "kind": self.kind.value, "severity": self.severity,
            "file": self.span.file if has_place else None,
            "line": self.span.line if has_place and self.span.line else None,
            "column": self.span.column if has_place and self.span.line else None,
            "message": self.message, "hint": self.hint, "case": self.case, "path": self.path,
        }

    def __str__(self) -> str:
        line = f":{self.span.line}:{self.span.column}" if self.span.line else ""
        place = f"{escaped(self.span.file, LONGEST_NAME)}{line}: "
        # A place in a case says which case it is.
        whose = f"`{self.path}`: " if self.path else f"case {quoted(self.case)}: " if self.case is not None else ""
        said = escaped(f"{whose}{self.message}", LONGEST_MESSAGE)
        lines = [f"{place if self.span.file else ''}{self.severity}: {said} [{self.kind}]"]
        if self.excerpt is not None:
            number = str(self.span.line)
            margin = " " * len(number)
            excerpt, column = _window(self.excerpt.rstrip("\r\n"), self.span.column)
            excerpt = _shown(excerpt)
            width = max(1, min(self.span.end - self.span.column, len(excerpt) - column + 1))
            caret = "".join("\t" if character == "\t" else " " for character in excerpt[: column - 1])
            lines += [f"{margin} |", f"{number} | {excerpt}", f"{margin} | {caret}{'^' * width}"]
            if self.hint:
                lines.append(f"{margin} = help: {escaped(self.hint, LONGEST_MESSAGE)}")
        elif self.hint:
            lines.append(f"  = help: {escaped(self.hint, LONGEST_MESSAGE)}")
        return "\n".join(lines)


def _shown(line: str) -> str:
    """A terminal must not obey what a refused file holds; one sign for one keeps the caret in its place."""
    return "".join(
        sign if _is_plain(sign) or sign in "\t\u00a0" else "\N{REPLACEMENT CHARACTER}" for sign in line
    )


def _window(line: str, column: int, width: int = 160) -> tuple[str, int]:
    """A part of a long line around `column` (an NDJSON line may have megabytes), and the column inside it."""
    if len(line) <= width:
        return line, column
    start = max(0, min(column - 1 - width // 2, len(line) - width))
    part = line[start : start + width]
    return ("..." + part if start else part), column - start + (3 if start else 0)


def in_file_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """The diagnostics by their places, each once."""
    return sorted(dict.fromkeys(diagnostics), key=lambda one: (one.span.file, one.span.line, one.span.column))


class Refused(Exception):  # noqa: N818
    """An input is refused; `diagnostics` holds every problem found, in file order."""

    def __init__(self, diagnostics: Iterable[Diagnostic]):
        self.diagnostics = in_file_order(diagnostics)
        super().__init__("\n".join(str(diagnostic) for diagnostic in self.diagnostics))


class RulesRefused(Refused):
    """The rule files are refused (exit code 3)."""


class CaseRefused(Refused):
    """A case, a table or another input of a reader is refused (exit code 1)."""


Hint = str | Callable[[], str | None] | None
"""A hint, or how it is worked out: to find a word that is near takes long, and only the first problems are shown."""


def worked_out(hint: Hint) -> str | None:
    return hint() if callable(hint) else hint


MOST_MISTAKES = 1_000
"""In the text of one rule file, and in rules that could be read, before the rest is left unread."""

_MOST_COMPARED = 200
"""Words that one is compared with; of more, those that begin or end most like it."""


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """`did you mean ...?` for the known word most like `word`, or None where none is near; letter case is ignored. Of
    very many words those are compared that begin or end like it."""
    import difflib

    folded = word.casefold()[:LONGEST_NAME]
    by_folded, forwards, backwards = _spellings(tuple(known))
    among: Iterable[str] = by_folded
    if len(by_folded) > _MOST_COMPARED:
        ends = (one[::-1] for one in _around(folded[::-1], backwards))
        among = dict.fromkeys([*_around(folded, forwards), *ends])
    near = difflib.get_close_matches(folded, among, n=1, cutoff=0.6)
    return f"did you mean `{by_folded[near[0]]}`?" if near else None


@lru_cache(maxsize=8)
def _spellings(known: tuple[str, ...]) -> tuple[dict[str, str], list[str], list[str]]:
    """Words by their folded spellings, and these sorted, as they are and from their ends."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    return by_folded, sorted(by_folded), sorted(folded[::-1] for folded in by_folded)


def _around(word: str, ordered: Sequence[str]) -> Sequence[str]:
    place = bisect_left(ordered, word)
    return ordered[max(0, place - _MOST_COMPARED // 4) : place + _MOST_COMPARED // 4]


def listed(words: Iterable[str], last: str = "or", most: int = 12) -> str:
    """`a`, `b` or `c`: names in a message, folded after `most` of them with the number left out."""
    names = [f"`{word}`" for word in words]
    if len(names) > most:
        names = [*names[:most], f"{len(names) - most} more"]
        last = "and"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def walk(steps: Sequence[str], arrow: str = " -> ", most: int = 12) -> str:
    """The steps of a cycle, on one line; of a very long one, the beginning and the end."""
    left_out = len(steps) - most
    if left_out > 0:
        steps = [*steps[: most // 2], f"... {left_out} more ...", *steps[-most // 2 :]]
    return arrow.join(steps)


def quoted(text: object, longest: int = 60) -> str:
    """The reader's own text in backticks, on one line: control characters escaped, long text cut."""
    return f"`{escaped(str(text), longest)}`"


def escaped(text: str, longest: int) -> str:
    part = text if len(text) <= longest else text[:longest] + "..."
    if part.isascii() and part.isprintable():
        return part
    return "".join(sign if _is_plain(sign) else sign.encode("unicode_escape").decode("ascii") for sign in part)


def _is_plain(sign: str) -> bool:
    """Whether a character is what it looks like."""
    return sign.isprintable() and (sign.isascii() or is_seen(sign))
