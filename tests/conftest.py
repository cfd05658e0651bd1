"""Rules for all tests."""

import os
from collections.abc import Generator
from typing import Any

import pytest

from tests.support.progress import Words

pytest_plugins = ["tests.support.engine", "tests.support.idle"]


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Fail a skipped test in CI: CI installs everything, so a skip there hides a missing part."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {item.nodeid}: {report.longrepr}"
    return report
