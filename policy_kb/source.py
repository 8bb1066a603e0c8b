"""Where a piece of text stands: every node of a rule file and every row of a case remembers its place."""

from __future__ import annotations

import os
from pathlib import Path

from policy_kb.diagnostics import Diagnostic, Kind, Refused
from policy_kb.record import record

LONGEST_FILE = 64 * 1024 * 1024
"""Bytes; a table beyond this is refused before it is read."""

LONGEST_CASE = 16 * 1024 * 1024
"""Bytes of a case file, or of one line of an NDJSON file."""

LONGEST_RULES = 2 * 1024 * 1024
"""Bytes of a rule file with all that it includes: reading a mebibyte takes about a quarter of a minute."""


@record
class Span:
    """A stretch of text on one line of a file: line and columns count from 1, `end` is the column after the last."""

    file: str
    line: int
    column: int = 1
    end: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


NOWHERE = Span("", 1)
"""What is wrong stands in no file: a word of a command line, a package that is not installed."""


def real_path(path: Path) -> Path:
    """The absolute path with all links followed; where links lead to each other, as far as they can be."""
    return Path(os.path.realpath(path))


def display_name(path: Path) -> str:
    """How messages name a file."""
    resolved = real_path(path)
    try:
        return str(resolved.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(resolved)


def read_text(path: Path, called: str | None = None, longest: int | None = None) -> str:
    """The text of a UTF-8 file.

    Refused, with a reason a person can act on: a file that is missing, not a regular file (a folder, a pipe, a
    device), unreadable, larger than `longest` bytes (if none are given, `LONGEST_FILE`), not UTF-8, or holding a NUL
    character. `called` is how messages name the file.
    """
    name = called or str(path)
    longest = LONGEST_FILE if longest is None else longest

    def refuse(message: str, hint: str | None = None, line: int = 1) -> Refused:
        return Refused([Diagnostic(Kind.UNREADABLE, Span(name, line), message, hint)])

    try:
        if not path.exists():
            raise refuse("no such file", "check the path")
        if not path.is_file():
            raise refuse("not a regular file", "give a file, not a folder, a pipe or a device")
        if path.stat().st_size > longest:
            raise refuse(f"the file has more than {longest // 2**20} MiB", "split it into several files")
        raw = path.read_bytes()
    except (OSError, ValueError) as problem:
        raise refuse(f"cannot be read: {getattr(problem, 'strerror', None) or problem}") from None
    return decoded(raw, name)


def decoded(raw: bytes, name: str) -> str:
    """The text of UTF-8 bytes. Refused: what is not UTF-8, or holds a NUL character. `name` is for messages."""

    def refuse(message: str, hint: str, line: int) -> Refused:
        return Refused([Diagnostic(Kind.UNREADABLE, Span(name, line), message, hint)])

    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        raise refuse("not UTF-8 text", "save the file as UTF-8", line) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise refuse("the text holds a NUL character", "save the file as plain UTF-8 text", line)
    return text

