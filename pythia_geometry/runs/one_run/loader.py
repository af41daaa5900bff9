"""Weights in: opens one checkpoint after the other in the one model of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pythia_geometry.extraction.capture import check_head
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.runs.fetching.files import Fetcher
from pythia_geometry.runs.fetching.spans import SpanFetcher
from pythia_geometry.runs.plan import RunPlan
from pythia_geometry.runs.progress import Progress
from pythia_geometry.runs.request import FILES, Request
from pythia_geometry.store.writing import disk_errors
from pythia_geometry.suites.checkpoint import Checkpoint


@dataclass
class Loader:
    """The model of a run, and whose weights it holds.

    Attributes:
        run: The run's plan.
        request: What the user asked for.
        fetcher: Hands out the weights.
        progress: Told of every step.
        model: Built when the first checkpoint is opened; a task of a cluster hands it on to the next.
        checkpoint: Whose weights are in it.
        in_part: Whether they came in part, so that their sha256 could not be checked.
    """

    run: RunPlan
    request: Request
    fetcher: Fetcher | SpanFetcher
    progress: Progress
    model: SuiteModel | None = None
    checkpoint: Checkpoint | None = None
    in_part: bool = False

    @property
    def has_head(self) -> bool:
        """Whether answers are scored."""
        return self.request.fetch == FILES

    def open(self, checkpoint: Checkpoint, folder: Path) -> SuiteModel:
        """The model with the checkpoint's weights; nothing is done where it holds them already.

        Args:
            checkpoint: The checkpoint.
            folder: The run folder, for messages where its disk gives out.

        Raises:
            CheckpointError: If the checkpoint cannot be had or used.
            PythiaGeometryError: If the model's answers cannot be read off its output head.
        """
        if self.model is not None and self.checkpoint is checkpoint:
            return self.model
        self.progress.stage(checkpoint.label, "fetch")
        with disk_errors(folder):
            weights = self.fetcher.get(self.run.suite, checkpoint)
        self.progress.stage(checkpoint.label, "load")
        model, self.checkpoint = self.model, None
        if model is None:
            config = self.run.suite.config_file()
            model = SuiteModel(config, self.request.dtype, self.request.resolved_device, self.has_head)
            set_threads(self.request.threads, self.run.shape.width)
        try:
            model.swap(weights, checkpoint, self.run.suite.config_file(checkpoint))
        finally:  # also where that fails, since this may be why
            if isinstance(weights, Path):
                self.run.suite.confirm(checkpoint, weights)
        self.fetcher.loaded()
        if self.has_head and self.model is None:
            check_head(model, self.run.probes[0])
        self.model, self.checkpoint, self.in_part = model, checkpoint, not isinstance(weights, Path)
        return model


def set_threads(threads: int, width: int) -> None:
    """Sets torch's CPU threads; matrices narrower than 128 are slower on two threads than on one."""
    import torch

    if threads or width < 128:
        torch.set_num_threads(threads or 1)
