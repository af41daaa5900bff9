"""One model instance for a whole suite: built once, weights swapped in place, layers found.

What goes silently wrong with today's client libraries, and what is done here (docs/decisions/0002):
a model built on the meta device keeps garbage in its rotary buffers, so buffers are built for real;
without a dtype the checkpoint's own is taken, so it is always passed; a legacy file holds mask buffers
and an output head under another name, so exactly these are allowed for and anything else is an error;
a `.bin` branch starts a conversion thread on load, so no loader of transformers sees the files.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.suites.checkpoint import CORRUPT, Checkpoint

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

EMBED, FINAL_NORM = "embed", "final_norm"
ATTENTION_KERNEL = "sdpa"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# Buffers that old files carry and today's modules compute: masks and rotary frequencies.
_LEGACY = re.compile(r"(?:.*\.)?(?:attention\.(?:bias|masked_bias|rotary_emb\.inv_freq)|attn\.(?:bias|masked_bias))")
_RENAMED = {"embed_out.weight": "lm_head.weight"}
_WEIGHT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@dataclass(frozen=True)
class Shape:
    """What a config says of a model's size, without building it."""

    n_layers: int
    width: int
    vocab_size: int
    context: int

    @property
    def layers(self) -> list[str]:
        """Layer names in order: `embed`, `resid_1` … `resid_L`, `final_norm`."""
        return [EMBED, *(f"resid_{i}" for i in range(1, self.n_layers + 1)), FINAL_NORM]

    @property
    def flops_per_token(self) -> float:
        """Operations of the blocks for one token: 2 for each of the about 12 d² weights of a block."""
        return 24.0 * self.n_layers * self.width**2

    @property
    def head(self) -> float:
        """Weights of the output head."""
        return float(self.width * self.vocab_size)


def read_shape(config_file: Path) -> Shape:
    """Reads the shape from `config.json`.

    Raises:
        PythiaGeometryError: If transformers does not know such a config.
    """
    config = _read_config(config_file)
    context = int(getattr(config, "max_position_embeddings", 0) or 0)
    return Shape(int(config.num_hidden_layers), int(config.hidden_size), int(config.vocab_size), context)


class SuiteModel:
    """A causal language model whose weights are replaced checkpoint by checkpoint.

    Attributes:
        module: The `transformers` model, in evaluation mode.
        blocks: Its transformer blocks, in order.
        last_mlp: The last block's MLP where it is known to treat every position by itself, else None.
        shape: Blocks, width, vocabulary.
    """

    def __init__(self, config_file: Path, dtype: str = "float32", device: str = "cpu") -> None:
        """Builds the module without weights.

        Raises:
            PythiaGeometryError: If the config is unreadable or names code outside transformers.
        """
        self.device = torch.device(device)
        self.dtype = dtype
        config = _read_config(config_file)
        self.module = _build(config, DTYPES[dtype], self.device)
        self.base: nn.Module = self.module.base_model
        self.shape = read_shape(config_file)
        self.blocks = _find_blocks(self.base, self.shape.n_layers)
        self.last_mlp = _positionwise(getattr(self.blocks[-1], "mlp", None))
        self._slots = _weight_slots(self.module)

    @property
    def n_parameters(self) -> int:
        """Parameters, tied ones once."""
        return sum(p.numel() for p in self.module.parameters())

    def swap(self, folder: Path, checkpoint: Checkpoint) -> None:
        """Replaces every weight by the checkpoint's.

        Raises:
            CheckpointError: If the file is truncated, corrupt, would run code, or does not hold exactly
                this model's tensors.
        """
        with _opened(folder, checkpoint) as tensors:
            names = _match_names(tensors, self._slots, self.module, checkpoint)
            with torch.no_grad():
                for slot, name in names.items():
                    tensor = tensors[name]
                    _check_tensor(name, tensor, self._slots[slot].shape, checkpoint)
                    self._slots[slot].copy_(tensor)


def _read_config(config_file: Path) -> PretrainedConfig:
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(str(config_file), trust_remote_code=False)
    except Exception as error:  # transformers raises many kinds for a config that it cannot read
        raise PythiaGeometryError(f"{config_file} is not a model config that transformers knows: {error}") from error
    if not hasattr(config, "num_hidden_layers") or config.is_encoder_decoder:
        raise PythiaGeometryError(f"{config_file}: {config.model_type} is not a decoder-only language model")
    return config


def _build(config: PretrainedConfig, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """The module with empty parameters and real buffers."""
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    try:
        with init_empty_weights(include_buffers=False):
            module: PreTrainedModel = AutoModelForCausalLM.from_config(
                config, dtype=dtype, attn_implementation=ATTENTION_KERNEL, trust_remote_code=False
            )
    except (ValueError, TypeError) as error:
        raise PythiaGeometryError(f"A {config.model_type} of this config cannot be built: {error}") from error
    for owner in module.modules():
        for name, parameter in list(owner.named_parameters(recurse=False)):
            empty = torch.empty(parameter.shape, dtype=dtype)
            setattr(owner, name, nn.Parameter(empty, requires_grad=False))
    module.tie_weights()
    module.eval()
    nn.Module.to(module, device)
    return module


def _find_blocks(base: nn.Module, n_layers: int) -> nn.ModuleList:
    for module in base.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers:
            return module
    raise PythiaGeometryError(f"{type(base).__name__} has no list of {n_layers} blocks to hook")


def _positionwise(mlp: nn.Module | None) -> nn.Module | None:
    """The module if it is made of linear maps and of functions without parameters; a mixture of experts is not."""
    from transformers.pytorch_utils import Conv1D

    def is_plain(part: nn.Module) -> bool:
        return isinstance(part, nn.Linear | Conv1D) or not any(True for _ in part.parameters())

    if mlp is None or list(mlp.parameters(recurse=False)) or not all(map(is_plain, mlp.children())):
        return None
    return mlp


def _weight_slots(module: nn.Module) -> dict[str, Tensor]:
    """Every tensor that a checkpoint must fill, tied parameters once."""
    slots: dict[str, Tensor] = dict(module.named_parameters())
    persistent = module.state_dict(keep_vars=True)
    slots.update((n, b) for n, b in module.named_buffers() if n in persistent)
    return slots


def _check_tensor(name: str, tensor: Tensor, shape: torch.Size, checkpoint: Checkpoint) -> None:
    """Plain floating-point weights of the config's shape, or an error."""
    if tensor.shape != shape:
        wrong = f"has shape {tuple(tensor.shape)}, the config says {tuple(shape)}"
    elif tensor.layout != torch.strided or tensor.dtype not in _WEIGHT_DTYPES:
        wrong = f"is {tensor.layout} {tensor.dtype}, not plain floating-point weights"
    else:
        return
    raise CheckpointError(f"{checkpoint.label}: {name} {wrong}", CORRUPT)


def _match_names(
    tensors: Mapping[str, Tensor],
    slots: Mapping[str, Tensor],
    module: PreTrainedModel,
    checkpoint: Checkpoint,
) -> dict[str, str]:
    """Which tensor of the file fills which slot; a tensor too few or too many is an error."""
    prefix = f"{module.base_model_prefix}."
    tied = set(module.state_dict()) - set(slots)
    matched: dict[str, str] = {}
    extra: list[str] = []
    for name in tensors:
        candidates = (_RENAMED.get(name, name), name, prefix + name)
        slot = next((c for c in candidates if c in slots), None)
        if slot is not None and slot not in matched:
            matched[slot] = name
        elif not _LEGACY.fullmatch(name) and _RENAMED.get(name, name) not in tied:
            extra.append(name)
    missing = sorted(set(slots) - set(matched))
    if missing or extra:
        what = f"lacks {missing[0]}" if missing else f"holds {sorted(extra)[0]}, which the model does not have"
        raise CheckpointError(
            f"{checkpoint.label}: the weights do not fit the config: the file {what} "
            f"({len(missing)} missing, {len(extra)} unknown tensors)",
            CORRUPT,
        )
    return matched


@contextmanager
def _opened(folder: Path, checkpoint: Checkpoint) -> Iterator[Mapping[str, Tensor]]:
    """All tensors of a checkpoint's files by name, mapped from disk."""
    tensors: dict[str, Tensor] = {}
    for file in checkpoint.files:
        path = folder / file.name
        tensors.update(_read_safetensors(path) if path.suffix == ".safetensors" else _read_bin(path, checkpoint))
    yield tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} is truncated or corrupt: {error}", CORRUPT) from error


def _read_bin(path: Path, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """A pickle of tensors and nothing else."""
    try:
        read = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{checkpoint.label}: {path.name} is no plain pickle of tensors; it may run code when opened, so it "
            "was not opened",
            CORRUPT,
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(f"{path.name} is truncated or corrupt: {error}", CORRUPT) from error
    if (
        not isinstance(read, dict)
        or not all(isinstance(k, str) for k in read)
        or not all(isinstance(v, Tensor) for v in read.values())
    ):
        raise CheckpointError(f"{checkpoint.label}: {path.name} does not hold a dictionary of tensors", CORRUPT)
    return read
