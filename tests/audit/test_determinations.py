"""The audit accepts every determination that the program makes, and refuses every change of one."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable
from itertools import cycle

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_kb.audit.known import known_tables
from policy_kb.audit.walk import Unsound
from policy_kb.explain.proof import MOST_WITHIN
from policy_kb.load.documents import parse_document, read_documents
from policy_kb.report.as_json import as_dict
from tests.audit.mutations import mutants
from tests.audit.running import KB, Audited, as_json, book_of, decided, policy_of, random_decided
from tests.explain.running import shorten_lists
from tests.kb.test_scenarios import SCENARIOS, read_scenario
from tests.report import small_policies
from tests.strategies.cases import alemtuzumab_cases
from tests.strategies.cases import random_case as random_alemtuzumab_case

REQUEST = {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"}
ELSEWHERE = {"case": "A-1", "request": REQUEST, "line_of_business": "FEP"}
BRAND = KB / "alemtuzumab/scenarios/initiation-brand-copaxone-trial-is-asked-about.yaml"


@settings(max_examples=40)
@given(alemtuzumab_cases())
def test_every_determination_of_an_alemtuzumab_case_is_accepted(document: dict[str, object]) -> None:
    decided(document).check()


@pytest.mark.parametrize("entry", sorted(KB.glob("*.dl")), ids=lambda entry: entry.stem)
def test_the_determination_of_every_scenario_is_accepted(entry) -> None:
    scenarios = [path for path in SCENARIOS if path.parents[1].name == entry.stem]
    assert scenarios
    for path in scenarios:
        _, document, readings = read_scenario(path)
        decided(document, readings, entry).check()


def test_every_determination_of_a_random_program_is_accepted(
    effort: int, rate: Callable[[str, int, int], None]
) -> None:
    decisions: Counter[str] = Counter()
    for seed in range(100 * effort):
        one = random_decided(seed)
        if one is not None:
            one.check()
            decisions[one.said["decision"]] += 1
    assert len(decisions) == 3
    rate("determinations of random programs accepted", decisions.total(), decisions.total())


@settings(max_examples=10)
@given(alemtuzumab_cases(), st.randoms(use_true_random=False))
def test_every_change_of_a_determination_of_an_alemtuzumab_case_is_refused(
    document: dict[str, object], source: random.Random
) -> None:
    one = decided(document)
    for kind, mutant in mutants(one.said, source, most=15):
        assert one.refuses(mutant), kind


def test_changes_of_every_kind_are_refused(
    effort: int, rate: Callable[[str, int, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: Counter[str] = Counter()
    for seed in range(16 * effort):
        shorten_lists(monkeypatch, MOST_WITHIN if seed % 4 < 2 else 1)
        source = random.Random(f"changes {seed}")
        found = decided(random_alemtuzumab_case(source)) if seed % 2 else random_decided(seed)
        if found is None:
            continue
        for kind, mutant in mutants(found.said, source, most=40):
            tried[kind] += 1
            assert found.refuses(mutant), f"{kind}, determination {seed}"
    assert len(tried) > 300
    rate(f"changes refused, of {len(tried)} kinds", tried.total(), tried.total())


def test_changes_of_a_determination_that_does_not_apply_are_refused() -> None:
    one = decided(ELSEWHERE)
    one.check()
    assert one.said["decision"] == "not applicable"
    for kind, mutant in mutants(one.said, random.Random(1), most=1000):
        assert one.refuses(mutant), kind


def test_the_order_of_keys_does_not_matter() -> None:
    def turned(value: object) -> object:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(part) for part in value] if isinstance(value, list) else value

    one = decided({"case": "A-1", "request": REQUEST})
    one.check(turned(one.said))


def test_what_is_known_for_every_case_is_found_a_second_time() -> None:
    for entry in sorted(KB.glob("*.dl")):
        policy, book = policy_of(entry), book_of(entry)
        assert {name: table.rows for name, table in book.known({}).items()} == policy.rules.known
        for name, *_, choice in policy.rules.known.get("alternative", ()):
            found = known_tables(book.bodies, policy.rules.tables, {str(name): str(choice)})
            assert {name: table.rows for name, table in found.items()} == policy.known_under(((name, choice),))


def test_a_determination_under_another_reading_is_audited_with_it() -> None:
    (document,) = read_documents(BRAND)
    one = decided(document, {"brand_trial": "counts"})
    one.check()
    without = Audited(one.book, one.document, one.said)
    with pytest.raises(Unsound) as caught:
        without.check()
    assert caught.value.where == "readings.brand_trial"
    assert caught.value.hint is not None
    assert "--reading brand_trial=counts" in caught.value.hint


def test_the_readings_that_would_change_the_decision_are_checked_where_they_stand() -> None:
    (document,) = read_documents(BRAND)
    policy = policy_of(KB / "alemtuzumab.dl")
    determination = policy.decide(document)
    changes = policy.sensitivity(document, {}, determination.decision)
    sensitivity = [{"reading": name, "choice": choice, "decision": other} for name, choice, other in changes]
    assert len(sensitivity) == 2
    one = Audited(book_of(KB / "alemtuzumab.dl"), document,
                  as_json({**as_dict(determination), "sensitivity": sensitivity}))
    one.check()
    assert one.refuses({**one.said, "sensitivity": sensitivity[:1]})
    assert one.refuses({**one.said, "sensitivity": []})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"decision": "met"}, "decision: it says `met`; it has to be `needs information`"),
        ({"rules": "sha256:" + 64 * "0"}, "it was decided by other rule files"),
        ({"facts": "sha256:" + 64 * "0"}, "the case says something else"),
        ({"explanation": None}, "explanation: it says `null`; it has to be a mapping"),
        ({"policy": "x"}, "policy: it says `x`; it has to be `09-J2000-27`"),
        ({"approval": [{"amount": 5, "unit": "doses"}]}, "approval: it says `["),
        ({"extra": 1}, "extra: it says `1`; nothing may stand there under this name"),
        ({"source": "elsewhere.yaml"}, "source: it says `elsewhere.yaml`; it has to name the case file, `<case>`"),
    ],
)
def test_the_first_wrong_step_is_shown(change: dict[str, object], says: str) -> None:
    one = decided({"case": "A-1", "request": REQUEST})
    with pytest.raises(Unsound) as caught:
        one.check({**one.said, **change})
    assert says in str(caught.value)


def test_a_determination_without_its_explanation_is_audited_for_all_else() -> None:
    one = decided({"case": "A-1", "request": REQUEST})
    without = {key: value for key, value in one.said.items() if key != "explanation"}
    one.check(without)
    for change in ({"decision": "met"}, {"readings": {"brand_trial": "counts"}}, {"readings": {"x": "y"}}):
        assert one.refuses({**without, **change})


def test_a_determination_of_version_0_1_is_refused_with_the_reason() -> None:
    one = decided({"case": "A-1", "request": REQUEST})
    old = {key: value for key, value in one.said.items() if key != "format"}
    with pytest.raises(Unsound, match=r"version 0\.1.*decide the case again"):
        one.check(old)


def test_a_case_that_has_to_be_refused_has_no_determination() -> None:
    one = decided({"case": "A-1", "request": REQUEST})
    therapy = [{"product": "Avonex", "started": "2025-01-02", "stopped": "2025-01-01"}]
    document = parse_document({"case": "A-1", "request": REQUEST, "therapy": therapy})
    forged = {**one.said, "facts": one.book.reader.read(document).digest}
    with pytest.raises(Unsound) as caught:
        Audited(one.book, document, forged).check()
    assert "the case has to be refused: Avonex is started" in str(caught.value)


def test_the_folder_of_a_file_does_not_matter_and_its_name_and_line_do(tmp_path) -> None:
    text = yaml.safe_dump({"case": "A-1", "request": REQUEST, "relapse": ["2025-03-02"]})
    found = []
    for folder in ("one", "another"):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "case.yaml"
        file.write_text(text)
        (document,) = read_documents(file)
        found.append(decided(document))
    one, another = found
    assert one.said != another.said
    Audited(one.book, another.document, one.said).check()

    def with_folders(value: object, old: str, new: str) -> object:
        if isinstance(value, dict):
            return {key: with_folders(part, old, new) for key, part in value.items()}
        if isinstance(value, list):
            return [with_folders(part, old, new) for part in value]
        return value.replace(old, new) if isinstance(value, str) else value

    for other in ("/elsewhere/kb/", "../kb/", "elsewhere/"):
        one.check(with_folders(one.said, "alemtuzumab/", f"{other}alemtuzumab/"))
    assert one.refuses(with_folders(one.said, "initiation.dl", "continuation.dl"))
    assert one.refuses(with_folders(one.said, "alemtuzumab/", "ocrelizumab/"))
    assert one.refuses(with_folders(one.said, "case.yaml", "cases.yaml"))
    # A file has one name throughout.
    changed = copy.deepcopy(one.said)
    attempt = next(node for node in reversed(changed["explanation"]["nodes"]) if node["kind"] == "attempt")
    attempt["rule"] = f"/elsewhere/{attempt['rule']}"
    assert one.refuses(changed)


def test_hostile_documents_are_refused_and_break_nothing() -> None:
    one = decided({"case": "A-1", "request": REQUEST})
    deep: object = "x"
    for _ in range(200):
        deep = [deep]
    parts = (None, True, 0, 1.5, "x", [], {}, deep, {"root": 1}, {"id": 1}, {"kind": []}, {"": {}}, {"children": deep})
    for value in parts:
        for key in one.said:
            if one.said[key] != value:
                assert one.refuses({**one.said, key: value}), key
        assert one.refuses(value if value else [value])
        explanation = one.said["explanation"]
        for key in explanation:
            if explanation[key] != value:
                assert one.refuses({**one.said, "explanation": {**explanation, key: value}}), key
    nodes = one.said["explanation"]["nodes"]
    for number, value in zip(range(0, len(nodes), 3), cycle(parts), strict=False):
        changed = [*nodes[:number], value, *nodes[number + 1 :]]
        assert one.refuses({**one.said, "explanation": {**explanation, "nodes": changed}}), number


def test_what_is_known_stands_where_its_fact_row_or_rule_stands(tmp_path) -> None:
    (tmp_path / "drugs.csv").write_text("name,class\nA,first\nB,second\nX,third\n", encoding="utf-8")
    entry = tmp_path / "policy.dl"
    entry.write_text(small_policies.PREAMBLE + """.decl drug(name: symbol, class: symbol)
.input drug(filename = "drugs.csv", delimiter = ",", headers = "true")
.decl limit(class: symbol, day: number)
limit("first", 1).
limit("third", 3).
.decl reading(name: symbol, choice: symbol)
reading("strict", "yes").
.decl alternative(name: symbol, choice: symbol)
alternative("strict", "no").
.decl early(class: symbol)
early(class) :- limit(class, day), day < 2.
early(class) :- limit(class, day), day > 2, reading("strict", "no").
/// the drug is early
@[criterion("first 1")]
.decl one(case: Case)
decided(case) :- one(case).
one(case) :- request(case, name, _, _), drug(name, class), limit(class, _), early(class), reading("strict", _).
""", encoding="utf-8")
    one = decided({"case": "A-1", "request": small_policies.REQUEST}, {"strict": "no"}, entry)
    one.check()
    places = {node["relation"]: node["at"] for node in one.said["explanation"]["nodes"] if node["kind"] == "given"}
    lines = entry.read_text(encoding="utf-8").splitlines()

    def line(text: str) -> str:
        return f"policy.dl:{1 + next(number for number, one in enumerate(lines) if one.startswith(text))}"

    assert places == {
        "request": places["request"], "drug": "drugs.csv:4", "limit": line('limit("third"'),
        "early": line("early(class) :- limit(class, day), day > 2"), "reading": line("alternative("),
    }
