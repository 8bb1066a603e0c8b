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


class Written:
    """How a case writes what it says; for printing alone.

    A row of the case has its own texts. In a row that rules derive, a value is written as somewhere in the case: of
    several texts as the one that sorts first.
    """

    def __init__(self, rows: Mapping[str, tuple[Row, ...]]):
        self._rows: dict[tuple[str, tuple[Value | None, ...]], tuple[str | None, ...]] = {}
        self._values: dict[Value, str] = {}
        for row in (row for those in rows.values() for row in those):
            self._rows[row.relation, row.values] = row.written or (None,) * len(row.values)
            for value, text in zip(row.values, row.written, strict=False):
                if text is not None:
                    self._values[value] = min(self._values.get(value, text), text)

    def row(self, relation: Relation, values: Sequence[Value | None]) -> tuple[str | None, ...]:
        """For each value of a row the text that the case writes for it; None where there is none beyond the value."""
        own = self._rows.get((relation.name, tuple(values)))
        return own if own is not None else tuple(map(self.value, values, relation.attributes))

    def value(self, value: Value | None, attribute: Attribute) -> str | None:
        """As `row`, for one value of an attribute."""
        if value is None or not (attribute.any_case or attribute.kind == "float"):
            return None
        return self._values.get(value)


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

    @cached_property
    def written(self) -> Written:
        """How the case writes its values."""
        return Written(self.rows)

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
