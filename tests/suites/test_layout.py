"""Branch and folder names as steps, and the one weight format of a revision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.layout import StepLabel, WeightLayout, parse_step, weight_layouts

SAFETENSORS, BIN = "model.safetensors", "pytorch_model.bin"
SAFETENSORS_INDEX, BIN_INDEX = f"{SAFETENSORS}.index.json", f"{BIN}.index.json"


def shards(n: int, of: int, form: str = "safetensors") -> list[str]:
    stem = "model" if form == "safetensors" else "pytorch_model"
    return [f"{stem}-{i:05d}-of-{of:05d}.{form}" for i in range(1, n + 1)]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("step123", StepLabel(0, 123)),
        ("step0", StepLabel(0, 0)),
        ("step_1000", StepLabel(0, 1000)),
        ("step-1000", StepLabel(0, 1000)),
        ("step1000-tokens5B", StepLabel(0, 1000, 5 * 10**9)),
        ("stage1-step101000-tokens424B", StepLabel(1, 101000, 424 * 10**9)),
        ("stage2-ingredient3-step2000-tokens9B", StepLabel(2, 2000, 9 * 10**9)),
    ],
)
def test_step_name_is_read(name: str, label: StepLabel) -> None:
    assert parse_step(name) == label


@pytest.mark.parametrize(
    "name",
    [
        "main",
        "",
        "step",
        "stepping",
        "steps5",
        "Step5",
        "step5/",
        "step5\n",
        " step5",
        "step5.5",
        "step5-final",
        "my-step5",
        "step1/../..",
        "../step1",
        "step1/step2",
        "/step1",
        "refs/pr/1",
        "stage1",
        "stage1-",
        "stage1-step5-tokensB",
        "stage1-step5-tokens5M",
        "stage-step5",
        f"step{10**12 + 1}",
    ],
)
def test_other_name_is_no_step(name: str) -> None:
    assert parse_step(name) is None


def test_steps_sort_as_numbers() -> None:
    labels = [parse_step(f"step{n}") for n in (143000, 90000, 8, 512, 0)]
    assert [label.step for label in sorted(label for label in labels if label)] == [0, 8, 512, 90000, 143000]
    first_stage, second_stage = parse_step("stage1-step90000"), parse_step("stage2-step5")
    assert first_stage is not None
    assert second_stage is not None
    assert first_stage < second_stage


def test_formats_are_told_apart_and_safetensors_come_first() -> None:
    both = weight_layouts({SAFETENSORS, BIN, "config.json"}, "x")
    assert list(both.items()) == [("safetensors", WeightLayout((SAFETENSORS,))), ("bin", WeightLayout((BIN,)))]
    sharded = {*shards(2, 2), SAFETENSORS_INDEX, BIN, *shards(3, 3, "bin"), BIN_INDEX}
    assert weight_layouts(sharded, "x") == {
        "safetensors": WeightLayout(tuple(shards(2, 2)), SAFETENSORS_INDEX),
        "bin": WeightLayout((BIN,)),
    }
    assert weight_layouts({BIN, "config.json", "training_args.bin"}, "x") == {"bin": WeightLayout((BIN,))}


def test_one_file_is_preferred_to_shards_of_its_format() -> None:
    found = weight_layouts({SAFETENSORS, SAFETENSORS_INDEX, *shards(2, 2)}, "x")
    assert found == {"safetensors": WeightLayout((SAFETENSORS,))}


@pytest.mark.parametrize(("form", "index"), [("safetensors", SAFETENSORS_INDEX), ("bin", BIN_INDEX)])
def test_all_shards_are_needed(form: str, index: str) -> None:
    whole = shards(12, 12, form)
    assert weight_layouts({*whole, index}, "x") == {form: WeightLayout(tuple(whole), index)}
    assert weight_layouts({*whole[:4], *whole[5:], index}, "here")[form].problem.startswith("here lists 11 shards")
    assert weight_layouts({index}, "here")[form].problem.startswith("here lists 0 shards")


@pytest.mark.parametrize(
    "names",
    [set(), {"config.json", "tokenizer.json"}, {"training_args.bin", "flax_model.msgpack"}, {*shards(2, 2)}],
)
def test_revision_without_weights_is_missing(names: set[str]) -> None:
    with pytest.raises(CheckpointError) as caught:
        weight_layouts(names, "EleutherAI/pythia-410m-seed2 at step111000")
    assert caught.value.status == "missing"
    assert str(caught.value).startswith("EleutherAI/pythia-410m-seed2 at step111000 has no weights. Expected")


def index_file(folder: Path, weight_map: object) -> WeightLayout:
    (folder / SAFETENSORS_INDEX).write_text(json.dumps({"weight_map": weight_map}))
    return WeightLayout(tuple(shards(2, 2)), SAFETENSORS_INDEX)


def test_index_names_the_shards(tmp_path: Path) -> None:
    first, second = shards(2, 2)
    assert index_file(tmp_path, {"b": second, "a": first, "c": second}).resolve(tmp_path) == (first, second)
    assert WeightLayout((BIN,)).resolve(tmp_path) == (BIN,)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "sub/model-00001-of-00002.safetensors", "x.bin", 5]
)
def test_index_that_names_no_plain_shard_is_corrupt(tmp_path: Path, name: object) -> None:
    layout = index_file(tmp_path, {"a": shards(1, 2)[0], "b": name})
    with pytest.raises(CheckpointError, match="which is no shard") as caught:
        layout.resolve(tmp_path)
    assert caught.value.status == "corrupt"


def test_index_that_names_an_absent_shard_is_missing(tmp_path: Path) -> None:
    layout = index_file(tmp_path, {"a": shards(3, 3)[2]})
    with pytest.raises(CheckpointError, match="lacks the shard model-00003-of-00003") as caught:
        layout.resolve(tmp_path)
    assert caught.value.status == "missing"


@pytest.mark.parametrize("text", ["", "{", "{}", '{"weight_map": []}', '{"weight_map": null}'])
def test_damaged_index_is_corrupt(tmp_path: Path, text: str) -> None:
    (tmp_path / SAFETENSORS_INDEX).write_text(text)
    with pytest.raises(CheckpointError, match="is not a shard index") as caught:
        WeightLayout(tuple(shards(2, 2)), SAFETENSORS_INDEX).resolve(tmp_path)
    assert caught.value.status == "corrupt"


def test_absent_index_is_corrupt(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a shard index"):
        WeightLayout(tuple(shards(2, 2)), SAFETENSORS_INDEX).resolve(tmp_path)
