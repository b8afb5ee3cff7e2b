"""Says at the end how many of the inputs that nobody should trust were tried."""

from collections import Counter
from pathlib import Path

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    names = [Path(report.nodeid.partition("::")[0]) for report in reports if report.when == "call"]
    tried = Counter(name.stem.removeprefix("test_") for name in names if name.parent.name == "hostile")
    if tried:
        each = ", ".join(f"{kind} {count}" for kind, count in sorted(tried.items()))
        terminalreporter.write_line(f"hostile inputs tried: {tried.total()} ({each})")
