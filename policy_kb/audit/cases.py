"""Finds the case of a determination in case files, or in the tables of a batch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from policy_kb.batch.shape import AS_STATED, Complete, is_tables
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, Refused, quoted
from policy_kb.load.cases import check_distinct, named
from policy_kb.load.documents import Document, read_documents
from policy_kb.source import NOWHERE, Span

if TYPE_CHECKING:
    from policy_kb.audit.rules import RuleBook


class CaseFiles:
    """The cases of some files by name. Each file is read once, and kept. `paths` are the files to look in, or one
    folder of tables or a database, which are `complete` as said (`explain --from`); where there are none, each
    determination's own is. `form` as of `read_documents`."""

    def __init__(self, paths: Iterable[Path] = (), complete: Complete = AS_STATED, form: str | None = None):
        self.paths, self.complete, self.form = tuple(paths), complete, form
        self._read: dict[tuple[Path, ...], dict[str, Document]] = {}

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
        cases = self._read[paths]
        # Of one case there is no doubt which is meant: that it has another name is then what is wrong.
        found = next(iter(cases.values())) if len(cases) == 1 else cases.get(name) if isinstance(name, str) else None
        if found is None:
            where = ", ".join(map(str, paths))
            message = f"the case file has no case {quoted(name)}"
            raise CaseRefused([Diagnostic(Kind.BAD_DOCUMENT, Span(where, 1), message, "name the file that has it")])
        return found


def _in_tables(path: Path, name: object, book: RuleBook, complete: Complete) -> Document:
    from policy_kb.batch.one_case import document_from

    known = {relation: table.rows for relation, table in book.known({}).items()}
    return document_from(book.program, known, path, name if isinstance(name, str) else "", complete)


def _cases(paths: tuple[Path, ...], form: str | None) -> dict[str, Document]:
    """The cases of files by name. A case without a name is refused, and so is a name that stands twice."""
    found: dict[str, Document] = {}
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
            found[name] = document
    if problems:
        raise CaseRefused(problems)
    return found
