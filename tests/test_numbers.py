"""Numbers are exact: what every engine and the audit compute is what fractions give, and what is printed is true."""

from __future__ import annotations

import re
import struct
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_kb import dates, numbers
from policy_kb.audit.statuses import Bodies, Statuses, Table
from policy_kb.evaluate.bottom_up import BottomUp
from policy_kb.evaluate.model import given_rows
from policy_kb.evaluate.plain import Engine
from policy_kb.evaluate.with_pydatalog import WithPyDatalog
from policy_kb.evaluate.worlds import certain, double
from policy_kb.explain.proof import Side
from policy_kb.expressions import EvaluationStopped
from policy_kb.load.cases import load_case
from policy_kb.load.documents import parse_document
from policy_kb.report import wording
from tests.evaluate.running import check_text
from tests.strategies.expressions import DECIMALS, WHOLE, Meant, Nothing, expressions

HEAD = """
.type Case <: symbol
.functor rounded(x: float, digits: number): float
.functor rounded_up(x: float, digits: number): float
.functor rounded_down(x: float, digits: number): float
.decl request(case: Case, drug: symbol, phase: symbol, received: number)
.input request
.decl a(case: Case, x: float) .input a
.decl b(case: Case, y: float) .input b
.decl n(case: Case, k: number) .input n
.decl decided(case: Case)
decided(case) :- result(case, _).
"""


def found_by_all(text: str, relation: str, case: dict[str, list[object]]) -> list[object]:
    """The certain rows of a relation in both engines and the audit; None where the case is refused."""
    checked = check_text(HEAD + text)
    request = {"drug": "d", "phase": "treatment", "received": 1}
    facts = load_case(checked, {}, parse_document({"case": "A-1", "request": request, "record": "complete", **case}))
    worlds = double(checked, ["decided"])
    engines: list[Engine] = [BottomUp(worlds.program), WithPyDatalog(worlds.program)]
    found: list[object] = []
    for engine in engines:
        try:
            found.append({row[1:] for row in engine.evaluate(given_rows(worlds, facts))[certain(relation)]})
        except EvaluationStopped:
            found.append(None)
    try:
        known: dict[str, Table] = {}
        found.append({row[1:] for row in Statuses(Bodies(checked), known, facts).status(relation).certain.rows})
    except EvaluationStopped:
        found.append(None)
    return found


@settings(max_examples=150)
@given(
    expressions(), st.sampled_from(DECIMALS), st.sampled_from(DECIMALS),
    st.sampled_from(WHOLE),
)
def test_expressions_are_what_fractions_give(expression: Meant, x: str, y: str, k: str) -> None:
    written, meaning, is_float = expression
    from decimal import Decimal

    try:
        wanted: object = {(meaning({"x": Fraction(x), "y": Fraction(y), "k": int(k)}),)}
    except Nothing:
        wanted = None
    type_ = "float" if is_float else "number"
    text = (f".decl result(case: Case, v: {type_})\n"
            f"result(case, v) :- a(case, x), b(case, y), n(case, k), x = x, y = y, k = k, v = {written}.")
    for found in found_by_all(text, "result", {"a": [Decimal(x)], "b": [Decimal(y)], "n": [int(k)]}):
        assert found == wanted, written
        if isinstance(found, set):
            assert {type(value) for (value,) in found} == {Fraction if is_float else int}


@settings(max_examples=60)
@given(st.integers(1, 10**5), st.integers(0, 4), st.integers(1, 10**3), st.integers(0, 3))
def test_a_threshold_is_met_exactly(digits: int, places: int, factor: int, more: int) -> None:
    """Twelve comparisons with what lies exactly at the threshold, and just beside it."""
    from decimal import Decimal

    one, other = Decimal(digits).scaleb(-places), Decimal(factor).scaleb(-more)
    limit = Fraction(one) * Fraction(other)
    step = Fraction(1, 10**9)
    for value, wanted in ((limit, {">=", "<=", "="}), (limit + step, {">=", ">"}), (limit - step, {"<=", "<"})):
        exact = numbers.exactly(value)
        text = exact if "." in exact else f"{exact}.0"
        rules = ".decl result(case: Case, which: symbol)\n" + "".join(
            f'result(case, "{sign}") :- a(case, x), b(case, y), {text} {sign} x * y.\n'
            for sign in (">=", "<=", "=", ">", "<")
        )
        for found in found_by_all(rules, "result", {"a": [one], "b": [other], "n": []}):
            assert found == {(sign,) for sign in wanted}


fractions = st.fractions(max_denominator=10**9).filter(lambda value: abs(value.numerator) < 10**18) | st.decimals(
    -(10**6), 10**6, places=4).map(Fraction)
NEAR = st.integers(-3, 3).map(lambda step: Fraction(step, 3 * 10**12))


@given(fractions, fractions | st.none(), NEAR)
def test_a_comparison_that_is_printed_is_true(left: Fraction, right: Fraction | None, near: Fraction) -> None:
    right = left + near if right is None else right
    one, other = map(Fraction, numbers.shown_apart(left, right))
    assert (one < other, one == other) == (left < right, left == right)
    says = wording.compared("<", Side("the BMI", left), Side("the limit", right), left < right)
    said = re.fullmatch(r"the BMI \((.*)\) (is .*) the limit \((.*)\)", says)
    assert said is not None
    assert (Fraction(said[1]) < Fraction(said[3])) == (said[2] == "is less than") == (left < right)


@given(fractions)
def test_a_number_is_shown_nearly_and_exactly(value: Fraction) -> None:
    assert abs(Fraction(numbers.shown(value)) - value) <= abs(value) / 10**5
    assert Fraction(numbers.exactly(value)) == value
    said = numbers.in_json(value)
    assert Fraction(said if isinstance(said, str) else repr(said)) == value


@pytest.mark.parametrize(("value", "said"), [
    ("30", "30"), ("12.5", "12.5"), ("1/3", "0.333333"), ("123456789/7", "17636684"), ("0.0000001", "0.0000001"),
    ("-5/2", "-2.5"), ("9500/289", "32.872"),
])
def test_a_number_is_shown_as_a_reader_writes_it(value: str, said: str) -> None:
    assert numbers.shown(Fraction(value)) == said


@given(st.decimals(0, 10**6, places=3).map(float), st.booleans())
def test_a_binary_float_is_the_decimal_it_was_made_of(value: float, is_single: bool) -> None:
    written = f"{value:.4g}" if is_single else repr(value)
    stored = struct.unpack("f", struct.pack("f", float(written)))[0] if is_single else float(written)
    assert Fraction(numbers.written_as(stored, is_single=is_single)) == Fraction(written)


@pytest.mark.parametrize("text", ["1e999999999999", "1" * 20_000, "1e18", "-1e18", "1e-18", "0.1234567890123456789"])
def test_a_number_beyond_the_limits_is_refused(text: str) -> None:
    with pytest.raises(numbers.BeyondLimits):
        numbers.decimal(text)


days = st.integers(dates.EARLIEST, dates.LATEST)


@given(days, days)
def test_months_and_years_between_are_the_most_that_fit(first: int, last: int) -> None:
    for count, step in ((dates.months_between(first, last), 1), (dates.years_between(first, last), 12)):
        assert dates.months_after(first, count * step) <= last < dates.months_after(first, (count + 1) * step)
