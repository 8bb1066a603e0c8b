"""Batches: `python -m bench.batch [CASES]` decides so many generated cases (a million) beside what it is compared with.

All figures of a run come from the same data on the same machine, taken in turns; the least of so many counts. What is
compared with each other are whole commands.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import batch_by_hand, batch_data, batch_others  # noqa: E402

RUNS = 5


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def ours(source: Path, output: Path) -> None:
    """A whole command, start-up, checks and summary included; every table holds all rows there are."""
    whole = ["--stated", "all"] if source.is_dir() else []
    run(str(ROOT / "cli.py"), "batch", str(source), "-o", str(output), *whole)


def by_hand(source: Path, output: Path, form: str) -> None:
    """A whole command too: it starts Python and DuckDB, and runs the query."""
    run("-m", "bench.batch_by_hand", str(source), str(output), form)


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, cwd=ROOT)


def line(what: str, cases: int, took: float, beside: str = "") -> None:
    print(f"{what:44} {took:8.2f} s  {cases / took:12,.0f} cases a second  {beside}", flush=True)


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases, output = folder / "cases", folder / "out.parquet"
        cases.mkdir()
        line("data made", number, seconds(lambda: batch_data.write_cases(cases, number)))
        whole: list[float] = []
        hand: dict[str, list[float]] = {form: [] for form in batch_by_hand.FORMS}
        for _ in range(RUNS):
            whole.append(seconds(lambda: ours(cases, output)))
            for form, times in hand.items():
                times.append(seconds(lambda form=form: by_hand(  # type: ignore[misc]
                    cases, folder / "by-hand.parquet", form)))
        line("batch, three answers, every criterion", number, min(whole))
        for form, times in hand.items():
            ratio = f"ratio {min(whole) / min(times):.2f} (at most 2)"
            line(f"  by hand, two answers, {form}", number, min(times), ratio)
        tenth = folder / "tenth"
        tenth.mkdir()
        batch_data.write_cases(tenth, number // 10)
        part = min(seconds(lambda: ours(tenth, output)) for _ in range(2))
        print(f"10 times the cases take {min(whole) / part:.1f} times as long (at most 12)")
        lines = folder / "cases.ndjson"
        batch_data.write_ndjson(cases, lines)
        from_lines = min(seconds(lambda: ours(lines, output)) for _ in range(RUNS))
        line("batch from NDJSON", number, from_lines, "(at least 50,000)")
        found = batch_others.souffle(cases, folder / "souffle")
        if found is None:
            print("Soufflé is not installed")
        else:
            ratio = f"ratio {found.seconds / min(whole):.1f} (at least 5)"
            line("Soufflé, compiled", found.cases, found.seconds, ratio)
        found = batch_others.clingo(cases, min(number, 5000))
        line("clingo, on a sample", found.cases, found.seconds)
        found = batch_others.one_case(cases, min(number, 1000))
        line("one case after the other, on a sample", found.cases, found.seconds)
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"the most memory a batch held: {children:.1f} GiB")


if __name__ == "__main__":
    main()
