"""What the user asked for, and whether its words make sense together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.capture import BATCH, LAST, POSITIONS
from pythia_geometry.extraction.loading.device_names import find_devices, names_several
from pythia_geometry.extraction.loading.models import DTYPES
from pythia_geometry.extraction.losses import PROBES, TEXT
from pythia_geometry.extraction.probes.benchmark_items import HarnessOptions
from pythia_geometry.extraction.probes.text_cloud import TEXT as TEXT_PROBE
from pythia_geometry.measures import PREDICTIONS, SURFACE, SURFACE_PAIR, Measure, chosen_measures
from pythia_geometry.runs.fetching.disk import parse_size
from pythia_geometry.runs.llc_option import CHAINS, read_llc, with_settings
from pythia_geometry.runs.readings import READINGS
from pythia_geometry.suites.layout.weights import BIN
from pythia_geometry.suites.named import OFFLINE
from pythia_geometry.suites.served import AUTO, CHOICES
from pythia_geometry.suites.steps.numbering import Naming

KEEP, REFUSE, NONE = "keep", "refuse", "none"
LOCAL, RAY = "local", "ray"
FILES, RANGES = "files", "ranges"
ONCE, ANEW = "once", "anew"


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        models: Each as after `--model`.
        seeds: Seeds of a Pythia size, or of a repository whose names tell them apart, or `all`; empty for the runs as
            named.
        steps: Selection as after `--steps`.
        stage: Stage of training whose steps are walked; empty for the first.
        pattern: Regular expression of the names of steps; empty for the known conventions.
        probes: Selection as after `--probes`; empty for the suite's own default.
        measures: Names of measures and of groups of them; empty for those that a walk takes by default.
        loss: The loss of a surface: `auto` (a suite's own training mixture, else `text`), `text` or `probes`.
        text: A text file or dataset: its next-token loss is the surface, `--probes text` walks its pieces, and
            n-grams are counted on it.
        llc: Settings of the local learning coefficient as after `--llc`; empty for the usual ones.
        at: Steps at which dear measures are taken, selected as after `--steps`; empty for every step of the walk.
        position: Where activations are read: `last` prompt token or the `mean`.
        dtype: Forward-pass precision.
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1` …; several, joined by commas, or
            `cuda:all` divide the walk among processes.
        threads: CPU threads of a forward pass; 0 chooses.
        batch: Sequences a forward pass.
        duplicates: `refuse` steps whose weights the listing says are another step's, or `keep` them.
        weight_format: `safetensors`, `bin`, or `auto`: safetensors unless they are refused and the `.bin` is not.
        keep_weights: Whether downloaded weights go into the user's Hub cache and stay, for the next walk.
        activations: `keep` pooled activations, or `none`.
        disk: Most disk space for downloaded weights, such as `20GB`; empty for two checkpoints.
        executor: Where forward passes run: this process (`local`), or the machines of a Ray cluster (`ray`).
        fetch: Whole weight `files`, or only the byte `ranges` of the base model: geometry without behaviour, nothing on
            the disk.
        harness: How tasks of lm-eval are built.
        contexts: Whether the context of a benchmark's item runs `once` for all its choices, or `anew` with each.
    """

    models: tuple[str, ...] = (OFFLINE,)
    seeds: tuple[int, ...] | str = ()
    steps: str = "all"
    stage: str = ""
    pattern: str = ""
    probes: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    loss: str = AUTO
    text: str = ""
    llc: str = ""
    at: str = ""
    position: str = LAST
    dtype: str = "float32"
    device: str = "auto"
    threads: int = 0
    batch: int = BATCH
    duplicates: str = REFUSE
    weight_format: str = AUTO
    keep_weights: bool = False
    activations: str = KEEP
    disk: str = ""
    executor: str = LOCAL
    fetch: str = FILES
    harness: HarnessOptions = field(default_factory=HarnessOptions)
    contexts: str = ONCE

    def __post_init__(self) -> None:
        """Checks every word that has a closed set.

        Raises:
            PythiaGeometryError: If one is outside it.
        """
        _ = self.naming
        _one_of("--position", self.position, POSITIONS)
        _one_of("--dtype", self.dtype, tuple(DTYPES))
        _one_of("--duplicates", self.duplicates, (REFUSE, KEEP))
        _one_of("--format", self.weight_format, CHOICES)
        _one_of("--activations", self.activations, (KEEP, NONE))
        _one_of("--executor", self.executor, (LOCAL, RAY))
        _one_of("--fetch", self.fetch, (FILES, RANGES))
        _one_of("--contexts", self.contexts, (ONCE, ANEW))
        if self.fetch == RANGES:
            self._check_ranges()
        _one_of("--loss", self.loss, (AUTO, TEXT, PROBES))
        if self.loss == TEXT and not self.text:
            raise PythiaGeometryError("--loss text needs a text: add --text FILE")
        if TEXT_PROBE in self.probes and not self.text:
            raise PythiaGeometryError("--probes text needs a text: add --text FILE")
        read_llc(self.llc)
        chosen_measures(self.measures)
        if self.executor == RAY and (opening := [m.name for m in self.chosen if READINGS[m.reads].opens_model]):
            raise PythiaGeometryError(
                f"--executor ray runs probes only, and {opening[0]} reads more of a checkpoint than that. Leave it out "
                "here, and add it to the same run folder by the same command without --executor ray"
            )
        if self.keep_weights and self.disk:
            raise PythiaGeometryError("--keep-weights keeps every file, and --disk bounds what lies there. Pass one")
        if self.batch < 1 or self.threads < 0:
            raise PythiaGeometryError("--batch must be at least 1, and --threads 0 (chooses) or more")
        if self.disk:
            parse_size(self.disk)
        if self.executor == RAY and names_several(self.device):
            raise PythiaGeometryError(
                f"--executor ray uses every GPU of its machines by itself; --device {self.device} divides the walk "
                "among those of this one. Pass one of them"
            )
        if self.executor == RAY and ":" in self.device:
            raise PythiaGeometryError(
                f"--executor ray gives each task a GPU of its own, so --device {self.device} says nothing there. "
                "Pass --device cuda, cpu or auto"
            )

    def _check_ranges(self) -> None:
        """Refuses what makes no sense with `--fetch ranges`."""
        for option, given, why in (
            ("--disk", self.disk, "puts nothing on the disk"),
            ("--keep-weights", self.keep_weights, "puts nothing on the disk"),
            ("--format bin", self.weight_format == BIN, "reads safetensors only"),
            ("--executor ray", self.executor == RAY, "does not reach the machines of a Ray cluster; --shard i/n does"),
            *((m.name, True, "leaves out weights that it reads") for m in self.chosen if READINGS[m.reads].whole),
        ):
            if given:
                raise PythiaGeometryError(f"--fetch ranges {why}. Leave out {option} or --fetch ranges")

    def check_all_is_read(self) -> None:
        """Refuses an option that nothing asked for reads: the user would think that it was done.

        Raises:
            PythiaGeometryError: Naming the option, and what reads it.
        """
        reads = {measure.reads for measure in self.chosen}
        surface = bool(reads & {SURFACE, SURFACE_PAIR})
        text_read = (surface and self.loss != PROBES) or PREDICTIONS in reads or TEXT_PROBE in self.probes
        for option, given, is_read, readers in (
            ("--llc", self.llc, any(m.shares == CHAINS for m in self.chosen), "--measures landscape or llc"),
            ("--text", self.text, text_read, "--measures landscape or n-grams, or --probes text"),
            ("--loss", self.loss != AUTO, surface, "--measures landscape"),
        ):
            if given and not is_read:
                raise PythiaGeometryError(f"{option} is read by {readers} alone. Add one, or leave {option} out")

    @property
    def naming(self) -> Naming:
        """How the names of steps are read.

        Raises:
            PythiaGeometryError: If the pattern cannot be used.
        """
        return Naming(self.stage, self.pattern)

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that compute; of several, each walks a share.

        Raises:
            PythiaGeometryError: If a GPU is asked for and there is none.
        """
        return find_devices(self.device)

    @property
    def n_shares(self) -> int:
        """How many processes of this machine divide the walk, and `--disk`."""
        return 1 if self.executor == RAY else len(self.devices)

    @property
    def is_divided(self) -> bool:
        """Whether other processes capture, and this one compares."""
        return self.executor == RAY or self.n_shares > 1

    @property
    def resolved_device(self) -> str:
        """The device that this process computes on: the only one, or the first."""
        return self.devices[0]

    @property
    def chosen(self) -> tuple[Measure, ...]:
        """The measures to take, in the order of the list."""
        return tuple(with_settings(measure, self.llc) for measure in chosen_measures(self.measures))

    @property
    def forward_measures(self) -> tuple[Measure, ...]:
        """Those that come out of a probe's forward pass."""
        return tuple(m for m in self.chosen if READINGS[m.reads].from_forward)

    @property
    def cached_pairs(self) -> tuple[Measure, ...]:
        """Those of two checkpoints' cached activations."""
        return tuple(m for m in self.chosen if READINGS[m.reads].cached)

    @property
    def opening_measures(self) -> tuple[Measure, ...]:
        """Those for which a checkpoint is opened apart from forward passes of probes."""
        return tuple(m for m in self.chosen if READINGS[m.reads].opens_model)


def _one_of(option: str, value: str, allowed: Sequence[Any]) -> None:
    if value not in allowed:
        raise PythiaGeometryError(f"{option} {value!r} is not one of: {', '.join(allowed)}")
