"""The command line. Each command has a file of its own here, found by its name and imported when it is asked for."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from policy_kb import __version__
from policy_kb.commands._signals import Ending
from policy_kb.diagnostics import Diagnostic, Kind, Refused, RulesRefused
from policy_kb.outputs import remove_left_over
from policy_kb.source import NOWHERE

INPUT_REFUSED, WRONG_USAGE, RULES_REFUSED = 1, 2, 3
DEEPEST_CALLS = 8000
PIPE_CLOSED = 141
"""As a shell counts a program that a closed pipe ends."""

EXIT_CODES = {"met": 0, "not met": 4, "needs information": 5, "not applicable": 6}

TOO_DEEP = Diagnostic(Kind.TOO_MANY_ROWS, NOWHERE, "the rules rest on each other too deeply to be explained",
                      "let fewer relations stand one upon the other: about 900 can")

_JSON = "policy_kb.commands.json"
"""Whether the command line asks for JSON: known before it is understood, so that what is wrong with it is said so."""


class _Commands(click.Group):
    """The commands are the modules of this package; none is imported before it is called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return self.commands_there_are()

    def commands_there_are(self) -> list[str]:
        return sorted(
            file.stem for file in Path(__file__).parent.glob("*.py") if not file.stem.startswith("_")
        )

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        from importlib import import_module

        command: click.Command = import_module(f"policy_kb.commands.{name}").command
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        try:
            return super().resolve_command(context, args)
        except click.UsageError as problem:
            from policy_kb.diagnostics import did_you_mean

            raise click.UsageError(
                f"there is no command `{name}`; {did_you_mean(name, self.list_commands(context)) or 'see --help'}"
            ) from problem

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        with_json = asks_for_json(args)
        try:
            context = super().make_context(info_name, args, *rest, **extra)
        except click.ClickException as wrong:
            raise click.exceptions.Exit(show_usage(wrong, with_json)) from None
        context.meta[_JSON] = with_json
        return context

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except Refused as refused:
            show_diagnostics(refused.diagnostics, context.meta[_JSON])
            context.exit(RULES_REFUSED if isinstance(refused, RulesRefused) else INPUT_REFUSED)
        except click.ClickException as wrong:
            context.exit(show_usage(wrong, context.meta[_JSON]))
        except RecursionError:
            show_diagnostics([TOO_DEEP], context.meta[_JSON])
            context.exit(RULES_REFUSED)
        except BrokenPipeError:  # what is left to say has no reader
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(PIPE_CLOSED)


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for JSON, be it understood or not."""
    return "--json" in arguments[: arguments.index("--") if "--" in arguments else None]


def show_diagnostics(diagnostics: Sequence[Diagnostic], with_json: bool, most: int = 100) -> None:
    """Every problem, on standard error; after a hundred, how many more there are. As JSON a list of all, on one line:
    of several cases each that is refused has its own."""
    if with_json:
        from policy_kb.commands._options import print_json

        print_json([diagnostic.to_dict() for diagnostic in diagnostics], indent=None, err=True)
        return
    for diagnostic in diagnostics[:most]:
        click.echo(str(diagnostic), err=True)
    if len(diagnostics) > most:
        click.echo(f"... and {len(diagnostics) - most} more problems", err=True)


def show_usage(wrong: click.ClickException, with_json: bool) -> int:
    """What is wrong with a command line, and how it is used; gives the exit code."""
    if with_json:
        context = getattr(wrong, "ctx", None)
        hint = printable(context.get_usage()) if context is not None else None
        show_diagnostics([Diagnostic(Kind.USAGE, NOWHERE, printable(wrong.format_message()), hint)], with_json)
    else:
        said = io.StringIO()
        wrong.show(said)
        click.echo(printable(said.getvalue()), err=True, nl=False)
    return wrong.exit_code


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="policy-kb", message="%(prog)s %(version)s")
def program() -> None:
    """Decide, explain and prove whether a case meets a coverage policy.

    The answers say whether the criteria of a guideline are met. They are not medical advice, no coverage decision and
    no promise of payment.

    \b
    Exit codes: 0 met or done, 1 the input was refused, 2 wrong usage,
    3 the rules were refused, 4 not met, 5 needs information, 6 not applicable.

    \b
    Example:
      policy-kb explain kb/alemtuzumab/scenarios/two-relapses-and-an-enhancing-lesion.yaml
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a reader who closes the pipe early is no error."""
    # Start-up makes many objects that stay: looking through them for garbage is a tenth of a short command's time.
    gc.set_threshold(100_000)
    # An explanation goes as deep as relations rest on each other, some ten calls for each.
    sys.setrecursionlimit(DEEPEST_CALLS)
    if sys.stdout is None or sys.stderr is None:
        sys.exit(INPUT_REFUSED)  # there is nowhere to answer
    ending, asked = Ending(), arguments or sys.argv[1:]
    try:
        code = program.main(arguments, prog_name="policy-kb", standalone_mode=False)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        code = _ended(ending, asked)
    except OSError as problem:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _say(Kind.UNREADABLE, f"cannot write or read: {problem.strerror or problem}", asked)
        code = INPUT_REFUSED
    except Exception:
        if ending.signal is None:
            raise
        code = _ended(ending, asked)  # a library may make something else of an interrupt
    finally:
        remove_left_over()
    sys.exit(code)


def _ended(ending: Ending, asked: Sequence[str]) -> int:
    with suppress(OSError):  # the terminal may be gone
        _say(Kind.ENDED, str(ending), asked)
    return ending.code


def _say(kind: Kind, message: str, asked: Sequence[str]) -> None:
    show_diagnostics([Diagnostic(kind, NOWHERE, message)], asks_for_json(asked))


def printable(text: str) -> str:
    """What a message repeats of a command line, such as a file's name, in signs that no terminal obeys."""
    from policy_kb.diagnostics import LONGEST_NAME, escaped

    return "\n".join(escaped(line, LONGEST_NAME) for line in text.split("\n"))
