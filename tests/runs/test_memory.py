"""A walk's memory does not grow with the number of checkpoints."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from tests.hub.checkpoints import pythia_config, write_checkpoint
from tests.suites_on_disk import SuiteOnDisk, rows, write_probes, write_words

STEPS, WARM, MB = 100, 20, 2**20
STATM = Path("/proc/self/statm")
# 1.1 MB a file: one that stayed mapped at every step would show as 66 MB, one that stayed in float32 as 130 MB.
WIDER = {"hidden_size": 64, "vocab_size": 4096}


class Watch:
    """Resident megabytes after every checkpoint."""

    def __init__(self) -> None:
        self.resident: list[float] = []

    def stage(self, checkpoint: str, stage: str) -> None: ...

    def finished(self, checkpoint: str, detail: str) -> None:
        assert not detail, detail
        self.resident.append(int(STATM.read_text().split()[1]) * 4096 / MB)


@pytest.mark.slow
@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read from /proc")
def test_memory_is_flat_over_a_hundred_checkpoints(tmp_path: Path) -> None:
    suite = tmp_path / "long"
    for step in range(STEPS):
        write_checkpoint(suite / f"step{step}", pythia_config("tiny", **WIDER), seed=step)
    write_words(suite / "tokenizer.json")
    probes = write_probes(tmp_path / "words.jsonl", rows("near", 8))
    assert (suite / "step0" / "model.safetensors").stat().st_size > MB
    watch = Watch()
    walk(make_plan(SuiteOnDisk(suite, probes).request()), tmp_path / "run", watch)
    assert len(watch.resident) == STEPS
    early, late = watch.resident[WARM : 2 * WARM], watch.resident[-WARM:]
    assert median(late) - median(early) < 20
