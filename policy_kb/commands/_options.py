"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from policy_kb.batch.shape import Complete

cases = click.argument("cases", metavar="CASE...", nargs=-1, required=True, type=click.Path(path_type=Path))
case = click.argument("case", metavar="CASE", type=click.Path(path_type=Path))
policy = click.option(
    "--policy", metavar="FILE.dl", help="The policy's rule file or number, instead of the one that covers the drug."
)
readings = click.option(
    "--reading", multiple=True, metavar="NAME=CHOICE", help="Read the guideline so in this run; may be repeated."
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
as_json = click.option("--json", "with_json", is_flag=True, help="Print the result as JSON.")

_COLOURS = {"met": "green", "not met": "red", "needs information": "yellow", "not applicable": "cyan"}


def complete_of(record: str | None, stated: str | None, source: str | Path) -> Complete:
    """What the options `complete` and `all_stated` say of a batch's input."""
    from policy_kb.batch.shape import Complete, is_lines

    if stated is not None and is_lines(Path(source)):
        raise click.BadParameter("this is for tables; a line states what it mentions", param_hint="--stated")
    return Complete(record is not None, stated is not None)


def readings_of(options: tuple[str, ...]) -> dict[str, str]:
    """`NAME=CHOICE` options as a mapping; anything else is wrong usage."""
    chosen: dict[str, str] = {}
    for option in options:
        name, equals, choice = option.partition("=")
        if not equals or not name or not choice:
            raise click.BadParameter(f"`{option}` is not NAME=CHOICE", param_hint="--reading")
        if chosen.get(name, choice) != choice:
            raise click.BadParameter(f"`{name}` is given two choices", param_hint="--reading")
        chosen[name] = choice
    return chosen


def styled() -> Callable[[str, str], str]:
    """Colours a text by the answer it gives: on a terminal only, and not where the variable NO_COLOR is set."""
    import os

    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return lambda text, answer: text
    return lambda text, answer: click.style(text, fg=_COLOURS[answer]) if answer in _COLOURS else text


def width() -> int:
    """The columns to fill: the terminal's, or those of the variable COLUMNS; at least 40 and at most 120."""
    import shutil

    return min(120, max(40, shutil.get_terminal_size().columns))


def print_json(value: Any, indent: int | None = 2, *, err: bool = False) -> None:
    """A result as JSON. What a terminal would obey is escaped, also where it stands in the name of a file."""
    import json
    import re

    text = json.dumps(value, ensure_ascii=False, indent=indent)
    click.echo(re.sub("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", lambda sign: f"\\u{ord(sign[0]):04x}", text),
               err=err)
