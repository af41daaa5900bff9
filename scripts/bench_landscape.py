"""What the landscape measures cost beside a plain loop and, where it is installed, devinterp.

    python scripts/bench_landscape.py                 # the offline suite (257K parameters), about three CPU minutes
    python scripts/bench_landscape.py --large         # peak memory of SGLD, ghost Gram and Hessian at the shape of Pythia 160M
    python scripts/bench_landscape.py --large --shape pythia-2.8b --device cuda   # the same on a GPU
    python scripts/bench_landscape.py --weights       # weight measures at that shape
    python scripts/bench_landscape.py --parts         # where the ghost Gram's time goes, beside the stored way

One thread, process CPU seconds. The surface is the training mixture of the offline suite at one step.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM

from pythia_geometry.geometry.cloud import Cloud
from pythia_geometry.geometry.decay import alpha_req
from pythia_geometry.geometry.representation import rankme, rankme_centred
from pythia_geometry.lab.batches import draw_batch
from pythia_geometry.lab.tasks import default_levels
from pythia_geometry.landscape.gradients import gradient_measures
from pythia_geometry.landscape.gram import _backward, _counts, gradient_grams, stored_gram
from pythia_geometry.landscape.hessian import top_eigenpair
from pythia_geometry.landscape.operator import Hessian
from pythia_geometry.landscape.sgld import Sampling, run_chains
from pythia_geometry.landscape.surface import Surface
from pythia_geometry.landscape.tokens import next_token_losses, scored_tokens
from pythia_geometry.shipped import data_folder
from pythia_geometry.weights.entries import weibull
from pythia_geometry.weights.spectra import spectrum_measures
from pythia_geometry.weights.updates import update_measures

ROWS, CURVATURE_ROWS, DRAWS = 256, 32, 60
SHAPES = {  # width, blocks, heads, rows of the embedding
    "pythia-14m": (128, 6, 4, 50304),
    "pythia-160m": (768, 12, 12, 50304),
    "pythia-410m": (1024, 24, 16, 50304),
    "pythia-1b": (2048, 16, 8, 50304),
    "pythia-2.8b": (2560, 32, 32, 50304),
}


def cpu_seconds(work: Callable[[], object]) -> tuple[float, object]:
    """Process CPU seconds of a call, and its result."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def offline(step: int, rows: int) -> Surface:
    """The training mixture at a step of the shipped suite."""
    folder = data_folder() / "suites" / "offline" / f"step{step}"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    batch = draw_batch(default_levels(), rows, 7, 0)
    tokens = scored_tokens([p.prompt + p.answer for p in batch], [len(p.prompt) for p in batch])
    return Surface(model, next_token_losses, tokens, batch=32)


def looped_gram(surface: Surface) -> np.ndarray:
    """The plain way: one backward pass an example, all gradients kept."""
    rows = []
    for i in range(surface.n):
        leaves = surface.leaves()
        loss = surface.losses_at(leaves, surface.rows(slice(i, i + 1)))[0]
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(leaves.values()))]))
    stored = torch.stack(rows)
    return (stored @ stored.T).numpy()


def gradients(step: int) -> None:
    """Fisher and covariance rank, noise scale of 256 rows: ghost, stored by vmap, plain loop."""
    surface = offline(step, ROWS)
    surface.all_losses()
    ghost, gram = cpu_seconds(lambda: gradient_grams(surface)["all"])
    ranks, found = cpu_seconds(lambda: gradient_measures(gram))
    vmap, second = cpu_seconds(lambda: stored_gram(surface))
    loop, third = cpu_seconds(lambda: looped_gram(surface))
    assert isinstance(gram, np.ndarray) and isinstance(found, dict)
    gap = max(float(np.abs(gram - other).max() / np.abs(gram).max()) for other in (second, third))
    print(f"gradients of {ROWS} rows, {surface.n_parameters:,} parameters, step {step} (largest difference {gap:.1e})")
    print(f"  ghost Gram + all ranks   {ghost + ranks:6.2f} CPU s  ({ranks:.2f} of it the ranks and their errors)")
    print(f"  stored, vmap             {vmap:6.2f} CPU s  {vmap / ghost:.1f} times the ghost Gram")
    print(f"  stored, plain loop       {loop:6.2f} CPU s  {loop / ghost:.1f} times")
    for name, estimate in found.items():
        print(f"    {name:24s} {estimate.value:10.4g} ± {estimate.error:.2g}  {estimate.reason}")


def parts(step: int) -> None:
    """Where the time of the two ways goes: passes through the model, forming gradients, the products of all pairs."""
    surface = offline(step, ROWS)
    surface.all_losses()
    leaves = surface.leaves()
    plain, _ = cpu_seconds(
        lambda: torch.autograd.grad(surface.losses_at(leaves, surface.rows(slice(None))).sum(), list(leaves.values()))
    )
    hooked, _ = cpu_seconds(lambda: _backward(surface, _counts(surface, None)))
    both = [
        (cpu_seconds(lambda: gradient_grams(surface))[0], cpu_seconds(lambda: stored_gram(surface))[0])
        for _ in range(5)
    ]
    ghost, stored = np.median(both, axis=0)
    ratios = sorted(there / here for here, there in both)
    rows = torch.randn(ROWS, surface.n_parameters)
    product, _ = cpu_seconds(lambda: rows @ rows.T)
    half, _ = cpu_seconds(lambda: [rows[i : i + 64] @ rows[i:].T for i in range(0, ROWS, 64)])
    print(f"{ROWS} rows, {surface.n_parameters:,} parameters, step {step}, CPU s")
    print(f"  one forward and backward pass {plain:.2f}, with hooks {hooked:.2f}; ghost Gram in all {ghost:.2f}")
    print(f"  product of all pairs of stored gradients {product:.2f}, the half that symmetry leaves {half:.2f}")
    print(f"  so ghost: passes {hooked:.2f}, pairs {half:.2f}, forming {ghost - hooked - half:.2f}")
    print(f"  stored in all {stored:.2f}: pairs {product:.2f}, vmap {stored - product:.2f}")
    print(f"  ratio of five pairs in turn: median {ratios[2]:.2f}, {ratios[0]:.2f} to {ratios[-1]:.2f}")


def curvature(step: int) -> None:
    """Largest Hessian eigenvalue of 32 rows."""
    hessian = Hessian(offline(step, CURVATURE_ROWS))
    seconds, pair = cpu_seconds(lambda: top_eigenpair(hessian))
    print(
        f"hessian_top, {CURVATURE_ROWS} rows, step {step}: {pair.value:.4g} in {hessian.products} products, {seconds:.2f} CPU s"
    )


def draws(step: int) -> None:
    """SGLD, a draw; devinterp's beside it."""
    surface = offline(step, 512)
    reference = surface.all_losses()
    sampling = Sampling(1e-6, 148, 100, chains=1, burn_in=0, draws=DRAWS)
    ours, _ = cpu_seconds(lambda: run_chains(surface, sampling, reference))
    print(f"SGLD draw, batch 32: {1000 * ours / DRAWS:.1f} ms CPU")
    try:
        from datasets import Dataset
        from devinterp.slt.llc import llc
    except ImportError:
        print("  devinterp is not installed: pip install devinterp")
        return
    length = surface.examples["ids"].shape[1]
    data = Dataset.from_dict({"input_ids": surface.examples["ids"].tolist()}).with_format("torch")
    alike = Surface(surface.module, next_token_losses, scored_tokens(surface.examples["ids"].tolist()), batch=32)
    first = alike.all_losses()
    same, _ = cpu_seconds(lambda: run_chains(alike, sampling, first))
    settings = {"num_chains": 1, "num_draws": DRAWS, "batch_size": 32, "num_init_loss_batches": 1, "device": "cpu"}
    model = surface.module.requires_grad_(True)
    theirs, _ = cpu_seconds(lambda: llc(model, data, {}, lr=1e-6, n_beta=148, localization=100.0, **settings))
    print(f"  all {length} tokens scored: ours {1000 * same / DRAWS:.1f}, devinterp {1000 * theirs / DRAWS:.1f} ms CPU")


def spectra_of_clouds() -> None:
    """What α-ReQ adds to a layer of a default walk: 128 rows, width 768."""
    rows = np.random.default_rng(0).normal(size=(128, 768))
    base, cloud = cpu_seconds(lambda: Cloud(rows))
    base, _ = cpu_seconds(lambda: (rankme(cloud), rankme_centred(cloud)))
    times = 100
    added, _ = cpu_seconds(lambda: [alpha_req(cloud) for _ in range(times)])
    print(f"α-ReQ of one layer: {1e6 * added / times:.0f} µs beside {1e3 * base:.1f} ms for two RankMe")


def large(shape: str, device: str) -> None:
    """What fits: SGLD, the ghost Gram of 128 sequences of 30 tokens, the Hessian; on a CPU each peak is the highest so far."""
    torch.manual_seed(0)
    width, layers, heads, vocabulary = SHAPES[shape]
    config = GPTNeoXConfig(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * width,
        vocab_size=vocabulary,
    )  # fmt: skip
    with torch.device(device):
        model = GPTNeoXForCausalLM(config).eval().requires_grad_(False)
    ids = torch.randint(50304, (128, 30), generator=torch.Generator().manual_seed(0)).tolist()
    surface = Surface(model, next_token_losses, scored_tokens(ids))
    print(f"{shape}, {surface.n_parameters:,} parameters, random, on {device}: 128 sequences of 30 tokens, all scored")
    report_memory("the model alone", device, lambda: None)
    report_memory("ghost Gram of 128", device, lambda: gradient_grams(surface))
    few = surface.first(32 if device != "cpu" else 2)  # it is vectors of all weights that take the memory
    reference = torch.zeros(few.n)
    sampling = Sampling(1e-9, 100, 100, chains=1, burn_in=0, draws=16)
    report_memory(f"SGLD, batch {few.n}, 16 draws", device, lambda: run_chains(few, sampling, reference))
    report_memory(f"hessian_top, {few.n} examples", device, lambda: top_eigenpair(Hessian(few)))


def report_memory(name: str, device: str, work: Callable[[], object]) -> None:
    """Time and peak memory of a call, or that it does not fit."""
    if device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    start, verdict = time.perf_counter(), ""
    try:
        seconds, _ = cpu_seconds(work)
    except torch.OutOfMemoryError:
        seconds, verdict = float("nan"), "DOES NOT FIT; "
    wall = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if device != "cpu":
        peak = torch.cuda.max_memory_allocated() / 2**30
    print(f"  {name:26s} {verdict}{seconds:.0f} CPU s, {wall:.0f} s; peak memory {peak:.2f} GiB", flush=True)


def weight_measures() -> None:
    """All weight measures of one checkpoint at the shape of Pythia 160M, from float16."""
    rng = np.random.default_rng(0)
    shapes = [(2304, 768), (768, 768), (3072, 768), (768, 3072)] * 12 + [(50304, 768)] * 2
    weights = {str(i): rng.standard_normal(s, dtype=np.float32).astype(np.float16) for i, s in enumerate(shapes)}
    spectra, _ = cpu_seconds(lambda: [spectrum_measures(w) for w in weights.values()])
    entries, _ = cpu_seconds(lambda: [weibull(w) for w in weights.values()])
    updates, _ = cpu_seconds(lambda: update_measures(weights, weights, weights))
    print(f"weights at 160M: spectra {spectra:.1f}, Weibull {entries:.1f}, updates {updates:.1f} CPU s")


def main() -> None:
    """Prints one block a part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--shape", choices=SHAPES, default="pythia-160m", help="of --large")
    parser.add_argument("--device", default="cpu", help="of --large: cpu or cuda")
    parser.add_argument("--weights", action="store_true")
    parser.add_argument("--parts", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.large:
        large(args.shape, args.device)
    elif args.parts:
        for step in (510, 16000):
            parts(step)
    elif args.weights:
        weight_measures()
    else:
        for step in (510, 16000):
            gradients(step)
            curvature(step)
        draws(510)
        spectra_of_clouds()


if __name__ == "__main__":
    main()
