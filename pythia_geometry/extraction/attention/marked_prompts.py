"""From a probe's marks, which are characters, to tokens under a suite's own tokenizer."""

from __future__ import annotations

import numpy as np

from pythia_geometry.attention.pattern import Prompt
from pythia_geometry.extraction.probes.encoding import EncodedProbe, Encoder, Ids, shuffle_prompt
from pythia_geometry.extraction.probes.marks import Marks, Span

Offsets = list[tuple[int, int]]


def marked_prompts(encoder: Encoder, encoded: EncodedProbe) -> tuple[Prompt, ...]:
    """The prompts of a probe as attention measures read them.

    A mark becomes the tokens that stand for its characters. A tokenizer that joins it with its neighbours, or gives
    other tokens for the text alone than the probe has, moves it: the prompt then lacks that mark and says why.

    Args:
        encoder: The suite's tokenizer.
        encoded: The probe under it. Of a shuffled control the marks move with their tokens.
    """
    return tuple(
        _prompt(encoder, item.prompt, item.marks, tokens.prompt, item.id if encoded.probe.is_shuffled else "")
        for item, tokens in zip(encoded.probe.items, encoded.items, strict=True)
    )


def _prompt(encoder: Encoder, text: str, marks: Marks, ids: Ids, shuffled_by: str) -> Prompt:
    if not marks:
        return Prompt(np.array(ids, dtype=np.int64))
    own, offsets = encoder.offsets(text)
    order = shuffle_prompt(tuple(range(len(own))), shuffled_by) if shuffled_by else tuple(range(len(own)))
    if tuple(own[i] for i in order) != ids:
        why = "the tokenizer reads the prompt otherwise when the answer follows"
        return Prompt(np.array(ids, dtype=np.int64), {}, dict.fromkeys(marks, why))
    found: dict[str, tuple[int, ...]] = {}
    lost: dict[str, str] = {}
    for name, spans in marks.items():
        tokens = [_tokens(text, offsets, span) for span in spans]
        moved = next((one for one in tokens if isinstance(one, str)), None)
        if moved is None:
            found[name] = tuple(sorted(order.index(i) for one in tokens for i in one))
        else:
            lost[name] = str(moved)
    return Prompt(np.array(ids, dtype=np.int64), found, lost)


def _tokens(text: str, offsets: Offsets, span: Span) -> list[int] | str:
    """The tokens of a span; or why there are none."""
    touching = [i for i, (a, b) in enumerate(offsets) if a < span[1] and b > span[0]]
    reach = [_without_space(text, *offsets[i]) for i in touching]
    marked = text[slice(*span)]
    if outside := next((one for one in reach if one[0] < span[0] or one[1] > span[1]), None):
        return f"the tokenizer joins {marked!r} with its neighbours: {text[slice(*outside)]!r}"
    covered = {i for one in reach for i in range(*one)}
    if any(i not in covered for i in range(*span) if not text[i].isspace()):
        return f"the tokenizer has no token for {marked!r}"
    return [i for i, (a, b) in zip(touching, reach, strict=True) if a < b]


def _without_space(text: str, start: int, stop: int) -> Span:
    """A token's characters without the white space around them, which some tokenizers count to it."""
    part = text[start:stop]
    return start + len(part) - len(part.lstrip()), stop - (len(part) - len(part.rstrip()))
