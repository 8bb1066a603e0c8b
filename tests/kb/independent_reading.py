"""An independent reading of guideline 09-J2000-27, in plain Python, to test the Datalog rules against.

It was written from the guideline, the choices made where its words leave one, and the format of cases, without
looking at the rules or at any engine. It shares no idea with them: there is no inference here. Every criterion that has
no parts is decided by an argument about possible worlds written out beside it. A world holds

* every certain row,
* any subset of the uncertain rows,
* any rows at all besides, in a relation that is open, and
* what is only "possibly" met, settled either way.

A criterion is *met* if it is so in every world, *not met* if it is so in none, and *needs information* otherwise.
Criteria made of others, and the decision, combine the answers of their parts: the worst of "all of", the best of
"one of".

The document must be a valid case; nothing is checked. Dates are taken to have no first and no last day: that no relapse
can follow a dose on the last day the case format admits is not used to decide anything.
"""

from __future__ import annotations

import csv
from calendar import monthrange
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

PRODUCT_TABLE = Path(__file__).resolve().parents[2] / "kb" / "vocabulary" / "ms_products.csv"
REVISED = date(2025, 7, 15)
ONGOING = date(9999, 12, 31)
MAXIMUM_MG_PER_DAY = 12

DEFAULT_READINGS: Mapping[str, str] = MappingProxyType(
    {"previous_year": "rolling", "brand_trial": "ask", "support": "reviewer", "benefit": "relapse_reduction"}
)
NO_READINGS: Mapping[str, str] = MappingProxyType({})

CLOSED = frozenset(
    {
        "planned_first_dose",
        "doses_requested",
        "line_of_business",
        "billing_code",
        "step_exemption",
        "icd10",
        "prescriber_support",
    }
)
OTHER_RULES_APPLY = frozenset({"FEP", "SAO", "Medicare Part D"})

GADOLINIUM = "gadolinium-enhancing lesion"
NEW_T2 = "new or enlarging T2 lesion"
T2_LOAD = "significant increase in T2 lesion load"

GENERIC_INGREDIENTS = frozenset({"dimethyl fumarate", "fingolimod", "glatiramer acetate", "teriflunomide"})
PREFERRED_INGREDIENTS = frozenset(
    {
        "interferon beta-1a",
        "interferon beta-1b",
        "peginterferon beta-1a",
        "ofatumumab",
        "cladribine",
        "siponimod",
        "ozanimod",
    }
)
ANTIVIRALS = frozenset(
    {"acyclovir", "valacyclovir", "famciclovir", "aciclovir", "valaciclovir", "zovirax", "valtrex", "famvir"}
)

ICD10_CONDITION: Mapping[str, str] = MappingProxyType(
    {
        "G35A": "RRMS",
        "G35C1": "active SPMS",
        "G35C2": "non-active SPMS",
        "G35C": "SPMS",
        "G35C0": "SPMS",
        "G35B": "PPMS",
        "G35B0": "PPMS",
        "G35B1": "PPMS",
        "G35B2": "PPMS",
        "G35": "MS",
        "G35D": "MS",
    }
)
POSSIBLY_IS: Mapping[str, Collection[str]] = MappingProxyType({"MS": ("RRMS", "active SPMS"), "SPMS": ("active SPMS",)})


# --- three answers ---------------------------------------------------------------------------------------------------


class Answer(IntEnum):
    """The three answers, worst first, so that "all of" is the least and "one of" the greatest."""

    NOT_MET = 0
    NEEDS_INFORMATION = 1
    MET = 2


WORDS = {Answer.NOT_MET: "not met", Answer.NEEDS_INFORMATION: "needs information", Answer.MET: "met"}


def all_of(*answers: Answer) -> Answer:
    return min(answers)


def one_of(*answers: Answer) -> Answer:
    return max(answers)


def opposite(answer: Answer) -> Answer:
    return Answer(Answer.MET - answer)


def between(certainly: bool, possibly: bool) -> Answer:
    """The answer of a criterion that holds in every world (`certainly`) or at least in one (`possibly`)."""
    if certainly:
        return Answer.MET
    return Answer.NEEDS_INFORMATION if possibly else Answer.NOT_MET


@dataclass(frozen=True)
class Reading:
    """What the guideline says of one case: the decision, and an answer for every criterion of the phase."""

    decision: str
    criteria: dict[str, str]


# --- products --------------------------------------------------------------------------------------------------------


class Product(NamedTuple):
    name: str
    ingredient: str
    kind: str
    drug_class: str
    generic_step: str
    preferred_brand: str
    excluded_in_combination: bool


def _read_products() -> dict[str, Product]:
    with PRODUCT_TABLE.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    excluded_ingredients = {row["ingredient"] for row in rows if row["excluded_in_combination"] == "yes"}
    return {
        row["product"]: Product(
            row["product"],
            row["ingredient"],
            row["kind"],
            row["class"],
            row["generic_step"],
            row["preferred_brand"],
            row["ingredient"] in excluded_ingredients,
        )
        for row in rows
    }


PRODUCTS: Mapping[str, Product] = MappingProxyType(_read_products())


def product_named(name: str) -> Product:
    """The row of the product table; a drug outside it has no ingredient or class that any criterion speaks of."""
    return PRODUCTS.get(name) or Product(name, "", "", "", "no", "no", False)


def ingredient(name: str) -> str:
    return product_named(name).ingredient


def is_excluded_in_combination(name: str) -> bool:
    return product_named(name).excluded_in_combination


# --- dates -----------------------------------------------------------------------------------------------------------


def read_date(value: object) -> date:
    return ONGOING if value == "ongoing" else date.fromisoformat(str(value))


def months_after(day: date, months: int) -> date:
    """The same day that many calendar months later, or the last day of that month; `ongoing` stays what it is."""
    if day == ONGOING:
        return ONGOING
    year, month = divmod(day.year * 12 + (day.month - 1) + months, 12)
    month += 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def months_before(day: date, months: int) -> date:
    return months_after(day, -months)


# --- what the case says ----------------------------------------------------------------------------------------------


class Therapy(NamedTuple):
    product: str
    started: date
    stopped: date


class Mri(NamedTuple):
    on: date
    finding: str
    lesions: int


class HivTest(NamedTuple):
    result: str
    on: date


class Course(NamedTuple):
    number: int
    first_dose: date
    last_dose: date


class ProductNote(NamedTuple):
    """An intolerance with its cause, or a contraindication with its basis."""

    product: str
    qualifier: str


class Support(NamedTuple):
    over: str
    review: str


class Prophylaxis(NamedTuple):
    agent: str
    months: int


Row = TypeVar("Row")


@dataclass(frozen=True)
class Stated(Generic[Row]):
    """One relation of a case: the rows that hold, those that may or may not, and whether there may be others."""

    certain: frozenset[Row]
    uncertain: frozenset[Row]
    open: bool

    @property
    def possible(self) -> frozenset[Row]:
        return self.certain | self.uncertain

    def has(self, counts: Callable[[Row], bool], possibly_counts: Callable[[Row], bool] | None = None) -> Answer:
        """Is there a row that counts?

        Every world has the certain rows, so one of these that counts is enough. Without one, a row that only possibly
        counts, an uncertain row that does either, or any row of an open relation, may make it so in some world and be
        missing in another.
        """
        if any(counts(row) for row in self.certain):
            return Answer.MET
        if self.open or any(counts(row) or (possibly_counts and possibly_counts(row)) for row in self.possible):
            return Answer.NEEDS_INFORMATION
        return Answer.NOT_MET

    def has_any(self) -> Answer:
        return self.has(lambda row: True)


RawRow = Mapping[str, object]


class _Document:
    """The liberties of the case format, taken away."""

    def __init__(self, document: Mapping[str, object]) -> None:
        self._document = document
        self._complete = document.get("record") == "complete"
        incomplete = document.get("incomplete", [])
        self._incomplete = set(incomplete) if isinstance(incomplete, list) else {incomplete}

    def _is_open(self, relation: str) -> bool:
        if relation == "documentation" or relation in self._incomplete:
            return True
        return relation not in self._document and relation not in CLOSED and not self._complete

    def _raw_rows(self, relation: str, attribute: str | None) -> list[RawRow]:
        value = self._document.get(relation, [])
        entries = value if isinstance(value, list) else [value]
        return [entry if isinstance(entry, Mapping) else {str(attribute): entry} for entry in entries]

    def stated(self, relation: str, make: Callable[[RawRow], Row], attribute: str | None = None) -> Stated[Row]:
        """A relation's rows; `attribute` is its only attribute if a plain value may stand for a row."""
        raw = self._raw_rows(relation, attribute)
        certain = frozenset(make(row) for row in raw if row.get("uncertain") is not True)
        uncertain = frozenset(make(row) for row in raw if row.get("uncertain") is True)
        return Stated(certain, uncertain - certain, self._is_open(relation))

    def only(self, relation: str, attribute: str) -> object | None:
        """The value of a relation of one row and one attribute, or None: such a relation is always known."""
        rows = self._raw_rows(relation, attribute)
        return rows[0][attribute] if rows else None

    def request(self) -> RawRow:
        return self._raw_rows("request", None)[0]

    def attested(self, relation: str) -> Answer:
        """A relation without attributes: true, false, or not said."""
        if relation in self._document:
            return between(self._document[relation] is True, False)
        return between(False, self._is_open(relation))


def _text(name: str) -> Callable[[RawRow], str]:
    return lambda row: str(row[name])


def _day(name: str) -> Callable[[RawRow], date]:
    return lambda row: read_date(row[name])


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return value


def _whole(value: object) -> int:
    return int(_number(value))


def _icd10_condition(row: RawRow) -> str:
    """The condition an ICD-10-CM code stands for; a code that says nothing stands for none."""
    return ICD10_CONDITION.get(str(row["code"]).replace(".", "").upper(), "")


@dataclass(frozen=True)
class Case:
    phase: str
    received: date
    line_of_business: str | None
    planned_first_dose: date | None
    planned_dose: Stated[float]
    step_exemption: Stated[str]
    diagnosis: Stated[str]
    icd10_condition: Stated[str]
    relapse: Stated[date]
    mri: Stated[Mri]
    therapy: Stated[Therapy]
    inadequate_response: Stated[str]
    intolerance: Stated[ProductNote]
    hypersensitivity: Stated[str]
    contraindication: Stated[ProductNote]
    prescriber_support: Stated[Support]
    hiv_test: Stated[HivTest]
    antiviral_prophylaxis: Stated[Prophylaxis]
    concurrent_therapy: Stated[str]
    alemtuzumab_course: Stated[Course]
    prior_approval: Stated[str]
    previously_met_criteria: Answer
    beneficial_response: Stated[str]
    documentation: Stated[str]


def read_case(document: Mapping[str, object]) -> Case:
    said = _Document(document)
    request = said.request()
    line = said.only("line_of_business", "line")
    planned = said.only("planned_first_dose", "on")
    return Case(
        phase=str(request["phase"]),
        received=read_date(request["received"]),
        line_of_business=None if line is None else str(line),
        planned_first_dose=None if planned is None else read_date(planned),
        planned_dose=said.stated("planned_dose", lambda row: _number(row["mg_per_day"]), "mg_per_day"),
        step_exemption=said.stated("step_exemption", _text("status"), "status"),
        diagnosis=said.stated("diagnosis", _text("condition"), "condition"),
        icd10_condition=said.stated("icd10", _icd10_condition),
        relapse=said.stated("relapse", _day("on"), "on"),
        mri=said.stated("mri", lambda row: Mri(read_date(row["on"]), str(row["finding"]), _whole(row["lesions"]))),
        therapy=said.stated(
            "therapy",
            lambda row: Therapy(str(row["product"]), read_date(row["started"]), read_date(row["stopped"])),
        ),
        inadequate_response=said.stated("inadequate_response", _text("product"), "product"),
        intolerance=said.stated("intolerance", lambda row: ProductNote(str(row["product"]), str(row["cause"]))),
        hypersensitivity=said.stated("hypersensitivity", _text("product"), "product"),
        contraindication=said.stated(
            "contraindication", lambda row: ProductNote(str(row["product"]), str(row["basis"]))
        ),
        prescriber_support=said.stated("prescriber_support", lambda row: Support(str(row["over"]), str(row["review"]))),
        hiv_test=said.stated("hiv_test", lambda row: HivTest(str(row["result"]), read_date(row["on"]))),
        antiviral_prophylaxis=said.stated(
            "antiviral_prophylaxis", lambda row: Prophylaxis(str(row["agent"]).lower(), _whole(row["months"]))
        ),
        concurrent_therapy=said.stated("concurrent_therapy", _text("product"), "product"),
        alemtuzumab_course=said.stated(
            "alemtuzumab_course",
            lambda row: Course(_whole(row["number"]), read_date(row["first_dose"]), read_date(row["last_dose"])),
        ),
        prior_approval=said.stated("prior_approval", _text("payer"), "payer"),
        previously_met_criteria=said.attested("previously_met_criteria"),
        beneficial_response=said.stated("beneficial_response", _text("kind"), "kind"),
        documentation=said.stated("documentation", _text("supports"), "supports"),
    )


# --- criteria of both phases -----------------------------------------------------------------------------------------


def has_condition(case: Case, wanted: str) -> Answer:
    """A diagnosis or an ICD-10 code says so; a course that is not stated possibly is the one wanted."""

    def says_so(condition: str) -> bool:
        return condition == wanted

    def leaves_room(condition: str) -> bool:
        return wanted in POSSIBLY_IS.get(condition, ())

    return one_of(case.diagnosis.has(says_so, leaves_room), case.icd10_condition.has(says_so, leaves_room))


def antiviral_prophylaxis_is_planned(case: Case) -> Answer:
    """At least two months of one of the three antivirals; as long of another agent is a matter of judgement."""
    return case.antiviral_prophylaxis.has(
        lambda row: row.agent in ANTIVIRALS and row.months >= 2,
        lambda row: row.months >= 2,
    )


def not_in_combination(case: Case) -> Answer:
    """No excluded drug together with alemtuzumab.

    A drug stated as concurrent settles it. A therapy still running after the first infusion planned (after receipt
    where none is planned) does not: it may stop in time. So a possible one lowers the answer to "needs information" and
    no further.
    """
    concurrent = case.concurrent_therapy.has(is_excluded_in_combination)
    begins = case.planned_first_dose or case.received
    running = case.therapy.has(lambda row: is_excluded_in_combination(row.product) and row.stopped > begins)
    none_running = Answer.MET if running is Answer.NOT_MET else Answer.NEEDS_INFORMATION
    return all_of(opposite(concurrent), none_running)


def dose_is_within_limit(case: Case) -> Answer:
    """A daily dose is stated and none is above the limit.

    One certain dose above the limit fails every world. Otherwise the world of exactly one possible dose within it (or,
    in an open relation, one not mentioned) passes; and every world passes if such a dose is certain and no world has
    one above the limit.
    """
    doses = case.planned_dose

    def within(dose: float) -> bool:
        return dose <= MAXIMUM_MG_PER_DAY

    if not all(within(dose) for dose in doses.certain):
        return Answer.NOT_MET
    return between(
        certainly=bool(doses.certain) and all(within(dose) for dose in doses.possible) and not doses.open,
        possibly=doses.open or any(within(dose) for dose in doses.possible),
    )


def documents(case: Case, what: str) -> Answer:
    """Papers on file are certain; that there are none is never known."""
    return case.documentation.has(lambda supports: supports == what)


# --- initiation ------------------------------------------------------------------------------------------------------


def two_relapses_in_the_previous_year(case: Case, previous_year: str) -> Answer:
    """The number of distinct relapse dates in the window lies between the certain and the possible ones."""
    first = months_before(case.received, 12)

    def in_window(on: date) -> bool:
        if previous_year == "calendar_year":
            return on.year == case.received.year - 1
        return first <= on <= case.received

    fewest = sum(in_window(on) for on in case.relapse.certain)
    most = sum(in_window(on) for on in case.relapse.possible)
    return between(fewest >= 2, most >= 2 or case.relapse.open)


def mri_shows(case: Case, finding: str) -> Answer:
    return case.mri.has(lambda row: row.finding == finding and row.lesions >= 1)


def three_classes_tried(case: Case) -> Answer:
    """The number of distinct classes used lies between those of the certain and those of the possible therapies."""

    def classes(therapies: Collection[Therapy]) -> set[str]:
        started = (product_named(row.product) for row in therapies if row.started <= case.received)
        return {product.drug_class for product in started if product.drug_class}

    fewest = len(classes(case.therapy.certain))
    most = len(classes(case.therapy.possible))
    return between(fewest >= 3, most >= 3 or case.therapy.open)


def inadequate_response_to_a_generic(case: Case, brand_trial: str) -> Answer:
    """A product that may or may not be the generic asks, counts, or says nothing, as the reading has it."""

    def counts(name: str) -> bool:
        step = product_named(name).generic_step
        return step == "yes" or (step == "possible" and brand_trial == "counts")

    def possibly_counts(name: str) -> bool:
        product = product_named(name)
        return product.generic_step == "possible" and (brand_trial == "ask" or product.kind == "unspecified")

    return case.inadequate_response.has(counts, possibly_counts)


def inadequate_response_to_a_preferred_brand(case: Case) -> Answer:
    return case.inadequate_response.has(
        lambda name: product_named(name).preferred_brand == "yes",
        lambda name: product_named(name).preferred_brand == "possible",
    )


def does_not_tolerate(
    case: Case,
    ingredients: Collection[str],
    excipient_counts: Callable[[Product], bool],
    excipient_possibly_counts: Callable[[Product], bool],
) -> Answer:
    """Intolerance or hypersensitivity: to the drug itself at ingredient level, to an excipient only product by product.

    An unknown cause possibly is the drug; the route of administration never counts.
    """

    def intolerance_counts(row: ProductNote) -> bool:
        product = product_named(row.product)
        if row.qualifier == "drug":
            return product.ingredient in ingredients
        return row.qualifier == "excipient" and excipient_counts(product)

    def intolerance_possibly_counts(row: ProductNote) -> bool:
        product = product_named(row.product)
        if row.qualifier == "unknown":
            return product.ingredient in ingredients
        return row.qualifier == "excipient" and excipient_possibly_counts(product)

    return one_of(
        case.intolerance.has(intolerance_counts, intolerance_possibly_counts),
        case.hypersensitivity.has(lambda name: ingredient(name) in ingredients),
    )


def does_not_tolerate_a_generic(case: Case) -> Answer:
    return does_not_tolerate(
        case,
        GENERIC_INGREDIENTS,
        lambda product: product.generic_step == "yes",
        lambda product: product.generic_step != "yes" and product.ingredient in GENERIC_INGREDIENTS,
    )


def does_not_tolerate_a_preferred_brand(case: Case) -> Answer:
    return does_not_tolerate(
        case,
        PREFERRED_INGREDIENTS,
        lambda product: product.preferred_brand == "yes",
        lambda product: product.preferred_brand == "possible",
    )


def all_contraindicated(case: Case, ingredients: Collection[str]) -> Answer:
    """Each ingredient is contraindicated by the label of one of its products.

    The rows of different ingredients are different rows, so each ingredient can be judged on its own.
    """

    def contraindicated(wanted: str) -> Answer:
        return case.contraindication.has(
            lambda row: ingredient(row.product) == wanted and row.qualifier == "FDA label",
            lambda row: ingredient(row.product) == wanted and row.qualifier == "unknown",
        )

    return all_of(*(contraindicated(wanted) for wanted in ingredients))


def prescriber_supports(case: Case, over: str, support: str) -> Answer:
    def counts(row: Support) -> bool:
        enough = {"accepted", "submitted"} if support == "provided" else {"accepted"}
        return row.over == over and row.review in enough

    return case.prescriber_support.has(counts, lambda row: row.over == over and row.review == "submitted")


def step_exemption_is_approved(case: Case) -> Answer:
    return case.step_exemption.has(lambda status: status == "approved")


def never_treated_with_alemtuzumab(case: Case) -> Answer:
    treated = one_of(
        case.alemtuzumab_course.has_any(),
        case.therapy.has(lambda row: ingredient(row.product) == "alemtuzumab" and row.started <= case.received),
    )
    return opposite(treated)


def hiv_negative(case: Case) -> Answer:
    """The results of the latest day decide.

    In one world: no test at all asks; a positive result on the latest day fails; else an indeterminate one on that day
    asks; else, all of that day being negative, an earlier positive one asks and none passes.

    Over all worlds: an open relation can always hold a later test, of either result. Without a certain test the world
    without any asks. Let `latest` be the day of the latest certain test: every world's latest day is that day or the
    day of a later uncertain test, and each of these days is the latest in the world that adds no other row.
    * Met in every world: no possible row is positive, and every possible row from `latest` on is negative.
    * Not met in every world: a certain result of `latest` is positive, and so is every later uncertain one.
    """
    tests = case.hiv_test
    if tests.open or not tests.certain:
        return Answer.NEEDS_INFORMATION
    latest = max(row.on for row in tests.certain)
    never_positive = all(row.result != "positive" for row in tests.possible)
    if never_positive and all(row.result == "negative" for row in tests.possible if row.on >= latest):
        return Answer.MET
    later_all_positive = all(row.result == "positive" for row in tests.uncertain if row.on > latest)
    if HivTest("positive", latest) in tests.certain and later_all_positive:
        return Answer.NOT_MET
    return Answer.NEEDS_INFORMATION


def initiation(case: Case, readings: Mapping[str, str]) -> dict[str, Answer]:
    answers: dict[str, Answer] = {}
    answers["1.a"] = has_condition(case, "RRMS")
    answers["1.b"] = has_condition(case, "active SPMS")
    answers["1"] = one_of(answers["1.a"], answers["1.b"])
    answers["2.a.i"] = two_relapses_in_the_previous_year(case, readings["previous_year"])
    answers["2.a.ii.1"] = mri_shows(case, GADOLINIUM)
    answers["2.a.ii.2"] = mri_shows(case, T2_LOAD)
    answers["2.a.ii"] = one_of(answers["2.a.ii.1"], answers["2.a.ii.2"])
    answers["2.a"] = all_of(answers["2.a.i"], answers["2.a.ii"])
    answers["2.b"] = three_classes_tried(case)
    answers["2.c.i.1"] = inadequate_response_to_a_generic(case, readings["brand_trial"])
    answers["2.c.i.2"] = does_not_tolerate_a_generic(case)
    answers["2.c.i.3"] = all_contraindicated(case, GENERIC_INGREDIENTS)
    answers["2.c.i.4"] = prescriber_supports(case, "generic agents", readings["support"])
    answers["2.c.i"] = one_of(*(answers[f"2.c.i.{item}"] for item in (1, 2, 3, 4)))
    answers["2.c.ii.1"] = inadequate_response_to_a_preferred_brand(case)
    answers["2.c.ii.2"] = does_not_tolerate_a_preferred_brand(case)
    answers["2.c.ii.3"] = all_contraindicated(case, PREFERRED_INGREDIENTS)
    answers["2.c.ii.4"] = prescriber_supports(case, "preferred brand agents", readings["support"])
    answers["2.c.ii"] = one_of(*(answers[f"2.c.ii.{item}"] for item in (1, 2, 3, 4)))
    answers["2.c"] = all_of(answers["2.c.i"], answers["2.c.ii"])
    answers["2"] = one_of(
        all_of(answers["2.a"], documents(case, "disease activity")),
        all_of(one_of(answers["2.b"], answers["2.c"]), documents(case, "prior therapy")),
        step_exemption_is_approved(case),
    )
    answers["3"] = never_treated_with_alemtuzumab(case)
    answers["4"] = hiv_negative(case)
    answers["5"] = antiviral_prophylaxis_is_planned(case)
    answers["6"] = not_in_combination(case)
    answers["7"] = dose_is_within_limit(case)
    return answers


# --- continuation ----------------------------------------------------------------------------------------------------


def previously_approved(case: Case) -> Answer:
    return one_of(case.prior_approval.has_any(), case.previously_met_criteria)


def benefits(case: Case, benefit: str) -> Answer:
    """Any response other than fewer relapses is a matter of judgement, or enough, as the reading has it."""
    return case.beneficial_response.has(
        lambda kind: kind == "reduction in relapses" or benefit == "any",
        lambda kind: kind == "other",
    )


def no_excluded_drug_since_first_dose(case: Case) -> Answer:
    """No excluded drug still in use after the first dose of a course.

    Rows only ever add violations. So every world has one if the certain rows have one, and no world has one if the
    fullest does not: all possible rows, with any drug, never stopped, in an open therapy list, and any course, however
    early, in an open list of courses. The earliest first dose is the one that forbids most.
    """
    therapies, courses = case.therapy, case.alemtuzumab_course

    def violated(therapy: Collection[Therapy], course: Collection[Course]) -> bool:
        if not course:
            return False
        earliest = min(row.first_dose for row in course)
        return any(is_excluded_in_combination(row.product) and row.stopped > earliest for row in therapy)

    if violated(therapies.certain, courses.certain):
        return Answer.NOT_MET
    some_course = courses.open or bool(courses.possible)
    some_excluded = therapies.open or any(is_excluded_in_combination(row.product) for row in therapies.possible)
    possibly_violated = (
        violated(therapies.possible, courses.possible)
        or (therapies.open and some_course)
        or (courses.open and some_excluded)
    )
    return Answer.NEEDS_INFORMATION if possibly_violated else Answer.MET


def fewer_than_two_courses(case: Case) -> Answer:
    return opposite(case.alemtuzumab_course.has(lambda row: row.number >= 2))


def active_after_second_course(case: Case) -> Answer:
    """Course 2 but none beyond, and disease activity after its last dose, documented.

    A course beyond the second that is certain fails every world; otherwise the worlds without one remain.
    * Met in every world: then it is met in the one of the certain rows alone. And if it is met there, further rows
      take nothing away except a course beyond the second, so none of these may be possible.
    * Met in some world: take all possible rows, except courses beyond the second. With the earliest last dose of
      course 2 most activity counts; an open list of courses may have it as early as one likes, an open list of relapses
      or MRIs has whatever is wanted. The document may always still come.
    """
    courses = case.alemtuzumab_course

    def second_course_end(rows: Collection[Course]) -> date | None:
        return min((row.last_dose for row in rows if row.number == 2), default=None)

    def relapse_after(rows: Collection[date], end: date) -> bool:
        return any(on > end for on in rows)

    def counting_mri_after(rows: Collection[Mri], end: date) -> bool:
        return any(
            row.on > end
            and ((row.finding == NEW_T2 and row.lesions >= 2) or (row.finding == GADOLINIUM and row.lesions >= 1))
            for row in rows
        )

    def arguable_mri_after(rows: Collection[Mri], end: date) -> bool:
        later = [row for row in rows if row.on > end]
        new_lesions = sum(row.finding == NEW_T2 and row.lesions >= 1 for row in later)
        return new_lesions >= 2 or any(row.finding == T2_LOAD for row in later)

    if any(row.number >= 3 for row in courses.certain):
        return Answer.NOT_MET

    end = second_course_end(courses.certain)
    certainly = (
        end is not None
        and not courses.open
        and all(row.number < 3 for row in courses.possible)
        and (relapse_after(case.relapse.certain, end) or counting_mri_after(case.mri.certain, end))
        and documents(case, "activity after second course") is Answer.MET
    )
    end = date.min if courses.open else second_course_end(courses.possible)
    possibly = end is not None and (
        case.relapse.open
        or case.mri.open
        or relapse_after(case.relapse.possible, end)
        or counting_mri_after(case.mri.possible, end)
        or arguable_mri_after(case.mri.possible, end)
    )
    return between(certainly, possibly)


def a_year_since_alemtuzumab(case: Case) -> Answer:
    """Twelve calendar months lie between the last alemtuzumab and the planned first dose.

    The day the request was received stands in where no first dose is planned: what passes then is met, but what does
    not is asked about, since the date may still be set late enough.
    """
    planned = case.planned_first_dose or case.received

    def too_recent(last: date) -> bool:
        return months_after(last, 12) > planned

    recent = one_of(
        case.alemtuzumab_course.has(lambda row: too_recent(row.last_dose)),
        case.therapy.has(lambda row: ingredient(row.product) == "alemtuzumab" and too_recent(row.stopped)),
    )
    if case.planned_first_dose is None and recent is Answer.MET:
        return Answer.NEEDS_INFORMATION
    return opposite(recent)


def continuation(case: Case, readings: Mapping[str, str]) -> dict[str, Answer]:
    answers: dict[str, Answer] = {}
    answers["0"] = one_of(has_condition(case, "RRMS"), has_condition(case, "active SPMS"))
    answers["1"] = previously_approved(case)
    answers["2"] = benefits(case, readings["benefit"])
    answers["3"] = antiviral_prophylaxis_is_planned(case)
    answers["4"] = not_in_combination(case)
    answers["5"] = no_excluded_drug_since_first_dose(case)
    answers["6.a"] = fewer_than_two_courses(case)
    answers["6.b"] = active_after_second_course(case)
    answers["6"] = one_of(answers["6.a"], answers["6.b"])
    answers["7"] = a_year_since_alemtuzumab(case)
    answers["8"] = dose_is_within_limit(case)
    return answers


# --- the decision ----------------------------------------------------------------------------------------------------


def applies(case: Case) -> bool:
    return case.line_of_business not in OTHER_RULES_APPLY and case.received >= REVISED


def read(document: dict[str, object], readings: Mapping[str, str] = NO_READINGS) -> Reading:
    """The decision and the criteria of a valid case; `readings` overrides the choices in force."""
    case = read_case(document)
    if not applies(case):
        return Reading("not applicable", {})
    decide = initiation if case.phase == "initiation" else continuation
    answers = decide(case, {**DEFAULT_READINGS, **readings})
    decision = all_of(*(answer for name, answer in answers.items() if "." not in name))
    return Reading(WORDS[decision], {name: WORDS[answer] for name, answer in sorted(answers.items())})
