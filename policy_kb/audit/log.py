"""The log of determinations: a file that is only ever appended to, each entry chained to the one before by its hash.

One entry a line, in canonical JSON: UTF-8, no spaces, the keys of every mapping sorted by code point, characters beyond
ASCII as themselves, only `"`, the backslash and control characters escaped, floats as the shortest decimal that reads
back as the same double, no NaN and no infinity. A line that is written otherwise is no entry.

    {"determination": {...}, "entry": 2, "hash": "sha256:...", "previous": "sha256:...", "readings": {...},
     "time": "2025-09-02T08:15:00.123456Z", "torn": null}

`entry` counts from 1. `previous` is the `hash` of the entry before; of the first one 64 zeros. `hash` is the SHA-256 of
the canonical JSON of the entry without `hash`. `readings` are those that the command asked for. `time` is UTC.

A write that was cut off (a killed process, a power failure) leaves a line without its end: a torn line, which was
never reported as recorded. Nothing is glued onto it and nothing is taken away: the next entry closes the line with
` #torn`, follows the last whole entry, and says in its own `torn` what the SHA-256 of everything between the two is. So
every byte of the file is accounted for. A whole entry that lacks the line's end alone counts, and gets its end.

What a chain cannot show is that its end was cut off, or that its last entry was written anew: the chain is then only
shorter, or another one. Who keeps the hash of the last entry, the head, can have it looked for.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from policy_kb.audit.document import LONGEST, NotJson, parse_json, read_lines, refused
from policy_kb.diagnostics import Kind, Refused
from policy_kb.record import record

START = "sha256:" + 64 * "0"
CLOSED = b" #torn\n"
"""What ends a line whose write was cut off."""

_TYPES: dict[str, tuple[type, ...]] = {
    "determination": (dict,), "entry": (int,), "hash": (str,), "previous": (str,), "readings": (dict,), "time": (str,),
    "torn": (str, type(None)),
}
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode

Entry = Mapping[str, Any]


def canonical(value: object) -> bytes:
    """The canonical JSON of a value, see above."""
    # What of a file's name is not UTF-8 has an escape, from which the name is found again.
    return _encode(value).encode(errors="backslashreplace")


def hash_of(entry: Entry) -> str:
    """The hash that an entry has to have."""
    return _sha256(canonical({key: value for key, value in entry.items() if key != "hash"}))


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def entry_of(line: bytes) -> Entry:
    """The entry of a line, its end left out. Raises NotJson for what is none; its hash and its place are not looked at.
    """
    try:
        entry = parse_json(line.decode())
    except UnicodeDecodeError:
        raise NotJson("not UTF-8 text") from None
    if not isinstance(entry, dict) or entry.keys() != _TYPES.keys():
        raise NotJson(f"an entry has the keys {', '.join(_TYPES)}")
    wrong = next((key for key, types in _TYPES.items() if type(entry[key]) not in types), None)
    if wrong is None and not all(isinstance(choice, str) for choice in entry["readings"].values()):
        wrong = "readings"
    if wrong is not None:
        raise NotJson(f"`{wrong}` of an entry is of another type")
    if canonical(entry) != line:
        raise NotJson("the line is not canonical JSON")
    return entry


# appending


def append(path: Path, determination: Mapping[str, Any], readings: Mapping[str, str]) -> Entry:
    """Append a determination, and give its entry once it is on the disk.

    Several processes may append at once: each waits for the others. Raises Refused, and leaves the log as it was, where
    the log cannot be written, the disk is full, or the log does not end as one that was only ever appended to.
    """
    with _locked(path) as file:
        size = os.fstat(file).st_size
        try:
            entry = _appended(file, size, path, determination, readings)
        except BaseException as problem:
            # All that was written lies behind what was there, and nobody else can have written. Where it cannot be
            # taken back it stays, as a torn line. A log that was empty goes: others who wait for it make it anew.
            with suppress(OSError):
                os.ftruncate(file, size)
                if size == 0:
                    path.unlink()
            if not isinstance(problem, OSError):
                raise
            hint = "the entries before are as they were"
            raise refused(str(path), 1, f"not recorded: {problem.strerror}", hint, Kind.UNREADABLE) from None
    if size == 0:
        _keep_name(path)
    return entry


def _appended(
    file: int, size: int, path: Path, determination: Mapping[str, Any], readings: Mapping[str, str]
) -> Entry:
    """Write the entry behind the `size` bytes that there are, to the disk."""
    last, closing, torn = _end(file, size, str(path))
    entry: dict[str, Any] = {
        "entry": last["entry"] + 1 if last else 1,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "previous": last["hash"] if last else START,
        "torn": _sha256(torn) if torn else None,
        "readings": dict(readings),
        "determination": dict(determination),
    }
    entry["hash"] = hash_of(entry)
    line = canonical(entry) + b"\n"
    if len(line) > LONGEST - 100:  # what closes a torn line has room
        raise refused(str(path), 1, f"not recorded: the entry has more than {LONGEST // 2**20} MiB")
    _write(file, closing + line)
    os.fsync(file)
    return entry


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The log, made where there is none, for this process alone. Refused: a link, and what is no regular file."""
    try:
        import fcntl
    except ImportError:
        raise refused(str(path), 1, "not recorded: this system has no file locks", None, Kind.UNREADABLE) from None
    if path.is_symlink():
        hint = "name the file that it leads to"
        raise refused(str(path), 1, "not recorded: this is a link", hint, Kind.UNREADABLE)
    while True:
        try:
            # A pipe must not make the command wait for a reader.
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW, 0o600)
        except (OSError, ValueError) as problem:
            raise _failed(path, problem) from None
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                hint = "give a file, not a folder, a pipe or a device"
                raise refused(str(path), 1, "not recorded: not a regular file", hint, Kind.UNREADABLE)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as problem:
                raise _failed(path, problem) from None
            if _is_still(file, path):
                yield file
                return
        finally:
            os.close(file)


def _is_still(file: int, path: Path) -> bool:
    """Whether an open file has its name yet: who was waited for may have removed it."""
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except OSError:
        return False


def _failed(path: Path, problem: Exception) -> Refused:
    reason = getattr(problem, "strerror", None) or problem
    return refused(str(path), 1, f"not recorded: {reason}", "check the path", Kind.UNREADABLE)


def _write(file: int, data: bytes) -> None:
    while data:
        written = os.write(file, data)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        data = data[written:]


def _keep_name(path: Path) -> None:
    """Makes sure that a new file is found under its name after a power failure, where the system can."""
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY)
    except OSError:
        return
    with suppress(OSError):
        os.fsync(folder)
    os.close(folder)


def _end(file: int, size: int, source: str) -> tuple[Entry | None, bytes, bytes]:
    """The last entry, None where there is none; what closes the last line, where that has no end; and all that then
    stands behind the entry: torn lines."""
    window = 2**16
    while True:
        start = max(0, size - window)
        *lines, tail = os.pread(file, size - start, start).split(b"\n")
        if start:
            lines = lines[1:]  # the first one may have begun before the window
        # What is behind the last line's end is a whole line only where that end is in the window.
        whole = _whole_entry(tail) if tail else None
        if whole is not None:
            return whole, b"\n", b""
        closing = CLOSED if tail else b""
        torn = tail + closing
        while lines:
            line = lines.pop() + b"\n"
            if not line.endswith(CLOSED):
                entry = _whole_entry(line[:-1])
                if entry is None:
                    message = "not recorded: the log does not end with an entry"
                    raise refused(source, 1, message, "`policy-kb audit` says what is wrong with it")
                return entry, closing, torn
            torn = line + torn
        if start == 0:
            return None, closing, torn
        if window > 2 * LONGEST:
            raise refused(source, 1, "not recorded: the log has no entry near its end", "is it a log?")
        window *= 4


def _whole_entry(line: bytes) -> Entry | None:
    """The entry of a line, if it is one and has its own hash."""
    try:
        entry = entry_of(line)
    except NotJson:
        return None
    return entry if entry["hash"] == hash_of(entry) else None


# checking


@record
class Line:
    """A line of a log: an entry where it is one, and what is wrong with it. `is_torn`: a write that was cut off; its
    `problem` is None where the next entry vouches for it."""

    number: int
    entry: Entry | None
    problem: str | None
    is_torn: bool = False


def check_log(path: Path) -> Iterator[Line]:
    """Every line of a log, with what is wrong with it: an entry that was edited, removed, moved or put in, a line that
    is no entry. Raises Refused for a file that cannot be read."""
    chain = _Chain()
    for number, raw in read_lines(path):
        if raw.endswith(CLOSED):
            chain.take(number, raw)
        elif raw.endswith(b"\n"):
            yield from chain.entry(number, raw[:-1])
        elif (entry := _whole_entry(raw)) is not None:
            yield from chain.entry(number, raw)
            yield Line(number, None, f"the line of entry {entry['entry']} has no end: its write was cut off", True)
        else:
            yield from chain.rest()
            yield Line(number, None, _NEVER_RECORDED, True)
            return
    yield from chain.rest()


class _Chain:
    """What the next entry has to be: None where that cannot be known, since the line before is no entry."""

    def __init__(self) -> None:
        self.next: int | None = 1
        self.previous: str | None = START
        self.torn: list[int] = []
        self.digest = hashlib.sha256()

    def take(self, number: int, raw: bytes) -> None:
        """A torn line, which the next entry has to vouch for."""
        self.torn.append(number)
        self.digest.update(raw)

    def taken(self) -> tuple[list[int], str | None]:
        """The torn lines behind the last entry, and their hash."""
        torn, between = self.torn, f"sha256:{self.digest.hexdigest()}" if self.torn else None
        self.torn, self.digest = [], hashlib.sha256()
        return torn, between

    def entry(self, number: int, text: bytes) -> Iterator[Line]:
        torn, between = self.taken()
        try:
            entry = entry_of(text)
        except NotJson as problem:
            self.next = self.previous = None
            yield from (Line(line, None, _NOT_VOUCHED, True) for line in torn)
            yield Line(number, None, f"this is no entry: {problem.message}")
            return
        is_vouched = entry["torn"] == between
        yield from (Line(line, None, None if is_vouched else _NOT_VOUCHED, True) for line in torn)
        yield Line(number, entry, self.problem(entry, between))
        self.next, self.previous = entry["entry"] + 1, entry["hash"]

    def problem(self, entry: Entry, torn: str | None) -> str | None:
        if entry["hash"] != hash_of(entry):
            return f"entry {entry['entry']} was edited: its hash is not that of what it says"
        if self.next is not None and entry["entry"] != self.next:
            return (f"entry {entry['entry']} stands where entry {self.next} has to stand: "
                    "one was removed, put in or moved")
        if self.previous is not None and entry["previous"] != self.previous:
            return f"entry {entry['entry']} follows another entry than the one before it: that was edited or exchanged"
        if entry["torn"] != torn:
            return f"what stands before entry {entry['entry']} is not what it says was torn there"
        return None

    def rest(self) -> Iterator[Line]:
        """Torn lines at the end of the log."""
        torn, _ = self.taken()
        yield from (Line(line, None, _NEVER_RECORDED, True) for line in torn)


_NEVER_RECORDED = "this line is torn: its write was cut off, it was never recorded"
_NOT_VOUCHED = "a torn line that the next entry does not vouch for"


def is_log(path: Path) -> bool:
    """Whether a file begins as a log does, and no determination. Refused: what cannot be read."""
    first = next(read_lines(path), (1, b""))[1]
    return first.startswith(b'{"determination":')


def is_hash(text: str) -> bool:
    return re.fullmatch("sha256:[0-9a-f]{64}", text) is not None
