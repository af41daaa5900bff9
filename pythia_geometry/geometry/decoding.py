"""Decoding: what a linear map can read off the activations, beside what it could have memorised.

(A linear probe, in the field's words; a *probe* is a set of prompts in this package.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pythia_geometry.geometry.cloud import Array, Estimate, unknown

Labels = NDArray[np.int64]

FEWEST_ROWS = 1000
PENALTIES = tuple(10.0**k for k in range(-6, 3))  # times the mean squared length of a training row, over its width
TEST, VALIDATION = 0.25, 0.2  # of the prompts; of the training prompts
CONTROLS = 5
_NAMES = ("decoding", "decoding_control", "decoding_selectivity", "decoding_majority")


@dataclass(frozen=True)
class Questions:
    """What is asked of every row, arrays [n].

    Attributes:
        labels: What is to be read off, such as one digit of the answer.
        types: What could be memorised instead, such as the first operand; the control task gives every type a label.
        prompts: Which rows are the same prompt; they are never split between training and test.
    """

    labels: ArrayLike
    types: ArrayLike
    prompts: ArrayLike


@dataclass(frozen=True, eq=False)
class Labelled:
    """One layer at one answer position, with what is asked of it; the read-out is computed once for all its numbers.

    Attributes:
        rows: Activations [n, d].
        questions: Labels, types and prompts.
        own: Whether the model's own greedy token is the label, 0 or 1, [n].
    """

    rows: ArrayLike
    questions: Questions
    own: ArrayLike

    @cached_property
    def found(self) -> Mapping[str, Estimate]:
        """The four numbers of `decoding`, and `decoding_own`: the share of rows that the model itself answers."""
        own = np.asarray(self.own, dtype=np.float64)
        if not np.isfinite(own).all():
            mine = unknown(len(own), 1.0, "the model gave no answers")
        else:
            mine = _accuracy(own, _numbered(self.questions.prompts), len(own))
        return {**decoding(self.rows, self.questions), "decoding_own": mine}


def decoding(rows: ArrayLike, questions: Questions, seed: int = 0) -> Mapping[str, Estimate]:
    """Accuracy of a linear read-out on unseen prompts, and its selectivity over a control task.

    Ridge regression on one-hot labels, its penalty chosen inside the training part. The control task labels every
    *type* at random, once: it can be memorised and comes back in the test part. Selectivity is accuracy minus control
    accuracy. Ranges 0 … 1, selectivity −1 … 1; no unit.

    How it misleads: an untrained network decodes well (the first digit of a sum at .82 while the model says nothing
    right: random features of one-hot digits), so accuracy alone says nothing about learning: read the selectivity, and
    the value minus its own at step 0, beside the model's own answers and the embedding. Labels shuffled row by row
    score chance whatever happens and are no control. Under 1,000 rows a map of some hundred dimensions memorises.
    That something can be read off does not mean that the model reads it.

    Args:
        rows: Activations [n, d] at one layer and position.
        questions: Labels, types and prompts of the rows.
        seed: Of the split and the control labels; the same for all layers and steps.

    Returns:
        `decoding`, `decoding_control`, `decoding_selectivity` and `decoding_majority` (the share of the training part's
        most frequent label in the test part), each with a standard error over test prompts.

    Raises:
        ValueError: If the arrays do not have one entry a row.

    Source: Hewitt and Liang 2019, Designing and interpreting probes with control tasks, section 2.
    """
    x = np.asarray(rows, dtype=np.float64)
    labels, types, prompts = (_numbered(a) for a in (questions.labels, questions.types, questions.prompts))
    if x.ndim != 2 or not len(x) == len(labels) == len(types) == len(prompts):
        raise ValueError(f"needs rows [n, d] and n labels, types and prompts; got {x.shape} and {len(labels)}")
    fault = _fault(x, labels)
    if fault:
        return {name: unknown(len(x), 1.0, fault) for name in _NAMES}
    rng = np.random.default_rng(seed)
    test = _some_prompts(prompts, TEST, rng)
    held = _some_prompts(prompts, VALIDATION, rng) & ~test
    tasks = [labels, *(_control(labels, types, rng) for _ in range(CONTROLS))]
    hits = _hits(x, tasks, test, held)
    majority = labels[test] == np.bincount(labels[~test]).argmax()
    control = hits[1:].mean(axis=0)
    found = [_accuracy(array, prompts[test], len(x)) for array in (hits[0], control, hits[0] - control, majority * 1.0)]
    known = np.isin(types[test], types[~test]).mean()
    if known < 0.5:
        words = f"only {known:.0%} of the test rows are of a type that was seen: nothing could be memorised"
        found[1:3] = [unknown(len(x), 1.0, words)] * 2
    return dict(zip(_NAMES, found, strict=True))


def _fault(x: Array, labels: Labels) -> str:
    if len(x) < FEWEST_ROWS:
        return f"needs {FEWEST_ROWS} rows; got {len(x)}"
    if not np.isfinite(x).all():
        return f"non-finite activations in {int((~np.isfinite(x).all(axis=1)).sum())} of {len(x)} rows"
    if labels.max() == 0:
        return "all labels are the same"
    return "all rows are the same" if np.ptp(x, axis=0).max() == 0 else ""


def _numbered(values: ArrayLike) -> Labels:
    """Any labels as 0, 1, 2 … in the order of their sorting."""
    return np.asarray(np.unique(np.asarray(values), return_inverse=True)[1], dtype=np.int64).reshape(-1)


def _some_prompts(prompts: Labels, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Rows of a random share of the prompts."""
    chosen = rng.random(int(prompts.max()) + 1) < share
    return np.asarray(chosen[prompts])


def _control(labels: Labels, types: Labels, rng: np.random.Generator) -> Labels:
    """A label for every type, drawn as often as labels occur."""
    return np.asarray(rng.choice(labels, size=int(types.max()) + 1)[types])


def _hits(x: Array, tasks: list[Labels], test: NDArray[np.bool_], held: NDArray[np.bool_]) -> Array:
    """Whether each task's label is read off right, [tasks, test rows]: all tasks share the decompositions."""
    train = ~test
    chosen = np.argmax(
        [
            [(guess == task[held]).mean() for guess, task in zip(guesses, tasks, strict=True)]
            for guesses in _guesses(x[train & ~held], [t[train & ~held] for t in tasks], x[held])
        ],
        axis=0,
    )
    final = list(_guesses(x[train], [t[train] for t in tasks], x[test]))
    return np.array([final[best][k] == task[test] for k, (best, task) in enumerate(zip(chosen, tasks, strict=True))])


def _guesses(x: Array, tasks: list[Labels], unseen: Array) -> Iterator[list[Labels]]:
    """For every penalty, the label that each task's ridge regression gives to unseen rows."""
    mean = x.mean(axis=0)
    x, unseen = x - mean, unseen - mean
    sizes = [int(task.max()) + 1 for task in tasks]
    onehot = np.concatenate([np.eye(size)[task] for size, task in zip(sizes, tasks, strict=True)], axis=1)
    means = onehot.mean(axis=0)
    seen = x.T if len(x) < x.shape[1] else np.eye(x.shape[1])  # the smaller side's directions
    gram = x @ x.T if len(x) < x.shape[1] else x.T @ x
    right = onehot - means if len(x) < x.shape[1] else x.T @ (onehot - means)
    values, vectors = np.linalg.eigh(gram)
    known, queries = vectors.T @ right, unseen @ seen @ vectors
    scale = np.trace(gram) / x.shape[1]
    for penalty in PENALTIES:
        scores = queries @ (known / (np.clip(values, 0, None) + penalty * scale)[:, None]) + means
        yield [part.argmax(axis=1) for part in np.split(scores, np.cumsum(sizes)[:-1], axis=1)]


def _accuracy(hits: Array, prompts: Labels, n: int) -> Estimate:
    """Mean over test rows, with the error of a mean over prompts."""
    used = _numbered(prompts)
    sums, counts = np.bincount(used, weights=hits), np.bincount(used)
    value = hits.mean()
    residuals = sums - value * counts
    error = np.sqrt((residuals**2).sum() * len(counts) / (len(counts) - 1)) / counts.sum()
    return Estimate(float(value), float(error), 1.0, n)
