"""One seed's run while it is trained: all that it needs to go on, by itself."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, NamedTuple

import torch

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.patterns.transformer import Params, initial
from pythia_geometry.store.writing import replacing

if TYPE_CHECKING:
    from pythia_geometry.lab.patterns.network import Network

STATE = "state.pt"


class Reading(NamedTuple):
    """What one output of one run was at one step.

    Attributes:
        step: Updates made before.
        output: Which output bit, or cell of the last state.
        probability: Mean probability of the right token.
        error: Its standard error over inputs.
        accuracy: Share of inputs whose likeliest token is right.
        mass: Attention on the parents, summed over the heads of the last block; NaN for a mixer.
        mass_error: Its standard error over inputs.
        top_mass: The largest of one head.
    """

    step: int
    output: int
    probability: float
    error: float
    accuracy: float
    mass: float
    mass_error: float
    top_mass: float


@dataclass
class Member:
    """One seed's run.

    Attributes:
        seed: Of weights and data.
        params: Its parameters.
        moments: AdamW's two moments of each parameter.
        step: Updates made.
        readings: Of all outputs, by step.
        losses: By step.
    """

    seed: int
    params: Params
    moments: dict[str, tuple[torch.Tensor, torch.Tensor]]
    step: int = 0
    readings: list[Reading] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    @classmethod
    def fresh(cls, network: Network, seed: int) -> Member:
        """At step 0."""
        params = initial(network.shapes, seed)
        return cls(seed, params, {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in params.items()})

    def save(self, folder: Path) -> None:
        """Keeps it as it is, in one rename."""
        content = io.BytesIO()
        readings = [tuple(one) for one in self.readings]
        torch.save({**vars(self), "readings": readings}, content)
        with replacing(folder / STATE) as temporary:
            temporary.write_bytes(content.getbuffer())

    @classmethod
    def kept(cls, network: Network, seed: int, folder: Path) -> Member:
        """As it was when it was last saved; fresh where it never was.

        Raises:
            PythiaGeometryError: If the file is damaged or of another network.
        """
        file = folder / STATE
        if not file.exists():
            return cls.fresh(network, seed)
        try:
            held = torch.load(file, weights_only=True, map_location="cpu")
            found = cls(**{**held, "readings": [Reading(*one) for one in held["readings"]]})
            is_whole = found._is_of(network, seed)
        except (RuntimeError, ValueError, LookupError, TypeError, EOFError, AttributeError, UnpicklingError) as error:
            raise PythiaGeometryError(_damaged(file)) from error
        if not is_whole:
            raise PythiaGeometryError(_damaged(file))
        return found

    def _is_of(self, network: Network, seed: int) -> bool:
        """Whether it is this seed of this network, with all that it needs to go on."""
        shapes = {name: tuple(p.shape) for name, p in self.params.items()}
        moments = {name: tuple(tuple(one.shape) for one in pair) for name, pair in self.moments.items()}
        return (
            (self.seed, shapes, len(self.losses)) == (seed, network.shapes, self.step)
            and moments == {name: (sides, sides) for name, sides in network.shapes.items()}
            and 0 <= self.step <= network.training.steps
        )


def _damaged(file: Path) -> str:
    return f"{file} is damaged. Remove it, and the same command trains this seed again from the start"
