"""Where the policies are that come with this program."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind, quoted
from policy_kb.source import NOWHERE, display_name, real_path


def rules_folder() -> Path:
    """The folder with the policies: `kb/` of a checkout, or the copy inside an installed package."""
    here = Path(__file__).resolve().parent
    beside = here.parent / "kb"
    return beside if beside.is_dir() else here / "kb"


def knowledge_bases(named: Sequence[Path] = ()) -> list[Path]:
    """The folders that policies are looked for in: those named, those of `POLICY_KB_PATH`, and the one that comes with
    this program. Raises CaseRefused for one that is no folder."""
    listed = [Path(folder) for folder in os.environ.get("POLICY_KB_PATH", "").split(os.pathsep) if folder]
    missing = [folder for folder in listed if not folder.is_dir()]
    if missing:
        hint = f"folders there are separated by `{os.pathsep}`"
        raise CaseRefused([
            Diagnostic(Kind.UNREADABLE, NOWHERE, f"`POLICY_KB_PATH` names {quoted(folder)}, which is no folder", hint)
            for folder in missing
        ])
    return list(dict.fromkeys(map(real_path, (*named, *listed, rules_folder()))))


def called(base: Path, named: Sequence[Path] = ()) -> str:
    """How a knowledge base is named to a reader: as it was given, and never by where this program is installed."""
    if base == rules_folder():
        return "what comes with this program"
    listed = map(Path, filter(None, os.environ.get("POLICY_KB_PATH", "").split(os.pathsep)))
    return display_name(next((folder for folder in (*named, *listed) if real_path(folder) == base), base))


def knowledge_base(entry: Path, named: Sequence[Path] = ()) -> Path:
    """The knowledge base that a rule file belongs to: the innermost one it lies in, else its own folder."""
    folder = real_path(entry).parent
    around = [base for base in knowledge_bases(named) if folder.is_relative_to(base)]
    return max(around, key=lambda base: len(base.parts), default=folder)
