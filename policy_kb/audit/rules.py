"""The rule files of an audit: read, checked and worked out without an engine; what is kept in a cache is not used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from policy_kb.audit.known import known_tables
from policy_kb.audit.statuses import Bodies, Table
from policy_kb.check.checked import CheckedProgram, Phase
from policy_kb.check.constants import check_constants, checked_readings
from policy_kb.check.fixed_names import check_fixed_facts
from policy_kb.check.program import check_program
from policy_kb.check.texts import check_letter_case, check_patterns
from policy_kb.choose.editions import Edition, editions_of, with_ends
from policy_kb.choose.knowledge_base import entry_files
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, Refused, RulesRefused, did_you_mean, listed, quoted
from policy_kb.installed import knowledge_bases
from policy_kb.load.cases import CaseReader
from policy_kb.load.digest import digest_of_files
from policy_kb.load.table_rows import TableRows
from policy_kb.load.tables import read_known_tables
from policy_kb.parse.includes import parse_program
from policy_kb.source import NOWHERE, Files, Span


class RuleBook:
    """The rules of one policy, prepared once. `digest` is the SHA-256 of all its files."""

    def __init__(self, program: CheckedProgram, tables: Mapping[str, TableRows], digest: str):
        self.program, self.tables, self.digest = program, tables, digest
        self.bodies = Bodies(program)
        self._known: dict[tuple[tuple[str, str], ...], dict[str, Table]] = {}
        _refuse(check_patterns(program, tables, {}))
        known = {name: table.rows for name, table in self.known({}).items()}
        _refuse([*check_patterns(program, tables, known), *check_letter_case(program, tables)])
        _refuse([*check_constants(program, known), *check_fixed_facts(program, known)])
        self.reader = CaseReader(program, known)

    @property
    def policy(self) -> str:
        return self.program.phases[0].policy

    @cached_property
    def editions(self) -> dict[str, Edition]:
        """The phases by their names, each until the day on which its own rules say that it ends."""
        known = self.known({})
        return editions_of(self.program, known["covers"].rows if "covers" in known else ())

    def known(self, readings: Mapping[str, str]) -> dict[str, Table]:
        """The rows of every known relation under these readings. CaseRefused: one that the policy does not have."""
        key = tuple(sorted(readings.items()))
        if key not in self._known:
            if key:
                checked_readings({name: table.rows for name, table in self.known({}).items()}, readings)
            self._known[key] = known_tables(self.bodies, self.tables, readings)
        return self._known[key]


def _refuse(problems: list[Diagnostic]) -> None:
    if any(not problem.is_warning for problem in problems):
        raise RulesRefused(problems)


def read_rules(entry: Path) -> RuleBook:
    """The rules of a policy's entry file. Raises RulesRefused with everything wrong in its files."""
    try:
        files = Files()
        program = check_program(*parse_program(entry, files))
        tables, contents = read_known_tables(program, files)
        program = replace(program, read=tables)
        return RuleBook(program, tables, digest_of_files(program, contents))
    except Refused as refused:
        raise RulesRefused(refused.diagnostics) from None


class Shelf:
    """The policies that determinations may name. `rules` is a policy's entry file, or a knowledge base with several;
    None stands for all knowledge bases there are."""

    def __init__(self, rules: Path | None = None):
        self.rules = rules
        self.is_one = rules is not None and not rules.is_dir()
        folders = knowledge_bases() if rules is None else [rules]
        self._unread: Iterator[Path] = iter([rules]) if rules is not None and self.is_one else (
            entry for folder in folders for entry in entry_files(folder))
        self._books: list[RuleBook] = []
        self._broken: RulesRefused | None = None

    def book(self, policy: str, digest: object = None) -> RuleBook:
        """The rules of the policy with this number, those with this digest if there are several editions; or those of
        the one entry file whatever its number. Raises CaseRefused where there is none, RulesRefused where that may
        be because one does not check."""
        while not any(book.policy == policy and book.digest == digest for book in self._books):
            if not self._read_on():
                break
        named = [book for book in self._books if book.policy == policy] or (self._books if self.is_one else [])
        if named:
            return next((book for book in named if book.digest == digest), named[-1])
        if self._broken is not None:
            raise self._broken
        hint = did_you_mean(policy, [book.policy for book in self._books]) or "give the policy's rules with --rules"
        if self._books:
            hint += f"; there is {listed(dict.fromkeys(book.policy for book in self._books), 'and')}"
        message = f"there is no policy of this number: {quoted(policy)}"
        raise CaseRefused([Diagnostic(Kind.NO_POLICY, NOWHERE, message, hint)])

    def ended(self, book: RuleBook, phase: Phase) -> Edition:
        """The edition of a phase, until the next one of its number and payer begins."""
        while self._read_on():
            pass
        editions = with_ends(edition for one in self._books for edition in one.editions.values())
        file = book.editions[phase.name].file
        return next(one for one in editions if one.phase == phase.name and one.file == file)

    def _read_on(self) -> bool:
        """Read the next policy; whether there was one."""
        entry = next(self._unread, None)
        if entry is None:
            return False
        try:
            book = read_rules(entry)
        except RulesRefused as refused:
            if self.is_one:
                raise
            self._broken = self._broken or refused
            return True
        if book.program.phases:
            self._books.append(book)
        elif self.is_one:
            message = "the rule file declares no phase of a policy"
            raise RulesRefused([Diagnostic(Kind.NO_POLICY, Span(str(entry), 1), message, "give a policy's entry")])
        return True
