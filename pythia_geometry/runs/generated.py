"""What a suite's own task generator gives: examples of its training mixture, and rows to decode.

A suite that states no mixture has none: its loss is that of a text, and what is decoded are its probes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.labelled import LabelledRows
from pythia_geometry.extraction.loading.models import Shape
from pythia_geometry.extraction.losses import EncodedLoss, of_mixture, of_nothing
from pythia_geometry.extraction.probes.encoding import EncodedProbe, Encoder
from pythia_geometry.extraction.probes.probe_files import Item
from pythia_geometry.extraction.probes.probes import Probe
from pythia_geometry.lab.mixture import Mixture, different, drawn, read_mixture
from pythia_geometry.lab.tasks import Problem, TaskLevel
from pythia_geometry.suites.suite import Suite

EXAMPLES = 256
"""Examples of a mixture, rounded up to equal shares of its task-levels."""

DECODED = 1_500
"""Rows of a task that are decoded: three quarters of them train."""

GENERATED = "generated"


def mixture_loss(suite: Suite, encoder: Encoder, shape: Shape) -> EncodedLoss | None:
    """The loss that a suite was trained on; None where it states no mixture, a reason where that is unknown here.

    Args:
        suite: The suite.
        encoder: Its tokenizer.
        shape: Of its models.
    """
    try:
        mixture = read_mixture(suite.mixture)
        if mixture is None:
            return None
        n = math.ceil(EXAMPLES / len(mixture.levels))
        parts = [_encoded(encoder, shape, level, drawn(level, n)) for level in mixture.levels]
    except PythiaGeometryError as error:
        return of_nothing(f"the training mixture cannot be drawn here: {error}")
    return of_mixture(parts, mixture.all_tokens, mixture.opens or {})


def labelled_rows(
    suite: Suite, encoder: Encoder, shape: Shape, probes: Sequence[EncodedProbe]
) -> tuple[LabelledRows, ...]:
    """What is decoded: of each probe's task rows from the suite's generator, or the probe's own.

    Args:
        suite: The suite.
        encoder: Its tokenizer.
        shape: Of its models.
        probes: The probes of the walk; benchmarks and shuffled controls are left out.
    """
    mixture = _known_mixture(suite)
    found = []
    for encoded in probes:
        probe = encoded.probe
        if probe.facts or probe.is_shuffled:
            continue
        level = mixture.level(probe.task) if mixture else None
        rows = _encoded(encoder, shape, level, different(level, DECODED)) if level else encoded
        found.append(LabelledRows(rows, probe.set_name))
    return tuple(found)


def _known_mixture(suite: Suite) -> Mixture | None:
    try:
        return read_mixture(suite.mixture)
    except PythiaGeometryError:
        return None


def _encoded(encoder: Encoder, shape: Shape, level: TaskLevel, problems: Sequence[Problem]) -> EncodedProbe:
    items = tuple(
        Item(f"{GENERATED}/{level.name}/{i}", level.name, " ".join(prompt), " ".join(answer))
        for i, (prompt, answer) in enumerate(problems)
    )
    return encoder.encode(Probe(GENERATED, level.name, items), shape.vocab_size, shape.context)
