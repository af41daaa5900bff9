"""Slow twins of the tasks: one bit, one cell, one pair of rows at a time."""

from itertools import product


def map_bits(matrix, state):
    """x1 = A x0 (mod 2), bit by bit."""
    found = []
    for row in matrix:
        parity = 0
        for weight, bit in zip(row, state, strict=True):
            if weight and bit:
                parity = 1 - parity
        found.append(parity)
    return found


def next_row(rule, cells):
    """The next state under a rule given as {(left, own, right): colour}, cell by cell."""
    n = len(cells)
    return [rule[cells[(i - 1) % n], cells[i], cells[(i + 1) % n]] for i in range(n)]


def as_table(flat):
    """A rule of 64 entries as {(left, own, right): colour}."""
    return {key: int(flat[place]) for place, key in enumerate(product(range(4), repeat=3))}


def fewest_tokens(matrix, output):
    """Fewest inputs and (at most two) earlier outputs whose sum (mod 2) is an output, by trying all subsets."""
    n = len(matrix)
    best = n
    for used in product((0, 1), repeat=n + output):
        inputs, earlier = used[:n], used[n:]
        if sum(earlier) > 2 or sum(used) >= best:
            continue
        total = list(inputs)
        for j, taken in enumerate(earlier):
            if taken:
                total = [(a + b) % 2 for a, b in zip(total, matrix[j], strict=True)]
        if total == list(matrix[output]):
            best = sum(used)
    return best
