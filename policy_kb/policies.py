"""The policies there are, and the front door to one of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policy_kb import cache, pipeline
from policy_kb.answers import REFUSED
from policy_kb.check.checked import Phase
from policy_kb.choose.editions import Edition, editions_of, with_ends
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, Refused, RulesRefused, did_you_mean, listed, quoted
from policy_kb.evaluate.plain import Engine, Rows
from policy_kb.installed import called, knowledge_base, knowledge_bases
from policy_kb.load.documents import Document, parse_document, read_documents
from policy_kb.record import record
from policy_kb.source import NOWHERE, Files, Span, are_unchanged, real_path
from policy_kb.text import folded

if TYPE_CHECKING:
    from policy_kb.choose.editions import Asked, NoChoice
    from policy_kb.choose.knowledge_base import Entry, KnowledgeBase
    from policy_kb.evaluate.model import Model
    from policy_kb.evaluate.worlds import Worlds
    from policy_kb.load.cases import CaseReader
    from policy_kb.load.facts import Facts
    from policy_kb.report.determination import Determination

COMPILED, PYDATALOG = ENGINES = ("compiled", "pydatalog")
"""The engine that compiles rules before it runs them, and pyDatalog, which decides a first case sooner."""

MOST_ROWS_FOR_PYDATALOG = 50
"""Rows of one relation of a case: beyond, the compiled engine decides it, in a fiftieth of the time. A rule may compare
the rows with each other, which are then as many pairs."""


@record
class Decided:
    """All stages' values for one case: what queries and explanations start from."""

    facts: Facts
    model: Model
    known: Rows
    phase: Phase


class Policy:
    """A coverage policy, ready to decide cases. Made by `load_policy`; safe to use from several threads.

    `engine` is one of `ENGINES`; if none is named, a first case is decided by pyDatalog and all others by the compiled
    engine. `editions` are those of the phases, where the policy was chosen among others: a case of another day is then
    not decided by it.
    """

    def __init__(self, rules: pipeline.Rules, engine: str | None = None, editions: Mapping[str, Edition] | None = None):
        self.rules = rules
        self._is_chosen = editions is not None
        self.editions = editions or editions_of(rules.program, rules.known.get("covers", ()))
        self.program = rules.program
        self._engine = engine
        self._cases = 0
        self._known: dict[tuple[tuple[str, str], ...], Rows] = {(): rules.known}
        self._engines: dict[tuple[str, tuple[tuple[str, str], ...], str], Engine] = {}
        self._reader: CaseReader | None = None

    @property
    def number(self) -> str:
        return self.program.phases[0].policy

    @property
    def covers(self) -> frozenset[str]:
        return frozenset(str(row[0]) for row in self.rules.known.get("covers", ()))

    def decide(
        self, case: Mapping[str, object] | str | os.PathLike[str] | Document, readings: Mapping[str, str] | None = None
    ) -> Determination:
        """The determination of one case, with its explanation.

        `case` is a mapping in the case format, the path of a file that holds exactly one case, or a document.
        `readings` overrides readings of the policy by name. Raises CaseRefused with every problem of the case.
        """
        return self.determine(the_document(case), readings or {})

    def determine(
        self, document: Document, readings: Mapping[str, str], *, with_explanation: bool = True
    ) -> Determination:
        """As `decide`, for a document. Without the explanation, `readings` names all that the phase asks for."""
        self._cases += 1
        decided = self.evaluate(document, readings)
        stages = (self.rules, decided.known, pipeline.worlds_of(self.rules, decided.phase), decided.phase,
                  decided.facts, decided.model)
        edition = self.editions[decided.phase.name]
        if self._is_of_another_day(decided):
            return pipeline.report(*stages, None, edition, not_held_on=self._day(decided))
        under = partial(self._under, document, readings)
        return pipeline.report(*stages, pipeline.explain(*stages, under) if with_explanation else None, edition)

    def _day(self, decided: Decided) -> int:
        """The day of the request that chooses the edition, in days since 1970-01-01."""
        (request,) = decided.facts.rows["request"]
        attributes = self.program.relations["request"].attributes
        return self.editions[decided.phase.name].day_asked(attributes, request.values)

    def _is_of_another_day(self, decided: Decided) -> bool:
        """Whether a case asks for a day on which this edition, the nearest, does not hold; unless its own rules say
        already that it does not apply."""
        is_held = not self._is_chosen or self.editions[decided.phase.name].holds_on(self._day(decided))
        return not is_held and not decided.model.certain.get("not_applicable")

    def _under(self, document: Document, readings: Mapping[str, str], name: str, choice: str) -> Decided | None:
        """The case with another choice for a reading; None where there is none, or the case is refused then."""
        try:
            return self.evaluate(document, {**readings, name: choice})
        except CaseRefused:
            return None

    def evaluate(
        self, document: Document, readings: Mapping[str, str], also: Iterable[str] = ()
    ) -> Decided:
        """Load and evaluate one case, `also` these relations beside those of the decision. Raises CaseRefused."""
        with of_case(document):
            facts = self.load(document)
            phase = self._phase(facts, document)
            chosen = tuple(sorted(pipeline.checked_readings(self.rules, readings).items()))
            known = self.known_under(chosen)
            worlds = pipeline.worlds_of(self.rules, phase)
            name = self._engine or (COMPILED if self._cases > 1 or is_large(facts) else PYDATALOG)
            if worlds.relations.issuperset(also):
                engine = self.engine(phase, chosen, name)
            else:
                worlds = pipeline.doubled(self.rules, phase, also)
                engine = new_engine(worlds, known, name)
            model = pipeline.evaluate(worlds, engine, facts, self.program.files)
            pipeline.check_refusals(self.rules, known, worlds, engine, facts, model, document)
        return Decided(facts, model, known, phase)

    def load(self, document: Document) -> Facts:
        """What a document states, by this policy's vocabulary. Raises CaseRefused with everything wrong in it."""
        if self._reader is None:
            from policy_kb.load.cases import CaseReader

            self._reader = CaseReader(self.program, self.rules.known)
        return self._reader.read(document)

    def sensitivity(self, document: Document, readings: Mapping[str, str], decision: str) -> list[tuple[str, str, str]]:
        """Each reading with an alternative that would change the decision, and the decision it would give: `refused`
        where the case could not be decided then."""
        from policy_kb.check.constants import choices
        from policy_kb.report.determination import NOT_APPLICABLE

        changes: list[tuple[str, str, str]] = []
        if decision == NOT_APPLICABLE and self._is_of_another_day(self.evaluate(document, readings)):
            return changes
        for name, allowed in choices(self.known_under(tuple(sorted(readings.items())))).items():
            for choice in allowed[1:]:
                try:
                    decided = self.evaluate(document, {**readings, name: choice})
                    other = pipeline.decision_of(decided.phase, decided.model)
                except CaseRefused:
                    other = REFUSED
                if other != decision:
                    changes.append((name, choice, other))
        return changes

    def _phase(self, facts: Facts, document: Document) -> Phase:
        (request,) = facts.rows["request"]
        drug, phase = str(request.values[1]), str(request.values[2])
        problem = None
        if self.covers and drug not in self.covers:
            covered = listed(sorted(self.covers), "and")
            problem = f"`{drug}` is not covered by policy {self.number}", f"it covers {covered}"
        found = next((one for one in self.program.phases if one.name == phase), None)
        if found is None and problem is None:
            names = [one.name for one in self.program.phases]
            problem = f"policy {self.number} has no phase `{phase}`", f"its phases are {listed(names, 'and')}"
        if problem is not None:
            excerpt = document.line_text(request.span.line)
            raise CaseRefused([Diagnostic(Kind.NO_POLICY, request.span, *problem, request.path, excerpt)])
        assert found is not None
        return found

    def known_under(self, readings: tuple[tuple[str, str], ...]) -> Rows:
        """The known rows under readings other than those in force: pairs of a name and a choice, sorted."""
        if readings not in self._known:
            from policy_kb.check.texts import check_patterns
            from policy_kb.evaluate.known import evaluate_known

            known = evaluate_known(self.program, self.rules.tables, dict(readings))
            if problems := check_patterns(self.program, self.rules.tables, known):
                raise RulesRefused(problems)
            self._known[readings] = known
        return self._known[readings]

    def engine(self, phase: Phase, readings: tuple[tuple[str, str], ...] = (), name: str = PYDATALOG) -> Engine:
        """The engine of a phase, under readings other than those in force; made when it is first asked for."""
        key = (phase.name, readings, name)
        engine = self._engines.get(key)
        if engine is None:
            engine = new_engine(pipeline.worlds_of(self.rules, phase), self.known_under(readings), name)
            self._engines[key] = engine
        return engine


@contextmanager
def of_case(document: Document) -> Iterator[None]:
    """What is refused inside names the case."""
    try:
        yield
    except CaseRefused as refused:
        from policy_kb.load.cases import named

        name, _ = named(document)
        raise CaseRefused(replace(problem, case=name) for problem in refused.diagnostics) from None


def is_large(facts: Facts) -> bool:
    return max(map(len, facts.rows.values()), default=0) > MOST_ROWS_FOR_PYDATALOG


def new_engine(worlds: Worlds, known: Rows, name: str) -> Engine:
    if name == COMPILED:
        from policy_kb.evaluate.bottom_up import BottomUp

        return BottomUp(worlds.program, known)
    from policy_kb.evaluate.with_pydatalog import WithPyDatalog

    return WithPyDatalog(worlds.program, known)


def the_document(
    case: Mapping[str, object] | str | os.PathLike[str] | Document, form: str | None = None
) -> Document:
    """One case as a document; a file with none or several is refused. `form` as of `read_documents`."""
    if isinstance(case, Document):
        return case
    if isinstance(case, Mapping):
        return parse_document(case)
    path = Path(case)
    documents = read_documents(path, form=form)
    first = next(documents, None)
    if first is None or next(documents, None) is not None:
        message = f"the file holds {'no case' if first is None else 'several cases'}; one is needed here"
        hint = "give a file with one case, or name one of them: `policy-kb explain --from FILE --case NAME`"
        raise CaseRefused([Diagnostic(Kind.BAD_DOCUMENT, Span(str(path), 1), message, hint)])
    return first


def load_policy(policy: str | os.PathLike[str], engine: str | None = None, bases: Sequence[Path] = ()) -> Policy:
    """The policy of a rule file (a path that ends in `.dl`), or the last edition of the one with this number, such as
    `09-J2000-27`. `bases` are knowledge bases to look in before all others.

    `engine` as of `Policy`. Raises RulesRefused with everything wrong in its rule files, and CaseRefused where there is
    no such policy.
    """
    return Policies(str(policy), engine, bases).last()


def _no_phase(file: Path | str) -> RulesRefused:
    message = "the rule file declares no phase of a policy"
    hint = 'annotate the root relation with `@[policy("...", phase = "...", ...)]`'
    return RulesRefused([Diagnostic(Kind.NO_POLICY, Span(str(file), 1), message, hint)])


class Policies:
    """The policies of all knowledge bases, of which the one is chosen that decides a case. `named` is the number of one
    of them, whose day still chooses its edition, or a rule file (a path that ends in `.dl`), which decides all cases.
    `bases` are knowledge bases to look in before all others; `engine` as of `Policy`; `progress` is given the entries
    that have to be read before one can be chosen."""

    def __init__(
        self, named: str | None = None, engine: str | None = None, bases: Sequence[Path] = (),
        progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
    ):
        self._named, self._engine, self._named_bases, self._progress = named, engine, bases, progress
        self._loaded: dict[str, Policy] = {}
        self._file = Path(named) if named is not None and named.endswith(".dl") else None
        self._claimed: dict[str, list[Entry]] = {}
        self._held: dict[str, pipeline.Rules] = {}
        if self._file is not None:
            self.last()
        elif named is not None:
            self._named_editions()

    @cached_property
    def bases(self) -> list[KnowledgeBase]:
        from policy_kb.choose.knowledge_base import KnowledgeBase

        return [KnowledgeBase(folder, self._check, self._progress) for folder in knowledge_bases(self._named_bases)]

    def _check(self, path: Path, files: Files, base: Path) -> pipeline.Rules:
        """The rules of an entry, for the index; held where nothing is kept in files, since one of them will decide."""
        rules = checked_rules(path, files, base)
        if not cache.is_there():
            self._held[str(path)] = rules
        return rules

    @cached_property
    def entries(self) -> list[Entry]:
        return [entry for base in self.bases for entry in base.entries]

    @cached_property
    def _every_edition(self) -> list[Edition]:
        return with_ends(edition for entry in self.entries for edition in entry.editions)

    @cached_property
    def editions(self) -> list[Edition]:
        """All editions there are, or those of the policy that was named."""
        return self._every_edition if self._named is None else self._named_editions()

    def _named_editions(self) -> list[Edition]:
        assert self._named is not None
        editions = self._every_edition
        found = [one for one in editions if folded(one.policy) == folded(self._named)] or [
            one for one in editions if Path(one.file).stem == self._named]
        if found:
            return found
        broken = [entry for entry in self.entries if entry.is_broken and Path(entry.file).stem == self._named]
        if broken:
            self._load(broken[0].file)
        numbers = sorted({one.policy for one in editions})
        hint = did_you_mean(self._named, numbers) or f"there is {listed(numbers, 'and')}"
        message = f"there is no policy of this number: {quoted(self._named)}"
        raise CaseRefused([Diagnostic(Kind.NO_POLICY, NOWHERE, message, f"{hint}; {self._looked()}")])

    def all(self) -> list[Policy]:
        """Every policy, or those of the number that was named, each edition by itself; the file that was named.
        Raises RulesRefused for one that does not check."""
        if self._file is not None:
            return [self.last()]
        if self._named is None:
            for entry in self.entries:
                if entry.is_broken:
                    self._load(entry.file)
        return [self._load(file) for file in dict.fromkeys(one.file for one in self.editions)]

    def last(self) -> Policy:
        """The file that was named, or the last edition of the policy that was."""
        if self._file is not None:
            loaded = Policy(checked_rules(self._file, base=knowledge_base(self._file, self._named_bases)), self._engine)
            if not loaded.program.phases:
                raise _no_phase(self._file)
            return self._loaded.setdefault(str(self._file), loaded)
        return self._load(max(self.editions, key=lambda one: one.effective).file)

    def for_document(self, document: Document) -> Policy:
        """The policy that decides a case. Raises CaseRefused where none does, or several may, and RulesRefused where
        one that does not check may."""
        from policy_kb.choose.editions import NoChoice, choose
        from policy_kb.load.cases import asked, place_of

        said = asked(document)
        if self._file is not None:
            return self._loaded.get(str(self._file)) or self.last()
        editions = self.editions
        try:
            choice: Edition | NoChoice = choose(editions, said)
        except NoChoice as none:
            choice = none
        self._refuse_broken(said)
        if not isinstance(choice, NoChoice):
            return self._load(choice.file)
        problems: list[Diagnostic] = []
        is_the_only_one = len({one.file for one in editions}) == 1
        phases = {None, *(one.phase for one in editions)}
        if is_the_only_one and (choice.editions or said.request.get("phase") in phases):
            # The case seems to be written for the one policy there is: its reading says all that is wrong.
            only = self._load(editions[0].file)
            if editions[0].item not in said.request:
                return only
            try:
                only.load(document)
            except CaseRefused as refused:
                problems = [problem for problem in refused.diagnostics if problem.path != choice.key]
        place = place_of(document, choice.key)
        hint = choice.hint if choice.editions else "; ".join(filter(None, [choice.hint, self._looked()]))
        problem = Diagnostic(Kind.NO_POLICY, place, choice.message, hint, choice.key, document.line_text(place.line))
        raise CaseRefused([*problems, problem])

    def listed(self) -> list[dict[str, Any]]:
        """What the knowledge bases hold, as plain data: one entry for each edition of a policy, and one with no
        `policy` for a file that does not check."""
        found: list[dict[str, Any]] = []
        by_file: dict[str, list[Edition]] = {}
        for edition in self._every_edition:
            by_file.setdefault(edition.file, []).append(edition)
        for base in self.bases:
            for entry in base.entries:
                place = {"knowledge_base": self._called(base), "file": base.name(entry)}
                phases = by_file.get(entry.file, [])
                if entry.is_broken:
                    found.append({"policy": None, **place})
                if phases:
                    first = phases[0]
                    found.append({"policy": first.policy, "title": first.title, "revised": first.revised,
                                  **first.to_dict(),
                                  "phases": [one.phase for one in phases], "covers": sorted(first.covers), **place})
        return found

    def _refuse_broken(self, said: Asked) -> None:
        """Refuse a request that a policy may claim which does not check."""
        if self._named is not None or not self._broken:
            return
        for item in {one.item for one in self.editions} or {"drug"}:
            if item in said.request:
                for entry in self._claiming(said.request[item]):
                    self._load(entry.file)

    @cached_property
    def _broken(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.is_broken]

    def _claiming(self, item: str) -> list[Entry]:
        """The policies that do not check and may cover an item; found out once, since each is read for it."""
        from policy_kb.choose.knowledge_base import may_claim

        if item not in self._claimed:
            shared = {file for entry in self.entries if not entry.is_broken for file in entry.states}
            self._claimed[item] = [entry for entry in self._broken if may_claim(entry, item, shared)]
        return self._claimed[item]

    def _looked(self) -> str:
        return f"policies were looked for in {' and '.join(map(self._called, self.bases))}"

    def _called(self, base: KnowledgeBase) -> str:
        return called(base.folder, self._named_bases)

    def _load(self, file: str) -> Policy:
        if file not in self._loaded:
            base = next((base.folder for base in self.bases if Path(file).is_relative_to(base.folder)), None)
            editions = {one.phase: one for one in self._every_edition if one.file == file}
            rules = self._held.get(file) or checked_rules(Path(file), base=base)
            self._loaded[file] = Policy(rules, self._engine, editions)
        return self._loaded[file]


# the cache


def checked_rules(path: Path, files: Files | None = None, base: Path | None = None) -> pipeline.Rules:
    """The checked rules of an entry file, from the cache where none of its files has changed since. `files` is told
    which these are; `base` is their knowledge base."""
    files = files or Files()
    file = cache.place("rules", str(real_path(path)), str(base))
    cached = cache.read(file)
    seen = next(cached, None)
    if isinstance(seen, dict) and are_unchanged(seen):
        rules = next(cached, None)
        if isinstance(rules, pipeline.Rules):
            files.seen.update(seen)
            return rules
    try:
        rules = pipeline.parse_and_check(path, files, base)
    except Refused as refused:
        raise RulesRefused(refused.diagnostics) from None
    for phase in rules.program.phases:
        pipeline.worlds_of(rules, phase)
    cache.write(file, files.seen, rules)
    return rules
