"""A table that Spark writes: a folder of part files, which has its name when it is complete, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from policy_kb.batch.spark.folders import Folder
from policy_kb.diagnostics import CaseRefused, did_you_mean, quoted

_OWN_STARTS = ("part-", ".part-", "_SUCCESS", "._SUCCESS")
"""How the names begin of what Spark writes into the folder of a table."""


def check_output(target: Folder, inputs: Iterable[Folder], endings: tuple[str, ...]) -> None:
    """Refuse, before anything is computed, an output that could not be written: of another ending; where the folder
    around it is missing, or is the input; in the place of what is no such table."""
    ending = PurePosixPath(target.path).suffix
    if ending.lower() not in endings:
        message = f"cannot be written: Spark writes no {quoted(ending)}" if ending else "the name has no ending"
        hint = did_you_mean(ending, endings) if ending and ending.lower() not in (".csv", ".ndjson", ".jsonl") else None
        raise target.refused(message, hint or f"name a folder that ends in {' or '.join(f'`{one}`' for one in endings)}"
                                              ", or use `--engine duckdb`")
    folder = target.parent
    if folder is None or not folder.exists() or not folder.is_folder():
        raise target.refused("cannot be written: there is no such folder around it", "make the folder first")
    for given in inputs:
        if target.is_same(given):
            raise target.refused("cannot be written: this is the input", "write the result to another folder")
        if folder.is_same(given):
            raise target.refused("cannot be written: the folder is the input; the result would be read as one of its "
                                 "tables", "write the result to another folder")
    if target.exists() and not _is_table(target):
        raise target.refused("cannot be written: there is a folder with other files", "give another name")


def _is_table(target: Folder) -> bool:
    """A file, or a folder of nothing but the parts of one table."""
    if not target.is_folder():
        return True
    return all(entry.name.startswith(_OWN_STARTS) and not entry.is_folder for entry in target.entries())


@contextmanager
def whole_folder(target: Folder) -> Iterator[Folder]:
    """A folder to write in the place of `target`, which appears when it is complete; what stood there before is removed
    only then. Until then it is hidden and called `unfinished`; a failure or an interrupt removes it."""
    unfinished, before = beside(target, "unfinished"), beside(target, "before")
    try:
        yield unfinished
        stood = target.exists()
        if stood and not _is_table(target):
            raise target.refused("cannot be written: there is a folder with other files", "give another name")
        if stood:
            target.rename(before)
        unfinished.rename(target)
        if stood:
            before.remove()
    finally:
        remove(unfinished)


def beside(target: Folder, what: str) -> Folder:
    """A hidden place in the same folder, of this run alone."""
    around = target.parent
    assert around is not None
    return around.child(f".{target.name}.{os.getpid()}.{what}")


def remove(folder: Folder) -> None:
    """Remove a folder, if it is there."""
    try:
        if folder.exists():
            folder.remove()
    except CaseRefused:
        # What went wrong before is what is told.
        pass
