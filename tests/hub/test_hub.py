"""The real client against the local Hub: what it asks is answered, and what should go wrong goes wrong."""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import huggingface_hub
import pytest
import torch
from huggingface_hub import HfApi, RepoFile, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors.torch import load_file

from tests.hub.checkpoints import TOKENIZER, pythia_config, write_checkpoint
from tests.hub.environment import client_environment
from tests.hub.faults import Fault
from tests.hub.repository import Blob, Repository
from tests.hub.server import LocalHub
from tests.hub.suite import step_repository

NAME = "EleutherAI/pythia-14m"
WEIGHTS = "model.safetensors"
STEPS = (0, 1, 512)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return step_repository(tmp_path_factory.mktemp("checkpoints"), pythia_config("tiny"), STEPS)


@pytest.fixture
def hub(repository: Repository) -> Iterator[LocalHub]:
    with LocalHub([repository], page_size=2) as hub:
        yield hub
        huggingface_hub.close_session()


@pytest.fixture
def api(hub: LocalHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=False)


def fetch(hub: LocalHub, cache: Path, revision: str, filename: str = WEIGHTS, name: str = NAME) -> Path:
    path = hf_hub_download(name, filename, revision=revision, endpoint=hub.endpoint, cache_dir=cache, token=False)
    return Path(path)


def content(repository: Repository, revision: str, filename: str = WEIGHTS) -> bytes:
    commit = repository.resolve(revision)
    assert commit is not None
    return b"".join(commit.files[filename].blob.chunks())


def test_refs_list_every_branch_with_its_commit(api: HfApi, repository: Repository) -> None:
    refs = api.list_repo_refs(NAME)
    assert {branch.name: branch.target_commit for branch in refs.branches} == repository.branches


def test_model_info_knows_revisions_and_hashes(api: HfApi, repository: Repository) -> None:
    info = api.model_info(NAME, revision="step512", files_metadata=True)
    assert info.sha == repository.branches["step512"]
    assert info.siblings is not None
    weights = {file.rfilename: file for file in info.siblings}[WEIGHTS]
    assert weights.lfs is not None
    assert weights.lfs.sha256 == hashlib.sha256(content(repository, "step512")).hexdigest()


def test_tree_shows_which_steps_are_alike(api: HfApi) -> None:
    def weights_hash(step: int) -> str:
        tree = api.list_repo_tree(NAME, revision=f"step{step}")
        return next(file.lfs.sha256 for file in tree if isinstance(file, RepoFile) and file.lfs)

    assert weights_hash(0) == weights_hash(1) != weights_hash(512)


def test_tree_comes_in_pages_and_folders(hub: LocalHub, api: HfApi) -> None:
    other = Repository("EleutherAI/folders")
    other.commit("main", {f"folder/{name}.txt": b"x" for name in "abc"} | {"z": b""})
    hub.add(other)
    tree = list(api.list_repo_tree(other.name, recursive=True))
    assert [entry.path for entry in tree] == ["folder", *(f"folder/{name}.txt" for name in "abc"), "z"]
    assert len(hub.requests(contains="/tree/")) == 3
    assert [entry.path for entry in api.list_repo_tree(other.name)] == ["folder", "z"]
    assert len(list(api.list_repo_tree(other.name, "folder", expand=True))) == 3
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(other.name, "no_such_folder"))


def test_paths_info_leaves_out_what_is_not_there(api: HfApi) -> None:
    found = api.get_paths_info(NAME, ["config.json", WEIGHTS, "nothing"], revision="step1")
    assert [file.path for file in found] == ["config.json", WEIGHTS]
    assert [isinstance(file, RepoFile) and file.lfs is not None for file in found] == [False, True]


def test_weights_come_by_redirect_from_another_origin(hub: LocalHub, repository: Repository, tmp_path: Path) -> None:
    path = fetch(hub, tmp_path, "step512")
    assert path.read_bytes() == content(repository, "step512")
    assert path.resolve().name == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.parent.name == repository.branches["step512"]
    assert [(request.method, request.status) for request in hub.requests()] == [("HEAD", 302), ("GET", 200)]
    assert hub.requests("GET")[0].path.startswith("/cdn/")
    assert hub.downloaded_files() == ["step512/model.safetensors"]
    assert hub.bytes_sent == path.stat().st_size


def test_download_by_commit_has_the_name_of_the_branch_in_the_log(
    hub: LocalHub, repository: Repository, tmp_path: Path
) -> None:
    commit = repository.branches["step0"]
    path = fetch(hub, tmp_path, commit, "config.json")
    assert json.loads(path.read_text())["rotary_pct"] == 0.25
    assert hub.downloaded_files(NAME) == ["step0/config.json"]
    assert hub.requests("GET", contains=commit)
    hub.clear_log()
    assert not hub.requests()


def test_branch_names_of_other_suites(hub: LocalHub, tmp_path: Path) -> None:
    other = Repository("allenai/OLMo-2-0425-1B")
    hub.add(other)
    for branch in ("stage1-step101000-tokens424B", "refs/pr/1"):
        other.commit(branch, {WEIGHTS: branch.encode()})
        assert fetch(hub, tmp_path, branch, name=other.name).read_bytes() == branch.encode()
        assert hub.downloaded_files(other.name)[-1] == f"{branch}/{WEIGHTS}"


def test_snapshot_takes_only_what_was_asked(hub: LocalHub, tmp_path: Path) -> None:
    folder = snapshot_download(
        NAME,
        revision="step512",
        allow_patterns=["*.json"],
        endpoint=hub.endpoint,
        cache_dir=tmp_path,
        token=False,
    )
    assert [path.name for path in Path(folder).iterdir()] == ["config.json"]
    assert hub.downloaded_files() == ["step512/config.json"]


def test_ranges(hub: LocalHub, repository: Repository) -> None:
    file = repository.commits[repository.branches["step512"]].files[WEIGHTS]
    whole = content(repository, "step512")
    client = huggingface_hub.get_session()
    for header, expected in [("5-9", whole[5:10]), ("7-", whole[7:]), ("-4", whole[-4:])]:
        answer = client.get(
            f"{hub.cdn_endpoint}/cdn/{file.blob.sha256}/{NAME}/step512/{WEIGHTS}",
            headers={"range": f"bytes={header}"},
        )
        assert (answer.status_code, answer.content) == (206, expected)
    past = client.get(f"{hub.endpoint}/{NAME}/resolve/step512/{WEIGHTS}", headers={"Range": f"bytes={len(whole)}-"})
    assert past.status_code == 416


def test_what_is_missing(hub: LocalHub, api: HfApi, tmp_path: Path) -> None:
    with pytest.raises(RevisionNotFoundError):
        fetch(hub, tmp_path, "step2")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(NAME, revision="step2")
    with pytest.raises(EntryNotFoundError):
        fetch(hub, tmp_path, "step0", "pytorch_model.bin")
    assert hub.requests("HEAD", contains="step0/pytorch_model.bin")[0].status == 404
    with pytest.raises(RepositoryNotFoundError):
        api.list_repo_refs("EleutherAI/pythia-15m")
    with pytest.raises(RepositoryNotFoundError):
        fetch(hub, tmp_path, "main", name="EleutherAI/pythia-15m")


def test_branch_can_vanish_and_come_back(hub: LocalHub, api: HfApi) -> None:
    repository = hub.repositories[NAME]
    commit = repository.branches.pop("step1")
    assert not api.revision_exists(NAME, "step1")
    assert api.revision_exists(NAME, commit)
    repository.branches["step1"] = commit
    assert api.revision_exists(NAME, "step1")


def test_rate_limit_is_waited_for(hub: LocalHub, repository: Repository, tmp_path: Path) -> None:
    fault = Fault("status", path="/cdn/.*step512/model", status=429, headers={"Retry-After": "1"})
    hub.faults.append(fault)
    assert fetch(hub, tmp_path, "step512").read_bytes() == content(repository, "step512")
    refused, served = hub.requests("GET")
    assert (refused.status, served.status, fault.fired) == (429, 200, 1)
    assert served.started - refused.started >= 2  # Retry-After, and a second on top


def test_first_refused_head_is_repeated_at_once(hub: LocalHub, tmp_path: Path) -> None:
    hub.faults.append(Fault("status", method="HEAD", status=429, headers={"Retry-After": "60"}))
    fetch(hub, tmp_path, "step512")
    refused, served = hub.requests("HEAD")
    assert (refused.status, served.status) == (429, 302)
    assert served.started - refused.started < 5


def test_unavailable_cdn_is_an_error(hub: LocalHub, tmp_path: Path) -> None:
    hub.faults.append(Fault("status", path="/cdn/", status=503))
    with pytest.raises(HfHubHTTPError, match="503"):
        fetch(hub, tmp_path, "step512")


def test_cut_body_is_resumed(
    hub: LocalHub, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.faults.append(Fault("truncate", at_byte=5500))
    assert fetch(hub, tmp_path, "step512").read_bytes() == content(repository, "step512")
    first, second = hub.requests("GET")
    assert (first.sent, first.fault) == (5500, "truncate")
    assert (second.status, second.range) == (206, "bytes=5000-")
    assert hub.downloaded_files() == ["step512/model.safetensors"]


@pytest.mark.parametrize("at_byte", [None, 5000])
def test_reset_connection_is_never_retried(hub: LocalHub, tmp_path: Path, at_byte: int | None) -> None:
    hub.faults.append(Fault("reset", path="/cdn/", at_byte=at_byte))
    with pytest.raises(Exception, match="reset by peer") as caught:
        fetch(hub, tmp_path, "step512")
    assert type(caught.value).__name__ == "ReadError"
    (request,) = hub.requests("GET")
    assert (request.status, request.sent) == ((0, 0) if at_byte is None else (200, 5000))


def test_flipped_byte_is_accepted_in_silence(hub: LocalHub, api: HfApi, repository: Repository, tmp_path: Path) -> None:
    hub.faults.append(Fault("corrupt", path="step512", method="GET", at_byte=7000))
    delivered, true = fetch(hub, tmp_path, "step512").read_bytes(), content(repository, "step512")
    assert [place for place in range(len(true)) if delivered[place] != true[place]] == [7000]
    checked = api.verify_repo_checksums(NAME, revision="step512", cache_dir=tmp_path)
    assert [mismatch["path"] for mismatch in checked.mismatches] == [WEIGHTS]


@pytest.mark.parametrize("at_byte", [None, 100])
def test_stall_holds_the_answer_back(hub: LocalHub, at_byte: int | None) -> None:
    hub.faults.append(Fault("stall", seconds=0.3, at_byte=at_byte))
    begin = time.monotonic()
    with urlopen(f"{hub.endpoint}/{NAME}/resolve/main/config.json") as answer:
        assert json.load(answer)["model_type"] == "gpt_neox"
    assert time.monotonic() - begin >= 0.3


def test_faults_count_and_skip(hub: LocalHub, api: HfApi) -> None:
    hub.faults.append(Fault("status", path="/refs$", skip=1, count=1))
    api.list_repo_refs(NAME)
    with pytest.raises(HfHubHTTPError, match="503"):
        api.list_repo_refs(NAME)
    api.list_repo_refs(NAME)


def test_leaving_interrupts_a_stall(repository: Repository) -> None:
    begin = time.monotonic()
    with LocalHub([repository]) as hub:
        hub.faults.append(Fault("stall", path="/refs", seconds=60))
        with pytest.raises(TimeoutError):
            urlopen(f"{hub.endpoint}/api/models/{NAME}/refs", timeout=0.2)
    assert time.monotonic() - begin < 5


def test_bandwidth_is_shared(hub: LocalHub, repository: Repository, tmp_path: Path) -> None:
    hub.bandwidth = 4.0 * len(content(repository, "step512"))
    begin = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda step: fetch(hub, tmp_path, step), ("step0", "step512")))
    assert time.monotonic() - begin > 0.49


def test_commit_ids_are_reproducible_and_duplicates_keep_their_own() -> None:
    def build() -> Repository:
        repository = Repository(NAME)
        for branch in ("step0", "step1", "step0"):
            repository.commit(branch, {WEIGHTS: b"same", "README.md": b"text"})
        return repository

    once = build()
    assert once.branches == build().branches
    assert len(once.commits) == 3
    assert all(len(oid) == 40 for oid in once.commits)


def test_blob_reads_alike_from_memory_and_disk(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    (tmp_path / "file").write_bytes(data)
    memory, disk = Blob(data), Blob(tmp_path / "file")
    assert (memory.size, memory.sha256, memory.git_oid) == (disk.size, disk.sha256, disk.git_oid)
    assert b"".join(memory.chunks(70_000, 200_001)) == b"".join(disk.chunks(70_000, 200_001))
    assert b"".join(disk.chunks(70_000, 200_001)) == data[70_000:200_001]


def test_checkpoint_has_the_names_and_sizes_of_the_hub(tmp_path: Path) -> None:
    config = pythia_config("14m", vocab_size=128, max_position_embeddings=32)
    tensors = write_checkpoint(tmp_path, config, seed=1, formats=("safetensors", "bin"), shards=3)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    parts = sorted(tmp_path.glob("model-*.safetensors"))
    assert [part.name for part in parts] == [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    stored = {name: (part.name, value) for part in parts for name, value in load_file(part).items()}
    assert index["weight_map"] == {name: stored[name][0] for name in sorted(tensors)}
    assert all(torch.equal(stored[name][1], tensors[name]) for name in tensors)
    assert len(list(tmp_path.glob("pytorch_model-*.bin"))) == 3
    assert tensors["gpt_neox.layers.5.attention.bias"].shape == (1, 1, 32, 32)
    assert sum("inv_freq" in name for name in tensors) == 6
    weights = [value for name, value in tensors.items() if "attention." not in name or "query" in name]
    assert {value.dtype for value in weights} == {torch.float16}


def test_seeds_give_other_weights_and_the_same_seed_the_same_bytes(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_checkpoint(tmp_path / folder, pythia_config("tiny"), seed)
    first, again, other = ((tmp_path / folder / WEIGHTS).read_bytes() for folder in "abc")
    assert first == again != other


FROM_PRETRAINED = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
name, folder, branches, text = sys.argv[1:]
for branch in branches.split(","):
    model = AutoModelForCausalLM.from_pretrained(name, revision=branch, dtype=torch.float32)
    buffers = {"inv_freq": model.gpt_neox.rotary_emb.inv_freq}
    torch.save({**model.state_dict(), **buffers}, f"{folder}/{branch}.pt")
if text:
    print(json.dumps(AutoTokenizer.from_pretrained(name, revision="step512")(text)["input_ids"]))
"""
LAYOUTS = {"step512": ("safetensors", 1), "sharded": ("safetensors", 3), "old": ("bin", 1)}


def layouts_repository(folder: Path, text: str) -> Repository:
    """The same weights as one file, as three files, and as a pickle; with a tokenizer if there is a text."""
    repository = step_repository(folder, pythia_config("tiny"), [512], tokenizer=bool(text))
    for branch, (form, shards) in LAYOUTS.items():
        if branch not in repository.branches:
            write_checkpoint(folder / branch, pythia_config("tiny"), 512, (form,), shards)
            repository.commit(branch, {path.name: path for path in (folder / branch).iterdir()})
    return repository


def test_from_pretrained_gives_the_written_weights(tmp_path: Path) -> None:
    text = "Geometry of  a\n    training run" if TOKENIZER.is_file() else ""
    with LocalHub([layouts_repository(tmp_path / "files", text)]) as hub:
        ran = subprocess.run(
            [sys.executable, "-c", FROM_PRETRAINED, NAME, str(tmp_path), ",".join(LAYOUTS), text],
            env=client_environment(hub.endpoint, tmp_path / "home"),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.returncode == 0, ran.stderr
        assert {f"sharded/model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)} < {*hub.downloaded_files()}
    written = load_file(tmp_path / "files" / "step512" / WEIGHTS)
    written["lm_head.weight"] = written.pop("embed_out.weight")
    inverse = written["gpt_neox.layers.0.attention.rotary_emb.inv_freq"].float()
    for branch in LAYOUTS:
        loaded = torch.load(tmp_path / f"{branch}.pt")
        assert torch.allclose(loaded.pop("inv_freq"), inverse, rtol=1e-3)
        assert all(torch.equal(loaded[name], written[name].float()) for name in loaded)
    if text:
        tokenizers = pytest.importorskip("tokenizers")
        assert json.loads(ran.stdout) == tokenizers.Tokenizer.from_file(str(TOKENIZER)).encode(text).ids
