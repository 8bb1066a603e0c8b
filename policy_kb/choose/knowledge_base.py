"""Knowledge bases: folders of policies, with an index of the editions in them.

The entry of a policy is a rule file that no other file of its knowledge base includes and that declares a phase. What
an index says of an entry holds as long as the file system says the same of all its files (size, time, place); the
policy that decides is read by its bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from policy_kb import cache
from policy_kb.check.checked import constants
from policy_kb.choose.editions import Edition, editions_of, overlaps, with_ends
from policy_kb.diagnostics import Diagnostic, Kind, Refused, RulesRefused, quoted
from policy_kb.parse.includes import parse_program
from policy_kb.parse.tree import Rule
from policy_kb.record import record
from policy_kb.source import LONGEST_RULES, Files, Span, display_name, read_text, real_path
from policy_kb.text import folded

if TYPE_CHECKING:
    from policy_kb.pipeline import Rules

COVERS, SCENARIOS = "covers", "scenarios"
_INCLUDE = re.compile(r'^[ \t]*\.include[ \t]+"([^"\n]+)"', re.MULTILINE)

State = tuple[int, int, int] | None
"""What the file system says of a file: its size, when it changed, and its number; None where there is none."""


@record
class Entry:
    """The entry of a policy. `states` are those of all its files. `editions` are empty where it declares no phase, and
    where it `is_broken`: what it covers is then not known."""

    file: str
    states: Mapping[str, State]
    editions: tuple[Edition, ...]
    is_broken: bool = False


@record
class _Text:
    """A rule file of the folder: what it includes, wherever that is looked for."""

    state: State
    includes: tuple[str, ...]


class KnowledgeBase:
    """One folder. `check` reads the rules of an entry file; `progress` is given the entries that have to be read."""

    def __init__(
        self, folder: Path, check: Callable[[Path, Files, Path], Rules],
        progress: Callable[[Sequence[Path]], Iterable[Path]] = lambda entries: entries,
    ):
        self.folder, self._check, self._progress = real_path(folder), check, progress

    @cached_property
    def entries(self) -> list[Entry]:
        """The entries of all policies, by name; read anew where a file has changed."""
        place = cache.place("index", str(self.folder))
        kept = next(cache.read(place), None)
        texts_before, before = kept if isinstance(kept, tuple) else ({}, {})
        texts, files = _entry_files(self.folder, texts_before)
        found = {path: before[path] for path in files if path in before and _is_unchanged(before[path])}
        changed = [Path(path) for path in files if path not in found]
        for path in self._progress(changed):
            found[str(path)] = self._entry(path)
        if changed or texts != texts_before or found.keys() != before.keys():
            cache.write(place, (texts, found))
        return [found[path] for path in files]

    def name(self, entry: Entry) -> str:
        """The name of an entry's file in its knowledge base."""
        return display_name(Path(entry.file).relative_to(self.folder))

    def _entry(self, path: Path) -> Entry:
        files = Files()
        try:
            rules = self._check(path, files, self.folder)
            editions, is_broken = tuple(editions_of(rules.program, rules.known.get(COVERS, ())).values()), False
        except Refused:
            editions, is_broken = (), True
        return Entry(str(path), {file: _state(file) for file in sorted({str(path), *files.seen})}, editions, is_broken)


def entry_files(folder: Path) -> list[Path]:
    """The entry files of all policies of a knowledge base, as its rule files say now."""
    return list(map(Path, _entry_files(real_path(folder), {})[1]))


def _entry_files(folder: Path, known: Mapping[str, _Text]) -> tuple[dict[str, _Text], list[str]]:
    """All rule files of a folder, and those of them that no other one includes; `known` are those that were read
    before."""
    texts = {
        path: before if (before := known.get(path)) and before.state == state else _text(path, state)
        for path, state in _rule_files(folder)
    }
    included: set[str] = set()
    for path, text in texts.items():
        for name in text.includes:
            places = (os.path.normpath(os.path.join(base, name)) for base in (os.path.dirname(path), str(folder)))
            target = next((place for place in places if place in texts), None)
            included |= {target} - {None, path}  # type: ignore[arg-type]
    return texts, sorted(path for path in texts if path not in included)


def _rule_files(folder: Path) -> Iterator[tuple[str, State]]:
    """The rule files of a folder and its subfolders; no hidden ones, and none among scenarios. Refused: a link that
    leads out of the folder, since messages about the file would show it, whatever it is."""
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as inside:
                found = [one for one in inside if not one.name.startswith(".")]
        except OSError:
            continue
        for one in found:
            if one.is_dir(follow_symlinks=False):
                waiting += [one.path] if one.name != SCENARIOS else []
            elif one.name.endswith(".dl"):
                if one.is_symlink() and not real_path(Path(one.path)).is_relative_to(folder):
                    hint = "put the file itself into the folder, or name it alone"
                    place = Span(display_name(one.path), 1)
                    raise RulesRefused([Diagnostic(Kind.UNREADABLE, place, "this link leads out of its folder", hint)])
                yield one.path, _state(one.path)


def _text(path: str, state: State) -> _Text:
    try:
        return _Text(state, tuple(_INCLUDE.findall(read_text(Path(path), longest=LONGEST_RULES))))
    except Refused:
        return _Text(state, ())


def _state(path: str) -> State:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, max(found.st_mtime_ns, found.st_ctime_ns), found.st_ino


def _is_unchanged(entry: Entry) -> bool:
    return all(_state(file) == state for file, state in entry.states.items())


def claimed_twice(editions: Iterable[Edition]) -> Iterator[Diagnostic]:
    """What is wrong between the policies of a knowledge base: two editions can claim one request."""
    for one, other, item in overlaps(with_ends(editions)):
        first, second = sorted((one, other), key=lambda edition: edition.name)
        message = f"{first} and {second} both cover {quoted(item)} in the phase {quoted(first.phase)} on the same days"
        yield Diagnostic(Kind.CLAIMED_TWICE, Span(*second.place), message,
                         "say until when the earlier one holds (`until`), or whose it is (`payer`)")


def may_claim(entry: Entry, item: str, shared: Set[str]) -> bool:
    """Whether a policy that does not check may cover an item: its facts say so; or, where rules or mistakes keep from
    knowing what it covers, one of its files mentions it that is not `shared` with a policy that does."""
    try:
        program, problems = parse_program(Path(entry.file))
    except Refused:
        return True
    rules = [one for one in program.items if isinstance(one, Rule)]
    covers = [(head, one.body) for one in rules for head in one.heads if head.relation == COVERS]
    if covers and not problems and not any(body for _, body in covers):
        return any(folded(str(value)) == folded(item) for head, _ in covers for value in constants(head))
    own = [file for file, state in entry.states.items() if state is not None and file not in shared]
    return any(folded(item) in folded(_content(Path(file))) for file in own)


def _content(path: Path) -> str:
    try:
        return read_text(path)
    except Refused:
        return ""
