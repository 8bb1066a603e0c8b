"""JSON text -> located nodes.

The standard library's decoder gives no places and merges duplicate keys; its string decoder is used here, the rest of
the grammar is small. Nesting is limited before it is followed.
"""

from __future__ import annotations

import re
from json import JSONDecodeError, JSONDecoder

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

_SPACE = re.compile(r"[ \t\n\r]*")
_SIMPLE_STRING = re.compile(r'"([^"\\\x00-\x1f]*)"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.])")
_WORD = re.compile(r"[-+]?[\w.]+")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_DECODER = JSONDecoder()
_WORDS = {"true": Form.TRUTH, "false": Form.TRUTH, "null": Form.NOTHING}
_NOT_NUMBERS = ("NaN", "Infinity", "-Infinity")


def read_json(document: DocumentText) -> Node:
    """The one value of a JSON text. Raises UnreadableDocumentError, with the reason in the document's problems."""
    node, end = _Reader(document).value(_skip(document.text, 0), "", 1)
    end = _skip(document.text, end)
    if end < len(document.text):
        raise document.unreadable(
            end, f"not JSON: {_next(document.text, end)} after the end of the document", "one document a file"
        )
    return node


class _Reader:
    def __init__(self, document: DocumentText):
        self.document = document
        self.text = document.text
        self.span = document.span

    def value(self, start: int, path: str, depth: int) -> tuple[Node, int]:
        """The value that begins at `start` exactly, and the offset behind it."""
        sign = self.text[start : start + 1]
        if sign == '"':
            text, end = self.string(start, path)
            form = Form.REFUSED if text is None else Form.TEXT
            return Scalar(text or "", form, self.span(start, end)), end
        if sign in ("{", "["):
            if depth > DEEPEST_NESTING:
                raise self.document.unreadable(
                    start, f"nested more than {DEEPEST_NESTING} deep", "a case is a mapping of lists of rows", path
                )
            return (self.mapping if sign == "{" else self.sequence)(start, path, depth)
        return self.word(start, path)

    def word(self, start: int, path: str) -> tuple[Scalar, int]:
        """A number, `true`, `false` or `null`."""
        number = _NUMBER.match(self.text, start)
        if number:
            return Scalar(number.group(), Form.NUMBER, self.span(start, number.end())), number.end()
        word = _WORD.match(self.text, start)
        if word and word.group() in _WORDS:
            form = _WORDS[word.group()]
            return Scalar("" if form is Form.NOTHING else word.group(), form, self.span(start, word.end())), word.end()
        if word and word.group() in _NOT_NUMBERS:
            self.document.problem(
                Kind.WRONG_TYPE, start, word.end(), f"`{word.group()}` is not a number", "write a finite number", path
            )
            return Scalar("", Form.REFUSED, self.span(start, word.end())), word.end()
        raise self.broken(start, "a value", path)

    def sequence(self, start: int, path: str, depth: int) -> tuple[Sequence, int]:
        items: list[Node] = []
        end = _skip(self.text, start + 1)
        while self.text[end : end + 1] != "]":
            if items:
                end = self.comma(end, "]", path)
            item, end = self.value(end, f"{path}[{len(items)}]", depth + 1)
            items.append(item)
            end = _skip(self.text, end)
        return Sequence(tuple(items), self.span(start, end + 1)), end + 1

    def mapping(self, start: int, path: str, depth: int) -> tuple[Mapping, int]:
        entries: dict[str, Entry] = {}
        is_first = True
        end = _skip(self.text, start + 1)
        while self.text[end : end + 1] != "}":
            if not is_first:
                end = self.comma(end, "}", path)
            is_first = False
            if self.text[end : end + 1] != '"':
                raise self.broken(end, "a key in double quotes", path)
            key_start = end
            key, end = self.string(key_start, path)
            key_span = self.span(key_start, end)
            end = _skip(self.text, end)
            if self.text[end : end + 1] != ":":
                raise self.broken(end, "`:` and a value", path)
            node, end = self.value(_skip(self.text, end + 1), step(path, key or "?"), depth + 1)
            end = _skip(self.text, end)
            if key is not None:
                self.document.enter(entries, Entry(key, key_span, node), path)
        return Mapping(tuple(entries.values()), self.span(start, end + 1)), end + 1

    def comma(self, at: int, closing: str, path: str) -> int:
        if self.text[at : at + 1] != ",":
            raise self.broken(at, f"`,` or `{closing}`", path)
        after = _skip(self.text, at + 1)
        if self.text[after : after + 1] == closing:
            raise self.document.unreadable(at, f"not JSON: a `,` before `{closing}`", "remove the comma", path)
        return after

    def string(self, start: int, path: str) -> tuple[str | None, int]:
        """The text between the quotes, or None where its problem has been reported, and the offset behind it."""
        simple = _SIMPLE_STRING.match(self.text, start)
        if simple:
            return simple.group(1), simple.end()
        try:
            text, end = _DECODER.raw_decode(self.text, start)
        except JSONDecodeError as problem:
            reason = problem.msg.removesuffix(" at").rstrip(": ")
            reason = reason[:1].lower() + reason[1:]
            if reason.startswith("unterminated"):
                reason = "the text has no closing quote"
            raise self.document.unreadable(problem.pos, f"not JSON: {reason}", None, path) from None
        if _HALF_CHARACTER.search(text):
            hint = r"`\ud83d` needs its second half"
            self.document.problem(Kind.BAD_DOCUMENT, start, end, "the text holds half a character", hint, path)
            return None, end
        return text, end

    def broken(self, at: int, expected: str, path: str) -> UnreadableDocumentError:
        hint = None
        if self.text[at : at + 1] == "'":
            hint = "JSON puts text in double quotes"
        elif self.text[at : at + 1] in ("/", "#"):
            hint = "JSON has no comments"
        return self.document.unreadable(
            at, f"not JSON: {_next(self.text, at)} where {expected} is expected", hint, path
        )


def _skip(text: str, start: int) -> int:
    if start >= len(text) or text[start] > " ":  # most of the time; a match costs ten times as much
        return start
    match = _SPACE.match(text, start)
    return match.end() if match else start


def _next(text: str, at: int) -> str:
    if at >= len(text):
        return "the end of the text"
    word = _WORD.match(text, at)
    return quoted(word.group() if word else text[at])
