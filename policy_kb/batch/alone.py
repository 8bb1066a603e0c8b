"""Cases of a batch that are decided by themselves: those for which a query may not say what a case alone is told.

Each is made of what the prepared tables say of it, and decided by the compiled engine like any other case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Context, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from policy_kb import pipeline
from policy_kb.batch.dialect import FLOAT, DuckDB
from policy_kb.batch.functions import fraction
from policy_kb.batch.shape import CASE, OPEN_TABLE, UNCERTAIN, Openness, Shape, given_column
from policy_kb.check.checked import Phase
from policy_kb.choose.editions import editions_of
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind
from policy_kb.evaluate.bottom_up import BottomUp
from policy_kb.evaluate.plain import Rows
from policy_kb.load.cases import NOT_STATED
from policy_kb.load.facts import Facts, Row
from policy_kb.record import record
from policy_kb.report.determination import Approval, Determination
from policy_kb.source import Span

if TYPE_CHECKING:
    from policy_kb.batch.results import Criteria

AT_A_TIME = 1000
"""Cases whose rows are read together."""


@record
class Prepared:
    """The prepared tables of a batch: `rows` gives the rows of a query in this dialect; `places` are how messages name
    the tables, by relation, those of others and of cases being `place`."""

    rows: Callable[[str], Sequence[Sequence[Any]]]
    dialect: DuckDB
    shape: Shape
    place: str
    places: Mapping[str, str]


def decided_alone(
    rules: pipeline.Rules, known: Rows, phase: Phase, prepared: Prepared, cases: Sequence[str]
) -> Iterator[tuple[str, Determination | list[Diagnostic]]]:
    """The determination of each case, or why it is refused."""
    worlds = pipeline.worlds_of(rules, phase)
    edition = editions_of(rules.program, rules.known.get("covers", ()))[phase.name]
    engine = BottomUp(worlds.program, known)
    for start in range(0, len(cases), AT_A_TIME):
        for facts in facts_of(rules, prepared, cases[start : start + AT_A_TIME]):
            try:
                model = pipeline.evaluate(worlds, engine, facts)
                pipeline.check_refusals(rules, known, worlds, engine, facts, model)
                yield facts.case, pipeline.report(rules, known, worlds, phase, facts, model, None, edition)
            except CaseRefused as refused:
                yield facts.case, [replace(problem, case=facts.case) for problem in refused.diagnostics]


def facts_of(rules: pipeline.Rules, prepared: Prepared, cases: Sequence[str]) -> Iterator[Facts]:
    """What the tables say of these cases."""
    q, inputs = prepared.dialect.quoted, list(rules.program.inputs())
    listed = ", ".join(map(prepared.dialect.text, cases))

    def rows(columns: Sequence[str], table: str) -> Sequence[Sequence[Any]]:
        return prepared.rows(f"SELECT {', '.join(map(q, columns))} FROM {table} WHERE {q(CASE)} IN ({listed})")

    found: dict[str, dict[str, list[Row]]] = {case: {one.name: [] for one in inputs} for case in cases}
    always = {one.name: one.always_open or NOT_STATED for one in inputs
              if prepared.shape[one.name].openness is Openness.ALWAYS}
    is_open = {case: dict(always) for case in cases}
    for relation in inputs:
        given = prepared.shape[relation.name]
        if not given.has_rows:
            continue
        place = Span(prepared.places.get(relation.name, prepared.place), 0)
        columns = [*map(given_column, range(relation.arity)), *[UNCERTAIN] * given.has_uncertain]
        for values in rows(columns, given.table):
            row = tuple(fraction(value) if attribute.kind == FLOAT else value
                        for value, attribute in zip(values, relation.attributes, strict=False))
            is_uncertain = given.has_uncertain and values[-1]
            found[str(row[0])][relation.name].append(Row(relation.name, row, place, is_uncertain=is_uncertain))
    some = [one.name for one in inputs if prepared.shape[one.name].openness is Openness.SOME]
    if some:
        for case, *reasons in rows([CASE, *(prepared.shape[name].table for name in some)], OPEN_TABLE):
            is_open[case] |= {name: why for name, why in zip(some, reasons, strict=True) if why is not None}
    for case in cases:
        stated = {one.name: Span(prepared.place, 1) for one in inputs if one.name not in is_open[case]}
        own = {name: tuple(sorted(rows_, key=repr)) for name, rows_ in found[case].items()}
        yield Facts(case, prepared.place, own, is_open[case], stated, "")


def result_row(determination: Determination, criteria: Criteria) -> tuple[object, ...] | list[Diagnostic]:
    """The determination as a row of a result with these criteria; or why a table has no place for it."""
    phase, order = determination.phase, list(determination.program.relations)
    answers = [determination.criteria.get(number) if name == phase.name else None for name, number in criteria]
    missing = sorted(determination.missing, key=lambda one: (order.index(one.relation), one.why))
    try:
        approval = [{"amount": _amount(one), "unit": one.unit} for one in determination.approval or ()]
    except ValueError as problem:
        place = Span(determination.source, 1)
        return [Diagnostic(Kind.REFUSED_ROW, place, str(problem), "round it by `@rounded`", case=determination.case)]
    return (
        determination.case, phase.policy, phase.name, determination.decision, approval or None, *answers,
        [{"relation": one.relation, "why": one.why} for one in missing], list(determination.notices),
    )


def _amount(approval: Approval) -> Decimal:
    """The amount as a DECIMAL(38, 18)."""
    amount = approval.amount
    assert not isinstance(amount, str)
    value = Context(prec=38).divide(Decimal(amount.numerator), Decimal(amount.denominator))
    if Fraction(value) != amount or value.quantize(Decimal(10) ** -18, context=Context(prec=60)) != value:
        raise ValueError(f"a table has no place for all digits of what is approved: {approval}")
    return value
