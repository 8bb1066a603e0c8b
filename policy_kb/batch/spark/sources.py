"""The tables of a batch as Spark finds them: Parquet files in a folder of any file system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from policy_kb.batch.columns import Why
from policy_kb.batch.files import CHANGED, LET_BE
from policy_kb.batch.sources import Source
from policy_kb.batch.spark.folders import Entry, Folder
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, quoted
from policy_kb.record import record
from policy_kb.source import Span

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PART, ROW = "#part", "#row"
"""Columns that no attribute has the name of: the file of a row, where its table has several, and its number there,
counted from 1."""

_TYPES = {
    "string": "VARCHAR", "int": "INTEGER", "timestamp": "TIMESTAMP WITH TIME ZONE", "timestamp_ntz": "TIMESTAMP",
    "binary": "BLOB",
}
"""What DuckDB calls the types of columns, where Spark has other words."""


@record
class Found:
    """The tables of a folder, and what is wrong with them. A table comes with its rows, and whether it is in parts.
    `files` are those that are read, as they were when they were found."""

    sources: dict[str, tuple[Source, DataFrame, bool]]
    problems: list[Diagnostic]
    files: list[tuple[Folder, Entry]]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(entry.size for _, entry in self.files)

    def check(self) -> None:
        """Raises CaseRefused if a file is no longer what it was."""
        changed = [
            Diagnostic(Kind.UNREADABLE, Span(file.path, 1), CHANGED, LET_BE)
            for file, entry in self.files if file.entry() != entry
        ]
        if changed:
            raise CaseRefused(changed)


def find_tables(
    session: SparkSession, folder: Folder, refusal: Callable[[str], Why | None], copies: Folder
) -> Found:
    """The tables `NAME.parquet`, each a file or a folder with the parts of a table. `refusal` says why there can be no
    table of a name, with a hint. Spark passes over a file whose name begins with `_`: such a one is copied to the
    folder `copies`, under another name."""
    found = Found({}, [], [])
    if not folder.exists():
        raise folder.refused("no such file", "check the path")
    if not folder.is_folder():
        raise folder.refused("Spark reads a folder of Parquet tables, such as `request.parquet`",
                             "give such a folder, or use `--engine duckdb`")

    def problem(place: str, message: str, hint: str, kind: Kind = Kind.BAD_TABLE) -> None:
        found.problems.append(Diagnostic(kind, Span(place, 1), message, hint))

    entries = [entry for entry in folder.entries() if not entry.name.startswith(".")]
    for entry in entries:
        name, _, ending = entry.name.rpartition(".")
        place = f"{folder.path.rstrip('/')}/{entry.name}"
        if ending.casefold() == "csv":
            problem(place, "Spark reads no CSV tables: their values have no types",
                    "write the table as Parquet, or use `--engine duckdb`")
        if ending.casefold() != "parquet":
            continue
        refused = refusal(name)
        if refused:
            problem(place, refused[0], refused[1] or "remove it", Kind.UNKNOWN_RELATION)
            continue
        if name in found.sources:
            problem(place, f"`{name}` has two tables", "remove one of them")
            continue
        table = folder.child(entry.name)
        parts = _parts(table, place, problem) if entry.is_folder else [entry]
        if not parts:
            continue
        found.files.extend((table.child(part.name) if entry.is_folder else table, part) for part in parts)
        if not entry.is_folder and entry.name.startswith("_"):
            copied = copies.child(f"copy{entry.name}")
            table.copy(copied)
            table = copied
        try:
            files = [table.child(part.name) for part in parts] if entry.is_folder else [table]
            rows = _read(session, place, files)
        except CaseRefused as bad:
            found.problems.extend(bad.diagnostics)
            continue
        columns = {field.name: _type(field.dataType.simpleString()) for field in rows.schema.fields}
        found.sources[name] = Source(name, place, f"batch_input_{name}", columns), rows, entry.is_folder
    if not found.sources and not found.problems:
        problem(folder.path, "no table is in this folder",
                "a folder holds one table for each relation, such as `request.parquet`")
    return found


def _parts(table: Folder, place: str, problem: Callable[..., None]) -> list[Entry]:
    """The files of a table in parts. A name with a dot or a line before it is of who wrote them."""
    entries = table.entries()
    if any(entry.name == "_temporary" for entry in entries):
        problem(place, "it was not written to its end: `_temporary` is there", "write it anew", Kind.UNREADABLE)
        return []
    entries = [entry for entry in entries if entry.name[0] not in "._"]
    if any(entry.is_folder for entry in entries):
        problem(place, "a folder is among the parts", "write the parts without partitions by column")
        return []
    parts = [entry for entry in entries if entry.name.casefold().endswith(".parquet")]
    if not parts:
        problem(place, "no part of a table is in this folder", "parts end in `.parquet`")
    return parts


def _read(session: SparkSession, place: str, files: list[Folder]) -> DataFrame:
    """The rows of Parquet files; those with other columns than the others have NULL in these."""
    with reading(place):
        # A name is never a pattern.
        reader = session.read.option("__globPaths__", "false").option("mergeSchema", str(len(files) > 1).lower())
        return reader.parquet(*(file.location for file in files))


def _type(name: str) -> str:
    return _TYPES.get(name, name.upper())


def view_of(source: Source, rows: DataFrame, names: list[str], is_in_parts: bool) -> DataFrame:
    """The columns of a table that are read, and the place of each row. Text that is no UTF-8 is an error."""
    from pyspark.sql import functions as f

    text = {name for name in names if source.columns[name] == "VARCHAR"}
    columns = [f.col(_ticked(name)) for name in names]
    checked = [f.validate_utf8(column).alias(name) if name in text else column
               for name, column in zip(names, columns, strict=True)]
    part = f.col("_metadata.file_name") if is_in_parts else f.lit(None).cast("string")
    return rows.select(*checked, part.alias(PART),
                       (f.col("_metadata.row_index") + 1).alias(ROW))


def _first_line(said: str) -> str:
    return quoted(said.partition("\n")[0], 200)[1:-1]


def _ticked(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


@contextmanager
def reading(place: str) -> Iterator[None]:
    """Refuse the batch where a table turns out to be unreadable while it is read, where the machines are not enough and
    where Spark does not do what the rules need; what is wrong with a query is raised as it is."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import AnalysisException, ParseException, PySparkException

    try:
        yield
    except (PySparkException, Py4JJavaError) as problem:
        said = str(problem.java_exception.getMessage()) if isinstance(problem, Py4JJavaError) else str(problem)
        schema = "CANNOT_MERGE_SCHEMA" in said or "FAILED_MERGE" in said or "merging schema" in said
        unsupported = "UNSUPPORTED_" in said
        if isinstance(problem, (AnalysisException, ParseException)) and not (schema or unsupported or "INFER" in said):
            raise
        message, hint = "not a Parquet file, or a damaged one", "write it anew"
        if schema:
            message = "the parts have columns of different types"
            hint = "write all parts with the same columns and types"
        elif unsupported:
            message = f"Spark cannot do what the rules need: {_first_line(said)}"
            hint = "use `--engine duckdb`"
        elif "UTF" in said:
            message, hint = "not UTF-8 text", "write its text as UTF-8"
        elif "FAILED_READ_FILE" not in said and "parquet" not in said.casefold():
            message = f"Spark stopped: {_first_line(said)}"
            hint = "check the memory and the space on the disks of the machines, and Spark's log"
        raise CaseRefused([Diagnostic(Kind.UNREADABLE, Span(place, 1), message, hint)]) from None

