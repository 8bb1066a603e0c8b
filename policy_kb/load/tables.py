"""Tables: the rows of a relation as lines of text, a delimiter between the columns.

Where the rules declare a delimiter, a table is CSV (RFC 4180): a column may stand in double quotes, and then holds
delimiters, line breaks, and double quotes twice. Elsewhere it has Soufflé's own format, in which nothing is quoted.
What Soufflé passes over in silence (a column too many, a header that names something else) is refused here.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from policy_kb import numbers
from policy_kb.check.checked import Attribute, CheckedProgram, Relation, Table
from policy_kb.diagnostics import CaseRefused, Diagnostic, Hint, Kind, Refused, RulesRefused, listed, quoted
from policy_kb.load.problems import Problems
from policy_kb.load.table_rows import Row, TableRows
from policy_kb.load.values import GREATEST_NUMBER, LEAST_NUMBER, BadValueError, read_days
from policy_kb.outputs import whole_files
from policy_kb.parse.tree import Value
from policy_kb.record import record
from policy_kb.source import Files, Span, real_path
from policy_kb.text import UnseenCharacterError, folded, normal

_NUMBER = re.compile(r" *([+-]?)(?:0x([0-9a-fA-F]+)|0b([01]+)|([0-9]+))")
_FLOAT = re.compile(r" *[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}


def read_table(
    relation: Relation, table: Table, folder: Path, called: str | None = None, files: Files | None = None
) -> TableRows:
    """The rows of `relation` in the file that `table` names, below `folder` wherever links lead. `called` is how
    messages name the file.

    One row a line, the columns in the order of the attributes. With `headers` the first line names them. A relation
    without attributes holds if there is a line `()`. Numbers are decimal, or `0x` and `0b`, of 64 bits; a date is a
    number of days since 1970-01-01 or written `2025-07-15`. An empty column is empty text. Sets of values that
    attributes declare are not checked.

    Raises CaseRefused with all problems, each with its line: a file that cannot be read, a column missing or too many,
    a header that names other attributes, a value that is not of its attribute's type.
    """
    path = folder / table.filename
    source = called or str(path)
    delimiter = _delimiter(table)
    try:
        if not real_path(path).is_relative_to(real_path(folder)):
            message, hint = "the file is not in the folder of the tables", "put the table itself there, not a link"
            raise Refused([Diagnostic(Kind.UNREADABLE, Span(source, 1), message, hint)])
        text = (files or Files()).text(path, source)
    except Refused as refused:
        raise CaseRefused(refused.diagnostics) from None
    except (OSError, ValueError) as problem:
        message = f"cannot be read: {getattr(problem, 'strerror', None) or problem}"
        raise CaseRefused([Diagnostic(Kind.UNREADABLE, Span(source, 1), message, "check the path")]) from None
    return _TableReader(relation, source, text, delimiter, table.is_csv).read(table.headers)


def _delimiter(table: Table) -> str:
    """What stands between the columns. Raises CaseRefused where that cannot be."""
    delimiter = re.sub(r"\\([tnr\\])", lambda match: _ESCAPES[match.group(1)], table.delimiter)
    if delimiter and not set(delimiter) & {'"', "\n", "\r"}:
        return delimiter
    message = "the delimiter is empty" if not delimiter else "a quote or a line break is no delimiter"
    raise CaseRefused([Diagnostic(Kind.BAD_TABLE, table.span, message, r'write `delimiter="\t"`')])


def read_known_tables(program: CheckedProgram, files: Files) -> tuple[dict[str, TableRows], dict[str, bytes]]:
    """The rows of the known tables of a program, and the contents of their files, by relation. Raises RulesRefused with
    everything wrong in them. Of a program that is no policy, one that is not there is passed over: it may get its
    tables from elsewhere, when it is run."""
    rows: dict[str, TableRows] = {}
    contents: dict[str, bytes] = {}
    problems: list[Diagnostic] = []
    for table in program.tables:
        relation, folder = program.relations[table.relation], program.folder_of(table)
        if not relation.is_case and (program.phases or files.exists(folder / table.filename)):
            try:
                rows[table.relation] = read_table(relation, table, folder, table.name, files)
                contents[table.relation] = files.content(folder / table.filename)
            except Refused as refused:
                problems += refused.diagnostics
    if problems:
        raise RulesRefused(problems)
    return rows, contents


@record
class Output:
    """A table to be written: the rows of `relation`, in the file `path`."""

    path: Path
    relation: Relation
    rows: AbstractSet[tuple[Value, ...]]
    delimiter: str = "\t"
    headers: bool = False
    is_csv: bool = False


def write_tables(outputs: Iterable[Output], folder: Path | None = None) -> None:
    """Write tables, each sorted by its values, as Soufflé writes them; none outside of `folder`.

    A float has up to 17 significant digits, those of the nearest binary float (C's `%.17g`); a date is its number; a
    relation without attributes is a line `()` if it holds. Where a table is CSV, text is quoted as it needs to be.
    The files appear complete, and all of them or none. Raises CaseRefused if one cannot be written.
    """
    tables = list(outputs)
    with whole_files([table.path for table in tables], folder) as unfinished:
        for table, file in zip(tables, unfinished, strict=True):
            file.write_text("".join(f"{line}\n" for line in _lines(table)), encoding="utf-8", newline="\n")


def _lines(output: Output) -> Iterator[str]:
    attributes = output.relation.attributes
    joined = _joiner(output.delimiter) if output.is_csv else output.delimiter.join
    if output.headers:
        yield joined([attribute.name for attribute in attributes])
    if attributes:
        for row in sorted(output.rows):
            yield joined([_written(value) for value in row])
    elif output.rows:
        yield "()"


def _written(value: Value) -> str:
    return f"{float(value):.17g}" if isinstance(value, Fraction) else str(value)


def _joiner(delimiter: str) -> Callable[[list[str]], str]:
    """What makes a line of CSV of its columns."""
    special = re.compile('["\r\n]')

    def quoted_column(text: str) -> str:
        # The end of a column may look like the beginning of a delimiter of several signs.
        is_split = (text + delimiter).index(delimiter) < len(text)
        return '"' + text.replace('"', '""') + '"' if is_split or special.search(text) else text

    return lambda columns: delimiter.join(map(quoted_column, columns))


_PLACEHOLDER = "\ue000"
"""Stands for a delimiter of several characters, for the module `csv` knows delimiters of one; no text may hold it."""

Record = tuple[int, list[str]]
"""The number of a row's first line, and its columns."""


class _TableReader:
    def __init__(self, relation: Relation, source: str, text: str, delimiter: str, is_csv: bool):
        self.relation = relation
        self.source = source
        self.lines = text.removesuffix("\n").split("\n") if text else []
        self.delimiter = delimiter
        self.is_csv = is_csv
        self.problems = Problems(self.line_text)
        self.notes = Problems(self.line_text, are_warnings=True)
        self.found = TableRows(source)

    def line_text(self, line: int) -> str | None:
        return self.lines[line - 1].removesuffix("\r") if 0 < line <= len(self.lines) else None

    def read(self, has_header: bool) -> TableRows:
        records = self.quoted_records() if self.is_csv else self.plain_records()
        if has_header:
            self.check_header(next(records, None))
        if self.relation.attributes:
            self.read_rows(records)
        else:
            self.read_truth(records)
        self.problems.refuse()
        return replace(self.found, notes=self.notes.found)

    def plain_records(self) -> Iterator[Record]:
        for number, line in enumerate(self.lines, start=1):
            yield number, line.removesuffix("\r").split(self.delimiter)

    def quoted_records(self) -> Iterator[Record]:
        sign = self.delimiter if len(self.delimiter) == 1 else _PLACEHOLDER
        lines = (f"{line}\n".replace(self.delimiter, sign) for line in self.lines)
        reader = csv.reader(lines, delimiter=sign, strict=True)
        while True:
            number = reader.line_num + 1
            try:
                columns = next(reader, None)
            except csv.Error as problem:
                line = self.line_text(number) or ""
                message = f"a column in quotes is not as CSV has it: {problem}"
                hint = "put a column with a quote or a line break in double quotes, and double each quote inside it"
                self.add(number, 0, len(line), message.replace(_PLACEHOLDER, self.delimiter), hint)
                continue
            if columns is None:
                return
            yield number, [column.replace(sign, self.delimiter) for column in columns] or [""]

    def check_header(self, record: Record | None) -> None:
        names = [attribute.name for attribute in self.relation.attributes]
        hint = f"the first line names the attributes of `{self.relation.name}`: {quoted(self.joined(names), 200)}"
        if record is None:
            self.add(1, 0, 0, "the table has no header", hint)
            return
        line, found = record
        for number, (column, name) in enumerate(zip(found, names, strict=False)):
            if column.strip() != name:
                place = self.places(line, found)[number]
                self.add(line, *place, f"the header says {quoted(column)} where `{name}` is expected", hint)
                return
        if len(found) != len(names) and names:
            whole = len(self.line_text(line) or "")
            self.add(line, 0, whole, f"the header has {_columns(len(found))}, not {len(names)}", hint)

    def read_rows(self, records: Iterable[Record]) -> None:
        attributes, lines, written = self.relation.attributes, self.found.lines, self.found.written
        readers = [_column_reader(attribute) for attribute in attributes]
        spelled = [place for place, attribute in enumerate(attributes) if attribute.any_case]
        for number, columns in records:
            if len(columns) != len(readers):
                self.refuse_columns(number, columns)
                continue
            try:
                row = tuple([read(text) for read, text in zip(readers, columns, strict=True)])
            except BadValueError:
                self.refuse_values(number, columns, readers)
                continue
            if spelled:
                self.take_spelling(row, columns, written)
            if lines.setdefault(row, number) != number:
                message = f"the same row as in line {lines[row]}: a row that is given twice counts once"
                hint = "leave one out, or write what is different"
                self.notes.add(Kind.ROW_TWICE, self.span(number, 0, len(self.line_text(number) or "")), message, hint)

    def take_spelling(self, row: Row, columns: list[str], written: dict[Row, tuple[str | None, ...]]) -> None:
        """Keep the texts of a row whose letter case does not count; of one given twice those that sort first."""
        texts = tuple([
            normal(text) if attribute.any_case and normal(text) != value else None
            for text, value, attribute in zip(columns, row, self.relation.attributes, strict=True)
        ])
        if any(text is not None for text in texts):
            written[row] = min(written.get(row, texts), texts, key=lambda those: [text or "" for text in those])

    def read_truth(self, records: Iterable[Record]) -> None:
        for number, columns in records:
            self.found.lines.setdefault((), number)
            line = self.joined(columns)
            if line != "()":
                message = f"`{self.relation.name}` has no columns; the line says {quoted(line)}"
                hint = f"a line `()` says that `{self.relation.name}` holds, an empty file that it does not"
                self.add(number, 0, len(line), message, hint)

    def refuse_columns(self, line: int, columns: list[str]) -> None:
        names = [attribute.name for attribute in self.relation.attributes]
        if columns == [""]:
            hint = f"remove it; a row of `{self.relation.name}` has {_columns(len(names))}"
            self.add(line, 0, 0, "an empty line", hint)
            return
        message = f"{_columns(len(columns))} where `{self.relation.name}` has {len(names)}"
        sign = {"\t": "a tab", " ": "a space"}.get(self.delimiter, quoted(self.delimiter))
        hint = f"between the columns stands {sign}: {listed(names, 'and')}"
        self.add(line, 0, len(self.line_text(line) or ""), message, hint)

    def refuse_values(self, line: int, columns: list[str], readers: list[Callable[[str], Value]]) -> None:
        for column, read, place in zip(columns, readers, self.places(line, columns), strict=True):
            try:
                read(column)
            except BadValueError as bad:
                self.add(line, *place, bad.message, bad.hint, bad.kind)

    def places(self, line: int, columns: list[str]) -> list[tuple[int, int]]:
        """Where each column stands on the first line of its row, and its length."""
        found, start, text = [], 0, self.line_text(line) or ""
        for column in columns:
            length = len(column)
            if self.is_csv and text[start : start + 1] == '"':
                length += 2 + column.count('"')
            found.append((start, length) if start + length <= len(text) else (0, len(text)))
            start += length + len(self.delimiter)
        return found

    def joined(self, columns: list[str]) -> str:
        return self.delimiter.join(columns)

    def span(self, line: int, start: int, length: int) -> Span:
        return Span(self.source, line, start + 1, start + max(1, length) + 1)

    def add(
        self, line: int, start: int, length: int, message: str, hint: Hint, kind: Kind = Kind.BAD_TABLE
    ) -> None:
        self.problems.add(kind, self.span(line, start, length), message, hint)


def _column_reader(attribute: Attribute) -> Callable[[str], Value]:
    """What turns the text of a column into a value, or raises BadValueError."""
    if attribute.is_date:
        return lambda text: _number(text, attribute) if _NUMBER.fullmatch(text) else read_days(text, attribute, "table")
    if attribute.kind == "number":
        return lambda text: _number(text, attribute)
    if attribute.kind == "float":
        return lambda text: _float(text, attribute)
    return lambda text: _text(text, attribute)


def _text(text: str, attribute: Attribute) -> str:
    try:
        text = normal(text)
    except UnseenCharacterError as unseen:
        message = f"`{attribute.name}` {unseen}: {quoted(text)}"
        raise BadValueError(Kind.UNSEEN_CHARACTER, message, unseen.hint) from None
    return folded(text) if attribute.any_case else text


def _number(text: str, attribute: Attribute) -> int:
    match = _NUMBER.fullmatch(text)
    if not match:
        message = f"`{attribute.name}` is a whole number; the table says {quoted(text)}"
        raise BadValueError(Kind.BAD_TABLE, message, "write a whole number in digits")
    sign, hexadecimal, binary, decimal = match.groups()
    digits, base = (hexadecimal, 16) if hexadecimal else (binary, 2) if binary else (decimal, 10)
    # More digits than these are out of range in every base, and slow to read in decimal.
    value = int(digits.lstrip("0")[:70] or "0", base) * (-1 if sign == "-" else 1)
    if not LEAST_NUMBER <= value <= GREATEST_NUMBER:
        message = f"`{attribute.name}` is out of range; the table says {quoted(text)}"
        raise BadValueError(Kind.BAD_TABLE, message, f"a number lies between {LEAST_NUMBER} and {GREATEST_NUMBER}")
    return value


def _float(text: str, attribute: Attribute) -> Fraction:
    if not _FLOAT.fullmatch(text):
        message = f"`{attribute.name}` is a number; the table says {quoted(text)}"
        raise BadValueError(Kind.BAD_TABLE, message, "write a decimal number, such as `12.5`")
    try:
        return numbers.decimal(text.strip())
    except numbers.BeyondLimits as problem:
        message = f"`{attribute.name}` is beyond the limits; the table says {quoted(text)}"
        raise BadValueError(Kind.BAD_TABLE, message, str(problem)) from None


def _columns(number: int) -> str:
    return f"{number} column{'' if number == 1 else 's'}"
