"""Patterns moved between checkpoints of a base arm: at inference, and into fresh runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

import pandas as pd
import torch

from pythia_geometry.lab.patterns.member import Member
from pythia_geometry.lab.patterns.network import Network
from pythia_geometry.lab.patterns.settings import PatternTraining
from pythia_geometry.lab.patterns.stacked import Donor
from pythia_geometry.lab.patterns.transformer import Params
from pythia_geometry.lab.suite_folder import is_finished
from pythia_geometry.store.writing import replacing


class Given(StrEnum):
    """Whose pattern is supplied."""

    NONE = ""
    OWN = "own"
    OTHER = "other"


def keep_params(member: Member, folder: Path) -> None:
    """Keeps a member's parameters of this step."""
    torch.save(member.params, folder / f"params-{member.step}.pt")


def kept_steps(folder: Path) -> list[int]:
    """Steps of which parameters were kept."""
    return sorted(int(file.stem.partition("-")[2]) for file in folder.glob("params-*.pt"))


def load(folder: Path, step: int) -> Params:
    """Kept parameters."""
    return torch.load(folder / f"params-{step}.pt", weights_only=True)


def end_of(folder: Path) -> Params:
    """The last kept parameters of a member that went to its end: those of one that was stopped are no end."""
    if not is_finished(folder) or not kept_steps(folder):
        name = folder.parent.name
        sys.exit(f"{folder} lacks the end of {name}. Remove its record from --out and train that arm first: {name}")
    return load(folder, kept_steps(folder)[-1])


def _ends(training: PatternTraining, work: Path, seeds: Sequence[int]) -> Params:
    """The ends of some seeds of a base arm, side by side."""
    found = [end_of(work / training.model / f"seed{seed}") for seed in seeds]
    return {name: torch.stack([one[name] for one in found]) for name in found[0]}


def donor_of(training: PatternTraining, given: Given, work: Path, n_seeds: int, device: str) -> Donor:
    """Patterns of the base arm's ends: each member gets its own seed's, or the next seed's."""
    shift = 0 if given is Given.OWN else 1
    kept = _ends(training, work, [(seed + shift) % n_seeds for seed in range(n_seeds)])
    params = {name: p.to(device) for name, p in kept.items()}
    network = Network(training, device)

    @torch.no_grad()
    def patterns(inputs: torch.Tensor, members: Sequence[int]) -> torch.Tensor:
        own = {name: p[list(members)] for name, p in params.items()}
        found = network(own, inputs, trained=True, pattern=True)[1]
        assert found is not None
        return found

    return patterns


@torch.no_grad()
def transplants(work: Path, out: Path, arms: Mapping[PatternTraining, int]) -> None:
    """Accuracy and probability of every kept checkpoint with its own, its end's and another seed's end's pattern.

    Of base arms and their number of seeds: all of them, or the table is left as it is.
    """
    rows = []
    for training, n_seeds in arms.items():
        folders = [work / training.model / f"seed{seed}" for seed in range(n_seeds)]
        network = Network(training)
        inputs, right = (torch.as_tensor(part)[None] for part in training.problem.examined())
        ends = [end_of(folder) for folder in folders]
        patterns = [network(_alone(end), inputs, pattern=True)[1] for end in ends]
        for seed, folder in enumerate(folders):
            for step in kept_steps(folder):
                params = _alone(load(folder, step))
                moved = {"": None, Given.OWN: patterns[seed], Given.OTHER: patterns[(seed + 1) % len(folders)]}
                for name, given in moved.items():
                    logits = network(params, inputs, given=given)[0]
                    p = logits.softmax(-1).gather(-1, right[..., None]).mean()
                    accuracy = (logits.argmax(-1) == right).float().mean()
                    rows.append([replace(training, seed=0).model, seed, step, name, float(p), float(accuracy)])
    table = pd.DataFrame(rows, columns=["arm", "seed", "step", "given", "probability", "accuracy"])
    with replacing(out / "transplants.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")
    print(f"{out / 'transplants.csv'}: {len(table)} rows")


def _alone(params: Params) -> Params:
    return {name: p[None] for name, p in params.items()}
