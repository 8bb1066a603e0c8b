"""Where the policies are that come with this program."""

from __future__ import annotations

from pathlib import Path


def rules_folder() -> Path:
    """The folder with the policies: `kb/` of a checkout, or the copy inside an installed package."""
    here = Path(__file__).resolve().parent
    beside = here.parent / "kb"
    return beside if beside.is_dir() else here / "kb"


def policy_files(folder: Path | None = None) -> list[Path]:
    """The entry file of every policy: the rule files directly in `kb/`, or in another folder."""
    return sorted((folder or rules_folder()).glob("*.dl"))
