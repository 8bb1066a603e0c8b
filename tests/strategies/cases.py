"""Random cases for guideline 09-J2000-27, and random completions of a case.

Written from the format of cases and what each relation means, without looking at the rules. One
description of a case serves two sources of randomness: hypothesis, whose failures shrink, and `random.Random`, which
is fast enough for many thousands of cases. Both offer the three draws of `Draw`; everything else is written once.

A case leans towards meeting the criteria: for each relation it is drawn, with a chance of its own, what a good case
would say, and otherwise anything valid, often a value at a boundary. So every criterion has each of its answers often
enough, and so does the decision.

A *completion* settles what a case leaves unknown: every open relation gets its rows, every uncertain row is kept or
dropped. What is only "possibly" met is not settled by it, since no record can.
"""

from __future__ import annotations

import random
from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType
from typing import Protocol, TypeVar

from hypothesis import strategies as st

from tests.kb.independent_reading import GENERIC_INGREDIENTS, PREFERRED_INGREDIENTS, PRODUCTS, Product

Item = TypeVar("Item")
Row = dict[str, object]
Document = dict[str, object]


# --- sources of randomness -------------------------------------------------------------------------------------------


class Draw(Protocol):
    """The draws a case is made of. The first item, the least number and "no" are the simplest outcomes."""

    def integer(self, least: int, most: int) -> int: ...

    def pick(self, items: Sequence[Item]) -> Item: ...

    def chance(self, percent: int) -> bool: ...


class RandomDraw:
    def __init__(self, source: random.Random) -> None:
        self._random = source.random

    def integer(self, least: int, most: int) -> int:
        return least + int(self._random() * (most - least + 1))

    def pick(self, items: Sequence[Item]) -> Item:
        return items[int(self._random() * len(items))]

    def chance(self, percent: int) -> bool:
        return self._random() * 100 < percent


class HypothesisDraw:
    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def integer(self, least: int, most: int) -> int:
        return self._draw(st.integers(least, most))

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self._draw(st.integers(0, len(items) - 1))]

    def chance(self, percent: int) -> bool:
        return self._draw(st.integers(0, 99)) >= 100 - percent


# --- the vocabulary --------------------------------------------------------------------------------------------------

PHASES = ("initiation", "continuation")

ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "request": ("drug", "phase", "received"),
        "planned_first_dose": ("on",),
        "planned_dose": ("mg_per_day",),
        "doses_requested": ("doses",),
        "line_of_business": ("line",),
        "billing_code": ("code",),
        "age": ("years",),
        "step_exemption": ("status",),
        "diagnosis": ("condition",),
        "icd10": ("code", "recorded"),
        "alemtuzumab_course": ("number", "first_dose", "last_dose"),
        "relapse": ("on",),
        "mri": ("on", "finding", "lesions"),
        "therapy": ("product", "started", "stopped"),
        "inadequate_response": ("product",),
        "intolerance": ("product", "cause"),
        "hypersensitivity": ("product",),
        "contraindication": ("product", "basis"),
        "prescriber_support": ("over", "review"),
        "hiv_test": ("result", "on"),
        "antiviral_prophylaxis": ("agent", "months"),
        "concurrent_therapy": ("product",),
        "prior_approval": ("payer",),
        "previously_met_criteria": (),
        "beneficial_response": ("kind",),
        "documentation": ("supports",),
    }
)
SINGLE = ("planned_first_dose", "doses_requested", "line_of_business", "age")
ATTESTED = "previously_met_criteria"
CLOSED = (*SINGLE[:3], "billing_code", "step_exemption", "icd10", "prescriber_support")
ALWAYS_OPEN = "documentation"
LISTED = tuple(name for name in ATTRIBUTES if name not in ("request", ATTESTED, *SINGLE))
"""The relations of any number of rows: the only ones with uncertain rows, and the only ones that can be incomplete."""

CONDITIONS = ("RRMS", "active SPMS", "SPMS", "MS", "non-active SPMS", "PPMS", "CIS")
ICD10_MEETING = ("G35.A", "G35A", "g35.a", "g35a", "G35.C1", "g35.C1", "G35C1")
ICD10_OTHER = (
    *("G35", "g35", "G35.D", "g35d", "G35.C", "G35C", "G35.C0", "g35c0", "G35.C2", "g35c2"),
    *("G35.B", "G35B0", "G35.B1", "g35.b2", "G36.0", "Z79.899", "H46"),
)
FINDINGS = ("gadolinium-enhancing lesion", "new or enlarging T2 lesion", "significant increase in T2 lesion load")
CAUSES = ("drug", "excipient", "route of administration", "unknown")
BASES = ("FDA label", "other", "unknown")
OVER = ("generic agents", "preferred brand agents")
REVIEWS = ("accepted", "submitted", "rejected")
AGENTS = ("acyclovir", "valacyclovir", "famciclovir", "Acyclovir", "VALACYCLOVIR", "Zovirax", "aciclovir")
OTHER_AGENTS = ("ganciclovir", "letermovir")
OTHER_PRODUCTS = ("other: baclofen", "other: dalfampridine", "other: azathioprine", "other: Vitamin D")
PAYERS = ("Florida Blue", "another health plan")
SUPPORTS = ("disease activity", "prior therapy", "activity after second course")
LINES = ("commercial", "Medicare Advantage", "commercial", "Medicare Advantage", "FEP", "SAO", "Medicare Part D")
DOSES_WITHIN = (12, 12.0, 11.5, 6, 11.999)
DOSES_ABOVE = (12.001, 12.5, 13, 24)

ALL_PRODUCTS = tuple(PRODUCTS)


def _products(wanted: Callable[[str], bool]) -> tuple[str, ...]:
    return tuple(name for name in ALL_PRODUCTS if wanted(name))


def _of_each(key: Callable[[Product], str], values: Iterable[str]) -> Iterable[tuple[str, ...]]:
    """The products of each value, in the order of the values."""
    for value in sorted(values):
        yield tuple(name for name, product in PRODUCTS.items() if key(product) == value)


GENERIC = _products(lambda name: PRODUCTS[name].generic_step == "yes")
MAYBE_GENERIC = _products(lambda name: PRODUCTS[name].generic_step == "possible")
PREFERRED = _products(lambda name: PRODUCTS[name].preferred_brand == "yes")
MAYBE_PREFERRED = _products(lambda name: PRODUCTS[name].preferred_brand == "possible")
EXCLUDED = _products(lambda name: PRODUCTS[name].excluded_in_combination)
NOT_EXCLUDED = (*OTHER_PRODUCTS, "Zinbryta")
ALEMTUZUMAB = _products(lambda name: PRODUCTS[name].ingredient == "alemtuzumab")
OF_GENERIC_INGREDIENT = _products(lambda name: PRODUCTS[name].ingredient in GENERIC_INGREDIENTS)
OF_PREFERRED_INGREDIENT = _products(lambda name: PRODUCTS[name].ingredient in PREFERRED_INGREDIENTS)
PRODUCT_GROUPS = (
    *(ALL_PRODUCTS, GENERIC, MAYBE_GENERIC, PREFERRED, MAYBE_PREFERRED),
    *(EXCLUDED, NOT_EXCLUDED, ALEMTUZUMAB, OF_GENERIC_INGREDIENT, OF_PREFERRED_INGREDIENT),
)
GENERIC_BY_INGREDIENT = tuple(_of_each(lambda product: product.ingredient, GENERIC_INGREDIENTS))
PREFERRED_BY_INGREDIENT = tuple(_of_each(lambda product: product.ingredient, PREFERRED_INGREDIENTS))
CLASSES = tuple(
    _of_each(
        lambda product: product.drug_class,
        {product.drug_class for product in PRODUCTS.values()} - {"", "anti-CD52 antibody"},
    )
)


# --- dates -----------------------------------------------------------------------------------------------------------

EARLIEST, LATEST = date(1950, 1, 1), date(2150, 12, 31)
"""Well within what the format admits, so that there is always room before and after a date."""

BOUNDARY_DAYS = (
    *(date(2025, 7, 15), date(2025, 7, 16), date(2025, 9, 30), date(2025, 10, 1), date(2025, 12, 31)),
    *(date(2026, 1, 1), date(2027, 2, 28), date(2028, 2, 28), date(2028, 2, 29), date(2028, 3, 1), date(2029, 2, 28)),
    *(date(2026, 3, 31), date(2026, 5, 31)),
)
TOO_EARLY = (date(2025, 7, 14), date(2025, 1, 31), date(2024, 2, 29))


def _clamp(day: date) -> date:
    return max(EARLIEST, min(LATEST, day))


def _days(day: date, days: int) -> date:
    return _clamp(day + timedelta(days))


def _months(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return _clamp(date(year, month + 1, min(day.day, monthrange(year, month + 1)[1])))


@dataclass
class Scene:
    """What the relations of one case have to agree on, to meet the criteria or to miss them narrowly."""

    phase: str
    received: date
    route: str = "2.b"
    """The alternative of initiation 2 a good case takes."""
    planned: date | None = None
    first_dose: date | None = None
    second_course_end: date | None = None
    anchors: list[date] = field(default_factory=list)
    """Dates that other dates are drawn near to."""

    @property
    def start(self) -> date:
        return self.planned or self.received


def _some_date(draw: Draw, scene: Scene) -> date:
    """A date at, just beside, a year away from or far from another one of the case."""
    anchor = draw.pick(scene.anchors)
    months = draw.pick((0, 0, 0, -12, -12, 12, -24, -1, 3))
    days = draw.pick((0, 0, -1, 1, 0, -30, 45, -200, 366, -365, -1000))
    return _days(_months(anchor, months), days)


def _some_past(draw: Draw, scene: Scene) -> date:
    """A date of what has happened: at most 12 months after receipt, beyond which a case is refused."""
    return min(_some_date(draw, scene), _months(scene.received, 12))


def _some_received(draw: Draw) -> date:
    if draw.chance(4):
        return draw.pick(TOO_EARLY)
    if draw.chance(50):
        return draw.pick(BOUNDARY_DAYS)
    return _days(date(2025, 7, 15), draw.integer(0, 1800))


# --- any valid row ---------------------------------------------------------------------------------------------------


def _some_product(draw: Draw) -> str:
    return draw.pick(draw.pick(PRODUCT_GROUPS))


def _in_order(first: date, last: date) -> tuple[str, str]:
    return (first.isoformat(), last.isoformat()) if first <= last else (last.isoformat(), first.isoformat())


def _some_therapy(draw: Draw, scene: Scene) -> Row:
    product, first = _some_product(draw), _some_date(draw, scene)
    started, stopped = _in_order(first, _some_date(draw, scene))
    if draw.chance(25):
        return {"product": product, "started": first.isoformat(), "stopped": "ongoing"}
    return {"product": product, "started": started, "stopped": stopped}


def _some_course(draw: Draw, scene: Scene) -> Row:
    last = _some_past(draw, scene)
    first = min(_days(last, draw.pick((-4, -2, 0, -30))), scene.received)
    return {
        "number": draw.pick((1, 2, 2, 3, 1, 4)),
        "first_dose": first.isoformat(),
        "last_dose": last.isoformat(),
    }


def _some_mri(draw: Draw, scene: Scene) -> Row:
    return {
        "on": _some_past(draw, scene).isoformat(),
        "finding": draw.pick(FINDINGS),
        "lesions": draw.pick((1, 2, 0, 1, 3)),
    }


def _some_icd10(draw: Draw, scene: Scene) -> Row:
    return {"code": draw.pick((*ICD10_MEETING, *ICD10_OTHER)), "recorded": _some_past(draw, scene).isoformat()}


def _some_hiv_test(draw: Draw, scene: Scene) -> Row:
    result = draw.pick(("negative", "positive", "indeterminate"))
    return {"result": result, "on": _some_past(draw, scene).isoformat()}


SOME_ROW: Mapping[str, Callable[[Draw, Scene], Row]] = MappingProxyType(
    {
        "planned_dose": lambda draw, _: {"mg_per_day": draw.pick((*DOSES_WITHIN, *DOSES_ABOVE))},
        "billing_code": lambda draw, _: {"code": draw.pick(("J0202", "J9010"))},
        "step_exemption": lambda draw, _: {"status": draw.pick(("requested", "approved"))},
        "diagnosis": lambda draw, _: {"condition": draw.pick(CONDITIONS)},
        "icd10": _some_icd10,
        "alemtuzumab_course": _some_course,
        "relapse": lambda draw, scene: {"on": _some_past(draw, scene).isoformat()},
        "mri": _some_mri,
        "therapy": _some_therapy,
        "inadequate_response": lambda draw, _: {"product": _some_product(draw)},
        "intolerance": lambda draw, _: {"product": _some_product(draw), "cause": draw.pick(CAUSES)},
        "hypersensitivity": lambda draw, _: {"product": _some_product(draw)},
        "contraindication": lambda draw, _: {"product": _some_product(draw), "basis": draw.pick(BASES)},
        "prescriber_support": lambda draw, _: {"over": draw.pick(OVER), "review": draw.pick(REVIEWS)},
        "hiv_test": _some_hiv_test,
        "antiviral_prophylaxis": lambda draw, _: {
            "agent": draw.pick((*AGENTS, *OTHER_AGENTS)),
            "months": draw.pick((2, 1, 3, 0)),
        },
        "concurrent_therapy": lambda draw, _: {"product": _some_product(draw)},
        "prior_approval": lambda draw, _: {"payer": draw.pick(PAYERS)},
        "beneficial_response": lambda draw, _: {"kind": draw.pick(("reduction in relapses", "other"))},
        "documentation": lambda draw, _: {"supports": draw.pick(SUPPORTS)},
    }
)


def _all_of_a_list(draw: Draw, groups: Sequence[Sequence[str]]) -> list[Row]:
    """Contraindications to a product of each ingredient of a list, now and then with a flaw in one of them."""
    rows: list[Row] = [{"product": draw.pick(group), "basis": "FDA label"} for group in groups]
    if draw.chance(35):
        flawed = draw.integer(0, len(rows) - 1)
        if draw.chance(30):
            del rows[flawed]
        else:
            rows[flawed]["basis"] = draw.pick(("unknown", "other"))
    return rows


def _some_rows(draw: Draw, scene: Scene, relation: str) -> list[Row]:
    if relation == "contraindication" and draw.chance(40):
        return _all_of_a_list(draw, draw.pick((GENERIC_BY_INGREDIENT, PREFERRED_BY_INGREDIENT)))
    return [SOME_ROW[relation](draw, scene) for _ in range(draw.pick((1, 0, 2, 1, 3)))]


# --- what a good case says -------------------------------------------------------------------------------------------


def _good_condition(draw: Draw, _: Scene) -> list[Row]:
    return [{"condition": draw.pick(("RRMS", "active SPMS"))}]


def _good_icd10(draw: Draw, scene: Scene) -> list[Row]:
    if draw.chance(50):
        return []
    return [{"code": draw.pick(ICD10_MEETING), "recorded": _some_past(draw, scene).isoformat()}]


def _good_courses(draw: Draw, scene: Scene) -> list[Row]:
    """None at initiation; else one or two, the last of them at least twelve months before the planned dose."""
    if scene.phase == "initiation":
        return []
    rows: list[Row] = []
    last = min(_days(_months(scene.start, -12), draw.pick((0, 0, -1, -40))), scene.received)
    courses = draw.pick((1, 2, 2))
    for number in range(courses, 0, -1):
        first = _days(last, -4 if number == 1 else -2)
        rows.insert(0, {"number": number, "first_dose": first.isoformat(), "last_dose": last.isoformat()})
        scene.anchors.append(last)
        if number == 2:
            scene.second_course_end = last
        scene.first_dose = first
        last = _days(_months(first, -12), draw.pick((0, -1, -30)))
    return rows


def _good_relapses(draw: Draw, scene: Scene) -> list[Row]:
    """Two in the year before the request, at its very ends now and then; after course 2, one after it."""
    if scene.phase == "continuation":
        end = scene.second_course_end
        if end is None:
            return []
        on = _days(end, draw.pick((1, 0, 30, 200)))
        return [{"on": min(on, _months(scene.received, 12)).isoformat()}]
    first = _months(scene.received, -12)
    days = {
        draw.pick((first, _days(first, 1), _days(first, 100))),
        draw.pick((scene.received, _days(scene.received, -1), _days(scene.received, -100))),
    }
    return [{"on": day.isoformat()} for day in sorted(days)]


def _good_mri(draw: Draw, scene: Scene) -> list[Row]:
    if scene.phase == "initiation":
        finding = draw.pick(("gadolinium-enhancing lesion", "significant increase in T2 lesion load"))
        return [{"on": _some_past(draw, scene).isoformat(), "finding": finding, "lesions": 1}]
    if scene.second_course_end is None:
        return []
    finding, lesions = draw.pick(
        (("new or enlarging T2 lesion", 2), ("gadolinium-enhancing lesion", 1), ("new or enlarging T2 lesion", 1))
    )
    latest = _months(scene.received, 12)
    on = min(_days(scene.second_course_end, draw.pick((1, 40, 0))), latest)
    rows: list[Row] = [{"on": on.isoformat(), "finding": finding, "lesions": lesions}]
    if draw.chance(20):
        on = min(_days(on, 60), latest)
        rows.append({"on": on.isoformat(), "finding": "new or enlarging T2 lesion", "lesions": 1})
    return rows


def _good_therapies(draw: Draw, scene: Scene) -> list[Row]:
    """Drugs of some classes, all stopped before the first dose (that very day at the latest)."""
    end = _days(scene.first_dose or scene.received, draw.pick((0, 0, -1, -90)))
    rows: list[Row] = []
    first_class = draw.integer(0, len(CLASSES) - 1)
    for step in range(draw.pick((3, 3, 2, 1, 0))):
        started = _days(end, draw.pick((-200, -400, 0)))
        rows.append(
            {
                "product": draw.pick(CLASSES[(first_class + step) % len(CLASSES)]),
                "started": started.isoformat(),
                "stopped": end.isoformat(),
            }
        )
        end = _days(started, -1)
    return rows


def _good_inadequate_responses(draw: Draw, _: Scene) -> list[Row]:
    return [{"product": draw.pick(GENERIC)}, {"product": draw.pick(PREFERRED)}]


def _good_intolerances(draw: Draw, _: Scene) -> list[Row]:
    excipient = draw.chance(40)
    cause = "excipient" if excipient else "drug"
    return [
        {"product": draw.pick(GENERIC if excipient else OF_GENERIC_INGREDIENT), "cause": cause},
        {"product": draw.pick(PREFERRED if excipient else OF_PREFERRED_INGREDIENT), "cause": cause},
    ]


def _good_hypersensitivities(draw: Draw, _: Scene) -> list[Row]:
    return [{"product": draw.pick(OF_GENERIC_INGREDIENT)}, {"product": draw.pick(OF_PREFERRED_INGREDIENT)}]


def _good_contraindications(draw: Draw, _: Scene) -> list[Row]:
    return [*_all_of_a_list(draw, GENERIC_BY_INGREDIENT), *_all_of_a_list(draw, PREFERRED_BY_INGREDIENT)]


def _good_support(_: Draw, __: Scene) -> list[Row]:
    return [{"over": over, "review": "accepted"} for over in OVER]


def _good_hiv_tests(draw: Draw, scene: Scene) -> list[Row]:
    last = _days(scene.received, draw.pick((-30, 0, -400)))
    rows: list[Row] = [{"result": "negative", "on": last.isoformat()}]
    if draw.chance(20):
        result = draw.pick(("negative", "indeterminate"))
        rows.insert(0, {"result": result, "on": _days(last, -14).isoformat()})
    return rows


def _good_documents(draw: Draw, _: Scene) -> list[Row]:
    return [{"supports": what} for what in SUPPORTS if not draw.chance(5)]


GOOD_ROWS: Mapping[str, Callable[[Draw, Scene], list[Row]]] = MappingProxyType(
    {
        "planned_dose": lambda draw, _: [{"mg_per_day": draw.pick(DOSES_WITHIN)}],
        "billing_code": lambda _, __: [{"code": "J0202"}],
        "step_exemption": lambda draw, scene: [{"status": "approved"}] if scene.route == "exemption" else [],
        "diagnosis": _good_condition,
        "icd10": _good_icd10,
        "alemtuzumab_course": _good_courses,
        "relapse": _good_relapses,
        "mri": _good_mri,
        "therapy": _good_therapies,
        "inadequate_response": _good_inadequate_responses,
        "intolerance": _good_intolerances,
        "hypersensitivity": _good_hypersensitivities,
        "contraindication": _good_contraindications,
        "prescriber_support": _good_support,
        "hiv_test": _good_hiv_tests,
        "antiviral_prophylaxis": lambda draw, _: [{"agent": draw.pick(AGENTS), "months": draw.pick((2, 3))}],
        "concurrent_therapy": lambda draw, _: [{"product": draw.pick(NOT_EXCLUDED)}] if draw.chance(30) else [],
        "prior_approval": lambda draw, _: [{"payer": draw.pick(PAYERS)}],
        "beneficial_response": lambda _, __: [{"kind": "reduction in relapses"}],
        "documentation": _good_documents,
    }
)

ROUTES = ("2.b", "2.a", "2.c", "exemption", "2.c")
ROUTE_RELATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "2.a": ("relapse", "mri"),
        "2.b": ("therapy",),
        "2.c": ("inadequate_response", "intolerance", "hypersensitivity", "contraindication", "prescriber_support"),
        "exemption": ("step_exemption",),
    }
)
OFF_ROUTE = (*ROUTE_RELATIONS["2.a"], *ROUTE_RELATIONS["2.c"])
"""Where the route does not need these, a good case may leave them out."""


# --- one case --------------------------------------------------------------------------------------------------------


def _written(draw: Draw, relation: str, rows: Sequence[Row]) -> object:
    """The rows in one of the ways the format admits: with and without the list, with and without the attribute."""
    attributes = ATTRIBUTES[relation]
    entries: list[object] = []
    for row in rows:
        plain = len(attributes) == 1 and "uncertain" not in row and not draw.chance(25)
        entries.append(row[attributes[0]] if plain else row)
    return entries[0] if len(entries) == 1 and draw.chance(50) else entries


def _needed(scene: Scene, relation: str) -> bool:
    if relation not in OFF_ROUTE:
        return True
    if scene.phase == "continuation":
        return relation in ("relapse", "mri")
    return relation in ROUTE_RELATIONS.get(scene.route, ())


def _listed(draw: Draw, scene: Scene, relation: str, lean: int, document: Document, incomplete: list[str]) -> None:
    """Adds one relation of any number of rows to the document, or leaves it out."""
    good = draw.chance(lean)
    if good and not (_needed(scene, relation) or draw.chance(12)):
        return
    if good:
        rows = GOOD_ROWS[relation](draw, scene)
        unsure = 2 if lean > 90 else 8
    else:
        if draw.chance(30):
            if draw.chance(25):
                incomplete.append(relation)
            return
        rows = _some_rows(draw, scene, relation)
        unsure = 20
    if rows and draw.chance(unsure):
        for row in rows:
            if draw.chance(60):
                row["uncertain"] = True
    if rows and draw.chance(3):
        again = dict(draw.pick(rows))
        if draw.chance(30):
            again["uncertain"] = True
        rows.append(again)
    if draw.chance(unsure):
        incomplete.append(relation)
    document[relation] = _written(draw, relation, rows)


def build_case(draw: Draw, phase: str | None = None) -> Document:
    """One valid case, with any of the liberties of the format."""
    scene = Scene(phase or draw.pick(PHASES), _some_received(draw), draw.pick(ROUTES))
    scene.anchors = [scene.received, draw.pick((scene.received, *BOUNDARY_DAYS))]
    request = {
        "drug": draw.pick(("Lemtrada", "alemtuzumab")),
        "phase": scene.phase,
        "received": scene.received.isoformat(),
    }
    document: Document = {"case": f"case-{draw.integer(0, 10**9)}"}
    document["request"] = [request] if draw.chance(10) else request
    lean = draw.pick((98, 94, 80, 98, 50, 20))
    complete = draw.chance(50 if lean > 90 else 30)
    if complete:
        document["record"] = "complete"

    single: dict[str, object] = {}
    if draw.chance(75 if scene.phase == "continuation" else 40):
        scene.planned = _days(scene.received, draw.pick((14, 0, 60, -1)))
        if draw.chance(15):
            scene.planned = _some_date(draw, scene)
        scene.anchors.append(scene.planned)
        single["planned_first_dose"] = scene.planned.isoformat()
    if draw.chance(40):
        single["doses_requested"] = draw.pick((5, 3, 4, 8))
    if draw.chance(70):
        single["line_of_business"] = draw.pick(LINES[:4] if draw.chance(90) else LINES)
    if draw.chance(60):
        single["age"] = draw.pick((40, 18, 17, 65))
    for relation in SINGLE:
        if relation in single:
            document[relation] = _written(draw, relation, [{ATTRIBUTES[relation][0]: single[relation]}])
        elif draw.chance(5):
            document[relation] = []

    incomplete: list[str] = []
    for relation in LISTED:
        _listed(draw, scene, relation, lean, document, incomplete)
    if draw.chance(50):
        document[ATTESTED] = draw.chance(60)
    if incomplete or draw.chance(3):
        document["incomplete"] = incomplete
    return document


# --- completions -----------------------------------------------------------------------------------------------------


def _entries(document: Mapping[str, object], relation: str) -> list[Row]:
    """The rows of a relation of a document, each as a mapping of its attributes."""
    value = document.get(relation, [])
    attributes = ATTRIBUTES[relation]
    listed = value if isinstance(value, list) else [value]
    return [dict(entry) if isinstance(entry, dict) else {attributes[0]: entry} for entry in listed]


def _dates(rows: Iterable[Row]) -> Iterable[date]:
    for row in rows:
        for name, value in row.items():
            if name in ("on", "received", "started", "stopped", "first_dose", "last_dose") and value != "ongoing":
                yield date.fromisoformat(str(value))


def is_open(document: Mapping[str, object], relation: str) -> bool:
    """Whether a valid case leaves room for rows of the relation that it does not mention."""
    incomplete = document.get("incomplete", [])
    if relation == ALWAYS_OPEN or (isinstance(incomplete, list) and relation in incomplete):
        return True
    return relation not in document and relation not in CLOSED and document.get("record") != "complete"


def build_completion(draw: Draw, document: Document) -> Document:
    """A case in which everything the document leaves unknown is stated, one way or another."""
    request = _entries(document, "request")[0]
    scene = Scene(str(request["phase"]), date.fromisoformat(str(request["received"])))
    stated = {relation: _entries(document, relation) for relation in ATTRIBUTES if relation != ATTESTED}
    scene.anchors = [day for rows in stated.values() for day in _dates(rows)]
    planned = stated["planned_first_dose"]
    scene.planned = date.fromisoformat(str(planned[0]["on"])) if planned else None
    ends = [row["last_dose"] for row in stated["alemtuzumab_course"] if row["number"] == 2]
    scene.second_course_end = date.fromisoformat(str(draw.pick(ends))) if ends else None
    firsts = [str(row["first_dose"]) for row in stated["alemtuzumab_course"]]
    scene.first_dose = date.fromisoformat(min(firsts)) if firsts else None

    complete: Document = {"case": document["case"], "request": document["request"], "record": "complete"}
    for relation in SINGLE:
        if relation in document:
            complete[relation] = document[relation]
    lean = draw.pick((60, 10, 95, 35))
    for relation in LISTED:
        rows = []
        for row in stated[relation]:
            if row.pop("uncertain", False) and draw.chance(50):
                continue
            rows.append(row)
        if is_open(document, relation):
            rows += GOOD_ROWS[relation](draw, scene) if draw.chance(lean) else _some_rows(draw, scene, relation)
        complete[relation] = rows
    if ATTESTED in document:
        complete[ATTESTED] = document[ATTESTED]
    elif document.get("record") == "complete":
        complete[ATTESTED] = False
    else:
        complete[ATTESTED] = draw.chance(50)
    return complete


# --- what tests use --------------------------------------------------------------------------------------------------


@st.composite
def alemtuzumab_cases(draw: st.DrawFn, phase: str | None = None) -> Document:
    """Valid case documents, of one phase or of either."""
    return build_case(HypothesisDraw(draw), phase)


@st.composite
def completions(draw: st.DrawFn, document: Document) -> Document:
    """Cases that settle everything the document leaves unknown."""
    return build_completion(HypothesisDraw(draw), document)


def random_case(source: random.Random, phase: str | None = None) -> Document:
    """A case like those of `alemtuzumab_cases`, fast."""
    return build_case(RandomDraw(source), phase)


def random_completion(source: random.Random, document: Document) -> Document:
    """A completion like those of `completions`, fast."""
    return build_completion(RandomDraw(source), document)
