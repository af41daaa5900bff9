"""What a walk will do, found out before it starts: checkpoints, probes, bytes, time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.capture import BATCH, LAST, POSITIONS
from pythia_geometry.extraction.encoding import EncodedProbe, Encoder
from pythia_geometry.extraction.models import DTYPES, Shape, read_shape
from pythia_geometry.extraction.probes import Probe, load_probes
from pythia_geometry.geometry.measures import COMPARISONS, MEASURES
from pythia_geometry.runs.device_names import find_devices, names_several
from pythia_geometry.runs.disk import parse_size, too_little
from pythia_geometry.runs.span_source import SpanSource
from pythia_geometry.suites.checkpoint import OK, REFUSED, Checkpoint, Suite, run_name
from pythia_geometry.suites.layout import BIN
from pythia_geometry.suites.named import OFFLINE, find_suites
from pythia_geometry.suites.served import AUTO, CHOICES
from pythia_geometry.suites.steps import parse_steps

KEEP, REFUSE, NONE = "keep", "refuse", "none"
LOCAL, RAY = "local", "ray"
FILES, RANGES = "files", "ranges"


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        models: Each as after `--model`.
        seeds: Seeds of a Pythia size; empty for the runs as named.
        steps: Selection as after `--steps`.
        probes: Selection as after `--probes`; empty for the suite's own default.
        measures: Names of measures; empty for all.
        position: Where activations are read: `last` prompt token or the `mean`.
        dtype: Forward-pass precision.
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1` …; several, joined by commas, or
            `cuda:all` divide the walk among processes.
        threads: CPU threads of a forward pass; 0 chooses.
        batch: Sequences a forward pass.
        duplicates: `refuse` steps whose weights the listing says are another step's, or `keep` them.
        weight_format: `safetensors`, `bin`, or `auto`: safetensors unless they are refused and the `.bin` is not.
        activations: `keep` pooled activations, or `none`.
        disk: Most disk space for downloaded weights, such as `20GB`; empty for two checkpoints.
        executor: Where forward passes run: this process (`local`), or the machines of a Ray cluster (`ray`).
        fetch: Whole weight `files`, or only the byte `ranges` of the base model: geometry without behaviour, nothing on
            the disk.
    """

    models: tuple[str, ...] = (OFFLINE,)
    seeds: tuple[int, ...] = ()
    steps: str = "all"
    probes: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    position: str = LAST
    dtype: str = "float32"
    device: str = "auto"
    threads: int = 0
    batch: int = BATCH
    duplicates: str = REFUSE
    weight_format: str = AUTO
    activations: str = KEEP
    disk: str = ""
    executor: str = LOCAL
    fetch: str = FILES

    def __post_init__(self) -> None:
        """Checks every word that has a closed set.

        Raises:
            PythiaGeometryError: If one is outside it.
        """
        _one_of("--position", self.position, POSITIONS)
        _one_of("--dtype", self.dtype, tuple(DTYPES))
        _one_of("--duplicates", self.duplicates, (REFUSE, KEEP))
        _one_of("--format", self.weight_format, CHOICES)
        _one_of("--activations", self.activations, (KEEP, NONE))
        _one_of("--executor", self.executor, (LOCAL, RAY))
        _one_of("--fetch", self.fetch, (FILES, RANGES))
        if self.fetch == RANGES:
            self._check_ranges()
        for name in self.measures:
            _one_of("--measures", name, (*MEASURES, *COMPARISONS))
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
            ("--format bin", self.weight_format == BIN, "reads safetensors only"),
            ("--executor ray", self.executor == RAY, "does not reach the machines of a Ray cluster; --shard i/n does"),
        ):
            if given:
                raise PythiaGeometryError(f"--fetch ranges {why}. Leave out {option} or --fetch ranges")

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
    def chosen_measures(self) -> tuple[str, ...]:
        """Measures of one checkpoint."""
        return tuple(name for name in MEASURES if name in self.measures or not self.measures)

    @property
    def chosen_comparisons(self) -> tuple[str, ...]:
        """Measures of two checkpoints."""
        return tuple(name for name in COMPARISONS if name in self.measures or not self.measures)


@dataclass(frozen=True)
class RunPlan:
    """The part of a plan that concerns one training run.

    Attributes:
        suite: The run.
        checkpoints: The chosen ones, ascending.
        probes: Under the run's tokenizer.
        shape: Blocks, width, vocabulary.
        spans: Where the base model lies in its files; None where whole files are fetched.
    """

    suite: Suite
    checkpoints: tuple[Checkpoint, ...]
    probes: tuple[EncodedProbe, ...]
    shape: Shape
    spans: SpanSource | None = None

    @property
    def name(self) -> str:
        """The run's name, such as `pythia-160m-seed3`."""
        return run_name(self.suite.model, self.suite.seed)

    @property
    def usable(self) -> list[Checkpoint]:
        """Checkpoints to walk, ascending."""
        return [c for c in self.checkpoints if c.status == OK]

    @property
    def gaps(self) -> list[Checkpoint]:
        """Checkpoints that will not be walked, with their reasons."""
        return [c for c in self.checkpoints if c.status != OK]

    @property
    def n_rows(self) -> int:
        """Prompts of all probes."""
        return sum(len(p.items) for p in self.probes)

    @property
    def n_tokens(self) -> int:
        """Tokens through the model at one checkpoint."""
        return sum(p.n_tokens for p in self.probes)

    def bytes_to_come(self, todo: Sequence[Checkpoint]) -> int:
        """What fetching some checkpoints, ascending, will take from the network."""
        if self.spans is None:  # the same weights are fetched once
            return sum({c.weights: self.suite.bytes_to_download(c) for c in todo}.values())
        order = (*todo[-1:], *todo[:-1])  # of the walk; one buffer keeps weights for the very next step only
        new = [c for c, before in zip(order, (None, *order), strict=False) if not _same_weights(c, before)]
        return sum(map(self.spans.bytes_to_come, new))

    @property
    def bytes_of_activations(self) -> int:
        """Pooled activations at one checkpoint, in float16, before compression."""
        return 2 * self.n_rows * (self.shape.n_layers + 2) * self.shape.width

    @property
    def flops(self) -> float:
        """Floating-point operations of one checkpoint's forward passes."""
        head = 0.0 if self.spans else 2.0 * self.n_rows * self.shape.head
        return self.n_tokens * self.shape.flops_per_token + head


@dataclass(frozen=True)
class Plan:
    """Everything that a walk will do."""

    request: Request
    runs: tuple[RunPlan, ...]

    @property
    def disk_budget(self) -> int:
        """Bytes of downloaded weights that may lie on the disk at any time; room for two checkpoints by default."""
        if self.request.disk:
            return parse_size(self.request.disk)
        return 2 * max((c.size for run in self.runs for c in run.usable), default=0)


def make_plan(request: Request) -> Plan:
    """Finds the suites, asks them for the chosen steps, and encodes the probes; downloads no weights.

    Raises:
        PythiaGeometryError: If a model, step or probe does not exist.
    """
    suites = [suite for model in request.models for suite in find_suites(model, request.seeds)]
    return Plan(request, tuple(_plan_run(suite, request) for suite in suites))


def plan_suite(suite: Suite, request: Request, probes: Sequence[Probe] = ()) -> Plan:
    """A plan for one suite, and perhaps probes, that are already at hand."""
    return Plan(request, (_plan_run(suite, request, probes),))


def _plan_run(suite: Suite, request: Request, given: Sequence[Probe] = ()) -> RunPlan:
    name = run_name(suite.model, suite.seed)
    steps = parse_steps(request.steps, suite.steps(), name)
    spans = SpanSource(suite) if request.fetch == RANGES else None
    probes = given or load_probes(request.probes or suite.default_probes)
    found = suite.find(steps, request.weight_format)
    if request.duplicates == KEEP:
        found = [replace(c, status=OK) if c.status in REFUSED else c for c in found]
    if request.disk:
        _check_disk(suite, found, request)
    config, tokenizer = suite.config_file(), suite.tokenizer_file()
    shape = read_shape(config)
    encoder = Encoder(tokenizer)
    encoded = tuple(encoder.encode(probe, shape.vocab_size) for probe in probes)
    _check_context(encoded, shape, name)
    return RunPlan(suite, tuple(found), encoded, shape, spans)


def _same_weights(one: Checkpoint, other: Checkpoint | None) -> bool:
    return other is not None and one.weight_sha256 == other.weight_sha256 != ""


def _check_disk(suite: Suite, found: Sequence[Checkpoint], request: Request) -> None:
    shares = request.n_shares
    budget = parse_size(request.disk) // shares
    bytes_of = suite.most_to_download if request.executor == RAY else suite.bytes_to_download
    for checkpoint in found:
        if checkpoint.status == OK and (needed := bytes_of(checkpoint)) > budget:
            raise too_little(budget, checkpoint.label, needed, shares)


def _check_context(probes: Sequence[EncodedProbe], shape: Shape, name: str) -> None:
    for probe in probes:
        longest = max(len(i.prompt) + max(map(len, (i.target, *i.distractors))) for i in probe.items)
        if shape.context and longest > shape.context:
            raise PythiaGeometryError(
                f"Probe {probe.probe.name} has a prompt of {longest} tokens; {name} reads at most {shape.context}"
            )


def measured_flops_per_second(device: str, dtype: str) -> float:
    """Rate of a square matrix product on this machine, for the time estimate; about a tenth of a second."""
    import torch

    a = torch.randn(1024, 1024, dtype=DTYPES[dtype], device=device)
    a @ a
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < 0.1:
        a @ a
        n += 1
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return n * 2.0 * 1024**3 / (time.perf_counter() - start)


def default_out(plan: Plan) -> Path:
    """`runs/<model>`, whatever its seeds; several models are joined by a plus sign."""
    return Path("runs") / "+".join(dict.fromkeys(run.suite.model for run in plan.runs))


def _one_of(option: str, value: str, allowed: Sequence[Any]) -> None:
    if value not in allowed:
        raise PythiaGeometryError(f"{option} {value!r} is not one of: {', '.join(allowed)}")
