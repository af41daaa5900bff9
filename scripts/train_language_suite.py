"""A small language suite, trained here: GPT-NeoX on public-domain English, with passages that are said twice.

    python scripts/train_language_suite.py --text                    # fetch and read the text; train the tokenizer
    python scripts/train_language_suite.py --seed 0 --minutes 10     # a slice; exits with 3 until the run is done
    python scripts/train_language_suite.py --seed 0 --steps 4000     # the pilot's length

Text: the King James Bible of the Debian package bible-kjv-text 4.38 (public domain outside the United Kingdom), fetched
by apt-get and known by its hash. In a quarter of the sequences a passage is said twice, so that copying pays; the others are
running text. Stopped at any moment, the same command continues. `progress.csv` has, by step, the loss on held-out text
(that of unigrams and bigrams is in text.json), and on random tokens said twice: the loss the first and the second time, and
the share that is copied. What counts as induction: docs/decisions/0016-language-suite.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parent))
from slices import SliceEndedError, Spent, stop_after

from pythia_geometry.extraction.loading.device_names import find_devices
from pythia_geometry.lab.suite_folder import (
    FACTS_NAME,
    diverged,
    finish,
    is_finished,
    restore,
    save_checkpoint,
    save_state,
    writing,
)
from pythia_geometry.store.writing import replacing

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, VERSION = "bible-kjv-text", "4.38"
SHA256 = "d61b6aad4c51ba9e2800b825325fa6a09e99a0d02a9bb6dc4724fcc4995a1b7a"
BLOCKS_AT, COUNT_AT, LZW_HEADER = 0x5C, 0x58, b"\x1f\x9d\x90"
VOCABULARY, CONTEXT, ROOM = 2048, 128, 512  # tokens; of a sequence; positions that a probe may take
REPEATED = 0.25  # share of sequences in which a passage is said twice
SHORTEST, LONGEST = 16, 48  # tokens of such a passage
HELD_OUT = 0.05  # of the verses, the last
EXAMINED = 64  # sequences
WARM_UP, PEAK_RATE, CLIP = 100, 1e-3, 1.0
SAVE_SECONDS = 30.0
PROBES = ("copying", "induction", "numbered_lists", "ioi")


@dataclass(frozen=True)
class Language:
    """Settings of one run."""

    seed: int = 0
    steps: int = 4_000
    layers: int = 4
    width: int = 128
    heads: int = 4
    batch: int = 16

    @property
    def name(self) -> str:
        return f"language-seed{self.seed}"

    @property
    def n_parameters(self) -> int:
        blocks = self.layers * (12 * self.width**2 + 13 * self.width)
        return blocks + 2 * self.width + 2 * VOCABULARY * self.width

    @property
    def bytes_on_disk(self) -> int:
        n = self.n_parameters
        return len(checkpoint_steps(self.steps)) * (2 * n + 12_000) + 24 * n


def checkpoint_steps(steps: int) -> list[int]:
    """0, 1, 2, 4 … 64, then forty evenly in log step to the end."""
    late = [round(64 * (steps / 64) ** (i / 40)) for i in range(41)]
    return sorted({0, 1, 2, 4, 8, 16, 32, *(step for step in late if step <= steps), steps})


def fetch(work: Path) -> Path:
    """The package, by Debian's own client, checked by its hash."""
    work.mkdir(parents=True, exist_ok=True)
    file = work / f"{PACKAGE}_{VERSION}_all.deb"
    if not file.exists():
        try:
            subprocess.run(["apt-get", "download", f"{PACKAGE}={VERSION}"], cwd=work, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(
                f"{PACKAGE} {VERSION} was not fetched ({error}). Type apt-get update and the same again, or put it at {file}"
            )
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{file} has sha256 {found}; expected {SHA256}. Remove it and type the same again")
    return file


def read_text(package: Path) -> list[str]:
    """Verses in order, without their numbers.

    The package keeps the text in blocks of 64 KiB, each packed by `compress` without its header; gzip unpacks them.
    """
    data = subprocess.run(
        f"dpkg-deb --fsys-tarfile {package.name} | tar -xO ./usr/lib/bible.data",
        shell=True, cwd=package.parent, check=True, capture_output=True,
    ).stdout  # fmt: skip
    n_blocks = int.from_bytes(data[COUNT_AT : COUNT_AT + 4], "big")
    starts = np.frombuffer(data, ">u4", n_blocks + 1, BLOCKS_AT)
    blocks = [data[a:b] for a, b in pairwise(starts)]
    unpacked = [
        subprocess.run(["gzip", "-dc"], input=LZW_HEADER + block, capture_output=True, check=True).stdout
        for block in blocks
    ]
    lines = b"".join(unpacked).decode("latin-1").splitlines()[1:]
    return [line.partition(" ")[2] for line in lines if line]


def prepare(work: Path) -> tuple[Tokenizer, np.ndarray, np.ndarray]:
    """Tokenizer, training tokens and held-out tokens; made once."""
    tokens, vocabulary = work / "tokens.npz", work / "tokenizer.json"
    if not tokens.exists():
        package = fetch(work)
        verses = read_text(package)
        cut = round(len(verses) * (1 - HELD_OUT))
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator(verses[:cut], trainer)
        with replacing(vocabulary) as temporary:
            tokenizer.save(str(temporary))
        parts = ["\n".join(part) + "\n" for part in (verses[:cut], verses[cut:])]
        ids = [np.array(tokenizer.encode(part).ids, dtype=np.uint16) for part in parts]
        facts = {
            "package": f"{PACKAGE} {VERSION}",
            "sha256": SHA256,
            "fetched": datetime.fromtimestamp(package.stat().st_mtime, UTC).isoformat(timespec="seconds"),
            "verses": len(verses),
            "characters": sum(map(len, parts)),
            "tokens": [len(part) for part in ids],
            "repeated_share": REPEATED,
        } | dict(zip(("unigram", "bigram"), baselines(*ids), strict=True))
        (work / "text.json").write_text(json.dumps(facts, indent=2) + "\n")
        with replacing(tokens) as temporary, temporary.open("wb") as stream:
            np.savez(stream, train=ids[0], held=ids[1])
    with np.load(tokens) as kept:
        return Tokenizer.from_file(str(vocabulary)), kept["train"], kept["held"]


def baselines(train: np.ndarray, held: np.ndarray) -> tuple[float, float]:
    """Loss on held-out tokens of unigrams (one added to each count) and of bigrams (backed off to them), nats."""
    single = np.bincount(train, minlength=VOCABULARY) + 1.0
    single /= single.sum()
    pairs = np.zeros((VOCABULARY, VOCABULARY))
    np.add.at(pairs, (train[:-1], train[1:]), 1.0)
    weight = 8.0  # of the unigram behind a bigram
    after = (pairs + weight * single) / (pairs.sum(axis=1, keepdims=True) + weight)
    return float(-np.log(single[held[1:]]).mean()), float(-np.log(after[held[:-1], held[1:]]).mean())


def draw(tokens: np.ndarray, training: Language, step: int) -> torch.Tensor:
    """The sequences of one step [b, 128]; decided by seed and step alone."""
    rng = np.random.default_rng([training.seed, step])
    starts = rng.integers(0, len(tokens) - CONTEXT, training.batch)
    rows = np.stack([tokens[start : start + CONTEXT] for start in starts]).astype(np.int64)
    for place in np.flatnonzero(rng.random(training.batch) < REPEATED):
        say_twice(rows[place], rng)
    return torch.as_tensor(rows)


def say_twice(row: np.ndarray, rng: np.random.Generator) -> None:
    """Repeats a passage at a distance that differs each time: looking back by a fixed one does not copy it."""
    length = rng.integers(SHORTEST, LONGEST + 1)
    first = rng.integers(0, len(row) - 2 * length + 1)
    second = rng.integers(first + length, len(row) - length + 1)
    row[second : second + length] = row[first : first + length]


def build(training: Language) -> GPTNeoXForCausalLM:
    """Pythia's block, small."""
    torch.manual_seed(training.seed)
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.25}
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=VOCABULARY, hidden_size=training.width, num_hidden_layers=training.layers,
            num_attention_heads=training.heads, intermediate_size=4 * training.width, max_position_embeddings=ROOM,
            hidden_act="gelu_pytorch_tanh", rope_parameters=rope, bos_token_id=None, eos_token_id=None,
        )
    )  # fmt: skip


def said_twice(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Random tokens in which 48 are said again after up to 31 others [b, 128], and where the second copy begins [b]."""
    rows = rng.integers(0, VOCABULARY, (EXAMINED, CONTEXT))
    second = LONGEST + np.arange(EXAMINED) % (CONTEXT - 2 * LONGEST)  # each gap twice: one look back is right in 1/32
    for row, start in zip(rows, second, strict=True):
        row[start : start + LONGEST] = row[:LONGEST]
    return torch.as_tensor(rows), torch.as_tensor(second)


@torch.no_grad()
def examine(model: GPTNeoXForCausalLM, held: np.ndarray) -> list[float]:
    """Loss on held-out text; on random tokens said twice, the first time and the second; share copied right."""
    rng, device = np.random.default_rng(7919), model.device
    starts = rng.integers(0, len(held) - CONTEXT, EXAMINED)
    text = torch.as_tensor(np.stack([held[s : s + CONTEXT] for s in starts]).astype(np.int64)).to(device)
    twice, second = (part.to(device) for part in said_twice(rng))
    on_text = cross_entropy(model(text).logits[:, :-1].flatten(0, 1), text[:, 1:].flatten())
    logits = model(twice).logits[:, :-1]
    loss = cross_entropy(logits.flatten(0, 1), twice[:, 1:].flatten(), reduction="none").view(EXAMINED, -1)
    right = (logits.argmax(-1) == twice[:, 1:]).float()
    within = torch.arange(1, LONGEST, device=device)[None]  # tokens of a copy but the first, which nothing foretells
    first, again = within.expand(EXAMINED, -1) - 1, second[:, None] + within - 1
    means = [on_text, loss.gather(1, first).mean(), loss.gather(1, again).mean(), right.gather(1, again).mean()]
    return torch.stack(means).tolist()


def train(training: Language, work: Path, out: Path, device: str) -> None:
    """Trains one seed, or goes on."""
    tokenizer, tokens, held = prepare(work)
    folder = out / training.name

    def facts(path: Path, run: Language) -> None:
        tokenizer.save(str(path / "tokenizer.json"))
        about = {"suite": "lab", "name": "language", "seed": run.seed, "tokens_per_step": run.batch * CONTEXT}
        about |= {"training_dtype": "float32", "probes": list(PROBES)}
        with replacing(path / FACTS_NAME) as temporary:
            temporary.write_text(json.dumps(about, indent=2) + "\n")

    with writing(folder, training, facts):
        if not is_finished(folder):
            _loop(training, folder, tokens, held, device)


def _loop(training: Language, folder: Path, tokens: np.ndarray, held: np.ndarray, device: str) -> None:
    model = build(training).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.95), weight_decay=0.1)
    start, losses = restore(folder, model, optimizer, training.steps)
    wanted, saved_at, progress = set(checkpoint_steps(training.steps)), time.monotonic(), folder / "progress.csv"
    spent = Spent(folder / ".cpu_seconds")
    if not progress.exists():
        progress.write_text("step,held_out,first,second,copied,cpu_seconds\n")
    for step in range(start, training.steps + 1):
        if step in wanted:
            save_checkpoint(model, folder / f"step{step}")
            seen = {line.partition(",")[0] for line in progress.read_text().splitlines()}
            if str(step) not in seen:
                numbers = ",".join(f"{value:.4f}" for value in examine(model, held))
                with replacing(progress) as temporary:
                    temporary.write_text(f"{progress.read_text()}{step},{numbers},{spent.note():.0f}\n")
                print(f"{training.name} step {step}: held-out, first, second, copied {numbers}", flush=True)
        if time.monotonic() - saved_at > SAVE_SECONDS:
            save_state(folder, model, optimizer, step, losses)
            saved_at = time.monotonic()
        if step == training.steps:
            break
        rows = draw(tokens, training, step).to(device)
        logits = model(rows, use_cache=False).logits[:, :-1]
        loss = cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        done = step / training.steps
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, (step + 1) / WARM_UP) * (0.55 + 0.45 * math.cos(math.pi * done))
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise diverged(training.name, step)
    finish(folder, losses)


def main() -> None:
    """Trains one seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", action="store_true", help="fetch and read the text, and stop")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=Language.steps)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "language")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "language" / "suites")
    parser.add_argument("--minutes", type=float, default=0, help="stop after this long")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.text:
        prepare(args.work)
        print((args.work / "text.json").read_text(), end="")
        return
    if args.minutes:
        stop_after(args.minutes)
    try:
        train(Language(args.seed, args.steps), args.work, args.out, find_devices(args.device)[0])
    except SliceEndedError:
        print("Time is up; the same command goes on from here")
        sys.exit(3)


if __name__ == "__main__":
    main()
