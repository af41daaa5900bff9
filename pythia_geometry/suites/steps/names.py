"""How the world names training steps: one line a convention. Another convention is one more `Rule`.

A rule reads the whole name of a branch, a tag or a folder. What no rule reads is left to `--pattern`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

STEP = "step{}"
CHECKPOINTS, WORDS, TOKENS = "saved checkpoints (as those of LLM360)", "millions of words", "billions of tokens"
"""What a number may count in place of optimiser steps."""

_N = r"(?P<step>\d{1,12})"
_SEED = r"(?:-seed[-_]?(?P<seed>[a-z0-9]+(?:-[a-z0-9]+)*))?"
_STAGE = (
    r"(?:(?P<stage>(?:stage|phase)\d+(?:[-_][A-Za-z0-9]+)*?|lc-\d+k-to-\d+k|(?:long-context|anneal|cooldown|decay|warmup|"
    r"pretrain|midtrain)(?:ing)?(?:[-_]?\d+)?)[-_])?"
)


@dataclass(frozen=True)
class Rule:
    """One convention.

    Attributes:
        form: How it writes a step, for messages about a step that is not there.
        pattern: Regular expression of the whole name, with a group `step` and, where there are any, `stage`, `seed`,
            `kilo` (the number counts thousands), `tokens` and `tera` (the tokens count trillions, not billions).
        counts: What the number counts, where it is no optimiser step.
    """

    form: str
    pattern: re.Pattern[str]
    counts: str = ""


def _rule(form: str, pattern: str, counts: str = "") -> Rule:
    return Rule(form, re.compile(pattern, re.ASCII), counts)


RULES = (
    # Pythia step512; OLMo stage1-step1000-tokens5B; SmolLM step-4000, lc-4k-to-32k-step-4000; pico and accelerate
    # step_4000; DataDecide step1250-seed-default; FineWeb ablations step-001000-2BT; TinyLlama step-1431k-3T.
    _rule(
        STEP,
        _STAGE + rf"step[-_]?{_N}(?P<kilo>[kK])?"
        rf"(?:-tokens(?P<tokens>\d{{1,9}})(?:B|(?P<tera>T))|-(?P<tokens2>\d{{1,9}})(?:BT?|(?P<tera2>TT?)))?{_SEED}",
    ),
    # The Trainer of transformers, mistral checkpoint-500; CrystalCoder CrystalCoder_phase1_checkpoint_055500.
    _rule("checkpoint-{}", rf"(?:[A-Za-z]\w*?_)?{_STAGE}checkpoint[-_]?{_N}{_SEED}"),
    # LLM360 (Amber, K2) ckpt_356.
    _rule("ckpt_{}", rf"{_STAGE}ckpt[-_]?{_N}", CHECKPOINTS),
    # BLOOM, DeepSpeed global_step1000.
    _rule("global_step{}", rf"{_STAGE}global[-_]?step[-_]?{_N}"),
    # Megatron iter_0001000.
    _rule("iter_{}", rf"{_STAGE}iter(?:ation)?[-_]?{_N}"),
    # Lightning epoch=0-step=1000.
    _rule("step={}", rf"(?:epoch=\d{{1,9}}-)?step={_N}"),
    # BabyLM chck_10M.
    _rule("chck_{}M", rf"chck_{_N}M", WORDS),
    # Baichuan2 train_02200B.
    _rule("train_{}B", rf"train_{_N}B", TOKENS),
)


@dataclass(frozen=True)
class StepLabel:
    """What a revision's name says.

    Attributes:
        step: The number.
        stage: Part of the training that it belongs to, as the name writes it; empty where it names none.
        tokens: Training tokens seen.
        seed: Seed, as the name writes it.
        form: How the convention writes a step.
        counts: What the number counts, where it is no optimiser step.
    """

    step: int
    stage: str = ""
    tokens: int | None = None
    seed: str = ""
    form: str = field(default=STEP, compare=False)
    counts: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """The step's name in messages, without stage and seed: `step512`, `ckpt_356`, `checkpoint-500`."""
        return written(self.form, self.step)


def written(form: str, step: int) -> str:
    """The name that a convention gives a step."""
    return form.replace("{}", str(step))


def parse_step(name: str) -> StepLabel | None:
    """Reads the name of a branch, tag or folder; None where no convention reads it.

    A number is compared as a number: sorted as text, `step90000` comes after `step143000`.
    """
    for rule in RULES:
        if (match := rule.pattern.fullmatch(name)) is not None:
            return _label(match.groupdict(), rule)
    return None


def _label(said: dict[str, str | None], rule: Rule) -> StepLabel:
    step = int(said["step"] or 0) * (1000 if said.get("kilo") else 1)
    billions = said.get("tokens") or said.get("tokens2")
    scale = 10**12 if said.get("tera") or said.get("tera2") else 10**9
    tokens = int(billions) * scale if billions else step * 10**9 if rule.counts == TOKENS else None
    return StepLabel(step, said.get("stage") or "", tokens, said.get("seed") or "", rule.form, rule.counts)
