"""The text of a case file -> documents whose every part knows its place.

`.yaml` and `.yml` hold one case, `.json` one, `.ndjson` and `.jsonl` one a line; `-` is the standard input. A document
is a case, or a scenario: a case with what is expected of it.
"""

from __future__ import annotations

import math
import sys
from collections import abc
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

from policy_kb import numbers
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, Refused, did_you_mean, listed, quoted
from policy_kb.load.nodes import (
    DEEPEST_NESTING,
    DocumentText,
    Entry,
    Form,
    Mapping,
    Node,
    Scalar,
    Sequence,
    UnreadableDocumentError,
    enter,
    step,
)
from policy_kb.load.problems import Problems
from policy_kb.record import field, record
from policy_kb.source import LONGEST_CASE, Span, decoded, read_text

__all__ = ["DEEPEST_NESTING", "LONGEST_LINE", "Document", "Entry", "Form", "Mapping", "Node", "Scalar", "Sequence"]
__all__ += ["parse_document", "read_documents"]

LONGEST_LINE = LONGEST_CASE
"""Bytes of one line of an NDJSON file; a longer line is refused unread, the file may have any number of lines."""

STANDARD_INPUT = Path("-")

FORMATS = ("yaml", "json", "ndjson")
_ENDINGS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson"}

_SCENARIO_KEYS = ("description", "case", "readings", "expect")


@record
class Document:
    """One document of a file (or of Python data).

    `case` is the mapping with the case's relations; of a `scenario` (a mapping with the keys `description`, `case`,
    `expect`, and perhaps `readings`) the one below its `case`. `unstated` are relations that it leaves out because the
    case has no row in their tables. `problems` is what is wrong with the text itself: with
    any of them the case is refused, together with what else is found in it. A document that cannot be read at all has
    problems and an empty case.
    """

    case: Mapping
    source: str
    scenario: Mapping | None = None
    problems: tuple[Diagnostic, ...] = ()
    text: DocumentText | None = field(default=None, compare=False, repr=False)
    unstated: tuple[str, ...] = ()

    def line_text(self, line: int) -> str | None:
        """A line of the file, for the excerpt of a message; None where there is no text."""
        return self.text.line_text(line) if self.text else None

    @property
    def is_readable(self) -> bool:
        return bool(self.case.entries) or not self.problems


def format_of(path: Path, form: str | None = None) -> str | None:
    """How a case file is written: by its ending, else as `form` says, the standard input as YAML; None if unknown."""
    return _ENDINGS.get(path.suffix.lower(), form or ("yaml" if path == STANDARD_INPUT else None))


def read_documents(path: Path, called: str | None = None, form: str | None = None) -> Iterator[Document]:
    """The documents of a case file; `-` is the standard input. NDJSON is read line by line, blank lines skipped.

    How it is written is told by the ending, else by `form`, one of `FORMATS`. A file that cannot be read raises
    CaseRefused. What is wrong with one document stands in its `problems`, so that one bad line of an NDJSON file does
    not hide the others. `called` is how messages name the file.
    """
    source = called or str(path)
    form = format_of(path, form)
    if form == "ndjson":
        yield from _lines(path, source)
    elif form is not None:
        try:
            is_piped = path == STANDARD_INPUT
            text = decoded(_standard_input(), source) if is_piped else read_text(path, source, LONGEST_CASE)
        except Refused as refused:
            raise CaseRefused(refused.diagnostics) from None
        yield _document(DocumentText(text, source), is_yaml=form == "yaml")
    else:
        raise _file_refused(source, *_no_case_file(path))


def _no_case_file(path: Path) -> tuple[str, str]:
    """What is wrong with a file of no known ending, and what to do."""
    with suppress(OSError, ValueError):
        if not path.exists():
            return "no such file", "check the path"
        if path.is_dir():
            hint = "tables are for `batch`, and for `explain --from` to explain one case of them"
            return "a folder where a case file is expected", hint
    ending = path.suffix.lower()
    message = f"{quoted(ending)} is not the ending of a case file" if ending else "the file's name has no ending"
    return message, "cases are `.yaml`, `.json`, or `.ndjson` with one case a line; of other names say it with --format"


def _standard_input() -> bytes:
    try:
        raw = _standard_lines().read(LONGEST_CASE + 1)
    except (OSError, ValueError) as problem:
        reason = f"cannot be read: {getattr(problem, 'strerror', None) or problem}"
        raise _file_refused(str(STANDARD_INPUT), reason, "give a file") from None
    if len(raw) > LONGEST_CASE:
        message = f"the case has more than {LONGEST_CASE // 2**20} MiB"
        raise _file_refused(str(STANDARD_INPUT), message, "give several cases as NDJSON, one a line")
    return raw


def _standard_lines() -> BinaryIO:
    if sys.stdin is None:
        raise _file_refused(str(STANDARD_INPUT), "there is no standard input", "give a file")
    return sys.stdin.buffer


def parse_document(value: object, called: str = "<case>") -> Document:
    """A document from Python data: dicts with text keys, lists, tuples, text, whole numbers, floats, decimals, truth
    values, dates (not times) and None for "no value"; what PyYAML makes of a case file is such data. Anything else is
    one of the document's `problems`. `called` is how messages name it.
    """
    reader = _PythonReader(called)
    node = reader.node(value, "", 1)
    return _case_or_scenario(node, called, reader.problems, None)


def _document(text: DocumentText, is_yaml: bool) -> Document:
    node: Node | None
    try:
        if is_yaml:
            from policy_kb.load.from_yaml import read_yaml

            node = read_yaml(text)
        else:
            from policy_kb.load.from_json import read_json

            node = read_json(text)
    except UnreadableDocumentError:
        return _unreadable(text.source, text.problems, text.span(0, 0), text)
    return _case_or_scenario(node, text.source, text.problems, text)


def _unreadable(source: str, problems: Problems, span: Span, text: DocumentText | None) -> Document:
    return Document(Mapping((), span), source, None, problems.found, text)


def _case_or_scenario(node: Node | None, source: str, problems: Problems, text: DocumentText | None) -> Document:
    if not isinstance(node, Mapping):
        span = node.span if node else Span(source, text.first_line if text else 1)
        if not (isinstance(node, Scalar) and node.form is Form.REFUSED):
            if isinstance(node, Sequence):
                message, hint = "a list where a case is expected", "one case a file, or NDJSON with one case a line"
            elif node is None or (isinstance(node, Scalar) and not node.text):
                message, hint = "the document is empty", "write `case: NAME`, then one key per relation"
            else:
                message, hint = "text where a case is expected", "write `case: NAME`, then one key per relation"
            problems.add(Kind.BAD_DOCUMENT, span, message, hint)
        return _unreadable(source, problems, span, text)
    case = node.find("case")
    if case is None or not isinstance(case.node, Mapping):
        return Document(node, source, None, problems.found, text)
    for key, span, _ in node.entries:
        if key not in _SCENARIO_KEYS:
            hint = did_you_mean(key, _SCENARIO_KEYS) or f"a scenario has the keys {listed(_SCENARIO_KEYS, 'and')}"
            message = f"{quoted(key)} is not a key of a scenario"
            problems.add(Kind.BAD_DOCUMENT, span, message, hint, key)
    for key in ("description", "expect"):
        if node.find(key) is None:
            hint = "a scenario says what is expected; in a case, `case` is its name"
            problems.add(Kind.BAD_DOCUMENT, case.key_span, f"the scenario has no `{key}`", hint)
    return Document(case.node, source, node, problems.found, text)


def _lines(path: Path, source: str) -> Iterator[Document]:
    """The documents of an NDJSON file, with no more than one line in memory."""
    try:
        if path == STANDARD_INPUT:
            yield from _documents_of(_standard_lines(), source)
            return
        if not path.exists():
            raise _file_refused(source, "no such file", "check the path")
        if not path.is_file():
            raise _file_refused(source, "not a regular file", "give a file, not a folder, a pipe or a device")
        with path.open("rb") as file:
            yield from _documents_of(file, source)
    except (OSError, ValueError) as problem:
        reason = f"cannot be read: {getattr(problem, 'strerror', None) or problem}"
        raise _file_refused(source, reason, None) from None


def document_at(path: Path, source: str, offset: int, number: int) -> Document | None:
    """The document of an NDJSON file whose line begins at this byte; `number` is that line's. None where none does."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return next(_documents_of(file, source, number - 1, offset), None)
    except (OSError, ValueError):
        return None


def _documents_of(file: BinaryIO, source: str, number: int = 0, offset: int = 0) -> Iterator[Document]:
    """The documents of the lines that follow; `number` lines and `offset` bytes are before them."""
    end = offset
    while raw := file.readline(LONGEST_LINE + 1):
        number, offset, end = number + 1, end, end + len(raw)
        if len(raw) > LONGEST_LINE and not raw.endswith(b"\n"):
            is_whole = False
            while not is_whole and (rest := file.readline(LONGEST_LINE)):
                is_whole, end = rest.endswith(b"\n"), end + len(rest)
            message = f"the line has more than {LONGEST_LINE // 2**20} MiB"
            yield _line_refused(source, number, message, "one case a line")
            continue
        try:
            line = raw.rstrip(b"\r\n").decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            yield _line_refused(source, number, "not UTF-8 text", "save the file as UTF-8")
            continue
        if line.strip():
            yield _document(DocumentText(line, source, number, offset), is_yaml=False)


def _file_refused(source: str, message: str, hint: str | None) -> CaseRefused:
    return CaseRefused([Diagnostic(Kind.UNREADABLE, Span(source, 1), message, hint)])


def _line_refused(source: str, number: int, message: str, hint: str) -> Document:
    span = Span(source, number)
    return Document(Mapping((), span), source, None, (Diagnostic(Kind.UNREADABLE, span, message, hint),))


class _PythonReader:
    def __init__(self, source: str):
        self.span = Span(source, 1)
        self.problems = Problems(lambda line: None)

    def node(self, value: object, path: str, depth: int) -> Node:
        if value is None:
            return Scalar("", Form.NOTHING, self.span)
        if isinstance(value, bool):
            return Scalar("true" if value else "false", Form.TRUTH, self.span)
        if isinstance(value, str):
            return self.text(str.__str__(value), path)
        if isinstance(value, int):
            # Longer numbers are out of range anyway, and slow to write in decimal.
            text = int.__repr__(value) if value.bit_length() < 4096 else "9" * 40
            return Scalar(text, Form.NUMBER, self.span)
        if isinstance(value, float | Decimal):
            return self.decimal(value, path)
        if isinstance(value, date) and not isinstance(value, datetime):
            return Scalar(value.isoformat(), Form.TEXT, self.span)
        if isinstance(value, abc.Mapping | list | tuple):
            if depth > DEEPEST_NESTING:
                hint = "a case is a mapping of lists of rows"
                return self.refused(Kind.BAD_DOCUMENT, f"nested more than {DEEPEST_NESTING} deep", hint, path)
            if isinstance(value, abc.Mapping):
                return self.mapping(value, path, depth)
            items = [self.node(item, f"{path}[{number}]", depth + 1) for number, item in enumerate(value)]
            return Sequence(tuple(items), self.span)
        message = "a time where a date is expected" if isinstance(value, datetime) else "a value of an unknown sort"
        hint = "give text, a number, a date, true or false, a list or a mapping"
        return self.refused(Kind.WRONG_TYPE, message, hint, path)

    def mapping(self, value: abc.Mapping[object, object], path: str, depth: int) -> Mapping:
        entries: dict[str, Entry] = {}
        for key, item in value.items():
            # PyYAML's own loaders read the key `on` as a truth value; no other way of writing makes one of it.
            name = "on" if key is True and "on" not in value else key
            if not isinstance(name, str) or not name.strip():
                self.refused(Kind.BAD_DOCUMENT, "a key must be text", "name a relation or an attribute", path)
            elif self.text(name, path).form is not Form.REFUSED:
                node = self.node(item, step(path, name), depth + 1)
                enter(self.problems, entries, Entry(name, self.span, node), path)
        return Mapping(tuple(entries.values()), self.span)

    def text(self, text: str, path: str) -> Scalar:
        if any("\ud800" <= sign <= "\udfff" for sign in text):
            return self.refused(Kind.BAD_DOCUMENT, "the text holds half a character", "give complete characters", path)
        return Scalar(text, Form.TEXT, self.span)

    def decimal(self, value: float | Decimal, path: str) -> Scalar:
        if math.isfinite(value):
            text = numbers.written_as(value) if isinstance(value, float) else str(value)
            return Scalar(text, Form.NUMBER, self.span)
        return self.refused(Kind.WRONG_TYPE, f"`{value}` is not a number", "write a finite number", path)

    def refused(self, kind: Kind, message: str, hint: str, path: str) -> Scalar:
        self.problems.add(kind, self.span, message, hint, path or None)
        return Scalar("", Form.REFUSED, self.span)
