"""Facts of Pythia: sizes, variants, seeds, steps, and the published faults of its checkpoints.

Sources:
    [paper] Biderman et al. 2023, arXiv:2304.01373, table 1 and section 2.
    [card] Model cards of EleutherAI/pythia-* on the Hub; seeds: cards of the PolyPythias, arXiv:2503.09543.
    [readme] README of github.com/EleutherAI/pythia, with its errata.
    [issue N] Issue N of github.com/EleutherAI/pythia.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.suites.faults import Fault

ORGANISATION = "EleutherAI"
TOKENS_PER_STEP = 2_097_152  # 1,024 sequences of 2,048 tokens [paper]

EARLY_STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
STEPS = (*EARLY_STEPS, *range(1_000, 144_000, 1_000))  # 154 [paper]
V0_STEPS = tuple(range(1_000, 144_000, 1_000))  # v0 has no early steps [card of the v0 models]


@dataclass(frozen=True)
class Size:
    """Shape of one Pythia size.

    Attributes:
        n_layers: Transformer blocks.
        width: Residual stream dimension.
        n_heads: Attention heads a block.
        vocab_size: Rows of the embedding; the tokenizer has 50,277 [card].
        training_dtype: Mixed-precision type of training [issue 171].
        deduped: Whether a twin trained on the deduplicated Pile exists [card].
        v0: Whether v0 models exist [card].
        seeds: How many more full training runs exist (PolyPythias) [card].
    """

    n_layers: int
    width: int
    n_heads: int
    vocab_size: int = 50_304
    training_dtype: str = "float16"
    deduped: bool = True
    v0: bool = True
    seeds: int = 0


SIZES = {
    "14m": Size(6, 128, 4, v0=False, seeds=9),
    "31m": Size(6, 256, 8, v0=False, seeds=9),
    "70m": Size(6, 512, 8, seeds=9),
    "160m": Size(12, 768, 12, seeds=9),
    "410m": Size(24, 1024, 16, seeds=9),
    "1b": Size(16, 2048, 8, training_dtype="bfloat16"),
    "1.4b": Size(24, 2048, 16),
    "2.8b": Size(32, 2560, 32),
    "6.9b": Size(32, 4096, 32, vocab_size=50_432),
    "12b": Size(36, 5120, 40, vocab_size=50_688),
}

OLD_SIZES = {
    "19m": "70m", "125m": "160m", "350m": "410m", "800m": "1b",
    "1.3b": "1.4b", "2.7b": "2.8b", "6.7b": "6.9b", "13b": "12b",
}  # fmt: skip
"""What the sizes were called before January 2023, which counted no embeddings twice [readme]."""

# v0 runs of these sizes used 4M tokens a step; their branch labels count 2M-token steps [readme, issue 39].
V0_DOUBLE_BATCH = ("160m", "410m", "1.4b")

# Sizes whose data order and initial weights were also varied one at a time [card of the PolyPythias].
DECOUPLED_SEEDS = {"160m": 3}


def _thousands(*numbers: int) -> tuple[int, ...]:
    return tuple(1_000 * n for n in numbers)


_REPLACED = "another training run under the same name since 27 February 2026; the run of before is now"

FAULTS = (
    Fault(
        "pythia-2.8b",
        "serves the weights of main",
        "issues 205, 195",
        (*EARLY_STEPS, *_thousands(*range(1, 54), 55, 60, 65, 70, 80, 90, 100, 103, 110, 120, 130, 140)),
    ),
    Fault(
        "pythia-2.8b",
        "shares one second final-era file",
        "issue 205",
        _thousands(54, 56, 57, 58, 59, 61, 62, 63, 64, 143),
        shared=True,
    ),
    Fault("pythia-12b", "the first shard is the final model's", "issue 206", _thousands(50, 58)),
    Fault("pythia-12b-deduped", "behaved like the last checkpoint", "issue 108", _thousands(32), in_listing=False),
    Fault("pythia-410m-seed9", "no weights", "issue 202", _thousands(40)),
    Fault("pythia-410m-seed6", "no weights", "issue 202", _thousands(88)),
    Fault("pythia-410m-seed2", "no weights", "issue 202", _thousands(111)),
    Fault(
        "pythia-160m-weight-seed1", "later steps do not descend from its step 0", "issue 203", (0,), in_listing=False
    ),
    Fault(
        "pythia-160m-weight-seed2", "later steps do not descend from its step 0", "issue 203", (0,), in_listing=False
    ),
    Fault("pythia-14m", f"{_REPLACED} pythia-14m-deduped", "model card", in_listing=False),
    Fault("pythia-31m", f"{_REPLACED} pythia-31m-deduped", "model card", in_listing=False),
    Fault("pythia-6.9b", "initialised differently from the other sizes, by accident", "readme, errata"),
    Fault("pythia-12b", "initialised differently from the other sizes, by accident", "readme, errata"),
)


_NAME = re.compile(
    r"(?:EleutherAI/)?(?:pythia-)?(?P<size>\d+(?:\.\d+)?[mb])"
    r"(?P<deduped>-deduped)?(?P<v0>-v0)?(?:-(?P<vary>data-|weight-)?seed(?P<seed>\d{1,3}))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class PythiaRun:
    """One training run of the Pythia suite, named and checked."""

    size: str
    deduped: bool = False
    v0: bool = False
    vary: str = ""
    seed: int = 0

    @property
    def model(self) -> str:
        """Name without the seed, such as `pythia-160m-deduped` or `pythia-160m-data`."""
        suffix = ("-deduped" if self.deduped else "") + ("-v0" if self.v0 else "")
        return f"pythia-{self.size}{suffix}" + (f"-{self.vary}" if self.vary else "")

    @property
    def name(self) -> str:
        """Name on the Hub without the organisation."""
        return self.model + (f"-seed{self.seed}" if self.seed else "")

    @property
    def repository(self) -> str:
        """Repository on the Hub."""
        return f"{ORGANISATION}/{self.name}"

    @property
    def shape(self) -> Size:
        """The size's facts."""
        return SIZES[self.size]

    @property
    def labels(self) -> tuple[int, ...]:
        """Step labels of the branches that ought to exist."""
        return V0_STEPS if self.v0 else STEPS

    @property
    def label_ratio(self) -> int:
        """Branch labels per true optimiser step: 2 for the v0 runs with a double batch, else 1."""
        return 2 if self.v0 and self.size in V0_DOUBLE_BATCH else 1

    def step_of(self, label: int) -> int:
        """The true optimiser step behind a branch label (assumption A19)."""
        return label // self.label_ratio

    def tokens_at(self, label: int) -> int:
        """Tokens seen at a branch label."""
        return label * TOKENS_PER_STEP

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The published faults of this run."""
        return tuple(fault for fault in FAULTS if fault.run == self.name)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of this run's results must know."""
        trained = f"trained in {self.training_dtype} mixed precision (issue 171)"
        return (trained, *(fault.told for fault in self.faults))

    @property
    def training_dtype(self) -> str:
        """Only 1B on the plain Pile was trained in bfloat16 [issue 171]."""
        return "float16" if self.deduped else self.shape.training_dtype


def parse_name(text: str) -> PythiaRun | None:
    """Reads `pythia-160m`, `160m`, `EleutherAI/pythia-1.4b-deduped-v0`, `pythia-160m-data-seed2` and so on.

    Returns:
        The run, or None where the text is not of this form (another Hub repository, a folder).

    Raises:
        PythiaGeometryError: If it is of this form but no such Pythia model exists.
    """
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    size = match["size"].lower()
    run = PythiaRun(
        size,
        bool(match["deduped"]),
        bool(match["v0"]),
        (match["vary"] or "").rstrip("-").lower(),
        int(match["seed"] or 0),
    )
    return checked(run, text)


def checked(run: PythiaRun, text: str = "") -> PythiaRun:
    """The run itself, if it exists.

    Raises:
        PythiaGeometryError: If no such Pythia model exists.
    """
    text = text or run.name
    if run.size in OLD_SIZES:
        today = replace(run, size=OLD_SIZES[run.size]).name
        raise PythiaGeometryError(
            f"{text} is the name of before January 2023. That size is pythia-{OLD_SIZES[run.size]} now (the models of "
            f"that time are pythia-{OLD_SIZES[run.size]}-v0). Type: --model {today}"
        )
    if run.size not in SIZES:
        raise PythiaGeometryError(f"There is no Pythia of size {run.size!r}. Sizes: {', '.join(SIZES)}")
    if (run.deduped and not run.shape.deduped) or (run.v0 and not run.shape.v0):
        raise PythiaGeometryError(f"{text}: Pythia {run.size} has no v0 models; it comes as pythia-{run.size}")
    seeds = DECOUPLED_SEEDS.get(run.size, 0) if run.vary else run.shape.seeds
    if run.seed > seeds or (run.seed and (run.deduped or run.v0)) or (run.vary and not run.seed):
        raise PythiaGeometryError(f"{text} does not exist. {_seed_help(run.size)}")
    return run


def _seed_help(size: str) -> str:
    if not SIZES[size].seeds:
        with_seeds = ", ".join(name for name, shape in SIZES.items() if shape.seeds)
        return f"Pythia {size} was trained with one seed; these have seeds 1-9: {with_seeds}"
    extra = " and data-seed1-3, weight-seed1-3" if size in DECOUPLED_SEEDS else ""
    return f"pythia-{size} has seeds 1-{SIZES[size].seeds}{extra}, for the plain Pile only"
