"""A surface over a part of a model's parameters: a block, its attention, one head. The refined LLC samples on these."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.landscape.surface import Examples, Surface

_HEAD = re.compile(r"head:(\d+)\.(\d+)")
_Place = Callable[[Tensor, int, int, Any], None]


@dataclass(frozen=True)
class SlicedSurface(Surface):
    """A surface over some entries of some parameters, as one vector a parameter.

    Attributes:
        masks: By parameter name, which of its entries may vary.
    """

    masks: Mapping[str, Tensor] = field(default_factory=dict)

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The entries that may vary, a vector a parameter; copies."""
        named = dict(self.module.named_parameters())
        return {name: named[name].detach()[mask] for name, mask in self.masks.items()}

    def losses_at(self, weights: Mapping[str, Tensor], batch: Examples) -> Tensor:
        """Loss of every example of a batch [B] with these entries in place of the model's."""
        named = dict(self.module.named_parameters())
        whole = {name: named[name].detach().masked_scatter(self.masks[name], w) for name, w in weights.items()}
        return super().losses_at(whole, batch)


def restricted(surface: Surface, only: str) -> Surface:
    """The surface over one part of the parameters.

    Args:
        surface: Over all of them.
        only: Beginnings of parameters' names, joined by plus signs (a block, its attention, its MLP); or
            `head:3.1`, head 1 of block 3, counted as in the tables: blocks from 1, heads from 0. All if empty.

    Raises:
        PythiaGeometryError: If there is no such part, or where the architecture keeps its heads is not known.
    """
    if not only:
        return surface
    check_part(surface.module, only)
    if (head := _HEAD.fullmatch(only)) is not None:
        masks = _head_masks(surface.module, int(head[1]), int(head[2]))
        given = {name: getattr(surface, name) for name in ("module", "losses", "examples", "batch")}
        return SlicedSurface(**given, masks=masks)
    begins = tuple(only.split("+"))
    return replace(surface, only=tuple(n for n, _ in surface.module.named_parameters() if n.startswith(begins)))


def check_part(module: nn.Module, only: str) -> None:
    """Whether a model has a part; a module without weights will do.

    Args:
        module: The model.
        only: As for `restricted`.

    Raises:
        PythiaGeometryError: If there is no such part, or where the architecture keeps its heads is not known.
    """
    if (head := _HEAD.fullmatch(only)) is not None:
        config: Any = module.config
        blocks, heads = int(config.num_hidden_layers), int(config.num_attention_heads)
        if not (1 <= int(head[1]) <= blocks and int(head[2]) < heads):
            raise PythiaGeometryError(f"--llc only={only}: the model has blocks 1 to {blocks}, heads 0 to {heads - 1}")
        if not any(True for _ in _of_heads(module, int(head[1]))):
            raise PythiaGeometryError(f"{type(module).__name__} keeps its heads' weights in an unknown place")
        return
    known = [name for name, _ in module.named_parameters()]
    for begin in only.split("+") if only else ():
        if not begin or not any(name.startswith(begin) for name in known):
            raise PythiaGeometryError(
                f"--llc only={only}: no parameter's name begins with {begin!r}; the first is {known[0]}. A head is "
                "named head:BLOCK.HEAD"
            )


def _of_heads(module: nn.Module, block: int) -> Iterator[tuple[str, Tensor, _Place]]:
    """The parameters of a block that its heads share, and where in each a head lies."""
    for name, parameter in module.named_parameters():
        number = re.search(r"\.(\d+)\.", name)
        place = next((mask for end, mask in _PLACES.items() if f".{end}." in name), None)
        if number is not None and int(number[1]) == block - 1 and place is not None:
            yield name, parameter, place


def _head_masks(module: nn.Module, block: int, head: int) -> dict[str, Tensor]:
    """The entries of one head's query, key, value and output; of heads that share key and value, theirs too."""
    config: Any = module.config
    found: dict[str, Tensor] = {}
    for name, parameter, place in _of_heads(module, block):
        mask = torch.zeros_like(parameter, dtype=torch.bool)
        place(mask, head, int(config.num_attention_heads), config)
        if mask.any():
            found[name] = mask
    return found


def _of_neox(mask: Tensor, head: int, heads: int, _: Any) -> None:
    """Rows of one head's query, key and value stand together."""
    size = len(mask) // heads
    mask[head * size : (head + 1) * size] = True


def _of_gpt2(mask: Tensor, head: int, heads: int, _: Any) -> None:
    """Conv1D keeps outputs in the last axis: queries of all heads, then keys, then values."""
    width = mask.shape[-1] // 3
    size = width // heads
    for start in (0, width, 2 * width):
        mask[..., start + head * size : start + (head + 1) * size] = True


def _of_rows(mask: Tensor, head: int, heads: int, config: Any) -> None:
    """A matrix of queries, keys or values alone; heads of a group share key and value."""
    size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    own = head * (len(mask) // size) // heads
    mask[own * size : (own + 1) * size] = True


def _into_output(mask: Tensor, head: int, heads: int, _: Any) -> None:
    """What a linear output matrix reads of the head; its bias belongs to none."""
    if mask.ndim == 2:
        size = mask.shape[1] // heads
        mask[:, head * size : (head + 1) * size] = True


def _into_conv(mask: Tensor, head: int, heads: int, _: Any) -> None:
    if mask.ndim == 2:
        size = mask.shape[0] // heads
        mask[head * size : (head + 1) * size] = True


_PLACES: dict[str, _Place] = {
    "query_key_value": _of_neox,
    "attention.dense": _into_output,
    "attn.c_attn": _of_gpt2,
    "attn.c_proj": _into_conv,
    "q_proj": _of_rows,
    "k_proj": _of_rows,
    "v_proj": _of_rows,
    "o_proj": _into_output,
}
