"""Numbers from the inner products of single examples' gradients: ranks, noise, agreement. Arrays only.

Every function takes the Gram matrix G [n, n], G_ij = ⟨g_i, g_j⟩, of `pythia_geometry.landscape.gram`, and gives an
`Estimate` with a delete-one jackknife error over examples. None of them sees how the Gram matrix was made: which
parameters, which loss, whose labels (the text's: the empirical Fisher; the model's own: the true one).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from pythia_geometry.geometry.cloud import Array, Estimate, Spectrum, unknown
from pythia_geometry.geometry.deletion import deleted_eigenvalue_sums, jackknife_error

LARGE_SHARE = 0.2
FEWEST = 4


def gradient_measures(gram: ArrayLike) -> Mapping[str, Estimate]:
    """Every number of this file by the name it has in the tables."""
    return {name: measure(gram) for name, measure in GRADIENT_MEASURES.items()}


def fisher_rank(gram: ArrayLike) -> Estimate:
    """Effective rank of the Fisher matrix: exp(−Σ p log p) with p = λ/Σλ over the eigenvalues of (1/n) Σ g_i g_iᵀ.

    Range 1 … min(n, P); no unit. 1: all examples push the weights along one line.

    How it misleads: it is entropy over eigenvalues λ = σ²; over σ, as RankMe has it, it grows without end with n
    (17, 24, 34, 44 for n = 32 … 256 on one checkpoint). Even so it grows slowly: compare at equal n only. With
    the text's labels it is the *empirical* Fisher, which vanishes with the loss; at a solved task a few examples
    carry all of it and the rank counts those that are still wrong (`gradient_largest_share` over a fifth adds a
    reason; `gradient_rank_unit` does not suffer). The paper's convention is unknown (docs/assumptions.md).
    Effective ranks follow training choices such as batch size and weight decay more than they follow performance
    (arXiv 2602.20433): read changes against a null, not levels.

    Args:
        gram: Inner products [n, n] of the examples' gradients.

    Returns:
        Estimate with an exact delete-one jackknife error.

    Source: arXiv 2602.15997, "Fisher effective rank"; entropy form of Roy and Vetterli 2007.

    Example:
        >>> round(fisher_rank(np.eye(5)).value, 6)
        5.0
    """
    return _rank(_as_gram(gram), centred=False)


def covariance_rank(gram: ArrayLike) -> Estimate:
    """Effective rank of the gradient covariance: as `fisher_rank`, of the gradients minus their mean.

    Eigenvalues of (I − 11ᵀ/n) G (I − 11ᵀ/n) / (n − 1). Range 1 … min(n − 1, P); no unit.

    How it misleads: wherever the mean gradient is small beside the noise, which is nearly always, it is the Fisher
    rank to a tenth; two names for one number are not two findings. All else as there.

    Args:
        gram: Inner products [n, n] of the examples' gradients.

    Returns:
        Estimate with an exact delete-one jackknife error.

    Source: arXiv 2602.15997, "gradient-covariance rank".

    Example:
        >>> round(covariance_rank(np.eye(4)).value, 6)
        3.0
    """
    return _rank(_as_gram(gram), centred=True)


def gradient_rank_unit(gram: ArrayLike) -> Estimate:
    """Effective rank of gradients scaled to length 1: eigenvalues of the cosine matrix, entropy as in `fisher_rank`.

    Range 1 … min(n, P); no unit. Every example counts the same, however wrong the model still is on it.

    How it misleads: an example with a loss of 1e-6 has a direction too, made of rounding as much as of meaning; at a
    solved task this rank says how differently the examples are still polished.

    Args:
        gram: Inner products [n, n] of the examples' gradients.

    Returns:
        Estimate with an exact delete-one jackknife error.

    Example:
        >>> round(gradient_rank_unit(np.diag([9.0, 1.0, 1.0, 1.0])).value, 6)
        4.0
    """
    gram = _as_gram(gram)
    fault = _fault(gram) or _zero_rows(gram)
    return unknown(len(gram), float(len(gram)), fault) if fault else _rank(_cosines(gram), centred=False, flag=False)


def gradient_participation(gram: ArrayLike) -> Estimate:
    """Participation ratio of the Fisher matrix, unbiased in n: Σ_{i≠j} G_ii G_jj / Σ_{i≠j} G_ij².

    (tr F)² / tr F² with each of the two replaced by its unbiased estimate. Range 1 … P in expectation; no unit. A
    draw can lie outside: nothing is clipped.

    How it misleads: only numerator and denominator are unbiased, not their ratio; with few examples of rank far above
    n the denominator is mostly noise. It is all about the largest directions: a Fisher matrix with one outlier
    and a long tail has a ratio near 1.

    Args:
        gram: Inner products [n, n] of the examples' gradients.

    Returns:
        Estimate with an exact delete-one jackknife error.

    Source: the plug-in form as in Gao et al. 2017, section 2; off-diagonal squares as usual for U-statistics.

    Example:
        >>> round(gradient_participation(np.ones((6, 6))).value, 6)
        1.0
    """
    gram = _as_gram(gram)
    n, norms = len(gram), np.diag(gram).copy()
    fault = _fault(gram)
    if fault:
        return unknown(n, float("inf"), fault)
    squares = gram**2
    np.fill_diagonal(squares, 0.0)
    top, bottom = norms.sum() ** 2 - (norms**2).sum(), squares.sum()
    if bottom <= 0:
        return unknown(n, float("inf"), "no two gradients have anything in common: the rank is beyond these examples")
    top_without = (norms.sum() - norms) ** 2 - ((norms**2).sum() - norms**2)
    bottom_without = bottom - 2 * squares.sum(axis=1)
    return Estimate(top / bottom, _ratio_error(top_without, bottom_without), float("inf"), n, _carried(gram))


def gradient_cosine(gram: ArrayLike) -> Estimate:
    """Mean cosine between the gradients of two different examples.

    Range −1/(n − 1) … 1; no unit. Near 0: examples do not help each other; 1: all ask for the same change.

    How it misleads: in many dimensions everything is near 0 (.01 at every step of a trained lab run), and a shared
    part of the loss, such as the format of the answers, can be all there is above it.

    Args:
        gram: Inner products [n, n] of the examples' gradients.

    Returns:
        Estimate with an exact delete-one jackknife error.

    Example:
        >>> gradient_cosine(np.eye(4)).value
        0.0
    """
    gram = _as_gram(gram)
    n = len(gram)
    fault = _fault(gram) or _zero_rows(gram)
    if fault:
        return unknown(n, 1.0, fault)
    cosines = _cosines(gram)
    np.fill_diagonal(cosines, 0.0)
    total, rows = cosines.sum(), cosines.sum(axis=1)
    return Estimate(total / (n * (n - 1)), jackknife_error((total - 2 * rows) / ((n - 1) * (n - 2))), 1.0, n)


def noise_scale(gram: ArrayLike) -> Estimate:
    """Gradient noise scale tr Σ / ‖g‖²: how many examples a batch needs before their mean gradient beats its noise.

    ‖g‖² is the mean off-diagonal of G and tr Σ the mean diagonal minus it: both unbiased. Range above 0; the unit is
    examples.

    How it misleads: where the mean gradient is near zero, as at the end of training, the quotient explodes; within
    two errors of zero it is NaN with a reason. The plug-in ‖ḡ‖² would give n at most, whatever the truth.

    Args:
        gram: Inner products [n, n] of the examples' gradients.

    Returns:
        Estimate with an exact delete-one jackknife error.

    Source: McCandlish et al. 2018, An empirical model of large-batch training, section 2.2 ("simple noise scale").

    Example:
        >>> round(noise_scale(np.full((5, 5), 2.0) + 6.0 * np.eye(5)).value, 6)
        3.0
    """
    gram = _as_gram(gram)
    n = len(gram)
    fault = _fault(gram)
    if fault:
        return unknown(n, float("inf"), fault)
    norms, rows = np.diag(gram), gram.sum(axis=1) - np.diag(gram)
    shared = rows.sum() / (n * (n - 1))
    shared_without = (rows.sum() - 2 * rows) / ((n - 1) * (n - 2))
    if shared <= 2 * jackknife_error(shared_without):
        return unknown(n, float("inf"), "the mean gradient is within two errors of zero")
    norms_without = (norms.sum() - norms) / (n - 1)
    error = _ratio_error(norms_without - shared_without, shared_without)
    return Estimate(norms.mean() / shared - 1, error, float("inf"), n, _carried(gram))


def gradient_largest_share(gram: ArrayLike) -> Estimate:
    """Share of the largest example in Σ ‖g_i‖². Range 1/n … 1; above a fifth, ranks say little about the rest.

    How it misleads: it has no error to speak of (the largest of n is what it is) and falls with n.

    Args:
        gram: Inner products [n, n] of the examples' gradients.

    Example:
        >>> gradient_largest_share(np.diag([3.0, 1.0, 1.0, 1.0])).value
        0.5
    """
    gram = _as_gram(gram)
    fault = _fault(gram)
    if fault:
        return unknown(len(gram), 1.0, fault)
    return Estimate(_largest(gram), float("nan"), 1.0, len(gram), "no error: it is a maximum")


GRADIENT_MEASURES: dict[str, Callable[[ArrayLike], Estimate]] = {
    measure.__name__: measure
    for measure in (
        fisher_rank,
        covariance_rank,
        gradient_rank_unit,
        gradient_participation,
        gradient_cosine,
        noise_scale,
        gradient_largest_share,
    )
}


def _as_gram(gram: ArrayLike) -> Array:
    """A square float64 array.

    Raises:
        ValueError: If it is not one.
    """
    array = np.asarray(gram, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"needs inner products [n, n]; got shape {array.shape}")
    return array


def _fault(gram: Array) -> str:
    if len(gram) < FEWEST:  # too few to leave one out
        return f"needs the gradients of {FEWEST} examples; got {len(gram)}"
    if not np.isfinite(gram).all():
        return "non-finite gradients"
    return "" if np.trace(gram) > 0 else "all gradients are zero"


def _zero_rows(gram: Array) -> str:
    zero = int((np.diag(gram) <= 0).sum())
    return f"{zero} of {len(gram)} gradients are zero: no direction" if zero else ""


def _largest(gram: Array) -> float:
    return float(np.diag(gram).max() / np.trace(gram))


def _carried(gram: Array) -> str:
    """What is said of a number that one example dominates."""
    share = _largest(gram)
    return f"one example carries {share:.0%} of the squared gradient" if share > LARGE_SHARE else ""


def _cosines(gram: Array) -> Array:
    lengths = np.sqrt(np.diag(gram))
    return np.asarray(gram / np.outer(lengths, lengths))


def _rank(gram: Array, centred: bool, flag: bool = True) -> Estimate:
    n = len(gram)
    ceiling = float(n - 1 if centred else n)
    fault = _fault(gram)
    if fault:
        return unknown(n, ceiling, fault)
    share = 1.0
    if centred:
        mean = gram.mean(axis=0)
        gram_used, share = gram - mean - mean[:, None] + mean.mean(), n / (n - 1)
        if np.trace(gram_used) <= 1e-12 * np.trace(gram):
            return unknown(n, ceiling, "all gradients are the same: nothing is left after centring")
    else:
        gram_used = gram
    values, vectors = np.linalg.eigh(gram_used)
    values = np.clip(values[::-1], 0.0, None)
    present = values > 0
    log_rank = _log_rank(values[present].sum(), (values[present] * np.log(values[present])).sum())
    sums, entropies = deleted_eigenvalue_sums(Spectrum(np.sqrt(values), vectors[:, ::-1] ** 2), share)
    error = jackknife_error(np.exp(_log_rank(sums, entropies))) if np.isfinite(sums).all() else float("nan")
    return Estimate(float(np.exp(log_rank)), error, ceiling, n, _carried(gram) if flag else "")


def _log_rank(total: Array, entropy_sum: Array) -> Array:
    """Log rank = log S − T/S with S = Σλ and T = Σ λ log λ."""
    return np.asarray(np.log(total) - entropy_sum / total)


def _ratio_error(numerators: Array, denominators: Array) -> float:
    return jackknife_error(numerators / denominators) if np.all(denominators > 0) else float("nan")
