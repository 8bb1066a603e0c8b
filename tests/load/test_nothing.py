"""What a chart writes where there is nothing: refused with what to write instead, and taken where it is a value."""

from __future__ import annotations

import pytest

from policy_kb.diagnostics import CaseRefused
from policy_kb.load.documents import parse_document
from policy_kb.nothing import NOTHING
from tests.report.small_policies import REQUEST, policy_of

RULES = """
/// an allergy to {what}
@[ask("Which allergies?")]
.decl allergy(case: Case, @[any_case] what: symbol)
.input allergy
/// taken: {name}
@[ask("What is taken?")]
.decl taken(case: Case, @[in(item)] name: symbol)
.input taken
/// {weeks} weeks
@[ask("How many weeks?")]
.decl course(case: Case, weeks: number)
.input course
/// seen on {day}
@[ask("When seen?")]
.decl seen(case: Case, day: Date)
.input seen
/// the member is pregnant
@[ask("Pregnant?")]
.decl pregnant(case: Case)
.input pregnant
/// the test of {kind} was {result}
@[ask("Which tests?")]
.decl tested(case: Case, kind: symbol, @[one_of("none", "unknown", "some")] result: symbol)
.input tested
/// smoking: {status}
@[ask("Smoking?")]
.decl smoking(case: Case, status: symbol)
.input smoking
/// not smoking
.decl abstinent(status: symbol)
abstinent("no").
.decl smokes(case: Case, status: symbol)
smokes(case, status) :- smoking(case, status).
decided(case) :- allergy(case, _), taken(case, _), course(case, _), seen(case, _), pregnant(case), tested(case, _, _),
    smokes(case, status), !abstinent(status).
"""


def hints(**case: object) -> list[str | None]:
    try:
        policy_of(RULES).decide(parse_document({"case": "A-1", "request": REQUEST, **case}))
    except CaseRefused as refused:
        return [one.hint for one in refused.diagnostics]
    return []


@pytest.mark.parametrize("word", ["none", "None", "NKDA", "no known allergies", "N/A", "unknown", "nil.", "no history"])
@pytest.mark.parametrize("relation", ["allergy", "taken", "course", "seen", "tested", "pregnant"])
@pytest.mark.parametrize("as_list", [False, True])
def test_a_word_for_nothing_is_no_row(word: str, relation: str, as_list: bool) -> None:
    (hint,) = hints(**{relation: [word] if as_list and relation != "pregnant" else word})
    assert hint is not None
    assert "leave the key out where it is not known" in hint
    assert ("`false` for no" if relation == "pregnant" else "`[]` for none") in hint


def test_such_a_word_in_a_row_and_behind_other_is_none_either() -> None:
    assert len(hints(allergy={"what": "None"}, taken=["other: none", {"name": "NKDA"}], course={"weeks": "n/a"})) == 4


def test_where_it_is_a_value_it_is_taken() -> None:
    assert hints(tested=[{"kind": "none", "result": "none"}, {"kind": "no", "result": "Unknown"}], smoking="no") == []
    assert len(hints(smoking="none")) == 1


def test_what_the_hint_says_is_taken() -> None:
    assert hints(allergy=[], taken=[], course=[], seen=[], pregnant=False) == []


def test_the_words_are_in_the_letter_case_they_are_compared_in() -> None:
    assert all(word == word.casefold().strip() for word in NOTHING)
