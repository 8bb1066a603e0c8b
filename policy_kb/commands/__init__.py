"""The command line. Each command has a file of its own here, found by its name and imported when it is asked for."""

from __future__ import annotations

import gc
import io
import os
import sys
from pathlib import Path
from typing import Any

import click

from policy_kb.diagnostics import Refused, RulesRefused

INPUT_REFUSED, RULES_REFUSED = 1, 3
DEEPEST_CALLS = 8000
PIPE_CLOSED = 141
INTERRUPTED = 130
"""As a shell counts a program that a closed pipe, or a reader at the keyboard, ends."""

EXIT_CODES = {"met": 0, "not met": 4, "needs information": 5, "not applicable": 6}


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

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except Refused as refused:
            show_refusal(refused)
            context.exit(RULES_REFUSED if isinstance(refused, RulesRefused) else INPUT_REFUSED)
        except BrokenPipeError:  # what is left to say has no reader
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(PIPE_CLOSED)


def show_refusal(refused: Refused, most: int = 100) -> None:
    """Every problem, on standard error; after a hundred, how many more there are."""
    for diagnostic in refused.diagnostics[:most]:
        click.echo(str(diagnostic), err=True)
    if len(refused.diagnostics) > most:
        click.echo(f"... and {len(refused.diagnostics) - most} more problems", err=True)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="policy-kb", message="%(prog)s %(version)s")
def program() -> None:
    """Decide, explain and prove whether a case meets a coverage policy.

    The answers say whether the criteria of a guideline are met. They are not medical advice, no coverage decision and
    no promise of payment.

    Example: policy-kb explain kb/alemtuzumab/scenarios/two-relapses-and-an-enhancing-lesion.yaml
    """


def main() -> None:
    """Run the command line; a reader who closes the pipe early is no error."""
    # Start-up makes many objects that stay: looking through them for garbage is a tenth of a short command's time.
    gc.set_threshold(100_000)
    # An explanation goes as deep as relations rest on each other, some ten calls for each.
    sys.setrecursionlimit(DEEPEST_CALLS)
    if sys.stdout is None or sys.stderr is None:
        sys.exit(INPUT_REFUSED)  # there is nowhere to answer
    try:
        code = program.main(prog_name="policy-kb", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code)
    except click.ClickException as wrong:
        said = io.StringIO()
        wrong.show(said)
        click.echo(printable(said.getvalue()), err=True, nl=False)
        sys.exit(wrong.exit_code)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except RecursionError:
        click.echo("error: the rules rest on each other too deeply to be explained\n"
                   "  = help: let fewer relations stand one upon the other: about 900 can", err=True)
        sys.exit(RULES_REFUSED)
    except OSError as problem:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        click.echo(f"error: cannot write or read: {problem.strerror or problem}", err=True)
        sys.exit(INPUT_REFUSED)


def printable(text: str) -> str:
    """What a message repeats of a command line, such as a file's name, in signs that no terminal obeys."""
    from policy_kb.diagnostics import LONGEST_NAME, escaped

    return "\n".join(escaped(line, LONGEST_NAME) for line in text.split("\n"))
