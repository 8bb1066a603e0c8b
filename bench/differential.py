"""Differential testing for as long as asked: random programs and cases, put to every engine and to the laws.

    python -m bench.differential --seconds 600 --seed 1

pyDatalog, DuckDB (its rows and its decisions), clingo on small domains, random worlds and the audit of proofs are
compared with the bottom-up engine. Whatever disagrees is made as small as it goes and printed as a regression test,
ready for a folder of `tests/regressions/`. Program number N of a seed is always the same one.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import queue
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.differential.comparing import ASKED, Disagreement, Subject  # noqa: E402
from tests.differential.minimise import Example, minimised  # noqa: E402
from tests.strategies.programs import random_case, random_program  # noqa: E402

CASES = 10
"""Cases of each program."""

MOST_MINIMISED = 10
"""Disagreements that one run makes small: each takes seconds."""

_PATIENCE = 120
"""Seconds beyond the end after which a program counts as one that does not end."""


@dataclass
class Found:
    """A program that somebody disagreed about, made small."""

    number: int
    disagreement: str
    example: Example


@dataclass
class Outcome:
    programs: int = 0
    cases: int = 0
    without_model: int = 0
    disagreements: Counter[str] = field(default_factory=Counter)
    found: list[Found] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.programs += other.programs
        self.cases += other.cases
        self.without_model += other.without_model
        self.disagreements += other.disagreements
        self.found += other.found


def trial(seed: int, number: int, cases: int = CASES) -> tuple[Example, bool]:
    """A program with its cases, and whether it may use texts, division and aggregates over known relations."""
    source = random.Random(f"differential {seed} {number}")
    is_exotic = source.random() < 0.3
    program = random_program(source, is_exotic)
    documents = [random_case(source, program, f"A-{one}", sure=source.random() < 0.2) for one in range(cases)]
    return Example(program.items, tuple(documents)), is_exotic


def run_trial(seed: int, number: int, cases: int = CASES, minimise: bool = True) -> Outcome:
    example, is_exotic = trial(seed, number, cases)
    subject = Subject(example.text, example.documents, is_exotic)
    said = subject.disagreements(number)
    outcome = Outcome(1, cases, subject.models.count(None), Counter(one.who for one in said))
    for who in dict.fromkeys(one.who for one in said) if minimise else ():
        first = next(one for one in said if one.who == who)
        outcome.found.append(Found(number, *smallest(example, first, is_exotic, number)))
    return outcome


def smallest(example: Example, first: Disagreement, is_exotic: bool, number: int) -> tuple[str, Example]:
    """The smallest example about which the same one disagrees, and in what."""
    only = frozenset([first.who])
    last = [str(first)]

    def holds(smaller: Example) -> bool:
        try:
            found = Subject(smaller.text, smaller.documents, is_exotic).disagreements(number, only)
        except Exception:  # the program is refused, or its case: it shows nothing
            return False
        if found:
            last[0] = str(found[0])
        return bool(found)

    small = minimised(example, holds)
    return last[0], small


def shown(found: Found) -> Iterator[str]:
    """A regression test: a program, and the lines of its cases."""
    yield f"--- program {found.number}: {found.disagreement}"
    yield "program.dl:"
    yield found.example.text
    yield "cases.ndjson:"
    yield from map(json.dumps, found.example.documents)


def _work(seed: int, first: int, step: int, end: float, last: int, results: Any, doing: Any) -> None:
    number, minimised_so_far = first, 0
    while time.monotonic() < end and number < last:
        doing.value = number
        outcome = run_trial(seed, number, minimise=minimised_so_far < MOST_MINIMISED)
        minimised_so_far += len(outcome.found)
        results.put(outcome)
        number += step
    results.put(None)


def run(seconds: float, seed: int, workers: int | None = None, programs: int = sys.maxsize) -> Outcome:
    """Try programs until the time is over, or as many as asked."""
    workers = workers or os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    end = time.monotonic() + seconds
    doing = [context.Value("q", -1) for _ in range(workers)]
    running = [
        context.Process(target=_work, args=(seed, first, workers, end, programs, results, doing[first]), daemon=True)
        for first in range(workers)
    ]
    for process in running:
        process.start()
    whole, left = Outcome(), workers
    while left:
        try:
            outcome = results.get(timeout=1)
        except queue.Empty:
            late = time.monotonic() > end + _PATIENCE
            stuck = [i for i, one in enumerate(running) if (one.is_alive() and late) or one.exitcode not in (None, 0)]
            for i in stuck:
                running[i].terminate()
                example, _ = trial(seed, doing[i].value)
                whole.found.append(Found(doing[i].value, "the process did not end, or broke off", example))
                whole.disagreements["ends"] += 1
            if stuck:
                break
            continue
        if outcome is None:
            left -= 1
        else:
            whole.add(outcome)
            _progress(whole)
    for process in running:
        process.join(5)
    return whole


def _progress(outcome: Outcome) -> None:
    if sys.stderr.isatty():
        print(f"\r{outcome.programs} programs, {outcome.cases} cases, {outcome.disagreements.total()} disagreements",
              end="", file=sys.stderr)


def figure(outcome: Outcome) -> str:
    """One line: programs and cases tried, and how many violate a law."""
    return (f"laws on generated programs    {outcome.programs:,} programs, {outcome.cases:,} cases, "
            f"{outcome.disagreements.total()} violations")


def laws(seconds: float, seed: int = 1) -> None:
    """Print the figure of a run of so many seconds."""
    print(figure(run(seconds, seed)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare all engines on random programs and cases.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--programs", type=int, default=sys.maxsize, help="stop after as many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=None)
    chosen = parser.parse_args()
    outcome = run(chosen.seconds, chosen.seed, chosen.workers, chosen.programs)
    for found in outcome.found:
        print("\n".join(shown(found)))
    print(figure(outcome))
    print(f"  compared with the bottom-up engine: {', '.join(ASKED)}")
    print(f"  cases for which a value does not exist, which all have to say: {outcome.without_model:,}")
    for who, number in outcome.disagreements.items():
        print(f"  {who}: {number} disagreements")
    sys.exit(1 if outcome.disagreements else 0)


if __name__ == "__main__":
    main()
