"""What `--fetch ranges` takes of each checkpoint of one run: a header and one span of every file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from threading import Event

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.extraction.loading.base_spans import BaseSpan, base_spans
from pythia_geometry.extraction.loading.models import read_names
from pythia_geometry.extraction.loading.tensor_names import TensorNames
from pythia_geometry.suites.checkpoint import CORRUPT, FAILED, NEVER, UNSUPPORTED, Checkpoint, WeightFile
from pythia_geometry.suites.safetensors_header import HEADER, Place, places
from pythia_geometry.suites.suite import PartOfFile, Suite

Found = tuple[list[BaseSpan], Mapping[WeightFile, PartOfFile]]


class SpanSource:
    """The base model's spans of one run's checkpoints on the Hub."""

    def __init__(self, suite: Suite) -> None:
        """Asks nothing yet.

        Raises:
            PythiaGeometryError: If the suite has no parts to fetch, such as a folder on this machine.
        """
        if suite.parts is None:
            raise PythiaGeometryError(
                f"--fetch ranges saves bytes from the Hub, and {suite.address} lies on this machine. "
                "Type the same command without it: geometry is the same, and behaviour comes with it"
            )
        self._suite, self._parts = suite, suite.parts
        self._asked: dict[str, Found] = {}
        self._sizes: dict[tuple[int, ...], int] = {}
        self._names: dict[Path, TensorNames] = {}  # by config

    def names(self, checkpoint: Checkpoint) -> TensorNames:
        """What the step's config says of its tensors. Not from two threads at once: building a module patches torch.

        Raises:
            CheckpointError: If the config cannot be had, or no model be built of it.
        """
        config = self._suite.config_file(checkpoint)
        if config not in self._names:
            try:
                self._names[config] = read_names(config)
            except CheckpointError:
                raise
            except PythiaGeometryError as error:
                raise CheckpointError(f"{checkpoint.label}: {error}", UNSUPPORTED) from error
        return self._names[config]

    def fetch_cached(self, checkpoint: Checkpoint) -> Path | None:
        """The checkpoint's folder in the user's Hub cache, checked; None where it is not there.

        Raises:
            CheckpointError: If the bytes are not those that the Hub listed.
        """
        return self._parts.fetch_cached(checkpoint)

    def find(self, checkpoint: Checkpoint, stop: Event = NEVER) -> Found:
        """The spans, and the files to read them from: one request for the header of each file, of a shard too.

        A header that is not sound is asked for once more.

        Raises:
            CheckpointError: If there are no safetensors, or they are not what the listing and the config say.
            Stopped: If `stop` was set.
        """
        if checkpoint.label in self._asked:
            return self._asked.pop(checkpoint.label)
        if others := [f.name for f in checkpoint.files if PurePath(f.name).suffix != ".safetensors"]:
            raise CheckpointError(
                f"{checkpoint.label} would be read from {others[0]}, and --fetch ranges reads safetensors only. "
                "Type the same command without it: the step is added to the same run folder",
                FAILED,
            )
        files = {file: self._parts.remote_file(checkpoint, file) for file in checkpoint.files}
        for last_try in (False, True):
            try:
                headers = {file: _header(checkpoint, remote, stop) for file, remote in files.items()}
                return base_spans(checkpoint, headers, self.names(checkpoint)), files
            except CheckpointError as error:
                if last_try or error.status != CORRUPT:
                    raise
        raise AssertionError

    def bytes_to_come(self, checkpoint: Checkpoint) -> int:
        """What fetching it will take from the network; 0 where it is on this machine.

        The header of one checkpoint is read for all that have files of the same sizes. Where it cannot be read, the
        whole files are counted: it is never less than what comes.
        """
        if self._parts.cached_folder(checkpoint) or not checkpoint.files[0].name.endswith(".safetensors"):
            return 0
        sizes = tuple(file.size for file in checkpoint.files)
        if sizes not in self._sizes:
            self._sizes[sizes] = checkpoint.size
            try:
                spans, files = self._asked[checkpoint.label] = self.find(checkpoint)
                self._sizes[sizes] = sum(min(HEADER, f.size) for f in files) + sum(span.size for span in spans)
            except CheckpointError:
                pass  # the walk will say so
        return self._sizes[sizes]


def _header(checkpoint: Checkpoint, remote: PartOfFile, stop: Event) -> Mapping[str, Place]:
    try:
        return places(remote.name, remote.size, lambda start, end: remote.read(start, end, stop))
    except ValueError as error:
        raise CheckpointError(str(error), CORRUPT) from error
