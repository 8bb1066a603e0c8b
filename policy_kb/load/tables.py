"""Tables in Soufflé's formats: the rows of a relation as lines of text, a delimiter between the columns.

Nothing is quoted: a column is all text between two delimiters. What Soufflé passes over in silence (a column too many,
a header that names something else) is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from fractions import Fraction
from pathlib import Path

from policy_kb import numbers
from policy_kb.check.checked import Attribute, CheckedProgram, Relation, Table
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, Refused, RulesRefused, listed, quoted
from policy_kb.load.problems import Problems
from policy_kb.load.values import GREATEST_NUMBER, LEAST_NUMBER, BadValueError, read_days
from policy_kb.outputs import whole_files
from policy_kb.parse.tree import Value
from policy_kb.record import record
from policy_kb.source import Files, Span, real_path

_NUMBER = re.compile(r" *([+-]?)(?:0x([0-9a-fA-F]+)|0b([01]+)|([0-9]+))")
_FLOAT = re.compile(r" *[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}


def read_table(
    relation: Relation, table: Table, folder: Path, called: str | None = None, files: Files | None = None
) -> set[tuple[Value, ...]]:
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
    delimiter = re.sub(r"\\([tnr\\])", lambda match: _ESCAPES[match.group(1)], table.delimiter)
    if not delimiter:
        raise CaseRefused([Diagnostic(Kind.BAD_TABLE, table.span, "the delimiter is empty", r'write `delimiter="\t"`')])
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
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    lines = [line.removesuffix("\r") for line in lines]
    reader = _TableReader(relation, source, lines, delimiter)
    if table.headers:
        reader.check_header()
    rows = reader.rows(1 if table.headers else 0)
    reader.problems.refuse()
    return rows


def read_known_tables(
    program: CheckedProgram, files: Files
) -> tuple[dict[str, set[tuple[Value, ...]]], dict[str, bytes]]:
    """The rows of the known tables of a program, and the contents of their files, by relation. Raises RulesRefused with
    everything wrong in them. Of a program that is no policy, one that is not there is passed over: it may get its
    tables from elsewhere, when it is run."""
    rows: dict[str, set[tuple[Value, ...]]] = {}
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


def write_tables(outputs: Iterable[Output], folder: Path | None = None) -> None:
    """Write tables, each sorted by its values, as Soufflé writes them; none outside of `folder`.

    A float has up to 17 significant digits, those of the nearest binary float (C's `%.17g`); a date is its number; a
    relation without attributes is a line `()` if it holds. Text is written as it is, tabs and line breaks included.
    The files appear complete, and all of them or none. Raises CaseRefused if one cannot be written.
    """
    tables = list(outputs)
    with whole_files([table.path for table in tables], folder) as unfinished:
        for table, file in zip(tables, unfinished, strict=True):
            file.write_text("".join(f"{line}\n" for line in _lines(table)), encoding="utf-8", newline="\n")


def _lines(output: Output) -> Iterator[str]:
    attributes, delimiter = output.relation.attributes, output.delimiter
    if output.headers:
        yield delimiter.join(attribute.name for attribute in attributes)
    if attributes:
        for row in sorted(output.rows):
            yield delimiter.join(_written(value) for value in row)
    elif output.rows:
        yield "()"


def _written(value: Value) -> str:
    return f"{float(value):.17g}" if isinstance(value, Fraction) else str(value)


class _TableReader:
    def __init__(self, relation: Relation, source: str, lines: list[str], delimiter: str):
        self.relation = relation
        self.source = source
        self.lines = lines
        self.delimiter = delimiter
        self.problems = Problems(lambda line: self.lines[line - 1] if 0 < line <= len(self.lines) else None)

    def check_header(self) -> None:
        names = [attribute.name for attribute in self.relation.attributes]
        hint = f"the first line names the attributes of `{self.relation.name}`: {quoted(self.joined(names), 200)}"
        if not self.lines:
            self.add(1, 0, 0, "the table has no header", hint)
            return
        found = self.lines[0].split(self.delimiter) if names else [self.lines[0]]
        for number, (column, name) in enumerate(zip(found, names, strict=False)):
            if column != name:
                start = len(self.joined(found[:number])) + (len(self.delimiter) if number else 0)
                self.add(1, start, len(column), f"the header says {quoted(column)} where `{name}` is expected", hint)
                return
        if len(found) != len(names):
            self.add(1, 0, len(self.lines[0]), f"the header has {_columns(len(found))}, not {len(names)}", hint)

    def rows(self, first: int) -> set[tuple[Value, ...]]:
        attributes = self.relation.attributes
        if not attributes:
            return self.truth_rows(first)
        readers = [_column_reader(attribute) for attribute in attributes]
        rows: set[tuple[Value, ...]] = set()
        for number in range(first, len(self.lines)):
            columns = self.lines[number].split(self.delimiter)
            if len(columns) != len(readers):
                self.refuse_columns(number + 1, columns)
                continue
            try:
                rows.add(tuple([read(text) for read, text in zip(readers, columns, strict=True)]))
            except BadValueError:
                self.refuse_values(number + 1, columns, readers)
        return rows

    def truth_rows(self, first: int) -> set[tuple[Value, ...]]:
        for number, line in enumerate(self.lines[first:], start=first + 1):
            if line != "()":
                message = f"`{self.relation.name}` has no columns; the line says {quoted(line)}"
                hint = f"a line `()` says that `{self.relation.name}` holds, an empty file that it does not"
                self.add(number, 0, len(line), message, hint)
        return {()} if self.lines[first:] else set()

    def refuse_columns(self, line: int, columns: list[str]) -> None:
        names = [attribute.name for attribute in self.relation.attributes]
        if columns == [""]:
            hint = f"remove it; a row of `{self.relation.name}` has {_columns(len(names))}"
            self.add(line, 0, 0, "an empty line", hint)
            return
        message = f"{_columns(len(columns))} where `{self.relation.name}` has {len(names)}"
        sign = {"\t": "a tab", " ": "a space"}.get(self.delimiter, quoted(self.delimiter))
        hint = f"between the columns stands {sign}: {listed(names, 'and')}"
        self.add(line, 0, len(self.lines[line - 1]), message, hint)

    def refuse_values(self, line: int, columns: list[str], readers: list[Callable[[str], Value]]) -> None:
        start = 0
        for column, read in zip(columns, readers, strict=True):
            try:
                read(column)
            except BadValueError as bad:
                self.add(line, start, len(column), bad.message, bad.hint, bad.kind)
            start += len(column) + len(self.delimiter)

    def joined(self, columns: list[str]) -> str:
        return self.delimiter.join(columns)

    def add(
        self, line: int, start: int, length: int, message: str, hint: str | None, kind: Kind = Kind.BAD_TABLE
    ) -> None:
        self.problems.add(kind, Span(self.source, line, start + 1, start + max(1, length) + 1), message, hint)


def _column_reader(attribute: Attribute) -> Callable[[str], Value]:
    """What turns the text of a column into a value, or raises BadValueError."""
    if attribute.is_date:
        return lambda text: _number(text, attribute) if _NUMBER.fullmatch(text) else read_days(text, attribute, "table")
    if attribute.kind == "number":
        return lambda text: _number(text, attribute)
    if attribute.kind == "float":
        return lambda text: _float(text, attribute)
    return str


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
