"""A case document -> Facts: every row with its place, and what the case leaves open.

Everything wrong with a case is found before it is refused, once; nothing is partly loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from policy_kb import nothing
from policy_kb.check.checked import Attribute, CheckedProgram, Relation
from policy_kb.choose.editions import Asked
from policy_kb.diagnostics import CaseRefused, Diagnostic, Hint, Kind, did_you_mean, listed, quoted
from policy_kb.load.digest import digest_of
from policy_kb.load.documents import Document, Entry, Form, Mapping, Node, Scalar, Sequence
from policy_kb.load.facts import Facts, Row
from policy_kb.load.nodes import step
from policy_kb.load.problems import Problems
from policy_kb.load.values import BadValueError, Known, Tables, expected, read_value, said, written_text
from policy_kb.nothing import says_nothing
from policy_kb.parse.tree import Value
from policy_kb.source import Span
from policy_kb.text import UnseenCharacterError, normal

MOST_ROWS = 1_000_000
"""Rows of one relation in one case."""

NOT_STATED = "not stated"
INCOMPLETE = "incomplete"
REQUEST = "request"
CHOOSING = ("payer", "policy")
"""Keys of a case that choose among policies."""
TOP_KEYS = ("case", "record", "incomplete", *CHOOSING)
"""Keys of a case that are not relations."""

_NAME = Attribute("case", "Case", "symbol")
_RECORD = Attribute("record", "symbol", "symbol", one_of=("complete",))
_INCOMPLETE = Attribute("incomplete", "relation", "symbol")
_TEXT_FORMS = (Form.PLAIN, Form.QUOTED, Form.TEXT)


def load_case(program: CheckedProgram, known: Known, document: Document) -> Facts:
    """What a document says of one case.

    `known` holds the rows of the known relations (the tables that `@[in(...)]` names). Raises CaseRefused with every
    problem of the document and of the case, each with its place.

    A relation whose key is present is stated, whatever its rows; one whose key is absent is open (`not stated`),
    unless `record: complete` or its `@[closed]` says that there is none; without a `@[required]` one, as `request` is,
    the case is refused. A relation listed in `incomplete` is open whatever else is said of it, which a `@[single]` one
    never is; an `@[always_open]` one is open in every case.
    """
    return CaseReader(program, known).read(document)


def asked(document: Document) -> Asked:
    """What a case says of the policy it is to be decided by, as texts in normal form; what is no text is left out: the
    policy that reads the case says so.

    A document that cannot be read at all raises CaseRefused, and so does a payer or a policy that is no name.
    """
    if not document.is_readable:
        raise CaseRefused(document.problems)
    node = _request(document)
    texts = {} if node is None else {entry.key: _text_at(node, entry.key) for entry in node.entries}
    problems = Problems(document.line_text)
    chosen: dict[str, str] = {}
    for key in CHOOSING:
        entry = document.case.find(key)
        text = _text_at(document.case, key)
        if entry is not None and text is None:
            problems.add(Kind.NO_VALUE, entry.node.span, f"`{key}` names nothing", f"write `{key}: NAME`", key)
        elif text is not None:
            chosen[key] = text
    problems.refuse()
    request = {key: text for key, text in texts.items() if text is not None}
    return Asked(request, chosen.get("payer"), chosen.get("policy"))


def place_of(document: Document, path: str) -> Span:
    """Where `request.drug`, `request` or `payer` stands in a case, or would."""
    key, _, attribute = path.partition(".")
    entry = document.case.find(key)
    if entry is None:
        return document.case.span
    node = _request(document) if attribute else None
    found = node.find(attribute) if node is not None else None
    return found.node.span if found else entry.node.span


def _request(document: Document) -> Mapping | None:
    entry = document.case.find(REQUEST)
    node = entry.node if entry else None
    if isinstance(node, Sequence) and node.items:
        node = node.items[0]
    return node if isinstance(node, Mapping) else None


def named(document: Document) -> tuple[str | None, Span]:
    """The case's name (None where it cannot be read), and its place."""
    entry = document.case.find("case")
    if entry is None:
        return None, document.case.span
    return _text_at(document.case, "case"), entry.node.span


def check_distinct(names: Iterable[tuple[str, Span]], seen: dict[str, Span] | None = None) -> None:
    """Refuse two cases with one name; `names` are those of all files of one command, each with its place.

    `seen` holds the names of earlier calls, and takes up those of this one. Raises CaseRefused with both places of each
    name that stands twice; the second place is the problem's.
    """
    seen = {} if seen is None else seen
    problems = []
    for name, span in names:
        first = seen.setdefault(name, span)
        if first is not span:
            message = f"two cases are named {quoted(name)}"
            hint = f"the other one is at {first}: give each case a name of its own"
            problems.append(Diagnostic(Kind.DUPLICATE_CASE, span, message, hint, "case"))
    if problems:
        raise CaseRefused(problems)


class CaseReader:
    """Reads many cases by one program: what depends on the program alone is prepared once."""

    def __init__(self, program: CheckedProgram, known: Known):
        self.program = program
        self.tables = Tables(known)
        self.inputs = {relation.name: relation for relation in program.inputs()}

    def read(self, document: Document, *, with_hints: bool = True) -> Facts:
        """As `load_case`; a refusal says what to write instead only `with_hints`."""
        if not document.is_readable:
            raise CaseRefused(document.problems)
        return _Case(self, document, with_hints).facts()


class _Case:
    def __init__(self, reader: CaseReader, document: Document, with_hints: bool):
        self.program = reader.program
        self.tables = reader.tables
        self.inputs = reader.inputs
        self.source = document.source
        self.span = document.case.span
        self.entries = {entry.key: entry for entry in document.case.entries}
        self.problems = Problems(document.line_text, with_hints=with_hints)
        self.problems.include(document.problems)
        self.notes = Problems(document.line_text, are_warnings=True)
        self.case = ""

    def facts(self) -> Facts:
        name = self.read_name()
        record = self.read_record()
        incomplete = self.read_incomplete()
        self.case = name
        rows: dict[str, tuple[Row, ...]] = dict.fromkeys(self.inputs, ())
        for entry in self.entries.values():
            if entry.key in self.inputs:
                rows[entry.key] = self.distinct(self.read_rows(self.inputs[entry.key], entry))
            elif entry.key not in TOP_KEYS:
                self.refuse_relation(entry.key, entry.key_span, entry.key)
        open_relations: dict[str, str] = {}
        stated: dict[str, Span] = {}
        for relation in self.inputs.values():
            place = self.place_of(relation, record)
            if relation.always_open is not None:
                open_relations[relation.name] = relation.always_open
            elif relation.name in incomplete:
                open_relations[relation.name] = INCOMPLETE
            elif place is None and relation.is_required:
                hint = f"write `{relation.name}: {_row_outline(relation)}`"
                self.add(Kind.MISSING_RELATION, self.span, f"the case has no `{relation.name}`", hint)
            elif place is None:
                open_relations[relation.name] = NOT_STATED
            else:
                stated[relation.name] = place
        self.problems.refuse()
        digest = digest_of(self.program, name, rows, open_relations)
        return Facts(name, self.source, rows, open_relations, stated, digest, self.notes.found)

    def place_of(self, relation: Relation, record: Span | None) -> Span | None:
        """Where it is said that the case gives all rows of a relation, if it is said."""
        if relation.name in self.entries:
            return self.entries[relation.name].key_span
        if relation.is_required:
            return None
        return record or (relation.span if relation.is_closed else None)

    def add(self, kind: Kind, span: Span, message: str, hint: Hint = None, path: str | None = None) -> None:
        self.problems.add(kind, span, message, hint, path)

    # the keys that are not relations

    def read_name(self) -> str:
        entry = self.entries.get("case")
        if entry is None:
            self.add(Kind.MISSING_RELATION, self.span, "the case has no name", "write `case: NAME` at the top")
            return ""
        return str(self.read_attribute(_NAME, entry.node, "case") or "")

    def read_record(self) -> Span | None:
        """The place of `record: complete`, if the case says so."""
        entry = self.entries.get("record")
        if entry is None:
            return None
        text = self.read_attribute(_RECORD, entry.node, "record")
        start, end = entry.key_span, entry.node.span
        last = end.end if end.line == start.line else start.end
        return Span(start.file, start.line, start.column, last) if text else None

    def read_incomplete(self) -> set[str]:
        """The relations that the case lists as not being the whole story."""
        entry = self.entries.get("incomplete")
        if entry is None:
            return set()
        names = set()
        listing = entry.node
        for number, node in enumerate(listing.items if isinstance(listing, Sequence) else (listing,)):
            path = f"incomplete[{number}]" if isinstance(listing, Sequence) else "incomplete"
            name = self.read_attribute(_INCOMPLETE, node, path)
            if name is None:
                continue
            relation = self.inputs.get(str(name))
            if relation is None:
                self.refuse_relation(str(name), node.span, path)
            elif is_single(relation):
                message = f"`{name}` is never incomplete: a case has one row of it"
                self.add(Kind.NOT_UNCERTAIN, node.span, message, "remove it from `incomplete`", path)
            elif not relation.can_be_listed_incomplete:
                hint = f"leave the key `{name}` out where the answer is not known"
                self.add(Kind.NOT_UNCERTAIN, node.span, f"`{name}` is true or false, never incomplete", hint, path)
            else:
                names.add(str(name))
        return names

    def refuse_relation(self, name: str, span: Span, path: str) -> None:
        declared = self.program.relations.get(name)
        message, otherwise = f"{quoted(name)} is not a relation of a case", f"a case may say {listed(self.inputs)}"
        if declared is not None and declared.is_case:
            message, otherwise = f"`{name}` is decided by the rules, not stated by a case", "remove it"
        hint: Hint = lambda: did_you_mean(name, (*self.inputs, *TOP_KEYS)) or otherwise  # noqa: E731
        if name == "uncertain":
            hint = "`uncertain: true` stands in a row, beside its attributes"
        elif declared is not None and not declared.is_case:
            message, hint = f"`{name}` belongs to the rules: it is the same for every case", "remove it"
        self.add(Kind.UNKNOWN_RELATION, span, message, hint, step("", name) if path == name else path)

    # rows

    def read_rows(self, relation: Relation, entry: Entry) -> list[Row]:
        node, path = entry.node, relation.name
        if relation.arity == 1:
            return self.read_truth_row(relation, node, path)
        if isinstance(node, Scalar) and node.form is not Form.REFUSED and not node.text.strip():
            hint = "write `[]` for none, or leave the key out where it is not known"
            if relation.is_closed:
                hint = "leave the key out, or write `[]`, for none"
            elif relation.is_required:
                hint = f"write `{path}: {_row_outline(relation)}`"
            self.add(Kind.NO_VALUE, node.span, f"`{path}` has no value", hint, path)
            return []
        if not isinstance(node, Sequence):
            row = self.read_row(relation, node, path)
            return [row] if row else []
        if is_single(relation):
            self.check_single(relation, node)
        if len(node.items) > MOST_ROWS:
            message = f"`{path}` has {len(node.items):,} rows"
            self.add(Kind.BAD_DOCUMENT, node.span, message, f"a relation has at most {MOST_ROWS:,} rows", path)
            return []
        rows = (self.read_row(relation, item, f"{path}[{number}]") for number, item in enumerate(node.items))
        return [row for row in rows if row]

    def check_single(self, relation: Relation, node: Sequence) -> None:
        name = relation.name
        if not node.items and relation.is_required:
            hint = f"write `{name}: {_row_outline(relation)}`"
            self.add(Kind.MISSING_RELATION, node.span, f"`{name}` needs its one row", hint, name)
        for number, item in enumerate(node.items[1:], start=1):
            message = f"a second row of `{name}`: a case has one"
            self.add(Kind.SECOND_ROW, item.span, message, "keep the right one", f"{name}[{number}]")

    def read_truth_row(self, relation: Relation, node: Node, path: str) -> list[Row]:
        truth = self.read_truth(node, path)
        return [Row(relation.name, (self.case,), node.span, path)] if truth else []

    def read_truth(self, node: Node, path: str) -> bool | None:
        """The answer of a node that takes `true` or `false`; None, and a problem, where it is neither."""
        name = path.rpartition(".")[2]
        if not isinstance(node, Scalar):
            message, hint = f"`{name}` is true or false; the case gives {_sort(node)}", f"write `{name}: true`"
        elif node.form is Form.REFUSED:
            return None
        elif not node.text.strip():
            hint = f"write `true` or `false`, or leave `{name}` out"
            self.add(Kind.NO_VALUE, node.span, f"`{name}` has no value", hint, path)
            return None
        elif node.text in ("true", "false") and node.form is not Form.TEXT:
            return node.text == "true"
        else:
            is_quoted = node.form is Form.TEXT and node.text in ("true", "false")
            message = f"`{name}` is true or false; the case says {said(node)}"
            hint = "write it without quotes" if is_quoted else "write `true` or `false`"
            if says_nothing(node.text):
                hint = "write `false` for no, and leave the key out where it is not known"
        self.add(Kind.WRONG_TYPE, node.span, message, hint, path)
        return None

    def read_row(self, relation: Relation, node: Node, path: str) -> Row | None:
        """The row that a node says; None, and problems, where there is something wrong."""
        if isinstance(node, Mapping):
            return self.read_mapping_row(relation, node, path)
        if isinstance(node, Scalar) and relation.arity == 2:
            value = self.read_attribute(relation.attributes[1], node, path)
            if value is None:
                return None
            written = _written(relation, [(node, value)])
            return Row(relation.name, (self.case, value), node.span, path, written=written)
        if isinstance(node, Scalar) and node.form is Form.REFUSED:
            return None
        hint = f"write `{_row_outline(relation)}`"
        if isinstance(node, Scalar) and not node.text.strip():
            message = f"a row of `{relation.name}` has no value"
            self.add(Kind.NO_VALUE, node.span, message, f"remove it, or {hint}", path)
        else:
            if isinstance(node, Sequence):
                message = f"a list inside the list of rows of `{relation.name}`"
                hint = f"write the rows in one list, each as `{_row_outline(relation)}`"
            else:
                message = f"a row of `{relation.name}` names its attributes; the case says {said(node)}"
                if says_nothing(node.text) and relation.attributes[1].may_be_none:
                    hint = nothing.HINT
            self.add(Kind.WRONG_TYPE, node.span, message, hint, path)
        return None

    def read_mapping_row(self, relation: Relation, node: Mapping, path: str) -> Row | None:
        by_name = {attribute.name: attribute for attribute in relation.attributes[1:]}
        values: dict[str, tuple[Node, Value]] = {}
        given = set()
        is_uncertain: bool | None = False
        is_refused = False
        for entry in node.entries:
            place = step(path, entry.key)
            if entry.key in by_name:
                given.add(entry.key)
                value = self.read_attribute(by_name[entry.key], entry.node, place)
                if value is not None:
                    values[entry.key] = entry.node, value
            elif entry.key == "uncertain" and is_single(relation):
                message = f"`{relation.name}` is never uncertain: a case has one row of it"
                self.add(Kind.NOT_UNCERTAIN, entry.key_span, message, "remove `uncertain`", place)
                is_refused = True
            elif entry.key == "uncertain":
                is_uncertain = self.read_truth(entry.node, place)
            else:
                self.refuse_attribute(relation, node, entry, place)
                is_refused = True
        missing = [attribute for attribute in relation.attributes[1:] if attribute.name not in given]
        # A misspelt attribute is missing too; that is one mistake and one problem.
        if missing and not is_refused:
            names = listed(attribute.name for attribute in missing)
            hint = f"a row is written `{_row_outline(relation)}`"
            if len(missing) == 1:
                hint = f"add `{missing[0].name}`: {expected(missing[0])}"
            self.add(Kind.MISSING_ATTRIBUTE, node.span, f"a row of `{relation.name}` without {names}", hint, path)
        if is_refused or is_uncertain is None or len(values) < len(by_name):
            return None
        ordered = [values[name] for name in by_name]
        row = self.case, *(value for _, value in ordered)
        return Row(relation.name, row, node.span, path, is_uncertain, _written(relation, ordered))

    def distinct(self, rows: list[Row]) -> tuple[Row, ...]:
        """Each row once, in the order of the values; certain where it is certain anywhere, and written as the one that
        sorts first."""
        by_values: dict[tuple[Value, ...], Row] = {}
        for row in rows:
            first = by_values.setdefault(row.values, row)
            if first is row:
                continue
            kept, other = (row, first) if first.is_uncertain and not row.is_uncertain else (first, row)
            by_values[row.values] = replace(kept, written=min(first.written, row.written, key=_order))
            message = f"the same row as `{kept.path}`: a row that is given twice counts once"
            self.notes.add(Kind.ROW_TWICE, other.span, message, "leave one out, or write what is different", other.path)
        return tuple(by_values[values] for values in sorted(by_values))

    def refuse_attribute(self, relation: Relation, node: Mapping, entry: Entry, path: str) -> None:
        names = [attribute.name for attribute in relation.attributes[1:]]

        def hint() -> str:
            if entry.key == "case":
                return "the case's name stands once, at the top"
            near = did_you_mean(entry.key, [*names, "uncertain"])
            in_quotes = _text_in_quotes(node) if relation.arity == 2 else None
            return near or in_quotes or f"a row is written `{_row_outline(relation)}`"

        message = f"{quoted(entry.key)} is not an attribute of `{relation.name}`"
        self.add(Kind.UNKNOWN_ATTRIBUTE, entry.key_span, message, hint, path)

    def read_attribute(self, attribute: Attribute, node: Node, path: str) -> Value | None:
        """The value a node says; None, and a problem, where it is refused."""
        if not isinstance(node, Scalar):
            message = f"`{attribute.name}` takes one value; the case gives {_sort(node)}"
            hint = f"write {expected(attribute)}"
            if isinstance(node, Mapping):
                hint = _text_in_quotes(node) or hint
            elif attribute not in (_NAME, _RECORD, _INCOMPLETE):
                hint = "write one row for each value"
            self.add(Kind.WRONG_TYPE, node.span, message, hint, path)
            return None
        if node.form is Form.REFUSED:
            return None
        try:
            value = read_value(node, attribute, self.tables)
        except BadValueError as bad:
            self.add(bad.kind, node.span, bad.message, bad.hint, path)
            return None
        written = written_text(node, value, attribute)
        if written is not None and isinstance(value, str) and not attribute.any_case:
            hint = "write it as the table or the declaration does"
            self.notes.add(Kind.READ_AS, node.span, f"{quoted(written)} is read as {quoted(value)}", hint, path)
        return value


def is_single(relation: Relation) -> bool:
    """Whether a case has at most one row of a relation, never uncertain and never incomplete."""
    return relation.is_single


def _written(relation: Relation, values: Iterable[tuple[Node, Value]]) -> tuple[str | None, ...]:
    """`Row.written` for the values of a row behind its case."""
    found = tuple([
        written_text(node, value, attribute)
        if isinstance(node, Scalar) and (attribute.any_case or attribute.kind == "float") else None
        for (node, value), attribute in zip(values, relation.attributes[1:], strict=True)
    ])
    return (None, *found) if any(text is not None for text in found) else ()


def _order(written: tuple[str | None, ...]) -> tuple[str, ...]:
    return tuple(text or "" for text in written)


def _row_outline(relation: Relation) -> str:
    """How a row of a relation is written: `{product: ..., started: ...}`."""
    if relation.arity == 1:
        return "true"
    return "{" + ", ".join(f"{attribute.name}: ..." for attribute in relation.attributes[1:]) + "}"


def _sort(node: Node) -> str:
    return "a list" if isinstance(node, Sequence) else "a mapping"


def _text_in_quotes(node: Mapping) -> str | None:
    """The hint for text with a colon, which an author forgot to put in quotes and so became a mapping."""
    if len(node.entries) != 1 or not isinstance(node.entries[0].node, Scalar):
        return None
    text = f"{node.entries[0].key}: {node.entries[0].node.text}"
    return f'put the text in quotes: `"{quoted(text)[1:-1]}"`'


def _text_at(mapping: Mapping, key: str) -> str | None:
    """The text at a key, in its normal form where it has one; None where there is none."""
    entry = mapping.find(key)
    if entry is None or not isinstance(entry.node, Scalar) or entry.node.form not in _TEXT_FORMS:
        return None
    try:
        return normal(entry.node.text) or None
    except UnseenCharacterError:
        return None
