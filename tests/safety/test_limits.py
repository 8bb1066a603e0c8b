"""The limits that SECURITY.md states are those of the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policy_kb import diagnostics, expressions, source, text
from policy_kb.check import cases as check_cases
from policy_kb.evaluate import bottom_up
from policy_kb.explain import proof, why
from policy_kb.load import cases, documents, nodes, problems, values
from policy_kb.parse import grammar, includes

TEXT = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")

MIB = 2**20
LIMITS = {
    "size of a table of `run` or of a policy": f"{source.LONGEST_FILE // MIB} MiB",
    "size of a case file, or of one line of NDJSON": f"{documents.LONGEST_LINE // MIB} MiB",
    "size of a rule file with all that it includes": f"{source.LONGEST_RULES // MIB} MiB",
    "mistakes found in one rule file before the rest is left unread": f"{diagnostics.MOST_MISTAKES:,}",
    "nesting of a case": f"{nodes.DEEPEST_NESTING} levels",
    "characters of one value of a case": f"{values.LONGEST_VALUE:,}",
    "rows of one relation in one case": f"{cases.MOST_ROWS:,}",
    "whole numbers": f"{(values.GREATEST_NUMBER - values.LEAST_NUMBER).bit_length()} bits, sign included",
    "characters of a name in rules": f"{grammar._LONGEST_NAME}",
    "literals of one body": f"{grammar._MOST_LITERALS}",
    "levels of one expression": f"{grammar._DEEPEST}",
    "brackets inside each other": f"{grammar._NESTING}",
    "`.include` inside each other": f"{includes._DEEPEST} levels",
    "atoms of one body that may be open (each set of them is a world)": f"{check_cases.MOST_OPEN_ATOMS}",
    "memory of the program that a regular expression becomes": f"{text.MOST_MEMORY // MIB} MiB",
    "repetition in a regular expression": "1,000",
    "characters of a text that rules make": f"{expressions.LONGEST_TEXT:,}",
    "characters of all texts that rules make of one case, or of what is known": f"{expressions.MOST_CHARACTERS:,}",
    "rows of one relation that rules derive": f"{bottom_up.MOST_ROWS:,}",
    "steps of one recursion": f"{bottom_up.MOST_ROUNDS:,}",
    "rows that one rule looks at, each as often as it does": f"{bottom_up.MOST_LOOKED_AT:,}",
    "rows of a list within what an explanation says of one row of another list": f"{proof.MOST_WITHIN}",
    "rows that one explanation looks at, each as often as it does": f"{why.MOST_PARTS:,}",
    "problems shown of one input": f"{problems.MOST_PROBLEMS}",
    "memory of the database of a batch, before it moves to disk": "6 GiB",
}


def test_every_limit_is_stated_as_it_is() -> None:
    section = TEXT.partition("## Limits")[2].partition("\n## ")[0]
    stated = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", section, re.MULTILINE))
    stated.pop("limit")
    assert stated == LIMITS


def test_the_database_of_a_batch_has_the_memory_that_is_stated() -> None:
    pytest.importorskip("duckdb")
    from policy_kb.batch.engine import MEMORY

    assert MEMORY == "6GiB"
