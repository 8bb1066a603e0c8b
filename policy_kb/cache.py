"""What was worked out before, kept in files of the user's cache folder.

It is a speed-up only: where it cannot be read or written, the work is done again. `POLICY_KB_CACHE` says where it is.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_FORMAT = f"2 {sys.version_info[:2]}"
"""Part of every entry's key: what another version of this program or of Python wrote is never read."""


def place(stages: Iterable[str], *key: object) -> Path:
    """The file of an entry: one for each key and each state of these stages (folders) of the program, so that what a
    checkout keeps never outlives an edit of it."""
    base = os.environ.get("POLICY_KB_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "policy-kb"
    )
    program = Path(__file__).resolve().parent
    states = (file.stat() for folder in [program, *(program / stage for stage in stages)]
              for file in folder.glob("*.py"))
    stamp = sorted((state.st_mtime_ns, state.st_size) for state in states)
    name = hashlib.sha256(repr((_FORMAT, key, stamp)).encode()).hexdigest()[:32]
    return Path(base) / f"{name}.pickle"


def read(file: Path) -> Iterator[Any]:
    """The values of an entry, one after the other as they are asked for; fewer, or none, where the file is torn or
    somebody else can have written it."""
    try:
        if not (_is_ours(file.parent) and _is_ours(file)):
            return
        with file.open("rb") as stream:
            while True:
                yield pickle.load(stream)
    except Exception:  # whatever is wrong with it is no reason to fail
        return


def write(file: Path, *values: object) -> None:
    """Keep these values."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}")
        with temporary.open("wb") as stream:
            for value in values:
                pickle.dump(value, stream, protocol=5)
        os.replace(temporary, file)
    except OSError:
        return


def _is_ours(path: Path) -> bool:
    """Whether nobody else can have written a file or folder: unpickling runs what the file says."""
    state = path.stat()
    return not hasattr(os, "geteuid") or (state.st_uid == os.geteuid() and not state.st_mode & 0o022)
