"""Cases from an NDJSON file, one a line, into the tables that `policy_kb.batch.shape` describes.

`policy_kb.batch.lines` reads the lines; of a large file, in several processes.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from policy_kb.batch.files import Files, Held
from policy_kb.batch.lines import LINE, Found, LineReader, rejections
from policy_kb.batch.openness import States
from policy_kb.batch.shape import CASE, OPEN_TABLE, UNCERTAIN, Given, Openness, Shape, given_column, given_table
from policy_kb.batch.tables import MOST_PROBLEMS, REJECTED_TABLE, Batch, Problem, connect
from policy_kb.batch.values import DUCKDB
from policy_kb.check.checked import CheckedProgram
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, quoted
from policy_kb.load.documents import LONGEST_LINE
from policy_kb.load.values import Known
from policy_kb.record import record
from policy_kb.source import Span

if TYPE_CHECKING:
    import pyarrow
    from duckdb import DuckDBPyConnection

BLOCK = 16 * 1024 * 1024
"""Bytes of the file that are read at a time, and the last line to its end."""

MOST_WORKERS = 16

_MOST_SHOWN = 1024 * 1024 * 1024
"""Bytes of rows that the database reads where they are; of more rows all are inserted into tables of its own, which it
can move to the disk."""

_MOST_WAITING = 64 * 1024 * 1024
"""Bytes of rows that wait to be inserted together."""

_CASES, _SECOND, _PROBLEMS = "ndjson_cases", "ndjson_second", "ndjson_problems"
_PART = "ndjson_part"
_AT_ONCE = 20_000

_name, _text = DUCKDB.name, DUCKDB.text


# files


def read_ndjson(
    program: CheckedProgram,
    known: Known,
    path: Path,
    *,
    connection: DuckDBPyConnection | None = None,
    files: Files | None = None,
    record_complete: bool = False,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    block: int = BLOCK,
) -> Batch:
    """The batch in an NDJSON file: on every line that is not blank, a case in the format of single cases.

    `known` holds the rows of the known relations. `record_complete`: every case is taken as one that says `record:
    complete`. The prepared tables are made in `connection`, which is opened in memory if it is not given; the file, of
    `files`, is read once. `progress` is told, now and then, how many bytes have been read, and of how many. The file is
    read `block` bytes at a time, by so many processes (`workers`) beside this one: if it is not said, as many as there
    are processors for a large file, and none for a small one.

    A case that would be refused by itself is rejected, and listed by the number of its line; so are, of several cases
    with one name, all but the first. In the answer, `table` is the name of the file, and lines without a readable name
    are `unnamed`. Raises CaseRefused where the file cannot be read or holds no case.
    """
    start = (program, known, str(path), record_complete)
    reader = LineReader(*start)
    held = (files := files or Files()).open(path, str(path))
    size = path.stat().st_size
    tables = _Tables(program, connection if connection is not None else connect(), path)
    if workers is None:
        workers = min(os.cpu_count() or 1, MOST_WORKERS) if size > 2 * block and sys.executable else 0
    blocks = _blocks(held, block)
    every = _by_workers(blocks, path, start, workers) if workers else _here(blocks, reader)
    with files.unchanged(), closing(every) as parts, tables.filling():
        for found, end in parts:
            tables.add(found)
            if progress is not None:
                progress(min(end, size), size)
    return tables.batch()


@record
class _Block:
    """Whole lines of a file: the number of the first, and where in the file they end."""

    content: bytes
    first: int
    end: int


def _blocks(held: Held, size: int) -> Iterator[_Block]:
    """The lines of a file, some `size` bytes at a time. Of a line that is too long only the beginning is given, which
    is too long as well."""
    first = 0
    with _reading(held.path), held.stream() as file:
        while content := file.read(size):
            if not content.endswith(b"\n"):
                content += file.readline(LONGEST_LINE + 1)
            is_whole = content.endswith(b"\n")
            while not is_whole and (rest := file.readline(LONGEST_LINE)):
                is_whole = rest.endswith(b"\n")
            yield _Block(content, first + 1, file.tell())
            first += content.count(b"\n") + (not content.endswith(b"\n"))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as problem:
        raise _refused(path, f"cannot be read: {getattr(problem, 'strerror', None) or problem}", None) from None


def _refused(path: Path, message: str, hint: str | None) -> CaseRefused:
    return CaseRefused([Diagnostic(Kind.UNREADABLE, Span(str(path), 1), message, hint)])


def _here(blocks: Iterable[_Block], reader: LineReader) -> Generator[tuple[Found, int], None, None]:
    """What stands in each block, and where in the file it ends."""
    for one in blocks:
        yield reader.read(one.content, one.first), one.end


# processes


class _Worker:
    """A process that reads blocks of a file. It ends with this one."""

    _START = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); " \
             "from policy_kb.batch.ndjson import serve; serve()"

    def __init__(self, path: Path, start: tuple[CheckedProgram, Known, str, bool]):
        self.path = path
        # Not `multiprocessing`: its processes import the main program anew, or inherit the locks of threads.
        command = [sys.executable, "-I", "-c", self._START]
        with _reading(path):
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.start = start
        self.is_started = False

    def read(self, content: bytes, first: int) -> Found:
        requests, replies = self.process.stdin, self.process.stdout
        assert requests is not None
        assert replies is not None
        try:
            if not self.is_started:
                self.is_started = True
                pickle.dump(sys.path, requests, protocol=5)
                pickle.dump(self.start, requests, protocol=5)
            pickle.dump((content, first), requests, protocol=5)
            requests.flush()
            found: Found = pickle.load(replies)
        except (OSError, EOFError, pickle.UnpicklingError):
            hint = "there may be too little memory: try again, or split the file"
            raise _refused(self.path, "a process that reads the file has ended before its time", hint) from None
        return found

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def serve() -> None:
    """What a process of `_Worker` does until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    requests = sys.stdin.buffer
    # What a library may print must not come between the replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    reader = LineReader(*pickle.load(requests))
    with suppress(EOFError, BrokenPipeError):
        while True:
            pickle.dump(reader.read(*pickle.load(requests)), replies, protocol=5)
            replies.flush()


def _by_workers(
    blocks: Iterable[_Block], path: Path, start: tuple[CheckedProgram, Known, str, bool], number: int
) -> Generator[tuple[Found, int], None, None]:
    """As `_here`, by so many processes, in the order of the file."""
    idle: SimpleQueue[_Worker] = SimpleQueue()
    workers = []

    def read(one: _Block) -> Found:
        worker = idle.get()
        try:
            return worker.read(one.content, one.first)
        finally:
            idle.put(worker)

    waiting: deque[tuple[Future[Found], int]] = deque()
    threads = ThreadPoolExecutor(number)
    try:
        for _ in range(number):
            workers.append(_Worker(path, start))
            idle.put(workers[-1])
        for one in blocks:
            waiting.append((threads.submit(read, one), one.end))
            if len(waiting) > number + 1:
                future, end = waiting.popleft()
                yield future.result(), end
        while waiting:
            future, end = waiting.popleft()
            yield future.result(), end
    finally:
        for worker in workers:
            worker.end()
        threads.shutdown(cancel_futures=True)


# tables


class _Tables:
    """The prepared tables, while they are filled: every row has the number of its line as well."""

    def __init__(self, program: CheckedProgram, connection: DuckDBPyConnection, path: Path):
        self.states = States(program.inputs())
        self.inputs = self.states.inputs
        self.connection = connection
        self.path = path
        self.read = 0
        self.filled: dict[str, str] = {}
        """Where the rows of a relation stand."""
        self.made = {_CASES, _PROBLEMS}
        self.has_inserted = False
        self.waiting: dict[str, list[pyarrow.Table]] = {}
        self.waiting_bytes = 0
        states = "".join(f", {column} BIGINT" for column in self.states.columns)
        self.create(_CASES, f"{LINE} BIGINT, {_name(CASE)} VARCHAR, is_accepted BOOLEAN{states}")
        columns = f'{_name(CASE)} VARCHAR, "row" BIGINT, reason VARCHAR, hint VARCHAR'
        self.create(_PROBLEMS, columns)

    def create(self, table: str, columns: str) -> None:
        self.connection.execute(f"CREATE OR REPLACE TABLE {_name(table)} ({columns})")

    @contextmanager
    def filling(self) -> Iterator[None]:
        """One transaction: after each, a database may compress what it holds, again and again."""
        self.connection.begin()
        try:
            yield
            if not self.has_inserted:
                self.show()
            self.insert()
            self.connection.commit()
        except BaseException:
            self.connection.rollback()
            raise

    def add(self, found: Found) -> None:
        self.read += found.read
        self.wait(_CASES, found.cases)
        self.wait(_PROBLEMS, found.rejected)
        for number, relation in enumerate(self.inputs):
            name = relation.name
            if name not in found.rows:
                continue
            self.filled.setdefault(name, f"ndjson_rows_{number}")
            self.wait(self.filled[name], found.rows[name])
        if self.waiting_bytes > (_MOST_WAITING if self.has_inserted else _MOST_SHOWN):
            self.insert()

    def wait(self, table: str, rows: pyarrow.Table) -> None:
        if rows.num_rows:
            self.waiting.setdefault(table, []).append(rows)
            self.waiting_bytes += rows.nbytes

    def show(self) -> None:
        """Let the rows of the relations be read where they wait."""
        import pyarrow

        for name, table in self.filled.items():
            self.filled[name] = table.replace("rows", "shown")
            self.connection.register(self.filled[name], pyarrow.concat_tables(self.waiting.pop(table)))

    def insert(self) -> None:
        """Insert what waits: many rows at once, as an insertion of its own takes longer than a thousand rows."""
        import pyarrow

        for table, rows in self.waiting.items():
            self.connection.register(_PART, pyarrow.concat_tables(rows))
            if table not in self.made:
                self.made.add(table)
                self.connection.execute(f"CREATE OR REPLACE TABLE {_name(table)} AS SELECT * FROM {_PART} LIMIT 0")
            self.connection.execute(f"INSERT INTO {_name(table)} SELECT * FROM {_PART}")
            self.connection.unregister(_PART)
        self.waiting.clear()
        self.waiting_bytes = 0
        self.has_inserted = True

    def batch(self) -> Batch:
        if not self.read:
            hint = "write one case a line"
            problem = Diagnostic(Kind.BAD_DOCUMENT, Span(str(self.path), 1), "the file holds no case", hint)
            raise CaseRefused([problem])
        shape = self.prepare(self.reject_second_cases())
        case = _name(CASE)
        self.connection.execute(
            f"CREATE OR REPLACE TABLE {REJECTED_TABLE} AS SELECT {case}, {_text(self.path.name)} AS {_name('table')}, "
            f'"row", reason FROM {_PROBLEMS} ORDER BY "row", rowid'
        )
        problems = tuple(
            Problem(self.path.name, row, name, reason, hint)
            for name, row, reason, hint in self.rows(
                f'SELECT {case}, "row", reason, hint FROM {_PROBLEMS} ORDER BY "row", rowid LIMIT {MOST_PROBLEMS}'
            )
        )
        [(rejected, unnamed)] = self.rows(
            f'SELECT count(DISTINCT "row") FILTER (WHERE {case} IS NOT NULL), '
            f'count(DISTINCT "row") FILTER (WHERE {case} IS NULL) FROM {_PROBLEMS}'
        )
        self.connection.execute(f"DROP TABLE {_PROBLEMS}")
        rows = sum(self.rows(f"SELECT count(*) FROM {given.table}")[0][0] for given in shape.values() if given.has_rows)
        return Batch(self.connection, shape, self.read - unnamed, rows, rejected, unnamed, problems)

    def rows(self, query: str) -> list[Any]:
        return self.connection.execute(query).fetchall()

    def reject_second_cases(self) -> bool:
        """Reject every case with the name of an earlier one, whether or not that was accepted; whether there is one."""
        case = _name(CASE)
        self.connection.execute(
            f"CREATE OR REPLACE TABLE {_SECOND} AS SELECT {LINE}, {case}, first FROM {_CASES} JOIN "
            f"(SELECT {case}, min({LINE}) AS first FROM {_CASES} GROUP BY {case} HAVING count(*) > 1) USING ({case}) "
            f"WHERE {LINE} > first ORDER BY {LINE}"
        )
        last = 0
        while second := self.rows(
            f"SELECT {LINE}, {case}, first FROM {_SECOND} WHERE {LINE} > {last} ORDER BY {LINE} LIMIT {_AT_ONCE}"
        ):
            self.wait(_PROBLEMS, rejections([
                (name, line, f"two cases are named {quoted(name)}",
                 f"the other one is at {Span(str(self.path), first)}: give each case a name of its own")
                for line, name, first in second
            ]))
            last = second[-1][0]
            self.insert()
        self.connection.execute(f"DELETE FROM {_CASES} WHERE {LINE} IN (SELECT {LINE} FROM {_SECOND})")
        return bool(last)

    def prepare(self, has_second: bool) -> Shape:
        """Make the tables of the shape; `has_second`: without the cases that have the name of an earlier one."""
        among = f" WHERE {LINE} NOT IN (SELECT {LINE} FROM {_SECOND})" if has_second else ""
        shape = {}
        openness = self.states.openness(self.rows, f"{_CASES} WHERE is_accepted")
        for number, relation in enumerate(self.inputs):
            name, has_uncertain = relation.name, False
            if name in self.filled:
                rows = f"{_name(self.filled[name])}{among}"
                [(has_uncertain,)] = self.rows(f"SELECT coalesce(bool_or({UNCERTAIN}), FALSE) FROM {rows}")
                columns = [*map(given_column, range(relation.arity)), *[UNCERTAIN] * has_uncertain]
                self.connection.execute(
                    f"CREATE OR REPLACE VIEW {given_table(number)} AS SELECT {', '.join(map(_name, columns))} "
                    f"FROM {rows}"
                )
            shape[name] = Given(given_table(number), name in self.filled, has_uncertain, openness[name])
        some = [name for name, one in openness.items() if one is Openness.SOME]
        if some:
            accepted = f"(FROM {_CASES} WHERE is_accepted)"
            self.connection.execute(
                f"CREATE OR REPLACE VIEW {OPEN_TABLE} AS {self.states.reasons(some, accepted, DUCKDB)}"
            )
        return shape
