"""Finds the case of a determination in case files, or in the tables of a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from policy_kb.batch.shape import AS_STATED, Complete, is_tables
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, Refused, quoted
from policy_kb.load.cases import check_distinct, named
from policy_kb.load.documents import STANDARD_INPUT, Document, document_at, format_of, read_documents
from policy_kb.record import record
from policy_kb.source import NOWHERE, Span

if TYPE_CHECKING:
    from policy_kb.audit.rules import RuleBook


class CaseFiles:
    """The cases of some files by name. Of each file it is kept where its cases are, and no more than that. `paths` are
    the files to look in, or one folder of tables or a database, which are `complete` as said (`explain --from`); where
    there are none, each determination's own is. `form` as of `read_documents`."""

    def __init__(self, paths: Iterable[Path] = (), complete: Complete = AS_STATED, form: str | None = None):
        self.paths, self.complete, self.form = tuple(paths), complete, form
        self._read: dict[tuple[Path, ...], dict[str, _Place]] = {}

    def find(self, name: object, source: object, book: RuleBook) -> Document:
        """The case of this name; tables are read by the vocabulary of the rules. Raises Refused where there is none, or
        none that can be read."""
        paths = self.paths
        if not paths:
            own = Path(source) if isinstance(source, str) and source else None
            if own is None or not (own.is_file() or own.is_dir()):
                message = f"the determination's case file {quoted(source)} is not there"
                raise CaseRefused([Diagnostic(Kind.UNREADABLE, NOWHERE, message, "name it with --case")])
            paths = (own,)
        if len(paths) == 1 and is_tables(paths[0]):
            return _in_tables(paths[0], name, book, self.complete)
        if paths not in self._read:
            self._read[paths] = _cases(paths, self.form)
        places = self._read[paths]
        # Of one case there is no doubt which is meant: that it has another name is then what is wrong.
        known = next(iter(places)) if len(places) == 1 else name
        found = places[known].read(self.form) if isinstance(known, str) and known in places else None
        if found is None:
            where = ", ".join(map(str, paths))
            message = f"the case file has no case {quoted(name)}"
            raise CaseRefused([Diagnostic(Kind.BAD_DOCUMENT, Span(where, 1), message, "name the file that has it")])
        return found


def _in_tables(path: Path, name: object, book: RuleBook, complete: Complete) -> Document:
    from policy_kb.batch.one_case import document_from

    known = {relation: table.rows for relation, table in book.known({}).items()}
    return document_from(book.program, known, path, name if isinstance(name, str) else "", complete)


@record
class _Place:
    """Where a case is: in a file, on a line that begins at a byte. `digest` is that of its text; a document that can be
    read only once is kept."""

    path: Path
    line: int
    offset: int
    digest: bytes
    kept: Document | None

    @classmethod
    def of(cls, path: Path, document: Document) -> _Place:
        text = document.text
        if text is None or path == STANDARD_INPUT:
            return cls(path, 0, 0, b"", document)
        return cls(path, text.first_line, text.offset, _digest(text.text), None)

    def read(self, form: str | None) -> Document:
        """The case. Refused: a file that was changed since it was looked through."""
        if self.kept is not None:
            return self.kept
        if format_of(self.path, form) == "ndjson":
            found = document_at(self.path, str(self.path), self.offset, self.line)
        else:
            found = next(read_documents(self.path, form=form), None)
        if found is None or found.text is None or _digest(found.text.text) != self.digest:
            message, hint = "the file was changed while it was read", "try again"
            raise CaseRefused([Diagnostic(Kind.UNREADABLE, Span(str(self.path), 1), message, hint)])
        return found


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _cases(paths: tuple[Path, ...], form: str | None) -> dict[str, _Place]:
    """Where the cases of files are, by name. A case without a name is refused, and so is a name that stands twice."""
    found: dict[str, _Place] = {}
    seen: dict[str, Span] = {}
    problems: list[Diagnostic] = []
    for path in paths:
        for document in read_documents(path, form=form):
            name, span = named(document)
            if name is None:
                problems += document.problems or [Diagnostic(Kind.MISSING_RELATION, span, "the case has no name")]
                continue
            try:
                check_distinct([(name, span)], seen)
            except Refused as refused:
                problems += refused.diagnostics
            found[name] = _Place.of(path, document)
    if problems:
        raise CaseRefused(problems)
    return found
