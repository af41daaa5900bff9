"""Inner products of single examples' gradients, without storing one: the "ghost" way.

One backward pass of the summed loss; hooks see what enters every module and what arrives at its output from above.
First derivatives only, so any attention kernel will do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.landscape.factors import (
    Picks,
    Use,
    leading_gram,
    matrix_gram,
    summed_by_owner,
    vector_gram,
)
from pythia_geometry.landscape.surface import Surface, twice_differentiable

Gram = NDArray[np.float64]
ALL = "all"
_CHUNK = 2**22  # numbers that are widened at once
_MISMATCH = 1e-3  # of the trace: what the check by the summed gradient lets pass as rounding


@dataclass
class _Seen:
    """What the hooks kept of one parameter: uses of a matrix, or gradients [n, k] of a vector."""

    uses: list[Use]
    vector: Tensor | None = None
    transposed: bool = False


def gradient_grams(
    surface: Surface, group: Callable[[str], str] = lambda _: ALL, leading: int | None = None
) -> dict[str, Gram]:
    """Inner products of the examples' gradients, ⟨g_i, g_j⟩, for groups of parameters.

    All examples go through the model at once: memory is that of one training step on them, plus 64 MB. Each
    parameter's sum over all pairs is compared with the squared norm of the summed gradient, so a module that the
    hooks misread is an error, not a number.

    Args:
        surface: The examples are the rows of the Gram matrix.
        group: From a parameter's name to its group, such as its block; grams of groups add up to that of all.
        leading: Count only the first so many numbers of the parameters in their order (the paper's limitation to 50K).

    Returns:
        Symmetric arrays [n, n] by group.

    Raises:
        PythiaGeometryError: If a parameter sits in a module other than Linear, Conv1D, Embedding, LayerNorm and
            RMSNorm, or is used outside it. `stored_gram` takes any module.
    """
    counts = _counts(surface, leading)
    seen, squares = _backward(surface, counts)
    grams: dict[str, Gram] = {}
    for name, count in counts.items():
        if count == 0:
            break
        whole = count == surface.weights[name].numel()
        mine = _parameter_gram(seen.pop(name, _Seen([])), surface.n, None if whole else count, surface.weights[name])
        _check(name, mine, squares[name])
        key = group(name)
        grams[key] = grams.get(key, 0) + mine.double().cpu().numpy()
    return grams


def stored_gram(surface: Surface, leading: int | None = None) -> Gram:
    """The same for all parameters of any module, by gradients that are stored: n × P numbers of memory."""
    from torch.func import grad, vmap

    weights = surface.weights

    def loss(w: Mapping[str, Tensor], example: Mapping[str, Tensor]) -> Tensor:
        return surface.losses_at(w, {key: tensor[None] for key, tensor in example.items()})[0]

    rows = []
    for batch in surface.batches():
        with twice_differentiable():  # vmap has no rule for the fused kernels either
            gradients = vmap(grad(loss), in_dims=(None, 0))(weights, batch)
        rows.append(torch.cat([g.flatten(1) for g in gradients.values()], dim=1)[:, :leading])
    stored = torch.cat(rows)
    return np.asarray((stored @ stored.T).double().cpu().numpy())


def _counts(surface: Surface, leading: int | None) -> dict[str, int]:
    """How many numbers of each parameter are counted: none of those that come after the leading ones."""
    left = surface.n_parameters if leading is None else leading
    counts = {}
    for name, weight in surface.weights.items():
        counts[name] = min(left, weight.numel())
        left -= counts[name]
    return counts


def _backward(surface: Surface, counts: Mapping[str, int]) -> tuple[dict[str, _Seen], dict[str, float]]:
    """One backward pass of the summed loss: what the hooks saw of it, and the squared norms of its counted gradients.

    A gradient is dropped as soon as its norm is known: together they are as large as the model.
    """
    names = {id(p): name for name, p in surface.module.named_parameters()}
    seen: dict[str, _Seen] = defaultdict(lambda: _Seen([]))
    squares = dict.fromkeys(counts, 0.0)

    def note(name: str, leaf: Tensor) -> None:
        assert leaf.grad is not None
        pieces = leaf.grad.reshape(-1)[: counts[name]].split(_CHUNK)
        squares[name] = sum(float(piece.double().square().sum()) for piece in pieces)
        leaf.grad = None

    leaves = surface.leaves()
    for name, leaf in leaves.items():
        leaf.register_post_accumulate_grad_hook(partial(note, name))
    with _hooks(surface.module, names, seen, surface.n):
        surface.losses_at(leaves, surface.rows(slice(None))).sum().backward()
    return seen, squares


@contextmanager
def _hooks(module: nn.Module, names: dict[int, str], seen: dict[str, _Seen], n: int) -> Iterator[None]:
    """Hooks on every module that owns a parameter; their names are fixed before weights are stood in for."""
    handles = []
    try:
        for part in module.modules():
            own = {key: names[id(p)] for key, p in part.named_parameters(recurse=False)}
            if own:
                handles.append(part.register_forward_hook(_watch(own, seen, n)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _watch(own: dict[str, str], seen: dict[str, _Seen], n: int) -> Callable[..., None]:
    def after_forward(part: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad and args and len(args[0]) == n:
            given = args[0].detach()
            output.register_hook(lambda above: _keep(part, given, above.detach(), own, seen))

    return after_forward


def _keep(part: nn.Module, given: Tensor, above: Tensor, own: dict[str, str], seen: dict[str, _Seen]) -> None:
    """Files what one call of a module says about its parameters; rows that nothing scored depends on are dropped."""
    n = len(given)
    above = above.reshape(-1, above.shape[-1])
    owner = torch.arange(n, device=above.device).repeat_interleave(len(above) // n)
    alive = (above != 0).any(1)
    if not bool(alive.all()):  # a head's rows are as wide as the vocabulary: no copy where all of them stay
        above, owner = above[alive], owner[alive]
    if isinstance(part, nn.Embedding):
        index = given.reshape(-1)[alive]
        learns = index != (-1 if part.padding_idx is None else part.padding_idx)  # PyTorch keeps that row's gradient 0
        picks = Picks(index[learns], part.num_embeddings)
        seen[own["weight"]].uses.append(Use(picks, above[learns], owner[learns]))
        return
    rows = given.reshape(-1, given.shape[-1])[alive]
    if isinstance(part, nn.Linear):
        seen[own["weight"]].uses.append(Use(above, rows, owner))
    elif _is_conv1d(part):
        seen[own["weight"]].uses.append(Use(above, rows, owner))
        seen[own["weight"]].transposed = True
    elif (normed := _normed(part, rows)) is not None:
        _add_vector(seen, own["weight"], summed_by_owner(above * normed, owner, n))
    else:
        return
    if "bias" in own:
        _add_vector(seen, own["bias"], summed_by_owner(above, owner, n))


def _add_vector(seen: dict[str, _Seen], name: str, gradients: Tensor) -> None:
    before = seen[name].vector
    seen[name].vector = gradients if before is None else before + gradients


def _is_conv1d(part: nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(part, Conv1D)


def _normed(part: nn.Module, rows: Tensor) -> Tensor | None:
    """What a norm multiplies by its weight; None for any other module."""
    if isinstance(part, nn.LayerNorm):
        return nn.functional.layer_norm(rows, part.normalized_shape, eps=part.eps)
    if type(part).__name__.endswith("RMSNorm"):
        epsilon = float(getattr(part, "variance_epsilon", None) or getattr(part, "eps", None) or 0.0)
        return rows * torch.rsqrt(rows.pow(2).mean(-1, keepdim=True) + epsilon)
    return None


def _parameter_gram(seen: _Seen, n: int, leading: int | None, weight: Tensor) -> Tensor:
    if seen.vector is not None:
        return vector_gram(seen.vector, leading)
    if not seen.uses:
        return weight.new_zeros(n, n)
    if leading is None:
        return matrix_gram(seen.uses, n)
    return leading_gram(seen.uses, n, leading, seen.transposed)


def _check(name: str, gram: Tensor, expected: float) -> None:
    """Σ_ij ⟨g_i, g_j⟩ must be the squared norm of the summed gradient.

    Raises:
        PythiaGeometryError: If it is not.
    """
    found = float(gram.double().sum())
    if abs(found - expected) > _MISMATCH * (float(gram.diagonal().double().sum()) + expected):
        raise PythiaGeometryError(
            f"the gradient of {name} cannot be read from its module's input and output "
            f"(squared norm {found:.6g} instead of {expected:.6g}); use stored_gram for this architecture"
        )
