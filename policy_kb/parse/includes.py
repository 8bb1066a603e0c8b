"""A rule file with all it includes, each file once, in the order in which Soufflé would read them."""

from __future__ import annotations

from pathlib import Path

from policy_kb.diagnostics import Diagnostic, Kind, Refused, RulesRefused, quoted, walk
from policy_kb.installed import rules_folder
from policy_kb.parse.grammar import parse_items
from policy_kb.parse.tree import Include, Item, Program
from policy_kb.source import LONGEST_RULES, Span, display_name, read_text, real_path

_DEEPEST = 50


def parse_program(entry: Path) -> tuple[Program, list[Diagnostic]]:
    """The program of a rule file, and everything wrong with the text of its files.

    Files are named as the reader knows them: relative to the working folder where they lie below it. Refused
    altogether: an entry that cannot be read.
    """
    try:
        text = read_text(entry, display_name(entry), LONGEST_RULES)
    except Refused as refused:
        raise RulesRefused(refused.diagnostics) from None
    path = real_path(entry)
    reader = _Reader(path.parent)
    reader.read(path, text, ())
    return Program(str(entry), tuple(reader.items), reader.files), reader.problems


class _Reader:
    """`folder` is that of the entry, which no file may stand outside of but those that come with this program: a rule
    file would be shown, in messages about it, whatever it is."""

    def __init__(self, folder: Path) -> None:
        self.folders = (folder, rules_folder())
        self.items: list[Item] = []
        self.files: dict[str, str] = {}
        self.problems: list[Diagnostic] = []

    def read(self, path: Path, text: str, including: tuple[Path, ...]) -> None:
        name = display_name(path)
        self.files[name] = text
        items, problems = parse_items(text, name)
        self.problems += problems
        for item in items:
            if isinstance(item, Include):
                self.include(item, path, (*including, path))
            else:
                self.items.append(item)

    def include(self, item: Include, path: Path, including: tuple[Path, ...]) -> None:
        target = real_path(path.parent / item.file) if "\0" not in item.file else path
        name = display_name(target)
        if Path(item.file).is_absolute() or "\0" in item.file:
            self.refuse(item.span, "an included file is named from the folder of the file that includes it",
                        'write a relative path such as `.include "vocabulary/dates.dl"`')
        elif not any(target.is_relative_to(folder) for folder in self.folders):
            self.refuse(item.span, f"{quoted(item.file)} leads out of the folder of the rule file that is read first",
                        "put all files of a policy below one folder")
        elif target in including:
            files = [display_name(step) for step in including[including.index(target) :]]
            self.refuse(item.span, f"files include each other: {walk([*files, name])}",
                        "leave one `.include` out")
        elif len(including) >= _DEEPEST:
            self.refuse(item.span, f"files are included more than {_DEEPEST} deep", "include the file further up")
        elif name not in self.files:
            try:
                text = read_text(target, name, LONGEST_RULES)
            except Refused as refused:
                problem = refused.diagnostics[0]
                self.refuse(item.span, f"{quoted(item.file)} cannot be included: {problem.message}", problem.hint)
            else:
                if len(text) + sum(map(len, self.files.values())) > LONGEST_RULES:
                    self.refuse(item.span, f"the rule files have more than {LONGEST_RULES // 2**20} MiB together",
                                "put rows into tables, which `.input` reads")
                else:
                    self.read(target, text, including)

    def refuse(self, span: Span, message: str, hint: str | None) -> None:
        excerpt = self.files[span.file].split("\n")[span.line - 1]
        self.problems.append(Diagnostic(Kind.BAD_INCLUDE, span, message, hint, excerpt=excerpt))
