"""The parts of a case document, each with its place.

A scalar keeps its text: what it means is decided later by the declared type of its attribute and by nothing else.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import Enum
from typing import NamedTuple

from policy_kb.diagnostics import Kind, escaped, quoted
from policy_kb.load.problems import Problems
from policy_kb.record import record
from policy_kb.source import Span
from policy_kb.text import UnseenCharacterError, normal

DEEPEST_NESTING = 20
"""Mappings and lists inside each other; a case needs three, a scenario four."""


class Form(Enum):
    """How a scalar was written. YAML has text only (`PLAIN`, `QUOTED`); JSON and Python data say the type."""

    PLAIN = "plain"
    QUOTED = "quoted"
    TEXT = "text"
    NUMBER = "number"
    TRUTH = "truth"
    NOTHING = "nothing"
    REFUSED = "refused"
    """A value whose problem has been reported already: not to be read, and not to be reported again."""


@record
class Scalar:
    """One value as written: `text` is `12.50` for a number, `true` or `false` for a truth, empty for nothing."""

    text: str
    form: Form
    span: Span


@record
class Sequence:
    items: tuple[Node, ...]
    span: Span


class Entry(NamedTuple):
    key: str
    key_span: Span
    node: Node


@record
class Mapping:
    """Keys in the order of the text; no key stands twice."""

    entries: tuple[Entry, ...]
    span: Span

    def find(self, key: str) -> Entry | None:
        for entry in self.entries:
            if entry.key == key:
                return entry
        return None


Node = Scalar | Sequence | Mapping


class UnreadableDocumentError(Exception):
    """The rest of a document cannot be read; the reason has been added to its problems."""


class _Lines:
    """The lines of a text by their numbers in its file; `starts` has the offset of each."""

    def __init__(self, text: str, first_line: int):
        self.text, self.first_line = text, first_line
        self.starts = [0]
        start = text.find("\n") + 1
        while start:
            self.starts.append(start)
            start = text.find("\n", start) + 1

    def text_of(self, line: int) -> str | None:
        number = line - self.first_line
        if not 0 <= number < len(self.starts):
            return None
        return self.text[self.starts[number] : self.end_of(number)]

    def end_of(self, number: int) -> int:
        end = self.starts[number + 1] - 1 if number + 1 < len(self.starts) else len(self.text)
        if end > self.starts[number] and self.text[end - 1] == "\r":
            end -= 1
        return end


class DocumentText:
    """The text of one document: gives the place of an offset, and collects what is wrong.

    `first_line` is the number of the text's first line in its file (an NDJSON document is one line of many), and
    `offset` the byte at which that line begins.
    """

    def __init__(self, text: str, source: str, first_line: int = 1, offset: int = 0):
        self.text = text
        self.source = source
        self.first_line = first_line
        self.offset = offset
        # Who collects problems does not hold who holds it: a document is gone as soon as nobody needs it.
        self._lines = _Lines(text, first_line)
        self.line_text, self._starts, self._end_of_line = self._lines.text_of, self._lines.starts, self._lines.end_of
        self.problems = Problems(self.line_text)

    def span(self, start: int, end: int) -> Span:
        """The place of `text[start:end]`; of text over several lines, its part on the first one."""
        if len(self._starts) == 1:
            return Span(self.source, self.first_line, start + 1, (end if end > start else start + 1) + 1)
        number = bisect_right(self._starts, start) - 1
        begin = self._starts[number]
        if number + 1 < len(self._starts) and end >= self._starts[number + 1]:
            end = max(start + 1, self._end_of_line(number))
        return Span(self.source, self.first_line + number, start - begin + 1, max(end, start + 1) - begin + 1)

    def problem(
        self, kind: Kind, start: int, end: int, message: str, hint: str | None = None, path: str = ""
    ) -> None:
        self.problems.add(kind, self.span(start, end), message, hint, path or None)

    def unreadable(self, start: int, message: str, hint: str | None = None, path: str = "") -> UnreadableDocumentError:
        """To be raised: nothing after `start` can be read."""
        self.problem(Kind.BAD_DOCUMENT, start, start + 1, message, hint, path)
        return UnreadableDocumentError()

    def enter(self, entries: dict[str, Entry], entry: Entry, path: str) -> None:
        enter(self.problems, entries, entry, path)


def enter(problems: Problems, entries: dict[str, Entry], entry: Entry, path: str) -> None:
    """Add a key of a mapping, in its normal form; one that is empty, holds what cannot be seen or stands there already
    is a problem, and left out."""
    key, span, node = entry
    try:
        key = normal(key)
    except UnseenCharacterError as unseen:
        problems.add(Kind.UNSEEN_CHARACTER, span, f"the key {quoted(key)} {unseen}", unseen.hint, path or None)
        return
    if not key:
        problems.add(Kind.BAD_DOCUMENT, span, "a key is empty", "name a relation", path or None)
    elif key in entries:
        first = entries[key].key_span
        where = f"column {first.column}" if first.line == span.line else f"line {first.line}"
        hint = f"it stands in {where} already: write one of them, or join their rows in one list"
        problems.add(Kind.DUPLICATE_KEY, span, f"{quoted(key)} is given twice", hint, step(path, key))
    else:
        entries[key] = Entry(key, span, node)


def step(path: str, key: str) -> str:
    """The path of a key below `path`."""
    key = escaped(key, 40)
    return f"{path}.{key}" if path else key
