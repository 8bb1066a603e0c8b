"""A small program to load cases by, made by hand, and short ways to load them."""

from __future__ import annotations

import datetime
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from policy_kb.check.checked import Attribute, CheckedProgram, Domain, Relation
from policy_kb.diagnostics import CaseRefused, Diagnostic
from policy_kb.load.cases import load_case
from policy_kb.load.documents import Document, read_documents
from policy_kb.load.facts import Facts, Row
from policy_kb.source import Span
from tests.strategies.texts import odd_texts

CASE = Attribute("case", "Case", "symbol")
PRODUCT_TABLE = Domain("product", (0, 1))

KNOWN = {
    "product": {
        ("Lemtrada", "alemtuzumab"),
        ("alemtuzumab", "alemtuzumab"),
        ("Avonex", "interferon beta-1a"),
        ("Rebif", "interferon beta-1a"),
        ("Gilenya", "fingolimod"),
    }
}


def symbol(name: str, *values: str, any_case: bool = False) -> Attribute:
    return Attribute(name, "symbol", "symbol", one_of=values or None, any_case=any_case)


def product(name: str = "product") -> Attribute:
    return Attribute(name, "symbol", "symbol", domain=PRODUCT_TABLE)


def date(name: str, may_be_ongoing: bool = False) -> Attribute:
    return Attribute(name, "Date", "number", is_date=True, may_be_ongoing=may_be_ongoing)


def number(name: str, at_least: int | None = None, at_most: int | None = None) -> Attribute:
    return Attribute(name, "number", "number", at_least=at_least, at_most=at_most)


def case_relation(name: str, *attributes: Attribute, **notes: Any) -> Relation:
    line = sum(map(ord, name))
    return Relation(
        name, (CASE, *attributes), "", Span("kb/case.dl", line), is_case=True, **{"is_input": True, **notes}
    )


RELATIONS = [
    case_relation(
        "request", product("drug"), symbol("phase", "initiation", "continuation"), date("received"),
        is_single=True, is_required=True,
    ),
    case_relation("diagnosis", symbol("condition", "RRMS", "active SPMS", "SPMS")),
    case_relation("relapse", date("on"), ask="When did relapses begin?"),
    case_relation("therapy", product(), date("started"), date("stopped", may_be_ongoing=True)),
    case_relation("mri", date("on"), symbol("finding", "new lesion", "no lesion"), number("lesions", at_least=0)),
    case_relation("concurrent_therapy", product()),
    case_relation("planned_dose", Attribute("mg_per_day", "float", "float", at_least=0)),
    case_relation("antiviral_prophylaxis", symbol("agent", any_case=True), number("months", at_least=0)),
    case_relation("prior_approval", symbol("payer")),
    case_relation("previously_met_criteria"),
    case_relation("documentation", symbol("supports", "prior therapy", "disease activity"), always_open="document"),
    case_relation("age", number("years", at_least=0, at_most=130), is_single=True, is_closed=True),
    case_relation("billing_code", symbol("code"), is_closed=True),
    case_relation("attested", is_closed=True),
    case_relation("met", is_input=False),
    Relation("product", (symbol("product"), symbol("ingredient")), "", Span("kb/products.dl", 1), is_input=True),
]

PROGRAM = CheckedProgram("kb/case.dl", {}, {one.name: one for one in RELATIONS}, (), (), (), (), (), ())

REQUEST = "{drug: Lemtrada, phase: initiation, received: 2025-09-02}"
BASE = f"case: A-1\nrequest: {REQUEST}\n"
"""Two lines that make a case; what a test adds stands in line 3."""


def documents_of(text: str | bytes, ending: str = "yaml") -> list[Document]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"case.{ending}"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return list(read_documents(path, path.name))


def facts_of(text: str | bytes, ending: str = "yaml") -> Facts:
    [document] = documents_of(text, ending)
    return load_case(PROGRAM, KNOWN, document)


def problems_of(text: str | bytes, ending: str = "yaml") -> list[Diagnostic]:
    """The problems a case is refused with; none where it is loaded."""
    try:
        facts_of(text, ending)
    except CaseRefused as refused:
        return refused.diagnostics
    return []


def pinned(problem: Diagnostic) -> tuple[str, str, str, str | None, str | None]:
    """A problem as tests pin it: place, underlined text, message with its kind, path and hint."""
    underlined = (problem.excerpt or "")[problem.span.column - 1 : problem.span.end - 1]
    place = f"{problem.span.line}:{problem.span.column}"
    return place, underlined, f"{problem.message} [{problem.kind}]", problem.path, problem.hint


def row_values(facts: Facts, relation: str) -> list[tuple[object, ...]]:
    """The rows of a relation without the case."""
    return [row.values[1:] for row in facts.rows[relation]]


def said(facts: Facts) -> tuple[object, ...]:
    """Everything a case says, without the places."""

    def without_place(row: Row) -> tuple[object, ...]:
        return row.values, row.is_uncertain

    rows = {name: [without_place(row) for row in rows] for name, rows in facts.rows.items()}
    return facts.case, rows, dict(facts.open), sorted(facts.stated), facts.digest


def as_json(case: object) -> str:
    return json.dumps(case, ensure_ascii=False)


_DATES = st.dates(datetime.date(1900, 1, 1), datetime.date(2199, 12, 31)).map(str)
_NAMES = odd_texts.map(lambda name: f"other: {name}").filter(lambda name: "a" not in name.casefold())
_PRODUCTS = st.sampled_from(sorted(row[0] for row in KNOWN["product"])) | _NAMES


def _values(attribute: Attribute) -> st.SearchStrategy[object]:
    if attribute.one_of:
        return st.sampled_from(attribute.one_of)
    if attribute.is_date:
        return _DATES | st.just("ongoing") if attribute.may_be_ongoing else _DATES
    if attribute.domain:
        return _PRODUCTS
    if attribute.kind == "number":
        most = 2**63 - 1 if attribute.at_most is None else int(attribute.at_most)
        return st.integers(int(attribute.at_least or 0), most)
    if attribute.kind == "float":
        return st.decimals(0, 10**6, places=3).map(float) | st.sampled_from([0.1, 12.5, 76.8, 1.6]) | st.integers(0, 24)
    return odd_texts


@st.composite
def cases(draw: st.DrawFn) -> dict[str, object]:
    """Any valid case, as Python data; not every valid way to write it."""
    case: dict[str, object] = {"case": draw(odd_texts)}
    listable = []
    for relation in PROGRAM.inputs():
        attributes = relation.attributes[1:]
        is_single = relation.is_single
        if relation.can_be_listed_incomplete:
            listable.append(relation.name)
        if not relation.is_required and draw(st.booleans()):
            continue
        if not attributes:
            case[relation.name] = draw(st.booleans())
            continue
        row = st.fixed_dictionaries(
            {one.name: _values(one) for one in attributes},
            optional={} if is_single else {"uncertain": st.booleans()},
        )
        if is_single:
            case[relation.name] = draw(row)
        elif len(attributes) == 1:
            case[relation.name] = draw(st.lists(row | _values(attributes[0]), max_size=3))
        else:
            case[relation.name] = draw(st.lists(row, max_size=3))
    if draw(st.booleans()):
        case["record"] = "complete"
    if draw(st.booleans()):
        case["incomplete"] = draw(st.lists(st.sampled_from(listable), max_size=3))
    return case
