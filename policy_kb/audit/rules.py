"""The rule files of an audit: read, checked and worked out without an engine; what is kept in a cache is not used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from policy_kb.audit.known import known_tables
from policy_kb.audit.statuses import Bodies, Table
from policy_kb.check.checked import CheckedProgram
from policy_kb.check.constants import check_constants, checked_readings
from policy_kb.check.fixed_names import check_fixed_facts
from policy_kb.check.program import check_program
from policy_kb.check.texts import check_letter_case, check_patterns
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, Refused, RulesRefused, did_you_mean, listed, quoted
from policy_kb.installed import policy_files
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
    """The policies that determinations may name. `rules` is a policy's entry file, or a folder with several; None
    stands for the policies that come with this program."""

    def __init__(self, rules: Path | None = None):
        self.rules = rules
        self.is_one = rules is not None and not rules.is_dir()
        self._unread: Iterator[Path] = iter(policy_files(rules) if rules is None or rules.is_dir() else [rules])
        self._books: dict[str, RuleBook] = {}

    def book(self, policy: str) -> RuleBook:
        """The rules of the policy with this number, or those of the one entry file whatever its number. Raises
        CaseRefused where there is none, RulesRefused for what is wrong in the files read on the way."""
        while policy not in self._books and not (self.is_one and self._books):
            entry = next(self._unread, None)
            if entry is None:
                hint = did_you_mean(policy, self._books) or "give the policy's rules with --rules"
                if self._books:
                    hint += f"; there is {listed(self._books, 'and')}"
                message = f"there is no policy of this number: {quoted(policy)}"
                raise CaseRefused([Diagnostic(Kind.NO_POLICY, NOWHERE, message, hint)])
            book = read_rules(entry)
            if book.program.phases:
                self._books[book.policy] = book
            elif self.is_one:
                message = "the rule file declares no phase of a policy"
                raise RulesRefused([Diagnostic(Kind.NO_POLICY, Span(str(entry), 1), message, "give a policy's entry")])
        return self._books[policy] if policy in self._books else next(iter(self._books.values()))
