"""Runs a task of lm-eval through one checkpoint: each context once, and every choice on its keys and values.

Shape letters: B contexts of a batch, T their common length, M tokens that a choice adds, D width, V words.

What most contexts begin with alike (a description, the same examples) runs once a checkpoint, and they go on from its
keys and values. The contexts are the forward pass that geometry is read from, at their last token. Run anew, everything
is computed from the first token on: log-probabilities, and geometry after a header, differ by rounding alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pythia_geometry.extraction.capture import (
    BATCH,
    LAST,
    TARGET,
    Answers,
    AnswerSequence,
    Capture,
    Pooling,
    batches_of,
    read_off,
    score_answers,
)
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.probes.benchmark_items import BenchmarkItem
from pythia_geometry.extraction.probes.encoding import EncodedBenchmarkItem, EncodedProbe, Ids
from pythia_geometry.extraction.probes.headers import has_header

CACHE_BYTES = 128 * 2**20
"""Keys and values that are held at once."""

Score = tuple[int, int, float, bool]
"""Item, answer, log-probability, whether every token of it was the likeliest."""


def capture_benchmark(
    model: SuiteModel, encoded: EncodedProbe, position: str = LAST, batch: int = BATCH, share: bool = True
) -> Capture:
    """Runs every item of a task of lm-eval through the model.

    Args:
        model: The suite's model with a checkpoint's weights.
        encoded: The task under the suite's tokenizer.
        position: `last` token of the context, or the `mean` over it.
        batch: Contexts a forward pass, at most.
        share: Whether the choices go on from the context's keys and values, and contexts (at `last`) from those of
            their common header; else each choice runs with its context anew. A model that keeps something else than
            keys and values of every token is always run anew.

    Returns:
        Activations and answers, of the first right choice's context. `choice` is the harness's `acc`: the likeliest
        choice, of equal ones the first, is right.
    """
    items = [item for item in encoded.items if isinstance(item, EncodedBenchmarkItem)]
    scores = [np.full(1 + len(item.distractors), np.nan) for item in items]
    exact = np.full(len(items), np.nan)
    activations = np.full((len(model.shape.layers), len(items), model.shape.width), np.nan, dtype=np.float32)
    header = encoded.header if share and position == LAST else ()
    with torch.inference_mode():
        kept = _kept(model, header)
        for group in _groups(model, items, header if kept is not None else (), batch):
            with Pooling(model, position) as pooling:
                if kept is not None and has_header(group[0].ids, header):
                    before = _rows_of(kept, [0] * len(group))
                    final_BTD = pooling.run([_after(s, len(header)) for s in group], share, before)
                else:
                    final_BTD = pooling.run(group, share)
            if main := [row for row, s in enumerate(group) if s.is_main]:
                activations[:, [group[row].item for row in main]] = pooling.pooled(main, final_BTD)
            for item, answer, log_prob, is_greedy in _scores(model, group, final_BTD, pooling.cache, batch):
                scores[item][answer] = log_prob
                if answer == TARGET:
                    exact[item] = is_greedy
    for asked, of_item in zip(items, scores, strict=True):
        _make_equals_equal(asked, of_item)
    return Capture(activations, _answers(encoded, scores, exact))


def _make_equals_equal(item: EncodedBenchmarkItem, scores: NDArray[np.float64]) -> None:
    """Gives choices of the same tokens the same score to the last bit: of equal ones the first is chosen."""
    seen: dict[tuple[Ids, Ids], int] = {}
    for k, asked in enumerate(zip(item.contexts, (item.target, *item.distractors), strict=True)):
        scores[k] = scores[seen.setdefault(asked, k)]


def _kept(model: SuiteModel, header: Ids) -> Any:
    """Keys and values of a header, if there is one and the model keeps them of every token; else None."""
    if not header:
        return None
    _, cache = model.states(torch.tensor([header], device=model.device), keep=True)
    return cache if _is_plain(cache) else None


def _after(context: AnswerSequence, n: int) -> AnswerSequence:
    """A context without its first tokens."""
    return replace(context, ids=context.ids[n:], n_prompt=context.n_prompt - n)


def _groups(
    model: SuiteModel, items: Sequence[EncodedBenchmarkItem], header: Ids, batch: int
) -> Iterator[list[AnswerSequence]]:
    """Contexts of one length, with the header or without, no more at once than their keys and values may take."""

    def kind(context: AnswerSequence) -> tuple[bool, int]:
        return has_header(context.ids, header), len(context.ids)

    contexts = sorted((one for i, item in enumerate(items) for one in _contexts(i, item)), key=kind)
    for (_, length), same in groupby(contexts, key=kind):
        yield from batches_of(list(same), min(batch, _at_once(model, length)))


def _at_once(model: SuiteModel, length: int) -> int:
    """How many contexts' keys and values are held at once: one at least."""
    a_token = 2 * model.shape.n_layers * model.shape.width * next(model.base.parameters()).element_size()
    return int(max(1, CACHE_BYTES // (length * a_token)))


def _contexts(index: int, item: EncodedBenchmarkItem) -> Iterator[AnswerSequence]:
    """Every different context of an item, with the answers that follow it; the target's first."""
    answers: dict[Ids, list[tuple[int, Ids]]] = {}
    for k, (context, answer) in enumerate(zip(item.contexts, (item.target, *item.distractors), strict=True)):
        answers.setdefault(context, []).append((k, answer))
    for context, scored in answers.items():
        yield AnswerSequence(index, context, len(context), tuple(scored))


def _scores(
    model: SuiteModel, group: Sequence[AnswerSequence], final_BTD: Tensor, cache: Any, batch: int
) -> Iterator[Score]:
    if not model.has_head:
        return
    if not _is_plain(cache):
        yield from _anew(model, group, batch)
        return
    asked = [(row, k, ids) for row, s in enumerate(group) for k, ids in s.scored]
    first = model.logits(final_BTD[:, -1])
    greedy, totals = read_off(first, np.array([row for row, _, _ in asked]), np.array([ids[0] for *_, ids in asked]))
    more = sorted((index for index, (*_, ids) in enumerate(asked) if len(ids) > 1), key=lambda i: len(asked[i][2]))
    at_once = _at_once(model, len(group[0].ids))
    for start in range(0, len(more), at_once):
        part = more[start : start + at_once]
        before = _rows_of(cache, [asked[index][0] for index in part])
        for place, log_prob, is_greedy in _continued(model, [asked[index][2] for index in part], before):
            totals[part[place]] += log_prob
            greedy[part[place]] = min(greedy[part[place]], is_greedy)
    for (row, k, _), total, is_greedy in zip(asked, totals, greedy, strict=True):
        yield group[row].item, k, float(total), bool(is_greedy)


def _is_plain(cache: Any) -> bool:
    """Whether a cache holds keys and values of every token, so that rows of it can be taken."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    return type(cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in cache.layers)


def _rows_of(cache: Any, rows: Sequence[int]) -> Any:
    """Keys and values of some rows of a batch, a row as often as it is named; the cache stays as it is."""
    own = copy.copy(cache)
    own.layers = [copy.copy(layer) for layer in cache.layers]
    own.batch_select_indices(torch.tensor(rows, device=cache.layers[0].keys.device))
    return own


def _continued(model: SuiteModel, answers: Sequence[Ids], cache: Any) -> list[tuple[int, float, float]]:
    """Of every token after the first of each answer: its place, log-probability, whether it is the likeliest.

    Shorter answers are filled up on the right, where nothing is read.
    """
    width = max(map(len, answers)) - 1
    filled = [[*ids[:-1], *[0] * (width - len(ids) + 1)] for ids in answers]
    states_BMD, _ = model.states(torch.tensor(filled, device=model.device), cache, keep=True)
    places = [(place, m) for place, ids in enumerate(answers) for m in range(len(ids) - 1)]
    rows, columns = map(list, zip(*places, strict=True))
    wanted = np.array([answers[place][m + 1] for place, m in places])
    greedy, log_probs = read_off(model.logits(states_BMD[rows, columns]), np.arange(len(places)), wanted)
    return list(zip(rows, log_probs, greedy, strict=True))


def _anew(model: SuiteModel, group: Sequence[AnswerSequence], batch: int) -> Iterator[Score]:
    """Each answer with its context in a forward pass of its own."""
    whole = [AnswerSequence(s.item, s.ids + ids[:-1], len(s.ids), ((k, ids),)) for s in group for k, ids in s.scored]
    for part in batches_of(sorted(whole, key=lambda s: len(s.ids)), batch):
        ids_BT = torch.tensor([s.ids for s in part], device=model.device)
        final_BTD, _ = model.states(ids_BT)
        for sequence, k, log_prob, is_greedy in score_answers(model, part, final_BTD):
            yield sequence.item, k, log_prob, is_greedy


def _answers(encoded: EncodedProbe, scores: Sequence[NDArray[np.float64]], exact: NDArray[np.float64]) -> Answers:
    """As of any probe, but choices by the harness's rule, and margins over wrong choices alone."""
    n = len(scores)
    log_prob, margin, choice = (np.full(n, np.nan) for _ in range(3))
    for i, (item, s) in enumerate(zip(encoded.probe.items, scores, strict=True)):
        if not isinstance(item, BenchmarkItem) or not np.isfinite(s).all():
            continue
        log_prob[i] = s[TARGET]
        wrong = [at for at, k in enumerate(item.order) if k not in item.gold]
        if len(s) > 1:
            choice[i] = float(_likeliest(item, s) in item.gold)
        if wrong:
            margin[i] = s[TARGET] - s[wrong].mean()
    return Answers(log_prob, margin, choice, np.where(np.isfinite(log_prob), exact, np.nan), scores)


def _likeliest(item: BenchmarkItem, scores: NDArray[np.float64]) -> int:
    """Index of the likeliest choice in the harness's order; of equal ones the first."""
    return int(np.argmax(in_order(item, scores)))


def in_order(item: BenchmarkItem, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-probabilities of the choices in the harness's order, from those with the first right one first."""
    ordered = np.empty(len(scores))
    ordered[list(item.order)] = scores
    return ordered
