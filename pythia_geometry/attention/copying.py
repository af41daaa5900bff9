"""Does a head copy what it attends to? Read off its weights, without a forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pythia_geometry.attention.pattern import Array


@dataclass(frozen=True, eq=False)
class LayerCircuits:
    """What the heads of one layer read and write, off the weights.

    Attributes:
        tokens: W_U W_E [D, D] as this layer's heads see it: the gains of the norms are folded in.
        heads: W_V [D, d] and W_O [d, D] of each head.
    """

    tokens: Array
    heads: tuple[tuple[Array, Array], ...]


def copying(embed: Array, value: Array, output: Array, unembed: Array) -> float:
    """Copying score of a head's OV circuit: Σ Re λ / Σ |λ| over the eigenvalues of W_E W_V W_O W_U.

    Range −1 … 1; no unit. 1: attending to a token raises that token's own logit, in every direction the head has; 0: as
    many directions lower it; −1: it says anything but what it reads.

    How it misleads: it looks at the path straight from embedding to output and at no other, so it is blind to a head
    that copies what an earlier layer wrote, and to the MLP's rotation of the embedding: trust it in early layers of
    small models. Layer norms: fold the gains into the matrices (`folded`); the division by the standard deviation, a
    positive number for each token, is ignored. A head whose eigenvalues are all tiny can score 1.

    The nonzero eigenvalues of the [V, V] matrix are those of W_O W_U W_E W_V [d, d], which is what is computed.

    Args:
        embed: W_E, embeddings as rows [V, D].
        value: W_V of the head [D, d], rows in.
        output: W_O of the head [d, D].
        unembed: W_U, one column a token [D, V].

    Source: Elhage et al. 2021, A Mathematical Framework for Transformer Circuits, section on copying heads.

    Example:
        >>> copying(np.eye(3), np.eye(3), np.eye(3), np.eye(3))
        1.0
    """
    return copying_through(unembed @ embed, value, output)


def copying_through(tokens: Array, value: Array, output: Array) -> float:
    """`copying` of one of many heads: the product W_U W_E [D, D] is the same for all.

    Args:
        tokens: W_U W_E [D, D].
        value: W_V of the head [D, d].
        output: W_O of the head [d, D].
    """
    eigenvalues = np.linalg.eigvals(output @ tokens @ value)
    total = float(np.abs(eigenvalues).sum())
    return float(eigenvalues.real.sum() / total) if total > 0 else float("nan")


def folded(tokens: Array, first_gain: Array, last_gain: Array, centred: bool = True) -> Array:
    """W_U W_E with the layer norms on the way folded in: one product of the vocabulary serves all layers.

    A LayerNorm takes off the mean, C = I − 11ᵀ/D, and multiplies by its gain: the head reads W_E C diag(first), and the
    output reads C diag(last) W_U.

    Args:
        tokens: W_U W_E [D, D], without norms.
        first_gain: Gain of the norm before the head's attention [D].
        last_gain: Gain of the final norm [D].
        centred: Whether the norms take off the mean (LayerNorm does, RMSNorm does not).

    Returns:
        W_U W_E as the head and the output see it [D, D].
    """
    seen = last_gain[:, None] * tokens
    if centred:
        seen = seen - seen.mean(axis=0, keepdims=True)
        seen = seen - seen.mean(axis=1, keepdims=True)
    return np.asarray(seen * first_gain)
