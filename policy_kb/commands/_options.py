"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from policy_kb.batch.shape import Complete

_FORMATS, _ENGINES = ("yaml", "json", "ndjson"), ("compiled", "pydatalog")


class _Named(click.Path):
    """A path; an empty one, as of a variable that is not set, is wrong usage and not the working folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            self.fail("the name is empty", param, ctx)
        return super().convert(value, param, ctx)


NAMED, PATH = _Named(), _Named(path_type=Path)
FOLDER = _Named(exists=True, file_okay=False, path_type=Path)


def words(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Words of a command line, in the normal form of all text that is read: for `callback`."""
    from policy_kb.text import UnseenCharacterError, normal

    try:
        return normal(value) if isinstance(value, str) else value and tuple(map(normal, value))
    except UnseenCharacterError as problem:
        raise click.BadParameter(f"it {problem}; {problem.hint}") from None


def _readings_of(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> Mapping[str, str]:
    """`NAME=CHOICE` options as a mapping; anything else is wrong usage."""
    chosen: dict[str, str] = {}
    for option in words(context, parameter, value):
        name, equals, choice = (part.strip() for part in option.partition("="))
        if not equals or not name or not choice:
            raise click.BadParameter(f"`{option}` is not NAME=CHOICE")
        if chosen.get(name, choice) != choice:
            raise click.BadParameter(f"`{name}` is given two choices")
        chosen[name] = choice
    return chosen


cases = click.argument("cases", metavar="CASE...", nargs=-1, required=True, type=PATH)
case = click.argument("case", metavar="CASE", type=PATH)
form = click.option(
    "--format", "form", type=click.Choice(_FORMATS),
    help="How a CASE is written that has no ending, such as `-`, the standard input (default: yaml).",
)
policy = click.option(
    "--policy", metavar="POLICY", help="The number or the rule file of the policy that decides; default: the one that "
    "covers what is asked for, in its edition of that day.",
)
bases = click.option(
    "--kb", "bases", metavar="FOLDER", multiple=True, type=FOLDER,
    help="A knowledge base to look in, beside those of POLICY_KB_PATH and the one that comes with this program; may be "
    "repeated.",
)
engine = click.option(
    "--engine", type=click.Choice(_ENGINES),
    help="What evaluates the rules; the answers are the same. Default: pydatalog for one case, compiled for several.",
)
readings = click.option(
    "--reading", multiple=True, metavar="NAME=CHOICE", callback=_readings_of,
    help="Read the guideline so in this run; may be repeated.",
)
sensitivity = click.option(
    "--sensitivity", "with_sensitivity", is_flag=True,
    help="Also name each reading whose alternative would change the decision.",
)
complete = click.option(
    "--record", type=click.Choice(["complete"]),
    help="What the tables or lines do not mention does not exist, instead of being unknown.",
)
all_stated = click.option(
    "--stated", type=click.Choice(["all"]),
    help="Every table holds all rows there are, also of the cases that have no row in it.",
)
as_json = click.option("--json", "with_json", is_flag=True, help="Print the result as JSON, and refusals too.")

_COLOURS = {"met": "green", "not met": "red", "needs information": "yellow", "not applicable": "cyan"}


def complete_of(record: str | None, stated: str | None, source: str | Path) -> Complete:
    """What the options `complete` and `all_stated` say of a batch's input."""
    from policy_kb.batch.shape import Complete, is_lines

    if stated is not None and is_lines(Path(source)):
        raise click.BadParameter("this is for tables; a line states what it mentions", param_hint="--stated")
    return Complete(record is not None, stated is not None)


def styled() -> Callable[[str, str], str]:
    """Colours a text by the answer it gives: on a terminal only, and not where the variable NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return lambda text, answer: text
    return lambda text, answer: click.style(text, fg=_COLOURS[answer]) if answer in _COLOURS else text


def width() -> int:
    """The columns to fill: the terminal's, or those of the variable COLUMNS; at least 40 and at most 120."""
    import shutil

    return min(120, max(40, shutil.get_terminal_size().columns))


def print_json(value: Any, indent: int | None = 2, *, err: bool = False) -> None:
    """A result as JSON."""
    from policy_kb.report.as_json import written

    click.echo(written(value, indent), err=err)
