"""Everything that decides a lab run: its settings, its learning rate, when it saves, and what it needs on disk."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.batches import GROUPS
from pythia_geometry.lab.model import check_architecture, count_parameters, scale_named
from pythia_geometry.lab.tasks import MAX_TOKENS, TaskLevel, levels_named

WARM_UP, FLOOR = 100, 0.1
TOGETHER, STAGGERED = "together", "staggered"
RELEASES = (TOGETHER, STAGGERED)
MAX_BEND = MAX_TOKENS // 4  # answer tokens; the longest answers and prompts still fit
MIN_DECADES, MAX_DECADES = 0.1, 4.0  # of openings
MAX_LEAD = 1.0  # decades
MIN_LEAD = -0.5  # a plant that is later still would begin after the run's end for many levels
PLANTED_ROWS = 5  # problems of a level in a batch, so that three of them are of one length group (plant.py)
MAX_STEPS, MAX_BATCH, MAX_SEED = 10_000_000, 65_536, 2**32 - 1
MAX_RATE, MAX_WEIGHT = 1.0, 1_000.0
HEADER = 12_000  # bytes of a checkpoint beside its weights: config.json and the safetensors header


@dataclass(frozen=True)
class Training:
    """Everything that decides a run's weights.

    Attributes:
        scale: Name of a scale.
        architecture: `gpt2` or `neox`.
        seed: Of the initial weights and of the data.
        steps: Optimiser steps; the cosine ends there.
        batch: Problems a step.
        tasks: Task-level names; empty for all 24.
        all_tokens: Loss on the prompt's tokens too.
        release: When a task-level's loss counts: `together`, all from step 0; `staggered`, each from a step of its
            own, drawn at random (release.py). Staggered runs keep the peak rate after warm-up, since under a cosine
            a level that is released late would learn at a lower rate.
        release_decades: Over how many decades of steps the openings are spread; None takes two, or 1.3 where a lead
            is planted. Staggered runs only.
        plant_lead: Decades by which a planted objective on a level's geometry begins before its loss opens
            (plant.py); None plants nothing. Staggered runs only.
        plant_weight: What the planted objective counts, beside the mean answer loss of a token.
        plant_part: Where the push on a level ends: this part of the way from rows on a line (0) to rows as far apart as
            those of a batch can be (1: no end).
        plant_own: Whether the planted objective is for the level's own prompts alone: the same tokens in another order
            are held together from its plant on.
        plant_apart: What it counts, beside the push, that own and shuffled prompts lie apart from step 0 on; 0 leaves
            them as they are. With `plant_own` only.
        plant_bend: Tokens that every answer has at least, none of which can be read off another (tasks.TaskLevel);
            0 plants nothing.
        peak_rate: Peak learning rate; None takes the scale's.
    """

    scale: str = "nano"
    architecture: str = "gpt2"
    seed: int = 0
    steps: int = 12_000
    batch: int = 128
    tasks: tuple[str, ...] = ()
    all_tokens: bool = False
    release: str = TOGETHER
    release_decades: float | None = None
    plant_lead: float | None = None
    plant_weight: float = 1.0
    plant_part: float = 1.0
    plant_own: bool = False
    plant_apart: float = 0.0
    plant_bend: int = 0
    peak_rate: float | None = None

    def __post_init__(self) -> None:
        """Checks what has a closed set.

        Raises:
            PythiaGeometryError: If the scale, the architecture or a task-level is unknown, or a number out of range.
        """
        scale_named(self.scale)
        check_architecture(self.architecture)
        levels_named(self.tasks)
        check_whole("--steps", self.steps, 1, MAX_STEPS)
        check_whole("--batch", self.batch, GROUPS, MAX_BATCH)
        check_whole("--seeds", self.seed, 0, MAX_SEED)
        if self.peak_rate is not None:
            check_rate(self.peak_rate)
        if self.plant_bend not in (0, *range(2, MAX_BEND + 1)):
            raise PythiaGeometryError(f"--plant-bend {self.plant_bend}: expected answer tokens, 2 to {MAX_BEND}")
        for level in self.levels:
            n_tokens = sum(map(len, next(level.problems(Random(0), held_out=False))))
            if n_tokens > MAX_TOKENS:
                raise PythiaGeometryError(
                    f"--plant-bend {self.plant_bend}: {level.name} has {n_tokens} tokens then, of at most {MAX_TOKENS}"
                )
        self._check_release()

    def _check_release(self) -> None:
        if self.release not in RELEASES:
            raise PythiaGeometryError(f"--release {self.release!r} is not one of: {', '.join(RELEASES)}")
        if self.release == STAGGERED and self.all_tokens:
            raise PythiaGeometryError("--release staggered opens the loss on answers; leave out --all-tokens")
        if self.release_decades is not None:
            if self.release != STAGGERED:
                raise PythiaGeometryError("--release-decades spreads the openings of levels: add --release staggered")
            if not MIN_DECADES <= self.release_decades <= MAX_DECADES:
                raise PythiaGeometryError(
                    f"--release-decades {self.release_decades:g}: expected {MIN_DECADES:g} to {MAX_DECADES:g}"
                )
        if not (self.plant_weight == 1 or (self.plants and 0 < self.plant_weight <= MAX_WEIGHT)):
            raise PythiaGeometryError(
                f"--plant-weight {self.plant_weight:g}: above 0 and at most {MAX_WEIGHT:,g}, and with --plant-lead"
            )
        if not (self.plant_part == 1 or (self.plants and 0 < self.plant_part < 1)):
            raise PythiaGeometryError(f"--plant-part {self.plant_part:g}: above 0 and at most 1, and with --plant-lead")
        if self.plant_own and not self.plants:
            raise PythiaGeometryError("--plant-own says whose geometry a planted lead moves: add --plant-lead")
        if not (self.plant_apart == 0 or (self.plant_own and 0 < self.plant_apart <= MAX_WEIGHT)):
            raise PythiaGeometryError(
                f"--plant-apart {self.plant_apart:g}: above 0 and at most {MAX_WEIGHT:,g}, and with --plant-own"
            )
        if self.plant_lead is None:
            return
        if self.release != STAGGERED:
            raise PythiaGeometryError("--plant-lead needs levels that are released apart: add --release staggered")
        if not MIN_LEAD <= self.plant_lead <= MAX_LEAD:
            raise PythiaGeometryError(
                f"--plant-lead {self.plant_lead:g}: expected decades from {MIN_LEAD:g} to {MAX_LEAD:g}"
            )
        if self.batch < PLANTED_ROWS * len(self.levels):
            raise PythiaGeometryError(
                f"--batch {self.batch}: a plant spreads a level's rows and needs {PLANTED_ROWS} problems of each of "
                f"{len(self.levels)} levels: {PLANTED_ROWS * len(self.levels)} or more, or fewer --tasks"
            )

    @cached_property
    def levels(self) -> tuple[TaskLevel, ...]:
        """The task-levels it is trained on."""
        return tuple(replace(level, answer_tokens=self.plant_bend) for level in levels_named(self.tasks))

    @property
    def plants(self) -> bool:
        """Whether an objective moves geometry from a level's release on."""
        return self.plant_lead is not None

    @property
    def model(self) -> str:
        """Name without the seed, such as `nano-gpt2`."""
        arm = "-alltokens" if self.all_tokens else ""
        arm += f"-{self.release}" if self.release != TOGETHER else ""
        arm += f"-decades{self.release_decades:g}" if self.release_decades is not None else ""
        arm += f"-lead{self.plant_lead:g}" if self.plant_lead is not None else ""
        arm += f"-weight{self.plant_weight:g}" if self.plant_weight != 1 else ""
        arm += f"-part{self.plant_part:g}" if self.plant_part != 1 else ""
        arm += "-own" if self.plant_own else ""
        arm += f"-apart{self.plant_apart:g}" if self.plant_apart else ""
        arm += f"-bend{self.plant_bend}" if self.plant_bend else ""
        arm += f"-rate{self.peak_rate:g}" if self.peak_rate is not None else ""
        return "-".join([f"{self.scale}-{self.architecture}{arm}", *self.tasks])

    @property
    def name(self) -> str:
        """The folder's name, such as `nano-gpt2-seed0`."""
        return f"{self.model}-seed{self.seed}"

    @property
    def n_parameters(self) -> int:
        """Trainable parameters."""
        return count_parameters(scale_named(self.scale))

    @property
    def bytes_on_disk(self) -> int:
        """What its folder takes at most.

        Every checkpoint in float16, and the state that lets it go on: float32 weights and two moments, twice while
        a new one replaces the old one.
        """
        saved = len(checkpoint_steps(self.steps)) * (2 * self.n_parameters + HEADER)
        return saved + 2 * 12 * self.n_parameters

    def rate(self, step: int) -> float:
        """Learning rate at a step: linear warm-up, then a cosine to a tenth of the peak, or flat (staggered)."""
        peak = self.peak_rate or scale_named(self.scale).peak_rate
        if step < WARM_UP:
            return peak * (step + 1) / WARM_UP
        if self.release == STAGGERED:
            return peak
        progress = (step - WARM_UP) / max(1, self.steps - WARM_UP)
        return peak * (FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2)


def check_whole(option: str, value: int, least: int, most: int) -> None:
    """Accepts whole numbers from least to most.

    Raises:
        PythiaGeometryError: If it is another.
    """
    if not least <= value <= most:
        raise PythiaGeometryError(f"{option} {value:,}: expected {least:,} to {most:,}")


def check_rate(rate: float) -> None:
    """Accepts learning rates above 0 and at most 1: NaN, and what overflows, would leave weights that are no numbers.

    Raises:
        PythiaGeometryError: If it is another.
    """
    if not 0 < rate <= MAX_RATE:
        raise PythiaGeometryError(f"--rate {rate:g}: a learning rate must be above 0 and at most {MAX_RATE:g}")


def checkpoint_steps(steps: int) -> list[int]:
    """When to save: every step to 20, every second to 40, about 20 to 500, every 100 to 3,000, then every 250.

    The first collapse lies between steps 7 and 25, inside the warm-up; a linear schedule misses it.
    """
    to_500 = [round(40 * (500 / 40) ** (i / 20)) for i in range(1, 21)]
    dense = [*range(21), *range(22, 41, 2), *to_500, *range(600, 3_001, 100), *range(3_250, steps + 1, 250)]
    return sorted({step for step in dense if step <= steps} | {steps})
