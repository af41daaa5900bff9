"""The command on Pythia-shaped checkpoints of a local Hub: what it asks for, and what it leaves."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from pythia_geometry.store.activations import read_activations
from pythia_geometry.store.run_folder import RunFolder
from tests.hub.checkpoints import TOKENIZER, pythia_config
from tests.hub.environment import client_environment
from tests.hub.repository import Repository
from tests.hub.server import LocalHub
from tests.hub.suite import step_repository

STEPS = (0, 1, 512, 1000)
THERE = (0, 1, 1000)
LAYERS = ["embed", *(f"resid_{i}" for i in range(1, 7)), "final_norm"]

pytestmark = pytest.mark.skipif(not TOKENIZER.is_file(), reason=f"Pythia's tokenizer is not at {TOKENIZER}")


@dataclass(frozen=True)
class Walked:
    """One walk: what was printed, what it left, what it asked the Hub for."""

    code: int
    said: str
    out: Path
    repository: Repository
    files: list[str]
    requests: list[str]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    config = pythia_config("14m", max_position_embeddings=128)
    folder = tmp_path_factory.mktemp("checkpoints")
    made = step_repository(folder, config, STEPS, formats=("safetensors", "bin"), tokenizer=True)
    del made.branches["step512"]
    return made


def walk(hub: LocalHub, folder: Path) -> tuple[int, str]:
    steps = ",".join(map(str, STEPS))
    chosen = ["--model", "pythia-14m", "--steps", steps, "--probes", "syntax/agreement_0"]
    return typed(hub, folder, *chosen, "--out", str(folder / "run"))


def typed(hub: LocalHub, folder: Path, *words: str) -> tuple[int, str]:
    """Runs the command in a new Python, with a Hub cache of its own."""
    code = f"import sys\nfrom pythia_geometry.cli import main\nsys.argv = {['pythia-geom', *words]!r}\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=client_environment(hub.endpoint, folder / "home"),
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def hub(repository: Repository) -> Iterator[LocalHub]:
    with LocalHub([repository]) as hub:
        yield hub


@pytest.fixture(scope="module")
def walked(hub: LocalHub, repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Walked:
    folder = tmp_path_factory.mktemp("walk")
    code, said = walk(hub, folder)
    requests = [f"{r.method} {r.label}" for r in hub.requests()]
    return Walked(code, said, folder / "run", repository, hub.downloaded_files(), requests)


def weights(repository: Repository, step: int) -> str:
    """The sha256 of the file that a branch serves."""
    commit = repository.resolve(f"step{step}")
    assert commit is not None
    return hashlib.sha256(b"".join(commit.files["model.safetensors"].blob.chunks())).hexdigest()


def test_the_walk_repeats_from_its_manifest_alone(walked: Walked, hub: LocalHub, tmp_path: Path) -> None:
    sent = tmp_path / "sent.json"
    sent.write_bytes((walked.out / "manifest.json").read_bytes())
    code, said = typed(hub, tmp_path, "--from", str(sent), "--out", str(tmp_path / "again"))
    assert code == walked.code, said
    for name in ("geometry", "behaviour", "answers", "checkpoints"):
        again, first = (pd.read_parquet(folder / f"{name}.parquet") for folder in (tmp_path / "again", walked.out))
        pd.testing.assert_frame_equal(again, first, check_exact=True, obj=name)


def test_missing_branch_is_a_gap(walked: Walked) -> None:
    assert walked.code == 3, walked.said
    assert "EleutherAI/pythia-14m has no branch step512" in walked.said


def test_checkpoints_table_states_commits_and_the_files_own_hashes(walked: Walked) -> None:
    found = pd.read_parquet(walked.out / "checkpoints.parquet").set_index("step")
    assert found["status"].to_dict() == {0: "ok", 1: "ok", 512: "missing", 1000: "ok"}
    for step in THERE:
        assert found.loc[step, "weight_sha256"] == weights(walked.repository, step)
        assert found.loc[step, "commit"] == walked.repository.branches[f"step{step}"]
        assert found.loc[step, "tokens"] == step * 2_097_152
        assert found.loc[step, "revision"] == f"step{step}"
    assert found.loc[0, "weight_sha256"] == found.loc[1, "weight_sha256"] != found.loc[1000, "weight_sha256"]
    assert set(found["source"]) == {"EleutherAI/pythia-14m"}
    assert (set(found["suite"]), set(found["model"]), set(found["seed"])) == ({"pythia"}, {"pythia-14m"}, {0})


def test_manifest_states_commits_hashes_and_the_training_precision(walked: Walked) -> None:
    manifest = RunFolder(walked.out).manifest()
    assert set(manifest["weights"]) == {f"pythia-14m@step{step}" for step in THERE}
    for step in THERE:
        told = manifest["weights"][f"pythia-14m@step{step}"]
        assert told["commit"] == walked.repository.branches[f"step{step}"]
        assert told["files"] == {"model.safetensors": weights(walked.repository, step)}
    assert "trained in float16 mixed precision (issue 171)" in manifest["runs"]["pythia-14m"]["notes"]


def test_all_eight_layers_are_measured_under_their_names(walked: Walked) -> None:
    geometry = pd.read_parquet(walked.out / "geometry.parquet")
    names = geometry[["layer_index", "layer"]].drop_duplicates().sort_values("layer_index")
    assert names["layer"].to_list() == LAYERS
    assert names["layer_index"].to_list() == list(range(8))
    assert set(geometry["step"]) == set(THERE)
    rankme = geometry[geometry["measure"] == "rankme"]
    assert set(rankme["n"]) == {128}
    assert rankme["value"].notna().all()
    same = geometry[(geometry["measure"] == "cka_previous") & (geometry["step"] == 1)]
    assert same["value"].to_numpy() == pytest.approx(1.0)
    arrays = read_activations(walked.out / "activations" / "pythia-14m@step0.last.float32.parquet")
    assert {name: a.shape for name, a in arrays.items()} == {"syntax/agreement_0": (8, 128, 128)}


def test_weights_are_fetched_once_each_and_only_as_safetensors(walked: Walked) -> None:
    fetched = Counter(Path(label).name for label in walked.files)
    assert fetched["model.safetensors"] == len({weights(walked.repository, step) for step in THERE}) == 2
    assert not [label for label in walked.requests if label.endswith(".bin")]
    assert set(fetched) == {"model.safetensors", "config.json", "tokenizer.json"}
    assert fetched["config.json"] == fetched["tokenizer.json"] == 1


def test_no_weights_are_left(walked: Walked) -> None:
    downloads = walked.out / "downloads"
    assert not downloads.exists() or not list(downloads.iterdir())
    assert not list(walked.out.parent.rglob("*.safetensors"))
    assert not list(walked.out.parent.rglob("*.bin"))


def test_second_walk_fetches_no_weights_and_a_served_branch_is_filled_in(
    walked: Walked, hub: LocalHub, repository: Repository
) -> None:
    before = (walked.out / "geometry.parquet").read_bytes()
    hub.clear_log()
    assert walk(hub, walked.out.parent)[0] == 3
    assert not [label for label in hub.downloaded_files() if label.endswith(".safetensors")]
    assert (walked.out / "geometry.parquet").read_bytes() == before
    hub.clear_log()
    repository.branches["step512"] = next(c.oid for c in repository.commits.values() if c.branch == "step512")
    code, said = walk(hub, walked.out.parent)
    assert code == 0, said
    assert [label for label in hub.downloaded_files() if label.endswith(".safetensors")] == [
        "step512/model.safetensors"
    ]
    found = pd.read_parquet(walked.out / "checkpoints.parquet").set_index("step")
    assert set(found["status"]) == {"ok"}
    assert found.loc[512, "weight_sha256"] == weights(repository, 512)
