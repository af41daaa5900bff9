"""Model checkpoints in the layout that the Hub serves for Pythia v1: config, weights, tokenizer."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

Config = dict[str, Any]

TOKENIZER = Path(__file__).resolve().parents[3] / "shared" / "pythia" / "20B_tokenizer.json"

_SHAPES: dict[str, Config] = {
    "tiny": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 128,
        "vocab_size": 64,
    },
    "14m": {
        "hidden_size": 128,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "intermediate_size": 512,
    },
    "70m": {
        "hidden_size": 512,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "intermediate_size": 2048,
    },
    "160m": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
}

_COMMON: Config = {
    "architectures": ["GPTNeoXForCausalLM"],
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "gelu",
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048,
    "model_type": "gpt_neox",
    "rotary_emb_base": 10000,
    "rotary_pct": 0.25,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.24.0",
    "use_cache": True,
    "use_parallel_residual": True,
    "vocab_size": 50304,
}


def pythia_config(size: str, **changes: Any) -> Config:
    """The contents of ``config.json``, in the key style of the years when Pythia was uploaded.

    Args:
        size: ``tiny`` (not a Pythia size: two layers, 64 words), ``14m``, ``70m`` or ``160m``.
        changes: Values to replace, such as ``vocab_size``. ``max_position_embeddings`` is also the side of
            the attention masks that old checkpoints carry: one byte an entry, 4 MB a layer at 2048.
    """
    if size not in _SHAPES:
        raise ValueError(f"Unknown size {size!r}; expected one of {sorted(_SHAPES)}.")
    return dict(sorted({**_COMMON, **_SHAPES[size], **changes}.items()))


def write_checkpoint(
    folder: Path,
    config: Config,
    seed: int,
    formats: tuple[str, ...] = ("safetensors",),
    shards: int = 1,
    legacy_buffers: bool = True,
    dtype: torch.dtype = torch.float16,
) -> dict[str, Tensor]:
    """Write ``config.json`` and random weights under the Hub's own tensor names.

    Weights follow the Hugging Face initialisation, except that biases and layer norms get noise too: a loader
    that forgets one of them gives other outputs.

    Args:
        folder: Made if need be.
        config: As from ``pythia_config``.
        seed: The same seed and config give the same bytes.
        formats: ``safetensors`` (``model.safetensors``), ``bin`` (``pytorch_model.bin``), or both.
        shards: Number of weight files of each format; more than one adds the index.
        legacy_buffers: Whether to add the masks and rotary frequencies of old checkpoints.
        dtype: Of weights and frequencies.

    Returns:
        Everything written, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tensors = {name: tensor.to(dtype) for name, tensor in _weights(config, seed)}
    if legacy_buffers:
        tensors |= _legacy_buffers(config, dtype)
    for form in formats:
        stem, suffix, save = _FORMATS[form]
        _write_shards(folder, stem, suffix, save, _split(tensors, shards))
    return tensors


def write_tokenizer(folder: Path) -> None:
    """Write the tokenizer files of Pythia.

    Raises:
        FileNotFoundError: If this machine has no copy of the tokenizer.
    """
    if not TOKENIZER.is_file():
        raise FileNotFoundError(f"No Pythia tokenizer at {TOKENIZER}: tests that need words cannot run here.")
    folder.mkdir(parents=True, exist_ok=True)
    special = {f"{role}_token": "<|endoftext|>" for role in ("bos", "eos", "unk")}
    settings = {"add_prefix_space": False, **special, "tokenizer_class": "GPTNeoXTokenizer"}
    shutil.copyfile(TOKENIZER, folder / "tokenizer.json")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "special_tokens_map.json").write_text(json.dumps(special))


def _weights(config: Config, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Every parameter of a GPT-NeoX language model, in float32."""
    generator = torch.Generator().manual_seed(seed)
    std: float = config["initializer_range"]
    hidden, inner, words = config["hidden_size"], config["intermediate_size"], config["vocab_size"]

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * std

    def norm(name: str) -> Iterator[tuple[str, Tensor]]:
        yield f"{name}.weight", 1 + noise(hidden)
        yield f"{name}.bias", noise(hidden)

    def linear(name: str, rows: int, columns: int) -> Iterator[tuple[str, Tensor]]:
        yield f"{name}.weight", noise(rows, columns)
        yield f"{name}.bias", noise(rows)

    yield "gpt_neox.embed_in.weight", noise(words, hidden)
    for index in range(config["num_hidden_layers"]):
        layer = f"gpt_neox.layers.{index}"
        yield from norm(f"{layer}.input_layernorm")
        yield from norm(f"{layer}.post_attention_layernorm")
        yield from linear(f"{layer}.attention.query_key_value", 3 * hidden, hidden)
        yield from linear(f"{layer}.attention.dense", hidden, hidden)
        yield from linear(f"{layer}.mlp.dense_h_to_4h", inner, hidden)
        yield from linear(f"{layer}.mlp.dense_4h_to_h", hidden, inner)
    yield from norm("gpt_neox.final_layer_norm")
    yield "embed_out.weight", noise(words, hidden)


def _legacy_buffers(config: Config, dtype: torch.dtype) -> dict[str, Tensor]:
    """What transformers of 2023 saved beside the parameters: no model of today has them."""
    side = config["max_position_embeddings"]
    head = config["hidden_size"] // config["num_attention_heads"]
    rotary = int(head * config["rotary_pct"])
    frequencies = 1.0 / config["rotary_emb_base"] ** (torch.arange(0, rotary, 2).float() / rotary)
    buffers = {}
    for index in range(config["num_hidden_layers"]):
        attention = f"gpt_neox.layers.{index}.attention"
        mask = torch.ones(side, side, dtype=torch.uint8).tril()
        buffers[f"{attention}.bias"] = mask.view(1, 1, side, side)
        buffers[f"{attention}.masked_bias"] = torch.tensor(-1e9).to(dtype)
        buffers[f"{attention}.rotary_emb.inv_freq"] = frequencies.to(dtype)
    return buffers


def _split(tensors: dict[str, Tensor], shards: int) -> list[dict[str, Tensor]]:
    """Cut the tensors, in order, into parts of about the same number of bytes, none of them empty."""
    if not 1 <= shards <= len(tensors):
        raise ValueError(f"{len(tensors)} tensors cannot fill {shards} shards.")
    share = sum(tensor.nbytes for tensor in tensors.values()) / shards
    parts: list[dict[str, Tensor]] = [{}]
    written = 0
    for left, (name, tensor) in zip(range(len(tensors), 0, -1), tensors.items(), strict=True):
        missing = shards - len(parts)
        if parts[-1] and missing and (written >= share * len(parts) or left <= missing):
            parts.append({})
        parts[-1][name] = tensor
        written += tensor.nbytes
    return parts


def _write_shards(
    folder: Path,
    stem: str,
    suffix: str,
    save: Callable[[dict[str, Tensor], Path], None],
    parts: list[dict[str, Tensor]],
) -> None:
    """One file, or numbered files and the index that says which tensor is where."""
    if len(parts) == 1:
        save(parts[0], folder / f"{stem}.{suffix}")
        return
    where: dict[str, str] = {}
    for number, part in enumerate(parts, start=1):
        name = f"{stem}-{number:05d}-of-{len(parts):05d}.{suffix}"
        save(part, folder / name)
        where |= dict.fromkeys(part, name)
    total = sum(tensor.nbytes for part in parts for tensor in part.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index, indent=2) + "\n")


def _save_safetensors(tensors: dict[str, Tensor], path: Path) -> None:
    save_file(tensors, path, metadata={"format": "pt"})


def _save_bin(tensors: dict[str, Tensor], path: Path) -> None:
    torch.save(tensors, path)


_FORMATS: dict[str, tuple[str, str, Callable[[dict[str, Tensor], Path], None]]] = {
    "safetensors": ("model", "safetensors", _save_safetensors),
    "bin": ("pytorch_model", "bin", _save_bin),
}
