"""A root with several rules is a ONE OF, and says so everywhere."""

from __future__ import annotations

from policy_kb.audit.determination import check
from policy_kb.audit.rules import RuleBook
from policy_kb.load.documents import parse_document
from policy_kb.report.about import about
from policy_kb.report.summary import in_short
from tests.audit.running import as_json
from tests.report.small_policies import REQUEST, decide, lines, policy_of

RULES = """
/// a visit took place on day {day}
@[ask("When were the visits?")]
.decl visit(case: Case, day: number)
.input visit
/// {drug} was taken, {mg} mg
@[ask("What was taken?")]
.decl taken(case: Case, drug: symbol, mg: float)
.input taken
/// the first visit took place
@[criterion("first 1")]
.decl begun(case: Case)
begun(case) :- visit(case, 1).
/// the second visit took place
@[criterion("first 2")]
.decl seen_again(case: Case)
seen_again(case) :- visit(case, 2).
/// p was taken
@[criterion("first 3")]
.decl treated(case: Case)
treated(case) :- taken(case, "p", _).
decided(case) :- begun(case), treated(case).
decided(case) :- seen_again(case).
"""


def test_the_decision_is_that_of_one_alternative() -> None:
    met = decide(RULES, visit=[1, 2], taken=[])
    assert met.reason == "all criteria of one alternative for first are met: 2"
    assert lines(met) == [
        "+ one of 2 alternatives:",
        "| - alternative 1:",
        "| | + 1  the first visit took place",
        "| | | + a visit took place on day 1",
        "| | - 3  not met: p was taken",
        "| | | - no record that p was taken",
        "| + 2  the second visit took place",
        "| | + a visit took place on day 2",
    ]
    assert lines(met, "2") == ["+ 2  the second visit took place", "| + a visit took place on day 2"]
    assert "- 3  p was taken (not needed)" in list(in_short(met, 100))


def test_every_alternative_is_told_that_is_not_met_or_waits() -> None:
    unmet = decide(RULES, visit=[7], taken=[])
    assert unmet.reason == "no alternative for first is met; criteria of this guideline not met: 1 and 3, or 2"
    text = unmet.to_text()
    told = text[text.index("To meet the criteria"):].splitlines()[1:4]
    assert told == ["  1: the first visit took place", "  3: p was taken", "  or 2: the second visit took place"]
    waiting = decide(RULES, taken=[])
    assert waiting.reason == (
        "one alternative for first is enough; criteria that need information: 2 (1 open point)"
    )
    assert lines(waiting)[0] == "? one of 2 alternatives:"


def test_an_alternative_of_rows_is_explained_by_them() -> None:
    rules = RULES[:RULES.index("/// the first visit")] + (
        "decided(case) :- visit(case, day), day > 5.\n"
        "decided(case) :- taken(case, drug, mg), of(drug), mg > 3.\n"
        '/// {drug} counts\n.decl of(drug: symbol)\nof("p"). of("q").\n'
    )
    unmet = decide(rules, visit=[1, 4], taken=[{"drug": "p", "mg": 2}, {"drug": "r", "mg": 9}])
    assert unmet.reason == "no alternative for first is met; criteria of this guideline not met"
    assert lines(unmet)[:6] == [
        "- one of 2 alternatives:",
        "| - alternative 1:",
        "| | - a visit took place on day 4",
        "| | | - day (4) is at most 5",
        "| | - a visit took place on day 1",
        "| | | - day (1) is at most 5",
    ]
    met = decide(rules, visit=[], taken=[{"drug": "p", "mg": 2}, {"drug": "q", "mg": 9}])
    assert "| | + q was taken, 9 mg" in lines(met)
    for one in (unmet, met):
        assert one.to_dict()["explanation"]["one_of"] is True


def test_the_policy_in_its_own_words_and_the_audit_know_alternatives() -> None:
    policy = policy_of(RULES)
    assert about(policy)[1] == (
        "First: one of 2 alternatives: 1 and 3, or 2",
        ["1  the first visit took place", "2  the second visit took place", "3  p was taken"],
    )
    book = RuleBook(policy.program, {}, policy.rules.digest)
    for visits in ([1, 2], [7], [{"day": 2, "uncertain": True}]):
        document = parse_document({"case": "A-1", "request": REQUEST, "visit": visits, "taken": []})
        said = as_json(policy.decide(document).to_dict())
        check(book, document, {}, said)


def test_one_rule_with_several_rows_is_no_one_of() -> None:
    rules = RULES[:RULES.index("/// the first visit")] + "decided(case) :- visit(case, day), day > 5."
    unmet = decide(rules, visit=[1, 4])
    assert unmet.reason == "criteria of this guideline not met"
    assert lines(unmet) == [
        "- a visit took place on day 4",
        "| - day (4) is at most 5",
        "- a visit took place on day 1",
        "| - day (1) is at most 5",
        "  no further visit on record",
    ]
    assert "one_of" not in unmet.to_dict()["explanation"]


SIGNS = RULES[:RULES.index("/// the first visit")] + """
/// at least 2 of i to iii are met
@[criterion("first 1")]
.decl two_of(case: Case)
two_of(case) :- request(case, _, _, _), count : { sign(case, _) } >= 2.
/// sign {which} is there
.decl sign(case: Case, which: symbol)
/// a visit on day 1
@[criterion("first 1.i")]
sign(case, "i") :- visit(case, 1).
/// enough of p was taken
@[criterion("first 1.ii")]
sign(case, "ii") :- taken(case, "p", mg), mg >= 3.
/// a visit on day 3
@[criterion("first 1.iii")]
sign(case, "iii") :- visit(case, 3).
decided(case) :- two_of(case).
"""


def test_of_n_of_m_each_part_stands_with_its_number_and_its_reason() -> None:
    unmet = lines(decide(SIGNS, visit=[1], taken=[{"drug": "p", "mg": 2.9}]))
    assert [line for line in unmet if "1.i" in line] == [
        "| | + 1.i  a visit on day 1", "| | - 1.ii  not met: enough of p was taken",
        "| | - 1.iii  not met: a visit on day 3",
    ]
    assert "| | | + p was taken, 2.9 mg" in unmet
    waiting = lines(decide(SIGNS, visit=[1, {"day": 3, "uncertain": True}]))
    assert [line for line in waiting if "1.i" in line] == [
        "| | + 1.i  a visit on day 1", "| | ? 1.ii  enough of p was taken", "| | ? 1.iii  a visit on day 3",
    ]
    met = lines(decide(SIGNS, visit=[1, 3], taken=[]))
    assert [line for line in met if "1.i" in line] == [
        "| | + 1.i  a visit on day 1", "| | + 1.iii  a visit on day 3",
    ]


def test_what_is_not_counted_says_what_it_lacks() -> None:
    unmet = lines(decide(
        RULES[:RULES.index("/// the first visit")] + """
/// {drug} is of class {class}
.decl of(drug: symbol, class: symbol)
of("p", "a"). of("q", "b").
/// one drug of class b
@[criterion("first 1")]
.decl one_of_b(case: Case)
one_of_b(case) :- request(case, _, _, _), count : { taken(case, drug, mg), of(drug, "b"), mg >= 3 } = 1.
decided(case) :- one_of_b(case).
""", visit=[], taken=[{"drug": "p", "mg": 9}, {"drug": "q", "mg": 2.9}],
    ))
    below = [line.removeprefix("| | ") for line in unmet if line.startswith("| | ")]
    assert below[0].strip() == "not counted: q was taken, 2.9 mg"
    assert below[2].strip() == "not counted: p was taken, 9 mg"
    assert "class a" in below[3]


def test_what_stands_against_a_criterion_in_several_ways_is_told_in_all_of_them() -> None:
    unmet = lines(decide(
        RULES[:RULES.index("/// the first visit")] + """
/// {drug} is of class {class}
.decl of(drug: symbol, class: symbol)
of("p", "a"). of("q", "a"). of("r", "b").
/// a drug of class {class} was taken
.decl taken_of(case: Case, class: symbol)
taken_of(case, class) :- taken(case, drug, _), of(drug, class).
taken_of(case, "a") :- visit(case, 9).
/// no drug of class a was taken
@[criterion("first 1")]
.decl free(case: Case)
free(case) :- request(case, _, _, _), !taken_of(case, "a").
decided(case) :- free(case).
""", visit=[9], taken=[{"drug": drug, "mg": 1} for drug in ("p", "q", "r")],
    ))
    assert [line.strip("| ") for line in unmet if "was taken, 1 mg" in line or "took place" in line] == [
        "+ p was taken, 1 mg", "+ q was taken, 1 mg", "+ a visit took place on day 9",
    ]
    assert sum("a drug of class a was taken" in line for line in unmet) == 1


def test_alternatives_without_numbers_are_told_apart() -> None:
    unmet = lines(decide(
        RULES[:RULES.index("/// the first visit")] + """
/// enough was done
@[criterion("first 1")]
.decl enough(case: Case)
enough(case) :- visit(case, 1), taken(case, "p", _).
enough(case) :- visit(case, 2), taken(case, "q", _).
decided(case) :- enough(case).
""", visit=[], taken=[],
    ))
    assert [line for line in unmet if "way" in line] == ["| - way 1 of 2:", "| - way 2 of 2:"]
    assert sum(line.startswith("| | - no record that") for line in unmet) == 4
