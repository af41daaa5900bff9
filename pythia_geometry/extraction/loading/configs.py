"""A checkpoint's `config.json` as transformers reads it, after checks that keep a bad one from being built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.json_files import JsonError, read_json

if TYPE_CHECKING:
    from transformers import PretrainedConfig

MOST_BYTES = 16 * 2**20
MOST_REPEATED = 10_000
"""Blocks or experts of one model, and entries of one list of a config: transformers builds something for each."""

MOST_WIDE = 2**27
"""Any width, vocabulary or context: the largest that are known are a hundred times smaller."""

_REPEATED = ("layer", "expert", "block")
_ACTIVATIONS = ("hidden_act", "activation_function", "hidden_activation", "activation")


def read_config(config_file: Path) -> PretrainedConfig:
    """Reads `config.json`.

    Raises:
        PythiaGeometryError: If it is no sound config of a decoder-only model that transformers has.
    """
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    unknown = f"{config_file} is not a model config that transformers knows"
    try:
        facts = read_json(config_file, MOST_BYTES, allow_nan=True)
    except JsonError as error:
        raise PythiaGeometryError(f"{unknown}: {error}") from error
    if wrong := _wrong(facts):
        raise PythiaGeometryError(f"{unknown}: {wrong}")
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(str(config_file), trust_remote_code=False)
    except Exception as error:  # transformers raises many kinds for a config that it cannot read
        raise PythiaGeometryError(f"{unknown}: {_first_line(error)}") from error
    if not hasattr(config, "num_hidden_layers") or config.is_encoder_decoder:
        raise PythiaGeometryError(f"{config_file}: {config.model_type} is not a decoder-only language model")
    if wrong := _wrong_sizes(config):
        raise PythiaGeometryError(f"{config_file}: {wrong}")
    return config


def quantised_by(config: PretrainedConfig) -> str:
    """How the weights are quantised, such as `gptq`; empty where they are plain numbers."""
    given = getattr(config, "quantization_config", None)
    if not given:
        return ""
    method = given.get("quant_method") if isinstance(given, dict) else getattr(given, "quant_method", None)
    return str(getattr(method, "value", method) or "an unnamed method")


def _wrong(facts: Any) -> str:
    """What keeps a config from being read, before transformers sees it."""
    if not isinstance(facts, dict):
        return f"expected one JSON object, got {type(facts).__name__}"
    kind, code = facts.get("model_type"), facts.get("auto_map")
    if kind is None and code is None:
        return 'it has no model_type. Add its architecture\'s, such as "model_type": "llama"'
    if not isinstance(kind, str) or kind not in _known_kinds():
        if code is not None:
            return (
                f"{kind or 'it'} needs code that came with the checkpoint ({_first_line(code)}), which is never run. "
                "Walk a conversion to an architecture that transformers has (often named …-hf)"
            )
        return f"transformers has no model_type {kind!r}. Walk a conversion to one it has (often named …-hf)"
    for name, value in _numbers(facts):
        if abs(value) > (MOST_REPEATED if any(word in name for word in _REPEATED) else 2**53):
            return f"{name} is {value}, more than any model has"
    return next((f"{name} has {n} entries" for name, n in _lists(facts) if n > MOST_REPEATED), "")


def _known_kinds() -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return CONFIG_MAPPING


def _wrong_sizes(config: PretrainedConfig) -> str:
    """A size that no model can have, or an activation that transformers does not know."""
    from transformers.activations import ACT2FN

    for name in ("num_hidden_layers", "hidden_size", "vocab_size"):
        value = getattr(config, name, None)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MOST_WIDE:
            return f"{name} must be a whole number above 0 (and at most {MOST_WIDE:,}), got {value!r}"
    for name in _ACTIVATIONS:
        value = getattr(config, name, None)
        if isinstance(value, str) and value not in ACT2FN:
            return f"{name} is {value!r}, which transformers does not know. Expected one such as 'gelu' or 'silu'"
    return ""


def _numbers(facts: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Every whole number of a config with the name that it stands under."""
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _numbers(value)
        elif isinstance(value, int):
            yield name, value


def _lists(facts: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _lists(value)
        elif isinstance(value, list):
            yield name, len(value)


def _first_line(error: object) -> str:
    """What a library says, without its advice for other cases."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
