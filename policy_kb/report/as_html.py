"""An explanation as one HTML page that needs nothing beside it: the tree folds, and prints as it is unfolded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from policy_kb.answers import MET, NEEDS_INFORMATION, NOT_MET
from policy_kb.report import wording
from policy_kb.report.as_text import Item, chosen, closing
from policy_kb.report.determination import Determination
from policy_kb.report.summary import SIGNS, header, sensitivity_lines

_CLASSES = {MET: "met", NOT_MET: "unmet", NEEDS_INFORMATION: "open"}

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
ul { list-style: none; padding-left: 1.4rem; border-left: 1px solid #ddd; margin: .2rem 0 }
.sign { display: inline-block; width: 1.2rem; font-weight: bold }
.number { font-weight: bold; margin-right: .5rem }
.at { color: #666; font-size: .85rem; margin-left: .5rem }
.met > .sign, .met > summary > .sign { color: #1a7f37 }
.unmet > .sign, .unmet > summary > .sign { color: #b42318 }
.open > .sign, .open > summary > .sign { color: #9a6700 }
summary { cursor: pointer }
"""


def render_page(
    determination: Determination, criterion: str | None = None, why_not: bool = False,
    changes: Iterable[tuple[str, str, str]] | None = None,
) -> str:
    """The page: the decision, the tree of the criteria or of one, what is to be settled, and what other readings
    would change. All text is escaped; the page has no scripts and loads nothing."""
    title, *rest = header(determination)
    lines = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(determination.case)}: '
        f"{escape(wording.DECISIONS[determination.decision].lower())}</title>",
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>',
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(line)}</p>" for line in rest),
        *_list(chosen(determination, criterion, why_not)),
        *_paragraphs(closing(determination) if criterion is None else ()),
        *_paragraphs(sensitivity_lines(changes) if changes is not None else ()),
        f"<p>{escape(wording.DISCLAIMER)}</p>",
        "</body></html>",
    ]
    return "\n".join(lines) + "\n"


def _list(items: Iterable[Item]) -> Iterator[str]:
    yield "<ul>"
    for item in items:
        kind = _CLASSES.get(item.answer, "")
        if item.below:
            # What is met is folded: a reader comes for what is not.
            unfolded = "" if item.answer == MET else " open"
            yield f'<li><details class="{kind}"{unfolded}><summary>{_line(item)}</summary>'
            yield from _list(item.below)
            yield "</details></li>"
        else:
            yield f'<li class="{kind}">{_line(item)}</li>'
    yield "</ul>"


def _line(item: Item) -> str:
    number = f'<span class="number">{escape(item.number)}</span>' if item.number else ""
    at = f'<span class="at">{escape(item.at)}</span>' if item.at else ""
    return f'<span class="sign">{SIGNS.get(item.answer, "")}</span>{number}{escape(item.text)}{at}'


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    return (f"<p>{escape(line.strip())}</p>" for line in lines if line)
