"""Runs a probe through one checkpoint once: pooled activations of every layer, and the answers.

Shape letters: B sequences of a batch, T their common length, D width, L layers with `embed` and
`final_norm`, N items. Sequences of one length are batched together, so nothing is ever padded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.attention.patterns import PatternReader
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.probes.encoding import EncodedProbe, Ids

LAST, MEAN = "last", "mean"
POSITIONS = (LAST, MEAN)
BATCH = 128
POSITIONS_AT_ONCE = 16
FEW_ROWS = 16
TARGET = 0  # an item's answers are its target, then its distractors


@dataclass(frozen=True)
class Answers:
    """What the model says of each item, arrays [N].

    Attributes:
        log_prob: Natural-log probability of the whole target after the prompt (assumption A4).
        margin: log_prob minus the mean log-probability of the distractors; NaN without distractors.
        choice: 1 where the target beats every distractor, 0 where not; NaN without distractors.
        exact: 1 where greedy decoding gives the target, 0 where not.
        choices: Of each item, the log-probability of every answer: the target's, then each distractor's.
    """

    log_prob: NDArray[np.float64]
    margin: NDArray[np.float64]
    choice: NDArray[np.float64]
    exact: NDArray[np.float64]
    choices: Sequence[NDArray[np.float64]]


@dataclass(frozen=True)
class Capture:
    """Activations [L, N, D] in float32 and the answers of one probe at one checkpoint."""

    activations: NDArray[np.float32]
    answers: Answers


@dataclass(frozen=True)
class AnswerSequence:
    """One forward input: an item's prompt with all but the last token of one answer.

    Attributes:
        item: Index of the item.
        ids: Token ids.
        n_prompt: Prompt tokens; the answer's first token is predicted at n_prompt − 1.
        scored: Answers read off this sequence, as (index among the item's answers, token ids).
    """

    item: int
    ids: Ids
    n_prompt: int
    scored: tuple[tuple[int, Ids], ...]

    @property
    def is_main(self) -> bool:
        """Whether geometry is read here: the prompt with its target, one for each item."""
        return self.scored[0][0] == TARGET


def capture(
    model: SuiteModel,
    encoded: EncodedProbe,
    position: str = LAST,
    batch: int = BATCH,
    heads: PatternReader | None = None,
) -> Capture:
    """Runs every item of a probe through the model.

    Args:
        model: The suite's model with a checkpoint's weights.
        encoded: The probe under the suite's tokenizer.
        position: `last` prompt token, or the `mean` over the prompt's tokens (assumption A14).
        batch: Sequences a forward pass.
        heads: Reads attention on the way, where it is given and entered.

    Returns:
        Activations and answers; of a model without an output head, answers are all NaN. Non-finite values stay in
        them: the measures report them with a reason.
    """
    sequences = sorted(_sequences(encoded), key=lambda s: len(s.ids))
    n_items, n_layers = len(encoded.items), len(model.shape.layers)
    activations = np.full((n_layers, n_items, model.shape.width), np.nan, dtype=np.float32)
    scores = [np.full(1 + len(item.distractors), np.nan) for item in encoded.items]
    exact = np.full(n_items, np.nan)
    with torch.inference_mode(), Pooling(model, position) as pooling:
        for group in batches_of(sequences, batch):
            main = [row for row, s in enumerate(group) if s.is_main]
            with heads.batch([(row, group[row].item) for row in main]) if heads else nullcontext():
                final_BTD = pooling.run(group)
            if main:
                activations[:, [group[row].item for row in main]] = pooling.pooled(main, final_BTD)
            for sequence, index, log_prob, is_greedy in (
                score_answers(model, group, final_BTD) if model.has_head else ()
            ):
                scores[sequence.item][index] = log_prob
                if index == TARGET:
                    exact[sequence.item] = is_greedy
    return Capture(activations, _answers(scores, exact))


def check_head(model: SuiteModel, encoded: EncodedProbe) -> None:
    """Makes sure that answers are scored by the module's own logits, on one prompt.

    An architecture that changes them in a way that is not known here would be silently wrong.

    Raises:
        PythiaGeometryError: If they differ.
    """
    ids = torch.tensor([encoded.items[0].prompt], device=model.device)
    with torch.inference_mode():
        own = model.module(input_ids=ids, use_cache=False).logits[0].float()
        ours = model.logits(model.base(input_ids=ids, use_cache=False).last_hidden_state[0]).float()
    if torch.isfinite(own).all() and not torch.allclose(own, ours, rtol=1e-2, atol=1e-3):
        raise PythiaGeometryError(
            f"{type(model.module).__name__} changes its logits after the output head in a way that is not known here; "
            "its log-probabilities cannot be read off"
        )


def _sequences(encoded: EncodedProbe) -> Iterator[AnswerSequence]:
    """One sequence an item scores the target and all one-token distractors; longer ones need their own."""
    for index, item in enumerate(encoded.items):
        answers = [item.target, *item.distractors]
        short = [(k, ids) for k, ids in enumerate(answers) if k == TARGET or len(ids) == 1]
        yield AnswerSequence(index, item.prompt + item.target[:-1], len(item.prompt), tuple(short))
        for k, ids in enumerate(answers):
            if k != TARGET and len(ids) > 1:
                yield AnswerSequence(index, item.prompt + ids[:-1], len(item.prompt), ((k, ids),))


def batches_of(ordered: Sequence[AnswerSequence], batch: int) -> Iterator[list[AnswerSequence]]:
    """Sequences of one length at a time, of those that are ordered by it."""
    for _, same_length in groupby(ordered, key=lambda s: len(s.ids)):
        while group := list(islice(same_length, batch)):
            yield group


class Pooling:
    """Forward hooks that keep, of every layer, the pooled rows of the current batch and nothing else.

    After the last block only the last prompt token and those after it are read, so its MLP runs for them alone
    (where the mean is pooled, for all).
    """

    def __init__(self, model: SuiteModel, position: str) -> None:
        self.model = model
        self.position = position
        self.rows: list[Tensor] = []
        self.n_prompt_B = torch.empty(0)
        self.read_BT = torch.empty(0)
        self.cache: Any = None
        self.handles: list[Any] = []

    def __enter__(self) -> Pooling:
        blocks = self.model.blocks
        self.handles = [blocks[0].register_forward_pre_hook(self._before_first, with_kwargs=True)]
        self.handles += [block.register_forward_hook(self._after_block) for block in blocks]
        if self.position == LAST and (mlp := self.model.last_mlp) is not None:
            self.handles += [mlp.register_forward_pre_hook(self._narrow), mlp.register_forward_hook(self._widen)]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _before_first(self, _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.rows.append(self.pool(args[0] if args else kwargs["hidden_states"]))

    def _after_block(self, _: object, __: object, output: Any) -> None:
        self.rows.append(self.pool(output[0] if isinstance(output, (tuple, list)) else output))

    def _narrow(self, _: object, args: tuple[Tensor, ...]) -> tuple[Tensor] | None:
        return (args[0][self.read_BT][None],) if self._narrows else None

    def _widen(self, _: object, __: object, output_1RD: Tensor) -> Tensor:
        if not self._narrows:
            return output_1RD
        wide_BTD = output_1RD.new_zeros(*self.read_BT.shape, output_1RD.shape[-1])
        wide_BTD[self.read_BT] = output_1RD[0]
        return wide_BTD

    @property
    def _narrows(self) -> bool:
        """Not for a few rows: matrix libraries compute those by another routine, whose last bits differ."""
        return len(self.read_BT) >= FEW_ROWS

    def run(self, group: Sequence[AnswerSequence], keep: bool = False, before: Any = None) -> Tensor:
        """One forward pass; returns the hidden states after the final norm [B, T, D], right where they are read.

        Args:
            group: Sequences of one length.
            keep: Whether keys and values stay in `cache`.
            before: Keys and values of what stands before them.
        """
        device = self.model.device
        ids_BT = torch.tensor([s.ids for s in group], device=device)
        self.n_prompt_B = torch.tensor([s.n_prompt for s in group], device=device)
        self.read_BT = torch.arange(ids_BT.shape[1], device=device) >= self.n_prompt_B[:, None] - 1
        self.rows = []
        final_BTD, self.cache = self.model.states(ids_BT, before, keep)
        return final_BTD

    def pool(self, hidden_BTD: Tensor) -> Tensor:
        """Pooled rows [B, D] of the current batch."""
        return _pool(hidden_BTD, self.n_prompt_B, self.position)

    def pooled(self, main: Sequence[int], final_BTD: Tensor) -> NDArray[np.float32]:
        """Pooled activations [L, len(main), D] of the batch's main sequences."""
        final_BD = self.pool(final_BTD)
        # opt-350m narrows its last state; zeros move no distance, angle or singular value
        final_BD = nn.functional.pad(final_BD, (0, self.rows[-1].shape[-1] - final_BD.shape[-1]))
        stacked_LBD = torch.stack([*self.rows, final_BD])
        return stacked_LBD[:, list(main)].cpu().numpy()


def _pool(hidden_BTD: Tensor, n_prompt_B: Tensor, position: str) -> Tensor:
    """Pools over the prompt's tokens, in float32; a copy, so that the whole tensor can be freed."""
    rows_B = torch.arange(len(hidden_BTD), device=hidden_BTD.device)
    if position == LAST:
        return hidden_BTD[rows_B, n_prompt_B - 1].float().clone()
    inside_BT = torch.arange(hidden_BTD.shape[1], device=hidden_BTD.device) < n_prompt_B[:, None]
    return (hidden_BTD.float() * inside_BT[..., None]).sum(1) / n_prompt_B[:, None]


def score_answers(
    model: SuiteModel, group: Sequence[AnswerSequence], final_BTD: Tensor
) -> Iterator[tuple[AnswerSequence, int, float, bool]]:
    """Log-probability of every scored answer; logits only at the positions that predict its tokens."""
    rows: list[int] = []
    positions: list[int] = []
    predicting: list[int] = []  # for every scored token, which of the P positions predicts it
    tokens: list[int] = []
    lengths: list[int] = []
    for row, sequence in enumerate(group):
        first, n_answer = len(rows), len(sequence.ids) - sequence.n_prompt + 1
        rows += [row] * n_answer
        positions += range(sequence.n_prompt - 1, sequence.n_prompt - 1 + n_answer)
        for _, ids in sequence.scored:
            predicting += range(first, first + len(ids))
            tokens += ids
            lengths.append(len(ids))
    logits_PV = model.logits(final_BTD[rows, positions])
    greedy, log_probs = read_off(logits_PV, np.array(predicting), np.array(tokens))
    starts = np.cumsum([0, *lengths[:-1]])
    totals, all_greedy = np.add.reduceat(log_probs, starts), np.minimum.reduceat(greedy, starts)
    scored = ((sequence, index) for sequence in group for index, _ in sequence.scored)
    for (sequence, index), total, hit in zip(scored, totals, all_greedy, strict=True):
        yield sequence, index, float(total), bool(hit)


def read_off(
    logits_PV: Tensor, predicting: NDArray[np.int64], tokens: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each token, whether it is the greedy one at the position that predicts it, and its log-probability.

    A few positions at a time on a CPU: what they need fits its cache, and no second [P, V] array is made.
    """
    at_once = POSITIONS_AT_ONCE if logits_PV.device.type == "cpu" else len(logits_PV)
    greedy, log_probs = np.empty(len(tokens)), np.empty(len(tokens))
    for start in range(0, len(logits_PV), at_once):
        chunk = logits_PV[start : start + at_once].float()
        mine = np.flatnonzero((predicting >= start) & (predicting < start + len(chunk)))
        where, wanted = (torch.from_numpy(a[mine]).to(chunk.device) for a in (predicting - start, tokens))
        greedy[mine] = _is_greedy(chunk, where, wanted).cpu().numpy()
        log_probs[mine] = torch.log_softmax(chunk, dim=-1)[where, wanted].double().cpu().numpy()
    return greedy, log_probs


def _is_greedy(logits_PV: Tensor, where: Tensor, wanted: Tensor) -> Tensor:
    """Whether `wanted` is the arg max at `where`: the maximum alone is six times cheaper and rules most of them out."""
    is_top = logits_PV[where, wanted] >= logits_PV.amax(dim=-1)[where]
    is_top[is_top.clone()] = logits_PV[where[is_top]].argmax(dim=-1) == wanted[is_top]  # of equal ones, argmax's
    return is_top


def _answers(scores: Sequence[NDArray[np.float64]], exact: NDArray[np.float64]) -> Answers:
    log_prob = np.array([s[TARGET] for s in scores])
    margin, choice = np.full(len(scores), np.nan), np.full(len(scores), np.nan)
    for i, s in enumerate(scores):
        if len(s) > 1 and np.isfinite(s).all():
            margin[i] = s[TARGET] - s[1:].mean()
            choice[i] = float(s[TARGET] > s[1:].max())
    exact = np.where(np.isfinite(log_prob), exact, np.nan)
    return Answers(np.where(np.isfinite(log_prob), log_prob, np.nan), margin, choice, exact, scores)
