"""How the places a determination names are compared with where things stand now.

A determination names files as they were given when it was decided, from whatever folder that was. So a place is right
when its line is right and its file has the right name; of a rule file also the folders above it, as far as both are
given. What a determination calls a file it must call it throughout: one name is one file, and one file has one name.
"""

from __future__ import annotations

from pathlib import PurePath

from policy_kb.audit.walk import Unsound, Where, compare, shown
from policy_kb.source import Span


class Places:
    """`source` is the case file of the audit, `said` what the determination calls it."""

    def __init__(self, source: str, said: object, where: Where):
        if not isinstance(said, str) or _name(said) != _name(source):
            raise Unsound(where, f"it says {shown(said)}", f"it has to name the case file, {shown(_name(source))}")
        self.names: dict[str, str] = {source: said}
        self.files: dict[str, str] = {said: source}

    def check(self, said: object, span: Span | None, where: Where) -> None:
        """Refuse a place other than this one; None is no place at all."""
        if span is None:
            return compare(said, None, where)
        wanted = self.names.get(span.file)
        if wanted is not None:
            return compare(said, _written(wanted, span.line), where)
        file, line = said, 0
        if isinstance(said, str) and span.line:
            file, _, after = said.rpartition(":")
            line = int(after) if after.isascii() and after.isdigit() and len(after) < 12 and after[0] != "0" else -1
        if not isinstance(file, str) or line != span.line or file in self.files or not self._agree(file, span.file):
            raise Unsound(where, f"it says {shown(said)}", f"it has to be {shown(_written(span.file, span.line))}")
        self.names[span.file], self.files[file] = file, span.file
        return None

    def _agree(self, said: str, file: str) -> bool:
        """Whether two names of a rule file agree from the end on, as far as both are given."""
        inner, steps = PurePath(file).parts, PurePath(said).parts
        number = min(len(inner), len(steps))
        return number > 0 and steps[-number:] == inner[-number:]


def _written(file: str, line: int) -> str:
    return f"{file}:{line}" if line else file


def _name(file: str) -> str:
    return PurePath(file).name
