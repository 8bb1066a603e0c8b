"""The rows of a table, with their places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from policy_kb.diagnostics import Diagnostic
from policy_kb.parse.tree import Value
from policy_kb.record import entity, field
from policy_kb.source import Span

Row = tuple[Value, ...]


@entity
class TableRows(AbstractSet[Row]):
    """The rows of a table. `lines` gives for each the line of the file `source` on which it begins, `written` the texts
    of those that a reader is shown in other letters than they are compared in; `notes` are warnings. Equal to any set
    of the same rows."""

    source: str
    lines: dict[Row, int] = field(default_factory=dict)
    written: dict[Row, tuple[str | None, ...]] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()

    def __contains__(self, row: object) -> bool:
        return row in self.lines

    def __iter__(self) -> Iterator[Row]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    @classmethod
    def _from_iterable(cls, rows: Iterable[Row]) -> set[Row]:  # type: ignore[override]
        return set(rows)

    def span(self, row: Row) -> Span:
        """The place of a row."""
        return Span(self.source, self.lines[row])
