"""What is wrong with one input of a reader: collected until all of it is read, then refused at once."""

from __future__ import annotations

from collections.abc import Callable

from policy_kb.diagnostics import CaseRefused, Diagnostic, Hint, Kind, worked_out
from policy_kb.source import Span

MOST_PROBLEMS = 100
"""Problems printed for one case or one table; of the others only the number is said."""


class Problems:
    """The problems of one input. `line_text` gives the text of a line for the excerpt, or None where there is none;
    `are_warnings`: they are told, and nothing is refused; `with_hints`: somebody sees their hints."""

    def __init__(
        self, line_text: Callable[[int], str | None], *, are_warnings: bool = False, with_hints: bool = True
    ):
        self._line_text = line_text
        self._are_warnings = are_warnings
        self._with_hints = with_hints
        self._found: list[Diagnostic] = []
        self._left_out = 0

    def add(self, kind: Kind, span: Span, message: str, hint: Hint = None, path: str | None = None) -> None:
        if len(self._found) >= MOST_PROBLEMS:
            self._left_out += 1
            return
        said = worked_out(hint) if self._with_hints else None
        excerpt = self._line_text(span.line)
        self._found.append(Diagnostic(kind, span, message, said, path, excerpt, self._are_warnings))

    def include(self, found: tuple[Diagnostic, ...]) -> None:
        """Take over what an earlier step found."""
        self._found.extend(found)

    @property
    def found(self) -> tuple[Diagnostic, ...]:
        """All problems so far; the last one says how many were left out, if any."""
        if not self._left_out:
            return tuple(self._found)
        last = max(self._found, key=lambda problem: (problem.span.line, problem.span.column))
        more = f"{self._left_out} more problem{'s' if self._left_out > 1 else ''} not shown"
        return (*self._found, Diagnostic(
            last.kind, last.span, more, "mend these first", is_warning=self._are_warnings
        ))

    def refuse(self) -> None:
        """Raise CaseRefused with everything found; nothing found, nothing happens."""
        if self._found:
            raise CaseRefused(self.found)
