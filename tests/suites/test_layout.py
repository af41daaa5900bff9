"""The one weight format of a revision, and which shards its index names."""

from __future__ import annotations

import json

import pytest

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.layout.weights import WeightLayout, weight_layouts

SAFETENSORS, BIN = "model.safetensors", "pytorch_model.bin"
SAFETENSORS_INDEX, BIN_INDEX = f"{SAFETENSORS}.index.json", f"{BIN}.index.json"


def shards(n: int, of: int, form: str = "safetensors") -> list[str]:
    stem = "model" if form == "safetensors" else "pytorch_model"
    return [f"{stem}-{i:05d}-of-{of:05d}.{form}" for i in range(1, n + 1)]


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
    [set(), {"config.json", "tokenizer.json"}, {"training_args.bin", "optimizer.pt"}, {*shards(2, 2)}],
)
def test_revision_without_weights_is_missing(names: set[str]) -> None:
    with pytest.raises(CheckpointError) as caught:
        weight_layouts(names, "EleutherAI/pythia-410m-seed2 at step111000")
    assert caught.value.status == "missing"
    assert str(caught.value).startswith("EleutherAI/pythia-410m-seed2 at step111000 has no weights. Expected")


def index_of(weight_map: object) -> bytes:
    return json.dumps({"weight_map": weight_map}).encode()


LAYOUT = WeightLayout(tuple(shards(2, 2)), SAFETENSORS_INDEX)


def test_index_names_the_shards() -> None:
    first, second = shards(2, 2)
    assert LAYOUT.named(index_of({"b": second, "a": first, "c": second}), "x") == (first, second)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "sub/model-00001-of-00002.safetensors", "x.bin", "..", "a\nb", 5, None]
)
def test_index_that_names_no_plain_shard_is_corrupt(name: object) -> None:
    with pytest.raises(CheckpointError, match="which is no shard") as caught:
        LAYOUT.named(index_of({"a": shards(1, 2)[0], "b": name}), "x")
    assert caught.value.status == "corrupt"


def test_index_that_names_an_absent_shard_is_missing() -> None:
    with pytest.raises(CheckpointError, match="lacks the shard model-00003-of-00003") as caught:
        LAYOUT.named(index_of({"a": shards(3, 3)[2]}), "x")
    assert caught.value.status == "missing"


@pytest.mark.parametrize(
    "text", ["", "{", "{}", '{"weight_map": []}', '{"weight_map": null}', '{"weight_map": {}}', "[" * 100_000, "\x00"]
)
def test_damaged_index_is_corrupt(text: str) -> None:
    with pytest.raises(CheckpointError, match="is not a shard index") as caught:
        LAYOUT.named(text.encode(), "x")
    assert caught.value.status == "corrupt"


def named(template: str, n: int, first: int = 1) -> list[str]:
    return [template.format(i, n) for i in range(first, first + n)]


@pytest.mark.parametrize(
    "files",
    [
        named("model-{:05d}-of-{:06d}.safetensors", 2),  # DeepSeek
        named("model-{:05d}-of-{:05d}.safetensors", 3, first=0),  # gpt-oss
        named("model_{:05d}-of-{:05d}.safetensors", 2),
        named("weights-{:d}-of-{:d}.safetensors", 2),
    ],
)
def test_one_complete_set_of_shards_needs_no_index_to_be_read(files: list[str]) -> None:
    assert weight_layouts({*files, SAFETENSORS_INDEX, "config.json"}, "x") == {
        "safetensors": WeightLayout(tuple(files), SAFETENSORS_INDEX)
    }


def test_bloom_shards() -> None:
    files = named("pytorch_model_{:05d}-of-{:05d}.bin", 72)
    found = weight_layouts({*files, BIN_INDEX, "training_args.bin"}, "x")
    assert found == {"bin": WeightLayout(tuple(files), BIN_INDEX)}


@pytest.mark.parametrize(
    "others", [shards(3, 3), shards(2, 3), ["whole.safetensors"], named("old-{:d}-of-{:d}.safetensors", 1)]
)
def test_where_other_weights_lie_beside_the_index_decides(others: list[str]) -> None:
    own = shards(2, 2)
    layout = weight_layouts({*own, *others, SAFETENSORS_INDEX}, "x")["safetensors"]
    assert layout.is_doubtful
    assert layout.named(index_of({"a": own[0], "b": own[1]}), "x") == tuple(own)
    assert layout.named(index_of({"a": others[0]}), "x") == (others[0],)


@pytest.mark.parametrize(
    ("names", "word"),
    [
        ({"adapter_config.json", "adapter_model.safetensors"}, "adapter"),
        ({"adapter_model.bin", "tokenizer.json"}, "adapter"),
        ({"pythia.Q4_K_M.gguf"}, "GGUF"),
        ({"global_step10/", "latest", "zero_to_fp32.py"}, "DeepSpeed"),
        ({"mp_rank_00_model_states.pt"}, "DeepSpeed"),
        ({"pytorch_model_fsdp_0/"}, "FSDP"),
        ({"__0_0.distcp", ".metadata"}, "FSDP"),
        ({"mp_rank_00/", "latest_checkpointed_iteration.txt"}, "Megatron"),
        ({"consolidated.00.pth"}, "Meta"),
        ({"last.ckpt"}, "Lightning"),
        ({"training_args.bin", "flax_model.msgpack"}, "Flax"),
        ({"tf_model.h5"}, "TensorFlow"),
        ({"model.pt", "optimizer.pt"}, "pickle"),
        ({"model.onnx"}, "compiled"),
    ],
)
def test_weights_of_a_kind_that_is_not_read_are_named_and_not_called_corrupt(names: set[str], word: str) -> None:
    with pytest.raises(CheckpointError, match=rf"has no weights\. Expected .*\. It holds .*{word}") as caught:
        weight_layouts(names, "x")
    assert caught.value.status == "unsupported"
    assert "not supported" in str(caught.value)
