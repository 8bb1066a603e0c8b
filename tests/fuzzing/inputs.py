"""Inputs as a stranger may supply them: made by their grammar and then spoiled, or of bytes without any sense.

Each kind is a function from draws to an attempt. An attempt is a command line with its files, or, many times as fast, a
text for one step of the pipeline.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from policy_kb.audit.document import NotJson, parse_json
from policy_kb.audit.log import append, hash_of
from policy_kb.audit.walk import Unsound
from policy_kb.load.documents import read_documents
from tests.audit.mutations import parts, with_change
from tests.audit.running import Audited, decided, random_decided
from tests.fuzzing.behaving import attempted, complaint, misbehaviour, run_in, scratch
from tests.strategies.cases import Draw, RandomDraw
from tests.strategies.cases import build_case as build_alemtuzumab_case
from tests.strategies.programs import build_program

ROOT = Path(__file__).parents[2]
RULE_TEXTS = [
    path.read_text(encoding="utf-8")
    for path in sorted([*(ROOT / "kb").rglob("*.dl"), *(ROOT / "tests/bad").rglob("*.dl"),
                        *(ROOT / "tests/programs").rglob("*.dl")])
]
PIECES = sorted({piece for text in RULE_TEXTS for piece in re.findall(r"\w+|\s|[^\w\s]{1,2}", text)})
SCENARIO_FILES = sorted((ROOT / "kb/alemtuzumab/scenarios").glob("*.yaml"))
SCENARIOS = [path.read_bytes() for path in SCENARIO_FILES]

WORDS: tuple[bytes, ...] = (
    *(word.encode() for word in (
        "\0", "\ufeff", "\u202e", "\x1b[31m", "\r", "\t", "\x85", "\u2028", "'", '"', "`", ";", "--", "\\", "\\u0000",
        "\\ud800", "${HOME}", "$(touch x)", "'; DROP TABLE request; --", "{", "}", "[", "]", ": ", "- ", "? ", "&a ",
        "*a", "<<: *a", "!!python/object/apply:os.system [ls]", "!", "|", ">", "%TAG ! x", "---\n", "...\n", "#", "~",
        "null", "true", "no", "NaN", ".nan", "Infinity", "-.inf", "1e999", "-0", "0x10", "1_000", "9" * 40, "9" * 5000,
        "2025-02-30", "9999-12-31", "0000-00-00", "ongoing", "other: ", "case", "record", "complete", "incomplete",
        "uncertain", "request", "drug", "a" * 300, "[" * 300, "{\"a\":" * 300, "(" * 300, ".include \"../../x\"\n",
        ".input request(filename=\"/etc/passwd\")\n", "count : { ", "@date(\"", "match(\"(a+)+b\", x)", "/*", "//",
        "@[", "1 / 0", "_", "!", ":-", ".", "eval", "__import__('os')", "9223372036854775808", "-9223372036854775809",
    )),
    b"\xff", b"\xff\xfe", b"\xfe\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\x80",
)

LONG = tuple(
    part * (100_000 // len(part))
    for part in (b"[", b'{"a":', b"- ", b"(", b"!", b"9", b"a", b"- - ", b"a: ", b'"', b"-")
)


@dataclass(frozen=True)
class Attempt:
    """A command line with its files, or `step` of the pipeline."""

    kind: str
    arguments: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    step: Callable[[], str | None] | None = None
    text: bytes = b""

    def complaint(self) -> str | None:
        """What went wrong that must not, whatever the input."""
        return self.step() if self.step is not None else misbehaviour(self.arguments, self.files)


# --- spoiling --------------------------------------------------------------------------------------------------------


def spoiled(draw: Draw, content: bytes, words: Sequence[bytes] = WORDS) -> bytes:
    """The bytes after a few accidents: a part cut out, put in, doubled, turned around or written otherwise."""
    for _ in range(draw.pick((1, 1, 2, 3, 6))):
        start = draw.integer(0, len(content))
        end = min(len(content), start + draw.pick((0, 1, 2, 5, 20, 200)))
        how = draw.integer(0, 99)
        if how < 35:
            content = content[:start] + draw.pick(words) + content[end:]
        elif how < 55:
            content = content[:start] + content[end:]
        elif how < 65:
            content = content[:start] + bytes(draw.integer(0, 255) for _ in range(draw.integer(1, 4))) + content[end:]
        elif how < 75:
            content = content[:end] + content[start:end] * draw.pick((1, 2, 50)) + content[end:]
        elif how < 90:
            other = draw.integer(0, len(content))
            content = content[:start] + content[other : other + 40] + content[start:]
        elif how < 95:
            content = content[:start]
        else:
            content = recoded(draw, content)
    return content


def recoded(draw: Draw, content: bytes) -> bytes:
    text = content.decode("utf-8", "replace")
    return text.encode(draw.pick(("utf-8-sig", "utf-16", "utf-16-le", "latin-1", "utf-32", "cp1252")), "replace")


def noise(draw: Draw) -> bytes:
    """Bytes without sense, or words without order."""
    if draw.chance(2):
        return draw.pick(LONG)
    if draw.chance(50):
        return bytes(draw.integer(0, 255) for _ in range(draw.integer(0, 40)))
    return b"".join(draw.pick(WORDS) for _ in range(draw.integer(0, 8)))


# --- rules -----------------------------------------------------------------------------------------------------------


def rule_text(draw: Draw) -> str:
    """A program with some of its tokens exchanged, left out or doubled."""
    if draw.chance(15):
        return "".join(draw.pick(PIECES) for _ in range(draw.integer(0, 40)))
    if draw.chance(30):
        text = build_program(draw, exotic=draw.chance(50)).text
    else:
        lines = draw.pick(RULE_TEXTS).splitlines(keepends=True)
        start = draw.integer(0, len(lines) - 1)
        text = "".join(lines[start : start + draw.pick((4, 10, 20))])
    tokens = re.findall(r"\w+|\s+|[^\w\s]", text) or [" "]
    for _ in range(draw.pick((1, 1, 2, 4))):
        place = draw.integer(0, len(tokens) - 1)
        how = draw.integer(0, 3)
        other = draw.pick(PIECES) if draw.chance(50) else draw.pick(tokens)
        tokens[place : place + (how != 2)] = {0: [other], 1: [], 2: [other], 3: [tokens[place]] * 2}[how]
    return "".join(tokens)


def _rules(draw: Draw) -> Attempt:
    text = rule_text(draw)

    def check() -> None:
        from policy_kb.evaluate.program import evaluate_program
        from tests.evaluate.running import check_text

        evaluate_program(check_text(text), {})

    return Attempt("rules", step=lambda: attempted(check), text=text.encode())


def _rule_files(draw: Draw) -> Attempt:
    content = noise(draw) if draw.chance(20) else spoiled(draw, rule_text(draw).encode())
    files = {"rules.dl": content}
    if draw.chance(20):
        files["more.dl"] = spoiled(draw, b'.include "rules.dl"\n' + content)
        files["rules.dl"] = b'.include "more.dl"\n' + content
    arguments = draw.pick((
        ("check", "rules.dl"), ("check", "."), ("check", "rules.dl", "--json"), ("run", "rules.dl"),
        ("about", "rules.dl"), ("schema", "rules.dl"), ("decide", "case.yaml", "--policy", "rules.dl"),
    ))
    files["case.yaml"] = b"case: A-1\nrequest: {drug: p, phase: q, received: 1}\n"
    return Attempt("rule files", arguments, files)


# --- cases -----------------------------------------------------------------------------------------------------------

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, [], {}, "", " ", 0, -1, 1, 10**30, 10**4000, 1e308, float("inf"), float("nan"), "NaN", "null",
    "other: ", "other: baclofen", "2025-02-30", "2025-01-01", "ongoing", "Avonex", "a" * 20_000, "\0", "\u202e",
    "x\ny", [[]], [None], {"uncertain": True}, {"": 1}, ["a", {"b": ["c"]}], "'; DROP TABLE request; --", "\ud83d",
)


def odd_case(draw: Draw) -> dict[str, Any]:
    """A case of the alemtuzumab policy, some parts of it exchanged."""
    document: dict[str, Any] = json.loads(json.dumps(build_alemtuzumab_case(draw), default=str))
    for _ in range(draw.pick((1, 1, 2, 5))):
        place: Any = document
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw.pick(keys)
            if draw.chance(40) or not isinstance(place[key], dict | list):
                how = draw.integer(0, 3)
                if how == 0:
                    del place[key]
                elif how == 1 and isinstance(place, dict):
                    place[draw.pick(("thrapy", "uncertain", "incomplete", "record", "", "x" * 300, str(key) + " "))] = (
                        place.pop(key))
                else:
                    place[key] = deepcopy(draw.pick(ODD_VALUES))
                break
            place = place[key]
    return document


def written(draw: Draw, document: dict[str, Any]) -> str:
    """The case as JSON, perhaps with a key twice."""
    text = json.dumps(document, ensure_ascii=draw.chance(50))
    if draw.chance(10):
        text = text.replace('"request"', '"case": "B", "request"', 1)
    return text.encode("utf-8", "replace").decode()


def case_bytes(draw: Draw) -> tuple[bytes, str]:
    """The content of a case file, and its ending."""
    if draw.chance(10):
        return noise(draw), draw.pick((".yaml", ".json", ".ndjson"))
    if draw.chance(40):
        content = draw.pick(SCENARIOS)
        return spoiled(draw, content), ".yaml"
    content = written(draw, odd_case(draw)).encode()
    if draw.chance(30):
        content = spoiled(draw, content)
    return content, draw.pick((".json", ".yaml", ".ndjson", ".jsonl", ".json"))


@cache
def _policy() -> Any:
    from policy_kb.policies import load_policy

    return load_policy("09-J2000-27")


@cache
def _scratch() -> Path:
    import atexit

    from tests.fuzzing.behaving import remove

    folder = scratch()
    atexit.register(remove, folder)
    return folder


def _cases(draw: Draw) -> Attempt:
    content, ending = case_bytes(draw)

    def load() -> None:
        from policy_kb.diagnostics import CaseRefused
        from policy_kb.load.documents import read_documents

        path = _scratch() / f"case{ending}"
        path.write_bytes(content)
        problems = []
        for document in read_documents(path, "case"):
            try:
                _policy().load(document)
            except CaseRefused as refused:
                problems += refused.diagnostics
        if problems:
            raise CaseRefused(problems)

    return Attempt("cases", step=lambda: attempted(load), text=content)


def _case_files(draw: Draw) -> Attempt:
    content, ending = case_bytes(draw)
    name = f"case{ending}"
    arguments = draw.pick((
        ("decide", name), ("decide", name, "--json"), ("explain", name), ("explain", name, "2.a"),
        ("decide", name, name), ("explain", name, "--why-not"), ("explain", name, "--html", "page.html"),
        ("decide", name, "--sensitivity"), ("query", name, "therapy(_, _, _)"), ("explain", name, "--json"),
    ))
    return Attempt("case files", arguments, {name: content})


def _python_values(draw: Draw) -> Attempt:
    document = odd_case(draw)

    def load() -> None:
        from policy_kb.load.documents import parse_document

        _policy().load(parse_document(document))

    return Attempt("cases from Python", step=lambda: attempted(load), text=repr(document)[:2000].encode())


# --- tables ----------------------------------------------------------------------------------------------------------


def _tables(draw: Draw) -> Attempt:
    from policy_kb.check.checked import Attribute, Relation, Table
    from policy_kb.source import Span

    kinds = ("number", "symbol", "float")
    attributes = tuple(Attribute(f"a{place}", kind, kind) for place in range(draw.integer(0, 3))
                       for kind in [draw.pick(kinds)])
    delimiter = draw.pick(("\t", ",", "||", "\\t", "a"))
    values = ("1", "-5", "0x1F", "x", "", "1.5", "1e999", "nan", "9" * 400, "()", "é", '"')
    lines = [delimiter.join(draw.pick(values) for _ in attributes) for _ in range(draw.integer(0, 4))]
    content = "\n".join(lines).encode()
    if draw.chance(60):
        content = spoiled(draw, content)
    has_header = draw.chance(30)

    def read() -> None:
        from policy_kb.load.tables import read_table

        path = _scratch() / "r.facts"
        path.write_bytes(content)
        relation = Relation("r", attributes, "", Span("r.dl", 1))
        read_table(relation, Table("r", "r.facts", delimiter, has_header, ".", Span("r.dl", 1)), _scratch())

    return Attempt("tables", step=lambda: attempted(read), text=content)


RUN = b"""
.decl r(a: symbol, b: number)
.input r
.decl s(a: symbol)
s(a) :- r(a, b), b > 1.
.output s
"""


def _run(draw: Draw) -> Attempt:
    lines = [f"{draw.pick(('a', 'b', ''))}\t{draw.pick(('1', '2', 'x', ''))}\n" for _ in range(draw.integer(0, 4))]
    content = "".join(lines).encode()
    if draw.chance(80):
        content = spoiled(draw, content)
    return Attempt("tables of run", ("run", "p.dl"), {"p.dl": RUN, "r.facts": content})


CSV = (
    ("request", b"case,drug,phase,received\n"
     b"A-1,Lemtrada,initiation,2025-09-02\nA-2,Lemtrada,continuation,2025-09-03\n"),
    ("therapy", b"case,product,started,stopped\nA-1,Avonex,2021-01-10,2023-05-01\nA-2,other: x,2021-01-10,ongoing\n"),
    ("planned_dose", b"case,mg_per_day\nA-1,12\nA-2,13.5\n"),
    ("diagnosis", b"case,condition,uncertain\nA-1,RRMS,true\nA-2,MS,false\n"),
    ("_incomplete", b"case,relation\nA-1,therapy\n"),
)


def _batch_csv(draw: Draw) -> Attempt:
    files = {f"in/{name}.csv": content for name, content in CSV if name == "request" or draw.chance(60)}
    for _ in range(draw.pick((1, 1, 2))):
        name = draw.pick(tuple(files))
        files[name] = noise(draw) if draw.chance(5) else spoiled(draw, files[name])
    if draw.chance(5):
        files[f"in/{draw.pick(('x', 'mri', 'notice', 'select', 'covers'))}.csv"] = b"case,x\nA-1,1\n"
    return Attempt("tables of batch", ("batch", "in", "-o", *_outputs(draw)), files)


def _outputs(draw: Draw) -> tuple[str, ...]:
    name = draw.pick(("out.parquet", "out.csv", "out.ndjson"))
    return (name, "--rejects", "bad.csv") if draw.chance(70) else (name, "--json")


@cache
def _binary_tables() -> Mapping[str, bytes]:
    """Parquet files and a DuckDB database with the tables of `CSV`."""
    import tempfile

    import duckdb

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        connection = duckdb.connect(str(folder / "cases.duckdb"), config={"threads": 1})
        found = {}
        for table, content in CSV:
            (folder / f"{table}.csv").write_bytes(content)
            connection.execute(f"""CREATE TABLE "{table}" AS FROM read_csv('{folder / table}.csv', header=true)""")
            connection.execute(f"""COPY "{table}" TO '{folder / table}.parquet'""")
            found[f"{table}.parquet"] = (folder / f"{table}.parquet").read_bytes()
        connection.close()
        found["cases.duckdb"] = (folder / "cases.duckdb").read_bytes()
    return MappingProxyType(found)


def damaged(draw: Draw, content: bytes) -> bytes:
    """The bytes with some of them changed, cut off or doubled; most are where a file begins and ends."""
    changed = bytearray(content)
    for _ in range(draw.pick((1, 2, 5, 20))):
        place = draw.integer(0, len(changed) - 1)
        if draw.chance(60):
            place = len(changed) - 1 - draw.integer(0, min(len(changed) - 1, 800))
        changed[place] = draw.integer(0, 255)
    if draw.chance(20):
        return bytes(changed[: draw.integer(0, len(changed))])
    return bytes(changed)


def _batch_parquet(draw: Draw) -> Attempt:
    tables = _binary_tables()
    files = {f"in/{name}": content for name, content in tables.items() if name.endswith(".parquet")}
    name = draw.pick(tuple(files))
    files[name] = damaged(draw, files[name])
    return Attempt("Parquet", ("batch", "in", "-o", *_outputs(draw)), files)


def _batch_database(draw: Draw) -> Attempt:
    content = damaged(draw, _binary_tables()["cases.duckdb"])
    return Attempt("databases", ("batch", "in.duckdb", "-o", *_outputs(draw)), {"in.duckdb": content})


def _batch_lines(draw: Draw) -> Attempt:
    lines = []
    for number in range(draw.integer(0, 4)):
        document = odd_case(draw) if draw.chance(60) else build_alemtuzumab_case(draw)
        if draw.chance(80):
            document["case"] = f"A-{number}"
        lines.append(written(draw, json.loads(json.dumps(document, default=str))).encode())
    content = b"\n".join(lines) + b"\n"
    if draw.chance(40):
        content = spoiled(draw, content)
    return Attempt("lines of batch", ("batch", "in.ndjson", "-o", *_outputs(draw)), {"in.ndjson": content})


@cache
def _results() -> Mapping[str, bytes]:
    """What `batch` writes of a few cases, in each format."""
    source = RandomDraw(random.Random(1))
    documents = []
    for number in range(6):
        document = {**build_alemtuzumab_case(source), "case": f"A-{number}"}
        documents.append(json.dumps(document, default=str))
    from tests.fuzzing.behaving import remove

    folder = scratch()
    (folder / "in.ndjson").write_text("\n".join(documents))
    found = {}
    for ending in ("parquet", "csv", "ndjson"):
        arguments = ("batch", "in.ndjson", "-o", f"out.{ending}", "--rejects", "bad.csv")
        done = run_in(folder, arguments)
        assert complaint(arguments, done) is None, done
        found[f"out.{ending}"] = (folder / f"out.{ending}").read_bytes()
    remove(folder)
    return MappingProxyType(found)


def _compare(draw: Draw) -> Attempt:
    results = _results()
    old, new = draw.pick(tuple(results)), draw.pick(tuple(results))
    content = results[new]
    content = damaged(draw, content) if new.endswith(".parquet") else spoiled(draw, content)
    arguments = ("compare", old, f"new-{new}", *draw.pick(((), ("--json",), ("-o", "changed.csv"), ("--most", "0"))))
    return Attempt("results", arguments, {old: results[old], f"new-{new}": content})


# --- determinations and logs -----------------------------------------------------------------------------------------

ODD_PARTS: tuple[object, ...] = (
    None, True, False, 0, -1, 2**63, -(10**300), 10**4000, 1e308, -0.0, "", " ", "\0", "\x1b[2J", "\u202e", "x" * 5000,
    "sha256:", "met", "kb/alemtuzumab.dl:1", "../../etc/passwd", "/dev/zero", "'; DROP TABLE x; --", "{}", [], {}, [[]],
    ["x"], {"": None}, {"kind": "given"}, {"kind": "rule", "rule": "x:1"}, {"node": 0}, {"node": 10**9}, {"node": -1},
)


@cache
def _determined() -> tuple[tuple[Audited, bytes | None], ...]:
    """Determinations: of random programs, and of scenarios with the text of their case files."""
    found: list[tuple[Audited, bytes | None]] = [(one, None) for one in map(random_decided, range(40)) if one]
    for path in SCENARIO_FILES[:6]:
        [document] = read_documents(path)
        found.append((decided(document), path.read_bytes()))
    return tuple(found)


@cache
def _log() -> bytes:
    """A log of a few determinations."""
    folder = scratch()
    for one, _ in _determined()[:5]:
        append(folder / "x.log", one.said, {})
    return (folder / "x.log").read_bytes()


def _with_odd_parts(draw: Draw, said: Any) -> Any:
    """A determination with parts of it exchanged for what does not belong there, or moved to elsewhere."""
    for _ in range(draw.pick((1, 1, 2, 4))):
        path, _ = draw.pick(tuple(parts(said)))
        _, other = draw.pick(tuple(parts(said)))
        new = other if draw.chance(30) else deepcopy(draw.pick(ODD_PARTS))
        if path and new is not None:
            said = with_change(said, path, partial(_exchanged, new))
    return said


def _exchanged(new: object, _: object) -> object:
    return new


def _spoiled_json(draw: Draw, said: Any) -> bytes:
    if draw.chance(70):
        return json.dumps(_with_odd_parts(draw, said)).encode()
    return noise(draw) if draw.chance(5) else spoiled(draw, json.dumps(said).encode())


def _determinations(draw: Draw) -> Attempt:
    one, _ = draw.pick(_determined())
    text = _spoiled_json(draw, one.said)

    def audit() -> None:
        try:
            said = parse_json(text.decode("utf-8", "replace"))
            if isinstance(said, dict):
                one.check(said)
        except (NotJson, Unsound) as wrong:
            str(wrong)

    return Attempt("determinations", step=lambda: attempted(audit), text=text)


def _audits(draw: Draw) -> Attempt:
    one, case = draw.pick([(one, case) for one, case in _determined() if case is not None])
    files = {"x.json": _spoiled_json(draw, one.said), "case.yaml": spoiled(draw, case) if draw.chance(20) else case}
    return Attempt("audits", ("audit", "x.json", "--case", "case.yaml", *draw.pick(((), ("--json",)))), files)


def _logs(draw: Draw) -> Attempt:
    lines = _log().splitlines(keepends=True)
    if draw.chance(50):
        place = draw.integer(0, len(lines) - 1)
        entry = _with_odd_parts(draw, json.loads(lines[place]))
        if isinstance(entry, dict) and draw.chance(70):  # who edits an entry can give it its hash
            with suppress(ValueError, TypeError, KeyError):
                entry["hash"] = hash_of(entry)
        lines[place] = json.dumps(entry).encode() + b"\n"
    content = b"".join(lines)
    if draw.chance(60):
        content = spoiled(draw, content)
    arguments = ("audit", "x.log", *draw.pick(((), ("--log",), ("--json", "--log"), ("--head", "sha256:" + "0" * 64))))
    return Attempt("logs", arguments, {"x.log": content})


# --- words of a command line -----------------------------------------------------------------------------------------

QUERIES = (
    'therapy("Avonex", started, _)', "class_used(class)", "hiv_test(_, _)", "relapse(on)", "met(x)", "mri(_, _, 3)",
    'relapse("2025-01-01")', "request(_, _, _)", "initiation_criteria_met()",
)
ODD_WORDS = (
    "", " ", "-", "--", "--json", "--help", "\x1b[2J", "a" * 5000, "..", ".", "/", "/dev/null", "/etc/passwd", "~", "*",
    "[a]", "'; DROP TABLE x; --", "$(touch marker)", "%s%n", "2.a", "09-J2000-27", "case.yaml", "support=provided",
    "a=b", "=", "x=", "previous_year=calendar_year", "\u202e", "é", "\udcff", "in.csv", "out.parquet", "case.yaml/x",
    "kb", "-1", "99999999999999999999", "1e5", "yaml", "ndjson", "compiled", "pydatalog", "all", "complete",
    "initiation 1",
)
COMMANDS = (
    "decide", "explain", "query", "check", "about", "schema", "batch", "compare", "sql", "run", "audit", "decid",
    "help",
)
OPTIONS = (
    "--json", "--policy", "--reading", "--sensitivity", "--why-not", "--html", "--from", "--case", "-o", "--output",
    "--rejects", "--record", "--most", "--determination", "--open", "--facts", "-F", "-D", "-h", "--version", "--nope",
    "--format", "--engine", "--no-explanation", "--stated", "--log", "--head", "--json",
)


def _query(draw: Draw) -> Attempt:
    text = query_text(draw)

    def ask() -> None:
        from policy_kb.explain.query import parse_query

        parse_query(text, _policy().program, _policy().rules.known)

    return Attempt("queries", step=lambda: attempted(ask), text=text.encode("utf-8", "replace"))


def query_text(draw: Draw) -> str:
    if draw.chance(10):
        return noise(draw).decode("utf-8", "replace")
    return spoiled(draw, draw.pick(QUERIES).encode()).decode("utf-8", "replace")


def _command_line(draw: Draw) -> Attempt:
    """Any words at all. No NUL: an operating system hands none on."""
    arguments = [draw.pick(COMMANDS)] if draw.chance(90) else []
    for _ in range(draw.integer(0, 5)):
        arguments.append(draw.pick(OPTIONS) if draw.chance(50) else draw.pick(ODD_WORDS))
    files = {"case.yaml": draw.pick(SCENARIOS), "in.csv": b"case\n"}
    if "run" in arguments and "case.yaml" in arguments:
        arguments.remove("case.yaml")
    return Attempt("command lines", tuple(word.replace("\0", "") for word in arguments), files)


def _query_command(draw: Draw) -> Attempt:
    word = query_text(draw).replace("\0", "")
    return Attempt("query commands", ("query", "case.yaml", word), {"case.yaml": SCENARIOS[-1]})


KINDS: Mapping[str, tuple[Callable[[Draw], Attempt], float]] = MappingProxyType({
    "rules": (_rules, 60),
    "cases": (_cases, 340),
    "cases from Python": (_python_values, 150),
    "tables": (_tables, 200),
    "queries": (_query, 180),
    "rule files": (_rule_files, 6),
    "case files": (_case_files, 8),
    "tables of run": (_run, 8),
    "command lines": (_command_line, 12),
    "query commands": (_query_command, 2),
    "determinations": (_determinations, 40),
    "audits": (_audits, 3),
    "logs": (_logs, 12),
    "lines of batch": (_batch_lines, 0.3),
    "tables of batch": (_batch_csv, 0.8),
    "Parquet": (_batch_parquet, 3),
    "databases": (_batch_database, 1),
    "results": (_compare, 0.7),
})
"""Each kind with how many of a thousand inputs it is: the steps of the pipeline are tried most, being fast."""
