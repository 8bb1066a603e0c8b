"""What a case says: rows with the place each was read from, and which relations are open."""

from __future__ import annotations

from collections.abc import Mapping

from policy_kb.parse.tree import Value
from policy_kb.record import record
from policy_kb.source import Span


@record
class Row:
    """One row of a relation. `values` follow the declaration, the case first in a case relation.

    `path` is the place inside the document, such as `therapy[0]`; `is_uncertain`: the row may or may not hold.
    """

    relation: str
    values: tuple[Value, ...]
    span: Span
    path: str = ""
    is_uncertain: bool = False


@record
class Facts:
    """One case.

    `rows` has an entry for every case relation that is an input, without repetitions: a row given twice is given once,
    and certain if it is certain anywhere. `open` maps each open relation to the reason: `not stated`, `incomplete`, or
    the word of its `@[always_open]`. `stated` says where a relation that is not open is stated: the place of its key,
    of `record: complete`, or the place of its declaration where that is `@[closed]`. `digest` is the SHA-256 of what
    the case says, the same for every order of its keys, rows and attributes.
    """

    case: str
    source: str
    rows: Mapping[str, tuple[Row, ...]]
    open: Mapping[str, str]
    stated: Mapping[str, Span]
    digest: str

    def certain(self, relation: str) -> set[tuple[Value, ...]]:
        return {row.values for row in self.rows.get(relation, ()) if not row.is_uncertain}

    def possible(self, relation: str) -> set[tuple[Value, ...]]:
        return {row.values for row in self.rows.get(relation, ())}

    @property
    def is_uncertain(self) -> bool:
        """Whether some row may or may not hold."""
        return any(row.is_uncertain for rows in self.rows.values() for row in rows)

    def with_uncertain_rows(self) -> Facts:
        """The case in which every uncertain row holds; its digest stays that of the case as stated."""
        rows = {
            name: tuple(Row(row.relation, row.values, row.span, row.path) for row in rows)
            for name, rows in self.rows.items()
        }
        return Facts(self.case, self.source, rows, self.open, self.stated, self.digest)
