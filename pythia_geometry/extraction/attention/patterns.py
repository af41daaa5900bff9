"""Attention patterns beside a forward pass that does not notice: hidden states are bit for bit those without them.

The pattern of the queries that are read is made layer by layer and reduced at once; that of a whole probe never exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from pythia_geometry.attention.batches import ScoredBatch
from pythia_geometry.attention.pattern import Prompt
from pythia_geometry.attention.reading import HeadReading, empty_reading
from pythia_geometry.attention.scores import SCORES
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.attention.attention_kernel import LayerAttention, Listening, listening, refusal
from pythia_geometry.extraction.loading.models import SuiteModel

ENTRIES_AT_ONCE = 2**24
"""Entries of a pattern in memory at once: 64 MiB."""

# How far pattern · values may lie from the kernel's own output, relative to its largest entry.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2, torch.float64: 1e-4}


class PatternReader:
    """Reads the heads of every layer while a model runs.

        with PatternReader(model, prompts) as reader:
            with reader.batch([(0, 3), (1, 5)]):  # row 0 of the batch is prompt 3, row 1 is prompt 5
                model.base(input_ids=ids, use_cache=False)
        reader.reading

    The forward pass runs in the thread that entered the reader. Rows not named are not read; tokens after a prompt
    (an answer's) are not either.
    """

    def __init__(self, model: SuiteModel, prompts: Sequence[Prompt], scores: Sequence[str] = tuple(SCORES)) -> None:
        """Gets ready to read.

        Args:
            model: The model.
            prompts: The prompts of a probe.
            scores: Names of the scores to take.
        """
        self.model = model
        self.prompts = tuple(prompts)
        self.scores = [SCORES[name] for name in scores]
        self._found: HeadReading | None = None
        self._rows: list[tuple[int, int]] = []
        self._scored: ScoredBatch | None = None
        self._checked: set[int] = set()
        self._stack = ExitStack()
        self._state: Listening | None = None

    @property
    def reading(self) -> HeadReading:
        """What was read.

        Raises:
            PythiaGeometryError: If nothing was.
        """
        if self._found is None:
            name = type(self.model.module).__name__
            raise PythiaGeometryError(f"No attention was read: run {name} inside reader.batch(…)")
        return self._found

    def __enter__(self) -> PatternReader:
        """Starts to listen.

        Raises:
            PythiaGeometryError: If the model cannot show its attention.
        """
        self._state = self._stack.enter_context(listening(self.model, self))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def batch(self, rows: Sequence[tuple[int, int]]) -> Iterator[None]:
        """Around one forward pass.

        Args:
            rows: Of the batch's rows that are to be read, the row and the index of its prompt.

        Raises:
            PythiaGeometryError: If the model did not show the attention of every layer.
        """
        self._rows = list(rows)
        self._scored = ScoredBatch([self.prompts[i] for _, i in rows], self.scores, with_last=True) if rows else None
        yield
        shown, expected = len(self._state.layers) if self._state else 0, self.model.shape.n_layers
        if shown != expected:
            raise refusal(self.model, f"{shown} of its {expected} blocks hand over queries and keys")
        self._rows, self._scored = [], None

    def take(self, layer: int, attention: LayerAttention, output_BTHD: Tensor) -> Tensor:
        """Reduces the attention of a layer; the output stays as it is."""
        if self._scored is not None:
            if layer not in self._checked:
                self._check(layer, attention, output_BTHD)
            self._reduce(layer, attention, output_BTHD, self._scored)
        return output_BTHD

    def _reduce(self, layer: int, attention: LayerAttention, output_BTHD: Tensor, scored: ScoredBatch) -> None:
        n_heads, depth = output_BTHD.shape[2:]
        if self._found is None:
            names = tuple(score.name for score in self.scores)
            self._found = empty_reading(self.prompts, names, self.model.shape.n_layers, n_heads, depth)
        found = self._found
        if layer >= found.n_layers:
            raise refusal(self.model, f"it has more attention than its {found.n_layers} blocks")
        items = [item for _, item in self._rows]
        found.present[items] = scored.present
        at_once = max(1, ENTRIES_AT_ONCE // (n_heads * len(scored.queries) * scored.n_keys))
        for start in range(0, len(items), at_once):
            part = slice(start, start + at_once)
            rows = [row for row, _ in self._rows[part]]
            p = attention.pattern(rows, scored.queries, scored.n_keys).cpu().numpy()
            found.scores[layer, items[part]] = scored.scores(p, part)
            found.last_rows[layer, items[part]] = scored.last_rows(p, found.last_rows.shape[-1], part)
        last = [self.prompts[item].last for item in items]
        found.outputs[layer, items] = output_BTHD[[row for row, _ in self._rows], last].float().cpu().numpy()

    def _check(self, layer: int, attention: LayerAttention, output_BTHD: Tensor) -> None:
        """Makes sure, on one row, that pattern times values is what the layer's own kernel gives."""
        row, n = self._rows[0][0], output_BTHD.shape[1]
        pattern_HTT = attention.pattern([row], range(n), n)[0]
        ours = torch.einsum("hqk,hkd->qhd", pattern_HTT, attention.values([row])[0])
        theirs = output_BTHD[row].float()
        room = TOLERANCE[output_BTHD.dtype] * float(theirs.abs().amax())
        if torch.isfinite(theirs).all() and float((ours - theirs).abs().amax()) > room:
            raise refusal(self.model, "its attention does more than softmax(q·k)·v")
        self._checked.add(layer)
