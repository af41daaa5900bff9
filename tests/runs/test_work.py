"""What identifies a piece of work: everything that decides its numbers, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pythia_geometry.extraction.loading.models import Shape
from pythia_geometry.extraction.probes.encoding import EncodedItem, EncodedProbe
from pythia_geometry.extraction.probes.probe_files import Item
from pythia_geometry.extraction.probes.probes import Probe
from pythia_geometry.measures import MEASURES, Measure
from pythia_geometry.runs.plan import RunPlan
from pythia_geometry.runs.readings import READINGS
from pythia_geometry.runs.request import Request
from pythia_geometry.runs.work import RunWork
from pythia_geometry.suites.checkpoint import Checkpoint, WeightFile
from tests.suites_on_disk import tiny_suite

CHECKPOINT = Checkpoint("s", "m", 0, 5, 10, "o/m", "step5", "c" * 40, (WeightFile("model.safetensors", 9, "a" * 64),))
ITEMS = tuple(Item(f"t/{i}", "t", f"p{i}", "a", ("x",)) for i in range(2))
IDS = tuple(EncodedItem((1, 2), (3,), ((4,),)) for _ in range(2))


class Given(NamedTuple):
    """What a piece of work is of."""

    checkpoint: Checkpoint
    probe: EncodedProbe
    request: Request
    config: str
    kernel: str

    def work(self) -> RunWork:
        shape = Shape(2, 8, 100, 64, self.kernel)
        run = RunPlan(None, (self.checkpoint,), (self.probe,), shape, {self.checkpoint.step: self.config})  # type: ignore[arg-type]
        return RunWork(run, self.request)

    def capture(self) -> str:
        return self.work().capture(self.checkpoint, self.probe)

    def rankme(self) -> str:
        return self.work().measure(self.checkpoint, self.probe, MEASURES["rankme"])


BASE = Given(CHECKPOINT, EncodedProbe(Probe("set", "t", ITEMS), IDS), Request(), "config", "sdpa")
OTHER_IDS = (*IDS[:1], EncodedItem((1, 9), (3,), ((4,),)))

DECIDES: dict[str, Any] = {
    "step": BASE._replace(checkpoint=replace(CHECKPOINT, step=6)),
    "seed": BASE._replace(checkpoint=replace(CHECKPOINT, seed=1)),
    "model": BASE._replace(checkpoint=replace(CHECKPOINT, model="n")),
    "weights": BASE._replace(checkpoint=replace(CHECKPOINT, files=(WeightFile("model.safetensors", 9, "b" * 64),))),
    "rows": BASE._replace(probe=EncodedProbe(Probe("set", "t", ITEMS[:1]), IDS)),
    "control": BASE._replace(probe=EncodedProbe(Probe("set:shuffled", "t", ITEMS), IDS)),
    "tokenizer": BASE._replace(probe=EncodedProbe(Probe("set", "t", ITEMS), OTHER_IDS)),
    "config": BASE._replace(config="another"),
    "kernel": BASE._replace(kernel="eager"),
    "position": BASE._replace(request=Request(position="mean")),
    "dtype": BASE._replace(request=Request(dtype="float16")),
}
DECIDES_NOTHING: dict[str, Any] = {
    "commit": BASE._replace(checkpoint=replace(CHECKPOINT, commit="d" * 40)),
    "batch": BASE._replace(request=Request(batch=1)),
    "threads": BASE._replace(request=Request(threads=2)),
    "activations": BASE._replace(request=Request(activations="none")),
    "selection": BASE._replace(request=Request(steps="0", measures=("rankme",))),
}


@pytest.mark.parametrize("changed", DECIDES.values(), ids=list(DECIDES))
def test_identity_changes_with_whatever_decides_a_number(changed: Given) -> None:
    assert changed.capture() != BASE.capture()
    assert changed.rankme() != BASE.rankme()


@pytest.mark.parametrize("changed", DECIDES_NOTHING.values(), ids=list(DECIDES_NOTHING))
def test_identity_stays_where_no_number_changes(changed: Given) -> None:
    assert changed.capture() == BASE.capture()
    assert changed.rankme() == BASE.rankme()


def test_all_identities_of_a_step_differ() -> None:
    work = BASE.work()
    ids = [work.measure(CHECKPOINT, BASE.probe, measure) for measure in MEASURES.values()]
    ids += [work.measure(CHECKPOINT, None, measure) for measure in MEASURES.values()]
    ids += [work.capture(CHECKPOINT, BASE.probe), work.opened(CHECKPOINT)]
    ids += [work.headless(CHECKPOINT, BASE.probe, in_part) for in_part in (False, True)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("changes", [{"version": 99}, {"settings": {"draws": 100}}], ids=["version", "settings"])
def test_identity_changes_with_a_measure(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    changed: Measure = replace(MEASURES["rankme"], **changes)
    assert BASE.work().measure(CHECKPOINT, BASE.probe, changed) != BASE.rankme()


def test_identity_changes_with_the_code_that_takes_a_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    first = BASE.capture()
    monkeypatch.setitem(READINGS, "residual", replace(READINGS["residual"], version=99))
    assert BASE.capture() != first


def test_a_comparison_is_of_both_checkpoints() -> None:
    work, cka = BASE.work(), MEASURES["cka_last"]
    others = [replace(CHECKPOINT, step=9), replace(CHECKPOINT, step=9, files=(WeightFile("w", 9, "e" * 64),)), None]
    assert len({work.measure(CHECKPOINT, BASE.probe, cka, other) for other in others}) == 3


def test_names_and_spaces_in_a_config_decide_nothing(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path)
    before = suite.walk(tmp_path / "run")
    for file in suite.folder.rglob("config.json"):
        config = json.loads(file.read_text()) | {"_name_or_path": "mine", "transformers_version": "9"}
        file.write_text(json.dumps(config, indent=7))
    parts = len(list((tmp_path / "run" / "parts").iterdir()))
    suite.walk(tmp_path / "run")
    assert len(list((tmp_path / "run" / "parts").iterdir())) == parts
    assert before.geometry["value"].notna().any()
