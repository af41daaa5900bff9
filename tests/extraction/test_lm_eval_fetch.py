"""A task's dataset fetched over HTTP by the real `datasets`; what is said where it is missing, changed or offline."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pandas as pd
import pytest

from tests.extraction.local_benchmarks import document
from tests.extraction.test_tokenizer_kinds import byte_level
from tests.hub.checkpoints import pythia_config, write_checkpoint
from tests.hub.environment import client_environment
from tests.hub.repository import Repository
from tests.hub.server import LocalHub

lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install 'pythia-geometry[lm-eval]'")
pytestmark = pytest.mark.slow  # a process a command

SPLITS = ("train", "validation", "test")
CALL = "from pythia_geometry.cli import main; main()"


def publish(repository: Repository, seed: str) -> None:
    """ARC's easy part as its repository has it: a card that names the files of each configuration, and Parquet."""
    files: dict[str, bytes] = {}
    for split in SPLITS:
        rng, content = Random(f"{seed} {split}"), io.BytesIO()
        rows = [{"id": str(i), **document("arc_easy", i, rng)} for i in range(8)]
        pd.DataFrame(rows).to_parquet(content)
        files[f"ARC-Easy/{split}-00000-of-00001.parquet"] = content.getvalue()
    named = "".join(f"  - split: {split}\n    path: ARC-Easy/{split}-*\n" for split in SPLITS)
    files["README.md"] = f"---\nconfigs:\n- config_name: ARC-Easy\n  data_files:\n{named}---\n".encode()
    repository.commit("main", files)


class Bench:
    """A folder with a small suite and the harness's own definition of arc_easy, beside a Hub."""

    def __init__(self, folder: Path, hub: LocalHub) -> None:
        self.folder, self.hub = folder, hub
        for step in (0, 1):
            config = pythia_config("tiny", vocab_size=512, initializer_range=0.3)
            write_checkpoint(folder / "small" / f"step{step}", config, seed=step)
        byte_level().save(str(folder / "small" / "tokenizer.json"))
        own = Path(lm_eval.__file__).parent / "tasks" / "arc" / "arc_easy.yaml"
        (folder / "tasks").mkdir()
        (folder / "tasks" / "arc_easy.yaml").write_text(json.dumps({"include": str(own), "task": "arc_easy"}))

    def walk(self, home: str, *words: str, probes: str = "lm-eval:arc_easy") -> tuple[int, str]:
        """Exit code, and everything that was printed, on one line."""
        asked = ["--model", "small", "--probes", probes, "--include", "tasks", "--out", "run", *words]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", CALL, *asked],
            env={**client_environment(self.hub.endpoint, self.folder / home), "COLUMNS": "2000"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=600,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_a_dataset_is_fetched_once_and_what_is_wrong_with_it_is_said(tmp_path: Path) -> None:
    data = Repository("datasets/allenai/ai2_arc")
    publish(data, "first")
    with LocalHub([data]) as hub:
        bench = Bench(tmp_path, hub)
        code, said = bench.walk("home")
        assert code == 0, said
        fetched = hub.downloaded_files("datasets/allenai/ai2_arc")
        assert {f"main/ARC-Easy/{split}-00000-of-00001.parquet" for split in SPLITS} <= set(fetched), fetched
        (frozen,) = (tmp_path / "run" / "probes").glob("arc_easy.0-shot.*.jsonl")
        kept = (tmp_path / "run" / "answers.parquet").read_bytes()

        hub.clear_log()
        code, said = bench.walk("home", "--offline")  # from the cache of datasets
        assert code == 0 and not hub.requests(), said
        assert (tmp_path / "run" / "answers.parquet").read_bytes() == kept, "nothing was computed again"

        code, said = bench.walk("other", "--offline")
        assert code == 4 and "dataset of lm-eval's arc_easy cannot be had" in said, said
        assert "--offline" in said and "A frozen set needs neither" in said and "Traceback" not in said

        code, said = bench.walk("other", "--offline", probes=str(frozen))
        assert code == 0 and (tmp_path / "run" / "answers.parquet").read_bytes() == kept, said

        publish(data, "second")
        code, said = bench.walk("third", "--dry-run")
        assert code == 0, said
        assert "walked with (changed: the dataset's documents)" in said and "To go on with the old items" in said, said

        del hub.repositories["datasets/allenai/ai2_arc"]
        code, said = bench.walk("fourth")
        assert code == 4 and "dataset of lm-eval's arc_easy cannot be had" in said and "Traceback" not in said, said
