"""What else the batch engine is measured against: Soufflé, clingo and the one-case engine, on the same Parquet files.

Soufflé and clingo get the initiation rules as they stand in `kb/`, two-valued: the record is complete, `@[possible]`
rules do not count. Both are written out from the same checked rules, with these differences from the rule files:
literals on readings are settled, months are counted beforehand in a table of the days that occur, decimal numbers are
replaced by their rank, and clingo is told which texts match which patterns.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self, TypeGuard

import duckdb

from bench.batch_data import write_ndjson
from policy_kb import dates, load_policy
from policy_kb.check.checked import Attribute, Rule
from policy_kb.evaluate.plain import named_wildcards
from policy_kb.evaluate.worlds import relevant_relations
from policy_kb.load.documents import read_documents
from policy_kb.parse import tree
from policy_kb.parse.tree import Value
from policy_kb.policies import Policy

POLICY, PHASE = "09-J2000-27", "initiation"
MONTHS_BEFORE, MATCHES = "months_before", "matches"


@dataclasses.dataclass(frozen=True)
class Measured:
    """How long so many cases took, and how many of them met the criteria."""

    cases: int
    met: int
    seconds: float


def souffle(folder: Path, output: Path, threads: int = 2, runs: int = 3) -> Measured | None:
    """The two-valued decision by Soufflé, compiled to C++, best of some runs; None where Soufflé is not installed.

    `output` is the folder for the decision: one line for each case that meets the criteria. Writing the facts as
    tab-separated files and compiling are not counted, reading the facts is.
    """
    command = shutil.which("souffle")
    if command is None:
        return None
    rules = _Rules(load_policy(POLICY))
    with tempfile.TemporaryDirectory() as temporary, _Tables(folder, rules) as tables:
        work = Path(temporary)
        facts = work / "facts"
        facts.mkdir()
        for name, query in tables.queries():
            tables.database.execute(
                f"COPY ({query}) TO '{facts / name}.facts' (FORMAT csv, DELIMITER '\t', HEADER false, QUOTE '')"
            )
        program = work / "initiation.dl"
        program.write_text(souffle_program(rules, tables), encoding="utf-8")
        compiled = work / "initiation"
        subprocess.run([command, "--no-preprocessor", "-j", str(threads), "-o", str(compiled), str(program)],
                       check=True, capture_output=True)
        output.mkdir(parents=True, exist_ok=True)
        run = [str(compiled), "-F", str(facts), "-D", str(output), "-j", str(threads)]
        seconds = min(_seconds(lambda: subprocess.run(run, check=True, capture_output=True)) for _ in range(runs))
        met = len((output / f"{rules.root}.csv").read_text(encoding="utf-8").splitlines())
        return Measured(tables.cases(), met, seconds)


def clingo(folder: Path, sample: int = 5000, runs: int = 3) -> Measured:
    """The two-valued decision of some of the cases by clingo, best of some runs. Reading the facts counts."""
    from clingo import Control

    rules = _Rules(load_policy(POLICY))
    with tempfile.TemporaryDirectory() as temporary:
        some, program = Path(temporary) / "cases", Path(temporary) / "initiation.lp"
        write_sample(folder, some, sample)
        with _Tables(some, rules) as tables:
            program.write_text("\n".join(clingo_program(rules, tables)) + "\n", encoding="utf-8")
        met = 0

        def run() -> None:
            nonlocal met
            control = Control(["-Wnone"])
            control.load(str(program))
            control.ground([("base", [])])
            control.solve()
            met = sum(1 for _ in control.symbolic_atoms.by_signature(f"r_{rules.root}", 1))

        seconds = min(_seconds(run) for _ in range(runs))
    return Measured(sample, met, seconds)


def one_case(folder: Path, sample: int = 1000) -> Measured:
    """Some of the cases decided one by one, three-valued and without an explanation, from NDJSON."""
    policy = load_policy(POLICY)
    with tempfile.TemporaryDirectory() as temporary:
        some, documents = Path(temporary) / "cases", Path(temporary) / "cases.ndjson"
        write_sample(folder, some, sample)
        write_ndjson(some, documents)
        policy.determine(next(iter(read_documents(documents))), {}, with_explanation=False)  # makes the engine
        met = 0

        def run() -> None:
            nonlocal met
            met = 0
            for document in read_documents(documents):
                met += policy.determine(document, {}, with_explanation=False).decision == "met"

        seconds = _seconds(run)
        return Measured(sample, met, seconds)


def write_sample(folder: Path, target: Path, number: int) -> None:
    """Write the tables of the first `number` cases of a folder, by name, to another folder."""
    target.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(":memory:") as database:
        database.execute(f"""
            CREATE TABLE chosen AS
            SELECT "case" FROM '{folder / "request.parquet"}' ORDER BY "case" LIMIT {number}
        """)
        for file in folder.glob("*.parquet"):
            database.execute(f"COPY (FROM '{file}' SEMI JOIN chosen USING (\"case\")) TO '{target / file.name}'")


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


# The rules, two-valued


class _Rules:
    """The rules of a phase that make its root certain, and the relations they speak of."""

    def __init__(self, policy: Policy):
        self.known = policy.rules.known
        self.root = next(phase.root for phase in policy.program.phases if phase.name == PHASE)
        needed = relevant_relations(policy.program, [self.root])
        self.rules = [
            _Rewritten(rule) for rule in policy.program.rules
            if rule.head.relation in needed and policy.program.relations[rule.head.relation].is_case
            and rule.possible is None and self._holds_by_its_readings(rule)
        ]
        mentioned = {atom.relation for rule in self.rules for atom in _atoms((rule.head, *rule.body))} - {MONTHS_BEFORE}
        self.relations = {name: policy.program.relations[name] for name in sorted(mentioned)}

    def _holds_by_its_readings(self, rule: Rule) -> bool:
        """Whether every literal on a reading is true under the readings in force."""
        readings = [literal.arguments for literal in rule.body if _is_on_reading(literal)]
        return all(
            tuple(one.value for one in arguments if isinstance(one, tree.Constant)) in self.known["reading"]
            for arguments in readings
        )


class _Rewritten:
    """A rule without readings, and with the days that `@months_before` gives taken from a table."""

    def __init__(self, rule: Rule):
        self.added: list[tree.Atom] = []
        self.head = self._atom(rule.head)
        body = [self._literal(literal) for literal in rule.body if not _is_on_reading(literal)]
        self.body: tuple[tree.Literal, ...] = (*body, *self.added)

    def _literal(self, literal: tree.Literal) -> tree.Literal:
        match literal:
            case tree.Atom():
                return self._atom(literal)
            case tree.Negation(atom=atom, span=span):
                return tree.Negation(self._atom(atom), span)
            case tree.Comparison(operator=operator, left=left, right=right, span=span):
                return tree.Comparison(operator, self._term(left), self._term(right), span)
        return literal

    def _atom(self, atom: tree.Atom) -> tree.Atom:
        return tree.Atom(atom.relation, tuple(self._term(argument) for argument in atom.arguments), atom.span)

    def _term(self, term: tree.Expression) -> tree.Expression:
        match term:
            case tree.Call(function="@date", arguments=(tree.Constant(value=str(written)),), span=span):
                ongoing = dates.ONGOING if written == "9999-12-31" else dates.parse_date(written)
                return tree.Constant(ongoing, span)
            case tree.Call(function="@months_before", arguments=(day, months), span=span):
                result = tree.Variable(f"day_before{len(self.added)}", span)
                self.added.append(tree.Atom(MONTHS_BEFORE, (day, months, result), span))
                return result
            case tree.Call(function=function):
                raise NotImplementedError(function)
        return term


def _is_on_reading(literal: tree.Literal) -> TypeGuard[tree.Atom]:
    return isinstance(literal, tree.Atom) and literal.relation == "reading"


def _atoms(literals: Sequence[tree.Literal]) -> Iterator[tree.Atom]:
    """Every atom of some literals, negated and counted ones included."""
    for literal in literals:
        match literal:
            case tree.Atom():
                yield literal
            case tree.Negation(atom=atom):
                yield atom
        for aggregate in tree.aggregates(literal):
            yield from _atoms(aggregate.body)


# The facts


class _Tables:
    """The tables of the cases, with the values that the rules need."""

    def __init__(self, folder: Path, rules: _Rules):
        self.folder = folder
        self.inputs = [relation for relation in rules.relations.values() if relation.is_case and relation.is_input]
        self.database = duckdb.connect(":memory:")
        self.database.execute("SET enable_progress_bar = false")
        self.known = {
            relation.name: [tuple(row) for row in sorted(rules.known[relation.name])]
            for relation in rules.relations.values() if not relation.is_case
        }
        self._rank_decimals(rules)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def cases(self) -> int:
        ((number,),) = self.database.execute(f"SELECT count(*) FROM {self._source('request')}").fetchall()
        return int(number)

    def queries(self) -> Iterator[tuple[str, str]]:
        """The name of each table of facts, and the query that gives its rows."""
        for relation in self.inputs:
            columns = ", ".join(self._value(attribute) for attribute in relation.attributes)
            yield relation.name, f"SELECT {columns} FROM {self._source(relation.name)}"
        yield MONTHS_BEFORE, f"""
            SELECT DISTINCT {_days("received")}, 12, {_days("(received - INTERVAL 12 MONTH)::DATE")}
            FROM {self._source("request")}
        """

    def matching(self) -> str:
        """The query for the texts that match a pattern."""
        patterns = ", ".join(f"('{row[0]}')" for row in self.known["icd10_condition"])
        return f"""
            SELECT DISTINCT pattern, lower(code)
            FROM {self._source("icd10")}, (VALUES {patterns}) AS patterns(pattern)
            WHERE regexp_full_match(lower(code), pattern)
        """

    def _rank_decimals(self, rules: _Rules) -> None:
        """The table `decimals`: each decimal number that occurs, with its rank."""
        parts = ["SELECT NULL::DOUBLE AS value WHERE false"]
        for relation in rules.relations.values():
            for place, attribute in enumerate(relation.attributes):
                if attribute.kind != "float":
                    continue
                if relation.is_case and relation.is_input:
                    parts.append(f'SELECT "{attribute.name}" FROM {self._source(relation.name)}')
                elif not relation.is_case:
                    parts += [f"SELECT {row[place]}::DOUBLE" for row in self.known[relation.name]]
        self.database.execute(f"""
            CREATE TABLE decimals AS
            SELECT value, row_number() OVER (ORDER BY value) AS rank FROM ({" UNION ".join(parts)})
        """)
        ranks = {row[0]: int(row[1]) for row in self.database.execute("FROM decimals").fetchall()}
        for name, rows in self.known.items():
            kinds = [attribute.kind for attribute in rules.relations[name].attributes]
            self.known[name] = [
                tuple(ranks[value] if kind == "float" else value for value, kind in zip(row, kinds, strict=True))
                for row in rows
            ]

    def _value(self, attribute: Attribute) -> str:
        column = f'"{attribute.name}"'
        if attribute.kind == "float":
            return f"(SELECT rank FROM decimals WHERE value = {column})"
        if attribute.is_date:
            return _days(column)
        return f"lower({column})" if attribute.any_case else column

    def _source(self, name: str) -> str:
        return f"read_parquet('{self.folder / f'{name}.parquet'}')"


def _days(day: str) -> str:
    return f"({day} - DATE '1970-01-01')"


# As Soufflé reads it


def souffle_program(rules: _Rules, tables: _Tables) -> str:
    lines = [f".decl {MONTHS_BEFORE}(day: number, months: number, before: number)", f".input {MONTHS_BEFORE}"]
    for relation in rules.relations.values():
        kinds = {"float": "number"}
        attributes = ", ".join(f"{one.name}: {kinds.get(one.kind, one.kind)}" for one in relation.attributes)
        lines.append(f".decl {relation.name}({attributes})")
    lines += [f".input {relation.name}" for relation in tables.inputs]
    for name, rows in tables.known.items():
        lines += [f"{_call(name, [_constant(value) for value in row])}." for row in rows]
    for rule in rules.rules:
        body = ", ".join(_literal(literal) for literal in rule.body)
        lines.append(f"{_atom(rule.head)} :- {body}.")
    lines.append(f".output {rules.root}")
    return "\n".join(lines) + "\n"


def _literal(literal: tree.Literal) -> str:
    match literal:
        case tree.Atom():
            return _atom(literal)
        case tree.Negation(atom=atom):
            return f"!{_atom(atom)}"
        case tree.Comparison(operator="match", left=left, right=right):
            return f"match({_term(left)}, {_term(right)})"
        case tree.Comparison(operator=operator, left=left, right=right):
            return f"{_term(left)} {operator} {_term(right)}"
    raise NotImplementedError(literal)


def _atom(atom: tree.Atom) -> str:
    return _call(atom.relation, [_term(argument) for argument in atom.arguments])


def _term(term: tree.Expression) -> str:
    match term:
        case tree.Constant(value=value):
            return _constant(value)
        case tree.Wildcard():
            return "_"
        case tree.Variable(name=name):
            return name.replace("#", "_")
        case tree.Aggregate(function="count", body=body):
            return f"count : {{ {', '.join(map(_literal, body))} }}"
    raise NotImplementedError(term)


# As clingo reads it


def clingo_program(rules: _Rules, tables: _Tables) -> Iterator[str]:
    for name, rows in tables.known.items():
        yield from _clingo_facts(name, rows)
    for name, query in (*tables.queries(), (MATCHES, tables.matching())):
        yield from _clingo_facts(name, tables.database.execute(query).fetchall())
    for rule in rules.rules:
        body = ", ".join(_clingo_literal(literal) for literal in rule.body)
        yield f"{_clingo_atom(rule.head)} :- {body}."


def _clingo_facts(name: str, rows: Sequence[tuple[Value, ...]]) -> Iterator[str]:
    for row in rows:
        yield f"{_call(f'r_{name}', [_constant(value) for value in row])}."


def _clingo_literal(literal: tree.Literal) -> str:
    match literal:
        case tree.Atom():
            return _clingo_atom(literal)
        case tree.Negation(atom=atom):
            return f"not {_clingo_atom(atom)}"
        case tree.Comparison(operator="match", left=left, right=right):
            return _call(f"r_{MATCHES}", [_clingo_term(left), _clingo_term(right)])
        case tree.Comparison(operator=operator, left=left, right=right):
            return f"{_clingo_term(left)} {operator} {_clingo_term(right)}"
    raise NotImplementedError(literal)


def _clingo_atom(atom: tree.Atom) -> str:
    return _call(f"r_{atom.relation}", [_clingo_term(argument) for argument in atom.arguments])


def _clingo_term(term: tree.Expression) -> str:
    match term:
        case tree.Variable(name=name):
            return "V" + name.replace("#", "W")
        case tree.Aggregate(function="count", body=body):
            body = named_wildcards(body)
            atoms = [literal for literal in body if isinstance(literal, tree.Atom)]
            names = dict.fromkeys(one.name for atom in atoms for one in tree.variables(atom))
            values = ", ".join("V" + name.replace("#", "W") for name in names)
            return f"#count {{ {values} : {', '.join(map(_clingo_literal, body))} }}"
    return _term(term)


def _constant(value: Value) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else str(value)


def _call(name: str, arguments: Sequence[str]) -> str:
    return f"{name}({', '.join(arguments)})"
