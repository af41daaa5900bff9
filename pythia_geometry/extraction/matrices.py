"""The weight matrices of an opened checkpoint, one at a time, and where in the model each stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pythia_geometry.extraction.models import SuiteModel

EMBEDDING, UNEMBEDDING, BLOCK = "embedding", "unembedding", "block"
"""Roles of a matrix."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """One weight matrix.

    Attributes:
        name: Its parameter's name in the model, without `.weight`.
        layer_index: 0 for an embedding, i for a matrix of block i, the number after the last block for the output head.
        role: `embedding`, `unembedding` or `block`; tied embeddings are one matrix, called `embedding`.
        values: The matrix as the model holds it: a linear layer's has one row an output.
    """

    name: str
    layer_index: int
    role: str
    values: NDArray[np.floating]


def matrices(model: SuiteModel) -> Iterator[Matrix]:
    """Every matrix of the model, in the model's order; arrays share the model's memory where they can."""
    module, blocks = model.module, model.blocks
    inside = {id(p): index for index, block in enumerate(blocks, 1) for p in block.parameters()}
    head = module.get_output_embeddings() if model.has_head else None
    inputs = {id(p) for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    for name, parameter in module.named_parameters():
        if parameter.ndim != 2:
            continue
        is_head = head is not None and parameter is getattr(head, "weight", None) and id(parameter) not in inputs
        role = BLOCK if id(parameter) in inside else UNEMBEDDING if is_head else EMBEDDING
        index = inside.get(id(parameter), len(blocks) + 1 if is_head else 0)
        values = parameter.detach().float().cpu().numpy()
        yield Matrix(name.removesuffix(".weight"), index, role, values)
