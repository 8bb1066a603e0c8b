"""Where a piece of text stands: every node of a rule file and every row of a case remembers its place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from policy_kb.diagnostics import LONGEST_NAME, Diagnostic, Kind, Refused, escaped
from policy_kb.record import record

LONGEST_FILE = 64 * 1024 * 1024
"""Bytes; a table beyond this is refused before it is read."""

LONGEST_CASE = 16 * 1024 * 1024
"""Bytes of a case file, or of one line of an NDJSON file."""

LONGEST_RULES = 2 * 1024 * 1024
"""Bytes of a rule file with all that it includes: reading a mebibyte takes about a quarter of a minute."""


@record
class Span:
    """A stretch of text on one line of a file: line and columns count from 1, `end` is the column after the last. Line
    0 is some line of the file that is not known."""

    file: str
    line: int
    column: int = 1
    end: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


NOWHERE = Span("", 1)
"""What is wrong stands in no file: a word of a command line, a package that is not installed."""


def real_path(path: Path) -> Path:
    """The absolute path with all links followed; where links lead to each other, as far as they can be."""
    return Path(os.path.realpath(path))


def display_name(path: str | PurePath) -> str:
    """How a file is named to a reader: as it was given, and what no terminal should obey escaped."""
    return escaped(str(path), LONGEST_NAME)


class Files:
    """Reads files, each once: what is parsed of a file, hashed and kept is of the very same bytes.

    `seen` says of each path that was asked for where it led, and the SHA-256 of the bytes there; None where there was
    no file.
    """

    def __init__(self) -> None:
        self.seen: dict[str, tuple[str, str] | None] = {}
        self._contents: dict[str, bytes] = {}

    def exists(self, path: Path) -> bool:
        if not os.path.exists(path):
            self.seen[str(path.absolute())] = None
            return False
        return True

    def content(self, path: Path, called: str | None = None, longest: int | None = None) -> bytes:
        """The bytes of a file. Refused as by `read_text`."""
        key = str(path.absolute())
        if key not in self._contents:
            content = self._contents[key] = read_bytes(path, called, longest)
            self.seen[key] = str(real_path(path)), hashlib.sha256(content).hexdigest()
        return self._contents[key]

    def text(self, path: Path, called: str | None = None, longest: int | None = None) -> str:
        """As `read_text`."""
        return decoded(self.content(path, called, longest), called or str(path))


def are_unchanged(seen: Mapping[str, Sequence[str] | None]) -> bool:
    """Whether `Files` would see the same again."""
    try:
        return all(
            not os.path.exists(path) if was is None else
            [str(real_path(Path(path))), hashlib.sha256(read_bytes(Path(path))).hexdigest()] == list(was)
            for path, was in seen.items()
        )
    except Refused:
        return False


def read_text(path: Path, called: str | None = None, longest: int | None = None) -> str:
    """The text of a UTF-8 file.

    Refused, with a reason a person can act on: a file that is missing, not a regular file (a folder, a pipe, a
    device), unreadable, larger than `longest` bytes (if none are given, `LONGEST_FILE`), not UTF-8, or holding a NUL
    character. `called` is how messages name the file.
    """
    return decoded(read_bytes(path, called, longest), called or str(path))


def read_bytes(path: Path, called: str | None = None, longest: int | None = None) -> bytes:
    """The bytes of a file. Refused as by `read_text`."""
    longest = LONGEST_FILE if longest is None else longest

    def refuse(message: str, hint: str | None = None) -> Refused:
        return _refused(called or str(path), message, hint)

    try:
        if not path.exists():
            raise refuse("no such file", "check the path")
        if not path.is_file():
            raise refuse("not a regular file", "give a file, not a folder, a pipe or a device")
        if path.stat().st_size > longest:
            raise refuse(f"the file has more than {longest // 2**20} MiB", "split it into several files")
        return path.read_bytes()
    except (OSError, ValueError) as problem:
        raise refuse(f"cannot be read: {getattr(problem, 'strerror', None) or problem}") from None


def decoded(raw: bytes, called: str) -> str:
    """The text of UTF-8 bytes. Refused: what is not UTF-8, or holds a NUL character. `called` is for messages."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        raise _refused(called, "not UTF-8 text", "save the file as UTF-8", line) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _refused(called, "the text holds a NUL character", "save the file as plain UTF-8 text", line)
    return text


def _refused(called: str, message: str, hint: str | None, line: int = 1) -> Refused:
    return Refused([Diagnostic(Kind.UNREADABLE, Span(called, line), message, hint)])

