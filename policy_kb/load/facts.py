"""What a case says: rows with the place each was read from, and which relations are open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from policy_kb.check.checked import Attribute, Relation
from policy_kb.diagnostics import Diagnostic
from policy_kb.parse.tree import Value
from policy_kb.record import record
from policy_kb.source import Span


@record
class Row:
    """One row of a relation. `values` follow the declaration, the case first in a case relation.

    `path` is the place inside the document, such as `therapy[0]`; `is_uncertain`: the row may or may not hold.
    `written` has for each value the text that the case writes where that says more than the value (letter case that
    does not count, `12.50`), else None; it is empty where there is no such text. It is for printing alone.
    """

    relation: str
    values: tuple[Value, ...]
    span: Span
    path: str = ""
    is_uncertain: bool = False
    written: tuple[str | None, ...] = ()


@record
class Facts:
    """One case.

    `rows` has an entry for every case relation that is an input, without repetitions: a row given twice is given once,
    and certain if it is certain anywhere. `open` maps each open relation to the reason: `not stated`, `incomplete`, or
    the word of its `@[always_open]`. `stated` says where a relation that is not open is stated: the place of its key,
    of `record: complete`, or the place of its declaration where that is `@[closed]`. `digest` is the SHA-256 of what
    the case says, the same for every order of its keys, rows and attributes. `notes` are warnings: what was given
    twice, what was read in another spelling.
    """

    case: str
    source: str
    rows: Mapping[str, tuple[Row, ...]]
    open: Mapping[str, str]
    stated: Mapping[str, Span]
    digest: str
    notes: tuple[Diagnostic, ...] = ()

    def written(self, relation: Relation, values: Sequence[Value | None]) -> tuple[str | None, ...]:
        """For each value of a row, of the case or derived, the text that the case writes for it; None where there is
        no such text and the value itself is shown.

        A row of the case has its own texts; in another one a value is written as somewhere in the case.
        """
        own = self._written_rows.get((relation.name, tuple(values)))
        if own is not None:
            return own
        return tuple(map(self.written_value, values, relation.attributes))

    def written_value(self, value: Value | None, attribute: Attribute) -> str | None:
        """As `written`, for one value of an attribute: of several texts the one that sorts first."""
        if value is None or not (attribute.any_case or attribute.kind == "float"):
            return None
        return self._written_values.get(value)

    @cached_property
    def _written_rows(self) -> dict[tuple[str, tuple[Value | None, ...]], tuple[str | None, ...]]:
        return {
            (row.relation, row.values): row.written or (None,) * len(row.values)
            for rows in self.rows.values() for row in rows
        }

    @cached_property
    def _written_values(self) -> dict[Value, str]:
        found: dict[Value, str] = {}
        for rows in self.rows.values():
            for row in rows:
                for value, text in zip(row.values, row.written, strict=False):
                    if text is not None:
                        found[value] = min(found.get(value, text), text)
        return found

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
            name: tuple(replace(row, is_uncertain=False) for row in rows)
            for name, rows in self.rows.items()
        }
        return replace(self, rows=rows)
