"""One case of a batch as a document, so that it can be decided and explained like any other."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
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


def lines_of(path: Path, cases: Collection[str]) -> dict[str, int]:
    """The first line of each of some cases of an NDJSON file; without those whose names it writes in an odd way."""
    from policy_kb.load.cases import named
    from policy_kb.load.documents import LONGEST_LINE, document_at

    spelled = {json.dumps(case, ensure_ascii=is_ascii)[1:-1].encode() for case in cases for is_ascii in (True, False)}
    wanted = re.compile(b"|".join(map(re.escape, sorted(spelled))))
    found: dict[str, int] = {}
    with path.open("rb") as file:
        number, offset = 1, 0
        while len(found) < len(cases) and (part := file.readline(LONGEST_LINE)):
            document = document_at(path, str(path), offset, number) if wanted.search(part) else None
            name = named(document)[0] if document is not None and document.is_readable else None
            if name is not None and name in cases:
                found.setdefault(name, number)
            number, offset = number + part.endswith(b"\n"), offset + len(part)
    return found


def _complete(document: Document) -> Document:
    """The document, saying `record: complete`."""
    given = document.case
    if given.find("record") is not None:
        return document
    entry = Entry("record", given.span, Scalar("complete", Form.PLAIN, given.span))
    return replace(document, case=Mapping((*given.entries, entry), given.span))
