"""Everything that decides a run of the patterns lab."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.patterns import mixer
from pythia_geometry.lab.patterns.automata import Automata
from pythia_geometry.lab.patterns.linear_map import LEAKING, MASKED, LinearMap
from pythia_geometry.lab.patterns.transformer import Shape, parameter_shapes
from pythia_geometry.lab.settings import (
    HEADER,
    MAX_BATCH,
    MAX_SEED,
    MAX_STEPS,
    check_rate,
    check_whole,
    checkpoint_steps,
)

LINEAR_MAP, AUTOMATA = "linear-map", "automata"
TASKS = (LINEAR_MAP, AUTOMATA)
TRANSFORMER, MIXER = "transformer", "mixer"
NETWORKS = (TRANSFORMER, MIXER)
LAYERS = {LINEAR_MAP: 1, AUTOMATA: 4}
MOST = {"steps": MAX_STEPS, "batch": MAX_BATCH, "layers": 64, "heads": 256, "width": 4_096, "head_width": 4_096}

Task = LinearMap | Automata


@dataclass(frozen=True)
class PatternTraining:
    """Everything that decides a run's weights. Runs that differ in their seed alone can be trained in one stack.

    Attributes:
        task: `linear-map` or `automata`.
        size: S, bits or cells of a state.
        sparsity: s, ones in a row of A (linear map).
        form: `leaking` or `masked` (linear map): whether earlier outputs can be read.
        network: `transformer` or `mixer`.
        layers: Blocks; None is 1 for the linear map and 4 for automata.
        heads: Attention heads a block.
        width: Residual stream dimension.
        head_width: Dimension of a head; None is width / heads, as GPT-2 has it.
        steps: Optimiser steps.
        batch: Sequences a step.
        rate: Learning rate, the same at every step.
        bias: c, added to the last block's attention logits of every head between an output and its parents.
        map_seed: Of A, or of the pool of rules.
        seed: Of the initial weights and of the data.
    """

    task: str = LINEAR_MAP
    size: int = 16
    sparsity: int = 3
    form: str = LEAKING
    network: str = TRANSFORMER
    layers: int | None = None
    heads: int = 8
    width: int = 128
    head_width: int | None = None
    steps: int = 10_000
    batch: int = 128
    rate: float = 1e-3
    bias: float = 0.0
    map_seed: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks what has a closed set or a range.

        Raises:
            PythiaGeometryError: If a name is unknown or a number out of its range.
        """
        for given, known, option in ((self.task, TASKS, "--task"), (self.network, NETWORKS, "--network")):
            if given not in known:
                raise PythiaGeometryError(f"{option} {given!r} is not one of: {', '.join(known)}")
        for name, most in MOST.items():
            if (value := getattr(self, name)) is not None:
                check_whole(f"--{name.replace('_', '-')}", value, 1, most)
        if self.head_width is None and self.width % self.heads:
            raise PythiaGeometryError(f"--heads {self.heads} does not divide --width {self.width}")
        check_whole("--seeds", self.seed, 0, MAX_SEED)
        check_whole("map_seed", self.map_seed, 0, MAX_SEED)
        check_rate(self.rate)
        _ = self.problem
        if self.network == MIXER and (self.task, self.form) != (LINEAR_MAP, MASKED):
            raise PythiaGeometryError("A mixer reads its whole input: add --task linear-map --form masked")
        if not 0 <= self.bias < float("inf") or (self.bias and self.network == MIXER):
            raise PythiaGeometryError(f"a bias of {self.bias:g}: expected 0 or more, and attention to add it to")

    @cached_property
    def problem(self) -> Task:
        """The task itself.

        Raises:
            PythiaGeometryError: If its size, sparsity or form is out of range.
        """
        if self.task == AUTOMATA:
            return Automata(self.size, self.map_seed)
        return LinearMap(self.size, self.sparsity, self.form, self.map_seed)

    @property
    def shape(self) -> Shape:
        """Of the network."""
        layers = LAYERS[self.task] if self.layers is None else self.layers
        per_head = self.head_width or self.width // self.heads
        problem = self.problem
        # A walk reads the last answer too, which training never sees; a mixer has no place to spare.
        n_tokens = problem.n_tokens + (self.network == TRANSFORMER)
        return Shape(len(problem.vocabulary), n_tokens, layers, self.heads, self.width, per_head)

    @property
    def model(self) -> str:
        """Name without the seed: the task, and what differs from the usual settings."""
        usual = PatternTraining(self.task, self.size, self.sparsity, self.form)
        said = {"layers": "l", "heads": "h", "width": "d", "head_width": "hw", "batch": "b", "rate": "rate"}
        said |= {"bias": "c", "map_seed": "map"}
        arm = [self.network] if self.network == MIXER else []
        for field, short in said.items():
            if (value := getattr(self, field)) != getattr(usual, field):
                arm.append(f"{short}{value:g}")
        return "-".join([self.problem.name, *arm])

    @property
    def name(self) -> str:
        """The folder's name, such as `linear-map-16-3-leaking-seed0`."""
        return f"{self.model}-seed{self.seed}"

    @property
    def n_parameters(self) -> int:
        """Trainable parameters of one member."""
        named = mixer.parameter_shapes(self.shape) if self.network == MIXER else parameter_shapes(self.shape)
        return sum(prod(sides) for sides in named.values())

    @property
    def bytes_on_disk(self) -> int:
        """What one member's folder takes at most: float16 checkpoints, and the state twice while it is replaced."""
        saved = len(checkpoint_steps(self.steps)) * (2 * self.n_parameters + HEADER)
        return saved + 2 * 12 * self.n_parameters

    @property
    def bytes_in_memory(self) -> int:
        """What one member takes at least while it is trained.

        Weights, gradients and two moments in the stack, weights and moments of its own, and the attention of a batch:
        kept for every block, and three times more where it is being computed.
        """
        shape, at = self.shape, self.problem.trained
        layers = 0 if self.network == MIXER else shape.n_layers - 1
        last = 0 if self.network == MIXER else 4 * len(at) * self.problem.n_tokens
        patterns = self.batch * shape.n_heads * (layers * self.problem.n_tokens**2 + last)
        return 28 * self.n_parameters + 4 * patterns
