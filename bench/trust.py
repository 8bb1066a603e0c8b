"""Figures of trust, one line each: what was tried, how often, how often it went wrong, and in how many seconds.

`python -m bench.trust` prints all of them, in hours; `python -m bench.trust mutants` those whose names contain a word,
`--share 0.01` of a hundredth of the size. Exits with 1 where anything went wrong.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.audit.mutations import mutants  # noqa: E402
from tests.audit.running import Audited, decided, random_decided  # noqa: E402
from tests.strategies.cases import random_case  # noqa: E402

Figure = Callable[[float], tuple[str, int, int]]
"""Gives what was tried, how often, and how often it went wrong; of a share of the full number."""

MUTANTS = 10_000
OF_ONE_DETERMINATION = 40
AUDITS = 500
PROGRAMS = 10_000
"""Generated programs, each with ten cases."""
INPUTS = 1_000_000
LIMIT_MS = 50


def determinations() -> Iterator[Audited]:
    """Determinations without end: of alemtuzumab cases and of random programs by turns."""
    for seed in count():
        source = random.Random(f"trust {seed}")
        found = decided(random_case(source)) if seed % 2 else random_decided(seed)
        if found is not None:
            yield found


def mutants_refused(share: float) -> tuple[str, int, int]:
    tried = accepted = 0
    kinds: set[str] = set()
    for number, one in enumerate(determinations()):
        one.check()
        for kind, mutant in mutants(one.said, random.Random(number), OF_ONE_DETERMINATION):
            tried += 1
            kinds.add(kind)
            if not one.refuses(mutant):
                accepted += 1
                print(f"  accepted: {kind}, determination {number}")
        if tried >= MUTANTS * share:
            break
    return f"mutants refused, of {len(kinds)} kinds", tried, accepted


def audit_warm_ms(share: float) -> tuple[str, int, int]:
    """Audits of generated alemtuzumab determinations, rules and case being read before."""
    times = []
    for seed in range(max(20, round(AUDITS * share))):
        one = decided(random_case(random.Random(f"audit {seed}")))
        start = time.perf_counter()
        one.check()
        times.append(1000 * (time.perf_counter() - start))
    median, most = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    what = f"audit warm: {median:.0f} ms in the median, 95 % under {most:.0f} ms (at most {LIMIT_MS} in the median)"
    return what, len(times), int(median > LIMIT_MS)


def laws_hold(share: float) -> tuple[str, int, int]:
    from bench.differential import run

    found = run(float("inf"), 1, programs=round(PROGRAMS * share))
    what = f"laws and agreement of engines on {found.programs:,} generated programs, cases"
    return what, found.cases, sum(found.disagreements.values())


def inputs_survived(share: float) -> tuple[str, int, int]:
    from bench.fuzz import run

    found = run(round(INPUTS * share), 1)
    return "inputs that a stranger can supply", sum(found.tried.values()), sum(found.complaints.values())


FIGURES: list[Figure] = [audit_warm_ms, mutants_refused, laws_hold, inputs_survived]


def main() -> int:
    parser = argparse.ArgumentParser(description="Print the figures of trust.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only figures whose name contains a word")
    parser.add_argument("--share", type=float, default=1.0, help="of the full size, such as 0.01")
    chosen = parser.parse_args()
    wrong = 0
    for figure in FIGURES:
        if not chosen.words or any(word in figure.__name__ for word in chosen.words):
            start = time.perf_counter()
            what, number, violations = figure(chosen.share)
            print(f"{what}: {number:,}, violations {violations}, {time.perf_counter() - start:.0f} s", flush=True)
            wrong += violations
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
