"""Runs a command line in this process on files of a stranger, and says whether it behaved.

It behaves if it ends in time with a documented exit code, without a traceback, without much memory; if what it prints
is whole and obeyed by no terminal; and if, where it refuses, it says why and leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from policy_kb import commands, policies
from policy_kb.audit import rules as audit_rules
from policy_kb.choose.knowledge_base import entry_files
from policy_kb.commands import INPUT_REFUSED, RULES_REFUSED, asks_for_json
from policy_kb.evaluate import bottom_up
from policy_kb.installed import rules_folder
from policy_kb.source import Files, real_path

T = TypeVar("T")

WRONG_USAGE = 2
REFUSALS = (INPUT_REFUSED, WRONG_USAGE, RULES_REFUSED)
EXIT_CODES = (0, *REFUSALS, 4, 5, 6)
"""Those that the README documents."""

MOST_SECONDS = 60.0
MOST_MEMORY = 1024
"""MiB by which a command may make the process larger."""

ANSWERS_IN_PART = ("decide", "check", "audit")
"""Commands that answer for the inputs they can read, or sum up, where they refuse others; `audit` answers with no."""

OUTPUT_OPTIONS = ("-o", "--output", "--html", "--rejects", "-D", "--record")


class Hung(BaseException):
    """The time is over. Not an Exception: nobody on the way may take it for one of his own."""


_WAITING = 10
"""How many times as long as it may work a command may take, others working on the same machine."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises Hung after so many seconds of work, or ten times as many on the clock. What never comes back from C is not
    interrupted."""
    is_over = False

    def over(*_: object) -> None:
        nonlocal is_over
        is_over = True
        raise Hung

    limits = {signal.SIGPROF: (signal.ITIMER_PROF, seconds), signal.SIGALRM: (signal.ITIMER_REAL, _WAITING * seconds)}
    before = {sort: signal.signal(sort, over) for sort in limits}
    for timer, time in limits.values():
        signal.setitimer(timer, time)
    try:
        yield
    except BaseException:
        if is_over:  # a library may have made another exception of it
            raise Hung from None
        raise
    finally:
        for timer, _ in limits.values():
            signal.setitimer(timer, 0)
        for sort, handler in before.items():
            signal.signal(sort, handler)


@dataclass(frozen=True)
class Run:
    """What a command did. `failed` is the traceback of what it did not expect, `left` the files it made or changed."""

    code: int | None
    output: str
    errors: str
    failed: str | None
    left: frozenset[str]
    memory: int
    """MiB by which the process became larger."""


def run(arguments: Sequence[str], files: Mapping[str, bytes], seconds: float = MOST_SECONDS) -> Run:
    """Run `policy-kb ARGUMENTS` in a folder of its own with these files; their names, and those in the arguments, are
    relative to it."""
    with tempfile.TemporaryDirectory(prefix="behaving-") as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return run_in(Path(folder), arguments, seconds)


def run_in(folder: Path, arguments: Sequence[str], seconds: float = MOST_SECONDS) -> Run:
    """As `run`, in a folder that is there."""
    before = _state(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    code, failed = None, None
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        standard = sys.stdin, sys.stdout, sys.stderr
        # A command may turn its output away from a reader who is gone.
        readers = [os.fdopen(os.dup(one.fileno()), "rb") for one in (output, errors)]
        here = os.getcwd()
        os.chdir(folder)
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
        sys.stdout = open(output.fileno(), "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(errors.fileno(), "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        try:
            with patch.object(sys, "argv", ["policy-kb", *arguments]), within(seconds):
                commands.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        except Hung:
            failed = f"no end after {seconds} seconds"
        except BaseException:
            failed = traceback.format_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except ValueError as problem:
                    failed = failed or str(problem)
            sys.stdin.close()
            sys.stdin, sys.stdout, sys.stderr = standard
            os.chdir(here)
        texts = []
        for reader in readers:
            with reader:
                reader.seek(0)
                texts.append(reader.read().decode("utf-8", "backslashreplace"))
        said, complained = texts
    after = _state(folder)
    left = frozenset(name for name in {**before, **after} if before.get(name) != after.get(name))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) // 1024
    return Run(code, said, complained, failed, left, grown)


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        state = path.lstat()
        found[str(path.relative_to(folder))] = state.st_size, state.st_mtime_ns if not path.is_dir() else 0
    return found


def misbehaviour(arguments: Sequence[str], files: Mapping[str, bytes], seconds: float = MOST_SECONDS) -> str | None:
    """What a command line does that no command may do, whatever it is given; None if it behaves."""
    return complaint(arguments, run(arguments, files, seconds))


def complaint(arguments: Sequence[str], done: Run) -> str | None:
    """What is wrong with what a command did."""
    command = next((one for one in arguments if not one.startswith("-")), "")
    if done.failed is not None:
        return done.failed
    if done.code not in EXIT_CODES:
        return f"exit code {done.code} is not documented"
    if "Traceback" in done.errors:
        return f"a traceback:\n{done.errors}"
    for sort, text in (("output", done.output), ("errors", done.errors)):
        strange = next((sign for sign in text if _is_obeyed(sign)), None)
        if strange is not None:
            return f"the {sort} holds the control character {strange!r}"
    if done.memory > MOST_MEMORY:
        return f"{done.memory} MiB more memory"
    if done.code in REFUSALS:
        is_answer = command == "audit" or (command == "check" and "--json" in arguments)
        if not done.errors.strip() and not (is_answer and done.output.strip()):
            return f"exit code {done.code}, and no reason is given"
        if done.output.strip() and command not in ANSWERS_IN_PART:
            return f"a result is printed although the input is refused: {done.output[:200]!r}"
        if done.left:
            return f"refused, but left behind: {sorted(done.left)}"
    else:
        named = {
            str(Path(arguments[place + 1])) for place, one in enumerate(arguments[:-1]) if one in OUTPUT_OPTIONS
        }
        stray = {name for name in done.left if not any(Path(name).is_relative_to(one) for one in named | {"."} - {"."})}
        if stray and command != "run":
            return f"left behind: {sorted(stray)}"
    asks_for_help = {"-h", "--help", "--version"} & {*arguments}
    # Behind another option it may be the value of that.
    if not asks_for_json(arguments) or arguments[arguments.index("--json") - 1].startswith("-") or asks_for_help:
        return None
    wrong = _not_json(done.errors, is_lines=True)
    if wrong is None and (done.code not in REFUSALS or command == "decide"):
        wrong = _not_json(done.output, is_lines=command == "decide")
    return wrong


def _is_obeyed(sign: str) -> bool:
    return (sign < " " and sign not in "\n\t") or "\x7f" <= sign <= "\x9f" or sign in "\u202a\u202b\u202d\u202e\u2066"


def _not_json(text: str, is_lines: bool) -> str | None:
    try:
        for part in text.splitlines() if is_lines else [text]:
            json.loads(part, parse_constant=_refuse_constant)
    except ValueError as problem:
        return f"this is not JSON: {problem}: {text[:200]!r}"
    return None


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"`{word}` is no JSON")


def attempted(action: Callable[[], T], seconds: float = MOST_SECONDS) -> str | None:
    """What is wrong with a step of the pipeline: it may give a value, or refuse with reasons that can be shown."""
    from policy_kb.diagnostics import Refused

    try:
        with within(seconds):
            action()
    except Refused as refused:
        if not any(not problem.is_warning for problem in refused.diagnostics):
            return "refused without a reason"
        for problem in refused.diagnostics[:3]:
            if "\n" in problem.message or any(map(_is_obeyed, str(problem))):
                return f"a message that is no plain line: {str(problem)!r}"
    except Hung:
        return f"no end after {seconds} seconds"
    except BaseException:
        return traceback.format_exc()
    return None


@contextmanager
def policies_loaded_once() -> Iterator[None]:
    """The policies that come with the program are loaded once in this process, and not for each command: a hundred
    times as many commands can be tried."""
    read, make = policies.checked_rules, policies.Policy
    shipped = set(map(str, entry_files(rules_folder())))
    made: dict[tuple[int, str | None, bool], policies.Policy] = {}

    @cache
    def own(path: Path) -> tuple[Any, dict[str, Any]]:
        files = Files()
        return read(path, files, rules_folder()), files.seen

    def rules(path: Path, files: Files | None = None, base: Path | None = None) -> Any:
        real = real_path(path)
        if real.parent != rules_folder():
            return read(path, files, base)
        found, seen = own(real)
        if files is not None:
            files.seen.update(seen)
        return found

    def policy(found: Any, engine: str | None = None, editions: Any = None) -> policies.Policy:
        key = id(found), engine, editions is None
        if key not in made and found.program.paths[found.program.entry] not in shipped:
            return make(found, engine, editions)
        return made.setdefault(key, made.get(key) or make(found, engine, editions))

    read_book = audit_rules.read_rules
    own_books = cache(read_book)

    def book(entry: Path) -> Any:
        real = real_path(entry)
        return own_books(real) if real.parent == rules_folder() else read_book(entry)

    with patch.object(policies, "checked_rules", rules), patch.object(policies, "Policy", policy), \
            patch.object(audit_rules, "read_rules", book):
        yield


@contextmanager
def limits_reached_soon() -> Iterator[None]:
    """A program may derive rows for ever: that it is stopped is seen as well with limits that are reached at once."""
    with patch.object(bottom_up, "MOST_ROWS", 20_000), patch.object(bottom_up, "MOST_ROUNDS", 2_000):
        yield


def scratch() -> Path:
    """A folder for files of many attempts, each written over the one before. Its user removes it."""
    base = "/dev/shm" if os.path.isdir("/dev/shm") else None
    return Path(tempfile.mkdtemp(prefix="behaving-", dir=base))


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
