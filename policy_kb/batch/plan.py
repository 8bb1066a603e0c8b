"""What a batch asks of a policy's phase, as one SQL query over the prepared tables of the cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from policy_kb import pipeline
from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.batch.dialect import DuckDB, Sql
from policy_kb.batch.needed import NOT_STATED_OR_INCOMPLETE, needed_rules
from policy_kb.batch.script import ANSWERS_TABLE, STOPPED, TWICE, Query, Script, Step, criterion_column
from policy_kb.batch.shape import CASE, ITEM, PHASE, Shape
from policy_kb.batch.specialise import Specialised, specialise
from policy_kb.batch.sql import BITS, Compiler, Truths, all_of, negated, some_of
from policy_kb.batch.stopping import NO_VALUE, stopping_rules
from policy_kb.check.checked import CheckedProgram, Phase, Relation
from policy_kb.evaluate.plain import PlainRule, Rows
from policy_kb.evaluate.worlds import Worlds, certain, double, fired, open_, possible, spoken_of
from policy_kb.explain.written import shown
from policy_kb.parse.tree import Atom, Call, Constant, Variable
from policy_kb.record import record
from policy_kb.report.determination import NOT_APPLICABLE, approvals

NOTICES, GRANTED = certain("notice"), "granted in words"
POINT = ("relation", "why")

def decisions(
    rules: pipeline.Rules, known: Rows, phase: Phase, shape: Shape, dialect: DuckDB,
    asked: Truths | None = None,
) -> Query:
    """The query that decides the cases of a phase. `asked` is the condition on a request `r` that it is one of them."""
    program = rules.program
    worlds = pipeline.worlds_of(rules, phase)
    criteria = criteria_names(program, worlds, phase)
    wanted = [name for names in criteria.values() for pair in names for name in pair]
    root = answers_for(worlds, phase.root)
    wanted += [*root, certain("not_applicable")]
    points, asking = needed_rules(program, worlds, phase)
    wanted += [point.flag for point in points]
    given = specialise(
        program, [*worlds.program.rules, *asking, *stopping_rules(program, worlds), *_granting_rules(program)], known,
        shape, [*wanted, NO_VALUE], [NOTICES, GRANTED],
    )
    compiler = Compiler(program, given, shape, dialect, texts=(NOTICES, GRANTED))
    is_met, is_open = _answer(compiler, given, root)
    elsewhere = _truth(compiler, given, certain("not_applicable"))
    stopped = _truth(compiler, given, NO_VALUE)
    text = dialect.text
    outputs: list[tuple[str, Sql]] = [
        (CASE, dialect.quoted(CASE)),
        ("decision", _chosen([(elsewhere, dialect.decision(NOT_APPLICABLE)), (is_met, dialect.decision(MET)),
                              (is_open, dialect.decision(NEEDS_INFORMATION))], dialect.decision(NOT_MET))),
    ]
    columns_of = {criterion_column(place): (phase.name, number) for place, number in enumerate(criteria)}
    for column, pairs in zip(columns_of, criteria.values(), strict=True):
        found = [_answer(compiler, given, pair) for pair in pairs]
        met, maybe = some_of(one for one, _ in found), some_of(two for _, two in found)
        outputs.append((
            column,
            _chosen([(elsewhere, "NULL"), (met, dialect.answer(MET)), (maybe, dialect.answer(NEEDS_INFORMATION))],
                    dialect.answer(NOT_MET)),
        ))
    asks = all_of([is_open, negated(is_met), negated(elsewhere)])
    items: list[tuple[Truths, Sql]] = []
    for point in points:
        is_found = all_of([asks, _truth(compiler, given, point.flag),
                           *(negated(_truth(compiler, given, other)) for other in point.unless)])
        reasons: list[tuple[str, Truths]] = [(point.why, True)]
        if point.why == NOT_STATED_OR_INCOMPLETE:
            reasons = compiler.why_open(point.relation)
        items += [
            (all_of([is_found, is_why]), dialect.struct(relation=text(point.relation), why=text(why)))
            for why, is_why in reasons
        ]
    if stopped is not False:
        outputs.append((STOPPED, str(stopped)))
    listings = [_Listing("missing", items, [], POINT)]
    for name, relation in (("notices", NOTICES), ("granted", GRANTED)):
        texts, lists = compiler.texts(relation)
        fixed: list[tuple[Truths, Sql]] = [(condition, text(said)) for said, condition in sorted(texts.items())]
        if fixed or lists or relation is NOTICES:
            listings.append(_Listing(name, fixed, lists, ()))
    script = compiler.script(
        asks_for(phase, dialect) if asked is None else asked,
        [*outputs, *(column for listing in listings for column in listing.codes())],
    )
    steps = [*script.steps, Step(ANSWERS_TABLE, script.last, ())]
    # What is the same for all cases, or follows from another column, is put in last.
    answers = {name: f"a.{dialect.quoted(name)}" for name, _ in outputs}
    approved = [
        dialect.struct(amount=dialect.amount(text(shown(one.amount))), unit=text(one.unit))
        for one in approvals(program, known, phase)
    ]
    granted = next((listing for listing in listings if listing.name == "granted"), None)
    lists = [dialect.array(approved)] if approved else []
    lists += [dialect.granted(granted.value(dialect))] if granted is not None else []
    is_approved = f"a.{dialect.quoted('decision')} = {dialect.decision(MET)}"
    approval = f"CASE WHEN {is_approved} THEN {dialect.some_of_lists(lists)} END" if lists else "NULL"
    if granted is not None:
        answers[TWICE] = f"{is_approved} AND {dialect.is_odd_approval(dialect.joined(lists))}"
    values = {
        CASE: answers.pop(CASE), "policy": dialect.constant(phase.policy), "phase": dialect.constant(phase.name),
        "decision": answers.pop("decision"), "approval": approval, **answers,
    }
    columns = [f"{value} AS {dialect.quoted(name)}" for name, value in values.items()]
    joins = []
    for listing in listings:
        if listing is not granted:
            columns.append(f"{listing.value(dialect)} AS {listing.name}")
        for word in listing.words if dialect.lists_by_number else ():
            steps.append(listing.step(word, dialect))
            table = listing.table(word)
            joins.append(f"JOIN {table} ON {table}.code = a.{table}")
    last = "\n".join([f"SELECT {', '.join(columns)}", f"FROM {ANSWERS_TABLE} AS a", *joins])
    names = [*values, *(listing.name for listing in listings if listing is not granted)]
    of_criteria = {column: " ".join(criterion) for column, criterion in columns_of.items()}
    script = replace(script, steps=tuple(steps), last=last, legend={**script.legend, **of_criteria})
    return Query(script, tuple(names), columns_of)


@record
class _Listing:
    """A list for each case. Its fixed `items` stand where their conditions hold: these make a number, and the few
    different numbers are turned into lists once. `lists` are further ones, of the case alone, NULL where empty. The
    items are structs of these parts, or texts."""

    name: str
    items: list[tuple[Truths, Sql]]
    lists: list[Sql]
    parts: tuple[str, ...]

    @property
    def words(self) -> range:
        return range(-(-len(self.items) // BITS))

    def table(self, word: int) -> str:
        return f"{self.name}_{word}"

    def of_word(self, word: int) -> list[tuple[int, Truths, Sql]]:
        some = self.items[word * BITS : (word + 1) * BITS]
        return [(1 << bit, condition, item) for bit, (condition, item) in enumerate(some) if condition is not False]

    def codes(self) -> list[tuple[str, Sql]]:
        """The columns that say which items stand in the list, and the further lists."""
        found = []
        for word in self.words:
            bits = [_chosen([(condition, f"CAST({bit} AS BIGINT)")], "CAST(0 AS BIGINT)")
                    for bit, condition, _ in self.of_word(word)]
            found.append((self.table(word), " |\n         ".join(bits) or "CAST(0 AS BIGINT)"))
        return [*found, *((f"{self.name} {i}", listed) for i, listed in enumerate(self.lists))]

    def of_code(self, word: int, code: Sql, dialect: DuckDB) -> Sql:
        """The list of a number."""
        items = [
            f"CASE WHEN {code} & CAST({bit} AS BIGINT) <> 0 THEN {item} END" for bit, _, item in self.of_word(word)
        ]
        return dialect.list_of(items) if items else dialect.empty_list(self.parts)

    def step(self, word: int, dialect: DuckDB) -> Step:
        """The lists of the numbers that occur."""
        listed = self.of_code(word, "code", dialect)
        codes = f"SELECT DISTINCT {self.table(word)} AS code FROM {ANSWERS_TABLE}"
        return Step(self.table(word), f"SELECT code, {listed} AS found FROM ({codes}) AS codes", ())

    def value(self, dialect: DuckDB) -> Sql:
        """The whole list, over `answers` joined with the lists of its numbers where these are made once."""
        fixed = [f"{self.table(word)}.found" if dialect.lists_by_number
                 else self.of_code(word, f"a.{self.table(word)}", dialect) for word in self.words]
        further = [f"a.{dialect.quoted(f'{self.name} {i}')}" for i in range(len(self.lists))]
        joined = dialect.joined(fixed) if len(fixed) > 1 else (
            fixed[0] if fixed else dialect.empty_list(self.parts)
        )
        if not further:
            return joined
        some = " OR ".join(f"{one} IS NOT NULL" for one in further)
        return f"CASE WHEN {some} THEN {dialect.sorted_union([joined, *further])} ELSE {joined} END"


def asks_for(phase: Phase, dialect: DuckDB, covers: Iterable[str] = ()) -> Sql:
    """The condition on a request `r` that it asks for a phase, and for one of the items `covers` names, if any."""
    items = ", ".join(map(dialect.text, sorted(covers)))
    among = f" AND r.{ITEM} IN ({items})" if items else ""
    return f"(r.{PHASE} = {dialect.text(phase.name)}{among})"


def refusals(program: CheckedProgram, known: Rows, shape: Shape, dialect: DuckDB) -> list[tuple[str, Script]]:
    """One query for every relation that refuses a case with a row of it that is certain when every uncertain row holds:
    `case`, then the row's values."""
    shape = {name: replace(given, has_uncertain=False) for name, given in shape.items()}
    names = {certain(relation.name): relation.name for relation in program.relations.values() if relation.is_refusal}
    worlds = double(program, names.values())
    return [(names[name], script) for name, script in
            rows_queries(program, worlds, known, shape, dialect, list(names))]


def model_query(
    program: CheckedProgram, worlds: Worlds, known: Rows, shape: Shape, dialect: DuckDB
) -> list[tuple[str, Script]]:
    """One query for every derived plain relation, with all its rows: `case`, then the values. For what compares
    engines with each other; decisions need far less."""
    return rows_queries(program, worlds, known, shape, dialect, [
        name for name in worlds.program.arities
        if (one := program.relations.get(spoken_of(name))) is not None and one.is_case and not one.is_input
    ])


def rows_queries(
    program: CheckedProgram, worlds: Worlds, known: Rows, shape: Shape, dialect: DuckDB, pinned: list[str]
) -> list[tuple[str, Script]]:
    """One query for each of these plain relations, with all its rows: `case`, then the values."""
    given = specialise(program, worlds.program.rules, known, shape, (), pinned)
    result = []
    for name in pinned:
        now = given.renamed[name]
        if now is None:
            continue
        compiler = Compiler(program, given, shape, dialect)
        outputs = [(CASE, f"w.{dialect.quoted(CASE)}")]
        part = compiler.relations.get(now)
        where: Truths = True
        if part is not None:
            outputs += [(column, f"r.{dialect.quoted(column)}") for column in part.columns]
        else:
            where = compiler.truth(now)
        result.append((name, compiler.script(True, outputs, where, now if part is not None else None)))
    return result


def criteria_names(
    program: CheckedProgram, worlds: Worlds, phase: Phase
) -> dict[str, list[tuple[str, ...]]]:
    """For every paragraph of a phase the plain relations that answer it, as `answers_for` gives them."""
    return {
        number: [
            answers_for(worlds, one.name) if isinstance(one, Relation) else (certain(fired(one)), possible(fired(one)))
            for one in said
        ]
        for number, said in pipeline.stating(program, worlds, phase).items()
    }


def answers_for(worlds: Worlds, relation: str) -> tuple[str, ...]:
    """The plain relation that has a row where a relation certainly has one, then those where it possibly has."""
    names = certain(relation), possible(relation)
    return (*names, open_(relation)) if relation in worlds.openable else names


def _truth(compiler: Compiler, given: Specialised, name: str) -> Truths:
    now = given.renamed.get(name)
    return False if now is None else compiler.truth(now)


def _answer(compiler: Compiler, given: Specialised, names: tuple[str, ...]) -> tuple[Truths, Truths]:
    """Whether a claim is certain, and whether it is possible."""
    sure, *maybe = (_truth(compiler, given, name) for name in names)
    return sure, some_of(maybe)


def _chosen(choices: Iterable[tuple[Truths, Sql]], otherwise: Sql) -> Sql:
    """The value of the first condition that holds."""
    parts: dict[Truths, Sql] = {}
    for condition, value in choices:
        if condition is True:
            otherwise = value
            break
        if condition is not False:
            parts.setdefault(condition, f"WHEN {condition} THEN {value}")
    return f"CASE {' '.join(parts.values())} ELSE {otherwise} END" if parts else otherwise


def _granting_rules(program: CheckedProgram) -> list[PlainRule]:
    """What is certainly granted, as texts: a unit, a tab and the amount."""
    relation = program.relations.get("granted")
    if relation is None or not any(True for _ in program.rules_for(relation.name)):
        return []
    span = relation.span
    case, amount, unit = (Variable(name, span) for name in (CASE, "amount", "unit"))
    words = Call("cat", (unit, Constant("\t", span), Call("exactly", (amount,), span)), span)
    granted = Atom(certain(relation.name), (case, amount, unit), span)
    return [PlainRule(Atom(GRANTED, (case, words), span), (granted,))]
