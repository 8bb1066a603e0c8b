"""Fuzzing for as long as asked: inputs of every kind that a stranger can supply, made by their grammar or of bytes.

    python -m bench.fuzz --inputs 1000000 --seed 1

Prints how many inputs of each kind were tried, and each crash, hang, half result or unbounded growth with what brought
it about. Input number N of a kind and a seed is always the same one: `--only KIND --first N --inputs 1` tries it again.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import multiprocessing
import os
import queue
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.fuzzing.behaving import limits_reached_soon, policies_loaded_once  # noqa: E402
from tests.fuzzing.inputs import KINDS  # noqa: E402
from tests.strategies.cases import RandomDraw  # noqa: E402

MOST_REPORTED = 5
"""Complaints of one kind that one process reports in full."""

_BLOCK = 200
_HARD_LIMIT = 900
"""Seconds for one block, after which a process that is stuck in C ends itself."""


@dataclass
class Outcome:
    tried: Counter[str] = field(default_factory=Counter)
    complaints: Counter[str] = field(default_factory=Counter)
    reports: list[str] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)

    def add(self, other: Outcome) -> None:
        self.tried += other.tried
        self.complaints += other.complaints
        self.reports += other.reports
        self.seconds.update(other.seconds)


def attempt(seed: int, kind: str, number: int) -> Any:
    """Input number `number` of a kind."""
    make, _ = KINDS[kind]
    return make(RandomDraw(random.Random(f"fuzz {seed} {kind} {number}")))


def try_block(seed: int, kind: str, first: int, last: int, most_reported: int) -> Outcome:
    outcome = Outcome()
    start = time.perf_counter()
    faulthandler.dump_traceback_later(_HARD_LIMIT, exit=True)
    for number in range(first, last):
        made = attempt(seed, kind, number)
        said = made.complaint()
        outcome.tried[kind] += 1
        if said is not None:
            outcome.complaints[kind] += 1
            if len(outcome.reports) < most_reported:
                shown = made.text or {name: content[:1000] for name, content in made.files.items()}
                outcome.reports.append(
                    f"--- {kind}, input {number}: {' '.join(map(repr, made.arguments))}\n{said}\n{shown!r:.3000}"
                )
    faulthandler.cancel_dump_traceback_later()
    outcome.seconds[kind] = round(1000 * (time.perf_counter() - start))
    return outcome


def _work(seed: int, blocks: Any, results: Any, doing: Any) -> None:
    with policies_loaded_once(), limits_reached_soon(), contextlib.suppress(KeyboardInterrupt):
        reported: Counter[str] = Counter()
        while True:
            kind, first, last = blocks.get()
            if kind is None:
                break
            doing.put((os.getpid(), kind, first, last))
            outcome = try_block(seed, kind, first, last, MOST_REPORTED - reported[kind])
            reported[kind] += len(outcome.reports)
            results.put(outcome)
    results.put(None)


def blocks_of(inputs: int, only: str | None, first: int) -> list[tuple[str, int, int]]:
    """The inputs by kind, in blocks, the kinds mixed."""
    weights = {kind: weight for kind, (_, weight) in KINDS.items() if only in (None, kind)}
    whole = sum(weights.values())
    blocks = []
    for kind, weight in weights.items():
        number = max(1, int(inputs * weight / whole))
        size = max(1, min(_BLOCK, number // 4)) if weight > 10 else max(1, min(10, number))
        blocks += [(kind, first + at, first + min(number, at + size)) for at in range(0, number, size)]
    random.Random(0).shuffle(blocks)
    return blocks


def run(inputs: int, seed: int, workers: int | None = None, only: str | None = None, first: int = 0,
        seconds: float = float("inf")) -> Outcome:
    """Try so many inputs, or as many as there is time for."""
    workers = workers or os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    blocks: Any = context.Queue(workers * 2)
    results: Any = context.Queue()
    doing: Any = context.Queue()
    waiting: list[tuple[Any, int, int]] = list(blocks_of(inputs, only, first))
    waiting += [(None, 0, 0)] * workers
    running = [context.Process(target=_work, args=(seed, blocks, results, doing), daemon=True) for _ in range(workers)]
    for process in running:
        process.start()
    whole, left, end = Outcome(), workers, time.monotonic() + seconds
    busy: dict[int, tuple[str, int, int]] = {}
    while left:
        with contextlib.suppress(queue.Full):
            while waiting:
                if time.monotonic() > end:
                    waiting = [(None, 0, 0)] * workers
                    end = float("inf")
                blocks.put_nowait(waiting[0])
                waiting.pop(0)
        with contextlib.suppress(queue.Empty):
            while True:
                process_id, *block = doing.get_nowait()
                busy[process_id] = block[0], block[1], block[2]
        try:
            outcome = results.get(timeout=0.5)
        except queue.Empty:
            for place, process in enumerate(running):
                if process.exitcode not in (None, 0):  # it broke off: another one goes on behind its block
                    kind, start, last = busy.get(process.pid or 0, ("unknown", 0, 0))
                    whole.complaints[kind] += 1
                    whole.reports.append(f"--- {kind}: the process ended with {process.exitcode} in {start} to {last}")
                    running[place] = context.Process(target=_work, args=(seed, blocks, results, doing), daemon=True)
                    running[place].start()
            continue
        if outcome is None:
            left -= 1
        else:
            whole.add(outcome)
    return whole


def figure(outcome: Outcome) -> str:
    """One line: how many inputs were tried, and how many did what no input may do."""
    return (f"fuzzed inputs                 {outcome.tried.total():,} of {len(outcome.tried)} kinds, "
            f"{outcome.complaints.total()} crashes, hangs or half results")


def fuzzed(inputs: int, seed: int = 1, seconds: float = float("inf")) -> None:
    """Print the figure of a run of so many inputs, or of so many seconds."""
    print(figure(run(inputs, seed, seconds=seconds)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Try inputs of every kind.")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--only", choices=list(KINDS), help="one kind of input")
    parser.add_argument("--first", type=int, default=0, help="the number of the first input of each kind")
    chosen = parser.parse_args()
    outcome = run(chosen.inputs, chosen.seed, chosen.workers, chosen.only, chosen.first, chosen.seconds)
    for report in outcome.reports:
        print(report)
    print(figure(outcome))
    for kind, number in sorted(outcome.tried.items()):
        print(f"  {kind:20} {number:>9,}  {outcome.complaints[kind]} wrong  "
              f"{outcome.seconds[kind] / max(1, number):.2f} ms each")
    sys.exit(1 if outcome.complaints else 0)


if __name__ == "__main__":
    main()
