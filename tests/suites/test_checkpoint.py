"""Names and identities of checkpoints."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pythia_geometry.suites.checkpoint import Checkpoint, WeightFile, run_name

A, B = (
    WeightFile("model-00001-of-00002.safetensors", 5, "a" * 64),
    WeightFile("model-00002-of-00002.safetensors", 7, "b" * 64),
)
POINT = Checkpoint("pythia", "pythia-160m", 3, 512, None, "EleutherAI/pythia-160m-seed3", "step512", files=(A, B))


@pytest.mark.parametrize(("seed", "name"), [(0, "pythia-160m"), (3, "pythia-160m-seed3")])
def test_run_and_label_carry_the_seed(seed: int, name: str) -> None:
    point = replace(POINT, seed=seed)
    assert (run_name(point.model, seed), point.run, point.label) == (name, name, f"{name}@step512")


def test_one_file_is_its_own_identity_and_none_is_empty() -> None:
    assert replace(POINT, files=(A,)).weight_sha256 == A.sha256
    assert replace(POINT, files=()).weight_sha256 == ""
    assert (POINT.size, replace(POINT, files=()).size) == (12, 0)


def test_identity_of_shards_depends_on_every_shard_and_not_on_their_order() -> None:
    identity = POINT.weight_sha256
    assert identity == replace(POINT, files=(B, A)).weight_sha256
    others = [(A, replace(B, sha256="c" * 64)), (replace(A, sha256="c" * 64), B), (A,)]
    others.append((replace(A, sha256=B.sha256), replace(B, sha256=A.sha256)))
    assert len({identity, *(replace(POINT, files=files).weight_sha256 for files in others)}) == 5
