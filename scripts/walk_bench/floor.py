"""The least that a walk can cost: its bytes over the page cache's bandwidth, its FLOPs over the matrix rate."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from walk_bench.meter import Meter
from walk_bench.suite import VOCAB

BATCH = 128  # of our walk
ROUNDS = 3


def floor(job: Any, meter: Meter, tasks: dict[str, list[tuple[list[int], list[int]]]], folders: list[Path]) -> None:
    """Measures the three parts (least CPU seconds of a few rounds) and prints a RESULT line."""
    config = json.loads((folders[0] / "config.json").read_text())
    width, layers = config["hidden_size"], config["num_hidden_layers"]
    file = folders[0] / "model.safetensors"
    buffer = bytearray(file.stat().st_size)

    def read() -> None:
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass

    n = sum(p.numel() for p in parameters(width, layers))
    half, single = torch.zeros(n, dtype=torch.float16), torch.zeros(n)
    found = {"read": least(read), "convert": least(lambda: single.copy_(half))}
    blocks, scored = shapes(tasks)
    weights = [
        (torch.randn(o, i), torch.randn(o))
        for o, i in ((3 * width, width), (width, width), (4 * width, width), (width, 4 * width))
    ]
    head = torch.randn(VOCAB, width)

    def products() -> None:
        for rows in blocks:
            for weight, bias in weights:
                x = torch.ones(rows, weight.shape[1])
                for _ in range(layers):
                    torch.addmm(bias, x, weight.t())

    def head_products() -> None:
        for rows in scored:
            torch.ones(rows, width) @ head.t()

    found["forward"], found["head"] = least(products), least(head_products)
    flops = sum(blocks) * 24 * layers * width**2
    meter.mark(), meter.mark()
    meter.report(
        floor=found,
        tokens=sum(blocks),
        batches=len(blocks),
        gflops=flops / found["forward"] / 1e9,
        head_gflops=sum(scored) * 2 * width * VOCAB / found["head"] / 1e9,
        read_gbs=file.stat().st_size / found["read"] / 1e9,
        convert_gbs=2 * n / found["convert"] / 1e9,
    )


def shapes(tasks: dict[str, list[tuple[list[int], list[int]]]]) -> tuple[list[int], list[int]]:
    """Rows of every batch's products in the blocks, and in the head: sequences of one length together."""
    blocks, scored = [], []
    for items in tasks.values():
        lengths = Counter((len(p) + len(t) - 1, len(t)) for p, t in items)
        for (length, answer), count in lengths.items():
            while count > 0:
                blocks.append(min(count, BATCH) * length)
                scored.append(min(count, BATCH) * answer)
                count -= BATCH
    return blocks, scored


def parameters(width: int, layers: int) -> list[torch.Tensor]:
    """Empty tensors of the model's size."""
    block = 12 * width**2 + 13 * width
    return [torch.empty(layers * block, device="meta"), torch.empty(2 * VOCAB * width, device="meta")]


def least(work: Callable[[], object]) -> float:
    """Least CPU seconds."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)
