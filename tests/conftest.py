"""What all tests share: how hard they try, and the rates they report."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
"""Set for long runs: `HYPOTHESIS_PROFILE=thorough pytest`."""

settings.register_profile("quick", deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("thorough", parent=settings.get_profile("quick"), max_examples=1000)
settings.load_profile("thorough" if THOROUGH else "quick")

_RATE = "rate"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="write expected outputs anew, to be reviewed")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compares a text with the one in a file; with `--update-goldens` it is written there instead."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--update-goldens"):
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing: run pytest with --update-goldens and review it"
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture(scope="session")
def effort() -> int:
    """How many times as many examples as in a quick run are tried."""
    return 30 if THOROUGH else 1


@pytest.fixture
def rate(record_property: Callable[[str, object], None]) -> Callable[[str, int, int], None]:
    """Reports how often something was so, at the end of the run."""

    def report(what: str, hits: int, number: int) -> None:
        share = f"{100 * hits / number:.1f} %" if number else "no example"
        record_property(_RATE, f"{what}: {share} ({hits} of {number})")

    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    lines = [
        str(value)
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == _RATE and report.when == "call"
    ]
    for line in lines:
        terminalreporter.write_line(line)
