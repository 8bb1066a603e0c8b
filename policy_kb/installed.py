"""Where the policies are that come with this program."""

from __future__ import annotations

from pathlib import Path

from policy_kb.diagnostics import Diagnostic, Kind, RulesRefused
from policy_kb.source import Span, real_path


def rules_folder() -> Path:
    """The folder with the policies: `kb/` of a checkout, or the copy inside an installed package."""
    here = Path(__file__).resolve().parent
    beside = here.parent / "kb"
    return beside if beside.is_dir() else here / "kb"


def knowledge_base(entry: Path) -> Path:
    """The knowledge base that a rule file belongs to: the one that comes with this program if it lies there, else its
    own folder."""
    folder = real_path(entry).parent
    return rules_folder() if folder.is_relative_to(rules_folder()) else folder


def policy_files(folder: Path | None = None) -> list[Path]:
    """The entry file of every policy: the rule files directly in `kb/`, or in another folder.

    Raises RulesRefused for a link that leads out of the folder: whatever the file is, messages about it would show it.
    """
    folder = folder or rules_folder()
    files = sorted(folder.glob("*.dl"))
    inside = real_path(folder)
    leading_out = [file for file in files if not real_path(file).is_relative_to(inside)]
    if leading_out:
        hint = "put the file itself into the folder, or name it alone"
        raise RulesRefused([
            Diagnostic(Kind.UNREADABLE, Span(str(file), 1), "this link leads out of its folder", hint)
            for file in leading_out
        ])
    return files
