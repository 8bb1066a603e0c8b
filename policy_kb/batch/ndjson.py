"""Cases from an NDJSON file, one a line, into the tables that `policy_kb.batch.shape` describes.

Lines in the usual shape are read column by column: the standard library decodes them, and every value is read once by
the reader of single cases and remembered. A line that is not surely in that shape goes to that reader itself, so that
what is accepted and every message are its own. Large files are read by several processes.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import compress
from json import JSONDecoder
from operator import itemgetter
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from policy_kb.batch.shape import CASE, OPEN_TABLE, UNCERTAIN, Given, Openness, Shape, given_table
from policy_kb.batch.tables import MOST_PROBLEMS, REJECTED_TABLE, Batch, Problem, connect
from policy_kb.batch.values import DUCKDB
from policy_kb.check.checked import Attribute, CheckedProgram, Relation
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, quoted
from policy_kb.load.cases import INCOMPLETE, MOST_ROWS, NOT_STATED, CaseReader, is_single, named
from policy_kb.load.documents import LONGEST_LINE, Document, _document, _line_refused
from policy_kb.load.nodes import DocumentText, Form, Scalar
from policy_kb.load.values import LONGEST_VALUE, BadValueError, Known, Tables, read_value
from policy_kb.parse.tree import Value
from policy_kb.record import record
from policy_kb.source import Span

if TYPE_CHECKING:
    import pyarrow
    from duckdb import DuckDBPyConnection

BLOCK = 16 * 1024 * 1024
"""Bytes of the file that are read at a time, and the last line to its end."""

MOST_WORKERS = 16

_MOST_WAITING = 64 * 1024 * 1024
"""Bytes of rows that wait to be inserted together."""

RECORD, COMPLETE = "record", "complete"

_LINE, _CASES, _SECOND, _PROBLEMS = "ndjson_line", "ndjson_cases", "ndjson_second", "ndjson_problems"
_PART = "ndjson_part"
_TYPES = {"number": "BIGINT", "float": "DOUBLE", "symbol": "VARCHAR"}
_AT_ONCE = 20_000
_AT_A_TIME = 128
"""Lines that are decoded before their rows are read by column: decoded, a line takes ten times its size, and should
not leave the processor's cache."""

_MOST_REMEMBERED = 50_000
"""Values of one attribute whose reading is remembered, and their longest text."""
_LONGEST_REMEMBERED = 100

_WORD_BITS = 62
"""Relations whose openness stands in one whole number."""
_WORD = (1 << _WORD_BITS) - 1

_NO_SPAN = Span("", 1)
_NAME = Attribute(CASE, "Case", "symbol")

_name, _text = DUCKDB.name, DUCKDB.text


@record
class Found:
    """What stands in a part of a file.

    `read` counts its lines that are not blank. `cases`: `line`, `case` and `is_accepted` of every line whose name can
    be read, and a bit for each relation that is open in `open0`, `open1`, ..., that is listed as incomplete in
    `incomplete0`, ... `rows`: by relation, `line`, `case`, the attributes and `uncertain` of the accepted cases.
    `rejected`: `case`, `row`, `reason` and `hint` of everything that is wrong with the other lines.
    """

    read: int
    cases: pyarrow.Table
    rows: dict[str, pyarrow.Table]
    rejected: pyarrow.Table


class _Odd(Exception):  # noqa: N818
    """A line is not surely in the usual shape."""


# the values of one attribute


class _Memo(dict[object, Value | None]):
    """The values of one attribute by what a JSON text says; None where the reader of single cases is to look at it."""

    def __init__(self, attribute: Attribute, tables: Tables):
        super().__init__()
        self.attribute = attribute
        self.tables = tables
        self.is_text = attribute.is_date or attribute.kind == "symbol"
        # True equals 1, and so does 1.0: only what is of these classes may be looked up.
        self.classes = {str} if self.is_text else {int} if attribute.kind == "number" else {int, float}

    def __missing__(self, said: object) -> Value | None:
        if said.__class__ not in self.classes:
            return None
        scalar = Scalar(str(said), Form.TEXT if self.is_text else Form.NUMBER, _NO_SPAN)
        try:
            value = read_value(scalar, self.attribute, self.tables)
        except BadValueError:
            value = None
        if len(scalar.text) <= _LONGEST_REMEMBERED:
            if len(self) >= _MOST_REMEMBERED:
                self.clear()
            self[said] = value
        return value

    def read(self, said: list[Any]) -> list[Value | None]:
        if self.is_text:
            with suppress(TypeError):  # a list or a mapping cannot be looked up
                return list(map(self.__getitem__, said))
        if not self.classes.issuperset(map(type, said)):
            said = [one if one.__class__ in self.classes else None for one in said]
        return list(map(self.__getitem__, said))


# the rows of one relation


class _Rows:
    """The rows of one relation in a part of the file, collected by line and then read by column.

    `at` and `plain_at` say which line a row stands in, counted from the part's first.
    """

    def __init__(self, relation: Relation, tables: Tables):
        self.is_truth = relation.arity == 1
        self.is_single = is_single(relation)
        self.may_be_empty = not self.is_truth and (relation.is_closed or not self.is_single)
        self.attributes = relation.attributes[1:]
        self.width = len(self.attributes)
        self.names = {attribute.name for attribute in self.attributes}
        self.getters = [itemgetter(attribute.name) for attribute in self.attributes]
        self.memos = [_Memo(attribute, tables) for attribute in self.attributes]
        # Takes what a line gives (something, if it may give nothing), and tells how many keys that has if all of its
        # rows are certain. Raises _Odd.
        collectors = {1: self.collect_truth, 2: self.collect_plain}
        self.collect: Callable[[Any, int], int] = collectors.get(relation.arity, self.collect_rows)
        self.rows: list[Any] = []
        self.at: list[int] = []
        self.uncertain: list[bool] = []
        self.plain: list[Any] = []
        self.plain_at: list[int] = []

    def collect_truth(self, node: Any, line: int) -> int:
        if node.__class__ is not bool:
            raise _Odd
        if node:
            self.at.append(line)
        return 0

    def collect_rows(self, node: Any, line: int) -> int:
        if node.__class__ is dict:
            self.rows.append(node)
            self.at.append(line)
            return self.width
        if node.__class__ is not list:
            raise _Odd
        number = len(node)
        if number == 1:
            self.rows.append(node[0])
            self.at.append(line)
            return self.width
        if self.is_single:
            raise _Odd
        self.rows += node
        self.at += [line] * number
        return self.width * number

    def collect_plain(self, node: Any, line: int) -> int:
        if node.__class__ is not list:
            node = [node]
        elif self.is_single and len(node) != 1:
            raise _Odd
        keys = 0
        for item in node:
            if item.__class__ is dict:
                self.rows.append(item)
                self.at.append(line)
                keys += 1
            else:
                self.plain.append(item)
                self.plain_at.append(line)
        return keys

    def read(self, keys: list[int], odd: set[int]) -> _Columns:
        """Hand on what was collected, by column; `keys` (of each line) and `odd` (lines) are brought up to date."""
        self.uncertain = [False] * len(self.at)
        if not self.is_truth:
            self.read_flags(keys, odd)
        try:
            columns = self.columns()
        except KeyError:  # as many keys as attributes, but others
            self.keep([self.is_row(row) for row in self.rows], odd)
            columns = self.columns()
        at, uncertain = self.at + self.plain_at, self.uncertain
        if self.plain:
            columns[0] += self.memos[0].read(self.plain)
            uncertain += [False] * len(self.plain)
        for values in columns:
            if None in values:
                odd.update(line for line, value in zip(at, values, strict=True) if value is None)
        for collected in (self.rows, self.at, self.plain, self.plain_at):
            collected.clear()
        return _Columns(at, columns, uncertain)

    def columns(self) -> list[list[Value | None]]:
        """The values of the rows that are mappings. Raises KeyError."""
        return [memo.read(list(map(get, self.rows))) for memo, get in zip(self.memos, self.getters, strict=True)]

    def read_flags(self, keys: list[int], odd: set[int]) -> None:
        """Find the uncertain rows. Rows that are no mapping of the right size are removed, their lines odd."""
        if not {dict}.issuperset(map(type, self.rows)):
            self.keep([row.__class__ is dict for row in self.rows], odd)
        sizes = list(map(len, self.rows))
        if sizes.count(self.width) == len(sizes):
            return
        kept = [True] * len(sizes)
        for number, size in enumerate(sizes):
            if size == self.width:
                continue
            row = self.rows[number]
            if self.is_row(row):
                self.uncertain[number] = row[UNCERTAIN]
                keys[self.at[number]] += 1
            else:
                kept[number] = False
        self.keep(kept, odd)

    def is_row(self, row: dict[str, Any]) -> bool:
        """Whether a row has all attributes, and nothing else but perhaps `uncertain`."""
        if not self.names <= row.keys():
            return False
        is_flagged = len(row) == self.width + 1 and row.get(UNCERTAIN).__class__ is bool and not self.is_single
        return len(row) == self.width or is_flagged

    def keep(self, kept: list[bool], odd: set[int]) -> None:
        """Remove the other rows; their lines become odd."""
        if not all(kept):
            odd.update(line for line, is_kept in zip(self.at, kept, strict=True) if not is_kept)
            self.rows[:] = compress(self.rows, kept)
            self.at[:] = compress(self.at, kept)
            self.uncertain = list(compress(self.uncertain, kept))


class _Columns:
    """The rows of one relation by column; `at` says which line of the part each stands in."""

    def __init__(self, at: list[int], values: list[list[Any]], uncertain: list[bool]):
        self.at = at
        self.values = values
        self.uncertain = uncertain

    def add(self, line: int, values: Sequence[Value], is_uncertain: bool) -> None:
        self.at.append(line)
        self.uncertain.append(is_uncertain)
        for column, value in zip(self.values, values, strict=True):
            column.append(value)

    def extend(self, other: _Columns) -> None:
        self.at += other.at
        self.uncertain += other.uncertain
        for column, values in zip(self.values, other.values, strict=True):
            column += values

    def without(self, lines: set[int]) -> None:
        """Remove the rows of these lines."""
        if not self.at or lines.isdisjoint(self.at):
            return
        kept = [line not in lines for line in self.at]
        self.at = list(compress(self.at, kept))
        self.values = [list(compress(column, kept)) for column in self.values]
        self.uncertain = list(compress(self.uncertain, kept))

    def make_distinct(self) -> None:
        """Each row of a line once, certain where it is certain anywhere."""
        number = len(self.at)
        if len(set(self.at)) == number or len(set(zip(self.at, self.values[0], strict=True))) == number:
            return
        if len(set(zip(self.at, *self.values, strict=True))) == number:
            return
        flags: dict[tuple[Any, ...], bool] = {}
        for row, flag in zip(zip(self.at, *self.values, strict=True), self.uncertain, strict=True):
            flags[row] = flag and flags.get(row, True)
        at, *values = (list(column) for column in zip(*flags, strict=True))
        self.at, self.values, self.uncertain = at, values, list(flags.values())


# lines


class LineReader:
    """Reads lines by one program. `source` is how messages name the file; `record_complete` takes every case as one
    that says `record: complete`."""

    def __init__(self, program: CheckedProgram, known: Known, source: str, record_complete: bool):
        self.source = source
        self.record_complete = record_complete
        self.cases = CaseReader(program, known)
        inputs = list(program.inputs())
        self.bits = {relation.name: 1 << number for number, relation in enumerate(inputs)}
        self.rows = {one.name: _Rows(one, self.cases.tables) for one in inputs}
        self.collectors = {
            name: (self.bits[name], rows.may_be_empty, rows.collect) for name, rows in self.rows.items()
        }
        self.required = [one.name for one in inputs if is_single(one) and not one.is_closed]
        self.listable = {one.name: self.bits[one.name] for one in inputs if one.can_be_listed_incomplete}
        self.may_be_open = sum(self.bits[one.name] for one in inputs if not one.is_closed and not is_single(one))
        self.words = range((len(inputs) + _WORD_BITS - 1) // _WORD_BITS)
        self.decode = _scanner()
        self.decode_long = _scanner(parse_float=_short_float)
        self.decode_pairs = _scanner(object_pairs_hook=_without_repetition)

    def read(self, block: bytes, first: int) -> Found:
        """What stands in whole lines, of which the first has the number `first`; all its lines have a number."""
        lines: Sequence[str | bytes]
        try:
            lines = block.decode().split("\n")
        except UnicodeDecodeError:
            lines = [_decoded(line) for line in block.split(b"\n")]
        if block.endswith(b"\n"):
            lines = lines[:-1]
        if first == 1 and lines and isinstance(lines[0], str):
            lines = [lines[0].removeprefix("\ufeff"), *lines[1:]]
        with _without_collector():
            return _Part(self, lines, first).found()

    def read_name(self, said: object) -> str:
        if said.__class__ is not str:
            raise _Odd
        try:
            return str(read_value(Scalar(str(said), Form.TEXT, _NO_SPAN), _NAME, self.cases.tables))
        except BadValueError:
            raise _Odd from None

    def may_repeat(self, line: Any, keys: int) -> bool:
        """Whether one of the keys of a line stands there twice, which decoding does not tell.

        Every key has its colon: there are no more of them than colons outside of texts.
        """
        colons = line.count(":")
        if colons == keys or colons - line.count('"other: ') == keys:
            return False
        try:
            self.decode_pairs(line, 0)
        except _Odd:
            return True
        return False


class _Part:
    """Some lines, of which the first has the number `first`; elsewhere they are counted from 0.

    Of each line: its name, the relations that are open in it and those it lists as incomplete (as bits), and how many
    keys it has if none stands twice. `odd` lines are not surely in the usual shape.
    """

    def __init__(self, reader: LineReader, lines: Sequence[str | bytes], first: int):
        self.reader = reader
        self.lines = lines
        self.first = first
        self.names: list[str | None] = [None] * len(lines)
        self.open = [0] * len(lines)
        self.incomplete = [0] * len(lines)
        self.keys = [0] * len(lines)
        self.blank: set[int] = set()
        self.odd: set[int] = set()
        self.refused: set[int] = set()
        self.rejected: list[tuple[str | None, int, str, str | None]] = []
        self.columns = {name: _Columns([], [[] for _ in rows.names], []) for name, rows in reader.rows.items()}

    def found(self) -> Found:
        for start in range(0, len(self.lines), _AT_A_TIME):
            self.read(range(start, min(start + _AT_A_TIME, len(self.lines))))
        return self.as_tables()

    def read(self, numbers: range) -> None:
        """Read these lines."""
        lines = self.lines
        for number in numbers:
            try:
                self.collect(lines[number], number)
            except (_Odd, ValueError, StopIteration, RecursionError):
                self.odd.add(number)
        columns = {name: rows.read(self.keys, self.odd) for name, rows in self.reader.rows.items()}
        may_repeat = self.reader.may_repeat
        for number in numbers:
            if number not in self.odd and number not in self.blank and may_repeat(lines[number], self.keys[number]):
                self.odd.add(number)
        for name, found in columns.items():
            found.without(self.odd)
            found.make_distinct()
            self.columns[name].extend(found)
        for number in sorted(self.odd):
            self.read_odd(lines[number], number)
        self.odd.clear()

    def collect(self, line: Any, number: int) -> None:
        """Take up a line, unless it is blank. Raises _Odd, or what a decoder raises, where it is not surely in the
        usual shape; some of its rows may have been collected by then."""
        reader = self.reader
        if line.__class__ is not str:
            raise _Odd
        if line[:1] != "{" and not line.strip() and not _is_too_long(line):
            self.blank.add(number)
            return
        if len(line) > MOST_ROWS:
            raise _Odd
        decode = reader.decode if len(line) <= LONGEST_VALUE else reader.decode_long
        document, end = decode(line, 0)
        if document.__class__ is not dict or (end != len(line) and line[end:].strip(" \t\r")):
            raise _Odd
        # Half of a character is refused; only an escape can write one.
        if "\\" in line and ("\\ud" in line or "\\uD" in line):
            raise _Odd
        name, stated, keys, incomplete, is_complete = None, 0, len(document), 0, reader.record_complete
        collector_of = reader.collectors.get
        for key, node in document.items():
            collector = collector_of(key)
            if collector is not None:
                bit, may_be_empty, collect = collector
                stated |= bit
                if node != [] or not may_be_empty:
                    keys += collect(node, number)
            elif key == CASE:
                name = reader.read_name(node)
            elif key == RECORD:
                if node != COMPLETE:
                    raise _Odd
                is_complete = True
            elif key == INCOMPLETE:
                for relation in node if node.__class__ is list else [node]:
                    if relation.__class__ is not str or relation not in reader.listable:
                        raise _Odd
                    incomplete |= reader.listable[relation]
            else:
                raise _Odd
        for required in reader.required:
            if required not in document:
                raise _Odd
        if name is None:
            raise _Odd
        self.names[number] = name
        self.keys[number] = keys
        self.incomplete[number] = incomplete
        self.open[number] = incomplete if is_complete else incomplete | reader.may_be_open & ~stated

    def read_odd(self, line: str | bytes, number: int) -> None:
        """Read a line as a case by itself."""
        reader = self.reader
        document = document_of(line, reader.source, self.first + number)
        try:
            facts = reader.cases.read(document)
        except CaseRefused as refused:
            self.names[number] = name = named(document)[0]
            self.refused.add(number)
            for problem in refused.diagnostics:
                reason = f"`{problem.path}`: {problem.message}" if problem.path else problem.message
                self.rejected.append((name, self.first + number, reason, problem.hint))
            return
        self.names[number] = facts.case
        for relation, rows in facts.rows.items():
            for row in rows:
                self.columns[relation].add(number, row.values[1:], row.is_uncertain)
        reasons = [(reader.bits[relation], why) for relation, why in facts.open.items()]
        self.incomplete[number] = sum(bit for bit, why in reasons if why == INCOMPLETE)
        self.open[number] = sum(bit for bit, why in reasons if why != NOT_STATED or not reader.record_complete)

    def as_tables(self) -> Found:
        import pyarrow

        numbers = range(len(self.lines))
        accepted = [number not in self.refused and number not in self.blank for number in numbers]
        lines = pyarrow.array(range(self.first, self.first + len(numbers)), pyarrow.int64())
        names = pyarrow.array(self.names, pyarrow.string())
        cases = {_LINE: lines, CASE: names, "is_accepted": pyarrow.array(accepted, pyarrow.bool_())}
        for state, masks in (("open", self.open), ("incomplete", self.incomplete)):
            for word in self.reader.words:
                bits = [mask >> word * _WORD_BITS & _WORD for mask in masks]
                cases[f"{state}{word}"] = pyarrow.array(bits, pyarrow.int64())
        rows = {}
        for name, columns in self.columns.items():
            if not columns.at:
                continue
            at = pyarrow.array(columns.at, pyarrow.int64())
            made = {_LINE: lines.take(at), CASE: names.take(at)}
            for attribute, values in zip(self.reader.rows[name].attributes, columns.values, strict=True):
                made[attribute.name] = pyarrow.array(values, _arrow_type(attribute))
            made[UNCERTAIN] = pyarrow.array(columns.uncertain, pyarrow.bool_())
            rows[name] = pyarrow.table(made)
        found = pyarrow.table(cases)
        if None in self.names:
            found = found.filter(names.is_valid())
        return Found(len(numbers) - len(self.blank), found, rows, _rejected(self.rejected))


def document_of(line: str | bytes, source: str, number: int) -> Document:
    """One line of an NDJSON file, without its end, as a document; `bytes` are no UTF-8 text."""
    if _is_too_long(line):
        message = f"the line has more than {LONGEST_LINE // 2**20} MiB"
        return _line_refused(source, number, message, "one case a line")
    if isinstance(line, bytes):
        return _line_refused(source, number, "not UTF-8 text", "save the file as UTF-8")
    return _document(DocumentText(line.rstrip("\r"), source, number), is_yaml=False)


def _is_too_long(line: str | bytes) -> bool:
    if len(line) * 4 <= LONGEST_LINE:
        return False
    return len(line if isinstance(line, bytes) else line.encode()) > LONGEST_LINE


def _rejected(rows: Sequence[tuple[str | None, int, str, str | None]]) -> pyarrow.Table:
    import pyarrow

    kinds = {CASE: pyarrow.string(), "row": pyarrow.int64(), "reason": pyarrow.string(), "hint": pyarrow.string()}
    columns = zip(*rows, strict=True) if rows else ((),) * len(kinds)
    arrays = [pyarrow.array(column, kind) for column, kind in zip(columns, kinds.values(), strict=True)]
    return pyarrow.table(arrays, names=list(kinds))


def _arrow_type(attribute: Attribute) -> pyarrow.DataType:
    import pyarrow

    return {"number": pyarrow.int64, "float": pyarrow.float64, "symbol": pyarrow.string}[_kind(attribute)]()


def _kind(attribute: Attribute) -> str:
    """The primitive type of an attribute's values as they are given: dates are whole numbers."""
    return "number" if attribute.is_date else attribute.kind


def _decoded(line: bytes) -> str | bytes:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line


def _scanner(**hooks: Any) -> Callable[[str, int], tuple[Any, int]]:
    """Decodes the value that begins at an offset exactly; gives the offset behind it too.

    `NaN` and infinities are decoded: no attribute takes them.
    """
    scan: Callable[[str, int], tuple[Any, int]] = vars(JSONDecoder(**hooks))["scan_once"]
    return scan


def _short_float(text: str) -> float:
    if len(text) > LONGEST_VALUE:
        raise _Odd
    return float(text)


def _without_repetition(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise _Odd


@contextmanager
def _without_collector() -> Iterator[None]:
    """Without looking for garbage in cycles, of which decoding makes none, again and again."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# files


def read_ndjson(
    program: CheckedProgram,
    known: Known,
    path: Path,
    *,
    connection: DuckDBPyConnection | None = None,
    record_complete: bool = False,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    block: int = BLOCK,
) -> Batch:
    """The batch in an NDJSON file: on every line that is not blank, a case in the format of single cases.

    `known` holds the rows of the known relations. `record_complete`: every case is taken as one that says `record:
    complete`. The prepared tables are made in `connection`, which is opened in memory if it is not given; the file is
    not needed afterwards. `progress` is told, now and then, how many bytes have been read, and of how many. The file is
    read `block` bytes at a time, by so many processes (`workers`) beside this one: if it is not said, as many as there
    are processors for a large file, and none for a small one.

    A case that would be refused by itself is rejected, and listed by the number of its line; so are, of several cases
    with one name, all but the first. In the answer, `table` is the name of the file, and lines without a readable name
    are `unnamed`. Raises CaseRefused where the file cannot be read or holds no case.
    """
    start = (program, known, str(path), record_complete)
    reader = LineReader(*start)
    tables = _Tables(program, reader.words, connection if connection is not None else connect(), path)
    size = _size(path)
    if workers is None:
        workers = min(os.cpu_count() or 1, MOST_WORKERS) if size > 2 * block and sys.executable else 0
    blocks = _blocks(path, block)
    every = _by_workers(blocks, path, start, workers) if workers else _here(blocks, reader)
    with closing(every) as parts, tables.filling():
        for found, end in parts:
            tables.add(found)
            if progress is not None:
                progress(min(end, size), size)
    return tables.batch()


@record
class _Block:
    """Whole lines of a file: where in the file they begin, and the number of the first."""

    content: bytes
    start: int
    first: int


def _size(path: Path) -> int:
    with _reading(path):
        if not path.exists():
            raise _refused(path, "no such file", "check the path")
        if not path.is_file():
            raise _refused(path, "not a regular file", "give a file, not a folder, a pipe or a device")
        return path.stat().st_size


def _blocks(path: Path, size: int) -> Iterator[_Block]:
    """The lines of a file, some `size` bytes at a time. Of a line that is too long only the beginning is given, which
    is too long as well."""
    first = start = 0
    with _reading(path), path.open("rb") as file:
        while content := file.read(size):
            if not content.endswith(b"\n"):
                content += file.readline(LONGEST_LINE + 1)
            is_whole = content.endswith(b"\n")
            while not is_whole and (rest := file.readline(LONGEST_LINE)):
                is_whole = rest.endswith(b"\n")
            yield _Block(content, start, first + 1)
            first += content.count(b"\n") + (not content.endswith(b"\n"))
            start = file.tell()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as problem:
        raise _refused(path, f"cannot be read: {getattr(problem, 'strerror', None) or problem}", None) from None


def _refused(path: Path, message: str, hint: str | None) -> CaseRefused:
    return CaseRefused([Diagnostic(Kind.UNREADABLE, Span(str(path), 1), message, hint)])


def _here(blocks: Iterable[_Block], reader: LineReader) -> Generator[tuple[Found, int], None, None]:
    """What stands in each block, and where in the file it ends."""
    for one in blocks:
        yield reader.read(one.content, one.first), one.start + len(one.content)


# processes


class _Worker:
    """A process that reads blocks of a file. It ends with this one."""

    _START = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); " \
             "from policy_kb.batch.ndjson import serve; serve()"

    def __init__(self, path: Path, start: tuple[CheckedProgram, Known, str, bool]):
        self.path = path
        # Not `multiprocessing`: its processes import the main program anew, or inherit the locks of threads.
        command = [sys.executable, "-I", "-c", self._START]
        with _reading(path):
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.start = start
        self.is_started = False

    def read(self, start: int, length: int, first: int) -> Found:
        requests, replies = self.process.stdin, self.process.stdout
        assert requests is not None
        assert replies is not None
        try:
            if not self.is_started:
                self.is_started = True
                pickle.dump(sys.path, requests, protocol=5)
                pickle.dump((str(self.path.resolve()), self.start), requests, protocol=5)
            pickle.dump((start, length, first), requests, protocol=5)
            requests.flush()
            reply = pickle.load(replies)
        except (OSError, EOFError, pickle.UnpicklingError):
            hint = "there may be too little memory: try again, or split the file"
            raise _refused(self.path, "a process that reads the file has ended before its time", hint) from None
        if isinstance(reply, Found):
            return reply
        raise _refused(self.path, f"cannot be read: {reply}", None)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def serve() -> None:
    """What a process of `_Worker` does until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    requests = sys.stdin.buffer
    # What a library may print must not come between the replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    path, start = pickle.load(requests)
    reader = LineReader(*start)
    with suppress(EOFError, BrokenPipeError):
        while True:
            place, length, first = pickle.load(requests)
            reply: Found | str
            try:
                reply = reader.read(_content(path, place, length), first)
            except OSError as problem:
                reply = problem.strerror or str(problem)
            pickle.dump(reply, replies, protocol=5)
            replies.flush()


def _content(path: str, place: int, length: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(place)
        return file.read(length)


def _by_workers(
    blocks: Iterable[_Block], path: Path, start: tuple[CheckedProgram, Known, str, bool], number: int
) -> Generator[tuple[Found, int], None, None]:
    """As `_here`, by so many processes, in the order of the file."""
    idle: SimpleQueue[_Worker] = SimpleQueue()
    workers = []

    def read(place: int, length: int, first: int) -> Found:
        worker = idle.get()
        try:
            return worker.read(place, length, first)
        finally:
            idle.put(worker)

    waiting: deque[tuple[Future[Found], int]] = deque()
    threads = ThreadPoolExecutor(number)
    try:
        for _ in range(number):
            workers.append(_Worker(path, start))
            idle.put(workers[-1])
        for one in blocks:
            length = len(one.content)
            waiting.append((threads.submit(read, one.start, length, one.first), one.start + length))
            if len(waiting) > number + 1:
                future, end = waiting.popleft()
                yield future.result(), end
        while waiting:
            future, end = waiting.popleft()
            yield future.result(), end
    finally:
        for worker in workers:
            worker.end()
        threads.shutdown(cancel_futures=True)


# tables


class _Tables:
    """The prepared tables, while they are filled: every row has the number of its line as well."""

    def __init__(self, program: CheckedProgram, words: range, connection: DuckDBPyConnection, path: Path):
        self.inputs = list(program.inputs())
        self.words = words
        self.connection = connection
        self.path = path
        self.read = 0
        self.filled: dict[str, Relation] = {}
        self.waiting: dict[str, list[pyarrow.Table]] = {}
        self.waiting_bytes = 0
        states = "".join(f", open{word} BIGINT, incomplete{word} BIGINT" for word in words)
        self.create(_CASES, f"{_LINE} BIGINT, {_name(CASE)} VARCHAR, is_accepted BOOLEAN{states}")
        columns = f'{_name(CASE)} VARCHAR, "row" BIGINT, reason VARCHAR, hint VARCHAR'
        self.create(_PROBLEMS, columns)

    def create(self, table: str, columns: str) -> None:
        self.connection.execute(f"CREATE OR REPLACE TABLE {_name(table)} ({columns})")

    @contextmanager
    def filling(self) -> Iterator[None]:
        """One transaction: after each, a database may compress what it holds, again and again."""
        self.connection.begin()
        try:
            yield
            self.insert()
            self.connection.commit()
        except BaseException:
            self.connection.rollback()
            raise

    def add(self, found: Found) -> None:
        self.read += found.read
        self.wait(_CASES, found.cases)
        self.wait(_PROBLEMS, found.rejected)
        for relation in self.inputs:
            name = relation.name
            if name not in found.rows:
                continue
            if name not in self.filled:
                self.filled[name] = relation
                columns = "".join(f", {_name(one.name)} {_TYPES[_kind(one)]}" for one in relation.attributes[1:])
                columns = f"{_LINE} BIGINT, {_name(CASE)} VARCHAR{columns}, {UNCERTAIN} BOOLEAN"
                self.create(given_table(name), columns)
            self.wait(given_table(name), found.rows[name])
        if self.waiting_bytes > _MOST_WAITING:
            self.insert()

    def wait(self, table: str, rows: pyarrow.Table) -> None:
        if rows.num_rows:
            self.waiting.setdefault(table, []).append(rows)
            self.waiting_bytes += rows.nbytes

    def insert(self) -> None:
        """Insert what waits: many rows at once, as an insertion of its own takes longer than a thousand rows."""
        import pyarrow

        for table, rows in self.waiting.items():
            self.connection.register(_PART, pyarrow.concat_tables(rows))
            self.connection.execute(f"INSERT INTO {_name(table)} SELECT * FROM {_PART}")
            self.connection.unregister(_PART)
        self.waiting.clear()
        self.waiting_bytes = 0

    def batch(self) -> Batch:
        if not self.read:
            hint = "write one case a line"
            problem = Diagnostic(Kind.BAD_DOCUMENT, Span(str(self.path), 1), "the file holds no case", hint)
            raise CaseRefused([problem])
        self.reject_second_cases()
        shape = self.prepare()
        case = _name(CASE)
        self.connection.execute(
            f"CREATE OR REPLACE TABLE {REJECTED_TABLE} AS SELECT {case}, {_text(self.path.name)} AS {_name('table')}, "
            f'"row", reason FROM {_PROBLEMS} ORDER BY "row", rowid'
        )
        problems = tuple(
            Problem(self.path.name, row, name, reason, hint)
            for name, row, reason, hint in self.rows(
                f'SELECT {case}, "row", reason, hint FROM {_PROBLEMS} ORDER BY "row", rowid LIMIT {MOST_PROBLEMS}'
            )
        )
        [(rejected, unnamed)] = self.rows(
            f'SELECT count(DISTINCT "row") FILTER (WHERE {case} IS NOT NULL), '
            f'count(DISTINCT "row") FILTER (WHERE {case} IS NULL) FROM {_PROBLEMS}'
        )
        self.connection.execute(f"DROP TABLE {_PROBLEMS}")
        return Batch(self.connection, shape, self.read - unnamed, rejected, unnamed, problems)

    def rows(self, query: str) -> list[Any]:
        return self.connection.execute(query).fetchall()

    def reject_second_cases(self) -> None:
        """Remove every case with the name of an earlier one, whether or not that was accepted."""
        case = _name(CASE)
        self.connection.execute(
            f"CREATE OR REPLACE TABLE {_SECOND} AS SELECT {_LINE}, {case}, first FROM {_CASES} JOIN "
            f"(SELECT {case}, min({_LINE}) AS first FROM {_CASES} GROUP BY {case} HAVING count(*) > 1) USING ({case}) "
            f"WHERE {_LINE} > first ORDER BY {_LINE}"
        )
        last = 0
        while second := self.rows(
            f"SELECT {_LINE}, {case}, first FROM {_SECOND} WHERE {_LINE} > {last} ORDER BY {_LINE} LIMIT {_AT_ONCE}"
        ):
            self.wait(_PROBLEMS, _rejected([
                (name, line, f"two cases are named {quoted(name)}",
                 f"the other one is at {Span(str(self.path), first)}: give each case a name of its own")
                for line, name, first in second
            ]))
            last = second[-1][0]
            self.insert()
        if last:
            for table in (_CASES, *map(given_table, self.filled)):
                self.connection.execute(
                    f"DELETE FROM {_name(table)} WHERE {_LINE} IN (SELECT {_LINE} FROM {_SECOND})"
                )
        self.connection.execute(f"DROP TABLE {_SECOND}")

    def prepare(self) -> Shape:
        """Give the tables the columns of the shape."""
        shape = {}
        openness = self.openness()
        for relation in self.inputs:
            name, has_uncertain = relation.name, False
            if name in self.filled:
                table = _name(given_table(name))
                [(has_uncertain,)] = self.rows(f"SELECT coalesce(bool_or({UNCERTAIN}), FALSE) FROM {table}")
                self.connection.execute(f"ALTER TABLE {table} DROP COLUMN {_LINE}")
                if not has_uncertain:
                    self.connection.execute(f"ALTER TABLE {table} DROP COLUMN {UNCERTAIN}")
            shape[name] = Given(name in self.filled, has_uncertain, openness[name])
        self.connection.execute(f"DROP VIEW IF EXISTS {OPEN_TABLE}")
        some = [number for number, one in enumerate(self.inputs) if openness[one.name] is Openness.SOME]
        if some:
            self.prepare_open(some)
        return shape

    def openness(self) -> dict[str, Openness]:
        states = [f"open{word}" for word in self.words], [f"incomplete{word}" for word in self.words]
        picked = [f"coalesce(bit_or({one}), 0)" for column in zip(*states, strict=True) for one in column]
        picked += [f"coalesce(bit_and({column}), 0)" for column in states[0]]
        [found] = self.rows(f"SELECT {', '.join(picked)} FROM {_CASES} WHERE is_accepted")
        found = [int(one) for one in found]
        number = len(self.words)
        any_open, incomplete, all_open = (
            sum(mask << word * _WORD_BITS for word, mask in enumerate(masks))
            for masks in (found[: 2 * number : 2], found[1 : 2 * number : 2], found[2 * number :])
        )
        openness = {}
        for bit, relation in enumerate(self.inputs):
            if is_single(relation):
                state = Openness.NEVER
            elif relation.always_open is not None or all_open & ~incomplete & 1 << bit:
                state = Openness.ALWAYS
            else:
                state = Openness.SOME if any_open & 1 << bit else Openness.NEVER
            openness[relation.name] = state
        return openness

    def prepare_open(self, some: Sequence[int]) -> None:
        """Tell which of these relations (by number) are open in a case, and why."""
        columns, masks = "", [0 for _ in self.words]
        for number in some:
            word, bit = number // _WORD_BITS, 1 << number % _WORD_BITS
            masks[word] |= bit
            columns += f", CASE WHEN incomplete{word} & {bit} <> 0 THEN {_text(INCOMPLETE)} " \
                       f"WHEN open{word} & {bit} <> 0 THEN {_text(NOT_STATED)} END AS {_name(self.inputs[number].name)}"
        is_open = " OR ".join(f"open{word} & {mask} <> 0" for word, mask in enumerate(masks))
        self.connection.execute(
            f"CREATE OR REPLACE VIEW {OPEN_TABLE} AS SELECT {_name(CASE)}{columns} FROM {_CASES} "
            f"WHERE is_accepted AND ({is_open})"
        )
