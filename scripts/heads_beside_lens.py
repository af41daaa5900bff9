"""Scores of heads beside those of TransformerLens' `detect_head`, on the offline suite's last step.

    pip install transformer-lens        # into an environment of its own
    python scripts/heads_beside_lens.py

`detect_head` divides by the attention of all T queries, ours by the n at which the thing can happen. Printed is the
largest difference over heads and prompts between ours and detect_head · T / n, and one head's two numbers.
"""

from __future__ import annotations

import logging
import tempfile
from importlib.metadata import version
from pathlib import Path
from random import Random

import numpy as np
import torch
from tokenizers import Tokenizer
from transformer_lens import TransformerBridge
from transformer_lens.head_detector import detect_head
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from pythia_geometry.attention import Prompt, duplicate_token, induction, previous_token
from pythia_geometry.attention.pattern import HeadPattern
from pythia_geometry.shipped import data_folder

LENS = {previous_token: "previous_token_head", duplicate_token: "duplicate_token_head", induction: "induction_head"}
PROMPTS, LENGTH = 8, 5
SUITE = data_folder() / "suites" / "offline"


def bridge(folder: Path) -> TransformerBridge:
    """The model in TransformerLens. Its tokenizer is saved first: the bridge loads it again from where it came."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_file(str(SUITE / "tokenizer.json")))
    tokenizer.add_special_tokens({"pad_token": "0", "bos_token": "0", "eos_token": "0"})  # a token that the model has
    with tempfile.TemporaryDirectory() as saved:
        tokenizer.save_pretrained(saved)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        again = AutoTokenizer.from_pretrained(saved)
        return TransformerBridge.boot_transformers(str(folder), hf_model=model, tokenizer=again)


def queries(name: str, ids: np.ndarray) -> int:
    """Queries at which the thing can happen."""
    if name == "previous_token_head":
        return len(ids) - 1
    return sum(any(ids[k] == ids[q] for k in range(q)) for q in range(len(ids)))


@torch.inference_mode()
def main() -> None:
    """Prints a line a score."""
    logging.disable(logging.WARNING)
    transformers_logging.set_verbosity_error()
    last = max(SUITE.glob("step*"), key=lambda folder: int(folder.name.removeprefix("step")))
    model = bridge(last)
    draw = Random(0)
    said = [" ".join(draw.choices("0123456789", k=LENGTH)) for _ in range(PROMPTS)]
    texts = [f"{one} {one}" for one in said]
    print(f"transformer-lens {version('transformer-lens')}, {last.name}, {PROMPTS} sequences said twice")
    for score, name in LENS.items():
        apart, shown = 0.0, (0.0, 0.0)
        for text in texts:
            tokens = model.to_tokens(text)
            ids = tokens[0].cpu().numpy()
            _, cache = model.run_with_cache(tokens, remove_batch_dim=True)
            theirs = detect_head(model, text, name, error_measure="mul").cpu().numpy()
            scale = len(ids) / queries(name, ids)
            for layer in range(model.cfg.n_layers):
                pattern = HeadPattern(cache["pattern", layer, "attn"].cpu().numpy(), Prompt(ids))
                ours = np.asarray(score(pattern))
                apart = max(apart, float(np.abs(ours - theirs[layer] * scale).max()))
                best = int(ours.argmax())
                shown = max(shown, (float(ours[best]), float(theirs[layer][best])))
        print(
            f"{name}: ours {shown[0]:.3f}, detect_head {shown[1]:.3f}; ours and detect_head x T / n: {apart:.1e} apart"
        )


if __name__ == "__main__":
    main()
