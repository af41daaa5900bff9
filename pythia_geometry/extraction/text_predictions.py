"""How far a model's predictions on a text are from what n-grams of that text say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pythia_geometry.extraction.capture import LAST, AnswerSequence, Pooling, batches_of
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.probes.text_cloud import SEEN_OFTEN, TextCloud
from pythia_geometry.geometry.cloud import Estimate, unknown


@dataclass(frozen=True, eq=False)
class Predictions:
    """Divergence of the model from n-grams at the end of every piece, in nats [N]; NaN where a count is too small.

    Attributes:
        unigram: KL(q₁ ‖ p), q₁ how often tokens stand in the text.
        bigram: KL(q₂ ‖ p), q₂ what follows the piece's last token in the text; NaN where that was seen under 20 times.
    """

    unigram: NDArray[np.float64]
    bigram: NDArray[np.float64]

    def mean(self, name: str) -> Estimate:
        """Mean over pieces of one of the two, with its standard error.

        0 or more, in nats. Small: the model says what the n-gram says. How it misleads: q₂ of a short text is few
        counts, so the divergence has a floor that falls with the text's length; compare steps on one text. A model that
        has gone beyond bigrams diverges from them again: a minimum over training is what memorising them looks like.
        Source: n-gram divergence over training as in arXiv 2402.02364 and 2509.23024, on the end of each piece.
        """
        values = self.unigram if name == "unigram_kl" else self.bigram
        values = values[~np.isnan(values)]
        if len(values) < 2:
            return unknown(len(values), float("inf"), f"no piece ends in a token that the text has {SEEN_OFTEN} times")
        if not np.isfinite(values).all():
            return unknown(len(values), float("inf"), "non-finite predictions")
        error = values.std(ddof=1) / np.sqrt(len(values))
        return Estimate(float(values.mean()), float(error), float("inf"), len(values))


def read_predictions(model: SuiteModel, cloud: TextCloud, batch: int) -> Predictions:
    """The model's predictions after every piece, beside the text's n-grams.

    Args:
        model: With a checkpoint's weights and its output head.
        cloud: The text.
        batch: Pieces a forward pass.
    """
    items = cloud.encoded.items
    sequences = [AnswerSequence(i, item.prompt, len(item.prompt), ((0, item.target),)) for i, item in enumerate(items)]
    unigram, bigram = np.full(len(items), np.nan), np.full(len(items), np.nan)
    size, device = model.shape.vocab_size, model.device
    q1 = _shares(cloud.unigrams, size, device)
    with torch.inference_mode(), Pooling(model, LAST) as pooling:
        for group in batches_of(sequences, batch):
            final_BTD = pooling.run(group)
            log_p_BV = model.logits(final_BTD[:, -1]).double().log_softmax(-1)[:, :size]
            rows = [sequence.item for sequence in group]
            unigram[rows] = _divergence(q1, log_p_BV).cpu().numpy()
            for k, sequence in enumerate(group):
                follows = cloud.bigrams.get(sequence.ids[-1], Counter())
                if follows.total() >= SEEN_OFTEN:
                    bigram[sequence.item] = float(_divergence(_shares(follows, size, device), log_p_BV[k : k + 1]))
    return Predictions(unigram, bigram)


def _shares(counts: Counter[int], size: int, device: torch.device) -> Tensor:
    """Counts as probabilities [V]."""
    shares = torch.zeros(size, dtype=torch.float64, device=device)
    shares[list(counts)] = torch.tensor(list(counts.values()), dtype=torch.float64, device=device)
    return shares / shares.sum()


def _divergence(q_V: Tensor, log_p_BV: Tensor) -> Tensor:
    """KL(q ‖ p) [B]; tokens of q = 0 add nothing."""
    seen = q_V > 0
    q = q_V[seen]
    return (q * q.log()).sum() - log_p_BV[:, seen] @ q
