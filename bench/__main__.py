"""One case: a cold command, warm decisions with their explanations, and memory over a thousand cases."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from policy_kb import load_policy, pipeline  # noqa: E402
from policy_kb.load.cases import CaseReader  # noqa: E402
from policy_kb.load.documents import Document, parse_document  # noqa: E402
from policy_kb.policies import Policy  # noqa: E402
from tests.strategies.cases import random_case  # noqa: E402

SCENARIO = ROOT / "kb/alemtuzumab/scenarios/two-relapses-and-an-enhancing-lesion.yaml"


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def cold(runs: int = 15) -> None:
    """A whole `decide`, side by side with a Python that only imports click and pyDatalog."""
    decide = [sys.executable, str(ROOT / "cli.py"), "decide", str(SCENARIO)]
    imports = [sys.executable, "-c", "import click, pyDatalog"]
    subprocess.run(decide, capture_output=True, check=False)  # fills the cache
    pairs = [
        (seconds(lambda: subprocess.run(decide, capture_output=True, check=False)),
         seconds(lambda: subprocess.run(imports, capture_output=True, check=False)))
        for _ in range(runs)
    ]
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"cold decide of one case       {1000 * ours:7.0f} ms")
    print(f"  import click, pyDatalog     {1000 * theirs:7.0f} ms   ratio {ours / theirs:.2f} (at most 3)")


def cases(number: int) -> list[Document]:
    source = random.Random(20251123)
    return [parse_document(random_case(source)) for _ in range(number)]


def warm(policy: Policy, documents: list[Document]) -> None:
    """Decisions with full explanation, and pyDatalog's share: the Model of the same cases in the same run."""
    for document in documents[:3]:
        policy.determine(document, {})
    reader = CaseReader(policy.program, policy.rules.known)
    whole = engine = 0.0
    for document in documents:
        whole += seconds(lambda document=document: policy.determine(document, {}))  # type: ignore[misc]
        facts = reader.read(document)
        name = next(str(row.values[2]) for row in facts.rows["request"])
        phase = next(phase for phase in policy.program.phases if phase.name == name)
        worlds = pipeline.worlds_of(policy.rules, phase)
        runs = policy.engine(phase)
        engine += seconds(lambda: pipeline.evaluate(worlds, runs, facts))  # noqa: B023
    number = len(documents)
    print(f"warm decision, explained      {1000 * whole / number:7.2f} ms a case ({number} cases)")
    print(f"  pyDatalog's model alone     {1000 * engine / number:7.2f} ms   ratio {whole / engine:.2f} (at most 1.5)")


def memory(policy: Policy, documents: list[Document]) -> None:
    """Python's memory before and after many cases; the decisions are counted, and none may fail."""
    decisions: dict[str, int] = {}
    tracemalloc.start()
    for number, document in enumerate(documents):
        if number == len(documents) // 10:
            before, _ = tracemalloc.get_traced_memory()
        decision = policy.determine(document, {}).decision
        decisions[decision] = decisions.get(decision, 0) + 1
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{len(documents)} generated cases, no error: {decisions}")
    print(f"  memory held after a tenth {before / 2**20:.1f} MiB, after all {after / 2**20:.1f} MiB")


def main() -> None:
    cold()
    policy = load_policy("09-J2000-27")
    documents = cases(1000)
    warm(policy, documents[:200])
    memory(policy, documents)


if __name__ == "__main__":
    main()
