"""JSON of unknown origin -> plain data, or a refusal that says why.

Refused: what is no JSON, a key given twice, `NaN` and infinities, numbers beyond what a float holds or of more digits
than are read, text that is half a character; lists and mappings nested more than `DEEPEST` deep; a determination of
more than `LONGEST` bytes. A file may have any number of them, one a line.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from policy_kb.diagnostics import Diagnostic, Kind, Refused, quoted
from policy_kb.source import LONGEST_FILE, Span, read_text

LONGEST = LONGEST_FILE
"""Bytes of one determination, and of one entry of a log."""

DEEPEST = 800
"""Mappings and lists inside each other; an explanation of the policies at hand needs about fifty."""

_STRING = re.compile(r'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_NOT_BRACKETS = re.compile(r"[^\[\]{}]+")
_HALF_CHARACTER = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""The others stand for bytes of the names of files that are not UTF-8."""
_HALF_CHARACTER_WRITTEN = re.compile(r"\\u[dD][89a-fA-F]")


class NotJson(ValueError):  # noqa: N818
    """What is wrong with a text, and what to do about it. `line` counts from 1 within the text."""

    def __init__(self, message: str, hint: str | None = None, line: int = 1):
        super().__init__(message)
        self.message, self.hint, self.line = message, hint, line


def parse_json(text: str) -> Any:
    """The one value of a JSON text. Raises NotJson."""
    if _depth(text) > DEEPEST:
        raise NotJson(f"nested more than {DEEPEST} deep", "a determination is not")
    try:
        value = json.loads(text, object_pairs_hook=_mapping, parse_constant=_refused_number, parse_float=_finite)
    except NotJson:
        raise
    except json.JSONDecodeError as problem:
        reason = problem.msg[:1].lower() + problem.msg[1:]
        raise NotJson(f"not JSON: {reason} (column {problem.colno})", None, problem.lineno) from None
    except ValueError:
        raise NotJson("a number has too many digits") from None
    except RecursionError:
        raise NotJson("nested too deep", "a determination is not") from None
    if _HALF_CHARACTER_WRITTEN.search(text) and _HALF_CHARACTER.search(json.dumps(value, ensure_ascii=False)):
        raise NotJson("the text holds half a character", r"`\ud83d` needs its second half")
    return value


def _depth(text: str) -> int:
    """How deep lists and mappings are nested, whether or not the text is JSON; of what is too deep, that it is."""
    deepest = depth = 0
    for bracket in _NOT_BRACKETS.sub("", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
        if deepest > DEEPEST:
            break
    return deepest


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for place, key in enumerate(keys) if key in keys[:place])
        raise NotJson(f"{quoted(twice)} is given twice in one mapping", "a key stands once")
    return found


def _refused_number(word: str) -> Any:
    raise NotJson(f"`{word}` is not a number", "JSON has finite numbers")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise NotJson(f"{quoted(text)} is beyond what a number may be")
    return value


def refused(source: str, line: int, message: str, hint: str | None = None, kind: Kind = Kind.BAD_DOCUMENT) -> Refused:
    return Refused([Diagnostic(kind, Span(source, line), message, hint)])


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers and their ends, one in memory at a time; the last one of a file that a
    write was cut off in has no end. Refused: what is no regular file, and a line of more than `LONGEST` bytes."""
    source = str(path)
    try:
        if not path.exists():
            raise refused(source, 1, "no such file", "check the path", Kind.UNREADABLE)
        if not path.is_file():
            hint = "give a file, not a folder, a pipe or a device"
            raise refused(source, 1, "not a regular file", hint, Kind.UNREADABLE)
        with path.open("rb") as file:
            number = 0
            while raw := file.readline(LONGEST + 1):
                number += 1
                if len(raw) > LONGEST:
                    message = f"the line has more than {LONGEST // 2**20} MiB"
                    raise refused(source, number, message, "one determination a line", Kind.UNREADABLE)
                yield number, raw
    except (OSError, ValueError) as problem:
        reason = f"cannot be read: {getattr(problem, 'strerror', None) or problem}"
        raise refused(source, 1, reason, None, Kind.UNREADABLE) from None


def read_determinations(path: Path) -> Iterator[tuple[int, Any]]:
    """The JSON values of a file with their lines: of a file with one value a line (NDJSON), or with one in all."""
    source = str(path)
    if _has_one_a_line(path):
        for number, raw in read_lines(path):
            if raw.strip():
                try:
                    yield number, parse_json(_decoded(raw, number))
                except NotJson as problem:
                    raise refused(source, number, problem.message, problem.hint) from None
        return
    text = read_text(path)
    if not text.strip():
        raise refused(source, 1, "the file holds no determination", "`decide --json` writes one")
    try:
        yield 1, parse_json(text)
    except NotJson as problem:
        raise refused(source, problem.line, problem.message, problem.hint) from None


def _has_one_a_line(path: Path) -> bool:
    """Whether the first line that is not blank is a JSON value by itself."""
    try:
        for number, raw in read_lines(path):
            if raw.strip():
                parse_json(_decoded(raw, number))
                return True
    except (NotJson, Refused):
        return False  # reading the file as a whole says what is wrong with it
    return False


def _decoded(raw: bytes, number: int) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise NotJson("not UTF-8 text", "save the file as UTF-8") from None
