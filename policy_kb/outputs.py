"""Files that a command makes: each complete, all of them or none, never through a link, and nothing left over where the
command ends before its time.

Every output of every command is written with `whole_files`, and everything that is only needed for a while stands in a
`temporary_folder`. Both are gone at the end of their `with`, however that ends; where a signal ends the program while
they are being removed, `remove_left_over` finishes it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, Refused, quoted
from policy_kb.source import Span, real_path

_left_over: set[Path] = set()
"""The temporary folders of this process that are not yet removed."""


@contextmanager
def temporary_folder(beside: Path | None = None) -> Iterator[Path]:
    """A new folder that no other user can look into, removed at the end with all that is in it: a hidden one in the
    folder `beside`, or one where the system keeps temporary files."""
    name = f"policy-kb-{os.urandom(8).hex()}"
    if beside is None:
        import tempfile

        folder = Path(tempfile.gettempdir()) / name
    else:
        folder = beside / f".{name}"
    _left_over.add(folder)
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    _left_over.discard(folder)


def remove_left_over() -> None:
    """Remove what an end at the wrong moment has left. For the end of the program: nothing of it is in use any more."""
    for folder in list(_left_over):
        _remove(folder)


@contextmanager
def whole_files(targets: Sequence[Path], within: Path | None = None) -> Iterator[list[Path]]:
    """Files to write in the places of `targets`, in their order; at the end of the `with` they are put on the disk and
    all of them appear, or none.

    Until then they stand in a hidden folder beside their targets. Where anything is raised, an interrupt too, they are
    removed, and what stood at the targets stands there still. What stands there is replaced, not written into: another
    name of the same file (a hard link) keeps the old content.

    Raises CaseRefused, with the place and the reason, before the block begins: two outputs in one place, one that links
    lead out of the folder `within`, and what `check_place` refuses. After it: what the disk or the permissions do not
    allow. An OSError that the block raises is refused as well.
    """
    places = [_place(target) for target in targets]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise refused(targets[number], "another output is written to the same file", "give each a file of its own")
    unfinished: list[Path] = []
    folders: dict[Path, Path] = {}
    for target, place in zip(targets, places, strict=True):
        if within is not None and not place.is_relative_to(real_path(within)):
            raise refused(target, "a link leads out of the folder of the outputs", "name a file inside that folder")
        check_place(target)
    try:
        with ExitStack() as stack:
            for place in places:
                if place.parent not in folders:
                    folders[place.parent] = stack.enter_context(temporary_folder(place.parent))
                unfinished.append(folders[place.parent] / str(len(unfinished)))
            yield list(unfinished)
            for file in unfinished:
                _to_disk(file)
            _exchange(unfinished, places)
            for folder in folders:
                _to_disk(folder)
    except (OSError, UnicodeError) as problem:
        file = Path(str(getattr(problem, "filename", None)))
        raise _not_written(targets[unfinished.index(file) if file in unfinished else 0], problem) from None


def write_text(target: Path, text: str) -> None:
    """Write a text as one of `whole_files`."""
    with whole_files([target]) as [unfinished]:
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")


def check_place(target: Path) -> None:
    """Refuse a place that no output can have: a link, a folder, a pipe, a device, or one in a folder that is not there
    or is closed to writing."""
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        mode = None
    except (OSError, ValueError) as problem:
        raise _not_written(target, problem) from None
    if mode is not None and stat.S_ISLNK(mode):
        raise refused(target, "this is a link", "remove it, or name the file that it leads to")
    if mode is not None and stat.S_ISDIR(mode):
        raise refused(target, "this is a folder", "name a file in it")
    if mode is not None and not stat.S_ISREG(mode):
        raise refused(target, "not a regular file", "give a file, not a pipe or a device")
    if not target.parent.is_dir():
        hint = "make the folder first, or check the path"
        raise refused(target, f"there is no folder {quoted(target.parent, 200)}", hint)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise refused(target, f"the folder {quoted(target.parent, 200)} is closed to writing", "check its permissions")


def refuse_input(target: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output in the place of an input, by whatever name."""
    for given in inputs:
        if _place(target) == _place(given) or (target.exists() and given.exists() and target.samefile(given)):
            raise refused(target, "this is the input", "write the result to another file")


def refused(target: Path, reason: str, hint: str) -> CaseRefused:
    """The refusal of an output."""
    return CaseRefused([Diagnostic(Kind.UNREADABLE, Span(str(target), 1), f"cannot be written: {reason}", hint)])


def _not_written(target: Path, problem: Exception) -> Refused:
    hint = "check the folder, its permissions and the space left"
    if isinstance(problem, UnicodeError):
        return refused(target, "the name of its folder is not UTF-8 text", "give a folder with another name")
    return refused(target, getattr(problem, "strerror", None) or str(problem), hint)


def _place(target: Path) -> Path:
    """Where a target is, whatever links its folder is reached by."""
    return real_path(target.parent) / target.name


def _exchange(unfinished: Sequence[Path], places: Sequence[Path]) -> None:
    """Put files in their places. Where one cannot be, those before it are as they were."""
    begun: list[tuple[Path, Path, Path]] = []
    try:
        for new, place in zip(unfinished, places, strict=True):
            before = new.with_name(f"{new.name}.before")
            begun.append((new, place, before))
            if len(places) > 1:
                _keep(place, before)
            os.replace(new, place)
    except BaseException:
        for new, place, before in reversed(begun):
            if os.path.lexists(before):
                os.replace(before, place)
            elif not new.exists() and len(places) > 1:
                place.unlink(missing_ok=True)
        raise


def _keep(place: Path, before: Path) -> None:
    """Keep what stands in a place under another name, if anything does."""
    try:
        os.link(place, before, follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError as problem:
        if problem.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        os.rename(place, before)  # a file system without hard links


def _to_disk(path: Path) -> None:
    """Wait until a file or a folder is on the disk, not only on its way there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
