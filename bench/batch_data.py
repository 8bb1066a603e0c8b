"""Synthetic cases for the batch, any number of them: one Parquet file per relation, and the same as NDJSON.

Every value is drawn by a hash of the case's number, the relation, the attribute, the row and the seed, so that the same
call gives the same cases. A case takes one of four ways to alemtuzumab (highly active disease, many drug classes, step
agents that failed, none of them) and may then fail any criterion for reasons of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parent.parent
PRODUCTS = ROOT / "kb/vocabulary/ms_products.csv"

SINGLE = ("request", "doses_requested", "line_of_business", "age", "planned_first_dose")
TRUTHS = ("previously_met_criteria",)
ALWAYS_OPEN = ("documentation",)

_OTHERS = ("baclofen", "dalfampridine", "methylprednisolone", "amantadine", "gabapentin", "vitamin D", "modafinil")

Columns = dict[str, str]
"""Of a relation: its attributes, each with the SQL expression that draws its value."""


class _Draws:
    """SQL expressions that draw values, for the rows of one relation (`name`) or, as `of_case`, for whole cases."""

    def __init__(self, name: str, seed: int):
        self.name = name
        self.seed = seed

    def below(self, what: str, limit: int, of_case: bool = False) -> str:
        """A whole number from 0 up to, and not including, `limit`."""
        row = "" if of_case else " k,"
        return f"(hash(number,{row} '{self.name} {what}', {self.seed}) % {limit})::INTEGER"

    def chance(self, what: str, permille: int, of_case: bool = False) -> str:
        return f"({self.below(what, 1000, of_case)} < {permille})"

    def of(self, what: str, shares: dict[str, int], of_case: bool = False) -> str:
        """One of these SQL expressions, by its share."""
        limits, total = [], 0
        for expression, share in shares.items():
            total += share
            limits.append((expression, total))
        drawn = self.below(what, total, of_case)
        *first, (last, _) = limits
        whens = "".join(f" WHEN {drawn} < {limit} THEN {expression}" for expression, limit in first)
        return f"(CASE{whens} ELSE {last} END)" if whens else last

    def any(self, what: str, values: Sequence[str]) -> str:
        """One of these texts, each as likely as the next."""
        listed = ", ".join(_text(value) for value in values)
        return f"list_value({listed})[1 + {self.below(what, len(values))}]"

    def one_of(self, what: str, shares: dict[str, int], of_case: bool = False) -> str:
        """One of these texts, by its share."""
        return self.of(what, {_text(value): share for value, share in shares.items()}, of_case)


def write_cases(
    folder: Path, number: int, *, phase: str = "initiation", seed: int = 1, uncertain: float = 0.0,
    incomplete: float = 0.0,
) -> dict[str, int]:
    """Write `number` cases to `<folder>/<relation>.parquet`; the number of rows of each relation is returned.

    `phase` is `initiation`, `continuation` or `both`; the last two add the relations that only continuation needs.
    `uncertain` adds a column of that name, with this share of the rows true; `incomplete` adds `_incomplete.parquet`,
    in which each relation is listed for this share of the cases.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = {}
    with _database() as database:
        _create_cases(database, number, phase, seed)
        for name, (count, columns) in _relations(_Products(database), phase, seed).items():
            draws = _Draws(name, seed)
            if uncertain and name not in (*SINGLE, *TRUTHS):
                columns = {**columns, "uncertain": draws.chance("uncertain", round(1000 * uncertain))}
            drawn = "".join(f', {value} AS "{column}"' for column, value in columns.items())
            rows[name] = _write(database, folder / f"{name}.parquet", f"""
                SELECT "case"{drawn}
                FROM (SELECT *, unnest(range(0, {count})) AS k FROM cases)
                ORDER BY hash(number, k, '{name}', {seed})
            """)
        if incomplete:
            names = [name for name in rows if name not in (*SINGLE, *TRUTHS, *ALWAYS_OPEN)]
            listed = ", ".join(_text(name) for name in names)
            rows["_incomplete"] = _write(database, folder / "_incomplete.parquet", f"""
                SELECT "case", relation
                FROM cases, (SELECT unnest([{listed}]) AS relation)
                WHERE hash(number, relation, 'incomplete', {seed}) % 100000 < {round(100_000 * incomplete)}
                ORDER BY hash(number, relation, {seed})
            """)
    return rows


def write_ndjson(folder: Path, path: Path) -> None:
    """Write the cases of a folder as one document a line; every relation that has a table is stated."""
    with _database() as database:
        names = sorted(file.stem for file in folder.glob("*.parquet") if file.stem != "_incomplete")
        keys = ['request."case"', "request.row AS request"]
        joins = [_rows_as_json(database, folder, "request")]
        for name in names:
            if name == "request":
                continue
            if name in SINGLE:
                keys.append(f"coalesce({name}.row, '[]'::JSON) AS {name}")
            elif name in TRUTHS:
                keys.append(f'{name}."case" IS NOT NULL AS {name}')
            else:
                keys.append(f"coalesce({name}.rows, '[]'::JSON) AS {name}")
            joins.append(f"LEFT JOIN {_rows_as_json(database, folder, name)} ON {name}.\"case\" = request.\"case\"")
        if (folder / "_incomplete.parquet").exists():
            keys.append("coalesce(incomplete.relations, []) AS incomplete")
            joins.append(f"""
                LEFT JOIN (
                    SELECT "case", list(relation) AS relations FROM {_table(folder, "_incomplete")} GROUP BY "case"
                ) AS incomplete ON incomplete."case" = request."case"
            """)
        query = f"SELECT {', '.join(keys)} FROM {' '.join(joins)}"
        database.execute(f"COPY ({query}) TO {_text(str(path))} (FORMAT json)")


# The tables of a batch


@contextmanager
def _database() -> Iterator[duckdb.DuckDBPyConnection]:
    with tempfile.TemporaryDirectory() as spill, duckdb.connect(":memory:", config={"temp_directory": spill}) as made:
        made.execute("SET enable_progress_bar = false")
        yield made


def _write(database: duckdb.DuckDBPyConnection, path: Path, query: str) -> int:
    written = database.execute(f"COPY ({query}) TO {_text(str(path))} (FORMAT parquet)").fetchone()
    return int(written[0]) if written else 0


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _table(folder: Path, name: str) -> str:
    return f"read_parquet({_text(str(folder / f'{name}.parquet'))})"


def _rows_as_json(database: duckdb.DuckDBPyConnection, folder: Path, name: str) -> str:
    """A subquery: the rows of a relation by case, as the case format writes them."""
    columns = [str(row[0]) for row in database.execute(f"DESCRIBE FROM {_table(folder, name)}").fetchall()]
    attributes = [column for column in columns if column not in ("case", "uncertain")]
    parts = []
    for attribute in attributes:
        value = f'"{attribute}"'
        if name == "therapy" and attribute == "stopped":
            value = f"CASE WHEN {value} = DATE '9999-12-31' THEN 'ongoing' ELSE {value}::VARCHAR END"
        parts.append(f"{_text(attribute)}: {value}")
    row = f"to_json({{{', '.join(parts)}}})" if parts else "NULL"
    if "uncertain" in columns:
        row = f"CASE WHEN uncertain THEN to_json({{{', '.join(parts)}, 'uncertain': true}}) ELSE {row} END"
    if name in (*SINGLE, *TRUTHS):
        return f'(SELECT "case", {row} AS row FROM {_table(folder, name)}) AS {name}'
    rows = f"""('[' || string_agg({row}, ',') || ']')::JSON"""
    return f'(SELECT "case", {rows} AS rows FROM {_table(folder, name)} GROUP BY "case") AS {name}'


class _Products:
    """Lists of the products of the drug table, by what the rules ask of them."""

    def __init__(self, database: duckdb.DuckDBPyConnection):
        database.execute(
            f"CREATE TABLE products AS FROM read_csv({_text(str(PRODUCTS))}, header = true, all_varchar = true)"
        )

        def those(condition: str) -> list[str]:
            found = database.execute(f"SELECT product FROM products WHERE {condition} ORDER BY product").fetchall()
            return [str(row[0]) for row in found]

        self.all = those("true")
        self.for_ms = those("class <> '' AND ingredient <> 'alemtuzumab'")
        self.generic = those("generic_step = 'yes'")
        self.possible_generic = those("generic_step = 'possible'")
        self.preferred = those("preferred_brand = 'yes'")
        self.possible_preferred = those("preferred_brand = 'possible'")
        self.alemtuzumab = those("ingredient = 'alemtuzumab'")
        self.of_each_step_ingredient = those("""product IN (
            SELECT min(product) FROM products WHERE generic_step = 'yes' OR preferred_brand IN ('yes', 'possible')
            GROUP BY ingredient
        )""")
        self.others = [f"other: {name}" for name in _OTHERS]


def _create_cases(database: duckdb.DuckDBPyConnection, number: int, phase: str, seed: int) -> None:
    """The table `cases`: what the rows of several relations of a case have in common."""
    draws = _Draws("case", seed)
    way = draws.one_of("way", {"active": 40, "classes": 15, "step": 28, "none": 17}, of_case=True)
    disease = draws.one_of("disease", {
        "RRMS": 78, "active SPMS": 9, "SPMS": 4, "non-active SPMS": 3, "PPMS": 3, "CIS": 2, "MS": 1,
    }, of_case=True)
    received = draws.of("received", {
        "DATE '2025-07-15'": 1,
        f"DATE '2025-07-15' + {draws.below('day', 500, of_case=True)}": 97,
        f"DATE '2025-07-15' - {draws.below('day', 700, of_case=True)}": 2,
    }, of_case=True)
    phases = {"initiation": {"initiation": 1}, "continuation": {"continuation": 1},
              "both": {"initiation": 2, "continuation": 1}}[phase]
    width = max(7, len(str(number)))
    database.execute(f"""
        CREATE TABLE cases AS
        SELECT number, 'C' || lpad(number::VARCHAR, {width}, '0') AS "case", {way} AS way, {disease} AS disease,
               {received} AS received, {draws.one_of("phase", phases, of_case=True)} AS phase
        FROM range(1, {number + 1}) AS numbers(number)
    """)


def _relations(products: _Products, phase: str, seed: int) -> dict[str, tuple[str, Columns]]:
    """Of each relation: how many rows a case has, and how the values of a row are drawn."""
    relations: dict[str, tuple[str, Columns]] = {}

    def relation(name: str, count: dict[str, int] | str) -> _Draws:
        draws = _Draws(name, seed)
        relations[name] = (count if isinstance(count, str) else draws.of("count", count, of_case=True), {})
        return draws

    def columns(draws: _Draws, **values: str) -> None:
        relations[draws.name][1].update(values)

    def by_way(draws: _Draws, **counts: dict[str, int]) -> str:
        *first, last = [(way, draws.of("count", count, of_case=True)) for way, count in counts.items()]
        whens = " ".join(f"WHEN '{way}' THEN {count}" for way, count in first)
        return f"CASE way {whens} ELSE {last[1]} END"

    def days_before(draws: _Draws, limit: int) -> str:
        return f"received - {draws.below('day', limit)}"

    year_before = "(received - INTERVAL 12 MONTH)::DATE"
    initiation = "phase = 'initiation'"

    columns(relation("request", "1"), drug="'Lemtrada'", phase="phase", received="received")

    draw = relation("planned_dose", {"0": 2, "1": 97, "2": 1})
    columns(draw, mg_per_day=draw.of("mg", {
        "12::DOUBLE": 910, "10::DOUBLE": 20, "6::DOUBLE": 10, "11.999999999::DOUBLE": 5, "12.000000001::DOUBLE": 5,
        "24::DOUBLE": 30, "12.5::DOUBLE": 20,
    }))

    draw = relation("doses_requested", {"0": 7, "1": 3})
    columns(draw, doses=draw.of("doses", {"5::BIGINT": 80, "3::BIGINT": 14, "6::BIGINT": 6}))

    draw = relation("line_of_business", {"0": 6, "1": 4})
    columns(draw, line=draw.one_of("line", {
        "commercial": 80, "Medicare Advantage": 13, "Medicare Part D": 3, "FEP": 3, "SAO": 1,
    }))

    draw = relation("billing_code", {"0": 80, "1": 19, "2": 1})
    columns(draw, code=draw.one_of("code", {"J0202": 90, "j0202": 3, "J9010": 4, "j9010": 1, "96413": 2}))

    draw = relation("age", {"0": 7, "1": 3})
    columns(draw, years=f"(15 + {draw.below('years', 55)})::BIGINT")

    draw = relation("step_exemption", {"0": 96, "1": 3, "2": 1})
    columns(draw, status=draw.one_of("status", {"requested": 2, "approved": 1}))

    draw = relation("icd10", {"0": 60, "1": 30, "2": 8, "3": 2})
    coded = {"RRMS": "G35.A", "active SPMS": "G35.C1", "SPMS": "G35.C0", "non-active SPMS": "G35.C2", "PPMS": "G35.B0",
             "CIS": "G37.9", "MS": "G35.D"}
    codes = " ".join(f"WHEN '{disease}' THEN '{code}'" for disease, code in coded.items())
    columns(draw, code=draw.of("code", {
        f"CASE disease {codes} END": 50, "'G35'": 20, "'g35a'": 4, "'G35A.'": 1, "'G35.D'": 3, "'G35.B'": 1,
        "'F32.9'": 8, "'I10'": 8, "'Z79.899'": 5,
    }), recorded=days_before(draw, 900))

    draw = relation("therapy", "")
    started = f"received - (350 * (k + 1) + {draw.below('day', 600)})::INTEGER"
    started = draw.of("start", {
        started: 970, "received": 10, f"received + 1 + {draw.below('day', 60)}": 10, year_before: 10,
    })
    lasting = draw.of("stop", {f"{draw.below('length', 300)}": 95, "0": 5})
    relations[draw.name] = (by_way(
        draw, classes={"2": 5, "3": 50, "4": 30, "5": 15}, step={"1": 50, "2": 45, "3": 5}, active={"0": 60, "1": 40},
        none={"0": 40, "1": 40, "2": 20},
    ), {})
    columns(draw, product=draw.of("list", {
        draw.any("product", products.for_ms): 930, draw.any("product", products.others): 50,
        draw.any("product", products.alemtuzumab): 10, draw.any("product", products.all): 10,
    }), started=started, stopped=f"CASE WHEN {draw.chance('ongoing', 70)} THEN DATE '9999-12-31' "
                                 f"ELSE {started} + {lasting} END")

    draw = relation("inadequate_response", "")
    relations[draw.name] = (by_way(
        draw, step={"0": 15, "1": 20, "2": 50, "3": 15}, classes={"0": 50, "1": 30, "2": 20}, active={"0": 90, "1": 10},
        none={"0": 80, "1": 20},
    ), {})
    generic = draw.of("generic", {
        draw.any("product", products.generic): 75, draw.any("product", products.possible_generic): 25,
    })
    preferred = draw.of("preferred", {
        draw.any("product", products.preferred): 90, draw.any("product", products.possible_preferred): 10,
    })
    either = draw.of("either", {
        draw.any("product", products.for_ms): 9, draw.any("product", products.others): 1,
    })
    columns(draw, product=f"CASE k WHEN 0 THEN {generic} WHEN 1 THEN {preferred} ELSE {either} END")

    draw = relation("intolerance", "")
    relations[draw.name] = (by_way(
        draw, step={"0": 60, "1": 25, "2": 15}, classes={"0": 80, "1": 20}, other={"0": 95, "1": 5},
    ), {})
    columns(draw, product=draw.of("list", {
        draw.any("product", products.for_ms): 70, draw.any("product", products.generic): 25,
        draw.any("product", products.others): 5,
    }), cause=draw.one_of("cause", {"drug": 55, "excipient": 15, "route of administration": 15, "unknown": 15}))

    draw = relation("hypersensitivity", {"0": 95, "1": 5})
    columns(draw, product=draw.of("list", {
        draw.any("product", products.for_ms): 85, draw.any("product", products.others): 15,
    }))

    # A few cases have a contraindication to every step agent.
    draw = relation("contraindication", "")
    every = products.of_each_step_ingredient
    relations[draw.name] = (by_way(
        draw, step={"0": 88, "1": 5, "2": 3, f"{len(every)}": 4}, other={"0": 95, "1": 5},
    ), {})
    listed = ", ".join(_text(product) for product in every)
    columns(draw, product=draw.of("list", {
        f"list_value({listed})[1 + k]": 99, draw.any("product", products.for_ms): 1,
    }), basis=draw.one_of("basis", {"FDA label": 97, "other": 2, "unknown": 1}))

    draw = relation("prescriber_support", "")
    relations[draw.name] = (by_way(
        draw, step={"0": 75, "1": 15, "2": 10}, other={"0": 97, "1": 3},
    ), {})
    columns(draw, over=draw.one_of("over", {"generic agents": 1, "preferred brand agents": 1}),
            review=draw.one_of("review", {"accepted": 60, "submitted": 25, "rejected": 15}))

    draw = relation("hiv_test", {"0": 4, "1": 89, "2": 5, "3": 2})
    columns(draw, result=draw.one_of("result", {"negative": 940, "positive": 25, "indeterminate": 35}),
            on=draw.of("on", {days_before(draw, 400): 96, "received - 30": 4}))

    draw = relation("antiviral_prophylaxis", {"0": 4, "1": 93, "2": 3})
    columns(draw, agent=draw.one_of("agent", {
        "acyclovir": 45, "Acyclovir": 5, "valacyclovir": 35, "famciclovir": 9, "valganciclovir": 4, "letermovir": 2,
    }), months=draw.of("months", {
        "2::BIGINT": 45, "3::BIGINT": 25, "6::BIGINT": 20, "12::BIGINT": 6, "1::BIGINT": 3, "0::BIGINT": 1,
    }))

    draw = relation("concurrent_therapy", {"0": 85, "1": 10, "2": 4, "3": 1})
    columns(draw, product=draw.of("list", {
        draw.any("product", products.others): 60, draw.any("product", products.all): 40,
    }))

    draw = relation("documentation", {"0": 9, "1": 85, "2": 6})
    needed = "CASE WHEN way = 'active' THEN 'disease activity' ELSE 'prior therapy' END"
    other = draw.one_of("other", {"disease activity": 45, "prior therapy": 45, "activity after second course": 10})
    columns(draw, supports=f"CASE WHEN k = 0 AND {draw.chance('needed', 950)} THEN {needed} ELSE {other} END")

    draw = relation("diagnosis", {"0": 15, "1": 83, "2": 2})
    columns(draw, condition=draw.of("condition", {"disease": 93, "'MS'": 6, "'CIS'": 1}))

    draw = relation("relapse", "")
    relations[draw.name] = (by_way(
        draw, active={"1": 5, "2": 65, "3": 25, "4": 5}, other={"0": 80, "1": 15, "2": 5},
    ), {})
    recent = draw.of("recent", {days_before(draw, 360): 92, year_before: 4, "received": 2, "received - 100": 2})
    earlier = days_before(draw, 1500)
    columns(draw, on=f"CASE WHEN way = 'active' AND {draw.chance('is recent', 950)} THEN {recent} ELSE {earlier} END")

    draw = relation("mri", "")
    relations[draw.name] = (by_way(
        draw, active={"0": 3, "1": 80, "2": 15, "3": 2}, other={"0": 80, "1": 17, "2": 3},
    ), {})
    columns(draw, on=draw.of("on", {days_before(draw, 700): 96, year_before: 4}), finding=draw.one_of("finding", {
        "gadolinium-enhancing lesion": 68, "significant increase in T2 lesion load": 20,
        "new or enlarging T2 lesion": 12,
    }), lesions=draw.of("lesions", {
        "1::BIGINT": 50, f"(1 + {draw.below('number', 9)})::BIGINT": 47, "0::BIGINT": 3,
    }))

    draw = relation("alemtuzumab_course", "")
    courses = [draw.of("count", count, of_case=True) for count in (
        {"0": 96, "1": 3, "2": 1}, {"0": 3, "1": 60, "2": 30, "3": 7},
    )]
    relations[draw.name] = (f"CASE WHEN {initiation} THEN {courses[0]} ELSE {courses[1]} END", {})
    day = f"{year_before} - 10 - (400 * k)::INTEGER - {draw.below('day', 300)}"
    last = draw.of("last", {f"{day} + 4": 90, year_before: 6, f"{year_before} + 1": 4})
    columns(draw, number="k + 1", first_dose=day, last_dose=last)

    draw = relation("planned_first_dose", f"CASE WHEN {initiation} THEN 0 ELSE 1 END")
    columns(draw, on=f"received + {draw.below('day', 60)}")

    if phase == "initiation":
        return relations

    prior = _Draws("prior_approval", seed).of("count", {"0": 30, "1": 68, "2": 2}, of_case=True)
    draw = relation("prior_approval", f"CASE WHEN {initiation} THEN 0 ELSE {prior} END")
    columns(draw, payer=draw.one_of("payer", {"Florida Blue": 8, "another plan": 2}))
    met = _Draws("previously_met_criteria", seed).of("count", {"0": 60, "1": 40}, of_case=True)
    relation("previously_met_criteria", f"CASE WHEN {initiation} THEN 0 ELSE {met} END")
    benefit = _Draws("beneficial_response", seed).of("count", {"0": 6, "1": 90, "2": 4}, of_case=True)
    draw = relation("beneficial_response", f"CASE WHEN {initiation} THEN 0 ELSE {benefit} END")
    columns(draw, kind=draw.one_of("kind", {"reduction in relapses": 85, "other": 15}))
    return relations
