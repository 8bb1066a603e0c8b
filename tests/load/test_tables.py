"""Tables as Soufflé reads and writes them, and what it passes over in silence."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_kb.check.checked import Attribute, Relation, Table
from policy_kb.diagnostics import CaseRefused, Kind
from policy_kb.load.problems import MOST_PROBLEMS
from policy_kb.load.table_rows import TableRows
from policy_kb.load.tables import Output, read_table, write_tables
from policy_kb.parse.tree import Value
from policy_kb.source import Span
from policy_kb.text import normal
from tests.strategies.texts import odd_texts

PLACE = Span("rules.dl", 1)
NAME = Attribute("name", "symbol", "symbol", one_of=("a",))
COUNT = Attribute("count", "number", "number", at_least=100)
DOSE = Attribute("dose", "float", "float")
DAY = Attribute("day", "Date", "number", is_date=True)
END = Attribute("end", "Date", "number", is_date=True, may_be_ongoing=True)


def relation(*attributes: Attribute) -> Relation:
    return Relation("drug", attributes, "", PLACE, is_input=True)


def table(delimiter: str | None = None, headers: bool = False) -> Table:
    """A table as `.input` declares it, with a delimiter or without."""
    return Table("drug", "drug.facts", "\t" if delimiter is None else delimiter, headers, "", PLACE,
                 delimiter is not None)


def read(
    folder: Path, text: str, *attributes: Attribute, delimiter: str | None = None, headers: bool = False
) -> TableRows:
    (folder / "drug.facts").write_bytes(text.encode())
    return read_table(relation(*attributes), table(delimiter, headers), folder)


def problems(
    folder: Path, text: str, *attributes: Attribute, delimiter: str | None = None, headers: bool = False
) -> list[tuple[str, str, str, str | None]]:
    """Place, underlined text, message and hint of each problem."""
    with pytest.raises(CaseRefused) as refused:
        read(folder, text, *attributes, delimiter=delimiter, headers=headers)
    assert all(problem.span.file == str(folder / "drug.facts") for problem in refused.value.diagnostics)
    return [
        (
            f"{problem.span.line}:{problem.span.column}",
            (problem.excerpt or "")[problem.span.column - 1 : problem.span.end - 1],
            problem.message,
            problem.hint,
        )
        for problem in refused.value.diagnostics
    ]


# --- reading ---


def test_columns_are_read_by_the_type_of_their_attribute(tmp_path: Path) -> None:
    text = 'Avonex\t30\t12.5\n"Rebif", 44\t-7\t1e2\r\n\t0\t.5\n'
    rows = read(tmp_path, text, NAME, COUNT, DOSE)
    assert rows == {("Avonex", 30, Fraction("12.5")), ('"Rebif", 44', -7, Fraction(100)), ("", 0, Fraction("0.5"))}
    assert {type(row[2]) for row in rows} == {Fraction}


def test_the_last_line_needs_no_line_break_and_a_row_given_twice_is_given_once(tmp_path: Path) -> None:
    assert read(tmp_path, "a\nb\na", NAME) == {("a",), ("b",)}
    assert read(tmp_path, "", NAME) == set()


def test_an_empty_line_is_empty_text_where_a_table_has_one_column_of_text(tmp_path: Path) -> None:
    assert read(tmp_path, "a\n\n", NAME) == {("a",), ("",)}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0x1F", 31),
        ("-0b101", -5),
        (" +7", 7),
        ("007", 7),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("-0x8000000000000000", -(2**63)),
    ],
)
def test_numbers_are_decimal_hexadecimal_or_binary(tmp_path: Path, text: str, value: int) -> None:
    assert read(tmp_path, text, COUNT) == {(value,)}


def test_a_date_is_a_number_of_days_or_written_as_one(tmp_path: Path) -> None:
    assert read(tmp_path, "20284\n2025-07-15\n", DAY) == {(20284,)}
    assert read(tmp_path, "ongoing\n2932896\n", END) == {(2932896,)}


@pytest.mark.parametrize(("text", "rows"), [("()\n", {()}), ("()\n()", {()}), ("", set())])
def test_a_relation_without_attributes_holds_if_there_is_a_line(tmp_path: Path, text: str, rows: object) -> None:
    assert read(tmp_path, text) == rows


@pytest.mark.parametrize("delimiter", [",", "|", "::", "\\t", "\t"])
def test_another_delimiter_stands_between_the_columns(tmp_path: Path, delimiter: str) -> None:
    sign = "\t" if delimiter == "\\t" else delimiter
    rows = read(tmp_path, f"name{sign}count\na{sign}1\n", NAME, COUNT, delimiter=delimiter, headers=True)
    assert rows == {("a", 1)}


def test_a_table_may_have_a_name_and_a_folder_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.csv"
    path.write_text("a\n")
    for name in ("elsewhere.csv", str(path)):
        assert read_table(relation(NAME), Table("drug", name, ",", False, "", PLACE), tmp_path) == {("a",)}


# --- CSV, where a delimiter is declared ---


def test_a_column_may_stand_in_quotes(tmp_path: Path) -> None:
    text = 'name,count\r\n"ocrelizumab",1\r\n"a, ""b""\r\nc","2"\r\nplain,3\r\n"",4\r\n'
    rows = read(tmp_path, text, NAME, COUNT, delimiter=",", headers=True)
    assert rows == {("ocrelizumab", 1), ('a, "b" c', 2), ("plain", 3), ("", 4)}
    assert [rows.span(row).line for row in rows] == [2, 3, 5, 6]
    assert read(tmp_path, '"a"\t1\n', NAME, COUNT) == {('"a"', 1)}  # Soufflé's own format


@pytest.mark.parametrize(
    ("text", "place"), [('a,1\n"b"c,2\nd,3\n', "2:1"), ('a,1\nb,2\n"c,3\nd,4\n', "3:1"), ('"a""b,1', "1:1")]
)
def test_quotes_that_are_not_as_csv_has_them_are_refused(tmp_path: Path, text: str, place: str) -> None:
    [(where, _, message, _)] = problems(tmp_path, text, NAME, COUNT, delimiter=",")
    assert (where, message.partition(":")[0]) == (place, "a column in quotes is not as CSV has it")


def test_a_problem_has_the_line_of_the_file_and_the_place_in_it(tmp_path: Path) -> None:
    text = '"a\nb",1\n"c, d","x"\ne\n"f\u00ad",2\n'
    assert [one[:2] for one in problems(tmp_path, text, NAME, COUNT, delimiter=",")] == [
        ("3:8", '"x"'), ("4:1", "e"), ("5:1", '"f\u00ad"')
    ]


@pytest.mark.parametrize("delimiter", ['"', "\n", "a\rb"])
def test_a_delimiter_that_csv_has_another_use_for_is_refused(tmp_path: Path, delimiter: str) -> None:
    with pytest.raises(CaseRefused, match="a quote or a line break is no delimiter"):
        read(tmp_path, "a", NAME, delimiter=delimiter)


def test_text_is_read_in_its_normal_form_and_folded_where_letter_case_does_not_count(tmp_path: Path) -> None:
    code = Attribute("code", "symbol", "symbol", any_case=True)
    rows = read(tmp_path, "Sjo\u0308gren\u00a0\tG35.A\nx\tg35.b\nx\tG35.B\n", NAME, code)
    assert rows == {("Sjögren", "g35.a"), ("x", "g35.b")}
    assert rows.written == {("Sjögren", "g35.a"): (None, "G35.A"), ("x", "g35.b"): (None, "G35.B")}
    [note] = rows.notes
    assert (note.span.line, note.kind, note.is_warning) == (3, Kind.ROW_TWICE, True)


# --- refusals ---


def test_a_missing_or_extra_column_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, "a\t1\na\na\t1\t2\n\n", NAME, COUNT) == [
        ("2:1", "a", "1 column where `drug` has 2", "between the columns stands a tab: `name` and `count`"),
        ("3:1", "a\t1\t2", "3 columns where `drug` has 2", "between the columns stands a tab: `name` and `count`"),
        ("4:1", "", "an empty line", "remove it; a row of `drug` has 2 columns"),
    ]
    [(_, _, _, hint)] = problems(tmp_path, "a\t1", NAME, COUNT, delimiter=",")
    assert hint == "between the columns stands `,`: `name` and `count`"


@pytest.mark.parametrize(
    ("text", "attribute", "message", "hint"),
    [
        ("twelve", COUNT, "`count` is a whole number; the table says `twelve`", "write a whole number in digits"),
        ("", COUNT, "`count` is a whole number; the table says ``", "write a whole number in digits"),
        ("1.0", COUNT, "`count` is a whole number; the table says `1.0`", "write a whole number in digits"),
        (
            "9223372036854775808",
            COUNT,
            "`count` is out of range; the table says `9223372036854775808`",
            "a number lies between -9223372036854775808 and 9223372036854775807",
        ),
        ("1,5", DOSE, "`dose` is a number; the table says `1,5`", "write a decimal number, such as `12.5`"),
        ("nan", DOSE, "`dose` is a number; the table says `nan`", "write a decimal number, such as `12.5`"),
        (
            "1e999", DOSE, "`dose` is beyond the limits; the table says `1e999`",
            "numerator and denominator of a float, in lowest terms, lie below 10^18",
        ),
        ("2025-02-30", DAY, "`2025-02-30` does not exist", "the last day of that month is `2025-02-28`"),
        (
            "ongoing",
            DAY,
            "`day` is a date; the table says `ongoing`",
            "`ongoing` is not allowed here: write year-month-day",
        ),
    ],
)
def test_a_value_of_another_type_is_refused(
    tmp_path: Path, text: str, attribute: Attribute, message: str, hint: str
) -> None:
    assert problems(tmp_path, f"a\t{text}\ta\n", NAME, attribute, NAME) == [("1:3", text or "\t", message, hint)]


def test_very_long_digits_are_out_of_range_and_not_slow(tmp_path: Path) -> None:
    [(_, _, message, _)] = problems(tmp_path, "9" * 1_000_000, COUNT)
    assert message.startswith("`count` is out of range")
    assert read(tmp_path, "0" * 100_000 + "7", COUNT) == {(7,)}


def test_a_line_of_a_relation_without_attributes_is_a_pair_of_parentheses(tmp_path: Path) -> None:
    assert problems(tmp_path, "()\nyes\n") == [
        (
            *("2:1", "yes", "`drug` has no columns; the line says `yes`"),
            "a line `()` says that `drug` holds, an empty file that it does not",
        )
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("1:1", "", "the table has no header")),
        ("name\tdose\n", ("1:6", "dose", "the header says `dose` where `count` is expected")),
        ("count\tname\n", ("1:1", "count", "the header says `count` where `name` is expected")),
        ("name\n", ("1:1", "name", "the header has 1 column, not 2")),
        ("name\tcount\tdose\n", ("1:1", "name\tcount\tdose", "the header has 3 columns, not 2")),
    ],
)
def test_a_header_names_the_attributes_in_order(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    [found] = problems(tmp_path, text, NAME, COUNT, headers=True)
    assert found == (*expected, r"the first line names the attributes of `drug`: `name\tcount`")


def test_all_problems_of_a_table_are_found_at_once_up_to_a_number(tmp_path: Path) -> None:
    assert [place for place, *_ in problems(tmp_path, "x\ty\n1\t1\nz\t2\n", COUNT, COUNT)] == ["1:1", "1:3", "3:1"]
    found = problems(tmp_path, "x\n" * (MOST_PROBLEMS + 3), COUNT)
    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1][2] == "3 more problems not shown"


@pytest.mark.parametrize(
    ("raw", "message"), [(None, "no such file"), (b"\xff", "not UTF-8 text"), (b"\0", "the text holds a NUL character")]
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path, raw: bytes | None, message: str) -> None:
    path = tmp_path / "drug.facts"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(CaseRefused) as refused:
        read_table(relation(NAME), Table("drug", "drug.facts", "\t", False, "", PLACE), tmp_path)
    [problem] = refused.value.diagnostics
    assert (problem.message, str(problem.span)) == (message, f"{path}:1")


def test_an_empty_delimiter_is_refused_where_it_is_declared(tmp_path: Path) -> None:
    with pytest.raises(CaseRefused) as refused:
        read(tmp_path, "a", NAME, delimiter="")
    [problem] = refused.value.diagnostics
    assert (problem.message, problem.span, problem.hint) == ("the delimiter is empty", PLACE, r'write `delimiter="\t"`')


# --- writing ---


@pytest.mark.parametrize(
    ("attributes", "rows", "text"),
    [
        ((NAME, COUNT), [("b", 2), ("a", 10), ("a", 9)], "a\t9\na\t10\nb\t2\n"),
        (
            (DOSE,), [(Fraction("0.1"),), (Fraction(12),), (Fraction(1, 3),), (Fraction("1.5e-7"),)],
            "1.4999999999999999e-07\n0.10000000000000001\n0.33333333333333331\n12\n",
        ),
        ((DAY,), [(20284,)], "20284\n"),
        ((), [()], "()\n"),
        ((), [], ""),
        ((NAME,), [], ""),
        ((NAME,), [("é",), ("z",)], "z\né\n"),
    ],
)
def test_rows_are_written_sorted_as_souffle_writes_them(
    tmp_path: Path, attributes: tuple[Attribute, ...], rows: list[tuple[Value, ...]], text: str
) -> None:
    path = tmp_path / "drug.csv"
    write_tables([Output(path, relation(*attributes), set(rows))])
    assert path.read_bytes() == text.encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_delimiter_and_a_header_are_written_where_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "drug.csv"
    write_tables([Output(path, relation(NAME, COUNT), {("a", 1)}, delimiter=",", headers=True)])
    assert path.read_text() == "name,count\na,1\n"


def test_tables_are_written_all_or_none(tmp_path: Path) -> None:
    first, folder = tmp_path / "first.csv", tmp_path / "drug.csv"
    first.write_text("old\n")
    folder.mkdir()
    for place in (folder, tmp_path / "absent" / "drug.csv"):
        with pytest.raises(CaseRefused) as refused:
            write_tables([Output(first, relation(NAME), {("a",)}), Output(place, relation(NAME), {("a",)})])
        [problem] = refused.value.diagnostics
        assert problem.message.startswith("cannot be written: ")
        assert (str(problem.span), problem.kind.value) == (f"{place}:1", "unreadable")
    assert first.read_text() == "old\n"
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["drug.csv", "first.csv"]


_TEXTS = odd_texts.map(normal) | st.sampled_from(['"', ",", 'a "quoted" word', "a, b", "a::b", '"",', ""])


@given(
    st.sets(
        st.tuples(
            _TEXTS,
            st.integers(-(2**63), 2**63 - 1),
            (st.decimals(1, 10**6, places=6) | st.decimals(-(10**6), -1, places=6))
            .map(float)
            .map(lambda value: Fraction(f"{value:.17g}")),
        )
    )
)
def test_what_is_written_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: set[tuple[Value, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    for declared in (table(), table(","), table("\t", True), table("::", True), table("|")):
        written = Output(folder / "drug.facts", relation(NAME, COUNT, DOSE), rows, declared.delimiter, declared.headers,
                         declared.is_csv)
        write_tables([written])
        assert read_table(relation(NAME, COUNT, DOSE), declared, folder) == rows


def test_any_text_of_csv_reads_back_but_for_its_layout(tmp_path: Path) -> None:
    rows = {('a "b"\nc', 1), (" , ", 2), ("\r\n", 3)}
    write_tables([Output(tmp_path / "drug.facts", relation(NAME, COUNT), rows, ",", is_csv=True)])
    assert read_table(relation(NAME, COUNT), table(","), tmp_path) == {('a "b" c', 1), (",", 2), ("", 3)}
