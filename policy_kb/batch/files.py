"""The files that a batch is read from: opened once, read under a name that is no pattern, and watched for changes.

A database takes a path for a pattern, and a path has to be text for it. So a file is held open, and read by its number
among the open files; what is put in its place meanwhile is not read. What is written into it meanwhile is seen.
"""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind
from policy_kb.record import record
from policy_kb.source import Span

_OPEN_FILES = Path("/dev/fd")
"""Where the open files of a process have their numbers for names, if the system has such a place."""

_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0)
"""A pipe in the place of a file is not waited for."""

CHANGED = "has changed while it was read; nothing was decided"
LET_BE = "let nothing write to the input while it is read, and start again"

_State = tuple[int, ...]


@record
class Held:
    """An open file: `name` is the path by which a database reads it, and no other; `path` is where it was found."""

    name: str
    path: Path

    def stream(self) -> BinaryIO:
        """Its bytes from the beginning."""
        return open(self.name if Path(self.name).parent == _OPEN_FILES else self.path, "rb")


class Files:
    """Some files, open for as long as this object is there."""

    def __init__(self) -> None:
        self._held: list[tuple[Held, str, _State]] = []
        self._numbers: list[int] = []
        weakref.finalize(self, _close, self._numbers)

    def open(self, path: Path, place: str) -> Held:
        """Hold a file open; `place` is how messages name it. Raises CaseRefused for what is no regular file, or cannot
        be opened."""
        def refused(message: str, hint: str) -> CaseRefused:
            return CaseRefused([Diagnostic(Kind.UNREADABLE, Span(place, 1), message, hint)])

        _allow_many(len(self._held))
        try:
            number = os.open(path, os.O_RDONLY | _WITHOUT_WAITING)
        except FileNotFoundError:
            raise refused("no such file", "check the path") from None
        except OSError as problem:
            raise refused(f"cannot be read: {problem.strerror}", "check its permissions") from None
        state = os.fstat(number)
        if not S_ISREG(state.st_mode):
            os.close(number)
            raise refused("not a regular file", "give a file, not a folder, a pipe or a device")
        self._numbers.append(number)
        held = Held(str(_OPEN_FILES / str(number)) if _OPEN_FILES.is_dir() else literal_path(path), path)
        self._held.append((held, place, _state_of(state)))
        return held

    @property
    def names(self) -> list[str]:
        """By which a database reads them."""
        return [held.name for held, *_ in self._held]

    def check(self) -> None:
        """Raises CaseRefused if one of the files is no longer what it was when it was opened."""
        changed = [
            Diagnostic(Kind.UNREADABLE, Span(place, 1), CHANGED, LET_BE)
            for held, place, state in self._held if _state_at(held.path) != state
        ]
        if changed:
            raise CaseRefused(changed)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Refuse what is read inside if a file changes meanwhile: also where that is why something else went wrong."""
        try:
            yield
        except Exception:
            self.check()
            raise
        self.check()


def literal_path(path: Path) -> str:
    """A path in which a database finds no pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(path.absolute()))


def _state_at(path: Path) -> _State:
    try:
        return _state_of(path.stat())
    except OSError:
        return ()


def _state_of(state: os.stat_result) -> _State:
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _close(numbers: list[int]) -> None:
    for number in numbers:
        os.close(number)


def _allow_many(number: int) -> None:
    """A table may be in thousands of parts, where a process may have a thousand files open unless it asks for more."""
    if number % 256 != 255:
        return
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * number + 1024
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
