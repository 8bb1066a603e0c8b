"""Law 3 for NDJSON: what a batch reads of a line is what the reader of single cases reads of it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import policy_kb
from policy_kb.diagnostics import CaseRefused
from policy_kb.load.cases import load_case, named
from policy_kb.load.documents import LONGEST_LINE, read_documents
from policy_kb.load.facts import Facts
from tests.batch.running import values_of
from tests.strategies.cases import ALWAYS_OPEN, ATTRIBUTES, alemtuzumab_cases, random_case

duckdb = pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

from policy_kb.batch import lines, ndjson  # noqa: E402
from policy_kb.batch.ndjson import read_ndjson  # noqa: E402
from policy_kb.batch.shape import OPEN_TABLE, Openness, given_column  # noqa: E402
from policy_kb.batch.tables import Batch, connect  # noqa: E402

POLICY = policy_kb.load_policy("09-J2000-27")
PROGRAM, KNOWN = POLICY.program, POLICY.rules.known

Line = bytes
Said = tuple[dict[str, set[tuple[Any, ...]]], dict[str, str]]
"""Of a case: the rows of each relation, each with whether it is uncertain; the open relations, and why."""


# --- a batch, and its lines one by one --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    with connect() as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ndjson")


def said_by(facts: Facts) -> Said:
    rows = {
        name: {(*row.values[1:], row.is_uncertain) for row in rows} for name, rows in facts.rows.items() if rows
    }
    return rows, dict(facts.open)


def one_by_one(path: Path) -> tuple[dict[str, Said], dict[int, list[str]]]:
    """What each accepted case says, by its name; by its line, what is wrong with each other one."""
    accepted: dict[str, Said] = {}
    problems: dict[int, list[str]] = {}
    first: dict[str, int] = {}
    for document in read_documents(path):
        line = document.case.span.line
        name, _ = named(document)
        found = []
        facts = None
        try:
            facts = load_case(PROGRAM, KNOWN, document)
        except CaseRefused as refused:
            found = [f"`{one.path}`: {one.message}" if one.path else one.message for one in refused.diagnostics]
        if name is not None and first.setdefault(name, line) != line:
            found.append("two cases are named")
        if found:
            problems[line] = found
        elif facts is not None:
            accepted[facts.case] = said_by(facts)
    return accepted, problems


def as_batch(batch: Batch) -> dict[str, Said]:
    """What each case of a batch says, from its tables."""
    connection, shape = batch.connection, batch.shape
    some = [name for name, one in shape.items() if one.openness is Openness.SOME]
    [*names] = connection.execute(f"SELECT DISTINCT \"case\" FROM {shape['request'].table}").fetchall()
    cases: dict[str, Said] = {name: ({}, {}) for name, in names}
    for name, one in shape.items():
        if one.openness is Openness.ALWAYS:
            why = PROGRAM.relations[name].always_open or "not stated"
            for _, is_open in cases.values():
                is_open[name] = why
        if not one.has_rows:
            continue
        columns = [given_column(place) for place in range(PROGRAM.relations[name].arity)]
        columns += ["uncertain"] if one.has_uncertain else []
        found = connection.execute(f"FROM {one.table}")
        assert [column[0] for column in found.description] == columns
        for case, *values in found.fetchall():
            row = values_of(values if one.has_uncertain else [*values, False])
            assert None not in row
            rows = cases[case][0].setdefault(name, set())
            assert row not in rows
            rows.add(row)
    if some:
        found = connection.execute(f"FROM {OPEN_TABLE}")
        assert [column[0] for column in found.description] == ["case", *(shape[name].table for name in some)]
        for case, *reasons in found.fetchall():
            cases[case][1].update({name: why for name, why in zip(some, reasons, strict=True) if why is not None})
    return cases


def check(path: Path, **how: Any) -> Batch | None:
    """The batch of a file, which says what its lines say one by one; None where the file holds no case."""
    accepted, problems = one_by_one(path)
    if not accepted and not problems:
        with pytest.raises(CaseRefused, match="holds no case"):
            read_ndjson(PROGRAM, KNOWN, path, **how)
        return None
    batch = read_ndjson(PROGRAM, KNOWN, path, **how)
    if batch.shape["request"].has_rows:
        assert as_batch(batch) == accepted
    else:
        assert not accepted
    found: dict[int, list[str]] = {}
    rejected = batch.connection.execute('SELECT "case", "table", "row", reason FROM batch_rejected').fetchall()
    for _, table, row, reason in rejected:
        assert table == path.name
        found.setdefault(row, []).append("two cases are named" if reason.startswith("two cases") else reason)
    assert found == problems
    assert batch.cases - batch.rejected == len(accepted)
    assert batch.rejected + batch.unnamed == len(problems)
    assert [one.row for one in batch.problems] == [row for _, _, row, _ in rejected[:100]]
    return batch


# --- lines that are nearly cases --------------------------------------------------------------------------------------

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 2**63 - 1, 2**63, 10**30, 1.0, 12.0, 0.5, -0.0, 1e22, "", " ", "1", "true"),
    *("2025-02-30", "2025-06-30", "ongoing", "Avonex", "other: baclofen", "other:  Vitamin D ", "other: avonex"),
    *("a\tb", "zero\u200bwidth", "case", "complete", "ACYCLOVIR", "g35.A", 'quote " : colon', "half \ud83d"),
    *("e\u0301", "x" * 10_001, "other: half \udc00"),
    *([], {}, [[]], [None], ["Avonex", "Avonex"], {"on": "2025-01-01"}, {"uncertain": True}, [1, 1.0, True]),
)
TEXT_CHANGES = (
    *(("{", "{,"), ("}", ",}"), ("[", "[1e400,"), (":", " : "), (":", "\t:"), ("true", "NaN"), ("12", "1e400")),
    *(('"', "'"), (",", ",,"), ("}", ""), (": ", ': "\\ud83d\\ude00", "x": '), ("A", "\\u0041"), ("1", "01")),
    *(("case", "c\\u0061se"), ("2", "-0"), ("12", "1E1"), ("12", "-Infinity"), ("0", "0." + "0" * 10_000 + "1")),
)


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every place inside a document where there is a value: what holds it, and the key or number."""
    if isinstance(node, dict | list):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            yield node, key
            yield from places(node[key])


def break_document(source: random.Random, document: Any) -> Any:
    """A change to a document, which is often no case any more."""
    document = json.loads(json.dumps(document))
    found = list(places(document))
    if not found:  # changes before this one have left nothing
        return document
    holder, key = source.choice(found)
    odd = source.choice(ODD_VALUES)
    change = source.randrange(9)
    if change < 3:
        holder[key] = odd
    elif change == 3:
        del holder[key]
    elif change == 4:
        document[source.choice([*ATTRIBUTES, "record", "incomplete", "uncertain", "relapses", "", "case"])] = odd
    elif change == 5:
        holder[key] = [holder[key]] if source.random() < 0.5 else [holder[key], holder[key]]
    elif change == 6:
        rows = [one for one in (holder, holder[key]) if isinstance(one, dict)] or [document]
        rows[0][source.choice(["uncertain", "on", "product", "case", "other"])] = source.choice([True, False, odd])
    elif change == 7:
        names = source.sample([*ATTRIBUTES], 2)
        document["incomplete"] = names if source.random() < 0.7 else names[0]
    else:
        document = {"description": "a scenario", "case": document, "expect": {"decision": "met"}}
        if source.random() < 0.3:
            del document["expect"]
    return document


def repeat_key(source: random.Random, line: str) -> str:
    """The line with one of its keys twice, written with or without spaces before the colon."""
    starts = [number for number, sign in enumerate(line) if sign == "{"]
    start = source.choice(starts)
    key = line[start + 1 :].partition(":")[0].strip()
    colon, value = source.choice([":", " : "]), source.choice(["1", "[]", '""'])
    return f"{line[: start + 1]}{key}{colon}{value}, {line[start + 1 :]}"


def line_of(source: random.Random, document: Any) -> Line:
    """A document as a line, now and then broken."""
    while source.random() < 0.35:
        document = break_document(source, document)
    separators = source.choice([None, (",", ":"), (" , ", " : ")])
    line = json.dumps(document, ensure_ascii=source.random() < 0.5, separators=separators)
    if source.random() < 0.1:
        line = repeat_key(source, line)
    if source.random() < 0.1:
        line = line.replace(*source.choice(TEXT_CHANGES), source.choice([1, 1, -1]))
    if source.random() < 0.03:
        line = line[: source.randrange(len(line))]
    if source.random() < 0.05:
        line = source.choice(["", " ", "\t", "\u3000", "\r", "[]", "1", "null", "\ufeff", line + "{}", line + line])
    padding = source.choice(["", "", "", " ", "\t", "\r", "\r\r"])
    raw = ((padding if padding != "\r\r" else "") + line + padding).encode("utf-8", "surrogatepass")
    return raw + b"\xff" if source.random() < 0.02 else raw


@st.composite
def files(draw: st.DrawFn) -> bytes:
    documents: list[Any] = draw(st.lists(alemtuzumab_cases(), min_size=1, max_size=3))
    source = draw(st.randoms(use_true_random=False))
    documents += [random_case(source) for _ in range(source.randrange(6))]
    for number, document in enumerate(documents):
        document["case"] = f"case-{number}" if source.random() < 0.9 else "case-0"
    content = b"\n".join(line_of(source, document) for document in documents)
    start = b"\xef\xbb\xbf" if source.random() < 0.05 else b""
    return start + content + source.choice([b"", b"\n", b"\n\n", b"\r\n"])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=files(), block=st.sampled_from([1, 700, 1 << 20]))
def test_a_line_says_in_a_batch_what_it_says_alone(
    connection: Any, folder: Path, content: bytes, block: int
) -> None:
    path = folder / "cases.ndjson"
    path.write_bytes(content)
    check(path, connection=connection, block=block)


@pytest.mark.parametrize("seed", range(4))
def test_many_broken_lines(connection: Any, folder: Path, seed: int) -> None:
    source = random.Random(seed)
    path = folder / "many.ndjson"
    lines = []
    for number in range(1_500):
        name = f"case-{number if source.random() < 0.95 else 7}"
        lines.append(line_of(source, {**random_case(source), "case": name}))
    path.write_bytes(b"\n".join(lines))
    batch = check(path, connection=connection, block=100_000)
    assert batch is not None
    assert batch.rejected > 100
    assert batch.cases - batch.rejected > 100


# --- the usual shapes -------------------------------------------------------------------------------------------------


def write(path: Path, *documents: Any) -> Path:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


REQUEST = {"drug": "Lemtrada", "phase": "initiation", "received": "2025-09-02"}


def test_the_usual_shapes_do_not_need_the_reader_of_single_cases(
    tmp_path: Path, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = random.Random(5)
    documents = [{**random_case(source), "case": f"case-{number}"} for number in range(300)]
    documents.append({"case": "é: \"x\"", "request": REQUEST, "concurrent_therapy": ["other: crème: à", "other: x"]})
    path = write(tmp_path / "cases.ndjson", *documents)
    accepted, _ = one_by_one(path)
    monkeypatch.delattr(lines._Part, "read_odd")
    batch = read_ndjson(PROGRAM, KNOWN, path, connection=connection)
    assert as_batch(batch) == accepted
    assert (batch.cases, batch.rejected, batch.unnamed, batch.problems) == (301, 0, 0, ())


def test_a_relation_of_which_all_cases_say_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "cases.ndjson", {"case": "a", "request": REQUEST, "relapse": "2025-01-01"},
                 {"case": "b", "request": REQUEST, "relapse": []}, {"case": "refused", "mri": []})
    batch = check(path)
    assert batch is not None
    for name, one in batch.shape.items():
        relation = PROGRAM.relations[name]
        is_never = not relation.may_be_open or relation.is_closed or name == "relapse"
        assert one.openness is (Openness.NEVER if is_never else Openness.ALWAYS)
        assert one.has_rows == (name in ("request", "relapse"))
        assert not one.has_uncertain


def test_a_relation_that_is_incomplete_in_all_cases(tmp_path: Path) -> None:
    path = write(tmp_path / "cases.ndjson", {"case": "a", "request": REQUEST, "incomplete": ["mri", "relapse"]},
                 {"case": "b", "request": REQUEST, "mri": [], "incomplete": "mri"})
    batch = check(path)
    assert batch is not None
    assert {name for name, one in batch.shape.items() if one.openness is Openness.SOME} == {"mri", "relapse"}


# Each begins where the name and the request of a case have been said.
ENDS = (
    '"age": NaN', '"planned_dose": Infinity', '"planned_dose": 1e400', '"planned_dose": [12, 12.0, -0.0, 0]',
    '"planned_dose": true', '"planned_dose": 0.' + "0" * 10_000 + "1", '"age": 9223372036854775808', '"age": -0',
    '"age": 4.0', '"age": true', '"age": [40, 40]', '"age": [{"years": 40}]', '"age": {"years": 40, "uncertain": true}',
    '"age": []', '"age": {}', '"age": 1' + "0" * 5_000, '"request": []', '"request": {}', '"request": [1]',
    r'"concurrent_therapy": "other: \ud83d"', r'"concurrent_therapy": "other: \uD83D\uDE00"',
    r'"concurrent_therapy": "other: \u003a"', r'"concurrent_therapy": "other: \"other: x"',
    r'"concurrent_therapy": "other: \u003a", "mri": [], "mri": []', '"mri" : [], "mri" : []', '"mri":[],"mri":[]',
    '"concurrent_therapy": ["other: x", "other: x "], "mri" : [], "mri": []', '"": 1', '"uncertain": true',
    '"relapse": [["2025-01-01"]]', '"relapse": [[]]', '"relapse": [{}]', '"relapse": [{"on": ["2025-01-01"]}]',
    '"relapse": [{"on": {"on": "2025-01-01"}}]', '"relapse": [{"on": "2025-01-01", "on": "2025-01-01"}]',
    '"relapse": [{"on": "2025-01-01", "uncertain": true}, "2025-01-01"]',
    '"relapse": [{"on": "2025-01-01", "uncertain": false}]', '"relapse": {"on": "2025-01-01", "uncertain": true}',
    '"relapse": null', '"relapse": [null]',
    '"relapse": [{"on": "2025-01-01", "uncertain": "true"}]', '"relapse": [{"uncertain": true}]', '"relapse": 20250101',
    '"relapse": [{"on": "2025-01-01", "uncertain": true}, {"on": "2025-01-01", "uncertain": true}]',
    '"previously_met_criteria": []', '"previously_met_criteria": "true"', '"previously_met_criteria": 1',
    '"previously_met_criteria": {"uncertain": true}', '"previously_met_criteria": true', '"mri": true', '"mri": [true]',
    '"mri": {"on": "2025-01-01", "finding": "gadolinium-enhancing lesion", "lesions": true}',
    '"mri": {"on": "2025-01-01", "finding": "gadolinium-enhancing lesion", "lesion": 1}',
    '"record": "Complete"', '"record": null', '"record": ["complete"]', '"incomplete": "age"', '"incomplete": []',
    '"incomplete": [["mri"]]', '"incomplete": null', '"incomplete": ["mri", "mri"], "mri": []', '"incomplete": {}',
    '"incomplete": ["previously_met_criteria"]', '"incomplete": "documentation"', '"incomplete": "therapies"',
    '"antiviral_prophylaxis": [{"agent": "ACYCLOVIR", "months": 3}, {"agent": "acyclovir", "months": 3}]',
    '"mri": ' + "[" * 30 + "]" * 30, '"mri": ' + "[" * 5_000, '"mri": [],', '"mri": []}', '"mri": [}', "'mri': []",
)


def test_lines_that_differ_from_a_case_in_one_thing(tmp_path: Path, connection: Any) -> None:
    path = tmp_path / "cases.ndjson"
    request = f'"request": {json.dumps(REQUEST)}'
    lines = []
    for number, end in enumerate(ENDS):
        start = "" if end.startswith('"request"') else f"{request}, "
        lines.append(f'{{"case": "case-{number}", {start}{end}}}')
    names = (r'"\ud83d"', r'"\ud83d\ude00"', r'"a\tb"', r'"\u00a0"', '"\u200b"', "1", "null", "[]", '"a", "case": "a"')
    for name in names:
        lines.append(f'{{"case": {name}, {request}}}')
    lines.append(f"{{{request}}}")
    for start in ("\ufeff", "\ufeff\ufeff"):
        path.write_text(start + "\n".join([*lines, "\ufeff" + lines[0]]), encoding="utf-8")
        check(path, connection=connection)


def test_a_record_taken_as_complete(tmp_path: Path, connection: Any) -> None:
    source = random.Random(6)
    documents = [{**random_case(source), "case": f"case-{number}"} for number in range(100)]
    documents += [{"case": "odd", "request": REQUEST, "mri": None}, {"case": "none"},
                  {"description": "", "case": {"case": "scenario", "request": REQUEST}, "expect": {}}]
    path = write(tmp_path / "cases.ndjson", *documents)
    batch = read_ndjson(PROGRAM, KNOWN, path, connection=connection, record_complete=True)
    documents[-1]["case"]["record"] = "complete"
    complete = [*({**document, "record": "complete"} for document in documents[:-3]), documents[-1]]
    accepted, problems = one_by_one(write(tmp_path / "complete.ndjson", *complete))
    assert not problems
    assert as_batch(batch) == accepted
    assert batch.rejected == 2
    assert batch.shape[ALWAYS_OPEN].openness is Openness.ALWAYS
    assert batch.shape["relapse"].openness is Openness.SOME


# --- lines ------------------------------------------------------------------------------------------------------------


def test_the_borders_of_blocks_do_not_matter(tmp_path: Path, connection: Any) -> None:
    source = random.Random(7)
    lines = [line_of(source, {**random_case(source), "case": f"case-{number}"}) for number in range(60)]
    path = tmp_path / "cases.ndjson"
    path.write_bytes(b"\n".join(lines))
    size = len(lines[0])
    for block in (1, size - 1, size, size + 1, size + 2, 5_000, 1 << 24):
        check(path, connection=connection, block=block)


def test_several_processes(tmp_path: Path, connection: Any) -> None:
    source = random.Random(8)
    lines = [line_of(source, {**random_case(source), "case": f"case-{number}"}) for number in range(300)]
    path = tmp_path / "cases.ndjson"
    path.write_bytes(b"\n".join(lines))
    told: list[tuple[int, int]] = []
    check(path, connection=connection, block=40_000, workers=2, progress=lambda read, size: told.append((read, size)))
    assert told == sorted(told)
    assert told[-1] == (path.stat().st_size,) * 2
    assert len(told) > 3


def test_a_process_that_ends_before_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "cases.ndjson", *({"case": f"case-{number}", "request": REQUEST} for number in range(20)))
    monkeypatch.setattr(ndjson._Worker, "_START", "raise SystemExit(1)")
    with pytest.raises(CaseRefused, match="ended before its time"):
        read_ndjson(PROGRAM, KNOWN, path, block=100, workers=2)


def test_blank_lines_are_skipped_and_counted_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "cases.ndjson"
    case = json.dumps({"case": "a", "request": REQUEST})
    path.write_text(f"\n  \n{case}\n\t\n\n" + '{"case": "b"}\n\n', encoding="utf-8")
    batch = check(path)
    assert batch is not None
    assert (batch.cases, batch.rejected, batch.unnamed) == (2, 1, 0)
    assert [(one.row, one.case, one.reason) for one in batch.problems] == [(6, "b", "the case has no `request`")]
    assert batch.problems[0].hint


@pytest.mark.parametrize("shown", [1, 300, 1 << 30])
def test_rows_that_are_inserted_and_rows_that_are_not_say_the_same(
    tmp_path: Path, connection: Any, monkeypatch: pytest.MonkeyPatch, shown: int
) -> None:
    monkeypatch.setattr(ndjson, "_MOST_SHOWN", shown)
    monkeypatch.setattr(ndjson, "_MOST_WAITING", 1)
    relapses = [[], ["2025-01-01"], [{"on": "2025-01-02", "uncertain": True}, "2025-03-04"]]
    documents = [{"case": f"case-{number % 11}", "request": REQUEST, "relapse": relapses[number % 3]}
                 for number in range(12)]
    path = write(tmp_path / "cases.ndjson", *documents)
    for _ in range(2):
        batch = check(path, connection=connection, block=200)
        assert batch is not None
        assert (batch.cases, batch.rejected) == (12, 1)


def test_two_cases_of_one_name(tmp_path: Path, connection: Any) -> None:
    case = {"request": REQUEST, "relapse": ["2025-01-01"]}
    documents = [
        {"case": "a", **case}, {"case": "b", **case}, {"case": "a", **case, "mri": []}, {"case": "c", "relapse": 1},
        {"case": "c", **case}, {"case": "a", **case}, {"case": "a"},
    ]
    path = write(tmp_path / "cases.ndjson", *documents)
    for block in (1, 1 << 20):
        batch = check(path, connection=connection, block=block)
        assert batch is not None
        assert (batch.cases, batch.rejected, batch.unnamed) == (7, 5, 0)
        assert set(as_batch(batch)) == {"a", "b"}
        twice = [one for one in batch.problems if one.reason.startswith("two cases")]
        assert [(one.row, one.case) for one in twice] == [(3, "a"), (5, "c"), (6, "a"), (7, "a")]
        assert {one.reason for one in twice} == {"two cases are named `a`", "two cases are named `c`"}
        assert twice[0].hint == f"the other one is at {path}:1: give each case a name of its own"


def test_a_line_that_is_too_long(tmp_path: Path, connection: Any) -> None:
    path = tmp_path / "cases.ndjson"
    case = json.dumps({"case": "a", "request": REQUEST}).encode()
    for length in (LONGEST_LINE - 1, LONGEST_LINE, LONGEST_LINE + 1, 2 * LONGEST_LINE + 5):
        path.write_bytes(case + b"\n" + b" " * (length - 1) + b"1\n" + b'{"case": "b"}\n')
        for block in (1, 1 << 24, 1 << 26):
            check(path, connection=connection, block=block)


@pytest.mark.parametrize(("content", "message"), [
    (None, "no such file"), (b"", "the file holds no case"), (b"\n \n\t\r\n", "the file holds no case"),
])
def test_a_file_without_cases(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "cases.ndjson"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CaseRefused, match=message):
        read_ndjson(PROGRAM, KNOWN, path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseRefused, match="not a regular file"):
        read_ndjson(PROGRAM, KNOWN, tmp_path)

