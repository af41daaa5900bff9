"""A parameter's gradient as factors, and inner products of examples' gradients without ever forming one.

The gradient of one example's loss with respect to a matrix is a sum over its rows r (token positions):
    g_i = Σ_{r of i} left_r ⊗ right_r
with, for a linear layer, left = what arrives at the output from above and right = the input. So
    ⟨g_i, g_j⟩ = Σ_{r of i} Σ_{s of j} (left_r · left_s)(right_r · right_s).
An embedding is a linear layer whose left factor picks one row: `Picks`. A matrix that is used twice, as a tied
output head is, has the rows of both uses, and the cross terms come by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK = 64
_CHUNK = 2**24  # numbers in memory at once beside the factors: 64 MB


@dataclass(frozen=True)
class Picks:
    """Unit vectors [R, size], as the indices [R] of their ones."""

    index: Tensor
    size: int


@dataclass(frozen=True)
class Use:
    """One use of a matrix [size of left, size of right] in a forward pass: R rows and whose they are.

    Attributes:
        left: [R, l], or `Picks`.
        right: [R, r].
        owner: Which example each row belongs to, ascending [R].
    """

    left: Tensor | Picks
    right: Tensor
    owner: Tensor

    @property
    def size(self) -> int:
        """Numbers in the matrix."""
        rows = self.left.size if isinstance(self.left, Picks) else self.left.shape[1]
        return rows * self.right.shape[1]


def matrix_gram(uses: Sequence[Use], n: int) -> Tensor:
    """Inner products [n, n] of the examples' gradients of one matrix, the cheaper way of two.

    Either over pairs of rows (work R² (l + r)), or by forming the gradients of this one matrix a few of its rows at a
    time (work (R + n²) l r).
    """
    rows = sum(len(use.owner) for use in uses)
    widths = sum(1 if isinstance(u.left, Picks) else u.left.shape[1] for u in uses) + sum(
        u.right.shape[1] for u in uses
    )
    by_pairs = rows * rows * widths / len(uses)
    by_forming = (rows + n * n) * uses[0].size
    return _over_pairs(uses, n) if by_pairs < by_forming else _forming(uses, n)


def leading_gram(uses: Sequence[Use], n: int, count: int, transposed: bool) -> Tensor:
    """The same for the first `count` numbers of the matrix alone, in the order of its memory.

    Args:
        uses: Uses of the matrix.
        n: Examples.
        count: Numbers that enter.
        transposed: Whether the matrix lies in memory as [right, left], as in a `Conv1D`.
    """
    width = uses[0].right.shape[1]
    height = uses[0].size // width
    if transposed:
        in_memory = _gradients(uses, n, slice(0, height), slice(0, -(-count // height))).transpose(1, 2)
    else:
        in_memory = _gradients(uses, n, slice(0, -(-count // width)), slice(None))
    return vector_gram(in_memory.reshape(n, -1), count)


def vector_gram(gradients: Tensor, count: int | None = None) -> Tensor:
    """Inner products [n, n] of gradients [n, k] of a vector, or of their first `count` numbers."""
    kept = gradients if count is None else gradients[:, :count]
    return kept @ kept.T


def summed_by_owner(rows: Tensor, owner: Tensor, n: int) -> Tensor:
    """Sums [n, k] of the rows [R, k] of each example."""
    return rows.new_zeros(n, rows.shape[1]).index_add_(0, owner, rows)


def _over_pairs(uses: Sequence[Use], n: int) -> Tensor:
    gram = uses[0].right.new_zeros(n, n)
    for a in uses:
        for b in uses:
            step = max(1, _CHUNK // max(1, len(b.owner)))
            for start in range(0, len(a.owner), step):
                part = slice(start, start + step)
                products = _left_products(a.left, b.left, part) * (a.right[part] @ b.right.T)
                by_column = products.new_zeros(n, len(products)).index_add_(0, b.owner, products.T)
                gram.index_add_(0, a.owner[part], by_column.T)
    return gram


def _left_products(a: Tensor | Picks, b: Tensor | Picks, part: slice) -> Tensor:
    """left_r · left_s [rows of the part, rows of b]."""
    if isinstance(a, Picks):
        if isinstance(b, Picks):
            return (a.index[part][:, None] == b.index).to(torch.get_default_dtype())
        return b[:, a.index[part]].T
    return a[part][:, b.index] if isinstance(b, Picks) else a[part] @ b.T


def _forming(uses: Sequence[Use], n: int) -> Tensor:
    width = uses[0].right.shape[1]
    height = uses[0].size // width
    gram = uses[0].right.new_zeros(n, n)
    step = max(1, _CHUNK // (n * width))
    for start in range(0, height, step):
        lines = _gradients(uses, n, slice(start, min(start + step, height)), slice(None)).flatten(1)
        for i in range(0, n, _BLOCK):  # one half of what is symmetric, about
            gram[i : i + _BLOCK, i:] += lines[i : i + _BLOCK] @ lines[i:].T
    return gram.triu() + gram.triu(1).T


def _gradients(uses: Sequence[Use], n: int, lines: slice, columns: slice) -> Tensor:
    """The block [n, lines, columns] of every example's gradient."""
    total: Tensor | None = None
    for use in uses:
        right = use.right[:, columns]
        if isinstance(use.left, Picks):
            mine = _scattered(use.left, right, use.owner, n, lines)
        else:
            mine = _outer_by_owner(use.left[:, lines], right, use.owner, n)
        total = mine if total is None else total.add_(mine)
    assert total is not None
    return total


def _scattered(left: Picks, right: Tensor, owner: Tensor, n: int, lines: slice) -> Tensor:
    """The rows of `right` summed to the lines that `left` picks [n, lines, r]."""
    height = lines.stop - lines.start
    mine = (left.index >= lines.start) & (left.index < lines.stop)
    place = owner[mine] * height + left.index[mine] - lines.start
    sums = right.new_zeros(n * height, right.shape[1]).index_add_(0, place, right[mine])
    return sums.view(n, height, -1)


def _outer_by_owner(left: Tensor, right: Tensor, owner: Tensor, n: int) -> Tensor:
    """Σ left_r ⊗ right_r over each example's rows [n, l, r]: one batched product of rows padded with zeros."""
    counts = torch.bincount(owner, minlength=n)
    longest = int(counts.max()) if len(owner) else 0
    if len(owner) == n * longest:
        return left.view(n, longest, -1).transpose(1, 2) @ right.view(n, longest, -1)
    within = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner]
    place = owner * longest + within
    padded = [x.new_zeros(n * longest, x.shape[1]).index_copy_(0, place, x).view(n, longest, -1) for x in (left, right)]
    return padded[0].transpose(1, 2) @ padded[1]
