"""One case of a batch as a document, so that it can be decided and explained like any other."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from policy_kb.batch.shape import AS_STATED, Complete, is_lines
from policy_kb.check.checked import CheckedProgram
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, quoted
from policy_kb.load.documents import Document
from policy_kb.load.nodes import Entry, Form, Mapping, Scalar
from policy_kb.load.values import Known
from policy_kb.source import Span
from policy_kb.text import UnseenCharacterError, normal


def document_from(
    program: CheckedProgram, known: Known, path: Path, case: str, complete: Complete = AS_STATED
) -> Document:
    """The case of this name in a batch: NDJSON, a folder of tables or a database, read by the vocabulary of `program`
    and the rows of its known relations, as a batch reads it. Raises CaseRefused where there is none,
    or where it was rejected."""
    with suppress(UnseenCharacterError):
        case = normal(case)
    if is_lines(path):
        found = _in_lines(path, case, complete)
    else:
        from policy_kb.batch import needs_duckdb

        needs_duckdb()
        from policy_kb.batch.tables import read_case

        found = read_case(program, known, path, case, complete)
    if found is None:
        message = f"there is no case {quoted(case)}"
        raise CaseRefused([Diagnostic(Kind.BAD_DOCUMENT, Span(str(path), 1), message, "check its name")])
    return found


def _in_lines(path: Path, case: str, complete: Complete) -> Document | None:
    from policy_kb.load.cases import named
    from policy_kb.load.documents import read_documents

    for document in read_documents(path):
        if document.is_readable and named(document)[0] == case:
            return _complete(document) if complete.record else document
    return None


def _complete(document: Document) -> Document:
    """The document, saying `record: complete`."""
    given = document.case
    if given.find("record") is not None:
        return document
    entry = Entry("record", given.span, Scalar("complete", Form.PLAIN, given.span))
    return replace(document, case=Mapping((*given.entries, entry), given.span))
