"""One case of a batch as a document, so that it can be decided and explained like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from policy_kb.batch.dialect import DUCKDB
from policy_kb.batch.shape import CASE, OPEN_TABLE, UNCERTAIN, Openness, given_table, is_lines
from policy_kb.check.checked import Attribute, CheckedProgram
from policy_kb.dates import format_date
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind
from policy_kb.load.cases import INCOMPLETE, NOT_STATED
from policy_kb.load.documents import Document, parse_document
from policy_kb.load.values import Known
from policy_kb.source import Span

_quoted = DUCKDB.quoted


def document_from(program: CheckedProgram, known: Known, path: Path, case: str) -> Document:
    """The case of this name in a batch: NDJSON, a folder of tables or a database, read by the vocabulary of `program`
    and the rows of its known relations. Raises CaseRefused where there is none, or where it was rejected."""
    found = _in_lines(path, case) if is_lines(path) else _in_tables(program, known, path, case)
    if found is None:
        message = f"there is no case `{case}`"
        raise CaseRefused([Diagnostic(Kind.BAD_DOCUMENT, Span(str(path), 1), message, "check its name")])
    return found


def _in_lines(path: Path, case: str) -> Document | None:
    from policy_kb.load.cases import named
    from policy_kb.load.documents import read_documents

    for document in read_documents(path):
        if document.is_readable and named(document)[0] == case:
            return document
    return None


def _in_tables(program: CheckedProgram, known: Known, path: Path, case: str) -> Document | None:
    from policy_kb.batch import needs_duckdb

    needs_duckdb()
    from policy_kb.batch.tables import REJECTED_TABLE, read_tables

    batch = read_tables(program, known, path)
    def rows(query: str) -> list[Any]:
        with batch.reading(path):
            return batch.connection.execute(query, [case]).fetchall()

    if batch.rejected:
        # Of the first problems there are hints.
        hints = {(one.table, one.row, one.reason): one.hint for one in batch.problems}
        problems = rows(f"SELECT * EXCLUDE ({_quoted(CASE)}) FROM {REJECTED_TABLE} WHERE {_quoted(CASE)} = ?")
        if problems:
            raise CaseRefused([
                Diagnostic(Kind.REFUSED_ROW, Span(f"{path}/{table}", row or 1), reason, hints.get((table, row, reason)))
                for table, row, reason in problems
            ])
    document: dict[str, object] = {"case": case}
    reasons: dict[str, str | None] = {}
    some = [name for name, given in batch.shape.items() if given.openness is Openness.SOME]
    if some:
        columns = ", ".join(_quoted(name) for name in some)
        for row in rows(f"SELECT {columns} FROM {_quoted(OPEN_TABLE)} WHERE {_quoted(CASE)} = ?"):
            reasons = dict(zip(some, row, strict=True))
    incomplete = [name for name, reason in reasons.items() if reason == INCOMPLETE]
    for name, given in batch.shape.items():
        relation = program.relations[name]
        attributes = relation.attributes[1:]
        found = []
        if given.has_rows:
            columns = ", ".join([*(_quoted(a.name) for a in attributes),
                                 *([_quoted(UNCERTAIN)] if given.has_uncertain else []), "TRUE"])
            found = rows(f"SELECT {columns} FROM {_quoted(given_table(name))} WHERE {_quoted(CASE)} = ?")
        if not attributes:
            if found or given.openness is Openness.NEVER:
                document[name] = bool(found)
            continue
        is_open = given.openness is Openness.ALWAYS and relation.always_open is None
        is_open = is_open or reasons.get(name) == NOT_STATED
        if not found and (is_open or name in incomplete or relation.is_single):
            continue
        document[name] = [
            {**{a.name: _said(a, value) for a, value in zip(attributes, row, strict=False)},
             **({"uncertain": True} if given.has_uncertain and row[len(attributes)] else {})}
            for row in sorted(found, key=repr)
        ]
    if incomplete:
        document["incomplete"] = incomplete
    return parse_document(document, str(path)) if "request" in document else None


def _said(attribute: Attribute, value: Any) -> object:
    return format_date(int(value)) if attribute.is_date else value

