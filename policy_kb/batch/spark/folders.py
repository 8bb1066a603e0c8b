"""Files and folders of any file system that Spark reads, as Hadoop gives them: `cases/`, `hdfs://...`, `s3a://...`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, quoted
from policy_kb.record import record
from policy_kb.source import Span

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_Result = TypeVar("_Result")


@record
class Entry:
    """What stands in a folder; `size` in bytes, 0 of a folder; `changed` in milliseconds since 1970."""

    name: str
    is_folder: bool
    size: int
    changed: int


class Folder:
    """A path, of a folder or of what is to become one. What its file system refuses is raised as CaseRefused."""

    def __init__(self, session: SparkSession, path: str):
        self.session, self.path = session, path
        context: Any = session.sparkContext
        self._hadoop = context._jvm.org.apache.hadoop.fs
        self._place = self._asked(lambda: self._hadoop.Path(path))
        self._system = self._asked(lambda: self._place.getFileSystem(context._jsc.hadoopConfiguration()))
        # Relative paths are of the folder that this program runs in, which Java does not know.
        if not self._place.isAbsolute() and self._system.getScheme() == "file":
            from pathlib import Path

            self._place = self._hadoop.Path(str(Path(path).absolute()))
        self._place = self._asked(lambda: self._system.makeQualified(self._place))

    def _asked(self, ask: Callable[[], _Result]) -> _Result:
        from py4j.protocol import Py4JJavaError

        try:
            return ask()
        except Py4JJavaError as problem:
            said = quoted(str(problem.java_exception.getMessage()).partition("\n")[0], 200)[1:-1]
            raise self.refused(f"cannot be read or written: {said}", "check the path and its permissions") from None

    def refused(self, message: str, hint: str) -> CaseRefused:
        return CaseRefused([Diagnostic(Kind.UNREADABLE, Span(self.path, 1), message, hint)])

    @property
    def location(self) -> str:
        """The whole path, which Spark reads as it stands."""
        return str(self._place.toString())

    def child(self, name: str) -> Folder:
        return self._at(self._hadoop.Path(self._place, self._hadoop.Path(None, None, name)),
                        f"{self.path.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        return str(self._place.getName())

    @property
    def parent(self) -> Folder | None:
        above = self._place.getParent()
        return None if above is None else self._at(above, str(above.toString()))

    def _at(self, place: Any, path: str) -> Folder:
        other = Folder.__new__(Folder)
        other.session, other.path, other._hadoop = self.session, path, self._hadoop
        other._system, other._place = self._system, place
        return other

    def exists(self) -> bool:
        return bool(self._asked(lambda: self._system.exists(self._place)))

    def is_folder(self) -> bool:
        return bool(self._asked(lambda: self._system.getFileStatus(self._place).isDirectory()))

    def entries(self) -> list[Entry]:
        """What stands in the folder, by name."""
        found = self._asked(lambda: list(self._system.listStatus(self._place)))
        return sorted(map(_entry, found), key=lambda entry: entry.name)

    def entry(self) -> Entry | None:
        """What is at the path now, if there is anything."""
        return _entry(self._asked(lambda: self._system.getFileStatus(self._place))) if self.exists() else None

    def is_same(self, other: Folder) -> bool:
        return bool(self._place.equals(other._place))

    def remove(self) -> None:
        self._asked(lambda: self._system.delete(self._place, True))

    def copy(self, other: Folder) -> None:
        """Copy the file."""
        context: Any = self.session.sparkContext
        copy = self._hadoop.FileUtil.copy
        self._asked(lambda: copy(self._system, self._place, other._system, other._place, False,
                                 context._jsc.hadoopConfiguration()))

    def rename(self, other: Folder) -> None:
        if not self._asked(lambda: self._system.rename(self._place, other._place)):
            raise other.refused("cannot be written: its file system does not let it be renamed",
                                "check the permissions of the folder that it is in")


def _entry(status: Any) -> Entry:
    is_folder = bool(status.isDirectory())
    return Entry(str(status.getPath().getName()), is_folder, 0 if is_folder else int(status.getLen()),
                 int(status.getModificationTime()))
