"""What importing costs, and what it leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "pandas", "pyarrow", "huggingface_hub", "altair", "datasets")

BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
"""

HELP = """
import sys
from pythia_geometry.cli import main
sys.argv = ["pythia-geom", "--help"]
try:
    main()
except SystemExit as stop:
    assert stop.code == 0
"""


def run(code: str) -> tuple[str, float]:
    """What a new Python prints, and the CPU seconds that it took."""
    environment = {**os.environ, "PYTHONPATH": "", "COLUMNS": "120"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment, cwd=Path.cwd().root
    )
    assert process.stdout is not None
    said = process.stdout.read()
    process.stdout.close()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return said, used.ru_utime + used.ru_stime


def loaded(code: str) -> set[str]:
    said, _ = run(f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))")
    return set(json.loads(said.splitlines()[-1]))


@pytest.mark.parametrize("code", ["import pythia_geometry", HELP], ids=["import", "help"])
def test_start_takes_less_than_a_second_of_cpu(code: str) -> None:
    assert min(run(code)[1] for _ in range(2)) < 1.0


@pytest.mark.parametrize("code", ["import pythia_geometry", HELP], ids=["import", "help"])
def test_start_imports_nothing_heavy(code: str) -> None:
    assert loaded(code).isdisjoint(HEAVY)


def test_list_of_steps_needs_no_torch() -> None:
    code = "import sys\nfrom pythia_geometry.cli import main\nsys.argv = ['x', 'steps', 'pythia-160m']\n"
    assert loaded(code + "try:\n    main()\nexcept SystemExit:\n    pass").isdisjoint(("torch", "transformers"))


@pytest.mark.parametrize(
    "module",
    [
        "geometry",
        "measures",
        "analysis.events.summary",
        "analysis.calibration.rates",
        "analysis.precursor.rates",
        "screens.precursors",
        "report.figures",
        "report.outcome",
        "store",
        "lab.tasks",
        "suites.local",
        "suites.pythia",
        "extraction.probes",
        "extraction.probes.encoding",
    ],
)
def test_module_works_without_torch(module: str) -> None:
    assert loaded(f"{BLOCKED}\nimport pythia_geometry.{module}").isdisjoint(("torch", "transformers"))


def test_tables_are_summarised_and_drawn_without_torch(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    said, _ = run(
        f"{BLOCKED}\nsys.path.insert(0, {str(root)!r})\n"
        "from tests.report.tables import make_tables\n"
        "from pythia_geometry.report.outcome import write_outcome\n"
        "from pythia_geometry.store.run_folder import RunFolder\n"
        f"summary, pictures = write_outcome(RunFolder({str(tmp_path)!r}), make_tables())\n"
        "print(len(summary), len(pictures))"
    )
    assert said.split() == ["3", "4"]


def test_installed_package_has_a_version_and_the_command() -> None:
    from importlib.metadata import entry_points, version

    assert version("pythia-geometry").count(".") == 2
    (command,) = entry_points(group="console_scripts", name="pythia-geom")
    assert command.value == "pythia_geometry.cli:main"
