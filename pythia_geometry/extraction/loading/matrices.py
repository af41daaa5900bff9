"""The weight matrices of an opened checkpoint, one at a time, and where in the model each stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.weights.spectra import singular_values

EMBEDDING, UNEMBEDDING, BLOCK = "embedding", "unembedding", "block"
"""Roles of a matrix."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """One weight matrix.

    Attributes:
        name: Its parameter's name in the model, without `.weight`.
        layer_index: 0 for an embedding, i for a matrix of block i, the number after the last block for the output head.
        roles: `embedding`, `unembedding` or `block`; tied embeddings are one matrix with two roles.
        values: The matrix as the model holds it: a linear layer's has one row an output.
    """

    name: str
    layer_index: int
    roles: tuple[str, ...]
    values: NDArray[np.floating]

    @cached_property
    def sigma(self) -> NDArray[np.float64]:
        """Singular values, descending; computed once for all measures that read them."""
        return singular_values(self.values)


def matrices(model: SuiteModel) -> Iterator[Matrix]:
    """Every matrix of the model, in the model's order; arrays share the model's memory where they can."""
    module, blocks = model.module, model.blocks
    inside = {id(p): index for index, block in enumerate(blocks, 1) for p in block.parameters()}
    head = module.get_output_embeddings() if model.has_head else None
    inputs = {id(p) for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    for name, parameter in module.named_parameters():
        if parameter.ndim != 2:
            continue
        is_head = head is not None and parameter is getattr(head, "weight", None)
        is_input = id(parameter) in inputs or not is_head
        outside = (*((EMBEDDING,) if is_input else ()), *((UNEMBEDDING,) if is_head else ()))
        roles = (BLOCK,) if id(parameter) in inside else outside
        index = inside.get(id(parameter), 0 if is_input else len(blocks) + 1)
        values = parameter.detach().float().cpu().numpy()
        name = name if model.has_head else f"{module.base_model_prefix}.{name}"  # one name, with and without the head
        yield Matrix(name.removesuffix(".weight"), index, roles, values)
