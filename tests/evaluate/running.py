"""How tests run a random program: its three-valued answers for a case, and its two-valued ones in a world."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from policy_kb.answers import MET, NOT_MET
from policy_kb.check.checked import CheckedProgram, Rule
from policy_kb.check.program import check_program
from policy_kb.evaluate.bottom_up import BottomUp
from policy_kb.evaluate.known import evaluate_known
from policy_kb.evaluate.model import Model, given_rows, model_of
from policy_kb.evaluate.plain import Engine, PlainRule, Row, Rows, plain_program
from policy_kb.evaluate.with_pydatalog import WithPyDatalog
from policy_kb.evaluate.worlds import double
from policy_kb.load.cases import load_case
from policy_kb.load.documents import parse_document
from policy_kb.load.facts import Facts
from policy_kb.parse.grammar import parse_items
from policy_kb.parse.tree import Atom, Negation, Program, Variable
from tests.strategies.cases import Document, Draw
from tests.strategies.programs import RandomProgram, build_world

FILE = "random.dl"


def check_text(text: str) -> CheckedProgram:
    items, problems = parse_items(text, FILE)
    return check_program(Program(FILE, tuple(items), {FILE: text}), problems)


class Policy:
    """A checked program with what evaluating it needs, prepared once."""

    def __init__(self, program: CheckedProgram, roots: Iterable[str], known: Rows | None = None):
        self.program = program
        self.roots = tuple(roots)
        self.known = evaluate_known(program, {}) if known is None else known
        self.worlds = double(program, self.roots)

    @cached_property
    def bottom_up(self) -> BottomUp:
        return BottomUp(self.worlds.program, self.known)

    @cached_property
    def with_pydatalog(self) -> WithPyDatalog:
        return WithPyDatalog(self.worlds.program, self.known)

    @cached_property
    def as_written(self) -> AsWritten:
        return AsWritten(self)

    @cached_property
    def questions(self) -> tuple[str, ...]:
        """What a model answers: every relation about a case, and every criterion that rules state."""
        relations = (name for name in self.worlds.relations if self.program.relations[name].is_case)
        stated = {str(criterion) for rule in self.worlds.stated for criterion in rule.criteria}
        return (*sorted(relations), *sorted(stated))

    def facts(self, document: Document) -> Facts:
        return load_case(self.program, self.known, parse_document(document))

    def model(self, document: Document, engine: Engine | None = None) -> Model:
        facts = self.facts(document)
        return model_of(self.worlds, facts, (engine or self.bottom_up).evaluate(given_rows(self.worlds, facts)))

    def answers(self, model: Model) -> dict[str, str]:
        """The answer to each question."""
        answers = {name: model.answer(name) for name in model.certain}
        for criterion, rules in self.stated.items():
            answers[criterion] = best(model.holds[rule.number] for rule in rules)
        return answers

    @cached_property
    def stated(self) -> dict[str, list[Rule]]:
        """The rules that state each criterion."""
        result: dict[str, list[Rule]] = {}
        for rule in self.worlds.stated:
            for criterion in rule.criteria:
                result.setdefault(str(criterion), []).append(rule)
        return result


def policy_of(program: RandomProgram) -> Policy:
    return Policy(check_text(program.text), [program.root])


def best(answers: Iterable[str]) -> str:
    found = set(answers)
    return MET if MET in found else NOT_MET if found == {NOT_MET} else "needs information"


class AsWritten:
    """The program as written, run two-valued in one world.

    A rule that is `@[possible]` derives, in a world, those of its firings that count there.
    """

    def __init__(self, policy: Policy):
        self.policy = policy
        self.settled: list[list[Rule]] = []
        """The `@[possible]` rules, those of one head together, in the order in which they can be settled."""
        possible = [rule for rule in policy.worlds.rules if rule.possible is not None]
        for name in (name for stratum in policy.program.strata for name in stratum):
            here = [rule for rule in possible if rule.head.relation == name]
            if here:
                self.settled.append(here)
        plain: list[PlainRule] = []
        for rule in policy.worlds.rules:
            head, body = rule.head, rule.body
            if rule.possible is not None:
                plain.append(PlainRule(Atom(_fires(rule), head.arguments, head.span), body))
                names = tuple(Variable(f"value{place}", head.span) for place in range(len(head.arguments)))
                dropped = Negation(Atom(_dropped(rule), names, head.span), head.span)
                head, body = Atom(head.relation, names, head.span), (Atom(_fires(rule), names, head.span), dropped)
            plain.append(PlainRule(head, body))
            plain.append(PlainRule(Atom(_holds(rule), (head.arguments[0],), head.span), body))
        arities = {name: policy.program.relations[name].arity for name in policy.worlds.relations}
        self.engine = BottomUp(plain_program(plain, arities), policy.known)

    def rows(self, world: Mapping[str, set[Row]], draw: Draw) -> dict[str, set[Row]]:
        """All rows in a world; the draws say which firings count."""
        given: dict[str, set[Row]] = dict(world)
        for rules in self.settled:
            found = self.engine.evaluate(given)
            for rule in rules:
                firings = sorted(found[_fires(rule)], key=repr)
                given[_dropped(rule)] = {row for row in firings if draw.chance(50)}
        return self.engine.evaluate(given)

    def heads_that_fire(self, world: Mapping[str, set[Row]]) -> set[str]:
        """The relations of which some row is only possible, all else being as in the world."""
        found = self.engine.evaluate(world)
        return {rule.head.relation for rules in self.settled for rule in rules if found[_fires(rule)]}

    def truths(self, rows: Mapping[str, set[Row]]) -> dict[str, bool]:
        """Whether each of the policy's questions is true, given all rows."""
        truths = {
            name: bool(rows[name]) for name in self.policy.worlds.relations
            if self.policy.program.relations[name].is_case
        }
        for criterion, rules in self.policy.stated.items():
            truths[criterion] = any(rows[_holds(rule)] for rule in rules)
        return truths


def _fires(rule: Rule) -> str:
    return f"fires/{rule.number}"


def _dropped(rule: Rule) -> str:
    return f"dropped/{rule.number}"


def _holds(rule: Rule) -> str:
    return f"holds/{rule.number}"


def contradictions(policy: Policy, model: Model, rows: Mapping[str, set[Row]]) -> list[str]:
    """What a model says of a case that is not so in one of its worlds, `rows` being all rows there."""
    found = []
    truths = policy.as_written.truths(rows)
    for question, answer in policy.answers(model).items():
        if truths[question] != (answer == MET) and answer in (MET, NOT_MET):
            found.append(f"{question} is {answer}, but {truths[question]} in a world")
    for name, certain in model.certain.items():
        if missing := set(certain) - rows[name]:
            found.append(f"{name} has no {missing} in a world")
        if name not in model.open and (more := rows[name] - set(model.possible[name])):
            found.append(f"{name} has {more} in a world")
    return found


def some_world(draw: Draw, program: RandomProgram, policy: Policy, document: Document) -> dict[str, set[Row]]:
    """All rows in a world of the case."""
    return policy.as_written.rows(build_world(draw, program, document), draw)
