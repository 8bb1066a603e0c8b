"""What a case says, what it leaves open, and every way to get a case wrong."""

from __future__ import annotations

import hashlib
import json
import random
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_kb.choose.editions import Asked
from policy_kb.diagnostics import CaseRefused
from policy_kb.load.cases import CaseReader, asked, check_distinct, load_case, named
from policy_kb.load.documents import parse_document
from policy_kb.load.problems import MOST_PROBLEMS
from policy_kb.source import Span
from tests.load.vocabulary import (
    BASE,
    KNOWN,
    PROGRAM,
    REQUEST,
    as_json,
    cases,
    documents_of,
    facts_of,
    pinned,
    problems_of,
    row_values,
    said,
)

DAY = date(1970, 1, 1).toordinal()


def days(text: str) -> int:
    return date.fromisoformat(text).toordinal() - DAY


def test_a_case_gives_its_rows_with_their_places() -> None:
    facts = facts_of(
        f"""case: A-1001
request: {REQUEST}
diagnosis: RRMS
relapse: [2025-03-02, 2025-06-11]
therapy:
  - {{product: Avonex, started: 2021-01-10, stopped: ongoing}}
  - product: "other: Ampyra"
    started: 2022-01-01
    stopped: 2022-02-01
    uncertain: true
planned_dose: 12
antiviral_prophylaxis: {{agent: ACYCLOVIR, months: 2}}
"""
    )
    assert facts.case == "A-1001"
    assert facts.source == "case.yaml"
    assert row_values(facts, "request") == [("Lemtrada", "initiation", days("2025-09-02"))]
    assert row_values(facts, "diagnosis") == [("RRMS",)]
    assert row_values(facts, "relapse") == [(days("2025-03-02"),), (days("2025-06-11"),)]
    assert row_values(facts, "planned_dose") == [(12.0,)]
    assert row_values(facts, "antiviral_prophylaxis") == [("acyclovir", 2)]
    avonex, ampyra = facts.rows["therapy"]
    assert avonex.values == ("A-1001", "Avonex", days("2021-01-10"), days("9999-12-31"))
    assert (avonex.path, avonex.span, avonex.is_uncertain) == ("therapy[0]", Span("case.yaml", 6, 5, 61), False)
    assert ampyra.values == ("A-1001", "other: Ampyra", days("2022-01-01"), days("2022-02-01"))
    assert (ampyra.path, ampyra.span, ampyra.is_uncertain) == ("therapy[1]", Span("case.yaml", 7, 5, 29), True)
    assert facts.certain("therapy") == {avonex.values}
    assert facts.possible("therapy") == {avonex.values, ampyra.values}
    [diagnosis] = facts.rows["diagnosis"]
    assert (diagnosis.path, diagnosis.span) == ("diagnosis", Span("case.yaml", 3, 12, 16))
    assert set(facts.rows) == {relation.name for relation in PROGRAM.inputs()}


# --- what is known ---


def test_a_key_states_its_relation_and_an_absent_one_leaves_it_open() -> None:
    facts = facts_of(BASE + "relapse: []\n")
    assert "relapse" not in facts.open
    assert facts.stated["relapse"] == Span("case.yaml", 3, 1, 8)
    assert facts.open["therapy"] == "not stated"
    assert "therapy" not in facts.stated


def test_an_absent_closed_relation_is_stated_by_its_declaration() -> None:
    facts = facts_of(BASE)
    for name in ("age", "billing_code", "attested"):
        assert facts.stated[name] == PROGRAM.relations[name].span
        assert facts.rows[name] == ()


def test_a_complete_record_states_every_relation_that_is_not_mentioned() -> None:
    facts = facts_of(BASE + "record: complete\nrelapse: 2025-03-02\n")
    assert facts.open == {"documentation": "document"}
    assert facts.stated["therapy"] == facts.stated["previously_met_criteria"] == Span("case.yaml", 3, 1, 17)
    assert facts.stated["relapse"] == Span("case.yaml", 4, 1, 8)


@pytest.mark.parametrize("rest", ["", "record: complete\n", "billing_code: J0202\n", "billing_code: []\n"])
def test_incomplete_wins_over_the_record_a_key_an_absent_key_and_closed(rest: str) -> None:
    facts = facts_of(BASE + "incomplete: [billing_code]\n" + rest)
    assert facts.open["billing_code"] == "incomplete"
    assert "billing_code" not in facts.stated
    assert row_values(facts, "billing_code") == ([("J0202",)] if "J0202" in rest else [])


def test_one_incomplete_relation_needs_no_list() -> None:
    assert facts_of(BASE + "incomplete: therapy").open["therapy"] == "incomplete"
    assert facts_of(BASE + "incomplete: []").open["therapy"] == "not stated"


@pytest.mark.parametrize("rest", ["", "documentation: []", "record: complete", "incomplete: documentation"])
def test_an_always_open_relation_is_open_whatever_the_case_says(rest: str) -> None:
    facts = facts_of(BASE + rest)
    assert facts.open["documentation"] == "document"
    assert "documentation" not in facts.stated


def test_rows_of_an_always_open_relation_are_certain() -> None:
    facts = facts_of(BASE + "documentation: prior therapy")
    assert facts.certain("documentation") == {("A-1", "prior therapy")}


def test_a_single_relation_is_never_open() -> None:
    facts = facts_of(BASE + "age: 40\n")
    assert row_values(facts, "age") == [(40,)]
    assert facts.stated["request"] == Span("case.yaml", 2, 1, 8)
    assert facts.stated["age"] == Span("case.yaml", 3, 1, 4)
    assert facts_of(BASE + "age: []").rows["age"] == ()
    assert facts_of(BASE + "age: [40]").certain("age") == {("A-1", 40)}


@pytest.mark.parametrize(
    ("text", "rows", "is_open"),
    [("", [], True), ("previously_met_criteria: true", [()], False), ("previously_met_criteria: false", [], False)],
)
def test_a_relation_without_attributes_takes_true_or_false(text: str, rows: list[object], is_open: bool) -> None:
    facts = facts_of(BASE + text)
    assert row_values(facts, "previously_met_criteria") == rows
    assert ("previously_met_criteria" in facts.open) == is_open
    assert ("previously_met_criteria" in facts.stated) != is_open


@pytest.mark.parametrize(
    "text",
    [
        "relapse: 2025-03-02",
        "relapse: [2025-03-02]",
        "relapse: {on: 2025-03-02}",
        "relapse: [{on: 2025-03-02}]",
        "relapse:\n  - on: 2025-03-02\n    uncertain: false",
        "relapse: ['2025-03-02', 2025-03-02]",
        "relapse: [{on: 2025-03-02, uncertain: true}, 2025-03-02]",
    ],
)
def test_one_row_may_be_written_in_several_ways(text: str) -> None:
    assert said(facts_of(BASE + text)) == said(facts_of(BASE + "relapse: 2025-03-02"))


@pytest.mark.parametrize("order", [("true", "false"), ("false", "true"), ("true", "true")])
def test_a_row_given_twice_is_given_once_and_certain_if_it_is_certain_anywhere(order: tuple[str, str]) -> None:
    first, second = (f"{{on: 2025-03-02, uncertain: {one}}}" for one in order)
    [row] = facts_of(BASE + f"relapse: [{first}, {second}]").rows["relapse"]
    assert row.is_uncertain == ("false" not in order)
    assert row.path == ("relapse[1]" if order == ("true", "false") else "relapse[0]")


# --- values ---


@pytest.mark.parametrize("word", ["on", "no", "yes", "null and void", "12", "2025-07-15", "0x1F", "1e3", "true", "'~'"])
def test_yaml_text_is_read_by_the_type_of_its_attribute_and_never_guessed(word: str) -> None:
    assert row_values(facts_of(BASE + f"prior_approval: [{word}]"), "prior_approval") == [(word.strip("'"),)]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("12", "12"), ("12.5", "25/2"), ("1e2", "100"), ("1.5E-1", "3/20"), ('"12"', "12"), ("007", "7"), ("-0.0", "0"),
        ("0.1", "1/10"), ("76.8", "384/5"), ("0.10000000000000001", "10000000000000001/100000000000000000"),
        ("999999999999999999", "999999999999999999"),
    ],
)
def test_a_float_is_the_number_that_is_written(written: str, value: str) -> None:
    [(found,)] = row_values(facts_of(BASE + f"planned_dose: {written}"), "planned_dose")
    assert isinstance(found, Fraction)
    assert str(found) == value


@pytest.mark.parametrize(("written", "value"), [("0", 0), ("007", 7), ("9223372036854775807", 2**63 - 1), ("-0", 0)])
def test_a_number_is_a_whole_number_of_64_bits(written: str, value: int) -> None:
    prophylaxis = f"antiviral_prophylaxis: {{agent: acyclovir, months: {written}}}"
    assert row_values(facts_of(BASE + prophylaxis), "antiviral_prophylaxis") == [("acyclovir", value)]


@pytest.mark.parametrize("written", ["1900-01-01", "2199-12-31", "2024-02-29"])
def test_a_date_is_days_since_1970(written: str) -> None:
    assert row_values(facts_of(BASE + f"relapse: {written}"), "relapse") == [(days(written),)]


def test_the_name_of_a_product_outside_the_table_is_trimmed() -> None:
    facts = facts_of(BASE + 'concurrent_therapy: ["other:  baclofen ", "other: baclofen"]')
    assert row_values(facts, "concurrent_therapy") == [("other: baclofen",)]


def test_in_json_numbers_text_and_truth_are_what_they_are() -> None:
    request = {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"}
    case = {"case": "A-1", "request": request, "age": 40, "planned_dose": 12, "previously_met_criteria": True}
    facts = facts_of(as_json(case), "json")
    assert row_values(facts, "age") == [(40,)]
    assert str(row_values(facts, "planned_dose")) == "[(Fraction(12, 1),)]"
    assert row_values(facts, "previously_met_criteria") == [()]


@pytest.mark.parametrize(
    ("key", "written", "message", "hint"),
    [
        ("age", '"40"', "`years` is a whole number; the case says the text `40`", "write it without quotes"),
        ("age", "5.0", "`years` is a whole number; the case says the number `5.0`", "write `5`"),
        ("age", "1e2", "`years` is a whole number; the case says the number `1e2`", "write a whole number in digits"),
        ("age", "true", "`years` is a whole number; the case says `true`", "write a whole number"),
        ("planned_dose", '"12"', "`mg_per_day` is a number; the case says the text `12`", "write it without quotes"),
        ("planned_dose", "false", "`mg_per_day` is a number; the case says `false`", "write a number"),
        ("prior_approval", "5", "`payer` is text; the case says the number `5`", 'write it in quotes: `"5"`'),
        ("prior_approval", "true", "`payer` is text; the case says `true`", 'write it in quotes: `"true"`'),
        (
            "relapse",
            "20250302",
            "`on` is a date; the case says the number `20250302`",
            "write a date such as `2025-07-15`, in quotes",
        ),
        (
            "previously_met_criteria",
            '"true"',
            "`previously_met_criteria` is true or false; the case says the text `true`",
            "write it without quotes",
        ),
        (
            "previously_met_criteria",
            "1",
            "`previously_met_criteria` is true or false; the case says the number `1`",
            "write `true` or `false`",
        ),
    ],
)
def test_in_json_a_value_of_another_type_is_refused(key: str, written: str, message: str, hint: str) -> None:
    request = '{"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"}'
    text = f'{{"case": "A-1", "request": {request},\n"{key}": {written}}}'
    place = f"2:{len(key) + 5}"
    assert [pinned(one) for one in problems_of(text, "json")] == [
        (place, written, f"{message} [wrong-type]", key, hint)
    ]


# --- refusals ---


def block(text: str) -> tuple[str, str]:
    """What stands in line 3 of a case, and what is printed of it."""
    written, start, printed = text.partition("case.yaml:")
    return written, start + printed


BLOCKS = Path(__file__).with_name("refusals.txt").read_text(encoding="utf-8").strip("\n").split("\n\n")
REFUSALS = [block(text) for text in BLOCKS]


@pytest.mark.parametrize(("text", "printed"), REFUSALS, ids=[text for text, _ in REFUSALS])
def test_what_is_wrong_is_refused_with_place_message_and_hint(text: str, printed: str) -> None:
    assert "\n".join(map(str, problems_of(BASE + text))) == printed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "age: 4\nrequest: " + REQUEST,
            [("1:1", "age: 4", "the case has no name", None, "write `case: NAME` at the top")],
        ),
        ("case:\nrequest: " + REQUEST, [("1:6", "", "`case` has no value", "case", "write text")]),
        (
            "case: [a]\nrequest: " + REQUEST,
            [("1:7", "[a]", "`case` takes one value; the case gives a list", "case", "write text")],
        ),
        (
            "case: A-1\n",
            [
                (
                    "1:1",
                    "case: A-1",
                    "the case has no `request`",
                    None,
                    "write `request: {drug: ..., phase: ..., received: ...}`",
                )
            ],
        ),
        (
            "case: A-1\nrecord: complete\n",
            [
                (
                    "1:1",
                    "case: A-1",
                    "the case has no `request`",
                    None,
                    "write `request: {drug: ..., phase: ..., received: ...}`",
                )
            ],
        ),
        (
            "case: A-1\nrequest: []\n",
            [
                (
                    "2:10",
                    "[]",
                    "`request` needs its one row",
                    "request",
                    "write `request: {drug: ..., phase: ..., received: ...}`",
                )
            ],
        ),
        (
            f"case: A-1\nrequest: [{REQUEST}, {REQUEST}]\n",
            [("2:70", REQUEST, "a second row of `request`: a case has one", "request[1]", "keep the right one")],
        ),
    ],
)
def test_a_case_has_a_name_and_exactly_one_request(
    text: str, expected: list[tuple[str, str, str, str | None, str | None]]
) -> None:
    found = [pinned(problem) for problem in problems_of(text)]
    assert [
        (place, part, message.rpartition(" [")[0], path, hint) for place, part, message, path, hint in found
    ] == expected


def test_all_problems_are_found_at_once_in_file_order() -> None:
    problems = problems_of("request: {drug: Lemtrada}\nrelapse: [2025-02-30, spring]\nrelapse: *x\nweather: !!str a\n")
    assert [(problem.kind.value, problem.span.line) for problem in problems] == [
        ("missing-relation", 1),
        ("missing-attribute", 1),
        ("bad-date", 2),
        ("bad-date", 2),
        ("duplicate-key", 3),
        ("bad-document", 3),
        ("unknown-relation", 4),
        ("bad-document", 4),
    ]


def test_of_very_many_problems_the_number_is_said() -> None:
    problems = problems_of(BASE + "relapse: [" + ", ".join(["spring"] * (MOST_PROBLEMS + 7)) + "]")
    assert len(problems) == MOST_PROBLEMS + 1
    assert problems[-1].message == "7 more problems not shown"


def test_a_value_beyond_the_longest_is_refused() -> None:
    [problem] = problems_of(BASE + f"prior_approval: {'x' * 10_001}")
    assert problem.message == "`payer` has 10,001 characters"
    assert facts_of(BASE + f"prior_approval: {'x' * 10_000}")


def test_a_refused_value_cannot_write_to_the_terminal_or_break_its_line() -> None:
    [problem] = problems_of(
        b'{"case": "A", "request": {"drug": "\\u001b[2J\\n", "phase": "initiation", "received": "2025-09-02"}}', "json"
    )
    assert problem.message == r"`drug` holds `U+001B`, which cannot be seen: `\x1b[2J\n`"


# --- what chooses the policy; names ---


def test_what_is_asked_for_is_read_before_the_case() -> None:
    both = {"drug": "Lemtrada", "phase": "initiation"}
    assert both.items() <= asked(documents_of(BASE)[0]).request.items()
    assert both.items() <= asked(documents_of(f"request: [{REQUEST}]")[0]).request.items()
    assert asked(documents_of("request: {drug: , phase: [initiation]}")[0]) == Asked({})
    assert asked(documents_of("request: Lemtrada")[0]) == Asked({})
    assert asked(documents_of("case: A-1")[0]) == Asked({})
    assert asked(parse_document({"request": {"drug": " Lemtrada", "phase": 3}})) == Asked({"drug": "Lemtrada"})
    said = asked(documents_of(f"payer: Florida  Blue\npolicy: 09-J2000-27\nrequest: {REQUEST}")[0])
    assert (said.payer, said.policy) == ("Florida  Blue", "09-J2000-27")
    with pytest.raises(CaseRefused, match="`payer` names nothing"):
        asked(documents_of("payer: []")[0])


def test_a_document_that_cannot_be_read_says_so_before_the_policy_is_chosen() -> None:
    [document] = documents_of("case: 'A-1")
    with pytest.raises(CaseRefused, match="a quote is not closed"):
        asked(document)
    with pytest.raises(CaseRefused, match="a quote is not closed"):
        load_case(PROGRAM, KNOWN, document)


def test_two_cases_with_one_name_are_refused_naming_both_places() -> None:
    documents = documents_of('{"case": "A"}\n{"case": "B"}\n{"case": "A"}\n{"case": "A"}\n', "ndjson")
    names = [(str(name), span) for name, span in map(named, documents)]
    with pytest.raises(CaseRefused) as refused:
        check_distinct(names)
    assert [(str(one.span), one.message, one.hint) for one in refused.value.diagnostics] == [
        (
            f"case.ndjson:{line}",
            "two cases are named `A`",
            "the other one is at case.ndjson:1: give each case a name of its own",
        )
        for line in (3, 4)
    ]
    check_distinct(names[:2])


def test_names_are_compared_across_calls() -> None:
    seen: dict[str, Span] = {}
    check_distinct([("A", Span("a.yaml", 1))], seen)
    check_distinct([("B", Span("b.yaml", 1))], seen)
    with pytest.raises(CaseRefused, match=r"the other one is at a\.yaml:1"):
        check_distinct([("A", Span("c.yaml", 1))], seen)


# --- what leaves no trace ---


def shuffled(value: object, source: random.Random) -> object:
    """The same case in another order: keys, rows, and attributes."""
    if isinstance(value, dict):
        keys = list(value)
        source.shuffle(keys)
        return {key: shuffled(value[key], source) for key in keys}
    if isinstance(value, list):
        items = [shuffled(item, source) for item in value]
        source.shuffle(items)
        return items
    return value


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_keys_rows_and_attributes_never_matters(case: dict[str, object], source: random.Random) -> None:
    reader = CaseReader(PROGRAM, KNOWN)
    assert said(reader.read(parse_document(case))) == said(reader.read(parse_document(shuffled(case, source))))


def as_yaml(case: dict[str, object]) -> str:
    """Flow style with every scalar in quotes, which YAML reads as the same text."""

    def written(value: object) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{key}: {written(item)}" for key, item in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(written, value)) + "]"
        text = value if isinstance(value, str) else json.dumps(value)
        return "'" + text.replace("'", "''") + "'"

    return "".join(f"{key}: {written(value)}\n" for key, value in case.items())


@given(cases())
def test_yaml_json_ndjson_and_python_data_of_one_case_say_the_same(case: dict[str, object]) -> None:
    from_python = said(load_case(PROGRAM, KNOWN, parse_document(case)))
    assert said(facts_of(as_json(case), "json")) == from_python
    assert said(facts_of(json.dumps(case, indent=2), "json")) == from_python
    assert said(facts_of("\n" + as_json(case) + "\n\n", "ndjson")) == from_python
    assert said(facts_of(as_yaml(case), "yaml")) == from_python


def test_python_dates_are_dates() -> None:
    request = {"drug": "Lemtrada", "phase": "initiation", "received": date(2025, 9, 2)}
    facts = load_case(
        PROGRAM, KNOWN, parse_document({"case": "A-1", "request": request, "relapse": (date(2025, 3, 2),)})
    )
    assert said(facts) == said(facts_of(BASE + "relapse: 2025-03-02"))


def test_the_digest_can_be_recomputed_by_anyone() -> None:
    facts = facts_of(
        BASE
        + """record: complete
relapse: [{on: 2025-06-11, uncertain: true}, 2025-06-11, {on: 2025-03-02, uncertain: true}, 2024-01-01]
therapy: {product: "other: Ämpyra", started: 2021-01-10, stopped: ongoing}
antiviral_prophylaxis: {agent: Acyclovir, months: 2}
planned_dose: 12
attested: true
"""
    )
    text = (
        '{"case":"A-1","certain":{"antiviral_prophylaxis":[{"agent":"acyclovir","months":2}],"attested":[{}],'
        '"planned_dose":[{"mg_per_day":"12"}],"relapse":[{"on":"2024-01-01"},{"on":"2025-06-11"}],'
        '"request":[{"drug":"Lemtrada","phase":"initiation","received":"2025-09-02"}],'
        '"therapy":[{"product":"other: Ämpyra","started":"2021-01-10","stopped":"ongoing"}]},'
        '"open":{"documentation":"document"},"uncertain":{"relapse":[{"on":"2025-03-02"}]}}'
    )
    assert facts.digest == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "age: 40",
        "relapse: []",
        "relapse: 2025-03-02",
        "relapse: {on: 2025-03-02, uncertain: true}",
        "incomplete: relapse",
    ],
)
def test_the_digest_of_cases_that_differ_differs(text: str) -> None:
    other = facts_of(BASE + "relapse: 2025-03-03").digest
    assert facts_of(BASE + text).digest != other
    assert facts_of(BASE + "# remark\n\n" + text).digest == facts_of(BASE + text).digest
