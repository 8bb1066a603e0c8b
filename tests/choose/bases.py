"""Knowledge bases for tests: small policies, each of one phase or more, written into a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

RULES = """
.include "vocabulary/dates.dl"
.type Case <: symbol

/// {{item}} is asked for, {{phase}}, ordered on {{day}}
@[ask("What is asked for, and when was it ordered?")]
.decl request(case: Case, {item}: symbol, phase: symbol, {day}: Date)
.input request

/// {{what}} is covered
.decl covers(what: symbol)
{covers}

/// the {question} is {{value}}
@[ask("What is the {question}?")]
.decl {question}(case: Case, value: number)
.input {question}

/// the {question} is at least {least}
@[criterion("{phase} 1")]
.decl high_{question}(case: Case)
high_{question}(case) :- {question}(case, value), value >= {least}.

/// all criteria
@[policy("{number}", phase = "{phase}", title = "A policy for tests", revised = "2020-01-01"{dates})]
.decl decided(case: Case)
decided(case) :- high_{question}(case).
"""


def policy(
    number: str = "T-1", *, payer: str | None = None, effective: str | None = "2020-01-01", until: str | None = None,
    covers: Iterable[str] = ("Sensor",), phase: str = "initial", item: str = "device", day: str = "ordered",
    question: str = "reading_of_glucose", least: int = 10,
) -> str:
    """The text of a policy that is met where a number is at least `least`."""
    said = {"payer": payer, "effective": effective, "until": until, "day": None if day == "received" else day}
    dates = "".join(f', {name} = "{value}"' for name, value in said.items() if value is not None)
    facts = "\n".join(f'covers("{one}").' for one in covers)
    text = RULES.format(number=number, covers=facts, phase=phase, item=item, day=day, question=question, least=least,
                        dates=dates)
    return text.replace("{item}", f"{{{item}}}").replace("{day}", f"{{{day}}}")


def case(day: str = "2025-01-01", item: str = "Sensor", value: int = 10, **said: object) -> dict[str, object]:
    request = {"device": item, "phase": "initial", "ordered": day}
    return {"case": "A-1", "request": request, "reading_of_glucose": [value], **said}


def base(folder: Path, **texts: str) -> Path:
    """A knowledge base of these rule files; `__` in a name is a slash."""
    for name, text in texts.items():
        file = folder / (name.replace("__", "/") + ".dl")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder
