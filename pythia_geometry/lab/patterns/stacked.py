"""Several seeds in one process: the members of a stack move together, each as if it were alone.

AdamW at one rate, weight decay on everything, no clipping and no schedule: nothing couples members, and the batch of a
step depends on the member's seed and the step alone. A member may therefore leave the stack, be stopped, or join later.
Everything random is drawn on the CPU, so that start and data are the same on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from pythia_geometry.lab.patterns.member import Member, Reading
from pythia_geometry.lab.patterns.network import Network
from pythia_geometry.lab.patterns.transformer import Params
from pythia_geometry.lab.suite_folder import diverged

BETAS, WEIGHT_DECAY = (0.9, 0.999), 0.01  # the reproduction's: torch's own
UNREAD = 25  # losses that stay on a GPU: reading each at once would have it wait for every step

Donor = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]
"""From inputs [E, B, T] and the members' seeds to the patterns that stand in for their own [E, B, H, Q, T]."""


class Stack:
    """Members at one step, in one set of tensors.

    Attributes:
        network: The function they share.
        step: Updates made.
    """

    def __init__(self, network: Network, members: Sequence[Member], donor: Donor | None = None) -> None:
        """Lays members side by side.

        Args:
            network: The function they share.
            members: At one step; they are not changed before `write_back`.
            donor: Patterns that are supplied in training and when examined.
        """
        self.network, self._members, self._donor = network, list(members), donor
        self.step, device = members[0].step, network.device
        self.params: Params = {
            name: torch.stack([m.params[name] for m in members]).to(device).requires_grad_() for name in network.shapes
        }
        self._unread: list[torch.Tensor] = []
        self._optimizer = torch.optim.AdamW(
            self.params.values(), lr=network.training.rate, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True
        )
        for name, p in self.params.items():
            first, second = (torch.stack([m.moments[name][i] for m in members]).to(device) for i in (0, 1))
            made = torch.tensor(float(self.step), device=device)
            self._optimizer.state[p] = {"step": made, "exp_avg": first, "exp_avg_sq": second}
        self._inputs, self._right = map(self._placed, network.training.problem.examined())

    def _placed(self, tokens: NDArray[np.int64]) -> torch.Tensor:
        """Token ids on the device; they travel as bytes, which a GPU does not wait for."""
        return torch.as_tensor(tokens.astype(np.uint8)).to(self.network.device).long()

    def update(self) -> None:
        """One step of every member."""
        training = self.network.training
        drawn = [
            training.problem.draw(np.random.default_rng([m.seed, self.step]), training.batch) for m in self._members
        ]
        inputs, right = (self._placed(np.stack(part)) for part in zip(*drawn, strict=True))
        given = self._given(inputs)
        logits, _ = self.network(self.params, inputs, trained=True, given=given)
        each = cross_entropy(logits.flatten(0, 2), right.flatten(), reduction="none").view(len(drawn), -1).mean(1)
        self._optimizer.zero_grad()
        each.sum().backward()
        self._still()
        self._optimizer.step()
        self.step += 1
        self._unread.append(each.detach())
        if self.network.device == "cpu" or len(self._unread) >= UNREAD or not self._members[0].losses:
            self.settle()

    def settle(self) -> None:
        """Waits for what was asked of the device, and gives the members their losses up to now."""
        if self._unread:
            for member, losses in zip(self._members, torch.stack(self._unread, 1).tolist(), strict=True):
                if not math.isfinite(sum(losses)):
                    raise diverged(f"seed {member.seed} of {self.network.training.model}", self.step)
                member.losses.extend(losses)
            self._unread.clear()

    def _given(self, inputs: torch.Tensor) -> torch.Tensor | None:
        return self._donor(inputs, [m.seed for m in self._members]) if self._donor else None

    def _still(self) -> None:
        """Takes the gradient of offsets that nothing sees for what it is, 0.

        Softmax does not see the keys' offset, and the next norm does not see one number added to a whole row, which is
        what a mixer's offset by position is. Left alone these gradients are rounding noise, which AdamW would blow up
        to full steps that differ with the stack's size.
        """
        inner = self.network.shape.n_heads * self.network.shape.head_width
        for name, p in self.params.items():
            if name.endswith("attn.c_attn.bias") and p.grad is not None:
                p.grad[:, inner : 2 * inner] = 0.0
            elif name.endswith("mix.c_proj.bias"):
                p.grad = None if p.grad is None else torch.zeros_like(p)

    @torch.no_grad()
    def examine(self) -> None:
        """Adds what every output is now to the readings of every member that has none of this step."""
        n_members = len(self._members)
        inputs = self._inputs.expand(n_members, -1, -1)
        given = self._given(inputs)
        logits, pattern = self.network(self.params, inputs, given=given, pattern=True)
        p = logits.softmax(-1).gather(-1, self._right.expand(n_members, -1, -1)[..., None])[..., 0]
        is_right = (logits.argmax(-1) == self._right).float().mean(1)
        mass, top = self._mass(pattern) if pattern is not None else (p * torch.nan, p[:, 0] * torch.nan)
        root = len(self._inputs) ** 0.5
        columns = [p.mean(1), p.std(1) / root, is_right, mass.mean(1), mass.std(1) / root, top]
        for member, rows in zip(self._members, torch.stack(columns, -1).tolist(), strict=True):
            if member.readings and member.readings[-1].step == self.step:
                continue  # it stopped here, and goes on
            member.readings.extend(Reading(self.step, output, *row) for output, row in enumerate(rows))

    def _mass(self, pattern: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention on the parents, summed over heads [E, B, Q], and the largest of one head [E, Q]."""
        parents = self.network.parents[-pattern.shape[3] :]
        by_head = (pattern * parents).sum(-1)  # [E, B, H, Q]
        return by_head.sum(2), by_head.mean(1).amax(1)

    def write_back(self) -> None:
        """Gives each member its losses, and its parameters and moments as they are now, on the CPU."""
        self.settle()
        params = {name: p.detach().cpu() for name, p in self.params.items()}
        state = {name: self._optimizer.state[p] for name, p in self.params.items()}
        moments = {name: (one["exp_avg"].cpu(), one["exp_avg_sq"].cpu()) for name, one in state.items()}
        for i, member in enumerate(self._members):
            member.step = self.step
            member.params = {name: p[i].clone() for name, p in params.items()}
            member.moments = {name: (first[i].clone(), second[i].clone()) for name, (first, second) in moments.items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """One CPU thread: products this small gain nothing from a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
