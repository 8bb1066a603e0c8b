"""Lines of NDJSON -> the rows of their cases, by column.

Lines in the usual shape are decoded by msgspec into the types that the relations declare, and their values are read by
column: each different text once, by the reader of single cases. A line that is not surely in that shape goes to that
reader itself, so that what is accepted and every message are its own.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from json import JSONDecoder
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from policy_kb.batch.openness import WORD_BITS, States
from policy_kb.batch.shape import CASE, UNCERTAIN, given_column
from policy_kb.batch.values import stored
from policy_kb.check.checked import Attribute, CheckedProgram, Relation
from policy_kb.diagnostics import CaseRefused
from policy_kb.load.cases import INCOMPLETE, MOST_ROWS, NOT_STATED, CaseReader, is_single, named
from policy_kb.load.documents import LONGEST_LINE, Document, _document, _line_refused
from policy_kb.load.nodes import DocumentText, Form, Scalar
from policy_kb.load.problems import MOST_PROBLEMS
from policy_kb.load.values import LONGEST_VALUE, BadValueError, Known, Tables, read_value
from policy_kb.parse.tree import Value
from policy_kb.record import record
from policy_kb.source import Span

if TYPE_CHECKING:
    import numpy
    import pyarrow

RECORD = "record"
LINE = "ndjson_line"

_WORD = (1 << WORD_BITS) - 1

_AT_A_TIME = 64
"""Lines that are decoded before their rows are taken apart: decoded, a line takes ten times its size, and should not
leave the processor's cache."""

_MOST_REMEMBERED = 50_000
"""Values of one attribute whose reading is remembered, and their longest text."""
_LONGEST_REMEMBERED = 100

_LONG_NUMBER = re.compile(rb"[-+.0-9eE]{%d}" % (LONGEST_VALUE + 1))
_INEXACT = re.compile(rb"[-+.0-9eE]{16}|[eE]-[0-9]{3}")
"""Where a number is so written, a binary one may not stand for it."""
_BYTE_ORDER = b"\xef\xbb\xbf"
_FLAG = attrgetter(UNCERTAIN)
_NO_SPAN = Span("", 1)
_NAME = Attribute(CASE, "Case", "symbol")


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


def kind_of(attribute: Attribute) -> str:
    """The primitive type of an attribute's values as they are given: dates are whole numbers."""
    return "number" if attribute.is_date else attribute.kind


# the values of one attribute


class _Memo(dict[Any, Value | None]):
    """The values of one attribute by what a JSON text says, which is of the attribute's type; None where the reader of
    single cases is to look at it."""

    def __init__(self, attribute: Attribute, tables: Tables):
        super().__init__()
        self.attribute = attribute
        self.tables = tables
        self.form = Form.TEXT if attribute.is_date or attribute.kind == "symbol" else Form.NUMBER

    def __missing__(self, said: object) -> Value | None:
        text = str(said)
        try:
            value: Value | None = read_value(Scalar(text, self.form, _NO_SPAN), self.attribute, self.tables)
        except BadValueError:
            value = None
        if len(text) <= _LONGEST_REMEMBERED:
            if len(self) >= _MOST_REMEMBERED:
                self.clear()
            self[said] = value
        return value


class _Column:
    """The values of one attribute in a part of a file: what the lines say, then what that is read as."""

    def __init__(self, attribute: Attribute, tables: Tables):
        self.memo = _Memo(attribute, tables)
        self.is_text = self.memo.form is Form.TEXT
        self.kind = kind_of(attribute)
        self.said: list[Any] = []

    def read(self) -> tuple[pyarrow.Array, numpy.ndarray]:
        """The values, NULL where one cannot be read, and a number for each: equal values have the same."""
        import numpy
        import pyarrow

        if self.is_text:
            encoded = pyarrow.array(self.said, pyarrow.string()).dictionary_encode()
            different, places = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
        else:
            numbers: dict[Any, int] = {}
            places = numpy.array([numbers.setdefault(one, len(numbers)) for one in self.said], numpy.int64)
            different = list(numbers)
        self.said = []
        values = [self.memo[one] for one in different]
        same: dict[Value | None, int] = {}
        codes = numpy.array([same.setdefault(value, len(same)) for value in values], numpy.int64)
        return pyarrow.array(map(stored, values), arrow_type(self.kind)).take(pyarrow.array(places)), codes[places]


def arrow_type(kind: str) -> pyarrow.DataType:
    import pyarrow

    if kind == "float":
        return pyarrow.struct([("n", pyarrow.int64()), ("d", pyarrow.int64())])
    return pyarrow.int64() if kind == "number" else pyarrow.string()


# the rows of one relation


class _Nodes(dict[bytes, int]):
    """What lines say of a relation, each different text with a number."""

    def __missing__(self, node: bytes) -> int:
        number = self[node] = len(self)
        return number


@record
class _Taken:
    """What a part of a file says of a relation. Of each row: `at`, its line, counted from the part's first; `values` by
    column; whether it is `uncertain`. Of each decoded line: how many keys it has there, whether it says anything of the
    relation, and whether that is `odd`."""

    at: numpy.ndarray
    values: list[pyarrow.Array]
    uncertain: numpy.ndarray
    keys: numpy.ndarray
    said: numpy.ndarray
    odd: numpy.ndarray


class _Rows:
    """The rows of one relation in a part of a file. Lines that say the same of it are read once."""

    def __init__(self, number: int, relation: Relation, tables: Tables):
        import msgspec

        self.unset = msgspec.UNSET
        self.name, self.bit = relation.name, 1 << number
        self.is_truth = relation.arity == 1
        self.is_single = is_single(relation)
        self.may_be_empty = not relation.is_required
        self.attributes = relation.attributes[1:]
        self.columns = [_Column(attribute, tables) for attribute in self.attributes]
        self.nodes = _Nodes()
        self.numbers: list[int] = []
        if self.is_truth:
            self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(bool).decode
            return
        self.has_floats = any(column.kind == "float" for column in self.columns)
        types = {"number": int, "float": float, "symbol": str}
        own = [str if column.is_text else types[column.kind] for column in self.columns]
        fields: list[Any] = [(f"a{place}", one) for place, one in enumerate(own)]
        if not self.is_single:
            fields.append((UNCERTAIN, bool | msgspec.UnsetType, msgspec.UNSET))
        renamed = {f"a{place}": attribute.name for place, attribute in enumerate(self.attributes)}
        self.row = msgspec.defstruct(f"Row{number}", fields, rename=renamed, forbid_unknown_fields=True, gc=False)
        self.values = [attrgetter(f"a{place}") for place in range(len(own))]
        one = self.row | own[0] if len(own) == 1 else self.row
        self.decode = msgspec.json.Decoder(list[one] | one).decode  # type: ignore[valid-type]

    def take(self, nodes: Iterable[bytes]) -> None:
        """Take up what the next lines say, in JSON; nothing where they do not mention the relation."""
        self.numbers.extend(map(self.nodes.__getitem__, nodes))

    def read(self, lines: numpy.ndarray) -> _Taken:
        """Hand on what was taken up; `lines` are the places of the lines that were."""
        import numpy
        import pyarrow

        found = list(map(self.rows_of, self.nodes))
        numbers = numpy.array(self.numbers, numpy.int64)
        rows = list(chain.from_iterable(rows for rows, _, _ in found))
        size = numpy.array([len(rows) for rows, _, _ in found], numpy.int64)
        keys = numpy.array([keys for _, keys, _ in found], numpy.int64)
        odd = numpy.array([is_odd for _, _, is_odd in found], bool)
        said = numpy.array([bool(node) for node in self.nodes], bool)
        owner = numpy.repeat(numpy.arange(len(found)), size)
        flags = [] if self.is_truth or self.is_single else list(map(_FLAG, rows))
        uncertain = numpy.array([flag is True for flag in flags] or [False] * len(rows), bool)
        values, codes = [], []
        for column, value in zip(self.columns, self.values if not self.is_truth else (), strict=True):
            column.said.extend(map(value, rows))
            array, same = column.read()
            if array.null_count:
                odd[owner[array.is_null().to_numpy(zero_copy_only=False)]] = True
            values.append(array)
            codes.append(same)
        if not self.is_truth and _has_twins(owner, codes):
            # A row given twice is given once, certain where it is certain anywhere.
            kept: dict[tuple[int, ...], int] = {}
            for place, row in enumerate(zip(owner.tolist(), *(one.tolist() for one in codes), strict=True)):
                first = kept.setdefault(row, place)
                uncertain[first] &= uncertain[place]
            places = numpy.array(list(kept.values()), numpy.int64)
            owner, uncertain = owner[places], uncertain[places]
            values = [one.take(pyarrow.array(places)) for one in values]
            size = numpy.bincount(owner, minlength=len(found))
        # The rows of each line: those of what it says.
        starts, own = numpy.cumsum(size) - size, size[numbers]
        offsets = numpy.repeat(starts[numbers] - (numpy.cumsum(own) - own), own)
        places = offsets + numpy.arange(len(offsets))
        taken = _Taken(
            numpy.repeat(lines, own), [one.take(pyarrow.array(places)) for one in values], uncertain[places],
            keys[numbers], said[numbers], odd[numbers],
        )
        self.nodes.clear()
        self.numbers = []
        return taken

    def rows_of(self, node: bytes) -> tuple[list[Any], int, bool]:
        """The rows of what a line says, how many keys that has, and whether it is odd."""
        if not node:
            return [], 0, False
        try:
            found = self.decode(node)
        except (ValueError, RecursionError):
            return [], 0, True
        if self.is_truth:
            return [None] * found, 1, False
        if self.has_floats and _INEXACT.search(node):
            return [], 0, True
        rows = found if isinstance(found, list) else [found]
        if self.is_single and len(rows) != 1 and (rows or not self.may_be_empty):
            return [], 0, True
        keys = 1
        for place, row in enumerate(rows):
            if row.__class__ is not self.row:
                rows[place] = self.row(row)
            else:
                keys += len(self.columns) + (not self.is_single and _FLAG(row) is not self.unset)
        return rows, keys, False


def _has_twins(at: numpy.ndarray, codes: Iterable[numpy.ndarray]) -> bool:
    """Whether a line has a row twice; `at` is in order."""
    import numpy

    if len(at) < 2 or not (several := at[1:] == at[:-1]).any():
        return False
    several = numpy.concatenate([[False], several]) | numpy.concatenate([several, [False]])
    keys, size = at[several], int(at[-1]) + 1
    for one in codes:
        number = int(one.max()) + 1 if len(one) else 1
        if size * number >= 2**63:
            keys = numpy.unique(keys, return_inverse=True)[1]
            size = len(keys)
        keys, size = keys * number + one[several], size * number
    return len(numpy.unique(keys)) < len(keys)


# lines


class Odd(Exception):  # noqa: N818
    """A line is not surely in the usual shape."""


class LineReader:
    """Reads lines by one program. `source` is how messages name the file; `record_complete` takes every case as one
    that says `record: complete`."""

    def __init__(self, program: CheckedProgram, known: Known, source: str, record_complete: bool):
        import msgspec

        self.source = source
        self.record_complete = record_complete
        self.cases = CaseReader(program, known)
        inputs = list(program.inputs())
        self.rows = [_Rows(number, one, self.cases.tables) for number, one in enumerate(inputs)]
        self.bits = {rows.name: rows.bit for rows in self.rows}
        self.listable = {one.name: self.bits[one.name] for one in inputs if one.can_be_listed_incomplete}
        self.may_be_open = sum(self.bits[one.name] for one in inputs if not one.is_closed and not one.is_required)
        self.words = States(inputs).words
        self.name = _Memo(_NAME, self.cases.tables)
        unset = msgspec.UnsetType
        fields: list[Any] = [
            ("name", str),
            (RECORD, Literal["complete"] | unset, msgspec.UNSET),
            (INCOMPLETE, list[str] | str | unset, msgspec.UNSET),
        ]
        nothing = msgspec.Raw(b"")
        for number, relation in enumerate(inputs):
            fields.append((f"r{number}", msgspec.Raw) if relation.is_required else (f"r{number}", msgspec.Raw, nothing))
        renamed = {"name": CASE, **{f"r{number}": rows.name for number, rows in enumerate(self.rows)}}
        case = msgspec.defstruct("Case", fields, rename=renamed, forbid_unknown_fields=True, kw_only=True, gc=False)
        self.unset = msgspec.UNSET
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(case).decode
        self.parts: Callable[[Any], tuple[Any, ...]] = msgspec.structs.astuple

    def read(self, block: bytes, first: int) -> Found:
        """What stands in whole lines, of which the first has the number `first`; all its lines have a number."""
        lines = block.split(b"\n")
        if block.endswith(b"\n"):
            lines.pop()
        if first == 1 and lines:
            lines[0] = lines[0].removeprefix(_BYTE_ORDER)
        with _without_collector():
            return _Part(self, lines, first, _colons(block, len(lines))).found()


class _Part:
    """Some lines, of which the first has the number `first`; elsewhere they are counted from 0.

    Of each line: its name, the relations that are open in it and those it lists as incomplete (as bits), and how many
    keys it has if none stands twice. `odd` lines are not surely in the usual shape.
    """

    def __init__(self, reader: LineReader, lines: list[bytes], first: int, colons: numpy.ndarray):
        import numpy

        self.reader = reader
        self.lines = lines
        self.first = first
        self.colons = colons
        self.names: list[str | None] = [None] * len(lines)
        self.open = [0] * len(lines)
        self.incomplete = [0] * len(lines)
        self.keys = numpy.zeros(len(lines), numpy.int64)
        self.is_complete = [False] * len(lines)
        self.blank: set[int] = set()
        self.odd: set[int] = set()
        self.refused: set[int] = set()
        self.rejected: list[tuple[str | None, int, str, str | None]] = []
        self.added: dict[str, list[tuple[int, tuple[Value, ...], bool]]] = {}
        self.decoded: list[int] = []

    def found(self) -> Found:
        import numpy

        for start in range(0, len(self.lines), _AT_A_TIME):
            self.decode(range(start, min(start + _AT_A_TIME, len(self.lines))))
        places = numpy.array(self.decoded, numpy.int64)
        taken = {rows.name: rows.read(places) for rows in self.reader.rows}
        stated = numpy.zeros((len(self.reader.words), len(places)), numpy.int64)
        for rows in self.reader.rows:
            own = taken[rows.name]
            self.keys[places] += own.keys
            self.odd.update(places[own.odd].tolist())
            word, bit = divmod(rows.bit.bit_length() - 1, WORD_BITS)
            stated[word] |= own.said.astype(numpy.int64) << bit
        for word, own_word in enumerate(stated):
            may_be_open = self.reader.may_be_open >> word * WORD_BITS & _WORD
            for number, bits in zip(self.decoded, (may_be_open & ~own_word).tolist(), strict=True):
                if not self.is_complete[number]:
                    self.open[number] |= bits << word * WORD_BITS
        for number in (self.colons != self.keys).nonzero()[0].tolist():
            if number not in self.odd and number not in self.blank and self.may_repeat(number):
                self.odd.add(number)
        for number in sorted(self.odd):
            self.read_odd(self.lines[number], number)
        return self.as_tables(taken)

    def decode(self, numbers: range) -> None:
        """Decode these lines, and take up what they say."""
        reader, lines = self.reader, self.lines
        decode, parts = reader.decode, reader.parts
        cases = []
        for number in numbers:
            line = lines[number]
            try:
                if line[:1] != b"{" or len(line) > LONGEST_VALUE or b"\\" in line:
                    self.look_at(line)
                case = parts(decode(line))
            except _Blank:
                self.blank.add(number)
            except (Odd, ValueError, RecursionError):
                self.odd.add(number)
            else:
                self.take(number, *case[:3])
                self.decoded.append(number)
                cases.append(case[3:])
        for rows, nodes in zip(reader.rows, zip(*cases, strict=True), strict=bool(cases)):
            rows.take(map(bytes, nodes))

    def look_at(self, line: bytes) -> None:
        """Raise Odd or _Blank where a line must not be decoded."""
        if line[:1] != b"{":
            text = _decoded(line)
            if isinstance(text, str) and not text.strip() and not _is_too_long(text):
                raise _Blank
            raise Odd
        # A number of so many digits is refused, and half of a character, which only an escape can write.
        if len(line) > MOST_ROWS or (len(line) > LONGEST_VALUE and _LONG_NUMBER.search(line)):
            raise Odd
        if b"\\ud" in line or b"\\uD" in line:
            raise Odd

    def take(self, number: int, name: str, record: Any, listed: Any) -> None:
        """Take up what a line says of the case as such."""
        reader, unset = self.reader, self.reader.unset
        if not (name.isascii() and name.isprintable() and name.strip() and len(name) <= LONGEST_VALUE):
            if reader.name[name] is None:
                self.odd.add(number)
            name = str(reader.name[name])
        self.names[number] = name
        self.keys[number] += 1 + (record is not unset) + (listed is not unset)
        self.is_complete[number] = reader.record_complete or record is not unset
        if listed is not unset:
            for relation in [listed] if isinstance(listed, str) else listed:
                bit = reader.listable.get(relation)
                if bit is None:
                    self.odd.add(number)
                else:
                    self.incomplete[number] |= bit
            self.open[number] = self.incomplete[number]

    def may_repeat(self, number: int) -> bool:
        """Whether one of the keys of a line may stand there twice, which decoding does not tell.

        Every key has its colon: where there are no more keys than colons outside of texts, none does.
        """
        line = self.lines[number]
        if self.colons[number] - line.count(b'"other: ') == self.keys[number]:
            return False
        try:
            _decode_pairs(line.decode(), 0)
        except Odd:
            return True
        return False

    def read_odd(self, line: bytes, number: int) -> None:
        """Read a line as a case by itself."""
        reader = self.reader
        self.names[number], self.open[number], self.incomplete[number] = None, 0, 0
        document = document_of(_decoded(line), reader.source, self.first + number)
        try:
            # Of more problems than these no hint is shown.
            facts = reader.cases.read(document, with_hints=len(self.rejected) < MOST_PROBLEMS)
        except CaseRefused as refused:
            self.names[number] = name = named(document)[0]
            self.refused.add(number)
            for problem in refused.diagnostics:
                reason = f"`{problem.path}`: {problem.message}" if problem.path else problem.message
                self.rejected.append((name, self.first + number, reason, problem.hint))
            return
        self.names[number] = facts.case
        for relation, rows in facts.rows.items():
            self.added.setdefault(relation, []).extend((number, row.values[1:], row.is_uncertain) for row in rows)
        reasons = [(reader.bits[relation], why) for relation, why in facts.open.items()]
        self.incomplete[number] = sum(bit for bit, why in reasons if why == INCOMPLETE)
        self.open[number] = sum(bit for bit, why in reasons if why != NOT_STATED or not reader.record_complete)

    def as_tables(self, taken: dict[str, _Taken]) -> Found:
        import pyarrow

        numbers = range(len(self.lines))
        accepted = [number not in self.refused and number not in self.blank for number in numbers]
        lines = pyarrow.array(range(self.first, self.first + len(numbers)), pyarrow.int64())
        names = pyarrow.array(self.names, pyarrow.string())
        cases = {LINE: lines, CASE: names, "is_accepted": pyarrow.array(accepted, pyarrow.bool_())}
        for state, masks in (("open", self.open), ("incomplete", self.incomplete)):
            for word in self.reader.words:
                bits = [mask >> word * WORD_BITS & _WORD for mask in masks]
                cases[f"{state}{word}"] = pyarrow.array(bits, pyarrow.int64())
        rows = {}
        for relation in self.reader.rows:
            at, values, uncertain = self.of_relation(relation, taken[relation.name])
            if not len(at):
                continue
            places = pyarrow.array(at)
            made = {LINE: lines.take(places), CASE: names.take(places)}
            made |= {given_column(place): value for place, value in enumerate(values, start=1)}
            made[UNCERTAIN] = pyarrow.array(uncertain)
            rows[relation.name] = pyarrow.table(made)
        found = pyarrow.table(cases)
        if None in self.names:
            found = found.filter(names.is_valid())
        return Found(len(numbers) - len(self.blank), found, rows, rejections(self.rejected))

    def of_relation(self, relation: _Rows, taken: _Taken) -> tuple[Any, list[Any], Any]:
        """The rows of a relation that are accepted: with those of lines that were read as a case by itself."""
        import numpy
        import pyarrow

        at, values, uncertain = taken.at, taken.values, taken.uncertain
        if self.odd and len(at):
            kept = ~numpy.isin(at, numpy.array(list(self.odd)))
            if not kept.all():
                at, uncertain = at[kept], uncertain[kept]
                values = [one.filter(pyarrow.array(kept)) for one in values]
        added = self.added.get(relation.name)
        if added:
            at = numpy.concatenate([at, [number for number, _, _ in added]])
            uncertain = numpy.concatenate([uncertain, [flag for _, _, flag in added]]).astype(bool)
            values = [
                pyarrow.concat_arrays([one, pyarrow.array([stored(row[place]) for _, row, _ in added], one.type)])
                for place, one in enumerate(values)
            ]
        return at, values, uncertain


class _Blank(Exception):  # noqa: N818
    """A line holds nothing."""


def _colons(block: bytes, lines: int) -> numpy.ndarray:
    """How many colons each line of a block has."""
    import numpy

    signs = numpy.frombuffer(block, numpy.uint8)
    ends = (signs == ord("\n")).nonzero()[0][: lines - 1]
    places = (signs == ord(":")).nonzero()[0]
    return numpy.diff(numpy.searchsorted(places, ends), prepend=0, append=len(places))


def _without_repetition(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise Odd


_decode_pairs: Callable[[str, int], Any] = vars(JSONDecoder(object_pairs_hook=_without_repetition))["scan_once"]


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


def rejections(rows: Sequence[tuple[str | None, int, str, str | None]]) -> pyarrow.Table:
    """A table of what is wrong: `case`, `row`, `reason` and `hint`."""
    import pyarrow

    kinds = {CASE: pyarrow.string(), "row": pyarrow.int64(), "reason": pyarrow.string(), "hint": pyarrow.string()}
    columns = zip(*rows, strict=True) if rows else ((),) * len(kinds)
    arrays = [pyarrow.array(column, kind) for column, kind in zip(columns, kinds.values(), strict=True)]
    return pyarrow.table(arrays, names=list(kinds))


def _decoded(line: bytes) -> str | bytes:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line


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
