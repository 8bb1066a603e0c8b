"""How far long work has come, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click

T = TypeVar("T")

_WIDTH = 50
_QUIET, _BETWEEN = 1.0, 0.2
"""Seconds before anything is said of work that goes case by case, and between one time and the next."""


@contextmanager
def bar() -> Iterator[Callable[[str, int, int], None] | None]:
    """What to tell of progress (what is done, how much, of how much), or None where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    was_shown = False

    def show(what: str, done: int, whole: int) -> None:
        nonlocal was_shown
        was_shown = True
        share = done / whole if whole else 1.0
        filled = int(30 * share)
        _say(f"{what:10} [{'#' * filled}{' ' * (30 - filled)}] {share:4.0%}")

    try:
        yield show
    finally:
        if was_shown:
            _say("")


def counted(items: Iterable[T], what: str, *, is_silent: bool = False) -> Iterator[T]:
    """The items, and on a terminal how many there were so far; unless results printed there show it, which they do not
    where the work `is_silent` until it ends."""
    if not sys.stderr.isatty() or (sys.stdout.isatty() and not is_silent):
        yield from items
        return
    said = time.monotonic() + _QUIET - _BETWEEN
    for number, item in enumerate(items):
        if time.monotonic() - said >= _BETWEEN:
            _say(f"{what} {number:,}")
            said = time.monotonic()
        yield item
    _say("")


def _say(text: str) -> None:
    """Write over what was said before; what comes next is written over this."""
    click.echo(f"\r{text:{_WIDTH}}\r", nl=False, err=True)


def read_rules(entries: Sequence[Path]) -> Iterator[Path]:
    """For `Policies`: the rule files that are read before a policy can be chosen."""
    return counted(entries, "policies read", is_silent=True)
