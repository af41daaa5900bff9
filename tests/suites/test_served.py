"""Which format of a step is read: `auto` leaves safetensors only where they are refused and the `.bin` is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pythia_geometry.suites.checkpoint import Checkpoint
from pythia_geometry.suites.hub.suite import HubSuite
from pythia_geometry.suites.local import LocalSuite
from tests.hub.repository import Repository
from tests.hub.server import LocalHub

NAMES = {"s": "model.safetensors", "b": "pytorch_model.bin"}

Find = Callable[..., dict[int, Checkpoint]]


def files_of(weights: str) -> dict[str, bytes]:
    """`s1 b2` is a safetensors file of content 1 and a .bin of content 2."""
    return {NAMES[word[0]]: word.encode() for word in weights.split()} | {"config.json": b"{}"}


@pytest.fixture(params=["hub", "local"])
def find(
    request: pytest.FixtureRequest,
    serve: Callable[..., LocalHub],
    suite_of: Callable[..., HubSuite],
    tmp_path: Path,
) -> Find:
    """Finds steps of a suite whose files are given, on a Hub (where main serves the last step) and in a folder."""

    def on_hub(steps: Mapping[int, str], weight_format: str = "auto") -> dict[int, Checkpoint]:
        repository = Repository("org/run")
        for step, weights in steps.items():
            repository.commit(f"step{step}", files_of(weights))
        repository.commit("main", files_of(steps[max(steps)]))
        found = suite_of(serve(repository), "org/run").find(list(steps), weight_format)
        return {c.step: c for c in found}

    def in_folder(steps: Mapping[int, str], weight_format: str = "auto") -> dict[int, Checkpoint]:
        for step, weights in steps.items():
            (tmp_path / f"step{step}").mkdir()
            for name, content in files_of(weights).items():
                (tmp_path / f"step{step}" / name).write_bytes(content)
        return {c.step: c for c in LocalSuite(tmp_path).find(list(steps), weight_format)}

    return on_hub if request.param == "hub" else in_folder


def read_from(found: Mapping[int, Checkpoint]) -> dict[int, str]:
    return {s: c.files[0].name.rpartition(".")[2] if c.status == "ok" else c.status for s, c in found.items()}


def test_auto_reads_safetensors_where_both_are_sound(find: Find) -> None:
    found = find({0: "s0 b0", 5: "s5 b5", 9: "s9 b9"})
    assert read_from(found) == {0: "safetensors", 5: "safetensors", 9: "safetensors"}
    assert {c.detail for c in found.values()} == {""}


def test_auto_reads_the_bin_of_a_refused_step_and_says_so(find: Find) -> None:
    found = find({0: "s0 b0", 5: "s9 b5", 9: "s9 b9"})
    assert read_from(found) == {0: "safetensors", 5: "bin", 9: "safetensors"}
    assert found[5].detail.startswith(f"Read from pytorch_model.bin. {found[5].label} holds the same weights as ")
    assert "--duplicates" not in found[5].detail


def test_auto_refuses_a_step_whose_bin_is_wrong_too(find: Find) -> None:
    found = find({0: "s0 b0", 5: "s9 b9", 9: "s9 b9"})
    assert read_from(found) == {0: "safetensors", 5: "duplicate", 9: "safetensors"}
    assert found[5].detail.endswith("or pass --duplicates keep.")


def test_steps_with_one_format_are_read_in_it(find: Find) -> None:
    found = find({0: "b0", 5: "s5", 9: "b9"})
    assert read_from(found) == {0: "bin", 5: "safetensors", 9: "bin"}
    assert {c.detail for c in found.values()} == {""}


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_one_format_on_request(find: Find, form: str) -> None:
    found = find({0: "s0 b0", 5: "s9 b9", 9: "s9 b9"}, form)
    assert read_from(found) == {0: form, 5: "duplicate", 9: form}


def test_format_that_a_step_lacks_is_missing_and_says_what_is_there(find: Find) -> None:
    found = find({0: "s0 b0", 5: "s5", 9: "s9 b9"}, "bin")
    assert read_from(found) == {0: "bin", 5: "missing", 9: "bin"}
    assert found[5].detail.endswith("@step5 has no bin weights, only safetensors. Pass --format auto")


def test_incomplete_safetensors_give_way_to_a_whole_bin(tmp_path: Path) -> None:
    folder = tmp_path / "step0"
    folder.mkdir()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    (folder / "pytorch_model.bin").write_bytes(b"b0")
    (found,) = LocalSuite(tmp_path).find([0])
    assert (found.status, found.files[0].name) == ("ok", "pytorch_model.bin")
    assert "lists 0 shards, fewer than its index" in found.detail
