"""The policies there are, and the front door to one of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from policy_kb import cache, pipeline
from policy_kb.answers import REFUSED
from policy_kb.check.checked import Phase
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, Refused, RulesRefused, did_you_mean, listed, quoted
from policy_kb.evaluate.plain import Engine, Rows
from policy_kb.installed import policy_files
from policy_kb.load.documents import Document, parse_document, read_documents
from policy_kb.record import record
from policy_kb.source import NOWHERE, Files, Span, are_unchanged, real_path
from policy_kb.text import folded

if TYPE_CHECKING:
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
    engine.
    """

    def __init__(self, rules: pipeline.Rules, engine: str | None = None):
        self.rules = rules
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
        under = partial(self._under, document, readings)
        return pipeline.report(*stages, pipeline.explain(*stages, under) if with_explanation else None)

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

        changes = []
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


def load_policy(policy: str | os.PathLike[str], engine: str | None = None) -> Policy:
    """The policy of a rule file (a path that ends in `.dl`), or the one with this number, such as `09-J2000-27`.

    `engine` as of `Policy`. Raises RulesRefused with everything wrong in its rule files, and CaseRefused where there is
    no such policy.
    """
    if str(policy).endswith(".dl"):
        loaded = Policy(_rules(Path(policy)), engine)
        if not loaded.program.phases:
            message = "the rule file declares no phase of a policy"
            hint = 'annotate the root relation with `@[policy("...", phase = "...", ...)]`'
            raise RulesRefused([Diagnostic(Kind.NO_POLICY, Span(str(policy), 1), message, hint)])
        return loaded
    numbers = []
    for path in policy_files():
        found = Policy(_rules(path), engine)
        if found.program.phases and str(policy) in (found.number, path.stem):
            return found
        numbers += [found.number] if found.program.phases else []
    hint = did_you_mean(str(policy), numbers) or f"there is {listed(numbers, 'and')}; or give a `.dl` file"
    message = f"there is no policy of this number: {quoted(policy)}"
    raise CaseRefused([Diagnostic(Kind.NO_POLICY, NOWHERE, message, hint)])


class Policies:
    """Chooses the policy of each case by the drug it asks for; every policy is loaded once. `engine` as of `Policy`."""

    def __init__(self, always: str | None = None, engine: str | None = None):
        self._always = load_policy(always, engine) if always is not None else None
        self._engine = engine
        self._loaded: list[Policy] | None = None

    def all(self) -> list[Policy]:
        if self._loaded is None:
            always = self._always
            self._loaded = [always] if always else [Policy(_rules(path), self._engine) for path in policy_files()]
        return self._loaded

    def for_document(self, document: Document) -> Policy:
        """The policy that covers the drug of a case's request. Raises CaseRefused where none does."""
        from policy_kb.load.cases import drug_place, requested

        if self._always is not None:
            return self._always
        drug, _ = requested(document)
        policies = self.all()
        found = next((policy for policy in policies if drug in policy.covers), None)
        if found is None and drug is not None:  # letter case does not count where it is clear which is meant
            found = next((one for one in policies if folded(drug) in map(folded, one.covers)), None)
        if found is not None:
            return found
        if drug is None:
            return policies[0]  # any policy's reading of the case says what is wrong with its request
        # All problems at once: those that any policy finds in the case, and that none covers the drug.
        problems: list[Diagnostic] = []
        try:
            policies[0].load(document)
        except CaseRefused as refused:
            problems = [problem for problem in refused.diagnostics if problem.path != "request.drug"]
        place = drug_place(document)
        covered = sorted({name for policy in policies for name in policy.covers})
        hint = did_you_mean(drug, covered) or f"policies cover {listed(covered, 'and')}"
        excerpt = document.line_text(place.line)
        problem = Diagnostic(Kind.NO_POLICY, place, f"no policy covers `{drug}`", hint, "request.drug", excerpt)
        raise CaseRefused([*problems, problem])


# the cache


def _rules(path: Path) -> pipeline.Rules:
    """The checked rules of an entry file, from the cache where none of its files has changed since."""
    file = cache.place("rules", str(real_path(path)))
    cached = cache.read(file)
    seen = next(cached, None)
    if isinstance(seen, dict) and are_unchanged(seen):
        rules = next(cached, None)
        if isinstance(rules, pipeline.Rules):
            return rules
    files = Files()
    try:
        rules = pipeline.parse_and_check(path, files)
    except Refused as refused:
        raise RulesRefused(refused.diagnostics) from None
    for phase in rules.program.phases:
        pipeline.worlds_of(rules, phase)
    cache.write(file, files.seen, rules)
    return rules
