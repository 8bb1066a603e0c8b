"""A rule file with all it includes, each file once, in the order in which Soufflé would read them."""

from __future__ import annotations

from pathlib import Path

from policy_kb.diagnostics import Diagnostic, Kind, Refused, RulesRefused, quoted, walk
from policy_kb.installed import knowledge_base, rules_folder
from policy_kb.parse.grammar import parse_items
from policy_kb.parse.tree import Include, Item, Program
from policy_kb.source import LONGEST_RULES, Files, Span, display_name, real_path

_DEEPEST = 50


def parse_program(
    entry: Path, files: Files | None = None, base: Path | None = None
) -> tuple[Program, list[Diagnostic]]:
    """The program of a rule file, and everything wrong with the text of its files.

    An included file is looked for beside the one that includes it, then in its knowledge base, then in the one that
    comes with this program. Files are named as the reader knows them, wherever they are installed: relative to their
    knowledge base: `base`, or if none is given the one that the entry lies in. `files` reads them. Refused altogether:
    an entry that cannot be read.
    """
    files = files or Files()
    try:
        text = files.text(entry, str(entry), LONGEST_RULES)
    except Refused as refused:
        raise RulesRefused(refused.diagnostics) from None
    path = real_path(entry)
    reader = _Reader(base or knowledge_base(entry), files)
    reader.read(path, reader.name(path), text, ())
    return Program(reader.name(path), tuple(reader.items), reader.texts, reader.paths), reader.problems


class _Reader:
    """`folder` is the knowledge base, which no file may stand outside of but those that come with this program: a rule
    file would be shown, in messages about it, whatever it is."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder, self.shipped, self.files = folder, rules_folder(), files
        self.items: list[Item] = []
        self.texts: dict[str, str] = {}
        self.paths: dict[str, str] = {}
        self.problems: list[Diagnostic] = []

    def name(self, path: Path) -> str:
        """The name of a file in its knowledge base."""
        folder = self.shipped if path.is_relative_to(self.shipped) else self.folder
        return display_name(path.relative_to(folder).as_posix())

    def read(self, path: Path, name: str, text: str, including: tuple[Path, ...]) -> None:
        self.texts[name], self.paths[name] = text, str(path)
        items, problems = parse_items(text, name)
        self.problems += problems
        for item in items:
            if isinstance(item, Include):
                self.include(item, path, (*including, path))
            else:
                self.items.append(item)

    def found(self, file: str, beside: Path) -> Path:
        """Where an included file is; where it is nowhere, beside the file that includes it."""
        places = [folder / file for folder in dict.fromkeys((beside, self.folder, self.shipped))]
        return next((place for place in places if self.files.exists(place)), places[0])

    def include(self, item: Include, path: Path, including: tuple[Path, ...]) -> None:
        if Path(item.file).is_absolute() or not item.file.isprintable():
            self.refuse(item.span, "an included file is named from the folder of the file that includes it",
                        'write a relative path such as `.include "vocabulary/dates.dl"`')
            return
        place = self.found(item.file, path.parent)
        target = real_path(place)
        if not any(target.is_relative_to(folder) for folder in (self.folder, self.shipped)):
            self.refuse(item.span, f"{quoted(item.file)} leads out of the folder of the rule file that is read first",
                        "put all files of a policy below one folder")
            return
        name = self.name(target)
        if target in including:
            files = [self.name(step) for step in including[including.index(target) :]]
            self.refuse(item.span, f"files include each other: {walk([*files, name])}",
                        "leave one `.include` out")
        elif len(including) >= _DEEPEST:
            self.refuse(item.span, f"files are included more than {_DEEPEST} deep", "include the file further up")
        elif name not in self.texts:
            self.read_included(item, place, target, including)
        elif self.paths[name] != str(target):
            self.refuse(item.span, f"two files are called {quoted(name)}, one of them comes with this program",
                        "give the other one another name")

    def read_included(self, item: Include, place: Path, target: Path, including: tuple[Path, ...]) -> None:
        name = self.name(target)
        try:
            text = self.files.text(place, name, LONGEST_RULES)
        except Refused as refused:
            problem = refused.diagnostics[0]
            self.refuse(item.span, f"{quoted(item.file)} cannot be included: {problem.message}", problem.hint)
            return
        if len(text) + sum(map(len, self.texts.values())) > LONGEST_RULES:
            self.refuse(item.span, f"the rule files have more than {LONGEST_RULES // 2**20} MiB together",
                        "put rows into tables, which `.input` reads")
        else:
            self.read(target, name, text, including)

    def refuse(self, span: Span, message: str, hint: str | None) -> None:
        excerpt = self.texts[span.file].split("\n")[span.line - 1]
        self.problems.append(Diagnostic(Kind.BAD_INCLUDE, span, message, hint, excerpt=excerpt))
