"""An end by a signal, or at the wrong moment, leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from policy_kb import outputs
from policy_kb.audit import log
from policy_kb.commands import program

ROOT = Path(__file__).parents[2]
CASE = ROOT / "kb/alemtuzumab/scenarios/younger-than-eighteen.yaml"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

_COMMAND = """
import sys, time
from pathlib import Path
from policy_kb import commands, outputs
from policy_kb.commands import run
def evaluate(*arguments):
    with outputs.whole_files([Path("out.csv")]) as [file], outputs.temporary_folder() as folder:
        file.write_text("half"); (folder / "spilled").write_text("case"); print("begun", flush=True)
        while True: time.sleep(0.01)
from policy_kb.evaluate import program
program.evaluate_program = evaluate
commands.main(["run", "p.dl"])
"""


def _as_from_a_terminal() -> None:
    """These tests may run where signals are ignored, as behind `nohup`: the program would leave them so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_is_an_end_in_words_that_leaves_nothing(tmp_path: Path, name: str) -> None:
    for folder in ("work", "tmp"):
        (tmp_path / folder).mkdir()
    (tmp_path / "work/p.dl").write_text(".decl a(x: number)\na(1).\n.output a\n")
    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND], cwd=tmp_path / "work", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(ROOT)},
        preexec_fn=_as_from_a_terminal,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        assert len(list((tmp_path / "tmp").iterdir())) == 1
        process.send_signal(getattr(signal, name))
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)  # a second one does not keep it from cleaning up
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + getattr(signal, name)
    assert f"ended by {name}" in said
    assert "Traceback" not in said
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["p.dl", "tmp", "work"]


def test_what_is_left_at_the_wrong_moment_is_removed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(outputs, "_remove", interrupted)
        with pytest.raises(KeyboardInterrupt), outputs.temporary_folder(tmp_path):
            pass
    assert list(tmp_path.iterdir())
    outputs.remove_left_over()
    assert not list(tmp_path.iterdir())


# the log


def recorded(path: Path) -> tuple[int, str]:
    result = CliRunner().invoke(program, ["decide", str(CASE), "--record", str(path)])
    return result.exit_code, result.output


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_log_that_cannot_be_written_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    path, write = tmp_path / "log", log._write

    def torn(file: int, data: bytes) -> None:
        write(file, data[:100])
        raise problem

    for is_new in (True, False):
        if not is_new:
            assert recorded(path)[0] == 0
        before = path.read_bytes() if path.exists() else None
        with monkeypatch.context() as patch:
            patch.setattr(log, "_write", torn)
            assert recorded(path)[0] != 0
        assert (path.read_bytes() if path.exists() else None) == before


def test_a_log_that_was_removed_while_it_was_waited_for_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    path, lock, waits = tmp_path / "log", fcntl.flock, iter([True])

    def lock_late(file: int, how: int) -> None:
        lock(file, how)
        if next(waits, False):
            path.unlink()

    monkeypatch.setattr(fcntl, "flock", lock_late)
    assert recorded(path)[0] == 0
    assert [line.problem for line in log.check_log(path)] == [None]


def test_a_link_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    for name in ("precious", "nowhere"):
        link = tmp_path / f"{name}.log"
        link.symlink_to(name)
        code, output = recorded(link)
        assert (code, "this is a link" in output) == (1, True)
    assert (tmp_path / "precious").read_text() == ""
    assert not (tmp_path / "nowhere").exists()
