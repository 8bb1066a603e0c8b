"""Outputs appear whole, all of them or none, and never through a link."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from policy_kb import outputs
from policy_kb.commands import program
from policy_kb.diagnostics import CaseRefused
from policy_kb.outputs import temporary_folder, whole_files, write_text

ROOT = Path(__file__).parents[2]
CASE = ROOT / "kb/alemtuzumab/scenarios/younger-than-eighteen.yaml"


def said(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(program, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.output


def tree(folder: Path) -> dict[str, str | None]:
    """All that stands in a folder: the text of each file, where each link leads."""
    return {
        str(one.relative_to(folder)): f"-> {one.readlink()}" if one.is_symlink() else
        one.read_text() if one.is_file() else None
        for one in folder.rglob("*")
    }


class Stop(BaseException):
    """An interrupt, of no kind that is handled."""


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=3, unique_by=lambda one: one[0]),
       st.integers(0, 7))
def test_several_outputs_appear_together_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[str, bool]], stops_at: int
) -> None:
    """Whenever it is stopped, at any of the steps that put the files in their places."""
    folder = tmp_path_factory.mktemp("out")
    for name, is_there in files:
        if is_there:
            (folder / name).write_text(f"old {name}")
    before = tree(folder)
    steps = 0

    def stopping(step: Callable[..., None]) -> Callable[..., None]:
        def stepped(*arguments: object, **options: object) -> None:
            nonlocal steps
            steps += 1
            if steps == stops_at:
                raise Stop
            step(*arguments, **options)

        return stepped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outputs.os, "link", stopping(os.link))
        patch.setattr(outputs.os, "replace", stopping(os.replace))
        try:
            with whole_files([folder / name for name, _ in files]) as unfinished:
                for (name, _), file in zip(files, unfinished, strict=True):
                    file.write_text(f"new {name}")
                    assert tree(folder).items() >= before.items()
        except Stop:
            assert tree(folder) == before
            return
    assert tree(folder) == {**{name: f"new {name}" for name, _ in files}}


@pytest.mark.parametrize("place", ["link", "dangling", "folder", "pipe", "absent/file"])
def test_what_an_output_cannot_replace_is_refused_before_anything_is_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "elsewhere").write_text("precious")
    (tmp_path / "link").symlink_to("elsewhere")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    names = sorted(one.name for one in tmp_path.iterdir())
    with pytest.raises(CaseRefused, match="cannot be written"), whole_files([tmp_path / "a", tmp_path / place]):
        pytest.fail("the block began")
    assert sorted(one.name for one in tmp_path.iterdir()) == names
    assert (tmp_path / "elsewhere").read_text() == "precious"


def test_another_name_of_the_same_file_keeps_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "out").hardlink_to(tmp_path / "precious")
    write_text(tmp_path / "out", "new")
    assert tree(tmp_path) == {"precious": "precious", "out": "new"}


def test_two_outputs_in_one_place_are_refused(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").symlink_to("here")
    with pytest.raises(CaseRefused, match="another output is written to the same file"), \
            whole_files([tmp_path / "here/a", tmp_path / "there/a"]):
        pytest.fail("the block began")


def test_a_temporary_folder_is_of_this_user_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    for beside, error in product((None, tmp_path), (None, Stop)):
        try:
            with temporary_folder(beside) as folder:
                assert folder.stat().st_mode & 0o077 == 0
                (folder / "file").write_text("x")
                if error is not None:
                    raise error
        except Stop:
            pass
        assert not folder.exists()
    assert tree(tmp_path) == {}


RULES = """.decl a(x: symbol)
a("ssh-ed25519 AAAA").
.output a(filename = "{}")
"""


@pytest.mark.parametrize("name", ["l/authorized_keys", "f", "l2/l/x", "in/../l/x", "loop/x"])
def test_run_writes_through_no_link(tmp_path: Path, name: str) -> None:
    home, stranger = tmp_path / "home", tmp_path / "stranger"
    home.mkdir()
    (home / "precious").write_text("precious")
    (stranger / "in").mkdir(parents=True)
    (stranger / "l").symlink_to("../home")
    (stranger / "l2").symlink_to(".")
    (stranger / "f").symlink_to("../home/precious")
    (stranger / "loop").symlink_to("loop")
    (stranger / "p.dl").write_text(RULES.format(name))
    before = tree(tmp_path)
    code, output = said("run", stranger / "p.dl", "-D", stranger)
    assert code in (1, 3), output
    assert "error" in output
    assert tree(tmp_path) == before


def test_run_writes_in_the_folder_that_is_given_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "real/inner").mkdir(parents=True)
    (tmp_path / "given").symlink_to("real")
    (tmp_path / "p.dl").write_text(RULES.format("inner/a.csv"))
    assert said("run", tmp_path / "p.dl", "-D", tmp_path / "given")[0] == 0
    assert (tmp_path / "real/inner/a.csv").read_text() == "ssh-ed25519 AAAA\n"


def test_no_command_writes_through_a_link(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/request.csv").write_text("case,drug,phase,received\na,Lemtrada,initiation,2025-09-02\n")
    assert said("batch", tmp_path / "in", "-o", tmp_path / "good.csv")[0] == 0
    (tmp_path / "precious").write_text("precious")
    for ending in ("csv", "html", "parquet"):
        (tmp_path / f"link.{ending}").symlink_to("precious")
    before = tree(tmp_path)
    for command in (
        ("explain", CASE, "--html", tmp_path / "link.html"),
        ("batch", tmp_path / "in", "-o", tmp_path / "link.parquet"),
        ("batch", tmp_path / "in", "-o", tmp_path / "out.csv", "--rejects", tmp_path / "link.csv"),
        ("compare", tmp_path / "good.csv", tmp_path / "good.csv", "-o", tmp_path / "link.csv"),
    ):
        code, output = said(*command)
        assert (code, "this is a link" in output) == (1, True), (command, output)
        assert tree(tmp_path) == before
