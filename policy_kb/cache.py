"""What was worked out before, kept in files of the user's cache folder.

It is a speed-up only: where it cannot be read or written, the work is done again. `POLICY_KB_CACHE` says where it is,
else the user's own cache folder. It is never in the working folder, which may have come from anywhere, nor below it.

An entry is kept as JSON (see `kept`), behind the SHA-256 of its name and all that follows. A torn, damaged or foreign
one is none.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from policy_kb import kept


def _state_of_program() -> list[tuple[str, int, int, int]]:
    """What changes whenever a file of this program does, so that what a checkout keeps never outlives an edit of it."""
    found = []
    for folder, _, names in os.walk(Path(__file__).parent):
        for name in names:
            if name.endswith(".py"):
                state = os.stat(os.path.join(folder, name))
                found.append((name, state.st_mtime_ns, state.st_ctime_ns, state.st_size))
    return sorted(found)


_VERSION = repr((3, sys.version_info[:2], _state_of_program()))
"""Part of every entry's name: what another version of this program or of Python wrote is never read. It is found out
when the program starts, which then has the modules of this version."""


def place(*key: object) -> Path | None:
    """The file of an entry, one for each key; None where there is no folder for it."""
    folder = _folder()
    name = hashlib.sha256(repr((_VERSION, key)).encode()).hexdigest()[:32]
    return folder / f"{name}.json" if folder is not None else None


def is_there() -> bool:
    """Whether there is a folder to keep anything in."""
    return _folder() is not None


def _folder() -> Path | None:
    named = os.environ.get("POLICY_KB_CACHE")
    if not named and os.environ.get("HOME") == "":
        return None
    base = named or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "policy-kb")
    if not os.path.isabs(base):
        return None
    try:
        folder = Path(os.path.realpath(base))
        return None if folder.is_relative_to(os.path.realpath(os.getcwd())) else folder
    except (OSError, ValueError):
        return None


def read(file: Path | None) -> Iterator[Any]:
    """The values of an entry, one after the other as they are asked for; none where it is torn or damaged, or somebody
    else can have written it."""
    if file is None:
        return
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as stream:
            if not (_is_ours(os.stat(file.parent)) and _is_ours(os.fstat(descriptor))):
                return
            checksum, _, content = stream.read().partition(b"\n")
        if checksum == _checksum(file, content):
            for line in content.splitlines():
                yield kept.decoded(line.decode())
    except Exception:  # whatever is wrong with it is no reason to fail
        return


def write(file: Path | None, *values: object) -> None:
    """Keep these values; whole, or not at all."""
    if file is None:
        return
    content = "".join(f"{kept.encoded(value)}\n" for value in values).encode()
    temporary = file.with_name(f".{os.urandom(8).hex()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(_checksum(file, content) + b"\n" + content)
        os.replace(temporary, file)
    except OSError:
        return
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _checksum(file: Path, content: bytes) -> bytes:
    """Of an entry in its own place: in the place of another one it is none."""
    return hashlib.sha256(file.name.encode() + b"\n" + content).hexdigest().encode()


def _is_ours(state: os.stat_result) -> bool:
    """Whether nobody else can have written a file or folder."""
    return not hasattr(os, "geteuid") or (state.st_uid == os.geteuid() and not state.st_mode & 0o022)
