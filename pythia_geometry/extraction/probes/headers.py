"""What the contexts of a task begin with alike: a description and examples, where they are the same for every item.

It is found among token ids, so nothing is assumed of how the task was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Ids = tuple[int, ...]

FEWEST = 32
"""Tokens below which a header is not worth a pass of its own."""


def shared_header(contexts: Sequence[Ids]) -> Ids:
    """The beginning that saves most tokens if it runs once for all contexts that have it; empty where none is worth it.

    Every context that has it goes on after it, by a token at least, so that its last token is never the header's.
    """
    if len(contexts) < 2:
        return ()
    ordered = sorted(contexts)
    middle = ordered[len(ordered) // 2]  # of the largest family of beginnings, if one has most contexts
    lengths = sorted((min(_common(c, middle), len(c) - 1) for c in contexts), reverse=True)
    others = max(range(len(lengths)), key=lambda k: k * lengths[k])
    return middle[: lengths[others]] if others and lengths[others] >= FEWEST else ()


def _common(a: Ids, b: Ids) -> int:
    """Tokens that two contexts begin with alike."""
    return next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def has_header(context: Ids, header: Ids) -> bool:
    """Whether a context begins with a header and goes on."""
    return header != () and len(context) > len(header) and context[: len(header)] == header


def saved_tokens(contexts: Iterable[Ids], header: Ids) -> int:
    """Tokens that are not run because the header runs once."""
    return len(header) * max(0, sum(has_header(c, header) for c in contexts) - 1)
