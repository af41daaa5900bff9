"""Does a head copy what it attends to? Read off its weights, without a forward pass."""

from __future__ import annotations

import numpy as np

from pythia_geometry.attention.pattern import Array


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


def folded(
    embed: Array, unembed: Array, first_gain: Array, last_gain: Array, centred: bool = True
) -> tuple[Array, Array]:
    """Embedding and unembedding with the layer norms on the way folded in.

    Args:
        embed: W_E [V, D].
        unembed: W_U [D, V].
        first_gain: Gain of the norm before the head's attention [D].
        last_gain: Gain of the final norm [D].
        centred: Whether the norms take off the mean (LayerNorm does, RMSNorm does not).

    Returns:
        W_E and W_U as the head and the output see them.
    """
    if centred:
        embed = embed - embed.mean(axis=1, keepdims=True)
        unembed_in = last_gain[:, None] * unembed
        return embed * first_gain, unembed_in - unembed_in.mean(axis=0, keepdims=True)
    return embed * first_gain, last_gain[:, None] * unembed
