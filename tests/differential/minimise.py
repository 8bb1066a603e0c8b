"""Makes a program and its cases smaller, as long as something stays as it is: whatever is not needed for it goes.

What can go is a case, a relation with its rows, a rule, a fact, a literal, a head, an annotation, a row, a mark in a
row. An argument becomes `_` where that is enough. What is left cannot lose any of these any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from policy_kb.parse import tree
from policy_kb.parse.grammar import parse_items
from policy_kb.source import Span
from tests.strategies.cases import Document

_ANNOTATION = re.compile(r"@\[(?!policy)[^\]]*\]\s*|///[^\n]*\n")
_DECLARED = re.compile(r"\.decl (\w+)\(")


@dataclass(frozen=True)
class Example:
    """The declarations, facts and rules of a program, each a text, and some cases of it."""

    items: tuple[str, ...]
    documents: tuple[Document, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.items) + "\n"


Holds = Callable[[Example], bool]
"""Whether an example still shows what is looked for. It is asked about programs that are refused as well."""


def minimised(example: Example, holds: Holds) -> Example:
    """The example without what is not needed for it to hold; `example` itself holds."""
    while True:
        before = example
        for smaller in (_fewer_cases, _fewer_relations, _fewer_items, _shorter_items, _shorter_cases):
            example = _reduced(example, holds, smaller)
        if example == before:
            return example


def _reduced(example: Example, holds: Holds, smaller: Callable[[Example], Iterable[Example]]) -> Example:
    """The first smaller example that holds, of that the next, until none does."""
    while True:
        found = next((one for one in smaller(example) if one != example and holds(one)), None)
        if found is None:
            return example
        example = found


def _fewer_cases(example: Example) -> Iterator[Example]:
    documents = example.documents
    if len(documents) > 1:
        for document in documents:
            yield replace(example, documents=(document,))


def _fewer_relations(example: Example) -> Iterator[Example]:
    """Without a relation: its declaration, its facts and rules, and what cases say of it."""
    for item in example.items:
        declared = _DECLARED.search(item)
        if declared and declared[1] != "request":
            name = declared[1]
            heads = re.compile(rf"(?:^|[\n\s]){name}\(")
            kept = tuple(
                one for one in example.items
                if one not in (item, f".input {name}") and not (
                    heads.search(one.partition(":-")[0]) if ":-" in one else one.startswith(f"{name}(")
                )
            )
            yield Example(kept, tuple(_without_relation(document, name) for document in example.documents))


def _without_relation(document: Document, name: str) -> Document:
    kept = {key: value for key, value in document.items() if key != name}
    incomplete = kept.get("incomplete")
    if isinstance(incomplete, list):
        kept["incomplete"] = [one for one in incomplete if one != name]
        if not kept["incomplete"]:
            del kept["incomplete"]
    return kept


def _fewer_items(example: Example) -> Iterator[Example]:
    """Without some items, many at first."""
    items = example.items
    size = len(items) // 2
    while size:
        for start in range(0, len(items), size):
            yield replace(example, items=items[:start] + items[start + size :])
        size //= 2


def _shorter_items(example: Example) -> Iterator[Example]:
    for place, item in enumerate(example.items):
        for shorter in _shorter_texts(item):
            yield replace(example, items=(*example.items[:place], shorter, *example.items[place + 1 :]))


def _shorter_texts(item: str) -> Iterator[str]:
    for found in _ANNOTATION.finditer(item):
        yield item[: found.start()] + item[found.end() :]
    parsed, problems = parse_items(item, "item")
    rule = parsed[0] if len(parsed) >= 1 and isinstance(parsed[0], tree.Rule) else None
    if rule is None or problems:
        return
    starts = [0]
    for line in item.split("\n"):
        starts.append(starts[-1] + len(line) + 1)

    def cut(span: Span) -> tuple[int, int]:
        return starts[span.line - 1] + span.column - 1, starts[span.line - 1] + span.end - 1

    for listed in _lists(rule):
        yield from _one_fewer(item, [cut(part.span) for part in listed])
    for argument in _arguments(rule.body):
        if not isinstance(argument, tree.Wildcard):
            start, end = cut(argument.span)
            yield f"{item[:start]}_{item[end:]}"


def _lists(rule: tree.Rule) -> Iterator[Sequence[tree.Literal]]:
    """What stands in a rule with commas between: its heads, its body, the bodies of its aggregates."""
    yield rule.heads
    yield rule.body
    for literal in rule.body:
        for aggregate in tree.aggregates(literal):
            yield aggregate.body


def _arguments(body: Iterable[tree.Literal]) -> Iterator[tree.Expression]:
    for literal in body:
        if isinstance(literal, tree.Atom):
            yield from literal.arguments[1:]
        for aggregate in tree.aggregates(literal):
            yield from _arguments(aggregate.body)


def _one_fewer(text: str, parts: Sequence[tuple[int, int]]) -> Iterator[str]:
    if len(parts) < 2:
        return
    for place, (start, end) in enumerate(parts):
        if place + 1 < len(parts):
            yield text[:start] + text[parts[place + 1][0] :]
        else:
            yield text[: parts[place - 1][1]] + text[end:]


def _shorter_cases(example: Example) -> Iterator[Example]:
    for place, document in enumerate(example.documents):
        for shorter in _shorter_documents(document):
            yield replace(example, documents=(*example.documents[:place], shorter, *example.documents[place + 1 :]))


def _shorter_documents(document: Document) -> Iterator[Document]:
    for key, value in document.items():
        if key in ("case", "request"):
            continue
        yield {one: other for one, other in document.items() if one != key}
        if not isinstance(value, list):
            continue
        for place, row in enumerate(value):
            fewer = value[:place] + value[place + 1 :]
            yield {**document, key: fewer}
            if isinstance(row, dict) and "uncertain" in row:
                sure = {one: other for one, other in row.items() if one != "uncertain"}
                yield {**document, key: [*value[:place], sure, *value[place + 1 :]]}
