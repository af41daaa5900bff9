"""What the measures and their errors cost beside the forward pass that they belong to.

    python scripts/bench_measures.py                                # the offline suite, its own probes
    python scripts/bench_measures.py --model ./suite --probes core

One checkpoint, one thread, process CPU seconds. Values alone are the same spectra without singular vectors.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from pythia_geometry.extraction.capture import capture
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.geometry.cloud import Cloud
from pythia_geometry.geometry.deletion import deleted_first_eigenvalue, deleted_moments, deleted_sums
from pythia_geometry.measures import MEASURES, RESIDUAL
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request
from pythia_geometry.runs.rows import measure_layers


def cpu_seconds(work: Callable[[], object]) -> float:
    """Process CPU seconds of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def values_alone(layers: np.ndarray) -> None:
    """The three spectra of every layer, no errors."""
    for layer in layers.astype(np.float64):
        unit = layer / np.linalg.norm(layer, axis=1, keepdims=True)
        for z in (layer, layer - layer.mean(0), unit):
            np.linalg.eigvalsh(z @ z.T if z.shape[0] <= z.shape[1] else z.T @ z)


def errors_alone(clouds: list[Cloud]) -> None:
    """The jackknives of RankMe (three), participation ratio and stable rank, from spectra that are there."""
    for cloud in clouds:
        for spectrum in (cloud.spectrum, cloud.unit_spectrum, cloud.centred_spectrum):
            deleted_sums(spectrum, 1.0)
        deleted_moments(cloud.centred_spectrum, 1.0)
        deleted_moments(cloud.spectrum, 1.0)
        deleted_first_eigenvalue(cloud.spectrum)


def grams(layers: np.ndarray) -> np.ndarray:
    """The smaller Gram matrices [L, m, m] of all layers."""
    z = layers.astype(np.float64)
    return z @ z.transpose(0, 2, 1) if z.shape[1] <= z.shape[2] else z.transpose(0, 2, 1) @ z


def main() -> None:
    """Prints one line a part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="offline")
    parser.add_argument("--probes", default="")
    args = parser.parse_args()
    torch.set_num_threads(1)
    probes = tuple(args.probes.split(",")) if args.probes else ()
    run = make_plan(Request(models=(args.model,), steps="last", probes=probes)).runs[0]
    model = SuiteModel(run.suite.config_file())
    checkpoint = run.usable[0]
    model.swap(run.suite.fetch(checkpoint, Path()), checkpoint)  # a local suite fetches nothing
    captured = [capture(model, run.probes[0])]
    captured.clear()
    forward = cpu_seconds(lambda: captured.extend(capture(model, probe) for probe in run.probes))
    with threadpool_limits(1, user_api="blas"):
        of_cloud = [m for m in MEASURES.values() if m.default and m.reads == RESIDUAL]
        names = [str(i) for i in range(99)]
        full = cpu_seconds(lambda: [measure_layers(c.activations, names, of_cloud) for c in captured])
        clouds = [Cloud(layer) for c in captured for layer in c.activations[1:]]  # embed may be constant
        vectors = cpu_seconds(lambda: [(c.spectrum, c.unit_spectrum, c.centred_spectrum) for c in clouds])
        errors = cpu_seconds(lambda: errors_alone(clouds))
        values = cpu_seconds(lambda: [values_alone(c.activations) for c in captured])
        stacks = [grams(c.activations) for c in captured]
        one_by_one = cpu_seconds(lambda: [np.linalg.eigh(gram) for stack in stacks for gram in stack])
        stacked = cpu_seconds(lambda: [np.linalg.eigh(stack) for stack in stacks])
    print(f"{checkpoint.label}: {len(run.probes)} tasks, {len(run.shape.layers)} layers, width {run.shape.width}")
    print(f"forward pass and answers          {forward:7.2f} CPU s   1.00")
    print(f"all measures with their errors    {full:7.2f} CPU s   {full / forward:.2f}")
    added = errors + max(0.0, vectors - values)
    print(f"errors alone (with eigenvectors)  {added:7.2f} CPU s   {added / forward:.2f}")
    print(f"the three spectra, values alone   {values:7.2f} CPU s   {values / forward:.2f}")
    print(f"eigh of all layers, one by one    {one_by_one:7.2f} CPU s   {one_by_one / forward:.2f}")
    print(f"the same in one call a probe      {stacked:7.2f} CPU s   {stacked / forward:.2f}")


if __name__ == "__main__":
    main()
