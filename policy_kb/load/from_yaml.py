"""YAML text -> located nodes.

The nodes are built from the parser's events. Nothing is resolved on the way, so a plain `no` or `2025-07-15` is the
text it looks like; and nothing is composed, so aliases are seen before anything is multiplied by them.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from policy_kb.diagnostics import Kind, quoted
from policy_kb.load.nodes import (
    DEEPEST_NESTING,
    DocumentText,
    Entry,
    Form,
    Mapping,
    Node,
    Scalar,
    Sequence,
    UnreadableDocumentError,
    step,
)

TOO_DEEP, _FLAT = f"nested more than {DEEPEST_NESTING} deep", "a case is a mapping of lists of rows"
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_HINTS = {
    "mapping values are not allowed": 'put text that holds `: ` in quotes, such as `"other: NAME"`',
    "cannot start any token": "indent with spaces, and put text that begins with a special sign in quotes",
    "unexpected end of stream": "a quote is not closed",
    "did not find expected ',' or ']'": "close the list with `]`, and separate its items by commas",
    "did not find expected ',' or '}'": (
        'close the mapping with `}`, and put text that holds `: ` in quotes, such as `"other: NAME"`'
    ),
    "did not find expected '-' indicator": "indent all items of the list alike",
    "could not find expected ':'": "write `key: value`",
    "did not find expected key": "indent all keys of a mapping alike",
}


def read_yaml(document: DocumentText) -> Node | None:
    """The one value of a YAML text, None where the text is empty.

    Raises UnreadableDocumentError, with the reason in the document's problems.
    """
    events = _events(document)
    reader = _Reader(document, events)
    root: Node | None = None
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            if root is not None:
                raise document.unreadable(
                    _start(event), "a second document begins", "one case a file, or NDJSON with one case a line"
                )
        elif isinstance(event, yaml.NodeEvent):
            root = reader.node(event, "", 1)
    return root


class _Reader:
    def __init__(self, document: DocumentText, events: Iterator[yaml.Event]):
        self.document = document
        self.events = events

    def node(self, event: yaml.NodeEvent, path: str, depth: int) -> Node:
        is_refused = self.refuse_marks(event, path)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, is_refused)
        if isinstance(event, yaml.AliasEvent):
            return Scalar("", Form.REFUSED, self.document.span(_start(event), _end(event)))
        if depth > DEEPEST_NESTING:
            raise self.document.unreadable(
                _start(event), TOO_DEEP, _FLAT, path
            )
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(event, path, depth)
        return self.mapping(event, path, depth)

    def scalar(self, event: yaml.ScalarEvent, is_refused: bool) -> Scalar:
        span = self.document.span(_start(event), _end(event))
        if is_refused:
            return Scalar("", Form.REFUSED, span)
        if event.style:
            return Scalar(event.value, Form.QUOTED, span)
        if event.value in _NULLS:
            return Scalar("", Form.NOTHING, span)
        return Scalar(event.value, Form.PLAIN, span)

    def sequence(self, start: yaml.NodeEvent, path: str, depth: int) -> Sequence:
        items: list[Node] = []
        for event in self.events:
            if not isinstance(event, yaml.NodeEvent):
                return Sequence(tuple(items), self.document.span(_start(start), _end(event)))
            items.append(self.node(event, f"{path}[{len(items)}]", depth + 1))
        raise UnreadableDocumentError  # the parser ends no stream inside a list

    def mapping(self, start: yaml.NodeEvent, path: str, depth: int) -> Mapping:
        entries: dict[str, Entry] = {}
        for event in self.events:
            if not isinstance(event, yaml.NodeEvent):
                return Mapping(tuple(entries.values()), self.document.span(_start(start), _end(event)))
            key = self.key(event, path, depth)
            value = next(self.events)
            assert isinstance(value, yaml.NodeEvent)
            node = self.node(value, step(path, key or "?"), depth + 1)
            if key is not None:
                span = self.document.span(_start(event), _end(event))
                self.document.enter(entries, Entry(key, span, node), path)
        raise UnreadableDocumentError

    def key(self, event: yaml.NodeEvent, path: str, depth: int) -> str | None:
        """The text of a key; None where it is refused."""
        node = self.node(event, path, depth + 1)
        if isinstance(node, Scalar):
            if node.form is Form.REFUSED:
                return None
            if node.form is Form.PLAIN and node.text == "<<":
                message, hint = "`<<` merges another mapping into this one", "write its keys out"
            else:
                return node.text
        else:
            message, hint = "a key must be plain text", "write `relation: rows`"
        self.document.problems.add(Kind.BAD_DOCUMENT, node.span, message, hint, path or None)
        return None

    def refuse_marks(self, event: yaml.NodeEvent, path: str) -> bool:
        """Report anchors, aliases and tags; whether there is one."""
        text = self.document.text
        if isinstance(event, yaml.AliasEvent):
            message, hint = f"{quoted(text[_start(event):_end(event)])} stands for another part", "write that part out"
        elif event.anchor is not None:
            message, hint = f"{quoted('&' + event.anchor)} names this part", "remove it, and write repeated parts out"
        elif getattr(event, "tag", None) is not None:
            tag = text[_start(event) : _start(event) + 80].split(None, 1)[:1]
            message = f"{quoted(tag[0] if tag else '!')} is a tag"
            hint = "remove it: values are read by the type of their attribute"
        else:
            return False
        self.document.problem(Kind.BAD_DOCUMENT, _start(event), _end(event), message, hint, path)
        return True


def _events(document: DocumentText) -> Iterator[yaml.Event]:
    """The parser's events. What it refuses is added to the document's problems, and UnreadableDocumentError raised."""
    try:
        parser = _parser(document.text)
        while True:
            event = parser.get_event()
            if event is None or isinstance(event, yaml.StreamEndEvent):
                return
            yield event
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        reason = problem.problem or problem.context or "it cannot be read"
        if "nesting depth" in reason:  # the parser looks ahead, and has a limit of its own
            raise document.unreadable(mark.index if mark else 0, TOO_DEEP, _FLAT) from None
        hint = next((hint for words, hint in _HINTS.items() if words in reason), None)
        raise document.unreadable(mark.index if mark else 0, f"not YAML: {reason}", hint) from None
    except yaml.reader.ReaderError as problem:
        # Its position counts bytes in one parser and characters in the other, so the sign itself is looked for.
        sign = chr(problem.character) if isinstance(problem.character, int) else ""
        at = max(0, document.text.find(sign)) if sign else 0
        raise document.unreadable(at, f"not YAML: the text holds the control character {quoted(sign)}") from None
    except (ValueError, OverflowError):
        # The parser written in Python lets `"\UFFFFFFFF"` through to chr().
        raise document.unreadable(0, "not YAML: an escape stands for no character") from None


def _parser(text: str) -> yaml._yaml.CParser:
    try:
        from yaml._yaml import CParser
    except ImportError:
        from yaml.loader import BaseLoader

        return BaseLoader(text)  # type: ignore[return-value]
    return CParser(text)


def _start(event: yaml.Event) -> int:
    return event.start_mark.index if event.start_mark else 0


def _end(event: yaml.Event) -> int:
    return event.end_mark.index if event.end_mark else 0
