"""A path that begins with the home of nobody: one line, whatever the option, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from pythia_geometry.cli import main
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.typed_path import typed_path

NOBODY = "~nobody-here/x"


@pytest.mark.parametrize(
    "words",
    [
        ["--steps", "0", "--probes", "algorithmic/MOD1", "--measures", "rankme", "--out", NOBODY],
        ["--model", NOBODY, "--seeds", "all"],
        ["--model", NOBODY],
        ["--probes", NOBODY],
        ["--probes", "text", "--text", NOBODY],
        ["--from", NOBODY],
        ["steps", NOBODY],
        ["doctor", NOBODY],
        ["doctor", "offline", "--out", NOBODY],
        ["check", NOBODY],
        ["probes", NOBODY],
        ["power", NOBODY],
        ["precursors", NOBODY],
        ["calibrate", NOBODY],
        ["compare", NOBODY],
        ["compare", "--out", NOBODY],
        ["against", "runs/none", NOBODY],
        ["export", NOBODY],
        ["report", NOBODY],
        ["report", "--out", NOBODY],
        ["plot", NOBODY],
        ["replicate", "--out", NOBODY, "--dry-run"],
        ["lab", "train", "--steps", "5", "--out", NOBODY],
        ["lab", "train", "--task", "linear-map", "--steps", "5", "--out", NOBODY],
        ["lab", "list", "--out", NOBODY],
    ],
    ids=" ".join,
)
def test_the_home_of_nobody_is_one_line_and_no_traceback(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["pythia-geom", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = "".join(capfd.readouterr())
    assert ended.value.code in (2, 4), said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("*nobody-here*"))


def test_home_is_expanded_and_what_is_no_path_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert typed_path("~/runs") == Path("/home/me/runs")
    assert typed_path("runs/~a") == Path("runs/~a")
    with pytest.raises(PythiaGeometryError, match="there is no such user"):
        typed_path(NOBODY)
    with pytest.raises(PythiaGeometryError, match="NUL byte"):
        typed_path("a\0b")
