"""A language model built without its weights, and its parts found.

A model built on the meta device keeps garbage in its rotary buffers, which no checkpoint fills, so only parameters are
empty and buffers are built for real (docs/decisions/0002).
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pythia_geometry.errors import MachineError, PythiaGeometryError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

SDPA, EAGER = "sdpa", "eager"
MOST_BUFFERS = 4 * 2**30
"""Bytes of masks and tables that a config may ask for: GPT-2's mask grows with the square of its context."""


def empty_model(config: PretrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """The module with parameters that take no memory, and real buffers.

    Raises:
        PythiaGeometryError: If transformers cannot build it, or it would need gigabytes of buffers.
    """
    buffers = sum(b.numel() * b.element_size() for b in _build(config, dtype, real_buffers=False).buffers())
    if buffers > MOST_BUFFERS:
        needs = f"needs {buffers / 1e9:,.0f} GB for masks and tables alone"
        raise PythiaGeometryError(f"A {config.model_type} of this config cannot be built: it {needs}")
    module = _build(config, dtype, real_buffers=True)
    module.tie_weights()
    return module


def kernel_of(config: PretrainedConfig) -> str:
    """How attention is computed.

    By `sdpa`; by `eager` for architectures whose attention transformers cannot compute by it (BLOOM, MPT, GPT-Neo,
    Gemma 2).
    """
    from transformers import AutoModelForCausalLM

    classes: Any = AutoModelForCausalLM._model_mapping
    try:
        return SDPA if classes[type(config)]._supports_sdpa else EAGER
    except (KeyError, AttributeError):
        return SDPA  # no language model: building it says so


def _build(config: PretrainedConfig, dtype: torch.dtype, real_buffers: bool) -> PreTrainedModel:
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    try:
        with init_empty_weights(include_buffers=not real_buffers):
            module: PreTrainedModel = AutoModelForCausalLM.from_config(
                config, dtype=dtype, attn_implementation=kernel_of(config), trust_remote_code=False
            )
    except Exception as error:  # whatever a config with wrong sizes makes of the arithmetic inside
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise PythiaGeometryError(f"A {config.model_type} of this config cannot be built: {why}") from error
    return module


def allocate(
    module: PreTrainedModel, dtype: torch.dtype, device: torch.device, held: Mapping[str, Tensor] | None = None
) -> None:
    """Gives an empty module its memory, still without weights.

    Args:
        module: The empty module.
        dtype: Of its parameters.
        device: Where they lie.
        held: Parameters of a module that is given up, by name: their memory is used again where the shape is the same.

    Raises:
        MachineError: If there is no room for it.
    """
    held = held or {}
    try:
        for path, owner in module.named_modules():
            for name, parameter in list(owner.named_parameters(recurse=False)):
                old = held.get(f"{path}.{name}".lstrip("."))
                fits = old is not None and old.shape == parameter.shape
                memory = old if fits else torch.empty(parameter.shape, dtype=dtype)
                setattr(owner, name, nn.Parameter(memory, requires_grad=False))  # type: ignore[arg-type]
        module.tie_weights()
        module.eval()
        nn.Module.to(module, device)
    except (RuntimeError, MemoryError) as error:  # the allocators raise these
        size = sum(p.numel() for p in module.parameters()) * dtype.itemsize / 1e9
        raise MachineError(f"{device} has no room for a model of {size:,.0f} GB: {error}") from error


def find_blocks(base: nn.Module, n_layers: int) -> nn.ModuleList:
    """The transformer blocks, in order.

    Raises:
        PythiaGeometryError: If there is no such list.
    """
    for module in base.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers:
            return module
    raise PythiaGeometryError(f"{type(base).__name__} has no list of {n_layers} blocks to hook")


def positionwise(mlp: nn.Module | None) -> nn.Module | None:
    """The module if it maps one tensor by linear maps and functions without parameters; a mixture of experts is not."""
    from transformers.pytorch_utils import Conv1D

    def is_plain(part: nn.Module) -> bool:
        return isinstance(part, nn.Linear | Conv1D) or not any(True for _ in part.parameters())

    if mlp is None or list(mlp.parameters(recurse=False)) or not all(map(is_plain, mlp.children())):
        return None
    if len(signature(mlp.forward).parameters) != 1:  # BLOOM's adds the residual stream
        return None
    return mlp
