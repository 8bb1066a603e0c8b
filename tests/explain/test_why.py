"""The shape of explanations, and what is missing, on small programs."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from itertools import pairwise

from policy_kb.explain.proof import (
    HEAD,
    MOST_WITHIN,
    Absent,
    Attempt,
    Branches,
    Claim,
    Compared,
    Counted,
    Derived,
    Doubted,
    Given,
    Node,
    OpenPoint,
    Refuted,
    Step,
    Unstated,
)
from policy_kb.explain.written import NO_VALUE
from policy_kb.source import Span
from tests.explain.running import CASE, Explained, explain_alemtuzumab, explain_text, records

VISIT = '@[ask("When were the visits?")]\n.decl visit(case: Case, day: number)\n.input visit\n'
TEST = '@[ask("Which tests were done?")]\n.decl tested(case: Case, what: symbol, result: symbol)\n.input tested\n'
LETTER = (
    '@[always_open("document")] @[ask("Can it be sent?")]\n'
    ".decl letter(case: Case, about: symbol)\n.input letter\n"
)
DECIDED = '@[policy("P-1", phase = "treatment", title = "A test", revised = "2025-07-15")]\n.decl decided(case: Case)\n'


def attempts(node: Node) -> tuple[Attempt, ...]:
    assert isinstance(node, Refuted | Doubted)
    return node.attempts


def failing(attempt: Attempt) -> list[int]:
    """The places of the literals that fail."""
    return [step.place for step in attempt.steps if step.answer == "not met"]


def only_step(node: Node) -> Step:
    (attempt,) = attempts(node)
    (step,) = attempt.steps
    return step


def points(one: Explained) -> list[tuple[str, str]]:
    return [(point.relation, point.why) for point in one.missing]


# --- proofs ----------------------------------------------------------------------------------------------------------


def test_a_proof_has_a_step_for_every_literal_in_the_order_of_the_body() -> None:
    one = explain_text(
        VISIT + DECIDED + "decided(case) :- day > 3, visit(case, day), !visit(case, 9), true.", visit=[5, 2, 7]
    )
    node = one.node
    assert isinstance(node, Derived)
    assert [step.place for step in node.steps] == [0, 1, 2, 3]
    assert [type(step.node) for step in node.steps] == [Compared, Given, Absent, Compared]
    assert [step.is_negated for step in node.steps] == [False, False, True, False]
    assert dict(node.bindings) == {"case": CASE, "day": 5}
    one.check()


def test_a_row_of_the_case_carries_the_place_it_was_read_from() -> None:
    one = explain_text(VISIT + DECIDED + "decided(case) :- visit(case, 5).", visit=[5])
    (step,) = one.node.steps  # type: ignore[union-attr]
    (row,) = one.facts.rows["visit"]
    assert step.node == one.explainer.given("visit", (CASE, 5))
    assert step.node.span == row.span


def test_a_fact_of_the_rule_files_carries_its_place() -> None:
    one = explain_text(
        ".decl least(day: number)\nleast(3).\n" + VISIT + DECIDED
        + "decided(case) :- visit(case, day), least(number), day >= number.",
        visit=[5],
    )
    given = one.node.steps[1].node  # type: ignore[union-attr]
    assert isinstance(given, Given)
    assert (given.is_known, str(given.span)) == (True, "rules.dl:7")


def test_the_first_rule_that_holds_is_the_proof() -> None:
    rules = VISIT + DECIDED + "".join(f"decided(case) :- visit(case, {day}).\n" for day in (1, 2, 3))
    one = explain_text(rules, visit=[2, 3])
    assert isinstance(one.node, Derived)
    assert one.node.rule == 1
    one.check()


# --- refutations -----------------------------------------------------------------------------------------------------


def test_every_literal_of_an_all_of_that_fails_is_listed_also_after_an_earlier_failure() -> None:
    one = explain_text(
        VISIT + TEST + DECIDED
        + "decided(case) :- visit(case, 1), tested(case, \"a\", _), visit(case, 2), !visit(case, 5), 1 > 2.",
        visit=[2, 5], tested=[],
    )
    (attempt,) = attempts(one.node)
    assert failing(attempt) == [0, 1, 3, 4]
    assert [step.place for step in attempt.steps] == [0, 1, 3, 4]
    one.check()


def test_every_alternative_of_a_one_of_is_in_a_refutation() -> None:
    alternatives = "".join(f"fitting(case) :- visit(case, {day}).\n" for day in (1, 2, 3))
    one = explain_text(
        VISIT + DECIDED + ".decl fitting(case: Case)\n" + alternatives + "decided(case) :- fitting(case).", visit=[7]
    )
    inner = only_step(one.node).node
    assert [failing(attempt) for attempt in attempts(inner)] == [[0], [0], [0]]
    absent = [attempt.steps[0].node for attempt in attempts(inner)]
    assert [node.claim for node in absent] == [Claim("visit", (CASE, day)) for day in (1, 2, 3)]  # type: ignore[union-attr]
    one.check()


def test_an_alternative_whose_head_cannot_fit_is_no_attempt() -> None:
    one = explain_text(
        VISIT + '.decl kind(case: Case, name: symbol)\nkind(case, "early") :- visit(case, 1).\n'
        'kind(case, "late") :- visit(case, 9).\n' + DECIDED + 'decided(case) :- kind(case, "late").',
        visit=[1],
    )
    inner = only_step(one.node).node
    assert len(attempts(inner)) == 1
    one.check()


def test_every_row_that_might_have_done_is_a_branch_of_a_refutation_the_nearest_first() -> None:
    one = explain_text(VISIT + DECIDED + "decided(case) :- visit(case, day), day > 5, day != 4.", visit=[4, 3, 5])
    node = only_step(one.node).node
    assert isinstance(node, Branches)
    assert [row.claim.values[1] for row, _ in node.rows] == [5, 3, 4]  # type: ignore[union-attr]
    assert [failing(rest) for _, rest in node.rows] == [[1], [1], [1, 2]]
    assert node.unstated is None
    one.check()


def test_an_absence_names_what_is_on_record_instead_and_where_the_relation_is_stated() -> None:
    one = explain_text(TEST + DECIDED + 'decided(case) :- tested(case, "a", "good").', tested=[
        {"what": "a", "result": "bad"}, {"what": "b", "result": "good"},
    ])
    absent = only_step(one.node).node
    assert isinstance(absent, Absent)
    assert [row.claim.values[1:] for row in absent.instead] == [("a", "bad"), ("b", "good")]
    assert absent.span == one.facts.stated["tested"]


def test_what_binds_the_values_of_a_comparison_that_fails_stands_before_it() -> None:
    rule = "decided(case) :- visit(case, day), request(case, _, _, _), day > 5."
    one = explain_text(VISIT + DECIDED + rule, visit=[4])
    (attempt,) = attempts(one.node)
    assert [(step.place, step.answer) for step in attempt.steps] == [(0, "met"), (2, "not met")]


def test_what_a_head_computes_is_compared_with_the_claim() -> None:
    one = explain_text(
        VISIT + ".decl after(case: Case, day: number)\nafter(case, day + 1) :- visit(case, day).\n"
        + DECIDED + "decided(case) :- after(case, 5).",
        visit=[6, 7],
    )
    branches = only_step(only_step(one.node).node).node
    assert isinstance(branches, Branches)
    heads = [rest.steps[0] for _, rest in branches.rows]
    assert [(step.place, step.answer) for step in heads] == [(HEAD, "not met")] * 2
    assert [(step.node.left.value, step.node.right.value) for step in heads] == [(7, 5), (8, 5)]  # type: ignore[union-attr]
    one.check()


def test_a_value_that_an_atom_computes_from_a_later_one_is_compared_where_it_is_known() -> None:
    one = explain_text(
        VISIT + ".decl test(case: Case, day: number)\n.input test\n" + DECIDED
        + "decided(case) :- visit(case, day + 1), test(case, day).",
        visit=[3, 4], test=[3, 9],
    )
    assert one.answer == "met"
    one.check()
    without = explain_text(
        VISIT + ".decl test(case: Case, day: number)\n.input test\n" + DECIDED
        + "decided(case) :- visit(case, day + 1), test(case, day).",
        visit=[4, 8], test=[9, 1],
    )
    assert without.answer == "not met"
    without.check()


def test_a_comparison_with_what_has_no_value_fails() -> None:
    one = explain_text(
        ".decl least(day: number)\nleast(day) :- day = 1, day > 2.\n" + VISIT + DECIDED
        + "decided(case) :- visit(case, _), first = min day : { least(day) }, first != 5.",
        visit=[1],
    )
    (attempt,) = attempts(one.node)
    (step,) = attempt.steps
    assert step.place == 1
    assert isinstance(step.node, Compared)
    assert step.node.left.value == NO_VALUE
    one.check()


# --- counts ----------------------------------------------------------------------------------------------------------


def test_a_count_shows_every_row_and_both_sides() -> None:
    rules = VISIT + DECIDED + "decided(case) :- request(case, _, _, _), count : { visit(case, day), day >= 3 } >= 3."
    one = explain_text(rules, visit=[2, 3, 10, 9, {"day": 4, "uncertain": True}])
    assert one.answer == "met"
    node = one.node.steps[1].node  # type: ignore[union-attr]
    assert isinstance(node, Counted)
    assert (node.operator, node.least, node.most, node.bound.value) == (">=", 3, 4, 3)
    assert [dict(row.bindings) for row in node.rows] == [{"day": day} for day in (3, 4, 9, 10)]
    assert [row.is_certain for row in node.rows] == [True, False, True, True]
    assert [row.nodes for row in node.rows] == [
        (one.explainer.given("visit", (CASE, day)),) for day in (3, 4, 9, 10)
    ]
    one.check()


def test_a_count_below_a_bound_carries_what_closes_the_relation() -> None:
    rules = VISIT + DECIDED + "decided(case) :- request(case, _, _, _), count : { visit(case, _) } < 2."
    one = explain_text(rules, visit=[1])
    node = one.node.steps[1].node  # type: ignore[union-attr]
    assert isinstance(node, Counted)
    assert [(part.claim, part.span) for part in node.closing] == [
        (Claim("visit", (CASE, None)), one.facts.stated["visit"])
    ]
    assert node.unstated == ()


def test_a_count_of_an_open_relation_has_no_bound_and_names_it() -> None:
    rules = VISIT + DECIDED + "decided(case) :- request(case, _, _, _), count : { visit(case, _) } < 2."
    one = explain_text(rules, visit=[1], incomplete=["visit"])
    (attempt,) = attempts(one.node)
    node = attempt.steps[-1].node
    assert isinstance(node, Counted)
    assert (node.least, node.most, node.answer) == (1, None, "needs information")
    assert [(part.claim, part.why) for part in node.unstated] == [(Claim("visit", (CASE, None)), "incomplete")]
    one.check()


def test_a_variable_shared_with_an_atom_is_counted_at_its_value_in_every_branch() -> None:
    rules = (
        VISIT + TEST + DECIDED
        + "decided(case) :- visit(case, day), count : { visit(case, day), tested(case, _, _) } >= 2."
    ).replace("tested(case, _, _)", "tested(case, what, result)")
    one = explain_text(rules, visit=[1, 2], tested=[{"what": "a", "result": "b"}])
    assert one.answer == "not met"
    one.check()


# --- doubts ----------------------------------------------------------------------------------------------------------


def test_an_open_point_names_the_relation_that_would_settle_it() -> None:
    one = explain_text(VISIT + DECIDED + "decided(case) :- visit(case, 5).")
    assert one.answer == "needs information"
    assert only_step(one.node).node.__class__ is Unstated
    assert one.missing == (OpenPoint("visit", "not stated", (), "When were the visits?"),)
    one.check()


def test_an_open_relation_is_a_branch_beside_its_rows() -> None:
    one = explain_text(
        VISIT + DECIDED + "decided(case) :- visit(case, day), day > 5.", visit=[1], incomplete=["visit"]
    )
    node = only_step(one.node).node
    assert isinstance(node, Branches)
    assert [rest.answer for _, rest in node.rows] == ["not met"]
    assert isinstance(node.unstated, Unstated)
    assert node.otherwise is not None
    assert node.otherwise.answer == "needs information"
    one.check()


def test_what_a_possible_rule_leaves_open_is_said_by_its_doc_comment() -> None:
    one = explain_text(
        VISIT + DECIDED + '/// Does a late visit count?\n@[possible("judgement", visit)]\n'
        "decided(case) :- visit(case, day), day > 5.",
        visit=[9],
    )
    (attempt,) = attempts(one.node)
    assert attempt.settles == "Does a late visit count?"
    assert one.missing == (OpenPoint("visit", "judgement", (), "Does a late visit count?"),)
    one.check()


def test_a_derived_relation_that_is_open_beside_a_certain_row_is_doubted_as_a_whole() -> None:
    rules = (
        VISIT + ".decl seen(case: Case, day: number)\nseen(case, day) :- visit(case, day).\n"
        + DECIDED + "decided(case) :- seen(case, day), day > 5."
    )
    one = explain_text(rules, visit=[1], incomplete=["visit"])
    node = only_step(one.node).node
    assert isinstance(node, Branches)
    assert isinstance(node.rows[0][0], Derived)
    assert isinstance(node.unstated, Doubted)
    assert node.unstated.claim == Claim("seen", (CASE, None))
    one.check()


# --- the graph -------------------------------------------------------------------------------------------------------


def test_the_same_claim_is_explained_by_the_same_node() -> None:
    one = explain_text(
        VISIT + ".decl early(case: Case)\nearly(case) :- visit(case, 1).\n"
        ".decl first(case: Case)\nfirst(case) :- early(case), visit(case, 2).\n" + DECIDED
        + "decided(case) :- early(case), first(case), visit(case, _).",
        visit=[1, 2],
    )
    early, first, visit = (step.node for step in one.node.steps)  # type: ignore[union-attr]
    assert first.steps[0].node is early
    assert visit is early.steps[0].node


def test_rows_counted_and_rows_that_match_share_their_nodes() -> None:
    one = explain_text(
        VISIT + DECIDED + "decided(case) :- visit(case, 4), count : { visit(case, _) } >= 1.", visit=[4]
    )
    row, count = (step.node for step in one.node.steps)  # type: ignore[union-attr]
    assert count.rows[0].nodes[0] is row


def test_explanations_are_acyclic() -> None:
    document = {
        "case": "A-1", "request": {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"},
        "therapy": [{"product": "Avonex", "started": "2021-01-10", "stopped": "2023-05-01", "uncertain": True}],
    }
    done: set[int] = set()

    def descend(found: object, above: frozenset[int]) -> None:
        assert id(found) not in above
        if id(found) not in done:
            done.add(id(found))
            for part in children(found):
                descend(part, above | {id(found)})

    descend(explain_alemtuzumab(document).node, frozenset())
    assert len(done) > 100


def children(found: object) -> list[object]:
    """The records right below one."""
    values = [getattr(found, part.name) for part in fields(found)]  # type: ignore[arg-type]
    flat = [part for value in values for one in (value if type(value) is tuple else (value,))
            for part in (one if type(one) is tuple else (one,))]
    return [part for part in flat if is_dataclass(part) and not isinstance(part, Span)]


def test_rules_rows_and_literals_stand_in_their_order() -> None:
    document = {
        "case": "A-1", "request": {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"},
        "relapse": ["2025-03-02", "2025-06-11"], "incomplete": ["relapse", "mri"],
        "mri": [{"on": "2025-03-02", "finding": "gadolinium-enhancing lesion", "lesions": 0}],
    }
    for _, record in records(explain_alemtuzumab(document).node):
        match record:
            case Refuted(attempts=tried) | Doubted(attempts=tried):
                assert all(one.rule < another.rule for one, another in pairwise(tried))
            case Derived(steps=steps):
                assert [step.place for step in steps] == list(range(len(steps)))
            case Branches(rows=rows):
                values = [row.claim.values for row, _ in rows]  # type: ignore[union-attr]
                assert values == sorted(values)


# --- what is missing -------------------------------------------------------------------------------------------------


def test_an_uncertain_row_that_would_change_the_decision_is_missing() -> None:
    one = explain_text(VISIT + DECIDED + "decided(case) :- visit(case, 5).", visit=[{"day": 5, "uncertain": True}, 6])
    assert points(one) == [("visit", "uncertain")]
    one.check()


def test_an_uncertain_row_that_would_not_change_the_decision_is_not_missing() -> None:
    rules = VISIT + TEST + DECIDED + "decided(case) :- visit(case, 5), tested(case, _, _)."
    one = explain_text(rules, visit=[{"day": 6, "uncertain": True}, 5])
    assert points(one) == [("tested", "not stated")]


def test_an_incomplete_relation_is_missing_also_where_one_of_its_rows_is_certain() -> None:
    one = explain_text(
        VISIT + DECIDED + "decided(case) :- visit(case, day), day > 5.", visit=[1], incomplete=["visit"]
    )
    assert points(one) == [("visit", "incomplete")]


def test_a_document_that_can_still_be_sent_is_missing_with_what_it_is_about() -> None:
    one = explain_text(LETTER + DECIDED + 'decided(case) :- letter(case, "therapy").', record="complete")
    (point,) = one.missing
    assert (point.relation, point.why, point.ask) == ("letter", "document", "Can it be sent? (therapy)")


def test_an_open_relation_that_can_change_nothing_is_not_missing() -> None:
    rules = VISIT + TEST + DECIDED + (
        "decided(case) :- visit(case, 1).\n"
        "decided(case) :- visit(case, 2), tested(case, _, _).\n"
    )
    blocked = explain_text(rules, visit=[{"day": 1, "uncertain": True}])
    assert points(blocked) == [("visit", "uncertain")]
    needed = explain_text(rules, visit=[{"day": 2, "uncertain": True}])
    assert points(needed) == [("visit", "uncertain"), ("tested", "not stated")]


def test_nothing_is_missing_where_the_decision_is_definite() -> None:
    rules = VISIT + TEST + DECIDED + "decided(case) :- visit(case, 1), !tested(case, _, \"bad\")."
    assert explain_text(rules, visit=[]).missing == ()
    assert explain_text(rules, visit=[1], tested=[]).missing == ()
    assert points(explain_text(rules, visit=[1])) == [("tested", "not stated")]


def test_what_a_count_waits_for_is_missing() -> None:
    rules = VISIT + DECIDED + "decided(case) :- request(case, _, _, _), count : { visit(case, _) } = 2."
    one = explain_text(rules, visit=[1, {"day": 2, "uncertain": True}])
    assert points(one) == [("visit", "uncertain")]
    assert points(explain_text(rules, visit=[1, 2], incomplete=["visit"])) == [("visit", "incomplete")]


def test_a_negated_derived_relation_leads_to_the_rows_that_may_give_it() -> None:
    rules = (
        VISIT + TEST + ".decl late(case: Case, day: number)\nlate(case, day) :- visit(case, day), day > 5.\n"
        "late(case, 0) :- tested(case, _, \"late\").\n"
        + DECIDED + "decided(case) :- request(case, _, _, _), !late(case, _)."
    )
    one = explain_text(rules, visit=[{"day": 9, "uncertain": True}], tested=[])
    assert points(one) == [("visit", "uncertain")]


def test_an_open_point_names_the_criteria_that_wait_for_it() -> None:
    one = explain_text(
        VISIT + '@[criterion("treatment 1.a")]\n.decl early(case: Case)\nearly(case) :- visit(case, 1).\n'
        '@[criterion("treatment 2")]\n.decl late(case: Case)\nlate(case) :- visit(case, 9).\n'
        + DECIDED + "decided(case) :- early(case), late(case)."
    )
    assert [(point.relation, point.criteria) for point in one.missing] == [("visit", ("1.a", "2"))]


def test_a_list_within_a_row_of_another_keeps_the_rows_that_weigh_most_and_says_how_many_more_there_are() -> None:
    one = explain_text(
        ".decl visit(case: Case, day: number) .input visit\n.decl decided(case: Case)\n"
        "decided(case) :- visit(case, day), visit(case, other), other - day > 27,"
        " count : { visit(case, later), later > day } >= 40.",
        visit=[{"day": day, "uncertain": day != 25} for day in range(1, 31)],
    )
    node = one.node
    assert isinstance(node, Refuted)
    (first,) = [step.node for step in node.attempts[0].steps]
    assert isinstance(first, Branches)
    assert (len(first.rows), first.more) == (30, 0)
    of_the_first_day = first.rows[0][1].steps
    (count,) = [step.node for step in of_the_first_day]
    assert isinstance(count, Counted)
    assert (count.most, len(count.rows), count.more) == (29, MOST_WITHIN, 29 - MOST_WITHIN)
    days = [dict(row.bindings)["later"] for row in count.rows]
    assert days == [*range(2, MOST_WITHIN + 1), 25]

    possible = explain_text(
        ".decl visit(case: Case, day: number) .input visit\n.decl decided(case: Case)\n"
        "decided(case) :- visit(case, day), visit(case, other), other - day > 27.",
        visit=[{"day": day, "uncertain": True} for day in range(1, 31)],
    ).node
    assert isinstance(possible, Doubted)
    (outer,) = [step.node for step in possible.attempts[0].steps]
    assert isinstance(outer, Branches)
    inner = outer.rows[0][1].steps[-1].node
    assert isinstance(inner, Branches)
    # Of rows that may or may not hold, those with which the rest fails decide nothing.
    assert (inner.more, inner.more_possible) == (28, 0)
    assert [node.claim.values[1] for node, _ in inner.rows] == [29, 30]  # type: ignore[union-attr]


GIVEN = """
    .decl given(case: Case, drug: symbol, days: number) .input given
    .decl of(drug: symbol, class: symbol) of("a", "one"). of("b", "one"). of("c", "two"). of("d", "two").
    .decl long(case: Case, drug: symbol) long(case, drug) :- given(case, drug, days), days >= 90.
    .decl used(case: Case, class: symbol) used(case, class) :- long(case, drug), of(drug, class).
"""


def test_what_fails_by_one_day_stands_before_what_is_of_another_class() -> None:
    one = explain_text(
        GIVEN + DECIDED + 'decided(case) :- used(case, "one").',
        given=[{"drug": "c", "days": 200}, {"drug": "d", "days": 89}, {"drug": "a", "days": 10},
               {"drug": "b", "days": 89}],
    )
    branches = only_step(only_step(one.node).node).node
    assert isinstance(branches, Branches)
    drugs = [row.claim.values[1] for row, _ in branches.rows]  # type: ignore[union-attr]
    assert drugs == ["b", "a", "c", "d"]
    near, rest = branches.rows[0]
    assert isinstance(near, Refuted)
    assert rest.answer == "met"
    assert failing(near.attempts[0]) == [1]
    one.check()


def test_what_gives_a_failing_literal_its_values_stands_before_it_however_far_back() -> None:
    one = explain_text(
        ".decl weight(case: Case, kg: number) .input weight\n.decl table(kg: number, dose: number) table(80, 5).\n"
        ".decl taken(case: Case, dose: number) .input taken\n.decl smokes(case: Case) .input smokes\n" + DECIDED
        + "decided(case) :- smokes(case), weight(case, kg), table(kg, dose), most = dose * 2, taken(case, had),"
        " had <= most, !smokes(case).",
        weight=[80], taken=[12], smokes=True,
    )
    (attempt,) = attempts(one.node)
    assert [(step.place, step.answer) for step in attempt.steps] == [
        (1, "met"), (2, "met"), (3, "met"), (4, "met"), (5, "not met"), (6, "not met"),
    ]
    one.check()


def test_of_a_count_that_is_too_small_the_rows_that_nearly_count_are_named_the_nearest_first() -> None:
    one = explain_text(
        VISIT + DECIDED + "decided(case) :- request(case, _, _, _), count : { visit(case, day), day >= 10 } >= 2.",
        visit=[1, 9, 12, 5],
    )
    (attempt,) = attempts(one.node)
    counted = attempt.steps[0].node
    assert isinstance(counted, Counted)
    assert [dict(row.bindings)["day"] for row in counted.rows] == [12]
    assert [dict(row.bindings)["day"] for row in counted.missed] == [9, 5, 1]
    assert [[step.place for step in row.steps] for row in counted.missed] == [[1]] * 3
    assert len(counted.closing) == 1
    one.check()


def test_parts_of_a_count_that_are_not_met_are_explained() -> None:
    one = explain_text(
        VISIT + TEST + ".decl part(case: Case, which: symbol)\npart(case, \"i\") :- visit(case, 1).\n"
        'part(case, "ii") :- tested(case, "a", "good").\npart(case, "iii") :- visit(case, 2).\n' + DECIDED
        + "decided(case) :- request(case, _, _, _), count : { part(case, _) } >= 2.",
        visit=[1], tested=[],
    )
    counted = attempts(one.node)[0].steps[0].node
    assert isinstance(counted, Counted)
    assert [node.claim.values[1] for row in counted.rows for node in row.nodes] == ["i"]  # type: ignore[union-attr]
    assert [(type(node), node.claim.values[1]) for row in counted.missed for node in row.nodes] == [  # type: ignore[union-attr]
        (Refuted, "ii"), (Refuted, "iii"),
    ]
    one.check()


def test_what_an_aggregate_is_made_of_stands_behind_the_literal() -> None:
    one = explain_text(
        VISIT + ".decl limit(from: number, most: number) limit(1, 10). limit(5, 12). limit(9, 8).\n" + DECIDED
        + "decided(case) :- visit(case, day), since = max from : { limit(from, _), from <= day }, limit(since, most),"
        " day > most.",
        visit=[7],
    )
    (attempt,) = attempts(one.node)
    (equation,) = [step for step in attempt.steps if step.place == 1]
    (aggregate,) = equation.behind
    assert (aggregate.function, aggregate.value) == ("max", 5)
    assert [node.claim.values for row in aggregate.rows for node in row.nodes] == [(5, 12)]  # type: ignore[union-attr]
    one.check()


def test_rows_instead_of_one_that_is_absent_are_those_most_like_it() -> None:
    one = explain_text(TEST + DECIDED + 'decided(case) :- tested(case, "b", "good").', tested=[
        {"what": "a", "result": "bad"}, {"what": "b", "result": "bad"},
    ])
    absent = only_step(one.node).node
    assert isinstance(absent, Absent)
    assert [row.claim.values[1:] for row in absent.instead] == [("b", "bad"), ("a", "bad")]
    one.check()
