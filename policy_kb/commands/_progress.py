"""A progress bar for long work, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


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
        click.echo(f"\r{what:10} [{'#' * filled}{' ' * (30 - filled)}] {share:4.0%}", nl=False, err=True)

    try:
        yield show
    finally:
        if was_shown:
            click.echo("\r" + " " * 50 + "\r", nl=False, err=True)
