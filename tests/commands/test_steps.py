"""`pythia-geom steps` as it is typed: steps, what was left out, and the published faults."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from pythia_geometry import cli


class Said(NamedTuple):
    """What the command printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def steps(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> object:
    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["pythia-geom", "steps", *words])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return Said(int(stopped.value.code or 0), *capfd.readouterr())

    return run


def folder(path: Path, *names: str) -> str:
    for name in names:
        (path / name).mkdir(parents=True)
    return str(path)


def test_stages_left_out_are_said_and_can_be_asked_for(steps, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    suite = folder(tmp_path / "run", "stage1-step-5", "stage1-step-9", "stage2-step-3")
    said = steps(suite)
    assert "2 steps\n5, 9\n" in said.out
    assert "stages left out: stage2 (1 step); walk one with --stage stage2" in said.out
    assert "1 steps\n3\n" in steps(suite, "--stage", "stage2").out
    wrong = steps(suite, "--stage", "stage7")
    assert wrong.code == 2
    assert "has no stage 'stage7'. Its stages: stage1, stage2" in wrong.err


def test_pattern_reads_what_no_convention_does(steps, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    suite = folder(tmp_path / "run", "epoch-3", "epoch-12")
    assert "--pattern" in steps(suite).err
    said = steps(suite, "--pattern", r"epoch-(?P<step>\d+)")
    assert "2 steps\n3, 12\n" in said.out
    assert r"steps are read by --pattern epoch-(?P<step>\d+)" in said.out
    wrong = steps(suite, "--pattern", r"epoch-(\d+)")
    assert wrong.code == 2
    assert "does not say where the step stands" in wrong.err


def test_names_of_another_kind_are_said(steps, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    said = steps(folder(tmp_path / "run", "ckpt_000", "ckpt_356"))
    assert "the last of them is called ckpt_356" in said.out
    assert "count saved checkpoints" in said.out


def test_replaced_run_of_a_pythia_size_is_among_its_faults_and_nobody_is_asked(steps) -> None:  # type: ignore[no-untyped-def]
    said = steps("pythia-14m")
    assert said.out.startswith("pythia-14m: 154 steps\n0, 1, 2, 4, ")
    assert "since 27 February 2026; the run of before is now pythia-14m-deduped (model card)" in said.out
    assert steps("pythia-14m-deduped").code == 0
    assert "Type: --model pythia-160m" in steps("pythia-125m").err
