"""The lab's models: both architectures at every scale, through transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.tasks import MAX_TOKENS

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

GPT2, NEOX = "gpt2", "neox"
ARCHITECTURES = (GPT2, NEOX)
VOCAB_SIZE = CONTEXT = MAX_TOKENS  # with these, nano has the paper's 404,992 parameters in both architectures


@dataclass(frozen=True)
class Scale:
    """Shape and schedule of one size.

    Attributes:
        n_layers: Transformer blocks.
        width: Residual stream dimension.
        n_heads: Attention heads a block.
        steps: How long a run is when nothing is said; GPT-2 learns most task-levels in it, but for smoke.
        peak_rate: Peak learning rate; smaller where the model is wide.
    """

    n_layers: int
    width: int
    n_heads: int
    steps: int
    peak_rate: float = 1e-3


SCALES = {
    "smoke": Scale(2, 64, 4, 2_000),
    "nano": Scale(2, 128, 4, 12_000),
    "quad": Scale(4, 128, 4, 6_000),  # nano with four blocks: layer order needs more than two
    "oct": Scale(8, 128, 4, 6_000),
    "dozen": Scale(12, 128, 4, 6_000),
    "micro": Scale(4, 256, 4, 4_000),
    "small": Scale(6, 384, 6, 4_000, 6e-4),
    "medium": Scale(8, 512, 8, 4_000, 6e-4),
    "large": Scale(12, 768, 12, 4_000, 3e-4),
    "xl": Scale(12, 1024, 16, 4_000, 3e-4),
}


def scale_named(name: str) -> Scale:
    """The scale of this name.

    Raises:
        PythiaGeometryError: If there is none.
    """
    if "," in name:
        raise PythiaGeometryError(f"--scale {name}: lab train takes one scale a command (lab plan takes several)")
    if name not in SCALES:
        raise PythiaGeometryError(f"There is no scale {name!r}. Scales: {', '.join(SCALES)} (pythia-geom lab list)")
    return SCALES[name]


def check_architecture(name: str) -> None:
    """Accepts `gpt2` and `neox`.

    Raises:
        PythiaGeometryError: If it is neither.
    """
    if name not in ARCHITECTURES:
        raise PythiaGeometryError(f"There is no architecture {name!r}. Architectures: {', '.join(ARCHITECTURES)}")


def make_config(scale: Scale, architecture: str) -> PretrainedConfig:
    """The config of one scale in one architecture.

    GPT-2 has tied embeddings and learnt positions, GPT-NeoX untied ones, rotary positions over a quarter
    of each head and parallel residuals, as Pythia. GELU in the tanh form that both CPUs and GPUs do fast.

    Raises:
        PythiaGeometryError: If the architecture is unknown.
    """
    from transformers import GPT2Config, GPTNeoXConfig

    check_architecture(architecture)
    shared: dict[str, Any] = {"vocab_size": VOCAB_SIZE, "bos_token_id": None, "eos_token_id": None}
    if architecture == GPT2:
        return GPT2Config(
            n_layer=scale.n_layers, n_embd=scale.width, n_head=scale.n_heads, n_positions=CONTEXT,
            activation_function="gelu_pytorch_tanh", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **shared,
        )  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.25}
    return GPTNeoXConfig(
        num_hidden_layers=scale.n_layers, hidden_size=scale.width, num_attention_heads=scale.n_heads,
        intermediate_size=4 * scale.width, max_position_embeddings=CONTEXT,
        hidden_act="gelu_pytorch_tanh", rope_parameters=rope, **shared,
    )  # fmt: skip


def build_model(scale: Scale, architecture: str, seed: int) -> PreTrainedModel:
    """A freshly initialised model; the seed alone decides its weights."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(make_config(scale, architecture))  # type: ignore[no-any-return]


def count_parameters(scale: Scale) -> int:
    """Trainable parameters, tied ones once; the same in both architectures, since vocabulary = context."""
    d = scale.width
    block = 12 * d * d + 13 * d
    embeddings = 2 * VOCAB_SIZE * d  # tokens and positions in GPT-2, tokens and output head in NeoX
    return scale.n_layers * block + 2 * d + embeddings
