"""One model instance for a whole suite: built once, weights swapped in place, layers found.

What goes silently wrong with today's client libraries, and what is done here (docs/decisions/0002):
a model built on the meta device keeps garbage in its rotary buffers, so buffers are built for real;
without a dtype the checkpoint's own is taken, so it is always passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.extraction.tensor_names import TensorNames, names_of, weight_slots
from pythia_geometry.extraction.weight_files import read_tensors
from pythia_geometry.suites.checkpoint import CORRUPT, Checkpoint

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

EMBED, FINAL_NORM = "embed", "final_norm"
ATTENTION_KERNEL = "sdpa"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_WEIGHT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@dataclass(frozen=True)
class Shape:
    """What a config says of a model's size, without building it; and the attention kernel that it runs with."""

    n_layers: int
    width: int
    vocab_size: int
    context: int
    kernel: str = ATTENTION_KERNEL

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
        module: The `transformers` model, in evaluation mode; without a head, the base model.
        has_head: Whether there is an output head: without one answers cannot be scored, and none of its memory is
            taken.
        blocks: Its transformer blocks, in order.
        last_mlp: The last block's MLP where it is known to treat every position by itself, else None.
        shape: Blocks, width, vocabulary.
    """

    def __init__(self, config_file: Path, dtype: str = "float32", device: str = "cpu", head: bool = True) -> None:
        """Builds the module without weights.

        Raises:
            PythiaGeometryError: If the config is unreadable or names code outside transformers.
        """
        self.device = torch.device(device)
        self.dtype = dtype
        self.has_head = head
        empty = _empty_model(_read_config(config_file), DTYPES[dtype])
        self.names = names_of(empty)
        self.module: PreTrainedModel = empty if head else empty.base_model  # type: ignore[assignment]
        _allocate(self.module, DTYPES[dtype], self.device)
        self.base: nn.Module = self.module.base_model
        self.shape = read_shape(config_file)
        self.blocks = _find_blocks(self.base, self.shape.n_layers)
        self.last_mlp = _positionwise(getattr(self.blocks[-1], "mlp", None))
        prefix = "" if head else self.names.prefix
        self._slots = {prefix + name: slot for name, slot in weight_slots(self.module).items()}

    @property
    def n_parameters(self) -> int:
        """Parameters, tied ones once."""
        return sum(p.numel() for p in self.module.parameters())

    def swap(self, weights: Path | Mapping[str, Tensor], checkpoint: Checkpoint) -> None:
        """Replaces every weight by the checkpoint's.

        Args:
            weights: The folder of the weight files; or the base model's tensors by their names in the files, for a
                model without a head.
            checkpoint: Whose weights they are.

        Raises:
            CheckpointError: If the file is truncated, corrupt, would run code, or does not hold exactly
                this model's tensors.
        """
        whole = isinstance(weights, Path)
        tensors = read_tensors(weights, checkpoint) if isinstance(weights, Path) else weights
        matched = self.names.match(tensors, self.names.shapes if whole else self._slots, checkpoint)
        with torch.no_grad():
            for slot, mine in self._slots.items():
                tensor = tensors[matched[slot]]
                self.names.check_shape(slot, matched[slot], tuple(tensor.shape), checkpoint)
                _check_plain(matched[slot], tensor, checkpoint)
                mine.copy_(tensor.to(self.device))  # first over the bus in the file's narrower dtype, then converted


def read_names(config_file: Path) -> TensorNames:
    """The names of a checkpoint's tensors, without memory for a weight.

    Raises:
        PythiaGeometryError: If the config is unreadable or names code outside transformers.
    """
    return names_of(_empty_model(_read_config(config_file), torch.float32))


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


def _empty_model(config: PretrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """The module with parameters that take no memory, and real buffers."""
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    try:
        with init_empty_weights(include_buffers=False):
            module: PreTrainedModel = AutoModelForCausalLM.from_config(
                config, dtype=dtype, attn_implementation=ATTENTION_KERNEL, trust_remote_code=False
            )
    except (ValueError, TypeError) as error:
        raise PythiaGeometryError(f"A {config.model_type} of this config cannot be built: {error}") from error
    module.tie_weights()
    return module


def _allocate(module: PreTrainedModel, dtype: torch.dtype, device: torch.device) -> None:
    """Gives an empty module its memory, still without weights."""
    for owner in module.modules():
        for name, parameter in list(owner.named_parameters(recurse=False)):
            empty = torch.empty(parameter.shape, dtype=dtype)
            setattr(owner, name, nn.Parameter(empty, requires_grad=False))
    module.tie_weights()
    module.eval()
    nn.Module.to(module, device)


def _find_blocks(base: nn.Module, n_layers: int) -> nn.ModuleList:
    for module in base.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers:
            return module
    raise PythiaGeometryError(f"{type(base).__name__} has no list of {n_layers} blocks to hook")


def _positionwise(mlp: nn.Module | None) -> nn.Module | None:
    """The module if it maps one tensor by linear maps and functions without parameters; a mixture of experts is not."""
    from transformers.pytorch_utils import Conv1D

    def is_plain(part: nn.Module) -> bool:
        return isinstance(part, nn.Linear | Conv1D) or not any(True for _ in part.parameters())

    if mlp is None or list(mlp.parameters(recurse=False)) or not all(map(is_plain, mlp.children())):
        return None
    if len(signature(mlp.forward).parameters) != 1:  # BLOOM's adds the residual stream
        return None
    return mlp


def _check_plain(name: str, tensor: Tensor, checkpoint: Checkpoint) -> None:
    """Plain floating-point weights, or an error."""
    if tensor.layout != torch.strided or tensor.dtype not in _WEIGHT_DTYPES:
        wrong = f"is {tensor.layout} {tensor.dtype}, not plain floating-point weights"
        raise CheckpointError(f"{checkpoint.label}: {name} {wrong}", CORRUPT)
