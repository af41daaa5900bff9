"""Linear read-outs the slow way: one least-squares problem a penalty, by the normal equations with an intercept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def ridge_guesses(x: Array, labels: NDArray[np.int64], unseen: Array, penalty: float) -> NDArray[np.int64]:
    """Most likely label of unseen rows; the penalty is relative to the mean squared entry of the centred rows, times n."""
    mean = x.mean(axis=0)
    targets = np.eye(labels.max() + 1)[labels]
    scaled = penalty * ((x - mean) ** 2).sum() / x.shape[1]
    stacked = np.vstack([x - mean, np.sqrt(scaled) * np.eye(x.shape[1])])
    goal = np.vstack([targets - targets.mean(axis=0), np.zeros((x.shape[1], targets.shape[1]))])
    weights = np.linalg.lstsq(stacked, goal, rcond=None)[0]
    return np.asarray(((unseen - mean) @ weights + targets.mean(axis=0)).argmax(axis=1))
