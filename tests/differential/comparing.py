"""One program and its cases, put to every engine and to the laws; whoever does not agree is named.

The bottom-up engine is the one the others are compared with: pyDatalog, DuckDB (every row of every relation, and the
decisions of a batch), clingo on small domains, the program as written in random worlds, and the audit of proofs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from policy_kb import pipeline
from policy_kb.answers import NEEDS_INFORMATION
from policy_kb.audit.walk import Unsound
from policy_kb.batch.alone import Prepared, decided_alone, result_row
from policy_kb.batch.functions import register, run
from policy_kb.batch.plan import decisions
from policy_kb.batch.script import STOPPED
from policy_kb.check.checked import CheckedProgram, Phase
from policy_kb.check.declarations import expressions_in
from policy_kb.diagnostics import CaseRefused
from policy_kb.evaluate.model import Model
from policy_kb.evaluate.worlds import spoken_of
from policy_kb.explain.lookup import Lookup
from policy_kb.explain.missing import open_points
from policy_kb.expressions import EvaluationStopped
from policy_kb.load.facts import Facts
from policy_kb.parse import tree
from tests.batch.running import DIALECT, expected, models, prepare
from tests.evaluate.exactness import is_promised
from tests.evaluate.running import Policy, check_text, contradictions, some_world
from tests.explain.running import Explained
from tests.strategies.cases import Document, RandomDraw
from tests.strategies.programs import DATE, NUMBER, SYMBOL, UNSEEN, VALUES, Input, RandomProgram

FEW_VALUES = {
    NUMBER: tuple(range(-4, 8)), SYMBOL: (*VALUES[SYMBOL], *UNSEEN[SYMBOL]), DATE: (*VALUES[DATE], *UNSEEN[DATE]),
}
"""The values that clingo gives to open relations: those mentioned, and some on both sides of them."""

MOST_INSTANCES = 20_000
"""Of a rule, so that clingo answers at once."""

_LARGEST_CLINGO = 6
"""Cases of one program that clingo is asked about: it is the slowest."""


@dataclass(frozen=True)
class Disagreement:
    """`who` does not agree with the bottom-up engine about `case` (None: about all of them), and in `what`."""

    who: str
    what: str
    case: str | None = None

    def __str__(self) -> str:
        return f"{self.who}{f', case {self.case}' if self.case else ''}: {self.what}"


class Subject:
    """A program with its cases. `stopped` are the cases for which a value does not exist: no engine has a model."""

    def __init__(self, text: str, documents: Sequence[Document], is_exotic: bool = True):
        self.documents = list(documents)
        self.is_exotic = is_exotic
        program = check_text(text)
        (self.phase,) = program.phases
        self.policy = Policy(program, [self.phase.root])
        self.program = random_program_of(program, text, self.phase)
        self.facts = [self.policy.facts(document) for document in documents]
        self.models = [self._model(facts) for facts in self.facts]

    def _model(self, facts: Facts) -> Model | None:
        try:
            return pipeline.evaluate(self.policy.worlds, self.policy.bottom_up, facts)
        except CaseRefused:
            return None

    @cached_property
    def decided(self) -> list[tuple[Document, Facts, Model]]:
        """The cases that have a model."""
        whole = zip(self.documents, self.facts, self.models, strict=True)
        return [(document, facts, model) for document, facts, model in whole if model is not None]

    @cached_property
    def rules(self) -> pipeline.Rules:
        return pipeline.Rules(self.policy.program, {}, self.policy.known, "")

    def disagreements(self, seed: object = 0, only: frozenset[str] | None = None) -> list[Disagreement]:
        """What anybody says otherwise; `only` some are asked. An engine that fails does not agree either."""
        found: list[Disagreement] = []
        for who, ask in ASKED.items():
            if only is None or who in only:
                try:
                    found += [Disagreement(who, *said) for said in ask(self, random.Random(f"{who} {seed}"))]
                except Exception as problem:  # whatever it is, it is to be reported with its program
                    found.append(Disagreement(who, f"{type(problem).__name__}: {problem}"))
        return found


def random_program_of(program: CheckedProgram, text: str, phase: Phase) -> RandomProgram:
    """A checked program in the form in which worlds are made of it."""
    inputs = tuple(
        Input(
            relation.name,
            tuple(DATE if one.is_date else one.kind for one in relation.attributes[1:]),
            relation.is_closed,
            relation.is_single,
            relation.is_required,
            relation.always_open is not None,
            tuple(one.name for one in relation.attributes[1:]),
            frozenset(place for place, one in enumerate(relation.attributes[1:]) if one.any_case),
        )
        for relation in program.inputs() if relation.name != "request"
    )
    return RandomProgram(tuple(text.split("\n")), inputs, phase.root)


Said = Iterator[tuple[str, str | None]]
"""What is said otherwise, and of which case."""


def _pydatalog(subject: Subject, source: random.Random) -> Said:
    for facts, model in zip(subject.facts, subject.models, strict=True):
        try:
            other = pipeline.evaluate(subject.policy.worlds, subject.policy.with_pydatalog, facts)
        except CaseRefused:
            other = None
        if other != model:
            yield differences(model, other), facts.case


def differences(model: Model | None, other: Model | None) -> str:
    """In what two models of a case differ."""
    if model is None or other is None:
        return f"{'a model' if model is None else 'no model'} where there is {'none' if model is None else 'one'}"
    found = [
        f"{name}: {sorted(map(str, one))} {sort}, not {sorted(map(str, two))}"
        for sort in ("certain", "possible")
        for name, one in getattr(other, sort).items() if one != (two := getattr(model, sort)[name])
    ]
    return "; ".join(found) or f"open: {sorted(other.open)}, not {sorted(model.open)}; {other.holds}, {model.holds}"


def _duckdb_rows(subject: Subject, source: random.Random) -> Said:
    if not subject.decided:
        return
    policy = subject.policy
    derived = {
        name for name in policy.worlds.program.arities
        if spoken_of(name) in policy.program.relations and not policy.program.relations[spoken_of(name)].is_input
    }
    general = source.random() < 0.5
    found = models(policy.program, policy.worlds, policy.known, [facts for _, facts, _ in subject.decided],
                   general=general)
    for _, facts, model in subject.decided:
        theirs, ours = found[facts.case], expected(model, derived)
        if theirs != ours:
            names = sorted(name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name))
            said = "; ".join(f"{name}: {theirs.get(name)}, not {ours.get(name)}" for name in names)
            yield f"{said}{' (general)' if general else ''}", facts.case


def _duckdb_decisions(subject: Subject, source: random.Random) -> Said:
    """The decision, every criterion and what is missing, as a batch decides them; and which cases have no answer."""
    rules, phase = subject.rules, subject.phase
    connection, shape = prepare(rules.program, subject.facts, general=source.random() < 0.5)
    query = decisions(rules, rules.known, phase, shape, DIALECT, True)
    register(connection, query.script.text)
    run(connection, query.script)
    rows = connection.execute(query.script.last).fetchall()
    names = [" ".join(query.criteria.get(column, (column,))) for column in query.columns]
    prepared = Prepared(lambda asked: connection.execute(asked).fetchall(), DIALECT, shape, "", {})
    found = {row[0]: dict(zip(names, row, strict=True)) for row in rows}
    worlds = pipeline.worlds_of(rules, phase)
    for facts, model in zip(subject.facts, subject.models, strict=True):
        row = found[facts.case]
        if model is None and not row.get(STOPPED):
            yield "it is decided, where a value does not exist", facts.case
        if row.get(STOPPED):
            [(_, outcome)] = decided_alone(rules, rules.known, phase, prepared, [facts.case])
            if isinstance(outcome, list):
                if model is not None:
                    yield f"refused: {outcome[0]}", facts.case
                continue
            alone = result_row(outcome, list(query.criteria.values()))
            row = dict(zip([*names[: len(alone) - 2], "missing", "notices"], alone, strict=True))
        if model is None:
            yield "it is decided by itself, where a value does not exist", facts.case
            continue
        points = open_points(Lookup(rules.program, rules.known, facts, model), phase.root, phase.name)
        answer = model.answer(phase.root)
        ours: Mapping[str, object] = {
            "decision": answer,
            "missing": {(one.relation, one.why) for one in points if answer == NEEDS_INFORMATION},
            **pipeline.criteria_of(rules, worlds, phase, model),
        }
        theirs = {
            "decision": row["decision"],
            "missing": {(one["relation"], one["why"]) for one in row["missing"]},
            **{name.removeprefix(f"{phase.name} "): value for name, value in row.items() if " " in name},
        }
        if theirs != ours:
            names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
            yield "; ".join(f"{name}: {theirs.get(name)}, not {ours.get(name)}" for name in names), facts.case


def is_for_clingo(policy: Policy) -> bool:
    """Whether a program uses only what the translation to clingo knows."""

    def is_foreign(node: tree.Expression) -> bool:
        match node:
            case tree.Call(function="+" | "-", arguments=arguments):
                return len(arguments) != 2
            case tree.Call(function=function):
                return not function.startswith("@")
            case tree.Aggregate(function=function):
                return function != "count"
        return False

    return not any(
        (isinstance(literal, tree.Comparison) and literal.operator.lstrip("!") in ("contains", "match"))
        or any(True for _ in expressions_in(literal, is_foreign))
        for rule in policy.worlds.rules for literal in (rule.head, *rule.body)
    )


def _clingo(subject: Subject, source: random.Random) -> Said:
    """Whether what is certain is so in every world, and what is so in some world possible."""
    from tests.evaluate.with_clingo import answer, consequences, instances

    policy, program = subject.policy, subject.program
    if subject.is_exotic or program.has_decimals or not is_for_clingo(policy):
        return
    if instances(policy, FEW_VALUES) > MOST_INSTANCES:
        return
    inputs = {relation.name for relation in program.inputs}
    for document, facts, model in subject.decided[:_LARGEST_CLINGO]:
        always, sometimes = consequences(program, policy, document, FEW_VALUES)
        for name, rows in model.certain.items():
            if not rows <= always[name]:
                yield f"{name}: {rows - always[name]} is certain, but not in every world", facts.case
            if name not in model.open and not sometimes[name] <= model.possible[name]:
                yield f"{name}: {sometimes[name] - model.possible[name]} in a world, but not possible", facts.case
        for question, given in policy.answers(model).items():
            exact = answer(question, always, sometimes)
            if given != NEEDS_INFORMATION and given != exact:
                yield f"{question} is {given}; in all worlds together it is {exact}", facts.case
            elif given != exact and not program.has_dates and question not in inputs and is_promised(policy, question):
                yield f"{question} is {given}, which is promised to be exact; it is {exact}", facts.case


def _worlds(subject: Subject, source: random.Random) -> Said:
    draw = RandomDraw(source)
    for document, facts, model in subject.decided:
        for _ in range(2):
            try:
                rows = some_world(draw, subject.program, subject.policy, document)
            except EvaluationStopped:
                continue
            for found in contradictions(subject.policy, model, rows):
                yield found, facts.case


def _proofs(subject: Subject, source: random.Random) -> Said:
    """Whether the audit accepts the explanation of every relation."""
    program, known = subject.policy.program, subject.policy.known
    for _, facts, model in subject.decided:
        for name in model.certain:
            try:
                Explained(program, known, facts, model, name).check()
            except Unsound as refused:
                yield f"the explanation of {name} is refused: {refused}", facts.case


ASKED: Mapping[str, Callable[[Subject, random.Random], Said]] = {
    "pyDatalog": _pydatalog,
    "DuckDB": _duckdb_rows,
    "DuckDB's decisions": _duckdb_decisions,
    "clingo": _clingo,
    "random worlds": _worlds,
    "the audit": _proofs,
}
"""Who is compared with the bottom-up engine, or whose law its models obey."""

