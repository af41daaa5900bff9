"""A walk refuses what the listing shows to be wrong, says why, and reads the other format where that is sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.probes import load_probes
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import plan_suite
from pythia_geometry.runs.request import Request
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.tables import Tables
from pythia_geometry.suites.hub.suite import HubSuite
from pythia_geometry.suites.pythia import parse_name
from tests.hub.checkpoints import pythia_config, write_checkpoint
from tests.hub.repository import Blob, Repository
from tests.hub.server import LocalHub
from tests.suites.conftest import hub_cache, serve  # noqa: F401
from tests.suites_on_disk import rows, write_probes, write_words

NAME = "EleutherAI/pythia-14m"
STEPS = (0, 2, 512, 1000, 143000)
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
Serve = Callable[..., LocalHub]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Two shards in two formats a step. Step 2: the safetensors are main's; 512: both formats are; 1000: one shard is."""
    write_words(tmp_path / "tokenizer.json")
    files: dict[int, dict[str, Blob]] = {}
    for step in STEPS:
        folder = tmp_path / "files" / f"step{step}"
        write_checkpoint(
            folder, pythia_config("tiny"), seed=step, formats=("safetensors", "bin"), shards=2, legacy_buffers=False
        )
        files[step] = {p.name: Blob(p) for p in (*folder.iterdir(), tmp_path / "tokenizer.json")}
    final = files[143000]
    files[2] |= {name: blob for name, blob in final.items() if name.startswith("model")}
    files[512] = final
    files[1000] = {n: b for n, b in files[1000].items() if "bin" not in n} | {SHARDS[0]: final[SHARDS[0]]}
    repository = Repository(NAME)
    for step in STEPS:
        repository.commit(f"step{step}", files[step])
    repository.commit("main", final)
    return repository


def walked(hub: LocalHub, folder: Path, **changes: str) -> Tables:
    request = Request(steps=",".join(map(str, STEPS)), device="cpu", threads=1, **changes)
    probes = load_probes([str(write_probes(folder / "words.jsonl", rows("near", 6)))])
    return walk(plan_suite(HubSuite(NAME, parse_name(NAME), hub.endpoint), request, probes), folder / "run")


def status(tables: Tables) -> dict[int, str]:
    return tables.checkpoints.set_index("step")["status"].to_dict()


def detail(tables: Tables) -> dict[int, str]:
    return tables.checkpoints.set_index("step")["detail"].to_dict()


def test_refused_steps_are_rows_with_reasons_and_a_sound_bin_is_read(
    repository: Repository,
    serve: Serve,  # noqa: F811
    tmp_path: Path,
) -> None:
    hub = serve(repository)
    tables = walked(hub, tmp_path)
    assert status(tables) == {0: "ok", 2: "ok", 512: "duplicate", 1000: "wrong", 143000: "ok"}
    told = detail(tables)
    advice = " See pythia-geom doctor pythia-14m, or pass --duplicates keep."
    assert told[2].startswith("Read from pytorch_model-00001-of-00002.bin. pythia-14m@step2 holds the same weights as")
    assert told[512].startswith("pythia-14m@step512 holds the same weights as main (sha256 ")
    assert told[512].endswith(": its curve would be flat." + advice)
    assert told[1000].startswith(f"pythia-14m@step1000 serves {SHARDS[0]} of main (sha256 ")
    assert told[1000].endswith("it mixes two checkpoints." + advice)
    assert set(tables.geometry["step"]) == {0, 2, 143000}
    files = hub.downloaded_files()
    assert {f for f in files if f.startswith("step2/")} == {
        "step2/pytorch_model-00001-of-00002.bin", "step2/pytorch_model-00002-of-00002.bin",
        "step2/pytorch_model.bin.index.json",
    }  # fmt: skip
    assert not [f for f in files if f.startswith(("step512/", "step1000/"))]
    manifest = RunFolder(tmp_path / "run").manifest()
    assert manifest["settings"]["format"] == "auto"
    read = manifest["weights"]["pythia-14m@step2"]["files"]
    assert set(read) == {f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)}
    assert manifest["weights"]["pythia-14m@step2"]["detail"] == told[2]
    assert "detail" not in manifest["weights"]["pythia-14m@step0"]


def test_one_format_and_keep_are_taken_at_their_word(
    repository: Repository,
    serve: Serve,  # noqa: F811
    tmp_path: Path,
) -> None:
    hub = serve(repository)
    tables = walked(hub, tmp_path, weight_format="safetensors", duplicates="keep")
    assert set(status(tables).values()) == {"ok"}
    assert set(tables.geometry["step"]) == set(STEPS)
    assert not [f for f in hub.downloaded_files() if ".bin" in f]
    tables = walked(hub, tmp_path, weight_format="safetensors")
    assert status(tables) == {0: "ok", 2: "duplicate", 512: "duplicate", 1000: "wrong", 143000: "ok"}
    assert set(tables.geometry["step"]) == {0, 143000}  # what was kept before is not shown as this step's any more
    tables = walked(hub, tmp_path, weight_format="bin")
    assert status(tables) == {0: "ok", 2: "ok", 512: "duplicate", 1000: "missing", 143000: "ok"}
    assert {0, 2, 143000} == set(tables.geometry["step"])


def test_unknown_format_says_what_there_is() -> None:
    with pytest.raises(PythiaGeometryError, match=r"--format 'gguf' is not one of: auto, safetensors, bin"):
        Request(weight_format="gguf")
