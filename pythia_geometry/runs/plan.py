"""What a walk will do, found out before it starts: checkpoints, probes, bytes, time."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from pythia_geometry.attention.pattern import Prompt
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.attention.marked_prompts import marked_prompts
from pythia_geometry.extraction.labelled import LabelledRows
from pythia_geometry.extraction.loading.config_identity import config_identity
from pythia_geometry.extraction.loading.models import DTYPES, Shape, read_empty, read_prefix, read_shape
from pythia_geometry.extraction.losses import PROBES, TEXT, EncodedLoss, of_nothing, of_probe, of_text
from pythia_geometry.extraction.probes.encoding import EncodedProbe, Encoder
from pythia_geometry.extraction.probes.probes import Probe, load_probes
from pythia_geometry.extraction.probes.text_cloud import TEXT as TEXT_PROBE
from pythia_geometry.extraction.probes.text_cloud import TextCloud, read_text_cloud
from pythia_geometry.landscape.parts import check_part
from pythia_geometry.measures import (
    LABELLED,
    PATTERN,
    PREDICTIONS,
    RESIDUAL,
    SURFACE,
    SURFACE_PAIR,
    Measure,
)
from pythia_geometry.runs.fetching.disk import parse_size, too_little
from pythia_geometry.runs.fetching.span_source import SpanSource
from pythia_geometry.runs.generated import labelled_rows, mixture_loss
from pythia_geometry.runs.readings import READINGS
from pythia_geometry.runs.request import KEEP, RANGES, RAY, Request
from pythia_geometry.store.inputs import IDS, READING
from pythia_geometry.suites.checkpoint import OK, REFUSED, Checkpoint, run_name
from pythia_geometry.suites.duplicates import mark_across
from pythia_geometry.suites.named import find_suites
from pythia_geometry.suites.steps.chosen import parse_steps
from pythia_geometry.suites.suite import Suite

EXAMPLES = 128
"""Examples of a text's loss."""


@dataclass(frozen=True)
class RunPlan:
    """The part of a plan that concerns one training run.

    Attributes:
        suite: The run.
        checkpoints: The chosen ones, ascending.
        probes: Under the run's tokenizer.
        shape: Blocks, width, vocabulary.
        configs: By step, the identity of its config: of what `config.json` says that can decide a number.
        at: Steps at which dear measures are taken.
        losses: Of which losses surfaces are taken; empty where no measure reads one.
        labelled: What is decoded; empty where nothing is.
        text: The text that is walked as a probe, or whose n-grams predictions are compared with, if any.
        prompts: By probe, its prompts as attention measures read them; empty where none is asked for.
        spans: Where the base model lies in its files; None where whole files are fetched.
        remarks: What of the tokenizer's file is not used.
    """

    suite: Suite
    checkpoints: tuple[Checkpoint, ...]
    probes: tuple[EncodedProbe, ...]
    shape: Shape
    configs: Mapping[int, str] = field(default_factory=dict)
    at: frozenset[int] = frozenset()
    losses: tuple[EncodedLoss, ...] = ()
    labelled: tuple[LabelledRows, ...] = ()
    text: TextCloud | None = None
    prompts: Mapping[str, tuple[Prompt, ...]] = field(default_factory=dict)
    spans: SpanSource | None = None
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The run's name, such as `pythia-160m-seed3`."""
        return run_name(self.suite.model, self.suite.seed)

    def config_of(self, checkpoint: Checkpoint) -> str:
        """Identity of the config that the checkpoint is read with."""
        return self.configs.get(checkpoint.step, "")

    def inputs_of(self, encoded: EncodedProbe) -> dict[str, str]:
        """What a probe is read with at every step: its token ids, the attention kernel, the version of the code."""
        reading = READINGS[RESIDUAL]
        return {IDS: encoded.sha256[:16], READING: f"{reading.version} {reading.kernel or self.shape.kernel}"}

    def is_taken(self, measure: Measure, checkpoint: Checkpoint) -> bool:
        """Whether a measure is taken at a checkpoint: dear ones only where `--at` says."""
        return not READINGS[measure.reads].dear or checkpoint.step in self.at

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

    def only(self, probes: Collection[str]) -> RunPlan:
        """The plan with some of its probes alone, by name."""
        return replace(self, probes=tuple(e for e in self.probes if e.probe.name in probes))

    def bytes_to_come(self, todo: Sequence[Checkpoint]) -> int:
        """What fetching some checkpoints, ascending, will take from the network."""
        if self.spans is None:  # the same weights are fetched once
            return sum({c.weights: self.suite.bytes_to_download(c) for c in todo}.values())
        order = (*todo[-1:], *todo[:-1])  # of the walk; one buffer keeps weights for the very next step only
        new = [next(same) for _, same in groupby(order, lambda checkpoint: checkpoint.weights)]
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

    def batch_flops(self, batch: int) -> float:
        """Floating-point operations of one forward and backward pass of a batch of its loss's examples; roughly."""
        losses = [loss for loss in self.losses if loss.sequences]
        lengths = [len(ids) for loss in losses for ids in loss.sequences]
        if not lengths:
            return 0.0
        a_sequence = sum(lengths) / len(lengths) * (self.shape.flops_per_token + 2 * self.shape.head)
        return 3 * batch * a_sequence

    @property
    def edit_flops(self) -> float:
        """Floating-point operations of running every probe once for each head, at one checkpoint; roughly."""
        return self.flops * self.shape.n_layers * self.shape.n_heads


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

    @property
    def span_sources(self) -> dict[str, SpanSource]:
        """By the run's name, where the base model's spans lie; empty where whole files are fetched."""
        return {run.name: run.spans for run in self.runs if run.spans is not None}


def make_plan(request: Request) -> Plan:
    """Finds the suites, asks them for the chosen steps, and encodes the probes; downloads no weights.

    Raises:
        PythiaGeometryError: If a model, step or probe does not exist.
    """
    suites = [suite for model in request.models for suite in find_suites(model, request.seeds, request.naming)]
    return Plan(request, _apart(tuple(_plan_run(suite, request) for suite in suites), request))


def _apart(runs: tuple[RunPlan, ...], request: Request) -> tuple[RunPlan, ...]:
    """The runs, with the checkpoints marked whose weights two of them serve."""
    if request.duplicates == KEEP:
        return runs
    marked = mark_across([run.checkpoints for run in runs])
    return tuple(replace(run, checkpoints=tuple(found)) for run, found in zip(runs, marked, strict=True))


def plan_suite(suite: Suite, request: Request, probes: Sequence[Probe] = ()) -> Plan:
    """A plan for one suite, and perhaps probes, that are already at hand."""
    run = _plan_run(suite, request, probes)
    asked = replace(request, models=(suite.origin,), seeds=(suite.seed,) if suite.seeds else ())
    return Plan(replace(asked, probes=tuple(p.name for p in probes) or request.probes), (run,))


def _plan_run(suite: Suite, request: Request, given: Sequence[Probe] = ()) -> RunPlan:
    request.check_all_is_read()
    suite = suite.keeping() if request.keep_weights else suite
    name = run_name(suite.model, suite.seed)
    steps = parse_steps(request.steps, suite.steps(), name)
    spans = SpanSource(suite) if request.fetch == RANGES else None
    probes = given or _probes(request, suite)
    found = suite.find(steps, request.weight_format)
    if request.duplicates == KEEP:
        found = [replace(c, status=OK) if c.status in REFUSED else c for c in found]
    if request.disk:
        _check_disk(suite, found, request)
    config, tokenizer = suite.config_file(), suite.tokenizer_file()
    shape = read_shape(config)
    encoder = Encoder(tokenizer)
    prefix = read_prefix(config) if any(probe.facts for probe in probes) else None
    encoded = tuple(encoder.encode(probe, shape.vocab_size, shape.context, prefix) for probe in probes)
    reads = {measure.reads for measure in request.chosen}
    if only := next((part for m in request.chosen if (part := m.settings.get("only"))), ""):
        check_part(read_empty(config), only)
    text = None
    if TEXT_PROBE in request.probes or (request.text and PREDICTIONS in reads):
        text = read_text_cloud(request.text, encoder, shape.vocab_size, shape.context)
    if text and TEXT_PROBE in request.probes:
        encoded = (*encoded, text.encoded)
    _check_context(encoded, shape, name)
    at = frozenset(parse_steps(request.at, suite.steps(), name, "--at") if request.at else steps)
    if not at & set(steps) and any(READINGS[measure.reads].dear for measure in request.chosen):
        raise PythiaGeometryError(
            f"--at {request.at} names no step of this walk of {name} (--steps {request.steps}): no dear measure would "
            "be taken. Name steps that --steps names too"
        )
    configs = {checkpoint.step: _config_of(suite, checkpoint) for checkpoint in found if checkpoint.status == OK}
    reads_heads = any(m.reads == PATTERN or READINGS[m.reads].edits_heads for m in request.chosen)
    if reads_heads:
        _check_heads(encoded)
    prompts = {e.probe.name: marked_prompts(encoder, e) for e in encoded} if reads_heads else {}
    losses = losses_of(request, suite, encoder, encoded, shape) if reads & {SURFACE, SURFACE_PAIR} else ()
    labelled = labelled_rows(suite, encoder, shape, encoded) if LABELLED in reads else ()
    return RunPlan(
        suite, tuple(found), encoded, shape, configs, at, losses, labelled, text, prompts, spans, encoder.notes
    )


def _probes(request: Request, suite: Suite) -> Sequence[Probe]:
    """The probes of a selection, but for the text, which needs a tokenizer first."""
    names = tuple(name for name in request.probes if name != TEXT_PROBE)
    return load_probes(names or suite.default_probes, request.harness) if names or not request.probes else ()


def _config_of(suite: Suite, checkpoint: Checkpoint) -> str:
    """The identity of a step's config; empty where it cannot be had, which its walk will say."""
    try:
        return config_identity(suite.config_file(checkpoint))
    except PythiaGeometryError:
        return ""


def losses_of(
    request: Request, suite: Suite, encoder: Encoder, probes: Sequence[EncodedProbe], shape: Shape
) -> tuple[EncodedLoss, ...]:
    """The losses whose surfaces are measured.

    Args:
        request: What was asked for.
        suite: The run.
        encoder: Its tokenizer.
        probes: Read only where the loss is that of the probes.
        shape: Of its models.
    """
    if request.loss == PROBES:
        return tuple(of_probe(probe, shape.context) for probe in probes)
    mixture = None if request.loss == TEXT else mixture_loss(suite, encoder, shape)
    if mixture is not None:
        return (mixture,)
    if request.text:
        return (of_text(request.text, encoder, shape.vocab_size, EXAMPLES, shape.context),)
    return (of_nothing(),)


def _check_disk(suite: Suite, found: Sequence[Checkpoint], request: Request) -> None:
    shares = request.n_shares
    budget = parse_size(request.disk) // shares
    bytes_of = suite.most_to_download if request.executor == RAY else suite.bytes_to_download
    for checkpoint in found:
        if checkpoint.status == OK and (needed := bytes_of(checkpoint)) > budget:
            raise too_little(budget, checkpoint.label, needed, shares)


def _check_heads(probes: Sequence[EncodedProbe]) -> None:
    """Refuses attention measures of benchmarks, whose contexts run in another way."""
    if benchmark := next((p.probe.name for p in probes if p.probe.facts), None):
        raise PythiaGeometryError(
            f"{benchmark} is a task of lm-eval, and attention is measured on probes with prompts of their own. Walk it "
            "without measures of heads, and other probes with them into the same run folder"
        )


def _check_context(probes: Sequence[EncodedProbe], shape: Shape, name: str) -> None:
    for probe in probes:
        if probe.probe.facts:  # cut on the left, as the harness does
            continue
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
