"""Work of run folders of format 1, which knew neither the tokenizer nor the config that a number was read with.

It is kept and shown, marked `inputs unknown`. What answers a question whole is not computed again; where anything is
lacking, the whole question is, so that old and new rows never answer one question together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from pythia_geometry.extraction.probes.encoding import EncodedProbe
from pythia_geometry.runs.request import RANGES, Request
from pythia_geometry.store.inputs import is_unknown
from pythia_geometry.suites.checkpoint import Checkpoint

KNOWN = ("rankme", "rankme_centred", "rankme_rownorm", "participation_ratio", "stable_rank", "anisotropy", "twonn")
"""The measures of a forward pass that format 1 had, all of version 1."""


def is_answered(
    checkpoint: Checkpoint,
    encoded: EncodedProbe,
    request: Request,
    recorded: Mapping[str, str],
    done: Collection[str],
) -> bool:
    """Whether rows of format 1 are what the tables show of a probe, and nothing that is asked for is lacking.

    Args:
        checkpoint: The checkpoint.
        encoded: The probe.
        request: What the user asked for.
        recorded: What the folder records of the question.
        done: Identities of the work that is done.
    """
    if not is_unknown(recorded) or recorded.get("capture") != _id(checkpoint, encoded, request, "capture", 1):
        return False
    if not recorded.get("behaviour") or (request.fetch != RANGES and recorded["behaviour"] != recorded["capture"]):
        return False
    chosen = [measure.name for measure in request.forward_measures]
    return all(name in KNOWN and _id(checkpoint, encoded, request, name, 1) in done for name in chosen)


def _id(checkpoint: Checkpoint, encoded: EncodedProbe, request: Request, *what: object) -> str:
    """The identity of format 1."""
    probe = encoded.probe
    parts = (checkpoint.run, checkpoint.step, checkpoint.weight_sha256, probe.name, probe.sha256)
    text = "\n".join(map(str, (*parts, request.position, request.dtype, *what)))
    return hashlib.sha256(text.encode()).hexdigest()[:24]
