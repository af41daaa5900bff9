"""A suite that the tests of a file share, and one walk over it by one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.suites_on_disk import SuiteOnDisk, tiny_suite


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SuiteOnDisk:
    return tiny_suite(tmp_path_factory.mktemp("suite"))


@pytest.fixture(scope="module")
def alone(suite: SuiteOnDisk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder."""
    out = tmp_path_factory.mktemp("alone") / "run"
    suite.walk(out)
    return out
